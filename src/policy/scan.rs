//! A first look at policy text, before it is parsed: where each statement begins, and whether it is fit to be parsed.
//! Invariant: linear in time, and what it passes cannot nest deeper than the engine's recursion can bear on a thread's stack.

use super::fault::Found;

/// How deep the expression of one rule may become: brackets, and operators or member accesses in one chain. The engine
/// recurses once per level when it parses, checks, evaluates and frees; a test runs this depth on a small stack.
pub(super) const DEPTH_LIMIT: usize = 256;
/// Stack that the engine needs for one level, in an unoptimised build; only the pages it touches become memory.
const LEVEL_BYTES: usize = 96 * 1024;
const BASE_BYTES: usize = 384 * 1024;

/// Runs `work` where there is stack for rules of this depth: here if there is enough left, else on a stack of its own.
pub(super) fn with_stack_for<T>(depth: usize, work: impl FnOnce() -> T) -> T {
    let needed_bytes = BASE_BYTES + depth.min(DEPTH_LIMIT) * LEVEL_BYTES;
    stacker::maybe_grow(needed_bytes, needed_bytes, work)
}

/// One statement of the text: the bytes from `start` up to `end`, its `;` included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Where its first token is.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// Where `forbid` or `permit` stands.
    pub effect: usize,
    /// The line of that, from 1.
    pub line: usize,
    /// Its annotations in order: name and offset of the `@`.
    pub annotations: Vec<(String, usize)>,
    /// How deep it nests at most.
    pub depth: usize,
    /// Where it became deeper than [`DEPTH_LIMIT`], if it did.
    pub too_deep: Option<usize>,
}

/// One level of brackets. Its depth is what its operators, its member accesses and the brackets inside it add up to.
#[derive(Debug, Default, Clone, Copy)]
struct Level {
    operators: usize,
    run: usize,
    inside_run: usize,
    operands: usize,
    done: usize,
}

impl Level {
    fn end_operand(&mut self) {
        self.operands = self.operands.max(self.run + self.inside_run);
        self.run = 0;
        self.inside_run = 0;
    }

    fn end_element(&mut self) {
        self.end_operand();
        self.done = self.done.max(self.operators + self.operands);
        self.operators = 0;
        self.operands = 0;
    }

    fn depth(mut self) -> usize {
        self.end_element();
        self.done
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    statements: Vec<Statement>,
    open: Option<Statement>,
    levels: Vec<Level>,
    after_at_sign: bool,
    /// Up to where lines were counted, and how many there were.
    counted: (usize, usize),
}

/// Splits `text` into its statements. `;` ends a statement wherever it stands outside strings and comments, as nothing else
/// in the language has one.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let mut scanner =
        Scanner { text, at: 0, statements: Vec::new(), open: None, levels: vec![Level::default()], after_at_sign: false, counted: (0, 1) };
    while scanner.step() {}
    if let Some(last) = scanner.open.take() {
        scanner.close(last);
    }
    scanner.statements
}

