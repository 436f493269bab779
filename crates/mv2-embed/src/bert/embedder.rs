//! [`BertEmbedder`]: from a folder to vectors.

use std::path::Path;

use rayon::prelude::*;

use super::architecture::{Architecture, Engine};
use super::fault::Fault;
use super::kernels;
use super::recipe::Recipe;
use super::tokens::Tokens;
use crate::coverage;
use crate::embedder::{Embedder, Role};
use crate::error::{BoxError, Error, NoVector, Result};
use crate::known::{FILES, KnownModel};
use crate::resolve;
use crate::spec::{EmbedSpec, Pooling, Precision};

/// Tokens that one thread takes through the model at once: enough for the products to be quick, few enough for what lies between
/// them to stay near the processor.
const PACK_TOKENS: usize = 1024;

/// Tokens in a pack where there are too few for all threads.
const LEAST_TOKENS: usize = 64;

/// A model of the BERT family, from files: `config.json`, `tokenizer.json` and `model.safetensors` (single or half precision).
///
/// | `model_type` | what runs it |
/// |---|---|
/// | `bert`, `roberta`, `xlm-roberta`, `distilbert`, `nomic_bert` | a pass of our own: texts packed one behind the other, without padding |
/// | `modernbert` | candle-transformers: texts one by one, at most 2,048 tokens each |
///
/// Texts run on all cores (rayon's threads). The same text gives the same vector alone and among others; on another kind of
/// processor its last bits may differ.
///
/// ```no_run
/// use mv2_embed::{BertEmbedder, Embedder, Role};
///
/// let model = BertEmbedder::open("bge-small-en-v1.5")?;
/// let mut vectors = Vec::new();
/// model.embed(&["a lighthouse by the sea"], Role::Passage, &mut vectors)?;
/// # Ok::<(), mv2_embed::Error>(())
/// ```
pub struct BertEmbedder {
    spec: EmbedSpec,
    engine: Engine,
    tokens: Tokens,
}

impl BertEmbedder {
    /// The model of a name, from the cache of the hub on this machine, or that of a folder.
    ///
    /// A name is one of the [known](crate::KNOWN_MODELS) ones, or of another publisher's model as `publisher/name`. Nothing is
    /// downloaded.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] for what is neither a name nor a folder, [`Error::NotHere`] for a model that is not on this
    /// machine, and those of [`from_folder`](Self::from_folder).
    pub fn open(model: &str) -> Result<Self> {
        Self::from_folder(&resolve::find(model)?)
    }

