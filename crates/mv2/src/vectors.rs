//! Vectors of a snapshot: the space that they live in, their segments, and those of the log.
//!
//! The store keeps what frames carry and knows no vector; here is what it does not know. A **space** is what vectors must
//! have in common to be compared. A memory has one at a time; which one is a property, so that a snapshot of the past
//! finds its own.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mv2_format::index::{AttachmentSource, Effort, SegmentSize};
use mv2_format::{
    Attachment, AttachmentIndex, BoxError, FrameId, FrameSet, SegmentBytes, SegmentId, SegmentKind,
};
use mv2_store::{OpenOptions, Problem, Seen, Snapshot, Store, VerifyReport};
use mv2_vec::{Exact, Graph, GraphOptions, Metric, Searcher, Segment, SegmentBuilder, Spec, View};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// The property that describes the space.
pub(crate) const PROPERTY: &str = "mv2.vectors";

/// Properties whose names begin so say which frames got vectors in a later commit than the one that put them.
const LATE: &str = "mv2.vectors.late.";

/// Runs of frames in one such property, so that it stays within the limit of the format.
const LATE_RUNS: usize = 20_000;

/// Searchers that are kept, so that a pinned snapshot and the newest one can be asked in turn.
const KEPT_SEARCHERS: usize = 4;

/// Segments with fewer rows are scanned. From here on a graph may pay: mv2-vec tries one over a sample, which takes a second or two,
/// and builds it if so. Of the built-in embedder it pays from about 50,000 on, see the figures in mv2-vec's README.
const GRAPH_ROWS: u64 = 20_000;

/// Most rows that get a graph in one piece: what is built is kept once it is done, and a row takes a millisecond and, while it
/// is linked, more than a kilobyte.
const MAX_GRAPH_ROWS: u64 = 250_000;

/// Small neighbours are joined when there are more.
const FLAT_SEGMENTS: usize = 8;

/// From so many bytes on a segment without a graph is small no more: scanning it takes many times as long as opening it, and
/// joining it would write it again for nothing. An import of batches leaves one for each, each row written once.
const SMALL_BYTES: u64 = 1 << 20;

/// Nor is it small as one of so many parts of all; so there are not many times as many.
const MOST_SEGMENTS: u64 = 256;

/// What whoever waits joins stays below so many times what is small: it is held in memory.
const JOIN_TIMES: u64 = 4;

/// Large segments of about one size are joined when there are so many.
const TIER_SEGMENTS: usize = 4;

/// Bytes of a model's identity in front of what a frame carries.
const IDENTITY_BYTES: usize = 16;

/// What the vectors of a memory have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Space {
    pub(crate) spec: Spec,
    /// What made the vectors, as its embedder describes itself; `None` if callers bring their own.
    pub(crate) embedder: Option<Value>,
}

