//! Branches and tags: where they are, and moving them. `docs/format.md`, section "Branches and tags".
//!
//! A branch is a name for a lineage, so a commit moves no name. All else is a property of a few bytes in a commit of
//! bookkeeping.

use std::collections::BTreeMap;

use mv2_format::refs::{self, BranchValue, MAIN, RefKey};
use mv2_format::{CommitId, LineageId, Timestamp};

use crate::error::{Error, RefKind, Result};
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::store::Store;
use crate::types::{Branch, Commit, CommitOptions, Tag};

/// Reading
impl State {
    /// A branch as it is now.
    pub(crate) fn branch(&self, name: &str) -> Result<Option<BranchValue>> {
        self.branch_up_to(name, self.last_commit())
    }

    /// A branch as it was when a commit was the newest of the file.
    fn branch_up_to(&self, name: &str, newest: CommitId) -> Result<Option<BranchValue>> {
        if self.is_plain() {
            return Ok((name == MAIN).then(BranchValue::default));
        }
        let mut said = false;
        let value = self.property(&RefKey::Branch(name).encode(), |commit| {
            said |= commit <= newest;
            Ok(commit <= newest)
        })?;
        match value {
            Some(value) => self.branch_value(&value).map(Some),
            None => Ok((!said && name == MAIN).then(BranchValue::default)),
        }
    }

    /// Where a branch stands, from the value of its property.
    fn branch_value(&self, value: &[u8]) -> Result<BranchValue> {
        BranchValue::decode(value).map_err(|source| self.file.format(source))
    }

    /// Calls `each` with whatever was said of branches: the commit that said so, the name, and where it stands since.
    fn each_branch_value(&self, each: &mut dyn FnMut(CommitId, &str, BranchValue)) -> Result<()> {
        let stored = self.stored_properties()?;
        for row in stored.iter().chain(&self.tail.properties) {
            if let (Some(RefKey::Branch(name)), Some(value)) = (RefKey::parse(&row.key), &row.value)
            {
                each(row.commit, name, self.branch_value(value)?);
            }
        }
        Ok(())
    }

    /// The newest value of a tag.
    fn tag(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.property(&RefKey::Tag(name).encode(), |_| Ok(true))
    }

    /// The name of the branch that is checked out.
    pub(crate) fn checked_out(&self) -> Result<String> {
        if self.is_plain() {
            return Ok(MAIN.to_owned());
        }
        let name = self.property(refs::HEAD_KEY, |_| Ok(true))?;
        let name = name.map(|name| String::from_utf8_lossy(&name).into_owned());
        Ok(name.unwrap_or_else(|| MAIN.to_owned()))
    }

    /// The newest commit of a branch.
    pub(crate) fn head_of(&self, branch: &BranchValue) -> Result<CommitId> {
        if self.is_plain() {
            return Ok(self.last_commit());
        }
        Ok(self.last_on(branch.lineage)?.unwrap_or(branch.base))
    }

    /// The newest rows of all branches and tags, those that were deleted left out.
    pub(crate) fn refs(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut newest: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        let stored = self.stored_properties()?;
        for row in stored.iter().chain(&self.tail.properties) {
            if RefKey::parse(&row.key).is_some() {
                newest.insert(row.key.clone(), row.value.clone());
            }
        }
        let main = || Some(BranchValue::default().encode());
        let key = RefKey::Branch(MAIN).encode();
        newest.entry(key).or_insert_with(main);
        let there = newest.into_iter();
        Ok(there
            .filter_map(|(key, value)| Some((key, value?)))
            .collect())
    }

    /// The lineage that the next branch gets: one that no branch ever had.
    fn next_lineage(&self) -> Result<LineageId> {
        let mut next = self.checkpoint.toc.lineages.max(self.tail.lineages).max(1);
        self.each_branch_value(&mut |_, _, branch| {
            next = next.max(branch.lineage.0.saturating_add(1));
        })?;
        match LineageId(next) {
            LineageId::BOOKKEEPING => Err(Error::Limit(mv2_format::Error::TooLarge {
                what: "number of lineages",
                len: u64::from(next),
                limit: u64::from(u32::MAX) - 1,
            })),
            next => Ok(next),
        }
    }

