//! How a memory file is made and opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mv2_store::{CheckpointPolicy, Clock, CreateOptions, Store};

use crate::error::{Error, Result};
use crate::housekeeping::Housekeeper;
use crate::memory::Memvid;

/// How a memory file is made and opened.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("notes.mv2");
/// use std::time::Duration;
/// use mv2::Memvid;
///
/// let mem = Memvid::builder()
///     .lock_wait(Duration::from_secs(30))
///     .wal_bytes(4 << 20)
///     .create(&path)?;
/// assert_eq!(mem.stats()?.wal_bytes, 4 << 20);
/// # Ok::<(), mv2::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct OpenOptions {
    store: mv2_store::OpenOptions,
    create: CreateOptions,
    background: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            store: mv2_store::OpenOptions::default(),
            create: CreateOptions::default(),
            background: true,
        }
    }
}

/// Set
impl OpenOptions {
    /// The defaults: wait five seconds for the lock, a write-ahead log of 1 MiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a write waits for another writer before it fails with `locked`.
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.store.lock_wait = wait;
        self
    }

    /// Bytes of the write-ahead log of a file that is made or [unsealed](Memvid::unseal), 64 KiB to 64 MiB.
    pub fn wal_bytes(mut self, bytes: u64) -> Self {
        self.create.wal_bytes = bytes;
        self
    }

    /// When commits fold the log into segments.
    pub fn checkpoint(mut self, policy: CheckpointPolicy) -> Self {
        self.store.checkpoint = policy;
        self
    }

    /// Whether a handle for writing joins segments in a thread of its own after commits, which keeps searches fast. On by
    /// default; off it is up to [`Memvid::maintain`]. With a [`lock_wait`](Self::lock_wait) below a second it is off
    /// as well, as the thread takes the write lock for a moment.
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Where commits get their time from, the system's clock by default. Relative dates in a query, such as
    /// `date:yesterday`, refer to it too.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.store.clock = clock;
        self
    }
}

/// Open
impl OpenOptions {
    /// Makes a new file.
    ///
    /// # Errors
    /// `already_exists` if there is something at the path.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<Memvid> {
        let store = Store::create(path.as_ref(), &self.create, self.store_options())?;
        Ok(self.memory(store, self.background))
    }

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `not_found`, `not_a_file`, `not_mv2`, `memvid2`, `unsupported_version`, `corrupt`, ...
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Memvid> {
        let store = Store::open(path.as_ref(), self.store_options())?;
        Ok(self.memory(store, self.background))
    }

    /// Opens a file for reading. Writes on the handle fail with `read_only`.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<Memvid> {
        let store = Store::open_read_only(path.as_ref(), self.store_options())?;
        Ok(self.memory(store, false))
    }

    /// Opens a file for reading and writing, and makes it if there is none. Of two processes that
    /// do so at once, one makes the file and the other opens it.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_or_create(&self, path: impl AsRef<Path>) -> Result<Memvid> {
        let path = path.as_ref();
        match self.open(path) {
            Err(Error::Store(mv2_store::Error::NotFound { .. })) => {}
            result => return result,
        }
        match self.create(path) {
            Err(Error::Store(mv2_store::Error::AlreadyExists { .. })) => self.open(path),
            result => result,
        }
    }

    fn memory(&self, store: Store, background: bool) -> Memvid {
        let housekeeper = Housekeeper::new(store.path(), background.then(|| self.store_options()));
        let clock = Arc::clone(&self.store.clock);
        Memvid::from_store(store, self.create.clone(), clock, housekeeper)
    }

    fn store_options(&self) -> mv2_store::OpenOptions {
        let mut options = self.store.clone();
        options.indexes.push(crate::temporal::factory());
        #[cfg(feature = "lex")]
        options.indexes.push(crate::lexical::factory());
        options
    }
}
