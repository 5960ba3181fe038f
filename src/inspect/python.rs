//! Wheels (PEP 427) and source distributions (PEP 625). Invariant: whatever is there more than once is read each time and counts each
//! time; core metadata is read line by line, as forgiving as the parser that installers use.

use super::archive::Package;
use super::path::EntryPath;
use super::report::Report;
use crate::domain::contents::Unreadable;
use crate::domain::dependency;

/// A wheel.
#[derive(Default)]
pub(super) struct Wheel {
    metadata_count: u32,
}

impl Package for Wheel {
    fn wants(&mut self, path: &EntryPath, _report: &mut Report<'_>) -> bool {
        let is_metadata = matches!(path.segments().as_slice(), [directory, "metadata"] if directory.ends_with(".dist-info"));
        self.metadata_count += u32::from(is_metadata);
        is_metadata
    }

    fn take(&mut self, _path: &EntryPath, content: &[u8], report: &mut Report<'_>) {
        CoreMetadata::read(content).report(report);
    }

    fn finish(&mut self, report: &mut Report<'_>) {
        if self.metadata_count != 1 {
            report.fault(Unreadable::WithoutMetadata);
        }
    }
}

/// A source distribution.
#[derive(Default)]
pub(super) struct Sdist {
    metadata_count: u32,
}

impl Package for Sdist {
    fn wants(&mut self, path: &EntryPath, report: &mut Report<'_>) -> bool {
        // Installers that find no common top directory strip nothing.
        let is_script = |name| path.is_top_file(name) || path.key() == name;
        if is_script("setup.py") {
            report.install_script("setup.py");
        }
        let is_metadata = path.is_top_file("pkg-info");
        self.metadata_count += u32::from(is_metadata);
        is_metadata || is_script("pyproject.toml")
    }

    fn take(&mut self, path: &EntryPath, content: &[u8], report: &mut Report<'_>) {
        if path.is_top_file("pkg-info") {
            let metadata = CoreMetadata::read(content);
            metadata.report(report);
            if !metadata.has_final_requirements() {
                report.requires_more();
            }
        } else {
            read_build_system(content, report);
        }
    }

    fn finish(&mut self, report: &mut Report<'_>) {
        if self.metadata_count != 1 {
            report.fault(Unreadable::WithoutMetadata);
        }
    }
}

/// Looks for the PKG-INFO of a source distribution and for nothing else.
#[derive(Default)]
pub(super) struct PackageInformation {
    /// How many there are, whether they can be read or not.
    count: u32,
    content: Option<Vec<u8>>,
}

impl PackageInformation {
    /// The content, where there is one such file.
    pub(super) fn only(self) -> Result<Vec<u8>, Unreadable> {
        self.content.filter(|_| self.count == 1).ok_or(Unreadable::WithoutMetadata)
    }
}

impl Package for PackageInformation {
    fn wants(&mut self, path: &EntryPath, _report: &mut Report<'_>) -> bool {
        let is_wanted = path.is_top_file("pkg-info");
        self.count += u32::from(is_wanted);
        is_wanted
    }

    fn take(&mut self, _path: &EntryPath, content: &[u8], _report: &mut Report<'_>) {
        self.content = Some(content.to_owned());
    }

    fn finish(&mut self, _report: &mut Report<'_>) {}
}

/// A build backend that lies in the package itself (PEP 517, `backend-path`) is code of the package that runs when it is built; what
/// a build requires (PEP 518) is installed and run before that.
fn read_build_system(content: &[u8], report: &mut Report<'_>) {
    let project = std::str::from_utf8(content).ok().and_then(|text| text.parse::<toml::Table>().ok());
    match project {
        Some(project) => {
            let member = |name: &str| project.get("build-system").and_then(|system| system.get(name));
            if member("backend-path").is_some() {
                report.build_script("pyproject.toml");
            }
            for requirement in member("requires").and_then(toml::Value::as_array).into_iter().flatten() {
                report.requires(dependency::python_requirement(requirement.as_str().unwrap_or_default()));
            }
        }
        None => report.fault(Unreadable::Malformed),
    }
}

/// The headers of core metadata, names in lower case.
struct CoreMetadata {
    headers: Vec<(String, String)>,
}

impl CoreMetadata {
    fn read(content: &[u8]) -> CoreMetadata {
        let text = String::from_utf8_lossy(content).replace("\r\n", "\n").replace('\r', "\n");
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in text.trim_start_matches('\u{feff}').split('\n') {
            if line.is_empty() {
                break;
            }
            match (line.starts_with([' ', '\t']), headers.last_mut(), line.split_once(':')) {
                (true, Some((_, value)), _) => {
                    value.push('\n');
                    value.push_str(line.trim());
                }
                (false, _, Some((name, value))) => headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned())),
                (true, None, _) | (false, _, None) => {}
            }
        }
        CoreMetadata { headers }
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(header, value)| header == name && !value.is_empty() && value != "UNKNOWN")
            .map(|(_, value)| value.as_str())
    }

    /// The one value of a header; `None` when there is none or there are several.
    fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        values.next().filter(|first| values.all(|value| value == *first))
    }

    fn report(&self, report: &mut Report<'_>) {
        report.named("", self.one("name"), self.one("version"));
        let header = if self.values("license-expression").next().is_some() { "license-expression" } else { "license" };
        self.values(header).for_each(|term| report.license(term));
        self.values("classifier").for_each(|classifier| report.classifier(classifier));
        for requirement in self.values("requires-dist").chain(self.values("requires")) {
            report.requires(dependency::python_requirement(requirement));
        }
    }

    /// Whether the requirements of a source distribution are those of every wheel built of it (PEP 643).
    fn has_final_requirements(&self) -> bool {
        let version = self.one("metadata-version").and_then(|version| version.split_once('.'));
        let is_new =
            version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?))).is_some_and(|v: (u32, u32)| v >= (2, 2));
        is_new && !self.values("dynamic").any(|field| field.eq_ignore_ascii_case("requires-dist"))
    }
}
