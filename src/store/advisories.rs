//! Advisories at rest. Invariant: a record counts only once it is the head of its id, and all heads of an import move in one
//! transaction; what an import wrote before that, or displaced, is seen by nobody and removed by the next one.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use sha2::{Digest as _, Sha256};

use super::outbox::PACKAGES_LIMIT;
use super::rows;
use super::write::{Bookkeeping, Done, Write};
use super::{Store, versions};
use crate::advisories::{Claim, Ecosystem, Record, package_key};
use crate::domain::advisory::AdvisoryFindings;
use crate::domain::digest::Digest;
use crate::domain::event::{Event, PackageKey};
use crate::domain::name::{Coordinates, PackageName, Subject};
use crate::domain::time::Time;
use crate::error::{Error, Result};

/// All advisories in force since one import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvisorySnapshot {
    /// The sha256 over every advisory's id and record digest, by id.
    pub digest: Digest,
    /// How many there are, withdrawn ones included.
    pub record_count: u64,
    /// How many of them the import changed.
    pub changed_count: u64,
    /// When the newest of them was changed, as it says.
    pub newest_modified: Time,
    /// How many of them speak of packages of each ecosystem.
    pub ecosystems: BTreeMap<String, u64>,
    /// When the import was done.
    pub imported_at: Time,
    /// By whom.
    pub imported_by: Subject,
}

/// One advisory in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAdvisory {
    /// Its id.
    pub id: String,
    /// The digest of its canonical form.
    pub digest: Digest,
    /// When it was last changed, as it says.
    pub modified: Time,
    /// When it was taken back, if it was.
    pub withdrawn: Option<Time>,
    /// The whole record, a JSON object.
    pub record: String,
    /// The packages it is matched with: ecosystem and key.
    pub packages: Vec<(String, String)>,
}

/// What became of some records of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StagedAdvisories {
    /// Those that are in force already.
    pub unchanged: u64,
    /// Those that a newer one stands against.
    pub older: u64,
}

/// A stored revision of an advisory, as an import meets it.
struct Revision {
    record_id: i64,
    digest: Digest,
    modified: Time,
    is_in_force: bool,
}

fn read_snapshot(row: &Row<'_>) -> rusqlite::Result<AdvisorySnapshot> {
    Ok(AdvisorySnapshot {
        digest: rows::parse(row, "digest")?,
        record_count: rows::unsigned(row, "record_count")?,
        changed_count: rows::unsigned(row, "changed_count")?,
        newest_modified: rows::time(row, "newest_modified")?,
        ecosystems: rows::json(row, "ecosystems")?,
        imported_at: rows::time(row, "imported_at")?,
        imported_by: versions::subject(row, "imported_by")?,
    })
}

pub(super) fn snapshot(connection: &Connection) -> Result<Option<AdvisorySnapshot>> {
    let found =
        connection.prepare_cached("SELECT * FROM advisory_snapshots ORDER BY seq DESC LIMIT 1")?.query_row([], read_snapshot).optional()?;
    Ok(found)
}

