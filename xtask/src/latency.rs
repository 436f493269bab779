//! `cargo xtask latency`: what the shape of a memory costs: several segments, dead documents, a million frames.

use std::fs;
use std::iter::repeat;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mv2::{CheckpointPolicy, Memvid, Mode, PutOptions, SearchRequest, Selector, Snapshot};

use crate::corpus::Corpus;
use crate::workspace::{must, release_binary};

/// Documents, and their shortest, in bytes.
const DOCUMENTS: usize = 20_000;
const SHORTEST: usize = 290;

/// Segments in tiered sizes: each about half of the one before, down to the size of a checkpoint.
const TIERS: [usize; 8] = [10_000, 5_000, 2_500, 1_250, 625, 313, 156, 156];

/// Questions, and words in each.
const QUERIES: usize = 400;
const WORDS: usize = 3;

/// First searches: words of all documents, of half of them, of a few thousand of a million, of one. The first is what the goal
/// is about.
const FIRST: [&str; 10] = [
    "note #",
    "#",
    "note",
    "note day keeper",
    "45",
    "keeper 45",
    "note 45 keeper",
    "half",
    "half note",
    "half 45",
];
/// Processes that put one note each.
const PUTS: u32 = 100;
/// What the median of them may take.
const PUT_GOAL: Duration = Duration::from_millis(10);

/// Commits of one frame each, and what it may take to list ten of them or to open the past at one.
const COMMITS: u64 = 100_000;
const PAST_GOAL: Duration = Duration::from_millis(10);

/// Short frames of the large memory and of the small one.
const MANY: usize = 1_000_000;
const FEW: usize = 2_000;

/// Measures on paragraphs of the sets.
pub(crate) fn run(folders: &[PathBuf]) -> Result<()> {
    let corpus = Corpus::read(folders)?;
    let documents = corpus.paragraphs(DOCUMENTS, SHORTEST);
    ensure!(
        documents.len() == DOCUMENTS,
        "the sets have too little text"
    );
    let queries: Vec<String> = documents
        .iter()
        .step_by(DOCUMENTS / QUERIES)
        .map(|text| {
            let words = text.split(' ').filter(|word| word.len() > 4);
            words.take(WORDS).collect::<Vec<_>>().join(" ")
        })
        .collect();
    let mv2 = release_binary()?;
    let folder = tempfile::tempdir()?;
    let mut met = true;
    let one = whole(&folder.path().join("one.mv2"), &documents)?;
    let tiered = in_tiers(&folder.path().join("tiers.mv2"), &documents)?;
    let segments = tiered.stats()?.segments["lex"];
    let plain = median(&one, &queries)?;
    met &= line("8 segments / 1", median(&tiered, &queries)?, plain, 2.5);
    let mut dead = whole(&folder.path().join("dead.mv2"), &documents)?;
    for id in (0..DOCUMENTS as u64).step_by(10) {
        dead.delete_frame(id)?;
    }
    dead.commit()?;
    let before = median(&dead, &queries)?;
    dead.checkpoint()?;
    while dead.maintain()? {}
    line("10 % dead, before housekeeping / none", before, plain, 0.0);
    met &= line(
        "10 % dead, after housekeeping / none",
        median(&dead, &queries)?,
        plain,
        1.1,
    );
    // Commit 1 saw all of them: the history segment is asked as well, and nothing is dead.
    met &= line(
        "as of a commit at which none was dead / none",
        median_at(&dead.at(1)?, &queries)?,
        plain,
        1.2,
    );
    // Later frames lie behind the cut-off of commit 2, at which a tenth was dead.
    for document in &documents[..DOCUMENTS / 10] {
        dead.put_bytes(format!("again {document}").as_bytes())?;
    }
    dead.commit()?;
    dead.optimize()?;
    let head = median(&dead, &queries)?;
    let past = median_at(&dead.at(2)?, &queries)?;
    met &= line(
        "as of a commit at which 10 % were dead / head",
        past,
        head,
        2.0,
    );
    let past = median_at(&dead.at(1)?, &queries)?;
    met &= line("as of the first commit / head", past, head, 2.0);
    met &= many_commits(&folder.path().join("commits.mv2"))?;
    let few = short(&folder.path().join("few.mv2"), FEW)?;
    let many = short(&folder.path().join("many.mv2"), MANY)?;
    println!("open and first search, 1,000,000 / 2,000 short frames:");
    for (question, goal) in FIRST.into_iter().zip([1.5].into_iter().chain(repeat(0.0))) {
        let many = first_search(&many, question)?;
        met &= line(question, many, first_search(&few, question)?, goal);
    }
    println!("mv2 put of a note, the whole process, 1,000,000 / 2,000 short frames:");
    let (few, many) = (put_process(&mv2, &few)?, put_process(&mv2, &many)?);
    line("fastest tenth", many[0], few[0], 0.0);
    line("median", many[1], few[1], 0.0);
    met &= many[1] < PUT_GOAL;
    ensure!(segments == TIERS.len() as u64, "{segments} segments, not 8");
    ensure!(met, "a goal is missed");
    Ok(())
}

/// Prints a ratio; whether it meets its goal, 0 for none.
pub(crate) fn line(name: &str, took: Duration, other: Duration, goal: f64) -> bool {
    let ratio = took.as_secs_f64() / other.as_secs_f64();
    let goal_text = if goal > 0.0 {
        format!("goal {goal}")
    } else {
        String::new()
    };
    println!("{name}: {took:.1?} / {other:.1?} = {ratio:.2} {goal_text}");
    goal == 0.0 || ratio <= goal
}

