//! What publishers say of a package beside its versions: tags. Invariant: each change is one write with its event; a tag names to readers
//! no draft and nothing that was taken back.

use std::collections::BTreeMap;

use super::Registry;
use crate::domain::access::{Permit, Read, Write};
use crate::domain::id::VersionId;
use crate::domain::mark::TagName;
use crate::domain::name::{Coordinates, PackageName};
use crate::domain::visibility::Standing;
use crate::error::Result;

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
    pub fn listed_tags(&self, permit: &Permit<Read>, package: &PackageName) -> Result<Vec<(TagName, (VersionId, Coordinates, Standing))>> {
        let found = self.store.read(permit)?.tags(package)?.into_iter();
        Ok(found.filter_map(|(tag, sealed)| Some((tag, sealed.name_for(permit)?))).collect())
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
}
