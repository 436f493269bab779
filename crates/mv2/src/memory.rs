//! The handle of a memory file: puts, commits, reads and searches.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Arc;

use mv2_format::index::Effort;
use mv2_format::{CommitId, Frame, FrameId, FrameMeta};
use mv2_store::{
    Changes, Commit, CommitOptions, CreateOptions, PurgeSelection, Purged, PutStatus, Store,
    VerifyReport,
};

use crate::audit::Audit;
use crate::context::{Context, ContextRequest};
use crate::error::{Error, Result};
use crate::housekeeping::Housekeeper;
use crate::indexes::Indexes;
use crate::journal::{Journal, RecordedSearch};
use crate::options::OpenOptions;
use crate::purge::{PurgePlan, PurgeRequest};
use crate::put::{PutOptions, PutOutcome};
use crate::replay::{Replay, ReplayOptions};
use crate::rewrite::Rewritten;
use crate::search::{SearchRequest, SearchResponse};
use crate::selector::Selector;
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::timeline::{Timeline, TimelineQuery};

/// A memory file, open.
///
/// Each read sees the newest commit of any process, on the [branch](Self::branch) of the handle; take a [`snapshot`](Self::snapshot) for reads
/// that belong together. The first write of a batch takes the write lock, which
/// [`commit`](Self::commit), [`rollback`](Self::rollback) and drop release; what was not committed
/// by then is forgotten.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("notes.mv2");
/// use mv2::{Memvid, PutOptions};
///
/// let mut mem = Memvid::create(&path)?;
/// let options = PutOptions::builder().uri("todo.md").title("To do").build();
/// mem.put_bytes_with_options(b"remember the milk", options)?;
/// mem.commit()?;
/// assert_eq!(mem.frame_by_uri("todo.md")?.title.as_deref(), Some("To do"));
/// # Ok::<(), mv2::Error>(())
/// ```
pub struct Memvid {
    pub(crate) store: Store,
    /// How a log is made where there is none: by `unseal`.
    create: CreateOptions,
    /// Frames that this handle put since it took the lock.
    pending: Option<Range<FrameId>>,
    pub(crate) housekeeper: Housekeeper,
    /// Where searches are noted down, if they are.
    journal: Option<Journal>,
    indexes: Arc<Indexes>,
    #[cfg(feature = "vec")]
    embedding: crate::embedding::Embedding,
}

/// Open
impl Memvid {
    /// Makes a new file and opens it.
    ///
    /// # Errors
    /// `already_exists` if there is something at the path.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::Memvid;
    ///
    /// Memvid::create(&path)?;
    /// assert_eq!(Memvid::create(&path).unwrap_err().kind(), "already_exists");
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().create(path)
    }

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `not_found`, `not_a_file`, `not_mv2`, `memvid2`, `unsupported_version`, `corrupt`, ...
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().open(path)
    }

    /// Opens a file for reading. Writes on the handle fail with `read_only`.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().open_read_only(path)
    }

    /// Options for making or opening a file.
    pub fn builder() -> OpenOptions {
        OpenOptions::new()
    }

    pub(crate) fn from_store(
        store: Store,
        create: CreateOptions,
        indexes: Indexes,
        housekeeper: Housekeeper,
        journal: Option<Journal>,
        #[cfg(feature = "vec")] embedding: crate::embedding::Embedding,
    ) -> Self {
        Self {
            indexes: Arc::new(indexes),
            #[cfg(feature = "vec")]
            embedding,
            store,
            create,
            pending: None,
            housekeeper,
            journal,
        }
    }

    /// The path by which the file was opened.
    pub fn path(&self) -> &Path {
        self.store.path()
    }
}

/// Write
impl Memvid {
    /// Puts a document about which nothing else is known.
    ///
    /// # Errors
    /// `locked` if another writer does not finish in time, `read_only`, `too_large`, ...
    pub fn put_bytes(&mut self, payload: &[u8]) -> Result<PutOutcome> {
        self.put_bytes_with_options(payload, PutOptions::default())
    }

