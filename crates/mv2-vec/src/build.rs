//! Building segments: rows come in encoded, and stand in the segment byte for byte.

use std::fmt;
use std::sync::Arc;

use mv2_format::segment::ByteOwner;
use mv2_format::wire::pad_to;
use mv2_format::{FrameId, SegmentBytes};

use crate::error::{Error, Result};
use crate::graph::build::{Built, Source, build};
use crate::graph::calibrate::{calibrate, recall};
use crate::layout::{ALIGN, HEAD_BYTES, Head, MAX_EF, MAX_ROWS, Sections};
use crate::rows::{RowRef, Rows};
use crate::segment::Segment;
use crate::spec::Spec;

/// Rows of the sample that says whether a graph of more than twice as many is worth building.
const TRIAL_ROWS: usize = 5_000;

/// Whether a segment gets a graph, by which searches of large ones need not look at every row.
#[derive(Clone, Copy, Debug, Default)]
pub enum Graph<'a> {
    /// None: searches scan the codes.
    #[default]
    None,
    /// A graph, built now. It is left out if a search in it would cost as much as a scan: of few
    /// vectors, or of many with little structure. Of many, one over a sample tells, in a second or
    /// two, so that no minutes are spent on what is left out.
    Build(GraphOptions<'a>),
}

/// How a graph is built.
#[derive(Clone, Copy)]
pub struct GraphOptions<'a> {
    /// Decides the order in which nodes are linked. The same rows and seed give the same bytes.
    pub seed: u64,
    /// How many candidates a search keeps, 1 to 4,096. `None`: as many as find nearly all that a
    /// scan finds, which is tried. With a number, the graph is never left out.
    pub ef: Option<u32>,
    /// Asked every now and then; if it says yes, nothing is built.
    pub cancelled: &'a dyn Fn() -> bool,
}

impl Default for GraphOptions<'_> {
    fn default() -> Self {
        Self {
            seed: 0,
            ef: None,
            cancelled: &|| false,
        }
    }
}

impl fmt::Debug for GraphOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphOptions")
            .field("seed", &self.seed)
            .field("ef", &self.ef)
            .finish_non_exhaustive()
    }
}

/// Collects the rows of frames and writes them as a segment.
///
/// The same frames give the same bytes, in whatever order they were added.
///
/// ```
/// use mv2_format::{FrameId, SegmentBytes};
/// use mv2_vec::{Segment, SegmentBuilder, Spec, encode_rows};
///
/// # fn main() -> mv2_vec::Result<()> {
/// let spec = Spec::new(2)?;
/// let mut builder = SegmentBuilder::new(spec)?;
/// builder.add(FrameId(0), &encode_rows(&spec, &[(0..10, &[1.0, 0.0])])?)?;
/// builder.add(FrameId(1), &encode_rows(&spec, &[(0..12, &[0.0, 1.0])])?)?;
/// let segment = Segment::open(SegmentBytes::from_vec(builder.finish()?))?;
/// assert_eq!(segment.rows(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SegmentBuilder {
    spec: Spec,
    keys: Vec<Key>,
    scales: Vec<f32>,
    norms: Vec<f32>,
    codes: Vec<u8>,
    exact: Vec<u8>,
    /// Frames so far, to refuse one that comes twice: their first rows.
    frames: Vec<(FrameId, usize)>,
}

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    frame: FrameId,
    start: u32,
    end: u32,
}

/// Collect
impl SegmentBuilder {
    /// A builder without rows.
    ///
    /// # Errors
    /// [`Error::UnsupportedDims`].
    pub fn new(spec: Spec) -> Result<Self> {
        spec.check()?;
        Ok(Self {
            spec,
            keys: Vec::new(),
            scales: Vec::new(),
            norms: Vec::new(),
            codes: Vec::new(),
            exact: Vec::new(),
            frames: Vec::new(),
        })
    }

    /// Adds a frame with the rows that [`encode_rows`](crate::encode_rows) made.
    ///
    /// # Errors
    /// As for [`Rows::parse`]; [`Error::TooMany`].
    pub fn add(&mut self, frame: FrameId, rows: &[u8]) -> Result<()> {
        let spec = self.spec;
        let rows = Rows::parse(&spec, rows)?;
        self.frames.push((frame, self.keys.len()));
        for row in rows.iter() {
            self.push(frame, row)?;
        }
        Ok(())
    }

