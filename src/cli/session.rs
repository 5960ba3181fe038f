//! What a command that asks a server works with: the client, the screen, and how the answer is wanted. Invariant: each command runs on one
//! thread, and Ctrl-C ends it cleanly.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::client::{Answer, Client};
use super::complain;
use super::connection::{Connection, ServerFlags};
use super::failure::Failure;
use super::pages::{self, Found};
use super::table::Table;
use super::terminal::Screen;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::time::Time;

/// One command at work.
#[derive(Debug)]
pub(super) struct Session {
    /// Asks the server.
    pub(super) client: Client,
    /// Where the answer goes.
    pub(super) screen: Screen,
    /// Whether the server's JSON is wanted.
    pub(super) is_json: bool,
    /// The flags that name the server.
    pub(super) flags: ServerFlags,
}

/// Ctrl-C, from the moment it is listened to.
#[derive(Debug)]
pub(super) struct Interrupt(Signal);

impl Interrupt {
    /// Takes Ctrl-C over: it no longer ends the process by itself.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub(super) fn listen() -> Result<Interrupt, Failure> {
        let listened = signal(SignalKind::interrupt());
        listened.map(Interrupt).map_err(|cause| Failure::Failed(format!("cannot listen to Ctrl-C: {cause}")))
    }

    /// What the work comes to; `None` when Ctrl-C came first.
    pub(super) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            _ = self.0.recv() => None,
            done = work => Some(done),
        }
    }
}

/// Runs a command on a server.
pub(super) fn run(flags: ServerFlags, command: impl AsyncFnOnce(Session) -> Result<ExitCode, Failure>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return Failure::Failed(format!("cannot start: {cause}")).report(),
    };
    let done = runtime.block_on(async {
        let client = Client::new(Connection::find(&flags)?)?;
        command(Session { client, screen: Screen::of_process(), is_json: flags.json, flags }).await
    });
    done.unwrap_or_else(|failure| failure.report())
}

impl Session {
    /// Finds the server anew: a daemon that was started again may have another address.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn reconnect(&mut self) -> Result<(), Failure> {
        self.client = Client::new(Connection::find(&self.flags)?)?;
        Ok(())
    }

    /// The time, for ages.
    pub(super) fn now(&self) -> Time {
        SystemClock.now()
    }

    /// Prints a list: the server's JSON, or a table, and what to do when there is more.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn list(&self, found: &Found, what: &str, table: &Table) -> Result<ExitCode, Failure> {
        if self.is_json {
            self.screen.print_json(&found.document)?;
        } else if found.items.is_empty() {
            self.screen.print(&format!("no {what}"))?;
        } else {
            self.screen.print(&table.render(&self.screen))?;
        }
        if found.has_more && !self.is_json {
            complain(&format!("there are more {what} than the {} shown; --all shows all of them", found.items.len()));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Tells what one change led to: the server's JSON, or in words.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn tell(&self, answer: &Answer, words: impl FnOnce(&serde_json::Value) -> String) -> Result<ExitCode, Failure> {
        if self.is_json {
            self.screen.print_json(&answer.text)?;
        } else {
            self.screen.print(&words(&answer.json))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Does one thing to each of several, tells what became of it, and goes on after a refusal; 1 when there was any.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) async fn each(&self, paths: &[[&str; 5]], tell: impl Fn(&serde_json::Value) -> String) -> Result<ExitCode, Failure> {
        let (mut answers, mut code) = (Vec::new(), ExitCode::SUCCESS);
        for path in paths {
            match self.client.post(path).await {
                Ok(answer) if self.is_json => answers.push(answer),
                Ok(answer) => self.screen.print(&tell(&answer.json))?,
                Err(refused @ Failure::Failed(_)) => code = refused.report(),
                Err(failure) => return Err(failure),
            }
        }
        if self.is_json {
            self.screen.print_json(&pages::together(&answers))?;
        }
        Ok(code)
    }
}