    /// Puts a document.
    ///
    /// Under a uri that exists it takes the place of the document there; if both are the same, nothing
    /// happens and the outcome says [`PutStatus::Unchanged`].
    ///
    /// # Errors
    /// As for [`put_bytes`](Self::put_bytes).
    pub fn put_bytes_with_options(
        &mut self,
        payload: &[u8],
        options: PutOptions,
    ) -> Result<PutOutcome> {
        self.put_document(payload.to_vec(), options)
    }

    /// Puts a document that is handed over, so that a large one is not copied.
    ///
    /// # Errors
    /// As for [`put_bytes`](Self::put_bytes).
    pub fn put_document(&mut self, payload: Vec<u8>, options: PutOptions) -> Result<PutOutcome> {
        let frame = options.into_frame(payload);
        #[cfg(feature = "vec")]
        return self.put_embedded(frame, |store, frame| store.put(frame));
        #[cfg(not(feature = "vec"))]
        {
            let outcome = self.store.put(frame)?;
            Ok(self.note(outcome))
        }
    }

    /// Puts a document with a vector of your own, for which no embedder is needed: the first one decides how many dimensions
    /// the memory's vectors have. Documents without one can stand beside it. A search takes a vector in
    /// [`SearchRequest::vector`].
    ///
    /// # Errors
    /// `invalid_vector` for another number of dimensions, numbers that are not finite, and zeros by cosine;
    /// `embedder_mismatch` if an embedder made the memory's vectors; as for [`put_bytes`](Self::put_bytes).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, PutOptions, SearchRequest};
    ///
    /// let mut mem = Memvid::builder().no_embedder().create(&path)?;
    /// mem.put_with_embedding(b"a red apple", PutOptions::default(), &[1.0, 0.1, 0.0])?;
    /// mem.put_with_embedding(b"a blue sky", PutOptions::default(), &[0.0, 0.2, 1.0])?;
    /// mem.commit()?;
    /// let request = SearchRequest { vector: Some(vec![0.1, 0.0, 1.0]), ..SearchRequest::default() };
    /// assert_eq!(mem.search(request)?.hits[0].frame_id.get(), 1);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    #[cfg(feature = "vec")]
    pub fn put_with_embedding(
        &mut self,
        payload: &[u8],
        options: PutOptions,
        vector: &[f32],
    ) -> Result<PutOutcome> {
        self.begin()?;
        self.embedding.space_for(&mut self.store, vector)?;
        let outcome = self.store.put(options.into_frame(payload.to_vec()))?;
        if outcome.status != PutStatus::Unchanged {
            let len = (payload.len() as u64).min(u64::from(u32::MAX));
            self.embedding
                .attach_vector(&mut self.store, outcome.frame, len, vector)?;
        }
        Ok(self.note(outcome))
    }

    /// Puts a frame and gives it the vectors of its text.
    #[cfg(feature = "vec")]
    fn put_embedded(
        &mut self,
        frame: mv2_store::NewFrame,
        put: impl FnOnce(&mut Store, mv2_store::NewFrame) -> mv2_store::Result<mv2_store::PutOutcome>,
    ) -> Result<PutOutcome> {
        self.begin()?;
        let text = self.embedding.text_of(&self.store, &frame)?;
        let outcome = put(&mut self.store, frame)?;
        if let Some(text) = text
            && outcome.status != PutStatus::Unchanged
        {
            self.embedding
                .attach_text(&mut self.store, outcome.frame, text)?;
        }
        Ok(self.note(outcome))
    }

