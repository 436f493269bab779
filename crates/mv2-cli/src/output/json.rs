//! The JSON that the commands print: one object, or for `put` one per line and commit.
//!
//! Version 1, which each object names as `"v":1`. Fields may be added within a version; none is
//! renamed, removed or given another meaning. Times are RFC 3339 in UTC with microseconds. A field
//! that has no value is `null`.

use std::collections::BTreeMap;

use mv2::{Commit, PutStatus, SearchHit, SideRank, TimelineEntry, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// The version of the JSON output.
pub(crate) const VERSION: u32 = 1;

/// A failure, on standard error: `{"error":{"kind","message","hint"}}`.
#[derive(Serialize)]
pub(crate) struct ErrorObject<'a> {
    pub(crate) error: ErrorBody<'a>,
}

/// What went wrong. `kind` is stable and one of the library's, or `usage`. Of a merge, `uris` are the documents that both sides
/// changed.
#[derive(Serialize)]
pub(crate) struct ErrorBody<'a> {
    pub(crate) kind: &'a str,
    pub(crate) message: &'a str,
    pub(crate) hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uris: Option<&'a [String]>,
}

/// A line of an import that was skipped, on standard error:
/// `{"skipped":{"source","line","kind","message"}}`.
#[derive(Serialize)]
pub(crate) struct SkippedObject<'a> {
    pub(crate) skipped: Skipped<'a>,
}

/// Where and why; `line` is `null` for a file.
#[derive(Serialize)]
pub(crate) struct Skipped<'a> {
    pub(crate) source: &'a str,
    pub(crate) line: Option<u64>,
    pub(crate) kind: &'a str,
    pub(crate) message: &'a str,
}

/// `mv2 create`.
#[derive(Serialize)]
pub(crate) struct Created<'a> {
    pub(crate) v: u32,
    pub(crate) path: &'a str,
    pub(crate) file_bytes: u64,
    pub(crate) wal_bytes: u64,
}

/// A commit in short.
#[derive(Serialize)]
pub(crate) struct CommitRef {
    pub(crate) id: u64,
    pub(crate) time: String,
}

impl CommitRef {
    /// The empty memory before the first commit.
    pub(crate) const EMPTY: Self = Self {
        id: 0,
        time: String::new(),
    };
}

impl From<&Commit> for CommitRef {
    fn from(commit: &Commit) -> Self {
        Self {
            id: commit.id.get(),
            time: commit.time.to_string(),
        }
    }
}

/// `mv2 put` and `mv2 update`: one line for each commit, printed once the commit is durable.
/// `commit` is `null` if nothing had changed.
#[derive(Serialize)]
pub(crate) struct Put {
    pub(crate) v: u32,
    pub(crate) commit: Option<CommitRef>,
    pub(crate) frames: Vec<PutFrame>,
}

/// One document of a commit, in the order in which they came. `status` is `added`, `superseded` (it
/// took an older frame's place), `unchanged` or, with `--prune`, `deleted`.
#[derive(Serialize)]
pub(crate) struct PutFrame {
    pub(crate) frame_id: u64,
    pub(crate) uri: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) deduplicated: bool,
}

/// The name of a status.
pub(crate) fn status(status: PutStatus) -> &'static str {
    match status {
        PutStatus::Added => "added",
        PutStatus::Superseded => "superseded",
        PutStatus::Unchanged => "unchanged",
        _ => "other",
    }
}

/// `mv2 delete`.
#[derive(Serialize)]
pub(crate) struct Deleted {
    pub(crate) v: u32,
    pub(crate) commit: Option<CommitRef>,
    pub(crate) deleted: Vec<DeletedFrame>,
}

/// One frame that was deleted.
#[derive(Serialize)]
pub(crate) struct DeletedFrame {
    pub(crate) frame_id: u64,
    pub(crate) uri: Option<String>,
}

/// `mv2 search`. `total` is exact if `total_relation` is `eq` and a lower bound if it is `gte`.
#[derive(Serialize)]
pub(crate) struct Search<'a> {
    pub(crate) v: u32,
    pub(crate) query: &'a str,
    pub(crate) mode: String,
    pub(crate) as_of: u64,
    pub(crate) branch: Option<&'a str>,
    pub(crate) took_ms: f64,
    pub(crate) total: u64,
    pub(crate) total_relation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<&'a str>,
    pub(crate) next_cursor: Option<&'a str>,
    pub(crate) hits: Vec<HitObject<'a>>,
}

