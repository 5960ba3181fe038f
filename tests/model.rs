//! Random steps against a small model. Invariant: after any sequence of steps every version is in the state that the model says,
//! and a reader sees exactly what the model calls published: in the catalogue, in the search, and directly.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::support::{DENY_ALL, HOLD_ALL, Package, TestApp, items, text, version_path};

#[derive(Debug, Clone, Copy)]
enum Op {
    Draft,
    Publish(usize),
    Evaluate(usize),
    Hold(usize),
    Release(usize),
    Reject(usize),
    Tombstone(usize),
    Restore(usize),
    Policy(Rules),
    RunJobs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    None,
    Hold,
    Deny,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Draft,
    Published,
    AskedFor,
}

/// Who holds a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Hand,
    HoldRule,
    DenyRule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Draft,
    Quarantined { from: From, by: By },
    Published,
    Rejected,
    Tombstoned { was_rejected: bool },
}

impl State {
    fn text(self) -> &'static str {
        match self {
            State::Draft => "draft",
            State::Quarantined { .. } => "quarantined",
            State::Published => "published",
            State::Rejected => "rejected",
            State::Tombstoned { .. } => "tombstoned",
        }
    }

    /// What a reader is answered who asks for it directly.
    fn status_for_readers(self) -> u16 {
        match self {
            State::Published => 200,
            State::Quarantined { .. } | State::Rejected => 423,
            State::Draft | State::Tombstoned { .. } => 404,
        }
    }
}

/// One version in the model.
#[derive(Debug, Clone)]
struct Version {
    id: String,
    name: String,
    state: State,
    waived: bool,
    waived_denial: bool,
    item: Option<String>,
}

/// What the gate does with somebody who asks to become visible.
fn gate(version: &mut Version, rules: Rules, from: From) -> u16 {
    match rules {
        Rules::Hold if !version.waived => {
            version.state = State::Quarantined { from, by: By::HoldRule };
            202
        }
        Rules::Deny if !version.waived_denial => 403,
        Rules::None | Rules::Hold | Rules::Deny => {
            version.state = State::Published;
            200
        }
    }
}

fn publish(version: &mut Version, rules: Rules) -> u16 {
    match version.state {
        State::Draft => gate(version, rules, From::AskedFor),
        State::Published => 200,
        State::Quarantined { .. } | State::Rejected => 423,
        State::Tombstoned { .. } => 409,
    }
}

fn restore(version: &mut Version, rules: Rules) -> u16 {
    match version.state {
        State::Tombstoned { was_rejected: false } => gate(version, rules, From::AskedFor),
        State::Tombstoned { was_rejected: true } | State::Draft | State::Published | State::Quarantined { .. } | State::Rejected => 409,
    }
}

fn evaluate(version: &mut Version, rules: Rules) {
    if rules != Rules::Hold || version.waived {
        return;
    }
    version.state = match version.state {
        State::Draft => State::Quarantined { from: From::Draft, by: By::HoldRule },
        State::Published => State::Quarantined { from: From::Published, by: By::HoldRule },
        other @ (State::Quarantined { .. } | State::Rejected | State::Tombstoned { .. }) => other,
    };
}

fn release(version: &mut Version) -> u16 {
    let State::Quarantined { from, by } = version.state else { return 409 };
    version.waived |= by == By::HoldRule;
    version.waived_denial |= by == By::DenyRule;
    version.state = if from == From::Draft { State::Draft } else { State::Published };
    200
}

/// What judging again does.
fn judge_again(version: &mut Version, rules: Rules) {
    let held_by = match rules {
        Rules::Hold if !version.waived => Some(By::HoldRule),
        Rules::Deny if !version.waived_denial => Some(By::DenyRule),
        Rules::None | Rules::Hold | Rules::Deny => None,
    };
    version.state = match (version.state, held_by) {
        (State::Published, Some(by)) => State::Quarantined { from: From::Published, by },
        (State::Quarantined { by: By::HoldRule | By::DenyRule, from: From::Draft }, None) => State::Draft,
        (State::Quarantined { by: By::HoldRule | By::DenyRule, from: From::Published | From::AskedFor }, None) => State::Published,
        (other, _) => other,
    };
}

