//! What a user of the store sees: puts, updates, deletes, commits, snapshots, errors.

mod common;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{note, options, puts};
use mv2_format::{ByteOwner, CommitId, FrameId, SegmentKind, Timestamp};
use mv2_store::storage::{FileIdentity, Fill};
use mv2_store::{
    CheckpointPolicy, CommitOptions, CreateOptions, Error, MemoryVolume, NewFrame, OpenOptions,
    PutStatus, Storage, Store, Volume,
};

fn store() -> (Arc<MemoryVolume>, Store) {
    let volume = Arc::new(MemoryVolume::new());
    let store = Store::create_on(
        volume.clone(),
        Path::new("m"),
        &CreateOptions::default(),
        options(),
    )
    .unwrap();
    (volume, store)
}

fn commit(store: &mut Store) -> Option<mv2_store::Commit> {
    store.commit(CommitOptions::default()).unwrap()
}

#[test]
fn frames_are_found_by_id_and_uri_after_commit_and_reopen() {
    let (volume, mut store) = store();
    let a = store.put(note("a", "first")).unwrap();
    let b = store.put(note("b", "second")).unwrap();
    assert_eq!((a.frame, b.frame), (FrameId(0), FrameId(1)));
    let commit = commit(&mut store).unwrap();
    assert_eq!((commit.id, commit.added), (CommitId(1), 2));
    for store in [
        &store,
        &Store::open_on(volume, Path::new("m"), options(), false).unwrap(),
    ] {
        let snapshot = store.snapshot().unwrap();
        assert_eq!(snapshot.frame(a.frame).unwrap().payload, b"first");
        assert_eq!(snapshot.find_uri("b").unwrap(), Some(b.frame));
        assert_eq!(snapshot.find_uri("c").unwrap(), None);
        assert_eq!(snapshot.commit_id(), CommitId(1));
    }
}

#[test]
fn a_frame_without_time_gets_the_commits() {
    let (_, mut store) = store();
    let timed = NewFrame {
        timestamp: Some(Timestamp::from_secs(5)),
        ..note("timed", "x")
    };
    let timed = store.put(timed).unwrap().frame;
    let timeless = store.put(note("timeless", "x")).unwrap().frame;
    let commit = commit(&mut store).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(
        snapshot.meta(timed).unwrap().timestamp,
        Timestamp::from_secs(5)
    );
    assert_eq!(snapshot.meta(timeless).unwrap().timestamp, commit.time);
}

#[test]
fn a_put_on_a_known_uri_supersedes_or_changes_nothing() {
    let (_, mut store) = store();
    let first = store.put(note("a", "one")).unwrap();
    assert_eq!(first.status, PutStatus::Added);
    commit(&mut store);
    assert_eq!(
        store.put(note("a", "one")).unwrap().status,
        PutStatus::Unchanged
    );
    assert!(commit(&mut store).is_none(), "nothing to commit");
    let second = store.put(note("a", "two")).unwrap();
    assert_eq!(
        (second.status, second.superseded),
        (PutStatus::Superseded, Some(first.frame))
    );
    let titled = NewFrame {
        title: Some("new title".into()),
        ..note("a", "two")
    };
    let third = store.put(titled.clone()).unwrap();
    assert_eq!(
        third.superseded,
        Some(second.frame),
        "within one transaction too"
    );
    assert_eq!(store.put(titled).unwrap().frame, third.frame);
    commit(&mut store);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.find_uri("a").unwrap(), Some(third.frame));
    assert!(matches!(
        snapshot.frame(first.frame),
        Err(Error::Dead { by: Some(by), commit: CommitId(2), .. }) if by == second.frame
    ));
    let stats = snapshot.stats().unwrap();
    assert_eq!((stats.frames, stats.frames_total), (1, 3));
}

