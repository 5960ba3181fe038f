//! Blobs on their way into a backup and out of one. Invariant: whoever reads a blob learns the digest of exactly the bytes it read, and a
//! blob is put in place only by the bytes that its name says.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt as _;

use sha2::{Digest as _, Sha256};

use super::disk::{create_directory, disk_fault, remove_if_present};
use super::staged::BLOB_MODE;
use super::vault::Vault;
use crate::domain::digest::Digest;
use crate::error::{Error, Result};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A reader that hashes what passes.
#[derive(Debug)]
pub struct HashingReader<R> {
    reader: R,
    hash: Sha256,
    size_bytes: u64,
}

impl<R: Read> HashingReader<R> {
    /// Begins to read.
    pub fn new(reader: R) -> HashingReader<R> {
        HashingReader { reader, hash: Sha256::new(), size_bytes: 0 }
    }

    /// The sha256 and the number of the bytes that were read.
    #[must_use]
    pub fn finish(self) -> (Digest, u64) {
        (Digest::from_bytes(self.hash.finalize().into()), self.size_bytes)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.size_bytes += count as u64;
        Ok(count)
    }
}

impl Vault {
    /// Opens a blob for a backup, and gives its size on disk; `None` when there is no such file.
    ///
    /// # Errors
    /// Internal, when the disk cannot be read.
    pub fn open_for_backup(&self, digest: Digest) -> Result<Option<(File, u64)>> {
        let doing = |cause| disk_fault(format!("reading blob {digest}"), cause);
        match File::open(self.0.blob_path(&digest)) {
            Ok(file) => {
                let size_bytes = file.metadata().map_err(doing)?.len();
                Ok(Some((file, size_bytes)))
            }
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(doing(cause)),
        }
    }

    /// Puts a blob in its place, into a directory that nobody uses yet. It is not synced: whoever plants many syncs the file system once.
    ///
    /// # Errors
    /// `conflict` when these are other bytes, and nothing is left of them; insufficient storage; internal.
    pub fn plant(&self, digest: Digest, size_bytes: u64, reader: &mut dyn Read) -> Result<()> {
        let path = self.0.blob_path(&digest);
        let doing = |cause| disk_fault(format!("writing blob {digest}"), cause);
        create_directory(&self.0.shard_path(&digest)).map_err(doing)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(BLOB_MODE).open(&path).map_err(doing)?;
        let mut hashing = HashingReader::new(reader);
        let mut piece = vec![0_u8; PIECE_BYTES.min(usize::try_from(size_bytes).unwrap_or(PIECE_BYTES).max(1))];
        let copied = copy(&mut hashing, &mut file, &mut piece);
        if copied.is_ok() && hashing.finish() == (digest, size_bytes) {
            return Ok(());
        }
        remove_if_present(&path)?;
        copied.map_err(doing)?;
        Err(Error::conflict(format!("the bytes given for blob {digest} are others")))
    }
}

fn copy(from: &mut impl Read, to: &mut File, piece: &mut [u8]) -> io::Result<()> {
    use std::io::Write as _;
    loop {
        match from.read(piece) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&piece[..count])?,
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::files_below;
    use super::super::vault::Condition;
    use super::*;
    use crate::blobs::Blobs;

    #[test]
    fn a_blob_is_planted_by_its_own_bytes_alone() {
        let data = tempfile::tempdir().unwrap();
        let vault = Blobs::open_dir(data.path()).unwrap().vault();
        let digest = Digest::of(b"abc");
        for (bytes, size) in [(&b"abd"[..], 3), (b"ab", 3), (b"abcd", 3), (b"abc", 4)] {
            assert!(vault.plant(digest, size, &mut &*bytes).is_err());
            assert_eq!(files_below(data.path()), Vec::<String>::new());
        }
        vault.plant(digest, 3, &mut &b"abc"[..]).unwrap();
        assert_eq!(vault.verify(digest, 3).unwrap(), Condition::Sound);
        let (file, size_bytes) = vault.open_for_backup(digest).unwrap().unwrap();
        let mut reader = HashingReader::new(file);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!((reader.finish(), size_bytes), ((digest, 3), 3));
        assert!(vault.open_for_backup(Digest::of(b"x")).unwrap().is_none());
    }
}
