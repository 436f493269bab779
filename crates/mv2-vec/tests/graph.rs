//! Segments with a graph: the same bytes each time, sound as `verify` sees it, and searches that find
//! nearly all that a scan finds, on clustered vectors and under filters that go with the query.

mod common;

use std::cell::Cell;
use std::sync::Arc;

use common::Chance;
use mv2_format::{FrameId, SegmentBytes};
use mv2_vec::{
    Error, Exact, FrameSet, Graph, GraphOptions, Hit, Metric, Searcher, Segment, SegmentBuilder,
    Spec, VecSearchOptions, View, encode_rows,
};
use proptest::prelude::*;

const DIMS: usize = 32;

/// Vectors around centres.
struct Clusters {
    centres: Vec<Vec<f32>>,
    chance: Chance,
}

impl Clusters {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed | 1);
        let centres = (0..40)
            .map(|_| (0..DIMS).map(|_| chance.normal()).collect())
            .collect();
        Self { centres, chance }
    }

    fn vector(&mut self) -> Vec<f32> {
        let centre = self.chance.below(self.centres.len() as u64) as usize;
        let chance = &mut self.chance;
        let around = |x: &f32| x + chance.normal() * 0.6;
        self.centres[centre].iter().map(around).collect()
    }

    fn vectors(&mut self, count: usize) -> Vec<Vec<f32>> {
        (0..count).map(|_| self.vector()).collect()
    }
}

fn spec(metric: Metric) -> Spec {
    Spec {
        metric,
        ..Spec::new(DIMS as u32).unwrap()
    }
}

/// One frame for each vector.
fn builder(spec: &Spec, vectors: &[Vec<f32>]) -> SegmentBuilder {
    let mut builder = SegmentBuilder::new(*spec).unwrap();
    for (frame, vector) in (0..).zip(vectors) {
        let rows = encode_rows(spec, &[(0..1, vector)]).unwrap();
        builder.add(FrameId(frame), &rows).unwrap();
    }
    builder
}

fn graph() -> Graph<'static> {
    Graph::Build(GraphOptions {
        ef: Some(64),
        ..GraphOptions::default()
    })
}

fn open(bytes: Vec<u8>) -> Arc<Segment> {
    let segment = Segment::open(SegmentBytes::from_vec(bytes)).unwrap();
    segment.verify().unwrap();
    Arc::new(segment)
}

fn searcher(spec: &Spec, vectors: &[Vec<f32>]) -> Searcher {
    let segment = open(builder(spec, vectors).finish_with(&graph()).unwrap());
    assert!(segment.nodes().is_some());
    Searcher::new(*spec, vec![View::all(segment)]).unwrap()
}

fn by_graph() -> VecSearchOptions<'static> {
    VecSearchOptions {
        ef: Some(64),
        ..VecSearchOptions::default()
    }
}

fn exact(options: VecSearchOptions<'_>) -> VecSearchOptions<'_> {
    VecSearchOptions {
        exact: true,
        ..options
    }
}

/// Asks for each vector, checks that scores are those of the frames, and returns what part of the
/// exact hits was found.
fn recall(searcher: &Searcher, asked: &[Vec<f32>], options: VecSearchOptions<'_>) -> f64 {
    let (mut found, mut all) = (0, 0);
    for query in asked {
        let best = searcher.search(query, &exact(options)).unwrap();
        let hits = searcher.search(query, &options).unwrap();
        assert_eq!(hits.len(), best.len());
        let frames: Vec<FrameId> = hits.iter().map(|hit| hit.frame).collect();
        let scores = searcher.score_frames(query, &frames).unwrap();
        for (hit, score) in hits.iter().zip(scores) {
            assert_eq!(Some(hit.score.to_bits()), score.map(f32::to_bits));
        }
        let least = best.last().map_or(0.0, |hit| hit.score);
        found += hits.iter().filter(|hit| hit.score >= least).count();
        all += best.len();
    }
    found as f64 / all as f64
}

#[test]
fn graphs_are_deterministic_and_verify() {
    let spec = spec(Metric::Cosine);
    let mut vectors = Clusters::new(7).vectors(600);
    for copy in (4..600).step_by(5) {
        vectors[copy] = vectors[copy - 1].clone();
    }
    let built = || builder(&spec, &vectors);
    let bytes = built().finish_with(&graph()).unwrap();
    assert!(bytes == built().finish_with(&graph()).unwrap());
    let segment = open(bytes.clone());
    assert_eq!(segment.nodes(), Some(480));
    // What is merged from segments, with and without graphs, is what is built at once.
    let mut merged = SegmentBuilder::new(spec).unwrap();
    merged.add_segment(&segment, &|_| true).unwrap();
    assert!(bytes == merged.finish_with(&graph()).unwrap());
    let mut merged = SegmentBuilder::new(spec).unwrap();
    merged.add_segment(&segment, &|_| true).unwrap();
    assert!(built().finish().unwrap() == merged.finish().unwrap());
}

#[test]
fn a_search_finds_what_a_scan_finds() {
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        for exact in [Exact::None, Exact::F16] {
            let spec = Spec {
                exact,
                ..spec(metric)
            };
            let mut clusters = Clusters::new(11);
            let searcher = searcher(&spec, &clusters.vectors(2_000));
            let found = recall(&searcher, &clusters.vectors(100), by_graph());
            assert!(found >= 0.97, "{metric:?} {exact:?} {found}");
        }
    }
}

