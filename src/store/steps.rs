//! Steps from state to state. Invariant: the only ways into `published` are `admit` and `promote`, which take a
//! `policy::Verdict` for exactly this content and these policies, and the release of a hold (`quarantine.rs`).

use rusqlite::{OptionalExtension, named_params};

use super::evaluations::NewEvaluation;
use super::versions;
use super::write::{Done, Write};
use super::{advisories, exceptions, findings, policies, rows};
use crate::domain::access::{Permit, Promote, Write as Writing};
use crate::domain::candidate::{Action, Decision, Reason, content_digest};
use crate::domain::digest::Digest;
use crate::domain::event::{Event, Named};
use crate::domain::id::{EvaluationId, QuarantineId, VersionId};
use crate::domain::lifecycle::{HeldFrom, State, Step};
use crate::domain::name::RepoKey;
use crate::domain::time::Time;
use crate::domain::version::{Release, Version};
use crate::domain::visibility::{Standing, withheld};
use crate::error::{Code, Error, Result};
use crate::policy::{Verdict, digest_of_policies};

/// What became of a candidate at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is visible now.
    Published {
        /// The version.
        version_id: VersionId,
        /// The evaluation that allowed it.
        evaluation_id: EvaluationId,
    },
    /// It was visible already, with the same content.
    AlreadyPublished {
        /// The version.
        version_id: VersionId,
    },
    /// It is held for review.
    Quarantined {
        /// The version.
        version_id: VersionId,
        /// The evaluation that held it.
        evaluation_id: EvaluationId,
        /// The hold.
        quarantine_id: QuarantineId,
        /// Why.
        reasons: Vec<Reason>,
        /// When the policy will allow it, if its rules say so.
        opens_at: Option<Time>,
    },
    /// It may not become visible; nothing but the evaluation was kept.
    Denied {
        /// The evaluation that denied it.
        evaluation_id: EvaluationId,
        /// Why.
        reasons: Vec<Reason>,
    },
    /// Content or policies changed since the verdict; nothing was written, the gate must run again.
    Stale,
}

