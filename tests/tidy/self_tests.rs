//! Tests of the rules on small sources. Invariant: every rule is shown failing on what it forbids and passing on what it allows.

use super::rules::{
    REGISTRIES, formats_named_by_formats, ignored_tests, names, registry_hosts, sql_outside_the_store, status_numbers, too_long,
    unlisted_migrations, without_introduction, wrong_rooms,
};
use super::source::Source;
use super::{LINES_LIMIT, ROOMS};

/// How many faults the rule finds in each source of a file at `path`.
fn counts(rule: fn(&Source) -> Vec<String>, path: &str, texts: &[&str]) -> Vec<usize> {
    texts.iter().map(|text| rule(&Source::new(path, text)).len()).collect()
}

#[test]
fn a_wrong_import_is_found_in_every_spelling() {
    let wrong = [
        "use crate::store::Store;",
        "use crate::{error::Error, store};",
        "use crate::{domain::{id, time}, store::{read_view::ReadView}};",
        "use super::store::Store;",
        "use self::super::store;",
        "pub use crate::store as shelf;",
        "fn f() { let x = crate::store::open(); }",
        "fn f(x: &crate::store::Store) {}",
        "mod inner { use super::super::store::Store; }",
        "macro_rules! m { () => { $crate::store::open() } }",
        "const X: usize = { crate::store::LIMIT };",
        "use crate as everything;",
        "use crate::{self as everything};",
        "use crate::*;",
        "use super::*;",
        "extern crate self as everything;",
        "#[cfg(not(test))] use crate::store::Store;",
    ];
    assert_eq!(counts(wrong_rooms, "src/policy.rs", &wrong), vec![1; wrong.len()]);
    let deeper =
        ["use super::super::store::Store;", "use super::super::{store::Store};", "use super::super::*;", "use super::super::super::store;"];
    assert_eq!(counts(wrong_rooms, "src/policy/engine.rs", &deeper), vec![1; deeper.len()]);
    assert_eq!(counts(wrong_rooms, "src/policy/mod.rs", &["use super::store::Store;"]), [1]);
}

#[test]
fn what_the_table_allows_and_what_only_tests_compile_passes() {
    let right = [
        "use crate::domain::id::VersionId;",
        "use crate::{domain, error::{Error, Result}};",
        "use self::engine::Engine; use crate::policy::document;",
        "use self::inner::Thing; mod inner { use super::Other; pub struct Thing; }",
        "// use crate::store::Store;\n/* crate::store */ /// crate::store::Store\nfn f() {}",
        "const TEXT: &str = \"use crate::store::Store;\";",
        "#[cfg(test)] mod tests { use crate::store::Store; }",
        "#[cfg(test)] use crate::store::{Store, Write};\nfn f() {}",
        "mod inner { #[cfg(all(test, unix))] mod tests { use crate::store::Store; } }",
        "pub(crate) fn f(&self) { self.store(); }",
        "pub(in crate::policy) fn f() {}",
    ];
    assert_eq!(counts(wrong_rooms, "src/policy/mod.rs", &right), vec![0; right.len()]);
    assert_eq!(counts(wrong_rooms, "src/main.rs", &["use crate::store::Store; use crate::*;"]), [0]);
    assert_eq!(counts(wrong_rooms, "src/cli/serve.rs", &["use crate::{store, api};"]), [0]);
    assert_eq!(counts(wrong_rooms, "src/policy/tests.rs", &["use crate::store::Store;"]), [0]);
}

#[test]
fn the_store_names_of_the_policy_only_what_it_records() {
    let texts = [
        "use crate::policy::{Verdict, digest_of_policies};",
        "use crate::policy::evaluate;",
        "use crate::policy;",
        "use crate::policy::{Verdict, Engine};",
    ];
    assert_eq!(counts(wrong_rooms, "src/store/steps.rs", &texts), [0, 1, 1, 1]);
}

#[test]
fn code_after_a_test_module_is_still_seen() {
    let text = "#[cfg(test)]\n#[allow(dead_code)]\nmod tests { fn hidden() {} }\nuse crate::store::Store;";
    let source = Source::new("src/policy.rs", text);
    assert!(!names(&source, "hidden") && names(&source, "Store"));
    assert_eq!(wrong_rooms(&source), ["src/policy.rs:4: policy may not name store (store::Store)"]);
}

#[test]
fn a_room_that_is_not_in_the_table_is_found() {
    assert_eq!(counts(wrong_rooms, "src/helpers/mod.rs", &[""]), [1]);
    assert_eq!(counts(wrong_rooms, "src/helpers.rs", &[""]), [1]);
}

#[test]
fn the_table_names_only_rooms_it_has_and_no_two_rooms_name_each_other() {
    let allowed = |room: &str| ROOMS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
    for (room, named) in ROOMS {
        for other in named.iter().filter(|other| **other != "*") {
            let back = allowed(other).unwrap_or_else(|| panic!("{room} may name {other}, which is not in the table"));
            assert!(!back.contains(room), "{room} and {other} may name each other");
        }
    }
}

