//! pip. Invariant: it shows of a refused file the reason phrase and nothing else, so each of its snapshots has the whole line in it.

use super::{Bench, HELD, YANKED};
use crate::support::Ended;

impl Bench {
    fn pip_from(&self, index: &str, target: &str, wanted: &[&str]) -> Ended {
        let quiet = ["--isolated", "--no-input", "--no-cache-dir", "--disable-pip-version-check"];
        let from = ["-m", "pip", "install", "--index-url", index, "--target", target];
        self.client.run("python", &[&from[..], &quiet, wanted].concat())
    }

    fn pip(&self, target: &str, wanted: &str) -> Ended {
        self.pip_from(&self.index(), target, &[wanted])
    }
}

#[test]
fn pip_installs_pins_ranges_lock_files_and_any_spelling() {
    let bench = Bench::stocked();
    bench.pip("plain", "demo").well();
    bench.pip("pin", "demo==1.0").well();
    bench.pip("range", "demo<1.1").well();
    bench.pip("needs", "app").well();
    let found = ["plain", "pin", "range", "needs"].map(|target| bench.installed(target, "demo"));
    assert_eq!(found, ["1.1", "1.0", "1.0", "1.1"]);
    for (target, spelling) in [("one", "odd-name.X"), ("other", "ODD__NAME__X==1.0.post1+local.1")] {
        bench.pip(target, spelling).well();
        assert_eq!(bench.installed(target, "odd_name_x"), "1.0.post1+local.1");
    }
    let lock = format!("demo==1.1 --hash=sha256:{}\n", bench.sha256("dist/demo-1.1-py3-none-any.whl"));
    bench.client.write("requirements.txt", lock);
    bench.pip_from(&bench.index(), "locked", &["--require-hashes", "-r", "requirements.txt"]).well();
    assert_eq!(bench.installed("locked", "demo"), "1.1");
}

#[test]
fn pip_says_why_a_version_is_held_or_rejected_passes_it_over_and_installs_what_was_released() {
    let bench = Bench::stocked();
    let said = bench.pip("pinned", "demo==2.0").badly().says(&["423 Client Error", HELD]);
    bench.served.snapshot("pip", "held-pin", &said);
    let said = bench.pip("only", "demo>1.5").badly();
    bench.served.snapshot("pip", "held-range", &said);
    bench.pip("range", "demo>=1.0").well();
    assert_eq!(bench.installed("range", "demo"), "1.1");
    let lock = format!("demo==2.0 --hash=sha256:{}\n", bench.sha256("dist/demo-2.0-py3-none-any.whl"));
    bench.client.write("requirements.txt", lock);
    let said = bench.pip_from(&bench.index(), "locked", &["--require-hashes", "-r", "requirements.txt"]).badly().says(&[HELD]);
    bench.served.snapshot("pip", "held-lock", &said);

    bench.served.review("main", "release");
    bench.pip("pinned", "demo==2.0").well();
    bench.pip_from(&bench.index(), "locked", &["--require-hashes", "-r", "requirements.txt"]).well();
    assert_eq!(["pinned", "locked"].map(|target| bench.installed(target, "demo")), ["2.0", "2.0"]);

    bench.uv_publish(&bench.token, &[&bench.wheel("demo", "2.1")]).well();
    bench.served.review("main", "reject");
    let said = bench.pip("rejected", "demo==2.1").badly().says(&["rejected"]);
    bench.served.snapshot("pip", "rejected-pin", &said);
}

#[test]
fn pip_skips_what_is_yanked_and_says_why_when_it_is_pinned() {
    let bench = Bench::stocked();
    bench.pip("range", "stale").well();
    let said = bench.pip("pinned", "stale==1.2").well().says(&[YANKED]);
    assert_eq!(["range", "pinned"].map(|target| bench.installed(target, "stale")), ["1.0", "1.2"]);
    bench.served.snapshot("pip", "yanked-pin", &said);
}

#[test]
fn pip_gets_nothing_without_a_token_that_is_valid() {
    let bench = Bench::stocked();
    let tokens = [("wrong-token", bench.served.wrong_token()), ("revoked-token", bench.served.revoked_token("main"))];
    for (case, token) in tokens {
        let said = bench.pip_from(&bench.index_of(&token), "none", &["demo"]).badly();
        bench.served.snapshot("pip", case, &said);
    }
    let said = bench.pip_from(&bench.served.url("/pypi/main/simple/"), "none", &["demo"]).badly();
    bench.served.snapshot("pip", "no-token", &said);
}
