//! What was found so far. Invariant: bounded whatever a package says; the first fault is the one that is told, and after any fault
//! the list of dependencies does not claim to be complete.

use std::collections::BTreeSet;

use super::path::shown;
use crate::domain::contents::{ContentFormat, Contents, REQUIRES_LIMIT, Unreadable};
use crate::domain::dependency;
use crate::domain::name::{Coordinates, PackageName};

/// Scripts, licence terms and classifiers that are kept of each.
const LIST_LIMIT: usize = 256;
/// Paths of machine code that are kept.
const BINARIES_LIMIT: usize = 64;
/// Bytes of a licence term that are kept: more than any SPDX expression that is read, so that a cut one names no licence.
const TERM_LIMIT_BYTES: usize = 2048;

/// The findings in the package files of one version.
pub(super) struct Report<'a> {
    pub coordinates: &'a Coordinates,
    contents: Contents,
}

impl<'a> Report<'a> {
    pub(super) fn new(coordinates: &'a Coordinates) -> Report<'a> {
        Report { coordinates, contents: Contents { requires_complete: true, ..Contents::default() } }
    }

    /// A file of this kind is read.
    pub(super) fn format(&mut self, format: ContentFormat) {
        if weight(format) > weight(self.contents.format) {
            self.contents.format = format;
        }
    }

    /// Something is wrong.
    pub(super) fn fault(&mut self, fault: Unreadable) {
        self.contents.unreadable.get_or_insert(fault);
    }

    pub(super) fn entry(&mut self) {
        self.contents.entry_count += 1;
    }

    pub(super) fn unpacked(&mut self, bytes: u64) {
        self.contents.unpacked_bytes = self.contents.unpacked_bytes.saturating_add(bytes);
    }

    pub(super) fn binary(&mut self, path: &str) {
        self.contents.binary_count += 1;
        put(&mut self.contents.binaries, path, BINARIES_LIMIT);
    }

    pub(super) fn install_script(&mut self, name: &str) {
        put(&mut self.contents.install_scripts, name, LIST_LIMIT);
    }

    pub(super) fn build_script(&mut self, name: &str) {
        put(&mut self.contents.build_scripts, name, LIST_LIMIT);
    }

    pub(super) fn proc_macro(&mut self) {
        self.contents.is_proc_macro = true;
    }

    /// An expression or a name of a licence; an empty one is a licence that is declared without being named.
    pub(super) fn license(&mut self, term: &str) {
        push(&mut self.contents.license_terms, term);
    }

    pub(super) fn classifier(&mut self, classifier: &str) {
        push(&mut self.contents.classifiers, classifier);
    }

    /// A dependency by its name as the package writes it.
    pub(super) fn requires(&mut self, name: &str) {
        let Ok(key) = dependency::key(self.coordinates.package().package_type(), name) else {
            return self.requires_more();
        };
        let requires = &mut self.contents.requires;
        if requires.len() < REQUIRES_LIMIT || requires.contains(&key) {
            requires.insert(key);
        } else {
            self.requires_more();
        }
    }

    /// There are dependencies that are not in the list, or may be.
    pub(super) fn requires_more(&mut self) {
        self.contents.requires_complete = false;
    }

    /// The package says this name and version of itself.
    pub(super) fn named(&mut self, namespace: &str, name: Option<&str>, version: Option<&str>) {
        let at = self.coordinates;
        let is_same = || {
            let package = PackageName::new(at.package().package_type().clone(), namespace, name?).ok()?;
            let same_name = package.name_key() == at.package().name_key() && package.namespace_key() == at.package().namespace_key();
            let said = Coordinates::new(package, version?).ok()?;
            Some(same_name && said.version_key() == at.version_key())
        };
        if is_same() != Some(true) {
            self.fault(Unreadable::Misnamed);
        }
    }

    pub(super) fn finish(mut self) -> Contents {
        self.contents.requires_complete &= self.contents.unreadable.is_none() && self.contents.format != ContentFormat::None;
        self.contents
    }
}

/// How much a kind of file says.
const fn weight(format: ContentFormat) -> u8 {
    match format {
        ContentFormat::None => 0,
        ContentFormat::Sdist | ContentFormat::Pom => 1,
        ContentFormat::Wheel | ContentFormat::Npm | ContentFormat::Crate | ContentFormat::Jar => 2,
    }
}

fn put(set: &mut BTreeSet<String>, name: &str, limit: usize) {
    let name = shown(name);
    if set.len() < limit && !name.is_empty() {
        set.insert(name);
    }
}

fn push(list: &mut Vec<String>, text: &str) {
    let text = text[..text.floor_char_boundary(TERM_LIMIT_BYTES)].to_owned();
    if list.len() < LIST_LIMIT && !list.contains(&text) {
        list.push(text);
    }
}
