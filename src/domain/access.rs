//! Who may do what where. Invariant: a `Permit<D>` exists only for a caller who held the duty's role on that repo
//! when the request began; it cannot be made elsewhere.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::{RequestId, TokenId};
use super::lifecycle::text_enum;
use super::name::{RepoKey, Subject};
use super::repo::Repo;
use super::time::Time;
use crate::error::{Code, Error, Result};

text_enum! {
    /// A role on a repo. `admin` includes `promote` and `write`; both of these include `read`.
    Role "role" {
        /// See what is visible.
        Read "read",
        /// Publish.
        Write "write",
        /// Review what is held, evaluate, promote.
        Promote "promote",
        /// Everything, settings and policy too.
        Admin "admin",
    }
}

/// A set of roles, closed under inclusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u8);

impl Roles {
    /// No role at all.
    pub const NONE: Roles = Roles(0);

    /// This role and all that it includes.
    #[must_use]
    pub const fn of(role: Role) -> Roles {
        match role {
            Role::Read => Roles(0b0001),
            Role::Write => Roles(0b0011),
            Role::Promote => Roles(0b0101),
            Role::Admin => Roles(0b1111),
        }
    }

    /// Roles in either set.
    #[must_use]
    pub const fn union(self, other: Roles) -> Roles {
        Roles(self.0 | other.0)
    }

    /// Roles in both sets.
    #[must_use]
    pub const fn intersection(self, other: Roles) -> Roles {
        Roles(self.0 & other.0)
    }

    /// Whether `role` with all that it includes is in the set.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        let wanted = Roles::of(role).0;
        self.0 & wanted == wanted
    }

    /// The roles of the set, weakest first.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.iter().copied().filter(move |role| self.contains(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Roles {
        roles.into_iter().fold(Roles::NONE, |set, role| set.union(Roles::of(role)))
    }
}

/// What a token is good for: `repo:<key|*>:<role>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope {
    /// The repo, or `None` for every repo (`*`).
    pub repo: Option<RepoKey>,
    /// The role there.
    pub role: Role,
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Scope> {
        let hint = || Error::bad_request("a scope is repo:<key or *>:<read, write, promote or admin>, such as repo:main:read");
        let rest = text.strip_prefix("repo:").ok_or_else(hint)?;
        let (key, role) = rest.rsplit_once(':').ok_or_else(hint)?;
        let repo = if key == "*" { None } else { Some(key.parse()?) };
        Ok(Scope { repo, role: role.parse()? })
    }
}

impl TryFrom<String> for Scope {
    type Error = Error;

    fn try_from(text: String) -> Result<Scope> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repo = self.repo.as_ref().map_or("*", RepoKey::as_str);
        write!(f, "repo:{repo}:{}", self.role)
    }
}

/// What an identity was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// The token's own scopes; `None` for a token that carries its subject's live bindings.
    pub scopes: Option<Vec<Scope>>,
    /// The live bindings that bound this identity: its subject's when there are no scopes, else those of the subject it
    /// was issued through, if that subject itself held only bindings. `None` when nothing bounds the scopes.
    pub bindings: Option<Vec<(RepoKey, Roles)>>,
}

impl Grants {
    /// Nothing at all.
    #[must_use]
    pub fn none() -> Grants {
        Grants { scopes: Some(Vec::new()), bindings: None }
    }

    /// The roles on one repo: scopes and bindings, whichever is narrower.
    #[must_use]
    pub fn on(&self, repo: &RepoKey) -> Roles {
        let scoped = self.scopes.as_ref().map(|scopes| {
            scopes.iter().filter(|scope| scope.repo.as_ref().is_none_or(|key| key == repo)).map(|scope| scope.role).collect::<Roles>()
        });
        let bound = self.bindings.as_ref().map(|bindings| {
            bindings.iter().filter(|(key, _)| key == repo).fold(Roles::NONE, |set, (_, roles)| set.union(*roles))
        });
        match (scoped, bound) {
            (Some(scoped), Some(bound)) => scoped.intersection(bound),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => Roles::NONE,
        }
    }

    /// The roles held on every repo, those yet to be created too.
    #[must_use]
    pub fn everywhere(&self) -> Roles {
        match (&self.scopes, &self.bindings) {
            (Some(scopes), None) => scopes.iter().filter(|scope| scope.repo.is_none()).map(|scope| scope.role).collect(),
            (Some(_) | None, Some(_)) | (None, None) => Roles::NONE,
        }
    }
}

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
        Err(Error::new(Code::Forbidden, format!("this needs the role {} on repo {}; ask its administrator for a binding or a token", D::ROLE, repo.key)))
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
        self.roles.contains(E::ROLE).then(|| Permit { caller: self.caller.clone(), repo: Arc::clone(&self.repo), roles: self.roles, duty: PhantomData })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> RepoKey {
        text.parse().unwrap()
    }

    #[test]
    fn admin_includes_all_and_promote_does_not_include_write() {
        assert!(Roles::of(Role::Admin).contains(Role::Write));
        assert!(!Roles::of(Role::Promote).contains(Role::Write));
        assert!(!Roles::of(Role::Write).union(Roles::of(Role::Promote)).contains(Role::Admin));
    }

    #[test]
    fn a_scoped_token_never_outlives_the_binding_it_was_issued_through() {
        let scopes = Some(vec![Scope { repo: Some(key("a")), role: Role::Write }]);
        let live = Grants { scopes: scopes.clone(), bindings: Some(vec![(key("a"), Roles::of(Role::Write))]) };
        assert!(live.on(&key("a")).contains(Role::Write));
        let ended = Grants { scopes, bindings: Some(Vec::new()) };
        assert_eq!(ended.on(&key("a")), Roles::NONE);
    }

    #[test]
    fn a_scope_reads_back_as_it_is_written() {
        for text in ["repo:*:admin", "repo:main:read"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for bad in ["repo:main", "repo:a b:read", "repo:main:owner", "main:read"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }
}
