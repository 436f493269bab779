//! Reading: one commit's state, pinned.

use std::ops::Range;
use std::sync::Arc;

use mv2_format::commits::CommitRow;
use mv2_format::data::Cursor;
use mv2_format::refs::RefKey;
use mv2_format::tombstones::Tombstone;
use mv2_format::{
    Attachment, CommitId, Frame, FrameId, FrameMeta, FrameSet, LineageId, PayloadReader, Property,
    SegmentBytes, SegmentId, SegmentKind,
};

use crate::error::{Error, RefKind, Result};
use crate::sight::Sight;
use crate::state::{Detail, Slot, State, Visited};
use crate::types::{Changes, Commit, Stats};

/// One commit's state, pinned. Cheap to clone; stays as it is whatever is committed later.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) state: Arc<State>,
    /// What the commit that is seen sees: a head, or a commit of the past.
    sight: Sight,
    /// The branch whose head this was taken from.
    pub(crate) branch: Option<Arc<str>>,
    /// Where the ids of the store's open transaction end.
    pending_end: Option<FrameId>,
}

/// Which of some frames are visible, told by those that are fewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// All that are older than the end of the snapshot, but these, sorted.
    AllBut(Vec<FrameId>),
    /// These, sorted.
    Only(Vec<FrameId>),
}

impl Seen {
    /// The visible ones of those that something holds; `None` if none is.
    fn of(visible: &FrameSet, held: &FrameSet) -> Option<Self> {
        let seen = visible.intersection(held);
        let hidden = held.difference(&seen);
        match seen.is_empty() {
            true => None,
            false if seen.len() < hidden.len() => Some(Self::Only(seen.into_frames().collect())),
            false => Some(Self::AllBut(hidden.into_frames().collect())),
        }
    }
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
    /// What a commit of a state sees.
    pub(crate) fn of_commit(state: &Arc<State>, commit: CommitId) -> Result<Self> {
        Ok(Self {
            sight: Sight::new(state, commit)?,
            state: Arc::clone(state),
            branch: None,
            pending_end: None,
        })
    }

    /// What the head of a branch sees.
    pub(crate) fn of_branch(state: &Arc<State>, name: &str) -> Result<Self> {
        let branch = state.branch(name)?;
        let branch = branch.ok_or_else(|| state.no_such(RefKind::Branch, name))?;
        let mut snapshot = Self::of_commit(state, state.head_of(&branch)?)?;
        snapshot.branch = Some(name.into());
        Ok(snapshot)
    }

    /// The same commit of a state that holds the same commits in other segments.
    pub(crate) fn with_state(&self, state: &Arc<State>) -> Result<Self> {
        let mut same = Self::of_commit(state, self.commit_id())?;
        same.branch.clone_from(&self.branch);
        Ok(same)
    }

    /// Says where the ids of a transaction end, so that they are told from those of frames that do not exist.
    pub(crate) fn with_pending(mut self, end: Option<FrameId>) -> Self {
        self.pending_end = end;
        self
    }

    /// Whether a commit can be read: it is there, and is one that documents have a part in.
    pub(crate) fn check_commit(state: &State, commit: CommitId) -> Result<()> {
        if commit.0 > 0 && state.commit(commit)?.lineage == LineageId::BOOKKEEPING {
            return Err(Error::Bookkeeping { commit });
        }
        Ok(())
    }

