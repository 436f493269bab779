//! Files of the operating system.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mv2_format::ByteOwner;

use super::{FileIdentity, Storage, Volume, mmap};

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileVolume;

#[derive(Debug)]
struct FileStorage(File);

impl Storage for FileStorage {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn map(&self, offset: u64, len: usize) -> io::Result<Arc<dyn ByteOwner>> {
        // Touching a mapped page behind the end of the file would end the process.
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| self.len().map_or(true, |len| end > len)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if len == 0 {
            return Ok(Arc::new(Vec::new()));
        }
        Ok(Arc::new(mmap::map(&self.0, offset, len)?))
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity(&self.0.metadata()?))
    }
}

impl Volume for FileVolume {
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn Storage>> {
        // Asked before opening: opening a pipe would wait for its other end.
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = File::options().read(true).write(writable).open(path)?;
        Ok(Arc::new(FileStorage(file)))
    }

    fn create(&self, path: &Path, contents: &[u8]) -> io::Result<Arc<dyn Storage>> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if fs::symlink_metadata(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = match unnamed::create(folder, path, contents) {
            Some(result) => result?,
            None => create_with_temporary_name(folder, path, contents)?,
        };
        File::open(folder)?.sync_all()?;
        Ok(Arc::new(FileStorage(file)))
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        Ok(identity(&fs::metadata(path)?))
    }
}

fn identity(metadata: &fs::Metadata) -> FileIdentity {
    FileIdentity {
        device: metadata.dev(),
        file: metadata.ino(),
    }
}

fn fill(file: &File, contents: &[u8]) -> io::Result<()> {
    file.write_all_at(contents, 0)?;
    file.sync_all()
}

/// For file systems without unnamed files: a name that says what the file is, for the instant until
/// the link. A crash in between leaves a file that nothing ever reads.
fn create_with_temporary_name(folder: &Path, path: &Path, contents: &[u8]) -> io::Result<File> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| io::ErrorKind::Other)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary: PathBuf = folder.join(format!(
        ".{}.{:016x}.mv2-creating",
        name.to_string_lossy(),
        u64::from_le_bytes(random)
    ));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&temporary)?;
    let result = fill(&file, contents).and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    result.map(|()| file)
}

/// Files that have no name until they are complete.
#[cfg(target_os = "linux")]
mod unnamed {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags};
    use rustix::io::Errno;

    /// `None` if the file system cannot do it.
    pub(super) fn create(folder: &Path, path: &Path, contents: &[u8]) -> Option<io::Result<File>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let file = match rustix::fs::open(folder, flags, mode) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return None,
            Err(error) => return Some(Err(error.into())),
        };
        if let Err(error) = super::fill(&file, contents) {
            return Some(Err(error));
        }
        let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        match rustix::fs::linkat(CWD, descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => Some(Ok(file)),
            // No /proc in this environment.
            Err(Errno::NOENT) => None,
            Err(error) => Some(Err(error.into())),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod unnamed {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    /// Only Linux has unnamed files.
    pub(super) fn create(_: &Path, _: &Path, _: &[u8]) -> Option<io::Result<File>> {
        None
    }
}
