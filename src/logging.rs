//! The log of the process. Invariant: it is set up once, from the settings; without files it goes to the standard error stream, in
//! colour only on a terminal.

use std::io::IsTerminal;
use std::path::Path;

use tracing_appender::non_blocking::{ErrorCounter, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat, environment};
use crate::error::{Error, Result};

/// What a log into files needs as long as the process runs: dropping it writes what still waits for the files.
pub struct LogFiles {
    /// Counts the lines that the files could not take in time.
    pub lost: ErrorCounter,
    _guard: WorkerGuard,
}

/// Starts logging. Keep what it returns until the process ends.
///
/// # Errors
/// Internal, when the filter is bad, the files cannot be opened or logging has been started before.
pub fn start(log: &Log) -> Result<Option<LogFiles>> {
    let filter = EnvFilter::try_new(&log.level).map_err(|cause| Error::internal("reading log.level", cause))?;
    let Some(directory) = &log.directory else {
        let is_coloured = std::io::stderr().is_terminal() && environment("NO_COLOR").is_none();
        install(log.format, filter, Colour::from_terminal(is_coloured), std::io::stderr)?;
        return Ok(None);
    };
    let (writer, guard) = tracing_appender::non_blocking(daily_files(directory, log.keep_files)?);
    let lost = writer.error_counter();
    install(log.format, filter, Colour::Never, writer)?;
    Ok(Some(LogFiles { lost, _guard: guard }))
}

/// Whether lines carry colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Always,
    Never,
}

impl Colour {
    fn from_terminal(is_terminal: bool) -> Colour {
        if is_terminal { Colour::Always } else { Colour::Never }
    }
}

fn install<W>(format: LogFormat, filter: EnvFilter, colour: Colour, writer: W) -> Result<()>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour == Colour::Always).with_writer(writer);
    let installed = match format {
        LogFormat::Human => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    installed.map_err(|cause| Error::internal("starting the log", cause))
}

/// One file a day, `artifortress.2026-01-31.log`, of which the newest `keep_files` are kept.
fn daily_files(directory: &Path, keep_files: usize) -> Result<RollingFileAppender> {
    RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("artifortress")
        .filename_suffix("log")
        .max_log_files(keep_files)
        .build(directory)
        .map_err(|cause| Error::internal(format!("opening log files in {}", directory.display()), cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_to_a_file_of_the_day_as_json_and_are_there_when_the_guard_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, guard) = tracing_appender::non_blocking(daily_files(directory.path(), 14).unwrap());
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(writer).finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(count = 3, "counted"));
        drop(guard);
        let file = std::fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap();
        let name = file.file_name().into_string().unwrap();
        assert!(name.starts_with("artifortress.") && name.ends_with(".log"), "{name}");
        let line: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        assert_eq!((&line["message"], &line["count"]), (&"counted".into(), &3.into()));
    }

    #[test]
    fn a_log_directory_that_cannot_be_made_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(daily_files(&file.join("logs"), 14).is_err());
    }
}
