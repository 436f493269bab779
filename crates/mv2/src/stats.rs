//! Figures of a memory.

use std::collections::BTreeMap;

use mv2_format::SegmentKind;

/// Figures of a memory at one commit, and of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames that were ever committed, superseded and deleted ones included.
    pub frame_count: u64,
    /// Frames that are visible.
    pub active_frame_count: u64,
    /// Commits.
    pub commit_count: u64,
    /// Bytes of the documents of all frames ever committed.
    pub payload_bytes: u64,
    /// Length of the file.
    pub size_bytes: u64,
    /// Bytes of the file that are in use.
    pub live_bytes: u64,
    /// Bytes of the file that nothing refers to any more.
    pub dead_bytes: u64,
    /// Length of the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes of the write-ahead log that hold commits which are not folded into segments.
    pub wal_used_bytes: u64,
    /// Frames in the write-ahead log.
    pub tail_frame_count: u64,
    /// Whether there is a lexical segment. A small memory is searched without one.
    pub has_lex_index: bool,
    /// Live segments by kind.
    pub segments: BTreeMap<String, u64>,
}

impl From<mv2_store::Stats> for Stats {
    fn from(stats: mv2_store::Stats) -> Self {
        Self {
            frame_count: stats.frames_total,
            active_frame_count: stats.frames,
            commit_count: stats.commits,
            payload_bytes: stats.payload_bytes,
            size_bytes: stats.file_bytes,
            live_bytes: stats.live_bytes,
            dead_bytes: stats.dead_bytes,
            wal_bytes: stats.wal_bytes,
            wal_used_bytes: stats.wal_used_bytes,
            tail_frame_count: stats.tail_frames,
            has_lex_index: stats.segments.contains_key(&SegmentKind::LEX.name()),
            segments: stats.segments,
        }
    }
}
