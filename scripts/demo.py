"""The story that scripts/demo tells. Invariant: everything goes through the HTTP API, the command line and clients; the database
is never touched; the first answer that is not the expected one ends the story with exit code 1 and the daemon's log."""

import argparse
import base64
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import venv

from daemon import Daemon, Fault
from gate import chapter_gate
from native import chapter_native
from receiver import Receiver
from wheel import build_wheel, real_wheel, upload_form

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAIN = "/v1/repos/main"
VERSIONS = "/v1/repos/{}/packages/versions"
COOLDOWN_MESSAGE = "published less than 7 days ago"

INSTANCE_POLICY = """\
@id("no-agpl") @message("AGPL software is not distributed from here")
forbid (principal, action, resource) when { context.licenses.ids.contains("AGPL-3.0-only") };
"""
MAIN_POLICY = f"""\
@id("cooldown") @decision("quarantine") @message("{COOLDOWN_MESSAGE}")
forbid (principal, action, resource) when {{ context.ageDays < 7 }} unless {{ context.package.name like "acme-*" }};
"""
# What a predicate over an answer runs into when the answer lacks a member or has it in another type.
UNREADABLE = (LookupError, TypeError, StopIteration, ValueError, AttributeError)
FAULTY_POLICY = MAIN_POLICY.replace("ageDays", "agDays")


class Mismatch(Fault):
    """An answer was not the expected one."""


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Story:
    """Asks, checks, and prints one line for each step."""

    def __init__(self, daemon):
        self.daemon, self.passed, self.tokens = daemon, 0, {}

    def chapter(self, title):
        print(f"\n== {title}", flush=True)

    def line(self, asked, answered, problem=None):
        answered = re.sub(r"\s+", " ", str(answered))
        answered = answered if len(answered) <= 320 else answered[:319] + "…"
        print(f"  {'FAIL' if problem else ' ok '}  {asked}  →  {answered}", flush=True)
        if problem:
            raise Mismatch(problem)

    def check(self, asked, answered, **expectations):
        """Counts each expectation (its name with _ for spaces → whether it holds)."""
        for name, holds in expectations.items():
            if not holds:
                self.line(asked, answered, f"expected: {name.replace('_', ' ')}")
            self.passed += 1
        self.line(asked, answered)

    def ask(self, who, asked, method, path, status, tell=None, body=None, headers=None, speaker=None, **expectations):
        """One request as `who` (None: no token, or the one in `headers`). `status`: the codes allowed; each expectation is a predicate over the answer."""
        headers = dict(headers or {})
        if who:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        if isinstance(body, (dict, list)):
            body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        answer = self.daemon.ask(method, path, body, headers)
        allowed = status if isinstance(status, tuple) else (status,)
        asked = f"{speaker or who or 'nobody'}: {asked}"
        if answer.status not in allowed:
            self.line(asked, f"{answer.status} {answer.reason}", f"status {' or '.join(map(str, allowed))}; the body was {answer.text[:600]}")
        self.passed += 1
        try:
            told = f"{answer.status} {tell(answer) if tell else answer.reason}"
            results = {name: predicate(answer) for name, predicate in expectations.items()}
        except UNREADABLE as fault:
            self.line(asked, f"{answer.status} {answer.reason}", f"{type(fault).__name__} {fault} while reading {answer.text[:600]}")
        if not all(results.values()):
            told = f"{told} {answer.text[:600]}"
        self.check(asked, told, **results)
        return answer


