//! Which file lies at a path. Invariant: a file that was put in the place of another has another mark, for as long as somebody holds
//! the old one open.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::condition::IndexFault;

/// How every SQLite file begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What tells one file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileMark {
    device: u64,
    inode: u64,
}

impl FileMark {
    /// Looks at the file and its size in bytes; one that does not begin as SQLite files do is lost.
    pub(super) fn of(path: &Path) -> Result<(FileMark, u64), IndexFault> {
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
