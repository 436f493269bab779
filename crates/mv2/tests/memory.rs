//! The facade as a program uses it: batches, updates, snapshots, several handles of one file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mv2::{
    Clock, FrameId, Memvid, Mode, OpenOptions, PutOptions, PutStatus, SearchRequest, Snapshot,
    Timestamp,
};

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("m.mv2")
    }
}

/// A clock that goes on by a second at each look.
#[derive(Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn put(mem: &mut Memvid, uri: &str, text: &str) -> FrameId {
    let options = PutOptions::builder().uri(uri).build();
    mem.put_bytes_with_options(text.as_bytes(), options)
        .unwrap()
        .frame_id
}

#[test]
fn handles_and_snapshots_can_be_sent_and_shared() {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Memvid>();
    send_and_sync::<Snapshot>();
    send_and_sync::<OpenOptions>();
    send_and_sync::<mv2::Error>();
}

#[test]
fn a_batch_is_seen_by_nobody_before_its_commit() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    let id = put(&mut mem, "a", "first");
    assert_eq!(mem.stats().unwrap().active_frame_count, 0);
    assert_eq!(mem.frame_by_uri("a").unwrap_err().kind(), "no_such_uri");
    for kind in [
        mem.frame_by_id(id).unwrap_err().kind(),
        mem.frame(id).unwrap_err().kind(),
        mem.frame_text_by_id(id).unwrap_err().kind(),
        mem.frame_canonical_payload(id).unwrap_err().kind(),
        mem.update_frame(id, None, PutOptions::builder().title("t").build())
            .unwrap_err()
            .kind(),
    ] {
        assert_eq!(kind, "not_committed");
    }
    assert_eq!(
        mem.frame_by_id(id.next()).unwrap_err().kind(),
        "no_such_frame"
    );
    let commit = mem.commit().unwrap().unwrap();
    assert_eq!((commit.id.get(), commit.added), (1, 1));
    assert_eq!(mem.frame_text_by_id(id).unwrap(), "first");
    assert_eq!(mem.frame_by_uri("a").unwrap().id, id);
}

#[test]
fn a_rollback_and_a_drop_forget_the_batch_and_free_the_lock() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    let rolled_back = put(&mut mem, "a", "first");
    mem.rollback();
    assert_eq!(
        mem.frame_by_id(rolled_back).unwrap_err().kind(),
        "no_such_frame"
    );
    put(&mut mem, "a", "second");
    drop(mem);
    let mut mem = Memvid::builder()
        .lock_wait(Duration::ZERO)
        .open(dir.path())
        .unwrap();
    assert_eq!(put(&mut mem, "a", "third"), rolled_back);
    mem.commit_with("kept").unwrap();
    assert_eq!(mem.frame_text_by_id(rolled_back).unwrap(), "third");
    let log = mem.log(10).unwrap();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].message.as_deref(), Some("kept"));
    assert!(mem.commit().unwrap().is_none());
}

#[test]
fn a_put_under_a_known_uri_supersedes_or_does_nothing() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    let put = |mem: &mut Memvid, text: &str, tag: &str| {
        let options = PutOptions::builder().uri("a").tag("k", tag).build();
        let outcome = mem
            .put_bytes_with_options(text.as_bytes(), options)
            .unwrap();
        mem.commit().unwrap();
        outcome
    };
    let first = put(&mut mem, "text", "1");
    assert_eq!(first.status, PutStatus::Added);
    let same = put(&mut mem, "text", "1");
    assert_eq!(
        (same.status, same.frame_id),
        (PutStatus::Unchanged, first.frame_id)
    );
    let tagged = put(&mut mem, "text", "2");
    assert_eq!(
        (tagged.status, tagged.superseded),
        (PutStatus::Superseded, Some(first.frame_id))
    );
    let text = put(&mut mem, "other", "2");
    assert_eq!(text.status, PutStatus::Superseded);
    let stats = mem.stats().unwrap();
    assert_eq!(
        (
            stats.frame_count,
            stats.active_frame_count,
            stats.commit_count
        ),
        (3, 1, 3)
    );
    let changes = mem.changes(3).unwrap();
    assert_eq!(changes.superseded, [(tagged.frame_id, text.frame_id)]);
}