class Pip:
    """A pip that knows no index but the daemon's and no configuration of this machine."""

    def __init__(self, work, port):
        self.work, self.port = work, port
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_") and not name.lower().endswith("_proxy")}
        self.environment |= {"PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1", "PIP_ROOT_USER_ACTION": "ignore", "NO_COLOR": "1", "COLUMNS": "400"}
        self.python = self.find_python()

    def find_python(self):
        for python in (ROOT / ".tools/venv/bin/python", pathlib.Path(sys.executable)):
            if python.exists() and subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
                return str(python)
        try:
            venv.create(self.work / "venv", with_pip=True)
        except (OSError, subprocess.CalledProcessError):
            raise Mismatch("pip was not found and no virtual environment can be made; run scripts/test once, or install pip") from None
        return str(self.work / "venv/bin/python")

    def install(self, requirement, repo, target, token=None):
        """Returns (exit code, output on one line, seconds)."""
        credentials = f"__token__:{token}@" if token else ""
        index = f"http://{credentials}127.0.0.1:{self.port}/pypi/{repo}/simple/"
        command = [self.python, "-m", "pip", "install", "--index-url", index, "--no-deps", "--target", str(target), "--no-cache-dir",
                   "--disable-pip-version-check", "--no-input", "--no-compile", requirement]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=self.environment, check=False)
        return done.returncode, done.stdout + done.stderr, time.monotonic() - began

    def version_of(self, module, target):
        code = f"import sys; sys.path.insert(0, {str(target)!r}); import {module}; print({module}.VERSION)"
        return subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def error_line(output):
    """What pip says last of an error."""
    return next((line for line in output.splitlines() if line.startswith("ERROR: HTTP") or "Client Error" in line), output.strip().splitlines()[-1])


def reasons(answer):
    return ", ".join(f"{reason['rule']}: {reason['message']}" for reason in answer["reasons"])


def states_of(answer):
    return [item["status"] for item in answer["items"]]


def chapter_tokens(story):
    story.chapter("Tokens: the first start made an administrator's; it issues the others")
    path = story.daemon.data / "admin-token"
    story.tokens["admin"] = path.read_text().strip()
    story.check("the file admin-token", f"mode {path.stat().st_mode & 0o777:o}", only_its_owner_may_read_it=path.stat().st_mode & 0o777 == 0o600,
                it_looks_like_a_token=story.tokens["admin"].startswith("aft_"))
    story.ask(None, "who am I?", "GET", "/v1/auth/whoami", 401, challenged=lambda a: "WWW-Authenticate" in a.headers)
    story.ask("admin", "create the repo stable", "POST", "/v1/repos", 201, body={"repoKey": "stable"})
    grants = {"publisher": ["repo:main:write"], "reviewer": ["repo:main:promote", "repo:stable:write"], "reader": ["repo:main:read", "repo:stable:read"]}
    for subject, scopes in grants.items():
        answer = story.ask("admin", f"a token for the {subject}: {', '.join(scopes)}", "POST", "/v1/auth/tokens", 201,
                           body={"subject": subject, "scopes": scopes, "ttlSeconds": 3600}, tell=lambda a: f"{a['token'][:8]}… until {a['expiresAt']}",
                           token_of_the_subject=lambda a: a["subject"] == subject and a["token"].startswith("aft_"))
        story.tokens[subject] = answer["token"]
    story.ask("publisher", "who am I?", "GET", "/v1/auth/whoami", 200, tell=lambda a: a["subject"], it_is_the_publisher=lambda a: a["subject"] == "publisher")


def chapter_policy(story):
    story.chapter("Policy: text, checked before it is stored")
    text = {"Content-Type": "text/plain"}
    fault = lambda a: a["faults"][0]
    story.ask("admin", "a policy that misspells a fact", "PUT", f"{MAIN}/policy", 400, body=FAULTY_POLICY.encode(), headers=text,
              tell=lambda a: f"{a['error']}, line {fault(a)['line']}, column {fault(a)['column']}: {fault(a)['message']} ({fault(a)['help']})",
              code_bad_policy=lambda a: a["error"] == "bad_policy", line_2_column_45=lambda a: (fault(a)["line"], fault(a)["column"]) == (2, 45),
              suggestion_ageDays=lambda a: "ageDays" in fault(a)["help"])
    rules = lambda a: [rule["id"] for rule in a["rules"]]
    story.ask("admin", "deny AGPL in every repo", "PUT", "/v1/policy", (200, 201), body=INSTANCE_POLICY.encode(), headers=text,
              tell=lambda a: f"revision {a['revision']}, rules {rules(a)}", one_rule=lambda a: rules(a) == ["no-agpl"])
    story.ask("admin", "hold what is younger than 7 days in main, but for acme-*", "PUT", f"{MAIN}/policy", (200, 201), body=MAIN_POLICY.encode(),
              headers=text, tell=lambda a: f"revision {a['revision']}, rules {rules(a)}", one_rule=lambda a: rules(a) == ["cooldown"])
    story.ask("publisher", "may I change the policy?", "PUT", f"{MAIN}/policy", 403, body=b"", headers=text, tell=lambda a: a["message"],
              code_forbidden=lambda a: a["error"] == "forbidden")


