//! The scanner as tantivy wants it: token streams for the text fields, which count what they emit.
//!
//! Both tokenizers read the text that is in their [`Slot`] in the place of an empty one.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use super::pieces::{Slot, SlotPieces};
use super::scan::{Kind, Runs, Unit};
use super::stem::StemCache;

/// The units of a text that is in memory, or of one that is read piece by piece.
struct Units<'a> {
    runs: Runs,
    text: &'a str,
    large: Option<(SlotPieces, String)>,
}

impl<'a> Units<'a> {
    fn new(text: &'a str, slot: &Slot, chars_only: bool) -> Self {
        let large = match text.is_empty() {
            true => slot.pieces(),
            false => None,
        };
        Self {
            runs: Runs::new(chars_only),
            text,
            large: large.map(|pieces| (pieces, String::new())),
        }
    }

    fn next_unit(&mut self) -> Option<Unit<'_>> {
        let Some((pieces, piece)) = &mut self.large else {
            return self.runs.next_unit(self.text);
        };
        while !self.runs.prepare(piece) {
            if !pieces.read(piece) {
                return None;
            }
            self.runs.next_piece();
        }
        Some(self.runs.take())
    }
}

/// Makes bigrams of characters that are pushed one by one.
pub(crate) struct Bigrams {
    /// Whether the last character of a run is emitted alone too, as on the index side.
    tails: bool,
    last: String,
    last_range: Range<usize>,
    /// Whether `last` is the second character of a bigram already.
    paired: bool,
    buffer: String,
}

impl Bigrams {
    pub(crate) fn new(tails: bool) -> Self {
        Self {
            tails,
            last: String::new(),
            last_range: 0..0,
            paired: false,
            buffer: String::new(),
        }
    }

    pub(crate) fn push(&mut self, unit: &Unit<'_>, emit: &mut dyn FnMut(&str, Range<usize>)) {
        if unit.glued && !self.last.is_empty() {
            self.buffer.clear();
            self.buffer.push_str(&self.last);
            self.buffer.push_str(unit.text);
            emit(&self.buffer, self.last_range.start..unit.range.end);
            self.paired = true;
        } else {
            self.finish(emit);
            self.paired = false;
        }
        self.last.clear();
        self.last.push_str(unit.text);
        self.last_range = unit.range.clone();
    }

    /// Ends the run. A character that stands alone is emitted on both sides.
    pub(crate) fn finish(&mut self, emit: &mut dyn FnMut(&str, Range<usize>)) {
        if !self.last.is_empty() && (self.tails || !self.paired) {
            emit(&self.last, self.last_range.clone());
        }
        self.last.clear();
    }
}

/// Tokenizer of `body` and `title`: stems of words.
#[derive(Clone)]
pub(crate) struct WordTokenizer {
    count: Arc<AtomicU64>,
    slot: Slot,
    stems: StemCache,
}

impl WordTokenizer {
    /// `count` is raised by one for each token.
    pub(crate) fn new(count: Arc<AtomicU64>, slot: Slot) -> Self {
        Self {
            count,
            slot,
            stems: StemCache::default(),
        }
    }
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream {
            units: Units::new(text, &self.slot, false),
            stems: &mut self.stems,
            count: &self.count,
            token: Token::default(),
        }
    }
}

/// Stream of a [`WordTokenizer`].
pub(crate) struct WordStream<'a> {
    units: Units<'a>,
    stems: &'a mut StemCache,
    count: &'a AtomicU64,
    token: Token,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        while let Some(unit) = self.units.next_unit() {
            if unit.kind == Kind::Char {
                continue;
            }
            let token = &mut self.token;
            token.offset_from = unit.range.start;
            token.offset_to = unit.range.end;
            token.position = unit.position as usize;
            token.text.clear();
            token.text.push_str(self.stems.term(&unit));
            self.count.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        false
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// Tokenizer of `cjk`: bigrams, and the last character of each run.
#[derive(Clone)]
pub(crate) struct CjkTokenizer {
    count: Arc<AtomicU64>,
    slot: Slot,
}

impl CjkTokenizer {
    /// `count` is raised by one for each token.
    pub(crate) fn new(count: Arc<AtomicU64>, slot: Slot) -> Self {
        Self { count, slot }
    }
}

impl Tokenizer for CjkTokenizer {
    type TokenStream<'a> = CjkStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> CjkStream<'a> {
        CjkStream {
            units: Units::new(text, &self.slot, true),
            bigrams: Bigrams::new(true),
            queue: Vec::new(),
            next: 0,
            // The words of a large text were read before.
            done: text.is_empty() && self.slot.is_ascii(),
            position: 0,
            count: &self.count,
            token: Token::default(),
        }
    }
}

/// Stream of a [`CjkTokenizer`].
pub(crate) struct CjkStream<'a> {
    units: Units<'a>,
    bigrams: Bigrams,
    /// At most two terms: a tail and what follows it.
    queue: Vec<(String, Range<usize>)>,
    next: usize,
    done: bool,
    position: usize,
    count: &'a AtomicU64,
    token: Token,
}

impl TokenStream for CjkStream<'_> {
    fn advance(&mut self) -> bool {
        while self.next >= self.queue.len() {
            if self.done {
                return false;
            }
            self.queue.clear();
            self.next = 0;
            let queue = &mut self.queue;
            let mut emit = |term: &str, range| queue.push((term.to_owned(), range));
            match self.units.next_unit() {
                Some(unit) if unit.kind == Kind::Char => self.bigrams.push(&unit, &mut emit),
                Some(_) => {}
                None => {
                    self.bigrams.finish(&mut emit);
                    self.done = true;
                }
            }
        }
        let (term, range) = &self.queue[self.next];
        self.next += 1;
        self.token.text.clear();
        self.token.text.push_str(term);
        self.token.offset_from = range.start;
        self.token.offset_to = range.end;
        self.token.position = self.position;
        self.position += 1;
        self.count.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}
