//! A memory file: opening it, and transactions. `docs/format.md`, section "Commit".

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mv2_format::header::{Header, Version, WAL_OFFSET};
use mv2_format::segment::PAGE_BYTES;
use mv2_format::{Attachment, CommitId, FileOffset, FrameId, Generation};

use crate::build::BULK_INDEX_BYTES;
use crate::checkpoint;
use crate::error::{Error, Result};
use crate::file::{MemoryFile, open_error};
use crate::recent::Recent;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::storage::{FileVolume, Volume};
use crate::transaction::Transaction;
use crate::types::{
    Commit, CommitOptions, CreateOptions, MAX_WAL_BYTES, MIN_WAL_BYTES, NewFrame, OpenOptions,
    PutOutcome, VerifyReport,
};
use crate::{lock, recovery, verify};

/// A memory file, open.
///
/// Reads go through [`snapshot`](Self::snapshot) and take no lock. The first change of a batch takes the write
/// lock, which [`commit`](Self::commit), [`rollback`](Self::rollback) or dropping the store gives back;
/// an idle store holds nothing.
///
/// ```
/// use mv2_store::{CommitOptions, CreateOptions, NewFrame, OpenOptions, Store};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("notes.mv2");
/// let mut store = Store::create(&path, &CreateOptions::default(), OpenOptions::default())?;
/// let note = NewFrame { uri: Some("a".into()), is_text: true, payload: b"hello".to_vec(), ..Default::default() };
/// let outcome = store.put(note)?;
/// store.commit(CommitOptions::default())?;
/// assert_eq!(store.snapshot()?.frame(outcome.frame)?.payload, b"hello");
/// # Ok::<(), mv2_store::Error>(())
/// ```
pub struct Store {
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) path: PathBuf,
    pub(crate) options: OpenOptions,
    pub(crate) writable: bool,
    pub(crate) state: Mutex<Arc<State>>,
    pub(crate) transaction: Option<Transaction>,
    /// The branch that was chosen; else the one that is checked out in the file.
    pub(crate) branch: Option<String>,
    /// Set when a sync failed.
    pub(crate) poisoned: bool,
    /// The batch that this handle wrote and synced last.
    pub(crate) own_batch: Option<[u8; 16]>,
    /// The root page that this handle wrote and synced last.
    pub(crate) own_root: Option<Generation>,
    /// Whether this handle has looked for what a crashed vacuum left.
    pub(crate) cleaned_up: bool,
    /// What an import committed and no index has yet.
    pub(crate) recent: Recent,
    /// The checkpoint after which no housekeeping was due.
    pub(crate) nothing_due: Option<Generation>,
}

