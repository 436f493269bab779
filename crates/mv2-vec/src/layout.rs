//! The bytes of a vector segment: head, then sections whose places follow from the counts in it.
//! Normative text: `FORMAT.md`.
//!
//! ```text
//! +-----------+--------+--------+--------+-------+-------+-------+
//! | head      | frames | ranges | scales | norms | codes | exact |
//! | 128 bytes | u32    | 2 x u32| f32    | f32   | i8    | f16/32|
//! +-----------+--------+--------+--------+-------+-------+-------+
//! ```
//!
//! All of them have one entry for each row, in the order of the rows: by frame, then byte range.

use std::ops::Range;

use mv2_format::wire::Reader;
use mv2_format::{FrameId, SegmentBytes};

use crate::error::{Error, Result};
use crate::spec::{Exact, Metric, Spec};

const MAGIC: [u8; 4] = *b"MV2V";
const VERSION: u16 = 1;

/// Bytes of the head.
pub(crate) const HEAD_BYTES: usize = 128;
/// Sections begin at multiples of this, a cache line.
pub(crate) const ALIGN: usize = 64;
/// Most rows of one segment, so that counts and offsets are far from the ends of their fields.
pub(crate) const MAX_ROWS: u64 = 1 << 31;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) spec: Spec,
    pub(crate) rows: u32,
    pub(crate) first_frame: FrameId,
    pub(crate) last_frame: FrameId,
}

/// Where the sections of a segment begin, and where the last one ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sections {
    pub(crate) frames: usize,
    pub(crate) ranges: usize,
    pub(crate) scales: usize,
    pub(crate) norms: usize,
    pub(crate) codes: usize,
    pub(crate) exact: usize,
    pub(crate) end: usize,
}

impl Sections {
    /// The places that follow from a head; `None` if they are beyond what can be addressed.
    pub(crate) fn of(head: &Head) -> Option<Self> {
        let mut end = HEAD_BYTES;
        let mut take = |count: u32, width: usize| {
            let start = end.checked_next_multiple_of(ALIGN)?;
            end = start.checked_add((count as usize).checked_mul(width)?)?;
            Some(start)
        };
        let (rows, spec) = (head.rows, &head.spec);
        let mut sections = Self {
            frames: take(rows, 4)?,
            ranges: take(rows, 8)?,
            scales: take(rows, 4)?,
            norms: take(if spec.has_norms() { rows } else { 0 }, 4)?,
            codes: take(rows, spec.dims as usize)?,
            exact: take(rows, spec.exact_bytes())?,
            ..Self::default()
        };
        sections.end = end;
        Some(sections)
    }
}

/// Read
impl Head {
    /// Reads the head and checks that the sections fill the segment exactly.
    pub(crate) fn open(bytes: &SegmentBytes) -> Result<(Self, Sections)> {
        let len = bytes.len();
        let mut reader = Reader::new(bytes.get(0..len.min(HEAD_BYTES))?, "vector segment");
        reader.magic(&MAGIC)?;
        let version = reader.u16()?;
        if version != VERSION {
            return Err(Error::Unsupported {
                what: "vector segment",
                found: version,
                readable: VERSION,
            });
        }
        reader.reserved(2)?;
        let dims = reader.u32()?;
        let (metric, exact) = (reader.u8()?, reader.u8()?);
        reader.reserved(2)?;
        let spec = Spec {
            dims,
            metric: Metric::from_code(metric)
                .ok_or_else(|| Error::invalid("a metric from 1 to 3", metric))?,
            exact: Exact::from_code(exact)
                .ok_or_else(|| Error::invalid("an exact part from 0 to 2", exact))?,
            space: reader.u32()?,
            model: {
                reader.reserved(4)?;
                reader.array()?
            },
        };
        spec.check()?;
        let first_frame = FrameId(reader.u64()?);
        let last_frame = FrameId(reader.u64()?);
        let rows = reader.u32()?;
        if rows == 0 || u64::from(rows) > MAX_ROWS {
            return Err(Error::invalid("1 to 2^31 rows", rows));
        }
        let span = last_frame.get().checked_sub(first_frame.get());
        if span.is_none_or(|span| span > u64::from(u32::MAX)) {
            return Err(Error::invalid(
                "frames that ascend and are less than 2^32 apart",
                format!("{first_frame} to {last_frame}"),
            ));
        }
        let head = Self {
            spec,
            rows,
            first_frame,
            last_frame,
        };
        reader.reserved(HEAD_BYTES - reader.pos())?;
        let sections = Sections::of(&head).filter(|sections| sections.end == len);
        let Some(sections) = sections else {
            return Err(Error::invalid(
                match Sections::of(&head) {
                    Some(sections) => format!("{} bytes for {rows} rows", sections.end),
                    None => "sections that can be addressed".to_owned(),
                },
                format!("{len} bytes"),
            ));
        };
        Ok((head, sections))
    }

    /// The bytes of the head.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES);
        let spec = &self.spec;
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&spec.dims.to_le_bytes());
        out.extend_from_slice(&[spec.metric.code(), spec.exact.code(), 0, 0]);
        out.extend_from_slice(&spec.space.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&spec.model);
        out.extend_from_slice(&self.first_frame.get().to_le_bytes());
        out.extend_from_slice(&self.last_frame.get().to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.resize(HEAD_BYTES, 0);
        out
    }
}

/// The bytes of row `index` in a section of entries of `width` bytes.
pub(crate) fn entry(section: usize, index: u32, width: usize) -> Range<usize> {
    let start = section + index as usize * width;
    start..start + width
}
