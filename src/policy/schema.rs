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
// something in the declaration is no SPDX licence. none: it says NONE or, as npm packages do, UNLICENSED; that is unknown too.
// What stands in the package files counts before what the manifest says.
type Licenses = {
  "declared": Bool,
  "expression": String,
  "ids": Set<String>,
  "osiApproved": Bool,
  "copyleft": Bool,
  "unknown": Bool,
  "none": Bool,
};

// installScripts: the package asks to run commands when it is installed (npm).
type Manifest = {
  "present": Bool,
  "readable": Bool,
  "sizeBytes": Long,
  "installScripts": Bool,
};

// Who brings it: the subject, the id of its token (empty for the server itself), its roles on the repo by binding or token.
type Actor = {
  "subject": String,
  "tokenId": String,
  "roles": Set<String>,
};

// Where it would become visible; kind is local, remote or virtual.
type RepoFacts = {
  "key": String,
  "kind": String,
  "anonymousRead": Bool,
};

// What the readers found in the package files. format is none, wheel, sdist, npm, crate, jar or pom. readable: a package file of such a
// format was read to its end; unreadable: one could not be, and cause says why: malformed, without_metadata, misnamed, unsafe,
// too_many_entries, too_large, too_deep, too_slow or unsupported. binaries are paths of machine code inside, some of binaryCount.
type Contents = {
  "format": String,
  "readable": Bool,
  "unreadable": Bool,
  "cause": String,
  "entries": Long,
  "unpackedBytes": Long,
  "binaries": Set<String>,
  "binaryCount": Long,
};

// What runs when it is installed (npm's lifecycle scripts, setup.py) or built (build.rs, binding.gyp, a build backend of its own), by
// name; added are those that the previous version had not, or is not known to have had. sourceOnly: a Python source distribution
// without a visible wheel.
type Scripts = {
  "install": Bool,
  "build": Bool,
  "procMacro": Bool,
  "sourceOnly": Bool,
  "names": Set<String>,
  "added": Set<String>,
  "binariesAdded": Bool,
};

// The newest version that was visible before this one. sizePercent is the size of this one's files in percent of its; 100 without one.
type Previous = {
  "exists": Bool,
  "version": String,
  "totalBytes": Long,
  "sizePercent": Long,
};

// Who published it, and whether that is somebody else than for the previous version.
type Publisher = {
  "name": String,
  "changed": Bool,
  "previous": String,
};

// What the imported advisories say of this version. known: there are advisories for its ecosystem. count: different vulnerabilities
// and malware reports, aliases counted once; informational ones (such as unmaintained) are counted apart. ids has aliases too.
// maxSeverity is a CVSS base score from 0.0 to 10.0, severity its word: none, low, medium, high, critical. unrated: how many of count
// say no severity. fixAvailable: each of count is fixed in some version.
type Advisories = {
  "known": Bool,
  "count": Long,
  "informational": Long,
  "ids": Set<String>,
  "idsComplete": Bool,
  "malicious": Bool,
  "maxSeverity": decimal,
  "severity": String,
  "unrated": Long,
  "fixAvailable": Bool,
};

// What external scanners reported of exactly this content. failed: one of them could not look.
type Findings = {
  "scanners": Set<String>,
  "ids": Set<String>,
  "found": Bool,
  "malicious": Bool,
  "failed": Bool,
  "maxSeverity": decimal,
};

// requires are the names of declared dependencies in the same one spelling; npm's scoped ones are @scope/name.
// ageSeconds and ageDays count from the publication at the upstream, or from the moment this registry first saw the
// version when the upstream gives no date (ageKnown is then false) or the version was uploaded here.
// publishedAt is the moment that ageSeconds counts from, firstSeenAt that of this registry.
// origin is hosted, or the upstream's name; hosted tells the two apart.
// requiresAdded and requiresRemoved compare with the previous version; without one they are empty.
// waivers are the waived rules, as instance/RULE or repo/RULE. reserved: the name is kept for others; frozen: a freeze holds it.
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
  "publishedAt": datetime,
  "firstSeenAt": datetime,
  "requiresAdded": Set<String>,
  "requiresRemoved": Set<String>,
  "actor": Actor,
  "repo": RepoFacts,
  "contents": Contents,
  "scripts": Scripts,
  "previous": Previous,
  "publisher": Publisher,
  "advisories": Advisories,
  "findings": Findings,
  "waivers": Set<String>,
  "reserved": Bool,
  "frozen": Bool,
};

action "publish", "promote", "restore", "fetch", "import" appliesTo {
  principal: [Subject],
  resource: [Repo],
  context: Facts,
};
"#;
