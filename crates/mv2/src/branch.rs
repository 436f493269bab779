//! Branches, tags, merges and rewinds: several histories of one memory in one file.
//!
//! ```text
//! main    1---2-------5---6     6 merges draft: it sees what both have
//!              \         /
//! draft         3---4---'       a branch costs a few bytes; documents and indexes are shared
//! ```

use std::collections::BTreeSet;

use mv2_format::{CommitId, LineageId};
use mv2_store::{Branch, Commit, Merged, Side, Tag};

use crate::error::Result;
use crate::memory::Memvid;
use crate::selector::Selector;
use crate::snapshot::Snapshot;

/// How a branch is merged.
///
/// ```
/// use mv2::{MergeOptions, Side};
///
/// let options = MergeOptions::new().prefer(Side::Theirs).message("the reviewed texts");
/// assert_eq!(options.prefer, Some(Side::Theirs));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeOptions {
    /// Which side to keep where both changed a document. Without it that is an error, unless both say the same.
    pub prefer: Option<Side>,
    /// A line for the log; `merge NAME` by default.
    pub message: Option<String>,
}

impl MergeOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`MergeOptions::prefer`].
    #[must_use]
    pub fn prefer(mut self, side: Side) -> Self {
        self.prefer = Some(side);
        self
    }

    /// Sets [`MergeOptions::message`].
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}

/// Branches and tags
///
/// What moves a branch or a tag is a commit of its own, which holds no document. None of these can be part of a batch:
/// `in_transaction` says so. Names are 1 to 255 bytes without white space and `~ ^ : ? * [ \`, and do not begin
/// with a digit, `-`, `@` or `.`.
impl Memvid {
    /// The branch that this handle reads and writes: the one that was [chosen](Self::use_branch), else the one that is
    /// [checked out](Self::checkout) in the file.
    ///
    /// # Errors
    /// `corrupt`, `io`, ... if the file cannot be read.
    pub fn branch(&self) -> Result<String> {
        // Another process may have checked another one out.
        self.store.snapshot()?;
        Ok(self.store.branch()?)
    }

