//! Housekeeping: joins and splits without the lock, beside readers and writers.

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{IdIndex, indexed, note, options, puts};
use mv2_format::frame::HUGE_TEXT_BYTES;
use mv2_format::index::Effort;
use mv2_format::{
    BoxError, CommitId, Frame, FrameId, FrameMeta, IndexBuilder, IndexFactory, PayloadReader,
    SegmentKind,
};
use mv2_store::storage::MemoryVolume;
use mv2_store::{
    CheckpointPolicy, CommitOptions, CreateOptions, Error, NewFrame, OpenOptions, Store,
};

/// A checkpoint every four frames and three segments of a kind: much housekeeping for little data.
fn small() -> OpenOptions {
    OpenOptions {
        checkpoint: CheckpointPolicy {
            tail_frames: 4,
            max_segments: 3,
            ..CheckpointPolicy::default()
        },
        ..options()
    }
}

fn create(volume: &Arc<MemoryVolume>, open: OpenOptions) -> Store {
    Store::create_on(
        volume.clone(),
        Path::new("m"),
        &CreateOptions::default(),
        open,
    )
    .unwrap()
}

fn open(volume: &Arc<MemoryVolume>, open: OpenOptions) -> Store {
    Store::open_on(volume.clone(), Path::new("m"), open, true).unwrap()
}

fn never() -> bool {
    false
}

/// Batches that are too large to be joined while the lock is held.
fn large_batches(store: &mut Store, count: u64) {
    for batch in 0..count {
        for id in 0..900 {
            store.put(note(&format!("{batch}-{id}"), "x")).unwrap();
        }
        store.commit(CommitOptions::default()).unwrap();
    }
}

fn lex_segments(store: &Store) -> usize {
    let snapshot = store.snapshot().unwrap();
    snapshot.segments(SegmentKind::LEX).unwrap().len()
}

#[test]
fn dead_frames_are_set_apart_and_history_stays_complete() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume, options());
    for id in 0..300 {
        store.put(note(&format!("{id}"), "x")).unwrap();
    }
    store.commit(CommitOptions::default()).unwrap();
    for id in (0..300).step_by(3) {
        store.delete(FrameId(id)).unwrap();
    }
    store.commit(CommitOptions::default()).unwrap();
    store.checkpoint().unwrap();
    assert!(store.maintenance_due().unwrap());
    while store.maintain(Effort::Thorough, &never).unwrap() {}
    assert!(!store.maintenance_due().unwrap());

    let (alive, history) = indexed(&store);
    assert_eq!(history, (0..300).step_by(3).collect::<Vec<_>>());
    let mut all = [alive, history].concat();
    all.sort_unstable();
    assert_eq!(all, (0..300).collect::<Vec<_>>());
    let snapshot = store.snapshot().unwrap();
    for segment in snapshot.segments(SegmentKind::LEX).unwrap() {
        let frames = segment.first_frame..segment.end_frame;
        assert_eq!(
            snapshot.dead_in(frames.clone(), segment.split_at).unwrap(),
            []
        );
        assert!(!snapshot.dead_in(frames, CommitId(0)).unwrap().is_empty());
    }
    let report = Store::verify_on(&*volume, Path::new("m"), true).unwrap();
    assert!(report.ok, "{:?}", report.problems);
}

#[test]
fn a_range_without_a_living_frame_is_covered_all_the_same() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume, options());
    puts(&mut store, 0..10);
    for id in 0..10 {
        store.delete(FrameId(id)).unwrap();
    }
    store.commit(CommitOptions::default()).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(indexed(&store), (vec![], (0..10).collect()));
    assert!(
        store
            .snapshot()
            .unwrap()
            .uncovered(SegmentKind::LEX)
            .unwrap()
            .is_empty()
    );
    puts(&mut store, 10..12);
    store.optimize().unwrap();
    assert_eq!(indexed(&store), (vec![10, 11], (0..10).collect()));
    assert_eq!(lex_segments(&store), 2);
}

#[test]
fn commits_join_little_and_housekeeping_joins_the_rest() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume, small());
    large_batches(&mut store, 6);
    assert_eq!(lex_segments(&store), 6);
    while store.maintain(Effort::Thorough, &never).unwrap() {}
    assert!(lex_segments(&store) <= 3, "{}", lex_segments(&store));
    assert_eq!(indexed(&store).0, (0..5_400).collect::<Vec<_>>());
}

