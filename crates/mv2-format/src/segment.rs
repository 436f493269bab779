//! Segments: immutable byte ranges whose every page is checked when it is first touched.
//!
//! ```text
//! extent of a segment in the file
//! +----------------------+---------------------------+--------------------------+
//! | body, `len` bytes    | page table: one CRC-32    | summary: one CRC-32 for  |
//! | in pages of 4 KiB    | for each page of the body | each 4 KiB of page table |
//! +----------------------+---------------------------+--------------------------+
//! ```
//!
//! The TOC holds the CRC-32 of the summary and the BLAKE3 of the whole extent. Opening a segment
//! checks the summary (4 bytes for 4 MiB of body), reading a byte checks its page of the body and
//! that page's page of the table, each once. See `docs/format.md`, section "Segments".

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::checksum::crc32;
use crate::error::{Error, Result};
use crate::ids::FileOffset;

/// Bytes that one CRC-32 covers, of the body and of the page table.
pub const PAGE_BYTES: usize = 4096;

/// What a segment holds. The store treats kinds that it does not know as opaque.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKind(pub u16);

impl SegmentKind {
    /// Frames: columns, payload blocks, uri table.
    pub const DATA: Self = Self(1);
    /// The commit log.
    pub const COMMITS: Self = Self(2);
    /// Tombstones: which frames died in which commit.
    pub const TOMBSTONES: Self = Self(3);
    /// Purged frames: which numbers have nothing behind them any more.
    pub const PURGED: Self = Self(4);
    /// The journal: searches that were noted down.
    pub const JOURNAL: Self = Self(6);
    /// Properties: small named values with their history.
    pub const PROPERTIES: Self = Self(7);
    /// What frames carry for an index that was not at hand when they were committed.
    pub const ATTACHMENTS: Self = Self(8);
    /// A lexical index over a run of frames.
    pub const LEX: Self = Self(16);
    /// An index of vectors, over rows that frames carry.
    pub const VECTORS: Self = Self(17);
    /// A time index over a run of frames.
    pub const TIME: Self = Self(18);

    /// The kind's name in messages and JSON: `data`, `commits`, `tombstones`, `purged`, `journal`, `properties`, `attachments`, `lex`,
    /// `vectors`, `time` or `kind-N`.
    pub fn name(self) -> String {
        match self {
            Self::DATA => "data".into(),
            Self::COMMITS => "commits".into(),
            Self::TOMBSTONES => "tombstones".into(),
            Self::PURGED => "purged".into(),
            Self::JOURNAL => "journal".into(),
            Self::PROPERTIES => "properties".into(),
            Self::ATTACHMENTS => "attachments".into(),
            Self::LEX => "lex".into(),
            Self::VECTORS => "vectors".into(),
            Self::TIME => "time".into(),
            Self(other) => format!("kind-{other}"),
        }
    }
}

impl fmt::Display for SegmentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for SegmentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Bytes of the page table and summary that follow a body of `len` bytes.
pub const fn tables_len(len: u64) -> u64 {
    let table = len.div_ceil(PAGE_BYTES as u64) * 4;
    table + table.div_ceil(PAGE_BYTES as u64) * 4
}

/// Builds the page table and summary of a body that is written piece by piece.
#[derive(Debug, Default)]
pub struct TableBuilder {
    table: Vec<u8>,
    page: crc32fast::Hasher,
    page_len: usize,
}

impl TableBuilder {
    /// Takes in the next piece of the body.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = PAGE_BYTES - self.page_len;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.page.update(now);
            self.page_len += now.len();
            bytes = later;
            if self.page_len == PAGE_BYTES {
                self.close_page();
            }
        }
    }

    /// The page table and the summary, and the summary's CRC-32.
    pub fn finish(mut self) -> (Vec<u8>, u32) {
        if self.page_len > 0 {
            self.close_page();
        }
        let mut summary = Vec::with_capacity(self.table.len().div_ceil(PAGE_BYTES) * 4);
        for page in self.table.chunks(PAGE_BYTES) {
            summary.extend_from_slice(&crc32(page).to_le_bytes());
        }
        let summary_crc = crc32(&summary);
        self.table.extend_from_slice(&summary);
        (self.table, summary_crc)
    }

    fn close_page(&mut self) {
        let page = std::mem::take(&mut self.page);
        self.table.extend_from_slice(&page.finalize().to_le_bytes());
        self.page_len = 0;
    }
}

