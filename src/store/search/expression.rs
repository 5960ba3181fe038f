//! From what a person types to what the index is asked. Invariant: nothing of FTS5's own syntax gets through; every word has to be
//! found, each as a whole word, as the beginning of one, or inside a name.

use crate::error::{Error, Result};

/// Words of a query, counted as the index parts them. Each costs a walk through what has it, a single letter through much.
const WORDS_LIMIT: usize = 16;

/// A query as the index understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression {
    /// What a name is compared with: the whole query in lower case, without an npm scope's sign.
    pub(super) name: String,
    /// The query without the words that look like versions, to be compared with names in the same way; `None` when there are none
    /// such, or nothing else.
    pub(super) name_of_version: Option<String>,
    /// The FTS5 expression for all words; `None` when there are none.
    pub(super) words: Option<String>,
    /// The one for all words that do not look like versions.
    pub(super) words_of_version: Option<String>,
    /// The beginning of a version, such as `4.17`.
    pub(super) version: Option<String>,
}

impl Expression {
    /// Reads a query; a word that stands in it twice is asked for once.
    ///
    /// # Errors
    /// `bad_request` for too many words.
    pub(super) fn read(text: &str) -> Result<Expression> {
        let lower = text.trim().to_lowercase();
        let mut words: Vec<&str> = Vec::new();
        for word in lower.split(char::is_whitespace).filter(|word| word.chars().any(char::is_alphanumeric)) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        let count: usize = words.iter().map(|word| tokens(word).count()).sum();
        if count > WORDS_LIMIT {
            return Err(Error::bad_request(format!("q has {count} words, {WORDS_LIMIT} are allowed; leave out the common ones")));
        }
        let version = words.iter().rev().find(|word| is_version(word)).copied();
        let others: Vec<&str> = words.iter().copied().filter(|word| Some(*word) != version).collect();
        let is_mixed = version.is_some() && !others.is_empty();
        Ok(Expression {
            name: name_of(&lower),
            name_of_version: is_mixed.then(|| name_of(&others.join(" "))),
            words: match_all(&words),
            words_of_version: if is_mixed { match_all(&others) } else { None },
            version: version.map(|word| word.strip_prefix('v').unwrap_or(word).to_owned()),
        })
    }
}

/// The namespaces of npm are looked up without their sign.
fn name_of(text: &str) -> String {
    text.trim_start_matches('@').to_owned()
}

/// Whether a word can be the beginning of a version: `7.0`, `v2`.
fn is_version(word: &str) -> bool {
    word.strip_prefix('v').unwrap_or(word).starts_with(|sign: char| sign.is_ascii_digit())
}

fn match_all(words: &[&str]) -> Option<String> {
    let terms: Vec<String> = words.iter().flat_map(|word| word.split('/')).filter_map(match_word).collect();
    if terms.is_empty() { None } else { Some(terms.join(" AND ")) }
}

/// One word of the query. A slash has parted namespace and name already, which lie in columns of their own.
fn match_word(word: &str) -> Option<String> {
    let tokens: Vec<&str> = tokens(word).collect();
    match tokens.as_slice() {
        [] => None,
        // Whole and as a beginning: who has the whole word comes before who has a longer one.
        [token] => Some(format!("({} OR {0} *)", quoted(token))),
        // Side by side anywhere, or each of them somewhere in the name.
        several => {
            let in_name: Vec<String> = several.iter().map(|token| format!("{{name namespace parts}} : {} *", quoted(token))).collect();
            Some(format!("({} * OR ({}))", quoted(word), in_name.join(" AND ")))
        }
    }
}

/// What a word falls into: `7.0` into two.
fn tokens(word: &str) -> impl Iterator<Item = &str> {
    word.split(|sign: char| !sign.is_alphanumeric()).filter(|token| !token.is_empty())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_look_like_versions_are_told_apart() {
        let read = Expression::read(" Lodash  v4.17 ").unwrap();
        assert_eq!(
            (read.name.as_str(), read.name_of_version.as_deref(), read.version.as_deref()),
            ("lodash  v4.17", Some("lodash"), Some("4.17"))
        );
        let alone = Expression::read("7.0").unwrap();
        assert_eq!((alone.name_of_version, alone.words_of_version, alone.version.as_deref()), (None, None, Some("7.0")));
        assert_eq!(Expression::read("@babel/core").unwrap().name, "babel/core");
        assert_eq!(Expression::read("@babel/core").unwrap().version, None);
    }

    #[test]
    fn a_word_that_is_repeated_counts_once_and_too_many_are_refused() {
        assert_eq!(
            Expression::read(&"py ".repeat(60)).unwrap(),
            Expression { name: "py ".repeat(60).trim().to_owned(), ..Expression::read("py").unwrap() }
        );
        let letters = |count: u8| (0..count).map(|number| char::from(b'a' + number).to_string()).collect::<Vec<_>>();
        assert!(Expression::read(&letters(16).join(" ")).is_ok());
        for sign in [" ", ".", "/"] {
            let error = Expression::read(&letters(17).join(sign)).unwrap_err();
            assert!(error.message().contains("17 words"), "{error}");
        }
    }

    #[test]
    fn what_has_no_letter_and_no_digit_asks_for_nothing() {
        for text in ["-", "* \" (", "@", "/"] {
            assert_eq!(Expression::read(text).unwrap().words, None, "{text}");
        }
    }
}
