//! All input and output of a store goes through two traits: a [`Storage`] is an open file, a [`Volume`] is
//! where files have names.
//!
//! | form | where | what for |
//! |---|---|---|
//! | real | `file` | files of the operating system |
//! | in memory | `memory` | tests, and memories that need no disk |
//! | counting | [`crate::testing`] | tests that assert syncs and bytes |
//! | fault-injecting | [`crate::testing`] | crash tests |

mod file;
mod memory;
mod mmap;

use std::io;
use std::path::Path;
use std::sync::Arc;

use mv2_format::ByteOwner;

pub use file::FileVolume;
pub use memory::MemoryVolume;

/// An open file.
///
/// Positions and lengths are in bytes. Reads and writes are positioned, so that handles can be shared
/// between threads.
pub trait Storage: Send + Sync {
    /// Fills `buffer` from a position.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before; else the system's error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at a position; the file grows if it must.
    ///
    /// # Errors
    /// The system's error. Part of the bytes may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all writes so far durable.
    ///
    /// # Errors
    /// The system's error. What is durable is then not known.
    fn sync(&self) -> io::Result<()>;

    /// The file's length.
    ///
    /// # Errors
    /// The system's error.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file is empty.
    ///
    /// # Errors
    /// The system's error.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// A range of the file that is never written again, as memory.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before; else the system's error.
    fn map(&self, offset: u64, len: usize) -> io::Result<Arc<dyn ByteOwner>>;

    /// Takes the write lock if nobody holds it. It is lost when the storage is dropped.
    ///
    /// # Errors
    /// The system's error.
    fn try_lock(&self) -> io::Result<bool>;

    /// Gives the write lock back.
    ///
    /// # Errors
    /// The system's error.
    fn unlock(&self) -> io::Result<()>;

    /// Which file it is, whatever its name.
    ///
    /// # Errors
    /// The system's error.
    fn identity(&self) -> io::Result<FileIdentity>;
}

/// Tells files apart: device and number on that device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The device.
    pub device: u64,
    /// The file's number on the device.
    pub file: u64,
}

/// Writes the contents of a new file.
pub type Fill<'a> = &'a mut dyn FnMut(&Arc<dyn Storage>) -> io::Result<()>;

/// Where files have names.
pub trait Volume: Send + Sync {
    /// Opens a regular file.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`, `InvalidInput` for what is neither file nor folder, or the system's error.
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn Storage>>;

    /// Makes a file and lets `fill` write its contents. It gets its name when they are durable, and the
    /// name is durable when this returns: nobody ever sees half a file.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, what `fill` returns, or the system's error.
    fn create(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>>;

    /// Puts a new file in the place of the one with this name. It keeps mode and owner, and the caller holds its write lock
    /// before it has the name. Who has the old one open keeps it.
    ///
    /// # Errors
    /// `NotFound`; `Unsupported` if the old file has other names too or cannot be replaced where it is (a bind mount); what `fill`
    /// returns, or the system's error. The old file is then still there.
    fn replace(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>>;

    /// Removes what a crash in the middle of [`replace`](Self::replace) left. The caller holds the write lock.
    fn clean_up(&self, path: &Path);

    /// Which file has this name.
    ///
    /// # Errors
    /// `NotFound`, or the system's error.
    fn identity(&self, path: &Path) -> io::Result<FileIdentity>;
}
