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
mod client;
mod client_config;
mod connection;
mod directory;
mod doctor;
mod evaluations;
mod failure;
mod fields;
mod freeze;
mod health;
mod index;
mod jobs;
mod lines;
mod manual;
mod outbox;
mod pages;
mod places;
mod policy;
mod quarantine;
mod reservations;
mod search;
mod serve;
mod session;
mod status;
mod table;
mod terminal;
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
    },
    /// Work on the audit trail.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
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

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Find any edit, gap or reorder in the trail; the daemon may be running.
    Verify {
        #[command(flatten)]
        flags: Flags,
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
        Some(Command::Search { server, arguments }) => {
            session::run(server.after(&base), async |session| search::run(session, arguments).await)
        }
        Some(Command::Index { server, command }) => session::run(server.after(&base), async |session| index::run(session, command).await),
        Some(Command::Advisories { server, command }) => advisories::run(server.after(&base), command),
        Some(Command::Doctor { server, arguments }) => {
            session::run(server.after(&base), async |session| doctor::run(session, arguments).await)
        }
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
        None => with_config(&base, serve::serve),
        Some(Command::Serve { flags, check: false }) => with_config(&merged(base, flags), serve::serve),
        Some(Command::Serve { flags, check: true }) => with_config(&merged(base, flags), serve::check),
        Some(Command::Verify { flags, blobs: false }) => with_config(&merged(base, flags), verify::database),
        Some(Command::Verify { flags, blobs: true }) => with_config(&merged(base, flags), verify::database_and_blobs),
        Some(Command::Audit { command: AuditCommand::Verify { flags } }) => with_config(&merged(base, flags), verify::audit),
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

fn with_config(flags: &Flags, command: fn(Config) -> ExitCode) -> ExitCode {
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
