//! Timelines through the facade: log and segments, past snapshots, cursors, files without the index.

use std::path::{Path, PathBuf};

use mv2::store::{CreateOptions, NewFrame, OpenOptions, Store};
use mv2::{Error, Memvid, PutOptions, Snapshot, Timeline, TimelineQuery, Timestamp};

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("m.mv2")
    }
}

/// A time for the n-th document: in disorder, and some are equal.
fn time(n: u64) -> Timestamp {
    Timestamp::from_secs((n * 37 % 50) as i64)
}

fn put(mem: &mut Memvid, n: u64) {
    let options = PutOptions::builder()
        .uri(format!("doc/{n}"))
        .title(format!("Document {n}"))
        .tag("n", n.to_string())
        .timestamp(time(n))
        .build();
    let text = format!("The text\nof number {n}.");
    mem.put_bytes_with_options(text.as_bytes(), options)
        .unwrap();
}

/// What a timeline has to say, found by looking at all frames.
fn naive(snapshot: &Snapshot, query: &TimelineQuery) -> Vec<(Timestamp, u64)> {
    let mut rows: Vec<_> = snapshot
        .frames()
        .map(|meta| meta.unwrap())
        .map(|meta| (meta.timestamp, meta.id.get()))
        .filter(|(time, _)| query.since.is_none_or(|since| *time >= since))
        .filter(|(time, _)| query.until.is_none_or(|until| *time <= until))
        .collect();
    rows.sort();
    if !query.reverse {
        rows.reverse();
    }
    rows
}

fn rows(timeline: &Timeline) -> Vec<(Timestamp, u64)> {
    let row = |entry: &mv2::TimelineEntry| (entry.timestamp, entry.frame_id.get());
    timeline.frames.iter().map(row).collect()
}

fn check(snapshot: &Snapshot) {
    for reverse in [false, true] {
        for (since, until) in [
            (None, None),
            (Some(10), None),
            (None, Some(30)),
            (Some(7), Some(7)),
        ] {
            let query = TimelineQuery {
                since: since.map(Timestamp::from_secs),
                until: until.map(Timestamp::from_secs),
                limit: 7,
                reverse,
                ..TimelineQuery::default()
            };
            let expected = naive(snapshot, &query);
            let mut found = Vec::new();
            let mut next = query.clone();
            loop {
                let page = snapshot.timeline(next).unwrap();
                found.extend(rows(&page));
                if page.next_cursor.is_none() {
                    break;
                }
                next = TimelineQuery {
                    cursor: page.next_cursor,
                    ..query.clone()
                };
            }
            assert_eq!(found, expected, "{query:?}");
        }
    }
}

#[test]
fn log_and_segments_make_one_timeline_also_in_the_past() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    let mut snapshots = vec![mem.snapshot().unwrap()];
    for batch in 0..12u64 {
        for n in batch * 10..batch * 10 + 10 {
            put(&mut mem, n);
        }
        if batch % 3 == 2 {
            mem.delete_frame(batch * 10 - 5).unwrap();
        }
        mem.commit().unwrap();
        snapshots.push(mem.snapshot().unwrap());
        if batch % 4 == 3 {
            mem.checkpoint().unwrap();
            snapshots.push(mem.snapshot().unwrap());
        }
    }
    mem.optimize().unwrap();
    put(&mut mem, 200);
    mem.commit().unwrap();
    snapshots.push(mem.snapshot().unwrap());
    assert_eq!(mem.stats().unwrap().segments["time"], 1);
    for snapshot in &snapshots {
        check(snapshot);
    }
    let reopened = Memvid::open_read_only(dir.path()).unwrap();
    check(&reopened.snapshot().unwrap());
    let report = Memvid::verify(dir.path(), true).unwrap();
    assert!(report.ok, "{report:?}");
}

#[test]
fn an_entry_says_what_is_known_of_the_document() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    put(&mut mem, 3);
    mem.put_bytes(&[0, 159, 146, 150]).unwrap();
    mem.commit().unwrap();
    let page = mem.timeline(TimelineQuery::default()).unwrap();
    // Without an event time a document has its commit's, which is later than those of the test.
    assert_eq!(page.frames[0].preview, "");
    let entry = &page.frames[1];
    assert_eq!(entry.uri.as_deref(), Some("doc/3"));
    assert_eq!(entry.title.as_deref(), Some("Document 3"));
    assert_eq!(entry.preview, "The text of number 3.");
    assert_eq!(entry.timestamp, time(3));
    assert_eq!(entry.commit.get(), 1);
    assert_eq!(entry.tags, [("n".to_owned(), "3".to_owned())]);
    let bare = TimelineQuery::builder().preview_chars(0).build();
    assert_eq!(mem.timeline(bare).unwrap().frames[1].preview, "");
}

