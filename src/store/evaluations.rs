//! Recorded policy decisions. Invariant: an evaluation is written once, with its whole input, and never changes.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::rows::{self, Page};
use super::write::Write;
use super::{policies, versions, waiver_use};
use crate::domain::candidate::{Action, Decision, DecisionSource, Reason};
use crate::domain::digest::Digest;
use crate::domain::id::{EvaluationId, QuarantineId, VersionId};
use crate::domain::name::{RepoKey, Subject};
use crate::domain::time::Time;
use crate::error::Result;
use crate::policy::Verdict;

/// One recorded decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Its id.
    pub id: EvaluationId,
    /// The repo that the version wanted to enter.
    pub repo: RepoKey,
    /// The version judged; for a promotion, the source version.
    pub version_id: VersionId,
    /// The way in.
    pub action: Action,
    /// The decision.
    pub decision: Decision,
    /// What decided.
    pub source: DecisionSource,
    /// Every enforced rule that fired.
    pub reasons: Vec<Reason>,
    /// Every rule on observation that fired.
    pub observed: Vec<Reason>,
    /// Every rule that fired and was waived.
    pub waived: Vec<Reason>,
    /// Why somebody asked for it; empty for one that a flow asked for.
    pub reason: String,
    /// The engine and its version.
    pub engine_version: String,
    /// The digest over the policies judged by.
    pub policy_digest: Digest,
    /// The instance policy's revision; 0 for none.
    pub instance_revision: u64,
    /// The repo policy's revision; 0 for none.
    pub repo_revision: u64,
    /// The digest of the advisories judged by; `None` before any were imported.
    pub advisory_digest: Option<Digest>,
    /// The sha256 of the input.
    pub input_digest: Digest,
    /// The digest of the content judged.
    pub content_digest: Digest,
    /// When.
    pub evaluated_at: Time,
    /// Who asked.
    pub evaluated_by: Subject,
    /// The hold it led to.
    pub quarantine_id: Option<QuarantineId>,
}

/// One recorded decision with everything it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvaluation {
    /// The decision.
    pub evaluation: Evaluation,
    /// The whole input, canonical JSON.
    pub input: String,
    /// Its reasons, as they were written down.
    pub words: RecordedWords,
}

/// The reasons of a decision, byte for byte as they were recorded: JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedWords {
    /// Every enforced rule that fired.
    pub reasons: String,
    /// Every rule on observation that fired.
    pub observed: String,
    /// Every rule that fired and was waived.
    pub waived: String,
}

/// Which evaluations to list.
#[derive(Debug, Clone, Default)]
pub struct EvaluationFilter {
    /// Only of this version.
    pub version_id: Option<VersionId>,
    /// Only of this action.
    pub action: Option<Action>,
    /// Only with this decision.
    pub decision: Option<Decision>,
}

/// A verdict about to be recorded.
pub(super) struct NewEvaluation<'a> {
    pub(super) verdict: &'a Verdict,
    pub(super) repo: &'a RepoKey,
    pub(super) reason: &'a str,
    pub(super) quarantine_id: Option<&'a QuarantineId>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Evaluation> {
    Ok(Evaluation {
        id: rows::parse(row, "evaluation_id")?,
        repo: rows::parse(row, "repo_key")?,
        version_id: rows::parse(row, "version_id")?,
        action: rows::parse(row, "action")?,
        decision: rows::parse(row, "decision")?,
        source: rows::parse(row, "decision_source")?,
        reasons: rows::json(row, "reasons")?,
        observed: rows::json(row, "observed")?,
        waived: rows::json(row, "waived")?,
        reason: row.get("reason")?,
        engine_version: row.get("engine_version")?,
        policy_digest: rows::parse(row, "policy_digest")?,
        instance_revision: rows::unsigned(row, "instance_revision")?,
        repo_revision: rows::unsigned(row, "repo_revision")?,
        advisory_digest: rows::parse_optional(row, "advisory_digest")?,
        input_digest: rows::parse(row, "input_digest")?,
        content_digest: rows::parse(row, "content_digest")?,
        evaluated_at: rows::time(row, "evaluated_at")?,
        evaluated_by: versions::subject(row, "evaluated_by")?,
        quarantine_id: rows::parse_optional(row, "quarantine_id")?,
    })
}

/// An evaluation with its input, out of a whole row.
pub(super) fn recorded(row: &Row<'_>) -> rusqlite::Result<RecordedEvaluation> {
    let words = RecordedWords { reasons: row.get("reasons")?, observed: row.get("observed")?, waived: row.get("waived")? };
    Ok(RecordedEvaluation { evaluation: read(row)?, input: row.get("input")?, words })
}

