//! A checkpoint folds the tail of the log, and a batch that is too large for it, into segments.
//! `docs/format.md`, section "Checkpoint".

use std::ops::Range;
use std::sync::Arc;

use mv2_format::codec::{Density, train_dictionary};
use mv2_format::commits::{self, CommitRow};
use mv2_format::data::DataBuilder;
use mv2_format::root::{Root, RootKind};
use mv2_format::segment::PAGE_BYTES;
use mv2_format::toc::Toc;
use mv2_format::tombstones::{self, Tombstone};
use mv2_format::wal::{Batch, encode_anchor};
use mv2_format::{CommitId, Frame, FrameId, Generation, IndexFactory, SegmentId, SegmentKind};

use crate::compact::{plan, plan_all};
use crate::error::{Error, Result};
use crate::file::MemoryFile;
use crate::output::{Coverage, Output, seal};
use crate::state::{Checkpoint, State, Tail};

/// Data segments are not rebuilt beyond this many bytes: copying them gains nothing.
const DATA_CAP_BYTES: u64 = 64 << 20;

/// From this much text on zstd is worth its slower writing; what is smaller is rewritten soon.
const DENSE_BYTES: u64 = 64 << 10;

/// From this much text on a dictionary pays for itself.
const DICTIONARY_TEXT_BYTES: u64 = 1 << 20;

/// Largest dictionary, and text that it is trained on for each byte of it.
const DICTIONARY_BYTES: u64 = 32 << 10;
const TRAINING_BYTES_PER_BYTE: u64 = 40;

/// Frames, and bytes of text, that an import lets lag behind an index.
const BULK_INDEX_FRAMES: u64 = 16 << 10;
const BULK_INDEX_BYTES: u64 = 32 << 20;

/// A sample for the training is at most this long.
const SAMPLE_BYTES: usize = 8 << 10;

/// How thoroughly a checkpoint rebuilds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compaction {
    /// At most so many segments of a kind, data segments aside, of which there may be four times as many: they serve reads
    /// by id as well as one does, and each is written once more for each join.
    Tiered(usize),
    /// The same, but indexes wait for more frames, and data segments for many more of them.
    Bulk(usize),
    /// One segment of each kind, as far as that is sensible.
    Full,
    /// The same, packed as densely as possible.
    Densest,
}

impl Compaction {
    /// How a data segment with so many bytes of text is packed.
    fn density(self, text: u64) -> Density {
        match self {
            Self::Densest => Density::Densest,
            _ if text >= DENSE_BYTES => Density::Dense,
            _ => Density::Light,
        }
    }

    fn plan_data(self, sizes: &[u64]) -> Vec<Range<usize>> {
        match self {
            Self::Tiered(max) => plan(sizes, max * 4, DATA_CAP_BYTES),
            Self::Bulk(max) => plan(sizes, max * 8, DATA_CAP_BYTES),
            Self::Full | Self::Densest => plan_all(sizes, DATA_CAP_BYTES),
        }
    }

    fn plan(self, sizes: &[u64], cap: u64) -> Vec<Range<usize>> {
        match self {
            Self::Tiered(max) | Self::Bulk(max) => plan(sizes, max, cap),
            Self::Full | Self::Densest => plan_all(sizes, cap),
        }
    }
}

/// Where a checkpoint failed, which decides what the writer does next.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Before any sync: nothing changed, the handle is sound.
    Clean(Error),
    /// In or after a sync: what is on the disk is not known.
    Unknown(Error),
}

/// Writes a checkpoint of a state and a batch, and returns the new state.
pub(crate) fn write(
    state: &State,
    batch: Option<Batch>,
    indexes: &[Arc<dyn IndexFactory>],
    compaction: Compaction,
) -> Result<State, Failure> {
    let file = &state.file;
    let next = with_batch(state, batch);
    let mut out = Output::new(file, state.root.committed_len, &next, false);
    let toc = build(&next, &mut out, indexes, compaction).map_err(Failure::Clean)?;
    let root = out.finish(&toc).map_err(Failure::Clean)?;
    if let Err(error) = file.sync() {
        // The footer may be whole above missing pages. Nobody adopts a page of zeros.
        let _ = file.write(root.committed_len - PAGE_BYTES as u64, &[0; PAGE_BYTES]);
        return Err(Failure::Unknown(error));
    }
    write_root(file, &root).map_err(Failure::Unknown)?;
    write_anchor(file, &root).map_err(Failure::Unknown)?;
    Ok(State {
        file: Arc::clone(file),
        root,
        adopted: false,
        checkpoint: Arc::new(Checkpoint::new(toc, Some(&state.checkpoint))),
        tail: Arc::new(Tail::new(&root)),
        damage: None,
    })
}

