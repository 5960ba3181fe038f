//! uv. Invariant: it shows the title and the detail of a problem, and the reason of a yank inside the resolver's error.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Bench, DENIED, HELD, YANKED, venv};
use crate::support::{Client, Ended};

impl Bench {
    fn uv_from(&self, index: &str, target: &str, wanted: &[&str]) -> Ended {
        let from = ["pip", "install", "--no-config", "--python", "python", "--default-index", index, "--target", target];
        self.client.run("uv", &[&from[..], wanted].concat())
    }

    fn uv(&self, target: &str, wanted: &str) -> Ended {
        self.uv_from(&self.index(), target, &[wanted])
    }

    /// A project that needs this, in a directory of its own.
    fn uv_project(&self, directory: &str, needs: &str) -> Client {
        let project = self.client.clone().at(directory).env("UV_INDEX_Q_USERNAME", "__token__").env("UV_INDEX_Q_PASSWORD", &self.token);
        let mut text = format!("[project]\nname = \"it\"\nversion = \"1\"\nrequires-python = \">=3.8\"\ndependencies = [\"{needs}\"]\n");
        write!(text, "[[tool.uv.index]]\nname = \"q\"\nurl = \"{}\"\ndefault = true\n", self.served.url("/pypi/main/simple/")).unwrap();
        project.write("pyproject.toml", text);
        project
    }
}

/// Runs a command of uv's on a project.
fn uv(project: &Client, arguments: &[&str]) -> Ended {
    let python = venv().join("python");
    project.run("uv", &[arguments, &["--python", python.to_str().unwrap()]].concat())
}

#[test]
fn uv_installs_pins_ranges_lock_files_and_any_spelling() {
    let bench = Bench::stocked();
    bench.uv("plain", "demo").well();
    bench.uv("pin", "demo==1.0").well();
    bench.uv("range", "demo<1.1").well();
    bench.uv("needs", "app").well();
    let found = ["plain", "pin", "range", "needs"].map(|target| bench.installed(target, "demo"));
    assert_eq!(found, ["1.1", "1.0", "1.0", "1.1"]);
    bench.uv("odd", "ODD__NAME__X==1.0.post1+local.1").well();
    assert_eq!(bench.installed("odd", "odd_name_x"), "1.0.post1+local.1");

    // The times in the index are those of this server.
    bench.uv_from(&bench.index(), "before", &["--exclude-newer", "2020-01-01", "demo"]).badly();
    bench.uv_from(&bench.index(), "after", &["--exclude-newer", "2999-01-01", "demo"]).well();

    let project = bench.uv_project("project", "app");
    uv(&project, &["lock"]).well();
    let lock = project.read("uv.lock");
    assert!(lock.contains(&bench.sha256("dist/demo-1.1-py3-none-any.whl")) && lock.contains("upload-time"), "{lock}");
    uv(&project, &["sync", "--frozen", "--no-install-project"]).well();
    let seen = project.run("uv", &["pip", "freeze"]).well();
    assert_eq!(seen.stdout, "app==1.0\ndemo==1.1\n");
}

#[test]
fn uv_says_why_a_version_is_held_or_rejected_passes_it_over_and_installs_what_was_released() {
    let bench = Bench::stocked();
    let said = bench.uv("pinned", "demo==2.0").badly().says(&["423 demo-2.0-py3-none-any.whl quarantined: ", HELD]);
    bench.served.snapshot("uv", "held-pin", &said);
    let said = bench.uv("only", "demo>1.5").badly().says(&["yanked", HELD]);
    bench.served.snapshot("uv", "held-range", &said);
    bench.uv("range", "demo>=1.0").well();
    assert_eq!(bench.installed("range", "demo"), "1.1");

    // Locked while it was free, held since.
    bench.served.review("main", "release");
    bench.uv("pinned", "demo==2.0").well();
    bench.uv("latest", "demo>1.5").well();
    assert_eq!(["pinned", "latest"].map(|target| bench.installed(target, "demo")), ["2.0", "2.0"]);
    let project = bench.uv_project("project", "demo>=2.0");
    uv(&project, &["lock"]).well();
    bench.hold("demo", "2.0");
    let said = uv(&project, &["sync", "--frozen", "--no-install-project"]).badly();
    bench.served.snapshot("uv", "held-lock", &said.says(&["Server message: Quarantined, "]));

    bench.served.review("main", "reject");
    let said = bench.uv("rejected", "demo==2.0").badly().says(&["rejected"]);
    bench.served.snapshot("uv", "rejected-pin", &said);
}

