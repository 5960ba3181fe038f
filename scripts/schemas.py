#!/usr/bin/env python3
"""Writes tests/data/schemas/NNNN.sql: a database of each schema with rows, as SQL text. Invariant: a file that is there is never written
again, since it shows what a program of that time left; the rows of a schema are added after its migration and carried on by later ones."""

import hashlib
import json
import pathlib
import sqlite3

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "tests/data/schemas"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
AT = 1_767_225_600_000


def ident(number):
    return f"0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c{number:02x}"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def base62(data, width):
    number, text = int.from_bytes(data, "big"), ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        text = DIGITS[digit] + text
    return text


def token(bits):
    text = "aft_" + base62(bits, 43)
    return text + base62(hashlib.sha256(text.encode()).digest()[:4], 6)


def content_digest(path, data, manifest):
    digest = hashlib.sha256()
    for field in [b"artifortress content 1", path.encode(), hashlib.sha256(data).digest(), len(data).to_bytes(8, "big"),
                  hashlib.sha256(manifest).digest() if manifest else b""]:
        digest.update(len(field).to_bytes(8, "big") + field)
    return "sha256:" + digest.hexdigest()


def audit(database, number, action, kind, resource, details):
    newest = database.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone() or (0, bytes(32))
    seq, details = newest[0] + 1, json.dumps(details, separators=(",", ":"))
    digest = hashlib.sha256(newest[1] + seq.to_bytes(8, "big") + AT.to_bytes(8, "big", signed=True))
    for field in [ident(number), "ann", "", action, kind, resource, "", details]:
        digest.update(len(field.encode()).to_bytes(8, "big") + field.encode())
    database.execute("INSERT INTO audit (seq, audit_id, time, actor, action, resource_type, resource_id, details, hash) VALUES (?, ?, ?, 'ann', ?, ?, ?, ?, ?)",
                     (seq, ident(number), AT, action, kind, resource, details, digest.digest()))


def version(database, number, name, repo, package, state, **more):
    """A version with one file of its own; it is filled as a draft and sealed then, as the triggers want it."""
    data, key, manifest = f"the bytes of demo {name}".encode(), ident(number), b'{"name":"demo"}'
    database.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", (sha256(data), len(data), AT))
    database.execute("INSERT OR IGNORE INTO repo_blobs VALUES (?, ?, 'ann', ?)", (repo, sha256(data), AT))
    database.execute("INSERT INTO versions (version_id, package_id, repo_key, version, version_key, distribution, state, created_at, created_by) "
                     "VALUES (?, ?, ?, ?, ?, '', 'draft', ?, 'ann')", (key, package, repo, name, name, AT))
    database.execute("INSERT INTO entries VALUES (?, 'demo.bin', 'demo.bin', ?, ?, NULL, NULL)", (key, sha256(data), len(data)))
    database.execute("INSERT INTO manifests VALUES (?, ?, ?)", (key, sha256(manifest), manifest))
    digest = content_digest("demo.bin", data, manifest)
    for step in state:
        database.execute("UPDATE versions SET state = ?, content_digest = ?, published_at = ?, tombstoned_at = ?, tombstone_reason = ?, "
                         "restorable_until = ?, tombstoned_from = ? WHERE version_id = ?",
                         (step, digest, AT if step in ("published", "tombstoned") else None,
                          *((AT, "old", AT + 10**12, "published") if step == "tombstoned" else (None,) * 4), key))
    return key, digest


def rows_1(database):
    for repo in ["main", "prod"]:
        database.execute("INSERT INTO repos VALUES (?, 'local', 1, 0, 30, ?, ?, NULL)", (repo, AT, AT))
    database.execute("INSERT INTO bindings VALUES ('main', 'ann', 'write'), ('main', 'bob', 'promote')")
    for number, bits, subject, revoked in [(1, 7, "admin", None), (2, 8, "bob", AT)]:
        secret = hashlib.sha256(token(bytes([bits] * 32)).encode()).digest()
        database.execute("INSERT INTO tokens VALUES (?, ?, ?, '[\"repo:*:admin\"]', NULL, 'a note', ?, 'system:bootstrap', NULL, ?)",
                         (ident(number), secret, subject, AT, revoked))
    database.execute("INSERT INTO token_use VALUES (?, ?)", (ident(1), AT))


