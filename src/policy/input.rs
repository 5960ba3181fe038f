//! One question to the policy, whole. Invariant: the decision depends on this and the policy texts alone; its text is
//! canonical (fixed order of members, sorted sets), so equal questions have equal digests, and it reads back as written.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::facts::{Clocks, Facts};
use crate::domain::access::Role;
use crate::domain::candidate::{Action, Candidate, Decision, Reason};
use crate::domain::digest::Digest;
use crate::domain::id::VersionId;
use crate::domain::name::RepoKey;
use crate::domain::repo::RepoKind;
use crate::domain::time::Time;

/// Raised whenever a fact is added, removed or gets another meaning.
pub(super) const INPUT_VERSION: u32 = 2;
/// The oldest that is still read: since then facts were only added, so that what an older policy could ask is there.
const OLDEST_INPUT_VERSION: u32 = 1;

/// Everything the decision depends on, and what names the thing decided about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    pub input_version: u32,
    pub action: Action,
    pub principal: String,
    pub groups: Vec<Role>,
    pub resource: RepoKey,
    pub repo_kind: RepoKind,
    pub version_id: VersionId,
    pub content_digest: Digest,
    pub asked_at: String,
    pub hint: Option<Decision>,
    pub waived_rules: BTreeSet<String>,
    #[serde(default)]
    pub waived_denials: BTreeSet<String>,
    #[serde(default)]
    pub orders: Vec<Reason>,
    #[serde(default)]
    pub advisories_digest: Option<Digest>,
    pub context: Facts,
}

impl Input {
    /// Gathers the question about one candidate.
    pub(super) fn of(candidate: &Candidate) -> Input {
        Input {
            input_version: INPUT_VERSION,
            action: candidate.action,
            principal: candidate.subject.as_str().to_owned(),
            groups: candidate.roles.iter().collect(),
            resource: candidate.repo.clone(),
            repo_kind: candidate.repo_kind,
            version_id: candidate.version_id,
            content_digest: candidate.content_digest(),
            asked_at: candidate.asked_at.to_string(),
            hint: candidate.hint,
            waived_rules: candidate.waived_rules.iter().cloned().collect(),
            waived_denials: candidate.waived_denials.iter().cloned().collect(),
            orders: orders(candidate),
            advisories_digest: candidate.known.advisories.snapshot,
            context: Facts::of(candidate),
        }
    }

    /// The same question asked at another moment.
    pub(super) fn move_to(&mut self, moment: Time, clocks: &Clocks) {
        self.asked_at = moment.to_string();
        self.context.set_ages(moment, clocks);
    }

    /// The canonical text: one line of JSON.
    pub(super) fn write(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Reads what [`Input::write`] wrote.
    pub(super) fn read(text: &str) -> Result<Input, Box<dyn std::error::Error + Send + Sync>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            input_version: u32,
        }
        let Version { input_version } = serde_json::from_str(text)?;
        if !(OLDEST_INPUT_VERSION..=INPUT_VERSION).contains(&input_version) {
            let known = format!("this engine reads {OLDEST_INPUT_VERSION} to {INPUT_VERSION}");
            return Err(format!("it was recorded with input version {input_version}; {known}").into());
        }
        Ok(serde_json::from_str(text)?)
    }
}

/// The server's orders in one order, each once.
fn orders(candidate: &Candidate) -> Vec<Reason> {
    let mut orders = candidate.known.orders.clone();
    orders.sort_by(|a, b| (&a.rule, &a.message).cmp(&(&b.rule, &b.message)));
    orders.dedup();
    orders
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::access::Roles;
    use crate::domain::candidate::Knowledge;
    use crate::domain::name::{Coordinates, PackageName};
    use crate::domain::version::{File, Manifest};

    /// A candidate with one file, uploaded by a writer.
    pub(in crate::policy) fn candidate(package_type: &str, name: &str, version: &str) -> Candidate {
        let version_id: VersionId = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55".parse().unwrap();
        let package = PackageName::new(package_type.parse().unwrap(), "", name).unwrap();
        let file = File {
            version_id,
            path: "demo-1.0.tar.gz".parse().unwrap(),
            digest: Digest::of(b"demo"),
            size_bytes: 4,
            media_type: None,
            sha1: None,
        };
        Candidate {
            action: Action::Publish,
            repo: "main".parse().unwrap(),
            repo_kind: RepoKind::Local,
            subject: "builder".parse().unwrap(),
            roles: Roles::of(Role::Write),
            token_id: None,
            anonymous_read: false,
            version_id,
            coordinates: Coordinates::new(package, version).unwrap(),
            upstream: None,
            files: vec![file],
            manifest: None,
            first_seen_at: Time::from_unix_ms(1_700_000_000_000),
            published_upstream_at: None,
            asked_at: Time::from_unix_ms(1_700_000_000_000),
            waived_rules: Vec::new(),
            waived_denials: Vec::new(),
            waivers_end_at: None,
            hint: None,
            publisher: "builder".to_owned(),
            known: Knowledge::default(),
        }
    }

    /// The same candidate with this manifest.
    pub(in crate::policy) fn with_manifest(mut candidate: Candidate, json: &str) -> Candidate {
        let bytes = json.as_bytes().to_vec();
        candidate.manifest = Some(Manifest { version_id: candidate.version_id, digest: Digest::of(&bytes), bytes });
        candidate
    }

    #[test]
    fn an_input_reads_back_as_it_was_written() {
        let mut candidate = candidate("npm", "Demo", "1.0.0");
        candidate.waived_rules = vec!["b".to_owned(), "a".to_owned(), "b".to_owned()];
        candidate.hint = Some(Decision::Quarantine);
        let input = Input::of(&with_manifest(candidate, r#"{"license":"MIT","dependencies":{"@A/b":"1"}}"#));
        let text = input.write().unwrap();
        assert_eq!(Input::read(&text).unwrap(), input);
        assert_eq!(Input::read(&text).unwrap().write().unwrap(), text);
    }

    #[test]
    fn an_input_of_another_version_or_with_a_strange_member_is_refused() {
        let text = Input::of(&candidate("npm", "demo", "1.0.0")).write().unwrap();
        assert!(Input::read(&text.replace("\"inputVersion\":2", "\"inputVersion\":3")).is_err());
        assert!(Input::read(&text.replace("\"hint\":null", "\"hint\":null,\"more\":1")).is_err());
        assert!(Input::read(&text.replace("\"ageDays\":0", "\"ageDays\":\"0\"")).is_err());
        assert!(Input::read("").is_err());
    }
}
