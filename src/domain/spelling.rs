//! The spelling rules of each package type. Invariant: two spellings that a client takes for one package have one key, and a new name is
//! one that the ecosystem's own registry would take.

use super::name::PackageType;
use crate::error::{Error, Result};

/// Characters of the name of a crate.
const CRATE_NAME_LIMIT: usize = 64;

/// The one spelling of a namespace and a name by the type's rules; also of a pattern on them, so that no name is looked up under a
/// spelling that a pattern does not have.
pub(super) fn keys_of(package_type: &PackageType, namespace: &str, name: &str) -> (String, String) {
    match package_type.as_str() {
        "pypi" => (namespace.to_lowercase(), pypi_key(name)),
        "cargo" => (namespace.to_lowercase(), name.to_lowercase().replace('_', "-")),
        "npm" => (namespace.trim_start_matches('@').to_lowercase(), name.to_lowercase()),
        _ => (namespace.to_lowercase(), name.to_lowercase()),
    }
}

/// Whether a new package may be called so.
pub(super) fn check(package_type: &PackageType, namespace: &str, name: &str) -> Result<()> {
    let no_namespace = |called: &str| match namespace {
        "" => Ok(()),
        _ => Err(Error::bad_request(format!("a {called} package has no packageNamespace"))),
    };
    match package_type.as_str() {
        "pypi" => no_namespace("PyPI").and_then(|()| check_pypi_name(name)),
        "cargo" => no_namespace("Cargo").and_then(|()| check_crate_name(name)),
        "npm" => {
            if !namespace.is_empty() {
                check_npm_part("scope", namespace.strip_prefix('@').unwrap_or(namespace))?;
            }
            check_npm_part("name", name)
        }
        _ => Ok(()),
    }
}

/// The part of a name that goes into addresses as it is. Capitals are legal: some packages had them before npm asked for small letters.
fn check_npm_part(what: &str, text: &str) -> Result<()> {
    let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~!'()*".contains(&byte));
    if !legal
        || text.is_empty()
        || text.starts_with(['.', '_'])
        || ["node_modules", "favicon.ico"].contains(&text.to_ascii_lowercase().as_str())
    {
        return Err(Error::bad_request(format!(
            "the {what} of an npm package has letters, digits and - _ . ~ ! ' ( ) *, does not begin with a point or an underscore, and is not node_modules or favicon.ico"
        )));
    }
    Ok(())
}

/// What Cargo itself accepts, within the length that its registry has.
fn check_crate_name(name: &str) -> Result<()> {
    let legal = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !legal || !name.starts_with(|first: char| first.is_ascii_alphabetic()) || name.len() > CRATE_NAME_LIMIT {
        return Err(Error::bad_request(format!(
            "the name of a crate has 1 to {CRATE_NAME_LIMIT} letters, digits, - and _, and begins with a letter"
        )));
    }
    Ok(())
}

/// PEP 508 says which names are legal.
fn check_pypi_name(name: &str) -> Result<()> {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let legal = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !legal || !edge(name.bytes().next()) || !edge(name.bytes().next_back()) {
        return Err(Error::bad_request("a PyPI name has letters, digits, . _ - and starts and ends with a letter or digit (PEP 508)"));
    }
    Ok(())
}

/// PEP 503: lower case, runs of `-`, `_` and `.` become one `-`.
fn pypi_key(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for sign in name.chars() {
        match sign {
            '-' | '_' | '.' if key.ends_with('-') => {}
            '-' | '_' | '.' => key.push('-'),
            sign => key.push(sign.to_ascii_lowercase()),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_one_that_the_ecosystem_would_take() {
        let check = |package_type: PackageType, namespace: &str, name: &str| check(&package_type, namespace, name).is_ok();
        for (namespace, name) in [("", "left-pad"), ("@babel", "core"), ("babel", "core"), ("", "JSONStream"), ("", "3d"), ("@a", "b.c_d~")]
        {
            assert!(check(PackageType::npm(), namespace, name), "{namespace} {name}");
        }
        for (namespace, name) in
            [("", ".x"), ("", "_x"), ("", "a@b"), ("@", ""), ("@.a", "b"), ("", "node_modules"), ("", "ü"), ("a/b", "c")]
        {
            assert!(!check(PackageType::npm(), namespace, name), "{namespace} {name}");
        }
        for name in ["serde", "serde_json", "a", "Inflector", &"a".repeat(64)] {
            assert!(check(PackageType::cargo(), "", name), "{name}");
        }
        for name in ["", "1a", "-a", "_a", "a.b", "ü", &"a".repeat(65)] {
            assert!(!check(PackageType::cargo(), "", name), "{name}");
        }
        assert!(!check(PackageType::cargo(), "a", "b"));
        assert!(!check(PackageType::pypi(), "a", "b"));
    }
}
