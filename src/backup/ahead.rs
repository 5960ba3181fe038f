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

/// Bytes that are read at once.
const PIECE_BYTES: u64 = 256 * 1024;
/// Pieces that wait to be packed: what is read ahead takes 4 MiB at most.
pub(super) const PIECES_AHEAD: usize = 16;

/// Some bytes of a member.
pub(super) struct Piece {
    bytes: Vec<u8>,
    /// Whether the member ends with them, and was found to be what the manifest says.
    is_last: bool,
}

/// Where pieces go; nobody takes any more once packing has ended.
pub(super) type Pieces = SyncSender<Result<Piece, Stop>>;

/// Reads the database and the blobs that belong into the archive, from the member `first` on, until all are read or one cannot be.
pub(super) fn read_ahead(partial: &Partial, vault: &Vault, manifest: &Manifest, first: usize, pieces: &Pieces) {
    let read = || -> Result<(), Stop> {
        if first <= 1 {
            let path = partial.database();
            let file = File::open(&path).map_err(|cause| disk_fault(format!("reading {}", path.display()), cause))?;
            read_member(file, manifest.database, pieces)?;
        }
        for blob in manifest.blobs.iter().skip(first.saturating_sub(2)) {
            let (file, actual_bytes) = vault.open_for_backup(blob.digest)?.ok_or(Stop::Gone(blob.digest))?;
            if actual_bytes != blob.size_bytes {
                return Err(damaged(&blob.digest, &format!("its file has {actual_bytes} bytes instead of {}", blob.size_bytes)).into());
            }
            read_member(file, *blob, pieces)?;
        }
        Ok(())
    };
    if let Err(stop) = read() {
        // Nobody to tell: packing has ended for a reason of its own.
        let _ = pieces.send(Err(stop));
    }
}

fn read_member(file: File, content: Content, pieces: &Pieces) -> Result<(), Stop> {
    let (mut reader, mut total_bytes) = (HashingReader::new(file), 0);
    loop {
        let mut bytes = Vec::with_capacity(usize::try_from(content.size_bytes.min(PIECE_BYTES)).unwrap_or(0));
        let read = (&mut reader).take(PIECE_BYTES).read_to_end(&mut bytes);
        total_bytes += read.map_err(|cause| disk_fault(format!("reading {}", content.digest), cause))? as u64;
        if total_bytes > content.size_bytes {
            return Err(damaged(&content.digest, "it grows while it is read").into());
        }
        if bytes.len() as u64 == PIECE_BYTES {
            if pieces.send(Ok(Piece { bytes, is_last: false })).is_err() {
                return Ok(());
            }
            continue;
        }
        if reader.finish() != (content.digest, content.size_bytes) {
            return Err(damaged(&content.digest, "its content has another digest").into());
        }
        let _ = pieces.send(Ok(Piece { bytes, is_last: true }));
        return Ok(());
    }
}

/// A blob that no archive may hold.
pub(super) fn damaged(digest: &Digest, what: &str) -> Error {
    let next = "look at all of them with: artifortress verify --blobs; publish its bytes again or remove what names it, then try again";
    Error::conflict(format!("blob {digest} cannot be packed: {what}; {next}"))
}

/// The next member, as a reader of its bytes.
pub(super) struct Member<'a> {
    pieces: &'a Receiver<Result<Piece, Stop>>,
    bytes: io::Cursor<Vec<u8>>,
    is_last: bool,
    stop: Option<Stop>,
}

impl Member<'_> {
    /// Begins with the member behind the one that was read last.
    pub(super) fn next(pieces: &Receiver<Result<Piece, Stop>>) -> Member<'_> {
        Member { pieces, bytes: io::Cursor::default(), is_last: false, stop: None }
    }

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
            if count > 0 || self.is_last || buffer.is_empty() {
                return Ok(count);
            }
            match self.pieces.recv() {
                Ok(Ok(piece)) => (self.bytes, self.is_last) = (io::Cursor::new(piece.bytes), piece.is_last),
                Ok(Err(stop)) => {
                    self.stop = Some(stop);
                    return Err(io::Error::other("what is packed cannot be read"));
                }
                Err(_) => return Err(io::Error::other("nobody reads ahead any more")),
            }
        }
    }
}
