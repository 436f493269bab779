//! Tombstones: which frame died in which commit, and what took its place.
//! `docs/format.md`, section "Tombstones".

use std::ops::Range;

use crate::error::{Error, Result};
use crate::ids::{CommitId, FrameId, LineageId};
use crate::segment::SegmentBytes;
use crate::wire::Reader;

const MAGIC: &[u8; 4] = b"MV2T";
const HEAD_BYTES: usize = 32;
const ROW_BYTES: usize = 32;

/// A death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tombstone {
    /// The frame that died.
    pub frame: FrameId,
    /// When.
    pub commit: CommitId,
    /// The frame that took its place; none if it was deleted.
    pub by: Option<FrameId>,
    /// The lineage of the commit.
    pub lineage: LineageId,
}

/// Encodes tombstones as the body of a segment. Sorts them.
pub fn encode(mut rows: Vec<Tombstone>) -> Vec<u8> {
    rows.sort_unstable();
    let mut out = Vec::with_capacity(HEAD_BYTES + rows.len() * ROW_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    out.extend_from_slice(&[0; 16]);
    for row in rows {
        out.extend_from_slice(&row.frame.0.to_le_bytes());
        out.extend_from_slice(&row.commit.0.to_le_bytes());
        out.extend_from_slice(&encode_by(row.by).to_le_bytes());
        out.extend_from_slice(&row.lineage.0.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }
    out
}

/// The successor of a dead frame as a number: 2^64-1 for none.
pub(crate) fn encode_by(by: Option<FrameId>) -> u64 {
    by.map_or(u64::MAX, |frame| frame.0)
}

/// The inverse of `encode_by`.
pub(crate) fn decode_by(by: u64) -> Option<FrameId> {
    (by != u64::MAX).then_some(FrameId(by))
}

/// A segment of tombstones.
#[derive(Clone, Debug)]
pub struct TombstoneSegment {
    bytes: SegmentBytes,
    count: usize,
}

impl TombstoneSegment {
    /// Opens a segment's body: reads its head.
    ///
    /// # Errors
    /// Whatever is wrong with the head, or with the page that holds it.
    pub fn open(bytes: SegmentBytes) -> Result<Self> {
        let head = bytes.get(0..HEAD_BYTES.min(bytes.len()))?;
        let mut reader = Reader::new(head, "tombstone segment");
        reader.magic(MAGIC)?;
        let version = reader.u16()?;
        if version != 1 {
            return Err(Error::invalid("tombstone segment version", "1", version));
        }
        reader.reserved(2)?;
        let count = reader.u64()?;
        reader.reserved(16)?;
        let rows = (bytes.len() - HEAD_BYTES) as u64;
        if count.checked_mul(ROW_BYTES as u64) != Some(rows) {
            return Err(Error::invalid(
                "tombstone count",
                format!("{rows} bytes of rows"),
                count,
            ));
        }
        Ok(Self {
            bytes,
            count: count as usize,
        })
    }

    /// Number of tombstones.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The row at a position.
    ///
    /// # Errors
    /// A damaged page, an invalid row, or a position behind the end.
    pub fn row(&self, index: usize) -> Result<Tombstone> {
        let at = HEAD_BYTES + index.min(self.count) * ROW_BYTES;
        let mut reader = Reader::new(self.bytes.get(at..at + ROW_BYTES)?, "tombstone");
        let row = Tombstone {
            frame: FrameId(reader.u64()?),
            commit: CommitId(reader.u64()?),
            by: decode_by(reader.u64()?),
            lineage: LineageId(reader.u32()?),
        };
        reader.reserved(4)?;
        Ok(row)
    }

    /// The tombstones of a range of frames, in order.
    pub fn range(&self, frames: Range<FrameId>) -> impl Iterator<Item = Result<Tombstone>> + '_ {
        let (start, error) = match self.lower_bound(frames.start) {
            Ok(start) => (start, None),
            Err(error) => (self.count, Some(Err(error))),
        };
        let rows = (start..self.count)
            .map(|index| self.row(index))
            .take_while(move |row| row.as_ref().map_or(true, |row| row.frame < frames.end));
        error.into_iter().chain(rows)
    }

    fn lower_bound(&self, frame: FrameId) -> Result<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.row(middle)?.frame < frame {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(frame: u64, commit: u64, by: Option<u64>) -> Tombstone {
        Tombstone {
            frame: FrameId(frame),
            commit: CommitId(commit),
            by: by.map(FrameId),
            lineage: LineageId(0),
        }
    }

    #[test]
    fn rows_are_found_by_frame() {
        let rows: Vec<_> = (0..500)
            .rev()
            .map(|i| row(i * 2, i + 1, (i % 3 == 0).then_some(i * 2 + 9)))
            .collect();
        let segment = TombstoneSegment::open(SegmentBytes::from_vec(encode(rows.clone()))).unwrap();
        assert_eq!(segment.len(), 500);
        for expected in &rows {
            let of = |frame: FrameId| -> Vec<_> {
                segment
                    .range(frame..frame.next())
                    .map(Result::unwrap)
                    .collect()
            };
            assert_eq!(of(expected.frame), [*expected]);
            assert_eq!(of(expected.frame.next()), []);
        }
        let range: Vec<_> = segment
            .range(FrameId(11)..FrameId(15))
            .map(|row| row.unwrap().frame.0)
            .collect();
        assert_eq!(range, [12, 14]);
    }

    #[test]
    fn a_false_count_is_refused() {
        let mut body = encode(vec![row(1, 1, None)]);
        body[8] = 2;
        assert!(TombstoneSegment::open(SegmentBytes::from_vec(body)).is_err());
        assert!(TombstoneSegment::open(SegmentBytes::from_vec(vec![0; 7])).is_err());
    }
}