#[test]
fn updates_keep_the_uri_and_deletes_hide() {
    let (_, mut store) = store();
    let a = store.put(note("a", "one")).unwrap().frame;
    let b = store.put(note("b", "other")).unwrap().frame;
    commit(&mut store);
    let update = NewFrame {
        uri: None,
        ..note("", "two")
    };
    let a2 = store.update(a, update).unwrap().frame;
    store.delete(b).unwrap();
    assert!(matches!(store.delete(b), Err(Error::Dead { .. })));
    assert!(matches!(
        store.delete(FrameId(99)),
        Err(Error::NoSuchFrame { .. })
    ));
    assert_eq!(
        store.find_uri("b").unwrap(),
        None,
        "the transaction sees its own delete"
    );
    assert_eq!(
        store.snapshot().unwrap().find_uri("b").unwrap(),
        Some(b),
        "a snapshot does not"
    );
    let commit = commit(&mut store).unwrap();
    assert_eq!((commit.superseded, commit.deleted), (1, 1));
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.find_uri("a").unwrap(), Some(a2));
    assert_eq!(snapshot.find_uri("b").unwrap(), None);
    let changes = snapshot.changes(commit.id).unwrap();
    assert_eq!(changes.superseded, [(a, a2)]);
    assert_eq!(changes.deleted, [b]);
    assert_eq!(changes.added, []);
}

#[test]
fn an_update_under_the_uri_of_another_frame_takes_both_places() {
    let (_, mut store) = store();
    let a = store.put(note("a", "one")).unwrap().frame;
    let b = store.put(note("b", "two")).unwrap().frame;
    let merged = store.update(a, note("b", "both")).unwrap().frame;
    commit(&mut store);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.find_uri("b").unwrap(), Some(merged));
    assert_eq!(snapshot.find_uri("a").unwrap(), None);
    assert!(!snapshot.is_visible(a).unwrap() && !snapshot.is_visible(b).unwrap());
}

#[test]
fn what_is_not_committed_is_not_there() {
    let (volume, mut store) = store();
    let pending = store.put(note("a", "x")).unwrap().frame;
    let snapshot = store.snapshot().unwrap();
    assert!(matches!(
        snapshot.frame(pending),
        Err(Error::NotCommitted { .. })
    ));
    store.rollback();
    let again = store.put(note("b", "y")).unwrap().frame;
    assert_eq!(
        again, pending,
        "an id that was rolled back may be given again"
    );
    drop(store);
    let store = Store::open_on(volume, Path::new("m"), options(), true).unwrap();
    assert_eq!(store.snapshot().unwrap().end_frame(), FrameId(0));
}

#[test]
fn two_handles_take_turns_and_see_each_other() {
    let (volume, mut one) = store();
    let mut two = Store::open_on(
        volume,
        Path::new("m"),
        OpenOptions {
            lock_wait: Duration::ZERO,
            ..options()
        },
        true,
    )
    .unwrap();
    one.put(note("a", "1")).unwrap();
    assert!(matches!(two.put(note("b", "2")), Err(Error::Locked { .. })));
    commit(&mut one);
    let b = two.put(note("b", "2")).unwrap().frame;
    assert_eq!(b, FrameId(1));
    commit(&mut two);
    assert_eq!(one.snapshot().unwrap().find_uri("b").unwrap(), Some(b));
}

/// Lets another handle commit in the middle of what this one reads.
#[derive(Clone)]
struct Interrupted {
    inner: Arc<MemoryVolume>,
    reads: Arc<std::sync::atomic::AtomicU64>,
    /// Before this read two commits come in, counted from 1.
    at: u64,
}

struct InterruptedStorage(Arc<dyn Storage>, Interrupted);

impl Volume for Interrupted {
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn Storage>> {
        let inner = self.inner.open(path, writable)?;
        Ok(Arc::new(InterruptedStorage(inner, self.clone())))
    }

    fn create(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        self.inner.create(path, fill)
    }

    fn replace(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        self.inner.replace(path, fill)
    }

    fn clean_up(&self, path: &Path) {
        self.inner.clean_up(path);
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        self.inner.identity(path)
    }
}

impl Storage for InterruptedStorage {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let reads = &self.1.reads;
        if reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 == self.1.at {
            // Nobody can while the reader holds the lock.
            let inner = self.1.inner.clone();
            if inner.open(Path::new("m"), true)?.try_lock()? {
                let mut other = Store::open_on(inner, Path::new("m"), options(), true).unwrap();
                puts(&mut other, 100..102);
            }
        }
        self.0.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn map(&self, offset: u64, len: usize) -> io::Result<Arc<dyn ByteOwner>> {
        self.0.map(offset, len)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.0.identity()
    }
}

