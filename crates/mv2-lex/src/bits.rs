//! A set of documents of one segment, one bit for each.

use std::ops::Range;

use tantivy::postings::BlockSegmentPostings;
use tantivy::{DocId, TERMINATED};

/// A set of documents of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DocBits {
    words: Vec<u64>,
    docs: u32,
}

impl DocBits {
    pub(crate) fn new(docs: u32) -> Self {
        Self {
            words: vec![0; docs.div_ceil(64) as usize],
            docs,
        }
    }

    pub(crate) fn from_docs(docs: u32, members: &[DocId]) -> Self {
        let mut bits = Self::new(docs);
        for doc in members {
            bits.insert(*doc);
        }
        bits
    }

    /// Inserts all documents of a range.
    pub(crate) fn insert_range(&mut self, range: Range<DocId>) {
        let end = range.end.min(self.docs);
        let mut doc = range.start;
        while doc < end {
            let word = doc as usize / 64;
            let stop = end.min((doc / 64 + 1) * 64);
            let count = stop - doc;
            let ones = if count == 64 {
                u64::MAX
            } else {
                (1 << count) - 1
            };
            self.words[word] |= ones << (doc % 64);
            doc = stop;
        }
    }

    /// Inserts a document; one that is not in the segment is passed over.
    pub(crate) fn insert(&mut self, doc: DocId) {
        if doc < self.docs {
            self.words[doc as usize / 64] |= 1 << (doc % 64);
        }
    }

    pub(crate) fn remove(&mut self, doc: DocId) {
        if doc < self.docs {
            self.words[doc as usize / 64] &= !(1 << (doc % 64));
        }
    }

    pub(crate) fn contains(&self, doc: DocId) -> bool {
        doc < self.docs && self.words[doc as usize / 64] & (1 << (doc % 64)) != 0
    }

    pub(crate) fn count(&self) -> u64 {
        self.words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    pub(crate) fn and(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    pub(crate) fn or(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    pub(crate) fn and_not(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// The members, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = DocId> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    index as u32 * 64 + bit
                })
            })
        })
    }

    /// Inserts all documents of a posting list.
    pub(crate) fn insert_postings(&mut self, mut postings: BlockSegmentPostings) {
        let mut left = postings.doc_freq() as usize;
        while left > 0 && postings.block_len() > 0 {
            for &doc in postings.docs() {
                if doc != TERMINATED {
                    self.insert(doc);
                }
            }
            left = left.saturating_sub(postings.block_len());
            postings.advance();
        }
    }
}
