//! Issuing, listing and revoking tokens. Invariant: nobody grants more than he holds, nor for longer than he holds it.

use std::sync::Arc;

use super::secret::Secret;
use crate::domain::access::{Acting, Caller, Grants, Role, Roles, Scope, Signed};
use crate::domain::id::TokenId;
use crate::domain::name::Subject;
use crate::domain::time::Time;
use crate::error::{Code, Error, Result};
use crate::hop;
use crate::store::{NewToken, Page, Store, TokenRow};

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// For whom.
    pub subject: Subject,
    /// For what; `None` for a token that carries the subject's live bindings.
    pub scopes: Option<Vec<Scope>>,
    /// Until when; `None` for the instance's default life.
    pub expires_at: Option<Time>,
    /// What it is for, in the issuer's words.
    pub note: Option<String>,
}

/// A token just issued, with the secret that is shown this once.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The secret.
    pub secret: Secret,
    /// The token.
    pub token: TokenRow,
}

/// The verbs on tokens.
pub struct Tokens {
    store: Arc<Store>,
    default_ttl_days: u32,
}

impl Tokens {
    /// Tokens of `store` that live `default_ttl_days` unless something else is asked for.
    #[must_use]
    pub fn new(store: Arc<Store>, default_ttl_days: u32) -> Tokens {
        Tokens { store, default_ttl_days }
    }

    /// Issues a token.
    ///
    /// # Errors
    /// `forbidden` when the issuer does not hold what it grants, or would grant it for longer than it holds it.
    pub async fn issue(&self, issuer: &Signed, request: TokenRequest) -> Result<Issued> {
        let caller = issuer.caller();
        let now = self.store.clock().now();
        check_grant(caller, &request)?;
        let expires_at = self.expiry(caller, &request, now)?;
        let identity = caller.identity();
        let bounded_by = match (&request.scopes, &identity.grants) {
            (None, _) => None,
            (Some(_), Grants { scopes: None, .. }) => Some(identity.subject.clone()),
            (Some(_), Grants { scopes: Some(_), bindings: None }) => None,
            (Some(_), Grants { scopes: Some(_), bindings: Some(_) }) => self.bound_of(caller).await?,
        };
        let secret = Secret::from_random(self.store.clock().secret()?);
        let new = NewToken {
            secret: secret.digest(),
            subject: request.subject,
            scopes: request.scopes,
            bounded_by,
            note: request.note,
            expires_at: Some(expires_at),
        };
        let token = self.store.write(issuer, move |tx| tx.add_token(&new)).await?;
        Ok(Issued { secret, token })
    }

    /// The subject whose bindings bound the issuer's own token.
    async fn bound_of(&self, caller: &Caller) -> Result<Option<Subject>> {
        let Some(token_id) = caller.identity().token_id else { return Ok(None) };
        let store = Arc::clone(&self.store);
        let token = hop::run(move || store.find_token(&token_id)).await?;
        token.map(|token| token.bounded_by).ok_or_else(|| Error::new(Code::Unauthorized, "this token was revoked"))
    }

    fn expiry(&self, caller: &Caller, request: &TokenRequest, now: Time) -> Result<Time> {
        let held_until = caller.identity().expires_at;
        let usual = now.plus_days(i64::from(self.default_ttl_days));
        let expires_at = match (request.expires_at, held_until) {
            (Some(wanted), _) => wanted,
            (None, Some(end)) => usual.min(end),
            (None, None) => usual,
        };
        if expires_at <= now {
            return Err(Error::bad_request("the expiry must lie in the future"));
        }
        if held_until.is_some_and(|end| expires_at > end) {
            return Err(Error::new(Code::Forbidden, "your own token ends earlier than the one you ask for; ask for a shorter life"));
        }
        Ok(expires_at)
    }