#[test]
fn twice_as_many_segments_as_there_should_be_are_the_limit() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume, small());
    for batch in 0..20u64 {
        for id in 0..900 {
            store.put(note(&format!("{batch}-{id}"), "x")).unwrap();
        }
        store.commit(CommitOptions::default()).unwrap();
        assert!(lex_segments(&store) <= 6, "{}", lex_segments(&store));
    }
    assert_eq!(indexed(&store).0, (0..18_000).collect::<Vec<_>>());
}

#[test]
fn a_large_commit_is_indexed_after_it_is_durable() {
    let volume = Arc::new(MemoryVolume::new());
    let hooked = Hooked::new();
    let mut store = create(&volume, hooked.options());
    for id in 0..3_000 {
        store.put(note(&format!("{id}"), "x")).unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (also_seen, readers) = (Arc::clone(&seen), volume.clone());
    hooked.on_finish(move || {
        let other = open(&readers, options());
        also_seen
            .lock()
            .unwrap()
            .push(other.snapshot().unwrap().end_frame().0);
    });
    store.commit(CommitOptions::default()).unwrap();
    assert_eq!(*seen.lock().unwrap(), [3_000]);
    assert_eq!(indexed(&store).0, (0..3_000).collect::<Vec<_>>());
}

#[test]
fn what_others_write_meanwhile_is_kept() {
    let volume = Arc::new(MemoryVolume::new());
    let hooked = Hooked::new();
    let mut store = create(&volume, hooked.options());
    large_batches(&mut store, 4);
    let deleted = FrameId(100);
    let writers = volume.clone();
    hooked.on_finish(move || {
        // The lock is free, or this would fail.
        let mut other = open(&writers, options());
        other.delete(deleted).unwrap();
        other.put(note("new", "x")).unwrap();
        other.commit(CommitOptions::default()).unwrap();
    });
    assert!(store.maintain(Effort::Thorough, &never).unwrap());
    let snapshot = store.snapshot().unwrap();
    assert!(!snapshot.is_visible(deleted).unwrap());
    assert_eq!(snapshot.end_frame(), FrameId(3_601));
    // It died after the split, so whoever reads the segment is told.
    let segments = snapshot.segments(SegmentKind::LEX).unwrap();
    let segment = segments
        .iter()
        .find(|segment| !segment.history && segment.end_frame > deleted)
        .unwrap();
    let frames = segment.first_frame..segment.end_frame;
    assert_eq!(
        snapshot.dead_in(frames, segment.split_at).unwrap(),
        [deleted]
    );
}

#[test]
fn what_was_built_from_segments_that_are_gone_is_discarded() {
    let volume = Arc::new(MemoryVolume::new());
    let hooked = Hooked::new();
    let mut store = create(&volume, hooked.options());
    large_batches(&mut store, 4);
    let writers = volume.clone();
    hooked.on_finish(move || open(&writers, options()).optimize().unwrap());
    assert!(!store.maintain(Effort::Thorough, &never).unwrap());
    assert_eq!(lex_segments(&store), 1);
    assert_eq!(indexed(&store).0, (0..3_600).collect::<Vec<_>>());
}

#[test]
fn housekeeping_stops_when_it_is_told_and_leaves_a_transaction_alone() {
    let volume = Arc::new(MemoryVolume::new());
    let mut store = create(&volume, small());
    large_batches(&mut store, 6);
    let before = lex_segments(&store);
    let stopped = store.maintain(Effort::Thorough, &|| true);
    assert!(
        matches!(stopped, Err(Error::Cancelled { .. })),
        "{stopped:?}"
    );
    store.put(NewFrame::default()).unwrap();
    assert!(!store.maintain(Effort::Thorough, &never).unwrap());
    assert!(store.in_transaction());
    store.commit(CommitOptions::default()).unwrap();
    assert_eq!(lex_segments(&store), before);
}

/// An index that calls back once when a segment is finished.
#[derive(Clone)]
struct Hooked(Arc<Mutex<Option<Hook>>>);

type Hook = Box<dyn FnOnce() + Send>;

impl Hooked {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn on_finish(&self, hook: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(hook));
    }

    fn options(&self) -> OpenOptions {
        OpenOptions {
            indexes: vec![Arc::new(self.clone())],
            checkpoint: CheckpointPolicy {
                max_segments: 3,
                ..CheckpointPolicy::default()
            },
            ..OpenOptions::default()
        }
    }
}

impl IndexFactory for Hooked {
    fn kind(&self) -> SegmentKind {
        IdIndex.kind()
    }

    fn builder(&self) -> Box<dyn IndexBuilder> {
        Box::new(HookedBuilder(IdIndex.builder(), self.clone()))
    }