def publish_wheel(story, wheel, status, asked, repo="main", who="publisher", **expectations):
    body, headers = upload_form(wheel)
    headers["Authorization"] = "Basic " + base64.b64encode(f"__token__:{story.tokens[who]}".encode()).decode()
    decision = lambda a: a.headers.get("Artifortress-Decision", "")
    return story.ask(None, f"upload {wheel[0]}, {asked}", "POST", f"/pypi/{repo}/legacy/", status, speaker=f"{who}, as twine", body=body,
                     headers=headers, tell=lambda a: f"{a.reason} {decision(a)}", **expectations)


def chapter_publish(story, demo, stranger):
    story.chapter("Publish: allowed, denied, held")
    publish_wheel(story, build_wheel("acme-tools", "3.1.0", "Apache-2.0"), 200, "exempt from the cooldown")
    publish_wheel(story, build_wheel("copyleft-demo", "1.0.0", "AGPL-3.0-only"), 403, "under the AGPL",
                  reason_on_the_terminal=lambda a: "AGPL software" in a.reason, reason_in_the_body=lambda a: "AGPL software" in a.text)
    quarantined = {"decision_in_a_header": lambda a: "quarantin" in a.headers.get("Artifortress-Decision", "")}
    publish_wheel(story, demo, 200, "new", **quarantined)
    publish_wheel(story, stranger, 200, "real and new here" if stranger[2]["name"] == "pip" else "new", **quarantined)

    tool = b"#!/bin/sh\necho hello\n"
    draft = story.ask("publisher", "a draft of generic tool 1.0", "POST", f"{VERSIONS.format('main')}/drafts", 201,
                      body={"packageType": "generic", "packageName": "tool", "version": "1.0"}, tell=lambda a: a["versionId"])["versionId"]
    version = f"{VERSIONS.format('main')}/{draft}"
    story.ask("publisher", f"upload {len(tool)} bytes by digest", "PUT", f"{MAIN}/blobs/{digest_of(tool)}", (200, 201), body=tool)
    story.ask("publisher", "link them to the draft", "POST", f"{version}/entries", (200, 201),
              body={"entries": [{"relativePath": "tool.sh", "blobDigest": digest_of(tool), "sizeBytes": len(tool)}]})
    story.ask("publisher", "the manifest names the AGPL", "PUT", f"{version}/manifest", (200, 201), body={"license": "AGPL-3.0-only"})
    story.ask("publisher", "publish it through the JSON API", "POST", f"{version}/publish", 403, body={}, tell=lambda a: f"{a['error']} ({reasons(a)})",
              code_policy_denied=lambda a: a["error"] == "policy_denied", rule_no_agpl=lambda a: a["reasons"][0]["rule"] == "no-agpl",
              evaluation_named=lambda a: a["evaluationId"])
    story.ask("reviewer", "which evaluations denied?", "GET", f"{MAIN}/policy/evaluations?decision=deny", 200,
              tell=lambda a: "; ".join(f"{item['decision']} ({item['reasons'][0]['rule']}) by {item['evaluatedBySubject']}" for item in a["items"]),
              two_of_them=lambda a: [item["decision"] for item in a["items"]] == ["deny", "deny"])


