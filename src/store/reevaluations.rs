//! Judging again what is visible or held. Invariant: what was rejected, and what a person holds, stays as it is; an evaluation that
//! says the same as the newest one is not recorded; a new decision and what it leads to are one transaction.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::author_view::Dossier;
use super::evaluations::{self, Counted, Evaluation, NewEvaluation, RecordedEvaluation};
use super::steps::evaluated;
use super::write::{Bookkeeping, Done, Write};
use super::{Store, jobs, quarantine, repos, rows, versions};
use crate::domain::access::Roles;
use crate::domain::candidate::{Action, Decision};
use crate::domain::event::Named;
use crate::domain::id::{EvaluationId, QuarantineId, VersionId};
use crate::domain::lifecycle::{HeldFrom, State, Step};
use crate::domain::name::RepoKey;
use crate::domain::quarantine::{QuarantineItem, QuarantineStatus};
use crate::domain::repo::Repo;
use crate::domain::roles::Role;
use crate::domain::time::Time;
use crate::domain::version::Version;
use crate::error::{Error, Result};
use crate::policy::{Asked, Verdict};

/// The rule under which a person holds.
const MANUAL: &str = "manual";
/// What is written beside a hold that the policy ended.
const RELEASED_COMMENT: &str = "the policy allows it now";

/// A version to be judged again, with the question that was asked of it before.
#[derive(Debug, Clone)]
pub struct Case {
    /// The version.
    pub named: Named,
    /// What was asked.
    pub asked: Asked,
    repo: Repo,
    state: State,
    hold: Option<QuarantineId>,
    opens_at: Option<Time>,
    newest: Option<Evaluation>,
}

impl Case {
    /// Whether a verdict says what the newest evaluation said, and the version stands as it says.
    #[must_use]
    pub fn is_settled_by(&self, verdict: &Verdict) -> bool {
        agrees(self.state, verdict.decision()) && says_the_same(self.newest.as_ref(), verdict) && self.opens_at == opening(verdict)
    }
}

/// What came of judging a version again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reevaluated {
    /// It is as it was: nothing was written.
    Unchanged,
    /// It stands where it stood, for other reasons.
    Recorded,
    /// It was held and is not any more.
    Released,
    /// It was visible and is held now.
    Held,
    /// Content, policies or state changed since the verdict: nothing was written, it must be judged again.
    Stale,
}

fn agrees(state: State, decision: Decision) -> bool {
    (state == State::Published) == (decision == Decision::Allow)
}

/// When what the verdict holds will be allowed; of other verdicts nothing is said.
fn opening(verdict: &Verdict) -> Option<Time> {
    verdict.opens_at().filter(|_| verdict.decision() != Decision::Allow)
}

/// A version without an evaluation of its own came in by an allowing one elsewhere, for no reason worth telling.
fn says_the_same(newest: Option<&Evaluation>, verdict: &Verdict) -> bool {
    match newest {
        Some(newest) => {
            newest.decision == verdict.decision()
                && newest.source == verdict.source()
                && newest.reasons == verdict.reasons()
                && newest.observed == verdict.observed()
                && newest.waived == verdict.waived()
        }
        None => verdict.decision() == Decision::Allow && verdict.observed().is_empty() && verdict.waived().is_empty(),
    }
}

/// The open hold of a version.
pub(super) fn open_hold(connection: &Connection, version: &Version) -> Result<Option<QuarantineItem>> {
    let found = connection
        .prepare_cached("SELECT * FROM quarantine_items WHERE version_id = :version AND status = :open")?
        .query_row(named_params! {":version": version.id.to_string(), ":open": QuarantineStatus::Quarantined.as_str()}, quarantine::read)
        .optional()?;
    Ok(found)
}

/// Whether a person holds it, whatever the policies say.
pub(super) fn is_by_hand(hold: &QuarantineItem) -> bool {
    hold.reasons.iter().any(|reason| reason.policy.is_none() && reason.rule == MANUAL)
}

