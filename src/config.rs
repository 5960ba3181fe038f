//! The settings: defaults, then the TOML file, then `ARTIFORTRESS_*` variables (`__` between levels), then flags. Invariant: unknown
//! keys are refused, all faults are reported together, and no setting holds a secret. Only this file asks the process's environment.

pub mod catalogue;
mod layers;
mod listen;
mod log;
mod reader;
mod shown;
mod space;
mod tls;
mod transport;
mod waivers;
mod webhooks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use serde::Serialize;

use layers::layers;
use listen::{DEFAULT_LISTEN, read_listen};
pub use listen::{Encryption, Listen};
pub use log::{Log, LogFormat};
pub use reader::Faults;
use reader::Reader;
pub use shown::InForce;
pub use space::Space;
pub use tls::{ClientCertificates, Tls};
pub use transport::Transport;
pub use waivers::Waivers;
pub use webhooks::Webhooks;

/// Declares one section: its settings with their defaults and the values allowed, units last in the names.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident $key:literal { $($(#[$setting_doc:meta])* $setting:ident: $kind:ty = $default:expr, $allowed:expr;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$setting_doc])* pub $setting: $kind,)+ }

        impl Default for $name {
            fn default() -> $name {
                $name { $($setting: $default,)+ }
            }
        }

        impl $name {
            fn read(reader: &mut Reader) -> $name {
                $name { $($setting: reader.number(concat!($key, ".", stringify!($setting)), $default, &$allowed),)+ }
            }
        }
    };
}

section! {
    /// `[http]`: the limits of the transport.
    Http "http" {
        /// Milliseconds a client has to send a request's head; also how long an idle connection is kept.
        header_read_timeout_ms: u64 = 15_000, 100..=600_000;
        /// Milliseconds without a byte after which a request body is given up.
        body_idle_timeout_ms: u64 = 30_000, 100..=600_000;
        /// Milliseconds that running requests have to end after the order to stop.
        drain_timeout_ms: u64 = 30_000, 0..=3_600_000;
        /// The largest JSON request body, in bytes.
        json_limit_bytes: u64 = 1 << 20, 1024..=1 << 28;
        /// The largest list of entries in one request, in bytes.
        entries_limit_bytes: u64 = 64 << 20, 1024..=1 << 30;
        /// The largest upload, in bytes.
        upload_limit_bytes: u64 = 16 << 30, 1024..=1 << 44;
        /// The largest import of advisories in one request, in bytes.
        advisories_limit_bytes: u64 = 16 << 30, 1024..=1 << 44;
        /// Milliseconds for the handshake of TLS.
        handshake_timeout_ms: u64 = 10_000, 100..=600_000;
        /// Requests at once on one connection of HTTP/2.
        max_streams: u32 = 64, 1..=1_000;
        /// Connections served at once, and requests of HTTP/2 in all; further ones wait.
        max_connections: usize = 1024, 1..=1_000_000;
    }
}

section! {
    /// `[policy]`: the budget of the gate.
    Policy "policy" {
        /// Milliseconds to gather the input and evaluate; past them the answer is `policy_timeout`.
        evaluation_timeout_ms: u64 = 250, 1..=60_000;
        /// Evaluations that run at once; fewer than half the threads for blocking work, so that slow ones leave room for the rest.
        concurrent_evaluations: usize = 8, 1..=24;
        /// Milliseconds to read the package files of one version before it is judged; past them they count as unreadable.
        inspection_timeout_ms: u64 = 20_000, 10..=600_000;
        /// Versions whose package files are read at once.
        concurrent_inspections: usize = 2, 1..=16;
    }
}

section! {
    /// `[store]`: the database.
    Store "store" {
        /// Read-only connections.
        readers: u32 = 8, 1..=256;
        /// Writes committed together by one fsync, at most.
        group_commit_limit: usize = 64, 1..=4096;
        /// Writes that may wait; beyond them the answer is `unavailable`.
        writer_queue: usize = 1024, 1..=1_000_000;
    }
}

section! {
    /// `[pages]`: rendered indexes.
    Pages "pages" {
        /// Memory for rendered indexes, in bytes; one larger than about a quarter of it is rendered for each request.
        memory_bytes: u64 = 32 << 20, 1 << 20..=1 << 40;
    }
}