/// Builds the page table and summary of a body and returns them with the summary's CRC-32.
pub fn build_tables(body: &[u8]) -> (Vec<u8>, u32) {
    let mut builder = TableBuilder::default();
    builder.update(body);
    builder.finish()
}

/// Who keeps the bytes of a segment alive: a memory map or a buffer.
///
/// `bytes` returns the same address and the same contents for as long as the owner lives.
pub trait ByteOwner: Send + Sync + 'static {
    /// The bytes.
    fn bytes(&self) -> &[u8];
}

impl ByteOwner for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// A range of a segment's body. Cheap to clone and to slice; each page is checked when it is
/// first read, so that nobody sees an unchecked byte.
#[derive(Clone)]
pub struct SegmentBytes {
    shared: Arc<Shared>,
    range: Range<usize>,
}

struct Shared {
    owner: Arc<dyn ByteOwner>,
    /// Length of the body, which is at the start of the owner's bytes.
    body_len: usize,
    /// Where the body begins in the file, for messages.
    offset: FileOffset,
    /// One bit for each page of the body, then one for each page of the page table; a set bit
    /// means checked. `None` for bytes that were made in this process.
    checked: Option<Vec<AtomicU64>>,
}

/// Construct
impl SegmentBytes {
    /// Opens the extent of a segment: a body of `body_len` bytes and its tables.
    ///
    /// Checks the summary only; costs 4 bytes of reading for 4 MiB of body.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the extent is shorter than the body and its tables,
    /// [`Error::Checksum`] if the summary is damaged.
    pub fn open(
        owner: Arc<dyn ByteOwner>,
        body_len: u64,
        summary_crc: u32,
        offset: FileOffset,
    ) -> Result<Self> {
        let available = owner.bytes().len() as u64;
        let needed = body_len.saturating_add(tables_len(body_len.min(u64::MAX / 2)));
        if needed > available {
            return Err(Error::Truncated {
                what: "segment",
                needed,
                available,
            });
        }
        // The owner holds `needed` bytes in memory, so both fit in usize.
        let body_len = body_len as usize;
        let pages = body_len.div_ceil(PAGE_BYTES);
        let table_pages = (pages * 4).div_ceil(PAGE_BYTES);
        let summary = &owner.bytes()[body_len + pages * 4..needed as usize];
        if crc32(summary) != summary_crc {
            return Err(Error::Checksum {
                what: "segment summary",
                offset: FileOffset(offset.0 + (body_len + pages * 4) as u64),
            });
        }
        let words = (pages + table_pages).div_ceil(64);
        let shared = Shared {
            owner,
            body_len,
            offset,
            checked: Some((0..words).map(|_| AtomicU64::new(0)).collect()),
        };
        Ok(Self {
            shared: Arc::new(shared),
            range: 0..body_len,
        })
    }

    /// Wraps bytes that were made in this process and need no check.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self::from_owner(Arc::new(bytes))
    }

    /// The same, for an owner who takes them back later.
    pub fn from_owner(owner: Arc<dyn ByteOwner>) -> Self {
        let body_len = owner.bytes().len();
        let shared = Shared {
            owner,
            body_len,
            offset: FileOffset(0),
            checked: None,
        };
        Self {
            shared: Arc::new(shared),
            range: 0..body_len,
        }
    }

    /// A part of these bytes. Checks bounds, not contents.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the range ends behind these bytes.
    pub fn slice(&self, range: Range<usize>) -> Result<Self> {
        Ok(Self {
            shared: Arc::clone(&self.shared),
            range: self.absolute(range)?,
        })
    }
}

