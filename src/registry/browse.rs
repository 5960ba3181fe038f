//! Reading: versions, lists, resolution, blobs. Invariant: what a reader gets is `Visible`; a held version's refusal tells
//! why and nothing of its content.

use super::Registry;
use crate::blobs::serve::Content;
use crate::domain::access::{Caller, Permit, Promote, Read, Write};
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::lifecycle::State;
use crate::domain::name::{Coordinates, PackageName, PackageType, RelativePath};
use crate::domain::version::{File, Release, Version};
use crate::domain::visibility::{Authored, Held, Listed, Refusal, Sealed, Sight, Standing, Visible, decide};
use crate::error::{Code, Error, Result};
use crate::store::Page;

/// A version as the caller may see it.
pub enum VersionSight {
    /// A reader's.
    Visible(Visible<Release>),
    /// A publisher's own work, or something visible.
    Authored(Authored<Release>),
    /// A reviewer's.
    Held(Held<Release>),
}

/// A file found by its coordinates and path, with the release it belongs to.
pub struct Located {
    /// The version.
    pub version: Visible<Version>,
    /// The file.
    pub file: Visible<File>,
}

impl Registry {
    /// Remembers that `caller` at `address` is sent bytes of this file.
    pub fn note_download(&self, caller: &Caller, file: &Visible<File>, address: &str) {
        self.store.note_download(caller, file.version_id, address);
    }

    /// A version with its files, as far as the caller may see it.
    ///
    /// # Errors
    /// `not_found`; `quarantined_version` for readers and publishers of one that is held or rejected.
    pub fn version(&self, permit: &Permit<Read>, id: &VersionId) -> Result<VersionSight> {
        if let Some(reviewing) = permit.also::<Promote>() {
            return Ok(VersionSight::Held(self.store.review(&reviewing)?.release(id)?));
        }
        let what = format!("version {id}");
        if let Some(writing) = permit.also::<Write>() {
            let sealed = self.store.author(&writing)?.find_release(id)?.ok_or_else(|| Error::not_found(&what))?;
            let authored = sealed.author(&writing).map_err(|refusal| self.refused(permit, refusal, Code::QuarantinedVersion, &what))?;
            return Ok(VersionSight::Authored(authored));
        }
        self.visible_release(permit, id).map(VersionSight::Visible)
    }

    /// A visible version with its files.
    ///
    /// # Errors
    /// `not_found`; `quarantined_version`.
    pub fn visible_release(&self, permit: &Permit<Read>, id: &VersionId) -> Result<Visible<Release>> {
        let what = format!("version {id}");
        let sealed = self.store.read(permit)?.find_release(id)?.ok_or_else(|| Error::not_found(&what))?;
        self.shown(permit, sealed, &what)
    }

    fn shown<T>(&self, permit: &Permit<Read>, sealed: Sealed<T>, what: &str) -> Result<Visible<T>> {
        sealed.show(permit).map_err(|refusal| self.refused(permit, refusal, Code::QuarantinedVersion, what))
    }

    /// The visible version at these coordinates.
    ///
    /// # Errors
    /// `not_found`; `quarantined_version`.
    pub fn resolve(&self, permit: &Permit<Read>, at: &Coordinates) -> Result<Visible<Version>> {
        let what = at.to_string();
        let view = self.store.read(permit)?;
        let whole = view.find_version_at(at)?;
        let sealed = match whole {
            Some(sealed) if decide(sealed.standing().state) != Sight::Unfinished => Some(sealed),
            // A release published file by file has no version of its own; its newest distribution stands for it.
            unpublished => {
                let distributions = view.versions_of(at.package())?.into_iter();
                best(distributions.filter(|sealed| sealed.is_of_version(at))).or(unpublished)
            }
        };
        let sealed = sealed.ok_or_else(|| Error::not_found(&what))?;
        let purl = sealed.purl();
        self.shown(permit, sealed, &what).map_err(|error| naming(error, &purl))
    }

    /// The newest visible version of a package by its ecosystem's own order; yanked ones and pre-releases only when there
    /// is nothing else.
    ///
    /// # Errors
    /// `not_found` when nothing of it is visible.
    pub fn resolve_latest(&self, permit: &Permit<Read>, package: &PackageName) -> Result<Visible<Version>> {
        let visible = self.visible_versions(permit, package)?;
        let newest = visible.into_iter().max_by(|a, b| {
            let rank = |version: &Version| (version.yanked_reason.is_none(), !version.coordinates.is_prerelease());
            rank(a)
                .cmp(&rank(b))
                .then_with(|| a.coordinates.compare_version(&b.coordinates))
                .then_with(|| a.published_at.cmp(&b.published_at))
        });
        newest.ok_or_else(|| Error::not_found(format!("a visible version of {package}")))
    }

