//! Facts about what surrounds a version: who brings it, what its package files hold, what it was before, what advisories, scanners and
//! people say of it. Invariant: total, and never in a rule's favour: what is not known has a flag that says so.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::facts::long;
use crate::domain::advisory::{AdvisoryFindings, ScanFinding, ScanStatus, Severity};
use crate::domain::candidate::{Candidate, orders};
use crate::domain::contents::{ContentFormat, Contents};

/// Who brings it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ActorFacts {
    pub subject: String,
    pub token_id: String,
    pub roles: BTreeSet<String>,
}

/// Where it would become visible.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RepoFacts {
    pub key: String,
    pub kind: String,
    pub anonymous_read: bool,
}

/// What was found in its package files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ContentFacts {
    pub format: String,
    pub readable: bool,
    pub unreadable: bool,
    pub cause: String,
    pub entries: i64,
    pub unpacked_bytes: i64,
    pub binaries: BTreeSet<String>,
    pub binary_count: i64,
}

/// What runs when it is installed or built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ScriptFacts {
    pub install: bool,
    pub build: bool,
    pub proc_macro: bool,
    pub source_only: bool,
    pub names: BTreeSet<String>,
    pub added: BTreeSet<String>,
    pub binaries_added: bool,
}

/// The newest version that was visible before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PreviousFacts {
    pub exists: bool,
    pub version: String,
    pub total_bytes: i64,
    pub size_percent: i64,
}

/// Who published it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PublisherFacts {
    pub name: String,
    pub changed: bool,
    pub previous: String,
}

/// What advisories say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AdvisoryFacts {
    pub known: bool,
    pub count: i64,
    pub informational: i64,
    pub ids: BTreeSet<String>,
    pub ids_complete: bool,
    pub malicious: bool,
    pub max_severity: Severity,
    pub severity: String,
    pub unrated: i64,
    pub fix_available: bool,
}

/// What external scanners say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FindingFacts {
    pub scanners: BTreeSet<String>,
    pub ids: BTreeSet<String>,
    pub found: bool,
    pub malicious: bool,
    pub failed: bool,
    pub max_severity: Severity,
}

impl ActorFacts {
    pub(super) fn of(candidate: &Candidate) -> ActorFacts {
        ActorFacts {
            subject: candidate.subject.to_string(),
            token_id: candidate.token_id.map(|id| id.to_string()).unwrap_or_default(),
            roles: candidate.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        }
    }
}

impl RepoFacts {
    pub(super) fn of(candidate: &Candidate) -> RepoFacts {
        RepoFacts {
            key: candidate.repo.to_string(),
            kind: candidate.repo_kind.as_str().to_owned(),
            anonymous_read: candidate.anonymous_read,
        }
    }
}

impl ContentFacts {
    pub(super) fn of(contents: Option<&Contents>) -> ContentFacts {
        let Some(contents) = contents else {
            return ContentFacts { format: ContentFormat::None.as_str().to_owned(), ..ContentFacts::default() };
        };
        ContentFacts {
            format: contents.format.as_str().to_owned(),
            readable: contents.format != ContentFormat::None && contents.unreadable.is_none(),
            unreadable: contents.unreadable.is_some(),
            cause: contents.unreadable.map(|cause| cause.as_str().to_owned()).unwrap_or_default(),
            entries: long(contents.entry_count),
            unpacked_bytes: long(contents.unpacked_bytes),
            binaries: contents.binaries.clone(),
            binary_count: long(contents.binary_count),
        }
    }
}

impl ScriptFacts {
    /// `declared`: the manifest asks for install scripts, whatever the package files say.
    pub(super) fn of(candidate: &Candidate, declared: bool) -> ScriptFacts {
        let none = Contents::default();
        let contents = candidate.known.contents.as_ref().unwrap_or(&none);
        let names: BTreeSet<String> = contents.install_scripts.union(&contents.build_scripts).cloned().collect();
        let previous = candidate.known.previous.as_ref();
        // Of a previous version that was never read, nothing is known to have been there.
        let before = previous.map(|previous| previous.contents.as_ref().unwrap_or(&none));
        let added = before.map_or_else(BTreeSet::new, |before| {
            let known: BTreeSet<&String> = before.install_scripts.union(&before.build_scripts).collect();
            names.iter().filter(|name| !known.contains(name)).cloned().collect()
        });
        let is_source = candidate.coordinates.package().package_type().as_str() == "pypi"
            && matches!(contents.format, ContentFormat::Sdist)
            && !candidate.known.has_built_distribution;
        ScriptFacts {
            install: declared || !contents.install_scripts.is_empty(),
            build: !contents.build_scripts.is_empty(),
            proc_macro: contents.is_proc_macro,
            source_only: is_source,
            names,
            added,
            binaries_added: contents.binary_count > 0 && before.is_some_and(|before| before.binary_count == 0),
        }
    }
}

