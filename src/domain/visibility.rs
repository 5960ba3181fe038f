//! The one rule of visibility. Invariant: what SQL returns is `Sealed`, its content private; it opens only through a
//! door that asks `decide`, with a permit for the very repo it lies in.

use std::ops::Deref;

use super::access::{Permit, Promote, Read, Role, Write};
use super::candidate::Reason;
use super::id::{QuarantineId, VersionId};
use super::lifecycle::State;
use super::lockable::Lockable;
use super::name::{Coordinates, RelativePath, RepoKey};
use super::quarantine::QuarantineStatus;
use super::time::Time;
use super::version::{File, Manifest, Release, Version};
use crate::error::{Code, Error, Result};

/// What a reader may see of something in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// All of it.
    Open,
    /// That it is withheld and why, none of its content.
    Withheld,
    /// Nothing; those who may write see it.
    Unfinished,
    /// Nothing.
    Gone,
}

/// Says who sees a version in `state`. There is no other place that does.
#[must_use]
pub const fn decide(state: State) -> Sight {
    match state {
        State::Published => Sight::Open,
        State::Quarantined | State::Rejected => Sight::Withheld,
        State::Draft => Sight::Unfinished,
        State::Tombstoned => Sight::Gone,
    }
}

/// Where a version stands: its state and, when it is or was held, the newest hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The state.
    pub state: State,
    /// The newest hold, when the state is `quarantined` or `rejected`.
    pub hold: Option<Hold>,
}

/// What may be told of a hold to those who may read the repo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The item.
    pub quarantine_id: QuarantineId,
    /// Where it stands.
    pub status: QuarantineStatus,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Since when.
    pub since: Time,
    /// When the policy will allow it, if its rules say so and it still waits for that.
    pub opens_at: Option<Time>,
}

/// Something out of the database whose visibility nobody has checked yet.
#[derive(Debug)]
pub struct Sealed<T> {
    repo: RepoKey,
    standing: Standing,
    content: T,
}

/// Proof that a reader may see `T` now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visible<T>(T);

/// Proof that a reviewer may inspect `T`, whatever its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<T> {
    standing: Standing,
    content: T,
}

/// Proof that somebody who may write sees `T`, a draft or something published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authored<T>(T);

/// Why a door did not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is here for this caller.
    Absent,
    /// It exists and is withheld.
    Withheld(Standing),
}

impl<T> Sealed<T> {
    /// Seals content found in `repo` with the standing of the version it belongs to.
    pub fn new(repo: RepoKey, standing: Standing, content: T) -> Sealed<T> {
        Sealed { repo, standing, content }
    }

    /// The standing, which says nothing of the content.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether it lies in this repo.
    pub fn is_in(&self, repo: &RepoKey) -> bool {
        &self.repo == repo
    }

    /// The readers' door.
    ///
    /// # Errors
    /// Absent for drafts, tombstones and another repo's content; withheld for what is held or rejected.
    pub fn show(self, permit: &Permit<Read>) -> Result<Visible<T>, Refusal> {
        if permit.repo_key() != &self.repo {
            return Err(Refusal::Absent);
        }
        match decide(self.standing.state) {
            Sight::Open => Ok(Visible(self.content)),
            Sight::Withheld => Err(Refusal::Withheld(self.standing)),
            Sight::Unfinished | Sight::Gone => Err(Refusal::Absent),
        }
    }

    /// The reviewers' door: everything in their repo, whatever its state.
    ///
    /// # Errors
    /// Absent for another repo's content.
    pub fn inspect(self, permit: &Permit<Promote>) -> Result<Held<T>, Refusal> {
        if permit.repo_key() != &self.repo {
            return Err(Refusal::Absent);
        }
        Ok(Held { standing: self.standing, content: self.content })
    }

    /// The authors' door: drafts and what is published.
    ///
    /// # Errors
    /// Withheld for what is held or rejected, absent for tombstones and another repo's content.
    pub fn author(self, permit: &Permit<Write>) -> Result<Authored<T>, Refusal> {
        if permit.repo_key() != &self.repo {
            return Err(Refusal::Absent);
        }
        match decide(self.standing.state) {
            Sight::Open | Sight::Unfinished => Ok(Authored(self.content)),
            Sight::Withheld => Err(Refusal::Withheld(self.standing)),
            Sight::Gone => Err(Refusal::Absent),
        }
    }
}

impl Sealed<Release> {
    /// The package URL, which says nothing of the content.
    pub fn purl(&self) -> String {
        self.content.version.coordinates.purl()
    }
}

impl Sealed<Version> {
    /// The package URL, which says nothing of the content.
    pub fn purl(&self) -> String {
        self.content.coordinates.purl()
    }

    /// The version's id, which says nothing of its content.
    pub fn id(&self) -> VersionId {
        self.content.id
    }

    /// Whether it is a distribution of the release at these coordinates.
    pub fn is_of_version(&self, at: &Coordinates) -> bool {
        self.content.coordinates.version_key() == at.version_key()
    }

