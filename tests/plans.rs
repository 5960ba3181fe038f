//! How SQLite answers the queries of the store. Invariant: no query walks a whole table or sorts in a temporary B-tree,
//! but for those listed here with their reason. The queries are read out of `src/store/`, so none is forgotten.

use proc_macro2::TokenTree;
use rusqlite::Connection;

use crate::tidy::source::{Source, each_level};

/// Queries that may walk a table or an index from end to end, by the words that begin or mark them, and why.
const MAY_SCAN: &[(&str, &str)] = &[
    ("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", "reads the last row"),
    ("SELECT * FROM audit ORDER BY seq", "verifies the whole chain"),
    ("SELECT seq FROM sqlite_sequence", "one row per table with a sequence"),
    ("SELECT EXISTS (SELECT 1 FROM tokens)", "stops at the first row"),
    ("SELECT * FROM repos WHERE deleted_at IS NULL", "lists all repos, which are few"),
    ("SELECT repo_key FROM repos ORDER BY repo_key", "lists all repos, deleted ones too, which are few"),
    ("SELECT count(*) FROM repos", "at the first start"),
    ("FROM sweeps INDEXED BY sweeps_running", "the first entries of the partial index"),
    ("SELECT version_id FROM repos CROSS JOIN packages", "one package in every repo, and repos are few"),
    (
        "SELECT due_at FROM outbox INDEXED BY outbox_put_off WHERE state = 'pending' AND attempts > 0 ORDER BY due_at LIMIT 1",
        "the first entry of the partial index",
    ),
    ("SELECT EXISTS (SELECT 1 FROM outbox INDEXED BY outbox_fresh", "the first entry of the partial index"),
    (
        "FROM outbox INDEXED BY outbox_fresh WHERE state = 'pending' AND attempts = 0 ORDER BY seq LIMIT :batch",
        "the first entries of the partial index",
    ),
    ("UPDATE tokens SET scopes = (SELECT json_group_array(value)", "a repo is being deleted; no token keeps a scope on it"),
    ("SELECT count(*) AS total FROM versions WHERE state = :visible", "once as a rebuild begins"),
    ("SELECT after FROM rebuild", "a table of one row"),
    ("coalesce(total, 0) AS total FROM rebuild", "a table of one row"),
    ("UPDATE tokens SET scopes =", "takes the scopes on a deleted repo out of every token; deleting a repo is rare"),
    ("SELECT EXISTS (SELECT 1 FROM words)", "stops at the first row"),
    ("SELECT osv_id, digest, modified FROM advisories ORDER BY osv_id", "the digest of all advisories, once for each import"),
    ("SELECT ecosystem, count(DISTINCT record_id) AS records", "once for each import"),
    ("SELECT record_id FROM advisory_staging LIMIT :limit", "the first so many of what is to be removed"),
    ("SELECT * FROM advisory_snapshots ORDER BY seq DESC LIMIT 1", "reads the last row"),
    ("SELECT digest FROM advisory_snapshots ORDER BY seq DESC LIMIT 1", "reads the last row"),
    ("SELECT evaluations.evaluation_id FROM versions AS mine", "one package in every repo, and repos are few"),
    ("SELECT started_at FROM gc_runs INDEXED BY gc_runs_in_earnest", "the last entry of the partial index"),
    ("UPDATE gc_runs INDEXED BY gc_runs_running", "the entries of the partial index: one at most"),
    ("SELECT retention_rules.repo_key FROM retention_rules", "all rules, of repos, which are few"),
    ("FROM quotas CROSS JOIN usage USING (repo_key)", "all quotas, of repos, which are few"),
    ("SELECT count(*) AS total FROM documents", "how full the index is, for an operator"),
];

