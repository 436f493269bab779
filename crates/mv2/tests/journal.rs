//! Searches that are noted down: they come back bit for bit, find the same at their commit whatever became of the file, and what
//! differs is told.
#![cfg(feature = "vec")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mv2::store::Store;
use mv2::{
    CheckpointPolicy, Clock, CommitId, ContextRequest, Difference, HitChange, Memvid, Mode,
    OpenOptions, PutOptions, RecordedSearch, ReplayOptions, ReplayStep, ReplayedSearch,
    SearchRequest, SearchResponse, Selector, Syntax, Timestamp,
};

const START: i64 = 1_795_569_003_000_000;

/// A clock that is set by hand.
#[derive(Clone, Default)]
struct ByHand(Arc<AtomicI64>);

impl ByHand {
    fn new() -> Self {
        let clock = Self::default();
        clock.0.store(START, Ordering::Relaxed);
        clock
    }

    fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for ByHand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

fn options(clock: &ByHand) -> OpenOptions {
    Memvid::builder()
        .background(false)
        .no_embedder()
        .clock(Arc::new(clock.clone()))
        .wal_bytes(64 << 10)
        .checkpoint(CheckpointPolicy {
            tail_frames: 16,
            max_segments: 3,
            ..CheckpointPolicy::default()
        })
        .journal(true)
}

fn vector(at: u64) -> Vec<f32> {
    (0..6u64)
        .map(|dim| ((at * 7 + dim * 13) % 17) as f32 / 3.0 - 2.5)
        .collect()
}

fn text(at: u64) -> String {
    let words = [
        "harbour", "winter", "planning", "garden", "quarter", "ships",
    ];
    let mut text = format!("Note {at} about the");
    for step in 0..3 + at % 5 {
        text.push(' ');
        text.push_str(words[((at * 5 + step * step) % 6) as usize]);
    }
    text
}

fn put(mem: &mut Memvid, at: u64, version: u64) {
    let options = PutOptions::builder()
        .uri(format!("notes/{at}.md"))
        .title(format!("Note {at}"))
        .timestamp(1_700_000_000 + at as i64 * 86_400)
        .tag("parity", if at.is_multiple_of(2) { "even" } else { "odd" })
        .label("note")
        .build();
    let text = text(at + 3 * version);
    mem.put_with_embedding(text.as_bytes(), options, &vector(at + version))
        .unwrap();
}

/// A memory of 40 notes in 10 commits.
fn memory(path: &Path, clock: &ByHand) -> Memvid {
    let mut mem = options(clock).create(path).unwrap();
    for at in 0..40 {
        put(&mut mem, at, 0);
        if at % 4 == 3 {
            clock.advance(60);
            mem.commit().unwrap();
        }
    }
    mem
}

/// Requests of each kind.
fn requests(round: u64) -> Vec<SearchRequest> {
    let builder = |query: &str| SearchRequest::builder(query);
    vec![
        builder("harbour planning").mode(Mode::Lex).build(),
        builder("what about the winter garden?")
            .syntax(Syntax::Words)
            .top_k(25)
            .count(true)
            .build(),
        builder("\"the harbour\" OR ships -winter").top_k(4).build(),
        builder("garden ships").vector(vector(round)).build(),
        builder("")
            .vector(vector(round + 5))
            .mode(Mode::Vec)
            .exact(true)
            .build(),
        builder("").like(3).top_k(5).build(),
        builder("winter")
            .tag("parity", "odd")
            .label("note")
            .uri("notes/*")
            .since(1_700_500_000)
            .until(Timestamp(1_702_500_000_000_001))
            .build(),
        builder("quarter").at(2).build(),
        builder("quarter")
            .at_timestamp(Timestamp(START + 150_000_000))
            .build(),
        builder("nothing of the kind, surely-not-there")
            .mode(Mode::Lex)
            .build(),
    ]
}

fn journal(mem: &Memvid) -> Vec<RecordedSearch> {
    let last = mem.snapshot().unwrap().last_commit();
    mem.journal(CommitId(0)..=last).unwrap()
}

fn replay(mem: &Memvid, options: &ReplayOptions) -> Vec<ReplayedSearch> {
    let steps = mem.replay(options).unwrap();
    let searches = steps.filter_map(|step| match step.unwrap() {
        ReplayStep::Search(search) => Some(*search),
        _ => None,
    });
    searches.collect()
}

/// What a search must be noted down as.
fn assert_noted(recorded: &RecordedSearch, request: &SearchRequest, response: &SearchResponse) {
    let expected = SearchRequest {
        at: None,
        at_timestamp: None,
        ..request.clone()
    };
    assert_eq!(recorded.request, expected);
    assert_eq!(recorded.commit, response.commit);
    assert_eq!(recorded.mode, response.mode);
    assert_eq!(
        (recorded.total_hits, recorded.total_relation),
        (response.total_hits, response.total_relation)
    );
    let hits = |hits: Vec<(u64, f32)>| -> Vec<(u64, u32)> {
        hits.into_iter()
            .map(|(id, score)| (id, score.to_bits()))
            .collect()
    };
    let noted = recorded
        .hits
        .iter()
        .map(|hit| (hit.frame_id.get(), hit.score));
    let found = response
        .hits
        .iter()
        .map(|hit| (hit.frame_id.get(), hit.score));
    assert_eq!(hits(noted.collect()), hits(found.collect()));
}

#[test]
fn what_was_asked_finds_the_same_whatever_became_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.mv2");
    let clock = ByHand::new();
    let mut mem = memory(&path, &clock);
    let mut asked = Vec::new();
    let mut ask = |mem: &Memvid, request: SearchRequest| {
        let response = mem.search(request.clone()).unwrap();
        asked.push((request, response.clone()));
        response
    };
    for round in 0..3 {
        for request in requests(round) {
            let response = ask(&mem, request.clone());
            if let Some(cursor) = response.next_cursor {
                let next = SearchRequest {
                    cursor: Some(cursor),
                    ..request
                };
                ask(&mem, next);
            }
        }
        for at in 0..8 {
            put(&mut mem, at * 5 + round, round + 1);
        }
        let gone = mem
            .frame_by_uri(&format!("notes/{}.md", 37 + round))
            .unwrap()
            .id;
        mem.delete_frame(gone).unwrap();
        clock.advance(3_600);
        mem.commit().unwrap();
    }
    assert!(asked.len() > 35, "{} searches", asked.len());
    let found: usize = asked.iter().map(|(_, response)| response.hits.len()).sum();
    assert!(found > 200, "{found} hits");
    type Change = fn(Memvid, &OpenOptions, &Path) -> Memvid;
    let changes: [Change; 6] = [
        |mem, _, _| mem,
        |mut mem, _, _| {
            mem.optimize().unwrap();
            mem
        },
        |mut mem, _, _| {
            mem.vacuum().unwrap();
            mem
        },
        |mem, options, path| {
            drop(mem);
            options.open(path).unwrap()
        },
        |mut mem, _, _| {
            mem.seal().unwrap();
            mem
        },
        |mem, options, path| {
            drop(mem);
            options.open_read_only(path).unwrap()
        },
    ];
    for change in changes {
        mem = change(mem, &options(&clock), &path);
        let searches = replay(&mem, &ReplayOptions::default());
        assert_eq!(searches.len(), asked.len());
        for (search, (request, response)) in searches.iter().zip(&asked) {
            assert_noted(&search.recorded, request, response);
            assert!(search.is_same(), "{search:?}");
            assert!(!search.approximate);
        }
    }
    assert!(Memvid::verify(&path, true).unwrap().ok);
}

