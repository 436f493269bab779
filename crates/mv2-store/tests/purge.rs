//! Purges: what is taken out is in no state of the past any more, and all else is as it was.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::told::{seen_by_index, store_on};
use common::{indexed, note, options, puts};
use mv2_format::{Attachment, CommitId, FrameId, FrameSet, SegmentKind};
use mv2_store::{
    CommitOptions, CreateOptions, Error, MemoryVolume, NewFrame, Purged, Snapshot, Store,
};
use proptest::prelude::*;

fn set(ids: &[u64]) -> FrameSet {
    ids.iter().copied().map(FrameId).collect()
}

fn purge(store: &mut Store, ids: &[u64]) -> Option<Purged> {
    store.purge(|_| Ok::<_, Error>(set(ids))).unwrap()
}

fn commit(store: &mut Store, message: &str) -> CommitId {
    let options = CommitOptions {
        message: Some(message.to_owned()),
        ..CommitOptions::default()
    };
    store.commit(options).unwrap().unwrap().id
}

fn memory() -> (tempfile::TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.mv2");
    let store = Store::create(&path, &CreateOptions::default(), options()).unwrap();
    (folder, path, store)
}

fn sound(path: &Path) {
    let report = Store::verify(path, true).unwrap();
    assert!(report.ok, "{report:?}");
}

