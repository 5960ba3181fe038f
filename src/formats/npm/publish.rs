//! Publishing. Invariant: address, document and the `package.json` inside the tarball say one name and version, and announced digests hold,
//! before anything is given to the repo; then the door in decides.

use std::sync::Arc;

use super::change;
use super::document::{Announced, Document, Sent};
use super::intake::{Attached, Intake};
use super::manifest;
use super::name;
use super::tarball;
use crate::app::App;
use crate::domain::access::{Permit, Write};
use crate::domain::candidate::Action;
use crate::domain::digest::Digest;
use crate::domain::name::{Coordinates, PackageName};
use crate::error::{Code, Error, Result};
use crate::formats::{NPM_NOTICE, Outcome};
use crate::http::{Reply, Request, StatusCode};
use crate::registry::{Deposit, NewEntry, Received};

/// What a tarball is served as.
const MEDIA_TYPE: &str = "application/octet-stream";

/// What a document says of the tarball that came with it.
struct Subject {
    at: Coordinates,
    announced: Announced,
    announced_bytes: Option<u64>,
    tags: Vec<String>,
}

/// PUT of a package's document: with a tarball it publishes a version, without one it changes what is said of those there are.
pub(super) async fn put(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let (package, base_url) = (name::addressed(&request)?, request.base_url()?);
    app.registry.check_reserved(&permit, &package, Action::Publish).await?;
    let intake = Intake::read(&app, &permit, request).await?;
    match intake.tarball {
        Some(attached) => publish(app, permit, (package, base_url), intake.document, attached).await,
        None => change::apply(app, permit, package, intake.document).await,
    }
}