#[test]
fn noting_down_changes_no_answer_and_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ByHand::new();
    let mut told = Vec::new();
    for (name, on) in [("a", true), ("b", false)] {
        let path = dir.path().join(name);
        drop(memory(&path, &clock));
        clock.0.store(START, Ordering::Relaxed);
        let mut mem = options(&clock).journal(on).open(&path).unwrap();
        let mut answers = Vec::new();
        for round in 0..2 {
            for request in requests(round) {
                let response = mem.search(request).unwrap();
                let hits = response.hits.iter();
                answers.push(
                    hits.map(|hit| (hit.frame_id, hit.score.to_bits()))
                        .collect::<Vec<_>>(),
                );
            }
            put(&mut mem, 100 + round, 0);
            mem.commit().unwrap();
        }
        let log = mem.log(100).unwrap().into_iter();
        let log: Vec<_> = log
            .map(|commit| (commit.watermark, commit.added, commit.message))
            .collect();
        let stats = mem.stats().unwrap();
        assert_eq!(journal(&mem).len(), if on { 20 } else { 0 });
        told.push((answers, log, stats.commit_count, stats.active_frame_count));
    }
    assert_eq!(told[0], told[1]);
}

#[test]
fn snapshots_note_nothing_down_and_contexts_do() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ByHand::new();
    let mem = memory(&dir.path().join("m"), &clock);
    mem.snapshot().unwrap().search("harbour").unwrap();
    assert_eq!(journal(&mem), []);
    let request = ContextRequest::builder("winter garden")
        .tag("parity", "even")
        .top_k(3)
        .build();
    let context = mem.context(request).unwrap();
    let noted = journal(&mem);
    let [noted] = &noted[..] else {
        panic!("{noted:?}");
    };
    assert_eq!(noted.request.syntax, Syntax::Words);
    assert_eq!(
        noted.request.filter.tags,
        [("parity".to_owned(), "even".to_owned())]
    );
    assert_eq!(
        (noted.hits.len(), noted.request.top_k),
        (context.candidates, 3)
    );
    assert!(replay(&mem, &ReplayOptions::default())[0].is_same());
}

