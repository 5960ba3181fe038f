//! From policy text to a checked `Document`. Invariant: a `Document` is valid against the schema, has only `forbid` rules
//! with unique ids, and can be evaluated on any thread; a text with faults is refused with all of them.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ValidationMode, ValidationWarning, Validator};
use miette::Diagnostic;
use serde_json::Value;

use super::fault::{FAULT_LIMIT, Found, refusal};
use super::mentions::Mentions;
use super::rule::{self, Rule};
use super::scan::{self, Statement};
use super::totality;
use crate::domain::digest::Digest;
use crate::error::{Error, Result};

/// Bytes that a policy text may have.
pub const TEXT_LIMIT_BYTES: usize = 256 * 1024;
/// Rules that a policy may have.
pub const RULE_LIMIT: usize = 500;
/// No rule can have this id, since it has a space.
/// Rules that are evaluated at a stretch.
const GROUP_RULES: usize = 16;
const PERMIT_ID: &str = "built-in permit";
const PERMIT: &str = "permit (principal, action, resource);";

/// A checked policy, ready to be evaluated; shared, never changed.
#[derive(Debug)]
pub struct Document {
    text: String,
    digest: Digest,
    rules: Vec<Rule>,
    /// What each rule asks about, in the order of the rules.
    mentions: Vec<Mentions>,
    by_id: HashMap<String, usize>,
    /// The rules in groups, each with the permit that they are exceptions to.
    groups: Vec<PolicySet>,
    /// The rules whose answer can change while nothing but time does.
    timed: PolicySet,
    depth: usize,
}

impl Document {
    /// The text, byte for byte.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The sha256 of the text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The rules in the order of the text.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule with this id.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.by_id.get(id).and_then(|index| self.rules.get(*index))
    }

    /// What the rule with this id asks about.
    #[must_use]
    pub fn mentions(&self, id: &str) -> Option<&Mentions> {
        self.by_id.get(id).and_then(|index| self.mentions.get(*index))
    }

    /// What each rule asks about, in the order of the rules.
    #[must_use]
    pub fn all_mentions(&self) -> &[Mentions] {
        &self.mentions
    }

    /// All rules, some at a time: a rule forbids whatever the others say, so that groups together say what all of them would.
    pub(super) fn groups(&self) -> &[PolicySet] {
        &self.groups
    }

    /// The rule with this id, as the engine has it.
    pub(super) fn policy(&self, id: &str) -> Option<&Policy> {
        let id = PolicyId::new(id);
        self.groups.iter().find_map(|group| group.policy(&id))
    }

    /// The rules whose answer can change while nothing but time does.
    pub(super) fn timed(&self) -> &PolicySet {
        &self.timed
    }

    /// How deep its deepest rule nests.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }
}

/// Checks `text`; an empty one is a policy without rules.
///
/// # Errors
/// `bad_policy` with every fault in the member `faults`, or the first hundred.
pub(super) fn check(text: &str, validator: &Validator) -> Result<Document> {
    document(text, Purpose::Storing, validator)
}

/// Reads a text that was checked when it was stored, perhaps by an earlier program that did not yet refuse what might fail: should it
/// fail, that candidate alone is not judged.
///
/// # Errors
/// `bad_policy` as for [`check`].
pub(super) fn read_stored(text: &str, validator: &Validator) -> Result<Document> {
    document(text, Purpose::Evaluating, validator)
}

/// What a text is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Storing,
    Evaluating,
}

fn document(text: &str, purpose: Purpose, validator: &Validator) -> Result<Document> {
    if text.len() > TEXT_LIMIT_BYTES {
        let fault = Found::at(0, format!("the policy has {} bytes; at most {TEXT_LIMIT_BYTES} are allowed", text.len()));
        return Err(refusal("", [fault]));
    }
    let statements = scan::statements(text);
    let depth = statements.iter().map(|statement| statement.depth).max().unwrap_or(0);
    scan::with_stack_for(depth, || read(text, &statements, depth, purpose, validator))
}

