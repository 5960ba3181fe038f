-- Blobs, uploads, packages, versions and their parts. Sealed versions are kept unchangeable by triggers on every table
-- that holds a part of one.

CREATE TABLE blobs (
    digest     TEXT PRIMARY KEY CHECK (length(digest) = 71 AND digest GLOB 'sha256:*'),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which repo was given which blob: a repo never learns of bytes it was not given.
CREATE TABLE repo_blobs (
    repo_key    TEXT NOT NULL REFERENCES repos (repo_key),
    digest      TEXT NOT NULL REFERENCES blobs (digest),
    uploaded_by TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (repo_key, digest)
) STRICT, WITHOUT ROWID;

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

CREATE INDEX uploads_open_by_expiry ON uploads (expires_at) WHERE state = 'open';

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

CREATE INDEX versions_by_repo ON versions (repo_key, state, published_at);
CREATE INDEX versions_by_package ON versions (package_id, state, published_at);

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

CREATE INDEX entries_by_digest ON entries (digest, version_id);

CREATE TABLE manifests (
    version_id TEXT PRIMARY KEY REFERENCES versions (version_id),
    digest     TEXT NOT NULL,
    bytes      BLOB NOT NULL CHECK (length(bytes) <= 1048576)
) STRICT;

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

-- What a version is never changes; once sealed, neither does the digest of its content.
CREATE TRIGGER versions_identity_fixed BEFORE UPDATE ON versions
WHEN NEW.version_id <> OLD.version_id OR NEW.package_id <> OLD.package_id OR NEW.repo_key <> OLD.repo_key
  OR NEW.version <> OLD.version OR NEW.version_key <> OLD.version_key OR NEW.distribution <> OLD.distribution
  OR NEW.created_by <> OLD.created_by OR NEW.created_at <> OLD.created_at
  OR (OLD.state <> 'draft' AND NEW.state <> 'draft' AND NEW.content_digest IS NOT OLD.content_digest)
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;

-- The pairs of lifecycle::State::after.
CREATE TRIGGER versions_legal_step BEFORE UPDATE OF state ON versions
WHEN NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN (
    'draft>published', 'draft>quarantined', 'published>quarantined', 'tombstoned>quarantined',
    'quarantined>published', 'quarantined>draft', 'quarantined>rejected',
    'published>tombstoned', 'rejected>tombstoned', 'tombstoned>published')
BEGIN SELECT RAISE(ABORT, 'illegal_step'); END;

-- A rejected coordinate is spent, also by way of a tombstone.
CREATE TRIGGER versions_rejected_is_final BEFORE UPDATE OF state ON versions
WHEN OLD.state = 'tombstoned' AND OLD.tombstoned_from = 'rejected' AND NEW.state <> 'tombstoned'
BEGIN SELECT RAISE(ABORT, 'illegal_step'); END;

CREATE TRIGGER versions_sealed_delete BEFORE DELETE ON versions
WHEN OLD.state <> 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
