//! Token against token: a second look at the best hits.

use std::ops::ControlFlow;

use super::embedder::StaticEmbedder;
use super::table::DIMS;
use super::wordpiece;
use crate::embedder::{Comparison, Likeness};

/// Tokens of a text that are looked at.
const MAX_TOKENS: usize = 512;

/// Compares a question with passages: for each token of the question the most alike token of the passage, by
/// cosine, weighed by how much the token matters.
///
/// One vector for a whole passage forgets what stands in it once; this does not. It says most about short
/// passages: in a long one something is alike by chance.
///
/// ```
/// use mv2_embed::{Comparison, MaxSim, StaticEmbedder};
///
/// let model = StaticEmbedder::new()?;
/// let mut question = MaxSim::new(&model, "Who repaired the car?");
/// let near = question.compare("Mia fixed the automobile in our garage");
/// let far = question.compare("Tom baked bread in our kitchen");
/// assert!(near.similarity > far.similarity);
/// # Ok::<(), mv2_embed::Error>(())
/// ```
pub struct MaxSim<'a> {
    model: &'a StaticEmbedder,
    tokens: Vec<QueryToken>,
    /// Room for the tokens of a passage.
    passage: Vec<u32>,
}

struct QueryToken {
    codes: [i16; DIMS],
    /// Length of the row as the table has it, which is how much the token matters.
    weight: f32,
    /// Reciprocal of the length of the codes.
    scale: f32,
    /// Cosine to the most alike token of the passage.
    best: f32,
}

impl<'a> MaxSim<'a> {
    /// For one question. What of it the vocabulary does not have counts for nothing.
    pub fn new(model: &'a StaticEmbedder, question: &str) -> Self {
        let table = model.table();
        let mut ids = Vec::new();
        read(model, question, &mut ids);
        let rows = ids.into_iter().filter_map(|piece| table.row(piece));
        let tokens = rows.map(|(row, factor)| QueryToken {
            codes: row.map(|code| i16::from(code.cast_signed())),
            weight: length(row) * f32::from(factor),
            scale: 1.0 / length(row).max(1.0),
            best: 0.0,
        });
        Self {
            model,
            tokens: tokens.collect(),
            passage: Vec::new(),
        }
    }
}

impl Comparison for MaxSim<'_> {
    fn compare(&mut self, passage: &str) -> Likeness {
        let table = self.model.table();
        let tokens = read(self.model, passage, &mut self.passage);
        self.passage.sort_unstable();
        self.passage.dedup();
        for token in &mut self.tokens {
            token.best = 0.0;
        }
        for (row, _) in self.passage.iter().filter_map(|piece| table.row(*piece)) {
            let scale = 1.0 / length(row).max(1.0);
            for token in &mut self.tokens {
                let cosine = dot(&token.codes, row) as f32 * token.scale * scale;
                token.best = token.best.max(cosine);
            }
        }
        let (mut sum, mut weights) = (0.0f32, 0.0f32);
        for token in &self.tokens {
            sum += token.weight * token.best;
            weights += token.weight;
        }
        Likeness {
            similarity: if weights > 0.0 { sum / weights } else { 0.0 },
            tokens,
        }
    }
}

/// The pieces of a text, instead of what `ids` held. Returns the number of tokens, unknown ones too.
fn read(model: &StaticEmbedder, text: &str, ids: &mut Vec<u32>) -> usize {
    ids.clear();
    let mut count = 0;
    let _: ControlFlow<()> = wordpiece::tokens(model.table(), text, |token| {
        ids.extend(token);
        count += 1;
        match count {
            MAX_TOKENS => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    count
}

fn dot(a: &[i16; DIMS], b: &[u8; DIMS]) -> i32 {
    let products = a.iter().zip(b);
    products
        .map(|(a, b)| i32::from(*a) * i32::from(i16::from(b.cast_signed())))
        .sum()
}

fn length(row: &[u8; DIMS]) -> f32 {
    let squares = row
        .iter()
        .map(|code| i32::from(code.cast_signed()).pow(2))
        .sum::<i32>();
    (squares as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_every_word_of_the_question_is_most_alike() {
        let model = StaticEmbedder::new().unwrap();
        let mut question = MaxSim::new(&model, "lighthouse keeper");
        let whole = question.compare("The keeper left the lighthouse.");
        assert!((whole.similarity - 1.0).abs() < 1e-5, "{whole:?}");
        assert_eq!(whole.tokens, 6);
        assert!(question.compare("The keeper left.").similarity < 0.9);
    }

    #[test]
    fn texts_without_known_tokens_are_like_nothing() {
        let model = StaticEmbedder::new().unwrap();
        assert_eq!(MaxSim::new(&model, "").compare("boat").similarity, 0.0);
        assert_eq!(MaxSim::new(&model, "boat").compare("").similarity, 0.0);
        assert_eq!(MaxSim::new(&model, "東京").compare("東京").similarity, 0.0);
        let endless = "boat ".repeat(100_000);
        assert_eq!(MaxSim::new(&model, &endless).compare(&endless).tokens, 512);
    }
}
