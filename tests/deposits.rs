//! Whole versions brought at once. Invariant: what was denied leaves its record and nothing else, and of two uploads at once nobody is
//! told that his bytes count when they do not.

use std::sync::Arc;

use artifortress::domain::access::{Permit, Write};
use artifortress::error::Code;
use artifortress::registry::Admitted;
use serde_json::json;

use crate::support::{DENY_ALL, HOLD_ALL, Mood, Package, TestApp, items, package, text};

/// How many rows of what a version consists of there are.
fn left(app: &TestApp) -> Vec<String> {
    let tables = ["versions", "packages", "entries", "manifests", "wanted_tags", "package_tags", "scan_findings", "waiver_use"];
    tables.iter().map(|table| app.ask(&format!("SELECT '{table} ' || count(*) FROM {table}")).remove(0)).collect()
}

#[tokio::test]
async fn a_denied_deposit_leaves_its_evaluation_and_its_audit_rows_and_nothing_else() {
    let app = TestApp::new().await;
    let (demo, permit) = (package("npm", "@acme/demo"), app.permit::<Write>(&app.admin, "main").await);
    app.set_policy("main", DENY_ALL).await;
    let (empty, mark) = (left(&app), app.mark());
    let refusal = app.deposit(&permit, (&demo, "1.0.0"), b"bad", &["latest"]).await.unwrap_err();
    assert_eq!(refusal.code(), Code::PolicyDenied);
    assert_eq!(left(&app), empty);
    assert!(app.events_since(&mark).is_empty());
    assert_eq!(
        app.audit_since(&mark),
        [
            "upload.committed",
            "package.version.draft.created",
            "package.version.entries.upserted",
            "package.version.manifest.upserted",
            "policy.evaluated",
            "policy.denied",
            "package.version.draft.removed"
        ]
    );
    let evaluation = refusal.members()["evaluationId"].as_str().unwrap().to_owned();
    let path = format!("/v1/repos/main/policy/evaluations/{evaluation}");
    let kept = app.get(&app.admin, &path).await.expect(200).json();
    assert_eq!((&kept["decision"], &kept["input"]["context"]["package"]["name"]), (&json!("deny"), &json!("demo")), "{kept}");
    let version = text(&kept, "versionId");
    let listed = app.get(&app.admin, &format!("/v1/repos/main/policy/evaluations?versionId={version}")).await.expect(200).json();
    assert_eq!(items(&listed)[0]["evaluationId"], evaluation.as_str());
    let proof = app.post(&app.admin, &format!("{path}/verify?today=true"), json!({})).await.expect(200).json();
    assert_eq!(proof["matches"], true, "{proof}");
    app.get(&app.admin, &format!("/v1/repos/main/packages/versions/{version}")).await.expect(404);
}

#[tokio::test]
async fn after_a_denial_somebody_else_may_bring_the_version_and_no_old_tag_comes_along() {
    let app = TestApp::new().await;
    let demo = package("npm", "demo");
    let (ann, bob) = (app.issue("ann", &["repo:main:write"]).await, app.issue("bob", &["repo:main:write"]).await);
    app.set_policy("main", DENY_ALL).await;
    let permit = app.permit::<Write>(&ann, "main").await;
    app.deposit(&permit, (&demo, "1.0.0"), b"bad", &["latest", "hot"]).await.unwrap_err();
    app.set_policy("main", "").await;
    let permit = app.permit::<Write>(&bob, "main").await;
    app.deposit(&permit, (&demo, "1.0.0"), b"good", &["latest"]).await.unwrap();
    let tags = app.registry().tags(&permit.reading(), &demo).unwrap();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), [("latest".to_owned(), "1.0.0".to_owned())]);
}

#[tokio::test]
async fn a_draft_made_by_hand_stays_when_a_deposit_into_it_is_denied() {
    let app = TestApp::new().await;
    let drafted = Package { package_type: "npm".to_owned(), ..Package::generic("demo", "1.0.0") };
    let id = app.draft(&app.admin, "main", &drafted).await;
    app.set_policy("main", DENY_ALL).await;
    let permit = app.permit::<Write>(&app.admin, "main").await;
    app.deposit(&permit, (&package("npm", "demo"), "1.0.0"), b"bad", &["latest"]).await.unwrap_err();
    assert_eq!(app.state("main", &id).await, "draft");
    app.set_policy("main", "").await;
    app.publish(&app.admin, "main", &id).await.expect(200);
    let tags = app.registry().tags(&permit.reading(), &package("npm", "demo")).unwrap();
    assert!(tags.is_empty(), "a tag took effect after its denial: {tags:?}");
}

