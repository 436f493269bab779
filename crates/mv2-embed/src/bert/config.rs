//! The shape of a model that the pass of our own runs: what `config.json` says, in the words of each family, brought to one form.

use serde::Deserialize;
use serde_json::Value;

use super::fault::Fault;
use super::kernels::Activation;

/// The largest number of anything that a model is allowed to have: some thousand times what those of today have. What it
/// guards is arithmetic; memory is bounded by the file of the weights.
const LIMIT: usize = 1 << 28;

/// How a model of the BERT family is built.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) family: Family,
    pub(super) vocabulary: usize,
    /// Numbers in a token's vector.
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Numbers in the middle of a layer.
    pub(super) middle: usize,
    /// Kinds of tokens that have vectors of their own; none in DistilBERT.
    pub(super) token_types: usize,
    pub(super) epsilon: f32,
    /// Tokens that the model can tell the places of.
    pub(super) max_tokens: usize,
}

/// What differs between the families.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Family {
    /// BERT, RoBERTa and DistilBERT: a vector for each place, added to the token's; queries, keys and values with biases.
    Bert {
        names: Names,
        activation: Activation,
        /// Rows of the table of places, and the row of the first token: RoBERTa leaves out those up to its padding token.
        places: usize,
        first_place: usize,
    },
    /// Nomic: queries and keys are turned by an angle that grows with the place; no biases; a gate in the middle.
    Nomic {
        /// The base of the angles.
        theta: f32,
    },
}

/// What a family of BERT's shape calls its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Bert,
    DistilBert,
}

#[derive(Deserialize)]
struct Bert {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "tiny")]
    layer_norm_eps: f32,
    #[serde(default)]
    pad_token_id: Option<usize>,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

#[derive(Deserialize)]
struct DistilBert {
    vocab_size: usize,
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    max_position_embeddings: usize,
    #[serde(default = "gelu")]
    activation: String,
}

/// The names of the model's own code, and those of `transformers` from version 5.
#[derive(Deserialize)]
struct Nomic {
    vocab_size: usize,
    #[serde(alias = "n_embd")]
    hidden_size: usize,
    #[serde(alias = "n_layer")]
    num_hidden_layers: usize,
    #[serde(alias = "n_head")]
    num_attention_heads: usize,
    #[serde(alias = "n_inner")]
    intermediate_size: usize,
    #[serde(alias = "n_positions")]
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(alias = "layer_norm_epsilon", default = "tiny")]
    layer_norm_eps: f32,
    #[serde(default)]
    rotary_emb_base: Option<f32>,
    #[serde(default)]
    rope_parameters: Option<Rope>,
}

#[derive(Deserialize)]
struct Rope {
    rope_theta: f32,
}

impl Config {
    /// Reads `config.json` of a family that the pass knows; `None` for another.
    pub(super) fn parse(family: &str, json: &Value) -> Result<Option<Self>, Fault> {
        let config = match family {
            "bert" | "roberta" | "xlm-roberta" => bert(read(json)?, family)?,
            "distilbert" => distilbert(read(json)?)?,
            "nomic_bert" => nomic(read(json)?, json)?,
            _ => return Ok(None),
        };
        config.check().map(Some)
    }

    /// Numbers in a head's part of a vector.
    pub(super) fn head_width(&self) -> usize {
        self.width / self.heads
    }

    fn check(self) -> Result<Self, Fault> {
        let distilled = matches!(
            self.family,
            Family::Bert {
                names: Names::DistilBert,
                ..
            }
        );
        let least_types = usize::from(!distilled);
        sizes([
            ("vocab_size", self.vocabulary, 1),
            ("hidden_size", self.width, 1),
            ("num_hidden_layers", self.layers, 0),
            ("num_attention_heads", self.heads, 1),
            ("intermediate_size", self.middle, 1),
            ("type_vocab_size", self.token_types, least_types),
            ("max_position_embeddings", self.max_tokens, 1),
        ])?;
        let (width, heads) = (self.width, self.heads);
        if !width.is_multiple_of(heads) {
            let expected = format!("a number that divides hidden_size, {width}");
            return Err(Fault::new("num_attention_heads", expected, heads));
        }
        if matches!(self.family, Family::Nomic { .. }) && !self.head_width().is_multiple_of(2) {
            let found = self.head_width();
            return Err(Fault::new(
                "hidden_size / num_attention_heads",
                "an even number",
                found,
            ));
        }
        if !(self.epsilon >= 0.0 && self.epsilon < 1.0) {
            return Err(Fault::new("layer_norm_eps", "0 to 1", self.epsilon));
        }
        Ok(self)
    }
}