/// Commits that came in while the log was searched for damage were taken for damage themselves.
#[test]
fn commits_that_come_in_while_a_file_is_opened_are_no_damage() {
    for at in 1..60 {
        let (volume, mut store) = store();
        puts(&mut store, 0..5);
        let interrupted = Interrupted {
            inner: volume,
            reads: Arc::default(),
            at,
        };
        let opened = Store::open_on(
            Arc::new(interrupted.clone()),
            Path::new("m"),
            options(),
            true,
        );
        let mut late = opened.unwrap();
        late.put(note("late", "x"))
            .unwrap_or_else(|error| panic!("read {at}: {error}"));
        let id = commit(&mut late).unwrap().id;
        assert!([CommitId(6), CommitId(8)].contains(&id), "read {at}: {id}");
        // Opening takes more reads than this, and holds no lock.
        assert!(at > 15 || id == CommitId(8), "read {at}: nobody came in");
    }
}

#[test]
fn a_snapshot_stays_as_it_is() {
    let (_, mut store) = store();
    puts(&mut store, 0..3);
    let before = store.snapshot().unwrap();
    store.delete(FrameId(1)).unwrap();
    commit(&mut store);
    store.optimize().unwrap();
    puts(&mut store, 3..50);
    assert_eq!(before.end_frame(), FrameId(3));
    assert!(before.is_visible(FrameId(1)).unwrap());
    assert_eq!(before.frame(FrameId(1)).unwrap().payload, b"text of note 1");
    assert!(!store.snapshot().unwrap().is_visible(FrameId(1)).unwrap());
}

#[test]
fn checkpoints_change_nothing_that_is_seen() {
    let (volume, mut store) = store();
    puts(&mut store, 0..40);
    for id in [3, 17, 30] {
        store.delete(FrameId(id)).unwrap();
    }
    commit(&mut store);
    let seen = |store: &Store| -> Vec<_> {
        let snapshot = store.snapshot().unwrap();
        let metas = snapshot.metas(FrameId(0)..FrameId(u64::MAX));
        let frames: Vec<_> = metas.map(|meta| meta.unwrap()).collect();
        frames
    };
    let before = seen(&store);
    assert_eq!(before.len(), 37);
    store.checkpoint().unwrap();
    assert_eq!(seen(&store), before);
    let stats = store.snapshot().unwrap().stats().unwrap();
    assert_eq!(stats.tail_frames, 0);
    assert!(stats.dead_bytes < stats.file_bytes);
    store.optimize().unwrap();
    assert_eq!(seen(&store), before);
    let reopened = Store::open_on(volume, Path::new("m"), options(), true).unwrap();
    assert_eq!(seen(&reopened), before);
    let log: Vec<_> = reopened
        .snapshot()
        .unwrap()
        .log()
        .map(|commit| commit.unwrap())
        .collect();
    assert_eq!(log.len(), 41);
    assert!(log.is_sorted_by(|a, b| a.id > b.id && a.time > b.time));
    assert_eq!(log[0].deleted, 3);
}

#[test]
fn few_segments_are_live_after_many_checkpoints() {
    let (_, mut store) = store();
    let policy = CheckpointPolicy {
        tail_frames: 4,
        ..CheckpointPolicy::default()
    };
    let mut options = options();
    options.checkpoint = policy;
    let volume = Arc::new(MemoryVolume::new());
    drop(std::mem::replace(
        &mut store,
        Store::create_on(volume, Path::new("n"), &CreateOptions::default(), options).unwrap(),
    ));
    puts(&mut store, 0..400);
    let snapshot = store.snapshot().unwrap();
    let stats = snapshot.stats().unwrap();
    assert!(
        stats
            .segments
            .iter()
            .all(|(kind, count)| *count <= if kind == "data" { 32 } else { 8 }),
        "{stats:?}"
    );
    let segments = snapshot.segments(SegmentKind::LEX).unwrap();
    let covered: u64 = segments
        .iter()
        .map(|s| s.end_frame.0 - s.first_frame.0)
        .sum();
    assert_eq!(
        covered + snapshot.uncovered(SegmentKind::LEX).unwrap().len() as u64,
        400
    );
    for id in 0..400 {
        let payload = snapshot.payload(FrameId(id)).unwrap();
        assert_eq!(payload, format!("text of note {id}").as_bytes());
    }
}

