//! What tests do to get somewhere, through the API alone. Invariant: each step asserts that it succeeded.

use serde_json::{Value, json};

use super::{Response, TestApp, digest_of, items, text};

/// A policy that holds everything.
pub const HOLD_ALL: &str =
    r#"@id("hold-all") @decision("quarantine") @message("everything is reviewed") forbid (principal, action, resource);"#;
/// A policy that denies everything.
pub const DENY_ALL: &str = r#"@id("deny-all") @message("nothing comes in") forbid (principal, action, resource);"#;

/// One rule: `decision` on what `condition` says, such as `context.package.name like "bad-*"`.
pub fn rule(id: &str, decision: &str, condition: &str) -> String {
    format!(
        "@id(\"{id}\") @decision(\"{decision}\") @message(\"rule {id} fired\") forbid (principal, action, resource) when {{ {condition} }};\n"
    )
}

/// The address of a version.
pub fn version_path(repo: &str, id: &str) -> String {
    format!("/v1/repos/{repo}/packages/versions/{id}")
}

/// The address of a blob.
pub fn blob_path(repo: &str, digest: &str) -> String {
    format!("/v1/repos/{repo}/blobs/{digest}")
}

/// A package version to be published.
#[derive(Debug, Clone)]
pub struct Package {
    pub package_type: String,
    pub name: String,
    pub version: String,
    pub files: Vec<(String, Vec<u8>, Option<String>)>,
    pub manifest: Option<String>,
}

impl Package {
    /// A generic package with one file whose bytes are its own.
    pub fn generic(name: &str, version: &str) -> Package {
        Package {
            package_type: "generic".to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            files: Vec::new(),
            manifest: None,
        }
        .file(&format!("{name}.bin"), format!("the bytes of {name} {version}").as_bytes())
    }

    /// With one more file.
    pub fn file(mut self, path: &str, bytes: &[u8]) -> Package {
        self.files.push((path.to_owned(), bytes.to_vec(), None));
        self
    }

    /// Without the files so far.
    pub fn without_files(mut self) -> Package {
        self.files.clear();
        self
    }

    /// With this manifest.
    pub fn manifest(mut self, manifest: &Value) -> Package {
        self.manifest = Some(manifest.to_string());
        self
    }

    /// The request for its draft.
    pub fn draft_request(&self) -> Value {
        json!({"packageType": self.package_type, "packageName": self.name, "version": self.version})
    }
}

impl TestApp {
    /// Issues a token with scopes, as the administrator.
    pub async fn issue(&self, subject: &str, scopes: &[&str]) -> String {
        let request = json!({"subject": subject, "scopes": scopes});
        text(&self.post(&self.admin, "/v1/auth/tokens", request).await.expect(201).json(), "token")
    }

    /// Issues a token that carries its subject's bindings.
    pub async fn issue_bound(&self, subject: &str) -> String {
        text(&self.post(&self.admin, "/v1/auth/tokens", json!({"subject": subject})).await.expect(201).json(), "token")
    }

    /// Binds a subject to roles on a repo.
    pub async fn bind(&self, repo: &str, subject: &str, roles: &[&str]) {
        let path = format!("/v1/repos/{repo}/bindings/{subject}");
        let answer = self.call("PUT", &path).token(&self.admin).json(&json!({"roles": roles})).send().await;
        assert!(answer.status == 200 || answer.status == 204, "{}", answer.text());
    }

    /// Creates a repo; `settings` are further members.
    pub async fn create_repo(&self, key: &str, settings: Value) {
        let mut request = json!({"repoKey": key});
        request.as_object_mut().unwrap().extend(settings.as_object().cloned().unwrap_or_default());
        self.post(&self.admin, "/v1/repos", request).await.expect(201);
    }

    /// Stores a repo's policy.
    pub async fn set_policy(&self, repo: &str, policy: &str) -> Value {
        let path = format!("/v1/repos/{repo}/policy");
        self.call("PUT", &path)
            .token(&self.admin)
            .header("content-type", "text/plain")
            .body(policy.to_owned())
            .send()
            .await
            .expect(200)
            .json()
    }

    /// Uploads a blob at once; gives its digest.
    pub async fn upload(&self, token: &str, repo: &str, bytes: &[u8]) -> String {
        let digest = digest_of(bytes);
        let answer = self.call("PUT", &blob_path(repo, &digest)).token(token).body(bytes.to_vec()).send().await;
        assert!(answer.status == 200 || answer.status == 201, "{}", answer.text());
        digest
    }

