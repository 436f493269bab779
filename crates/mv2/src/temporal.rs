//! Timelines of a snapshot: its time segments plus one in memory for newer frames.
//!
//! A segment of the file is opened anew for each timeline, which reads 64 bytes. The one in memory is
//! kept by the snapshot's token; it is built from what is known of the frames, not from their
//! documents, so that a file without a time index yet has its timeline too.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "lex")]
use mv2_format::FrameSet;
use mv2_format::{BoxError, FrameId, IndexFactory, SegmentId, SegmentKind, Timestamp};
use mv2_store::{Clock, OpenOptions, Problem, Snapshot, Store, VerifyReport};
use mv2_time::{Cursor, Order, Query, Row, Segment, TimeIndex};

use crate::error::{Error, Result};
use crate::text;
use crate::timeline::{Timeline, TimelineEntry, TimelineQuery};

/// Segments in memory that are kept, so that a pinned snapshot and the newest one can be asked in turn.
const KEPT: usize = 4;

/// Checks what the time segments of a file hold. The store has compared their hashes and knows no more.
pub(crate) fn verify(path: &Path, mut report: VerifyReport) -> Result<VerifyReport> {
    let snapshot = Store::open_read_only(path, OpenOptions::default())?.snapshot()?;
    for segment in snapshot.segments(SegmentKind::TIME)? {
        let offset = segment.bytes.file_offset().0;
        let (id, frames) = (segment.id, (segment.first_frame, segment.end_frame));
        let checked = open(segment).and_then(|opened| {
            opened.verify()?;
            compare(&opened, &snapshot)
        });
        if let Err(error) = checked {
            let what = format!("time segment {id}: {error}");
            report.push(Problem::new(offset, what, Some(frames)));
        }
    }
    Ok(report)
}

/// Whether a sound segment has the frames' own times. Frames that cannot be read are told of by the store's check.
fn compare(segment: &Segment, snapshot: &Snapshot) -> Result<(), BoxError> {
    let first = segment.first_frame();
    let purged = snapshot.purged()?;
    let mut wrong = None;
    let span = segment.end_frame().get() - first.get();
    let mut times = vec![None; usize::try_from(span)?];
    segment.for_each_row(|row| {
        let place = row.frame.get().checked_sub(first.get());
        if let Some(time) = place.and_then(|place| times.get_mut(place as usize)) {
            *time = Some(row.timestamp);
        }
        if purged.contains(row.frame) {
            wrong = Some(row.frame);
        }
    })?;
    if let Some(frame) = wrong {
        return Err(format!("it has frame {frame}, which was purged").into());
    }
    for meta in snapshot.metas(first..segment.end_frame()).flatten() {
        let found = times[(meta.id.get() - first.get()) as usize];
        if found != Some(meta.timestamp) {
            let (id, time) = (meta.id, meta.timestamp);
            return Err(
                format!("it has {found:?} as the time of frame {id}, which is {time:?}").into(),
            );
        }
    }
    Ok(())
}

/// Opens a segment of the file and checks that it holds the frames that the file says it covers.
fn open(stored: mv2_store::Segment) -> Result<Segment, BoxError> {
    let segment = Segment::open(stored.bytes)?;
    let held = segment.first_frame()..segment.end_frame();
    let covered = stored.first_frame..stored.end_frame;
    let inside = covered.start <= held.start && held.end <= covered.end;
    if !inside || segment.rows() != stored.rows {
        return Err(format!(
            "it holds {} rows of frames {} to {} and should hold {} of {} to {}",
            segment.rows(),
            held.start,
            held.end,
            stored.rows,
            covered.start,
            covered.end
        )
        .into());
    }
    Ok(segment)
}

/// The builder of time segments, to be registered with the store.
pub(crate) fn factory() -> Arc<dyn IndexFactory> {
    Arc::new(TimeIndex::new())
}

/// What timelines of one handle and its snapshots share.
pub(crate) struct Temporal {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// The most recently used one last.
    tails: Mutex<Vec<Tail>>,
}

/// The frames of a snapshot that no time segment covers.
#[derive(Clone)]
struct Tail {
    token: [u8; 16],
    start: FrameId,
    /// `None` if there are none.
    segment: Option<Arc<Segment>>,
}

