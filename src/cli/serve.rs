//! `serve`: starts the instance, prints what to try, and drains on SIGTERM or Ctrl-C. Invariant: what is printed works as
//! it stands; the process exits 0 after a clean drain.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tokio::signal::unix::{SignalKind, signal};

use super::directory::DataDirectory;
use super::listeners::{self, Address, Handed};
use super::reload::Reload;
use super::{complain_of, say, secret_files, service};
use crate::access::{Bootstrap, bootstrap};
use crate::app::App;
use crate::backup::refuse_half_restored;
use crate::blobs::Blobs;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Flags};
use crate::error::{Error, Result};
use crate::http::{Router, Server, Tls};
use crate::jobs::{JobSettings, Jobs};
use crate::policy::CedarEngine;
use crate::store::{Store, StoreOptions};
use crate::{logging, routes};

/// Serves until it is told to stop.
pub(super) fn serve(config: Config, flags: Flags) -> ExitCode {
    let handed = Handed::take();
    // Files are for this user alone, and no core file may hold a secret.
    umask(Mode::from_bits_truncate(0o077));
    let no_core = setrlimit(Resource::RLIMIT_CORE, 0, 0).and_then(|()| set_dumpable(false));
    let log = match logging::start(&config.log) {
        Ok(log) => log,
        Err(error) => return complain_of(&error),
    };
    if let Err(cause) = no_core {
        tracing::warn!(%cause, "core files cannot be switched off");
    }
    allow_open_files(config.http.max_connections);
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("artifortress")
        .max_blocking_threads(64)
        .build()
        .map_err(|cause| Error::internal("starting the runtime", cause))
        .and_then(|runtime| runtime.block_on(run(config, flags, handed, &log)));
    drop(log);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain_of(&error),
    }
}

/// Files open beside connections: the stores, the log, and what requests read and write.
const FILES_BESIDE_CONNECTIONS: u64 = 512;

/// Lets this process open as many files as it may. Each connection is one, and the usual soft limit of 1024 would be used up by idle
/// connections alone, so that no blob could be opened any more.
fn allow_open_files(max_connections: usize) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard) } else { Ok(soft) });
    let needed = FILES_BESIDE_CONNECTIONS.saturating_add(u64::try_from(max_connections).unwrap_or(u64::MAX));
    match raised {
        Ok(limit) if limit < needed => {
            tracing::warn!(limit, needed, "few open files are allowed; lower http.max_connections, or raise the limit (ulimit -Hn)");
        }
        Ok(_) => {}
        Err(cause) => tracing::warn!(%cause, "the limit of open files cannot be raised"),
    }
}