async fn publish(
    app: Arc<App>,
    permit: Permit<Write>,
    (package, base_url): (PackageName, String),
    document: Vec<u8>,
    attached: Attached,
) -> Result<Reply> {
    let subject = match Subject::of(&document, &package, &attached) {
        Ok(subject) => subject,
        Err(error) => return refuse(attached.received, error).await,
    };
    let (reading, at) = (permit.reading(), subject.at.clone());
    let (attached, read) = app
        .run(move |app| Ok((read(app, &reading, &at, &document, &attached), attached)))
        .await
        .map(|(read, attached)| (attached, read))?;
    let manifest = match read {
        Ok(manifest) => manifest,
        Err(error) => return refuse(attached.received, error).await,
    };
    if let Some(outcome) = existing(&app, &permit, &subject.at, attached.received.digest()).await.transpose() {
        attached.received.discard().await?;
        return answer(&subject.at, &outcome?);
    }
    let digest = attached.received.digest();
    let kept = app.registry.keep(attached.received).await?;
    let size_bytes = kept.size_bytes();
    let media_type = Some(MEDIA_TYPE.to_owned());
    let entry = NewEntry { path: name::tarball(&subject.at)?, digest, size_bytes, media_type, sha1: Some(attached.dist.shasum) };
    let deposit = Deposit { coordinates: subject.at.clone(), entries: vec![entry], manifest: Some(manifest), tags: subject.tags };
    match app.registry.deposit_kept(&permit, deposit, vec![kept]).await {
        Ok(admitted) => answer(&subject.at, &Outcome::new(&title(&subject.at), admitted, &base_url)),
        // Somebody may have published the same version in the meantime.
        Err(error) if error.code() == Code::Conflict => match existing(&app, &permit, &subject.at, digest).await? {
            Some(outcome) => answer(&subject.at, &outcome),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

impl Subject {
    /// Checks what the document says against the address and what came.
    fn of(document: &[u8], package: &PackageName, attached: &Attached) -> Result<Subject> {
        let document = Document::parse(document)?;
        let written = name::written(package);
        let said = document.name.as_deref().unwrap_or_default();
        if said != written {
            return Err(Error::bad_request(format!("the document is of the package {said}, but it was sent to the address of {written}")));
        }
        let (version, manifest) = document.version_of(&attached.name)?;
        let at = name::version(package, version)?;
        let announced = Sent::parse(manifest, &written, version)?.announced();
        let subject = Subject { announced, announced_bytes: document.announced_bytes(&attached.name), tags: document.tags_of(version), at };
        subject.check(attached)?;
        Ok(subject)
    }

    fn check(&self, attached: &Attached) -> Result<()> {
        let actual = attached.received.size_bytes();
        if let Some(announced) = self.announced_bytes.filter(|announced| *announced != actual) {
            let message = format!(
                "the tarball of {} has {actual} bytes, but the document says {announced}; nothing was stored; publish it again",
                self.at
            );
            return Err(Error::new(Code::UploadVerificationFailed, message));
        }
        attached.dist.check(&self.announced, &self.at)
    }
}

/// Reads the tarball and puts the manifest together that is kept. Blocks.
fn read(
    app: &App,
    permit: &Permit<crate::domain::access::Read>,
    at: &Coordinates,
    document: &[u8],
    attached: &Attached,
) -> Result<Vec<u8>> {
    check_name(app, permit, at.package())?;
    let packed = tarball::read(attached.received.reader()?, at)?;
    let document = Document::parse(document)?;
    let (version, manifest) = document.version_of(&attached.name)?;
    let mut dist = attached.dist.clone();
    (dist.file_count, dist.unpacked_size) = (Some(packed.file_count), Some(packed.unpacked_bytes));
    Sent::parse(manifest, &name::written(at.package()), version)?.kept(&document, &dist, &packed)
}

/// A package that is there keeps the spelling of its name; a new one follows the rules of today.
fn check_name(app: &App, permit: &Permit<crate::domain::access::Read>, package: &PackageName) -> Result<()> {
    let listed = app.registry.listed_versions(permit, package)?;
    let Some((_, known, _)) = listed.first() else { return name::check_new(package) };
    let (known, given) = (name::written(known.package()), name::written(package));
    if known == given {
        return Ok(());
    }
    Err(Error::conflict(format!("{given} is spelled {known} here, and both are one package; publish it under that name")))
}

/// Throws the bytes away and passes the error on.
async fn refuse<T>(received: Received, error: Error) -> Result<T> {
    received.discard().await?;
    Err(error)
}

/// What there is under this version already: the same tarball (nothing to do), or none.
///
/// # Errors
/// `conflict` for another tarball; `quarantined_version` for what is held or rejected.
async fn existing(app: &Arc<App>, permit: &Permit<Write>, at: &Coordinates, digest: Digest) -> Result<Option<Outcome>> {
    let (reading, wanted) = (permit.reading(), at.clone());
    let found = app.run(move |app| {
        let version = app.registry.resolve(&reading, &wanted)?;
        app.registry.visible_release(&reading, &version.id)
    });
    match found.await {
        Ok(release) if manifest::tarball(&release).is_some_and(|file| file.digest == digest) => {
            Ok(Some(Outcome::unchanged(&title(at), release.version.id)))
        }
        Ok(_) => Err(Error::conflict(format!(
            "You cannot publish over the previously published version {} of {}: it has other content; versions never change, publish a new one",
            at.version(),
            name::written(at.package())
        ))),
        Err(error) if error.code() == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// How people call it.
fn title(at: &Coordinates) -> String {
    format!("{} {}", name::written(at.package()), at.version())
}

/// A success also for what is held: a publish that a client takes for failed would be sent again.
fn answer(at: &Coordinates, outcome: &Outcome) -> Result<Reply> {
    #[derive(serde::Serialize)]
    struct Answer<'a> {
        ok: bool,
        success: bool,
        id: String,
        #[serde(flatten)]
        outcome: &'a Outcome,
    }
    let status = if outcome.idempotent { StatusCode::OK } else { StatusCode::CREATED };
    let reply = Reply::json(status, &Answer { ok: true, success: true, id: name::written(at.package()), outcome })?;
    if outcome.is_held() { reply.with_text(NPM_NOTICE, &outcome.message) } else { Ok(reply) }
}
