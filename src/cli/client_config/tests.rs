//! What each client is given, to the letter, and what happens to files that are there.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn source(server: &str) -> Source {
    Source::new(&server.parse().unwrap(), "main".parse().unwrap())
}

fn settings(tool: Tool, root: &Path) -> Settings {
    Settings::of(tool, &source("http://127.0.0.1:8466"), &Places::below(root, &[])).unwrap()
}

/// The lines that a client reads, without those for people.
fn read_by_client(tool: Tool, server: &str) -> String {
    let text = texts::text(tool, &source(server)).unwrap();
    // A variable that begins so would be a setting of this program, and an unknown one.
    assert!(!text.contains("export ARTIFORTRESS_") && !text.contains("{ARTIFORTRESS_") && !text.contains("$ARTIFORTRESS_"), "{text}");
    assert!(text.starts_with("# ") && text.ends_with('\n') && !text.contains("aft_"), "{text}");
    text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_client_is_told_of_one_source_and_of_no_other() {
    for (tool, wanted) in [
        (Tool::Pip, "[global]\nindex-url = http://127.0.0.1:8466/pypi/main/simple/"),
        (
            Tool::Uv,
            "[[index]]\nname = \"artifortress\"\nurl = \"http://127.0.0.1:8466/pypi/main/simple/\"\npublish-url = \"http://127.0.0.1:8466/pypi/main/legacy/\"\ndefault = true",
        ),
        (
            Tool::Poetry,
            "[[tool.poetry.source]]\nname = \"artifortress\"\nurl = \"http://127.0.0.1:8466/pypi/main/simple/\"\npriority = \"primary\"",
        ),
        (Tool::Pdm, "[[tool.pdm.source]]\nname = \"pypi\"\nurl = \"http://127.0.0.1:8466/pypi/main/simple/\""),
        (Tool::Npm, "registry=http://127.0.0.1:8466/npm/main/\n//127.0.0.1:8466/npm/main/:_authToken=${AFT_TOKEN?}"),
        (Tool::Pnpm, "registry=http://127.0.0.1:8466/npm/main/"),
        (
            Tool::Yarn,
            "npmRegistryServer: \"http://127.0.0.1:8466/npm/main/\"\nnpmAuthToken: \"${AFT_TOKEN:-}\"\nnpmMinimalAgeGate: 0\nunsafeHttpWhitelist:\n  - \"127.0.0.1\"",
        ),
        (Tool::Bun, "[install.registry]\nurl = \"http://127.0.0.1:8466/npm/main/\"\ntoken = \"$AFT_TOKEN\""),
        (
            Tool::Cargo,
            "[registries.artifortress]\nindex = \"sparse+http://127.0.0.1:8466/cargo/main/index/\"\ncredential-provider = [\"cargo:token\"]\n\n[registry]\ndefault = \"artifortress\"\n\n[source.crates-io]\nreplace-with = \"artifortress\"",
        ),
    ] {
        assert_eq!(read_by_client(tool, "http://127.0.0.1:8466"), wanted, "{tool}");
    }
}

#[test]
fn a_server_behind_a_path_and_tls_keeps_its_path_and_yarn_is_not_told_of_plain_http() {
    let yarn = read_by_client(Tool::Yarn, "https://packages.example/registry");
    assert!(yarn.contains("\"https://packages.example/registry/npm/main/\"") && !yarn.contains("unsafe"), "{yarn}");
    let npm = read_by_client(Tool::Npm, "https://packages.example/registry");
    assert!(npm.contains("\n//packages.example/registry/npm/main/:_authToken="), "{npm}");
    assert!(!read_by_client(Tool::Yarn, "http://packages.example").contains("unsafe"));
}

#[test]
fn every_text_in_toml_is_toml() {
    for tool in [Tool::Uv, Tool::Poetry, Tool::Pdm, Tool::Bun, Tool::Cargo] {
        toml::from_str::<toml::Table>(&texts::text(tool, &source("http://[::1]:8466")).unwrap()).unwrap();
    }
}

#[test]
fn every_client_has_a_text_or_a_protocol_that_is_not_served() {
    for tool in Tool::ALL {
        assert_eq!(texts::text(*tool, &source("http://127.0.0.1:1")).is_none(), unserved(*tool).is_some(), "{tool}");
    }
}

#[test]
fn a_new_file_is_its_owners_alone_and_writing_it_again_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    for (tool, path) in [
        (Tool::Pip, "home/.config/pip/pip.conf"),
        (Tool::Uv, "home/.config/uv/uv.toml"),
        (Tool::Npm, "home/.npmrc"),
        (Tool::Yarn, "home/.yarnrc.yml"),
        (Tool::Bun, "home/.bunfig.toml"),
        (Tool::Cargo, "home/.cargo/config.toml"),
    ] {
        let settings = settings(tool, root.path());
        let path = root.path().join(path);
        assert_eq!((settings.path.clone(), settings.write().unwrap()), (path.clone(), Written::Yes));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), settings.text);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(settings.write().unwrap(), Written::Already);
    }
}

#[test]
fn a_file_that_says_something_else_is_left_alone_and_shown_without_its_secrets() {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(Tool::Npm, root.path());
    std::fs::create_dir_all(root.path().join("home")).unwrap();
    let before = "registry=http://bob:s3cret@other/\n//other/:_authToken=s3cret\nfund=false\n";
    std::fs::write(&settings.path, before).unwrap();
    let refused = settings.write().unwrap_err().to_string();
    assert_eq!(std::fs::read_to_string(&settings.path).unwrap(), before);
    assert!(!refused.contains("s3cret") && !refused.contains("bob"), "{refused}");
    for line in ["-registry=http://…@other/", "-//other/:_authToken=…", "-fund=false", "+registry=http://127.0.0.1:8466/npm/main/"] {
        assert!(refused.lines().any(|shown| shown == line), "{line} in {refused}");
    }
}

#[test]
fn the_section_of_a_project_goes_to_the_end_of_its_file_once() {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(Tool::Poetry, root.path());
    assert!(settings.write().unwrap_err().to_string().contains("directory of the project"));
    std::fs::create_dir_all(root.path().join("home/project")).unwrap();
    std::fs::write(&settings.path, "[project]\nname = \"x\"").unwrap();
    std::fs::set_permissions(&settings.path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(settings.write().unwrap(), Written::Yes);
    let text = std::fs::read_to_string(&settings.path).unwrap();
    assert_eq!(text, format!("[project]\nname = \"x\"\n\n{}", settings.text));
    assert_eq!(std::fs::metadata(&settings.path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(settings.write().unwrap(), Written::Already);
    std::fs::write(&settings.path, "[[tool.poetry.source]]\nname = \"other\"\n").unwrap();
    assert!(settings.write().unwrap_err().to_string().contains("-name = \"other\""));
}
