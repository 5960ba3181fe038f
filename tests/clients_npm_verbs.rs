//! What npm itself does beside publishing and installing. Invariant: each verb is that of the real client, and what it changed is what the
//! clients then see.

use serde_json::{Value, json};

use crate::support::{Machine, Served, Tool, text};

fn bench() -> (Served, Machine) {
    let served = Served::start();
    let token = served.writer("main").secret;
    let machine = Machine::new(&served, "npm", Tool::Npm, &token);
    (served, machine)
}

fn publish(machine: &Machine, name: &str, version: &str) {
    machine.package(name, version, "module.exports = 1\n").publish().well();
}

#[test]
fn npm_knows_who_it_is_and_views_what_there_is() {
    let (_served, machine) = bench();
    machine.run(&["whoami"]).well().says(&["ann"]);
    machine.run(&["ping"]).well().says(&["PONG"]);
    publish(&machine, "demo", "1.0.0");
    let viewed = machine.run(&["view", "demo", "--json"]).well();
    let viewed: Value = serde_json::from_str(&viewed.stdout).unwrap();
    assert_eq!((&viewed["version"], &viewed["maintainers"]), (&json!("1.0.0"), &json!(["ann"])), "{viewed}");
    machine.run(&["view", "demo"]).well().says(&["demo@1.0.0 | MIT", "A small package.", "latest: 1.0.0"]);
    machine.run(&["view", "none"]).badly().says(&["E404"]);
    let found = (0..30).any(|_| machine.run(&["search", "demo"]).well().stdout.contains("A small package."));
    assert!(found, "the search never finds it");
}

#[test]
fn npm_sets_lists_and_removes_tags_and_installs_by_them() {
    let (_served, machine) = bench();
    for version in ["1.0.0", "1.1.0"] {
        publish(&machine, "@team/demo", version);
    }
    machine.run(&["dist-tag", "add", "@team/demo@1.0.0", "old"]).well().says(&["+old: @team/demo@1.0.0"]);
    machine.run(&["dist-tag", "ls", "@team/demo"]).well().says(&["latest: 1.1.0", "old: 1.0.0"]);
    let project = machine.project("tagged");
    project.install("@team/demo@old").well();
    assert_eq!(project.installed("@team/demo"), "1.0.0");
    machine.run(&["dist-tag", "rm", "@team/demo", "old"]).well();
    machine.run(&["dist-tag", "ls", "@team/demo"]).well().hides(&["old"]);
    machine.run(&["dist-tag", "rm", "@team/demo", "latest"]).badly().says(&["latest is what clients take"]);
}

#[test]
fn npm_deprecates_a_version_and_the_clients_that_warn_of_it_do() {
    let (served, machine) = bench();
    for version in ["1.0.0", "1.1.0"] {
        publish(&machine, "demo", version);
    }
    machine.run(&["deprecate", "demo@1.1.0", "it is broken, use 1.0.0"]).well();
    for tool in [Tool::Npm, Tool::Pnpm, Tool::Yarn, Tool::Bun] {
        let fresh = Machine::new(&served, &format!("{}-reader", tool.program()), tool, &served.reader("main").secret).project("deprecated");
        let ended = fresh.install("demo@1.1.0").well();
        assert_eq!(fresh.installed("demo"), "1.1.0");
        match tool {
            Tool::Npm => drop(ended.says(&["warn deprecated demo@1.1.0: it is broken, use 1.0.0"])),
            Tool::Pnpm => drop(ended.says(&["deprecated"])),
            // These say nothing of it, or only in listings.
            Tool::Yarn | Tool::Bun => drop(ended),
        }
    }
    machine.run(&["deprecate", "demo@1.1.0", ""]).well();
    let again = Machine::new(&served, "later", Tool::Npm, &served.reader("main").secret).project("again");
    again.install("demo@1.1.0").well().hides(&["deprecated"]);
}

#[test]
fn npm_takes_versions_and_packages_back_unless_they_are_protected() {
    let (served, machine) = bench();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        publish(&machine, "demo", version);
    }
    machine.run(&["unpublish", "demo@1.2.0"]).well().says(&["- demo@1.2.0"]);
    machine.run(&["dist-tag", "ls", "demo"]).well().says(&["latest: 1.1.0"]);
    machine.package("demo", "1.2.0", "module.exports = 1\n").publish().badly().says(&["was taken back"]);
    let found = "/v1/repos/main/packages/versions/resolve?packageType=npm&name=demo&version=1.0.0";
    let protection = format!("/v1/repos/main/packages/versions/{}/protection", text(&served.api("GET", found, &Value::Null), "versionId"));
    served.api("PUT", &protection, &json!({"mode": "legal_hold", "reason": "a case"}));
    machine.run(&["unpublish", "demo@1.0.0"]).badly().says(&["E403", "demo 1.0.0 is under legal_hold: a case"]);
    machine.run(&["unpublish", "demo", "--force"]).badly().says(&["is protected, so demo cannot be unpublished as a whole"]);
    served.api("DELETE", &protection, &Value::Null);
    machine.run(&["unpublish", "demo", "--force"]).well().says(&["- demo"]);
    machine.project("none").install("demo").badly().says(&["E404"]);
}

#[test]
fn npm_puts_owners_on_a_package_and_others_cannot_publish_it_then() {
    let (served, machine) = bench();
    publish(&machine, "demo", "1.0.0");
    machine.run(&["owner", "add", "ben", "demo"]).well();
    machine.run(&["owner", "ls", "demo"]).well().says(&["ann", "ben"]);
    let issued = served.api("POST", "/v1/auth/tokens", &json!({"subject": "bob", "scopes": ["repo:main:write", "repo:main:read"]}));
    let other = Machine::new(&served, "other", Tool::Npm, &text(&issued, "token"));
    other.package("demo", "1.1.0", "module.exports = 1\n").publish().badly().says(&["403"]);
    machine.run(&["owner", "rm", "ben", "demo"]).well();
    machine.run(&["owner", "ls", "demo"]).well().hides(&["ben"]);
}

#[test]
fn npm_audits_what_is_installed_by_the_advisories_here() {
    let (served, machine) = bench();
    for version in ["1.0.0", "1.2.0"] {
        publish(&machine, "demo", version);
    }
    let project = machine.project("audited");
    project.install("demo@1.0.0").well();
    project.run(&["audit", "--audit"]).badly().says(&["audit"]).hides(&["found 0 vulnerabilities"]);
    let record = json!({"id": "GHSA-1", "modified": "2024-01-01T00:00:00Z", "summary": "it is broken",
        "affected": [{"package": {"ecosystem": "npm", "name": "demo"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]}]}]});
    served.api("POST", "/v1/admin/advisories/imports", &record);
    project.run(&["audit", "--audit"]).badly().says(&["1 high severity vulnerability", "it is broken", "demo  1.0.0"]);
    project.install("demo@1.2.0").well();
    project.run(&["audit", "--audit"]).well().says(&["found 0 vulnerabilities"]);
}
