//! A memory file that is open: its storage, its header, and errors that name its path.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mv2_format::header::Header;
use mv2_format::segment::PAGE_BYTES;

use crate::error::{Error, Result};
use crate::storage::{FileIdentity, Storage, Volume};

/// An open file.
pub(crate) struct MemoryFile {
    pub(crate) path: PathBuf,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) identity: FileIdentity,
    pub(crate) header: Header,
    /// The process that opened it; a fork shares its lock.
    pub(crate) process: u32,
}

impl MemoryFile {
    /// Opens a file by its path and reads its header.
    pub(crate) fn open(volume: &dyn Volume, path: &Path, writable: bool) -> Result<Self> {
        let storage = volume
            .open(path, writable)
            .map_err(|source| open_error(path, source))?;
        Self::from_storage(path, storage)
    }

    /// Takes over a storage that was opened already.
    pub(crate) fn from_storage(path: &Path, storage: Arc<dyn Storage>) -> Result<Self> {
        let io = |what| io_error(what, path);
        let len = storage.len().map_err(io("read"))?;
        let mut page = vec![0; len.min(PAGE_BYTES as u64) as usize];
        storage.read_at(0, &mut page).map_err(io("read"))?;
        let header = Header::decode(&page).map_err(|error| Error::Format {
            path: path.to_owned(),
            error,
        })?;
        Ok(Self {
            identity: storage.identity().map_err(io("read"))?,
            path: path.to_owned(),
            storage,
            header,
            process: std::process::id(),
        })
    }

    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.storage
            .read_at(offset, buffer)
            .map_err(|source| self.io("read", source))
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.storage
            .write_at(offset, bytes)
            .map_err(|source| self.io("write", source))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.storage
            .sync()
            .map_err(|source| self.io("sync", source))
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.storage.len().map_err(|source| self.io("read", source))
    }

    pub(crate) fn io(&self, what: &'static str, source: io::Error) -> Error {
        io_error(what, &self.path)(source)
    }

    pub(crate) fn format(&self, error: mv2_format::Error) -> Error {
        Error::Format {
            path: self.path.clone(),
            error,
        }
    }
}

fn io_error(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io {
        what,
        path: path.clone(),
        source,
    }
}

/// The error of opening or creating a file, by what the system said.
pub(crate) fn open_error(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path },
        io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput => Error::NotAFile { path },
        _ => Error::Io {
            what: "open",
            path,
            source,
        },
    }
}
