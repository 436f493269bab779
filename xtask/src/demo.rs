//! `cargo xtask demo`: the README's first command.
//!
//! Makes a memory of this repository's pages and of a few Japanese notes in a new folder, searches
//! it in both languages, changes a document, shows the log and checks every byte. What it finds is
//! compared with what it must find, so that the demo is a test as well. The file is left behind.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use mv2::{Memvid, PutOptions, PutStatus, SearchHit, SearchRequest};

use crate::workspace::root;

/// Questions, and the document that must be among the best three answers.
const QUESTIONS: &[(&str, &str)] = &[
    ("which crate may depend on which", "docs/architecture.md"),
    ("a torn write when the power fails", "docs/format.md"),
    ("\"write-ahead log\"", "docs/glossary.md"),
    (
        "why are decisions recorded",
        "docs/decisions/0001-record-decisions.md",
    ),
    ("京都で桜を見る", "fixtures/demo/京都旅行.md"),
    ("停電しても失われない記憶", "fixtures/demo/記憶.md"),
    ("味噌を溶くタイミング", "fixtures/demo/味噌汁.md"),
];

/// How many answers are shown of each question.
const SHOWN: usize = 3;

/// Runs the demo.
pub(crate) fn run() -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("mv2-demo-")
        .tempdir()?
        .keep();
    let path = folder.join("memory.mv2");

    heading("A memory of this repository");
    let mut memory = import(&path)?;
    let start = Instant::now();
    memory.checkpoint()?;
    println!(
        "folded from the log into segments, index included, in {:.1} ms",
        millis(start)
    );
    figures(&memory)?;
    let beside = std::fs::read_dir(&folder)?.count() - 1;
    ensure!(beside == 0, "{beside} files appeared beside the memory");
    println!("files beside it: none, while it is open");

    for (question, expected) in QUESTIONS {
        let hits = search(&memory, question)?;
        expect(question, expected, &hits)?;
    }

    heading("A document changes");
    change(&mut memory)?;

    heading("What happened, newest first");
    for commit in memory.log(10)? {
        println!(
            "commit {}  {}  {} added, {} superseded, {} deleted  {}",
            commit.id,
            commit.time,
            commit.added,
            commit.superseded,
            commit.deleted,
            commit.message.unwrap_or_default()
        );
    }
    drop(memory);

    heading("Every byte is checked");
    let start = Instant::now();
    let report = Memvid::verify(&path, true)?;
    ensure!(report.ok, "verify found problems: {:?}", report.problems);
    println!(
        "{} bytes, no problem, {:.1} ms",
        report.bytes_checked,
        millis(start)
    );

    heading("Yours to try");
    println!("memory:  {}", path.display());
    println!(
        "search:  cargo run -q -p mv2-cli -- search {} \"torn write\"",
        path.display()
    );
    if cfg!(debug_assertions) {
        println!(
            "(Times are those of a debug build, which is several times slower than a release.)"
        );
    }
    Ok(())
}

/// Puts every page and note, in one commit.
fn import(path: &Path) -> Result<Memvid> {
    let mut memory = Memvid::create(path)?;
    let root = root();
    let mut files = pages(&root)?;
    files.sort();
    let start = Instant::now();
    let mut bytes = 0;
    for file in &files {
        let text = std::fs::read_to_string(root.join(file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let uri = file.to_string_lossy().replace('\\', "/");
        let language = if text.is_ascii() || !uri.starts_with("fixtures/") {
            "en"
        } else {
            "ja"
        };
        let mut options = PutOptions::builder().uri(&uri).tag("language", language);
        if let Some(title) = mv2::text::markdown_title(&text) {
            options = options.title(title);
        }
        memory.put_bytes_with_options(text.as_bytes(), options.build())?;
        bytes += text.len();
    }
    let commit = memory
        .commit_with("import of the repository's pages")?
        .context("the import changed nothing")?;
    println!(
        "{} documents, {bytes} bytes of text, put and committed in {:.1} ms (commit {})",
        files.len(),
        millis(start),
        commit.id
    );
    ensure!(
        files.len() >= 15,
        "only {} documents were found",
        files.len()
    );
    Ok(memory)
}

/// Pages of the repository: README and its like, `docs`, each crate's README, the Japanese notes.
fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/decisions", "fixtures/demo"] {
        markdown(root, folder, &mut pages)?;
    }
    for entry in std::fs::read_dir(root.join("crates"))? {
        let readme = Path::new("crates")
            .join(entry?.file_name())
            .join("README.md");
        if root.join(&readme).is_file() {
            pages.push(readme);
        }
    }
    Ok(pages)
}

