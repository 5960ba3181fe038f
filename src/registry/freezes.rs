//! Freezes: everything new is held until somebody lifts that. Invariant: only who administers the repo, or runs the instance, sets and
//! lifts them.

use super::Registry;
use crate::domain::freeze::Freeze;
use crate::domain::id::FreezeId;
use crate::domain::owner::Owner;
use crate::error::Result;
use crate::store::{NewFreeze, Page};

impl Registry {
    /// Sets a freeze.
    ///
    /// # Errors
    /// `conflict` when as many are in force as may be.
    pub async fn set_freeze(&self, owner: &Owner, new: NewFreeze) -> Result<Freeze> {
        let managing = owner.clone();
        self.store.write(owner, move |tx| tx.add_freeze(&managing, &new)).await
    }

    /// Lifts a freeze.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it was lifted before.
    pub async fn lift_freeze(&self, owner: &Owner, id: FreezeId) -> Result<Freeze> {
        let managing = owner.clone();
        self.store.write(owner, move |tx| tx.lift_freeze(&managing, &id)).await
    }

    /// One page of an owner's freezes, oldest first, with those that were lifted.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn freezes(&self, owner: &Owner, limit: usize, cursor: Option<&str>) -> Result<Page<Freeze>> {
        self.store.freezes(owner, limit, cursor)
    }

    /// One freeze.
    ///
    /// # Errors
    /// `not_found`.
    pub fn freeze(&self, owner: &Owner, id: &FreezeId) -> Result<Freeze> {
        self.store.freeze(owner, id)
    }
}
