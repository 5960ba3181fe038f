//! Words that people give: reasons, comments, notes. Invariant: they are bounded and hold no control characters, so that they
//! can be shown on any terminal and in any log.

use crate::error::{Error, Result};

/// Characters at most.
const WORDS_LIMIT: usize = 1000;

/// Checks the words given as `member` of a request.
///
/// # Errors
/// `bad_request` when they are empty, too long or hold control characters other than line ends.
pub fn check_words(member: &str, words: &str) -> Result<()> {
    if words.trim().is_empty() || words.chars().count() > WORDS_LIMIT || words.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Error::bad_request(format!("{member} must have 1 to {WORDS_LIMIT} characters and no control characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_bounded_and_hold_no_control_characters() {
        assert!(check_words("reason", "it broke\nagain").is_ok());
        for bad in ["", "  ", "a\u{1b}[31m", &"x".repeat(1001)] {
            assert!(check_words("reason", bad).unwrap_err().message().starts_with("reason must have"));
        }
    }
}
