//! Long texts in parts that a model reads whole.
//!
//! A part ends at a heading where it can, else at the end of a paragraph, else of a sentence or line, else of a
//! word. Parts are byte ranges of the text, in order, and cover it. Time and memory are linear in the text, also where
//! it is one endless word.

use std::ops::Range;

/// Bytes of a word that are counted at a time: a longer one may be cut.
const MAX_ATOM_BYTES: usize = 64;
/// Bytes of a heading path; more would crowd out the text.
const MAX_HEADING_BYTES: usize = 200;

/// How large parts are, in the model's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkOptions {
    /// A part ends before it exceeds this, unless a single paragraph up to `max` does.
    pub target: usize,
    /// No part has more.
    pub max: usize,
    /// Where a paragraph is split, the next part begins with as much of the end of the one before.
    pub overlap: usize,
}

impl Default for ChunkOptions {
    /// 200 to 256 tokens, 32 of overlap: of the sizes that were measured the one that ranks best.
    fn default() -> Self {
        Self {
            target: 200,
            max: 256,
            overlap: 32,
        }
    }
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// The headings that it stands under, outermost first, joined by ` > `; they are embedded before its text.
    pub heading: String,
}

/// Splits a text. `count` gives the tokens of a piece of it. A blank text has no part.
///
/// ```
/// use mv2_embed::chunk::{ChunkOptions, split};
///
/// let text = "# Boats\n\nOne two three.\n\n## Sails\n\nFour five six.\n";
/// let options = ChunkOptions { target: 6, max: 8, overlap: 0 };
/// let words = |piece: &str| piece.split_whitespace().count();
/// let parts = split(text, &options, words);
/// assert_eq!(&text[parts[1].range.clone()], "## Sails\n\nFour five six.\n");
/// assert_eq!(parts[1].heading, "Boats > Sails");
/// ```
pub fn split(text: &str, options: &ChunkOptions, count: impl FnMut(&str) -> usize) -> Vec<Chunk> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let mut splitter = Splitter {
        text,
        target: options.target.clamp(1, options.max.max(1)),
        max: options.max.max(1),
        overlap: options.overlap.min(options.target / 2),
        count,
        chunks: Vec::new(),
        start: 0,
        end: 0,
        tokens: 0,
        heading: String::new(),
    };
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut fenced = false;
    let mut block = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let trimmed = line.trim();
        fenced ^= trimmed.starts_with("```") || trimmed.starts_with("~~~");
        if let Some((level, title)) = heading(trimmed).filter(|_| !fenced) {
            splitter.block(block..start);
            block = start;
            path.retain(|(above, _)| *above < level);
            path.push((level, title));
            splitter.under(&path);
        } else if trimmed.is_empty() && !fenced {
            splitter.block(block..at);
            block = at;
        }
    }
    splitter.block(block..text.len());
    splitter.flush();
    splitter.chunks
}

/// Level and title of a heading as Markdown has them.
fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let title = line.get(level..)?;
    let is_heading = (1..=6).contains(&level) && title.starts_with([' ', '\t']);
    is_heading.then(|| (level, title.trim().trim_end_matches('#').trim_end()))
}

struct Splitter<'a, F> {
    text: &'a str,
    target: usize,
    max: usize,
    overlap: usize,
    count: F,
    chunks: Vec<Chunk>,
    /// The part that is being filled, its tokens, and where it stands.
    start: usize,
    end: usize,
    tokens: usize,
    heading: String,
}

/// A piece that is not cut.
struct Atom {
    end: usize,
    tokens: usize,
}

