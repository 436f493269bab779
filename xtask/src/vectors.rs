//! `cargo xtask vectors`: real vectors to measure `mv2-vec` with, of the sentences and questions of retrieval sets.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use mv2::embed::{Embedder, Role, StaticEmbedder};

use crate::corpus::Corpus;
use crate::eval::dataset;

/// Shortest sentence, in bytes.
const SHORTEST: usize = 20;

/// Embeds sentences and questions with the built-in embedder and writes them as `examples/graph.rs` of `mv2-vec` reads
/// them.
pub(crate) fn run(out: &Path, folders: &[PathBuf]) -> Result<()> {
    let mut corpus = Corpus::read(folders)?;
    let sentences = corpus.in_any_order(SHORTEST);
    let mut questions = Vec::new();
    for folder in folders {
        questions.extend(dataset::questions(folder)?);
    }
    corpus.shuffle(&mut questions);
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    write(&out.join("vectors.f32"), &sentences, Role::Passage)?;
    write(&out.join("queries.f32"), &questions, Role::Query)
}

/// Writes the number of dimensions, then the vectors of the texts that have one.
fn write(path: &Path, texts: &[String], role: Role) -> Result<()> {
    let embedder = StaticEmbedder::new()?;
    let dims = embedder.spec().dims;
    let mut bytes = dims.to_le_bytes().to_vec();
    let mut vector = Vec::new();
    for text in texts {
        vector.clear();
        // Some are of a script or of words that the embedder does not know.
        if embedder.embed(&[text], role, &mut vector).is_ok() && vector.iter().any(|x| *x != 0.0) {
            bytes.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        }
    }
    let count = (bytes.len() - 4) / 4 / dims as usize;
    ensure!(count > 0, "no text has a vector");
    println!("{}: {count} of {} texts", path.display(), texts.len());
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
