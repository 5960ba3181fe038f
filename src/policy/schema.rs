//! The typed input of every rule, as a Cedar schema. Invariant: every fact is always present (empty, zero or false where it
//! is unknown, with a flag that says so), so a stored rule can never fail for a missing one.

/// The Cedar schema that policies are validated against, strictly. It is also the reference for whoever writes rules.
pub const SCHEMA: &str = r#"
// The roles that the asking subject holds on the repo; admin includes the others.
entity Group enum ["read", "write", "promote", "admin"];

// Who asks.
entity Subject in [Group];

// Where the version would become visible; kind is local, remote or virtual.
entity Repo { "kind": String };

// name, namespace and versionKey are the one spelling by which the registry looks a package up, so another spelling of
// the same package cannot dodge a rule. npm namespaces are without the @.
type Package = {
  "type": String,
  "namespace": String,
  "name": String,
  "version": String,
  "versionKey": String,
  "purl": String,
  "nameAsWritten": String,
  "namespaceAsWritten": String,
  "distribution": String,
};

// extensions are lower case without the dot, also compound: demo-1.0.tar.gz has gz and tar.gz. digests are sha256:<hex>.
// Past their bounds the sets are cut and the flag says so.
type Files = {
  "count": Long,
  "totalBytes": Long,
  "largestBytes": Long,
  "extensions": Set<String>,
  "extensionsComplete": Bool,
  "digests": Set<String>,
  "digestsComplete": Bool,
};

// ids are SPDX identifiers. osiApproved: every one of them is; copyleft: any of them is; unknown: nothing is declared, or
// something in the declaration is no SPDX licence.
type Licenses = {
  "declared": Bool,
  "expression": String,
  "ids": Set<String>,
  "osiApproved": Bool,
  "copyleft": Bool,
  "unknown": Bool,
};

// installScripts: the package asks to run commands when it is installed (npm).
type Manifest = {
  "present": Bool,
  "readable": Bool,
  "sizeBytes": Long,
  "installScripts": Bool,
};

// requires are the names of declared dependencies in the same one spelling; npm's scoped ones are @scope/name.
// ageSeconds and ageDays count from the publication at the upstream, or from the moment this registry first saw the
// version when the upstream gives no date (ageKnown is then false) or the version was uploaded here.
// origin is hosted, or the upstream's name; hosted tells the two apart.
type Facts = {
  "package": Package,
  "files": Files,
  "licenses": Licenses,
  "manifest": Manifest,
  "requires": Set<String>,
  "requiresCount": Long,
  "requiresComplete": Bool,
  "ageSeconds": Long,
  "ageDays": Long,
  "ageKnown": Bool,
  "firstSeenAgeSeconds": Long,
  "firstSeenAgeDays": Long,
  "origin": String,
  "hosted": Bool,
};

action "publish", "promote", "restore", "fetch", "import" appliesTo {
  principal: [Subject],
  resource: [Repo],
  context: Facts,
};
"#;
