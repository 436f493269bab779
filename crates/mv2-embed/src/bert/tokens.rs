//! Texts to the numbers of tokens, by the tokenizer that came with the model.

use std::ops::ControlFlow;

use tokenizers::{Decoder, DecoderWrapper, PostProcessor, Tokenizer, TruncationDirection};

use super::fault::Fault;
use crate::coverage;

/// Bytes of text that are looked at for each token that a model reads. Words of any language have far fewer; what is longer is
/// one endless word, or blanks.
const BYTES_A_TOKEN: usize = 128;

/// Bytes that are counted at once: the tokenizer keeps some hundred bytes for each token until it is done.
const STRETCH: usize = 1 << 16;

/// Share of the vocabulary that must be words (not single characters) of other scripts than Latin in a model that knows others.
/// English models have below 1 %.
const OTHER_SCRIPTS: f32 = 0.05;

/// The tokenizer of a model.
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    /// The token that stands for what the vocabulary does not have.
    unknown: Option<u32>,
    /// The marks around a text.
    marks: usize,
    /// Tokens of a text that are read, with the marks around it.
    max_tokens: usize,
    /// Whether words of Latin script alone are known.
    pub(super) latin_only: bool,
}

impl Tokens {
    /// Reads `tokenizer.json` for a model of `vocabulary` tokens that reads at most `max_tokens` of them.
    pub(super) fn parse(json: &[u8], vocabulary: usize, max_tokens: usize) -> Result<Self, Fault> {
        let mut tokenizer = Tokenizer::from_bytes(json)
            .map_err(|error| Fault::new("content", "a tokenizer", error))?;
        // Both are done here: what stands in the file is what it was trained with.
        tokenizer.with_padding(None);
        let _ = tokenizer.with_truncation(None);
        let vocab = tokenizer.get_vocab(true);
        if let Some((token, id)) = vocab.iter().find(|(_, id)| **id as usize >= vocabulary) {
            let expected = format!("numbers of tokens below vocab_size, {vocabulary}");
            return Err(Fault::new(
                "vocabulary",
                expected,
                format!("{id} for {token:?}"),
            ));
        }
        let marks = tokenizer
            .get_post_processor()
            .map_or(0, |post| post.added_tokens(false));
        if marks >= max_tokens {
            let expected = format!("fewer than {max_tokens} tokens around a text");
            return Err(Fault::new("post_processor", expected, marks));
        }
        let unknown = ["[UNK]", "<unk>"]
            .iter()
            .find_map(|token| vocab.get(*token));
        // Vocabularies of bytes write each byte as a letter, most of them Latin.
        let bytes = match tokenizer.get_decoder() {
            Some(DecoderWrapper::ByteLevel(bytes)) => Some(*bytes),
            _ => None,
        };
        let words = |token: &&String| {
            let decoded = bytes.and_then(|bytes| bytes.decode(vec![String::from(*token)]).ok());
            let token = decoded.as_ref().unwrap_or(token);
            let mut letters = token.chars().filter(|c| c.is_alphabetic());
            letters.clone().count() > 1 && letters.all(|c| u32::from(c) >= coverage::LATIN_END)
        };
        let others = vocab.keys().filter(words).count();
        Ok(Self {
            unknown: unknown.copied(),
            marks,
            max_tokens,
            latin_only: (others as f32) < OTHER_SCRIPTS * vocab.len() as f32,
            tokenizer,
        })
    }

    /// The tokens of a text, with the marks around them, at most as many as the model reads.
    pub(super) fn encode(&self, prefix: &str, text: &str) -> Result<Vec<u32>, tokenizers::Error> {
        let most = self.max_tokens.saturating_mul(BYTES_A_TOKEN);
        let text = &text[..text.floor_char_boundary(most)];
        let text = format!("{prefix}{text}");
        let mut encoding = self.tokenizer.encode_fast(text, false)?;
        encoding.truncate(self.max_tokens - self.marks, 0, TruncationDirection::Right);
        // What was cut off would be given marks as well.
        encoding.take_overflowing();
        let encoding = self.tokenizer.post_process(encoding, None, true)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The number of tokens of a text without marks. A long text is counted in stretches that end at blanks.
    pub(super) fn count(&self, text: &str) -> usize {
        let mut count = 0;
        let _ = self.stretches(text, |ids| {
            count += ids.len();
            ControlFlow::Continue(())
        });
        count
    }

    /// Whether the vocabulary has any token of a text.
    pub(super) fn knows(&self, text: &str) -> bool {
        let known = self.stretches(text, |ids| {
            match ids.iter().any(|id| Some(*id) != self.unknown) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        known.is_break()
    }

    /// The share of a text's letters and digits that the vocabulary covers.
    pub(super) fn coverage(&self, text: &str) -> f32 {
        match self.latin_only {
            true => coverage::latin(text),
            false => f32::from(u8::from(text.chars().any(char::is_alphanumeric))),
        }
    }

    fn stretches(
        &self,
        mut text: &str,
        mut look: impl FnMut(&[u32]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        while !text.is_empty() {
            let end = text.floor_char_boundary(STRETCH);
            let blank = text[..end].rfind(char::is_whitespace).filter(|at| *at > 0);
            let end = match end == text.len() {
                true => end,
                false => blank.unwrap_or(end),
            };
            // A text that no tokenizer can read has no tokens; embedding it says why.
            if let Ok(encoding) = self.tokenizer.encode_fast(&text[..end], false) {
                look(encoding.get_ids())?;
            }
            text = &text[end..];
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_vocabulary_of_bytes_is_read_as_letters() {
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let tokenizer = |word: &str| {
            let json = json!({
                "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
                "pre_tokenizer": bytes, "post_processor": null, "decoder": bytes,
                "model": {"type": "BPE", "vocab": {word: 0, "the": 1}, "merges": []},
            });
            Tokens::parse(json.to_string().as_bytes(), 2, 8).unwrap()
        };
        // The bytes of 東京, and those of "naïve".
        let japanese = tokenizer("\u{e6}\u{13f}\u{b1}\u{e4}\u{ba}\u{ac}");
        assert!(!japanese.latin_only);
        assert_eq!(japanese.coverage("東京"), 1.0);
        assert!(tokenizer("na\u{c3}\u{af}ve").latin_only);
    }
}
