//! What is remembered of a backup. Invariant: a row of the audit trail, and nothing else.

use super::Registry;
use crate::domain::access::Operator;
use crate::domain::backup::BackupMade;
use crate::domain::event::Event;
use crate::error::Result;
use crate::store::Done;

impl Registry {
    /// Remembers an archive that was made and is complete.
    ///
    /// # Errors
    /// As for [`crate::store::Store::write`].
    pub async fn record_backup(&self, operator: &Operator, made: BackupMade) -> Result<()> {
        self.store.write(operator, move |_| Ok(Done::new((), Event::BackupCreated(made)))).await
    }
}
