//! What was found in package files, kept once for each content under each name. Invariant: derived and never in the way of a verdict:
//! a report of an older reader is none for the version that is judged.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::rows;
use super::write::Bookkeeping;
use crate::domain::contents::{Contents, READER_VERSION};
use crate::domain::digest::Digest;
use crate::domain::name::{Coordinates, RelativePath};
use crate::error::{Error, Result};

/// Whose reports count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Those of this program's readers.
    Present,
    /// Those of any.
    Any,
}

/// A content of which no report is kept: what must be read, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What the files say they are.
    pub coordinates: Coordinates,
    /// Its files, by the digests of their bytes.
    pub files: Vec<(RelativePath, Digest)>,
    pub(super) content_digest: Digest,
}

/// What the readers found in a content.
pub(super) fn find(connection: &Connection, content_digest: &str, coordinates: &Coordinates, reader: Reader) -> Result<Option<Contents>> {
    let least = match reader {
        Reader::Present => READER_VERSION,
        Reader::Any => 0,
    };
    let found = connection
        .prepare_cached(
            "SELECT contents FROM content_reports WHERE content_digest = :digest AND purl = :purl AND reader_version >= :least",
        )?
        .query_row(named_params! {":digest": content_digest, ":purl": coordinates.purl(), ":least": least}, |row| {
            rows::json(row, "contents")
        })
        .optional()?;
    Ok(found)
}

impl Bookkeeping<'_> {
    /// Keeps what was found in a content, in place of what an older reader found.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn keep_contents(&mut self, unread: &Unread, contents: &Contents) -> Result<()> {
        let text = serde_json::to_string(contents).map_err(|cause| Error::internal("writing down what a package holds", cause))?;
        self.connection()
            .prepare_cached(
                "INSERT INTO content_reports (content_digest, purl, reader_version, contents, created_at)
                 VALUES (:digest, :purl, :reader, :contents, :now)
                 ON CONFLICT (content_digest, purl)
                 DO UPDATE SET reader_version = excluded.reader_version, contents = excluded.contents, created_at = excluded.created_at",
            )?
            .execute(named_params! {
                ":digest": unread.content_digest.to_string(), ":purl": unread.coordinates.purl(), ":reader": READER_VERSION,
                ":contents": text, ":now": self.now().unix_ms(),
            })?;
        Ok(())
    }
}
