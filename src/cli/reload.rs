//! SIGHUP: the settings are read again. Invariant: what can change while the server runs is changed, what cannot is named, and faulty
//! settings change nothing.

use std::sync::Arc;

use tokio::signal::unix::Signal;

use super::service;
use crate::config::{Config, Flags};
use crate::error::Result;
use crate::http::Tls;
use crate::logging::Filter;

/// What a reload works on.
pub(super) struct Reload {
    /// Where the settings come from.
    pub(super) flags: Flags,
    /// The settings in force.
    pub(super) config: Config,
    /// The certificate, if there is one.
    pub(super) tls: Option<Arc<Tls>>,
    /// The filter of the log.
    pub(super) filter: Filter,
}

impl Reload {
    /// Reads the settings again at each signal. It never ends.
    pub(super) async fn at_each(mut self, mut signal: Signal, status: String) {
        while signal.recv().await.is_some() {
            service::reloading();
            self.once();
            service::ready(&status);
        }
    }

    fn once(&mut self) {
        let new = match Config::load(&self.flags) {
            Ok(new) => new,
            Err(faults) => {
                tracing::error!(%faults, "the settings were read again and are faulty; those before stay in force");
                return;
            }
        };
        if let Some(tls) = &self.tls {
            report("the certificate was read again", tls.reload());
        }
        if new.log.level != self.config.log.level {
            report("the level of the log is another now", self.filter.set(&new.log.level));
            self.config.log.level.clone_from(&new.log.level);
        }
        let waiting = waiting_for_restart(&self.config, &new);
        if waiting.is_empty() {
            tracing::info!("the settings were read again");
        } else {
            tracing::warn!(
                sections = waiting.join(", "),
                "the settings were read again; what changed in these sections waits for a restart"
            );
        }
    }
}

fn report(what: &str, done: Result<()>) {
    match done {
        Ok(()) => tracing::info!("{what}"),
        Err(error) => tracing::error!(?error, "{what}: failed, and what was before stays in force"),
    }
}

/// The sections in which the settings in force differ from those that were read.
fn waiting_for_restart(now: &Config, new: &Config) -> Vec<&'static str> {
    let sections = [
        ("data_dir", now.data_dir != new.data_dir),
        ("listen", now.listen != new.listen),
        ("bootstrap_token_file", now.bootstrap_token_file != new.bootstrap_token_file),
        ("public_url and trusted_proxies", now.transport != new.transport),
        ("tls", now.tls != new.tls),
        ("http", now.http != new.http),
        ("policy", now.policy != new.policy),
        ("store", now.store != new.store),
        ("pages", now.pages != new.pages),
        ("jobs", now.jobs != new.jobs),
        ("uploads", now.uploads != new.uploads),
        ("downloads", now.downloads != new.downloads),
        ("tokens", now.tokens != new.tokens),
        ("waivers", now.waivers != new.waivers),
        ("webhooks", now.webhooks != new.webhooks),
        ("gc and retention", now.space != new.space),
        ("metrics", now.metrics != new.metrics),
        ("log", now.log != new.log),
    ];
    sections.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::catalogue;

    #[test]
    fn what_waits_for_a_restart_is_named_by_its_section() {
        let now = Config::in_directory(Path::new("/data"));
        let mut new = now.clone();
        assert_eq!(waiting_for_restart(&now, &new), Vec::<&str>::new());
        new.http.max_connections += 1;
        new.jobs.workers += 1;
        assert_eq!(waiting_for_restart(&now, &new), ["http", "jobs"]);
    }

    #[test]
    fn what_is_said_to_count_at_a_reload_does_and_waits_for_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("settings.toml");
        let flags = Flags { config: Some(file.clone()), data_dir: Some(directory.path().to_owned()), listen: Vec::new() };
        std::fs::write(&file, "").unwrap();
        let config = Config::load(&flags).unwrap();
        let (filter, in_force) = Filter::of_test("info");
        let mut reload = Reload { flags, config, tls: None, filter };
        assert_eq!(catalogue::AT_RELOAD, ["log.level"]);
        std::fs::write(&file, "[log]\nlevel = 'warn'\n").unwrap();
        reload.once();
        assert_eq!(in_force(), "warn");
        assert_eq!(waiting_for_restart(&reload.config, &Config::load(&reload.flags).unwrap()), Vec::<&str>::new());
        std::fs::write(&file, "[log]\nlevel = 'a=b=c'\n").unwrap();
        reload.once();
        assert_eq!(in_force(), "warn");
    }
}
