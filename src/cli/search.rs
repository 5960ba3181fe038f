//! `search`: packages of a running server. Invariant: an answer without the index says so.

use std::process::ExitCode;

use serde_json::Value;

use super::complain;
use super::failure::Failure;
use super::fields::{count, list, moment, text, truth};
use super::pages::{Extent, collect};
use super::session::Session;
use super::table::{Table, counted, relative};
use super::terminal::{Screen, Style};
use crate::domain::name::{PackageType, RepoKey};

/// What to look for.
#[derive(Debug, clap::Args)]
pub(super) struct SearchArguments {
    /// Words, beginnings of words, or parts of a name.
    query: String,
    /// Only in this repo.
    #[arg(long)]
    repo: Option<RepoKey>,
    /// Only packages of this type, such as pypi.
    #[arg(long = "type", value_name = "TYPE")]
    package_type: Option<PackageType>,
    #[command(flatten)]
    extent: Extent,
}

/// Searches.
///
/// # Errors
/// When nobody answers, or with a refusal.
pub(super) async fn run(session: Session, arguments: SearchArguments) -> Result<ExitCode, Failure> {
    let SearchArguments { query, repo, package_type, extent } = arguments;
    let mut asked = vec![("q", query.clone())];
    asked.extend(package_type.map(|package_type| ("type", package_type.to_string())));
    let repo = repo.map(|repo| repo.to_string());
    let in_repo = repo.as_deref().map(|repo| ["v1", "repos", repo, "search", "packages"]);
    let path: &[&str] = in_repo.as_ref().map_or(&["v1", "search"], |path| path.as_slice());
    let found = collect(&session.client, path, &asked, &extent).await?;
    let mut table = Table::new(&["REPO", "TYPE", "PACKAGE", "VERSION", "PUBLISHED"]);
    for hit in &found.items {
        table.row(vec![
            text(hit, "/repoKey").into(),
            text(hit, "/packageType").into(),
            name(hit).into(),
            text(hit, "/version").into(),
            relative(session.now(), moment(hit, "/publishedAt")).into(),
        ]);
        if let Some(snippet) = snippet(&session.screen, hit) {
            table.note(format!("    {snippet}"));
        }
    }
    if truth(&found.first, "/degraded") == Some(true) && !session.is_json {
        complain("the search index does not answer; these are names from the catalogue (artifortress index status tells why)");
    }
    let done = session.list(&found, "packages", &table)?;
    let more = if truth(&found.first, "/hasMore") == Some(true) { "at least " } else { "" };
    match count(&found.first, "/totalCount") {
        Some(total) if total > 0 && !session.is_json => session.screen.print(&format!("{more}{} found", counted(total, "version")))?,
        Some(_) | None => {}
    }
    Ok(done)
}

/// The name as its ecosystem writes it, as far as namespaces go.
fn name(hit: &Value) -> Option<String> {
    let name = text(hit, "/packageName")?;
    match text(hit, "/packageNamespace").filter(|namespace| !namespace.is_empty()) {
        Some(namespace) => Some(format!("{namespace}/{name}")),
        None => Some(name),
    }
}

/// The text around the hit, with what was searched for standing out.
fn snippet(screen: &Screen, hit: &Value) -> Option<String> {
    let parts = list(hit, "/snippet");
    let shown: String = parts
        .iter()
        .filter_map(|part| {
            let words = text(part, "/text")?;
            Some(if truth(part, "/matched") == Some(true) { screen.paint(Style::Strong, &words) } else { words })
        })
        .collect();
    (!shown.trim().is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_shown_as_far_as_it_is_understood() {
        let hit = serde_json::json!({"packageNamespace": "@babel", "packageName": "core", "snippet": [{"text": "a "}, {"text": "compi\u{1b}ler", "matched": true}, {}, 7]});
        assert_eq!(name(&hit).unwrap(), "@babel/core");
        assert_eq!(snippet(&Screen::of_nobody(), &hit).unwrap(), "a compi\u{fffd}ler");
        assert_eq!((name(&Value::Null), snippet(&Screen::of_nobody(), &Value::Null)), (None, None));
    }
}