#[test]
fn a_graph_is_calibrated_and_left_out_where_a_scan_costs_less() {
    let spec = spec(Metric::Cosine);
    let mut clusters = Clusters::new(3);
    // Of few directions, as embeddings are: 32 are so many that a scan costs less.
    let mut flat = |count| {
        let mut vectors = clusters.vectors(count);
        vectors.iter_mut().for_each(|vector| vector[10..].fill(0.0));
        vectors
    };
    let (vectors, asked) = (flat(10_000), flat(200));
    let wanted = Graph::Build(GraphOptions::default());
    let small = builder(&spec, &vectors[..1_000]);
    let flat = builder(&spec, &vectors[..1_000]).finish().unwrap();
    assert!(small.finish_with(&wanted).unwrap() == flat);
    let large = open(builder(&spec, &vectors).finish_with(&wanted).unwrap());
    let found = large.calibration().unwrap();
    assert!(found.recall >= 0.998, "{found:?}");
    assert!(found.slack < 1.0 && found.visits < 1_000, "{found:?}");
    let searcher = Searcher::new(spec, vec![View::all(large)]).unwrap();
    let found = recall(&searcher, &asked, VecSearchOptions::default());
    assert!(found >= 0.985, "{found}");
}

/// Whoever is asked for by its own vector is found: no node is out of reach, on islands neither.
#[test]
fn every_vector_is_found() {
    for metric in [Metric::Cosine, Metric::L2] {
        let spec = spec(metric);
        let mut clusters = Clusters::new(29);
        let mut vectors = clusters.vectors(4_000);
        // Far from all others and near to each other.
        for island in 1..20 {
            for vector in &mut vectors[island * 50..island * 50 + 40] {
                vector.iter_mut().for_each(|x| *x *= 0.3);
                vector[island] += 10.0;
            }
        }
        let searcher = searcher(&spec, &vectors);
        let options = VecSearchOptions {
            top_k: 1,
            ..by_graph()
        };
        let lost = vectors.iter().filter(|vector| {
            let best = searcher.search(vector, &exact(options)).unwrap();
            searcher.search(vector, &options).unwrap() != best
        });
        assert_eq!(lost.count(), 0, "{metric:?}");
    }
}

#[test]
fn all_that_there_is_can_be_asked_for() {
    let spec = spec(Metric::Cosine);
    let mut clusters = Clusters::new(37);
    let vectors = clusters.vectors(600);
    let searcher = searcher(&spec, &vectors);
    for ef in [None, Some(0), Some(usize::MAX)] {
        let options = VecSearchOptions {
            top_k: usize::MAX,
            ef,
            ..VecSearchOptions::default()
        };
        let hits = searcher.search(&vectors[0], &options).unwrap();
        assert_eq!(hits.len(), 600, "{ef:?}");
    }
}

#[test]
fn a_slack_ends_searches_sooner_and_finds_less() {
    let spec = spec(Metric::Cosine);
    let mut clusters = Clusters::new(31);
    let searcher = searcher(&spec, &clusters.vectors(3_000));
    let asked = clusters.vectors(100);
    let found = [0.0, 0.3, 3.0].map(|slack| {
        let options = VecSearchOptions {
            ef: Some(256),
            slack: Some(slack),
            ..VecSearchOptions::default()
        };
        recall(&searcher, &asked, options)
    });
    assert!(found[0] < found[1] && found[1] <= found[2], "{found:?}");
    assert!(found[1] >= 0.97 && found[2] >= 0.99, "{found:?}");
}

