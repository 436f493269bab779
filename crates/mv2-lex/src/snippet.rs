//! Snippets: the part of a text in which the words of a query stand closest together.

use std::collections::HashMap;
use std::ops::Range;

use crate::analyser::stream::Bigrams;
use crate::analyser::{Kind, Scanner, StemCache};
use crate::query::{Query, Scope};
use crate::search::DocText;

/// How much of a text is looked at for a snippet, in bytes. Matches further on are not shown.
pub const MAX_SNIPPET_SCAN_BYTES: usize = 1 << 20;
/// Most matches that are weighed against each other.
const MAX_MATCHES: usize = 4_096;

/// A part of a text, with the matches in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snippet {
    /// The part, as it stands in the text.
    pub text: String,
    /// Byte ranges of the matching words in [`text`](Self::text): sorted, apart from each other.
    pub matches: Vec<Range<usize>>,
    /// Where the part begins in the whole text, in bytes.
    pub start: usize,
}

/// The part of a document's text, at most `max_chars` characters long, that shows best why it
/// matches: the most different words of the query, then the most matches, then the earliest.
///
/// Begins and ends between words where that is possible. If nothing matches in the text, or only
/// beyond its first MiB, the snippet is the beginning.
///
/// ```
/// use mv2_lex::{DocText, Query, snippet};
///
/// let doc = DocText { title: None, text: "Far out in the deep sea, fish glow.".into() };
/// let found = snippet(&Query::parse("glowing fish").query, &doc, 12);
/// assert_eq!(found.text, "fish glow.");
/// assert_eq!(&found.text[found.matches[0].clone()], "fish");
/// ```
pub fn snippet(query: &Query, doc: &DocText, max_chars: usize) -> Snippet {
    let text = &doc.text[..floor_boundary(&doc.text, MAX_SNIPPET_SCAN_BYTES)];
    let matches = find_matches(query, text);
    let window = best_window(text, &matches, max_chars);
    let window = expand(text, window, max_chars);
    let inside =
        |range: &&Match| range.range.start >= window.start && range.range.end <= window.end;
    let mut merged: Vec<Range<usize>> = Vec::new();
    for found in matches.iter().filter(inside) {
        let range = found.range.start - window.start..found.range.end - window.start;
        match merged.last_mut() {
            Some(last) if range.start < last.end || (found.glued && range.start <= last.end) => {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range),
        }
    }
    Snippet {
        text: text[window.clone()].to_owned(),
        matches: merged,
        start: window.start,
    }
}

struct Match {
    range: Range<usize>,
    /// Which term of the query.
    term: usize,
    /// Continues the match before it: a bigram.
    glued: bool,
}

fn find_matches(query: &Query, text: &str) -> Vec<Match> {
    let has_content = query.has_content();
    let mut words: HashMap<&str, usize> = HashMap::new();
    let mut chars: HashMap<&str, usize> = HashMap::new();
    for (index, term) in query.terms.iter().enumerate() {
        if has_content && term.content == 0.0 {
            continue;
        }
        match term.scope {
            Scope::Text | Scope::Title => words.insert(&term.text, index),
            Scope::Cjk | Scope::CjkPrefix => chars.insert(&term.text, index),
        };
    }
    let mut matches: Vec<Match> = Vec::new();
    if words.is_empty() && chars.is_empty() {
        return matches;
    }
    let mut stems = StemCache::default();
    let mut bigrams = Bigrams::new(false);
    let mut scanner = Scanner::new(text);
    let mut before = None;
    while let Some(unit) = scanner.next_unit() {
        if matches.len() >= MAX_MATCHES {
            break;
        }
        let previous = before.filter(|_| unit.kind == Kind::Word);
        if !matches!(unit.kind, Kind::Compound | Kind::Identifier) {
            before = None;
        }
        if unit.kind == Kind::Char {
            if let Some(&term) = chars.get(unit.text) {
                matches.push(Match {
                    range: unit.range.clone(),
                    term,
                    glued: true,
                });
            }
            bigrams.push(&unit, &mut |bigram, range| {
                if bigram.chars().nth(1).is_some()
                    && let Some(&term) = chars.get(bigram)
                {
                    matches.push(Match {
                        range,
                        term,
                        glued: true,
                    });
                }
            });
            continue;
        }
        let word = stems.term(&unit);
        let companion = || {
            let mut companions = query.companions.iter();
            let found = companions.find(|(before, letter)| {
                Some(*before) == previous && query.terms[*letter].text == word
            });
            found.map(|(_, letter)| *letter)
        };
        let known = words.get(word).copied();
        if let Some(term) = known.or_else(companion) {
            matches.push(Match {
                range: unit.range.clone(),
                term,
                glued: false,
            });
        }
        if unit.kind == Kind::Word {
            before = known;
        }
    }
    matches.sort_by_key(|found| (found.range.start, found.range.end));
    matches
}