async fn run(config: Config, flags: Flags, handed: Handed, log: &logging::Started) -> Result<()> {
    let stop = StopSignals::listen()?;
    let hang_up = signal(SignalKind::hangup()).map_err(|cause| Error::internal("listening to signals", cause))?;
    let mut directory = DataDirectory::open(&config.data_dir)?;
    refuse_half_restored(&config.data_dir)?;
    let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
    secret_files::open_to_everybody(&config).iter().for_each(|warning| tracing::warn!("{warning}"));
    let listeners = listeners::open(&config, handed, tls.as_ref()).await?;
    if let Some(tls) = &tls {
        tokio::spawn(Arc::clone(tls).watch());
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = StoreOptions {
        readers: config.store.readers,
        group_limit: config.store.group_commit_limit,
        queue_limit: config.store.writer_queue,
        ..StoreOptions::at(&config.data_dir)
    };
    let store = Arc::new(Store::open(&options, Arc::clone(&clock))?);
    if let Some(log) = &log.files {
        store.metrics().process.set_log(log.lost.clone());
    }
    let blobs = Blobs::open_dir(&config.data_dir)?.limited_to(config.http.upload_limit_bytes);
    let token_file = config.bootstrap_token_file.as_deref();
    let first = bootstrap(&store, &config.data_dir, token_file, listeners::are_loopback_only(&listeners, &config)).await?;
    let settings = JobSettings::of(&config);
    let (data_dir, drain_timeout_ms) = (config.data_dir.clone(), config.http.drain_timeout_ms);
    let token_file = token_file.map_or_else(|| data_dir.join("admin-token"), Path::to_owned);
    let reload = Reload { flags, config: config.clone(), tls, filter: log.filter() };
    let max_connections = config.http.max_connections;
    let app = Arc::new(App::new(config, clock, &store, &blobs, Arc::new(CedarEngine::new()?)));
    let jobs = Jobs::start(Arc::clone(&store), &app.registry, blobs, settings);
    let router = Arc::new(Router::new(app, routes::table())?);
    let bound = listeners.iter().filter_map(Address::of).collect::<Vec<_>>();
    directory.announce(&bound)?;
    greet(&bound, &data_dir, &token_file, first.as_ref());
    let status = format!("serving on {}", bound.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    let beside = [
        tokio::spawn(reload.at_each(hang_up, status.clone())),
        tokio::spawn(service::feed_watchdog(Arc::clone(&store), bound, max_connections)),
    ];
    let server = Server::new(router, listeners);
    service::ready(&status);
    let drained = server.run(stop.wait(drain_timeout_ms)).await;
    beside.iter().for_each(tokio::task::JoinHandle::abort);
    if drained.cut > 0 {
        tracing::warn!(connections = drained.cut, "connections were cut because they did not finish in time");
    }
    jobs.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// What a person sees first. The first line is for programs too.
fn greet(bound: &[Address], data_dir: &Path, token_file: &Path, first: Option<&Bootstrap>) {
    for address in bound {
        say(&format!("listening on {address}"));
    }
    say(&format!("data in {}", data_dir.display()));
    let Some(address) = bound.first() else { return };
    if let Some(Bootstrap { secret, file: Some(file) }) = first {
        say(&format!("admin token, shown this once: {}", secret.reveal()));
        say(&format!("it is also in {} (mode 0600)", file.display()));
    }
    let token = format!("$(cat {})", token_file.display());
    say("try:");
    say(&format!("  export TOKEN={token}"));
    let url = match bound.iter().find(|address| !matches!(address, Address::Unix(_))).unwrap_or(address) {
        Address::Unix(path) => {
            let path = path.display();
            say(&format!("  curl --unix-socket {path} -H \"Authorization: Bearer $TOKEN\" http://localhost/v1/auth/whoami"));
            say(&format!("  artifortress status --server unix:{path}"));
            return;
        }
        url @ (Address::Http(_) | Address::Https(_)) => url,
    };
    say(&format!("  curl -H \"Authorization: Bearer $TOKEN\" {url}/v1/auth/whoami"));
    say(&format!("  curl -H \"Authorization: Bearer $TOKEN\" -T ./hello.txt \"{url}/files/main/hello/1.0/hello.txt?publish\""));
    say(&format!("  twine upload -u __token__ -p \"$TOKEN\" --repository-url {url}/pypi/main/legacy/ dist/*"));
    say(&format!("  pip install --index-url {url}/pypi/main/simple/ NAME"));
    say(&format!("  uv pip install --default-index {url}/pypi/main/simple/ NAME"));
    say(&format!("  npm install --registry {url}/npm/main/ NAME"));
    say(&format!("  CARGO_REGISTRIES_MAIN_INDEX=sparse+{url}/cargo/main/index/ cargo add --registry main NAME"));
    say(&format!("  artifortress client-config --server {url} uv    (pip, uv, poetry, pdm, npm, pnpm, yarn, bun, cargo)"));
}

/// SIGTERM and Ctrl-C, listened to from the very start, so that neither kills a half-made directory.
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> Result<StopSignals> {
        let listen = |kind| signal(kind).map_err(|cause| Error::internal("listening to signals", cause));
        Ok(StopSignals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the first; a second one ends the process at once, which loses nothing that was acknowledged.
    async fn wait(mut self, drain_timeout_ms: u64) {
        self.next().await;
        service::stopping("finishing what is running");
        tracing::info!("finishing what is running, for {} s at most; a second signal ends it now", drain_timeout_ms / 1000);
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("told again; ending now");
            std::process::exit(1);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard - 1, hard).unwrap();
        allow_open_files(1024);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }
}
