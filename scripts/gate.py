"""The chapter of the demo about the policy engine. Invariant: it works in a repo of its own, so that the other chapters find what they left;
everything is asked as a person would, by the command line, by twine's form and by an index."""

import datetime
import json
import re
import time

from wheel import build_wheel

REPO = "lab"
SIMPLE = {"Accept": "application/vnd.pypi.simple.v1+json"}
STRICT = '@id("no-small") @message("nothing small")\nforbid (principal, action, resource) when { context.files.totalBytes < 100000 };\n'
# One report of malware and one severe vulnerability that 1.1.0 fixes, in the OSV format.
RECORDS = [
    {"id": "MAL-0000-1", "modified": "2026-01-01T00:00:00Z", "summary": "shady-colors sends the environment away",
     "affected": [{"package": {"ecosystem": "PyPI", "name": "shady-colors"}, "versions": ["1.4.1"]}]},
    {"id": "PYSEC-0000-2", "modified": "2026-01-01T00:00:00Z", "summary": "fortress-lib runs what it reads", "aliases": ["CVE-0000-2"],
     "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
     "affected": [{"package": {"ecosystem": "PyPI", "name": "fortress-lib"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1.0"}]}]}]},
]


def chapter_gate(story, work, publish):
    """`publish(wheel, status, asked, repo=…, who=…)` uploads as twine does."""
    story.chapter("The gate: a policy to begin with, advisories, tries, exceptions, proofs")
    story.ask("admin", f"create the repo {REPO}", "POST", "/v1/repos", 201, body={"repoKey": REPO})
    lab = Lab(story, publish)
    lab.type("switch the starter policy on", "policy", "starter", "--apply", "--repo", REPO, wanted=["5 rules, 11 cases passed"])
    advise(lab, work)
    held = judge(lab)
    try_out(lab, work)
    except_and_freeze(lab, held)
    prove(lab)


class Lab:
    """The commands and uploads of the chapter."""

    def __init__(self, story, publish):
        self.story, self.publish = story, publish

    def type(self, asked, *arguments, code=0, wanted=(), told=None):
        """Types a command; `wanted` are parts of what it must say."""
        done = self.story.daemon.run(*arguments, "--data-dir", str(self.story.daemon.data))
        said = (done.stdout + done.stderr).strip()
        expectations = {f"exit_code_{code}": done.returncode == code} | {f"it_says_{part}": part in re.sub(r"\s+", " ", said) for part in wanted}
        self.story.check(f"artifortress {' '.join(arguments)}  ({asked})", f"exit {done.returncode}: {told(said) if told else said}", **expectations)
        return done.stdout

    def upload(self, name, version, status, asked, licence="MIT", **expectations):
        self.publish(build_wheel(name, version, licence), status, asked, repo=REPO, who="admin", **expectations)

    def files(self, project):
        """What the index lists of a project, without credentials of a reviewer: file name → why it is held, or False."""
        headers = SIMPLE | {"Authorization": f"Bearer {self.story.tokens['admin']}"}
        answer = self.story.daemon.ask("GET", f"/pypi/{REPO}/simple/{project}/", headers=headers)
        return {file["filename"].split("-")[1]: file["yanked"] for file in answer["files"]}

    def wait(self, asked, project, **expectations):
        """Waits until the index says what is expected: versions are judged again by themselves."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not all(holds(self.files(project)) for holds in expectations.values()):
            time.sleep(0.02)
        found = self.files(project)
        self.story.check(asked, found, **{name: holds(found) for name, holds in expectations.items()})


def advise(lab, work):
    path = work / "advisories.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    lab.type("take two records", "advisories", "import", str(path), wanted=["2 changed", "2 advisory records in force"])
    lab.type("the same again changes nothing", "advisories", "import", str(path), wanted=["0 changed, 2 known already"])


def judge(lab):
    """Three uploads under the starter policy; the id of the one that is held."""
    lab.upload("shady-colors", "1.4.1", 403, "which an advisory calls malware", reason_on_the_terminal=lambda a: "reported as malware" in a.reason)
    lab.upload("fortress-lib", "1.0.0", 200, "with a severe vulnerability", it_is_held=lambda a: "quarantin" in a.headers["Artifortress-Decision"])
    lab.upload("fortress-lib", "1.1.0", 200, "which fixes it, under a licence nobody knows", licence="LicenseRef-Ours",
               it_is_not_held=lambda a: "quarantin" not in a.headers.get("Artifortress-Decision", ""))
    lab.type("what a rule that only watches would have stopped", "status", wanted=[f"unknown-licence in {REPO}"],
             told=lambda said: next((line for line in said.splitlines() if "would have stopped" in line), said))
    listed = json.loads(lab.type("what was held", "evaluations", "list", "--repo", REPO, "--decision", "quarantine", "--json", told=lambda _: "a list as JSON"))
    evaluation = listed["items"][0]
    lab.type("why, in words", "evaluations", "explain", evaluation["evaluationId"], "--repo", REPO,
             wanted=["severe-with-fix", "context.advisories.maxSeverity is \"9.8\"", "would not fire if"])
    return evaluation["versionId"]


def try_out(lab, work):
    candidate = work / "strict.cedar"
    candidate.write_text(STRICT)
    lab.type("a stricter policy tried, not stored", "policy", "dry-run", str(candidate), "--repo", REPO, code=1,
             wanted=["fortress-lib@1.1.0", "no-small", "of what is visible, 0 would be held and 1 denied"])
    lab.type("a policy that fails a case of its own", "policy", "put", str(candidate), "--repo", REPO, code=1, wanted=["fails", "cases"],
             told=lambda said: said.splitlines()[0][:160])


def except_and_freeze(lab, version_id):
    lab.wait("the index before", "fortress-lib", only_the_old_one_is_held=lambda f: bool(f["1.0.0"]) and not f["1.1.0"])
    waived = lab.type("an exception for a day, with a reason", "waivers", "add", "--repo", REPO, "--rule", "severe-with-fix", "--policy", "repo",
                      "--version-id", version_id, "--days", "1", "--reason", "the input is ours", wanted=["is active, ends 2"])
    lab.wait("the index after", "fortress-lib", the_exception_lets_it_out=lambda f: not f["1.0.0"] and not f["1.1.0"])
    waiver = waived.split()[1]
    lab.type("taken back", "waivers", "revoke", waiver, "--repo", REPO, wanted=["is revoked"])
    lab.wait("the index", "fortress-lib", it_is_held_again=lambda f: bool(f["1.0.0"]) and not f["1.1.0"])
    since = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    frozen = lab.type("hold all that is new", "freeze", "pypi", "--after", since, "--repo", REPO, "--reason", "something goes round", wanted=["holds what was first seen"])
    lab.wait("the index", "fortress-lib", everything_is_held=lambda f: bool(f["1.0.0"]) and bool(f["1.1.0"]))
    lab.type("lift it", "freeze", "lift", frozen.split()[1], "--repo", REPO, wanted=["is lifted"])
    lab.wait("the index", "fortress-lib", as_before=lambda f: bool(f["1.0.0"]) and not f["1.1.0"])


def prove(lab):
    lab.type("every recorded decision judged again", "evaluations", "verify", "--all", wanted=["proven"],
             told=lambda said: said.splitlines()[-1])
    lab.type("is the gate really there?", "doctor", "--repo", REPO, wanted=["ok gate, generic", "ok gate, pypi", "ok gate, reading"],
             told=lambda said: "; ".join(line for line in said.splitlines() if "gate" in line))
