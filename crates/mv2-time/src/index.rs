//! Building a segment: the factory that the store knows, and the builder behind it.

use mv2_format::{BoxError, Frame, FrameId, IndexBuilder, IndexFactory, SegmentKind, Timestamp};

use crate::error::{Error, Result};
use crate::layout::{self, MAX_ROWS};
use crate::timeline::Row;

/// The time index as the store knows it: a factory of segment builders.
///
/// ```
/// use mv2_format::{IndexFactory, SegmentKind};
///
/// let index = mv2_time::TimeIndex::new();
/// assert_eq!(index.kind(), SegmentKind::TIME);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeIndex;

impl TimeIndex {
    /// The index, version 1.
    pub fn new() -> Self {
        Self
    }
}

impl IndexFactory for TimeIndex {
    fn kind(&self) -> SegmentKind {
        SegmentKind::TIME
    }

    fn builder(&self) -> Box<dyn IndexBuilder> {
        Box::new(Builder::default())
    }

    fn reads_payload(&self) -> bool {
        false
    }
}

/// Collects rows in the order of their frames and sorts them at the end.
#[derive(Default)]
pub(crate) struct Builder {
    rows: Vec<Row>,
}

impl Builder {
    pub(crate) fn add_row(&mut self, timestamp: Timestamp, frame: FrameId) -> Result<()> {
        if let Some(&Row {
            frame: previous, ..
        }) = self.rows.last()
            && previous >= frame
        {
            return Err(Error::Order { frame, previous });
        }
        if self.rows.len() as u64 >= MAX_ROWS || frame.get() == u64::MAX {
            return Err(Error::TooManyFrames { limit: MAX_ROWS });
        }
        self.rows.push(Row { timestamp, frame });
        Ok(())
    }

    pub(crate) fn finish_segment(mut self) -> Result<Vec<u8>> {
        if self.rows.is_empty() {
            return Err(Error::NoFrames);
        }
        // Frames mostly come in the order of time: a sort that notices costs one pass.
        self.rows.sort();
        Ok(layout::encode(&self.rows))
    }
}

impl IndexBuilder for Builder {
    fn add(&mut self, frame: &Frame) -> Result<(), BoxError> {
        Ok(self.add_row(frame.meta.timestamp, frame.meta.id)?)
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, BoxError> {
        Ok(self.finish_segment()?)
    }
}
