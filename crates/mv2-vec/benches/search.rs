//! What a scan costs, against one of f32 with the same hits; what opening and encoding cost.
//!
//! ```text
//! cargo bench -p mv2-vec --bench search
//! ```

#![allow(missing_docs, clippy::print_stderr)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::sync::Arc;

use common::Chance;
use criterion::{Criterion, criterion_group, criterion_main};
use mv2_format::{FrameId, SegmentBytes};
use mv2_vec::kernel::{Code, Kernel};
use mv2_vec::{
    FrameSet, Searcher, Segment, SegmentBuilder, Spec, VecSearchOptions, View, encode_rows,
};

const DIMS: usize = 384;

/// Clustered vectors of unit norm; uniform ones would be like nothing that is embedded.
fn vectors(count: usize) -> Vec<Vec<f32>> {
    let chance = &mut Chance(88_172_645_463_325_252);
    let centres: Vec<Vec<f32>> = (0..count / 50 + 1)
        .map(|_| (0..DIMS).map(|_| chance.normal()).collect())
        .collect();
    (0..count)
        .map(|_| {
            let centre = &centres[chance.below(centres.len() as u64) as usize];
            let vector: Vec<f32> = centre.iter().map(|x| x + chance.normal()).collect();
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vector.iter().map(|x| x / norm).collect()
        })
        .collect()
}

fn segment(spec: &Spec, vectors: &[Vec<f32>]) -> Vec<u8> {
    let mut builder = SegmentBuilder::new(*spec).unwrap();
    for (id, vector) in (0u64..).zip(vectors) {
        let rows = encode_rows(spec, &[(0..10, vector)]).unwrap();
        builder.add(FrameId(id), &rows).unwrap();
    }
    builder.finish().unwrap()
}

/// The ten best by a plain scan of f32.
fn scan_f32(kernel: Kernel, query: &[f32], all: &[u8]) -> Vec<(f32, u64)> {
    let mut best: Vec<(f32, u64)> = Vec::new();
    for (id, row) in (0..).zip(all.chunks_exact(DIMS * 4)) {
        let score = kernel.dot_f32(query, row);
        if best.len() < 10 || score > best[9].0 {
            let at = best.partition_point(|other| other.0 >= score);
            best.insert(at, (score, id));
            best.truncate(10);
        }
    }
    best
}

fn benches(criterion: &mut Criterion) {
    let spec = Spec::new(DIMS as u32).unwrap();
    let kernel = Kernel::best();
    eprintln!("kernel: {}", kernel.name());
    for count in [1_000, 16_000, 100_000] {
        let vectors = vectors(count + 64);
        let (queries, stored) = vectors.split_at(64);
        let bytes = segment(&spec, stored);
        eprintln!(
            "{count}: {:.1} bytes a row",
            bytes.len() as f64 / count as f64
        );
        let bytes = SegmentBytes::from_vec(bytes);
        criterion.bench_function(&format!("{count}: open"), |bencher| {
            bencher.iter(|| Segment::open(black_box(bytes.clone())).unwrap());
        });
        let all: Vec<u8> = stored
            .iter()
            .flatten()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        let view = View::all(Arc::new(Segment::open(bytes).unwrap()));
        let searcher = Searcher::new(spec, vec![view]).unwrap();
        let options = VecSearchOptions::default();
        let mut same = 0;
        for query in queries {
            let hits = searcher.search(query, &options).unwrap();
            let frames: Vec<u64> = hits.iter().map(|hit| hit.frame.get()).collect();
            let best = scan_f32(kernel, query, &all);
            same += best.iter().filter(|(_, id)| frames.contains(id)).count();
        }
        // What f16 keeps may swap the tenth and the eleventh.
        assert!(same >= 64 * 10 - 5, "{same}");
        let mut next = 0;
        criterion.bench_function(&format!("{count}: ten best"), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % queries.len();
                searcher.search(&queries[next], &options).unwrap()
            });
        });
        criterion.bench_function(&format!("{count}: ten best by f32"), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % queries.len();
                scan_f32(kernel, &queries[next], &all)
            });
        });
        for percent in [50, 10, 1] {
            let filter: FrameSet = (0..count as u64)
                .filter(|id| id % 100 < percent)
                .map(FrameId)
                .collect();
            let options = VecSearchOptions {
                filter: Some(&filter),
                ..options
            };
            criterion.bench_function(&format!("{count}: ten best of {percent} %"), |bencher| {
                bencher.iter(|| {
                    next = (next + 1) % queries.len();
                    searcher.search(&queries[next], &options).unwrap()
                });
            });
        }
    }
    let vectors = vectors(512);
    let code = vec![3u8; DIMS * 512];
    let mut out = vec![0; 512];
    for kernel in Kernel::all() {
        criterion.bench_function(&format!("512 dots of int8, {}", kernel.name()), |bencher| {
            bencher.iter(|| kernel.dots(Code::new(&code[..DIMS]), black_box(&code), &mut out));
        });
        let row: Vec<u8> = vectors[0].iter().flat_map(|x| x.to_le_bytes()).collect();
        criterion.bench_function(&format!("a dot of f32, {}", kernel.name()), |bencher| {
            bencher.iter(|| kernel.dot_f32(black_box(&vectors[1]), &row));
        });
    }
    criterion.bench_function("encode a row", |bencher| {
        bencher.iter(|| encode_rows(&spec, &[(0..10, black_box(&vectors[0]))]).unwrap());
    });
}

criterion_group!(group, benches);
criterion_main!(group);
