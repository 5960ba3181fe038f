//! The upload form (`multipart/form-data`, RFC 7578). Invariant: the file goes to the staging area as it arrives; what else is kept in
//! memory is known, counted and bounded; a refused form leaves no staged bytes behind.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream;
use multer::{Field, Multipart};

use super::metadata::{Core, DESCRIPTION, DESCRIPTION_LIMIT_BYTES};
use super::pace::{Paced, Progress};
use crate::app::App;
use crate::domain::access::{Permit, Write};
use crate::error::{Error, Result};
use crate::http::{Request, header};
use crate::registry::Received;

/// Parts that a form may have.
const PARTS_LIMIT: usize = 5_000;
/// What a form has beside its file, in bytes, as far as that is told from the file by its length alone.
const FIELDS_BYTES: u64 = 2 << 20;
/// Bytes of one field.
const FIELD_LIMIT_BYTES: usize = 128 * 1024;
/// Bytes of a signature.
const SIGNATURE_LIMIT_BYTES: usize = 64 * 1024;
/// Bytes of all attestations.
const ATTESTATIONS_LIMIT_BYTES: usize = 512 * 1024;
/// Fields about the upload itself.
const SAID: [&str; 6] = [":action", "protocol_version", "filetype", "pyversion", "md5_digest", "sha256_digest"];

/// An upload form, read whole.
pub(super) struct Form {
    /// What it says of the distribution.
    pub(super) core: Core,
    /// What it says of the upload.
    pub(super) said: BTreeMap<&'static str, String>,
    /// The file's name and its bytes.
    pub(super) content: Option<(String, Received)>,
    /// A detached signature of the file.
    pub(super) signature: Option<Bytes>,
    /// A JSON list of attestations of the file (PEP 740).
    pub(super) attestations: Option<Bytes>,
}

impl Form {
    /// Reads the form of a request whose body has its limit set.
    ///
    /// # Errors
    /// `bad_request` for what is no such form; `too_large`; what the body or the staging area fails with.
    pub(super) async fn read(app: &App, permit: &Permit<Write>, request: Request) -> Result<Form> {
        let media_type = request.header_text(header::CONTENT_TYPE).unwrap_or_default();
        let boundary = multer::parse_boundary(media_type).map_err(|cause| {
            Error::bad_request("an upload is a form of the type multipart/form-data, as twine and uv send it").because(cause)
        })?;
        app.registry.room(permit).await?.check(request.body.announced_bytes().unwrap_or(0).saturating_sub(FIELDS_BYTES))?;
        let progress = Progress::default();
        let mut parts = Multipart::new(Paced::new(request.body, &progress), boundary);
        let mut form = Form { core: Core::default(), said: BTreeMap::new(), content: None, signature: None, attestations: None };
        match form.fill((app, permit), &mut parts, &progress).await {
            Ok(()) => Ok(form),
            Err(error) => {
                form.discard().await?;
                Err(error)
            }
        }
    }

    /// Throws the staged bytes away.
    pub(super) async fn discard(self) -> Result<()> {
        match self.content {
            Some((_, received)) => received.discard().await,
            None => Ok(()),
        }
    }

    async fn fill(&mut self, into: (&App, &Permit<Write>), parts: &mut Multipart<'static>, progress: &Progress) -> Result<()> {
        for _ in 0..PARTS_LIMIT {
            let Some(part) = parts.next_field().await.map_err(broken)? else { return Ok(()) };
            progress.made();
            self.take(into, part, progress).await?;
        }
        Err(Error::too_large("the number of parts of the form", PARTS_LIMIT as u64))
    }

    async fn take(&mut self, into: (&App, &Permit<Write>), mut part: Field<'static>, progress: &Progress) -> Result<()> {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "content" {
            return self.take_content(into, part, progress).await;
        }
        if name == "gpg_signature" {
            self.signature = Some(kept(&mut part, progress, SIGNATURE_LIMIT_BYTES).await?.into());
            return Ok(());
        }
        if name == "attestations" {
            self.attestations = Some(kept(&mut part, progress, ATTESTATIONS_LIMIT_BYTES).await?.into());
            return Ok(());
        }
        let known = SAID.iter().find(|known| **known == name);
        if known.is_none() && !Core::knows(&name) {
            while part.chunk().await.map_err(broken)?.is_some() {
                progress.made();
            }
            return Ok(());
        }
        let mut bytes =
            if name == DESCRIPTION { beginning(&mut part, progress).await? } else { kept(&mut part, progress, FIELD_LIMIT_BYTES).await? };
        if name == DESCRIPTION {
            // A character may have been cut in the middle.
            let whole = std::str::from_utf8(&bytes)
                .map_or_else(|fault| if fault.error_len().is_none() { fault.valid_up_to() } else { bytes.len() }, str::len);
            bytes.truncate(whole);
        }
        let text = String::from_utf8(bytes).map_err(|_| Error::bad_request(format!("the field {name} is not UTF-8")))?;
        match known {
            Some(known) => match self.said.insert(known, text.trim().to_owned()) {
                Some(before) if before != text.trim() => {
                    Err(Error::bad_request(format!("the field {name} is given twice, with different values")))
                }
                Some(_) | None => Ok(()),
            },
            None => self.core.add(&name, &text),
        }
    }

    async fn take_content(&mut self, (app, permit): (&App, &Permit<Write>), part: Field<'static>, progress: &Progress) -> Result<()> {
        let file_name = part.file_name().unwrap_or_default().to_owned();
        if file_name.is_empty() {
            return Err(Error::bad_request("the part content of the form has no file name"));
        }
        if self.content.is_some() {
            return Err(Error::bad_request("the form has two files; upload each with a form of its own"));
        }
        let progress = progress.clone();
        let pieces = stream::try_unfold(part, move |mut part| {
            let progress = progress.clone();
            async move {
                let piece = part.chunk().await.map_err(broken)?;
                progress.made();
                Ok(piece.map(|piece| (piece, part)))
            }
        });
        let received = app.registry.receive(permit, pieces).await?;
        self.content = Some((file_name, received));
        Ok(())
    }
}

/// A part's bytes, at most `limit`.
async fn kept(part: &mut Field<'static>, progress: &Progress, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = part.chunk().await.map_err(broken)? {
        progress.made();
        if bytes.len() + piece.len() > limit {
            let name = part.name().unwrap_or_default().to_owned();
            return Err(Error::too_large(format!("the field {name}"), limit as u64));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The beginning of a part; the rest is read and thrown away.
async fn beginning(part: &mut Field<'static>, progress: &Progress) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = part.chunk().await.map_err(broken)? {
        progress.made();
        let room = DESCRIPTION_LIMIT_BYTES - bytes.len();
        bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(bytes)
}

/// The body's own refusal where there is one, else that the form is broken.
fn broken(cause: multer::Error) -> Error {
    let said = cause.to_string();
    if let multer::Error::StreamReadFailed(inner) = cause
        && let Ok(error) = inner.downcast::<Error>()
    {
        return *error;
    }
    Error::bad_request("this is no whole form of the type multipart/form-data; send it again").because(said)
}
