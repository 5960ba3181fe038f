//! Reading ahead of the archive: what it will hold is read and hashed on a thread of its own while the bytes before are compressed.
//! Invariant: members come in the order of the manifest, and one ends only when its bytes are those that the manifest names.

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender};

use super::manifest::{Content, Manifest};
use super::partial::Partial;
use super::{disk_fault, making::Stop};
use crate::blobs::HashingReader;
use crate::blobs::vault::Vault;
use crate::domain::digest::Digest;
use crate::error::{Error, Result};

/// Bytes that are read at once, and handed on at once: of small members, many together.
const PIECE_BYTES: u64 = 256 * 1024;
/// Batches that wait to be packed: what is read ahead takes 5 MiB at most.
pub(super) const BATCHES_AHEAD: usize = 8;
/// Pieces of one batch, as long as they are small.
const BATCH_PIECES: usize = 256;

/// Some bytes of a member.
pub(super) struct Piece {
    bytes: Vec<u8>,
    /// Whether the member ends with them, and was found to be what the manifest says.
    is_last: bool,
}

/// Pieces that are handed on together, or why there are no more.
pub(super) type Batch = Result<Vec<Piece>, Stop>;

/// Where pieces go.
struct Outlet<'a> {
    batch: Vec<Piece>,
    bytes: u64,
    ready: &'a SyncSender<Batch>,
}

/// Packing has ended, for a reason of its own.
struct Unwanted;

impl Outlet<'_> {
    fn send(&mut self, piece: Piece) -> Result<(), Unwanted> {
        self.bytes += piece.bytes.len() as u64;
        self.batch.push(piece);
        if self.bytes >= PIECE_BYTES || self.batch.len() >= BATCH_PIECES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Unwanted> {
        self.bytes = 0;
        self.ready.send(Ok(std::mem::take(&mut self.batch))).map_err(|_| Unwanted)
    }
}

/// Reads the database and the blobs that belong into the archive, from the member `first` on, until all are read or one cannot be.
pub(super) fn read_ahead(partial: &Partial, vault: &Vault, manifest: &Manifest, first: usize, ready: &SyncSender<Batch>) {
    let mut outlet = Outlet { batch: Vec::new(), bytes: 0, ready };
    let ended = read_members(partial, vault, manifest, first, &mut outlet);
    // Nobody may be left to tell.
    let _ = match ended {
        Ok(()) => outlet.flush().is_ok(),
        Err(stop) => outlet.flush().is_ok() && ready.send(Err(stop)).is_ok(),
    };
}

fn read_members(partial: &Partial, vault: &Vault, manifest: &Manifest, first: usize, outlet: &mut Outlet<'_>) -> Result<(), Stop> {
    if first <= 1 {
        let path = partial.database();
        let file = File::open(&path).map_err(|cause| disk_fault(format!("reading {}", path.display()), cause))?;
        if read_member(file, manifest.database, outlet)?.is_err() {
            return Ok(());
        }
    }
    for blob in manifest.blobs.iter().skip(first.saturating_sub(2)) {
        let (file, actual_bytes) = vault.open_for_backup(blob.digest)?.ok_or(Stop::Gone(blob.digest))?;
        if actual_bytes != blob.size_bytes {
            return Err(damaged(&blob.digest, &format!("its file has {actual_bytes} bytes instead of {}", blob.size_bytes)).into());
        }
        if read_member(file, *blob, outlet)?.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn read_member(file: File, content: Content, outlet: &mut Outlet<'_>) -> Result<Result<(), Unwanted>, Stop> {
    let (mut reader, mut total_bytes) = (HashingReader::new(file), 0);
    loop {
        let mut bytes = Vec::with_capacity(usize::try_from(content.size_bytes.min(PIECE_BYTES)).unwrap_or(0));
        let read = (&mut reader).take(PIECE_BYTES).read_to_end(&mut bytes);
        total_bytes += read.map_err(|cause| disk_fault(format!("reading {}", content.digest), cause))? as u64;
        if total_bytes > content.size_bytes {
            return Err(damaged(&content.digest, "it grows while it is read").into());
        }
        if bytes.len() as u64 == PIECE_BYTES {
            if let Err(unwanted) = outlet.send(Piece { bytes, is_last: false }) {
                return Ok(Err(unwanted));
            }
            continue;
        }
        if reader.finish() != (content.digest, content.size_bytes) {
            return Err(damaged(&content.digest, "its content has another digest").into());
        }
        return Ok(outlet.send(Piece { bytes, is_last: true }));
    }
}

/// A blob that no archive may hold.
pub(super) fn damaged(digest: &Digest, what: &str) -> Error {
    let next = "look at all of them with: artifortress verify --blobs; publish its bytes again or remove what names it, then try again";
    Error::conflict(format!("blob {digest} cannot be packed: {what}; {next}"))
}

/// What was read ahead, member after member.
pub(super) struct Members {
    batches: Receiver<Batch>,
    pieces: std::vec::IntoIter<Piece>,
}

impl Members {
    /// Those that come through `batches`.
    pub(super) fn new(batches: Receiver<Batch>) -> Members {
        Members { batches, pieces: Vec::new().into_iter() }
    }

    /// The next one, as a reader of its bytes.
    pub(super) fn next(&mut self) -> Member<'_> {
        Member { members: self, bytes: io::Cursor::default(), is_last: false, stop: None }
    }

    fn piece(&mut self) -> Result<Piece, Stop> {
        loop {
            if let Some(piece) = self.pieces.next() {
                return Ok(piece);
            }
            let ended = |_| Error::internal("reading ahead", "the thread that reads has ended");
            self.pieces = self.batches.recv().map_err(ended)??.into_iter();
        }
    }
}

/// One member.
pub(super) struct Member<'a> {
    members: &'a mut Members,
    bytes: io::Cursor<Vec<u8>>,
    is_last: bool,
    stop: Option<Stop>,
}

impl Member<'_> {
    /// Takes what is left of it, which is nothing but its end.
    ///
    /// # Errors
    /// Why it could not be read, or has other bytes than the manifest names.
    pub(super) fn finish(mut self) -> Result<(), Stop> {
        let ended = io::copy(&mut self, &mut io::sink());
        match self.stop {
            Some(stop) => Err(stop),
            None => ended.map(|_| ()).map_err(|cause| disk_fault("reading what is packed".to_owned(), cause).into()),
        }
    }
}

impl Read for Member<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.bytes.read(buffer)?;
            if count > 0 || self.is_last || self.stop.is_some() || buffer.is_empty() {
                return Ok(count);
            }
            match self.members.piece() {
                Ok(piece) => (self.bytes, self.is_last) = (io::Cursor::new(piece.bytes), piece.is_last),
                Err(stop) => self.stop = Some(stop),
            }
        }
    }
}