impl<F: FnMut(&str) -> usize> Splitter<'_, F> {
    /// A heading begins: what follows stands under it. Little sections share a part.
    fn under(&mut self, path: &[(usize, &str)]) {
        if self.tokens >= self.target / 4 {
            self.flush();
        }
        if self.tokens > 0 {
            return;
        }
        self.heading.clear();
        for (_, title) in path {
            if !self.heading.is_empty() {
                self.heading.push_str(" > ");
            }
            // No more than is kept: a heading of megabytes would be copied for each section under it.
            let room = MAX_HEADING_BYTES.saturating_sub(self.heading.len());
            let length = title.floor_char_boundary(room);
            self.heading.push_str(&title[..length]);
            if length < title.len() {
                break;
            }
        }
        let length = self.heading.floor_char_boundary(MAX_HEADING_BYTES);
        self.heading.truncate(length);
    }

    /// A paragraph, with the blank lines behind it.
    fn block(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        // A token has a byte at least in any model, and few have more than 16 on average.
        let small = range.len() <= 16 * self.max;
        let tokens = if small {
            (self.count)(&self.text[range.clone()])
        } else {
            usize::MAX
        };
        if self.tokens.saturating_add(tokens) > self.target {
            self.flush();
        }
        if tokens <= self.max {
            self.end = range.end;
            self.tokens += tokens;
        } else {
            self.split_block(range);
        }
    }

    /// A paragraph that is too long, by sentences; the last of its parts stays open for the next one.
    fn split_block(&mut self, range: Range<usize>) {
        let mut at = range.start;
        let mut atoms = Vec::new();
        while at < range.end {
            let end = at + sentence(&self.text[at..range.end]);
            let tokens = match end - at <= 16 * self.max {
                true => (self.count)(&self.text[at..end]),
                false => usize::MAX,
            };
            if tokens <= self.target {
                atoms.push(Atom { end, tokens });
            } else {
                self.words(at..end, &mut atoms);
            }
            at = end;
        }
        let mut first = 0;
        for (index, atom) in atoms.iter().enumerate() {
            if self.tokens > 0 && self.tokens + atom.tokens > self.target {
                self.flush();
                // Back over the end of the part, as far as the overlap and what comes next allow.
                let room = self.overlap.min(self.target.saturating_sub(atom.tokens));
                let mut back = index;
                while back > first + 1 && self.tokens + atoms[back - 1].tokens <= room {
                    back -= 1;
                    self.tokens += atoms[back].tokens;
                    self.start = atoms[back - 1].end;
                }
                first = index;
            }
            self.end = atom.end;
            self.tokens += atom.tokens;
        }
    }

    /// A sentence that is too long, by words, and these by characters.
    fn words(&mut self, range: Range<usize>, atoms: &mut Vec<Atom>) {
        let mut at = range.start;
        while at < range.end {
            let end = at + word(&self.text[at..range.end]);
            let tokens = (self.count)(&self.text[at..end]);
            if tokens <= self.target {
                atoms.push(Atom { end, tokens });
            } else {
                let chars = self.text[at..end].char_indices();
                let ends = chars.map(|(start, c)| at + start + c.len_utf8());
                atoms.extend(ends.map(|end| Atom { end, tokens: 1 }));
            }
            at = end;
        }
    }

    fn flush(&mut self) {
        if self.end > self.start && self.tokens > 0 {
            self.chunks.push(Chunk {
                range: self.start..self.end,
                heading: self.heading.clone(),
            });
        } else if let Some(last) = self.chunks.last_mut() {
            // Blanks at the end belong to the part before them.
            last.range.end = last.range.end.max(self.end);
        } else {
            return;
        }
        self.start = self.end;
        self.tokens = 0;
    }
}

/// Bytes of the first sentence or line, with the blanks behind it.
fn sentence(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        let after = chars.peek().map(|(_, next)| *next);
        let ends = match c {
            '\n' | '。' | '！' | '？' | '｡' => true,
            '.' | '!' | '?' | '…' => after.is_none_or(char::is_whitespace),
            _ => false,
        };
        if ends {
            while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
            break;
        }
    }
    chars.peek().map_or(text.len(), |(at, _)| *at)
}

