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

use crate::checkpoint::{self, Compaction};
use crate::error::{Error, Result};
use crate::file::{MemoryFile, open_error};
use crate::state::State;
use crate::storage::{Fill, Storage, Volume};

/// How a file is to be written anew.
pub(crate) struct Rewrite<'a> {
    pub(crate) state: &'a State,
    pub(crate) indexes: &'a [Arc<dyn IndexFactory>],
    pub(crate) compaction: Compaction,
    /// Length of the new file's log in bytes; 0 makes it read-only.
    pub(crate) wal_len: u64,
}

impl Rewrite<'_> {
    /// Writes to a name that nobody has.
    pub(crate) fn create(&self, volume: &dyn Volume, path: &Path) -> Result<Arc<dyn Storage>> {
        self.run(path, |fill| volume.create(path, fill))
    }

    /// Writes in the place of the state's file. The new file is locked.
    pub(crate) fn replace(&self, volume: &dyn Volume) -> Result<Arc<dyn Storage>> {
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
        checkpoint::write_elsewhere(self.state, &file, end, self.indexes, self.compaction)
    }
}
