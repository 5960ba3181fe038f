//! The writer, the files of SQLite, the blobs and the disk. Invariant: what the names say was measured is what was measured; what
//! cannot be learnt cheaply, such as the number of blobs, is left out.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{quick, slow};

type Level = Gauge<u64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDatabase {
    database: &'static str,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteEnd {
    /// It is on disk.
    Committed,
    /// It said no and was undone alone.
    Refused,
    /// Its commit failed.
    Failed,
}

impl WriteEnd {
    const ALL: [WriteEnd; 3] = [WriteEnd::Committed, WriteEnd::Refused, WriteEnd::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            WriteEnd::Committed => "committed",
            WriteEnd::Refused => "refused",
            WriteEnd::Failed => "failed",
        }
    }
}

/// The one writer of the database.
#[derive(Debug)]
pub struct Writer {
    writes: Family<ByOutcome, Counter>,
    wait: Histogram,
    group: Histogram,
    commit: Histogram,
}

impl Writer {
    pub(super) fn register(registry: &mut Registry) -> Writer {
        let group = Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]);
        let group = Writer { writes: Family::default(), wait: slow(), group, commit: slow() };
        for end in WriteEnd::ALL {
            drop(group.writes.get_or_create(&ByOutcome { outcome: end.as_str() }));
        }
        registry.register("writer_writes", "Writes to the database by how they ended", group.writes.clone());
        registry.register_with_unit("writer_wait", "From the order to write until the write begins", Unit::Seconds, group.wait.clone());
        registry.register("writer_group_size", "Writes that shared one commit", group.group.clone());
        registry.register_with_unit(
            "writer_commit_duration",
            "One commit with its sync to disk, and the checkpoint that falls into it now and then",
            Unit::Seconds,
            group.commit.clone(),
        );
        group
    }

    /// A write begins after it waited.
    pub fn begun(&self, waited: Duration) {
        self.wait.observe(waited.as_secs_f64());
    }

    /// A write has ended.
    pub fn ended(&self, end: WriteEnd) {
        self.writes.get_or_create(&ByOutcome { outcome: end.as_str() }).inc();
    }

    /// A group of so many writes was committed, or could not be.
    #[allow(clippy::cast_precision_loss, reason = "a group has some dozens")]
    pub fn committed(&self, writes: usize, elapsed: Duration) {
        self.group.observe(writes as f64);
        self.commit.observe(elapsed.as_secs_f64());
    }
}

/// How a checkpoint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// The whole log is in the database.
    Complete,
    /// A reader needed a part of the log, so that so many pages are left in it.
    Partial(u64),
    /// It could not be done; the next commit tries again.
    Failed,
}

/// The files of SQLite.
#[derive(Debug)]
pub struct Sqlite {
    checkpoints: Family<ByOutcome, Counter>,
    checkpoint_duration: Histogram,
    pages_left: Level,
    database_bytes: Family<ByDatabase, Level>,
    wal_bytes: Family<ByDatabase, Level>,
}

impl Sqlite {
    pub(super) fn register(registry: &mut Registry) -> Sqlite {
        let group = Sqlite {
            checkpoints: Family::default(),
            checkpoint_duration: quick(),
            pages_left: Level::default(),
            database_bytes: Family::default(),
            wal_bytes: Family::default(),
        };
        for outcome in ["complete", "partial", "failed"] {
            drop(group.checkpoints.get_or_create(&ByOutcome { outcome }));
        }
        registry.register("sqlite_checkpoints", "Checkpoints of state.db by how they ended", group.checkpoints.clone());
        registry.register_with_unit(
            "sqlite_checkpoint_duration",
            "One checkpoint of state.db",
            Unit::Seconds,
            group.checkpoint_duration.clone(),
        );
        registry.register(
            "sqlite_checkpoint_pages_left",
            "Pages that the last checkpoint of state.db had to leave in the log, as a reader needed them",
            group.pages_left.clone(),
        );
        registry.register_with_unit("sqlite_database", "Size of a database file", Unit::Bytes, group.database_bytes.clone());
        registry.register_with_unit(
            "sqlite_wal",
            "Size of a write-ahead log file, which keeps the largest size it needed lately",
            Unit::Bytes,
            group.wal_bytes.clone(),
        );
        group
    }

    /// A checkpoint has ended.
    pub fn checkpointed(&self, how: Checkpoint, elapsed: Duration) {
        let outcome = match how {
            Checkpoint::Complete => "complete",
            Checkpoint::Partial(_) => "partial",
            Checkpoint::Failed => "failed",
        };
        match how {
            Checkpoint::Complete => drop(self.pages_left.set(0)),
            Checkpoint::Partial(left) => drop(self.pages_left.set(left)),
            Checkpoint::Failed => {}
        }
        self.checkpoints.get_or_create(&ByOutcome { outcome }).inc();
        self.checkpoint_duration.observe(elapsed.as_secs_f64());
    }

    /// The files of a database are so large.
    pub fn set_sizes(&self, database: &'static str, database_bytes: u64, wal_bytes: u64) {
        self.database_bytes.get_or_create(&ByDatabase { database }).set(database_bytes);
        self.wal_bytes.get_or_create(&ByDatabase { database }).set(wal_bytes);
    }
}

/// Bytes in and out, and the disk.
#[derive(Debug)]
pub struct Blobs {
    staged: Counter,
    stored: Counter,
    served: Counter,
    free: Level,
    size: Level,
}

impl Blobs {
    pub(super) fn register(registry: &mut Registry) -> Blobs {
        let group = Blobs {
            staged: Counter::default(),
            stored: Counter::default(),
            served: Counter::default(),
            free: Level::default(),
            size: Level::default(),
        };
        registry.register_with_unit("blobs_staged", "Bytes of uploads taken in", Unit::Bytes, group.staged.clone());
        registry.register(
            "blobs_stored",
            "Uploads put in place under their digest, those that were there already included",
            group.stored.clone(),
        );
        registry.register_with_unit("blobs_served", "Bytes of files read for answers", Unit::Bytes, group.served.clone());
        registry.register_with_unit("disk_free", "Space left on the disk of the data directory", Unit::Bytes, group.free.clone());
        registry.register_with_unit("disk_size", "Size of the disk of the data directory", Unit::Bytes, group.size.clone());
        group
    }

    /// So many bytes of an upload were taken in.
    pub fn staged(&self, bytes: u64) {
        self.staged.inc_by(bytes);
    }

    /// An upload has its place.
    pub fn stored(&self) {
        self.stored.inc();
    }

    /// So many bytes of a file were read for an answer.
    pub fn served(&self, bytes: u64) {
        self.served.inc_by(bytes);
    }

    /// The disk has so much space.
    pub fn set_disk(&self, free_bytes: u64, size_bytes: u64) {
        self.free.set(free_bytes);
        self.size.set(size_bytes);
    }
}