    /// Chooses the branch that this handle reads and writes; `None` follows the one that is checked out in the file.
    /// [`OpenOptions::branch`](crate::OpenOptions::branch) does so from the start.
    ///
    /// # Errors
    /// `no_such_branch`; `in_transaction`.
    pub fn use_branch<'a>(&mut self, name: impl Into<Option<&'a str>>) -> Result<()> {
        self.store.use_branch(name.into())?;
        // What was learned of one branch, such as its embedder, is not true of another.
        self.end_batch();
        Ok(())
    }

    /// Makes a branch that begins at a commit. Takes a few bytes, whatever the size of the memory: documents and indexes are
    /// shared. What is committed on one branch is not seen on the others, and does not move their scores.
    ///
    /// # Errors
    /// `branch_exists`; `invalid` for a name that cannot be one; what [`Snapshot::at`] can meet; `locked`, `read_only`,
    /// `in_transaction`, ...
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, Selector};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// mem.put_bytes(b"known to all")?;
    /// mem.commit()?;
    /// mem.create_branch("draft", Selector::Head)?;
    /// mem.use_branch("draft")?;
    /// mem.put_bytes(b"only a thought")?;
    /// mem.commit()?;
    /// assert_eq!(mem.stats()?.active_frame_count, 2);
    /// mem.use_branch("main")?;
    /// assert_eq!(mem.stats()?.active_frame_count, 1);
    /// assert_eq!(mem.at(Selector::Branch("draft".into()))?.stats()?.active_frame_count, 2);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn create_branch(&mut self, name: &str, at: impl Into<Selector>) -> Result<Commit> {
        let at = self.at(at)?.commit_id();
        Ok(self.store.create_branch(name, at)?)
    }

    /// Takes a branch away. Its commits stay and can be read by their numbers.
    ///
    /// # Errors
    /// `no_such_branch`; `checked_out` if it is, or if this handle chose it; `locked`, `read_only`, `in_transaction`, ...
    pub fn delete_branch(&mut self, name: &str) -> Result<Commit> {
        Ok(self.store.delete_branch(name)?)
    }

    /// Gives a branch another name. If it is checked out, it stays so.
    ///
    /// # Errors
    /// `no_such_branch`; `branch_exists`; else as for [`create_branch`](Self::create_branch).
    pub fn rename_branch(&mut self, name: &str, to: &str) -> Result<Commit> {
        Ok(self.store.rename_branch(name, to)?)
    }

    /// The branches, by name. There is always one.
    ///
    /// # Errors
    /// `corrupt`, `io`, ... if the file cannot be read.
    pub fn branches(&self) -> Result<Vec<Branch>> {
        self.snapshot()?.branches()
    }

    /// Makes a branch the one that handles read and write if they choose none: this one from now on, and those of other
    /// processes with their next read. `None` if it is checked out already.
    ///
    /// # Errors
    /// `no_such_branch`; else as for [`create_branch`](Self::create_branch).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, Selector};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// mem.create_branch("draft", Selector::Head)?;
    /// mem.checkout("draft")?;
    /// assert_eq!(Memvid::open(&path)?.branch()?, "draft");
    /// assert!(mem.checkout("draft")?.is_none());
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn checkout(&mut self, name: &str) -> Result<Option<Commit>> {
        let commit = self.store.check_out(name)?;
        self.end_batch();
        Ok(commit)
    }

    /// Names a commit. A tag does not move.
    ///
    /// # Errors
    /// `tag_exists`; else as for [`create_branch`](Self::create_branch).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, Selector};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// mem.put_bytes(b"first")?;
    /// mem.commit()?;
    /// mem.create_tag("v1", Selector::Head)?;
    /// mem.put_bytes(b"second")?;
    /// mem.commit()?;
    /// let then: Selector = "v1".parse()?;
    /// assert_eq!(mem.at(then)?.stats()?.active_frame_count, 1);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn create_tag(&mut self, name: &str, at: impl Into<Selector>) -> Result<Commit> {
        let at = self.at(at)?.commit_id();
        Ok(self.store.create_tag(name, at)?)
    }

    /// Takes a tag away.
    ///
    /// # Errors
    /// `no_such_tag`; else as for [`create_branch`](Self::create_branch).
    pub fn delete_tag(&mut self, name: &str) -> Result<Commit> {
        Ok(self.store.delete_tag(name)?)
    }

    /// Gives a tag another name.
    ///
    /// # Errors
    /// `no_such_tag`; `tag_exists`; else as for [`create_branch`](Self::create_branch).
    pub fn rename_tag(&mut self, name: &str, to: &str) -> Result<Commit> {
        Ok(self.store.rename_tag(name, to)?)
    }

    /// The tags, by name.
    ///
    /// # Errors
    /// `corrupt`, `io`, ... if the file cannot be read.
    pub fn tags(&self) -> Result<Vec<Tag>> {
        self.snapshot()?.tags()
    }

    /// Brings what another branch has into this handle's branch, by a commit with two parents: documents that either side put are
    /// there afterwards, and those that either side deleted are not. Documents keep their numbers. `None` if there is nothing on the other
    /// branch that is not here.
    ///
    /// # Errors
    /// `merge_conflict` if both sides changed a document, each in its own way, and no side is
    /// [preferred](MergeOptions::prefer): nothing is changed then. `unrelated` if the branches have no commit in common;
    /// `no_such_branch`; `locked`, `read_only`, `in_transaction`, ...
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, MergeOptions, PutOptions, Selector, Side};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// let plan = || PutOptions::builder().uri("plan.md").build();
    /// mem.put_bytes_with_options(b"go in May", plan())?;
    /// mem.commit()?;
    /// mem.create_branch("draft", Selector::Head)?;
    /// for (branch, text) in [("draft", "go in July"), ("main", "go in June")] {
    ///     mem.use_branch(branch)?;
    ///     mem.put_bytes_with_options(text.as_bytes(), plan())?;
    ///     mem.commit()?;
    /// }
    /// let error = mem.merge("draft", MergeOptions::new()).unwrap_err();
    /// assert_eq!(error.kind(), "merge_conflict");
    /// mem.merge("draft", MergeOptions::new().prefer(Side::Theirs))?;
    /// let frame = mem.frame_by_uri("plan.md")?.id;
    /// assert_eq!(mem.frame_text_by_id(frame)?, "go in July");
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn merge(&mut self, name: &str, options: MergeOptions) -> Result<Option<Merged>> {
        let merged = self.store.merge(name, options.prefer, options.message)?;
        self.end_batch();
        if merged.is_some() {
            self.housekeeper.after_commit(&mut self.store);
        }
        Ok(merged)
    }

    /// Makes an older state the head of this handle's branch, by a new commit: what was visible there is visible again, and
    /// nothing else. Nothing is lost: what was committed since can be read by its number or a time, and rewinding to it brings it
    /// back.
    ///
    /// # Errors
    /// What [`Snapshot::at`] can meet; `locked`, `read_only`, `in_transaction`, ...
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, Selector};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// mem.put_bytes(b"true")?;
    /// mem.commit()?;
    /// mem.put_bytes(b"false")?;
    /// let mistake = mem.commit()?.unwrap();
    /// mem.rewind(Selector::Head.back(1))?;
    /// assert_eq!(mem.stats()?.active_frame_count, 1);
    /// mem.rewind(mistake.id)?;
    /// assert_eq!(mem.stats()?.active_frame_count, 2);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn rewind(&mut self, to: impl Into<Selector>) -> Result<Commit> {
        self.write_rewind(to.into(), None)
    }

    /// Like [`rewind`](Self::rewind), with a line for the log instead of `rewind to N`.
    ///
    /// # Errors
    /// As for [`rewind`](Self::rewind).
    pub fn rewind_with(
        &mut self,
        to: impl Into<Selector>,
        message: impl Into<String>,
    ) -> Result<Commit> {
        self.write_rewind(to.into(), Some(message.into()))
    }

    fn write_rewind(&mut self, to: Selector, message: Option<String>) -> Result<Commit> {
        let to = self.at(to)?.commit_id();
        let commit = self.store.rewind(to, message)?;
        self.end_batch();
        self.housekeeper.after_commit(&mut self.store);
        Ok(commit)
    }
}

