//! What the real Cargo shows of crates that are held, rejected or denied, as reviewed snapshots. Invariant: a requirement that something
//! else meets is met by that; whatever asks for the withheld version itself ends with the reason as far as Cargo shows one.

use crate::support::{CargoBench, library, locked, publish};

#[test]
fn cargo_tells_the_publisher_that_a_crate_is_held_or_denied() {
    let bench = CargoBench::start();
    let held = bench.publish("demo", "2.0.0").well();
    bench.served.snapshot("cargo", "held-publish", &held);
    let again = bench.publish("demo", "2.0.0").badly();
    bench.served.snapshot("cargo", "held-publish-again", &again);
    let denied = bench.publish("demo", "6.6.6").badly();
    bench.served.snapshot("cargo", "denied-publish", &denied);
    bench.served.review("main", "reject");
    let rejected = bench.publish("demo", "2.0.0").badly();
    bench.served.snapshot("cargo", "rejected-publish-again", &rejected);
    bench.served.set_policy("main", "");
    bench.publish("demo", "6.6.6").well();
}

#[test]
fn cargo_falls_back_past_a_held_version_names_it_when_pinned_and_takes_it_once_released() {
    let bench = CargoBench::start();
    bench.publish("demo", "1.0.0").well();
    bench.publish("demo", "2.0.0").well();
    let range = bench.project(&bench.cargo, "range", ">=1");
    range.run("cargo", &["fetch"]).well();
    assert_eq!(locked(&range, "demo"), "1.0.0");
    let pinned = bench.project(&bench.cargo, "pinned", "=2.0.0");
    let refused = pinned.run("cargo", &["fetch"]).badly();
    bench.served.snapshot("cargo", "held-pin", &refused);
    let add = range.run("cargo", &["add", "demo@2.0.0", "--registry", "q"]);
    bench.served.snapshot("cargo", "held-add", &add);
    let install = bench.cargo.run("cargo", &["install", "demo", "--version", "2.0.0", "--registry", "q"]).badly();
    bench.served.snapshot("cargo", "held-install", &install);

    bench.served.review("main", "release");
    pinned.run("cargo", &["fetch"]).well().says(&["Downloaded demo v2.0.0"]);
    let range = bench.project(&bench.fresh("later", "main", &bench.token), "range", ">=1");
    range.run("cargo", &["fetch"]).well();
    assert_eq!(locked(&range, "demo"), "2.0.0");
}

#[test]
fn cargo_shows_the_reason_where_a_lock_file_names_what_is_held() {
    let bench = CargoBench::start();
    bench.publish("demo", "1.0.0").well();
    let with_dependency = "[dependencies]\ndemo = { version = \"1\", registry = \"q\" }";
    publish(&bench.cargo, &library(&bench.cargo, "middle", "1.0.0", with_dependency)).well();
    bench.publish("demo", "1.5.0").well();
    let project = bench.project(&bench.cargo, "project", "1");
    project.run("cargo", &["fetch"]).well();
    assert_eq!(locked(&project, "demo"), "1.5.0");
    bench.hold("1.5.0");
    let fresh = bench.project(&bench.fresh("fresh", "main", &bench.token), "project", "1");
    fresh.write("Cargo.lock", project.read("Cargo.lock"));
    let refused = fresh.run("cargo", &["fetch", "--locked"]).badly();
    bench.served.snapshot("cargo", "held-locked", &refused);
    // Without its token the same lock file tells the kind of reason only.
    bench.served.api("PATCH", "/v1/repos/main", &serde_json::json!({"anonymousRead": true}));
    let anybody = bench.project(&bench.fresh("anybody", "main", ""), "project", "1");
    anybody.write("Cargo.lock", project.read("Cargo.lock"));
    let refused = anybody.run("cargo", &["fetch", "--locked"]).badly().hides(&["somebody looked at it"]);
    bench.served.snapshot("cargo", "held-locked-anonymous", &refused);
    // Who has it already goes on with it, and an update finds what is open.
    project.run("cargo", &["build", "--locked"]).well();
    fresh.run("cargo", &["update"]).well();
    assert_eq!(locked(&fresh, "demo"), "1.0.0");
    fresh.run("cargo", &["fetch", "--locked"]).well();

    bench.served.review("main", "reject");
    let rejected = bench.project(&bench.fresh("rejected", "main", &bench.token), "project", "1");
    rejected.write("Cargo.lock", project.read("Cargo.lock"));
    let refused = rejected.run("cargo", &["fetch", "--locked"]).badly();
    bench.served.snapshot("cargo", "rejected-locked", &refused);
}
