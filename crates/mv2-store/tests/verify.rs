//! `verify --deep` names what checksums cannot: files whose bytes are all as they were written, and were written wrongly.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{IdIndex, note};
use mv2_format::checksum::hash32;
use mv2_format::codec::Density;
use mv2_format::commits::{self, CommitRow, CommitSegment};
use mv2_format::data::{DataBuilder, DataSegment};
use mv2_format::header::WAL_OFFSET;
use mv2_format::root::{Root, RootKind};
use mv2_format::segment::{PAGE_BYTES, build_tables};
use mv2_format::toc::Toc;
use mv2_format::tombstones::{self, Tombstone, TombstoneSegment};
use mv2_format::{
    CommitId, FileOffset, Frame, FrameId, FrameSet, LineageId, SegmentBytes, SegmentKind,
    Timestamp, purged,
};
use mv2_store::{CommitOptions, CreateOptions, Error, MemoryVolume, OpenOptions, Store};

/// Room for all commits, so that one checkpoint writes one segment of each kind.
const WAL_BYTES: u64 = 256 << 10;

fn path() -> &'static Path {
    Path::new("memory.mv2")
}

/// A sound file: twenty commits of which some supersede, delete or share, all in segments.
fn sound() -> Vec<u8> {
    sound_without(&[])
}

/// The same after a purge of some frames.
fn sound_without(purged: &[u64]) -> Vec<u8> {
    let volume = Arc::new(MemoryVolume::new());
    let create = CreateOptions {
        wal_bytes: WAL_BYTES,
    };
    let options = OpenOptions {
        indexes: vec![Arc::new(IdIndex)],
        ..OpenOptions::default()
    };
    let mut store = Store::create_on(volume.clone(), path(), &create, options).unwrap();
    for id in 0..20 {
        store
            .put(note(
                &format!("note-{}", id % 12),
                &format!("text {}", id % 15),
            ))
            .unwrap();
        store.put(note(&format!("other-{id}"), "the same")).unwrap();
        store.commit(CommitOptions::default()).unwrap();
    }
    for id in [3, 5] {
        store.delete(FrameId(id)).unwrap();
    }
    store.commit(CommitOptions::default()).unwrap();
    store.optimize().unwrap();
    let frames: FrameSet = purged.iter().copied().map(FrameId).collect();
    store.purge(|_| Ok::<_, Error>(frames)).unwrap();
    volume.bytes(path()).unwrap()
}

/// A file taken apart, so that its parts can be changed and put together with all checksums right.
struct Parts {
    bytes: Vec<u8>,
    root: Root,
    toc: Toc,
    /// The bodies of the segments, in the order of the TOC.
    bodies: Vec<Vec<u8>>,
}

impl Parts {
    fn new(bytes: Vec<u8>) -> Self {
        let page = |at: usize| {
            let page = &bytes[at..at + PAGE_BYTES];
            let uuid = bytes[32..48].try_into().unwrap();
            Root::decode(page, RootKind::Page, &uuid, FileOffset(at as u64)).ok()
        };
        let roots = [page(PAGE_BYTES), page(2 * PAGE_BYTES)];
        let newest = roots
            .into_iter()
            .flatten()
            .max_by_key(|root| root.generation);
        let root = newest.unwrap();
        let at = root.toc_offset.0 as usize;
        let toc = &bytes[at..at + root.toc_len as usize];
        let toc = Toc::decode(toc, root.committed_len).unwrap();
        let body = |offset: u64, len: u64| bytes[offset as usize..(offset + len) as usize].to_vec();
        let bodies = toc.segments.iter();
        let bodies = bodies.map(|entry| body(entry.offset.0, entry.body_len));
        Self {
            root,
            bodies: bodies.collect(),
            toc,
            bytes,
        }
    }

    fn index_of(&self, kind: SegmentKind) -> usize {
        let mut kinds = self.toc.segments.iter().map(|entry| entry.kind);
        kinds.position(|found| found == kind).unwrap()
    }

