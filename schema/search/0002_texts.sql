-- The words of a version are kept once for all versions of a package that say the same, so that a package with a thousand versions
-- costs as much as one with two; names are looked up by themselves.

DROP TABLE words;
DROP TABLE documents;

-- The packages of visible versions; `name_id` is the package's id in state.db.
CREATE TABLE names (
    name_id       INTEGER PRIMARY KEY,
    repo_key      TEXT    NOT NULL,
    package_type  TEXT    NOT NULL,
    namespace_key TEXT    NOT NULL,
    name_key      TEXT    NOT NULL,
    -- The namespace without its sign, a slash, and the name; the name alone where there is no namespace. In lower case.
    full_key      TEXT    NOT NULL,
    newest_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX names_by_name ON names (name_key);
CREATE INDEX names_by_full ON names (full_key);

-- One distinct set of words of one package; `text_id` is the row of `words`.
CREATE TABLE texts (
    text_id   INTEGER PRIMARY KEY,
    name_id   INTEGER NOT NULL REFERENCES names (name_id),
    digest    BLOB    NOT NULL CHECK (length(digest) = 32),
    newest_at INTEGER NOT NULL,
    UNIQUE (name_id, digest)
) STRICT;

CREATE TABLE documents (
    version_id   TEXT    PRIMARY KEY,
    name_id      INTEGER NOT NULL REFERENCES names (name_id),
    text_id      INTEGER NOT NULL REFERENCES texts (text_id),
    version_key  TEXT    NOT NULL,
    -- Bytes that compare as the ecosystem compares versions.
    sort_key     BLOB    NOT NULL,
    published_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX documents_by_name ON documents (name_id, sort_key DESC, published_at DESC, version_id);
CREATE INDEX documents_by_text ON documents (text_id, sort_key DESC, published_at DESC, version_id);
CREATE INDEX documents_by_version ON documents (version_key, published_at DESC);

-- `parts` holds the ends of each word of the name, so that a prefix query finds what lies inside a word.
CREATE VIRTUAL TABLE words USING fts5 (
    name, namespace, keywords, description, parts,
    tokenize = "unicode61 remove_diacritics 2", prefix = '2 3'
);

-- How far a rebuild has come, written together with what it indexed: one row while the file is being filled.
CREATE TABLE rebuild (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    after    TEXT    NOT NULL,
    indexed  INTEGER NOT NULL,
    -- Visible versions when it began; none before its first piece.
    total    INTEGER
) STRICT;
