//! The past of a linear history: at each commit the store reads as it did when that was the newest.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use common::told::{seen_by_index, store, told};
use common::{note, options};
use mv2_format::index::Effort;
use mv2_format::{CommitId, FrameId, Timestamp};
use mv2_store::testing::CountingVolume;
use mv2_store::{CommitOptions, CreateOptions, Error, MemoryVolume, Snapshot, Store};

/// The visible frames change by what [`Snapshot::changes_since`] says; documents keep their uris on the way.
fn compare_changes(newest: &Snapshot) {
    let last = newest.commit_id().0;
    let visible = |snapshot: &Snapshot| -> BTreeSet<FrameId> {
        let metas = snapshot.metas(FrameId(0)..snapshot.end_frame());
        metas.map(|meta| meta.unwrap().id).collect()
    };
    for from in (0..=last).step_by(5) {
        for to in (from..=last).step_by(7) {
            let (from, to) = (newest.at(CommitId(from)), newest.at(CommitId(to)));
            let (from, to) = (from.unwrap(), to.unwrap());
            let changes = to.changes_since(from.commit_id()).unwrap();
            let mut frames = visible(&from);
            for (old, new) in &changes.superseded {
                assert!(frames.remove(old));
                assert_eq!(from.meta(*old).unwrap().uri, to.meta(*new).unwrap().uri);
                frames.insert(*new);
            }
            assert!(changes.deleted.iter().all(|id| frames.remove(id)));
            assert!(changes.added.iter().all(|id| frames.insert(*id)));
            assert_eq!(frames, visible(&to));
        }
    }
    for uri in (0..7).map(|n| format!("u{n}")) {
        let versions = newest.versions(&uri).unwrap();
        for commit in 0..=last {
            let past = newest.at(CommitId(commit)).unwrap();
            let then = versions.iter().find(|version| {
                let over = version.end.is_some_and(|(end, _)| end.0 <= commit);
                version.commit.0 <= commit && !over
            });
            let found = past.find_uri(&uri).unwrap();
            assert_eq!(found, then.map(|version| version.frame));
        }
    }
}

#[test]
fn each_commit_reads_as_it_did_when_it_was_the_newest() {
    let mut store = store();
    let mut then = vec![told(&store.snapshot().unwrap())];
    for round in 0..60u64 {
        for n in 0..=round % 3 {
            let uri = format!("u{}", (round + n * 3) % 7);
            let text = format!("text {round}.{n}, {}", "more ".repeat(n as usize));
            store.put(note(&uri, &text)).unwrap();
        }
        if round % 5 == 2 {
            let found = store.find_uri(&format!("u{}", (round + 5) % 7)).unwrap();
            if let Some(frame) = found.filter(|id| *id < store.snapshot().unwrap().end_frame()) {
                store.delete(frame).unwrap();
            }
        }
        if round % 6 == 1 {
            let value = (round % 4 != 3).then(|| round.to_le_bytes().to_vec());
            store.set_property("p", value).unwrap();
        }
        let message = (round % 4 == 0).then(|| format!("round {round}"));
        let options = CommitOptions {
            message,
            bulk: round % 10 > 7,
        };
        store.commit(options).unwrap().unwrap();
        then.push(told(&store.snapshot().unwrap()));
        match round {
            20 => store.optimize().unwrap(),
            30 => drop(store.vacuum().unwrap()),
            45 => while store.maintain(Effort::Thorough, &|| false).unwrap() {},
            _ => {}
        }
        if round % 13 == 0 || round == 59 {
            let newest = store.snapshot().unwrap();
            compare_changes(&newest);
            for (id, told_then) in then.iter().enumerate() {
                let past = newest.at(CommitId(id as u64)).unwrap();
                assert_eq!(&told(&past), told_then, "commit {id} after round {round}");
                let visible: Vec<u64> = past
                    .metas(FrameId(0)..past.end_frame())
                    .map(|meta| meta.unwrap().id.0)
                    .collect();
                assert_eq!(seen_by_index(&past), visible, "commit {id}");
            }
        }
    }
    let stats = store.snapshot().unwrap().stats().unwrap();
    assert!(
        stats.segments.contains_key("lex_history"),
        "the test is about those too: {stats:?}"
    );
}

#[test]
fn a_commit_is_found_by_its_time_and_by_how_far_back_it_is() {
    let mut store = store();
    for round in 0..300u64 {
        store.put(note("u", &format!("{round}"))).unwrap();
        store.commit(CommitOptions::default()).unwrap();
    }
    let newest = store.snapshot().unwrap();
    let log: Vec<_> = newest.log().map(Result::unwrap).collect();
    assert_eq!(log.len(), 300);
    for from in [0, 1, 2, 17, 200, 299, 300] {
        let snapshot = newest.at(CommitId(from)).unwrap();
        for back in 0..=from {
            let found = snapshot.ancestor(back).unwrap();
            assert_eq!(found, Some(CommitId(from - back)));
        }
        assert_eq!(snapshot.ancestor(from + 1).unwrap(), None);
        assert_eq!(snapshot.ancestor(u64::MAX).unwrap(), None);
        for commit in &log {
            for off in [-1, 0, 1] {
                let time = Timestamp(commit.time.0 + off);
                let mut upto = log.iter().filter(|commit| commit.id.0 <= from);
                let expected = upto.find(|commit| commit.time <= time);
                let expected = expected.map_or(CommitId(0), |commit| commit.id);
                assert_eq!(snapshot.commit_at(time).unwrap(), expected);
            }
        }
        assert_eq!(snapshot.commit_at(Timestamp(i64::MIN)).unwrap().0, 0);
        assert_eq!(snapshot.commit_at(Timestamp(i64::MAX)).unwrap().0, from);
    }
}

#[test]
fn snapshots_of_one_file_have_tokens_of_their_own() {
    let mut store = store();
    common::puts(&mut store, 0..20);
    let newest = store.snapshot().unwrap();
    let mut tokens: Vec<_> = (0..=20)
        .map(|id| newest.at(CommitId(id)).unwrap().token())
        .collect();
    assert_eq!(tokens.last(), Some(&newest.token()));
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 21);
}

#[test]
fn a_pending_frame_is_not_committed_at_head_and_not_there_in_the_past() {
    let mut store = store();
    common::puts(&mut store, 0..3);
    let pending = store.put(note("new", "not committed")).unwrap().frame;
    let newest = store.snapshot().unwrap();
    let found = newest.meta(pending);
    assert!(
        matches!(found, Err(Error::NotCommitted { .. })),
        "{found:?}"
    );
    let past = store.snapshot_at(CommitId(1)).unwrap();
    for id in [FrameId(1), pending] {
        let found = past.meta(id);
        assert!(matches!(found, Err(Error::NoSuchFrame { .. })), "{found:?}");
    }
}

/// Reads of maps are not counted here; `src/past.rs` counts the rows.
#[test]
fn opening_the_past_reads_nothing_of_the_file_but_rows_of_the_log() {
    let volume = CountingVolume::new(Arc::new(MemoryVolume::new()));
    let (path, create) = (Path::new("m"), CreateOptions::default());
    let shared = Arc::new(volume.clone());
    let mut store = Store::create_on(shared, path, &create, options()).unwrap();
    common::puts(&mut store, 0..1_000);
    let newest = store.snapshot().unwrap();
    volume.take();
    for id in 0..1_000 {
        let past = newest.at(CommitId(id)).unwrap();
        assert_eq!(past.end_frame(), FrameId(id));
    }
    let counts = volume.take();
    assert_eq!((counts.reads, counts.writes), (0, 0));
}
