//! The bytes of a vector segment: head, then sections whose places follow from the counts in it.
//! Normative text: `FORMAT.md`.
//!
//! ```text
//! +-----------+--------+--------+--------+-------+-------+-------+ - - - - - - - - - - - - - - - +
//! | head      | frames | ranges | scales | norms | codes | exact | graph: see `FORMAT.md`        |
//! | 128 bytes | u32    | 2 x u32| f32    | f32   | i8    | f16/32| only in large segments        |
//! +-----------+--------+--------+--------+-------+-------+-------+ - - - - - - - - - - - - - - - +
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
const HAS_GRAPH: u16 = 1;

/// Bytes of the head.
pub(crate) const HEAD_BYTES: usize = 128;
/// Sections begin at multiples of this, a cache line.
pub(crate) const ALIGN: usize = 64;
/// Most rows of one segment, so that a row number never is the mark for "none".
pub(crate) const MAX_ROWS: u64 = 1 << 31;
/// Most neighbours of a node in the lowest layer of a graph: with 48, walks take a tenth less time for a recall of 0.995, and
/// vectors 64 bytes more.
pub(crate) const ZERO_LINKS: usize = 32;
/// Most neighbours in the layers above: the builder's.
pub(crate) const UPPER_LINKS: usize = 32;
/// Most layers above the lowest one: each has a sixteenth of the nodes of the one below.
pub(crate) const MAX_UPPER: usize = 8;
/// Most candidates that a search keeps by default.
pub(crate) const MAX_EF: u32 = 4_096;
/// The mark for "no neighbour" and "no further row".
pub(crate) const NONE: u32 = u32::MAX;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) spec: Spec,
    pub(crate) rows: u32,
    pub(crate) first_frame: FrameId,
    pub(crate) last_frame: FrameId,
    pub(crate) graph: Option<GraphHead>,
}

/// What the head says of a graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GraphHead {
    /// Distinct codes (with distinct scales unless under the cosine), each a node.
    pub(crate) nodes: u32,
    /// The node where every search begins.
    pub(crate) entry: u32,
    /// How far a search goes by default.
    pub(crate) calibration: Calibration,
    pub(crate) seed: u64,
    pub(crate) ef_construction: u32,
    /// Nodes of the layers above the lowest, the largest first; zeros follow.
    pub(crate) upper: [u32; MAX_UPPER],
}

/// How far a search in a graph goes by default, as tried when the graph was built. It follows what is within both limits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Calibration {
    /// As far away as the last of so many of the nearest.
    pub ef: u32,
    /// `1 + slack` times as far away as the tenth; infinite where there is no such limit. Distances are squared: `2 - 2 cos`
    /// under the cosine.
    pub slack: f32,
    /// Part of the ten best that was found.
    pub recall: f32,
    /// Vectors that a search compared, on average.
    pub visits: u32,
}

impl GraphHead {
    /// Number of layers above the lowest.
    pub(crate) fn layers(&self) -> usize {
        self.upper.iter().take_while(|len| **len > 0).count()
    }
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
    /// Node to its first row; only if there are fewer nodes than rows.
    pub(crate) node_rows: usize,
    /// Row to the next row of the same node; likewise.
    pub(crate) next_rows: usize,
    pub(crate) zero: usize,
    /// Position in the upper layers to node.
    pub(crate) upper_nodes: usize,
    pub(crate) upper: usize,
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
        if let Some(graph) = &head.graph {
            let duplicates = graph.nodes < rows;
            sections.node_rows = take(if duplicates { graph.nodes } else { 0 }, 4)?;
            sections.next_rows = take(if duplicates { rows } else { 0 }, 4)?;
            sections.zero = take(graph.nodes, ZERO_LINKS * 4)?;
            sections.upper_nodes = take(graph.upper[0], 4)?;
            let upper: u64 = graph.upper.iter().map(|len| u64::from(*len)).sum();
            sections.upper = take(u32::try_from(upper).ok()?, UPPER_LINKS * 4)?;
        }
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
        let flags = reader.u16()?;
        if flags & !HAS_GRAPH != 0 {
            return Err(Error::invalid("flags 0 or 1", flags));
        }
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
        let graph = if flags & HAS_GRAPH != 0 {
            Some(GraphHead::read(&mut reader, rows)?)
        } else {
            None
        };
        let head = Self {
            spec,
            rows,
            first_frame,
            last_frame,
            graph,
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
        let flags = if self.graph.is_some() { HAS_GRAPH } else { 0 };
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&spec.dims.to_le_bytes());
        out.extend_from_slice(&[spec.metric.code(), spec.exact.code(), 0, 0]);
        out.extend_from_slice(&spec.space.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&spec.model);
        out.extend_from_slice(&self.first_frame.get().to_le_bytes());
        out.extend_from_slice(&self.last_frame.get().to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        if let Some(graph) = &self.graph {
            out.extend_from_slice(&graph.nodes.to_le_bytes());
            out.extend_from_slice(&graph.entry.to_le_bytes());
            out.extend_from_slice(&graph.calibration.ef.to_le_bytes());
            out.extend_from_slice(&graph.calibration.recall.to_le_bytes());
            out.extend_from_slice(&graph.ef_construction.to_le_bytes());
            out.extend_from_slice(&graph.seed.to_le_bytes());
            for len in graph.upper {
                out.extend_from_slice(&len.to_le_bytes());
            }
            out.extend_from_slice(&graph.calibration.slack.to_le_bytes());
            out.extend_from_slice(&graph.calibration.visits.to_le_bytes());
        }
        out.resize(HEAD_BYTES, 0);
        out
    }
}

impl GraphHead {
    fn read(reader: &mut Reader<'_>, rows: u32) -> Result<Self> {
        let mut graph = Self {
            nodes: reader.u32()?,
            entry: reader.u32()?,
            calibration: Calibration {
                ef: reader.u32()?,
                recall: f32::from_bits(reader.u32()?),
                ..Calibration::default()
            },
            ef_construction: reader.u32()?,
            seed: reader.u64()?,
            upper: [0; MAX_UPPER],
        };
        if graph.nodes == 0 || graph.nodes > rows || graph.entry >= graph.nodes {
            return Err(Error::invalid(
                format!("1 to {rows} nodes and an entry among them"),
                format!("{} nodes, entry {}", graph.nodes, graph.entry),
            ));
        }
        let Calibration { ef, recall, .. } = graph.calibration;
        if ef == 0 || ef > MAX_EF || !(0.0..=1.0).contains(&recall) {
            return Err(Error::invalid(
                format!("1 to {MAX_EF} candidates and a recall from 0 to 1"),
                format!("{ef} and {recall}"),
            ));
        }
        let mut below = graph.nodes;
        for len in &mut graph.upper {
            *len = reader.u32()?;
            if *len > 0 && *len >= below {
                return Err(Error::invalid(
                    format!("fewer nodes than the {below} of the layer below"),
                    *len,
                ));
            }
            below = *len;
        }
        let slack = f32::from_bits(reader.u32()?);
        if slack.is_nan() || slack < 0.0 {
            return Err(Error::invalid("a slack from 0 on", slack));
        }
        graph.calibration.slack = slack;
        graph.calibration.visits = reader.u32()?;
        Ok(graph)
    }
}

/// The bytes of row or node `index` in a section of entries of `width` bytes.
pub(crate) fn entry(section: usize, index: u32, width: usize) -> Range<usize> {
    let start = section + index as usize * width;
    start..start + width
}
