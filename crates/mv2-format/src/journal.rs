//! The journal: what was asked of a memory and what it answered, where a user wants that kept.
//! `docs/format.md`, section "Journal".
//!
//! ```text
//! magic | version | number of entries | commit, end | commit, end | ... | entry | entry | ...
//! ```
//!
//! An entry is a commit of bookkeeping and bytes that this crate does not look into. The table in front finds those of a range of
//! commits without a look at the others.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ids::CommitId;
use crate::segment::SegmentBytes;
use crate::wire::Reader;

const MAGIC: &[u8; 4] = b"MV2J";
const HEAD_BYTES: usize = 16;
const ROW_BYTES: usize = 16;

/// Longest entry, in bytes.
pub const MAX_ENTRY_BYTES: usize = 1 << 20;

/// What was asked and answered, and the commit that noted it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The commit, of bookkeeping. No other entry has it.
    pub commit: CommitId,
    /// The entry: a JSON text.
    pub bytes: Arc<[u8]>,
}

/// Checks the limit of the format.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn check_len(len: usize) -> Result<()> {
    match len > MAX_ENTRY_BYTES {
        true => Err(Error::TooLarge {
            what: "journal entry",
            len: len as u64,
            limit: MAX_ENTRY_BYTES as u64,
        }),
        false => Ok(()),
    }
}

/// Encodes entries, by commit, as the body of a segment.
pub fn encode(entries: &[JournalEntry]) -> Vec<u8> {
    let bytes: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + entries.len() * ROW_BYTES + bytes);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    let mut end = 0u64;
    for entry in entries {
        end += entry.bytes.len() as u64;
        out.extend_from_slice(&entry.commit.0.to_le_bytes());
        out.extend_from_slice(&end.to_le_bytes());
    }
    for entry in entries {
        out.extend_from_slice(&entry.bytes);
    }
    out
}

/// A segment of the journal.
///
/// ```
/// use mv2_format::journal::{JournalEntry, JournalSegment, encode};
/// use mv2_format::{CommitId, SegmentBytes};
///
/// let entry = JournalEntry { commit: CommitId(4), bytes: b"{}".as_slice().into() };
/// let segment = JournalSegment::open(SegmentBytes::from_vec(encode(std::slice::from_ref(&entry))))?;
/// assert_eq!(segment.position(CommitId(3))?, 0);
/// assert_eq!(segment.entry(0)?, entry);
/// # Ok::<(), mv2_format::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct JournalSegment {
    bytes: SegmentBytes,
    count: usize,
}

