//! Taking a distribution in, as twine, uv, poetry, flit, hatch and pdm send it. Invariant: file name, form and the metadata inside
//! say one name and version, and announced digests hold, before anything is given to the repo; then the door in decides.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{future, stream};

use super::attestation;
use super::form::Form;
use super::metadata::Core;
use super::name::{self, FileName, Kind};
use super::wheel;
use crate::app::App;
use crate::domain::access::{Permit, Write};
use crate::domain::candidate::Action;
use crate::domain::contents::Unreadable;
use crate::domain::digest::Digest;
use crate::domain::name::{Coordinates, PackageName, PackageType, RelativePath};
use crate::error::{Code, Error, Result};
use crate::formats::Outcome;
use crate::http::{HeaderName, Reply, Request};
use crate::registry::{Deposit, Kept, NewEntry, Received};

/// Says in the answer to a publish what was decided, for clients and people who look at headers.
const DECISION: HeaderName = HeaderName::from_static("artifortress-decision");

/// What a form is about.
#[derive(Debug, Clone)]
struct Subject {
    at: Coordinates,
    file: FileName,
}

/// POST of the upload form.
pub(super) async fn upload(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    request.body.set_limit(app.config.http.upload_limit_bytes)?;
    let base_url = request.base_url().unwrap_or_default();
    let mut form = Form::read(&app, &permit, request).await?;
    let Some((file_name, received)) = form.content.take() else {
        return Err(Error::bad_request("the form has no file: its part content is missing"));
    };
    let subject = match Subject::of(&form, &file_name) {
        Ok(subject) => subject,
        Err(error) => return refuse(received, error).await,
    };
    if let Err(error) = app.registry.check_reserved(&permit, subject.at.package(), Action::Publish).await {
        return refuse(received, error).await;
    }
    let received = verified(&app, &permit, &form, received).await?;
    let (received, inside) = inspected(&app, &permit, &subject, received).await?;
    let provenance = match provenance(&form, &subject, received.digest()) {
        Ok(provenance) => provenance,
        Err(error) => return refuse(received, error).await,
    };
    if let Some(outcome) = existing(&app, &permit, &subject, received.digest()).await.transpose() {
        received.discard().await?;
        return answer(&outcome?);
    }
    let digest = received.digest();
    let content = Content { received, inside, provenance };
    let (deposit, kept) = put_together(&app, &permit, &subject, form, content).await?;
    match app.registry.deposit_kept(&permit, deposit, kept).await {
        Ok(admitted) => answer(&Outcome::new(subject.file.path.as_str(), admitted, &base_url)),
        // Somebody may have sent the same file in the meantime.
        Err(error) if error.code() == Code::Conflict => match existing(&app, &permit, &subject, digest).await? {
            Some(outcome) => answer(&outcome),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

impl Subject {
    /// Checks what the form says against the file's name.
    fn of(form: &Form, file_name: &str) -> Result<Subject> {
        let said = |field: &str| form.said.get(field).map(String::as_str);
        if let Some(other) = said(":action").filter(|action| *action != "file_upload") {
            return Err(Error::bad_request(format!("the action {other} is not known here; files are uploaded with file_upload")));
        }
        if let Some(other) = said("protocol_version").filter(|version| *version != "1") {
            return Err(Error::bad_request(format!("version {other} of the upload protocol is not known here; send version 1")));
        }
        let field = |name: &str| form.core.text(name).ok_or_else(|| Error::bad_request(format!("the form has no field {name}")));
        let package = PackageName::new(PackageType::pypi(), "", field("name")?)?;
        let at = Coordinates::new(package, field("version")?)?;
        let file = FileName::parse(file_name)?;
        file.check(&at)?;
        if let Some(other) = said("filetype").filter(|filetype| *filetype != file.kind.filetype()) {
            let wanted = file.kind.filetype();
            return Err(Error::bad_request(format!(
                "the form says that {file_name} is of the filetype {other}, but its name says {wanted}"
            )));
        }
        Ok(Subject { at: at.distribution_named(&file.path), file })
    }
}

/// Throws the bytes away and passes the error on.
async fn refuse<T>(received: Received, error: Error) -> Result<T> {
    received.discard().await?;
    Err(error)
}

/// Compares the bytes with the digests that the form announces.
async fn verified(app: &App, permit: &Permit<Write>, form: &Form, received: Received) -> Result<Received> {
    let said = |field: &str| form.said.get(field).filter(|text| !text.is_empty());
    let received = match said("sha256_digest").map(|text| text.parse::<Digest>()) {
        Some(Ok(announced)) => app.registry.verify(permit, received, announced).await?,
        Some(Err(error)) => return refuse(received, error).await,
        None => received,
    };
    let Some(announced) = said("md5_digest") else { return Ok(received) };
    let actual = received.md5().await?;
    if actual.eq_ignore_ascii_case(announced) {
        return Ok(received);
    }
    let message = "the md5 of the bytes received is not what was announced; nothing was stored; send the upload again";
    refuse(
        received,
        Error::new(Code::UploadVerificationFailed, message)
            .with("expectedDigest", format!("md5:{announced}"))
            .with("actualDigest", format!("md5:{actual}")),
    )
    .await
}

/// What stands inside a distribution: its metadata as they are there, and read.
type Inside = (Bytes, Core);

/// The metadata inside, which must say the same name and version: METADATA of a wheel, PKG-INFO of an sdist.
async fn inspected(app: &Arc<App>, permit: &Permit<Write>, subject: &Subject, received: Received) -> Result<(Received, Inside)> {
    let (received, read) = match subject.file.kind {
        Kind::Wheel => {
            let at = subject.at.clone();
            app.run(move |_| {
                let read = received.reader().and_then(|file| wheel::metadata(file, &at));
                Ok((received, read))
            })
            .await?
        }
        Kind::Sdist => {
            let read = app.registry.package_information(permit, &subject.at, &subject.file.path, &received).await;
            (received, read.and_then(|read| read.map_err(without_metadata)))
        }
    };
    let inside = read.and_then(|bytes| {
        let core = Core::parse(&bytes)?;
        let said = |field: &str| core.text(field).unwrap_or_default();
        let place = match subject.file.kind {
            Kind::Wheel => "METADATA in the wheel",
            Kind::Sdist => "PKG-INFO in the sdist",
        };
        name::check_same(place, said("name"), said("version"), &subject.at)?;
        Ok((Bytes::from(bytes), core))
    });
    match inside {
        Ok(inside) => Ok((received, inside)),
        Err(error) => refuse(received, error).await,
    }
}

fn without_metadata(cause: Unreadable) -> Error {
    let why = match cause {
        Unreadable::WithoutMetadata | Unreadable::Misnamed => "it has no PKG-INFO in its top directory, or several",
        Unreadable::Malformed => "it is no whole, plain archive",
        Unreadable::Unsafe => "it has names, links or devices that an sdist has not",
        Unreadable::TooManyEntries => "it has too many files",
        Unreadable::TooLarge => "it is too large when unpacked",
        Unreadable::TooDeep => "its directories lie too deep",
        Unreadable::TooSlow => "reading it takes too long",
        Unreadable::Unsupported => "it uses a compression or encryption that sdists do not have",
    };
    Error::bad_request(format!("the sdist cannot be taken: {why}; build it again"))
}

/// The provenance object of the attestations that the form has.
fn provenance(form: &Form, subject: &Subject, digest: Digest) -> Result<Option<Bytes>> {
    let Some(field) = form.attestations.as_ref() else { return Ok(None) };
    Ok(attestation::provenance(field, (&subject.file, &subject.at), digest)?.map(Bytes::from))
}

/// What there is under this file name already: the same bytes (nothing to do), or none.
///
/// # Errors
/// `conflict` for other bytes; `quarantined_version` for what is held or rejected.
async fn existing(app: &Arc<App>, permit: &Permit<Write>, subject: &Subject, digest: Digest) -> Result<Option<Outcome>> {
    let (reading, wanted) = (permit.reading(), subject.clone());
    let found = app.run(move |app| app.registry.file_named(&reading, wanted.at.package(), &wanted.file.path)).await;
    let path = &subject.file.path;
    match found {
        Ok(located) if located.file.digest == digest => Ok(Some(Outcome::unchanged(path.as_str(), located.version.id))),
        Ok(_) => Err(Error::conflict(format!(
            "File already exists: {path} was published with other content; file names are never reused, publish a new version"
        ))),
        Err(error) if error.code() == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A distribution that was looked at.
struct Content {
    received: Received,
    inside: Inside,
    provenance: Option<Bytes>,
}

/// Gives the bytes to the repo and makes a version of them: the file, what stands beside it, and its metadata. Inside stands what
/// installers read, so that counts and not the form. Metadata that a build may change are not offered for reading (PEP 658).
async fn put_together(app: &App, permit: &Permit<Write>, subject: &Subject, form: Form, content: Content) -> Result<(Deposit, Vec<Kept>)> {
    let Content { received, inside: (bytes, core), provenance } = content;
    let path = &subject.file.path;
    let file = async {
        let kept = app.registry.keep(received).await?;
        Ok((NewEntry { path: path.clone(), digest: kept.digest(), size_bytes: kept.size_bytes(), media_type: None, sha1: None }, kept))
    };
    let metadata = (subject.file.kind == Kind::Wheel || core.is_final()).then_some(bytes);
    let beside = [
        (name::METADATA, metadata, "text/plain; charset=utf-8"),
        (name::SIGNATURE, form.signature, "application/pgp-signature"),
        (name::PROVENANCE, provenance, "application/json"),
    ];
    let beside = beside
        .into_iter()
        .filter_map(|(suffix, bytes, media_type)| bytes.map(|bytes| side_file(app, permit, (path, suffix), bytes, media_type)));
    let (file, beside) = future::try_join(file, future::try_join_all(beside)).await?;
    let mut facts = vec![("filename", path.as_str()), ("filetype", subject.file.kind.filetype())];
    facts.extend(form.said.get("pyversion").map(|version| ("pyversion", version.as_str())));
    let (entries, kept) = std::iter::once(file).chain(beside).unzip();
    let manifest = Some(core.into_manifest(&facts));
    Ok((Deposit { coordinates: subject.at.clone(), entries, manifest, tags: Vec::new() }, kept))
}

async fn side_file(
    app: &App,
    permit: &Permit<Write>,
    name: (&RelativePath, &str),
    bytes: Bytes,
    media_type: &str,
) -> Result<(NewEntry, Kept)> {
    let path: RelativePath = format!("{}{}", name.0, name.1).parse()?;
    let received = app.registry.receive(permit, stream::iter([Ok(bytes)])).await?;
    let kept = app.registry.keep(received).await?;
    let (digest, size_bytes) = (kept.digest(), kept.size_bytes());
    Ok((NewEntry { path, digest, size_bytes, media_type: Some(media_type.to_owned()), sha1: None }, kept))
}

/// 200 also for what is held: an upload that a client takes for failed would be sent again.
fn answer(outcome: &Outcome) -> Result<Reply> {
    Reply::ok(outcome)?.with_text(DECISION, &format!("{}; {}", outcome.state, outcome.message))
}
