//! OSV's ecosystems and the package types they are here. Invariant: only ecosystems whose order of versions is known are listed, and
//! a package has one key, whichever of its spellings an advisory uses.

use crate::domain::name::{NAME_LIMIT_BYTES, PackageName, PackageType};

macro_rules! ecosystems {
    ($($variant:ident $name:literal $package_type:literal;)+) => {
        /// An ecosystem whose advisories are matched, as the OSV format spells it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Ecosystem { $(#[doc = $name] $variant,)+ }

        impl Ecosystem {
            /// Every ecosystem.
            pub const ALL: &'static [Ecosystem] = &[$(Ecosystem::$variant,)+];

            /// The OSV format's identifier.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Ecosystem::$variant => $name,)+ }
            }

            /// The package type, as package URLs and this registry name it.
            #[must_use]
            pub fn package_type(self) -> &'static str {
                match self { $(Ecosystem::$variant => $package_type,)+ }
            }
        }
    };
}

ecosystems! {
    PyPi "PyPI" "pypi";
    Npm "npm" "npm";
    CratesIo "crates.io" "cargo";
    Go "Go" "golang";
    Maven "Maven" "maven";
    NuGet "NuGet" "nuget";
    RubyGems "RubyGems" "gem";
    Packagist "Packagist" "composer";
    Hex "Hex" "hex";
    Pub "Pub" "pub";
    SwiftUrl "SwiftURL" "swift";
}

impl Ecosystem {
    /// The ecosystem of this identifier. One with a suffix (`Debian:12`) is another ecosystem.
    #[must_use]
    pub fn named(name: &str) -> Option<Ecosystem> {
        Ecosystem::ALL.iter().copied().find(|ecosystem| ecosystem.as_str() == name)
    }

    /// The ecosystem of packages of this type.
    #[must_use]
    pub fn of(package_type: &PackageType) -> Option<Ecosystem> {
        Ecosystem::ALL.iter().copied().find(|ecosystem| ecosystem.package_type() == package_type.as_str())
    }

    /// The key of the package that an advisory calls `name`; `None` when no package here can be called so.
    #[must_use]
    pub fn key_of(self, name: &str) -> Option<String> {
        let separator = if self == Ecosystem::Maven { ':' } else { '/' };
        let (namespace, name) = name.rsplit_once(separator).unwrap_or(("", name));
        let package_type = self.package_type().parse().ok()?;
        let fits = |part: &str| part.len() <= NAME_LIMIT_BYTES && !part.contains(|sign: char| sign.is_whitespace() || sign.is_control());
        (!name.is_empty() && fits(name) && fits(namespace)).then(|| package_key(&PackageName::as_written(package_type, namespace, name)))
    }
}

/// The key that advisories of a package are found by: its namespace and name in their one spelling.
#[must_use]
pub fn package_key(package: &PackageName) -> String {
    if package.namespace_key().is_empty() {
        return package.name_key().to_owned();
    }
    format!("{}/{}", package.namespace_key(), package.name_key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advisory_and_a_package_meet_in_one_key_whatever_their_spelling() {
        for (ecosystem, advisory, namespace, name) in [
            ("PyPI", "Foo_Bar", "", "foo-.bar"),
            ("npm", "@Babel/core", "@babel", "core"),
            ("npm", "@babel/core", "babel", "core"),
            ("crates.io", "serde_json", "", "serde-json"),
            ("Go", "github.com/Gin-gonic/gin", "github.com/gin-gonic", "gin"),
            ("Go", "stdlib", "", "stdlib"),
            ("Maven", "org.apache.logging.log4j:log4j-core", "org.apache.logging.log4j", "log4j-core"),
            ("Packagist", "symfony/http-kernel", "symfony", "http-kernel"),
        ] {
            let ecosystem = Ecosystem::named(ecosystem).unwrap();
            let package = PackageName::new(ecosystem.package_type().parse().unwrap(), namespace, name).unwrap();
            assert_eq!(ecosystem.key_of(advisory).unwrap(), package_key(&package), "{advisory}");
            assert_eq!(Ecosystem::of(package.package_type()), Some(ecosystem));
        }
        assert_eq!(Ecosystem::named("Debian:12"), None);
        assert_eq!(Ecosystem::named("pypi"), None);
        assert_eq!(Ecosystem::Npm.key_of("a b"), None);
    }
}
