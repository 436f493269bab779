//! Optimize, vacuum, seal, unseal and backup through the facade: what a reader sees stays the same.
#![cfg(feature = "lex")]

use std::path::PathBuf;
use std::time::Duration;

use mv2::{
    CheckpointPolicy, Commit, FrameMeta, Memvid, Mode, OpenOptions, PutOptions, SearchRequest,
    TimelineQuery,
};

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Options that make segments and dead bytes out of few documents.
fn busy() -> OpenOptions {
    Memvid::builder()
        .lock_wait(Duration::ZERO)
        .checkpoint(CheckpointPolicy {
            tail_frames: 8,
            max_segments: 3,
            ..CheckpointPolicy::default()
        })
}

/// A search by words alone.
fn words(query: &str) -> SearchRequest {
    SearchRequest::builder(query).mode(Mode::Lex).build()
}

fn put(mem: &mut Memvid, uri: &str, text: &str) {
    let options = PutOptions::builder()
        .uri(uri)
        .title(format!("About {uri}"))
        .tag("round", text.len().to_string())
        .build();
    mem.put_bytes_with_options(text.as_bytes(), options)
        .unwrap();
}

/// A memory of 60 documents in English and Japanese, of which some were superseded and some deleted, with
/// the last few in the log.
fn memory(dir: &Dir) -> Memvid {
    let mut mem = busy().create(dir.path("m.mv2")).unwrap();
    let words = ["harbour", "winter", "planning", "garden", "quarter"];
    for round in 0..3 {
        for id in 0..20 {
            let (first, second) = (words[id % 5], words[(id + round) % 5]);
            let text = format!(
                "The {first} of {second}, {}. 東京の会議{id}",
                "again ".repeat(id)
            );
            // Each third document is written anew in each round.
            let uri = match id % 3 {
                0 => format!("note/{id}"),
                _ => format!("note/{round}/{id}"),
            };
            put(&mut mem, &uri, &text);
            if id % 4 == 3 {
                mem.commit_with(format!("round {round}")).unwrap();
            }
        }
    }
    for uri in ["note/0/1", "note/2/2"] {
        let id = mem.frame_by_uri(uri).unwrap().id;
        mem.delete_frame(id).unwrap();
    }
    put(&mut mem, "last", "in the log: a harbour in winter");
    mem.commit().unwrap();
    mem
}

/// All that a reader can see: ranking with scores, snippets and places, frames with texts, timeline and log.
#[derive(Debug, PartialEq)]
struct Seen {
    hits: Vec<String>,
    frames: Vec<(FrameMeta, String)>,
    timeline: Vec<u64>,
    log: Vec<Commit>,
}

fn seen(mem: &Memvid) -> Seen {
    let snapshot = mem.snapshot().unwrap();
    let mut hits = Vec::new();
    for query in [
        "harbour winter",
        "\"the garden\" again",
        "会議",
        "title:about +planning -quarter",
        "uri:note/1/*",
        "nowhere",
    ] {
        let request = SearchRequest {
            query: query.into(),
            top_k: 50,
            count: true,
            ..SearchRequest::default()
        };
        let response = snapshot.search(request).unwrap();
        hits.push(format!("{query}: {}", response.total_hits));
        hits.extend(response.hits.iter().map(|hit| {
            // The bits: a score that is only nearly the same is another one.
            let bits = hit.score.to_bits();
            format!("{} {bits} {} {:?}", hit.frame_id, hit.text, hit.matches)
        }));
    }
    let frames = snapshot.frames().map(|meta| {
        let meta = meta.unwrap();
        let text = snapshot.frame_text_by_id(meta.id).unwrap();
        (meta, text)
    });
    let frames = frames.collect();
    let timeline = TimelineQuery::builder().limit(100).build();
    let timeline = snapshot.timeline(timeline).unwrap().frames;
    Seen {
        hits,
        frames,
        timeline: timeline.iter().map(|entry| entry.frame_id.get()).collect(),
        log: snapshot.log().map(|commit| commit.unwrap()).collect(),
    }
}

#[track_caller]
fn sound(dir: &Dir, name: &str) {
    let report = Memvid::verify(dir.path(name), true).unwrap();
    assert!(report.ok, "{report:?}");
}

