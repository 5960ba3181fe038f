//! `audit`: the trail checked on the data directory, and exported by the running server. Invariant: an export that breaks off is a failure,
//! and leaves no file that could be taken for the whole.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use reqwest::{Method, Response};

use super::connection::ServerFlags;
use super::failure::Failure;
use super::session::{self, Session};
use super::{merged, verify, with_config};
use crate::config::Flags;

/// How long an export may take: a day.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// What to do with the trail.
#[derive(Debug, clap::Subcommand)]
pub(super) enum AuditCommand {
    /// Find any edit, gap or reorder in the trail; the daemon may be running.
    Verify {
        #[command(flatten)]
        flags: Flags,
    },
    /// Write the whole trail of the running server, oldest first, a JSON object a line.
    Export {
        #[command(flatten)]
        server: ServerFlags,
        /// Write it to this new file, mode 0600, in place of the standard output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Runs one of them.
pub(super) fn run(base: Flags, command: AuditCommand) -> ExitCode {
    match command {
        AuditCommand::Verify { flags } => with_config(&merged(base, flags), verify::audit),
        AuditCommand::Export { server, output } => {
            session::run(server.after(&base), async |session| export(&session, output.as_deref()).await)
        }
    }
}

async fn export(session: &Session, output: Option<&Path>) -> Result<ExitCode, Failure> {
    let request = session.client.request(Method::GET, &["v1", "audit", "export"], &[]).timeout(EXPORT_TIMEOUT);
    let response = session.client.begin(request).await?;
    let Some(path) = output else {
        copy(response, &mut std::io::stdout().lock(), "the standard output").await?;
        return Ok(ExitCode::SUCCESS);
    };
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|cause| Failure::Failed(format!("cannot make {}: {cause}", path.display())))?;
    match copy(response, &mut file, &path.display().to_string()).await {
        Ok(rows) => session.screen.print(&format!("{rows} audit rows are in {}", path.display())).map(|()| ExitCode::SUCCESS),
        Err(failure) => {
            drop(std::fs::remove_file(path));
            Err(failure)
        }
    }
}

/// Writes the answer as it comes; gives the number of its lines.
async fn copy(mut response: Response, to: &mut impl Write, place: &str) -> Result<u64, Failure> {
    let mut rows = 0;
    let broken = |cause| Failure::Failed(format!("the export broke off: {cause}; try again"));
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        rows += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        to.write_all(&piece).map_err(|cause| {
            if cause.kind() == std::io::ErrorKind::BrokenPipe {
                return Failure::OutputClosed;
            }
            Failure::Failed(format!("cannot write to {place}: {cause}"))
        })?;
    }
    to.flush().map_err(|cause| Failure::Failed(format!("cannot write to {place}: {cause}")))?;
    Ok(rows)
}
