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
