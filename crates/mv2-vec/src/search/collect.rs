//! The best frames so far, known within bounds until the end, when the exact scores decide.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use mv2_format::FrameId;

use crate::error::Result;
use crate::query::Query;
use crate::view::View;

/// A row that may be the best one of a frame among the best.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    view: usize,
    row: u32,
    frame: FrameId,
    /// The exact score is at most this.
    upper: f32,
}

/// A frame with its score and the row that has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Best {
    pub(super) frame: FrameId,
    pub(super) score: f32,
    pub(super) view: usize,
    pub(super) row: u32,
}

/// Keeps the rows whose score may be among those of the `top_k` best frames.
///
/// Of each frame the largest lower bound goes into a heap; the smallest of the `top_k` largest is
/// a score that this many frames reach for sure, so that a row whose upper bound is below is out.
#[derive(Debug)]
pub(super) struct Collector {
    top_k: usize,
    candidates: Vec<Candidate>,
    lowers: BinaryHeap<Reverse<Lower>>,
    /// The frame whose rows come in at present, and its largest lower bound.
    open: Option<(FrameId, f32)>,
    threshold: f32,
    /// Candidates from which on those that are out by now are dropped.
    tidy_at: usize,
    /// Nodes of graphs that were scored.
    pub(super) visits: u64,
}

impl Collector {
    pub(super) fn new(top_k: usize) -> Self {
        Self {
            top_k,
            candidates: Vec::new(),
            lowers: BinaryHeap::new(),
            open: None,
            threshold: f32::NEG_INFINITY,
            tidy_at: 1024,
            visits: 0,
        }
    }

    /// Rows with an upper bound below this are out.
    pub(super) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Takes in a row with its score by codes and how far that can be off. Rows of a frame come one
    /// after the other. A score that is not a number, from a damaged scale, is passed over.
    pub(super) fn offer(&mut self, view: usize, row: u32, frame: FrameId, near: f32, off: f32) {
        let (lower, upper) = (near - off, near + off);
        if !(upper >= self.threshold && lower <= upper) {
            return;
        }
        match &mut self.open {
            Some((open, best)) if *open == frame => *best = best.max(lower),
            _ => {
                self.close();
                self.open = Some((frame, lower));
            }
        }
        self.candidates.push(Candidate {
            view,
            row,
            frame,
            upper,
        });
    }

    /// The frame's rows are all there.
    fn close(&mut self) {
        let Some((_, lower)) = self.open.take() else {
            return;
        };
        if self.lowers.len() < self.top_k || lower > self.threshold {
            self.lowers.push(Reverse(Lower(lower)));
        }
        if self.lowers.len() > self.top_k {
            self.lowers.pop();
        }
        if self.lowers.len() == self.top_k
            && let Some(Reverse(Lower(least))) = self.lowers.peek()
        {
            self.threshold = *least;
        }
        if self.candidates.len() >= self.tidy_at {
            self.candidates.retain(|c| c.upper >= self.threshold);
            self.tidy_at = (self.candidates.len() * 2).max(1024);
        }
    }

    /// The best frames by their exact scores, best first, equal ones by their ids.
    pub(super) fn finish(mut self, views: &[View], query: &Query) -> Result<Vec<Best>> {
        self.close();
        self.candidates.retain(|c| c.upper >= self.threshold);
        self.candidates
            .sort_unstable_by(|a, b| b.upper.total_cmp(&a.upper));
        let mut best: Vec<Best> = Vec::new();
        let mut done = 0;
        // The most promising first, and twice as many each time, until no other can matter.
        let mut batch = self.top_k.saturating_mul(2).saturating_add(32);
        while let Some(next) = self.candidates.get(done) {
            if best.len() >= self.top_k && best[self.top_k - 1].score > next.upper {
                break;
            }
            let end = done.saturating_add(batch).min(self.candidates.len());
            for candidate in &self.candidates[done..end] {
                let score = query.score(views[candidate.view].segment(), candidate.row)?;
                if score.is_nan() {
                    continue;
                }
                best.push(Best {
                    frame: candidate.frame,
                    score,
                    view: candidate.view,
                    row: candidate.row,
                });
            }
            best.sort_unstable_by(|a, b| {
                let score = b.score.total_cmp(&a.score);
                a.frame.cmp(&b.frame).then(score).then(a.row.cmp(&b.row))
            });
            best.dedup_by_key(|best| best.frame);
            best.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.frame.cmp(&b.frame)));
            done = end;
            batch = batch.saturating_mul(2);
        }
        best.truncate(self.top_k);
        Ok(best)
    }
}

/// A lower bound, in the order of numbers.
#[derive(Clone, Copy, Debug)]
struct Lower(f32);

impl PartialEq for Lower {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Lower {}

impl PartialOrd for Lower {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Lower {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
