//! Reading bytes for clients. Invariant: nothing opens without a proof (`Visible<File>` for readers, `Held<File>` for reviewers);
//! what is sent has exactly the announced length, and memory per stream is one piece.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::Blobs;
use crate::domain::digest::Digest;
use crate::domain::version::File;
use crate::domain::visibility::{Held, Visible};
use crate::error::{Error, Result};
use crate::hop;
use crate::metrics::Metrics;

/// Larger files are read in pieces of this size, one hop each.
const PIECE_BYTES: u64 = 256 * 1024;

/// Files up to this size are read whole in the hop that opens them.
const SMALL_BYTES: u64 = 64 * 1024;

/// The chunks of an answer. An error ends it early, so that the connection is cut and never looks complete.
pub type Chunks = BoxStream<'static, Result<Bytes>>;

/// The opened bytes of one file.
#[derive(Debug)]
pub struct Content {
    digest: Digest,
    size_bytes: u64,
    source: Source,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    Disk(std::fs::File),
}

impl Blobs {
    /// Opens a file that the caller may see. Blocks.
    ///
    /// # Errors
    /// Internal, when the blob is missing or has another size than the row says; the log then names the digest.
    pub fn open(&self, file: &Visible<File>) -> Result<Content> {
        self.opening(file)()
    }

    /// Opens a file of a held version for its reviewer. The caller audits it.
    ///
    /// # Errors
    /// As `open`.
    pub async fn inspect(&self, file: &Held<File>) -> Result<Content> {
        hop::run(self.opening(file)).await
    }

    fn opening(&self, row: &File) -> impl FnOnce() -> Result<Content> + Send + 'static {
        let (digest, size_bytes, metrics) = (row.digest, row.size_bytes, Arc::clone(&self.metrics));
        let path = self.blob_path(&digest);
        move || {
            let doing = || format!("opening blob {digest} (artifortress verify --blobs tells more)");
            let file = std::fs::File::open(path).map_err(|cause| Error::internal(doing(), cause))?;
            let actual_bytes = file.metadata().map_err(|cause| Error::internal(doing(), cause))?.len();
            if actual_bytes != size_bytes {
                return Err(Error::internal(doing(), format!("the row says {size_bytes} bytes, the disk has {actual_bytes}")));
            }
            let source = if size_bytes <= SMALL_BYTES { Source::Memory(read_piece(&file, 0, size_bytes)?) } else { Source::Disk(file) };
            Ok(Content { digest, size_bytes, source, metrics })
        }
    }
}

impl Content {
    /// The size of the whole content in bytes, whatever part of it is asked for.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The sha256 of the whole content: its `ETag` and `Repr-Digest`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Streams all bytes in chunks of at most 256 KiB: exactly `size_bytes`, or an error.
    #[must_use]
    pub fn into_stream(self) -> Chunks {
        let whole = 0..self.size_bytes;
        self.into_stream_of(whole)
    }

    /// Streams some bytes, end exclusive and inside the content, in chunks of at most 256 KiB: exactly those, or an error.
    #[must_use]
    pub fn into_stream_of(self, wanted: Range<u64>) -> Chunks {
        let (start, end, metrics) = (wanted.start.min(self.size_bytes), wanted.end.min(self.size_bytes), self.metrics);
        let chunks = match self.source {
            Source::Memory(bytes) => {
                let part = usize::try_from(start).ok().zip(usize::try_from(end).ok()).filter(|(start, end)| start < end);
                stream::iter(part.map(|(start, end)| Ok(bytes.slice(start..end)))).boxed()
            }
            Source::Disk(file) => stream_from_disk(Arc::new(file), start, end),
        };
        chunks.inspect_ok(move |piece| metrics.blobs.served(piece.len() as u64)).boxed()
    }
}

fn stream_from_disk(file: Arc<std::fs::File>, start: u64, end: u64) -> Chunks {
    stream::try_unfold(start, move |offset| {
        let file = Arc::clone(&file);
        async move {
            if offset >= end {
                return Ok(None);
            }
            let count = PIECE_BYTES.min(end - offset);
            let piece = hop::run(move || read_piece(&file, offset, count)).await?;
            Ok(Some((piece, offset + count)))
        }
    })
    .boxed()
}

