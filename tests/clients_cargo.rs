//! The real Cargo on a real socket: publish, add, build, install, yank, and names that it treats in its own way. Invariant: it is the
//! Cargo that built this, with a home of its own, and talks to nobody but the server of the test.

use crate::support::{CargoBench, Readers, library, locked, publish, user};

#[test]
fn cargo_publishes_adds_builds_and_installs() {
    let bench = CargoBench::start();
    let cargo = &bench.cargo;
    bench.publish("fortress_util", "1.0.0").well().says(&["Published fortress_util v1.0.0"]);
    let features = "[features]\ndefault = []\nloud = [\"dep:fortress_util\"]\n\n[dependencies]\nfortress_util = { version = \"1\", registry = \"q\", optional = true }";
    publish(cargo, &library(cargo, "fortress_middle", "0.2.0", features)).well();

    let tool = cargo.clone().at("fortress-tool");
    tool.write(
        "Cargo.toml",
        user("fortress-tool", "").replace("[dependencies]", "description = \"A tool\"\nlicense = \"MIT\"\n\n[dependencies]"),
    );
    tool.write("src/main.rs", "fn main() {\n    println!(\"{} of {}\", renamed::version(), fortress_middle::version());\n}\n");
    // The other spelling is Cargo's own business: it finds the right one.
    tool.run("cargo", &["add", "fortress-util", "--rename", "renamed", "--registry", "q"]).well().says(&["fortress_util"]);
    tool.run("cargo", &["add", "fortress_middle@0.2.0", "--features", "loud", "--registry", "q"]).well();
    tool.run("cargo", &["build"]).well().says(&["Compiling fortress_util v1.0.0", "Compiling fortress-tool v0.1.0"]);
    // This time Cargo builds what it has packed, as it does unless told otherwise.
    tool.run("cargo", &["publish", "--allow-dirty"]).well().says(&["Verifying fortress-tool v0.1.0", "Published fortress-tool v0.1.0"]);

    let other = bench.fresh("other", "main", &bench.served.reader("main").secret);
    other
        .run("cargo", &["install", "fortress-tool", "--registry", "q", "--debug"])
        .well()
        .says(&["Installed package `fortress-tool v0.1.0"]);
    let installed = other.home().join(".cargo/bin/fortress-tool");
    let said = std::process::Command::new(installed).output().unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "1.0.0 of 0.2.0\n");
    other.run("cargo", &["info", "fortress_middle", "--registry", "q"]).well().says(&["fortress_middle", "0.2.0", "MIT", "loud"]);
}

#[test]
fn cargo_passes_over_what_is_yanked_and_takes_it_again_afterwards() {
    let bench = CargoBench::start();
    for version in ["1.0.0", "1.1.0"] {
        bench.publish("demo", version).well();
    }
    let before = bench.project(&bench.cargo, "before", "1");
    before.run("cargo", &["fetch"]).well();
    assert_eq!(locked(&before, "demo"), "1.1.0");
    bench.cargo.run("cargo", &["yank", "demo@1.1.0", "--registry", "q"]).well().says(&["Yank demo@1.1.0"]);
    bench.cargo.run("cargo", &["yank", "demo@1.1.0", "--registry", "q"]).well();
    let after = bench.project(&bench.fresh("after", "main", &bench.token), "after", "1");
    after.run("cargo", &["fetch"]).well();
    assert_eq!(locked(&after, "demo"), "1.0.0");
    // Whoever has locked it still gets it.
    let old = bench.project(&bench.fresh("old", "main", &bench.token), "before", "1");
    old.write("Cargo.lock", before.read("Cargo.lock"));
    old.run("cargo", &["fetch", "--locked"]).well().says(&["Downloaded demo v1.1.0"]);
    bench.cargo.run("cargo", &["yank", "--undo", "demo@1.1.0", "--registry", "q"]).well().says(&["Unyank demo@1.1.0"]);
    let again = bench.project(&bench.fresh("again", "main", &bench.token), "again", "1");
    again.run("cargo", &["fetch"]).well();
    assert_eq!(locked(&again, "demo"), "1.1.0");
    bench.cargo.run("cargo", &["yank", "demo@9.9.9", "--registry", "q"]).badly().says(&["404", "demo 9.9.9"]);
    bench.cargo.run("cargo", &["yank", "none@1.0.0", "--registry", "q"]).badly().says(&["404", "none 1.0.0"]);
}

#[test]
fn cargo_shows_changes_and_respects_the_owners_of_a_crate() {
    let bench = CargoBench::start();
    bench.publish("demo", "1.0.0").well();
    let owner = |arguments: &[&str]| bench.cargo.run("cargo", &[&["owner"], arguments, &["demo", "--registry", "q"]].concat());
    owner(&["--list"]).well().hides(&["ann"]);
    owner(&["--add", "ben"]).well().says(&["ben"]);
    owner(&["--list"]).well().says(&["ann", "ben"]);
    owner(&["--remove", "ben"]).well();
    owner(&["--list"]).well().says(&["ann"]).hides(&["ben"]);
    owner(&["--remove", "ben"]).badly();
    owner(&["--add", "no body"]).badly().says(&["subject"]);
}

