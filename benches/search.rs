//! What the search index costs: filling it anew, and asking it, at growing numbers of versions. Prints one JSON object a line, each
//! figure with its spread. Invariant: the index is filled and asked as the server does it; only the catalogue is written by hand, since
//! publishing a million versions would take longer than what is measured.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measurement stops at the first failure, and speaks"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use artifortress::clock::{Clock as _, SystemClock};
use artifortress::domain::access::{Caller, Grants, Identity, Operator, Permit, Read};
use artifortress::domain::id::{RequestId, TokenId};
use artifortress::domain::repo::{Repo, RepoKind, RepoSettings};
use artifortress::store::{RebuildStep, SearchQuery, Store, StoreOptions};
use rusqlite::{Connection, named_params};

/// Versions of each package.
const VERSIONS_EACH: usize = 20;
/// Words that many descriptions have, with how many of a thousand do.
const COMMON: [(&str, u64); 4] = [("library", 300), ("python", 150), ("client", 60), ("fast", 40)];

/// A sequence that looks random and is the same in each run.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }

    /// Small numbers often, large ones rarely, as words in texts are.
    fn skewed(&mut self, limit: usize) -> usize {
        let first = self.below(limit) + 1;
        self.below(first)
    }
}

/// Names and words made of the real names that the tests have, too.
struct Corpus {
    names: Vec<&'static str>,
    words: Vec<&'static str>,
}

impl Corpus {
    fn new() -> Corpus {
        let lines = include_str!("../tests/data/package_names.txt").lines();
        let names: Vec<&str> = lines.filter_map(|line| line.strip_prefix("pypi ")).collect();
        let mut words: Vec<&str> = names.iter().flat_map(|name| name.split(['-', '_', '.'])).filter(|word| word.len() > 2).collect();
        words.sort_unstable();
        words.dedup();
        Corpus { names, words }
    }

    /// The name of package `number`; no two are the same.
    fn name(&self, number: usize) -> String {
        let first = self.names[number % self.names.len()];
        match number / self.names.len() {
            0 => first.to_owned(),
            round => format!("{first}-{}", self.names[(number * 7 + round * 13) % self.names.len()]) + &format!("{round}"),
        }
    }

    fn description(&self, sequence: &mut Sequence, number: usize) -> String {
        let mut words: Vec<&str> = (0..12).map(|_| self.words[sequence.skewed(self.words.len())]).collect();
        words.extend(COMMON.iter().filter(|(_, share)| sequence.below(1000) < usize::try_from(*share).unwrap_or(0)).map(|(word, _)| *word));
        format!("{} {}", words.join(" "), rare_word(number))
    }
}

fn main() {
    // Without a number `cargo test --benches` would fill a catalogue; it only has to see that this starts.
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let corpus = Corpus::new();
    let mut medians: Vec<Vec<(&str, f64)>> = Vec::new();
    for versions in &sizes {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        medians.push(runtime.block_on(measure(directory.path(), &corpus, *versions)));
    }
    if let ([first, .., last], [least, .., most]) = (medians.as_slice(), sizes.as_slice()) {
        for ((what, before), (_, after)) in first.iter().zip(last) {
            report(&format!("search: {what}, {most} versions over {least}, medians"), "ratio", &[after / before], "");
        }
    }
}

async fn measure(directory: &Path, corpus: &Corpus, versions: usize) -> Vec<(&'static str, f64)> {
    let (store, operator, permit) = instance(directory).await;
    stock(directory, corpus, versions);
    let began = Instant::now();
    store.begin_rebuild(store.search_index().generation()).await.expect("an empty index");
    while store.step_rebuild().await.expect("a piece of the rebuild") != RebuildStep::Completed {}
    let seconds = began.elapsed().as_secs_f64();
    report(&format!("search: rebuild of {versions} versions"), "docs/s", &[count(versions) / seconds], "");
    let bytes: u64 =
        ["search.db", "search.db-wal"].iter().filter_map(|name| std::fs::metadata(directory.join(name)).ok()).map(|file| file.len()).sum();
    report(&format!("search: index of {versions} versions"), "MiB", &[bytes as f64 / f64::from(1 << 20)], "");
    let packages = versions / VERSIONS_EACH;
    let mut sequence = Sequence(7);
    let mut name = || corpus.name(sequence.below(packages));
    let names: Vec<String> = (0..200).map(|_| name()).collect();
    let prefixes: Vec<String> = (0..200).map(|_| name()).map(|name| name.chars().take(5).collect()).collect();
    let two_words: Vec<String> = (0..200).map(|_| name()).map(|name| two_of(&name, corpus)).collect();
    let inner: Vec<String> = (0..200).map(|_| name()).map(|name| name.chars().skip(2).take(4).collect()).collect();
    let rare: Vec<String> = (0..200).map(|number| rare_word(number * 17 % packages)).collect();
    let common: Vec<String> = COMMON.iter().map(|(word, _)| (*word).to_owned()).cycle().take(100).collect();
    let kinds = [
        ("a name", names.clone()),
        ("a prefix", prefixes),
        ("two words", two_words),
        ("an inner part", inner),
        ("a rare word", rare),
        ("a common word", common),
    ];
    let mut medians = Vec::new();
    for (what, queries) in kinds {
        medians.push((what, ask_all(&store, &permit, &format!("search: {what} among {versions} versions"), &queries)));
    }
    store.pause_search(&operator).await.expect("a pause");
    ask_all(&store, &permit, &format!("search: a name without the index, {versions} versions"), &names);
    medians
}

