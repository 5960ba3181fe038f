//! THE DOOR IN. Invariant: every way to become visible runs the gate first and hands its verdict to the store, which checks
//! that content and policies are still those judged; if they are not, the gate runs again.

use std::sync::Arc;

use super::Registry;
use super::inspection::all_read;
use super::kept::Kept;
use crate::domain::access::{Acting, Permit, Promote, Roles, Write};
use crate::domain::candidate::{Action, Decision, Reason};
use crate::domain::event::{Event, Named};
use crate::domain::id::{EvaluationId, QuarantineId, VersionId};
use crate::domain::lifecycle::State;
use crate::domain::name::Coordinates;
use crate::domain::time::Time;
use crate::domain::visibility::withheld;
use crate::error::{Code, Error, Result};
use crate::hop;
use crate::store::{Admission, Deposited, Done, Dossier, NewDeposit, NewEntry, Question, Unread};

/// How often the gate runs again because content or policies changed meanwhile.
pub(super) const ROUNDS: usize = 4;

/// How a version got in; a denial is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It is visible.
    Published {
        /// The version.
        version_id: VersionId,
        /// The evaluation that allowed it.
        evaluation_id: EvaluationId,
    },
    /// It was visible before, with the same content.
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
}

/// A whole version brought by one native publish: what would be a draft, its entries and its manifest.
#[derive(Debug, Clone)]
pub struct Deposit {
    /// Which version.
    pub coordinates: Coordinates,
    /// Its files; their blobs were given to this repo before, or are with it.
    pub entries: Vec<NewEntry>,
    /// Its manifest, a JSON object.
    pub manifest: Option<Vec<u8>>,
    /// Tags that name it from the moment it is published or held.
    pub tags: Vec<String>,
}

/// By which way a version of the own repo asks to become visible.
#[derive(Clone, Copy)]
enum Way {
    /// A draft, with an external scanner's verdict.
    Publish(VersionId, Option<Decision>),
    /// A tombstone.
    Restore(VersionId),
    /// A draft that was just made of a whole version.
    Deposit(Deposited),
}

impl Way {
    /// What the gate is asked.
    fn asks(self) -> (VersionId, Action, Option<Decision>) {
        match self {
            Way::Publish(id, hint) => (id, Action::Publish, hint),
            Way::Restore(id) => (id, Action::Restore, None),
            Way::Deposit(deposited) => (deposited.version_id, Action::Publish, None),
        }
    }

    /// What is said when the content changed while it was judged: of a deposit, only another upload can have changed it.
    fn overtaken(self, named: &Named, error: Error) -> Error {
        match self {
            Way::Deposit(_) if error.code() == Code::Conflict => Error::conflict(format!(
                "another upload of {} came in between; one of them counts, look at what is there now or publish a new version",
                named.purl
            )),
            Way::Deposit(_) | Way::Publish(..) | Way::Restore(_) => error,
        }
    }
}

impl Registry {
    /// Publishes a draft.
    ///
    /// # Errors
    /// `policy_denied`; `policy_timeout` and `policy_error`, fail closed; `conflict` for a draft without files;
    /// `quarantined_version` when it is held already.
    pub async fn publish(&self, permit: &Permit<Write>, id: VersionId, hint: Option<Decision>) -> Result<Admitted> {
        self.check_reserved_version(permit, id, Action::Publish).await?;
        if let Some(published) = self.check_publishable(permit, id).await? {
            return Ok(published);
        }
        self.enter(permit, Way::Publish(id, hint)).await
    }

    /// Takes a tombstone back into view.
    ///
    /// # Errors
    /// As for a publish; `conflict` past its retention or after a rejection.
    pub async fn restore(&self, permit: &Permit<Write>, id: VersionId) -> Result<Admitted> {
        self.check_reserved_version(permit, id, Action::Restore).await?;
        self.enter(permit, Way::Restore(id)).await
    }

    /// Makes a draft of a whole version and publishes it. A version that was published before with the same content is
    /// left as it is. One that is denied leaves nothing but the record of that, and one that could not be judged nothing.
    ///
    /// # Errors
    /// As for a publish; `bad_request` for what is no tag; `conflict` when the coordinate is taken, also by another upload of other
    /// bytes at the same time.
    pub async fn deposit(&self, permit: &Permit<Write>, deposit: Deposit) -> Result<Admitted> {
        self.deposit_kept(permit, deposit, Vec::new()).await
    }