#[test]
fn a_format_that_names_another_is_found() {
    let wrong = [
        "use crate::formats::npm::name;",
        "use super::npm::name;",
        "use crate::formats::{npm};",
        "use super::super::formats::npm;",
        "use super::*;",
    ];
    assert_eq!(counts(formats_named_by_formats, "src/formats/pypi/mod.rs", &wrong), vec![1; wrong.len()]);
    let right = ["use super::index::Index; use crate::formats::pypi::name;", "use crate::formats::Format;", "use crate::formats::answer;"];
    assert_eq!(counts(formats_named_by_formats, "src/formats/pypi/upload.rs", &right), vec![0; right.len()]);
    let common = ["use super::refusal::Refusal;", "use crate::formats::pypi::name;"];
    assert_eq!(counts(formats_named_by_formats, "src/formats/outcome.rs", &common), [0, 1]);
    assert_eq!(counts(formats_named_by_formats, "src/formats/mod.rs", &["use self::npm::routes; use crate::formats::pypi;"]), [0]);
}

#[test]
fn a_long_file_and_one_without_an_introduction_are_found() {
    let long = "//! It is long.\n".repeat(LINES_LIMIT + 1);
    assert_eq!(counts(too_long, "src/a.rs", &[&long, &long[16..]]), [1, 0]);
    let texts = ["", "fn f() {}", "\n//! Late words.", "//!", "//! x", "/// Other words.", "//! What it is."];
    assert_eq!(counts(without_introduction, "src/a.rs", &texts), [1, 1, 1, 1, 1, 1, 0]);
}

#[test]
fn sql_outside_the_store_is_found() {
    let wrong = [
        r#"const Q: &str = "SELECT id FROM versions";"#,
        r##"const Q: &str = r#"INSERT INTO versions VALUES (1)"#;"##,
        "const Q: &str = \"UPDATE versions\n   SET state = 'published'\";",
        r#"fn f() { run("DELETE FROM versions") }"#,
        r#"fn f() { run("\nSELECT\n 1") }"#,
        "use rusqlite::Connection;",
        "fn f(c: &r2d2::Pool<M>) {}",
    ];
    assert_eq!(counts(sql_outside_the_store, "src/api/versions.rs", &wrong), vec![1; wrong.len()]);
    assert_eq!(counts(sql_outside_the_store, "src/store/versions.rs", &wrong), vec![0; wrong.len()]);
    let right = [
        "/// SELECT it FROM there.\nfn f() {}",
        r#"const T: &str = "choose one, or UPDATE it";"#,
        "// SELECT 1\nfn f() {}",
        "#[cfg(test)] mod tests { const Q: &str = \"SELECT 1\"; }",
    ];
    assert_eq!(counts(sql_outside_the_store, "src/api/versions.rs", &right), vec![0; right.len()]);
}

#[test]
fn a_status_outside_the_transport_is_found() {
    let wrong = [
        "fn f() { reply(StatusCode::OK) }",
        "fn f() { reply(http::StatusCode::NOT_FOUND) }",
        "fn f() { Reply::new().status(404) }",
        "fn f() { StatusCode(from_u16(404)) }",
        "fn f() { if answer.status() == 404 {} }",
        "fn f() { if answer.status() >= 400 {} }",
    ];
    assert_eq!(counts(status_numbers, "src/api/versions.rs", &wrong), vec![1; wrong.len()]);
    for allowed in ["src/http/reply.rs", "src/formats/npm/mod.rs", "src/error.rs"] {
        assert_eq!(counts(status_numbers, allowed, &wrong), vec![0; wrong.len()]);
    }
    let right = [
        "fn f(status: QuarantineStatus) { item.status(status) }",
        "fn f(x: StatusCode) {}",
        "fn f() { if item.status() == QuarantineStatus::Released {} }",
    ];
    assert_eq!(counts(status_numbers, "src/api/versions.rs", &right), vec![0; right.len()]);
}

#[test]
fn an_ignored_test_is_found() {
    let wrong = [
        "#[test] #[ignore] fn f() {}",
        "#[cfg(test)] mod tests { #[test] #[ignore = \"slow\"] fn f() {} }",
        "#[cfg_attr(not(unix), ignore)] #[test] fn f() {}",
    ];
    assert_eq!(counts(ignored_tests, "src/a.rs", &wrong), vec![1; wrong.len()]);
    assert_eq!(
        counts(ignored_tests, "src/a.rs", &["// #[ignore]\n#[test] fn ignore() {}", "#[allow(unused)] fn f() { ignore(); }"]),
        [0, 0]
    );
}

#[test]
fn a_migration_that_is_not_listed_or_out_of_order_is_found() {
    let store = [Source::new(
        "src/store/migrate.rs",
        r#"const M: &[&str] = &[include_str!("../../schema/0001_initial.sql")]; // schema/0002_later.sql"#,
    )];
    let named = |names: &[&str]| unlisted_migrations(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &store).len();
    assert_eq!(named(&["0001_initial.sql"]), 0);
    assert_eq!(named(&["0001_initial.sql", "0002_later.sql"]), 1);
    assert_eq!(named(&["0002_later.sql"]), 2);
    assert_eq!(named(&["0001_initial.sql", "search/0001_words.sql"]), 1);
    assert_eq!(named(&["0001_initial.sql", "search/0002_words.sql"]), 2);
}

#[test]
fn the_host_of_a_registry_is_found() {
    for (name, domain) in REGISTRIES {
        let text = format!("one\nsee https://{}.{}/simple", name.to_uppercase(), domain);
        assert!(registry_hosts("a.md", &text).iter().any(|fault| fault.starts_with("a.md:2: ")), "{name}");
    }
    assert!(registry_hosts("a.md", "PyPI, npm and Cargo at packages.example.org").is_empty());
}
