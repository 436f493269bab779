//! What goes into a store and what comes out: options, new frames, outcomes, commits, statistics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mv2_format::commits::CommitRow;
use mv2_format::{
    AttachmentIndex, CommitId, FrameId, FrameSet, IndexFactory, LineageId, Timestamp,
};

/// Smallest write-ahead log, in bytes.
pub const MIN_WAL_BYTES: u64 = 64 << 10;
/// Largest write-ahead log, in bytes.
pub const MAX_WAL_BYTES: u64 = 64 << 20;
/// Write-ahead log of a new file unless asked otherwise, in bytes.
pub const DEFAULT_WAL_BYTES: u64 = 1 << 20;

/// How to make a new file.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Size of the write-ahead log in bytes, 64 KiB to 64 MiB, rounded up to 4 KiB.
    pub wal_bytes: u64,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            wal_bytes: DEFAULT_WAL_BYTES,
        }
    }
}

/// How to work with a file.
#[derive(Clone)]
pub struct OpenOptions {
    /// How long a write waits for the lock before it fails with `Locked`.
    pub lock_wait: Duration,
    /// The indexes that a checkpoint builds. The store does not know what they hold.
    pub indexes: Vec<Arc<dyn IndexFactory>>,
    /// The indexes over what frames carry for them, such as vectors. Attachments of others are kept as they are.
    pub attached: Vec<Arc<dyn AttachmentIndex>>,
    /// Where commits get their time from.
    pub clock: Arc<dyn Clock>,
    /// When the log is folded into segments.
    pub checkpoint: CheckpointPolicy,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            lock_wait: Duration::from_secs(5),
            indexes: Vec::new(),
            attached: Vec::new(),
            clock: Arc::new(SystemClock),
            checkpoint: CheckpointPolicy::default(),
        }
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("lock_wait", &self.lock_wait)
            .field(
                "indexes",
                &self.indexes.iter().map(|i| i.kind()).collect::<Vec<_>>(),
            )
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}

/// When a commit folds the log into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointPolicy {
    /// As many frames in the tail.
    pub tail_frames: usize,
    /// As many bytes of payload in the tail.
    pub tail_bytes: u64,
    /// Most live segments of one kind; with more, the smallest neighbours are rebuilt as one.
    pub max_segments: usize,
}

impl Default for CheckpointPolicy {
    fn default() -> Self {
        Self {
            tail_frames: 256,
            tail_bytes: 256 << 10,
            max_segments: 8,
        }
    }
}

/// A source of the present time.
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now();
        let micros = match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp(micros)
    }
}

/// A document that is to be put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewFrame {
    /// The name under which the document is updated and found again.
    pub uri: Option<String>,
    /// A title.
    pub title: Option<String>,
    /// What sort of document it is.
    pub kind: Option<String>,
    /// A stream of the caller's that it belongs to.
    pub track: Option<String>,
    /// Key and value pairs, in any order. Of a key that comes twice the last value counts.
    pub tags: Vec<(String, String)>,
    /// Labels. One that comes twice is kept once.
    pub labels: Vec<String>,
    /// A JSON text.
    pub metadata: Option<String>,
    /// What to index instead of the payload.
    pub search_text: Option<String>,
    /// Event time; the commit's time if absent.
    pub timestamp: Option<Timestamp>,
    /// Whether the payload is UTF-8 text.
    pub is_text: bool,
    /// The document.
    pub payload: Vec<u8>,
}

/// What a put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutStatus {
    /// A new frame.
    Added,
    /// A new frame that takes the place of an older one.
    Superseded,
    /// Nothing: the memory holds the same already.
    Unchanged,
}

/// What came of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOutcome {
    /// The frame that now holds the document.
    pub frame: FrameId,
    /// What the put did.
    pub status: PutStatus,
    /// The frame whose place was taken.
    pub superseded: Option<FrameId>,
    /// Whether the payload is shared with an older frame.
    pub deduplicated: bool,
}

/// How to commit.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// A line for the log.
    pub message: Option<String>,
    /// Whether more commits of an import follow. Then building indexes and joining segments waits until it is worth
    /// while, or until the importer ends with [`Store::checkpoint`](crate::Store::checkpoint): what would be rewritten soon is not written
    /// at all. The commit itself is as durable as any, and a search finds its frames all the same.
    pub bulk: bool,
}

/// One commit of the log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Commit {
    /// Its number.
    pub id: CommitId,
    /// The lineage that it belongs to.
    pub lineage: LineageId,
    /// The commit before it on its lineage; 0 for the first.
    pub parent: CommitId,
    /// A second parent, if it is a merge.
    pub second_parent: Option<CommitId>,
    /// Transaction time: strictly increasing along the log.
    pub time: Timestamp,
    /// What the clock said.
    pub wall: Timestamp,
    /// The id that the next frame gets: frames below it existed at this commit.
    pub watermark: FrameId,
    /// Frames that it added under no older uri.
    pub added: u32,
    /// Frames that it put in the place of others.
    pub superseded: u32,
    /// Frames that it deleted.
    pub deleted: u32,
    /// The message.
    pub message: Option<String>,
}