section! {
    /// `[jobs]`: background work.
    Jobs "jobs" {
        /// Workers that run jobs side by side.
        workers: usize = 2, 1..=64;
        /// Jobs or events claimed at once.
        batch: u32 = 100, 1..=10_000;
        /// Seconds after which a claimed job may be claimed again.
        lease_seconds: u32 = 300, 1..=86_400;
        /// Claims after which a job is dead.
        max_attempts: u32 = 5, 1..=100;
        /// Seconds before the second attempt; each further one waits twice as long, up to 32 times this.
        backoff_seconds: u32 = 30, 1..=86_400;
        /// Versions that one sweep judges again in a second, at most.
        reevaluations_per_second: u32 = 500, 1..=100_000;
        /// Days after which delivered events and finished jobs are removed; dead ones stay.
        keep_finished_days: u32 = 30, 1..=3_650;
    }
}

section! {
    /// `[uploads]`: upload sessions.
    Uploads "uploads" {
        /// Hours after which an open session and its bytes are removed.
        expire_hours: u32 = 24, 1..=8_760;
    }
}

section! {
    /// `[downloads]`: who fetched which version, remembered for the day on which it is held.
    Downloads "downloads" {
        /// Fetchers kept for one version: those who fetched it last.
        per_version: u32 = 1_000, 1..=100_000;
        /// Days after the last fetch for which a fetcher is kept.
        keep_days: u32 = 90, 1..=3_650;
    }
}

section! {
    /// `[tokens]`: credentials.
    Tokens "tokens" {
        /// Days a token lives when its issuer does not say.
        default_ttl_days: u32 = 90, 1..=36_500;
    }
}

/// `[metrics]`: what `GET /metrics` tells, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metrics {
    /// Whether anybody may read it. Otherwise it takes a token with `repo:*:admin`.
    pub anonymous: bool,
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where everything is kept. By default `$STATE_DIRECTORY` (systemd), else `$XDG_DATA_HOME/artifortress`, else `$HOME/.local/share/artifortress`.
    pub data_dir: PathBuf,
    /// Where to listen; at least one address.
    pub listen: Vec<Listen>,
    /// A file with the first administrator's token, read at the first start in place of making one.
    pub bootstrap_token_file: Option<PathBuf>,
    /// How clients reach the server.
    pub transport: Transport,
    /// The certificate; without one, nothing is served over TLS.
    pub tls: Option<Tls>,
    /// The limits of the transport.
    pub http: Http,
    /// The budget of the gate.
    pub policy: Policy,
    /// The database.
    pub store: Store,
    /// Rendered indexes.
    pub pages: Pages,
    /// Background work.
    pub jobs: Jobs,
    /// Upload sessions.
    pub uploads: Uploads,
    /// The log of downloads.
    pub downloads: Downloads,
    /// What is removed by the clock.
    pub space: Space,
    /// Credentials.
    pub tokens: Tokens,
    /// How far exceptions may go.
    pub waivers: Waivers,
    /// How others are told.
    pub webhooks: Webhooks,
    /// The metrics.
    pub metrics: Metrics,
    /// The log.
    pub log: Log,
}

/// The settings that are also flags.
#[derive(Debug, Clone, Default, Serialize, clap::Args)]
pub struct Flags {
    /// Read settings from this TOML file; by default the one that ARTIFORTRESS_CONFIG names, if any.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Keep everything in this directory.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Listen on this address, such as 127.0.0.1:8466 or unix:/run/artifortress/http.sock; may be repeated.
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
}

/// The variables of a process by name; those that are not Unicode are replaced in part, and then refused as values.
pub type Environment = BTreeMap<String, String>;