#[test]
fn yesterday_is_what_it_was_when_it_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ByHand::new();
    let mut mem = options(&clock).create(dir.path().join("m")).unwrap();
    for day in 0..10 {
        let options = PutOptions::builder()
            .timestamp(Timestamp(START - day * 86_400_000_000))
            .build();
        mem.put_bytes_with_options(b"a day of planning", options)
            .unwrap();
    }
    mem.commit().unwrap();
    let first = SearchRequest::builder("planning date:[* TO yesterday]")
        .count(true)
        .top_k(2)
        .build();
    let response = mem.search(first.clone()).unwrap();
    assert_eq!((response.total_hits, response.warning), (9, None));
    clock.advance(86_400);
    let second = SearchRequest {
        cursor: response.next_cursor,
        ..first
    };
    assert_eq!(mem.search(second).unwrap().total_hits, 9);
    clock.advance(30 * 86_400);
    for at in [None, Some(Selector::Head)] {
        let options = ReplayOptions {
            at,
            ..ReplayOptions::default()
        };
        let searches = replay(&mem, &options);
        assert_eq!(searches.len(), 2);
        assert!(searches.iter().all(ReplayedSearch::is_same), "{searches:?}");
    }
}

#[test]
fn at_head_the_same_question_finds_what_is_known_now() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ByHand::new();
    let mut mem = options(&clock).create(dir.path().join("m")).unwrap();
    let put = |mem: &mut Memvid, uri: &str, text: &str| {
        let options = PutOptions::builder().uri(uri).build();
        mem.put_bytes_with_options(text.as_bytes(), options)
            .unwrap();
    };
    put(&mut mem, "launch.md", "The launch is on Friday.");
    put(
        &mut mem,
        "old.md",
        "A launch of a boat, on a launch, in the year of the launch, with many more words beside it.",
    );
    put(&mut mem, "other.md", "Lunch is at noon.");
    mem.commit().unwrap();
    let asked = mem.search("launch").unwrap();
    assert_eq!(asked.hits.len(), 2);
    put(&mut mem, "launch.md", "The launch is off.");
    put(
        &mut mem,
        "why.md",
        "The launch was called off after the launch rehearsal: launch launch.",
    );
    let old = mem.frame_by_uri("old.md").unwrap().id;
    mem.delete_frame(old).unwrap();
    let newest = mem.commit().unwrap().unwrap().id;
    let options = ReplayOptions {
        at: Some(Selector::Head),
        ..ReplayOptions::default()
    };
    let searches = replay(&mem, &options);
    let [search] = &searches[..] else {
        panic!("{searches:?}");
    };
    assert_eq!(search.commit, newest);
    let changes = search
        .differences
        .iter()
        .filter_map(|difference| match difference {
            Difference::Hit { uri, change, .. } => Some((uri.clone().unwrap(), *change)),
            _ => None,
        });
    let changes: Vec<_> = changes.collect();
    let of = |wanted: &str| {
        changes
            .iter()
            .find(|(uri, _)| uri == wanted)
            .map(|(_, change)| *change)
    };
    let now = search.found.as_ref().unwrap();
    let rank = |uri: &str| {
        let hit = now.hits.iter().find(|hit| hit.uri.as_deref() == Some(uri));
        hit.map(|hit| (hit.frame_id, hit.rank)).unwrap()
    };
    let then = |uri: &str| {
        asked
            .hits
            .iter()
            .find(|hit| hit.uri.as_deref() == Some(uri))
            .unwrap()
            .rank
    };
    let (by, by_rank) = rank("launch.md");
    assert_eq!(
        of("launch.md"),
        Some(HitChange::Version {
            rank: then("launch.md"),
            by,
            by_rank
        })
    );
    assert_eq!(
        of("old.md"),
        Some(HitChange::Missing {
            rank: then("old.md")
        })
    );
    assert_eq!(
        of("why.md"),
        Some(HitChange::New {
            rank: rank("why.md").1
        })
    );
    assert_eq!(changes.len(), 3);
    assert!(replay(&mem, &ReplayOptions::default())[0].is_same());
}

