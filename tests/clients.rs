//! Real clients on a real socket: pip, uv and twine publish, install, and show why something is held. Invariant: they come from
//! `.tools/venv`, which `scripts/test` makes, and talk to nobody but the server of the test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use artifortress::access::bootstrap;
use artifortress::app::App;
use artifortress::blobs::Blobs;
use artifortress::clock::{Clock, SystemClock};
use artifortress::config::Config;
use artifortress::domain::access::{Duty, Permit};
use artifortress::domain::id::RequestId;
use artifortress::domain::quarantine::{Ballot, QuarantineStatus};
use artifortress::http::{Application, HeaderValue, Router, Server};
use artifortress::policy::CedarEngine;
use artifortress::routes;
use artifortress::store::{Store, StoreOptions};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Versions 2 are held, 6.6.6 is denied.
const POLICY: &str = r#"
@id("cooldown") @decision("quarantine") @message("younger than 7 days")
forbid (principal, action, resource) when { context.package.version like "2*" };
@id("beast") @message("the number of the beast")
forbid (principal, action, resource) when { context.package.version == "6.6.6" };
"#;
const HELD: &str = "younger than 7 days (rule cooldown)";

/// A server on a socket, with a directory for the clients to work in.
struct Served {
    runtime: Runtime,
    app: Arc<App>,
    token: String,
    port: u16,
    work: tempfile::TempDir,
}

/// How a client ended, and all that it printed.
#[derive(Debug)]
struct Ended {
    succeeded: bool,
    output: String,
}

impl Ended {
    fn well(self) -> String {
        assert!(self.succeeded, "{}", self.output);
        self.output
    }

    fn badly(self) -> String {
        assert!(!self.succeeded, "{}", self.output);
        self.output
    }
}

impl Served {
    /// A server whose repo `main` needs a token and has [`POLICY`].
    fn start() -> Served {
        let work = tempfile::tempdir().unwrap();
        let data = work.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let runtime = Runtime::new().unwrap();
        let (app, token, port) = runtime.block_on(serve(&data));
        let served = Served { runtime, app, token, port, work };
        let permit = served.permit();
        served.runtime.block_on(served.app.registry.put_repo_policy(&permit, POLICY.to_owned())).unwrap();
        served
    }

    fn permit<D: Duty>(&self) -> Permit<D> {
        self.runtime.block_on(async {
            let header = HeaderValue::try_from(format!("Bearer {}", self.token)).unwrap();
            let caller = self.app.authenticate(Some(&header), RequestId::new(self.app.clock.uuid())).await.unwrap();
            caller.permit(&self.app.find_repo(&"main".parse().unwrap()).await.unwrap().unwrap()).unwrap()
        })
    }