impl Space {
    /// The space of a snapshot, if it has vectors.
    pub(crate) fn of(snapshot: &Snapshot) -> Result<Option<Self>> {
        match snapshot.property(PROPERTY)? {
            Some(bytes) => Self::decode(&bytes).map(Some).ok_or(Error::VectorSpace),
            None => Ok(None),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let model: String = self.spec.model.iter().map(|b| format!("{b:02x}")).collect();
        json!({
            "part": self.spec.space,
            "dims": self.spec.dims,
            "metric": metric_name(self.spec.metric),
            "exact": exact_name(self.spec.exact),
            "model": model,
            "embedder": self.embedder,
        })
        .to_string()
        .into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let number = |key: &str| u32::try_from(value[key].as_u64()?).ok();
        let text = value["model"].as_str().filter(|text| text.is_ascii())?;
        let mut model = [0; IDENTITY_BYTES];
        for (at, byte) in model.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        let mut spec = Spec::new(number("dims")?).ok()?;
        spec.metric = parse_metric(value["metric"].as_str()?)?;
        spec.exact = match value["exact"].as_str()? {
            "none" => Exact::None,
            "f16" => Exact::F16,
            "f32" => Exact::F32,
            _ => return None,
        };
        spec.space = number("part")?;
        spec.model = model;
        Some(Self {
            spec,
            embedder: value.get("embedder").filter(|v| !v.is_null()).cloned(),
        })
    }

    /// The embedder's name, or what stands for one.
    pub(crate) fn embedder_name(&self) -> String {
        let name = self
            .embedder
            .as_ref()
            .and_then(|spec| spec["name"].as_str());
        name.unwrap_or("the caller").to_owned()
    }

    /// What a frame carries: the model, and the rows with the bytes of the text that each stands for.
    pub(crate) fn attachment(
        &self,
        frame: FrameId,
        rows: &[(Range<u64>, &[f32])],
    ) -> Result<Attachment> {
        let mut bytes = self.spec.model.to_vec();
        bytes.extend_from_slice(&mv2_vec::encode_rows(&self.spec, rows)?);
        Ok(Attachment {
            frame,
            kind: SegmentKind::VECTORS,
            part: self.spec.space,
            bytes: bytes.into(),
        })
    }
}

/// The properties that say, in the commit that they are set in, that frames of earlier commits got vectors in it: names and
/// values. A commit before must not see these vectors.
pub(crate) fn late_properties(part: u32, frames: &[FrameId]) -> Vec<(String, Vec<u8>)> {
    let frames: FrameSet = frames.iter().copied().collect();
    let runs = frames.runs().iter();
    let runs: Vec<[u64; 2]> = runs.map(|run| [run.start.get(), run.end.get()]).collect();
    let named = |(at, runs): (usize, &[[u64; 2]])| {
        let value = json!({"part": part, "frames": runs}).to_string();
        (format!("{LATE}{at}"), value.into_bytes())
    };
    runs.chunks(LATE_RUNS).enumerate().map(named).collect()
}

/// Whether the vectors of a snapshot's space are so many that there may be, or have been, a graph of them.
pub(crate) fn may_have_graph(snapshot: &Snapshot) -> Result<bool> {
    let Some(space) = Space::of(snapshot)? else {
        return Ok(false);
    };
    let (segments, _) = snapshot.attached(SegmentKind::VECTORS, space.spec.space)?;
    let rows: u64 = segments.iter().map(|segment| segment.rows).sum();
    Ok(rows >= GRAPH_ROWS)
}

/// The frames of a snapshot that got the vectors that they have in a part only after its commit.
fn late(snapshot: &Snapshot, part: u32) -> Result<FrameSet> {
    let mut runs = Vec::new();
    for row in snapshot.later_properties()? {
        let (true, Some(value)) = (row.key.starts_with(LATE), &row.value) else {
            continue;
        };
        let value: Value = serde_json::from_slice(value).map_err(|_| Error::VectorSpace)?;
        if value["part"].as_u64() != Some(u64::from(part)) {
            continue;
        }
        for run in value["frames"].as_array().ok_or(Error::VectorSpace)? {
            let bound = |at: usize| run[at].as_u64().ok_or(Error::VectorSpace);
            runs.push(FrameId(bound(0)?)..FrameId(bound(1)?));
        }
    }
    Ok(runs.into_iter().collect())
}

/// The metric's name in files and JSON.
pub(crate) fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Dot => "dot",
        Metric::L2 => "l2",
        _ => "cosine",
    }
}

/// The inverse of [`metric_name`].
pub(crate) fn parse_metric(name: &str) -> Option<Metric> {
    [Metric::Cosine, Metric::Dot, Metric::L2]
        .into_iter()
        .find(|metric| metric_name(*metric) == name)
}

fn exact_name(exact: Exact) -> &'static str {
    match exact {
        Exact::None => "none",
        Exact::F32 => "f32",
        _ => "f16",
    }
}

/// The index of vectors as the store knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VectorIndex;

/// To be registered with the store.
pub(crate) fn index() -> Arc<dyn AttachmentIndex> {
    Arc::new(VectorIndex)
}

impl AttachmentIndex for VectorIndex {
    fn kind(&self) -> SegmentKind {
        SegmentKind::VECTORS
    }

    fn build(&self, source: &AttachmentSource<'_>) -> Result<Option<(Vec<u8>, u64)>, BoxError> {
        let mut builder: Option<SegmentBuilder> = None;
        for bytes in source.segments {
            let segment = Segment::open(bytes.clone())?;
            let builder = match &mut builder {
                Some(builder) => builder,
                none => none.insert(SegmentBuilder::new(*segment.spec())?),
            };
            builder.add_segment(&segment, source.wanted)?;
            if (source.cancelled)() {
                return Err("cancelled".into());
            }
        }
        for attachment in newest(source.attachments) {
            if !(source.wanted)(attachment.frame) {
                continue;
            }
            let (spec, rows) = carried(attachment)?;
            let builder = match &mut builder {
                Some(builder) => builder,
                none => none.insert(SegmentBuilder::new(spec)?),
            };
            builder.add(attachment.frame, rows)?;
        }
        match builder {
            Some(builder) if builder.rows() > 0 => {
                let rows = builder.rows() as u64;
                let graph = if source.effort == Effort::Thorough && rows >= GRAPH_ROWS {
                    Graph::Build(GraphOptions {
                        cancelled: source.cancelled,
                        ..GraphOptions::default()
                    })
                } else {
                    Graph::None
                };
                Ok(Some((builder.finish_with(&graph)?, rows)))
            }
            _ => Ok(None),
        }
    }