/// The run of matches that fits and holds the most different terms, then the most matches.
fn best_window(text: &str, matches: &[Match], max_chars: usize) -> Range<usize> {
    let mut best = 0..0;
    let mut best_worth = (0, 0);
    let mut inside: HashMap<usize, usize> = HashMap::new();
    let mut first = 0;
    // Characters between the start of the first and the end of the last match in the window.
    let mut chars = 0;
    let mut end = matches.first().map_or(0, |found| found.range.start);
    for (last, found) in matches.iter().enumerate() {
        let stop = found.range.end.max(end);
        chars += text[end..stop].chars().count();
        end = stop;
        *inside.entry(found.term).or_default() += 1;
        while chars > max_chars && first < last {
            let from = matches[first].range.start;
            let to = matches[first + 1].range.start;
            chars -= text[from..to].chars().count();
            if let Some(count) = inside.get_mut(&matches[first].term) {
                *count -= 1;
                if *count == 0 {
                    inside.remove(&matches[first].term);
                }
            }
            first += 1;
        }
        let worth = (inside.len(), last - first + 1);
        if chars <= max_chars && worth > best_worth {
            best_worth = worth;
            best = matches[first].range.start..end;
        }
    }
    best
}

/// Grows a window to the length asked for, two thirds of it behind the matches' start, and cuts it
/// at borders of words.
fn expand(text: &str, window: Range<usize>, max_chars: usize) -> Range<usize> {
    let spare = max_chars.saturating_sub(text[window.clone()].chars().count());
    let before = step_back(text, window.start, spare / 3);
    let taken = text[before..window.start].chars().count();
    let after = step_forward(text, window.end, spare - taken);
    let rest = spare - taken - text[window.end..after].chars().count();
    let before = step_back(text, before, rest);
    let start = word_start(text, before, window.start);
    let end = word_end(text, after, window.end.max(start));
    start..end
}

fn step_back(text: &str, from: usize, chars: usize) -> usize {
    match chars {
        0 => from,
        _ => text[..from]
            .char_indices()
            .nth_back(chars - 1)
            .map_or(0, |(at, _)| at),
    }
}

fn step_forward(text: &str, from: usize, chars: usize) -> usize {
    text[from..]
        .char_indices()
        .nth(chars)
        .map_or(text.len(), |(at, _)| from + at)
}

/// The first border between words at or behind `at`, at most `limit`.
fn word_start(text: &str, at: usize, limit: usize) -> usize {
    if at == 0 {
        return 0;
    }
    let previous = text[..at].chars().next_back();
    if previous.is_none_or(|c| !joins(c)) {
        return skip_spaces(text, at, limit);
    }
    let border = text[at..limit]
        .char_indices()
        .find(|&(_, c)| !joins(c))
        .map(|(offset, _)| at + offset);
    match border {
        Some(border) => skip_spaces(text, border, limit),
        None if text[at..].chars().next().is_some_and(joins) && limit > at => limit,
        None => at,
    }
}

fn skip_spaces(text: &str, at: usize, limit: usize) -> usize {
    text[at..limit]
        .char_indices()
        .find(|&(_, c)| c.is_alphanumeric() || matches!(c, '"' | '(' | '「' | '『'))
        .map_or(limit, |(offset, _)| at + offset)
}

/// The last border between words at or before `at`, at least `limit`.
fn word_end(text: &str, at: usize, limit: usize) -> usize {
    if at >= text.len() {
        return text.trim_end().len().max(limit);
    }
    let mut end = at;
    if text[at..].chars().next().is_some_and(joins) {
        end = text[limit..at]
            .char_indices()
            .rev()
            .find(|&(_, c)| !joins(c))
            .map_or(at, |(offset, c)| limit + offset + c.len_utf8());
    }
    let trimmed = text[..end].trim_end().len();
    trimmed.max(limit)
}

/// Whether a character belongs to a word that should not be cut.
fn joins(c: char) -> bool {
    (c.is_alphanumeric() && !crate::analyser::char_is_cjk(c))
        || matches!(c, '_' | '\'' | '\u{2019}')
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