#[cfg(feature = "static")]
#[test]
fn without_the_model_a_search_is_one_of_words_and_replay_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m");
    let mut mem = Memvid::builder()
        .background(false)
        .journal(true)
        .create(&path)
        .unwrap();
    for text in [
        "Ada drinks tea.",
        "The harbour is frozen.",
        "A beverage for Ada.",
    ] {
        mem.put_bytes(text.as_bytes()).unwrap();
    }
    mem.commit().unwrap();
    let response = mem.search("what does Ada drink").unwrap();
    assert_eq!(response.mode, Mode::Hybrid);
    assert!(replay(&mem, &ReplayOptions::default())[0].is_same());
    let without = Memvid::builder()
        .no_embedder()
        .open_read_only(&path)
        .unwrap();
    let search = replay(&without, &ReplayOptions::default()).remove(0);
    let mode = Difference::Mode {
        then: Mode::Hybrid,
        now: Mode::Lex,
    };
    assert!(search.differences.contains(&mode), "{search:?}");
}

/// Entries as another program could have written them.
fn forge(path: &Path, entries: &[serde_json::Value]) {
    let mut store = Store::open(path, mv2::store::OpenOptions::default()).unwrap();
    for entry in entries {
        store
            .append_journal(entry.to_string().into_bytes())
            .unwrap();
    }
}

