//! What the advisories here say of what somebody has installed. Invariant: answered from what was imported, so no name that is asked about
//! leaves the machine; bounded.

use super::Registry;
use crate::domain::access::{Permit, Read};
use crate::domain::name::PackageName;
use crate::error::{Error, Result};
use crate::store::Concerns;

/// Packages that one question may name.
pub const AUDIT_PACKAGES_LIMIT: usize = 5_000;
/// Versions of each that it may name.
pub const AUDIT_VERSIONS_LIMIT: usize = 100;

impl Registry {
    /// What the advisories in force say of these versions of packages, whether they are in the repo or not. What was withdrawn says
    /// nothing.
    ///
    /// # Errors
    /// `too_large` beyond [`AUDIT_PACKAGES_LIMIT`] packages or [`AUDIT_VERSIONS_LIMIT`] versions of one, or when there is too much to tell.
    pub fn advisories_of(&self, _permit: &Permit<Read>, installed: &[(PackageName, Vec<String>)]) -> Result<Concerns> {
        if installed.len() > AUDIT_PACKAGES_LIMIT {
            return Err(Error::too_large("the number of packages asked about", AUDIT_PACKAGES_LIMIT as u64));
        }
        if let Some((package, _)) = installed.iter().find(|(_, versions)| versions.len() > AUDIT_VERSIONS_LIMIT) {
            return Err(Error::too_large(format!("the number of versions of {package} asked about"), AUDIT_VERSIONS_LIMIT as u64));
        }
        self.store.concerns(installed)
    }
}
