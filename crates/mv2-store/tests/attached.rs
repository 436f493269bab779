//! Attachments and properties: from the log into segments, with and without an index for them.

mod common;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use common::note;
use mv2_format::index::{AttachmentSource, Effort, SegmentSize};
use mv2_format::{Attachment, AttachmentIndex, BoxError, FrameId, SegmentBytes, SegmentKind};
use mv2_store::{
    CheckpointPolicy, CommitOptions, CreateOptions, Error, MemoryVolume, OpenOptions, Store,
};

/// An index whose segments are rows of frame (8) and a byte; `due` from a number of segments on.
struct Rows;

impl AttachmentIndex for Rows {
    fn kind(&self) -> SegmentKind {
        SegmentKind::VECTORS
    }

    fn build(&self, source: &AttachmentSource<'_>) -> Result<Option<(Vec<u8>, u64)>, BoxError> {
        let mut rows = Vec::new();
        for segment in source.segments {
            rows.extend(decode(segment));
        }
        for attachment in source.attachments {
            match attachment.bytes[..] {
                [byte] => rows.push((attachment.frame.0, byte)),
                _ => return Err("one byte".into()),
            }
        }
        rows.retain(|row| (source.wanted)(FrameId(row.0)));
        if rows.is_empty() {
            return Ok(None);
        }
        rows.sort_unstable();
        let mut body = Vec::new();
        for (frame, byte) in &rows {
            body.extend_from_slice(&frame.to_le_bytes());
            body.push(*byte);
        }
        // As a graph would be.
        if source.effort == Effort::Thorough {
            body.extend_from_slice(&[0xff; 9]);
        }
        Ok(Some((body, rows.len() as u64)))
    }

    fn due(&self, segments: &[SegmentSize], patience: Effort) -> Option<(Range<usize>, Effort)> {
        let dead = segments.iter().position(|size| size.dead * 2 > size.rows);
        let group = (segments.len() > 2)
            .then_some(0..segments.len())
            .or(dead.map(|at| at..at + 1));
        group.map(|group| (group, patience))
    }
}

fn decode(bytes: &SegmentBytes) -> Vec<(u64, u8)> {
    let bytes = bytes.all().unwrap();
    bytes
        .chunks_exact(9)
        .filter(|row| row[0] != 0xff)
        .map(|row| (u64::from_le_bytes(row[..8].try_into().unwrap()), row[8]))
        .collect()
}

fn options(index: bool) -> OpenOptions {
    OpenOptions {
        attached: if index { vec![Arc::new(Rows)] } else { vec![] },
        checkpoint: CheckpointPolicy {
            tail_frames: 5,
            ..CheckpointPolicy::default()
        },
        ..OpenOptions::default()
    }
}

fn row(frame: FrameId, byte: u8, part: u32) -> Attachment {
    Attachment {
        frame,
        kind: SegmentKind::VECTORS,
        part,
        bytes: [byte][..].into(),
    }
}

/// One commit for each frame, with a row of part 0, and of part 1 for even ones.
fn puts(store: &mut Store, frames: Range<u64>) {
    for id in frames {
        let outcome = store.put(note(&format!("{id}"), &format!("{id}"))).unwrap();
        store.attach(row(outcome.frame, id as u8, 0)).unwrap();
        if id % 2 == 0 {
            store.attach(row(outcome.frame, 100 + id as u8, 1)).unwrap();
        }
        store.commit(CommitOptions::default()).unwrap();
    }
}

/// All rows of a part, alive and of history.
fn rows(store: &Store, part: u32) -> BTreeMap<u64, u8> {
    let (segments, pending) = store
        .snapshot()
        .unwrap()
        .attached(SegmentKind::VECTORS, part)
        .unwrap();
    let mut all = Vec::new();
    for segment in &segments {
        all.extend(decode(&segment.bytes));
    }
    all.extend(pending.iter().map(|row| (row.frame.0, row.bytes[0])));
    let map: BTreeMap<_, _> = all.iter().copied().collect();
    assert_eq!(map.len(), all.len(), "each row once: {all:?}");
    map
}

fn expected(frames: Range<u64>, part: u32) -> BTreeMap<u64, u8> {
    match part {
        0 => frames.map(|id| (id, id as u8)).collect(),
        _ => frames
            .filter(|id| id % 2 == 0)
            .map(|id| (id, 100 + id as u8))
            .collect(),
    }
}

fn sound(volume: &MemoryVolume) {
    let report = Store::verify_on(volume, Path::new("m"), true).unwrap();
    assert!(report.ok, "{:?}", report.problems);
}

fn create(volume: &Arc<MemoryVolume>, index: bool) -> Store {
    let create = CreateOptions::default();
    Store::create_on(volume.clone(), Path::new("m"), &create, options(index)).unwrap()
}

fn open(volume: &Arc<MemoryVolume>, index: bool) -> Store {
    Store::open_on(volume.clone(), Path::new("m"), options(index), true).unwrap()
}

