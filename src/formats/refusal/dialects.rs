//! The one table of how each protocol refuses. Invariant: status, headers and body follow from the code, the verb and the protocol alone;
//! no read is ever answered with a status that makes a client try again or break, and nothing that exists is called absent.

use serde_json::{Value, json};

use super::one_line;
use super::withholding::{Audience, LINE_LIMIT, Withholding};
use crate::error::{Code, Error};
use crate::http::{FailContext, HeaderName, HeaderValue, Method, Reply, StatusCode, reason_phrase};

/// Printed by npm beside an error, and after a publish.
pub const NPM_NOTICE: HeaderName = HeaderName::from_static("npm-notice");

/// The protocols that word a refusal in a way of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surface {
    /// `application/problem+json` (RFC 9457): generic files and PyPI.
    Problem,
    /// `{"error": "…"}`: npm and its kin.
    Npm,
    /// `{"errors": [{"detail": "…"}]}`: Cargo.
    Cargo,
}

/// The dialect of the protocols without an error form of their own: `application/problem+json`, and the one line as reason phrase,
/// which is all that some clients show.
#[must_use]
pub fn problem(error: &Error, context: &FailContext<'_>) -> Reply {
    let told = Told::of(error, context, Surface::Problem);
    let said = [
        ("type", format!("urn:artifortress:{}", told.code.replace('_', "-")).into()),
        ("title", title(error.code(), told.withholding.as_ref()).into()),
        ("detail", told.detail.clone().into()),
        ("error", told.detail.clone().into()),
        ("status", told.status.as_u16().into()),
    ];
    told.reply("application/problem+json", said)
}

/// npm's dialect: the client prints `error` and the header `npm-notice`.
#[must_use]
pub fn npm_refusal(error: &Error, context: &FailContext<'_>) -> Reply {
    let told = Told::of(error, context, Surface::Npm);
    let reply = told.reply("application/json", [("error", told.detail.clone().into())]);
    let is_of_policy = told.withholding.is_some() || error.code() == Code::PolicyDenied;
    match HeaderValue::try_from(told.line.as_str()) {
        Ok(notice) if is_of_policy => reply.with_header(NPM_NOTICE, notice),
        Ok(_) | Err(_) => reply,
    }
}

/// Cargo's dialect: of a refused download the client prints the whole body, of a refused publish the details.
#[must_use]
pub fn cargo_refusal(error: &Error, context: &FailContext<'_>) -> Reply {
    let told = Told::of(error, context, Surface::Cargo);
    told.reply("application/json", [("errors", json!([{"detail": told.detail}]))])
}

/// What every dialect needs.
struct Told {
    status: StatusCode,
    code: &'static str,
    line: String,
    /// The line for what is withheld; the whole message of every other error.
    detail: String,
    withholding: Option<Withholding>,
    members: serde_json::Map<String, Value>,
}

impl Told {
    fn of(error: &Error, context: &FailContext<'_>, surface: Surface) -> Told {
        let audience = Audience::of_head(context.head);
        let (status, code) = answer(error.code(), context.head.method(), surface);
        let withholding = Withholding::of(error).map(|withholding| match context.head.base_url() {
            Ok(base_url) => withholding.on(&base_url),
            Err(_) => withholding,
        });
        let line = match (&withholding, surface) {
            (Some(withholding), Surface::Npm) => withholding.line_of_npm(audience),
            (Some(withholding), Surface::Problem | Surface::Cargo) => withholding.line(audience),
            (None, _) => one_line(error.message(), LINE_LIMIT),
        };
        let mut members = withholding.as_ref().map_or_else(|| error.members().clone(), |withholding| withholding.members(audience));
        if error.code() == Code::PolicyDenied {
            members.insert("state".to_owned(), "denied".into());
        }
        members.insert("code".to_owned(), code.into());
        members.insert("requestId".to_owned(), context.request_id.to_string().into());
        let detail = if withholding.is_some() { line.clone() } else { error.message().to_owned() };
        Told { status, code, line, detail, withholding, members }
    }

    /// The body is what the protocol says, then what programs may read of ours: Cargo shows the beginning of it only.
    fn reply<const N: usize>(&self, media_type: &'static str, said: [(&str, Value); N]) -> Reply {
        let mut body = serde_json::Map::from_iter(said.map(|(name, value)| (name.to_owned(), value)));
        for (name, value) in &self.members {
            body.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        Reply::bytes(media_type, Value::Object(body).to_string()).with_status(self.status).with_reason(reason_phrase(&self.line))
    }
}

/// The status and the code of a refusal. A policy that could not be asked refuses a read like a hold does: a 503 makes clients try
/// again, or break. npm's kin try again after 423, so what is withheld is 403 there.
fn answer(code: Code, method: &Method, surface: Surface) -> (StatusCode, &'static str) {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let cannot_say = reads && [Code::PolicyTimeout, Code::PolicyError].contains(&code);
    let withholds = cannot_say || [Code::QuarantinedVersion, Code::QuarantinedBlob, Code::ArtifactProtected].contains(&code);
    let name = if cannot_say { "policy_unavailable" } else { code.as_str() };
    let status = match surface {
        Surface::Npm if withholds => StatusCode::FORBIDDEN,
        Surface::Problem | Surface::Cargo if withholds => StatusCode::LOCKED,
        Surface::Npm | Surface::Problem | Surface::Cargo => {
            StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    (status, name)
}

/// A few words, as clients show them before the detail.
fn title(code: Code, withholding: Option<&Withholding>) -> &'static str {
    match code {
        Code::QuarantinedBlob | Code::QuarantinedVersion => withholding.map_or("Quarantined", Withholding::title),
        Code::PolicyDenied => "Denied by policy",
        Code::PolicyTimeout | Code::PolicyError => "Policy unavailable",
        Code::BadRequest | Code::BadPolicy => "Bad request",
        Code::MethodNotAllowed => "Method not allowed",
        Code::RequestTimeout => "Request timeout",
        Code::InvalidRange => "Invalid range",
        Code::Unauthorized => "Unauthorized",
        Code::Forbidden => "Forbidden",
        Code::NotFound => "Not found",
        Code::Conflict | Code::VersionSealed | Code::QuarantineResolved | Code::ArtifactProtected => "Conflict",
        Code::UploadVerificationFailed => "Upload verification failed",
        Code::TooLarge => "Too large",
        Code::TooManyRequests | Code::Unavailable => "Try again later",
        Code::Internal => "Server error",
        Code::InsufficientStorage => "Insufficient storage",
    }
}
