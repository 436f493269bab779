//! Plain words: the best candidates by tantivy's block-max pruning, then their exact scores.
//!
//! Three things keep the pruned list exact:
//!
//! 1. Sums in another order differ by rounding, so candidates within a small factor of the k-th
//!    are kept, and all that are kept get their exact score.
//! 2. Block maxima were chosen with the mean length of the segment, not of the snapshot. With
//!    r = one over the other, a maximum may be too low by at most max(r, 1/r), so the threshold
//!    is lowered by min(r, 1/r), for the worst field. Beyond 1.5 nothing is pruned.
//! 3. Dead, invisible and filtered documents are passed over in the callback, so that they never
//!    raise the threshold.
//!
//! A walk ends early in two ways. The block maxima of a word, put together, bound what it can add to any document of the
//! segment; the bounds of all words, added up in the order of the query, bound every score, since additions are monotone. As
//! soon as enough documents have that score, or more from elsewhere, no later one can come in: documents of a segment ascend by
//! frame. Many short documents that all have the same words end so after the first few.
//!
//! Beside a word that is in very many documents of a segment, the documents of rare words are scored one by one before the
//! walk, which then has the frequent words only: their scores raise the threshold at once, and a single frequent word is
//! walked block by block without looking inside.

use tantivy::postings::SegmentPostings;
use tantivy::query::{
    BooleanQuery, BoostQuery, EnableScoring, Occur, Query as _, TermQuery, Weight,
};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, Score, TERMINATED};

use super::score::{Addend, Scorer};
use super::{Candidate, Reader};
use crate::bits::DocBits;
use crate::error::{Error, Result};
use crate::postings::FREQUENT_FROM;
use crate::query::Query;
use crate::schema::TextField;
use crate::view::SegmentView;

/// Relative distance below the k-th score within which candidates are kept.
const SLACK: f32 = 4e-6;
/// Bound of the rounding error of one addition, twice over, for queries with so many terms that
/// [`SLACK`] does not cover them.
const SLACK_PER_ADDEND: f32 = 2.4e-7;
/// Ratio of mean lengths from which on block maxima are not used.
const MAX_RATIO: f32 = 1.5;
/// Documents of the most frequent word, for each rare document and word of the query, from which on rare documents are
/// scored first: to step over a block of 128 takes about a quarter of the time of a score.
const FREQUENT_DOCS: u64 = if cfg!(test) { 1 } else { 4 * 128 };

/// The best candidates with exact scores, at least `wanted` if so many match, and whether these
/// are all that match.
pub(super) fn top(
    reader: &Reader,
    query: &Query,
    scorer: &Scorer,
    filters: Option<&[DocBits]>,
    wanted: usize,
) -> Result<(Vec<Candidate>, bool)> {
    let addends: Vec<&Addend> = scorer
        .addends
        .iter()
        .filter(|addend| scorer.first_boost(addend) > 0.0)
        .collect();
    if reader.views.is_empty() || addends.is_empty() || wanted == 0 {
        return Ok((Vec::new(), addends.is_empty()));
    }
    // Two addends make the same sum in either order, and without a second phase that sum is the
    // score. In a single segment a later document of equal score is never better.
    let is_exact = addends.len() <= 2 && !query.has_second_phase();
    let slack = match is_exact && reader.views.len() == 1 {
        true => 0.0,
        false => SLACK.max(SLACK_PER_ADDEND * addends.len() as f32),
    };
    let mut top = Top::new(wanted, slack);
    let mut walks = Vec::with_capacity(reader.views.len());
    let mut scored = Vec::new();
    for (index, view) in reader.views.iter().enumerate() {
        let filter = filters.map(|filters| &filters[index]);
        let walk = Walk::new(scorer, &addends, view, index, filter)?;
        if !walk.scored.is_empty() {
            let candidates = scorer.score(view, index, &walk.scored)?;
            scored.extend(
                candidates
                    .iter()
                    .map(|candidate| (candidate.content, index as u32, candidate.doc)),
            );
        }
        walks.push(walk);
    }
    top.expect(&mut scored);
    // Large segments first: they raise the threshold for the others.
    walks.sort_by_key(|walk| std::cmp::Reverse(walk.view.visible()));
    let weight = weight(reader, scorer, &addends)?;
    for walk in walks.iter().filter(|walk| walk.view.visible() > 0) {
        if walk.scored.is_empty() {
            walk.run(&*weight, scorer, &mut top)?;
        } else {
            let weight = self::weight(reader, scorer, &walk.addends)?;
            walk.run(&*weight, scorer, &mut top)?;
        }
    }
    for (score, view, doc) in scored {
        top.push(score, view as usize, doc);
    }
    top.shrink();
    let seen_all = !top.dropped;
    let candidates = match is_exact {
        true => top.into_scored(reader)?,
        false => top.into_rescored(reader, scorer)?,
    };
    Ok((candidates, seen_all))
}

