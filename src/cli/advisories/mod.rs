//! `advisories`: importing them and looking at them, by the API of the server that serves the data directory, or on the directory itself
//! when none does. Invariant: files are read and checked on this side, record by record; a fault in any of them imports nothing.

mod sources;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::connection::ServerFlags;
use super::directory::DataDirectory;
use super::failure::Failure;
use super::fields::{count, moment, text};
use super::session::{self, Session};
use super::table::{Table, UNKNOWN, counted, relative};
use super::terminal::Screen;
use super::{complain, complain_of};
use crate::api::advisories::{AdvisoryBody, ImportBody, SnapshotBody};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::access::Actor;
use crate::error::{Code, Error};
use crate::hop;
use crate::registry::Advisories;
use crate::store::{Store, StoreOptions};
use sources::{Stop, read_all};

/// Bytes that are handed on at once.
const PIECE_BYTES: usize = 128 << 10;
/// Pieces that wait to be taken.
const PIECES_WAITING: usize = 4;
/// How often a person is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// What to do with advisories.
#[derive(Debug, clap::Subcommand)]
pub(super) enum AdvisoriesCommand {
    /// Import records of the OSV format, all of them or none: JSON, one record a line or one a file, gzip, zip and tar of such,
    /// and directories of these. Importing the same again changes nothing.
    Import {
        /// Files and directories.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Show which advisories are in force, and since when.
    Status,
    /// Show one advisory.
    Show {
        /// Its id, such as GHSA-35jh-r3h4-6jhm.
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Runs one of them.
pub(super) fn run(flags: ServerFlags, command: AdvisoriesCommand) -> ExitCode {
    match flags.unserved() {
        Ok(Some(config)) => without_server(&config, &flags, command),
        Ok(None) => session::run(flags, async |session| by_server(session, command).await),
        Err(failure) => failure.report(),
    }
}

async fn by_server(mut session: Session, command: AdvisoriesCommand) -> Result<ExitCode, Failure> {
    const PATH: [&str; 3] = ["v1", "admin", "advisories"];
    let answer = match &command {
        AdvisoriesCommand::Status => session.client.get(&PATH, &[]).await?,
        AdvisoriesCommand::Show { id } => session.client.get(&[PATH[0], PATH[1], PATH[2], id], &[]).await?,
        AdvisoriesCommand::Import { files } => {
            let (pieces, reading) = Pieces::of(files.clone());
            let body = reqwest::Body::wrap(pieces);
            let path = [PATH[0], PATH[1], PATH[2], "imports"];
            let sending = session.client.send_long(&path, body);
            reading.beside(sending, &mut session.screen, session.is_json).await??
        }
    };
    show(&session.screen, session.is_json, &command, &answer.json, answer.text.trim())
}

/// Opens the directory as a server would, so that none can start meanwhile.
fn without_server(config: &Config, flags: &ServerFlags, command: AdvisoriesCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return Failure::Failed(format!("cannot start: {cause}")).report(),
    };
    let done = runtime.block_on(async {
        let _alone = DataDirectory::open(&config.data_dir).map_err(Ended::Refused)?;
        let store = Store::open(&StoreOptions::at(&config.data_dir), Arc::new(SystemClock)).map_err(Ended::Refused)?;
        let advisories = Advisories::new(Arc::new(store));
        let mut screen = Screen::of_process();
        let json = match &command {
            AdvisoriesCommand::Status => json(&SnapshotBody::from(advisories.find_snapshot().await.map_err(Ended::Refused)?)),
            AdvisoriesCommand::Show { id } => {
                let found = advisories.advisory(id.clone()).await.and_then(AdvisoryBody::new);
                json(&found.map_err(Ended::Refused)?)
            }
            AdvisoriesCommand::Import { files } => {
                let (mut pieces, reading) = Pieces::of(files.clone());
                let source = futures_util::stream::poll_fn(move |context| pieces.0.poll_recv(context));
                let actor = Actor::system("command-line");
                let source = futures_util::StreamExt::map(source, |piece| piece.map_err(|Broken| Error::new(Code::BadRequest, BROKEN)));
                let importing = advisories.import(&actor, source);
                json(&ImportBody::from(
                    reading.beside(importing, &mut screen, flags.json).await.map_err(Ended::Failed)?.map_err(Ended::Refused)?,
                ))
            }
        };
        let (value, line) = json.map_err(Ended::Failed)?;
        show(&screen, flags.json, &command, &value, &line).map_err(Ended::Failed)
    });
    match done {
        Ok(code) => code,
        Err(Ended::Failed(failure)) => failure.report(),
        Err(Ended::Refused(error)) => complain_of(&error),
    }
}

/// Why a command on the directory itself ended early.
enum Ended {
    Failed(Failure),
    Refused(Error),
}

fn json(body: &impl Serialize) -> Result<(Value, String), Failure> {
    let line = serde_json::to_string(body);
    let read = line.and_then(|line| Ok((serde_json::from_str(&line)?, line)));
    read.map_err(|cause| Failure::Failed(format!("cannot write the answer: {cause}")))
}

const BROKEN: &str = "the files could not be read to their end";

/// The files could not be read to their end; whoever reads them knows why.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(BROKEN)
    }
}

impl std::error::Error for Broken {}

/// Records as they are sent, one a line, in pieces.
struct Pieces(mpsc::Receiver<Result<Bytes, Broken>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Broken>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(http_body::Frame::data)))
    }
}