/// Writes a state as the only checkpoint of another file, behind its header and log. Live segments that are not rebuilt
/// are copied. The caller syncs.
pub(crate) fn write_elsewhere(
    state: &State,
    target: &MemoryFile,
    start: u64,
    indexes: &[Arc<dyn IndexFactory>],
    compaction: Compaction,
) -> Result<()> {
    let mut out = Output::new(target, start, state, true);
    let toc = build(state, &mut out, indexes, compaction)?;
    let root = out.finish(&toc)?;
    target.write(
        Root::page_offset(root.generation).0,
        &root.encode(RootKind::Page),
    )?;
    // The file is durable before anybody sees it.
    write_anchor(target, &root)
}

/// Writes a root page and syncs.
pub(crate) fn write_root(file: &MemoryFile, root: &Root) -> Result<()> {
    file.write(
        Root::page_offset(root.generation).0,
        &root.encode(RootKind::Page),
    )?;
    file.sync()
}

/// Puts the anchor of a durable root page into the first slot of the log, over the log of the generation before. It tells the
/// next session that it need not make sure of the root page, and needs no sync: nothing is lost with it.
fn write_anchor(file: &MemoryFile, root: &Root) -> Result<()> {
    if file.header.wal_len == 0 {
        return Ok(());
    }
    let anchor = encode_anchor(&root.uuid, root.generation);
    file.write(file.header.wal_offset.0, &anchor)
}

/// The bytes of a new file: header, log, and an empty checkpoint.
pub(crate) fn empty_file(header: &mv2_format::header::Header) -> Vec<u8> {
    let toc = Toc {
        uuid: header.uuid,
        generation: Generation(1),
        next_segment: SegmentId(1),
        ..Toc::default()
    };
    let start = header.wal_offset.0 + header.wal_len;
    let (root, tail) = seal(&toc, start);
    let mut bytes = header.encode();
    bytes.resize(start as usize, 0);
    // The file is durable before anybody sees it.
    let log = header.wal_offset.0 as usize;
    bytes[log..log + PAGE_BYTES].copy_from_slice(&encode_anchor(&root.uuid, root.generation));
    let page = Root::page_offset(root.generation).0 as usize;
    bytes[page..page + PAGE_BYTES].copy_from_slice(&root.encode(RootKind::Page));
    bytes.extend_from_slice(&tail);
    bytes
}

/// The state as it will be, with the batch at the end of its tail.
fn with_batch(state: &State, batch: Option<Batch>) -> State {
    let mut next = state.clone();
    if let Some(batch) = batch {
        Arc::make_mut(&mut next.tail).push(batch, [0; 16], 0);
    }
    next
}

