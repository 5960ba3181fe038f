-- What space is used and how it comes free again: purged tombstones, exact counters, quotas, rules of retention, runs of the collector.

-- When the files of a tombstone were given up for good. The row stays, so that its coordinate is spent for ever.
ALTER TABLE versions ADD COLUMN purged_at INTEGER CHECK (purged_at IS NULL OR state = 'tombstoned');

CREATE INDEX versions_to_purge ON versions (restorable_until, version_id) WHERE state = 'tombstoned' AND purged_at IS NULL;

-- What files a purged version had: their names stay spent, and what was rejected stays known by its digest.
CREATE TABLE purged_entries (
    version_id TEXT    NOT NULL REFERENCES versions (version_id),
    path_key   TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    media_type TEXT,
    sha1       TEXT,
    PRIMARY KEY (version_id, path_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX purged_entries_by_digest ON purged_entries (digest, version_id);

CREATE TRIGGER purged_entries_fixed_update BEFORE UPDATE ON purged_entries BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER purged_entries_fixed_delete BEFORE DELETE ON purged_entries BEGIN SELECT RAISE(ABORT, 'written_once'); END;

-- A purge is final, and it is the one reason for a sealed version to lose its files.
CREATE TRIGGER versions_purged_is_final BEFORE UPDATE OF state, purged_at ON versions
WHEN OLD.purged_at IS NOT NULL AND (NEW.state <> 'tombstoned' OR NEW.purged_at IS NOT OLD.purged_at)
BEGIN SELECT RAISE(ABORT, 'illegal_step'); END;

CREATE TRIGGER versions_held_by_law BEFORE UPDATE OF purged_at ON versions
WHEN NEW.purged_at IS NOT NULL AND OLD.purged_at IS NULL AND NEW.protection IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'artifact_protected'); END;

DROP TRIGGER entries_sealed_delete;
CREATE TRIGGER entries_sealed_delete BEFORE DELETE ON entries
WHEN (SELECT iif(purged_at IS NULL, state, 'draft') FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;

DROP TRIGGER manifests_sealed_delete;
CREATE TRIGGER manifests_sealed_delete BEFORE DELETE ON manifests
WHEN (SELECT iif(purged_at IS NULL, state, 'draft') FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;

-- Who was given a blob, by the blob: when nobody is left, it goes.
CREATE INDEX repo_blobs_by_digest ON repo_blobs (digest, repo_key);
CREATE INDEX uploads_by_digest ON uploads (digest) WHERE digest IS NOT NULL;

-- What each repo uses, and the instance under ''. A repo's row is made with the repo; the triggers below keep it, so it is exact in every
-- transaction.
CREATE TABLE usage (
    repo_key      TEXT PRIMARY KEY,
    -- Bytes of distinct blobs that the repo was given.
    blob_bytes    INTEGER NOT NULL DEFAULT 0,
    blob_count    INTEGER NOT NULL DEFAULT 0,
    -- Versions in any state but tombstoned.
    version_count INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO usage (repo_key) VALUES ('');
INSERT INTO usage (repo_key) SELECT repo_key FROM repos;
UPDATE usage SET
    blob_bytes = (SELECT coalesce(sum(size_bytes), 0) FROM repo_blobs JOIN blobs USING (digest) WHERE repo_blobs.repo_key = usage.repo_key),
    blob_count = (SELECT count(*) FROM repo_blobs WHERE repo_blobs.repo_key = usage.repo_key),
    version_count = (SELECT count(*) FROM versions WHERE versions.repo_key = usage.repo_key AND state <> 'tombstoned');
UPDATE usage SET
    blob_bytes = (SELECT coalesce(sum(size_bytes), 0) FROM blobs), blob_count = (SELECT count(*) FROM blobs),
    version_count = (SELECT count(*) FROM versions WHERE state <> 'tombstoned')
WHERE repo_key = '';

CREATE TRIGGER usage_blob_added AFTER INSERT ON blobs
BEGIN UPDATE usage SET blob_bytes = blob_bytes + NEW.size_bytes, blob_count = blob_count + 1 WHERE repo_key = ''; END;
CREATE TRIGGER usage_blob_removed AFTER DELETE ON blobs
BEGIN UPDATE usage SET blob_bytes = blob_bytes - OLD.size_bytes, blob_count = blob_count - 1 WHERE repo_key = ''; END;

CREATE TRIGGER usage_blob_given AFTER INSERT ON repo_blobs
BEGIN UPDATE usage SET blob_bytes = blob_bytes + (SELECT size_bytes FROM blobs WHERE digest = NEW.digest), blob_count = blob_count + 1
      WHERE repo_key = NEW.repo_key; END;
CREATE TRIGGER usage_blob_let_go AFTER DELETE ON repo_blobs
BEGIN UPDATE usage SET blob_bytes = blob_bytes - (SELECT size_bytes FROM blobs WHERE digest = OLD.digest), blob_count = blob_count - 1
      WHERE repo_key = OLD.repo_key; END;

CREATE TRIGGER usage_version_added AFTER INSERT ON versions WHEN NEW.state <> 'tombstoned'
BEGIN UPDATE usage SET version_count = version_count + 1 WHERE repo_key IN ('', NEW.repo_key); END;
CREATE TRIGGER usage_version_removed AFTER DELETE ON versions WHEN OLD.state <> 'tombstoned'
BEGIN UPDATE usage SET version_count = version_count - 1 WHERE repo_key IN ('', OLD.repo_key); END;
CREATE TRIGGER usage_version_moved AFTER UPDATE OF state ON versions WHEN (OLD.state = 'tombstoned') <> (NEW.state = 'tombstoned')
BEGIN UPDATE usage SET version_count = version_count + iif(NEW.state = 'tombstoned', -1, 1) WHERE repo_key IN ('', NEW.repo_key); END;

-- How much a repo may use; '' for the instance. No row and NULL: no limit.
CREATE TABLE quotas (
    repo_key     TEXT PRIMARY KEY,
    max_bytes    INTEGER CHECK (max_bytes >= 0),
    max_versions INTEGER CHECK (max_versions >= 0),
    updated_at   INTEGER NOT NULL,
    updated_by   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Which visible versions of a repo are taken back when there are newer ones. A version goes when no rule keeps it.
CREATE TABLE retention_rules (
    repo_key             TEXT PRIMARY KEY REFERENCES repos (repo_key),
    keep_last            INTEGER CHECK (keep_last > 0),
    keep_days            INTEGER CHECK (keep_days >= 0),
    keep_downloaded_days INTEGER CHECK (keep_downloaded_days > 0),
    updated_at           INTEGER NOT NULL,
    updated_by           TEXT    NOT NULL,
    CHECK (keep_last IS NOT NULL OR keep_days IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- Runs of the collector, with what each did so far.
CREATE TABLE gc_runs (
    run_id          TEXT PRIMARY KEY,
    dry_run         INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    grace_hours     INTEGER NOT NULL CHECK (grace_hours >= 0),
    batch_size      INTEGER NOT NULL CHECK (batch_size > 0),
    state           TEXT    NOT NULL CHECK (state IN ('running', 'completed', 'failed', 'interrupted')),
    started_at      INTEGER NOT NULL,
    started_by      TEXT    NOT NULL,
    finished_at     INTEGER,
    purged_versions INTEGER NOT NULL DEFAULT 0,
    removed_blobs   INTEGER NOT NULL DEFAULT 0,
    removed_bytes   INTEGER NOT NULL DEFAULT 0,
    orphan_files    INTEGER NOT NULL DEFAULT 0,
    orphan_bytes    INTEGER NOT NULL DEFAULT 0,
    -- Why it ended before its end, in words for the operator.
    error           TEXT,
    CHECK ((state = 'running') = (finished_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX gc_runs_running ON gc_runs (run_id) WHERE state = 'running';
CREATE INDEX gc_runs_in_earnest ON gc_runs (run_id) WHERE dry_run = 0;

-- The packages of a repo, in an order that new ones do not disturb.
CREATE INDEX packages_by_repo ON packages (repo_key, package_id);
