//! Cases beside a policy: over the routes and by the commands. Invariant: a policy that fails its own cases is not stored, wherever its
//! cases come from.

use serde_json::{Value, json};

use crate::command_line::typed;
use crate::support::{Daemon, TestApp, rule, text};

const POLICY: &str = "/v1/repos/main/policy";
const MALWARE: &str = r#"@id("malware") forbid (principal, action, resource) when { context.advisories.malicious };"#;
const CASES: &str =
    "[[case]]\nname = \"malware is denied\"\nfacts.advisories.malicious = true\ndecision = \"deny\"\nrules = [\"malware\"]\n";

async fn put(app: &TestApp, path: &str, body: Value) -> crate::support::Response {
    app.call("PUT", path).token(&app.admin).json(&body).send().await
}

#[tokio::test]
async fn a_policy_that_fails_its_own_cases_is_not_stored() {
    let app = TestApp::new().await;
    for path in [POLICY, "/v1/policy"] {
        let before = app.everything();
        let harmless = rule("other", "quarantine", "context.ageDays > 9000");
        let refused = put(&app, path, json!({"text": harmless, "cases": CASES})).await.refused(400, "bad_policy");
        assert_eq!(refused["cases"][0]["name"], "malware is denied");
        assert_eq!(refused["cases"][0]["expected"], json!({"decision": "deny", "rules": ["malware"]}));
        assert_eq!(refused["cases"][0]["got"], json!({"decision": "allow", "rules": [], "observed": []}));
        assert_eq!((&refused["faults"][0]["line"], &refused["faults"][0]["file"]), (&json!(1), &json!("cases")));
        assert_eq!(app.everything(), before, "nothing was written");
        let stored = put(&app, path, json!({"text": MALWARE, "cases": CASES})).await.expect(200).json();
        assert_eq!((&stored["casesPassed"], &stored["revision"]), (&json!(1), &json!(1)));
        let shown = app.get(&app.admin, path).await.expect(200).json();
        assert_eq!((text(&shown, "text"), text(&shown, "cases")), (MALWARE.to_owned(), CASES.to_owned()));
    }
}

#[tokio::test]
async fn a_new_text_without_cases_keeps_those_before_and_must_pass_them() {
    let app = TestApp::new().await;
    put(&app, POLICY, json!({"text": MALWARE, "cases": CASES})).await.expect(200);
    let plain = |policy: &'static str| app.call("PUT", POLICY).token(&app.admin).header("content-type", "text/plain").body(policy);
    let refused = plain("").send().await.refused(400, "bad_policy");
    assert!(text(&refused, "message").contains("kept from revision 1"), "{refused}");
    assert_eq!(refused["casesOfRevision"], 1);
    let stricter = format!("{MALWARE}\n// and more to come");
    let kept = put(&app, POLICY, json!({"text": stricter})).await.expect(200).json();
    assert_eq!((&kept["revision"], &kept["casesPassed"]), (&json!(2), &json!(1)));
    assert_eq!(text(&app.get(&app.admin, POLICY).await.json(), "cases"), CASES);
    let dropped = put(&app, POLICY, json!({"text": "", "cases": ""})).await.expect(200).json();
    assert_eq!((&dropped["revision"], &dropped["casesPassed"]), (&json!(3), &json!(0)));
    let again = put(&app, POLICY, json!({"text": "", "cases": ""})).await.expect(200).json();
    assert_eq!(again["revision"], 3, "the same policy with the same cases is no new revision");
    assert!(app.get(&app.admin, POLICY).await.json().get("cases").is_none());
    assert_eq!(text(&app.get(&app.admin, &format!("{POLICY}/versions/2")).await.json(), "cases"), CASES);
}

#[tokio::test]
async fn a_policy_based_on_another_revision_is_refused() {
    let app = TestApp::new().await;
    put(&app, POLICY, json!({"text": MALWARE, "expectedRevision": 1})).await.refused(409, "conflict");
    put(&app, POLICY, json!({"text": MALWARE, "expectedRevision": 0})).await.expect(200);
    let refused = put(&app, POLICY, json!({"text": "", "expectedRevision": 0})).await.refused(409, "conflict");
    assert_eq!(refused["revision"], 1);
    put(&app, POLICY, json!({"text": "", "expectedRevision": 1})).await.expect(200);
    put(&app, POLICY, json!({"text": "", "more": 1})).await.refused(400, "bad_request");
}

#[tokio::test]
async fn a_check_takes_cases_and_stores_nothing() {
    let app = TestApp::new().await;
    let before = app.everything();
    let check = |body: Value| app.post(&app.admin, "/v1/policy/check", body);
    assert_eq!(check(json!({"text": MALWARE, "cases": CASES})).await.expect(200).json()["casesPassed"], 1);
    check(json!({"text": "", "cases": CASES})).await.refused(400, "bad_policy");
    let faulty = check(json!({"text": MALWARE, "cases": "[[case]]\nname = \"a\"\nfacts.ageDay = 1\ndecision = \"allow\""}));
    let faulty = faulty.await.refused(400, "bad_policy");
    assert_eq!((&faulty["faults"][0]["line"], &faulty["faults"][0]["help"]), (&json!(3), &json!("did you mean facts.ageDays?")));
    assert_eq!(app.everything(), before);
}