/// The evaluation with this id in this repo.
pub(super) fn find(connection: &Connection, repo: &RepoKey, id: &EvaluationId) -> Result<Option<RecordedEvaluation>> {
    let found = connection
        .prepare_cached("SELECT * FROM evaluations WHERE evaluation_id = :id AND repo_key = :repo")?
        .query_row(named_params! {":id": id.to_string(), ":repo": repo.as_str()}, recorded)
        .optional()?;
    Ok(found)
}

/// Which evaluations of a version count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// All of them.
    All,
    /// Those that a flow asked for, and nobody who was only looking.
    OfFlows,
}

/// The newest evaluation of a version in this repo.
pub(super) fn newest_of(connection: &Connection, repo: &RepoKey, version: &VersionId, counted: Counted) -> Result<Option<EvaluationId>> {
    let mut newest: Option<(i64, EvaluationId)> = None;
    let mut statement = connection.prepare_cached(
        "SELECT evaluated_at, evaluation_id FROM evaluations INDEXED BY evaluations_by_version
         WHERE version_id = :version AND repo_key = :repo AND action = :action AND (:all OR reason = '')
         ORDER BY evaluated_at DESC, evaluation_id DESC LIMIT 1",
    )?;
    let all = counted == Counted::All;
    // One look per action, each answered from the index.
    for action in Action::ALL {
        let found = statement
            .query_row(
                named_params! {":version": version.to_string(), ":repo": repo.as_str(), ":action": action.as_str(), ":all": all},
                |row| Ok((row.get("evaluated_at")?, rows::parse(row, "evaluation_id")?)),
            )
            .optional()?;
        newest = newest.max(found);
    }
    Ok(newest.map(|(_, id)| id))
}

/// The evaluation by which a version was copied into its repo, if it was: of another version with the same content at the same
/// coordinate. Only one copy of a coordinate is made, so there is one.
pub(super) fn of_promotion(connection: &Connection, version: &VersionId) -> Result<Option<EvaluationId>> {
    let found = connection
        .prepare_cached(
            "SELECT evaluations.evaluation_id
             FROM versions AS mine JOIN packages AS home USING (package_id) CROSS JOIN repos
             JOIN packages AS away ON away.repo_key = repos.repo_key AND away.package_type = home.package_type
               AND away.namespace_key = home.namespace_key AND away.name_key = home.name_key
             JOIN versions AS other ON other.package_id = away.package_id AND other.version_key = mine.version_key
               AND other.distribution = mine.distribution AND other.content_digest = mine.content_digest
             JOIN evaluations INDEXED BY evaluations_by_version ON evaluations.version_id = other.version_id
               AND evaluations.repo_key = mine.repo_key AND evaluations.action = :promote
             WHERE mine.version_id = :version AND other.version_id <> mine.version_id AND evaluations.decision <> :deny LIMIT 1",
        )?
        .query_row(
            named_params! {":version": version.to_string(), ":promote": Action::Promote.as_str(), ":deny": Decision::Deny.as_str()},
            |row| rows::parse(row, "evaluation_id"),
        )
        .optional()?;
    Ok(found)
}

