//! The bytes of a time segment: head, two directories, blocks. Normative text: `FORMAT.md`.
//!
//! ```text
//! +----------+------------------+----------------------+-------------------------------+
//! | head     | groups, 32 bytes | directory, 40 bytes  | blocks: 128 rows each, deltas |
//! | 64 bytes | per 128 blocks   | per block            | of time and frame as varints  |
//! +----------+------------------+----------------------+-------------------------------+
//! ```
//!
//! Rows are sorted by time, then frame, which makes one number of 128 bits of both: the [`Key`].

use mv2_format::wire::{Reader, put_varint, put_zigzag};
use mv2_format::{FrameId, SegmentBytes, Timestamp};

use crate::error::{Error, Result};
use crate::timeline::Row;

const MAGIC: [u8; 4] = *b"MV2E";
const VERSION: u16 = 1;

/// Rows in each block but the last. Two pages of a screen; decoding one takes a microsecond or so.
pub(crate) const BLOCK_ROWS: u64 = 128;
/// Blocks under each group but the last.
pub(crate) const GROUP_BLOCKS: u64 = 128;
/// Most rows of one segment, so that every count and offset is far from the end of its field.
pub(crate) const MAX_ROWS: u64 = 1 << 32;

const HEAD_BYTES: usize = 64;
const GROUP_BYTES: usize = 32;
const ENTRY_BYTES: usize = 40;

/// Time and frame as one number whose order is that of the rows.
pub(crate) type Key = u128;

pub(crate) fn key(row: Row) -> Key {
    edge(row.timestamp, row.frame.get())
}

/// The key of a time and a bare frame number, for the ends of a range.
pub(crate) fn edge(timestamp: Timestamp, frame: u64) -> Key {
    let shifted = timestamp.as_micros() as u64 ^ (1 << 63);
    u128::from(shifted) << 64 | u128::from(frame)
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) rows: u64,
    pub(crate) first_frame: FrameId,
    pub(crate) last_frame: FrameId,
    pub(crate) last_time: Timestamp,
}

/// What a directory says of a block or group: where it begins in time, which frames are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: Row,
    pub(crate) min_frame: FrameId,
    pub(crate) max_frame: FrameId,
}

/// The extent of a block and where its bytes begin behind the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) extent: Extent,
    pub(crate) offset: u64,
}

/// Where the parts of a segment lie.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) head: Head,
    pub(crate) blocks: u64,
    pub(crate) groups: u64,
    groups_at: usize,
    directory_at: usize,
    blocks_at: usize,
}

/// Read
impl Layout {
    /// Reads the head and checks that the directories fit.
    pub(crate) fn open(bytes: &SegmentBytes) -> Result<Self> {
        let len = bytes.len();
        let mut reader = Reader::new(bytes.get(0..len.min(HEAD_BYTES))?, "time segment");
        reader.magic(&MAGIC)?;
        let version = reader.u16()?;
        if version != VERSION {
            return Err(Error::Unsupported {
                found: version,
                readable: VERSION,
            });
        }
        let block_rows = reader.u16()?;
        if u64::from(block_rows) != BLOCK_ROWS {
            return Err(Error::invalid("blocks of 128 rows", block_rows));
        }
        let head = Head {
            rows: reader.u64()?,
            first_frame: FrameId(reader.u64()?),
            last_frame: FrameId(reader.u64()?),
            last_time: Timestamp(reader.i64()?),
        };
        reader.reserved(HEAD_BYTES - reader.pos())?;
        if head.rows == 0 || head.rows > MAX_ROWS {
            return Err(Error::invalid("1 to 2^32 rows", head.rows));
        }
        let span = head.last_frame.get().checked_sub(head.first_frame.get());
        if head.last_frame.get() == u64::MAX || span.is_none_or(|span| span < head.rows - 1) {
            return Err(Error::invalid(
                format!("{} different frames", head.rows),
                format!("frames {} to {}", head.first_frame, head.last_frame),
            ));
        }
        let blocks = head.rows.div_ceil(BLOCK_ROWS);
        let groups = blocks.div_ceil(GROUP_BLOCKS);
        // Rows are at most 2^32, so that none of this overflows.
        let directory_at = HEAD_BYTES as u64 + groups * GROUP_BYTES as u64;
        let blocks_at = directory_at + blocks * ENTRY_BYTES as u64;
        if blocks_at > len as u64 {
            return Err(mv2_format::Error::Truncated {
                what: "time segment",
                needed: blocks_at,
                available: len as u64,
            }
            .into());
        }
        Ok(Self {
            head,
            blocks,
            groups,
            groups_at: HEAD_BYTES,
            directory_at: directory_at as usize,
            blocks_at: blocks_at as usize,
        })
    }