/// Queries that may sort, and why.
const MAY_SORT: &[(&str, &str)] = &[
    ("instr(full, :name) > 0", "the answer without an index, best names first"),
    ("FROM names WHERE (name_key = :name OR full_key = :name)", "packages of one name, in several repos perhaps"),
    ("length(name_key), newest_at DESC", "of at most so many names as are looked at, the shortest first"),
    ("SELECT ecosystem, count(DISTINCT record_id) AS records", "once for each import"),
    ("FROM quarantine_votes WHERE quarantine_id", "the votes on one item"),
    ("SELECT version_id FROM repos CROSS JOIN packages", "the versions of one package"),
    ("SELECT DISTINCT :target, digest", "the files of one version"),
    ("AND entries.path_key = :path ORDER BY versions.published_at DESC", "the versions of one package with one file name"),
    (
        "FROM version_rows WHERE package_id = (SELECT package_id FROM packages WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name) ORDER BY",
        "the versions of one package",
    ),
    ("FROM audit INDEXED BY audit_by_time", "what happened in a stretch of time, in the order of the chain"),
    ("FROM version_rows WHERE repo_key = :key AND state <> :gone", "a repo that is being emptied"),
];

/// The queries asked most, by their words, and how each must be answered: the index and the columns it is entered by.
const HOT: &[(&str, &str)] = &[
    (
        "SELECT affected FROM advisory_packages JOIN advisories USING (record_id)",
        "advisory_packages USING PRIMARY KEY (ecosystem=? AND name_key=?)",
    ),
    (
        "SELECT * FROM quarantine_items WHERE repo_key = :repo AND status = :status",
        "quarantine_items USING INDEX quarantine_by_repo_status (repo_key=? AND status=? AND (created_at,quarantine_id)<(?,?))",
    ),
    (
        "FROM evaluations WHERE repo_key = :repo AND version_id = :version AND action = :action",
        "evaluations USING INDEX evaluations_by_version (version_id=? AND repo_key=? AND action=? AND (evaluated_at,evaluation_id)<(?,?))",
    ),
    (
        "FROM evaluations WHERE repo_key = :repo AND (:action",
        "evaluations USING INDEX evaluations_by_repo (repo_key=? AND (evaluated_at,evaluation_id)<(?,?))",
    ),
    (
        "FROM jobs INDEXED BY jobs_due WHERE state IN ('pending', 'failed', 'processing') AND kind = :kind AND due_at <= :now",
        "jobs USING INDEX jobs_due (kind=? AND due_at<?)",
    ),
    ("SELECT * FROM jobs INDEXED BY jobs_by_state_listed", "jobs USING INDEX jobs_by_state_listed (state=? AND job_id>? AND job_id<?)"),
    ("SELECT * FROM jobs WHERE :state IS NULL AND job_id >= :since", "jobs USING PRIMARY KEY (job_id>? AND job_id<?)"),
    ("SELECT * FROM outbox INDEXED BY outbox_by_state", "outbox USING INDEX outbox_by_state (state=? AND seq>? AND seq<?)"),
    ("SELECT * FROM outbox WHERE :state IS NULL AND seq < :before", "outbox USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    (
        "(SELECT 1 FROM jobs INDEXED BY jobs_by_state WHERE state = :state AND kind = :kind LIMIT :limit)",
        "jobs USING COVERING INDEX jobs_by_state (state=? AND kind=?)",
    ),
    (
        "SELECT updated_at FROM jobs INDEXED BY jobs_by_state WHERE state = :state AND kind = :kind ORDER BY updated_at",
        "jobs USING COVERING INDEX jobs_by_state (state=? AND kind=?)",
    ),
    (
        "(SELECT 1 FROM outbox INDEXED BY outbox_by_state WHERE state = :state LIMIT :limit)",
        "outbox USING COVERING INDEX outbox_by_state (state=?)",
    ),
    (
        "(SELECT 1 FROM outbox INDEXED BY outbox_delivered WHERE state = 'delivered' AND delivered_at >= :since LIMIT :limit)",
        "outbox USING COVERING INDEX outbox_delivered (delivered_at>?)",
    ),
    (
        "(SELECT 1 FROM quarantine_items WHERE status = :open LIMIT :limit)",
        "quarantine_items USING COVERING INDEX quarantine_by_status (status=?)",
    ),
    ("SELECT webhook_id FROM webhooks WHERE repo_key IN ('', :repo)", "webhooks USING INDEX webhooks_by_repo (repo_key=?)"),
    ("FROM deliveries JOIN webhooks USING (webhook_id) WHERE delivery_id = :id", "deliveries USING PRIMARY KEY (delivery_id=?)"),
    (
        "FROM deliveries LEFT JOIN jobs ON jobs.kind = 'webhook'",
        "deliveries USING INDEX deliveries_by_webhook (webhook_id=? AND delivery_id<?)",
    ),
    (
        "DELETE FROM deliveries WHERE delivery_id IN ( SELECT delivery_id FROM deliveries INDEXED BY deliveries_by_age",
        "deliveries USING COVERING INDEX deliveries_by_age (created_at<?)",
    ),
    ("AND attempts > 0 AND due_at <= :now ORDER BY due_at, seq LIMIT :room", "outbox USING INDEX outbox_put_off (due_at<?)"),
    ("AND delivered_at <= :until ORDER BY delivered_at LIMIT :batch", "outbox USING COVERING INDEX outbox_delivered (delivered_at<?)"),
    ("AND outcome IS NULL)) ORDER BY updated_at LIMIT :room", "jobs USING INDEX jobs_by_state (state=? AND kind=? AND updated_at<?)"),
    ("SELECT * FROM version_rows WHERE version_id = :id AND repo_key = :repo", "versions USING PRIMARY KEY (version_id=?)"),
    (
        "AND version_key = :version AND distribution = :distribution",
        "versions USING INDEX sqlite_autoindex_versions_2 (package_id=? AND version_key=? AND distribution=?)",
    ),
    ("AND name_key = :name) ORDER BY published_at IS NULL", "versions USING INDEX versions_by_package (package_id=?)"),
    ("AND entries.path_key = :path ORDER BY versions.published_at DESC", "entries USING PRIMARY KEY (version_id=? AND path_key=?)"),
    (
        "FROM tokens LEFT JOIN token_use USING (token_id) WHERE secret_sha256 = :secret",
        "tokens USING INDEX sqlite_autoindex_tokens_2 (secret_sha256=?)",
    ),
    (
        "FROM entries JOIN version_rows USING (version_id) WHERE entries.digest = :digest",
        "entries USING INDEX entries_by_digest (digest=?)",
    ),
    ("SELECT * FROM audit WHERE seq < :before", "audit USING INTEGER PRIMARY KEY (rowid<?)"),
    ("SELECT * FROM audit WHERE resource_id = :resource", "audit USING INDEX audit_by_resource (resource_id=? AND seq<?)"),
    ("SELECT * FROM audit WHERE actor = :actor", "audit USING INDEX audit_by_actor (actor=? AND seq<?)"),
    ("SELECT * FROM audit WHERE action = :action", "audit USING INDEX audit_by_action (action=? AND seq<?)"),
    ("SELECT * FROM audit WHERE seq > :after", "audit USING INTEGER PRIMARY KEY (rowid>?)"),
    ("SELECT repo_key, role FROM bindings WHERE subject = :subject", "bindings USING COVERING INDEX bindings_by_subject (subject=?)"),
    (
        "FROM repo_blobs JOIN blobs USING (digest) WHERE repo_key = :repo AND digest = :digest",
        "repo_blobs USING PRIMARY KEY (repo_key=? AND digest=?)",
    ),
];

