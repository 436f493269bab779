//! Finding a commit of the past: by its time, or by how many commits lie between.
//!
//! Each commit names, besides its parent, an ancestor further back (`docs/format.md`, section "Commit log"). Whoever looks for
//! an ancestor jumps as long as that does not go too far, and steps to the parent where it does. That takes O(log n) rows of
//! n commits, on a history of any shape.

use std::collections::HashSet;

use mv2_format::commits::CommitRow;
use mv2_format::{CommitId, FrameId, Timestamp};

use crate::error::Result;
use crate::snapshot::Snapshot;
use crate::types::{Changes, Version};

impl Snapshot {
    /// The newest commit of this snapshot's history that was there at a time: the time that commits count,
    /// [`Commit::time`](crate::Commit::time). Commit 0, the empty memory, before the first one.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Format`](crate::Error::Format).
    pub fn commit_at(&self, time: Timestamp) -> Result<CommitId> {
        self.nearest(|row| row.time <= time)
    }

    /// The commit so many commits before this one: 1 is the one before, and 0 this one. `None` if the history does not go
    /// so far back; the last that it has is commit 0, the empty memory.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Format`](crate::Error::Format).
    pub fn ancestor(&self, back: u64) -> Result<Option<CommitId>> {
        let depth = match self.commit_id().0 {
            0 => 0,
            _ => self.row(self.commit_id())?.depth,
        };
        match depth.checked_sub(back) {
            Some(wanted) => self.nearest(|row| row.depth <= wanted).map(Some),
            None => Ok(None),
        }
    }

    /// What lies between another commit, mostly an earlier one, and this one: frames that are visible here and took no older one's place, frames that
    /// were visible there with those that have their places here, and frames that have no successor here. What came and went in
    /// between is left out. From a later commit the way goes back: what was added since is deleted, and so on.
    ///
    /// # Errors
    /// [`Error::NoSuchCommit`](crate::Error::NoSuchCommit), else as for [`commit_at`](Self::commit_at).
    pub fn changes_since(&self, earlier: CommitId) -> Result<Changes> {
        let earlier = self.at(earlier)?;
        if earlier.commit_id() > self.commit_id() {
            let mut changes = earlier.changes_since(self.commit_id())?;
            std::mem::swap(&mut changes.added, &mut changes.deleted);
            for pair in &mut changes.superseded {
                *pair = (pair.1, pair.0);
            }
            return Ok(changes);
        }
        if !self.is_linear() {
            return self.changes_from(&earlier);
        }
        let mut changes = Changes::default();
        for died in self.deaths(earlier.end_frame(), earlier.commit_id())? {
            match self.follow(died.by)? {
                Some(by) => changes.superseded.push((died.frame, by)),
                None => changes.deleted.push(died.frame),
            }
        }
        let followed: HashSet<FrameId> = changes.superseded.iter().map(|(_, by)| *by).collect();
        for id in (earlier.end_frame().0..self.end_frame().0).map(FrameId) {
            if !followed.contains(&id) && self.is_visible(id)? {
                changes.added.push(id);
            }
        }
        self.without_purged(changes, earlier.end_frame()..self.end_frame())
    }

    /// The same from a commit of any branch: a frame that is not seen here has the one in its place that took it, or the one
    /// under its uri.
    fn changes_from(&self, earlier: &Self) -> Result<Changes> {
        let (before, now) = (earlier.visible()?, self.visible()?);
        let mut changes = Changes::default();
        for id in before.difference(&now).frames() {
            let taken = self.tombstone(id)?.and_then(|row| row.by);
            let by = match self.follow(taken)? {
                Some(by) => Some(by),
                None => match self.state.meta(id)?.uri {
                    Some(uri) => self.find_uri(&uri)?,
                    None => None,
                },
            };
            match by.filter(|by| !before.contains(*by)) {
                Some(by) => changes.superseded.push((id, by)),
                None => changes.deleted.push(id),
            }
        }
        let followed: HashSet<FrameId> = changes.superseded.iter().map(|(_, by)| *by).collect();
        let added = now.difference(&before);
        changes.added = added.frames().filter(|id| !followed.contains(id)).collect();
        Ok(changes)
    }

    /// The visible frame that took the place of what took a place, if there is one.
    fn follow(&self, mut successor: Option<FrameId>) -> Result<Option<FrameId>> {
        while let Some(next) = successor {
            match self.tombstone(next)? {
                // A successor is younger than what it followed, so this ends.
                Some(row) => successor = row.by.filter(|by| *by > next),
                None => break,
            }
        }
        Ok(successor)
    }

    /// The frames that have been visible under a uri, up to this commit, oldest first.
    ///
    /// # Errors
    /// As for [`commit_at`](Self::commit_at).
    pub fn versions(&self, uri: &str) -> Result<Vec<Version>> {
        let mut frames = Vec::new();
        self.state.find_version(uri, self.end_frame(), |id| {
            if self.is_born(id)? {
                frames.push(id);
            }
            Ok(false)
        })?;
        let mut versions = Vec::with_capacity(frames.len());
        for frame in frames.into_iter().rev() {
            let commit = self.state.meta(frame)?.commit;
            let end = self.tombstone(frame)?;
            // What was superseded in its own commit was never seen.
            if end.is_none_or(|row| row.commit > commit) {
                versions.push(Version {
                    frame,
                    commit,
                    end: end.map(|row| (row.commit, row.by)),
                });
            }
        }
        Ok(versions)
    }

    /// The nearest of this commit and its ancestors that will do, where all that are older than one that will do, do too. Commit
    /// 0 always does.
    fn nearest(&self, will_do: impl Fn(&CommitRow) -> bool) -> Result<CommitId> {
        let mut at = self.commit_id();
        if at.0 == 0 {
            return Ok(at);
        }
        let mut row = self.row(at)?;
        while !will_do(&row) {
            // Both are older than the commit itself, which was checked when the row was read, so this ends.
            let far = match row.jump.0 {
                0 => None,
                _ => Some(self.row(row.jump)?).filter(|far| !will_do(far)),
            };
            (at, row) = match far {
                Some(far) => (row.jump, far),
                None if row.parent.0 == 0 => return Ok(CommitId(0)),
                None => (row.parent, self.row(row.parent)?),
            };
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::storage::MemoryVolume;
    use crate::{CommitOptions, CreateOptions, NewFrame, OpenOptions, Store};

    #[test]
    fn any_commit_is_few_rows_away() {
        let (path, create) = (Path::new("m"), CreateOptions::default());
        let volume = Arc::new(MemoryVolume::new());
        let mut store = Store::create_on(volume, path, &create, OpenOptions::default()).unwrap();
        for _ in 0..5_000 {
            store.put(NewFrame::default()).unwrap();
            store.commit(CommitOptions::default()).unwrap();
        }
        let newest = store.snapshot().unwrap();
        for wanted in (0..=5_000).step_by(7) {
            let rows = Cell::new(0);
            let found = newest.nearest(|row| {
                rows.set(rows.get() + 1);
                row.depth <= wanted
            });
            assert_eq!(found.unwrap(), CommitId(wanted));
            // Three for each doubling of the history, as for Myers's stack; jumps that go too far are looked at as well.
            assert!(rows.get() <= 5 * 13, "{} rows to {wanted}", rows.get());
        }
    }
}
