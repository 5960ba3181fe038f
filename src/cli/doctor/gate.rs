//! The canary: a harmless package that a built-in advisory calls malware is published through the server's address, in every format. Invariant:
//! well is only what the gate itself refused, by its own order about the canary; any other answer proves nothing.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};

use super::super::client::{Answer, Ask};
use super::super::failure::Failure;
use super::super::fields::{list, text};
use super::super::session::Session;
use super::Finding;
use crate::domain::canary;
use crate::domain::candidate::orders;
use crate::domain::digest::Digest;
use crate::error::Code;

/// What the package says, whoever opens it.
const CONTENT: &[u8] = b"This package does nothing. It is published to see whether the gate refuses it.\n";
/// Parts of the form; nothing in them looks like it.
const BOUNDARY: &str = "artifortress-canary-b4f1c0";
/// Formats that are tried through the API, since their own routes are for their clients.
const BY_API: [&str; 2] = ["npm", "cargo"];

/// Tries the canary in every format.
///
/// # Errors
/// When nobody answers.
pub(super) async fn prove(session: &Session, repo: &str) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    findings.push(judged("generic", files(session, repo).await?));
    findings.push(judged("pypi", pypi(session, repo).await?));
    for format in BY_API {
        findings.push(judged(format, by_api(session, repo, format).await?));
    }
    findings.push(unseen(session, repo).await?);
    Ok(findings)
}

/// What an attempt to publish proves.
fn judged(format: &str, answer: Answer) -> Finding {
    let check = format!("gate, {format}");
    let is_refused = list(&answer.json, "/reasons").iter().any(|reason| text(reason, "/rule").as_deref() == Some(orders::CANARY));
    let said = text(&answer.json, "/message").or_else(|| text(&answer.json, "/detail")).unwrap_or_else(|| "no reason was given".to_owned());
    if answer.is(Code::PolicyDenied) && is_refused {
        let rules = list(&answer.json, "/reasons").len() - 1;
        let words = if rules == 0 { "the canary was refused" } else { "the canary was refused, and by a rule of the policy too" };
        return Finding::good(&check, words);
    }
    if answer.is_success {
        let next = "something stands between this address and the gate, or another program answers here; take the address out of use";
        return Finding::bad(&check, "the canary was let in", next);
    }
    if answer.is(Code::Unauthorized) || answer.is(Code::Forbidden) || answer.is(Code::NotFound) {
        let next = "name a repo with --repo and a token that may publish there with --token-file";
        return Finding::warning(&check, format!("not tried: {said}"), next);
    }
    Finding::bad(&check, format!("the gate gave no verdict: {said}"), "look at the log of the server under the request's id")
}

async fn files(session: &Session, repo: &str) -> Result<Answer, Failure> {
    let version = version(session);
    let ask = Ask { method: Method::PUT, content_type: "text/plain", body: CONTENT.to_vec() };
    session.client.try_out(&["files", repo, canary::NAME, &version, "canary.txt"], &[("publish", String::new())], ask).await
}

async fn pypi(session: &Session, repo: &str) -> Result<Answer, Failure> {
    let version = version(session);
    let archive = source_distribution(&version).map_err(|cause| Failure::Failed(format!("cannot build the canary: {cause}")))?;
    let mut body = Vec::new();
    for (name, value) in [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("metadata_version", "2.1"),
        ("name", canary::NAME),
        ("version", &version),
        ("filetype", "sdist"),
    ] {
        body.extend_from_slice(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").as_bytes());
    }
    let file = format!("artifortress_canary-{version}.tar.gz");
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{file}\"\r\n\r\n");
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(&archive);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    let content_type = &format!("multipart/form-data; boundary={BOUNDARY}");
    session.client.try_out(&["pypi", repo, "legacy", ""], &[], Ask { method: Method::POST, content_type, body }).await
}

/// A source distribution with its metadata and nothing else.
fn source_distribution(version: &str) -> std::io::Result<Vec<u8>> {
    let metadata = format!("Metadata-Version: 2.1\nName: {}\nVersion: {version}\n", canary::NAME);
    let mut header = tar::Header::new_ustar();
    header.set_size(metadata.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, format!("artifortress_canary-{version}/PKG-INFO"), metadata.as_bytes())?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&archive.into_inner()?)?;
    packed.finish()
}

/// Draft, bytes, entry, publish; the first refusal ends it.
async fn by_api(session: &Session, repo: &str, format: &str) -> Result<Answer, Failure> {
    let version = version(session);
    let draft = json!({"packageType": format, "packageName": canary::NAME, "version": version});
    let drafted = post(session, &["v1", "repos", repo, "packages", "versions", "drafts"], &draft).await?;
    if !drafted.is_success {
        return Ok(drafted);
    }
    let id = text(&drafted.json, "/versionId").unwrap_or_default();
    let digest = Digest::of(CONTENT).to_string();
    let bytes = Ask { method: Method::PUT, content_type: "application/octet-stream", body: CONTENT.to_vec() };
    let stored = session.client.try_out(&["v1", "repos", repo, "blobs", &digest], &[], bytes).await?;
    if !stored.is_success {
        return Ok(stored);
    }
    let entries = json!({"entries": [{"relativePath": "canary.txt", "blobDigest": digest, "sizeBytes": CONTENT.len()}]});
    let put = post(session, &["v1", "repos", repo, "packages", "versions", &id, "entries"], &entries).await?;
    if !put.is_success {
        return Ok(put);
    }
    post(session, &["v1", "repos", repo, "packages", "versions", &id, "publish"], &json!({})).await
}

async fn post(session: &Session, path: &[&str], body: &Value) -> Result<Answer, Failure> {
    let ask = Ask { method: Method::POST, content_type: "application/json", body: body.to_string().into_bytes() };
    session.client.try_out(path, &[], ask).await
}

/// Whether a reader can see what was refused.
async fn unseen(session: &Session, repo: &str) -> Result<Finding, Failure> {
    let ask = Ask { method: Method::GET, content_type: "text/plain", body: Vec::new() };
    let answer = session.client.try_out(&["files", repo, canary::NAME, &version(session), "canary.txt"], &[], ask).await?;
    Ok(if answer.is_success {
        Finding::bad("gate, reading", "the refused canary can be fetched", "take the address out of use and look at the log of the server")
    } else {
        Finding::good("gate, reading", "what was refused cannot be fetched")
    })
}

/// One for each day, so that a draft somebody else has left is in nobody's way for long.
fn version(session: &Session) -> String {
    format!("1.0.{}", session.now().unix_ms() / 86_400_000)
}