#[test]
fn an_update_keeps_what_it_does_not_name() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    let options = PutOptions::builder()
        .uri("a")
        .title("Title")
        .kind("note")
        .track("t")
        .tag("k", "v")
        .label("l")
        .timestamp(7)
        .metadata(serde_json::json!({"m": 1}))
        .build();
    let first = mem.put_bytes_with_options(b"text", options).unwrap();
    mem.commit().unwrap();
    let second = mem
        .update_frame(first, Some(b"new text".to_vec()), PutOptions::default())
        .unwrap();
    mem.commit().unwrap();
    let (old, new) = (mem.snapshot().unwrap(), mem.frame_by_id(second).unwrap());
    assert_eq!(old.frame_by_id(first).unwrap_err().kind(), "frame_dead");
    assert_eq!(new.title.as_deref(), Some("Title"));
    assert_eq!(new.uri.as_deref(), Some("a"));
    assert_eq!(
        (new.kind.as_deref(), new.track.as_deref()),
        (Some("note"), Some("t"))
    );
    assert_eq!(new.tags, [("k".to_owned(), "v".to_owned())]);
    assert_eq!(new.labels, ["l"]);
    assert_eq!(new.timestamp, Timestamp::from_secs(7));
    assert_eq!(new.metadata.as_deref(), Some(r#"{"m":1}"#));

    let options = PutOptions::builder().uri("b").tag("k", "w").build();
    let third = mem.update_frame(second, None, options).unwrap();
    mem.commit().unwrap();
    let frame = mem.frame(third).unwrap();
    assert_eq!(frame.payload, b"new text");
    assert_eq!(frame.meta.tags, [("k".to_owned(), "w".to_owned())]);
    assert_eq!(mem.frame_by_uri("a").unwrap_err().kind(), "no_such_uri");
    assert_eq!(mem.frame_by_uri("b").unwrap().id, third.frame_id);
}

#[test]
fn what_describes_bytes_follows_their_uri_and_metadata() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    let options = PutOptions::builder()
        .uri("a.png")
        .metadata(serde_json::json!({"city": "Kyoto"}))
        .build();
    let id = mem.put_bytes_with_options(b"\x89PNG\0", options).unwrap();
    mem.commit().unwrap();
    assert_eq!(mem.frame_text_by_id(id).unwrap(), "a.png\nKyoto");
    let id = mem
        .update_frame(id, None, PutOptions::builder().uri("b.png").build())
        .unwrap();
    mem.commit().unwrap();
    assert_eq!(mem.frame_text_by_id(id).unwrap(), "b.png\nKyoto");
    // What the caller wrote is the caller's.
    let options = PutOptions::builder().search_text("a temple").build();
    let id = mem.update_frame(id, None, options).unwrap();
    mem.commit().unwrap();
    let id = mem
        .update_frame(id, None, PutOptions::builder().uri("c.png").build())
        .unwrap();
    mem.commit().unwrap();
    assert_eq!(mem.frame_text_by_id(id).unwrap(), "a temple");
    let id = mem
        .update_frame(id, Some(b"\0".to_vec()), PutOptions::default())
        .unwrap();
    mem.commit().unwrap();
    assert_eq!(mem.frame_text_by_id(id).unwrap(), "c.png\nKyoto");
    assert_eq!(mem.frame_canonical_payload(id).unwrap(), b"\0");
}

#[test]
fn deletes_are_seen_by_reads_and_not_by_older_snapshots() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    let (a, b) = (put(&mut mem, "a", "one"), put(&mut mem, "b", "two"));
    mem.commit().unwrap();
    let before = mem.snapshot().unwrap();
    mem.delete_frame(a).unwrap();
    assert_eq!(mem.frame_text_by_id(a).unwrap(), "one");
    mem.commit().unwrap();
    assert_eq!(mem.frame_by_id(a).unwrap_err().kind(), "frame_dead");
    assert_eq!(mem.delete_frame(a).unwrap_err().kind(), "frame_dead");
    mem.rollback();
    assert_eq!(before.frame_text_by_id(a).unwrap(), "one");
    let ids: Vec<FrameId> = mem
        .snapshot()
        .unwrap()
        .frames()
        .map(|meta| meta.unwrap().id)
        .collect();
    assert_eq!(ids, [b]);
    assert_eq!(before.stats().unwrap().active_frame_count, 2);
    assert_eq!(before.log().count(), 1);
    assert_eq!(mem.snapshot().unwrap().log().count(), 2);
}

