//! Holds: opening, voting, resolving. Invariant: an item is resolved once, together with its version, in one transaction;
//! a release writes the waiver for exactly the content and the rules that were held.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::downloads;
use super::evaluations::NewEvaluation;
use super::rows;
use super::steps::evaluated;
use super::versions;
use super::write::{Done, Write};
use crate::domain::access::{Permit, Promote};
use crate::domain::candidate::{Decision, Reason};
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::id::{EvaluationId, QuarantineId, VersionId};
use crate::domain::lifecycle::{HeldFrom, State, Step};
use crate::domain::name::{RepoKey, Subject};
use crate::domain::quarantine::{Ballot, QuarantineItem, QuarantineStatus, Resolution, Vote};
use crate::domain::time::Time;
use crate::domain::version::Version;
use crate::domain::visibility::{Sight, decide};
use crate::error::{Code, Error, Result};
use crate::policy::Verdict;

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<QuarantineItem> {
    let resolution = match rows::time_optional(row, "resolved_at")? {
        Some(at) => Some(Resolution { at, by: versions::subject(row, "resolved_by")?, comment: row.get("comment")? }),
        None => None,
    };
    Ok(QuarantineItem {
        id: rows::parse(row, "quarantine_id")?,
        repo: rows::parse(row, "repo_key")?,
        version_id: rows::parse(row, "version_id")?,
        status: rows::parse(row, "status")?,
        held_from: rows::parse(row, "held_from")?,
        content_digest: rows::parse(row, "content_digest")?,
        evaluation_id: rows::parse_optional(row, "evaluation_id")?,
        reasons: rows::json(row, "reasons")?,
        created_at: rows::time(row, "created_at")?,
        opens_at: rows::time_optional(row, "opens_at")?,
        created_by: versions::subject(row, "created_by")?,
        resolution,
        votes: Vec::new(),
    })
}

/// The votes on an item, oldest first.
pub(super) fn votes(connection: &Connection, id: &QuarantineId) -> rusqlite::Result<Vec<Vote>> {
    let mut statement = connection.prepare_cached("SELECT * FROM quarantine_votes WHERE quarantine_id = :id ORDER BY at, subject")?;
    let found = statement.query_map(named_params! {":id": id.to_string()}, |row| {
        Ok(Vote {
            subject: versions::subject(row, "subject")?,
            ballot: rows::parse(row, "ballot")?,
            comment: row.get("comment")?,
            at: rows::time(row, "at")?,
        })
    })?;
    found.collect()
}

/// The item with this id in this repo, with its votes.
pub(super) fn find(connection: &Connection, repo: &RepoKey, id: &QuarantineId) -> Result<Option<QuarantineItem>> {
    let found = connection
        .prepare_cached("SELECT * FROM quarantine_items WHERE quarantine_id = :id AND repo_key = :repo")?
        .query_row(named_params! {":id": id.to_string(), ":repo": repo.as_str()}, read)
        .optional()?;
    let Some(mut item) = found else { return Ok(None) };
    item.votes = votes(connection, id)?;
    Ok(Some(item))
}

/// The error for an item that somebody resolved before.
fn resolved(item: &QuarantineItem) -> Error {
    let (by, at) = item.resolution.as_ref().map_or((String::new(), String::new()), |end| (end.by.to_string(), end.at.to_string()));
    Error::new(Code::QuarantineResolved, format!("{} was already {} by {by} at {at}", item.id, item.status))
        .with("status", item.status.as_str())
        .with("resolvedBySubject", by)
        .with("resolvedAt", at)
}