impl JournalSegment {
    /// Opens a segment's body: reads its head and the end of its table.
    ///
    /// # Errors
    /// Whatever is wrong with them, or with the pages that hold them.
    pub fn open(bytes: SegmentBytes) -> Result<Self> {
        let head = bytes.get(0..HEAD_BYTES.min(bytes.len()))?;
        let mut reader = Reader::new(head, "journal segment");
        reader.magic(MAGIC)?;
        let version = reader.u16()?;
        if version != 1 {
            return Err(Error::invalid("journal segment version", "1", version));
        }
        reader.reserved(2)?;
        let count = reader.u64()?;
        let rest = (bytes.len() - HEAD_BYTES) as u64;
        let table = count.checked_mul(ROW_BYTES as u64);
        let Some(len) = table.and_then(|table| rest.checked_sub(table)) else {
            let expected = format!("a table within {rest} bytes");
            return Err(Error::invalid("number of journal entries", expected, count));
        };
        let segment = Self {
            bytes,
            count: count as usize,
        };
        let end = match segment.count.checked_sub(1) {
            Some(last) => segment.row(last)?.1,
            None => 0,
        };
        if end != len {
            return Err(Error::invalid(
                "end of the journal's entries",
                len.to_string(),
                end,
            ));
        }
        Ok(segment)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The position of the first entry whose commit is this one or a later one; the number of entries if there is none.
    ///
    /// # Errors
    /// A damaged page.
    pub fn position(&self, commit: CommitId) -> Result<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.row(middle)?.0 < commit {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The commit of the entry at a position.
    ///
    /// # Errors
    /// A damaged page, or a position behind the end.
    pub fn commit(&self, index: usize) -> Result<CommitId> {
        Ok(self.row(index)?.0)
    }

    /// The entry at a position.
    ///
    /// # Errors
    /// A damaged page, an entry that does not lie behind the one before it or is too long, or a position behind the end.
    pub fn entry(&self, index: usize) -> Result<JournalEntry> {
        let (commit, end) = self.row(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => self.row(before)?.1,
            None => 0,
        };
        let base = HEAD_BYTES + self.count * ROW_BYTES;
        let available = (self.bytes.len() - base) as u64;
        if start > end || end > available {
            let expected = format!("an entry from {start} on, up to {available} at the most");
            return Err(Error::invalid("end of a journal entry", expected, end));
        }
        check_len((end - start) as usize)?;
        let bytes = self.bytes.get(base + start as usize..base + end as usize)?;
        Ok(JournalEntry {
            commit,
            bytes: bytes.into(),
        })
    }

    /// Commit and end of the entry at a position.
    fn row(&self, index: usize) -> Result<(CommitId, u64)> {
        let at = HEAD_BYTES + index.min(self.count) * ROW_BYTES;
        let end = HEAD_BYTES + self.count * ROW_BYTES;
        let mut reader = Reader::new(
            self.bytes.get(at..(at + ROW_BYTES).min(end))?,
            "journal row",
        );
        Ok((CommitId(reader.u64()?), reader.u64()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(body: Vec<u8>) -> Result<JournalSegment> {
        JournalSegment::open(SegmentBytes::from_vec(body))
    }

    fn entries(lens: &[usize]) -> Vec<JournalEntry> {
        let entry = |(at, len): (usize, &usize)| JournalEntry {
            commit: CommitId(2 * at as u64 + 3),
            bytes: vec![at as u8; *len].into(),
        };
        lens.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn entries_are_found_by_their_commits() {
        let entries = entries(&[5, 0, 9_000, 1, 300]);
        let segment = open(encode(&entries)).unwrap();
        assert_eq!(segment.len(), 5);
        for (at, entry) in entries.iter().enumerate() {
            assert_eq!(segment.entry(at).unwrap(), *entry);
            assert_eq!(segment.position(entry.commit).unwrap(), at);
            assert_eq!(segment.position(CommitId(entry.commit.0 - 1)).unwrap(), at);
        }
        assert_eq!(segment.position(CommitId(99)).unwrap(), 5);
        assert!(segment.entry(5).is_err());
        assert!(segment.entry(usize::MAX).is_err());
    }

    #[test]
    fn lengths_that_lie_are_refused_before_anything_is_allocated() {
        let body = encode(&entries(&[5, 7]));
        let with = |at: usize, value: u64| {
            let mut bad = body.clone();
            bad[at..at + 8].copy_from_slice(&value.to_le_bytes());
            bad
        };
        for count in [0, 1, 3, 1 << 60, u64::MAX] {
            assert!(open(with(8, count)).is_err(), "{count} entries");
        }
        for end in [11, 13, u64::MAX] {
            assert!(open(with(40, end)).is_err(), "the last ends at {end}");
        }
        // The first ends behind the second, or behind the segment.
        for end in [13, u64::MAX] {
            let segment = open(with(24, end)).unwrap();
            assert!(segment.entry(0).is_err() && segment.entry(1).is_err());
        }
        let long = encode(&entries(&[MAX_ENTRY_BYTES + 1]));
        let error = open(long).unwrap().entry(0).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        assert!(check_len(MAX_ENTRY_BYTES).is_ok());
    }

    #[test]
    fn other_heads_are_refused() {
        let body = encode(&entries(&[5]));
        for at in 0..8 {
            let mut bad = body.clone();
            bad[at] ^= 1;
            assert!(open(bad).is_err(), "byte {at}");
        }
        assert!(open(body[..15].to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn entries_come_back(lens in proptest::collection::vec(0usize..2_000, 0..20)) {
            let entries = entries(&lens);
            let segment = open(encode(&entries)).unwrap();
            let back: Result<Vec<_>> = (0..segment.len()).map(|at| segment.entry(at)).collect();
            prop_assert_eq!(back.unwrap(), entries);
        }

        #[test]
        fn any_bytes_are_read_without_panic(mut bytes: Vec<u8>, count in 0u64..4, any: bool) {
            if !any {
                let head = [&MAGIC[..], &[1, 0, 0, 0], &count.to_le_bytes()].concat();
                bytes.splice(0..0, head);
            }
            if let Ok(segment) = open(bytes) {
                for at in 0..segment.len().min(10) {
                    let _ = segment.entry(at);
                    let _ = segment.commit(at);
                }
                let _ = segment.position(CommitId(5));
            }
        }
    }
}