def chapter_held(story, pip, work, demo):
    story.chapter("Held: listed and marked, its bytes locked; pip says why")
    simple = {"Accept": "application/vnd.pypi.simple.v1+json"}
    marked = story.ask("reader", "the index of fortress-demo", "GET", "/pypi/main/simple/fortress-demo/", 200, headers=simple,
                       tell=lambda a: f"{a['files'][0]['filename']} yanked: {a['files'][0]['yanked']}", reason_in_the_mark=lambda a: COOLDOWN_MESSAGE in a["files"][0]["yanked"],
                       no_hash=lambda a: not a["files"][0].get("hashes"), digest_kept_back=lambda a: hashlib.sha256(demo[1]).hexdigest() not in a.text)
    address = urllib.parse.urlsplit(urllib.parse.urljoin("/pypi/main/simple/fortress-demo/", marked["files"][0]["url"])).path
    story.ask("reader", "the wheel itself", "GET", address, 423, tell=lambda a: a.reason, reason_on_the_terminal=lambda a: COOLDOWN_MESSAGE in a.reason)
    story.ask("reader", "its bytes by digest", "GET", f"{MAIN}/blobs/{digest_of(demo[1])}", 423, tell=lambda a: f"{a['error']} ({reasons(a)})",
              code_quarantined_blob=lambda a: a["error"] == "quarantined_blob")
    story.ask("reader", "search fortress", "GET", f"{MAIN}/search/packages?q=fortress", 200, tell=lambda a: f"{a['totalCount']} found",
              held_is_not_found=lambda a: a["totalCount"] == 0 and a["items"] == [])
    code, output, seconds = pip.install("fortress-demo==1.0.0", "main", work / "blocked", story.tokens["reader"])
    story.check("pip install fortress-demo==1.0.0", f"exit {code} in {seconds:.1f} s: {error_line(output)}", pip_fails=code != 0,
                pip_shows_423="423" in output, pip_shows_the_reason=COOLDOWN_MESSAGE in output, nothing_installed=not (work / "blocked/fortress_demo").exists())
    return address


def chapter_review(story, demo, stranger):
    story.chapter("Review: list, look, inspect, decide")
    story.ask("reader", "may I review?", "GET", f"{MAIN}/quarantine", 403, tell=lambda a: a["message"])
    listed = story.ask("reviewer", "what is held?", "GET", f"{MAIN}/quarantine?status=quarantined", 200, tell=lambda a: f"{len(a['items'])} items",
                       two_items_held=lambda a: states_of(a) == ["quarantined", "quarantined"])
    held, other = (next(item["quarantineId"] for item in listed["items"] if ("fortress-demo" in json.dumps(item)) == wanted) for wanted in (True, False))
    item = story.ask("reviewer", "the item of fortress-demo", "GET", f"{MAIN}/quarantine/{held}", 200, tell=lambda a: f"{a['status']} ({reasons(a)})",
                     held_by_cooldown=lambda a: [r["rule"] for r in a["reasons"]] == ["cooldown"])
    story.ask("reader", "the held version", "GET", f"{VERSIONS.format('main')}/{item['versionId']}", 423, tell=lambda a: f"{a['error']} ({reasons(a)})",
              code_quarantined_version=lambda a: a["error"] == "quarantined_version", same_item=lambda a: a["quarantineId"] == held)
    story.ask("reader", "the page that pip named", "GET", f"/q/{held}", 200, tell=lambda a: re.sub(r"(?s)<style>.*?</style>|<[^>]*>", " ", a.text),
              it_says_why=lambda a: COOLDOWN_MESSAGE in a.text, and_what_a_reviewer_types=lambda a: f"quarantine release {held}" in a.text,
              nothing_of_the_content=lambda a: digest_of(demo[1])[7:] not in a.text, it_runs_nothing=lambda a: a.headers["Content-Security-Policy"].startswith("default-src 'none'"))
    story.ask(None, "the same page, without a token", "GET", f"/q/{held}", 200, the_kind_of_reason_only=lambda a: COOLDOWN_MESSAGE not in a.text and "cooldown" not in a.text)
    story.ask("reviewer", "inspect the held file", "GET", f"{MAIN}/quarantine/{held}/files/{demo[0]}", 200, tell=lambda a: f"{len(a.body)} bytes",
              the_bytes_uploaded=lambda a: a.body == demo[1], as_an_attachment=lambda a: a.headers.get("Content-Disposition", "").startswith("attachment"))
    story.ask("reviewer", "release fortress-demo", "POST", f"{MAIN}/quarantine/{held}/release", 200, body={"comment": "read it, harmless"},
              tell=lambda a: a["status"], released=lambda a: a["status"] == "released")
    story.ask("reviewer", "release it again", "POST", f"{MAIN}/quarantine/{held}/release", 409, body={},
              tell=lambda a: f"{a['error']} by {a['resolvedBySubject']} at {a['resolvedAt']}", code_quarantine_resolved=lambda a: a["error"] == "quarantine_resolved")
    story.ask("reviewer", f"reject {stranger[2]['name']}", "POST", f"{MAIN}/quarantine/{other}/reject", 200, body={"comment": "use the system's"},
              tell=lambda a: a["status"], rejected=lambda a: a["status"] == "rejected")
    story.ask("reader", f"the bytes of {stranger[2]['name']}", "GET", f"{MAIN}/blobs/{digest_of(stranger[1])}", 423,
              tell=lambda a: f"{a['error']}, {a['status']}", blocked_for_good=lambda a: a["status"] == "rejected")
    return item["versionId"]