    pub(crate) fn no_such(&self, kind: RefKind, name: &str) -> Error {
        let mut known = Vec::new();
        for key in self.refs().unwrap_or_default().keys() {
            match (RefKey::parse(key), kind) {
                (Some(RefKey::Branch(name)), RefKind::Branch)
                | (Some(RefKey::Tag(name)), RefKind::Tag) => known.push(name.to_owned()),
                _ => {}
            }
        }
        Error::NoSuchRef {
            kind,
            name: name.to_owned(),
            known,
        }
    }
}

/// Branches and tags
impl Snapshot {
    /// The branches of the file as this snapshot's state of it has them, by name.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn branches(&self) -> Result<Vec<Branch>> {
        let state = &self.state;
        if state.is_plain() {
            return Ok(vec![Branch {
                name: MAIN.to_owned(),
                lineage: LineageId(0),
                base: CommitId(0),
                head: state.last_commit(),
            }]);
        }
        let mut branches = Vec::new();
        for (key, value) in state.refs()? {
            let Some(RefKey::Branch(name)) = RefKey::parse(&key) else {
                continue;
            };
            let value = state.branch_value(&value)?;
            branches.push(Branch {
                name: name.to_owned(),
                lineage: value.lineage,
                base: value.base,
                head: state.head_of(&value)?,
            });
        }
        Ok(branches)
    }

    /// The tags of the file as this snapshot's state of it has them, by name.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn tags(&self) -> Result<Vec<Tag>> {
        let mut tags = Vec::new();
        if self.state.is_plain() {
            return Ok(tags);
        }
        for (key, value) in self.state.refs()? {
            if let Some(RefKey::Tag(name)) = RefKey::parse(&key) {
                let commit = refs::decode_tag(&value);
                tags.push(Tag {
                    name: name.to_owned(),
                    commit: commit.map_err(|source| self.state.file.format(source))?,
                });
            }
        }
        Ok(tags)
    }

    /// The name of the branch that is checked out in the file.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn checked_out(&self) -> Result<String> {
        self.state.checked_out()
    }

    /// The head of a branch.
    ///
    /// # Errors
    /// [`Error::NoSuchRef`], [`Error::Io`] or [`Error::Format`].
    pub fn at_branch(&self, name: &str) -> Result<Self> {
        Self::of_branch(&self.state, name)
    }

    /// The commit of a tag.
    ///
    /// # Errors
    /// As for [`at_branch`](Self::at_branch).
    pub fn at_tag(&self, name: &str) -> Result<Self> {
        match self.state.tag(name)? {
            Some(value) => {
                let commit = refs::decode_tag(&value);
                self.at(commit.map_err(|source| self.state.file.format(source))?)
            }
            None => Err(self.state.no_such(RefKind::Tag, name)),
        }
    }

    /// What this snapshot's branch was at a time: the newest commit that was its head then, before a later rewind too. Of a
    /// branch that was not there yet it is what was on the history that it continued. Seen from a commit of the past it is the
    /// newest one of its own history.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn at_time(&self, time: Timestamp) -> Result<Self> {
        if let Some(name) = self.branch()
            && !self.state.is_plain()
            && let Some(now) = self.state.branch(name)?
            && self.state.head_of(&now)? == self.commit_id()
        {
            let newest = self.state.newest_at(time)?;
            if let Some(then) = self.state.branch_up_to(name, newest)? {
                let head = Self::of_commit(&self.state, self.state.head_of(&then)?)?;
                let mut then = head.at(head.commit_at(time)?)?;
                then.branch.clone_from(&self.branch);
                return Ok(then);
            }
        }
        self.at(self.commit_at(time)?)
    }

    /// The name of the branch whose commits a lineage's are: as it is now, or as it was last.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn name_of(&self, lineage: LineageId) -> Result<Option<String>> {
        if self.state.is_plain() {
            return Ok((lineage.0 == 0).then(|| MAIN.to_owned()));
        }
        let mut found: Option<(CommitId, String)> = None;
        self.state.each_branch_value(&mut |commit, name, branch| {
            let newer = found.as_ref().is_none_or(|(known, _)| commit > *known);
            if branch.lineage == lineage && newer {
                found = Some((commit, name.to_owned()));
            }
        })?;
        let main = || (lineage.0 == 0).then(|| MAIN.to_owned());
        Ok(found.map(|(_, name)| name).or_else(main))
    }
}