#[test]
fn cargo_searches() {
    let bench = CargoBench::start();
    for name in ["fortress_one", "fortress_two", "other"] {
        bench.publish(name, "1.0.0").well();
    }
    bench.publish("fortress_one", "1.2.0").well();
    bench.publish("fortress_two", "2.0.0").well();
    bench.until_searched("fortress", 3);
    let found = bench.cargo.run("cargo", &["search", "fortress", "--registry", "q"]).well();
    let found = found.says(&["fortress_one = \"1.2.0\"", "# What fortress_one is", "fortress_two = \"1.0.0\""]);
    found.hides(&["other", "2.0.0"]);
    bench.cargo.run("cargo", &["search", "fortress", "--limit", "1", "--registry", "q"]).well().says(&["... and 1 crates more"]);
    bench.cargo.run("cargo", &["search", "nothing-like-it", "--registry", "q"]).well();
}

#[test]
fn cargo_logs_in_with_a_token_and_says_which_tokens_are_no_good() {
    let bench = CargoBench::start();
    bench.publish("demo", "1.0.0").well();
    let reader = bench.served.reader("main");
    let user = bench.fresh("user", "main", "");
    let project = bench.project(&user, "project", "1");
    let asked = project.run("cargo", &["fetch"]).badly();
    bench.served.snapshot("cargo", "no-token", &asked);
    user.run("cargo", &["login", "--registry", "q", &reader.secret]).well();
    assert!(std::fs::read_to_string(user.home().join(".cargo/credentials.toml")).unwrap().contains(&reader.secret));
    project.run("cargo", &["fetch"]).well();
    let by_variable = bench.fresh("variable", "main", "").env("CARGO_REGISTRIES_Q_TOKEN", &reader.secret);
    bench.project(&by_variable, "project", "1").run("cargo", &["fetch"]).well();
    let denied = publish(&user, &library(&user, "mine", "1.0.0", "")).badly();
    denied.says(&["403", "this needs the role write on repo main"]);
    bench.served.revoke(&reader);
    let revoked = publish(&user, &library(&user, "mine", "1.0.1", "")).badly();
    bench.served.snapshot("cargo", "revoked-token", &revoked);
    let wrong = bench.fresh("wrong", "main", &bench.served.wrong_token());
    let refused = bench.project(&wrong, "project", "1").run("cargo", &["fetch"]).badly();
    bench.served.snapshot("cargo", "wrong-token", &refused);
}

#[test]
fn cargo_needs_no_token_where_anybody_may_read() {
    let bench = CargoBench::start();
    bench.served.create_repo("open", Readers::Anybody);
    let writer = bench.fresh("writer", "open", &bench.served.writer("open").secret);
    publish(&writer, &library(&writer, "demo", "1.0.0", "")).well();
    let anybody = bench.fresh("anybody", "open", "");
    bench.project(&anybody, "project", "1").run("cargo", &["fetch"]).well().says(&["Downloaded demo v1.0.0"]);
    publish(&anybody, &library(&anybody, "mine", "1.0.0", "")).badly().says(&["no token found"]);
}

#[test]
fn cargo_publishes_odd_names_and_one_spelling_of_each() {
    let bench = CargoBench::start();
    let long = "l".repeat(64);
    let names = ["a", "ab", "abc", "Foo_Bar", "x-9_y", &long];
    let mut dependencies = String::new();
    for name in names {
        bench.publish(name, "1.0.0").well();
        dependencies.push_str(&format!("{name} = {{ version = \"1\", registry = \"q\" }}\n"));
    }
    let project = bench.cargo.clone().at("project");
    project.write("Cargo.toml", user("project", &dependencies));
    project.write("src/main.rs", "fn main() {}\n");
    project.run("cargo", &["fetch"]).well().says(&["Downloaded Foo_Bar v1.0.0", "Downloaded a v1.0.0"]);
    let refused = bench.publish("foo-bar", "2.0.0").badly();
    bench.served.snapshot("cargo", "other-spelling", &refused);
    bench.publish("nul.l", "1.0.0").badly();
    let other = bench.cargo.clone().at("other");
    other.write("Cargo.toml", user("other", "foo-bar = { version = \"1\", registry = \"q\" }"));
    other.write("src/main.rs", "fn main() {}\n");
    other.run("cargo", &["fetch"]).badly().says(&["Foo_Bar"]);
}

#[test]
fn cargo_publishes_a_version_once() {
    let bench = CargoBench::start();
    bench.publish("demo", "1.0.0").well();
    bench.publish("demo", "1.0.0").badly().says(&["crate demo@1.0.0 already exists"]);
    bench.cargo.run("cargo", &["yank", "demo@1.0.0", "--registry", "q"]).well();
    let same = bench.publish("demo", "1.0.0").badly();
    bench.served.snapshot("cargo", "again-same", &same);
    let other = library(&bench.cargo, "demo", "1.0.0", "homepage = \"http://other.test/\"");
    let other = publish(&bench.cargo, &other).badly();
    bench.served.snapshot("cargo", "again-other", &other);
}

#[test]
fn of_two_cargos_that_publish_one_version_at_once_one_wins() {
    let bench = CargoBench::start();
    for round in 0..3 {
        let name = format!("race{round}");
        let ended = std::thread::scope(|scope| {
            let cargos = ["one", "two"].map(|who| {
                let (cargo, name) = (bench.fresh(who, "main", &bench.token), name.as_str());
                scope.spawn(move || publish(&cargo, &library(&cargo, name, "1.0.0", &format!("homepage = \"http://{who}.test/\""))))
            });
            cargos.map(|cargo| cargo.join().unwrap())
        });
        let won = ended.iter().filter(|ended| ended.status == Some(0)).count();
        assert_eq!(won, 1, "{ended:?}");
        let lost = ended.into_iter().find(|ended| ended.status != Some(0)).unwrap();
        lost.says(&[&name]).hides(&["500", "503"]);
    }
}
