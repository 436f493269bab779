//! Volumes for tests: one that counts, and one that lies and crashes.
//!
//! They are part of the crate because the crates above test with them too.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mv2_format::ByteOwner;

use crate::storage::{FileIdentity, Fill, MemoryVolume, Storage, Volume};

/// What went through a [`CountingVolume`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Positioned reads.
    pub reads: u64,
    /// Bytes of positioned reads; maps are not counted.
    pub read_bytes: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Syncs.
    pub syncs: u64,
}

#[derive(Debug, Default)]
struct Counters {
    reads: AtomicU64,
    read_bytes: AtomicU64,
    writes: AtomicU64,
    written_bytes: AtomicU64,
    syncs: AtomicU64,
}

/// Counts what goes through to another volume.
#[derive(Clone)]
pub struct CountingVolume {
    inner: Arc<dyn Volume>,
    counters: Arc<Counters>,
}

impl CountingVolume {
    /// Counts what goes to `inner`.
    pub fn new(inner: Arc<dyn Volume>) -> Self {
        Self {
            inner,
            counters: Arc::default(),
        }
    }

    /// What went through since the last call.
    pub fn take(&self) -> Counts {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Counts {
            reads: take(&self.counters.reads),
            read_bytes: take(&self.counters.read_bytes),
            writes: take(&self.counters.writes),
            written_bytes: take(&self.counters.written_bytes),
            syncs: take(&self.counters.syncs),
        }
    }

    fn wrap(&self, inner: Arc<dyn Storage>) -> Arc<dyn Storage> {
        Arc::new(CountingStorage {
            inner,
            counters: Arc::clone(&self.counters),
        })
    }
}

impl Volume for CountingVolume {
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn Storage>> {
        Ok(self.wrap(self.inner.open(path, writable)?))
    }

    fn create(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        let fill = &mut |storage: &Arc<dyn Storage>| fill(&self.wrap(Arc::clone(storage)));
        Ok(self.wrap(self.inner.create(path, fill)?))
    }

    fn replace(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        let fill = &mut |storage: &Arc<dyn Storage>| fill(&self.wrap(Arc::clone(storage)));
        Ok(self.wrap(self.inner.replace(path, fill)?))
    }

    fn clean_up(&self, path: &Path) {
        self.inner.clean_up(path);
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        self.inner.identity(path)
    }
}

struct CountingStorage {
    inner: Arc<dyn Storage>,
    counters: Arc<Counters>,
}

impl Storage for CountingStorage {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        let len = buffer.len() as u64;
        self.counters.read_bytes.fetch_add(len, Ordering::Relaxed);
        self.inner.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.counters.writes.fetch_add(1, Ordering::Relaxed);
        let len = bytes.len() as u64;
        self.counters
            .written_bytes
            .fetch_add(len, Ordering::Relaxed);
        self.inner.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn map(&self, offset: u64, len: usize) -> io::Result<Arc<dyn ByteOwner>> {
        self.inner.map(offset, len)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.inner.identity()
    }
}

/// Bytes that a disk writes as a whole: less than a page, so that a write of a page can be torn.
pub const SECTOR_BYTES: usize = 512;

/// A volume with one file that separates what was written from what is durable, can fail and stop at any
/// operation, and tells what the disk may hold after a power failure.
#[derive(Clone, Default)]
pub struct FaultyVolume(Arc<Mutex<Disk>>);

/// What goes wrong. Operations are writes and syncs, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The process is killed before this operation: it and all later ones fail.
    Kill(u64),
    /// This sync fails, and what it should have made durable never becomes so unless it is written again, as
    /// Linux does. Later operations work.
    FailSync(u64),
    /// From this operation on the disk is full: writes beyond the length of the file fail.
    Full(u64),
}

#[derive(Default)]
struct Disk {
    path: Option<PathBuf>,
    /// What processes see.
    live: Vec<u8>,
    /// What certainly survives a power failure.
    durable: Vec<u8>,
    /// Writes since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
    operations: u64,
    fault: Fault,
    locked: bool,
}

impl FaultyVolume {
    /// A volume without a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what goes wrong, and counts operations anew. A kill ends: another process takes over, on what was
    /// written so far.
    pub fn set_fault(&self, fault: Fault) {
        let mut disk = self.disk();
        disk.fault = fault;
        disk.operations = 0;
        disk.locked = false;
    }

    /// Writes and syncs since the last [`set_fault`](Self::set_fault).
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// What processes see.
    pub fn live(&self) -> Vec<u8> {
        self.disk().live.clone()
    }

