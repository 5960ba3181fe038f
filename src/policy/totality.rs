//! Whether a rule can be evaluated whatever the facts are. Invariant: what passes here and the validator never makes the engine fail:
//! no sum or product of facts can leave the range of integers, and nothing asks an entity that may not be there.
//!
//! It reads a rule in the engine's JSON form. Facts that are integers are at most [`LONG_LIMIT`] either way.

use serde_json::Value;

/// The largest integer that a fact can be, either way: larger than any size in bytes or time in seconds that there is.
pub(super) const LONG_LIMIT: i64 = 1_000_000_000_000_000;

/// Why a rule is refused, and what to write instead.
pub(super) type Refused = (String, String);

/// Everything in the conditions of `rule` on which the engine could fail.
pub(super) fn faults(rule: &Value) -> Vec<Refused> {
    let mut faults = Vec::new();
    for condition in rule.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        walk(condition.get("body").unwrap_or(&Value::Null), &mut faults);
    }
    faults.sort();
    faults.dedup();
    faults
}

/// Looks through an expression and says how large its value can be, were it an integer.
fn walk(node: &Value, faults: &mut Vec<Refused>) -> i128 {
    let Some((operator, operands)) = node.as_object().and_then(|members| members.iter().next()) else {
        return i128::from(LONG_LIMIT);
    };
    let child = |name: &str, faults: &mut Vec<Refused>| walk(operands.get(name).unwrap_or(&Value::Null), faults);
    match operator.as_str() {
        "Value" => operands.as_i64().map_or(i128::from(LONG_LIMIT), |number| i128::from(number).abs()),
        "Var" => i128::from(LONG_LIMIT),
        "+" | "-" => {
            let size = child("left", faults).saturating_add(child("right", faults));
            within(size, operator, faults)
        }
        "*" => {
            let size = child("left", faults).saturating_mul(child("right", faults));
            within(size, operator, faults)
        }
        "neg" => {
            let size = child("arg", faults);
            within(size, operator, faults)
        }
        "if-then-else" => {
            child("if", faults);
            child("then", faults).max(child("else", faults))
        }
        "." => {
            let left = operands.get("left").unwrap_or(&Value::Null);
            if !is_rooted(left) {
                faults.push((
                    "this rule asks an entity that may not be there".to_owned(),
                    "ask `resource` or `context`, not an entity by name: resource.kind, context.repo.kind".to_owned(),
                ));
            }
            walk(left, faults);
            i128::from(LONG_LIMIT)
        }
        "offset" => {
            faults.push((
                "offset can leave the range of times".to_owned(),
                "compare with a moment, such as datetime(\"2026-01-31T00:00:00Z\"), or with context.ageDays".to_owned(),
            ));
            i128::from(LONG_LIMIT)
        }
        _ => {
            each_inside(operands, faults);
            i128::from(LONG_LIMIT)
        }
    }
}

fn each_inside(operands: &Value, faults: &mut Vec<Refused>) {
    match operands {
        Value::Array(items) => items.iter().for_each(|item| {
            walk(item, faults);
        }),
        Value::Object(members) => members.values().for_each(|item| {
            walk(item, faults);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether an attribute is asked of what is always there.
fn is_rooted(node: &Value) -> bool {
    let Some((operator, operands)) = node.as_object().and_then(|members| members.iter().next()) else { return false };
    match operator.as_str() {
        "Var" => operands.as_str().is_some_and(|name| ["context", "resource", "principal"].contains(&name)),
        "." => is_rooted(operands.get("left").unwrap_or(&Value::Null)),
        "Record" => true,
        _ => false,
    }
}

fn within(size: i128, operator: &str, faults: &mut Vec<Refused>) -> i128 {
    if size <= i128::from(i64::MAX) {
        return size;
    }
    faults.push((
        format!("`{operator}` can leave the range of integers here"),
        "compare each fact with a number of its own; facts are at most 1,000,000,000,000,000, and what is computed of them must stay below \
         9,223,372,036,854,775,808"
            .to_owned(),
    ));
    i128::from(i64::MAX)
}
