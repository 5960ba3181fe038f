//! What people and scanners say of a version beside the policies. Invariant: read at one moment, and answered for one question: the
//! answer has a digest, and a verdict made with another answer than the write finds is stale.

use rusqlite::{Connection, named_params};
use serde_json::json;

use super::{findings, freezes, reservations, rows};
use crate::domain::advisory::ScanFinding;
use crate::domain::candidate::{Action, Decision, Reason};
use crate::domain::digest::Digest;
use crate::domain::freeze::Freeze;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::reservation::Reservation;
use crate::domain::time::Time;
use crate::domain::version::Release;
use crate::error::Result;

/// All that could matter, whatever is asked.
#[derive(Debug)]
pub(super) struct Exceptions {
    reservations: Vec<Reservation>,
    freeze: Option<Freeze>,
    scans: Vec<ScanFinding>,
    waived: Waived,
    brought_by: Subject,
}

/// The rules that are waived for a version, as `waiver_of` files them: those that hold, and those that deny.
#[derive(Debug, Default)]
struct Waived {
    holds: Vec<String>,
    denials: Vec<String>,
    end_at: Option<Time>,
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
    let (package, content) = (release.version.coordinates.package(), findings::digest_of(release));
    Ok(Exceptions {
        reservations: reservations::matching(connection, target, package)?,
        freeze: freezes::holding(connection, target, package.package_type(), release.version.first_seen_at)?,
        scans: findings::of_content(connection, &release.version.id, &content)?.into_iter().map(|finding| finding.said).collect(),
        // What a reviewer of one repo waives is not waived in another.
        waived: if source == target { waived(connection, release, &content)? } else { Waived::default() },
        brought_by: release.version.created_by.clone(),
    })
}

/// The rules that are waived for exactly this content.
fn waived(connection: &Connection, release: &Release, content: &Digest) -> Result<Waived> {
    let mut statement =
        connection.prepare_cached("SELECT rule, covers FROM waivers WHERE version_id = :id AND content_digest = :digest")?;
    let mut found = statement.query(named_params! {":id": release.version.id.to_string(), ":digest": content.to_string()})?;
    let mut waived = Waived::default();
    while let Some(row) = found.next()? {
        match rows::parse(row, "covers")? {
            Decision::Deny => waived.denials.push(row.get("rule")?),
            Decision::Quarantine | Decision::Allow => waived.holds.push(row.get("rule")?),
        }
    }
    Ok(waived)
}

impl Exceptions {
    /// What matters to a question about `action`.
    pub(super) fn answer(&self, action: Action) -> Answer {
        // Who asks is no matter here: a reviewer or the server itself may ask again about what a publisher has brought.
        let bars = |reservation: &&Reservation| reservation.bars(action, &self.brought_by);
        let reserved = self.reservations.iter().find(bars).map(Reservation::order);
        let orders = reserved.into_iter().chain(self.freeze.as_ref().map(Freeze::order)).collect();
        let Waived { holds, denials, end_at } = &self.waived;
        Answer { holds: holds.clone(), denials: denials.clone(), end_at: *end_at, scans: self.scans.clone(), orders }
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
