//! Policies, evaluations, the audit trail and the backlogs through the routes, in process.

use serde_json::{Value, json};

use crate::api::quarantine::tests::{Instance, POLICY};
use crate::registry::Admitted;

#[tokio::test]
async fn a_policy_is_stored_in_revisions_and_a_faulty_one_changes_nothing() {
    let instance = Instance::start().await;
    let admin = instance.admin.clone();
    let first = instance.get("/v1/policy", &admin).await;
    assert_eq!((&first["revision"], &first["text"], first["rules"][0]["id"].as_str()), (&json!(1), &json!(POLICY), Some("look")));
    assert_eq!(instance.call("PUT", "/v1/policy", &admin, POLICY).await.json()["revision"], 1, "the same text is no new revision");
    let faulty =
        instance.call("PUT", "/v1/policy", &admin, "@id(\"x\")\nforbid (principal, action, resource) when { context.nonsense };").await;
    assert_eq!((faulty.status, &faulty.json()["error"], &faulty.json()["faults"][0]["line"]), (400, &json!("bad_policy"), &json!(2)));
    assert_eq!(instance.call("PUT", "/v1/policy", &admin, "x".repeat(256 * 1024 + 1)).await.status, 413);
    let second = instance.call("PUT", "/v1/policy", &admin, "").await;
    assert_eq!(
        (second.status, &second.json()["revision"], &second.json()["rules"], second.json().get("text")),
        (200, &json!(2), &json!([]), None)
    );
    let versions = instance.get("/v1/policy/versions?limit=1", &admin).await;
    assert_eq!((&versions["items"][0]["revision"], versions["items"][0].get("text")), (&json!(2), None));
    let rest = instance.get(&format!("/v1/policy/versions?cursor={}", versions["nextCursor"].as_str().unwrap()), &admin).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(instance.get("/v1/policy/versions/1", &admin).await["text"], POLICY);
    assert_eq!(instance.call("GET", "/v1/policy/versions/3", &admin, "").await.status, 404);
    instance.end();
}

#[tokio::test]
async fn a_repos_policy_is_its_administrators_and_a_check_stores_nothing() {
    let instance = Instance::start().await;
    let owner = instance.token("olga", &["repo:main:admin"]).await;
    assert_eq!(instance.call("GET", "/v1/repos/main/policy", &owner, "").await.status, 404);
    assert_eq!(instance.call("GET", "/v1/policy", &owner, "").await.status, 403);
    assert_eq!(instance.call("PUT", "/v1/repos/dual/policy", &owner, "").await.status, 404);
    let checked = instance.call("POST", "/v1/policy/check", &owner, POLICY).await.json();
    assert_eq!((&checked["ok"], &checked["rules"][1]["id"]), (&json!(true), &json!("never")));
    let faulty = instance.call("POST", "/v1/policy/check", &owner, "permit (principal, action, resource);").await;
    assert_eq!((faulty.status, &faulty.json()["error"]), (400, &json!("bad_policy")));
    assert_eq!(instance.call("POST", "/v1/policy/check", "", POLICY).await.status, 401);
    let stored = instance.call("PUT", "/v1/repos/main/policy", &owner, POLICY).await.json();
    assert_eq!((&stored["revision"], &stored["repoKey"], &stored["createdBySubject"]), (&json!(1), &json!("main"), &json!("olga")));
    assert_eq!(instance.get("/v1/repos/main/policy", &owner).await["policyDigest"], checked["policyDigest"]);
    assert_eq!(instance.get("/v1/repos/main/policy/versions", &owner).await["items"].as_array().unwrap().len(), 1);
    instance.end();
}

async fn publish(instance: &Instance, name: &str) -> String {
    match instance.publish("main", name, &instance.admin, "bytes").await.unwrap() {
        Admitted::Published { version_id, .. } => version_id.to_string(),
        other @ (Admitted::AlreadyPublished { .. } | Admitted::Quarantined { .. }) => panic!("not published: {other:?}"),
    }
}

