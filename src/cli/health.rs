//! How a server is, in words. Invariant: nothing here asks or prints; what the server does not tell is unknown and no fault.

use serde_json::Value;

use super::fields::{count, list, text, truth};
use super::index;
use super::table::{Cell, Table, UNKNOWN, bytes, counted, grouped, span};
use super::terminal::Style;

/// An event that waits longer than this is not being worked on: it is twice the delay of one that was put off once.
const OLD_EVENT_SECONDS: u64 = 600;
/// The states of jobs, in the order in which people want to read them.
const JOB_STATES: [&str; 6] = ["pending", "processing", "failed", "dead", "completed", "cancelled"];

/// One look at a server: its own documents.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// `/health/ready`.
    pub(super) ready: Value,
    /// Whether it says that it is.
    pub(super) is_ready: bool,
    /// `/v1/admin/ops/summary`.
    pub(super) summary: Value,
    /// `/v1/admin/search/status`.
    pub(super) search: Value,
}

impl Look {
    /// What is wrong, and what to do next; nothing when all is well.
    /// `flags` are those that name the server, to be typed again with what comes next.
    pub(super) fn faults(&self, flags: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let next = |command: &str| format!("artifortress {command}{flags}");
        if !self.is_ready {
            let why = text(&self.ready, "/message").unwrap_or_else(|| "the server does not say why".to_owned());
            faults.push(format!("not ready: {why}"));
        }
        let dead = |pointer| count(&self.summary, pointer).filter(|dead| *dead > 0);
        if let Some(dead) = dead("/jobs/dead") {
            faults.push(format!("{}: {}", counted(dead, "dead job"), next("jobs list --state dead")));
        }
        if let Some(failed) = dead("/jobs/failed") {
            faults.push(format!("{} that will be tried again: {}", counted(failed, "failed job"), next("jobs list --state failed")));
        }
        if let Some(dead) = dead("/outbox/dead") {
            faults.push(format!("{}: {}", counted(dead, "dead event"), next("outbox list --state dead")));
        }
        if let Some(stale) = self.stale().filter(|stale| *stale > 0) {
            faults.push(format!(
                "{} whose workers have gone, which others take up again by themselves: {}",
                counted(stale, "stale job"),
                next("jobs list --state processing")
            ));
        }
        for quota in list(&self.summary, "/nearlyFullQuotas") {
            let (whose, show) = match text(quota, "/repoKey") {
                Some(repo) => (format!("the quota of repo {repo}"), format!("quota show {repo}")),
                None => ("the quota of the instance".to_owned(), "quota show".to_owned()),
            };
            faults.push(format!("{whose} is nearly used up: {}", next(&show)));
        }
        if let Some(age) = self.oldest_seconds().filter(|age| *age > OLD_EVENT_SECONDS) {
            faults.push(format!("an event waits for {}: {}", span(age), next("outbox list --state pending")));
        }
        match self.index_state().as_deref() {
            Some("paused") => faults.push(format!("the search index is paused: {}", next("index resume"))),
            Some("unavailable") => faults.push(format!(
                "the search index cannot be used; it heals by itself when it can, and the log says why: {}",
                next("index status")
            )),
            // A rebuild is work, not a fault; a state of a newer server is not for this program to judge.
            Some(_) | None => {}
        }
        faults
    }

    /// A count as people read it. A server may stop counting somewhere, and says where.
    fn counted(&self, count: u64) -> String {
        let is_at_limit = self::count(&self.summary, "/countLimit").is_some_and(|limit| count >= limit);
        format!("{}{}", grouped(count), if is_at_limit { "+" } else { "" })
    }

    fn known(&self, pointer: &str) -> String {
        count(&self.summary, pointer).map_or_else(|| UNKNOWN.to_owned(), |count| self.counted(count))
    }

    fn stale(&self) -> Option<u64> {
        count(&self.summary, "/staleJobs")
    }

    fn oldest_seconds(&self) -> Option<u64> {
        count(&self.summary, "/outbox/oldestPendingAgeSeconds")
    }

    fn index_state(&self) -> Option<String> {
        text(&self.search, "/state").or_else(|| text(&self.summary, "/search/state"))
    }

