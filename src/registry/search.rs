//! Finding packages. Invariant: only in repos that the caller may read, and every hit passes the readers' door.

use super::Registry;
use crate::domain::access::{Permit, Read};
use crate::error::Result;
use crate::store::{SearchPage, SearchQuery};

impl Registry {
    /// Finds visible versions in the repos of these permits.
    ///
    /// # Errors
    /// `bad_request` for an empty or overlong query.
    pub fn search(&self, permits: &[Permit<Read>], query: &SearchQuery) -> Result<SearchPage> {
        self.store.search(permits, query)
    }
}
