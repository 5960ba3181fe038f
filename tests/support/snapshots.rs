//! Reviewed texts of what a client shows: `tests/snapshots/CLIENT/CASE.txt`. Invariant: a text that differs fails the test and is
//! written below `target/tmp/snapshots`, from where it is copied once somebody has read it; nothing writes to `tests/snapshots`.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::Served;
use super::client_run::Ended;

/// What changes between runs wherever it stands, and the word for it; one after the other.
static CHANGING: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let patterns = [
        // Colours, titles and movements of a terminal; what a carriage return wrote over.
        (r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b[()][A-Z0-9]|\x1b[=>]", ""),
        (r"\r+\n", "\n"),
        (r"(?m)^.*\r", ""),
        // Where in a client's own code something was raised depends on the interpreter; the last line says what.
        (r"(?m)^(Traceback \(most recent call last\):\n)([ \t]+.*\n)+", "$1"),
        (r"(?m)^  at \S+:\d+ in .*\n([ \t→]+\d+│.*\n)*", ""),
        // Progress: bars, spinners and counts.
        (r"(?m)^.*\b(Uploading|Downloading)\b.*\d%.*\n?", ""),
        (r"(?m)^.*Resolve for environment.*\n?", ""),
        (r"(?m)^.*[━█▏▎▍▌▋▊▉░▒▓╸╺].*\n?", ""),
        (r"[⠀-⣿]+ ?", ""),
        (r"[0-9a-f]{8}(-|%2D)[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
        // The log files that clients keep, and moments.
        (r"-[a-z0-9_]{8}\.log\b", "-ID.log"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d[:_]\d\d([:_]\d\d)?([._,]\d+)?( ?Z)?", "MOMENT"),
        (r"\d+(\.\d+)? ?[kMG]?i?B/s", "SPEED"),
        (r"\b\d+:\d\d:\d\d(\.\d+)?\b", "TIME"),
        (r"\b(\d+m ?)?\d+(\.\d+)? ?(ms|µs|ns|s|secs?|seconds?|milliseconds?)\b", "TIME"),
        (r"/tmp/[A-Za-z0-9._-]*[A-Za-z0-9_]", "TEMPORARY"),
        // What a client says of a package that it has just packed, and of a moment in the words of a country.
        (r"\b[0-9a-f]{40}\b", "SHASUM"),
        (r"\bsha512-\S+", "INTEGRITY"),
        (r"Published at \S+\s+TIME\s+[AP]M", "Published at MOMENT"),
        (r"(Completed|Done|Failed with errors) in TIME( TIME)?", "$1"),
        (r"(?i)(package size|packed size): \d+ ?k?B", "$1: SIZE"),
        (r"(?m)^Resolved, downloaded and extracted \[\d+\]\n", ""),
        // The interpreter is the machine's.
        (r"\bCPython \d+\.\d+\.\d+", "CPython"),
        (r"(?m)[ \t]+$", ""),
    ];
    patterns.map(|(pattern, word)| (Regex::new(pattern).unwrap(), word)).into()
});

impl Served {
    /// Compares what a client showed with `tests/snapshots/CLIENT/CASE.txt`. A difference fails the test at its end, so that one run
    /// shows them all.
    pub fn snapshot(&self, client: &str, case: &str, ended: &Ended) {
        let shown = normalised(&ended.stdout, &ended.stderr, ended.status, &self.changing());
        let name = format!("{client}/{case}.txt");
        let reviewed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(&name);
        let known = std::fs::read_to_string(&reviewed).unwrap_or_default();
        if known == shown {
            return;
        }
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("snapshots").join(&name);
        std::fs::create_dir_all(fresh.parent().unwrap()).unwrap();
        std::fs::write(&fresh, &shown).unwrap();
        self.differs(format!(
            "a client shows something else than tests/snapshots/{name}; if it is right, copy {} there\n=== reviewed\n{known}=== now\n{shown}",
            fresh.display()
        ));
    }
}

/// What was shown without what changes between runs.
fn normalised(stdout: &str, stderr: &str, status: Option<i32>, changing: &[(String, &str)]) -> String {
    let [stdout, stderr] = [stdout, stderr].map(|text| {
        let text = changing.iter().fold(text.to_owned(), |text, (value, word)| text.replace(value, word));
        let text = CHANGING.iter().fold(text, |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned());
        text.trim_matches('\n').to_owned()
    });
    let ended = status.map_or_else(|| "killed".to_owned(), |status| format!("exit status {status}"));
    let parts = [("output", stdout), ("errors", stderr)];
    let parts = parts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("--- {name}\n{text}\n"));
    format!("{ended}\n{}", parts.collect::<String>())
}

#[test]
fn a_snapshot_has_nothing_that_changes_between_runs() {
    let changing = [("afr_secret".to_owned(), "TOKEN"), ("127.0.0.1:4711".to_owned(), "127.0.0.1:PORT")];
    let stdout = "\x1b[31mred\x1b[0m http://__token__:afr_secret@127.0.0.1:4711/q/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55  \n\
        loading 1%\rloading 100%\rdone in 1.53s\r\nResolved 1 package in 12ms\n  ━━━━ 1.2/1.2 kB 3.4 MB/s 0:00:00\n⠋ waiting\n";
    let stderr = "log: /tmp/.tmpAb12/x/2026-11-23T05_41_15_123Z-debug-0.log\nOpens 2026-11-29 10:00Z after 7 days\n";
    assert_eq!(
        normalised(stdout, stderr, Some(1), &changing),
        "exit status 1\n--- output\nred http://__token__:TOKEN@127.0.0.1:PORT/q/ID\ndone in TIME\nResolved 1 package in TIME\nwaiting\n\
         --- errors\nlog: TEMPORARY/x/MOMENT-debug-0.log\nOpens MOMENT after 7 days\n"
    );
    assert_eq!(normalised("", "", None, &[]), "killed\n");
}
