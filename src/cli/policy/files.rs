//! Policies and cases in files. Invariant: no more is read than a server would take, and what cannot be read is told with its path.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use super::cases_beside;
use crate::cli::failure::Failure;
use crate::policy::{CASES_LIMIT_BYTES, TEXT_LIMIT_BYTES};

/// A policy and its cases: those of the file given, else those beside the policy, if there are any.
///
/// # Errors
/// When one of them cannot be read.
pub(in crate::cli) fn read(policy: &Path, cases: Option<&Path>) -> Result<(String, Option<String>), Failure> {
    let text = read_policy(policy)?;
    let cases = match cases {
        Some(path) => read_text(path, CASES_LIMIT_BYTES)?.ok_or_else(|| absent(path)).map(Some)?,
        None => read_text(&cases_beside(policy), CASES_LIMIT_BYTES)?,
    };
    Ok((text, cases))
}

/// A policy alone.
///
/// # Errors
/// When it cannot be read.
pub(in crate::cli) fn read_policy(path: &Path) -> Result<String, Failure> {
    read_text(path, TEXT_LIMIT_BYTES)?.ok_or_else(|| absent(path))
}

fn absent(path: &Path) -> Failure {
    Failure::Failed(format!("there is no file {}", path.display()))
}

/// The text of a file; `None` when there is none.
fn read_text(path: &Path, limit_bytes: usize) -> Result<Option<String>, Failure> {
    let failed = |cause: &dyn std::fmt::Display| Failure::Failed(format!("cannot read {}: {cause}", path.display()));
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(failed(&cause)),
    };
    let mut bytes = Vec::new();
    file.take(limit_bytes as u64 + 1).read_to_end(&mut bytes).map_err(|cause| failed(&cause))?;
    if bytes.len() > limit_bytes {
        return Err(Failure::Failed(format!("{} is longer than {limit_bytes} bytes", path.display())));
    }
    String::from_utf8(bytes).map(Some).map_err(|cause| failed(&format!("it is not UTF-8 at byte {}", cause.utf8_error().valid_up_to())))
}
