//! What a snapshot sees of a segment, and sets of frames to search in.

use std::fmt;
use std::sync::Arc;

use mv2_format::FrameId;

use crate::error::Result;
use crate::segment::Segment;

/// A segment as one snapshot sees it.
///
/// Making one costs O(dead frames in the segment); cloning is cheap.
#[derive(Clone)]
pub struct View {
    segment: Arc<Segment>,
    /// Rows from here on are invisible.
    cut: u32,
    /// Dead rows below the cut, sorted.
    dead: Arc<[u32]>,
    /// The same as bits, if they are so many that looking in the list costs more.
    dead_bits: Option<Arc<RowBits>>,
    /// The visible rows, and how many, where they were named; then none is said to be dead.
    only: Option<(Arc<RowBits>, u32)>,
}

impl View {
    /// A view of a segment without the frames from `cutoff` on and without `dead`, which is
    /// sorted. Dead frames outside of the segment are passed over.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) if a page that holds frame ids is damaged.
    pub fn new(segment: Arc<Segment>, cutoff: FrameId, dead: &[FrameId]) -> Result<Self> {
        let cut = segment.row_at(cutoff)?;
        let first = dead.partition_point(|frame| *frame < segment.first_frame());
        let mut rows = Vec::new();
        let mut low = 0;
        for &frame in dead[first..]
            .iter()
            .take_while(|f| **f <= segment.last_frame())
        {
            low = segment.row_from(frame, low)?;
            let mut row = low;
            while row < cut && segment.frame(row)? == frame {
                rows.push(row);
                row += 1;
            }
        }
        rows.dedup();
        // Bits cost O(rows / 64), which is O(dead) if at least that many are dead.
        let bits = rows.len() >= 16 && rows.len() >= segment.rows() as usize / 64;
        let dead_bits = bits.then(|| {
            let mut bits = RowBits::new(segment.rows());
            rows.iter().for_each(|row| bits.insert(*row));
            Arc::new(bits)
        });
        Ok(Self {
            segment,
            cut,
            dead: rows.into(),
            dead_bits,
            only: None,
        })
    }

    /// A view of some frames of a segment, sorted, and no others. Frames outside of the segment are passed over.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn only(segment: Arc<Segment>, frames: &[FrameId]) -> Result<Self> {
        let mut view = Self::all(segment);
        let rows = view.rows_in(&frames.iter().copied().collect())?;
        let count = rows.count();
        view.only = Some((Arc::new(rows), count));
        Ok(view)
    }

    /// A view of all of a segment.
    pub fn all(segment: Arc<Segment>) -> Self {
        Self {
            cut: segment.rows(),
            segment,
            dead: Arc::new([]),
            dead_bits: None,
            only: None,
        }
    }

    /// The segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Number of vectors that are visible.
    pub fn visible_rows(&self) -> u32 {
        match &self.only {
            Some((_, count)) => *count,
            None => self.cut - self.dead.len() as u32,
        }
    }

    /// Number of vectors below the cut-off that are dead.
    pub fn dead_rows(&self) -> u32 {
        self.dead.len() as u32
    }

    pub(crate) fn cut(&self) -> u32 {
        self.cut
    }

    pub(crate) fn is_visible(&self, row: u32) -> bool {
        if let Some((rows, _)) = &self.only {
            return rows.contains(row);
        }
        row < self.cut
            && match &self.dead_bits {
                Some(bits) => !bits.contains(row),
                None => self.dead.is_empty() || self.dead.binary_search(&row).is_err(),
            }
    }

    /// The rows that a search stays within: those of the frames of a set, or of those that the view names.
    pub(crate) fn within(&self, set: Option<&FrameSet>) -> Result<Option<Arc<RowBits>>> {
        match (set, &self.only) {
            (Some(set), _) => Ok(Some(Arc::new(self.rows_in(set)?))),
            (None, only) => Ok(only.as_ref().map(|(rows, _)| Arc::clone(rows))),
        }
    }

    /// The visible rows of the frames of a set.
    pub(crate) fn rows_in(&self, set: &FrameSet) -> Result<RowBits> {
        let segment = &self.segment;
        let mut bits = RowBits::new(segment.rows());
        let (offsets, _) = segment.frame_offsets(0..self.cut)?.as_chunks::<4>();
        let offset = |row: usize| u32::from_le_bytes(offsets[row]);
        let mut low = 0;
        for frame in set.between(segment.first_frame(), segment.last_frame()) {
            // Less than 2^32: between the first and the last frame.
            let wanted = (frame.get() - segment.first_frame().get()) as u32;
            // Steps double, so that a near one is found soon.
            let (mut step, mut high) = (1, low);
            while high < offsets.len() && offset(high) < wanted {
                low = high + 1;
                high += step;
                step *= 2;
            }
            let high = high.min(offsets.len());
            low += offsets[low..high.max(low)]
                .partition_point(|bytes| u32::from_le_bytes(*bytes) < wanted);
            let mut row = low;
            while row < offsets.len() && offset(row) == wanted {
                bits.insert(row as u32);
                row += 1;
            }
            low = row;
        }
        for row in self.dead.iter() {
            bits.remove(*row);
        }
        if let Some((only, _)) = &self.only {
            bits.and(only);
        }
        Ok(bits)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "View({:?}, {} visible)",
            self.segment,
            self.visible_rows()
        )
    }
}

/// A set of frames that a search stays within.
///
/// ```
/// use mv2_format::FrameId;
/// use mv2_vec::FrameSet;
///
/// let set: FrameSet = [FrameId(7), FrameId(2), FrameId(7)].into_iter().collect();
/// assert_eq!(set.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameSet {
    frames: Vec<FrameId>,
}

impl FrameSet {
    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a frame is in it.
    pub fn contains(&self, frame: FrameId) -> bool {
        self.frames.binary_search(&frame).is_ok()
    }

    fn between(&self, first: FrameId, last: FrameId) -> impl Iterator<Item = FrameId> + '_ {
        let start = self.frames.partition_point(|frame| *frame < first);
        self.frames[start..]
            .iter()
            .copied()
            .take_while(move |frame| *frame <= last)
    }
}

impl FromIterator<FrameId> for FrameSet {
    fn from_iter<I: IntoIterator<Item = FrameId>>(frames: I) -> Self {
        let mut frames: Vec<FrameId> = frames.into_iter().collect();
        if !frames.is_sorted() {
            frames.sort_unstable();
        }
        frames.dedup();
        Self { frames }
    }
}

/// A set of rows of one segment, one bit for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowBits {
    words: Vec<u64>,
}

impl RowBits {
    pub(crate) fn new(rows: u32) -> Self {
        Self {
            words: vec![0; rows.div_ceil(64) as usize],
        }
    }

    /// The row is one of the segment.
    pub(crate) fn insert(&mut self, row: u32) {
        self.words[row as usize / 64] |= 1 << (row % 64);
    }

    pub(crate) fn remove(&mut self, row: u32) {
        self.words[row as usize / 64] &= !(1 << (row % 64));
    }

    /// Keeps the rows that are in another set of the same segment too.
    pub(crate) fn and(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    pub(crate) fn contains(&self, row: u32) -> bool {
        let word = self.words.get(row as usize / 64);
        word.is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    pub(crate) fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(index as u32 * 64 + bit)
            })
        })
    }
}