    /// What the disk may hold if the power fails now: the writes since the last sync are there in any combination, and
    /// each of them in any part, in units of [`SECTOR_BYTES`]. Not all combinations, but all simple ones and `random` of the others.
    pub fn images(&self, random: u32) -> Vec<Vec<u8>> {
        let disk = self.disk();
        let count = disk.pending.len();
        let mut images = BTreeSet::new();
        let whole = |keep: &dyn Fn(usize) -> bool| disk.image(&|write, _| keep(write));
        images.insert(whole(&|_| false));
        images.insert(whole(&|_| true));
        for chosen in 0..count {
            images.insert(whole(&|write| write < chosen));
            images.insert(whole(&|write| write == chosen));
            images.insert(whole(&|write| write != chosen));
            images.insert(disk.image(&|write, sector| write != chosen || sector == 0));
            images.insert(disk.image(&|write, sector| write != chosen || sector != 0));
            images.insert(
                disk.image(&|write, sector| write < chosen || write == chosen && sector < 2),
            );
            // Only the end of one write, as if its first sector or page had gone to the disk last.
            for first in [1, 8] {
                images.insert(disk.image(&|write, sector| write == chosen && sector >= first));
            }
        }
        for seed in 0..random {
            images.insert(disk.image(&|write, sector| coin(seed, write, sector)));
        }
        images.into_iter().collect()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same for the same arguments, and otherwise like a thrown coin (splitmix64).
fn coin(seed: u32, write: usize, sector: usize) -> bool {
    let mut x = u64::from(seed) << 40 ^ (write as u64) << 20 ^ sector as u64;
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) & 1 == 1
}

impl Disk {
    /// The durable bytes with those sectors of pending writes that `keep(write, sector)` chooses.
    fn image(&self, keep: &dyn Fn(usize, usize) -> bool) -> Vec<u8> {
        let mut image = self.durable.clone();
        for (write, (offset, bytes)) in self.pending.iter().enumerate() {
            for (sector, piece) in sectors(*offset, bytes) {
                if keep(write, sector) {
                    put(&mut image, offset + piece.start, &bytes[piece]);
                }
            }
        }
        image
    }

    /// Counts an operation; fails if the process is dead.
    fn operate(&mut self) -> io::Result<u64> {
        self.operations += 1;
        match self.fault {
            Fault::Kill(at) if self.operations >= at => Err(io::Error::other("killed by the test")),
            _ => Ok(self.operations),
        }
    }
}

/// The pieces of a write that lie in one sector of the disk each.
fn sectors(offset: usize, bytes: &[u8]) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let end = (offset + start + 1).next_multiple_of(SECTOR_BYTES) - offset;
        pieces.push((pieces.len(), start..end.min(bytes.len())));
        start = end;
    }
    pieces
}

fn put(target: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[offset..end].copy_from_slice(bytes);
}

impl Volume for FaultyVolume {
    fn open(&self, path: &Path, _: bool) -> io::Result<Arc<dyn Storage>> {
        if self.disk().path.as_deref() != Some(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Arc::new(FaultyStorage {
            volume: self.clone(),
            holds_lock: AtomicBool::new(false),
        }))
    }

    fn create(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        if self.disk().path.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let contents = MemoryVolume::new();
        contents.create(path, fill)?;
        {
            let mut disk = self.disk();
            disk.path = Some(path.to_owned());
            disk.live = contents.bytes(path).unwrap_or_default();
            disk.durable = disk.live.clone();
        }
        self.open(path, true)
    }

    fn replace(&self, _: &Path, _: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        // A volume with one file has no room for another.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn clean_up(&self, _: &Path) {}

    fn identity(&self, _: &Path) -> io::Result<FileIdentity> {
        Ok(FileIdentity { device: 0, file: 1 })
    }
}

struct FaultyStorage {
    volume: FaultyVolume,
    holds_lock: AtomicBool,
}

impl Storage for FaultyStorage {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let disk = self.volume.disk();
        let start = offset as usize;
        let bytes = disk.live.get(start..start.saturating_add(buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.volume.disk();
        let operation = disk.operate()?;
        let grows = offset as usize + bytes.len() > disk.live.len();
        if grows && matches!(disk.fault, Fault::Full(from) if operation >= from) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        put(&mut disk.live, offset as usize, bytes);
        disk.pending.push((offset as usize, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.volume.disk();
        let operation = disk.operate()?;
        if disk.fault == Fault::FailSync(operation) {
            disk.pending.clear();
            return Err(io::Error::other("sync failed by the test"));
        }
        disk.durable = disk.image(&|_, _| true);
        disk.pending.clear();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.volume.disk().live.len() as u64)
    }

    fn map(&self, offset: u64, len: usize) -> io::Result<Arc<dyn ByteOwner>> {
        let mut bytes = vec![0; len];
        self.read_at(offset, &mut bytes)?;
        Ok(Arc::new(bytes))
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut disk = self.volume.disk();
        let free = !disk.locked;
        if free {
            disk.locked = true;
            self.holds_lock.store(true, Ordering::Release);
        }
        Ok(free)
    }

    fn unlock(&self) -> io::Result<()> {
        if self.holds_lock.swap(false, Ordering::AcqRel) {
            self.volume.disk().locked = false;
        }
        Ok(())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.volume.identity(Path::new(""))
    }
}

impl Drop for FaultyStorage {
    fn drop(&mut self) {
        // The lock of a handle goes with it.
        if self.holds_lock.load(Ordering::Acquire) {
            self.volume.disk().locked = false;
        }
    }
}