    fn due(&self, segments: &[SegmentSize], patience: Effort) -> Option<(Range<usize>, Effort)> {
        // A large one that was built with all effort has a graph, or is better off without.
        let flat = |size: &SegmentSize| size.rows < GRAPH_ROWS || !size.thorough;
        let first_flat = segments.len() - segments.iter().rev().take_while(|s| flat(s)).count();
        let flats = &segments[first_flat..];
        let rows: u64 = flats.iter().map(|size| size.rows).sum();
        if patience == Effort::Thorough && rows >= GRAPH_ROWS {
            let mut rows = 0;
            let fits = |size: &&SegmentSize| {
                let before = rows;
                rows += size.rows;
                before < GRAPH_ROWS || rows <= MAX_GRAPH_ROWS
            };
            let len = flats.iter().take_while(fits).count();
            return Some((first_flat..first_flat + len, Effort::Thorough));
        }
        if let Some(group) = small_ones(segments, first_flat) {
            let rows: u64 = segments[group.clone()].iter().map(|size| size.rows).sum();
            let effort = match rows < GRAPH_ROWS {
                // No graph is built of so few.
                true => Effort::Thorough,
                false => Effort::Quick,
            };
            return Some((group, effort));
        }
        // What has died is stepped over by each search.
        let dead = |size: &SegmentSize| size.dead * 10 > size.rows * 3;
        let anew = |at: usize| Some((at..at + 1, Effort::Thorough));
        if patience != Effort::Thorough {
            let small = |size: &SegmentSize| size.rows < GRAPH_ROWS && dead(size);
            return segments.iter().position(small).and_then(anew);
        }
        let tier = |size: &SegmentSize| size.rows.max(1).ilog(4);
        let same = |start: usize| {
            let run = &segments[start..start + TIER_SEGMENTS];
            let rows: u64 = run.iter().map(|size| size.rows).sum();
            let alike = |size: &SegmentSize| !flat(size) && tier(size) == tier(&run[0]);
            rows <= MAX_GRAPH_ROWS && run.iter().all(alike)
        };
        let joined = (0..(first_flat + 1).saturating_sub(TIER_SEGMENTS)).find(|at| same(*at));
        if let Some(start) = joined {
            return Some((start..start + TIER_SEGMENTS, Effort::Thorough));
        }
        segments.iter().position(dead).and_then(anew)
    }
}

/// The newest of more small neighbours than there should be, from one on; what is much larger than all behind it stays, so that
/// a row is copied a few times at the most.
fn small_ones(segments: &[SegmentSize], first: usize) -> Option<Range<usize>> {
    let all: u64 = segments.iter().map(|size| size.bytes).sum();
    let small = SMALL_BYTES.max(all / MOST_SEGMENTS);
    let mut end = segments.len();
    while end > first {
        let run = segments[first..end].iter().rev();
        let len = run.take_while(|size| size.bytes < small).count();
        if len > FLAT_SEGMENTS {
            let mut start = end - 2;
            let mut bytes = segments[start].bytes + segments[start + 1].bytes;
            while start > end - len {
                let next = segments[start - 1].bytes;
                if next > 2 * bytes || bytes + next > JOIN_TIMES * small {
                    break;
                }
                bytes += next;
                start -= 1;
            }
            return Some(start..end);
        }
        end -= len.max(1);
    }
    None
}

/// Of what frames carry, the newest of each frame.
fn newest(attachments: &[Attachment]) -> Vec<&Attachment> {
    let mut newest: Vec<&Attachment> = attachments.iter().collect();
    // Stable: what was committed later stays behind.
    newest.sort_by_key(|attachment| attachment.frame);
    newest.reverse();
    newest.dedup_by_key(|attachment| attachment.frame);
    newest.reverse();
    newest
}

