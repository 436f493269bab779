//! Forgetting: frames are taken out of the file, and of every state of its past. `docs/format.md`, section "Purged frames".
//!
//! A purge is a commit and a file that is written anew in one step, so that a crash leaves the old file or the new one. What
//! is rebuilt for the new file reads the old one through a [`Purge`], which says what is left of each frame.
//!
//! ```text
//! frame        0        1          2          3
//! before       text A   text B     text A: carried by 0         purge of 0
//! after        hole     text B     text A     text C            2 carries what 0 did
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use mv2_format::data::Cursor;
use mv2_format::{
    CommitId, Frame, FrameId, FrameMeta, FrameSet, IndexFactory, SegmentKind, Timestamp, purged,
};

use crate::build::Body;
use crate::checkpoint::with_batch;
use crate::compact::Compaction;
use crate::error::{Error, Result};
use crate::output::{Coverage, Output};
use crate::snapshot::Snapshot;
use crate::state::{Checkpoint, Detail, State, Tail, Visited};
use crate::store::Store;
use crate::types::{Changes, Commit, PurgeRecord, PurgeSelection, Purged};

/// What a file that is written anew leaves out.
#[derive(Clone, Debug)]
pub(crate) struct Purge {
    /// All purged frames of the new file: those of earlier purges too.
    pub(crate) frames: Arc<FrameSet>,
    /// Those that go now.
    taken: FrameSet,
    /// The frames of which the new file has something else than the old one: those that go, and those that share a payload
    /// with one.
    changed: FrameSet,
    /// Frames that go and carry a payload that others share, with the oldest of these, which carries it from now on.
    carriers: BTreeMap<FrameId, FrameId>,
    /// Commits whose messages may tell of a frame that goes: those that put it, or put an end to it.
    silent: BTreeSet<CommitId>,
    /// Commits that noted down searches which go.
    entries: BTreeSet<CommitId>,
    /// Bytes of payload in segments that go.
    payload_bytes: u64,
}

impl Store {
    /// Takes frames out of the file and of every state of its past, by a commit, and writes the file anew without them: what they
    /// held is in no part of it any more. Their ids stay, and whoever asks for one is told [`Error::Purged`].
    ///
    /// `select` says which, under the lock; frames that are purged already are passed over. `None` if none is left then, and
    /// nothing was done. A sealed file stays sealed. Who has the old file open keeps it, as after a
    /// [`vacuum`](Self::vacuum).
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], [`Error::InTransaction`], [`Error::CannotPurge`], [`Error::CannotReplace`], what `select` says,
    /// or what [`begin`](Self::begin) can meet: the file is as it was then.
    ///
    /// ```
    /// use mv2_format::FrameSet;
    /// use mv2_store::{CommitOptions, CreateOptions, Error, NewFrame, OpenOptions, Store};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("notes.mv2");
    /// let mut store = Store::create(&path, &CreateOptions::default(), OpenOptions::default())?;
    /// let secret = store.put(NewFrame { payload: b"swordfish".to_vec(), ..Default::default() })?.frame;
    /// store.commit(CommitOptions::default())?;
    /// let frames: FrameSet = [secret].into_iter().collect();
    /// let purged = store.purge(|_| Ok::<_, Error>(frames))?.unwrap();
    /// assert_eq!(purged.frames, 1);
    /// assert!(matches!(store.snapshot()?.frame(secret), Err(Error::Purged { .. })));
    /// assert!(!std::fs::read(&path).unwrap().windows(9).any(|bytes| bytes == b"swordfish"));
    /// # Ok::<(), mv2_store::Error>(())
    /// ```
    pub fn purge<E: From<Error>, S: Into<PurgeSelection>>(
        &mut self,
        select: impl FnOnce(&Snapshot) -> Result<S, E>,
    ) -> Result<Option<Purged>, E> {
        self.purge_as(self.options.indexes.clone(), select)
    }

    /// Like [`purge`](Self::purge), with other builders of the same kinds of index: those that a file was
    /// [sealed with](Self::seal_as).
    ///
    /// # Errors
    /// As for [`purge`](Self::purge).
    pub fn purge_as<E: From<Error>, S: Into<PurgeSelection>>(
        &mut self,
        indexes: Vec<Arc<dyn IndexFactory>>,
        select: impl FnOnce(&Snapshot) -> Result<S, E>,
    ) -> Result<Option<Purged>, E> {
        self.refuse_in_transaction()?;
        self.begin_unless_sealed(false)?;
        let state = self.current();
        let selected = self
            .snapshot()
            .map_err(E::from)
            .and_then(|now| select(&now));
        let result = selected
            .and_then(|selected| Ok(self.purge_locked(&state, selected.into(), indexes)?));
        self.transaction = None;
        self.release(&state.file);
        result
    }

    fn purge_locked(
        &mut self,
        state: &State,
        selected: PurgeSelection,
        indexes: Vec<Arc<dyn IndexFactory>>,
    ) -> Result<Option<Purged>> {
        let PurgeSelection { frames, entries } = selected;
        let end = state.next_frame();
        if let Some(last) = frames.runs().last()
            && last.end > end
        {
            let frame = last.start.max(end);
            return Err(Error::NoSuchFrame { frame, end });
        }
        let frames = frames.difference(&*state.purged()?);
        if frames.is_empty() {
            return Ok(None);
        }
        let wall = self.options.clock.now();
        let next = self.with_purge_commit(state, wall, frames.len())?;
        let next = state_without(&next, &frames, entries)?;
        let compaction = match self.is_sealed() {
            true => Compaction::Densest,
            false => Compaction::Full,
        };
        let wal_len = state.file.header.wal_len;
        let (bytes_before, bytes_after) =
            self.rewrite_locked(&next, compaction, wal_len, Some(indexes))?;
        self.recent.clear();
        let now = self.current();
        Ok(Some(Purged {
            commit: Commit::from(now.commit(now.last_commit())?),
            frames: frames.len(),
            bytes_before,
            bytes_after,
        }))
    }

    /// The state as it is after the commit that says that a purge happened.
    fn with_purge_commit(&mut self, state: &State, wall: Timestamp, frames: u64) -> Result<State> {
        let message = match frames {
            1 => "purged 1 frame".to_owned(),
            _ => format!("purged {frames} frames"),
        };
        let path = self.path.clone();
        let transaction = self.transaction.as_mut();
        let transaction = transaction.ok_or(Error::Poisoned { path })?;
        let count = Some(purged::encode_count(frames));
        transaction.force_property(purged::PURGE_KEY.to_owned(), count);
        let batch = transaction.batch(wall, Some(message))?;
        Ok(with_batch(state, Some(batch)))
    }
}

