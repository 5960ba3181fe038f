//! `GET /metrics`. Invariant: what it says parses as OpenMetrics, counts what happened, and names no package, no token and no path.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde_json::json;

use crate::support::{DENY_ALL, Daemon, HOLD_ALL, Mood, Package, TestApp, blob_path, digest_of};

/// Every family with its type: what dashboards and alerts are built on.
const FAMILIES: &[(&str, &str)] = &[
    ("artifortress_blobs_served_bytes", "counter"),
    ("artifortress_blobs_staged_bytes", "counter"),
    ("artifortress_blobs_stored", "counter"),
    ("artifortress_build", "info"),
    ("artifortress_database_readable", "gauge"),
    ("artifortress_disk_free_bytes", "gauge"),
    ("artifortress_disk_size_bytes", "gauge"),
    ("artifortress_gate_canaries_refused", "counter"),
    ("artifortress_gate_canary_refused_timestamp_seconds", "gauge"),
    ("artifortress_gate_decisions", "counter"),
    ("artifortress_gate_evaluation_duration_seconds", "histogram"),
    ("artifortress_gate_reevaluations", "counter"),
    ("artifortress_gate_rule_firings", "counter"),
    ("artifortress_gc_removed_bytes", "counter"),
    ("artifortress_gc_removed_files", "counter"),
    ("artifortress_gc_runs", "counter"),
    ("artifortress_holds_open", "gauge"),
    ("artifortress_http_connections", "gauge"),
    ("artifortress_http_request_duration_seconds", "histogram"),
    ("artifortress_http_requests", "counter"),
    ("artifortress_http_requests_in_flight", "gauge"),
    ("artifortress_job_attempts", "counter"),
    ("artifortress_job_batch_duration_seconds", "histogram"),
    ("artifortress_jobs", "gauge"),
    ("artifortress_jobs_oldest_due_age_seconds", "gauge"),
    ("artifortress_jobs_stale", "gauge"),
    ("artifortress_log_lines_lost", "counter"),
    ("artifortress_outbox_events", "gauge"),
    ("artifortress_outbox_oldest_pending_age_seconds", "gauge"),
    ("artifortress_outbox_relayed", "counter"),
    ("artifortress_pages_evictions", "counter"),
    ("artifortress_pages_hits", "counter"),
    ("artifortress_pages_kept_bytes", "gauge"),
    ("artifortress_pages_misses", "counter"),
    ("artifortress_quotas_nearly_full", "gauge"),
    ("artifortress_search_documents", "gauge"),
    ("artifortress_search_freshness_lag_seconds", "gauge"),
    ("artifortress_search_index_state", "gauge"),
    ("artifortress_search_query_duration_seconds", "histogram"),
    ("artifortress_search_rebuild_indexed", "gauge"),
    ("artifortress_search_rebuild_versions", "gauge"),
    ("artifortress_sqlite_checkpoint_duration_seconds", "histogram"),
    ("artifortress_sqlite_checkpoint_pages_left", "gauge"),
    ("artifortress_sqlite_checkpoints", "counter"),
    ("artifortress_sqlite_database_bytes", "gauge"),
    ("artifortress_sqlite_wal_bytes", "gauge"),
    ("artifortress_stored_blobs", "gauge"),
    ("artifortress_stored_bytes", "gauge"),
    ("artifortress_webhook_attempt_duration_seconds", "histogram"),
    ("artifortress_webhook_attempts", "counter"),
    ("artifortress_writer_commit_duration_seconds", "histogram"),
    ("artifortress_writer_group_size", "histogram"),
    ("artifortress_writer_queue_length", "gauge"),
    ("artifortress_writer_wait_seconds", "histogram"),
    ("artifortress_writer_writes", "counter"),
    ("process_cpu_seconds", "counter"),
    ("process_max_fds", "gauge"),
    ("process_open_fds", "gauge"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_start_time_seconds", "gauge"),
];

type Labels = BTreeMap<String, String>;

/// A scrape that was parsed.
#[derive(Default)]
struct Scrape {
    text: String,
    families: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_')
}

/// Reads `name="value",…` up to the closing brace; gives what follows it.
fn labels(mut rest: &str) -> (Labels, &str) {
    let mut found = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label");
        assert!(is_name(name), "the label {name}");
        let mut value = String::new();
        let mut signs = after.char_indices();
        let end = loop {
            match signs.next().expect("a closing quote") {
                (_, '\\') => value.push(signs.next().unwrap().1),
                (end, '"') => break end,
                (_, sign) => value.push(sign),
            }
        };
        assert!(found.insert(name.to_owned(), value).is_none(), "the label {name} is there twice");
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (found, rest.strip_prefix('}').expect("a closing brace")),
        }
    }
}