#[test]
fn each_difference_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m");
    let mem = memory(&path, &ByHand::new());
    let found = mem.search(
        SearchRequest::builder("harbour")
            .mode(Mode::Lex)
            .count(true)
            .top_k(3)
            .build(),
    );
    let found = found.unwrap();
    let ids: Vec<u64> = found.hits.iter().map(|hit| hit.frame_id.get()).collect();
    let scores: Vec<f64> = found.hits.iter().map(|hit| f64::from(hit.score)).collect();
    let entry = |hits: &[(u64, f64)], mode: &str, total: u64| {
        let hits: Vec<_> = hits
            .iter()
            .map(|(id, score)| serde_json::json!({"frame_id": id, "score": score}))
            .collect();
        serde_json::json!({
            "time": "2026-11-25T01:10:03Z", "as_of": found.commit.get(), "mode": mode, "total": total, "total_relation": "eq",
            "request": {"query": "harbour", "mode": "lex", "count": true, "top_k": 3, "of another version": 1}, "hits": hits,
        })
    };
    let total = found.total_hits;
    let [a, b, c] = [0, 1, 2].map(|at| (ids[at], scores[at]));
    let bit_more = f64::from(f32::from_bits((a.1 as f32).to_bits() + 1));
    forge(
        &path,
        &[
            entry(&[a, b, c], "lex", total),
            entry(&[(a.0, bit_more), b, c], "lex", total),
            entry(&[b, a, c], "lex", total),
            entry(&[a, (39, 0.5), c], "lex", total),
            entry(&[a, b, c], "hybrid", total + 1),
            entry(&[a, (9_999, 0.5), b, c], "lex", total),
        ],
    );
    let differences: Vec<_> = replay(&mem, &ReplayOptions::default())
        .into_iter()
        .map(|search| search.differences)
        .collect();
    assert_eq!(differences.len(), 7);
    assert_eq!(
        (&differences[0][..], &differences[1][..]),
        (&[][..], &[][..])
    );
    let hit = |id: u64, change| Difference::Hit {
        frame_id: id.into(),
        uri: (id < 40).then(|| format!("notes/{id}.md")),
        change,
    };
    let score = HitChange::Score {
        then: bit_more as f32,
        now: a.1 as f32,
    };
    assert_eq!(differences[2], [hit(a.0, score)]);
    let moved = |from, to| HitChange::Moved { from, to };
    assert_eq!(
        differences[3],
        [hit(b.0, moved(1, 2)), hit(a.0, moved(2, 1))]
    );
    let missing = HitChange::Missing { rank: 2 };
    assert_eq!(
        differences[4],
        [hit(39, missing), hit(b.0, HitChange::New { rank: 2 })]
    );
    assert_eq!(
        differences[5],
        [
            Difference::Mode {
                then: Mode::Hybrid,
                now: Mode::Lex
            },
            Difference::Total {
                then: total + 1,
                now: total
            },
        ]
    );
    assert_eq!(differences[6], [hit(9_999, missing)]);
}

#[test]
fn an_entry_that_cannot_be_read_is_named_and_the_next_one_follows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m");
    let mem = memory(&path, &ByHand::new());
    mem.search("harbour").unwrap();
    let sound = serde_json::json!({
        "time": "2026-11-25T01:10:03Z", "as_of": 3, "mode": "lex", "total": 0, "total_relation": "gte", "request": {}, "hits": [],
    });
    let with = |name: &str, value: serde_json::Value| {
        let mut entry = sound.clone();
        entry[name] = value;
        entry
    };
    let bad = [
        serde_json::json!([]),
        with("time", 5.into()),
        with("as_of", "3".into()),
        with("as_of", 10_000.into()),
        // That is where the first search was noted down.
        with("as_of", 11.into()),
        with("mode", "guess".into()),
        with("total", (-1).into()),
        with("total_relation", "lt".into()),
        with("request", serde_json::json!({"top_k": "many"})),
        with("hits", serde_json::json!([{"frame_id": 1, "score": 1e300}])),
    ];
    forge(&path, &bad);
    let mut store = Store::open(&path, mv2::store::OpenOptions::default()).unwrap();
    store.append_journal(vec![0xff; 40]).unwrap();
    mem.search("harbour").unwrap();
    let steps: Vec<_> = mem.replay(&ReplayOptions::default()).unwrap().collect();
    let failed = steps.iter().filter_map(|step| step.as_ref().err());
    let kinds: Vec<_> = failed.map(mv2::Error::kind).collect();
    assert_eq!(kinds, ["corrupt"; 11]);
    let asked = |step: &mv2::Result<ReplayStep>| matches!(step, Ok(ReplayStep::Search(search)) if search.is_same());
    assert_eq!(steps.iter().filter(|step| asked(step)).count(), 2);
    let report = Memvid::verify(&path, true).unwrap();
    let named = report
        .problems
        .iter()
        .filter(|problem| problem.what.contains("journal"));
    assert_eq!(named.count(), 11, "{:?}", report.problems);
}