#[test]
fn two_handles_see_each_others_commits() {
    let dir = Dir::new();
    let mut one = Memvid::create(dir.path()).unwrap();
    let mut two = Memvid::open(dir.path()).unwrap();
    let reader = Memvid::open_read_only(dir.path()).unwrap();
    for round in 0..300 {
        let writer = if round % 2 == 0 { &mut one } else { &mut two };
        let id = put(writer, &format!("{round}"), &format!("text {round}"));
        assert_eq!(id.get(), round);
        writer.commit().unwrap();
        assert_eq!(
            reader.frame_text_by_id(id).unwrap(),
            format!("text {round}")
        );
    }
    for mem in [&one, &two, &reader] {
        assert_eq!(mem.stats().unwrap().active_frame_count, 300);
    }
    let mut reader = reader;
    assert_eq!(reader.put_bytes(b"x").unwrap_err().kind(), "read_only");
    assert_eq!(reader.begin().unwrap_err().kind(), "read_only");

    one.put_bytes(b"pending").unwrap();
    let mut impatient = Memvid::builder()
        .lock_wait(Duration::ZERO)
        .open(dir.path())
        .unwrap();
    let error = impatient.put_bytes(b"x").unwrap_err();
    assert_eq!(error.kind(), "locked");
    assert!(error.hint().is_some());
}

#[test]
fn the_caller_decides_the_time() {
    let dir = Dir::new();
    let options = OpenOptions::new().clock(Arc::new(Ticks(AtomicI64::new(1_000))));
    let mut mem = options.create(dir.path()).unwrap();
    let dated = PutOptions::builder().timestamp(5).build();
    let dated = mem.put_bytes_with_options(b"dated", dated).unwrap();
    let now = mem.put_bytes(b"now").unwrap();
    let commit = mem.commit().unwrap().unwrap();
    assert!(
        (1_000..1_010).contains(&commit.time.as_secs()),
        "{}",
        commit.time
    );
    assert_eq!(
        mem.frame_by_id(dated).unwrap().timestamp,
        Timestamp::from_secs(5)
    );
    assert_eq!(mem.frame_by_id(now).unwrap().timestamp, commit.time);
}

#[test]
fn a_file_is_made_where_there_is_none() {
    let dir = Dir::new();
    assert_eq!(Memvid::open(dir.path()).unwrap_err().kind(), "not_found");
    let options = OpenOptions::new();
    let mut mem = options.open_or_create(dir.path()).unwrap();
    put(&mut mem, "a", "text");
    mem.commit().unwrap();
    assert_eq!(
        options
            .open_or_create(dir.path())
            .unwrap()
            .stats()
            .unwrap()
            .frame_count,
        1
    );
    assert!(Memvid::verify(dir.path(), true).unwrap().ok);
    assert_eq!(mem.path(), dir.path());
}

#[test]
fn names_that_are_too_long_are_refused_and_the_batch_goes_on() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    put(&mut mem, "a", "one");
    let options = PutOptions::builder().title("t".repeat(20_000)).build();
    assert_eq!(
        mem.put_bytes_with_options(b"x", options)
            .unwrap_err()
            .kind(),
        "too_large"
    );
    put(&mut mem, "b", "two");
    assert_eq!(mem.commit().unwrap().unwrap().added, 2);
}

#[cfg(not(feature = "lex"))]
#[test]
fn a_build_without_search_keeps_and_reads_everything_else() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    for number in 0..600 {
        put(&mut mem, &number.to_string(), "text");
    }
    mem.commit().unwrap();
    mem.checkpoint().unwrap();
    assert_eq!(
        mem.search(SearchRequest::default()).unwrap_err().kind(),
        "unsupported"
    );
    assert_eq!(mem.enable_lex().unwrap_err().kind(), "unsupported");
    assert_eq!(mem.stats().unwrap().active_frame_count, 600);
    assert!(!mem.stats().unwrap().has_lex_index);
    assert_eq!(mem.frame_text_by_id(599).unwrap(), "text");
}

#[cfg(feature = "lex")]
mod search {
    use super::*;
    use mv2::{CheckpointPolicy, SearchHit, TotalRelation};

    /// Commits that never fold the log, so that searches go through memory.
    fn only_log() -> CheckpointPolicy {
        CheckpointPolicy {
            tail_frames: usize::MAX,
            tail_bytes: u64::MAX,
            ..CheckpointPolicy::default()
        }
    }