/// Whether the past of a memory with many commits opens in time, anew for each.
fn many_commits(path: &Path) -> Result<bool> {
    let mut mem = Memvid::builder()
        .no_embedder()
        .background(false)
        .create(path)?;
    for commit in 0..COMMITS {
        mem.put_bytes(format!("note {commit}").as_bytes())?;
        mem.commit()?;
    }
    drop(mem);
    let (mut open, mut log) = (Duration::ZERO, Duration::ZERO);
    let (mut by_id, mut by_time) = (Duration::ZERO, Duration::ZERO);
    let slower = |worst: &mut Duration, start: Instant| *worst = start.elapsed().max(*worst);
    for id in (1..COMMITS).step_by(COMMITS as usize / 100) {
        let start = Instant::now();
        let mem = Memvid::open_read_only(path)?;
        slower(&mut open, start);
        let start = Instant::now();
        ensure!(mem.log(10)?.len() == 10);
        slower(&mut log, start);
        let start = Instant::now();
        let past = mem.at(id)?;
        slower(&mut by_id, start);
        let time = past.commit(id)?.time;
        let start = Instant::now();
        ensure!(mem.at(Selector::Time(time))?.commit_id().get() == id);
        slower(&mut by_time, start);
    }
    println!(
        "{COMMITS} commits, slowest of 100: open {open:.1?}, log of 10 {log:.1?}, a commit by its number {by_id:.1?}, by its time {by_time:.1?}"
    );
    Ok(log.max(by_id).max(by_time) < PAST_GOAL)
}

fn whole(path: &Path, documents: &[String]) -> Result<Memvid> {
    let mut mem = Memvid::builder()
        .no_embedder()
        .background(false)
        .create(path)?;
    for document in documents {
        mem.put_bytes(document.as_bytes())?;
    }
    mem.commit()?;
    mem.optimize()?;
    Ok(mem)
}

fn in_tiers(path: &Path, documents: &[String]) -> Result<Memvid> {
    let policy = CheckpointPolicy {
        max_segments: TIERS.len() + 1,
        ..CheckpointPolicy::default()
    };
    let mut mem = Memvid::builder()
        .no_embedder()
        .background(false)
        .checkpoint(policy)
        .create(path)?;
    let mut rest = documents;
    for count in TIERS {
        let (now, later) = rest.split_at(count.min(rest.len()));
        rest = later;
        for document in now {
            mem.put_bytes(document.as_bytes())?;
        }
        mem.commit()?;
        mem.checkpoint()?;
    }
    Ok(mem)
}

/// A text of a few words, some of which very many share.
pub(crate) fn note(id: u64) -> String {
    let half = if id * 7_919 % 1_000 < 500 {
        " half"
    } else {
        ""
    };
    format!(
        "note {id} of day {} by keeper {}{half}",
        id % 365,
        id % 1_009
    )
}

/// Frames of a few words each.
fn short(path: &Path, count: usize) -> Result<PathBuf> {
    let mut mem = Memvid::builder()
        .no_embedder()
        .background(false)
        .create(path)?;
    for id in 0..count {
        let text = note(id as u64);
        let options = PutOptions::builder().uri(format!("n/{id}")).build();
        mem.put_bytes_with_options(text.as_bytes(), options)?;
        if id % 1_000 == 999 {
            mem.commit_bulk(None)?;
        }
    }
    mem.commit()?;
    mem.checkpoint()?;
    while mem.maintain()? {}
    mem.optimize()?;
    Ok(path.to_owned())
}

/// The median of some: open, search once. `#` is a number that is in one document of either memory.
fn first_search(path: &Path, question: &str) -> Result<Duration> {
    let mut times = Vec::new();
    for id in 1_100..1_200 {
        let question = question.replace('#', &id.to_string());
        let request = SearchRequest::builder(&question).mode(Mode::Lex).build();
        let start = Instant::now();
        let mem = Memvid::open_read_only(path)?;
        let found = mem.search(request)?;
        times.push(start.elapsed());
        ensure!(!found.hits.is_empty(), "nothing found");
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// A process that puts one note and ends: the fastest tenth of some, and their median.
fn put_process(mv2: &Path, memory: &Path) -> Result<[Duration; 2]> {
    let note = memory.with_extension("txt");
    let mut times = Vec::new();
    for id in 0..PUTS {
        fs::write(&note, format!("one more note, number {id}"))?;
        let mut put = Command::new(mv2);
        put.arg("put").arg(memory).arg(&note).stdout(Stdio::null());
        let start = Instant::now();
        must(&mut put)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok([times[times.len() / 10], times[times.len() / 2]])
}

/// The median over the questions, each at its fastest of three.
fn median(mem: &Memvid, queries: &[String]) -> Result<Duration> {
    median_at(&mem.snapshot()?, queries)
}

fn median_at(snapshot: &Snapshot, queries: &[String]) -> Result<Duration> {
    let mut times = Vec::with_capacity(queries.len());
    for query in queries {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let request = SearchRequest::builder(query)
                .mode(Mode::Lex)
                .snippet_chars(0)
                .build();
            let start = Instant::now();
            snapshot.search(request)?;
            best = best.min(start.elapsed());
        }
        times.push(best);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
