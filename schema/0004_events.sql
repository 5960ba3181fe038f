-- The audit chain, the outbox and the job queue.

CREATE TABLE audit (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    audit_id      TEXT    NOT NULL UNIQUE,
    time          INTEGER NOT NULL,
    actor         TEXT    NOT NULL,
    token_id      TEXT,
    action        TEXT    NOT NULL,
    resource_type TEXT    NOT NULL,
    resource_id   TEXT    NOT NULL,
    request_id    TEXT,
    details       TEXT    NOT NULL CHECK (json_valid(details)),
    -- sha256 over this row's content and the previous row's hash.
    hash          BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE INDEX audit_by_time ON audit (time, seq);
CREATE INDEX audit_by_action ON audit (action, seq);
CREATE INDEX audit_by_actor ON audit (actor, seq);
CREATE INDEX audit_by_resource ON audit (resource_id, seq);

CREATE TRIGGER audit_fixed_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER audit_fixed_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'written_once'); END;

CREATE TABLE outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id     TEXT    NOT NULL UNIQUE,
    kind         TEXT    NOT NULL CHECK (kind IN ('version.published', 'version.quarantined', 'version.released', 'version.rejected',
                     'version.tombstoned', 'version.restored', 'policy.changed', 'advisories.changed')),
    payload      TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts     INTEGER NOT NULL CHECK (attempts >= 0),
    due_at       INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    delivered_at INTEGER,
    last_error   TEXT
) STRICT;

CREATE INDEX outbox_due ON outbox (due_at, seq) WHERE state = 'pending';
CREATE INDEX outbox_by_state ON outbox (state, seq);

CREATE TABLE jobs (
    job_id           TEXT PRIMARY KEY,
    kind             TEXT    NOT NULL CHECK (kind IN ('search_index')),
    -- What the job is about; for search_index the version.
    subject_id       TEXT    NOT NULL,
    -- What the newest event said should be found: decides whether a version that is not published is a failure.
    expectation      TEXT    NOT NULL CHECK (expectation IN ('visible', 'hidden')),
    state            TEXT    NOT NULL CHECK (state IN ('pending', 'processing', 'completed', 'failed', 'dead', 'cancelled')),
    attempts         INTEGER NOT NULL CHECK (attempts >= 0),
    max_attempts     INTEGER NOT NULL CHECK (max_attempts > 0),
    due_at           INTEGER NOT NULL,
    lease_token      TEXT,
    lease_expires_at INTEGER,
    last_error       TEXT,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    UNIQUE (kind, subject_id),
    CHECK ((state = 'processing') = (lease_token IS NOT NULL)),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL))
) STRICT, WITHOUT ROWID;

-- For a job being processed `due_at` is the end of its lease: an expired lease is due like any other job.
CREATE INDEX jobs_due ON jobs (due_at, job_id) WHERE state IN ('pending', 'failed', 'processing');
CREATE INDEX jobs_by_state ON jobs (state, kind, updated_at);
-- The lists of people, newest first.
CREATE INDEX jobs_by_state_listed ON jobs (state, job_id);