/// Sets of the frames that score best for a vector near the query, or worst for the query itself.
fn correlated(searcher: &Searcher, query: &[f32], percent: usize, near: bool) -> FrameSet {
    let sign = if near { 1.0 } else { -1.0 };
    let asked: Vec<f32> = query.iter().map(|x| x * sign).collect();
    let rows = searcher.visible_rows() as usize;
    let options = exact(VecSearchOptions {
        top_k: rows * percent / 100,
        ..VecSearchOptions::default()
    });
    let hits = searcher.search(&asked, &options).unwrap();
    hits.iter().map(|hit| hit.frame).collect()
}

#[test]
fn filters_that_go_with_the_query_or_against_it_lose_nothing() {
    let spec = spec(Metric::Cosine);
    let mut clusters = Clusters::new(5);
    let searcher = searcher(&spec, &clusters.vectors(6_000));
    for near in [true, false] {
        for percent in [50, 10, 1] {
            for (options, least) in [(VecSearchOptions::default(), 0.99), (by_graph(), 0.95)] {
                let mut found = 0.0;
                for query in clusters.vectors(12) {
                    let filter = correlated(&searcher, &query, percent, near);
                    let options = VecSearchOptions {
                        filter: Some(&filter),
                        ..options
                    };
                    found += recall(&searcher, &[query], options) / 12.0;
                }
                assert!(found >= least, "{percent} % near: {near}, {found}");
            }
        }
    }
}

#[test]
fn dead_and_later_frames_are_stepped_over() {
    let spec = spec(Metric::Cosine);
    let mut clusters = Clusters::new(9);
    let vectors = clusters.vectors(4_000);
    let segment = open(builder(&spec, &vectors).finish_with(&graph()).unwrap());
    let dead: Vec<FrameId> = (0..4_000).filter(|id| id % 3 == 0).map(FrameId).collect();
    let view = View::new(segment, FrameId(2_500), &dead).unwrap();
    let seen = Searcher::new(spec, vec![view]).unwrap();
    for query in clusters.vectors(50) {
        for hit in seen.search(&query, &by_graph()).unwrap() {
            assert!(hit.frame < FrameId(2_500) && hit.frame.get() % 3 != 0);
        }
    }
    assert!(recall(&seen, &clusters.vectors(50), by_graph()) >= 0.97);
}

#[test]
fn copies_neither_hide_others_nor_are_hidden() {
    let spec = spec(Metric::Cosine);
    let mut clusters = Clusters::new(13);
    let mut vectors = clusters.vectors(1_500);
    let copied = vectors[40].clone();
    vectors.extend(std::iter::repeat_n(copied.clone(), 2_500));
    let searcher = searcher(&spec, &vectors);
    let frames = |hits: Vec<Hit>| hits.iter().map(|hit| hit.frame.get()).collect::<Vec<u64>>();
    let found = frames(searcher.search(&copied, &by_graph()).unwrap());
    assert_eq!(
        found,
        [40, 1500, 1501, 1502, 1503, 1504, 1505, 1506, 1507, 1508]
    );
    let late: FrameSet = (3_990..4_000).map(FrameId).collect();
    let options = VecSearchOptions {
        filter: Some(&late),
        ..by_graph()
    };
    let found = frames(searcher.search(&copied, &options).unwrap());
    assert_eq!(found, (3_990..4_000).collect::<Vec<u64>>());
    assert!(recall(&searcher, &clusters.vectors(100), by_graph()) >= 0.97);
}

#[test]
fn frames_of_many_rows_leave_room_for_others() {
    let spec = spec(Metric::Cosine);
    let mut clusters = Clusters::new(17);
    let mut builder = SegmentBuilder::new(spec).unwrap();
    let chance = &mut Chance(21);
    for frame in 0..40 {
        let centre = clusters.vector();
        let near: Vec<Vec<f32>> = (0..100)
            .map(|_| centre.iter().map(|x| x + chance.normal() * 0.1).collect())
            .collect();
        let rows: Vec<_> = (0..)
            .zip(&near)
            .map(|(at, v)| (at..at + 1, &v[..]))
            .collect();
        builder
            .add(FrameId(frame), &encode_rows(&spec, &rows).unwrap())
            .unwrap();
    }
    let segment = open(builder.finish_with(&graph()).unwrap());
    let searcher = Searcher::new(spec, vec![View::all(segment)]).unwrap();
    // 64 candidates are of one or two frames.
    assert!(recall(&searcher, &clusters.vectors(50), by_graph()) >= 0.97);
}

