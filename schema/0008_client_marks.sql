-- What publishers say of a package beside its versions: tags that name one, and who may publish it. And a denied version that was
-- brought whole is not kept.

-- Names for versions, such as `latest`.
CREATE TABLE package_tags (
    package_id INTEGER NOT NULL REFERENCES packages (package_id),
    tag        TEXT    NOT NULL,
    version_id TEXT    NOT NULL REFERENCES versions (version_id),
    PRIMARY KEY (package_id, tag)
) STRICT, WITHOUT ROWID;

CREATE INDEX package_tags_by_version ON package_tags (version_id);

-- Tags that a draft is to get when it leaves that state through the gate.
CREATE TABLE wanted_tags (
    version_id TEXT NOT NULL REFERENCES versions (version_id),
    tag        TEXT NOT NULL,
    PRIMARY KEY (version_id, tag)
) STRICT, WITHOUT ROWID;

-- Who publishes a package; without a row everybody who may write in its repo.
CREATE TABLE package_owners (
    package_id INTEGER NOT NULL REFERENCES packages (package_id),
    subject    TEXT    NOT NULL,
    PRIMARY KEY (package_id, subject)
) STRICT, WITHOUT ROWID;

-- Whether the draft was made by a publish that brings a whole version.
ALTER TABLE versions ADD COLUMN is_deposit INTEGER NOT NULL DEFAULT 0 CHECK (is_deposit IN (0, 1));

-- An evaluation outlives the draft that it denied: `version_id` names what may be gone.
CREATE TABLE evaluations_that_stay (
    evaluation_id   TEXT PRIMARY KEY,
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
    input           TEXT    NOT NULL,
    content_digest  TEXT    NOT NULL,
    evaluated_at    INTEGER NOT NULL,
    evaluated_by    TEXT    NOT NULL,
    quarantine_id   TEXT    REFERENCES quarantine_items (quarantine_id),
    -- The digest of the advisories judged by; NULL before any were imported.
    advisory_digest TEXT
) STRICT, WITHOUT ROWID;

INSERT INTO evaluations_that_stay SELECT * FROM evaluations;
DROP TABLE evaluations;
ALTER TABLE evaluations_that_stay RENAME TO evaluations;

CREATE INDEX evaluations_by_version ON evaluations (version_id, repo_key, action, evaluated_at, evaluation_id);
CREATE INDEX evaluations_by_repo ON evaluations (repo_key, evaluated_at, evaluation_id);

CREATE TRIGGER evaluations_fixed_update BEFORE UPDATE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER evaluations_fixed_delete BEFORE DELETE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