/// The digest of the advisories in force; `None` before any were imported.
pub(super) fn digest(connection: &Connection) -> Result<Option<Digest>> {
    let found = connection
        .prepare_cached("SELECT digest FROM advisory_snapshots ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| rows::parse(row, "digest"))
        .optional()?;
    Ok(found)
}

/// What the advisories in force say of a package.
pub(super) fn claims(connection: &Connection, ecosystem: Ecosystem, package: &PackageName) -> Result<Vec<Claim>> {
    let mut statement = connection.prepare_cached(
        "SELECT affected FROM advisory_packages JOIN advisories USING (record_id) WHERE ecosystem = :ecosystem AND name_key = :name_key",
    )?;
    let parameters = named_params! {":ecosystem": ecosystem.as_str(), ":name_key": package_key(package)};
    let found = statement.query_map(parameters, |row| rows::json(row, "affected"))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// What the advisories in force say of a version.
pub(super) fn findings(connection: &Connection, coordinates: &Coordinates) -> Result<AdvisoryFindings> {
    let snapshot = snapshot(connection)?;
    let ecosystem = Ecosystem::of(coordinates.package().package_type());
    let (Some(snapshot), Some(ecosystem)) = (&snapshot, ecosystem) else {
        return Ok(AdvisoryFindings {
            snapshot: snapshot.map(|snapshot| snapshot.digest),
            ids_complete: true,
            ..AdvisoryFindings::default()
        });
    };
    let mut found = crate::advisories::findings(coordinates, &claims(connection, ecosystem, coordinates.package())?);
    found.snapshot = Some(snapshot.digest);
    found.known = snapshot.ecosystems.contains_key(ecosystem.as_str());
    Ok(found)
}

impl Store {
    /// What the last import left in force; `None` before the first. Blocks.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn find_advisory_snapshot(&self) -> Result<Option<AdvisorySnapshot>> {
        snapshot(&*self.connection()?)
    }

    /// One advisory in force. Blocks.
    ///
    /// # Errors
    /// `not_found`; internal when SQLite fails.
    pub fn advisory(&self, id: &str) -> Result<StoredAdvisory> {
        let connection = self.connection()?;
        let found = connection
            .prepare_cached(
                "SELECT record_id, osv_id, advisory_records.digest AS digest, advisory_records.modified AS modified, withdrawn, record
                 FROM advisories JOIN advisory_records USING (record_id, osv_id) WHERE osv_id = :id",
            )?
            .query_row(named_params! {":id": id}, |row| {
                let advisory = StoredAdvisory {
                    id: row.get("osv_id")?,
                    digest: rows::parse(row, "digest")?,
                    modified: rows::time(row, "modified")?,
                    withdrawn: rows::time_optional(row, "withdrawn")?,
                    record: row.get("record")?,
                    packages: Vec::new(),
                };
                Ok((row.get::<_, i64>("record_id")?, advisory))
            })
            .optional()?;
        let Some((record_id, mut advisory)) = found else { return Err(Error::not_found(format!("advisory {id}"))) };
        let mut packages = connection
            .prepare_cached("SELECT ecosystem, name_key FROM advisory_packages WHERE record_id = :record ORDER BY ecosystem, name_key")?;
        let packages = packages.query_map(named_params! {":record": record_id}, |row| Ok((row.get("ecosystem")?, row.get("name_key")?)))?;
        advisory.packages = packages.collect::<rusqlite::Result<_>>()?;
        Ok(advisory)
    }
}

impl Bookkeeping<'_> {
    /// Writes records of an import, invisible until they are put in force. Of several revisions of one advisory the newest stays,
    /// of equally new ones the last.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn stage_advisories(&mut self, records: &[Record]) -> Result<StagedAdvisories> {
        let mut staged = StagedAdvisories::default();
        for record in records {
            let known = self.revisions(&record.id)?;
            if known.iter().any(|known| known.modified > record.modified) {
                staged.older += 1;
                continue;
            }
            // An earlier record of this import, which this one takes the place of.
            for earlier in known.iter().filter(|known| !known.is_in_force) {
                self.remove_record(earlier.record_id)?;
            }
            if known.iter().any(|known| known.is_in_force && known.digest == record.digest) {
                staged.unchanged += 1;
            } else {
                self.insert_record(record)?;
            }
        }
        Ok(staged)
    }

    fn revisions(&self, id: &str) -> Result<Vec<Revision>> {
        let mut statement = self.connection().prepare_cached(
            "SELECT record_id, digest, modified,
                    EXISTS (SELECT 1 FROM advisories WHERE advisories.record_id = advisory_records.record_id) AS is_in_force
             FROM advisory_records WHERE osv_id = :id",
        )?;
        let found = statement.query_map(named_params! {":id": id}, |row| {
            Ok(Revision {
                record_id: row.get("record_id")?,
                digest: rows::parse(row, "digest")?,
                modified: rows::time(row, "modified")?,
                is_in_force: row.get("is_in_force")?,
            })
        })?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    fn remove_record(&self, record_id: i64) -> Result<()> {
        self.connection()
            .prepare_cached("DELETE FROM advisory_records WHERE record_id = :record")?
            .execute(named_params! {":record": record_id})?;
        Ok(())
    }

    fn insert_record(&self, record: &Record) -> Result<()> {
        let connection = self.connection();
        let record_id: i64 = connection
            .prepare_cached(
                "INSERT INTO advisory_records (osv_id, digest, modified, withdrawn, record)
                 VALUES (:id, :digest, :modified, :withdrawn, :record) RETURNING record_id",
            )?
            .query_row(
                named_params! {
                    ":id": record.id, ":digest": record.digest.to_string(), ":modified": record.modified.unix_ms(),
                    ":withdrawn": record.withdrawn.map(Time::unix_ms), ":record": record.canonical,
                },
                |row| row.get(0),
            )?;
        connection
            .prepare_cached("INSERT INTO advisory_staging (displaced, osv_id, record_id) VALUES (0, :id, :record)")?
            .execute(named_params! {":id": record.id, ":record": record_id})?;
        let mut statement = connection.prepare_cached(
            "INSERT INTO advisory_packages (ecosystem, name_key, record_id, affected) VALUES (:ecosystem, :name_key, :record, :affected)",
        )?;
        for (ecosystem, name_key, claim) in &record.claims {
            let affected = serde_json::to_string(claim).map_err(|cause| Error::internal("writing a claim of an advisory", cause))?;
            statement.execute(named_params! {
                ":ecosystem": ecosystem.as_str(), ":name_key": name_key, ":record": record_id, ":affected": affected,
            })?;
        }
        Ok(())
    }

    /// Removes up to `limit` records that are not in force; how many it were.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn remove_unused_advisories(&mut self, limit: usize) -> Result<usize> {
        let removed = self
            .connection()
            .prepare_cached("DELETE FROM advisory_records WHERE record_id IN (SELECT record_id FROM advisory_staging LIMIT :limit)")?
            .execute(named_params! {":limit": rows::stored(limit as u64)})?;
        Ok(removed)
    }
}