    fn segment(&self, kind: SegmentKind) -> SegmentBytes {
        SegmentBytes::from_vec(self.bodies[self.index_of(kind)].clone())
    }

    fn commits(&mut self, change: impl FnOnce(&mut Vec<CommitRow>)) {
        let segment = CommitSegment::open(self.segment(SegmentKind::COMMITS)).unwrap();
        let ids = (1..=segment.len() as u64).map(CommitId);
        let mut rows = ids.map(|id| segment.get(id).unwrap().unwrap()).collect();
        change(&mut rows);
        let index = self.index_of(SegmentKind::COMMITS);
        self.bodies[index] = commits::encode(&rows, FrameId(0), &[]);
    }

    /// Changes the rows and what the TOC says of their coverage.
    fn tombstones(&mut self, change: impl FnOnce(&mut Vec<Tombstone>)) {
        let segment = TombstoneSegment::open(self.segment(SegmentKind::TOMBSTONES)).unwrap();
        let mut rows = (0..segment.len())
            .map(|at| segment.row(at).unwrap())
            .collect();
        change(&mut rows);
        let index = self.index_of(SegmentKind::TOMBSTONES);
        let entry = &mut self.toc.segments[index];
        entry.first_frame = rows.iter().map(|row| row.frame).min().unwrap();
        let end_frame = rows.iter().map(|row| row.frame.next()).max().unwrap();
        entry.end_frame = end_frame.min(self.toc.next_frame);
        entry.first_commit = rows.iter().map(|row| row.commit).min().unwrap();
        entry.last_commit = rows.iter().map(|row| row.commit).max().unwrap();
        entry.rows = rows.len() as u64;
        self.toc.tombstones = rows.len() as u64;
        self.bodies[index] = tombstones::encode(rows);
    }

    fn frames(&mut self, change: impl FnOnce(&mut Vec<Frame>)) {
        let segment = DataSegment::open(&self.segment(SegmentKind::DATA)).unwrap();
        let ids = (0..segment.end_frame().0).map(FrameId);
        let mut frames = ids.map(|id| segment.frame(id).unwrap()).collect();
        change(&mut frames);
        let mut builder = DataBuilder::new(FrameId(0), Density::Light, Vec::new()).unwrap();
        for frame in &frames {
            builder.add(frame).unwrap();
        }
        let index = self.index_of(SegmentKind::DATA);
        self.bodies[index] = builder.finish().unwrap();
    }

    /// The whole file again.
    fn join(mut self) -> Vec<u8> {
        self.bytes.truncate((WAL_OFFSET + WAL_BYTES) as usize);
        for (entry, body) in self.toc.segments.iter_mut().zip(&self.bodies) {
            self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
            let (tables, summary_crc) = build_tables(body);
            entry.offset = FileOffset(self.bytes.len() as u64);
            entry.body_len = body.len() as u64;
            entry.summary_crc = summary_crc;
            self.bytes.extend([&body[..], &tables].concat());
            entry.hash = hash32(&[&body[..], &tables].concat());
        }
        self.finish()
    }

    /// TOC, footer and root pages behind the segments.
    fn finish(mut self) -> Vec<u8> {
        let pages = |bytes: &Vec<u8>| bytes.len().next_multiple_of(PAGE_BYTES);
        self.bytes.resize(pages(&self.bytes), 0);
        let toc = self.toc.encode();
        self.root.toc_offset = FileOffset(self.bytes.len() as u64);
        self.root.toc_len = toc.len() as u64;
        self.root.toc_hash = hash32(&toc);
        self.bytes.extend(toc);
        self.bytes.resize(pages(&self.bytes), 0);
        self.root.committed_len = (self.bytes.len() + PAGE_BYTES) as u64;
        self.bytes.extend(self.root.encode(RootKind::Footer));
        let page = Root::page_offset(self.root.generation).0 as usize;
        let encoded = self.root.encode(RootKind::Page);
        self.bytes[page..page + PAGE_BYTES].copy_from_slice(&encoded);
        self.bytes
    }
}

