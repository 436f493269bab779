//! What decides the meaning of a model's vectors, and the hash that says so.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// All that decides what a vector means. Vectors of two specs are never compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EmbedSpec {
    /// The model's name, such as `mv2-static`.
    pub name: String,
    /// Its revision: of a model from a hub the commit, of others a version.
    pub revision: String,
    /// Numbers in a vector.
    pub dims: u32,
    /// Tokens of a text that are read; what follows is cut.
    pub max_tokens: u32,
    /// BLAKE3 of the weights; zero where they cannot be seen (a remote service).
    #[serde(with = "hex")]
    pub weights: [u8; 32],
    /// How vectors of tokens become one.
    pub pooling: Pooling,
    /// What is put before a query.
    pub query_prefix: String,
    /// What is put before a passage.
    pub passage_prefix: String,
    /// Whether vectors have length 1, so that their product is the cosine.
    pub normalized: bool,
    /// What the numbers are worth.
    pub precision: Precision,
}

/// How a text's vector is made of those of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Pooling {
    /// The vector of the first token.
    Cls,
    /// The mean over all tokens.
    Mean,
    /// The sum over all tokens.
    Sum,
    /// The last token.
    Last,
    /// Not known (a remote service).
    Unknown,
}

/// What the numbers of a vector are worth, which decides how it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// Each vector is whole numbers from -127 to 127, the largest of them 127, times one factor.
    /// Quantising it to 8 bits by its largest number loses nothing, and an exact part would add nothing.
    Int8,
    /// Single precision.
    Float,
}

impl EmbedSpec {
    /// A hash over all fields, the same on every machine and in every version of mv2. It stands in
    /// the file with the vectors.
    pub fn identity(&self) -> [u8; 16] {
        // Written field by field: the hash must not depend on how a JSON library prints.
        let mut hasher = blake3::Hasher::new_derive_key("mv2 embedding model identity, version 1");
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(&self.name);
        text(&self.revision);
        text(&self.query_prefix);
        text(&self.passage_prefix);
        text(self.pooling.name());
        text(self.precision.name());
        hasher.update(&self.dims.to_le_bytes());
        hasher.update(&self.max_tokens.to_le_bytes());
        hasher.update(&[u8::from(self.normalized)]);
        hasher.update(&self.weights);
        let mut identity = [0; 16];
        identity.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        identity
    }

    /// The fields as JSON, for the file and for people.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`Error::Description`] if the text is not JSON, a field is missing or has another type.
    pub fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| Error::Description {
            reason: error.to_string(),
        })
    }

    /// What is put before a text in this role.
    pub fn prefix(&self, role: crate::Role) -> &str {
        match role {
            crate::Role::Query => &self.query_prefix,
            crate::Role::Passage => &self.passage_prefix,
        }
    }
}

impl Pooling {
    /// The name, as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cls => "cls",
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Last => "last",
            Self::Unknown => "unknown",
        }
    }
}

impl Precision {
    /// The name, as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Float => "float",
        }
    }
}

/// 32 bytes as 64 hexadecimal digits.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(blake3::Hash::from_bytes(*bytes).to_hex().as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(from)?;
        let hash = blake3::Hash::from_hex(&text).map_err(D::Error::custom)?;
        Ok(*hash.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> EmbedSpec {
        EmbedSpec {
            name: "a".to_owned(),
            revision: "b".to_owned(),
            dims: 3,
            max_tokens: 4,
            weights: [7; 32],
            pooling: Pooling::Mean,
            query_prefix: "c".to_owned(),
            passage_prefix: "d".to_owned(),
            normalized: true,
            precision: Precision::Float,
        }
    }

    #[test]
    fn identity_depends_on_every_field_and_stays_what_it_was() {
        let changes: [fn(&mut EmbedSpec); 11] = [
            |s| s.name = "ab".to_owned(),
            |s| s.revision = "x".to_owned(),
            |s| s.dims = 4,
            |s| s.max_tokens = 5,
            |s| s.weights[31] = 8,
            |s| s.pooling = Pooling::Cls,
            |s| s.query_prefix = String::new(),
            |s| s.passage_prefix = String::new(),
            |s| s.normalized = false,
            |s| s.precision = Precision::Int8,
            |s| std::mem::swap(&mut s.query_prefix, &mut s.passage_prefix),
        ];
        let mut seen = vec![spec().identity()];
        for change in changes {
            let mut changed = spec();
            change(&mut changed);
            assert!(!seen.contains(&changed.identity()), "{changed:?}");
            seen.push(changed.identity());
        }
        let hex: String = seen[0].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "f0fed5684fba331f77a69e5072230093");
    }

    #[test]
    fn json_gives_back_what_it_was_made_of() {
        assert_eq!(EmbedSpec::from_json(&spec().to_json()).unwrap(), spec());
    }

    #[test]
    fn a_damaged_description_is_an_error_that_names_the_field() {
        let json = spec().to_json().replace("max_tokens", "min_tokens");
        let error = EmbedSpec::from_json(&json).unwrap_err();
        assert!(error.to_string().contains("max_tokens"), "{error}");
        let json = spec().to_json().replace("0707", "zz");
        assert!(EmbedSpec::from_json(&json).is_err());
    }
}
