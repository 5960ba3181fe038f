//! The command line. Invariant: exit codes are 0 done, 1 refused or failed, 2 usage; what a person reads goes to standard
//! output, what went wrong to standard error.
//!
//! How to add a command
//! 1. a variant of `Command` with its arguments and help;
//! 2. a file with its function, which returns an `ExitCode`;
//! 3. its line in `run`, in the README, and a test that types it.
//!
//! One that asks a running server takes `ServerFlags` and gets a `Session`; it reads answers through `fields` alone.

mod advisories;
mod audit;
mod backup;
mod check;
mod client;
mod client_config;
mod connection;
mod directory;
mod doctor;
mod evaluations;
mod failure;
mod fields;
mod freeze;
mod gc;
mod health;
mod index;
mod jobs;
mod lines;
mod listeners;
mod manual;
mod outbox;
mod pages;
mod places;
mod policy;
mod quarantine;
mod reload;
mod repos;
mod reservations;
mod retention;
mod search;
mod secret_files;
mod serve;
mod service;
mod session;
mod settings;
mod status;
mod table;
mod terminal;
mod tokens;
mod verify;
mod waivers;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use connection::ServerFlags;

use crate::config::{Config, Flags};
use crate::error::Code;

/// A package registry with a policy gate in it.
#[derive(Debug, Parser)]
#[command(name = "artifortress", version, about, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the registry (what happens without a command, too).
    Serve {
        #[command(flatten)]
        flags: Flags,
        /// Read the settings, report every fault, and exit.
        #[arg(long)]
        check: bool,
    },
    /// Show how the running server is: what is wrong first, then what waits.
    Status {
        #[command(flatten)]
        server: ServerFlags,
        #[command(flatten)]
        arguments: status::StatusArguments,
    },
    /// List, retry and cancel background jobs of the running server.
    Jobs {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: jobs::JobsCommand,
    },
    /// List and retry events that the running server has to act on.
    Outbox {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: outbox::OutboxCommand,
    },
    /// Write, try, store and look at policies.
    Policy {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
    /// List, show, explain and verify what the policy decided.
    Evaluations {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: evaluations::EvaluationsCommand,
    },
    /// List what is held, show why, release or reject it.
    Quarantine {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: quarantine::QuarantineCommand,
    },
    /// Make repos, change their settings, and say who may do what in them.
    Repo {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: repos::RepoCommand,
    },
    /// Issue, list and end tokens.
    Token {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: tokens::TokenCommand,
    },
    /// Find packages on the running server.
    Search {
        #[command(flatten)]
        server: ServerFlags,
        #[command(flatten)]
        arguments: search::SearchArguments,
    },
    /// Reserve names of a repo for some publishers, against packages of others under your names.
    Reservations {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: reservations::ReservationsCommand,
    },
    /// Hold everything that was first seen after some moment, list what is held so, and lift it.
    Freeze {
        #[command(flatten)]
        server: ServerFlags,
        #[command(flatten)]
        arguments: freeze::FreezeArguments,
    },
    /// List, make, approve and revoke exceptions from rules.
    Waivers {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: waivers::WaiversCommand,
    },
    /// Show what can be removed: tombstones past their time, bytes that nothing refers to. With --apply, remove it.
    Gc {
        #[command(flatten)]
        server: ServerFlags,
        #[command(flatten)]
        arguments: gc::GcArguments,
    },
    /// Rule which versions a repo keeps, see what that takes back, and do it.
    Retention {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: retention::RetentionCommand,
    },
    /// Bound how much a repo or the whole instance may hold.
    Quota {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: retention::QuotaCommand,
    },
    /// Run the search index of the running server.
    Index {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: index::IndexCommand,
    },
    /// Import advisories in the OSV format, and look at them; by the server of the data directory, or without one.
    Advisories {
        #[command(flatten)]
        server: ServerFlags,
        #[command(subcommand)]
        command: advisories::AdvisoriesCommand,
    },
    /// Look for what makes trouble later, and prove through the server's address that the gate stands.
    Doctor {
        #[command(flatten)]
        server: ServerFlags,
        #[command(flatten)]
        arguments: doctor::DoctorArguments,
    },
    /// Print or write the settings with which a package client takes everything from the server.
    ClientConfig {
        #[command(flatten)]
        server: ServerFlags,
        #[command(flatten)]
        arguments: client_config::ClientConfigArguments,
    },
    /// Check the database, the audit chain and, with --blobs, every byte; the daemon may be running.
    Verify {
        #[command(flatten)]
        flags: Flags,
        /// Hash every blob again, too.
        #[arg(long)]
        blobs: bool,
        /// Remove blobs that nothing names, and a damaged search index, which the next start makes anew; no daemon may be running.
        #[arg(long)]
        repair: bool,
    },
    /// Make an archive of the whole instance: its database at one moment and the bytes it names; the daemon may be running.
    Backup {
        #[command(flatten)]
        server: ServerFlags,
        #[command(flatten)]
        arguments: backup::BackupArguments,
    },
    /// Restore archives into an empty data directory, and verify all of it.
    Restore {
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        arguments: backup::RestoreArguments,
    },
    /// Work on the audit trail.
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// Print the settings, as they count or with their defaults; needs no server.
    Config {
        #[command(subcommand)]
        command: settings::ConfigCommand,
    },
    /// Write the manual pages, one for each command, into a directory.
    Man {
        #[command(flatten)]
        arguments: manual::ManArguments,
    },
    /// Print the completions that a shell reads.
    Completions {
        #[command(flatten)]
        arguments: manual::CompletionsArguments,
    },
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            // Help and version come this way too, with code 0.
            drop(message.print());
            return ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(2));
        }
    };
    let base = arguments.flags;
    match arguments.command {
        Some(Command::Status { server, arguments }) => {
            session::run(server.after(&base), async |session| status::run(session, arguments).await)
        }
        Some(Command::Jobs { server, command }) => session::run(server.after(&base), async |session| jobs::run(session, command).await),
        Some(Command::Outbox { server, command }) => session::run(server.after(&base), async |session| outbox::run(session, command).await),
        Some(Command::Policy { server, command }) => policy::run(server.after(&base), command),
        Some(Command::Evaluations { server, command }) => evaluations::run(server.after(&base), command),
        Some(Command::Quarantine { server, command }) => {
            session::run(server.after(&base), async |session| quarantine::run(session, command).await)
        }
        Some(Command::Repo { server, command }) => session::run(server.after(&base), async |session| repos::run(session, command).await),
        Some(Command::Token { server, command }) => tokens::run(server.after(&base), command),
        Some(Command::Search { server, arguments }) => {
            session::run(server.after(&base), async |session| search::run(session, arguments).await)
        }
        Some(Command::Index { server, command }) => session::run(server.after(&base), async |session| index::run(session, command).await),
        Some(Command::Advisories { server, command }) => advisories::run(server.after(&base), command),
        Some(Command::Doctor { server, arguments }) => doctor::run(server.after(&base), arguments),
        Some(Command::ClientConfig { server, arguments }) => client_config::run(&server.after(&base), arguments),
        Some(Command::Reservations { server, command }) => {
            session::run(server.after(&base), async |session| reservations::run(session, command).await)
        }
        Some(Command::Freeze { server, arguments }) => {
            session::run(server.after(&base), async |session| freeze::run(session, arguments).await)
        }
        Some(Command::Waivers { server, command }) => {
            session::run(server.after(&base), async |session| waivers::run(session, command).await)
        }
        Some(Command::Gc { server, arguments }) => session::run(server.after(&base), async |session| gc::run(session, arguments).await),
        Some(Command::Retention { server, command }) => {
            session::run(server.after(&base), async |session| retention::run(session, command).await)
        }
        Some(Command::Quota { server, command }) => {
            session::run(server.after(&base), async |session| retention::quota(session, command).await)
        }
        Some(Command::Backup { server, arguments }) => backup::back_up(&server.after(&base), &arguments),
        Some(Command::Restore { flags, arguments }) => backup::restore(&merged(base, flags), &arguments),
        None => with_config(&base, |config| serve::serve(config, base.clone())),
        Some(Command::Serve { flags, check: false }) => {
            let flags = merged(base, flags);
            with_config(&flags, |config| serve::serve(config, flags.clone()))
        }
        Some(Command::Serve { flags, check: true }) => with_config(&merged(base, flags), check::check),
        Some(Command::Verify { flags, blobs: false, repair: false }) => with_config(&merged(base, flags), verify::database),
        Some(Command::Verify { flags, blobs: true, repair: false }) => with_config(&merged(base, flags), verify::database_and_blobs),
        Some(Command::Verify { flags, blobs: false, repair: true }) => with_config(&merged(base, flags), verify::repair),
        Some(Command::Verify { flags, blobs: true, repair: true }) => with_config(&merged(base, flags), verify::repair_with_blobs),
        Some(Command::Audit { command }) => audit::run(base, command),
        Some(Command::Config { command }) => settings::run(base, command),
        Some(Command::Man { arguments }) => manual::write_pages(Arguments::command(), &arguments),
        Some(Command::Completions { arguments }) => manual::print_completions(Arguments::command(), &arguments),
    }
}

/// Flags may stand before or after the command; those after it win.
fn merged(base: Flags, flags: Flags) -> Flags {
    Flags {
        config: flags.config.or(base.config),
        data_dir: flags.data_dir.or(base.data_dir),
        listen: if flags.listen.is_empty() { base.listen } else { flags.listen },
    }
}

fn with_config(flags: &Flags, command: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match Config::load(flags) {
        Ok(config) => command(config),
        Err(faults) => {
            complain(&faults.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Says something to the person at the terminal.
#[allow(clippy::print_stdout, reason = "the command line speaks here")]
fn say(text: &str) {
    println!("{text}");
}

/// Says what went wrong.
#[allow(clippy::print_stderr, reason = "the command line complains here")]
fn complain(text: &str) {
    eprintln!("artifortress: {text}");
}

/// Says what went wrong. What a client of the server must not see, the person who starts the program must.
fn complain_of(error: &crate::error::Error) -> ExitCode {
    match error.cause() {
        Some(cause) if error.code() == Code::Internal => complain(&cause.to_string()),
        Some(cause) => complain(&format!("{error} ({cause})")),
        None => complain(&error.to_string()),
    }
    ExitCode::FAILURE
}
