-- Derived from state.db; deleting it loses nothing.

CREATE TABLE documents (
    document_id  INTEGER PRIMARY KEY,
    version_id   TEXT    NOT NULL UNIQUE,
    repo_key     TEXT    NOT NULL,
    package_type TEXT    NOT NULL,
    full_name    TEXT    NOT NULL,
    published_at INTEGER NOT NULL
) STRICT;

CREATE VIRTUAL TABLE words USING fts5 (
    name, namespace, version, keywords, description,
    tokenize = "unicode61 remove_diacritics 2", prefix = '2 3'
);
