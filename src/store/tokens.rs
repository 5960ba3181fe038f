//! Tokens. Invariant: only the sha256 of a secret is stored; a revoked or expired token is never found.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Store;
use super::rows::{self, Page};
use super::versions;
use super::write::{Done, Write};
use crate::domain::access::Scope;
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::id::TokenId;
use crate::domain::name::Subject;
use crate::domain::time::Time;
use crate::error::{Error, Result};

/// A token as stored; the secret is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: TokenId,
    /// Whose it is.
    pub subject: Subject,
    /// Its scopes; `None` for one that carries its subject's live bindings.
    pub scopes: Option<Vec<Scope>>,
    /// The subject whose live bindings bound the scopes.
    pub bounded_by: Option<Subject>,
    /// What it is for, in the issuer's words.
    pub note: Option<String>,
    /// When it was issued.
    pub created_at: Time,
    /// By whom.
    pub created_by: Subject,
    /// When it stops working; `None` for never.
    pub expires_at: Option<Time>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Time>,
}

/// A token to be issued.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The sha256 of its whole text.
    pub secret: Digest,
    /// Whose it is.
    pub subject: Subject,
    /// Its scopes; `None` to carry the subject's live bindings.
    pub scopes: Option<Vec<Scope>>,
    /// The subject whose live bindings bound the scopes.
    pub bounded_by: Option<Subject>,
    /// What it is for.
    pub note: Option<String>,
    /// When it stops working; `None` for never.
    pub expires_at: Option<Time>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let scopes: Option<String> = row.get("scopes")?;
    Ok(TokenRow {
        id: rows::parse(row, "token_id")?,
        subject: versions::subject(row, "subject")?,
        scopes: scopes.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| rows::unreadable("scopes", &error))?,
        bounded_by: rows::parse_optional(row, "bounded_by")?,
        note: row.get("note")?,
        created_at: rows::time(row, "created_at")?,
        created_by: versions::subject(row, "created_by")?,
        expires_at: rows::time_optional(row, "expires_at")?,
        last_used_at: rows::time_optional(row, "last_used_at")?,
    })
}

fn find(connection: &Connection, id: &TokenId) -> rusqlite::Result<Option<TokenRow>> {
    connection
        .prepare_cached("SELECT * FROM tokens LEFT JOIN token_use USING (token_id) WHERE token_id = :id AND revoked_at IS NULL")?
        .query_row(named_params! {":id": id.to_string()}, read)
        .optional()
}

impl Store {
    /// The token with this secret's sha256, unless it is revoked. The caller checks its expiry.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_token_by_secret(&self, secret: &Digest) -> Result<Option<(TokenRow, Digest)>> {
        let connection = self.connection()?;
        let found = connection
            .prepare_cached(
                "SELECT * FROM tokens LEFT JOIN token_use USING (token_id) WHERE secret_sha256 = :secret AND revoked_at IS NULL",
            )?
            .query_row(named_params! {":secret": secret.as_bytes().as_slice()}, |row| {
                Ok((read(row)?, Digest::from_bytes(row.get("secret_sha256")?)))
            })
            .optional()?;
        Ok(found)
    }

    /// The token with this id, unless it is revoked.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_token(&self, id: &TokenId) -> Result<Option<TokenRow>> {
        Ok(find(&*self.connection()?, id)?)
    }

    /// One page of the tokens that are not revoked, of one subject or of all, oldest first.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn tokens(&self, subject: Option<&Subject>, limit: usize, cursor: Option<&str>) -> Result<Page<TokenRow>> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT * FROM tokens LEFT JOIN token_use USING (token_id)
             WHERE token_id > :after AND revoked_at IS NULL AND (:subject IS NULL OR subject = :subject) ORDER BY token_id LIMIT :limit",
        )?;
        let found = statement.query_map(
            named_params! {":after": cursor.unwrap_or(""), ":subject": subject.map(Subject::as_str), ":limit": rows::stored(limit as u64 + 1)},
            read,
        )?;
        Ok(Page::cut(found.collect::<rusqlite::Result<Vec<_>>>()?, limit, |token| token.id.to_string()))
    }

    /// Whether any token was ever issued.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn has_tokens(&self) -> Result<bool> {
        Ok(self.connection()?.query_row("SELECT EXISTS (SELECT 1 FROM tokens)", [], |row| row.get(0))?)
    }
}

impl Write<'_> {
    /// Stores a token. Whether the issuer may is the caller's to check.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn add_token(&mut self, new: &NewToken) -> Result<Done<TokenRow>> {
        let id = TokenId::new(self.uuid());
        let scopes = new.scopes.as_ref().map(rows::json_text).transpose()?;
        self.connection()
            .prepare_cached(
                "INSERT INTO tokens (token_id, secret_sha256, subject, scopes, bounded_by, note, created_at, created_by, expires_at)
                 VALUES (:id, :secret, :subject, :scopes, :bounded_by, :note, :now, :by, :expires)",
            )?
            .execute(named_params! {
                ":id": id.to_string(), ":secret": new.secret.as_bytes().as_slice(), ":subject": new.subject.as_str(), ":scopes": scopes,
                ":bounded_by": new.bounded_by.as_ref().map(Subject::as_str), ":note": new.note, ":now": self.now().unix_ms(),
                ":by": self.actor().subject.as_str(), ":expires": new.expires_at.map(Time::unix_ms),
            })?;
        let token = find(self.connection(), &id)?.ok_or_else(|| Error::internal("issuing a token", "the row is not there"))?;
        Ok(Done::new(token, Event::TokenIssued { token_id: id, subject: new.subject.clone(), scopes: new.scopes.clone() }))
    }

    /// Revokes one token; whether the caller may is its to check.
    ///
    /// # Errors
    /// `not_found` when there is none, or it was revoked before.
    pub fn revoke_token(&mut self, id: &TokenId) -> Result<Done<()>> {
        let token = find(self.connection(), id)?.ok_or_else(|| Error::not_found(format!("token {id}")))?;
        self.set_revoked(id)?;
        Ok(Done::new((), Event::TokenRevoked { token_id: *id, subject: token.subject }))
    }

    /// Revokes every token of a subject that `pick` picks; returns how many.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn revoke_tokens_of(&mut self, subject: &Subject, pick: impl Fn(&TokenRow) -> bool) -> Result<Done<usize>> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT * FROM tokens LEFT JOIN token_use USING (token_id) WHERE subject = :subject AND revoked_at IS NULL")?;
        let found = statement.query_map(named_params! {":subject": subject.as_str()}, read)?.collect::<rusqlite::Result<Vec<_>>>()?;
        let ids: Vec<TokenId> = found.iter().filter(|token| pick(token)).map(|token| token.id).collect();
        for id in &ids {
            self.set_revoked(id)?;
        }
        let mut events = ids.iter().map(|id| Event::TokenRevoked { token_id: *id, subject: subject.clone() });
        Ok(match events.next() {
            Some(first) => Done::new(ids.len(), first).and_all(events),
            None => Done::unchanged(0),
        })
    }

    fn set_revoked(&self, id: &TokenId) -> Result<()> {
        self.connection()
            .prepare_cached("UPDATE tokens SET revoked_at = :now WHERE token_id = :id")?
            .execute(named_params! {":now": self.now().unix_ms(), ":id": id.to_string()})?;
        Ok(())
    }
}
