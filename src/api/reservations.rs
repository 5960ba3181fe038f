//! Reserved names of a repo over HTTP. Invariant: only its administrators see and change them; a refusal names them to whoever was refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::{PageBody, PageQuery};
use crate::app::App;
use crate::domain::access::{Admin, Permit};
use crate::domain::id::ReservationId;
use crate::domain::name::{RepoKey, Subject};
use crate::domain::reservation::{NamePattern, Reservation};
use crate::domain::time::Time;
use crate::domain::words::check_words;
use crate::error::{Error, Result};
use crate::http::{Reply, Request, Routes, header};
use crate::registry::NewReservation;

/// Publishers that one reservation may name.
const PUBLISHERS_LIMIT: usize = 100;

/// The routes of this file.
pub(super) fn routes() -> Routes<App> {
    let example = "/v1/repos/main/reservations/0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55";
    Routes::new()
        .get("/v1/repos/{repoKey}/reservations", "/v1/repos/main/reservations", list)
        .post("/v1/repos/{repoKey}/reservations", "/v1/repos/main/reservations", create)
        .get("/v1/repos/{repoKey}/reservations/{reservationId}", example, show)
        .delete("/v1/repos/{repoKey}/reservations/{reservationId}", example, delete)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReservationBody {
    reservation_id: ReservationId,
    repo_key: RepoKey,
    pattern: NamePattern,
    publishers: BTreeSet<Subject>,
    reason: String,
    created_at: Time,
    created_by_subject: Subject,
}

impl From<Reservation> for ReservationBody {
    fn from(reservation: Reservation) -> ReservationBody {
        ReservationBody {
            reservation_id: reservation.id,
            repo_key: reservation.repo,
            pattern: reservation.pattern,
            publishers: reservation.publishers,
            reason: reservation.reason,
            created_at: reservation.created_at,
            created_by_subject: reservation.created_by,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    pattern: NamePattern,
    #[serde(default)]
    publishers: BTreeSet<Subject>,
    reason: String,
}

async fn list(app: Arc<App>, permit: Permit<Admin>, request: Request) -> Result<Reply> {
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let page = app.run(move |app| app.registry.reservations(&permit, limit, query.cursor.as_deref())).await?;
    Reply::ok(&PageBody::of(page, ReservationBody::from))
}

async fn create(app: Arc<App>, permit: Permit<Admin>, mut request: Request) -> Result<Reply> {
    let asked: CreateRequest = request.json().await?;
    check_words("reason", &asked.reason)?;
    if asked.publishers.len() > PUBLISHERS_LIMIT {
        return Err(Error::bad_request(format!("publishers may name {PUBLISHERS_LIMIT} subjects at most")));
    }
    let new = NewReservation { pattern: asked.pattern, publishers: asked.publishers, reason: asked.reason };
    let made = app.registry.reserve(&permit, new).await?;
    let location = format!("/v1/repos/{}/reservations/{}", made.repo, made.id);
    Reply::created(&ReservationBody::from(made))?.with_text(header::LOCATION, &location)
}

async fn show(app: Arc<App>, permit: Permit<Admin>, request: Request) -> Result<Reply> {
    let id: ReservationId = request.param_as("reservationId")?;
    let found = app.run(move |app| app.registry.reservation(&permit, &id)).await?;
    Reply::ok(&ReservationBody::from(found))
}

async fn delete(app: Arc<App>, permit: Permit<Admin>, request: Request) -> Result<Reply> {
    app.registry.delete_reservation(&permit, request.param_as("reservationId")?).await?;
    Ok(Reply::no_content())
}