    fn lag_seconds(&self) -> Option<u64> {
        count(&self.summary, "/search/freshnessLagSeconds")
    }

    /// All of it, under what is wrong.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(&[]);
        table.row(vec!["ready".into(), self.readiness()]);
        let oldest = match (count(&self.summary, "/outbox/pending"), self.oldest_seconds()) {
            (Some(0), _) => String::new(),
            (_, Some(age)) => format!(", the oldest for {}", span(age)),
            (_, None) => String::new(),
        };
        table.row(vec![
            "outbox".into(),
            format!("{} pending{oldest}; {} dead", self.known("/outbox/pending"), self.known("/outbox/dead")).into(),
        ]);
        table.row(vec!["jobs".into(), self.jobs().into()]);
        table.row(vec!["stale jobs".into(), self.stale().map(grouped).into()]);
        table.row(vec!["search".into(), self.index()]);
        table.row(vec!["freshness lag".into(), self.lag_seconds().map(span).into()]);
        table.row(vec!["disk free".into(), self.disk().into()]);
        table.row(vec!["open holds".into(), self.known("/openHolds").into()]);
        for (index, rule) in list(&self.summary, "/wouldHaveStopped/rules").iter().enumerate() {
            let name = if index == 0 { "would have stopped" } else { "" };
            table.row(vec![name.into(), observed(rule).into()]);
        }
        table
    }

    fn readiness(&self) -> Cell {
        let part = |name: &str| {
            truth(&self.ready, &format!("/{name}")).map(|is_well| format!("{name} {}", if is_well { "ok" } else { "failing" }))
        };
        let parts: Vec<String> = ["writer", "disk", "workers"].iter().filter_map(|name| part(name)).collect();
        let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        if self.is_ready {
            Cell::styled(Some(Style::Good), format!("yes{parts}"))
        } else {
            Cell::styled(Some(Style::Bad), format!("no{parts}"))
        }
    }

    fn jobs(&self) -> String {
        let states = JOB_STATES.iter().filter_map(|state| Some((state, count(&self.summary, &format!("/jobs/{state}"))?)));
        let counts: Vec<String> =
            states.filter(|(_, count)| *count > 0).map(|(state, count)| format!("{} {state}", self.counted(count))).collect();
        match self.summary.pointer("/jobs") {
            Some(_) if counts.is_empty() => "none".to_owned(),
            Some(_) => counts.join(", "),
            None => UNKNOWN.to_owned(),
        }
    }

    /// What is free, such as `12.3 GiB of 40.0 GiB`.
    fn disk(&self) -> Option<String> {
        let size = count(&self.summary, "/disk/sizeBytes").map_or_else(String::new, |size| format!(" of {}", bytes(size)));
        Some(format!("{}{size}", bytes(count(&self.summary, "/disk/freeBytes")?)))
    }

    fn index(&self) -> Cell {
        let state = self.index_state();
        let style = match state.as_deref() {
            Some("ready") => Some(Style::Good),
            Some("paused" | "unavailable") => Some(Style::Bad),
            Some(_) | None => None,
        };
        let documents = count(&self.search, "/documents").map(|documents| format!(", {}", counted(documents, "version")));
        let progress = index::progress(&self.search).map(|progress| format!(", rebuilt to {progress}"));
        Cell::styled(
            style,
            format!("{}{}{}", state.as_deref().unwrap_or(UNKNOWN), documents.unwrap_or_default(), progress.unwrap_or_default()),
        )
    }

    /// All of it on one line, for a log.
    pub(super) fn line(&self, flags: &str) -> String {
        let faults = self.faults(flags);
        let state = if faults.is_empty() { "all is well".to_owned() } else { faults.join("; ") };
        format!(
            "{state} | outbox: {} pending | jobs: {} | open holds: {}",
            self.known("/outbox/pending"),
            self.jobs(),
            self.known("/openHolds")
        )
    }
}

