//! The settings of each client. Invariant: a client that has them takes every package from this server and from nowhere else, and no token
//! stands in them: a client gets it from its environment or from a store of its own.

use reqwest::Url;

use super::Tool;
use crate::cli::connection::is_local;
use crate::domain::name::RepoKey;

/// The repo of a server that a client shall take everything from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    base: String,
    host: String,
    authority: String,
    is_plain_loopback: bool,
    repo: RepoKey,
}

impl Source {
    /// The repo `repo` of the server at `server`.
    pub(super) fn new(server: &Url, repo: RepoKey) -> Source {
        let base = server.as_str().trim_end_matches('/').to_owned();
        let host = server.host_str().unwrap_or_default().to_owned();
        let authority = base.split_once("://").map_or(base.as_str(), |(_, rest)| rest).to_owned();
        Source { host, authority, is_plain_loopback: server.scheme() == "http" && is_local(server), base, repo }
    }

    fn simple(&self) -> String {
        format!("{}/pypi/{}/simple/", self.base, self.repo)
    }

    fn legacy(&self) -> String {
        format!("{}/pypi/{}/legacy/", self.base, self.repo)
    }

    fn npm(&self) -> String {
        format!("{}/npm/{}/", self.base, self.repo)
    }
}

/// What the file of this client shall hold; `None` for a client whose protocol is not served.
pub(super) fn text(tool: Tool, source: &Source) -> Option<String> {
    Some(match tool {
        Tool::Pip => pip(source),
        Tool::Uv => uv(source),
        Tool::Poetry => poetry(source),
        Tool::Pdm => pdm(source),
        Tool::Npm => npm(source),
        Tool::Pnpm => pnpm(source),
        Tool::Yarn => yarn(source),
        Tool::Bun => bun(source),
        Tool::Cargo => cargo(source),
        Tool::Docker | Tool::Containerd | Tool::Maven | Tool::Gradle | Tool::Go => return None,
    })
}

fn pip(source: &Source) -> String {
    let (simple, host) = (source.simple(), &source.host);
    format!(
        "# pip takes every package from here. An extra-index-url would let in from there what is refused here.
# Where reading takes a token, put into ~/.netrc (mode 0600): machine {host} login __token__ password TOKEN
[global]
index-url = {simple}
"
    )
}

fn uv(source: &Source) -> String {
    let (simple, legacy) = (source.simple(), source.legacy());
    format!(
        "# uv takes every package from here: a default index takes the place of PyPI.
# Where reading takes a token: UV_INDEX_ARTIFORTRESS_USERNAME=__token__ and UV_INDEX_ARTIFORTRESS_PASSWORD. To publish: UV_PUBLISH_TOKEN.
[[index]]
name = \"artifortress\"
url = \"{simple}\"
publish-url = \"{legacy}\"
default = true
"
    )
}

fn poetry(source: &Source) -> String {
    let (simple, legacy) = (source.simple(), source.legacy());
    format!(
        "# poetry takes every package from here: a primary source takes the place of PyPI.
# Where reading takes a token: POETRY_HTTP_BASIC_ARTIFORTRESS_USERNAME=__token__ and POETRY_HTTP_BASIC_ARTIFORTRESS_PASSWORD.
# To publish: poetry config repositories.artifortress {legacy}
[[tool.poetry.source]]
name = \"artifortress\"
url = \"{simple}\"
priority = \"primary\"
"
    )
}

fn pdm(source: &Source) -> String {
    let (simple, legacy) = (source.simple(), source.legacy());
    format!(
        "# pdm takes every package from here: the source that is called pypi takes the place of PyPI.
# Where reading takes a token: PDM_PYPI_USERNAME=__token__ and PDM_PYPI_PASSWORD.
# To publish: pdm publish --repository {legacy}, with PDM_PUBLISH_USERNAME=__token__ and PDM_PUBLISH_PASSWORD.
[[tool.pdm.source]]
name = \"pypi\"
url = \"{simple}\"
"
    )
}

fn npm(source: &Source) -> String {
    let (registry, authority, repo) = (source.npm(), &source.authority, &source.repo);
    format!(
        "# npm takes every package from here. A registry of its own for a scope would let in from there what is refused here.
# Where a token is needed: export AFT_TOKEN=…
registry={registry}
//{authority}/npm/{repo}/:_authToken=${{AFT_TOKEN?}}
"
    )
}

/// What npm takes for a variable that may be unset, pnpm sends as a token, and an unset variable as an empty one.
fn pnpm(source: &Source) -> String {
    let (registry, authority, repo) = (source.npm(), &source.authority, &source.repo);
    format!(
        "# pnpm takes every package from here. A registry of its own for a scope would let in from there what is refused here.
# Where a token is needed: export AFT_TOKEN=… and take the sign from before this line:
#//{authority}/npm/{repo}/:_authToken=${{AFT_TOKEN}}
registry={registry}
"
    )
}

fn yarn(source: &Source) -> String {
    let registry = source.npm();
    // yarn takes nothing by plain http without being told that it may.
    let plain = if source.is_plain_loopback { format!("unsafeHttpWhitelist:\n  - \"{}\"\n", source.host) } else { String::new() };
    format!(
        "# yarn takes every package from here. A server of its own for a scope would let in from there what is refused here.
# Where a token is needed: export AFT_TOKEN=… and, where reading takes one too, the line npmAlwaysAuth: true
npmRegistryServer: \"{registry}\"
npmAuthToken: \"${{AFT_TOKEN:-}}\"
# How old a version must be is the policy's to say; yarn's own day would hide what you published today.
npmMinimalAgeGate: 0
{plain}"
    )
}

fn bun(source: &Source) -> String {
    let registry = source.npm();
    format!(
        "# bun takes every package from here. A registry of its own for a scope would let in from there what is refused here.
# Where a token is needed: export AFT_TOKEN=…
[install.registry]
url = \"{registry}\"
token = \"$AFT_TOKEN\"
"
    )
}

fn cargo(source: &Source) -> String {
    let index = format!("sparse+{}/cargo/{}/index/", source.base, source.repo);
    format!(
        "# Cargo takes every crate from here, and publishes here: the source takes the place of the public one.
# Where a token is needed: cargo login --registry artifortress, or export CARGO_REGISTRIES_ARTIFORTRESS_TOKEN=…
[registries.artifortress]
index = \"{index}\"
credential-provider = [\"cargo:token\"]

[registry]
default = \"artifortress\"

[source.crates-io]
replace-with = \"artifortress\"
"
    )
}
