//! Cargo's crates. Invariant: `Cargo.toml` is read as Cargo reads it, older spellings included; what Cargo would build or run without
//! being told (a `build.rs` at the top) is found by its name.

use toml::{Table, Value};

use super::archive::Package;
use super::path::EntryPath;
use super::report::Report;
use crate::domain::contents::Unreadable;

const BUILD_SCRIPT: &str = "build.rs";
const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "build-dependencies", "build_dependencies"];

/// A crate.
#[derive(Default)]
pub(super) struct Crate {
    manifest_count: u32,
    has_build_script: bool,
    /// Whether a manifest leaves it to Cargo to find a build script.
    finds_build_script: bool,
}

impl Package for Crate {
    fn wants(&mut self, path: &EntryPath, report: &mut Report<'_>) -> bool {
        let at = report.coordinates;
        let directory = format!("{}-{}", at.package().name(), at.version()).to_lowercase().replace('_', "-");
        // Cargo refuses a crate with anything beside its one directory.
        if path.top().is_none_or(|top| top.replace('_', "-") != directory) {
            report.fault(Unreadable::Misnamed);
        }
        let is_manifest = path.is_top_file("cargo.toml");
        self.manifest_count += u32::from(is_manifest);
        self.has_build_script |= path.is_top_file(BUILD_SCRIPT);
        is_manifest
    }

    fn take(&mut self, _path: &EntryPath, content: &[u8], report: &mut Report<'_>) {
        let Some(manifest) = std::str::from_utf8(content).ok().and_then(|text| text.parse::<Table>().ok()) else {
            self.finds_build_script = true;
            return report.fault(Unreadable::Malformed);
        };
        let package = manifest.get("package").or_else(|| manifest.get("project"));
        let text = |member: &str| package.and_then(|package| package.get(member)?.as_str());
        report.named("", text("name"), text("version"));
        match text("license") {
            Some(license) => report.license(license),
            // A licence of its own, that no name stands for.
            None if text("license-file").is_some() => report.license(""),
            None => {}
        }
        self.take_build(package.and_then(|package| package.get("build")), report);
        if manifest.get("lib").is_some_and(is_proc_macro) {
            report.proc_macro();
        }
        take_tables(&manifest, report);
        for target in manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values) {
            target.as_table().into_iter().for_each(|target| take_tables(target, report));
        }
    }

    fn finish(&mut self, report: &mut Report<'_>) {
        if self.has_build_script && self.finds_build_script {
            report.build_script(BUILD_SCRIPT);
        }
        if self.manifest_count != 1 {
            report.fault(Unreadable::WithoutMetadata);
        }
    }
}

impl Crate {
    fn take_build(&mut self, build: Option<&Value>, report: &mut Report<'_>) {
        match build {
            None => self.finds_build_script = true,
            Some(Value::Boolean(false)) => {}
            Some(Value::String(path)) => report.build_script(path),
            Some(Value::Array(paths)) => paths.iter().for_each(|path| report.build_script(path.as_str().unwrap_or(BUILD_SCRIPT))),
            Some(Value::Boolean(true) | Value::Integer(_) | Value::Float(_) | Value::Datetime(_) | Value::Table(_)) => {
                report.build_script(BUILD_SCRIPT);
            }
        }
    }
}

fn is_proc_macro(lib: &Value) -> bool {
    let is_true = |member: &str| lib.get(member).and_then(Value::as_bool) == Some(true);
    let types = ["crate-type", "crate_type"].into_iter().filter_map(|member| lib.get(member)?.as_array()).flatten();
    is_true("proc-macro") || is_true("proc_macro") || types.filter_map(Value::as_str).any(|crate_type| crate_type == "proc-macro")
}

/// What is needed to build or use it; what only its own tests need does not come with it.
fn take_tables(manifest: &Table, report: &mut Report<'_>) {
    for dependencies in DEPENDENCY_TABLES.into_iter().filter_map(|table| manifest.get(table)) {
        let Some(dependencies) = dependencies.as_table() else {
            report.requires_more();
            continue;
        };
        for (name, dependency) in dependencies {
            report.requires(name);
            // A renamed dependency has its real name here.
            dependency.get("package").and_then(Value::as_str).into_iter().for_each(|package| report.requires(package));
        }
    }
}