impl PreviousFacts {
    pub(super) fn of(candidate: &Candidate, total_bytes: i64) -> PreviousFacts {
        let Some(previous) = &candidate.known.previous else {
            return PreviousFacts { size_percent: 100, ..PreviousFacts::default() };
        };
        let before = long(previous.total_bytes);
        let percent = i128::from(total_bytes) * 100 / i128::from(before.max(1));
        PreviousFacts { exists: true, version: previous.version.clone(), total_bytes: before, size_percent: long(percent) }
    }
}

impl PublisherFacts {
    pub(super) fn of(candidate: &Candidate) -> PublisherFacts {
        let previous = candidate.known.previous.as_ref().map(|previous| previous.publisher.clone()).unwrap_or_default();
        PublisherFacts {
            name: candidate.publisher.clone(),
            changed: candidate.known.previous.is_some() && previous != candidate.publisher,
            previous,
        }
    }
}

impl AdvisoryFacts {
    pub(super) fn of(found: &AdvisoryFindings) -> AdvisoryFacts {
        AdvisoryFacts {
            known: found.known,
            count: long(found.count),
            informational: long(found.informational_count),
            ids: found.ids.clone(),
            ids_complete: found.ids_complete,
            malicious: found.is_malicious,
            max_severity: found.max_severity,
            severity: found.max_severity.word().to_owned(),
            unrated: long(found.unrated_count),
            fix_available: found.is_fix_available,
        }
    }
}

impl FindingFacts {
    pub(super) fn of(scans: &[ScanFinding]) -> FindingFacts {
        let any = |wanted: &[ScanStatus]| scans.iter().any(|scan| wanted.contains(&scan.status));
        FindingFacts {
            scanners: scans.iter().map(|scan| scan.scanner.clone()).collect(),
            ids: scans.iter().flat_map(|scan| scan.ids.iter().cloned()).collect(),
            found: any(&[ScanStatus::Found, ScanStatus::Malicious]),
            malicious: any(&[ScanStatus::Malicious]),
            failed: any(&[ScanStatus::Failed]),
            max_severity: scans.iter().map(|scan| scan.severity).max().unwrap_or_default(),
        }
    }
}

/// Whether the server's own orders have one under this id.
pub(super) fn is_ordered(candidate: &Candidate, order: &str) -> bool {
    candidate.known.orders.iter().any(|reason| reason.rule == order)
}

/// Whether the name is kept for others.
pub(super) fn is_reserved(candidate: &Candidate) -> bool {
    is_ordered(candidate, orders::RESERVED)
}

/// Whether a freeze holds it.
pub(super) fn is_frozen(candidate: &Candidate) -> bool {
    is_ordered(candidate, orders::FREEZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::candidate::Previous;
    use crate::policy::input::tests::candidate;

    fn with_scripts(names: &[&str], binary_count: u64) -> Contents {
        let install_scripts = names.iter().map(|name| (*name).to_owned()).collect();
        Contents { format: ContentFormat::Npm, install_scripts, binary_count, ..Contents::default() }
    }

    #[test]
    fn what_a_previous_version_is_not_known_to_have_had_is_added() {
        let added = |before: Option<Option<Contents>>| {
            let mut candidate = candidate("npm", "demo", "1.0.0");
            candidate.known.contents = Some(with_scripts(&["postinstall"], 1));
            candidate.known.previous = before.map(|contents| Previous {
                version: "0.9.0".to_owned(),
                publisher: "ann".to_owned(),
                total_bytes: 1,
                manifest: None,
                contents,
            });
            let facts = ScriptFacts::of(&candidate, false);
            (facts.added.len(), facts.binaries_added)
        };
        assert_eq!(added(None), (0, false), "there is nothing that it could be added to");
        assert_eq!(added(Some(Some(with_scripts(&["postinstall"], 1)))), (0, false));
        assert_eq!(added(Some(Some(with_scripts(&["install"], 0)))), (1, true));
        assert_eq!(added(Some(None)), (1, true), "nobody has read what the previous one had");
    }
}
