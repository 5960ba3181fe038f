//! The body of a publish: the length of a JSON text, the text, the length of the crate, the crate; lengths are four bytes, least first.
//! Invariant: the text is bounded before it is kept, the crate is never kept at all, and the body has exactly what its lengths say.

use bytes::{Buf as _, Bytes};
use futures_util::stream;

use crate::error::{Error, Result};
use crate::http::Body;
use crate::registry::BlobSource;

/// Bytes of the JSON text: what a manifest may have.
const TEXT_LIMIT_BYTES: u64 = 1024 * 1024;

/// The body and what of it arrived and was not taken yet.
pub(super) struct Frames {
    body: Body,
    rest: Bytes,
}

impl Frames {
    /// The frames of a body whose limit is set.
    pub(super) fn new(body: Body) -> Frames {
        Frames { body, rest: Bytes::new() }
    }

    /// The JSON text.
    ///
    /// # Errors
    /// `too_large`; `bad_request` when the body ends within it; what the body fails with.
    pub(super) async fn text(&mut self) -> Result<Vec<u8>> {
        let length = self.length().await?;
        if length > TEXT_LIMIT_BYTES {
            return Err(Error::too_large("the metadata of the crate, its README included,", TEXT_LIMIT_BYTES));
        }
        self.exactly(length).await
    }

    /// The crate, as it arrives.
    ///
    /// # Errors
    /// As `text`; the source fails when the body has fewer or more bytes than announced.
    pub(super) async fn content(mut self) -> Result<impl BlobSource> {
        let missing = self.length().await?;
        Ok(stream::try_unfold((self, missing), |(mut frames, missing)| async move {
            let is_over = !frames.fill().await?;
            if missing == 0 {
                return if is_over { Ok(None) } else { Err(broken("has bytes behind the crate")) };
            }
            if is_over {
                return Err(broken("ends before the crate does"));
            }
            let piece = frames.take(missing);
            let missing = missing - count(&piece);
            Ok(Some((piece, (frames, missing))))
        }))
    }

    async fn length(&mut self) -> Result<u64> {
        let bytes = self.exactly(4).await?;
        Ok(u64::from(bytes.as_slice().get_u32_le()))
    }

    async fn exactly(&mut self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while count(&bytes) < length {
            if !self.fill().await? {
                return Err(broken("ends in the middle of its metadata"));
            }
            let piece = self.take(length - count(&bytes));
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Whether there is something to take.
    async fn fill(&mut self) -> Result<bool> {
        if self.rest.is_empty() {
            self.rest = self.body.next_chunk().await?.unwrap_or_default();
        }
        Ok(!self.rest.is_empty())
    }

    /// At most `limit` of the bytes that are there.
    fn take(&mut self, limit: u64) -> Bytes {
        let length = usize::try_from(limit).unwrap_or(usize::MAX).min(self.rest.len());
        self.rest.split_to(length)
    }
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn broken(how: &str) -> Error {
    Error::bad_request(format!("the body {how}; a crate is published as `cargo publish` sends it: length, JSON, length, crate"))
}

#[cfg(test)]
mod tests {
    use futures_util::{TryStreamExt as _, stream as streams};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use proptest::prelude::*;

    use super::*;
    use crate::error::Code;
    use crate::http::HttpLimits;

    fn framed(text: &[u8], content: &[u8]) -> Vec<u8> {
        let mut body = u32::try_from(text.len()).unwrap().to_le_bytes().to_vec();
        body.extend(text);
        body.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        body.extend(content);
        body
    }

    /// Reads a body that arrives in pieces of this size.
    fn read(body: &[u8], piece_bytes: usize) -> Result<(Vec<u8>, Vec<u8>)> {
        let pieces: Vec<_> = body.chunks(piece_bytes).map(|piece| Ok::<_, Error>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let mut body = Body::new(StreamBody::new(streams::iter(pieces)), HttpLimits::default());
        body.set_limit(u64::MAX)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut frames = Frames::new(body);
            let text = frames.text().await?;
            let content = frames.content().await?.try_collect::<Vec<Bytes>>().await?.concat();
            Ok((text, content))
        })
    }

    proptest! {
        #[test]
        fn what_was_framed_is_read_whatever_pieces_it_comes_in(
            text in proptest::collection::vec(any::<u8>(), 0..200), content in proptest::collection::vec(any::<u8>(), 0..200),
            piece_bytes in 1_usize..64,
        ) {
            prop_assert_eq!(read(&framed(&text, &content), piece_bytes).unwrap(), (text, content));
        }

        #[test]
        fn a_body_that_is_cut_or_goes_on_is_refused(content in proptest::collection::vec(any::<u8>(), 1..100), cut in 0_usize..100, more in 1_usize..9) {
            let whole = framed(b"{}", &content);
            let short = &whole[..cut.min(whole.len() - 1)];
            prop_assert_eq!(read(short, 7).unwrap_err().code(), Code::BadRequest);
            let long = [whole.clone(), vec![0; more]].concat();
            prop_assert_eq!(read(&long, 7).unwrap_err().code(), Code::BadRequest);
        }
    }

    #[test]
    fn metadata_that_claims_more_than_the_limit_is_refused_before_it_is_read() {
        let refused = read(&u32::MAX.to_le_bytes(), 4).unwrap_err();
        assert_eq!((refused.code(), refused.members()["limit"].as_u64()), (Code::TooLarge, Some(TEXT_LIMIT_BYTES)));
    }
}