fn read(text: &str, statements: &[Statement], depth: usize, purpose: Purpose, validator: &Validator) -> Result<Document> {
    let mut reading = Reading {
        text,
        purpose,
        depth,
        faults: scan::misleading_characters(text),
        rules: Vec::new(),
        mentions: Vec::new(),
        by_id: HashMap::new(),
        set: PolicySet::new(),
        timed: PolicySet::new(),
        offsets: HashMap::new(),
    };
    if let Some(extra) = statements.get(RULE_LIMIT) {
        let fault = Found::at(extra.start, format!("the policy has more than {RULE_LIMIT} rules"));
        reading
            .faults
            .push(fault.helped("join rules that decide alike, for instance with a set: [\"a\", \"b\"].contains(context.package.name)"));
    }
    for statement in statements.iter().take(RULE_LIMIT) {
        if reading.faults.len() >= FAULT_LIMIT {
            break;
        }
        reading.statement(statement);
    }
    reading.validate(validator);
    reading.finish()
}

struct Reading<'a> {
    text: &'a str,
    purpose: Purpose,
    depth: usize,
    faults: Vec<Found>,
    rules: Vec<Rule>,
    mentions: Vec<Mentions>,
    by_id: HashMap<String, usize>,
    set: PolicySet,
    timed: PolicySet,
    /// Where each policy of the set begins; the engine counts from there.
    offsets: HashMap<PolicyId, usize>,
}

