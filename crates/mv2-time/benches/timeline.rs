//! What a look at a timeline costs: 100,000 frames, a seek and 20 rows.
//!
//! ```text
//! cargo bench -p mv2-time --bench timeline
//! ```

#![allow(missing_docs, clippy::print_stderr)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mv2_format::{Frame, FrameId, FrameMeta, IndexFactory, SegmentBytes, Timestamp};
use mv2_time::{Order, Query, Segment, TimeIndex, Timeline};

const ROWS: u64 = 100_000;
const PAGE: usize = 20;

/// Minutes in disorder: neighbours in time are a thousand frames apart.
fn time(id: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + (id * 7_919 % ROWS) as i64 * 60)
}

fn segment(ids: std::ops::Range<u64>) -> Segment {
    Segment::build(ids.map(|id| (time(id), FrameId(id)))).unwrap()
}

fn benches(criterion: &mut Criterion) {
    let one = [segment(0..ROWS)];
    let mut bytes = TimeIndex::new().builder();
    for id in 0..ROWS {
        let meta = FrameMeta {
            id: FrameId(id),
            timestamp: time(id),
            ..FrameMeta::default()
        };
        let payload = Vec::new();
        bytes.add(&Frame { meta, payload }).unwrap();
    }
    let bytes = bytes.finish().unwrap();
    let per_row = bytes.len() as f64 / ROWS as f64;
    eprintln!("{per_row:.2} bytes a row");
    assert!(per_row < 6.0);

    // Tiers as a store keeps them.
    let ends = [
        0, 60_000, 80_000, 90_000, 95_000, 98_000, 99_500, 99_900, ROWS,
    ];
    let eight: Vec<Segment> = ends
        .windows(2)
        .map(|pair| segment(pair[0]..pair[1]))
        .collect();
    let nobody = |_| Ok(false);
    let middle = Query {
        until: Some(Timestamp::from_secs(
            time(0).as_secs() + ROWS as i64 / 2 * 60,
        )),
        ..Query::default()
    };
    for (name, segments) in [("one segment", &one[..]), ("eight segments", &eight)] {
        let timeline = Timeline::new(segments, FrameId(ROWS), &nobody);
        criterion.bench_function(&format!("{name}: newest {PAGE}"), |bencher| {
            bencher.iter(|| page(&timeline, &Query::default()));
        });
        criterion.bench_function(&format!("{name}: seek and {PAGE}"), |bencher| {
            bencher.iter(|| page(&timeline, black_box(&middle)));
        });
    }
    let rising = [Segment::build((0..ROWS).map(|id| (Timestamp(id as i64), FrameId(id)))).unwrap()];
    let past = Timeline::new(&rising, FrameId(1_000), &nobody);
    criterion.bench_function("as of 1,000 of 100,000: newest 20", |bencher| {
        bencher.iter(|| page(&past, &Query::default()));
    });
    let scattered = Timeline::new(&one, FrameId(1_000), &nobody);
    criterion.bench_function("as of 1,000 of 100,000 in disorder: newest 20", |bencher| {
        bencher.iter(|| page(&scattered, &Query::default()));
    });
    criterion.bench_function("open", |bencher| {
        let bytes = SegmentBytes::from_vec(bytes.clone());
        bencher.iter(|| Segment::open(black_box(bytes.clone())).unwrap());
    });
    criterion.bench_function("build 100,000", |bencher| bencher.iter(|| segment(0..ROWS)));
}

/// A wrong fast answer fails.
fn page(timeline: &Timeline<'_>, query: &Query) {
    let page = timeline.page(query, PAGE, None).unwrap();
    assert_eq!(page.rows.len(), PAGE);
    assert!(query.order == Order::NewestFirst && page.rows.is_sorted_by(|a, b| a > b));
    black_box(page);
}

criterion_group!(group, benches);
criterion_main!(group);