    /// Adds those frames of a segment that are wanted, byte for byte.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the segment is of another space, [`Error::Format`] if it is damaged,
    /// [`Error::TooMany`].
    pub fn add_segment(
        &mut self,
        segment: &Segment,
        wanted: &dyn Fn(FrameId) -> bool,
    ) -> Result<()> {
        self.spec.check_same(segment.spec())?;
        let mut last = None;
        for row in 0..segment.rows() {
            let frame = segment.frame(row)?;
            let known = match last {
                Some((known, keep)) if known == frame => Some(keep),
                _ => None,
            };
            let keep = known.unwrap_or_else(|| wanted(frame));
            if known.is_none() && keep {
                self.frames.push((frame, self.keys.len()));
            }
            last = Some((frame, keep));
            if keep {
                let row = segment.row(row)?;
                // What is damaged in a way that no checksum tells must not spread.
                row.check(&self.spec)?;
                self.push(frame, &row)?;
            }
        }
        Ok(())
    }

    /// Number of rows so far.
    pub fn rows(&self) -> usize {
        self.keys.len()
    }

    fn push(&mut self, frame: FrameId, row: &RowRef<'_>) -> Result<()> {
        if self.keys.len() as u64 >= MAX_ROWS {
            return Err(Error::TooMany {
                what: "rows",
                found: MAX_ROWS + 1,
                limit: MAX_ROWS,
            });
        }
        self.keys.push(Key {
            frame,
            start: row.start,
            end: row.end,
        });
        self.scales.push(row.scale);
        if self.spec.has_norms() {
            self.norms.push(row.norm);
        }
        self.codes.extend_from_slice(row.code);
        self.exact.extend_from_slice(row.exact);
        Ok(())
    }
}

/// Finish
impl SegmentBuilder {
    /// The segment's bytes.
    ///
    /// # Errors
    /// [`Error::NoRows`] if no frame was added, [`Error::FrameTwice`], [`Error::TooMany`] if the
    /// ids of the frames are 2^32 or more apart.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.finish_with(&Graph::None)
    }

    /// The segment's bytes, with a graph if one is wanted. That takes about a millisecond for each
    /// row: it is nothing for a commit.
    ///
    /// # Errors
    /// As for [`finish`](Self::finish); [`Error::Cancelled`], [`Error::Graph`].
    pub fn finish_with(mut self, graph: &Graph<'_>) -> Result<Vec<u8>> {
        self.sort()?;
        let (Some(first), Some(last)) = (self.keys.first(), self.keys.last()) else {
            return Err(Error::NoRows);
        };
        let (first_frame, last_frame) = (first.frame, last.frame);
        let span = last_frame.get() - first_frame.get();
        if span > u64::from(u32::MAX) {
            return Err(Error::TooMany {
                what: "ids between the first and the last frame",
                found: span,
                limit: u32::MAX.into(),
            });
        }
        let graph = match graph {
            Graph::Build(options) if self.promises(options)? => {
                Some((self.links(options)?, options))
            }
            _ => None,
        };
        let mut head = Head {
            spec: self.spec,
            // At most MAX_ROWS, see `push`.
            rows: self.keys.len() as u32,
            first_frame,
            last_frame,
            graph: graph.as_ref().map(|(graph, _)| graph.head),
        };
        let sections = Sections::of(&head).ok_or(Error::TooMany {
            what: "bytes",
            found: u64::MAX,
            limit: usize::MAX as u64,
        })?;
        let mut out = head.encode();
        out.reserve_exact(sections.end - out.len());
        for key in &self.keys {
            let offset = key.frame.get() - first_frame.get();
            out.extend_from_slice(&(offset as u32).to_le_bytes());
        }
        pad_to(&mut out, ALIGN);
        for key in &self.keys {
            out.extend_from_slice(&key.start.to_le_bytes());
            out.extend_from_slice(&key.end.to_le_bytes());
        }
        for floats in [&self.scales, &self.norms] {
            pad_to(&mut out, ALIGN);
            for float in floats {
                out.extend_from_slice(&float.to_le_bytes());
            }
        }
        for bytes in [&self.codes, &self.exact] {
            pad_to(&mut out, ALIGN);
            out.extend_from_slice(bytes);
        }
        let Some((graph, options)) = graph else {
            return Ok(out);
        };
        for numbers in [
            &graph.node_rows,
            &graph.next_rows,
            &graph.zero,
            &graph.upper_nodes,
            &graph.upper,
        ] {
            pad_to(&mut out, ALIGN);
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        drop(graph);
        calibrated(&mut head, out, options)
    }

    /// Whether a graph of the rows, which are sorted, may be of use: what one over a sample needs is
    /// what the whole one would need at the least.
    fn promises(&self, options: &GraphOptions<'_>) -> Result<bool> {
        let rows = self.keys.len();
        if options.ef.is_some() || rows < 2 * TRIAL_ROWS {
            return Ok(true);
        }
        let mut trial = Self::new(self.spec)?;
        let (dims, exact) = (self.spec.dims as usize, self.spec.exact_bytes());
        for row in (0..TRIAL_ROWS).map(|at| at * rows / TRIAL_ROWS) {
            trial.keys.push(self.keys[row]);
            trial.scales.push(self.scales[row]);
            trial.norms.extend(self.norms.get(row));
            let code = &self.codes[row * dims..][..dims];
            trial.codes.extend_from_slice(code);
            let exact = &self.exact[row * exact..][..exact];
            trial.exact.extend_from_slice(exact);
        }
        // With any number the graph stays.
        let graph = Graph::Build(GraphOptions {
            ef: Some(1),
            ..*options
        });
        let bytes = trial.finish_with(&graph)?;
        let segment = Arc::new(Segment::open(SegmentBytes::from_vec(bytes))?);
        let found = calibrate(&segment, rows as u64, options.cancelled)?;
        if (options.cancelled)() {
            return Err(Error::Cancelled);
        }
        Ok(found.is_some())
    }

    fn links(&self, options: &GraphOptions<'_>) -> Result<Built> {
        if (options.cancelled)() {
            return Err(Error::Cancelled);
        }
        let source = Source {
            dims: self.spec.dims as usize,
            metric: self.spec.metric,
            codes: &self.codes,
            scales: &self.scales,
            norms: &self.norms,
        };
        build(&source, options.seed, options.cancelled)
    }

    /// Brings rows into their order and refuses frames that were added twice.
    fn sort(&mut self) -> Result<()> {
        self.frames.sort_unstable();
        for pair in self.frames.windows(2) {
            if pair[0].0 == pair[1].0 {
                return Err(Error::FrameTwice { frame: pair[0].0 });
            }
        }
        if self.keys.is_sorted() {
            return Ok(());
        }
        // Rows of a frame are in order and stay so.
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_by_key(|row| self.keys[*row]);
        self.keys = order.iter().map(|row| self.keys[*row]).collect();
        self.scales = order.iter().map(|row| self.scales[*row]).collect();
        if self.spec.has_norms() {
            self.norms = order.iter().map(|row| self.norms[*row]).collect();
        }
        permute(&mut self.codes, &order, self.spec.dims as usize);
        permute(&mut self.exact, &order, self.spec.exact_bytes());
        Ok(())
    }
}

