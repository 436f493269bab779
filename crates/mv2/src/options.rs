//! How a memory file is made and opened.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "vec")]
use mv2_embed::Embedder;
use mv2_format::refs::MAIN;
use mv2_store::{CheckpointPolicy, Clock, CreateOptions, RefKind, Store};

#[cfg(feature = "vec")]
use crate::embedder::{Choice, Embedders};
#[cfg(feature = "vec")]
use crate::embedding::{Embedding, VectorOptions};
use crate::error::{Error, Result};
use crate::housekeeping::Housekeeper;
use crate::indexes::Indexes;
use crate::journal::Journal;
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
#[derive(Clone)]
#[must_use]
pub struct OpenOptions {
    store: mv2_store::OpenOptions,
    create: CreateOptions,
    background: bool,
    branch: Option<String>,
    journal: bool,
    #[cfg(feature = "vec")]
    embedder: Choice,
    #[cfg(feature = "vec")]
    vectors: VectorOptions,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            store: mv2_store::OpenOptions::default(),
            create: CreateOptions::default(),
            background: true,
            branch: None,
            journal: false,
            #[cfg(feature = "vec")]
            embedder: Choice::default(),
            #[cfg(feature = "vec")]
            vectors: VectorOptions::default(),
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

    /// The branch that the handle reads and writes, as by [`Memvid::use_branch`]. By default it is the one that is checked out in the
    /// file. Opening fails with `no_such_branch` if there is none of this name.
    pub fn branch(mut self, name: impl Into<String>) -> Self {
        self.branch = Some(name.into());
        self
    }

    /// Whether [`Memvid::search`] and [`Memvid::context`] note down each search in the file, with what it found, so that it can be
    /// [replayed](Memvid::replay). Off by default. Searches of a [`Snapshot`](crate::Snapshot) are never noted down.
    ///
    /// Each takes a write then: the lock, a sync, and about 200 bytes and 40 more for each hit.
    pub fn journal(mut self, journal: bool) -> Self {
        self.journal = journal;
        self
    }

    /// Where commits get their time from, the system's clock by default. Relative dates in a query, such as
    /// `date:yesterday`, refer to it too.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.store.clock = clock;
        self
    }
}

/// Set, for vectors
#[cfg(feature = "vec")]
impl OpenOptions {
    /// What turns texts into vectors. By default it is the model that made the memory's vectors, if this build has it, or the
    /// built-in one, in builds with the feature `static`. The memory remembers which one it was, and refuses another until
    /// [`Memvid::reembed`] is called.
    pub fn embedder(mut self, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder = Choice::Given(embedder);
        self
    }

    /// No embedder: documents get vectors by [`Memvid::put_with_embedding`] only, and texts are searched by their words.
    pub fn no_embedder(mut self) -> Self {
        self.embedder = Choice::None;
        self
    }

    /// How near two vectors are, in a memory that gets its first vector by [`Memvid::put_with_embedding`]: by cosine by
    /// default.
    pub fn vector_metric(mut self, metric: mv2_vec::Metric) -> Self {
        self.vectors.metric = metric;
        self
    }

    /// What is kept of such vectors beside their 8-bit codes: 16 bits a number by default.
    pub fn vector_exact(mut self, exact: mv2_vec::Exact) -> Self {
        self.vectors.exact = exact;
        self
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("OpenOptions");
        out.field("store", &self.store)
            .field("create", &self.create)
            .field("background", &self.background)
            .field("branch", &self.branch)
            .field("journal", &self.journal);
        #[cfg(feature = "vec")]
        out.field("embedder", &self.embedder);
        out.finish_non_exhaustive()
    }
}

/// Open
impl OpenOptions {
    /// Makes a new file.
    ///
    /// # Errors
    /// `already_exists` if there is something at the path; `no_such_branch` for another branch than `main`.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<Memvid> {
        if let Some(name) = self.branch.as_ref().filter(|name| *name != MAIN) {
            return Err(Error::Store(mv2_store::Error::NoSuchRef {
                kind: RefKind::Branch,
                name: name.clone(),
                known: vec![MAIN.to_owned()],
            }));
        }
        let store = Store::create(path.as_ref(), &self.create, self.store_options())?;
        self.memory(store, true)
    }

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `not_found`, `not_a_file`, `not_mv2`, `memvid2`, `unsupported_version`, `corrupt`, ...
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Memvid> {
        let store = Store::open(path.as_ref(), self.store_options())?;
        self.memory(store, true)
    }

    /// Opens a file for reading. Writes on the handle fail with `read_only`.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<Memvid> {
        let store = Store::open_read_only(path.as_ref(), self.store_options())?;
        self.memory(store, false)
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

    fn memory(&self, mut store: Store, writable: bool) -> Result<Memvid> {
        store.use_branch(self.branch.as_deref())?;
        let options = || writable.then(|| self.store_options());
        let housekeeper = Housekeeper::new(store.path(), options().filter(|_| self.background));
        let journal = self.journal.then(|| Journal::new(store.path(), options()));
        let clock = Arc::clone(&self.store.clock);
        #[cfg(feature = "vec")]
        let embedders = Arc::new(Embedders::new(self.embedder.clone()));
        let indexes = Indexes {
            temporal: crate::temporal::Temporal::new(store.path(), clock),
            #[cfg(feature = "lex")]
            lexical: crate::lexical::Lexical::new(store.path()),
            #[cfg(feature = "vec")]
            vectors: crate::vectors::Vectors::new(store.path()),
            #[cfg(feature = "vec")]
            embedders: Arc::clone(&embedders),
        };
        Ok(Memvid::from_store(
            store,
            self.create.clone(),
            indexes,
            housekeeper,
            journal,
            #[cfg(feature = "vec")]
            Embedding::new(embedders, self.vectors),
        ))
    }

    fn store_options(&self) -> mv2_store::OpenOptions {
        let mut options = self.store.clone();
        options.indexes.push(crate::temporal::factory());
        #[cfg(feature = "lex")]
        options.indexes.push(crate::lexical::factory());
        #[cfg(feature = "vec")]
        options.attached.push(crate::vectors::index());
        options
    }
}
