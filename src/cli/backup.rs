//! `backup` and `restore`: archives of a whole instance. Invariant: a backup is made from the files, beside the server if one runs, and its
//! record goes through whoever has the writer; a restore holds the lock of its directory, so that nobody serves a half of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::connection::{Connection, ServerFlags};
use super::directory::DataDirectory;
use super::failure::Failure;
use super::table::{bytes, counted};
use super::terminal::Screen;
use super::{client::Client, complain, complain_of};
use crate::backup::{self, Made, Making, Progress, Restored};
use crate::clock::{Stopwatch, SystemClock};
use crate::config::{Config, Flags};
use crate::domain::access::Actor;
use crate::domain::event::Event;
use crate::error::Result;
use crate::store;

/// How often a person is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// What to back up, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct BackupArguments {
    /// The archive, such as backup-1.tar.zst. What a process that was ended had packed under this name is gone on with.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Pack only the bytes that this earlier archive, and those it continues, do not have.
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
}

/// What to restore.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArguments {
    /// The archive; of one that continues others, all of them, the oldest first.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print JSON instead of text for people.
    #[arg(long)]
    json: bool,
}

/// Makes an archive and has it remembered.
pub(super) fn back_up(flags: &ServerFlags, arguments: &BackupArguments) -> ExitCode {
    let config = match flags.settings() {
        Ok(config) => config,
        Err(failure) => return failure.report(),
    };
    let order = Making { data_dir: &config.data_dir, archive: &arguments.file, since: arguments.since.as_deref() };
    let mut teller = Teller::new(!flags.json);
    let made = backup::make(&order, &SystemClock, &mut |progress| teller.tell(progress));
    teller.end();
    let made = match made {
        Ok(made) => made,
        Err(error) => return complain_of(&error),
    };
    let recorded = record(flags, &config, &made);
    let shown = arguments.file.display();
    let printed =
        teller.screen.print(&if flags.json { described(&made, &arguments.file, recorded.is_ok()) } else { praise(&made, &arguments.file) });
    match recorded.and(printed) {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Usage(message) | Failure::Failed(message)) => {
            complain(&format!("the archive {shown} is complete, but the audit trail does not say so: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Through the server when one runs: it has the one writer. Else into the file itself, under the lock that a server would take.
fn record(flags: &ServerFlags, config: &Config, made: &Made) -> Result<(), Failure> {
    if flags.unserved()?.is_some() {
        let directory = &config.data_dir;
        let written = DataDirectory::open(directory).and_then(|_alone| {
            let event = Event::BackupCreated(made.made.clone());
            store::record_alone(directory, &SystemClock, Actor::system("command-line"), event)
        });
        return written.map_err(|error| {
            let cause = error.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
            Failure::Failed(format!("{error}{cause}"))
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Failure::Failed(format!("cannot start: {cause}")))?;
    runtime.block_on(async {
        let client = Client::new(Connection::find(flags)?)?;
        let body = serde_json::to_value(&made.made).map_err(|cause| Failure::Failed(cause.to_string()))?;
        client.send(reqwest::Method::POST, &["v1", "admin", "backup"], &body).await.map(|_| ())
    })
}

fn described(made: &Made, file: &Path, is_recorded: bool) -> String {
    let mut value = json!({"file": file, "createdAt": made.created_at, "earlierBlobCount": made.earlier_count,
        "resumed": made.is_resumed, "recorded": is_recorded});
    if let (Some(members), Ok(Value::Object(more))) = (value.as_object_mut(), serde_json::to_value(&made.made)) {
        members.extend(more);
    }
    value.to_string()
}

fn praise(made: &Made, file: &Path) -> String {
    let earlier = match made.earlier_count {
        0 => String::new(),
        count => format!(" beside {} in earlier archives", counted(count, "blob")),
    };
    let resumed = if made.is_resumed { ", gone on with from an earlier try" } else { "" };
    let blobs = counted(made.made.blob_count, "blob");
    format!(
        "{} holds the state of {} with {blobs}{earlier}: {}{resumed}\nmanifest {}",
        file.display(),
        made.created_at,
        bytes(made.made.archive_bytes),
        made.made.manifest_digest
    )
}

/// Restores archives into an empty data directory.
pub(super) fn restore(flags: &Flags, arguments: &RestoreArguments) -> ExitCode {
    let config = match Config::load(flags) {
        Ok(config) => config,
        Err(faults) => return Failure::Failed(faults.to_string()).report(),
    };
    let target = &config.data_dir;
    let mut teller = Teller::new(!arguments.json);
    // Asked before the lock is made, so that nothing is left in somebody's other directory.
    let restored = backup::refuse_unless_empty(target).and_then(|()| {
        let _alone = DataDirectory::open(target)?;
        backup::restore(&arguments.files, target, &mut |progress| teller.tell(progress))
    });
    teller.end();
    match restored {
        Ok(restored) => {
            let text = if arguments.json { restored_json(&restored, target) } else { restored_words(&restored, target) };
            teller.screen.print(&text).map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
        }
        Err(error) => {
            complain_of(&error);
            complain("nothing was restored");
            ExitCode::FAILURE
        }
    }
}

fn restored_json(restored: &Restored, target: &Path) -> String {
    json!({"dataDir": target, "createdAt": restored.created_at, "versions": restored.versions, "auditRows": restored.audit_rows,
        "blobCount": restored.blob_count, "schema": restored.schema})
    .to_string()
}

fn restored_words(restored: &Restored, target: &Path) -> String {
    let shown = target.display();
    let upgraded = match (restored.schema, store::newest_schema()) {
        (old, new) if old < new => format!("its schema {old} was brought to {new}\n"),
        (_, _) => String::new(),
    };
    format!(
        "{shown} has the state of {}: {}, {} and {}, every digest and the audit chain verified\n{upgraded}tokens of that time are valid; \
         the file admin-token is in no backup\nstart it with: artifortress serve --data-dir {shown}",
        restored.created_at,
        counted(restored.versions, "version"),
        counted(restored.audit_rows, "audit row"),
        counted(restored.blob_count, "blob")
    )
}

/// Tells a person how far it is.
struct Teller {
    screen: Screen,
    is_wanted: bool,
    last: Option<Stopwatch>,
}

impl Teller {
    fn new(for_people: bool) -> Teller {
        let screen = Screen::of_process();
        Teller { is_wanted: for_people && screen.is_terminal, screen, last: None }
    }

    fn tell(&mut self, progress: Progress) {
        if !self.is_wanted || self.last.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
            return;
        }
        self.last = Some(Stopwatch::start());
        let text = match progress {
            Progress::Copying(done, all) => format!("copying the database: {done} of {all} pages"),
            Progress::Packing(done, all) => format!("packing: {} of {}", bytes(done), bytes(all)),
            Progress::Unpacking(done, all) => format!("unpacking: {} of {}", bytes(done), bytes(all)),
            Progress::Verifying => "verifying".to_owned(),
        };
        // Whether somebody looks at the progress changes nothing.
        drop(self.screen.draw(&text));
    }

    fn end(&mut self) {
        if self.last.is_some() {
            drop(self.screen.draw(""));
        }
    }
}
