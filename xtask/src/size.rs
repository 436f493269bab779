//! `cargo xtask size`: how large a memory is for its text, right after an import and packed in each way.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use mv2::{Memvid, OpenOptions};

use crate::corpus::{Corpus, put_in_batches};

/// Paragraphs that are imported.
const PARAGRAPHS: usize = 20_000;

/// Shortest paragraph, in bytes, which makes the mean about 360.
const SHORTEST: usize = 290;

/// What the vector of a paragraph may take.
const VECTOR_BYTES: f64 = 275.0;

/// Imports paragraphs of the sets and prints the sizes.
pub(crate) fn run(folders: &[PathBuf]) -> Result<()> {
    let paragraphs = Corpus::read(folders)?.paragraphs(PARAGRAPHS, SHORTEST);
    ensure!(
        paragraphs.len() == PARAGRAPHS,
        "the sets have {} paragraphs, {PARAGRAPHS} are needed",
        paragraphs.len()
    );
    let text: usize = paragraphs.iter().map(String::len).sum();
    let folder = tempfile::tempdir()?;
    let mut mem = import(
        &Memvid::builder().no_embedder(),
        &folder.path().join("words.mv2"),
        &paragraphs,
    )?;
    println!(
        "{PARAGRAPHS} paragraphs of {} bytes each, a uri each, no title, no vectors",
        text / PARAGRAPHS
    );
    println!("{:<14}{:>12}{:>10}{:>8}", "", "bytes", "of text", "goal");
    let mut met = true;
    let mut line = |mem: &Memvid, name: &str, goal: Option<f64>| -> Result<()> {
        let stats = mem.stats()?;
        let bytes = stats.size_bytes - stats.wal_bytes;
        let ratio = bytes as f64 / text as f64;
        met &= goal.is_none_or(|goal| ratio <= goal);
        let goal = goal.map_or_else(String::new, |goal| format!("{goal:.2}"));
        println!("{name:<14}{bytes:>12}{ratio:>10.3}{goal:>8}");
        Ok(())
    };
    line(&mem, "import", Some(1.10))?;
    mem.vacuum()?;
    line(&mem, "vacuum", None)?;
    let words = mem.stats()?.size_bytes;
    mem.seal()?;
    line(&mem, "seal", Some(1.0))?;
    mem.unseal()?;
    mem.seal_small()?;
    line(&mem, "seal --small", Some(0.80))?;
    // With vectors of the built-in embedder; a paragraph is short enough for one.
    let path = folder.path().join("vectors.mv2");
    let mut mem = import(&Memvid::builder(), &path, &paragraphs)?;
    line(&mem, "with vectors", None)?;
    mem.vacuum()?;
    line(&mem, "vacuum", None)?;
    let vector = (mem.stats()?.size_bytes - words) as f64 / PARAGRAPHS as f64;
    println!("vectors take {vector:.1} bytes a paragraph, goal {VECTOR_BYTES}");
    met &= vector <= VECTOR_BYTES;
    ensure!(met, "a goal is missed");
    Ok(())
}

/// Puts the paragraphs as `mv2 put --jsonl` does.
fn import(options: &OpenOptions, path: &Path, paragraphs: &[String]) -> Result<Memvid> {
    let mut mem = options.clone().background(false).create(path)?;
    put_in_batches(&mut mem, paragraphs)?;
    while mem.maintain()? {}
    Ok(mem)
}