#[tokio::test]
async fn a_deposit_that_could_not_be_judged_leaves_nothing() {
    let app = TestApp::new().await;
    let (demo, permit) = (package("npm", "demo"), app.permit::<Write>(&app.admin, "main").await);
    let (empty, mark) = (left(&app), app.mark());
    app.engine.set(Mood::Failing);
    let failed = app.deposit(&permit, (&demo, "1.0.0"), b"first", &["old"]).await.unwrap_err();
    assert_eq!(failed.code(), Code::PolicyError);
    assert_eq!(left(&app), empty);
    assert_eq!(app.audit_since(&mark)[4..], ["policy.error", "package.version.draft.removed"]);
    app.engine.set(Mood::Sound);
    let bob = app.issue("bob", &["repo:main:write"]).await;
    app.deposit(&app.permit::<Write>(&bob, "main").await, (&demo, "1.0.0"), b"second", &[]).await.unwrap();
    assert!(app.registry().tags(&permit.reading(), &demo).unwrap().is_empty());
}

/// Begins a deposit and breaks it off while it is judged.
async fn broken_off(app: &Arc<TestApp>, bytes: &'static [u8], tags: &'static [&'static str]) {
    let already = app.engine.asked();
    app.engine.set(Mood::Stuck);
    let running = tokio::spawn({
        let app = Arc::clone(app);
        async move {
            let permit = app.permit::<Write>(&app.admin, "main").await;
            app.deposit(&permit, (&package("npm", "demo"), "1.0.0"), bytes, tags).await
        }
    });
    let engine = Arc::clone(&app.engine);
    tokio::task::block_in_place(|| engine.wait_until_asked(already + 1));
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    app.engine.set(Mood::Sound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposit_that_broke_off_is_filled_anew_by_the_next_one_and_goes_with_its_denial() {
    let app = Arc::new(TestApp::new().await);
    let (demo, permit) = (package("npm", "demo"), app.permit::<Write>(&app.admin, "main").await);
    broken_off(&app, b"first", &["old"]).await;
    app.set_policy("main", DENY_ALL).await;
    app.deposit(&permit, (&demo, "1.0.0"), b"second", &[]).await.unwrap_err();
    assert!(app.ask("SELECT version_id FROM versions").is_empty());
    app.set_policy("main", "").await;
    broken_off(&app, b"third", &["old"]).await;
    app.deposit(&permit, (&demo, "1.0.0"), b"fourth", &["new"]).await.unwrap();
    assert_eq!(app.registry().tags(&permit.reading(), &demo).unwrap().into_keys().collect::<Vec<_>>(), ["new"]);
}

/// What becomes of two deposits of one version that run at once.
async fn at_once(app: &TestApp, permit: &Permit<Write>, bytes: [&[u8]; 2]) -> Vec<Result<Admitted, Code>> {
    let demo = package("npm", "demo");
    let [one, other] = bytes.map(|bytes| app.deposit(permit, (&demo, "1.0.0"), bytes, &["latest"]));
    let (one, other) = tokio::join!(one, other);
    [one, other].map(|done| done.map_err(|error| error.code())).into()
}

#[tokio::test]
async fn of_two_uploads_of_one_version_at_once_one_wins_and_the_other_is_told() {
    for _ in 0..8 {
        let app = TestApp::new().await;
        let permit = app.permit::<Write>(&app.admin, "main").await;
        let ends = at_once(&app, &permit, [b"one", b"other"]).await;
        let won = ends.iter().filter(|end| matches!(end, Ok(Admitted::Published { .. }))).count();
        let told = ends.iter().filter(|end| matches!(end, Err(Code::Conflict))).count();
        assert_eq!((won, told), (1, 1), "{ends:?}");
    }
}

#[tokio::test]
async fn of_two_equal_uploads_at_once_both_are_told_of_one_version() {
    for (policy, expected) in [("", None), (HOLD_ALL, Some(Code::QuarantinedVersion)), (DENY_ALL, Some(Code::PolicyDenied))] {
        for _ in 0..4 {
            let app = TestApp::new().await;
            app.set_policy("main", policy).await;
            let permit = app.permit::<Write>(&app.admin, "main").await;
            let ends = at_once(&app, &permit, [b"same", b"same"]).await;
            let versions = app.ask("SELECT version_id FROM versions").len();
            match expected {
                None => assert!(ends.iter().all(|end| end.is_ok() || *end == Err(Code::Conflict)) && versions == 1, "{ends:?}"),
                Some(Code::PolicyDenied) => {
                    let fine = |end: &Result<Admitted, Code>| matches!(end, Err(Code::PolicyDenied | Code::Conflict));
                    let is_denied = ends.contains(&Err(Code::PolicyDenied));
                    assert!(ends.iter().all(fine) && is_denied && versions == 0, "{ends:?} {versions}");
                }
                Some(code) => {
                    let fine = |end: &Result<Admitted, Code>| matches!(end, Ok(Admitted::Quarantined { .. })) || *end == Err(code);
                    assert!(ends.iter().all(fine) && ends.iter().any(Result::is_ok), "{ends:?}");
                }
            }
        }
    }
}
