//! `cargo xtask first`: how long the first search of a fresh process takes, embedding included, and how large the command is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mv2::Memvid;

use crate::corpus::{Corpus, put_in_batches};
use crate::eval::dataset;
use crate::workspace::release_binary;

/// Documents, each with a vector, and their shortest, in bytes.
const DOCUMENTS: usize = 20_000;
const SHORTEST: usize = 290;

/// Questions, each asked by a process of its own.
const QUESTIONS: usize = 200;

/// What the first search may take, process and all, and what the command may weigh.
const SEARCH_GOAL: Duration = Duration::from_millis(10);
const BINARY_GOAL: u64 = 30_000_000;

/// Measures on paragraphs and questions of the sets.
pub(crate) fn run(folders: &[PathBuf]) -> Result<()> {
    let mv2 = release_binary()?;
    let mut corpus = Corpus::read(folders)?;
    let documents = corpus.paragraphs(DOCUMENTS, SHORTEST);
    ensure!(
        documents.len() == DOCUMENTS,
        "the sets have too little text"
    );
    let mut questions = Vec::new();
    for folder in folders {
        questions.extend(dataset::questions(folder)?);
    }
    corpus.shuffle(&mut questions);
    questions.truncate(QUESTIONS);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("m.mv2");
    let mut mem = Memvid::builder().background(false).create(&path)?;
    put_in_batches(&mut mem, &documents)?;
    while mem.maintain()? {}
    drop(mem);
    println!(
        "{DOCUMENTS} paragraphs with vectors, {} questions, a process each, start to end:",
        questions.len()
    );
    println!(
        "{:<18}{:>14}{:>12}{:>12}",
        "", "fastest tenth", "median", "slowest"
    );
    let line = |name: &str, args: &[&str]| -> Result<Duration> {
        let [fast, median, slow] = processes(&mv2, &path, args, &questions)?;
        println!("{name:<18}{fast:>14.1?}{median:>12.1?}{slow:>12.1?}");
        Ok(median)
    };
    line("mv2 --version", &["--version"])?;
    line("search, words", &["search", "--mode", "lex"])?;
    let took = line("search", &["search"])?;
    println!("goal of a search: median {SEARCH_GOAL:.1?}");
    let bytes = fs::metadata(&mv2)?.len();
    println!("the command has {bytes} bytes, goal {BINARY_GOAL}");
    ensure!(
        took < SEARCH_GOAL && bytes <= BINARY_GOAL,
        "a goal is missed"
    );
    Ok(())
}

/// The command once for each question: the fastest tenth, the median and the slowest.
fn processes(
    mv2: &Path,
    memory: &Path,
    args: &[&str],
    questions: &[String],
) -> Result<[Duration; 3]> {
    let mut times = Vec::with_capacity(questions.len());
    for question in questions {
        let mut command = Command::new(mv2);
        command
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if args[0] == "search" {
            // A question may begin with a dash.
            command.arg(memory).arg("--").arg(question);
        }
        let start = Instant::now();
        let status = command.status()?;
        times.push(start.elapsed());
        // 1 is that nothing was found.
        ensure!(
            matches!(status.code(), Some(0 | 1)),
            "{command:?}: {status}"
        );
    }
    times.sort_unstable();
    Ok([
        times[times.len() / 10],
        times[times.len() / 2],
        times[times.len() - 1],
    ])
}
