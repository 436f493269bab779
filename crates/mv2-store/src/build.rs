//! Builds the segments of a checkpoint: from the tail of the log, from older segments that are joined, and from what was
//! built beforehand. `docs/format.md`, section "Checkpoint".

use std::ops::Range;
use std::sync::Arc;

use mv2_format::codec::{Density, train_dictionary};
use mv2_format::commits::{self, CommitRow};
use mv2_format::data::DataBuilder;
use mv2_format::journal::{self, JournalEntry};
use mv2_format::toc::{SegmentEntry, Toc};
use mv2_format::tombstones::{self, Tombstone};
use mv2_format::{
    CommitId, Frame, FrameId, FrameSet, Generation, IndexBuilder, IndexFactory, SegmentId,
    SegmentKind, properties,
};

use crate::attached;
use crate::compact::{Compaction, INLINE_FRAMES};
use crate::error::{Error, Result};
use crate::output::{Coverage, Output};
use crate::purge::build_purged;
use crate::recent::Recent;
use crate::state::{Detail, IndexRun, Slot, State, Visited, visit_in_memory};
use crate::types::OpenOptions;

/// From this much text on a dictionary pays for itself.
const DICTIONARY_TEXT_BYTES: u64 = 1 << 20;

/// Largest dictionary, and text that it is trained on for each byte of it.
const DICTIONARY_BYTES: u64 = 32 << 10;
const TRAINING_BYTES_PER_BYTE: u64 = 40;

/// Frames, and bytes of text, that an import lets lag behind an index.
const BULK_INDEX_FRAMES: u64 = 32 << 10;
pub(crate) const BULK_INDEX_BYTES: u64 = 32 << 20;

/// A sample for the training is at most this long.
const SAMPLE_BYTES: usize = 8 << 10;

/// A segment's body with what it covers.
pub(crate) type Body = (Coverage, Vec<u8>);

/// Segments of one kind that were built beforehand, in memory, from committed frames.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) kind: SegmentKind,
    pub(crate) part: u32,
    /// Frames that they cover; none for an index over attachments, which covers rows.
    pub(crate) frames: Range<FrameId>,
    /// The segments whose place they take, in order.
    pub(crate) inputs: Vec<SegmentId>,
    pub(crate) outputs: Vec<Body>,
}

impl Built {
    /// Whether a state still has what it was built from.
    pub(crate) fn fits(&self, state: &State) -> bool {
        if self.frames.is_empty() {
            let live = state.attached_slots(self.kind);
            let is_live = |id: &SegmentId| live.iter().any(|slot| slot.entry.id == *id);
            return self.inputs.iter().all(is_live);
        }
        let inside = |frames: &Range<FrameId>| {
            self.frames.start <= frames.start && frames.start < self.frames.end
        };
        let mut inputs = Vec::new();
        if self.kind == SegmentKind::DATA {
            let entries = state.checkpoint.data.iter().map(|slot| &slot.entry);
            inputs.extend(
                entries
                    .filter(|entry| inside(&(entry.first_frame..entry.end_frame)))
                    .map(|entry| entry.id),
            );
            return inputs == self.inputs;
        }
        let mut covered = FrameId(0);
        for run in state.index_runs(self.kind) {
            if inside(&run.frames) {
                inputs.extend(run.slots.iter().map(|slot| slot.entry.id));
            }
            covered = run.frames.end;
        }
        inputs == self.inputs && self.frames.start <= state.skip_purged(covered)
    }
}