impl Snapshot {
    /// The frames that are purged in the file, whichever commit put them.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn purged(&self) -> Result<Arc<FrameSet>> {
        self.state.purged()
    }

    /// Whether the file has ever had a frame with this id, of whichever branch, purged ones included.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`] if not.
    pub fn check_known(&self, frame: FrameId) -> Result<()> {
        let end = self.state.next_frame();
        match frame < end {
            true => Ok(()),
            false => Err(Error::NoSuchFrame { frame, end }),
        }
    }

    /// The frames that were superseded or deleted in commits after one, of whichever branch.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn ended_after(&self, commit: CommitId) -> Result<FrameSet> {
        let all = FrameId(0)..self.state.next_frame();
        let rows = self
            .state
            .tombstones_between(all, commit, CommitId(u64::MAX))?;
        Ok(rows.iter().map(|row| row.frame).collect())
    }

    /// The commits of the file that purged frames, oldest first, up to this one.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn purges(&self) -> Result<Vec<PurgeRecord>> {
        let mut records = Vec::new();
        let stored = self.state.stored_properties()?;
        for row in stored.iter().chain(&self.state.tail.properties) {
            if row.key != purged::PURGE_KEY || row.commit > self.commit_id() {
                continue;
            }
            if let Some(value) = &row.value {
                let frames = purged::decode_count(value);
                records.push(PurgeRecord {
                    commit: row.commit,
                    frames: frames.map_err(|source| self.state.file.format(source))?,
                });
            }
        }
        Ok(records)
    }

    /// Takes purged frames out of what changed between two commits, the later of which put those of a range: what took the place of
    /// one is new, and what gave way to one is gone.
    pub(crate) fn without_purged(
        &self,
        mut changes: Changes,
        new: Range<FrameId>,
    ) -> Result<Changes> {
        let purged = self.state.purged()?;
        if purged.is_empty() {
            return Ok(changes);
        }
        let is_left = |id: &FrameId| !purged.contains(*id);
        changes.added.retain(is_left);
        changes.deleted.retain(is_left);
        for (old, by) in std::mem::take(&mut changes.superseded) {
            match (is_left(&old), is_left(&by)) {
                (true, true) => changes.superseded.push((old, by)),
                (true, false) => changes.deleted.push(old),
                (false, true) => changes.added.push(by),
                (false, false) => {}
            }
        }
        changes.added.sort_unstable();
        changes.added.dedup();
        changes.deleted.sort_unstable();
        changes.purged = purged.within(new).frames().collect();
        Ok(changes)
    }

    /// Calls `each` with what is known of every frame of the file, in order: those that are dead and those that this
    /// snapshot does not see too, but for purged ones.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`], or what `each` says.
    pub fn each_frame(&self, each: &mut dyn FnMut(&FrameMeta) -> Result<()>) -> Result<()> {
        let all = FrameId(0)..self.state.next_frame();
        self.state
            .visit_frames(all, Detail::Meta, &mut |visited| each(visited.meta()))
    }
}

