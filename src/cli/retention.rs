//! `retention` and `quota`: what a repo keeps, and how much it may use. Invariant: `apply` names the plan that it has shown, so nothing
//! else is taken back.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::fields::{count, list, moment, text, truth};
use super::session::Session;
use super::table::{Table, UNKNOWN, bytes, counted, relative};
use crate::domain::name::RepoKey;

/// What to do with the rule of a repo.
#[derive(Debug, clap::Subcommand)]
pub(super) enum RetentionCommand {
    /// Show the rule of a repo.
    Show {
        /// The repo.
        #[arg(value_name = "REPO")]
        repo: RepoKey,
    },
    /// Set the rule of a repo; nothing is taken back by that.
    Set {
        /// The repo.
        #[arg(value_name = "REPO")]
        repo: RepoKey,
        /// Keep the newest so many releases of each package.
        #[arg(long, value_name = "COUNT")]
        keep_last: Option<u32>,
        /// Keep what was published within so many days.
        #[arg(long, value_name = "DAYS")]
        keep_days: Option<u32>,
        /// Keep what was fetched within so many days.
        #[arg(long, value_name = "DAYS")]
        keep_downloaded_days: Option<u32>,
    },
    /// Take the rule of a repo away.
    Remove {
        /// The repo.
        #[arg(value_name = "REPO")]
        repo: RepoKey,
    },
    /// Show which versions nothing keeps, and why.
    Plan {
        /// The repo.
        #[arg(value_name = "REPO")]
        repo: RepoKey,
    },
    /// Take back what a plan has shown; it can be restored for as many days as the repo says.
    Apply {
        /// The repo.
        #[arg(value_name = "REPO")]
        repo: RepoKey,
        /// The plan, as `retention plan` names it. Another plan by now is refused.
        #[arg(long, value_name = "DIGEST")]
        plan: String,
    },
}

/// What to do with a quota.
#[derive(Debug, clap::Subcommand)]
pub(super) enum QuotaCommand {
    /// Show what is used, and of how much.
    Show {
        /// The repo; without it the instance.
        #[arg(value_name = "REPO")]
        repo: Option<RepoKey>,
    },
    /// Set both limits; one that is left out is lifted.
    Set {
        /// The repo; without it the instance.
        #[arg(value_name = "REPO")]
        repo: Option<RepoKey>,
        /// Bytes of distinct blobs.
        #[arg(long, value_name = "BYTES")]
        max_bytes: Option<u64>,
        /// Versions.
        #[arg(long, value_name = "COUNT")]
        max_versions: Option<u64>,
    },
}

fn rule(rule: &Value) -> String {
    let part = |pointer, before: &str, after: &str| count(rule, pointer).map(|number| format!("{before}{number}{after}"));
    let parts = [
        part("/keepLast", "the newest ", " releases of each package"),
        part("/keepDays", "what was published within ", " days"),
        part("/keepDownloadedDays", "what was fetched within ", " days"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("keeps {}; also what is protected, tagged, held, or the newest", parts.join(", "))
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(session: Session, command: RetentionCommand) -> Result<ExitCode, Failure> {
    let client = &session.client;
    match command {
        RetentionCommand::Show { repo } => {
            let answer = client.get(&["v1", "repos", repo.as_str(), "retention"], &[]).await?;
            session.tell(&answer, |shown| format!("repo {repo} {}", rule(shown)))
        }
        RetentionCommand::Set { repo, keep_last, keep_days, keep_downloaded_days } => {
            let body = json!({"keepLast": keep_last, "keepDays": keep_days, "keepDownloadedDays": keep_downloaded_days});
            let answer = client.send(Method::PUT, &["v1", "repos", repo.as_str(), "retention"], &body).await?;
            session.tell(&answer, |shown| format!("repo {repo} {}; look at `artifortress retention plan {repo}`", rule(shown)))
        }
        RetentionCommand::Remove { repo } => {
            let answer = client.delete(&["v1", "repos", repo.as_str(), "retention"]).await?;
            session.tell(&answer, |_| format!("repo {repo} keeps everything"))
        }
        RetentionCommand::Plan { repo } => plan(&session, &repo).await,
        RetentionCommand::Apply { repo, plan } => {
            let path = ["v1", "repos", repo.as_str(), "retention", "apply"];
            let answer = client.send(Method::POST, &path, &json!({"planDigest": plan})).await?;
            session.tell(&answer, |applied| {
                format!(
                    "{} taken back; they can be restored for {} days",
                    counted(count(applied, "/tombstoned").unwrap_or(0), "version"),
                    count(applied, "/restorableForDays").unwrap_or(0)
                )
            })
        }
    }
}

async fn plan(session: &Session, repo: &RepoKey) -> Result<ExitCode, Failure> {
    let answer = session.client.get(&["v1", "repos", repo.as_str(), "retention", "plan"], &[]).await?;
    session.tell(&answer, |plan| {
        let items = list(plan, "/items");
        if items.is_empty() {
            return format!("repo {repo} {}: nothing is to be taken back", rule(&plan["rule"]));
        }
        let mut table = Table::new(&["VERSION", "PUBLISHED", "SIZE", "WHY"]);
        for item in items {
            table.row(vec![
                text(item, "/purl").into(),
                relative(session.now(), moment(item, "/publishedAt")).into(),
                count(item, "/sizeBytes").map(bytes).into(),
                text(item, "/reason").into(),
            ]);
        }
        let digest = text(plan, "/planDigest").unwrap_or_else(|| UNKNOWN.to_owned());
        let more = if truth(plan, "/more") == Some(true) { "; there are more, for the next plan" } else { "" };
        format!(
            "{}\n\n{} would be taken back{more}; nothing was done. To do it:\nartifortress retention apply {repo} --plan {digest}{}",
            table.render(&session.screen).trim_end(),
            counted(items.len() as u64, "version"),
            session.flags.typed_again()
        )
    })
}

/// Runs one of them.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn quota(session: Session, command: QuotaCommand) -> Result<ExitCode, Failure> {
    let (repo, body) = match command {
        QuotaCommand::Show { repo } => (repo, None),
        QuotaCommand::Set { repo, max_bytes, max_versions } => (repo, Some(json!({"maxBytes": max_bytes, "maxVersions": max_versions}))),
    };
    let path = repo.as_ref().map_or_else(|| vec!["v1", "admin", "quota"], |repo| vec!["v1", "repos", repo.as_str(), "quota"]);
    let answer = match body {
        Some(body) => session.client.send(Method::PUT, &path, &body).await?,
        None => session.client.get(&path, &[]).await?,
    };
    session.tell(&answer, |found| {
        let number = |pointer| count(found, pointer).unwrap_or(0);
        let of = |limit: Option<String>| limit.map_or_else(|| "without limit".to_owned(), |limit| format!("of {limit}"));
        format!(
            "{} uses {} {} in {}, and {} {}",
            repo.as_ref().map_or_else(|| "the instance".to_owned(), |repo| format!("repo {repo}")),
            bytes(number("/usedBytes")),
            of(count(found, "/maxBytes").map(bytes)),
            counted(number("/usedBlobs"), "blob"),
            counted(number("/usedVersions"), "version"),
            of(count(found, "/maxVersions").map(|limit| limit.to_string()))
        )
    })
}