/// Asks each query once and reports how long it took; gives the median.
fn ask_all(store: &Store, permit: &Permit<Read>, name: &str, queries: &[String]) -> f64 {
    // Once before, so that what is measured is not the opening of the file.
    ask(store, permit, "warm");
    let (mut times, hits): (Vec<f64>, Vec<u64>) = queries.iter().map(|query| ask(store, permit, query)).unzip();
    let found = hits.iter().filter(|hits| **hits > 0).count();
    let most = hits.iter().max().copied().unwrap_or(0);
    report(name, "ms", &times, &format!("{found} of {} found something, at most {most} hits", hits.len()));
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A word that one package alone has, and that is not the beginning of another one.
fn rare_word(package: usize) -> String {
    format!("rare{package:06}")
}

/// The first part of a name and a word that is rather common.
fn two_of(name: &str, corpus: &Corpus) -> String {
    let first = name.split(['-', '_', '.']).next().unwrap_or(name);
    format!("{first} {}", corpus.words[first.len() * 3 % 40])
}

fn ask(store: &Store, permit: &Permit<Read>, text: &str) -> (f64, u64) {
    let query = SearchQuery { text: text.to_owned(), package_type: None, namespace: None, limit: 50, offset: 0 };
    let began = Instant::now();
    let page = store.search(std::slice::from_ref(permit), &query).expect("an answer");
    let elapsed = began.elapsed().as_secs_f64() * 1000.0;
    (elapsed, page.total_count)
}

fn count(number: usize) -> f64 {
    number as f64
}

fn report(name: &str, unit: &str, values: &[f64], note: &str) {
    println!("{}", serde_json::json!({"name": name, "unit": unit, "values": values, "note": note}));
}

/// A new instance with the repo `main` and somebody who reads it.
async fn instance(directory: &Path) -> (Arc<Store>, Operator, Permit<Read>) {
    let store = Arc::new(Store::open(&StoreOptions::at(directory), Arc::new(SystemClock)).expect("a store"));
    let clock = SystemClock;
    let grants = Grants { scopes: Some(vec!["repo:*:admin".parse().expect("a scope")]), bindings: None };
    let subject = "bench".parse().expect("a subject");
    let identity = Identity { subject, token_id: Some(TokenId::new(clock.uuid())), expires_at: None, grants };
    let caller = Caller::new(Arc::new(identity), RequestId::new(clock.uuid()));
    let operator = Operator::new(caller.clone()).expect("an operator");
    let proof = operator.clone();
    let create =
        move |tx: &mut artifortress::store::Write<'_>| tx.create_repo(&proof, &"main".parse()?, RepoKind::Local, &RepoSettings::default());
    let repo: Repo = store.write(&operator, create).await.expect("a repo");
    let permit = caller.permit(&Arc::new(repo)).expect("a permit");
    (store, operator, permit)
}

/// Writes published versions into the catalogue.
fn stock(directory: &Path, corpus: &Corpus, versions: usize) {
    let mut connection = Connection::open(directory.join("state.db")).expect("the catalogue");
    connection.busy_timeout(std::time::Duration::from_secs(60)).expect("a timeout");
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;").expect("pragmas");
    let mut sequence = Sequence(1);
    let transaction = connection.transaction().expect("a transaction");
    {
        let mut package = transaction
            .prepare("INSERT INTO packages (repo_key, package_type, namespace, name, namespace_key, name_key) VALUES ('main', 'pypi', '', :name, '', :name)")
            .expect("a statement");
        let mut version = transaction
            .prepare(
                "INSERT INTO versions (version_id, package_id, repo_key, version, version_key, distribution, state, created_at, created_by, published_at, content_digest)
                 VALUES (:id, :package, 'main', :version, :version, '', 'draft', :at, 'bench', NULL, 'sha256:' || lower(hex(zeroblob(32))))",
            )
            .expect("a statement");
        let mut manifest = transaction
            .prepare("INSERT INTO manifests (version_id, digest, bytes) VALUES (:id, 'sha256:' || lower(hex(zeroblob(32))), :bytes)")
            .expect("a statement");
        for number in 0..versions / VERSIONS_EACH {
            package.execute(named_params! {":name": corpus.name(number)}).expect("a package");
            let package_id = transaction.last_insert_rowid();
            let mut description = corpus.description(&mut sequence, number);
            for minor in 0..VERSIONS_EACH {
                // Every tenth release says something else of itself than the one before.
                if minor % 10 == 9 {
                    description = corpus.description(&mut sequence, number);
                }
                let at = i64::try_from(minor * versions + number).unwrap_or(0);
                let id = format!("0190b6f2-7a30-7cc1-{:04x}-{:012x}", 0x8000 + minor, number);
                let text =
                    serde_json::json!({"name": corpus.name(number), "summary": description, "license": "MIT", "requires_dist": ["a", "b"]});
                version
                    .execute(named_params! {":id": id, ":package": package_id, ":version": format!("1.{minor}"), ":at": at})
                    .expect("a version");
                manifest.execute(named_params! {":id": id, ":bytes": text.to_string().into_bytes()}).expect("a manifest");
            }
        }
    }
    transaction.execute("UPDATE versions SET state = 'published', published_at = created_at", []).expect("published");
    transaction.commit().expect("a commit");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("a checkpoint");
}
