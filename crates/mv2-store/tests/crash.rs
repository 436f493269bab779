//! The crash enumerator: a workload is stopped at each of its writes and syncs, and everything that the disk may
//! then hold must open to exactly the acknowledged commits, or those and the one in flight.
//!
//! Cases of `docs/format.md`, section "Recovery, crash by crash".

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::{IdIndex, indexed, note};
use mv2_format::{CommitId, FrameId};
use mv2_store::testing::{Fault, FaultyVolume};
use mv2_store::{
    CheckpointPolicy, CommitOptions, CreateOptions, Error, MemoryVolume, NewFrame, OpenOptions,
    Store,
};

/// The newest commit of the file, and the visible frames with what their payloads are told by. Behind them, from `NOTED` on, what is in
/// the journal, by commit.
type Seen = (u64, BTreeMap<u64, Content>);

/// Where entries of the journal stand among the frames.
const NOTED: u64 = 1 << 40;

/// Length and hash of a payload, so that a failure prints little.
type Content = (usize, [u8; 16]);

fn content(payload: &[u8]) -> Content {
    (payload.len(), mv2_format::frame::content_hash(payload))
}

/// One step of a workload: changes, then a commit.
#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(String, Vec<u8>)>),
    Update(String, Vec<u8>),
    Delete(String),
    Journal(Vec<u8>),
    Checkpoint,
    Optimize,
}

fn path() -> &'static Path {
    Path::new("memory.mv2")
}

fn options() -> OpenOptions {
    OpenOptions {
        indexes: vec![Arc::new(IdIndex)],
        lock_wait: std::time::Duration::ZERO,
        checkpoint: CheckpointPolicy {
            tail_frames: 5,
            tail_bytes: 16 << 10,
            max_segments: 3,
        },
        ..OpenOptions::default()
    }
}

/// Bytes that no codec shrinks.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(next).collect()
}

fn workload() -> Vec<Step> {
    let put = |ids: std::ops::Range<u64>, len| {
        let pairs = ids.map(|id| (format!("doc-{id}"), noise(len, id)));
        Step::Put(pairs.collect())
    };
    vec![
        put(0..1, 20),
        put(1..2, 6_000),
        Step::Update("doc-0".into(), b"second version".to_vec()),
        Step::Delete("doc-1".into()),
        Step::Journal(noise(300, 50)),
        put(2..4, 30),
        Step::Update("doc-0".into(), b"third version".to_vec()),
        put(4..5, 10),
        // Larger than the log.
        put(5..6, 70_000),
        Step::Delete("doc-2".into()),
        put(6..16, 40),
        Step::Checkpoint,
        put(16..17, 10),
        Step::Delete("doc-16".into()),
        Step::Journal(noise(5_000, 51)),
        Step::Optimize,
        put(17..18, 9_000),
        put(18..19, 10),
        Step::Journal(noise(70_000, 52)),
        Step::Update("doc-5".into(), b"small now".to_vec()),
        // The payload of another document, in the log and then in a segment.
        Step::Put(vec![
            ("copy".into(), noise(6_000, 1)),
            ("copy of copy".into(), noise(6_000, 1)),
        ]),
        Step::Checkpoint,
        Step::Put(vec![("late copy".into(), noise(6_000, 1))]),
    ]
}

fn seen(store: &Store) -> Seen {
    let snapshot = store.snapshot().expect("a snapshot");
    let metas = snapshot.metas(FrameId(0)..FrameId(u64::MAX));
    let frames = metas.map(|meta| {
        let id = meta.expect("metadata").id;
        (id.0, content(&snapshot.payload(id).expect("payload")))
    });
    let newest = snapshot.last_commit();
    let noted = snapshot.journal(CommitId(0)..=newest).map(|noted| {
        let noted = noted.expect("an entry");
        (NOTED + noted.commit.id.0, content(&noted.entry))
    });
    (newest.0, frames.chain(noted).collect())
}

