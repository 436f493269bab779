//! One view's part in a search for plain words: what is scored document by document, what tantivy walks, and where that ends.
//!
//! tantivy looks at each block of a word, and at each document of equal score. Where a word is in very many documents of a
//! segment, that is far more than the answer depends on:
//!
//! 1. Each word has a bound: no document gets more from it. The block maxima of the word, put together, say what it is. Scores
//!    are added up in the order of the query, and so are bounds; additions are monotone, so no score is above its bound.
//! 2. Documents with a rare word come first, one by one. Their bounds, with what they have of rare words and the bounds of
//!    frequent ones, put them into an order in which only the first need their scores.
//! 3. tantivy walks the frequent words alone. The walk ends when as many documents as are wanted have the highest score that is
//!    possible, or more: documents of a segment ascend by frame, so no later one of equal score is better.
//!
//! If all words are rare, there is nothing to walk.

use std::cell::Cell;

use tantivy::query::Weight;
use tantivy::{DocId, DocSet, Score, TERMINATED};

use super::Candidate;
use super::prune::Top;
use super::score::{Addend, Scorer};
use crate::bits::DocBits;
use crate::error::{Error, Result};
use crate::postings::{BLOCK_DOCS, FREQUENT_FROM};
use crate::schema::TextField;
use crate::segment::FEW_DOCS;
use crate::view::SegmentView;

/// Ratio of mean lengths from which on block maxima are not used.
const MAX_RATIO: f32 = 1.5;
/// Documents of the most frequent word, for each document with a rare one: in the time that the bound of the latter takes, tantivy
/// looks at some blocks of the former.
const FREQUENT_PER_RARE: u64 = if cfg!(test) { 3 } else { 8 * BLOCK_DOCS as u64 };
/// The same if tantivy cannot pass over documents of equal score.
const FREQUENT_PER_RARE_IN_TIES: u64 = if cfg!(test) { 3 } else { BLOCK_DOCS as u64 };

