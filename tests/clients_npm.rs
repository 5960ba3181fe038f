//! npm, pnpm, yarn and bun on a real socket. Invariant: each case runs with each of them; where one of them cannot say why something is
//! refused, the test says what it shows instead.

use std::thread;

use serde_json::{Value, json};

use crate::support::{Ended, Machine, Served, Tool, text};

const HELD: &str = "younger than 7 days (rule cooldown)";

/// A server, and a machine whose token may publish.
struct Bench {
    served: Served,
    machine: Machine,
    tool: Tool,
}

impl Bench {
    fn start(tool: Tool) -> Bench {
        let served = Served::start();
        let token = served.writer("main").secret;
        Bench { machine: Machine::new(&served, tool.program(), tool, &token), served, tool }
    }

    /// One more machine with a token of its own.
    fn other(&self, name: &str) -> Machine {
        Machine::new(&self.served, name, self.tool, &self.served.writer("main").secret)
    }

    fn publish(&self, name: &str, version: &str) -> Ended {
        self.machine.package(name, version, "module.exports = 1\n").publish()
    }

    /// Installs into a project of its own and gives the version that was taken.
    #[track_caller]
    fn taken(&self, project: &str, name: &str, wanted: &str) -> String {
        let project = self.machine.project(project);
        project.install(&format!("{name}{wanted}")).well();
        project.installed(name)
    }

    fn snapshot(&self, case: &str, ended: &Ended) {
        self.served.snapshot(self.tool.program(), case, ended);
    }

    /// Holds a published version by hand.
    fn hold(&self, name: &str, version: &str) {
        let found = format!("/v1/repos/main/packages/versions/resolve?packageType=npm&name={name}&version={version}");
        let id = text(&self.served.api("GET", &found, &Value::Null), "versionId");
        self.served.api("POST", &format!("/v1/repos/main/versions/{id}/quarantine"), &json!({"reason": "looks strange"}));
    }
}

fn publishes_and_installs(tool: Tool) {
    let bench = Bench::start(tool);
    for (name, version) in [("demo", "1.0.0"), ("demo", "1.1.0"), ("@team/scoped", "1.0.0")] {
        bench.publish(name, version).well();
    }
    // Whoever publishes last is the latest, as the client asks for.
    bench.publish("demo", "1.2.0").well();
    assert_eq!(bench.taken("plain", "demo", ""), "1.2.0");
    assert_eq!(bench.taken("pinned", "demo", "@1.0.0"), "1.0.0");
    assert_eq!(bench.taken("range", "demo", "@~1.1.0"), "1.1.0");
    assert_eq!(bench.taken("scoped", "@team/scoped", "@^1.0.0"), "1.0.0");
    let locked = bench.machine.existing("range").copied_to(&bench.other("fresh"), "locked");
    locked.install_locked().well();
    assert_eq!(locked.installed("demo"), "1.1.0");
}

fn passes_a_held_version_over(tool: Tool) {
    let bench = Bench::start(tool);
    bench.publish("demo", "1.0.0").well();
    let held = bench.publish("demo", "2.0.0").well();
    bench.snapshot("publish-held", &held);
    assert_eq!(bench.taken("plain", "demo", ""), "1.0.0");
    assert_eq!(bench.taken("range", "demo", "@>=1.0.0"), "1.0.0");
    let pinned = bench.machine.project("pinned").install("demo@2.0.0").badly();
    bench.snapshot("held-pin", &pinned);
    let range = bench.machine.project("only-held").install("demo@^2.0.0").badly();
    match tool {
        Tool::Npm => {
            held.says(&[HELD]);
            let url = bench.served.url("/q/");
            pinned.says(&["E403", "due to policy violations", HELD, "Use 1.0.0 or ask: ", &url]).hides(&["***"]);
            range.says(&["due to policy violations", HELD]);
        }
        // These say nothing of what is not in the list of versions.
        Tool::Pnpm | Tool::Yarn | Tool::Bun => drop(range),
    }
    bench.served.review("main", "release");
    let fresh = bench.other("after").project("released");
    fresh.install("demo@2.0.0").well();
    assert_eq!(fresh.installed("demo"), "2.0.0");
}

fn a_lockfile_does_not_bring_a_held_version(tool: Tool) {
    let bench = Bench::start(tool);
    bench.publish("demo", "1.0.0").well();
    bench.publish("demo", "1.1.0").well();
    assert_eq!(bench.taken("first", "demo", "@1.1.0"), "1.1.0");
    bench.hold("demo", "1.1.0");
    let project = bench.machine.existing("first").copied_to(&bench.other("second"), "locked");
    let refused = project.install_locked().badly();
    bench.snapshot("held-lockfile", &refused);
    match tool {
        Tool::Npm => refused.says(&["E403", "demo 1.1.0 quarantined: looks strange (rule manual). Use 1.0.0 or ask: "]),
        Tool::Yarn => refused.says(&["403", "demo 1.1.0 quarantined: looks strange (rule manual). Use 1.0.0 or ask: "]),
        Tool::Pnpm | Tool::Bun => refused.says(&["403"]),
    };
    bench.served.review("main", "release");
    let project = bench.machine.existing("first").copied_to(&bench.other("third"), "locked");
    project.install_locked().well();
    assert_eq!(project.installed("demo"), "1.1.0");
}

