//! The spelling of a package's name. Invariant: where clients look a package up under the name that its first publisher wrote, it has
//! that one spelling for as long as anything is there under it.

use rusqlite::named_params;

use super::write::Write;
use crate::domain::name::{PackageName, RepoKey};
use crate::error::{Error, Result};

impl Write<'_> {
    /// Checks that a package which is there is spelled so. One without any version takes the new spelling.
    ///
    /// # Errors
    /// `conflict` naming both spellings.
    pub(super) fn keep_spelling(&self, repo: &RepoKey, package: &PackageName) -> Result<()> {
        if !package.package_type().keeps_first_spelling() {
            return Ok(());
        }
        self.connection()
            .prepare_cached(
                "UPDATE packages SET name = :name
                 WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace_key AND name_key = :name_key AND name <> :name
                   AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.package_id = packages.package_id)",
            )?
            .execute(named_params! {
                ":repo": repo.as_str(), ":type": package.package_type().as_str(), ":namespace_key": package.namespace_key(),
                ":name_key": package.name_key(), ":name": package.name(),
            })?;
        let there: String = self
            .connection()
            .prepare_cached(
                "SELECT name FROM packages
                 WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace_key AND name_key = :name_key",
            )?
            .query_row(
                named_params! {":repo": repo.as_str(), ":type": package.package_type().as_str(), ":namespace_key": package.namespace_key(),
                ":name_key": package.name_key()},
                |row| row.get(0),
            )?;
        if there == package.name() {
            return Ok(());
        }
        let name = package.name();
        Err(Error::conflict(format!(
            "{name} is the name of {there} in another spelling, and {there} exists in this repo; publish as {there}"
        )))
    }
}