/// Open
impl Store {
    /// Makes a new file. It is durable when this returns.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::NotFound`] for a missing folder, or [`Error::Io`].
    pub fn create(path: &Path, create: &CreateOptions, open: OpenOptions) -> Result<Self> {
        Self::create_on(Arc::new(FileVolume), path, create, open)
    }

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAFile`], [`Error::Format`], [`Error::NoRoot`] or [`Error::Io`].
    pub fn open(path: &Path, open: OpenOptions) -> Result<Self> {
        Self::open_on(Arc::new(FileVolume), path, open, true)
    }

    /// Opens a file for reading. Works on a read-only file system.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_read_only(path: &Path, open: OpenOptions) -> Result<Self> {
        Self::open_on(Arc::new(FileVolume), path, open, false)
    }

    /// Makes a new file on a volume.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_on(
        volume: Arc<dyn Volume>,
        path: &Path,
        create: &CreateOptions,
        open: OpenOptions,
    ) -> Result<Self> {
        let header = Header {
            version: Version::CURRENT,
            features_optional: 0,
            uuid: random(path)?,
            wal_offset: FileOffset(WAL_OFFSET),
            wal_len: wal_len(create),
            created: open.clock.now(),
        };
        let contents = checkpoint::empty_file(&header);
        let storage = volume
            .create(path, &mut |file| file.write_at(0, &contents))
            .map_err(|source| match source.kind() {
                std::io::ErrorKind::NotFound => Error::Io {
                    what: "create",
                    path: path.to_owned(),
                    source,
                },
                _ => open_error(path, source),
            })?;
        let file = Arc::new(MemoryFile::from_storage(path, storage)?);
        let state = recovery::load(&file, None)?;
        let mut store = Self::new(volume, path, open, true, state);
        store.own_root = Some(store.current().root.generation);
        Ok(store)
    }

    /// Opens a file on a volume.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_on(
        volume: Arc<dyn Volume>,
        path: &Path,
        open: OpenOptions,
        writable: bool,
    ) -> Result<Self> {
        let state = recovery::open(&*volume, path, writable)?;
        Ok(Self::new(volume, path, open, writable, state))
    }

    fn new(
        volume: Arc<dyn Volume>,
        path: &Path,
        options: OpenOptions,
        writable: bool,
        state: State,
    ) -> Self {
        Self {
            volume,
            path: path.to_owned(),
            options,
            writable,
            state: Mutex::new(Arc::new(state)),
            transaction: None,
            branch: None,
            poisoned: false,
            own_batch: None,
            own_root: None,
            cleaned_up: false,
            recent: Recent::default(),
            nothing_due: None,
        }
    }

    /// Checks a file; see [`VerifyReport`]. A shallow check reads header, roots, TOC, log and the heads of
    /// segments; a deep one reads every byte and decodes every frame.
    ///
    /// # Errors
    /// Only what keeps the file from being opened at all. Everything else is in the report.
    pub fn verify(path: &Path, deep: bool) -> Result<VerifyReport> {
        verify::verify(&FileVolume, path, deep)
    }

    /// [`verify`](Self::verify) on a volume.
    ///
    /// # Errors
    /// As for [`verify`](Self::verify).
    pub fn verify_on(volume: &dyn Volume, path: &Path, deep: bool) -> Result<VerifyReport> {
        verify::verify(volume, path, deep)
    }
}

/// Read
impl Store {
    /// The path that the store was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The head of this store's [`branch`](Self::branch), with the newest commit of any process, pinned. Costs a few
    /// microseconds when nothing changed.
    ///
    /// # Errors
    /// [`Error::NoSuchRef`] if the branch was deleted meanwhile, [`Error::Io`], [`Error::Format`], [`Error::NoRoot`] or [`Error::Busy`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        // Inside a transaction nobody else can commit.
        if self.transaction.is_none() {
            self.catch_up()?;
        }
        let pending_end = self.transaction.as_ref().map(Transaction::next_frame);
        let snapshot = Snapshot::of_branch(&self.current(), &self.branch()?)?;
        Ok(snapshot.with_pending(pending_end))
    }

    /// The memory at a commit of the past, pinned. See [`Snapshot::at`].
    ///
    /// # Errors
    /// [`Error::NoSuchCommit`], or as for [`snapshot`](Self::snapshot).
    pub fn snapshot_at(&self, commit: CommitId) -> Result<Snapshot> {
        self.snapshot()?.at(commit)
    }

    pub(crate) fn current(&self) -> Arc<State> {
        Arc::clone(&self.state_guard())
    }

    pub(crate) fn state_guard(&self) -> MutexGuard<'_, Arc<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn catch_up(&self) -> Result<()> {
        let state = self.current();
        if let Some(newer) = recovery::refresh(&*self.volume, &state, self.writable)? {
            *self.state_guard() = Arc::new(newer);
        }
        Ok(())
    }
}

/// Transactions
impl Store {
    /// Takes the write lock and catches up with what others committed. Does nothing inside a transaction.
    /// `put`, `update`, `delete` and `find_uri` call it.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Poisoned`], [`Error::Forked`], [`Error::Locked`], [`Error::WalCorrupt`], or what reading can meet.
    pub fn begin(&mut self) -> Result<()> {
        self.begin_unless_sealed(true)
    }

    pub(crate) fn begin_unless_sealed(&mut self, unless_sealed: bool) -> Result<()> {
        if self.transaction.is_some() {
            // What is put until the commit changes memory alone; the commit asks whether this is the process that opened it.
            return Ok(());
        }
        if !self.writable {
            return Err(Error::ReadOnly {
                path: self.path.clone(),
            });
        }
        if self.poisoned {
            return Err(Error::Poisoned {
                path: self.path.clone(),
            });
        }
        self.check_process()?;
        loop {
            let file = Arc::clone(&self.current().file);
            lock::acquire(&file, self.options.lock_wait)?;
            match self.after_lock(&file) {
                Ok(true) if unless_sealed && self.is_sealed() => {
                    self.rollback();
                    return Err(Error::Sealed {
                        path: self.path.clone(),
                    });
                }
                Ok(true) => return Ok(()),
                // The path names another file now: that one's lock is needed.
                Ok(false) => self.release(&file),
                Err(error) => {
                    self.release(&file);
                    return Err(error);
                }
            }
        }
    }

    /// Catches up under the lock and opens the transaction. `false` if the file was replaced.
    fn after_lock(&mut self, file: &Arc<MemoryFile>) -> Result<bool> {
        self.catch_up()?;
        let state = self.current();
        if !Arc::ptr_eq(&state.file, file) {
            return Ok(false);
        }
        if let Some((offset, found)) = state.damage {
            return Err(Error::WalCorrupt {
                path: self.path.clone(),
                offset,
                found,
            });
        }
        if !self.cleaned_up {
            self.volume.clean_up(&self.path);
            self.cleaned_up = true;
        }
        if state.adopted {
            self.guard_sync(|| checkpoint::write_root(file, &state.root))?;
            self.own_root = Some(state.root.generation);
            let mut sound = State::clone(&state);
            sound.adopted = false;
            *self.state_guard() = Arc::new(sound);
        }
        let state = self.current();
        let name = self.branch()?;
        let base = Snapshot::of_branch(&state, &name)?;
        let branch = state.branch(&name)?.unwrap_or_default();
        self.transaction = Some(Transaction::new(base, branch.lineage));
        Ok(true)
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Puts a document. Under a uri that exists it takes the place of the older frame, unless it says the same.
    ///
    /// The frame's id is permanent once it is committed; one that is rolled back may be given again.
    ///
    /// # Errors
    /// [`Error::Limit`], or what [`begin`](Self::begin) can meet.
    pub fn put(&mut self, frame: NewFrame) -> Result<PutOutcome> {
        self.transaction()?.put(frame)
    }

    /// Puts a document in the place of a frame. It keeps the old uri if it names none.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], [`Error::Dead`], [`Error::Limit`], or what [`begin`](Self::begin) can meet.
    pub fn update(&mut self, id: FrameId, frame: NewFrame) -> Result<PutOutcome> {
        self.transaction()?.update(id, frame)
    }

    /// Deletes a frame. It stays in the past.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], [`Error::Dead`], or what [`begin`](Self::begin) can meet.
    pub fn delete(&mut self, id: FrameId) -> Result<()> {
        self.transaction()?.delete(id)
    }

    /// Gives a frame of this transaction, or an older one, something to carry for an index. The index that is registered for
    /// the kind makes segments of it; until there is one, it is kept as it is.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], [`Error::Limit`], or what [`begin`](Self::begin) can meet.
    pub fn attach(&mut self, attachment: Attachment) -> Result<()> {
        self.transaction()?.attach(attachment)
    }

    /// Gives a property another value, or takes it away. Older snapshots go on to see the old one.
    ///
    /// # Errors
    /// [`Error::Limit`], or what [`begin`](Self::begin) or reading can meet.
    pub fn set_property(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<()> {
        self.transaction()?.set_property(key.to_owned(), value)
    }

    /// The frame under a uri as the open transaction sees it, its own changes included.
    ///
    /// # Errors
    /// What [`begin`](Self::begin) or reading can meet.
    pub fn find_uri(&mut self, uri: &str) -> Result<Option<FrameId>> {
        self.transaction()?.find_uri(uri)
    }

    fn transaction(&mut self) -> Result<&mut Transaction> {
        self.begin()?;
        self.transaction_mut()
    }

    pub(crate) fn transaction_mut(&mut self) -> Result<&mut Transaction> {
        self.transaction.as_mut().ok_or_else(|| Error::Poisoned {
            path: self.path.clone(),
        })
    }

    /// Makes the transaction durable and gives the lock back. `None` if it changed nothing.
    ///
    /// # Errors
    /// After [`Error::Limit`], or an [`Error::Io`] before anything was synced (a full disk), the transaction is
    /// still open: commit again or roll back. After a failed sync the store answers [`Error::Poisoned`] until it is reopened.
    pub fn commit(&mut self, options: CommitOptions) -> Result<Option<Commit>> {
        let Some(mut transaction) = self.transaction.take() else {
            return Ok(None);
        };
        self.check_process()?;
        if transaction.is_empty() {
            self.release(&transaction.state().file);
            return Ok(None);
        }
        let (bulk, before) = (options.bulk, transaction.state().root.generation);
        match self.write_commit(&mut transaction, options) {
            Ok(state) => {
                let commit = state.commit(state.last_commit())?;
                let file = Arc::clone(&state.file);
                let folded = state.root.generation != before;
                if folded && !self.options.indexes.is_empty() {
                    let frames = transaction.into_frames();
                    self.recent.keep(&file, frames, 2 * BULK_INDEX_BYTES);
                }
                *self.state_guard() = Arc::new(state);
                self.release(&file);
                if folded {
                    // The commit is durable and found whatever becomes of this; the next one tries again.
                    let _ = self.index_lagging(bulk);
                }
                Ok(Some(commit.into()))
            }
            Err(error) => {
                if self.poisoned {
                    self.release(&transaction.state().file);
                } else {
                    self.transaction = Some(transaction);
                }
                Err(error)
            }
        }
    }

    /// Forgets the transaction and gives the lock back.
    pub fn rollback(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.release(&transaction.state().file);
        }
    }

    /// Folds the log into segments, and brings into the indexes what lags behind them. An open transaction is not part
    /// of it and stays open.
    ///
    /// # Errors
    /// What [`begin`](Self::begin) can meet, or [`Error::Io`].
    pub fn checkpoint(&mut self) -> Result<()> {
        let was_open = self.in_transaction();
        if !was_open {
            self.index_lagging(false)?;
        }
        self.begin()?;
        let state = self.current();
        let lagging = self
            .options
            .indexes
            .iter()
            .any(|index| state.covered(index.kind()) < state.next_frame());
        let result = if lagging || !state.tail.commits.is_empty() {
            self.write_checkpoint(&state, None, self.inline(false), None)
                .map(|next| *self.state_guard() = Arc::new(next))
        } else {
            Ok(())
        };
        match &mut self.transaction {
            Some(transaction) if was_open => {
                let state = Arc::clone(&self.state.lock().unwrap_or_else(PoisonError::into_inner));
                result.and_then(|()| transaction.rebase(&state))
            }
            _ => {
                self.rollback();
                result
            }
        }
    }

    pub(crate) fn check_process(&self) -> Result<()> {
        let owner = self.current().file.process;
        if owner == std::process::id() {
            return Ok(());
        }
        Err(Error::Forked {
            path: self.path.clone(),
            owner,
        })
    }

    pub(crate) fn release(&self, file: &MemoryFile) {
        // A fork shares the lock of the process that opened the file, and must not give it away.
        if file.process == std::process::id() {
            // The lock also goes with the handle; there is nothing else to try.
            let _ = file.storage.unlock();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.rollback();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("commit", &self.current().last_commit())
            .field("in_transaction", &self.in_transaction())
            .finish_non_exhaustive()
    }
}

/// Length of a new log: whole pages within the format's limits.
pub(crate) fn wal_len(create: &CreateOptions) -> u64 {
    create
        .wal_bytes
        .clamp(MIN_WAL_BYTES, MAX_WAL_BYTES)
        .next_multiple_of(PAGE_BYTES as u64)
}

pub(crate) fn random<const N: usize>(path: &Path) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Io {
        what: "draw random bytes for",
        path: path.to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryVolume;

    /// A child process that drops its copy of a store would take the parent's lock away in the middle of a transaction.
    #[test]
    fn a_fork_neither_writes_nor_gives_the_lock_away() {
        let volume = Arc::new(MemoryVolume::new());
        let path = Path::new("m");
        let create = CreateOptions::default();
        let mut parent =
            Store::create_on(volume.clone(), path, &create, OpenOptions::default()).unwrap();
        parent.put(NewFrame::default()).unwrap();
        let inherited = {
            let state = parent.current();
            let file = &state.file;
            Arc::new(MemoryFile {
                path: file.path.clone(),
                storage: Arc::clone(&file.storage),
                identity: file.identity,
                header: file.header,
                process: std::process::id() + 1,
            })
        };
        parent.release(&inherited);
        let other = volume.open(path, true).unwrap();
        assert!(!other.try_lock().unwrap(), "the parent still holds it");
        let mut state = State::clone(&parent.current());
        state.file = inherited;
        let mut child = Store::new(volume, path, OpenOptions::default(), true, state);
        let refused = child.put(NewFrame::default());
        assert!(matches!(refused, Err(Error::Forked { .. })), "{refused:?}");
        drop(child);
        assert!(!other.try_lock().unwrap());
        parent.commit(CommitOptions::default()).unwrap();
        assert!(other.try_lock().unwrap());
    }
}
