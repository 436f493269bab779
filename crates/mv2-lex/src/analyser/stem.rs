//! Stems of words, remembered, because the same few words make up most of a text.

use std::collections::HashMap;

use snowball_stemmers_rs::{Algorithm, Stemmer};

use super::fold::was_shortened;
use super::scan::{Kind, Unit};

/// Entries that the memory holds at most; later words are stemmed each time.
const MAX_ENTRIES: usize = 1 << 16;

/// The English algorithm of Snowball 3.0 with a memory.
pub(crate) struct StemCache {
    stemmer: Stemmer,
    stems: HashMap<Box<str>, Box<str>>,
    last: String,
}

impl Default for StemCache {
    fn default() -> Self {
        Self {
            stemmer: Stemmer::create(Algorithm::English),
            stems: HashMap::new(),
            last: String::new(),
        }
    }
}

impl Clone for StemCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl StemCache {
    /// The term of the `body` field for a word.
    pub(crate) fn term<'a>(&'a mut self, unit: &Unit<'a>) -> &'a str {
        match unit.kind {
            Kind::Word | Kind::Compound => self.stem(unit.text),
            Kind::Identifier | Kind::Char => unit.text,
        }
    }

    /// The stem of a folded word. Words of other scripts and shortened ones stay as they are.
    pub(crate) fn stem<'a>(&'a mut self, word: &'a str) -> &'a str {
        if !word.is_ascii() || was_shortened(word) || word.len() < 3 {
            return word;
        }
        // One lookup for a word that is known, which nearly all are.
        if let Some(stem) = self.stems.get(word) {
            self.last.clear();
            self.last.push_str(stem);
            return &self.last;
        }
        let stem = self.stemmer.stem(word);
        self.last.clear();
        self.last.push_str(&stem);
        if self.stems.len() < MAX_ENTRIES {
            self.stems.insert(word.into(), stem.into());
        }
        &self.last
    }
}
