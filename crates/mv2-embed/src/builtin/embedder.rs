//! The embedder over the token table.

use std::ops::ControlFlow;

use super::maxsim::MaxSim;
use super::table::{DIMS, Table};
use super::wordpiece::{self, Token};
use crate::coverage;
use crate::embedder::{Comparison, Embedder, Role};
use crate::error::{Error, NoVector, Result};
use crate::spec::{EmbedSpec, Pooling, Precision};

/// The model's name.
pub(super) const NAME: &str = crate::BUILT_IN;

/// Tokens of a text that are read. Chunks of 100 to 400 tokens rank within .01 of each other, those of 200 best.
const MAX_TOKENS: u32 = 256;

/// What vectors weigh beside words. From .25 to .35 the development sets hardly differ.
const WEIGHT: f32 = 0.25;

/// A passage less alike than this is about something else. What answers a question of one word (`car`: an automobile,
/// `database`: PostgreSQL) is at .2 to .5, what has nothing to do with it mostly below .15.
const FLOOR: f32 = 0.2;

/// Rows that are summed in 32 bits before the sum is added up in 64: 256 x 127 x 65535 is below 2^31.
const ROWS_IN_32_BITS: usize = 256;

/// The built-in model, `mv2-static`: no download, no file, ready at once.
///
/// A text's vector is the sum of a row for each of its tokens, so it knows words and not their order. All arithmetic
/// up to the 8-bit numbers of the vector is of integers, and what follows is one square root and one division each:
/// the same text has the same bits on every machine.
///
/// ```
/// use mv2_embed::{Embedder, Role, StaticEmbedder};
///
/// let model = StaticEmbedder::new()?;
/// let mut vectors = Vec::new();
/// model.embed(&["car", "automobile", "banana bread"], Role::Passage, &mut vectors)?;
/// let dims = model.spec().dims as usize;
/// let cosine = |a: usize, b: usize| -> f32 {
///     (0..dims).map(|i| vectors[a * dims + i] * vectors[b * dims + i]).sum()
/// };
/// assert!(cosine(0, 1) > cosine(0, 2) + 0.3);
/// # Ok::<(), mv2_embed::Error>(())
/// ```
pub struct StaticEmbedder {
    table: Table,
    spec: EmbedSpec,
}

