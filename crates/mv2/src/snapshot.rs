//! The memory as it was right after one commit.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "lex")]
use mv2_format::Timestamp;
use mv2_format::{CommitId, Frame, FrameId, FrameMeta};
use mv2_store::{Changes, Commit};

use crate::context::{Context, ContextRequest};
use crate::error::{Error, Result};
use crate::indexes::Indexes;
use crate::search::{SearchRequest, SearchResponse};
use crate::stats::Stats;
use crate::text;
use crate::timeline::{Timeline, TimelineQuery};

/// The memory as it was right after one commit. Commits that follow do not change it.
///
/// Cheap to take and to clone; can be sent to and shared by threads.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("notes.mv2");
/// use mv2::Memvid;
///
/// let mut mem = Memvid::create(&path)?;
/// mem.put_bytes(b"first")?;
/// mem.commit()?;
/// let before = mem.snapshot()?;
/// mem.put_bytes(b"second")?;
/// mem.commit()?;
/// assert_eq!(before.stats()?.active_frame_count, 1);
/// assert_eq!(mem.stats()?.active_frame_count, 2);
/// # Ok::<(), mv2::Error>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    inner: mv2_store::Snapshot,
    indexes: Arc<Indexes>,
}

impl Snapshot {
    pub(crate) fn new(inner: mv2_store::Snapshot, indexes: Arc<Indexes>) -> Self {
        Self { inner, indexes }
    }

    /// The commit that is seen; 0 if nothing was committed yet.
    pub fn commit_id(&self) -> CommitId {
        self.inner.commit_id()
    }

    /// Searches the visible frames.
    ///
    /// # Errors
    /// `invalid_range` if the filter's `since` is after its `until`; `invalid_cursor`; `index_unusable` if
    /// an index is damaged; `unsupported` in a build without `lex`.
    pub fn search(&self, request: impl Into<SearchRequest>) -> Result<SearchResponse> {
        let request = request.into();
        #[cfg(feature = "lex")]
        return crate::ask::search(&self.inner, &self.indexes, request);
        #[cfg(not(feature = "lex"))]
        {
            drop(request);
            Err(Error::NoIndex { index: "lex" })
        }
    }

    /// The present time, to which `2h ago` is relative.
    #[cfg(feature = "lex")]
    pub(crate) fn now(&self) -> Timestamp {
        self.indexes.temporal.now()
    }

    /// Collects the best passages for a prompt: of each of the best documents the part that answers the
    /// query best, with where it stands, while a budget of tokens lasts. What was said is not repeated.
    ///
    /// # Errors
    /// As for [`search`](Self::search); `corrupt` if a document cannot be read.
    pub fn context(&self, request: impl Into<ContextRequest>) -> Result<Context> {
        let request = request.into();
        #[cfg(feature = "lex")]
        return crate::context::pack(self, request);
        #[cfg(not(feature = "lex"))]
        {
            drop(request);
            Err(Error::NoIndex { index: "lex" })
        }
    }

    /// Lists visible frames in the order of their event times, newest first or oldest first, a page
    /// at a time.
    ///
    /// Costs a bisection in each segment and a step for each frame, whatever the size of the memory.
    ///
    /// # Errors
    /// `invalid_range` if `since` is after `until`; `invalid_cursor` for a text that is no cursor and
    /// for a cursor of another query; `index_unusable` if the index is damaged.
    pub fn timeline(&self, query: TimelineQuery) -> Result<Timeline> {
        self.indexes.temporal.timeline(&self.inner, &query)
    }

    /// What is known of a visible frame, without its document.
    ///
    /// # Errors
    /// `no_such_frame`; `frame_dead` if it was superseded or deleted.
    pub fn frame_by_id(&self, id: impl Into<FrameId>) -> Result<FrameMeta> {
        Ok(self.inner.meta(id.into())?)
    }

    /// What is known of the visible frame under a uri, without its document.
    ///
    /// # Errors
    /// `no_such_uri`.
    pub fn frame_by_uri(&self, uri: &str) -> Result<FrameMeta> {
        let found = self.inner.find_uri(uri)?;
        let id = found.ok_or_else(|| Error::NoSuchUri {
            uri: uri.to_owned(),
        })?;
        self.frame_by_id(id)
    }

    /// A visible frame with its document.
    ///
    /// # Errors
    /// As for [`frame_by_id`](Self::frame_by_id).
    pub fn frame(&self, id: impl Into<FrameId>) -> Result<Frame> {
        Ok(self.inner.frame(id.into())?)
    }

    /// The document of a visible frame, byte for byte as it was put.
    ///
    /// # Errors
    /// As for [`frame_by_id`](Self::frame_by_id).
    pub fn frame_canonical_payload(&self, id: impl Into<FrameId>) -> Result<Vec<u8>> {
        Ok(self.frame(id)?.payload)
    }

    /// Calls `each` with the pieces of a visible frame's document in order, so that a large one is never in memory as a whole.
    /// If a part of the file is damaged, the pieces before it have been handed out by then.
    ///
    /// # Errors
    /// As for [`frame_by_id`](Self::frame_by_id); `corrupt`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::Memvid;
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// let id = mem.put_bytes(b"remember the milk")?;
    /// mem.commit()?;
    /// let mut bytes = 0;
    /// mem.snapshot()?.read_payload(id, &mut |piece| bytes += piece.len())?;
    /// assert_eq!(bytes, 17);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn read_payload(&self, id: impl Into<FrameId>, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        Ok(self.inner.read_payload(id.into(), each)?)
    }

    /// The text of a visible frame: what a search sees of it, without a byte order mark. Empty for a
    /// document that is not text and has no search text.
    ///
    /// # Errors
    /// As for [`frame_by_id`](Self::frame_by_id).
    pub fn frame_text_by_id(&self, id: impl Into<FrameId>) -> Result<String> {
        Ok(text::take_text(&mut self.frame(id)?))
    }

    /// The first bytes of a visible frame's text, about so many of them.
    #[cfg(feature = "lex")]
    pub(crate) fn text_head(&self, id: FrameId, max_bytes: u64) -> Result<String> {
        Ok(text::take_text(&mut self.inner.frame_head(id, max_bytes)?))
    }

    /// What is known of the visible frames, in the order in which they were put.
    pub fn frames(&self) -> impl Iterator<Item = Result<FrameMeta>> + '_ {
        let all = FrameId::default()..self.inner.end_frame();
        self.inner.metas(all).map(|meta| Ok(meta?))
    }

    /// The commits up to this one, newest first.
    pub fn log(&self) -> impl Iterator<Item = Result<Commit>> + '_ {
        self.inner.log().map(|commit| Ok(commit?))
    }

    /// One commit.
    ///
    /// # Errors
    /// `no_such_commit`.
    pub fn commit(&self, id: impl Into<CommitId>) -> Result<Commit> {
        Ok(self.inner.commit(id.into())?)
    }

    /// What a commit changed, frame by frame.
    ///
    /// # Errors
    /// `no_such_commit`.
    pub fn changes(&self, id: impl Into<CommitId>) -> Result<Changes> {
        Ok(self.inner.changes(id.into())?)
    }

    /// Figures.
    ///
    /// # Errors
    /// `corrupt` if a part of the file that holds them is damaged.
    pub fn stats(&self) -> Result<Stats> {
        let stats = Stats::from(self.inner.stats()?);
        #[cfg(feature = "vec")]
        let stats = Stats {
            embedder: crate::vectors::Space::of(&self.inner)?.map(|space| space.embedder_name()),
            ..stats
        };
        Ok(stats)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("commit", &self.commit_id())
            .finish_non_exhaustive()
    }
}
