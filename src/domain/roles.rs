//! Roles, scopes and grants. Invariant: a scope never gives more than the live bindings it was issued through.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::lifecycle::text_enum;
use super::name::RepoKey;
use crate::error::{Error, Result};

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
        let bound = self
            .bindings
            .as_ref()
            .map(|bindings| bindings.iter().filter(|(key, _)| key == repo).fold(Roles::NONE, |set, (_, roles)| set.union(*roles)));
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
