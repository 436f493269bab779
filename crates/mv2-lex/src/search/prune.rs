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

use tantivy::query::{
    BooleanQuery, BoostQuery, EnableScoring, Occur, Query as _, TermQuery, Weight,
};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, Score};

use super::score::Scorer;
use super::{Candidate, Reader};
use crate::bits::DocBits;
use crate::error::{Error, Result};
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

/// The best candidates with exact scores, at least `wanted` if so many match, and whether these
/// are all that match.
pub(super) fn top(
    reader: &Reader,
    query: &Query,
    scorer: &Scorer,
    filters: Option<&[DocBits]>,
    wanted: usize,
) -> Result<(Vec<Candidate>, bool)> {
    let failed = |error| Error::tantivy("searching", error);
    let clauses: Vec<(Occur, Box<dyn tantivy::query::Query>)> = scorer
        .addends
        .iter()
        .filter(|addend| scorer.first_boost(addend) > 0.0)
        .map(|addend| {
            let term = TermQuery::new(addend.term.clone(), IndexRecordOption::WithFreqs);
            let boost = scorer.first_boost(addend);
            (
                Occur::Should,
                Box::new(BoostQuery::new(Box::new(term), boost)) as Box<_>,
            )
        })
        .collect();
    let Some(first) = reader
        .views
        .first()
        .filter(|_| !clauses.is_empty() && wanted > 0)
    else {
        return Ok((Vec::new(), clauses.is_empty()));
    };
    let addends = clauses.len();
    // Two addends make the same sum in either order, and without a second phase that sum is the
    // score. In a single segment a later document of equal score is never better.
    let is_exact = addends <= 2 && !query.has_second_phase();
    let slack = match is_exact && reader.views.len() == 1 {
        true => 0.0,
        false => SLACK.max(SLACK_PER_ADDEND * addends as f32),
    };
    let scoring = EnableScoring::enabled_from_statistics_provider(
        &scorer.statistics,
        first.segment().searcher(),
    );
    let weight = BooleanQuery::from(clauses)
        .weight(scoring)
        .map_err(failed)?;

    // Large segments first: they raise the threshold for the others.
    let mut order: Vec<usize> = (0..reader.views.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(reader.views[index].visible()));
    let mut top = Top::new(wanted, slack);
    for index in order {
        let view = &reader.views[index];
        if view.visible() > 0 {
            let filter = filters.map(|filters| &filters[index]);
            collect(&*weight, scorer, view, index, filter, &mut top)?;
        }
    }
    top.shrink();
    let seen_all = !top.dropped;
    let candidates = match is_exact {
        true => top.into_scored(reader)?,
        false => top.into_rescored(reader, scorer)?,
    };
    Ok((candidates, seen_all))
}

fn collect(
    weight: &dyn Weight,
    scorer: &Scorer,
    view: &SegmentView,
    index: usize,
    filter: Option<&DocBits>,
    top: &mut Top,
) -> Result<()> {
    let reader = view.segment().reader();
    let takes = |doc: DocId| match filter {
        Some(filter) => filter.contains(doc),
        None => view.is_visible(doc),
    };
    let failed = |error| Error::tantivy("searching", error);
    match pruning_factor(scorer, view) {
        Some(factor) => {
            let mut threshold = top.threshold(factor);
            if threshold > Score::MIN {
                top.dropped = true;
            }
            weight
                .for_each_pruning(threshold, reader, &mut |doc, score| {
                    if takes(doc) && top.push(score, index, doc) {
                        threshold = top.threshold(factor);
                    }
                    threshold
                })
                .map_err(failed)
        }
        None => weight
            .for_each(reader, &mut |doc, score| {
                if takes(doc) {
                    top.push(score, index, doc);
                }
            })
            .map_err(failed),
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
            dropped: false,
        }
    }

    fn threshold(&self, factor: f32) -> Score {
        if self.cut > 0.0 {
            self.cut * factor
        } else {
            Score::MIN
        }
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
        let descending = |a: &(Score, u32, DocId), b: &(Score, u32, DocId)| b.0.total_cmp(&a.0);
        let (_, kth, _) = self
            .entries
            .select_nth_unstable_by(self.wanted - 1, descending);
        self.cut = kth.0 * self.keep;
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
