//! What commits, frames and tombstones say of each other, and the TOC and the indexes of all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mv2_format::commits::{CommitSegment, Run, jump};
use mv2_format::data::DataSegment;
use mv2_format::refs::{self, BranchValue, RefKey};
use mv2_format::toc::SegmentEntry;
use mv2_format::tombstones::{Tombstone, TombstoneSegment};
use mv2_format::{CommitId, FrameId, FrameMeta, LineageId, SegmentKind, Timestamp};

use super::Check;
use crate::error::Result;
use crate::sight::Sight;
use crate::state::Slot;

/// The frame itself, as a range.
fn only(id: FrameId) -> Option<(FrameId, FrameId)> {
    Some((id, id.next()))
}

/// What is kept of a commit while the others are looked at.
#[derive(Clone, Copy, Debug)]
struct Row {
    lineage: LineageId,
    is_merge: bool,
    watermark: FrameId,
    depth: u64,
    jump: CommitId,
    time: Timestamp,
    added: u32,
    superseded: u32,
    deleted: u32,
}

/// All commits by their ids, from commit 0, which stands before the first.
struct Log(Vec<Row>);

impl Log {
    fn get(&self, id: CommitId) -> Option<&Row> {
        self.0.get(usize::try_from(id.0).ok()?)
    }

    /// The commit that a frame is of, by the watermarks.
    fn commit_of(&self, frame: FrameId) -> CommitId {
        CommitId(self.0.partition_point(|row| row.watermark <= frame) as u64)
    }
}

/// The rows of a segment ascend and cover what its entry says.
pub(super) fn tombstone_rows(
    segment: &TombstoneSegment,
    entry: &SegmentEntry,
) -> mv2_format::Result<()> {
    let mut last: Option<Tombstone> = None;
    let mut commits = (CommitId(u64::MAX), CommitId(0));
    let mut first_frame = FrameId(u64::MAX);
    for index in 0..segment.len() {
        let row = segment.row(index)?;
        if last.is_some_and(|last| last >= row) {
            let expected = "ascending rows";
            return Err(mv2_format::Error::invalid(
                "tombstones",
                expected,
                row.frame,
            ));
        }
        first_frame = first_frame.min(row.frame);
        commits = (commits.0.min(row.commit), commits.1.max(row.commit));
        last = Some(row);
    }
    let end_frame = last.map_or(FrameId(0), |row| row.frame.next());
    let found = (first_frame, end_frame, commits.0, commits.1);
    let told = (
        entry.first_frame,
        entry.end_frame,
        entry.first_commit,
        entry.last_commit,
    );
    if found != told {
        let text = |(first, end, from, to): (FrameId, FrameId, CommitId, CommitId)| {
            format!("frames {first}..{end}, commits {from}..={to}")
        };
        let error = mv2_format::Error::invalid("coverage of tombstones", text(told), text(found));
        return Err(error);
    }
    Ok(())
}