impl Temporal {
    /// For the memory file at a path, which errors name.
    pub(crate) fn new(path: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            path: path.to_owned(),
            clock,
            tails: Mutex::default(),
        }
    }

    pub(crate) fn timeline(&self, snapshot: &Snapshot, query: &TimelineQuery) -> Result<Timeline> {
        let range = Query {
            since: query.since,
            until: query.until,
            order: match query.reverse {
                false => Order::NewestFirst,
                true => Order::OldestFirst,
            },
        };
        // What is wrong with the question is said before the file is looked at.
        range.check()?;
        let cursor: Option<Cursor> = query.cursor.as_deref().map(str::parse).transpose()?;
        let segments = self.segments(snapshot)?;
        let dead = |id| Ok(!snapshot.is_visible(id)?);
        let timeline = mv2_time::Timeline::new(
            segments.iter().map(AsRef::as_ref),
            snapshot.end_frame(),
            &dead,
        );
        let page = timeline
            .page(&range, query.limit, cursor.as_ref())
            .map_err(|error| self.failed(error))?;
        let frames = page
            .rows
            .iter()
            .map(|row| entry(snapshot, *row, query.preview_chars))
            .collect::<Result<_>>()?;
        Ok(Timeline {
            branch: snapshot.branch().map(str::to_owned),
            frames,
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        })
    }

    /// The present time, to which `2h ago` is relative.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The frames whose times lie in a range, among them some that a snapshot does not see. No document is
    /// read for that.
    #[cfg(feature = "lex")]
    pub(crate) fn frames(&self, snapshot: &Snapshot, range: &Query) -> Result<FrameSet> {
        let mut runs = Vec::new();
        for segment in self.segments(snapshot)? {
            let found = segment.frames_between(range.since, range.until);
            runs.extend(found.map_err(|error| self.failed(error))?);
        }
        Ok(runs.into_iter().collect())
    }

    fn segments(&self, snapshot: &Snapshot) -> Result<Vec<Arc<Segment>>> {
        let mut start = FrameId::default();
        let mut segments = Vec::new();
        for stored in snapshot.segments(SegmentKind::TIME)? {
            let (id, end) = (stored.id, stored.end_frame);
            if stored.first_frame >= snapshot.end_frame() {
                break;
            }
            let opened = open(stored).map_err(|error| self.unusable(Some(id), error))?;
            start = end;
            segments.push(Arc::new(opened));
        }
        segments.extend(self.tail(snapshot, start)?);
        Ok(segments)
    }

    fn tail(&self, snapshot: &Snapshot, start: FrameId) -> Result<Option<Arc<Segment>>> {
        // A panic while the lock was held leaves whole entries behind.
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        let token = snapshot.token();
        let known = |tail: &Tail| tail.token == token && tail.start == start;
        if let Some(at) = tails.iter().position(known) {
            let tail = tails.remove(at);
            tails.push(tail.clone());
            return Ok(tail.segment);
        }
        let rows = snapshot
            .metas(start..snapshot.end_frame())
            .map(|meta| meta.map(|meta| (meta.timestamp, meta.id)))
            .collect::<mv2_store::Result<Vec<_>>>()?;
        let segment = match rows.is_empty() {
            true => None,
            false => {
                let built = Segment::build(rows).map_err(|error| self.unusable(None, error))?;
                Some(Arc::new(built))
            }
        };
        if tails.len() == KEPT {
            tails.remove(0);
        }
        tails.push(Tail {
            token,
            start,
            segment: segment.clone(),
        });
        Ok(segment)
    }

    fn failed(&self, error: mv2_time::Error) -> Error {
        match error {
            error @ (mv2_time::Error::EmptyRange { .. } | mv2_time::Error::OtherCursor { .. }) => {
                error.into()
            }
            mv2_time::Error::Dead { frame, source } => Error::Unreadable { frame, source },
            error => self.unusable(None, error),
        }
    }

    fn unusable(&self, segment: Option<SegmentId>, error: impl Into<BoxError>) -> Error {
        Error::Index {
            path: self.path.clone(),
            index: "time",
            segment,
            source: error.into(),
        }
    }
}

impl fmt::Debug for Temporal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Temporal").finish_non_exhaustive()
    }
}

/// A preview passes over so much white space. Documents can be large: their beginning is read.
const MAX_PREVIEW_SPACE_BYTES: u64 = 64 << 10;