#[test]
fn rows_go_from_the_log_into_segments_part_by_part() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume, true);
    puts(&mut store, 0..23);
    for part in 0..2 {
        assert_eq!(rows(&store, part), expected(0..23, part));
    }
    drop(store);
    let mut store = open(&volume, true);
    for part in 0..2 {
        assert_eq!(rows(&store, part), expected(0..23, part));
    }
    // Housekeeping joins them and sets apart what died.
    for id in 0..8 {
        store.delete(FrameId(id)).unwrap();
    }
    store.commit(CommitOptions::default()).unwrap();
    store.checkpoint().unwrap();
    while store.maintain(Effort::Thorough, &|| false).unwrap() {}
    assert_eq!(rows(&store, 0), expected(0..23, 0));
    assert_eq!(rows(&store, 1), expected(0..23, 1));
    let snapshot = store.snapshot().unwrap();
    let (segments, _) = snapshot.attached(SegmentKind::VECTORS, 0).unwrap();
    let history: Vec<_> = segments
        .iter()
        .filter(|segment| segment.history)
        .flat_map(|segment| decode(&segment.bytes))
        .map(|row| row.0)
        .collect();
    assert_eq!(history, (0..8).collect::<Vec<_>>());
    sound(&volume);
    store.vacuum().unwrap();
    assert_eq!(rows(&store, 0), expected(0..23, 0));
    sound(&volume);
}

#[test]
fn a_build_without_the_index_loses_no_row() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume, true);
    puts(&mut store, 0..8);
    drop(store);
    let mut store = open(&volume, false);
    puts(&mut store, 8..30);
    store.checkpoint().unwrap();
    store.optimize().unwrap();
    store.vacuum().unwrap();
    assert_eq!(rows(&store, 0), expected(0..30, 0));
    drop(store);
    let mut store = open(&volume, true);
    puts(&mut store, 30..31);
    store.checkpoint().unwrap();
    for part in 0..2 {
        assert_eq!(rows(&store, part), expected(0..31, part));
        let snapshot = store.snapshot().unwrap();
        let (_, pending) = snapshot.attached(SegmentKind::VECTORS, part).unwrap();
        assert!(pending.is_empty(), "the index has taken them");
    }
    sound(&volume);
}

#[test]
fn what_the_index_refuses_is_kept() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume, true);
    puts(&mut store, 0..3);
    store
        .attach(Attachment {
            bytes: [1, 2][..].into(),
            ..row(FrameId(1), 0, 7)
        })
        .unwrap();
    store.commit(CommitOptions::default()).unwrap();
    puts(&mut store, 3..20);
    assert_eq!(rows(&store, 0), expected(0..20, 0));
    let snapshot = store.snapshot().unwrap();
    let (_, pending) = snapshot.attached(SegmentKind::VECTORS, 7).unwrap();
    assert_eq!(pending[0].bytes[..], [1, 2]);
}

#[test]
fn an_older_frame_can_be_given_something_and_a_missing_one_cannot() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume, true);
    puts(&mut store, 0..12);
    store.attach(row(FrameId(3), 9, 2)).unwrap();
    assert!(matches!(
        store.attach(row(FrameId(12), 9, 2)),
        Err(Error::NoSuchFrame { .. })
    ));
    store.commit(CommitOptions::default()).unwrap();
    assert_eq!(rows(&store, 2), BTreeMap::from([(3, 9)]));
    store.checkpoint().unwrap();
    assert_eq!(rows(&store, 2), BTreeMap::from([(3, 9)]));
}

#[test]
fn properties_change_with_commits_and_stay_as_they_were_in_snapshots() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume, true);
    assert_eq!(
        store.snapshot().unwrap().property("embedder").unwrap(),
        None
    );
    store.set_property("embedder", Some(b"a".to_vec())).unwrap();
    store.set_property("zone", Some(b"z".to_vec())).unwrap();
    assert!(store.commit(CommitOptions::default()).unwrap().is_some());
    let first = store.snapshot().unwrap();
    store.checkpoint().unwrap();
    store.set_property("embedder", Some(b"b".to_vec())).unwrap();
    store.commit(CommitOptions::default()).unwrap();
    store.set_property("embedder", Some(b"b".to_vec())).unwrap();
    let nothing = store.commit(CommitOptions::default()).unwrap();
    assert!(nothing.is_none(), "it had this value already");
    store.checkpoint().unwrap();
    store.set_property("zone", None).unwrap();
    store.commit(CommitOptions::default()).unwrap();
    drop(store);

    assert_eq!(first.property("embedder").unwrap(), Some(b"a".to_vec()));
    let mut store = open(&volume, true);
    let values = |store: &Store| {
        let snapshot = store.snapshot().unwrap();
        ["embedder", "zone", "embed", "zzz"].map(|key| snapshot.property(key).unwrap())
    };
    let now = [Some(b"b".to_vec()), None, None, None];
    assert_eq!(values(&store), now);
    store.checkpoint().unwrap();
    assert_eq!(values(&store), now);
    store.seal().unwrap();
    assert_eq!(values(&store), now);
    sound(&volume);
}
