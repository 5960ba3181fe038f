//! `search.db`, the derived index. Invariant: it never takes part in a transaction of `state.db`; losing it loses nothing; a
//! file that this program did not write whole is never asked and never patched, but made anew.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use super::{connection, migrate};
use crate::error::{Error, Result};

/// `application_id` of an index that is being filled: "aft0".
const FILLING: i64 = 0x6166_7430;
/// `application_id` of an index that holds every visible version: "aft1".
const COMPLETE: i64 = 0x6166_7431;
/// How every SQLite file begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The index is worked on in the background and asked in the foreground; neither waits long for a stranger's lock.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Whether the index can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// It can.
    Ready,
    /// An administrator paused it.
    Paused,
    /// It is being filled again.
    Rebuilding,
    /// It is missing; the jobs make a new one.
    Unavailable,
}

impl IndexState {
    /// Every state.
    pub const ALL: [IndexState; 4] = [IndexState::Ready, IndexState::Paused, IndexState::Rebuilding, IndexState::Unavailable];

    /// The text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            IndexState::Ready => "ready",
            IndexState::Paused => "paused",
            IndexState::Rebuilding => "rebuilding",
            IndexState::Unavailable => "unavailable",
        }
    }
}

/// Why the index cannot be used.
#[derive(Debug)]
pub enum IndexFault {
    /// It is missing, damaged or of another schema: only a new one helps.
    Lost(Error),
    /// It is locked, not writable, or its disk is full: only waiting helps.
    Unavailable(Error),
}

impl IndexFault {
    fn lost(what: &str) -> IndexFault {
        IndexFault::Lost(Error::internal("using the search index", what))
    }

    fn of_file(cause: std::io::Error) -> IndexFault {
        if cause.kind() == ErrorKind::NotFound {
            return IndexFault::lost("it is missing");
        }
        IndexFault::Unavailable(Error::internal("looking at the search index", cause))
    }
}

impl From<rusqlite::Error> for IndexFault {
    /// No words from outside become part of a statement's text: a statement that does not compile meets a foreign schema, a
    /// broken constraint an index that contradicts itself.
    fn from(cause: rusqlite::Error) -> IndexFault {
        let is_lost = matches!(&cause, rusqlite::Error::SqlInputError { .. })
            || matches!(
                cause.sqlite_error_code(),
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::ConstraintViolation)
            );
        if is_lost { IndexFault::Lost(cause.into()) } else { IndexFault::Unavailable(cause.into()) }
    }
}

/// What the jobs should do about the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexCare {
    /// Nothing.
    Nothing,
    /// See whether it is whole.
    Inspect,
    /// Make a new one in place of this generation.
    Renew(u64),
}

/// The handle of the index file and its one writing connection.
pub struct SearchIndex {
    path: PathBuf,
    writer: Mutex<Option<Open>>,
    paused: AtomicBool,
    rebuilding: AtomicBool,
    /// Counts the files that this process made.
    generation: AtomicU64,
    /// The size of the file when it was last written; SQLite never shortens it.
    written_bytes: AtomicU64,
    care: Mutex<IndexCare>,
    queue_wake: Arc<watch::Sender<u64>>,
    /// Held by whoever begins or ends a rebuild.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// The writing connection and the file it was opened on.
struct Open {
    connection: Connection,
    file: FileMark,
}

/// What tells one file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileMark {
    device: u64,
    inode: u64,
}

impl FileMark {
    /// Looks at the file and its size in bytes; one that does not begin as SQLite files do is lost.
    fn of(path: &Path) -> Result<(FileMark, u64), IndexFault> {
        let mut file = std::fs::File::open(path).map_err(IndexFault::of_file)?;
        let metadata = file.metadata().map_err(IndexFault::of_file)?;
        let mut magic = [0_u8; MAGIC.len()];
        match file.read_exact(&mut magic) {
            Ok(()) if &magic == MAGIC => Ok((FileMark { device: metadata.dev(), inode: metadata.ino() }, metadata.len())),
            Ok(()) => Err(IndexFault::lost("it is no SQLite file")),
            Err(cause) if cause.kind() == ErrorKind::UnexpectedEof => Err(IndexFault::lost("it was cut short")),
            Err(cause) => Err(IndexFault::of_file(cause)),
        }
    }
}

