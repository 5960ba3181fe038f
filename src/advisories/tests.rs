//! What advisories say of versions: the OSV format's evaluation, its traps, and folding. Invariant under test: nothing that cannot be
//! read ever excludes a version.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::advisory::AdvisoryFindings;
use crate::domain::name::{Coordinates, PackageName};
use crate::domain::order::readable_key;

fn record(value: &Value) -> Record {
    Record::read(value.to_string().as_bytes()).unwrap()
}

fn at(package_type: &str, namespace: &str, name: &str, version: &str) -> Coordinates {
    Coordinates::new(PackageName::new(package_type.parse().unwrap(), namespace, name).unwrap(), version).unwrap()
}

/// What these records say of a version, found as the store finds them: by ecosystem and key.
fn said_of(coordinates: &Coordinates, records: &[Value]) -> AdvisoryFindings {
    let ecosystem = Ecosystem::of(coordinates.package().package_type()).unwrap();
    let key = package_key(coordinates.package());
    let claims: Vec<Claim> = records
        .iter()
        .flat_map(|value| record(value).claims)
        .filter(|(of, package, _)| *of == ecosystem && *package == key)
        .map(|(_, _, claim)| serde_json::from_str(&serde_json::to_string(&claim).unwrap()).unwrap())
        .collect();
    findings(coordinates, &claims)
}

/// An advisory with one `affected` entry for the package `demo`.
fn advisory(id: &str, ecosystem: &str, affected: &Value) -> Value {
    let mut entry = json!({"package": {"ecosystem": ecosystem, "name": if ecosystem == "Maven" { "demo:demo" } else { "demo" }}});
    entry.as_object_mut().unwrap().extend(affected.as_object().unwrap().clone());
    json!({"id": id, "modified": "0001-01-01T00:00:00Z", "affected": [entry]})
}

fn demo(package_type: &str, version: &str) -> Coordinates {
    at(package_type, if package_type == "maven" { "demo" } else { "" }, "demo", version)
}

fn matches(package_type: &str, affected: &Value, version: &str) -> bool {
    let ecosystem = Ecosystem::of(&package_type.parse().unwrap()).unwrap();
    said_of(&demo(package_type, version), &[advisory("A-1", ecosystem.as_str(), affected)]).count == 1
}

fn range(events: &Value) -> Value {
    json!({"ranges": [{"type": "ECOSYSTEM", "events": events}]})
}

#[test]
fn a_range_has_the_versions_that_the_formats_algorithm_gives_it() {
    for (package_type, events, inside, outside) in [
        ("npm", json!([{"introduced": "0"}, {"fixed": "4.17.21"}]), vec!["0.0.0-0", "4.17.20", "4.17.21-rc.1"], vec!["4.17.21", "5.0.0"]),
        ("npm", json!([{"introduced": "1.0.0-0"}, {"fixed": "2.0.0-0"}]), vec!["1.0.0-0", "1.0.0-rc", "1.9.9"], vec!["0.9.0", "2.0.0-a"]),
        ("npm", json!([{"fixed": "2.0.0"}, {"introduced": "1.0.0"}]), vec!["1.0.0", "1.10.0"], vec!["0.9.0", "2.0.0"]),
        ("npm", json!([{"introduced": "1.2"}, {"last_affected": "v1.4"}]), vec!["1.2.0", "1.4.0"], vec!["1.1.9", "1.4.1"]),
        ("npm", json!([{"introduced": "2.0.0"}, {"last_affected": "2.0.0"}]), vec!["2.0.0"], vec!["1.9.9", "2.0.1"]),
        ("cargo", json!([{"introduced": "0.0.0-0"}, {"fixed": "0.9.0"}]), vec!["0.0.0-0", "0.8.9"], vec!["0.9.0", "0.9.0+b"]),
        ("cargo", json!([{"introduced": "0"}, {"limit": "2.0.0"}]), vec!["1.0.0"], vec!["2.0.0"]),
        (
            "pypi",
            json!([{"introduced": "4.0"}, {"fixed": "4.3"}, {"introduced": "5.0"}, {"fixed": "5.2"}]),
            vec!["4", "4.2.9", "5.1"],
            vec!["3.9", "4.3.0", "4.9", "5.2"],
        ),
        ("pypi", json!([{"introduced": "0"}, {"fixed": "1!0.1"}]), vec!["2024.1", "1!0.1rc1"], vec!["1!0.1", "1!2"]),
        (
            "pypi",
            json!([{"introduced": "0"}, {"last_affected": "1.0"}]),
            vec!["1.0", "1.0.0", "1.0+local"],
            vec!["1.0.post1", "1.0.post1+local", "1.10"],
        ),
        (
            "maven",
            json!([{"introduced": "1.0"}, {"fixed": "1.0-sp"}]),
            vec!["1", "1.0.0", "1.0.GA"],
            vec!["1.0-alpha", "1-SNAPSHOT", "1.0-sp"],
        ),
        (
            "golang",
            json!([{"introduced": "1.0.0"}, {"fixed": "1.2.1-0.20231016150651-428517fef5b9"}]),
            vec!["v1.2.0", "v1.0.0"],
            vec!["v1.2.1", "v1.2.1-0.20231016150652-000000000000", "v0.0.0-20230101000000-000000000000"],
        ),
        ("golang", json!([{"introduced": "0"}, {"fixed": "2.1.0"}]), vec!["v2.0.0+incompatible"], vec!["v2.1.0+incompatible"]),
        ("nuget", json!([{"introduced": "1.0"}, {"fixed": "13.0.1"}]), vec!["1.0.0", "9.0.1", "13.0.1-beta"], vec!["13.0.1.0"]),
        ("gem", json!([{"introduced": "0"}, {"fixed": "5.2.4.3"}]), vec!["5.2.4.3.rc1", "5.2.4.2", "5.2"], vec!["5.2.4.3", "5.2.10"]),
        ("composer", json!([{"introduced": "4.0"}, {"fixed": "4.4.7"}]), vec!["v4.4.6", "4.4.7-RC1"], vec!["4.4.7", "4.4.10"]),
    ] {
        let affected = range(&events);
        for version in inside {
            assert!(matches(package_type, &affected, version), "{package_type} {version} is in {events}");
        }
        for version in outside {
            assert!(!matches(package_type, &affected, version), "{package_type} {version} is not in {events}");
        }
    }
}

