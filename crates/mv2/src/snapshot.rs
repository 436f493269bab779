//! The memory as it was right after one commit.

use std::fmt;
use std::sync::Arc;

use mv2_format::{CommitId, Frame, FrameId, FrameMeta, Timestamp};
use mv2_store::{Changes, Commit, PurgeRecord, Version};

use crate::context::{Context, ContextRequest};
use crate::error::{Error, Result};
use crate::indexes::Indexes;
use crate::search::{SearchRequest, SearchResponse};
use crate::selector::Selector;
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
    pub(crate) inner: mv2_store::Snapshot,
    indexes: Arc<Indexes>,
}

impl Snapshot {
    pub(crate) fn new(inner: mv2_store::Snapshot, indexes: Arc<Indexes>) -> Self {
        Self { inner, indexes }
    }

    pub(crate) fn inner(&self) -> &mv2_store::Snapshot {
        &self.inner
    }

    /// The commit that is seen; 0 if nothing was committed yet.
    pub fn commit_id(&self) -> CommitId {
        self.inner.commit_id()
    }

    /// The memory at another commit, mostly one of the past: every read of the snapshot answers as it did when that commit
    /// was the newest. What was put later is not there; what was superseded or deleted later is. It may be a commit of any
    /// branch.
    ///
    /// Costs the same for any commit, whatever the size of the memory.
    ///
    /// # Errors
    /// `no_such_commit` for one that does not exist, or did not when this snapshot was taken; `no_memory_at_commit` for one that
    /// moved a branch or tag; `no_such_branch`, `no_such_tag`; `unknown_selector` if no branch or tag has the name,
    /// `ambiguous_selector` if both have it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, PutOptions, Selector};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// let at = || PutOptions::builder().uri("capital.md").build();
    /// mem.put_bytes_with_options(b"The capital is Bonn.", at())?;
    /// let bonn = mem.commit()?.unwrap();
    /// mem.put_bytes_with_options(b"The capital is Berlin.", at())?;
    /// mem.commit()?;
    /// let newest = mem.snapshot()?;
    /// for past in [Selector::Commit(bonn.id), Selector::Time(bonn.time), Selector::Head.back(1)] {
    ///     let then = newest.at(past)?;
    ///     let frame = then.frame_by_uri("capital.md")?.id;
    ///     assert_eq!(then.frame_text_by_id(frame)?, "The capital is Bonn.");
    /// }
    /// assert_eq!(newest.at(0)?.stats()?.active_frame_count, 0);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn at(&self, selector: impl Into<Selector>) -> Result<Self> {
        let inner = selector.into().resolve(&self.inner)?;
        Ok(Self::new(inner, Arc::clone(&self.indexes)))
    }

    /// What a request asks to be read at: a commit, and at the most a time.
    fn at_request(&self, at: &Option<Selector>, at_timestamp: Option<Timestamp>) -> Result<Self> {
        let snapshot = match at {
            Some(selector) => self.at(selector.clone())?,
            None => self.clone(),
        };
        match at_timestamp {
            Some(time) => snapshot.at(time),
            None => Ok(snapshot),
        }
    }

    /// Searches the visible frames.
    ///
    /// # Errors
    /// `no_such_commit` if the request names one that is not there; `invalid_range` if the filter's `since` is after its `until`; `invalid_cursor`; `index_unusable` if
    /// an index is damaged; `unsupported` in a build without `lex`.
    pub fn search(&self, request: impl Into<SearchRequest>) -> Result<SearchResponse> {
        self.search_asked_at(request.into(), self.now())
    }

    /// The same with another present time, to which `2h ago` is relative.
    pub(crate) fn search_asked_at(
        &self,
        request: SearchRequest,
        now: Timestamp,
    ) -> Result<SearchResponse> {
        #[cfg(feature = "lex")]
        {
            let mut snapshot = self.at_request(&request.at, request.at_timestamp)?;
            let here = request.at.is_none() && request.at_timestamp.is_none();
            if let (true, Some(cursor)) = (here, &request.cursor) {
                // The pages of one list belong to one commit, also if others commit in the meantime.
                let commit = cursor.parse::<crate::SearchCursor>()?.commit();
                if commit < self.commit_id() {
                    let then = self.at(commit)?;
                    // One of another branch is for another question.
                    if then.branch() == self.branch() {
                        snapshot = then;
                    }
                }
            }
            crate::ask::search(&snapshot.inner, &snapshot.indexes, request, now)
        }
        #[cfg(not(feature = "lex"))]
        {
            drop((request, now));
            Err(Error::NoIndex { index: "lex" })
        }
    }

    /// The present time, to which `2h ago` is relative.
    pub(crate) fn now(&self) -> Timestamp {
        self.indexes.temporal.now()
    }

    /// Collects the best passages for a prompt: of each of the best documents the part that answers the
    /// query best, with where it stands, while a budget of tokens lasts. What was said is not repeated.
    ///
    /// # Errors
    /// As for [`search`](Self::search); `corrupt` if a document cannot be read.
    pub fn context(&self, request: impl Into<ContextRequest>) -> Result<Context> {
        self.context_asked_at(request.into(), self.now(), &mut |_, _| Ok(()))
    }

    /// The same with another present time. `searched` hears of the search that it makes.
    pub(crate) fn context_asked_at(
        &self,
        request: ContextRequest,
        now: Timestamp,
        searched: &mut dyn FnMut(&SearchRequest, &SearchResponse) -> Result<()>,
    ) -> Result<Context> {
        #[cfg(feature = "lex")]
        {
            let snapshot = self.at_request(&request.at, request.at_timestamp)?;
            crate::context::pack(&snapshot, request, now, searched)
        }
        #[cfg(not(feature = "lex"))]
        {
            drop((request, now, searched));
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
        let snapshot = self.at_request(&query.at, query.at_timestamp)?;
        self.indexes.temporal.timeline(&snapshot.inner, &query)
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
    pub(crate) fn text_head(&self, id: FrameId, max_bytes: u64) -> Result<String> {
        Ok(text::take_text(&mut self.inner.frame_head(id, max_bytes)?))
    }

    /// What is known of the visible frames, in the order in which they were put.
    pub fn frames(&self) -> impl Iterator<Item = Result<FrameMeta>> + '_ {
        let all = FrameId::default()..self.inner.end_frame();
        self.inner.metas(all).map(|meta| Ok(meta?))
    }

    /// The newest commit of this snapshot's history that was there at a time; 0 before the first one. [`at`](Self::at) a time is the
    /// same, unless the branch was rewound since.
    ///
    /// # Errors
    /// `corrupt` if a part of the log is damaged.
    pub fn commit_at(&self, time: impl Into<Timestamp>) -> Result<CommitId> {
        Ok(self.inner.commit_at(time.into())?)
    }

    /// The commits up to this one, newest first: of those that a merge brought the merge alone.
    /// [`ancestry`](Self::ancestry) has all of them.
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

    /// What lies between another commit, mostly an earlier one, and this one, frame by frame. What came and went in between is left out; a document
    /// that was written anew several times is one pair of its first and its last frame. The other commit may be of any branch.
    ///
    /// # Errors
    /// `no_such_commit`, `no_memory_at_commit`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, PutOptions};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// for text in ["draft", "better", "final"] {
    ///     mem.put_bytes_with_options(text.as_bytes(), PutOptions::builder().uri("a").build())?;
    ///     mem.commit()?;
    /// }
    /// let changes = mem.snapshot()?.changes_since(1)?;
    /// assert_eq!(changes.superseded, [(0.into(), 2.into())]);
    /// assert_eq!(mem.snapshot()?.versions("a")?.len(), 3);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn changes_since(&self, earlier: impl Into<CommitId>) -> Result<Changes> {
        Ok(self.inner.changes_since(earlier.into())?)
    }

    /// The purges of the file up to this commit, oldest first.
    ///
    /// # Errors
    /// `corrupt` if a part of the file that holds them is damaged.
    pub fn purges(&self) -> Result<Vec<PurgeRecord>> {
        Ok(self.inner.purges()?)
    }

    /// The versions of a document that have been visible under a uri up to this commit, oldest first. Each can be read
    /// [at](Self::at) the commit that put it.
    ///
    /// # Errors
    /// `no_such_uri` if there never was one.
    pub fn versions(&self, uri: &str) -> Result<Vec<Version>> {
        let versions = self.inner.versions(uri)?;
        match versions.is_empty() {
            true => Err(Error::NoSuchUri {
                uri: uri.to_owned(),
            }),
            false => Ok(versions),
        }
    }

    /// Figures: of frames and commits those of this commit, of the file as it is now. At a commit of the past, what is known of
    /// its frames is walked through.
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
            .field("branch", &self.branch())
            .finish_non_exhaustive()
    }
}
