//! Lexical search over a snapshot: its lexical segments plus segments in memory for newer frames.
//!
//! ```text
//! frames   0 ................. 4000 .......... 4256 ... 4260
//!          | segment 7 (file)  | segment 9     | run  | run    <- runs are built in memory
//!          | history           | history       |
//! ```
//!
//! Frames of a range that were dead when its segment was written are in the segment of history, which the newest commit
//! does not need. A commit of the past may: of each segment it sees the frames that were there and alive then
//! (`docs/time-travel.md`).
//!
//! What was opened or built is kept: segments of the file by their number, runs by the frames that
//! they were built from, and a finished reader by the snapshot's token, so that a search on a memory
//! that did not change opens and builds nothing.
//!
//! The log's tail grows by a few frames with each commit. Runs are merged like the digits of a binary
//! counter, so that each frame is indexed a logarithmic number of times and not once per commit.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mv2_format::{BoxError, Frame, IndexFactory, SegmentBytes, SegmentId, SegmentKind};
use mv2_lex::{LexIndex, Reader, Segment, SegmentView};
use mv2_store::{OpenOptions, Problem, Seen, Snapshot, Store, VerifyReport};

use crate::error::{Error, Result};

/// Readers that are kept. More than one, so that a pinned snapshot and the newest one can be searched
/// in turn.
const KEPT_READERS: usize = 4;

