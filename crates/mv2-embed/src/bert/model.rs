//! The weights of a model, in the order in which the pass of our own uses them.

use super::config::{Config, Family, Names};
use super::fault::Fault;
use super::safetensors::Tensors;

/// What may stand before the names of the tensors: the model was saved alone, or as part of another.
const PREFIXES: &[&str] = &[
    "",
    "bert.",
    "roberta.",
    "distilbert.",
    "model.",
    "nomic_bert.",
];

/// The tensor by which the prefix is found.
const WORDS: &str = "embeddings.word_embeddings.weight";

/// The weights of a model.
pub(super) struct Model {
    pub(super) config: Config,
    /// A row for each token.
    pub(super) words: Vec<f32>,
    /// A row for each place, with that of the first token type added, which all tokens have here. One row where places are
    /// told by angles.
    pub(super) places: Vec<f32>,
    pub(super) norm: NormWeights,
    pub(super) layers: Vec<Layer>,
    /// BLAKE3 of the file.
    pub(super) hash: [u8; 32],
}

/// The weights of a layer.
pub(super) struct Layer {
    /// Queries, keys and values side by side.
    pub(super) qkv: Linear,
    pub(super) out: Linear,
    pub(super) attention_norm: NormWeights,
    /// Into the middle. With a gate, its half stands behind the other.
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) norm: NormWeights,
}

/// `x -> x * weight + bias`.
pub(super) struct Linear {
    /// A row for each number that goes in: what `gemm` reads in order.
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) inputs: usize,
}

/// The weights of a normalisation.
pub(super) struct NormWeights {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Model {
    /// Takes the weights out of a file's tensors.
    pub(super) fn new(config: Config, mut tensors: Tensors) -> Result<Self, Fault> {
        let prefix = tensors.prefix(PREFIXES, WORDS);
        let mut from = Source {
            tensors: &mut tensors,
            prefix,
        };
        let width = config.width;
        let words = from.take(WORDS, &[config.vocabulary, width])?;
        let types = match config.token_types {
            0 => Vec::new(),
            types => from.take("embeddings.token_type_embeddings.weight", &[types, width])?,
        };
        let (mut places, norm) = match config.family {
            Family::Bert { places, .. } => (
                from.take("embeddings.position_embeddings.weight", &[places, width])?,
                from.norm("embeddings.LayerNorm", width)?,
            ),
            Family::Nomic { .. } => (vec![0.0; width], from.norm("emb_ln", width)?),
        };
        for row in places.chunks_exact_mut(width) {
            for (x, of_type) in row.iter_mut().zip(&types) {
                *x += of_type;
            }
        }
        let layers = (0..config.layers).map(|layer| match config.family {
            Family::Bert { names, .. } => from.bert_layer(&config, names, layer),
            Family::Nomic { .. } => from.nomic_layer(&config, layer),
        });
        let layers = layers.collect::<Result<_, _>>()?;
        let hash = tensors.hash;
        Ok(Self {
            config,
            words,
            places,
            norm,
            layers,
            hash,
        })
    }

    /// Whether a file's tensor is one of those that [`new`](Self::new) takes: not a head for another task.
    pub(super) fn wants(tensor: &str) -> bool {
        let name = PREFIXES
            .iter()
            .rev()
            .find_map(|prefix| tensor.strip_prefix(prefix));
        let name = name.unwrap_or(tensor);
        ["embeddings.", "encoder.", "transformer.", "emb_ln."]
            .iter()
            .any(|part| name.starts_with(part))
            && !name.ends_with("position_ids")
    }
}

struct Source<'a> {
    tensors: &'a mut Tensors,
    prefix: &'a str,
}

