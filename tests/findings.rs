//! Reports of external scanners. Invariant: each is of one content and one scanner: a failed scan is a fact that no other scanner's clean
//! row hides, and other bytes under the same version have not been scanned.

use serde_json::{Value, json};

use crate::support::{Package, Response, TestApp, items, rule, text, version_path};

fn path(id: &str, scanner: &str) -> String {
    format!("/v1/repos/main/versions/{id}/findings/{scanner}")
}

async fn report(app: &TestApp, id: &str, scanner: &str, report: Value) -> Response {
    app.call("PUT", &path(id, scanner)).token(&app.admin).json(&report).send().await
}

async fn policy(app: &TestApp, when: &str) {
    app.set_policy("main", &rule("scan", "quarantine", when)).await;
}

async fn decision(app: &TestApp, id: &str) -> String {
    let asked = json!({"action": "publish", "versionId": id, "reason": "looking"});
    text(&app.post(&app.admin, "/v1/repos/main/policy/evaluations", asked).await.expect(201).json(), "decision")
}

#[tokio::test]
async fn a_report_is_kept_shown_replaced_and_removed_with_its_audit_rows() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let mark = app.mark();
    let kept = report(&app, &id, "trivy", json!({"status": "found", "severity": "7.5", "ids": ["CVE-2026-1"]})).await.expect(200).json();
    assert_eq!((&kept["scanner"], &kept["severity"], &kept["ids"]), (&json!("trivy"), &json!("7.5"), &json!(["CVE-2026-1"])));
    report(&app, &id, "trivy", json!({"status": "clean"})).await.expect(200);
    let list = app.get(&app.admin, &format!("/v1/repos/main/versions/{id}/findings")).await.expect(200).json();
    assert_eq!((items(&list).len(), &items(&list)[0]["status"], &list["contentDigest"]), (1, &json!("clean"), &kept["contentDigest"]));
    app.call("DELETE", &path(&id, "trivy")).token(&app.admin).send().await.expect(204);
    app.call("DELETE", &path(&id, "trivy")).token(&app.admin).send().await.refused(404, "not_found");
    assert_eq!(app.audit_since(&mark), ["scan.reported", "scan.reported", "scan.removed"]);
}

#[tokio::test]
async fn a_failed_scan_is_a_fact_that_another_scanners_clean_row_does_not_mask() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    policy(&app, "context.findings.failed").await;
    report(&app, &id, "one", json!({"status": "failed"})).await.expect(200);
    report(&app, &id, "two", json!({"status": "clean"})).await.expect(200);
    let held = app.publish(&app.admin, "main", &id).await.expect(202).json();
    assert_eq!(held["reasons"][0]["rule"], "scan");
    let next = app.draft(&app.admin, "main", &Package::generic("demo", "1.1")).await;
    report(&app, &next, "two", json!({"status": "clean"})).await.expect(200);
    app.publish(&app.admin, "main", &next).await.expect(200);
}

#[tokio::test]
async fn what_was_found_is_of_the_bytes_that_were_scanned() {
    let app = TestApp::new().await;
    let id = app.draft(&app.admin, "main", &Package::generic("demo", "1.0")).await;
    let scanned = report(&app, &id, "trivy", json!({"status": "clean"})).await.expect(200).json();
    policy(&app, "!context.findings.scanners.contains(\"trivy\")").await;
    let manifest = format!("{}/manifest", version_path("main", &id));
    app.call("PUT", &manifest).token(&app.admin).body("{\"other\": true}").send().await.expect(200);
    let stale = json!({"status": "clean", "contentDigest": scanned["contentDigest"]});
    let refusal = report(&app, &id, "trivy", stale).await.refused(409, "conflict");
    assert_ne!(refusal["contentDigest"], scanned["contentDigest"]);
    app.publish(&app.admin, "main", &id).await.expect(202);
}

#[tokio::test]
async fn a_promotion_is_judged_by_the_findings_of_its_source_and_takes_them_along() {
    let app = TestApp::new().await;
    app.create_repo("prod", json!({})).await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let good = app.published("main", &Package::generic("good", "1.0")).await;
    report(&app, &id, "trivy", json!({"status": "malicious", "severity": "10.0"})).await.expect(200);
    report(&app, &good, "trivy", json!({"status": "clean"})).await.expect(200);
    app.set_policy("prod", &rule("malware", "deny", "context.findings.malicious")).await;
    let promote =
        async |id: &str| app.post(&app.admin, &format!("{}/promote", version_path("main", id)), json!({"targetRepo": "prod"})).await;
    promote(&id).await.refused(403, "policy_denied");
    let copy = text(&promote(&good).await.expect(200).json(), "versionId");
    let list = app.get(&app.admin, &format!("/v1/repos/prod/versions/{copy}/findings")).await.expect(200).json();
    assert_eq!(items(&list).len(), 1, "{list}");
}

#[tokio::test]
async fn reports_are_bounded_and_do_not_contradict_themselves() {
    let app = TestApp::new().await;
    let id = app.published("main", &Package::generic("demo", "1.0")).await;
    let many: Vec<String> = (0..257).map(|number| format!("X-{number}")).collect();
    for wrong in [
        json!({"status": "clean", "ids": ["X"]}),
        json!({"status": "failed", "severity": "5.0"}),
        json!({"status": "found", "ids": many}),
        json!({"status": "found", "ids": ["x".repeat(129)]}),
        json!({"status": "found", "severity": "11.0"}),
        json!({"status": "maybe"}),
        json!({"status": "clean", "more": 1}),
    ] {
        report(&app, &id, "trivy", wrong).await.refused(400, "bad_request");
    }
    report(&app, &id, "Trivy", json!({"status": "clean"})).await.refused(400, "bad_request");
    for number in 0..64 {
        report(&app, &id, &format!("s{number}"), json!({"status": "clean"})).await.expect(200);
    }
    report(&app, &id, "one-more", json!({"status": "clean"})).await.refused(409, "conflict");
    report(&app, &id, "s7", json!({"status": "failed"})).await.expect(200);
    assert_eq!(decision(&app, &id).await, "allow");
}
