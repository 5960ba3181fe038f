//! A body taken in while it arrives: the tarball goes to the staging area, the rest of the document into memory. Invariant: memory is one
//! piece of the body and the document's limit, however large the tarball is; its digests are those of the bytes that were staged.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sha1::Sha1;
use sha2::{Digest as _, Sha512};

use super::document::Dist;
use super::scan::{DOCUMENT_LIMIT_BYTES, Scanner};
use crate::app::App;
use crate::domain::access::{Permit, Write};
use crate::domain::digest::hex;
use crate::error::{Error, Result};
use crate::http::{Body, Request};
use crate::registry::Received;
use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;

/// A body, read whole.
pub(super) struct Intake {
    /// The document without its tarball.
    pub(super) document: Vec<u8>,
    /// The tarball, if there was one.
    pub(super) tarball: Option<Attached>,
}

/// A tarball as it was attached.
pub(super) struct Attached {
    /// The name under which it was attached.
    pub(super) name: String,
    /// Its bytes.
    pub(super) received: Received,
    /// Its digests.
    pub(super) dist: Dist,
}

/// The body on its way.
struct Source {
    body: Body,
    scanner: Scanner,
    sha512: Sha512,
    sha1: Sha1,
}

impl Intake {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// `too_large`; `bad_request` for a tarball that is no base64; what the body or the staging area fails with.
    pub(super) async fn read(app: &App, permit: &Permit<Write>, request: Request) -> Result<Intake> {
        let mut body = request.body;
        let tarball_bytes = app.config.http.upload_limit_bytes;
        // Four characters stand for three bytes; the staging area counts the bytes themselves.
        body.set_limit(tarball_bytes.div_ceil(3).saturating_mul(4).saturating_add(2 * DOCUMENT_LIMIT_BYTES as u64))?;
        // What is not the document is the tarball, at the least.
        let tarball_characters = body.announced_bytes().unwrap_or(0).saturating_sub(DOCUMENT_LIMIT_BYTES as u64);
        app.registry.room(permit).await?.check(tarball_characters / 4 * 3)?;
        let mut source = Source { body, scanner: Scanner::default(), sha512: Sha512::new(), sha1: Sha1::new() };
        let Some(first) = source.next().await? else {
            let (document, empty) = source.scanner.finish();
            return match empty {
                Some(name) => Err(Error::bad_request(format!("the tarball {name} is empty; pack it again"))),
                None => Ok(Intake { document, tarball: None }),
            };
        };
        let rest = stream::try_unfold(&mut source, |source| async move { Ok(source.next().await?.map(|piece| (piece, source))) });
        let received = app.registry.receive(permit, stream::iter([Ok(first)]).chain(rest)).await?;
        let dist = Dist {
            integrity: format!("sha512-{}", STANDARD.encode(source.sha512.finalize())),
            shasum: hex(&source.sha1.finalize()),
            file_count: None,
            unpacked_size: None,
        };
        let (document, name) = source.scanner.finish();
        Ok(Intake { document, tarball: Some(Attached { name: name.unwrap_or_default(), received, dist }) })
    }
}

impl Source {
    /// The next bytes of the tarball; `None` at the end of the body.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(piece) = self.body.next_chunk().await? {
            let mut bytes = Vec::new();
            self.scanner.feed(&piece, &mut bytes)?;
            if !bytes.is_empty() {
                self.sha512.update(&bytes);
                self.sha1.update(&bytes);
                return Ok(Some(bytes.into()));
            }
        }
        Ok(None)
    }
}