fn shows_why_a_publish_is_denied(tool: Tool) {
    let bench = Bench::start(tool);
    let denied = bench.publish("demo", "6.6.6").badly();
    bench.snapshot("publish-denied", &denied);
    // One of them breaks lines.
    denied.says(&["403", "was denied: the number of the beast (rule"]);
    bench.machine.project("none").install("demo@6.6.6").badly();
}

fn never_publishes_other_content_under_a_version(tool: Tool) {
    let bench = Bench::start(tool);
    bench.publish("demo", "1.0.0").well();
    let again = bench.publish("demo", "1.0.0");
    let other = bench.machine.package("demo", "1.0.0", "module.exports = 2\n").publish().badly();
    match tool {
        // It looks first and publishes nothing that is there.
        Tool::Npm => {
            again.badly().says(&["cannot publish over the previously published versions: 1.0.0"]);
            other.says(&["cannot publish over the previously published versions: 1.0.0"]);
        }
        Tool::Pnpm | Tool::Yarn | Tool::Bun => {
            again.well();
            other.says(&["cannot publish over the previously published version 1.0.0"]);
        }
    }
}

fn is_told_when_its_token_is_no_good(tool: Tool) {
    let bench = Bench::start(tool);
    bench.publish("demo", "1.0.0").well();
    let tokens = [("wrong", bench.served.wrong_token()), ("revoked", bench.served.revoked_token("main"))];
    for (name, token) in &tokens {
        let machine = Machine::new(&bench.served, name, tool, token);
        let words = match tool {
            Tool::Npm | Tool::Pnpm => "401",
            Tool::Yarn => "Invalid authentication",
            Tool::Bun => "unable to authenticate",
        };
        machine.package("demo", "1.1.0", "module.exports = 1\n").publish().badly().says(&[words]);
        machine.project("none").install("demo").badly().says(&[if tool == Tool::Yarn { words } else { "401" }]);
    }
    let reader = Machine::new(&bench.served, "reader", tool, &bench.served.reader("main").secret);
    reader.package("demo", "1.1.0", "module.exports = 1\n").publish().badly().says(&["403"]);
    let project = reader.project("reading");
    project.install("demo").well();
    assert_eq!(project.installed("demo"), "1.0.0");
}

fn one_of_two_publishes_at_once_wins(tool: Tool) {
    let bench = Bench::start(tool);
    let machines = [("one", "module.exports = 'one'\n"), ("two", "module.exports = 'two'\n")];
    let packages = machines.map(|(name, content)| bench.other(name).package("demo", "1.0.0", content));
    let ended = packages.map(|package| thread::spawn(move || package.publish())).map(|publishing| publishing.join().unwrap());
    let won = ended.iter().filter(|ended| ended.status == Some(0)).count();
    assert_eq!(won, 1, "{ended:?}");
    let lost = ended.into_iter().find(|ended| ended.status != Some(0)).unwrap();
    let words = ["over the previously published version", "over existing version", "409", "already"];
    assert!(words.iter().any(|words| lost.output().contains(words)), "{}", lost.output());
    assert_eq!(bench.taken("winner", "demo", "@1.0.0"), "1.0.0");
}

macro_rules! clients {
    ($($tool:ident $module:ident;)+) => {$(
        mod $module {
            use super::Tool;

            #[test]
            fn publishes_and_installs() {
                super::publishes_and_installs(Tool::$tool);
            }

            #[test]
            fn passes_a_held_version_over_and_takes_it_once_it_is_released() {
                super::passes_a_held_version_over(Tool::$tool);
            }

            #[test]
            fn a_lockfile_does_not_bring_a_held_version() {
                super::a_lockfile_does_not_bring_a_held_version(Tool::$tool);
            }

            #[test]
            fn shows_why_a_publish_is_denied() {
                super::shows_why_a_publish_is_denied(Tool::$tool);
            }

            #[test]
            fn never_publishes_other_content_under_a_version() {
                super::never_publishes_other_content_under_a_version(Tool::$tool);
            }

            #[test]
            fn is_told_when_its_token_is_no_good() {
                super::is_told_when_its_token_is_no_good(Tool::$tool);
            }

            #[test]
            fn one_of_two_publishes_at_once_wins_and_the_other_is_told() {
                super::one_of_two_publishes_at_once_wins(Tool::$tool);
            }
        }
    )+};
}

clients! {
    Npm npm;
    Pnpm pnpm;
    Yarn yarn;
    Bun bun;
}
