//! Cargo. Invariant: what takes the place of the public index is followed to the address it has, and the nearest file that says it wins.

use std::collections::BTreeMap;

use super::{Client, Role, at, once, table};
use crate::cli::places::Places;

/// Replacements of replacements that are followed.
const FOLLOWED: usize = 8;

/// What all of Cargo's files say, the nearest first.
#[derive(Default)]
struct Settings {
    /// The address of each registry and source, with the file that gives it.
    addresses: BTreeMap<String, (String, String)>,
    /// What takes the place of each source.
    replaced: BTreeMap<String, (String, String)>,
    /// The registry that commands take when none is named.
    default: Option<(String, String)>,
}

/// Cargo: `.cargo/config.toml` of this directory and those above, then the user's.
pub(super) fn cargo(places: &Places) -> Client {
    let (mut client, mut settings) = (Client::default(), Settings::default());
    let users = places.cargo().into_iter().flat_map(|cargo| [cargo.join("config.toml"), cargo.join("config")]);
    let files = places.upwards().flat_map(|above| [above.join(".cargo/config.toml"), above.join(".cargo/config")]).chain(users);
    for file in once(files) {
        client.take(&file, |_, text, shown| {
            settings.add(&table(text)?, shown);
            Ok(())
        });
    }
    if let Some(name) = places.variable("CARGO_REGISTRY_DEFAULT") {
        settings.default = Some((name.to_owned(), "the variable CARGO_REGISTRY_DEFAULT".to_owned()));
    }
    settings.tell(&mut client);
    client
}

impl Settings {
    fn add(&mut self, file: &toml::Table, shown: &str) {
        let tables = |key: &str| file.get(key).and_then(toml::Value::as_table).cloned().unwrap_or_default();
        for (name, registry) in tables("registries") {
            self.address(&name, registry.get("index"), shown);
        }
        for (name, source) in tables("source") {
            let address = ["registry", "local-registry", "directory", "git"].iter().find_map(|key| source.get(key));
            self.address(&name, address, shown);
            if let Some(by) = source.get("replace-with").and_then(toml::Value::as_str) {
                self.replaced.entry(name).or_insert_with(|| (by.to_owned(), shown.to_owned()));
            }
        }
        if let Some(name) = at(file, &["registry", "default"]).and_then(toml::Value::as_str) {
            self.default.get_or_insert_with(|| (name.to_owned(), shown.to_owned()));
        }
    }

    fn address(&mut self, name: &str, address: Option<&toml::Value>, shown: &str) {
        if let Some(address) = address.and_then(toml::Value::as_str) {
            self.addresses.entry(name.to_owned()).or_insert_with(|| (address.to_owned(), shown.to_owned()));
        }
    }

    fn tell(self, client: &mut Client) {
        let mut last = "crates-io".to_owned();
        for _ in 0..FOLLOWED {
            let Some((by, _)) = self.replaced.get(&last) else { break };
            last.clone_from(by);
        }
        if let Some((_, file)) = self.replaced.get("crates-io") {
            let target = self.addresses.get(&last).map_or("", |(address, _)| address.as_str());
            let target = if target.is_empty() { last.as_str() } else { target };
            client.add(Role::Default, "source.crates-io.replace-with", target, file);
        }
        for (name, (address, file)) in &self.addresses {
            if *name != last {
                client.add(Role::Only(format!("what asks for {name}")), &format!("the registry {name}"), address, file);
            }
        }
        if let Some((name, file)) = self.default.filter(|(name, _)| *name != last) {
            let target = self.addresses.get(&name).map_or(name.as_str(), |(address, _)| address.as_str());
            client.add(Role::Only("what cargo add finds".to_owned()), "registry.default", target, &file);
        }
    }
}