    /// Uploads the files, makes the draft, and fills it; gives the version's id.
    pub async fn draft(&self, token: &str, repo: &str, package: &Package) -> String {
        let path = format!("/v1/repos/{repo}/packages/versions/drafts");
        let drafted = self.post(token, &path, package.draft_request()).await;
        assert!(drafted.status == 201 || drafted.status == 200, "{}", drafted.text());
        let id = text(&drafted.json(), "versionId");
        let mut entries = Vec::new();
        for (path, bytes, media_type) in &package.files {
            let digest = self.upload(token, repo, bytes).await;
            let mut entry = json!({"relativePath": path, "blobDigest": digest, "sizeBytes": bytes.len()});
            if let Some(media_type) = media_type {
                entry["mediaType"] = json!(media_type);
            }
            entries.push(entry);
        }
        if !entries.is_empty() {
            self.post(token, &format!("{}/entries", version_path(repo, &id)), json!({"entries": entries})).await.expect(200);
        }
        if let Some(manifest) = &package.manifest {
            let path = format!("{}/manifest", version_path(repo, &id));
            self.call("PUT", &path).token(token).header("content-type", "application/json").body(manifest.clone()).send().await.expect(200);
        }
        id
    }

    /// Asks for a step of a version without a request body of its own, such as `publish` or `restore`.
    pub async fn step(&self, token: &str, repo: &str, id: &str, verb: &str, request: Value) -> Response {
        self.post(token, &format!("{}/{verb}", version_path(repo, id)), request).await
    }

    /// Publishes a draft.
    pub async fn publish(&self, token: &str, repo: &str, id: &str) -> Response {
        self.step(token, repo, id, "publish", json!({})).await
    }

    /// Drafts and publishes; the version must become visible.
    pub async fn published(&self, repo: &str, package: &Package) -> String {
        let id = self.draft(&self.admin, repo, package).await;
        self.publish(&self.admin, repo, &id).await.expect(200);
        id
    }

    /// Drafts and publishes under a policy that holds everything; gives the version's and the item's ids. Afterwards the rule holds
    /// what it has held so far, and nothing else.
    pub async fn held(&self, repo: &str, package: &Package) -> (String, String) {
        let id = self.draft(&self.admin, repo, package).await;
        self.set_policy(repo, HOLD_ALL).await;
        let answer = self.publish(&self.admin, repo, &id).await.expect(202).json();
        let held = self.get(&self.admin, &format!("/v1/repos/{repo}/quarantine?status=quarantined&limit=100")).await.expect(200).json();
        let purls: Vec<String> = items(&held).iter().map(|item| format!("{:?}", text(item, "purl"))).collect();
        let condition = format!(" when {{ [{}].contains(context.package.purl) }};", purls.join(", "));
        self.set_policy(repo, &HOLD_ALL.replace(';', &condition)).await;
        (id, text(&answer, "quarantineId"))
    }

    /// Drafts, publishes and holds by hand; gives the version's and the item's ids.
    pub async fn held_by_hand(&self, repo: &str, package: &Package) -> (String, String) {
        let id = self.published(repo, package).await;
        let item = self.hold(&self.admin, repo, &id).await;
        assert!(item.status == 200 || item.status == 201, "{}", item.text());
        (id, text(&item.json(), "quarantineId"))
    }

    /// Holds a published version by hand.
    pub async fn hold(&self, token: &str, repo: &str, id: &str) -> Response {
        self.post(token, &format!("/v1/repos/{repo}/versions/{id}/quarantine"), json!({"reason": "somebody looked at it"})).await
    }

    /// Votes `release` or `reject` on an item.
    pub async fn vote(&self, token: &str, repo: &str, item: &str, ballot: &str) -> Response {
        self.post(token, &format!("/v1/repos/{repo}/quarantine/{item}/{ballot}"), json!({"comment": "looked at"})).await
    }

    /// Takes a version back.
    pub async fn tombstone(&self, token: &str, repo: &str, id: &str) -> Response {
        self.step(token, repo, id, "tombstone", json!({"reason": "no longer wanted"})).await
    }

    /// The state of a version, as its reviewer sees it.
    pub async fn state(&self, repo: &str, id: &str) -> String {
        text(&self.get(&self.admin, &version_path(repo, id)).await.expect(200).json(), "state")
    }
}