/// The fields of a family.
pub(super) fn read<T: for<'a> Deserialize<'a>>(json: &Value) -> Result<T, Fault> {
    serde_json::from_value(json.clone())
        .map_err(|error| Fault::new("fields", "those of the model_type", error))
}

fn bert(json: Bert, family: &str) -> Result<Config, Fault> {
    let activation = activation("hidden_act", &json.hidden_act)?;
    if let Some(kind) = json
        .position_embedding_type
        .filter(|kind| kind != "absolute")
    {
        return Err(Fault::new("position_embedding_type", "absolute", kind));
    }
    let places = json.max_position_embeddings;
    let first_place = match family {
        "bert" => 0,
        _ => json.pad_token_id.unwrap_or(1).saturating_add(1),
    };
    Ok(Config {
        family: Family::Bert {
            names: Names::Bert,
            activation,
            places,
            first_place,
        },
        vocabulary: json.vocab_size,
        width: json.hidden_size,
        layers: json.num_hidden_layers,
        heads: json.num_attention_heads,
        middle: json.intermediate_size,
        token_types: json.type_vocab_size,
        epsilon: json.layer_norm_eps,
        max_tokens: places.saturating_sub(first_place),
    })
}

fn distilbert(json: DistilBert) -> Result<Config, Fault> {
    let places = json.max_position_embeddings;
    Ok(Config {
        family: Family::Bert {
            names: Names::DistilBert,
            activation: activation("activation", &json.activation)?,
            places,
            first_place: 0,
        },
        vocabulary: json.vocab_size,
        width: json.dim,
        layers: json.n_layers,
        heads: json.n_heads,
        middle: json.hidden_dim,
        token_types: 0,
        epsilon: tiny(),
        max_tokens: places,
    })
}

fn activation(field: &str, name: &str) -> Result<Activation, Fault> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => {
            let expected = "gelu, gelu_new, gelu_pytorch_tanh or relu";
            Err(Fault::new(field, expected, other))
        }
    }
}

