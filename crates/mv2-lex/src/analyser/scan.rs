//! The scanner: splits a text into words and single Japanese or Chinese characters.
//!
//! A word is a run of alphanumeric characters of any other script, with the marks that follow
//! them. Words joined by underscores are one identifier. ASCII, most of any text, takes a path of
//! its own; runs that hold anything else are brought into NFKC first, run by run, so that ranges
//! refer to the source.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::fold::{MAX_WORD_BYTES, fold_into};

/// What a unit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A word, or a part of a compound.
    Word,
    /// The whole of a word that has parts (`getUserName`); spans their positions.
    Compound,
    /// The whole of words joined by underscores, not stemmed; spans their positions.
    Identifier,
    /// One character of a Japanese or Chinese run.
    Char,
}

/// One unit of a text. Its text is folded and not stemmed.
#[derive(Clone, Debug)]
pub(crate) struct Unit<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// Bytes of the source.
    pub(crate) range: Range<usize>,
    /// Number of words before it.
    pub(crate) position: u32,
    /// Words that it spans: 1, or the number of parts.
    pub(crate) span: u32,
    /// Whether a character directly follows the one before it in the same run.
    pub(crate) glued: bool,
}

struct Item {
    kind: Kind,
    text: Range<usize>,
    range: Range<usize>,
    position: u32,
    span: u32,
    glued: bool,
}

/// Most parts of one compound; what has more is a random string, not a name.
const MAX_PARTS: usize = 8;

/// Goes through a text unit by unit. Holds one run at a time.
pub(crate) struct Scanner<'t> {
    text: &'t str,
    runs: Runs,
}

impl<'t> Scanner<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            runs: Runs::new(false),
        }
    }

    /// The next unit. A whole comes before its parts.
    pub(crate) fn next_unit(&mut self) -> Option<Unit<'_>> {
        self.runs.next_unit(self.text)
    }
}

/// Where a scan is in a text, which comes with each call: a long one may come in pieces, see [`is_border`].
pub(crate) struct Runs {
    at: usize,
    position: u32,
    arena: String,
    items: Vec<Item>,
    next: usize,
    /// Where the last character of a Japanese or Chinese run ended.
    last_char_end: usize,
    chars_only: bool,
}

impl Runs {
    /// At the beginning of a text; passes over words if only characters are asked for.
    pub(crate) fn new(chars_only: bool) -> Self {
        Self {
            at: 0,
            position: 0,
            arena: String::new(),
            items: Vec::new(),
            next: 0,
            last_char_end: usize::MAX,
            chars_only,
        }
    }

    /// Goes on with the next piece of a text, when the one before is done. Ranges refer to the piece.
    pub(crate) fn next_piece(&mut self) {
        self.at = 0;
        self.last_char_end = usize::MAX;
    }

