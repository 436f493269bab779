//! An opened time segment: access to its bounds and blocks, seeking, and its deep check.

use std::fmt;
use std::ops::Range;

use mv2_format::{FrameId, SegmentBytes, Timestamp};

use crate::error::{Error, Result};
use crate::index::Builder;
use crate::layout::{self, BLOCK_ROWS, Entry, Extent, GROUP_BLOCKS, Key, Layout, edge, key};
use crate::timeline::Row;

/// An opened time segment. Opening reads 64 bytes; the rest is checked as it is touched.
///
/// ```
/// use mv2_format::{FrameId, Timestamp};
/// use mv2_time::Segment;
///
/// let segment = Segment::build([(Timestamp(20), FrameId(0)), (Timestamp(10), FrameId(1))])?;
/// assert_eq!(segment.rows(), 2);
/// assert_eq!(segment.first_time()?, Timestamp(10));
/// assert_eq!(segment.end_frame(), FrameId(2));
/// # Ok::<(), mv2_time::Error>(())
/// ```
#[derive(Clone)]
pub struct Segment {
    bytes: SegmentBytes,
    pub(crate) layout: Layout,
}

/// Construct
impl Segment {
    /// Opens a segment.
    ///
    /// # Errors
    /// [`Error::Format`] for damage, [`Error::Unsupported`] for a version of another build.
    pub fn open(bytes: SegmentBytes) -> Result<Self> {
        let layout = Layout::open(&bytes)?;
        Ok(Self { bytes, layout })
    }

    /// Builds a segment in memory, for frames that are not in a segment of the file yet. They come in
    /// ascending order of their ids.
    ///
    /// # Errors
    /// [`Error::NoFrames`]; [`Error::Order`] if ids do not ascend; [`Error::TooManyFrames`].
    pub fn build(rows: impl IntoIterator<Item = (Timestamp, FrameId)>) -> Result<Self> {
        let mut builder = Builder::default();
        for (timestamp, frame) in rows {
            builder.add_row(timestamp, frame)?;
        }
        Self::open(SegmentBytes::from_vec(builder.finish_segment()?))
    }
}

/// Access
impl Segment {
    /// Number of rows, one for each frame. At least 1.
    pub fn rows(&self) -> u64 {
        self.layout.head.rows
    }

    /// The lowest frame.
    pub fn first_frame(&self) -> FrameId {
        self.layout.head.first_frame
    }

    /// One past the highest frame.
    pub fn end_frame(&self) -> FrameId {
        self.layout.head.last_frame.next()
    }

    /// The earliest time.
    ///
    /// # Errors
    /// [`Error::Format`] for damage.
    pub fn first_time(&self) -> Result<Timestamp> {
        Ok(self.group(0)?.first.timestamp)
    }

    /// The latest time.
    pub fn last_time(&self) -> Timestamp {
        self.layout.head.last_time
    }