impl From<CommitRow> for Commit {
    fn from(row: CommitRow) -> Self {
        Self {
            id: row.id,
            lineage: row.lineage,
            parent: row.parent,
            second_parent: (row.second_parent.0 != 0).then_some(row.second_parent),
            time: row.time,
            wall: row.wall,
            watermark: row.watermark,
            added: row.added,
            superseded: row.superseded,
            deleted: row.deleted,
            message: (!row.message.is_empty()).then_some(row.message),
        }
    }
}

/// A branch: a name for a run of commits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// The lineage of its commits.
    pub lineage: LineageId,
    /// The commit that it began at; 0 for the empty memory.
    pub base: CommitId,
    /// Its newest commit, or where it began.
    pub head: CommitId,
}

/// Which side of a merge is kept where both changed a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// That of the branch that is written.
    Ours,
    /// That of the branch that is merged.
    Theirs,
}

/// What a merge did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// Its commit.
    pub commit: Commit,
    /// Frames that were not visible before it.
    pub frames: u64,
    /// Uris of documents that both sides had changed, sorted.
    pub conflicts: Vec<String>,
}

/// A name for a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// The commit.
    pub commit: CommitId,
}

/// What a commit changed, frame by frame.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Changes {
    /// New frames.
    pub added: Vec<FrameId>,
    /// Old frame and the one that took its place.
    pub superseded: Vec<(FrameId, FrameId)>,
    /// Frames that were deleted.
    pub deleted: Vec<FrameId>,
    /// New frames of which nothing is left: they were purged later and are in none of the other lists.
    pub purged: Vec<FrameId>,
}

/// One version of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// The frame.
    pub frame: FrameId,
    /// The commit that put it.
    pub commit: CommitId,
    /// The commit from which on it is not visible any more, and the frame that took its place if one did.
    pub end: Option<(CommitId, Option<FrameId>)>,
}

impl Version {
    /// One that is seen from a commit on.
    pub fn new(frame: FrameId, commit: CommitId) -> Self {
        Self {
            frame,
            commit,
            end: None,
        }
    }
}

/// What a purge takes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PurgeSelection {
    /// The frames.
    pub frames: FrameSet,
    /// Commits that noted down searches which tell of these frames. The store does not know what is in an entry of the journal.
    pub entries: BTreeSet<CommitId>,
}

/// Without anything of the journal.
impl From<FrameSet> for PurgeSelection {
    fn from(frames: FrameSet) -> Self {
        Self {
            frames,
            ..Self::default()
        }
    }
}

/// What a purge did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// The commit that says so.
    pub commit: Commit,
    /// Frames that are purged now and were not before.
    pub frames: u64,
    /// Length of the file before, in bytes.
    pub bytes_before: u64,
    /// Length of the new file, in bytes.
    pub bytes_after: u64,
}

/// A purge in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeRecord {
    /// The commit.
    pub commit: CommitId,
    /// How many frames it took.
    pub frames: u64,
}

/// Figures of a snapshot and its file.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Frames visible.
    pub frames: u64,
    /// Frames ever committed, dead and purged ones included.
    pub frames_total: u64,
    /// Frames of which nothing is left.
    pub purged: u64,
    /// Commits.
    pub commits: u64,
    /// Bytes of payload of all frames ever committed, but for purged ones, uncompressed.
    pub payload_bytes: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Bytes in use: header, roots, log, live segments, TOC and footer.
    pub live_bytes: u64,
    /// Bytes of segments and tables that nothing refers to any more.
    pub dead_bytes: u64,
    /// Length of the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes of the log that hold commits which are not folded into segments.
    pub wal_used_bytes: u64,
    /// Frames in the log.
    pub tail_frames: u64,
    /// Live segments by kind. Those of an index that hold dead frames alone are counted apart, as `lex_history`.
    pub segments: BTreeMap<String, u64>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Bytes whose checksums were compared.
    pub bytes_checked: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where, in bytes from the start of the file.
    pub offset: u64,
    /// What.
    pub what: String,
    /// The frames that it touches: first, and one past the last.
    pub frames: Option<(FrameId, FrameId)>,
}

impl VerifyReport {
    /// Adds what a check of another layer found.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
        self.ok = false;
    }
}

impl Problem {
    /// Something wrong at an offset of the file, and the frames that it touches.
    pub fn new(offset: u64, what: impl Into<String>, frames: Option<(FrameId, FrameId)>) -> Self {
        Self {
            offset,
            what: what.into(),
            frames,
        }
    }
}