#[test]
fn the_commands_test_check_store_and_show_a_policy_with_the_cases_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(at("main.cedar"), MALWARE).unwrap();
    let policy = at("main.cedar");
    typed(directory.path(), &format!("policy test {policy}")).complains(1, &["there are no cases", "main.cases.toml"]);
    std::fs::write(at("main.cases.toml"), CASES).unwrap();
    assert_eq!(typed(directory.path(), &format!("policy test {policy}")).done(), "ok    malware is denied\n\n1 case passed\n");
    std::fs::write(at("other.toml"), CASES.replace("\"deny\"", "\"allow\"")).unwrap();
    let failed = typed(directory.path(), &format!("policy test {policy} --cases {}", at("other.toml")));
    assert_eq!(failed.code, Some(1));
    assert!(failed.output.contains("FAIL  malware is denied (line 1)\n        expected allow, rules malware; got deny, rules malware"));
    let failed = typed(directory.path(), &format!("policy test {policy} --json --cases {}", at("other.toml")));
    assert_eq!(failed.code, Some(1));
    let failed: Value = serde_json::from_str(&failed.output).unwrap();
    assert_eq!((&failed["ok"], &failed["failed"], &failed["cases"][0]["passed"]), (&json!(false), &json!(1), &json!(false)));
    std::fs::write(at("bad.toml"), "[[case]]\nname = \"a\"\nfacts.ageDay = 1\ndecision = \"allow\"").unwrap();
    typed(directory.path(), &format!("policy test {policy} --cases {}", at("bad.toml")))
        .complains(1, &["cases line 3, column 7: there is no fact ageDay (did you mean facts.ageDays?)"]);

    let daemon = Daemon::start(directory.path(), &[]);
    assert_eq!(typed(directory.path(), &format!("policy check {policy}")).done(), "1 rule, 1 case passed\n");
    let stored = typed(directory.path(), &format!("policy put {policy} --repo main")).done();
    assert_eq!(stored, "revision 1 of the policy of repo main is in force: 1 rule, 1 case passed\n");
    let shown = typed(directory.path(), "policy show --repo main").done();
    assert!(shown.starts_with("revision 1, ") && shown.contains("with cases") && shown.contains("malware  deny"), "{shown}");
    assert_eq!(typed(directory.path(), "policy show --repo main --text").done().trim(), MALWARE);
    assert_eq!(typed(directory.path(), "policy show --repo main --cases").done(), CASES);
    std::fs::write(at("main.cedar"), "forbid (principal, action, resource) when { context.ageDay < 7 };").unwrap();
    typed(directory.path(), &format!("policy put {policy} --repo main")).complains(1, &["line 1, column", "no @id", "ageDays"]);
    std::fs::write(at("main.cedar"), "").unwrap();
    typed(directory.path(), &format!("policy put {policy} --repo main")).complains(1, &["fails 1 of its 1 cases", "malware is denied"]);
    typed(directory.path(), &format!("policy put {policy} --repo main --no-cases")).done();
    assert!(typed(directory.path(), "policy show --repo main").done().contains("without cases"));
    typed(directory.path(), "policy show").complains(1, &["a policy of the instance was not found"]);
    daemon.stop();
}

#[test]
fn the_starter_policy_is_switched_on_with_one_command_and_replaces_nothing_unasked() {
    let directory = tempfile::tempdir().unwrap();
    let printed = typed(directory.path(), "policy starter").done();
    assert!(printed.contains("@id(\"cooldown\")") && typed(directory.path(), "policy starter --cases").done().contains("[[case]]"));
    assert!(typed(directory.path(), "policy facts").done().contains("| `context.advisories.malicious` | Bool |"));
    let daemon = Daemon::start(directory.path(), &[]);
    let applied = typed(directory.path(), "policy starter --apply").done();
    assert!(applied.starts_with("revision 1 of the policy of the instance is in force: 5 rules, 11 cases passed"), "{applied}");
    let denied = daemon.call(&daemon.admin(), "PUT", "/files/main/demo/1.0/file.txt?publish", b"bytes").unwrap();
    assert_eq!(denied.status / 100, 2, "our own uploads do not wait: {}", denied.json());
    typed(directory.path(), "policy starter --apply").complains(1, &["the instance has a policy, revision 1", "--replace"]);
    assert!(typed(directory.path(), "policy starter --apply --replace").done().starts_with("revision 1 "), "it is the same policy");
    assert!(typed(directory.path(), "policy starter --apply --repo main").done().contains("repo main"));
    typed(directory.path(), "policy starter --replace").complains(2, &["--apply"]);
    daemon.stop();
}
