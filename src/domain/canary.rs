//! The package that proves the gate. Invariant: one harmless name in every format is malware by an advisory that is built in, and no
//! policy, waiver or reviewer lets it in; whoever tries to publish it through the public address sees whether the gate stands there.

use super::advisory::{AdvisoryFindings, Severity};
use super::candidate::{Decision, Reason, orders};
use super::name::Coordinates;

/// The name, in every format.
pub const NAME: &str = "artifortress-canary";
/// The id of the built-in advisory.
pub const ADVISORY: &str = "ARTIFORTRESS-CANARY";

/// Whether this is the canary, however its name is spelled.
#[must_use]
pub fn is_canary(at: &Coordinates) -> bool {
    let name = at.package().name_key();
    name.len() == NAME.len() && name.bytes().zip(NAME.bytes()).all(|(a, b)| a.eq_ignore_ascii_case(&b) || (b == b'-' && a == b'_'))
}

/// The server's own order about it.
#[must_use]
pub fn order(at: &Coordinates) -> Option<Reason> {
    is_canary(at).then(|| Reason {
        rule: orders::CANARY.to_owned(),
        decision: Decision::Deny,
        message: format!("{NAME} is the package that proves the gate; it is never let in"),
        policy: None,
    })
}

/// Adds the built-in advisory, so that rules about malware see it as they see any other.
pub fn advise(at: &Coordinates, found: &mut AdvisoryFindings) {
    if is_canary(at) {
        found.known = true;
        found.count = found.count.saturating_add(1);
        found.is_malicious = true;
        found.is_fix_available = false;
        found.max_severity = Severity::from_tenths(100);
        found.ids.insert(ADVISORY.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::PackageName;

    fn at(package_type: &str, namespace: &str, name: &str) -> Coordinates {
        Coordinates::new(PackageName::new(package_type.parse().unwrap(), namespace, name).unwrap(), "1.0.0").unwrap()
    }

    #[test]
    fn the_canary_is_known_by_every_spelling_in_every_format_and_nothing_else_is() {
        for (package_type, namespace, name) in [
            ("pypi", "", "Artifortress_Canary"),
            ("pypi", "", "artifortress.canary"),
            ("npm", "", NAME),
            ("npm", "anybody", NAME),
            ("cargo", "", "artifortress_canary"),
            ("generic", "", "ARTIFORTRESS-CANARY"),
            ("maven", "org.example", NAME),
        ] {
            assert!(is_canary(&at(package_type, namespace, name)), "{package_type} {name}");
        }
        for name in ["artifortress-canary2", "artifortress", "canary", "artifortressxcanary"] {
            assert!(!is_canary(&at("npm", "", name)), "{name}");
        }
    }
}