/// Branches and tags
impl Store {
    /// The branch that this store reads and writes: the one that was [chosen](Self::use_branch), else the one that is checked out
    /// in the file.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn branch(&self) -> Result<String> {
        match &self.branch {
            Some(name) => Ok(name.clone()),
            None => self.current().checked_out(),
        }
    }

    /// Chooses the branch that this store reads and writes; `None` follows the one that is checked out in the file.
    ///
    /// # Errors
    /// [`Error::NoSuchRef`], [`Error::InTransaction`] or what reading can meet.
    pub fn use_branch(&mut self, name: Option<&str>) -> Result<()> {
        self.refuse_in_transaction()?;
        if let Some(name) = name {
            self.catch_up()?;
            let state = self.current();
            if state.branch(name)?.is_none() {
                return Err(state.no_such(RefKind::Branch, name));
            }
        }
        self.branch = name.map(str::to_owned);
        Ok(())
    }

    /// Makes a branch that begins at a commit. Takes a few bytes, whatever the size of the memory.
    ///
    /// # Errors
    /// [`Error::RefExists`], [`Error::Limit`] for a name that cannot be one, [`Error::NoSuchCommit`],
    /// [`Error::InTransaction`], or what [`begin`](Self::begin) and [`commit`](Self::commit) can meet.
    pub fn create_branch(&mut self, name: &str, at: CommitId) -> Result<Commit> {
        refs::check_name(name).map_err(Error::Limit)?;
        self.bookkeep(format!("branch {name} at {at}"), |state, moved| {
            if state.branch(name)?.is_some() {
                return Err(exists(RefKind::Branch, name));
            }
            Snapshot::check_commit(state, at)?;
            let value = BranchValue {
                lineage: state.next_lineage()?,
                base: at,
            };
            moved.insert(RefKey::Branch(name).encode(), Some(value.encode()));
            Ok(())
        })
    }

    /// Takes a branch away. Its commits stay and can be read by their numbers.
    ///
    /// # Errors
    /// [`Error::NoSuchRef`], [`Error::CheckedOut`], or as for [`create_branch`](Self::create_branch).
    pub fn delete_branch(&mut self, name: &str) -> Result<Commit> {
        let chosen = self.branch.clone();
        self.bookkeep(format!("branch {name} deleted"), |state, moved| {
            if state.branch(name)?.is_none() {
                return Err(state.no_such(RefKind::Branch, name));
            }
            if state.checked_out()? == name || chosen.as_deref() == Some(name) {
                return Err(Error::CheckedOut {
                    name: name.to_owned(),
                });
            }
            moved.insert(RefKey::Branch(name).encode(), None);
            Ok(())
        })
    }

    /// Gives a branch another name. If it is checked out, it stays so.
    ///
    /// # Errors
    /// As for [`create_branch`](Self::create_branch) and [`Error::NoSuchRef`].
    pub fn rename_branch(&mut self, name: &str, to: &str) -> Result<Commit> {
        refs::check_name(to).map_err(Error::Limit)?;
        let commit = self.bookkeep(format!("branch {name} renamed to {to}"), |state, moved| {
            let Some(value) = state.branch(name)? else {
                return Err(state.no_such(RefKind::Branch, name));
            };
            if state.branch(to)?.is_some() {
                return Err(exists(RefKind::Branch, to));
            }
            if state.checked_out()? == name {
                moved.insert(RefKey::Head.encode(), Some(to.as_bytes().to_vec()));
            }
            moved.insert(RefKey::Branch(name).encode(), None);
            moved.insert(RefKey::Branch(to).encode(), Some(value.encode()));
            Ok(())
        })?;
        if self.branch.as_deref() == Some(name) {
            self.branch = Some(to.to_owned());
        }
        Ok(commit)
    }

    /// Makes a branch the one that handles read and write if they choose none. `None` if it is checked out already.
    ///
    /// # Errors
    /// [`Error::NoSuchRef`], or as for [`create_branch`](Self::create_branch).
    pub fn check_out(&mut self, name: &str) -> Result<Option<Commit>> {
        self.refuse_in_transaction()?;
        self.catch_up()?;
        let commit = match self.current().checked_out()? == name {
            true => None,
            false => Some(self.bookkeep(format!("checkout {name}"), |state, moved| {
                if state.branch(name)?.is_none() {
                    return Err(state.no_such(RefKind::Branch, name));
                }
                moved.insert(RefKey::Head.encode(), Some(name.as_bytes().to_vec()));
                Ok(())
            })?),
        };
        self.branch = None;
        Ok(commit)
    }

    /// Names a commit.
    ///
    /// # Errors
    /// As for [`create_branch`](Self::create_branch).
    pub fn create_tag(&mut self, name: &str, at: CommitId) -> Result<Commit> {
        refs::check_name(name).map_err(Error::Limit)?;
        self.bookkeep(format!("tag {name} at {at}"), |state, moved| {
            if state.tag(name)?.is_some() {
                return Err(exists(RefKind::Tag, name));
            }
            Snapshot::check_commit(state, at)?;
            moved.insert(RefKey::Tag(name).encode(), Some(refs::encode_tag(at)));
            Ok(())
        })
    }

    /// Takes a tag away.
    ///
    /// # Errors
    /// [`Error::NoSuchRef`], or as for [`create_branch`](Self::create_branch).
    pub fn delete_tag(&mut self, name: &str) -> Result<Commit> {
        self.bookkeep(format!("tag {name} deleted"), |state, moved| {
            if state.tag(name)?.is_none() {
                return Err(state.no_such(RefKind::Tag, name));
            }
            moved.insert(RefKey::Tag(name).encode(), None);
            Ok(())
        })
    }

    /// Gives a tag another name.
    ///
    /// # Errors
    /// As for [`create_branch`](Self::create_branch) and [`Error::NoSuchRef`].
    pub fn rename_tag(&mut self, name: &str, to: &str) -> Result<Commit> {
        refs::check_name(to).map_err(Error::Limit)?;
        self.bookkeep(format!("tag {name} renamed to {to}"), |state, moved| {
            let Some(value) = state.tag(name)? else {
                return Err(state.no_such(RefKind::Tag, name));
            };
            if state.tag(to)?.is_some() {
                return Err(exists(RefKind::Tag, to));
            }
            moved.insert(RefKey::Tag(name).encode(), None);
            moved.insert(RefKey::Tag(to).encode(), Some(value));
            Ok(())
        })
    }

    /// Makes an older state the head of this store's branch, by a commit: what is visible at `to` is visible again, and
    /// nothing else. Nothing is lost: what was committed since can be read by its numbers and times, and rewinding to the commit that
    /// was the head before brings it back.
    ///
    /// # Errors
    /// [`Error::NoSuchCommit`], [`Error::InTransaction`], or what [`begin`](Self::begin) and [`commit`](Self::commit) can meet.
    pub fn rewind(&mut self, to: CommitId, message: Option<String>) -> Result<Commit> {
        let message = message.unwrap_or_else(|| format!("rewind to {to}"));
        self.alone(|store| store.write_rewind(to, message))
    }

    fn write_rewind(&mut self, to: CommitId, message: String) -> Result<Commit> {
        let name = self.branch()?;
        let state = self.current();
        Snapshot::check_commit(&state, to)?;
        let value = BranchValue {
            lineage: state.next_lineage()?,
            base: to,
        };
        let base = Snapshot::of_commit(&state, to)?;
        let transaction = self.transaction_mut()?;
        transaction.continue_from(base, value.lineage);
        transaction.move_refs([(RefKey::Branch(&name).encode(), Some(value.encode()))]);
        self.commit_now(message)
    }

    /// Commits what `change` says of branches and tags, and nothing else.
    fn bookkeep(
        &mut self,
        message: String,
        change: impl FnOnce(&State, &mut BTreeMap<String, Option<Vec<u8>>>) -> Result<()>,
    ) -> Result<Commit> {
        self.alone(|store| {
            let mut moved = BTreeMap::new();
            change(&store.current(), &mut moved)?;
            store.transaction_mut()?.move_refs(moved);
            store.commit_now(message)
        })
    }

    /// Runs what begins and commits a transaction of its own, and forgets it if it did not come to the commit.
    pub(crate) fn alone<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.refuse_in_transaction()?;
        self.begin()?;
        let result = run(self);
        self.rollback();
        result
    }

    /// Commits a transaction that is known to change something.
    pub(crate) fn commit_now(&mut self, message: impl Into<Option<String>>) -> Result<Commit> {
        let committed = self.commit(CommitOptions {
            message: message.into(),
            ..CommitOptions::default()
        })?;
        committed.ok_or_else(|| Error::Poisoned {
            path: self.path.clone(),
        })
    }

    pub(crate) fn refuse_in_transaction(&self) -> Result<()> {
        match self.in_transaction() {
            true => Err(Error::InTransaction {
                path: self.path.clone(),
            }),
            false => Ok(()),
        }
    }
}

fn exists(kind: RefKind, name: &str) -> Error {
    Error::RefExists {
        kind,
        name: name.to_owned(),
    }
}
