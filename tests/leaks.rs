//! What must not compile. Invariant: each file of `tests/leaks/` is a way around a proof; rustc refuses it with the code that
//! its first line names, and the control, which does the same things rightly, compiles.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory of this test's own binary, where cargo puts the libraries it was linked with.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// The newest build of this crate: the one made for this very run of the tests.
fn own_library() -> PathBuf {
    let files = std::fs::read_dir(libraries()).unwrap().map(|entry| entry.unwrap().path());
    let builds = files.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("libartifortress-") && name.ends_with(".rlib")
    });
    builds.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).expect("the library lies beside the test binary")
}

/// Compiles one file against the library, without linking; gives what rustc says in JSON, one message a line.
fn compile(source: &Path, into: &Path) -> (bool, String) {
    let output = Command::new(Path::new(env!("CARGO")).with_file_name("rustc"))
        .args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata", "--error-format", "json", "-A", "warnings"])
        .arg("--extern")
        .arg(format!("artifortress={}", own_library().display()))
        .arg("-L")
        .arg(format!("dependency={}", libraries().display()))
        .arg("--out-dir")
        .arg(into)
        .arg(source)
        .output()
        .expect("rustc is there, or cargo could not have built this test");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The codes of all errors, in the order in which rustc found them; an error without a code gives its message.
fn codes(messages: &str) -> Vec<String> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let errors = parsed.filter(|message| message["level"] == "error" && !message["spans"].as_array().is_none_or(Vec::is_empty));
    errors.map(|message| message["code"]["code"].as_str().or(message["message"].as_str()).unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_way_around_a_proof_is_refused_by_the_compiler() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/leaks");
    let mut sources: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.sort();
    assert!(sources.len() > 10, "the sources are missing");
    let into = tempfile::tempdir().unwrap();
    let check = |source: &PathBuf| {
        let name = source.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(source).unwrap();
        let (compiles, messages) = compile(source, into.path());
        let found = codes(&messages);
        let expected = text.strip_prefix("//! error[").and_then(|rest| rest.split_once(']')).map(|(code, _)| code.to_owned());
        match expected {
            Some(code) if compiles => Err(format!("{name} compiles; it must fail with {code}")),
            Some(code) if found != [code.clone()] => Err(format!("{name} must fail with {code} alone, it fails with {found:?}")),
            None if !compiles => Err(format!("{name} must compile, it fails with {found:?}: {messages}")),
            Some(_) | None => Ok(()),
        }
    };
    let (first, second) = sources.split_at(sources.len() / 2);
    let faults: Vec<String> = std::thread::scope(|scope| {
        let other = scope.spawn(|| second.iter().map(check).collect::<Vec<_>>());
        let mut all: Vec<_> = first.iter().map(check).collect();
        all.extend(other.join().unwrap());
        all.into_iter().filter_map(Result::err).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(sources.iter().any(|source| source.ends_with("control.rs")), "the control is missing");
}