    /// Gives documents the vectors of this handle's embedder: all of them if another one made those that are there and this
    /// one was [named](OpenOptions::embedder), else those that have none. Older snapshots keep what they had. Call [`commit`](Self::commit) afterwards. Returns how many
    /// documents got vectors; `progress` hears how far it is, and of how many.
    ///
    /// # Errors
    /// `no_embedder`; `embedder_mismatch` if another one made the vectors and none was named; `embedding_failed`; as for
    /// [`put_bytes`](Self::put_bytes).
    #[cfg(feature = "vec")]
    pub fn reembed(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<u64> {
        self.embedding.reembed(&mut self.store, progress)
    }

    /// Puts a new version in the place of a frame. What the options leave open, and the document if
    /// `payload` is `None`, is taken over from the old version; a search text only together with the
    /// document that it describes.
    ///
    /// # Errors
    /// `no_such_frame`; `frame_dead` if it was superseded or deleted; `not_committed` for a frame of
    /// this batch; else as for [`put_bytes`](Self::put_bytes).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, PutOptions};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// let first = mem.put_bytes(b"milk")?;
    /// mem.commit()?;
    /// let second = mem.update_frame(first, Some(b"milk and eggs".to_vec()), PutOptions::default())?;
    /// mem.commit()?;
    /// assert_eq!(mem.frame_text_by_id(second)?, "milk and eggs");
    /// assert_eq!(mem.frame_by_id(first).unwrap_err().kind(), "frame_dead");
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn update_frame(
        &mut self,
        id: impl Into<FrameId>,
        payload: Option<Vec<u8>>,
        options: PutOptions,
    ) -> Result<PutOutcome> {
        let id = id.into();
        // Under the lock nobody can change the frame between our reading and our writing.
        self.begin()?;
        self.check_committed(id)?;
        let snapshot = self.store.snapshot()?;
        let (old, payload, keeps_payload) = match payload {
            Some(payload) => (snapshot.meta(id)?, payload, false),
            None => {
                let Frame { meta, payload } = snapshot.frame(id)?;
                (meta, payload, true)
            }
        };
        let frame = options.over(old, keeps_payload).into_frame(payload);
        #[cfg(feature = "vec")]
        return self.put_embedded(frame, |store, frame| store.update(id, frame));
        #[cfg(not(feature = "vec"))]
        {
            let outcome = self.store.update(id, frame)?;
            Ok(self.note(outcome))
        }
    }

    /// Deletes a frame. It stays in the history.
    ///
    /// # Errors
    /// `no_such_frame`; `frame_dead` if it was superseded or deleted already; `locked`, `read_only`.
    pub fn delete_frame(&mut self, id: impl Into<FrameId>) -> Result<()> {
        Ok(self.store.delete(id.into())?)
    }

    /// Takes the write lock and catches up with other writers, so that what is read until the commit
    /// stays true. A put does so by itself; inside of a batch this does nothing.
    ///
    /// # Errors
    /// `locked` if another writer does not finish in time, `read_only`.
    pub fn begin(&mut self) -> Result<()> {
        Ok(self.store.begin()?)
    }

    /// Makes the batch durable and releases the lock. `None` if the batch changed nothing.
    ///
    /// When it returns, the frames survive a power loss.
    ///
    /// # Errors
    /// `disk_full`, `io`, ...: nothing of the batch is kept then, and every earlier commit is. `embedding_failed`: the batch
    /// is still open, to be tried again or [rolled back](Self::rollback).
    pub fn commit(&mut self) -> Result<Option<Commit>> {
        self.commit_options(CommitOptions::default())
    }

    /// Like [`commit`](Self::commit), with a line for the log.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn commit_with(&mut self, message: impl Into<String>) -> Result<Option<Commit>> {
        self.commit_options(CommitOptions {
            message: Some(message.into()),
            ..CommitOptions::default()
        })
    }

