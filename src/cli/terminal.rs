//! What reaches the terminal. Invariant: no text of a server carries a control character there, colour is only where a person looks
//! and wants it, and a reader that has gone ends the command without noise.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use super::failure::Failure;
use crate::config::environment;

/// How a word stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A heading, or what was searched for.
    Strong,
    /// Well.
    Good,
    /// To be looked at.
    Bad,
    /// Beside the point.
    Faint,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Style::Strong => "1",
            Style::Good => "32",
            Style::Bad => "31",
            Style::Faint => "2",
        }
    }
}

/// The standard output.
#[derive(Debug)]
pub(super) struct Screen {
    /// Whether a person looks at it.
    pub(super) is_terminal: bool,
    is_coloured: bool,
    /// Lines of what may be drawn over.
    drawn: usize,
}

impl Screen {
    /// The output of this process.
    pub(super) fn of_process() -> Screen {
        let is_terminal = std::io::stdout().is_terminal();
        let is_dumb = environment("TERM").is_some_and(|terminal| terminal == "dumb");
        Screen { is_terminal, is_coloured: is_terminal && !is_dumb && environment("NO_COLOR").is_none(), drawn: 0 }
    }

    /// One that no person looks at, for tests.
    #[cfg(test)]
    pub(super) fn of_nobody() -> Screen {
        Screen { is_terminal: false, is_coloured: false, drawn: 0 }
    }

    /// The text in a style, where colours are wanted.
    pub(super) fn paint(&self, style: Style, text: &str) -> String {
        if self.is_coloured { format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()) } else { text.to_owned() }
    }

    /// Prints lines.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut output = std::io::stdout().lock();
        writeln!(output, "{}", text.trim_end_matches('\n')).and_then(|()| output.flush()).map_err(|cause| {
            if cause.kind() == ErrorKind::BrokenPipe {
                return Failure::OutputClosed;
            }
            Failure::Failed(format!("cannot write to the standard output: {cause}"))
        })
    }

    /// Prints a text of the server as it is, line by line; on a terminal without what misleads.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn print_text(&self, text: &str) -> Result<(), Failure> {
        if !self.is_terminal {
            return self.print(text);
        }
        self.print(&text.lines().map(plain).collect::<Vec<_>>().join("\n"))
    }

    /// Prints over what was drawn last; where no person looks, below it.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn draw(&mut self, text: &str) -> Result<(), Failure> {
        let above = match self.drawn {
            lines if self.is_terminal && lines > 0 => format!("\u{1b}[{lines}A\u{1b}[J"),
            _ => String::new(),
        };
        self.print(&format!("{above}{text}"))?;
        self.drawn = text.trim_end_matches('\n').lines().count();
        Ok(())
    }

    /// Prints a JSON document. On a terminal the few control characters that JSON allows in its strings are escaped.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn print_json(&self, text: &str) -> Result<(), Failure> {
        if self.is_terminal { self.print(&escaped(text)) } else { self.print(text) }
    }
}

/// Characters that move the cursor, change colours or turn the order of letters around.
fn is_misleading(sign: char) -> bool {
    sign.is_control()
        || matches!(sign, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Somebody else's words, fit for a terminal: on one line, what misleads as a replacement character.
pub(super) fn plain(text: &str) -> String {
    let sign = |sign: char| match sign {
        '\n' | '\r' | '\t' => ' ',
        sign if is_misleading(sign) => char::REPLACEMENT_CHARACTER,
        sign => sign,
    };
    text.chars().map(sign).collect()
}

/// JSON that means the same, with what misleads in its strings as `\u….`.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for sign in json.chars() {
        // White space between the members is the one control character that may stand outside a string.
        if is_misleading(sign) && !matches!(sign, '\n' | '\r' | '\t') {
            out.push_str(&format!("\\u{:04x}", u32::from(sign)));
        } else {
            out.push(sign);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_server_says_moves_the_cursor() {
        let evil = "\u{1b}[2Jgone\u{7}\u{9b}31m\r\nnext\u{202e}tfel\u{7f}";
        let shown = plain(evil);
        assert!(!shown.chars().any(is_misleading), "{shown:?}");
        assert!(shown.contains("[2Jgone") && shown.contains("next"), "{shown:?}");
        assert_eq!(plain("größe 名前"), "größe 名前");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let json = "{\n  \"name\": \"a\u{9b}31m\u{7f}\u{202e}b\"\n}";
        let shown = escaped(json);
        assert!(!shown.chars().any(|sign| is_misleading(sign) && sign != '\n'), "{shown:?}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&shown), read(json));
    }

    #[test]
    fn colour_is_for_a_terminal_that_wants_it() {
        let screen = |is_coloured| Screen { is_terminal: true, is_coloured, drawn: 0 };
        assert_eq!(screen(false).paint(Style::Bad, "dead"), "dead");
        assert_eq!(screen(true).paint(Style::Bad, "dead"), "\u{1b}[31mdead\u{1b}[0m");
    }
}
