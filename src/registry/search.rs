//! Finding packages, and running the index. Invariant: only in repos that the caller may read, and every hit passes the readers' door.

use std::sync::Arc;

use super::Registry;
use crate::clock::Stopwatch;
use crate::domain::access::{Operator, Permit, Read};
use crate::error::Result;
use crate::hop;
use crate::store::{SearchPage, SearchQuery, SearchStatus};

impl Registry {
    /// Finds visible versions in the repos of these permits.
    ///
    /// # Errors
    /// `bad_request` for an empty or overlong query.
    pub fn search(&self, permits: &[Permit<Read>], query: &SearchQuery) -> Result<SearchPage> {
        let watch = Stopwatch::start();
        let page = self.store.search(permits, query)?;
        let search = &self.store.metrics().search;
        if page.degraded {
            search.answered_degraded(watch.elapsed())
        } else {
            search.answered_by_index(watch.elapsed())
        }
        Ok(page)
    }

    /// Stops asking and filling the index; the catalogue answers meanwhile.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn pause_search(&self, operator: &Operator) -> Result<SearchStatus> {
        self.store.pause_search(operator).await?;
        self.search_status(operator).await
    }

    /// Takes the index up again.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn resume_search(&self, operator: &Operator) -> Result<SearchStatus> {
        self.store.resume_search(operator).await?;
        self.search_status(operator).await
    }

    /// Orders a new index; it is filled in the background.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn rebuild_search(&self, operator: &Operator) -> Result<SearchStatus> {
        self.store.request_rebuild(operator).await?;
        self.search_status(operator).await
    }

    /// How the index stands.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn search_status(&self, operator: &Operator) -> Result<SearchStatus> {
        let (store, proof) = (Arc::clone(&self.store), operator.clone());
        hop::run(move || store.search_status(&proof)).await
    }
}