    /// Like [`commit`](Self::commit), for one of the many batches of an import, with a line for the log if there is one.
    ///
    /// The batch is as durable as any and is found at once, but building indexes waits: end the import with
    /// [`checkpoint`](Self::checkpoint). That writes less and leaves fewer dead bytes than commits one by one.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn commit_bulk(&mut self, message: Option<&str>) -> Result<Option<Commit>> {
        self.commit_options(CommitOptions {
            message: message.map(str::to_owned),
            bulk: true,
        })
    }

    fn commit_options(&mut self, options: CommitOptions) -> Result<Option<Commit>> {
        let bulk = options.bulk;
        #[cfg(feature = "vec")]
        self.embedding.embed_waiting(&mut self.store)?;
        let result = self.store.commit(options);
        if !self.store.in_transaction() {
            self.end_batch();
        }
        let commit = result?;
        if commit.is_some() && !bulk {
            self.housekeeper.after_commit(&mut self.store);
        }
        Ok(commit)
    }

    /// Forgets the batch and releases the lock.
    pub fn rollback(&mut self) {
        self.store.rollback();
        self.end_batch();
    }

    pub(crate) fn end_batch(&mut self) {
        self.pending = None;
        #[cfg(feature = "vec")]
        self.embedding.end_batch();
    }

    /// Turns lexical search on. It is on in every build that has the feature `lex`, so this only
    /// tells you which build you have.
    ///
    /// # Errors
    /// `unsupported` in a build without the feature.
    pub fn enable_lex(&mut self) -> Result<()> {
        if cfg!(feature = "lex") {
            Ok(())
        } else {
            Err(Error::NoIndex { index: "lex" })
        }
    }

    /// Folds the log into segments now. Commits do so by themselves when it is due.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn checkpoint(&mut self) -> Result<()> {
        self.store.checkpoint()?;
        self.housekeeper.after_commit(&mut self.store);
        Ok(())
    }

    /// Does one piece of housekeeping that is due, if there is one: joins segments, or sets apart what died, so that
    /// searches stay fast. `false` if there is nothing to do. A handle does so by itself
    /// [in the background](OpenOptions::background); this is for processes that end soon or want no thread, and leaves
    /// graphs of 20,000 vectors and more, which take a minute or longer, to the background and to
    /// [`optimize`](Self::optimize).
    ///
    /// Others read and write meanwhile. A crash loses nothing.
    ///
    /// # Errors
    /// `locked`, `read_only`, `disk_full`, `io`, ...: the memory is as it was then.
    pub fn maintain(&mut self) -> Result<bool> {
        Ok(self.store.maintain(Effort::Quick, &|| false)?)
    }

    /// Rebuilds each index as one segment, which makes searches a little faster. Others read and write meanwhile.
    ///
    /// The file grows by what is rebuilt; [`vacuum`](Self::vacuum) rebuilds as well and gives the space back.
    ///
    /// # Errors
    /// `sealed`, `locked`, `read_only`, `disk_full`, `io`, ...: the memory is as it was then.
    pub fn optimize(&mut self) -> Result<()> {
        Ok(self.store.optimize()?)
    }
}

