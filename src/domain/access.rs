//! Who may do what where. Invariant: a `Permit<D>` exists only for a caller who held the duty's role on that repo
//! when the request began; it cannot be made elsewhere.

use std::marker::PhantomData;
use std::sync::Arc;

use super::id::{RequestId, TokenId};
use super::name::{RepoKey, Subject};
use super::repo::Repo;
pub use super::roles::{Grants, Role, Roles, Scope};
use super::time::Time;
use crate::error::{Code, Error, Result};

/// An authenticated token, or nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub subject: Subject,
    /// By which token; `None` for nobody.
    pub token_id: Option<TokenId>,
    /// When the token stops working; `None` for never.
    pub expires_at: Option<Time>,
    /// For what.
    pub grants: Grants,
}

/// Who makes this request.
#[derive(Debug, Clone)]
pub struct Caller {
    identity: Arc<Identity>,
    request_id: RequestId,
}

/// Who an audit row names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The subject.
    pub subject: Subject,
    /// The token used, if any.
    pub token_id: Option<TokenId>,
    /// The request, if any.
    pub request_id: Option<RequestId>,
}

impl Actor {
    /// A part of the server acting by itself, such as `system:worker`.
    #[must_use]
    pub fn system(part: &str) -> Actor {
        Actor { subject: Subject::system(part), token_id: None, request_id: None }
    }
}

/// Anything that can act: it can name itself for the audit.
pub trait Acting {
    /// The actor to write into the audit row.
    fn actor(&self) -> Actor;
}

impl Acting for Actor {
    fn actor(&self) -> Actor {
        self.clone()
    }
}

impl Acting for Caller {
    fn actor(&self) -> Actor {
        Actor { subject: self.identity.subject.clone(), token_id: self.identity.token_id, request_id: Some(self.request_id) }
    }
}

impl Caller {
    /// A caller with a checked identity. Only `access` makes identities.
    #[must_use]
    pub fn new(identity: Arc<Identity>, request_id: RequestId) -> Caller {
        Caller { identity, request_id }
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The request.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// Whether credentials were given.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.identity.token_id.is_some()
    }

    /// The roles on `repo`, anonymous read included.
    #[must_use]
    pub fn roles_on(&self, repo: &Repo) -> Roles {
        let granted = self.identity.grants.on(&repo.key);
        if repo.settings.anonymous_read { granted.union(Roles::of(Role::Read)) } else { granted }
    }

    /// The permit for duty `D` on `repo`.
    ///
    /// # Errors
    /// `unauthorized` without credentials; `not_found` for a repo the caller may not read; `forbidden` when it may read but not do this.
    pub fn permit<D: Duty>(&self, repo: &Arc<Repo>) -> Result<Permit<D>> {
        let roles = self.roles_on(repo);
        if roles.contains(D::ROLE) {
            return Ok(Permit { caller: self.clone(), repo: Arc::clone(repo), roles, duty: PhantomData });
        }
        if !self.is_authenticated() {
            return Err(unauthorized());
        }
        if !roles.contains(Role::Read) {
            return Err(no_such_repo());
        }
        Err(Error::new(
            Code::Forbidden,
            format!("this needs the role {} on repo {}; ask its administrator for a binding or a token", D::ROLE, repo.key),
        ))
    }
}

/// The 401 for a request without credentials.
#[must_use]
pub fn unauthorized() -> Error {
    Error::new(Code::Unauthorized, "this needs a token: send it as `Authorization: Bearer` or as the password of HTTP Basic")
}

/// The 404 for a repo that does not exist or may not be read: the same for both.
#[must_use]
pub fn no_such_repo() -> Error {
    Error::new(Code::NotFound, "there is no such repo, or your token may not read it")
}

/// A duty that a permit stands for.
pub trait Duty: Send + Sync + 'static {
    /// The role it takes.
    const ROLE: Role;
}

macro_rules! duties {
    ($($(#[$doc:meta])* $name:ident $role:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}

        impl Duty for $name {
            const ROLE: Role = Role::$role;
        }
    )+};
}

duties! {
    /// Seeing what is visible.
    Read Read;
    /// Publishing.
    Write Write;
    /// Reviewing, evaluating, promoting.
    Promote Promote;
    /// Settings and policy of one repo.
    Admin Admin;
}

/// Proof that a caller held a role on a repo when the request began.
pub struct Permit<D: Duty> {
    caller: Caller,
    repo: Arc<Repo>,
    roles: Roles,
    duty: PhantomData<D>,
}

impl<D: Duty> Clone for Permit<D> {
    fn clone(&self) -> Permit<D> {
        Permit { caller: self.caller.clone(), repo: Arc::clone(&self.repo), roles: self.roles, duty: PhantomData }
    }
}

impl<D: Duty> Permit<D> {
    /// The repo.
    #[must_use]
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// The repo's key.
    #[must_use]
    pub fn repo_key(&self) -> &RepoKey {
        &self.repo.key
    }

    /// Who holds it.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// All roles that the holder has on the repo.
    #[must_use]
    pub fn roles(&self) -> Roles {
        self.roles
    }

    /// The same holder's permit for reading; every role includes it.
    #[must_use]
    pub fn reading(&self) -> Permit<Read> {
        Permit { caller: self.caller.clone(), repo: Arc::clone(&self.repo), roles: self.roles, duty: PhantomData }
    }

    /// The same holder's permit for another duty, if it has the role.
    #[must_use]
    pub fn also<E: Duty>(&self) -> Option<Permit<E>> {
        self.roles.contains(E::ROLE).then(|| Permit {
            caller: self.caller.clone(),
            repo: Arc::clone(&self.repo),
            roles: self.roles,
            duty: PhantomData,
        })
    }
}

impl<D: Duty> Acting for Permit<D> {
    fn actor(&self) -> Actor {
        self.caller.actor()
    }
}

/// Proof that a caller holds `admin` on every repo: what running the instance takes.
#[derive(Debug, Clone)]
pub struct Operator(Caller);

/// Proof that a caller gave valid credentials.
#[derive(Debug, Clone)]
pub struct Signed(Caller);

impl Operator {
    /// The proof, if `caller` holds the right.
    ///
    /// # Errors
    /// `unauthorized` without credentials, `forbidden` without the right.
    pub fn new(caller: Caller) -> Result<Operator> {
        if caller.identity.grants.everywhere().contains(Role::Admin) {
            return Ok(Operator(caller));
        }
        if !caller.is_authenticated() {
            return Err(unauthorized());
        }
        Err(Error::new(Code::Forbidden, "this needs a token with the scope repo:*:admin"))
    }

    /// The caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0
    }
}

impl Signed {
    /// The proof, if `caller` gave credentials.
    ///
    /// # Errors
    /// `unauthorized` without.
    pub fn new(caller: Caller) -> Result<Signed> {
        if caller.is_authenticated() { Ok(Signed(caller)) } else { Err(unauthorized()) }
    }

    /// The caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0
    }
}

impl Acting for Operator {
    fn actor(&self) -> Actor {
        self.0.actor()
    }
}

impl Acting for Signed {
    fn actor(&self) -> Actor {
        self.0.actor()
    }
}