    /// Reads the model in a folder.
    ///
    /// One whose folder has a [known](crate::KNOWN_MODELS) name is used as the table says, any other as the files that
    /// sentence-transformers puts there say (`modules.json`, `1_Pooling/config.json` and so on; without them the mean over all
    /// tokens). Vectors have length 1. The spec's name is the folder's, its revision a hash of `config.json` and
    /// `tokenizer.json`: a copy elsewhere under the same name is the same model.
    ///
    /// # Errors
    /// [`Error::ModelFile`] for a file that is missing or cannot be read; [`Error::Model`] for one with something in it that
    /// is not as it should be, a tensor for example that is missing, has another shape or holds what is not a number.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let name = name_of(folder);
        match KnownModel::find(&name) {
            Some(known) => Self::read(known.name, folder, Recipe::known(known)),
            None => Self::read(&name, folder, Recipe::of_folder(&name, folder)?),
        }
    }

    fn read(name: &str, folder: &Path, recipe: Recipe) -> Result<Self> {
        let paths = FILES.map(|file| folder.join(file));
        let [config, tokenizer] = [&paths[0], &paths[1]]
            .map(|path| std::fs::read(path).map_err(|error| Fault::io(error).of(name, path)));
        let (config_json, tokenizer_json) = (config?, tokenizer?);
        let at = |file: usize| {
            let path = &paths[file];
            move |fault: Fault| fault.of(name, path)
        };
        let architecture = Architecture::parse(&config_json).map_err(at(0))?;
        let can = u32::try_from(architecture.max_tokens()).unwrap_or(u32::MAX);
        let max_tokens = recipe.max_tokens.unwrap_or(can).clamp(1, can);
        let vocabulary = architecture.vocabulary();
        let tokens = Tokens::parse(&tokenizer_json, vocabulary, max_tokens as usize);
        let tokens = tokens.map_err(at(1))?;
        let dims = u32::try_from(architecture.width()).unwrap_or(u32::MAX);
        let engine = architecture.load(&paths[2], max_tokens as usize);
        let engine = engine.map_err(at(2))?;
        let spec = EmbedSpec {
            name: name.to_owned(),
            revision: revision(&[&config_json, &tokenizer_json]),
            dims,
            max_tokens,
            weights: engine.hash(),
            pooling: recipe.pooling,
            query_prefix: recipe.query_prefix,
            passage_prefix: recipe.passage_prefix,
            normalized: true,
            precision: Precision::Float,
        };
        Ok(Self {
            spec,
            engine,
            tokens,
        })
    }

    /// Whether the model knows words of Latin script alone, as English ones do. Texts in other scripts then get no vector.
    pub fn is_latin_only(&self) -> bool {
        self.tokens.latin_only
    }

    /// Like [`embed`](Embedder::embed), for texts that [`check`](Embedder::check) refuses, too. What the vocabulary does not
    /// cover makes vectors of noise.
    ///
    /// # Errors
    /// [`Error::Failed`] if the model fails. `out` is then as it was before.
    pub fn embed_all(&self, texts: &[&str], role: Role, out: &mut Vec<f32>) -> Result<()> {
        let prefix = self.spec.prefix(role);
        let tokens = texts.par_iter().map(|text| {
            self.tokens
                .encode(prefix, text)
                .map_err(|source| self.failed(source))
        });
        let tokens = tokens.collect::<Result<Vec<Vec<u32>>>>()?;
        let packs = packs(&tokens, rayon::current_num_threads());
        let run = |pack: &Vec<usize>| {
            let texts: Vec<&[u32]> = pack.iter().map(|text| &tokens[*text][..]).collect();
            self.run(&texts)
        };
        let alone = packs.partition_point(|pack| self.engine.is_alone(tokens[pack[0]].len()));
        let mut vectors = packs[..alone].iter().map(run).collect::<Result<Vec<_>>>()?;
        let together = packs[alone..].par_iter().map(run);
        vectors.extend(together.collect::<Result<Vec<Vec<f32>>>>()?);
        let width = self.spec.dims as usize;
        let before = out.len();
        out.resize(before + texts.len() * width, 0.0);
        for (pack, vectors) in packs.iter().zip(vectors) {
            for (text, vector) in pack.iter().zip(vectors.chunks_exact(width)) {
                let begin = before + text * width;
                out[begin..begin + width].copy_from_slice(vector);
            }
        }
        Ok(())
    }

    /// The vectors of texts that stand in one pack, one behind the other.
    fn run(&self, texts: &[&[u32]]) -> Result<Vec<f32>> {
        let width = self.spec.dims as usize;
        let rows = self
            .engine
            .run(texts)
            .map_err(|source| self.failed(source))?;
        let mut vectors = Vec::with_capacity(texts.len() * width);
        let mut at = 0;
        for text in texts {
            let rows = &rows[at * width..(at + text.len()) * width];
            vectors.extend(unit(pool(rows, width, self.spec.pooling)).ok_or_else(|| {
                self.failed("it made a vector without a direction, of numbers that are not finite or all zero".into())
            })?);
            at += text.len();
        }
        Ok(vectors)
    }

    fn failed(&self, source: BoxError) -> Error {
        Error::Failed {
            model: self.spec.name.clone(),
            source,
        }
    }
}

impl Embedder for BertEmbedder {
    fn spec(&self) -> &EmbedSpec {
        &self.spec
    }

    fn embed(&self, texts: &[&str], role: Role, out: &mut Vec<f32>) -> Result<()> {
        let checks: Vec<_> = texts.par_iter().map(|text| self.check(text)).collect();
        for (index, check) in checks.into_iter().enumerate() {
            check.map_err(|reason| Error::NoVector { index, reason })?;
        }
        self.embed_all(texts, role, out)
    }

    fn coverage(&self, text: &str) -> f32 {
        self.tokens.coverage(text)
    }

    fn token_count(&self, text: &str) -> usize {
        self.tokens.count(text)
    }

