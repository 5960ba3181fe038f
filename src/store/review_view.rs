//! All that a reviewer can ask of a repo: holds, evaluations, and the held content itself. Invariant: held content comes
//! out as `Held`, which only inspection accepts.

use super::author_view::Dossier;
use super::evaluations::{self, Evaluation, EvaluationFilter, RecordedEvaluation};
use super::policies::PolicyRevision;
use super::pool::Reader;
use super::quarantine_list::ListedHold;
use super::rows::Page;
use super::{downloads, policies, quarantine, quarantine_list, versions};
use crate::domain::access::{Permit, Promote};
use crate::domain::candidate::PolicyLevel;
use crate::domain::download::{FetchedBy, Fetcher};
use crate::domain::id::{EvaluationId, QuarantineId, VersionId};
use crate::domain::quarantine::{QuarantineItem, QuarantineStatus};
use crate::domain::repo::Repo;
use crate::domain::version::{Release, Version};
use crate::domain::visibility::Held;
use crate::error::{Code, Error, Result};

/// The questions of somebody who may review in the repo of the permit.
pub struct ReviewView {
    pub(super) connection: Reader,
    pub(super) permit: Permit<Promote>,
}

impl ReviewView {
    pub(super) fn new(connection: Reader, permit: Permit<Promote>) -> ReviewView {
        ReviewView { connection, permit }
    }

    /// The version with this id, with files and manifest, whatever its state.
    ///
    /// # Errors
    /// `not_found`.
    pub fn release(&self, id: &VersionId) -> Result<Held<Release>> {
        let what = format!("version {id}");
        let found = versions::find(&self.connection, self.permit.repo_key(), id)?.ok_or_else(|| Error::not_found(&what))?;
        let sealed = found.complete(&self.connection)?.seal();
        sealed.inspect(&self.permit).map_err(|refusal| refusal.into_error(Code::QuarantinedVersion, &what))
    }

    /// The version with this id without files and manifest, whatever its state.
    ///
    /// # Errors
    /// `not_found`.
    pub fn version(&self, id: &VersionId) -> Result<Held<Version>> {
        let what = format!("version {id}");
        let found = versions::find(&self.connection, self.permit.repo_key(), id)?.ok_or_else(|| Error::not_found(&what))?;
        found.seal().inspect(&self.permit).map_err(|refusal| refusal.into_error(Code::QuarantinedVersion, &what))
    }

    /// One page of those who fetched a version of this repo, latest first.
    ///
    /// # Errors
    /// `not_found`; `bad_request` for a cursor of another list.
    pub fn downloads(&self, id: &VersionId, limit: usize, cursor: Option<&str>) -> Result<Page<Fetcher>> {
        let of = self.version(id)?.id;
        downloads::list(&self.connection, &of, limit, cursor)
    }

    /// How many fetched a version of this repo, and the latest of them.
    ///
    /// # Errors
    /// `not_found`.
    pub fn fetched_by(&self, id: &VersionId) -> Result<FetchedBy> {
        let of = self.version(id)?.id;
        downloads::fetched_by(&self.connection, &of)
    }

    /// The item with this id, with its votes.
    ///
    /// # Errors
    /// `not_found`.
    pub fn item(&self, id: &QuarantineId) -> Result<QuarantineItem> {
        quarantine::find(&self.connection, self.permit.repo_key(), id)?.ok_or_else(|| Error::not_found(format!("quarantine item {id}")))
    }

    /// One page of the repo's items with their versions, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn items(&self, status: Option<QuarantineStatus>, limit: usize, cursor: Option<&str>) -> Result<Page<ListedHold>> {
        quarantine_list::list(&self.connection, std::slice::from_ref(&self.permit), status, limit, cursor)
    }

    /// The evaluation with this id.
    ///
    /// # Errors
    /// `not_found`.
    pub fn evaluation(&self, id: &EvaluationId) -> Result<Evaluation> {
        self.recorded(id).map(|recorded| recorded.evaluation)
    }

    /// The evaluation with this id and the input it was made of.
    ///
    /// # Errors
    /// `not_found`.
    pub fn recorded(&self, id: &EvaluationId) -> Result<RecordedEvaluation> {
        evaluations::find(&self.connection, self.permit.repo_key(), id)?.ok_or_else(|| Error::not_found(format!("evaluation {id}")))
    }

    /// One page of the repo's evaluations, newest first.
    ///
    /// # Errors
    /// `bad_request` for a cursor of another list.
    pub fn evaluations(&self, filter: &EvaluationFilter, limit: usize, cursor: Option<&str>) -> Result<Page<Evaluation>> {
        evaluations::list(&self.connection, self.permit.repo_key(), filter, limit, cursor)
    }

    /// The policies that an evaluation was made by, as they stood then.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn policies_of(&self, evaluation: &Evaluation) -> Result<Vec<(PolicyLevel, PolicyRevision)>> {
        let instance = policies::revision(&self.connection, None, evaluation.instance_revision)?;
        let repo = policies::revision(&self.connection, Some(&evaluation.repo), evaluation.repo_revision)?;
        let instance = instance.map(|revision| (PolicyLevel::Instance, revision));
        Ok(instance.into_iter().chain(repo.map(|revision| (PolicyLevel::Repo, revision))).collect())
    }

    /// What the gate must know of a version of this repo for entry into `target`.
    ///
    /// # Errors
    /// `not_found`.
    pub fn dossier(&self, id: &VersionId, target: &Repo) -> Result<Dossier> {
        Dossier::read(&self.connection, self.permit.repo_key(), id, target)?.ok_or_else(|| Error::not_found(format!("version {id}")))
    }
}
