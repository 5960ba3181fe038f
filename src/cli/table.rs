//! Tables, ages and counts for people. Invariant: columns line up whatever their colours, and what is not known is said to be so.

use super::terminal::{Screen, Style};
use crate::domain::time::Time;

/// What stands where nothing is known.
pub(super) const UNKNOWN: &str = "unknown";
/// Signs of one cell that are shown.
const CELL_LIMIT: usize = 160;

/// One cell.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    /// A word that stands out.
    pub(super) fn styled(style: Option<Style>, text: impl Into<String>) -> Cell {
        Cell { style, ..Cell::from(text.into()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        let is_long = text.chars().count() > CELL_LIMIT;
        let text = if is_long { text.chars().take(CELL_LIMIT - 1).chain(['…']).collect() } else { text };
        Cell { text, style: None }
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Cell {
        Cell::from(text.unwrap_or_else(|| UNKNOWN.to_owned()))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::from(text.to_owned())
    }
}

/// Rows under headings, with lines of their own between them where a row needs one.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<(Vec<Cell>, Option<String>)>,
}

impl Table {
    /// A table with these headings; without any it is a list of names and values.
    pub(super) fn new(headings: &[&'static str]) -> Table {
        Table { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push((cells, None));
    }

    /// Puts a line under the last row.
    pub(super) fn note(&mut self, note: String) {
        if let Some((_, below)) = self.rows.last_mut() {
            *below = Some(note);
        }
    }

    /// The table as lines.
    pub(super) fn render(&self, screen: &Screen) -> String {
        let headings: Vec<Cell> = self.headings.iter().map(|heading| Cell::styled(Some(Style::Strong), *heading)).collect();
        let mut widths: Vec<usize> = Vec::new();
        for cells in std::iter::once(&headings).chain(self.rows.iter().map(|(cells, _)| cells)) {
            for (index, cell) in cells.iter().enumerate() {
                let width = cell.text.chars().count();
                match widths.get_mut(index) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        let mut lines = Vec::new();
        if !headings.is_empty() {
            lines.push(line(screen, &headings, &widths));
        }
        for (cells, note) in &self.rows {
            lines.push(line(screen, cells, &widths));
            lines.extend(note.clone());
        }
        lines.join("\n")
    }
}

fn line(screen: &Screen, cells: &[Cell], widths: &[usize]) -> String {
    let mut out = String::new();
    let last = cells.iter().rposition(|cell| !cell.text.is_empty());
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate().take_while(|(index, _)| Some(*index) <= last) {
        match cell.style {
            Some(style) => out.push_str(&screen.paint(style, &cell.text)),
            None => out.push_str(&cell.text),
        }
        if Some(index) < last {
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.text.chars().count()) + 2));
        }
    }
    out
}

/// A span in the largest unit that fits, such as `3 min`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => match seconds / 86_400 {
            1 => "1 day".to_owned(),
            days => format!("{} days", grouped(days)),
        },
    }
}

/// A moment as seen from `now`: `3 min ago`, `in 5 s`, `now`.
pub(super) fn relative(now: Time, moment: Option<Time>) -> String {
    let Some(moment) = moment else { return UNKNOWN.to_owned() };
    match (now.unix_ms() - moment.unix_ms()) / 1000 {
        0 => "now".to_owned(),
        ahead @ ..0 => format!("in {}", span(ahead.unsigned_abs())),
        past => format!("{} ago", span(past.unsigned_abs())),
    }
}

/// A count with its thousands apart, such as `12,345`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its word, such as `1 dead job` and `3 dead jobs`.
pub(super) fn counted(count: u64, word: &str) -> String {
    format!("{} {word}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A size in the largest unit that fits, such as `1.5 GiB`.
pub(super) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let Some(index) = (0..units.len()).rev().find(|index| count >> (10 * (index + 1)) > 0) else { return format!("{count} bytes") };
    let tenths = (u128::from(count) * 10) >> (10 * (index + 1));
    format!("{}.{} {}", tenths / 10, tenths % 10, units.get(index).unwrap_or(&"bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_no_line_ends_with_spaces() {
        let screen = Screen::of_nobody();
        let mut table = Table::new(&["JOB", "STATE", "ERROR"]);
        table.row(vec!["1".into(), Cell::styled(Some(Style::Bad), "dead"), "größe".into()]);
        table.note("    below".to_owned());
        table.row(vec!["1234567".into(), "pending".into(), "".into()]);
        table.row(vec!["2".into(), None.into()]);
        let shown = table.render(&screen);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines, ["JOB      STATE    ERROR", "1        dead     größe", "    below", "1234567  pending", "2        unknown"]);
    }

    #[test]
    fn a_long_cell_ends_with_dots() {
        let cell = Cell::from("ä".repeat(500));
        assert_eq!((cell.text.chars().count(), cell.text.chars().last()), (CELL_LIMIT, Some('…')));
    }

    #[test]
    fn ages_are_in_the_largest_unit_that_fits() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (86_399, "23 h"),
            (86_400, "1 day"),
            (172_800, "2 days"),
            (u64::MAX, "213,503,982,334,601 days"),
        ] {
            assert_eq!(span(seconds), shown);
        }
        let now = Time::from_unix_ms(1_000_000_000);
        for (ms, shown) in [
            (0, "now"),
            (-999, "now"),
            (999, "now"),
            (-3_000, "3 s ago"),
            (5_000, "in 5 s"),
            (-7_200_000, "2 h ago"),
            (i64::MAX, "in 2,932,520 days"),
        ] {
            assert_eq!(relative(now, Some(now.plus_ms(ms))), shown);
        }
        assert_eq!(relative(now, None), "unknown");
    }

    #[test]
    fn counts_have_their_thousands_apart_and_their_words_in_the_plural() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let sizes = [0, 1023, 1024, 1536, (1 << 20) - 1, 1 << 40, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "1023.9 KiB", "1.0 TiB", "15.9 EiB"]);
        assert_eq!([0, 1, 2].map(|count| counted(count, "dead job")), ["0 dead jobs", "1 dead job", "2 dead jobs"]);
    }
}