#[tokio::test]
async fn an_evaluation_is_recorded_listed_shown_with_its_input_and_verified() {
    let instance = Instance::start().await;
    let admin = instance.admin.clone();
    let version = publish(&instance, "fine").await;
    let at = "/v1/repos/main/policy/evaluations";
    let made = instance.call("POST", at, &admin, json!({"action": "promote", "versionId": version, "reason": "before the release"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made_body = made.json();
    assert_eq!(
        (&made_body["decision"], &made_body["decisionSource"], &made_body["quarantined"]),
        (&json!("allow"), &json!("default_allow"), &json!(false))
    );
    assert_eq!(
        (&made_body["evaluatedBySubject"], &made_body["reason"], &made_body["quarantineId"]),
        (&json!("admin"), &json!("before the release"), &Value::Null)
    );
    let shown = instance.get(made.headers["location"].to_str().unwrap(), &admin).await;
    assert_eq!((&shown["input"]["context"]["package"]["name"], &shown["evaluationId"]), (&json!("fine"), &made_body["evaluationId"]));
    let one = format!("{at}/{}/verify", made_body["evaluationId"].as_str().unwrap());
    let verified = instance.call("POST", &one, &admin, "").await.json();
    assert_eq!(
        (&verified["matches"], &verified["decision"], &verified["recorded"]["decision"]),
        (&json!(true), &json!("allow"), &json!("allow"))
    );

    // Later policies do not change what was decided under earlier ones.
    instance.call("PUT", "/v1/policy", &admin, "@id(\"all\") forbid (principal, action, resource);").await;
    assert_eq!(instance.call("POST", &one, &admin, "").await.json()["matches"], true);
    let count = async |query: &str| instance.get(&format!("{at}?{query}"), &admin).await["items"].as_array().unwrap().len();
    assert_eq!(count(&format!("versionId={version}")).await, 2);
    assert_eq!(count(&format!("versionId={version}&action=promote")).await, 1);
    assert_eq!(count(&format!("versionId={version}&decision=deny")).await, 0);
    assert_eq!(count("action=publish&decision=allow").await, 1);
    let page = instance.get(&format!("{at}?versionId={version}&limit=1"), &admin).await;
    assert_eq!(page["items"][0]["action"], "promote", "newest first");
    let rest = instance.get(&format!("{at}?versionId={version}&limit=1&cursor={}", page["nextCursor"].as_str().unwrap()), &admin).await;
    assert_eq!((&rest["items"][0]["action"], &rest["nextCursor"]), (&json!("publish"), &Value::Null));
    instance.end();
}

#[tokio::test]
async fn a_hint_only_tightens_and_a_released_one_is_waived_for_that_content() {
    let instance = Instance::start().await;
    let admin = instance.admin.clone();
    let version = publish(&instance, "fine").await;
    let at = "/v1/repos/main/policy/evaluations";
    let ask = async |hint: &str| {
        instance
            .call("POST", at, &admin, json!({"action": "publish", "versionId": version, "decisionHint": hint, "reason": "scanner"}))
            .await
            .json()
    };
    assert_eq!(ask("allow").await["decision"], "allow");
    let held = ask("quarantine").await;
    assert_eq!((&held["decisionSource"], &held["quarantined"]), (&json!("hint_quarantine"), &json!(true)));
    let release = format!("/v1/repos/main/quarantine/{}/release", held["quarantineId"].as_str().unwrap());
    assert_eq!(instance.call("POST", &release, &admin, "").await.status, 200);
    let again = ask("quarantine").await;
    assert_eq!((&again["decision"], &again["waived"][0]["rule"], &again["quarantined"]), (&json!("allow"), &json!("hint"), &json!(false)));
    for body in [
        json!({"action": "restore", "versionId": version, "reason": "r"}),
        json!({"action": "publish", "versionId": version, "reason": ""}),
        json!({"action": "publish", "versionId": version, "reason": "r", "decision": "allow"}),
        json!({"action": "publish", "versionId": version, "reason": "r", "decisionHint": ""}),
    ] {
        assert_eq!(instance.call("POST", at, &admin, &body).await.status, 400, "{body}");
    }
    let engine = again["policyEngineVersion"].as_str().unwrap();
    let with_engine = async |engine: &str| {
        instance
            .call("POST", at, &admin, json!({"action": "publish", "versionId": version, "reason": "r", "policyEngineVersion": engine}))
            .await
            .status
    };
    assert_eq!((with_engine(engine).await, with_engine("other-1").await), (201, 409));
    instance.end();
}

#[tokio::test]
async fn the_audit_trail_is_filtered_paged_and_exported_whole() {
    let instance = Instance::start().await;
    let admin = instance.admin.clone();
    for number in 0..5 {
        instance.clock.advance_ms(60_000);
        publish(&instance, &format!("fine-{number}")).await;
    }
    let all = instance.get("/v1/audit?limit=200", &admin).await;
    let seqs: Vec<u64> = all["items"].as_array().unwrap().iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] == pair[1] + 1) && seqs.last() == Some(&1), "{seqs:?}");
    let published = instance.get("/v1/audit?action=package.version.published&limit=2", &admin).await;
    let rest = instance
        .get(&format!("/v1/audit?action=package.version.published&cursor={}", published["nextCursor"].as_str().unwrap()), &admin)
        .await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 3);
    let count = async |query: &str| instance.get(&format!("/v1/audit?limit=200&{query}"), &admin).await["items"].as_array().unwrap().len();
    let window = "since=2027-01-15T08:02:00Z&until=2027-01-15T08:03:00Z";
    let per_publish = count("since=2027-01-15T08:05:00Z").await;
    assert_eq!((count(window).await, count(&format!("{window}&action=package.version.published")).await), (2 * per_publish, 2));
    assert_eq!(count("actor=nobody").await + count("resource=nothing").await + count("until=2000-01-01T00:00:00Z").await, 0);
    assert_eq!(instance.call("GET", "/v1/audit?since=yesterday", &admin, "").await.status, 400);
    assert_eq!(instance.call("GET", "/v1/audit", &instance.token("wim", &["repo:main:admin"]).await, "").await.status, 403);

    let export = instance.call("GET", "/v1/audit/export", &admin, "").await;
    let rows: Vec<Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect::<Vec<_>>(), (1..=rows.len() as u64).collect::<Vec<_>>());
    assert!(rows.len() > seqs.len() && rows[0]["hash"].as_str().unwrap().len() == 64);
    instance.end();
}

