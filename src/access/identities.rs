//! Remembered identities and repos. Invariant: what is remembered belongs to one generation of the store; the store moves
//! on before it acknowledges a change of tokens, bindings or repos, and then everything remembered is thrown away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use subtle::ConstantTimeEq;

use super::credentials;
use crate::domain::access::{Caller, Grants, Identity};
use crate::domain::digest::Digest;
use crate::domain::id::RequestId;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::repo::Repo;
use crate::error::{Code, Result};
use crate::hop;
use crate::store::{Note, Store};

/// Tokens and repos remembered at once.
const REMEMBERED_LIMIT: usize = 10_000;

/// Turns credentials into callers.
pub struct Identities {
    store: Arc<Store>,
    remembered: Mutex<Remembered>,
    nobody: Arc<Identity>,
}

#[derive(Default)]
struct Remembered {
    generation: u64,
    identities: HashMap<Digest, Arc<Identity>>,
    repos: HashMap<RepoKey, Option<Arc<Repo>>>,
}

impl Identities {
    /// Identities of `store`.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Identities {
        let nobody = Identity { subject: Subject::anonymous(), token_id: None, expires_at: None, grants: Grants::none() };
        Identities { store, remembered: Mutex::default(), nobody: Arc::new(nobody) }
    }

    /// The caller behind an `Authorization` header, or nobody without one.
    ///
    /// # Errors
    /// `unauthorized` for credentials that are malformed, unknown, revoked or expired; each is remembered for the audit.
    pub async fn authenticate(&self, header: Option<&HeaderValue>, request_id: RequestId) -> Result<Caller> {
        let nobody = || Caller::new(Arc::clone(&self.nobody), request_id);
        let Some(header) = header else { return Ok(nobody()) };
        match self.identify(header).await {
            Ok(identity) => Ok(Caller::new(identity, request_id)),
            Err(error) => {
                if error.code() == Code::Unauthorized {
                    self.store.note(&nobody(), Note::AuthenticationFailed { reason: error.message().to_owned() });
                }
                Err(error)
            }
        }
    }

    async fn identify(&self, header: &HeaderValue) -> Result<Arc<Identity>> {
        let secret = credentials::token(header)?.digest();
        let generation = self.store.identity_generation();
        let remembered = self.with_remembered(generation, |remembered| remembered.identities.get(&secret).cloned());
        let identity = match remembered {
            Some(identity) => identity,
            None => {
                let store = Arc::clone(&self.store);
                let identity = Arc::new(hop::run(move || load(&store, &secret)).await?);
                self.with_remembered(generation, |remembered| remembered.identities.insert(secret, Arc::clone(&identity)));
                identity
            }
        };
        let now = self.store.clock().now();
        if identity.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(credentials::refused("this token has expired; ask for a new one"));
        }
        if let Some(token_id) = identity.token_id {
            self.store.note_token_use(token_id, now);
        }
        Ok(identity)
    }

    /// The repo with this key, if there is one.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub async fn find_repo(&self, key: &RepoKey) -> Result<Option<Arc<Repo>>> {
        let generation = self.store.identity_generation();
        if let Some(found) = self.with_remembered(generation, |remembered| remembered.repos.get(key).cloned()) {
            return Ok(found);
        }
        let (store, wanted) = (Arc::clone(&self.store), key.clone());
        let found = hop::run(move || store.find_repo(&wanted)).await?.map(Arc::new);
        self.with_remembered(generation, |remembered| remembered.repos.insert(key.clone(), found.clone()));
        Ok(found)
    }

    /// Looks into what is remembered of `generation`; what is older is thrown away first, and what was loaded for an older
    /// generation than the newest is not kept.
    fn with_remembered<T: Default>(&self, generation: u64, look: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.generation > generation {
            return T::default();
        }
        let is_full = remembered.identities.len() + remembered.repos.len() >= REMEMBERED_LIMIT;
        if remembered.generation < generation || is_full {
            *remembered = Remembered { generation, ..Remembered::default() };
        }
        look(&mut remembered)
    }
}

fn load(store: &Store, secret: &Digest) -> Result<Identity> {
    let unknown = || credentials::refused("this token is unknown or was revoked; ask for a new one");
    let (token, stored) = store.find_token_by_secret(secret)?.ok_or_else(unknown)?;
    if !bool::from(stored.as_bytes().ct_eq(secret.as_bytes())) {
        return Err(unknown());
    }
    let bound_to = match (&token.scopes, &token.bounded_by) {
        (None, _) => Some(&token.subject),
        (Some(_), bounded_by) => bounded_by.as_ref(),
    };
    let bindings = bound_to.map(|subject| store.bindings_of(subject)).transpose()?;
    let grants = Grants { scopes: token.scopes, bindings };
    Ok(Identity { subject: token.subject, token_id: Some(token.id), expires_at: token.expires_at, grants })
}
