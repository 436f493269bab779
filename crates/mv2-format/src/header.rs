//! The header: page 0 of a file, written once. `docs/format.md`, section "Header".

use std::fmt;

use crate::checksum::crc32;
use crate::error::{Error, Result};
use crate::ids::{FileOffset, Timestamp};
use crate::segment::PAGE_BYTES;
use crate::wire::Reader;

/// The first bytes of every `.mv2` file of version 3.
pub const MAGIC: [u8; 8] = [0x89, b'M', b'V', b'2', 0x0d, 0x0a, 0x1a, 0x0a];

/// Where the write-ahead log of a new file begins: behind header and root pages.
pub const WAL_OFFSET: u64 = 3 * PAGE_BYTES as u64;

/// A version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Files of another major version are not readable.
    pub major: u16,
    /// Larger minor versions only add.
    pub minor: u16,
    /// Revision of an unfrozen version, 0 once it is frozen.
    pub draft: u16,
}

impl Version {
    /// The version that this crate writes.
    pub const CURRENT: Self = Self {
        major: 3,
        minor: 0,
        draft: 6,
    };
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.draft != 0 {
            write!(f, " draft {}", self.draft)?;
        }
        Ok(())
    }
}

/// The header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the format.
    pub version: Version,
    /// Bits that a reader may ignore.
    pub features_optional: u64,
    /// Names the file.
    pub uuid: [u8; 16],
    /// Where the write-ahead log begins.
    pub wal_offset: FileOffset,
    /// Length of the write-ahead log in bytes; 0 in a sealed file.
    pub wal_len: u64,
    /// When the file was made.
    pub created: Timestamp,
}

impl Header {
    /// The header as a page.
    pub fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE_BYTES);
        page.extend_from_slice(&MAGIC);
        for number in [
            self.version.major,
            self.version.minor,
            self.version.draft,
            0,
        ] {
            page.extend_from_slice(&number.to_le_bytes());
        }
        page.extend_from_slice(&0u64.to_le_bytes());
        page.extend_from_slice(&self.features_optional.to_le_bytes());
        page.extend_from_slice(&self.uuid);
        page.extend_from_slice(&self.wal_offset.0.to_le_bytes());
        page.extend_from_slice(&self.wal_len.to_le_bytes());
        page.extend_from_slice(&self.created.0.to_le_bytes());
        seal_page(page)
    }

    /// Reads a header from the first bytes of a file.
    ///
    /// # Errors
    /// [`Error::NotMv2`], [`Error::Memvid2`], [`Error::UnsupportedVersion`], [`Error::UnsupportedFeatures`],
    /// [`Error::Truncated`], [`Error::Checksum`] or [`Error::Invalid`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let start = &bytes[..bytes.len().min(8)];
        if start.starts_with(b"MV2\0") {
            return Err(Error::Memvid2);
        }
        if start != MAGIC {
            return Err(Error::NotMv2 {
                found: start.to_vec(),
            });
        }
        let mut reader = Reader::new(bytes, "header");
        reader.magic(&MAGIC)?;
        let version = Version {
            major: reader.u16()?,
            minor: reader.u16()?,
            draft: reader.u16()?,
        };
        // Before the checksum: a later major version may place it elsewhere.
        if version.major != Version::CURRENT.major || version.draft != Version::CURRENT.draft {
            return Err(Error::UnsupportedVersion {
                major: version.major,
                minor: version.minor,
                draft: version.draft,
            });
        }
        check_page(bytes, "header", FileOffset(0))?;
        reader.reserved(2)?;
        let features_required = reader.u64()?;
        if features_required != 0 {
            return Err(Error::UnsupportedFeatures {
                unknown: features_required,
            });
        }
        let header = Self {
            version,
            features_optional: reader.u64()?,
            uuid: reader.array()?,
            wal_offset: FileOffset(reader.u64()?),
            wal_len: reader.u64()?,
            created: Timestamp(reader.i64()?),
        };
        reader.reserved(PAGE_BYTES - 4 - reader.pos())?;
        let page = PAGE_BYTES as u64;
        let offset = header.wal_offset.0;
        if offset < WAL_OFFSET || !offset.is_multiple_of(page) || offset > i64::MAX as u64 {
            return Err(Error::invalid(
                "header field wal_offset",
                "a page behind the roots",
                offset,
            ));
        }
        let log = (64 << 10..=64 << 20).contains(&header.wal_len) || header.wal_len == 0;
        if !log || !header.wal_len.is_multiple_of(page) {
            return Err(Error::invalid(
                "header field wal_len",
                "0, or 64 KiB to 64 MiB in whole pages",
                header.wal_len,
            ));
        }
        Ok(header)
    }
}

/// Fills a page up and appends its checksum.
pub(crate) fn seal_page(mut page: Vec<u8>) -> Vec<u8> {
    page.resize(PAGE_BYTES - 4, 0);
    let crc = crc32(&page);
    page.extend_from_slice(&crc.to_le_bytes());
    page
}

/// Checks the checksum of a page that `seal_page` made.
pub(crate) fn check_page(bytes: &[u8], what: &'static str, offset: FileOffset) -> Result<()> {
    let mut reader = Reader::new(bytes, what);
    let body = reader.bytes(PAGE_BYTES - 4)?;
    if crc32(body) != reader.u32()? {
        return Err(Error::Checksum { what, offset });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            version: Version::CURRENT,
            features_optional: 0,
            uuid: [7; 16],
            wal_offset: FileOffset(WAL_OFFSET),
            wal_len: 1 << 20,
            created: Timestamp(1),
        }
    }

    #[test]
    fn a_header_comes_back() {
        let page = header().encode();
        assert_eq!(page.len(), PAGE_BYTES);
        assert_eq!(Header::decode(&page).unwrap(), header());
    }

    #[test]
    fn every_flipped_byte_is_an_error() {
        let page = header().encode();
        for at in 0..page.len() {
            let mut bad = page.clone();
            bad[at] ^= 0xff;
            assert!(Header::decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn other_files_are_named() {
        assert_eq!(Header::decode(b"MV2\0\x02\x01"), Err(Error::Memvid2));
        assert!(matches!(Header::decode(b""), Err(Error::NotMv2 { .. })));
        assert!(matches!(
            Header::decode(b"SQLite format 3"),
            Err(Error::NotMv2 { .. })
        ));
        let mut page = header().encode();
        page[8] = 4;
        assert!(matches!(
            Header::decode(&page),
            Err(Error::UnsupportedVersion { major: 4, .. })
        ));
        assert!(matches!(
            Header::decode(&header().encode()[..100]),
            Err(Error::Truncated { .. })
        ));
    }

    #[test]
    fn an_unknown_required_feature_is_refused() {
        let mut page = header().encode();
        page.truncate(PAGE_BYTES - 4);
        page[16] = 4;
        let page = seal_page(page);
        assert_eq!(
            Header::decode(&page),
            Err(Error::UnsupportedFeatures { unknown: 4 })
        );
    }
}