/// Purged frames
impl State {
    /// The frames of which nothing is left; while a file is written anew, those of which nothing will be.
    pub(crate) fn purged(&self) -> Result<Arc<FrameSet>> {
        if let Some(purge) = &self.checkpoint.purging {
            return Ok(Arc::clone(&purge.frames));
        }
        match self.checkpoint.purged.first() {
            Some(slot) => slot
                .get(&self.file, |bytes| purged::decode(&bytes).map(Arc::new))
                .cloned(),
            None => Ok(Arc::default()),
        }
    }

    /// Whether nothing is left of a frame.
    pub(crate) fn is_purged(&self, id: FrameId) -> Result<bool> {
        match (&self.checkpoint.purging, self.checkpoint.purged.is_empty()) {
            (None, true) => Ok(false),
            _ => Ok(self.purged()?.contains(id)),
        }
    }

    /// Fails with [`Error::Purged`] if nothing is left of a frame.
    pub(crate) fn check_not_purged(&self, id: FrameId) -> Result<()> {
        match self.is_purged(id)? {
            true => Err(Error::Purged { frame: id }),
            false => Ok(()),
        }
    }

    /// The first frame from one on of which something is left: what no index needs to cover lies between.
    pub(crate) fn skip_purged(&self, id: FrameId) -> FrameId {
        // What cannot be read is told of by whoever looks at a frame.
        let Ok(purged) = self.purged() else {
            return id;
        };
        let run = purged.runs_in(id..id.next()).first();
        run.map_or(id, |run| run.end)
    }

    /// Whether frames of a range go.
    pub(crate) fn loses(&self, frames: &Range<FrameId>) -> bool {
        let purge = self.checkpoint.purging.as_ref();
        purge.is_some_and(|purge| !purge.taken.runs_in(frames.clone()).is_empty())
    }

    /// Whether the data segments of the new file have something else of a range of frames than those of the old one.
    pub(crate) fn is_changed(&self, frames: &Range<FrameId>) -> bool {
        let purge = self.checkpoint.purging.as_ref();
        purge.is_some_and(|purge| !purge.changed.runs_in(frames.clone()).is_empty())
    }

    /// Calls `each` with what the new file has of a frame of a segment, if that is something else than the old one has.
    /// `false` if it is the same.
    pub(crate) fn visit_changed(
        &self,
        cursor: &mut Cursor<'_>,
        id: FrameId,
        each: &mut dyn FnMut(Visited<'_>) -> Result<()>,
    ) -> Result<bool> {
        let Some(purge) = &self.checkpoint.purging else {
            return Ok(false);
        };
        if !purge.changed.contains(id) {
            return Ok(false);
        }
        let mut meta = cursor.meta(id).map_err(|source| self.file.format(source))?;
        let payload = Vec::new();
        if purge.frames.contains(id) {
            let meta = FrameMeta::hole(id, meta.commit, meta.lineage);
            each(Visited::Frame(&Frame { meta, payload }))?;
        } else {
            meta.payload_frame = purge.carrier_of(&meta);
            match meta.payload_frame {
                Some(_) => each(Visited::Frame(&Frame { meta, payload }))?,
                None => each(Visited::Large(&meta, self.payload_reader(id)?))?,
            }
        }
        Ok(true)
    }

    /// Bytes of payload that the segments of the new file do not have.
    pub(crate) fn purged_payload(&self) -> u64 {
        let purge = self.checkpoint.purging.as_ref();
        purge.map_or(0, |purge| purge.payload_bytes)
    }
}

impl Purge {
    /// The frame that carries a frame's payload in the new file, if it is another.
    fn carrier_of(&self, meta: &FrameMeta) -> Option<FrameId> {
        let carrier = meta.payload_frame?;
        let moved = self.carriers.get(&carrier).copied().unwrap_or(carrier);
        (moved != meta.id).then_some(moved)
    }

