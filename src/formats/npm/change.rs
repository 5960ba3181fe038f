//! What publishers say of versions that are there: deprecated, taken back. Invariant: a document that comes back changes no version but by a
//! word that stands in it; a version is taken back by naming it, never by leaving it out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::document::Document;
use super::members::Members;
use super::name;
use super::packument;
use super::read;
use crate::app::App;
use crate::domain::access::{Permit, Write};
use crate::domain::id::VersionId;
use crate::domain::name::{PackageName, Subject};
use crate::domain::version::Version;
use crate::domain::visibility::Visible;
use crate::error::{Code, Error, Result};
use crate::http::{Reply, Request, StatusCode};

/// Why a version was taken back, where the client says nothing more.
const UNPUBLISHED: &str = "unpublished by its publisher with an npm client";

#[derive(Serialize)]
struct Done {
    ok: bool,
    id: String,
}

/// PUT under a revision: what npm sends before it takes a version back, and for changes of other kinds.
pub(super) async fn put_revision(app: Arc<App>, permit: Permit<Write>, mut request: Request) -> Result<Reply> {
    let package = name::addressed(&request)?;
    let document = request.body.read_bounded(super::scan::DOCUMENT_LIMIT_BYTES as u64).await?;
    apply(app, permit, package, document.to_vec()).await
}

/// What a document that came back says.
struct Said {
    /// Versions whose mark it changes, with the new words.
    marks: Vec<(VersionId, Option<String>)>,
    /// Who shall publish the package, where it says nothing of versions (`npm owner`).
    owners: Option<Vec<Subject>>,
}

/// Deprecates the versions whose manifests say so, and takes the mark from those that say it no longer. Others are left as they are:
/// the document may be older than what was published since.
pub(super) async fn apply(app: Arc<App>, permit: Permit<Write>, package: PackageName, document: Vec<u8>) -> Result<Reply> {
    let (reading, wanted) = (permit.reading(), package.clone());
    let said = app
        .run(move |app| {
            let document = Document::parse(&document)?;
            check_name(&document, &wanted)?;
            if app.registry.listed_versions(&reading, &wanted)?.is_empty() {
                return Err(Error::not_found(format!("the package {}", name::written(&wanted))));
            }
            let marks = changes(&document, &app.registry.visible_versions(&reading, &wanted)?);
            let owners = document.maintainers.filter(|_| document.versions.is_none()).map(people).transpose()?;
            Ok(Said { marks, owners })
        })
        .await?;
    for (id, reason) in said.marks {
        match reason {
            Some(reason) => app.registry.yank(&permit, id, &reason).await?,
            None => app.registry.unyank(&permit, id).await?,
        };
    }
    if let Some(owners) = said.owners {
        set_owners(&app, &permit, &package, &owners).await?;
    }
    done(&package)
}

/// A document that names a package must name the one at whose address it came: what it says would stand at another's versions.
fn check_name(document: &Document<'_>, package: &PackageName) -> Result<()> {
    let key = |package: &PackageName| (package.namespace_key().to_owned(), package.name_key().to_owned());
    let is_other = |said: &&str| name::package(said).map_or(true, |said| key(&said) != key(package));
    document.name.as_deref().filter(is_other).map_or(Ok(()), |said| {
        let written = name::written(package);
        Err(Error::bad_request(format!("the document is of the package {said}, but it was sent to the address of {written}")))
    })
}

/// The names in a list of maintainers.
fn people(maintainers: &RawValue) -> Result<Vec<Subject>> {
    #[derive(Deserialize)]
    struct Named {
        name: Subject,
    }
    let people: Vec<Named> = serde_json::from_str(maintainers.get()).map_err(|cause| {
        Error::bad_request(format!("the maintainers of the document are no list of people by their names: {cause}")).because(cause)
    })?;
    Ok(people.into_iter().map(|person| person.name).collect())
}