def chapter_install(story, pip, work, version_id):
    story.chapter("Released: pip installs; promoted: pip installs from stable too")
    install(story, pip, "main", work / "from-main")
    story.ask("reviewer", "promote it to stable", "POST", f"{VERSIONS.format('main')}/{version_id}/promote", 200, body={"targetRepo": "stable"},
              tell=lambda a: a["state"], published_there=lambda a: a["state"] == "published")
    story.ask(None, "the index of stable, without a token", "GET", "/pypi/stable/simple/fortress-demo/", 401)
    install(story, pip, "stable", work / "from-stable")


def install(story, pip, repo, target):
    code, output, seconds = pip.install("fortress-demo==1.0.0", repo, target, story.tokens["reader"])
    version = pip.version_of("fortress_demo", target)
    last = output.strip().splitlines()[-1]
    story.check(f"pip install fortress-demo==1.0.0 from {repo}", f"exit {code} in {seconds:.1f} s: {last}; imported version {version}",
                pip_succeeds=code == 0, the_module_runs=version == "1.0.0")


def chapter_search(story):
    story.chapter("Search: found at once, and still answering when its index is out of work")
    path = f"{MAIN}/search/packages?q=fortress"
    names = lambda a: [item["packageName"] for item in a["items"]]
    began, deadline = time.monotonic(), time.monotonic() + 2
    headers = {"Authorization": f"Bearer {story.tokens['reader']}"}
    while time.monotonic() < deadline and "fortress-demo" not in story.daemon.ask("GET", path, headers=headers).text:
        time.sleep(0.02)
    waited = f"{(time.monotonic() - began) * 1000:.0f} ms after it was asked for"
    story.ask("reader", "search fortress", "GET", path, 200, tell=lambda a: f"{names(a)} {waited}", found=lambda a: names(a) == ["fortress-demo"],
              not_degraded=lambda a: a["degraded"] is False)
    for part in ("demo", "ortres"):
        story.ask("reader", f"search an inner part: {part}", "GET", f"{MAIN}/search/packages?q={part}", 200, tell=names,
                  its_package_comes_first=lambda a: names(a)[0] == "fortress-demo")
    story.ask("admin", "pause search", "POST", "/v1/admin/search/pause", (200, 202), body={})
    story.ask("reader", "search fortress", "GET", path, 200, tell=lambda a: f"{names(a)} degraded: {a['degraded']}", degraded=lambda a: a["degraded"] is True,
              found_in_the_catalogue=lambda a: names(a) == ["fortress-demo"])
    story.ask("admin", "resume search", "POST", "/v1/admin/search/resume", (200, 202), body={})
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and story.daemon.ask("GET", path, headers=headers)["degraded"]:
        time.sleep(0.02)
    story.ask("reader", "search fortress", "GET", path, 200, tell=lambda a: f"{names(a)} degraded: {a['degraded']}", not_degraded=lambda a: a["degraded"] is False)


