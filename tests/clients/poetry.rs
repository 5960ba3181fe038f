//! poetry. Invariant: it works with a virtual environment of its own below its project.

use super::{Bench, DENIED, HELD, YANKED};
use crate::support::{Client, Ended};

impl Bench {
    /// A project that needs this, such as `"demo>=1"`, in a directory of its own, which is also its name.
    fn poetry_project(&self, directory: &str, version: &str, needs: &str) -> Client {
        let project = self.client.clone().at(directory);
        let settings = [
            ("POETRY_HTTP_BASIC_Q_USERNAME", "__token__"),
            ("POETRY_HTTP_BASIC_Q_PASSWORD", &self.token),
            ("POETRY_REPOSITORIES_Q_URL", &self.upload_url()),
            ("POETRY_PYPI_TOKEN_Q", &self.token),
            ("POETRY_VIRTUALENVS_IN_PROJECT", "true"),
            ("POETRY_VIRTUALENVS_OPTIONS_NO_PIP", "true"),
        ];
        let project = settings.iter().fold(project, |project, (name, value)| project.env(name, value));
        let text = format!(
            "[project]\nname = \"{directory}\"\nversion = \"{version}\"\nrequires-python = \">=3.10\"\ndependencies = [{needs}]\n\
             [[tool.poetry.source]]\nname = \"q\"\nurl = \"{}\"\npriority = \"primary\"\n\
             [build-system]\nrequires = [\"poetry-core\"]\nbuild-backend = \"poetry.core.masonry.api\"\n",
            self.served.url("/pypi/main/simple/")
        );
        project.write("pyproject.toml", text);
        project.write(&format!("{}/__init__.py", directory.replace('-', "_")), "");
        project
    }
}

fn poetry(project: &Client, arguments: &[&str]) -> Ended {
    project.run("poetry", &[arguments, &["--no-interaction", "--no-ansi"]].concat())
}

/// Resolves anew and installs.
fn install(project: &Client) -> Ended {
    drop(std::fs::remove_file(project.directory().join("poetry.lock")));
    poetry(project, &["lock"]).well();
    poetry(project, &["sync", "--no-root"])
}

/// The version of a package that a project would import.
fn imported(project: &Client, package: &str) -> String {
    let code = format!("import importlib.metadata as m; print(m.version('{package}'))");
    project.run(".venv/bin/python", &["-c", &code]).well().stdout.trim().to_owned()
}

#[test]
fn poetry_installs_ranges_pins_and_lock_files_and_passes_over_what_is_held_or_yanked() {
    let bench = Bench::stocked();
    let project = bench.poetry_project("use", "1.0", "\"app>=1\", \"stale\", \"ODD.name_X\"");
    install(&project).well();
    let found = ["demo", "stale", "odd-name-x"].map(|package| imported(&project, package));
    assert_eq!(found, ["1.1", "1.0", "1.0.post1+local.1"]);
    assert!(project.read("poetry.lock").contains(&bench.sha256("dist/demo-1.1-py3-none-any.whl")));

    // The lock file alone decides, also when there is something newer.
    bench.served.review("main", "release");
    poetry(&project, &["sync", "--no-root"]).well();
    assert_eq!(imported(&project, "demo"), "1.1");

    // Locked while it was free, held since.
    bench.poetry_project("use", "1.0", "\"stale==1.2\"");
    bench.served.snapshot("poetry", "yanked-pin", &poetry(&project, &["lock"]).well().says(&[YANKED]));
    bench.poetry_project("use", "1.0", "\"demo==2.0\"");
    poetry(&project, &["lock"]).well();
    bench.hold("demo", "2.0");
    let said = poetry(&project, &["install", "--no-root"]).badly();
    bench.served.snapshot("poetry", "held-lock", &said.says(&["423 Client Error: demo-2.0-py3-none-any.whl quarantined: "]));
}

#[test]
fn poetry_says_why_a_version_is_held_and_installs_what_was_released() {
    let bench = Bench::stocked();
    let project = bench.poetry_project("use", "1.0", "\"demo==2.0\"");
    let said = poetry(&project, &["lock"]).badly();
    bench.served.snapshot("poetry", "held-pin", &said.says(&[HELD]));
    bench.poetry_project("use", "1.0", "\"demo>1.5\"");
    let said = poetry(&project, &["lock"]).badly();
    bench.served.snapshot("poetry", "held-range", &said);
    bench.served.review("main", "release");
    install(&project).well();
    assert_eq!(imported(&project, "demo"), "2.0");
}

#[test]
fn poetry_publishes_what_it_built_and_says_why_something_is_denied_or_there_already() {
    let bench = Bench::start();
    let publish = |project: &Client| poetry(project, &["publish", "-r", "q"]);
    let project = bench.poetry_project("po-lib", "1.0", "");
    poetry(&project, &["build"]).well();
    publish(&project).well();
    publish(&project).well();
    assert_eq!(bench.listed("po-lib"), ["po_lib-1.0-py3-none-any.whl", "po_lib-1.0.tar.gz"]);
    project.write("po_lib/__init__.py", "OTHER = 1\n");
    poetry(&project, &["build"]).well();
    bench.served.snapshot("poetry", "other-bytes", &publish(&project).badly().says(&["File already exists"]));

    for (version, case) in [("6.6.6", "denied"), ("2.0", "held")] {
        let project = bench.poetry_project("po-lib", version, "");
        poetry(&project, &["build", "--clean"]).well();
        let said = publish(&project);
        bench.served.snapshot("poetry", &format!("publish-{case}"), &said);
        if case == "denied" {
            said.badly().says(&[DENIED]);
        } else {
            said.well();
        }
    }
}

#[test]
fn poetry_gets_and_publishes_nothing_without_a_token_that_is_valid() {
    let bench = Bench::stocked();
    let project = bench.poetry_project("use", "1.0", "\"demo\"");
    poetry(&project, &["build"]).well();
    for (case, token) in [("wrong-token", bench.served.wrong_token()), ("revoked-token", bench.served.revoked_token("main"))] {
        let project = project.clone().env("POETRY_HTTP_BASIC_Q_PASSWORD", &token).env("POETRY_PYPI_TOKEN_Q", &token);
        bench.served.snapshot("poetry", case, &poetry(&project, &["lock"]).badly());
        let said = poetry(&project, &["publish", "-r", "q"]).badly();
        bench.served.snapshot("poetry", &format!("publish-{case}"), &said);
    }
}