impl Source<'_> {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Fault> {
        self.tensors.take(&format!("{}{name}", self.prefix), shape)
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<NormWeights, Fault> {
        Ok(NormWeights {
            weight: self.take(&format!("{name}.weight"), &[width])?,
            bias: self.take(&format!("{name}.bias"), &[width])?,
        })
    }

    /// Several maps of the same input as one. Those without biases get zeros.
    fn linear(
        &mut self,
        names: &[String],
        inputs: usize,
        outputs: usize,
        biased: bool,
    ) -> Result<Linear, Fault> {
        let all = outputs * names.len();
        let mut weight = vec![0.0; inputs * all];
        let mut bias = Vec::with_capacity(all);
        for (at, name) in names.iter().enumerate() {
            let rows = self.take(&format!("{name}.weight"), &[outputs, inputs])?;
            transpose(&rows, inputs, &mut weight[at * outputs..], all);
            match biased {
                true => bias.extend(self.take(&format!("{name}.bias"), &[outputs])?),
                false => bias.resize(bias.len() + outputs, 0.0),
            }
        }
        Ok(Linear {
            weight,
            bias,
            inputs,
        })
    }

    fn bert_layer(&mut self, config: &Config, names: Names, layer: usize) -> Result<Layer, Fault> {
        let (width, middle) = (config.width, config.middle);
        // Queries, keys, values, out, its norm, up, down, the last norm.
        let (stem, parts) = match names {
            Names::Bert => (
                "encoder",
                [
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                    "attention.output.dense",
                    "attention.output.LayerNorm",
                    "intermediate.dense",
                    "output.dense",
                    "output.LayerNorm",
                ],
            ),
            Names::DistilBert => (
                "transformer",
                [
                    "attention.q_lin",
                    "attention.k_lin",
                    "attention.v_lin",
                    "attention.out_lin",
                    "sa_layer_norm",
                    "ffn.lin1",
                    "ffn.lin2",
                    "output_layer_norm",
                ],
            ),
        };
        let [query, key, value, out, attention_norm, up, down, norm] =
            parts.map(|part| format!("{stem}.layer.{layer}.{part}"));
        Ok(Layer {
            qkv: self.linear(&[query, key, value], width, width, true)?,
            out: self.linear(&[out], width, width, true)?,
            attention_norm: self.norm(&attention_norm, width)?,
            up: self.linear(&[up], width, middle, true)?,
            down: self.linear(&[down], middle, width, true)?,
            norm: self.norm(&norm, width)?,
        })
    }

    fn nomic_layer(&mut self, config: &Config, layer: usize) -> Result<Layer, Fault> {
        let (width, middle) = (config.width, config.middle);
        let name = |part: &str| format!("encoder.layers.{layer}.{part}");
        Ok(Layer {
            qkv: self.linear(&[name("attn.Wqkv")], width, 3 * width, false)?,
            out: self.linear(&[name("attn.out_proj")], width, width, false)?,
            attention_norm: self.norm(&name("norm1"), width)?,
            up: self.linear(&[name("mlp.fc11"), name("mlp.fc12")], width, middle, false)?,
            down: self.linear(&[name("mlp.fc2")], middle, width, false)?,
            norm: self.norm(&name("norm2"), width)?,
        })
    }
}

impl Linear {
    /// Numbers that come out.
    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }
}

/// Writes rows of `width` numbers as columns into `out`, whose rows begin `stride` apart, in squares that stay in the cache.
fn transpose(rows: &[f32], width: usize, out: &mut [f32], stride: usize) {
    const SIDE: usize = 32;
    let height = rows.len() / width;
    for top in (0..height).step_by(SIDE) {
        for left in (0..width).step_by(SIDE) {
            for column in left..width.min(left + SIDE) {
                for row in top..height.min(top + SIDE) {
                    out[column * stride + row] = rows[row * width + column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let rows: Vec<f32> = (0..70 * 40).map(|at| at as f32).collect();
        let mut out = vec![-1.0; 40 * 75];
        transpose(&rows, 40, &mut out, 75);
        for (row, column) in [(0, 0), (69, 39), (33, 31), (5, 38)] {
            assert_eq!(out[column * 75 + row], rows[row * 40 + column]);
        }
        assert_eq!(out.iter().filter(|x| **x == -1.0).count(), 40 * 5);
    }

    #[test]
    fn heads_for_other_tasks_are_not_read() {
        for name in [
            "embeddings.LayerNorm.weight",
            "bert.encoder.layer.0.output.dense.bias",
            "roberta.embeddings.word_embeddings.weight",
            "distilbert.transformer.layer.0.ffn.lin1.weight",
            "emb_ln.bias",
        ] {
            assert!(Model::wants(name), "{name}");
        }
        for name in [
            "pooler.dense.weight",
            "cls.predictions.bias",
            "vocab_projector.bias",
            "embeddings.position_ids",
        ] {
            assert!(!Model::wants(name), "{name}");
        }
    }
}