/// Access
impl SegmentBytes {
    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Where these bytes begin in the file; 0 for bytes that were made in this process.
    pub fn file_offset(&self) -> FileOffset {
        FileOffset(self.shared.offset.0 + self.range.start as u64)
    }

    /// The bytes of a range, relative to the start of this slice, checked.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the range ends behind these bytes, [`Error::Checksum`] if a page
    /// that it touches is damaged.
    #[inline]
    pub fn get(&self, range: Range<usize>) -> Result<&[u8]> {
        self.pages().get(range)
    }

    /// The same bytes for somebody who reads many small ranges of them.
    pub fn pages(&self) -> Pages<'_> {
        Pages {
            bytes: &self.shared.owner.bytes()[self.range.clone()],
            start: self.range.start,
            shared: &self.shared,
        }
    }

    /// All bytes, checked.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn all(&self) -> Result<&[u8]> {
        self.get(0..self.len())
    }

    #[inline]
    fn absolute(&self, range: Range<usize>) -> Result<Range<usize>> {
        if range.start > range.end || range.end > self.len() {
            return Err(beyond(range.end, self.len()));
        }
        Ok(self.range.start + range.start..self.range.start + range.end)
    }
}

/// [`SegmentBytes`] of which the owner was asked once: a range costs a few instructions where its
/// pages were checked before.
#[derive(Clone, Copy)]
pub struct Pages<'a> {
    /// Not checked yet, so for [`get`](Self::get) alone.
    bytes: &'a [u8],
    /// Where they begin in the body.
    start: usize,
    shared: &'a Shared,
}

impl<'a> Pages<'a> {
    /// The bytes of a range, checked.
    ///
    /// # Errors
    /// As for [`SegmentBytes::get`].
    #[inline]
    pub fn get(&self, range: Range<usize>) -> Result<&'a [u8]> {
        let Some(bytes) = self.bytes.get(range.clone()) else {
            return Err(beyond(range.end, self.bytes.len()));
        };
        self.shared
            .check(&(self.start + range.start..self.start + range.end))?;
        Ok(bytes)
    }
}

impl fmt::Debug for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({} bytes)", self.bytes.len())
    }
}

#[cold]
fn beyond(end: usize, len: usize) -> Error {
    Error::Truncated {
        what: "segment range",
        needed: end as u64,
        available: len as u64,
    }
}

impl fmt::Debug for SegmentBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SegmentBytes({} bytes at {})",
            self.len(),
            self.file_offset()
        )
    }
}

impl Shared {
    /// Checks the pages under a range of the body that were not checked yet.
    ///
    /// Two threads may check the same page at once; both come to the same result.
    #[inline]
    fn check(&self, range: &Range<usize>) -> Result<()> {
        let Some(checked) = &self.checked else {
            return Ok(());
        };
        if range.is_empty() {
            return Ok(());
        }
        let (first, last) = (range.start / PAGE_BYTES, (range.end - 1) / PAGE_BYTES);
        // Nearly always all in one word, and checked long ago.
        if first / 64 == last / 64 {
            let wanted = (u64::MAX << (first % 64)) & (u64::MAX >> (63 - last % 64));
            if checked[first / 64].load(Ordering::Acquire) & wanted == wanted {
                return Ok(());
            }
        }
        self.check_pages(first, last, checked)
    }

    #[cold]
    fn check_pages(&self, first: usize, last: usize, checked: &[AtomicU64]) -> Result<()> {
        for word in first / 64..=last / 64 {
            let from = first.saturating_sub(word * 64);
            let to = (last - word * 64).min(63);
            let wanted = (u64::MAX << from) & (u64::MAX >> (63 - to));
            let unknown = wanted & !checked[word].load(Ordering::Acquire);
            let mut left = unknown;
            while left != 0 {
                self.check_page(word * 64 + left.trailing_zeros() as usize, checked)?;
                left &= left - 1;
            }
            if unknown != 0 {
                checked[word].fetch_or(unknown, Ordering::AcqRel);
            }
        }
        Ok(())
    }

