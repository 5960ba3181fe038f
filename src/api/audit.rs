//! The audit trail over HTTP. Invariant: it is only read here; an export is sent while it is read, in pieces, so that its
//! length costs no memory.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{PageBody, moment, page_limit};
use crate::app::App;
use crate::domain::access::Operator;
use crate::domain::digest::hex;
use crate::domain::id::{AuditId, RequestId, TokenId};
use crate::domain::time::Time;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes};
use crate::registry::{AuditFilter, AuditRow};

/// Rows of an export that are read at once.
const EXPORT_PIECE: usize = 500;

pub(super) fn routes() -> Routes<App> {
    Routes::new().get("/v1/audit", "/v1/audit", list).get("/v1/audit/export", "/v1/audit/export", export)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    action: Option<String>,
    actor: Option<String>,
    resource: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RowBody {
    seq: u64,
    audit_id: AuditId,
    time: Time,
    actor: String,
    token_id: Option<TokenId>,
    action: String,
    resource_type: String,
    resource_id: String,
    request_id: Option<RequestId>,
    details: Box<RawValue>,
    hash: String,
}

impl RowBody {
    fn new(row: AuditRow) -> Result<RowBody> {
        let AuditRow { seq, id, time, actor, token_id, action, resource_type, resource_id, request_id, details, hash } = row;
        let details = RawValue::from_string(details).map_err(|cause| Error::internal(format!("reading audit row {seq}"), cause))?;
        Ok(RowBody { seq, audit_id: id, time, actor, token_id, action, resource_type, resource_id, request_id, details, hash: hex(&hash) })
    }
}

async fn list(app: Arc<App>, operator: Operator, request: Request) -> Result<Reply> {
    let ListQuery { action, actor, resource, since, until, limit, cursor } = request.query()?;
    let limit = page_limit(limit)?;
    let filter = AuditFilter { action, actor, resource, since: moment("since", since)?, until: moment("until", until)? };
    let page = app.run(move |app| app.registry.audit(&operator, &filter, limit, cursor.as_deref())).await?;
    let items = page.items.into_iter().map(RowBody::new).collect::<Result<Vec<_>>>()?;
    Reply::ok(&PageBody { items, next_cursor: page.next_cursor })
}

async fn export(app: Arc<App>, operator: Operator, _request: Request) -> Result<Reply> {
    Ok(Reply::stream_of_unknown_length("application/x-ndjson", pieces(app, operator)))
}

/// The whole trail, oldest first, one row a line; it ends with the rows that are there when it gets to the end.
fn pieces(app: Arc<App>, operator: Operator) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    stream::try_unfold(Some(0), move |after: Option<u64>| {
        let (app, operator) = (Arc::clone(&app), operator.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            let rows = app.run(move |app| app.registry.audit_after(&operator, after, EXPORT_PIECE)).await?;
            let next = rows.last().map(|row| row.seq).filter(|_| rows.len() == EXPORT_PIECE);
            if rows.is_empty() {
                return Ok(None);
            }
            Ok(Some((lines(rows)?, next)))
        }
    })
}

fn lines(rows: Vec<AuditRow>) -> Result<Bytes> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, &RowBody::new(row)?).map_err(|cause| Error::internal("writing an audit row", cause))?;
        text.push(b'\n');
    }
    Ok(text.into())
}