    /// The extent of a group.
    pub(crate) fn group(&self, bytes: &SegmentBytes, group: u64) -> Result<Extent> {
        let at = self.groups_at + group as usize * GROUP_BYTES;
        let mut reader = Reader::new(bytes.get(at..at + GROUP_BYTES)?, "time group");
        self.extent(&mut reader)
    }

    /// The directory's entry of a block.
    pub(crate) fn entry(&self, bytes: &SegmentBytes, block: u64) -> Result<Entry> {
        let at = self.directory_at + block as usize * ENTRY_BYTES;
        let mut reader = Reader::new(bytes.get(at..at + ENTRY_BYTES)?, "time directory");
        Ok(Entry {
            extent: self.extent(&mut reader)?,
            offset: reader.u64()?,
        })
    }

    fn extent(&self, reader: &mut Reader<'_>) -> Result<Extent> {
        let extent = Extent {
            first: Row {
                timestamp: Timestamp(reader.i64()?),
                frame: FrameId(reader.u64()?),
            },
            min_frame: FrameId(reader.u64()?),
            max_frame: FrameId(reader.u64()?),
        };
        let ordered = self.head.first_frame <= extent.min_frame
            && extent.min_frame <= extent.first.frame
            && extent.first.frame <= extent.max_frame
            && extent.max_frame <= self.head.last_frame;
        if !ordered {
            return Err(Error::invalid(
                format!(
                    "frames from {} to {}",
                    self.head.first_frame, self.head.last_frame
                ),
                format!("{extent:?}"),
            ));
        }
        Ok(extent)
    }

    /// Decodes a block into `rows`, which is cleared first.
    ///
    /// Checks order, also against the block that follows, and that the directory's bounds hold.
    pub(crate) fn block(
        &self,
        bytes: &SegmentBytes,
        block: u64,
        entry: &Entry,
        rows: &mut Vec<Row>,
    ) -> Result<()> {
        rows.clear();
        let section = (bytes.len() - self.blocks_at) as u64;
        let (end, end_key) = if block + 1 < self.blocks {
            let next = self.entry(bytes, block + 1)?;
            (next.offset, key(next.extent.first))
        } else {
            (section, edge(self.head.last_time, u64::MAX))
        };
        let start = entry.offset;
        if start > end || end > section || (block == 0 && start != 0) {
            return Err(Error::invalid(
                format!("blocks one after the other in {section} bytes"),
                format!("block {block} from {start} to {end}"),
            ));
        }
        let range = self.blocks_at + start as usize..self.blocks_at + end as usize;
        let mut reader = Reader::new(bytes.get(range)?, "time block");
        let unit = reader.varint()?;
        if unit == 0 {
            return Err(Error::invalid("a unit of at least 1", unit));
        }
        let count = (self.head.rows - block * BLOCK_ROWS).min(BLOCK_ROWS);
        let mut row = entry.extent.first;
        rows.push(row);
        for _ in 1..count {
            let next = next_row(&mut reader, row, unit)?;
            if key(next) <= key(row)
                || next.frame < entry.extent.min_frame
                || next.frame > entry.extent.max_frame
            {
                return Err(Error::invalid(
                    format!("a row after {row:?} within {:?}", entry.extent),
                    format!("{next:?}"),
                ));
            }
            row = next;
            rows.push(row);
        }
        reader.finish()?;
        if key(row) >= end_key {
            return Err(Error::invalid(
                format!("rows of block {block} before those that follow"),
                format!("{row:?}"),
            ));
        }
        Ok(())
    }
}

