//! Where a page of a timeline ended, as a short text.
//!
//! ```text
//! hex of: flags (1) | time (zigzag) | frame (varint) | since (zigzag)? | until (zigzag)? | CRC-32 (4)
//! flags: bit 0 oldest first, bit 1 since is there, bit 2 until is there, bits 4 to 7 version 1
//! ```
//!
//! A cursor holds its whole query and not a hash of it: it is hardly longer, an error can say what
//! differs, and a caller whose `since` was relative to the clock can go on with the `since` of the
//! first page. The checksum is for slips of the hand, not against forgery: a forged cursor only
//! starts a page elsewhere.

use std::fmt;
use std::str::FromStr;

use mv2_format::checksum::crc32;
use mv2_format::wire::{Reader, put_varint, put_zigzag};
use mv2_format::{FrameId, Timestamp};

use crate::error::{Error, Result, shorten};
use crate::timeline::{Order, Query, Row};

const VERSION: u8 = 1;
const OLDEST_FIRST: u8 = 1;
const HAS_SINCE: u8 = 2;
const HAS_UNTIL: u8 = 4;
/// Flags, four integers of ten bytes, checksum: a longer text is refused before it is decoded.
const MAX_BYTES: usize = 1 + 4 * 10 + 4;

/// Where a page of a timeline ended. Prints as a short text and is read back from it.
///
/// ```
/// use mv2_format::{FrameId, Timestamp};
/// use mv2_time::{Cursor, Query, Segment, Timeline};
///
/// let segment = Segment::build((0..5).map(|n| (Timestamp(n), FrameId(n as u64))))?;
/// let nobody = |_| Ok(false);
/// let timeline = Timeline::new([&segment], FrameId(5), &nobody);
/// let first = timeline.page(&Query::default(), 3, None)?;
/// let cursor: Cursor = first.next.unwrap().to_string().parse()?;
/// let second = timeline.page(&Query::default(), 3, Some(&cursor))?;
/// assert_eq!(second.rows.len(), 2);
/// assert_eq!(second.next, None);
/// # Ok::<(), mv2_time::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    row: Row,
    query: Query,
}

impl Cursor {
    pub(crate) fn behind(row: Row, query: Query) -> Self {
        Self { row, query }
    }

    /// The last row of the page.
    pub fn row(&self) -> Row {
        self.row
    }

    /// The query that the page answered.
    pub fn query(&self) -> Query {
        self.query
    }

    /// Checks that the cursor belongs to a query.
    ///
    /// # Errors
    /// [`Error::OtherCursor`] names what differs.
    pub fn check(&self, query: &Query) -> Result<()> {
        let what = if self.query.order != query.order {
            "order"
        } else if self.query.since != query.since {
            "since"
        } else if self.query.until != query.until {
            "until"
        } else {
            return Ok(());
        };
        Err(Error::OtherCursor { what })
    }

    fn encode(&self) -> Vec<u8> {
        let Query {
            since,
            until,
            order,
        } = self.query;
        let mut flags = VERSION << 4;
        for (flag, set) in [
            (OLDEST_FIRST, order == Order::OldestFirst),
            (HAS_SINCE, since.is_some()),
            (HAS_UNTIL, until.is_some()),
        ] {
            if set {
                flags |= flag;
            }
        }
        let mut out = vec![flags];
        put_zigzag(&mut out, self.row.timestamp.as_micros());
        put_varint(&mut out, self.row.frame.get());
        for time in [since, until].into_iter().flatten() {
            put_zigzag(&mut out, time.as_micros());
        }
        let crc = crc32(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> mv2_format::Result<Self> {
        let mut reader = Reader::new(bytes, "cursor");
        let flags = reader.u8()?;
        let row = Row {
            timestamp: Timestamp(reader.zigzag()?),
            frame: FrameId(reader.varint()?),
        };
        let mut time = |flag| match flags & flag {
            0 => Ok(None),
            _ => reader.zigzag().map(|micros| Some(Timestamp(micros))),
        };
        let query = Query {
            since: time(HAS_SINCE)?,
            until: time(HAS_UNTIL)?,
            order: match flags & OLDEST_FIRST {
                0 => Order::NewestFirst,
                _ => Order::OldestFirst,
            },
        };
        Ok(Self { row, query })
    }
}

/// The text, in lower case.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.encode()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// Reads a cursor back.
    ///
    /// # Errors
    /// [`Error::BadCursor`].
    fn from_str(text: &str) -> Result<Self> {
        unhex(text.trim())
            .and_then(|bytes| {
                let cursor = Self::decode(&bytes).ok()?;
                // One cursor has one text; this compares version, checksum and end as well.
                (cursor.encode() == bytes).then_some(cursor)
            })
            .ok_or_else(|| Error::BadCursor {
                text: shorten(text),
            })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.len() > 2 * MAX_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_come_back(timestamp: i64, frame: u64, since: Option<i64>, until: Option<i64>, oldest: bool) {
            let cursor = Cursor {
                row: Row { timestamp: Timestamp(timestamp), frame: FrameId(frame) },
                query: Query {
                    since: since.map(Timestamp),
                    until: until.map(Timestamp),
                    order: if oldest { Order::OldestFirst } else { Order::NewestFirst },
                },
            };
            let text = cursor.to_string();
            prop_assert!(text.len() <= 2 * MAX_BYTES);
            prop_assert_eq!(text.parse::<Cursor>().unwrap(), cursor);
        }

        #[test]
        fn any_text_is_an_error_or_a_cursor(text in "[0-9a-f]{0,100}|\\PC{0,30}") {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn a_changed_digit_is_noticed() {
        let cursor = Cursor::behind(Row::default(), Query::default());
        let text = cursor.to_string();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed.parse::<Cursor>().is_err(), "{changed}");
        }
        for cut in 0..text.len() {
            assert!(text[..cut].parse::<Cursor>().is_err());
        }
    }
}
