//! Files with secrets that settings name. Invariant: who may read them is looked at; they are not opened for it.

use std::os::unix::fs::PermissionsExt as _;

use crate::config::Config;

/// Those that every user of this machine may read, each as a sentence with what to do. It is no refusal: the secrets of containers are often
/// such files, where nobody else is.
pub(super) fn open_to_everybody(config: &Config) -> Vec<String> {
    let key_file = config.tls.as_ref().map(|tls| tls.key_file.as_path());
    let files = [("bootstrap_token_file", config.bootstrap_token_file.as_deref()), ("tls.key_file", key_file)];
    let named = files.into_iter().filter_map(|(setting, file)| Some((setting, file?)));
    let open = named.filter(|(_, file)| std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o007 != 0));
    open.map(|(setting, file)| {
        let file = file.display();
        format!("{setting}: everybody on this machine may use {file}; chmod o= {file}, and what others have read is no secret any more")
    })
    .collect()
}
