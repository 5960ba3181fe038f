//! The whole table of routes. Invariant: who may call what is a reviewed text; without the right, every route answers 401, 403
//! or 404 and changes nothing.

use std::fmt::Write as _;
use std::path::Path;

use artifortress::app::App;
use artifortress::domain::access::Role;
use artifortress::http::{Access, Route};
use artifortress::routes;

use crate::support::TestApp;

fn matrix() -> String {
    let mut lines: Vec<String> = routes::table()
        .iter()
        .map(|route| format!("{:<8} {:<6} {}", route.access().as_str(), route.method().as_str(), route.pattern()))
        .collect();
    lines.sort_by_key(|line| (line[16..].to_owned(), line.clone()));
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").unwrap();
        text
    })
}

#[test]
fn the_role_matrix_is_the_reviewed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/role_matrix.txt");
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    let found = matrix();
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("role_matrix.txt"), &found).unwrap();
    let missing: Vec<&str> = reviewed.lines().filter(|line| !found.lines().any(|other| other == *line)).collect();
    let new: Vec<&str> = found.lines().filter(|line| !reviewed.lines().any(|other| other == *line)).collect();
    assert!(
        missing.is_empty() && new.is_empty(),
        "the routes differ from tests/role_matrix.txt; review the difference and take over target/tmp/role_matrix.txt\n- {}\n+ {}",
        missing.join("\n- "),
        new.join("\n+ ")
    );
    assert_eq!(found, reviewed, "the order of tests/role_matrix.txt");
}

/// Routes of other verbs than GET that change nothing: they tell whether what was sent is a token.
const CHANGE_NOTHING: &[&str] = &["PUT /npm/{repoKey}/-/user/{user}", "POST /npm/{repoKey}/-/v1/login"];

#[test]
fn a_route_that_changes_something_is_open_to_nobody_without_credentials() {
    let open: Vec<String> = routes::table()
        .iter()
        .filter(|route| !["GET", "HEAD"].contains(&route.method().as_str()) && route.access() == Access::Anyone)
        .filter(|route| !CHANGE_NOTHING.contains(&name(route).as_str()))
        .map(|route| format!("{route:?}"))
        .collect();
    assert!(open.is_empty(), "{open:?}");
}

/// The scopes that fall short of this access, and what each is answered.
fn short_of(access: Access) -> Vec<(Option<&'static str>, &'static [u16])> {
    let nobody: (Option<&str>, &[u16]) = (None, &[401]);
    let stranger: (Option<&str>, &[u16]) = (Some("repo:other:admin"), &[404]);
    let weaker = |roles: &[&'static str]| -> Vec<(Option<&'static str>, &'static [u16])> {
        roles.iter().map(|role| (Some(*role), [403].as_slice())).collect()
    };
    match access {
        Access::Repo(Role::Read) => vec![nobody, stranger],
        Access::Repo(Role::Write) => [vec![nobody, stranger], weaker(&["repo:main:read", "repo:main:promote"])].concat(),
        Access::Repo(Role::Promote) => [vec![nobody, stranger], weaker(&["repo:main:read", "repo:main:write"])].concat(),
        Access::Repo(Role::Admin) => [vec![nobody, stranger], weaker(&["repo:main:read", "repo:main:write", "repo:main:promote"])].concat(),
        Access::Operator => [vec![nobody], weaker(&["repo:main:admin", "repo:*:promote"])].concat(),
        Access::Signed => vec![nobody],
        Access::Anyone => Vec::new(),
    }
}

fn name(route: &Route<App>) -> String {
    format!("{} {}", route.method(), route.pattern())
}

#[tokio::test]
async fn without_the_right_every_route_answers_401_403_or_404_and_changes_nothing() {
    let app = TestApp::new().await;
    let mut tokens = std::collections::BTreeMap::new();
    for scope in ["repo:other:admin", "repo:main:read", "repo:main:write", "repo:main:promote", "repo:main:admin", "repo:*:promote"] {
        tokens.insert(scope, app.issue("ann", &[scope]).await);
    }
    let before = app.everything();
    let mut faults = Vec::new();
    let mut count = 0;
    for route in &routes::table() {
        for (scope, allowed) in short_of(route.access()) {
            let token = scope.map_or("", |scope| tokens[scope].as_str());
            let answer = app.call(route.method().as_str(), route.example()).token(token).send().await;
            count += 1;
            if !allowed.contains(&answer.status) {
                faults.push(format!("{} as {}: {} {}", name(route), scope.unwrap_or("nobody"), answer.status, answer.text()));
            }
            if answer.status == 401 && answer.header("www-authenticate").is_empty() {
                faults.push(format!("{}: a 401 without WWW-Authenticate", name(route)));
            }
        }
    }
    assert!(count > 100, "only {count} calls were made");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(app.everything(), before);
}

#[tokio::test]
async fn a_wrong_verb_is_405_and_names_the_right_ones() {
    let app = TestApp::new().await;
    for route in &routes::table() {
        let answer = app.call("TRACE", route.example()).token(&app.admin).send().await.expect(405);
        assert!(answer.header("allow").contains(route.method().as_str()), "{}: {}", name(route), answer.header("allow"));
    }
    app.get(&app.admin, "/v1/nothing").await.refused(404, "not_found");
}

#[tokio::test]
async fn every_answer_carries_its_request_id_and_forbids_sniffing() {
    let app = TestApp::new().await;
    for route in &routes::table() {
        for token in ["", app.admin.as_str()] {
            if route.method() != "GET" {
                continue;
            }
            let answer = app.get(token, route.example()).await;
            assert_eq!(answer.header("x-request-id").len(), 36, "{}", name(route));
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{}", name(route));
            assert!(!answer.header("cache-control").is_empty(), "{}", name(route));
            assert_ne!(answer.status, 500, "{}: {}", name(route), answer.text());
        }
    }
}