/// Checks what the lexical segments of a file hold. The store has compared their hashes and knows no more.
pub(crate) fn verify(path: &Path, mut report: VerifyReport) -> Result<VerifyReport> {
    let snapshot = Store::open_read_only(path, OpenOptions::default())?.snapshot()?;
    for segment in snapshot.segments(SegmentKind::LEX)? {
        let offset = segment.bytes.file_offset().0;
        let frames = (segment.first_frame, segment.end_frame);
        let purged = snapshot.purged()?.within(frames.0..frames.1);
        let checked = Segment::open(segment.bytes).and_then(|opened| {
            opened.verify()?;
            let is_held = |frame: &_| opened.holds(*frame).unwrap_or(true);
            Ok(purged.frames().find(is_held))
        });
        let checked = match checked {
            Ok(None) => Ok(()),
            Ok(Some(frame)) => Err(format!("it holds frame {frame}, which was purged")),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = checked {
            let what = format!("lex segment {}: {error}", segment.id);
            report.push(Problem::new(offset, what, Some(frames)));
        }
    }
    Ok(report)
}

/// Whether a file was sealed without the positions of words.
pub(crate) fn is_small(snapshot: &Snapshot) -> Result<bool> {
    for segment in snapshot.segments(SegmentKind::LEX)? {
        if Segment::open(segment.bytes).is_ok_and(|opened| !opened.has_positions()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The builder of lexical segments, to be registered with the store.
pub(crate) fn factory() -> Arc<dyn IndexFactory> {
    Arc::new(LexIndex::new())
}

/// The same, of segments without positions.
pub(crate) fn small_factory() -> Arc<dyn IndexFactory> {
    Arc::new(LexIndex::without_positions())
}

/// What lexical searches of one handle and its snapshots share.
pub(crate) struct Lexical {
    cache: Mutex<Cache>,
}

impl Lexical {
    /// For the memory file at a path, which errors name.
    pub(crate) fn new(path: &Path) -> Self {
        let cache = Cache {
            path: path.to_owned(),
            readers: Vec::new(),
            opened: HashMap::new(),
            runs: Vec::new(),
        };
        Self {
            cache: Mutex::new(cache),
        }
    }

    /// A reader of a snapshot's frames.
    pub(crate) fn reader(&self, snapshot: &Snapshot) -> Result<Reader> {
        self.cache().reader(snapshot)
    }

    /// What a failure of the index means.
    pub(crate) fn failed(&self, error: mv2_lex::Error) -> Error {
        unusable(&self.cache().path, None, error)
    }

    /// A panic while the cache was locked leaves whole entries behind, so it can be used further.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lexical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lexical").finish_non_exhaustive()
    }
}

struct Cache {
    path: PathBuf,
    /// By token, the most recently used one last.
    readers: Vec<([u8; 16], Reader)>,
    opened: HashMap<SegmentId, Opened>,
    runs: Vec<Run>,
}

impl Cache {
    fn reader(&mut self, snapshot: &Snapshot) -> Result<Reader> {
        let token = snapshot.token();
        if let Some(at) = self.readers.iter().position(|(known, _)| *known == token) {
            let entry = self.readers.remove(at);
            let reader = entry.1.clone();
            self.readers.push(entry);
            return Ok(reader);
        }
        let mut segments = self.file_segments(snapshot)?;
        let cutoff = snapshot.end_frame();
        for segment in self.memory_segments(snapshot)? {
            let frames = segment.first_frame()..segment.end_frame();
            if let Some(seen) = snapshot.seen(frames)? {
                segments.push((segment, seen));
            }
        }
        let views = segments
            .into_iter()
            .map(|(segment, seen)| {
                let view = match seen {
                    Seen::AllBut(hidden) => SegmentView::new(segment, cutoff, &hidden),
                    Seen::Only(frames) => SegmentView::only(segment, &frames),
                };
                view.map_err(|error| unusable(&self.path, None, error))
            })
            .collect::<Result<Vec<_>>>()?;
        let reader = Reader::new(views).map_err(|error| unusable(&self.path, None, error))?;
        if self.readers.len() == KEPT_READERS {
            self.readers.remove(0);
        }
        self.readers.push((token, reader.clone()));
        Ok(reader)
    }

    /// The segments in which a snapshot sees frames, with which of their frames these are.
    fn file_segments(&mut self, snapshot: &Snapshot) -> Result<Vec<(Arc<Segment>, Seen)>> {
        let mut live = Vec::new();
        let mut segments = Vec::new();
        for stored in snapshot.segments(SegmentKind::LEX)? {
            let Some(seen) = snapshot.seen_in(&stored)? else {
                continue;
            };
            let known = self
                .opened
                .get(&stored.id)
                .filter(|known| known.is(&stored));
            let segment = match known {
                Some(known) => Arc::clone(&known.segment),
                None => {
                    let open = Segment::open(stored.bytes.clone())
                        .map_err(|error| unusable(&self.path, Some(stored.id), error))?;
                    Arc::new(open)
                }
            };
            segments.push((segment, seen));
            live.push(stored);
        }
        // What this snapshot does not use any more goes, unless a kept reader still uses it.
        self.opened
            .retain(|_, known| Arc::strong_count(&known.segment) > 1);
        for (stored, (segment, _)) in live.into_iter().zip(&segments) {
            let opened = Opened {
                bytes: stored.bytes,
                segment: Arc::clone(segment),
            };
            self.opened.insert(stored.id, opened);
        }
        Ok(segments)
    }

    fn memory_segments(&mut self, snapshot: &Snapshot) -> Result<Vec<Arc<Segment>>> {
        let frames = snapshot.uncovered(SegmentKind::LEX)?;
        let mut kept = 0;
        let mut at = 0;
        for run in &self.runs {
            let rest = &frames[at..];
            let common = run.frames.len().min(rest.len());
            // A run that goes on behind the snapshot's end serves too: the cut-off hides the rest.
            if common == 0 || !same_frames(&run.frames[..common], &rest[..common]) {
                break;
            }
            at += common;
            kept += 1;
        }
        self.runs.truncate(kept);
        for range in consecutive(&frames, at) {
            let mut start = range.start;
            while let Some(run) = self.runs.last() {
                let adjoins = run.segment.end_frame() == frames[start].meta.id;
                if !adjoins || run.frames.len() >= 2 * (range.end - start) {
                    break;
                }
                start -= run.frames.len();
                self.runs.pop();
            }
            let frames = frames[start..range.end].to_vec();
            let segment = Segment::build(frames.iter().map(AsRef::as_ref))
                .map_err(|error| unusable(&self.path, None, error))?;
            self.runs.push(Run {
                frames,
                segment: Arc::new(segment),
            });
        }
        Ok(self
            .runs
            .iter()
            .map(|run| Arc::clone(&run.segment))
            .collect())
    }
}

/// A segment of the file that was opened. The bytes are kept so that their address stays theirs.
struct Opened {
    bytes: SegmentBytes,
    segment: Arc<Segment>,
}

impl Opened {
    /// Whether these are the very bytes of a segment, not only as many at the same place: the file at
    /// a path can be replaced by another memory whose segments have the same numbers and lengths.
    fn is(&self, segment: &mv2_store::Segment) -> bool {
        let address = |bytes: &SegmentBytes| bytes.get(0..0).map(<[u8]>::as_ptr).ok();
        self.bytes.len() == segment.bytes.len() && address(&self.bytes) == address(&segment.bytes)
    }
}

/// A segment that was built in memory, and from what.
struct Run {
    frames: Vec<Arc<Frame>>,
    segment: Arc<Segment>,
}

/// Whether two runs of frames are the same. Ids alone do not tell: one that was given in a commit
/// that failed is given again.
fn same_frames(a: &[Arc<Frame>], b: &[Arc<Frame>]) -> bool {
    a.iter()
        .zip(b)
        .all(|(a, b)| Arc::ptr_eq(a, b) || a.meta == b.meta)
}

/// The runs of consecutive ids among the frames from `start` on, as index ranges.
fn consecutive(frames: &[Arc<Frame>], start: usize) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for at in start..frames.len() {
        match ranges.last_mut() {
            Some(range) if frames[at - 1].meta.id.next() == frames[at].meta.id => {
                range.end = at + 1
            }
            _ => ranges.push(at..at + 1),
        }
    }
    ranges
}

fn unusable(path: &Path, segment: Option<SegmentId>, error: impl Into<BoxError>) -> Error {
    Error::Index {
        path: path.to_owned(),
        index: "lex",
        segment,
        source: error.into(),
    }
}
