//! Archives of a whole instance. Invariant: an archive is written only when everything in it has the digest that its manifest gives, and is
//! taken apart only as its manifest says: no name inside it is ever used as a path.
//!
//! How to add
//! * a kind of content: a member of `Manifest`, its place in `Plan`, its taking in `restore`; raise `FORMAT`.
//! * a reader of archives: `reading::read`, which refuses everything that is not exactly what the manifest announces.

mod ahead;
mod frames;
mod making;
mod manifest;
mod partial;
mod reading;
mod restoring;

use std::io;

pub use making::{Made, Making, make};
pub use manifest::Manifest;
pub use restoring::{Restored, refuse_half_restored, refuse_unless_empty, restore};

use crate::error::{Code, Error};

/// How far something has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Pages of the database that are copied, and all of them.
    Copying(u64, u64),
    /// Bytes that went into the archive, and all of them.
    Packing(u64, u64),
    /// Bytes that were taken out of archives, and all of them.
    Unpacking(u64, u64),
    /// What was taken out is being looked at.
    Verifying,
}

/// Is told now and then how far it is.
pub type Report<'a> = &'a mut dyn FnMut(Progress);

/// A fault of a disk, for the person at the terminal: a full one says so.
fn disk_fault(doing: String, cause: io::Error) -> Error {
    if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Error::new(Code::InsufficientStorage, format!("the disk is full: {doing}; free some space and type the same again"));
    }
    Error::internal(doing, cause)
}