fn next_row(reader: &mut Reader<'_>, row: Row, unit: u64) -> Result<Row> {
    let steps = reader.varint()?;
    let frame = row.frame.get().wrapping_add(reader.zigzag()? as u64);
    let timestamp = steps
        .checked_mul(unit)
        .and_then(|delta| row.timestamp.as_micros().checked_add_unsigned(delta))
        .ok_or_else(|| Error::invalid("a time of 64 bits", format!("{steps} x {unit}")))?;
    Ok(Row {
        timestamp: Timestamp(timestamp),
        frame: FrameId(frame),
    })
}

/// Writes a segment. `rows` are sorted, not empty, at most [`MAX_ROWS`], and each frame is there once.
pub(crate) fn encode(rows: &[Row]) -> Vec<u8> {
    let mut directory = Vec::new();
    let mut blocks = Vec::new();
    let mut groups: Vec<Extent> = Vec::new();
    for (at, block) in rows.chunks(BLOCK_ROWS as usize).enumerate() {
        let extent = extent_of(block);
        put_extent(&mut directory, &extent);
        directory.extend_from_slice(&(blocks.len() as u64).to_le_bytes());
        encode_block(&mut blocks, block);
        match groups.last_mut() {
            Some(group) if !(at as u64).is_multiple_of(GROUP_BLOCKS) => {
                group.min_frame = group.min_frame.min(extent.min_frame);
                group.max_frame = group.max_frame.max(extent.max_frame);
            }
            _ => groups.push(extent),
        }
    }
    let frames = extent_of(rows);
    let last_time = rows.last().map_or_else(Timestamp::default, |r| r.timestamp);
    let mut out = Vec::with_capacity(
        HEAD_BYTES + groups.len() * GROUP_BYTES + directory.len() + blocks.len(),
    );
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(BLOCK_ROWS as u16).to_le_bytes());
    out.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    out.extend_from_slice(&frames.min_frame.get().to_le_bytes());
    out.extend_from_slice(&frames.max_frame.get().to_le_bytes());
    out.extend_from_slice(&last_time.as_micros().to_le_bytes());
    out.resize(HEAD_BYTES, 0);
    for group in &groups {
        put_extent(&mut out, group);
    }
    out.extend_from_slice(&directory);
    out.extend_from_slice(&blocks);
    out
}

/// The extent of rows that are not empty.
pub(crate) fn extent_of(rows: &[Row]) -> Extent {
    let frames = || rows.iter().map(|row| row.frame);
    Extent {
        first: rows.first().copied().unwrap_or_default(),
        min_frame: frames().min().unwrap_or_default(),
        max_frame: frames().max().unwrap_or_default(),
    }
}

fn put_extent(out: &mut Vec<u8>, extent: &Extent) {
    out.extend_from_slice(&extent.first.timestamp.as_micros().to_le_bytes());
    out.extend_from_slice(&extent.first.frame.get().to_le_bytes());
    out.extend_from_slice(&extent.min_frame.get().to_le_bytes());
    out.extend_from_slice(&extent.max_frame.get().to_le_bytes());
}

/// Times are mostly whole seconds, minutes or days: their common measure is written once.
fn encode_block(out: &mut Vec<u8>, rows: &[Row]) {
    let delta = |pair: &[Row]| pair[0].timestamp.0.abs_diff(pair[1].timestamp.0);
    let unit = rows.windows(2).map(delta).fold(0, gcd).max(1);
    put_varint(out, unit);
    for pair in rows.windows(2) {
        put_varint(out, delta(pair) / unit);
        let frames = pair[1].frame.get().wrapping_sub(pair[0].frame.get());
        put_zigzag(out, frames as i64);
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
