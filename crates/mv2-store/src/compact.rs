//! Which neighbouring segments a checkpoint rebuilds as one, so that few are live.

use std::ops::Range;

/// Groups neighbours: each range of the result becomes one segment; a range of one stays as it is.
///
/// `sizes` are those of the segments in order, the newest last. With more than `max` of them the newest are
/// collapsed, and older ones as long as they are at most twice as large as what they join: sizes
/// fall geometrically, so each frame is rewritten O(log n) times. A group does not grow beyond `cap`, so that a
/// checkpoint never rewrites what is large already; then there may be more than `max`.
pub(crate) fn plan(sizes: &[u64], max: usize, cap: u64) -> Vec<Range<usize>> {
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
