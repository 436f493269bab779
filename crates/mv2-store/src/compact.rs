//! Which neighbouring segments are rebuilt as one, so that few are live, and how thoroughly.

use std::ops::Range;

use mv2_format::codec::Density;

/// Segments of data and of the journal are not rebuilt beyond this many bytes: copying them gains nothing.
const DATA_CAP_BYTES: u64 = 64 << 20;

/// Nor are those of a megabyte joined, as batches of an import leave them, until they are less than one of so many parts of all:
/// each byte is written once as long as that does, and there are not many times as many.
const DATA_PARTS: u64 = 128;

/// At most so many times what is small becomes one.
const DATA_JOIN_TIMES: u64 = 4;

/// From this much text on zstd is worth its slower writing; what is smaller is rewritten soon.
const DENSE_BYTES: u64 = 64 << 10;

/// A commit that folds the log rebuilds at most so many frames of an index, bytes of data and rows of another kind:
/// a few milliseconds. Larger rebuilds run without the lock, see `maintain.rs`.
pub(crate) const INLINE_FRAMES: u64 = 1_000;
const INLINE_DATA_BYTES: u64 = 1 << 20;

/// Where housekeeping did not come in time, a commit joins up to so many frames of an index, small segments among large ones.
const OVERDUE_FRAMES: u64 = 16 << 10;
const INLINE_ROWS: u64 = 64 << 10;

/// An index segment is built from at most about so many bytes of older ones, or a twelfth of all of them if that is more:
/// whoever builds it holds it in memory, several times over.
const INDEX_CAP_BYTES: u64 = 16 << 20;
const INDEX_CAP_ONE_IN: u64 = 12;

/// The same where a whole file is written anew, which is asked for.
const INDEX_CAP_FULL_BYTES: u64 = 64 << 20;

/// How thoroughly a checkpoint rebuilds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compaction {
    /// What takes no time, so that there are about `max` segments of a kind, data segments aside: of these there may be
    /// four times as many, as they serve reads by id as well as one does, and each is written once more for each join.
    /// From twice as many on more is rebuilt, and [`Store::commit`](crate::Store::commit) does housekeeping itself.
    Inline {
        max: usize,
        /// More commits of an import follow: indexes wait, and data segments for twice as many.
        bulk: bool,
    },
    /// As few segments of each kind as is sensible.
    Full,
    /// The same, packed as densely as possible.
    Densest,
}

impl Compaction {
    /// How a data segment with so many bytes of text is packed.
    pub(crate) fn density(self, text: u64) -> Density {
        match self {
            Self::Densest => Density::Densest,
            _ if text >= DENSE_BYTES => Density::Dense,
            _ => Density::Light,
        }
    }

    /// Groups of data segments, by their bytes.
    pub(crate) fn plan_data(self, sizes: &[u64]) -> Vec<Range<usize>> {
        match self {
            Self::Inline { max, bulk } => {
                // What an import joins now it would join again at its end.
                let cap = if bulk { 0 } else { INLINE_DATA_BYTES };
                small_data(sizes, data_segments(max, bulk), cap)
            }
            Self::Full | Self::Densest => plan_all(sizes, DATA_CAP_BYTES),
        }
    }

    /// Groups of segments of commits or tombstones, by their rows.
    pub(crate) fn plan_rows(self, rows: &[u64]) -> Vec<Range<usize>> {
        match self {
            Self::Inline { max, .. } => plan_within(rows, max, INLINE_ROWS, u64::MAX),
            Self::Full | Self::Densest => plan_all(rows, u64::MAX),
        }
    }

    /// Groups of segments of the journal, by their bytes.
    pub(crate) fn plan_journal(self, sizes: &[u64]) -> Vec<Range<usize>> {
        match self {
            Self::Inline { max, .. } => plan_within(sizes, max, INLINE_DATA_BYTES, DATA_CAP_BYTES),
            Self::Full | Self::Densest => plan_all(sizes, DATA_CAP_BYTES),
        }
    }