/// The space and the encoded rows of what a frame carries.
fn carried(attachment: &Attachment) -> Result<(Spec, &[u8]), BoxError> {
    let bytes = &attachment.bytes;
    let (model, rows) = bytes
        .split_first_chunk::<IDENTITY_BYTES>()
        .ok_or("an attachment without a model")?;
    let mut spec = mv2_vec::spec_of_rows(rows)?;
    spec.model = *model;
    spec.space = attachment.part;
    Ok((spec, rows))
}

/// Checks what the vector segments of a file hold.
pub(crate) fn verify(path: &Path, mut report: VerifyReport) -> Result<VerifyReport> {
    let snapshot = Store::open_read_only(path, OpenOptions::default())?.snapshot()?;
    let Some(space) = Space::of(&snapshot)? else {
        return Ok(report);
    };
    let purged = snapshot.purged()?;
    for part in 0..=space.spec.space {
        let (segments, _) = snapshot.attached(SegmentKind::VECTORS, part)?;
        for segment in segments {
            let offset = segment.bytes.file_offset().0;
            let checked = Segment::open(segment.bytes).and_then(|opened| {
                opened.verify()?;
                let frames = opened.frames()?;
                Ok(frames.into_iter().find(|frame| purged.contains(*frame)))
            });
            let checked = match checked {
                Ok(None) => Ok(()),
                Ok(Some(frame)) => Err(format!("it has a row of frame {frame}, which was purged")),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = checked {
                let what = format!("vector segment {}: {error}", segment.id);
                let frames = (segment.first_frame, segment.end_frame);
                report.push(Problem::new(offset, what, Some(frames)));
            }
        }
    }
    Ok(report)
}

/// What vector searches of one handle and its snapshots share.
pub(crate) struct Vectors {
    path: PathBuf,
    /// By token, the most recently used one last.
    searchers: Mutex<Vec<Kept>>,
}

/// A searcher of the snapshot with a token, and the segments that it has open.
type Kept = ([u8; 16], Arc<Searcher>, Vec<Opened>);

/// A segment of the file that was opened. The bytes are kept so that their address stays theirs.
#[derive(Clone)]
struct Opened {
    id: SegmentId,
    bytes: SegmentBytes,
    segment: Arc<Segment>,
}

impl Vectors {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            searchers: Mutex::default(),
        }
    }

    /// A searcher of the vectors that a snapshot sees.
    pub(crate) fn searcher(&self, snapshot: &Snapshot, space: &Space) -> Result<Arc<Searcher>> {
        // A panic while the lock was held leaves whole entries behind.
        let mut kept = self
            .searchers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let token = snapshot.token();
        if let Some(at) = kept.iter().position(|(known, ..)| *known == token) {
            let entry = kept.remove(at);
            let searcher = Arc::clone(&entry.1);
            kept.push(entry);
            return Ok(searcher);
        }
        let spec = space.spec;
        let (stored, pending) = snapshot.attached(SegmentKind::VECTORS, spec.space)?;
        let mut opened = Vec::new();
        let mut views = Vec::new();
        let cutoff = snapshot.end_frame();
        let late = late(snapshot, spec.space)?;
        for stored in stored {
            let Some(seen) = snapshot.seen_in(&stored)? else {
                continue;
            };
            let known = kept
                .iter()
                .flat_map(|(.., opened)| opened)
                .find(|known| known.is(&stored));
            let segment = match known {
                Some(known) => Arc::clone(&known.segment),
                None => Arc::new(
                    Segment::open(stored.bytes.clone())
                        .map_err(|error| self.unusable(Some(stored.id), error))?,
                ),
            };
            let view = view(&segment, cutoff, seen, &late);
            views.push(view.map_err(|error| self.unusable(Some(stored.id), error))?);
            opened.push(Opened {
                id: stored.id,
                bytes: stored.bytes,
                segment,
            });
        }
        if let Some(segment) = self.in_memory(&pending)? {
            let frames = segment.first_frame()..segment.last_frame().next();
            if let Some(seen) = snapshot.seen(frames)? {
                let view = view(&segment, cutoff, seen, &late);
                views.push(view.map_err(|error| self.unusable(None, error))?);
            }
        }
        let searcher = Searcher::new(spec, views).map_err(|error| self.unusable(None, error))?;
        let searcher = Arc::new(searcher);
        if kept.len() == KEPT_SEARCHERS {
            kept.remove(0);
        }
        kept.push((token, Arc::clone(&searcher), opened));
        Ok(searcher)
    }

    /// The vectors that are in no segment of the file yet, as a segment.
    fn in_memory(&self, pending: &[Attachment]) -> Result<Option<Arc<Segment>>> {
        let source = AttachmentSource {
            segments: &[],
            attachments: pending,
            wanted: &|_| true,
            effort: Effort::Quick,
            cancelled: &|| false,
        };
        let built = VectorIndex
            .build(&source)
            .map_err(|error| self.unusable(None, error))?;
        let Some((bytes, _)) = built else {
            return Ok(None);
        };
        let segment = Segment::open(SegmentBytes::from_vec(bytes));
        Ok(Some(Arc::new(
            segment.map_err(|error| self.unusable(None, error))?,
        )))
    }

    /// What a search that failed is for the user: damage in this file, or a vector that does not fit.
    pub(crate) fn failed(&self, error: mv2_vec::Error) -> Error {
        match Error::from(error) {
            Error::Vector(damage) if Error::is_damage(&damage) => self.unusable(None, damage),
            wrong => wrong,
        }
    }

    fn unusable(&self, segment: Option<SegmentId>, error: impl Into<BoxError>) -> Error {
        Error::Index {
            path: self.path.clone(),
            index: "vectors",
            segment,
            source: error.into(),
        }
    }
}

