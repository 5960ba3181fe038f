//! Real clients on a real socket: pip, uv and twine publish, install, and show why something is held. Invariant: they come from
//! `.tools/venv`, which `scripts/test` makes, and talk to nobody but the server of the test.

use std::path::Path;

use crate::support::{Client, Ended, Served};

const HELD: &str = "younger than 7 days (rule cooldown)";

/// A server, a token that may publish, and a client that works there.
struct Bench {
    served: Served,
    token: String,
    client: Client,
}

impl Bench {
    fn start() -> Bench {
        let served = Served::start();
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/venv/bin");
        let client = served.client("python", &format!("{}:/usr/bin:/bin", venv.display()));
        let client = client.env("PIP_CONFIG_FILE", "/dev/null").env("UV_PYTHON_DOWNLOADS", "never");
        Bench { token: served.writer("main").secret, served, client }
    }

    /// The index with the token in its address.
    fn index(&self) -> String {
        self.served.url_of("__token__", &self.token, "/pypi/main/simple/")
    }

    /// A small wheel.
    fn wheel(&self, name: &str, version: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/wheel.py");
        let made = self.client.run("python", &[script.to_str().unwrap(), name, version, "MIT", "dist"]).well();
        made.stdout.trim().to_owned()
    }

    fn twine(&self, file: &str) -> Ended {
        let url = self.served.url("/pypi/main/legacy/");
        let login = ["-u", "__token__", "-p", &self.token];
        let quiet = ["upload", "--non-interactive", "--disable-progress-bar", "--repository-url", &url];
        self.client.run("twine", &[&quiet[..], &login, &[file]].concat())
    }

    fn uv_publish(&self, file: &str) -> Ended {
        let url = self.served.url("/pypi/main/legacy/");
        self.client.run("uv", &["publish", "--no-config", "--no-cache", "--publish-url", &url, "--token", &self.token, file])
    }

    fn pip(&self, target: &str, wanted: &str) -> Ended {
        let quiet = ["--isolated", "--no-input", "--no-cache-dir", "--disable-pip-version-check", "--no-deps"];
        let from = ["-m", "pip", "install", "--index-url", &self.index(), "--target", target];
        self.client.run("python", &[&from[..], &quiet, &[wanted]].concat())
    }

    fn uv(&self, target: &str, wanted: &str) -> Ended {
        let from = ["--python", "python", "--default-index", &self.index(), "--target", target];
        self.client.run("uv", &[&["pip", "install", "--no-config", "--no-cache", "--no-deps"], &from[..], &[wanted]].concat())
    }

    /// The version that a client put there.
    fn installed(&self, target: &str, name: &str) -> String {
        let entries = std::fs::read_dir(self.client.directory().join(target)).unwrap();
        let found = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let prefix = format!("{name}-");
        let versions: Vec<String> =
            found.filter_map(|file| Some(file.strip_prefix(&prefix)?.strip_suffix(".dist-info")?.to_owned())).collect();
        versions.join(", ")
    }
}

#[test]
fn twine_and_uv_publish_and_pip_and_uv_install() {
    let bench = Bench::start();
    bench.twine(&bench.wheel("fortress-demo", "1.0")).well();
    bench.uv_publish(&bench.wheel("fortress-demo", "1.1")).well();
    bench.pip("by-pip", "Fortress_Demo==1.0").well();
    bench.uv("by-uv", "fortress.demo").well();
    assert_eq!([bench.installed("by-pip", "fortress_demo"), bench.installed("by-uv", "fortress_demo")], ["1.0", "1.1"]);
}

#[test]
fn pip_and_uv_name_the_reason_of_a_hold_pass_it_over_and_install_after_its_release() {
    let bench = Bench::start();
    bench.twine(&bench.wheel("demo", "1.0")).well();
    bench.twine(&bench.wheel("demo", "2.0")).well();

    let said = bench.pip("pinned-pip", "demo==2.0").badly().says(&["423 Client Error", HELD, "Use 1.0 or ask a reviewer"]);
    bench.served.snapshot("pip", "held-pin", &said);
    let said = bench.uv("pinned-uv", "demo==2.0").badly().says(&["Server message: Quarantined, ", HELD]);
    bench.served.snapshot("uv", "held-pin", &said);

    bench.pip("range-pip", "demo>=1.0").well();
    bench.uv("range-uv", "demo>=1.0").well();
    assert_eq!([bench.installed("range-pip", "demo"), bench.installed("range-uv", "demo")], ["1.0", "1.0"]);
    let said = bench.uv("only-held-uv", "demo>1.5").badly().says(&["yanked", HELD]);
    bench.served.snapshot("uv", "held-range", &said);

    bench.served.review("main", "release");
    bench.pip("pinned-pip", "demo==2.0").well();
    bench.uv("pinned-uv", "demo>1.5").well();
    assert_eq!([bench.installed("pinned-pip", "demo"), bench.installed("pinned-uv", "demo")], ["2.0", "2.0"]);
}

#[test]
fn twine_and_uv_show_why_an_upload_is_denied() {
    let bench = Bench::start();
    let wheel = bench.wheel("demo", "6.6.6");
    for said in [bench.twine(&wheel), bench.uv_publish(&wheel)] {
        said.badly().says(&["403", "the number of the beast (rule beast)"]);
    }
}

#[test]
fn the_same_file_again_succeeds_and_another_under_its_name_is_refused_in_words() {
    let bench = Bench::start();
    let wheel = bench.wheel("demo", "1.0");
    bench.twine(&wheel).well();
    bench.twine(&wheel).well();
    bench.uv_publish(&wheel).well();
    let path = bench.client.directory().join(&wheel);
    let mut bytes = std::fs::read(&path).unwrap();
    let comment = bytes.len() - 2;
    // A comment at the end of the archive: still the same wheel, but other bytes.
    bytes.splice(comment.., [1, 0, b'!']);
    std::fs::write(&path, bytes).unwrap();
    bench.twine(&wheel).badly().says(&["409 Conflict", "File already exists"]);
}

#[test]
fn without_a_token_clients_are_asked_for_one() {
    let bench = Bench::start();
    bench.twine(&bench.wheel("demo", "1.0")).well();
    let index = bench.served.url("/pypi/main/simple/");
    let quiet = ["--isolated", "--no-input", "--no-cache-dir", "--disable-pip-version-check"];
    let from = ["-m", "pip", "install", "--index-url", &index, "--target", "none"];
    bench.client.run("python", &[&from[..], &quiet, &["demo"]].concat()).badly().says(&["No matching distribution"]);
}
