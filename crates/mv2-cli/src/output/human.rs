//! Text for people: cleaned, cut and wrapped by the columns that it takes on a screen.

use std::cmp::Ordering;
use std::ops::Range;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Style;

/// Replaces control characters and direction overrides, with which a stored text could rewrite the
/// screen or pass for another. Line breaks and tabs stay.
pub(crate) fn clean(text: &str) -> String {
    let harmful = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| {
            if harmful(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// Like [`clean`], on one line: a run of white space becomes a space.
pub(crate) fn clean_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    clean(&words.join(" "))
}

/// Cuts a line to a width, with an ellipsis if something is missing.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut width = 0;
    let mut kept = String::new();
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width + 1 > columns {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Wraps a text and emphasises byte ranges of it. Breaks at white space and beside wide characters
/// (Chinese, Japanese, Korean), inside of a word only if it is longer than a line.
pub(crate) fn wrap(
    text: &str,
    matches: &[Range<usize>],
    columns: usize,
    style: Style,
) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = Vec::new();
    let mut line: Vec<(char, bool)> = Vec::new();
    let mut used = 0;
    for unit in units(text, matches) {
        let width: usize = unit.cells.iter().map(|(c, _)| c.width().unwrap_or(0)).sum();
        let space = usize::from(unit.spaced && used > 0);
        if used > 0 && used + space + width > columns {
            lines.push(render(&line, style));
            line.clear();
            used = 0;
        } else if space > 0 {
            // A space between two matched words belongs to neither.
            line.push((' ', false));
            used += 1;
        }
        for (c, matched) in unit.cells {
            let width = c.width().unwrap_or(0);
            if used > 0 && used + width > columns {
                lines.push(render(&line, style));
                line.clear();
                used = 0;
            }
            line.push((c, matched));
            used += width;
        }
    }
    if !line.is_empty() {
        lines.push(render(&line, style));
    }
    lines
}

/// Bytes in the unit that reads best.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return self::count(count, "byte");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// What became of a file's length.
pub(crate) fn change(before: u64, after: u64) -> String {
    let difference = match after.cmp(&before) {
        Ordering::Less => format!("{} saved", bytes(before - after)),
        Ordering::Equal => "nothing saved".to_owned(),
        Ordering::Greater => format!("{} more", bytes(after - before)),
    };
    format!("{} to {}, {difference}", bytes(before), bytes(after))
}

/// `1 document`, `2 documents`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Characters that stay on one line together.
struct Unit {
    /// Whether white space stands before it.
    spaced: bool,
    cells: Vec<(char, bool)>,
}

fn units(text: &str, matches: &[Range<usize>]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut spaced = false;
    // Whether the next character goes into the last unit.
    let mut joins = false;
    let mut rest = matches.iter().peekable();
    for (at, c) in text.char_indices() {
        while rest.peek().is_some_and(|range| range.end <= at) {
            rest.next();
        }
        if c.is_whitespace() {
            spaced = true;
            joins = false;
            continue;
        }
        let matched = rest.peek().is_some_and(|range| range.contains(&at));
        let c = clean(c.encode_utf8(&mut [0; 4]))
            .chars()
            .next()
            .unwrap_or(c);
        let wide = c.width() == Some(2);
        match units.last_mut() {
            Some(unit) if joins && !wide => unit.cells.push((c, matched)),
            _ => units.push(Unit {
                spaced,
                cells: vec![(c, matched)],
            }),
        }
        spaced = false;
        joins = !wide;
    }
    units
}

fn render(cells: &[(char, bool)], style: Style) -> String {
    let mut line = String::new();
    for run in cells.chunk_by(|a, b| a.1 == b.1) {
        let text: String = run.iter().map(|(c, _)| c).collect();
        if run[0].1 {
            line.push_str(&style.matched(&text));
        } else {
            line.push_str(&text);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_cannot_reach_the_screen() {
        assert_eq!(
            clean("a\x1b[2Jb\u{9b}c\u{202e}d\ne\t\u{7}"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\ne\t\u{fffd}"
        );
        assert_eq!(clean_line(" a\r\n b\x1b "), "a b\u{fffd}");
    }

    #[test]
    fn lines_are_cut_by_columns() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("日本語の", 5), "日本…");
    }

    #[test]
    fn text_wraps_at_spaces_and_beside_wide_characters() {
        let wrap = |text, columns| wrap(text, &[], columns, Style::PLAIN);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("日本語の検索", 5), ["日本", "語の", "検索"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("  \n ", 10), [""; 0]);
        for line in wrap("a mixed 日本語 text, with_a_long_identifier_in_it", 10) {
            assert!(width(&line) <= 10, "{line:?}");
        }
    }

    #[test]
    fn matches_are_emphasised_also_across_a_break() {
        let style = Style { enabled: true };
        let text = "one two";
        assert_eq!(
            wrap(text, &[0..3, 4..7], 3, style),
            ["\x1b[1;33mone\x1b[0m", "\x1b[1;33mtwo\x1b[0m"]
        );
        assert_eq!(
            wrap("日本語", std::slice::from_ref(&(3..9)), 80, style),
            ["日\x1b[1;33m本語\x1b[0m"]
        );
    }

    #[test]
    fn byte_counts_read_well() {
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn a_change_of_length_says_what_it_brought() {
        assert_eq!(
            change(3 << 20, 1 << 20),
            "3.0 MiB to 1.0 MiB, 2.0 MiB saved"
        );
        assert_eq!(change(5, 5), "5 bytes to 5 bytes, nothing saved");
        assert_eq!(change(1024, 2048), "1.0 KiB to 2.0 KiB, 1.0 KiB more");
    }
}
