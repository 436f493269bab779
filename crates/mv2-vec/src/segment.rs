//! A vector segment: opened in constant time, read row by row, verified on request.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use mv2_format::{FrameId, SegmentBytes};

use crate::error::{Error, Result};
use crate::graph::nodes::Nodes;
use crate::layout::{Calibration, GraphHead, HEAD_BYTES, Head, NONE, Sections, ZERO_LINKS, entry};
use crate::rows::{RowRef, quantise, squared_norm};
use crate::spec::{Exact, Spec};

/// A vector segment. Each page of it is checked when it is first touched.
#[derive(Clone)]
pub struct Segment {
    bytes: SegmentBytes,
    head: Head,
    at: Sections,
}

/// Open
impl Segment {
    /// Opens a segment: reads its head of 128 bytes and checks that the sections fill it.
    ///
    /// # Errors
    /// [`Error::Format`] if the head is damaged or does not fit the length,
    /// [`Error::Unsupported`] if it was written with a version that this build does not read.
    pub fn open(bytes: SegmentBytes) -> Result<Self> {
        let (head, at) = Head::open(&bytes)?;
        Ok(Self { bytes, head, at })
    }
}

/// Access
impl Segment {
    /// What the vectors have in common.
    pub fn spec(&self) -> &Spec {
        &self.head.spec
    }

    /// Number of vectors.
    pub fn rows(&self) -> u32 {
        self.head.rows
    }

    /// Number of different vectors, if there is a graph of them.
    pub fn nodes(&self) -> Option<u32> {
        self.graph().map(|graph| graph.nodes)
    }

    /// How a search in the graph goes by default, as measured when that was built.
    pub fn calibration(&self) -> Option<Calibration> {
        self.graph().map(|graph| graph.calibration)
    }

    /// The lowest frame.
    pub fn first_frame(&self) -> FrameId {
        self.head.first_frame
    }

    /// The highest frame.
    pub fn last_frame(&self) -> FrameId {
        self.head.last_frame
    }

