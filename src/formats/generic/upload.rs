//! Putting plain files into a draft and publishing it. Invariant: bytes are taken in before the catalogue names them, and what was
//! published never changes: the same bytes again are a success, other bytes a conflict.

use std::sync::Arc;

use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};

use super::{address, coordinates};
use crate::app::App;
use crate::domain::access::{Permit, Read, Write};
use crate::domain::candidate::Action;
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::name::{Coordinates, RelativePath};
use crate::error::{Code, Error, Result};
use crate::formats::Outcome;
use crate::http::{Reply, Request, StatusCode, header};
use crate::registry::{Located, NewEntry, Registry};

/// Bytes of a media type that are kept.
const MEDIA_TYPE_LIMIT_BYTES: usize = 255;
/// What curl sends when nobody said what the body is.
const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    publish: Option<String>,
}

impl Wish {
    /// Whether the address ends in `?publish`.
    fn publishes(request: &Request) -> Result<bool> {
        let wish: Wish = request.query()?;
        match wish.publish.as_deref() {
            None => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => {
                Err(Error::bad_request("`?publish` takes no value: with it the version is published, without it the file waits in a draft"))
            }
        }
    }
}

/// A file that was put somewhere, in words and members.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Put {
    path: RelativePath,
    digest: Digest,
    size_bytes: u64,
    #[serde(flatten)]
    became: Became,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Became {
    /// A file of a draft.
    #[serde(rename_all = "camelCase")]
    Drafted { state: State, message: String, version_id: VersionId, publish_url: String },
    /// A file of something published or held.
    Published(Outcome),
}

/// PUT of one file into the caller's draft, which the first file makes; `?publish` closes the draft too.
pub(super) async fn put(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let at = coordinates(&request)?;
    let path: RelativePath = request.param_as("path")?;
    let publishes = Wish::publishes(&request)?;
    if request.headers().contains_key(header::CONTENT_RANGE) {
        return Err(Error::bad_request("a part of a file cannot be put here; send it whole, or use an upload session of the API"));
    }
    app.registry.check_reserved(&permit, at.package(), Action::Publish).await?;
    request.body.set_limit(app.config.http.upload_limit_bytes)?;
    let (media_type, address, base_url) = (media_type(&request), address(&request), request.base_url().unwrap_or_default());
    let (reading, wanted) = (permit.reading(), (at.clone(), path.clone()));
    let existing = app.run(move |app| find_published(&app.registry, &reading, &wanted.0, &wanted.1)).await?;
    if existing.is_none() {
        app.registry.room(&permit).await?.check(request.body.announced_bytes().unwrap_or(0))?;
    }
    let received = app.registry.receive(&permit, request.body.into_data_stream()).await?;
    let (digest, size_bytes) = (received.digest(), received.size_bytes());
    if let Some(existing) = existing {
        received.discard().await?;
        return unchanged(&at, &existing, digest, size_bytes);
    }
    let kept = app.registry.keep(received).await?;
    let entry = NewEntry { path: path.clone(), digest, size_bytes, media_type, sha1: None };
    let draft = app.registry.draft_with(&permit, at.clone(), kept, entry).await?;
    let put = |became| Put { path: path.clone(), digest, size_bytes, became };
    if publishes {
        let outcome = Outcome::new(&at.to_string(), app.registry.publish(&permit, draft, None).await?, &base_url);
        return Reply::json(status(&outcome), &put(Became::Published(outcome)));
    }
    let publish_url = format!("{address}?publish");
    let message = format!(
        "{path} is in the draft of {at}, which readers do not see yet; put more files the same way, then publish: curl -u __token__:$TOKEN -X POST '{publish_url}'"
    );
    Reply::created(&put(Became::Drafted { state: State::Draft, message, version_id: draft, publish_url }))
}

/// POST that closes the draft.
pub(super) async fn publish(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let at = coordinates(&request)?;
    if !Wish::publishes(&request)? {
        return Err(Error::bad_request("POST publishes a draft: say so with `?publish` at the end of the address"));
    }
    let (reading, wanted) = (permit.reading(), at.clone());
    let id = app.run(move |app| find_version(&app.registry, &reading, &wanted)).await?;
    let outcome = Outcome::new(&at.to_string(), app.registry.publish(&permit, id, None).await?, &request.base_url().unwrap_or_default());
    Reply::json(status(&outcome), &outcome)
}

fn status(outcome: &Outcome) -> StatusCode {
    if outcome.is_held() { StatusCode::ACCEPTED } else { StatusCode::OK }
}

/// The file, where a published version has it; `None` where a draft may take it.
fn find_published(registry: &Registry, permit: &Permit<Read>, at: &Coordinates, path: &RelativePath) -> Result<Option<Located>> {
    let absent = |error: &Error| error.code() == Code::NotFound;
    match registry.file_at(permit, at, path) {
        Ok(located) => return Ok(Some(located)),
        Err(error) if absent(&error) => {}
        Err(error) => return Err(error),
    }
    match registry.resolve(permit, at) {
        Ok(version) => Err(sealed(&version.coordinates)),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The version at these coordinates, drafts and what is held too.
fn find_version(registry: &Registry, permit: &Permit<Read>, at: &Coordinates) -> Result<VersionId> {
    let listed = registry.listed_versions(permit, at.package())?;
    let found = listed.into_iter().find(|(_, other, _)| other.version_key() == at.version_key() && other.distribution().is_empty());
    found.map(|(id, _, _)| id).ok_or_else(|| Error::not_found(format!("a draft of {at}")))
}

/// What a published version says to one of its own files: nothing new, or no.
fn unchanged(at: &Coordinates, existing: &Located, digest: Digest, size_bytes: u64) -> Result<Reply> {
    if existing.file.digest != digest {
        return Err(sealed(at));
    }
    let outcome = Outcome::unchanged(&at.to_string(), existing.version.id);
    Reply::ok(&Put { path: existing.file.path.clone(), digest, size_bytes, became: Became::Published(outcome) })
}

fn sealed(at: &Coordinates) -> Error {
    let message = format!("{at} is published; its files never change again; put the file into a new version");
    Error::new(Code::VersionSealed, message).with("status", State::Published.as_str())
}

/// The media type that the client gave on purpose.
fn media_type(request: &Request) -> Option<String> {
    let given = request.header_text(header::CONTENT_TYPE)?.trim();
    let is_meant = !given.is_empty() && given.len() <= MEDIA_TYPE_LIMIT_BYTES && !given.eq_ignore_ascii_case(FORM);
    is_meant.then(|| given.to_owned())
}
