//! The generations of what readers are shown: counters that move whenever an index may have changed. Invariant: they are moved after the
//! commit that changed it and before anybody is told of that commit, so that whoever knows of a change finds another generation.
//!
//! Why a page that is kept under a generation is never too old. Its maker loads the generation first and opens its view of the
//! database afterwards; a later request loads the generation when it comes and takes the page only if its generation is no older.
//! Say a write is acknowledged, and a request comes after that. The writer did: commit, move, acknowledge; so the request loads
//! a generation at least as new as that move. A page of this generation was begun after the move, hence after the commit, so its view
//! has the change. A page whose view was opened between commit and move has the change but the older generation: it is made again for
//! nothing, which is harmless. Requests that came before the acknowledgement may be shown either.
//!
//! What names a version or a repo is moved by events (`domain::reach`). A write without events (`Store::bookkeep`) changes the
//! queue, the outbox, stamps, what was read in files, and staged advisories: nothing that a reader's view returns.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::event::Event;
use crate::domain::name::{PackageName, RepoKey};
use crate::domain::reach::Reach;

/// Packages that have a counter of their own; two that fall on one counter only make each other's pages anew.
const PACKAGE_SLOTS: usize = 4096;
const REPO_SLOTS: usize = 256;

/// The generation of something at one moment. A later one of the same thing is greater if anything about it may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u64);

/// The counters. Their number is fixed: they cost the same for any number of packages.
pub struct Generations {
    packages: Vec<AtomicU64>,
    /// What concerns everything in a repo.
    repos: Vec<AtomicU64>,
    /// What concerns any package of a repo, for lists of packages.
    contents: Vec<AtomicU64>,
    instance: AtomicU64,
}

impl Default for Generations {
    fn default() -> Generations {
        let counters = |count: usize| std::iter::repeat_with(AtomicU64::default).take(count).collect();
        Generations {
            packages: counters(PACKAGE_SLOTS),
            repos: counters(REPO_SLOTS),
            contents: counters(REPO_SLOTS),
            instance: AtomicU64::default(),
        }
    }
}

impl Generations {
    /// The generation of a package's index. Load it before the view is opened.
    #[must_use]
    pub fn of_package(&self, repo: &RepoKey, package: &PackageName) -> Generation {
        self.of_repo(repo).and(slot(&self.packages, &package_key(repo, package)))
    }

    /// The generation of lists of a repo's packages. Load it before the view is opened.
    #[must_use]
    pub fn of_list(&self, repo: &RepoKey) -> Generation {
        self.of_repo(repo).and(slot(&self.contents, repo))
    }

    fn of_repo(&self, repo: &RepoKey) -> Generation {
        Generation(self.instance.load(Ordering::SeqCst)).and(slot(&self.repos, repo))
    }

    /// Moves what this happening reaches; called after its commit and before anybody is answered.
    pub(super) fn pass(&self, event: &Event) {
        for reach in event.reach() {
            match reach {
                Reach::Package(repo, package) => {
                    step(slot(&self.packages, &package_key(repo, package)));
                    step(slot(&self.contents, repo));
                }
                Reach::Repo(repo) => step(slot(&self.repos, repo)),
                Reach::Instance => step(Some(&self.instance)),
            }
        }
    }
}

impl Generation {
    /// Counters only grow, so two sums of the same counters, one loaded after the other, are equal only if none has moved.
    fn and(self, counter: Option<&AtomicU64>) -> Generation {
        Generation(self.0.wrapping_add(counter.map_or(0, |counter| counter.load(Ordering::SeqCst))))
    }
}

impl std::fmt::Debug for Generations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generations").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// Two spellings of one package have one key.
fn package_key<'a>(repo: &'a RepoKey, package: &'a PackageName) -> (&'a RepoKey, &'a str, &'a str, &'a str) {
    (repo, package.package_type().as_str(), package.namespace_key(), package.name_key())
}

fn slot<'a>(counters: &'a [AtomicU64], key: &impl Hash) -> Option<&'a AtomicU64> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let count = u64::try_from(counters.len()).unwrap_or(1).max(1);
    counters.get(usize::try_from(hasher.finish() % count).unwrap_or(0))
}

fn step(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Named;
    use crate::domain::id::VersionId;
    use crate::domain::name::{Coordinates, PackageType};

    fn package(name: &str) -> PackageName {
        PackageName::new(PackageType::pypi(), "", name).unwrap()
    }

    fn named(repo: &RepoKey, name: &str) -> Named {
        let coordinates = Coordinates::new(package(name), "1.0").unwrap();
        Named::new(repo, VersionId::new(uuid::Uuid::nil()), &coordinates)
    }

    #[test]
    fn a_version_moves_its_package_under_every_spelling_and_the_list_of_its_repo_and_nothing_else() {
        let generations = Generations::default();
        let (main, other): (RepoKey, RepoKey) = ("main".parse().unwrap(), "other".parse().unwrap());
        let look = || {
            [
                generations.of_package(&main, &package("demo-one")),
                generations.of_list(&main),
                generations.of_package(&main, &package("other")),
                generations.of_package(&other, &package("demo-one")),
                generations.of_list(&other),
            ]
        };
        let before = look();
        generations.pass(&Event::Published { version: named(&main, "Demo_One") });
        let after = look();
        let moved: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before < after).collect();
        assert_eq!(moved, [true, true, false, false, false]);
        generations.pass(&Event::RepoUpdated { repo: main.clone(), settings: serde_json::json!({}) });
        let later = look();
        let moved: Vec<bool> = after.iter().zip(&later).map(|(before, after)| before < after).collect();
        assert_eq!(moved, [true, true, true, false, false]);
        generations.pass(&Event::PolicyUpdated { repo: None, revision: 1, digest: crate::domain::digest::Digest::of(b"") });
        assert!(later.iter().zip(&look()).all(|(before, after)| before < after));
    }

    #[test]
    fn a_promotion_moves_both_ends() {
        let generations = Generations::default();
        let (main, prod): (RepoKey, RepoKey) = ("main".parse().unwrap(), "prod".parse().unwrap());
        let look = || [&main, &prod].map(|repo| generations.of_package(repo, &package("demo")));
        let before = look();
        let state = crate::domain::lifecycle::State::Published;
        generations.pass(&Event::Promoted { source: named(&main, "demo"), target: named(&prod, "demo"), state });
        assert!(before.iter().zip(&look()).all(|(before, after)| before < after));
    }
}
