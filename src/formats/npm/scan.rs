//! The body of a publish, read as it arrives. Invariant: of a document of any size only what stands outside the string at
//! `_attachments.NAME.data` of a tarball is kept, within a limit; that string is decoded piece by piece and is empty in what is kept.
//! Whether the document is JSON at all is for the parser to say that reads it afterwards: here only strings and brackets are told apart,
//! in the way that every JSON text has them.

use super::base64::Decoder;
use crate::error::{Error, Result};

/// Bytes that a document may have beside its tarball.
pub(super) const DOCUMENT_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// Brackets that may be open at once.
const DEPTH_LIMIT: usize = 128;
/// Bytes of a member's name that is compared; longer ones are none of those looked for.
const KEY_LIMIT_BYTES: usize = 2048;
/// The names that lead to a tarball: this one, the file's, and the last.
const ATTACHMENTS: &str = "_attachments";
const DATA: &str = "data";
/// How deep the members of an attachment lie.
const DATA_DEPTH: usize = 3;

/// A document being read.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    kept: Vec<u8>,
    /// The open brackets, whether each is an object's.
    open: Vec<bool>,
    /// Whether the next string of the innermost object is a member's name.
    expects_key: bool,
    /// How many of the enclosing members, from the outside, are those that lead to a tarball.
    matched: usize,
    /// The name of the attachment that this is in.
    attachment: String,
    at: At,
    /// The name of the attachment that was decoded.
    tarball: Option<String>,
}

/// Where in the text the next character stands.
#[derive(Debug, Default)]
enum At {
    /// Between strings.
    #[default]
    Outside,
    /// In a string that is kept; `key` has it, with its escapes, when it is a name that matters.
    Kept { is_escaped: bool, key: Option<Vec<u8>> },
    /// In the tarball; `escape` has the characters since a backslash.
    Tarball { decoder: Decoder, escape: Option<Vec<u8>> },
}

impl Scanner {
    /// Reads the next piece of the document; the tarball's bytes in it are appended to `into`.
    ///
    /// # Errors
    /// `too_large` beyond [`DOCUMENT_LIMIT_BYTES`]; `bad_request` for a tarball that is no base64, for a second one, and for brackets
    /// that nobody writes.
    pub(super) fn feed(&mut self, piece: &[u8], into: &mut Vec<u8>) -> Result<()> {
        let mut rest = piece;
        while !rest.is_empty() {
            let used = match &mut self.at {
                At::Outside => self.outside(rest)?,
                At::Kept { .. } => self.kept_string(rest)?,
                At::Tarball { .. } => self.tarball(rest, into)?,
            };
            rest = &rest[used..];
        }
        Ok(())
    }

    /// The document without the tarball, and the name under which that was attached.
    pub(super) fn finish(self) -> (Vec<u8>, Option<String>) {
        (self.kept, self.tarball)
    }

    /// Reads up to and with the next quote; answers how much that was.
    fn outside(&mut self, text: &[u8]) -> Result<usize> {
        for (index, byte) in text.iter().enumerate() {
            match byte {
                b'{' | b'[' => {
                    if self.open.len() >= DEPTH_LIMIT {
                        return Err(Error::bad_request(format!("the document is nested more than {DEPTH_LIMIT} levels deep")));
                    }
                    self.open.push(*byte == b'{');
                    self.expects_key = *byte == b'{';
                }
                b'}' | b']' => {
                    self.open.pop();
                    self.matched = self.matched.min(self.open.len());
                    self.expects_key = false;
                }
                b',' => self.expects_key = self.open.last() == Some(&true),
                b':' => self.expects_key = false,
                b'"' => {
                    self.keep(&text[..=index])?;
                    self.begin_string()?;
                    return Ok(index + 1);
                }
                _ => {}
            }
        }
        self.keep(text)?;
        Ok(text.len())
    }

