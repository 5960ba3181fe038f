//! Who is asking, and logging in. Invariant: a token is the only credential; whoever sends one as a password gets it back as their token
//! when it is good, and nothing otherwise.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::domain::access::{Caller, Permit, Read, Signed};
use crate::domain::name::Subject;
use crate::error::{Code, Error, Result};
use crate::http::{Application as _, HeaderValue, Reply, Request, StatusCode};

/// Bytes of what a login sends.
const LOGIN_LIMIT_BYTES: u64 = 16 * 1024;

/// What stands before a user's name in its id.
const USER_PREFIX: &str = "org.couchdb.user:";

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    password: String,
}

/// GET that tells whether the registry is there.
pub(super) async fn ping(_app: Arc<App>, _permit: Permit<Read>, _request: Request) -> Result<Reply> {
    Reply::ok(&json!({}))
}

/// GET of the name that the credentials stand for.
pub(super) async fn whoami(_app: Arc<App>, signed: Signed, _request: Request) -> Result<Reply> {
    Reply::ok(&json!({"username": signed.caller().identity().subject}))
}

/// GET of the same as a profile.
pub(super) async fn user(_app: Arc<App>, signed: Signed, _request: Request) -> Result<Reply> {
    Reply::ok(&json!({"name": signed.caller().identity().subject, "tfa": false}))
}

/// GET of somebody by the name that follows `org.couchdb.user:`, as `npm owner` asks for whom it puts on a list. Whether there is such
/// a person is not told: whoever holds a token is known by its subject.
pub(super) async fn person(_app: Arc<App>, _signed: Signed, request: Request) -> Result<Reply> {
    let id = request.param("user")?;
    let name: Subject = id.strip_prefix(USER_PREFIX).unwrap_or(&id).parse()?;
    Reply::ok(&json!({"_id": format!("{USER_PREFIX}{name}"), "name": name, "email": ""}))
}

/// PUT of a user whose password is a token: logs in with it.
pub(super) async fn login(app: Arc<App>, caller: Caller, mut request: Request) -> Result<Reply> {
    #[derive(Serialize)]
    struct LoggedIn {
        ok: bool,
        id: String,
        token: String,
    }
    let Login { password } = request.body.read_json(LOGIN_LIMIT_BYTES).await?;
    let header = HeaderValue::try_from(format!("Bearer {password}")).map_err(|_| no_token())?;
    let known = app.authenticate(Some(&header), caller.request_id()).await?;
    if !known.is_authenticated() {
        return Err(no_token());
    }
    let id = format!("{USER_PREFIX}{}", known.identity().subject);
    Reply::json(StatusCode::CREATED, &LoggedIn { ok: true, id, token: password })
}

/// POST that would log in through a browser: npm then asks for a name and a password, which [`login`] takes.
pub(super) async fn login_in_browser(_app: Arc<App>, _caller: Caller, _request: Request) -> Result<Reply> {
    let message = "there is no login through a browser here; give any user name, and a token as the password";
    Err(Error::new(Code::NotFound, message))
}

fn no_token() -> Error {
    Error::new(
        Code::Unauthorized,
        "the password is no valid token; make one with `artifortress token` or ask an administrator, and give it as the password",
    )
}