/// What the check of a file says.
fn verify(bytes: Vec<u8>, deep: bool) -> Vec<String> {
    let volume = MemoryVolume::new();
    volume.insert(path(), bytes);
    let report = Store::verify_on(&volume, path(), deep).unwrap();
    assert_eq!(report.ok, report.problems.is_empty());
    let problems = report.problems.into_iter();
    problems.map(|problem| problem.what).collect()
}

/// Changes a sound file; the check must say each of the texts.
#[track_caller]
fn assert_named(change: impl FnOnce(&mut Parts), texts: &[&str]) {
    assert_named_in(sound(), change, texts);
}

#[track_caller]
fn assert_named_in(sound: Vec<u8>, change: impl FnOnce(&mut Parts), texts: &[&str]) {
    let mut parts = Parts::new(sound);
    change(&mut parts);
    let found = verify(parts.join(), true);
    for text in texts {
        let named = found.iter().any(|problem| problem.contains(text));
        assert!(named, "{text:?} is not in {found:#?}");
    }
}

#[test]
fn a_sound_file_is_sound_also_put_together_again() {
    let nothing = Vec::<String>::new();
    assert_eq!(verify(sound(), true), nothing);
    assert_eq!(verify(Parts::new(sound()).join(), true), nothing);
    let mut parts = Parts::new(sound());
    parts.commits(|_| ());
    parts.tombstones(|_| ());
    parts.frames(|_| ());
    assert_eq!(verify(parts.join(), true), nothing);
}

#[test]
fn commits_are_compared_with_each_other() {
    let row = |change: fn(&mut CommitRow)| {
        move |parts: &mut Parts| parts.commits(|rows| change(&mut rows[9]))
    };
    assert_named(row(|row| row.depth += 1), &["commit 10: its depth"]);
    assert_named(row(|row| row.jump.0 -= 1), &["commit 10: its jump"]);
    assert_named(row(|row| row.parent.0 -= 1), &["commit 10: its parent"]);
    assert_named(
        row(|row| row.second_parent.0 = 2),
        &["commit 10: its second parent"],
    );
    assert_named(
        row(|row| row.lineage = LineageId(1)),
        &[
            "commit 11: its parent",
            "frame 18 is of commit 10 on lineage 0",
            "2 lineages and 0 commits of bookkeeping",
        ],
    );
    assert_named(row(|row| row.time.0 = 0), &["commit 10: its time"]);
    assert_named(
        row(|row| row.watermark.0 = 1),
        &["commit 10: its watermark", "frame 18 is of commit 10"],
    );
    assert_named(row(|row| row.added += 1), &["commit 10: it counts"]);
    assert_named(row(|row| row.superseded += 1), &["commit 10: it counts"]);
    assert_named(row(|row| row.deleted += 1), &["commit 10: it counts"]);
    // Frames move from one commit to its neighbour.
    assert_named(
        row(|row| row.watermark.0 -= 1),
        &["frame 19 is of commit 10 on lineage 0, by the watermarks it is of 11"],
    );
    let last = |parts: &mut Parts| {
        parts.commits(|rows| rows.last_mut().unwrap().watermark.0 += 1);
    };
    assert_named(last, &["the newest commit's watermark"]);
}

