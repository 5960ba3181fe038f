//! npm, pnpm, yarn and bun. Invariant: the settings that win come first.

use std::path::PathBuf;

use super::{Client, Role, address, at, once, table, upwards};
use crate::cli::places::Places;

/// npm and pnpm, and bun as far as it reads the same files: variables, then `.npmrc` of the project and of the user.
pub(super) fn npm(places: &Places) -> Client {
    let mut client = Client::default();
    for name in ["npm_config_registry", "NPM_CONFIG_REGISTRY"] {
        client.add(Role::Default, "registry", places.variable(name).unwrap_or_default(), &format!("the variable {name}"));
    }
    let users = ["npm_config_userconfig", "NPM_CONFIG_USERCONFIG"].iter().find_map(|name| places.variable(name)).map(PathBuf::from);
    let users = users.or_else(|| Some(places.home()?.join(".npmrc")));
    for file in once(upwards(places, ".npmrc").into_iter().chain(users)) {
        client.take(&file, |client, text, shown| {
            for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])) {
                let Some((key, value)) = line.split_once('=') else { continue };
                let (key, value) = (key.trim(), value.trim().trim_matches(['"', '\'']));
                match key.strip_suffix(":registry") {
                    Some(scope) => client.add(Role::Only(format!("{scope}/…")), key, value, shown),
                    None if key == "registry" => client.add(Role::Default, key, value, shown),
                    None => {}
                }
            }
            Ok(())
        });
    }
    client
}

/// yarn from version 2 on: a variable, then `.yarnrc.yml` of the project and of the user.
pub(super) fn yarn(places: &Places) -> Client {
    let mut client = Client::default();
    let (name, setting) = ("YARN_NPM_REGISTRY_SERVER", "npmRegistryServer");
    client.add(Role::Default, setting, places.variable(name).unwrap_or_default(), &format!("the variable {name}"));
    for file in once(upwards(places, ".yarnrc.yml").into_iter().chain(places.home().map(|home| home.join(".yarnrc.yml")))) {
        client.take(&file, |client, text, shown| {
            for (above, value) in registry_servers(text) {
                match above.as_slice() {
                    [] => client.add(Role::Default, setting, &value, shown),
                    [group, scope, ..] if group == "npmScopes" => {
                        client.add(Role::Only(format!("@{scope}/…")), &format!("npmScopes.{scope}"), &value, shown);
                    }
                    // npmRegistries say how a server is spoken to, not what comes from it.
                    [_, ..] => {}
                }
            }
            Ok(())
        });
    }
    client
}

/// Each `npmRegistryServer` with the keys that it stands under, the outermost first. Of YAML this reads what yarn's own settings are written
/// in: keys in blocks that are indented.
fn registry_servers(text: &str) -> Vec<(Vec<String>, String)> {
    let mut under: Vec<(usize, String)> = Vec::new();
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        let indent = line.len() - line.trim_start().len();
        under.retain(|(outer, _)| *outer < indent);
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        let (key, value) = (unquoted(key), unquoted(value.split(" #").next().unwrap_or_default()));
        if key == "npmRegistryServer" {
            found.push((under.iter().map(|(_, key)| key.clone()).collect(), value));
        } else if value.is_empty() {
            under.push((indent, key));
        }
    }
    found
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches(['"', '\'']).to_owned()
}

/// bun: `bunfig.toml` of the project and of the user.
pub(super) fn bun(places: &Places) -> Client {
    let mut client = Client::default();
    let name = "BUN_CONFIG_REGISTRY";
    client.add(Role::Default, "registry", places.variable(name).unwrap_or_default(), &format!("the variable {name}"));
    let users = [places.home().map(|home| home.join(".bunfig.toml")), places.config().map(|config| config.join(".bunfig.toml"))];
    for file in once(upwards(places, "bunfig.toml").into_iter().chain(users.into_iter().flatten())) {
        client.take(&file, |client, text, shown| {
            let settings = table(text)?;
            let registry = at(&settings, &["install", "registry"]).and_then(address);
            client.add(Role::Default, "install.registry", registry.unwrap_or_default(), shown);
            let scopes = at(&settings, &["install", "scopes"]).and_then(toml::Value::as_table);
            for (scope, registry) in scopes.into_iter().flatten() {
                let what = Role::Only(format!("@{}/…", scope.trim_start_matches('@')));
                client.add(what, &format!("install.scopes.{scope}"), address(registry).unwrap_or_default(), shown);
            }
            Ok(())
        });
    }
    client
}
