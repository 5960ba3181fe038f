//! Tarballs as npm packs them. Invariant: what counts is `package.json` inside, which is what runs, and not what the registry was told
//! beside it; packages that are bundled run their scripts too, so they are read the same way.

use serde_json::{Map, Value};

use super::archive::Package;
use super::path::EntryPath;
use super::report::Report;
use crate::domain::contents::Unreadable;
use crate::domain::dependency;

/// The scripts that run when a package of a registry is installed, in their order.
const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];
const DEPENDENCY_MEMBERS: [&str; 3] = ["dependencies", "optionalDependencies", "peerDependencies"];
const BUNDLE_MEMBERS: [&str; 2] = ["bundleDependencies", "bundledDependencies"];
/// What npm builds with when a package has it and says nothing else.
const BINDING: &str = "binding.gyp";
/// What some clients install dependencies by, instead of by the manifest.
const SHRINKWRAP: &str = "npm-shrinkwrap.json";

/// An npm package.
#[derive(Default)]
pub(super) struct Npm {
    manifest_count: u32,
    has_binding: bool,
    /// Whether some manifest leaves it to npm to run `node-gyp rebuild`.
    builds_binding: bool,
}

impl Package for Npm {
    fn wants(&mut self, path: &EntryPath, report: &mut Report<'_>) -> bool {
        let segments = path.segments();
        let is_manifest = path.is_top_file("package.json");
        self.manifest_count += u32::from(is_manifest);
        let bundled = bundled(&segments);
        if let Some(name) = &bundled {
            report.requires(name);
        }
        if path.is_top_file(SHRINKWRAP) || (bundled.is_some() && segments.last() == Some(&SHRINKWRAP)) {
            report.requires_more();
        }
        if path.is_top_file(BINDING) || (bundled.is_some() && segments.last() == Some(&BINDING)) {
            self.has_binding = true;
            report.build_script(BINDING);
        }
        is_manifest || (bundled.is_some() && segments.last() == Some(&"package.json"))
    }

    fn take(&mut self, path: &EntryPath, content: &[u8], report: &mut Report<'_>) {
        let text = std::str::from_utf8(content).unwrap_or_default();
        let Ok(Value::Object(manifest)) = serde_json::from_str(text.trim_start_matches('\u{feff}')) else {
            return report.fault(Unreadable::Malformed);
        };
        self.take_scripts(&manifest, report);
        if !path.is_top_file("package.json") {
            return;
        }
        let (name, version) = (manifest.get("name").and_then(Value::as_str), manifest.get("version").and_then(Value::as_str));
        let (namespace, bare) = name.and_then(|name| name.rsplit_once('/')).map_or(("", name), |(namespace, bare)| (namespace, Some(bare)));
        report.named(namespace, bare, version);
        for member in ["license", "licenses"] {
            manifest.get(member).into_iter().for_each(|value| take_license(value, report));
        }
        for member in DEPENDENCY_MEMBERS {
            manifest.get(member).into_iter().for_each(|value| take_dependencies(value, report));
        }
        for name in BUNDLE_MEMBERS.iter().filter_map(|member| manifest.get(*member)?.as_array()).flatten() {
            report.requires(name.as_str().unwrap_or_default());
        }
    }

    fn finish(&mut self, report: &mut Report<'_>) {
        if self.has_binding && self.builds_binding {
            report.install_script(BINDING);
        }
        if self.manifest_count != 1 {
            report.fault(Unreadable::WithoutMetadata);
        }
    }
}

impl Npm {
    fn take_scripts(&mut self, manifest: &Map<String, Value>, report: &mut Report<'_>) {
        let scripts = manifest.get("scripts");
        let has = |name: &str| scripts.and_then(|scripts| scripts.get(name)?.as_str()).is_some_and(|script| !script.is_empty());
        for name in INSTALL_SCRIPTS.into_iter().filter(|name| has(name)) {
            report.install_script(name);
        }
        let gypfile = manifest.get("gypfile").and_then(Value::as_bool);
        self.has_binding |= gypfile == Some(true);
        self.builds_binding |= gypfile != Some(false) && !has("install") && !has("preinstall");
    }
}

/// The name of the bundled package that a file at `node_modules/NAME/…` is of, at any depth.
fn bundled(segments: &[&str]) -> Option<String> {
    let at = segments.iter().rposition(|segment| *segment == "node_modules")?;
    match segments.get(at + 1..)? {
        [scope, name, _file] if scope.starts_with('@') => Some(format!("{scope}/{name}")),
        [name, _file] if !name.starts_with(['.', '@']) => Some((*name).to_owned()),
        _ => None,
    }
}

/// A string, `{"type": …}`, or a list of these.
fn take_license(value: &Value, report: &mut Report<'_>) {
    match value {
        Value::Null => {}
        Value::String(term) if term.trim().is_empty() => {}
        Value::String(term) => report.license(term),
        Value::Array(terms) => terms.iter().filter(|term| !term.is_array()).for_each(|term| take_license(term, report)),
        Value::Object(typed) => report.license(typed.get("type").and_then(Value::as_str).unwrap_or_default()),
        Value::Bool(_) | Value::Number(_) => report.license(""),
    }
}

fn take_dependencies(value: &Value, report: &mut Report<'_>) {
    match value {
        Value::Object(dependencies) => {
            for (name, range) in dependencies {
                report.requires(name);
                if let Some(alias) = range.as_str().and_then(dependency::npm_alias) {
                    report.requires(alias);
                }
            }
        }
        Value::Array(names) => names.iter().for_each(|name| report.requires(name.as_str().unwrap_or_default())),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => report.requires_more(),
    }
}