fn build(
    state: &State,
    out: &mut Output<'_>,
    indexes: &[Arc<dyn IndexFactory>],
    compaction: Compaction,
) -> Result<Toc> {
    let old = &state.checkpoint.toc;
    let tail = &state.tail;
    build_data(state, out, compaction)?;
    build_commits(state, out, compaction)?;
    build_tombstones(state, out, compaction)?;
    let built: Vec<_> = indexes.iter().map(|index| index.kind()).collect();
    for index in indexes {
        build_index(state, out, index.as_ref(), compaction)?;
    }
    // Indexes that this build does not know stay, and are caught up by one that does.
    for slot in &state.checkpoint.indexes {
        if !built.contains(&slot.entry.kind) {
            out.keep(&slot.entry)?;
        }
    }
    let payload: u64 = tail.frames.iter().map(|frame| frame.meta.payload_len).sum();
    let mut toc = Toc {
        uuid: old.uuid,
        generation: Generation(old.generation.0 + 1),
        next_segment: out.next_segment,
        next_frame: state.next_frame(),
        last_commit: state.last_commit(),
        last_time: state.last_time().unwrap_or_default(),
        dead_frames: old.dead_frames + tail.dead.len() as u64,
        payload_bytes: old.payload_bytes.saturating_add(payload),
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

fn build_data(state: &State, out: &mut Output<'_>, compaction: Compaction) -> Result<()> {
    let slots = &state.checkpoint.data;
    let tail = &state.tail.frames;
    let mut sizes: Vec<u64> = slots.iter().map(|slot| slot.entry.body_len).collect();
    if !tail.is_empty() {
        sizes.push(state.tail.payload_bytes);
    }
    for (old, with_tail) in groups(slots, compaction.plan_data(&sizes)) {
        let repack = matches!(compaction, Compaction::Densest);
        if let ([slot], false, false) = (old, with_tail, repack) {
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
        write_data(state, out, first..end, text, compaction.density(text))?;
    }
    Ok(())
}

/// Writes a data segment of a range of frames with so many bytes of text.
fn write_data(
    state: &State,
    out: &mut Output<'_>,
    frames: Range<FrameId>,
    text: u64,
    density: Density,
) -> Result<()> {
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
    let mut segment = out.begin(text)?;
    state.for_each_frame(frames.clone(), false, &mut |frame| {
        let commit = frame.meta.commit;
        let (from, to) = commits.unwrap_or((commit, commit));
        commits = Some((from.min(commit), to.max(commit)));
        builder.add(frame).map_err(format)?;
        out.append_body(&mut segment, &builder.take())
    })?;
    out.append_body(&mut segment, &builder.finish().map_err(format)?)?;
    let coverage = Coverage {
        kind: SegmentKind::DATA,
        rows: frames.end.0 - frames.start.0,
        frames,
        commits: commits.unwrap_or_default(),
    };
    out.end(segment, coverage)
}

/// Payloads from all over a range of frames, to train a dictionary of so many bytes on.
fn samples(state: &State, frames: Range<FrameId>, text: u64, len: u64) -> Result<Vec<Vec<u8>>> {
    let wanted = len * TRAINING_BYTES_PER_BYTE;
    // Every `stride`-th frame, so that the samples are about as much text as is wanted.
    let stride = (text / wanted.max(1)).max(1);
    let mut samples = Vec::new();
    let mut taken = 0;
    for id in (frames.start.0..frames.end.0).step_by(stride as usize) {
        if taken >= wanted {
            break;
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
    for (old, with_tail) in groups(slots, compaction.plan(&sizes, u64::MAX)) {
        if let ([slot], false) = (old, with_tail) {
            out.keep(&slot.entry)?;
            continue;
        }
        let mut rows: Vec<CommitRow> = Vec::new();
        for slot in old {
            let segment = state.commit_rows(slot)?;
            for id in slot.entry.first_commit.0..=slot.entry.last_commit.0 {
                let row = segment.get(CommitId(id));
                rows.extend(row.map_err(|source| state.file.format(source))?);
            }
        }
        if with_tail {
            rows.extend(tail.iter().cloned());
        }
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            continue;
        };
        let coverage = Coverage {
            kind: SegmentKind::COMMITS,
            frames: FrameId(0)..FrameId(0),
            commits: (first.id, last.id),
            rows: rows.len() as u64,
        };
        out.write(&commits::encode(&rows), coverage)?;
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
    for (old, with_tail) in groups(&slots, compaction.plan(&sizes, u64::MAX)) {
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
            frames: frames.clone().min().unwrap_or_default()
                ..frames.max().unwrap_or_default().next(),
            commits: (
                commits.clone().min().unwrap_or_default(),
                commits.max().unwrap_or_default(),
            ),
            rows: rows.len() as u64,
        };
        out.write(&tombstones::encode(rows), coverage)?;
    }
    Ok(())
}

fn build_index(
    state: &State,
    out: &mut Output<'_>,
    index: &dyn IndexFactory,
    compaction: Compaction,
) -> Result<()> {
    let slots: Vec<_> = state.index_slots(index.kind()).collect();
    let covered = state.covered(index.kind());
    let end = match compaction {
        // Readers index what lags behind in memory, so it must stay little.
        Compaction::Bulk(_)
            if state.next_frame().0 - covered.0 < BULK_INDEX_FRAMES
                && text_from(state, covered)? < BULK_INDEX_BYTES =>
        {
            covered
        }
        _ => state.next_frame(),
    };
    let mut sizes: Vec<u64> = slots
        .iter()
        .map(|slot| slot.entry.end_frame.0 - slot.entry.first_frame.0)
        .collect();
    if covered < end {
        sizes.push(end.0 - covered.0);
    }
    for (old, with_new) in groups(&slots, compaction.plan(&sizes, u64::from(u32::MAX / 2))) {
        if let ([slot], false) = (old, with_new) {
            out.keep(&slot.entry)?;
            continue;
        }
        let first = old.first().map_or(covered, |slot| slot.entry.first_frame);
        let last = if with_new {
            end
        } else {
            old.last().map_or(first, |slot| slot.entry.end_frame)
        };
        // An index that cannot take a frame is left behind: it costs a feature, never data.
        match build_index_body(state, index, first..last)? {
            Some(body) => {
                let coverage = Coverage {
                    kind: index.kind(),
                    frames: first..last,
                    commits: Default::default(),
                    rows: last.0 - first.0,
                };
                out.write(&body, coverage)?;
            }
            None => {
                for slot in old {
                    out.keep(&slot.entry)?;
                }
            }
        }
    }
    Ok(())
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

/// The body of an index segment, `None` if the index refuses a frame.
fn build_index_body(
    state: &State,
    index: &dyn IndexFactory,
    frames: Range<FrameId>,
) -> Result<Option<Vec<u8>>> {
    let mut builder = index.builder();
    let mut sound = true;
    state.for_each_frame(frames, true, &mut |frame: &Frame| {
        sound = sound && builder.add(frame).is_ok();
        Ok(())
    })?;
    Ok(if sound { builder.finish().ok() } else { None })
}