    /// The same for files whose bytes the repo is given with it, in one write.
    ///
    /// # Errors
    /// As for [`Registry::deposit`].
    pub async fn deposit_kept(&self, permit: &Permit<Write>, deposit: Deposit, kept: Vec<Kept>) -> Result<Admitted> {
        let Deposit { coordinates, entries, manifest, tags } = deposit;
        let tags = tags.iter().map(|tag| tag.parse()).collect::<Result<_>>()?;
        let blobs = kept.iter().map(|kept| (kept.digest(), kept.size_bytes())).collect();
        let (new, kept) = (Arc::new(NewDeposit { coordinates, blobs, entries, manifest, tags }), Arc::new(kept));
        for _ in 0..ROUNDS {
            self.check_reserved(permit, new.coordinates.package(), Action::Publish).await?;
            let (writing, bringing, pinned) = (permit.clone(), Arc::clone(&new), Arc::clone(&kept));
            let deposited = self.store.write(permit, move |tx| {
                // The write may outlive the request. What it gives back is dropped after its commit, and until then the bytes stay.
                Ok(tx.deposit(&writing, &bringing)?.map(|deposited| (deposited, pinned)))
            });
            let (deposited, _pinned) = match deposited.await {
                Ok(deposited) => deposited,
                Err(error) => {
                    let digests: Vec<_> = kept.iter().map(Kept::digest).collect();
                    drop(kept);
                    self.remove_unnamed(digests).await;
                    return Err(error);
                }
            };
            match self.enter(permit, Way::Deposit(deposited)).await {
                // The same upload came twice at once, and the denial of the other one took the draft along: this one is denied by itself.
                Err(error) if error.code() == Code::NotFound => {}
                Err(error) => {
                    self.withdraw(permit, deposited).await;
                    return Err(error);
                }
                Ok(admitted) => return Ok(admitted),
            }
        }
        Err(too_restless())
    }

    /// Takes the draft of a deposit that failed away again; should that fail too, the publisher's next attempt fills the same draft.
    async fn withdraw(&self, permit: &Permit<Write>, deposited: Deposited) {
        let writing = permit.clone();
        if let Err(error) = self.store.write(permit, move |tx| tx.withdraw_deposit(&writing, &deposited)).await {
            tracing::warn!(?error, version = %deposited.version_id, "the draft of a failed publish is left");
        }
    }

    async fn check_publishable(&self, permit: &Permit<Write>, id: VersionId) -> Result<Option<Admitted>> {
        let (store, permit) = (Arc::clone(&self.store), permit.clone());
        hop::run(move || {
            let view = store.author(&permit)?;
            let dossier = view.dossier(&id)?;
            match dossier.state() {
                State::Draft => with_files(dossier).map(|_| None),
                State::Published => Ok(Some(Admitted::AlreadyPublished { version_id: id })),
                State::Quarantined | State::Rejected => {
                    let sealed = view.find_version(&id)?.ok_or_else(|| Error::not_found(format!("version {id}")))?;
                    Err(withheld(sealed.standing(), Code::QuarantinedVersion, dossier.title()))
                }
                State::Tombstoned => {
                    Err(Error::conflict(format!("{} was taken back; restore it or publish a new version", dossier.title())))
                }
            }
        })
        .await
    }

    async fn enter(&self, permit: &Permit<Write>, way: Way) -> Result<Admitted> {
        let (id, action, hint) = way.asks();
        for _ in 0..ROUNDS {
            let (named, unread) = self.named(permit, id).await?;
            let read = self.inspect(permit.repo_key(), unread).await;
            self.recorded(permit, &named, action, read).await?;
            let (deadline, question) = (self.gate.deadline(), self.question(permit, permit.roles(), action, hint));
            let (store, asked) = (Arc::clone(&self.store), permit.clone());
            let judged = self.gate.judge(deadline, &named, question, move || all_read(with_files(store.author(&asked)?.dossier(&id)?)?));
            let judged = judged.await.map_err(|error| way.overtaken(&named, error));
            let verdict = self.recorded(permit, &named, action, judged).await?;
            let writing = permit.clone();
            let admission = self
                .store
                .write(permit, move |tx| match way {
                    Way::Publish(..) | Way::Restore(_) => tx.admit(&writing, &verdict),
                    Way::Deposit(deposited) => tx.admit_deposit(&writing, &deposited, &verdict),
                })
                .await?;
            if let Some(admitted) = settled(admission, &named)? {
                return Ok(admitted);
            }
        }
        Err(too_restless())
    }

