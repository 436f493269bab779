//! Searching the vectors of one snapshot: find candidates by their codes, by a scan or by a walk
//! through a graph, and score what may be among the best exactly.
//!
//! A frame scores as the best of its visible vectors.

mod collect;
mod flat;
mod graph;

use mv2_format::FrameId;

use crate::error::Result;
use crate::kernel::Kernel;
use crate::query::Query;
use crate::spec::Spec;
use crate::view::{FrameSet, View};
use collect::Collector;
pub(crate) use graph::{CALIBRATED_TOP_K, walk_pays};

use std::ops::Range;

/// What to search for besides the vector.
#[derive(Clone, Copy, Debug)]
pub struct VecSearchOptions<'a> {
    /// Most hits to return.
    pub top_k: usize,
    /// Frames to search in; all if there is none. As many hits as were asked for come back if that
    /// many of these frames have vectors.
    pub filter: Option<&'a FrameSet>,
    /// Whether to look at every row. Otherwise a large segment with a graph is searched by that,
    /// which may miss a few of the best; scores are exact in either case.
    pub exact: bool,
    /// How many candidates a walk through a graph keeps, to measure what that does. `None`: as many
    /// as were found to suffice when the graph was built, and none if a scan costs less.
    pub ef: Option<usize>,
    /// With an `ef`: a walk does not follow what is more than `1 + slack` times as far away, by squared distances, as the last
    /// of the `top_k` nearest. `None`: it follows whatever is among the candidates.
    pub slack: Option<f32>,
}

impl Default for VecSearchOptions<'_> {
    fn default() -> Self {
        Self {
            top_k: 10,
            filter: None,
            exact: false,
            ef: None,
            slack: None,
        }
    }
}

/// A frame that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The frame.
    pub frame: FrameId,
    /// The score of its best vector; larger is nearer.
    pub score: f32,
    /// The bytes of the document that this vector stands for.
    pub range: Range<u64>,
}

/// Searches the vectors of one space in one snapshot. Cheap to make: make one for each commit.
///
/// ```
/// use std::sync::Arc;
///
/// use mv2_format::{FrameId, SegmentBytes};
/// use mv2_vec::{
///     Searcher, Segment, SegmentBuilder, Spec, VecSearchOptions, View, encode_rows,
/// };
///
/// # fn main() -> mv2_vec::Result<()> {
/// let spec = Spec::new(2)?;
/// let mut builder = SegmentBuilder::new(spec)?;
/// for (id, vector) in [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]].iter().enumerate() {
///     builder.add(FrameId(id as u64), &encode_rows(&spec, &[(0..10, vector)])?)?;
/// }
/// let segment = Segment::open(SegmentBytes::from_vec(builder.finish()?))?;
/// // As of frame 2, and without frame 0.
/// let view = View::new(Arc::new(segment), FrameId(2), &[FrameId(0)])?;
/// let searcher = Searcher::new(spec, vec![view])?;
/// let hits = searcher.search(&[2.0, 0.0], &VecSearchOptions::default())?;
/// assert_eq!(hits.len(), 1);
/// assert_eq!(hits[0].frame, FrameId(1));
/// assert!((hits[0].score - 0.6).abs() < 1e-3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Searcher {
    spec: Spec,
    views: Vec<View>,
    kernel: Kernel,
}

/// Construct
impl Searcher {
    /// A searcher over views of one space. A frame has its vectors in one of them only. What is in
    /// the log and in no segment yet comes as a segment that was built in memory.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) if a segment is of another space,
    /// [`Error::UnsupportedDims`](crate::Error::UnsupportedDims).
    pub fn new(spec: Spec, views: Vec<View>) -> Result<Self> {
        spec.check()?;
        for view in &views {
            spec.check_same(view.segment().spec())?;
        }
        Ok(Self {
            spec,
            views,
            kernel: Kernel::best(),
        })
    }

