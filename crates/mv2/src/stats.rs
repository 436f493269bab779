//! Figures of a memory.

use std::collections::BTreeMap;

use mv2_format::SegmentKind;

/// Dead bytes below which nobody needs to be told of them.
const MIN_DEAD_BYTES: u64 = 1 << 20;

/// Figures of a memory at one commit, and of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames that were ever committed, superseded, deleted and purged ones included.
    pub frame_count: u64,
    /// Frames of which nothing is left, because they were purged.
    pub purged_frame_count: u64,
    /// Frames that are visible.
    pub active_frame_count: u64,
    /// Commits.
    pub commit_count: u64,
    /// Bytes of the documents of all frames ever committed, but for those that were purged.
    pub payload_bytes: u64,
    /// Length of the file.
    pub size_bytes: u64,
    /// Bytes of the file that are in use.
    pub live_bytes: u64,
    /// Bytes of the file that nothing refers to any more.
    pub dead_bytes: u64,
    /// Length of the write-ahead log; 0 in a sealed file.
    pub wal_bytes: u64,
    /// Bytes of the write-ahead log that hold commits which are not folded into segments.
    pub wal_used_bytes: u64,
    /// Frames in the write-ahead log.
    pub tail_frame_count: u64,
    /// Whether the file is sealed: read-only until it is unsealed.
    pub sealed: bool,
    /// Whether there is a lexical segment. A small memory is searched without one.
    pub has_lex_index: bool,
    /// What makes the memory's vectors: a model's name, or `the caller`. `None` if it has none.
    pub embedder: Option<String>,
    /// Live segments by kind.
    pub segments: BTreeMap<String, u64>,
}

impl Stats {
    /// Whether a vacuum gives back much: more than 1 MiB is dead, and more than half of what is in use without the
    /// write-ahead log, whose length is fixed.
    ///
    /// Dead bytes are no damage and make nothing slower; appending instead of overwriting leaves them.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::Memvid;
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// if mem.stats()?.vacuum_pays() {
    ///     mem.vacuum()?;
    /// }
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn vacuum_pays(&self) -> bool {
        let in_use = self.live_bytes.saturating_sub(self.wal_bytes);
        self.dead_bytes > MIN_DEAD_BYTES && self.dead_bytes > in_use / 2
    }
}

impl From<mv2_store::Stats> for Stats {
    fn from(stats: mv2_store::Stats) -> Self {
        Self {
            frame_count: stats.frames_total,
            purged_frame_count: stats.purged,
            active_frame_count: stats.frames,
            commit_count: stats.commits,
            payload_bytes: stats.payload_bytes,
            size_bytes: stats.file_bytes,
            live_bytes: stats.live_bytes,
            dead_bytes: stats.dead_bytes,
            wal_bytes: stats.wal_bytes,
            wal_used_bytes: stats.wal_used_bytes,
            tail_frame_count: stats.tail_frames,
            sealed: stats.wal_bytes == 0,
            has_lex_index: stats.segments.contains_key(&SegmentKind::LEX.name()),
            embedder: None,
            segments: stats.segments,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vacuum_pays_from_a_third_of_the_file_on_and_not_for_little() {
        let stats = |live_bytes, dead_bytes| Stats {
            live_bytes,
            dead_bytes,
            wal_bytes: 1 << 20,
            ..Stats::default()
        };
        assert!(stats(9 << 20, (4 << 20) + 1).vacuum_pays());
        assert!(!stats(9 << 20, 4 << 20).vacuum_pays());
        assert!(stats(1 << 20, (1 << 20) + 1).vacuum_pays());
        assert!(!stats(1 << 20, 1 << 20).vacuum_pays());
        assert!(!Stats::default().vacuum_pays());
    }
}
