//! One line of the index. Invariant: made of what never changes about a version, so that its bytes are the same each time but for
//! `yanked`, also while it is withheld; it says nothing of a withheld version that lock files do not hold it to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::declared::{Declared, Dependency, Kind};
use super::name::file_name;
use crate::domain::lockable::Lockable;
use crate::domain::name::Coordinates;
use crate::domain::time::Time;
use crate::domain::visibility::Listed;

/// The version of the index's form in which `features2` came.
const WITH_FEATURES2: u32 = 2;

/// A version as the index lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Which version.
    pub(super) at: Coordinates,
    /// Its line; `None` where it is no crate that Cargo could use.
    pub(super) line: Option<String>,
}

impl Item {
    /// What the index says of a listed release; a withheld one is not offered, so that Cargo passes it over and yet keeps it where a
    /// lock file names it.
    pub(super) fn of(listed: Listed) -> Item {
        match listed {
            Listed::Visible(release) => {
                let (at, is_yanked) = (&release.version.coordinates, release.version.yanked_reason.is_some());
                Item { at: at.clone(), line: Lockable::of(&release).and_then(|lockable| render(at, &lockable, is_yanked)) }
            }
            Listed::Marked(marked) => {
                let line = marked.lockable.as_ref().and_then(|lockable| render(&marked.coordinates, lockable, true));
                Item { at: marked.coordinates, line }
            }
        }
    }
}

/// The file of the index: a line for each version, oldest version first; `None` when nothing is listed of a crate spelled so.
pub(super) fn file(name: &str, mut items: Vec<Item>) -> Option<Vec<u8>> {
    items.retain(|item| item.at.package().name().eq_ignore_ascii_case(name));
    if items.is_empty() {
        return None;
    }
    items.sort_by(|one, other| one.at.compare_version(&other.at));
    let mut bytes = Vec::new();
    for line in items.into_iter().filter_map(|item| item.line) {
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    Some(bytes)
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    vers: &'a str,
    deps: Vec<IndexDependency<'a>>,
    cksum: String,
    features: BTreeMap<&'a str, &'a [String]>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    features2: BTreeMap<&'a str, &'a [String]>,
    yanked: bool,
    links: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rust_version: Option<&'a str>,
    pubtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<u32>,
}

#[derive(Serialize)]
struct IndexDependency<'a> {
    name: &'a str,
    req: &'a str,
    features: &'a [String],
    optional: bool,
    default_features: bool,
    target: Option<&'a str>,
    kind: Kind,
    registry: Option<&'a str>,
    package: Option<&'a str>,
}

/// In the index the name in the crate's own code comes first, and `package` is the real one.
fn dependency(said: &Dependency) -> IndexDependency<'_> {
    let renamed = said.explicit_name_in_toml.as_deref();
    IndexDependency {
        name: renamed.unwrap_or(&said.name),
        req: &said.version_req,
        features: &said.features,
        optional: said.optional,
        default_features: said.default_features,
        target: said.target.as_deref(),
        kind: said.kind,
        registry: said.registry.as_deref(),
        package: renamed.map(|_| said.name.as_str()),
    }
}

fn render(at: &Coordinates, lockable: &Lockable, is_yanked: bool) -> Option<String> {
    let declared: Declared = serde_json::from_str(&lockable.manifest).ok()?;
    // A version may also have come by the API, which takes any manifest.
    declared.check().ok()?;
    let name = at.package().name();
    let wanted = file_name(name, at.version());
    let (_, digest) = lockable.files.iter().find(|(path, _)| path.as_str() == wanted)?;
    let (newer, older): (BTreeMap<_, _>, BTreeMap<_, _>) = declared
        .features
        .iter()
        .map(|(feature, enabled)| (feature.as_str(), enabled.as_slice()))
        .partition(|(_, enabled)| is_newer(enabled));
    let line = Line {
        name,
        vers: at.version(),
        deps: declared.deps.iter().map(dependency).collect(),
        cksum: digest.hex(),
        v: (!newer.is_empty()).then_some(WITH_FEATURES2),
        features: older,
        features2: newer,
        yanked: is_yanked,
        links: declared.links.as_deref(),
        rust_version: declared.rust_version.as_deref(),
        pubtime: pubtime(lockable.first_seen_at),
    };
    serde_json::to_string(&line).ok()
}

/// Whether a feature uses what Cargo reads in `features2` only: `dep:` and `?`.
fn is_newer(enabled: &[String]) -> bool {
    enabled.iter().any(|value| value.starts_with("dep:") || value.contains("?/"))
}

