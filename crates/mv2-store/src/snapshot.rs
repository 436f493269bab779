//! Reading: one commit's state, pinned.

use std::ops::Range;
use std::sync::Arc;

use mv2_format::commits::CommitRow;
use mv2_format::data::Cursor;
use mv2_format::tombstones::Tombstone;
use mv2_format::{
    Attachment, CommitId, Frame, FrameId, FrameMeta, PayloadReader, Property, SegmentBytes,
    SegmentId, SegmentKind,
};

use crate::error::{Error, Result};
use crate::state::{Detail, Slot, State, Visited};
use crate::types::{Changes, Commit, Stats};

/// One commit's state, pinned. Cheap to clone; stays as it is whatever is committed later.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) state: Arc<State>,
    /// The commit that is seen: the newest of the state, or one of its past.
    commit: CommitId,
    /// Frames from here on are of later commits.
    end: FrameId,
    /// Where the ids of the store's open transaction end.
    pending_end: Option<FrameId>,
}

/// A live index segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its number.
    pub id: SegmentId,
    /// The first frame that it covers.
    pub first_frame: FrameId,
    /// One past the last frame that it covers.
    pub end_frame: FrameId,
    /// Whether it holds those frames of the range that were dead already at `split_at`, and no others.
    pub history: bool,
    /// Frames that were dead at this commit are in a history segment of the same range, if there are any. 0 where frames
    /// are together whether dead or not.
    pub split_at: CommitId,
    /// Frames in it.
    pub rows: u64,
    /// Its body.
    pub bytes: SegmentBytes,
}

impl Snapshot {
    pub(crate) fn new(state: Arc<State>, pending_end: Option<FrameId>) -> Self {
        Self {
            commit: state.last_commit(),
            end: state.next_frame(),
            state,
            pending_end,
        }
    }

    /// The same memory at a commit of its past: what was put later is not there, and what was superseded or deleted later is.
    /// Reads one row of the log, whatever the size of the memory. Commit 0 is the empty memory.
    ///
    /// # Errors
    /// [`Error::NoSuchCommit`] for a later commit than this snapshot's, [`Error::Io`] or [`Error::Format`].
    ///
    /// ```
    /// use mv2_format::CommitId;
    /// use mv2_store::{CommitOptions, CreateOptions, NewFrame, OpenOptions, Store};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("notes.mv2");
    /// let mut store = Store::create(&path, &CreateOptions::default(), OpenOptions::default())?;
    /// let note = store.put(NewFrame { payload: b"hello".to_vec(), ..Default::default() })?.frame;
    /// store.commit(CommitOptions::default())?;
    /// store.delete(note)?;
    /// store.commit(CommitOptions::default())?;
    /// let newest = store.snapshot()?;
    /// assert!(!newest.is_visible(note)?);
    /// assert!(newest.at(CommitId(1))?.is_visible(note)?);
    /// assert!(!newest.at(CommitId(0))?.is_visible(note)?);
    /// # Ok::<(), mv2_store::Error>(())
    /// ```
    pub fn at(&self, commit: CommitId) -> Result<Self> {
        if commit == self.commit {
            return Ok(self.clone());
        }
        let end = match commit.0 {
            0 => FrameId(0),
            _ => self.commit(commit)?.watermark,
        };
        Ok(Self {
            state: Arc::clone(&self.state),
            commit,
            end,
            // Ids that were given since are those of commits, and of no interest here.
            pending_end: None,
        })
    }

    /// The commit; 0 for an empty memory.
    pub fn commit_id(&self) -> CommitId {
        self.commit
    }

    /// One past the last frame id.
    pub fn end_frame(&self) -> FrameId {
        self.end
    }

    /// Another value for each other snapshot of a file: a key for caches.
    pub fn token(&self) -> [u8; 16] {
        // Different for each commit that one state can be read at, and the state's own for its newest.
        let back = self.state.last_commit().0 - self.commit.0;
        (u128::from_le_bytes(self.state.tail.hash) ^ u128::from(back)).to_le_bytes()
    }

