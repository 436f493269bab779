//! Housekeeping that takes longer than a commit may: indexing what an import left, joining segments, setting dead
//! frames apart.
//!
//! ```text
//! lock, catch up, unlock --> build in memory, others read and write --> lock, catch up,
//! inputs still live? --> checkpoint that lists what was built in the place of its inputs
//! ```
//!
//! What is built goes into the file by a checkpoint like any other, so a crash at any point leaves a sound file.
//! `docs/decisions/0008-merges-in-memory.md`.

use std::ops::Range;
use std::sync::Arc;

use mv2_format::index::Effort;
use mv2_format::{AttachmentIndex, FrameId, IndexFactory, SegmentId, SegmentKind};

use crate::attached;
use crate::build::{Built, build_index_bodies, lagging, pack_data, unsplit};
use crate::compact::{Compaction, due_data, due_index, parts};
use crate::error::{Error, Result};
use crate::recent::Recent;
use crate::state::{IndexRun, State};
use crate::store::Store;

/// Dead frames are set apart when they are more than this share of a run, one in so many, and at least so many.
const SPLIT_ONE_IN: u64 = 12;
const SPLIT_FRAMES: u64 = 64;

/// Something to be built without the lock.
struct Job {
    builder: JobBuilder,
    frames: Range<FrameId>,
    inputs: Vec<SegmentId>,
}

/// Who builds it.
enum JobBuilder {
    Data,
    Index(Arc<dyn IndexFactory>),
    /// An index over attachments, which part of it, and how well.
    Attached(Arc<dyn AttachmentIndex>, u32, Effort),
}

/// Which jobs are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Frames that an index should cover.
    Lagging { bulk: bool },
    /// Whatever is due to somebody with so much patience.
    Due(Effort),
    /// Joins of an index that has twice as many segments as it should.
    Overdue,
}

impl Store {
    /// Does one piece of housekeeping that is due, if there is one: brings frames into an index that lags behind, joins
    /// segments, or sets frames apart that died. Call it until it returns `false`, when there is time. The lock is held
    /// only to write what was built; nothing is done inside a transaction, on a sealed file, or when another writer was
    /// faster.
    ///
    /// With [`Effort::Quick`] nothing takes longer than reading and writing it; what takes minutes, as a graph of many
    /// vectors, is left to [`Effort::Thorough`]. `cancelled` is asked every few frames while it builds.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or what [`begin`](Self::begin) and [`commit`](Self::commit) can meet. The file is sound
    /// and holds every commit whatever happens.
    pub fn maintain(&mut self, patience: Effort, cancelled: &dyn Fn() -> bool) -> Result<bool> {
        if self.in_transaction() || self.is_sealed() {
            return Ok(false);
        }
        self.run_next(Scope::Due(patience), cancelled)
    }

    /// Whether [`maintain`](Self::maintain) with [`Effort::Thorough`] would find something to do. Costs nothing until the next checkpoint if not.
    ///
    /// # Errors
    /// What reading can meet.
    pub fn maintenance_due(&mut self) -> Result<bool> {
        let generation = Some(self.current().root.generation);
        if !self.writable || self.is_sealed() || self.nothing_due == generation {
            return Ok(false);
        }
        let due = self.next_job(Scope::Due(Effort::Thorough))?.is_some();
        if !due {
            self.nothing_due = generation;
        }
        Ok(due)
    }

    /// Brings what lags behind into the indexes, as far as it is too much for a checkpoint.
    pub(crate) fn index_lagging(&mut self, bulk: bool) -> Result<()> {
        let mut result = Ok(true);
        while let Ok(true) = result {
            result = self.run_next(Scope::Lagging { bulk }, &|| false);
        }
        let state = self.current();
        let indexes = self.options.indexes.iter();
        let covered = indexes.map(|index| state.covered(index.kind())).min();
        match covered {
            Some(covered) if bulk => self.recent.forget_before(covered),
            _ => self.recent.clear(),
        }
        result?;
        // An import that nobody keeps house for.
        while self.run_next(Scope::Overdue, &|| false)? {}
        Ok(())
    }