    const WORDS: [&str; 12] = [
        "garden", "planning", "river", "meeting", "budget", "quarter", "mountain", "letter",
        "会議", "東京", "engine", "the",
    ];

    /// Texts that differ in length and words, the same ones at each call.
    fn text(number: usize) -> String {
        let mut state = number as u64 + 1;
        let length = 5 + number % 23;
        let mut words = Vec::with_capacity(length);
        for _ in 0..length {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            words.push(WORDS[(state >> 33) as usize % WORDS.len()]);
        }
        words.join(" ")
    }

    fn ranking(mem: &Memvid, query: &str) -> Vec<(FrameId, f32)> {
        let request = SearchRequest::builder(query)
            .top_k(50)
            .mode(Mode::Lex)
            .build();
        let hits = mem.search(request).unwrap().hits;
        hits.iter()
            .map(|hit: &SearchHit| (hit.frame_id, hit.score))
            .collect()
    }

    const QUERIES: [&str; 5] = [
        "planning the garden",
        "会議",
        "river OR 東京",
        "\"meeting budget\"",
        "engine -letter",
    ];

    #[test]
    fn the_log_and_the_segments_rank_alike() {
        let dir = Dir::new();
        let mut mem = Memvid::builder()
            .checkpoint(only_log())
            .create(dir.path())
            .unwrap();
        for number in 0..120 {
            put(&mut mem, &number.to_string(), &text(number));
            if number % 7 == 0 {
                mem.commit().unwrap();
                // Searched between the commits, so that segments in memory grow and merge.
                mem.search("garden").unwrap();
            }
        }
        mem.commit().unwrap();
        for number in (0..120).step_by(5) {
            put(&mut mem, &number.to_string(), &text(number + 500));
        }
        mem.delete_frame(3).unwrap();
        mem.commit().unwrap();
        let grown: Vec<_> = QUERIES.map(|query| ranking(&mem, query)).into();
        assert!(grown.iter().all(|hits| !hits.is_empty()));
        let fresh = Memvid::open_read_only(dir.path()).unwrap();
        assert_eq!(QUERIES.map(|query| ranking(&fresh, query)).to_vec(), grown);
        assert!(!mem.stats().unwrap().has_lex_index);

        mem.checkpoint().unwrap();
        assert!(mem.stats().unwrap().has_lex_index);
        assert_eq!(QUERIES.map(|query| ranking(&mem, query)).to_vec(), grown);
        assert_eq!(QUERIES.map(|query| ranking(&fresh, query)).to_vec(), grown);
        mem.optimize().unwrap();
        assert_eq!(QUERIES.map(|query| ranking(&mem, query)).to_vec(), grown);
    }

    #[test]
    fn a_pinned_snapshot_searches_what_it_saw() {
        let dir = Dir::new();
        let mut mem = Memvid::create(dir.path()).unwrap();
        let first = put(&mut mem, "a", "the garden");
        mem.commit().unwrap();
        let before = mem.snapshot().unwrap();
        let expected = before.search("garden").unwrap().hits;
        put(&mut mem, "a", "the river");
        put(&mut mem, "b", "a garden by the river");
        mem.commit().unwrap();
        for _ in 0..2 {
            let ids: Vec<_> = mem
                .search("garden")
                .unwrap()
                .hits
                .iter()
                .map(|hit| hit.frame_id.get())
                .collect();
            assert_eq!(ids, [2]);
            assert_eq!(before.search("garden").unwrap().hits, expected);
            mem.checkpoint().unwrap();
        }
        assert_eq!(expected[0].frame_id, first);
        assert_eq!(before.search("river").unwrap().hits, []);
    }