    fn check_page(&self, page: usize, checked: &[AtomicU64]) -> Result<()> {
        let pages = self.body_len.div_ceil(PAGE_BYTES);
        let table_page = page * 4 / PAGE_BYTES;
        let table_bit = pages + table_page;
        let (word, bit) = (&checked[table_bit / 64], 1 << (table_bit % 64));
        if word.load(Ordering::Acquire) & bit == 0 {
            self.check_table_page(table_page, pages)?;
            word.fetch_or(bit, Ordering::AcqRel);
        }
        let bytes = self.owner.bytes();
        let start = page * PAGE_BYTES;
        let end = (start + PAGE_BYTES).min(self.body_len);
        if crc32(&bytes[start..end]) != read_u32(bytes, self.body_len + page * 4) {
            return Err(self.damaged("page of a segment", start));
        }
        Ok(())
    }

    fn check_table_page(&self, table_page: usize, pages: usize) -> Result<()> {
        let bytes = self.owner.bytes();
        let table = self.body_len;
        let summary = table + pages * 4;
        let start = table + table_page * PAGE_BYTES;
        let end = (start + PAGE_BYTES).min(summary);
        if crc32(&bytes[start..end]) != read_u32(bytes, summary + table_page * 4) {
            return Err(self.damaged("page table of a segment", start));
        }
        Ok(())
    }

    fn damaged(&self, what: &'static str, start: usize) -> Error {
        Error::Checksum {
            what,
            offset: FileOffset(self.offset.0 + start as u64),
        }
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(body: &[u8]) -> (Vec<u8>, u32) {
        let (tables, crc) = build_tables(body);
        assert_eq!(tables.len() as u64, tables_len(body.len() as u64));
        ([body, &tables[..]].concat(), crc)
    }

    fn body(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    #[test]
    fn bytes_of_every_size_come_back() {
        for len in [0, 1, 4095, 4096, 4097, 5 << 20] {
            let body = body(len);
            let (bytes, crc) = extent(&body);
            let seg =
                SegmentBytes::open(Arc::new(bytes), len as u64, crc, FileOffset(8192)).unwrap();
            assert_eq!(seg.all().unwrap(), &body[..]);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_reported_at_its_page() {
        let body = body(3 * 4096 + 10);
        let (bytes, crc) = extent(&body);
        for at in (0..bytes.len()).step_by(97) {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            let result = SegmentBytes::open(Arc::new(bad), body.len() as u64, crc, FileOffset(100))
                .and_then(|seg| seg.all().map(<[u8]>::to_vec));
            let error = result.expect_err("damage must be seen");
            let offset = error.offset().unwrap().0 - 100;
            if at < body.len() {
                assert_eq!(offset as usize, at / PAGE_BYTES * PAGE_BYTES);
            }
        }
    }

    #[test]
    fn damage_elsewhere_does_not_hide_a_sound_page() {
        let body = body(3 * 4096);
        let (mut bytes, crc) = extent(&body);
        bytes[5000] ^= 1;
        let seg =
            SegmentBytes::open(Arc::new(bytes), body.len() as u64, crc, FileOffset(0)).unwrap();
        assert_eq!(seg.get(0..4096).unwrap(), &body[..4096]);
        assert!(seg.get(4000..4097).is_err());
        assert!(seg.slice(8192..8200).unwrap().all().is_ok());
    }

    #[test]
    fn ranges_outside_are_errors() {
        let seg = SegmentBytes::from_vec(vec![1, 2, 3]);
        assert!(seg.get(0..4).is_err());
        assert!(seg.slice(1..2).unwrap().get(0..2).is_err());
        let reversed = Range { start: 3, end: 2 };
        assert!(seg.get(reversed).is_err());
        assert!(SegmentBytes::open(Arc::new(vec![0; 10]), u64::MAX, 0, FileOffset(0)).is_err());
    }
}
