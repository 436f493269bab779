//! Walking the rows of one segment in either direction from a key on, past blocks of later commits.

use mv2_format::FrameId;

use crate::error::Result;
use crate::layout::{GROUP_BLOCKS, Key, key};
use crate::segment::Segment;
use crate::timeline::{Order, Row};

/// A position in a segment. Yields the rows below the cut-off, in order, a block at a time.
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    order: Order,
    cutoff: FrameId,
    /// The block to look at next; `None` behind the end.
    block: Option<u64>,
    /// What is left of the current block, in the reverse of the order, so that the next is the last.
    rows: Vec<Row>,
}

impl<'a> Walk<'a> {
    /// Oldest first: rows with a key of at least `from`. Newest first: rows with a key below it.
    pub(crate) fn new(
        segment: &'a Segment,
        order: Order,
        from: Option<Key>,
        cutoff: FrameId,
    ) -> Result<Self> {
        let last_block = segment.layout.blocks.checked_sub(1);
        let block = match (order, from) {
            _ if segment.first_frame() >= cutoff => None,
            (Order::OldestFirst, None) => Some(0),
            (Order::OldestFirst, Some(from)) => Some(segment.block_before(from)?.unwrap_or(0)),
            (Order::NewestFirst, None) => last_block,
            (Order::NewestFirst, Some(from)) => segment.block_before(from)?,
        };
        let mut walk = Self {
            segment,
            order,
            cutoff,
            block,
            rows: Vec::new(),
        };
        walk.load()?;
        if let Some(from) = from {
            // Only the first block can hold rows on the other side; another has none to drop.
            match order {
                Order::OldestFirst => walk.rows.retain(|row| key(*row) >= from),
                Order::NewestFirst => walk.rows.retain(|row| key(*row) < from),
            }
        }
        Ok(walk)
    }

    /// The next row.
    pub(crate) fn next(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(row) = self.rows.pop() {
                return Ok(Some(row));
            }
            if self.block.is_none() {
                return Ok(None);
            }
            self.load()?;
        }
    }

    /// Decodes the next block that has a row below the cut-off.
    fn load(&mut self) -> Result<()> {
        while let Some(block) = self.block {
            let group = block / GROUP_BLOCKS;
            if self.segment.group(group)?.min_frame >= self.cutoff {
                self.block = match self.order {
                    Order::OldestFirst => self.in_range((group + 1) * GROUP_BLOCKS),
                    Order::NewestFirst => (group * GROUP_BLOCKS).checked_sub(1),
                };
                continue;
            }
            self.block = match self.order {
                Order::OldestFirst => self.in_range(block + 1),
                Order::NewestFirst => block.checked_sub(1),
            };
            let entry = self.segment.entry(block)?;
            if entry.extent.min_frame >= self.cutoff {
                continue;
            }
            self.segment.block(block, &entry, &mut self.rows)?;
            if entry.extent.max_frame >= self.cutoff {
                self.rows.retain(|row| row.frame < self.cutoff);
            }
            if self.order == Order::OldestFirst {
                self.rows.reverse();
            }
            break;
        }
        Ok(())
    }

    fn in_range(&self, block: u64) -> Option<u64> {
        (block < self.segment.layout.blocks).then_some(block)
    }
}