/// Whole seconds, which is all that Cargo reads.
fn pubtime(at: Time) -> String {
    let text = at.to_string();
    format!("{}Z", text.split('.').next().unwrap_or(&text).trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::name::{PackageName, PackageType};

    fn at(name: &str, version: &str) -> Coordinates {
        Coordinates::new(PackageName::new(PackageType::cargo(), "", name).unwrap(), version).unwrap()
    }

    fn lockable(name: &str, version: &str, manifest: &Value) -> Lockable {
        Lockable {
            first_seen_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            files: vec![(file_name(name, version).parse().unwrap(), Digest::of(b"crate"))],
            manifest: manifest.to_string(),
        }
    }

    fn item(version: &str) -> Item {
        Item { at: at("Demo_x", version), line: render(&at("Demo_x", version), &lockable("Demo_x", version, &json!({})), false) }
    }

    #[test]
    fn a_line_says_what_cargo_resolves_by_in_the_form_of_the_index() {
        let manifest = json!({
            "deps": [
                {"name": "real", "version_req": "^1", "features": ["std"], "optional": true, "default_features": false,
                 "target": "cfg(unix)", "kind": "build", "registry": "http://other.test/index", "explicit_name_in_toml": "alias"},
                {"name": "plain", "version_req": "=2.0.0", "features": [], "optional": false, "default_features": true, "target": null, "kind": "dev"},
            ],
            "features": {"old": ["plain/x"], "new": ["dep:alias"], "weak": ["alias?/y"], "default": []},
            "links": "z", "rust_version": "1.85",
        });
        let line = render(&at("demo", "1.0.0"), &lockable("demo", "1.0.0", &manifest), false).unwrap();
        assert_eq!(
            line,
            format!(
                "{}{}{}",
                r#"{"name":"demo","vers":"1.0.0","deps":[{"name":"alias","req":"^1","features":["std"],"optional":true,"default_features":false,"target":"cfg(unix)","kind":"build","registry":"http://other.test/index","package":"real"},{"name":"plain","req":"=2.0.0","features":[],"optional":false,"default_features":true,"target":null,"kind":"dev","registry":null,"package":null}],"cksum":""#,
                Digest::of(b"crate").hex(),
                r#"","features":{"default":[],"old":["plain/x"]},"features2":{"new":["dep:alias"],"weak":["alias?/y"]},"yanked":false,"links":"z","rust_version":"1.85","pubtime":"2026-01-02T03:04:05Z","v":2}"#
            )
        );
    }

    #[test]
    fn a_file_lists_by_version_order_and_knows_one_spelling_without_regard_to_case() {
        let items = vec![item("10.0.0"), item("2.0.0"), item("2.0.0-rc.1")];
        let lines = String::from_utf8(file("demo_x", items.clone()).unwrap()).unwrap();
        let versions: Vec<Value> = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["vers"].clone()).collect();
        assert_eq!(versions, ["2.0.0-rc.1", "2.0.0", "10.0.0"]);
        assert!(lines.ends_with("}\n"));
        assert!(file("demo-x", items).is_none() && file("demo_x", Vec::new()).is_none());
        let unusable = Item { line: None, ..item("1.0.0") };
        assert_eq!(file("demo_x", vec![unusable]).unwrap(), b"");
    }

    #[test]
    fn what_has_no_crate_or_no_manifest_of_cargo_has_no_line() {
        let missing = Lockable { files: Vec::new(), ..lockable("demo", "1.0.0", &json!({})) };
        assert_eq!(render(&at("demo", "1.0.0"), &missing, false), None);
        for manifest in [json!({"deps": 7}), json!({"deps": [{"name": "a", "version_req": "one"}]}), json!({"rust_version": "new"})] {
            assert_eq!(render(&at("demo", "1.0.0"), &lockable("demo", "1.0.0", &manifest), false), None, "{manifest}");
        }
    }

    fn dependency_json() -> impl Strategy<Value = Value> {
        let kind = prop_oneof![Just("normal"), Just("dev"), Just("build")];
        ("[a-z][a-z0-9_-]{0,8}", "\\^[0-9]\\.[0-9]", any::<bool>(), any::<bool>(), kind, proptest::option::of("[a-z]{1,5}")).prop_map(
            |(name, requirement, optional, default_features, kind, alias)| {
                json!({"name": name, "version_req": requirement, "features": [], "optional": optional, "default_features": default_features,
                    "target": null, "kind": kind, "explicit_name_in_toml": alias})
            },
        )
    }

    proptest! {
        #[test]
        fn a_line_changes_in_nothing_but_whether_it_is_yanked(
            deps in proptest::collection::vec(dependency_json(), 0..5),
            features in proptest::collection::btree_map("[a-z]{1,6}", proptest::collection::vec("(dep:)?[a-z]{1,4}(\\?/[a-z]{1,3})?", 0..3), 0..4),
        ) {
            let manifest = json!({"deps": deps, "features": features});
            let line = |is_yanked| render(&at("demo", "1.2.3"), &lockable("demo", "1.2.3", &manifest), is_yanked).unwrap();
            prop_assert_eq!(line(false), line(false));
            prop_assert_eq!(line(false).replacen("\"yanked\":false", "\"yanked\":true", 1), line(true));
            let read: Value = serde_json::from_str(&line(false)).unwrap();
            prop_assert_eq!(read["deps"].as_array().unwrap().len(), deps.len());
            let all: usize = ["features", "features2"].iter().filter_map(|member| read[*member].as_object()).map(serde_json::Map::len).sum();
            prop_assert_eq!(all, features.len());
            prop_assert_eq!(read.get("v").is_some(), read.get("features2").is_some());
        }
    }
}
