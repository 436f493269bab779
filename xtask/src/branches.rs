//! `cargo xtask branches`: what a thousand branches cost a search, and what a commit costs the file.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mv2::{CommitId, Memvid, Mode, SearchRequest, Snapshot};
use mv2_store::{CommitOptions, CreateOptions, NewFrame, Store};

use crate::fixtures::options;

/// Branches, and commits of one frame on each, in turn.
const BRANCHES: u64 = 1_000;
const COMMITS: u64 = 100;
/// A branch may take so many times what a search among all frames on one line takes.
const SEARCH_GOAL: f64 = 1.5;
/// Bytes of the file for each commit.
const COMMIT_GOAL: f64 = 100.0;

/// Words of all frames, of some, of one.
const QUESTIONS: [&str; 5] = [
    "note",
    "keeper 17",
    "day 45 keeper",
    "4711",
    "note of day 99 half",
];

/// Measures both.
pub(crate) fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (linear, branched) = (
        folder.path().join("linear.mv2"),
        folder.path().join("branched.mv2"),
    );
    make_linear(&linear)?;
    let heads = make_branched(&branched)?;
    let mut met = true;
    println!(
        "{BRANCHES} branches of {COMMITS} commits each, one after the other in turn, against all {} on one branch:",
        BRANCHES * COMMITS
    );
    let sample: Vec<CommitId> = heads.iter().copied().step_by(heads.len() / 50).collect();
    for question in QUESTIONS {
        let one = warm(&Memvid::open_read_only(&linear)?.snapshot()?, question)?;
        let mem = Memvid::open_read_only(&branched)?;
        let mut times = Vec::new();
        for head in &sample {
            times.push(warm(&mem.at(*head)?, question)?);
        }
        met &= line(&format!("{question:?}, again"), median(times), one);
        let one = median(
            (0..sample.len())
                .map(|_| first(&linear, None, question))
                .collect::<Result<_>>()?,
        );
        let some = sample
            .iter()
            .map(|head| first(&branched, Some(*head), question));
        let some = median(some.collect::<Result<_>>()?);
        met &= line(&format!("{question:?}, open and first"), some, one);
    }
    let together = folder.path().join("together.mv2");
    make_one_commit(&together)?;
    let sizes = [&linear, &together].map(|path| -> Result<u64> {
        let mut mem = Memvid::builder()
            .no_embedder()
            .background(false)
            .open(path)?;
        mem.vacuum()?;
        Ok(mem.stats()?.live_bytes)
    });
    let [many, one] = sizes;
    let bytes = (many? as f64 - one? as f64) / (BRANCHES * COMMITS) as f64;
    println!("a commit takes {bytes:.1} bytes of the file after a vacuum, goal {COMMIT_GOAL}");
    met &= bytes <= COMMIT_GOAL;
    ensure!(met, "a goal is missed");
    Ok(())
}

fn line(name: &str, took: Duration, other: Duration) -> bool {
    let ratio = took.as_secs_f64() / other.as_secs_f64();
    println!("{name}: {took:.1?} / {other:.1?} = {ratio:.2} goal {SEARCH_GOAL}");
    ratio <= SEARCH_GOAL
}

fn note(id: u64) -> NewFrame {
    let half = if id * 7_919 % 1_000 < 500 {
        " half"
    } else {
        ""
    };
    let text = format!(
        "note {id} of day {} by keeper {}{half}",
        id % 365,
        id % 1_009
    );
    NewFrame {
        is_text: true,
        payload: text.into(),
        ..NewFrame::default()
    }
}

fn make_linear(path: &Path) -> Result<()> {
    let mut store = Store::create(path, &CreateOptions::default(), options())?;
    for id in 0..BRANCHES * COMMITS {
        store.put(note(id))?;
        store.commit(CommitOptions::default())?;
    }
    Ok(store.optimize()?)
}

fn make_one_commit(path: &Path) -> Result<()> {
    let mut store = Store::create(path, &CreateOptions::default(), options())?;
    for id in 0..BRANCHES * COMMITS {
        store.put(note(id))?;
    }
    store.commit(CommitOptions::default())?;
    Ok(())
}

/// Returns the heads.
fn make_branched(path: &Path) -> Result<Vec<CommitId>> {
    let mut store = Store::create(path, &CreateOptions::default(), options())?;
    for branch in 0..BRANCHES {
        store.create_branch(&format!("b{branch}"), CommitId(0))?;
    }
    let mut heads = Vec::new();
    for round in 0..COMMITS {
        heads.clear();
        for branch in 0..BRANCHES {
            store.use_branch(Some(&format!("b{branch}")))?;
            store.put(note(round * BRANCHES + branch))?;
            let commit = store.commit(CommitOptions::default())?;
            heads.push(commit.context("a commit changed nothing")?.id);
        }
    }
    store.optimize()?;
    Ok(heads)
}

fn request(question: &str) -> SearchRequest {
    SearchRequest::builder(question)
        .mode(Mode::Lex)
        .snippet_chars(0)
        .build()
}

/// A search on an open snapshot, the fastest of some.
fn warm(snapshot: &Snapshot, question: &str) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        snapshot.search(request(question))?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

/// Opening and one search.
fn first(path: &Path, head: Option<CommitId>, question: &str) -> Result<Duration> {
    let start = Instant::now();
    let mem = Memvid::open_read_only(path)?;
    match head {
        Some(head) => mem.at(head)?.search(request(question))?,
        None => mem.search(request(question))?,
    };
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