/// The newest evaluation of a version: in its own repo, or the one that holds it or let it be copied.
pub(super) fn newest(connection: &Connection, version: &Version, hold: Option<&QuarantineItem>) -> Result<Option<RecordedEvaluation>> {
    let own = evaluations::newest_of(connection, &version.repo, &version.id, Counted::All)?;
    let id = match own.or(hold.and_then(|hold| hold.evaluation_id)) {
        Some(id) => Some(id),
        None => evaluations::of_promotion(connection, &version.id)?,
    };
    recorded(connection, version, id)
}

fn recorded(connection: &Connection, version: &Version, id: Option<EvaluationId>) -> Result<Option<RecordedEvaluation>> {
    id.map_or(Ok(None), |id| evaluations::find(connection, &version.repo, &id))
}

/// What was asked of a version: what led to its hold, else what was asked on its way in. Whoever only looks asks a question of their own.
pub(super) fn asked(
    connection: &Connection,
    version: &Version,
    hold: Option<&QuarantineItem>,
    newest: Option<&RecordedEvaluation>,
) -> Result<Asked> {
    if let Some(held_by) = recorded(connection, version, hold.and_then(|hold| hold.evaluation_id))? {
        return Asked::read(&held_by.input);
    }
    if let Some(newest) = newest.filter(|newest| newest.evaluation.reason.is_empty()) {
        return Asked::read(&newest.input);
    }
    let id = match evaluations::newest_of(connection, &version.repo, &version.id, Counted::OfFlows)? {
        Some(id) => Some(id),
        None => evaluations::of_promotion(connection, &version.id)?,
    };
    match recorded(connection, version, id)? {
        Some(recorded) => Asked::read(&recorded.input),
        None => {
            let subject = version.created_by.clone();
            Ok(Asked { action: Action::Promote, subject, roles: Roles::of(Role::Write), token_id: None, hint: None })
        }
    }
}

impl Store {
    /// The version with this id, if it is one that the policy may release or hold. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_case(&self, id: &VersionId) -> Result<Option<Case>> {
        let connection = self.connection()?;
        let key: Option<RepoKey> = connection
            .prepare_cached("SELECT repo_key FROM versions WHERE version_id = :id")?
            .query_row(named_params! {":id": id.to_string()}, |row| rows::parse(row, "repo_key"))
            .optional()?;
        let Some(repo) = key.map_or(Ok(None), |key| repos::find(&connection, &key))? else { return Ok(None) };
        let Some(found) = versions::find(&connection, &repo.key, id)? else { return Ok(None) };
        let version = found.content;
        let hold = match version.state {
            State::Published => None,
            State::Quarantined => {
                let hold = open_hold(&connection, &version)?;
                if hold.as_ref().is_none_or(is_by_hand) {
                    return Ok(None);
                }
                hold
            }
            State::Draft | State::Rejected | State::Tombstoned => return Ok(None),
        };
        let newest = newest(&connection, &version, hold.as_ref())?;
        let asked = asked(&connection, &version, hold.as_ref(), newest.as_ref())?;
        Ok(Some(Case {
            named: versions::named(&version),
            asked,
            repo,
            state: version.state,
            opens_at: hold.as_ref().and_then(|hold| hold.opens_at),
            hold: hold.map(|hold| hold.id),
            newest: newest.map(|recorded| recorded.evaluation),
        }))
    }

    /// What the gate must know of it now. Blocks.
    ///
    /// # Errors
    /// `not_found` when it is gone.
    pub fn case_dossier(&self, case: &Case) -> Result<Dossier> {
        let id = &case.named.version_id;
        Dossier::read(&*self.connection()?, &case.repo.key, id, &case.repo)?.ok_or_else(|| Error::not_found(format!("version {id}")))
    }
}