/// `mv2 context`. `text` is what is printed without `--json`; `tokens` are estimated, at most `max_tokens`.
#[derive(Serialize)]
pub(crate) struct Context<'a> {
    pub(crate) v: u32,
    pub(crate) query: &'a str,
    pub(crate) as_of: u64,
    pub(crate) branch: Option<&'a str>,
    pub(crate) max_tokens: usize,
    pub(crate) tokens: usize,
    pub(crate) text: &'a str,
    pub(crate) passages: Vec<Passage<'a>>,
}

/// One passage. `rank` is the number by which `text` cites it; `start` and `end` are byte offsets into the
/// document's text.
#[derive(Serialize)]
pub(crate) struct Passage<'a> {
    pub(crate) rank: usize,
    pub(crate) frame_id: u64,
    pub(crate) uri: Option<&'a str>,
    pub(crate) title: Option<&'a str>,
    pub(crate) text: &'a str,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) score: f32,
    pub(crate) timestamp: String,
    pub(crate) commit: u64,
}

impl<'a> From<&'a mv2::Passage> for Passage<'a> {
    fn from(passage: &'a mv2::Passage) -> Self {
        Self {
            rank: passage.rank,
            frame_id: passage.frame_id.get(),
            uri: passage.uri.as_deref(),
            title: passage.title.as_deref(),
            text: &passage.text,
            start: passage.range.start,
            end: passage.range.end,
            score: passage.score,
            timestamp: passage.timestamp.to_string(),
            commit: passage.commit.get(),
        }
    }
}

/// A hit, whole or with `--ids-only`.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum HitObject<'a> {
    /// Everything.
    Whole(Box<Hit<'a>>),
    /// The frame's number alone.
    Id { frame_id: u64 },
}

/// One hit. `matches` are `[start, end]` pairs of byte offsets into `text`.
#[derive(Serialize)]
pub(crate) struct Hit<'a> {
    pub(crate) rank: usize,
    pub(crate) frame_id: u64,
    pub(crate) uri: Option<&'a str>,
    pub(crate) title: Option<&'a str>,
    pub(crate) text: &'a str,
    pub(crate) score: f32,
    pub(crate) lex: Option<Side>,
    pub(crate) vec: Option<Side>,
    pub(crate) timestamp: String,
    pub(crate) commit: u64,
    pub(crate) kind: Option<&'a str>,
    pub(crate) tags: BTreeMap<&'a str, &'a str>,
    pub(crate) labels: &'a [String],
    pub(crate) matches: Vec<[usize; 2]>,
}

impl<'a> From<&'a SearchHit> for Hit<'a> {
    fn from(hit: &'a SearchHit) -> Self {
        Self {
            rank: hit.rank,
            frame_id: hit.frame_id.get(),
            uri: hit.uri.as_deref(),
            title: hit.title.as_deref(),
            text: &hit.text,
            score: hit.score,
            lex: hit.lex.map(Side::from),
            vec: hit.vec.map(Side::from),
            timestamp: hit.timestamp.to_string(),
            commit: hit.commit.get(),
            kind: hit.kind.as_deref(),
            tags: tags(&hit.tags),
            labels: &hit.labels,
            matches: hit
                .matches
                .iter()
                .map(|range| [range.start, range.end])
                .collect(),
        }
    }
}

/// A hit's place in the list of one index.
#[derive(Serialize)]
pub(crate) struct Side {
    pub(crate) rank: usize,
    pub(crate) score: f32,
}

impl From<SideRank> for Side {
    fn from(side: SideRank) -> Self {
        Self {
            rank: side.rank,
            score: side.score,
        }
    }
}

/// `mv2 timeline`, newest first, or oldest first with `--reverse`. `since` and `until` are what the
/// flags meant; `next_cursor` is `null` at the end.
#[derive(Serialize)]
pub(crate) struct Timeline<'a> {
    pub(crate) v: u32,
    pub(crate) as_of: u64,
    pub(crate) branch: Option<&'a str>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) frames: Vec<TimelineFrame<'a>>,
    pub(crate) next_cursor: Option<&'a str>,
}

