//! Spelling: crates and the places of their index files. Invariant: an index file has one address, made of the name as it was first
//! published, in lower case; every other spelling of it is nothing there, as Cargo tries them all.

use crate::domain::name::{PackageName, PackageType};
use crate::error::{Code, Error, Result};

/// The crate of an address; a name that no crate can have is like one that no crate has.
///
/// # Errors
/// `not_found`.
pub(super) fn of_address(name: &str) -> Result<PackageName> {
    PackageName::new(PackageType::cargo(), "", name)
        .map_err(|error| Error::new(Code::NotFound, format!("there is no such crate: {}", error.message())))
}

/// The file in a version that Cargo downloads.
pub(super) fn file_name(name: &str, version: &str) -> String {
    format!("{name}-{version}.crate")
}

/// Where the index file of a name in lower case lies, seen from the root of the index.
pub(super) fn index_path(name: &str) -> String {
    let part = |from: usize, to: usize| name.get(from..to).unwrap_or_default();
    match name.len() {
        1 => format!("1/{name}"),
        2 => format!("2/{name}"),
        3 => format!("3/{}/{name}", part(0, 1)),
        _ => format!("{}/{}/{name}", part(0, 2), part(2, 4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_files_lie_where_cargo_looks_for_them() {
        for (name, path) in
            [("a", "1/a"), ("ab", "2/ab"), ("abc", "3/a/abc"), ("abcd", "ab/cd/abcd"), ("cargo", "ca/rg/cargo"), ("a-b_c", "a-/b_/a-b_c")]
        {
            assert_eq!(index_path(name), path);
        }
    }

    #[test]
    fn a_name_that_no_crate_can_have_is_not_found() {
        for name in ["", "a/b", "a b", ".."] {
            assert_eq!(of_address(name).unwrap_err().code(), Code::NotFound, "{name}");
        }
    }
}
