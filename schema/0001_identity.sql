-- Who may do what where: repos, bindings, tokens. Times are milliseconds since 1970, UTC.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

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

CREATE TABLE bindings (
    repo_key TEXT NOT NULL REFERENCES repos (repo_key),
    subject  TEXT NOT NULL,
    role     TEXT NOT NULL CHECK (role IN ('read', 'write', 'promote', 'admin')),
    PRIMARY KEY (repo_key, subject, role)
) STRICT, WITHOUT ROWID;

CREATE INDEX bindings_by_subject ON bindings (subject);

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

CREATE INDEX tokens_by_subject ON tokens (subject, created_at);

-- Stamped in batches by the workers, so that authentication never writes.
CREATE TABLE token_use (
    token_id     TEXT PRIMARY KEY REFERENCES tokens (token_id),
    last_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