def chapter_operations(story):
    story.chapter("Operations: others are told, what waits is shown, what breaks heals")
    receiver = Receiver()
    try:
        tell_others(story, receiver)
    finally:
        receiver.end()
    story.ask(None, "is it ready?", "GET", "/health/ready", 200, tell=lambda a: a.text, workers_too=lambda a: a["workers"] is True)
    story.ask("admin", "the metrics", "GET", "/metrics", 200, tell=lambda a: f"{a.text.count('# TYPE')} families",
              denials_are_counted=lambda a: 'decision="deny"' in a.text, no_package_is_named=lambda a: "fortress-demo" not in a.text)
    story.ask("reader", "may I read the metrics?", "GET", "/metrics", 403)
    (story.daemon.data / "search.db").write_bytes(b"noise" * 50_000)
    path, headers = f"{MAIN}/search/packages?q=fortress", {"Authorization": f"Bearer {story.tokens['reader']}"}
    story.ask("reader", "search fortress, the index overwritten", "GET", path, 200, tell=lambda a: f"{a['totalCount']} found, degraded: {a['degraded']}",
              found_all_the_same=lambda a: a["totalCount"] == 1)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and story.daemon.ask("GET", path, headers=headers)["degraded"]:
        time.sleep(0.02)
    story.ask("reader", "search fortress, a moment later", "GET", path, 200, tell=lambda a: f"{a['totalCount']} found, degraded: {a['degraded']}",
              healed=lambda a: a["degraded"] is False and a["totalCount"] == 1)
    command(story, "status", "--data-dir", str(story.daemon.data))


def tell_others(story, receiver):
    made = story.ask("admin", "tell me what happens", "POST", "/v1/admin/webhooks", 201, body={"url": receiver.address},
                     tell=lambda a: "its secret is shown this once", a_secret=lambda a: len(a["secret"]) >= 32)
    receiver.secret = made["secret"]
    address = f"/v1/admin/webhooks/{made['webhookId']}"
    story.ask("admin", "a test call", "POST", f"{address}/test", 202)
    ping = receiver.wait_for("ping")
    story.check("the receiver: a call with a genuine signature", str(ping), it_came=ping is not None)
    story.ask("admin", "change the policy of the instance", "PUT", "/v1/policy", 200, body=f"// reviewed\n{INSTANCE_POLICY}".encode(), headers={"Content-Type": "text/plain"})
    told = receiver.wait_for("policy.changed")
    story.check("the receiver: the policy changed", str(told), it_came=told is not None)
    story.ask("admin", "what was sent", "GET", f"{address}/deliveries", 200, tell=lambda a: f"{len(a['items'])} deliveries",
              the_secret_is_not_shown=lambda a: receiver.secret not in a.text)
    story.ask("admin", "tell me no more", "DELETE", address, (200, 204))


def audit_rows(story):
    """Every audit row the API lists, page by page."""
    rows, cursor, headers = [], "", {"Authorization": f"Bearer {story.tokens['admin']}"}
    while cursor is not None:
        page = story.daemon.ask("GET", f"/v1/audit?limit=200{cursor and '&cursor=' + urllib.parse.quote(cursor)}", headers=headers).json
        rows, cursor = rows + page["items"], page.get("nextCursor")
    return rows