    /// One page of the tokens that the caller may see: its own as far as it holds them, or all for who runs the
    /// instance. A page may have fewer than `limit` and still a next one.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn list(&self, caller: &Signed, limit: usize, cursor: Option<&str>) -> Result<Page<TokenRow>> {
        let identity = caller.caller().identity();
        let subject = if runs_instance(caller.caller()) { None } else { Some(&identity.subject) };
        let mut page = self.store.tokens(subject, limit, cursor)?;
        page.items.retain(|token| holds(caller.caller(), token));
        Ok(page)
    }

    /// Revokes one token, the caller's own subject's as far as it holds it or, for who runs the instance, any.
    ///
    /// # Errors
    /// `not_found` for a token that does not exist or that the caller does not hold.
    pub async fn revoke(&self, caller: &Signed, id: TokenId) -> Result<()> {
        let store = Arc::clone(&self.store);
        let token = hop::run(move || store.find_token(&id)).await?.ok_or_else(|| Error::not_found(format!("token {id}")))?;
        if !holds(caller.caller(), &token) {
            return Err(Error::not_found(format!("token {id}")));
        }
        self.store.write(caller, move |tx| tx.revoke_token(&id)).await
    }

    /// Revokes every token of a subject: the caller's own as far as it holds them, or, for who runs the instance,
    /// anybody's. Returns how many.
    ///
    /// # Errors
    /// `forbidden` for somebody else's.
    pub async fn revoke_all(&self, caller: &Signed, subject: Subject) -> Result<usize> {
        if subject != caller.actor().subject && !runs_instance(caller.caller()) {
            return Err(Error::new(Code::Forbidden, "only who runs the instance revokes the tokens of others"));
        }
        let holder = caller.caller().clone();
        self.store.write(caller, move |tx| tx.revoke_tokens_of(&subject, |token| holds(&holder, token))).await
    }
}

fn runs_instance(caller: &Caller) -> bool {
    caller.identity().grants.everywhere().contains(Role::Admin)
}

/// Whether `caller` may see and revoke this token. The subject alone does not say so: who administers one repo can have a
/// token in anybody's name for it. With scopes, a caller reaches itself and what it could grant to itself; without, or where it
/// runs the instance, all of its subject's or all there are.
fn holds(caller: &Caller, token: &TokenRow) -> bool {
    let identity = caller.identity();
    if runs_instance(caller) {
        return true;
    }
    if token.subject != identity.subject {
        return false;
    }
    let grants = &identity.grants;
    let within = |scope: &Scope| held(grants, scope).contains(scope.role);
    grants.scopes.is_none() || identity.token_id == Some(token.id) || token.scopes.as_ref().is_some_and(|scopes| scopes.iter().all(within))
}

/// The roles held where `scope` is about.
fn held(grants: &Grants, scope: &Scope) -> Roles {
    scope.repo.as_ref().map_or_else(|| grants.everywhere(), |repo| grants.on(repo))
}

/// Whether `caller` may grant this: each scope within what it holds, and to others only what it administers.
fn check_grant(caller: &Caller, request: &TokenRequest) -> Result<()> {
    let grants = &caller.identity().grants;
    let own = request.subject == caller.identity().subject;
    let Some(scopes) = &request.scopes else {
        let is_unscoped = grants.scopes.is_none();
        if runs_instance(caller) || (own && is_unscoped) {
            return Ok(());
        }
        return Err(Error::new(
            Code::Forbidden,
            "a token without scopes carries all bindings of its subject; you may ask for one for yourself with such a token only",
        ));
    };
    if scopes.is_empty() {
        return Err(Error::bad_request("scopes must name at least one scope, or be left out to carry the subject's bindings"));
    }
    for scope in scopes {
        let held = held(grants, scope);
        let needed = if own { scope.role } else { Role::Admin };
        if !held.contains(scope.role) || !held.contains(needed) {
            let hint = if own { "ask for what you hold" } else { "tokens for others need admin on the repo" };
            return Err(Error::new(Code::Forbidden, format!("you cannot grant {scope}; {hint}")));
        }
    }
    Ok(())
}
