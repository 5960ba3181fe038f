//! The records of `policy::known` as the engine takes them. Invariant: every field of every record is named, so that a new fact does not
//! compile until it is passed on.

use super::{Built, flag, long, record, score, set, text};
use crate::policy::known::{ActorFacts, AdvisoryFacts, ContentFacts, FindingFacts, PreviousFacts, PublisherFacts, RepoFacts, ScriptFacts};

pub(super) fn actor(facts: &ActorFacts) -> Built {
    let ActorFacts { subject, token_id, roles } = facts;
    record([("subject", text(subject)), ("tokenId", text(token_id)), ("roles", set(roles))])
}

pub(super) fn repo(facts: &RepoFacts) -> Built {
    let RepoFacts { key, kind, anonymous_read } = facts;
    record([("key", text(key)), ("kind", text(kind)), ("anonymousRead", flag(*anonymous_read))])
}

pub(super) fn contents(facts: &ContentFacts) -> Built {
    let ContentFacts { format, readable, unreadable, cause, entries, unpacked_bytes, binaries, binary_count } = facts;
    record([
        ("format", text(format)),
        ("readable", flag(*readable)),
        ("unreadable", flag(*unreadable)),
        ("cause", text(cause)),
        ("entries", long(*entries)),
        ("unpackedBytes", long(*unpacked_bytes)),
        ("binaries", set(binaries)),
        ("binaryCount", long(*binary_count)),
    ])
}

pub(super) fn scripts(facts: &ScriptFacts) -> Built {
    let ScriptFacts { install, build, proc_macro, source_only, names, added, binaries_added } = facts;
    record([
        ("install", flag(*install)),
        ("build", flag(*build)),
        ("procMacro", flag(*proc_macro)),
        ("sourceOnly", flag(*source_only)),
        ("names", set(names)),
        ("added", set(added)),
        ("binariesAdded", flag(*binaries_added)),
    ])
}

pub(super) fn previous(facts: &PreviousFacts) -> Built {
    let PreviousFacts { exists, version, total_bytes, size_percent } = facts;
    record([
        ("exists", flag(*exists)),
        ("version", text(version)),
        ("totalBytes", long(*total_bytes)),
        ("sizePercent", long(*size_percent)),
    ])
}

pub(super) fn publisher(facts: &PublisherFacts) -> Built {
    let PublisherFacts { name, changed, previous } = facts;
    record([("name", text(name)), ("changed", flag(*changed)), ("previous", text(previous))])
}

pub(super) fn advisories(facts: &AdvisoryFacts) -> Built {
    let AdvisoryFacts { known, count, informational, ids, ids_complete, malicious, max_severity, severity, unrated, fix_available } = facts;
    record([
        ("known", flag(*known)),
        ("count", long(*count)),
        ("informational", long(*informational)),
        ("ids", set(ids)),
        ("idsComplete", flag(*ids_complete)),
        ("malicious", flag(*malicious)),
        ("maxSeverity", score(*max_severity)),
        ("severity", text(severity)),
        ("unrated", long(*unrated)),
        ("fixAvailable", flag(*fix_available)),
    ])
}

pub(super) fn findings(facts: &FindingFacts) -> Built {
    let FindingFacts { scanners, ids, found, malicious, failed, max_severity } = facts;
    record([
        ("scanners", set(scanners)),
        ("ids", set(ids)),
        ("found", flag(*found)),
        ("malicious", flag(*malicious)),
        ("failed", flag(*failed)),
        ("maxSeverity", score(*max_severity)),
    ])
}