    /// The same memory at another commit, mostly one of its past: what was put later is not there, and what was superseded or
    /// deleted later is. The commit may be of any branch; it is one that was there when this snapshot was taken.
    /// Reads a row of the log and a few for each branch that the commit goes back to, whatever the size of the memory. Commit 0
    /// is the empty memory.
    ///
    /// # Errors
    /// [`Error::NoSuchCommit`], [`Error::Bookkeeping`], [`Error::Io`] or [`Error::Format`].
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
        if commit == self.commit_id() {
            return Ok(self.clone());
        }
        Self::check_commit(&self.state, commit)?;
        // Ids that were given since are those of commits, and of no interest here.
        let mut there = Self::of_commit(&self.state, commit)?;
        there.branch = match self.has(commit)? {
            true => self.branch.clone(),
            false => self
                .name_of(self.row(commit)?.lineage)?
                .map(|name| name.into()),
        };
        Ok(there)
    }

    /// The branch whose head this was taken from, or of whose head it is the past. `None` for a commit that is of no branch any
    /// more and never was of one with a name.
    pub fn branch(&self) -> Option<&str> {
        self.branch.as_deref()
    }

    /// The commit; 0 for an empty memory.
    pub fn commit_id(&self) -> CommitId {
        self.sight.commit
    }

    /// One past the last frame id. Below it there may be frames of other branches.
    pub fn end_frame(&self) -> FrameId {
        self.sight.end
    }

    /// Another value for each other snapshot of a file: a key for caches. A commit of bookkeeping changes nothing that is seen, and no
    /// value.
    pub fn token(&self) -> [u8; 16] {
        // Different for each commit that one state can be read at.
        let (newest, hash) = self.state.tail.seen;
        let back = newest.0.wrapping_sub(self.commit_id().0);
        (u128::from_le_bytes(hash) ^ u128::from(back)).to_le_bytes()
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
        let born = self.sight.born(state)?;
        let purged = state.purged()?.intersection(&born);
        // The table of contents counts deaths of purged frames too.
        let counted = self.is_linear()
            && state.last_on(LineageId(0))?.unwrap_or_default() == self.commit_id();
        let dead = toc.tombstones + tail.dead.len() as u64;
        let mut stats = Stats {
            frames: match counted && purged.is_empty() {
                true => born.len().saturating_sub(dead),
                false => self.visible()?.len(),
            },
            frames_total: born.len(),
            purged: purged.len(),
            commits: match self.commit_id().0 {
                id if id == 0 || state.is_plain() => id,
                _ => self.row(self.commit_id())?.depth,
            },
            payload_bytes: match counted {
                true => toc.payload_bytes.saturating_add(tail.payload_bytes),
                false => self.payload_bytes(&born)?,
            },
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

    /// Bytes of payload of frames.
    fn payload_bytes(&self, frames: &FrameSet) -> Result<u64> {
        let mut bytes = 0u64;
        let (all, detail) = (FrameId(0)..self.end_frame(), Detail::Meta);
        self.state.visit_frames(all, detail, &mut |visited| {
            let meta = visited.meta();
            if frames.contains(meta.id) {
                bytes = bytes.saturating_add(meta.payload_len);
            }
            Ok(())
        })?;
        Ok(bytes)
    }

    /// The tombstones of the frames below an end from the commits after one up to this.
    pub(crate) fn deaths(&self, end: FrameId, after: CommitId) -> Result<Vec<Tombstone>> {
        self.sight.tombstones(&self.state, FrameId(0)..end, after)
    }

    /// A frame's tombstone, if it was dead at this commit.
    pub(crate) fn tombstone(&self, id: FrameId) -> Result<Option<Tombstone>> {
        self.sight.tombstone(&self.state, id)
    }

    pub(crate) fn sight(&self) -> &Sight {
        &self.sight
    }

    /// Whether a frame was put on this history.
    pub(crate) fn is_born(&self, id: FrameId) -> Result<bool> {
        self.sight.is_born(&self.state, id)
    }

    /// Whether a commit of a lineage is on this history.
    pub(crate) fn includes(&self, lineage: LineageId, commit: CommitId) -> bool {
        self.sight.includes(lineage, commit)
    }

    /// Whether a commit, whatever its lineage, is on this history.
    pub(crate) fn has(&self, commit: CommitId) -> Result<bool> {
        if commit.0 == 0 || self.state.is_plain() {
            return Ok(commit <= self.commit_id());
        }
        let row = self.state.commit(commit)?;
        Ok(self.includes(row.lineage, commit))
    }

    /// Whether the file has one lineage, so that what is older is seen.
    pub(crate) fn is_linear(&self) -> bool {
        self.sight.is_linear()
    }

    /// The visible frames.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn visible(&self) -> Result<FrameSet> {
        self.sight
            .visible(&self.state, FrameId(0)..self.end_frame())
    }
}

/// Frames
impl Snapshot {
    /// Whether a frame is there and alive.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn is_visible(&self, id: FrameId) -> Result<bool> {
        let is_there = self.is_born(id)? && !self.state.is_purged(id)?;
        Ok(is_there && self.tombstone(id)?.is_none())
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
        let visible = |id| self.is_visible(id);
        self.state.find_version(uri, self.end_frame(), visible)
    }

    /// Metadata of the visible frames of a range, in order of their ids.
    pub fn metas(&self, range: Range<FrameId>) -> impl Iterator<Item = Result<FrameMeta>> + '_ {
        let mut cursor: Option<(Range<FrameId>, Cursor<'_>)> = None;
        let end = range.end.min(self.end_frame());
        let visible = self.sight.visible(&self.state, range.start..end);
        let (frames, error) = match visible {
            Ok(visible) => (visible, None),
            Err(error) => (FrameSet::default(), Some(error)),
        };
        let metas = frames
            .into_frames()
            .map(move |id| self.meta_at(id, &mut cursor));
        error.map(Err).into_iter().chain(metas)
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
        self.sight.dead(&self.state, range, after)
    }

    pub(crate) fn check_visible(&self, id: FrameId) -> Result<()> {
        let end = self.end_frame();
        if id >= end {
            return Err(match self.pending_end {
                Some(pending_end) if id < pending_end => Error::NotCommitted { frame: id },
                _ => Error::NoSuchFrame { frame: id, end },
            });
        }
        self.state.check_not_purged(id)?;
        if !self.is_born(id)? {
            let commit = self.state.commit_of(id)?.id;
            return Err(Error::OtherHistory { frame: id, commit });
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
        let mut next = self.commit_id();
        std::iter::from_fn(move || {
            let id = (next.0 > 0).then_some(next)?;
            let commit = self.commit(id);
            // A parent is always older; nothing follows an error.
            next = commit.as_ref().map_or(CommitId(0), |commit| commit.parent);
            Some(commit)
        })
    }

    /// One commit, of any branch.
    ///
    /// # Errors
    /// [`Error::NoSuchCommit`], [`Error::Io`] or [`Error::Format`].
    pub fn commit(&self, id: CommitId) -> Result<Commit> {
        self.row(id).map(Commit::from)
    }

    pub(crate) fn row(&self, id: CommitId) -> Result<CommitRow> {
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
        self.without_purged(changes, first..commit.watermark)
    }
}