/// Rewrite
///
/// Each of these writes a whole file: the newest commit with its history, in which frames, commits and the ranking
/// of searches are what they were. A crash leaves the old file or the new one. A new file that takes the place of
/// the old one does so at once: snapshots go on with the old one, handles of any process follow to the new one.
impl Memvid {
    /// Writes the file anew without dead bytes, with one segment for each index. History stays.
    ///
    /// Needs free space for the new file beside the old one. [`Stats::vacuum_pays`] tells when it is worth it.
    ///
    /// # Errors
    /// `cannot_replace` if the file has another hard link or is mounted on its own: then
    /// [`vacuum_to`](Self::vacuum_to) helps. `in_transaction`, `locked`, `read_only`, `corrupt`, `disk_full`, ...: the
    /// file is as it was then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, PutOptions};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// for version in 0..50 {
    ///     let options = PutOptions::builder().uri("todo.md").build();
    ///     mem.put_bytes_with_options(format!("version {version}").as_bytes(), options)?;
    ///     mem.commit()?;
    ///     mem.checkpoint()?;
    /// }
    /// let file = mem.vacuum()?;
    /// assert!(file.bytes_after < file.bytes_before);
    /// assert_eq!(mem.stats()?.commit_count, 50);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn vacuum(&mut self) -> Result<Rewritten> {
        Ok(self.store.vacuum()?.into())
    }

    /// Like [`vacuum`](Self::vacuum), into a new file; this one stays as it is. Takes no lock, so that a handle for
    /// reading can do it. The copy of a sealed file can be written.
    ///
    /// # Errors
    /// `already_exists` if there is something at the path; `corrupt`, `disk_full`, `io`, ...: there is no new file then.
    pub fn vacuum_to(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(self.store.vacuum_to(path.as_ref())?)
    }

    /// Copies the newest commit, its history included, into a new file, also while another process writes. Takes no
    /// lock, so that a handle for reading can do it. An open batch is not part of it, and the copy of a sealed file can
    /// be written.
    ///
    /// Every byte that is copied is checked, so that damage does not spread into the copy.
    ///
    /// # Errors
    /// As for [`vacuum_to`](Self::vacuum_to).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// # let copy = dir.path().join("copy.mv2");
    /// use mv2::Memvid;
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// let id = mem.put_bytes(b"remember the milk")?;
    /// mem.commit()?;
    /// mem.backup(&copy)?;
    /// assert_eq!(Memvid::open_read_only(&copy)?.frame_text_by_id(id)?, "remember the milk");
    /// assert_eq!(mem.backup(&copy).unwrap_err().kind(), "already_exists");
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(self.store.backup(path.as_ref())?)
    }

    /// Writes the file anew as densely as possible and without a log: it is read-only until [`unseal`](Self::unseal),
    /// and writes fail with `sealed`. Searches and all other reads work. A file that is sealed stays as it is.
    ///
    /// # Errors
    /// As for [`vacuum`](Self::vacuum).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::Memvid;
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// let id = mem.put_bytes(b"remember the milk")?;
    /// mem.commit()?;
    /// mem.seal()?;
    /// assert_eq!(mem.frame_text_by_id(id)?, "remember the milk");
    /// assert_eq!(mem.put_bytes(b"and eggs").unwrap_err().kind(), "sealed");
    /// mem.unseal()?;
    /// mem.put_bytes(b"and eggs")?;
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn seal(&mut self) -> Result<Rewritten> {
        if self.is_sealed()? {
            return self.unchanged();
        }
        Ok(self.store.seal()?.into())
    }

    /// Like [`seal`](Self::seal), and leaves out the positions of words, which makes the file smaller by about a fifth of its
    /// text. Each search gives the same answer; one for a quoted phrase takes longer, as it reads the documents that have
    /// all of its words.
    ///
    /// # Errors
    /// As for [`vacuum`](Self::vacuum). `sealed` if the file is sealed already: unseal it first.
    #[cfg(feature = "lex")]
    pub fn seal_small(&mut self) -> Result<Rewritten> {
        if self.is_sealed()? {
            return Err(Error::Store(mv2_store::Error::Sealed {
                path: self.path().to_owned(),
            }));
        }
        Ok(self.store.seal_as(small_indexes())?.into())
    }

    /// Gives a sealed file a log again, so that it can be written; its size is that of
    /// [`OpenOptions::wal_bytes`]. A file that is not sealed stays as it is.
    ///
    /// # Errors
    /// As for [`vacuum`](Self::vacuum).
    pub fn unseal(&mut self) -> Result<Rewritten> {
        if !self.is_sealed()? {
            return self.unchanged();
        }
        Ok(self.store.unseal(&self.create)?.into())
    }

    /// What a [purge](Self::purge) of a request would take. Looks at what is known of every frame of the file, dead or alive.
    ///
    /// # Errors
    /// `empty_purge` if the request says nothing; `no_such_frame`, `no_such_commit`, `invalid_range`.
    pub fn plan_purge(&self, request: &PurgeRequest) -> Result<PurgePlan> {
        crate::purge::plan(&self.store.snapshot()?, request)
    }

    /// Forgets: takes frames out of the file and of all its past, and writes the file anew without them. Nothing of what they
    /// held is left in it: documents, uris, titles, tags, metadata, vectors, words in indexes, hashes, and messages of commits that put or
    /// ended them. Their ids stay as holes, and a commit says that a purge happened. **This cannot be undone.** `None` if
    /// there is nothing that the request names.
    ///
    /// A sealed file stays sealed. What lies outside of the file is out of reach: backups and other copies, snapshots of the file
    /// system, the blocks of the old file, which the disk overwrites when it needs them, and readers that have the old file
    /// open, which keep it until they close it.
    ///
    /// # Errors
    /// As for [`plan_purge`](Self::plan_purge); `cannot_purge` if the file has an index that this build does not know;
    /// `cannot_replace`, `in_transaction`, `locked`, `read_only`, `corrupt`, `disk_full`, ...: the file is as it was then.
    pub fn purge(&mut self, request: &PurgeRequest) -> Result<Option<Purged>> {
        let select = |now: &mv2_store::Snapshot| {
            let metas = crate::purge::select(now, request)?;
            let frames = metas.iter().map(|meta| meta.id).collect();
            let entries = crate::journal::telling_of(now, &frames)?;
            Ok::<_, Error>(PurgeSelection { frames, entries })
        };
        #[cfg(feature = "lex")]
        if self.is_sealed()? && crate::lexical::is_small(&self.store.snapshot()?)? {
            return self.store.purge_as(small_indexes(), select);
        }
        let purged = self.store.purge(select)?;
        if purged.is_some() {
            self.housekeeper.after_commit(&mut self.store);
        }
        Ok(purged)
    }

    /// Whether the file is sealed now, by whichever process.
    ///
    /// # Errors
    /// As for [`snapshot`](Self::snapshot).
    pub fn is_sealed(&self) -> Result<bool> {
        // Looks at the path: another process may have put another file there.
        self.store.snapshot()?;
        Ok(self.store.is_sealed())
    }

    fn unchanged(&self) -> Result<Rewritten> {
        let bytes = self.stats()?.size_bytes;
        Ok((bytes, bytes).into())
    }
}

