BEGIN TRANSACTION;
CREATE TABLE bindings (
    repo_key TEXT NOT NULL REFERENCES repos (repo_key),
    subject  TEXT NOT NULL,
    role     TEXT NOT NULL CHECK (role IN ('read', 'write', 'promote', 'admin')),
    PRIMARY KEY (repo_key, subject, role)
) STRICT, WITHOUT ROWID;
INSERT INTO "bindings" VALUES('main','ann','write');
INSERT INTO "bindings" VALUES('main','bob','promote');
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
CREATE INDEX bindings_by_subject ON bindings (subject);
CREATE INDEX tokens_by_subject ON tokens (subject, created_at);
COMMIT;
PRAGMA user_version = 1;
