//! wip
use std::path::Path;
use std::sync::Arc;
use mv2_format::{FrameId, FrameMeta, Frame, CommitId, SegmentKind, SegmentBytes, SegmentId};
use crate::error::Result;
use crate::types::*;

/// A memory file, open.
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// Makes a new file; fails with `AlreadyExists`.
    pub fn create(path: &Path, create: &CreateOptions, open: OpenOptions) -> Result<Self> { let _ = (path, create, open); todo!() }
    /// Opens a file for reading and writing.
    pub fn open(path: &Path, open: OpenOptions) -> Result<Self> { let _ = (path, open); todo!() }
    /// Opens a file for reading.
    pub fn open_read_only(path: &Path, open: OpenOptions) -> Result<Self> { let _ = (path, open); todo!() }
    /// The path it was opened by.
    pub fn path(&self) -> &Path { todo!() }
    /// The newest commit of any process. Cheap when nothing changed.
    pub fn snapshot(&self) -> Result<Snapshot> { todo!() }
    /// Takes the write lock and catches up with other writers. Does nothing inside a transaction. put/delete/update call it.
    pub fn begin(&mut self) -> Result<()> { todo!() }
    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool { todo!() }
    /// Puts a document.
    pub fn put(&mut self, frame: NewFrame) -> Result<PutOutcome> { let _ = frame; todo!() }
    /// Puts a document in the place of a visible (or pending) frame; keeps the old uri if the new frame has none.
    pub fn update(&mut self, id: FrameId, frame: NewFrame) -> Result<PutOutcome> { let _ = (id, frame); todo!() }
    /// Deletes a visible (or pending) frame.
    pub fn delete(&mut self, id: FrameId) -> Result<()> { let _ = id; todo!() }
    /// The frame under a uri as the open transaction sees it (begins one if none is open).
    pub fn find_uri(&mut self, uri: &str) -> Result<Option<FrameId>> { let _ = uri; todo!() }
    /// Makes the transaction durable. `None` if it changed nothing. Releases the lock.
    pub fn commit(&mut self, options: CommitOptions) -> Result<Option<Commit>> { let _ = options; todo!() }
    /// Forgets the transaction. Releases the lock.
    pub fn rollback(&mut self) { todo!() }
    /// Folds the log into segments.
    pub fn checkpoint(&mut self) -> Result<()> { todo!() }
    /// Checkpoint, then rebuild each index kind (and small data segments) into one segment.
    pub fn optimize(&mut self) -> Result<()> { todo!() }
    /// Checks a file by path. `deep` reads every byte, decodes every frame.
    pub fn verify(path: &Path, deep: bool) -> Result<VerifyReport> { let _ = (path, deep); todo!() }
}

/// One commit's state, pinned. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {}

/// A live segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its number.
    pub id: SegmentId,
    /// First frame that it covers.
    pub first_frame: FrameId,
    /// One past the last frame that it covers.
    pub end_frame: FrameId,
    /// Its body.
    pub bytes: SegmentBytes,
}

impl Snapshot {
    /// The commit; 0 for an empty memory.
    pub fn commit_id(&self) -> CommitId { todo!() }
    /// One past the last frame id.
    pub fn end_frame(&self) -> FrameId { todo!() }
    /// Figures.
    pub fn stats(&self) -> Result<Stats> { todo!() }
    /// Whether a frame is there and alive.
    pub fn is_visible(&self, id: FrameId) -> Result<bool> { let _ = id; todo!() }
    /// Metadata of a visible frame. `NoSuchFrame`, `Dead`.
    pub fn meta(&self, id: FrameId) -> Result<FrameMeta> { let _ = id; todo!() }
    /// A visible frame.
    pub fn frame(&self, id: FrameId) -> Result<Frame> { let _ = id; todo!() }
    /// The visible frame under a uri.
    pub fn find_uri(&self, uri: &str) -> Result<Option<FrameId>> { let _ = uri; todo!() }
    /// Metadata of the visible frames of a range, in order of their ids.
    pub fn metas(&self, range: std::ops::Range<FrameId>) -> impl Iterator<Item = Result<FrameMeta>> + '_ { let _ = range; std::iter::empty() }
    /// Commits, newest first.
    pub fn log(&self) -> impl Iterator<Item = Result<Commit>> + '_ { std::iter::empty() }
    /// One commit.
    pub fn commit(&self, id: CommitId) -> Result<Commit> { let _ = id; todo!() }
    /// What a commit changed.
    pub fn changes(&self, id: CommitId) -> Result<Changes> { let _ = id; todo!() }
    /// Live segments of a kind in order of their first frames.
    pub fn segments(&self, kind: SegmentKind) -> Result<Vec<Segment>> { let _ = kind; todo!() }
    /// Frames not yet covered by a segment of `kind` (the log's tail, and older ones if an index lags), in order.
    pub fn uncovered(&self, kind: SegmentKind) -> Result<Vec<Arc<Frame>>> { let _ = kind; todo!() }
    /// Dead frames of a range, sorted.
    pub fn dead_in(&self, range: std::ops::Range<FrameId>) -> Result<Vec<FrameId>> { let _ = range; todo!() }
    /// Changes whenever the snapshot is another one: a key for caches.
    pub fn token(&self) -> [u8; 16] { todo!() }
}