#[test]
fn a_page_goes_on_where_it_ended_while_others_write() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    for n in 0..20 {
        put(&mut mem, n);
    }
    mem.commit().unwrap();
    let first = mem
        .timeline(TimelineQuery::builder().limit(5).build())
        .unwrap();
    let before = rows(&first);
    mem.put_bytes(b"now").unwrap();
    mem.delete_frame(first.frames[4].frame_id).unwrap();
    mem.commit().unwrap();
    mem.checkpoint().unwrap();
    let rest = TimelineQuery {
        cursor: first.next_cursor,
        ..TimelineQuery::default()
    };
    let rest = mem.timeline(rest).unwrap();
    assert_eq!(rest.frames.len(), 15);
    assert!(rows(&rest).iter().all(|row| !before.contains(row)));
}

#[test]
fn a_file_without_a_time_index_has_a_timeline_and_gets_the_index() {
    let dir = Dir::new();
    let mut store = Store::create(
        &dir.path(),
        &CreateOptions::default(),
        OpenOptions::default(),
    )
    .unwrap();
    for n in 0..300 {
        let frame = NewFrame {
            timestamp: Some(time(n)),
            payload: format!("number {n}").into_bytes(),
            ..NewFrame::default()
        };
        store.put(frame).unwrap();
    }
    store.commit(mv2::store::CommitOptions::default()).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    let mut mem = Memvid::open(dir.path()).unwrap();
    assert!(!mem.stats().unwrap().segments.contains_key("time"));
    check(&mem.snapshot().unwrap());
    mem.checkpoint().unwrap();
    assert_eq!(mem.stats().unwrap().segments["time"], 1);
    check(&mem.snapshot().unwrap());
}

#[test]
fn questions_that_make_no_sense_are_typed_errors() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    for n in 0..5 {
        put(&mut mem, n);
    }
    mem.commit().unwrap();
    let kind = |query| mem.timeline(query).unwrap_err().kind();

    let empty = TimelineQuery::builder().since(5).until(4).build();
    let message = mem.timeline(empty.clone()).unwrap_err().to_string();
    assert!(message.contains("00:00:05") && message.contains("00:00:04"));
    assert_eq!(kind(empty), "invalid_range");

    for text in ["", "x", "00", "1000000000"] {
        let query = TimelineQuery::builder().cursor(text).build();
        assert_eq!(kind(query), "invalid_cursor", "{text}");
    }

    let page = mem
        .timeline(TimelineQuery::builder().limit(2).build())
        .unwrap();
    let other = TimelineQuery {
        reverse: true,
        cursor: page.next_cursor,
        ..TimelineQuery::default()
    };
    let error = mem.timeline(other).unwrap_err();
    assert!(matches!(error, Error::Time(_)));
    assert_eq!(error.kind(), "invalid_cursor");
    assert!(error.to_string().contains("order") && error.hint().is_some());
}

#[test]
fn damage_of_the_index_is_an_error_and_costs_no_document() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    for n in 0..300 {
        put(&mut mem, n);
    }
    mem.commit().unwrap();
    mem.checkpoint().unwrap();
    drop(mem);
    flip(&dir.path(), b"MV2E");
    let mem = Memvid::open_read_only(dir.path()).unwrap();
    let error = mem.timeline(TimelineQuery::default()).unwrap_err();
    assert_eq!(error.kind(), "index_unusable", "{error}");
    assert!(error.to_string().contains("time index"), "{error}");
    assert_eq!(mem.snapshot().unwrap().frames().count(), 300);
    assert!(!Memvid::verify(dir.path(), true).unwrap().ok);
}

/// Flips a bit some bytes behind a magic number.
fn flip(path: &Path, magic: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes
        .windows(magic.len())
        .rposition(|window| window == magic)
        .unwrap();
    bytes[at + 9] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
