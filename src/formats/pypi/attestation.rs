//! Attestations (PEP 740). Invariant: what is kept is about the very file it came with, and is given out as it came, in the bundle of one
//! publisher. Signatures and certificates are for the reader to verify: this server knows no authority to verify them by.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::name::FileName;
use crate::domain::digest::Digest;
use crate::domain::name::Coordinates;
use crate::error::{Error, Result};

/// Attestations of one file.
const ATTESTATIONS_LIMIT: usize = 16;
/// The one version of all objects.
const VERSION: u8 = 1;
/// The type of the statement inside.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// What an attestation must have; what else it has is kept.
#[derive(Deserialize)]
struct Attestation {
    version: u8,
    verification_material: VerificationMaterial,
    envelope: Envelope,
}

#[derive(Deserialize)]
struct VerificationMaterial {
    certificate: String,
    /// Of what form these are is the transparency log's matter.
    #[serde(rename = "transparency_entries")]
    _transparency_entries: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Envelope {
    statement: String,
    signature: String,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: Digests,
}

#[derive(Deserialize)]
struct Digests {
    sha256: String,
}

#[derive(Serialize)]
struct Provenance<'a> {
    version: u8,
    attestation_bundles: [Bundle<'a>; 1],
}

#[derive(Serialize)]
struct Bundle<'a> {
    publisher: Publisher,
    attestations: &'a [Box<RawValue>],
}

/// Who uploaded them: somebody with a token of this server, and more is not claimed.
#[derive(Serialize)]
struct Publisher {
    kind: &'static str,
    claims: Claims,
}

#[derive(Serialize)]
struct Claims {}

/// The provenance object of the file `file` of `at` with this digest, of the attestations that its form has; `None` when it has none.
///
/// # Errors
/// `bad_request` that says what is wrong with them.
pub(super) fn provenance(field: &[u8], (file, at): (&FileName, &Coordinates), digest: Digest) -> Result<Option<Vec<u8>>> {
    let attestations: Vec<Box<RawValue>> =
        serde_json::from_slice(field).map_err(|cause| refused("the field is no JSON list of them").because(cause))?;
    if attestations.len() > ATTESTATIONS_LIMIT {
        return Err(Error::too_large("the number of attestations of one file", ATTESTATIONS_LIMIT as u64));
    }
    if attestations.is_empty() {
        return Ok(None);
    }
    for attestation in &attestations {
        check(attestation.get(), (file, at), digest)?;
    }
    let publisher = Publisher { kind: "artifortress-token", claims: Claims {} };
    let provenance = Provenance { version: VERSION, attestation_bundles: [Bundle { publisher, attestations: &attestations }] };
    serde_json::to_vec(&provenance).map(Some).map_err(|cause| Error::internal("writing a provenance object", cause))
}

fn check(text: &str, (file, at): (&FileName, &Coordinates), digest: Digest) -> Result<()> {
    let attestation: Attestation = serde_json::from_str(text)
        .map_err(|cause| refused("one lacks what an attestation object has, or has it in another form").because(cause))?;
    if attestation.version != VERSION {
        return Err(refused(&format!("one is of version {}; version 1 is known here", attestation.version)));
    }
    let decoded = |what: &str, text: &str| STANDARD.decode(text).map_err(|_| refused(&format!("the {what} of one is not base64")));
    decoded("certificate", &attestation.verification_material.certificate)?;
    decoded("signature", &attestation.envelope.signature)?;
    let statement = decoded("statement", &attestation.envelope.statement)?;
    let statement: Statement = serde_json::from_slice(&statement)
        .map_err(|cause| refused("the statement of one is no in-toto statement about a file with a sha256 digest").because(cause))?;
    if statement.kind != STATEMENT {
        return Err(refused(&format!("the statement of one is not of the type {STATEMENT}")));
    }
    let [subject] = statement.subject.as_slice() else { return Err(refused("the statement of one has not exactly one subject")) };
    let is_named = FileName::parse(&subject.name).is_ok_and(|named| named.kind == file.kind && named.check(at).is_ok());
    if !is_named {
        return Err(refused(&format!("one is about the file {}, not {}", shown(&subject.name), file.path)));
    }
    if !subject.digest.sha256.eq_ignore_ascii_case(&digest.hex()) {
        return Err(refused("one is about other bytes: its sha256 is not that of the file"));
    }
    Ok(())
}

/// A name from outside, as far as a message shows it.
fn shown(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_control()).take(100).collect()
}

fn refused(why: &str) -> Error {
    Error::bad_request(format!("the attestations cannot be taken: {why}; sign the file anew, or upload it without them"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::formats::pypi::name::project;

    fn attestation(name: &str, sha256: &str) -> Value {
        let statement = json!({"_type": STATEMENT, "subject": [{"name": name, "digest": {"sha256": sha256}}],
            "predicateType": "https://slsa.dev/provenance/v1", "predicate": null});
        json!({"version": 1, "verification_material": {"certificate": "AAAA", "transparency_entries": [{"logIndex": "1"}]},
            "envelope": {"statement": STANDARD.encode(statement.to_string()), "signature": "AAAA"}})
    }

    fn kept(attestations: &Value) -> Result<Option<Value>> {
        let at = Coordinates::new(project("demo-lib").unwrap(), "1.0").unwrap();
        let file = FileName::parse("demo_lib-1.0.tar.gz").unwrap();
        let kept = provenance(attestations.to_string().as_bytes(), (&file, &at), Digest::of(b"bytes"))?;
        Ok(kept.map(|bytes| serde_json::from_slice(&bytes).unwrap()))
    }

    #[test]
    fn attestations_become_the_bundle_of_one_publisher() {
        let sha256 = Digest::of(b"bytes").hex();
        let one = attestation("demo_lib-1.0.tar.gz", &sha256);
        let other = attestation("Demo.Lib-1.0.0.tar.gz", &sha256.to_uppercase());
        let kept = kept(&json!([one, other])).unwrap().unwrap();
        assert_eq!(kept["version"], 1);
        assert_eq!(kept["attestation_bundles"][0]["attestations"], json!([one, other]));
        assert_eq!(kept["attestation_bundles"][0]["publisher"], json!({"kind": "artifortress-token", "claims": {}}));
        assert!(super::tests::kept(&json!([])).unwrap().is_none());
    }

    #[test]
    fn what_is_no_attestation_of_this_file_is_refused_in_words() {
        let sha256 = Digest::of(b"bytes").hex();
        let good = attestation("demo_lib-1.0.tar.gz", &sha256);
        let changed = |pointer: &str, value: Value| {
            let mut changed = good.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            json!([changed])
        };
        for (attestations, says) in [
            (json!({}), "no JSON list"),
            (json!([1]), "lacks"),
            (json!([{}]), "lacks"),
            (changed("/version", json!(2)), "version 2"),
            (changed("/envelope/signature", json!("-")), "signature"),
            (changed("/verification_material/certificate", json!("-")), "certificate"),
            (changed("/envelope/statement", json!("e30=")), "in-toto"),
            (json!([attestation("demo_lib-1.1.tar.gz", &sha256)]), "demo_lib-1.1.tar.gz"),
            (json!([attestation("demo_lib-1.0-py3-none-any.whl", &sha256)]), "demo_lib-1.0-py3"),
            (json!([attestation("demo_lib-1.0.tar.gz", &Digest::of(b"other").hex())]), "other bytes"),
            (json!(vec![good.clone(); ATTESTATIONS_LIMIT + 1]), "number of attestations"),
        ] {
            let error = kept(&attestations).unwrap_err();
            assert!(error.message().contains(says), "{says}: {error}");
        }
    }
}
