//! A read-only tantivy directory over the sections of one segment.
//!
//! tantivy sees files; here a file is a range of checked bytes. Each read checks the pages that it
//! touches, so that tantivy never sees a damaged byte. Nothing is written, nothing is extracted.
//! `meta.json` and the document store are not in the segment: both follow from the number of
//! documents.

use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use mv2_format::SegmentBytes;
use mv2_format::checksum::crc32;
use stable_deref_trait::StableDeref;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::footer::Footer;
use tantivy::directory::{
    DirectoryLock, FileHandle, Lock, OwnedBytes, WatchCallback, WatchHandle, WritePtr,
};
use tantivy::{Directory, HasLen};

use crate::error::{Error, Result};
use crate::schema::schema;

/// The id under which each segment is known to its own directory.
const SEGMENT_UUID: &str = "00000000-0000-0000-0000-000000000001";
const SEGMENT_STEM: &str = "00000000000000000000000000000001";

/// Up to so many bytes, the file with the lengths of documents is checked at once: tantivy reads it for each word of each query.
const SMALL_LENGTHS: usize = 1 << 18;

/// Settings of the document store, the same for writing and reading.
pub(crate) const STORE_SETTINGS: &str = r#"{"docstore_compression":"none","docstore_blocksize":16384,"docstore_compress_dedicated_thread":false}"#;

/// The files of one tantivy segment.
#[derive(Clone)]
pub(crate) struct SegmentDirectory {
    files: Arc<Files>,
}

struct Files {
    /// Extension and file.
    files: Vec<(&'static str, Arc<dyn FileHandle>)>,
    meta: Vec<u8>,
    store: Vec<u8>,
}

impl SegmentDirectory {
    /// Name of the file that holds the postings.
    pub(crate) const POSTINGS: &'static str = "00000000000000000000000000000001.idx";

    pub(crate) fn new(
        max_doc: u32,
        positions: bool,
        files: Vec<(&'static str, SegmentBytes)>,
    ) -> Result<Self> {
        let files = files
            .into_iter()
            .map(|(extension, bytes)| {
                let file: Arc<dyn FileHandle> = match extension {
                    "fieldnorm" if bytes.len() <= SMALL_LENGTHS => {
                        Arc::new(OwnedBytes::new(CheckedBytes::new(bytes)?))
                    }
                    _ => Arc::new(CheckedFile(bytes)),
                };
                Ok((extension, file))
            })
            .collect::<Result<_>>()?;
        let schema = serde_json::to_string(schema(positions))
            .map_err(|error| Error::invalid("schema", "JSON", error))?;
        let meta = format!(
            r#"{{"index_settings":{STORE_SETTINGS},"segments":[{{"segment_id":"{SEGMENT_UUID}","max_doc":{max_doc},"deletes":null}}],"schema":{schema},"opstamp":0}}"#
        );
        Ok(Self {
            files: Arc::new(Files {
                files,
                meta: meta.into_bytes(),
                store: empty_store()?,
            }),
        })
    }
}

/// A document store without blocks. Nobody asks it for a document, because no field is stored;
/// opening reads its index, which has no layer, and its two footers.
fn empty_store() -> Result<Vec<u8>> {
    // The number of layers, none, as tantivy writes small numbers.
    let mut store = vec![0x80];
    // The store's own footer: version 2, index at offset 0, compressor 0 (none), reserved.
    store.extend_from_slice(&2u32.to_le_bytes());
    store.extend_from_slice(&[0; 8 + 1 + 15]);
    let footer = Footer {
        version: tantivy::version().clone(),
        crc: crc32(&store),
    };
    let footer = serde_json::to_vec(&footer)
        .map_err(|error| Error::invalid("store footer", "JSON", error))?;
    store.extend_from_slice(&footer);
    store.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    // The magic number at the end of each file of tantivy.
    store.extend_from_slice(&1337u32.to_le_bytes());
    Ok(store)
}

impl fmt::Debug for SegmentDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentDirectory")
    }
}

impl Directory for SegmentDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let missing = || OpenReadError::FileDoesNotExist(PathBuf::from(path));
        let name = path.to_str().ok_or_else(missing)?;
        let (stem, extension) = name.split_once('.').ok_or_else(missing)?;
        if stem != SEGMENT_STEM {
            return Err(missing());
        }
        if extension == "store" {
            return Ok(Arc::new(OwnedBytes::new(self.files.store.clone())));
        }
        self.files
            .files
            .iter()
            .find(|(name, _)| *name == extension)
            .map(|(_, file)| Arc::clone(file))
            .ok_or_else(missing)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.get_file_handle(path).is_ok() || path == Path::new("meta.json"))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        if path == Path::new("meta.json") {
            return Ok(self.files.meta.clone());
        }
        Err(OpenReadError::FileDoesNotExist(PathBuf::from(path)))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::FileDoesNotExist(PathBuf::from(path)))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(
            read_only(),
            PathBuf::from(path),
        ))
    }

    fn atomic_write(&self, _path: &Path, _data: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    /// Files do not change, so there is nothing to lock. The default would write a file.
    fn acquire_lock(&self, _lock: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a lexical segment is read-only")
}

/// One file: reads are checked page by page. tantivy reads the dictionary and the lengths of a field whole, when it first
/// needs them; those of a field that no query names cost nothing.
#[derive(Debug)]
struct CheckedFile(SegmentBytes);

impl HasLen for CheckedFile {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl FileHandle for CheckedFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        self.0
            .slice(range)
            .and_then(CheckedBytes::new)
            .map(OwnedBytes::new)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Bytes of which each page has been checked.
struct CheckedBytes(SegmentBytes);

impl CheckedBytes {
    fn new(bytes: SegmentBytes) -> mv2_format::Result<Self> {
        bytes.all()?;
        Ok(Self(bytes))
    }
}

impl Deref for CheckedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // Checked in `new`; a page that was found sound stays so.
        self.0.all().unwrap_or_default()
    }
}

// SAFETY: the slice lies in the buffer or map that the owner behind `SegmentBytes` keeps alive.
// `ByteOwner` promises the same address and contents for as long as the owner lives, moving the
// handle does not move them, and `CheckedBytes` holds the owner through an `Arc`. Which of the two
// answers `deref` gives cannot change either: the range was checked before this value was made.
#[allow(unsafe_code)]
unsafe impl StableDeref for CheckedBytes {}