/// What a rule on observation would have done in the last days.
fn observed(rule: &Value) -> String {
    let text = |pointer| text(rule, pointer).unwrap_or_else(|| UNKNOWN.to_owned());
    let package = self::text(rule, "/lastPackage").map_or_else(String::new, |package| format!(", last {package}"));
    let count = format!("{} × {}", grouped(count(rule, "/count").unwrap_or(0)), text("/decision"));
    format!("{} in {}: {count} in 7 days{package}", text("/rule"), text("/repoKey"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn well() -> Look {
        Look {
            ready: json!({"status": "ready", "writer": true, "disk": true}),
            is_ready: true,
            summary: json!({
                "outbox": {"pending": 0, "dead": 0, "oldestPendingAgeSeconds": null},
                "jobs": {"completed": 1200, "dead": 0}, "openHolds": 2, "search": {"state": "ready"}
            }),
            search: json!({"state": "ready", "documents": 1200, "rebuild": null}),
        }
    }

    fn shown(look: &Look) -> String {
        look.table().render(&super::super::terminal::Screen::of_nobody())
    }

    #[test]
    fn a_server_that_works_is_well() {
        let look = well();
        assert_eq!(look.faults(""), Vec::<String>::new());
        let shown = shown(&look);
        for line in [
            "ready          yes (writer ok, disk ok)",
            "jobs           1,200 completed",
            "search         ready, 1,200 versions",
            "open holds     2",
            "freshness lag  unknown",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line:?} in:\n{shown}");
        }
        assert_eq!(look.line(""), "all is well | outbox: 0 pending | jobs: 1,200 completed | open holds: 2");
    }

    #[test]
    fn each_fault_is_told_with_what_to_do_next() {
        let mut look = well();
        look.is_ready = false;
        look.ready = json!({"error": "unavailable", "message": "the disk is full", "writer": true, "disk": false});
        look.summary["jobs"]["dead"] = json!(3);
        look.summary["jobs"]["failed"] = json!(2);
        look.summary["outbox"] = json!({"pending": 1, "dead": 1, "oldestPendingAgeSeconds": 7300});
        look.search = json!({"state": "paused"});
        assert_eq!(
            look.faults(" --data-dir /srv/a"),
            [
                "not ready: the disk is full",
                "3 dead jobs: artifortress jobs list --state dead --data-dir /srv/a",
                "2 failed jobs that will be tried again: artifortress jobs list --state failed --data-dir /srv/a",
                "1 dead event: artifortress outbox list --state dead --data-dir /srv/a",
                "an event waits for 2 h: artifortress outbox list --state pending --data-dir /srv/a",
                "the search index is paused: artifortress index resume --data-dir /srv/a",
            ]
        );
        assert!(shown(&look).contains("no (writer ok, disk failing)"));
        assert!(look.line("").starts_with("not ready: the disk is full; 3 dead jobs"));
    }

    #[test]
    fn the_newer_members_of_the_summary_are_shown() {
        let mut look = well();
        look.summary["countLimit"] = json!(1200);
        look.summary["staleJobs"] = json!(2);
        look.summary["search"] = json!({"state": "ready", "freshnessLagSeconds": 90});
        look.summary["disk"] = json!({"freeBytes": 3_u64 << 29, "sizeBytes": 10_u64 << 30});
        let shown = shown(&look);
        for part in ["1,200+ completed", "stale jobs     2", "freshness lag  1 min", "disk free      1.5 GiB of 10.0 GiB"] {
            assert!(shown.contains(part), "{part:?} in:\n{shown}");
        }
        assert!(look.faults("").iter().any(|fault| fault.starts_with("2 stale jobs")), "{:?}", look.faults(""));
    }

    #[test]
    fn a_rebuild_is_no_fault_and_shows_how_far_it_is() {
        let mut look = well();
        look.search = json!({"state": "rebuilding", "documents": 50, "rebuild": {"indexed": 50, "total": 200}});
        assert_eq!(look.faults(""), Vec::<String>::new());
        assert!(shown(&look).contains("rebuilding, 50 versions, rebuilt to 25 % (50 of 200 versions)"));
    }

    #[test]
    fn a_server_that_tells_nothing_is_unknown_but_no_fault() {
        let look = Look { is_ready: true, ..Look::default() };
        assert_eq!(look.faults(""), Vec::<String>::new());
        assert!(shown(&look).lines().all(|line| line.contains("unknown") || line.starts_with("ready")), "{}", shown(&look));
    }
}
