BEGIN TRANSACTION;
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
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c61','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:54246e1c659109ed3c9f888ebc7e6f4ddf6da7b8e241d74324de553945e280b3',1767225600000,'ann',NULL);
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c62','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:93186b282f50294d62a8d472725ee6f23ab2c414f261f665522e5a5682d70561',1767225600000,'ann',NULL);
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c63','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c13','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:ef5b5e159ef3d3b2d5eb16429effdbc982f0fa6bd6a463fca2b851e8432cf8dc',1767225600000,'ann',NULL);
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c65','prod','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c15','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:54246e1c659109ed3c9f888ebc7e6f4ddf6da7b8e241d74324de553945e280b3',1767225600000,'ann',NULL);
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c66','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c16','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:63dcc806b1f52829616e209e0925f77259cbe049ccbc1d7ca9192e4d3734e0f8',1767225600000,'ann',NULL);
INSERT INTO "evaluations" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c67','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17','publish','allow','default_allow','[]','[]','[]','nothing speaks against it','cedar 4','sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','sha256:1ae2a099254e53ff91a9ab76cae9968fb65f3988d9d6668173e97507e02a171f',1767225600000,'ann',NULL);
CREATE TABLE "jobs" (
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
    created_by TEXT    NOT NULL,
    PRIMARY KEY (repo_key, revision)
) STRICT, WITHOUT ROWID;
INSERT INTO "policies" VALUES('prod',1,'sha256:f2ad3bfb2eab867436ddf286a7a0ed1c99f00c50c763f2c5bf33c15e874087fb','@id("hold-all") @decision("quarantine") forbid (principal, action, resource);',1767225600000,'ann');
INSERT INTO "policies" VALUES('prod',2,'sha256:f2ad3bfb2eab867436ddf286a7a0ed1c99f00c50c763f2c5bf33c15e874087fb','@id("hold-all") @decision("quarantine") forbid (principal, action, resource);',1767225600000,'ann');
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
INSERT INTO "quarantine_items" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c32','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12','quarantined','publish','sha256:93186b282f50294d62a8d472725ee6f23ab2c414f261f665522e5a5682d70561',NULL,'[]',1767225600000,'ann',NULL,NULL,'seen');
INSERT INTO "quarantine_items" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c33','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c13','rejected','publish','sha256:ef5b5e159ef3d3b2d5eb16429effdbc982f0fa6bd6a463fca2b851e8432cf8dc',NULL,'[]',1767225600000,'ann',1767225600000,'bob','seen');
INSERT INTO "quarantine_items" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c37','main','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17','released','publish','sha256:1ae2a099254e53ff91a9ab76cae9968fb65f3988d9d6668173e97507e02a171f',NULL,'[]',1767225600000,'ann',1767225600000,'bob','seen');
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
    tombstoned_from  TEXT    CHECK (tombstoned_from IN ('published', 'rejected')),
    UNIQUE (package_id, version_key, distribution),
    CHECK (state = 'draft' OR content_digest IS NOT NULL),
    CHECK (state <> 'published' OR published_at IS NOT NULL),
    CHECK (state <> 'tombstoned' OR (tombstoned_at IS NOT NULL AND restorable_until IS NOT NULL AND tombstoned_from IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c11',1,'main','1.0','1.0','','published',1767225600000,'ann',1767225600000,'sha256:54246e1c659109ed3c9f888ebc7e6f4ddf6da7b8e241d74324de553945e280b3',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c12',1,'main','2.0','2.0','','quarantined',1767225600000,'ann',NULL,'sha256:93186b282f50294d62a8d472725ee6f23ab2c414f261f665522e5a5682d70561',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c13',1,'main','3.0','3.0','','rejected',1767225600000,'ann',NULL,'sha256:ef5b5e159ef3d3b2d5eb16429effdbc982f0fa6bd6a463fca2b851e8432cf8dc',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c14',1,'main','4.0','4.0','','draft',1767225600000,'ann',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c15',2,'prod','1.0','1.0','','published',1767225600000,'ann',1767225600000,'sha256:54246e1c659109ed3c9f888ebc7e6f4ddf6da7b8e241d74324de553945e280b3',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c16',1,'main','0.1','0.1','','tombstoned',1767225600000,'ann',1767225600000,'sha256:63dcc806b1f52829616e209e0925f77259cbe049ccbc1d7ca9192e4d3734e0f8',NULL,NULL,NULL,1767225600000,'old',2767225600000,'published');
INSERT INTO "versions" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17',1,'main','5.0','5.0','','published',1767225600000,'ann',1767225600000,'sha256:1ae2a099254e53ff91a9ab76cae9968fb65f3988d9d6668173e97507e02a171f',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE waivers (
    version_id     TEXT    NOT NULL REFERENCES versions (version_id),
    content_digest TEXT    NOT NULL,
    rule           TEXT    NOT NULL,
    quarantine_id  TEXT    NOT NULL REFERENCES quarantine_items (quarantine_id),
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (version_id, content_digest, rule)
) STRICT, WITHOUT ROWID;
INSERT INTO "waivers" VALUES('0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c17','sha256:1ae2a099254e53ff91a9ab76cae9968fb65f3988d9d6668173e97507e02a171f','instance:hold-all','0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c37',1767225600000);
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
CREATE TRIGGER entries_sealed_delete BEFORE DELETE ON entries
WHEN (SELECT state FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER manifests_sealed_insert BEFORE INSERT ON manifests
WHEN (SELECT state FROM versions WHERE version_id = NEW.version_id) IS NOT 'draft'
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER manifests_sealed_update BEFORE UPDATE ON manifests
WHEN (SELECT state FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft' OR NEW.version_id <> OLD.version_id
BEGIN SELECT RAISE(ABORT, 'version_sealed'); END;
CREATE TRIGGER manifests_sealed_delete BEFORE DELETE ON manifests
WHEN (SELECT state FROM versions WHERE version_id = OLD.version_id) IS NOT 'draft'
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
CREATE INDEX evaluations_by_version ON evaluations (version_id, repo_key, action, evaluated_at, evaluation_id);
CREATE INDEX evaluations_by_repo ON evaluations (repo_key, evaluated_at, evaluation_id);
CREATE TRIGGER evaluations_fixed_update BEFORE UPDATE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER evaluations_fixed_delete BEFORE DELETE ON evaluations BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER waivers_fixed_update BEFORE UPDATE ON waivers BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER waivers_fixed_delete BEFORE DELETE ON waivers BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE VIEW version_rows AS
SELECT versions.*, packages.package_type, packages.namespace, packages.name, packages.namespace_key, packages.name_key,
       hold.quarantine_id, hold.status AS hold_status, hold.reasons AS hold_reasons, hold.created_at AS held_at
FROM versions
JOIN packages USING (package_id)
LEFT JOIN quarantine_items AS hold ON versions.state IN ('quarantined', 'rejected') AND hold.quarantine_id = (
    SELECT newest.quarantine_id FROM quarantine_items AS newest
    WHERE newest.version_id = versions.version_id
    ORDER BY newest.created_at DESC, newest.quarantine_id DESC LIMIT 1);
CREATE INDEX audit_by_time ON audit (time, seq);
CREATE INDEX audit_by_action ON audit (action, seq);
CREATE INDEX audit_by_actor ON audit (actor, seq);
CREATE INDEX audit_by_resource ON audit (resource_id, seq);
CREATE TRIGGER audit_fixed_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE TRIGGER audit_fixed_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'written_once'); END;
CREATE INDEX outbox_by_state ON outbox (state, seq);
CREATE INDEX jobs_due ON jobs (kind, due_at, job_id) WHERE state IN ('pending', 'failed', 'processing');
CREATE INDEX jobs_by_state ON jobs (state, kind, updated_at);
CREATE INDEX jobs_by_state_listed ON jobs (state, job_id);
CREATE INDEX outbox_fresh ON outbox (seq) WHERE state = 'pending' AND attempts = 0;
CREATE INDEX outbox_put_off ON outbox (due_at, seq) WHERE state = 'pending' AND attempts > 0;
CREATE INDEX outbox_delivered ON outbox (delivered_at) WHERE state = 'delivered';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',9);
INSERT INTO "sqlite_sequence" VALUES('outbox',2);
COMMIT;
PRAGMA user_version = 5;