/// Builds the segments of a state and lists them.
pub(crate) fn build(
    state: &State,
    out: &mut Output<'_>,
    options: &OpenOptions,
    compaction: Compaction,
    adopted: Option<&Built>,
) -> Result<Toc> {
    let old = &state.checkpoint.toc;
    let tail = &state.tail;
    let of = |kind| adopted.filter(|built| built.kind == kind);
    build_data(state, out, compaction, of(SegmentKind::DATA))?;
    build_commits(state, out, compaction)?;
    build_tombstones(state, out, compaction)?;
    build_purged(state, out)?;
    build_journal(state, out, compaction)?;
    build_properties(state, out)?;
    let max = options.checkpoint.max_segments;
    attached::build(state, out, &options.attached, max, adopted)?;
    for index in &options.indexes {
        build_index(state, out, index.as_ref(), compaction, of(index.kind()))?;
    }
    // Indexes that this build does not know stay, and are caught up by one that does.
    let is_built = |entry: &SegmentEntry| {
        let (indexes, attached) = (&options.indexes, &options.attached);
        let frames = indexes.iter().any(|index| index.kind() == entry.kind) && entry.part == 0;
        frames || attached.iter().any(|index| index.kind() == entry.kind)
    };
    for slot in &state.checkpoint.indexes {
        let entry = &slot.entry;
        if is_built(entry) {
            continue;
        }
        if state.loses(&(entry.first_frame..entry.end_frame)) {
            return Err(Error::CannotPurge {
                path: state.file.path.clone(),
                kind: entry.kind,
                segment: entry.id,
            });
        }
        out.keep(entry)?;
    }
    let payload: u64 = tail.frames.iter().map(|frame| frame.meta.payload_len).sum();
    let mut toc = Toc {
        uuid: old.uuid,
        generation: Generation(old.generation.0 + 1),
        next_segment: out.next_segment,
        next_frame: state.next_frame(),
        last_commit: state.last_commit(),
        last_time: state.last_time().unwrap_or_default(),
        tombstones: old.tombstones + tail.dead.len() as u64,
        payload_bytes: (old.payload_bytes.saturating_sub(state.purged_payload()))
            .saturating_add(payload),
        lineages: old.lineages.max(tail.lineages),
        bookkeeping: old.bookkeeping + tail.bookkeeping,
        segments: std::mem::take(&mut out.segments),
    };
    toc.sort();
    Ok(toc)
}

/// The groups of a plan: segments that become one, and whether what is new joins them. `segments` has one more size in
/// the plan than segments if there is something new.
fn groups<S>(segments: &[S], plan: Vec<Range<usize>>) -> impl Iterator<Item = (&[S], bool)> {
    plan.into_iter().map(move |group| {
        let end = group.end.min(segments.len());
        (
            &segments[group.start.min(end)..end],
            group.end > segments.len(),
        )
    })
}

fn build_data(
    state: &State,
    out: &mut Output<'_>,
    compaction: Compaction,
    adopted: Option<&Built>,
) -> Result<()> {
    let mut slots = &state.checkpoint.data[..];
    if let Some(built) = adopted {
        adopt(out, built)?;
        for slot in slots {
            if !built.inputs.contains(&slot.entry.id) {
                out.keep(&slot.entry)?;
            }
        }
        slots = &[];
    }
    let has_tail = !state.tail.frames.is_empty();
    let mut sizes: Vec<u64> = slots.iter().map(|slot| slot.entry.body_len).collect();
    if has_tail {
        sizes.push(state.tail.payload_bytes);
    }
    for (old, with_tail) in groups(slots, compaction.plan_data(&sizes)) {
        let repack = matches!(compaction, Compaction::Densest);
        let changed =
            |slot: &Arc<Slot<_>>| state.is_changed(&(slot.entry.first_frame..slot.entry.end_frame));
        if let ([slot], false, false) = (old, with_tail, repack || old.iter().any(changed)) {
            out.keep(&slot.entry)?;
            continue;
        }
        let first = old.first().map_or(state.checkpoint.toc.next_frame, |slot| {
            slot.entry.first_frame
        });
        let end = if with_tail {
            state.next_frame()
        } else {
            old.last().map_or(first, |slot| slot.entry.end_frame)
        };
        let mut text = if with_tail {
            state.tail.payload_bytes
        } else {
            0
        };
        for slot in old {
            text += state.data(slot)?.stream_len();
        }
        let mut segment = out.begin(text)?;
        let density = compaction.density(text);
        let coverage = pack_data(state, first..end, text, density, &mut |piece| {
            out.append_body(&mut segment, piece)
        })?;
        out.end(segment, coverage)?;
    }
    Ok(())
}

/// Writes what was built beforehand.
pub(crate) fn adopt(out: &mut Output<'_>, built: &Built) -> Result<()> {
    for (coverage, body) in &built.outputs {
        out.write(body, coverage.clone())?;
    }
    Ok(())
}