def chapter_audit(story):
    story.chapter("Audit: every change and every refusal that matters, chained")
    for action in ("policy.updated", "policy.denied", "quarantine.inspected", "quarantine.released", "quarantine.rejected", "read.blocked", "package.version.promoted"):
        story.ask("admin", f"audit of {action}", "GET", f"/v1/audit?action={action}&limit=1", 200,
                  tell=lambda a: "{} by {} on {}".format(*(a["items"][0][member] for member in ("action", "actor", "resourceType"))),
                  the_action_asked_for=lambda a, action=action: a["items"][0]["action"] == action)
    wanted = {"auth.token.issued", "repo.created", "policy.evaluated", "quarantine.created", "package.version.published", "search.paused", "search.resumed"}
    rows = audit_rows(story)
    missing = wanted - {row["action"] for row in rows}
    story.check("admin: the whole audit, page by page", f"{len(rows)} rows", nothing_missing=not missing)
    story.ask("reader", "may I read the audit?", "GET", "/v1/audit", 403)
    command(story, "audit", "verify", "--data-dir", str(story.daemon.data))


def command(story, *arguments):
    done = story.daemon.run(*arguments)
    told = (done.stdout + done.stderr).strip()
    story.check(f"artifortress {' '.join(arguments)}", f"exit {done.returncode}: {told}", it_finds_nothing_wrong=done.returncode == 0)


def chapter_restart(story, address, demo):
    story.chapter("Restart: nothing is lost")
    code = story.daemon.stop()
    story.check("SIGTERM", f"exit code {code}", it_ends_in_order=code == 0)
    story.check("start it again", f"ready after {story.daemon.start() * 1000:.0f} ms", it_is_ready=True)
    story.ask("reader", "the released wheel", "GET", address, 200, tell=lambda a: f"{len(a.body)} bytes", the_bytes_uploaded=lambda a: a.body == demo[1])
    story.ask("reviewer", "the items of the quarantine", "GET", f"{MAIN}/quarantine", 200, tell=lambda a: ", ".join(states_of(a)),
              both_resolved=lambda a: sorted(states_of(a)) == ["rejected", "released"])
    story.ask("reader", "search fortress", "GET", f"{MAIN}/search/packages?q=fortress", 200, tell=lambda a: f"{a['totalCount']} found", found=lambda a: a["totalCount"] == 1)
    code = story.daemon.stop()
    story.check("SIGTERM", f"exit code {code}", it_ends_in_order=code == 0)
    command(story, "verify", "--data-dir", str(story.daemon.data), "--blobs")


def tell(story, work):
    pip = Pip(work, story.daemon.port)
    demo, stranger = build_wheel("fortress-demo", "1.0.0", "MIT"), real_wheel()
    story.check("start the daemon in an empty directory", f"ready on 127.0.0.1:{story.daemon.port} after {story.daemon.start() * 1000:.0f} ms", it_is_ready=True)
    chapter_tokens(story)
    chapter_policy(story)
    chapter_publish(story, demo, stranger)
    address = chapter_held(story, pip, work, demo)
    version_id = chapter_review(story, demo, stranger)
    chapter_install(story, pip, work, version_id)
    chapter_search(story)
    chapter_operations(story)
    chapter_gate(story, work, lambda *arguments, **expectations: publish_wheel(story, *arguments, **expectations))
    chapter_native(story, work)
    chapter_audit(story)
    chapter_restart(story, address, demo)


def main():
    parser = argparse.ArgumentParser(description="Tells the story of the policy gate against a real daemon and checks every answer.")
    parser.add_argument("--binary", required=True, help="the artifortress binary")
    parser.add_argument("--keep", action="store_true", help="keep the temporary directory")
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="artifortress-demo-"))
    daemon = Daemon(options.binary, work)
    story = Story(daemon)
    began, failed = time.monotonic(), 0
    try:
        tell(story, work)
    except (Fault, OSError, http.client.HTTPException, subprocess.SubprocessError, *UNREADABLE) as fault:
        failed = 1
        print(f"\ndemo: {fault if isinstance(fault, Fault) else repr(fault)}\n\n== The end of the daemon's log\n{daemon.log_tail()}", flush=True)
    finally:
        daemon.end()
        if options.keep:
            print(f"\ndemo: the data is in {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    print(f"\n{time.monotonic() - began:.1f} s\ndemo: {story.passed} checks passed, {failed} failed", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