#[test]
fn tombstones_are_compared_with_commits_and_frames() {
    // The first death is that of frame 0 at commit 13, by frame 24.
    let row = |change: fn(&mut Vec<Tombstone>)| move |parts: &mut Parts| parts.tombstones(change);
    let first = "tombstone of frame 0: ";
    let named = |text: &str| format!("{first}{text}");
    assert_named(
        row(|rows| rows[0].commit.0 = 99),
        &[&named("its commit does not exist, or not on its lineage")],
    );
    assert_named(
        row(|rows| rows[0].lineage = LineageId(3)),
        &[&named("its commit does not exist, or not on its lineage")],
    );
    assert_named(
        row(|rows| rows[1].commit.0 = 1),
        &["tombstone of frame 2: its commit is older than the frame"],
    );
    assert_named(
        row(|rows| rows[0].commit.0 += 1),
        &[
            &named("what took its place is of another commit"),
            "it counts",
        ],
    );
    assert_named(
        row(|rows| rows[0].by = Some(FrameId(0))),
        &[&named("what took its place is no younger frame")],
    );
    assert_named(
        row(|rows| rows[0].by = Some(FrameId(1_000))),
        &[&named("what took its place is no younger frame")],
    );
    assert_named(row(|rows| rows[0].by = None), &["commit 13: it counts"]);
    assert_named(
        row(|rows| {
            let mut again = rows[0];
            again.commit.0 = 21;
            again.by = None;
            rows.push(again);
        }),
        &[&named("there is another one")],
    );
    assert_named(
        row(|rows| {
            let mut none = rows[0];
            none.frame = FrameId(40);
            none.by = None;
            rows.push(none);
        }),
        &["tombstone of frame 40: there is no such frame"],
    );
    assert_named(
        |parts| {
            let index = parts.index_of(SegmentKind::TOMBSTONES);
            parts.toc.segments[index].end_frame.0 += 1;
        },
        &["coverage of tombstones"],
    );
    assert_named(
        |parts| {
            let index = parts.index_of(SegmentKind::TOMBSTONES);
            parts.toc.segments[index].first_commit.0 -= 1;
        },
        &["coverage of tombstones"],
    );
}

#[test]
fn frames_are_compared_with_commits_and_with_what_they_share() {
    assert_named(
        |parts| parts.frames(|frames| frames[19].meta.lineage = LineageId(1)),
        &["frame 19 is of commit 10"],
    );
    assert_named(
        |parts| parts.frames(|frames| frames[39].meta.commit.0 = 21),
        &["frame 39 is of commit 21 on lineage 0, by the watermarks it is of 20"],
    );
    // "the same" is carried by frame 1 and shared by the others of odd ids.
    assert_named(
        |parts| parts.frames(|frames| frames[7].meta.payload_len += 1),
        &["one with the same content", "payload_bytes"],
    );
    assert_named(
        |parts| parts.frames(|frames| frames[7].meta.payload_frame = Some(FrameId(3))),
        &["one with the same content"],
    );
    assert_named(
        |parts| parts.frames(|frames| frames[7].meta.content_hash[3] ^= 1),
        &["one with the same content"],
    );
    assert_named(
        |parts| {
            parts.frames(|frames| {
                let latin = b"caf\xe9 cr\xe8";
                for frame in &mut *frames {
                    if frame.meta.id == FrameId(1) || frame.meta.payload_frame == Some(FrameId(1)) {
                        frame.meta.content_hash = mv2_format::frame::content_hash(latin);
                        frame.meta.payload_len = latin.len() as u64;
                    }
                }
                frames[1].meta.is_text = false;
                frames[1].payload = latin.to_vec();
            });
        },
        &["frame 3 is text, and the payload it shares is not UTF-8"],
    );
}

#[test]
fn the_table_of_contents_is_compared_with_what_it_lists() {
    let toc = |change: fn(&mut Toc)| move |parts: &mut Parts| change(&mut parts.toc);
    assert_named(toc(|toc| toc.last_time = Timestamp(5)), &["last_time"]);
    assert_named(toc(|toc| toc.payload_bytes += 1), &["payload_bytes"]);
    assert_named(toc(|toc| toc.tombstones += 1), &["tombstones, the table"]);
    assert_named(
        toc(|toc| toc.segments[1].id = toc.segments[0].id),
        &["have the same id"],
    );
    assert_named(
        toc(|toc| toc.segments[0].last_commit.0 -= 1),
        &["its frames are of commits 1..=20, the table of contents says 1..=19"],
    );
    let lex = |change: fn(&mut mv2_format::toc::SegmentEntry)| {
        move |parts: &mut Parts| {
            let index = parts.index_of(SegmentKind::LEX);
            change(&mut parts.toc.segments[index]);
        }
    };
    assert_named(
        lex(|entry| entry.rows -= 1),
        &["lex segment", "for 40 frames"],
    );
    let alive_as_history = |parts: &mut Parts| {
        let index = parts.index_of(SegmentKind::LEX);
        parts.toc.segments[index].rows += 1;
        parts.toc.segments[index + 1].rows -= 1;
    };
    assert_named(alive_as_history, &["of them history, for 40 frames"]);
}

