//! The line, and what each protocol makes of it.

use ::http::Request;
use serde_json::Value;

use super::*;
use crate::domain::candidate::{Decision, Reason};
use crate::domain::id::RequestId;
use crate::domain::lifecycle::State;
use crate::domain::time::Time;
use crate::domain::visibility::{Hold, Standing, withheld};
use crate::error::Code;
use crate::http::{Dialect, FailContext, Head, StatusCode};

const ID: &str = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55";

fn standing(state: State, rule: &str, message: &str) -> Standing {
    let status = state.as_str().parse().unwrap();
    let reason = Reason { rule: rule.to_owned(), decision: Decision::Quarantine, message: message.to_owned(), policy: None };
    let opens_at = (rule == "cooldown").then(|| "2026-11-29T09:59:00.001Z".parse().unwrap());
    let hold = Hold { quarantine_id: ID.parse().unwrap(), status, reasons: vec![reason], since: Time::from_unix_ms(0), opens_at };
    Standing { state, hold: Some(hold) }
}

fn held(rule: &str, message: &str) -> Error {
    withheld(&standing(State::Quarantined, rule, message), Code::QuarantinedVersion, "demo 2.0.0")
}

fn line(error: &Error, audience: Audience) -> String {
    Withholding::of(error).unwrap().on("http://localhost:8466").line(audience)
}

#[test]
fn the_line_names_the_rule_to_those_with_credentials_only() {
    let error = held("cooldown", "younger than 7 days").with(ALTERNATIVE, "1.0.0");
    let known = line(&error, Audience::Authenticated);
    let end = format!("Opens 2026-11-29 10:00Z. Use 1.0.0 or ask: http://localhost:8466/q/{ID}");
    assert_eq!(known, format!("demo 2.0.0 quarantined: younger than 7 days (rule cooldown). {end}"));
    let anybody = line(&error, Audience::Anonymous);
    assert_eq!(anybody, format!("demo 2.0.0 quarantined: the policy holds it for review. {end}"));
    assert!(!line(&held("manual", "Bob suspects it"), Audience::Anonymous).contains("Bob"));
    let without_address = Withholding::of(&error).unwrap().line(Audience::Anonymous);
    assert!(without_address.ends_with(&format!("Use 1.0.0 or ask a reviewer to release {ID}")), "{without_address}");
}

#[test]
fn the_line_of_an_error_and_of_a_standing_are_the_same() {
    for (state, rule) in [(State::Quarantined, "manual"), (State::Quarantined, "cooldown"), (State::Rejected, "cooldown")] {
        let standing = standing(state, rule, "words: with a colon");
        let error = withheld(&standing, Code::QuarantinedVersion, "demo 2.0.0").with(ALTERNATIVE, "1.9");
        for audience in [Audience::Anonymous, Audience::Authenticated] {
            let of_standing = Withholding::new("demo 2.0.0", &standing, Some("1.9")).on("http://localhost:8466").line(audience);
            assert_eq!(line(&error, audience), of_standing);
        }
    }
}

#[test]
fn the_line_is_short_ascii_and_keeps_its_advice() {
    let error = held("cooldown", &"überlang\r\nSet-Cookie: a=b ".repeat(50)).with(ALTERNATIVE, "1.0.0");
    let line = line(&error, Audience::Authenticated);
    assert!(line.len() <= 200, "{line}");
    assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
    assert!(line.ends_with(ID), "{line}");
    let withholding = Withholding::of(&error).unwrap().on(&format!("http://{}", "host.".repeat(30)));
    assert!(withholding.line(Audience::Anonymous).ends_with(&format!("ask a reviewer to release {ID}")));
}

#[test]
fn what_is_rejected_for_good_neither_opens_nor_is_asked_for() {
    let error = withheld(&standing(State::Rejected, "cooldown", "no"), Code::QuarantinedVersion, "demo 2.0.0");
    assert_eq!(line(&error, Audience::Anonymous), "demo 2.0.0 rejected: a reviewer refused it. Use another version");
}

/// Status, body and headers that a GET with a token is answered with.
fn refused(dialect: Dialect, error: &Error) -> (StatusCode, Value, ::http::HeaderMap) {
    let request = Request::get("http://localhost:8466/x").header("authorization", "Bearer x").body(()).unwrap();
    let head = Head::new(request.into_parts().0, None);
    let context = FailContext { request_id: RequestId::new(uuid::Uuid::nil()), head: &head };
    let response = dialect(error, &context).into_response(&::http::Method::GET, context.request_id);
    let (parts, body) = response.into_parts();
    let bytes = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(body)).unwrap().unwrap().to_bytes();
    (parts.status, serde_json::from_slice(&bytes).unwrap(), parts.headers)
}

#[test]
fn each_protocol_tells_the_same_line_in_its_own_form() {
    let error = held("cooldown", "younger than 7 days").with("purl", "pkg:npm/demo@2.0.0");
    let told = line(&error, Audience::Authenticated);
    let (status, body, _) = refused(problem, &error);
    assert_eq!(
        (status.as_u16(), &body["detail"], &body["type"]),
        (423, &told.clone().into(), &"urn:artifortress:quarantined-version".into())
    );
    let (status, npm, headers) = refused(npm_refusal, &error);
    // npm blots out ids, so a dash of this one is written in another way.
    let of_npm = told.replace(ID, &ID.replacen('-', "%2D", 1));
    assert_ne!(of_npm, told);
    assert_eq!((status.as_u16(), &npm["error"], headers["npm-notice"].to_str().unwrap()), (403, &of_npm.clone().into(), of_npm.as_str()));
    let (status, cargo, _) = refused(cargo_refusal, &error);
    assert_eq!((status.as_u16(), &cargo["errors"][0]["detail"]), (423, &told.into()));
    for body in [body, npm, cargo] {
        assert_eq!(body["code"], "quarantined_version");
        assert_eq!(body["state"], "held");
        assert_eq!(body["rule"], "cooldown");
        assert_eq!(body["purl"], "pkg:npm/demo@2.0.0");
        assert_eq!(body["opensAt"], "2026-11-29T09:59:00.001Z");
        assert_eq!(body["reviewUrl"], format!("http://localhost:8466/q/{ID}"));
    }
}

#[test]
fn no_read_is_refused_with_a_status_that_makes_a_client_try_again_for_long() {
    for code in [Code::QuarantinedVersion, Code::QuarantinedBlob, Code::PolicyDenied, Code::PolicyTimeout, Code::PolicyError] {
        let error = Error::new(code, "demo 2.0.0 was refused");
        for dialect in [problem, npm_refusal, cargo_refusal] {
            let status = refused(dialect, &error).0.as_u16();
            assert!([403, 423].contains(&status), "{code:?}: {status}");
        }
        assert_eq!(refused(npm_refusal, &error).0.as_u16(), 403);
    }
}