    /// The same with other instructions, to compare them.
    #[must_use]
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Self { kernel, ..self }
    }

    /// The space.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Number of vectors that are visible.
    pub fn visible_rows(&self) -> u64 {
        let rows = |view: &View| u64::from(view.visible_rows());
        self.views.iter().map(rows).sum()
    }
}

/// Search
impl Searcher {
    /// The frames nearest to a vector, nearest first, equal scores by frame id.
    ///
    /// # Errors
    /// [`Error::Dimensions`](crate::Error::Dimensions), [`Error::NotFinite`](crate::Error::NotFinite),
    /// [`Error::Overflow`](crate::Error::Overflow) and [`Error::Zero`](crate::Error::Zero) if the
    /// vector is none of this space, [`Error::Format`](crate::Error::Format) if a page is damaged.
    pub fn search(&self, vector: &[f32], options: &VecSearchOptions<'_>) -> Result<Vec<Hit>> {
        Ok(self.search_and_count(vector, options)?.0)
    }

    /// The same, with the number of nodes of graphs that were scored for it.
    pub(crate) fn search_and_count(
        &self,
        vector: &[f32],
        options: &VecSearchOptions<'_>,
    ) -> Result<(Vec<Hit>, u64)> {
        let query = Query::new(&self.spec, vector, self.kernel)?;
        if options.top_k == 0 {
            return Ok((Vec::new(), 0));
        }
        let mut collector = Collector::new(options.top_k);
        let has_graph = |view: &&View| view.segment().graph().is_some();
        let graphs = self.views.iter().filter(has_graph).count();
        for (index, view) in self.views.iter().enumerate() {
            let rows = view.within(options.filter)?;
            let rows = rows.as_deref();
            let by_graph = !options.exact
                && graph::offer(&query, index, view, rows, graphs, options, &mut collector)?;
            if !by_graph {
                match rows {
                    Some(rows) => flat::scan_rows(&query, index, view, rows, &mut collector)?,
                    None => flat::scan(&query, index, view, &mut collector)?,
                }
            }
        }
        let visits = collector.visits;
        let best = collector.finish(&self.views, &query)?;
        let hits = best.iter().map(|best| {
            Ok(Hit {
                frame: best.frame,
                score: best.score,
                range: self.views[best.view].segment().range(best.row)?,
            })
        });
        Ok((hits.collect::<Result<_>>()?, visits))
    }

    /// The score of each of these frames, `None` for those without a visible vector.
    ///
    /// # Errors
    /// As for [`search`](Self::search).
    pub fn score_frames(&self, vector: &[f32], frames: &[FrameId]) -> Result<Vec<Option<f32>>> {
        let query = Query::new(&self.spec, vector, self.kernel)?;
        let score = |frame: &FrameId| {
            let mut best: Option<f32> = None;
            self.each_row(*frame, |view, row| {
                let score = query.score(view.segment(), row)?;
                best = Some(best.map_or(score, |best| best.max(score)));
                Ok(())
            })?;
            Ok(best)
        };
        frames.iter().map(score).collect()
    }

    /// The visible vectors of a frame as they are stored, each with the bytes of the document that
    /// it stands for: what to search for to find more like this frame.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) if a page is damaged.
    pub fn vectors_of(&self, frame: FrameId) -> Result<Vec<(Range<u64>, Vec<f32>)>> {
        let mut vectors = Vec::new();
        self.each_row(frame, |view, row| {
            let row = view.segment().row(row)?;
            vectors.push((row.range(), row.vector()));
            Ok(())
        })?;
        Ok(vectors)
    }

    fn each_row(
        &self,
        frame: FrameId,
        mut visit: impl FnMut(&View, u32) -> Result<()>,
    ) -> Result<()> {
        for view in &self.views {
            for row in view.segment().rows_of(frame)? {
                if view.is_visible(row) {
                    visit(view, row)?;
                }
            }
        }
        Ok(())
    }
}