/// Packs a range of frames with so many bytes of text as a data segment, piece by piece.
pub(crate) fn pack_data(
    state: &State,
    frames: Range<FrameId>,
    text: u64,
    density: Density,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Coverage> {
    let dictionary = if text >= DICTIONARY_TEXT_BYTES {
        let len = DICTIONARY_BYTES.min(text / 64);
        train_dictionary(&samples(state, frames.clone(), text, len)?, len as usize)
    } else {
        Vec::new()
    };
    let format = |source| state.file.format(source);
    let mut builder =
        DataBuilder::new(frames.start, density.possible(), dictionary).map_err(format)?;
    let mut commits: Option<(CommitId, CommitId)> = None;
    state.visit_frames(frames.clone(), Detail::Stored, &mut |visited| {
        let commit = visited.meta().commit;
        let (from, to) = commits.unwrap_or((commit, commit));
        commits = Some((from.min(commit), to.max(commit)));
        match visited {
            Visited::Frame(frame) => builder.add(frame).map_err(format)?,
            Visited::Large(meta, mut payload) => {
                builder.begin(meta).map_err(format)?;
                while let Some(piece) = payload.next_piece().map_err(format)? {
                    builder.payload(piece).map_err(format)?;
                    sink(&builder.take())?;
                }
                builder.end(meta).map_err(format)?;
            }
        }
        sink(&builder.take())
    })?;
    sink(&builder.finish().map_err(format)?)?;
    Ok(Coverage {
        kind: SegmentKind::DATA,
        part: 0,
        rows: frames.end.0 - frames.start.0,
        frames,
        commits: commits.unwrap_or_default(),
        history: false,
    })
}

/// Payloads from all over a range of frames, to train a dictionary of so many bytes on.
fn samples(state: &State, frames: Range<FrameId>, text: u64, len: u64) -> Result<Vec<Vec<u8>>> {
    let wanted = len * TRAINING_BYTES_PER_BYTE;
    // Every `stride`-th frame, so that the samples are about as much text as is wanted.
    let stride = (text / wanted.max(1)).max(1);
    let mut samples = Vec::new();
    let purged = state.purged()?;
    let mut taken = 0;
    for id in (frames.start.0..frames.end.0).step_by(stride as usize) {
        if taken >= wanted {
            break;
        }
        if purged.contains(FrameId(id)) {
            continue;
        }
        let meta = state.meta(FrameId(id))?;
        if !meta.is_text || meta.payload_frame.is_some() {
            continue;
        }
        let mut sample = Vec::new();
        state.read_payload(FrameId(id), &mut |piece| {
            let room = SAMPLE_BYTES - sample.len();
            sample.extend_from_slice(&piece[..piece.len().min(room)]);
        })?;
        taken += sample.len() as u64;
        samples.push(sample);
    }
    Ok(samples)
}

fn build_commits(state: &State, out: &mut Output<'_>, compaction: Compaction) -> Result<()> {
    let slots = &state.checkpoint.commits;
    let tail = &state.tail.commits;
    let mut sizes: Vec<u64> = slots.iter().map(|slot| slot.entry.rows).collect();
    if !tail.is_empty() {
        sizes.push(tail.len() as u64);
    }
    for (old, with_tail) in groups(slots, compaction.plan_rows(&sizes)) {
        if let ([slot], false) = (old, with_tail) {
            out.keep(&slot.entry)?;
            continue;
        }
        let mut rows: Vec<CommitRow> = Vec::new();
        let mut edges = Vec::new();
        for slot in old {
            let segment = state.commit_rows(slot)?;
            for index in 0..segment.edges() {
                let edge = segment.edge(index);
                edges.push(edge.map_err(|source| state.file.format(source))?);
            }
            for id in slot.entry.first_commit.0..=slot.entry.last_commit.0 {
                let row = segment.get(CommitId(id));
                rows.extend(row.map_err(|source| state.file.format(source))?);
            }
        }
        if with_tail {
            for row in tail {
                edges.extend(state.edges_from(row)?);
            }
            rows.extend(tail.iter().cloned());
        }
        if let Some(purge) = &state.checkpoint.purging {
            let silenced = rows.iter_mut().filter(|row| purge.silences(row.id));
            silenced.for_each(|row| row.message.clear());
        }
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            continue;
        };
        let coverage = Coverage {
            kind: SegmentKind::COMMITS,
            part: 0,
            frames: FrameId(0)..FrameId(0),
            commits: (first.id, last.id),
            rows: rows.len() as u64,
            history: false,
        };
        let start = match first.id.0 {
            1 => FrameId(0),
            id => state.commit(CommitId(id - 1))?.watermark,
        };
        out.write(&commits::encode(&rows, start, &edges), coverage)?;
    }
    Ok(())
}

