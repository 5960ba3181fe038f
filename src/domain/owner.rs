//! Whose something is: a repo's or the instance's. Invariant: made of the proof that the caller may manage it there, so one verb and one
//! handler serve both.

use super::access::{Acting, Actor, Admin, Operator, Permit};
use super::name::RepoKey;

/// Who may manage something that a repo or the instance has: whoever administers the repo, or who runs the instance.
#[derive(Clone)]
pub enum Owner {
    /// Of one repo.
    Repo(Permit<Admin>),
    /// Of the instance.
    Instance(Operator),
}

impl Owner {
    /// The repo, or `None` for the instance.
    #[must_use]
    pub fn repo(&self) -> Option<&RepoKey> {
        match self {
            Owner::Repo(permit) => Some(permit.repo_key()),
            Owner::Instance(_) => None,
        }
    }
}

impl From<Permit<Admin>> for Owner {
    fn from(permit: Permit<Admin>) -> Owner {
        Owner::Repo(permit)
    }
}

impl From<Operator> for Owner {
    fn from(operator: Operator) -> Owner {
        Owner::Instance(operator)
    }
}

impl Acting for Owner {
    fn actor(&self) -> Actor {
        match self {
            Owner::Repo(permit) => permit.actor(),
            Owner::Instance(operator) => operator.actor(),
        }
    }
}
