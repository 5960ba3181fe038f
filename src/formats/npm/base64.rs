//! Base64 (RFC 4648, section 4) decoded piece by piece. Invariant: however a text is cut, the bytes and the refusals are those of the whole
//! text at once: standard alphabet, padded, nothing behind the padding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Result};

/// Characters that stand for three bytes.
const GROUP: usize = 4;

/// A text being decoded.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The characters of a group that is not whole yet.
    pending: Vec<u8>,
    /// Whether padding was read, behind which nothing may come.
    is_padded: bool,
}

impl Decoder {
    /// Decodes the next characters and appends their bytes to `into`.
    ///
    /// # Errors
    /// `bad_request` when this is no base64.
    pub(super) fn feed(&mut self, text: &[u8], into: &mut Vec<u8>) -> Result<()> {
        let mut rest = text;
        if !self.pending.is_empty() {
            let (missing, behind) = rest.split_at(rest.len().min(GROUP - self.pending.len()));
            self.pending.extend_from_slice(missing);
            rest = behind;
            if self.pending.len() == GROUP {
                let group = std::mem::take(&mut self.pending);
                self.decode(&group, into)?;
            }
        }
        let (groups, begun) = rest.split_at(rest.len() - rest.len() % GROUP);
        self.decode(groups, into)?;
        self.pending.extend_from_slice(begun);
        Ok(())
    }

    /// Ends the text.
    ///
    /// # Errors
    /// `bad_request` when it ends within a group.
    pub(super) fn finish(self) -> Result<()> {
        if self.pending.is_empty() { Ok(()) } else { Err(broken("it ends too early")) }
    }

    fn decode(&mut self, groups: &[u8], into: &mut Vec<u8>) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        if self.is_padded {
            return Err(broken("something follows its padding"));
        }
        self.is_padded = groups.last() == Some(&b'=');
        STANDARD.decode_vec(groups, into).map_err(|cause| broken("it has characters that base64 has not").because(cause))
    }
}

fn broken(why: &str) -> Error {
    Error::bad_request(format!("the tarball in `_attachments` is no base64 (RFC 4648, section 4): {why}; publish it again"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(pieces: &[&[u8]]) -> Result<Vec<u8>> {
        let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
        for piece in pieces {
            decoder.feed(piece, &mut bytes)?;
        }
        decoder.finish()?;
        Ok(bytes)
    }

    proptest! {
        #[test]
        fn a_text_in_pieces_is_the_text_at_once(text in "[A-Za-z0-9+/=\n-]{0,24}|([A-Za-z0-9+/]{4}){0,8}([A-Za-z0-9+/]{2}==)?", cut in 0_usize..24, other in 0_usize..24) {
            let (first, second) = (cut.min(other).min(text.len()), cut.max(other).min(text.len()));
            let bytes = text.as_bytes();
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            prop_assert_eq!(decoded(&pieces).ok(), STANDARD.decode(bytes).ok());
        }
    }
}