def rows_2(database):
    for number, repo in [(1, "main"), (2, "prod")]:
        database.execute("INSERT INTO packages VALUES (?, ?, 'generic', '', 'demo', '', 'demo')", (number, repo))
    version(database, 0x14, "4.0", "main", 1, [])
    database.execute("INSERT INTO uploads VALUES (?, 'main', 'aborted', NULL, 12, NULL, 'ann', ?, ?)", (ident(0x20), AT, AT))


def rows_3(database):
    text = '@id("hold-all") @decision("quarantine") forbid (principal, action, resource);'
    for revision in [1, 2]:
        database.execute("INSERT INTO policies (repo_key, revision, digest, text, created_at, created_by) VALUES ('prod', ?, ?, ?, ?, 'ann')",
                         (revision, sha256(text.encode()), text, AT))


def rows_4(database):
    kinds = {1: ("1.0", "main", ["published"]), 2: ("2.0", "main", ["quarantined"]), 3: ("3.0", "main", ["quarantined", "rejected"]),
             5: ("1.0", "prod", ["published"]), 6: ("0.1", "main", ["published", "tombstoned"]), 7: ("5.0", "main", ["quarantined", "published"])}
    for number, (name, repo, state) in kinds.items():
        key, digest = version(database, 0x10 + number, name, repo, 1 if repo == "main" else 2, state)
        if "quarantined" in state:
            resolved = {"quarantined": (None, None), "rejected": (AT, "bob"), "published": (AT, "bob")}[state[-1]]
            status = {"published": "released"}.get(state[-1], state[-1])
            hold = ident(0x30 + number)
            database.execute("INSERT INTO quarantine_items (quarantine_id, repo_key, version_id, status, held_from, content_digest, reasons, created_at, "
                             "created_by, resolved_at, resolved_by, comment) VALUES (?, ?, ?, ?, 'publish', ?, '[]', ?, 'ann', ?, ?, 'seen')",
                             (hold, repo, key, status, digest, AT, *resolved))
            audit(database, 0x40 + number, "quarantine.created", "version", key, {"quarantineId": hold})
            if resolved[0]:
                database.execute("INSERT INTO quarantine_votes VALUES (?, 'bob', ?, 'seen', ?)",
                                 (hold, "release" if status == "released" else "reject", AT))
            if status == "released":
                database.execute("INSERT INTO waivers VALUES (?, ?, 'instance:hold-all', ?, ?)", (key, digest, hold, AT))
        if "published" in state:
            audit(database, 0x50 + number, "package.version.published", "version", key, {"repoKey": repo})
        database.execute("INSERT INTO evaluations VALUES (?, ?, ?, 'publish', 'allow', 'default_allow', '[]', '[]', '[]', 'nothing speaks against it', "
                         "'cedar 4', ?, 0, 0, ?, '{}', ?, ?, 'ann', NULL)",
                         (ident(0x60 + number), repo, key, sha256(b""), sha256(b"{}"), digest, AT))
    audit(database, 0x58, "package.version.promoted", "version", ident(0x11), {"targetVersionId": ident(0x15)})
    audit(database, 0x59, "package.version.tombstoned", "version", ident(0x16), {"reason": "old"})
    for number, state in [(1, "delivered"), (7, "pending")]:
        payload = json.dumps({"versionId": ident(0x10 + number), "repoKey": "main", "visible": True})
        database.execute("INSERT INTO outbox (event_id, kind, payload, state, attempts, due_at, created_at, delivered_at) "
                         "VALUES (?, 'version.published', ?, ?, 0, ?, ?, ?)",
                         (ident(0x70 + number), payload, state, AT, AT, AT if state == "delivered" else None))
    database.execute("INSERT INTO jobs VALUES (?, 'search_index', ?, 'visible', 'completed', 1, 5, ?, NULL, NULL, NULL, ?, ?)",
                     (ident(0x80), ident(0x11), AT, AT, AT))
    database.execute("INSERT INTO jobs VALUES (?, 'search_index', ?, 'hidden', 'dead', 5, 5, ?, NULL, NULL, 'internal', ?, ?)",
                     (ident(0x81), ident(0x12), AT, AT, AT))


