//! Vacuum, seal, unseal and backup: a file is written anew and says the same as before.

mod common;

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{note, options, puts};
use mv2_format::{ByteOwner, CommitId, FrameId, FrameMeta, FrameSet, SegmentKind};
use mv2_store::storage::{FileIdentity, Fill};
use mv2_store::{
    CheckpointPolicy, Commit, CommitOptions, CreateOptions, Error, FileVolume, OpenOptions,
    Storage, Store, Volume,
};

/// A policy that leaves dead bytes behind quickly.
fn busy() -> OpenOptions {
    OpenOptions {
        checkpoint: CheckpointPolicy {
            tail_frames: 8,
            max_segments: 3,
            ..CheckpointPolicy::default()
        },
        ..options()
    }
}

fn memory(folder: &Path) -> (PathBuf, Store) {
    let path = folder.join("memory.mv2");
    let mut store = Store::create(&path, &CreateOptions::default(), busy()).unwrap();
    puts(&mut store, 0..100);
    for id in [3, 50, 77] {
        store.delete(FrameId(id)).unwrap();
    }
    store.put(note("note-9", "a newer version")).unwrap();
    store.commit(CommitOptions::default()).unwrap();
    (path, store)
}

/// All that a reader can see: frames with payloads, deaths, and the log.
type Seen = (Vec<(FrameMeta, Vec<u8>)>, Vec<FrameId>, Vec<Commit>);

fn seen(store: &Store) -> Seen {
    let snapshot = store.snapshot().unwrap();
    let all = FrameId(0)..FrameId(u64::MAX);
    let frames = snapshot.metas(all.clone()).map(|meta| {
        let meta = meta.unwrap();
        let payload = snapshot.payload(meta.id).unwrap();
        (meta, payload)
    });
    (
        frames.collect(),
        snapshot.dead_in(all, CommitId(0)).unwrap(),
        snapshot.log().map(|commit| commit.unwrap()).collect(),
    )
}

fn sound(path: &Path) {
    let report = Store::verify(path, true).unwrap();
    assert!(report.ok, "{report:?}");
}

#[test]
fn a_vacuum_drops_dead_bytes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = memory(folder.path());
    let other = Store::open(&path, busy()).unwrap();
    let pinned = other.snapshot().unwrap();
    let before = seen(&store);
    let (old_len, new_len) = store.vacuum().unwrap();
    assert!(new_len < old_len, "{old_len} to {new_len}");
    assert_eq!(seen(&store), before);
    assert_eq!(seen(&other), before, "a handle follows to the new file");
    assert_eq!(
        pinned.payload(FrameId(0)).unwrap(),
        b"text of note 0",
        "a snapshot keeps the old one"
    );
    let stats = store.snapshot().unwrap().stats().unwrap();
    assert!(stats.dead_bytes < 8_192, "{stats:?}");
    // The index has one of history beside the one of what is alive.
    let segments: Vec<_> = stats
        .segments
        .iter()
        .map(|(kind, count)| (&kind[..], *count))
        .collect();
    let expected = [
        ("commits", 1),
        ("data", 1),
        ("lex", 1),
        ("lex_history", 1),
        ("tombstones", 1),
    ];
    assert_eq!(segments, expected);
    sound(&path);
    // And on it goes.
    puts(&mut store, 200..230);
    assert_eq!(
        other.snapshot().unwrap().end_frame(),
        store.snapshot().unwrap().end_frame()
    );
    sound(&path);
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 1, "one file");
}

#[test]
fn a_vacuum_keeps_mode_and_follows_symlinks() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = memory(folder.path());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.path().join("link.mv2");
    symlink(&path, &link).unwrap();
    let before = seen(&store);
    drop(store);
    store = Store::open(&link, busy()).unwrap();
    store.vacuum().unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    assert_eq!(seen(&Store::open(&path, busy()).unwrap()), before);
}