#[test]
fn uv_skips_what_is_yanked_and_says_why_when_it_is_pinned() {
    let bench = Bench::stocked();
    bench.uv("range", "stale").well();
    let said = bench.uv("pinned", "stale==1.2").well().says(&[YANKED]);
    assert_eq!(["range", "pinned"].map(|target| bench.installed(target, "stale")), ["1.0", "1.2"]);
    bench.served.snapshot("uv", "yanked-pin", &said);
}

#[test]
fn uv_gets_nothing_and_publishes_nothing_without_a_token_that_is_valid() {
    let bench = Bench::stocked();
    let wheel = bench.wheel("demo", "1.5");
    let tokens = [("wrong-token", bench.served.wrong_token()), ("revoked-token", bench.served.revoked_token("main"))];
    for (case, token) in tokens {
        let said = bench.uv_from(&bench.index_of(&token), "none", &["demo"]).badly();
        bench.served.snapshot("uv", case, &said);
        let said = bench.uv_publish(&token, &[&wheel]).badly();
        bench.served.snapshot("uv", &format!("publish-{case}"), &said);
    }
    let said = bench.uv_publish(&bench.served.reader("main").secret, &[&wheel]).badly();
    bench.served.snapshot("uv", "publish-read-only", &said);
}

#[test]
fn uv_publishes_with_attestations_and_says_why_something_is_denied_or_there_already() {
    let bench = Bench::start();
    let wheel = bench.wheel("demo", "1.0");
    let statement = json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://docs.pypi.org/attestations/publish/v1",
        "subject": [{"name": "demo-1.0-py3-none-any.whl", "digest": {"sha256": bench.sha256(&wheel)}}], "predicate": null});
    let attestation = json!({"version": 1, "verification_material": {"certificate": "AAAA", "transparency_entries": []},
        "envelope": {"statement": STANDARD.encode(statement.to_string()), "signature": "AAAA"}});
    let signed = format!("{wheel}.publish.attestation");
    bench.client.write(&signed, attestation.to_string());
    bench.uv_publish(&bench.token, &[&wheel, &signed]).well();
    let kept = bench.served.daemon().call(&bench.token, "GET", "/pypi/main/files/demo/demo-1.0-py3-none-any.whl.provenance", b"").unwrap();
    assert_eq!((kept.status, kept.json()["attestation_bundles"][0]["attestations"][0].clone()), (200, attestation));

    bench.uv_publish(&bench.token, &[&wheel]).well();
    let known =
        ["publish", "--no-config", "--publish-url", &bench.upload_url(), "--check-url", &bench.index(), "--token", &bench.token, &wheel];
    bench.client.run("uv", &known).well().says(&["skipping"]);
    let other = bench.wheel_that("demo", "1.0", "Keywords: other\n");
    let said = bench.uv_publish(&bench.token, &[&other]).badly().says(&["File already exists"]);
    bench.served.snapshot("uv", "publish-other-bytes", &said);
    let said = bench.uv_publish(&bench.token, &[&bench.wheel("demo", "6.6.6")]).badly().says(&[DENIED]);
    bench.served.snapshot("uv", "publish-denied", &said);
    let said = bench.uv_publish(&bench.token, &[&bench.wheel("demo", "2.0")]).well();
    bench.served.snapshot("uv", "publish-held", &said);
    assert_eq!(bench.listed("demo"), ["demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"]);
}