#[test]
fn a_request_that_asks_for_everything_is_answered_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m");
    let mem = memory(&path, &ByHand::new());
    let entry = |request: serde_json::Value| {
        serde_json::json!({
            "time": "2026-11-25T01:10:03Z", "as_of": 10, "mode": "lex", "total": 0, "total_relation": "gte",
            "request": request, "hits": [],
        })
    };
    forge(
        &path,
        &[
            entry(serde_json::json!({"query": "harbour", "mode": "lex", "top_k": u64::MAX})),
            entry(serde_json::json!({"query": "harbour", "cursor": "no cursor"})),
            entry(serde_json::json!({"query": "harbour", "vector": [1, 2]})),
            entry(serde_json::json!({"query": "harbour", "like": u64::MAX})),
        ],
    );
    let searches = replay(&mem, &ReplayOptions::default());
    assert!(searches[0].differences.len() > 10);
    let kinds = searches
        .iter()
        .map(|search| search.found.as_ref().map_err(mv2::Error::kind).err());
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(
        kinds,
        [None, Some("invalid_cursor"), Some("invalid_vector"), None]
    );
    assert!(!searches[1].is_same());
}

#[test]
fn a_range_is_of_commits_with_the_searches_after_them() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ByHand::new();
    let mut mem = options(&clock).create(dir.path().join("m")).unwrap();
    let range = |mem: &Memvid, from: Option<Selector>, to: Option<Selector>| {
        let options = ReplayOptions { from, to, at: None };
        mem.replay(&options).map(|replay| {
            let commits = replay.commits();
            (commits.start().get(), commits.end().get())
        })
    };
    assert!(
        mem.replay(&ReplayOptions::default())
            .unwrap()
            .next()
            .is_none()
    );
    // 1 put, 2 and 3 searches, 4 put, 5 search, 6 put.
    let mut times = Vec::new();
    for step in 1..=6 {
        clock.advance(60);
        times.push(clock.now());
        match step {
            1 | 4 | 6 => {
                mem.put_bytes(b"planning").unwrap();
                mem.commit().unwrap();
            }
            _ => drop(mem.search("planning").unwrap()),
        }
    }
    let commit = |id: u64| Some(Selector::from(id));
    let cases = [
        (None, None, (1, 6)),
        (commit(1), commit(1), (1, 3)),
        (commit(2), commit(2), (2, 2)),
        (commit(4), None, (4, 6)),
        (commit(0), commit(4), (1, 5)),
        (
            Some(Selector::Time(times[2])),
            Some(Selector::Time(times[3])),
            (3, 4),
        ),
        (
            Some(Selector::Head.back(1)),
            Some(Selector::Head.back(1)),
            (4, 5),
        ),
        (None, Some(Selector::Head), (1, 6)),
    ];
    for (from, to, expected) in cases {
        let found = range(&mem, from.clone(), to.clone()).unwrap();
        assert_eq!(found, expected, "{from:?} to {to:?}");
    }
    for (from, to, kind) in [
        (commit(4), commit(1), "invalid_range"),
        (commit(1), commit(0), "invalid_range"),
        (commit(7), None, "no_such_commit"),
        (None, commit(7), "no_such_commit"),
    ] {
        let error = range(&mem, from, to).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn what_cannot_be_noted_down_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m");
    let clock = ByHand::new();
    let mut mem = memory(&path, &clock);
    let refused = |result: mv2::Result<SearchResponse>, kind: &str, hint: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
    };
    let reader = options(&clock).open_read_only(&path).unwrap();
    refused(reader.search("harbour"), "read_only", "for writing");
    put(&mut mem, 50, 0);
    refused(mem.search("harbour"), "in_transaction", "commit");
    let waiting = options(&clock)
        .lock_wait(std::time::Duration::ZERO)
        .open(&path)
        .unwrap();
    refused(waiting.search("harbour"), "locked", "wait");
    mem.rollback();
    let long = "harbour ".repeat(200_000);
    refused(
        mem.search(SearchRequest::builder(long).mode(Mode::Lex).build()),
        "too_large",
        "without the journal",
    );
    assert_eq!(journal(&mem).len(), 0);
    // The handle goes on.
    mem.search("harbour").unwrap();
    mem.seal().unwrap();
    refused(mem.search("harbour"), "sealed", "mv2 unseal");
    assert_eq!(journal(&mem).len(), 1);
    mem.unseal().unwrap();
    mem.search("harbour").unwrap();
    assert_eq!(journal(&mem).len(), 2);
}

