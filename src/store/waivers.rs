//! Waivers of every scope. Invariant: what one covers is written once; it counts from its approval to its end or its revocation, and those
//! for more than one content end with their repo.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::rows;
use super::write::{Done, Write};
use super::{findings, policies, versions, waiver_use};
use crate::domain::access::{Permit, Promote};
use crate::domain::candidate::{Decision, PolicyLevel};
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::exception::ExceptionEvent;
use crate::domain::id::{VersionId, WaiverId};
use crate::domain::name::{Coordinates, PackageName, RepoKey, Subject};
use crate::domain::time::Time;
use crate::domain::version_range::VersionRange;
use crate::domain::waiver::{Waiver, WaiverReach, WaiverScope, WaiverState};
use crate::error::{Code, Error, Result};

/// Waivers that people have made in one repo and that have not ended, at most.
const WAIVERS_LIMIT: i64 = 10_000;

/// What somebody wants a waiver for.
#[derive(Debug, Clone)]
pub enum WaiverTarget {
    /// A version with what it holds now.
    Content(VersionId),
    /// The versions of a package in a range.
    Range(PackageName, VersionRange),
    /// Every version of a package.
    Package(PackageName),
}

/// A waiver to be made.
#[derive(Debug, Clone)]
pub struct NewWaiver {
    /// For what.
    pub target: WaiverTarget,
    /// Of which rule, as `waiver_of` files it.
    pub rule: String,
    /// What the rule asks for now.
    pub covers: Decision,
    /// The policies in which the rule was found.
    pub found_in: Vec<(PolicyLevel, Digest)>,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub expires_at: Time,
    /// The latest end that it may have.
    pub latest: Time,
    /// Who must approve it, whatever the repo asks for.
    pub approval: Approval,
}

/// Whether a waiver waits for a second person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// If the repo asks for dual control.
    AsTheRepoAsks,
    /// Always.
    Always,
}

