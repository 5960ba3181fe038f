//! What all pages share: the style, the headers, and the page of a refusal. Invariant: whatever is put into a page is escaped by its
//! template, and the browser is told to run nothing, load nothing and send nothing.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::error::{Code, Error, Result};
use crate::http::{Cache, FailContext, HeaderValue, Reply, fail, header};

/// The one style sheet, inside each page.
pub(super) const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}\
h1{font-size:1.6rem;margin:.2rem 0;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:1.8rem 0 .4rem}\
.state{display:inline-block;margin:0;padding:.1rem .6rem;border-radius:.3rem;font-weight:600;background:#fde7c3}\
.state.rejected{background:#f9d0d0}.state.released{background:#d3efd6}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem}dt{color:#555}dd{margin:0}\
pre{background:#f3f3f3;padding:.7rem;overflow-x:auto}.faint{color:#555}\
@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#161616}dt,.faint{color:#aaa}pre{background:#242424}.state{color:#1b1b1b}a{color:#8ab4f8}}";

/// Nothing runs, loads or is sent but the style sheet, which is known by its hash.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).ok()
});

/// A page as a reply that no cache keeps.
///
/// # Errors
/// Internal when the template fails.
pub(super) fn reply(page: &impl Template) -> Result<Reply> {
    let html = page.render().map_err(|cause| Error::internal("writing a page", cause))?;
    Ok(guarded(Reply::bytes("text/html; charset=utf-8", html)))
}

fn guarded(reply: Reply) -> Reply {
    let policy = POLICY.clone().unwrap_or(HeaderValue::from_static("default-src 'none'"));
    reply
        .with_cache(Cache::NoStore)
        .with_header(header::CONTENT_SECURITY_POLICY, policy)
        .with_header(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ message }}</p>
<p class="faint">request {{ request_id }}</p>
</body>
</html>
"#
)]
struct RefusalPage<'a> {
    style: &'static str,
    title: &'static str,
    message: &'a str,
    request_id: String,
}

/// The dialect of the pages: what happened, and what to do, as a page.
pub(super) fn refusal(error: &Error, context: &FailContext<'_>) -> Reply {
    let status = fail::status(error);
    let (title, message) = if error.code() == Code::Unauthorized {
        ("Who are you?", "This page is for those who may read the repo. Give any user name, and your token as the password.")
    } else {
        (status.canonical_reason().unwrap_or("Refused"), error.message())
    };
    let page = RefusalPage { style: STYLE, title, message, request_id: context.request_id.to_string() };
    let reply = match page.render() {
        Ok(html) => Reply::bytes("text/html; charset=utf-8", html),
        Err(_) => Reply::bytes("text/plain; charset=utf-8", error.message().to_owned()),
    };
    guarded(reply).with_status(status)
}
