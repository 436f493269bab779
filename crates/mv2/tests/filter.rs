//! Filters by event time: against a search without them, in log and segments, on later pages.
#![cfg(feature = "lex")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mv2::{
    Clock, ContextRequest, Filter, Memvid, Mode, PutOptions, SearchRequest, Snapshot, Syntax,
    Timestamp,
};

/// A clock that stands until it is set.
struct Standing(AtomicI64);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// 2024-05-10.
const START: i64 = 1_715_299_200;
const DAY: i64 = 86_400;

/// A memory with a document on each of 60 days up to the present one, in disorder: some in segments,
/// some in the log, some deleted.
fn memory(dir: &tempfile::TempDir) -> Memvid {
    memory_with(dir, Arc::new(Standing(AtomicI64::new(START))))
}

fn memory_with(dir: &tempfile::TempDir, clock: Arc<Standing>) -> Memvid {
    let path = dir.path().join("m.mv2");
    let mut mem = Memvid::builder().clock(clock).create(path).unwrap();
    for n in 0..60 {
        let day = n * 37 % 60;
        let options = PutOptions::builder()
            .uri(format!("day/{day}"))
            .timestamp(Timestamp::from_secs(START - day * DAY))
            .build();
        let text = format!(
            "It rained {}on day {day}",
            "again ".repeat(day as usize % 4)
        );
        mem.put_bytes_with_options(text.as_bytes(), options)
            .unwrap();
        match n {
            19 | 39 => drop(mem.commit_bulk(None).unwrap()),
            _ if n % 7 == 0 => drop(mem.commit().unwrap()),
            _ => {}
        }
    }
    mem.commit().unwrap();
    for n in [3, 33, 53] {
        mem.delete_frame(n).unwrap();
    }
    mem.commit().unwrap();
    mem
}

fn found(snapshot: &Snapshot, request: SearchRequest) -> Vec<(u64, u32, Timestamp)> {
    // By words alone, where a filter leaves scores as they are.
    let mode = Mode::Lex;
    let response = snapshot.search(SearchRequest { mode, ..request }).unwrap();
    assert_eq!(response.warning, None);
    let hits = response.hits.iter();
    hits.map(|hit| (hit.frame_id.get(), hit.score.to_bits(), hit.timestamp))
        .collect()
}

#[test]
fn times_filter_what_is_found_and_leave_scores_and_order() {
    let dir = tempfile::tempdir().unwrap();
    let mem = memory(&dir);
    let snapshot = mem.snapshot().unwrap();
    let at = |day: i64| Timestamp::from_secs(START - day * DAY);
    let ranges = [
        (None, None),
        (Some(at(20)), None),
        (None, Some(at(20))),
        (Some(at(41)), Some(at(7))),
        (Some(at(5)), Some(at(5))),
        (Some(Timestamp(i64::MIN)), Some(Timestamp(i64::MAX))),
        (
            Some(Timestamp(at(5).as_micros() + 1)),
            Some(Timestamp(at(4).as_micros() - 1)),
        ),
    ];
    for query in [
        "rained again",
        "+again rained",
        "\"rained again\" day",
        "uri:day/1*",
    ] {
        let request = SearchRequest::builder(query).top_k(100).count(true);
        let all = found(&snapshot, request.clone().build());
        for (since, until) in ranges {
            let expected: Vec<_> = all
                .iter()
                .copied()
                .filter(|(_, _, time)| since.is_none_or(|since| *time >= since))
                .filter(|(_, _, time)| until.is_none_or(|until| *time <= until))
                .collect();
            let filter = Filter {
                since,
                until,
                ..Filter::default()
            };
            let filtered = request.clone().filter(filter.clone()).build();
            assert_eq!(
                found(&snapshot, filtered),
                expected,
                "{query} {since:?} {until:?}"
            );
            let tagged = request.clone().filter(filter).uri("day/4*").build();
            let expected: Vec<_> = expected
                .into_iter()
                .filter(|hit| (40..50).chain([4]).any(|day| hit.2 == at(day)))
                .collect();
            assert_eq!(
                found(&snapshot, tagged),
                expected,
                "{query} {since:?} {until:?}"
            );
        }
    }
}

