//! The only room that knows SQL. Invariant: readers hold read-only connections and get `Sealed`, `Visible`, `Held` or
//! `Authored` content; every change of the catalogue is a `write` whose closure returns what happened.
//!
//! How to add
//! * a table or column: a new `schema/NNNN_name.sql`, listed in `migrate.rs`; never edit one that has landed.
//! * a question readers ask: a method on the view of the permit it takes (`read_view`, `review_view`, `author_view`).
//! * a change: a method on `Write` in the file of its table; it is called inside `Store::write`.
//! * a hot query: a line in `tests/plans.rs`.
//! * an invariant of the data at rest: `check.rs`.

mod advisories;
mod audit;
mod author_view;
mod check;
mod checkpoints;
mod concerns;
mod connection;
mod content_reports;
mod copies;
mod deliveries;
mod deposits;
mod downloads;
mod drafts;
mod evaluations;
mod exceptions;
mod findings;
mod firings;
mod freezes;
mod gc;
mod gc_runs;
mod generations;
mod job_admin;
mod jobs;
mod knowledge;
mod ledger;
mod marks;
mod measure;
mod migrate;
mod notes;
mod operations;
mod outbox;
mod outbox_admin;
mod owners;
mod policies;
mod pool;
mod prune;
mod quarantine;
mod quarantine_list;
mod read_view;
mod reevaluations;
mod repos;
mod reservations;
mod retention;
mod review_view;
mod rows;
mod search;
mod settings;
mod space;
mod spelling;
mod steps;
mod survey;
mod sweeps;
mod tags;
mod tokens;
mod upgrade;
mod uploads;
mod versions;
mod waiver_use;
mod waivers;
mod webhooks;
mod write;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

pub use advisories::{AdvisorySnapshot, StagedAdvisories, StoredAdvisory};
pub use audit::{AuditFilter, AuditRow, ChainFault};
pub use author_view::{AuthorView, Dossier, Question};
pub use check::{CheckReport, check, check_audit};
pub use concerns::Concerns;
pub use content_reports::Unread;
pub use copies::{CopiedDatabase, copy_database, intact_trail, migrate_copy, newest_schema, record_alone};
pub use deliveries::{Attempt, DeliveryRow, Sendable};
pub use deposits::{Deposited, NewDeposit};
pub use drafts::{ENTRIES_LIMIT, NewEntry};
pub use evaluations::{Evaluation, EvaluationFilter, RecordedEvaluation, RecordedWords};
pub use firings::{FIRINGS_KEPT_DAYS, FIRINGS_LIMIT, Firing, Firings};
pub use freezes::NewFreeze;
pub use gc::LooseBlob;
pub use gc_runs::{GcPlan, GcRun, GcTally};
pub use generations::{Generation, Generations};
pub use job_admin::{JobFilter, JobRow};
pub use jobs::{Expectation, JobKind, JobState, LONGEST_ROUND_MS, LeasedJob, Outcome, QueueLimits};
pub use ledger::{Ledger, LedgerPage};
pub use notes::Note;
pub use operations::{COUNT_LIMIT, DatabaseFiles, OpsSummary, OutboxFigures};
pub use outbox::{OutboxRow, OutboxState, RelayReport};
pub use outbox_admin::OutboxFilter;
pub use policies::{ListedRevision, NewPolicy, PolicyRevision, PolicySnapshot};
pub use quarantine_list::ListedHold;
pub use read_view::ReadView;
pub use reevaluations::{Case, Reevaluated};
pub use reservations::NewReservation;
pub use retention::Leaving;
pub use review_view::ReviewView;
pub use rows::Page;
pub use search::{Fragment, HITS_LIMIT, More, PackageHit, PackagePage, SearchHit, SearchPage, SearchQuery};
pub use search::{INDEX_UNAVAILABLE, RebuildProgress, RebuildStep, SearchStatus};
pub use search::{IndexCare, IndexFault, IndexState, Indexed, SearchIndex, repair_index};
pub use steps::Admission;
pub use survey::{SurveyPage, Surveyed};
pub use sweeps::{SweepPiece, SweepRow, SweepScope};
pub use tokens::{NewToken, TokenRow};
pub use upgrade::{UpgradePlan, plan_of_upgrade};
pub use uploads::{Upload, UploadState};
pub use waiver_use::{ListedWaiver, WaiverFilter};
pub use waivers::{Approval, NewWaiver, WaiverTarget};
pub use webhooks::{NewWebhook, WebhookChange, WebhookRow};
pub use write::{Bookkeeping, Done, Write};

use crate::clock::Clock;
use crate::domain::access::Write as Writing;
use crate::domain::access::{Acting, Permit, Promote, Read};
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::pulse::Pulse;

/// Where the database lies and how much it may use.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The data directory; `state.db` and `search.db` lie in it.
    pub directory: PathBuf,
    /// Read-only connections kept.
    pub readers: u32,
    /// Writes that share one commit at most.
    pub group_limit: usize,
    /// Writes that may wait for the writer; more wait for room.
    pub queue_limit: usize,
}

impl StoreOptions {
    /// The usual limits for `directory`.
    #[must_use]
    pub fn at(directory: &Path) -> StoreOptions {
        StoreOptions { directory: directory.to_owned(), readers: 8, group_limit: 64, queue_limit: 1024 }
    }
}