/// Indexes
impl Snapshot {
    /// The index segments of a kind, in order of their frames. They cover frames from 0 on without a gap, where a range
    /// may have two: one of frames that were alive, and one of history, in this order, or one of the two only.
    ///
    /// At a commit of the past they are those of the newest state all the same, with later frames in them:
    /// [`seen_in`](Self::seen_in) and [`end_frame`](Self::end_frame) say what of them is seen.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn segments(&self, kind: SegmentKind) -> Result<Vec<Segment>> {
        let runs = self.state.index_runs(kind);
        let slots = runs.iter().flat_map(|run| &run.slots);
        slots.map(|slot| self.segment(slot)).collect()
    }

    /// Which frames of a segment are visible at this commit; `None` if none is, so that the segment is not needed at all. Frames of its
    /// range that it does not hold may be told of as well.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn seen_in(&self, segment: &Segment) -> Result<Option<Seen>> {
        let range = segment.first_frame..segment.end_frame.min(self.end_frame());
        if range.is_empty() {
            return Ok(None);
        }
        let (state, split_at) = (&self.state, segment.split_at);
        if split_at.0 == 0 {
            return self.seen(range);
        }
        if self.is_linear() {
            // What was alive at the split was alive before; of what was dead then, each frame died at a time of its own.
            let after = match segment.history {
                true if split_at <= self.commit_id() => return Ok(None),
                true => CommitId(0),
                false => split_at,
            };
            return self.dead_in(range, after).map(Seen::AllBut).map(Some);
        }
        let split = Sight::new(state, split_at)?;
        if let Some(after) = self.sight.continues(state, &split, &range)? {
            if segment.history {
                return Ok(None);
            }
            let died = self.sight.died_since(state, range, &split, after)?;
            return Ok(Some(Seen::AllBut(died)));
        }
        let held = match segment.history {
            true => split.hidden(state, range.clone())?,
            false => split.visible(state, range.clone())?,
        };
        Ok(Seen::of(&self.sight.visible(state, range)?, &held))
    }

    /// Which frames of a range are visible at this commit; `None` if none is.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn seen(&self, range: Range<FrameId>) -> Result<Option<Seen>> {
        let range = range.start..range.end.min(self.end_frame());
        if range.is_empty() {
            return Ok(None);
        }
        if self.is_linear() {
            return self.dead_in(range, CommitId(0)).map(Seen::AllBut).map(Some);
        }
        let visible = self.sight.visible(&self.state, range.clone())?;
        Ok(Seen::of(&visible, &range.into()))
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
        self.state.property(key, |commit| self.has(commit))
    }

    /// All values that properties have had up to this commit, by key and commit.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn properties(&self) -> Result<Vec<Property>> {
        self.properties_where(true)
    }

    /// The values that properties got in commits that are not on this history and newer than this one, or of another branch, by key and
    /// commit: what was said since, or elsewhere.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn later_properties(&self) -> Result<Vec<Property>> {
        let state = &self.state;
        if state.is_plain() && self.commit_id() == state.last_commit() {
            return Ok(Vec::new());
        }
        self.properties_where(false)
    }

    /// The values that commits on this history gave to properties, or those that others did; without branches and tags.
    fn properties_where(&self, on_history: bool) -> Result<Vec<Property>> {
        let stored = self.state.stored_properties()?;
        let mut rows = Vec::new();
        for row in stored.iter().chain(&self.state.tail.properties) {
            if RefKey::parse(&row.key).is_none() && self.has(row.commit)? == on_history {
                rows.push(row.clone());
            }
        }
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
