//! The log of the process. Invariant: it is set up once, from the settings; without files it goes to the standard error stream, in
//! colour only on a terminal, or with its fields to the journal where that stream leads there. The filter alone may change later.

use std::io::IsTerminal;
use std::path::Path;

use nix::sys::stat::fstat;
use tracing_appender::non_blocking::{ErrorCounter, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::config::{Log, LogFormat, environment};
use crate::error::{Error, Result};

/// What a log into files needs as long as the process runs: dropping it writes what still waits for the files.
pub struct LogFiles {
    /// Counts the lines that the files could not take in time.
    pub lost: ErrorCounter,
    _guard: WorkerGuard,
}

/// A log that has been started. Keep it until the process ends.
pub struct Started {
    /// The files, if it goes to files.
    pub files: Option<LogFiles>,
    filter: Filter,
}

/// The filter in force, which may be changed.
#[derive(Clone)]
pub struct Filter(reload::Handle<EnvFilter, Registry>);

impl Started {
    /// What changes the filter while the process runs.
    #[must_use]
    pub fn filter(&self) -> Filter {
        self.filter.clone()
    }
}

impl Filter {
    /// Filters by `level`, such as `info,artifortress::store=debug`, from now on.
    ///
    /// # Errors
    /// Internal, when it is no filter.
    pub fn set(&self, level: &str) -> Result<()> {
        self.0.reload(read_filter(level)?).map_err(|cause| Error::internal("changing the filter of the log", cause))
    }
}

#[cfg(test)]
impl Filter {
    /// A filter of no log, and what tells what it is now.
    pub(crate) fn of_test(level: &str) -> (Filter, impl Fn() -> String) {
        let (layer, handle) = reload::Layer::<EnvFilter, Registry>::new(read_filter(level).unwrap());
        let filter = Filter(handle);
        let told = filter.clone();
        (filter, move || {
            let _in_use = &layer;
            told.0.with_current(ToString::to_string).unwrap()
        })
    }
}

/// Starts logging: to files when they are asked for, to the journal when the standard error stream leads there, else to that stream.
///
/// # Errors
/// Internal, when the filter is bad, the files cannot be opened or logging has been started before.
pub fn start(log: &Log) -> Result<Started> {
    let (filter, handle) = reload::Layer::new(read_filter(&log.level)?);
    let filter_handle = Filter(handle);
    let registry = tracing_subscriber::registry().with(filter);
    if let Some(directory) = &log.directory {
        let (writer, guard) = tracing_appender::non_blocking(daily_files(directory, log.keep_files)?);
        let lost = writer.error_counter();
        install(registry, lines(log.format, Colour::Never, writer))?;
        return Ok(Started { files: Some(LogFiles { lost, _guard: guard }), filter: filter_handle });
    }
    if log.format == LogFormat::Human
        && leads_to_journal()
        && let Ok(journal) = tracing_journald::layer()
    {
        install(registry, journal.with_syslog_identifier("artifortress".to_owned()))?;
        return Ok(Started { files: None, filter: filter_handle });
    }
    let is_coloured = std::io::stderr().is_terminal() && environment("NO_COLOR").is_none();
    install(registry, lines(log.format, Colour::from_terminal(is_coloured), std::io::stderr))?;
    Ok(Started { files: None, filter: filter_handle })
}

fn read_filter(level: &str) -> Result<EnvFilter> {
    EnvFilter::try_new(level).map_err(|cause| Error::internal("reading log.level", cause))
}

/// Whether the standard error stream is the journal's: it says so by device and inode (systemd.exec(5), `JOURNAL_STREAM`). A stream that
/// was put in its place has others.
fn leads_to_journal() -> bool {
    let Some(said) = environment("JOURNAL_STREAM") else { return false };
    fstat(std::io::stderr()).is_ok_and(|stream| said == format!("{}:{}", stream.st_dev, stream.st_ino))
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

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// Lines in this format.
fn lines<W>(format: LogFormat, colour: Colour, writer: W) -> Box<dyn Layer<Filtered> + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_ansi(colour == Colour::Always).with_writer(writer);
    match format {
        LogFormat::Human => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

fn install(registry: Filtered, layer: impl Layer<Filtered> + Send + Sync) -> Result<()> {
    registry.with(layer).try_init().map_err(|cause| Error::internal("starting the log", cause))
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
