//! Searches against plain loops over the stored vectors, however the rows lie in segments.

use std::sync::Arc;

use mv2_format::{FrameId, SegmentBytes};
use mv2_vec::kernel::Kernel;
use mv2_vec::{
    Exact, FrameSet, Hit, Metric, Searcher, Segment, SegmentBuilder, Spec, VecSearchOptions, View,
    encode_rows,
};
use proptest::prelude::*;

/// A small generator: the same numbers on each machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    /// About normal, from -3 to 3.
    fn normal(&mut self) -> f32 {
        let sum: u64 = (0..6).map(|_| self.below(1 << 20)).sum();
        sum as f32 / (1 << 20) as f32 - 3.0
    }
}

type Frame = (FrameId, Vec<Vec<f32>>);

/// Frames of one to three vectors around a few centres, some of them copies of others.
fn frames(chance: &mut Chance, count: u64, dims: usize) -> Vec<Frame> {
    let centres: Vec<Vec<f32>> = (0..5)
        .map(|_| (0..dims).map(|_| chance.normal()).collect())
        .collect();
    let mut frames: Vec<Frame> = Vec::new();
    for id in 0..count {
        let copied = (id > 0 && chance.below(5) == 0).then(|| chance.below(id) as usize);
        let vectors = match copied {
            Some(other) => frames[other].1.clone(),
            None => (0..1 + chance.below(3))
                .map(|_| {
                    let centre = &centres[chance.below(5) as usize];
                    centre.iter().map(|x| x + chance.normal() * 0.3).collect()
                })
                .collect(),
        };
        frames.push((FrameId(id * 3 + id / 7), vectors));
    }
    frames
}

fn encode(spec: &Spec, vectors: &[Vec<f32>]) -> Vec<u8> {
    let rows: Vec<_> = (0u64..)
        .zip(vectors)
        .map(|(at, vector)| (at * 100..at * 100 + 90, &vector[..]))
        .collect();
    encode_rows(spec, &rows).unwrap()
}

fn segment(spec: &Spec, frames: &[Frame]) -> Arc<Segment> {
    let mut builder = SegmentBuilder::new(*spec).unwrap();
    for (frame, vectors) in frames {
        builder.add(*frame, &encode(spec, vectors)).unwrap();
    }
    let bytes = builder.finish().unwrap();
    let segment = Segment::open(SegmentBytes::from_vec(bytes)).unwrap();
    segment.verify().unwrap();
    Arc::new(segment)
}

