//! The models that are known by name.

use crate::spec::Pooling;

/// A model that is known by name: where it is published, and what must be known to use it that its weights do not say.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct KnownModel {
    /// The name, without the publisher's.
    pub name: &'static str,
    /// Publisher and name at the hub.
    pub repo: &'static str,
    /// Numbers in a vector.
    pub dims: u32,
    /// How vectors of tokens become one.
    pub pooling: Pooling,
    /// Tokens of a text that are read.
    pub max_tokens: u32,
    /// What is put before a query.
    pub query_prefix: &'static str,
    /// What is put before a passage.
    pub passage_prefix: &'static str,
    /// Bytes to download, about.
    pub bytes: u64,
    /// What it is good for, in a few words.
    pub about: &'static str,
}

/// The files of a model.
pub(crate) const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// What the authors of the BGE models put before a question, in English.
const BGE_QUERY: &str = "Represent this sentence for searching relevant passages: ";

/// All models that are known by name.
///
/// Pooling, lengths and prefixes are those of the models' own cards. nomic-embed-text-v1.5 can read 8,192 tokens, of which it
/// was trained on 2,048; the models of ModernBERT's kind can, too, and are given 2,048 here, since what a text takes in memory grows
/// with the square of its length.
pub const KNOWN_MODELS: &[KnownModel] = &[
    KnownModel {
        name: "all-MiniLM-L6-v2",
        repo: "sentence-transformers/all-MiniLM-L6-v2",
        dims: 384,
        pooling: Pooling::Mean,
        max_tokens: 256,
        query_prefix: "",
        passage_prefix: "",
        bytes: 91_300_000,
        about: "English, small and quick",
    },
    KnownModel {
        name: "bge-small-en-v1.5",
        repo: "BAAI/bge-small-en-v1.5",
        dims: 384,
        pooling: Pooling::Cls,
        max_tokens: 512,
        query_prefix: BGE_QUERY,
        passage_prefix: "",
        bytes: 134_200_000,
        about: "English",
    },
    KnownModel {
        name: "bge-base-en-v1.5",
        repo: "BAAI/bge-base-en-v1.5",
        dims: 768,
        pooling: Pooling::Cls,
        max_tokens: 512,
        query_prefix: BGE_QUERY,
        passage_prefix: "",
        bytes: 438_700_000,
        about: "English, larger",
    },
    KnownModel {
        name: "gte-large",
        repo: "thenlper/gte-large",
        dims: 1024,
        pooling: Pooling::Mean,
        max_tokens: 512,
        query_prefix: "",
        passage_prefix: "",
        bytes: 670_800_000,
        about: "English, slow",
    },
    KnownModel {
        name: "nomic-embed-text-v1.5",
        repo: "nomic-ai/nomic-embed-text-v1.5",
        dims: 768,
        pooling: Pooling::Mean,
        max_tokens: 2048,
        query_prefix: "search_query: ",
        passage_prefix: "search_document: ",
        bytes: 548_000_000,
        about: "English, long texts",
    },
    KnownModel {
        name: "gte-modernbert-base",
        repo: "Alibaba-NLP/gte-modernbert-base",
        dims: 768,
        pooling: Pooling::Cls,
        max_tokens: 2048,
        query_prefix: "",
        passage_prefix: "",
        bytes: 301_700_000,
        about: "English and code, long texts, slow",
    },
    KnownModel {
        name: "modernbert-embed-base",
        repo: "nomic-ai/modernbert-embed-base",
        dims: 768,
        pooling: Pooling::Mean,
        max_tokens: 2048,
        query_prefix: "search_query: ",
        passage_prefix: "search_document: ",
        bytes: 599_700_000,
        about: "English, long texts, slow",
    },
    KnownModel {
        name: "granite-embedding-english-r2",
        repo: "ibm-granite/granite-embedding-english-r2",
        dims: 768,
        pooling: Pooling::Cls,
        max_tokens: 2048,
        query_prefix: "",
        passage_prefix: "",
        bytes: 301_700_000,
        about: "English and code, long texts, slow",
    },
    KnownModel {
        name: "multi-qa-distilbert-cos-v1",
        repo: "sentence-transformers/multi-qa-distilbert-cos-v1",
        dims: 768,
        pooling: Pooling::Mean,
        max_tokens: 512,
        query_prefix: "",
        passage_prefix: "",
        bytes: 266_200_000,
        about: "English, questions and answers",
    },
    KnownModel {
        name: "multilingual-e5-small",
        repo: "intfloat/multilingual-e5-small",
        dims: 384,
        pooling: Pooling::Mean,
        max_tokens: 512,
        query_prefix: "query: ",
        passage_prefix: "passage: ",
        bytes: 488_200_000,
        about: "a hundred languages, Japanese among them",
    },
];

impl KnownModel {
    /// The model of a name, with or without its publisher's; capital letters do not matter.
    ///
    /// ```
    /// use mv2_embed::KnownModel;
    /// assert_eq!(KnownModel::find("BAAI/bge-small-en-v1.5").unwrap().dims, 384);
    /// assert_eq!(KnownModel::find("minilm"), None);
    /// ```
    pub fn find(name: &str) -> Option<&'static Self> {
        KNOWN_MODELS.iter().find(|model| {
            name.eq_ignore_ascii_case(model.name) || name.eq_ignore_ascii_case(model.repo)
        })
    }

    /// The name that is most like one that is not known, if any is.
    ///
    /// ```
    /// use mv2_embed::KnownModel;
    /// assert_eq!(KnownModel::nearest("bge-small").unwrap().name, "bge-small-en-v1.5");
    /// assert_eq!(KnownModel::nearest("MiniLM-L6-v2").unwrap().name, "all-MiniLM-L6-v2");
    /// assert_eq!(KnownModel::nearest("whisper"), None);
    /// ```
    pub fn nearest(name: &str) -> Option<&'static Self> {
        let name = name.rsplit('/').next().unwrap_or(name).to_lowercase();
        let likeness = |model: &&Self| {
            let known = model.name.to_lowercase();
            let contained = name.len() >= 3 && known.contains(&name);
            match contained {
                true => 0.9,
                false => pairs_shared(&name, &known),
            }
        };
        let best = KNOWN_MODELS
            .iter()
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(&best) >= 0.5).then_some(best)
    }
}

/// The share of pairs of neighbouring characters that two words have in common (Dice's coefficient), 0 to 1.
fn pairs_shared(a: &str, b: &str) -> f64 {
    let pairs =
        |text: &str| -> Vec<(char, char)> { text.chars().zip(text.chars().skip(1)).collect() };
    let (a, mut b) = (pairs(a), pairs(b));
    let all = a.len() + b.len();
    let mut shared = 0;
    for pair in &a {
        if let Some(at) = b.iter().position(|other| other == pair) {
            b.swap_remove(at);
            shared += 1;
        }
    }
    match all {
        0 => 0.0,
        _ => 2.0 * f64::from(shared) / all as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_written() {
        for model in KNOWN_MODELS {
            assert_eq!(KnownModel::find(model.name), Some(model));
            assert_eq!(KnownModel::find(&model.repo.to_uppercase()), Some(model));
            assert!(model.repo.ends_with(model.name));
        }
        assert_eq!(
            KnownModel::nearest("multilingual-e5-smal").unwrap().name,
            "multilingual-e5-small"
        );
        assert_eq!(
            KnownModel::nearest("all-minilm-l12-v2").unwrap().name,
            "all-MiniLM-L6-v2"
        );
        assert_eq!(KnownModel::nearest(""), None);
    }
}