#[test]
fn what_ends_where_something_else_begins_ends_nothing_of_that() {
    for (events, inside, outside) in [
        // As PYSEC-2022-42972 and PYSEC-2023-72 have them, in no order.
        (
            json!([{"introduced": "0.13.0"}, {"fixed": "0.14.0rc1"}, {"introduced": "0.12.2"}, {"fixed": "0.13.0"}]),
            vec!["0.12.2", "0.13.0", "0.13.5"],
            vec!["0.12.1", "0.14.0rc1"],
        ),
        (
            json!([{"introduced": "0"}, {"fixed": "3.1.1"}, {"introduced": "3.2.0"}, {"fixed": "3.2.2"}, {"introduced": "3.1.1"}, {"fixed": "3.2.0"}]),
            vec!["1", "3.1.1", "3.1.5", "3.2.0", "3.2.1"],
            vec!["3.2.2"],
        ),
        // As RUSTSEC-2022-0012 ends: nothing lies between.
        (
            json!([{"introduced": "0"}, {"fixed": "0.7.1"}, {"introduced": "0.10.0"}, {"fixed": "0.10.0"}]),
            vec!["0.7"],
            vec!["0.7.1", "0.10.0", "1"],
        ),
        (
            json!([{"introduced": "1"}, {"last_affected": "2"}, {"introduced": "2"}, {"fixed": "3"}]),
            vec!["1", "2", "2.5"],
            vec!["0.9", "3"],
        ),
        (
            json!([{"introduced": "1"}, {"last_affected": "1"}, {"introduced": "2"}, {"last_affected": "2"}]),
            vec!["1", "2"],
            vec!["1.5", "2.1"],
        ),
    ] {
        let affected = range(&events);
        for version in inside {
            assert!(matches("pypi", &affected, version), "{version} is in {events}");
        }
        for version in outside {
            assert!(!matches("pypi", &affected, version), "{version} is not in {events}");
        }
    }
}