impl Write<'_> {
    /// Lets a draft (publish) or a tombstone (restore) of the permit's repo through the gate as the verdict says.
    ///
    /// # Errors
    /// `conflict` when the version's state does not permit the verdict's action; `not_found`, also when the repo was deleted
    /// meanwhile.
    pub fn admit(&mut self, permit: &Permit<Writing>, verdict: &Verdict) -> Result<Done<Admission>> {
        self.repo(permit.repo_key())?;
        let found = self.owned(permit, &verdict.version_id())?;
        let (step, held_from) = match verdict.action() {
            Action::Publish => (Step::Publish, HeldFrom::Publish),
            Action::Restore => (Step::Restore, HeldFrom::Restore),
            Action::Promote | Action::Fetch | Action::Import => {
                return Err(Error::conflict(format!("a verdict on {} does not publish a draft", verdict.action())));
            }
        };
        let standing = found.standing.clone();
        let release = found.complete(self.connection())?.content;
        if !self.is_current(verdict, permit.repo_key(), &release)? {
            return Ok(Done::unchanged(Admission::Stale));
        }
        if step == Step::Publish
            && let Some(settled) = settled_before(&release.version, &standing)?
        {
            return Ok(Done::unchanged(settled));
        }
        self.check_restorable(&release.version, step)?;
        self.check_other_way(&release.version)?;
        self.check_file_names(&release)?;
        self.settle(release.version, verdict, step, held_from)
    }

    /// Copies a visible version into `target` through the target's gate as the verdict says.
    ///
    /// # Errors
    /// `not_found` when the source is not visible any more; `conflict` when the target's coordinate is taken by other content.
    pub fn promote(&mut self, source: &Permit<Promote>, target: &Permit<Writing>, verdict: &Verdict) -> Result<Done<Admission>> {
        self.repo(target.repo_key())?;
        let found = self.found(source.repo_key(), &verdict.version_id())?;
        let release = found.complete(self.connection())?.content;
        self.may_publish(target, release.version.coordinates.package())?;
        if release.version.state != State::Published || verdict.action() != Action::Promote {
            return Err(Error::conflict(format!("only a published version is promoted; this one is {}", release.version.state)));
        }
        if !self.is_current(verdict, target.repo_key(), &release)? {
            return Ok(Done::unchanged(Admission::Stale));
        }
        if let Some(taken) = versions::find_at(self.connection(), target.repo_key(), &release.version.coordinates)? {
            return already_there(&taken.content, &verdict.content_digest(), target.repo_key()).map(Done::unchanged);
        }
        let source_name = versions::named(&release.version);
        if verdict.decision() == Decision::Deny {
            return self.deny(&source_name, target.repo_key(), verdict);
        }
        let copy = self.copy(&release, target.repo_key())?;
        let target_name = versions::named(&copy);
        let done = self.settle_for(copy, &source_name, verdict, Step::Publish, HeldFrom::Publish)?;
        let state = if verdict.decision() == Decision::Allow { State::Published } else { State::Quarantined };
        Ok(done.and(Event::Promoted { source: source_name, target: target_name, state }))
    }

    /// Whether the verdict was made for this content, for the policies and advisories in force now, and for what people and scanners
    /// say now.
    pub(super) fn is_current(&self, verdict: &Verdict, repo: &RepoKey, release: &Release) -> Result<bool> {
        let digest = content_digest(&release.files, release.manifest.as_ref().map(|manifest| &manifest.digest));
        let policies = policies::in_force(self.connection(), repo)?;
        let said = exceptions::read(self.connection(), &release.version.repo, release, repo)?;
        let said = said.answer(verdict.action(), verdict.evaluated_at()).digest()?;
        Ok(verdict.repo() == repo
            && verdict.exceptions_digest() == Some(said)
            && verdict.content_digest() == digest
            && verdict.advisory_digest() == advisories::digest(self.connection())?
            && verdict.policy_digest() == digest_of_policies(&policies.digests()))
    }

    fn settle(&mut self, version: Version, verdict: &Verdict, step: Step, held_from: HeldFrom) -> Result<Done<Admission>> {
        let judged = versions::named(&version);
        if verdict.decision() == Decision::Deny {
            return self.deny(&judged, &version.repo, verdict);
        }
        self.settle_for(version, &judged, verdict, step, held_from)
    }

    fn settle_for(
        &mut self,
        version: Version,
        judged: &Named,
        verdict: &Verdict,
        step: Step,
        held_from: HeldFrom,
    ) -> Result<Done<Admission>> {
        let name = versions::named(&version);
        let version_id = version.id;
        match verdict.decision() {
            Decision::Allow => {
                self.step(&version, step, None, Some(&verdict.content_digest()))?;
                let evaluation_id =
                    self.add_evaluation(&NewEvaluation { verdict, repo: &version.repo, reason: "", quarantine_id: None })?;
                self.schedule_next(&version_id, verdict)?;
                let event = if step == Step::Restore { Event::Restored { version: name } } else { Event::Published { version: name } };
                let tags = self.take_wanted_tags(&version)?;
                Ok(Done::new(Admission::Published { version_id, evaluation_id }, evaluated(judged, verdict, evaluation_id, None))
                    .and(event)
                    .and_all(tags))
            }
            Decision::Quarantine | Decision::Deny => {
                let reasons = verdict.reasons().to_vec();
                self.step(&version, Step::Hold, None, Some(&verdict.content_digest()))?;
                let evaluation_id = EvaluationId::new(self.uuid());
                let quarantine_id =
                    self.open_hold(&version, held_from, &verdict.content_digest(), Some(&evaluation_id), (&reasons, verdict.opens_at()))?;
                let evaluation = NewEvaluation { verdict, repo: &version.repo, reason: "", quarantine_id: Some(&quarantine_id) };
                self.add_evaluation_as(&evaluation_id, &evaluation)?;
                self.schedule_next(&version_id, verdict)?;
                let hold = self.hold_created(quarantine_id, &version, held_from, reasons.clone())?;
                let tags = self.take_wanted_tags(&version)?;
                let admission = Admission::Quarantined { version_id, evaluation_id, quarantine_id, reasons, opens_at: verdict.opens_at() };
                Ok(Done::new(admission, evaluated(judged, verdict, evaluation_id, Some(quarantine_id))).and(hold).and_all(tags))
            }
        }
    }

    fn deny(&mut self, judged: &Named, repo: &RepoKey, verdict: &Verdict) -> Result<Done<Admission>> {
        let evaluation_id = self.add_evaluation(&NewEvaluation { verdict, repo, reason: "", quarantine_id: None })?;
        self.forget_wanted_tags(&judged.version_id)?;
        let reasons = verdict.reasons().to_vec();
        let denied = Event::PolicyDenied { evaluation_id, version: judged.clone(), action: verdict.action(), reasons: reasons.clone() };
        Ok(Done::new(Admission::Denied { evaluation_id, reasons }, evaluated(judged, verdict, evaluation_id, None)).and(denied))
    }

    fn check_restorable(&self, version: &Version, step: Step) -> Result<()> {
        if version.state.after(step, None).is_none() {
            return Err(not_permitted(version, step));
        }
        let Some(tombstone) = &version.tombstone else { return Ok(()) };
        if tombstone.taken_from == State::Rejected {
            return Err(Error::conflict(format!(
                "{} was rejected before it was taken back; a rejection is final, publish a new version",
                version.coordinates
            )));
        }
        if self.now() > tombstone.restorable_until {
            return Err(Error::conflict(format!(
                "{} could be restored until {}; publish a new version",
                version.coordinates, tombstone.restorable_until
            )));
        }
        Ok(())
    }

    /// A release is whole or file by file, not both: else what was rejected one way would come back by the other.
    fn check_other_way(&self, version: &Version) -> Result<()> {
        let other: Option<State> = self
            .connection()
            .prepare_cached(
                "SELECT other.state FROM versions AS mine JOIN versions AS other USING (package_id)
                 WHERE mine.version_id = :id AND other.version_key = mine.version_key AND other.state <> :draft
                   AND (other.distribution = '') <> (mine.distribution = '') LIMIT 1",
            )?
            .query_row(named_params! {":id": version.id.to_string(), ":draft": State::Draft.as_str()}, |row| rows::parse(row, "state"))
            .optional()?;
        let Some(state) = other else { return Ok(()) };
        let way = if version.coordinates.distribution().is_empty() { "file by file" } else { "as a whole" };
        Err(Error::conflict(format!(
            "{} came in {way} before and is {state}; a release is published one way only, publish a new version",
            version.coordinates
        ))
        .with("status", state.as_str()))
    }

    /// Where file names span all versions of a package, a name is spent once a sealed version has used it.
    fn check_file_names(&self, release: &Release) -> Result<()> {
        let version = &release.version;
        if !version.coordinates.package().package_type().files_share_one_namespace() {
            return Ok(());
        }
        let mut statement = self.connection().prepare_cached(
            "SELECT other.state FROM versions AS mine JOIN versions AS other USING (package_id)
             JOIN entries ON entries.version_id = other.version_id
             WHERE mine.version_id = :id AND other.version_id <> :id AND other.state <> :draft AND entries.path_key = :path LIMIT 1",
        )?;
        for file in &release.files {
            let mut taken = statement
                .query(named_params! {":id": version.id.to_string(), ":draft": State::Draft.as_str(), ":path": file.path.key()})?;
            if let Some(row) = taken.next()? {
                let state: State = rows::parse(row, "state")?;
                return Err(Error::conflict(format!(
                    "the file name {} was already used by a version that is {state}; file names are never reused",
                    file.path
                )));
            }
        }
        Ok(())
    }

    fn copy(&mut self, release: &Release, target: &RepoKey) -> Result<Version> {
        let id = VersionId::new(self.uuid());
        let source = release.version.id.to_string();
        self.insert_draft(target, &release.version.coordinates, &id)?;
        let copy = id.to_string();
        let connection = self.connection();
        connection
            .prepare_cached(
                "INSERT INTO entries (version_id, path_key, path, digest, size_bytes, media_type, sha1)
                 SELECT :copy, path_key, path, digest, size_bytes, media_type, sha1 FROM entries WHERE version_id = :source",
            )?
            .execute(named_params! {":copy": copy, ":source": source})?;
        connection
            .prepare_cached(
                "INSERT INTO manifests (version_id, digest, bytes) SELECT :copy, digest, bytes FROM manifests WHERE version_id = :source",
            )?
            .execute(named_params! {":copy": copy, ":source": source})?;
        connection
            .prepare_cached(
                "INSERT INTO repo_blobs (repo_key, digest, uploaded_by, created_at)
                 SELECT DISTINCT :target, digest, :subject, :now FROM entries WHERE version_id = :source
                 ON CONFLICT (repo_key, digest) DO NOTHING",
            )?
            .execute(named_params! {":target": target.as_str(), ":subject": self.actor().subject.as_str(), ":now": self.now().unix_ms(), ":source": source})?;
        connection
            .prepare_cached("UPDATE versions SET first_seen_at = :first_seen_at, published_by = :published_by WHERE version_id = :copy")?
            .execute(named_params! {
                ":first_seen_at": release.version.first_seen_at.unix_ms(), ":published_by": release.version.published_by.as_str(), ":copy": copy,
            })?;
        let mut found = self.found(target, &id)?.complete(connection)?.content;
        self.copy_findings(&release.version.id, &id, &findings::digest_of(release))?;
        self.check_other_way(&found.version)?;
        self.check_file_names(&found)?;
        found.version.created_by = self.actor().subject.clone();
        Ok(found.version)
    }

    /// Moves a version by one step, if it still is in the state it was read in. `sealed_as` is the digest to seal a draft with.
    pub(super) fn step(&mut self, version: &Version, step: Step, held_from: Option<HeldFrom>, sealed_as: Option<&Digest>) -> Result<State> {
        let Some(after) = version.state.after(step, held_from) else { return Err(not_permitted(version, step)) };
        let changed = self
            .connection()
            .prepare_cached(
                "UPDATE versions SET state = :after,
                     published_at = CASE WHEN :after = :published THEN coalesce(published_at, :now) ELSE published_at END,
                     content_digest = CASE WHEN :before = :draft THEN :digest WHEN :after = :draft THEN NULL ELSE content_digest END
                 WHERE version_id = :id AND state = :before",
            )?
            .execute(named_params! {
                ":after": after.as_str(), ":now": self.now().unix_ms(), ":before": version.state.as_str(),
                ":digest": sealed_as.map(Digest::to_string), ":id": version.id.to_string(),
                ":published": State::Published.as_str(), ":draft": State::Draft.as_str(),
            })?;
        if changed == 0 {
            return Err(Error::conflict(format!("{} has changed meanwhile; read it again", version.coordinates)));
        }
        Ok(after)
    }

    /// Takes a version back; it may be restored for `retention_days`.
    ///
    /// # Errors
    /// `artifact_protected`; `conflict` when its state does not permit it.
    pub fn tombstone(&mut self, permit: &Permit<Writing>, id: &VersionId, reason: &str, retention_days: u32) -> Result<Done<Version>> {
        let version = self.owned(permit, id)?.content;
        if let Some((mode, why)) = &version.protection {
            return Err(Error::new(
                Code::ArtifactProtected,
                format!("{} is under {mode}: {why}; an administrator must lift that first", version.coordinates),
            ));
        }
        if version.state.after(Step::Tombstone, None).is_some() {
            self.mark_tombstoned(&version, reason, retention_days)?;
        }
        self.step(&version, Step::Tombstone, None, None)?;
        let after = self.found(permit.repo_key(), id)?.content;
        let event = Event::Tombstoned { version: versions::named(&after), reason: reason.to_owned() };
        let tags = self.remove_tags_of(&after)?;
        Ok(Done::new(after, event).and_all(tags))
    }

    /// Writes the record of a take-back; it must stand before the state says so.
    fn mark_tombstoned(&self, version: &Version, reason: &str, retention_days: u32) -> Result<()> {
        self.connection()
            .prepare_cached(
                "UPDATE versions SET tombstoned_at = :now, tombstone_reason = :reason, restorable_until = :until, tombstoned_from = :before
                 WHERE version_id = :id AND state = :before",
            )?
            .execute(named_params! {
                ":now": self.now().unix_ms(), ":reason": reason, ":until": self.now().plus_days(i64::from(retention_days)).unix_ms(),
                ":before": version.state.as_str(), ":id": version.id.to_string(),
            })?;
        Ok(())
    }
}