fn build_tombstones(state: &State, out: &mut Output<'_>, compaction: Compaction) -> Result<()> {
    let mut slots = state.checkpoint.tombstones.clone();
    // Deaths hit frames of any age, so the order of these segments is that of their commits.
    slots.sort_by_key(|slot| slot.entry.first_commit);
    let tail = &state.tail.dead;
    let mut sizes: Vec<u64> = slots.iter().map(|slot| slot.entry.rows).collect();
    if !tail.is_empty() {
        sizes.push(tail.len() as u64);
    }
    for (old, with_tail) in groups(&slots, compaction.plan_rows(&sizes)) {
        if let ([slot], false) = (old, with_tail) {
            out.keep(&slot.entry)?;
            continue;
        }
        let mut rows: Vec<Tombstone> = Vec::new();
        for slot in old {
            let segment = state.tombstone_rows(slot)?;
            for index in 0..segment.len() {
                rows.push(
                    segment
                        .row(index)
                        .map_err(|source| state.file.format(source))?,
                );
            }
        }
        if with_tail {
            rows.extend(tail.values().copied());
        }
        let frames = rows.iter().map(|row| row.frame);
        let commits = rows.iter().map(|row| row.commit);
        let coverage = Coverage {
            kind: SegmentKind::TOMBSTONES,
            part: 0,
            frames: frames.clone().min().unwrap_or_default()
                ..frames.max().unwrap_or_default().next(),
            commits: (
                commits.clone().min().unwrap_or_default(),
                commits.max().unwrap_or_default(),
            ),
            rows: rows.len() as u64,
            history: false,
        };
        out.write(&tombstones::encode(rows), coverage)?;
    }
    Ok(())
}

fn build_journal(state: &State, out: &mut Output<'_>, compaction: Compaction) -> Result<()> {
    let slots = &state.checkpoint.journal;
    let tail = &state.tail.journal;
    let mut sizes: Vec<u64> = slots.iter().map(|slot| slot.entry.body_len).collect();
    if !tail.is_empty() {
        sizes.push(tail.iter().map(|entry| entry.bytes.len() as u64).sum());
    }
    let purge = state.checkpoint.purging.as_deref();
    for (old, with_tail) in groups(slots, compaction.plan_journal(&sizes)) {
        let changed = old.iter().any(|slot| {
            let commits = slot.entry.first_commit..=slot.entry.last_commit;
            purge.is_some_and(|purge| purge.drops_entries(commits))
        });
        if let ([slot], false, false) = (old, with_tail, changed) {
            out.keep(&slot.entry)?;
            continue;
        }
        let mut entries: Vec<JournalEntry> = Vec::new();
        for slot in old {
            let segment = state.journal_rows(slot)?;
            for index in 0..segment.len() {
                let entry = segment.entry(index);
                entries.push(entry.map_err(|source| state.file.format(source))?);
            }
        }
        if with_tail {
            entries.extend(tail.iter().cloned());
        }
        entries.retain(|entry| !purge.is_some_and(|purge| purge.drops_entry(entry.commit)));
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            continue;
        };
        let coverage = Coverage {
            kind: SegmentKind::JOURNAL,
            part: 0,
            frames: FrameId(0)..FrameId(0),
            commits: (first.commit, last.commit),
            rows: entries.len() as u64,
            history: false,
        };
        out.write(&journal::encode(&entries), coverage)?;
    }
    Ok(())
}

fn build_properties(state: &State, out: &mut Output<'_>) -> Result<()> {
    let tail = &state.tail.properties;
    if let (Some(slot), true) = (state.checkpoint.properties.first(), tail.is_empty()) {
        return out.keep(&slot.entry);
    }
    let mut rows = state.stored_properties()?.to_vec();
    rows.extend(tail.iter().cloned());
    if rows.is_empty() {
        return Ok(());
    }
    let commits = rows.iter().map(|row| row.commit);
    let coverage = Coverage {
        kind: SegmentKind::PROPERTIES,
        part: 0,
        frames: FrameId(0)..FrameId(0),
        commits: (
            commits.clone().min().unwrap_or_default(),
            commits.max().unwrap_or_default(),
        ),
        rows: rows.len() as u64,
        history: false,
    };
    out.write(&properties::encode(rows), coverage)
}

