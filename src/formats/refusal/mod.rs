//! How the protocols refuse: one table (`dialects`), one line for people and one body for programs (`withholding`). Invariant: whatever is
//! refused is said in one ASCII line of at most 200 characters, which clients show as reason phrase, notice or error.

mod dialects;
mod withholding;

#[cfg(test)]
mod tests;

pub use dialects::{NPM_NOTICE, cargo_refusal, npm_refusal, problem};
pub use withholding::{Audience, Withholding};

use self::withholding::ALTERNATIVE;
use crate::domain::access::{Permit, Read};
use crate::domain::name::PackageName;
use crate::error::Error;
use crate::registry::Registry;

/// The same error; where it refuses something withheld, with the newest visible version of the package to use instead. Blocks.
#[must_use]
pub fn explained(registry: &Registry, permit: &Permit<Read>, package: &PackageName, error: Error) -> Error {
    if Withholding::of(&error).is_none() {
        return error;
    }
    match registry.resolve_latest(permit, package) {
        Ok(latest) => error.with(ALTERNATIVE, latest.coordinates.version()),
        Err(_) => error,
    }
}

/// `text` as one line of visible ASCII, at most `limit` characters; what is cut off shows as dots.
fn one_line(text: &str, limit: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = words.chars().map(|letter| if matches!(letter, ' '..='~') { letter } else { '?' }).collect();
    if line.len() <= limit {
        return line;
    }
    format!("{}...", line[..limit.saturating_sub(3)].trim_end())
}
