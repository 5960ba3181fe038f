//! The severity that a record states. Invariant: the highest of its CVSS vectors counts; its word only where no vector can be read;
//! nothing that can be read is no severity, which is not the same as "none".

use serde_json::{Map, Value};

use super::osv::OsvSeverity;
use crate::domain::advisory::Severity;

/// The severity of one affected entry: its own statements before the record's, vectors before words.
pub(super) fn severity_of(own: &[OsvSeverity], of_record: &[OsvSeverity], words: [&Map<String, Value>; 3]) -> Option<Severity> {
    highest(own).or_else(|| highest(of_record)).or_else(|| words.into_iter().find_map(|members| word(members.get("severity")?.as_str()?)))
}

fn highest(stated: &[OsvSeverity]) -> Option<Severity> {
    highest_vector(stated).map(|(severity, _)| severity)
}

/// The vector with the highest score, and that score.
pub(super) fn highest_vector(stated: &[OsvSeverity]) -> Option<(Severity, &str)> {
    let vectors = stated.iter().filter(|severity| severity.severity_type.starts_with("CVSS_")).map(|severity| severity.score.trim());
    vectors.filter_map(|vector| Some((score(vector)?, vector))).max_by_key(|(severity, _)| *severity)
}

/// The score of a CVSS vector of any version.
fn score(vector: &str) -> Option<Severity> {
    let score = vector.parse::<cvss::Cvss>().ok()?.score();
    tenths(score)
}

fn tenths(score: f64) -> Option<Severity> {
    // There are 101 scores; the one nearest to it is asked for, so that no float is cast.
    (0..=100_u8).find(|tenths| (f64::from(*tenths) / 10.0 - score).abs() < 0.05).map(Severity::from_tenths)
}

/// The middle of the word's band in CVSS's qualitative scale.
fn word(text: &str) -> Option<Severity> {
    let tenths = match text.to_ascii_lowercase().as_str() {
        "low" => 20,
        "moderate" | "medium" => 55,
        "high" | "important" => 80,
        "critical" => 95,
        _ => return None,
    };
    Some(Severity::from_tenths(tenths))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stated(vectors: &[(&str, &str)]) -> Vec<OsvSeverity> {
        let new = |(kind, score): &(&str, &str)| OsvSeverity { severity_type: (*kind).to_owned(), score: (*score).to_owned() };
        vectors.iter().map(new).collect()
    }

    fn tenths_of(own: &[(&str, &str)], of_record: &[(&str, &str)], word: &str) -> Option<u8> {
        let members = json!({"severity": word});
        let none = Map::new();
        severity_of(&stated(own), &stated(of_record), [&none, &none, members.as_object().unwrap()]).map(Severity::tenths)
    }

    #[test]
    fn the_highest_vector_counts_and_the_word_where_there_is_none() {
        let v3 = ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H");
        let critical = ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H");
        let v4 = ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N");
        let v2 = ("CVSS_V2", "AV:N/AC:L/Au:N/C:C/I:C/A:C");
        assert_eq!(tenths_of(&[], &[v3], "LOW"), Some(72));
        assert_eq!(tenths_of(&[], &[v3, v4], ""), Some(93));
        assert_eq!(tenths_of(&[], &[v2], ""), Some(100));
        assert_eq!(tenths_of(&[v3], &[critical], ""), Some(72), "what is said of the package itself goes first");
        assert_eq!(tenths_of(&[], &[("CVSS_V3", "CVSS:3.1/AV:?"), ("Ubuntu", "high")], "MODERATE"), Some(55));
        let words = ["LOW", "MODERATE", "HIGH", "critical", "unheard", ""].map(|word| tenths_of(&[], &[], word));
        assert_eq!(words, [Some(20), Some(55), Some(80), Some(95), None, None]);
    }
}
