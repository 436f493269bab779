//! Damage: a flipped byte is an error or changes nothing, and no bytes at all make a panic.

use std::sync::Arc;

use mv2_format::segment::build_tables;
use mv2_format::{FileOffset, FrameId, SegmentBytes};
use mv2_vec::{
    Exact, FrameSet, Graph, GraphOptions, Metric, Searcher, Segment, SegmentBuilder, Spec,
    VecSearchOptions, View, encode_rows,
};
use proptest::prelude::*;

fn spec(metric: Metric, exact: Exact) -> Spec {
    Spec {
        metric,
        exact,
        ..Spec::new(20).unwrap()
    }
}

fn build(spec: &Spec) -> Vec<u8> {
    let mut builder = SegmentBuilder::new(*spec).unwrap();
    for id in 0..60u64 {
        let vector: Vec<f32> = (0..20)
            .map(|at| ((id * 7 + at * at) % 11) as f32 - 5.0)
            .collect();
        let rows = encode_rows(spec, &[(0..10, &vector), (10..20, &vector)]).unwrap();
        builder.add(FrameId(id * 2), &rows).unwrap();
    }
    // Half of the rows are copies, some of others, so that there are all sections.
    let graph = Graph::Build(GraphOptions {
        ef: Some(8),
        ..GraphOptions::default()
    });
    let graph = if spec.exact == Exact::F32 {
        &Graph::None
    } else {
        &graph
    };
    builder.finish_with(graph).unwrap()
}

/// Opens a segment and uses all of it.
fn exercise(bytes: SegmentBytes) -> mv2_vec::Result<Vec<u64>> {
    let segment = Arc::new(Segment::open(bytes)?);
    let spec = *segment.spec();
    let _ = segment.verify();
    let view = View::new(Arc::clone(&segment), FrameId(90), &[FrameId(4), FrameId(6)])?;
    let searcher = Searcher::new(spec, vec![view])?;
    let query: Vec<f32> = (0..spec.dims).map(|at| (at % 5) as f32 - 1.5).collect();
    let set: FrameSet = (0..40).map(FrameId).collect();
    let mut found = Vec::new();
    let searches = [
        (None, None),
        (Some(&set), None),
        (None, Some(3)),
        (Some(&set), Some(9)),
    ];
    for (filter, ef) in searches {
        let options = VecSearchOptions {
            filter,
            ef,
            ..VecSearchOptions::default()
        };
        for hit in searcher.search(&query, &options)? {
            found.extend([hit.frame.get(), hit.score.to_bits().into(), hit.range.start]);
        }
    }
    for score in searcher.score_frames(&query, &[FrameId(0), FrameId(8)])? {
        found.push(score.map_or(0, f32::to_bits).into());
    }
    found.push(searcher.vectors_of(FrameId(2))?.len() as u64);
    found.push(segment.frames()?.len() as u64);
    let mut builder = SegmentBuilder::new(spec)?;
    builder.add_segment(&segment, &|_| true)?;
    let _ = builder.finish();
    Ok(found)
}

#[test]
fn a_flipped_byte_of_a_stored_segment_is_an_error() {
    let body = build(&spec(Metric::Cosine, Exact::F16));
    let (tables, crc) = build_tables(&body);
    let extent = [&body[..], &tables[..]].concat();
    let open = |bytes: Vec<u8>| {
        SegmentBytes::open(Arc::new(bytes), body.len() as u64, crc, FileOffset(0))
            .map_err(Into::into)
            .and_then(exercise)
    };
    let sound = open(extent.clone()).unwrap();
    for at in (0..extent.len()).step_by(41) {
        let mut bad = extent.clone();
        bad[at] ^= 0x41;
        if let Ok(found) = open(bad) {
            assert_eq!(found, sound, "byte {at}");
        }
    }
}

#[test]
fn bytes_that_no_checksum_covers_do_not_panic() {
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        for exact in [Exact::None, Exact::F16, Exact::F32] {
            let body = build(&spec(metric, exact));
            for at in (0..body.len()).step_by(7).chain(0..200) {
                for flip in [0xff, 0x80, 0x01] {
                    let mut bad = body.clone();
                    bad[at] ^= flip;
                    let _ = exercise(SegmentBytes::from_vec(bad));
                }
            }
        }
    }
}

#[test]
fn verify_sees_what_a_search_would_believe() {
    let body = build(&spec(Metric::Dot, Exact::F16));
    Segment::open(SegmentBytes::from_vec(body.clone()))
        .unwrap()
        .verify()
        .unwrap();
    let mut seen = 0;
    let places: Vec<usize> = (128..body.len()).step_by(13).collect();
    for &at in &places {
        let mut bad = body.clone();
        bad[at] ^= 0xc0;
        let verified = Segment::open(SegmentBytes::from_vec(bad)).and_then(|s| s.verify());
        seen += usize::from(verified.is_err());
    }
    // A byte range may become another one, and a norm another norm.
    assert!(seen * 10 >= places.len() * 9, "{seen} of {}", places.len());
}

#[test]
fn a_segment_that_was_cut_is_an_error() {
    let body = build(&spec(Metric::Cosine, Exact::F32));
    for len in [0, 3, 127, 128, 1000, body.len() - 1] {
        assert!(Segment::open(SegmentBytes::from_vec(body[..len].to_vec())).is_err());
    }
    let longer = [&body[..], &[0]].concat();
    assert!(Segment::open(SegmentBytes::from_vec(longer)).is_err());
}

proptest! {
    #[test]
    fn any_bytes_open_or_not(bytes: Vec<u8>, keep in 0usize..128) {
        let _ = exercise(SegmentBytes::from_vec(bytes.clone()));
        let mut begun = build(&spec(Metric::Cosine, Exact::None))[..keep].to_vec();
        begun.extend(bytes);
        let _ = exercise(SegmentBytes::from_vec(begun));
    }
}
