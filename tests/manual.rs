//! `man` and `completions`, typed as a package's build types them: the pages are there, a shell can read the completions, and the same program
//! writes the same bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::command_line::typed;

/// The pages in a directory.
fn pages(directory: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())).collect()
}

#[test]
fn man_writes_a_page_for_each_command_and_always_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("usr/share/man1");
    let line = format!("man {}", place.display());
    assert_eq!(typed(directory.path(), &line).done(), "");
    let first = pages(&place);
    for name in ["artifortress.1", "artifortress-serve.1", "artifortress-jobs-retry.1", "artifortress-man.1"] {
        assert!(first.contains_key(name), "{name} is not among {:?}", first.keys());
    }
    assert!(first["artifortress-serve.1"].contains(&format!("artifortress {}", env!("CARGO_PKG_VERSION"))));
    typed(directory.path(), &line).done();
    assert_eq!(pages(&place), first);
}

#[test]
fn man_says_why_it_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    typed(directory.path(), &format!("man {}", file.display())).complains(1, &["manual pages cannot be written", "file"]);
    typed(directory.path(), "man").complains(2, &["DIR"]);
}

#[test]
fn bash_reads_the_completions_and_knows_the_commands() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("completions");
    std::fs::write(&script, typed(directory.path(), "completions bash").done()).unwrap();
    let words = "COMP_WORDS=(artifortress quar); COMP_CWORD=1; _artifortress artifortress quar artifortress; echo \"${COMPREPLY[@]}\"";
    let sourced = format!("source {}; {words}", script.display());
    let output = Command::new("bash").args(["--norc", "-euc", &sourced]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "quarantine", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn completions_are_for_shells_that_it_knows() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(typed(directory.path(), &format!("completions {shell}")).done().contains("quarantine"), "{shell}");
    }
    typed(directory.path(), "completions tcsh").complains(2, &["tcsh", "possible values"]);
}
