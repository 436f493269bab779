//! What a commit sees: which commits are on its history, and which frames are visible there.
//! `docs/format.md`, section "Lineages".
//!
//! ```text
//! lineage 0   1---2---3-------6---9     head of main
//!                  \             /
//! lineage 1         4---5---8---'       9 is a merge: its reach is 0 up to 9, 1 up to 8
//!                      \
//! lineage 2             7               its reach is 0 up to 2, 1 up to 5, 2 up to 7
//! ```
//!
//! In a file of one lineage a commit sees what is older, and none of this costs anything. Else it is a few bisections for each
//! lineage that the commit reaches, however many commits there are.

use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use mv2_format::commits::{CommitRow, Edge, Run};
use mv2_format::refs::MAIN;
use mv2_format::tombstones::Tombstone;
use mv2_format::{CommitId, FrameId, FrameSet, LineageId, Timestamp};

use crate::error::Result;
use crate::state::State;

/// What a commit sees.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    /// The commit.
    pub(crate) commit: CommitId,
    /// Frames from here on are of later commits.
    pub(crate) end: FrameId,
    /// How far it sees on each lineage, by lineage; `None` in a file of one lineage, where it sees whatever is older.
    reach: Option<Arc<[Reach]>>,
}

/// How far a commit sees on a lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reach {
    lineage: LineageId,
    /// Up to this commit.
    commit: CommitId,
    /// And the frames before this one.
    end: FrameId,
}

impl Sight {
    /// What a commit sees, itself included.
    pub(crate) fn new(state: &State, commit: CommitId) -> Result<Self> {
        if commit.0 == 0 {
            return Ok(Self {
                commit,
                end: FrameId(0),
                reach: (!state.is_linear()).then(Arc::default),
            });
        }
        if state.is_linear() {
            let end = match commit == state.last_commit() {
                // No row is read, so that the newest commit can be read even if the log of commits is damaged.
                true => state.next_frame(),
                false => state.commit(commit)?.watermark,
            };
            return Ok(Self {
                commit,
                end,
                reach: None,
            });
        }
        let row = state.commit(commit)?;
        Ok(Self {
            commit,
            end: row.watermark,
            reach: Some(reach(state, &row)?.into()),
        })
    }

    /// Whether a commit of a lineage is on the history.
    pub(crate) fn includes(&self, lineage: LineageId, commit: CommitId) -> bool {
        match &self.reach {
            None => commit <= self.commit && lineage != LineageId::BOOKKEEPING,
            Some(_) => commit <= self.on(lineage).commit,
        }
    }

    /// Whether there are other lineages to tell apart from those that are seen.
    pub(crate) fn is_linear(&self) -> bool {
        self.reach.is_none()
    }

