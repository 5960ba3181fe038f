//! The compressed file that an archive is written to. Invariant: it is a row of whole zstd frames, each ending where a member ends, so
//! that a later process goes on behind the last of them that is on disk.

use std::fs::File;
use std::io::{self, Write};

use zstd::stream::write::Encoder;

/// Packages are compressed already: more effort finds nothing in them.
const LEVEL: i32 = 1;
/// A frame is cut behind the member with which it has grown this long.
const FRAME_BYTES: u64 = 64 << 20;

/// A writer of frames.
pub(super) struct Frames {
    encoder: Option<Encoder<'static, File>>,
    content_bytes: u64,
}

impl Frames {
    /// Goes on at the end of `file`.
    pub(super) fn new(file: File) -> io::Result<Frames> {
        Ok(Frames { encoder: Some(begin(file)?), content_bytes: 0 })
    }

    /// Whether the frame is long enough to be cut.
    pub(super) fn is_long(&self) -> bool {
        self.content_bytes >= FRAME_BYTES
    }

    /// Ends the frame and begins another. Returns the file, for whoever syncs it, and its length.
    pub(super) fn cut(&mut self) -> io::Result<(File, u64)> {
        let file = self.end()?;
        let (other, length) = (file.try_clone()?, file.metadata()?.len());
        self.encoder = Some(begin(file)?);
        self.content_bytes = 0;
        Ok((other, length))
    }

    /// Ends the last frame and syncs the file. Returns its length.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        let file = self.end()?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }

    fn end(&mut self) -> io::Result<File> {
        self.encoder.take().ok_or_else(broken)?.finish()
    }
}

fn begin(file: File) -> io::Result<Encoder<'static, File>> {
    let mut encoder = Encoder::new(file, LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

fn broken() -> io::Error {
    io::Error::other("a frame before could not be ended")
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.encoder.as_mut().ok_or_else(broken)?.write(bytes)?;
        self.content_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.as_mut().ok_or_else(broken)?.flush()
    }
}
