//! Exactness of the past: at each commit a memory answers, bit for bit, as it did when that commit was the newest, and as
//! a fresh memory of the frames that were visible there.
#![cfg(feature = "vec")]

mod common;

use std::path::Path;

use common::*;
use mv2::{CommitId, Memvid, Mode, PutOptions, SearchRequest, Selector, Snapshot, TimelineQuery};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Put {
        uri: Option<u8>,
        words: Vec<usize>,
        time: i64,
    },
    Update {
        pick: usize,
        words: Vec<usize>,
    },
    Delete {
        pick: usize,
    },
    Commit {
        bulk: bool,
    },
    Checkpoint,
    Maintain,
    Optimize,
    Vacuum,
    Seal,
    Reopen {
        embeds: bool,
    },
    Reembed,
    /// Looks into the past, so that what caches hold is of another commit than what comes next.
    Look {
        pick: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let words = || prop::collection::vec(0..WORDS.len(), 1..12);
    prop_oneof![
        8 => (prop::option::of(0..8u8), words(), 0..50i64)
            .prop_map(|(uri, words, time)| Step::Put { uri, words, time }),
        2 => (any::<usize>(), words()).prop_map(|(pick, words)| Step::Update { pick, words }),
        2 => any::<usize>().prop_map(|pick| Step::Delete { pick }),
        6 => any::<bool>().prop_map(|bulk| Step::Commit { bulk }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Maintain),
        1 => Just(Step::Optimize),
        1 => Just(Step::Vacuum),
        1 => Just(Step::Seal),
        1 => any::<bool>().prop_map(|embeds| Step::Reopen { embeds }),
        1 => Just(Step::Reembed),
        2 => any::<usize>().prop_map(|pick| Step::Look { pick }),
    ]
}

/// A memory, and what it answered at each commit.
struct History {
    mem: Memvid,
    path: std::path::PathBuf,
    then: Vec<Vec<String>>,
    embeds: bool,
}

impl History {
    fn new(folder: &Path) -> Self {
        let path = folder.join("m.mv2");
        let mem = options(true).create(&path).unwrap();
        let then = vec![answers(&mem.snapshot().unwrap())];
        Self {
            mem,
            path,
            then,
            embeds: true,
        }
    }

    fn commit(&mut self, bulk: bool) {
        let commit = match bulk {
            true => self.mem.commit_bulk(None),
            false => self.mem.commit(),
        };
        if commit.unwrap().is_some() {
            self.then.push(answers(&self.mem.snapshot().unwrap()));
        }
    }

    fn pick(&self, pick: usize) -> Option<u64> {
        let snapshot = self.mem.snapshot().unwrap();
        let alive: Vec<u64> = snapshot
            .frames()
            .map(|meta| meta.unwrap().id.get())
            .collect();
        (!alive.is_empty()).then(|| alive[pick % alive.len()])
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Put { uri, words, time } => {
                let options = put_options(*uri, words, *time);
                let text = text(words);
                self.mem
                    .put_bytes_with_options(text.as_bytes(), options)
                    .unwrap();
            }
            Step::Update { pick, words } => {
                if let Some(id) = self.pick(*pick) {
                    let text = text(words).into_bytes();
                    // It may have died in this batch.
                    let _ = self.mem.update_frame(id, Some(text), PutOptions::default());
                }
            }
            Step::Delete { pick } => {
                if let Some(id) = self.pick(*pick) {
                    let _ = self.mem.delete_frame(id);
                }
            }
            Step::Commit { bulk } => self.commit(*bulk),
            Step::Checkpoint => self.mem.checkpoint().unwrap(),
            Step::Maintain => {
                self.commit(false);
                while self.mem.maintain().unwrap() {}
            }
            Step::Optimize => {
                self.commit(false);
                self.mem.optimize().unwrap();
            }
            Step::Vacuum => {
                self.commit(false);
                self.mem.vacuum().unwrap();
            }
            Step::Seal => {
                self.commit(false);
                self.mem.seal().unwrap();
                self.look(self.then.len() / 2);
                self.mem.unseal().unwrap();
            }
            Step::Reopen { embeds } => {
                self.commit(false);
                self.embeds = *embeds;
                self.mem = options(*embeds).open(&self.path).unwrap();
            }
            Step::Reembed => {
                if self.embeds {
                    self.mem.reembed(&mut |_, _| ()).unwrap();
                }
            }
            Step::Look { pick } => self.look(*pick % self.then.len()),
        }
    }

    /// Compares a commit of the past with what it was.
    fn look(&self, commit: usize) {
        let past = self.mem.at(commit as u64).unwrap();
        assert_eq!(answers(&past), self.then[commit], "commit {commit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn each_commit_answers_as_it_did_and_as_a_fresh_memory(
        steps in prop::collection::vec(step(), 20..90),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::new(folder.path());
        for step in &steps {
            history.take(step);
        }
        history.commit(false);
        for reopened in [false, true] {
            if reopened {
                history.mem = options(false).open(&history.path).unwrap();
            }
            let commits = history.then.len();
            (0..commits).for_each(|commit| history.look(commit));
        }
        let newest = history.mem.snapshot().unwrap();
        for commit in (0..history.then.len()).step_by(5) {
            compare_with_fresh(&newest.at(commit as u64).unwrap(), folder.path());
        }
    }
}

