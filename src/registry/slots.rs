//! Places at the gate. Invariant: no more evaluations than there are places, and no repo takes so many of them that another repo's
//! evaluation would wait for its slow policy; what a repo needs to be counted by lives only while it has something to evaluate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::name::RepoKey;
use crate::error::{Error, Result};

/// Repos that are counted before those with nothing to evaluate are forgotten.
const FORGET_AFTER: usize = 64;

/// The places of one gate.
#[derive(Debug)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    per_repo: usize,
    repos: Mutex<HashMap<RepoKey, Weak<Semaphore>>>,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _of_all: OwnedSemaphorePermit,
    _of_repo: Option<OfRepo>,
}

/// One of a repo's places, which also keeps the count of that repo alive.
#[derive(Debug)]
struct OfRepo {
    _permit: OwnedSemaphorePermit,
    _repo: Arc<Semaphore>,
}

impl Slots {
    /// `count` places, of which one repo takes at most `per_repo`; at least one each.
    pub(super) fn new(count: usize, per_repo: usize) -> Slots {
        Slots { all: Arc::new(Semaphore::new(count.max(1))), per_repo: per_repo.clamp(1, count.max(1)), repos: Mutex::default() }
    }

    /// Waits for a place for something of this repo; `None` for what is of no repo in particular.
    ///
    /// # Errors
    /// Never while the gate lives.
    pub(super) async fn acquire(&self, repo: Option<&RepoKey>) -> Result<Slot> {
        let closed = |cause| Error::internal("waiting for a slot of the gate", cause);
        // The repo's own place first: whoever waits for that takes nobody else's.
        let of_repo = match repo {
            Some(repo) => {
                let semaphore = self.of(repo);
                Some(OfRepo { _permit: Arc::clone(&semaphore).acquire_owned().await.map_err(closed)?, _repo: semaphore })
            }
            None => None,
        };
        let of_all = Arc::clone(&self.all).acquire_owned().await.map_err(closed)?;
        Ok(Slot { _of_all: of_all, _of_repo: of_repo })
    }

    /// How many places are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.all.available_permits()
    }

    fn of(&self, repo: &RepoKey) -> Arc<Semaphore> {
        let mut repos = self.repos.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = repos.get(repo).and_then(Weak::upgrade) {
            return semaphore;
        }
        if repos.len() >= FORGET_AFTER {
            repos.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let semaphore = Arc::new(Semaphore::new(self.per_repo));
        repos.insert(repo.clone(), Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn repo(key: &str) -> RepoKey {
        key.parse().unwrap()
    }

    #[tokio::test]
    async fn a_repo_that_waits_for_its_own_places_takes_nobody_elses() {
        let slots = Slots::new(4, 2);
        let (slow, other) = (repo("slow"), repo("other"));
        let held = [slots.acquire(Some(&slow)).await.unwrap(), slots.acquire(Some(&slow)).await.unwrap()];
        assert!(slots.acquire(Some(&slow)).now_or_never().is_none());
        assert_eq!(slots.free(), 2);
        let others = [slots.acquire(Some(&other)).await.unwrap(), slots.acquire(None).await.unwrap()];
        assert!(slots.acquire(None).now_or_never().is_none());
        drop(held);
        drop(others);
        assert_eq!(slots.free(), 4);
        assert!(slots.acquire(Some(&slow)).now_or_never().is_some());
    }

    #[tokio::test]
    async fn repos_with_nothing_to_evaluate_are_forgotten() {
        let slots = Slots::new(2, 1);
        for number in 0..1000 {
            drop(slots.acquire(Some(&repo(&format!("r{number}")))).await.unwrap());
        }
        assert!(slots.repos.lock().unwrap().len() <= FORGET_AFTER + 1);
    }
}
