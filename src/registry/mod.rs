//! The verbs of the registry. Invariant: nothing becomes visible here but through `admission`, the one door in, which asks
//! the gate first; nothing is read but through the views of the store.
//!
//! How to add
//! * a way in: call `admission` with a new `Action`; there is no other method of the store that publishes.
//! * a verb that reads: a plain function on `Registry`; the caller runs it by `App::run`.
//! * a verb that writes: an async function that ends in `Store::write` with its `Event`.
//! * a fact for policies: `policy::facts`, from the `Candidate`.

mod admission;
mod advisories;
mod backups;
mod browse;
mod concerns;
mod dry_run;
mod evaluations;
mod findings;
mod firings;
mod freezes;
mod gate;
mod gc;
mod health;
mod holds;
mod inspection;
mod kept;
mod lifecycle;
mod marks;
mod operations;
mod policies;
mod proof;
mod reconcile;
mod reevaluation;
mod repos;
mod reservations;
mod search;
mod slots;
mod space;
mod upload;
mod verifying;
mod waivers;
mod webhooks;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use admission::{Admitted, Deposit};
pub use advisories::{Advisories, ImportReport};
pub use browse::{Located, VersionSight};
pub use concerns::{AUDIT_PACKAGES_LIMIT, AUDIT_VERSIONS_LIMIT};
pub use dry_run::{Change, DryRun, Extent, Progress, Tally, Trial};
pub use evaluations::{Checking, Drift, EvaluationRequest, WhichRecords};
pub use gate::{Gate, GateLimits};
pub use health::Health;
pub use holds::HoldNotice;
pub use inspection::{InspectionLimits, Inspector};
pub use kept::Kept;
pub use marks::ListedTag;
pub use operations::{RETRY_LIMIT, Retried};
pub use policies::{OfferedPolicy, StoredPolicy};
pub use proof::{Mismatch, Proof, Today};
pub use reconcile::{Faulty, Reconciliation};
pub use reevaluation::Reevaluation;
pub use search::PACKAGES_PAGE_LIMIT;
pub use space::{RetentionPlan, Room};
pub use upload::{BlobSource, Received, UploadStart};
pub use verifying::{Finding, Stretch, Verified, Verifying, parsed, prove};
pub use waivers::WaiverRequest;

// What the verbs take and give, for rooms that may not name the store.
pub use crate::advisories::{Concern, Details, Kind as ConcernKind};
pub use crate::store::{AdvisorySnapshot, Concerns, StoredAdvisory};
pub use crate::store::{Approval, ListedWaiver, WaiverFilter, WaiverTarget};
pub use crate::store::{Attempt, DeliveryRow, NewWebhook, WebhookChange, WebhookRow};
pub use crate::store::{
    AuditFilter, AuditRow, COUNT_LIMIT, Evaluation, EvaluationFilter, JobFilter, JobKind, JobRow, JobState, ListedRevision, OpsSummary,
    OutboxFilter, OutboxRow, SweepRow,
};
pub use crate::store::{FIRINGS_KEPT_DAYS, Firing, Firings};
pub use crate::store::{Fragment, HITS_LIMIT, More, PackageHit, PackagePage, SearchHit, SearchPage, SearchQuery, SearchStatus};
pub use crate::store::{GcPlan, GcRun, GcTally, Leaving};
pub use crate::store::{NewEntry, NewFreeze, NewReservation, Upload, UploadState};
pub use crate::store::{OutboxState, Page, PolicyRevision, RecordedEvaluation};

pub use crate::blobs::DiskSpace;
pub use crate::metrics::OPEN_METRICS;
pub use crate::pulse::Workers;

use crate::blobs::Blobs;
use crate::domain::access::{Acting, Permit, Read};
use crate::domain::candidate::Reason;
use crate::domain::visibility::{Refusal, Standing};
use crate::error::{Code, Error};
use crate::store::{Note, Store};

/// The verbs, with what they work on.
pub struct Registry {
    store: Arc<Store>,
    blobs: Blobs,
    gate: Gate,
    inspector: Inspector,
    advisories: Advisories,
    upload_expire_ms: i64,
    /// One look through all that is stored at a time.
    trials: Arc<Semaphore>,
    /// One collection at a time.
    collections: Arc<Semaphore>,
    explanations: Semaphore,
}

impl Registry {
    /// The registry over a store and its blobs, judged by `gate` once `inspector` has read them; open uploads live `upload_expire_ms`.
    #[must_use]
    pub fn new(store: Arc<Store>, blobs: Blobs, gate: Gate, inspector: Inspector, upload_expire_ms: i64) -> Registry {
        let advisories = Advisories::new(Arc::clone(&store));
        Registry {
            store,
            blobs,
            gate,
            inspector,
            advisories,
            upload_expire_ms,
            trials: Arc::new(Semaphore::new(1)),
            collections: Arc::new(Semaphore::new(1)),
            explanations: Semaphore::new(1),
        }
    }

    /// The error for a door that did not open; a blocked read is remembered for the audit. Somebody without credentials
    /// learns the kind of reason only.
    fn refused(&self, permit: &Permit<Read>, mut refusal: Refusal, code: Code, what: &str) -> Error {
        if let Refusal::Withheld(standing) = &mut refusal {
            self.note_blocked(permit, standing, what);
            if let Some(hold) = standing.hold.as_mut().filter(|_| !permit.caller().is_authenticated()) {
                hold.reasons = hold.reasons.iter().map(Reason::in_general).collect();
                hold.reasons.dedup();
            }
        }
        refusal.into_error(code, what)
    }

    /// Remembers that somebody asked for something withheld.
    pub fn note_blocked(&self, permit: &Permit<Read>, standing: &Standing, what: &str) {
        let quarantine_id = standing.hold.as_ref().map(|hold| hold.quarantine_id);
        self.store.note(&permit.actor(), Note::ReadBlocked { repo: permit.repo_key().clone(), resource: what.to_owned(), quarantine_id });
    }
}
