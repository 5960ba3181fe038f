//! Spelling: projects and file names. Invariant: a file name is taken apart by PEP 427 (wheels) or PEP 625 (sdists) and says the same
//! name and version as everything else about the upload.

use crate::domain::name::{Coordinates, PackageName, PackageType, RelativePath};
use crate::error::{Code, Error, Result};

/// What is appended to a distribution's file name for the files beside it: core metadata (PEP 658), signature and
/// provenance (PEP 740).
pub(super) const SIDE_SUFFIXES: [&str; 3] = [METADATA, SIGNATURE, PROVENANCE];
/// The core metadata.
pub(super) const METADATA: &str = ".metadata";
/// The signature.
pub(super) const SIGNATURE: &str = ".asc";
/// The attestations and who published them.
pub(super) const PROVENANCE: &str = ".provenance";

/// Bytes of a file name, side suffix included, that every file system takes.
const FILE_NAME_LIMIT_BYTES: usize = 240;

/// The kinds of distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Built (PEP 427).
    Wheel,
    /// Source (PEP 625).
    Sdist,
}

impl Kind {
    /// The value of the form's field `filetype`.
    pub(super) const fn filetype(self) -> &'static str {
        match self {
            Kind::Wheel => "bdist_wheel",
            Kind::Sdist => "sdist",
        }
    }
}

/// The name of a distribution's file, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileName {
    /// The name itself.
    pub(super) path: RelativePath,
    /// What it is.
    pub(super) kind: Kind,
    name: String,
    version: String,
}

impl FileName {
    /// Takes a file name apart.
    ///
    /// # Errors
    /// `bad_request` for what is neither a wheel nor an sdist, or not spelled as the standards say.
    pub(super) fn parse(text: &str) -> Result<FileName> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._+!-".contains(&byte);
        if text.len() > FILE_NAME_LIMIT_BYTES || !text.bytes().all(legal) {
            return Err(Error::bad_request(format!("a file name has at most {FILE_NAME_LIMIT_BYTES} of A-Z a-z 0-9 . _ + ! -")));
        }
        let (kind, name, version) = if let Some(stem) = text.strip_suffix(".whl") {
            let (name, version) =
                wheel_parts(stem).ok_or_else(|| misspelled(text, "name-version[-build]-python-abi-platform.whl (PEP 427)"))?;
            (Kind::Wheel, name, version)
        } else if let Some(stem) = text.strip_suffix(".tar.gz").or_else(|| text.strip_suffix(".zip")) {
            let (name, version) = stem.rsplit_once('-').ok_or_else(|| misspelled(text, "name-version.tar.gz (PEP 625)"))?;
            (Kind::Sdist, name, version)
        } else {
            return Err(Error::bad_request(format!("{text} is no distribution; wheels (.whl) and sdists (.tar.gz, .zip) are taken")));
        };
        let (name, version) = (name.to_owned(), version.to_owned());
        Ok(FileName { path: text.parse()?, kind, name, version })
    }

    /// Checks that the file name says these coordinates, in whatever spelling.
    ///
    /// # Errors
    /// `bad_request` naming both.
    pub(super) fn check(&self, at: &Coordinates) -> Result<()> {
        check_same(&format!("the file name {}", self.path), &self.name, &self.version, at)
    }
}

/// Checks that `name` and `version`, found in `place`, say these coordinates.
///
/// # Errors
/// `bad_request` naming both.
pub(super) fn check_same(place: &str, name: &str, version: &str, at: &Coordinates) -> Result<()> {
    let found = PackageName::new(PackageType::pypi(), "", name).and_then(|package| Coordinates::new(package, version));
    let same = |found: &Coordinates| found.package().name_key() == at.package().name_key() && found.version_key() == at.version_key();
    if found.is_ok_and(|found| same(&found)) {
        return Ok(());
    }
    Err(Error::bad_request(format!("{place} says {name} {version}, but the form says {at}; they must agree; build the distribution again")))
}

/// Name and version of a wheel's file name without `.whl`. The build tag, where there is one, begins with a digit.
fn wheel_parts(stem: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = stem.split('-').collect();
    let build = if parts.len() == 6 { parts.get(2) } else { None };
    let whole = (parts.len() == 5 || build.is_some_and(|build| build.starts_with(|sign: char| sign.is_ascii_digit())))
        && parts.iter().all(|part| !part.is_empty());
    whole.then_some((*parts.first()?, *parts.get(1)?))
}

fn misspelled(text: &str, form: &str) -> Error {
    Error::bad_request(format!("the file name {text} is not of the form {form}"))
}

/// The project of an address; a name that no project can have is like one that no project has.
///
/// # Errors
/// `not_found`.
pub(super) fn project(name: &str) -> Result<PackageName> {
    PackageName::new(PackageType::pypi(), "", name)
        .map_err(|error| Error::new(Code::NotFound, format!("there is no such project: {}", error.message())))
}

/// The distribution that a side file belongs to; `None` for a distribution.
pub(super) fn beside(path: &str) -> Option<&str> {
    SIDE_SUFFIXES.iter().find_map(|suffix| path.strip_suffix(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str, version: &str) -> Coordinates {
        Coordinates::new(project(name).unwrap(), version).unwrap()
    }

    #[test]
    fn a_file_name_agrees_with_its_coordinates_in_any_spelling() {
        for (file, name, version) in [
            ("demo-1.0-py3-none-any.whl", "demo", "1.0"),
            ("Foo_Bar-1.0.0-1abc-cp311-cp311-manylinux_2_17_x86_64.whl", "foo.bar", "1.0"),
            ("demo-1.0+local.1-py3-none-any.whl", "demo", "1.0+local-1"),
            ("demo-1!2.0rc1-py3-none-any.whl", "demo", "1!2.0-rc.1"),
            ("zope.interface-6.0.tar.gz", "zope-interface", "6"),
            ("foo-bar-1.0.zip", "Foo_Bar", "1.0"),
        ] {
            FileName::parse(file).unwrap().check(&at(name, version)).unwrap();
        }
        for (file, name, version) in
            [("demo-1.0-py3-none-any.whl", "demo", "1.1"), ("other-1.0.tar.gz", "demo", "1.0"), ("demo-x.tar.gz", "demo", "1.0")]
        {
            let error = FileName::parse(file).unwrap().check(&at(name, version)).unwrap_err();
            assert!(error.message().contains(file) && error.message().contains(name), "{error}");
        }
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        let long = format!("{}-1.0.tar.gz", "a".repeat(FILE_NAME_LIMIT_BYTES));
        for bad in [
            "demo-1.0.exe",
            "demo-1.0.egg",
            "demo.tar.gz",
            "demo-1.0.whl",
            "demo-1.0-py3-none.whl",
            "demo-1.0-x1-py3-none-any.whl",
            "demo--py3-none-any.whl",
            "a/demo-1.0.tar.gz",
            "demo-1.0%2f.tar.gz",
            "d mo-1.0.tar.gz",
            &long,
        ] {
            assert!(FileName::parse(bad).is_err(), "{bad}");
        }
    }
}
