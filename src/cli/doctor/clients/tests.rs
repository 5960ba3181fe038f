//! Planted files of settings: what could get past the gate is told with its file, and nothing secret is.

use std::path::Path;

use super::*;
use crate::cli::doctor::Grade;

/// Plants files below a directory and looks at them as of a server at 127.0.0.1:8466.
fn looked(files: &[(&str, &str)], variables: &[(&'static str, &str)]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    said(root.path(), variables)
}

fn said(root: &Path, variables: &[(&'static str, &str)]) -> Vec<String> {
    let findings = look("http://127.0.0.1:8466".parse().unwrap(), &Places::below(root, variables));
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            assert_eq!(finding.grade == Grade::Good, finding.next.is_none(), "{finding:?}");
            format!("{}: {}", finding.check, finding.words.replace(&root.display().to_string(), ""))
        })
        .collect();
    assert!(!lines.concat().contains("s3cret"), "{lines:?}");
    lines
}

const HERE: &str = "http://localhost:8466/pypi/main/simple/";

#[test]
fn a_user_without_settings_is_well() {
    assert_eq!(looked(&[], &[]), ["clients: no package client of this user has settings of its own here"]);
}

#[test]
fn what_client_config_writes_is_well() {
    let files = [
        ("home/.config/pip/pip.conf", "[global]\nindex-url = http://_:s3cret@127.0.0.1:8466/pypi/main/simple/\n"),
        (
            "home/.config/uv/uv.toml",
            "[[index]]\nname = \"artifortress\"\nurl = \"http://127.0.0.1:8466/pypi/main/simple/\"\ndefault = true\n",
        ),
        (
            "home/project/pyproject.toml",
            "[[tool.poetry.source]]\nname = \"artifortress\"\nurl = \"http://127.0.0.1:8466/pypi/main/simple/\"\npriority = \"primary\"\n
             [[tool.pdm.source]]\nname = \"pypi\"\nurl = \"http://127.0.0.1:8466/pypi/main/simple/\"\n",
        ),
        ("home/.npmrc", "registry=http://127.0.0.1:8466/npm/main/\n//127.0.0.1:8466/npm/main/:_authToken=s3cret\n"),
        ("home/.yarnrc.yml", "npmRegistryServer: \"http://127.0.0.1:8466/npm/main/\"\nunsafeHttpWhitelist:\n  - \"127.0.0.1\"\n"),
        ("home/.bunfig.toml", "[install.registry]\nurl = \"http://127.0.0.1:8466/npm/main/\"\ntoken = \"s3cret\"\n"),
        (
            "home/.cargo/config.toml",
            "[registries.artifortress]\nindex = \"sparse+http://127.0.0.1:8466/cargo/main/index/\"\n[registry]\ndefault = \"artifortress\"\n[source.crates-io]\nreplace-with = \"artifortress\"\n",
        ),
    ];
    let names = ["pip", "uv", "poetry", "pdm", "npm", "yarn", "bun", "cargo"];
    assert_eq!(looked(&files, &[]), names.map(|name| format!("client, {name}: {name} takes packages from here only")));
}

#[test]
fn an_extra_index_of_pip_is_told_wherever_it_is_set() {
    let file =
        format!("[global]\nindex-url: {HERE}\n[install]\nextra_index_url =\n    https://bob:s3cret@other.example/simple\n    {HERE}\n");
    assert_eq!(
        looked(&[("home/.pip/pip.conf", &file)], &[("PIP_FIND_LINKS", "/opt/wheels")]),
        [
            "client, pip: pip may take anything from /opt/wheels, also what is refused here (find-links in the variable PIP_FIND_LINKS)",
            "client, pip: pip may take anything from other.example, also what is refused here (extra-index-url in /home/.pip/pip.conf)",
        ]
    );
    let past = looked(&[("etc/pip.conf", "[global]\nindex-url = https://other.example/simple\n")], &[]);
    assert_eq!(past, ["client, pip: pip takes packages from other.example, past this server (index-url in /etc/pip.conf)"]);
    let overruled = looked(&[("etc/pip.conf", "[global]\nindex-url = https://other.example/simple\n")], &[("PIP_INDEX_URL", HERE)]);
    assert_eq!(overruled, ["client, pip: pip takes packages from here only"]);
}

#[test]
fn an_index_beside_ours_is_told_of_uv_and_a_missing_default_too() {
    let project = format!(
        "[[tool.uv.index]]\nname = \"ours\"\nurl = \"{HERE}\"\n[[tool.uv.index]]\nname = \"torch\"\nurl = \"https://other.example/whl\"\nexplicit = true\n"
    );
    assert_eq!(
        looked(&[("home/project/pyproject.toml", &project)], &[]),
        [
            "client, uv: uv knows this server, and the public index stays its default: what is refused here comes from there",
            "client, uv: uv takes what asks for torch from other.example, past this server (the index torch in /home/project/pyproject.toml)",
        ]
    );
    let default = format!("index-url = \"{HERE}\"\n[pip]\nextra-index-url = [\"https://other.example:444/simple\"]\n");
    let found = looked(&[("home/uv.toml", &default)], &[("UV_INDEX", "more=https://more.example/simple")]);
    assert!(found[0].contains("more.example") && found[1].contains("other.example:444, also what is refused here"), "{found:?}");
}

#[test]
fn a_second_source_of_a_project_is_told() {
    let project = format!(
        "[[tool.poetry.source]]\nname = \"ours\"\nurl = \"{HERE}\"\n[[tool.poetry.source]]\nname = \"more\"\nurl = \"https://other.example/\"\n
         [[tool.pdm.source]]\nname = \"ours\"\nurl = \"{HERE}\"\n"
    );
    let found = looked(&[("home/project/pyproject.toml", &project)], &[]);
    assert!(found[0].starts_with("client, poetry: poetry may take anything from other.example"), "{found:?}");
    assert!(found[1].starts_with("client, pdm: pdm knows this server, and the public index stays its default"), "{found:?}");
}

#[test]
fn a_scope_that_leads_elsewhere_is_told_of_npm_yarn_and_bun() {
    let found = looked(
        &[
            ("home/project/.npmrc", "@acme:registry=https://other.example/npm/\nregistry=http://127.0.0.1:8466/npm/main/\n"),
            (
                "home/.yarnrc.yml",
                "npmRegistryServer: 'http://127.0.0.1:8466/npm/main/' # ours\nnpmScopes:\n  acme:\n    npmAuthToken: s3cret\n    npmRegistryServer: https://other.example\nnpmRegistries:\n  //other.example:\n    npmAuthToken: s3cret\n",
            ),
            (
                "home/project/bunfig.toml",
                "[install]\nregistry = \"https://other.example\"\n[install.scopes]\nacme = { url = \"$URL\", token = \"s3cret\" }\n",
            ),
        ],
        &[],
    );
    assert_eq!(
        found,
        [
            "client, npm: npm takes @acme/… from other.example, past this server (@acme:registry in /home/project/.npmrc)",
            "client, yarn: yarn takes @acme/… from other.example, past this server (npmScopes.acme in /home/.yarnrc.yml)",
            "client, bun: bun takes packages from other.example, past this server (install.registry in /home/project/bunfig.toml)",
            "client, bun: bun takes @acme/… from an address that cannot be told, past this server (install.scopes.acme in /home/project/bunfig.toml)",
        ]
    );
}

#[test]
fn what_cargo_takes_past_ours_is_told() {
    let ours = "[registries.ours]\nindex = \"sparse+http://127.0.0.1:8466/cargo/main/index/\"\n";
    let found = looked(&[("home/.cargo/config.toml", ours)], &[]);
    assert_eq!(
        found,
        ["client, cargo: cargo knows this server, and the public index stays its default: what is refused here comes from there"]
    );
    let more = format!(
        "{ours}[registries.more]\nindex = \"sparse+https://other.example/index/\"\n[registry]\ndefault = \"more\"\n[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nreplace-with = \"ours\"\n"
    );
    assert_eq!(
        looked(&[("home/project/.cargo/config.toml", &more)], &[]),
        [
            "client, cargo: cargo takes what asks for more from other.example, past this server (the registry more in /home/project/.cargo/config.toml)",
            "client, cargo: cargo takes what cargo add finds from other.example, past this server (registry.default in /home/project/.cargo/config.toml)",
        ]
    );
    let vendored = "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n";
    let found = looked(&[("home/.cargo/config.toml", vendored)], &[]);
    assert!(found[0].contains("cargo takes packages from vendor, past this server"), "{found:?}");
}

#[test]
fn what_cannot_be_read_is_a_warning_that_quotes_nothing() {
    let long = "a".repeat(300 << 10);
    let found = looked(&[("home/.cargo/config.toml", "token = s3cret"), ("home/.npmrc", &long)], &[]);
    assert!(found[0].starts_with("client, npm: /home/.npmrc cannot be read: it is longer"), "{found:?}");
    assert!(found[1].starts_with("client, cargo: /home/.cargo/config.toml cannot be read: it is no TOML"), "{found:?}");
}