impl Scrape {
    fn parse(text: String) -> Scrape {
        let mut scrape = Scrape::default();
        let body = text.strip_suffix("# EOF\n").expect("# EOF at the end");
        let (mut helped, mut family) = (String::new(), (String::new(), String::new()));
        for line in body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("words of help");
                assert!(words.len() > 10 && words.ends_with('.'), "{line}");
                helped = name.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, helped, "a TYPE without HELP before it");
                assert!(scrape.families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
                family = (name.to_owned(), kind.to_owned());
            } else if let Some(unit) = line.strip_prefix("# UNIT ") {
                let (name, unit) = unit.split_once(' ').unwrap();
                assert!(name == family.0 && name.ends_with(&format!("_{unit}")), "{line}");
            } else {
                scrape.sample(line, &family);
            }
        }
        scrape.text = text;
        scrape.check_histograms();
        scrape
    }

    fn sample(&mut self, line: &str, (family, kind): &(String, String)) {
        let end = line.find(['{', ' ']).expect(line);
        let (name, rest) = line.split_at(end);
        let (labels, rest) = rest.strip_prefix('{').map_or((Labels::new(), rest), labels);
        let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} belongs to no family"));
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_sum", "_count", "_bucket"],
            other => panic!("the type {other}"),
        };
        assert!(is_name(name) && allowed.contains(&suffix), "{line} is no sample of a {kind}");
        let value: f64 = rest.trim_start().parse().unwrap_or_else(|fault| panic!("{line}: {fault}"));
        assert!(self.samples.insert((name.to_owned(), labels), value).is_none(), "{line} is there twice");
    }

    /// Buckets rise, and the last holds everything.
    fn check_histograms(&self) {
        let mut last: BTreeMap<(&str, Labels), (f64, f64)> = BTreeMap::new();
        let mut buckets: Vec<(&str, Labels, f64, f64)> = Vec::new();
        for ((name, labels), value) in &self.samples {
            if let Some(family) = name.strip_suffix("_bucket") {
                let mut others = labels.clone();
                let bound = others.remove("le").expect("a bucket has its bound").parse().unwrap();
                buckets.push((family, others, bound, *value));
            }
        }
        buckets.sort_by(|one, other| one.2.total_cmp(&other.2));
        for (family, labels, bound, value) in buckets {
            let before = last.insert((family, labels), (bound, value)).map_or(0.0, |(_, value)| value);
            assert!(before <= value, "{family}: fewer up to {bound} than below");
        }
        for ((family, labels), (bound, value)) in last {
            assert!(bound.is_infinite() && self.samples[&(format!("{family}_count"), labels)] == value, "{family}");
        }
    }

    /// The value of a series; 0 for one that is not there.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied().unwrap_or(0.0)
    }
}

async fn scrape(app: &TestApp) -> Scrape {
    let answer = app.get(&app.admin, "/metrics").await.expect(200);
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Scrape::parse(answer.text())
}

