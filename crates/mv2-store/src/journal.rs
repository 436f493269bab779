//! The journal: noting down what was asked, and reading that. `docs/format.md`, section "Journal".
//!
//! An entry is a commit of bookkeeping, so it is as durable as any commit and on the history of no branch. What it says is the
//! business of those above.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mv2_format::journal::{JournalEntry, JournalSegment, check_len};
use mv2_format::{CommitId, Timestamp};

use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::state::{Slot, State};
use crate::store::Store;
use crate::types::Commit;

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Noted {
    /// Its commit, of bookkeeping; the time is when it was noted down.
    pub commit: Commit,
    /// What was noted down.
    pub entry: Arc<[u8]>,
}

impl Store {
    /// Notes something down in the journal, in a commit of its own that is durable when this returns. No search and no log shows
    /// it. Waits for the lock like any write.
    ///
    /// # Errors
    /// [`Error::Limit`] for more than 1 MiB, [`Error::InTransaction`], or what [`begin`](Self::begin) and
    /// [`commit`](Self::commit) can meet: [`Error::Sealed`] and [`Error::ReadOnly`] among others.
    ///
    /// ```
    /// use mv2_format::CommitId;
    /// use mv2_store::{CreateOptions, OpenOptions, Store};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("notes.mv2");
    /// let mut store = Store::create(&path, &CreateOptions::default(), OpenOptions::default())?;
    /// let commit = store.append_journal(b"{}".to_vec())?.id;
    /// let snapshot = store.snapshot()?;
    /// assert_eq!(snapshot.commit_id(), CommitId(0));
    /// let noted = snapshot.journal(commit..=snapshot.last_commit()).next().unwrap()?;
    /// assert_eq!(&*noted.entry, b"{}");
    /// # Ok::<(), mv2_store::Error>(())
    /// ```
    pub fn append_journal(&mut self, entry: Vec<u8>) -> Result<Commit> {
        self.refuse_in_transaction()?;
        check_len(entry.len()).map_err(Error::Limit)?;
        self.alone(|store| {
            store.transaction_mut()?.note(entry);
            store.commit_now(None)
        })
    }
}

impl Snapshot {
    /// The entries of the journal that commits of a range noted down, oldest first. They are those of the whole file, of no branch,
    /// and as many as there were when this snapshot was taken. Reads those of the range, one by one.
    pub fn journal(
        &self,
        commits: RangeInclusive<CommitId>,
    ) -> impl Iterator<Item = Result<Noted>> + '_ {
        let entries = self.state.journal(commits);
        entries.map(|entry| {
            let entry = entry?;
            Ok(Noted {
                commit: self.commit(entry.commit)?,
                entry: entry.bytes,
            })
        })
    }

    /// The newest commit of the file, of any branch or of none.
    pub fn last_commit(&self) -> CommitId {
        self.state.last_commit()
    }

    /// The newest commit of the file that was there at a time, of any branch or of none; 0 before the first one.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn newest_at(&self, time: Timestamp) -> Result<CommitId> {
        self.state.newest_at(time)
    }
}

impl State {
    pub(crate) fn journal(
        &self,
        commits: RangeInclusive<CommitId>,
    ) -> impl Iterator<Item = Result<JournalEntry>> + '_ {
        let in_tail = commits.clone();
        let tail = self.tail.journal.iter();
        let tail = tail.filter(move |entry| in_tail.contains(&entry.commit));
        let slots = self.checkpoint.journal.iter();
        let segments = slots.flat_map(move |slot| self.journal_of(slot, commits.clone()));
        segments.chain(tail.cloned().map(Ok))
    }

    /// The entries of a segment in a range of commits.
    fn journal_of<'a>(
        &'a self,
        slot: &'a Slot<JournalSegment>,
        commits: RangeInclusive<CommitId>,
    ) -> impl Iterator<Item = Result<JournalEntry>> + 'a {
        let entry = &slot.entry;
        let (first, last) = commits.into_inner();
        let overlaps = entry.first_commit <= last && first <= entry.last_commit;
        let found = match overlaps {
            true => Some(self.journal_rows(slot).and_then(|segment| {
                let start = segment.position(first);
                let end = segment.position(CommitId(last.0.saturating_add(1)));
                let range = start.and_then(|start| Ok(start..end?));
                Ok((segment, range.map_err(|source| self.file.format(source))?))
            })),
            false => None,
        };
        let (found, error) = match found.transpose() {
            Ok(found) => (found, None),
            Err(error) => (None, Some(Err(error))),
        };
        let rows = found.into_iter().flat_map(|(segment, range)| {
            range.map(|index| {
                let entry = segment.entry(index);
                entry.map_err(|source| self.file.format(source))
            })
        });
        error.into_iter().chain(rows)
    }
}