/// One page of a repo's evaluations, newest first. Their inputs, which may be large, are not read.
pub(super) fn list(
    connection: &Connection,
    repo: &RepoKey,
    filter: &EvaluationFilter,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Page<Evaluation>> {
    let before = rows::parse_time_cursor(cursor)?.unwrap_or((i64::MAX, String::new()));
    let mut found = match &filter.version_id {
        None => of_repo(connection, repo, filter, limit, &before)?,
        Some(version) => {
            let mut found = Vec::new();
            // One ordered walk per action: each is answered from the index alone, and what is recorded never changes.
            for action in Action::ALL.iter().filter(|each| filter.action.is_none_or(|wanted| wanted == **each)) {
                found.extend(of_version(connection, repo, (version, *action, filter.decision), limit, &before)?);
            }
            found
        }
    };
    found.sort_by_key(|evaluation| std::cmp::Reverse((evaluation.evaluated_at, evaluation.id)));
    found.truncate(limit.saturating_add(1));
    Ok(Page::cut(found, limit, |evaluation| rows::time_cursor(evaluation.evaluated_at, evaluation.id)))
}

fn of_repo(
    connection: &Connection,
    repo: &RepoKey,
    filter: &EvaluationFilter,
    limit: usize,
    before: &(i64, String),
) -> Result<Vec<Evaluation>> {
    let mut statement = connection.prepare_cached(
        "SELECT evaluation_id, repo_key, version_id, action, decision, decision_source, reasons, observed, waived, reason, engine_version,
             policy_digest, instance_revision, repo_revision, input_digest, content_digest, evaluated_at, evaluated_by, quarantine_id,
             advisory_digest
         FROM evaluations
         WHERE repo_key = :repo AND (:action IS NULL OR action = :action) AND (:decision IS NULL OR decision = :decision)
           AND (evaluated_at, evaluation_id) < (:at, :id)
         ORDER BY evaluated_at DESC, evaluation_id DESC LIMIT :limit",
    )?;
    let found = statement.query_map(
        named_params! {":repo": repo.as_str(), ":action": filter.action.map(Action::as_str), ":decision": filter.decision.map(Decision::as_str),
            ":at": before.0, ":id": before.1, ":limit": rows::stored(limit as u64 + 1)},
        read,
    )?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn of_version(
    connection: &Connection,
    repo: &RepoKey,
    (version, action, decision): (&VersionId, Action, Option<Decision>),
    limit: usize,
    before: &(i64, String),
) -> Result<Vec<Evaluation>> {
    let mut statement = connection.prepare_cached(
        "SELECT evaluation_id, repo_key, version_id, action, decision, decision_source, reasons, observed, waived, reason, engine_version,
             policy_digest, instance_revision, repo_revision, input_digest, content_digest, evaluated_at, evaluated_by, quarantine_id,
             advisory_digest
         FROM evaluations
         WHERE repo_key = :repo AND version_id = :version AND action = :action AND (:decision IS NULL OR decision = :decision)
           AND (evaluated_at, evaluation_id) < (:at, :id)
         ORDER BY evaluated_at DESC, evaluation_id DESC LIMIT :limit",
    )?;
    let found = statement.query_map(
        named_params! {":repo": repo.as_str(), ":version": version.to_string(), ":action": action.as_str(), ":decision": decision.map(Decision::as_str),
            ":at": before.0, ":id": before.1, ":limit": rows::stored(limit as u64 + 1)},
        read,
    )?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

impl Write<'_> {
    /// Records a verdict under a new id.
    pub(super) fn add_evaluation(&mut self, new: &NewEvaluation<'_>) -> Result<EvaluationId> {
        let id = EvaluationId::new(self.uuid());
        self.add_evaluation_as(&id, new)?;
        Ok(id)
    }

    /// Records a verdict under an id made before.
    pub(super) fn add_evaluation_as(&mut self, id: &EvaluationId, new: &NewEvaluation<'_>) -> Result<()> {
        let verdict = new.verdict;
        let judged_by = policies::in_force(self.connection(), new.repo)?;
        self.connection()
            .prepare_cached(
                "INSERT INTO evaluations (evaluation_id, repo_key, version_id, action, decision, decision_source, reasons, observed, waived, reason,
                     engine_version, policy_digest, instance_revision, repo_revision, input_digest, input, content_digest, evaluated_at,
                     evaluated_by, quarantine_id, advisory_digest)
                 VALUES (:id, :repo, :version, :action, :decision, :source, :reasons, :observed, :waived, :reason, :engine, :policy, :instance_revision,
                     :repo_revision, :input_digest, :input, :content, :at, :by, :quarantine, :advisories)",
            )?
            .execute(named_params! {
                ":id": id.to_string(), ":repo": new.repo.as_str(), ":version": verdict.version_id().to_string(), ":action": verdict.action().as_str(),
                ":decision": verdict.decision().as_str(), ":source": verdict.source().as_str(), ":reasons": rows::json_text(&verdict.reasons())?,
                ":observed": rows::json_text(&verdict.observed())?, ":waived": rows::json_text(&verdict.waived())?, ":reason": new.reason,
                ":engine": verdict.engine_version(), ":policy": verdict.policy_digest().to_string(),
                ":instance_revision": rows::stored(judged_by.instance.map_or(0, |(revision, _)| revision)),
                ":repo_revision": rows::stored(judged_by.repo.map_or(0, |(revision, _)| revision)),
                ":input_digest": verdict.input_digest().to_string(), ":input": verdict.input(), ":content": verdict.content_digest().to_string(),
                ":at": self.now().unix_ms(), ":by": self.actor().subject.as_str(), ":quarantine": new.quarantine_id.map(QuarantineId::to_string),
                ":advisories": verdict.advisory_digest().map(|digest| digest.to_string()),
            })?;
        self.count_firings(new.repo, verdict)?;
        waiver_use::note(self.connection(), new.repo, verdict)
    }
}
