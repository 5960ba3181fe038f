"""What looking after an instance costs: backup, restore, verification, and the start of a large one. Invariant: each figure stands beside what
the usual tool takes for the same files, measured in turn with it."""

import os
import shutil
import sqlite3
import subprocess
import uuid

from daemon import Daemon, Fault
from measure import MIB, Client, in_parallel, milliseconds

CLIENTS = 8
LARGE_BYTES = 8 * MIB


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **more)
    if done.returncode != 0:
        raise Fault(f"{command} ended with {done.returncode}: {done.stderr.decode('utf-8', 'replace')[-600:]}")


def fill(daemon, versions, large):
    """Small releases, and large ones of bytes that no compression makes smaller, as those of packages are."""
    token = (daemon.data / "admin-token").read_text().strip()
    clients = [Client(daemon.port, token) for _ in range(CLIENTS)]

    def publish(number):
        for index in range(number, versions, CLIENTS):
            clients[number].ask("PUT", f"/files/main/small{index}/1.0/a.bin?publish", os.urandom(1024))
    in_parallel([lambda number=number: publish(number) for number in range(CLIENTS)])
    for index in range(large):
        clients[0].ask("PUT", f"/files/main/large{index}/1.0/a.bin?publish", os.urandom(LARGE_BYTES))


def multiply(data, count):
    """Adds rows until there are `count` versions: what a start has to cope with, and quicker than publishing them."""
    database = sqlite3.connect(data / "state.db")
    have, = database.execute("SELECT count(*) FROM versions").fetchone()
    digest, size = database.execute("SELECT digest, size_bytes FROM entries LIMIT 1").fetchone()
    first, = database.execute("SELECT max(package_id) + 1 FROM packages").fetchone()
    for index in range(count - have):
        package, version = first + index, str(uuid.uuid4())
        name = f"made-{index}"
        database.execute("INSERT INTO packages VALUES (?, 'main', 'generic', '', ?, '', ?)", (package, name, name))
        database.execute("INSERT INTO versions (version_id, package_id, repo_key, version, version_key, distribution, state, created_at, created_by) "
                         "VALUES (?, ?, 'main', '1.0', '1.0', '', 'draft', 1, 'admin')", (version, package))
        database.execute("INSERT INTO entries VALUES (?, 'a.bin', 'a.bin', ?, ?, NULL, NULL)", (version, digest, size))
        database.execute("UPDATE versions SET state = 'published', published_at = 1, content_digest = ? WHERE version_id = ?", (digest, version))
    database.commit()
    database.close()


def measure_backup(report, binary, work, versions, large, starts):
    home = work / "backup"
    home.mkdir()
    daemon = Daemon(binary, home)
    try:
        daemon.start()
        fill(daemon, versions, large)
        data, files = daemon.data, ["state.db", "blobs"]
        size = sum(path.stat().st_size for path in [data / "state.db", *data.glob("blobs/sha256/*/*")]) / MIB
        rates = {"tar": [], "backup": []}
        for turn in range(3):
            archive, plain = home / f"{turn}.tar.zst", home / "plain.tar"
            rates["tar"].append(size / milliseconds(lambda: run("tar", "-cf", plain, *files, cwd=data)) * 1000)
            plain.unlink()
            rates["backup"].append(size / milliseconds(lambda: run(binary, "backup", archive, "--data-dir", data)) * 1000)
            if turn:
                archive.unlink()
        note = f"{versions + large} versions, {size:,.0f} MiB, beside the server"
        baseline = report.add("baseline: tar of the same files, not synced", "MiB/s", rates["tar"])
        report.figures["backup against tar"] = round(report.add("backup, hashed, compressed, synced", "MiB/s", rates["backup"], note) / baseline, 4)
        restores = []
        for turn in range(3):
            target = home / f"restored{turn}"
            restores.append(milliseconds(lambda: run(binary, "restore", home / "0.tar.zst", "--data-dir", target)) / 1000)
            shutil.rmtree(target)
        report.add(f"restore of {versions + large} versions, verified", "s", restores)
        hashes, verified = [], []
        paths = [str(path) for path in data.glob("blobs/sha256/*/*")]
        for _ in range(3):
            hashes.append(size / milliseconds(lambda: run("xargs", "-0", "sha256sum", input="\0".join(paths).encode())) * 1000)
            verified.append(size / milliseconds(lambda: run(binary, "verify", "--blobs", "--data-dir", data)) * 1000)
        baseline = report.add("baseline: sha256sum of the same files", "MiB/s", hashes)
        report.figures["verify against sha256sum"] = round(report.add("verify --blobs, with the database", "MiB/s", verified) / baseline, 4)
        daemon.stop()
        multiply(data, 100_000)
        times = []
        for _ in range(starts):
            times.append(daemon.start() * 1000)
            daemon.stop()
        report.add("exec to ready with 100,000 versions", "ms", times)
    finally:
        daemon.end()
