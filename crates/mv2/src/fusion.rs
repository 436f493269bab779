//! One list out of two: of words and of vectors.
//!
//! Scores of the two sides are not comparable, so each side is brought to mean 0 and deviation 1 over its own best hits, and
//! every candidate gets its real score on both sides. Ranks alone (reciprocal rank fusion) would not do: they cannot
//! tell that a side is unsure, and lose whenever one is weak.

use mv2_embed::Likeness;
use mv2_format::FrameId;

/// Hits of each side that are looked at.
pub(crate) const DEPTH: usize = 100;

/// Hits of the fused list that are compared with the question more closely.
pub(crate) const SECOND_LOOK: usize = 30;

/// Up to this mean length a closer comparison counts in full, beyond by as much less as texts are longer: something in
/// a long text is alike by chance.
const SHORT_TOKENS: f64 = 64.0;

/// A candidate with its scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) frame: FrameId,
    /// Its score in words, if it has any of them.
    pub(crate) lex: Option<f32>,
    /// Its score as a vector, if it has one.
    pub(crate) vec: Option<f32>,
}

/// Mean and deviation of the scores of a side's best hits.
#[derive(Clone, Copy, Debug)]
struct Scale {
    mean: f64,
    deviation: f64,
    lowest: f64,
}

impl Scale {
    /// `None` for a side without hits.
    fn of(scores: &[f32]) -> Option<Self> {
        let lowest = scores.iter().copied().reduce(f32::min)?;
        let count = scores.len() as f64;
        let mean = scores.iter().map(|score| f64::from(*score)).sum::<f64>() / count;
        let squares = scores
            .iter()
            .map(|score| (f64::from(*score) - mean).powi(2));
        Some(Self {
            mean,
            deviation: (squares.sum::<f64>() / count).sqrt(),
            lowest: f64::from(lowest),
        })
    }

    fn z(self, score: f64) -> f64 {
        // Hits that are all alike say nothing about which is better.
        if self.deviation < 1e-9 {
            return 0.0;
        }
        (score - self.mean) / self.deviation
    }
}

/// Orders candidates by `(1 - weight) z_lex + weight z_vec`, best first, ties by frame id. `lex` and `vec` are the scores of
/// each side's best hits. A candidate without a word of the query scores 0 in words; one without a vector like the last
/// of the best hits.
pub(crate) fn fuse(
    candidates: &[Candidate],
    lex: &[f32],
    vec: &[f32],
    weight: f64,
) -> Vec<(Candidate, f32)> {
    let (lex, vec) = (Scale::of(lex), Scale::of(vec));
    let score = |candidate: &Candidate| {
        let lex = lex.map_or(0.0, |scale| {
            scale.z(f64::from(candidate.lex.unwrap_or(0.0)))
        });
        let vec = vec.map_or(0.0, |scale| {
            scale.z(candidate.vec.map_or(scale.lowest, f64::from))
        });
        ((1.0 - weight) * lex + weight * vec) as f32
    };
    let mut fused: Vec<_> = candidates
        .iter()
        .map(|candidate| (*candidate, score(candidate)))
        .collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.frame.cmp(&b.0.frame)));
    fused
}

