//! The architecture of a model, by `config.json`, and what runs it: the pass of our own, or candle-transformers.

use std::path::Path;

use serde_json::Value;

use super::config::Config;
use super::fault::Fault;
use super::forward::{self, Pack};
use super::model::Model;
use super::modern::{self, ModernBert};
use super::safetensors::Tensors;
use crate::error::BoxError;

/// What `model_type` may be.
const KNOWN: &str = "bert, roberta, xlm-roberta, distilbert, nomic_bert or modernbert";

/// A longer text runs alone where candle runs it, for what that takes: see `modern`.
const ALONE_TOKENS: usize = 512;

/// How a model is built.
#[derive(Debug)]
pub(super) enum Architecture {
    Packed(Config),
    Modern(modern::Config),
}

/// A model that is ready.
pub(super) enum Engine {
    /// Texts run packed, by `forward`.
    Packed(Model),
    /// Texts run one by one, by candle.
    Modern(ModernBert),
}

impl Architecture {
    /// Reads `config.json`.
    pub(super) fn parse(json: &[u8]) -> Result<Self, Fault> {
        let json: Value =
            serde_json::from_slice(json).map_err(|error| Fault::new("content", "JSON", error))?;
        let kind = json.get("model_type").and_then(Value::as_str);
        match kind.unwrap_or("none") {
            "modernbert" => modern::Config::parse(&json).map(Self::Modern),
            kind => match Config::parse(kind, &json)? {
                Some(config) => Ok(Self::Packed(config)),
                None => Err(Fault::new("model_type", KNOWN, kind)),
            },
        }
    }

    /// Reads the weights, for texts of up to `max_tokens` tokens.
    pub(super) fn load(self, weights: &Path, max_tokens: usize) -> Result<Engine, Fault> {
        match self {
            Self::Packed(config) => {
                let tensors = Tensors::read(weights, Model::wants)?;
                Model::new(config, tensors).map(Engine::Packed)
            }
            Self::Modern(config) => {
                let tensors = Tensors::read(weights, ModernBert::wants)?;
                ModernBert::new(&config, max_tokens, tensors).map(Engine::Modern)
            }
        }
    }

    /// Tokens that have a vector.
    pub(super) fn vocabulary(&self) -> usize {
        match self {
            Self::Packed(config) => config.vocabulary,
            Self::Modern(config) => config.vocabulary,
        }
    }

    /// Numbers in a token's vector.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Packed(config) => config.width,
            Self::Modern(config) => config.width,
        }
    }

    /// Tokens of a text that can be read.
    pub(super) fn max_tokens(&self) -> usize {
        match self {
            Self::Packed(config) => config.max_tokens,
            Self::Modern(config) => config.max_tokens,
        }
    }
}

impl Engine {
    /// BLAKE3 of the weights' file.
    pub(super) fn hash(&self) -> [u8; 32] {
        match self {
            Self::Packed(model) => model.hash,
            Self::Modern(model) => model.hash,
        }
    }

    /// Whether texts of so many tokens run one after the other, each with all threads.
    pub(super) fn is_alone(&self, tokens: usize) -> bool {
        matches!(self, Self::Modern(_)) && tokens > ALONE_TOKENS
    }

    /// The vectors of all tokens of several texts, a row each. Each text has at least one token, each token is within the
    /// vocabulary, and no text is longer than what [`Architecture::load`] was told.
    pub(super) fn run(&self, texts: &[&[u32]]) -> Result<Vec<f32>, BoxError> {
        match self {
            Self::Packed(model) => Ok(forward::run(model, &Pack { texts })),
            Self::Modern(model) => {
                let rows = texts.iter().map(|text| model.run(text));
                Ok(rows.collect::<candle_core::Result<Vec<_>>>()?.concat())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_that_nothing_runs_is_refused_with_those_that_are_run() {
        for json in [&br#"{"model_type":"t5"}"#[..], b"{}", b"[]"] {
            let message = Architecture::parse(json).unwrap_err().to_string();
            for known in ["model_type", "distilbert", "modernbert", "nomic_bert"] {
                assert!(message.contains(known), "{message}");
            }
        }
        assert!(Architecture::parse(b"[").is_err());
    }
}
