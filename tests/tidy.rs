//! The shape of the source, held by tests: who may name whom, how long a file is, what may be written where.
//! Invariant: the table of rooms below is the architecture; a file that breaks it fails the build, and every rule has a test
//! that shows it can fail (`tidy/self_tests.rs`).

mod rules;
mod self_tests;
pub mod source;

use std::path::{Path, PathBuf};
use std::process::Command;

use source::Source;

/// Who may name whom. A room may always name itself; `*` is everything. A file of a room that is not listed fails.
pub const ROOMS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("clock", &["error", "domain"]),
    ("hop", &["error"]),
    ("pulse", &[]),
    ("metrics", &["error", "domain"]),
    ("config", &["error"]),
    ("logging", &["error", "config"]),
    ("domain", &["error"]),
    ("policy", &["error", "domain"]),
    ("inspect", &["error", "domain"]),
    ("advisories", &["error", "domain"]),
    ("store", &["error", "clock", "hop", "config", "domain", "policy", "advisories", "pulse", "metrics"]),
    ("blobs", &["error", "clock", "hop", "domain", "metrics"]),
    ("backup", &["error", "clock", "domain", "store", "blobs"]),
    ("access", &["error", "clock", "hop", "config", "domain", "store"]),
    ("registry", &["error", "clock", "hop", "config", "domain", "policy", "inspect", "advisories", "store", "blobs", "pulse", "metrics"]),
    ("quarantine", &["error", "clock", "hop", "config", "domain", "policy", "store", "blobs"]),
    ("remote", &["error", "clock", "hop", "config", "domain", "policy", "store", "blobs", "registry"]),
    ("http", &["error", "clock", "hop", "config", "domain", "access"]),
    ("serve", &["error", "domain", "http", "app", "blobs"]),
    ("pages", &["error", "domain", "store", "http", "metrics"]),
    ("formats", &["error", "clock", "hop", "config", "domain", "http", "app", "registry", "remote", "serve", "pages"]),
    (
        "api",
        &[
            "error",
            "clock",
            "hop",
            "config",
            "domain",
            "policy",
            "access",
            "registry",
            "quarantine",
            "remote",
            "http",
            "app",
            "formats",
            "serve",
        ],
    ),
    (
        "ui",
        &[
            "error",
            "clock",
            "hop",
            "config",
            "domain",
            "policy",
            "access",
            "registry",
            "quarantine",
            "remote",
            "http",
            "app",
            "formats",
            "serve",
        ],
    ),
    (
        "jobs",
        &[
            "error",
            "clock",
            "hop",
            "config",
            "domain",
            "policy",
            "store",
            "blobs",
            "access",
            "registry",
            "quarantine",
            "remote",
            "app",
            "pulse",
            "metrics",
        ],
    ),
    ("app", &["*"]),
    ("routes", &["*"]),
    ("cli", &["*"]),
    ("lib", &["*"]),
    ("main", &["*"]),
];

/// What of a room may be named where not all of it may. The store records verdicts and checks again which policy made them.
pub const ONLY: &[(&str, &str, &[&str])] = &[("store", "policy", &["Verdict", "Asked", "digest_of_policies"])];

/// The longest file, in lines.
pub const LINES_LIMIT: usize = 400;

/// Where the project lies.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The paths of all files of the project, relative to its root: what git knows or would add, else everything but build products.
fn project_files() -> Vec<String> {
    let listed = Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root()).output();
    let mut paths: Vec<String> = match listed {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8(output.stdout).unwrap();
            text.split('\0').filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
        }
        Ok(_) | Err(_) => walk(&root(), Path::new("")),
    };
    paths.sort();
    assert!(paths.iter().any(|path| path == "Cargo.toml"), "the project's files were not found");
    paths
}

fn walk(root: &Path, below: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(root.join(below)).unwrap().map(Result::unwrap) {
        let path = below.join(entry.file_name());
        if !entry.file_type().unwrap().is_dir() {
            paths.push(path.to_str().unwrap().to_owned());
        } else if !["target", ".git", ".tools"].iter().any(|skipped| path == Path::new(skipped)) {
            paths.extend(walk(root, &path));
        }
    }
    paths
}

/// The Rust files under a directory such as `src/`.
fn sources(under: &str) -> Vec<Source> {
    let paths = project_files().into_iter().filter(|path| path.starts_with(under) && path.ends_with(".rs"));
    let sources: Vec<Source> = paths.map(|path| Source::new(&path, &std::fs::read_to_string(root().join(&path)).unwrap())).collect();
    assert!(!sources.is_empty(), "no Rust file was found under {under}");
    sources
}

fn all_sources() -> Vec<Source> {
    let mut all = sources("src/");
    all.extend(sources("tests/"));
    all
}

fn check(what: &str, faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "{what}:\n  {}\n", faults.join("\n  "));
}

#[test]
fn a_room_names_only_the_rooms_it_may() {
    check("a room names a room it may not (the table is in tests/tidy.rs)", sources("src/").iter().flat_map(rules::wrong_rooms));
}

#[test]
fn a_format_names_no_other_format() {
    check("a format names another", sources("src/").iter().flat_map(rules::formats_named_by_formats));
}

#[test]
fn no_file_is_longer_than_400_lines() {
    check("split these files by subject", all_sources().iter().flat_map(rules::too_long));
}

#[test]
fn every_file_begins_with_what_it_is() {
    check("begin with //! what the file is and its invariant", all_sources().iter().flat_map(rules::without_introduction));
}

#[test]
fn sql_is_written_in_the_store_alone() {
    check("SQL outside src/store/", sources("src/").iter().flat_map(rules::sql_outside_the_store));
}

#[test]
fn statuses_are_numbered_by_the_transport_the_dialects_and_the_catalogue_alone() {
    check("an HTTP status outside src/http/, src/formats/ and src/error.rs", sources("src/").iter().flat_map(rules::status_numbers));
}

#[test]
fn no_test_is_ignored() {
    check("a test that cannot run must fail", all_sources().iter().flat_map(rules::ignored_tests));
}

#[test]
fn every_migration_is_listed_by_the_store() {
    let migrations: Vec<String> = project_files()
        .iter()
        .filter_map(|path| path.strip_prefix("schema/"))
        .filter(|name| name.ends_with(".sql"))
        .map(str::to_owned)
        .collect();
    let store: Vec<Source> = sources("src/").into_iter().filter(|source| source.room() == "store").collect();
    assert!(store.is_empty() || !migrations.is_empty(), "there is a store and no schema/*.sql");
    check("a migration is not listed in src/store/ or is out of order", rules::unlisted_migrations(&migrations, &store));
}

#[test]
fn no_host_of_a_public_registry_is_written_anywhere() {
    let mut faults = Vec::new();
    for path in project_files() {
        // Written by cargo, which names where each crate came from.
        if path != "Cargo.lock"
            && let Ok(text) = std::fs::read_to_string(root().join(&path))
        {
            // The OSV format's own identifier of an ecosystem, at the one place where it is read.
            let identifier = format!("\"{}\"", ["crates", "io"].join("."));
            let text = if path == "src/advisories/ecosystem.rs" { text.replace(&identifier, "") } else { text };
            faults.extend(rules::registry_hosts(&path, &text));
        }
    }
    check("write the registry's name (PyPI, npm, Cargo), not its host", faults);
}