    /// The frames whose times lie from `since` to `until`, both included, as runs of ids; dead ones too.
    /// In no order: runs follow the times.
    ///
    /// Frames that were put in the order of their times cost a step for each group of 16,384, which is
    /// not decoded; frames that came at random one for each.
    ///
    /// # Errors
    /// [`Error::Format`] for damage.
    pub fn frames_between(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Vec<Range<FrameId>>> {
        let from = since.map_or(0, |since| edge(since, 0));
        // Frame 2^64 - 1 does not exist, so that the end of a time is below its key.
        let to = until.map_or(Key::MAX, |until| edge(until, u64::MAX));
        let mut block = self.block_before(from)?.unwrap_or(0);
        let mut runs = Vec::new();
        let mut rows = Vec::new();
        while block < self.layout.blocks {
            let first = key(self.entry(block)?.extent.first);
            if first >= to {
                break;
            }
            if first >= from
                && let Some((run, behind)) = self.whole_run(block, to)?
            {
                runs.push(run);
                block = behind;
                continue;
            }
            self.block(block, &self.entry(block)?, &mut rows)?;
            let inside = rows.iter().filter(|row| (from..to).contains(&key(**row)));
            runs.extend(inside.map(|row| row.frame..row.frame.next()));
            block += 1;
        }
        Ok(runs)
    }

    /// The group or else the block that begins with a block, as one run, and the block behind it: if all of
    /// its rows lie before a key and have ids without gaps, which the directories tell.
    fn whole_run(&self, block: u64, to: Key) -> Result<Option<(Range<FrameId>, u64)>> {
        let run = |extent: Extent, blocks: u64| {
            let behind = (block + blocks).min(self.layout.blocks);
            let end = match behind < self.layout.blocks {
                true => key(self.entry(behind)?.extent.first),
                false => edge(self.layout.head.last_time, u64::MAX),
            };
            let rows = self.rows().min(behind * BLOCK_ROWS) - block * BLOCK_ROWS;
            let span = extent.max_frame.get() - extent.min_frame.get();
            let whole = end <= to && span == rows - 1;
            Ok(whole.then(|| (extent.min_frame..extent.max_frame.next(), behind)))
        };
        if block.is_multiple_of(GROUP_BLOCKS)
            && let Some(found) = run(self.group(block / GROUP_BLOCKS)?, GROUP_BLOCKS)?
        {
            return Ok(Some(found));
        }
        run(self.entry(block)?.extent, 1)
    }

    pub(crate) fn group(&self, group: u64) -> Result<Extent> {
        self.layout.group(&self.bytes, group)
    }

    pub(crate) fn entry(&self, block: u64) -> Result<Entry> {
        self.layout.entry(&self.bytes, block)
    }

    pub(crate) fn block(&self, block: u64, entry: &Entry, rows: &mut Vec<Row>) -> Result<()> {
        self.layout.block(&self.bytes, block, entry, rows)
    }

    /// The last block whose first row lies before a key. Reads the directories by bisection.
    pub(crate) fn block_before(&self, key_: Key) -> Result<Option<u64>> {
        let before = |extent: Extent| key(extent.first) < key_;
        let groups = bisect(0, self.layout.groups, |at| Ok(before(self.group(at)?)))?;
        let Some(group) = groups.checked_sub(1) else {
            return Ok(None);
        };
        let first = group * GROUP_BLOCKS;
        let end = (first + GROUP_BLOCKS).min(self.layout.blocks);
        let blocks = bisect(first, end, |at| Ok(before(self.entry(at)?.extent)))?;
        Ok(blocks.checked_sub(1))
    }
}

/// The first position of a range for which `holds` is false, all before it being true.
fn bisect(mut low: u64, mut high: u64, holds: impl Fn(u64) -> Result<bool>) -> Result<u64> {
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Verify
impl Segment {
    /// Calls `each` with every row, by time and frame.
    ///
    /// # Errors
    /// [`Error::Format`] for damage.
    pub fn for_each_row(&self, mut each: impl FnMut(Row)) -> Result<()> {
        let mut rows = Vec::new();
        for block in 0..self.layout.blocks {
            self.block(block, &self.entry(block)?, &mut rows)?;
            rows.iter().copied().for_each(&mut each);
        }
        Ok(())
    }

    /// Decodes everything and checks that directories and head say what the rows say.
    ///
    /// # Errors
    /// [`Error::Format`] for the first thing that is wrong.
    pub fn verify(&self) -> Result<()> {
        let mut rows = Vec::new();
        let mut frames = Vec::new();
        let mut last = Timestamp::default();
        for group in 0..self.layout.groups {
            let stored = self.group(group)?;
            let mut extent: Option<Extent> = None;
            let start = group * GROUP_BLOCKS;
            for block in start..(start + GROUP_BLOCKS).min(self.layout.blocks) {
                let entry = self.entry(block)?;
                self.block(block, &entry, &mut rows)?;
                let found = layout::extent_of(&rows);
                same("directory entry", block, entry.extent, found)?;
                extent = Some(match extent {
                    None => found,
                    Some(so_far) => Extent {
                        first: so_far.first,
                        min_frame: so_far.min_frame.min(found.min_frame),
                        max_frame: so_far.max_frame.max(found.max_frame),
                    },
                });
                frames.extend(rows.iter().map(|row| row.frame));
                last = rows.last().map_or(last, |row| row.timestamp);
            }
            if let Some(extent) = extent {
                same("group", group, stored, extent)?;
            }
        }
        frames.sort_unstable();
        if let Some(pair) = frames.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::invalid("each frame once", format!("{:?}", pair[0])));
        }
        let head = self.layout.head;
        let ends = (frames.first().copied(), frames.last().copied(), last);
        let stored = (
            Some(head.first_frame),
            Some(head.last_frame),
            head.last_time,
        );
        if ends != stored {
            return Err(Error::invalid(
                format!("a head with {ends:?}"),
                format!("{stored:?}"),
            ));
        }
        Ok(())
    }
}

fn same(what: &str, number: u64, stored: Extent, found: Extent) -> Result<()> {
    if stored == found {
        return Ok(());
    }
    Err(Error::invalid(
        format!("{what} {number} with {found:?}"),
        format!("{stored:?}"),
    ))
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.layout.head;
        write!(
            f,
            "Segment({} rows, frames {} to {})",
            head.rows, head.first_frame, head.last_frame
        )
    }
}
