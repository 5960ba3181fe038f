//! Every setting in words, once: the commented file and the README's table are made of this. Invariant: a test keeps all of them and what is
//! read equal, so a setting is added here and where it is read, and nowhere else. The ranges are those by which values are refused.

use std::collections::BTreeMap;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its key, such as `http.drain_timeout_ms`.
    pub key: &'static str,
    /// What counts when nobody sets it.
    pub default: Default,
    /// What it is, in Markdown.
    pub meaning: &'static str,
}

/// What counts when nobody sets something.
#[derive(Debug, Clone, Copy)]
pub enum Default {
    /// A value.
    Value {
        /// For people, such as `1 MiB`.
        shown: &'static str,
        /// As TOML.
        toml: &'static str,
    },
    /// Something that is found out, or nothing.
    Unset {
        /// For people.
        shown: &'static str,
        /// A value that somebody might set, as TOML.
        example: &'static str,
    },
}

const INTRODUCTION: &str = "\
# The settings of artifortress, each with its default. Take the # away before what you want to change; then
# `artifortress serve --check` says whether it is well, and a restart has it count. At a reload (SIGHUP) log.level
# and the files of the certificate count at once. Secrets are never written here: they come as files or credentials.
";

/// The settings that a reload changes (SIGHUP); the others wait for a restart.
pub const AT_RELOAD: &[&str] = &["log.level"];

/// What it is, the numbers that are allowed, and whether a reload changes it.
fn told(setting: &Setting, ranges: &BTreeMap<&'static str, String>) -> String {
    let range = ranges.get(setting.key).map(|range| format!("; {range}")).unwrap_or_default();
    let reload = if AT_RELOAD.contains(&setting.key) { "; counts at a reload" } else { "" };
    format!("{}{range}{reload}", setting.meaning)
}