    /// Groups of runs of an index, by their frames and bytes, and whether each is a huge text, which stays alone.
    pub(crate) fn plan_index(
        self,
        frames: &[u64],
        bytes: &[u64],
        alone: &[bool],
    ) -> Vec<Range<usize>> {
        let cap = index_cap(bytes, INDEX_CAP_FULL_BYTES);
        plan_between(alone, |part| match self {
            Self::Inline { max, .. } => {
                plan_within(&frames[part], max, INLINE_FRAMES, OVERDUE_FRAMES)
            }
            Self::Full | Self::Densest => plan_all(&bytes[part], cap),
        })
    }
}

/// Groups of segments of an index over attachments that a checkpoint joins, by their rows. Large ones are the index's to join,
/// and however many there are, they are no reason to join small ones behind them.
pub(crate) fn plan_attached(rows: &[u64], max: usize) -> Vec<Range<usize>> {
    let small = |rows: &&u64| **rows <= INLINE_FRAMES;
    let first = rows.len() - rows.iter().rev().take_while(small).count();
    let mut groups: Vec<_> = (0..first).map(|index| index..index + 1).collect();
    let behind = plan(&rows[first..], max, INLINE_FRAMES).into_iter();
    groups.extend(behind.map(|group| first + group.start..first + group.end));
    groups
}

/// Data segments that are joined as soon as there are more.
fn data_segments(max: usize, bulk: bool) -> usize {
    if bulk { max * 8 } else { max * 4 }
}

/// The group of data segments that is due to be joined, by their bytes.
pub(crate) fn due_data(sizes: &[u64], max: usize) -> Option<Range<usize>> {
    joined(small_data(sizes, data_segments(max, false), u64::MAX))
}

/// Joins the oldest of the small segments at the end, if there are more than `max`, up to `cap` bytes; with more than twice as
/// many up to all that may become one.
fn small_data(sizes: &[u64], max: usize, cap: u64) -> Vec<Range<usize>> {
    let all = sizes
        .iter()
        .fold(0u64, |all, size| all.saturating_add(*size));
    let part = (all / DATA_PARTS).min(DATA_CAP_BYTES / DATA_JOIN_TIMES);
    let below = |limit: u64| sizes.iter().rev().take_while(|size| **size < limit).count();
    let most = INLINE_DATA_BYTES * DATA_JOIN_TIMES;
    let (count, cap) = match (below(part), below(INLINE_DATA_BYTES)) {
        (parts, _) if parts as u64 > DATA_PARTS => (parts, part * DATA_JOIN_TIMES),
        (_, small) if cap >= most || small > max * 2 => (small, most),
        // Two of them fit the cap, and what became of some is not joined again and again.
        _ => (below(cap / 2), cap),
    };
    let mut groups: Vec<_> = (0..sizes.len()).map(|index| index..index + 1).collect();
    if count > max {
        let start = sizes.len() - count;
        let mut sum = 0;
        let fits = |size: &&u64| {
            sum += **size;
            sum <= cap
        };
        let len = sizes[start..].iter().take_while(fits).count();
        let group = start..start + len;
        groups.splice(group.clone(), std::iter::once(group));
    }
    groups
}

/// The group of runs of an index that is due to be joined, by their bytes, and whether each is a huge text.
pub(crate) fn due_index(bytes: &[u64], alone: &[bool], max: usize) -> Option<Range<usize>> {
    let cap = index_cap(bytes, INDEX_CAP_BYTES);
    let groups = plan_between(alone, |part| {
        // Nothing is added before a huge text any more: what lies there becomes one.
        let max = if part.end < bytes.len() { 1 } else { max };
        plan(&bytes[part], max, cap)
    });
    joined(groups)
}

/// The parts between those that stay alone, as ranges.
pub(crate) fn parts(alone: &[bool]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, alone) in alone.iter().enumerate() {
        if *alone {
            parts.extend([start..at, at..at + 1]);
            start = at + 1;
        }
    }
    parts.push(start..alone.len());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Plans each part on its own.
