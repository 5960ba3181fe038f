//! Reserved names. Invariant: whoever may not bring a name is refused before anything else is looked at, on every way in; the refusal is
//! remembered. The gate asks again, so a name that was reserved in between stays out too.

use std::sync::Arc;

use serde_json::Value;

use super::Registry;
use crate::domain::access::{Admin, Permit, Write};
use crate::domain::candidate::Action;
use crate::domain::event::Event;
use crate::domain::exception::ExceptionEvent;
use crate::domain::id::{ReservationId, VersionId};
use crate::domain::name::PackageName;
use crate::domain::reservation::Reservation;
use crate::error::{Code, Error, Result};
use crate::hop;
use crate::store::{Done, NewReservation, Page};

impl Registry {
    /// Reserves names in a repo.
    ///
    /// # Errors
    /// `conflict` when the same pattern stands already.
    pub async fn reserve(&self, permit: &Permit<Admin>, new: NewReservation) -> Result<Reservation> {
        let administering = permit.clone();
        self.store.write(permit, move |tx| tx.add_reservation(&administering, &new)).await
    }

    /// One page of a repo's reservations, oldest first.
    ///
    /// # Errors
    /// Internal when the store fails.
    pub fn reservations(&self, permit: &Permit<Admin>, limit: usize, cursor: Option<&str>) -> Result<Page<Reservation>> {
        self.store.reservations(permit, limit, cursor)
    }

    /// One reservation.
    ///
    /// # Errors
    /// `not_found`.
    pub fn reservation(&self, permit: &Permit<Admin>, id: &ReservationId) -> Result<Reservation> {
        self.store.reservation(permit, id)
    }

    /// Gives reserved names free.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn delete_reservation(&self, permit: &Permit<Admin>, id: ReservationId) -> Result<()> {
        let administering = permit.clone();
        self.store.write(permit, move |tx| tx.delete_reservation(&administering, &id)).await
    }

    /// Refuses a caller who may not bring this package into the repo by this way.
    ///
    /// # Errors
    /// `policy_denied` with the reservation and whom to ask.
    pub async fn check_reserved(&self, permit: &Permit<Write>, package: &PackageName, action: Action) -> Result<()> {
        let (store, asked, wanted) = (Arc::clone(&self.store), permit.clone(), package.clone());
        let barred = hop::run(move || store.author(&asked)?.find_bar(&wanted, action)).await?;
        match barred {
            Some(reservation) => Err(self.reserved(permit, package, action, &reservation).await?),
            None => Ok(()),
        }
    }

    /// The same for a version of the repo; for none, nothing is refused here.
    pub(super) async fn check_reserved_version(&self, permit: &Permit<Write>, id: VersionId, action: Action) -> Result<()> {
        let (store, asked) = (Arc::clone(&self.store), permit.clone());
        let barred = hop::run(move || store.author(&asked)?.find_bar_of(&id, action)).await?;
        match barred {
            Some((package, reservation)) => Err(self.reserved(permit, &package, action, &reservation).await?),
            None => Ok(()),
        }
    }

    /// Writes a refusal down and words it.
    async fn reserved(&self, permit: &Permit<Write>, package: &PackageName, action: Action, reservation: &Reservation) -> Result<Error> {
        let reason = reservation.order();
        let event = ExceptionEvent::ReservedNameRefused {
            repo: permit.repo_key().clone(),
            package: package.clone(),
            action,
            reservation_id: reservation.id,
            reason: reason.clone(),
        };
        self.store.write(permit, move |_| Ok(Done::new((), Event::Exception(event)))).await?;
        let message = format!("{} was refused and nothing of it was kept: {}", package, reason.message);
        Ok(Error::new(Code::PolicyDenied, message)
            .with("evaluationId", Value::Null)
            .with("reservationId", reservation.id.to_string())
            .with("reasons", serde_json::to_value([reason]).unwrap_or_default()))
    }
}
