//! How often rules fire: counted with the evaluation, shown to who reviews and to who runs the instance. Invariant: a rule on observation
//! stops nothing and is counted all the same.

use serde_json::{Value, json};

use crate::command_line::{publish, typed};
use crate::support::{Daemon, HOLD_ALL, Package, TestApp, rule, text};

const FIRINGS: &str = "/v1/repos/main/policy/firings";

fn observed(id: &str, condition: &str) -> String {
    rule(id, "quarantine", condition).replace("@decision", "@mode(\"observe\") @decision")
}

/// Rule, part, decision and count of each.
fn shown(firings: &Value) -> Vec<(String, String, String, u64)> {
    let firing = |item: &Value| (text(item, "rule"), text(item, "part"), text(item, "decision"), item["count"].as_u64().unwrap());
    crate::support::items(firings).iter().map(firing).collect()
}

#[tokio::test]
async fn what_fired_is_counted_by_rule_and_part_in_the_transaction_of_its_evaluation() {
    let app = TestApp::new().await;
    let policy = observed("watch", "true") + &rule("bad", "deny", "context.package.name like \"bad-*\"");
    app.set_policy("main", &policy).await;
    app.published("main", &Package::generic("good", "1.0")).await;
    let bad = app.draft(&app.admin, "main", &Package::generic("bad-one", "1.0")).await;
    app.publish(&app.admin, "main", &bad).await.refused(403, "policy_denied");
    let firings = app.get(&app.admin, FIRINGS).await.expect(200).json();
    let words = |rule: &str, part: &str, decision: &str, count| (rule.to_owned(), part.to_owned(), decision.to_owned(), count);
    assert_eq!(shown(&firings), [words("watch", "observed", "quarantine", 2), words("bad", "enforced", "deny", 1)]);
    assert_eq!(firings["items"][1]["policy"], "repo");
    assert_eq!(firings["items"][1]["lastVersionId"], bad);
    assert_eq!(firings["items"][0]["lastPackage"], "pkg:generic/bad-one@1.0");
    assert_eq!((&firings["since"], &firings["complete"]), (&json!("2026-05-25T00:00:00.000Z"), &json!(true)));
    let counted = app.ask("SELECT sum(count) FROM rule_firings");
    let recorded =
        app.ask("SELECT sum(json_array_length(reasons) + json_array_length(observed) + json_array_length(waived)) FROM evaluations");
    assert_eq!(counted, recorded, "nothing is counted without its record");
}

#[tokio::test]
async fn what_a_waiver_lets_through_is_counted_as_waived() {
    let app = TestApp::new().await;
    app.set_policy("main", HOLD_ALL).await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    let held = app.publish(&app.admin, "main", &id).await.expect(202).json();
    app.vote(&app.admin, "main", &text(&held, "quarantineId"), "release").await.expect(200);
    let asked = json!({"action": "publish", "versionId": id, "reason": "asked again"});
    app.post(&app.admin, "/v1/repos/main/policy/evaluations", asked).await.expect(201);
    let parts: Vec<String> = shown(&app.get(&app.admin, FIRINGS).await.json()).into_iter().map(|firing| firing.1).collect();
    assert!(parts.contains(&"enforced".to_owned()) && parts.contains(&"waived".to_owned()), "{parts:?}");
}

#[tokio::test]
async fn days_are_counted_apart_and_old_ones_are_dropped() {
    const DAY_MS: i64 = 86_400_000;
    let app = TestApp::new().await;
    app.set_policy("main", &observed("watch", "true")).await;
    for day in 0..3 {
        app.published("main", &Package::generic(&format!("demo-{day}"), "1.0")).await;
        app.clock.advance_ms(5 * DAY_MS);
    }
    let count = async |path: &str| app.get(&app.admin, path).await.expect(200).json()["items"][0]["count"].clone();
    assert_eq!(count(FIRINGS).await, 1, "the last seven days");
    assert_eq!(count(&format!("{FIRINGS}?since=2026-06-06T23:00:00Z")).await, 2);
    assert_eq!(count("/v1/policy/firings?since=2026-01-01T00:00:00Z").await, 3);
    app.get(&app.admin, &format!("{FIRINGS}?since=yesterday")).await.refused(400, "bad_request");
    app.clock.advance_ms(500 * DAY_MS);
    app.published("main", &Package::generic("late", "1.0")).await;
    assert_eq!(app.ask("SELECT count(*) FROM rule_firings"), ["1"]);
}

#[test]
fn status_shows_what_rules_on_observation_would_have_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    let quiet = typed(directory.path(), "status --json").json();
    assert_eq!(quiet["summary"]["wouldHaveStopped"]["rules"], json!([]));
    assert!(!typed(directory.path(), "status").done().contains("would have stopped"));
    std::fs::write(directory.path().join("watch.cedar"), observed("watch", "true")).unwrap();
    typed(directory.path(), &format!("policy put {} --repo main", directory.path().join("watch.cedar").display())).done();
    publish(&daemon, "one");
    publish(&daemon, "two");
    let shown = typed(directory.path(), "status").done();
    assert!(shown.contains("would have stopped  watch in main: 2 × quarantine in 7 days, last pkg:generic/two@1.0"), "{shown}");
    daemon.stop();
}