fn entry(snapshot: &Snapshot, row: Row, preview_chars: usize) -> Result<TimelineEntry> {
    let unreadable = |error: mv2_store::Error| Error::Unreadable {
        frame: row.frame,
        source: error.into(),
    };
    let (meta, preview) = match preview_chars {
        // Documents can be large: whoever wants no preview does not pay for reading them.
        0 => (snapshot.meta(row.frame).map_err(unreadable)?, String::new()),
        _ => {
            let bytes = MAX_PREVIEW_SPACE_BYTES.saturating_add(preview_chars as u64 * 4);
            let frame = snapshot.frame_head(row.frame, bytes);
            let mut frame = frame.map_err(unreadable)?;
            let preview = preview(&text::take_text(&mut frame), preview_chars);
            (frame.meta, preview)
        }
    };
    Ok(TimelineEntry {
        frame_id: meta.id,
        uri: meta.uri,
        title: meta.title,
        preview,
        timestamp: meta.timestamp,
        commit: meta.commit,
        kind: meta.kind,
        tags: meta.tags,
        labels: meta.labels,
    })
}

/// The start of a text on one line, with an ellipsis if something is missing. Looks at no more of the
/// text than it shows, and as much white space as there is.
fn preview(text: &str, chars: usize) -> String {
    let mut preview = String::new();
    let mut left = chars;
    for word in text.split_whitespace() {
        let gap = usize::from(!preview.is_empty());
        let len = word.chars().take(left + 1).count();
        if gap + len > left {
            // A word is broken only where nothing else would be shown.
            if preview.is_empty() {
                preview.extend(word.chars().take(left.saturating_sub(1)));
            }
            preview.push('…');
            break;
        }
        if gap == 1 {
            preview.push(' ');
        }
        preview.push_str(word);
        left -= gap + len;
    }
    preview
}

#[cfg(test)]
mod tests {
    use mv2_format::{Frame, IndexBuilder};
    use mv2_store::{CommitOptions, CreateOptions, NewFrame};

    use super::*;

    /// An index of times, one of them false.
    struct WrongTimes;

    struct WrongBuilder(Box<dyn IndexBuilder>);

    impl IndexFactory for WrongTimes {
        fn kind(&self) -> SegmentKind {
            SegmentKind::TIME
        }

        fn builder(&self) -> Box<dyn IndexBuilder> {
            Box::new(WrongBuilder(TimeIndex::new().builder()))
        }
    }

    impl IndexBuilder for WrongBuilder {
        fn add(&mut self, frame: &Frame) -> Result<(), BoxError> {
            let mut frame = frame.clone();
            if frame.meta.id == FrameId(2) {
                frame.meta.timestamp.0 += 1;
            }
            self.0.add(&frame)
        }

        fn finish(self: Box<Self>) -> Result<Vec<u8>, BoxError> {
            self.0.finish()
        }
    }

    #[test]
    fn the_check_compares_the_index_with_the_frames() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.mv2");
        let found = |index: Arc<dyn IndexFactory>| {
            let options = OpenOptions {
                indexes: vec![index],
                ..OpenOptions::default()
            };
            let mut store = Store::create(&path, &CreateOptions::default(), options).unwrap();
            for _ in 0..4 {
                store.put(NewFrame::default()).unwrap();
            }
            store.commit(CommitOptions::default()).unwrap();
            store.checkpoint().unwrap();
            drop(store);
            let report = Store::verify(&path, true).unwrap();
            assert!(report.ok, "the store knows no times: {report:?}");
            let report = verify(&path, report).unwrap();
            std::fs::remove_file(&path).unwrap();
            report.problems
        };
        assert_eq!(found(Arc::new(TimeIndex::new())), []);
        let problems = found(Arc::new(WrongTimes));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].what.contains("time of frame 2"), "{problems:?}");
    }

    #[test]
    fn a_preview_is_the_start_on_one_line() {
        let cases = [
            ("", 10, ""),
            (" \n\t ", 10, ""),
            ("call Ada", 10, "call Ada"),
            ("# call\n\n  Ada\ntoday", 10, "# call Ada…"),
            ("incomprehensibilities", 5, "inco…"),
            ("東京で会議があります。", 4, "東京で…"),
            ("ab cd", 5, "ab cd"),
            ("ab", 1, "…"),
        ];
        for (text, chars, expected) in cases {
            assert_eq!(preview(text, chars), expected, "{text:?}");
        }
    }
}
