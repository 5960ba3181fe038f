//! What the advisories in force say of what somebody has installed. Invariant: bounded by how much is asked about and by how much is told.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{Store, advisories};
use crate::advisories::{Concern, Details, Ecosystem, concerns};
use crate::domain::name::PackageName;
use crate::error::{Error, Result};

/// Advisories that one answer tells of.
const CONCERNS_LIMIT: usize = 10_000;

/// What concerns some packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concerns {
    /// The packages that something concerns, with it.
    pub packages: Vec<(PackageName, Vec<Concern>)>,
    /// The types of packages asked about of which no advisory is known here: nothing was found, since nobody could look.
    pub unknown_types: BTreeSet<String>,
}

impl Store {
    /// What the advisories in force say of versions of packages, which need not be here. Blocks.
    ///
    /// # Errors
    /// `too_large` when there is more than one answer can tell of; internal when SQLite fails.
    pub fn concerns(&self, installed: &[(PackageName, Vec<String>)]) -> Result<Concerns> {
        let connection = self.connection()?;
        let known = advisories::snapshot(&connection)?.map(|snapshot| snapshot.ecosystems).unwrap_or_default();
        let (mut told, mut count) = (Concerns::default(), 0);
        for (package, versions) in installed {
            let ecosystem = Ecosystem::of(package.package_type()).filter(|ecosystem| known.contains_key(ecosystem.as_str()));
            let Some(ecosystem) = ecosystem else {
                told.unknown_types.insert(package.package_type().to_string());
                continue;
            };
            let mut found = concerns(package, versions, &advisories::claims(&connection, ecosystem, package)?);
            count += found.len();
            if count > CONCERNS_LIMIT {
                return Err(Error::too_large("the number of advisories on what was asked about", CONCERNS_LIMIT as u64));
            }
            for concern in &mut found {
                concern.details = details(&connection, &concern.id)?;
            }
            if !found.is_empty() {
                told.packages.push((package.clone(), found));
            }
        }
        Ok(told)
    }
}

fn details(connection: &Connection, id: &str) -> Result<Details> {
    let record: Option<String> = connection
        .prepare_cached("SELECT record FROM advisories JOIN advisory_records USING (record_id, osv_id) WHERE osv_id = :id")?
        .query_row(named_params! {":id": id}, |row| row.get("record"))
        .optional()?;
    Ok(record.map(|record| Details::read(&record)).unwrap_or_default())
}