/// The files being read on another thread.
struct Reading {
    ended: std::pin::Pin<Box<dyn Future<Output = Result<Option<u64>, Failure>>>>,
    read: Arc<AtomicU64>,
}

impl Pieces {
    fn of(files: Vec<PathBuf>) -> (Pieces, Reading) {
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let read = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&read);
        let ended = hop::run(move || Ok(send_all(&files, &sender, &counter)));
        let ended = async { ended.await.unwrap_or_else(|error| Err(Failure::Failed(error.to_string()))) };
        (Pieces(receiver), Reading { ended: Box::pin(ended), read })
    }
}

/// Sends every record; how many files were passed over, or `None` when nobody wanted the rest.
fn send_all(files: &[PathBuf], sender: &mpsc::Sender<Result<Bytes, Broken>>, read: &AtomicU64) -> Result<Option<u64>, Failure> {
    let mut piece = BytesMut::new();
    let send = |piece: &mut BytesMut| sender.blocking_send(Ok(piece.split().freeze())).map_err(|_| Stop::Unwanted);
    let done = read_all(files, &mut |record| {
        read.fetch_add(1, Ordering::Relaxed);
        piece.extend_from_slice(record.canonical.as_bytes());
        piece.extend_from_slice(b"\n");
        if piece.len() >= PIECE_BYTES { send(&mut piece) } else { Ok(()) }
    });
    match done.and_then(|passed_over| send(&mut piece).map(|()| passed_over)) {
        Ok(passed_over) => Ok(Some(passed_over)),
        Err(Stop::Unwanted) => Ok(None),
        Err(Stop::Fault(message)) => {
            drop(sender.blocking_send(Err(Broken)));
            Err(Failure::Failed(format!("{message}; nothing was imported")))
        }
    }
}

impl Reading {
    /// Waits for the import that takes what is read. A fault of a file is told, and not that the import broke off for it.
    async fn beside<T>(mut self, importing: impl Future<Output = T>, screen: &mut Screen, is_json: bool) -> Result<T, Failure> {
        let watched = screen.is_terminal && !is_json;
        let mut importing = std::pin::pin!(importing);
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        let mut ended = None;
        let done = loop {
            tokio::select! {
                done = &mut importing => break done,
                read = &mut self.ended, if ended.is_none() => ended = Some(read),
                _ = ticks.tick(), if watched => screen.draw(&format!("{} read", counted(self.read.load(Ordering::Relaxed), "record")))?,
            }
        };
        if watched {
            screen.draw("")?;
        }
        let read = match ended {
            Some(read) => read?,
            None => self.ended.await?,
        };
        if let Some(passed_over) = read.filter(|count| *count > 0) {
            complain(&format!("{} passed over: no JSON objects in them", counted(passed_over, "file")));
        }
        Ok(done)
    }
}

fn show(screen: &Screen, is_json: bool, command: &AdvisoriesCommand, answer: &Value, line: &str) -> Result<ExitCode, Failure> {
    if is_json {
        screen.print_json(line)?;
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        AdvisoriesCommand::Import { .. } => screen.print(&imported(answer))?,
        AdvisoriesCommand::Status => screen.print(&status(screen, answer))?,
        AdvisoriesCommand::Show { .. } => {
            let pretty = serde_json::to_string_pretty(answer).unwrap_or_else(|_| line.to_owned());
            screen.print_json(&pretty)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn imported(answer: &Value) -> String {
    let figure = |pointer: &str| count(answer, pointer).unwrap_or_default();
    let mut said = format!(
        "{} read: {} changed, {} known already, {} older than what is known",
        counted(figure("/read"), "record"),
        figure("/changed"),
        figure("/unchanged"),
        figure("/older")
    );
    if figure("/uncertain") > 0 {
        let ids: Vec<String> = super::fields::list(answer, "/uncertainIds").iter().filter_map(|id| text(id, "")).collect();
        said.push_str(&format!(
            "\n{} with a bound that cannot be read, so that versions beyond it match: {}",
            counted(figure("/uncertain"), "record"),
            ids.join(", ")
        ));
    }
    let digest = text(answer, "/snapshot/digest").unwrap_or_else(|| UNKNOWN.to_owned());
    said.push_str(&format!("\n{} in force: {digest}", counted(figure("/snapshot/recordCount"), "advisory record")));
    said
}

fn status(screen: &Screen, answer: &Value) -> String {
    let Some(digest) = text(answer, "/digest") else {
        return "no advisories were imported yet; import them with: artifortress advisories import FILE".to_owned();
    };
    let now = SystemClock.now();
    let mut table = Table::new(&[]);
    let by = text(answer, "/importedBySubject").unwrap_or_else(|| UNKNOWN.to_owned());
    table.row(vec!["snapshot".into(), digest.into()]);
    table.row(vec!["advisories".into(), count(answer, "/recordCount").unwrap_or_default().to_string().into()]);
    table.row(vec!["imported".into(), format!("{} by {by}", relative(now, moment(answer, "/importedAt"))).into()]);
    table.row(vec!["newest change".into(), relative(now, moment(answer, "/newestModifiedAt")).into()]);
    let ecosystems = answer.pointer("/ecosystems").and_then(Value::as_object);
    for (name, records) in ecosystems.into_iter().flatten() {
        table.row(vec![super::fields::words(name).into(), records.as_u64().unwrap_or_default().to_string().into()]);
    }
    table.render(screen)
}
