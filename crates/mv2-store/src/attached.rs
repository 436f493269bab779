//! Segments of indexes over attachments, and the attachments that no index has taken yet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use mv2_format::index::{AttachmentSource, Effort, SegmentSize};
use mv2_format::{
    Attachment, AttachmentIndex, CommitId, FrameId, FrameSet, SegmentBytes, SegmentId, SegmentKind,
    attachments,
};

use crate::build::{Body, Built, adopt};
use crate::compact::plan_attached;
use crate::error::{Error, Result};
use crate::output::{Coverage, Output};
use crate::state::{Slot, State};

/// Attachments of one index that are to become part of a segment.
type Parts = BTreeMap<u32, Vec<Attachment>>;

/// Hands attachments to their indexes; what no index takes is kept for one that will.
pub(crate) fn build(
    state: &State,
    out: &mut Output<'_>,
    indexes: &[Arc<dyn AttachmentIndex>],
    max: usize,
    adopted: Option<&Built>,
) -> Result<()> {
    let stored = state.stored_attachments()?;
    let purged = state.purged()?;
    let mut left = Vec::new();
    let mut taken: BTreeMap<SegmentKind, Parts> = BTreeMap::new();
    let all = stored.iter().chain(&state.tail.attachments);
    for attachment in all.filter(|row| !purged.contains(row.frame)) {
        if indexes.iter().any(|index| index.kind() == attachment.kind) {
            let parts = taken.entry(attachment.kind).or_default();
            let rows = parts.entry(attachment.part).or_default();
            rows.push(attachment.clone());
        } else {
            left.push(attachment.clone());
        }
    }
    for index in indexes {
        let mut parts = taken.remove(&index.kind()).unwrap_or_default();
        for slot in state.attached_slots(index.kind()) {
            parts.entry(slot.entry.part).or_default();
        }
        for (part, rows) in parts {
            let adopted = adopted.filter(|built| (built.kind, built.part) == (index.kind(), part));
            let rows = build_part(state, out, &**index, part, rows, max, adopted)?;
            left.extend(rows);
        }
    }
    match state.checkpoint.attachments.first() {
        Some(slot) if *stored == left => out.keep(&slot.entry),
        _ if left.is_empty() => Ok(()),
        _ => {
            let frames = left.iter().map(|row| row.frame);
            let coverage = Coverage {
                kind: SegmentKind::ATTACHMENTS,
                part: 0,
                frames: span(frames),
                commits: Default::default(),
                rows: left.len() as u64,
                history: false,
            };
            out.write(&attachments::encode(&left), coverage)
        }
    }
}

/// Builds the segments of one part. Returns the rows that the index did not take.
fn build_part(
    state: &State,
    out: &mut Output<'_>,
    index: &dyn AttachmentIndex,
    part: u32,
    rows: Vec<Attachment>,
    max: usize,
    adopted: Option<&Built>,
) -> Result<Vec<Attachment>> {
    let mut slots = state.attached_slots(index.kind());
    slots.retain(|slot| slot.entry.part == part);
    if let Some(built) = adopted {
        adopt(out, built)?;
        slots.retain(|slot| !built.inputs.contains(&slot.entry.id));
    }
    slots = rebuild_changed(state, out, index, part, slots)?;
    // Large joins take minutes where they build graphs, so they are left to housekeeping, also in a vacuum.
    let (joinable, kept): (Vec<_>, Vec<_>) =
        slots.into_iter().partition(|slot| !slot.entry.history);
    for slot in kept {
        out.keep(&slot.entry)?;
    }
    let mut sizes: Vec<u64> = joinable.iter().map(|slot| slot.entry.rows).collect();
    if !rows.is_empty() {
        sizes.push(rows.len() as u64);
    }
    let mut refused = Vec::new();
    for group in plan_attached(&sizes, max) {
        let with_new = group.end > joinable.len();
        let old = &joinable[group.start..group.end.min(joinable.len())];
        let new = if with_new { &rows[..] } else { &[] };
        if let ([slot], false) = (old, with_new) {
            out.keep(&slot.entry)?;
            continue;
        }
        match build_bodies(state, index, part, old, new, Effort::Quick, &|| false)? {
            Some(bodies) => {
                for (coverage, body) in bodies {
                    out.write(&body, coverage)?;
                }
            }
            None => {
                for slot in old {
                    out.keep(&slot.entry)?;
                }
                refused.extend_from_slice(new);
            }
        }
    }
    Ok(refused)
}

