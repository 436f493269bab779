//! `cargo xtask size`: how large a memory is for its text, right after an import and packed in each way.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use mv2::{Memvid, PutOptions};

use crate::corpus::Corpus;

/// Paragraphs that are imported.
const PARAGRAPHS: usize = 20_000;

/// Shortest paragraph, in bytes, which makes the mean about 360.
const SHORTEST: usize = 290;

/// Paragraphs in a commit, as the command has it.
const BATCH: usize = 1_000;

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
    let mut mem = Memvid::builder()
        .no_embedder()
        .background(false)
        .create(folder.path().join("size.mv2"))?;
    for (batch, paragraphs) in paragraphs.chunks(BATCH).enumerate() {
        for (at, paragraph) in paragraphs.iter().enumerate() {
            let uri = format!("notes/{}", batch * BATCH + at);
            let options = PutOptions::builder().uri(uri).build();
            mem.put_bytes_with_options(paragraph.as_bytes(), options)?;
        }
        mem.commit_bulk(None)?;
    }
    mem.checkpoint()?;
    while mem.maintain()? {}
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
    mem.seal()?;
    line(&mem, "seal", Some(1.0))?;
    mem.unseal()?;
    mem.seal_small()?;
    line(&mem, "seal --small", Some(0.80))?;
    ensure!(met, "a goal is missed");
    Ok(())
}
