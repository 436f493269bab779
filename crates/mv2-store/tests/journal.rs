//! The journal: what is noted down comes back, in order, wherever it lies, and nothing else changes by it.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{note, options, puts};
use mv2_format::{CommitId, LineageId};
use mv2_store::{
    CommitOptions, CreateOptions, Error, MemoryVolume, Noted, OpenOptions, Store, Volume,
};

/// Entries with their commits.
type Told = Vec<(u64, Vec<u8>)>;

fn path() -> &'static Path {
    Path::new("m")
}

fn create(volume: &Arc<MemoryVolume>) -> Store {
    let create = CreateOptions::default();
    Store::create_on(volume.clone(), path(), &create, options()).unwrap()
}

fn open(volume: &Arc<MemoryVolume>, path: &str) -> Store {
    Store::open_on(volume.clone(), Path::new(path), options(), true).unwrap()
}

fn text(at: u64) -> Vec<u8> {
    format!("entry {at} {}", "x".repeat(at as usize % 700)).into_bytes()
}

fn all(store: &Store) -> Told {
    let snapshot = store.snapshot().unwrap();
    let range = CommitId(0)..=snapshot.last_commit();
    let noted = snapshot.journal(range).map(|noted| {
        let Noted { commit, entry, .. } = noted.unwrap();
        assert_eq!(commit.lineage, LineageId::BOOKKEEPING);
        (commit.id.0, entry.to_vec())
    });
    noted.collect()
}

fn verify(volume: &Arc<MemoryVolume>, path: &str) {
    let report = Store::verify_on(&**volume, Path::new(path), true).unwrap();
    assert!(report.ok, "{:?}", report.problems);
}

fn bytes(volume: &MemoryVolume, path: &str) -> Vec<u8> {
    let file = volume.open(Path::new(path), false).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// A memory with so many entries, a document before each tenth, and what the entries are.
fn memory(entries: u64) -> (Arc<MemoryVolume>, Store, Told) {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume);
    let mut told = Vec::new();
    for at in 0..entries {
        if at % 10 == 0 {
            puts(&mut store, at..at + 1);
        }
        let commit = store.append_journal(text(at)).unwrap();
        told.push((commit.id.0, text(at)));
    }
    (volume, store, told)
}

#[test]
fn entries_come_back_from_the_log_and_from_segments() {
    let (volume, mut store, told) = memory(1_200);
    assert_eq!(all(&store), told);
    let segments = store.snapshot().unwrap().stats().unwrap().segments["journal"];
    assert!((1..=17).contains(&segments), "{segments} segments");
    store.checkpoint().unwrap();
    assert_eq!(all(&open(&volume, "m")), told);
    verify(&volume, "m");
    // A narrow range, over the edge of segments and log.
    let later = store.append_journal(text(7)).unwrap().id;
    let snapshot = store.snapshot().unwrap();
    let from = told[1_150].0;
    let range = CommitId(from)..=later;
    let found: Vec<_> = snapshot
        .journal(range)
        .map(|noted| noted.unwrap().entry.to_vec())
        .collect();
    let mut expected: Vec<_> = told[1_150..].iter().map(|(_, text)| text.clone()).collect();
    expected.push(text(7));
    assert_eq!(found, expected);
    assert_eq!(snapshot.journal(CommitId(later.0 + 1)..=later).count(), 0);
}

#[test]
fn a_file_that_is_written_anew_keeps_its_journal() {
    let (volume, mut store, told) = memory(300);
    store.backup(Path::new("copy")).unwrap();
    assert_eq!(all(&open(&volume, "copy")), told);
    store.vacuum().unwrap();
    assert_eq!(all(&store), told);
    assert_eq!(
        store.snapshot().unwrap().stats().unwrap().segments["journal"],
        1
    );
    store.seal().unwrap();
    assert_eq!(all(&store), told);
    let refused = store.append_journal(text(1));
    assert!(matches!(refused, Err(Error::Sealed { .. })), "{refused:?}");
    store.unseal(&CreateOptions::default()).unwrap();
    let last = store.append_journal(text(1)).unwrap();
    assert_eq!(all(&store).last(), Some(&(last.id.0, text(1))));
    verify(&volume, "m");
    verify(&volume, "copy");
}

