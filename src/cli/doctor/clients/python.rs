//! pip, uv, poetry and pdm. Invariant: the settings that win come first.

use std::path::{Path, PathBuf};

use super::{Client, Role, address, at, once, table, upwards};
use crate::cli::places::Places;

/// pip: variables, then the files of the virtual environment, of the user and of the machine.
pub(super) fn pip(places: &Places) -> Client {
    let mut client = Client::default();
    for (name, setting) in [("PIP_INDEX_URL", "index-url"), ("PIP_EXTRA_INDEX_URL", "extra-index-url"), ("PIP_FIND_LINKS", "find-links")] {
        words(&mut client, setting, places.variable(name).unwrap_or_default(), &format!("the variable {name}"));
    }
    let named = places.variable("PIP_CONFIG_FILE").map(PathBuf::from);
    if named.as_deref() == Some(Path::new("/dev/null")) {
        return client;
    }
    let environment = places.variable("VIRTUAL_ENV").map(|root| PathBuf::from(root).join("pip.conf"));
    let users = [places.config().map(|config| config.join("pip/pip.conf")), places.home().map(|home| home.join(".pip/pip.conf"))];
    let files = named.into_iter().chain(environment).chain(users.into_iter().flatten()).chain([places.system.join("pip.conf")]);
    for file in once(files) {
        client.take(&file, |client, text, shown| {
            for (key, value) in entries(text) {
                words(client, &key, &value, shown);
            }
            Ok(())
        });
    }
    client
}

/// The settings of pip's file, whatever their section: key and value, where a value goes on in lines that are indented.
fn entries(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';', '['])) {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = found.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(['=', ':']) {
            found.push((key.trim().to_lowercase().replace('_', "-"), value.trim().to_owned()));
        }
    }
    found
}

/// What one of pip's settings says; those of several addresses part them by spaces.
fn words(client: &mut Client, setting: &str, value: &str, said_in: &str) {
    let role = match setting {
        "index-url" | "i" | "pypi-url" => Role::Default,
        "extra-index-url" | "find-links" | "f" => Role::Beside,
        _ => return,
    };
    for target in value.split_whitespace() {
        client.add(role.clone(), setting, target, said_in);
    }
}

/// uv: variables, then the nearest of `uv.toml` and `pyproject.toml`, then the files of the user and of the machine.
pub(super) fn uv(places: &Places) -> Client {
    let mut client = Client::default();
    let said_in = |name: &str| format!("the variable {name}");
    for (name, role) in [
        ("UV_DEFAULT_INDEX", Role::Default),
        ("UV_INDEX_URL", Role::Default),
        ("UV_INDEX", Role::Beside),
        ("UV_EXTRA_INDEX_URL", Role::Beside),
        ("UV_FIND_LINKS", Role::Beside),
    ] {
        for target in places.variable(name).unwrap_or_default().split([' ', ',', '\n']) {
            // An index may have a name before its address.
            let target = target.split_once('=').filter(|(label, _)| !label.contains(':')).map_or(target, |(_, target)| target);
            client.add(role.clone(), name, target, &said_in(name));
        }
    }
    if let Some(named) = places.variable("UV_CONFIG_FILE") {
        client.take(Path::new(named), |client, text, shown| indexes(client, &table(text)?, shown));
        return client;
    }
    for directory in places.upwards() {
        client.take(&directory.join("uv.toml"), |client, text, shown| indexes(client, &table(text)?, shown));
        client.take(&directory.join("pyproject.toml"), |client, text, shown| {
            let project = table(text)?;
            match at(&project, &["tool", "uv"]).and_then(toml::Value::as_table) {
                Some(settings) => indexes(client, settings, shown),
                None => Ok(()),
            }
        });
    }
    for file in places.config().map(|config| config.join("uv/uv.toml")).into_iter().chain([places.system.join("uv/uv.toml")]) {
        client.take(&file, |client, text, shown| indexes(client, &table(text)?, shown));
    }
    client
}

fn indexes(client: &mut Client, settings: &toml::Table, said_in: &str) -> Result<(), String> {
    let is = |index: &toml::Value, key: &str| index.get(key).and_then(toml::Value::as_bool) == Some(true);
    for index in list(settings.get("index")) {
        let name = index.get("name").and_then(toml::Value::as_str).unwrap_or("an index");
        let role = if is(index, "default") {
            Role::Default
        } else if is(index, "explicit") {
            Role::Only(format!("what asks for {name}"))
        } else {
            Role::Beside
        };
        client.add(role, &format!("the index {name}"), address(index).unwrap_or_default(), said_in);
    }
    let pip = settings.get("pip").and_then(toml::Value::as_table);
    for settings in std::iter::once(settings).chain(pip) {
        for (key, role) in [("index-url", Role::Default), ("extra-index-url", Role::Beside), ("find-links", Role::Beside)] {
            for target in list(settings.get(key)) {
                client.add(role.clone(), key, target.as_str().unwrap_or_default(), said_in);
            }
        }
    }
    Ok(())
}

/// The items of a list; one thing is a list of one.
fn list(value: Option<&toml::Value>) -> &[toml::Value] {
    match value {
        Some(toml::Value::Array(items)) => items,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    }
}

/// poetry: the sources of the project.
pub(super) fn poetry(places: &Places) -> Client {
    project(places, "poetry", |source| match source.get("priority").and_then(toml::Value::as_str) {
        Some("supplemental" | "secondary") => Role::Beside,
        Some("explicit") => Role::Only(format!("what asks for {}", named(source))),
        Some(_) | None => Role::Default,
    })
}

/// pdm: the sources of the project; the one called pypi takes the place of the public index.
pub(super) fn pdm(places: &Places) -> Client {
    project(places, "pdm", |source| if named(source) == "pypi" { Role::Default } else { Role::Beside })
}

fn named(source: &toml::Value) -> &str {
    source.get("name").and_then(toml::Value::as_str).unwrap_or("a source")
}

fn project(places: &Places, tool: &str, role: impl Fn(&toml::Value) -> Role) -> Client {
    let mut client = Client::default();
    for file in upwards(places, "pyproject.toml") {
        client.take(&file, |client, text, shown| {
            let project = table(text)?;
            for source in list(at(&project, &["tool", tool, "source"])) {
                client.add(role(source), &format!("the source {}", named(source)), address(source).unwrap_or_default(), shown);
            }
            Ok(())
        });
    }
    // A primary source beside another is as good as a second index.
    let mut has_default = false;
    for source in &mut client.sources {
        let is_default = source.role == Role::Default;
        if is_default && has_default {
            source.role = Role::Beside;
        }
        has_default |= is_default;
    }
    client
}
