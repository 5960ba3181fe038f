"""Types the runbook of the README. Invariant: every chapter is known here by its heading, with the damage it is about; every command of its
console blocks is typed as it stands, and what it prints must be what stands below it, where `…` stands for whatever differs each time."""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

from damage import CHAPTERS
from host import Fault, Host

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGINS, ANYTHING = "## Runbook", "…"


class Command:
    """A line that is typed, and the lines expected below it."""

    def __init__(self, line, place):
        self.line, self.place, self.expected = line, place, []

    @property
    def code(self):
        """The exit code that the line ends with, as its comment says; 0 without one."""
        said = re.search(r"# ends with (\d+)$", self.line)
        return int(said.group(1)) if said else 0


def chapters_of(text):
    """Headings of the third level in the runbook, each with its commands."""
    chapters, inside, block = [], False, False
    for number, line in enumerate(text.splitlines(), 1):
        if not block and line.startswith("## "):
            inside = line == BEGINS
        elif inside and not block and line.startswith("### "):
            chapters.append((line[4:], []))
        elif inside and line.startswith("```"):
            block = line == "```console"
        elif inside and block:
            commands = chapters[-1][1]
            if line.startswith("$ "):
                commands.append(Command(line[2:], f"README.md:{number}"))
            elif line.startswith("> "):
                commands[-1].line += "\n" + line[2:]
            else:
                commands[-1].expected.append(line)
    return chapters


def matches(expected, printed):
    """Whether the lines printed are those expected; a line of dots alone stands for any number of lines."""
    if not expected:
        return not printed
    if expected[0] == ANYTHING:
        return any(matches(expected[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    if not printed:
        return False
    pattern = ".*".join(re.escape(part) for part in squeezed(expected[0]).split(ANYTHING))
    return bool(re.fullmatch(pattern, squeezed(printed[0]))) and matches(expected[1:], printed[1:])


def squeezed(line):
    """A line without the widths of columns, which follow from ids and ages."""
    return re.sub(r" {2,}", "  ", line.rstrip())


def type_chapter(host, heading, commands):
    print(f"\n== {heading}", flush=True)
    if heading not in CHAPTERS:
        raise Fault(f"the chapter {heading!r} is unknown to scripts/damage.py; say there what comes before it")
    before, after = CHAPTERS[heading]
    before(host)
    for command in commands:
        printed, code = host.type(command.line)
        if code != command.code or not matches(command.expected, printed):
            raise Fault(
                f"{command.place}: $ {command.line}\nended with {code} instead of {command.code}; expected\n"
                + "\n".join(command.expected) + "\nand it printed\n" + "\n".join(printed)
            )
        print(f"  $ {command.line.splitlines()[0]}", flush=True)
    after(host)
    return len(commands)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    arguments = parser.parse_args()
    chapters = chapters_of((ROOT / "README.md").read_text())
    missing = set(CHAPTERS) - {heading for heading, _ in chapters}
    if missing or not chapters:
        raise SystemExit(f"scripts/runbook: the README lacks the chapters {sorted(missing)}")
    with tempfile.TemporaryDirectory(prefix="artifortress-runbook-") as work:
        host = Host(arguments.binary, pathlib.Path(work))
        try:
            with host:
                typed = sum(type_chapter(host, heading, commands) for heading, commands in chapters)
        except (Fault, subprocess.SubprocessError, OSError) as fault:
            print(f"\nscripts/runbook: {fault}\n\nthe end of the log:\n{host.log_tail()[-1500:]}", file=sys.stderr)
            return 1
    print(f"\n{typed} commands of {len(chapters)} chapters do what the runbook says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
