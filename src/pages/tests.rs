//! The kept pages by themselves: who renders, who waits, what is kept. Invariant: no test goes by time; a rendering ends when the
//! test lets it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::clock::FixedClock;
use crate::domain::access::{Actor, Caller, Grants, Identity, Role, Roles};
use crate::domain::event::{Event, Named};
use crate::domain::id::VersionId;
use crate::domain::name::{Coordinates, Subject};
use crate::domain::repo::{Repo, RepoKind, RepoSettings};
use crate::domain::time::Time;
use crate::error::Code;
use crate::store::{Done, Store, StoreOptions};

const ID: &str = "0190b6f2-7a30-7cc1-b8f4-6f2d1f0a9c55";
const MIB: usize = 1 << 20;

struct World {
    _directory: tempfile::TempDir,
    store: Arc<Store>,
    pages: Arc<Pages>,
}

type Outcome = Result<Option<Arc<Page>>>;

/// A rendering that waits for the test to end it.
struct Asked {
    began: Arc<AtomicUsize>,
    end: oneshot::Sender<Result<Option<Page>>>,
    task: JoinHandle<Outcome>,
}

impl World {
    fn new(memory_bytes: u64) -> World {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at("2026-11-22T12:00:00Z".parse().unwrap()));
        let store = Arc::new(Store::open(&StoreOptions::at(directory.path()), clock).unwrap());
        let pages = Pages::new(memory_bytes, Arc::clone(store.generations()), Arc::clone(store.metrics()));
        World { _directory: directory, store, pages: Arc::new(pages) }
    }

    /// Asks as a task of its own; it waits in its rendering, if it comes to one.
    fn ask(&self, name: &str) -> Asked {
        let (end, ended) = oneshot::channel();
        let (pages, key, began) = (Arc::clone(&self.pages), key(name), Arc::new(AtomicUsize::new(0)));
        let begins = Arc::clone(&began);
        let task = tokio::spawn(async move {
            let render = || async move {
                begins.fetch_add(1, Ordering::SeqCst);
                ended.await.unwrap()
            };
            pages.find(&permit(Some(ID)), key, render).await
        });
        Asked { began, end, task }
    }

    /// The text of the page; rendered as `text` if it is not kept.
    async fn text(&self, key: PageKey, permit: &Permit<Read>, text: &str) -> String {
        let found = self.pages.find(permit, key, || std::future::ready(page(text).map(Some))).await;
        String::from_utf8(found.unwrap().unwrap().bytes.to_vec()).unwrap()
    }

    /// A change of the package that is committed when this returns.
    async fn change(&self, name: &str) {
        let at = Coordinates::new(package(name), "1.0").unwrap();
        let version = Named::new(&"main".parse().unwrap(), VersionId::new(uuid::Uuid::nil()), &at);
        self.store.write(&Actor::system("tests"), |_| Ok(Done::new((), Event::Unyanked { version }))).await.unwrap();
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.store.metrics().encode().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("artifortress_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

impl Asked {
    fn has_begun(&self) -> bool {
        self.began.load(Ordering::SeqCst) > 0
    }
}

fn package(name: &str) -> PackageName {
    PackageName::new(PackageType::pypi(), "", name).unwrap()
}

fn key(name: &str) -> PageKey {
    PageKey::package(&package(name), "text/plain")
}

fn page(text: &str) -> Result<Page> {
    Page::new("text/plain", text.to_owned())
}

fn permit(token_id: Option<&str>) -> Permit<Read> {
    let (key, now) = ("main".parse::<RepoKey>().unwrap(), Time::from_unix_ms(0));
    let grants = Grants { scopes: None, bindings: Some(vec![(key.clone(), Roles::of(Role::Read))]) };
    let token_id = token_id.map(|id| id.parse().unwrap());
    let identity = Identity { subject: Subject::system("tests"), token_id, expires_at: None, grants };
    let settings = RepoSettings { anonymous_read: true, ..RepoSettings::default() };
    let repo = Repo { key, kind: RepoKind::Local, settings, created_at: now, updated_at: now };
    Caller::new(Arc::new(identity), ID.parse().unwrap()).permit(&Arc::new(repo)).unwrap()
}

/// Lets every task go on as far as it can.
async fn settle() {
    for _ in 0..32 {
        yield_now().await;
    }
}

async fn bytes(asked: JoinHandle<Outcome>) -> Bytes {
    asked.await.unwrap().unwrap().unwrap().bytes.clone()
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_renders() {
    let world = World::new(32 << 20);
    let first = world.ask("demo");
    settle().await;
    let others: Vec<Asked> = (0..20).map(|_| world.ask("demo")).collect();
    settle().await;
    assert!(first.has_begun() && others.iter().all(|other| !other.has_begun()));
    first.end.send(page("one").map(Some)).unwrap();
    assert_eq!(bytes(first.task).await, "one");
    for other in others {
        assert_eq!(bytes(other.task).await, "one");
    }
    assert_eq!(world.text(key("demo"), &permit(Some(ID)), "two").await, "one");
    assert_eq!((world.metric("pages_misses_total"), world.metric("pages_hits_total")), (1, 21));
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_waited_and_to_nobody_else() {
    let world = World::new(32 << 20);
    let first = world.ask("demo");
    settle().await;
    let second = world.ask("demo");
    settle().await;
    let failure = Error::new(Code::Unavailable, "the server is busy").with("member", 1).because("a cause");
    first.end.send(Err(failure)).unwrap();
    let told = first.task.await.unwrap().unwrap_err();
    assert!(told.code() == Code::Unavailable && told.cause().is_some());
    let told = second.task.await.unwrap().unwrap_err();
    assert_eq!((told.code(), told.message()), (Code::Unavailable, "the server is busy"));
    assert!(told.members().contains_key("member"));
    assert_eq!(world.text(key("demo"), &permit(Some(ID)), "sound").await, "sound");
    assert_eq!(world.metric("pages_evictions_total"), 0);
}

#[tokio::test]
async fn when_the_one_who_renders_goes_away_one_who_waits_takes_over() {
    let world = World::new(32 << 20);
    let first = world.ask("demo");
    settle().await;
    let (second, third) = (world.ask("demo"), world.ask("demo"));
    settle().await;
    first.task.abort();
    settle().await;
    let (next, last) = if second.has_begun() { (second, third) } else { (third, second) };
    assert!(next.has_begun() && !last.has_begun());
    next.end.send(page("one").map(Some)).unwrap();
    assert_eq!((bytes(next.task).await, bytes(last.task).await), (Bytes::from("one"), Bytes::from("one")));
}

#[tokio::test]
async fn who_asks_after_a_change_never_gets_what_was_begun_before_it() {
    let world = World::new(32 << 20);
    let before = world.ask("demo");
    settle().await;
    let beside = world.ask("demo");
    settle().await;
    world.change("demo").await;
    let after = world.ask("demo");
    settle().await;
    assert!(!after.has_begun(), "it waits for the one that renders");
    before.end.send(page("old").map(Some)).unwrap();
    assert_eq!((bytes(before.task).await, bytes(beside.task).await), (Bytes::from("old"), Bytes::from("old")));
    settle().await;
    assert!(after.has_begun());
    after.end.send(page("new").map(Some)).unwrap();
    assert_eq!(bytes(after.task).await, "new");
    assert_eq!(world.text(key("demo"), &permit(Some(ID)), "newer").await, "new");
    world.change("other").await;
    assert_eq!(world.text(key("demo"), &permit(Some(ID)), "newer").await, "new");
    world.change("demo").await;
    assert_eq!(world.text(key("demo"), &permit(Some(ID)), "newer").await, "newer");
}

#[tokio::test]
async fn all_who_came_before_it_is_rendered_are_served_by_one_rendering_however_much_changes() {
    let world = World::new(32 << 20);
    let first = world.ask("demo");
    settle().await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        world.change("demo").await;
        waiting.push(world.ask("demo"));
        settle().await;
    }
    first.end.send(page("old").map(Some)).unwrap();
    settle().await;
    let mut begun = waiting.iter().map(Asked::has_begun).collect::<Vec<_>>();
    begun.retain(|begun| *begun);
    assert_eq!(begun.len(), 1);
    for asked in waiting {
        // Only the one who renders still listens.
        drop(asked.end.send(page("new").map(Some)));
        assert_eq!(bytes(asked.task).await, "new");
    }
    assert_eq!(world.metric("pages_misses_total"), 2);
}

#[tokio::test]
async fn readers_forms_and_addresses_have_pages_of_their_own() {
    let world = World::new(32 << 20);
    let (known, anyone) = (permit(Some(ID)), permit(None));
    let json = PageKey::package(&package("demo"), "application/json");
    let list = PageKey::list(&PackageType::pypi(), "text/plain");
    let under = |base: &str| key("demo").under(base.to_owned());
    let all = [
        (key("demo"), &known),
        (key("demo"), &anyone),
        (json.clone(), &known),
        (json, &anyone),
        (list, &known),
        (under("http://one"), &known),
        (under("http://two"), &known),
        (key("demo2"), &known),
    ];
    for (number, (key, permit)) in all.iter().enumerate() {
        assert_eq!(world.text(key.clone(), permit, &number.to_string()).await, number.to_string());
    }
    for (number, (key, permit)) in all.iter().enumerate() {
        assert_eq!(world.text(key.clone(), permit, "again").await, number.to_string());
    }
    let pages = [page("a").unwrap(), page("b").unwrap(), Page::new("text/html", "a").unwrap()];
    assert!(pages[0].tag != pages[1].tag && pages[0].tag != pages[2].tag && pages[0].tag == page("a").unwrap().tag);
}

#[tokio::test]
async fn nothing_to_list_is_remembered_too_until_something_comes() {
    let world = World::new(32 << 20);
    let none = || std::future::ready(Ok(None));
    for _ in 0..2 {
        assert!(world.pages.find(&permit(Some(ID)), key("demo"), none).await.unwrap().is_none());
    }
    assert_eq!((world.metric("pages_misses_total"), world.metric("pages_hits_total")), (1, 1));
    world.change("demo").await;
    assert_eq!(world.text(key("demo"), &permit(Some(ID)), "one").await, "one");
}

#[tokio::test]
async fn memory_stays_within_its_limit_and_a_page_too_large_for_it_is_served_all_the_same() {
    let world = World::new(4 * MIB as u64);
    let large = "x".repeat(2 * MIB);
    for _ in 0..2 {
        assert_eq!(world.text(key("large"), &permit(Some(ID)), &large).await.len(), large.len());
    }
    assert_eq!((world.metric("pages_misses_total"), world.metric("pages_kept_bytes")), (2, 0));
    let waits = world.ask("large");
    settle().await;
    let also = world.ask("large");
    settle().await;
    waits.end.send(page(&large).map(Some)).unwrap();
    assert_eq!((bytes(waits.task).await.len(), bytes(also.task).await.len()), (large.len(), large.len()));
    assert_eq!(world.metric("pages_misses_total"), 3, "who waits for a large page gets it too");
    let medium = "x".repeat(MIB / 2);
    for number in 0..40 {
        world.text(key(&format!("demo{number}")), &permit(Some(ID)), &medium).await;
        assert!(world.metric("pages_kept_bytes") <= 4 * MIB as u64);
    }
    assert!(world.metric("pages_kept_bytes") >= MIB as u64);
    assert!(world.metric("pages_evictions_total") >= 32);
}