    /// Number of bytes.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The frames that have vectors here, ascending, each once.
    ///
    /// # Errors
    /// [`Error::Format`] if a page is damaged.
    pub fn frames(&self) -> Result<Vec<FrameId>> {
        let mut frames = Vec::new();
        for row in 0..self.rows() {
            let frame = self.frame(row)?;
            if frames.last() != Some(&frame) {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    /// The frame of a row. Rows beyond the end are errors, here and below.
    pub(crate) fn frame(&self, row: u32) -> Result<FrameId> {
        let offset = self.u32_at(self.at.frames, row)?;
        Ok(FrameId(
            self.head.first_frame.get().saturating_add(offset.into()),
        ))
    }

    /// The first row whose frame is not below this one.
    pub(crate) fn row_at(&self, frame: FrameId) -> Result<u32> {
        self.row_from(frame, 0)
    }

    /// The same, known to be at least `low`. Steps double, so that a near one is found soon.
    pub(crate) fn row_from(&self, frame: FrameId, mut low: u32) -> Result<u32> {
        let rows = self.rows();
        if frame <= self.head.first_frame {
            return Ok(low);
        }
        if frame > self.head.last_frame {
            return Ok(rows);
        }
        let mut step = 1;
        let mut high = low;
        while high < rows && self.frame(high)? < frame {
            low = high + 1;
            high = high.saturating_add(step);
            step *= 2;
        }
        let mut high = high.min(rows);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.frame(middle)? < frame {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The rows of a frame.
    pub(crate) fn rows_of(&self, frame: FrameId) -> Result<Range<u32>> {
        if frame < self.head.first_frame || frame > self.head.last_frame {
            return Ok(0..0);
        }
        let start = self.row_at(frame)?;
        let end = self.row_from(frame.next(), start)?;
        Ok(start..end)
    }

    pub(crate) fn range(&self, row: u32) -> Result<Range<u64>> {
        let bytes = self.get(entry(self.at.ranges, row, 8))?;
        Ok(word(bytes, 0).into()..word(bytes, 4).into())
    }

    pub(crate) fn scale(&self, row: u32) -> Result<f32> {
        Ok(f32::from_bits(self.u32_at(self.at.scales, row)?))
    }

    /// The squared norm of a row; 1 under the cosine.
    pub(crate) fn norm(&self, row: u32) -> Result<f32> {
        if !self.spec().has_norms() {
            return Ok(1.0);
        }
        Ok(f32::from_bits(self.u32_at(self.at.norms, row)?))
    }

    pub(crate) fn code(&self, row: u32) -> Result<&[u8]> {
        self.get(entry(self.at.codes, row, self.spec().dims as usize))
    }

    pub(crate) fn exact(&self, row: u32) -> Result<&[u8]> {
        self.get(entry(self.at.exact, row, self.spec().exact_bytes()))
    }

    /// Codes of a run of rows.
    pub(crate) fn codes(&self, rows: Range<u32>) -> Result<&[u8]> {
        self.run(self.at.codes, rows, self.spec().dims as usize)
    }

    /// Exact parts of a run of rows.
    pub(crate) fn exacts(&self, rows: Range<u32>) -> Result<&[u8]> {
        self.run(self.at.exact, rows, self.spec().exact_bytes())
    }

    /// Scales of a run of rows, as bytes.
    pub(crate) fn scales(&self, rows: Range<u32>) -> Result<&[u8]> {
        self.run(self.at.scales, rows, 4)
    }

    /// Squared norms of a run of rows, as bytes; none under the cosine.
    pub(crate) fn norms(&self, rows: Range<u32>) -> Result<&[u8]> {
        if !self.spec().has_norms() {
            return Ok(&[]);
        }
        self.run(self.at.norms, rows, 4)
    }

    /// Frames of a run of rows, as bytes: each minus the first of the segment.
    pub(crate) fn frame_offsets(&self, rows: Range<u32>) -> Result<&[u8]> {
        self.run(self.at.frames, rows, 4)
    }

    pub(crate) fn row(&self, row: u32) -> Result<RowRef<'_>> {
        let range = self.get(entry(self.at.ranges, row, 8))?;
        Ok(RowRef {
            start: word(range, 0),
            end: word(range, 4),
            scale: self.scale(row)?,
            norm: self.norm(row)?,
            code: self.code(row)?,
            exact: self.exact(row)?,
        })
    }

    fn run(&self, section: usize, rows: Range<u32>, width: usize) -> Result<&[u8]> {
        self.get(section + rows.start as usize * width..section + rows.end as usize * width)
    }

    fn u32_at(&self, section: usize, index: u32) -> Result<u32> {
        Ok(word(self.get(entry(section, index, 4))?, 0))
    }

    fn get(&self, range: Range<usize>) -> Result<&[u8]> {
        Ok(self.bytes.get(range)?)
    }
}

/// The graph. Numbers of rows that come out of it are checked here, those of nodes and positions
/// where they are used.
impl Segment {
    pub(crate) fn graph(&self) -> Option<&GraphHead> {
        self.head.graph.as_ref()
    }

    /// The first row of a node.
    pub(crate) fn node_row(&self, node: u32) -> Result<u32> {
        if !self.has_copies() {
            return Ok(node);
        }
        let row = self.u32_at(self.at.node_rows, node)?;
        if row >= self.rows() {
            return Err(Error::invalid(format!("a row below {}", self.rows()), row));
        }
        Ok(row)
    }

    /// The graph, for who looks at many nodes of it.
    pub(crate) fn nodes_of_graph(&self) -> Result<Option<Nodes<'_>>> {
        let Some(graph) = self.graph() else {
            return Ok(None);
        };
        let rows = 0..self.rows();
        let node_rows = match self.has_copies() {
            true => Some(self.run(self.at.node_rows, 0..graph.nodes, 4)?),
            false => None,
        };
        Ok(Some(Nodes {
            graph,
            at: &self.at,
            dims: self.head.spec.dims as usize,
            pages: self.bytes.pages(),
            scales: self.scales(rows.clone())?.as_chunks().0,
            norms: self.norms(rows)?.as_chunks().0,
            rows: node_rows.map(|rows| rows.as_chunks().0),
        }))
    }

    /// Whether nodes stand for several rows.
    fn has_copies(&self) -> bool {
        let nodes = self.head.graph.as_ref().map(|graph| graph.nodes);
        nodes.is_some_and(|nodes| nodes < self.rows())
    }

    /// The next row with the same code.
    pub(crate) fn next_row(&self, row: u32) -> Result<Option<u32>> {
        if !self.has_copies() {
            return Ok(None);
        }
        let next = self.u32_at(self.at.next_rows, row)?;
        if next == NONE {
            return Ok(None);
        }
        // Ascending, so that a walk ends.
        if next <= row || next >= self.rows() {
            return Err(Error::invalid(
                format!("a row after {row} with the same code"),
                next,
            ));
        }
        Ok(Some(next))
    }
}

/// Verify
impl Segment {
    /// Reads all of the segment and checks what searches rely on.
    ///
    /// # Errors
    /// [`Error::Format`] that says what is wrong with which row or node.
    pub fn verify(&self) -> Result<()> {
        self.verify_gaps()?;
        let mut previous = None;
        for row in 0..self.rows() {
            let frame = self.frame(row)?;
            let found = self.row(row)?;
            let order = (frame, found.start, found.end);
            if previous.is_some_and(|previous| previous > order) || found.start > found.end {
                return Err(Error::invalid("rows in order", format!("row {row}")));
            }
            previous = Some(order);
            self.verify_row(row, &found)?;
        }
        let (first, last) = (self.frame(0)?, self.frame(self.rows() - 1)?);
        if (first, last) != (self.head.first_frame, self.head.last_frame) {
            return Err(Error::invalid(
                format!(
                    "frames {} to {}",
                    self.head.first_frame, self.head.last_frame
                ),
                format!("{first} to {last}"),
            ));
        }
        match self.nodes_of_graph()? {
            Some(nodes) => self.verify_graph(&nodes),
            None => Ok(()),
        }
    }

    fn verify_row(&self, row: u32, found: &RowRef<'_>) -> Result<()> {
        found.check(self.spec())?;
        let vector = found.vector();
        let mut code = Vec::with_capacity(vector.len());
        let scale = quantise(self.spec(), &vector, &mut code);
        // Without an exact part, the code is all that there is; its scale may be any but for the
        // cosine.
        let coded =
            self.spec().exact == Exact::None || (code, scale) == (found.code.to_vec(), found.scale);
        let norm = squared_norm(self.spec(), &vector, found.code, found.scale);
        if !coded || (self.spec().has_norms() && norm != found.norm) {
            return Err(Error::invalid(
                "the code, scale and norm of the vector",
                format!("others in row {row}"),
            ));
        }
        Ok(())
    }

    fn verify_gaps(&self) -> Result<()> {
        let (rows, spec) = (self.rows() as usize, self.spec());
        let exact = self.at.exact + rows * spec.exact_bytes();
        let mut gaps = vec![
            HEAD_BYTES..self.at.frames,
            self.at.frames + rows * 4..self.at.ranges,
            self.at.ranges + rows * 8..self.at.scales,
            self.at.scales + rows * 4..self.at.norms,
            self.at.norms + if spec.has_norms() { rows * 4 } else { 0 }..self.at.codes,
            self.at.codes + rows * spec.dims as usize..self.at.exact,
        ];
        if let Some(graph) = self.graph() {
            let nodes = graph.nodes as usize;
            let copies = usize::from(self.has_copies());
            gaps.extend([
                exact..self.at.node_rows,
                self.at.node_rows + copies * nodes * 4..self.at.next_rows,
                self.at.next_rows + copies * rows * 4..self.at.zero,
                self.at.zero + nodes * ZERO_LINKS * 4..self.at.upper_nodes,
                self.at.upper_nodes + graph.upper[0] as usize * 4..self.at.upper,
            ]);
        }
        for gap in gaps {
            if self.get(gap.clone())?.iter().any(|byte| *byte != 0) {
                return Err(Error::invalid("zeros between sections", format!("{gap:?}")));
            }
        }
        Ok(())
    }

    fn verify_graph(&self, nodes: &Nodes<'_>) -> Result<()> {
        let graph = nodes.graph;
        // Each row belongs to the node of its code, and to one only.
        let mut reached = vec![false; self.rows() as usize];
        let mut previous = None;
        for node in 0..graph.nodes {
            let first = self.node_row(node)?;
            if previous.is_some_and(|previous| previous >= first) {
                return Err(Error::invalid("nodes in the order of their rows", first));
            }
            previous = Some(first);
            let code = self.code(first)?;
            let mut row = Some(first);
            while let Some(at) = row {
                let again = reached
                    .get_mut(at as usize)
                    .is_none_or(|reached| std::mem::replace(reached, true));
                if again || self.code(at)?.cmp(code) != Ordering::Equal {
                    return Err(Error::invalid(
                        format!("rows of node {node}, each once and with its code"),
                        format!("row {at}"),
                    ));
                }
                row = self.next_row(at)?;
            }
            check_links(nodes.links(node)?, graph.nodes, node)?;
        }
        if let Some(row) = reached.iter().position(|reached| !reached) {
            return Err(Error::invalid("a node for each row", format!("row {row}")));
        }
        let mut first = 0;
        for &len in graph.upper.iter().take(graph.layers()) {
            for position in 0..len {
                check_links(nodes.upper_links(first, position)?, len, position)?;
            }
            first += len;
        }
        for position in 0..graph.upper[0] {
            let node = nodes.upper_node(position)?;
            if position == 0 && node != graph.entry {
                return Err(Error::invalid(format!("{}, the entry", graph.entry), node));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Segment({} vectors of {} dimensions, frames {} to {}{})",
            self.rows(),
            self.spec().dims,
            self.first_frame(),
            self.last_frame(),
            if self.head.graph.is_some() {
                ", graph"
            } else {
                ""
            }
        )
    }
}

/// Neighbours are others of the layer, each once, and nothing follows the first mark for none.
fn check_links(links: &[[u8; 4]], len: u32, own: u32) -> Result<()> {
    let mut seen = Vec::with_capacity(links.len());
    let mut ended = false;
    for link in links {
        let link = u32::from_le_bytes(*link);
        if link == NONE {
            ended = true;
            continue;
        }
        if ended || link >= len || link == own || seen.contains(&link) {
            return Err(Error::invalid(
                format!("other neighbours of {own} below {len}"),
                link,
            ));
        }
        seen.push(link);
    }
    Ok(())
}

/// The little-endian number at a place of at least four more bytes.
fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u32::from_le_bytes(*word))
}