/// Branches and tags, as they were when the snapshot was taken
impl Snapshot {
    /// The branch that is read: the one whose head this is, or of whose history it is a commit. Of a commit that is not on it, the one that
    /// the commit was made on, by the name that it had last.
    pub fn branch(&self) -> Option<&str> {
        self.inner.branch()
    }

    /// The branches, by name. There is always one.
    ///
    /// # Errors
    /// `corrupt`, `io`, ... if the file cannot be read.
    pub fn branches(&self) -> Result<Vec<Branch>> {
        Ok(self.inner.branches()?)
    }

    /// The tags, by name.
    ///
    /// # Errors
    /// As for [`branches`](Self::branches).
    pub fn tags(&self) -> Result<Vec<Tag>> {
        Ok(self.inner.tags()?)
    }

    /// The branch that is checked out in the file.
    ///
    /// # Errors
    /// As for [`branches`](Self::branches).
    pub fn checked_out(&self) -> Result<String> {
        Ok(self.inner.checked_out()?)
    }

    /// The branch that commits of a [lineage](Commit::lineage) were made on, by the name that it had last. `None` for commits that
    /// moved a branch or a tag.
    ///
    /// # Errors
    /// As for [`branches`](Self::branches).
    pub fn branch_of(&self, lineage: LineageId) -> Result<Option<String>> {
        Ok(self.inner.name_of(lineage)?)
    }

    /// Some commits and all that lie before them on any branch that they came from, newest first and each once: what a graph of
    /// them shows.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, MergeOptions, Selector};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// mem.create_branch("draft", Selector::Head)?; // commit 1
    /// for branch in ["main", "draft"] {
    ///     mem.use_branch(branch)?;
    ///     mem.put_bytes(branch.as_bytes())?;
    ///     mem.commit()?; // 2 and 3
    /// }
    /// let heads = mem.branches()?.into_iter().map(|branch| branch.head);
    /// let snapshot = mem.snapshot()?;
    /// let ids: Vec<u64> = snapshot.ancestry(heads).map(|commit| Ok(commit?.id.get())).collect::<mv2::Result<_>>()?;
    /// assert_eq!(ids, [3, 2]);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn ancestry(
        &self,
        from: impl IntoIterator<Item = CommitId>,
    ) -> impl Iterator<Item = Result<Commit>> + '_ {
        let mut open: BTreeSet<CommitId> = from.into_iter().collect();
        std::iter::from_fn(move || {
            let next = open.pop_last().filter(|id| id.0 > 0)?;
            let commit = self.commit(next);
            if let Ok(commit) = &commit {
                // Parents are older, so that this ends.
                open.insert(commit.parent);
                open.extend(commit.second_parent);
            }
            Some(commit)
        })
    }

    /// Every commit of the file that documents have a part in, newest first: those of all branches, and those that no branch leads to
    /// any more, because it was rewound or deleted.
    pub fn all_commits(&self) -> impl Iterator<Item = Result<Commit>> + '_ {
        let ids = (1..=self.inner.last_commit().0).rev();
        let commits = ids.map(|id| self.commit(CommitId(id)));
        commits.filter(|commit| match commit {
            Ok(commit) => commit.lineage != LineageId::BOOKKEEPING,
            Err(_) => true,
        })
    }
}