fn has(path: &Path, text: &[u8]) -> bool {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn a_purged_frame_is_gone_from_head_and_past_and_from_the_bytes() {
    let (_folder, path, mut store) = memory();
    store
        .put(note("plan", "the swordfish opens the door"))
        .unwrap();
    let first = commit(&mut store, "swordfish noted");
    store.put(note("plan", "the password was changed")).unwrap();
    let second = commit(&mut store, "swordfish replaced");
    store.put(note("other", "something else")).unwrap();
    let third = commit(&mut store, "another thing");
    assert!(has(&path, b"swordfish"));

    let purged = purge(&mut store, &[0]).unwrap();
    assert_eq!(
        (purged.frames, purged.commit.id),
        (1, CommitId(third.0 + 1))
    );
    assert_eq!(purged.commit.message.as_deref(), Some("purged 1 frame"));
    assert!(!has(&path, b"swordfish"), "payload or message");
    assert!(!has(
        &path,
        &mv2_format::frame::content_hash(b"the swordfish opens the door")
    ));
    let now = store.snapshot().unwrap();
    for snapshot in [now.clone(), now.at(second).unwrap(), now.at(first).unwrap()] {
        let error = snapshot.frame(FrameId(0)).unwrap_err();
        assert!(
            matches!(error, Error::Purged { frame: FrameId(0) }),
            "{error}"
        );
        assert_eq!(error.kind(), "frame_purged");
    }
    assert_eq!(now.at(first).unwrap().find_uri("plan").unwrap(), None);
    assert_eq!(
        now.payload(FrameId(1)).unwrap(),
        b"the password was changed"
    );
    // The older version does not stand for the newer one, and neither gets its message back.
    let messages: Vec<_> = now.log().map(|commit| commit.unwrap().message).collect();
    let expected = [Some("purged 1 frame"), Some("another thing"), None, None];
    assert_eq!(messages, expected.map(|text| text.map(str::to_owned)));
    let stats = now.stats().unwrap();
    assert_eq!((stats.frames, stats.frames_total, stats.purged), (2, 3, 1));
    assert_eq!(stats.payload_bytes, 24 + 14);
    assert_eq!(now.at(first).unwrap().stats().unwrap().frames, 0);
    let purges = now.purges().unwrap();
    assert_eq!(
        (purges.len(), purges[0].commit, purges[0].frames),
        (1, purged.commit.id, 1)
    );
    // What came in its place is new; what it was is told as a number.
    let changes = now.changes(second).unwrap();
    assert_eq!(
        (changes.added, changes.superseded),
        (vec![FrameId(1)], vec![])
    );
    assert_eq!(now.changes(first).unwrap().purged, [FrameId(0)]);
    assert_eq!(
        now.changes_since(first).unwrap().added,
        [FrameId(1), FrameId(2)]
    );
    assert_eq!(now.versions("plan").unwrap().len(), 1);
    sound(&path);

    assert!(purge(&mut store, &[0]).is_none(), "it is purged already");
    assert!(matches!(
        store.update(FrameId(0), note("x", "y")),
        Err(Error::Purged { .. })
    ));
    assert!(matches!(
        store.delete(FrameId(0)),
        Err(Error::Purged { .. })
    ));
    let row = Attachment {
        frame: FrameId(0),
        kind: SegmentKind::VECTORS,
        part: 0,
        bytes: Arc::from(&b"row"[..]),
    };
    assert!(matches!(store.attach(row), Err(Error::Purged { .. })));
    store.rollback();

    // A version that was the newest leaves its uri without one.
    purge(&mut store, &[1]).unwrap();
    assert_eq!(store.snapshot().unwrap().find_uri("plan").unwrap(), None);
    assert!(!has(&path, b"password"));
    store.put(note("plan", "a new plan")).unwrap();
    commit(&mut store, "planned again");
    assert_eq!(
        store.snapshot().unwrap().find_uri("plan").unwrap(),
        Some(FrameId(3))
    );
    store.vacuum().unwrap();
    let stats = store.snapshot().unwrap().stats().unwrap();
    assert_eq!((stats.frames, stats.purged), (2, 2));
    sound(&path);
}

#[test]
fn a_payload_that_others_share_moves_to_the_oldest_of_them() {
    for checkpoint in [false, true] {
        let (_folder, path, mut store) = memory();
        for uri in ["a", "b", "c", "d"] {
            store.put(note(uri, "one text for all of them")).unwrap();
            commit(&mut store, uri);
        }
        if checkpoint {
            store.checkpoint().unwrap();
        }
        store.put(note("e", "one text for all of them")).unwrap();
        commit(&mut store, "e");
        purge(&mut store, &[0, 1]).unwrap();
        let now = store.snapshot().unwrap();
        for id in 2..5 {
            assert_eq!(
                now.payload(FrameId(id)).unwrap(),
                b"one text for all of them"
            );
        }
        let carriers = [2, 3, 4].map(|id| now.meta(FrameId(id)).unwrap().payload_frame);
        assert_eq!(carriers, [None, Some(FrameId(2)), Some(FrameId(2))]);
        sound(&path);
        // The content is found and shared again.
        let outcome = store.put(note("f", "one text for all of them")).unwrap();
        assert!(outcome.deduplicated);
        commit(&mut store, "f");
        purge(&mut store, &[2, 3, 4, 5]).unwrap();
        assert!(!has(&path, b"one text for all"));
        sound(&path);
    }
}

#[test]
fn all_of_a_memory_can_be_purged() {
    let (_folder, path, mut store) = memory();
    puts(&mut store, 0..40);
    store.optimize().unwrap();
    puts(&mut store, 40..43);
    let all: Vec<u64> = (0..43).collect();
    assert_eq!(purge(&mut store, &all).unwrap().frames, 43);
    assert!(!has(&path, b"text of note"));
    assert!(!has(&path, b"note-"));
    let now = store.snapshot().unwrap();
    assert_eq!(now.uncovered(SegmentKind::LEX).unwrap().len(), 0);
    assert_eq!(now.stats().unwrap().frames, 0);
    sound(&path);
    // What comes later is indexed all the same, and joined without a frame before it.
    for start in (100..1_500).step_by(100) {
        for id in start..start + 100 {
            store.put(note(&format!("later-{id}"), "later")).unwrap();
        }
        commit(&mut store, "later");
        store.checkpoint().unwrap();
    }
    store.optimize().unwrap();
    let (alive, history) = indexed(&store);
    assert_eq!((alive, history), ((43..1_443).collect(), vec![]));
    sound(&path);
    // The same in the middle: a whole segment of the index becomes nothing.
    let middle: Vec<u64> = (43..1_000).collect();
    purge(&mut store, &middle).unwrap();
    assert_eq!(indexed(&store).0, (1_000..1_443).collect::<Vec<_>>());
    sound(&path);
}

#[test]
fn a_reader_keeps_the_old_file_and_handles_follow_to_the_new_one() {
    let (folder, path, mut store) = memory();
    puts(&mut store, 0..10);
    let other = Store::open(&path, options()).unwrap();
    let pinned = other.snapshot().unwrap();
    purge(&mut store, &[4]).unwrap();
    assert_eq!(pinned.payload(FrameId(4)).unwrap(), b"text of note 4");
    let now = other.snapshot().unwrap();
    assert!(matches!(now.payload(FrameId(4)), Err(Error::Purged { .. })));
    assert_eq!(now.payload(FrameId(5)).unwrap(), b"text of note 5");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_sealed_file_stays_sealed() {
    let (_folder, path, mut store) = memory();
    puts(&mut store, 0..10);
    store.seal().unwrap();
    purge(&mut store, &[4]).unwrap();
    assert!(store.is_sealed());
    assert!(matches!(
        store.put(note("x", "x")),
        Err(Error::Sealed { .. })
    ));
    let now = store.snapshot().unwrap();
    assert_eq!(now.stats().unwrap().purged, 1);
    assert_eq!(now.stats().unwrap().frames, 9);
    sound(&path);
    store.unseal(&CreateOptions::default()).unwrap();
    puts(&mut store, 10..12);
    sound(&path);
}

#[test]
fn what_cannot_be_purged_is_refused_and_nothing_changes() {
    let (folder, path, mut store) = memory();
    puts(&mut store, 0..3);
    store.put(note("pending", "x")).unwrap();
    let refused = store.purge(|_| Ok::<_, Error>(set(&[1])));
    assert!(matches!(refused, Err(Error::InTransaction { .. })));
    store.rollback();
    let refused = store.purge(|_| Ok::<_, Error>(set(&[1, 3])));
    assert!(matches!(
        refused,
        Err(Error::NoSuchFrame {
            frame: FrameId(3),
            ..
        })
    ));
    let refused = store.purge(|_| {
        Err::<FrameSet, _>(Error::NoSuchFrame {
            frame: FrameId(9),
            end: FrameId(9),
        })
    });
    assert!(refused.is_err());
    std::fs::hard_link(&path, folder.path().join("second.mv2")).unwrap();
    let refused = store.purge(|_| Ok::<_, Error>(set(&[1])));
    assert!(matches!(refused, Err(Error::CannotReplace { .. })));
    let mut reader = Store::open_read_only(&path, options()).unwrap();
    let refused = reader.purge(|_| Ok::<_, Error>(set(&[1])));
    assert!(matches!(refused, Err(Error::ReadOnly { .. })));
    assert_eq!(store.snapshot().unwrap().commit_id(), CommitId(3));
    puts(&mut store, 3..4);
    sound(&path);
}

/// An attachment goes with its frame, whether it is in the log or in a segment.
#[test]
fn what_a_frame_carries_for_an_index_goes_with_it() {
    let (_folder, path, mut store) = memory();
    for id in 0..4u64 {
        if id == 2 {
            store.checkpoint().unwrap();
        }
        store.put(note(&format!("n{id}"), "text")).unwrap();
        store
            .attach(Attachment {
                frame: FrameId(id),
                kind: SegmentKind::VECTORS,
                part: 0,
                bytes: format!("row of {id}").into_bytes().into(),
            })
            .unwrap();
        commit(&mut store, "row");
    }
    purge(&mut store, &[0, 3]).unwrap();
    for id in 0..4 {
        let is_there = has(&path, format!("row of {id}").as_bytes());
        assert_eq!(is_there, id == 1 || id == 2, "{id}");
    }
    let (_, rows) = store
        .snapshot()
        .unwrap()
        .attached(SegmentKind::VECTORS, 0)
        .unwrap();
    assert_eq!(rows.len(), 2);
    sound(&path);
}

/// An index that a build does not know may hold anything of a frame.
#[test]
fn an_unknown_index_over_a_purged_frame_stands_against_the_purge() {
    let (_folder, path, mut store) = memory();
    puts(&mut store, 0..40);
    store.optimize().unwrap();
    puts(&mut store, 40..43);
    drop(store);
    let mut store = Store::open(&path, Default::default()).unwrap();
    let refused = store.purge(|_| Ok::<_, Error>(set(&[7])));
    assert!(matches!(refused, Err(Error::CannotPurge { .. })));
    // Those that it does not cover can go.
    purge(&mut store, &[42]).unwrap();
    sound(&path);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Commit,
    Checkpoint,
    Optimize,
    Vacuum,
    Branch(u8),
    Use(u8),
    Rewind(u8),
    Purge(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..6u8, 0..9u8).prop_map(|(uri, text)| Step::Put(uri, text)),
        2 => (0..6u8).prop_map(Step::Delete),
        6 => Just(Step::Commit),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Optimize),
        1 => Just(Step::Vacuum),
        1 => (0..3u8).prop_map(Step::Branch),
        2 => (0..3u8).prop_map(Step::Use),
        1 => any::<u8>().prop_map(Step::Rewind),
        1 => prop::collection::vec(any::<u8>(), 1..6).prop_map(Step::Purge),
    ];
    prop::collection::vec(step, 1..70)
}