/// What became of this very content when somebody else asked to publish it a moment ago.
fn settled_before(version: &Version, standing: &Standing) -> Result<Option<Admission>> {
    match version.state {
        State::Published => Ok(Some(Admission::AlreadyPublished { version_id: version.id })),
        State::Quarantined | State::Rejected => Err(withheld(standing, Code::QuarantinedVersion, &version.coordinates)),
        State::Draft | State::Tombstoned => Ok(None),
    }
}

fn not_permitted(version: &Version, step: Step) -> Error {
    Error::conflict(format!("{} is {}; that does not permit to {step} it", version.coordinates, version.state))
        .with("status", version.state.as_str())
}

pub(super) fn evaluated(judged: &Named, verdict: &Verdict, evaluation_id: EvaluationId, quarantine_id: Option<QuarantineId>) -> Event {
    Event::PolicyEvaluated {
        evaluation_id,
        version: judged.clone(),
        action: verdict.action(),
        decision: verdict.decision(),
        source: verdict.source(),
        quarantine_id,
    }
}

fn already_there(taken: &Version, digest: &Digest, target: &RepoKey) -> Result<Admission> {
    if taken.state == State::Published && taken.content_digest.as_ref() == Some(digest) {
        return Ok(Admission::AlreadyPublished { version_id: taken.id });
    }
    Err(Error::conflict(format!("{} is already in repo {target} and is {}; a coordinate is used once", taken.coordinates, taken.state))
        .with("status", taken.state.as_str()))
}
