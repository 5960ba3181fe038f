//! `token`: credentials of the running server, and the way back in when none is left. Invariant: a token's text is shown once, or written
//! to a file of mode 0600 instead; no other command shows one.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::connection::ServerFlags;
use super::directory::DataDirectory;
use super::failure::Failure;
use super::fields::{count, list as items, moment, text};
use super::pages::{Extent, collect};
use super::session::{self, Session};
use super::table::{Table, UNKNOWN, counted, relative};
use super::{complain_of, say};
use crate::access::recover;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::domain::id::TokenId;
use crate::domain::name::Subject;
use crate::error::{Error, Result};
use crate::store::{Store, StoreOptions};

/// What to do with tokens.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Issue a token and show it, this once.
    Create {
        #[command(flatten)]
        new: New,
    },
    /// List tokens: whose, for what, until when, when they were used last.
    List {
        #[command(flatten)]
        extent: Extent,
    },
    /// End a token, or all of a subject.
    Revoke {
        #[command(flatten)]
        which: Which,
    },
    /// Make another administrator's token on a data directory that nobody serves, when every one is lost.
    Recover,
}

/// A token to be.
#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// Who uses it: the name that the audit shows.
    #[arg(long, value_name = "SUBJECT")]
    subject: Subject,
    /// What it is for, such as repo:main:write, or repo:*:admin to run the instance; repeatable. Without any it can do
    /// what its subject is bound to, now and later.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Days that it lives; by default as tokens.default_ttl_days says.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// What it is, for whoever reads the list later.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Write it to this new file, mode 0600, in place of the screen.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Which tokens end.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// The token, as `token list` shows it.
    #[arg(value_name = "ID")]
    id: Option<TokenId>,
    /// All of this subject.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<Subject>,
}

/// Runs one of them.
pub(super) fn run(server: ServerFlags, command: TokenCommand) -> ExitCode {
    match command {
        TokenCommand::Create { new } => session::run(server, async |session| create(&session, new).await),
        TokenCommand::List { extent } => session::run(server, async |session| list(&session, &extent).await),
        TokenCommand::Revoke { which } => session::run(server, async |session| revoke(&session, which).await),
        TokenCommand::Recover => recover_access(&server),
    }
}

async fn create(session: &Session, new: New) -> Result<ExitCode, Failure> {
    let New { subject, scope, days, note, output } = new;
    // The file first: a token that cannot be written down must not come into being.
    let file = output.map(|path| private_file(&path).map(|file| (path, file))).transpose()?;
    let mut body = json!({"subject": subject, "note": note});
    if let Some(members) = body.as_object_mut() {
        members.extend((!scope.is_empty()).then(|| ("scopes".to_owned(), json!(scope))));
        members.extend(days.map(|days| ("ttlSeconds".to_owned(), json!(u64::from(days) * 86_400))));
    }
    let answer = session.client.send_json(Method::POST, &["v1", "auth", "tokens"], &body).await;
    let (answer, secret) = match answer.and_then(|answer| secret_of(&answer.json).map(|secret| (answer, secret))) {
        Ok(issued) => issued,
        Err(failure) => {
            if let Some((path, _)) = file {
                drop(std::fs::remove_file(path));
            }
            return Err(failure);
        }
    };
    let Some((path, mut file)) = file else { return session.tell(&answer, |token| told(session, token, &secret)) };
    let written = writeln!(file, "{secret}").and_then(|()| file.sync_all());
    let id = text(&answer.json, "/tokenId").unwrap_or_default();
    written.map_err(|cause| {
        Failure::Failed(format!("cannot write {}: {cause}; end the token, nobody has it: artifortress token revoke {id}", path.display()))
    })?;
    let place = path.display();
    if session.is_json {
        return session.screen.print_json(&json!({"tokenId": id, "file": path}).to_string()).map(|()| ExitCode::SUCCESS);
    }
    session.screen.print(&format!("token {id} of {subject} is in {place} (mode 0600)")).map(|()| ExitCode::SUCCESS)
}

