//! A timeline: the rows of several segments in one order, as a snapshot sees them.

use std::fmt;

use mv2_format::{BoxError, FrameId, Timestamp};

use crate::cursor::Cursor;
use crate::error::{Error, Result};
use crate::layout::{edge, key};
use crate::segment::Segment;
use crate::walk::Walk;

/// Most rows that a page makes room for before it has found any.
const ROOM: usize = 1_024;

/// A frame and its event time. Rows are ordered by time, then by frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// When what the frame tells happened.
    pub timestamp: Timestamp,
    /// The frame.
    pub frame: FrameId,
}

/// In which order a timeline goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// From the latest row to the earliest.
    #[default]
    NewestFirst,
    /// From the earliest row to the latest.
    OldestFirst,
}

/// Which part of a timeline is asked for. Both ends belong to it, as in memvid.
///
/// ```
/// use mv2_format::Timestamp;
/// use mv2_time::{Order, Query};
///
/// let query = Query { since: Some(Timestamp::from_secs(100)), ..Query::default() };
/// assert_eq!(query.order, Order::NewestFirst);
/// assert!(query.check().is_ok());
/// let never = Query { until: Some(Timestamp::from_secs(99)), ..query };
/// assert!(never.check().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// The earliest time, included.
    pub since: Option<Timestamp>,
    /// The latest time, included.
    pub until: Option<Timestamp>,
    /// The order.
    pub order: Order,
}

impl Query {
    /// Checks that the range does not end before it begins.
    ///
    /// # Errors
    /// [`Error::EmptyRange`] names both ends.
    pub fn check(&self) -> Result<()> {
        match (self.since, self.until) {
            (Some(since), Some(until)) if since > until => Err(Error::EmptyRange { since, until }),
            _ => Ok(()),
        }
    }
}

/// Says whether a frame is dead in the snapshot that is read.
pub type DeadTest<'a> = dyn Fn(FrameId) -> Result<bool, BoxError> + 'a;

/// The segments of a snapshot as one timeline.
///
/// ```
/// use mv2_format::{FrameId, Timestamp};
/// use mv2_time::{Query, Segment, Timeline};
///
/// let old = Segment::build((0..300).map(|n| (Timestamp(n), FrameId(n as u64))))?;
/// let new = Segment::build([(Timestamp(7), FrameId(300))])?;
/// let nobody = |_| Ok(false);
/// let timeline = Timeline::new([&old, &new], FrameId(301), &nobody);
/// let page = timeline.page(&Query { until: Some(Timestamp(7)), ..Query::default() }, 2, None)?;
/// assert_eq!(page.rows[0].frame, FrameId(300));
/// assert_eq!(page.rows[1].frame, FrameId(7));
/// assert!(page.next.is_some());
/// # Ok::<(), mv2_time::Error>(())
/// ```
pub struct Timeline<'a> {
    segments: Vec<&'a Segment>,
    cutoff: FrameId,
    dead: &'a DeadTest<'a>,
}

impl<'a> Timeline<'a> {
    /// A timeline of the frames below `cutoff` that are not dead. No frame is in two segments.
    pub fn new(
        segments: impl IntoIterator<Item = &'a Segment>,
        cutoff: FrameId,
        dead: &'a DeadTest<'a>,
    ) -> Self {
        Self {
            segments: segments.into_iter().collect(),
            cutoff,
            dead,
        }
    }

    /// Up to `limit` rows from the start, or from where a cursor stands, and a cursor to go on if
    /// there are more. Pages show each row once; rows that were added in between appear if they lie
    /// ahead.
    ///
    /// Costs a bisection and a block of 128 rows in each segment, then a step for each row, dead ones
    /// included, and for each block or group with frames on both sides of the cut-off.
    ///
    /// # Errors
    /// [`Error::EmptyRange`]; [`Error::OtherCursor`]; else as for [`rows`](Self::rows).
    pub fn page(&self, query: &Query, limit: usize, cursor: Option<&Cursor>) -> Result<Page> {
        let mut rows = self.rows(query, cursor)?;
        let mut page = Page {
            rows: Vec::with_capacity(limit.min(ROOM)),
            next: None,
        };
        while page.rows.len() < limit {
            match rows.next() {
                Some(row) => page.rows.push(row?),
                None => return Ok(page),
            }
        }
        // Only a row behind the page tells whether there is another page.
        if let (Some(last), Some(more)) = (page.rows.last(), rows.next()) {
            more?;
            page.next = Some(Cursor::behind(*last, *query));
        }
        Ok(page)
    }

    /// The rows one by one, from the start or from where a cursor stands.
    ///
    /// # Errors
    /// [`Error::EmptyRange`]; [`Error::OtherCursor`]; [`Error::Format`] for damage. Rows carry
    /// [`Error::Format`] and [`Error::Dead`]; none follows an error.
    pub fn rows(&self, query: &Query, cursor: Option<&Cursor>) -> Result<Rows<'_>> {
        query.check()?;
        if let Some(cursor) = cursor {
            cursor.check(query)?;
        }
        let behind = cursor.map(|cursor| key(cursor.row()));
        let from = match query.order {
            Order::OldestFirst => {
                // The row behind the cursor's has a greater key, so that one more is safe.
                let behind = behind.map(|key| key.saturating_add(1));
                behind.or(query.since.map(|since| edge(since, 0)))
            }
            // Frame 2^64 - 1 does not exist, so that the end of a time is below its key.
            Order::NewestFirst => behind.or(query.until.map(|until| edge(until, u64::MAX))),
        };
        let mut heads = Vec::with_capacity(self.segments.len());
        for segment in &self.segments {
            let mut walk = Walk::new(segment, query.order, from, self.cutoff)?;
            if let Some(row) = walk.next()? {
                heads.push((row, walk));
            }
        }
        Ok(Rows {
            timeline: self,
            query: *query,
            heads,
            failed: false,
        })
    }
}

impl fmt::Debug for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline")
            .field("segments", &self.segments)
            .field("cutoff", &self.cutoff)
            .finish_non_exhaustive()
    }
}

/// A part of a timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// The rows of a timeline, merged from its segments.
pub struct Rows<'a> {
    timeline: &'a Timeline<'a>,
    query: Query,
    /// The next row of each segment. There are a dozen at most, so a heap would not pay.
    heads: Vec<(Row, Walk<'a>)>,
    failed: bool,
}

impl Rows<'_> {
    fn step(&mut self) -> Result<Option<Row>> {
        loop {
            let heads = self.heads.iter().map(|(row, _)| *row).enumerate();
            let best = match self.query.order {
                Order::OldestFirst => heads.min_by_key(|(_, row)| *row),
                Order::NewestFirst => heads.max_by_key(|(_, row)| *row),
            };
            let Some((at, row)) = best else {
                return Ok(None);
            };
            let in_range = match self.query.order {
                Order::OldestFirst => self.query.until.is_none_or(|until| row.timestamp <= until),
                Order::NewestFirst => self.query.since.is_none_or(|since| row.timestamp >= since),
            };
            if !in_range {
                self.heads.clear();
                return Ok(None);
            }
            match self.heads[at].1.next()? {
                Some(next) => self.heads[at].0 = next,
                None => drop(self.heads.swap_remove(at)),
            }
            let dead = (self.timeline.dead)(row.frame).map_err(|source| Error::Dead {
                frame: row.frame,
                source,
            })?;
            if !dead {
                return Ok(Some(row));
            }
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}