/// The sum of some addends, as tantivy computes it.
fn weight(reader: &Reader, scorer: &Scorer, addends: &[&Addend]) -> Result<Box<dyn Weight>> {
    let scoring = EnableScoring::enabled_from_statistics_provider(
        &scorer.statistics,
        reader.views[0].segment().searcher(),
    );
    let failed = |error| Error::tantivy("searching", error);
    let term = |addend: &Addend| TermQuery::new(addend.term.clone(), IndexRecordOption::WithFreqs);
    // tantivy prunes a union of several words and a word by itself, but neither a union of one nor a boosted word.
    if let [addend] = addends
        && scorer.first_boost(addend) == 1.0
    {
        return term(addend).weight(scoring).map_err(failed);
    }
    let clauses: Vec<(Occur, Box<dyn tantivy::query::Query>)> = addends
        .iter()
        .map(|addend| {
            let boosted = BoostQuery::new(Box::new(term(addend)), scorer.first_boost(addend));
            (Occur::Should, Box::new(boosted) as Box<_>)
        })
        .collect();
    BooleanQuery::from(clauses).weight(scoring).map_err(failed)
}

/// How to go through the documents of a view.
struct Walk<'a> {
    view: &'a SegmentView,
    index: usize,
    filter: Option<&'a DocBits>,
    /// By what to multiply the threshold; `None` if block maxima are of no use.
    factor: Option<f32>,
    /// What a document of the walk can have as its score at most.
    bound: Score,
    /// Documents that are scored one by one, ascending: those with a rare word.
    scored: Vec<DocId>,
    /// The other words of the view, in the order of the query.
    addends: Vec<&'a Addend>,
}