/// What is told by fuzzing: a checkpoint on top of such a file counted frames below zero.
#[test]
fn an_index_of_frames_that_do_not_exist_is_refused() {
    let mut parts = Parts::new(sound());
    let index = parts.index_of(SegmentKind::LEX);
    for entry in &mut parts.toc.segments[index..=index + 1] {
        entry.end_frame.0 += 1;
    }
    let volume = MemoryVolume::new();
    volume.insert(path(), parts.join());
    let error = Store::verify_on(&volume, path(), true).unwrap_err();
    assert_eq!(error.kind(), "corrupt");
    assert!(error.to_string().contains("frames below 40"), "{error}");
}

#[test]
fn extents_that_overlap_are_named_without_a_deep_check() {
    let mut parts = Parts::new(Parts::new(sound()).join());
    // The second segment is the first one's bytes.
    let first = parts.toc.segments[0].clone();
    let second = &mut parts.toc.segments[1];
    second.offset = first.offset;
    parts.bytes.truncate(parts.root.toc_offset.0 as usize);
    let found = verify(parts.finish(), false);
    let named = found
        .iter()
        .any(|problem| problem.contains("overlaps data segment"));
    assert!(named, "{found:#?}");

    let mut parts = Parts::new(Parts::new(sound()).join());
    parts.toc.segments[0].offset = FileOffset(WAL_OFFSET);
    parts.bytes.truncate(parts.root.toc_offset.0 as usize);
    let found = verify(parts.finish(), false);
    let named = found
        .iter()
        .any(|problem| problem.contains("overlaps the log"));
    assert!(named, "{found:#?}");
}

#[test]
fn purged_frames_are_compared_with_holes_and_with_what_tells_of_them() {
    let sound = || sound_without(&[3, 8, 9]);
    assert_eq!(verify(Parts::new(sound()).join(), true), [""; 0]);
    let set = |parts: &mut Parts, ids: &[u64]| {
        let frames: FrameSet = ids.iter().copied().map(FrameId).collect();
        let index = parts.index_of(SegmentKind::PURGED);
        parts.bodies[index] = purged::encode(&frames);
        let entry = &mut parts.toc.segments[index];
        entry.first_frame = frames.runs()[0].start;
        entry.end_frame = frames.runs().last().unwrap().end;
        entry.rows = frames.runs().len() as u64;
    };
    assert_named_in(
        sound(),
        |parts| set(parts, &[3, 8]),
        &["frame 9 is empty as a purged one is, and none says that it was purged"],
    );
    assert_named_in(
        sound(),
        |parts| set(parts, &[3, 7, 8, 9]),
        &["something is left of frame 7, which was purged"],
    );
    assert_named_in(
        sound(),
        |parts| parts.frames(|frames| frames[3].meta.title = Some("left".into())),
        &["something is left of frame 3, which was purged"],
    );
    // The commit that put frame 3, and the one that deleted it.
    for commit in [1, 20] {
        assert_named_in(
            sound(),
            |parts| parts.commits(|rows| rows[commit].message = "what it was".into()),
            &["it has a message, and a frame that it put or ended was purged"],
        );
    }
    assert_named_in(
        sound(),
        |parts| {
            let index = parts.index_of(SegmentKind::PURGED);
            parts.toc.segments[index].rows += 1;
        },
        &["purged frames is invalid: expected 3 runs"],
    );
    // A segment of the index that has a purged frame too.
    assert_named_in(
        sound(),
        |parts| {
            let index = parts.index_of(SegmentKind::LEX);
            parts.toc.segments[index].rows += 1;
        },
        &["rows"],
    );
}
