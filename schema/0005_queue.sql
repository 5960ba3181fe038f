-- More kinds of jobs; what was expected of a version is said only where a job is about one. Finished work is found by its age.

CREATE TABLE jobs_of_all_kinds (
    job_id           TEXT PRIMARY KEY,
    kind             TEXT    NOT NULL CHECK (kind IN ('search_index', 'webhook', 'prune')),
    -- What the job is about: a version, a delivery, or what is pruned.
    subject_id       TEXT    NOT NULL,
    -- For search_index what the newest event said should be found: decides whether a version that is not published is a failure.
    expectation      TEXT    CHECK (expectation IN ('visible', 'hidden')),
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
    CHECK ((kind = 'search_index') = (expectation IS NOT NULL)),
    CHECK ((state = 'processing') = (lease_token IS NOT NULL)),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO jobs_of_all_kinds SELECT * FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_of_all_kinds RENAME TO jobs;

-- For a job being processed `due_at` is the end of its lease: an expired lease is due like any other job. By kind, so that a backlog
-- of one kind is not walked through for another.
CREATE INDEX jobs_due ON jobs (kind, due_at, job_id) WHERE state IN ('pending', 'failed', 'processing');
CREATE INDEX jobs_by_state ON jobs (state, kind, updated_at);
-- The lists of people, newest first.
CREATE INDEX jobs_by_state_listed ON jobs (state, job_id);

-- What the relay has not looked at goes by the order of commits, whatever the clock said then; only what was put off has a time.
DROP INDEX outbox_due;
CREATE INDEX outbox_fresh ON outbox (seq) WHERE state = 'pending' AND attempts = 0;
CREATE INDEX outbox_put_off ON outbox (due_at, seq) WHERE state = 'pending' AND attempts > 0;
CREATE INDEX outbox_delivered ON outbox (delivered_at) WHERE state = 'delivered';