/// How to go through the documents of a view.
pub(super) struct Walk<'a> {
    pub(super) view: &'a SegmentView,
    index: usize,
    filter: Option<&'a DocBits>,
    /// By what to multiply the threshold; `None` if block maxima are of no use.
    factor: Option<f32>,
    /// Documents with a rare word, ascending; or all that are visible, if they are few.
    rare: Vec<DocId>,
    /// Whether nothing is left for tantivy.
    is_done: bool,
    /// The frequent words, in the order of the query.
    pub(super) addends: Vec<&'a Addend>,
    /// For each addend of the scorer, what a document gets from it at most in the first phase; `None` for a rare one.
    bounds: Vec<Option<Score>>,
    /// What a document without a rare word has at most.
    bound: Score,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        scorer: &'a Scorer,
        view: &'a SegmentView,
        index: usize,
        filter: Option<&'a DocBits>,
        is_exact: bool,
    ) -> Result<Self> {
        let counts = |addend: &&Addend| scorer.first_boost(addend) > 0.0;
        let mut walk = Self {
            view,
            index,
            filter,
            factor: pruning_factor(scorer, view),
            rare: Vec::new(),
            is_done: false,
            addends: scorer.addends.iter().filter(counts).collect(),
            bounds: Vec::new(),
            bound: Score::INFINITY,
        };
        if let Some(docs) = view.few() {
            // Block maxima are those of documents that are not seen.
            walk.rare
                .extend(docs.iter().filter(|doc| takes(view, filter, **doc)));
            walk.addends.clear();
            walk.is_done = true;
            return Ok(walk);
        }
        let Some(factor) = walk.factor else {
            return Ok(walk);
        };
        let doc_freq = |addend: &Addend| scorer.doc_freq(addend, index);
        let mut doc_freqs: Vec<u64> = walk.addends.iter().map(|addend| doc_freq(addend)).collect();
        doc_freqs.sort_unstable();
        let most = doc_freqs.last().copied().unwrap_or(0);
        if most < u64::from(FREQUENT_FROM) && doc_freqs.iter().sum::<u64>() > FEW_DOCS as u64 {
            return Ok(walk);
        }
        let frequent_per_rare = match is_exact {
            true => FREQUENT_PER_RARE,
            false => FREQUENT_PER_RARE_IN_TIES,
        };
        let mut left = (FEW_DOCS as u64).max(most / frequent_per_rare);
        let rarest = doc_freqs.iter().take_while(|doc_freq| {
            let fits = **doc_freq <= left;
            left -= if fits { **doc_freq } else { 0 };
            fits
        });
        let rare = rarest.count();
        let is_rare = |addend: &Addend| rare > 0 && doc_freq(addend) <= doc_freqs[rare - 1];
        for addend in walk.addends.extract_if(.., |addend| is_rare(addend)) {
            scorer.each_doc(addend, index, |doc| walk.rare.push(doc))?;
        }
        walk.rare.sort_unstable();
        walk.rare.dedup();
        walk.rare.retain(|doc| takes(view, filter, *doc));
        let bounds = scorer.addends.iter().map(|addend| match counts(&addend) {
            true if is_rare(addend) => None,
            true => Some(scorer.bound(addend, view, index, factor)),
            false => Some(0.0),
        });
        walk.bounds = bounds.collect();
        walk.bound = walk
            .bounds
            .iter()
            .flatten()
            .fold(0.0, |sum, bound| sum + bound);
        Ok(walk)
    }

    /// Whether the documents come in one ascending run, that of tantivy over all words.
    pub(super) fn is_one_run(&self) -> bool {
        self.rare.is_empty() && !self.is_done
    }

    /// Takes in the best documents with a rare word, with exact scores.
    pub(super) fn score_rare(&self, scorer: &Scorer, top: &mut Top) -> Result<()> {
        let Self { view, index, .. } = *self;
        let mut order = scorer.score_or_bound(view, index, &self.rare, &self.bounds)?;
        order.retain(|candidate| candidate.content > 0.0);
        // They come in ascending order, and stay so where bounds are equal.
        order.sort_by(|a, b| b.content.total_cmp(&a.content));
        let mut best: Vec<Candidate> = Vec::new();
        let mut rest = &order[..];
        while let Some(next) = rest.first() {
            best.sort_unstable_by(ranks_before);
            let worst = best.get(top.wanted - 1);
            if worst.is_some_and(|worst| ranks_before(worst, next).is_lt()) {
                top.dropped = true;
                break;
            }
            let (now, later) = rest.split_at(rest.len().min(top.wanted.max(best.len())));
            let mut docs: Vec<DocId> = now.iter().map(|candidate| candidate.doc).collect();
            docs.sort_unstable();
            best.extend(scorer.score(view, index, &docs)?);
            rest = later;
        }
        for candidate in best {
            top.push(candidate.content, index, candidate.doc);
        }
        top.shrink();
        Ok(())
    }

    /// Takes in the documents without a rare word.
    pub(super) fn run(&self, weight: &dyn Weight, scorer: &Scorer, top: &mut Top) -> Result<()> {
        let reader = self.view.segment().reader();
        let failed = |error| Error::tantivy("searching", error);
        let is_left = |doc: DocId| {
            takes(self.view, self.filter, doc) && self.rare.binary_search(&doc).is_err()
        };
        let Some(factor) = self.factor else {
            let mut take = |doc, score| {
                if is_left(doc) {
                    top.push(score, self.index, doc);
                }
            };
            return weight.for_each(reader, &mut take).map_err(failed);
        };
        if top.threshold(1.0) >= self.bound {
            top.dropped = true;
            return Ok(());
        }
        let threshold = Cell::new(top.threshold(factor));
        if self.bound == Score::INFINITY {
            let mut take = |doc, score| {
                if takes(self.view, self.filter, doc) && top.push(score, self.index, doc) {
                    threshold.set(top.threshold(factor));
                }
                threshold.get()
            };
            let start = threshold.get();
            weight
                .for_each_pruning(start, reader, &mut take)
                .map_err(failed)?;
            top.dropped |= threshold.get() > Score::MIN;
            return Ok(());
        }
        let first = top.wanted.saturating_mul(2);
        let mut summit = Summit::new(self, top);
        let mut ended = Ok(false);
        let mut take = |doc, score| {
            if is_left(doc) && matches!(ended, Ok(false)) {
                if top.push(score, self.index, doc) {
                    threshold.set(top.threshold(factor));
                }
                ended = summit.reached(scorer, doc, score);
                if !matches!(ended, Ok(false)) {
                    threshold.set(Score::MAX);
                }
            }
            threshold.get()
        };
        // tantivy steps over each block of a single word, also where nothing can come in any more. Often the first documents say so.
        let mut begin = 0;
        if self.addends.len() == 1 {
            let mut docs = weight.scorer(reader, 1.0).map_err(failed)?;
            begin = docs.doc();
            for _ in 0..first {
                if begin == TERMINATED || take(begin, docs.score()) == Score::MAX {
                    break;
                }
                begin = docs.advance();
            }
        }
        if begin < TERMINATED && threshold.get() < Score::MAX {
            let mut take = |doc, score| match doc < begin {
                true => threshold.get(),
                false => take(doc, score),
            };
            weight
                .for_each_pruning(threshold.get(), reader, &mut take)
                .map_err(failed)?;
        }
        top.dropped |= threshold.get() > Score::MIN;
        ended.map(drop)
    }
}

