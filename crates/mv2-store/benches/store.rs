//! Hot paths of the store on real files: a small commit, a look for news, a frame by id, opening.
//!
//! `cargo bench -p mv2-store`. A commit's time is that of the disk's sync.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mv2_format::FrameId;
use mv2_store::{CommitOptions, CreateOptions, NewFrame, OpenOptions, Store};

fn note(id: u64) -> NewFrame {
    NewFrame {
        uri: Some(format!("note-{id}")),
        title: Some(format!("Note {id}")),
        is_text: true,
        payload: format!("what happened on day {id}: nothing that was worth a longer note").into(),
        ..NewFrame::default()
    }
}

fn store(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    for frames in [2_000u64, 100_000] {
        let path = folder.path().join(format!("{frames}.mv2"));
        let create = CreateOptions::default();
        let mut store = Store::create(&path, &create, OpenOptions::default()).expect("a file");
        for start in (0..frames).step_by(1_000) {
            for id in start..start + 1_000 {
                store.put(note(id)).expect("a put");
            }
            store.commit(CommitOptions::default()).expect("a commit");
        }
        let mut group = criterion.benchmark_group(format!("{frames} frames"));
        group.bench_function("open", |bencher| {
            bencher.iter(|| Store::open(&path, OpenOptions::default()).expect("opens"));
        });
        group.bench_function("snapshot without news", |bencher| {
            bencher.iter(|| black_box(store.snapshot().expect("a snapshot")));
        });
        let snapshot = store.snapshot().expect("a snapshot");
        let mut id = 0;
        group.bench_function("frame by id", |bencher| {
            bencher.iter(|| {
                id = (id + 7_919) % frames;
                snapshot.frame(FrameId(id)).expect("a frame")
            });
        });
        group.bench_function("frame by uri", |bencher| {
            bencher.iter(|| {
                id = (id + 7_919) % frames;
                snapshot.find_uri(&format!("note-{id}")).expect("a lookup")
            });
        });
        let mut next = frames;
        group.bench_function("commit of one note", |bencher| {
            bencher.iter(|| {
                next += 1;
                store.put(note(next)).expect("a put");
                store.commit(CommitOptions::default()).expect("a commit")
            });
        });
        group.finish();
    }
}

criterion_group!(benches, store);
criterion_main!(benches);