/// One document of a timeline. `preview` is how its text begins, on one line.
#[derive(Serialize)]
pub(crate) struct TimelineFrame<'a> {
    pub(crate) frame_id: u64,
    pub(crate) uri: Option<&'a str>,
    pub(crate) title: Option<&'a str>,
    pub(crate) preview: &'a str,
    pub(crate) timestamp: String,
    pub(crate) commit: u64,
    pub(crate) kind: Option<&'a str>,
    pub(crate) tags: BTreeMap<&'a str, &'a str>,
    pub(crate) labels: &'a [String],
}

impl<'a> From<&'a TimelineEntry> for TimelineFrame<'a> {
    fn from(entry: &'a TimelineEntry) -> Self {
        Self {
            frame_id: entry.frame_id.get(),
            uri: entry.uri.as_deref(),
            title: entry.title.as_deref(),
            preview: &entry.preview,
            timestamp: entry.timestamp.to_string(),
            commit: entry.commit.get(),
            kind: entry.kind.as_deref(),
            tags: tags(&entry.tags),
            labels: &entry.labels,
        }
    }
}

/// `mv2 get`. `text` is `null` if the document is not text; `bytes` is its length.
#[derive(Serialize)]
pub(crate) struct Get<'a> {
    pub(crate) v: u32,
    pub(crate) as_of: u64,
    pub(crate) branch: Option<&'a str>,
    pub(crate) frame_id: u64,
    pub(crate) uri: Option<&'a str>,
    pub(crate) title: Option<&'a str>,
    pub(crate) text: Option<&'a str>,
    pub(crate) bytes: u64,
    pub(crate) timestamp: String,
    pub(crate) commit: u64,
    pub(crate) kind: Option<&'a str>,
    pub(crate) track: Option<&'a str>,
    pub(crate) tags: BTreeMap<&'a str, &'a str>,
    pub(crate) labels: &'a [String],
    pub(crate) metadata: Value,
}

/// One commit of `mv2 log`, which prints `{"v":1,"as_of":...,"branch":...,"commits":[...]}`, newest first. `branch` is the one that it was made
/// on, `parents` the commit before it and that of the other branch if it is a merge. `folder` is the one whose import it is part of.
#[derive(Serialize)]
pub(crate) struct LogCommit<'a> {
    pub(crate) id: u64,
    pub(crate) time: String,
    pub(crate) wall: String,
    pub(crate) branch: Option<&'a str>,
    pub(crate) parents: Vec<u64>,
    pub(crate) message: Option<&'a str>,
    pub(crate) folder: Option<String>,
    #[serde(flatten)]
    pub(crate) changes: LogChanges,
}

/// What a commit changed: numbers, or with `--frames` the frames.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum LogChanges {
    /// How many frames.
    Counts {
        added: u32,
        superseded: u32,
        deleted: u32,
    },
    /// Which frames.
    Frames {
        added: Vec<u64>,
        superseded: Vec<Superseded>,
        deleted: Vec<u64>,
    },
}

/// A frame and the one that took its place.
#[derive(Serialize)]
pub(crate) struct Superseded {
    pub(crate) frame_id: u64,
    pub(crate) by: u64,
}

/// `mv2 branch` alone, by name.
#[derive(Serialize)]
pub(crate) struct Branches {
    pub(crate) v: u32,
    pub(crate) branches: Vec<Branch>,
}

/// One branch: its newest commit and that one's time, `null` before the first one, and the commit that it began at, 0 for the empty
/// memory.
#[derive(Serialize)]
pub(crate) struct Branch {
    pub(crate) name: String,
    pub(crate) head: u64,
    pub(crate) base: u64,
    pub(crate) checked_out: bool,
    pub(crate) time: Option<String>,
}

/// `mv2 tag` alone, by name.
#[derive(Serialize)]
pub(crate) struct Tags {
    pub(crate) v: u32,
    pub(crate) tags: Vec<Tag>,
}

/// One tag: its commit, and that one's time.
#[derive(Serialize)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) commit: u64,
    pub(crate) time: Option<String>,
}

/// `mv2 branch` and `mv2 tag` that change something. `action` is `created`, `deleted` or `renamed`; `at` is the commit of what was
/// created, `was` the name before.
#[derive(Serialize)]
pub(crate) struct RefChanged<'a> {
    pub(crate) v: u32,
    pub(crate) commit: CommitRef,
    pub(crate) action: &'static str,
    pub(crate) name: &'a str,
    pub(crate) at: Option<u64>,
    pub(crate) was: Option<&'a str>,
}