fn markdown(root: &Path, folder: &str, pages: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(root.join(folder))
        .with_context(|| format!("cannot read the folder {folder:?}"))?;
    for entry in entries {
        let entry = entry?;
        let path = Path::new(folder).join(entry.file_name());
        if entry.file_type()?.is_file() && path.extension().is_some_and(|e| e == "md") {
            pages.push(path);
        }
    }
    Ok(())
}

fn figures(memory: &Memvid) -> Result<()> {
    let stats = memory.stats()?;
    println!(
        "{} frames in {} commits; the file has {} bytes, {} of them the log",
        stats.active_frame_count, stats.commit_count, stats.size_bytes, stats.wal_bytes
    );
    let segments: Vec<String> = stats
        .segments
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    println!("segments: {}", segments.join(", "));
    Ok(())
}

/// Searches and prints the answers.
fn search(memory: &Memvid, question: &str) -> Result<Vec<SearchHit>> {
    let request = SearchRequest {
        query: question.to_owned(),
        top_k: SHOWN,
        snippet_chars: 100,
        ..SearchRequest::default()
    };
    let response = memory.search(request)?;
    heading(&format!("Search: {question}"));
    println!("{:.2} ms", response.took_ms);
    for hit in &response.hits {
        println!(
            "{}. {}  {:.2}  {}",
            hit.rank,
            hit.uri.as_deref().unwrap_or("-"),
            hit.score,
            hit.title.as_deref().unwrap_or_default()
        );
        println!("   {}", snippet(hit));
    }
    Ok(response.hits)
}

fn expect(question: &str, uri: &str, hits: &[SearchHit]) -> Result<()> {
    if hits.iter().any(|hit| hit.uri.as_deref() == Some(uri)) {
        return Ok(());
    }
    bail!("{uri} is not among the best {SHOWN} answers to {question:?}")
}

/// A uri is put again with another text: the new one is found, the old one is not.
fn change(memory: &mut Memvid) -> Result<()> {
    const URI: &str = "fixtures/demo/京都旅行.md";
    let old = memory.frame_by_uri(URI)?;
    let options = PutOptions::builder()
        .uri(URI)
        .title("京都旅行の計画")
        .tag("language", "ja")
        .build();
    let text = "# 京都旅行の計画\n\n桜は混むので、十一月に紅葉を見に行くことにした。\n";
    let start = Instant::now();
    let outcome = memory.put_bytes_with_options(text.as_bytes(), options)?;
    memory.commit_with("the trip moves to autumn")?;
    println!(
        "{URI}: frame {} takes the place of frame {}; put and committed in {:.1} ms",
        outcome.frame_id,
        old.id,
        millis(start)
    );
    ensure!(
        outcome.status == PutStatus::Superseded && outcome.superseded == Some(old.id),
        "the put under a known uri did not supersede"
    );
    expect("紅葉", URI, &search(memory, "紅葉")?)?;
    let again = search(memory, "嵐山")?;
    ensure!(again.is_empty(), "the superseded text is still found");
    println!("no answer: only the superseded text said so");
    Ok(())
}

/// The snippet on one line, its matches in bold on a terminal.
fn snippet(hit: &SearchHit) -> String {
    let (on, off) = if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        ("\x1b[1m", "\x1b[0m")
    } else {
        ("", "")
    };
    let mut out = String::new();
    let mut at = 0;
    for found in &hit.matches {
        let parts = (hit.text.get(at..found.start), hit.text.get(found.clone()));
        let (Some(before), Some(word)) = parts else {
            continue;
        };
        out.push_str(before);
        out.push_str(on);
        out.push_str(word);
        out.push_str(off);
        at = found.end;
    }
    out.push_str(hit.text.get(at..).unwrap_or_default());
    out.replace(['\n', '\r', '\t'], " ")
}

fn heading(text: &str) {
    println!("\n== {text}");
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1_000.0
}