/// The catalogue: one writer, many readers.
pub struct Store {
    readers: r2d2::Pool<pool::Readers>,
    writer: writer::Writer,
    notes: notes::Notes,
    fetches: downloads::Fetches,
    clock: Arc<dyn Clock>,
    identity_generation: Arc<AtomicU64>,
    generations: Arc<Generations>,
    queue_wake: Arc<watch::Sender<u64>>,
    search: Arc<SearchIndex>,
    directory: PathBuf,
    /// The file that the connections have open.
    file: Option<(u64, u64)>,
    opened_at: Time,
    pulse: Arc<Pulse>,
    metrics: Arc<Metrics>,
    search_seen: measure::SearchSeen,
}

impl Store {
    /// Opens the catalogue in `options.directory`, creating or migrating it first.
    ///
    /// # Errors
    /// Refuses a schema newer than this binary; internal when SQLite fails.
    pub fn open(options: &StoreOptions, clock: Arc<dyn Clock>) -> Result<Store> {
        let metrics = Arc::new(Metrics::new(clock.now()));
        let path = options.directory.join("state.db");
        let mut connection = connection::open_writer(&path)?;
        upgrade::keep_copy(&connection, &options.directory)?;
        migrate::migrate(&mut connection, migrate::STATE)?;
        checkpoints::watch(&mut connection, &metrics)?;
        let readers = pool::open(&path, options.readers)?;
        let identity_generation = Arc::new(AtomicU64::new(1));
        let generations = Arc::<Generations>::default();
        let queue_wake = Arc::new(watch::Sender::new(0));
        let search = Arc::new(SearchIndex::new(&options.directory, Arc::clone(&queue_wake)));
        search::recall(&connection, &search)?;
        let effects = writer::Shared {
            identity_generation: Arc::clone(&identity_generation),
            generations: Arc::clone(&generations),
            queue_wake: Arc::clone(&queue_wake),
            search: Arc::clone(&search),
            metrics: Arc::clone(&metrics),
        };
        let writer = writer::Writer::start(connection, Arc::clone(&clock), effects, options)?;
        let store = Store {
            readers,
            writer,
            notes: notes::Notes::default(),
            fetches: downloads::Fetches::default(),
            opened_at: clock.now(),
            clock,
            identity_generation,
            generations,
            queue_wake,
            search,
            directory: options.directory.clone(),
            file: connection::file_at(&path),
            pulse: Arc::default(),
            metrics,
            search_seen: measure::SearchSeen::default(),
        };
        store.expect_kinds();
        Ok(store)
    }

    /// All that a reader can ask of a repo, at one moment.
    ///
    /// # Errors
    /// `unavailable` when no connection gets free.
    pub fn read(&self, permit: &Permit<Read>) -> Result<ReadView> {
        Ok(ReadView::new(self.connection()?, permit.clone()))
    }

    /// All that a reviewer can ask of a repo, at one moment.
    ///
    /// # Errors
    /// `unavailable` when no connection gets free.
    pub fn review(&self, permit: &Permit<Promote>) -> Result<ReviewView> {
        Ok(ReviewView::new(self.connection()?, permit.clone()))
    }

    /// All that a publisher can ask of a repo, at one moment.
    ///
    /// # Errors
    /// `unavailable` when no connection gets free.
    pub fn author(&self, permit: &Permit<Writing>) -> Result<AuthorView> {
        Ok(AuthorView::new(self.connection()?, permit.clone()))
    }

    /// Runs `work` in one transaction together with the audit rows and outbox events of what it says happened, and
    /// returns once the commit is on disk. `Err` means that nothing happened.
    ///
    /// # Errors
    /// What `work` returns; `insufficient_storage`, `unavailable` or internal when the commit fails.
    pub async fn write<T, F>(&self, actor: &impl Acting, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Write<'_>) -> Result<Done<T>> + Send + 'static,
    {
        self.writer.write(actor.actor(), work).await
    }

    /// Runs `work` on the queue's own tables: claims, completions, retries, stamps. These alone have no events.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn bookkeep<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Bookkeeping<'_>) -> Result<T> + Send + 'static,
    {
        self.writer.bookkeep(work).await
    }

    /// A number that changes whenever tokens, bindings or repos do, before the change is acknowledged.
    #[must_use]
    pub fn identity_generation(&self) -> u64 {
        self.identity_generation.load(Ordering::SeqCst)
    }

    /// The generations of what readers are shown.
    #[must_use]
    pub fn generations(&self) -> &Arc<Generations> {
        &self.generations
    }

    /// A channel that changes whenever a commit has put something into the outbox or the queue. Each receiver sees every
    /// change: however many wait, no wake-up is lost. Mark it seen before looking at the queue, not after.
    #[must_use]
    pub fn queue_wakes(&self) -> watch::Receiver<u64> {
        self.queue_wake.subscribe()
    }

    /// The derived index.
    #[must_use]
    pub fn search_index(&self) -> &SearchIndex {
        &self.search
    }

    /// The clock that stamps every write.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Where who asks for a sign of life of the background work meets who gives it.
    #[must_use]
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// What this process counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    fn connection(&self) -> Result<pool::Reader> {
        self.readers
            .get()
            .map_err(|cause| Error::new(crate::error::Code::Unavailable, "the server is busy; try again in a moment").because(cause))
    }
}