#[tokio::test]
async fn the_backlogs_are_counted_listed_and_jobs_are_retried_and_called_off() {
    let instance = Instance::start().await;
    let admin = instance.admin.clone();
    publish(&instance, "fine").await;
    instance.clock.advance_ms(30_000);
    let summary = instance.get("/v1/admin/ops/summary", &admin).await;
    // The policy and the version.
    assert_eq!((&summary["outbox"]["pending"], &summary["outbox"]["oldestPendingAgeSeconds"]), (&json!(2), &json!(30)));
    assert_eq!(instance.get("/v1/admin/outbox?state=pending", &admin).await["items"][0]["kind"], "version.published");
    instance.store.bookkeep(|books| books.relay(10, 5)).await.unwrap();
    assert_eq!(instance.get("/v1/admin/outbox?state=pending", &admin).await["items"], json!([]));
    let page = instance.get("/v1/admin/outbox?state=delivered&limit=1", &admin).await;
    assert_eq!(
        instance.get(&format!("/v1/admin/outbox?cursor={}", page["nextCursor"].as_str().unwrap()), &admin).await["items"][0]["kind"],
        "policy.changed"
    );
    let jobs = instance.get("/v1/admin/jobs?state=pending&kind=search_index", &admin).await;
    let job = jobs["items"][0]["jobId"].as_str().unwrap();
    let cancelled = instance.call("POST", &format!("/v1/admin/jobs/{job}/cancel"), &admin, "").await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")));
    assert_eq!(instance.get("/v1/admin/ops/summary", &admin).await["jobs"]["cancelled"], 1);
    assert_eq!(instance.call("POST", &format!("/v1/admin/jobs/{job}/retry"), &admin, "").await.json()["state"], "pending");
    for path in ["/v1/admin/jobs?state=lost", "/v1/admin/jobs?cursor=x", "/v1/admin/outbox?state=lost", "/v1/admin/outbox?cursor=x"] {
        assert_eq!(instance.call("GET", path, &admin, "").await.status, 400, "{path}");
    }
    assert_eq!(instance.call("POST", "/v1/admin/search/pause", &admin, "").await.json()["state"], "paused");
    assert_ne!(instance.call("POST", "/v1/admin/search/resume", &admin, "").await.json()["state"], "paused");
    assert_eq!(instance.call("POST", "/v1/admin/search/rebuild", &admin, "").await.status, 202);
    instance.end();
}

#[tokio::test]
async fn search_is_over_readable_repos_only_and_pages_to_the_end() {
    let instance = Instance::start().await;
    for number in 0..3 {
        publish(&instance, &format!("fine-{number}")).await;
    }
    let elsewhere = instance.token("else", &["repo:dual:read"]).await;
    let all = instance.get("/v1/repos/main/search/packages?q=fine&type=generic&limit=2", &instance.admin).await;
    assert_eq!((&all["totalCount"], all["items"].as_array().unwrap().len(), &all["query"]), (&json!(3), 2, &json!("fine")));
    let rest = instance.get(&format!("/v1/search?q=fine&limit=2&cursor={}", all["nextCursor"].as_str().unwrap()), &instance.admin).await;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["nextCursor"]), (1, &Value::Null));
    assert_eq!(instance.get("/v1/search?q=fine", &elsewhere).await["totalCount"], 0);
    assert_eq!(instance.call("GET", "/v1/search?q=fine", "", "").await.status, 401);
    for query in ["", "q=", "q=a&type=No", "q=a&cursor=7", "q=a&limit=201"] {
        assert_eq!(instance.call("GET", &format!("/v1/search?{query}"), &instance.admin, "").await.status, 400, "{query}");
    }
    instance.end();
}