    /// Rebuilds each index, and what data segments are small, as one segment each.
    ///
    /// Like [`maintain`](Self::maintain) it holds the lock only to write what was built. Each part is kept as soon as it is done, so that
    /// nothing but time is lost when the process is killed.
    ///
    /// # Errors
    /// As for [`maintain`](Self::maintain); [`Error::InTransaction`].
    pub fn optimize(&mut self) -> Result<()> {
        if self.in_transaction() {
            return Err(Error::InTransaction {
                path: self.path.clone(),
            });
        }
        // The tail too, so that it does not stay beside the one segment.
        self.checkpoint()?;
        for index in self.options.indexes.clone() {
            let state = self.current();
            let runs = state.index_runs(index.kind());
            for part in parts(&state.runs_alone(&*index, &runs)) {
                let runs = &runs[part];
                let mut apart = 0;
                for run in runs {
                    apart += unsplit(&state, &*index, run)?;
                }
                if runs.len() > 1 || apart > 0 {
                    self.run(&Job::of_runs(&index, runs), &|| false)?;
                }
            }
        }
        for index in self.options.attached.clone() {
            let patience = Effort::Thorough;
            while let Some((part, inputs, effort)) =
                attached::due(&self.current(), &*index, patience)?
            {
                let job = Job {
                    builder: JobBuilder::Attached(Arc::clone(&index), part, effort),
                    frames: FrameId(0)..FrameId(0),
                    inputs,
                };
                if !self.run(&job, &|| false)? {
                    break;
                }
            }
        }
        loop {
            let state = self.current();
            let slots = &state.checkpoint.data;
            let sizes: Vec<u64> = slots.iter().map(|slot| slot.entry.body_len).collect();
            let groups = Compaction::Full.plan_data(&sizes);
            let Some(group) = groups.into_iter().find(|group| group.len() > 1) else {
                return Ok(());
            };
            let job = Job::of_data(&state, group);
            if !self.run(&job, &|| false)? {
                return Ok(());
            }
        }
    }

    fn run_next(&mut self, scope: Scope, cancelled: &dyn Fn() -> bool) -> Result<bool> {
        match self.next_job(scope)? {
            Some(job) => {
                let bulk = scope == Scope::Lagging { bulk: true };
                self.run_amid(&job, bulk, cancelled)
            }
            None => Ok(false),
        }
    }

    fn next_job(&self, scope: Scope) -> Result<Option<Job>> {
        let state = self.current();
        let bulk = scope == Scope::Lagging { bulk: true };
        let lagging_count = match scope {
            Scope::Overdue => 0,
            _ => self.options.indexes.len(),
        };
        for index in &self.options.indexes[..lagging_count] {
            let covered = state.covered(index.kind());
            let frames = lagging(&state, covered, bulk)?;
            if !frames.is_empty() {
                return Ok(Some(Job {
                    builder: JobBuilder::Index(Arc::clone(index)),
                    frames,
                    inputs: Vec::new(),
                }));
            }
        }
        if matches!(scope, Scope::Lagging { .. }) {
            return Ok(None);
        }
        let max = self.options.checkpoint.max_segments;
        for index in &self.options.indexes {
            let runs = state.index_runs(index.kind());
            if scope == Scope::Overdue && runs.len() <= 2 * max {
                continue;
            }
            let bytes: Vec<u64> = runs.iter().map(IndexRun::body_len).collect();
            let alone = state.runs_alone(&**index, &runs);
            if let Some(group) = due_index(&bytes, &alone, max) {
                return Ok(Some(Job::of_runs(index, &runs[group])));
            }
            if scope == Scope::Overdue {
                continue;
            }
            if let Some(run) = self.due_split(&state, &**index, &runs)? {
                return Ok(Some(Job::of_runs(index, run)));
            }
        }
        let Scope::Due(patience) = scope else {
            return Ok(None);
        };
        for index in &self.options.attached {
            if let Some((part, inputs, effort)) = attached::due(&state, &**index, patience)? {
                return Ok(Some(Job {
                    builder: JobBuilder::Attached(Arc::clone(index), part, effort),
                    frames: FrameId(0)..FrameId(0),
                    inputs,
                }));
            }
        }
        let data = state.checkpoint.data.iter();
        let sizes: Vec<u64> = data.map(|slot| slot.entry.body_len).collect();
        Ok(due_data(&sizes, max).map(|group| Job::of_data(&state, group)))
    }