/// Reads exactly `count` bytes at `offset`.
fn read_piece(file: &std::fs::File, offset: u64, count: u64) -> Result<Bytes> {
    let doing = || format!("reading {count} bytes at {offset} of a blob");
    let length = usize::try_from(count).map_err(|cause| Error::internal(doing(), cause))?;
    let mut piece = vec![0_u8; length];
    file.read_exact_at(&mut piece, offset).map_err(|cause| Error::internal(doing(), cause))?;
    Ok(Bytes::from(piece))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{store, varied};
    use super::*;
    use crate::domain::access::{Caller, Grants, Identity, Permit, Promote, Read, Role, Roles};
    use crate::domain::lifecycle::State;
    use crate::domain::name::Subject;
    use crate::domain::repo::{Repo, RepoKind, RepoSettings};
    use crate::domain::time::Time;
    use crate::domain::visibility::{Sealed, Standing};
    use crate::error::Code;

    const ID: &str = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55";

    fn caller_and_repo() -> (Caller, Arc<Repo>) {
        let (key, now) = ("main".parse::<crate::domain::name::RepoKey>().unwrap(), Time::from_unix_ms(0));
        let grants = Grants { scopes: None, bindings: Some(vec![(key.clone(), Roles::of(Role::Promote))]) };
        let identity = Identity { subject: Subject::system("tests"), token_id: Some(ID.parse().unwrap()), expires_at: None, grants };
        let repo = Repo { key, kind: RepoKind::Local, settings: RepoSettings::default(), created_at: now, updated_at: now };
        (Caller::new(Arc::new(identity), ID.parse().unwrap()), Arc::new(repo))
    }

    fn sealed(state: State, digest: Digest, size_bytes: u64) -> Sealed<File> {
        let path = "a.bin".parse().unwrap();
        let file = File { version_id: ID.parse().unwrap(), path, digest, size_bytes, media_type: None, sha1: None };
        Sealed::new("main".parse().unwrap(), Standing { state, hold: None }, file)
    }

    fn visible(digest: Digest, size_bytes: u64) -> Visible<File> {
        let (caller, repo) = caller_and_repo();
        let permit: Permit<Read> = caller.permit(&repo).unwrap();
        sealed(State::Published, digest, size_bytes).show(&permit).unwrap()
    }

    async fn collect(chunks: Chunks) -> Vec<Bytes> {
        chunks.try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn the_bytes_come_back_whole_and_in_part_in_bounded_chunks() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        for (number, size_bytes) in [(1, 0), (2, 1), (3, SMALL_BYTES), (4, SMALL_BYTES + 1), (5, 3 * PIECE_BYTES + 7)] {
            let bytes = varied(usize::try_from(size_bytes).unwrap());
            let proof = visible(store(&blobs, number, &bytes).await.digest(), size_bytes);
            let content = blobs.open(&proof).unwrap();
            assert_eq!((content.size_bytes(), content.digest()), (size_bytes, Digest::of(&bytes)));
            let chunks = collect(content.into_stream()).await;
            assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() as u64 <= PIECE_BYTES));
            assert_eq!(chunks.concat(), bytes);
            if size_bytes > 1 {
                let (start, end) = (size_bytes / 3, size_bytes - 1);
                let part = collect(blobs.open(&proof).unwrap().into_stream_of(start..end)).await.concat();
                assert_eq!(part, bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
            }
        }
    }

    #[tokio::test]
    async fn a_reviewer_reads_what_is_held() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let digest = store(&blobs, 1, &Bytes::from_static(b"held")).await.digest();
        let (caller, repo) = caller_and_repo();
        let permit: Permit<Promote> = caller.permit(&repo).unwrap();
        let held = sealed(State::Quarantined, digest, 4).inspect(&permit).unwrap();
        let content = blobs.inspect(&held).await.unwrap();
        assert_eq!(collect(content.into_stream()).await.concat(), b"held");
    }

    #[tokio::test]
    async fn a_truncated_or_missing_blob_is_noticed_at_open() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let digest = store(&blobs, 1, &varied(1000)).await.digest();
        let path = blobs.blob_path(&digest);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, varied(999)).unwrap();
        let error = blobs.open(&visible(digest, 1000)).unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert!(error.cause().unwrap().to_string().contains("1000 bytes, the disk has 999"));
        assert!(!error.message().contains(&digest.hex()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(blobs.open(&visible(digest, 1000)).unwrap_err().code(), Code::Internal);
    }

    #[tokio::test]
    async fn a_blob_cut_short_while_it_is_sent_ends_in_an_error() {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_dir(data.path()).unwrap();
        let size_bytes = 2 * PIECE_BYTES;
        let digest = store(&blobs, 1, &varied(usize::try_from(size_bytes).unwrap())).await.digest();
        let path = blobs.blob_path(&digest);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut chunks = blobs.open(&visible(digest, size_bytes)).unwrap().into_stream();
        assert_eq!(chunks.try_next().await.unwrap().unwrap().len() as u64, PIECE_BYTES);
        std::fs::File::options().write(true).open(&path).unwrap().set_len(PIECE_BYTES + 5).unwrap();
        assert!(chunks.try_next().await.is_err());
    }
}