/// Both databases as a connection of the search sees them: `search.db` with `state.db` attached.
fn databases(directory: &std::path::Path) -> Connection {
    let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let state_path = directory.join("state.db");
    let run = |connection: &Connection, from: &std::path::Path| {
        let mut files: Vec<_> = std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        files.sort();
        for file in files {
            connection.execute_batch(&std::fs::read_to_string(file).unwrap()).unwrap();
        }
    };
    run(&Connection::open(&state_path).unwrap(), &schema);
    let search = Connection::open(directory.join("search.db")).unwrap();
    run(&search, &schema.join("search"));
    search.execute("ATTACH DATABASE ?1 AS state", [state_path.to_str().unwrap()]).unwrap();
    search
}

/// The text of a string literal.
fn text_of(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        return Some(raw.trim_matches('#').trim_matches('"').to_owned());
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\\\\", "\u{1}").replace("\\\"", "\"").replace("\\n", "\n").replace('\u{1}', "\\"))
}

/// A query with the file it stands in.
struct Query {
    place: String,
    sql: String,
}

impl Query {
    fn flat(&self) -> String {
        self.sql.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Every file of a room, also those in its folders.
fn files_under(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

/// Every statement that reads or changes rows, from the shipped code of the store. One put together from pieces would not be
/// found whole and fails as incomplete: each is one literal at its only use.
fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    for path in files_under(&directory) {
        let name = format!("src/store/{}", path.strip_prefix(&directory).unwrap().to_str().unwrap());
        if name.ends_with("check.rs") {
            continue;
        }
        let source = Source::new(&name, &std::fs::read_to_string(&path).unwrap());
        each_level(&source.shipped, &mut |tokens| {
            for token in tokens {
                let TokenTree::Literal(literal) = token else { continue };
                let Some(sql) = text_of(&literal.to_string()) else { continue };
                if ["SELECT ", "UPDATE ", "DELETE ", "INSERT "].iter().any(|verb| sql.trim_start().starts_with(verb)) {
                    queries.push(Query { place: format!("{name}:{}", literal.span().start().line), sql });
                }
            }
        });
    }
    assert!(queries.len() > 80, "only {} queries were found in src/store/", queries.len());
    queries
}

fn plan(connection: &Connection, query: &Query) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {}", query.sql))
        .unwrap_or_else(|fault| panic!("{}: {fault}\n{}", query.place, query.sql));
    let mut lines = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = lines.next().unwrap() {
        plan.push(row.get::<_, String>("detail").unwrap());
    }
    plan
}

/// Whether a line of a plan walks everything there is: constant rows, the values of a parameter and
/// the results of a subquery are no table.
fn is_scan(line: &str) -> bool {
    line.starts_with("SCAN ")
        && !line.starts_with("SCAN (subquery")
        && !line.contains("CONSTANT ROW")
        && !line.contains("json_each")
        && !line.contains("VIRTUAL TABLE INDEX")
}

fn faults(is_fault: impl Fn(&str) -> bool, allowed: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let connection = databases(directory.path());
    let queries = queries();
    for (words, _) in allowed {
        assert!(
            queries.iter().any(|query| query.flat().contains(words)),
            "no query has the words {words:?} any more; take it off the list"
        );
    }
    let suspects = queries.iter().filter(|query| !allowed.iter().any(|(words, _)| query.flat().contains(words)));
    let mut faults = Vec::new();
    for query in suspects {
        let plan = plan(&connection, query);
        if plan.iter().any(|line| is_fault(line)) {
            faults.push(format!("{}\n    {}\n    -> {}", query.place, query.flat(), plan.join(" | ")));
        }
    }
    faults
}

#[test]
fn no_query_of_the_store_walks_a_whole_table() {
    let faults = faults(is_scan, MAY_SCAN);
    assert!(faults.is_empty(), "{} queries scan:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn no_query_of_the_store_sorts_in_a_temporary_b_tree() {
    let faults = faults(|line| line.contains("TEMP B-TREE"), MAY_SORT);
    assert!(faults.is_empty(), "{} queries sort:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_hot_query_is_answered_from_its_index() {
    let directory = tempfile::tempdir().unwrap();
    let connection = databases(directory.path());
    let queries = queries();
    let mut faults = Vec::new();
    for (words, expected) in HOT {
        let found: Vec<&Query> = queries.iter().filter(|query| query.flat().contains(words)).collect();
        assert!(!found.is_empty(), "no query has the words {words:?} any more; change the list with it");
        for query in found {
            let plan = plan(&connection, query);
            if !plan.iter().any(|line| line.strip_prefix("SEARCH ").is_some_and(|line| line.starts_with(expected))) {
                faults.push(format!("{}\n    {}\n    must: {expected}\n    does: {}", query.place, query.flat(), plan.join(" | ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_query_that_scans_or_sorts_would_be_found() {
    let directory = tempfile::tempdir().unwrap();
    let connection = databases(directory.path());
    let query = Query { place: "here".to_owned(), sql: "SELECT * FROM versions WHERE created_by = :by ORDER BY created_at".to_owned() };
    let plan = plan(&connection, &query);
    assert!(plan.iter().any(|line| is_scan(line)) && plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:?}");
}