impl Reading<'_> {
    fn statement(&mut self, statement: &Statement) {
        if let Some(at) = statement.too_deep {
            let fault = Found::at(at, "this rule is nested too deeply or has too many operators");
            self.faults.push(fault.helped(format!(
                "brackets and operators may nest {} deep; split the rule in two, or compare with a set: [\"a\", \"b\"].contains(…)",
                scan::DEPTH_LIMIT
            )));
            return;
        }
        let source = self.text.get(statement.start..statement.end).unwrap_or_default();
        let provisional = PolicyId::new(format!("line {}, byte {}", statement.line, statement.start));
        let policy = match Policy::parse(Some(provisional.clone()), source) {
            Ok(policy) => policy,
            Err(errors) => {
                let found = errors.iter().take(FAULT_LIMIT).map(|error| from_engine(statement.start, error));
                self.faults.extend(found);
                return;
            }
        };
        if policy.effect() == Effect::Permit {
            let fault = Found::at(statement.effect, "a stored policy cannot permit; everything is permitted that no rule forbids");
            self.faults.push(fault.helped("write the exception into the rule that forbids: forbid (…) when { … } unless { … };"));
        }
        let json = self.readable(&policy, statement);
        let rule = rule::read(statement, policy.annotations(), &mut self.faults).filter(|rule| self.is_new(rule, statement));
        let id = rule.as_ref().map_or(provisional, |rule| PolicyId::new(&rule.id));
        let policy = policy.new_id(id.clone());
        if let Some(rule) = rule {
            self.by_id.insert(rule.id.clone(), self.rules.len());
            self.rules.push(rule);
            let mentions = Mentions::of(&json);
            if mentions.depends_on_time() {
                add(&mut self.timed, policy.clone(), &mut self.faults);
            }
            self.mentions.push(mentions);
        }
        self.offsets.insert(id, statement.start);
        add(&mut self.set, policy, &mut self.faults);
    }

    /// The rule in the engine's JSON form; what in it can fail is not stored.
    fn readable(&mut self, policy: &Policy, statement: &Statement) -> Value {
        let (json, refused) = match policy.to_json() {
            Ok(json) => {
                let refused = if self.purpose == Purpose::Storing { totality::faults(&json) } else { Vec::new() };
                (json, refused)
            }
            Err(error) => (Value::Null, vec![("this rule cannot be read again".to_owned(), error.to_string())]),
        };
        self.faults.extend(refused.into_iter().map(|(fault, help)| Found::at(statement.effect, fault).helped(help)));
        json
    }

    fn is_new(&mut self, rule: &Rule, statement: &Statement) -> bool {
        let Some(first) = self.by_id.get(&rule.id).and_then(|index| self.rules.get(*index)) else { return true };
        let at = statement.annotations.iter().find(|(name, _)| name == "id").map_or(statement.start, |(_, at)| *at);
        let fault = Found::at(at, format!("the id {} is used twice", rule.id));
        self.faults.push(fault.helped(format!("its first use is in line {}; give this rule another id", first.line)));
        false
    }

    fn validate(&mut self, validator: &Validator) {
        let result = validator.validate(&self.set, ValidationMode::Strict);
        let mut faulty = HashSet::new();
        for error in result.validation_errors() {
            faulty.insert(error.policy_id());
            self.refuse(error.policy_id(), error);
        }
        // A rule with errors is often impossible because of them; saying so would only be noise.
        for warning in result.validation_warnings().filter(|warning| !faulty.contains(warning.policy_id())) {
            match warning {
                // A rule that can never fire is a slip that would fail open.
                ValidationWarning::ImpossiblePolicy(_)
                | ValidationWarning::InvalidActionApplication(_)
                | ValidationWarning::BidiCharsInIdentifier(_)
                | ValidationWarning::MixedScriptIdentifier(_)
                | ValidationWarning::ConfusableIdentifier(_) => self.refuse(warning.policy_id(), warning),
                // Rules against look-alike names need strings like these; raw ones were refused before.
                ValidationWarning::MixedScriptString(_) | ValidationWarning::BidiCharsInString(_) => {}
                _ => self.refuse(warning.policy_id(), warning),
            }
        }
    }

    fn refuse(&mut self, id: &PolicyId, diagnostic: &dyn Diagnostic) {
        let base = self.offsets.get(id).copied().unwrap_or(0);
        let mut fault = from_engine(base, diagnostic);
        if let Some(message) = fault.message.strip_prefix(&format!("for policy `{id}`")) {
            fault.message = message.trim_start_matches([',', ':', ' ']).to_owned();
        }
        // The engine checks a rule once for each action and says the same of each; the place tells enough.
        if let Some((what, rest)) = fault.message.split_once(" for Action::\"")
            && let Some((_action, rest)) = rest.split_once('"')
        {
            fault.message = format!("{what}{rest}");
        }
        self.faults.push(fault);
    }

    fn finish(mut self) -> Result<Document> {
        let groups = self.groups()?;
        let Reading { text, purpose: _, depth, faults, rules, mentions, by_id, set: _, timed, offsets: _ } = self;
        if !faults.is_empty() {
            return Err(refusal(text, faults));
        }
        Ok(Document { digest: Digest::of(text.as_bytes()), text: text.to_owned(), rules, mentions, by_id, groups, timed, depth })
    }

    /// At least one, so that a policy without rules is evaluated like any other.
    fn groups(&mut self) -> Result<Vec<PolicySet>> {
        let permit = Policy::parse(Some(PolicyId::new(PERMIT_ID)), PERMIT);
        let permit = permit.map_err(|error| Error::internal("parsing the built-in permit", error.to_string()))?;
        let rules: Vec<Policy> = self.set.policies().cloned().collect();
        let mut groups = Vec::new();
        for start in (0..rules.len().max(1)).step_by(GROUP_RULES) {
            let mut group = PolicySet::new();
            add(&mut group, permit.clone(), &mut self.faults);
            for rule in rules.iter().skip(start).take(GROUP_RULES) {
                add(&mut group, rule.clone(), &mut self.faults);
            }
            groups.push(group);
        }
        Ok(groups)
    }
}

fn add(set: &mut PolicySet, policy: Policy, faults: &mut Vec<Found>) {
    if let Err(error) = set.add(policy) {
        faults.push(Found::at(0, error.to_string()));
    }
}

/// The engine's own words, at the place in the whole text.
fn from_engine(base: usize, diagnostic: &dyn Diagnostic) -> Found {
    let label = diagnostic.labels().and_then(|mut labels| labels.next());
    let offset = label.as_ref().map_or(0, miette::LabeledSpan::offset);
    let help = diagnostic.help().map(|help| help.to_string());
    let help = help.or_else(|| label.and_then(|label| label.label().map(str::to_owned)));
    let fault = Found::at(base.saturating_add(offset), diagnostic.to_string());
    match help {
        Some(help) => fault.helped(help),
        None => fault,
    }
}