impl Write<'_> {
    /// Does what a verdict on a case asks for: releases what is held and allowed now, holds what is visible and is not.
    ///
    /// # Errors
    /// `not_found` when the repo or the version is gone.
    pub fn reevaluate(&mut self, case: &Case, verdict: &Verdict) -> Result<Done<Reevaluated>> {
        self.repo(&case.repo.key)?;
        let release = self.found(&case.repo.key, &case.named.version_id)?.complete(self.connection())?.content;
        let hold = open_hold(self.connection(), &release.version)?;
        let is_as_judged = release.version.state == case.state && hold.as_ref().map(|hold| hold.id) == case.hold;
        if !is_as_judged || !self.is_current(verdict, &case.repo.key, &release)? {
            return Ok(Done::unchanged(Reevaluated::Stale));
        }
        let version = release.version;
        if agrees(version.state, verdict.decision()) {
            // Somebody else may have judged it meanwhile.
            let newest = newest(self.connection(), &version, hold.as_ref())?.map(|recorded| recorded.evaluation);
            let opens_at = hold.as_ref().and_then(|hold| hold.opens_at);
            if says_the_same(newest.as_ref(), verdict) && opens_at == opening(verdict) {
                return Ok(Done::unchanged(Reevaluated::Unchanged));
            }
            if let Some(hold) = &hold {
                self.set_opening(&hold.id, opening(verdict))?;
            }
            let id = self.add_evaluation(&NewEvaluation { verdict, repo: &version.repo, reason: "", quarantine_id: None })?;
            return Ok(Done::new(Reevaluated::Recorded, evaluated(&case.named, verdict, id, None)));
        }
        match hold {
            Some(hold) => self.release_again(&hold, &version, verdict),
            None => self.hold_again(&version, verdict),
        }
    }

    fn release_again(&mut self, hold: &QuarantineItem, version: &Version, verdict: &Verdict) -> Result<Done<Reevaluated>> {
        let id = self.add_evaluation(&NewEvaluation { verdict, repo: &version.repo, reason: "", quarantine_id: None })?;
        let events = self.end_hold(hold, version, Some(RELEASED_COMMENT))?;
        Ok(Done::new(Reevaluated::Released, evaluated(&versions::named(version), verdict, id, None)).and_all(events))
    }

    fn hold_again(&mut self, version: &Version, verdict: &Verdict) -> Result<Done<Reevaluated>> {
        let (content, reasons) = (verdict.content_digest(), verdict.reasons().to_vec());
        let evaluation_id = EvaluationId::new(self.uuid());
        self.step(version, Step::Hold, None, None)?;
        let id = self.open_hold(version, HeldFrom::Published, &content, Some(&evaluation_id), (&reasons, verdict.opens_at()))?;
        let new = NewEvaluation { verdict, repo: &version.repo, reason: "", quarantine_id: Some(&id) };
        self.add_evaluation_as(&evaluation_id, &new)?;
        let held = self.hold_created(id, version, HeldFrom::Published, reasons)?;
        Ok(Done::new(Reevaluated::Held, evaluated(&versions::named(version), verdict, evaluation_id, Some(id))).and(held))
    }

    /// Has a version judged again when the verdict on it changes by itself; the event of this write wakes the queue.
    pub(super) fn schedule_next(&mut self, version: &VersionId, verdict: &Verdict) -> Result<()> {
        verdict.next_change().map_or(Ok(()), |due_at| self.schedule_at(version, due_at))
    }

    /// Has a version judged again at `due_at`; the event of this write wakes the queue.
    pub(super) fn schedule_at(&mut self, version: &VersionId, due_at: Time) -> Result<()> {
        jobs::schedule(self.connection(), self.uuid(), self.now(), version, due_at)
    }
}

impl Bookkeeping<'_> {
    /// Makes sure that a version is judged again at `due_at`, or earlier if that was asked for before.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn schedule_reevaluation(&mut self, version: &VersionId, due_at: Time) -> Result<()> {
        jobs::schedule(self.connection(), self.uuid(), self.now(), version, due_at)?;
        self.mark_enqueued();
        Ok(())
    }
}