#[test]
fn an_audit_says_since_when_and_what_was_there_before() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ByHand::new();
    let mut mem = options(&clock).create(dir.path().join("m")).unwrap();
    let mut times = vec![Timestamp(0)];
    for (uri, text) in [
        ("launch.md", Some("The launch is on Friday.")),
        ("launch.md", Some("Nothing of that is settled.")),
        ("launch.md", None),
        ("launch.md", Some("The launch is off.")),
        ("", Some("A launch without a name.")),
    ] {
        clock.advance(60);
        match text {
            Some(text) => {
                let options = match uri {
                    "" => PutOptions::default(),
                    uri => PutOptions::builder().uri(uri).build(),
                };
                mem.put_bytes_with_options(text.as_bytes(), options)
                    .unwrap();
            }
            None => {
                let id = mem.frame_by_uri(uri).unwrap().id;
                mem.delete_frame(id).unwrap();
            }
        }
        times.push(mem.commit().unwrap().unwrap().time);
    }
    let audit = mem.audit("launch").unwrap();
    assert_eq!((audit.commit, audit.hits.len()), (CommitId(5), 2));
    let of = |id: u64| {
        audit
            .hits
            .iter()
            .find(|hit| hit.hit.frame_id.get() == id)
            .unwrap()
    };
    let named = of(2);
    assert_eq!(named.known_since, times[4]);
    let versions = named.versions.iter();
    let told: Vec<_> = versions
        .map(|v| {
            (
                v.frame_id.get(),
                v.commit.get(),
                v.end.map(|(at, time)| (at.get(), time)),
                v.by.map(|by| by.get()),
                v.rank,
                &*v.text,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                0,
                1,
                Some((2, times[2])),
                Some(1),
                Some(1),
                "The launch is on Friday."
            ),
            (
                1,
                2,
                Some((3, times[3])),
                None,
                None,
                "Nothing of that is settled."
            ),
            (2, 4, None, None, Some(1), "The launch is off."),
        ]
    );
    let unnamed = of(3);
    assert_eq!((unnamed.known_since, unnamed.versions.len()), (times[5], 1));
    // As of a commit of the past, later versions are not there.
    let past = SearchRequest::builder("launch").at(1).build();
    let past = mem.audit(past).unwrap();
    assert_eq!((past.commit, past.hits[0].versions.len()), (CommitId(1), 1));
    assert_eq!(past.hits[0].versions[0].end, None);
    // What is only looked at is not noted down.
    assert_eq!(journal(&mem), []);
}