/// What a snapshot sees of a segment, late frames left out.
fn view(
    segment: &Arc<Segment>,
    cutoff: FrameId,
    seen: Seen,
    late: &FrameSet,
) -> mv2_vec::Result<View> {
    let segment = Arc::clone(segment);
    match seen {
        Seen::AllBut(hidden) => {
            let hidden = and_late(hidden, late, &segment, cutoff);
            View::new(segment, cutoff, &hidden)
        }
        Seen::Only(mut frames) => {
            frames.retain(|frame| !late.contains(*frame));
            View::only(segment, &frames)
        }
    }
}

/// The frames of a segment below the cut-off that are hidden, with those that are late, sorted.
fn and_late(
    mut hidden: Vec<FrameId>,
    late: &FrameSet,
    segment: &Segment,
    cutoff: FrameId,
) -> Vec<FrameId> {
    let (first, end) = (
        segment.first_frame(),
        segment.last_frame().next().min(cutoff),
    );
    let runs = late.runs_in(first..end);
    if !runs.is_empty() {
        // However long a run says it is, there are no other frames.
        let inside = |run: &Range<FrameId>| run.start.max(first).get()..run.end.min(end).get();
        hidden.extend(runs.iter().flat_map(inside).map(FrameId));
        hidden.sort_unstable();
        hidden.dedup();
    }
    hidden
}

impl Opened {
    /// Whether these are the very bytes of a segment, not only as many at the same place.
    fn is(&self, segment: &mv2_store::Segment) -> bool {
        let address = |bytes: &SegmentBytes| bytes.get(0..0).map(<[u8]>::as_ptr).ok();
        self.id == segment.id
            && self.bytes.len() == segment.bytes.len()
            && address(&self.bytes) == address(&segment.bytes)
    }
}

