//! The first start: repo `main` and the first admin token; and the way back in when every such token is lost. Invariant: the first start
//! happens once, on a database without tokens; a secret is written to a file of mode 0600 before the token works.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::secret::Secret;
use crate::domain::access::{Actor, Role, Scope};
use crate::domain::name::{RepoKey, Subject};
use crate::domain::repo::RepoSettings;
use crate::error::{Error, Result};
use crate::store::{NewToken, Store};

/// What the first start made.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The first admin's token, to be shown once.
    pub secret: Secret,
    /// Where it is written; `None` when it was taken from a file given by the operator.
    pub file: Option<PathBuf>,
}

/// Creates repo `main` and the admin token if the database has neither. `token_file` names a file with a token's text to
/// use instead of a new one; `anonymous_read` is the setting of `main`.
///
/// # Errors
/// When the token file cannot be read or written, or holds no token.
pub async fn bootstrap(store: &Store, directory: &Path, token_file: Option<&Path>, anonymous_read: bool) -> Result<Option<Bootstrap>> {
    let actor = Actor::system("bootstrap");
    if store.repos()?.is_empty() && !store.has_tokens()? {
        let key: RepoKey = "main".parse()?;
        let settings = RepoSettings { anonymous_read, ..RepoSettings::default() };
        store.write(&actor, move |tx| tx.create_first_repo(&key, &settings)).await?;
    }
    if store.has_tokens()? {
        return Ok(None);
    }
    let (secret, file) = match token_file {
        Some(path) => (read_token(path)?, None),
        None => {
            let (secret, path) = new_token(store, directory)?;
            (secret, Some(path))
        }
    };
    let new = of_administrator(&secret, "made at the first start")?;
    store.write(&actor, move |tx| tx.add_token(&new)).await?;
    Ok(Some(Bootstrap { secret, file }))
}

/// Makes another administrator's token where every one was lost, and writes it where the first one was written. All others stay as they
/// are. Who calls this holds the directory: no server knows of the token until it starts.
///
/// # Errors
/// When the file cannot be written or the database cannot be changed.
pub async fn recover(store: &Store, directory: &Path) -> Result<PathBuf> {
    let (secret, path) = new_token(store, directory)?;
    let new = of_administrator(&secret, "made by token recover on the data directory")?;
    store.write(&Actor::system("recovery"), move |tx| tx.add_token(&new)).await?;
    Ok(path)
}

/// A new secret and the file in which it stands.
fn new_token(store: &Store, directory: &Path) -> Result<(Secret, PathBuf)> {
    let secret = Secret::from_random(store.clock().secret()?);
    let path = directory.join("admin-token");
    write_token(&path, &secret)?;
    Ok((secret, path))
}

fn of_administrator(secret: &Secret, note: &str) -> Result<NewToken> {
    Ok(NewToken {
        secret: secret.digest(),
        subject: "admin".parse::<Subject>()?,
        scopes: Some(vec![Scope { repo: None, role: Role::Admin }]),
        bounded_by: None,
        note: Some(note.to_owned()),
        expires_at: None,
    })
}

fn read_token(path: &Path) -> Result<Secret> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| Error::internal(format!("reading the token file {}", path.display()), cause))?;
    Secret::parse(text.trim())
        .ok_or_else(|| Error::internal("reading the token file", format!("{} holds no token of the form aft_…", path.display())))
}

fn write_token(path: &Path, secret: &Secret) -> Result<()> {
    let failed = |cause| Error::internal(format!("writing the admin token to {}", path.display()), cause);
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(format!("{}\n", secret.reveal()).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