impl Write<'_> {
    /// Inserts a hold on a version that is being moved to `quarantined`.
    pub(super) fn open_hold(
        &mut self,
        version: &Version,
        held_from: HeldFrom,
        content: &Digest,
        evaluation: Option<&EvaluationId>,
        why: (&[Reason], Option<Time>),
    ) -> Result<QuarantineId> {
        let (reasons, opens_at) = why;
        let id = QuarantineId::new(self.uuid());
        self.connection()
            .prepare_cached(
                "INSERT INTO quarantine_items (quarantine_id, repo_key, version_id, status, held_from, content_digest, evaluation_id, reasons, opens_at, created_at, created_by)
                 VALUES (:id, :repo, :version, :status, :held_from, :content, :evaluation, :reasons, :opens_at, :now, :by)",
            )?
            .execute(named_params! {
                ":id": id.to_string(), ":repo": version.repo.as_str(), ":version": version.id.to_string(), ":status": QuarantineStatus::Quarantined.as_str(),
                ":held_from": held_from.as_str(), ":content": content.to_string(), ":evaluation": evaluation.map(EvaluationId::to_string),
                ":reasons": rows::json_text(&reasons)?, ":opens_at": opens_at.map(Time::unix_ms), ":now": self.now().unix_ms(), ":by": self.actor().subject.as_str(),
            })?;
        Ok(id)
    }

    /// Says anew when an open hold will be allowed.
    pub(super) fn set_opening(&mut self, id: &QuarantineId, opens_at: Option<Time>) -> Result<()> {
        self.connection()
            .prepare_cached("UPDATE quarantine_items SET opens_at = :opens_at WHERE quarantine_id = :id AND status = :open")?
            .execute(named_params! {
                ":id": id.to_string(), ":opens_at": opens_at.map(Time::unix_ms), ":open": QuarantineStatus::Quarantined.as_str(),
            })?;
        Ok(())
    }

    /// The event of a hold: for what was visible, with who fetched it.
    pub(super) fn hold_created(
        &self,
        quarantine_id: QuarantineId,
        version: &Version,
        held_from: HeldFrom,
        reasons: Vec<Reason>,
    ) -> Result<Event> {
        let fetched_by = match held_from {
            HeldFrom::Published => Some(downloads::fetched_by(self.connection(), &version.id)?),
            HeldFrom::Draft | HeldFrom::Publish | HeldFrom::Restore => None,
        };
        Ok(Event::HoldCreated { quarantine_id, version: versions::named(version), reasons, fetched_by })
    }

    /// Holds a published version by hand.
    ///
    /// # Errors
    /// `conflict` when the version is not published; `not_found`.
    pub fn hold(&mut self, permit: &Permit<Promote>, id: &VersionId, reason: &Reason) -> Result<Done<QuarantineItem>> {
        let version = self.found(permit.repo_key(), id)?.content;
        let Some(content) = version.content_digest.filter(|_| version.state == State::Published) else {
            return Err(Error::conflict(format!("{} is {}; only a published version is held by hand", version.coordinates, version.state))
                .with("status", version.state.as_str()));
        };
        self.step(&version, Step::Hold, None, None)?;
        let reasons = vec![reason.clone()];
        let quarantine_id = self.open_hold(&version, HeldFrom::Published, &content, None, (&reasons, None))?;
        let item = self.item(permit, &quarantine_id)?;
        let held = self.hold_created(quarantine_id, &version, HeldFrom::Published, reasons)?;
        Ok(Done::new(item, held))
    }

    /// Records a verdict that somebody asked for; one that quarantines holds a draft or a published version. `None` when
    /// content or policies changed since the verdict.
    ///
    /// # Errors
    /// `not_found`.
    pub fn evaluate(&mut self, permit: &Permit<Promote>, verdict: &Verdict, reason: &str) -> Result<Done<Option<EvaluationId>>> {
        let found = self.found(permit.repo_key(), &verdict.version_id())?;
        let release = found.complete(self.connection())?.content;
        if !self.is_current(verdict, permit.repo_key(), &release)? {
            return Ok(Done::unchanged(None));
        }
        let version = release.version;
        let name = versions::named(&version);
        let held_from = match version.state {
            State::Draft => Some(HeldFrom::Draft),
            State::Published => Some(HeldFrom::Published),
            State::Quarantined | State::Rejected | State::Tombstoned => None,
        };
        let evaluation_id = EvaluationId::new(self.uuid());
        let mut hold = None;
        let held = match held_from.filter(|_| verdict.decision() == Decision::Quarantine) {
            Some(held_from) => {
                self.step(&version, Step::Hold, None, Some(&verdict.content_digest()))?;
                let reasons = verdict.reasons().to_vec();
                let id =
                    self.open_hold(&version, held_from, &verdict.content_digest(), Some(&evaluation_id), (&reasons, verdict.opens_at()))?;
                hold = Some(self.hold_created(id, &version, held_from, reasons)?);
                Some(id)
            }
            None => None,
        };
        let new = NewEvaluation { verdict, repo: permit.repo_key(), reason, quarantine_id: held.as_ref() };
        self.add_evaluation_as(&evaluation_id, &new)?;
        if version.state == State::Published || held.is_some() {
            self.schedule_next(&version.id, verdict)?;
        }
        Ok(Done::new(Some(evaluation_id), evaluated(&name, verdict, evaluation_id, held)).and_all(hold))
    }

    /// Casts one reviewer's vote and resolves the item when that settles it.
    ///
    /// # Errors
    /// `quarantine_resolved` when it is settled already; `forbidden` under dual control for whoever brought the version,
    /// `conflict` for a second release by one subject. Who voted release may still reject.
    pub fn vote(
        &mut self,
        permit: &Permit<Promote>,
        id: &QuarantineId,
        ballot: Ballot,
        comment: Option<&str>,
    ) -> Result<Done<QuarantineItem>> {
        let item = self.item(permit, id)?;
        if item.status != QuarantineStatus::Quarantined {
            return Err(resolved(&item));
        }
        let version = self.found(permit.repo_key(), &item.version_id)?.content;
        let subject = self.actor().subject.clone();
        // Read here and not from the permit: a change of the setting counts from the moment it was acknowledged.
        let dual = self.repo(permit.repo_key())?.settings.require_dual_control;
        if dual && ballot == Ballot::Release && self.has_brought(&item, &version, &subject)? {
            return Err(Error::new(Code::Forbidden, "this repo needs two reviewers other than the uploader; ask two others to release it"));
        }
        let has_voted = item.votes.iter().any(|vote| vote.subject == subject && vote.ballot == ballot);
        if has_voted && dual {
            return Err(Error::conflict("you voted on this item before; this repo needs the vote of a second reviewer"));
        }
        if !has_voted {
            self.add_vote(id, &subject, ballot, comment)?;
        }
        let name = versions::named(&version);
        let voted = Event::HoldVoted { quarantine_id: *id, version: name, ballot, comment: comment.map(str::to_owned) };
        let others = item.votes.iter().filter(|vote| vote.ballot == Ballot::Release && vote.subject != subject).count();
        let outcome = match ballot {
            Ballot::Reject => self.reject(&item, &version, comment)?,
            Ballot::Release if !dual || others >= 1 => self.release(&item, &version, comment)?,
            Ballot::Release => Vec::new(),
        };
        Ok(Done::new(self.item(permit, id)?, voted).and_all(outcome))
    }

    fn add_vote(&self, id: &QuarantineId, subject: &Subject, ballot: Ballot, comment: Option<&str>) -> Result<()> {
        self.connection()
            .prepare_cached("INSERT INTO quarantine_votes (quarantine_id, subject, ballot, comment, at) VALUES (:id, :subject, :ballot, :comment, :now)")?
            .execute(named_params! {
                ":id": id.to_string(), ":subject": subject.as_str(), ":ballot": ballot.as_str(), ":comment": comment, ":now": self.now().unix_ms(),
            })?;
        Ok(())
    }

    /// Whether this subject had a hand in bringing the held version: began its draft, put files or a manifest into it, asked
    /// for it to become visible, or did any of the first two with the same content at the same coordinate of another repo,
    /// which it may have been promoted from over any number of repos.
    fn has_brought(&self, item: &QuarantineItem, version: &Version, subject: &Subject) -> Result<bool> {
        let has_asked = match item.held_from {
            HeldFrom::Publish | HeldFrom::Restore => item.created_by == *subject,
            // Held by a reviewer, who has brought nothing by that.
            HeldFrom::Draft | HeldFrom::Published => false,
        };
        if has_asked { Ok(true) } else { self.has_brought_content(&version.id, subject) }
    }

    /// The same of a version with what it holds, whether it is held or not.
    pub(super) fn has_brought_content(&self, id: &VersionId, subject: &Subject) -> Result<bool> {
        let found = self
            .connection()
            .prepare_cached(
                "WITH brought AS (
                     SELECT other.version_id, other.created_by
                     FROM versions AS mine JOIN packages AS home USING (package_id) CROSS JOIN repos
                     JOIN packages AS away ON away.repo_key = repos.repo_key AND away.package_type = home.package_type
                       AND away.namespace_key = home.namespace_key AND away.name_key = home.name_key
                     JOIN versions AS other ON other.package_id = away.package_id AND other.version_key = mine.version_key
                       AND other.distribution = mine.distribution AND (other.version_id = mine.version_id OR other.content_digest = mine.content_digest)
                     WHERE mine.version_id = :version)
                 SELECT EXISTS (SELECT 1 FROM brought WHERE created_by = :subject)
                     OR EXISTS (SELECT 1 FROM brought JOIN audit ON audit.resource_id = brought.version_id WHERE audit.actor = :subject
                         AND audit.action IN ('package.version.draft.created', 'package.version.entries.upserted', 'package.version.manifest.upserted'))",
            )?
            .query_row(named_params! {":subject": subject.as_str(), ":version": id.to_string()}, |row| row.get(0))?;
        Ok(found)
    }

    fn release(&mut self, item: &QuarantineItem, version: &Version, comment: Option<&str>) -> Result<Vec<Event>> {
        for reason in &item.reasons {
            self.add_release_waiver(item, version, reason, comment)?;
        }
        // What the rules say besides those that are waived now may have changed while it was held.
        self.schedule_at(&version.id, self.now())?;
        self.end_hold(item, version, comment)
    }

    /// Ends a hold by releasing the version, without a waiver.
    pub(super) fn end_hold(&mut self, item: &QuarantineItem, version: &Version, comment: Option<&str>) -> Result<Vec<Event>> {
        let state = self.step(version, Step::Release, Some(item.held_from), None)?;
        self.resolve(item, QuarantineStatus::Released, comment)?;
        let name = versions::named(version);
        let mut events = vec![Event::HoldReleased { quarantine_id: item.id, version: name.clone(), state }];
        if decide(state) == Sight::Open && item.held_from != HeldFrom::Published {
            events.push(match item.held_from {
                HeldFrom::Restore => Event::Restored { version: name },
                HeldFrom::Draft | HeldFrom::Publish | HeldFrom::Published => Event::Published { version: name },
            });
        }
        Ok(events)
    }

    /// The waiver that a release writes: one rule, for exactly this content, without an end.
    fn add_release_waiver(&self, item: &QuarantineItem, version: &Version, reason: &Reason, comment: Option<&str>) -> Result<()> {
        let package = version.coordinates.package();
        self.connection()
            .prepare_cached(
                "INSERT INTO waivers (waiver_id, repo_key, scope, package_type, namespace_key, name_key, version_id, content_digest, rule, covers,
                     reason, quarantine_id, created_at, created_by, needs_approval)
                 VALUES (:waiver, :repo, 'content', :type, :namespace, :name, :version, :content, :rule, :covers, :reason, :id, :now, :by, 0)",
            )?
            .execute(named_params! {
                ":waiver": self.uuid().to_string(), ":repo": version.repo.as_str(), ":type": package.package_type().as_str(),
                ":namespace": package.namespace_key(), ":name": package.name_key(), ":version": version.id.to_string(),
                ":content": item.content_digest.to_string(), ":rule": reason.waiver(), ":covers": reason.decision.as_str(), ":reason": comment.unwrap_or_default(), ":id": item.id.to_string(),
                ":now": self.now().unix_ms(), ":by": self.actor().subject.as_str(),
            })?;
        Ok(())
    }

    fn reject(&mut self, item: &QuarantineItem, version: &Version, comment: Option<&str>) -> Result<Vec<Event>> {
        self.step(version, Step::Reject, None, None)?;
        self.resolve(item, QuarantineStatus::Rejected, comment)?;
        Ok(vec![Event::HoldRejected { quarantine_id: item.id, version: versions::named(version) }])
    }

    fn resolve(&mut self, item: &QuarantineItem, status: QuarantineStatus, comment: Option<&str>) -> Result<()> {
        let changed = self
            .connection()
            .prepare_cached(
                "UPDATE quarantine_items SET status = :status, resolved_at = :now, resolved_by = :by, comment = :comment
                 WHERE quarantine_id = :id AND status = :open",
            )?
            .execute(named_params! {
                ":status": status.as_str(), ":now": self.now().unix_ms(), ":by": self.actor().subject.as_str(), ":comment": comment,
                ":id": item.id.to_string(), ":open": QuarantineStatus::Quarantined.as_str(),
            })?;
        if changed == 0 { Err(resolved(item)) } else { Ok(()) }
    }

    fn item(&self, permit: &Permit<Promote>, id: &QuarantineId) -> Result<QuarantineItem> {
        find(self.connection(), permit.repo_key(), id)?.ok_or_else(|| Error::not_found(format!("quarantine item {id}")))
    }
}
