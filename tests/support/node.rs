//! The JavaScript clients. Invariant: they come from `.tools/node`, which `scripts/test` makes, but for npm, which comes with node; each
//! has a home of its own and is told of no registry but the server of the test.

use std::path::Path;

use serde_json::{Value, json};

use super::Served;
use super::client_run::{Client, Ended};

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Npm,
    Pnpm,
    Yarn,
    Bun,
}

impl Tool {
    /// The program.
    pub fn program(self) -> &'static str {
        match self {
            Tool::Npm => "npm",
            Tool::Pnpm => "pnpm",
            Tool::Yarn => "yarn",
            Tool::Bun => "bun",
        }
    }

    /// The file in which it notes what it installed.
    pub fn lockfile(self) -> &'static str {
        match self {
            Tool::Npm => "package-lock.json",
            Tool::Pnpm => "pnpm-lock.yaml",
            Tool::Yarn => "yarn.lock",
            Tool::Bun => "bun.lock",
        }
    }
}

/// A tool on a machine of its own.
#[derive(Debug, Clone)]
pub struct Machine {
    tool: Tool,
    client: Client,
}

impl Machine {
    /// A machine of this name whose configuration has this token, or none when it is empty.
    pub fn new(served: &Served, name: &str, tool: Tool, token: &str) -> Machine {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/node/node_modules/.bin");
        let client = served.client(name, &format!("{}:/usr/bin:/bin", tools.display()));
        let registry = served.url("/npm/main/");
        let address = registry.trim_start_matches("http:");
        let auth = if token.is_empty() { String::new() } else { format!("{address}:_authToken={token}\n") };
        client.write_home(".npmrc", format!("registry={registry}\n{auth}audit=false\nfund=false\nupdate-notifier=false\nprogress=false\n"));
        let auth = if token.is_empty() { String::new() } else { format!("npmAuthToken: \"{token}\"\nnpmAlwaysAuth: true\n") };
        let quiet =
            "unsafeHttpWhitelist: [\"127.0.0.1\"]\nenableTelemetry: false\nnodeLinker: node-modules\nnpmMinimalAgeGate: 0\nhttpRetry: 0\n";
        client.write_home(".yarnrc.yml", format!("npmRegistryServer: \"{registry}\"\n{auth}{quiet}"));
        Machine { tool, client }
    }

    /// Runs the tool in the work directory.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.client.run(self.tool.program(), arguments)
    }

    /// A package with this file in it; what it publishes is made of the same bytes each time.
    pub fn package(&self, name: &str, version: &str, text: &str) -> Machine {
        let package = self.at(&format!("packages/{name}/{version}"));
        let manifest = json!({"name": name, "version": version, "description": "A small package.", "license": "MIT", "main": "index.js",
            "files": ["index.js", "README.md"]});
        package.client.write("package.json", manifest.to_string());
        package.client.write("index.js", text);
        package.client.write("README.md", format!("# {name}\n"));
        if self.tool == Tool::Yarn {
            package.client.write("yarn.lock", "");
        }
        package
    }

    /// Publishes what is in the work directory.
    pub fn publish(&self) -> Ended {
        match self.tool {
            Tool::Npm => self.run(&["publish", "--access=public"]),
            Tool::Pnpm => self.run(&["publish", "--no-git-checks"]),
            Tool::Yarn => {
                self.run(&["install"]).well();
                self.run(&["npm", "publish"])
            }
            Tool::Bun => self.run(&["publish"]),
        }
    }

    /// A project without dependencies.
    pub fn project(&self, name: &str) -> Machine {
        let project = self.at(&format!("projects/{name}"));
        project.client.write("package.json", json!({"name": "project", "version": "1.0.0", "private": true}).to_string());
        // Some wait a day by themselves before they take a version; here it is the registry that decides.
        project.client.write("pnpm-workspace.yaml", "minimumReleaseAge: 0\n");
        if self.tool == Tool::Yarn {
            project.client.write("yarn.lock", "");
        }
        project
    }

    /// A project that is there.
    pub fn existing(&self, name: &str) -> Machine {
        self.at(&format!("projects/{name}"))
    }

    /// Installs something in the project.
    pub fn install(&self, wanted: &str) -> Ended {
        match self.tool {
            Tool::Npm => self.run(&["install", wanted]),
            Tool::Pnpm | Tool::Yarn | Tool::Bun => self.run(&["add", wanted]),
        }
    }

    /// Installs what the lockfile says, and nothing else.
    pub fn install_locked(&self) -> Ended {
        match self.tool {
            Tool::Npm => self.run(&["ci"]),
            Tool::Pnpm | Tool::Bun => self.run(&["install", "--frozen-lockfile"]),
            Tool::Yarn => self.run(&["install", "--immutable"]),
        }
    }

    /// The same project on another machine, which has its manifest and its lockfile and nothing that was downloaded.
    pub fn copied_to(&self, other: &Machine, name: &str) -> Machine {
        let project = other.project(name);
        for file in ["package.json", self.tool.lockfile()] {
            project.client.write(file, self.client.read(file));
        }
        project
    }

    /// The version of a package that is installed in the project.
    #[track_caller]
    pub fn installed(&self, name: &str) -> String {
        let manifest: Value = serde_json::from_str(&self.client.read(&format!("node_modules/{name}/package.json"))).unwrap();
        manifest["version"].as_str().unwrap().to_owned()
    }

    fn at(&self, directory: &str) -> Machine {
        Machine { tool: self.tool, client: self.client.clone().at(directory) }
    }
}
