//! What can be wrong with bytes: each error names what was read, what was expected and what was found.

use crate::ids::{FileOffset, FrameId};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why bytes could not be read as a part of an `.mv2` file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file does not begin with the magic bytes of an `.mv2` file.
    #[error("not an .mv2 memory file: it begins with {found:02x?}")]
    NotMv2 {
        /// The first eight bytes, fewer if the file is shorter.
        found: Vec<u8>,
    },
    /// The file was written by memvid 2.x, which used the same extension.
    #[error("this is a memvid 2.x file (magic \"MV2\\0\"), which mv2 does not read yet")]
    Memvid2,
    /// The file's format version is not one that this build reads.
    #[error(
        "format version {major}.{minor} draft {draft} is not readable by this build, which reads {}",
        crate::header::Version::CURRENT
    )]
    UnsupportedVersion {
        /// Major version in the header.
        major: u16,
        /// Minor version in the header.
        minor: u16,
        /// Draft revision in the header; 0 for a frozen version.
        draft: u16,
    },
    /// The file needs features that this build does not know.
    #[error("the file needs features {unknown:#x} that this build does not know; use a newer mv2")]
    UnsupportedFeatures {
        /// The must-understand bits that are unknown.
        unknown: u64,
    },
    /// The file needs a kind of segment that this build does not know.
    #[error(
        "the file has segments of kind {kind}, which this build does not know; use a newer mv2"
    )]
    UnsupportedSegment {
        /// The kind's number.
        kind: u16,
    },
    /// A structure ends before its last field.
    #[error("{what} is cut short: {needed} bytes needed, {available} there (truncated file?)")]
    Truncated {
        /// The structure or field that was read.
        what: &'static str,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are there.
        available: u64,
    },
    /// A checksum or hash does not match its bytes.
    #[error("{what} at offset {offset} is damaged: its checksum does not match")]
    Checksum {
        /// The structure or page.
        what: &'static str,
        /// Where it begins in the file.
        offset: FileOffset,
    },
    /// A field holds a value that the format does not allow.
    #[error("{what} is invalid: expected {expected}, found {found}")]
    Invalid {
        /// The structure and field.
        what: &'static str,
        /// What the format allows.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A frame id lies outside of the segment that was asked.
    #[error("frame {frame} is not in this segment")]
    NoSuchFrame {
        /// The frame asked for.
        frame: FrameId,
    },
    /// Something that is to be encoded exceeds a limit of the format.
    #[error("{what} is too large: {len} bytes, the limit is {limit}")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// Its length in bytes, or count.
        len: u64,
        /// The largest allowed.
        limit: u64,
    },
}

impl Error {
    /// An [`Error::Invalid`] from anything printable.
    pub fn invalid(what: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Invalid {
            what,
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// The file offset at which the damage lies, where it is known.
    pub fn offset(&self) -> Option<FileOffset> {
        match self {
            Self::Checksum { offset, .. } => Some(*offset),
            _ => None,
        }
    }
}
