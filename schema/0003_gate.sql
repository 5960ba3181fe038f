-- Policies, evaluations, holds, votes, waivers. All but the resolution of a hold is written once.

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

CREATE TRIGGER policies_fixed_update BEFORE UPDATE ON policies BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER policies_fixed_delete BEFORE DELETE ON policies BEGIN SELECT RAISE(ABORT, 'written_once'); END;

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

CREATE TABLE quarantine_votes (
    quarantine_id TEXT    NOT NULL REFERENCES quarantine_items (quarantine_id),
    subject       TEXT    NOT NULL,
    ballot        TEXT    NOT NULL CHECK (ballot IN ('release', 'reject')),
    comment       TEXT,
    at            INTEGER NOT NULL,
    -- Who voted release may still reject, which settles the item.
    PRIMARY KEY (quarantine_id, subject, ballot)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER votes_fixed_update BEFORE UPDATE ON quarantine_votes BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER votes_fixed_delete BEFORE DELETE ON quarantine_votes BEGIN SELECT RAISE(ABORT, 'written_once'); END;

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

CREATE INDEX evaluations_by_version ON evaluations (version_id, repo_key, action, evaluated_at, evaluation_id);
CREATE INDEX evaluations_by_repo ON evaluations (repo_key, evaluated_at, evaluation_id);

CREATE TRIGGER evaluations_fixed_update BEFORE UPDATE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER evaluations_fixed_delete BEFORE DELETE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;

-- A release waives the rules that fired, for exactly this content at this coordinate.
CREATE TABLE waivers (
    version_id     TEXT    NOT NULL REFERENCES versions (version_id),
    content_digest TEXT    NOT NULL,
    rule           TEXT    NOT NULL,
    quarantine_id  TEXT    NOT NULL REFERENCES quarantine_items (quarantine_id),
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (version_id, content_digest, rule)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER waivers_fixed_update BEFORE UPDATE ON waivers BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER waivers_fixed_delete BEFORE DELETE ON waivers BEGIN SELECT RAISE(ABORT, 'written_once'); END;

-- A version with its package's names and, when it is held or rejected, its newest hold.
CREATE VIEW version_rows AS
SELECT versions.*, packages.package_type, packages.namespace, packages.name, packages.namespace_key, packages.name_key,
       hold.quarantine_id, hold.status AS hold_status, hold.reasons AS hold_reasons, hold.created_at AS held_at
FROM versions
JOIN packages USING (package_id)
LEFT JOIN quarantine_items AS hold ON versions.state IN ('quarantined', 'rejected') AND hold.quarantine_id = (
    SELECT newest.quarantine_id FROM quarantine_items AS newest
    WHERE newest.version_id = versions.version_id
    ORDER BY newest.created_at DESC, newest.quarantine_id DESC LIMIT 1);