/// A settings file in which every setting is a comment.
#[must_use]
pub fn file() -> String {
    let ranges = super::ranges();
    let mut text = INTRODUCTION.to_owned();
    let mut section = "";
    for setting in SETTINGS {
        let (of, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        if of != section {
            section = of;
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&format!("\n# {}\n", told(setting, &ranges)));
        text.push_str(&match setting.default {
            Default::Value { toml, .. } => format!("#{name} = {toml}\n"),
            Default::Unset { shown, example } => format!("# Default: {shown}. For example:\n# {name} = {example}\n"),
        });
    }
    text
}

/// The table of settings in Markdown.
#[must_use]
pub fn table() -> String {
    let ranges = super::ranges();
    let mut text = "| setting | environment | default | meaning |\n|---|---|---|---|\n".to_owned();
    for setting in SETTINGS {
        let Setting { key, default, .. } = setting;
        let variable = key.to_uppercase().replace('.', "__");
        let shown = match default {
            Default::Value { shown, .. } | Default::Unset { shown, .. } => shown,
        };
        text.push_str(&format!("| `{key}` | `ARTIFORTRESS_{variable}` | {shown} | {} |\n", told(setting, &ranges)));
    }
    text
}

/// All of them, by section.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "data_dir",
        default: Default::Unset {
            shown: "`$STATE_DIRECTORY`, else `$XDG_DATA_HOME/artifortress`, else `~/.local/share/artifortress`",
            example: "\"/var/lib/artifortress\"",
        },
        meaning: "where everything is kept",
    },
    Setting {
        key: "listen",
        default: Default::Value { shown: "`127.0.0.1:8466`", toml: "\"127.0.0.1:8466\"" },
        meaning: "one address such as `127.0.0.1:8466`, `[::1]:8466` or `unix:/run/artifortress/http.sock`, or a list, in the environment too: `[\"127.0.0.1:8466\", \"[::1]:8466\"]`; with a certificate an address of the network speaks TLS unless it is written `plain:127.0.0.1:8466`",
    },
    Setting {
        key: "bootstrap_token_file",
        default: Default::Unset { shown: "none", example: "\"/etc/artifortress/bootstrap-token\"" },
        meaning: "a file with the first administrator's token, in place of making one",
    },
    Setting {
        key: "public_url",
        default: Default::Unset { shown: "none", example: "\"https://packages.example\"" },
        meaning: "the address that clients know the server by, such as `https://packages.example`; links and client settings name it in place of `Host`",
    },
    Setting {
        key: "http.header_read_timeout_ms",
        default: Default::Value { shown: "15000", toml: "15000" },
        meaning: "how long a request's head may take; also how long an idle connection is kept",
    },
    Setting {
        key: "http.body_idle_timeout_ms",
        default: Default::Value { shown: "30000", toml: "30000" },
        meaning: "how long a request body may stand still",
    },
    Setting {
        key: "http.drain_timeout_ms",
        default: Default::Value { shown: "30000", toml: "30000" },
        meaning: "how long running requests may take to end after SIGTERM or Ctrl-C",
    },
    Setting {
        key: "http.json_limit_bytes",
        default: Default::Value { shown: "1 MiB", toml: "1048576" },
        meaning: "the largest JSON request",
    },
    Setting {
        key: "http.entries_limit_bytes",
        default: Default::Value { shown: "64 MiB", toml: "67108864" },
        meaning: "the largest list of entries in one request",
    },
    Setting {
        key: "http.upload_limit_bytes",
        default: Default::Value { shown: "16 GiB", toml: "17179869184" },
        meaning: "the largest upload",
    },
    Setting {
        key: "http.advisories_limit_bytes",
        default: Default::Value { shown: "16 GiB", toml: "17179869184" },
        meaning: "the largest import of advisories in one request",
    },
    Setting {
        key: "http.max_connections",
        default: Default::Value { shown: "1024", toml: "1024" },
        meaning: "connections served at once; further ones wait",
    },
    Setting {
        key: "http.max_streams",
        default: Default::Value { shown: "64", toml: "64" },
        meaning: "requests at once on one connection of HTTP/2; over all connections there are `http.max_connections` at most",
    },
    Setting {
        key: "http.handshake_timeout_ms",
        default: Default::Value { shown: "10000", toml: "10000" },
        meaning: "how long the handshake of TLS may take",
    },
    Setting {
        key: "http.trusted_proxies",
        default: Default::Unset { shown: "none", example: "[\"10.0.0.0/8\", \"127.0.0.1\"]" },
        meaning: "networks such as `[\"10.0.0.0/8\", \"::1\"]`: from these alone `X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded` are believed; who comes through a socket in the file system is `127.0.0.1`",
    },
    Setting {
        key: "http.unix_socket_mode",
        default: Default::Value { shown: "`\"0660\"`", toml: "\"0660\"" },
        meaning: "the permissions of sockets in the file system",
    },
    Setting {
        key: "tls.certificate_file",
        default: Default::Unset { shown: "none", example: "\"/etc/artifortress/tls.crt\"" },
        meaning: "the certificate in PEM, then those between it and its authority; with it the network is served over TLS, HTTP/2 and HTTP/1.1",
    },
    Setting {
        key: "tls.key_file",
        default: Default::Unset { shown: "the credential `tls-key`", example: "\"/etc/artifortress/tls.key\"" },
        meaning: "the key of that certificate in PEM, without a passphrase",
    },
    Setting {
        key: "tls.client_ca_file",
        default: Default::Unset { shown: "none", example: "\"/etc/artifortress/clients.crt\"" },
        meaning: "authorities in PEM; clients then show a certificate of theirs",
    },
    Setting {
        key: "tls.client_certificates",
        default: Default::Unset { shown: "`required`", example: "\"required\"" },
        meaning: "`required`, or `optional`: who shows none may come, what is shown must be good. It replaces no token",
    },
    Setting {
        key: "tls.check_files_seconds",
        default: Default::Unset { shown: "60", example: "60" },
        meaning: "how often the files are looked at; when they changed they are read again, and a broken pair leaves the old one in force",
    },
    Setting {
        key: "policy.evaluation_timeout_ms",
        default: Default::Value { shown: "250", toml: "250" },
        meaning: "the budget of one decision; past it nothing is published",
    },
    Setting {
        key: "policy.concurrent_evaluations",
        default: Default::Value { shown: "8", toml: "8" },
        meaning: "decisions made at once, 24 at most",
    },
    Setting {
        key: "policy.inspection_timeout_ms",
        default: Default::Value { shown: "20000", toml: "20000" },
        meaning: "how long reading the package files of one version may take; past it they count as unreadable",
    },
    Setting {
        key: "policy.concurrent_inspections",
        default: Default::Value { shown: "2", toml: "2" },
        meaning: "versions whose package files are read at once",
    },
    Setting { key: "store.readers", default: Default::Value { shown: "8", toml: "8" }, meaning: "read-only database connections" },
    Setting {
        key: "store.group_commit_limit",
        default: Default::Value { shown: "64", toml: "64" },
        meaning: "writes that share one fsync at most",
    },
    Setting {
        key: "store.writer_queue",
        default: Default::Value { shown: "1024", toml: "1024" },
        meaning: "writes that may wait; beyond them the answer is 503",
    },
    Setting {
        key: "pages.memory_bytes",
        default: Default::Value { shown: "32 MiB", toml: "33554432" },
        meaning: "memory for rendered indexes; one larger than about a quarter of it is rendered for each request",
    },
    Setting { key: "jobs.workers", default: Default::Value { shown: "2", toml: "2" }, meaning: "background workers" },
    Setting { key: "jobs.batch", default: Default::Value { shown: "100", toml: "100" }, meaning: "jobs or events claimed at once" },
    Setting {
        key: "jobs.lease_seconds",
        default: Default::Value { shown: "300", toml: "300" },
        meaning: "after this a claimed job may be claimed again",
    },
    Setting { key: "jobs.max_attempts", default: Default::Value { shown: "5", toml: "5" }, meaning: "claims after which a job is dead" },
    Setting {
        key: "jobs.backoff_seconds",
        default: Default::Value { shown: "30", toml: "30" },
        meaning: "wait before the second attempt; each further one waits twice as long, up to 32 times this",
    },
    Setting {
        key: "jobs.keep_finished_days",
        default: Default::Value { shown: "30", toml: "30" },
        meaning: "delivered events and finished jobs are removed after this; dead ones stay",
    },
    Setting {
        key: "jobs.reevaluations_per_second",
        default: Default::Value { shown: "500", toml: "500" },
        meaning: "versions that one sweep judges again in a second, at most",
    },
    Setting {
        key: "downloads.per_version",
        default: Default::Value { shown: "1000", toml: "1000" },
        meaning: "fetchers remembered for one version: those who fetched it last",
    },
    Setting {
        key: "downloads.keep_days",
        default: Default::Value { shown: "90", toml: "90" },
        meaning: "days after the last fetch for which a fetcher is remembered",
    },
    Setting {
        key: "gc.every_hours",
        default: Default::Value { shown: "0", toml: "0" },
        meaning: "hours from one collection to the next; 0 for none that nobody asks for",
    },
    Setting {
        key: "gc.grace_hours",
        default: Default::Value { shown: "24", toml: "24" },
        meaning: "for so long a collection by the clock keeps bytes that nothing refers to",
    },
    Setting {
        key: "retention.every_hours",
        default: Default::Value { shown: "0", toml: "0" },
        meaning: "hours from one application of the repos' rules of retention to the next; 0 for none that nobody asks for",
    },
    Setting {
        key: "uploads.expire_hours",
        default: Default::Value { shown: "24", toml: "24" },
        meaning: "open upload sessions are removed after this",
    },
    Setting {
        key: "tokens.default_ttl_days",
        default: Default::Value { shown: "90", toml: "90" },
        meaning: "the life of a token when its issuer does not say",
    },
    Setting { key: "waivers.max_days", default: Default::Value { shown: "90", toml: "90" }, meaning: "how far ahead a waiver may end" },
    Setting {
        key: "waivers.second_person",
        default: Default::Value { shown: "`false`", toml: "false" },
        meaning: "whether every waiver must be approved by a second person; else where the repo asks for dual control",
    },
    Setting {
        key: "webhooks.connect_timeout_ms",
        default: Default::Value { shown: "5000", toml: "5000" },
        meaning: "how long connecting to a receiver may take",
    },
    Setting {
        key: "webhooks.timeout_ms",
        default: Default::Value { shown: "10000", toml: "10000" },
        meaning: "how long one attempt may take, redirects and answer included; a third of `jobs.lease_seconds` at most",
    },
    Setting {
        key: "webhooks.concurrent",
        default: Default::Value { shown: "8", toml: "8" },
        meaning: "requests at once of one batch of jobs",
    },
    Setting {
        key: "webhooks.concurrent_per_receiver",
        default: Default::Value { shown: "2", toml: "2" },
        meaning: "of these, requests at once to one receiver",
    },
    Setting {
        key: "webhooks.max_per_repo",
        default: Default::Value { shown: "20", toml: "20" },
        meaning: "webhooks of one repo, and of the instance",
    },
    Setting {
        key: "webhooks.keep_deliveries",
        default: Default::Value { shown: "1000", toml: "1000" },
        meaning: "deliveries kept in the history of one webhook",
    },
    Setting { key: "webhooks.keep_days", default: Default::Value { shown: "30", toml: "30" }, meaning: "days they are kept" },
    Setting {
        key: "webhooks.allow_private_addresses",
        default: Default::Value { shown: "false", toml: "false" },
        meaning: "whether webhooks of repos, and redirects, may lead to private addresses",
    },
    Setting {
        key: "metrics.anonymous",
        default: Default::Value { shown: "`false`", toml: "false" },
        meaning: "whether `/metrics` may be read without a token",
    },
    Setting { key: "log.format", default: Default::Value { shown: "`human`", toml: "\"human\"" }, meaning: "`human` or `json`" },
    Setting {
        key: "log.level",
        default: Default::Value { shown: "`info`", toml: "\"info\"" },
        meaning: "a filter such as `info,artifortress::store=debug`",
    },
    Setting {
        key: "log.directory",
        default: Default::Unset { shown: "none", example: "\"/var/log/artifortress\"" },
        meaning: "daily files there, in place of the standard error stream",
    },
    Setting { key: "log.keep_files", default: Default::Value { shown: "14", toml: "14" }, meaning: "daily files kept" },
];
