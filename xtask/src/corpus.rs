//! Text to measure with, made from retrieval sets that are given by path: what they say in their documents,
//! as paragraphs, or shuffled sentence by sentence as long as somebody wants.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use mv2::{Memvid, PutOptions};

use crate::eval::dataset;

/// Every so many words of shuffled text one is new, as names and numbers are in real text.
const NEW_WORD_EVERY: u64 = 200;

/// Paragraphs in a commit, as the command has it.
const BATCH: usize = 1_000;

/// Puts paragraphs, a uri each, as `mv2 put --jsonl` does.
pub(crate) fn put_in_batches(mem: &mut Memvid, paragraphs: &[String]) -> Result<()> {
    for (batch, paragraphs) in paragraphs.chunks(BATCH).enumerate() {
        for (at, paragraph) in paragraphs.iter().enumerate() {
            let uri = format!("notes/{}", batch * BATCH + at);
            let options = PutOptions::builder().uri(uri).build();
            mem.put_bytes_with_options(paragraph.as_bytes(), options)?;
        }
        mem.commit_bulk(None)?;
    }
    Ok(mem.checkpoint()?)
}

/// The sentences of several sets, each once, in their order.
pub(crate) struct Corpus {
    sentences: Vec<String>,
    random: Random,
}

impl Corpus {
    /// Reads `docs.jsonl` of each folder.
    pub(crate) fn read(folders: &[PathBuf]) -> Result<Self> {
        let mut seen = HashSet::new();
        let mut sentences = Vec::new();
        for folder in folders {
            for doc in dataset::documents(folder)? {
                for sentence in cut(&doc.text) {
                    if seen.insert(sentence.to_owned()) {
                        sentences.push(sentence.to_owned());
                    }
                }
            }
        }
        ensure!(!sentences.is_empty(), "there is no text in the sets");
        Ok(Self {
            sentences,
            random: Random(1),
        })
    }

    /// Up to `count` paragraphs of neighbouring sentences, each of at least `min` bytes. No sentence comes twice.
    pub(crate) fn paragraphs(&self, count: usize, min: usize) -> Vec<String> {
        let mut paragraphs = Vec::with_capacity(count);
        let mut paragraph = String::new();
        for sentence in &self.sentences {
            if paragraphs.len() == count {
                break;
            }
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(sentence);
            if paragraph.len() >= min {
                paragraphs.push(std::mem::take(&mut paragraph));
            }
        }
        paragraphs
    }

    /// At least `len` bytes of sentences chosen at random, with a new word now and then.
    pub(crate) fn shuffled(&mut self, len: usize) -> String {
        let mut text = String::with_capacity(len + 256);
        while text.len() < len {
            let at = self.random.below(self.sentences.len() as u64);
            for word in self.sentences[at as usize].split(' ') {
                text.push_str(word);
                text.push(' ');
                if self.random.below(NEW_WORD_EVERY) == 0 {
                    text.push_str(&self.random.word());
                    text.push(' ');
                }
            }
        }
        text.pop();
        text
    }

    /// The sentences of at least `min` bytes, shuffled.
    pub(crate) fn in_any_order(&mut self, min: usize) -> Vec<String> {
        let long = self.sentences.iter().filter(|text| text.len() >= min);
        let mut sentences: Vec<String> = long.cloned().collect();
        self.shuffle(&mut sentences);
        sentences
    }

    /// Brings texts into some other order.
    pub(crate) fn shuffle(&mut self, texts: &mut [String]) {
        for at in (1..texts.len()).rev() {
            let other = self.random.below(at as u64 + 1);
            texts.swap(at, other as usize);
        }
    }

    /// A number from 0 to `end`, without it.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.random.below(end)
    }
}

/// A text without line ends, cut behind full stops.
fn cut(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.split_inclusive(". "))
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty())
}

/// A small generator, so that each run measures the same text.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Syllables that make a word which nobody has said before, most likely.
    fn word(&mut self) -> String {
        const SYLLABLES: [&str; 16] = [
            "ka", "ro", "min", "te", "lu", "sar", "vo", "ni", "bel", "du", "fa", "gor", "hi", "pe",
            "wan", "zu",
        ];
        (0..6).map(|_| SYLLABLES[self.below(16) as usize]).collect()
    }
}
