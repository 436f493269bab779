//! Files of the operating system.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mv2_format::ByteOwner;

use super::{FileIdentity, Fill, Storage, Volume, mmap};

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

    fn create(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        let folder = folder_of(path);
        if fs::symlink_metadata(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let new = NewFile::create(folder, &temporary_name(path)?, fill)?;
        let file = new.link(path)?;
        File::open(folder)?.sync_all()?;
        Ok(file)
    }

    fn replace(&self, path: &Path, fill: Fill<'_>) -> io::Result<Arc<dyn Storage>> {
        let path = fs::canonicalize(path)?;
        let old = fs::metadata(&path)?;
        if old.nlink() > 1 {
            // The other names would go on showing the old file.
            return Err(io::ErrorKind::Unsupported.into());
        }
        let folder = folder_of(&path);
        let temporary = replacement_name(&path)?;
        let new = NewFile::create(folder, &temporary, &mut |storage| {
            fill(storage)?;
            Ok(())
        })?;
        new.file.0.set_permissions(old.permissions())?;
        let current = new.file.0.metadata()?;
        if (current.uid(), current.gid()) != (old.uid(), old.gid()) {
            std::os::unix::fs::fchown(&new.file.0, Some(old.uid()), Some(old.gid()))?;
        }
        if !new.file.try_lock()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let file = if new.named {
            new.file
        } else {
            new.link(&temporary)?
        };
        if let Err(error) = fs::rename(&temporary, &path) {
            fs::remove_file(&temporary)?;
            return Err(match error.kind() {
                io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => {
                    io::ErrorKind::Unsupported.into()
                }
                _ => error,
            });
        }
        File::open(folder)?.sync_all()?;
        Ok(file)
    }

    fn clean_up(&self, path: &Path) {
        let temporary = fs::canonicalize(path).and_then(|path| replacement_name(&path));
        // Nearly always there is none.
        let _ = temporary.and_then(fs::remove_file);
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

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A name that says what the file is, for the instant until it has its own.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| io::ErrorKind::Other)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(folder_of(path).join(format!(
        ".{}.{:016x}.mv2-creating",
        name.to_string_lossy(),
        u64::from_le_bytes(random)
    )))
}

/// The name that a replacement has for an instant. Always the same, so that the next writer finds what a crash left.
fn replacement_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(folder_of(path).join(format!(".{}.mv2-vacuum", name.to_string_lossy())))
}

/// A file that is complete and does not have its name yet.
struct NewFile {
    file: Arc<FileStorage>,
    /// Where it stands under a temporary name, if the system has no files without one.
    temporary: PathBuf,
    named: bool,
}

impl NewFile {
    fn create(folder: &Path, temporary: &Path, fill: Fill<'_>) -> io::Result<Self> {
        let (file, named) = match unnamed::open(folder)? {
            Some(file) => (file, false),
            None => {
                let mut options = File::options();
                options.read(true).write(true).create_new(true);
                (options.open(temporary)?, true)
            }
        };
        let new = Self {
            file: Arc::new(FileStorage(file)),
            temporary: temporary.to_owned(),
            named,
        };
        let storage: Arc<dyn Storage> = Arc::clone(&new.file) as _;
        let result = fill(&storage).and_then(|()| new.file.0.sync_all());
        if let Err(error) = result {
            if named {
                fs::remove_file(temporary)?;
            }
            return Err(error);
        }
        Ok(new)
    }

    /// Gives it a name that nobody has.
    fn link(self, path: &Path) -> io::Result<Arc<FileStorage>> {
        if self.named {
            let linked = fs::hard_link(&self.temporary, path);
            fs::remove_file(&self.temporary)?;
            linked?;
        } else {
            unnamed::link(&self.file.0, path)?;
        }
        Ok(self.file)
    }
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

    /// `None` if the file system cannot do it, or this environment cannot name such a file later.
    pub(super) fn open(folder: &Path) -> io::Result<Option<File>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags, Mode::from_raw_mode(0o666)) {
            Ok(_) if !Path::new("/proc/self/fd").exists() => Ok(None),
            Ok(descriptor) => Ok(Some(File::from(descriptor))),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn link(file: &File, path: &Path) -> io::Result<()> {
        let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::linkat(CWD, descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod unnamed {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    /// Only Linux has unnamed files.
    pub(super) fn open(_: &Path) -> io::Result<Option<File>> {
        Ok(None)
    }

    pub(super) fn link(_: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
