//! How far a happening reaches: which rendered indexes may say something else after it. Invariant: an exhaustive match decides, so a
//! new happening does not compile until somebody says which pages it changes; too far costs a rendering, too near shows what was withdrawn.

use super::event::{Event, Named};
use super::exception::ExceptionEvent;
use super::id::VersionId;
use super::mark::MarkEvent;
use super::name::{Coordinates, PackageName, RepoKey};

/// A part of the catalogue whose indexes may be out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'a> {
    /// One package of a repo, and the lists of the repo's packages.
    Package(&'a RepoKey, &'a PackageName),
    /// Everything in a repo.
    Repo(&'a RepoKey),
    /// Everything.
    Instance,
}

impl Named {
    /// The version of these coordinates in a repo, as an event names it.
    #[must_use]
    pub fn new(repo: &RepoKey, version_id: VersionId, coordinates: &Coordinates) -> Named {
        Named { repo: repo.clone(), version_id, package: coordinates.package().clone(), purl: coordinates.purl() }
    }

    fn reach(&self) -> Reach<'_> {
        Reach::Package(&self.repo, &self.package)
    }
}

impl Event {
    /// What an index may say otherwise after this. The rule is a simple one: what names a version reaches its package, also where
    /// readers see nothing of it, such as a draft or a vote; what names a repo alone and is not about people reaches the repo.
    #[must_use]
    pub fn reach(&self) -> Vec<Reach<'_>> {
        match self {
            Event::DraftCreated { version }
            | Event::DraftReused { version }
            | Event::DraftRemoved { version, .. }
            | Event::EntriesSet { version, .. }
            | Event::EntryRemoved { version, .. }
            | Event::ManifestSet { version, .. }
            | Event::Published { version }
            | Event::Tombstoned { version, .. }
            | Event::Restored { version }
            | Event::Yanked { version, .. }
            | Event::Unyanked { version }
            | Event::ProtectionSet { version, .. }
            | Event::ProtectionLifted { version }
            | Event::PolicyEvaluated { version, .. }
            | Event::PolicyDenied { version, .. }
            | Event::PolicyTimedOut { version, .. }
            | Event::PolicyFailed { version, .. }
            | Event::HoldCreated { version, .. }
            | Event::HoldVoted { version, .. }
            | Event::HoldReleased { version, .. }
            | Event::HoldRejected { version, .. }
            | Event::HoldInspected { version, .. } => vec![version.reach()],
            Event::Promoted { source, target, .. } => vec![source.reach(), target.reach()],
            Event::RepoCreated { repo } | Event::RepoUpdated { repo, .. } | Event::RepoDeleted { repo } => vec![Reach::Repo(repo)],
            Event::PolicyUpdated { repo, .. } => vec![repo.as_ref().map_or(Reach::Instance, Reach::Repo)],
            Event::AdvisoriesImported { .. } => vec![Reach::Instance],
            Event::Exception(said) => said.reach().into_iter().collect(),
            Event::Mark(said) => vec![said.reach()],
            // A purged version was in no index, and what may be used is in none.
            Event::Space(_) => Vec::new(),
            // Who may read is asked at each request, before any page; uploads, searches, jobs and webhooks are in no index.
            Event::TokenIssued { .. }
            | Event::TokenRevoked { .. }
            | Event::AuthenticationFailed { .. }
            | Event::BindingSet { .. }
            | Event::BindingRemoved { .. }
            | Event::UploadCreated { .. }
            | Event::UploadCommitted { .. }
            | Event::UploadAborted { .. }
            | Event::UploadVerificationFailed { .. }
            | Event::ReadBlocked { .. }
            | Event::SearchRebuildRequested
            | Event::SearchPaused
            | Event::SearchResumed
            | Event::JobRetried { .. }
            | Event::JobCancelled { .. }
            | Event::JobsRetried { .. }
            | Event::OutboxEventRetried { .. }
            | Event::BackupCreated(_)
            | Event::Webhook(_) => Vec::new(),
        }
    }
}

impl MarkEvent {
    /// As for [`Event::reach`].
    fn reach(&self) -> Reach<'_> {
        match self {
            MarkEvent::TagSet { package, version, .. } | MarkEvent::TagRemoved { package, version, .. } => {
                Reach::Package(&version.repo, package)
            }
            MarkEvent::OwnersChanged { repo, package, .. } => Reach::Package(repo, package),
        }
    }
}

impl ExceptionEvent {
    /// As for [`Event::reach`]. What is judged again after this tells of its own change, if there is one.
    fn reach(&self) -> Option<Reach<'_>> {
        match self {
            ExceptionEvent::ReservationCreated(reservation) | ExceptionEvent::ReservationDeleted(reservation) => {
                Some(Reach::Repo(&reservation.repo))
            }
            ExceptionEvent::FreezeSet(freeze) | ExceptionEvent::FreezeLifted(freeze) => {
                Some(freeze.repo.as_ref().map_or(Reach::Instance, Reach::Repo))
            }
            ExceptionEvent::ScanReported { version, .. } | ExceptionEvent::ScanRemoved { version, .. } => Some(version.reach()),
            ExceptionEvent::WaiverCreated(waiver) | ExceptionEvent::WaiverApproved(waiver) | ExceptionEvent::WaiverRevoked(waiver) => {
                Some(Reach::Package(&waiver.repo, &waiver.package))
            }
            // Nothing was kept, and anybody who may publish could send one after the other.
            ExceptionEvent::ReservedNameRefused { .. } => None,
        }
    }
}
