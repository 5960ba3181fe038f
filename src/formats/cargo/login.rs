//! How Cargo is asked for a token and where people get one. Invariant: whoever gave no credentials is told the same of every repo,
//! whether it exists or not.

use std::sync::Arc;

use crate::app::App;
use crate::domain::access::Caller;
use crate::error::{Code, Error, Result};
use crate::formats::cargo_refusal;
use crate::http::{FailContext, HeaderValue, Reply, Request, header};

/// Cargo's dialect. To a 401 Cargo answers with its token only if the challenge is its own.
pub(super) fn refusal(error: &Error, context: &FailContext<'_>) -> Reply {
    let reply = cargo_refusal(error, context);
    if error.code() != Code::Unauthorized {
        return reply;
    }
    let repo = context.head.raw_param("repoKey").unwrap_or_default();
    let challenge = context.head.base_url().ok().and_then(|base| HeaderValue::try_from(challenge(&base, repo)).ok());
    reply.with_header(header::WWW_AUTHENTICATE, challenge.unwrap_or(HeaderValue::from_static("Cargo")))
}

/// What of the address is no part of a repo's key is left out, so that nothing ends the quoted text.
fn challenge(base: &str, repo: &str) -> String {
    let repo: String = repo.chars().filter(|sign| sign.is_ascii_alphanumeric() || ['.', '_', '-'].contains(sign)).collect();
    format!("Cargo login_url=\"{base}/cargo/{repo}/me\"")
}

/// GET of the page that `cargo login` sends people to.
pub(super) async fn me(_app: Arc<App>, _caller: Caller, _request: Request) -> Result<Reply> {
    Ok(Reply::bytes(
        "text/plain; charset=utf-8",
        "This registry knows you by a token. Ask its administrator for one with the scopes read and, to publish, write on this repo\n\
         (POST /v1/auth/tokens). Then run `cargo login --registry NAME`, with the name that your Cargo configuration gives to this registry,\n\
         and paste the token.\n",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_address_ends_the_challenge() {
        assert_eq!(challenge("http://registry.test", "ma\"in\\ x"), "Cargo login_url=\"http://registry.test/cargo/mainx/me\"");
    }
}