    /// Figures. Those of frames and commits are of this commit; those of the file are of the file as it is now, in which all
    /// commits lie. At a commit of the past, the tombstones and what is known of the frames are walked through.
    ///
    /// # Errors
    /// [`Error::Io`]; in the past also [`Error::Format`].
    pub fn stats(&self) -> Result<Stats> {
        let state = &self.state;
        let toc = &state.checkpoint.toc;
        let tail = &state.tail;
        let (dead, payload_bytes) = match self.is_newest() {
            true => (
                toc.dead_frames + tail.dead.len() as u64,
                toc.payload_bytes.saturating_add(tail.payload_bytes),
            ),
            false => self.past_figures()?,
        };
        let mut stats = Stats {
            frames: self.end_frame().0.saturating_sub(dead),
            frames_total: self.end_frame().0,
            commits: self.commit_id().0,
            payload_bytes,
            file_bytes: state.file.len()?,
            wal_bytes: state.file.header.wal_len,
            wal_used_bytes: tail.end,
            tail_frames: tail.frames.len() as u64,
            ..Stats::default()
        };
        let segments: u64 = toc
            .segments
            .iter()
            .map(|entry| {
                let mut name = entry.kind.name();
                if entry.history {
                    name.push_str("_history");
                }
                *stats.segments.entry(name).or_default() += 1;
                entry.extent_len()
            })
            .sum();
        let fixed = state.file.header.wal_offset.0 + stats.wal_bytes;
        let toc_and_footer = state.root.committed_len - state.root.toc_offset.0;
        stats.live_bytes = fixed + segments + toc_and_footer;
        stats.dead_bytes = stats.file_bytes.saturating_sub(stats.live_bytes);
        Ok(stats)
    }

    /// Whether this is the newest commit that the state has, and not one of its past.
    fn is_newest(&self) -> bool {
        self.commit == self.state.last_commit()
    }

    /// Frames that were dead, and bytes of payload.
    fn past_figures(&self) -> Result<(u64, u64)> {
        let frames = FrameId(0)..self.end;
        let dead = self.dead_in(frames.clone(), CommitId(0))?.len() as u64;
        let mut bytes = 0u64;
        let detail = Detail::Meta;
        self.state.visit_frames(frames, detail, &mut |visited| {
            bytes = bytes.saturating_add(visited.meta().payload_len);
            Ok(())
        })?;
        Ok((dead, bytes))
    }

    /// The tombstones of the frames below an end from the commits after one up to this.
    pub(crate) fn deaths(&self, end: FrameId, after: CommitId) -> Result<Vec<Tombstone>> {
        let frames = FrameId(0)..end;
        self.state.tombstones_between(frames, after, self.commit)
    }

    /// A frame's tombstone, if it was dead at this commit.
    pub(crate) fn tombstone(&self, id: FrameId) -> Result<Option<Tombstone>> {
        let tombstone = self.state.tombstone(id)?;
        Ok(tombstone.filter(|row| row.commit <= self.commit))
    }
}

