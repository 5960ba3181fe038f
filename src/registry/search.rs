//! Finding packages, and running the index. Invariant: only in repos that the caller may read, and every hit passes the readers' door.

use std::sync::Arc;

use super::Registry;
use crate::clock::Stopwatch;
use crate::domain::access::{Operator, Permit, Read};
use crate::domain::name::PackageType;
use crate::error::Result;
use crate::hop;
use crate::store::{PackagePage, SearchPage, SearchQuery, SearchStatus};

/// Packages that one search gives at most.
pub const PACKAGES_PAGE_LIMIT: usize = 250;

impl Registry {
    /// Finds visible versions in the repos of these permits.
    ///
    /// # Errors
    /// `bad_request` for an empty or overlong query.
    pub fn search(&self, permits: &[Permit<Read>], query: &SearchQuery) -> Result<SearchPage> {
        self.timed(|| self.store.search(permits, query), |page| page.degraded)
    }

    /// Finds the packages of one type in a repo: one hit a package, with the version that stands for it, the newest that is neither yanked
    /// nor a pre-release if there is one. At most [`PACKAGES_PAGE_LIMIT`] at a time.
    ///
    /// # Errors
    /// `bad_request` for an empty or overlong query.
    pub fn package_search(
        &self,
        permit: &Permit<Read>,
        package_type: &PackageType,
        text: &str,
        limit: usize,
        offset: usize,
    ) -> Result<PackagePage> {
        let limit = limit.min(PACKAGES_PAGE_LIMIT);
        let query = SearchQuery { text: text.to_owned(), package_type: Some(package_type.clone()), namespace: None, limit, offset };
        self.timed(|| self.store.search_packages(std::slice::from_ref(permit), &query), |page| page.degraded)
    }

    /// Counts a search by who answered it.
    fn timed<T>(&self, search: impl FnOnce() -> Result<T>, is_degraded: impl FnOnce(&T) -> bool) -> Result<T> {
        let watch = Stopwatch::start();
        let page = search()?;
        let counts = &self.store.metrics().search;
        if is_degraded(&page) {
            counts.answered_degraded(watch.elapsed());
        } else {
            counts.answered_by_index(watch.elapsed());
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