/// A publish that is allowed, one that is denied, one that is held and one on which the gate fails; a download, two searches.
async fn lively() -> TestApp {
    let app = TestApp::new().await;
    // The first run makes the index, which would otherwise do the first publish once more.
    app.run_jobs().await;
    app.published("main", &Package::generic("zebra", "1.0")).await;
    let find = async || app.get(&app.admin, "/v1/search?q=zebra").await.expect(200).json()["degraded"].clone();
    app.post(&app.admin, "/v1/admin/search/pause", json!({})).await.expect(200);
    assert_eq!(find().await, json!(true));
    app.post(&app.admin, "/v1/admin/search/resume", json!({})).await.expect(200);
    app.run_jobs().await;
    assert_eq!(find().await, json!(false));
    app.get(&app.admin, &blob_path("main", &digest_of(b"the bytes of zebra 1.0"))).await.expect(200);
    for (version, policy, status) in [("2.0", DENY_ALL, 403), ("3.0", HOLD_ALL, 202)] {
        let id = app.draft(&app.admin, "main", &Package::generic("zebra", version)).await;
        // What was published before stays visible.
        app.set_policy("main", &policy.replace(';', &format!(" when {{ context.package.version == \"{version}\" }};"))).await;
        app.publish(&app.admin, "main", &id).await.expect(status);
    }
    let id = app.draft(&app.admin, "main", &Package::generic("zebra", "4.0")).await;
    app.engine.set(Mood::Failing);
    app.publish(&app.admin, "main", &id).await.refused(503, "policy_error");
    app.engine.set(Mood::Sound);
    app
}

#[tokio::test]
async fn it_counts_what_happened() {
    let app = lively().await;
    for path in ["/zebra/one", "/zebra/two"] {
        app.get(&app.admin, path).await.expect(404);
    }
    app.call("BREW", "/v1/repos").token(&app.admin).send().await.expect(405);
    app.run_jobs().await;
    let seen = scrape(&app).await;
    for decision in ["allow", "deny", "quarantine", "error"] {
        assert_eq!(seen.value("artifortress_gate_decisions_total", &[("action", "publish"), ("decision", decision)]), 1.0, "{decision}");
    }
    assert_eq!(seen.value("artifortress_gate_evaluation_duration_seconds_count", &[]), 4.0);
    let route = ("route", "/v1/repos/{repoKey}/packages/versions/{versionId}/publish");
    for status in ["200", "202", "403", "503"] {
        assert_eq!(seen.value("artifortress_http_requests_total", &[route, ("method", "POST"), ("status", status)]), 1.0, "{status}");
    }
    assert_eq!(seen.value("artifortress_http_request_duration_seconds_count", &[route, ("method", "POST")]), 4.0);
    assert_eq!(seen.value("artifortress_http_requests_total", &[("route", "none"), ("method", "GET"), ("status", "404")]), 2.0);
    assert_eq!(seen.value("artifortress_http_requests_total", &[("route", "none"), ("method", "other"), ("status", "405")]), 1.0);
    assert_eq!(seen.value("artifortress_http_requests_in_flight", &[]), 1.0, "the scrape itself");
    for mode in ["index", "degraded"] {
        assert_eq!(seen.value("artifortress_search_query_duration_seconds_count", &[("mode", mode)]), 1.0, "{mode}");
    }
    // Two policies, a publish and a hold; two jobs.
    assert_eq!(seen.value("artifortress_outbox_relayed_total", &[("outcome", "delivered")]), 4.0);
    assert_eq!(seen.value("artifortress_job_attempts_total", &[("kind", "search_index"), ("outcome", "completed")]), 2.0);
    assert_eq!(seen.value("artifortress_jobs", &[("kind", "search_index"), ("state", "completed")]), 2.0);
    assert_eq!(seen.value("artifortress_outbox_events", &[("state", "pending")]), 0.0);
    assert_eq!(seen.value("artifortress_holds_open", &[]), 1.0);
    assert_eq!(seen.value("artifortress_search_documents", &[]), 1.0);
    assert_eq!(seen.value("artifortress_search_index_state", &[("state", "ready")]), 1.0);
    let bytes = "the bytes of zebra 1.0".len() as f64;
    assert_eq!(seen.value("artifortress_blobs_served_bytes_total", &[]), bytes);
    assert_eq!(seen.value("artifortress_blobs_staged_bytes_total", &[]), 4.0 * bytes);
    assert_eq!(seen.value("artifortress_blobs_stored_total", &[]), 4.0);
    let commits = seen.value("artifortress_writer_commit_duration_seconds_count", &[]);
    let writes = seen.value("artifortress_writer_writes_total", &[("outcome", "committed")]);
    assert!(commits > 10.0 && commits <= writes, "{commits} commits of {writes} writes");
    assert_eq!(seen.value("artifortress_database_readable", &[]), 1.0);
    assert!(seen.value("artifortress_sqlite_database_bytes", &[("database", "state")]) > 0.0);
    assert!(seen.value("artifortress_disk_free_bytes", &[]) > 0.0);
    assert!(seen.value("process_resident_memory_bytes", &[]) > 1e6 && seen.value("process_open_fds", &[]) > 2.0);
}

