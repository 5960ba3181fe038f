-- Long rows get a rowid. In a table without one, whoever looks for a row compares whole rows on the way to it, with all their overflow pages:
-- those of a long policy were read several times in each decision.

CREATE TABLE policies_with_rowid (
    -- Empty for the instance's policy.
    repo_key   TEXT    NOT NULL,
    revision   INTEGER NOT NULL CHECK (revision > 0),
    digest     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    -- Last, since what stands behind a long text is read by way of it.
    text       TEXT    NOT NULL,
    cases      TEXT,
    PRIMARY KEY (repo_key, revision)
) STRICT;

INSERT INTO policies_with_rowid (repo_key, revision, digest, created_at, created_by, text, cases)
SELECT repo_key, revision, digest, created_at, created_by, text, cases FROM policies;
DROP TABLE policies;
ALTER TABLE policies_with_rowid RENAME TO policies;

CREATE TRIGGER policies_fixed_update BEFORE UPDATE ON policies BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER policies_fixed_delete BEFORE DELETE ON policies BEGIN SELECT RAISE(ABORT, 'written_once'); END;

CREATE TABLE evaluations_with_rowid (
    evaluation_id   TEXT    NOT NULL PRIMARY KEY,
    repo_key        TEXT    NOT NULL REFERENCES repos (repo_key),
    version_id      TEXT    NOT NULL,
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
    content_digest  TEXT    NOT NULL,
    evaluated_at    INTEGER NOT NULL,
    evaluated_by    TEXT    NOT NULL,
    quarantine_id   TEXT    REFERENCES quarantine_items (quarantine_id),
    -- The digest of the advisories judged by; NULL before any were imported.
    advisory_digest TEXT,
    input           TEXT    NOT NULL
) STRICT;

INSERT INTO evaluations_with_rowid (
    evaluation_id, repo_key, version_id, action, decision, decision_source, reasons, observed, waived, reason, engine_version, policy_digest,
    instance_revision, repo_revision, input_digest, content_digest, evaluated_at, evaluated_by, quarantine_id, advisory_digest, input
)
SELECT evaluation_id, repo_key, version_id, action, decision, decision_source, reasons, observed, waived, reason, engine_version, policy_digest,
    instance_revision, repo_revision, input_digest, content_digest, evaluated_at, evaluated_by, quarantine_id, advisory_digest, input
FROM evaluations;
DROP TABLE evaluations;
ALTER TABLE evaluations_with_rowid RENAME TO evaluations;

CREATE INDEX evaluations_by_version ON evaluations (version_id, repo_key, action, evaluated_at, evaluation_id);
CREATE INDEX evaluations_by_repo ON evaluations (repo_key, evaluated_at, evaluation_id);

CREATE TRIGGER evaluations_fixed_update BEFORE UPDATE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER evaluations_fixed_delete BEFORE DELETE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