/// Frames
impl Snapshot {
    /// Whether a frame is there and alive.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn is_visible(&self, id: FrameId) -> Result<bool> {
        Ok(id < self.end_frame() && self.tombstone(id)?.is_none())
    }

    /// Metadata of a visible frame.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], [`Error::NotCommitted`] or [`Error::Dead`] if it is not visible, [`Error::Io`] or [`Error::Format`].
    pub fn meta(&self, id: FrameId) -> Result<FrameMeta> {
        self.check_visible(id)?;
        self.state.meta(id)
    }

    /// A visible frame.
    ///
    /// # Errors
    /// As for [`meta`](Self::meta).
    pub fn frame(&self, id: FrameId) -> Result<Frame> {
        self.check_visible(id)?;
        Ok(Arc::unwrap_or_clone(self.state.frame(id)?))
    }

    /// A visible frame with the first `max_bytes` of its payload, which may end inside of a character.
    ///
    /// # Errors
    /// As for [`meta`](Self::meta).
    pub fn frame_head(&self, id: FrameId, max_bytes: u64) -> Result<Frame> {
        self.check_visible(id)?;
        self.state.frame_head(id, max_bytes)
    }

    /// Payload of a visible frame.
    ///
    /// # Errors
    /// As for [`meta`](Self::meta).
    pub fn payload(&self, id: FrameId) -> Result<Vec<u8>> {
        self.check_visible(id)?;
        self.state.payload(id)
    }

    /// Calls `each` with the pieces of a visible frame's payload in order, so that a large one is never in memory as a whole.
    ///
    /// # Errors
    /// As for [`meta`](Self::meta).
    pub fn read_payload(&self, id: FrameId, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.check_visible(id)?;
        self.state.read_payload(id, each)
    }

    /// A reader of a visible frame's payload, for whoever wants it piece by piece and may stop.
    ///
    /// # Errors
    /// As for [`meta`](Self::meta).
    pub fn payload_reader(&self, id: FrameId) -> Result<PayloadReader> {
        self.check_visible(id)?;
        self.state.payload_reader(id)
    }

    /// The visible frame under a uri.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn find_uri(&self, uri: &str) -> Result<Option<FrameId>> {
        let alive = |id| Ok(self.tombstone(id)?.is_none());
        self.state.find_version(uri, self.end, alive)
    }

    /// Metadata of the visible frames of a range, in order of their ids.
    pub fn metas(&self, range: Range<FrameId>) -> impl Iterator<Item = Result<FrameMeta>> + '_ {
        let end = range.end.min(self.end_frame());
        let mut cursor: Option<(Range<FrameId>, Cursor<'_>)> = None;
        (range.start.0..end.0)
            .map(FrameId)
            .filter_map(move |id| match self.is_visible(id) {
                Ok(true) => Some(self.meta_at(id, &mut cursor)),
                Ok(false) => None,
                Err(error) => Some(Err(error)),
            })
    }

    fn meta_at<'a>(
        &'a self,
        id: FrameId,
        cursor: &mut Option<(Range<FrameId>, Cursor<'a>)>,
    ) -> Result<FrameMeta> {
        if cursor
            .as_ref()
            .is_none_or(|(range, _)| !range.contains(&id))
        {
            let slots = &self.state.checkpoint.data;
            let slot = slots.get(slots.partition_point(|slot| slot.entry.end_frame <= id));
            let Some(slot) = slot else {
                return self.state.meta(id);
            };
            let range = slot.entry.first_frame..slot.entry.end_frame;
            *cursor = Some((range, self.state.data(slot)?.cursor()));
        }
        match cursor {
            Some((_, cursor)) => cursor
                .meta(id)
                .map_err(|source| self.state.file.format(source)),
            None => self.state.meta(id),
        }
    }

    /// Frames of a range that died in a commit after one, up to this snapshot's, sorted.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn dead_in(&self, range: Range<FrameId>, after: CommitId) -> Result<Vec<FrameId>> {
        let end = range.end.min(self.end);
        let rows = self
            .state
            .tombstones_between(range.start..end, after, self.commit)?;
        let mut frames: Vec<_> = rows.iter().map(|row| row.frame).collect();
        frames.dedup();
        Ok(frames)
    }

    fn check_visible(&self, id: FrameId) -> Result<()> {
        let end = self.end_frame();
        if id >= end {
            return Err(match self.pending_end {
                Some(pending_end) if id < pending_end => Error::NotCommitted { frame: id },
                _ => Error::NoSuchFrame { frame: id, end },
            });
        }
        match self.tombstone(id)? {
            Some(row) => Err(Error::Dead {
                frame: id,
                by: row.by,
                commit: row.commit,
            }),
            None => Ok(()),
        }
    }
}

/// Commits
impl Snapshot {
    /// This commit and those before it on its history, newest first.
    pub fn log(&self) -> impl Iterator<Item = Result<Commit>> + '_ {
        let mut next = self.commit;
        std::iter::from_fn(move || {
            let id = (next.0 > 0).then_some(next)?;
            let commit = self.commit(id);
            // A parent is always older; nothing follows an error.
            next = commit.as_ref().map_or(CommitId(0), |commit| commit.parent);
            Some(commit)
        })
    }

    /// One commit, this one or an older one.
    ///
    /// # Errors
    /// [`Error::NoSuchCommit`], [`Error::Io`] or [`Error::Format`].
    pub fn commit(&self, id: CommitId) -> Result<Commit> {
        self.row(id).map(Commit::from)
    }

    pub(crate) fn row(&self, id: CommitId) -> Result<CommitRow> {
        if id > self.commit {
            let newest = self.commit;
            return Err(Error::NoSuchCommit { commit: id, newest });
        }
        self.state.commit(id)
    }

    /// What a commit changed.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn changes(&self, id: CommitId) -> Result<Changes> {
        let commit = self.row(id)?;
        let before = CommitId(id.0 - 1);
        let first = match before.0 {
            0 => FrameId(0),
            _ => self.row(before)?.watermark,
        };
        let mut changes = Changes::default();
        let older = FrameId(0)..commit.watermark;
        for row in self.state.tombstones_between(older, before, id)? {
            match row.by {
                Some(by) => changes.superseded.push((row.frame, by)),
                None => changes.deleted.push(row.frame),
            }
        }
        changes.added = (first.0..commit.watermark.0)
            .map(FrameId)
            .filter(|frame| changes.superseded.iter().all(|(_, by)| by != frame))
            .collect();
        Ok(changes)
    }
}

