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

use super::score::{Addend, Scorer};
use super::walk::Walk;
use super::{Candidate, Reader};
use crate::bits::DocBits;
use crate::error::{Error, Result};
use crate::query::Query;

/// Relative distance below the k-th score within which candidates are kept.
pub(super) const SLACK: f32 = 4e-6;
/// Bound of the rounding error of one addition, twice over, for queries with so many terms that
/// [`SLACK`] does not cover them.
pub(super) const SLACK_PER_ADDEND: f32 = 2.4e-7;

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
    // score. In one ascending run of documents a later one of equal score is never better.
    let is_exact = addends.len() <= 2 && !query.has_second_phase();
    let views = reader.views.iter().enumerate();
    let mut walks = views
        .map(|(index, view)| {
            let filter = filters.map(|filters| &filters[index]);
            Walk::new(scorer, view, index, filter, is_exact)
        })
        .collect::<Result<Vec<_>>>()?;
    let slack = match is_exact && walks.len() == 1 && walks[0].is_one_run() {
        true => 0.0,
        false => SLACK.max(SLACK_PER_ADDEND * addends.len() as f32),
    };
    let mut top = Top::new(wanted, slack);
    for walk in &walks {
        walk.score_rare(scorer, &mut top)?;
    }
    // Large segments first: they raise the threshold for the others.
    walks.sort_by_key(|walk| std::cmp::Reverse(walk.view.visible()));
    let weight = weight(reader, scorer, &addends)?;
    for walk in walks.iter().filter(|walk| walk.view.visible() > 0) {
        if walk.is_one_run() {
            walk.run(&*weight, scorer, &mut top)?;
        } else if !walk.addends.is_empty() {
            let weight = self::weight(reader, scorer, &walk.addends)?;
            walk.run(&*weight, scorer, &mut top)?;
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

/// Candidates near the top, with the sums as tantivy added them.
pub(super) struct Top {
    pub(super) wanted: usize,
    /// Factor below the k-th score from which on candidates are kept.
    pub(super) keep: f32,
    entries: Vec<(Score, u32, DocId)>,
    /// Number of entries at which to shrink.
    full: usize,
    /// Candidates below this cannot come in any more.
    cut: Score,
    /// Whether some match may have been passed over.
    pub(super) dropped: bool,
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

    /// The score that a candidate must exceed.
    pub(super) fn threshold(&self, factor: f32) -> Score {
        if self.cut > 0.0 {
            self.cut * factor
        } else {
            Score::MIN
        }
    }

    /// Takes in a candidate. True if the threshold has changed.
    pub(super) fn push(&mut self, score: Score, view: usize, doc: DocId) -> bool {
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
    pub(super) fn shrink(&mut self) {
        if self.entries.len() < self.wanted {
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
        self.dropped |= before != self.entries.len();
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