#[test]
fn the_history_of_documents_does_not_know_the_journal() {
    let (volume, mut store, _) = memory(30);
    let other = Arc::new(MemoryVolume::new());
    let mut plain = create(&other);
    puts(&mut plain, 0..1);
    for at in [10, 20] {
        puts(&mut plain, at..at + 1);
    }
    let log = |store: &Store| -> Vec<_> {
        let snapshot = store.snapshot().unwrap();
        let log = snapshot.log().map(|commit| commit.unwrap());
        log.map(|commit| (commit.watermark, commit.added, commit.message))
            .collect()
    };
    assert_eq!(log(&store), log(&plain));
    let stats = store.snapshot().unwrap().stats().unwrap();
    assert_eq!((stats.commits, stats.frames), (3, 3));
    let newest = store.snapshot().unwrap();
    assert_eq!(newest.ancestor(2).unwrap(), Some(CommitId(1)));
    // What follows on a document is a commit of the branch, whose parent is the one before the entries.
    let head = newest.commit_id();
    store.put(note("new", "text")).unwrap();
    let commit = store.commit(CommitOptions::default()).unwrap().unwrap();
    assert_eq!((commit.parent, commit.lineage), (head, LineageId(0)));
    drop(newest);
    verify(&volume, "m");
}

#[test]
fn what_is_open_of_a_snapshot_serves_on_behind_an_entry() {
    let (_, mut store, _) = memory(12);
    let tokens = |store: &Store| {
        let newest = store.snapshot().unwrap();
        [0, 1, newest.commit_id().0].map(|commit| newest.at(CommitId(commit)).unwrap().token())
    };
    let before = tokens(&store);
    assert!(before[0] != before[1] && before[1] != before[2] && before[0] != before[2]);
    store.append_journal(text(1)).unwrap();
    assert_eq!(tokens(&store), before);
    puts(&mut store, 100..101);
    assert!(!before.contains(&store.snapshot().unwrap().token()));
    let before = tokens(&store);
    store.checkpoint().unwrap();
    assert!(!tokens(&store).iter().any(|token| before.contains(token)));
}

#[test]
fn what_was_never_noted_down_takes_no_byte() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume);
    puts(&mut store, 0..300);
    for step in 0..2 {
        if step == 1 {
            store.vacuum().unwrap();
        }
        let segments = store.snapshot().unwrap().stats().unwrap().segments;
        assert!(!segments.contains_key("journal"), "{segments:?}");
        let bytes = bytes(&volume, "m");
        assert!(!bytes.windows(4).any(|four| four == b"MV2J"));
    }
}

#[test]
fn what_cannot_be_noted_down_is_an_error_and_leaves_nothing_open() {
    let (volume, mut store, told) = memory(2);
    let long = store.append_journal(vec![b'x'; (1 << 20) + 1]);
    assert!(matches!(&long, Err(Error::Limit(_))), "{long:?}");
    assert!(!store.in_transaction());
    store.put(note("open", "text")).unwrap();
    let inside = store.append_journal(text(1));
    assert!(
        matches!(inside, Err(Error::InTransaction { .. })),
        "{inside:?}"
    );
    let locked = open(&volume, "m");
    let waits = OpenOptions {
        lock_wait: std::time::Duration::ZERO,
        ..options()
    };
    let mut other = Store::open_on(volume.clone(), path(), waits, true).unwrap();
    let locked_out = other.append_journal(text(1));
    assert!(
        matches!(locked_out, Err(Error::Locked { .. })),
        "{locked_out:?}"
    );
    let mut reader = Store::open_on(volume.clone(), path(), options(), false).unwrap();
    let read_only = reader.append_journal(text(1));
    assert!(
        matches!(read_only, Err(Error::ReadOnly { .. })),
        "{read_only:?}"
    );
    store.rollback();
    drop(locked);
    assert_eq!(all(&store), told);
    // One that the log has no room for goes into a segment at once.
    let longest = store.append_journal(vec![b'x'; 1 << 20]).unwrap();
    assert_eq!(all(&store).last().unwrap().0, longest.id.0);
    verify(&volume, "m");
}

/// A page is read and checked when an entry of it is asked for, so that damage shows how much was read.
#[test]
fn a_narrow_range_reads_what_it_needs() {
    let (volume, mut store, told) = memory(600);
    store.vacuum().unwrap();
    let at = |needle: &[u8]| {
        let bytes = bytes(&volume, "m");
        let found = bytes.windows(needle.len()).rposition(|some| some == needle);
        found.unwrap() as u64
    };
    let damaged = at(b"entry 300 ") + 5;
    let file = volume.open(path(), true).unwrap();
    file.write_at(damaged, b"X").unwrap();
    let store = open(&volume, "m");
    let snapshot = store.snapshot().unwrap();
    let range = |from: usize, to: usize| CommitId(told[from].0)..=CommitId(told[to].0);
    for (from, to) in [(0, 200), (400, 599)] {
        let found = snapshot.journal(range(from, to));
        assert_eq!(found.filter(Result::is_ok).count(), to - from + 1);
    }
    let error = snapshot
        .journal(range(0, 599))
        .find_map(|noted| noted.err());
    assert!(matches!(error, Some(Error::Format { .. })), "{error:?}");
    let report = Store::verify_on(&*volume, path(), true).unwrap();
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.what.contains("journal"))
    );
}