impl<'a> Walk<'a> {
    fn new(
        scorer: &Scorer,
        addends: &[&'a Addend],
        view: &'a SegmentView,
        index: usize,
        filter: Option<&'a DocBits>,
    ) -> Result<Self> {
        let mut walk = Self {
            view,
            index,
            filter,
            factor: pruning_factor(scorer, view),
            bound: Score::INFINITY,
            scored: Vec::new(),
            addends: addends.to_vec(),
        };
        let Some(factor) = walk.factor else {
            return Ok(walk);
        };
        let doc_freq = |addend: &Addend| scorer.doc_freq(addend, index);
        if !addends
            .iter()
            .any(|addend| doc_freq(addend) >= u64::from(FREQUENT_FROM))
        {
            return Ok(walk);
        }
        walk.addends.retain(|addend| doc_freq(addend) > 0);
        let mut doc_freqs: Vec<u64> = walk.addends.iter().map(|addend| doc_freq(addend)).collect();
        doc_freqs.sort_unstable();
        let cost = doc_freqs.len() as u64 * FREQUENT_DOCS;
        let most = doc_freqs.last().map_or(0, |doc_freq| doc_freq / cost);
        let mut docs = 0;
        let rare = doc_freqs.iter().take_while(|doc_freq| {
            docs += **doc_freq;
            docs <= most
        });
        if let Some(&rarest) = rare.last() {
            let mut scored = Vec::new();
            for addend in walk
                .addends
                .extract_if(.., |addend| doc_freq(addend) <= rarest)
            {
                scored.extend(iter(scorer.docs(addend, index)?));
            }
            scored.retain(|doc| walk.takes(*doc));
            scored.sort_unstable();
            scored.dedup();
            walk.scored = scored;
        }
        let bounds = walk
            .addends
            .iter()
            .map(|addend| scorer.bound(addend, view, index));
        let bound = bounds.fold(0.0, |sum, bound| sum + bound);
        walk.bound = match factor {
            1.0 => bound,
            factor => bound / factor * (1.0 + SLACK),
        };
        Ok(walk)
    }

    fn takes(&self, doc: DocId) -> bool {
        match self.filter {
            Some(filter) => filter.contains(doc),
            None => self.view.is_visible(doc),
        }
    }

    /// Whether a document is wanted and was not scored before the walk.
    fn is_left(&self, doc: DocId) -> bool {
        self.takes(doc) && self.scored.binary_search(&doc).is_err()
    }

    /// Takes in the documents that were not scored already.
    fn run(&self, weight: &dyn Weight, scorer: &Scorer, top: &mut Top) -> Result<()> {
        let reader = self.view.segment().reader();
        let failed = |error| Error::tantivy("searching", error);
        let Some(factor) = self.factor else {
            let mut take = |doc, score| {
                if self.is_left(doc) {
                    top.push(score, self.index, doc);
                }
            };
            return weight.for_each(reader, &mut take).map_err(failed);
        };
        let mut threshold = top.threshold(factor);
        if threshold > Score::MIN {
            top.dropped = true;
        }
        if top.threshold(1.0) >= self.bound {
            return Ok(());
        }
        if factor == 1.0 && self.begin(scorer, top)? {
            return Ok(());
        }
        let mut summit = Summit::new(self, top);
        let mut ended = Ok(false);
        weight
            .for_each_pruning(threshold, reader, &mut |doc, score| {
                if !self.is_left(doc) {
                    return threshold;
                }
                if top.push(score, self.index, doc) {
                    threshold = top.threshold(factor);
                }
                ended = summit.reached(scorer, doc, score);
                if !matches!(ended, Ok(false)) {
                    top.dropped = true;
                    threshold = Score::MAX;
                }
                threshold
            })
            .map_err(failed)?;
        ended.map(drop)
    }

    /// tantivy steps over every block of a single word, also if nothing can come in any more. Looks at the first documents of
    /// such a word; true if nothing is left to walk for.
    fn begin(&self, scorer: &Scorer, top: &mut Top) -> Result<bool> {
        let [addend] = self.addends[..] else {
            return Ok(false);
        };
        if scorer.doc_freq(addend, self.index) / FREQUENT_DOCS < top.wanted as u64 {
            return Ok(false);
        }
        let docs = iter(scorer.docs(addend, self.index)?).take(2 * top.wanted);
        let docs: Vec<DocId> = docs.filter(|doc| self.is_left(*doc)).collect();
        let mut candidates = scorer.score(self.view, self.index, &docs)?;
        candidates.retain(|candidate| candidate.content >= self.bound);
        if candidates.len() < top.wanted {
            return Ok(false);
        }
        for candidate in candidates {
            top.push(candidate.content, self.index, candidate.doc);
        }
        top.dropped = true;
        Ok(true)
    }
}

fn iter(mut postings: SegmentPostings) -> impl Iterator<Item = DocId> {
    std::iter::from_fn(move || {
        let doc = postings.doc();
        (doc != TERMINATED).then(|| {
            postings.advance();
            doc
        })
    })
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
        let Walk {
            view, index, bound, ..
        } = *self.walk;
        let candidates = scorer.score(view, index, &self.docs)?;
        let highest = candidates
            .iter()
            .filter(|candidate| candidate.content >= bound);
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

/// The score of the k-th candidate of at least k.
fn kth(entries: &mut [(Score, u32, DocId)], k: usize) -> Score {
    let descending = |a: &(Score, u32, DocId), b: &(Score, u32, DocId)| b.0.total_cmp(&a.0);
    let (_, kth, _) = entries.select_nth_unstable_by(k - 1, descending);
    kth.0
}

/// Candidates near the top, with the sums as tantivy added them.
struct Top {
    wanted: usize,
    /// Factor below the k-th score from which on candidates are kept.
    keep: f32,
    entries: Vec<(Score, u32, DocId)>,
    /// Number of entries at which to shrink.
    full: usize,
    /// Candidates below this cannot come in any more.
    cut: Score,
    /// Nor can those at or below this, for the sake of candidates that come last.
    floor: Score,
    /// Whether some match may have been passed over.
    dropped: bool,
}

impl Top {
    fn new(wanted: usize, slack: f32) -> Self {
        Self {
            wanted,
            keep: 1.0 - slack,
            entries: Vec::new(),
            full: wanted.saturating_mul(2).max(16),
            cut: Score::MIN,
            floor: Score::MIN,
            dropped: false,
        }
    }

    /// Says which candidates will come in last. Others of the same score as the worst of the best are kept until then: which of
    /// them come first is a matter of their frames.
    fn expect(&mut self, scored: &mut [(Score, u32, DocId)]) {
        if scored.len() >= self.wanted {
            let kth = kth(scored, self.wanted);
            self.floor = (kth * self.keep).next_down();
        }
    }

    /// The score that a candidate must exceed.
    fn threshold(&self, factor: f32) -> Score {
        let cut = self.cut.max(self.floor);
        if cut > 0.0 { cut * factor } else { Score::MIN }
    }

    /// Takes in a candidate. True if the threshold has changed.
    fn push(&mut self, score: Score, view: usize, doc: DocId) -> bool {
        if score < self.cut {
            self.dropped = true;
            return false;
        }
        self.entries.push((score, view as u32, doc));
        if self.entries.len() < self.full {
            return false;
        }
        self.shrink();
        self.full = (self.entries.len() * 2)
            .max(self.wanted.saturating_mul(2))
            .max(16);
        true
    }

    /// Drops what cannot be among the wanted ones.
    fn shrink(&mut self) {
        if self.entries.len() <= self.wanted {
            return;
        }
        self.cut = kth(&mut self.entries, self.wanted) * self.keep;
        let cut = self.cut;
        let before = self.entries.len();
        self.entries.retain(|entry| entry.0 >= cut);
        self.dropped |= before != self.entries.len() || self.cut > 0.0;
    }

    /// The candidates with the scores that they have.
    fn into_scored(self, reader: &Reader) -> Result<Vec<Candidate>> {
        self.entries
            .iter()
            .map(|&(score, view, doc)| Candidate::new(&reader.views[view as usize], doc, score))
            .collect()
    }

    /// The candidates with exact scores.
    fn into_rescored(mut self, reader: &Reader, scorer: &Scorer) -> Result<Vec<Candidate>> {
        self.entries
            .sort_unstable_by_key(|&(_, view, doc)| (view, doc));
        let mut candidates = Vec::with_capacity(self.entries.len());
        for run in self.entries.chunk_by(|a, b| a.1 == b.1) {
            let index = run[0].1 as usize;
            let docs: Vec<DocId> = run.iter().map(|entry| entry.2).collect();
            candidates.extend(scorer.score(&reader.views[index], index, &docs)?);
        }
        Ok(candidates)
    }
}
