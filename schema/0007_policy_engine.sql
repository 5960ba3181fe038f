-- What the policy engine knows beside the catalogue: contents of packages, advisories, scanners' findings, waivers, reserved names,
-- freezes, who fetched what, and how far a re-evaluation has come.

-- What the readers found in the package files of one content; derived, made again when the readers know more. The same bytes under
-- another name are another finding: they may be misnamed there, or of a type whose files are not read.
CREATE TABLE content_reports (
    content_digest TEXT    NOT NULL,
    purl           TEXT    NOT NULL,
    reader_version INTEGER NOT NULL,
    contents       TEXT    NOT NULL CHECK (json_valid(contents)),
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (content_digest, purl)
) STRICT, WITHOUT ROWID;

-- One revision of one advisory, by the digest of its canonical text. Visible once it is the head of its id.
CREATE TABLE advisory_records (
    record_id INTEGER PRIMARY KEY,
    osv_id    TEXT    NOT NULL,
    digest    TEXT    NOT NULL UNIQUE,
    modified  INTEGER NOT NULL,
    withdrawn INTEGER,
    record    TEXT    NOT NULL CHECK (json_valid(record))
) STRICT;

CREATE INDEX advisory_records_by_id ON advisory_records (osv_id);

-- What one record says of one package, in the form that is matched.
CREATE TABLE advisory_packages (
    ecosystem TEXT    NOT NULL,
    name_key  TEXT    NOT NULL,
    record_id INTEGER NOT NULL REFERENCES advisory_records (record_id) ON DELETE CASCADE,
    affected  TEXT    NOT NULL CHECK (json_valid(affected)),
    PRIMARY KEY (ecosystem, name_key, record_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX advisory_packages_by_record ON advisory_packages (record_id);

-- The record in force for each advisory, with what a snapshot is made of, so that making one walks this table alone.
CREATE TABLE advisories (
    osv_id    TEXT PRIMARY KEY,
    record_id INTEGER NOT NULL UNIQUE REFERENCES advisory_records (record_id),
    digest    TEXT    NOT NULL,
    modified  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Records that are not in force: those of an import under way or broken off, and those that an import displaced. The next import
-- begins by removing what it finds here.
CREATE TABLE advisory_staging (
    -- Whether it was in force before.
    displaced INTEGER NOT NULL CHECK (displaced IN (0, 1)),
    osv_id    TEXT    NOT NULL,
    record_id INTEGER NOT NULL UNIQUE REFERENCES advisory_records (record_id) ON DELETE CASCADE,
    PRIMARY KEY (displaced, osv_id, record_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE advisory_snapshots (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    -- sha256 over every advisory's id and record digest, by id.
    digest        TEXT    NOT NULL,
    record_count  INTEGER NOT NULL,
    changed_count INTEGER NOT NULL,
    -- The time of the newest change of any of them, as they say.
    newest_modified INTEGER NOT NULL,
    -- A JSON object: how many of them speak of each ecosystem.
    ecosystems    TEXT    NOT NULL CHECK (json_valid(ecosystems)),
    imported_at   INTEGER NOT NULL,
    imported_by   TEXT    NOT NULL
) STRICT;

-- What external scanners say of one content; one row for each scanner, so that no scanner hides another's failure.
CREATE TABLE scan_findings (
    version_id     TEXT    NOT NULL REFERENCES versions (version_id),
    content_digest TEXT    NOT NULL,
    scanner        TEXT    NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('clean', 'found', 'malicious', 'failed')),
    severity       INTEGER NOT NULL CHECK (severity BETWEEN 0 AND 100),
    ids            TEXT    NOT NULL CHECK (json_valid(ids)),
    reported_at    INTEGER NOT NULL,
    reported_by    TEXT    NOT NULL,
    PRIMARY KEY (version_id, content_digest, scanner)
) STRICT, WITHOUT ROWID;

-- Waivers of every scope. One that a release wrote has its hold and no end; every other one ends.
CREATE TABLE waivers_of_all_scopes (
    waiver_id      TEXT PRIMARY KEY,
    repo_key       TEXT    NOT NULL REFERENCES repos (repo_key),
    scope          TEXT    NOT NULL CHECK (scope IN ('content', 'range', 'package')),
    package_type   TEXT    NOT NULL,
    namespace_key  TEXT    NOT NULL,
    name_key       TEXT    NOT NULL,
    version_id     TEXT    REFERENCES versions (version_id),
    content_digest TEXT,
    version_range  TEXT,
    -- As domain::candidate::waiver_of files it.
    rule           TEXT    NOT NULL,
    -- The strictest decision of the rule that is waived.
    covers         TEXT    NOT NULL CHECK (covers IN ('quarantine', 'deny')),
    reason         TEXT    NOT NULL,
    quarantine_id  TEXT    REFERENCES quarantine_items (quarantine_id),
    created_at     INTEGER NOT NULL,
    created_by     TEXT    NOT NULL,
    expires_at     INTEGER,
    -- Whether a second person must approve it before it counts.
    needs_approval INTEGER NOT NULL CHECK (needs_approval IN (0, 1)),
    approved_at    INTEGER,
    approved_by    TEXT,
    revoked_at     INTEGER,
    revoked_by     TEXT,
    CHECK ((scope = 'content') = (content_digest IS NOT NULL AND version_id IS NOT NULL)),
    CHECK ((scope = 'range') = (version_range IS NOT NULL)),
    CHECK (expires_at IS NOT NULL OR quarantine_id IS NOT NULL),
    CHECK ((approved_at IS NULL) = (approved_by IS NULL)),
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO waivers_of_all_scopes
SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8' || substr(hex(randomblob(2)), 2)
           || '-' || hex(randomblob(6))),
       versions.repo_key, 'content', package_type, namespace_key, name_key, waivers.version_id, waivers.content_digest, NULL, rule, 'quarantine',
       coalesce(comment, ''), waivers.quarantine_id, waivers.created_at, coalesce(resolved_by, 'unknown'), NULL, 0, NULL, NULL, NULL, NULL
FROM waivers JOIN versions USING (version_id) JOIN packages USING (package_id) JOIN quarantine_items USING (quarantine_id);

DROP TABLE waivers;
ALTER TABLE waivers_of_all_scopes RENAME TO waivers;

CREATE INDEX waivers_by_package ON waivers (repo_key, package_type, namespace_key, name_key);
CREATE INDEX waivers_by_version ON waivers (version_id, content_digest);
CREATE INDEX waivers_listed ON waivers (repo_key, waiver_id);

-- What a waiver covers never changes; it is approved once and revoked once.
CREATE TRIGGER waivers_fixed_update BEFORE UPDATE ON waivers
WHEN NEW.waiver_id <> OLD.waiver_id OR NEW.repo_key <> OLD.repo_key OR NEW.scope <> OLD.scope OR NEW.package_type <> OLD.package_type
  OR NEW.namespace_key <> OLD.namespace_key OR NEW.name_key <> OLD.name_key OR NEW.version_id IS NOT OLD.version_id
  OR NEW.content_digest IS NOT OLD.content_digest OR NEW.version_range IS NOT OLD.version_range OR NEW.rule <> OLD.rule
  OR NEW.covers <> OLD.covers OR NEW.reason <> OLD.reason OR NEW.quarantine_id IS NOT OLD.quarantine_id OR NEW.created_at <> OLD.created_at
  OR NEW.created_by <> OLD.created_by OR NEW.expires_at IS NOT OLD.expires_at OR NEW.needs_approval <> OLD.needs_approval
  OR (OLD.approved_at IS NOT NULL AND NEW.approved_at IS NOT OLD.approved_at)
  OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS NOT OLD.revoked_at)
BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER waivers_fixed_delete BEFORE DELETE ON waivers BEGIN SELECT RAISE(ABORT, 'written_once'); END;

-- Names that are kept for some publishers: nobody else brings them in, and nothing under them comes from an upstream.
CREATE TABLE reservations (
    reservation_id TEXT PRIMARY KEY,
    repo_key       TEXT    NOT NULL REFERENCES repos (repo_key),
    -- '*' for every type.
    package_type   TEXT    NOT NULL,
    -- Globs on the normalised spelling.
    namespace_glob TEXT    NOT NULL,
    name_glob      TEXT    NOT NULL,
    -- A JSON array of subjects.
    publishers     TEXT    NOT NULL CHECK (json_valid(publishers)),
    reason         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    created_by     TEXT    NOT NULL,
    UNIQUE (repo_key, package_type, namespace_glob, name_glob)
) STRICT, WITHOUT ROWID;

CREATE INDEX reservations_by_repo ON reservations (repo_key, reservation_id);

CREATE TABLE freezes (
    freeze_id    TEXT PRIMARY KEY,
    -- Empty for the instance.
    repo_key     TEXT    NOT NULL,
    -- '*' for every type.
    package_type TEXT    NOT NULL,
    -- What was first seen after this is held.
    after        INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT    NOT NULL,
    lifted_at    INTEGER,
    lifted_by    TEXT,
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX freezes_in_force ON freezes (repo_key, package_type, after) WHERE lifted_at IS NULL;
CREATE INDEX freezes_listed ON freezes (repo_key, freeze_id);

-- Who fetched bytes of a version; bounded for each version and by age.
CREATE TABLE downloads (
    version_id TEXT    NOT NULL REFERENCES versions (version_id),
    subject    TEXT    NOT NULL,
    address    TEXT    NOT NULL,
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    count      INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (version_id, subject, address)
) STRICT, WITHOUT ROWID;

CREATE INDEX downloads_by_version_age ON downloads (version_id, last_at);
CREATE INDEX downloads_by_age ON downloads (last_at);

-- How often each rule fired, by day: what decided, what was only observed, what was waived.
CREATE TABLE rule_firings (
    repo_key TEXT    NOT NULL REFERENCES repos (repo_key),
    -- As domain::candidate::waiver_of files it.
    rule     TEXT    NOT NULL,
    part     TEXT    NOT NULL CHECK (part IN ('enforced', 'observed', 'waived')),
    decision TEXT    NOT NULL CHECK (decision IN ('quarantine', 'deny')),
    -- Days since 1970, UTC.
    day      INTEGER NOT NULL,
    count    INTEGER NOT NULL CHECK (count > 0),
    last_at  INTEGER NOT NULL,
    last_version_id TEXT NOT NULL,
    PRIMARY KEY (repo_key, day, part, rule, decision)
) STRICT, WITHOUT ROWID;

-- The digest of the advisories judged by; NULL before any were imported.
ALTER TABLE evaluations ADD COLUMN advisory_digest TEXT;
-- The examples that a policy passes, as they were given.
ALTER TABLE policies ADD COLUMN cases TEXT;

-- How far a re-evaluation of many versions has come.
CREATE TABLE sweeps (
    -- As store::SweepScope writes it: instance, repo:KEY, package:TYPE:NAMESPACE:NAME.
    scope         TEXT PRIMARY KEY,
    -- Raised by whoever asks for it again: what was begun before then counts no more.
    generation    INTEGER NOT NULL CHECK (generation > 0),
    -- The last version looked at; empty at the beginning.
    cursor        TEXT    NOT NULL,
    judged_count  INTEGER NOT NULL,
    changed_count INTEGER NOT NULL,
    failed_count  INTEGER NOT NULL,
    asked_at      INTEGER NOT NULL,
    finished_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX sweeps_running ON sweeps (asked_at) WHERE finished_at IS NULL;
CREATE INDEX sweeps_finished ON sweeps (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX versions_in_repo ON versions (repo_key, version_id);

-- A copy is as old as what it was copied from, and was published by whoever published that; NULL where nothing was copied.
ALTER TABLE versions ADD COLUMN first_seen_at INTEGER;
ALTER TABLE versions ADD COLUMN published_by TEXT;

CREATE TABLE copies (copy TEXT PRIMARY KEY, source TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO copies
SELECT json_extract(details, '$.targetVersionId'), resource_id FROM audit
WHERE action = 'package.version.promoted' AND json_extract(details, '$.targetVersionId') IS NOT NULL;
WITH RECURSIVE chain (copy, source, steps) AS (
    SELECT copy, source, 1 FROM copies
    UNION ALL
    SELECT chain.copy, copies.source, steps + 1 FROM chain JOIN copies ON copies.copy = chain.source WHERE steps < 100)
UPDATE versions SET first_seen_at = origin.created_at, published_by = origin.created_by
FROM (SELECT chain.copy, source.created_at, source.created_by, max(steps)
      FROM chain JOIN versions AS source ON source.version_id = chain.source GROUP BY chain.copy) AS origin
WHERE versions.version_id = origin.copy;
DROP TABLE copies;

CREATE TRIGGER versions_origin_fixed BEFORE UPDATE ON versions
WHEN OLD.state <> 'draft' AND (NEW.first_seen_at IS NOT OLD.first_seen_at OR NEW.published_by IS NOT OLD.published_by)
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;

-- Two more kinds of jobs: the re-evaluation of one version, and of many.
CREATE TABLE jobs_of_more_kinds (
    job_id           TEXT PRIMARY KEY,
    kind             TEXT    NOT NULL CHECK (kind IN ('search_index', 'webhook', 'prune', 'reevaluate', 'sweep')),
    -- What the job is about: a version, a delivery, what is pruned, or the scope of a sweep.
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

INSERT INTO jobs_of_more_kinds SELECT * FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_of_more_kinds RENAME TO jobs;

CREATE INDEX jobs_due ON jobs (kind, due_at, job_id) WHERE state IN ('pending', 'failed', 'processing');
CREATE INDEX jobs_by_state ON jobs (state, kind, updated_at);
CREATE INDEX jobs_by_state_listed ON jobs (state, job_id);