#[test]
fn vectors_that_came_later_are_not_seen_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.mv2");
    let near = |snapshot: &Snapshot| {
        let request = SearchRequest {
            mode: Mode::Vec,
            vector: Some(vector("winter")),
            ..SearchRequest::default()
        };
        let response = snapshot.search(request).unwrap();
        let mut ids: Vec<_> = response.hits.iter().map(|hit| hit.frame_id.get()).collect();
        ids.sort_unstable();
        ids
    };
    let mut mem = options(true).create(&path).unwrap();
    mem.put_bytes(b"winter").unwrap();
    mem.commit().unwrap();
    drop(mem);
    let mut mem = options(false).open(&path).unwrap();
    mem.put_bytes(b"winter garden").unwrap();
    mem.commit().unwrap();
    drop(mem);
    let mut mem = options(true).open(&path).unwrap();
    mem.put_bytes(b"garden").unwrap();
    assert_eq!(mem.reembed(&mut |_, _| ()).unwrap(), 2);
    mem.commit().unwrap();
    for _ in 0..2 {
        let seen = [1, 2, 3].map(|commit| near(&mem.at(commit).unwrap()));
        assert_eq!(seen, [vec![0], vec![0], vec![0, 1, 2]]);
        mem.vacuum().unwrap();
    }
}

#[test]
fn a_request_names_a_commit_or_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut mem = options(false).create(folder.path().join("m.mv2")).unwrap();
    let mut times = Vec::new();
    for text in ["a cold winter", "a mild winter", "a winter garden"] {
        mem.put_bytes(text.as_bytes()).unwrap();
        times.push(mem.commit().unwrap().unwrap().time);
    }
    let count = |request: SearchRequest| mem.search(request).unwrap().hits.len();
    let ask = || SearchRequest::builder("winter");
    assert_eq!(count(ask().build()), 3);
    assert_eq!(count(ask().at(2).build()), 2);
    assert_eq!(count(ask().at_timestamp(times[0]).build()), 1);
    assert_eq!(count(ask().at(2).at_timestamp(times[2]).build()), 2);
    assert_eq!(count(ask().at_timestamp(0).build()), 0);
    assert_eq!(count(ask().at(Selector::Head.back(3)).build()), 0);
    let timeline = mem
        .timeline(TimelineQuery::builder().at(2).build())
        .unwrap();
    assert_eq!(timeline.frames.len(), 2);
    let request = mv2::ContextRequest::builder("winter").at(1).build();
    let context = mem.context(request).unwrap();
    assert_eq!((context.passages.len(), context.commit), (1, CommitId(1)));
    for (at, kind) in [
        (Selector::from(4), "no_such_commit"),
        (Selector::Head.back(4), "no_such_commit"),
    ] {
        let error = mem.search(ask().at(at).build()).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.is_miss());
    }
}

#[test]
fn pages_are_of_one_commit_whatever_follows() {
    let folder = tempfile::tempdir().unwrap();
    let mut mem = options(false).create(folder.path().join("m.mv2")).unwrap();
    for n in 0..5 {
        let text = format!("winter {}", "garden ".repeat(n));
        mem.put_bytes(text.as_bytes()).unwrap();
    }
    mem.commit().unwrap();
    let ask = || SearchRequest::builder("winter").top_k(2);
    let whole = mem.search(ask().top_k(9).build()).unwrap();
    let first = mem.search(ask().build()).unwrap();
    mem.put_bytes(b"winter").unwrap();
    mem.delete_frame(whole.hits[3].frame_id).unwrap();
    mem.commit().unwrap();
    let cursor = first.next_cursor.unwrap();
    let second = mem.search(ask().cursor(&cursor).build()).unwrap();
    assert_eq!(second.commit, first.commit);
    let ids = |hits: &[mv2::SearchHit]| hits.iter().map(|hit| hit.frame_id).collect::<Vec<_>>();
    assert_eq!(ids(&second.hits), ids(&whole.hits[2..4]));
    // Whoever names another commit is told.
    let other = mem.search(ask().cursor(&cursor).at(2).build()).unwrap_err();
    assert_eq!(other.kind(), "invalid_cursor");
}
