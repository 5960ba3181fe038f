//! Answers that are found out while they are sent. Invariant: items go out as they come, then a summary; an answer without its summary
//! broke off. It is one JSON document, or with `Accept: application/x-ndjson` a JSON document on each line.

use std::future::Future;

use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;

use crate::error::Result;
use crate::http::{Reply, Request, header};

const LINES: &str = "application/x-ndjson";

/// What comes next.
pub(super) enum Piece {
    /// Items, perhaps none, and how far it has come.
    Items(Vec<Value>, Value),
    /// The end.
    Summary(Value),
}

/// What finds it out. Dropping it, when the client goes away, ends the work.
pub(super) trait Source: Send + 'static {
    /// The next piece; not asked again after the summary.
    fn next(&mut self) -> impl Future<Output = Result<Piece>> + Send;
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `{"items": […], "summary": {…}, "complete": true}`.
    Document,
    /// `{"item": …}`, `{"progress": …}` and at last `{"summary": …}`, each on a line.
    Lines,
}

/// The form that a client asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted(Form);

impl Wanted {
    /// Reads what the client accepts.
    pub(super) fn by(request: &Request) -> Wanted {
        let wants_lines = request.header_text(header::ACCEPT).is_some_and(|accepted| accepted.contains(LINES));
        Wanted(if wants_lines { Form::Lines } else { Form::Document })
    }
}

struct Writing<S> {
    source: S,
    form: Form,
    /// A piece that was found before the answer began.
    first: Option<Piece>,
    has_items: bool,
    has_ended: bool,
}

/// The answer. What fails before its first piece is still a refusal.
///
/// # Errors
/// What the source fails with before its first piece.
pub(super) async fn reply(wanted: Wanted, mut source: impl Source) -> Result<Reply> {
    let first = source.next().await?;
    let Wanted(form) = wanted;
    let media_type = if form == Form::Lines { LINES } else { "application/json" };
    let writing = Writing { source, form, first: Some(first), has_items: false, has_ended: false };
    let begin = if form == Form::Document { "{\"items\":[" } else { "" };
    let pieces = stream::try_unfold((writing, Some(begin)), |(mut writing, begin)| async move {
        if let Some(begin) = begin.filter(|begin| !begin.is_empty()) {
            return Ok(Some((Bytes::from_static(begin.as_bytes()), (writing, None))));
        }
        if writing.has_ended {
            return Ok(None);
        }
        let piece = match writing.first.take() {
            Some(piece) => piece,
            None => writing.source.next().await?,
        };
        let text = writing.text(piece);
        Ok(Some((Bytes::from(text), (writing, None))))
    });
    Ok(Reply::stream_of_unknown_length(media_type, pieces))
}

impl<S> Writing<S> {
    fn text(&mut self, piece: Piece) -> String {
        match (piece, self.form) {
            (Piece::Items(items, progress), Form::Lines) => {
                let lines = items.into_iter().map(|item| format!("{}\n", serde_json::json!({"item": item})));
                lines.chain([format!("{}\n", serde_json::json!({"progress": progress}))]).collect()
            }
            (Piece::Items(items, _), Form::Document) => {
                // A line break also where there is no item: a client that has gone is noticed.
                let mut text = "\n".to_owned();
                for item in items {
                    text.push_str(if self.has_items { "," } else { "" });
                    self.has_items = true;
                    text.push_str(&item.to_string());
                    text.push('\n');
                }
                text
            }
            (Piece::Summary(summary), form) => {
                self.has_ended = true;
                match form {
                    Form::Lines => format!("{}\n", serde_json::json!({"summary": summary})),
                    Form::Document => format!("],\"summary\":{summary},\"complete\":true}}"),
                }
            }
        }
    }
}