    /// The visible versions of a package, newest published first.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn visible_versions(&self, permit: &Permit<Read>, package: &PackageName) -> Result<Vec<Visible<Version>>> {
        let sealed = self.store.read(permit)?.versions_of(package)?;
        Ok(sealed.into_iter().filter_map(|sealed| sealed.show(permit).ok()).collect())
    }

    /// The versions of a package that this caller may know of, with their standings: readers what is visible, publishers
    /// also drafts and what is held, reviewers all.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn listed_versions(&self, permit: &Permit<Read>, package: &PackageName) -> Result<Vec<(VersionId, Coordinates, Standing)>> {
        let sealed = self.store.read(permit)?.versions_of(package)?;
        Ok(sealed.into_iter().filter_map(|sealed| sealed.name_for(permit)).collect())
    }

    /// The releases of a package for an index that marks what is withheld, each reduced by `keep` before the next is read,
    /// so that one manifest at a time is in memory; empty when the package is unknown or has nothing to list.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn listed_releases<T>(&self, permit: &Permit<Read>, package: &PackageName, mut keep: impl FnMut(Listed) -> T) -> Result<Vec<T>> {
        let mut kept = Vec::new();
        self.store.read(permit)?.each_release_of(package, |sealed| kept.extend(sealed.list(permit).map(&mut keep)))?;
        Ok(kept)
    }

    /// One page of the packages that have something visible.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn packages(
        &self,
        permit: &Permit<Read>,
        package_type: Option<&PackageType>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<PackageName>> {
        self.store.read(permit)?.packages(package_type, limit, cursor)
    }

    /// A file of the version at these coordinates.
    ///
    /// # Errors
    /// `not_found`; `quarantined_version` when that version is held or rejected.
    pub fn file_at(&self, permit: &Permit<Read>, at: &Coordinates, path: &RelativePath) -> Result<Located> {
        let view = self.store.read(permit)?;
        let what = format!("{at} {path}");
        let version = view.find_version_at(at)?.ok_or_else(|| Error::not_found(&what))?;
        let sealed = view.find_release(&version.id())?.ok_or_else(|| Error::not_found(&what))?;
        let purl = sealed.purl();
        let release = self.shown(permit, sealed, &what).map_err(|error| naming(error, &purl))?;
        located(&release, path).ok_or_else(|| Error::not_found(&what))
    }

    /// A file of a package by its name alone, for protocols whose file names span all versions. A visible one wins over
    /// one that is withheld.
    ///
    /// # Errors
    /// `not_found`; `quarantined_version` when all that have it are held or rejected.
    pub fn file_named(&self, permit: &Permit<Read>, package: &PackageName, path: &RelativePath) -> Result<Located> {
        let found = self.store.read(permit)?.files_named(package, path)?;
        let what = path.to_string();
        let sealed = best(found.into_iter()).ok_or_else(|| Error::not_found(&what))?;
        let purl = sealed.purl();
        let release = self.shown(permit, sealed, &what).map_err(|error| naming(error, &purl))?;
        located(&release, path).ok_or_else(|| Error::not_found(&what))
    }

    /// A blob by its digest, by the rule of the raw route: refused when any version of this repo that links it is held or
    /// rejected, absent unless some visible version links it.
    ///
    /// # Errors
    /// `quarantined_blob`; `not_found`.
    pub fn blob(&self, permit: &Permit<Read>, digest: &Digest) -> Result<Visible<File>> {
        let what = format!("blob {digest}");
        let mut visible = None;
        for sealed in self.store.read(permit)?.files_with_digest(digest)? {
            match sealed.show(permit) {
                Ok(file) => visible = Some(file),
                Err(Refusal::Absent) => {}
                Err(refusal) => return Err(self.refused(permit, refusal, Code::QuarantinedBlob, &what)),
            }
        }
        visible.ok_or_else(|| Error::not_found(&what))
    }

    /// The size in bytes of a blob that the caller itself gave to this repo and no version has published: its uploader may
    /// ask whether it is there, nobody may read it.
    ///
    /// # Errors
    /// `not_found`.
    pub fn staged_blob_size(&self, permit: &Permit<Read>, digest: &Digest) -> Result<u64> {
        let found = self.store.read(permit)?.blob_uploader(digest)?;
        let own = found.filter(|(uploader, _)| permit.caller().is_authenticated() && *uploader == permit.caller().identity().subject);
        own.map(|(_, size_bytes)| size_bytes).ok_or_else(|| Error::not_found(format!("blob {digest}")))
    }

    /// Opens a visible file's bytes. Blocks.
    ///
    /// # Errors
    /// Internal when they are not on disk as the catalogue says.
    pub fn open(&self, file: &Visible<File>) -> Result<Content> {
        self.blobs.open(file)
    }
}

/// The refusal of something withheld with its package URL, for whoever asked for it by name.
fn naming(error: Error, purl: &str) -> Error {
    if error.code() == Code::QuarantinedVersion { error.with("purl", purl) } else { error }
}

/// The one to answer with: visible before withheld before the rest, newest first within each.
fn best<T>(found: impl Iterator<Item = Sealed<T>>) -> Option<Sealed<T>> {
    found.min_by_key(|sealed| match decide(sealed.standing().state) {
        Sight::Open => 0,
        Sight::Withheld => match sealed.standing().state {
            State::Quarantined => 1,
            State::Draft | State::Published | State::Rejected | State::Tombstoned => 2,
        },
        Sight::Unfinished | Sight::Gone => 3,
    })
}

fn located(release: &Visible<Release>, path: &RelativePath) -> Option<Located> {
    let file = release.files().find(|file| file.path.key() == path.key())?;
    Some(Located { version: release.version(), file })
}