/// What a step makes of a state; frame ids come from the store.
fn apply(store: &mut Store, step: &Step) -> Result<(), Error> {
    match step {
        Step::Put(documents) => {
            for (uri, payload) in documents {
                store.put(NewFrame {
                    payload: payload.clone(),
                    is_text: false,
                    ..note(uri, "")
                })?;
            }
        }
        Step::Update(uri, payload) => {
            let new = NewFrame {
                payload: payload.clone(),
                is_text: false,
                ..note(uri, "")
            };
            store.put(new)?;
        }
        Step::Delete(uri) => {
            if let Some(id) = store.find_uri(uri)? {
                store.delete(id)?;
            }
        }
        Step::Journal(entry) => return store.append_journal(entry.clone()).map(drop),
        Step::Checkpoint => return store.checkpoint(),
        Step::Optimize => return store.optimize(),
    }
    // A large batch is one of an import, which leaves the index for later.
    let bulk = matches!(step, Step::Put(documents) if documents.len() >= 10);
    let options = CommitOptions {
        bulk,
        ..CommitOptions::default()
    };
    store.commit(options).map(drop)
}

/// The same on a model: which frames are visible after the step.
fn model(
    before: &Seen,
    step: &Step,
    next_frame: &mut u64,
    uris: &mut BTreeMap<String, u64>,
) -> Seen {
    let (mut commit, mut frames) = before.clone();
    let mut put = |uri: &str, payload: &[u8]| {
        if let Some(old) = uris.insert(uri.to_owned(), *next_frame) {
            frames.remove(&old);
        }
        frames.insert(*next_frame, content(payload));
        *next_frame += 1;
    };
    match step {
        Step::Put(documents) => documents
            .iter()
            .for_each(|(uri, payload)| put(uri, payload)),
        Step::Update(uri, payload) => put(uri, payload),
        Step::Delete(uri) => {
            if let Some(old) = uris.remove(uri) {
                frames.remove(&old);
            }
        }
        Step::Journal(entry) => {
            frames.insert(NOTED + commit + 1, content(entry));
        }
        Step::Checkpoint | Step::Optimize => return (commit, frames),
    }
    commit += 1;
    (commit, frames)
}

/// The states that the workload goes through, from the empty one on.
fn states() -> Vec<Seen> {
    let mut states = vec![Seen::default()];
    let (mut next, mut uris) = (0, BTreeMap::new());
    for step in workload() {
        let last = states.last().expect("a state");
        let state = model(last, &step, &mut next, &mut uris);
        states.push(state);
    }
    states
}

fn new_volume() -> FaultyVolume {
    let volume = FaultyVolume::new();
    let create = CreateOptions {
        wal_bytes: 64 << 10,
    };
    Store::create_on(Arc::new(volume.clone()), path(), &create, options()).expect("a new file");
    volume
}

fn open(volume: &FaultyVolume) -> Result<Store, Error> {
    Store::open_on(Arc::new(volume.clone()), path(), options(), true)
}

/// Runs the workload until something fails; returns how many steps were acknowledged.
fn run(store: &mut Store) -> usize {
    for (done, step) in workload().iter().enumerate() {
        if apply(store, step).is_err() {
            return done;
        }
    }
    workload().len()
}

/// Opens an image as the machine would after it comes back, and checks that it is one of the allowed states, that it is
/// sound, and that one can go on writing.
fn check_image(image: Vec<u8>, allowed: &[&Seen], case: &str) {
    let volume = Arc::new(MemoryVolume::new());
    volume.insert(path(), image);
    let mut store = Store::open_on(volume.clone(), path(), options(), true)
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    let found = seen(&store);
    assert!(
        allowed.contains(&&found),
        "{case}: found commit {} with frames {:?}, allowed commits {:?}",
        found.0,
        found.1.keys().collect::<Vec<_>>(),
        allowed.iter().map(|(commit, _)| commit).collect::<Vec<_>>()
    );
    let added = store
        .put(note("after the crash", "still works"))
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    store
        .commit(CommitOptions::default())
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    drop(store);
    let store = Store::open_on(volume.clone(), path(), options(), false).expect("opens again");
    let mut expected = found;
    expected.0 += 1;
    expected.1.insert(added.frame.0, content(b"still works"));
    assert_eq!(seen(&store), expected, "{case}: after one more commit");
    let (mut ids, history) = indexed(&store);
    let visible = |id: &u64| expected.1.contains_key(id);
    assert!(!history.iter().any(visible), "{case}: {history:?}");
    ids.extend(history);
    ids.sort_unstable();
    assert!(
        ids.iter().copied().eq(0..ids.len() as u64),
        "{case}: {ids:?}"
    );
}