/// Orders the first of a fused list anew, by how much each is like the question; what follows keeps its order. `trust` is
/// how far the model knows the question, 0 to 1.
pub(crate) fn look_again(fused: &mut [(Candidate, f32)], likeness: &[Likeness], trust: f64) {
    let count = likeness.len().min(fused.len());
    let (head, rest) = fused.split_at_mut(count);
    let scores: Vec<f32> = head.iter().map(|(_, score)| *score).collect();
    let similarities: Vec<f32> = likeness.iter().map(|like| like.similarity).collect();
    let (Some(scores), Some(scale)) = (Scale::of(&scores), Scale::of(&similarities)) else {
        return;
    };
    let tokens: usize = likeness.iter().map(|like| like.tokens).sum();
    let mean = tokens as f64 / likeness.len() as f64;
    let weight = trust * (SHORT_TOKENS / mean.max(1.0)).min(1.0) * scores.deviation;
    for ((_, score), similarity) in head.iter_mut().zip(similarities) {
        *score += (weight * scale.z(f64::from(similarity))) as f32;
    }
    head.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.frame.cmp(&b.0.frame)));
    // Scores tell the order of the whole list.
    let last = head.last().map_or(f32::INFINITY, |(_, score)| *score);
    for (_, score) in rest {
        *score = score.min(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(frame: u64, lex: Option<f32>, vec: Option<f32>) -> Candidate {
        Candidate {
            frame: FrameId(frame),
            lex,
            vec,
        }
    }

    fn order(fused: &[(Candidate, f32)]) -> Vec<u64> {
        fused
            .iter()
            .map(|(candidate, _)| candidate.frame.0)
            .collect()
    }

    #[test]
    fn each_side_counts_by_its_weight() {
        let candidates = [
            candidate(1, Some(9.0), Some(0.25)),
            candidate(2, Some(5.0), Some(0.5)),
            candidate(3, Some(1.0), Some(0.75)),
        ];
        let (lex, vec) = ([9.0, 5.0, 1.0], [0.75, 0.5, 0.25]);
        assert_eq!(order(&fuse(&candidates, &lex, &vec, 0.0)), [1, 2, 3]);
        assert_eq!(order(&fuse(&candidates, &lex, &vec, 1.0)), [3, 2, 1]);
        let even = fuse(&candidates, &lex, &vec, 0.5);
        assert!(even.iter().all(|(_, score)| score.abs() < 1e-6), "{even:?}");
        assert_eq!(order(&even), [1, 2, 3], "ties by id");
    }

    #[test]
    fn a_side_without_hits_or_without_differences_decides_nothing() {
        let candidates = [
            candidate(1, None, Some(0.2)),
            candidate(2, None, Some(0.8)),
            candidate(3, None, None),
        ];
        assert_eq!(order(&fuse(&candidates, &[], &[0.8, 0.2], 0.35)), [2, 1, 3]);
        assert_eq!(
            order(&fuse(&candidates, &[4.0], &[0.8, 0.2], 0.35)),
            [2, 1, 3]
        );
        assert_eq!(order(&fuse(&candidates[..1], &[], &[0.2], 0.35)), [1]);
        assert!(fuse(&[], &[], &[], 0.35).is_empty());
    }

    #[test]
    fn a_second_look_moves_short_texts_more_than_long_ones() {
        let scores = [1.0, 0.9, 0.1, 0.05];
        let list = || -> Vec<_> {
            (0..4u64)
                .map(|id| (candidate(id, None, None), scores[id as usize]))
                .collect()
        };
        let like = |similarity, tokens| Likeness { similarity, tokens };
        let looked = |tokens, trust| {
            let mut list = list();
            let likeness = [like(0.1, tokens), like(0.7, tokens), like(0.9, tokens)];
            look_again(&mut list, &likeness, trust);
            assert!(list.is_sorted_by(|a, b| a.1 >= b.1), "{list:?}");
            order(&list)
        };
        assert_eq!(looked(20, 1.0), [1, 2, 0, 3]);
        assert_eq!(looked(500, 1.0), [0, 1, 2, 3]);
        assert_eq!(looked(20, 0.0), [0, 1, 2, 3]);
        look_again(&mut [], &[], 1.0);
    }

    #[test]
    fn who_has_no_word_of_the_query_is_below_who_has() {
        let candidates = [
            candidate(1, Some(3.0), Some(0.5)),
            candidate(2, None, Some(0.5)),
        ];
        let fused = fuse(&candidates, &[3.0, 2.0], &[0.5, 0.4], 0.35);
        assert_eq!(order(&fused), [1, 2]);
        assert!(fused[1].1 < fused[0].1);
    }
}
