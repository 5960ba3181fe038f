//! What a crate declares when it is published. Invariant: whatever was let through can be rendered as an index line that Cargo reads,
//! since one line that it cannot read may hide all others of the crate.

use std::collections::BTreeMap;

use semver::VersionReq;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::domain::name::{Coordinates, PackageName, PackageType};
use crate::error::{Error, Result};
use crate::http::json;

/// Bytes of one text: a feature, a target, an address.
const TEXT_LIMIT_BYTES: usize = 1024;

/// Which version is published.
#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    vers: String,
}

/// What its index line is made of.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Declared {
    /// Its dependencies.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) deps: Vec<Dependency>,
    /// Its features and what each turns on.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) features: BTreeMap<String, Vec<String>>,
    /// The native library that it links.
    pub(super) links: Option<String>,
    /// The oldest Rust that it builds with.
    pub(super) rust_version: Option<String>,
}

/// One dependency.
#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    /// The crate.
    pub(super) name: String,
    /// Its versions.
    pub(super) version_req: String,
    /// The features of it that are wanted.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) features: Vec<String>,
    /// Whether a feature turns it on.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) optional: bool,
    /// Whether its default features are wanted.
    #[serde(default = "yes")]
    pub(super) default_features: bool,
    /// The platform that it is for.
    pub(super) target: Option<String>,
    /// What it is for.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) kind: Kind,
    /// The index that it comes from, where that is another one.
    pub(super) registry: Option<String>,
    /// The name by which the crate's own code knows it, where that is another one.
    pub(super) explicit_name_in_toml: Option<String>,
    /// What no stable Cargo sends.
    artifact: Option<IgnoredAny>,
}

/// What a dependency is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// The crate itself.
    #[default]
    Normal,
    /// Its tests.
    Dev,
    /// Its build script.
    Build,
}

fn yes() -> bool {
    true
}

/// A member that is `null` is like one that is missing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads which version a publish is about, and checks everything that will stand in its index line.
///
/// # Errors
/// `bad_request` naming the member and the rule.
pub(super) fn checked(text: &[u8]) -> Result<Coordinates> {
    let named: Named = json::parse(text)?;
    let package = PackageName::new(PackageType::cargo(), "", &named.name)?;
    let at = Coordinates::new(package, &named.vers)?;
    let declared: Declared = json::parse(text)?;
    declared.check()?;
    Ok(at)
}

impl Declared {
    /// Checks everything that stands in an index line.
    ///
    /// # Errors
    /// `bad_request` naming the member and the rule.
    pub(super) fn check(&self) -> Result<()> {
        self.deps.iter().try_for_each(|dependency| {
            dependency.check().map_err(|error| Error::bad_request(format!("the dependency {:?}: {}", dependency.name, error.message())))
        })?;
        for (feature, enabled) in &self.features {
            std::iter::once(feature).chain(enabled).try_for_each(|text| check_text("a feature", text))?;
        }
        self.links.iter().try_for_each(|links| check_text("links", links))?;
        match self.rust_version.as_deref().filter(|text| !is_rust_version(text)) {
            Some(_) => Err(Error::bad_request("rust_version must be two or three numbers, such as 1.85 or 1.85.1")),
            None => Ok(()),
        }
    }
}

impl Dependency {
    fn check(&self) -> Result<()> {
        let crate_name = |name: &String| PackageName::new(PackageType::cargo(), "", name).map(|_| ());
        crate_name(&self.name)?;
        self.explicit_name_in_toml.iter().try_for_each(crate_name)?;
        check_text("version_req", &self.version_req)?;
        VersionReq::parse(&self.version_req)
            .map_err(|_| Error::bad_request("version_req is no requirement that Cargo reads, such as ^1.2 or >=1, <3"))?;
        self.features.iter().try_for_each(|feature| check_text("a feature", feature))?;
        self.target.iter().try_for_each(|target| check_text("target", target))?;
        self.registry.iter().try_for_each(|address| check_address(address))?;
        match self.artifact {
            Some(_) => Err(Error::bad_request("artifact dependencies are not stable in Cargo and are not taken here")),
            None => Ok(()),
        }
    }
}

