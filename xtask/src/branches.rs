//! `cargo xtask branches`: what a thousand branches cost a search, and what a commit costs the file.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mv2::{CommitId, Memvid, Mode, SearchRequest, Snapshot};
use mv2_store::{CommitOptions, CreateOptions, NewFrame, Store};

use crate::fixtures::options;
use crate::latency::{self, line};

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
    make_branched(&branched)?;
    let mut met = true;
    println!(
        "{BRANCHES} branches of {COMMITS} commits each, one after the other in turn, against all {} on one branch:",
        BRANCHES * COMMITS
    );
    let sample: Vec<String> = (0..BRANCHES).step_by(20).map(name).collect();
    for question in QUESTIONS {
        let one = warm(&Memvid::open_read_only(&linear)?.snapshot()?, question)?;
        let mut times = Vec::new();
        for branch in &sample {
            times.push(warm(&open(&branched, Some(branch))?.snapshot()?, question)?);
        }
        met &= line(&format!("{question:?}"), median(times), one, SEARCH_GOAL);
        let one = (0..sample.len()).map(|_| first(&linear, None, question));
        let one = median(one.collect::<Result<_>>()?);
        let some = sample
            .iter()
            .map(|branch| first(&branched, Some(branch), question));
        let some = median(some.collect::<Result<_>>()?);
        line(
            &format!("{question:?}, opening the file too"),
            some,
            one,
            0.0,
        );
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

fn name(branch: u64) -> String {
    format!("b{branch}")
}

fn note(id: u64) -> NewFrame {
    NewFrame {
        is_text: true,
        payload: latency::note(id).into(),
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

fn make_branched(path: &Path) -> Result<()> {
    let mut store = Store::create(path, &CreateOptions::default(), options())?;
    for branch in 0..BRANCHES {
        store.create_branch(&name(branch), CommitId(0))?;
    }
    for round in 0..COMMITS {
        for branch in 0..BRANCHES {
            store.use_branch(Some(&name(branch)))?;
            store.put(note(round * BRANCHES + branch))?;
            store.commit(CommitOptions::default())?;
        }
    }
    Ok(store.optimize()?)
}

fn open(path: &Path, branch: Option<&str>) -> Result<Memvid> {
    Ok(match branch {
        Some(branch) => Memvid::builder().branch(branch).open_read_only(path)?,
        None => Memvid::open_read_only(path)?,
    })
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
fn first(path: &Path, branch: Option<&str>, question: &str) -> Result<Duration> {
    let start = Instant::now();
    open(path, branch)?.search(request(question))?;
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
