//! Files in memory.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mv2_format::ByteOwner;

use super::{FileIdentity, Fill, Storage, Volume};

/// Files in memory, gone with the last clone of the volume.
#[derive(Clone, Debug, Default)]
pub struct MemoryVolume(Arc<Mutex<HashMap<PathBuf, Arc<MemoryFile>>>>);

#[derive(Debug)]
struct MemoryFile {
    number: u64,
    bytes: Mutex<Vec<u8>>,
    locked: AtomicBool,
}

/// A handle, which may hold the lock.
#[derive(Debug)]
struct MemoryStorage {
    file: Arc<MemoryFile>,
    writable: bool,
    holds_lock: AtomicBool,
}

impl MemoryVolume {
    /// An empty volume.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file with these bytes in the place of the one with this name, if there is one.
    pub fn insert(&self, path: &Path, bytes: Vec<u8>) {
        let number = self.next_number();
        lock(&self.0).insert(path.to_owned(), Arc::new(MemoryFile::new(number, bytes)));
    }

    /// A copy of a file's bytes.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        Some(lock(&lock(&self.0).get(path)?.bytes).clone())
    }

    /// A file without a name.
    fn unnamed(&self, fill: Fill<'_>) -> io::Result<Arc<MemoryStorage>> {
        let file = Arc::new(MemoryStorage {
            file: Arc::new(MemoryFile::new(self.next_number(), Vec::new())),
            writable: true,
            holds_lock: AtomicBool::new(false),
        });
        let storage: Arc<dyn Storage> = Arc::clone(&file) as _;
        fill(&storage)?;
        Ok(file)
    }

    fn next_number(&self) -> u64 {
        let files = lock(&self.0);
        files
            .values()
            .map(|file| file.number + 1)
            .max()
            .unwrap_or(1)
    }

    fn file(&self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        let files = lock(&self.0);
        let file = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::clone(file))
    }
}

impl MemoryFile {
    fn new(number: u64, bytes: Vec<u8>) -> Self {
        Self {
            number,
            bytes: Mutex::new(bytes),
            locked: AtomicBool::new(false),
        }
    }
}

impl Volume for MemoryVolume {
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn Storage>> {
        Ok(Arc::new(MemoryStorage {
            file: self.file(path)?,
            writable,
            holds_lock: AtomicBool::new(false),
        }))
    }

    fn create(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        let file = self.unnamed(fill)?;
        let mut files = lock(&self.0);
        if files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.insert(path.to_owned(), Arc::clone(&file.file));
        Ok(file)
    }

    fn replace(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        let file = self.unnamed(fill)?;
        file.try_lock()?;
        lock(&self.0).insert(path.to_owned(), Arc::clone(&file.file));
        Ok(file)
    }

    fn clean_up(&self, _: &Path) {}

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        Ok(FileIdentity {
            device: 0,
            file: self.file(path)?.number,
        })
    }
}

impl Storage for MemoryStorage {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = lock(&self.file.bytes);
        buffer.copy_from_slice(range(&bytes, offset, buffer.len())?);
        Ok(())
    }

    fn write_at(&self, offset: u64, new: &[u8]) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start
            .checked_add(new.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        let mut bytes = lock(&self.file.bytes);
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(new);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.file.bytes).len() as u64)
    }

    fn map(&self, offset: u64, len: usize) -> io::Result<Arc<dyn ByteOwner>> {
        let bytes = lock(&self.file.bytes);
        Ok(Arc::new(range(&bytes, offset, len)?.to_vec()))
    }

    fn try_lock(&self) -> io::Result<bool> {
        let taken = !self.file.locked.swap(true, Ordering::AcqRel);
        if taken {
            self.holds_lock.store(true, Ordering::Release);
        }
        Ok(taken)
    }

    fn unlock(&self) -> io::Result<()> {
        if self.holds_lock.swap(false, Ordering::AcqRel) {
            self.file.locked.store(false, Ordering::Release);
        }
        Ok(())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(FileIdentity {
            device: 0,
            file: self.file.number,
        })
    }
}

impl Drop for MemoryStorage {
    fn drop(&mut self) {
        // The lock of a handle goes with it, as the operating system's does.
        if self.holds_lock.load(Ordering::Acquire) {
            self.file.locked.store(false, Ordering::Release);
        }
    }
}

fn range(bytes: &[u8], offset: u64, len: usize) -> io::Result<&[u8]> {
    usize::try_from(offset)
        .ok()
        .and_then(|start| bytes.get(start..start.checked_add(len)?))
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