#[test]
fn a_file_with_two_names_is_not_replaced_but_can_be_vacuumed_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = memory(folder.path());
    std::fs::hard_link(&path, folder.path().join("second.mv2")).unwrap();
    let error = store.vacuum().unwrap_err();
    assert!(matches!(error, Error::CannotReplace { .. }), "{error:?}");
    let new = folder.path().join("new.mv2");
    store.vacuum_to(&new).unwrap();
    assert_eq!(seen(&Store::open(&new, busy()).unwrap()), seen(&store));
    assert!(matches!(
        store.vacuum_to(&new),
        Err(Error::AlreadyExists { .. })
    ));
    store
        .put(note("after", "the failure left nothing locked"))
        .unwrap();
    store.commit(CommitOptions::default()).unwrap();
}

#[test]
fn what_a_crashed_vacuum_left_is_removed_by_the_next_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (path, store) = memory(folder.path());
    drop(store);
    let left = folder.path().join(".memory.mv2.mv2-vacuum");
    std::fs::write(&left, "half a file").unwrap();
    let mut store = Store::open(&path, busy()).unwrap();
    assert!(left.exists(), "a reader touches nothing");
    puts(&mut store, 300..301);
    assert!(!left.exists());
}

#[test]
fn a_sealed_file_is_small_and_read_only_until_it_is_unsealed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = memory(folder.path());
    let before = seen(&store);
    let (_, len) = store.seal().unwrap();
    assert!(len < 64 << 10, "{len}");
    let mut other = Store::open(&path, busy()).unwrap();
    assert!(other.is_sealed());
    assert_eq!(seen(&other), before);
    for store in [&mut store, &mut other] {
        assert!(matches!(
            store.put(note("x", "x")),
            Err(Error::Sealed { .. })
        ));
        assert!(matches!(store.checkpoint(), Err(Error::Sealed { .. })));
    }
    sound(&path);
    other.unseal(&CreateOptions::default()).unwrap();
    assert_eq!(seen(&other), before);
    puts(&mut store, 300..320);
    assert_eq!(
        other.snapshot().unwrap().find_uri("note-310").unwrap(),
        store.find_uri("note-310").unwrap()
    );
    sound(&path);
}

#[test]
fn a_backup_holds_what_is_committed_while_another_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = memory(folder.path());
    let before = seen(&store);
    store.put(note("pending", "not committed")).unwrap();
    let reader = Store::open_read_only(&path, busy()).unwrap();
    let copy = folder.path().join("copy.mv2");
    reader.backup(&copy).unwrap();
    let mut copied = Store::open(&copy, busy()).unwrap();
    assert_eq!(seen(&copied), before);
    assert!(matches!(
        reader.backup(&copy),
        Err(Error::AlreadyExists { .. })
    ));
    store.commit(CommitOptions::default()).unwrap();
    puts(&mut copied, 400..420);
    sound(&copy);
    sound(&path);
    let missing = folder.path().join("no such folder").join("copy.mv2");
    assert!(matches!(reader.backup(&missing), Err(Error::Io { .. })));
}

#[test]
fn an_open_transaction_stands_against_a_rewrite() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = memory(folder.path());
    store.put(note("pending", "x")).unwrap();
    assert!(matches!(store.vacuum(), Err(Error::InTransaction { .. })));
    let mut other = Store::open(
        &path,
        OpenOptions {
            lock_wait: std::time::Duration::ZERO,
            ..busy()
        },
    )
    .unwrap();
    assert!(matches!(other.seal(), Err(Error::Locked { .. })));
    store.commit(CommitOptions::default()).unwrap();
    other.seal().unwrap();
}

/// A rewrite reads every page that it copies or rebuilds from.
#[test]
fn damage_is_not_carried_into_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = memory(folder.path());
    store.optimize().unwrap();
    let segment = store
        .snapshot()
        .unwrap()
        .segments(SegmentKind::LEX)
        .unwrap()[0]
        .clone();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[segment.bytes.file_offset().0 as usize + 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let store = Store::open(&path, busy()).unwrap();
    let error = store.backup(&folder.path().join("copy.mv2")).unwrap_err();
    assert_eq!(error.kind(), "corrupt", "{error}");
    assert!(!folder.path().join("copy.mv2").exists());
    assert_eq!(
        std::fs::read(&path).unwrap(),
        bytes,
        "the file is as it was"
    );
}

/// The file system of the machine, with room for some writes into replacements.
struct NearlyFull {
    writes_left: AtomicU64,
}