fn plan_between(
    alone: &[bool],
    mut plan: impl FnMut(Range<usize>) -> Vec<Range<usize>>,
) -> Vec<Range<usize>> {
    let parts = parts(alone).into_iter();
    let groups = parts.flat_map(|part| {
        let start = part.start;
        let groups = plan(part).into_iter();
        groups.map(move |group| start + group.start..start + group.end)
    });
    groups.collect()
}

fn joined(groups: Vec<Range<usize>>) -> Option<Range<usize>> {
    groups.into_iter().find(|group| group.len() > 1)
}

fn index_cap(bytes: &[u64], least: u64) -> u64 {
    least.max(bytes.iter().sum::<u64>() / INDEX_CAP_ONE_IN)
}

/// A plan with a small cap, and with a large one if there are more than twice as many as there should be.
fn plan_within(sizes: &[u64], max: usize, cap: u64, hard_cap: u64) -> Vec<Range<usize>> {
    let cap = if sizes.len() > max * 2 { hard_cap } else { cap };
    plan(sizes, max, cap)
}

/// Groups neighbours: each range of the result becomes one segment; a range of one stays as it is.
///
/// `sizes` are those of the segments in order, the newest last. With more than `max` of them the newest are
/// collapsed, and older ones as long as they are at most twice as large as what they join: sizes
/// fall geometrically, so each frame is rewritten O(log n) times. A group does not grow beyond `cap`, so that a
/// checkpoint never rewrites what is large already; then there may be more than `max`.
fn plan(sizes: &[u64], max: usize, cap: u64) -> Vec<Range<usize>> {
    let mut groups: Vec<_> = (0..sizes.len()).map(|index| index..index + 1).collect();
    if sizes.len() <= max {
        return groups;
    }
    let mut start = sizes.len() - 1;
    let mut sum = sizes[start];
    while start > 0 {
        let next = sizes[start - 1];
        let first_two = start + 1 == sizes.len();
        if (next > sum.saturating_mul(2) && !first_two) || sum.saturating_add(next) > cap {
            break;
        }
        sum += next;
        start -= 1;
    }
    groups.truncate(start);
    groups.push(start..sizes.len());
    groups
}

