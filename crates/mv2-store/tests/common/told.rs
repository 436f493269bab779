//! All that a snapshot says, to be compared with what it said before.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mv2_format::{CommitId, FrameId, SegmentKind, Timestamp};
use mv2_store::{
    CheckpointPolicy, Clock, CreateOptions, MemoryVolume, OpenOptions, Seen, Snapshot, Store,
};

use super::options;

/// Advances by uneven steps, and once falls back.
pub struct Steps(pub AtomicI64);

impl Clock for Steps {
    fn now(&self) -> Timestamp {
        let step = self.0.fetch_add(1, Ordering::Relaxed);
        let back = if step > 40 { 1_000_000 } else { 0 };
        Timestamp(step * step * 1_000 - back)
    }
}

pub fn store() -> Store {
    store_on(Arc::new(MemoryVolume::new()))
}

/// A store at the path `m` that has much housekeeping to do.
pub fn store_on(volume: Arc<MemoryVolume>) -> Store {
    let options = OpenOptions {
        clock: Arc::new(Steps(AtomicI64::new(1))),
        checkpoint: CheckpointPolicy {
            tail_frames: 6,
            max_segments: 3,
            ..CheckpointPolicy::default()
        },
        ..options()
    };
    Store::create_on(volume, Path::new("m"), &CreateOptions::default(), options).unwrap()
}

/// All that a snapshot says of frames, commits and properties.
pub fn told(snapshot: &Snapshot) -> String {
    let end = snapshot.end_frame();
    let metas: Vec<_> = snapshot
        .metas(FrameId(0)..FrameId(u64::MAX))
        .map(Result::unwrap)
        .collect();
    let payloads: Vec<_> = (0..end.0 + 3)
        .map(|id| match snapshot.payload(FrameId(id)) {
            Ok(payload) => String::from_utf8(payload).unwrap(),
            Err(error) => error.to_string(),
        })
        .collect();
    let uris: Vec<_> = (0..8)
        .map(|n| snapshot.find_uri(&format!("u{n}")).unwrap())
        .collect();
    let log: Vec<_> = snapshot.log().map(Result::unwrap).collect();
    let changes: Vec<_> = log
        .iter()
        .map(|commit| snapshot.changes(commit.id).unwrap())
        .collect();
    let stats = snapshot.stats().unwrap();
    let figures = (
        stats.frames,
        stats.frames_total,
        stats.commits,
        stats.payload_bytes,
    );
    let properties = snapshot.properties().unwrap();
    let property = snapshot.property("p").unwrap();
    let dead = snapshot.dead_in(FrameId(0)..FrameId(u64::MAX), CommitId(0));
    format!(
        "{end} {metas:?} {payloads:?} {uris:?} {log:?} {changes:?} {figures:?} {properties:?} \
         {property:?} {:?}",
        dead.unwrap()
    )
}

/// The frames that the index's segments and the tail show to a snapshot.
pub fn seen_by_index(snapshot: &Snapshot) -> Vec<u64> {
    let mut seen: Vec<u64> = Vec::new();
    for segment in snapshot.segments(SegmentKind::LEX).unwrap() {
        let Some(seen_in) = snapshot.seen_in(&segment).unwrap() else {
            continue;
        };
        let is_seen = |id: &FrameId| match &seen_in {
            Seen::AllBut(hidden) => !hidden.contains(id),
            Seen::Only(frames) => frames.contains(id),
        };
        let bytes = segment.bytes.get(0..segment.bytes.len()).unwrap();
        let ids = bytes
            .chunks_exact(8)
            .map(|id| u64::from_le_bytes(id.try_into().unwrap()));
        seen.extend(ids.filter(|id| is_seen(&FrameId(*id))));
    }
    let tail = snapshot.uncovered(SegmentKind::LEX).unwrap();
    let ids = tail.iter().map(|frame| frame.meta.id);
    seen.extend(
        ids.filter(|id| snapshot.is_visible(*id).unwrap())
            .map(|id| id.0),
    );
    seen.retain(|id| *id < snapshot.end_frame().0);
    seen.sort_unstable();
    seen
}
