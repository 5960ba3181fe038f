//! Taking a crate in, as `cargo publish` sends it. Invariant: what the JSON says, how the crate is named and what stands in it are one
//! name and version before anything is given to the repo; then the door in decides.

use std::sync::Arc;

use serde::Serialize;

use super::declared;
use super::frame::Frames;
use super::name::file_name;
use crate::app::App;
use crate::domain::access::{Permit, Write};
use crate::domain::candidate::Action;
use crate::domain::contents::Unreadable;
use crate::domain::digest::Digest;
use crate::domain::name::{Coordinates, RelativePath};
use crate::error::{Code, Error, Result};
use crate::formats::Outcome;
use crate::http::{Reply, Request};
use crate::registry::{Deposit, NewEntry, Received};

/// What a crate is.
const MEDIA_TYPE: &str = "application/gzip";

/// What Cargo shows after a publish: each of `other` in a line of its own.
#[derive(Serialize)]
struct Taken {
    warnings: Warnings,
}

#[derive(Serialize, Default)]
struct Warnings {
    invalid_categories: Vec<String>,
    invalid_badges: Vec<String>,
    other: Vec<String>,
}

/// The lengths of the two frames of a publish, in bytes.
const FRAMING_BYTES: u64 = 8;

/// PUT of a new version.
pub(super) async fn publish(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    request.body.set_limit(app.config.http.upload_limit_bytes)?;
    let base_url = request.base_url()?;
    let announced_bytes = request.body.announced_bytes().unwrap_or(0);
    let mut frames = Frames::new(request.body);
    let manifest = frames.text().await?;
    app.registry.room(&permit).await?.check(announced_bytes.saturating_sub(FRAMING_BYTES + manifest.len() as u64))?;
    let at = declared::checked(&manifest)?;
    let path: RelativePath = file_name(at.package().name(), at.version()).parse()?;
    app.registry.check_reserved(&permit, at.package(), Action::Publish).await?;
    let received = app.registry.receive(&permit, frames.content().await?).await?;
    if let Err(error) = check_new(&app, &permit, &at, received.digest()).await {
        return refuse(received, error).await;
    }
    let received = inspected(&app, &permit, received, &at, &path).await?;
    let digest = received.digest();
    let kept = app.registry.keep(received).await?;
    let entry = NewEntry { path, digest, size_bytes: kept.size_bytes(), media_type: Some(MEDIA_TYPE.to_owned()), sha1: None };
    let deposit = Deposit { coordinates: at.clone(), entries: vec![entry], manifest: Some(manifest), tags: Vec::new() };
    match app.registry.deposit_kept(&permit, deposit, vec![kept]).await {
        Ok(admitted) => {
            let outcome = Outcome::new(&at.to_string(), admitted, &base_url);
            if outcome.idempotent {
                // What was not there a moment ago was brought by somebody else.
                check_new(&app, &permit, &at, digest).await?;
            }
            answer(&outcome)
        }
        // Somebody may have published the same version in the meantime.
        Err(error) if error.code() == Code::Conflict => {
            check_new(&app, &permit, &at, digest).await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Throws the bytes away and passes the error on.
async fn refuse<T>(received: Received, error: Error) -> Result<T> {
    received.discard().await?;
    Err(error)
}

/// Refuses what is there already. A version is published once, also with the same bytes: Cargo itself asks the index before.
///
/// # Errors
/// `conflict`; `quarantined_version` for what is held or rejected.
async fn check_new(app: &Arc<App>, permit: &Permit<Write>, at: &Coordinates, digest: Digest) -> Result<()> {
    let (reading, wanted) = (permit.reading(), at.clone());
    let found = app.run(move |app| {
        let version = app.registry.resolve(&reading, &wanted)?;
        app.registry.visible_release(&reading, &version.id)
    });
    let release = match found.await {
        Ok(release) => release,
        Err(error) if error.code() == Code::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let there = &release.version.coordinates;
    let rest = if release.files().any(|file| file.digest == digest) {
        "with the same content; there is nothing to do"
    } else {
        "with other content; versions never change, publish a new one"
    };
    Err(Error::conflict(format!("crate {}@{} already exists {rest}", there.package().name(), there.version())))
}

/// The same bytes, if they are a crate that says of itself what it is published as. What is only too large to be read is left to
/// the policy, which is told of it.
async fn inspected(app: &App, permit: &Permit<Write>, received: Received, at: &Coordinates, path: &RelativePath) -> Result<Received> {
    let (received, contents) = app.registry.read_received(permit, received, at, path).await?;
    let why = match contents.unreadable {
        None
        | Some(Unreadable::TooManyEntries | Unreadable::TooLarge | Unreadable::TooDeep | Unreadable::TooSlow | Unreadable::Unsupported) => {
            return Ok(received);
        }
        Some(Unreadable::Misnamed) => "says another name or version of itself, in Cargo.toml or in the name of its directory",
        Some(Unreadable::WithoutMetadata) => "has no Cargo.toml at its top, or more than one",
        Some(Unreadable::Malformed) => "is no tar archive packed with gzip, or its Cargo.toml cannot be read",
        Some(Unreadable::Unsafe) => "has links, devices, or names that lead out of it",
    };
    refuse(received, Error::bad_request(format!("the crate sent as {at} {why}; pack it again with `cargo package`"))).await
}

/// 200 also for what is held: to Cargo, every other status is a failure.
fn answer(outcome: &Outcome) -> Result<Reply> {
    let other = if outcome.is_held() { vec![outcome.message.clone()] } else { Vec::new() };
    Reply::ok(&Taken { warnings: Warnings { other, ..Warnings::default() } })
}