#[tokio::test]
async fn every_family_is_on_the_reviewed_list_with_its_type() {
    let seen = scrape(&lively().await).await;
    let found: Vec<(&str, &str)> = seen.families.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    assert_eq!(found, FAMILIES);
}

#[tokio::test]
async fn what_was_counted_is_told_although_the_database_cannot_be_read() {
    let app = TestApp::new().await;
    let connection = Connection::open(app.path().join("state.db")).unwrap();
    connection.execute_batch("ALTER TABLE quarantine_items RENAME TO hidden").unwrap();
    let seen = scrape(&app).await;
    assert_eq!(seen.value("artifortress_database_readable", &[]), 0.0);
    assert!(seen.value("artifortress_writer_writes_total", &[("outcome", "committed")]) > 0.0);
    connection.execute_batch("ALTER TABLE hidden RENAME TO quarantine_items").unwrap();
    assert_eq!(scrape(&app).await.value("artifortress_database_readable", &[]), 1.0);
}

#[tokio::test]
async fn what_waits_is_told_by_its_age() {
    let app = TestApp::new().await;
    app.run_jobs().await;
    app.published("main", &Package::generic("demo", "1.0")).await;
    app.clock.advance_ms(90_500);
    let seen = scrape(&app).await;
    assert_eq!(seen.value("artifortress_outbox_events", &[("state", "pending")]), 1.0);
    assert_eq!(seen.value("artifortress_outbox_oldest_pending_age_seconds", &[]), 90.5);
    assert_eq!(seen.value("artifortress_search_freshness_lag_seconds", &[]), 90.5);
    app.store.bookkeep(|books| books.relay(10, 5)).await.unwrap();
    app.clock.advance_ms(4_000);
    let seen = scrape(&app).await;
    assert_eq!(seen.value("artifortress_outbox_oldest_pending_age_seconds", &[]), 0.0);
    assert_eq!(seen.value("artifortress_jobs_oldest_due_age_seconds", &[]), 4.0);
    assert_eq!(seen.value("artifortress_jobs", &[("kind", "search_index"), ("state", "pending")]), 1.0);
}

#[tokio::test]
async fn it_names_no_package_no_repo_no_person_no_token_and_no_path() {
    let app = lively().await;
    let token = app.issue("ben", &["repo:main:read"]).await;
    app.get(&token, "/files/main/zebra/1.0/zebra.bin").await.expect(200);
    app.get("aft_secret", "/v1/auth/whoami?zebra").await.expect(401);
    let seen = scrape(&app).await;
    for word in ["zebra", "aft_", "ben", "alice", app.path().to_str().unwrap(), &app.admin] {
        assert!(!seen.text.contains(word), "{word} is in the metrics");
    }
    let values: BTreeSet<&String> = seen.samples.keys().flat_map(|(_, labels)| labels.values()).collect();
    // The rest are numbers, in which any digits may come together.
    let is_one = |value: &str| value == "main" || value.contains("0190") || value.contains("sha256") || value.contains("/tmp");
    assert!(!values.iter().any(|value| is_one(value)), "{values:?}");
}