fn takes(view: &SegmentView, filter: Option<&DocBits>, doc: DocId) -> bool {
    match filter {
        Some(filter) => filter.contains(doc),
        None => view.is_visible(doc),
    }
}

/// By the score of the first phase, ties by document.
fn ranks_before(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.content.total_cmp(&a.content).then(a.doc.cmp(&b.doc))
}

/// The documents of a walk that may have the highest score that is possible.
struct Summit<'a> {
    walk: &'a Walk<'a>,
    wanted: usize,
    /// What tantivy's sum of such a document is at least.
    near: Score,
    docs: Vec<DocId>,
    /// Number of documents at which to look at their exact scores.
    full: usize,
}

impl<'a> Summit<'a> {
    fn new(walk: &'a Walk<'a>, top: &Top) -> Self {
        Self {
            walk,
            wanted: top.wanted,
            near: walk.bound * top.keep,
            docs: Vec::new(),
            full: top.wanted,
        }
    }

    /// Whether with this document as many as are wanted have the highest score.
    fn reached(&mut self, scorer: &Scorer, doc: DocId, score: Score) -> Result<bool> {
        if score < self.near {
            return Ok(false);
        }
        self.docs.push(doc);
        if self.docs.len() < self.full {
            return Ok(false);
        }
        self.full = self.full.saturating_mul(2);
        let candidates = scorer.score(self.walk.view, self.walk.index, &self.docs)?;
        let highest = candidates
            .iter()
            .filter(|candidate| candidate.content >= self.walk.bound);
        Ok(highest.count() >= self.wanted)
    }
}

/// By what to multiply the threshold in a segment; `None` if block maxima are of no use.
fn pruning_factor(scorer: &Scorer, view: &SegmentView) -> Option<f32> {
    let segment = view.segment();
    let mut factor = 1.0f32;
    for field in TextField::ALL {
        let is_used = scorer.addends.iter().any(|addend| addend.field == field);
        if !is_used || segment.tokens(field) == 0 {
            continue;
        }
        let own = segment.tokens(field) as f32 / segment.docs() as f32;
        let ratio = own / scorer.statistics.mean(field);
        factor = factor.min(ratio.min(1.0 / ratio));
    }
    (factor >= 1.0 / MAX_RATIO).then_some(factor)
}