fn build_index(
    state: &State,
    out: &mut Output<'_>,
    index: &dyn IndexFactory,
    compaction: Compaction,
    adopted: Option<&Built>,
) -> Result<()> {
    let mut runs = state.index_runs(index.kind());
    let mut covered = state.covered(index.kind());
    if let Some(built) = adopted {
        adopt(out, built)?;
        for slot in runs.iter().flat_map(|run| &run.slots) {
            if !built.inputs.contains(&slot.entry.id) {
                out.keep(&slot.entry)?;
            }
        }
        covered = covered.max(built.frames.end);
        runs.clear();
    }
    let end = match waits(state, covered, compaction)? {
        true => covered,
        false => state.next_frame(),
    };
    let mut frames: Vec<u64> = runs.iter().map(IndexRun::len).collect();
    let mut bytes: Vec<u64> = runs.iter().map(IndexRun::body_len).collect();
    if covered < end {
        frames.push(end.0 - covered.0);
        // About as large as what the text becomes.
        bytes.push(text_from(state, covered)? / 2);
    }
    let mut alone = state.runs_alone(index, &runs);
    alone.resize(frames.len(), false);
    for (old, with_new) in groups(&runs, compaction.plan_index(&frames, &bytes, &alone)) {
        let unsplit = matches!(compaction, Compaction::Full | Compaction::Densest)
            && old
                .iter()
                .any(|run| unsplit(state, index, run).is_ok_and(|dead| dead > 0));
        // A sealed file gets the form of the index that it is sealed with.
        let repack = matches!(compaction, Compaction::Densest);
        let changed = old.iter().any(|run| state.loses(&run.frames));
        if let ([run], false, false) = (old, with_new, unsplit || repack || changed) {
            for slot in &run.slots {
                out.keep(&slot.entry)?;
            }
            continue;
        }
        let first = old.first().map_or(covered, |run| run.frames.start);
        let last = if with_new {
            end
        } else {
            old.last().map_or(first, |run| run.frames.end)
        };
        // An index that cannot take a frame is left behind: it costs a feature, never data.
        match build_index_bodies(state, index, first..last, &Recent::default(), &|| Ok(()))? {
            Some(bodies) => {
                for (coverage, body) in bodies {
                    out.write(&body, coverage)?;
                }
            }
            None => {
                let old = old.iter().filter(|run| !state.loses(&run.frames));
                for slot in old.flat_map(|run| &run.slots) {
                    out.keep(&slot.entry)?;
                }
            }
        }
    }
    Ok(())
}

/// Whether frames that an index does not cover stay so at this checkpoint. Readers index what lags behind in memory, so it
/// must stay little: who commits so much brings it in right after, without the lock, and if it was killed there, the
/// next one does so here.
fn waits(state: &State, covered: FrameId, compaction: Compaction) -> Result<bool> {
    let Compaction::Inline { bulk, .. } = compaction else {
        return Ok(false);
    };
    let left = state.checkpoint.toc.next_frame.0.saturating_sub(covered.0);
    if left >= 2 * BULK_INDEX_FRAMES {
        return Ok(false);
    }
    Ok(bulk || state.next_frame().0 - covered.0 > INLINE_FRAMES)
}

/// Frames from `covered` on that are worth an index segment of their own now: up to about as much text as an import lets
/// lag behind. Frames of the tail are not among them.
pub(crate) fn lagging(state: &State, covered: FrameId, bulk: bool) -> Result<Range<FrameId>> {
    let end = state.checkpoint.toc.next_frame;
    let left = end.0.saturating_sub(covered.0);
    if left <= INLINE_FRAMES
        || (bulk && left < BULK_INDEX_FRAMES && text_from(state, covered)? < BULK_INDEX_BYTES)
    {
        return Ok(covered..covered);
    }
    let mut text = 0;
    for slot in &state.checkpoint.data {
        if slot.entry.end_frame <= covered {
            continue;
        }
        text += state.data(slot)?.stream_len();
        if text >= BULK_INDEX_BYTES {
            return Ok(covered..slot.entry.end_frame);
        }
    }
    Ok(covered..end)
}

/// About how many bytes of text the frames from one on hold.
fn text_from(state: &State, first: FrameId) -> Result<u64> {
    let mut text = state.tail.payload_bytes;
    for slot in state.checkpoint.data.iter().rev() {
        if slot.entry.end_frame <= first {
            break;
        }
        text += state.data(slot)?.stream_len();
    }
    Ok(text)
}