#[tokio::test]
async fn only_an_administrator_of_everything_reads_it_unless_it_is_open_to_all() {
    let app = TestApp::new().await;
    app.get("", "/metrics").await.refused(401, "unauthorized");
    for scope in ["repo:main:admin", "repo:*:promote"] {
        let token = app.issue("ann", &[scope]).await;
        app.get(&token, "/metrics").await.refused(403, "forbidden");
    }
    let open = TestApp::with(|config| config.metrics.anonymous = true).await;
    Scrape::parse(open.get("", "/metrics").await.expect(200).text());
}

#[tokio::test]
async fn counting_a_long_backlog_stops_at_a_limit_and_does_not_wait_for_the_writer() {
    let app = TestApp::new().await;
    let connection = Connection::open(app.path().join("state.db")).unwrap();
    connection
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10050)
             INSERT INTO jobs (job_id, kind, subject_id, state, attempts, max_attempts, due_at, created_at, updated_at)
             SELECT printf('0190b6f2-7a30-7cc1-b8f4-%012x', i), 'webhook', printf('delivery %d', i), 'dead', 5, 5, i, i, i FROM n;
             BEGIN IMMEDIATE;",
        )
        .unwrap();
    let seen = scrape(&app).await;
    assert_eq!(seen.value("artifortress_jobs", &[("kind", "webhook"), ("state", "dead")]), 10_000.0);
    let summary = app.get(&app.admin, "/v1/admin/ops/summary").await.expect(200).json();
    assert_eq!((&summary["jobsByKind"]["webhook"]["dead"], &summary["countLimit"]), (&json!(10_000), &json!(10_000)));
    connection.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test]
async fn the_log_of_the_database_is_moved_into_it_as_it_grows_and_each_time_is_counted() {
    let app = TestApp::new().await;
    let (complete, sizes) = ([("outcome", "complete")], [("database", "state")]);
    assert_eq!(scrape(&app).await.value("artifortress_sqlite_checkpoints_total", &complete), 0.0);
    for number in 0..12 {
        let manifest = json!({"description": "x".repeat(900_000)});
        let package = Package::generic("large", &format!("{number}.0")).manifest(&manifest);
        app.draft(&app.admin, "main", &package).await;
    }
    let seen = scrape(&app).await;
    let done = seen.value("artifortress_sqlite_checkpoints_total", &complete);
    assert!(done >= 2.0 && done == seen.value("artifortress_sqlite_checkpoint_duration_seconds_count", &[]), "{done}");
    let (database, log) = (seen.value("artifortress_sqlite_database_bytes", &sizes), seen.value("artifortress_sqlite_wal_bytes", &sizes));
    assert!(database > 6e6 && log < 6e6, "{database} bytes of database, {log} bytes of log");
}

#[test]
fn a_running_daemon_is_ready_and_counts_its_connections() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[("ARTIFORTRESS_METRICS__ANONYMOUS", "true")]);
    let ready = daemon.call("", "GET", "/health/ready", b"").unwrap();
    assert_eq!((ready.status, ready.json()), (200, json!({"status": "ready", "writer": true, "disk": true, "workers": true})));
    let answer = daemon.call("", "GET", "/metrics", b"").unwrap();
    let seen = Scrape::parse(String::from_utf8(answer.bytes).unwrap());
    assert!(seen.value("artifortress_http_connections", &[]) >= 1.0, "{}", seen.text);
    let ready = [("route", "/health/ready"), ("method", "GET"), ("status", "200")];
    assert_eq!(seen.value("artifortress_http_requests_total", &ready), 1.0);
}
