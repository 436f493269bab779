//! What commits and opening cost, counted in syncs and bytes, never timed.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{note, options};
use mv2_format::FrameId;
use mv2_store::testing::CountingVolume;
use mv2_store::{CommitOptions, CreateOptions, MemoryVolume, NewFrame, OpenOptions, Store};

/// A memory of so many frames, with an empty tail.
fn memory(frames: u64) -> CountingVolume {
    let volume = CountingVolume::new(Arc::new(MemoryVolume::new()));
    let mut store = Store::create_on(
        Arc::new(volume.clone()),
        Path::new("m"),
        &CreateOptions::default(),
        options(),
    )
    .unwrap();
    let mut put = 0;
    while put < frames {
        for id in put..(put + 10_000).min(frames) {
            store
                .put(NewFrame {
                    uri: Some(format!("u{id}")),
                    ..note("", "some short text")
                })
                .unwrap();
        }
        put += 10_000;
        store.commit(CommitOptions::default()).unwrap();
    }
    store.optimize().unwrap();
    volume.take();
    volume
}

fn open(volume: &CountingVolume) -> Store {
    let volume = Arc::new(volume.clone());
    Store::open_on(volume, Path::new("m"), options(), true).unwrap()
}

fn commit_one(store: &mut Store, id: u64) {
    store
        .put(note(&format!("small {id}"), "a small document"))
        .unwrap();
    store.commit(CommitOptions::default()).unwrap();
}

#[test]
fn a_small_commit_is_one_sync_and_one_page_at_any_size() {
    small_commits(10);
    small_commits(100_000);
}

/// `cargo test --release -p mv2-store --test cost -- --ignored`
#[test]
#[ignore = "ten seconds in a release build"]
fn a_small_commit_is_one_sync_and_one_page_behind_a_million_frames() {
    small_commits(1_000_000);
}

fn small_commits(frames: u64) {
    let volume = memory(frames);
    // The first of a session, right behind another handle's checkpoint.
    let mut first = open(&volume);
    commit_one(&mut first, 0);
    let counts = volume.take();
    assert_eq!(
        (counts.syncs, counts.written_bytes),
        (1, 4_096),
        "{frames} frames"
    );
    // Later ones.
    for id in 1..20 {
        commit_one(&mut first, id);
        let counts = volume.take();
        assert_eq!(
            (counts.syncs, counts.written_bytes),
            (1, 4_096),
            "{frames} frames"
        );
    }
    // The first of another session.
    let mut second = open(&volume);
    commit_one(&mut second, 20);
    let counts = volume.take();
    assert_eq!(
        (counts.syncs, counts.written_bytes),
        (1, 8_192),
        "{frames} frames"
    );
    // Taking turns, each rewrites the other's.
    commit_one(&mut first, 21);
    let counts = volume.take();
    assert_eq!(
        (counts.syncs, counts.written_bytes),
        (1, 8_192),
        "{frames} frames"
    );
}

#[test]
fn an_entry_of_the_journal_is_one_sync_and_one_page() {
    let volume = memory(10_000);
    let mut store = open(&volume);
    for _ in 0..20 {
        store.append_journal(vec![b'x'; 3_000]).unwrap();
        let counts = volume.take();
        assert_eq!((counts.syncs, counts.written_bytes), (1, 4_096));
    }
    // As a commit does, the first of another handle makes sure of the one before it.
    let mut other = open(&volume);
    other.append_journal(vec![b'x'; 3_000]).unwrap();
    let counts = volume.take();
    assert_eq!((counts.syncs, counts.written_bytes), (1, 8_192));
}

#[test]
fn a_thousand_commits_take_little_more_than_a_thousand_syncs() {
    let volume = memory(10);
    let mut store = open(&volume);
    for id in 0..1_000 {
        commit_one(&mut store, id);
    }
    let counts = volume.take();
    assert!(counts.syncs <= 1_020, "{counts:?}");
}

#[test]
fn opening_and_reading_write_nothing_and_read_the_same_at_any_size() {
    for frames in [1_000, 100_000] {
        let volume = memory(frames);
        let store = open(&volume);
        let snapshot = store.snapshot().unwrap();
        assert_eq!(snapshot.find_uri("u7").unwrap(), Some(FrameId(7)));
        let counts = volume.take();
        assert_eq!((counts.writes, counts.syncs), (0, 0));
        // Header, root pages and TOC, and the log once.
        assert!(
            counts.reads <= 32 && counts.read_bytes <= (1 << 20) + (128 << 10),
            "{counts:?}"
        );
        store.snapshot().unwrap();
        let again = volume.take();
        assert!(
            again.reads <= 6 && again.read_bytes <= 32 << 10,
            "{again:?}"
        );
    }
}

#[test]
fn a_rolled_back_transaction_writes_nothing() {
    let volume = memory(10);
    let mut store = open(&volume);
    store.put(note("a", "x")).unwrap();
    store.rollback();
    store.put(note("u3", "some short text")).unwrap();
    store.commit(CommitOptions::default()).unwrap();
    assert_eq!(volume.take().writes, 0, "nothing changed, nothing written");
}

#[test]
fn an_import_writes_its_data_once() {
    let volume = CountingVolume::new(Arc::new(MemoryVolume::new()));
    let open = OpenOptions::default();
    let create = CreateOptions::default();
    let mut store =
        Store::create_on(Arc::new(volume.clone()), Path::new("m"), &create, open).unwrap();
    volume.take();
    let text: Vec<u8> = (0..2_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for (id, part) in text.chunks(2_000).enumerate() {
        let frame = NewFrame {
            uri: Some(id.to_string()),
            payload: part.to_vec(),
            ..NewFrame::default()
        };
        store.put(frame).unwrap();
    }
    store.commit(CommitOptions::default()).unwrap();
    let counts = volume.take();
    assert_eq!(counts.syncs, 2);
    assert!(counts.written_bytes < 2_200_000, "{counts:?}");
}
