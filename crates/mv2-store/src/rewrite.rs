//! Writing a state as a whole file of its own: vacuum, seal, unseal and backup.
//!
//! The new file has the old one's uuid, history and frames, and neither dead bytes nor a tail. It is complete and
//! durable before it has a name, so a crash leaves the old file or the new one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use mv2_format::IndexFactory;
use mv2_format::header::{Header, WAL_OFFSET};
use mv2_format::segment::PAGE_BYTES;

use crate::checkpoint;
use crate::compact::Compaction;
use crate::error::{Error, Result};
use crate::file::{MemoryFile, open_error};
use crate::recovery;
use crate::state::State;
use crate::storage::{Fill, Storage, Volume};
use crate::store::{Store, wal_len};
use crate::types::{CreateOptions, OpenOptions};

impl Store {
    /// Writes the file anew without dead bytes; history stays. Returns its length in bytes before and after.
    ///
    /// The new file takes the place of the old one at once. Who reads the old one keeps it; handles follow to the new one.
    ///
    /// # Errors
    /// [`Error::CannotReplace`] if the file has another hard link or cannot be replaced where it is: then
    /// [`vacuum_to`](Self::vacuum_to) helps. [`Error::InTransaction`], or what [`begin`](Self::begin) can meet.
    pub fn vacuum(&mut self) -> Result<(u64, u64)> {
        let wal_len = self.current().file.header.wal_len;
        self.rewrite(Compaction::Full, wal_len, None)
    }

    /// Like [`vacuum`](Self::vacuum), into a new file; this one stays as it is. Takes no lock.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::Io`] or [`Error::Format`].
    pub fn vacuum_to(&self, path: &Path) -> Result<()> {
        self.copy_to(path, Compaction::Full)
    }

    /// Copies the newest commit's state, history included, into a new file, also while others write. Takes no lock.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::Io`] or [`Error::Format`].
    pub fn backup(&self, path: &Path) -> Result<()> {
        self.copy_to(path, self.inline(false))
    }

    /// Writes the file anew as densely as possible and without a log: read-only until [`unseal`](Self::unseal).
    /// Returns its length in bytes before and after.
    ///
    /// # Errors
    /// As for [`vacuum`](Self::vacuum).
    pub fn seal(&mut self) -> Result<(u64, u64)> {
        self.rewrite(Compaction::Densest, 0, None)
    }

    /// Like [`seal`](Self::seal), with other builders of the same kinds of index: those of a smaller form.
    ///
    /// # Errors
    /// As for [`vacuum`](Self::vacuum).
    pub fn seal_as(&mut self, indexes: Vec<Arc<dyn IndexFactory>>) -> Result<(u64, u64)> {
        self.rewrite(Compaction::Densest, 0, Some(indexes))
    }

    /// Gives a sealed file a log, so that it can be written again. Returns its length in bytes before and after.
    ///
    /// # Errors
    /// As for [`vacuum`](Self::vacuum).
    pub fn unseal(&mut self, create: &CreateOptions) -> Result<(u64, u64)> {
        self.rewrite(self.inline(false), wal_len(create), None)
    }

    /// Whether the file is sealed.
    pub fn is_sealed(&self) -> bool {
        self.current().file.header.wal_len == 0
    }

    fn rewrite(
        &mut self,
        compaction: Compaction,
        wal_len: u64,
        indexes: Option<Vec<Arc<dyn IndexFactory>>>,
    ) -> Result<(u64, u64)> {
        if self.in_transaction() {
            return Err(Error::InTransaction {
                path: self.path.clone(),
            });
        }
        self.begin_unless_sealed(false)?;
        let state = self.current();
        let result = self.rewrite_locked(&state, compaction, wal_len, indexes);
        self.transaction = None;
        self.release(&state.file);
        result
    }

