//! The data directory of a server on this machine: whose it is, and who else may read in it. Invariant: nothing is opened for writing, and a
//! server on another machine is not looked at so.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::super::connection::ServerFlags;
use super::super::secret_files;
use super::Finding;

/// What must not be open to others, with what it holds.
const PRIVATE: [(&str, &str); 3] = [
    ("admin-token", "the first administrator's token"),
    ("state.db", "the catalogue, with the secrets of webhooks"),
    ("blobs", "the packages, held ones too"),
];

/// Looks at the directory that the flags name and at files with secrets; nothing when they name a server by its address.
pub(super) fn look(flags: &ServerFlags) -> Vec<Finding> {
    let Some(directory) = flags.data_directory() else { return Vec::new() };
    let mut findings = in_directory(&directory);
    let open = flags.settings().map(|config| secret_files::open_to_everybody(&config)).unwrap_or_default();
    findings.extend(open.into_iter().map(|words| Finding::warning("permissions", words, "see above, and give another secret")));
    findings
}

fn in_directory(directory: &Path) -> Vec<Finding> {
    let Ok(found) = std::fs::metadata(directory) else {
        let words = format!("{} cannot be looked at", directory.display());
        return vec![Finding::warning("permissions", words, "run this as the user whom the server runs as")];
    };
    // What nobody else can enter, nobody else can read in.
    if found.permissions().mode() & 0o077 == 0 {
        return vec![Finding::good("permissions", format!("{} is its owner's alone", directory.display()))];
    }
    let open: Vec<Finding> = PRIVATE.iter().filter_map(|(name, what)| open_to_others(&directory.join(name), what)).collect();
    if open.is_empty() {
        let words = format!("others may enter {}, and read nothing private there", directory.display());
        return vec![Finding::good("permissions", words)];
    }
    open
}

fn open_to_others(path: &Path, what: &str) -> Option<Finding> {
    let found = std::fs::metadata(path).ok()?;
    let is_open = found.permissions().mode() & 0o077 != 0;
    is_open.then(|| {
        let words = format!("others may read {} (owner {}): {what}", path.display(), found.uid());
        let next = format!("chmod go= {} and its directory; what others read meanwhile is no secret any more", path.display());
        Finding::bad("permissions", words, next)
    })
}
