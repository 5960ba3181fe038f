//! Java archives and Maven's project descriptions. Invariant: of XML only elements and text are read; a document type is refused,
//! entities of its own are not known, and what a parent or a property would say is unknown.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::archive::Package;
use super::path::EntryPath;
use super::report::Report;
use crate::domain::contents::Unreadable;

/// Elements inside one another.
const DEPTH_LIMIT: usize = 32;
/// Bytes of one element's text that are kept.
const TEXT_LIMIT_BYTES: usize = 1024;

/// A Java archive.
#[derive(Default)]
pub(super) struct Jar {
    manifest_count: u32,
    has_own_description: bool,
}

impl Package for Jar {
    fn wants(&mut self, path: &EntryPath, report: &mut Report<'_>) -> bool {
        match path.segments().as_slice() {
            ["meta-inf", "manifest.mf"] => {
                self.manifest_count += 1;
                false
            }
            ["meta-inf", "maven", group, artifact, "pom.xml"] => {
                let is_own = is_at(group, artifact, report);
                self.has_own_description |= is_own;
                if !is_own {
                    // Another artifact was packed into this one.
                    report.requires(&format!("{group}:{artifact}"));
                }
                is_own
            }
            _ => false,
        }
    }

    fn take(&mut self, _path: &EntryPath, content: &[u8], report: &mut Report<'_>) {
        read_description(content, report);
    }

    fn finish(&mut self, report: &mut Report<'_>) {
        if self.manifest_count != 1 {
            report.fault(Unreadable::WithoutMetadata);
        }
        if !self.has_own_description {
            report.requires_more();
        }
    }
}

/// Reads a project's description.
pub(super) fn read_description(content: &[u8], report: &mut Report<'_>) {
    match Description::read(&String::from_utf8_lossy(content)) {
        Ok(description) => description.report(report),
        Err(fault) => report.fault(fault),
    }
}

fn is_at(group: &str, artifact: &str, report: &Report<'_>) -> bool {
    let package = report.coordinates.package();
    package.namespace_key().replace('/', ".") == group.to_lowercase() && package.name_key() == artifact.to_lowercase()
}

#[derive(Default)]
struct Description {
    group: Option<String>,
    artifact: Option<String>,
    version: Option<String>,
    parent_group: Option<String>,
    parent_version: Option<String>,
    has_parent: bool,
    licenses: Vec<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Default)]
struct Dependency {
    group: String,
    artifact: String,
    scope: String,
}

impl Description {
    fn read(text: &str) -> Result<Description, Unreadable> {
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        let mut description = Description::default();
        let (mut path, mut value, mut is_whole) = (Vec::<String>::new(), String::new(), false);
        loop {
            match reader.read_event().map_err(|_| Unreadable::Malformed)? {
                Event::Start(element) => {
                    if path.len() >= DEPTH_LIMIT {
                        return Err(Unreadable::TooDeep);
                    }
                    path.push(element.local_name().as_ref().to_owned());
                    value.clear();
                    description.begin(&path);
                }
                Event::End(_) => {
                    description.end(&path, value.trim());
                    path.pop();
                    value.clear();
                    is_whole |= path.is_empty();
                }
                Event::Text(text) => add(&mut value, &text),
                Event::CData(text) => add(&mut value, &text),
                Event::GeneralRef(reference) => add(&mut value, &resolved(&reference)),
                Event::DocType(_) => return Err(Unreadable::Unsupported),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof if is_whole && path.is_empty() => return Ok(description),
                Event::Eof => return Err(Unreadable::Malformed),
            }
        }
    }

    fn begin(&mut self, path: &[String]) {
        match names(path).as_slice() {
            ["project", "parent"] => self.has_parent = true,
            ["project", "dependencies", "dependency"] | ["project", "profiles", "profile", "dependencies", "dependency"] => {
                self.dependencies.push(Dependency::default())
            }
            _ => {}
        }
    }

    fn end(&mut self, path: &[String], value: &str) {
        let value = || value.to_owned();
        match names(path).as_slice() {
            ["project", "groupId"] => self.group = Some(value()),
            ["project", "artifactId"] => self.artifact = Some(value()),
            ["project", "version"] => self.version = Some(value()),
            ["project", "parent", "groupId"] => self.parent_group = Some(value()),
            ["project", "parent", "version"] => self.parent_version = Some(value()),
            ["project", "licenses", "license", "name"] => self.licenses.push(value()),
            // A profile may be in force for whoever uses it, by their system or Java version.
            ["project", "dependencies", "dependency", member]
            | ["project", "profiles", "profile", "dependencies", "dependency", member] => {
                if let Some(dependency) = self.dependencies.last_mut() {
                    match *member {
                        "groupId" => dependency.group = value(),
                        "artifactId" => dependency.artifact = value(),
                        "scope" => dependency.scope = value(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn report(&self, report: &mut Report<'_>) {
        let group = self.group.as_deref().or(self.parent_group.as_deref()).unwrap_or_default();
        let version = self.version.as_deref().or(self.parent_version.as_deref()).unwrap_or_default();
        let at = report.coordinates;
        let same_version = version.contains("${") || version == at.version();
        if !is_at(group, self.artifact.as_deref().unwrap_or_default(), report) || !same_version {
            report.fault(Unreadable::Misnamed);
        }
        self.licenses.iter().filter(|license| !license.is_empty()).for_each(|license| report.license(license));
        for dependency in self.dependencies.iter().filter(|dependency| dependency.scope != "test") {
            let dependency_group = match dependency.group.as_str() {
                "${project.groupId}" | "${pom.groupId}" | "${groupId}" => group,
                other => other,
            };
            let name = format!("{dependency_group}:{}", dependency.artifact);
            if name.contains("${") { report.requires_more() } else { report.requires(&name) }
        }
        if self.has_parent {
            report.requires_more();
        }
    }
}

fn names(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn add(value: &mut String, text: &str) {
    let room = TEXT_LIMIT_BYTES.saturating_sub(value.len());
    value.push_str(&text[..text.floor_char_boundary(room)]);
}

/// One of XML's own entities; of others nothing is known.
fn resolved(reference: &quick_xml::events::BytesRef<'_>) -> String {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => character.to_string(),
        Ok(None) => quick_xml::escape::resolve_predefined_entity(reference).unwrap_or("\u{fffd}").to_owned(),
        Err(_) => "\u{fffd}".to_owned(),
    }
}