def rows_6(database):
    database.execute("INSERT INTO webhooks VALUES (?, 'main', 'http://127.0.0.1:9/hook', '[]', 'a secret of a webhook', 0, NULL, ?, 'ann', ?)",
                     (ident(0x90), AT, AT))
    database.execute("INSERT INTO deliveries VALUES (?, ?, 'ping', NULL, '{}', 'delivered', ?, ?)", (ident(0x91), ident(0x90), AT, AT))
    database.execute("INSERT INTO delivery_attempts VALUES (?, 1, ?, 3, 200, NULL, 'ok')", (ident(0x91), AT))


def rows_7(database):
    digest, = database.execute("SELECT content_digest FROM versions WHERE version_id = ?", (ident(0x11),)).fetchone()
    database.execute("INSERT INTO scan_findings VALUES (?, ?, 'scanner', 'clean', 0, '[]', ?, 'ann')", (ident(0x11), digest, AT))
    database.execute("INSERT INTO reservations VALUES (?, 'main', 'npm', '', 'acme-*', '[\"ann\"]', 'ours', ?, 'ann')", (ident(0xa0), AT))
    database.execute("INSERT INTO freezes VALUES (?, 'main', 'npm', ?, 'an incident', ?, 'ann', ?, 'ann')", (ident(0xa1), AT, AT, AT))
    database.execute("INSERT INTO downloads VALUES (?, 'bob', '127.0.0.1', ?, ?, 3)", (ident(0x11), AT, AT))
    database.execute("INSERT INTO rule_firings VALUES ('main', 'instance:hold-all', 'enforced', 'quarantine', 20454, 2, ?, ?)", (AT, ident(0x12)))
    database.execute("INSERT INTO waivers VALUES (?, 'main', 'range', 'generic', '', 'demo', NULL, NULL, '<2', 'instance:hold-all', 'quarantine', "
                     "'known', NULL, ?, 'ann', ?, 0, NULL, NULL, NULL, NULL)", (ident(0xa2), AT, AT + 10**10))


def rows_8(database):
    database.execute("INSERT INTO package_tags VALUES (1, 'latest', ?)", (ident(0x11),))
    database.execute("INSERT INTO package_owners VALUES (1, 'ann')")


def rows_10(database):
    database.execute("INSERT INTO quotas VALUES ('main', 1000000, 100, ?, 'ann')", (AT,))
    database.execute("INSERT INTO retention_rules VALUES ('main', 3, NULL, NULL, ?, 'ann')", (AT,))
    database.execute("INSERT INTO gc_runs VALUES (?, 0, 24, 200, 'completed', ?, 'ann', ?, 1, 2, 3, 0, 0, NULL)", (ident(0xb0), AT, AT))


def main():
    TARGET.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("PRAGMA foreign_keys = ON")
    for migration in sorted((ROOT / "schema").glob("*.sql")):
        number = int(migration.name[:4])
        database.executescript(migration.read_text())
        globals().get(f"rows_{number}", lambda _: None)(database)
        faults = database.execute("PRAGMA foreign_key_check").fetchall()
        assert not faults, faults
        target = TARGET / f"{number:04}.sql"
        if not target.exists():
            target.write_text("\n".join([*database.iterdump(), f"PRAGMA user_version = {number};", ""]))
            print(target.relative_to(ROOT))


main()