/// `mv2 checkout`. `commit` is `null` if the branch was checked out already.
#[derive(Serialize)]
pub(crate) struct CheckedOut<'a> {
    pub(crate) v: u32,
    pub(crate) commit: Option<CommitRef>,
    pub(crate) branch: &'a str,
    pub(crate) head: u64,
}

/// `mv2 merge`. `commit` is `null` if there was nothing to bring; `conflicts` are uris that both sides had changed.
#[derive(Serialize)]
pub(crate) struct Merged<'a> {
    pub(crate) v: u32,
    pub(crate) commit: Option<CommitRef>,
    pub(crate) branch: &'a str,
    pub(crate) merged: &'a str,
    pub(crate) frames: u64,
    pub(crate) conflicts: Vec<String>,
}

/// `mv2 rewind`. `to` is the commit whose state it is now, `was` the newest one before.
#[derive(Serialize)]
pub(crate) struct Rewound<'a> {
    pub(crate) v: u32,
    pub(crate) commit: CommitRef,
    pub(crate) branch: &'a str,
    pub(crate) to: u64,
    pub(crate) was: u64,
}

/// `mv2 stats`. `frames` are the visible ones. `advice` names a command that is worth running: `vacuum` if more
/// than 1 MiB is dead and more than half of what is in use without the log.
#[derive(Serialize)]
pub(crate) struct Stats<'a> {
    pub(crate) v: u32,
    pub(crate) as_of: u64,
    pub(crate) branch: Option<&'a str>,
    pub(crate) frames: u64,
    pub(crate) frames_total: u64,
    pub(crate) purged: u64,
    pub(crate) commits: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) dead_bytes: u64,
    pub(crate) wal_bytes: u64,
    pub(crate) wal_used_bytes: u64,
    pub(crate) tail_frames: u64,
    pub(crate) embedder: Option<&'a str>,
    pub(crate) segments: &'a BTreeMap<String, u64>,
    pub(crate) sealed: bool,
    pub(crate) advice: Option<&'static str>,
}

/// `mv2 reembed`. `commit` is null if every document had its vectors; `frames` got some.
#[derive(Serialize)]
pub(crate) struct Reembedded<'a> {
    pub(crate) v: u32,
    pub(crate) commit: Option<CommitRef>,
    pub(crate) embedder: Option<&'a str>,
    pub(crate) frames: u64,
}

/// `mv2 optimize`. `segments` are all those that are live, of any kind.
#[derive(Serialize)]
pub(crate) struct Optimized<'a> {
    pub(crate) v: u32,
    pub(crate) path: &'a str,
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
    pub(crate) segments_before: u64,
    pub(crate) segments_after: u64,
}

/// `mv2 vacuum`, `mv2 seal` and `mv2 unseal`. `path` is the file that was written, `bytes_before` the length of the
/// memory file before and `bytes_after` that of the file at `path`. Both are the same if there was nothing to do.
#[derive(Serialize)]
pub(crate) struct Rewritten<'a> {
    pub(crate) v: u32,
    pub(crate) path: &'a str,
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
}

/// `mv2 purge`. `commit` and lengths are null if nothing was purged, as with `--dry-run`.
#[derive(Serialize)]
pub(crate) struct Purge<'a> {
    pub(crate) v: u32,
    pub(crate) path: &'a str,
    pub(crate) commit: Option<CommitRef>,
    pub(crate) frames: Vec<PurgedFrame<'a>>,
    pub(crate) bytes_before: Option<u64>,
    pub(crate) bytes_after: Option<u64>,
}

/// A frame that was purged, or would be. `same_content` is a frame that stays and has the same document.
#[derive(Serialize)]
pub(crate) struct PurgedFrame<'a> {
    pub(crate) frame_id: u64,
    pub(crate) uri: Option<&'a str>,
    pub(crate) title: Option<&'a str>,
    pub(crate) commit: u64,
    pub(crate) bytes: u64,
    pub(crate) visible: bool,
    pub(crate) same_content: Option<u64>,
    pub(crate) other_versions: u64,
}

/// `mv2 backup`. `path` is the copy, `commit` the newest commit in it; the lengths are those of the memory file and of
/// the copy.
#[derive(Serialize)]
pub(crate) struct Backup<'a> {
    pub(crate) v: u32,
    pub(crate) path: &'a str,
    pub(crate) commit: u64,
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
}