    /// Its name and standing for an index, which may name to every reader what is open or withheld; `None` for drafts, tombstones and
    /// another repo's content.
    pub fn name_in_index(self, permit: &Permit<Read>) -> Option<(Coordinates, Standing)> {
        let is_named = match decide(self.standing.state) {
            Sight::Open | Sight::Withheld => true,
            Sight::Unfinished | Sight::Gone => false,
        };
        (is_named && permit.repo_key() == &self.repo).then_some((self.content.coordinates, self.standing))
    }

    /// Its name and standing for a list, if a list for this permit may name it at all: readers see what is open, writers
    /// also drafts and what is withheld, reviewers everything.
    pub fn name_for(self, permit: &Permit<Read>) -> Option<(VersionId, Coordinates, Standing)> {
        let is_listed = match decide(self.standing.state) {
            Sight::Open => true,
            Sight::Withheld | Sight::Unfinished => permit.roles().contains(Role::Write) || permit.roles().contains(Role::Promote),
            Sight::Gone => permit.roles().contains(Role::Promote),
        };
        (is_listed && permit.repo_key() == &self.repo).then_some((self.content.id, self.content.coordinates, self.standing))
    }
}

/// A release as an index may list it to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// All of it may be shown.
    Visible(Box<Visible<Release>>),
    /// It is withheld: only its name, its file names, the reason and what lock files hold it to may be shown, so that clients can
    /// say why.
    Marked(Box<Marked>),
}

/// What an index may say of a withheld release. It holds none of its content, but for [`Lockable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Which version.
    pub coordinates: Coordinates,
    /// The names of its files.
    pub paths: Vec<RelativePath>,
    /// Where it stands.
    pub standing: Standing,
    /// What lock files hold it to, where its clients compare that.
    pub lockable: Option<Lockable>,
}

impl Sealed<Release> {
    /// The door for indexes that mark what is withheld instead of hiding it; `None` for drafts, tombstones and another
    /// repo's content.
    pub fn list(self, permit: &Permit<Read>) -> Option<Listed> {
        let is_withheld = decide(self.standing.state) == Sight::Withheld;
        let mark = Marked {
            coordinates: self.content.version.coordinates.clone(),
            paths: self.content.files.iter().map(|file| file.path.clone()).collect(),
            standing: self.standing.clone(),
            lockable: is_withheld.then(|| Lockable::of(&self.content)).flatten(),
        };
        match self.show(permit) {
            Ok(visible) => Some(Listed::Visible(Box::new(visible))),
            Err(Refusal::Withheld(_)) => Some(Listed::Marked(Box::new(mark))),
            Err(Refusal::Absent) => None,
        }
    }
}

impl Refusal {
    /// The error for `what`, such as `version demo 1.0`: 404 or 423 with the hold's id, status and reasons.
    pub fn into_error(self, code: Code, what: impl std::fmt::Display) -> Error {
        let standing = match self {
            Refusal::Absent => return Error::not_found(what),
            Refusal::Withheld(standing) => standing,
        };
        withheld(&standing, code, what)
    }
}

/// The 423 for something withheld.
pub fn withheld(standing: &Standing, code: Code, what: impl std::fmt::Display) -> Error {
    let Some(hold) = &standing.hold else {
        return Error::new(code, format!("{what} is {}", standing.state)).with("status", standing.state.as_str());
    };
    let why = hold.reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ");
    let next = match hold.status {
        QuarantineStatus::Quarantined => format!("ask a reviewer of the repo to release {}", hold.quarantine_id),
        QuarantineStatus::Released | QuarantineStatus::Rejected => "use another version".to_owned(),
    };
    let word = match hold.status {
        QuarantineStatus::Rejected => "was rejected",
        QuarantineStatus::Quarantined | QuarantineStatus::Released => "is quarantined",
    };
    let opens_at = hold.opens_at.filter(|_| hold.status == QuarantineStatus::Quarantined);
    let error = Error::new(code, format!("{what} {word}: {why}; {next}"));
    let error = match opens_at {
        Some(at) => error.with("opensAt", at.to_string()),
        None => error,
    };
    error
        .with("quarantineId", hold.quarantine_id.to_string())
        .with("status", hold.status.as_str())
        .with("reasons", serde_json::to_value(&hold.reasons).unwrap_or_default())
}

impl Visible<Release> {
    /// The proof for the version alone.
    pub fn version(&self) -> Visible<Version> {
        Visible(self.0.version.clone())
    }

    /// The proof for each file.
    pub fn files(&self) -> impl Iterator<Item = Visible<File>> {
        self.0.files.iter().cloned().map(Visible)
    }

    /// The proof for the manifest, if there is one.
    pub fn manifest(&self) -> Option<Visible<Manifest>> {
        self.0.manifest.clone().map(Visible)
    }
}

impl<T> Held<T> {
    /// Where it stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }
}

impl Held<Release> {
    /// The proof for the version alone.
    pub fn version(&self) -> Held<Version> {
        Held { standing: self.standing.clone(), content: self.content.version.clone() }
    }

    /// The proof for one file, for inspection.
    pub fn file(&self, path: &RelativePath) -> Option<Held<File>> {
        let file = self.content.files.iter().find(|file| file.path.key() == path.key())?;
        Some(Held { standing: self.standing.clone(), content: file.clone() })
    }
}

impl<T> Deref for Visible<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T> Deref for Authored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