#[test]
fn an_exact_search_knows_no_graph() {
    let spec = spec(Metric::L2);
    let mut clusters = Clusters::new(19);
    let vectors = clusters.vectors(1_000);
    let flat = open(builder(&spec, &vectors).finish().unwrap());
    let flat = Searcher::new(spec, vec![View::all(flat)]).unwrap();
    let searcher = searcher(&spec, &vectors);
    let set: FrameSet = (0..1_000).step_by(3).map(FrameId).collect();
    for query in clusters.vectors(30) {
        for filter in [None, Some(&set)] {
            let options = VecSearchOptions {
                filter,
                ..VecSearchOptions::default()
            };
            let plain = flat.search(&query, &options).unwrap();
            assert_eq!(plain, searcher.search(&query, &exact(options)).unwrap());
            assert_eq!(plain, flat.search(&query, &exact(options)).unwrap());
        }
    }
}

/// Of so many rows one over a sample is tried first, which must neither keep what is of no use nor leave out what is.
#[test]
fn of_many_rows_a_graph_is_built_where_it_pays() {
    for (dims, pays) in [(4, true), (48, false)] {
        let spec = Spec::new(dims).unwrap();
        let mut chance = Chance(77);
        let vectors: Vec<Vec<f32>> = (0..10_000)
            .map(|_| (0..dims).map(|_| chance.normal()).collect())
            .collect();
        let graph = Graph::Build(GraphOptions::default());
        let bytes = builder(&spec, &vectors).finish_with(&graph).unwrap();
        if !pays {
            assert_eq!(bytes, builder(&spec, &vectors).finish().unwrap());
        }
        let segment = Segment::open(SegmentBytes::from_vec(bytes)).unwrap();
        assert_eq!(segment.nodes().is_some(), pays, "{dims} dimensions");
    }
}

#[test]
fn a_cancelled_build_gives_no_segment() {
    let vectors = Clusters::new(23).vectors(20_000);
    let spec = spec(Metric::Cosine);
    // At once, and in the middle, which ends the build: it takes far more than a few questions.
    for patience in [0, 3] {
        let asked = Cell::new(0);
        let cancelled = || {
            asked.set(asked.get() + 1);
            asked.get() > patience
        };
        let graph = Graph::Build(GraphOptions {
            cancelled: &cancelled,
            ..GraphOptions::default()
        });
        let built = builder(&spec, &vectors).finish_with(&graph);
        assert!(matches!(built, Err(Error::Cancelled)));
        assert_eq!(asked.get(), patience + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Few or many dimensions, copies, frames of several rows, zeros: a graph search returns as many
    /// hits as there are to return, each with its score, and verify has nothing to say.
    #[test]
    fn any_vectors_make_a_sound_graph(
        seed in 1u64..,
        dims in 1u32..20,
        frames in 1u64..200,
        top_k in 1usize..30,
        metric in prop_oneof![Just(Metric::Cosine), Just(Metric::Dot), Just(Metric::L2)],
        exact_part in prop_oneof![Just(Exact::None), Just(Exact::F16), Just(Exact::F32)],
    ) {
        let chance = &mut Chance(seed);
        let spec = Spec { metric, exact: exact_part, ..Spec::new(dims).unwrap() };
        let mut builder = SegmentBuilder::new(spec).unwrap();
        for frame in 0..frames {
            let mut vectors: Vec<Vec<f32>> = Vec::new();
            for _ in 0..1 + chance.below(3) {
                // Whole numbers, so that there are copies, multiples and zeros.
                let mut vector: Vec<f32> = (0..dims).map(|_| chance.normal().round()).collect();
                if metric == Metric::Cosine && vector.iter().all(|x| *x == 0.0) {
                    vector[0] = 1.0;
                }
                vectors.push(vector);
            }
            let rows: Vec<_> = (0..).zip(&vectors).map(|(at, v)| (at..at + 1, &v[..])).collect();
            builder.add(FrameId(frame * 3), &encode_rows(&spec, &rows).unwrap()).unwrap();
        }
        let segment = open(builder.finish_with(&graph()).unwrap());
        let dead: Vec<FrameId> = (0..frames).filter(|_| chance.below(4) == 0).map(|f| FrameId(f * 3)).collect();
        let view = View::new(segment, FrameId(chance.below(frames * 3 + 1)), &dead).unwrap();
        let searcher = Searcher::new(spec, vec![view]).unwrap();
        let query: Vec<f32> = (0..dims).map(|_| chance.normal() + 0.01).collect();
        recall(&searcher, &[query], VecSearchOptions { top_k, ..by_graph() });
    }
}