/// The visible frames of a commit, with their payloads.
fn visible(snapshot: &Snapshot) -> BTreeMap<u64, Vec<u8>> {
    let metas = snapshot.metas(FrameId(0)..FrameId(u64::MAX));
    let frames = metas.map(|meta| {
        let id = meta.unwrap().id;
        (id.0, snapshot.payload(id).unwrap())
    });
    frames.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever was committed, on whichever branch, each commit shows what it showed, but for what was purged.
    #[test]
    fn each_commit_shows_what_it_showed_without_what_was_purged(steps in steps()) {
        let volume = Arc::new(MemoryVolume::new());
        let mut store = store_on(Arc::clone(&volume));
        let mut known: BTreeMap<CommitId, BTreeMap<u64, Vec<u8>>> = BTreeMap::new();
        let mut purged: BTreeSet<u64> = BTreeSet::new();
        let name = |branch: &u8| format!("b{branch}");
        for step in &steps {
            let is_new = match step {
                Step::Put(uri, text) => {
                    let frame = NewFrame {
                        uri: (*uri < 5).then(|| format!("u{uri}")),
                        is_text: true,
                        payload: format!("text {text} ").repeat(usize::from(*text)).into_bytes(),
                        ..NewFrame::default()
                    };
                    store.put(frame).unwrap();
                    continue;
                }
                Step::Delete(uri) => {
                    if let Some(id) = store.find_uri(&format!("u{uri}")).unwrap() {
                        store.delete(id).unwrap();
                    }
                    continue;
                }
                Step::Commit => store.commit(CommitOptions { message: Some("m".into()), ..Default::default() }).unwrap().is_some(),
                other => {
                    store.rollback();
                    match other {
                        Step::Checkpoint => store.checkpoint().unwrap(),
                        Step::Optimize => store.optimize().unwrap(),
                        Step::Vacuum => { store.vacuum().unwrap(); }
                        Step::Branch(branch) => {
                            let at = store.snapshot().unwrap().commit_id();
                            let _ = store.create_branch(&name(branch), at);
                        }
                        Step::Use(branch) => { let _ = store.use_branch(Some(&name(branch))); }
                        Step::Rewind(back) => {
                            let now = store.snapshot().unwrap();
                            let log: Vec<_> = now.log().map(|commit| commit.unwrap().id).collect();
                            if let Some(to) = log.get(usize::from(*back) % log.len().max(1)) {
                                store.rewind(*to, None).unwrap();
                            }
                        }
                        Step::Purge(frames) => {
                            let mut every = Vec::new();
                            store.snapshot().unwrap().each_frame(&mut |meta| { every.push(meta.id.0); Ok(()) }).unwrap();
                            if !every.is_empty() {
                                let ids: Vec<u64> = frames.iter().map(|at| every[usize::from(*at) % every.len()]).collect();
                                prop_assert!(purge(&mut store, &ids).is_some());
                                purged.extend(&ids);
                            }
                        }
                        _ => unreachable!(),
                    }
                    true
                }
            };
            let now = store.snapshot().unwrap();
            if is_new {
                known.insert(now.commit_id(), visible(&now));
            }
        }
        store.rollback();
        let reopened = Store::open_on(volume.clone(), Path::new("m"), options(), true).unwrap();
        let now = reopened.snapshot().unwrap();
        for (commit, before) in &known {
            let mut expected = before.clone();
            expected.retain(|id, _| !purged.contains(id));
            let then = now.at(*commit).unwrap();
            prop_assert_eq!(&visible(&then), &expected, "commit {}", commit);
            let ids: Vec<u64> = expected.keys().copied().collect();
            prop_assert_eq!(seen_by_index(&then), ids.clone());
            prop_assert_eq!(then.stats().unwrap().frames, ids.len() as u64);
            for other in known.keys().take(3) {
                then.changes_since(*other).unwrap();
            }
            if commit.0 > 0 {
                then.changes(*commit).unwrap();
            }
            for uri in 0..5 {
                then.versions(&format!("u{uri}")).unwrap();
            }
        }
        let found: BTreeSet<u64> = now.purged().unwrap().frames().map(|id| id.0).collect();
        prop_assert_eq!(&found, &purged);
        let report = Store::verify_on(&*volume, Path::new("m"), true).unwrap();
        prop_assert!(report.ok, "{:?}", report);
    }
}