    #[test]
    fn a_hit_has_what_an_answer_needs() {
        let dir = Dir::new();
        let mut mem = Memvid::create(dir.path()).unwrap();
        let options = PutOptions::builder()
            .uri("a")
            .title("Title")
            .tag("k", "v")
            .label("l")
            .kind("note")
            .timestamp(9)
            .build();
        mem.put_bytes_with_options("\u{feff}We plan a garden.".as_bytes(), options)
            .unwrap();
        mem.commit().unwrap();
        let request = SearchRequest::builder("gardens").mode(Mode::Lex);
        let response = mem.search(request.build()).unwrap();
        assert_eq!(response.query, "gardens");
        assert_eq!(response.commit.get(), 1);
        assert_eq!(
            (response.total_hits, response.total_relation),
            (1, TotalRelation::Eq)
        );
        let hit = &response.hits[0];
        assert_eq!((hit.rank, hit.frame_id.get(), hit.commit.get()), (1, 0, 1));
        assert_eq!(
            (
                hit.uri.as_deref(),
                hit.title.as_deref(),
                hit.kind.as_deref()
            ),
            (Some("a"), Some("Title"), Some("note"))
        );
        assert_eq!(hit.text, "We plan a garden.");
        assert_eq!(&hit.text[hit.matches[0].clone()], "garden");
        assert_eq!(
            hit.lex.map(|lex| (lex.rank, lex.score)),
            Some((1, hit.score))
        );
        assert_eq!(hit.timestamp, Timestamp::from_secs(9));
        assert_eq!(hit.tags, [("k".to_owned(), "v".to_owned())]);
        assert_eq!(hit.labels, ["l"]);
        assert!(response.took_ms >= 0.0);
        let broken = mem.search("garden AND (").unwrap();
        assert!(broken.warning.is_some());
        assert_eq!(broken.hits.len(), 1);
        assert_eq!(mem.search("").unwrap().hits, []);
    }

    #[test]
    fn frames_of_a_writer_without_an_index_are_found_and_caught_up() {
        use mv2::store::{CommitOptions, CreateOptions, NewFrame, Store};

        let dir = Dir::new();
        let mut other =
            Store::create(&dir.path(), &CreateOptions::default(), Default::default()).unwrap();
        let mut write = |numbers: std::ops::Range<usize>| {
            for number in numbers {
                let frame = NewFrame {
                    uri: Some(number.to_string()),
                    is_text: true,
                    payload: text(number).into_bytes(),
                    ..NewFrame::default()
                };
                other.put(frame).unwrap();
            }
            other.commit(CommitOptions::default()).unwrap();
            other.checkpoint().unwrap();
        };
        write(0..300);
        let mut mem = Memvid::open(dir.path()).unwrap();
        assert!(!mem.stats().unwrap().has_lex_index);
        let found = ranking(&mem, QUERIES[0]);
        assert!(!found.is_empty());
        mem.checkpoint().unwrap();
        put(&mut mem, "mine", "a paragraph of mine");
        mem.commit().unwrap();
        write(300..310);
        mem.checkpoint().unwrap();

        let twin = Dir::new();
        let mut fresh = Memvid::create(twin.path()).unwrap();
        for number in 0..300 {
            put(&mut fresh, &number.to_string(), &text(number));
        }
        fresh.commit().unwrap();
        assert_eq!(ranking(&fresh, QUERIES[0]), found);
        put(&mut fresh, "mine", "a paragraph of mine");
        for number in 300..310 {
            put(&mut fresh, &number.to_string(), &text(number));
        }
        fresh.commit().unwrap();
        for query in QUERIES.iter().chain(&["paragraph"]) {
            assert_eq!(ranking(&mem, query), ranking(&fresh, query), "{query}");
        }
    }

    #[test]
    fn a_replaced_file_is_searched_and_not_remembered() {
        let dir = Dir::new();
        let fill = |path: PathBuf, word: &str| {
            let mut mem = Memvid::create(path).unwrap();
            for number in 0..300 {
                put(
                    &mut mem,
                    &number.to_string(),
                    &format!("{word} number {number:03}"),
                );
            }
            mem.commit().unwrap();
        };
        fill(dir.path(), "apples");
        let mem = Memvid::open_read_only(dir.path()).unwrap();
        let pinned = mem.snapshot().unwrap();
        assert_eq!(ranking(&mem, "apples").len(), 50);
        let other = dir.0.path().join("other.mv2");
        fill(other.clone(), "grapes");
        std::fs::rename(other, dir.path()).unwrap();
        assert_eq!(ranking(&mem, "grapes").len(), 50);
        assert_eq!(ranking(&mem, "apples").len(), 0);
        let grapes = SearchRequest::builder("grapes").mode(Mode::Lex).build();
        assert_eq!(pinned.search(grapes).unwrap().hits.len(), 0);
    }