/// `mv2 verify`.
#[derive(Serialize)]
pub(crate) struct Verify {
    pub(crate) v: u32,
    pub(crate) ok: bool,
    pub(crate) bytes_checked: u64,
    pub(crate) problems: Vec<Problem>,
}

/// Something wrong: where in the file, what, and the frames `[first, end)` that it touches. `offset`
/// is `null` where the damage has no one place.
#[derive(Serialize)]
pub(crate) struct Problem {
    pub(crate) offset: Option<u64>,
    pub(crate) what: String,
    pub(crate) frames: Option<[u64; 2]>,
}

/// Tags as an object.
pub(crate) fn tags(tags: &[(String, String)]) -> BTreeMap<&str, &str> {
    tags.iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// Milliseconds to the microsecond.
pub(crate) fn round_ms(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

/// A date for a person.
pub(crate) fn date(time: Timestamp) -> String {
    time.to_string().chars().take_while(|c| *c != 'T').collect()
}

/// `mv2 diff`. `from` and `to` are commits; the time of commit 0 is empty.
#[derive(Serialize)]
pub(crate) struct Diff {
    pub(crate) v: u32,
    pub(crate) from: CommitRef,
    pub(crate) to: CommitRef,
    pub(crate) added: Vec<DiffFrame>,
    pub(crate) superseded: Vec<DiffPair>,
    pub(crate) deleted: Vec<DiffFrame>,
}

/// A frame that differs.
#[derive(Serialize)]
pub(crate) struct DiffFrame {
    pub(crate) frame_id: u64,
    pub(crate) uri: Option<String>,
    pub(crate) title: Option<String>,
}

/// A frame and the one whose place it took. `diff` is unified, empty if the texts are the same, and `null` if they were not
/// compared.
#[derive(Serialize)]
pub(crate) struct DiffPair {
    pub(crate) old: u64,
    #[serde(flatten)]
    pub(crate) frame: DiffFrame,
    pub(crate) diff: Option<String>,
}

/// `mv2 history`, newest first.
#[derive(Serialize)]
pub(crate) struct History<'a> {
    pub(crate) v: u32,
    pub(crate) as_of: u64,
    pub(crate) branch: Option<&'a str>,
    pub(crate) uri: &'a str,
    pub(crate) versions: Vec<HistoryVersion>,
}

/// One version of a document: the commit that put it, and the one that ended it.
#[derive(Serialize)]
pub(crate) struct HistoryVersion {
    pub(crate) frame_id: u64,
    pub(crate) commit: u64,
    pub(crate) time: String,
    pub(crate) title: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) end: Option<HistoryEnd>,
    pub(crate) diff: Option<String>,
}

/// The end of a version; `by` is the frame that took its place, `null` if it was deleted.
#[derive(Serialize)]
pub(crate) struct HistoryEnd {
    pub(crate) commit: u64,
    pub(crate) by: Option<u64>,
}

/// `mv2 models`.
#[derive(Serialize)]
pub(crate) struct Models<'a> {
    pub(crate) v: u32,
    pub(crate) models: Vec<Model<'a>>,
}

/// An embedding model.
#[derive(Serialize)]
pub(crate) struct Model<'a> {
    pub(crate) name: &'a str,
    pub(crate) repo: Option<&'a str>,
    pub(crate) about: Option<&'a str>,
    pub(crate) dims: Option<u32>,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) bytes: Option<u64>,
    pub(crate) path: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) usable: bool,
}

/// `mv2 replay`: a line for each step, and one at the end.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Replayed<'a> {
    /// A commit.
    Commit { v: u32, commit: ReplayedCommit<'a> },
    /// A search that was noted down and made again.
    Search {
        v: u32,
        search: Box<ReplayedSearch<'a>>,
    },
    /// The end.
    Summary { v: u32, summary: ReplayedSummary },
}

/// A commit of a replay. `branch` is `null` for one that moved a branch or tag, or names a purge.
#[derive(Serialize)]
pub(crate) struct ReplayedCommit<'a> {
    pub(crate) id: u64,
    pub(crate) time: String,
    pub(crate) branch: Option<&'a str>,
    pub(crate) message: Option<&'a str>,
    pub(crate) folder: Option<String>,
    pub(crate) added: u32,
    pub(crate) superseded: u32,
    pub(crate) deleted: u32,
}