#[test]
fn dates_in_a_query_are_conditions_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let mem = memory(&dir);
    let snapshot = mem.snapshot().unwrap();
    let days = |query: &str| -> Vec<i64> {
        let request = SearchRequest::builder(query).top_k(100).build();
        let hits = found(&snapshot, request).into_iter();
        let mut days: Vec<i64> = hits.map(|hit| (START - hit.2.as_secs()) / DAY).collect();
        days.sort_unstable();
        days
    };
    assert_eq!(days("rained date:2024-05-10"), [0]);
    assert_eq!(days("rained date:[2024-05-08 TO *]"), [0, 1, 2]);
    assert_eq!(days("rained date:[2024-05-03 TO 2024-05-05]"), [5, 6, 7]);
    assert_eq!(days("rained date:2024-05"), (0..10).collect::<Vec<_>>());
    assert_eq!(days("date:[* TO 2024-03-15]"), [56, 57, 58, 59]);
    assert_eq!(days("rained -date:[* TO 2024-05-08]"), [0, 1]);
    assert_eq!(days("date:2024-05-10 OR date:2024-05-07"), [0, 3]);
    assert_eq!(days("rained date:[3 days ago TO yesterday]"), [1, 2, 3]);
    assert_eq!(days("rained date:\"2 days ago\""), [2]);
}

#[test]
fn a_date_that_cannot_be_read_makes_the_query_words_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mem = memory(&dir);
    for (query, expected) in [
        ("rained date:someday", "\"someday\" is not a time"),
        ("rained date:[2024-5-1 TO *]", "2024-05-01"),
        ("rained date:[2024 TO 2023]", "after until"),
        ("rained date:[2024 TO", "]"),
    ] {
        let response = mem.search(query).unwrap();
        let warning = response.warning.expect(query);
        assert!(warning.contains(expected), "{warning}");
        assert!(warning.contains("plain words"), "{warning}");
        assert_eq!(response.hits.len(), 10);
    }
}

#[test]
fn since_after_until_is_an_error_also_for_a_context() {
    let dir = tempfile::tempdir().unwrap();
    let mem = memory(&dir);
    let request = SearchRequest::builder("rained").since(2).until(1).build();
    assert_eq!(mem.search(request).unwrap_err().kind(), "invalid_range");
    let request = ContextRequest::builder("rained").since(2).until(1).build();
    assert_eq!(mem.context(request).unwrap_err().kind(), "invalid_range");
}

#[test]
fn a_context_considers_the_documents_of_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let mem = memory(&dir);
    let day = Timestamp::from_secs(START - 7 * DAY);
    let request = ContextRequest::builder("rained")
        .mode(Mode::Lex)
        .since(day)
        .until(day)
        .build();
    let context = mem.context(request).unwrap();
    assert_eq!(context.candidates, 1);
    assert_eq!(context.passages[0].timestamp, day);
    let request = ContextRequest::builder("rained date:2024-05-03")
        .syntax(Syntax::Query)
        .build();
    assert_eq!(mem.context(request).unwrap().passages, context.passages);
}

#[test]
fn relative_dates_mean_the_same_on_each_page() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Standing(AtomicI64::new(START)));
    let mem = memory_with(&dir, Arc::clone(&clock));
    let request = SearchRequest::builder("rained date:[9 days ago TO now]").top_k(4);
    let mut days = Vec::new();
    let mut cursor = None;
    loop {
        let request = SearchRequest {
            cursor,
            ..request.clone().build()
        };
        let page = mem.search(request).unwrap();
        days.extend(
            page.hits
                .iter()
                .map(|hit| (START - hit.timestamp.as_secs()) / DAY),
        );
        clock.0.fetch_add(3 * DAY, Ordering::Relaxed);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    days.sort_unstable();
    assert_eq!(days, (0..10).collect::<Vec<_>>());
    // A first page of its own has moved on.
    assert_eq!(
        mem.search(request.count(true).build()).unwrap().total_hits,
        1
    );
}
