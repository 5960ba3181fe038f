"""What each chapter of the runbook is about: what happens to the machine before its commands are typed, and what must be so afterwards.
Invariant: damage is done from outside, as a disk, an operator or an accident would; afterwards the server serves and its data are sound."""

import contextlib
import os
import signal
import sqlite3

from host import Fault

PUBLISHED = "hello"


def nothing(_host):
    """Nothing has happened."""


def serves(host):
    """What has to be so after every chapter: it serves, what was published is there, and the data are sound."""
    host.need("systemctl start artifortress")
    answer = host.need("curl -sS --fail http://127.0.0.1:8466/files/main/hello/1.0/hello.txt")
    if answer != [PUBLISHED]:
        raise Fault(f"what was published is not there any more: {answer}")
    host.need("artifortress verify --data-dir /var/lib/artifortress --blobs")


def publish(host, name, extra=""):
    token = (host.data / "admin-token").read_text().strip()
    return host.type(f"echo {name} | curl -sS -o /dev/null -w '%{{http_code}}' -u _:{token} -T - "
                     f"'http://127.0.0.1:8466/files/main/{name}/1.0/{name}.txt?publish' {extra}")[0]


def first_hour_is_over(host):
    publish(host, PUBLISHED)
    serves(host)


def changed(host, statement, **values):
    """A row changed behind the server's back, while it is stopped."""
    host.need("systemctl stop artifortress")
    with contextlib.closing(sqlite3.connect(host.data / "state.db")) as database, database:
        if database.execute(statement, values).rowcount < 1:
            raise Fault(f"nothing to damage: {statement}")
    host.need("systemctl start artifortress")


def fill_the_disk(host):
    disk = os.statvfs(host.data)
    with open(host.data.parent / "filler", "wb") as filler:
        filler.write(b"\0" * (disk.f_bavail * disk.f_frsize - (1 << 20)))


def empty_the_disk(host):
    (host.data.parent / "filler").unlink()
    if publish(host, "after-the-disk") != ["200"]:
        raise Fault("nothing can be published after the disk has room again")
    serves(host)


def damage_the_index(host):
    host.need("systemctl stop artifortress")
    (host.data / "search.db").write_bytes(b"\x5a" * 100_000)
    host.need("systemctl start artifortress")


def damage_the_state(host):
    host.need("systemctl stop artifortress")
    path = host.data / "state.db"
    content = bytearray(path.read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle:middle + 20_480] = b"\x5a" * 20_480
    path.write_bytes(content)


def lose_the_token(host):
    (host.data / "admin-token").unlink()


def give_an_event_up(host):
    changed(host, "UPDATE outbox SET state = 'dead', attempts = 5, delivered_at = NULL, last_error = 'malformed' WHERE seq = (SELECT max(seq) FROM outbox)")


def give_a_job_up(host):
    changed(host, "UPDATE jobs SET state = 'dead', attempts = max_attempts, last_error = 'index_unavailable', lease_token = NULL "
                  "WHERE job_id = (SELECT job_id FROM jobs WHERE kind = 'search_index' LIMIT 1)")


def hang(host):
    os.killpg(host.service.running(), signal.SIGSTOP)


def block_everything(host):
    (host.work / "home/all.cedar").write_text('@id("nobody") @message("closed")\nforbid (principal, action, resource);\n')
    host.need("artifortress policy put all.cedar --no-cases --data-dir /var/lib/artifortress")
    for number in range(6):
        if publish(host, f"blocked-{number}") != ["403"]:
            raise Fault("the policy does not block")


def nothing_is_blocked(host):
    if publish(host, "let-in") != ["200"]:
        raise Fault("the policy still blocks")
    serves(host)


def set_the_clock_ahead(host):
    host.need("systemctl stop artifortress")
    host.service.clock_file.write_text("+2h")
    host.need("systemctl start artifortress")
    publish(host, "from-the-future")
    host.need("systemctl stop artifortress")
    host.service.clock_file.unlink()
    host.need("systemctl start artifortress")


def come_from_a_newer_version(host):
    host.need("systemctl stop artifortress")
    with contextlib.closing(sqlite3.connect(host.data / "state.db")) as database, database:
        (host.work / "schema").write_text(str(database.execute("PRAGMA user_version").fetchone()[0]))
        database.execute("PRAGMA user_version = 999")


def go_back_to_the_newer_version(host):
    with contextlib.closing(sqlite3.connect(host.data / "state.db")) as database, database:
        database.execute(f"PRAGMA user_version = {int((host.work / 'schema').read_text())}")
    serves(host)


# Heading: what happens before, what must be so afterwards.
CHAPTERS = {
    "Install": (nothing, nothing),
    "The first hour": (nothing, first_hour_is_over),
    "Every day": (nothing, serves),
    "The disk is full": (fill_the_disk, empty_the_disk),
    "The search index is damaged": (damage_the_index, serves),
    "The database is damaged": (damage_the_state, serves),
    "The administrator's token is lost": (lose_the_token, serves),
    "An event was given up": (give_an_event_up, serves),
    "A job was given up": (give_a_job_up, serves),
    "The server hangs": (hang, serves),
    "The policy lets nothing in": (block_everything, nothing_is_blocked),
    "The clock was wrong": (set_the_clock_ahead, serves),
    "Upgrade": (nothing, serves),
    "Downgrade": (come_from_a_newer_version, go_back_to_the_newer_version),
}