/// What must be found, in f64 from the vectors that are stored.
fn oracle(
    stored: &Searcher,
    frames: &[Frame],
    query: &[f32],
    wanted: impl Fn(FrameId) -> bool,
) -> Vec<(FrameId, f64)> {
    let spec = stored.spec();
    let unit = match spec.metric {
        Metric::Cosine => query.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt(),
        _ => 1.0,
    };
    let mut found: Vec<(FrameId, f64)> = Vec::new();
    for (frame, _) in frames.iter().filter(|(frame, _)| wanted(*frame)) {
        let score = |vector: &[f32]| -> f64 {
            let pairs = vector.iter().zip(query);
            match spec.metric {
                Metric::L2 => -pairs
                    .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                    .sum::<f64>(),
                _ => pairs
                    .map(|(a, b)| f64::from(*a) * f64::from(*b) / unit)
                    .sum(),
            }
        };
        let vectors = stored.vectors_of(*frame).unwrap();
        let best = vectors
            .iter()
            .map(|(_, v)| score(v))
            .fold(f64::MIN, f64::max);
        found.push((*frame, best));
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found
}

fn bits(hits: &[Hit]) -> Vec<(FrameId, u32, u64)> {
    hits.iter()
        .map(|hit| (hit.frame, hit.score.to_bits(), hit.range.start))
        .collect()
}

fn specs(dims: usize) -> Vec<Spec> {
    let mut specs = Vec::new();
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        for exact in [Exact::None, Exact::F16, Exact::F32] {
            specs.push(Spec {
                metric,
                exact,
                ..Spec::new(dims as u32).unwrap()
            });
        }
    }
    specs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However frames are split over segments, merged, deleted and filtered, the hits are those of
    /// one segment of just the frames that count, bit for bit, on each processor path.
    #[test]
    fn hits_do_not_depend_on_segments(seed in 1u64.., dims in 1usize..70, top_k in 1usize..30) {
        let chance = &mut Chance(seed);
        let all = frames(chance, 120, dims);
        let cutoff = FrameId(chance.below(420));
        let dead: Vec<FrameId> = all.iter().map(|f| f.0).filter(|_| chance.below(6) == 0).collect();
        let set: FrameSet = all.iter().map(|f| f.0).filter(|_| chance.below(3) == 0).collect();
        let query: Vec<f32> = all[chance.below(120) as usize].1[0]
            .iter()
            .map(|x| x + chance.normal() * 0.2)
            .collect();
        let splits: Vec<u64> = all.iter().map(|_| chance.below(4)).collect();
        for spec in specs(dims) {
            let parts: Vec<Arc<Segment>> = (0..4)
                .filter_map(|part| {
                    let mut frames: Vec<Frame> = (0..120)
                        .filter(|at| splits[*at] == part)
                        .map(|at| all[at].clone())
                        .collect();
                    frames.reverse();
                    (!frames.is_empty()).then(|| segment(&spec, &frames))
                })
                .collect();
            let mut merger = SegmentBuilder::new(spec).unwrap();
            for part in &parts {
                merger.add_segment(part, &|frame| !dead.contains(&frame)).unwrap();
            }
            let merged = merger.finish().unwrap();
            let fresh: Vec<Frame> = all.iter().filter(|f| !dead.contains(&f.0)).cloned().collect();
            let mut direct = SegmentBuilder::new(spec).unwrap();
            for (frame, vectors) in &fresh {
                direct.add(*frame, &encode(&spec, vectors)).unwrap();
            }
            prop_assert_eq!(&merged, &direct.finish().unwrap());

            let merged = Arc::new(Segment::open(SegmentBytes::from_vec(merged)).unwrap());
            let seen: Vec<Frame> = fresh.iter().filter(|f| f.0 < cutoff).cloned().collect();
            let split: Vec<View> = parts
                .iter()
                .enumerate()
                .map(|(at, part)| match at % 2 {
                    0 => View::new(Arc::clone(part), cutoff, &dead).unwrap(),
                    _ => {
                        let ids: Vec<FrameId> = seen.iter().map(|frame| frame.0).collect();
                        View::only(Arc::clone(part), &ids).unwrap()
                    }
                })
                .collect();
            let split = Searcher::new(spec, split).unwrap();
            let one = vec![View::new(merged, cutoff, &[]).unwrap()];
            let one = Searcher::new(spec, one).unwrap();
            for filter in [None, Some(&set)] {
                let options = VecSearchOptions { top_k, filter, ..VecSearchOptions::default() };
                let hits = one.search(&query, &options).unwrap();
                for kernel in Kernel::all() {
                    let other = split.clone().with_kernel(kernel).search(&query, &options).unwrap();
                    prop_assert_eq!(bits(&hits), bits(&other));
                }
                let expected = oracle(&one, &seen, &query, |f| filter.is_none_or(|s| s.contains(f)));
                prop_assert_eq!(hits.len(), expected.len().min(top_k));
                let frames: Vec<FrameId> = hits.iter().map(|hit| hit.frame).collect();
                let scores = split.score_frames(&query, &frames).unwrap();
                for (at, hit) in hits.iter().enumerate() {
                    prop_assert_eq!(scores[at].map(f32::to_bits), Some(hit.score.to_bits()));
                    if spec.exact == Exact::None {
                        continue; // The query is rounded to a code there, which f64 does not do.
                    }
                    let (_, score) = expected[at];
                    let near = (score.abs() + 1.0) * dims as f64 * 1e-5;
                    prop_assert!((f64::from(hit.score) - score).abs() < near, "{hit:?} {score}");
                }
            }
        }
    }
}

