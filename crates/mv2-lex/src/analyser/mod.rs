//! Analyser version 1: what the words of a text are, on both sides of the index.
//!
//! ```text
//! text -> scan: runs of word characters | Japanese and Chinese characters, one by one
//!         words: NFKC (non-ASCII runs) -> parts of identifiers -> lower case, Latin folding -> stem
//!         characters: NFKC -> overlapping bigrams, at the end of a run also the last one alone
//! ```
//!
//! The rules are normative: `FORMAT.md`, section "Analyser". A change of any of them is a new
//! [`ANALYSER_VERSION`].

mod fold;
mod function_words;
pub(crate) mod pieces;
mod scan;
mod stem;
pub(crate) mod stream;

pub(crate) use function_words::is_function_word;
pub(crate) use scan::{Kind, Runs, Scanner, Unit, char_is_cjk};
pub(crate) use stem::StemCache;

/// The version of the analyser, held in each segment. Segments of another version are not opened,
/// because their terms mean something else; the index is rebuilt from the frames.
pub const ANALYSER_VERSION: u16 = 1;

/// A term as the index holds it, with its place in the source: what `mv2 explain` and tests see.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Token {
    /// The term.
    pub term: String,
    /// Whether it is a bigram of the `cjk` field, else a stem of the `body` field.
    pub cjk: bool,
    /// Its position among the words; bigrams have none and carry 0.
    pub position: u32,
    /// Where it comes from, in bytes of the source.
    pub range: std::ops::Range<usize>,
}

/// The terms that the index holds for a text, in order, `cjk` terms where their characters stand.
///
/// ```
/// let terms: Vec<String> = mv2_lex::analyse("Running in 東京都")
///     .into_iter()
///     .map(|token| token.term)
///     .collect();
/// assert_eq!(terms, ["run", "in", "東京", "京都", "都"]);
/// ```
pub fn analyse(text: &str) -> Vec<Token> {
    let mut stems = StemCache::default();
    let mut tokens = Vec::new();
    let mut bigrams = stream::Bigrams::new(true);
    let mut scanner = Scanner::new(text);
    let mut push = |term: &str, range| {
        tokens.push(Token {
            term: term.to_owned(),
            cjk: true,
            position: 0,
            range,
        });
    };
    let mut words = Vec::new();
    while let Some(unit) = scanner.next_unit() {
        match unit.kind {
            Kind::Char => bigrams.push(&unit, &mut push),
            _ => words.push(Token {
                term: stems.term(&unit).to_owned(),
                cjk: false,
                position: unit.position,
                range: unit.range.clone(),
            }),
        }
    }
    bigrams.finish(&mut push);
    tokens.extend(words);
    tokens.sort_by_key(|token| token.range.start);
    tokens
}
