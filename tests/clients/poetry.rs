//! poetry. Invariant: it works with a virtual environment of its own below its project.

use super::{Bench, DENIED, HELD, YANKED};
use crate::support::{Client, Ended};

impl Bench {
    /// A project that needs this, in a directory of its own.
    fn poetry_project(&self, directory: &str, token: &str, needs: &str) -> Client {
        let project = self.client.clone().at(directory);
        let settings = [
            ("POETRY_HTTP_BASIC_Q_USERNAME", "__token__"),
            ("POETRY_HTTP_BASIC_Q_PASSWORD", token),
            ("POETRY_REPOSITORIES_Q_URL", &self.upload_url()),
            ("POETRY_VIRTUALENVS_IN_PROJECT", "true"),
            ("POETRY_VIRTUALENVS_OPTIONS_NO_PIP", "true"),
            ("POETRY_NO_INTERACTION", "1"),
        ];
        let project = settings.iter().fold(project, |project, (name, value)| project.env(name, value));
        let text = format!(
            "[project]\nname = \"{directory}\"\nversion = \"1.0\"\nrequires-python = \">=3.10\"\ndependencies = [{needs}]\n\
             [[tool.poetry.source]]\nname = \"q\"\nurl = \"{}\"\npriority = \"primary\"\n\
             [build-system]\nrequires = [\"poetry-core\"]\nbuild-backend = \"poetry.core.masonry.api\"\n",
            self.served.url("/pypi/main/simple/")
        );
        project.write("pyproject.toml", text);
        project.write(&format!("{directory}/__init__.py"), "");
        project
    }

    fn poetry(&self, project: &Client, arguments: &[&str]) -> Ended {
        project.run("poetry", &[arguments, &["--no-interaction", "--no-ansi"]].concat())
    }
}
