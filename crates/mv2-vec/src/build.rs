//! Building segments: rows come in encoded, and stand in the segment byte for byte.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use mv2_format::segment::ByteOwner;
use mv2_format::wire::pad_to;
use mv2_format::{FrameId, SegmentBytes};

use crate::error::{Error, Result};
use crate::graph::build::{Built, Source, build};
use crate::graph::calibrate::{calibrate, measure};
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
    /// One for each row.
    keys: Vec<Key>,
    /// The rows that stand in no segment.
    new: NewRows,
    /// Segments whose rows are copied when all is known, so that they are in memory once.
    segments: Vec<Segment>,
    /// Frames so far, to refuse one that comes twice.
    frames: Vec<FrameId>,
}

/// What rows are ordered by, and where each stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    frame: FrameId,
    start: u32,
    end: u32,
    /// [`NEW`], or the segment.
    source: u32,
    /// The row of the source. Rows of a frame are of one source, and in order there.
    row: u32,
}

/// The source of a row that stands in no segment.
const NEW: u32 = u32::MAX;

/// Rows that were added one by one, as their sections will hold them.
#[derive(Debug, Default)]
struct NewRows {
    count: u32,
    scales: Vec<u8>,
    norms: Vec<u8>,
    codes: Vec<u8>,
    exact: Vec<u8>,
}

/// A section that is copied as it is.
#[derive(Clone, Copy)]
enum Section {
    Scales,
    Norms,
    Codes,
    Exact,
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
            new: NewRows::default(),
            segments: Vec::new(),
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
        self.frames.push(frame);
        for row in rows.iter() {
            self.push(frame, row, NEW, self.new.count)?;
            self.new.push(&spec, row);
        }
        Ok(())
    }

    /// Adds those frames of a segment that are wanted, byte for byte. They are copied by
    /// [`finish`](Self::finish); until then the builder has 30 bytes for each.
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
        // Below `NEW`: each has a row or more, and there are at most MAX_ROWS.
        let source = self.segments.len() as u32;
        self.segments.push(segment.clone());
        self.keys.reserve(segment.rows() as usize);
        let mut last = None;
        for row in 0..segment.rows() {
            let frame = segment.frame(row)?;
            let known = match last {
                Some((known, keep)) if known == frame => Some(keep),
                _ => None,
            };
            let keep = known.unwrap_or_else(|| wanted(frame));
            if known.is_none() && keep {
                self.frames.push(frame);
            }
            last = Some((frame, keep));
            if keep {
                let found = segment.row(row)?;
                // What is damaged in a way that no checksum tells must not spread.
                found.check(&self.spec)?;
                self.push(frame, &found, source, row)?;
            }
        }
        Ok(())
    }

    /// Number of rows so far.
    pub fn rows(&self) -> usize {
        self.keys.len()
    }

    fn push(&mut self, frame: FrameId, found: &RowRef<'_>, source: u32, row: u32) -> Result<()> {
        if self.keys.len() as u64 >= MAX_ROWS {
            return Err(Error::TooMany {
                what: "rows",
                found: MAX_ROWS + 1,
                limit: MAX_ROWS,
            });
        }
        self.keys.push(Key {
            frame,
            start: found.start,
            end: found.end,
            source,
            row,
        });
        Ok(())
    }
}