    /// A run in which so many frames have died that searches are better off without them.
    fn due_split<'a>(
        &self,
        state: &State,
        index: &dyn IndexFactory,
        runs: &'a [IndexRun],
    ) -> Result<Option<&'a [IndexRun]>> {
        // In a file of one lineage the sums tell that there is nothing to look for, as long as few have died.
        let apart: u64 = runs.iter().map(IndexRun::history_rows).sum();
        let together = match state.is_linear() {
            true => state.checkpoint.toc.tombstones.saturating_sub(apart),
            false => u64::MAX,
        };
        if !index.keeps_history_apart() || together < SPLIT_FRAMES {
            return Ok(None);
        }
        for (at, run) in runs.iter().enumerate() {
            let alive = run.len() - run.history_rows();
            if together.min(alive) < SPLIT_FRAMES.max(alive / SPLIT_ONE_IN) {
                continue;
            }
            let dead = unsplit(state, index, run)?;
            if dead >= SPLIT_FRAMES.max(alive / SPLIT_ONE_IN) {
                return Ok(Some(&runs[at..=at]));
            }
        }
        Ok(None)
    }

    /// Builds and adopts. `false` if what it was built from is not there any more, or cannot be built.
    fn run(&mut self, job: &Job, cancelled: &dyn Fn() -> bool) -> Result<bool> {
        self.run_amid(job, false, cancelled)
    }

    /// The same amid an import, of which more commits follow if it is `bulk`.
    fn run_amid(&mut self, job: &Job, bulk: bool, cancelled: &dyn Fn() -> bool) -> Result<bool> {
        let path = self.path.clone();
        let go_on = || match cancelled() {
            true => Err(Error::Cancelled { path: path.clone() }),
            false => Ok(()),
        };
        go_on()?;
        // Whoever holds the lock sees commits that stay. Without it, one whose sync fails could give way to another
        // with frames of the same ids while we build.
        self.begin()?;
        self.rollback();
        let state = self.current();
        let Some(built) = job.build(&state.reopened(), &self.recent, &go_on, cancelled)? else {
            return Ok(false);
        };
        self.begin()?;
        let now = self.current();
        let result = if Arc::ptr_eq(&now.file, &state.file) && built.fits(&now) {
            self.write_checkpoint(&now, None, self.inline(bulk), Some(&built))
                .map(|next| {
                    *self.state_guard() = Arc::new(next);
                    true
                })
        } else {
            Ok(false)
        };
        self.rollback();
        result
    }

    /// What a checkpoint of this store rebuilds while it holds the lock.
    pub(crate) fn inline(&self, bulk: bool) -> Compaction {
        Compaction::Inline {
            max: self.options.checkpoint.max_segments,
            bulk,
        }
    }
}

impl Job {
    fn of_runs(index: &Arc<dyn IndexFactory>, runs: &[IndexRun]) -> Self {
        let start = runs.first().map_or(FrameId(0), |run| run.frames.start);
        let end = runs.last().map_or(start, |run| run.frames.end);
        let slots = runs.iter().flat_map(|run| &run.slots);
        Self {
            builder: JobBuilder::Index(Arc::clone(index)),
            frames: start..end,
            inputs: slots.map(|slot| slot.entry.id).collect(),
        }
    }

    fn of_data(state: &State, group: Range<usize>) -> Self {
        let slots = &state.checkpoint.data[group];
        let start = slots
            .first()
            .map_or(FrameId(0), |slot| slot.entry.first_frame);
        Self {
            builder: JobBuilder::Data,
            frames: start..slots.last().map_or(start, |slot| slot.entry.end_frame),
            inputs: slots.iter().map(|slot| slot.entry.id).collect(),
        }
    }

    fn build(
        &self,
        state: &State,
        recent: &Recent,
        go_on: &dyn Fn() -> Result<()>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Built>> {
        let (kind, outputs) = match &self.builder {
            JobBuilder::Attached(index, part, effort) => {
                let inputs = &self.inputs;
                return attached::build_due(state, &**index, *part, inputs, *effort, cancelled);
            }
            JobBuilder::Index(index) => {
                let frames = self.frames.clone();
                let bodies = build_index_bodies(state, &**index, frames, recent, go_on)?;
                let Some(bodies) = bodies else {
                    return Ok(None);
                };
                (index.kind(), bodies)
            }
            JobBuilder::Data => {
                let mut text = 0;
                for slot in &state.checkpoint.data {
                    if self.inputs.contains(&slot.entry.id) {
                        text += state.data(slot)?.stream_len();
                    }
                }
                let mut body = Vec::new();
                let density = Compaction::Full.density(text);
                let coverage =
                    pack_data(state, self.frames.clone(), text, density, &mut |piece| {
                        body.extend_from_slice(piece);
                        go_on()
                    })?;
                (SegmentKind::DATA, vec![(coverage, body)])
            }
        };
        Ok(Some(Built {
            kind,
            part: 0,
            frames: self.frames.clone(),
            inputs: self.inputs.clone(),
            outputs,
        }))
    }
}
