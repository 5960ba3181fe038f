BEGIN TRANSACTION;
CREATE TABLE bindings (
    repo_key TEXT NOT NULL REFERENCES repos (repo_key),
    subject  TEXT NOT NULL,
    role     TEXT NOT NULL CHECK (role IN ('read', 'write', 'promote', 'admin')),
    PRIMARY KEY (repo_key, subject, role)
) STRICT, WITHOUT ROWID;
INSERT INTO "bindings" VALUES('main','ann','write');
INSERT INTO "bindings" VALUES('main','bob','promote');
CREATE TABLE blobs (
    digest     TEXT PRIMARY KEY CHECK (length(digest) = 71 AND digest GLOB 'sha256:*'),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "blobs" VALUES('sha256:d7618b031136c7bec543222871eb2cb2d98e4bbdad1e39c8d9267d1a7a53b4ca',21,1767225600000);
CREATE TABLE entries (
    version_id TEXT    NOT NULL REFERENCES versions (version_id),
    path_key   TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    digest     TEXT    NOT NULL REFERENCES blobs (digest),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    media_type TEXT,
    sha1       TEXT    CHECK (length(sha1) = 40),
    PRIMARY KEY (version_id, path_key)
) STRICT, WITHOUT ROWID;
INSERT INTO "entries" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c14','demo.bin','demo.bin','sha256:d7618b031136c7bec543222871eb2cb2d98e4bbdad1e39c8d9267d1a7a53b4ca',21,NULL,NULL);
CREATE TABLE evaluations (
    evaluation_id   TEXT PRIMARY KEY,
    repo_key        TEXT    NOT NULL REFERENCES repos (repo_key),
    version_id      TEXT    NOT NULL REFERENCES versions (version_id),
    action          TEXT    NOT NULL CHECK (action IN ('publish', 'promote', 'restore', 'fetch', 'import')),
    decision        TEXT    NOT NULL CHECK (decision IN ('allow', 'quarantine', 'deny')),
    decision_source TEXT    NOT NULL CHECK (decision_source IN ('default_allow', 'policy', 'hint_quarantine', 'hint_deny', 'manual')),
    reasons         TEXT    NOT NULL CHECK (json_valid(reasons)),
    observed        TEXT    NOT NULL CHECK (json_valid(observed)),
    waived          TEXT    NOT NULL CHECK (json_valid(waived)),
    reason          TEXT    NOT NULL,
    engine_version  TEXT    NOT NULL,
    policy_digest   TEXT    NOT NULL,
    -- The revisions judged by: 0 where there was none.
    instance_revision INTEGER NOT NULL,
    repo_revision   INTEGER NOT NULL,
    input_digest    TEXT    NOT NULL,
    input           TEXT    NOT NULL,
    content_digest  TEXT    NOT NULL,
    evaluated_at    INTEGER NOT NULL,
    evaluated_by    TEXT    NOT NULL,
    quarantine_id   TEXT    REFERENCES quarantine_items (quarantine_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE manifests (
    version_id TEXT PRIMARY KEY REFERENCES versions (version_id),
    digest     TEXT NOT NULL,
    bytes      BLOB NOT NULL CHECK (length(bytes) <= 1048576)
) STRICT;
INSERT INTO "manifests" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c14','sha256:d7d234f759ec34fd6298b7e32318614760070aaef9f4e92ced928324b49a0602',X'7B226E616D65223A2264656D6F227D');
CREATE TABLE packages (
    package_id    INTEGER PRIMARY KEY,
    repo_key      TEXT NOT NULL REFERENCES repos (repo_key),
    package_type  TEXT NOT NULL,
    namespace     TEXT NOT NULL,
    name          TEXT NOT NULL,
    namespace_key TEXT NOT NULL,
    name_key      TEXT NOT NULL,
    UNIQUE (repo_key, package_type, namespace_key, name_key)
) STRICT;
INSERT INTO "packages" VALUES(1,'main','generic','','demo','','demo');
INSERT INTO "packages" VALUES(2,'prod','generic','','demo','','demo');
CREATE TABLE policies (
    -- Empty for the instance's policy.
    repo_key   TEXT    NOT NULL,
    revision   INTEGER NOT NULL CHECK (revision > 0),
    digest     TEXT    NOT NULL,
    text       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    PRIMARY KEY (repo_key, revision)
) STRICT, WITHOUT ROWID;
INSERT INTO "policies" VALUES('prod',1,'sha256:f2ad3bfb2eab867436ddf286a7a0ed1c99f00c50c763f2c5bf33c15e874087fb','@id("hold-all") @decision("quarantine") forbid (principal, action, resource);',1767225600000,'ann');
INSERT INTO "policies" VALUES('prod',2,'sha256:f2ad3bfb2eab867436ddf286a7a0ed1c99f00c50c763f2c5bf33c15e874087fb','@id("hold-all") @decision("quarantine") forbid (principal, action, resource);',1767225600000,'ann');
CREATE TABLE quarantine_items (
    quarantine_id  TEXT PRIMARY KEY,
    repo_key       TEXT    NOT NULL REFERENCES repos (repo_key),
    version_id     TEXT    NOT NULL REFERENCES versions (version_id),
    status         TEXT    NOT NULL CHECK (status IN ('quarantined', 'released', 'rejected')),
    held_from      TEXT    NOT NULL CHECK (held_from IN ('draft', 'publish', 'published', 'restore')),
    content_digest TEXT    NOT NULL,
    evaluation_id  TEXT,
    reasons        TEXT    NOT NULL CHECK (json_valid(reasons)),
    created_at     INTEGER NOT NULL,
    created_by     TEXT    NOT NULL,
    resolved_at    INTEGER,
    resolved_by    TEXT,
    comment        TEXT,
    CHECK ((status = 'quarantined') = (resolved_at IS NULL)),
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine_votes (
    quarantine_id TEXT    NOT NULL REFERENCES quarantine_items (quarantine_id),
    subject       TEXT    NOT NULL,
    ballot        TEXT    NOT NULL CHECK (ballot IN ('release', 'reject')),
    comment       TEXT,
    at            INTEGER NOT NULL,
    -- Who voted release may still reject, which settles the item.
    PRIMARY KEY (quarantine_id, subject, ballot)
) STRICT, WITHOUT ROWID;
CREATE TABLE repo_blobs (
    repo_key    TEXT NOT NULL REFERENCES repos (repo_key),
    digest      TEXT NOT NULL REFERENCES blobs (digest),
    uploaded_by TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (repo_key, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "repo_blobs" VALUES('main','sha256:d7618b031136c7bec543222871eb2cb2d98e4bbdad1e39c8d9267d1a7a53b4ca','ann',1767225600000);
CREATE TABLE repos (
    repo_key             TEXT PRIMARY KEY,
    kind                 TEXT    NOT NULL CHECK (kind IN ('local', 'remote', 'virtual')),
    anonymous_read       INTEGER NOT NULL CHECK (anonymous_read IN (0, 1)),
    require_dual_control INTEGER NOT NULL CHECK (require_dual_control IN (0, 1)),
    retention_days       INTEGER NOT NULL CHECK (retention_days BETWEEN 0 AND 36500),
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    deleted_at           INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO "repos" VALUES('main','local',1,0,30,1767225600000,1767225600000,NULL);
INSERT INTO "repos" VALUES('prod','local',1,0,30,1767225600000,1767225600000,NULL);
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE token_use (
    token_id     TEXT PRIMARY KEY REFERENCES tokens (token_id),
    last_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "token_use" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c01',1767225600000);
CREATE TABLE tokens (
    token_id       TEXT PRIMARY KEY,
    secret_sha256  BLOB    NOT NULL UNIQUE CHECK (length(secret_sha256) = 32),
    subject        TEXT    NOT NULL,
    -- NULL: the token carries the live bindings of its subject. Otherwise a JSON array of scopes.
    scopes         TEXT    CHECK (scopes IS NULL OR json_valid(scopes)),
    -- The subject whose live bindings bound the scopes, when the issuer itself held no more than bindings.
    bounded_by     TEXT,
    note           TEXT,
    created_at     INTEGER NOT NULL,
    created_by     TEXT    NOT NULL,
    expires_at     INTEGER,
    revoked_at     INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO "tokens" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c01',X'AA03A9B026B0F1277B844247F1C37D459FC529650AFFB71D47BF98AEDDCDCE33','admin','["repo:*:admin"]',NULL,'a note',1767225600000,'system:bootstrap',NULL,NULL);
INSERT INTO "tokens" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c02',X'786813605E0196A93EEFD21D5F849E98C7AB236ADEE1147D407648ED93801357','bob','["repo:*:admin"]',NULL,'a note',1767225600000,'system:bootstrap',NULL,1767225600000);
CREATE TABLE uploads (
    upload_id       TEXT PRIMARY KEY,
    repo_key        TEXT NOT NULL REFERENCES repos (repo_key),
    state           TEXT NOT NULL CHECK (state IN ('open', 'committed', 'aborted')),
    expected_digest TEXT,
    expected_length INTEGER CHECK (expected_length >= 0),
    digest          TEXT REFERENCES blobs (digest),
    created_by      TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    CHECK ((state = 'committed') = (digest IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO "uploads" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c20','main','aborted',NULL,12,NULL,'ann',1767225600000,1767225600000);
CREATE TABLE versions (
    version_id       TEXT PRIMARY KEY,
    package_id       INTEGER NOT NULL REFERENCES packages (package_id),
    repo_key         TEXT    NOT NULL REFERENCES repos (repo_key),
    version          TEXT    NOT NULL,
    version_key      TEXT    NOT NULL,
    -- The file's key where a protocol publishes a release file by file, else empty.
    distribution     TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('draft', 'quarantined', 'published', 'rejected', 'tombstoned')),
    created_at       INTEGER NOT NULL,
    created_by       TEXT    NOT NULL,
    published_at     INTEGER,
    content_digest   TEXT,
    yanked_reason    TEXT,
    protection       TEXT    CHECK (protection IN ('protected', 'legal_hold')),
    protection_reason TEXT,
    tombstoned_at    INTEGER,
    tombstone_reason TEXT,
    restorable_until INTEGER,
    tombstoned_from  TEXT    CHECK (tombstoned_from IN ('published', 'rejected')),
    UNIQUE (package_id, version_key, distribution),
    CHECK (state = 'draft' OR content_digest IS NOT NULL),
    CHECK (state <> 'published' OR published_at IS NOT NULL),
    CHECK (state <> 'tombstoned' OR (tombstoned_at IS NOT NULL AND restorable_until IS NOT NULL AND tombstoned_from IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c14',1,'main','4.0','4.0','','draft',1767225600000,'ann',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE waivers (
    version_id     TEXT    NOT NULL REFERENCES versions (version_id),
    content_digest TEXT    NOT NULL,
    rule           TEXT    NOT NULL,
    quarantine_id  TEXT    NOT NULL REFERENCES quarantine_items (quarantine_id),
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (version_id, content_digest, rule)
) STRICT, WITHOUT ROWID;
CREATE INDEX bindings_by_subject ON bindings (subject);
CREATE INDEX tokens_by_subject ON tokens (subject, created_at);
CREATE INDEX uploads_open_by_expiry ON uploads (expires_at) WHERE state = 'open';
CREATE INDEX versions_by_repo ON versions (repo_key, state, published_at);
CREATE INDEX versions_by_package ON versions (package_id, state, published_at);
CREATE INDEX entries_by_digest ON entries (digest, version_id);
CREATE TRIGGER entries_sealed_insert BEFORE INSERT ON entries
WHEN (SELECT state FROM versions WHERE version_id = NEW.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER entries_sealed_update BEFORE UPDATE ON entries
WHEN (SELECT state FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft' OR NEW.version_id <> OLD.version_id
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER entries_sealed_delete BEFORE DELETE ON entries
WHEN (SELECT state FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER manifests_sealed_insert BEFORE INSERT ON manifests
WHEN (SELECT state FROM versions WHERE version_id = NEW.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER manifests_sealed_update BEFORE UPDATE ON manifests
WHEN (SELECT state FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft' OR NEW.version_id <> OLD.version_id
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER manifests_sealed_delete BEFORE DELETE ON manifests
WHEN (SELECT state FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER versions_identity_fixed BEFORE UPDATE ON versions
WHEN NEW.version_id <> OLD.version_id OR NEW.package_id <> OLD.package_id OR NEW.repo_key <> OLD.repo_key
  OR NEW.version <> OLD.version OR NEW.version_key <> OLD.version_key OR NEW.distribution <> OLD.distribution
  OR NEW.created_by <> OLD.created_by OR NEW.created_at <> OLD.created_at
  OR (OLD.state <> 'draft' AND NEW.state <> 'draft' AND NEW.content_digest IS NOT OLD.content_digest)
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER versions_legal_step BEFORE UPDATE OF state ON versions
WHEN NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN (
    'draft>published', 'draft>quarantined', 'published>quarantined', 'tombstoned>quarantined',
    'quarantined>published', 'quarantined>draft', 'quarantined>rejected',
    'published>tombstoned', 'rejected>tombstoned', 'tombstoned>published')
BEGIN SELECT RAISE(ABORT, 'illegal_step'); END;
CREATE TRIGGER versions_rejected_is_final BEFORE UPDATE OF state ON versions
WHEN OLD.state = 'tombstoned' AND OLD.tombstoned_from = 'rejected' AND NEW.state <> 'tombstoned'
BEGIN SELECT RAISE(ABORT, 'illegal_step'); END;
CREATE TRIGGER versions_sealed_delete BEFORE DELETE ON versions
WHEN OLD.state <> 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER policies_fixed_update BEFORE UPDATE ON policies BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER policies_fixed_delete BEFORE DELETE ON policies BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE INDEX quarantine_by_repo_status ON quarantine_items (repo_key, status, created_at, quarantine_id);
CREATE INDEX quarantine_by_status ON quarantine_items (status, created_at, quarantine_id);
CREATE INDEX quarantine_by_version ON quarantine_items (version_id, created_at);
CREATE UNIQUE INDEX quarantine_one_open_hold ON quarantine_items (version_id) WHERE status = 'quarantined';
CREATE TRIGGER quarantine_resolved_once BEFORE UPDATE ON quarantine_items
WHEN OLD.status <> 'quarantined' OR NEW.quarantine_id <> OLD.quarantine_id OR NEW.version_id <> OLD.version_id
  OR NEW.repo_key <> OLD.repo_key OR NEW.content_digest <> OLD.content_digest OR NEW.reasons <> OLD.reasons
  OR NEW.held_from <> OLD.held_from OR NEW.created_at <> OLD.created_at OR NEW.created_by <> OLD.created_by
BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER quarantine_kept BEFORE DELETE ON quarantine_items BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER votes_fixed_update BEFORE UPDATE ON quarantine_votes BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER votes_fixed_delete BEFORE DELETE ON quarantine_votes BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE INDEX evaluations_by_version ON evaluations (version_id, repo_key, action, evaluated_at, evaluation_id);
CREATE INDEX evaluations_by_repo ON evaluations (repo_key, evaluated_at, evaluation_id);
CREATE TRIGGER evaluations_fixed_update BEFORE UPDATE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER evaluations_fixed_delete BEFORE DELETE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER waivers_fixed_update BEFORE UPDATE ON waivers BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER waivers_fixed_delete BEFORE DELETE ON waivers BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE VIEW version_rows AS
SELECT versions.*, packages.package_type, packages.namespace, packages.name, packages.namespace_key, packages.name_key,
       hold.quarantine_id, hold.status AS hold_status, hold.reasons AS hold_reasons, hold.created_at AS held_at
FROM versions
JOIN packages USING (package_id)
LEFT JOIN quarantine_items AS hold ON versions.state IN ('quarantined', 'rejected') AND hold.quarantine_id = (
    SELECT newest.quarantine_id FROM quarantine_items AS newest
    WHERE newest.version_id = versions.version_id
    ORDER BY newest.created_at DESC, newest.quarantine_id DESC LIMIT 1);
COMMIT;
PRAGMA user_version = 3;