impl Check<'_> {
    /// Everything that takes a look at all commits, frames and tombstones. What could not be read is told once, and
    /// sums that it would be part of are not compared.
    pub(super) fn history(&mut self) {
        let Some(log) = self.commits() else { return };
        let Some(dead) = self.tombstones(&log) else {
            return;
        };
        self.counts(&log, &dead);
        if let Err(error) = self.purged(&dead) {
            self.problem(0, error, None);
            return;
        }
        self.frames(&log);
        self.index_rows();
    }

    /// Each commit follows the one before it and its parent.
    fn commits(&mut self) -> Option<Log> {
        let state = self.state;
        let mut log = Log(vec![Row {
            lineage: LineageId(0),
            is_merge: false,
            watermark: FrameId(0),
            depth: 0,
            jump: CommitId(0),
            time: Timestamp(i64::MIN),
            added: 0,
            superseded: 0,
            deleted: 0,
        }]);
        let mut newest_on: HashMap<LineageId, CommitId> = HashMap::new();
        for id in (1..=state.last_commit().0).map(CommitId) {
            let commit = match state.commit(id) {
                Ok(commit) => commit,
                Err(error) => {
                    self.problem(0, format!("commit {id}: {error}"), None);
                    return None;
                }
            };
            let mut wrong = |what: &str| self.problem(0, format!("commit {id}: {what}"), None);
            let before = log.0[log.0.len() - 1];
            if commit.time <= before.time {
                wrong("its time is not later than that of the one before");
            }
            if commit.watermark < before.watermark {
                wrong("its watermark is below that of the one before");
            }
            if commit.lineage == LineageId::BOOKKEEPING {
                let counts = (commit.added, commit.superseded, commit.deleted);
                let none = CommitId(0);
                if commit.parent != none
                    || commit.second_parent != none
                    || commit.watermark != before.watermark
                    || counts != (0, 0, 0)
                {
                    wrong("it is of bookkeeping, and has a parent, frames or counts");
                }
            } else {
                let newest = newest_on.insert(commit.lineage, id);
                let main = (commit.lineage.0 == 0).then_some(CommitId(0));
                if newest
                    .or(main)
                    .is_some_and(|newest| newest != commit.parent)
                {
                    wrong("its parent is not the one before on its lineage");
                }
                let other = log.get(commit.second_parent).map(|row| row.lineage);
                if commit.second_parent.0 > 0 && other == Some(commit.lineage) {
                    wrong("its second parent is on its own lineage");
                }
                for parent in [commit.parent, commit.second_parent] {
                    let lineage = log.get(parent).map(|row| row.lineage);
                    if lineage == Some(LineageId::BOOKKEEPING) {
                        wrong("a parent of it is of bookkeeping");
                    }
                }
            }
            // Parents and jumps are older than what points to them; that was checked when the row was decoded.
            let of = |id: CommitId| log.get(id).map(|row| (row.depth, row.jump));
            if let Some((parent_depth, near)) = of(commit.parent)
                && let Some((near_depth, far)) = of(near)
                && let Some((far_depth, _)) = of(far)
            {
                if commit.depth != parent_depth.saturating_add(1) {
                    wrong("its depth is not one more than its parent's");
                }
                let parent = (commit.parent, parent_depth);
                if commit.jump != jump(parent, (near, near_depth), (far, far_depth)) {
                    wrong("its jump is not the one that its depth asks for");
                }
            }
            log.0.push(Row {
                lineage: commit.lineage,
                is_merge: commit.second_parent.0 > 0,
                watermark: commit.watermark,
                depth: commit.depth,
                jump: commit.jump,
                time: commit.time,
                added: commit.added,
                superseded: commit.superseded,
                deleted: commit.deleted,
            });
        }
        let toc = &state.checkpoint.toc;
        let expected = match toc.last_commit {
            CommitId(0) => Some(Timestamp(0)),
            id => log.get(id).map(|row| row.time),
        };
        if expected != Some(toc.last_time) {
            let what = "last_time of the table of contents is not that of its last commit";
            self.problem(state.root.toc_offset.0, what, None);
        }
        if log.0.last().map(|row| row.watermark) != Some(state.next_frame()) {
            self.problem(
                0,
                "the newest commit's watermark is not the number of frames",
                None,
            );
        }
        let lineages = (log.0.iter().skip(1)).filter(|row| row.lineage != LineageId::BOOKKEEPING);
        let lineages = lineages.map(|row| row.lineage.0 + 1).max().unwrap_or(0);
        let found = log
            .0
            .iter()
            .filter(|row| row.lineage == LineageId::BOOKKEEPING);
        let bookkeeping = found.count() as u64;
        let told = (
            toc.lineages.max(state.tail.lineages),
            toc.bookkeeping + state.tail.bookkeeping,
        );
        if told != (lineages, bookkeeping) {
            let what = format!(
                "{lineages} lineages and {bookkeeping} commits of bookkeeping, the table of contents says {told:?}"
            );
            self.problem(state.root.toc_offset.0, what, None);
        }
        self.tables();
        self.refs(&log);
        Some(log)
    }

    /// The tables of the commit segments say what their rows say.
    fn tables(&mut self) {
        for slot in &self.state.checkpoint.commits {
            if let Err(error) = self.table(slot) {
                self.problem(slot.entry.offset.0, error, None);
            }
        }
    }

    fn table(&self, slot: &Slot<CommitSegment>) -> Result<()> {
        let (state, entry) = (self.state, &slot.entry);
        let segment = state.commit_rows(slot)?;
        let ids = (entry.first_commit.0..=entry.last_commit.0).map(CommitId);
        let rows = ids.map(|id| state.commit(id)).collect::<Result<Vec<_>>>()?;
        let start = match entry.first_commit.0 {
            0 | 1 => FrameId(0),
            first => state.commit(CommitId(first - 1))?.watermark,
        };
        let mut runs = Run::of(&rows, start);
        runs.sort_by_key(|run| (run.lineage, run.first));
        let mut edges = Vec::new();
        for row in &rows {
            edges.extend(state.edges_from(row)?);
        }
        edges.sort_by_key(|edge| (edge.lineage, edge.from));
        let format = |source| state.file.format(source);
        let told = (0..segment.runs()).map(|index| segment.run(index));
        let told_runs: Vec<_> = told.collect::<mv2_format::Result<_>>().map_err(format)?;
        let told = (0..segment.edges()).map(|index| segment.edge(index));
        let told_edges: Vec<_> = told.collect::<mv2_format::Result<_>>().map_err(format)?;
        let what = match (told_runs == runs, told_edges == edges) {
            (true, true) => return Ok(()),
            (false, _) => "runs of commits",
            _ => "edges between lineages",
        };
        Err(format(mv2_format::Error::invalid(
            what,
            "what the commits say",
            format!(
                "others in commits {}..={}",
                entry.first_commit, entry.last_commit
            ),
        )))
    }

    /// Branches and tags are well-formed and name commits that there are.
    fn refs(&mut self, log: &Log) {
        let refs = match self.state.refs() {
            Ok(refs) => refs,
            Err(error) => return self.problem(0, error, None),
        };
        let mut lineages = BTreeSet::new();
        for (key, value) in refs {
            let commit = match RefKey::parse(&key) {
                Some(RefKey::Branch(_)) => BranchValue::decode(&value).and_then(|branch| {
                    if !lineages.insert(branch.lineage) {
                        let expected = "one of its own";
                        let lineage = branch.lineage;
                        return Err(mv2_format::Error::invalid("lineage", expected, lineage));
                    }
                    Ok(branch.base)
                }),
                Some(RefKey::Tag(_)) => refs::decode_tag(&value),
                _ => continue,
            };
            let commit = commit.map(|id| {
                log.get(id)
                    .is_some_and(|row| row.lineage != LineageId::BOOKKEEPING)
            });
            match commit {
                Ok(true) => {}
                Ok(false) => self.problem(0, format!("{key}: there is no such commit"), None),
                Err(error) => self.problem(0, format!("{key}: {error}"), None),
            }
        }
        match self
            .state
            .checked_out()
            .map(|name| (self.state.branch(&name), name))
        {
            Ok((Ok(Some(_)), _)) => {}
            Ok((Ok(None), name)) => {
                self.problem(0, format!("{name:?} is checked out, and no branch"), None);
            }
            Ok((Err(error), _)) | Err(error) => self.problem(0, error, None),
        }
    }

    /// Each death is of a frame that existed, in a commit that may be, and once.
    fn tombstones(&mut self, log: &Log) -> Option<Vec<Tombstone>> {
        let state = self.state;
        let end = state.next_frame();
        let all = FrameId(0)..FrameId(u64::MAX);
        let rows = match state.tombstones_between(all, CommitId(0), CommitId(u64::MAX)) {
            Ok(rows) => rows,
            Err(error) => {
                self.problem(0, error, None);
                return None;
            }
        };
        let mut died = HashSet::new();
        for row in &rows {
            let id = row.frame;
            let mut wrong =
                |what: &str| self.problem(0, format!("tombstone of frame {id}: {what}"), only(id));
            if id >= end {
                wrong("there is no such frame");
                continue;
            }
            if !died.insert((id, row.lineage)) {
                wrong("there is another one on its lineage");
            }
            let commit = log.get(row.commit);
            if commit.is_none_or(|commit| commit.lineage != row.lineage) {
                wrong("its commit does not exist, or not on its lineage");
            } else if row.commit < log.commit_of(id) {
                wrong("its commit is older than the frame");
            }
            if let Some(by) = row.by {
                if by <= id || by >= end {
                    wrong("what took its place is no younger frame");
                } else if log.commit_of(by) != row.commit
                    && !commit.is_some_and(|commit| commit.is_merge)
                {
                    wrong("what took its place is of another commit");
                }
            }
        }
        let toc = &state.checkpoint.toc;
        let dead = rows.len() as u64;
        let expected = toc.tombstones + state.tail.dead.len() as u64;
        if dead != expected {
            let what = format!("{dead} tombstones, the table of contents counts {expected}");
            self.problem(state.root.toc_offset.0, what, None);
        }
        Some(rows)
    }

    /// What commits count of their frames and deaths.
    fn counts(&mut self, log: &Log, dead: &[Tombstone]) {
        let mut deaths: BTreeMap<CommitId, (u64, u64)> = BTreeMap::new();
        let mut successors = BTreeSet::new();
        for row in dead {
            let counts = deaths.entry(row.commit).or_default();
            match row.by {
                Some(by) => {
                    counts.0 += 1;
                    // A merge names frames of older commits.
                    if log.commit_of(by) == row.commit {
                        successors.insert(by);
                    }
                }
                None => counts.1 += 1,
            }
        }
        for (id, pair) in (1..).map(CommitId).zip(log.0.windows(2)) {
            let [before, row] = pair else { continue };
            let new = before.watermark..row.watermark.max(before.watermark);
            let frames = new.end.0 - new.start.0;
            let taking = successors.range(new).count() as u64;
            let (superseded, deleted) = deaths.get(&id).copied().unwrap_or_default();
            let found = (frames - taking, superseded, deleted);
            let told = (
                u64::from(row.added),
                u64::from(row.superseded),
                u64::from(row.deleted),
            );
            if told != found {
                let what = format!(
                    "commit {id}: it counts {told:?} frames added, superseded and deleted, there are {found:?}"
                );
                self.problem(0, what, None);
            }
        }
    }

    /// Each frame of a segment is of the commit that the log says, and shares what it says it does.
    fn frames(&mut self, log: &Log) {
        let state = self.state;
        let mut payload_bytes = Some(0u64);
        for slot in &state.checkpoint.data {
            let Ok(segment) = state.data(slot) else {
                payload_bytes = None;
                continue;
            };
            let entry = &slot.entry;
            let commits = (
                log.commit_of(entry.first_frame),
                log.commit_of(FrameId(entry.end_frame.0 - 1)),
            );
            if commits != (entry.first_commit, entry.last_commit) {
                let what = format!(
                    "data segment {}: its frames are of commits {}..={}, the table of contents says {}..={}",
                    entry.id, commits.0, commits.1, entry.first_commit, entry.last_commit
                );
                self.problem(entry.offset.0, what, None);
            }
            let sum = self.frames_of(log, segment, entry);
            payload_bytes = payload_bytes.zip(sum).and_then(|(a, b)| a.checked_add(b));
        }
        let toc = &state.checkpoint.toc;
        if let Some(sum) = payload_bytes
            && sum != toc.payload_bytes
        {
            let what = format!(
                "payload_bytes of the table of contents is {}, the frames have {sum}",
                toc.payload_bytes
            );
            self.problem(state.root.toc_offset.0, what, None);
        }
    }

    /// The same for one segment; returns the length of all payloads, if all frames could be read.
    fn frames_of(&mut self, log: &Log, segment: &DataSegment, entry: &SegmentEntry) -> Option<u64> {
        let mut cursor = segment.cursor();
        let purged = self.state.purged().unwrap_or_default();
        let mut sum = Some(0u64);
        for id in (entry.first_frame.0..entry.end_frame.0).map(FrameId) {
            // What is wrong with the frame itself is found by the segment's own check.
            let Ok(meta) = cursor.meta(id) else {
                sum = None;
                continue;
            };
            sum = sum.and_then(|sum| sum.checked_add(meta.payload_len));
            let expected = log.commit_of(id);
            let lineage = log.get(expected).map(|row| row.lineage);
            if Some(meta.lineage) != lineage || meta.commit != expected {
                let what = format!(
                    "frame {id} is of commit {} on lineage {}, by the watermarks it is of {expected}",
                    meta.commit, meta.lineage
                );
                self.problem(entry.offset.0, what, only(id));
            }
            if purged.contains(id) != meta.is_hole() {
                let what = match meta.is_hole() {
                    true => format!(
                        "frame {id} is empty as a purged one is, and none says that it was purged"
                    ),
                    false => format!("something is left of frame {id}, which was purged"),
                };
                self.problem(entry.offset.0, what, only(id));
            }
            if meta.payload_frame.is_some()
                && let Some(what) = self.shared(&meta)
            {
                self.problem(entry.offset.0, what, only(id));
            }
        }
        sum
    }

    /// What is wrong with a payload that a frame shares with an older one, which may stand in another segment.
    fn shared(&self, meta: &FrameMeta) -> Option<String> {
        let id = meta.id;
        let mut hasher = blake3::Hasher::new();
        let mut text = meta.is_text.then(Vec::new);
        let read = self.state.read_payload(id, &mut |piece| {
            hasher.update(piece);
            if let Some(text) = &mut text {
                text.extend_from_slice(piece);
            }
        });
        if let Err(error) = read {
            return Some(format!("frame {id}: {error}"));
        }
        if hasher.finalize().as_bytes()[..16] != meta.content_hash {
            return Some(format!(
                "content hash of frame {id} is not that of the payload it shares"
            ));
        }
        let text = text.unwrap_or_default();
        std::str::from_utf8(&text)
            .is_err()
            .then(|| format!("frame {id} is text, and the payload it shares is not UTF-8"))
    }

    /// Nothing that stands beside the frames tells of a purged one. Indexes are looked at by those who know them.
    fn purged(&mut self, dead: &[Tombstone]) -> Result<()> {
        let state = self.state;
        let purged = state.purged()?;
        for row in state.stored_attachments()?.iter() {
            if purged.contains(row.frame) {
                let id = row.frame;
                let what = format!("an attachment of frame {id}, which was purged, is left");
                self.problem(0, what, only(id));
            }
        }
        let mut silent: BTreeSet<CommitId> = BTreeSet::new();
        for id in purged.frames().take_while(|id| *id < state.next_frame()) {
            silent.insert(state.meta(id)?.commit);
        }
        let ends = dead.iter().filter(|row| purged.contains(row.frame));
        silent.extend(ends.map(|row| row.commit));
        for id in silent {
            if state.commit(id).is_ok_and(|row| !row.message.is_empty()) {
                let what = format!(
                    "commit {id}: it has a message, and a frame that it put or ended was purged"
                );
                self.problem(0, what, None);
            }
        }
        Ok(())
    }

    /// Indexes with a row for each frame cover frames once, and the dead of the split stand in history.
    /// What the rows say is checked by those who know the index.
    fn index_rows(&mut self) {
        let state = self.state;
        let purged = state.purged().unwrap_or_default();
        for kind in [SegmentKind::LEX, SegmentKind::TIME] {
            for run in state.index_runs(kind) {
                let rows: u64 = run.slots.iter().map(|slot| slot.entry.rows).sum();
                let history = run.history_rows();
                let split = run.split_at();
                let hidden = Sight::new(state, split)
                    .and_then(|split| split.hidden(state, run.frames.clone()));
                let dead = match hidden {
                    Ok(hidden) => hidden.difference(&purged).len(),
                    Err(error) => {
                        self.problem(run.slots[0].entry.offset.0, error, None);
                        continue;
                    }
                };
                let frames = run.len() - purged.within(run.frames.clone()).len();
                let told = &run.slots[0].entry;
                let range = (run.frames.start, run.frames.end);
                if rows != frames || (split.0 > 0 && history != dead) {
                    let what = format!(
                        "{kind} segment {}: {rows} rows, {history} of them history, for {frames} frames, {dead} of them hidden at commit {split}",
                        told.id,
                    );
                    self.problem(told.offset.0, what, Some(range));
                }
            }
        }
    }
}
