"""The chapter of the demo about npm and Cargo. Invariant: each client has a home of its own and no setting of this machine, and is told of the
daemon by `artifortress client-config` alone; a client that is not installed here is said to be missing."""

import json
import os
import pathlib
import re
import shutil
import subprocess

REPO = "lab"


def chapter_native(story, work):
    story.chapter("npm and Cargo: one command tells a client where to take everything from")
    for client, tell in (("npm", tell_npm), ("cargo", tell_cargo)):
        if shutil.which(client):
            tell(story, Native(story, work / f"home-of-{client}"))
        else:
            print(f"   --   {client} is not on this machine; its part is left out", flush=True)


class Native:
    """A client in a home of its own."""

    def __init__(self, story, home):
        self.story, self.home = story, home
        home.mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "RUSTUP_TOOLCHAIN") if name in os.environ}
        rustup = os.environ.get("RUSTUP_HOME", str(pathlib.Path.home() / ".rustup"))
        self.environment = kept | {"HOME": str(home), "CARGO_HOME": str(home / ".cargo"), "RUSTUP_HOME": rustup, "NO_COLOR": "1", "NO_PROXY": "127.0.0.1"}
        self.environment |= {"npm_config_update_notifier": "false", "npm_config_fund": "false", "npm_config_audit": "false", "CARGO_TERM_COLOR": "never"}

    def configure(self, client):
        settings = [self.story.daemon.binary, "client-config", client, "--repo", REPO, "--write", "--data-dir", str(self.story.daemon.data)]
        done = subprocess.run(settings, capture_output=True, text=True, timeout=20, env=self.environment, check=False)
        self.story.check(f"artifortress client-config {client} --repo {REPO} --write", f"exit {done.returncode}: {done.stdout}{done.stderr}", written=done.returncode == 0)

    def type(self, asked, directory, *command, code=0, wanted="", variables=None):
        """Types a command of the client in a directory; `wanted` must be in what it says. `code` 1 stands for every failure."""
        environment = self.environment | (variables or {})
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=directory, check=False)
        said = re.sub(r"\s+", " ", done.stdout + done.stderr).strip()
        line = next((line for line in (done.stdout + done.stderr).splitlines() if wanted and wanted in line), said[-200:])
        expectations = {f"exit_code_{code}": min(done.returncode, 1) == code, f"it_says_{wanted}": wanted in said}
        self.story.check(f"{' '.join(command)}  ({asked})", f"exit {done.returncode}: {line.strip()}", **expectations)

    def project(self, name, files):
        directory = self.home / name
        for path, text in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text)
        return directory


def tell_npm(story, npm):
    npm.configure("npm")
    token = {"AFT_TOKEN": story.tokens["admin"]}
    package = lambda name, licence: npm.project(name, {"package.json": json.dumps({"name": name, "version": "1.0.0", "license": licence}),
                                                       "index.js": "module.exports = 'from the fortress'\n"})
    npm.type("publish", package("fortress-npm", "MIT"), "npm", "publish", wanted="+ fortress-npm@1.0.0", variables=token)
    npm.type("denied, with the reason", package("copyleft-npm", "AGPL-3.0-only"), "npm", "publish", code=1, wanted="AGPL software is not distributed", variables=token)
    user = npm.project("user", {"package.json": json.dumps({"name": "user", "version": "1.0.0"})})
    npm.type("install", user, "npm", "install", "fortress-npm", wanted="added 1 package", variables=token)
    installed = user / "node_modules/fortress-npm/index.js"
    story.check("what npm installed", installed.read_text().strip(), the_published_bytes="from the fortress" in installed.read_text())


def tell_cargo(story, cargo):
    cargo.configure("cargo")
    token = {"CARGO_REGISTRIES_ARTIFORTRESS_TOKEN": story.tokens["admin"]}
    manifest = '[package]\nname = "{}"\nversion = "1.0.0"\nedition = "2021"\nlicense = "{}"\ndescription = "a demonstration"\n'
    crate = lambda name, licence: cargo.project(name, {"Cargo.toml": manifest.format(name, licence), "src/lib.rs": "//! From the fortress.\n"})
    publish = ("cargo", "publish", "--allow-dirty", "--no-verify")
    cargo.type("publish", crate("fortress-crate", "MIT"), *publish, wanted="Published fortress-crate v1.0.0", variables=token)
    cargo.type("denied, with the reason", crate("copyleft-crate", "AGPL-3.0-only"), *publish, code=1, wanted="AGPL software is not distributed", variables=token)
    user = crate("user", "MIT")
    cargo.type("add it to a crate", user, "cargo", "add", "fortress-crate", wanted="Adding fortress-crate v1.0.0", variables=token)
    cargo.type("fetch it", user, "cargo", "fetch", wanted="Downloaded fortress-crate v1.0.0", variables=token)
