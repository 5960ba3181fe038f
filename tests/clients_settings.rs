//! Real clients that know of the server what `artifortress client-config` wrote for them, and nothing else. Invariant: with these settings each
//! publishes with its token and fetches without one where anybody may read; whatever it fetches comes from this server.

use std::path::Path;

use crate::support::{Client, Readers, Served};

const POLICY: &str = "@id(\"none\") forbid (principal, action, resource) when { context.package.name == \"none\" };";

/// A server with the repos `open`, which anybody may read, and `closed`.
fn served() -> Served {
    let served = Served::start();
    for (repo, readers) in [("open", Readers::Anybody), ("closed", Readers::Signed)] {
        served.create_repo(repo, readers);
        served.set_policy(repo, POLICY);
    }
    served
}

/// A client of this name, configured by the command alone; it finds programs at `path`.
fn configured(served: &Served, tool: &str, repo: &str, path: &Path) -> Client {
    let program = Path::new(env!("CARGO_BIN_EXE_artifortress")).parent().unwrap();
    let client = served.client(&format!("{tool}-{repo}"), &format!("{}:{}:/usr/bin:/bin", path.display(), program.display()));
    client.run("artifortress", &["client-config", tool, "--repo", repo, "--server", &served.url(""), "--write"]).well();
    client
}

fn tools(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools").join(name)
}

#[test]
fn uv_and_pip_publish_and_install_with_what_was_written_for_them() {
    let served = served();
    let token = served.writer("closed").secret;
    let uv = configured(&served, "uv", "closed", &tools("venv/bin"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/wheel.py");
    uv.run("python", &[script.to_str().unwrap(), "demo", "1.0", "MIT", "dist"]).well();
    let publish = ["publish", "--no-cache", "--index", "artifortress", "dist/demo-1.0-py3-none-any.whl"];
    uv.clone().env("UV_PUBLISH_TOKEN", &token).run("uv", &publish).well();
    let install = ["pip", "install", "--no-cache", "--target", "site", "demo"];
    uv.run("uv", &install).badly();
    let reading = uv.env("UV_INDEX_ARTIFORTRESS_USERNAME", "__token__").env("UV_INDEX_ARTIFORTRESS_PASSWORD", &token);
    reading.run("uv", &install).well();

    let pip = configured(&served, "pip", "closed", &tools("venv/bin"));
    let install = ["-m", "pip", "install", "--no-input", "--no-cache-dir", "--disable-pip-version-check", "--target", "site", "demo"];
    pip.run("python", &install).badly();
    pip.write_home(".netrc", format!("machine 127.0.0.1 login __token__ password {token}\n"));
    pip.run("python", &install).well().says(&["Successfully installed demo-1.0"]);
}

#[test]
fn the_javascript_clients_publish_with_the_variable_and_install_without_it() {
    let served = served();
    let token = served.writer("open").secret;
    let publish: [(&str, &[&str], &[&str]); 4] = [
        ("npm", &["publish"], &["install", "by-npm"]),
        ("pnpm", &["publish", "--no-git-checks"], &["add", "by-pnpm"]),
        ("yarn", &["npm", "publish"], &["add", "by-yarn"]),
        ("bun", &["publish"], &["add", "by-bun"]),
    ];
    for (tool, publish, install) in publish {
        let client = configured(&served, tool, "open", &tools("node/node_modules/.bin"));
        let package = client.clone().at("package").env("AFT_TOKEN", &token);
        package.write("package.json", format!("{{\"name\": \"by-{tool}\", \"version\": \"1.0.0\", \"license\": \"MIT\"}}"));
        let user = client.clone().at("user").env("CI", "1");
        user.write("package.json", "{\"name\": \"user\", \"version\": \"1.0.0\"}");
        if tool == "yarn" {
            package.write("yarn.lock", "");
            package.run(tool, &["install"]).well();
            user.write("yarn.lock", "");
            user.write(".yarnrc.yml", "nodeLinker: node-modules\nenableTelemetry: false\nenableImmutableInstalls: false\n");
        }
        if tool == "pnpm" {
            // Its line with the token is for those who set the variable.
            let settings = std::fs::read_to_string(client.home().join(".npmrc")).unwrap();
            client.write_home(".npmrc", settings.replace("#//", "//"));
            package.run(tool, publish).well();
            client.write_home(".npmrc", settings);
        } else {
            package.run(tool, publish).well();
        }
        user.run(tool, install).well();
        assert!(user.read(&format!("node_modules/by-{tool}/package.json")).contains(&format!("by-{tool}")));
    }
}

#[test]
fn cargo_publishes_and_fetches_with_what_was_written_for_it() {
    let served = served();
    let programs = Path::new(env!("CARGO")).parent().unwrap();
    for (repo, variable) in [("open", ""), ("closed", "CARGO_REGISTRIES_ARTIFORTRESS_TOKEN")] {
        let token = served.writer(repo).secret;
        let cargo = configured(&served, "cargo", repo, programs);
        let manifest = |name: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\nlicense = \"MIT\"\ndescription = \"x\"\n")
        };
        let library = cargo.clone().at("demo").env("CARGO_REGISTRIES_ARTIFORTRESS_TOKEN", &token);
        library.write("Cargo.toml", manifest("demo"));
        library.write("src/lib.rs", "");
        library.run("cargo", &["publish", "--no-verify", "--allow-dirty"]).well();
        let user = cargo.at("user");
        let user = if variable.is_empty() { user } else { user.env(variable, &token) };
        user.write("Cargo.toml", manifest("user"));
        user.write("src/lib.rs", "");
        user.run("cargo", &["add", "demo"]).well();
        let fetched = user.run("cargo", &["fetch"]).well();
        fetched.says(&["Downloaded demo v1.0.0"]);
        assert!(user.read("Cargo.lock").contains(&served.url(&format!("/cargo/{repo}/index/"))));
    }
}
