//! What the protocols' rooms do through the registry's verbs. Invariant: whoever calls one holds the permit that a route would have
//! asked for.

use artifortress::domain::access::{Duty, Permit, Write};
use artifortress::domain::digest::Digest;
use artifortress::domain::id::RequestId;
use artifortress::domain::name::{Coordinates, PackageName};
use artifortress::error::Result;
use artifortress::http::{Application, HeaderValue};
use artifortress::registry::{Admitted, Deposit, NewEntry};
use bytes::Bytes;

use super::TestApp;

/// A package by its type and name; `namespace/name` where it has a namespace.
pub fn package(package_type: &str, path: &str) -> PackageName {
    let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
    PackageName::new(package_type.parse().unwrap(), namespace, name).unwrap()
}

impl TestApp {
    /// The permit of a token on a repo.
    pub async fn permit<D: Duty>(&self, token: &str, repo: &str) -> Permit<D> {
        let app = self.router.app();
        let header = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let given = if token.is_empty() { None } else { Some(&header) };
        let caller = app.authenticate(given, RequestId::new(app.clock.uuid())).await.unwrap();
        caller.permit(&app.find_repo(&repo.parse().unwrap()).await.unwrap().unwrap()).unwrap()
    }

    /// Brings a whole version with one file of these bytes, as a native publish does.
    pub async fn deposit(&self, permit: &Permit<Write>, version: (&PackageName, &str), bytes: &[u8], tags: &[&str]) -> Result<Admitted> {
        let source = futures_util::stream::iter([Ok(Bytes::copy_from_slice(bytes))]);
        let (digest, size_bytes) = self.registry().put_blob(permit, Digest::of(bytes), source).await?;
        let entry = NewEntry { path: "package.bin".parse()?, digest, size_bytes, media_type: None, sha1: None };
        let coordinates = Coordinates::new(version.0.clone(), version.1)?;
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.registry().deposit(permit, Deposit { coordinates, entries: vec![entry], manifest: Some(b"{}".to_vec()), tags }).await
    }
}

/// The version that was let in, published or held.
pub fn version_of(admitted: &Admitted) -> String {
    match admitted {
        Admitted::Published { version_id, .. } | Admitted::AlreadyPublished { version_id } | Admitted::Quarantined { version_id, .. } => {
            version_id.to_string()
        }
    }
}