/// Bytes of the first word with the blanks behind it, at most [`MAX_ATOM_BYTES`].
fn word(text: &str) -> usize {
    let mut blank = false;
    for (at, c) in text.char_indices() {
        if (blank && !c.is_whitespace()) || at + c.len_utf8() > MAX_ATOM_BYTES {
            return at;
        }
        blank = c.is_whitespace();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(piece: &str) -> usize {
        piece.split_whitespace().count()
    }

    fn chars(piece: &str) -> usize {
        piece.chars().filter(|c| !c.is_whitespace()).count()
    }

    fn options(target: usize, max: usize, overlap: usize) -> ChunkOptions {
        ChunkOptions {
            target,
            max,
            overlap,
        }
    }

    fn parts<'a>(text: &'a str, options: &ChunkOptions) -> Vec<&'a str> {
        let parts = split(text, options, words);
        parts.into_iter().map(|part| &text[part.range]).collect()
    }

    #[test]
    fn what_fits_is_one_part_and_blanks_are_none() {
        let text = "  one two\n\nthree\n";
        assert_eq!(parts(text, &options(5, 6, 1)), [text]);
        assert!(parts(" \n\n ", &options(5, 6, 1)).is_empty());
        assert!(parts("", &options(5, 6, 1)).is_empty());
    }

    #[test]
    fn paragraphs_stay_whole_up_to_the_limit() {
        let text = "a b c\n\nd e f\n\ng h i j k l\n\nm";
        let expected = ["a b c\n\n", "d e f\n\n", "g h i j k l\n\n", "m"];
        assert_eq!(parts(text, &options(5, 6, 2)), expected);
    }

    #[test]
    fn a_paragraph_that_is_split_ends_at_sentences_and_overlaps() {
        let text = "a b c d. e f. g h i j. k l.";
        let expected = ["a b c d. e f. ", "e f. g h i j. ", "k l."];
        assert_eq!(parts(text, &options(6, 8, 2)), expected);
    }

    #[test]
    fn parts_know_the_headings_that_they_stand_under() {
        let text = "# A\n\none two three\n\n## B\n\nfour five six\n\n```\n# no heading\n```\n\n# C\n\nseven eight nine";
        let headings: Vec<String> = split(text, &options(5, 8, 0), words)
            .into_iter()
            .map(|part| part.heading)
            .collect();
        assert_eq!(headings, ["A", "A > B", "A > B", "C"]);
    }

    #[test]
    fn a_long_heading_is_cut_at_a_character() {
        let heading = |title: &str| {
            let text = format!("# {title}\n## b\n\none");
            let last = split(&text, &options(4, 8, 0), words).pop();
            last.unwrap().heading
        };
        assert_eq!(heading("a"), "a > b");
        assert_eq!(heading(&"a".repeat(196)), "a".repeat(196) + " > b");
        assert_eq!(heading(&"é".repeat(150)), "é".repeat(100));
        assert_eq!(heading(&format!("a{}", "é".repeat(150))).len(), 199);
    }

    #[test]
    fn japanese_ends_at_its_full_stops_and_an_endless_word_anywhere() {
        let text = "東京へ行った。京都も見た。大阪は遠い。";
        let found = split(text, &options(8, 8, 0), chars);
        let found: Vec<&str> = found.into_iter().map(|part| &text[part.range]).collect();
        assert_eq!(found, ["東京へ行った。", "京都も見た。", "大阪は遠い。"]);
        let word = "é".repeat(1_000_000);
        let found = split(&word, &ChunkOptions::default(), chars);
        assert!(
            found.len() > 3_000 && found.len() < 9_000,
            "{}",
            found.len()
        );
    }

    proptest! {
        #[test]
        fn parts_cover_the_text_in_order_within_the_limit(
            text in "([a-cé東。.!#` \n]|# |\n\n){0,300}",
            target in 1usize..12,
            more in 0usize..5,
            overlap in 0usize..6,
        ) {
            let found = split(&text, &options(target, target + more, overlap), chars);
            prop_assert_eq!(found.is_empty(), text.trim().is_empty());
            let mut end = 0;
            for (index, part) in found.iter().enumerate() {
                prop_assert!(part.range.start <= end && part.range.end > end, "{:?}", found);
                prop_assert!(index == 0 || part.range.start > found[index - 1].range.start);
                prop_assert!(chars(&text[part.range.clone()]) <= target + more);
                end = part.range.end;
            }
            prop_assert!(found.is_empty() || end == text.len());
        }
    }
}
