//! What a reader may know of a hold. Invariant: who may not read the repo learns nothing, not even that there is such a hold; who gave no
//! credentials learns the kind of a reason only; nobody learns anything of the content here.

use std::sync::Arc;

use super::Registry;
use crate::domain::access::{Caller, Permit, Read, unauthorized};
use crate::domain::candidate::Reason;
use crate::domain::id::QuarantineId;
use crate::domain::name::{Coordinates, RepoKey};
use crate::domain::visibility::{Hold, Standing};
use crate::error::{Error, Result};

/// A hold as a reader is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldNotice {
    /// The repo.
    pub repo: RepoKey,
    /// What is or was held.
    pub coordinates: Coordinates,
    /// The hold that was asked for.
    pub hold: Hold,
    /// Where the version stands now: another hold may have followed this one.
    pub standing: Standing,
    /// The newest visible version of the package, to use instead.
    pub alternative: Option<Coordinates>,
}

impl Registry {
    /// What the caller may know of the hold with this id. Blocks.
    ///
    /// # Errors
    /// `unauthorized` without credentials and `not_found` with them, when there is no such hold or its repo is not the caller's to read:
    /// the same for both; `not_found` when its version is gone or was never finished.
    pub fn hold_notice(&self, caller: &Caller, id: &QuarantineId) -> Result<HoldNotice> {
        let permit = self.reading_of_hold(caller, id)?.ok_or_else(|| unseen(caller, id))?;
        let found = self.store.read(&permit)?.find_hold(id)?;
        let (mut hold, version) = found.ok_or_else(|| unseen(caller, id))?;
        let (coordinates, standing) = version.name_in_index(&permit).ok_or_else(|| no_such_hold(id))?;
        if !caller.is_authenticated() {
            hold.reasons = hold.reasons.iter().map(Reason::in_general).collect();
            hold.reasons.dedup();
        }
        let alternative = self.resolve_latest(&permit, coordinates.package()).ok().map(|latest| latest.coordinates.clone());
        Ok(HoldNotice { repo: permit.repo_key().clone(), coordinates, hold, standing, alternative })
    }

    fn reading_of_hold(&self, caller: &Caller, id: &QuarantineId) -> Result<Option<Permit<Read>>> {
        let Some(key) = self.store.find_repo_of_hold(id)? else { return Ok(None) };
        let repo = self.store.find_repo(&key)?;
        Ok(repo.and_then(|repo| caller.permit::<Read>(&Arc::new(repo)).ok()))
    }
}

fn unseen(caller: &Caller, id: &QuarantineId) -> Error {
    if caller.is_authenticated() { no_such_hold(id) } else { unauthorized() }
}

fn no_such_hold(id: &QuarantineId) -> Error {
    Error::not_found(format!("hold {id}"))
}
