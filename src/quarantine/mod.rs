//! Review of what is held. Invariant: a held file leaves only through `inspect`, audited before its first byte; a release
//! or rejection is one write with the version's own step.
//!
//! How to add
//! * something a reviewer may do: an async function here that ends in `Store::write`.
//! * something a reviewer may see: a method on `store::ReviewView`.

use std::sync::Arc;

use crate::blobs::Blobs;
use crate::blobs::serve::Chunks;
use crate::domain::access::{Permit, Promote};
use crate::domain::candidate::{Decision, Reason};
use crate::domain::download::{FetchedBy, Fetcher};
use crate::domain::event::{Event, Named};
use crate::domain::id::{QuarantineId, VersionId};
use crate::domain::name::RelativePath;
use crate::domain::quarantine::{Ballot, QuarantineItem, QuarantineStatus};
use crate::domain::version::{File, Release};
use crate::domain::visibility::Held;
use crate::domain::words::check_words;
use crate::error::{Error, Result};
use crate::hop;
use crate::store::{Done, Evaluation, Page, Store};

/// For rooms that may not name the store.
pub use crate::store::ListedHold;

/// The verbs of a reviewer.
pub struct Review {
    store: Arc<Store>,
    blobs: Blobs,
}

/// One item with what a reviewer needs to judge it.
pub struct Reviewed {
    /// The item.
    pub item: QuarantineItem,
    /// The version, with its files.
    pub release: Held<Release>,
    /// The evaluation that held it; `None` for a hold by hand.
    pub evaluation: Option<Evaluation>,
    /// Who fetched the version while it was visible.
    pub fetched_by: FetchedBy,
}

/// A held file opened for its reviewer.
pub struct Inspection {
    /// The file.
    pub file: Held<File>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its bytes.
    pub chunks: Chunks,
}

impl Review {
    /// Review of what `store` and `blobs` hold.
    #[must_use]
    pub fn new(store: Arc<Store>, blobs: Blobs) -> Review {
        Review { store, blobs }
    }

    /// One page of the holds in the repos of these permits, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn list(
        &self,
        permits: &[Permit<Promote>],
        status: Option<QuarantineStatus>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<ListedHold>> {
        self.store.review_many(permits, status, limit, cursor)
    }

    /// One item with its version, files and evaluation.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, permit: &Permit<Promote>, id: &QuarantineId) -> Result<Reviewed> {
        let view = self.store.review(permit)?;
        let item = view.item(id)?;
        let release = view.release(&item.version_id)?;
        let evaluation = item.evaluation_id.map(|id| view.evaluation(&id)).transpose()?;
        let fetched_by = view.fetched_by(&item.version_id)?;
        Ok(Reviewed { item, release, evaluation, fetched_by })
    }

    /// One page of those who fetched a version, latest first.
    ///
    /// # Errors
    /// `not_found`; `bad_request` for a cursor of another list.
    pub fn downloads(&self, permit: &Permit<Promote>, id: &VersionId, limit: usize, cursor: Option<&str>) -> Result<Page<Fetcher>> {
        self.store.review(permit)?.downloads(id, limit, cursor)
    }

    /// Opens a held file for inspection, after writing down who looks.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn inspect(&self, permit: &Permit<Promote>, id: QuarantineId, path: RelativePath) -> Result<Inspection> {
        let (store, asked, wanted) = (Arc::clone(&self.store), permit.clone(), path.clone());
        let (named, file) = hop::run(move || {
            let view = store.review(&asked)?;
            let release = view.release(&view.item(&id)?.version_id)?;
            let named = Named::new(&release.version.repo, release.version.id, &release.version.coordinates);
            let file = release.file(&wanted).ok_or_else(|| Error::not_found(format!("file {wanted} of quarantine item {id}")))?;
            Ok((named, file))
        })
        .await?;
        let event = Event::HoldInspected { quarantine_id: id, version: named, path: path.to_string() };
        self.store.write(permit, move |_| Ok(Done::new((), event))).await?;
        let content = self.blobs.inspect(&file).await?;
        Ok(Inspection { file, size_bytes: content.size_bytes(), chunks: content.into_stream() })
    }

    /// Casts the caller's vote; one release resolves the item, two of different reviewers where the repo asks for that, one
    /// rejection always.
    ///
    /// # Errors
    /// `quarantine_resolved`; under dual control `forbidden` for the uploader and `conflict` for a second vote.
    pub async fn vote(&self, permit: &Permit<Promote>, id: QuarantineId, ballot: Ballot, comment: Option<String>) -> Result<ListedHold> {
        if let Some(comment) = &comment {
            check_words("comment", comment)?;
        }
        let reviewing = permit.clone();
        let item = self.store.write(permit, move |tx| tx.vote(&reviewing, &id, ballot, comment.as_deref())).await?;
        self.with_version(permit, item).await
    }

    /// Holds a published version by hand.
    ///
    /// # Errors
    /// `conflict` when it is not published.
    pub async fn hold(&self, permit: &Permit<Promote>, id: VersionId, reason: &str) -> Result<ListedHold> {
        check_words("reason", reason)?;
        let reason = Reason { rule: "manual".to_owned(), decision: Decision::Quarantine, message: reason.to_owned(), policy: None };
        let reviewing = permit.clone();
        let item = self.store.write(permit, move |tx| tx.hold(&reviewing, &id, &reason)).await?;
        self.with_version(permit, item).await
    }

    async fn with_version(&self, permit: &Permit<Promote>, item: QuarantineItem) -> Result<ListedHold> {
        let (store, asked) = (Arc::clone(&self.store), permit.clone());
        hop::run(move || {
            let version = store.review(&asked)?.version(&item.version_id)?;
            Ok(ListedHold { item, version })
        })
        .await
    }
}
