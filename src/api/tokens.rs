//! `/v1/auth`: who am I, and tokens. Invariant: a token's text leaves the server once, in the answer that issues it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::{PageBody, PageQuery};
use crate::access::{TokenRequest, TokenRow};
use crate::app::App;
use crate::domain::access::{Role, Scope, Signed};
use crate::domain::id::TokenId;
use crate::domain::name::Subject;
use crate::domain::time::Time;
use crate::domain::words::check_words;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};

/// The longest life that can be asked for in seconds: a hundred years.
const TTL_LIMIT_SECONDS: i64 = 3_155_760_000;
/// Scopes of one token.
const SCOPES_LIMIT: usize = 200;

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    Routes::new()
        .get("/v1/auth/whoami", "/v1/auth/whoami", who_am_i)
        .get("/v1/auth/tokens", "/v1/auth/tokens", list)
        .post("/v1/auth/tokens", "/v1/auth/tokens", issue)
        .delete("/v1/auth/tokens", "/v1/auth/tokens?subject=robot", revoke_all)
        .delete("/v1/auth/tokens/{tokenId}", "/v1/auth/tokens/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55", revoke)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WhoAmIBody {
    subject: String,
    token_id: Option<TokenId>,
    /// `null` for a token that carries its subject's live bindings.
    scopes: Option<Vec<Scope>>,
    expires_at: Option<Time>,
    /// Whether the caller runs the instance: admin on every repo.
    is_operator: bool,
}

async fn who_am_i(_app: Arc<App>, caller: Signed, _request: Request) -> Result<Reply> {
    let identity = caller.caller().identity();
    Reply::ok(&WhoAmIBody {
        subject: identity.subject.to_string(),
        token_id: identity.token_id,
        scopes: identity.grants.scopes.clone(),
        expires_at: identity.expires_at,
        is_operator: identity.grants.everywhere().contains(Role::Admin),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IssueRequest {
    subject: Subject,
    scopes: Option<Vec<Scope>>,
    ttl_seconds: Option<i64>,
    expires_at: Option<String>,
    note: Option<String>,
}

impl IssueRequest {
    fn expiry(&self, now: Time) -> Result<Option<Time>> {
        match (self.ttl_seconds, &self.expires_at) {
            (Some(_), Some(_)) => Err(Error::bad_request("give ttlSeconds or expiresAt, not both")),
            (Some(seconds), None) if (1..=TTL_LIMIT_SECONDS).contains(&seconds) => Ok(Some(now.plus_ms(seconds.saturating_mul(1000)))),
            (Some(_), None) => Err(Error::bad_request(format!("ttlSeconds must be 1 to {TTL_LIMIT_SECONDS}"))),
            (None, Some(text)) => text.parse().map(Some),
            (None, None) => Ok(None),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenBody {
    token_id: TokenId,
    subject: String,
    scopes: Option<Vec<Scope>>,
    note: Option<String>,
    created_at: Time,
    created_by_subject: String,
    expires_at: Option<Time>,
    last_used_at: Option<Time>,
}

impl From<TokenRow> for TokenBody {
    fn from(token: TokenRow) -> TokenBody {
        TokenBody {
            token_id: token.id,
            subject: token.subject.to_string(),
            scopes: token.scopes,
            note: token.note,
            created_at: token.created_at,
            created_by_subject: token.created_by.to_string(),
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
        }
    }
}

#[derive(Serialize)]
struct IssuedBody<'a> {
    #[serde(flatten)]
    token: TokenBody,
    #[serde(rename = "token")]
    text: &'a str,
}

async fn issue(app: Arc<App>, caller: Signed, mut request: Request) -> Result<Reply> {
    let asked: IssueRequest = request.json().await?;
    let expires_at = asked.expiry(app.clock.now())?;
    if asked.scopes.as_ref().is_some_and(|scopes| scopes.len() > SCOPES_LIMIT) {
        return Err(Error::bad_request(format!("scopes must be at most {SCOPES_LIMIT}")));
    }
    if let Some(note) = &asked.note {
        check_words("note", note)?;
    }
    let asked = TokenRequest { subject: asked.subject, scopes: asked.scopes, expires_at, note: asked.note };
    let issued = app.tokens.issue(&caller, asked).await?;
    Reply::created(&IssuedBody { text: issued.secret.reveal(), token: issued.token.into() })
}

async fn list(app: Arc<App>, caller: Signed, request: Request) -> Result<Reply> {
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let page = app.run(move |app| app.tokens.list(&caller, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, TokenBody::from))
}

async fn revoke(app: Arc<App>, caller: Signed, request: Request) -> Result<Reply> {
    app.tokens.revoke(&caller, request.param_as("tokenId")?).await?;
    Ok(Reply::no_content())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeQuery {
    subject: Subject,
}

#[derive(Serialize)]
struct RevokedBody {
    subject: String,
    revoked: usize,
}

async fn revoke_all(app: Arc<App>, caller: Signed, request: Request) -> Result<Reply> {
    let RevokeQuery { subject } = request.query()?;
    let name = subject.to_string();
    let revoked = app.tokens.revoke_all(&caller, subject).await?;
    Reply::ok(&RevokedBody { subject: name, revoked })
}

#[cfg(test)]
mod tests {
    use super::super::quarantine::tests::Instance;

    /// Who administers one repo may have a token in anybody's name for it; that name must not open the tokens of its bearer.
    #[tokio::test]
    async fn a_token_in_the_operators_name_for_one_repo_neither_sees_nor_revokes_the_operators_tokens() {
        let instance = Instance::start().await;
        let tenant = instance.token("tenant", &["repo:main:admin"]).await;
        let asked = r#"{"subject":"admin","scopes":["repo:main:read"]}"#;
        let minted = instance.call("POST", "/v1/auth/tokens", &tenant, asked).await;
        assert_eq!(minted.status, 201, "{}", minted.text);
        let minted = minted.json();
        let posing = minted["token"].as_str().unwrap();
        let operator = instance.get("/v1/auth/whoami", &instance.admin).await;
        assert_eq!(instance.get("/v1/auth/whoami", posing).await["subject"], operator["subject"]);

        let seen = instance.get("/v1/auth/tokens", posing).await;
        assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{seen}");
        assert_eq!(seen["items"][0]["tokenId"], minted["tokenId"]);
        let one = format!("/v1/auth/tokens/{}", operator["tokenId"].as_str().unwrap());
        assert_eq!(instance.call("DELETE", &one, posing, "").await.status, 404);
        let all = instance.call("DELETE", "/v1/auth/tokens?subject=admin", posing, "").await;
        assert_eq!(all.json()["revoked"], 1, "only itself: {}", all.text);
        assert_eq!(instance.call("GET", "/v1/auth/whoami", posing, "").await.status, 401);
        assert_eq!(instance.call("GET", "/v1/auth/whoami", &instance.admin, "").await.status, 200);
        instance.end();
    }
}
