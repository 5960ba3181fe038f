//! What people say beside the policies: reserved names, and what else keeps things out or lets them in. Invariant: each saying and its
//! end has an audit row, and says itself what must be judged again after it.

use serde_json::{Value, json};

use super::candidate::{Action, Reason};
use super::event::{AuditEntry, Named};
use super::finding::Finding;
use super::freeze::{Freeze, type_text};
use super::id::{ReservationId, VersionId};
use super::name::{PackageName, RepoKey};
use super::reservation::Reservation;

/// Something that was said beside the policies, or taken back.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants and members say what they are; the audit actions below are their contract")]
pub enum ExceptionEvent {
    ReservationCreated(Reservation),
    ReservationDeleted(Reservation),
    FreezeSet(Freeze),
    FreezeLifted(Freeze),
    ScanReported {
        version: Named,
        finding: Finding,
    },
    ScanRemoved {
        version: Named,
        finding: Finding,
    },
    /// Somebody tried to bring a reserved name and was sent away before anything was kept.
    ReservedNameRefused {
        repo: RepoKey,
        package: PackageName,
        action: Action,
        reservation_id: ReservationId,
        reason: Reason,
    },
}

/// What must be judged again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepScope {
    /// Everything.
    Instance,
    /// What is in one repo.
    Repo(RepoKey),
    /// The versions of one package of a repo.
    Package(RepoKey, PackageName),
    /// One version.
    Version(RepoKey, VersionId),
}

fn of_reservation(action: &'static str, reservation: &Reservation) -> AuditEntry {
    let details = json!({"repoKey": reservation.repo, "pattern": reservation.pattern, "publishers": reservation.publishers,
        "reason": reservation.reason});
    entry(action, "reservation", reservation.id, details)
}

fn of_freeze(action: &'static str, freeze: &Freeze) -> AuditEntry {
    let details = json!({"repoKey": freeze.repo, "packageType": type_text(freeze.package_type.as_ref()), "after": freeze.after,
        "reason": freeze.reason});
    entry(action, "freeze", freeze.id, details)
}

fn of_scan(action: &'static str, version: &Named, finding: &Finding) -> AuditEntry {
    let details = json!({"repoKey": version.repo, "purl": version.purl, "scanner": finding.said.scanner, "status": finding.said.status,
        "severity": finding.said.severity, "ids": finding.said.ids, "contentDigest": finding.content_digest});
    entry(action, "version", version.version_id, details)
}

fn entry(action: &'static str, resource_type: &'static str, id: impl ToString, details: Value) -> AuditEntry {
    AuditEntry { action, resource_type, resource_id: id.to_string(), details }
}

impl ExceptionEvent {
    /// The audit row of this happening.
    #[must_use]
    pub fn audit(&self) -> AuditEntry {
        match self {
            ExceptionEvent::ReservationCreated(reservation) => of_reservation("repo.reservation.created", reservation),
            ExceptionEvent::ReservationDeleted(reservation) => of_reservation("repo.reservation.deleted", reservation),
            ExceptionEvent::FreezeSet(freeze) => of_freeze("freeze.set", freeze),
            ExceptionEvent::FreezeLifted(freeze) => of_freeze("freeze.lifted", freeze),
            ExceptionEvent::ScanReported { version, finding } => of_scan("scan.reported", version, finding),
            ExceptionEvent::ScanRemoved { version, finding } => of_scan("scan.removed", version, finding),
            ExceptionEvent::ReservedNameRefused { repo, package, action, reservation_id, reason } => {
                // Nothing was evaluated: there is no evaluation to name.
                let details = json!({"repoKey": repo, "action": action, "reservationId": reservation_id, "reasons": [reason]});
                entry("policy.denied", "package", format!("{}:{package}", package.package_type()), details)
            }
        }
    }

    /// What must be judged again after this; `None` when it changes no verdict.
    #[must_use]
    pub fn wants_sweep(&self) -> Option<SweepScope> {
        match self {
            ExceptionEvent::ReservationCreated(reservation) | ExceptionEvent::ReservationDeleted(reservation) => {
                Some(SweepScope::Repo(reservation.repo.clone()))
            }
            ExceptionEvent::FreezeSet(freeze) | ExceptionEvent::FreezeLifted(freeze) => {
                Some(freeze.repo.clone().map_or(SweepScope::Instance, SweepScope::Repo))
            }
            ExceptionEvent::ScanReported { version, .. } | ExceptionEvent::ScanRemoved { version, .. } => {
                Some(SweepScope::Version(version.repo.clone(), version.version_id))
            }
            ExceptionEvent::ReservedNameRefused { .. } => None,
        }
    }
}