#[test]
fn several_ranges_and_entries_of_one_package_all_count() {
    let affected = [("2.13.0", "2.15.0"), ("0", "2.3.1"), ("2.4", "2.12.2")].map(|(introduced, fixed)| {
        json!({"package": {"ecosystem": "Maven", "name": "org.apache.logging.log4j:log4j-core"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": introduced}, {"fixed": fixed}]}]})
    });
    let log4j = json!({"id": "GHSA-jfh8-c2jp-5v3q", "modified": "2022-03-25T20:56:18Z", "aliases": ["CVE-2021-44228"],
        "affected": affected,
        "database_specific": {"severity": "CRITICAL"}});
    let said = |version| said_of(&at("maven", "org.apache.logging.log4j", "log4j-core", version), std::slice::from_ref(&log4j));
    for version in ["2.14.1", "2.0-beta9", "2.12.1", "2.15.0-rc1"] {
        let found = said(version);
        assert_eq!((found.count, found.max_severity.tenths(), found.is_fix_available), (1, 95, true), "{version}");
    }
    for version in ["2.3.1", "2.12.2", "2.15.0", "2.17.1"] {
        assert_eq!(said(version).count, 0, "{version}");
    }
    let two = json!({"ranges": [
        {"type": "SEMVER", "events": [{"introduced": "1.0.0"}, {"fixed": "1.1.0"}]},
        {"type": "SEMVER", "events": [{"introduced": "2.0.0"}, {"fixed": "2.1.0"}]}]});
    assert_eq!(
        ["0.9.0", "1.0.5", "1.5.0", "2.0.5", "2.1.0"].map(|version| matches("npm", &two, version)),
        [false, true, false, true, false]
    );
}

#[test]
fn versions_named_one_by_one_are_compared_in_their_ecosystems_spelling() {
    let listed = json!({"versions": ["1.0-RC1", "2.0", "2004d"]});
    assert_eq!(["1.0rc1", "2", "2.0.0", "2.1"].map(|version| matches("pypi", &listed, version)), [true, true, true, false]);
    assert!(matches("npm", &json!({"versions": ["6.2.2"]}), "6.2.2"));
    assert_eq!(
        ["2.0+cu118", "2.1+cu118"].map(|version| matches("pypi", &listed, version)),
        [true, false],
        "a local build is one of its version"
    );
    let told_apart = range(&json!([{"introduced": "0"}, {"fixed": "2.0+safe.1"}]));
    assert_eq!(["2.0+a", "2.0+safe.1"].map(|version| matches("pypi", &told_apart, version)), [true, false]);
    let both = json!({"versions": ["0.5", "1.5"], "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1.0"}, {"fixed": "2.0"}]}]});
    assert_eq!(["0.5", "0.6", "1.5", "1.6"].map(|version| matches("pypi", &both, version)), [true, false, true, true]);
    let kept = &record(&advisory("A-1", "PyPI", &both)).claims[0].2.entries[0].versions;
    assert_eq!(kept, &["0.5"], "what a range has is not kept a second time");
}

#[test]
fn an_entry_without_versions_speaks_of_all_and_one_of_commits_of_none() {
    assert!(matches("npm", &json!({}), "9.9.9") && matches("npm", &json!({"ranges": [], "versions": null}), "0.0.1"));
    let git = json!({"type": "GIT", "repo": "https://example.org/demo", "events": [{"introduced": "0"}, {"fixed": "abc"}]});
    assert!(!matches("pypi", &json!({"ranges": [git]}), "1.0"));
    assert!(matches("pypi", &json!({"ranges": [git], "versions": ["1.0"]}), "1.0"));
    assert!(!matches("pypi", &json!({"ranges": [git], "versions": ["1.0"]}), "1.1"));
    assert!(record(&json!({"id": "A-1", "modified": "2024-01-01T00:00:00Z", "affected": []})).claims.is_empty());
    assert!(record(&json!({"id": "A-1", "modified": "2024-01-01T00:00:00Z"})).claims.is_empty());
}

#[test]
fn what_cannot_be_read_never_excludes_a_version() {
    let unreadable = range(&json!([{"introduced": "1.0"}, {"fixed": "next summer"}]));
    assert_eq!(["0.9", "1.0", "99"].map(|version| matches("pypi", &unreadable, version)), [false, true, true]);
    let begins = range(&json!([{"introduced": "long ago"}, {"fixed": "2.0"}]));
    assert_eq!(["0.9", "3.0"].map(|version| matches("pypi", &begins, version)), [true, true]);
    assert_eq!(record(&advisory("A-1", "PyPI", &begins)).unreadable_ranges, 1);
    let readable = range(&json!([{"introduced": "1.0.0"}, {"fixed": "2.0.0"}]));
    assert!(matches("nuget", &readable, "weekly") && matches("golang", &readable, "master"), "our own version cannot be read");
    assert!(!matches("nuget", &json!({"versions": ["1.0.0"]}), "weekly"), "a list names versions; this is none of them");
    assert!(matches("npm", &json!({"ranges": [{"type": "LUNAR", "events": [{"introduced": "0"}]}]}), "1.0.0"));
    assert!(matches("npm", &range(&json!([])), "1.0.0"), "a range without events excludes nothing");
    assert!(matches("npm", &range(&json!([{"fixed": "2.0.0"}])), "1.0.0"), "a range that never begins begins at the beginning");
}

