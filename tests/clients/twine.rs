//! twine. Invariant: it shows the reason phrase of a refusal, and of an accepted upload nothing that the server says.

use super::{Bench, DENIED};
use crate::support::Ended;

impl Bench {
    fn twine(&self, token: &str, files: &[&str]) -> Ended {
        let url = self.upload_url();
        let quiet = ["upload", "--non-interactive", "--disable-progress-bar", "--repository-url", &url, "-u", "__token__", "-p", token];
        self.client.run("twine", &[&quiet[..], files].concat())
    }
}

#[test]
fn twine_publishes_and_says_why_something_is_denied_or_there_already() {
    let bench = Bench::start();
    let wheel = bench.wheel("demo", "1.0");
    bench.twine(&bench.token, &[&wheel, &bench.wheel("Demo", "1.1")]).well();
    bench.twine(&bench.token, &[&wheel]).well();
    let other = bench.wheel_that("demo", "1.0", "Keywords: other\n");
    let said = bench.twine(&bench.token, &[&other]).badly().says(&["409 Conflict", "File already exists"]);
    bench.served.snapshot("twine", "other-bytes", &said);
    let said = bench.twine(&bench.token, &[&bench.wheel("demo", "6.6.6")]).badly().says(&["403", DENIED]);
    bench.served.snapshot("twine", "denied", &said);
    let said = bench.twine(&bench.token, &[&bench.wheel("demo", "2.0")]).well();
    bench.served.snapshot("twine", "held", &said);
    assert_eq!(bench.listed("demo"), ["demo-1.0-py3-none-any.whl", "demo-1.1-py3-none-any.whl", "demo-2.0-py3-none-any.whl"]);
    bench.served.review("main", "reject");
    let said = bench.twine(&bench.token, &["dist/demo-2.0-py3-none-any.whl"]).badly().says(&["rejected"]);
    bench.served.snapshot("twine", "rejected-again", &said);
}

#[test]
fn twine_publishes_nothing_without_a_token_that_may() {
    let bench = Bench::start();
    let wheel = bench.wheel("demo", "1.0");
    let served = &bench.served;
    let tokens = [
        ("wrong-token", served.wrong_token()),
        ("revoked-token", served.revoked_token("main")),
        ("read-only", served.reader("main").secret),
    ];
    for (case, token) in tokens {
        served.snapshot("twine", case, &bench.twine(&token, &[&wheel]).badly());
    }
    assert!(bench.listed("demo").is_empty());
}

#[test]
fn of_two_who_publish_one_file_at_once_one_wins_and_the_other_hears_of_it() {
    let bench = Bench::start();
    let mut files: Vec<String> = Vec::new();
    for number in 0..2 {
        let (name, bytes) = super::wheel("demo", "1.0", &format!("Keywords: number {number}\n"));
        files.push(format!("{number}/{name}"));
        bench.client.write(&files[number], bytes);
    }
    let ended: Vec<Ended> = std::thread::scope(|scope| {
        let running: Vec<_> = files.iter().map(|file| scope.spawn(|| bench.twine(&bench.token, &[file]))).collect();
        running.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let (won, lost): (Vec<Ended>, Vec<Ended>) = ended.into_iter().partition(|ended| ended.status == Some(0));
    assert_eq!((won.len(), lost.len()), (1, 1));
    for lost in lost {
        // Whether the winner was through already decides which of the two it is told.
        let said = lost.says(&["409 Conflict"]).output();
        assert!(said.contains("File already exists") || said.contains("another upload of"), "{said}");
    }
    // The same file from four at once is a success for each.
    let wheel = bench.wheel("demo", "1.1");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| bench.uv_publish(&bench.token, &[&wheel]).well());
        }
    });
    assert_eq!(bench.listed("demo").len(), 2);
}