async fn set_owners(app: &Arc<App>, permit: &Permit<Write>, package: &PackageName, wanted: &[Subject]) -> Result<()> {
    let (reading, asked) = (permit.reading(), package.clone());
    let current = app.run(move |app| app.registry.owners(&reading, &asked)).await?;
    let beyond =
        |these: &[Subject], those: &[Subject]| -> Vec<Subject> { these.iter().filter(|one| !those.contains(one)).cloned().collect() };
    let (added, removed) = (beyond(wanted, &current), beyond(&current, wanted));
    if !added.is_empty() {
        app.registry.add_owners(permit, package, added).await?;
    }
    if !removed.is_empty() {
        app.registry.remove_owners(permit, package, removed).await?;
    }
    Ok(())
}

/// The versions whose mark differs from what the document says, with the new words.
fn changes(document: &Document<'_>, versions: &[Visible<Version>]) -> Vec<(VersionId, Option<String>)> {
    /// Some clients send `false` for what is not deprecated.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Word {
        Reason(String),
        Flag(bool),
    }
    let said = |version: &Version| -> Option<Word> {
        let manifest = document.versions.as_ref()?.get(version.coordinates.version())?;
        Members::parse(manifest.get()).ok()?.read("deprecated")
    };
    let change = |version: &Visible<Version>| {
        let reason = match said(version)? {
            Word::Reason(reason) => Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty()),
            Word::Flag(true) => Some("deprecated by its publisher".to_owned()),
            Word::Flag(false) => None,
        };
        (reason != version.yanked_reason).then_some((version.id, reason))
    };
    versions.iter().filter_map(change).collect()
}

/// DELETE of a tarball under a revision: takes its version back.
pub(super) async fn unpublish_version(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let (package, file_name) = (name::addressed(&request)?, request.param("filename")?);
    let (reading, wanted) = (permit.reading(), package.clone());
    let id = app
        .run(move |app| {
            let at = read::tarball_coordinates(&wanted, &file_name)?;
            app.registry.resolve(&reading, &at).map(|version| version.id)
        })
        .await?;
    app.registry.tombstone(&permit, id, UNPUBLISHED, None).await?;
    done(&package)
}

/// DELETE of a package under a revision: takes every version back that readers see, or none.
pub(super) async fn unpublish_package(app: Arc<App>, permit: Permit<Write>, request: Request) -> Result<Reply> {
    let (package, revision) = (name::addressed(&request)?, request.param("rev")?);
    let (reading, wanted) = (permit.reading(), package.clone());
    let versions = app
        .run(move |app| {
            let versions = app.registry.visible_versions(&reading, &wanted)?;
            let tags = app.registry.tags(&reading, &wanted)?;
            let current = packument::revision(versions.iter().map(|version| (version.id, version.yanked_reason.as_deref())), &tags);
            check_all(&versions, &wanted)?;
            if revision != current {
                let name = name::written(&wanted);
                return Err(Error::conflict(format!(
                    "{name} has changed since it was looked at; nothing was changed; look at it and try again"
                )));
            }
            Ok(versions)
        })
        .await?;
    for version in versions {
        app.registry.tombstone(&permit, version.id, UNPUBLISHED, None).await?;
    }
    done(&package)
}

/// Whether all of a package can be taken back.
fn check_all(versions: &[Visible<Version>], package: &PackageName) -> Result<()> {
    let name = name::written(package);
    if versions.is_empty() {
        return Err(Error::not_found(format!("a visible version of {name}")));
    }
    if let Some(version) = versions.iter().find(|version| version.protection.is_some()) {
        let message = format!("{} is protected, so {name} cannot be unpublished as a whole; nothing was changed", version.coordinates);
        return Err(Error::new(Code::ArtifactProtected, message));
    }
    Ok(())
}

fn done(package: &PackageName) -> Result<Reply> {
    Reply::json(StatusCode::CREATED, &Done { ok: true, id: name::written(package) })
}