    /// The next unit in the text. A whole comes before its parts.
    pub(crate) fn next_unit(&mut self, text: &str) -> Option<Unit<'_>> {
        self.prepare(text).then(|| self.take())
    }

    /// Whether there is a further unit in the text, for [`take`](Self::take) to return.
    #[inline(always)]
    pub(crate) fn prepare(&mut self, text: &str) -> bool {
        while self.next >= self.items.len() {
            self.items.clear();
            self.arena.clear();
            self.next = 0;
            if !self.next_run(text) {
                return false;
            }
        }
        true
    }

    /// The unit that was prepared.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Unit<'_> {
        let item = &self.items[self.next];
        self.next += 1;
        Unit {
            kind: item.kind,
            text: &self.arena[item.text.clone()],
            range: item.range.clone(),
            position: item.position,
            span: item.span,
            glued: item.glued,
        }
    }

    /// Reads one run and queues its units, perhaps none. False at the end of the text.
    fn next_run(&mut self, text: &str) -> bool {
        let bytes = text.as_bytes();
        if self.chars_only && self.at == 0 && text.is_ascii() {
            self.at = bytes.len();
        }
        while self.at < bytes.len() && bytes[self.at].is_ascii() && !is_ascii_word(bytes[self.at]) {
            self.at += 1;
        }
        let start = self.at;
        if start >= bytes.len() {
            return false;
        }
        let mut end = start;
        while end < bytes.len() && (is_ascii_word(bytes[end]) || bytes[end] == b'_') {
            end += 1;
        }
        if end > start && (end == bytes.len() || bytes[end].is_ascii()) {
            self.at = end;
            if !self.chars_only {
                self.push_identifier(&text[start..end], start..end, true);
            }
            return true;
        }
        self.next_unicode_run(text, start);
        true
    }

    /// A run that holds something else than ASCII, or a single character that is none of ours.
    fn next_unicode_run(&mut self, text: &str, start: usize) {
        let rest = &text[start..];
        let Some(first) = rest.chars().next() else {
            return;
        };
        if char_is_cjk(first) {
            let end = start + cluster_len(rest);
            self.at = end;
            self.push_cluster(&text[start..end], start..end);
            return;
        }
        if !first.is_alphanumeric() {
            self.at = start + first.len_utf8();
            return;
        }
        let len = rest
            .char_indices()
            .find(|&(_, c)| !continues_word(c))
            .map_or(rest.len(), |(at, _)| at);
        self.at = start + len;
        let run = &rest[..len];
        if self.chars_only && !run.chars().any(normalises_to_cjk) {
            return;
        }
        let normal: String = run.nfkc().collect();
        self.push_normalised(&normal, start..start + len);
    }

    /// Normalisation may bring forth separators (`½` is 1⁄2) and characters (`㈠`).
    fn push_normalised(&mut self, normal: &str, range: Range<usize>) {
        let mut from = 0;
        while from < normal.len() {
            let rest = &normal[from..];
            let Some(first) = rest.chars().next() else {
                return;
            };
            let mut len = first.len_utf8();
            if char_is_cjk(first) {
                self.push_char(&rest[..len], range.clone());
            } else if first.is_alphanumeric() {
                len = rest
                    .char_indices()
                    .find(|&(_, c)| !continues_word(c))
                    .map_or(rest.len(), |(at, _)| at);
                if !self.chars_only {
                    self.push_identifier(&rest[..len], range.clone(), false);
                }
            }
            from += len;
        }
    }

    /// Words joined by underscores; most often a single one.
    fn push_identifier(&mut self, raw: &str, range: Range<usize>, exact: bool) {
        let whole = raw.trim_matches('_');
        let whole_at = self.items.len();
        let first_position = self.position;
        let mut words = 0;
        let mut at = 0;
        for word in raw.split('_') {
            if !word.is_empty() {
                let place = if exact {
                    range.start + at..range.start + at + word.len()
                } else {
                    range.clone()
                };
                self.push_word(word, place, exact);
                words += 1;
            }
            at += word.len() + 1;
        }
        if words > 1 && whole.len() <= MAX_WORD_BYTES {
            let from = self.arena.len();
            fold_into(whole, &mut self.arena);
            let item = Item {
                kind: Kind::Identifier,
                text: from..self.arena.len(),
                range,
                position: first_position,
                span: self.position - first_position,
                glued: false,
            };
            self.items.insert(whole_at, item);
        }
    }

    /// A word and, if it is a compound, its parts.
    fn push_word(&mut self, raw: &str, range: Range<usize>, exact: bool) {
        let mut parts = [0; MAX_PARTS];
        let count = split_compound(raw, &mut parts);
        let kind = if count > 1 {
            Kind::Compound
        } else {
            Kind::Word
        };
        let span = count.max(1) as u32;
        self.push(kind, raw, range.clone(), span);
        let mut from = 0;
        for &to in &parts[..count] {
            if count > 1 {
                let place = if exact {
                    range.start + from..range.start + to
                } else {
                    range.clone()
                };
                self.push(Kind::Word, &raw[from..to], place, 1);
                self.position += 1;
                from = to;
            }
        }
        if count <= 1 {
            self.position += 1;
        }
    }

    fn push(&mut self, kind: Kind, raw: &str, range: Range<usize>, span: u32) {
        let from = self.arena.len();
        fold_into(raw, &mut self.arena);
        self.items.push(Item {
            kind,
            text: from..self.arena.len(),
            range,
            position: self.position,
            span,
            glued: false,
        });
    }

    /// A character with the marks that belong to it.
    fn push_cluster(&mut self, cluster: &str, range: Range<usize>) {
        if cluster.len() == 3 && is_normal(cluster) {
            self.push_char(cluster, range);
            return;
        }
        let normal: String = cluster.nfkc().collect();
        for (at, c) in normal.char_indices() {
            if char_is_cjk(c) {
                self.push_char(&normal[at..at + c.len_utf8()], range.clone());
            }
        }
    }

    fn push_char(&mut self, c: &str, range: Range<usize>) {
        let from = self.arena.len();
        self.arena.push_str(c);
        let follows_in_run = self.last_char_end == range.start;
        let follows_in_cluster = self
            .items
            .last()
            .is_some_and(|last| last.kind == Kind::Char && last.range == range);
        self.last_char_end = range.end;
        self.items.push(Item {
            kind: Kind::Char,
            text: from..self.arena.len(),
            range,
            position: self.position,
            span: 0,
            glued: follows_in_run || follows_in_cluster,
        });
    }
}