/// Distinct allowed states from a range of steps.
fn allowed(states: &[Seen], acknowledged: usize) -> Vec<&Seen> {
    let next = (acknowledged + 1).min(states.len() - 1);
    vec![&states[acknowledged], &states[next]]
}

fn operations_of_the_workload() -> u64 {
    let volume = new_volume();
    volume.set_fault(Fault::None);
    let mut store = open(&volume).unwrap();
    assert_eq!(run(&mut store), workload().len());
    assert_eq!(seen(&store), *states().last().unwrap());
    volume.operations()
}

#[test]
fn power_fails_at_every_write_and_sync() {
    let states = states();
    let mut images = 0;
    let operations = operations_of_the_workload();
    assert!(operations >= 40, "{operations}");
    for stop in 1..=operations + 1 {
        let volume = new_volume();
        volume.set_fault(Fault::Kill(stop));
        let acknowledged = open(&volume).map_or(0, |mut store| run(&mut store));
        for (number, image) in volume.images(24).into_iter().enumerate() {
            images += 1;
            let case = format!("stopped at operation {stop}, image {number}");
            check_image(image, &allowed(&states, acknowledged), &case);
        }
    }
    assert!(images > 150, "only {images} images");
}

#[test]
fn a_kill_then_another_writer_then_a_power_failure() {
    let states = states();
    for stop in 1..=operations_of_the_workload() {
        // The second writer's two commits take fewer operations than this.
        for second_stop in 1..=16 {
            let volume = new_volume();
            volume.set_fault(Fault::Kill(stop));
            let acknowledged = open(&volume).map_or(0, |mut store| run(&mut store));
            volume.set_fault(Fault::Kill(second_stop));
            let case = format!("killed at {stop}, second writer at {second_stop}");
            second_writer_then_power_failure(&volume, &allowed(&states, acknowledged), &case);
        }
    }
}

#[test]
fn a_sync_fails_and_another_writer_goes_on() {
    let states = states();
    for stop in 1..=operations_of_the_workload() {
        for second_stop in 1..=9 {
            let volume = new_volume();
            volume.set_fault(Fault::FailSync(stop));
            let mut store = open(&volume).unwrap();
            let acknowledged = run(&mut store);
            if acknowledged == workload().len() {
                break; // The operation was a write.
            }
            let refused = store.put(note("x", "x"));
            assert!(matches!(refused, Err(Error::Poisoned { .. })));
            drop(store);
            volume.set_fault(Fault::Kill(second_stop));
            let case = format!("sync {stop} failed, second writer stopped at {second_stop}");
            second_writer_then_power_failure(&volume, &allowed(&states, acknowledged), &case);
        }
    }
}

/// Another process commits twice, as far as it comes; then the power fails. What it saw is part of what must be
/// there once it has committed on top of it.
fn second_writer_then_power_failure(volume: &FaultyVolume, allowed: &[&Seen], case: &str) {
    let mut possible = vec![];
    let mut certain = None;
    if let Ok(mut store) = open(volume) {
        let mut last = seen(&store);
        assert!(allowed.contains(&&last), "{case}");
        possible.push(last.clone());
        for uri in ["second writer", "once more"] {
            // Larger than a sector, so that a torn write of it leaves neither old nor new.
            let payload = noise(1_500, uri.len() as u64);
            let next_frame = store.snapshot().unwrap().end_frame().0;
            last.0 += 1;
            last.1.insert(next_frame, content(&payload));
            possible.push(last.clone());
            let put = store.put(NewFrame {
                payload,
                is_text: false,
                ..note(uri, "")
            });
            match put.and_then(|_| store.commit(CommitOptions::default())) {
                Ok(_) => certain = Some(possible.len() - 1),
                Err(_) => break,
            }
        }
    }
    let allowed: Vec<_> = match certain {
        Some(index) => possible[index..].iter().collect(),
        None => allowed.iter().copied().chain(&possible).collect(),
    };
    for (number, image) in volume.images(3).into_iter().enumerate() {
        check_image(image, &allowed, &format!("{case}, image {number}"));
    }
}