/// One line of some length.
fn check_text(what: &str, text: &str) -> Result<()> {
    if text.trim().is_empty() || text.len() > TEXT_LIMIT_BYTES || text.chars().any(char::is_control) {
        return Err(Error::bad_request(format!("{what} must have 1 to {TEXT_LIMIT_BYTES} bytes and no control character")));
    }
    Ok(())
}

/// The index of another registry. It is shown to everybody who reads this one.
fn check_address(address: &str) -> Result<()> {
    check_text("registry", address)?;
    let bare = ["sparse+", "registry+"].iter().find_map(|prefix| address.strip_prefix(prefix)).unwrap_or(address);
    let url = reqwest::Url::parse(bare).map_err(|_| Error::bad_request("registry must be the address of an index"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::bad_request("registry is an address with credentials in it, which everybody would see; take them out"));
    }
    Ok(())
}

fn is_rust_version(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split('.').collect();
    (1..=3).contains(&parts.len()) && parts.iter().all(|part| is_number(part))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked_json(members: Value) -> Result<Coordinates> {
        let mut body = json!({"name": "demo", "vers": "1.0.0", "deps": [], "features": {}});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        checked(body.to_string().as_bytes())
    }

    fn dependency(members: Value) -> Result<Coordinates> {
        let mut dependency = json!({"name": "serde", "version_req": "^1.0", "features": [], "optional": false, "default_features": true,
            "target": null, "kind": "normal"});
        dependency.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        checked_json(json!({"deps": [dependency]}))
    }

    #[test]
    fn what_is_missing_or_null_is_left_out_and_what_is_unknown_is_passed_over() {
        let at =
            checked(br#"{"name":"demo","vers":"1.0.0","deps":null,"features":null,"links":null,"badges":{"a":{}},"new":[1]}"#).unwrap();
        assert_eq!((at.package().name(), at.version()), ("demo", "1.0.0"));
        dependency(json!({"target": "cfg(windows)", "kind": "build", "optional": null, "explicit_name_in_toml": "other"})).unwrap();
        dependency(json!({"registry": "sparse+http://127.0.0.1:1/index/"})).unwrap();
        let declared: Declared = serde_json::from_str(r#"{"deps":[{"name":"a","version_req":"*"}]}"#).unwrap();
        assert!(declared.deps[0].default_features && declared.deps[0].kind == Kind::Normal);
    }

    #[test]
    fn what_no_index_line_could_say_is_refused_by_name() {
        for (members, word) in [
            (json!({"name": "../x"}), "packageName"),
            (json!({"vers": "1.0"}), "version"),
            (json!({"rust_version": ">=1.85"}), "rust_version"),
            (json!({"rust_version": "1.85.0-nightly"}), "rust_version"),
            (json!({"links": ""}), "links"),
            (json!({"features": {"a\nb": []}}), "feature"),
            (json!({"features": {"a": ["x".repeat(2000)]}}), "feature"),
            (json!({"features": {"a": 1}}), "features"),
        ] {
            let refused = checked_json(members.clone()).unwrap_err();
            assert!(refused.message().contains(word), "{members}: {refused}");
        }
        for (members, word) in [
            (json!({"name": "a b"}), "a b"),
            (json!({"explicit_name_in_toml": "a/b"}), "serde"),
            (json!({"version_req": "one"}), "version_req"),
            (json!({"kind": "other"}), "kind"),
            (json!({"registry": "not an address"}), "registry"),
            (json!({"registry": "https://alice:secret@host.test/index"}), "credentials"),
            (json!({"artifact": ["bin"]}), "artifact"),
            (json!({"target": "\u{1}"}), "target"),
        ] {
            let refused = dependency(members.clone()).unwrap_err();
            assert!(refused.message().contains(word) && !refused.message().contains("secret"), "{members}: {refused}");
        }
    }
}