    fn check(&self, text: &str) -> Result<(), NoVector> {
        coverage::check(text, self.coverage(text))?;
        match self.tokens.knows(text) {
            true => Ok(()),
            false => Err(NoVector::NoTokens),
        }
    }
}

impl std::fmt::Debug for BertEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BertEmbedder")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

/// Which texts run together, by their tokens: texts of like length, about [`PACK_TOKENS`] in all, or fewer where there would not
/// be enough packs for all threads.
fn packs(tokens: &[Vec<u32>], threads: usize) -> Vec<Vec<usize>> {
    let all: usize = tokens.iter().map(Vec::len).sum();
    let limit = (all / threads.max(1)).clamp(LEAST_TOKENS, PACK_TOKENS);
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    // The longest first: what is left at the end is small, and no thread waits long for another.
    order.sort_by_key(|text| std::cmp::Reverse(tokens[*text].len()));
    let mut packs: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for text in order {
        let length = tokens[text].len();
        match packs.last_mut() {
            Some(pack) if length <= room => {
                pack.push(text);
                room -= length;
            }
            _ => {
                packs.push(vec![text]);
                room = limit.saturating_sub(length);
            }
        }
    }
    packs
}

/// One vector of those of the tokens.
fn pool(rows: &[f32], width: usize, pooling: Pooling) -> Vec<f32> {
    match pooling {
        Pooling::Cls => rows[..width].to_vec(),
        Pooling::Last => rows[rows.len() - width..].to_vec(),
        // The mean and the sum have the same direction, and that is what is left in the end.
        Pooling::Mean | Pooling::Sum | Pooling::Unknown => {
            let mut sum = vec![0.0; width];
            kernels::add_rows(rows, &mut sum);
            sum
        }
    }
}

/// The vector of length 1 in the same direction, if it has one.
fn unit(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let squares: f64 = vector.iter().map(|x| f64::from(*x).powi(2)).sum();
    let length = squares.sqrt();
    if length == 0.0 || !length.is_finite() {
        return None;
    }
    for x in &mut vector {
        *x = (f64::from(*x) / length) as f32;
    }
    Some(vector)
}

/// A model's name by its folder. In the cache of the hub that is two levels up: `models--BAAI--bge-small-en-v1.5/snapshots/..`.
fn name_of(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = |folder: Option<&Path>| {
        let name = folder.and_then(Path::file_name).unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let above = folder.parent().filter(|above| above.ends_with("snapshots"));
    let repo = name(above.and_then(Path::parent));
    match repo.strip_prefix("models--") {
        Some(repo) => repo.replacen("--", "/", 1),
        None => name(Some(&folder)),
    }
}

/// 16 digits of a hash over what, beside the weights, decides the vectors.
fn revision(files: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("mv2 transformer model revision, version 1");
    for file in files {
        hasher.update(&(file.len() as u64).to_le_bytes());
        hasher.update(file);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_hold_every_text_once_and_stay_within_their_limit() {
        let lengths = [3, 900, 40, 40, 2000, 7, 300, 300, 300, 300, 1, 1024];
        let tokens: Vec<Vec<u32>> = lengths.iter().map(|length| vec![0; *length]).collect();
        for threads in [1, 2, 64] {
            let packs = packs(&tokens, threads);
            let mut seen: Vec<usize> = packs.concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for pack in &packs {
                let total: usize = pack.iter().map(|text| lengths[*text]).sum();
                assert!(total <= PACK_TOKENS || pack.len() == 1);
            }
        }
        assert!(packs(&[], 2).is_empty());
        assert_eq!(
            packs(&vec![vec![0; 60]; 8], 2).len(),
            2,
            "both threads have work"
        );
    }

    #[test]
    fn a_folder_in_the_cache_is_named_by_its_repository() {
        let cache = tempfile::tempdir().unwrap();
        let snapshot = cache
            .path()
            .join("models--intfloat--multilingual-e5-small/snapshots/abc");
        std::fs::create_dir_all(&snapshot).unwrap();
        assert_eq!(name_of(&snapshot), "intfloat/multilingual-e5-small");
        assert_eq!(name_of(Path::new("/some/where/mine")), "mine");
    }
}