#[test]
fn a_full_disk_stops_no_reader_and_loses_nothing() {
    let states = states();
    for from in 1..=operations_of_the_workload() {
        let volume = new_volume();
        volume.set_fault(Fault::Full(from));
        let mut store = open(&volume).unwrap();
        let acknowledged = run(&mut store);
        let found = seen(&store);
        assert_eq!(found, states[acknowledged], "full from operation {from}");
        store.rollback();
        volume.set_fault(Fault::None);
        for image in volume.images(2) {
            check_image(
                image,
                &allowed(&states, acknowledged),
                &format!("full from {from}"),
            );
        }
        let id = store.put(note("after", "room again")).unwrap().frame;
        store.commit(CommitOptions::default()).unwrap();
        assert_eq!(seen(&store).1[&id.0], content(b"room again"));
    }
}

#[test]
fn damage_before_a_sound_commit_is_reported_and_not_written_over() {
    let volume = new_volume();
    let mut store = open(&volume).unwrap();
    for step in &workload()[..4] {
        apply(&mut store, step).unwrap();
    }
    drop(store);
    let sound = volume.live();
    let mut bad = sound.clone();
    // The second commit of four; the first one that follows it is not the first of a session.
    bad[12_288 + 4_096 + 300] ^= 1;
    let volume = Arc::new(MemoryVolume::new());
    volume.insert(path(), bad);
    let mut store = Store::open_on(volume.clone(), path(), options(), true).unwrap();
    assert_eq!(seen(&store).0, 1, "what lies before the damage is readable");
    let error = store.put(note("x", "x")).unwrap_err();
    assert!(
        matches!(error, Error::WalCorrupt { offset: 16_384, .. }),
        "{error:?}"
    );
    let report = Store::verify_on(&*volume, path(), false).unwrap();
    assert!(
        !report.ok && report.problems[0].offset == 16_384,
        "{report:?}"
    );
}

#[test]
fn a_copy_of_a_live_file_with_an_old_root_page_opens_by_its_footer() {
    let volume = new_volume();
    let mut store = open(&volume).unwrap();
    for step in &workload()[..3] {
        apply(&mut store, step).unwrap();
    }
    let old = volume.live();
    store.checkpoint().unwrap();
    apply(&mut store, &workload()[3]).unwrap();
    let expected = seen(&store);
    // The copier read the root pages before the checkpoint and the rest after.
    let mut copy = volume.live();
    copy[4_096..12_288].copy_from_slice(&old[4_096..12_288]);
    check_image(copy.clone(), &[&expected], "old root pages");
    // Both root pages gone.
    copy[4_096..12_288].fill(0xaa);
    check_image(copy.clone(), &[&expected], "no root page");
    // And a damaged segment, which the footer must not cover up.
    let segment = 12_288 + (64 << 10) + 4_096 * 2 + 200;
    copy[segment] ^= 1;
    let volume = Arc::new(MemoryVolume::new());
    volume.insert(path(), copy);
    let error = Store::open_on(volume, path(), options(), true).unwrap_err();
    assert_eq!(error.kind(), "corrupt", "{error}");
}

#[test]
fn a_rotten_root_page_does_not_hide_a_commit_that_was_a_checkpoint() {
    let volume = new_volume();
    let mut store = open(&volume).unwrap();
    for step in &workload()[..8] {
        apply(&mut store, step).unwrap();
    }
    let expected = seen(&store);
    for page in [4_096, 8_192] {
        let mut image = volume.live();
        image[page + 60] ^= 1;
        check_image(image, &[&expected], &format!("root page at {page}"));
    }
}