/// Indexes
impl Snapshot {
    /// The index segments of a kind, in order of their frames. They cover frames from 0 on without a gap, where a range
    /// may have two: one of frames that were alive, and one of history, in this order, or one of the two only.
    ///
    /// At a commit of the past they are those of the newest state all the same, with later frames in them:
    /// [`hidden_in`](Self::hidden_in) and [`end_frame`](Self::end_frame) say what of them is seen.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn segments(&self, kind: SegmentKind) -> Result<Vec<Segment>> {
        let runs = self.state.index_runs(kind);
        let slots = runs.iter().flat_map(|run| &run.slots);
        slots.map(|slot| self.segment(slot)).collect()
    }

    /// The frames of a segment that are not visible at this commit, of those below [`end_frame`](Self::end_frame), sorted; `None` if
    /// none of its frames is visible, so that the segment is not needed at all. Frames of its range that it does not
    /// hold may be among them.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn hidden_in(&self, segment: &Segment) -> Result<Option<Vec<FrameId>>> {
        let all_dead = segment.history && segment.split_at <= self.commit;
        if all_dead || segment.first_frame >= self.end {
            return Ok(None);
        }
        // What was alive at the split was alive before; of what was dead then, each frame died at a time of its own.
        let after = match segment.history {
            true => CommitId(0),
            false => segment.split_at,
        };
        let frames = segment.first_frame..segment.end_frame;
        self.dead_in(frames, after).map(Some)
    }

    /// The segments of a part of an index over attachments, and the attachments that are in none of them, in the order in
    /// which they were committed. Segments may overlap. At a commit of the past they are those of the newest state all the same.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn attached(
        &self,
        kind: SegmentKind,
        part: u32,
    ) -> Result<(Vec<Segment>, Vec<Attachment>)> {
        let mut slots = self.state.attached_slots(kind);
        slots.retain(|slot| slot.entry.part == part);
        let segments = slots.iter().map(|slot| self.segment(slot));
        let stored = self.state.stored_attachments()?;
        let pending = stored.iter().chain(&self.state.tail.attachments);
        let mine = |row: &&Attachment| (row.kind, row.part) == (kind, part);
        Ok((
            segments.collect::<Result<_>>()?,
            pending.filter(mine).cloned().collect(),
        ))
    }

    /// The value of a property at this commit.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn property(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.state.property_at(key, self.commit)
    }

    /// All values that properties have had up to this commit, by key and commit.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn properties(&self) -> Result<Vec<Property>> {
        let mut rows = self.state.stored_properties()?.to_vec();
        rows.extend(self.state.tail.properties.iter().cloned());
        rows.retain(|row| row.commit <= self.commit);
        rows.sort_unstable();
        Ok(rows)
    }

    /// The values that properties got in commits after this one, by key and commit: what was said since.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn later_properties(&self) -> Result<Vec<Property>> {
        if self.is_newest() {
            return Ok(Vec::new());
        }
        let stored = self.state.stored_properties()?;
        let rows = stored.iter().chain(&self.state.tail.properties);
        let mut rows: Vec<_> = rows
            .filter(|row| row.commit > self.commit)
            .cloned()
            .collect();
        rows.sort_unstable();
        Ok(rows)
    }

    fn segment(&self, slot: &Slot<SegmentBytes>) -> Result<Segment> {
        let entry = &slot.entry;
        Ok(Segment {
            id: entry.id,
            first_frame: entry.first_frame,
            end_frame: entry.end_frame,
            history: entry.history,
            split_at: entry.last_commit,
            rows: entry.rows,
            bytes: self.state.index_bytes(slot)?.clone(),
        })
    }

    /// The frames that no segment of a kind covers, dead ones included, in order: the log's tail, and older ones if the
    /// index lags behind. At a commit of the past, later ones are among them as they are in [`segments`](Self::segments), so that
    /// what is built of them once serves every snapshot.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn uncovered(&self, kind: SegmentKind) -> Result<Vec<Arc<Frame>>> {
        let tail = &self.state.tail.frames;
        let end = self.state.next_frame();
        let tail_start = tail.first().map_or(end, |frame| frame.meta.id);
        let covered = self.state.covered(kind);
        let mut frames = Vec::new();
        let before = covered..tail_start;
        self.state
            .visit_frames(before, Detail::Resolved, &mut |visited| {
                frames.push(match visited {
                    Visited::Frame(frame) => Arc::new(frame.clone()),
                    Visited::Large(meta, _) => self.state.frame(meta.id)?,
                });
                Ok(())
            })?;
        frames.extend(
            tail.iter()
                .filter(|frame| frame.meta.id >= covered)
                .cloned(),
        );
        Ok(frames)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("path", &self.state.file.path)
            .field("commit", &self.commit_id())
            .field("end_frame", &self.end_frame())
            .finish_non_exhaustive()
    }
}