impl Write<'_> {
    /// Puts every staged record in force, all at once; `None` when there is none and nothing changes.
    ///
    /// # Errors
    /// Internal when SQLite fails.
    pub fn put_advisories_in_force(&mut self) -> Result<Done<Option<AdvisorySnapshot>>> {
        let connection = self.connection();
        connection
            .prepare_cached(
                "INSERT INTO advisory_staging (displaced, osv_id, record_id)
                 SELECT 1, osv_id, advisories.record_id FROM advisory_staging JOIN advisories USING (osv_id) WHERE displaced = 0",
            )?
            .execute([])?;
        let changed = connection
            .prepare_cached(
                "INSERT INTO advisories (osv_id, record_id, digest, modified)
                 SELECT osv_id, record_id, digest, modified FROM advisory_staging JOIN advisory_records USING (record_id, osv_id)
                 WHERE displaced = 0
                 ON CONFLICT (osv_id) DO UPDATE SET record_id = excluded.record_id, digest = excluded.digest, modified = excluded.modified",
            )?
            .execute([])?;
        if changed == 0 {
            return Ok(Done::unchanged(None));
        }
        let packages = self.staged_packages()?;
        connection.prepare_cached("DELETE FROM advisory_staging WHERE displaced = 0")?.execute([])?;
        let before = snapshot(connection)?;
        let snapshot = self.snapshot_of_heads(changed as u64)?;
        self.insert_snapshot(&snapshot)?;
        // Of an ecosystem that comes or goes, every package is known in another way.
        let same_ecosystems = before.is_some_and(|before| before.ecosystems.keys().eq(snapshot.ecosystems.keys()));
        let event = Event::AdvisoriesImported {
            digest: snapshot.digest,
            record_count: snapshot.record_count,
            changed_count: snapshot.changed_count,
            packages: packages.filter(|_| same_ecosystems),
        };
        Ok(Done::new(Some(snapshot), event))
    }

    /// The packages that what is staged speaks of, and those that what it displaces spoke of; `None` when they are too many to name.
    fn staged_packages(&self) -> Result<Option<Vec<PackageKey>>> {
        let mut statement = self.connection().prepare_cached(
            "SELECT ecosystem, name_key FROM advisory_packages
             WHERE record_id IN (SELECT record_id FROM advisory_staging) LIMIT :limit",
        )?;
        let named = statement.query_map(named_params! {":limit": rows::stored(PACKAGES_LIMIT as u64 + 1)}, |row| {
            Ok((row.get::<_, String>("ecosystem")?, row.get::<_, String>("name_key")?))
        })?;
        let named = named.collect::<rusqlite::Result<Vec<_>>>()?;
        if named.len() > PACKAGES_LIMIT {
            return Ok(None);
        }
        let named: BTreeSet<(String, String)> = named.into_iter().collect();
        // What no package here can be called concerns none.
        let key = |(ecosystem, key): &(String, String)| {
            let package_type = Ecosystem::named(ecosystem)?.package_type().parse().ok()?;
            Some(PackageKey::split(package_type, key))
        };
        Ok(Some(named.iter().filter_map(key).collect()))
    }

    fn snapshot_of_heads(&self, changed_count: u64) -> Result<AdvisorySnapshot> {
        let connection = self.connection();
        let (mut hash, mut record_count, mut newest_modified) = (Sha256::new(), 0_u64, Time::from_unix_ms(i64::MIN));
        let mut heads = connection.prepare_cached("SELECT osv_id, digest, modified FROM advisories ORDER BY osv_id")?;
        let mut rows_of_heads = heads.query([])?;
        while let Some(row) = rows_of_heads.next()? {
            hash.update(row.get::<_, String>("osv_id")?);
            hash.update(b"\0");
            hash.update(row.get::<_, String>("digest")?);
            hash.update(b"\n");
            newest_modified = newest_modified.max(rows::time(row, "modified")?);
            record_count += 1;
        }
        let mut by_ecosystem = connection.prepare_cached(
            "SELECT ecosystem, count(DISTINCT record_id) AS records FROM advisory_packages JOIN advisories USING (record_id) GROUP BY ecosystem",
        )?;
        let by_ecosystem = by_ecosystem.query_map([], |row| Ok((row.get("ecosystem")?, rows::unsigned(row, "records")?)))?;
        Ok(AdvisorySnapshot {
            digest: Digest::from_bytes(hash.finalize().into()),
            record_count,
            changed_count,
            newest_modified,
            ecosystems: by_ecosystem.collect::<rusqlite::Result<_>>()?,
            imported_at: self.now(),
            imported_by: self.actor().subject.clone(),
        })
    }

    fn insert_snapshot(&self, snapshot: &AdvisorySnapshot) -> Result<()> {
        let ecosystems =
            serde_json::to_string(&snapshot.ecosystems).map_err(|cause| Error::internal("writing a snapshot of the advisories", cause))?;
        self.connection()
            .prepare_cached(
                "INSERT INTO advisory_snapshots (digest, record_count, changed_count, newest_modified, ecosystems, imported_at, imported_by)
                 VALUES (:digest, :record_count, :changed_count, :newest_modified, :ecosystems, :imported_at, :imported_by)",
            )?
            .execute(named_params! {
                ":digest": snapshot.digest.to_string(), ":record_count": rows::stored(snapshot.record_count),
                ":changed_count": rows::stored(snapshot.changed_count), ":newest_modified": snapshot.newest_modified.unix_ms(),
                ":ecosystems": ecosystems, ":imported_at": snapshot.imported_at.unix_ms(), ":imported_by": snapshot.imported_by.as_str(),
            })?;
        Ok(())
    }
}