/// A segment with a graph, and what a search of that needs; without the graph, which is at the
/// end, if that is of no use.
fn calibrated(head: &mut Head, bytes: Vec<u8>, options: &GraphOptions<'_>) -> Result<Vec<u8>> {
    let bytes = Arc::new(bytes);
    let owner: Arc<dyn ByteOwner> = Arc::<Vec<u8>>::clone(&bytes);
    let segment = Arc::new(Segment::open(SegmentBytes::from_owner(owner))?);
    let found = match options.ef {
        Some(ef) => {
            let ef = ef.clamp(1, MAX_EF);
            Some((ef, recall(&segment, ef, options.cancelled)?))
        }
        None => calibrate(&segment, segment.rows().into(), options.cancelled)?,
    };
    drop(segment);
    if (options.cancelled)() {
        return Err(Error::Cancelled);
    }
    // Nobody else has them any more, so that they are not copied.
    let mut bytes = Arc::unwrap_or_clone(bytes);
    match (&mut head.graph, found) {
        (Some(graph), Some((ef, recall))) => (graph.ef, graph.recall) = (ef, recall),
        _ => {
            head.graph = None;
            let sections = Sections::of(head);
            bytes.truncate(sections.map_or(bytes.len(), |sections| sections.end));
        }
    }
    bytes[..HEAD_BYTES].copy_from_slice(&head.encode());
    Ok(bytes)
}

fn permute(bytes: &mut Vec<u8>, order: &[usize], width: usize) {
    let mut permuted = Vec::with_capacity(bytes.len());
    for row in order {
        permuted.extend_from_slice(&bytes[row * width..(row + 1) * width]);
    }
    *bytes = permuted;
}