/// Groups neighbours up to `cap` each.
pub(crate) fn plan_all(sizes: &[u64], cap: u64) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut sum = 0u64;
    for (index, size) in sizes.iter().enumerate() {
        sum = sum.saturating_add(*size);
        match groups.last_mut() {
            Some(group) if sum <= cap => group.end = index + 1,
            _ => {
                groups.push(index..index + 1);
                sum = *size;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_segments_stay_as_they_are() {
        assert_eq!(plan(&[9, 1, 1], 8, u64::MAX).len(), 3);
        assert_eq!(plan(&[], 8, u64::MAX).len(), 0);
    }

    #[test]
    fn steady_growth_keeps_few_segments_and_rewrites_each_row_a_few_times() {
        let (mut sizes, mut written) = (Vec::new(), 0u64);
        let checkpoints = 4_000;
        for _ in 0..checkpoints {
            sizes.push(1u64);
            let groups = plan(&sizes, 8, u64::MAX);
            written += 1;
            sizes = groups
                .iter()
                .map(|group| {
                    let sum = sizes[group.clone()].iter().sum();
                    written += if group.len() > 1 { sum } else { 0 };
                    sum
                })
                .collect();
            assert!(sizes.len() <= 8);
        }
        assert_eq!(sizes.iter().sum::<u64>(), checkpoints);
        assert!(
            written <= 8 * checkpoints,
            "{written} rows written for {checkpoints}"
        );
    }

    #[test]
    fn a_huge_text_stays_alone_and_what_lies_before_it_becomes_one() {
        let alone = [false, false, true, true, false, false];
        assert_eq!(parts(&alone), [0..2, 2..3, 3..4, 4..6]);
        assert!(parts(&[]).is_empty());
        let full = Compaction::Full.plan_index(&[1; 6], &[1; 6], &alone);
        assert_eq!(full, [0..2, 2..3, 3..4, 4..6]);
        assert_eq!(due_index(&[1; 6], &alone, 8), Some(0..2));
        let alone = [false, true, false, false];
        assert_eq!(due_index(&[1; 4], &alone, 8), None);
        assert_eq!(due_index(&[1; 4], &alone, 1), Some(2..4));
    }

    /// What batches of so many bytes become, and how often a byte is written; the importer keeps house at the end.
    fn import(batches: u64, bytes: u64) -> (Vec<u64>, f64) {
        let (mut sizes, mut written) = (Vec::new(), 0);
        let mut join = |sizes: &mut Vec<u64>, groups: Vec<Range<usize>>| {
            *sizes = groups
                .into_iter()
                .map(|group| {
                    let sum = sizes[group.clone()].iter().sum();
                    written += if group.len() > 1 { sum } else { 0 };
                    sum
                })
                .collect();
        };
        for _ in 0..batches {
            sizes.push(bytes);
            let bulk = Compaction::Inline { max: 8, bulk: true };
            let groups = bulk.plan_data(&sizes);
            join(&mut sizes, groups);
        }
        while let Some(group) = due_data(&sizes, 8) {
            let before = (0..group.start).map(|at| at..at + 1);
            let behind = (group.end..sizes.len()).map(|at| at..at + 1);
            let groups = before.chain([group]).chain(behind).collect();
            join(&mut sizes, groups);
        }
        let all = batches * bytes;
        assert_eq!(sizes.iter().sum::<u64>(), all);
        (sizes, 1.0 + written as f64 / all as f64)
    }

    #[test]
    fn large_batches_of_data_are_written_once_and_small_ones_a_few_times() {
        // 1 GiB of text in batches of 8 MiB.
        assert_eq!(import(128, 3_600_000), (vec![3_600_000; 128], 1.0));
        // A little more is no reason to write all anew.
        assert!(import(140, 3_600_000).1 < 1.4);
        for (batches, bytes) in [(4_000, 3_600_000), (400, 1_100_000), (20_000, 30_000)] {
            let (sizes, times) = import(batches, bytes);
            assert!(times < 4.0, "a byte was written {times} times");
            assert!(sizes.len() < 500, "{} segments", sizes.len());
            assert!(sizes.iter().all(|size| *size <= DATA_CAP_BYTES));
        }
    }

    #[test]
    fn a_checkpoint_joins_little_data_however_many_large_segments_there_are() {
        let inline = Compaction::Inline {
            max: 8,
            bulk: false,
        };
        let mut sizes = vec![3_600_000; 100];
        let (mut written, added) = (0, 2_000);
        for _ in 0..added {
            sizes.push(100_000);
            let groups = inline.plan_data(&sizes);
            let join = |group: &Range<usize>| sizes[group.clone()].iter().sum::<u64>();
            let joins = groups.iter().filter(|group| group.len() > 1);
            written += joins.map(join).sum::<u64>();
            sizes = groups.iter().map(join).collect();
        }
        assert!(written < 4 * added * 100_000, "{written} bytes");
        assert!(sizes.len() < 200, "{} segments", sizes.len());
    }

    #[test]
    fn large_attached_segments_are_no_reason_to_join_small_ones() {
        let mut rows = vec![5_000; 20];
        rows.extend([10; 8]);
        assert_eq!(plan_attached(&rows, 8).len(), 28);
        rows.push(10);
        let groups = plan_attached(&rows, 8);
        assert_eq!((groups.len(), groups.last().cloned()), (21, Some(20..29)));
        rows.push(2_000);
        assert_eq!(plan_attached(&rows, 8).len(), 30);
        assert!(plan_attached(&[], 8).is_empty());
    }

    #[test]
    fn large_segments_are_left_alone() {
        let sizes = [100; 20];
        assert_eq!(plan(&sizes, 8, 100).len(), 20);
        assert_eq!(
            plan_all(&[60, 30, 20, 100, 5], 100),
            [0..2, 2..3, 3..4, 4..5]
        );
        assert_eq!(plan_all(&[1, 2, 3], u64::MAX), vec![0..3; 1]);
    }
}
