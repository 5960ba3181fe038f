//! Names as npm's addresses and documents spell them. Invariant: `@scope/name` and `@scope%2fname` are one package; a new package is named
//! by npm's rules of today, an older one keeps its name as written.

use crate::domain::name::{Coordinates, PackageName, PackageType, RelativePath};
use crate::error::{Error, Result};
use crate::http::Request;

/// Bytes of a name with its scope.
const NAME_LIMIT_BYTES: usize = 214;

/// The package called so: `name` or `@scope/name`.
///
/// # Errors
/// `bad_request` for what no npm package can be called.
pub(super) fn package(text: &str) -> Result<PackageName> {
    let (scope, name) = match text.split_once('/') {
        Some((scope, name)) if scope.len() > 1 && scope.starts_with('@') => (scope, name),
        Some(_) => return Err(Error::bad_request(format!("{text} is no npm name; it is `name` or `@scope/name`"))),
        None if text.starts_with('@') => {
            return Err(Error::bad_request(format!("{text} is a scope without a name; a scoped name is `@scope/name`")));
        }
        None => ("", text),
    };
    PackageName::new(PackageType::npm(), scope, name)
}

/// The package that an address names, in one segment (`{name}`) or two (`{scope}/{name}`).
pub(super) fn addressed(request: &Request) -> Result<PackageName> {
    let name = request.param("name")?;
    match request.head().raw_param("scope") {
        Some(_) => package(&format!("{}/{name}", request.param("scope")?)),
        None => package(&name),
    }
}

/// Whether the first of two segments is a scope, so that both are one name.
pub(super) fn is_scope(segment: &str) -> bool {
    segment.starts_with('@') && !segment.contains('/')
}

/// Which version of it; as npm writes versions, without a `v`.
///
/// # Errors
/// `bad_request` for what is no semantic version.
pub(super) fn version(package: &PackageName, text: &str) -> Result<Coordinates> {
    let at = Coordinates::new(package.clone(), text)?;
    if text.starts_with('v') {
        return Err(Error::bad_request(format!("the version {text} is written without the v: {}", text.trim_start_matches('v'))));
    }
    Ok(at)
}

/// The name of a version's tarball, without the scope.
///
/// # Errors
/// `bad_request` when it is too long for a path.
pub(super) fn tarball(at: &Coordinates) -> Result<RelativePath> {
    format!("{}-{}.tgz", at.package().name(), at.version()).parse()
}

/// The version in a tarball's name.
pub(super) fn version_of_tarball<'a>(package: &PackageName, file_name: &'a str) -> Option<&'a str> {
    let (prefix, rest) = file_name.split_at_checked(package.name().len())?;
    let version = rest.strip_prefix('-')?.strip_suffix(".tgz")?;
    prefix.eq_ignore_ascii_case(package.name()).then_some(version)
}

/// A package's name as npm writes it: `name` or `@scope/name`, however its scope was given to the API.
pub(super) fn written(package: &PackageName) -> String {
    match package.namespace().trim_start_matches('@') {
        "" => package.name().to_owned(),
        scope => format!("@{scope}/{}", package.name()),
    }
}

/// npm's rules of today, for a package that is not there yet; some that are older break them.
///
/// # Errors
/// `bad_request` that says which rule is broken.
pub(super) fn check_new(package: &PackageName) -> Result<()> {
    let whole = written(package);
    let refuse = |why: &str| Err(Error::bad_request(format!("a new package cannot be called {whole}: {why}; choose another name")));
    if whole.len() > NAME_LIMIT_BYTES {
        return refuse("a name has at most 214 characters, its scope included");
    }
    if whole.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return refuse("npm names have no capital letters");
    }
    if whole.contains(['~', '!', '\'', '(', ')', '*']) {
        return refuse("npm names have none of ~ ! ' ( ) *");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scoped_name_is_one_package_and_half_of_one_is_none() {
        let scoped = package("@Scope/Name").unwrap();
        assert_eq!((scoped.to_string(), scoped.namespace_key(), scoped.name_key()), ("@Scope/Name".to_owned(), "scope", "name"));
        for bad in ["@scope", "@/x", "a/b", "@a/b/c", "", "@a/"] {
            assert!(package(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tarball_is_named_without_the_scope_and_names_its_version() {
        let at = version(&package("@scope/name").unwrap(), "1.0.0-rc.1").unwrap();
        assert_eq!(tarball(&at).unwrap().as_str(), "name-1.0.0-rc.1.tgz");
        assert_eq!(version_of_tarball(at.package(), "name-1.0.0-rc.1.tgz"), Some("1.0.0-rc.1"));
        for other in ["nam-1.0.0.tgz", "name-1.0.0.zip", "name1.0.0.tgz", "other-1.0.0.tgz", "ü"] {
            assert_eq!(version_of_tarball(at.package(), other), None, "{other}");
        }
        assert!(version(at.package(), "v1.0.0").is_err() && version(at.package(), "1.0").is_err());
    }

    #[test]
    fn new_packages_are_named_by_the_rules_of_today() {
        for good in ["a", "lodash.get", "@types/node", "x_y", "1", "-"] {
            check_new(&package(good).unwrap()).unwrap();
        }
        let long = format!("@{}/{}", "a".repeat(110), "b".repeat(110));
        for (bad, why) in [("JSONStream", "capital"), ("@Scope/x", "capital"), ("a~b", "none of ~"), (&long, "214 characters")] {
            let error = check_new(&package(bad).unwrap()).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        }
    }
}