#[test]
fn a_withdrawn_record_matches_nothing() {
    let mut withdrawn = advisory("A-1", "npm", &json!({}));
    withdrawn["withdrawn"] = json!("2022-01-01T00:00:00Z");
    assert_eq!(said_of(&demo("npm", "1.0.0"), &[withdrawn]).count, 0);
}

#[test]
fn malware_vulnerabilities_and_notices_are_told_apart() {
    let told = |id: &str, more: &Value| {
        let found = said_of(&demo("cargo", "1.0.0"), &[advisory(id, Ecosystem::CratesIo.as_str(), more)]);
        (found.is_malicious, found.count, found.informational_count)
    };
    assert_eq!(told("RUSTSEC-1", &json!({})), (false, 1, 0));
    assert_eq!(told("MAL-2026-1", &json!({})), (true, 1, 0));
    assert_eq!(told("RUSTSEC-1", &json!({"database_specific": {"categories": ["code-execution", "malicious"]}})), (true, 1, 0));
    assert_eq!(told("GHSA-1", &json!({"database_specific": {"cwes": [{"cweId": "CWE-506"}]}})), (true, 1, 0));
    for word in ["unmaintained", "unsound", "notice"] {
        assert_eq!(told("RUSTSEC-1", &json!({"database_specific": {"informational": word}})), (false, 0, 1));
    }
    assert_eq!(told("RUSTSEC-1", &json!({"database_specific": {"informational": null, "categories": []}})), (false, 1, 0));
    assert_eq!(told("MAL-1", &json!({"database_specific": {"informational": "notice"}})), (true, 1, 0));
    let mut by_record = advisory("GHSA-2", Ecosystem::CratesIo.as_str(), &json!({}));
    by_record["database_specific"] = json!({"cwe_ids": ["CWE-506"], "severity": "CRITICAL"});
    let found = said_of(&demo("cargo", "1.0.0"), &[by_record.clone()]);
    assert!(found.is_malicious && found.max_severity.tenths() == 95);
    by_record["database_specific"] = json!({});
    by_record["aliases"] = json!(["MAL-2026-2"]);
    assert!(said_of(&demo("cargo", "1.0.0"), &[by_record]).is_malicious);
}

#[test]
fn records_that_share_an_id_are_one_vulnerability_and_the_worst_counts() {
    let named = |id: &str, aliases: &[&str], fixed: &str, severity: &str| {
        let mut value = advisory(id, "PyPI", &range(&json!([{"introduced": "0"}, {"fixed": fixed}])));
        value["aliases"] = json!(aliases);
        value["database_specific"] = json!({"severity": severity});
        value
    };
    let records = [
        named("PYSEC-1", &["CVE-1"], "2.0", ""),
        named("GHSA-9", &["CVE-9"], "2.0", "LOW"),
        named("GHSA-1", &["CVE-1", "CVE-2"], "2.0", "HIGH"),
        named("PYSEC-2", &["CVE-2"], "0.5", "CRITICAL"),
    ];
    let found = said_of(&demo("pypi", "1.0"), &records);
    assert_eq!((found.count, found.max_severity.tenths(), found.unrated_count, found.is_fix_available), (2, 80, 0, true));
    assert_eq!(found.ids.into_iter().collect::<Vec<_>>(), ["CVE-1", "CVE-2", "CVE-9", "GHSA-1", "GHSA-9", "PYSEC-1"]);
    assert!(found.ids_complete);
    let found = said_of(&demo("pypi", "0.1"), &records);
    assert_eq!((found.count, found.max_severity.tenths()), (2, 95), "the third joins the first by way of another's alias");
}

