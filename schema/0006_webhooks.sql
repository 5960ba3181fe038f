-- Webhooks, what is to be sent to them, and how each attempt went.

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

CREATE INDEX webhooks_by_repo ON webhooks (repo_key, webhook_id);

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

CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, delivery_id);
CREATE INDEX deliveries_by_age ON deliveries (created_at, delivery_id);

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