    /// Whether the search that a commit noted down goes.
    pub(crate) fn drops_entry(&self, commit: CommitId) -> bool {
        self.entries.contains(&commit)
    }

    /// Whether one that commits of a range noted down goes.
    pub(crate) fn drops_entries(&self, commits: RangeInclusive<CommitId>) -> bool {
        self.entries.range(commits).next().is_some()
    }

    /// Whether the message of a commit goes.
    pub(crate) fn silences(&self, commit: CommitId) -> bool {
        self.silent.contains(&commit)
    }
}

/// A state that reads as the new file will: without some frames.
fn state_without(state: &State, frames: &FrameSet, entries: BTreeSet<CommitId>) -> Result<State> {
    let end = state.next_frame();
    let in_segments = state.checkpoint.toc.next_frame;
    let mut carriers = BTreeMap::new();
    let mut silent = BTreeSet::new();
    let mut changed: Vec<Range<FrameId>> = frames.runs().to_vec();
    let mut payload_bytes = 0u64;
    state.visit_frames(FrameId(0)..end, Detail::Meta, &mut |visited| {
        let meta = visited.meta();
        if frames.contains(meta.id) {
            silent.insert(meta.commit);
            if meta.id < in_segments {
                payload_bytes = payload_bytes.saturating_add(meta.payload_len);
            }
        } else if let Some(carrier) = meta.payload_frame
            && frames.contains(carrier)
        {
            carriers.entry(carrier).or_insert(meta.id);
            changed.push(meta.id..meta.id.next());
        }
        Ok(())
    })?;
    for row in state.tombstones_between(FrameId(0)..end, CommitId(0), CommitId(u64::MAX))? {
        if frames.contains(row.frame) {
            silent.insert(row.commit);
        }
    }
    let before = state.purged()?;
    let all = frames.runs().iter().chain(before.runs()).cloned();
    let purge = Purge {
        frames: Arc::new(all.collect()),
        taken: frames.clone(),
        changed: changed.into_iter().collect(),
        carriers,
        silent,
        entries,
        payload_bytes,
    };
    let tail = tail_without(&state.tail, frames, &purge);
    let mut checkpoint = Checkpoint::clone(&state.checkpoint);
    checkpoint.purging = Some(Arc::new(purge));
    Ok(State {
        checkpoint: Arc::new(checkpoint),
        tail: Arc::new(tail),
        ..state.clone()
    })
}

/// The tail of the log with holes for some frames.
fn tail_without(tail: &Tail, frames: &FrameSet, purge: &Purge) -> Tail {
    let mut tail = tail.clone();
    for frame in &mut tail.frames {
        let meta = &frame.meta;
        if frames.contains(meta.id) {
            let meta = FrameMeta::hole(meta.id, meta.commit, meta.lineage);
            let payload = Vec::new();
            *frame = Arc::new(Frame { meta, payload });
        } else if meta.payload_frame.is_some() {
            // The payload itself is filled in already.
            let carrier = purge.carrier_of(meta);
            Arc::make_mut(frame).meta.payload_frame = carrier;
        }
    }
    tail.journal
        .retain(|entry| !purge.drops_entry(entry.commit));
    tail.attachments.retain(|row| !frames.contains(row.frame));
    tail.payload_bytes = tail.frames.iter().map(|frame| frame.meta.payload_len).sum();
    tail
}

/// Writes which frames are purged.
pub(crate) fn build_purged(state: &State, out: &mut Output<'_>) -> Result<()> {
    match (&state.checkpoint.purging, state.checkpoint.purged.first()) {
        (Some(purge), _) => {
            let (coverage, body) = purged_body(&purge.frames);
            out.write(&body, coverage)
        }
        (None, Some(slot)) => out.keep(&slot.entry),
        (None, None) => Ok(()),
    }
}

fn purged_body(frames: &FrameSet) -> Body {
    let runs = frames.runs();
    let start = runs.first().map_or(FrameId(0), |run| run.start);
    let coverage = Coverage {
        kind: SegmentKind::PURGED,
        part: 0,
        frames: start..runs.last().map_or(start, |run| run.end),
        commits: Default::default(),
        rows: runs.len() as u64,
        history: false,
    };
    (coverage, purged::encode(frames))
}