    /// The lineages that it sees something of.
    pub(crate) fn lineages(&self) -> impl Iterator<Item = LineageId> + '_ {
        let reach = self.reach.as_deref().unwrap_or_default();
        reach.iter().map(|row| row.lineage)
    }

    fn on(&self, lineage: LineageId) -> Reach {
        let reach = self.reach.as_deref().unwrap_or_default();
        let found = reach.binary_search_by_key(&lineage, |row| row.lineage);
        found.map_or(
            Reach {
                lineage,
                commit: CommitId(0),
                end: FrameId(0),
            },
            |at| reach[at],
        )
    }

    /// The frames that commits on the history put, dead or alive.
    pub(crate) fn born(&self, state: &State) -> Result<FrameSet> {
        let Some(reach) = &self.reach else {
            return Ok((FrameId(0)..self.end).into());
        };
        let mut frames = Vec::new();
        for row in reach.iter() {
            state.each_run(row.lineage, &mut |run| {
                frames.push(run.frames.start..run.frames.end.min(row.end));
                run.frames.start < row.end
            })?;
        }
        Ok(frames.into_iter().collect())
    }

    /// Whether a frame was put by a commit on the history. Costs a bisection of the commits.
    pub(crate) fn is_born(&self, state: &State, id: FrameId) -> Result<bool> {
        if id >= self.end || self.is_linear() {
            return Ok(id < self.end);
        }
        let row = state.commit_of(id)?;
        Ok(self.includes(row.lineage, row.id))
    }

    /// A frame's tombstone, if it is dead here.
    pub(crate) fn tombstone(&self, state: &State, id: FrameId) -> Result<Option<Tombstone>> {
        let rows = state.tombstones_between(id..id.next(), CommitId(0), self.commit)?;
        Ok(rows
            .into_iter()
            .find(|row| self.includes(row.lineage, row.commit)))
    }

    /// The tombstones of a range of frames that are seen here, of commits after one, by frame.
    pub(crate) fn tombstones(
        &self,
        state: &State,
        frames: Range<FrameId>,
        after: CommitId,
    ) -> Result<Vec<Tombstone>> {
        let mut rows = state.tombstones_between(frames, after, self.commit)?;
        if !self.is_linear() {
            rows.retain(|row| self.includes(row.lineage, row.commit));
        }
        Ok(rows)
    }

    /// The frames of a range that are dead here, sorted; those of other histories are not among them.
    pub(crate) fn dead(
        &self,
        state: &State,
        frames: Range<FrameId>,
        after: CommitId,
    ) -> Result<Vec<FrameId>> {
        let end = frames.end.min(self.end);
        let rows = self.tombstones(state, frames.start..end, after)?;
        let mut frames: Vec<_> = rows.iter().map(|row| row.frame).collect();
        frames.dedup();
        Ok(frames)
    }

    /// The visible frames of a range.
    pub(crate) fn visible(&self, state: &State, frames: Range<FrameId>) -> Result<FrameSet> {
        let dead: FrameSet = self
            .dead(state, frames.clone(), CommitId(0))?
            .into_iter()
            .collect();
        let gone = state.purged()?;
        let born = self.born(state)?.within(frames);
        Ok(born.difference(&dead).difference(&gone))
    }

    /// The frames of a range that are not visible here, other histories' included.
    pub(crate) fn hidden(&self, state: &State, frames: Range<FrameId>) -> Result<FrameSet> {
        let all = FrameSet::from(frames.clone());
        Ok(all.difference(&self.visible(state, frames)?))
    }

    /// The frames of a range that died here since `then`, which this [continues](Self::continues), sorted. `after` is the commit
    /// that all of these deaths are younger than.
    pub(crate) fn died_since(
        &self,
        state: &State,
        frames: Range<FrameId>,
        then: &Self,
        after: CommitId,
    ) -> Result<Vec<FrameId>> {
        let mut rows = self.tombstones(state, frames, after)?;
        rows.retain(|row| !then.includes(row.lineage, row.commit));
        let mut frames: Vec<_> = rows.iter().map(|row| row.frame).collect();
        frames.dedup();
        Ok(frames)
    }

    /// Whether this sees all that `split` saw of a range of frames, and no other frame of it, so that the frames which were
    /// hidden there are hidden here. Then, the commit that whatever died in between is younger than.
    pub(crate) fn continues(
        &self,
        state: &State,
        split: &Self,
        frames: &Range<FrameId>,
    ) -> Result<Option<CommitId>> {
        let (Some(here), Some(there)) = (&self.reach, &split.reach) else {
            return Ok((split.commit <= self.commit).then_some(split.commit));
        };
        let mut after = self.commit;
        for now in here.iter() {
            let then = split.on(now.lineage);
            if now.commit == then.commit {
                continue;
            }
            let clip = |end: FrameId| end.clamp(frames.start, frames.end);
            let (from, to) = (clip(then.end), clip(now.end));
            if now.commit < then.commit || (from < to && state.has_frames(now.lineage, from..to)?) {
                return Ok(None);
            }
            after = after.min(match then.commit.0 {
                0 => state.before_lineage(now.lineage)?,
                _ => then.commit,
            });
        }
        let lost = |then: &&Reach| self.on(then.lineage).commit < then.commit;
        Ok((!there.iter().any(|then| lost(&then))).then_some(after))
    }
}

/// Indexes
impl State {
    /// What the commit sees that indexes are split by: the head of `main`, or of the branch that is checked out if there is
    /// no `main`. It does not follow a checkout, which would have all indexes built anew.
    pub(crate) fn split(&self) -> Result<Sight> {
        if self.is_plain() {
            return Sight::new(self, self.last_commit());
        }
        let branch = match self.branch(MAIN)? {
            Some(main) => main,
            None => self.branch(&self.checked_out()?)?.unwrap_or_default(),
        };
        Sight::new(self, self.head_of(&branch)?)
    }

    /// How many frames of a range were seen at a split and are not at the newest one.
    pub(crate) fn hidden_since(&self, frames: Range<FrameId>, split: CommitId) -> Result<u64> {
        let newest = self.split()?;
        if self.is_linear() {
            return Ok(newest.dead(self, frames, split)?.len() as u64);
        }
        let then = Sight::new(self, split)?;
        Ok(match newest.continues(self, &then, &frames)? {
            Some(after) => newest.died_since(self, frames, &then, after)?.len() as u64,
            None => {
                let before = match split.0 {
                    0 => FrameSet::from(frames.clone()).difference(&*self.purged()?),
                    _ => then.visible(self, frames.clone())?,
                };
                before.difference(&newest.visible(self, frames)?).len()
            }
        })
    }
}

/// How far a commit sees on each lineage, by lineage.
fn reach(state: &State, row: &CommitRow) -> Result<Vec<Reach>> {
    let mut found: HashMap<LineageId, Reach> = HashMap::new();
    // Newest first: edges lead to older commits, so of several ways to a lineage the farthest comes first.
    let mut open = BinaryHeap::from([(row.id, row.lineage, row.watermark)]);
    while let Some((commit, lineage, end)) = open.pop() {
        if let Entry::Vacant(place) = found.entry(lineage) {
            place.insert(Reach {
                lineage,
                commit,
                end,
            });
            let edges = state.edges_of(lineage, commit)?.into_iter();
            open.extend(edges.map(|edge| (edge.up_to, edge.other, edge.watermark)));
        }
    }
    let mut reach: Vec<Reach> = found.into_values().collect();
    reach.sort_unstable_by_key(|row| row.lineage);
    Ok(reach)
}