struct Limited {
    real: Arc<dyn Storage>,
    volume: Arc<NearlyFull>,
}

/// Hands out the limit without owning the volume twice.
#[derive(Clone)]
struct NearlyFullVolume(Arc<NearlyFull>);

impl Volume for NearlyFullVolume {
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn Storage>> {
        FileVolume.open(path, writable)
    }

    fn create(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        FileVolume.create(path, &mut |real| fill(&self.limited(real)))
    }

    fn replace(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        FileVolume.replace(path, &mut |real| fill(&self.limited(real)))
    }

    fn clean_up(&self, path: &Path) {
        FileVolume.clean_up(path);
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        FileVolume.identity(path)
    }
}

impl NearlyFullVolume {
    fn limited(&self, real: &Arc<dyn Storage>) -> Arc<dyn Storage> {
        Arc::new(Limited {
            real: Arc::clone(real),
            volume: Arc::clone(&self.0),
        })
    }
}

impl Storage for Limited {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.real.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let left = &self.volume.writes_left;
        let room = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        if room.is_err() {
            // What fits of a write is written.
            self.real.write_at(offset, &bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.real.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.real.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }

    fn map(&self, offset: u64, len: usize) -> io::Result<Arc<dyn ByteOwner>> {
        self.real.map(offset, len)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.real.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.real.unlock()
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.real.identity()
    }
}

/// At whichever write of it the disk is full, a rewrite leaves the file, no other one, and a handle that goes on.
#[test]
fn a_full_disk_stops_a_rewrite_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, store) = memory(folder.path());
    let before = seen(&store);
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    let copy = folder.path().join("copy.mv2");
    type Rewrite<'a> = &'a dyn Fn(&mut Store) -> mv2_store::Result<()>;
    let rewrites: [Rewrite<'_>; 3] = [
        &|store| store.backup(&copy),
        &|store| store.vacuum_to(&copy),
        // The last one succeeds in the end, so it comes last.
        &|store| store.vacuum().map(drop),
    ];
    for rewrite in rewrites {
        let mut full = 0;
        loop {
            let volume = NearlyFullVolume(Arc::new(NearlyFull {
                writes_left: AtomicU64::new(full),
            }));
            let mut store = Store::open_on(Arc::new(volume), &path, busy(), true).unwrap();
            match rewrite(&mut store) {
                Ok(()) => break,
                Err(Error::Io { source, .. }) => {
                    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                }
                Err(error) => panic!("{error:?}"),
            }
            assert_eq!(seen(&store), before);
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            let names = std::fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(names, 1, "full at write {full}");
            full += 1;
        }
        assert!(full > 3, "{full}");
        if copy.exists() {
            assert_eq!(seen(&Store::open(&copy, busy()).unwrap()), before);
            std::fs::remove_file(&copy).unwrap();
        }
    }
    assert_eq!(seen(&Store::open(&path, busy()).unwrap()), before);
    sound(&path);
}

/// The same for a purge: until the new file is whole, the old one is there with all that it says.
#[test]
fn a_full_disk_stops_a_purge_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut store) = memory(folder.path());
    store.put(note("last", "what is in the log")).unwrap();
    store.commit(CommitOptions::default()).unwrap();
    let before = seen(&store);
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    let frames = || -> FrameSet { [9, 50, 101].into_iter().map(FrameId).collect() };
    let mut full = 0;
    loop {
        let volume = NearlyFullVolume(Arc::new(NearlyFull {
            writes_left: AtomicU64::new(full),
        }));
        let mut store = Store::open_on(Arc::new(volume), &path, busy(), true).unwrap();
        match store.purge(|_| Ok::<_, Error>(frames())) {
            Ok(purged) => break assert_eq!(purged.unwrap().frames, 3),
            Err(Error::Io { source, .. }) => {
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            }
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(seen(&store), before);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 1, "full at write {full}");
        full += 1;
    }
    assert!(full > 3, "{full}");
    let after = seen(&Store::open(&path, busy()).unwrap());
    assert_eq!(after.0.len(), before.0.len() - 1, "two of them were dead");
    sound(&path);
}