/// Builds those segments anew that have rows of frames that are purged, and returns the others. Graphs are left to
/// housekeeping.
fn rebuild_changed(
    state: &State,
    out: &mut Output<'_>,
    index: &dyn AttachmentIndex,
    part: u32,
    slots: Vec<Arc<Slot<SegmentBytes>>>,
) -> Result<Vec<Arc<Slot<SegmentBytes>>>> {
    let mut same = Vec::with_capacity(slots.len());
    let purged = state.purged()?;
    for slot in slots {
        let entry = &slot.entry;
        let frames = entry.first_frame..entry.end_frame;
        if !state.loses(&frames) {
            same.push(slot);
            continue;
        }
        let source = AttachmentSource {
            segments: &[state.index_bytes(&slot)?.clone()],
            attachments: &[],
            wanted: &|frame| !purged.contains(frame),
            effort: Effort::Quick,
            cancelled: &|| false,
        };
        // Keeping it is no way out here.
        let built = index.build(&source).map_err(|_| Error::CannotPurge {
            path: state.file.path.clone(),
            kind: entry.kind,
            segment: entry.id,
        })?;
        if let Some((body, rows)) = built {
            let coverage = Coverage {
                kind: index.kind(),
                part,
                frames,
                // Without this, nobody would take it for one that was built with all effort.
                commits: match entry.history {
                    true => (CommitId(0), entry.last_commit),
                    false => Default::default(),
                },
                rows,
                history: entry.history,
            };
            out.write(&body, coverage)?;
        }
    }
    Ok(same)
}

/// The bodies of what some segments and rows become: what is alive, and with all effort apart from it what is dead.
/// `None` if the index refuses.
fn build_bodies(
    state: &State,
    index: &dyn AttachmentIndex,
    part: u32,
    slots: &[Arc<Slot<SegmentBytes>>],
    rows: &[Attachment],
    effort: Effort,
    cancelled: &dyn Fn() -> bool,
) -> Result<Option<Vec<Body>>> {
    let apart = effort == Effort::Thorough;
    let mut segments = Vec::with_capacity(slots.len());
    for slot in slots {
        segments.push(state.index_bytes(slot)?.clone());
    }
    let mut frames = span(rows.iter().map(|row| row.frame));
    for slot in slots {
        let entry = &slot.entry;
        frames = match frames.is_empty() {
            true => entry.first_frame..entry.end_frame,
            false => frames.start.min(entry.first_frame)..frames.end.max(entry.end_frame),
        };
    }
    let split = state.split()?;
    let dead = match apart {
        true => split.hidden(state, frames.clone())?,
        false => FrameSet::default(),
    };
    let mut bodies = Vec::new();
    for history in [false, true] {
        if history && dead.is_empty() {
            continue;
        }
        let source = AttachmentSource {
            segments: &segments,
            attachments: rows,
            wanted: &|frame| dead.contains(frame) == history,
            effort: if history { Effort::Quick } else { effort },
            cancelled,
        };
        match index.build(&source) {
            Ok(None) => {}
            Ok(Some((body, rows))) => {
                let coverage = Coverage {
                    kind: index.kind(),
                    part,
                    frames: frames.clone(),
                    commits: (CommitId(0), if apart { split.commit } else { CommitId(0) }),
                    rows,
                    history,
                };
                bodies.push((coverage, body));
            }
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(bodies))
}

/// The job that an index over attachments wants done: its part, the segments, and how well.
pub(crate) fn due(
    state: &State,
    index: &dyn AttachmentIndex,
    patience: Effort,
) -> Result<Option<(u32, Vec<SegmentId>, Effort)>> {
    let slots = state.attached_slots(index.kind());
    let parts: BTreeSet<u32> = slots.iter().map(|slot| slot.entry.part).collect();
    for part in parts {
        let mine: Vec<_> = slots
            .iter()
            .filter(|slot| slot.entry.part == part && !slot.entry.history)
            .collect();
        let mut sizes = Vec::with_capacity(mine.len());
        for slot in &mine {
            let entry = &slot.entry;
            let frames = entry.first_frame..entry.end_frame;
            sizes.push(SegmentSize {
                rows: entry.rows,
                bytes: entry.body_len,
                dead: state.hidden_since(frames, entry.last_commit)?,
                // Only then were the dead ones set apart.
                thorough: entry.last_commit != CommitId(0),
            });
        }
        if let Some((group, effort)) = index.due(&sizes, patience) {
            let ids = mine[group].iter().map(|slot| slot.entry.id);
            return Ok(Some((part, ids.collect(), effort)));
        }
    }
    Ok(None)
}

/// Builds what [`due`] asked for.
pub(crate) fn build_due(
    state: &State,
    index: &dyn AttachmentIndex,
    part: u32,
    inputs: &[SegmentId],
    effort: Effort,
    cancelled: &dyn Fn() -> bool,
) -> Result<Option<Built>> {
    let mut slots = state.attached_slots(index.kind());
    slots.retain(|slot| inputs.contains(&slot.entry.id));
    let bodies = build_bodies(state, index, part, &slots, &[], effort, cancelled)?;
    if cancelled() {
        return Err(Error::Cancelled {
            path: state.file.path.clone(),
        });
    }
    Ok(bodies.map(|outputs| Built {
        kind: index.kind(),
        part,
        frames: FrameId(0)..FrameId(0),
        inputs: inputs.to_vec(),
        outputs,
    }))
}

/// The range from the lowest to the highest frame.
fn span(frames: impl Iterator<Item = FrameId> + Clone) -> Range<FrameId> {
    let start = frames.clone().min().unwrap_or_default();
    start..frames.max().map_or(start, FrameId::next)
}