/// Lineages
impl State {
    /// Whether all commits but those of bookkeeping are of one lineage.
    pub(crate) fn is_linear(&self) -> bool {
        self.checkpoint.toc.lineages.max(self.tail.lineages) <= 1
    }

    /// Whether no commit is of bookkeeping and all are of one lineage, so that nothing was ever said about branches.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_linear() && self.checkpoint.toc.bookkeeping + self.tail.bookkeeping == 0
    }

    /// The newest commit of a lineage, if it has one.
    pub(crate) fn last_on(&self, lineage: LineageId) -> Result<Option<CommitId>> {
        let mut tail = self.tail.commits.iter().rev();
        if let Some(row) = tail.find(|row| row.lineage == lineage) {
            return Ok(Some(row.id));
        }
        for slot in self.checkpoint.commits.iter().rev() {
            let format = |source| self.file.format(source);
            let newest = self.commit_rows(slot)?.runs_of(lineage);
            if let Some(run) = newest.map_err(format)?.next_back() {
                return Ok(Some(run.map_err(format)?.last()));
            }
        }
        Ok(None)
    }

    /// The commit before the first one of a lineage, whatever its lineage.
    fn before_lineage(&self, lineage: LineageId) -> Result<CommitId> {
        let mut first = self.last_commit();
        self.each_run(lineage, &mut |run| {
            first = CommitId(run.first.0 - 1);
            false
        })?;
        Ok(first)
    }

    /// Calls `each` with the runs of a lineage, oldest first, as long as it wants more.
    fn each_run(&self, lineage: LineageId, each: &mut dyn FnMut(&Run) -> bool) -> Result<()> {
        let format = |source| self.file.format(source);
        for slot in &self.checkpoint.commits {
            for run in self.commit_rows(slot)?.runs_of(lineage).map_err(format)? {
                if !each(&run.map_err(format)?) {
                    return Ok(());
                }
            }
        }
        for run in Run::of(&self.tail.commits, self.checkpoint.toc.next_frame) {
            if run.lineage == lineage && !each(&run) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether commits of a lineage put frames of a range.
    fn has_frames(&self, lineage: LineageId, frames: Range<FrameId>) -> Result<bool> {
        for slot in &self.checkpoint.commits {
            let found = self.commit_rows(slot)?.has_frames(lineage, frames.clone());
            if found.map_err(|source| self.file.format(source))? {
                return Ok(true);
            }
        }
        let tail = Run::of(&self.tail.commits, self.checkpoint.toc.next_frame);
        Ok(tail.iter().any(|run| {
            let common = run.frames.start.max(frames.start)..run.frames.end.min(frames.end);
            run.lineage == lineage && !common.is_empty()
        }))
    }

    /// The commit that put a frame.
    pub(crate) fn commit_of(&self, id: FrameId) -> Result<CommitRow> {
        let before = self.last_where(|row| row.watermark <= id)?;
        self.commit(CommitId(before.0 + 1))
    }

    /// The newest commit of the file, of any lineage, that was there at a time.
    pub(crate) fn newest_at(&self, time: Timestamp) -> Result<CommitId> {
        self.last_where(|row| row.time <= time)
    }

    /// The last commit of the file for which something holds that holds for all before it, by bisection; 0 if it holds for none.
    fn last_where(&self, holds: impl Fn(&CommitRow) -> bool) -> Result<CommitId> {
        let (mut low, mut high) = (0, self.last_commit().0);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match holds(&self.commit(CommitId(middle))?) {
                true => low = middle,
                false => high = middle - 1,
            }
        }
        Ok(CommitId(low))
    }

    /// What the commits of a lineage see of others, as of a commit.
    fn edges_of(&self, lineage: LineageId, up_to: CommitId) -> Result<Vec<Edge>> {
        let mut edges = Vec::new();
        for slot in &self.checkpoint.commits {
            let found = self.commit_rows(slot)?.edges_of(lineage, up_to);
            edges.extend(found.map_err(|source| self.file.format(source))?);
        }
        for row in &self.tail.commits {
            if row.lineage == lineage && row.id <= up_to {
                edges.extend(self.edges_from(row)?);
            }
        }
        Ok(edges)
    }

    /// What a commit sees of lineages that the one before it on its own did not.
    pub(crate) fn edges_from(&self, row: &CommitRow) -> Result<Vec<Edge>> {
        let mut edges = Vec::new();
        for parent in [row.parent, row.second_parent] {
            if parent.0 == 0 {
                continue;
            }
            let parent = self.commit(parent)?;
            if parent.lineage != row.lineage {
                edges.push(Edge {
                    lineage: row.lineage,
                    from: row.id,
                    other: parent.lineage,
                    up_to: parent.id,
                    watermark: parent.watermark,
                });
            }
        }
        Ok(edges)
    }
}