/// One variable of this process's environment; `None` when it is unset, empty or not Unicode.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place that asks the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Config {
    /// The settings of this process.
    ///
    /// # Errors
    /// Every fault of the file, the environment and the flags together.
    pub fn load(flags: &Flags) -> Result<Config, Faults> {
        Config::from_sources(flags, &of_process())
    }

    /// The settings of this process one by one, with where each came from.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn in_force(flags: &Flags) -> Result<Vec<InForce>, Faults> {
        Config::gather(flags, &of_process()).map(|(config, reader)| shown::in_force(&reader, &config))
    }

    /// The settings that these flags, the file they name and this environment give.
    ///
    /// # Errors
    /// Every fault of the three together.
    pub fn from_sources(flags: &Flags, variables: &Environment) -> Result<Config, Faults> {
        Config::gather(flags, variables).map(|(config, _)| config)
    }

    fn gather(flags: &Flags, variables: &Environment) -> Result<(Config, Reader), Faults> {
        let mut faults = Vec::new();
        let figment = layers(flags, variables, &mut faults).into_iter().fold(Figment::new(), Figment::merge);
        let mut reader = Reader::new(figment, faults);
        let config = Config::read(&mut reader, variables);
        reader.end().map(|()| (config, reader))
    }

    fn read(reader: &mut Reader, variables: &Environment) -> Config {
        Config {
            data_dir: read_data_dir(reader, variables),
            listen: read_listen(reader),
            bootstrap_token_file: read_token_file(reader).or_else(|| credential(variables, "bootstrap-token")),
            transport: Transport::read(reader),
            tls: Tls::read(reader, variables),
            http: Http::read(reader),
            policy: Policy::read(reader),
            store: Store::read(reader),
            pages: Pages::read(reader),
            jobs: Jobs::read(reader),
            uploads: Uploads::read(reader),
            downloads: Downloads::read(reader),
            space: Space::read(reader),
            tokens: Tokens::read(reader),
            waivers: Waivers::read(reader),
            webhooks: Webhooks::read(reader),
            metrics: Metrics { anonymous: reader.find("metrics.anonymous").unwrap_or_default() },
            log: Log::read(reader),
        }
    }

    /// The default settings with everything under `data_dir`: for tests and tools.
    #[must_use]
    pub fn in_directory(data_dir: &Path) -> Config {
        Config {
            data_dir: data_dir.to_owned(),
            listen: vec![DEFAULT_LISTEN],
            bootstrap_token_file: None,
            transport: Transport::default(),
            tls: None,
            http: Http::default(),
            policy: Policy::default(),
            store: Store::default(),
            pages: Pages::default(),
            jobs: Jobs::default(),
            uploads: Uploads::default(),
            downloads: Downloads::default(),
            space: Space::default(),
            tokens: Tokens::default(),
            waivers: Waivers::default(),
            webhooks: Webhooks::default(),
            metrics: Metrics::default(),
            log: Log::default(),
        }
    }
}

/// The numbers that each setting may have, as they are refused.
fn ranges() -> BTreeMap<&'static str, String> {
    let mut reader = Reader::new(Figment::new(), Vec::new());
    Config::read(&mut reader, &Environment::new());
    reader.into_ranges()
}

fn of_process() -> Environment {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())).collect()
}

fn read_token_file(reader: &mut Reader) -> Option<PathBuf> {
    let path: PathBuf = reader.find("bootstrap_token_file")?;
    if path.to_string_lossy().starts_with("aft_") {
        reader.fault(
            "bootstrap_token_file",
            "this is a token and not the name of a file; write it to a file of mode 0600, end it if others saw it",
        );
        return None;
    }
    Some(path)
}

/// The file of a credential of the service (`LoadCredential=`), if it was given one of this name.
fn credential(variables: &Environment, name: &str) -> Option<PathBuf> {
    variables.get("CREDENTIALS_DIRECTORY").map(|directory| Path::new(directory).join(name)).filter(|path| path.exists())
}

fn read_data_dir(reader: &mut Reader, variables: &Environment) -> PathBuf {
    let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let given: Option<PathBuf> = reader.find("data_dir");
    if given.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        reader.fault("data_dir", "it is empty; give the path of a directory");
    }
    let default = || {
        let of_systemd = variable("STATE_DIRECTORY").and_then(|list| list.split(':').next()).map(PathBuf::from);
        let of_user = || variable("XDG_DATA_HOME").map(|base| Path::new(base).join("artifortress"));
        let of_home = || variable("HOME").map(|home| Path::new(home).join(".local/share/artifortress"));
        of_systemd.or_else(of_user).or_else(of_home)
    };
    given.or_else(default).unwrap_or_else(|| {
        reader.fault("data_dir", "neither STATE_DIRECTORY nor XDG_DATA_HOME nor HOME is set; give it with --data-dir");
        PathBuf::new()
    })
}

#[cfg(test)]
mod tests;
