//! `/v1/admin/backup`: what is remembered of a backup. Invariant: the archive is made by the command `backup`, beside the server and from its
//! files; this route puts it into the audit trail, which has one writer.

use std::sync::Arc;

use crate::app::App;
use crate::domain::access::Operator;
use crate::domain::backup::BackupMade;
use crate::error::Result;
use crate::http::{Reply, Request, Routes};

pub(super) fn routes() -> Routes<App> {
    Routes::new().post("/v1/admin/backup", "/v1/admin/backup", record)
}

async fn record(app: Arc<App>, operator: Operator, mut request: Request) -> Result<Reply> {
    let made: BackupMade = request.json().await?;
    app.registry.record_backup(&operator, made.clone()).await?;
    Reply::created(&made)
}