struct World {
    app: TestApp,
    reader: String,
    rules: Rules,
    versions: Vec<Version>,
}

impl World {
    async fn new() -> World {
        let app = TestApp::new().await;
        let reader = app.issue("reader", &["repo:main:read"]).await;
        World { app, reader, rules: Rules::None, versions: Vec::new() }
    }

    async fn step(&mut self, op: Op) {
        self.app.clock.advance_ms(1000);
        let (app, count) = (&self.app, self.versions.len());
        let pick = |number: usize| number.checked_rem(count);
        match op {
            Op::Draft => {
                let name = format!("demo-{count}");
                let id = app.draft(&app.admin, "main", &Package::generic(&name, "1.0")).await;
                self.versions.push(Version { id, name, state: State::Draft, waived: false, waived_denial: false, item: None });
            }
            Op::Policy(rules) => {
                let policy = match rules {
                    Rules::None => "",
                    Rules::Hold => HOLD_ALL,
                    Rules::Deny => DENY_ALL,
                };
                app.set_policy("main", policy).await;
                self.rules = rules;
            }
            Op::RunJobs => self.run_jobs().await,
            Op::Publish(number)
            | Op::Evaluate(number)
            | Op::Hold(number)
            | Op::Release(number)
            | Op::Reject(number)
            | Op::Tombstone(number)
            | Op::Restore(number) => {
                if let Some(index) = pick(number) {
                    let mut version = self.versions[index].clone();
                    self.step_version(op, &mut version).await;
                    self.versions[index] = version;
                }
            }
        }
    }

    /// Background work judges again whatever a policy or a reviewer has changed since.
    async fn run_jobs(&mut self) {
        self.app.run_jobs().await;
        for version in &mut self.versions {
            judge_again(version, self.rules);
            let open = format!("SELECT quarantine_id FROM quarantine_items WHERE version_id = '{}' AND status = 'quarantined'", version.id);
            version.item = self.app.ask(&open).pop().or(version.item.take());
        }
    }

    fn published(&self) -> Vec<String> {
        let published = self.versions.iter().filter(|version| version.state == State::Published);
        let mut published: Vec<String> = published.map(|version| version.name.clone()).collect();
        published.sort_unstable();
        published
    }

    async fn step_version(&self, op: Op, version: &mut Version) {
        let (app, id) = (&self.app, version.id.clone());
        let vote = async |ballot: &str, item: &Option<String>| match item {
            Some(item) => Some(app.vote(&app.admin, "main", item, ballot).await),
            None => None,
        };
        let (answer, expected) = match op {
            Op::Publish(_) => (Some(app.publish(&app.admin, "main", &id).await), publish(version, self.rules)),
            Op::Restore(_) => (Some(app.step(&app.admin, "main", &id, "restore", json!({})).await), restore(version, self.rules)),
            Op::Evaluate(_) => {
                let request = json!({"action": "publish", "versionId": id, "reason": "a look"});
                evaluate(version, self.rules);
                (Some(app.post(&app.admin, "/v1/repos/main/policy/evaluations", request).await), 201)
            }
            Op::Hold(_) => {
                let is_published = version.state == State::Published;
                if is_published {
                    version.state = State::Quarantined { from: From::Published, by: By::Hand };
                }
                (Some(app.hold(&app.admin, "main", &id).await), if is_published { 201 } else { 409 })
            }
            Op::Release(_) => (vote("release", &version.item).await, release(version)),
            Op::Reject(_) => {
                let is_held = matches!(version.state, State::Quarantined { .. });
                if is_held {
                    version.state = State::Rejected;
                }
                (vote("reject", &version.item).await, if is_held { 200 } else { 409 })
            }
            Op::Tombstone(_) => {
                let can = matches!(version.state, State::Published | State::Rejected);
                if can {
                    version.state = State::Tombstoned { was_rejected: version.state == State::Rejected };
                }
                (Some(app.tombstone(&app.admin, "main", &id).await), if can { 200 } else { 409 })
            }
            Op::Draft | Op::Policy(_) | Op::RunJobs => unreachable!("not about one version"),
        };
        let Some(answer) = answer else { return };
        let same = answer.status == expected || (expected == 201 && answer.status == 200);
        assert!(same, "{op:?} of {version:?} under {:?}: {} {}, not {expected}", self.rules, answer.status, answer.text());
        if let Some(item) = answer.json()["quarantineId"].as_str() {
            version.item = Some(item.to_owned());
        }
    }