impl StaticEmbedder {
    /// The model. This takes no longer than looking at a header.
    ///
    /// # Errors
    /// [`Error::Model`] if the table in the program is not one, which a test of this crate excludes.
    pub fn new() -> Result<Self> {
        let weights = blake3::Hash::from_hex(mv2_embed_static::BLAKE3);
        let weights = weights.map_err(|error| Error::Model {
            model: NAME.to_owned(),
            what: "hash of the token table".to_owned(),
            expected: "64 hexadecimal digits".to_owned(),
            found: error.to_string(),
        })?;
        Ok(Self {
            table: Table::open(mv2_embed_static::TABLE)?,
            spec: EmbedSpec {
                name: NAME.to_owned(),
                revision: "1".to_owned(),
                dims: DIMS as u32,
                max_tokens: MAX_TOKENS,
                weights: *weights.as_bytes(),
                pooling: Pooling::Sum,
                query_prefix: String::new(),
                passage_prefix: String::new(),
                normalized: true,
                precision: Precision::Int8,
            },
        })
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// The 8-bit numbers of a text's vector; `None` if no token of it has a row.
    fn codes(&self, text: &str) -> Option<[i8; DIMS]> {
        let (mut total, mut part) = ([0i64; DIMS], [0i32; DIMS]);
        let (mut read, mut rows) = (0, 0);
        let _: ControlFlow<()> = wordpiece::tokens(&self.table, text, |token| {
            if let Some((codes, factor)) = token.and_then(|piece| self.table.row(piece)) {
                for (sum, code) in part.iter_mut().zip(codes) {
                    *sum += i32::from(code.cast_signed()) * i32::from(factor);
                }
                rows += 1;
                if rows == ROWS_IN_32_BITS {
                    carry(&mut total, &mut part);
                    rows = 0;
                }
            }
            read += 1;
            match read {
                MAX_TOKENS => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        carry(&mut total, &mut part);
        let largest = total.iter().map(|sum| sum.abs()).max().unwrap_or(0);
        if largest == 0 {
            return None;
        }
        // To the nearest, halves away from zero: the largest becomes 127.
        Some(total.map(|sum| {
            let size = (254 * sum.abs() + largest) / (2 * largest);
            (size * sum.signum()) as i8
        }))
    }
}

/// Adds up sums of 32 bits, and begins them anew.
fn carry(total: &mut [i64; DIMS], part: &mut [i32; DIMS]) {
    for (total, part) in total.iter_mut().zip(part) {
        *total += i64::from(std::mem::take(part));
    }
}

impl Embedder for StaticEmbedder {
    fn spec(&self) -> &EmbedSpec {
        &self.spec
    }

    fn embed(&self, texts: &[&str], _role: Role, out: &mut Vec<f32>) -> Result<()> {
        let before = out.len();
        out.reserve(texts.len().saturating_mul(DIMS));
        for (index, text) in texts.iter().enumerate() {
            let codes = coverage::check(text, self.coverage(text))
                .and_then(|()| self.codes(text).ok_or(NoVector::NoTokens));
            let codes = codes.map_err(|reason| {
                out.truncate(before);
                Error::NoVector { index, reason }
            })?;
            // Below 2^24, so exact in single precision.
            let squares: i32 = codes.iter().map(|code| i32::from(*code).pow(2)).sum();
            let length = (squares as f32).sqrt();
            out.extend(codes.iter().map(|code| f32::from(*code) / length));
        }
        Ok(())
    }

    fn coverage(&self, text: &str) -> f32 {
        coverage::latin(text)
    }

    fn token_count(&self, text: &str) -> usize {
        let mut count = 0;
        let _: ControlFlow<()> = wordpiece::tokens(&self.table, text, |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        count
    }

    fn check(&self, text: &str) -> Result<(), NoVector> {
        coverage::check(text, self.coverage(text))?;
        let known = |token: Token| token.and_then(|piece| self.table.row(piece)).is_some();
        let mut read = 0;
        let found = wordpiece::tokens(&self.table, text, |token| {
            read += 1;
            match known(token) {
                true => ControlFlow::Break(true),
                false if read == MAX_TOKENS => ControlFlow::Break(false),
                false => ControlFlow::Continue(()),
            }
        });
        match found {
            ControlFlow::Break(true) => Ok(()),
            _ => Err(NoVector::NoTokens),
        }
    }

    fn fusion_weight(&self) -> f32 {
        WEIGHT
    }

    /// A word that is cut into pieces is a name or none at all: its pieces stand for letters, not for a meaning. At least half
    /// of the words have to be in the vocabulary as they are.
    fn relevance_floor(&self, question: &str) -> Option<f32> {
        let (mut words, mut cut) = (0, 0);
        let mut whole = true;
        let _: ControlFlow<()> = wordpiece::tokens(&self.table, question, |token| {
            let piece = token.map_or(&b"?"[..], |piece| self.table.piece(piece));
            if piece.starts_with(wordpiece::INSIDE) && piece.len() > wordpiece::INSIDE.len() {
                cut += usize::from(std::mem::take(&mut whole));
            } else {
                whole = piece.iter().any(|byte| byte.is_ascii_alphanumeric());
                words += usize::from(whole);
            }
            ControlFlow::Continue(())
        });
        (words > 0 && 2 * cut <= words).then_some(FLOOR)
    }

    fn comparison(&self, question: &str) -> Option<Box<dyn Comparison + '_>> {
        Some(Box::new(MaxSim::new(self, question)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> StaticEmbedder {
        StaticEmbedder::new().unwrap()
    }

    fn vector(text: &str) -> Vec<f32> {
        let mut out = Vec::new();
        model().embed(&[text], Role::Passage, &mut out).unwrap();
        out
    }

    #[test]
    fn a_vector_is_whole_numbers_to_127_times_one_factor_and_has_length_1() {
        let vector = vector("The keeper wrote the names of the ships into his logbook.");
        assert_eq!(vector.len(), 256);
        let largest = vector.iter().fold(0f32, |most, x| most.max(x.abs()));
        for x in &vector {
            let code = x / largest * 127.0;
            assert!((code - code.round()).abs() < 1e-4, "{code}");
        }
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-6, "{length}");
    }

    /// The first codes of a vector, as this table has them: on another kind of machine they are the same.
    #[test]
    fn vectors_are_the_same_on_every_machine() {
        let codes = model().codes("A small boat in the harbour").unwrap();
        assert_eq!(codes[..8], [-103, -12, 15, 127, 49, -27, 4, 12]);
    }

    #[test]
    fn a_batch_gives_what_each_text_gives_alone() {
        let texts = ["one small boat", "two", "three lighthouses by the sea"];
        let mut batch = vec![9.0];
        model().embed(&texts, Role::Query, &mut batch).unwrap();
        let alone: Vec<f32> = texts.iter().flat_map(|text| vector(text)).collect();
        assert_eq!(batch[1..], alone);
    }

    #[test]
    fn texts_without_a_vector_say_why_and_leave_the_batch_alone() {
        let word = "a".repeat(10_000_000);
        let cases = [
            ("", NoVector::Empty),
            (" \n\0", NoVector::Empty),
            ("?!", NoVector::Empty),
            ("\u{301}\u{308}", NoVector::Empty),
            ("東京へ行った", NoVector::NotCovered { coverage: 0.0 }),
            (&word, NoVector::NoTokens),
        ];
        for (text, expected) in cases {
            assert_eq!(model().check(text), Err(expected));
            let mut out = vec![1.0];
            let error = model()
                .embed(&["fine", text], Role::Passage, &mut out)
                .unwrap_err();
            assert!(
                matches!(error, Error::NoVector { index: 1, reason } if reason == expected),
                "{error}"
            );
            assert_eq!(out, [1.0]);
        }
        assert_eq!(model().check("\0naïve"), Ok(()));
        assert_eq!(vector("nul\0 byte"), vector("nul byte"));
    }

    #[test]
    fn a_question_of_unknown_words_has_no_answer_by_meaning() {
        for known in [
            "car",
            "who is my doctor?",
            "Kowalski's invoice",
            "what does atherosclerosis do",
        ] {
            assert_eq!(model().relevance_floor(known), Some(FLOOR), "{known}");
        }
        for unknown in ["", "?!", "zxqv", "blorf gnarp", "Kowalczyk", "日本"] {
            assert_eq!(model().relevance_floor(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_lies_behind_the_limit_does_not_count() {
        let start = "boat ".repeat(256);
        assert_eq!(vector(&start), vector(&format!("{start} lighthouse")));
        assert_ne!(vector("boat"), vector("boat lighthouse"));
        assert_eq!(model().token_count(&start), 256);
    }
}
