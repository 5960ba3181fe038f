//! From facts to what the engine evaluates. Invariant: built from typed values field by field, so it has exactly the
//! schema's shape; a test validates it.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema};

use super::facts::{Facts, FileFacts, PackageFacts};
use super::input::Input;
use super::licenses::LicenseFacts;
use super::manifest::ManifestFacts;
use crate::domain::advisory::Severity;

mod known;

type Cause = Box<dyn std::error::Error + Send + Sync>;
type Built = Result<RestrictedExpression, Cause>;

/// The names of the schema's types, parsed once.
#[derive(Debug)]
pub(super) struct Names {
    subject: EntityTypeName,
    group: EntityTypeName,
    repo: EntityTypeName,
    action: EntityTypeName,
}

impl Names {
    /// Parses the names.
    pub(super) fn parse() -> Result<Names, Cause> {
        Ok(Names { subject: "Subject".parse()?, group: "Group".parse()?, repo: "Repo".parse()?, action: "Action".parse()? })
    }

    /// The question and the entities it names. With a schema, both are held against it.
    pub(super) fn ask(&self, input: &Input, schema: Option<&Schema>) -> Result<(Request, Entities), Cause> {
        let uid = |name: &EntityTypeName, id: &str| EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id));
        let principal = uid(&self.subject, &input.principal);
        let resource = uid(&self.repo, input.resource.as_str());
        let groups: HashSet<EntityUid> = input.groups.iter().map(|role| uid(&self.group, role.as_str())).collect();
        let kind = RestrictedExpression::new_string(input.repo_kind.as_str().to_owned());
        let repo = Entity::new(resource.clone(), HashMap::from([("kind".to_owned(), kind)]), HashSet::new())?;
        let subject = Entity::new_no_attrs(principal.clone(), groups);
        let entities = Entities::from_entities([subject, repo], schema)?;
        let context = context(&input.context)?;
        let request = Request::new(principal, uid(&self.action, input.action.as_str()), resource, context, schema)?;
        Ok((request, entities))
    }
}

fn context(facts: &Facts) -> Result<Context, Cause> {
    let Facts {
        package,
        files,
        licenses,
        manifest,
        requires,
        requires_count,
        requires_complete,
        age_seconds,
        age_days,
        age_known,
        first_seen_age_seconds,
        first_seen_age_days,
        origin,
        hosted,
        published_at,
        first_seen_at,
        requires_added,
        requires_removed,
        actor,
        repo,
        contents,
        scripts,
        previous,
        publisher,
        advisories,
        findings,
        waivers,
        reserved,
        frozen,
    } = facts;
    let pairs = [
        ("package", self::package(package)?),
        ("files", self::files(files)?),
        ("licenses", self::licenses(licenses)?),
        ("manifest", self::manifest(manifest)?),
        ("requires", set(requires)),
        ("requiresCount", long(*requires_count)),
        ("requiresComplete", flag(*requires_complete)),
        ("ageSeconds", long(*age_seconds)),
        ("ageDays", long(*age_days)),
        ("ageKnown", flag(*age_known)),
        ("firstSeenAgeSeconds", long(*first_seen_age_seconds)),
        ("firstSeenAgeDays", long(*first_seen_age_days)),
        ("origin", text(origin)),
        ("hosted", flag(*hosted)),
        ("publishedAt", moment(published_at)),
        ("firstSeenAt", moment(first_seen_at)),
        ("requiresAdded", set(requires_added)),
        ("requiresRemoved", set(requires_removed)),
        ("actor", known::actor(actor)?),
        ("repo", known::repo(repo)?),
        ("contents", known::contents(contents)?),
        ("scripts", known::scripts(scripts)?),
        ("previous", known::previous(previous)?),
        ("publisher", known::publisher(publisher)?),
        ("advisories", known::advisories(advisories)?),
        ("findings", known::findings(findings)?),
        ("waivers", set(waivers)),
        ("reserved", flag(*reserved)),
        ("frozen", flag(*frozen)),
    ];
    Ok(Context::from_pairs(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)))?)
}

fn package(facts: &PackageFacts) -> Built {
    let PackageFacts { package_type, namespace, name, version, version_key, purl, name_as_written, namespace_as_written, distribution } =
        facts;
    record([
        ("type", text(package_type)),
        ("namespace", text(namespace)),
        ("name", text(name)),
        ("version", text(version)),
        ("versionKey", text(version_key)),
        ("purl", text(purl)),
        ("nameAsWritten", text(name_as_written)),
        ("namespaceAsWritten", text(namespace_as_written)),
        ("distribution", text(distribution)),
    ])
}

fn files(facts: &FileFacts) -> Built {
    let FileFacts { count, total_bytes, largest_bytes, extensions, extensions_complete, digests, digests_complete } = facts;
    record([
        ("count", long(*count)),
        ("totalBytes", long(*total_bytes)),
        ("largestBytes", long(*largest_bytes)),
        ("extensions", set(extensions)),
        ("extensionsComplete", flag(*extensions_complete)),
        ("digests", set(digests)),
        ("digestsComplete", flag(*digests_complete)),
    ])
}

fn licenses(facts: &LicenseFacts) -> Built {
    let LicenseFacts { declared, expression, ids, osi_approved, copyleft, unknown, none } = facts;
    record([
        ("declared", flag(*declared)),
        ("expression", text(expression)),
        ("ids", set(ids)),
        ("osiApproved", flag(*osi_approved)),
        ("copyleft", flag(*copyleft)),
        ("unknown", flag(*unknown)),
        ("none", flag(*none)),
    ])
}

fn manifest(facts: &ManifestFacts) -> Built {
    let ManifestFacts { present, readable, size_bytes, install_scripts } = facts;
    record([
        ("present", flag(*present)),
        ("readable", flag(*readable)),
        ("sizeBytes", long(*size_bytes)),
        ("installScripts", flag(*install_scripts)),
    ])
}

fn record<const N: usize>(fields: [(&str, RestrictedExpression); N]) -> Built {
    Ok(RestrictedExpression::new_record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)))?)
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn long(value: i64) -> RestrictedExpression {
    RestrictedExpression::new_long(value)
}

fn flag(value: bool) -> RestrictedExpression {
    RestrictedExpression::new_bool(value)
}

/// A moment as RFC 3339; an empty one, of an input recorded before there were such facts, is 1970.
fn moment(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_datetime(if text.is_empty() { "1970-01-01" } else { text })
}

fn score(severity: Severity) -> RestrictedExpression {
    RestrictedExpression::new_decimal(severity.to_string())
}

fn set(values: &BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.iter().map(|value| text(value)))
}
