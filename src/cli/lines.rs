//! Answers that a server finds out while it sends them, line by line. Invariant: one line at a time is in memory, its length is bounded,
//! and an answer that ends without its summary is a failure.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::Client;
use super::failure::Failure;
use super::session::Session;

/// The longest line: one item with all its reasons is far below it.
const LINE_LIMIT_BYTES: usize = 8 << 20;
/// How long a server may be silent: it tells how far it is at least every few hundred versions.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the whole may take.
pub(super) const WHOLE_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
const LINES: &str = "application/x-ndjson";

/// One line.
#[derive(Debug)]
pub(super) enum Line {
    /// An item, as it came.
    Item(Box<RawValue>),
    /// A sign of life.
    Progress,
    /// The end.
    Summary(Value),
}

/// An answer that is being read.
#[derive(Debug)]
pub(super) struct Lines {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

#[derive(serde::Deserialize)]
struct Written {
    item: Option<Box<RawValue>>,
    progress: Option<serde::de::IgnoredAny>,
    summary: Option<Value>,
}

impl Lines {
    /// Asks for such an answer.
    ///
    /// # Errors
    /// When nobody answers, or with a refusal.
    pub(super) async fn ask(client: &Client, path: &[&str], body: &Value) -> Result<Lines, Failure> {
        let request = client.request(Method::POST, path, &[]).header(ACCEPT, LINES).json(body).timeout(WHOLE_TIMEOUT);
        let response = client.begin(request).await?;
        Ok(Lines { response, buffer: Vec::new() })
    }

    /// The next line.
    ///
    /// # Errors
    /// When the answer breaks off before its summary.
    pub(super) async fn next(&mut self) -> Result<Line, Failure> {
        let broken = || Failure::Failed("the answer broke off before its end; the server's log may say why; try again".to_owned());
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let written: Written = serde_json::from_slice(&line).map_err(|_| broken())?;
                match written {
                    Written { item: Some(item), .. } => return Ok(Line::Item(item)),
                    Written { progress: Some(_), .. } => return Ok(Line::Progress),
                    Written { summary: Some(summary), .. } => return Ok(Line::Summary(summary)),
                    // A line of a newer server that this program does not understand.
                    Written { .. } => continue,
                }
            }
            if self.buffer.len() > LINE_LIMIT_BYTES {
                return Err(Failure::Failed(format!("the answer has a line of more than {LINE_LIMIT_BYTES} bytes")));
            }
            let piece = tokio::time::timeout(SILENCE, self.response.chunk()).await;
            match piece {
                Ok(Ok(Some(piece))) => self.buffer.extend_from_slice(&piece),
                Ok(Ok(None) | Err(_)) | Err(_) => return Err(broken()),
            }
        }
    }
}

/// Prints such an answer as one JSON document while it comes, and gives its summary.
///
/// # Errors
/// When it breaks off, or nobody reads any more.
pub(super) async fn print_document(session: &Session, lines: &mut Lines) -> Result<Value, Failure> {
    session.screen.print("{\"items\":[")?;
    let mut comma = "";
    loop {
        match lines.next().await? {
            Line::Item(item) => {
                session.screen.print_json(&format!("{comma}{}", item.get()))?;
                comma = ",";
            }
            Line::Progress => {}
            Line::Summary(summary) => {
                session.screen.print_json(&format!("],\"summary\":{summary},\"complete\":true}}"))?;
                return Ok(summary);
            }
        }
    }
}