    /// Compares everything with the model, before background work and after it.
    async fn check(&mut self) {
        self.check_reads().await;
        // Whatever the index has heard of so far, a search shows nothing that is not published; after the jobs it shows all.
        let found = self.found().await;
        let published = self.published();
        assert!(found.iter().all(|name| published.contains(name)), "{found:?}, published are {published:?}");
        self.run_jobs().await;
        self.check_reads().await;
        assert_eq!(self.found().await, self.published());
        self.check_holds().await;
    }

    fn names(list: &serde_json::Value) -> Vec<String> {
        let name = |item: &serde_json::Value| item["packageName"].as_str().or(item["name"].as_str()).unwrap_or_default().to_owned();
        let mut names: Vec<String> = items(list).iter().map(name).collect();
        names.sort();
        names
    }

    async fn found(&self) -> Vec<String> {
        World::names(&self.app.get(&self.reader, "/v1/repos/main/search/packages?q=demo&limit=200").await.expect(200).json())
    }

    async fn check_reads(&self) {
        let app = &self.app;
        for version in &self.versions {
            assert_eq!(app.state("main", &version.id).await, version.state.text(), "{version:?}");
            let read = app.get(&self.reader, &version_path("main", &version.id)).await;
            assert_eq!(read.status, version.state.status_for_readers(), "{version:?}");
            let file = app.get(&self.reader, &format!("/files/main/{0}/1.0/{0}.bin", version.name)).await;
            assert_eq!(file.status, version.state.status_for_readers(), "{version:?}: {}", file.text());
        }
        let listed = app.get(&self.reader, "/v1/repos/main/packages?limit=200").await.expect(200).json();
        assert_eq!(World::names(&listed), self.published());
    }

    async fn check_holds(&self) {
        let app = &self.app;
        let held = app.get(&app.admin, "/v1/repos/main/quarantine?status=quarantined&limit=200").await.expect(200).json();
        let mut held: Vec<String> = items(&held).iter().map(|item| text(item, "versionId")).collect();
        held.sort();
        let mut expected: Vec<String> = self
            .versions
            .iter()
            .filter(|version| matches!(version.state, State::Quarantined { .. }))
            .map(|version| version.id.clone())
            .collect();
        expected.sort();
        assert_eq!(held, expected);
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let number = 0_usize..8;
    let op = prop_oneof![
        3 => Just(Op::Draft),
        5 => number.clone().prop_map(Op::Publish),
        2 => number.clone().prop_map(Op::Evaluate),
        2 => number.clone().prop_map(Op::Hold),
        4 => number.clone().prop_map(Op::Release),
        2 => number.clone().prop_map(Op::Reject),
        3 => number.clone().prop_map(Op::Tombstone),
        3 => number.prop_map(Op::Restore),
        4 => prop_oneof![Just(Rules::None), Just(Rules::Hold), Just(Rules::Deny)].prop_map(Op::Policy),
        1 => Just(Op::RunJobs),
    ];
    proptest::collection::vec(op, 10..60)
}

#[test]
fn after_any_steps_everything_is_as_the_model_says() {
    let config = Config { cases: 24, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let run = |ops: Vec<Op>| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for op in [Op::Draft, Op::Draft, Op::Draft].into_iter().chain(ops) {
                world.step(op).await;
            }
            world.check().await;
        });
        Ok(())
    };
    TestRunner::new(config).run(&ops(), run).unwrap_or_else(|fault| panic!("{fault}"));
}