    #[test]
    fn search_on_many_threads_gives_one_answer() {
        let dir = Dir::new();
        let mut mem = Memvid::create(dir.path()).unwrap();
        for number in 0..300 {
            put(&mut mem, &number.to_string(), &text(number));
        }
        mem.commit().unwrap();
        let expected = ranking(&mem, QUERIES[0]);
        let mem = &mem;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(move || ranking(mem, QUERIES[0])))
                .collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), expected);
            }
        });
    }

    #[test]
    fn pages_of_any_size_make_the_whole_list() {
        let dir = Dir::new();
        let mut mem = Memvid::create(dir.path()).unwrap();
        for number in 0..250 {
            put(&mut mem, &number.to_string(), &text(number));
        }
        mem.commit().unwrap();
        for query in QUERIES {
            let request = SearchRequest::builder(query).top_k(1_000).count(true);
            let whole = mem.search(request.build()).unwrap();
            assert_eq!(whole.next_cursor, None);
            for size in [1, 7, 100] {
                let mut hits = Vec::new();
                let mut cursor = None;
                loop {
                    let page = mem
                        .search(SearchRequest {
                            query: query.to_owned(),
                            top_k: size,
                            cursor,
                            count: size == 7,
                            ..SearchRequest::default()
                        })
                        .unwrap();
                    hits.extend(page.hits);
                    cursor = page.next_cursor;
                    if cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(hits, whole.hits, "{query}, {size}");
            }
        }
        let first = SearchRequest::builder(QUERIES[0]).top_k(1);
        let cursor = mem.search(first.build()).unwrap().next_cursor.unwrap();
        let other = SearchRequest::builder("another").cursor(&cursor).build();
        let error = mem.search(other).unwrap_err();
        assert_eq!(error.to_string(), "the cursor belongs to another query");
        put(&mut mem, "new", "new");
        mem.commit().unwrap();
        // The list is that of the first page's commit, whatever was committed since.
        let later = SearchRequest::builder(QUERIES[0]).cursor(&cursor);
        assert_eq!(mem.search(later.build()).unwrap().commit, 1.into());
    }
}

/// A text larger than what is read as a whole to search it, with words at both ends.
fn large_text() -> String {
    let room = " \n".repeat(700_000);
    format!("\u{feff}The first lighthouse.{room}At last the deep blue sea. 東京湾の海。")
}

#[cfg(feature = "lex")]
#[test]
fn a_large_text_is_found_by_its_words_phrases_and_beginning() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    put(&mut mem, "large", &large_text());
    put(&mut mem, "same", &large_text());
    put(&mut mem, "small", "A sea that is blue and deep.");
    mem.commit().unwrap();
    mem.checkpoint().unwrap();
    let found = |query: &str| -> Vec<String> {
        let request = SearchRequest {
            query: query.to_owned(),
            ..SearchRequest::default()
        };
        let hits = mem.search(request).unwrap().hits;
        let mut uris: Vec<_> = hits.into_iter().filter_map(|hit| hit.uri).collect();
        uris.sort_unstable();
        uris
    };
    assert_eq!(found("lighthouse"), ["large", "same"]);
    assert_eq!(found("\"deep blue sea\""), ["large", "same"]);
    assert_eq!(
        found("+\"東京湾の海\" -\"the lighthouse\""),
        ["large", "same"]
    );
    assert_eq!(found("\"blue deep sea\""), [""; 0]);
    let hits = mem.search("sea lighthouse").unwrap().hits;
    let hit = hits.iter().find(|hit| hit.uri.as_deref() == Some("same"));
    let hit = hit.unwrap();
    assert!(
        hit.text.starts_with("The first lighthouse."),
        "{}",
        hit.text
    );
    assert_eq!(hit.matches.first(), Some(&(10..20)));
}

#[test]
fn a_large_text_is_shown_by_its_beginning_and_given_back_whole() {
    let dir = Dir::new();
    let mut mem = Memvid::create(dir.path()).unwrap();
    let text = large_text();
    put(&mut mem, "large", &text);
    mem.commit().unwrap();
    let again = put(&mut mem, "same", &text);
    mem.commit().unwrap();
    let snapshot = mem.snapshot().unwrap();
    assert!(snapshot.frame(again).unwrap().payload == text.as_bytes());
    assert!(snapshot.frame_text_by_id(again).unwrap() == text[3..]);
    let page = mem.timeline(mv2::TimelineQuery::default()).unwrap();
    for entry in page.frames {
        assert!(
            entry.preview.starts_with("The first lighthouse."),
            "{}",
            entry.preview
        );
    }
}