impl NewRows {
    fn push(&mut self, spec: &Spec, row: &RowRef<'_>) {
        self.count += 1;
        self.scales.extend_from_slice(&row.scale.to_le_bytes());
        if spec.has_norms() {
            self.norms.extend_from_slice(&row.norm.to_le_bytes());
        }
        self.codes.extend_from_slice(row.code);
        self.exact.extend_from_slice(row.exact);
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
        let mut head = Head {
            spec: self.spec,
            // At most MAX_ROWS, see `push`.
            rows: self.keys.len() as u32,
            first_frame,
            last_frame,
            graph: None,
        };
        let at = sections(&head)?;
        let mut out = Vec::with_capacity(at.end);
        out.extend_from_slice(&head.encode());
        for key in &self.keys {
            let offset = key.frame.get() - first_frame.get();
            out.extend_from_slice(&(offset as u32).to_le_bytes());
        }
        pad_to(&mut out, ALIGN);
        for key in &self.keys {
            out.extend_from_slice(&key.start.to_le_bytes());
            out.extend_from_slice(&key.end.to_le_bytes());
        }
        for section in [
            Section::Scales,
            Section::Norms,
            Section::Codes,
            Section::Exact,
        ] {
            pad_to(&mut out, ALIGN);
            self.copy(section, &mut out)?;
        }
        let options = match graph {
            Graph::Build(options) if self.promises(options)? => options,
            _ => return Ok(out),
        };
        // Building takes a multiple of what is given back here.
        drop(self);
        let graph = links(&head, &at, &out, options)?;
        head.graph = Some(graph.head);
        out.reserve_exact(sections(&head)?.end - out.len());
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
        out[..HEAD_BYTES].copy_from_slice(&head.encode());
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
        for row in (0..TRIAL_ROWS).map(|at| at * rows / TRIAL_ROWS) {
            let key = self.keys[row];
            let new = &mut trial.new;
            for (section, bytes) in [
                (Section::Scales, &mut new.scales),
                (Section::Norms, &mut new.norms),
                (Section::Codes, &mut new.codes),
                (Section::Exact, &mut new.exact),
            ] {
                let found = self.bytes_of(section, key.source, key.row..key.row + 1)?;
                bytes.extend_from_slice(found);
            }
            trial.keys.push(Key {
                source: NEW,
                row: new.count,
                ..key
            });
            new.count += 1;
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

    /// Appends a section, in runs of rows that stand together.
    fn copy(&self, section: Section, out: &mut Vec<u8>) -> Result<()> {
        let follows = |a: &Key, b: &Key| a.source == b.source && b.row == a.row.wrapping_add(1);
        for run in self.keys.chunk_by(follows) {
            // No run is longer than a segment.
            let rows = run[0].row..run[0].row + run.len() as u32;
            out.extend_from_slice(self.bytes_of(section, run[0].source, rows)?);
        }
        Ok(())
    }

    fn bytes_of(&self, section: Section, source: u32, rows: Range<u32>) -> Result<&[u8]> {
        if source != NEW {
            let segment = &self.segments[source as usize];
            return match section {
                Section::Scales => segment.scales(rows),
                Section::Norms => segment.norms(rows),
                Section::Codes => segment.codes(rows),
                Section::Exact => segment.exacts(rows),
            };
        }
        let spec = &self.spec;
        let (bytes, width) = match section {
            Section::Scales => (&self.new.scales, 4),
            Section::Norms => (&self.new.norms, if spec.has_norms() { 4 } else { 0 }),
            Section::Codes => (&self.new.codes, spec.dims as usize),
            Section::Exact => (&self.new.exact, spec.exact_bytes()),
        };
        Ok(&bytes[rows.start as usize * width..rows.end as usize * width])
    }

    /// Brings rows into their order and refuses frames that were added twice.
    fn sort(&mut self) -> Result<()> {
        let mut frames = std::mem::take(&mut self.frames);
        frames.sort_unstable();
        for pair in frames.windows(2) {
            if pair[0] == pair[1] {
                return Err(Error::FrameTwice { frame: pair[0] });
            }
        }
        if !self.keys.is_sorted() {
            self.keys.sort_unstable();
        }
        Ok(())
    }
}

fn sections(head: &Head) -> Result<Sections> {
    Sections::of(head).ok_or(Error::TooMany {
        what: "bytes",
        found: u64::MAX,
        limit: usize::MAX as u64,
    })
}

/// The graph of the rows of a segment that has none yet.
fn links(head: &Head, at: &Sections, bytes: &[u8], options: &GraphOptions<'_>) -> Result<Built> {
    if (options.cancelled)() {
        return Err(Error::Cancelled);
    }
    let rows = head.rows as usize;
    let floats = |start: usize, count: usize| -> Vec<f32> {
        let (floats, _) = bytes[start..start + count * 4].as_chunks::<4>();
        floats
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect()
    };
    let source = Source {
        dims: head.spec.dims as usize,
        metric: head.spec.metric,
        codes: &bytes[at.codes..at.codes + rows * head.spec.dims as usize],
        scales: &floats(at.scales, rows),
        norms: &floats(at.norms, if head.spec.has_norms() { rows } else { 0 }),
    };
    build(&source, options.seed, options.cancelled)
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
            Some(measure(&segment, ef, options.cancelled)?)
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
        (Some(graph), Some(calibration)) => graph.calibration = calibration,
        _ => {
            head.graph = None;
            let sections = Sections::of(head);
            bytes.truncate(sections.map_or(bytes.len(), |sections| sections.end));
        }
    }
    bytes[..HEAD_BYTES].copy_from_slice(&head.encode());
    Ok(bytes)
}