fn nomic(json: Nomic, all: &Value) -> Result<Config, Fault> {
    // The code that came with the model can build others, too. Of its fields these decide what is computed; one that is
    // missing has the value that the model has.
    only(
        all,
        [
            ("activation_function", Value::from("swiglu")),
            ("hidden_act", "silu".into()),
            ("prenorm", false.into()),
            ("parallel_block", false.into()),
            ("qkv_proj_bias", false.into()),
            ("mlp_fc1_bias", false.into()),
            ("mlp_fc2_bias", false.into()),
            ("rotary_emb_interleaved", false.into()),
            ("use_rms_norm", false.into()),
        ],
    )?;
    let fraction = all.get("rotary_emb_fraction").and_then(Value::as_f64);
    if let Some(fraction) = fraction.filter(|fraction| *fraction != 1.0) {
        return Err(Fault::new("rotary_emb_fraction", 1, fraction));
    }
    let theta = json.rope_parameters.map(|rope| rope.rope_theta);
    let theta = json.rotary_emb_base.or(theta).unwrap_or(1000.0);
    if !(theta.is_finite() && theta >= 1.0) {
        return Err(Fault::new("rotary_emb_base", "1 or more", theta));
    }
    Ok(Config {
        family: Family::Nomic { theta },
        vocabulary: json.vocab_size,
        width: json.hidden_size,
        layers: json.num_hidden_layers,
        heads: json.num_attention_heads,
        middle: json.intermediate_size,
        token_types: json.type_vocab_size,
        epsilon: json.layer_norm_eps,
        max_tokens: json.max_position_embeddings,
    })
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn two() -> usize {
    2
}

fn tiny() -> f32 {
    1e-12
}

/// Refuses a number of something that is below its least or beyond the limit.
pub(super) fn sizes<const N: usize>(fields: [(&str, usize, usize); N]) -> Result<(), Fault> {
    for (what, value, least) in fields {
        if value < least || value > LIMIT {
            return Err(Fault::new(what, format!("{least} to {LIMIT}"), value));
        }
    }
    Ok(())
}

/// Refuses a field that has another value than the one that is computed with. It may be missing.
pub(super) fn only<const N: usize>(all: &Value, fields: [(&str, Value); N]) -> Result<(), Fault> {
    for (what, expected) in fields {
        let found = all.get(what).filter(|value| !value.is_null());
        if let Some(found) = found.filter(|found| **found != expected) {
            return Err(Fault::new(what, expected, found));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bert() -> Value {
        json!({
            "model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
            "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512, "hidden_act": "gelu",
        })
    }

    fn distilbert() -> Value {
        json!({
            "model_type": "distilbert", "vocab_size": 30522, "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072,
            "max_position_embeddings": 512, "activation": "gelu", "sinusoidal_pos_embds": false,
        })
    }

    fn nomic() -> Value {
        json!({
            "model_type": "nomic_bert", "vocab_size": 30528, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": 3072,
            "n_positions": 8192, "activation_function": "swiglu", "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
            "layer_norm_epsilon": 1e-12, "prenorm": false, "qkv_proj_bias": false, "rotary_emb_interleaved": false,
        })
    }

    fn parse(value: &Value) -> Result<Config, Fault> {
        let family = value["model_type"].as_str().unwrap();
        Config::parse(family, value).map(Option::unwrap)
    }

    #[test]
    fn families_are_read_in_their_own_words() {
        let config = parse(&bert()).unwrap();
        assert_eq!(
            (config.width, config.head_width(), config.max_tokens),
            (384, 32, 512)
        );
        let mut roberta = bert();
        roberta["model_type"] = "xlm-roberta".into();
        roberta["max_position_embeddings"] = 514.into();
        let config = parse(&roberta).unwrap();
        assert_eq!(config.max_tokens, 512);
        assert!(matches!(
            config.family,
            Family::Bert {
                first_place: 2,
                places: 514,
                ..
            }
        ));
        let own = parse(&nomic()).unwrap();
        let native = json!({
            "model_type": "nomic_bert", "vocab_size": 30528, "hidden_size": 768, "num_hidden_layers": 12,
            "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 8192, "hidden_act": "silu",
            "rope_parameters": {"rope_theta": 1000.0, "rope_type": "default"},
        });
        assert_eq!(parse(&native).unwrap(), own);
        let distilled = parse(&distilbert()).unwrap();
        assert_eq!(
            (distilled.width, distilled.middle, distilled.token_types),
            (768, 3072, 0)
        );
        assert_eq!(Config::parse("t5", &json!({})).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_computed_is_refused_by_name() {
        let cases = [
            (bert(), "hidden_act", json!("swish")),
            (bert(), "hidden_size", json!(385)),
            (bert(), "hidden_size", json!(0)),
            (bert(), "hidden_size", json!("x")),
            (bert(), "vocab_size", json!(1_u64 << 40)),
            (bert(), "num_attention_heads", json!(0)),
            (bert(), "position_embedding_type", json!("relative_key")),
            (bert(), "layer_norm_eps", json!(-1)),
            (distilbert(), "activation", json!("swish")),
            (distilbert(), "dim", json!(0)),
            (nomic(), "activation_function", json!("gelu")),
            (nomic(), "rotary_emb_fraction", json!(0.5)),
            (nomic(), "rotary_emb_base", json!(0)),
            (nomic(), "prenorm", json!(true)),
            (nomic(), "n_head", json!(768)),
        ];
        for (mut config, field, value) in cases {
            config[field] = value;
            let message = parse(&config).unwrap_err().to_string();
            let named = match field {
                "hidden_size" => {
                    message.contains("hidden_size") || message.contains("invalid type")
                }
                "n_head" => message.contains("even"),
                "dim" => message.contains("hidden_size"),
                _ => message.contains(field),
            };
            assert!(named, "{field}: {message}");
        }
        let mut roberta = bert();
        roberta["model_type"] = "roberta".into();
        roberta["pad_token_id"] = 600.into();
        assert!(
            parse(&roberta)
                .unwrap_err()
                .to_string()
                .contains("max_position_embeddings")
        );
    }
}