impl SearchIndex {
    pub(super) fn new(directory: &Path, queue_wake: Arc<watch::Sender<u64>>) -> SearchIndex {
        SearchIndex {
            path: directory.join("search.db"),
            writer: Mutex::new(None),
            paused: AtomicBool::new(false),
            rebuilding: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            care: Mutex::new(IndexCare::Inspect),
            queue_wake,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The index file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can be asked now.
    #[must_use]
    pub fn state(&self) -> IndexState {
        if self.paused.load(Ordering::SeqCst) {
            IndexState::Paused
        } else if self.rebuilding.load(Ordering::SeqCst) {
            IndexState::Rebuilding
        } else if self.path.exists() {
            IndexState::Ready
        } else {
            IndexState::Unavailable
        }
    }

    /// Whether an administrator stopped it: nothing is to be asked of it or written into it.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Whether it is being filled again; true too while that is paused.
    #[must_use]
    pub fn is_rebuilding(&self) -> bool {
        self.rebuilding.load(Ordering::SeqCst)
    }

    /// Which of the files made by this process it is; read before the index is used, it names the one a fault was met in.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Stops (`Paused`) or starts asking and filling it.
    pub(super) fn set_paused(&self, state: IndexState) {
        self.paused.store(state == IndexState::Paused, Ordering::SeqCst);
    }

    /// Says that it is being filled again (`Rebuilding`), or is full.
    pub(super) fn set_rebuilding(&self, state: IndexState) {
        self.rebuilding.store(state == IndexState::Rebuilding, Ordering::SeqCst);
    }

    /// Has the jobs make a new file in place of the present one, and wakes them.
    pub(super) fn request_renewal(&self) {
        self.renew_later(self.generation());
    }

    /// Tells the jobs that this generation was found lost, and wakes them. Returns whether that was news.
    pub(super) fn doubt(&self, generation: u64) -> bool {
        let is_news = generation == self.generation() && !matches!(*self.care(), IndexCare::Renew(_));
        if is_news {
            self.renew_later(generation);
        }
        is_news
    }

    fn renew_later(&self, generation: u64) {
        *self.care() = IndexCare::Renew(generation);
        self.queue_wake.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What is to be done about the index; asking takes the order on.
    #[must_use]
    pub fn take_care(&self) -> IndexCare {
        std::mem::replace(&mut *self.care(), IndexCare::Nothing)
    }

    /// Gives back an order that could not be carried out, unless a newer one came.
    pub fn return_care(&self, order: IndexCare) {
        let mut care = self.care();
        if *care == IndexCare::Nothing {
            *care = order;
        }
    }

    fn care(&self) -> MutexGuard<'_, IndexCare> {
        self.care.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` with the one writing connection; after a fault the connection is closed, which undoes what was open.
    pub(super) fn with_writer<T>(&self, work: impl FnOnce(&Connection) -> Result<T, IndexFault>) -> Result<T, IndexFault> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let held = writer.take();
        let file = self.look()?;
        let connection = match held {
            Some(open) if open.file == file => open.connection,
            // What we held is a ghost, and the log beside the new file is the ghost's: neither can be relied on.
            Some(_) => return Err(IndexFault::lost("another file lies in its place")),
            None => self.open_existing()?,
        };
        let value = work(&connection)?;
        let file = self.look()?;
        *writer = Some(Open { connection, file });
        Ok(value)
    }

    /// Looks at the file; one that is shorter than it was written is lost, though its log may hide that for a while.
    fn look(&self) -> Result<FileMark, IndexFault> {
        // Read first: the file may grow meanwhile, and must not look cut for that.
        let written_bytes = self.written_bytes.load(Ordering::SeqCst);
        let (file, size_bytes) = FileMark::of(&self.path)?;
        if size_bytes < written_bytes {
            return Err(IndexFault::lost("it was cut short"));
        }
        self.written_bytes.fetch_max(size_bytes, Ordering::SeqCst);
        Ok(file)
    }

    fn open_existing(&self) -> Result<Connection, IndexFault> {
        let connection = connection::open_writer(&self.path)?;
        connection.busy_timeout(LOCK_PATIENCE)?;
        check_schema(&connection)?;
        Ok(connection)
    }

    /// A connection that only reads, on an index that is whole.
    pub(super) fn open_reader(&self) -> Result<Connection, IndexFault> {
        self.look()?;
        let connection = connection::open_reader(&self.path)?;
        connection.busy_timeout(LOCK_PATIENCE)?;
        check_schema(&connection)?;
        if application_id(&connection)? == COMPLETE { Ok(connection) } else { Err(IndexFault::lost("it was never filled")) }
    }

    /// Throws the file away and makes a new, empty one that is not complete.
    pub(super) fn renew(&self) -> Result<(), IndexFault> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        *writer = None;
        for suffix in ["", "-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Ok(()) => {}
                Err(cause) if cause.kind() == ErrorKind::NotFound => {}
                Err(cause) => return Err(IndexFault::Unavailable(Error::internal("removing the old search index", cause))),
            }
        }
        let mut connection = connection::open_writer(&self.path)?;
        connection.busy_timeout(LOCK_PATIENCE)?;
        migrate::migrate(&mut connection, migrate::SEARCH).map_err(IndexFault::Unavailable)?;
        connection.pragma_update(None, "application_id", FILLING)?;
        self.written_bytes.store(0, Ordering::SeqCst);
        *writer = Some(Open { connection, file: self.look()? });
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Whether the file on disk is whole and holds every visible version. Blocks.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn inspect(&self) -> Result<bool, IndexFault> {
        self.with_writer(|connection| {
            connection.query_row("SELECT EXISTS (SELECT 1 FROM words), EXISTS (SELECT 1 FROM documents)", [], |_| Ok(()))?;
            Ok(application_id(connection)? == COMPLETE)
        })
    }

    /// Writes into the file that it holds every visible version.
    pub(super) fn set_complete(&self) -> Result<(), IndexFault> {
        self.with_writer(|connection| Ok(connection.pragma_update(None, "application_id", COMPLETE)?))
    }

    /// How many versions it holds; `None` when it cannot say.
    pub(super) fn document_count(&self) -> Option<u64> {
        let connection = connection::open_reader(&self.path).ok()?;
        connection.busy_timeout(LOCK_PATIENCE).ok()?;
        connection.query_row("SELECT count(*) AS total FROM documents", [], |row| super::rows::unsigned(row, "total")).ok()
    }
}

fn check_schema(connection: &Connection) -> Result<(), IndexFault> {
    let application = application_id(connection)?;
    let is_ours = application == FILLING || application == COMPLETE;
    if is_ours && migrate::version_of(connection)? == migrate::newest(migrate::SEARCH) {
        return Ok(());
    }
    Err(IndexFault::lost("its schema is not this program's"))
}

fn application_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

#[cfg(test)]
#[path = "search_index_tests.rs"]
mod tests;