#[test]
fn an_import_of_many_commits_writes_its_segments_once_and_indexes_at_its_end() {
    let (_, mut store) = store();
    for batch in 0..20 {
        for id in 0..300 {
            let id = batch * 300 + id;
            let text = format!("text of note {id} {:x}", id * 2_654_435_761u64);
            store.put(note(&format!("note-{id}"), &text)).unwrap();
        }
        let bulk = CommitOptions {
            bulk: true,
            ..CommitOptions::default()
        };
        store.commit(bulk).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.uncovered(SegmentKind::LEX).unwrap().len(), 6_000);
    store.checkpoint().unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(snapshot.uncovered(SegmentKind::LEX).unwrap().is_empty());
    let stats = snapshot.stats().unwrap();
    assert_eq!((stats.segments["lex"], stats.segments["data"]), (1, 20));
    // A TOC and a footer for each of the checkpoints, and what it takes to align them.
    assert!(stats.dead_bytes < 21 * 10_240, "{stats:?}");
}

#[test]
fn a_payload_larger_than_the_log_is_a_commit_like_others() {
    let (volume, mut store) = store();
    puts(&mut store, 0..3);
    let large: Vec<u8> = (0..10_000_000u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    let outcome = store
        .put(NewFrame {
            payload: large.clone(),
            ..NewFrame::default()
        })
        .unwrap();
    commit(&mut store).unwrap();
    puts(&mut store, 4..6);
    let store = Store::open_on(volume.clone(), Path::new("m"), options(), true).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(snapshot.payload(outcome.frame).unwrap() == large);
    assert_eq!(snapshot.commit_id(), CommitId(6));
    let report = Store::verify_on(&*volume, Path::new("m"), true).unwrap();
    assert!(report.ok, "{report:?}");
}

#[test]
fn a_payload_is_stored_once_however_often_it_is_put() {
    let (volume, mut store) = store();
    let text: String = (0..20_000).map(|i| format!("{} ", i * i)).collect();
    let first = store.put(note("first", &text)).unwrap();
    let second = store.put(note("second", &text)).unwrap();
    assert_eq!((first.deduplicated, second.deduplicated), (false, true));
    commit(&mut store);
    store.put(note("third", &text)).unwrap();
    store.delete(first.frame).unwrap();
    commit(&mut store);
    store.checkpoint().unwrap();
    let late = store.put(note("late", &text)).unwrap();
    assert!(late.deduplicated);
    commit(&mut store);
    let before = store.snapshot().unwrap().stats().unwrap().file_bytes;
    for copy in 0..50 {
        store.put(note(&format!("copy {copy}"), &text)).unwrap();
    }
    commit(&mut store);
    store.optimize().unwrap();
    let store = Store::open_on(volume.clone(), Path::new("m"), options(), true).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(matches!(
        snapshot.frame(first.frame),
        Err(Error::Dead { .. })
    ));
    for uri in ["second", "third", "late", "copy 0", "copy 49"] {
        let id = snapshot.find_uri(uri).unwrap().unwrap();
        assert_eq!(
            snapshot.frame(id).unwrap().payload,
            text.as_bytes(),
            "{uri}"
        );
        assert_eq!(snapshot.payload(id).unwrap(), text.as_bytes(), "{uri}");
    }
    let live = snapshot.stats().unwrap().live_bytes;
    assert!(live < before + 100_000, "{live} {before}");
    let report = Store::verify_on(&*volume, Path::new("m"), true).unwrap();
    assert!(report.ok, "{report:?}");
}

#[test]
fn time_goes_on_when_the_clock_falls_back() {
    struct Backwards(std::sync::atomic::AtomicI64);
    impl mv2_store::Clock for Backwards {
        fn now(&self) -> Timestamp {
            Timestamp(
                self.0
                    .fetch_sub(1_000, std::sync::atomic::Ordering::Relaxed),
            )
        }
    }
    let mut options = options();
    options.clock = Arc::new(Backwards(1_000_000.into()));
    let volume = Arc::new(MemoryVolume::new());
    let create = CreateOptions::default();
    let mut store = Store::create_on(volume, Path::new("m"), &create, options).unwrap();
    puts(&mut store, 0..3);
    store.checkpoint().unwrap();
    puts(&mut store, 3..5);
    let log: Vec<_> = store
        .snapshot()
        .unwrap()
        .log()
        .map(|c| c.unwrap())
        .collect();
    assert!(log.is_sorted_by(|a, b| a.time > b.time));
    assert!(log.is_sorted_by(|a, b| a.wall < b.wall));
}

#[test]
fn limits_are_errors_before_anything_is_written() {
    let (_, mut store) = store();
    let long = NewFrame {
        uri: Some("u".repeat(20_000)),
        ..NewFrame::default()
    };
    assert!(matches!(store.put(long), Err(Error::Limit(_))));
    store.put(note("a", "x")).unwrap();
    let message = CommitOptions {
        message: Some("m".repeat(70_000)),
        ..CommitOptions::default()
    };
    assert!(matches!(store.commit(message), Err(Error::Limit(_))));
    assert!(
        commit(&mut store).is_some(),
        "the transaction is still there"
    );
}

#[test]
fn a_read_only_handle_answers_writes_with_an_error() {
    let (volume, mut store) = store();
    puts(&mut store, 0..1);
    let mut reader = Store::open_on(volume, Path::new("m"), options(), false).unwrap();
    assert!(matches!(
        reader.put(note("b", "x")),
        Err(Error::ReadOnly { .. })
    ));
    assert!(
        reader
            .snapshot()
            .unwrap()
            .find_uri("note-0")
            .unwrap()
            .is_some()
    );
}

#[test]
fn real_files_are_created_once_and_errors_name_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("real.mv2");
    let create = CreateOptions::default();
    let mut store = Store::create(&path, &create, options()).unwrap();
    puts(&mut store, 0..10);
    store.checkpoint().unwrap();
    let error = Store::create(&path, &create, options()).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }));
    assert!(error.to_string().contains("real.mv2"));
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["real.mv2"], "one file");
    assert!(matches!(
        Store::open(folder.path(), options()),
        Err(Error::NotAFile { .. })
    ));
    let missing = folder.path().join("missing.mv2");
    assert!(matches!(
        Store::open(&missing, options()),
        Err(Error::NotFound { .. })
    ));
    let text = folder.path().join("text.mv2");
    std::fs::write(&text, "not a memory").unwrap();
    assert_eq!(Store::open(&text, options()).unwrap_err().kind(), "not_mv2");
    std::fs::write(&text, "").unwrap();
    assert_eq!(Store::open(&text, options()).unwrap_err().kind(), "not_mv2");
    let bytes = std::fs::read(&path).unwrap();
    for len in (0..bytes.len()).step_by(7_001) {
        std::fs::write(&text, &bytes[..len]).unwrap();
        let error = Store::open(&text, options()).unwrap_err();
        assert!(
            ["not_mv2", "corrupt"].contains(&error.kind()),
            "{len}: {error:?}"
        );
    }
    let report = Store::verify(&path, true).unwrap();
    assert!(report.ok, "{report:?}");
}

#[test]
fn a_replaced_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.mv2"), folder.path().join("b.mv2"));
    let create = CreateOptions::default();
    let mut store = Store::create(&path, &create, options()).unwrap();
    puts(&mut store, 0..2);
    let mut replacement = Store::create(&other, &create, options()).unwrap();
    puts(&mut replacement, 0..5);
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(store.snapshot().unwrap().end_frame(), FrameId(5));
    puts(&mut store, 5..6);
    let reopened = Store::open(&path, options()).unwrap();
    assert_eq!(reopened.snapshot().unwrap().end_frame(), FrameId(6));
}