/// Frames that were seen when the hidden ones of a run were set apart, and are not any more.
pub(crate) fn unsplit(state: &State, index: &dyn IndexFactory, run: &IndexRun) -> Result<u64> {
    if !index.keeps_history_apart() {
        return Ok(0);
    }
    state.hidden_since(run.frames.clone(), run.split_at())
}

/// The bodies of an index over a range of frames: of those that are alive, and of the dead ones if the index wants them
/// apart. A huge text is a run of its own if the index wants that. `None` if the index refuses a frame. What is recent is
/// not read from the file. `go_on` is asked now and then.
pub(crate) fn build_index_bodies(
    state: &State,
    index: &dyn IndexFactory,
    frames: Range<FrameId>,
    recent: &Recent,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Option<Vec<Body>>> {
    let (dead, split_at) = match index.keeps_history_apart() {
        true => {
            let split = state.split()?;
            (split.hidden(state, frames.clone())?, split.commit)
        }
        false => (FrameSet::default(), CommitId(0)),
    };
    let mut dead = dead.frames().peekable();
    let detail = match index.reads_payload() {
        true => Detail::Resolved,
        false => Detail::Meta,
    };
    let mut bodies = Bodies {
        index,
        split_at,
        first: frames.start,
        builders: [const { None }; 2],
        finished: Some(Vec::new()),
    };
    let recent = recent.of(&state.file, &frames);
    let stored = frames.start..recent.first().map_or(frames.end, |frame| frame.meta.id);
    let mut take = |visited: Visited<'_>| {
        let id = visited.meta().id;
        if id.0.is_multiple_of(64) {
            go_on()?;
        }
        while dead.next_if(|dead| *dead < id).is_some() {}
        bodies.add(visited, dead.peek() == Some(&id));
        Ok(())
    };
    state.visit_frames(stored, detail, &mut take)?;
    visit_in_memory(recent, detail, &mut take)?;
    bodies.finish_run(frames.end);
    Ok(bodies.finished)
}

/// The bodies of an index, run by run.
struct Bodies<'a> {
    index: &'a dyn IndexFactory,
    split_at: CommitId,
    /// The first frame of the run.
    first: FrameId,
    /// Of frames that are alive and of dead ones, each with its rows.
    builders: [Option<(Box<dyn IndexBuilder>, u64)>; 2],
    /// `None` once the index has refused a frame.
    finished: Option<Vec<Body>>,
}

impl Bodies<'_> {
    fn add(&mut self, visited: Visited<'_>, is_dead: bool) {
        if self.finished.is_none() {
            return;
        }
        let meta = visited.meta();
        let id = meta.id;
        let alone = match meta.is_huge_text() {
            true => self.index.builder_of_huge(),
            false => None,
        };
        let is_alone = alone.is_some();
        if is_alone {
            self.finish_run(id);
        }
        let slot = &mut self.builders[usize::from(is_dead)];
        let new = || (alone.unwrap_or_else(|| self.index.builder()), 0);
        let (builder, rows) = slot.get_or_insert_with(new);
        *rows += 1;
        let added = match visited {
            Visited::Frame(frame) => builder.add(frame),
            Visited::Large(meta, payload) if meta.payload_is_text() => {
                builder.add_large(meta, payload)
            }
            // No index sees what is in it.
            Visited::Large(meta, _) => builder.add(&Frame {
                meta: meta.clone(),
                payload: Vec::new(),
            }),
        };
        if added.is_err() {
            self.finished = None;
        } else if is_alone {
            self.finish_run(id.next());
        }
    }

    /// Ends the run before a frame.
    fn finish_run(&mut self, end: FrameId) {
        let frames = self.first..end;
        self.first = end;
        for (slot, history) in self.builders.iter_mut().zip([false, true]) {
            let (Some((builder, rows)), Some(finished)) = (slot.take(), &mut self.finished) else {
                continue;
            };
            let Ok(body) = builder.finish() else {
                self.finished = None;
                return;
            };
            let coverage = Coverage {
                kind: self.index.kind(),
                part: 0,
                frames: frames.clone(),
                commits: (CommitId(0), self.split_at),
                rows,
                history,
            };
            finished.push((coverage, body));
        }
    }
}
