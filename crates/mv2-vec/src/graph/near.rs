//! Nodes by how near they are, and the nearest so far.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A node with its score, as one number: what is nearer is greater, then what has the lower number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Near(u64);

const SIGN: u32 = 1 << 31;

impl Near {
    pub(super) fn new(score: f32, node: u32) -> Self {
        let bits = score.to_bits();
        // So that floating-point numbers, negative ones too, compare as unsigned ones.
        let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
        Self(u64::from(ordered) << 32 | u64::from(!node))
    }

    pub(super) fn node(self) -> u32 {
        !(self.0 as u32)
    }

    pub(super) fn score(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(if ordered & SIGN == 0 {
            !ordered
        } else {
            ordered & !SIGN
        })
    }
}

/// Keeps the `count` nearest in a heap; the farthest of them if there are so many.
#[inline(always)]
pub(super) fn keep(heap: &mut BinaryHeap<Reverse<Near>>, near: Near, count: usize) -> Option<Near> {
    if heap.len() < count {
        heap.push(Reverse(near));
    } else if let Some(mut farthest) = heap.peek_mut()
        && farthest.0 < near
    {
        *farthest = Reverse(near);
    }
    let farthest = heap.peek().map(|Reverse(farthest)| *farthest);
    farthest.filter(|_| heap.len() == count)
}

#[cfg(test)]
mod tests {
    use super::Near;

    #[test]
    fn nearer_is_greater_and_score_and_node_come_back() {
        let ascending = [f32::MIN, -2.5, -1e-40, 0.0, 1e-40, 0.3, 7.0, f32::INFINITY];
        for pair in ascending.windows(2) {
            assert!(Near::new(pair[0], 0) < Near::new(pair[1], 9), "{pair:?}");
        }
        assert!(Near::new(0.5, 3) > Near::new(0.5, 4));
        for node in [0, 1, 1 << 30, u32::MAX - 1] {
            assert_eq!(Near::new(-0.25, node).node(), node);
        }
        for score in ascending {
            assert_eq!(Near::new(score, 7).score(), score);
        }
    }
}
