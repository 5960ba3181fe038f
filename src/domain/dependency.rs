//! Dependencies as manifests and package files declare them, and the one spelling of their names. Invariant: whoever reads a
//! declaration asks here, so that one dependency has one key wherever it was found.

use super::name::{PackageName, PackageType};
use crate::error::Result;

/// The key of a dependency's name as packages of this type write it: `@scope/name` for npm, `group:artifact` for Maven.
///
/// # Errors
/// `bad_request` for what no package of this type can be called.
pub fn key(package_type: &PackageType, name: &str) -> Result<String> {
    let (namespace, bare) = name.rsplit_once('/').unwrap_or(("", name));
    let package = PackageName::new(package_type.clone(), namespace, bare)?;
    Ok(match (package.namespace_key(), package_type.as_str()) {
        ("", _) => package.name_key().to_owned(),
        (namespace, "npm") => format!("@{namespace}/{}", package.name_key()),
        (namespace, _) => format!("{namespace}/{}", package.name_key()),
    })
}

/// What an npm range installs under another name: `right` for `npm:right@1`.
#[must_use]
pub fn npm_alias(range: &str) -> Option<&str> {
    let alias = range.strip_prefix("npm:")?;
    let name_end = alias.rfind('@').filter(|at| *at > 0).unwrap_or(alias.len());
    Some(&alias[..name_end])
}

/// The name at the beginning of a Python requirement (PEP 508).
#[must_use]
pub fn python_requirement(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_dependency_has_one_key_in_every_spelling() {
        for (package_type, name, expected) in [
            ("npm", "@Scope/Pkg", "@scope/pkg"),
            ("npm", "Left", "left"),
            ("pypi", "Foo_.Bar", "foo-bar"),
            ("cargo", "serde_json", "serde-json"),
            ("maven", "Com.Acme:Demo", "com.acme:demo"),
            ("generic", "a/b", "a/b"),
        ] {
            assert_eq!(key(&package_type.parse().unwrap(), name).unwrap(), expected);
        }
        for name in ["", "a b", "../x/..", "@/x\0"] {
            assert!(key(&"npm".parse().unwrap(), name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_alias_and_a_requirement_give_the_name_they_install() {
        assert_eq!(npm_alias("npm:@evil/pkg@1"), Some("@evil/pkg"));
        assert_eq!(npm_alias("npm:bare"), Some("bare"));
        assert_eq!(npm_alias("^1.0"), None);
        assert_eq!(python_requirement("  zope.interface[x] (>1)"), "zope.interface");
        assert_eq!(python_requirement(">1"), "");
    }
}
