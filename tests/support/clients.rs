//! A server for real clients: the real binary on a socket, with repos, a policy, tokens and a reviewer. Invariant: what a test sets up
//! it reaches through the API, each step asserts that it succeeded, and every token that was issued is known to the snapshots, so
//! that none of them can get into one.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::client_run::Client;
use super::{Daemon, items, text};

/// Versions that begin with 2 are held, 6.6.6 is denied.
pub const POLICY_OF_CLIENTS: &str = r#"
@id("cooldown") @decision("quarantine") @message("younger than 7 days")
forbid (principal, action, resource) when { context.package.version like "2*" };
@id("beast") @message("the number of the beast")
forbid (principal, action, resource) when { context.package.version == "6.6.6" };
"#;

/// A token and what revokes it.
#[derive(Debug, Clone)]
pub struct Token {
    pub secret: String,
    pub id: String,
}

/// Who may read a repo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Who has a token for it.
    Signed,
    /// Anybody.
    Anybody,
}

/// A running server, and a directory for clients to work in. It ends with the test, and whatever a client has left running with it.
pub struct Served {
    daemon: Daemon,
    work: tempfile::TempDir,
    /// The administrator's token.
    pub admin: String,
    secrets: Mutex<Vec<String>>,
    differences: Mutex<Vec<String>>,
}

impl Served {
    /// A server whose repo `main` asks for a token, with [`POLICY_OF_CLIENTS`] in force there.
    pub fn start() -> Served {
        let work = tempfile::tempdir().unwrap();
        // A loaded machine must not turn a decision into a timeout.
        let daemon = Daemon::start(work.path(), &[("ARTIFORTRESS_POLICY__EVALUATION_TIMEOUT_MS", "30000")]);
        let admin = daemon.admin();
        let secrets = Mutex::new(vec![admin.clone()]);
        let served = Served { daemon, work, admin, secrets, differences: Mutex::default() };
        served.api("PATCH", "/v1/repos/main", &json!({"anonymousRead": false}));
        served.set_policy("main", POLICY_OF_CLIENTS);
        served
    }

    /// Creates one more repo, with the same policy in force.
    pub fn create_repo(&self, key: &str, readers: Readers) {
        self.api("POST", "/v1/repos", &json!({"repoKey": key, "anonymousRead": readers == Readers::Anybody}));
        self.set_policy(key, POLICY_OF_CLIENTS);
    }

