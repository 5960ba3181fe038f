BEGIN TRANSACTION;
CREATE TABLE advisories (
    osv_id    TEXT PRIMARY KEY,
    record_id INTEGER NOT NULL UNIQUE REFERENCES advisory_records (record_id),
    digest    TEXT    NOT NULL,
    modified  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE advisory_packages (
    ecosystem TEXT    NOT NULL,
    name_key  TEXT    NOT NULL,
    record_id INTEGER NOT NULL REFERENCES advisory_records (record_id) ON DELETE CASCADE,
    affected  TEXT    NOT NULL CHECK (json_valid(affected)),
    PRIMARY KEY (ecosystem, name_key, record_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE advisory_records (
    record_id INTEGER PRIMARY KEY,
    osv_id    TEXT    NOT NULL,
    digest    TEXT    NOT NULL UNIQUE,
    modified  INTEGER NOT NULL,
    withdrawn INTEGER,
    record    TEXT    NOT NULL CHECK (json_valid(record))
) STRICT;
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
CREATE TABLE advisory_staging (
    -- Whether it was in force before.
    displaced INTEGER NOT NULL CHECK (displaced IN (0, 1)),
    osv_id    TEXT    NOT NULL,
    record_id INTEGER NOT NULL UNIQUE REFERENCES advisory_records (record_id) ON DELETE CASCADE,
    PRIMARY KEY (displaced, osv_id, record_id)
) STRICT, WITHOUT ROWID;
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
INSERT INTO "audit" VALUES(1,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c51',1767225600000,'ann',NULL,'package.version.published','version','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11',NULL,'{"repoKey":"main"}',X'94F8E84A0AE4C91967C4699ED021E929BA9CDB4ADA4388BB822E2AE218D8D918');
INSERT INTO "audit" VALUES(2,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c42',1767225600000,'ann',NULL,'quarantine.created','version','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12',NULL,'{"quarantineId":"0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c32"}',X'9CD3C26359E68D30270E2750379DA6C915DE21BB46691F69A701A33C1FFD2682');
INSERT INTO "audit" VALUES(3,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c43',1767225600000,'ann',NULL,'quarantine.created','version','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c13',NULL,'{"quarantineId":"0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c33"}',X'DA8A69D4E12125B9E99D15B01103F8E8DDD6C69CE6495C43DC988DDDD3E476B8');
INSERT INTO "audit" VALUES(4,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55',1767225600000,'ann',NULL,'package.version.published','version','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c15',NULL,'{"repoKey":"prod"}',X'269C462871DB0B01B017661A50FBB89D6FF681C0F252261F873C95ED2EFD390E');
INSERT INTO "audit" VALUES(5,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c56',1767225600000,'ann',NULL,'package.version.published','version','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c16',NULL,'{"repoKey":"main"}',X'601212387DD61CC8F2AC2F703D83D0637DAFCB4050AF85F2B0FE3A7624618E1C');
INSERT INTO "audit" VALUES(6,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c47',1767225600000,'ann',NULL,'quarantine.created','version','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17',NULL,'{"quarantineId":"0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c37"}',X'6D7CFBCFC07781D8AEBF5B8929B594B1B94ED052502B3710E05BBA530D4CD238');
INSERT INTO "audit" VALUES(7,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c57',1767225600000,'ann',NULL,'package.version.published','version','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17',NULL,'{"repoKey":"main"}',X'BB9D4F065637F24B3B2F30688D4ECEBEC822235C4350A5CEF2E06033232C56EF');
INSERT INTO "audit" VALUES(8,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c58',1767225600000,'ann',NULL,'package.version.promoted','version','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11',NULL,'{"targetVersionId":"0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c15"}',X'6ABFB6905AE80B651E955458ABF65370EFA0538C44C95A23448A8E96307F2059');
INSERT INTO "audit" VALUES(9,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c59',1767225600000,'ann',NULL,'package.version.tombstoned','version','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c16',NULL,'{"reason":"old"}',X'60807720E048712CFFA8C95A71D282F4B93C57D3017D4C7B3A7DB8813C5AD40A');
CREATE TABLE bindings (
    repo_key TEXT NOT NULL REFERENCES repos (repo_key),
    subject  TEXT NOT NULL,
    role     TEXT NOT NULL CHECK (role IN ('read', 'write', 'promote', 'admin')),
    PRIMARY KEY (repo_key, subject, role)
) STRICT, WITHOUT ROWID;
INSERT INTO "bindings" VALUES('main','ann','write');
INSERT INTO "bindings" VALUES('main','bob','promote');
CREATE TABLE blobs (
    digest     TEXT PRIMARY KEY CHECK (length(digest) = 71 AND digest GLOB 'sha256:*'),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "blobs" VALUES('sha256:1657cb0610bf37cb72f50940ec57d578b711ed9f2ae5553a134c6f7c67afccc4',21,1767225600000);
INSERT INTO "blobs" VALUES('sha256:260f92f4d1feb61e802df714824690dd96ca795e4cb1f6cbef2042826dcc46d0',21,1767225600000);
INSERT INTO "blobs" VALUES('sha256:389c29cc44672595c938453b1891de900384d7b103993749ace44764e5b38979',21,1767225600000);
INSERT INTO "blobs" VALUES('sha256:d3c0970c922be13559a224d9690cf6a7b3060c31b7035bbb0c12886a51be0d8b',21,1767225600000);
INSERT INTO "blobs" VALUES('sha256:d7618b031136c7bec543222871eb2cb2d98e4bbdad1e39c8d9267d1a7a53b4ca',21,1767225600000);
INSERT INTO "blobs" VALUES('sha256:f080594fb89a3619e1d534d65eb26173430c50ed0c3fa938e0e219f51cb95ed8',21,1767225600000);
CREATE TABLE content_reports (
    content_digest TEXT    NOT NULL,
    purl           TEXT    NOT NULL,
    reader_version INTEGER NOT NULL,
    contents       TEXT    NOT NULL CHECK (json_valid(contents)),
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (content_digest, purl)
) STRICT, WITHOUT ROWID;
CREATE TABLE deliveries (
    delivery_id TEXT PRIMARY KEY,
    webhook_id  TEXT NOT NULL REFERENCES webhooks (webhook_id) ON DELETE CASCADE,
    -- The kind of an outbox event, or `ping`.
    event       TEXT NOT NULL,
    event_id    TEXT,
    -- The bytes of every attempt.
    body        TEXT NOT NULL CHECK (json_valid(body)),
    -- NULL while it is not over, and when it was given up; its job tells which.
    outcome     TEXT CHECK (outcome IN ('delivered', 'skipped')),
    ended_at    INTEGER,
    created_at  INTEGER NOT NULL,
    CHECK ((outcome IS NULL) = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO "deliveries" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c91','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c90','ping',NULL,'{}','delivered',1767225600000,1767225600000);
CREATE TABLE delivery_attempts (
    delivery_id TEXT    NOT NULL REFERENCES deliveries (delivery_id) ON DELETE CASCADE,
    -- 1, 2, 3, … over all of the delivery's life.
    number      INTEGER NOT NULL CHECK (number > 0),
    at          INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL CHECK (duration_ms >= 0),
    -- What the receiver answered, if it did.
    status      INTEGER,
    -- Why this was no delivery: a code.
    error       TEXT,
    -- The beginning of the answer's text.
    response    TEXT,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "delivery_attempts" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c91',1,1767225600000,3,200,NULL,'ok');
CREATE TABLE downloads (
    version_id TEXT    NOT NULL REFERENCES versions (version_id),
    subject    TEXT    NOT NULL,
    address    TEXT    NOT NULL,
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    count      INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (version_id, subject, address)
) STRICT, WITHOUT ROWID;
INSERT INTO "downloads" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11','bob','127.0.0.1',1767225600000,1767225600000,3);
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
INSERT INTO "entries" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11','demo.bin','demo.bin','sha256:d3c0970c922be13559a224d9690cf6a7b3060c31b7035bbb0c12886a51be0d8b',21,NULL,NULL);
INSERT INTO "entries" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12','demo.bin','demo.bin','sha256:260f92f4d1feb61e802df714824690dd96ca795e4cb1f6cbef2042826dcc46d0',21,NULL,NULL);
INSERT INTO "entries" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c13','demo.bin','demo.bin','sha256:389c29cc44672595c938453b1891de900384d7b103993749ace44764e5b38979',21,NULL,NULL);
INSERT INTO "entries" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c14','demo.bin','demo.bin','sha256:d7618b031136c7bec543222871eb2cb2d98e4bbdad1e39c8d9267d1a7a53b4ca',21,NULL,NULL);
INSERT INTO "entries" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c15','demo.bin','demo.bin','sha256:d3c0970c922be13559a224d9690cf6a7b3060c31b7035bbb0c12886a51be0d8b',21,NULL,NULL);
INSERT INTO "entries" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c16','demo.bin','demo.bin','sha256:1657cb0610bf37cb72f50940ec57d578b711ed9f2ae5553a134c6f7c67afccc4',21,NULL,NULL);
INSERT INTO "entries" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17','demo.bin','demo.bin','sha256:f080594fb89a3619e1d534d65eb26173430c50ed0c3fa938e0e219f51cb95ed8',21,NULL,NULL);
CREATE TABLE "evaluations" (
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
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c61','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:54246e1c659109ed3c9f888ebc7e6f4ddf6da7b8e241d74324de553945e280b3',1767225600000,'ann',NULL,NULL);
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c62','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:93186b282f50294d62a8d472725ee6f23ab2c414f261f665522e5a5682d70561',1767225600000,'ann',NULL,NULL);
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c63','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c13','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:ef5b5e159ef3d3b2d5eb16429effdbc982f0fa6bd6a463fca2b851e8432cf8dc',1767225600000,'ann',NULL,NULL);
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c65','prod','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c15','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:54246e1c659109ed3c9f888ebc7e6f4ddf6da7b8e241d74324de553945e280b3',1767225600000,'ann',NULL,NULL);
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c66','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c16','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:63dcc806b1f52829616e209e0925f77259cbe049ccbc1d7ca9192e4d3734e0f8',1767225600000,'ann',NULL,NULL);
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c67','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:1ae2a099254e53ff91a9ab76cae9968fb65f3988d9d6668173e97507e02a171f',1767225600000,'ann',NULL,NULL);
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
INSERT INTO "freezes" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9ca1','main','npm',1767225600000,'an incident',1767225600000,'ann',1767225600000,'ann');
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
INSERT INTO "gc_runs" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9cb0',0,24,200,'completed',1767225600000,'ann',1767225600000,1,2,3,0,0,NULL);
CREATE TABLE "jobs" (
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
INSERT INTO "jobs" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c80','search_index','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11','visible','completed',1,5,1767225600000,NULL,NULL,NULL,1767225600000,1767225600000);
INSERT INTO "jobs" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c81','search_index','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12','hidden','dead',5,5,1767225600000,NULL,NULL,'internal',1767225600000,1767225600000);
CREATE TABLE manifests (
    version_id TEXT PRIMARY KEY REFERENCES versions (version_id),
    digest     TEXT NOT NULL,
    bytes      BLOB NOT NULL CHECK (length(bytes) <= 1048576)
) STRICT;
INSERT INTO "manifests" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c14','sha256:d7d234f759ec34fd6298b7e32318614760070aaef9f4e92ced928324b49a0602',X'7B226E616D65223A2264656D6F227D');
INSERT INTO "manifests" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11','sha256:d7d234f759ec34fd6298b7e32318614760070aaef9f4e92ced928324b49a0602',X'7B226E616D65223A2264656D6F227D');
INSERT INTO "manifests" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12','sha256:d7d234f759ec34fd6298b7e32318614760070aaef9f4e92ced928324b49a0602',X'7B226E616D65223A2264656D6F227D');
INSERT INTO "manifests" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c13','sha256:d7d234f759ec34fd6298b7e32318614760070aaef9f4e92ced928324b49a0602',X'7B226E616D65223A2264656D6F227D');
INSERT INTO "manifests" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c15','sha256:d7d234f759ec34fd6298b7e32318614760070aaef9f4e92ced928324b49a0602',X'7B226E616D65223A2264656D6F227D');
INSERT INTO "manifests" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c16','sha256:d7d234f759ec34fd6298b7e32318614760070aaef9f4e92ced928324b49a0602',X'7B226E616D65223A2264656D6F227D');
INSERT INTO "manifests" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17','sha256:d7d234f759ec34fd6298b7e32318614760070aaef9f4e92ced928324b49a0602',X'7B226E616D65223A2264656D6F227D');
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
INSERT INTO "outbox" VALUES(1,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c71','version.published','{"versionId": "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11", "repoKey": "main", "visible": true}','delivered',0,1767225600000,1767225600000,1767225600000,NULL);
INSERT INTO "outbox" VALUES(2,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c77','version.published','{"versionId": "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17", "repoKey": "main", "visible": true}','pending',0,1767225600000,1767225600000,NULL,NULL);
CREATE TABLE package_owners (
    package_id INTEGER NOT NULL REFERENCES packages (package_id),
    subject    TEXT    NOT NULL,
    PRIMARY KEY (package_id, subject)
) STRICT, WITHOUT ROWID;
INSERT INTO "package_owners" VALUES(1,'ann');
CREATE TABLE package_tags (
    package_id INTEGER NOT NULL REFERENCES packages (package_id),
    tag        TEXT    NOT NULL,
    version_id TEXT    NOT NULL REFERENCES versions (version_id),
    PRIMARY KEY (package_id, tag)
) STRICT, WITHOUT ROWID;
INSERT INTO "package_tags" VALUES(1,'latest','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11');
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
INSERT INTO "packages" VALUES(1,'main','generic','','demo','','demo');
INSERT INTO "packages" VALUES(2,'prod','generic','','demo','','demo');
CREATE TABLE policies (
    -- Empty for the instance's policy.
    repo_key   TEXT    NOT NULL,
    revision   INTEGER NOT NULL CHECK (revision > 0),
    digest     TEXT    NOT NULL,
    text       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL, cases TEXT,
    PRIMARY KEY (repo_key, revision)
) STRICT, WITHOUT ROWID;
INSERT INTO "policies" VALUES('prod',1,'sha256:f2ad3bfb2eab867436ddf286a7a0ed1c99f00c50c763f2c5bf33c15e874087fb','@id("hold-all") @decision("quarantine") forbid (principal, action, resource);',1767225600000,'ann',NULL);
INSERT INTO "policies" VALUES('prod',2,'sha256:f2ad3bfb2eab867436ddf286a7a0ed1c99f00c50c763f2c5bf33c15e874087fb','@id("hold-all") @decision("quarantine") forbid (principal, action, resource);',1767225600000,'ann',NULL);
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
    comment        TEXT, opens_at INTEGER,
    CHECK ((status = 'quarantined') = (resolved_at IS NULL)),
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO "quarantine_items" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c32','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12','quarantined','publish','sha256:93186b282f50294d62a8d472725ee6f23ab2c414f261f665522e5a5682d70561',NULL,'[]',1767225600000,'ann',NULL,NULL,'seen',NULL);
INSERT INTO "quarantine_items" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c33','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c13','rejected','publish','sha256:ef5b5e159ef3d3b2d5eb16429effdbc982f0fa6bd6a463fca2b851e8432cf8dc',NULL,'[]',1767225600000,'ann',1767225600000,'bob','seen',NULL);
INSERT INTO "quarantine_items" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c37','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17','released','publish','sha256:1ae2a099254e53ff91a9ab76cae9968fb65f3988d9d6668173e97507e02a171f',NULL,'[]',1767225600000,'ann',1767225600000,'bob','seen',NULL);
CREATE TABLE quarantine_votes (
    quarantine_id TEXT    NOT NULL REFERENCES quarantine_items (quarantine_id),
    subject       TEXT    NOT NULL,
    ballot        TEXT    NOT NULL CHECK (ballot IN ('release', 'reject')),
    comment       TEXT,
    at            INTEGER NOT NULL,
    -- Who voted release may still reject, which settles the item.
    PRIMARY KEY (quarantine_id, subject, ballot)
) STRICT, WITHOUT ROWID;
INSERT INTO "quarantine_votes" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c33','bob','reject','seen',1767225600000);
INSERT INTO "quarantine_votes" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c37','bob','release','seen',1767225600000);
CREATE TABLE quotas (
    repo_key     TEXT PRIMARY KEY,
    max_bytes    INTEGER CHECK (max_bytes >= 0),
    max_versions INTEGER CHECK (max_versions >= 0),
    updated_at   INTEGER NOT NULL,
    updated_by   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "quotas" VALUES('main',1000000,100,1767225600000,'ann');
CREATE TABLE repo_blobs (
    repo_key    TEXT NOT NULL REFERENCES repos (repo_key),
    digest      TEXT NOT NULL REFERENCES blobs (digest),
    uploaded_by TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (repo_key, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "repo_blobs" VALUES('main','sha256:1657cb0610bf37cb72f50940ec57d578b711ed9f2ae5553a134c6f7c67afccc4','ann',1767225600000);
INSERT INTO "repo_blobs" VALUES('main','sha256:260f92f4d1feb61e802df714824690dd96ca795e4cb1f6cbef2042826dcc46d0','ann',1767225600000);
INSERT INTO "repo_blobs" VALUES('main','sha256:389c29cc44672595c938453b1891de900384d7b103993749ace44764e5b38979','ann',1767225600000);
INSERT INTO "repo_blobs" VALUES('main','sha256:d3c0970c922be13559a224d9690cf6a7b3060c31b7035bbb0c12886a51be0d8b','ann',1767225600000);
INSERT INTO "repo_blobs" VALUES('main','sha256:d7618b031136c7bec543222871eb2cb2d98e4bbdad1e39c8d9267d1a7a53b4ca','ann',1767225600000);
INSERT INTO "repo_blobs" VALUES('main','sha256:f080594fb89a3619e1d534d65eb26173430c50ed0c3fa938e0e219f51cb95ed8','ann',1767225600000);
INSERT INTO "repo_blobs" VALUES('prod','sha256:d3c0970c922be13559a224d9690cf6a7b3060c31b7035bbb0c12886a51be0d8b','ann',1767225600000);
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
INSERT INTO "reservations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9ca0','main','npm','','acme-*','["ann"]','ours',1767225600000,'ann');
CREATE TABLE retention_rules (
    repo_key             TEXT PRIMARY KEY REFERENCES repos (repo_key),
    keep_last            INTEGER CHECK (keep_last > 0),
    keep_days            INTEGER CHECK (keep_days >= 0),
    keep_downloaded_days INTEGER CHECK (keep_downloaded_days > 0),
    updated_at           INTEGER NOT NULL,
    updated_by           TEXT    NOT NULL,
    CHECK (keep_last IS NOT NULL OR keep_days IS NOT NULL)
) STRICT, WITHOUT ROWID;
INSERT INTO "retention_rules" VALUES('main',3,NULL,NULL,1767225600000,'ann');
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
INSERT INTO "rule_firings" VALUES('main','instance:hold-all','enforced','quarantine',20454,2,1767225600000,'0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12');
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
INSERT INTO "scan_findings" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11','sha256:54246e1c659109ed3c9f888ebc7e6f4ddf6da7b8e241d74324de553945e280b3','scanner','clean',0,'[]',1767225600000,'ann');
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
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
INSERT INTO "uploads" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c20','main','aborted',NULL,12,NULL,'ann',1767225600000,1767225600000);
CREATE TABLE usage (
    repo_key      TEXT PRIMARY KEY,
    -- Bytes of distinct blobs that the repo was given.
    blob_bytes    INTEGER NOT NULL DEFAULT 0,
    blob_count    INTEGER NOT NULL DEFAULT 0,
    -- Versions in any state but tombstoned.
    version_count INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO "usage" VALUES('',126,6,6);
INSERT INTO "usage" VALUES('main',126,6,5);
INSERT INTO "usage" VALUES('prod',21,1,1);
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
    tombstoned_from  TEXT    CHECK (tombstoned_from IN ('published', 'rejected')), first_seen_at INTEGER, published_by TEXT, is_deposit INTEGER NOT NULL DEFAULT 0 CHECK (is_deposit IN (0, 1)), purged_at INTEGER CHECK (purged_at IS NULL OR state = 'tombstoned'),
    UNIQUE (package_id, version_key, distribution),
    CHECK (state = 'draft' OR content_digest IS NOT NULL),
    CHECK (state <> 'published' OR published_at IS NOT NULL),
    CHECK (state <> 'tombstoned' OR (tombstoned_at IS NOT NULL AND restorable_until IS NOT NULL AND tombstoned_from IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11',1,'main','1.0','1.0','','published',1767225600000,'ann',1767225600000,'sha256:54246e1c659109ed3c9f888ebc7e6f4ddf6da7b8e241d74324de553945e280b3',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12',1,'main','2.0','2.0','','quarantined',1767225600000,'ann',NULL,'sha256:93186b282f50294d62a8d472725ee6f23ab2c414f261f665522e5a5682d70561',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c13',1,'main','3.0','3.0','','rejected',1767225600000,'ann',NULL,'sha256:ef5b5e159ef3d3b2d5eb16429effdbc982f0fa6bd6a463fca2b851e8432cf8dc',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c14',1,'main','4.0','4.0','','draft',1767225600000,'ann',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c15',2,'prod','1.0','1.0','','published',1767225600000,'ann',1767225600000,'sha256:54246e1c659109ed3c9f888ebc7e6f4ddf6da7b8e241d74324de553945e280b3',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1767225600000,'ann',0,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c16',1,'main','0.1','0.1','','tombstoned',1767225600000,'ann',1767225600000,'sha256:63dcc806b1f52829616e209e0925f77259cbe049ccbc1d7ca9192e4d3734e0f8',NULL,NULL,NULL,1767225600000,'old',2767225600000,'published',NULL,NULL,0,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17',1,'main','5.0','5.0','','published',1767225600000,'ann',1767225600000,'sha256:1ae2a099254e53ff91a9ab76cae9968fb65f3988d9d6668173e97507e02a171f',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL);
CREATE TABLE waiver_use (
    waiver_id    TEXT    NOT NULL REFERENCES waivers (waiver_id),
    version_id   TEXT    NOT NULL REFERENCES versions (version_id),
    -- Whether the newest evaluation needed it.
    is_needed    INTEGER NOT NULL CHECK (is_needed IN (0, 1)),
    evaluated_at INTEGER NOT NULL,
    -- When an evaluation was last helped by it.
    helped_at    INTEGER,
    PRIMARY KEY (waiver_id, version_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE "waivers" (
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
INSERT INTO "waivers" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9ca2','main','range','generic','','demo',NULL,NULL,'<2','instance:hold-all','quarantine','known',NULL,1767225600000,'ann',1777225600000,0,NULL,NULL,NULL,NULL);
INSERT INTO "waivers" VALUES('51ac0ff1-ac83-4ad6-835d-a515409e7c63','main','content','generic','','demo','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17','sha256:1ae2a099254e53ff91a9ab76cae9968fb65f3988d9d6668173e97507e02a171f',NULL,'instance:hold-all','quarantine','seen','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c37',1767225600000,'bob',NULL,0,NULL,NULL,NULL,NULL);
CREATE TABLE wanted_tags (
    version_id TEXT NOT NULL REFERENCES versions (version_id),
    tag        TEXT NOT NULL,
    PRIMARY KEY (version_id, tag)
) STRICT, WITHOUT ROWID;
CREATE TABLE webhooks (
    webhook_id TEXT PRIMARY KEY,
    -- '' for one of the instance, which hears of every repo.
    repo_key   TEXT    NOT NULL,
    url        TEXT    NOT NULL,
    -- A JSON array of outbox kinds; empty: all of them.
    events     TEXT    NOT NULL CHECK (json_valid(events)),
    -- In clear, since every request is signed with it.
    secret     TEXT    NOT NULL,
    active     INTEGER NOT NULL CHECK (active IN (0, 1)),
    note       TEXT,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "webhooks" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c90','main','http://127.0.0.1:9/hook','[]','a secret of a webhook',0,NULL,1767225600000,'ann',1767225600000);
CREATE INDEX bindings_by_subject ON bindings (subject);
CREATE INDEX tokens_by_subject ON tokens (subject, created_at);
CREATE INDEX uploads_open_by_expiry ON uploads (expires_at) WHERE state = 'open';
CREATE INDEX versions_by_repo ON versions (repo_key, state, published_at);
CREATE INDEX versions_by_package ON versions (package_id, state, published_at);
CREATE INDEX entries_by_digest ON entries (digest, version_id);
CREATE TRIGGER entries_sealed_insert BEFORE INSERT ON entries
WHEN (SELECT state FROM versions WHERE version_id = NEW.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER entries_sealed_update BEFORE UPDATE ON entries
WHEN (SELECT state FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft' OR NEW.version_id <> OLD.version_id
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER manifests_sealed_insert BEFORE INSERT ON manifests
WHEN (SELECT state FROM versions WHERE version_id = NEW.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER manifests_sealed_update BEFORE UPDATE ON manifests
WHEN (SELECT state FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft' OR NEW.version_id <> OLD.version_id
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER versions_identity_fixed BEFORE UPDATE ON versions
WHEN NEW.version_id <> OLD.version_id OR NEW.package_id <> OLD.package_id OR NEW.repo_key <> OLD.repo_key
  OR NEW.version <> OLD.version OR NEW.version_key <> OLD.version_key OR NEW.distribution <> OLD.distribution
  OR NEW.created_by <> OLD.created_by OR NEW.created_at <> OLD.created_at
  OR (OLD.state <> 'draft' AND NEW.state <> 'draft' AND NEW.content_digest IS NOT OLD.content_digest)
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER versions_legal_step BEFORE UPDATE OF state ON versions
WHEN NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN (
    'draft>published', 'draft>quarantined', 'published>quarantined', 'tombstoned>quarantined',
    'quarantined>published', 'quarantined>draft', 'quarantined>rejected',
    'published>tombstoned', 'rejected>tombstoned', 'tombstoned>published')
BEGIN SELECT RAISE(ABORT, 'illegal_step'); END;
CREATE TRIGGER versions_rejected_is_final BEFORE UPDATE OF state ON versions
WHEN OLD.state = 'tombstoned' AND OLD.tombstoned_from = 'rejected' AND NEW.state <> 'tombstoned'
BEGIN SELECT RAISE(ABORT, 'illegal_step'); END;
CREATE TRIGGER versions_sealed_delete BEFORE DELETE ON versions
WHEN OLD.state <> 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER policies_fixed_update BEFORE UPDATE ON policies BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER policies_fixed_delete BEFORE DELETE ON policies BEGIN SELECT RAISE(ABORT, 'written_once'); END;
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
CREATE TRIGGER votes_fixed_update BEFORE UPDATE ON quarantine_votes BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER votes_fixed_delete BEFORE DELETE ON quarantine_votes BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE INDEX audit_by_time ON audit (time, seq);
CREATE INDEX audit_by_action ON audit (action, seq);
CREATE INDEX audit_by_actor ON audit (actor, seq);
CREATE INDEX audit_by_resource ON audit (resource_id, seq);
CREATE TRIGGER audit_fixed_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER audit_fixed_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE INDEX outbox_by_state ON outbox (state, seq);
CREATE INDEX outbox_fresh ON outbox (seq) WHERE state = 'pending' AND attempts = 0;
CREATE INDEX outbox_put_off ON outbox (due_at, seq) WHERE state = 'pending' AND attempts > 0;
CREATE INDEX outbox_delivered ON outbox (delivered_at) WHERE state = 'delivered';
CREATE INDEX webhooks_by_repo ON webhooks (repo_key, webhook_id);
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, delivery_id);
CREATE INDEX deliveries_by_age ON deliveries (created_at, delivery_id);
CREATE INDEX advisory_records_by_id ON advisory_records (osv_id);
CREATE INDEX advisory_packages_by_record ON advisory_packages (record_id);
CREATE INDEX waivers_by_package ON waivers (repo_key, package_type, namespace_key, name_key) WHERE scope <> 'content' AND revoked_at IS NULL;
CREATE INDEX waivers_by_version ON waivers (version_id, content_digest);
CREATE INDEX waivers_listed ON waivers (repo_key, waiver_id);
CREATE INDEX waivers_in_force ON waivers (repo_key, expires_at) WHERE revoked_at IS NULL;
CREATE INDEX waivers_by_end ON waivers (expires_at) WHERE revoked_at IS NULL;
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
CREATE INDEX waiver_use_by_version ON waiver_use (version_id);
CREATE INDEX reservations_by_repo ON reservations (repo_key, reservation_id);
CREATE INDEX freezes_in_force ON freezes (repo_key, package_type, after) WHERE lifted_at IS NULL;
CREATE INDEX freezes_listed ON freezes (repo_key, freeze_id);
CREATE INDEX downloads_by_version_age ON downloads (version_id, last_at);
CREATE INDEX downloads_by_age ON downloads (last_at);
CREATE INDEX sweeps_running ON sweeps (asked_at) WHERE finished_at IS NULL;
CREATE INDEX sweeps_finished ON sweeps (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX versions_in_repo ON versions (repo_key, version_id);
CREATE TRIGGER versions_origin_fixed BEFORE UPDATE ON versions
WHEN OLD.state <> 'draft' AND (NEW.first_seen_at IS NOT OLD.first_seen_at OR NEW.published_by IS NOT OLD.published_by)
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE INDEX jobs_due ON jobs (kind, due_at, job_id) WHERE state IN ('pending', 'failed', 'processing');
CREATE INDEX jobs_by_state ON jobs (state, kind, updated_at);
CREATE INDEX jobs_by_state_listed ON jobs (state, job_id);
CREATE INDEX package_tags_by_version ON package_tags (version_id);
CREATE INDEX evaluations_by_version ON evaluations (version_id, repo_key, action, evaluated_at, evaluation_id);
CREATE INDEX evaluations_by_repo ON evaluations (repo_key, evaluated_at, evaluation_id);
CREATE TRIGGER evaluations_fixed_update BEFORE UPDATE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER evaluations_fixed_delete BEFORE DELETE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE VIEW version_rows AS
SELECT versions.*, packages.package_type, packages.namespace, packages.name, packages.namespace_key, packages.name_key,
       hold.quarantine_id, hold.status AS hold_status, hold.reasons AS hold_reasons, hold.created_at AS held_at,
       iif(hold.status = 'quarantined', hold.opens_at, NULL) AS opens_at
FROM versions
JOIN packages USING (package_id)
LEFT JOIN quarantine_items AS hold ON versions.state IN ('quarantined', 'rejected') AND hold.quarantine_id = (
    SELECT newest.quarantine_id FROM quarantine_items AS newest
    WHERE newest.version_id = versions.version_id
    ORDER BY newest.created_at DESC, newest.quarantine_id DESC LIMIT 1);
CREATE INDEX versions_to_purge ON versions (restorable_until, version_id) WHERE state = 'tombstoned' AND purged_at IS NULL;
CREATE INDEX purged_entries_by_digest ON purged_entries (digest, version_id);
CREATE TRIGGER purged_entries_fixed_update BEFORE UPDATE ON purged_entries BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER purged_entries_fixed_delete BEFORE DELETE ON purged_entries BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER versions_purged_is_final BEFORE UPDATE OF state, purged_at ON versions
WHEN OLD.purged_at IS NOT NULL AND (NEW.state <> 'tombstoned' OR NEW.purged_at IS NOT OLD.purged_at)
BEGIN SELECT RAISE(ABORT, 'illegal_step'); END;
CREATE TRIGGER versions_held_by_law BEFORE UPDATE OF purged_at ON versions
WHEN NEW.purged_at IS NOT NULL AND OLD.purged_at IS NULL AND NEW.protection IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'artifact_protected'); END;
CREATE TRIGGER entries_sealed_delete BEFORE DELETE ON entries
WHEN (SELECT iif(purged_at IS NULL, state, 'draft') FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER manifests_sealed_delete BEFORE DELETE ON manifests
WHEN (SELECT iif(purged_at IS NULL, state, 'draft') FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE INDEX repo_blobs_by_digest ON repo_blobs (digest, repo_key);
CREATE INDEX uploads_by_digest ON uploads (digest) WHERE digest IS NOT NULL;
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
CREATE INDEX gc_runs_running ON gc_runs (run_id) WHERE state = 'running';
CREATE INDEX gc_runs_in_earnest ON gc_runs (run_id) WHERE dry_run = 0;
CREATE INDEX packages_by_repo ON packages (repo_key, package_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',9);
INSERT INTO "sqlite_sequence" VALUES('outbox',2);
COMMIT;
PRAGMA user_version = 10;
