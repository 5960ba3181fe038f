//! `serve --check`: what a start would do. Invariant: nothing is changed, everything that would stop a start is told, and then it ends with 1.

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use nix::unistd::{AccessFlags, access};

use super::directory::Holder;
use super::{complain, say, secret_files};
use crate::backup::refuse_half_restored;
use crate::config::{Config, Listen};
use crate::http::Tls;
use crate::store::plan_of_upgrade;

/// Says that the settings are good and what a start would do.
pub(super) fn check(config: Config) -> ExitCode {
    let directory = &config.data_dir;
    let addresses = config.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    say(&format!("the settings are good: data in {}, listening on {addresses}", directory.display()));
    let mut faults = Vec::new();
    let served_by = Holder::read(directory).ok().filter(|holder| !holder.is_gone()).and_then(|holder| holder.process);
    match served_by {
        // Its addresses are taken, by itself.
        Some(process) => say(&format!("process {process} serves this directory now; a second one would be refused")),
        None => faults.extend(config.listen.iter().filter_map(taken)),
    }
    faults.extend(unusable(directory));
    faults.extend(refuse_half_restored(directory).err().map(|error| error.message().to_owned()));
    if let Some(path) = &config.bootstrap_token_file
        && let Err(cause) = std::fs::File::open(path)
    {
        faults.push(format!("bootstrap_token_file: {} cannot be read: {cause}", path.display()));
    }
    if let Some(Err(error)) = config.tls.clone().map(Tls::load) {
        faults.push(error.message().to_owned());
    }
    match plan_of_upgrade(directory) {
        Ok(plan) if plan.is_refused() => faults.push(plan.to_string()),
        Ok(plan) => say(&plan.to_string()),
        Err(error) => faults.push(error.cause().map_or_else(|| error.message().to_owned(), ToString::to_string)),
    }
    secret_files::open_to_everybody(&config).iter().for_each(|warning| complain(warning));
    faults.iter().for_each(|fault| complain(fault));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Why an address cannot be listened on, if so.
fn taken(listen: &Listen) -> Option<String> {
    match listen {
        Listen::Tcp { address, .. } => {
            TcpListener::bind(address).err().map(|cause| format!("{address} cannot be listened on: {cause}; give another with --listen"))
        }
        Listen::Unix(path) => {
            let place = path.parent().unwrap_or(Path::new("/"));
            let fault = |cause| format!("no socket can be made in {}: {cause}", place.display());
            access(place, AccessFlags::W_OK | AccessFlags::X_OK).err().map(fault)
        }
    }
}

/// Why the directory cannot be used, or made, if so.
fn unusable(directory: &Path) -> Option<String> {
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let shown = directory.display();
    if !there.is_dir() {
        return Some(format!("{shown} cannot be used: {} is no directory", there.display()));
    }
    let refused = access(there, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK).err();
    refused.map(|cause| format!("{shown} cannot be used: {} may not be written by this user: {cause}", there.display()))
}