#[test]
fn one_alias_on_several_packages_is_found_for_each_of_them() {
    let for_package = |id: &str, name: &str| {
        json!({"id": id, "modified": "2021-05-20T00:00:00Z", "aliases": ["CVE-2021-29513"], "affected": [
            {"package": {"ecosystem": "PyPI", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1.4"}]}]}]})
    };
    let records = [for_package("PYSEC-2021-141", "tensorflow"), for_package("PYSEC-2021-640", "tensorflow-gpu")];
    for (name, id) in [("tensorflow", "PYSEC-2021-141"), ("TensorFlow_GPU", "PYSEC-2021-640")] {
        let found = said_of(&at("pypi", "", name, "2.1.0"), &records);
        assert_eq!((found.count, found.ids.into_iter().collect::<Vec<_>>()), (1, vec!["CVE-2021-29513".to_owned(), id.to_owned()]));
    }
}

#[test]
fn a_fix_is_there_when_every_vulnerability_has_one_that_is_later() {
    let fixed = advisory("A-1", "npm", &range(&json!([{"introduced": "0"}, {"fixed": "1.5.0"}])));
    let forever =
        advisory("A-2", "npm", &json!({"versions": ["1.0.0"], "ranges": [{"type": "SEMVER", "events": [{"introduced": "1.0.0"}]}]}));
    let passed = advisory("A-3", "npm", &range(&json!([{"introduced": "0"}, {"fixed": "0.5.0"}, {"introduced": "0.9.0"}])));
    let notice = advisory("A-4", "npm", &json!({"database_specific": {"informational": "notice"}}));
    let has_fix = |records: &[&Value]| {
        let records: Vec<Value> = records.iter().map(|value| (*value).clone()).collect();
        said_of(&demo("npm", "1.0.0"), &records).is_fix_available
    };
    assert!(has_fix(&[&fixed]) && has_fix(&[&fixed, &notice]));
    assert!(!has_fix(&[&fixed, &forever]) && !has_fix(&[&passed]) && !has_fix(&[&notice]) && !has_fix(&[]));
}

#[test]
fn a_record_that_is_not_what_the_format_says_is_refused_by_name() {
    for (bytes, said) in [
        (&br#"{"id": "A-1"}"#[..], "modified"),
        (br#"{"id": "A 1", "modified": "2024-01-01T00:00:00Z"}"#, "no id of an advisory"),
        (br#"{"id": "", "modified": "2024-01-01T00:00:00Z"}"#, "no id of an advisory"),
        (br#"{"id": "A-1", "modified": "yesterday"}"#, "`modified`"),
        (br#"{"id": "A-1", "modified": "2024-01-01T00:00:00Z", "withdrawn": "x"}"#, "`withdrawn`"),
        (br#"{"id": "A-1", "modified": "2024-01-01T00:00:00Z", "affected": [{"ranges": 1}]}"#, "affected[0].ranges"),
        (br#"{"id": "A-1", "modified": "2024-01-01T00:00:00Z", "affected": [{"versions": [1]}]}"#, "affected[0].versions"),
        (b"[]", "no OSV record"),
        (b"{", "not JSON"),
    ] {
        let error = Record::read(bytes).unwrap_err();
        assert!(error.message().contains(said), "{said}: {error}");
    }
    let many = json!({"id": "A-1", "modified": "2024-01-01T00:00:00Z", "affected": vec![json!({}); 10_001]});
    assert!(Record::read(many.to_string().as_bytes()).unwrap_err().message().contains("10000"));
}

#[test]
fn one_record_has_one_digest_however_it_is_written() {
    let one = Record::read(br#"{"id": "A-1", "modified": "2024-01-01T00:00:00Z", "summary": "s"}"#).unwrap();
    let other = Record::read(b"{ \"summary\":\"s\",\n\"modified\":\"2024-01-01T00:00:00Z\", \"id\":\"A-1\"}").unwrap();
    assert_eq!((one.digest, &one.canonical), (other.digest, &other.canonical));
    let changed = Record::read(br#"{"id": "A-1", "modified": "2024-01-01T00:00:00Z", "summary": "t"}"#).unwrap();
    assert_ne!(one.digest, changed.digest);
}

proptest! {
    #[test]
    fn a_range_holds_what_lies_between_its_bounds_in_any_order_of_events(
        introduced in 0_u64..20, length in 1_u64..20, version in 0_u64..50, swap in any::<bool>(), inclusive in any::<bool>(),
    ) {
        let end = introduced + length;
        let last = if inclusive { "last_affected" } else { "fixed" };
        let mut events = vec![json!({"introduced": format!("1.{introduced}.0")}), json!({last: format!("1.{end}.0")})];
        if swap {
            events.reverse();
        }
        let expected = version >= introduced && (version < end || (inclusive && version == end));
        for package_type in ["npm", "cargo", "pypi", "maven", "nuget", "gem", "golang", "composer", "hex", "pub", "swift"] {
            prop_assert_eq!(matches(package_type, &range(&json!(events)), &format!("1.{version}.0")), expected, "{}", package_type);
        }
    }

    #[test]
    fn every_order_is_total_and_any_text_has_a_place_or_none(one in "\\PC{0,12}", two in "[0-9a-z.+-]{0,12}", three in "[0-9a-z.-]{0,12}") {
        for ecosystem in Ecosystem::ALL {
            let keys: Vec<_> = [&one, &two, &three].iter().filter_map(|text| readable_key(ecosystem.package_type(), text)).collect();
            prop_assert!(keys.iter().all(|key| !key.is_empty()), "a key is never before every version");
        }
    }
}
