//! flit, hatch and pdm, which publish like the others; pdm installs too. Invariant: each publishes what it is given, once more without
//! harm, and says as much of a denial as it ever does.

use super::Bench;
use crate::support::{Client, Ended};

/// A project of flit, which builds what it publishes.
fn flit_project(bench: &Bench, version: &str) -> Client {
    let project = bench.client.clone().at("flit").env("FLIT_INDEX_URL", &bench.upload_url());
    let project = project.env("FLIT_USERNAME", "__token__").env("FLIT_PASSWORD", &bench.token).env("SOURCE_DATE_EPOCH", "1700000000");
    project.write("fly.py", format!("\"\"\"Made by flit.\"\"\"\n__version__ = \"{version}\"\n"));
    project.write(
        "pyproject.toml",
        "[build-system]\nrequires = [\"flit_core >=3.2\"]\nbuild-backend = \"flit_core.buildapi\"\n[project]\nname = \"fly\"\n\
         authors = [{name = \"ann\", email = \"ann@example.org\"}]\ndynamic = [\"version\", \"description\"]\n",
    );
    project
}

#[test]
fn flit_publishes_and_shows_the_reason_of_a_denial() {
    let bench = Bench::start();
    let project = flit_project(&bench, "1.0");
    project.run("flit", &["publish"]).well();
    project.run("flit", &["publish"]).well();
    assert_eq!(bench.listed("fly"), ["fly-1.0-py2.py3-none-any.whl", "fly-1.0.tar.gz"]);
    for (version, case) in [("6.6.6", "denied"), ("2.0", "held")] {
        let said = flit_project(&bench, version).run("flit", &["publish"]);
        bench.served.snapshot("flit", case, &said);
    }
    assert_eq!(bench.listed("fly").len(), 4);
    let wrong = bench.served.revoked_token("main");
    let said = flit_project(&bench, "1.1").env("FLIT_PASSWORD", &wrong).run("flit", &["publish"]).badly();
    bench.served.snapshot("flit", "revoked-token", &said);
}

#[test]
fn hatch_publishes_and_shows_the_reason_of_a_denial() {
    let bench = Bench::start();
    let publish = |token: &str, file: &str| -> Ended {
        let client = bench.client.clone().env("HATCH_INDEX_REPO", &bench.upload_url()).env("HATCH_INDEX_USER", "__token__");
        client.env("HATCH_INDEX_AUTH", token).run("hatch", &["publish", "-n", file])
    };
    let wheel = bench.wheel("demo", "1.0");
    publish(&bench.token, &wheel).well();
    publish(&bench.token, &wheel).well();
    let cases = [("denied", bench.wheel("demo", "6.6.6")), ("held", bench.wheel("demo", "2.0"))];
    for (case, wheel) in cases {
        bench.served.snapshot("hatch", case, &publish(&bench.token, &wheel));
    }
    bench.served.snapshot("hatch", "revoked-token", &publish(&bench.served.revoked_token("main"), &wheel).badly());
    assert_eq!(bench.listed("demo"), ["demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"]);
}

/// A project of pdm that needs this.
fn pdm_project(bench: &Bench, directory: &str, needs: &str) -> Client {
    let project = bench.client.clone().at(directory).env("PDM_CHECK_UPDATE", "0");
    let text = format!(
        "[project]\nname = \"pd\"\nversion = \"1.0\"\nrequires-python = \">=3.10\"\ndependencies = [{needs}]\n\
         [[tool.pdm.source]]\nname = \"pypi\"\nurl = \"{}\"\nusername = \"__token__\"\npassword = \"{}\"\n[tool.pdm]\ndistribution = false\n",
        bench.served.url("/pypi/main/simple/"),
        bench.token
    );
    project.write("pyproject.toml", text);
    project
}

#[test]
fn pdm_publishes_and_says_that_something_is_denied() {
    let bench = Bench::start();
    let publish = |version: &str| -> Ended {
        let (name, bytes) = super::wheel("demo", version, "");
        let project = pdm_project(&bench, &format!("publish-{version}"), "");
        project.write(&format!("dist/{name}"), bytes);
        project.run("pdm", &["publish", "--no-build", "-r", &bench.upload_url(), "-u", "__token__", "-P", &bench.token])
    };
    publish("1.0").well();
    publish("1.0").well();
    for (version, case) in [("6.6.6", "denied"), ("2.0", "held")] {
        bench.served.snapshot("pdm", &format!("publish-{case}"), &publish(version));
    }
    assert_eq!(bench.listed("demo"), ["demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"]);
}

#[test]
fn pdm_locks_and_installs_and_passes_over_what_is_held() {
    let bench = Bench::stocked();
    let project = pdm_project(&bench, "use", "\"app\"");
    project.run("pdm", &["lock"]).well();
    assert!(project.read("pdm.lock").contains(&bench.sha256("dist/demo-1.1-py3-none-any.whl")));
    project.run("pdm", &["sync", "--no-self"]).well();
    let code = "import importlib.metadata as m; print(m.version('demo'))";
    assert_eq!(project.run(".venv/bin/python", &["-c", code]).well().stdout, "1.1\n");
    let said = pdm_project(&bench, "use", "\"demo==2.0\"").run("pdm", &["lock"]);
    bench.served.snapshot("pdm", "held-pin", &said.badly());
}