/// Read
impl Memvid {
    /// The newest commit of any process, pinned.
    ///
    /// # Errors
    /// `corrupt`, `io`, ... if the file cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(
            self.store.snapshot()?,
            Arc::clone(&self.indexes),
        ))
    }

    /// The memory at a commit of the past. See [`Snapshot::at`].
    ///
    /// # Errors
    /// `no_such_commit`, or as for [`snapshot`](Self::snapshot).
    ///
    #[cfg_attr(feature = "lex", doc = "```")]
    #[cfg_attr(not(feature = "lex"), doc = "```no_run")]
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, Selector};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// let note = mem.put_bytes(b"The launch is in May.")?;
    /// mem.commit()?;
    /// mem.delete_frame(note)?;
    /// mem.commit()?;
    /// assert_eq!(mem.search("launch")?.hits.len(), 0);
    /// assert_eq!(mem.at(1)?.search("launch")?.hits.len(), 1);
    /// let last_year: Selector = "1 year ago".parse()?;
    /// assert_eq!(mem.at(last_year)?.search("launch")?.hits.len(), 0);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn at(&self, selector: impl Into<Selector>) -> Result<Snapshot> {
        self.snapshot()?.at(selector)
    }

    /// Searches the memory. See [`Snapshot::search`]. With the [journal](OpenOptions::journal) on it is noted down.
    ///
    /// # Errors
    /// As for [`Snapshot::search`]; what a commit can meet if it is to be noted down, such as `sealed`, `read_only`, `locked`, and
    /// `in_transaction` in the middle of a batch.
    ///
    #[cfg_attr(feature = "lex", doc = "```")]
    #[cfg_attr(not(feature = "lex"), doc = "```no_run")]
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::Memvid;
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// mem.put_bytes(b"The meeting about planning is on Monday.")?;
    /// mem.put_bytes("東京で会議があります。".as_bytes())?;
    /// mem.commit()?;
    /// let response = mem.search("meetings on monday")?;
    /// assert_eq!(response.hits[0].frame_id.get(), 0);
    /// let response = mem.search("会議")?;
    /// assert_eq!(response.hits[0].frame_id.get(), 1);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn search(&self, request: impl Into<SearchRequest>) -> Result<SearchResponse> {
        let request = request.into();
        let snapshot = self.snapshot()?;
        let Some(journal) = self.notes_to()? else {
            return snapshot.search(request);
        };
        let now = snapshot.now();
        let response = snapshot.search_asked_at(request.clone(), now)?;
        journal.append(&request, &response, now)?;
        Ok(response)
    }

    /// Collects the best passages for a prompt, under a budget of tokens. See [`Snapshot::context`]. With the
    /// [journal](OpenOptions::journal) on the search that it makes is noted down.
    ///
    /// # Errors
    /// As for [`Snapshot::context`] and [`search`](Self::search).
    ///
    #[cfg_attr(feature = "lex", doc = "```")]
    #[cfg_attr(not(feature = "lex"), doc = "```no_run")]
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{ContextRequest, Memvid, PutOptions};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// let options = PutOptions::builder().uri("ada.md").title("Ada").timestamp(1_764_028_800).build();
    /// mem.put_bytes_with_options(b"Ada prefers tea to coffee.", options)?;
    /// mem.commit()?;
    /// let request = ContextRequest::builder("What does Ada drink, tea?").max_tokens(200).build();
    /// let context = mem.context(request)?;
    /// assert_eq!(context.text, "[1] Ada (ada.md, frame 0, 2025-11-25)\nAda prefers tea to coffee.\n");
    /// assert!(context.tokens <= 200);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn context(&self, request: impl Into<ContextRequest>) -> Result<Context> {
        let snapshot = self.snapshot()?;
        let Some(journal) = self.notes_to()? else {
            return snapshot.context(request);
        };
        let now = snapshot.now();
        snapshot.context_asked_at(request.into(), now, &mut |request, response| {
            journal.append(request, response, now)
        })
    }

    /// The searches that commits of a range noted down, oldest first. [`Snapshot::journal`] gives them one by one.
    ///
    /// # Errors
    /// As for [`Snapshot::journal`].
    pub fn journal(&self, commits: RangeInclusive<CommitId>) -> Result<Vec<RecordedSearch>> {
        self.snapshot()?.journal(commits).collect()
    }

    /// Steps through commits and noted searches, and makes the searches again. See [`Snapshot::replay`].
    ///
    /// # Errors
    /// As for [`Snapshot::replay`].
    pub fn replay(&self, options: &ReplayOptions) -> Result<Replay> {
        self.snapshot()?.replay(options)
    }

    /// Says since when what a search finds was known. See [`Snapshot::audit`].
    ///
    /// # Errors
    /// As for [`Snapshot::audit`].
    pub fn audit(&self, request: impl Into<SearchRequest>) -> Result<Audit> {
        self.snapshot()?.audit(request, &mut |_, _| ())
    }

    /// Lists documents in the order of their event times. See [`Snapshot::timeline`].
    ///
    /// # Errors
    /// As for [`Snapshot::timeline`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, PutOptions, TimelineQuery};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// for (year, event) in [(1969, "moon landing"), (1989, "web"), (1903, "flight")] {
    ///     let when = mv2::time::parse(&format!("{year}-12-01"))?;
    ///     let options = PutOptions::builder().timestamp(when).build();
    ///     mem.put_bytes_with_options(event.as_bytes(), options)?;
    /// }
    /// mem.commit()?;
    /// let page = mem.timeline(TimelineQuery::builder().limit(2).build())?;
    /// assert_eq!(page.frames[0].preview, "web");
    /// assert_eq!(page.frames[1].preview, "moon landing");
    /// let rest = mem.timeline(TimelineQuery { cursor: page.next_cursor, ..Default::default() })?;
    /// assert_eq!(rest.frames[0].preview, "flight");
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn timeline(&self, query: TimelineQuery) -> Result<Timeline> {
        self.snapshot()?.timeline(query)
    }

    /// What is known of a visible frame, without its document.
    ///
    /// # Errors
    /// `no_such_frame`; `frame_dead`; `not_committed` for a frame of this batch.
    pub fn frame_by_id(&self, id: impl Into<FrameId>) -> Result<FrameMeta> {
        let id = id.into();
        self.check_committed(id)?;
        self.snapshot()?.frame_by_id(id)
    }

    /// What is known of the visible frame under a uri, without its document.
    ///
    /// # Errors
    /// `no_such_uri`.
    pub fn frame_by_uri(&self, uri: &str) -> Result<FrameMeta> {
        self.snapshot()?.frame_by_uri(uri)
    }

    /// A visible frame with its document.
    ///
    /// # Errors
    /// As for [`frame_by_id`](Self::frame_by_id).
    pub fn frame(&self, id: impl Into<FrameId>) -> Result<Frame> {
        let id = id.into();
        self.check_committed(id)?;
        self.snapshot()?.frame(id)
    }

    /// The document of a visible frame, byte for byte as it was put.
    ///
    /// # Errors
    /// As for [`frame_by_id`](Self::frame_by_id).
    pub fn frame_canonical_payload(&self, id: impl Into<FrameId>) -> Result<Vec<u8>> {
        Ok(self.frame(id)?.payload)
    }

    /// The text of a visible frame. See [`Snapshot::frame_text_by_id`].
    ///
    /// # Errors
    /// As for [`frame_by_id`](Self::frame_by_id).
    pub fn frame_text_by_id(&self, id: impl Into<FrameId>) -> Result<String> {
        let id = id.into();
        self.check_committed(id)?;
        self.snapshot()?.frame_text_by_id(id)
    }

    /// The newest commits, newest first, `limit` at the most. [`Snapshot::log`] gives them one by
    /// one.
    ///
    /// # Errors
    /// `corrupt` if a part of the log is damaged.
    pub fn log(&self, limit: usize) -> Result<Vec<Commit>> {
        self.snapshot()?.log().take(limit).collect()
    }

    /// What a commit changed, frame by frame.
    ///
    /// # Errors
    /// `no_such_commit`.
    pub fn changes(&self, id: impl Into<mv2_format::CommitId>) -> Result<Changes> {
        self.snapshot()?.changes(id)
    }

    /// Figures.
    ///
    /// # Errors
    /// `corrupt` if a part of the file that holds them is damaged.
    pub fn stats(&self) -> Result<Stats> {
        self.snapshot()?.stats()
    }

    /// Checks a file: what is in use, or with `deep` every byte and every frame.
    ///
    /// # Errors
    /// As for [`open`](Self::open), where there is no memory to check.
    pub fn verify(path: impl AsRef<Path>, deep: bool) -> Result<VerifyReport> {
        let path = path.as_ref();
        let report = Store::verify(path, deep)?;
        if !(deep && report.ok) {
            return Ok(report);
        }
        let report = crate::journal::verify(path, report)?;
        #[cfg(feature = "lex")]
        let report = crate::lexical::verify(path, report)?;
        #[cfg(feature = "vec")]
        let report = crate::vectors::verify(path, report)?;
        crate::temporal::verify(path, report)
    }
}