    /// Decides everything that is held.
    fn review(&self, ballot: Ballot) {
        let permit = self.permit();
        let asked = permit.clone();
        self.runtime.block_on(async {
            let held = self.app.run(move |app| app.review.list(&[asked], Some(QuarantineStatus::Quarantined), 100, None)).await.unwrap();
            assert!(!held.items.is_empty(), "nothing is held");
            for hold in held.items {
                self.app.review.vote(&permit, hold.item.id, ballot, None).await.unwrap();
            }
        });
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The index with the token in its address.
    fn index(&self) -> String {
        format!("http://__token__:{}@127.0.0.1:{}/pypi/main/simple/", self.token, self.port)
    }

    /// A program of the clients' environment; nothing that this machine has configured reaches it.
    fn client(&self, program: &str, arguments: &[&str]) -> Ended {
        let path = venv().join(program);
        assert!(path.exists(), "{} is not there; run scripts/test once, which installs it", path.display());
        let output = Command::new(path)
            .args(arguments)
            .env_clear()
            .env("HOME", self.work.path())
            .env("PATH", "/usr/bin:/bin")
            .env("NO_COLOR", "1")
            .env("COLUMNS", "1000")
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ended { succeeded: output.status.success(), output: text.concat() }
    }

    /// A small wheel.
    fn wheel(&self, name: &str, version: &str) -> String {
        let dist = self.work.path().join("dist");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/wheel.py");
        let made = self.client("python", &[script.to_str().unwrap(), name, version, "MIT", dist.to_str().unwrap()]).well();
        made.trim().to_owned()
    }

    fn twine(&self, file: &str) -> Ended {
        let url = self.url("/pypi/main/legacy/");
        let login = ["-u", "__token__", "-p", &self.token];
        self.client(
            "twine",
            &[&["upload", "--non-interactive", "--disable-progress-bar", "--repository-url", &url], &login[..], &[file]].concat(),
        )
    }

    fn uv_publish(&self, file: &str) -> Ended {
        let url = self.url("/pypi/main/legacy/");
        self.client("uv", &["publish", "--no-config", "--no-cache", "--publish-url", &url, "--token", &self.token, file])
    }

    fn pip(&self, target: &str, wanted: &str) -> Ended {
        let (index, target) = (self.index(), self.target(target));
        let quiet = ["--isolated", "--no-input", "--no-cache-dir", "--disable-pip-version-check", "--no-deps"];
        self.client("python", &[&["-m", "pip", "install", "--index-url", &index, "--target", &target], &quiet[..], &[wanted]].concat())
    }

    fn uv(&self, target: &str, wanted: &str) -> Ended {
        let (index, target) = (self.index(), self.target(target));
        let python = venv().join("python");
        let from = ["--python", python.to_str().unwrap(), "--default-index", &index, "--target", &target];
        self.client("uv", &[&["pip", "install", "--no-config", "--no-cache", "--no-deps"], &from[..], &[wanted]].concat())
    }

    fn target(&self, name: &str) -> String {
        self.work.path().join(name).to_str().unwrap().to_owned()
    }

    /// The version that a client put there.
    fn installed(&self, target: &str, name: &str) -> String {
        let found = std::fs::read_dir(self.target(target)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let prefix = format!("{name}-");
        let versions: Vec<String> =
            found.filter_map(|file| Some(file.strip_prefix(&prefix)?.strip_suffix(".dist-info")?.to_owned())).collect();
        versions.join(", ")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // What is left on sockets ends with the runtime.
        let runtime = std::mem::replace(&mut self.runtime, tokio::runtime::Builder::new_current_thread().build().unwrap());
        runtime.shutdown_background();
    }
}

async fn serve(data: &Path) -> (Arc<App>, String, u16) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Arc::new(Store::open(&StoreOptions::at(data), Arc::clone(&clock)).unwrap());
    let blobs = Blobs::open_dir(data).unwrap();
    let token = bootstrap(&store, data, None, false).await.unwrap().unwrap().secret.reveal().to_owned();
    let mut config = Config::in_directory(data);
    // A loaded machine must not turn a decision into a timeout.
    config.policy.evaluation_timeout_ms = 30_000;
    let app = Arc::new(App::new(config, clock, &store, &blobs, Arc::new(CedarEngine::new().unwrap())));
    let router = Arc::new(Router::new(Arc::clone(&app), routes::table()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(Server::new(router, vec![listener]).run(std::future::pending()));
    (app, token, port)
}

fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/venv/bin")
}

#[test]
fn twine_and_uv_publish_and_pip_and_uv_install() {
    let served = Served::start();
    served.twine(&served.wheel("fortress-demo", "1.0")).well();
    served.uv_publish(&served.wheel("fortress-demo", "1.1")).well();
    served.pip("by-pip", "Fortress_Demo==1.0").well();
    served.uv("by-uv", "fortress.demo").well();
    assert_eq!(
        (served.installed("by-pip", "fortress_demo"), served.installed("by-uv", "fortress_demo")),
        ("1.0".to_owned(), "1.1".to_owned())
    );
}

#[test]
fn pip_and_uv_name_the_reason_of_a_hold_pass_it_over_and_install_after_its_release() {
    let served = Served::start();
    served.twine(&served.wheel("demo", "1.0")).well();
    served.twine(&served.wheel("demo", "2.0")).well();

    let said = served.pip("pinned-pip", "demo==2.0").badly();
    assert!(said.contains("423 Client Error") && said.contains(HELD) && said.contains("Use 1.0 or ask a reviewer"), "{said}");
    let said = served.uv("pinned-uv", "demo==2.0").badly();
    assert!(said.contains("Server message: Quarantined, ") && said.contains(HELD), "{said}");

    served.pip("range-pip", "demo>=1.0").well();
    served.uv("range-uv", "demo>=1.0").well();
    assert_eq!((served.installed("range-pip", "demo"), served.installed("range-uv", "demo")), ("1.0".to_owned(), "1.0".to_owned()));
    let said = served.uv("only-held-uv", "demo>1.5").badly();
    assert!(said.contains("yanked") && said.contains(HELD), "{said}");

    served.review(Ballot::Release);
    served.pip("pinned-pip", "demo==2.0").well();
    served.uv("pinned-uv", "demo>1.5").well();
    assert_eq!((served.installed("pinned-pip", "demo"), served.installed("pinned-uv", "demo")), ("2.0".to_owned(), "2.0".to_owned()));
}

#[test]
fn twine_and_uv_show_why_an_upload_is_denied() {
    let served = Served::start();
    let wheel = served.wheel("demo", "6.6.6");
    for said in [served.twine(&wheel).badly(), served.uv_publish(&wheel).badly()] {
        assert!(said.contains("403") && said.contains("the number of the beast (rule beast)"), "{said}");
    }
}

#[test]
fn the_same_file_again_succeeds_and_another_under_its_name_is_refused_in_words() {
    let served = Served::start();
    let wheel = served.wheel("demo", "1.0");
    served.twine(&wheel).well();
    served.twine(&wheel).well();
    served.uv_publish(&wheel).well();
    let mut bytes = std::fs::read(served.wheel("demo", "1.0")).unwrap();
    let comment = bytes.len() - 2;
    // A comment at the end of the archive: still the same wheel, but other bytes.
    bytes.splice(comment.., [1, 0, b'!']);
    std::fs::write(&wheel, bytes).unwrap();
    let said = served.twine(&wheel).badly();
    assert!(said.contains("409 Conflict") && said.contains("File already exists"), "{said}");
}

#[test]
fn without_a_token_clients_are_asked_for_one() {
    let served = Served::start();
    served.twine(&served.wheel("demo", "1.0")).well();
    let target = served.target("none");
    let index = served.url("/pypi/main/simple/");
    let quiet = ["--isolated", "--no-input", "--no-cache-dir", "--disable-pip-version-check"];
    let pip =
        served.client("python", &[&["-m", "pip", "install", "--index-url", &index, "--target", &target], &quiet[..], &["demo"]].concat());
    let said = pip.badly();
    assert!(said.contains("401") || said.contains("No matching distribution"), "{said}");
}