/// Characters that show a reader something else than the engine reads: control characters, and those that change the
/// direction of writing. Rules about such characters can be written with `\u{…}`.
pub(super) fn misleading_characters(text: &str) -> Vec<Found> {
    let misleading = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.char_indices()
        .filter(|(_, c)| misleading(*c))
        .take(10)
        .map(|(at, c)| {
            Found::at(at, format!("the character U+{:04X} is invisible or misleading", u32::from(c)))
                .helped("write it as an escape in a string, such as \\u{202e}, or remove it")
        })
        .collect()
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn step(&mut self) -> bool {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return false };
        if first.is_whitespace() {
            self.at += first.len_utf8();
            return true;
        }
        if rest.starts_with("//") {
            self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
            return true;
        }
        let start = self.at;
        let word_bytes = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let word = rest.get(..word_bytes).unwrap_or_default().to_owned();
        let string_bytes = if first == '"' { string_length(rest) } else { first.len_utf8() };
        let statement = self.open.get_or_insert_with(|| Statement {
            start,
            end: start,
            effect: usize::MAX,
            line: 1,
            annotations: Vec::new(),
            depth: 0,
            too_deep: None,
        });
        if word.is_empty() {
            self.at += string_bytes;
            statement.end = self.at;
            self.symbol(first, start);
        } else {
            self.at += word.len();
            statement.end = self.at;
            self.word(&word, start);
        }
        true
    }

    fn word(&mut self, word: &str, start: usize) {
        let top = self.levels.len() == 1;
        if let Some(statement) = &mut self.open {
            if self.after_at_sign {
                statement.annotations.push((word.to_owned(), start - 1));
            } else if top && statement.effect == usize::MAX {
                statement.effect = start;
            }
        }
        self.after_at_sign = false;
        match word {
            "if" | "then" | "else" | "when" | "unless" => self.operator(start),
            "in" | "has" | "like" | "is" => self.grow(start, Level::end_operand),
            _ => {}
        }
    }

    fn symbol(&mut self, symbol: char, start: usize) {
        self.after_at_sign = symbol == '@';
        match symbol {
            ';' => {
                if let Some(statement) = self.open.take() {
                    self.close(statement);
                }
            }
            '(' | '[' | '{' => {
                // `a["b"]["c"]` is a chain like `a.b.c`.
                self.grow(start, |level| level.run += usize::from(symbol == '['));
                if self.open.as_ref().is_some_and(|statement| statement.too_deep.is_none()) {
                    self.levels.push(Level::default());
                    self.watch(start);
                }
            }
            ')' | ']' | '}' if self.levels.len() > 1 => {
                let inner = self.levels.pop().unwrap_or_default().depth();
                self.grow(start, |level| level.inside_run = level.inside_run.max(inner + 1));
            }
            ',' => self.grow(start, Level::end_element),
            '.' => self.grow(start, |level| level.run += 1),
            '&' | '|' | '+' | '-' | '*' => self.operator(start),
            // Comparisons do not chain, and the engine itself stops at four `!` in a row.
            '<' | '>' | '=' | '!' => self.grow(start, Level::end_operand),
            _ => {}
        }
    }

    fn operator(&mut self, start: usize) {
        // `&&` and `||` are two characters of one operator.
        let before = start.checked_sub(1).and_then(|before| self.text.get(before..=start));
        if matches!(before, Some("&&" | "||")) {
            return;
        }
        self.grow(start, |level| {
            level.end_operand();
            level.operators += 1;
        });
    }

    fn grow(&mut self, start: usize, change: impl FnOnce(&mut Level)) {
        if let Some(level) = self.levels.last_mut() {
            change(level);
        }
        self.watch(start);
    }

    fn watch(&mut self, start: usize) {
        let Some(statement) = &mut self.open else { return };
        let here = self.levels.last().map_or(0, |level| level.depth()) + self.levels.len();
        statement.depth = statement.depth.max(here);
        if statement.too_deep.is_none() && here > DEPTH_LIMIT {
            statement.too_deep = Some(start);
        }
    }

    fn close(&mut self, mut statement: Statement) {
        if statement.effect == usize::MAX {
            statement.effect = statement.start;
        }
        let (from, line) = self.counted;
        let between = self.text.get(from..statement.effect).unwrap_or_default();
        statement.line = line + between.bytes().filter(|byte| *byte == b'\n').count();
        self.counted = (statement.effect, statement.line);
        self.levels.clear();
        self.levels.push(Level::default());
        self.after_at_sign = false;
        self.statements.push(statement);
    }
}

/// The length in bytes of the string literal that `text` begins with; all of it when the string is not closed.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_strings_and_comments() {
        let text = "// a; b\n@id(\"a;\\\";\") forbid (principal, action, resource);\n  forbid when { \"x\" };  // end;";
        let found: Vec<&str> = statements(text).iter().map(|statement| &text[statement.start..statement.end]).collect();
        assert_eq!(found, ["@id(\"a;\\\";\") forbid (principal, action, resource);", "forbid when { \"x\" };"]);
        let first = &statements(text)[0];
        assert_eq!(first.annotations, [("id".to_owned(), 8)]);
        assert!(text[first.effect..].starts_with("forbid (principal"));
    }

    #[test]
    fn depth_counts_brackets_chains_and_what_is_inside_them_but_not_siblings() {
        let deep =
            |condition: &str| statements(&format!("forbid (principal, action, resource) when {{ {condition} }};"))[0].too_deep.is_some();
        assert!(deep(&"(".repeat(300)));
        assert!(deep(&"true || ".repeat(300)));
        assert!(deep(&format!("context{}", ".a".repeat(300))));
        assert!(deep(&format!("{}1{}", "(1 + ".repeat(140), ")".repeat(140))));
        assert!(deep(&format!("{}true{}{}", "(".repeat(150), ")".repeat(150), " && true".repeat(150))));
        assert!(!deep(&"context.ageDays > 1 || ".repeat(100)));
        assert!(!deep(&format!("[{}].contains(1)", "(1), ".repeat(10_000))));
    }

    #[test]
    fn many_conditions_are_a_chain_too() {
        let text = format!("forbid (principal, action, resource){};", " when { true }".repeat(300));
        assert!(statements(&text)[0].too_deep.is_some());
    }
}