    fn begin_string(&mut self) -> Result<()> {
        let depth = self.open.len();
        let is_data = !self.expects_key && depth == DATA_DEPTH && self.matched == DATA_DEPTH;
        if !is_data {
            let matters = self.expects_key && depth <= DATA_DEPTH && self.matched + 1 >= depth;
            self.at = At::Kept { is_escaped: false, key: matters.then(Vec::new) };
            return Ok(());
        }
        if let Some(before) = self.tarball.replace(self.attachment.clone()) {
            return Err(Error::bad_request(format!(
                "the document has two tarballs, {before} and {}; publish one at a time",
                self.attachment
            )));
        }
        self.at = At::Tarball { decoder: Decoder::default(), escape: None };
        Ok(())
    }

    fn kept_string(&mut self, text: &[u8]) -> Result<usize> {
        let At::Kept { is_escaped, key } = &mut self.at else { return Ok(0) };
        let mut end = None;
        for (index, byte) in text.iter().enumerate() {
            match byte {
                _ if *is_escaped => *is_escaped = false,
                b'\\' => *is_escaped = true,
                b'"' => {
                    end = Some(index);
                    break;
                }
                _ => {}
            }
        }
        let used = end.map_or(text.len(), |index| index + 1);
        if let Some(name) = key {
            let room = KEY_LIMIT_BYTES.saturating_sub(name.len());
            name.extend_from_slice(&text[..end.unwrap_or(used).min(room)]);
        }
        if end.is_some() {
            let key = key.take();
            self.at = At::Outside;
            if let Some(name) = key {
                self.match_key(&name);
            }
        }
        self.keep(&text[..used])?;
        Ok(used)
    }

    /// A member's name at a depth where all enclosing ones lead to a tarball.
    fn match_key(&mut self, escaped: &[u8]) {
        let depth = self.open.len();
        let quoted = [b"\"", escaped, b"\""].concat();
        let name: Option<String> = serde_json::from_slice(&quoted).ok();
        let leads = match (depth, name) {
            (1, Some(name)) => name == ATTACHMENTS,
            (2, Some(name)) => {
                self.attachment = name;
                // Beside tarballs, bundles of signatures are attached, as text.
                self.attachment.ends_with(".tgz")
            }
            (_, Some(name)) => name == DATA,
            (_, None) => false,
        };
        self.matched = if leads { depth } else { depth.saturating_sub(1) };
    }

    fn tarball(&mut self, text: &[u8], into: &mut Vec<u8>) -> Result<usize> {
        let At::Tarball { decoder, escape } = &mut self.at else { return Ok(0) };
        if let Some(begun) = escape {
            begun.push(text[0]);
            if let Some(character) = unescaped(begun)? {
                *escape = None;
                decoder.feed(&[character], into)?;
            }
            return Ok(1);
        }
        let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        decoder.feed(&text[..end.unwrap_or(text.len())], into)?;
        let Some(end) = end else { return Ok(text.len()) };
        if text[end] == b'\\' {
            *escape = Some(Vec::new());
        } else if let At::Tarball { decoder, .. } = std::mem::take(&mut self.at) {
            decoder.finish()?;
            self.keep(b"\"")?;
        }
        Ok(end + 1)
    }

    fn keep(&mut self, text: &[u8]) -> Result<()> {
        if self.kept.len() + text.len() > DOCUMENT_LIMIT_BYTES {
            return Err(Error::too_large("what the document has beside the tarball, in bytes,", DOCUMENT_LIMIT_BYTES as u64));
        }
        self.kept.extend_from_slice(text);
        Ok(())
    }
}

/// The character that the text behind a backslash stands for; `None` while more belongs to it.
fn unescaped(text: &[u8]) -> Result<Option<u8>> {
    let refused = || Error::bad_request("the tarball in `_attachments` has characters that base64 has not; publish it again");
    match text {
        [b'/'] => Ok(Some(b'/')),
        [b'u'] | [b'u', _] | [b'u', _, _] | [b'u', _, _, _] => Ok(None),
        [b'u', digits @ ..] => {
            let digits = std::str::from_utf8(digits).map_err(|_| refused())?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex);
            code.and_then(|code| u8::try_from(code).ok()).filter(u8::is_ascii).map(Some).ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
