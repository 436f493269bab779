//! A set of frames as runs of neighbouring ids: how a filter is handed from one index to another.

use std::ops::Range;

use crate::ids::FrameId;

/// A set of frames, held as sorted runs of neighbouring ids: a few runs are cheap, whatever is in them.
///
/// ```
/// use mv2_format::{FrameId, FrameSet};
///
/// let set: FrameSet = [FrameId(7), FrameId(3), FrameId(4)].into_iter().collect();
/// assert_eq!(set.runs(), [FrameId(3)..FrameId(5), FrameId(7)..FrameId(8)]);
/// assert_eq!(set.len(), 3);
/// assert!(set.contains(FrameId(4)) && !set.contains(FrameId(5)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameSet {
    /// Not empty, ascending, and never adjoining.
    runs: Vec<Range<FrameId>>,
}

impl FrameSet {
    /// The runs, ascending. None is empty and between two of them there is a gap.
    pub fn runs(&self) -> &[Range<FrameId>] {
        &self.runs
    }

    /// The runs that have a frame in a range, whole.
    pub fn runs_in(&self, range: Range<FrameId>) -> &[Range<FrameId>] {
        let start = self.runs.partition_point(|run| run.end <= range.start);
        let end = self.runs.partition_point(|run| run.start < range.end);
        &self.runs[start..end.max(start)]
    }

    /// Whether no frame is in the set.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Number of frames in the set.
    pub fn len(&self) -> u64 {
        let len = |run: &Range<FrameId>| run.end.get() - run.start.get();
        self.runs.iter().map(len).sum()
    }

    /// Whether a frame is in the set, by bisection.
    pub fn contains(&self, frame: FrameId) -> bool {
        let at = self.runs.partition_point(|run| run.end <= frame);
        self.runs.get(at).is_some_and(|run| run.start <= frame)
    }

    /// The frames that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut runs = Vec::new();
        let (mut at, mut other_at) = (0, 0);
        while let (Some(a), Some(b)) = (self.runs.get(at), other.runs.get(other_at)) {
            let common = a.start.max(b.start)..a.end.min(b.end);
            if common.start < common.end {
                runs.push(common);
            }
            if a.end < b.end {
                at += 1;
            } else {
                other_at += 1;
            }
        }
        Self { runs }
    }

    /// The frames that are in this set and not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        let mut runs = Vec::new();
        let mut at = 0;
        for run in &self.runs {
            let mut start = run.start;
            while let Some(hole) = other.runs.get(at) {
                if hole.start >= run.end {
                    break;
                }
                if start < hole.start {
                    runs.push(start..hole.start);
                }
                start = start.max(hole.end);
                if hole.end > run.end {
                    // It may take something of the next run as well.
                    break;
                }
                at += 1;
            }
            if start < run.end {
                runs.push(start..run.end);
            }
        }
        Self { runs }
    }

    /// The frames of the set that are in a range.
    #[must_use]
    pub fn within(&self, range: Range<FrameId>) -> Self {
        self.intersection(&range.into())
    }

    /// The frames, ascending.
    pub fn into_frames(self) -> impl Iterator<Item = FrameId> {
        let ids = |run: Range<FrameId>| run.start.get()..run.end.get();
        self.runs.into_iter().flat_map(ids).map(FrameId)
    }

    /// The frames, ascending.
    pub fn frames(&self) -> impl Iterator<Item = FrameId> + '_ {
        let ids = |run: &Range<FrameId>| run.start.get()..run.end.get();
        self.runs.iter().flat_map(ids).map(FrameId)
    }
}

/// All frames of a range.
impl From<Range<FrameId>> for FrameSet {
    fn from(range: Range<FrameId>) -> Self {
        [range].into_iter().collect()
    }
}

/// From runs in any order, which may be empty, adjoin and overlap.
impl FromIterator<Range<FrameId>> for FrameSet {
    fn from_iter<T: IntoIterator<Item = Range<FrameId>>>(runs: T) -> Self {
        let mut sorted: Vec<Range<FrameId>> = Vec::new();
        let mut ascending = true;
        for run in runs {
            if run.start >= run.end {
                continue;
            }
            match sorted.last_mut() {
                // Runs mostly come in order, so that joining them here keeps the list short.
                Some(last) if last.start <= run.start && run.start <= last.end => {
                    last.end = last.end.max(run.end);
                }
                last => {
                    ascending &= last.is_none_or(|last| last.end < run.start);
                    sorted.push(run);
                }
            }
        }
        if !ascending {
            sorted.sort_unstable_by_key(|run| run.start);
            sorted.dedup_by(|next, run| {
                let joins = next.start <= run.end;
                if joins {
                    run.end = run.end.max(next.end);
                }
                joins
            });
        }
        Self { runs: sorted }
    }
}

/// From frames in any order, which may be there more than once. Frame 2^64 - 1 does not exist and is
/// passed over.
impl FromIterator<FrameId> for FrameSet {
    fn from_iter<T: IntoIterator<Item = FrameId>>(frames: T) -> Self {
        let run = |frame: FrameId| frame..FrameId(frame.get().saturating_add(1));
        frames.into_iter().map(run).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ids(set: &FrameSet) -> BTreeSet<u64> {
        let ids = |run: &Range<FrameId>| run.start.get()..run.end.get();
        set.runs().iter().flat_map(ids).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set(a in prop::collection::vec((0u64..60, 0u64..9), 0..20), b in prop::collection::vec(0u64..60, 0..30)) {
            let of_runs: FrameSet = a.iter().map(|(start, len)| FrameId(*start)..FrameId(start + len)).collect();
            let expected_runs: BTreeSet<u64> = a.iter().flat_map(|(start, len)| *start..start + len).collect();
            let of_frames: FrameSet = b.iter().copied().map(FrameId).collect();
            let expected_frames: BTreeSet<u64> = b.into_iter().collect();
            for (set, expected) in [(&of_runs, &expected_runs), (&of_frames, &expected_frames)] {
                prop_assert_eq!(&ids(set), expected);
                prop_assert_eq!(set.len(), expected.len() as u64);
                prop_assert_eq!(set.is_empty(), expected.is_empty());
                prop_assert!(set.runs().windows(2).all(|pair| pair[0].end < pair[1].start));
                for id in 0..70 {
                    prop_assert_eq!(set.contains(FrameId(id)), expected.contains(&id));
                    let of_range = set.runs_in(FrameId(id)..FrameId(id + 5)).iter();
                    let expected = set.runs().iter().filter(|run| run.start.get() < id + 5 && id < run.end.get());
                    prop_assert!(of_range.eq(expected));
                }
            }
            let both: BTreeSet<u64> = expected_runs.intersection(&expected_frames).copied().collect();
            let common = of_runs.intersection(&of_frames);
            prop_assert_eq!(ids(&common), both);
            let rest: BTreeSet<u64> = expected_runs.difference(&expected_frames).copied().collect();
            prop_assert_eq!(&ids(&of_runs.difference(&of_frames)), &rest);
            prop_assert!(of_runs.difference(&of_frames).frames().map(FrameId::get).eq(rest));
            // Equal sets are equal values, however they came about.
            let again: FrameSet = ids(&common).into_iter().map(FrameId).collect();
            prop_assert_eq!(again, common);
        }
    }
}