#[test]
fn ranking_frames_and_history_survive_each_rewrite_also_for_a_second_handle() {
    let dir = Dir::new();
    let mut mem = memory(&dir);
    let other = busy().open_read_only(dir.path("m.mv2")).unwrap();
    let before = seen(&mem);
    assert!(before.hits.len() > 40, "{:?}", before.hits);
    assert_eq!(seen(&other), before);
    let pinned = other.snapshot().unwrap();

    type Step = fn(&mut Memvid) -> mv2::Result<()>;
    let steps: [(&str, Step, bool); 7] = [
        ("optimize", |mem| mem.optimize(), false),
        ("vacuum", |mem| mem.vacuum().map(drop), false),
        ("seal", |mem| mem.seal().map(drop), true),
        (
            "vacuum of a sealed file",
            |mem| mem.vacuum().map(drop),
            true,
        ),
        ("unseal", |mem| mem.unseal().map(drop), false),
        ("checkpoint", |mem| mem.checkpoint(), false),
        ("vacuum again", |mem| mem.vacuum().map(drop), false),
    ];
    for (name, step, sealed) in steps {
        step(&mut mem).unwrap();
        assert_eq!(seen(&mem), before, "{name}");
        assert_eq!(seen(&other), before, "{name}, second handle");
        let fresh = Memvid::open(dir.path("m.mv2")).unwrap();
        assert_eq!(seen(&fresh), before, "{name}, opened anew");
        assert_eq!(other.is_sealed().unwrap(), sealed, "{name}");
        assert_eq!(mem.stats().unwrap().sealed, sealed, "{name}");
        sound(&dir, "m.mv2");
    }
    assert_eq!(pinned.search("harbour").unwrap().commit, pinned.commit_id());
    let frame = before.frames[0].0.id;
    assert_eq!(
        pinned.frame_text_by_id(frame).unwrap(),
        before.frames[0].1,
        "a snapshot goes on with the file that it was taken of"
    );

    // And on it goes, for both.
    put(&mut mem, "new", "a lighthouse");
    mem.commit().unwrap();
    assert_eq!(other.search(words("lighthouse")).unwrap().hits.len(), 1);
    sound(&dir, "m.mv2");
}

#[test]
fn a_vacuum_says_what_it_saved() {
    let dir = Dir::new();
    let mut mem = memory(&dir);
    mem.optimize().unwrap();
    let before = mem.stats().unwrap();
    assert!(before.dead_bytes > 0);
    let file = mem.vacuum().unwrap();
    let after = mem.stats().unwrap();
    assert_eq!(
        (file.bytes_before, file.bytes_after),
        (before.size_bytes, after.size_bytes)
    );
    assert!(file.bytes_after < file.bytes_before, "{file:?}");
    assert!(after.dead_bytes < before.dead_bytes / 4, "{after:?}");
    assert_eq!(after.segments["lex"], 1);
    assert_eq!(after.frame_count, before.frame_count);
}

#[test]
fn a_small_seal_gives_the_same_answers() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path("m.mv2")).unwrap();
    for id in 0..300 {
        let text = format!(
            "The keeper of lamp {id} wrote to the harbour master, and the harbour of town {} answered: 灯台は{id}番です",
            id % 7
        );
        mem.put_bytes(text.as_bytes()).unwrap();
    }
    mem.commit().unwrap();
    mem.seal().unwrap();
    let queries = [
        "lamp",
        "\"harbour master\"",
        "\"master harbour\"",
        "\"town 3\" -\"lamp 3\"",
        "灯台",
        "wrote town",
    ];
    let answers = |mem: &Memvid| -> Vec<Vec<(u64, u32)>> {
        let ask = |query: &&str| {
            let hits = mem.search(*query).unwrap().hits;
            hits.iter()
                .map(|hit| (hit.frame_id.get(), hit.score.to_bits()))
                .collect()
        };
        queries.iter().map(ask).collect()
    };
    let (before, sealed) = (answers(&mem), mem.stats().unwrap().size_bytes);
    assert_eq!(before[1].len(), 10);
    assert!(before[2].is_empty() && !before[3].is_empty());
    assert_eq!(mem.seal_small().unwrap_err().kind(), "sealed");
    mem.unseal().unwrap();
    mem.seal_small().unwrap();
    assert_eq!(answers(&mem), before);
    assert!(mem.stats().unwrap().size_bytes < sealed);
    // And back.
    mem.unseal().unwrap();
    mem.seal().unwrap();
    assert_eq!(answers(&mem), before);
    assert_eq!(mem.stats().unwrap().size_bytes, sealed);
    assert!(Memvid::verify(dir.path("m.mv2"), true).unwrap().ok);
}

