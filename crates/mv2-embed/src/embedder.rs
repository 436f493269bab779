//! What an embedding model is to the rest of mv2.

use crate::coverage;
use crate::error::{NoVector, Result};
use crate::spec::EmbedSpec;

/// How much a passage is like a question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// 0 to 1; comparable within one question.
    pub similarity: f32,
    /// Tokens of the passage that were looked at.
    pub tokens: usize,
}

/// Compares passages with one question more closely than their vectors do.
pub trait Comparison {
    /// How much a passage is like the question.
    fn compare(&mut self, passage: &str) -> Likeness;
}

/// Which side of a search a text is on. Some models put another prefix before each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// What is asked.
    Query,
    /// What is stored and may be found.
    Passage,
}

/// Turns texts into vectors.
///
/// An embedder is shared between threads and has no state that a call would change: the same text in
/// the same role gives the same vector, alone or in a batch.
pub trait Embedder: Send + Sync {
    /// What decides the meaning of the vectors.
    fn spec(&self) -> &EmbedSpec;

    /// Appends the vectors of `texts`, one behind the other, `spec().dims` numbers each, to `out`.
    ///
    /// What is longer than `spec().max_tokens` is cut there: long texts are [split](crate::chunk::split) first.
    ///
    /// # Errors
    /// [`Error::NoVector`](crate::Error::NoVector) for the first text that [`check`](Self::check)
    /// refuses, and whatever keeps a model from running. `out` is then as it was before.
    fn embed(&self, texts: &[&str], role: Role, out: &mut Vec<f32>) -> Result<()>;

    /// The share of the letters and digits of a text that the vocabulary covers, 0 to 1; 0 if it has
    /// none. Fusion trusts a vector of the query by it, see [`coverage`](crate::coverage).
    fn coverage(&self, text: &str) -> f32;

    /// The number of tokens of a text, without the marks that a model puts around it.
    fn token_count(&self, text: &str) -> usize;

    /// Whether a text has a vector under this model, and why not.
    ///
    /// # Errors
    /// [`NoVector`]: no fault of anybody's. Such a text is stored without a vector.
    fn check(&self, text: &str) -> Result<(), NoVector> {
        coverage::check(text, self.coverage(text))
    }

    /// How much the vectors weigh in a hybrid search where the query is covered, 0 to 1; the words weigh
    /// the rest. The constant is the design's for transformers.
    fn fusion_weight(&self) -> f32 {
        0.4
    }

    /// How like `question` a passage has to be to answer it without any word of it: the least similarity, or `None` if the
    /// model does not know enough of the question's words for that. By default any passage will do.
    fn relevance_floor(&self, _question: &str) -> Option<f32> {
        Some(f32::NEG_INFINITY)
    }

    /// A closer comparison of the best hits with a question, for models that have one that is cheap.
    fn comparison(&self, _question: &str) -> Option<Box<dyn Comparison + '_>> {
        None
    }
}
