//! What publishers say of a package beside its versions: tags, yanks, owners. Invariant: each change is one write with its event; a tag names to readers
//! no draft and nothing that was taken back.

use std::collections::BTreeMap;

use super::Registry;
use crate::domain::access::{Permit, Read, Write, unauthorized};
use crate::domain::id::VersionId;
use crate::domain::mark::TagName;
use crate::domain::name::{Coordinates, PackageName, Subject};
use crate::domain::visibility::Standing;
use crate::domain::words::check_words;
use crate::error::Result;

/// A tag in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTag {
    /// The tag.
    pub tag: TagName,
    /// The version it names.
    pub version_id: VersionId,
    /// That version's name.
    pub coordinates: Coordinates,
    /// Where that version stands.
    pub standing: Standing,
}

impl Registry {
    /// The tags of a package with the versions they name, as written. Those that name something held or rejected are among them, for
    /// indexes, which say so and point clients elsewhere.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn tags(&self, permit: &Permit<Read>, package: &PackageName) -> Result<BTreeMap<String, String>> {
        let found = self.store.read(permit)?.tags(package)?.into_iter();
        let named = found.filter_map(|(tag, sealed)| Some((tag.to_string(), sealed.name_in_index(permit)?.0.version().to_owned())));
        Ok(named.collect())
    }

    /// The tags of a package as a list may tell this caller of them: to readers those of visible versions alone.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn listed_tags(&self, permit: &Permit<Read>, package: &PackageName) -> Result<Vec<ListedTag>> {
        let found = self.store.read(permit)?.tags(package)?.into_iter();
        let listed = found.filter_map(|(tag, sealed)| {
            let (version_id, coordinates, standing) = sealed.name_for(permit)?;
            Some(ListedTag { tag, version_id, coordinates, standing })
        });
        Ok(listed.collect())
    }

    /// Has a tag name a version that is published or held.
    ///
    /// # Errors
    /// `bad_request` for what is no tag or no version; `not_found`; `conflict` for a version in another state.
    pub async fn set_tag(&self, permit: &Permit<Write>, package: &PackageName, tag: String, version: &str) -> Result<()> {
        let (tag, at) = (tag.parse::<TagName>()?, Coordinates::new(package.clone(), version)?);
        let writing = permit.clone();
        self.store.write(permit, move |tx| tx.set_tag(&writing, &at, &tag)).await
    }

    /// Takes a tag away.
    ///
    /// # Errors
    /// `not_found`; `bad_request` for `latest`, which a package keeps.
    pub async fn remove_tag(&self, permit: &Permit<Write>, package: &PackageName, tag: &str) -> Result<()> {
        let (tag, package, writing) = (tag.parse::<TagName>()?, package.clone(), permit.clone());
        self.store.write(permit, move |tx| tx.remove_tag(&writing, &package, &tag)).await
    }

    /// Yanks all of a release for this reason, whatever files it has; without a reason the mark is taken away. Twice is harmless.
    ///
    /// # Errors
    /// `bad_request` for a reason that is too long or empty; `not_found`; `forbidden` for whoever may not publish the package.
    pub async fn yank_release(&self, permit: &Permit<Write>, at: &Coordinates, reason: Option<String>) -> Result<()> {
        if let Some(reason) = &reason {
            check_words("reason", reason)?;
        }
        let (at, writing) = (at.clone(), permit.clone());
        self.store.write(permit, move |tx| tx.yank_release(&writing, &at, reason.as_deref())).await
    }

    /// Who publishes a package; nobody where everybody who may write in the repo does. Names of people are not for strangers.
    ///
    /// # Errors
    /// `unauthorized` for a reader without credentials.
    pub fn owners(&self, permit: &Permit<Read>, package: &PackageName) -> Result<Vec<Subject>> {
        if !permit.caller().is_authenticated() {
            return Err(unauthorized());
        }
        self.store.read(permit)?.owners(package)
    }

    /// Puts subjects on the list of a package's owners, the first time the caller too; gives the list.
    ///
    /// # Errors
    /// `not_found` for a package that is not there; `forbidden` for whoever may not publish it; `conflict` for too many.
    pub async fn add_owners(&self, permit: &Permit<Write>, package: &PackageName, subjects: Vec<Subject>) -> Result<Vec<Subject>> {
        let (package, writing) = (package.clone(), permit.clone());
        self.store.write(permit, move |tx| tx.add_owners(&writing, &package, &subjects)).await
    }

    /// Takes subjects off that list; gives the list.
    ///
    /// # Errors
    /// `not_found` for a package that is not there and somebody who is not on the list; `forbidden`; `conflict` when nobody would be left
    /// and the caller is no administrator of the repo.
    pub async fn remove_owners(&self, permit: &Permit<Write>, package: &PackageName, subjects: Vec<Subject>) -> Result<Vec<Subject>> {
        let (package, writing) = (package.clone(), permit.clone());
        self.store.write(permit, move |tx| tx.remove_owners(&writing, &package, &subjects)).await
    }
}