fn secret_of(issued: &Value) -> Result<String, Failure> {
    text(issued, "/token").ok_or_else(|| Failure::Failed("the server issued a token and did not show it; see `token list`".to_owned()))
}

fn told(session: &Session, token: &Value, secret: &str) -> String {
    let ends = moment(token, "/expiresAt").map_or_else(|| "never ends".to_owned(), |end| format!("ends {end}"));
    let next = session.flags.typed_again();
    format!(
        "{secret}\n\ntoken {} of {} {ends}; it is shown this once\nto end it: artifortress token revoke {}{next}",
        word(token, "/tokenId"),
        word(token, "/subject"),
        word(token, "/tokenId")
    )
}

fn word(json: &Value, pointer: &str) -> String {
    text(json, pointer).unwrap_or_else(|| UNKNOWN.to_owned())
}

fn private_file(path: &Path) -> Result<std::fs::File, Failure> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|cause| Failure::Failed(format!("cannot make {}: {cause}; no token was issued", path.display())))
}

async fn list(session: &Session, extent: &Extent) -> Result<ExitCode, Failure> {
    let found = collect(&session.client, &["v1", "auth", "tokens"], &[], extent).await?;
    let mut table = Table::new(&["TOKEN", "SUBJECT", "SCOPES", "ENDS", "USED", "BY", "NOTE"]);
    for token in &found.items {
        let scopes = items(token, "/scopes").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
        let ends = moment(token, "/expiresAt").map_or_else(|| "never".to_owned(), |end| relative(session.now(), Some(end)));
        let used = moment(token, "/lastUsedAt").map_or_else(|| "never".to_owned(), |at| relative(session.now(), Some(at)));
        table.row(vec![
            text(token, "/tokenId").into(),
            text(token, "/subject").into(),
            if scopes.is_empty() { "its bindings".into() } else { scopes.into() },
            ends.into(),
            used.into(),
            text(token, "/createdBySubject").into(),
            text(token, "/note").unwrap_or_default().into(),
        ]);
    }
    session.list(&found, "tokens", &table)
}

async fn revoke(session: &Session, which: Which) -> Result<ExitCode, Failure> {
    if let Some(subject) = which.subject {
        let answer = session.client.send_empty(Method::DELETE, &["v1", "auth", "tokens"], &[("subject", subject.to_string())]).await?;
        return session.tell(&answer, |body| format!("{} of {subject} ended", counted(count(body, "/revoked").unwrap_or(0), "token")));
    }
    let id = which.id.map_or_else(String::new, |id| id.to_string());
    let answer = session.client.delete(&["v1", "auth", "tokens", &id]).await?;
    session.tell(&answer, |_| format!("token {id} has ended"))
}

/// Makes an administrator's token on a directory that nobody serves: who may write the directory runs the instance anyway.
fn recover_access(server: &ServerFlags) -> ExitCode {
    let config = match server.unserved() {
        Ok(Some(config)) => config,
        Ok(None) => {
            let why = "this wants a data directory with a database that no server serves: stop the server, and give its directory with --data-dir";
            return Failure::Failed(why.to_owned()).report();
        }
        Err(failure) => return failure.report(),
    };
    match recovered(&config) {
        Ok(path) => {
            say(&format!("a new administrator's token is in {} (mode 0600); the other tokens are as they were", path.display()));
            say("start the server, look at `artifortress token list`, and end the tokens that nobody should have");
            ExitCode::SUCCESS
        }
        Err(error) => complain_of(&error),
    }
}

fn recovered(config: &Config) -> Result<PathBuf> {
    // The lock is held to the end: a server that runs would not know the token.
    let _directory = DataDirectory::open(&config.data_dir)?;
    let store = Store::open(&StoreOptions::at(&config.data_dir), Arc::new(SystemClock))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Error::internal("starting the runtime", cause))?;
    runtime.block_on(recover(&store, &config.data_dir))
}