/// A search as it was noted down, in `id`, and made `again`, or why it could not be.
#[derive(Serialize)]
pub(crate) struct ReplayedSearch<'a> {
    pub(crate) id: u64,
    pub(crate) time: String,
    pub(crate) asked_at: String,
    pub(crate) request: Value,
    pub(crate) as_of: u64,
    pub(crate) mode: String,
    pub(crate) total: u64,
    pub(crate) total_relation: String,
    pub(crate) hits: Vec<ReplayedHit>,
    pub(crate) again: Option<ReplayedAgain<'a>>,
    pub(crate) error: Option<ReplayedError>,
    pub(crate) same: bool,
    pub(crate) approximate: bool,
    pub(crate) differences: Vec<ReplayedDifference<'a>>,
}

/// A hit that was noted down.
#[derive(Serialize)]
pub(crate) struct ReplayedHit {
    pub(crate) frame_id: u64,
    pub(crate) score: f32,
}

/// What a search finds that is made again.
#[derive(Serialize)]
pub(crate) struct ReplayedAgain<'a> {
    pub(crate) as_of: u64,
    pub(crate) mode: String,
    pub(crate) total: u64,
    pub(crate) total_relation: String,
    pub(crate) hits: Vec<AgainHit<'a>>,
}

/// One hit of it.
#[derive(Serialize)]
pub(crate) struct AgainHit<'a> {
    pub(crate) rank: usize,
    pub(crate) frame_id: u64,
    pub(crate) uri: Option<&'a str>,
    pub(crate) score: f32,
}

/// Why a search could not be made again.
#[derive(Serialize)]
pub(crate) struct ReplayedError {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

/// A difference. `change` is `missing`, `new`, `version` (`by` is the frame that is found), `moved`, `score`, `mode` or
/// `total`; `then` and `now` belong to the last three.
#[derive(Default, Serialize)]
pub(crate) struct ReplayedDifference<'a> {
    pub(crate) change: &'static str,
    pub(crate) frame_id: Option<u64>,
    pub(crate) uri: Option<&'a str>,
    pub(crate) by: Option<u64>,
    pub(crate) rank_then: Option<usize>,
    pub(crate) rank_now: Option<usize>,
    pub(crate) then: Option<Value>,
    pub(crate) now: Option<Value>,
}

/// How many steps there were, how many searches found something else or could not be made again, and how many entries could
/// not be read.
#[derive(Serialize)]
pub(crate) struct ReplayedSummary {
    pub(crate) commits: u64,
    pub(crate) searches: u64,
    pub(crate) different: u64,
    pub(crate) failed: u64,
}

/// `mv2 audit`.
#[derive(Serialize)]
pub(crate) struct Audit<'a> {
    pub(crate) v: u32,
    pub(crate) query: &'a str,
    pub(crate) mode: String,
    pub(crate) as_of: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<&'a str>,
    pub(crate) hits: Vec<AuditHit<'a>>,
}

/// A document that is found. `known_since` is the time of `commit`, which put this version; `versions` are all that there were under its uri,
/// oldest first.
#[derive(Serialize)]
pub(crate) struct AuditHit<'a> {
    pub(crate) rank: usize,
    pub(crate) frame_id: u64,
    pub(crate) uri: Option<&'a str>,
    pub(crate) title: Option<&'a str>,
    pub(crate) text: &'a str,
    pub(crate) score: f32,
    pub(crate) timestamp: String,
    pub(crate) commit: u64,
    pub(crate) known_since: String,
    pub(crate) versions: Vec<AuditVersion<'a>>,
}

/// A version. `rank` is where the query found it at its `commit`, `null` if not among the first 100; `end` is `null` while it stands.
#[derive(Serialize)]
pub(crate) struct AuditVersion<'a> {
    pub(crate) frame_id: u64,
    pub(crate) commit: u64,
    pub(crate) time: String,
    pub(crate) end: Option<AuditEnd>,
    pub(crate) rank: Option<usize>,
    pub(crate) text: &'a str,
}

/// The commit from which on a version was not seen any more, and the frame that took its place, `null` if it was deleted.
#[derive(Serialize)]
pub(crate) struct AuditEnd {
    pub(crate) commit: u64,
    pub(crate) time: String,
    pub(crate) by: Option<u64>,
}