impl fmt::Debug for Vectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vectors").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use mv2_store::testing::CountingVolume;
    use mv2_store::{CommitOptions, CreateOptions, MemoryVolume, NewFrame};

    use super::*;

    /// So many that no neighbour is much nearer than any other vector, so that a walk has to come by most of them.
    const DIMS: u32 = 64;

    /// A memory of vectors in no order.
    fn store(path: &Path, rows: u64) -> Store {
        let mut options = OpenOptions::default();
        options.attached.push(index());
        let mut store = Store::create(path, &CreateOptions::default(), options).unwrap();
        let space = Space {
            spec: Spec {
                space: 1,
                ..Spec::new(DIMS).unwrap()
            },
            embedder: None,
        };
        let mut state = 1u64;
        let mut number = || {
            let mut sum = -3.0;
            for _ in 0..6 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                sum += (state >> 40) as f32 / (1 << 24) as f32;
            }
            sum
        };
        for _ in 0..rows {
            let frame = store.put(NewFrame::default()).unwrap().frame;
            let vector: Vec<f32> = (0..DIMS).map(|_| number()).collect();
            let attachment = space.attachment(frame, &[(0..1, &vector)]);
            store.attach(attachment.unwrap()).unwrap();
        }
        store.commit(CommitOptions::default()).unwrap();
        store.checkpoint().unwrap();
        store
    }

    #[test]
    fn a_graph_that_was_left_out_is_not_built_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder.path().join("m.mv2"), GRAPH_ROWS);
        assert!(store.maintenance_due().unwrap());
        assert!(store.maintain(Effort::Thorough, &|| false).unwrap());
        let (segments, _) = store
            .snapshot()
            .unwrap()
            .attached(SegmentKind::VECTORS, 1)
            .unwrap();
        let [segment] = &segments[..] else {
            panic!("{} segments", segments.len());
        };
        let segment = Segment::open(segment.bytes.clone()).unwrap();
        assert_eq!(
            (u64::from(segment.rows()), segment.nodes()),
            (GRAPH_ROWS, None)
        );
        // Other housekeeping may be due, but not for ever.
        let more = (0..4).filter(|_| store.maintain(Effort::Thorough, &|| false).unwrap());
        assert!(more.count() < 4);
        assert!(!store.maintenance_due().unwrap());
    }

    #[test]
    fn who_waits_gets_no_graph_and_who_has_time_gets_one() {
        let size = |rows, dead, thorough| SegmentSize {
            rows,
            bytes: rows * 300,
            dead,
            thorough,
        };
        let due = |segments: &[SegmentSize], patience| VectorIndex.due(segments, patience);
        let (quick, thorough) = (Effort::Quick, Effort::Thorough);
        let import = [size(5_000, 0, false); 9];
        assert_eq!(due(&import, quick), None);
        assert_eq!(due(&import, thorough), Some((0..9, thorough)));
        let small = [size(1_000, 0, false); 9];
        assert_eq!(due(&small, quick), Some((0..9, thorough)));
        assert_eq!(due(&[size(45_000, 0, false)], quick), None);
        assert_eq!(
            due(&[size(45_000, 0, false)], thorough),
            Some((0..1, thorough))
        );
        assert_eq!(due(&[size(45_000, 0, true)], thorough), None);
        assert_eq!(due(&[size(45_000, 20_000, true)], quick), None);
        assert_eq!(
            due(&[size(45_000, 20_000, true)], thorough),
            Some((0..1, thorough))
        );
        assert_eq!(
            due(&[size(1_000, 400, true)], quick),
            Some((0..1, thorough))
        );
    }

    const ROW_BYTES: u64 = 272;

    /// Does what is due, and returns how many rows were written.
    fn keep_house(segments: &mut Vec<SegmentSize>, patience: Effort) -> u64 {
        let mut written = 0;
        while let Some((group, effort)) = VectorIndex.due(segments, patience) {
            let rows = segments[group.clone()].iter().map(|size| size.rows).sum();
            written += rows;
            let joined = SegmentSize {
                rows,
                bytes: rows * ROW_BYTES,
                dead: 0,
                thorough: effort == Effort::Thorough,
            };
            assert!(group.len() > 1 || joined.thorough && !segments[group.start].thorough);
            segments.splice(group, [joined]);
        }
        written
    }

    /// The segments that batches of so many rows become, somebody waiting for each, and how often a row was written.
    fn import(batches: u64, rows: u64) -> (Vec<SegmentSize>, f64) {
        let mut segments = Vec::new();
        let mut written = 0;
        for _ in 0..batches {
            segments.push(SegmentSize {
                rows,
                bytes: rows * ROW_BYTES,
                dead: 0,
                thorough: false,
            });
            written += rows + keep_house(&mut segments, Effort::Quick);
        }
        let all: u64 = segments.iter().map(|size| size.rows).sum();
        assert_eq!(all, batches * rows);
        (segments, written as f64 / all as f64)
    }

    #[test]
    fn large_batches_are_written_once_and_small_ones_a_few_times() {
        // 1 GiB of text in batches of 8 MiB, and half of it in batches of 1,000 documents.
        for (batches, rows) in [(128, 13_500), (200, 4_230)] {
            let (segments, times) = import(batches, rows);
            assert_eq!((segments.len() as u64, times), (batches, 1.0));
        }
        for (batches, rows, at_most) in [
            (405, 4_230, 300),
            (20_000, 60, 300),
            (1_000, 500, 200),
            (4_000, 13_500, 1_000),
        ] {
            let (segments, times) = import(batches, rows);
            assert!(times < 6.0, "a row was written {times} times");
            assert!(segments.len() < at_most, "{} segments", segments.len());
            let bytes = batches * rows * ROW_BYTES;
            let largest = segments.iter().map(|size| size.bytes).max().unwrap();
            assert!(
                largest <= JOIN_TIMES * SMALL_BYTES.max(bytes / MOST_SEGMENTS),
                "{largest}"
            );
        }
    }

    #[test]
    fn graphs_of_a_large_memory_are_built_piece_by_piece() {
        let (mut segments, _) = import(405, 4_230);
        let all = 405 * 4_230;
        let written = keep_house(&mut segments, Effort::Thorough);
        // Each row once, but for a rest of which no graph is worth while.
        assert!((all - GRAPH_ROWS..=all).contains(&written), "{written}");
        let graphs = segments.iter().filter(|size| size.thorough);
        assert!(graphs.clone().all(|size| size.rows <= MAX_GRAPH_ROWS));
        assert!(graphs.count() as u64 <= all.div_ceil(MAX_GRAPH_ROWS) + 1);
        // One large segment beside small ones ends, too.
        let size = |rows| SegmentSize {
            rows,
            bytes: rows * ROW_BYTES,
            dead: 0,
            thorough: false,
        };
        let mut segments = vec![size(10_000), size(1_000_000), size(10_000), size(9_000)];
        keep_house(&mut segments, Effort::Thorough);
        assert_eq!(segments.len(), 3);
    }

    /// Counted where the bytes go: the vectors of an import are written once, and stay when the importer keeps house.
    #[test]
    fn an_import_writes_its_vectors_once() {
        let volume = CountingVolume::new(Arc::new(MemoryVolume::new()));
        let mut options = OpenOptions::default();
        options.attached.push(index());
        let create = CreateOptions::default();
        let mut store =
            Store::create_on(Arc::new(volume.clone()), Path::new("m"), &create, options).unwrap();
        let space = Space {
            spec: Spec {
                space: 1,
                exact: Exact::None,
                ..Spec::new(256).unwrap()
            },
            embedder: None,
        };
        let (batches, frames) = (10, 400);
        volume.take();
        for batch in 0..batches {
            for _ in 0..frames {
                let frame = store.put(NewFrame::default()).unwrap().frame;
                let vector = |at: u64| -> Vec<f32> {
                    let number = |i| ((frame.get() + at + 2) * (i + 7) % 97) as f32 - 48.5;
                    (0..256u64).map(number).collect()
                };
                let vectors: Vec<_> = (0..10).map(|at| (at..at + 1, vector(at))).collect();
                let rows: Vec<_> = vectors.iter().map(|(r, v)| (r.clone(), &v[..])).collect();
                store
                    .attach(space.attachment(frame, &rows).unwrap())
                    .unwrap();
            }
            let bulk = batch + 1 < batches;
            let options = CommitOptions {
                bulk,
                ..CommitOptions::default()
            };
            store.commit(options).unwrap();
        }
        store.checkpoint().unwrap();
        while store.maintain(Effort::Quick, &|| false).unwrap() {}
        let live = batches * frames * 10 * ROW_BYTES;
        let written = volume.take().written_bytes;
        assert!(written < live * 11 / 10, "{written} bytes for {live}");
    }

    /// Runs are numbers of the file, and may claim more frames than there are.
    #[test]
    fn late_frames_are_those_of_the_segment_whatever_the_runs_say() {
        let late: FrameSet = [
            FrameId(0)..FrameId(4),
            FrameId(7)..FrameId(u64::MAX),
            FrameId(2)..FrameId(3),
        ]
        .into_iter()
        .collect();
        let mut builder = SegmentBuilder::new(Spec::new(2).unwrap()).unwrap();
        for frame in [3, 5, 9, 12] {
            let rows = mv2_vec::encode_rows(&Spec::new(2).unwrap(), &[(0..1, &[1.0, 0.0])]);
            builder.add(FrameId(frame), &rows.unwrap()).unwrap();
        }
        let segment = Segment::open(SegmentBytes::from_vec(builder.finish().unwrap())).unwrap();
        let hidden = and_late(vec![FrameId(8)], &late, &segment, FrameId(11));
        assert_eq!(hidden, [3, 7, 8, 9, 10].map(FrameId));
        assert_eq!(
            and_late(Vec::new(), &FrameSet::default(), &segment, FrameId(11)),
            []
        );
    }
}