    fn keeps_history_apart(&self) -> bool {
        true
    }
}

struct HookedBuilder(Box<dyn IndexBuilder>, Hooked);

impl IndexBuilder for HookedBuilder {
    fn add(&mut self, frame: &Frame) -> Result<(), BoxError> {
        self.0.add(frame)
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, BoxError> {
        let hook = self.1.0.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        self.0.finish()
    }
}

/// An index of ids in which a huge text is alone, and says so.
struct Apart;

impl IndexFactory for Apart {
    fn kind(&self) -> SegmentKind {
        SegmentKind::LEX
    }

    fn builder(&self) -> Box<dyn IndexBuilder> {
        IdIndex.builder()
    }

    fn builder_of_huge(&self) -> Option<Box<dyn IndexBuilder>> {
        Some(Box::new(HugeBuilder(0)))
    }

    fn keeps_history_apart(&self) -> bool {
        true
    }
}

/// Takes in one text piece by piece; the segment is its length.
struct HugeBuilder(u64);

impl IndexBuilder for HugeBuilder {
    fn add(&mut self, _: &Frame) -> Result<(), BoxError> {
        Err("a huge text comes in pieces".into())
    }

    fn add_large(&mut self, _: &FrameMeta, mut payload: PayloadReader) -> Result<(), BoxError> {
        while let Some(piece) = payload.next_piece()? {
            assert!(piece.len() <= 1 << 20);
            self.0 += piece.len() as u64;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, BoxError> {
        Ok(self.0.to_le_bytes().to_vec())
    }
}

/// First frame, end, whether it is history, and the first number in it.
fn runs(store: &Store) -> Vec<(u64, u64, bool, u64)> {
    let segments = store.snapshot().unwrap().segments(SegmentKind::LEX);
    let runs = segments.unwrap().into_iter().map(|segment| {
        let number = segment.bytes.get(0..8).unwrap().try_into().unwrap();
        let (first, end) = (segment.first_frame.0, segment.end_frame.0);
        (first, end, segment.history, u64::from_le_bytes(number))
    });
    runs.collect()
}

#[test]
fn a_huge_text_has_an_index_segment_of_its_own_that_is_joined_with_none() {
    let volume = Arc::new(MemoryVolume::default());
    let options = OpenOptions {
        indexes: vec![Arc::new(Apart)],
        ..small()
    };
    let mut store = create(&volume, options.clone());
    let huge = |uri: &str, fill: &str| {
        let mut frame = note(uri, "");
        frame.payload = fill.repeat(HUGE_TEXT_BYTES as usize / fill.len()).into();
        frame
    };
    let len = HUGE_TEXT_BYTES;
    puts(&mut store, 0..2);
    store.put(huge("huge", "text ")).unwrap();
    // Too short by a few bytes.
    assert_eq!(runs(&store), []);
    store.commit(CommitOptions::default()).unwrap();
    assert_eq!(runs(&store), [(0, 3, false, 0)]);

    store.put(huge("huge", "a text. ")).unwrap();
    // The payload is that of the frame before.
    store.put(huge("again", "a text. ")).unwrap();
    puts(&mut store, 5..6);
    let expected = [
        (0, 3, false, 0),
        (0, 3, true, 2),
        (3, 4, false, len),
        (4, 5, false, len),
        (5, 6, false, 5),
    ];
    store.optimize().unwrap();
    assert_eq!(runs(&store), expected);
    drop(store);

    // What comes later is joined behind it, what lies before it stays one.
    let mut store = open(&volume, options.clone());
    puts(&mut store, 6..60);
    while store.maintain(Effort::Thorough, &never).unwrap() {}
    let found = runs(&store);
    assert_eq!(found[..4], expected[..4]);
    assert!(found.len() < 9, "{found:?}");
    store.optimize().unwrap();
    assert_eq!(
        runs(&store)[..5],
        [&expected[..4], &[(5, 60, false, 5)]].concat()
    );

    // Dead, it is history, alone as well.
    store.delete(FrameId(3)).unwrap();
    store.commit(CommitOptions::default()).unwrap();
    store.optimize().unwrap();
    assert_eq!(runs(&store)[2], (3, 4, true, len));
    store.vacuum().unwrap();
    assert_eq!(runs(&store)[2..4], [(3, 4, true, len), (4, 5, false, len)]);
    assert_eq!(
        store.snapshot().unwrap().payload(FrameId(4)).unwrap().len() as u64,
        len
    );
}