#[test]
fn frames_that_are_not_visible_have_no_score() {
    let spec = Spec::new(2).unwrap();
    let frames: Vec<Frame> = (0..4)
        .map(|id| (FrameId(id), vec![vec![1.0, id as f32]]))
        .collect();
    let view = View::new(segment(&spec, &frames), FrameId(3), &[FrameId(1)]).unwrap();
    let searcher = Searcher::new(spec, vec![view]).unwrap();
    let asked = [0, 1, 2, 3, 9].map(FrameId);
    let scores = searcher.score_frames(&[1.0, 0.0], &asked).unwrap();
    let there: Vec<bool> = scores.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, false, true, false, false]);
    assert!(searcher.vectors_of(FrameId(1)).unwrap().is_empty());
    assert_eq!(searcher.visible_rows(), 2);
}

#[test]
fn equal_scores_come_in_the_order_of_frames() {
    let spec = Spec::new(2).unwrap();
    let frames: Vec<Frame> = (0..50)
        .map(|id| (FrameId(id), vec![vec![1.0, 1.0]]))
        .collect();
    let views = frames
        .chunks(7)
        .rev()
        .map(|part| View::all(segment(&spec, part)))
        .collect();
    let searcher = Searcher::new(spec, views).unwrap();
    let hits = searcher
        .search(&[3.0, 3.0], &VecSearchOptions::default())
        .unwrap();
    let found: Vec<u64> = hits.iter().map(|hit| hit.frame.get()).collect();
    assert_eq!(found, (0..10).collect::<Vec<u64>>());
}

#[test]
fn what_is_no_query_is_refused() {
    let spec = Spec::new(2).unwrap();
    let searcher = Searcher::new(spec, vec![]).unwrap();
    let refused = |vector: &[f32]| {
        searcher
            .search(vector, &VecSearchOptions::default())
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&[0.0, 0.0]).contains("the query vector is all zeros"));
    assert!(refused(&[f32::NAN, 0.0]).contains("the query vector holds NaN"));
    assert!(refused(&[1.0]).contains("has 1 dimensions, this space has 2"));
    assert!(
        searcher
            .search(&[1.0, 0.0], &VecSearchOptions::default())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn spaces_do_not_mix() {
    let spec = Spec::new(2).unwrap();
    let other = Spec {
        model: [7; 16],
        ..spec
    };
    let part = segment(&other, &[(FrameId(0), vec![vec![1.0, 0.0]])]);
    let error = Searcher::new(spec, vec![View::all(Arc::clone(&part))]).unwrap_err();
    assert!(error.to_string().contains("model is 0707"), "{error}");
    let mut builder = SegmentBuilder::new(spec).unwrap();
    assert!(builder.add_segment(&part, &|_| true).is_err());
}

#[test]
fn a_frame_comes_once() {
    let spec = Spec::new(2).unwrap();
    let mut builder = SegmentBuilder::new(spec).unwrap();
    for _ in 0..2 {
        builder
            .add(FrameId(4), &encode(&spec, &[vec![1.0, 0.0]]))
            .unwrap();
    }
    let error = builder.finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame 4 was added twice to one vector segment"
    );
    let empty = SegmentBuilder::new(spec).unwrap().finish();
    assert!(matches!(empty, Err(mv2_vec::Error::NoRows)));
}

#[test]
fn a_row_of_the_built_in_embedder_costs_272_bytes() {
    let spec = Spec {
        exact: Exact::None,
        ..Spec::new(256).unwrap()
    };
    let chance = &mut Chance(9);
    let frames: Vec<Frame> = (0..1000)
        .map(|id| {
            (
                FrameId(id),
                vec![(0..256).map(|_| chance.normal()).collect()],
            )
        })
        .collect();
    let bytes = segment(&spec, &frames).len_bytes();
    assert!(bytes <= 272 * 1000 + 512, "{bytes}");
}
