//! `search.db`, the derived index. Invariant: it never takes part in a transaction of `state.db`; losing it loses nothing; a
//! file that this program did not write whole is never asked and never patched, but made anew.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::condition::{IndexCare, IndexFault, IndexState};
use super::file_mark::FileMark;
use super::progress;
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::store::{connection, migrate, rows};

/// `application_id` of an index that is being filled; its row in `rebuild` says how far it has come: "aft0".
const FILLING: i64 = 0x6166_7430;
/// `application_id` of an index that holds every visible version: "aft1".
const COMPLETE: i64 = 0x6166_7431;
/// The index is worked on in the background; it does not wait long for a stranger's lock.
const WRITER_PATIENCE: Duration = Duration::from_millis(500);
/// Somebody waits for an answer, which the catalogue can give as well.
const READER_PATIENCE: Duration = Duration::from_millis(25);
/// Milliseconds from one try of what was put off to the next.
const CATCH_UP_PAUSE_MS: i64 = 5_000;
/// Reading connections kept for the next search.
const READERS_KEPT: usize = 8;

/// The handle of the index file and its one writing connection.
pub struct SearchIndex {
    path: PathBuf,
    /// Reading connections that nobody uses now. They are closed before the writing one, which as the last one empties the log.
    readers: Mutex<Vec<Open>>,
    writer: Mutex<Option<Open>>,
    paused: AtomicBool,
    rebuilding: AtomicBool,
    /// Whether the last try to write it failed by no fault of the file: it may lack what was published since.
    behind: AtomicBool,
    /// When jobs that were put off were last made due, in Unix milliseconds.
    caught_up_at: AtomicI64,
    /// When jobs were last found to have to be put off, in Unix milliseconds.
    put_off_at: AtomicI64,
    /// Counts the files that this process made.
    generation: AtomicU64,
    /// The size of the file when it was last written; SQLite never shortens it.
    written_bytes: AtomicU64,
    care: Mutex<IndexCare>,
    queue_wake: Arc<watch::Sender<u64>>,
    #[cfg(test)]
    page_limit: std::sync::atomic::AtomicU32,
    /// Held by whoever begins or ends a rebuild.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// A connection and the file it was opened on.
struct Open {
    connection: Connection,
    file: FileMark,
}

impl SearchIndex {
    pub(in crate::store) fn new(directory: &Path, queue_wake: Arc<watch::Sender<u64>>) -> SearchIndex {
        SearchIndex {
            path: directory.join("search.db"),
            writer: Mutex::new(None),
            paused: AtomicBool::new(false),
            rebuilding: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            caught_up_at: AtomicI64::new(i64::MIN),
            put_off_at: AtomicI64::new(i64::MIN),
            #[cfg(test)]
            page_limit: std::sync::atomic::AtomicU32::new(u32::MAX - 1),
            generation: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            care: Mutex::new(IndexCare::Inspect),
            readers: Mutex::default(),
            queue_wake,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Whether it can be asked now.
    #[must_use]
    pub fn state(&self) -> IndexState {
        if self.paused.load(Ordering::SeqCst) {
            IndexState::Paused
        } else if self.rebuilding.load(Ordering::SeqCst) {
            IndexState::Rebuilding
        } else if self.path.exists() && !self.is_behind() {
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

    /// Whether it could not be written and may lack what was published since.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::SeqCst)
    }

    /// Says that what was claimed until now may have to be put off.
    pub(super) fn note_put_off(&self, now: Time) {
        self.put_off_at.store(now.unix_ms(), Ordering::SeqCst);
    }

    /// Jobs claimed later than this met no fault of the index.
    pub(super) fn put_off_at(&self) -> Time {
        Time::from_unix_ms(self.put_off_at.load(Ordering::SeqCst))
    }

    /// Says that nothing is missing any more.
    pub(super) fn set_caught_up(&self) {
        self.behind.store(false, Ordering::SeqCst);
    }

    /// Whether it is time to try again what was put off; asking takes the time on.
    pub(super) fn may_catch_up(&self, now: Time) -> bool {
        let last_ms = self.caught_up_at.load(Ordering::SeqCst);
        let is_time = !(last_ms..last_ms.saturating_add(CATCH_UP_PAUSE_MS)).contains(&now.unix_ms());
        if is_time {
            self.caught_up_at.store(now.unix_ms(), Ordering::SeqCst);
        }
        is_time
    }

    /// Lets the file grow no further, as a full disk does.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.page_limit.store(pages, Ordering::SeqCst);
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Which of the files made by this process it is; read before the index is used, it names the one a fault was met in.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Stops (`Paused`) or starts asking and filling it.
    pub(in crate::store) fn set_paused(&self, state: IndexState) {
        self.paused.store(state == IndexState::Paused, Ordering::SeqCst);
    }

    /// Says that it is being filled again (`Rebuilding`), or is full.
    pub(in crate::store) fn set_rebuilding(&self, state: IndexState) {
        self.rebuilding.store(state == IndexState::Rebuilding, Ordering::SeqCst);
    }

    /// Has the jobs make a new file in place of the present one, and wakes them.
    pub(in crate::store) fn request_renewal(&self) {
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
        self.wake();
    }

    /// Wakes whoever looks after the index.
    pub(super) fn wake(&self) {
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

    /// Runs `work` with the one writing connection; after a fault the connection is closed, which undoes what was open. When it cannot
    /// be written now, the catalogue answers until it can.
    pub(super) fn with_writer<T>(&self, work: impl FnOnce(&Connection) -> Result<T, IndexFault>) -> Result<T, IndexFault> {
        let done = self.write(work);
        if matches!(done, Err(IndexFault::Unavailable(_))) {
            // What was opened while the file could not be written shares that with every later connection of this process.
            self.readers().clear();
        }
        if matches!(done, Err(IndexFault::Unavailable(_))) && !self.behind.swap(true, Ordering::SeqCst) {
            tracing::warn!("the search index cannot be written now; searches are answered from the catalogue until it can");
            self.return_care(IndexCare::Inspect);
            self.wake();
        }
        done
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, IndexFault>) -> Result<T, IndexFault> {
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
        connection.busy_timeout(WRITER_PATIENCE)?;
        check_schema(&connection)?;
        #[cfg(test)]
        connection.pragma_update(None, "max_page_count", self.page_limit.load(Ordering::SeqCst))?;
        Ok(connection)
    }

    /// Asks an index that is whole, by a connection with the catalogue attached as `state`; both are read-only.
    pub(super) fn with_reader<T>(&self, work: impl FnOnce(&Connection) -> Result<T, IndexFault>) -> Result<T, IndexFault> {
        let file = self.look()?;
        let kept = self.readers().pop();
        let connection = match kept {
            Some(open) if open.file == file => open.connection,
            Some(_) | None => self.open_reader()?,
        };
        // All of a search is read at one moment: rows that are taken out meanwhile leave their numbers to others.
        let moment = connection.unchecked_transaction()?;
        let value = work(&connection)?;
        moment.commit()?;
        // After a fault the connection is closed, and so is one too many.
        let mut readers = self.readers();
        if readers.len() < READERS_KEPT && !self.is_behind() {
            readers.push(Open { connection, file });
        }
        Ok(value)
    }

    fn open_reader(&self) -> Result<Connection, IndexFault> {
        let connection = connection::open_reader(&self.path)?;
        connection.busy_timeout(READER_PATIENCE)?;
        check_schema(&connection)?;
        if application_id(&connection)? != COMPLETE {
            return Err(IndexFault::Unavailable(Error::internal("asking the search index", "it is being filled")));
        }
        let state = self.path.with_file_name("state.db");
        connection.execute("ATTACH DATABASE ?1 AS state", [format!("file:{}?mode=ro", uri_path(&state))])?;
        Ok(connection)
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Open>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throws the file away and makes a new, empty one that is not complete.
    pub(super) fn renew(&self) -> Result<(), IndexFault> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        *writer = None;
        self.readers().clear();
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
        connection.busy_timeout(WRITER_PATIENCE)?;
        migrate::migrate(&mut connection, migrate::SEARCH).map_err(IndexFault::Unavailable)?;
        connection.execute("INSERT INTO rebuild (only_row, after, indexed) VALUES (1, '', 0)", [])?;
        connection.pragma_update(None, "application_id", FILLING)?;
        self.written_bytes.store(0, Ordering::SeqCst);
        *writer = Some(Open { connection, file: self.look()? });
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Whether the file on disk is whole, can be written and holds every visible version; false for one that is being filled. Blocks.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn inspect(&self) -> Result<bool, IndexFault> {
        self.with_writer(|connection| {
            connection.query_row("SELECT EXISTS (SELECT 1 FROM words), EXISTS (SELECT 1 FROM documents)", [], |_| Ok(()))?;
            let application = application_id(connection)?;
            // Writes what is there already: a full disk or a file that is read-only shows only so.
            connection.pragma_update(None, "application_id", application)?;
            match application {
                COMPLETE => Ok(true),
                _ if progress::cursor(connection)?.is_some() => Ok(false),
                _ => Err(IndexFault::lost("nothing says how far it was filled")),
            }
        })
    }

    /// How many versions it holds; `None` when it cannot say.
    pub(super) fn document_count(&self) -> Option<u64> {
        let connection = connection::open_reader(&self.path).ok()?;
        connection.busy_timeout(READER_PATIENCE).ok()?;
        connection.query_row("SELECT count(*) AS total FROM documents", [], |row| rows::unsigned(row, "total")).ok()
    }

    /// How many versions the rebuild under way has indexed, and of how many; zeros when it cannot say.
    pub(super) fn rebuilt(&self) -> (u64, u64) {
        let ask = || -> rusqlite::Result<(u64, u64)> {
            let connection = connection::open_reader(&self.path)?;
            connection.busy_timeout(READER_PATIENCE)?;
            connection.query_row("SELECT indexed, coalesce(total, 0) AS total FROM rebuild", [], |row| {
                Ok((rows::unsigned(row, "indexed")?, rows::unsigned(row, "total")?))
            })
        };
        ask().unwrap_or_default()
    }
}

/// Says in the open transaction that the file holds every visible version.
pub(super) fn set_complete(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM rebuild WHERE only_row = 1", [])?;
    connection.pragma_update(None, "application_id", COMPLETE)
}

/// Everything but these is percent-encoded in a file URI.
const URI_PATH: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

fn uri_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    percent_encoding::percent_encode(path.as_os_str().as_bytes(), URI_PATH).to_string()
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
#[path = "index_tests.rs"]
mod tests;