    /// Puts another policy in force.
    pub fn set_policy(&self, repo: &str, policy: &str) {
        let answer = self.daemon.call(&self.admin, "PUT", &format!("/v1/repos/{repo}/policy"), policy.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
    }

    /// A token with these scopes, such as `repo:main:write`.
    pub fn token(&self, scopes: &[&str]) -> Token {
        let issued = self.api("POST", "/v1/auth/tokens", &json!({"subject": "ann", "scopes": scopes}));
        let token = Token { secret: text(&issued, "token"), id: text(&issued, "tokenId") };
        self.secrets.lock().unwrap().push(token.secret.clone());
        token
    }

    /// A token that may publish to this repo and read it, and nothing else.
    pub fn writer(&self, repo: &str) -> Token {
        self.token(&[&format!("repo:{repo}:write"), &format!("repo:{repo}:read")])
    }

    /// A token that may read this repo, and nothing else.
    pub fn reader(&self, repo: &str) -> Token {
        self.token(&[&format!("repo:{repo}:read")])
    }

    /// What looks like a token and is none.
    pub fn wrong_token(&self) -> String {
        let real = self.reader("main").secret;
        let (begin, last) = real.split_at(real.len() - 1);
        let wrong = format!("{begin}{}", if last == "0" { "1" } else { "0" });
        self.secrets.lock().unwrap().push(wrong.clone());
        wrong
    }

    /// A token that may write and read this repo, and was revoked.
    pub fn revoked_token(&self, repo: &str) -> String {
        let token = self.writer(repo);
        self.revoke(&token);
        token.secret
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &Token) {
        self.api("DELETE", &format!("/v1/auth/tokens/{}", token.id), &Value::Null);
    }

    /// Decides everything that is held in a repo: `release` or `reject`.
    pub fn review(&self, repo: &str, ballot: &str) {
        let held = items(&self.api("GET", &format!("/v1/repos/{repo}/quarantine?status=quarantined&limit=100"), &Value::Null));
        assert!(!held.is_empty(), "nothing is held in {repo}");
        for item in held {
            let path = format!("/v1/repos/{repo}/quarantine/{}/{ballot}", text(&item, "quarantineId"));
            self.api("POST", &path, &json!({"comment": "looked at"}));
        }
    }

    /// A call of the API by the administrator, which must succeed.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = self.daemon.call(&self.admin, method, path, &bytes).unwrap();
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.bytes));
        answer.json()
    }

    /// The server itself, for calls that may fail.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// An address at this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon.address)
    }

    /// The same with a name and a token in it.
    pub fn url_of(&self, user: &str, secret: &str, path: &str) -> String {
        format!("http://{user}:{secret}@{}{path}", self.daemon.address)
    }

    /// The port that it listens on.
    pub fn port(&self) -> &str {
        self.daemon.address.rsplit(':').next().unwrap()
    }

    /// A directory of this name for a client, made if it is not there.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.work.path().join("work").join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// A client with a home and a work directory of its own, below [`Served::directory`] of this name. It finds programs at `path` alone:
    /// directories with colons between them.
    pub fn client(&self, name: &str, path: &str) -> Client {
        Client::new(&self.directory(name), path)
    }

    /// Remembers a snapshot that differs; the test fails when it ends.
    pub fn differs(&self, how: String) {
        self.differences.lock().unwrap().push(how);
    }

    /// What changes between runs, and the word that stands for it in a snapshot.
    pub fn changing(&self) -> Vec<(String, &'static str)> {
        let secrets = self.secrets.lock().unwrap().iter().map(|secret| (secret.clone(), "TOKEN")).collect::<Vec<_>>();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let places = [(self.work.path(), "WORK"), (&root.join(".tools"), "TOOLS"), (root, "PROJECT")];
        let places = places.map(|(place, word)| (place.to_str().unwrap().to_owned(), word));
        let addresses = [(self.daemon.address.clone(), "127.0.0.1:PORT"), (format!("localhost:{}", self.port()), "localhost:PORT")];
        secrets.into_iter().chain(places).chain(addresses).collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let differences = self.differences.lock().unwrap();
        if !std::thread::panicking() {
            assert!(differences.is_empty(), "{}", differences.join("\n"));
        }
    }
}

#[test]
fn the_server_for_clients_has_tokens_of_all_sorts() {
    let served = Served::start();
    served.create_repo("open", Readers::Anybody);
    served.create_repo("closed", Readers::Signed);
    let status = |token: &str, repo: &str| served.daemon().call(token, "GET", &format!("/pypi/{repo}/simple/"), b"").unwrap().status;
    let (reader, writer) = (served.reader("main"), served.writer("main"));
    assert_eq!([status(&reader.secret, "main"), status(&writer.secret, "main"), status(&reader.secret, "open")], [200, 200, 200]);
    assert_eq!([status("", "open"), status("", "closed"), status(&reader.secret, "closed")], [200, 401, 404]);
    assert_eq!([status("", "main"), status(&served.wrong_token(), "main"), status(&served.revoked_token("main"), "main")], [401, 401, 401]);
    served.revoke(&reader);
    assert_eq!(status(&reader.secret, "main"), 401);
    let publish = served.daemon().call(&served.reader("main").secret, "POST", "/pypi/main/legacy/", b"-").unwrap().status;
    assert_eq!(publish, 403);
}
