//! `cargo xtask import`: how fast documents go into a memory, beside tantivy as it comes with the same analysis.
//!
//! Both run in this process, each on one thread, over the same paragraphs, and end with everything in a file and searchable. tantivy writes one
//! segment with the text and the uri stored (lz4, its default) and syncs at its end; the memory commits every thousand documents.

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
    let (mut ours, mut theirs) = (Took::MAX, Took::MAX);
    for _ in 0..ROUNDS {
        // Turn by turn, so that both meet the same machine.
        let folder = tempfile::tempdir()?;
        let memory = folder.path().join("import.mv2");
        ours = ours.best(Took::by(|| into_memory(&memory, &paragraphs))?);
        theirs = theirs.best(Took::by(|| into_tantivy(folder.path(), &paragraphs))?);
    }
    let speed = |took: Took| text as f64 / took.wall.as_secs_f64() / f64::from(1 << 20);
    let ratio = theirs.wall.as_secs_f64() / ours.wall.as_secs_f64();
    println!(
        "{} paragraphs, {} bytes: the best of {ROUNDS} rounds",
        paragraphs.len(),
        text
    );
    for (name, took) in [("mv2", ours), ("tantivy", theirs)] {
        let Took { wall, cpu } = took;
        println!(
            "{name:8} {wall:>10.1?} {:>6.1} MiB/s, {cpu:.1?} on the processor",
            speed(took)
        );
    }
    if !ours.cpu.is_zero() {
        let ratio = theirs.cpu.as_secs_f64() / ours.cpu.as_secs_f64();
        println!("on the processor {ratio:.2}, which a busy machine changes less");
    }
    println!("ratio    {ratio:.2} of tantivy's speed, the goal is {GOAL}");
    ensure!(ratio >= GOAL, "the goal is missed");
    Ok(())
}

/// What an import took: time that passed, and time of this thread on a processor.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

impl Took {
    const MAX: Self = Self {
        wall: Duration::MAX,
        cpu: Duration::MAX,
    };

    fn by(import: impl FnOnce() -> Result<()>) -> Result<Self> {
        let (start, cpu) = (Instant::now(), on_processor());
        import()?;
        Ok(Self {
            wall: start.elapsed(),
            cpu: on_processor().saturating_sub(cpu),
        })
    }

    fn best(self, other: Self) -> Self {
        Self {
            wall: self.wall.min(other.wall),
            cpu: self.cpu.min(other.cpu),
        }
    }
}

/// How long this thread has been on a processor; zero where the system does not say.
fn on_processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn into_memory(path: &Path, paragraphs: &[String]) -> Result<()> {
    let mut mem = Memvid::builder()
        .no_embedder()
        .background(false)
        .create(path)?;
    put_in_batches(&mut mem, paragraphs)
}

fn into_tantivy(folder: &Path, paragraphs: &[String]) -> Result<()> {
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
    Ok(())
}
