//! `cargo xtask import`: how fast documents go into a memory, beside tantivy as it comes with the same analysis.
//!
//! Both run in this process, each on one thread, over the same paragraphs, and end with everything in a file and searchable. tantivy writes one
//! segment with the text and the uri stored (lz4, its default) and nothing synced; the memory commits every thousand documents.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mv2::Memvid;
use tantivy::directory::MmapDirectory;
use tantivy::schema::{IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions};
use tantivy::{Index, IndexSettings, SingleSegmentIndexWriter, TantivyDocument};

use crate::corpus::{Corpus, put_in_batches};

/// Paragraphs that are imported, and their shortest, in bytes.
const PARAGRAPHS: usize = 20_000;
const SHORTEST: usize = 290;

/// Rounds, of which the fastest of each side counts.
const ROUNDS: usize = 9;

/// tantivy's budget: enough that it writes one segment.
const BUDGET_BYTES: usize = 256 << 20;

/// How much of tantivy's speed is wanted.
const GOAL: f64 = 0.8;

/// Imports paragraphs of the sets into both.
pub(crate) fn run(folders: &[PathBuf]) -> Result<()> {
    let paragraphs = Corpus::read(folders)?.paragraphs(PARAGRAPHS, SHORTEST);
    let text: usize = paragraphs.iter().map(String::len).sum();
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        // Turn by turn, so that both meet the same machine.
        let folder = tempfile::tempdir()?;
        ours = ours.min(into_memory(&folder.path().join("import.mv2"), &paragraphs)?);
        theirs = theirs.min(into_tantivy(folder.path(), &paragraphs)?);
    }
    let speed = |took: Duration| text as f64 / took.as_secs_f64() / f64::from(1 << 20);
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!(
        "{} paragraphs, {} bytes: the best of {ROUNDS} rounds",
        paragraphs.len(),
        text
    );
    println!("mv2      {ours:>10.1?} {:>6.1} MiB/s", speed(ours));
    println!("tantivy  {theirs:>10.1?} {:>6.1} MiB/s", speed(theirs));
    println!("ratio    {ratio:.2} of tantivy's speed, the goal is {GOAL}");
    ensure!(ratio >= GOAL, "the goal is missed");
    Ok(())
}

fn into_memory(path: &Path, paragraphs: &[String]) -> Result<Duration> {
    let start = Instant::now();
    let mut mem = Memvid::builder()
        .no_embedder()
        .background(false)
        .create(path)?;
    put_in_batches(&mut mem, paragraphs)?;
    Ok(start.elapsed())
}

fn into_tantivy(folder: &Path, paragraphs: &[String]) -> Result<Duration> {
    let start = Instant::now();
    let text = |tokenizer: &str, record| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(tokenizer)
                .set_index_option(record),
        )
    };
    let mut schema = Schema::builder();
    let body = text("mv2_body", IndexRecordOption::WithFreqsAndPositions).set_stored();
    let body = schema.add_text_field("body", body);
    let cjk = schema.add_text_field("cjk", text("mv2_cjk", IndexRecordOption::WithFreqs));
    let uri = schema.add_text_field("uri", STRING | STORED);
    let settings = IndexSettings {
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    };
    let mut writer: SingleSegmentIndexWriter = Index::builder()
        .schema(schema.build())
        .settings(settings)
        .tokenizers(mv2_lex::tokenizers())
        .single_segment_index_writer(MmapDirectory::open(folder)?, BUDGET_BYTES)?;
    for (at, paragraph) in paragraphs.iter().enumerate() {
        let mut document = TantivyDocument::new();
        document.add_text(body, paragraph);
        if !paragraph.is_ascii() {
            document.add_text(cjk, paragraph);
        }
        document.add_text(uri, format!("notes/{at}"));
        writer.add_document(document)?;
    }
    writer.finalize()?;
    Ok(start.elapsed())
}