/// A moment with who acted then, in two columns that are NULL together.
fn act(row: &Row<'_>, at: &str, by: &str) -> rusqlite::Result<Option<(Time, Subject)>> {
    match rows::time_optional(row, at)? {
        Some(time) => Ok(Some((time, versions::subject(row, by)?))),
        None => Ok(None),
    }
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Waiver> {
    let unreadable = |column: &'static str| move |error: Error| rows::unreadable(column, &error);
    let (namespace, name): (String, String) = (row.get("namespace_key")?, row.get("name_key")?);
    let package = PackageName::as_written(rows::parse(row, "package_type")?, &namespace, &name);
    let reach = match rows::parse(row, "scope")? {
        WaiverScope::Content => {
            WaiverReach::Content { version_id: rows::parse(row, "version_id")?, content_digest: rows::parse(row, "content_digest")? }
        }
        WaiverScope::Range => {
            let range: String = row.get("version_range")?;
            WaiverReach::Range(VersionRange::read(&package, &range).map_err(unreadable("version_range"))?)
        }
        WaiverScope::Package => WaiverReach::Package,
    };
    Ok(Waiver {
        id: rows::parse(row, "waiver_id")?,
        repo: rows::parse(row, "repo_key")?,
        package,
        reach,
        rule: row.get("rule")?,
        covers: rows::parse(row, "covers")?,
        reason: row.get("reason")?,
        quarantine_id: rows::parse_optional(row, "quarantine_id")?,
        created_at: rows::time(row, "created_at")?,
        created_by: versions::subject(row, "created_by")?,
        expires_at: rows::time_optional(row, "expires_at")?,
        needs_approval: row.get("needs_approval")?,
        approved: act(row, "approved_at", "approved_by")?,
        revoked: act(row, "revoked_at", "revoked_by")?,
    })
}

/// The waiver with this id in this repo.
pub(super) fn find(connection: &Connection, repo: &RepoKey, id: &WaiverId) -> Result<Waiver> {
    connection
        .prepare_cached("SELECT * FROM waivers WHERE waiver_id = :id AND repo_key = :repo")?
        .query_row(named_params! {":id": id.to_string(), ":repo": repo.as_str()}, read)
        .optional()?
        .ok_or_else(|| Error::not_found(format!("waiver {id}")))
}

/// Every waiver that has this version of a repo with this content and was not taken back; whether it counts is a matter of the moment.
pub(super) fn having(
    connection: &Connection,
    repo: &RepoKey,
    (id, at): (&VersionId, &Coordinates),
    content: &Digest,
) -> Result<Vec<Waiver>> {
    let package = at.package();
    let mut of_content = connection.prepare_cached(
        "SELECT * FROM waivers INDEXED BY waivers_by_version WHERE version_id = :id AND content_digest = :content AND revoked_at IS NULL",
    )?;
    let found = of_content.query_map(named_params! {":id": id.to_string(), ":content": content.to_string()}, read)?;
    let mut having = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut of_package = connection.prepare_cached(
        "SELECT * FROM waivers INDEXED BY waivers_by_package
         WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name
           AND scope <> 'content' AND revoked_at IS NULL",
    )?;
    let found = of_package.query_map(
        named_params! {":repo": repo.as_str(), ":type": package.package_type().as_str(), ":namespace": package.namespace_key(),
        ":name": package.name_key()},
        read,
    )?;
    for waiver in found {
        having.push(waiver?);
    }
    having.retain(|waiver| waiver.repo == *repo && waiver.reach.has(id, at, content));
    having.sort_by_key(|waiver| waiver.id);
    Ok(having)
}

impl Write<'_> {
    /// Makes a waiver. In a repo under dual control it counts once a second person has approved it.
    ///
    /// # Errors
    /// `not_found` for a version that is not there; `bad_request` for an end outside what is allowed; `conflict` when the policies
    /// changed since the rule was looked up, or there are as many waivers as may be.
    pub fn add_waiver(&mut self, permit: &Permit<Promote>, new: &NewWaiver) -> Result<Done<Waiver>> {
        let repo = self.repo(permit.repo_key())?;
        if policies::in_force(self.connection(), &repo.key)?.digests() != new.found_in {
            return Err(Error::conflict("the policy was changed at this very moment; look at the rule again and try again"));
        }
        if new.expires_at <= self.now() || new.expires_at > new.latest {
            return Err(Error::bad_request(format!("a waiver must end in the future and not after {}", new.latest)));
        }
        self.check_room(&repo.key)?;
        let (package, reach) = self.reach_of(&repo.key, &new.target)?;
        let (version_id, content) = match &reach {
            WaiverReach::Content { version_id, content_digest } => (Some(version_id.to_string()), Some(content_digest.to_string())),
            WaiverReach::Range(_) | WaiverReach::Package => (None, None),
        };
        let range = match &reach {
            WaiverReach::Range(range) => Some(range.to_string()),
            WaiverReach::Content { .. } | WaiverReach::Package => None,
        };
        let id = WaiverId::new(self.uuid());
        self.connection()
            .prepare_cached(
                "INSERT INTO waivers (waiver_id, repo_key, scope, package_type, namespace_key, name_key, version_id, content_digest,
                     version_range, rule, covers, reason, created_at, created_by, expires_at, needs_approval)
                 VALUES (:waiver, :repo, :scope, :type, :namespace, :name, :version, :content, :range, :rule, :covers, :reason, :now, :by,
                     :expires, :needs_approval)",
            )?
            .execute(named_params! {
                ":waiver": id.to_string(), ":repo": repo.key.as_str(), ":scope": reach.scope().as_str(),
                ":type": package.package_type().as_str(), ":namespace": package.namespace_key(), ":name": package.name_key(),
                ":version": version_id, ":content": content, ":range": range, ":rule": new.rule, ":covers": new.covers.as_str(),
                ":reason": new.reason, ":now": self.now().unix_ms(), ":by": self.actor().subject.as_str(),
                ":expires": new.expires_at.unix_ms(),
                ":needs_approval": repo.settings.require_dual_control || new.approval == Approval::Always,
            })?;
        let waiver = find(self.connection(), &repo.key, &id)?;
        waiver_use::begin(self.connection(), &waiver)?;
        Ok(Done::new(waiver.clone(), Event::Exception(ExceptionEvent::WaiverCreated(waiver))))
    }

    fn check_room(&self, repo: &RepoKey) -> Result<()> {
        let count: i64 = self
            .connection()
            .prepare_cached(
                "SELECT count(*) FROM (SELECT 1 FROM waivers INDEXED BY waivers_in_force
                     WHERE repo_key = :repo AND revoked_at IS NULL AND expires_at > :now LIMIT :limit)",
            )?
            .query_row(named_params! {":repo": repo.as_str(), ":now": self.now().unix_ms(), ":limit": WAIVERS_LIMIT}, |row| row.get(0))?;
        if count >= WAIVERS_LIMIT {
            return Err(Error::conflict(format!("repo {repo} has {WAIVERS_LIMIT} waivers, which is the most; change the rule instead")));
        }
        Ok(())
    }

    fn reach_of(&self, repo: &RepoKey, target: &WaiverTarget) -> Result<(PackageName, WaiverReach)> {
        match target {
            WaiverTarget::Content(id) => {
                let release = self.found(repo, id)?.complete(self.connection())?.content;
                let package = release.version.coordinates.package().clone();
                Ok((package, WaiverReach::Content { version_id: *id, content_digest: findings::digest_of(&release) }))
            }
            WaiverTarget::Range(package, range) => Ok((package.clone(), WaiverReach::Range(range.clone()))),
            WaiverTarget::Package(package) => Ok((package.clone(), WaiverReach::Package)),
        }
    }

    /// Approves another's waiver, which counts from now on.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it waits for nobody; `forbidden` for its author and for whoever brought what it is for.
    pub fn approve_waiver(&mut self, permit: &Permit<Promote>, id: &WaiverId) -> Result<Done<Waiver>> {
        let waiver = find(self.connection(), permit.repo_key(), id)?;
        let state = waiver.state(self.now());
        if state != WaiverState::Pending {
            return Err(Error::conflict(format!("waiver {id} is {state}; only a pending one is approved")).with("state", state.as_str()));
        }
        let subject = self.actor().subject.clone();
        if waiver.created_by == subject || self.has_brought_any(&waiver, &subject)? {
            let message = "a waiver is approved by somebody who neither made it nor brought what it is for; ask another reviewer";
            return Err(Error::new(Code::Forbidden, message));
        }
        self.connection()
            .prepare_cached("UPDATE waivers SET approved_at = :now, approved_by = :by WHERE waiver_id = :id AND approved_at IS NULL")?
            .execute(named_params! {":now": self.now().unix_ms(), ":by": subject.as_str(), ":id": id.to_string()})?;
        let waiver = find(self.connection(), permit.repo_key(), id)?;
        Ok(Done::new(waiver.clone(), Event::Exception(ExceptionEvent::WaiverApproved(waiver))))
    }

    /// Whether this subject had a hand in bringing what a waiver is for.
    fn has_brought_any(&self, waiver: &Waiver, subject: &Subject) -> Result<bool> {
        if let WaiverReach::Content { version_id, .. } = &waiver.reach {
            return self.has_brought_content(version_id, subject);
        }
        let found = self
            .connection()
            .prepare_cached(
                "WITH brought AS (
                     SELECT version_id, created_by FROM versions
                     WHERE package_id = (SELECT package_id FROM packages
                                         WHERE repo_key = :repo AND package_type = :type AND namespace_key = :namespace AND name_key = :name))
                 SELECT EXISTS (SELECT 1 FROM brought WHERE created_by = :subject)
                     OR EXISTS (SELECT 1 FROM brought JOIN audit ON audit.resource_id = brought.version_id WHERE audit.actor = :subject
                         AND audit.action IN ('package.version.draft.created', 'package.version.entries.upserted', 'package.version.manifest.upserted'))",
            )?
            .query_row(
                named_params! {":repo": waiver.repo.as_str(), ":type": waiver.package.package_type().as_str(),
                    ":namespace": waiver.package.namespace_key(), ":name": waiver.package.name_key(), ":subject": subject.as_str()},
                |row| row.get(0),
            )?;
        Ok(found)
    }

    /// Takes a waiver back.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it was taken back before.
    pub fn revoke_waiver(&mut self, permit: &Permit<Promote>, id: &WaiverId) -> Result<Done<Waiver>> {
        if let Some((at, by)) = find(self.connection(), permit.repo_key(), id)?.revoked {
            return Err(Error::conflict(format!("waiver {id} was revoked by {by} at {at} already")));
        }
        self.end_waiver(id)?;
        let waiver = find(self.connection(), permit.repo_key(), id)?;
        Ok(Done::new(waiver.clone(), Event::Exception(ExceptionEvent::WaiverRevoked(waiver))))
    }

    fn end_waiver(&self, id: &WaiverId) -> Result<()> {
        self.connection()
            .prepare_cached("UPDATE waivers SET revoked_at = :now, revoked_by = :by WHERE waiver_id = :id AND revoked_at IS NULL")?
            .execute(named_params! {":now": self.now().unix_ms(), ":by": self.actor().subject.as_str(), ":id": id.to_string()})?;
        Ok(())
    }

    /// Revokes what people have waived in a repo that is being deleted: its key may come to name another repo. What a release waived is of
    /// versions that never come back.
    pub(super) fn revoke_waivers_of(&self, repo: &RepoKey) -> Result<Vec<Event>> {
        let mut statement = self.connection().prepare_cached(
            "SELECT * FROM waivers INDEXED BY waivers_in_force WHERE repo_key = :repo AND revoked_at IS NULL AND expires_at > :now",
        )?;
        let found = statement.query_map(named_params! {":repo": repo.as_str(), ":now": self.now().unix_ms()}, read)?;
        let mut events = Vec::new();
        for waiver in found.collect::<rusqlite::Result<Vec<_>>>()? {
            self.end_waiver(&waiver.id)?;
            let revoked = Some((self.now(), self.actor().subject.clone()));
            events.push(Event::Exception(ExceptionEvent::WaiverRevoked(Waiver { revoked, ..waiver })));
        }
        Ok(events)
    }
}