/// Whether a text may be cut behind this character without a change to any of its units: it is in none, and no run goes on
/// over it.
pub(crate) fn is_border(c: char) -> bool {
    !(continues_word(c) || char_is_cjk(c) || matches!(c, '\u{FF9E}' | '\u{FF9F}'))
}

fn is_ascii_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn continues_word(c: char) -> bool {
    c == '_' || (c.is_alphanumeric() && !char_is_cjk(c)) || is_combining_mark(c)
}

/// Whether a character belongs to a run that is indexed as bigrams: kana, half-width kana, Han of
/// all extensions, iteration marks. Not Hangul, which is written in words.
pub(crate) fn char_is_cjk(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}'
        | '\u{303B}'
        | '\u{3041}'..='\u{3096}'
        | '\u{309D}'..='\u{309F}'
        | '\u{30A1}'..='\u{30FA}'
        | '\u{30FC}'..='\u{30FF}'
        | '\u{31F0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FF66}'..='\u{FF9D}'
        | '\u{1B000}'..='\u{1B16F}'
        | '\u{20000}'..='\u{2FA1F}'
        | '\u{30000}'..='\u{323AF}')
        && c != '\u{3006}'
}

/// Enclosed numbers such as `㈠`, which count as alphanumeric and stand for a Han character.
fn normalises_to_cjk(c: char) -> bool {
    matches!(c, '\u{3192}'..='\u{319F}' | '\u{3220}'..='\u{32FF}' | '\u{3300}'..='\u{33FF}')
}

/// Bytes of the first character and the marks behind it: voicing marks of half-width kana too.
fn cluster_len(text: &str) -> usize {
    text.char_indices()
        .skip(1)
        .find(|&(_, c)| !(is_combining_mark(c) || matches!(c, '\u{FF9E}' | '\u{FF9F}')))
        .map_or(text.len(), |(at, _)| at)
}

/// Whether a lone character is its own NFKC form, for the usual ranges.
fn is_normal(cluster: &str) -> bool {
    cluster.chars().next().is_some_and(|c| {
        matches!(c, '\u{3041}'..='\u{3096}' | '\u{30A1}'..='\u{30FA}' | '\u{30FC}' | '\u{3400}'..='\u{9FFF}')
    })
}

/// Finds the ends of the parts of a compound: before a capital that follows a small letter or a
/// digit, and before the last capital of several if a small letter follows (`HTTPServer`).
///
/// Returns the number of parts, 0 if the word is to stay whole: too long, too many parts, or a
/// part of a single character, as in `iPhone`, `mRNA` and `PhD`.
fn split_compound(word: &str, ends: &mut [usize; MAX_PARTS]) -> usize {
    let bytes = word.as_bytes();
    if word.len() > MAX_WORD_BYTES || !bytes.iter().skip(1).any(u8::is_ascii_uppercase) {
        return 0;
    }
    if !word.is_ascii() {
        return 0;
    }
    let mut count = 0;
    let mut from = 0;
    for at in 1..=bytes.len() {
        let border = at == bytes.len()
            || (bytes[at].is_ascii_uppercase()
                && (!bytes[at - 1].is_ascii_uppercase()
                    || bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase)));
        if border {
            if at - from < 2 || count == MAX_PARTS {
                return 0;
            }
            ends[count] = at;
            count += 1;
            from = at;
        }
    }
    if count > 1 { count } else { 0 }
}
