//! `[log]`: where the log goes, and how much of it. Invariant: a filter that is none is a fault when the settings are read.

use std::path::PathBuf;

use serde::Deserialize;

use super::reader::Reader;

/// `[log]`: what is logged, how and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// A filter directive such as `info` or `info,artifortress::store=debug`.
    pub level: String,
    /// Where daily files go, in place of the standard error stream.
    pub directory: Option<PathBuf>,
    /// Daily files kept.
    pub keep_files: usize,
}

impl Default for Log {
    fn default() -> Log {
        Log { format: LogFormat::Human, level: "info".to_owned(), directory: None, keep_files: 14 }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Log {
    pub(super) fn read(reader: &mut Reader) -> Log {
        let default = Log::default();
        let log = Log {
            format: reader.find("log.format").unwrap_or(default.format),
            level: reader.find("log.level").unwrap_or(default.level),
            directory: reader.find("log.directory"),
            keep_files: reader.number("log.keep_files", default.keep_files, &(1..=3650)),
        };
        if tracing_subscriber::EnvFilter::try_new(&log.level).is_err() {
            reader.fault("log.level", "this is no filter; write it like info or info,artifortress::store=debug");
        }
        log
    }
}