/// The builders of indexes that make a file smallest.
#[cfg(feature = "lex")]
fn small_indexes() -> Vec<Arc<dyn mv2_format::IndexFactory>> {
    vec![crate::temporal::factory(), crate::lexical::small_factory()]
}

impl fmt::Debug for Memvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memvid")
            .field("path", &self.path())
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl Memvid {
    fn note(&mut self, outcome: mv2_store::PutOutcome) -> PutOutcome {
        if outcome.status != PutStatus::Unchanged {
            let start = self
                .pending
                .as_ref()
                .map_or(outcome.frame, |range| range.start);
            self.pending = Some(start..outcome.frame.next());
        }
        PutOutcome::new(outcome)
    }

    /// Where a search is to be noted down, if it is; an error if it could not be.
    fn notes_to(&self) -> Result<Option<&Journal>> {
        if self.journal.is_some() && self.store.in_transaction() {
            let path = self.path().to_owned();
            return Err(Error::NotJournaled {
                error: mv2_store::Error::InTransaction { path },
            });
        }
        Ok(self.journal.as_ref())
    }

    fn check_committed(&self, id: FrameId) -> Result<()> {
        match &self.pending {
            Some(pending) if pending.contains(&id) => {
                Err(mv2_store::Error::NotCommitted { frame: id }.into())
            }
            _ => Ok(()),
        }
    }
}