    pub(crate) fn rewrite_locked(
        &mut self,
        state: &State,
        compaction: Compaction,
        wal_len: u64,
        indexes: Option<Vec<Arc<dyn IndexFactory>>>,
    ) -> Result<(u64, u64)> {
        let before = state.file.len()?;
        let mut options = self.options.clone();
        options.indexes = indexes.unwrap_or(options.indexes);
        let rewrite = Rewrite {
            state,
            options: &options,
            compaction,
            wal_len,
        };
        let storage = rewrite.replace(&*self.volume)?;
        let file = Arc::new(MemoryFile::from_storage(&self.path, storage)?);
        let next = recovery::load(&file, None)?;
        self.own_root = Some(next.root.generation);
        self.own_batch = None;
        *self.state_guard() = Arc::new(next);
        // It was locked before it had its name, so that no writer came in between.
        self.release(&file);
        Ok((before, file.len()?))
    }

    fn copy_to(&self, path: &Path, compaction: Compaction) -> Result<()> {
        if self.transaction.is_none() {
            self.catch_up()?;
        }
        let state = self.current();
        let wal_len = match state.file.header.wal_len {
            0 => wal_len(&CreateOptions::default()),
            len => len,
        };
        let rewrite = Rewrite {
            state: &state,
            options: &self.options,
            compaction,
            wal_len,
        };
        rewrite.create(&*self.volume, path).map(drop)
    }
}

/// How a file is to be written anew.
struct Rewrite<'a> {
    state: &'a State,
    options: &'a OpenOptions,
    compaction: Compaction,
    /// Length of the new file's log in bytes; 0 makes it read-only.
    wal_len: u64,
}

impl Rewrite<'_> {
    /// Writes to a name that nobody has.
    fn create(&self, volume: &dyn Volume, path: &Path) -> Result<Arc<dyn Storage>> {
        self.run(path, |fill| volume.create(path, fill))
    }

    /// Writes in the place of the state's file. The new file is locked.
    fn replace(&self, volume: &dyn Volume) -> Result<Arc<dyn Storage>> {
        let path = &self.state.file.path;
        self.run(path, |fill| volume.replace(path, fill))
    }

    /// Hands errors of ours through a volume, which knows those of the system only.
    fn run(
        &self,
        path: &Path,
        place: impl FnOnce(Fill<'_>) -> io::Result<Arc<dyn Storage>>,
    ) -> Result<Arc<dyn Storage>> {
        let mut failed = None;
        let placed = place(&mut |storage| {
            self.fill(path, storage).map_err(|error| {
                failed = Some(error);
                io::Error::other("the file could not be written")
            })
        });
        placed.map_err(|source| {
            failed.unwrap_or_else(|| match source.kind() {
                io::ErrorKind::Unsupported => Error::CannotReplace {
                    path: path.to_owned(),
                },
                io::ErrorKind::NotFound => Error::Io {
                    what: "create",
                    path: path.to_owned(),
                    source,
                },
                _ => open_error(path, source),
            })
        })
    }

    fn fill(&self, path: &Path, storage: &Arc<dyn Storage>) -> Result<()> {
        let old = &self.state.file;
        let header = Header {
            wal_offset: WAL_OFFSET.into(),
            wal_len: self.wal_len,
            ..old.header
        };
        let file = MemoryFile {
            path: path.to_owned(),
            storage: Arc::clone(storage),
            identity: storage
                .identity()
                .map_err(|source| old.io("identify", source))?,
            header,
            process: old.process,
        };
        file.write(0, &header.encode())?;
        let zeros = vec![0; 64 * PAGE_BYTES];
        let end = WAL_OFFSET + self.wal_len;
        let mut at = PAGE_BYTES as u64;
        while at < end {
            let len = (zeros.len() as u64).min(end - at);
            file.write(at, &zeros[..len as usize])?;
            at += len;
        }
        checkpoint::write_elsewhere(self.state, &file, end, self.options, self.compaction)
    }
}