#[test]
fn a_sealed_memory_is_searched_and_not_written() {
    let dir = Dir::new();
    let mut mem = memory(&dir);
    let file = mem.seal().unwrap();
    assert!(file.bytes_after < file.bytes_before, "{file:?}");
    let again = mem.seal().unwrap();
    assert_eq!(again.bytes_before, file.bytes_after);
    assert_eq!(again.bytes_after, file.bytes_after);

    let mut other = busy().open(dir.path("m.mv2")).unwrap();
    assert_eq!(other.search(words("last")).unwrap().hits.len(), 1);
    for mem in [&mut mem, &mut other] {
        let errors = [
            mem.put_bytes(b"x").unwrap_err(),
            mem.delete_frame(0).unwrap_err(),
            mem.begin().unwrap_err(),
            mem.checkpoint().unwrap_err(),
            mem.optimize().unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), "sealed");
            assert!(error.hint().unwrap().contains("unseal"));
        }
        assert!(mem.commit().unwrap().is_none());
    }

    let file = busy()
        .wal_bytes(128 << 10)
        .open(dir.path("m.mv2"))
        .unwrap()
        .unseal()
        .unwrap();
    assert!(
        file.bytes_after >= file.bytes_before + (128 << 10),
        "{file:?}"
    );
    assert_eq!(mem.stats().unwrap().wal_bytes, 128 << 10);
    let again = mem.unseal().unwrap();
    assert_eq!(again.bytes_before, again.bytes_after);
    put(&mut mem, "after", "written again");
    mem.commit().unwrap();
    put(&mut other, "after that", "by both");
    other.commit().unwrap();
    assert_eq!(mem.search("uri:after*").unwrap().hits.len(), 2);
}

#[test]
fn copies_are_memories_of_their_own() {
    let dir = Dir::new();
    let mut mem = memory(&dir);
    let before = seen(&mem);
    put(&mut mem, "pending", "not committed");
    let reader = busy().open_read_only(dir.path("m.mv2")).unwrap();
    // Neither needs the lock, which the batch holds.
    reader.backup(dir.path("backup.mv2")).unwrap();
    reader.vacuum_to(dir.path("dense.mv2")).unwrap();
    mem.backup(dir.path("own.mv2")).unwrap();
    mem.commit().unwrap();
    for name in ["backup.mv2", "dense.mv2", "own.mv2"] {
        let mut copy = busy().open(dir.path(name)).unwrap();
        assert_eq!(seen(&copy), before, "{name}");
        sound(&dir, name);
        put(&mut copy, "own", "lighthouse");
        copy.commit().unwrap();
        assert_eq!(copy.search(words("lighthouse")).unwrap().hits.len(), 1);
        let taken = reader.backup(dir.path(name)).unwrap_err();
        assert_eq!(taken.kind(), "already_exists");
    }
    assert!(mem.search(words("lighthouse")).unwrap().hits.is_empty());

    mem.seal().unwrap();
    reader.backup(dir.path("unsealed.mv2")).unwrap();
    let mut copy = busy().open(dir.path("unsealed.mv2")).unwrap();
    assert!(!copy.is_sealed().unwrap());
    copy.put_bytes(b"x").unwrap();
}

#[test]
fn what_stands_against_a_rewrite_has_a_name_and_leaves_the_file_alone() {
    let dir = Dir::new();
    let mut mem = memory(&dir);
    let before = seen(&mem);
    put(&mut mem, "pending", "x");
    assert_eq!(mem.vacuum().unwrap_err().kind(), "in_transaction");
    assert_eq!(mem.seal().unwrap_err().kind(), "in_transaction");
    let mut other = busy().open(dir.path("m.mv2")).unwrap();
    assert_eq!(other.vacuum().unwrap_err().kind(), "locked");
    mem.rollback();
    let mut reader = busy().open_read_only(dir.path("m.mv2")).unwrap();
    assert_eq!(reader.vacuum().unwrap_err().kind(), "read_only");
    assert_eq!(reader.seal().unwrap_err().kind(), "read_only");

    std::fs::hard_link(dir.path("m.mv2"), dir.path("second.mv2")).unwrap();
    for error in [other.vacuum().unwrap_err(), other.seal().unwrap_err()] {
        assert_eq!(error.kind(), "cannot_replace");
        assert!(error.hint().unwrap().contains("--to"));
    }
    assert_eq!(seen(&other), before);
    // The failures left nothing locked.
    put(&mut mem, "pending", "x");
    mem.commit().unwrap();
    sound(&dir, "m.mv2");
}
