//! The real Cargo with a home of its own, against a server of the test. Invariant: it knows one registry, named `q`, and never asks
//! another one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Client, Ended, Served, text};

/// A server, a token that may publish, and a Cargo that has it.
pub struct CargoBench {
    pub served: Served,
    pub token: String,
    pub cargo: Client,
}

impl CargoBench {
    /// A server whose repo `main` asks for a token.
    pub fn start() -> CargoBench {
        let served = Served::start();
        let token = served.writer("main").secret;
        let cargo = cargo(&served, "cargo", "main", &token);
        CargoBench { served, token, cargo }
    }

    /// Another Cargo, with nothing downloaded yet; without a token if that is empty.
    pub fn fresh(&self, name: &str, repo: &str, token: &str) -> Client {
        cargo(&self.served, name, repo, token)
    }

    /// Publishes a library crate.
    pub fn publish(&self, name: &str, version: &str) -> Ended {
        publish(&self.cargo, &library(&self.cargo, name, version, ""))
    }

    /// A project of this name that depends on `demo` in some versions.
    pub fn project(&self, cargo: &Client, name: &str, requirement: &str) -> Client {
        let project = cargo.clone().at(name);
        project.write("Cargo.toml", user(name, &format!("demo = {{ version = \"{requirement}\", registry = \"q\" }}")));
        project.write("src/main.rs", "fn main() {}\n");
        project
    }

    /// Waits until the index of words has so many versions of what is called so.
    pub fn until_searched(&self, query: &str, count: u64) {
        let path = format!("/v1/repos/main/search/packages?q={query}");
        let found = || self.served.api("GET", &path, &Value::Null)["totalCount"].as_u64().unwrap();
        for _ in 0..600 {
            if found() >= count {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{} of {count} versions of {query} are found", found());
    }

    /// Holds a published version of `demo` by hand.
    pub fn hold(&self, version: &str) {
        let found = format!("/v1/repos/main/packages/versions/resolve?packageType=cargo&name=demo&version={version}");
        let id = text(&self.served.api("GET", &found, &Value::Null), "versionId");
        self.served.api("POST", &format!("/v1/repos/main/versions/{id}/quarantine"), &json!({"reason": "somebody looked at it"}));
    }
}

fn cargo(served: &Served, name: &str, repo: &str, token: &str) -> Client {
    let programs = Path::new(env!("CARGO")).parent().unwrap();
    let client = served.client(name, &format!("{}:/usr/bin:/bin", programs.display()));
    let index = served.url(&format!("/cargo/{repo}/index/"));
    client.write_home(
        ".cargo/config.toml",
        format!(
            "[registries.q]\nindex = \"sparse+{index}\"\n\n[registry]\ndefault = \"q\"\nglobal-credential-providers = [\"cargo:token\"]\n\n\
             [net]\nretry = 0\n\n[term]\nprogress.when = \"never\"\n"
        ),
    );
    if !token.is_empty() {
        client.write_home(".cargo/credentials.toml", format!("[registries.q]\ntoken = \"{token}\"\n"));
    }
    client
}

/// The manifest of a project that uses crates.
pub fn user(name: &str, dependencies: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n{dependencies}\n")
}

/// Writes a library crate with more lines in its manifest; gives the place of that.
pub fn library(cargo: &Client, name: &str, version: &str, more: &str) -> PathBuf {
    let directory = format!("{name}-{version}");
    cargo.write(&format!("{directory}/src/lib.rs"), format!("pub fn version() -> &'static str {{\n    {version:?}\n}}\n"));
    let manifest = format!(
        "[package]\nname = {name:?}\nversion = {version:?}\nedition = \"2021\"\nlicense = \"MIT\"\ndescription = \"What {name} is\"\n{more}\n"
    );
    cargo.write(&format!("{directory}/Cargo.toml"), manifest)
}

/// Publishes the crate of a manifest. Cargo waits a minute for what never appears; here, a second.
pub fn publish(cargo: &Client, manifest: &Path) -> Ended {
    let wait = ["-Zpublish-timeout", "--config", "publish.timeout=1"];
    let publish = ["publish", "--allow-dirty", "--no-verify", "--manifest-path", manifest.to_str().unwrap()];
    cargo.clone().env("RUSTC_BOOTSTRAP", "1").run("cargo", &[&publish[..], &wait].concat())
}

/// The version of a package in a lock file.
pub fn locked(project: &Client, name: &str) -> String {
    let lock = project.read("Cargo.lock");
    let after = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1).unwrap_or_else(|| panic!("no {name} in {lock}"));
    after.split('"').next().unwrap().to_owned()
}
