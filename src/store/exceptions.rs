//! What people and scanners say of a version beside the policies. Invariant: read at one moment, and answered for one question: the
//! answer has a digest, and a verdict made with another answer than the write finds is stale.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::json;

use super::{findings, freezes, reservations, rows, waivers};
use crate::domain::advisory::ScanFinding;
use crate::domain::candidate::{Action, Decision, Reason};
use crate::domain::digest::Digest;
use crate::domain::freeze::Freeze;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::reservation::Reservation;
use crate::domain::time::Time;
use crate::domain::version::Release;
use crate::domain::waiver::{Waiver, WaiverState};
use crate::error::Result;

/// All that could matter, whatever is asked.
#[derive(Debug)]
pub(super) struct Exceptions {
    reservations: Vec<Reservation>,
    freeze: Option<Freeze>,
    scans: Vec<ScanFinding>,
    waivers: Vec<Waiver>,
    brought_by: Subject,
}

/// What of it matters to one question.
#[derive(Debug)]
pub(super) struct Answer {
    /// Rules that hold and are waived, as `waiver_of` files them.
    pub(super) holds: Vec<String>,
    /// Rules that deny and are waived.
    pub(super) denials: Vec<String>,
    /// When the first of these waivers ends.
    pub(super) end_at: Option<Time>,
    /// What external scanners say of this content.
    pub(super) scans: Vec<ScanFinding>,
    /// What the server orders.
    pub(super) orders: Vec<Reason>,
}

/// Reads what concerns `release`, a version of `source`, on its way into `target`.
pub(super) fn read(connection: &Connection, source: &RepoKey, release: &Release, target: &RepoKey) -> Result<Exceptions> {
    let (version, content) = (&release.version, findings::digest_of(release));
    let package = version.coordinates.package();
    Ok(Exceptions {
        reservations: reservations::matching(connection, target, package)?,
        freeze: freezes::holding(connection, target, package.package_type(), version.first_seen_at)?,
        scans: findings::of_content(connection, &version.id, &content)?.into_iter().map(|finding| finding.said).collect(),
        // What is waived in one repo is not waived in another.
        waivers: if source == target {
            waivers::having(connection, target, (&version.id, &version.coordinates), &content)?
        } else {
            Vec::new()
        },
        brought_by: version.created_by.clone(),
    })
}

impl Exceptions {
    /// What matters to a question about `action`, asked at `at`.
    pub(super) fn answer(&self, action: Action, at: Time) -> Answer {
        // Who asks is no matter here: a reviewer or the server itself may ask again about what a publisher has brought.
        let bars = |reservation: &&Reservation| reservation.bars(action, &self.brought_by);
        let reserved = self.reservations.iter().find(bars).map(Reservation::order);
        let orders = reserved.into_iter().chain(self.freeze.as_ref().map(Freeze::order)).collect();
        let counting = || self.waivers.iter().filter(|waiver| waiver.state(at) == WaiverState::Active);
        let rules = |covers: Decision| {
            let rules: BTreeSet<String> = counting().filter(|waiver| waiver.covers == covers).map(|waiver| waiver.rule.clone()).collect();
            rules.into_iter().collect()
        };
        Answer {
            holds: rules(Decision::Quarantine),
            denials: rules(Decision::Deny),
            end_at: counting().filter_map(|waiver| waiver.expires_at).min(),
            scans: self.scans.clone(),
            orders,
        }
    }
}

impl Answer {
    /// The digest that a verdict carries.
    ///
    /// # Errors
    /// Internal, when it cannot be written as JSON.
    pub(super) fn digest(&self) -> Result<Digest> {
        let text = rows::json_text(&json!({"holds": self.holds, "denials": self.denials, "scans": self.scans, "orders": self.orders}))?;
        Ok(Digest::of(text.as_bytes()))
    }
}