    /// Copies a visible version into another repo, through that repo's gate.
    ///
    /// # Errors
    /// As for a publish; `conflict` when the target's coordinate is taken by other content.
    pub async fn promote(&self, source: &Permit<Promote>, target: &Permit<Write>, id: VersionId) -> Result<Admitted> {
        if source.repo_key() == target.repo_key() {
            return Err(Error::bad_request("targetRepo must be another repo"));
        }
        for _ in 0..ROUNDS {
            let (store, asked, into) = (Arc::clone(&self.store), source.clone(), target.repo().clone());
            let (named, package, unread) = hop::run(move || {
                let release = store.read(&asked.reading())?.release(&id)?;
                let coordinates = &release.version.coordinates;
                let named = Named::new(&release.version.repo, id, coordinates);
                Ok((named, coordinates.package().clone(), store.review(&asked)?.dossier(&id, &into)?.unread()))
            })
            .await?;
            self.check_reserved(target, &package, Action::Promote).await?;
            let read = self.inspect(target.repo_key(), unread).await;
            self.recorded(target, &named, Action::Promote, read).await?;
            let deadline = self.gate.deadline();
            let question = self.question(target, target.roles(), Action::Promote, None);
            let (store, asked, into) = (Arc::clone(&self.store), source.clone(), target.repo().clone());
            let judged = self.gate.judge(deadline, &named, question, move || all_read(store.review(&asked)?.dossier(&id, &into)?)).await;
            let verdict = self.recorded(target, &named, Action::Promote, judged).await?;
            let (from, to) = (source.clone(), target.clone());
            let admission = self.store.write(target, move |tx| tx.promote(&from, &to, &verdict)).await?;
            if let Some(admitted) = settled(admission, &named)? {
                return Ok(admitted);
            }
        }
        Err(too_restless())
    }

    /// How the version is named in events, and what of it was not read yet.
    async fn named(&self, permit: &Permit<Write>, id: VersionId) -> Result<(Named, Option<Unread>)> {
        let (store, permit) = (Arc::clone(&self.store), permit.clone());
        hop::run(move || store.author(&permit)?.dossier(&id).map(|dossier| (dossier.named(), dossier.unread()))).await
    }

    pub(super) fn question(&self, actor: &impl Acting, roles: Roles, action: Action, hint: Option<Decision>) -> Question {
        let who = actor.actor();
        Question { action, subject: who.subject, roles, token_id: who.token_id, asked_at: self.store.clock().now(), hint }
    }

    /// Passes a verdict, or what comes before it, on; a gate that could not decide leaves its audit row and nothing else.
    pub(super) async fn recorded<T>(&self, actor: &impl Acting, named: &Named, action: Action, judged: Result<T>) -> Result<T> {
        let error = match judged {
            Ok(verdict) => return Ok(verdict),
            Err(error) => error,
        };
        let event = if error.code() == Code::PolicyTimeout {
            Event::PolicyTimedOut { version: named.clone(), action, timeout_ms: self.gate.budget_ms() }
        } else if error.code() == Code::PolicyError {
            Event::PolicyFailed { version: named.clone(), action }
        } else {
            return Err(error);
        };
        self.store.write(actor, move |_| Ok(Done::new((), event))).await?;
        Err(error)
    }
}

/// The dossier, unless there is nothing to judge: a draft may have lost its last file since somebody asked to publish it.
fn with_files(dossier: Dossier) -> Result<Dossier> {
    if dossier.file_count() == 0 && dossier.state() == State::Tombstoned {
        return Err(Error::conflict(format!("the files of {} were removed for good; publish a new version", dossier.title())));
    }
    if dossier.file_count() == 0 {
        return Err(Error::conflict(format!("{} has no files; put entries into the draft before publishing it", dossier.title())));
    }
    Ok(dossier)
}

/// What the store did with a verdict; `None` when the gate must run again.
fn settled(admission: Admission, named: &Named) -> Result<Option<Admitted>> {
    match admission {
        Admission::Published { version_id, evaluation_id } => Ok(Some(Admitted::Published { version_id, evaluation_id })),
        Admission::AlreadyPublished { version_id } => Ok(Some(Admitted::AlreadyPublished { version_id })),
        Admission::Quarantined { version_id, evaluation_id, quarantine_id, reasons, opens_at } => {
            Ok(Some(Admitted::Quarantined { version_id, evaluation_id, quarantine_id, reasons, opens_at }))
        }
        Admission::Denied { evaluation_id, reasons } => Err(denied(named, evaluation_id, &reasons)),
        Admission::Stale => Ok(None),
    }
}

fn denied(named: &Named, evaluation_id: EvaluationId, reasons: &[Reason]) -> Error {
    let why = reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ");
    Error::new(Code::PolicyDenied, format!("{} was denied: {why}; change the version or ask an administrator about the policy", named.purl))
        .with("evaluationId", evaluation_id.to_string())
        .with("reasons", serde_json::to_value(reasons).unwrap_or_default())
}

pub(super) fn too_restless() -> Error {
    Error::conflict("the version or the policy kept changing while it was judged; try again")
}
