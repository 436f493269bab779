//! ModernBERT, by candle-transformers.
//!
//! candle computes what the reference does for a text without padding, so that is what it is given: one text at a time. The same
//! bits alone and in a batch come with that. Between two products it holds a number for each pair of tokens and each head,
//! several times over: what a text takes grows with the square of its length, which is why [`LONGEST`] is less than the models
//! can read.
//!
//! candle takes some of `config.json` for granted and loads a layer without its first norm if that is missing. So the fields are read and
//! the tensors taken and checked here, by name and shape, and handed over.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::modernbert;
use serde::Deserialize;
use serde_json::Value;

use super::config::{only, read, sizes};
use super::fault::Fault;
use super::safetensors::Tensors;

/// Tokens of a text that are read at most. With twelve heads that is about a gigabyte while a text is in the model; with 8,192, which the
/// models can read, it would be sixteen.
const LONGEST: usize = 2048;

/// What may stand before the names of the tensors: the model was saved alone, or as part of another.
const PREFIXES: [&str; 2] = ["", "model."];

/// The tensor by which the prefix is found.
const WORDS: &str = "embeddings.tok_embeddings.weight";

/// How a model is built.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) vocabulary: usize,
    /// Numbers in a token's vector.
    pub(super) width: usize,
    /// Tokens of a text that are read.
    pub(super) max_tokens: usize,
    layers: usize,
    heads: usize,
    /// Numbers in the middle of a layer.
    middle: usize,
    epsilon: f64,
    /// One layer of so many looks at all of a text, the first one among them; the others look at a window.
    full_every: usize,
    /// Tokens in a window, half of them to each side.
    window: usize,
    /// The bases of the angles by which places are told: of the layers that look at all, and of the others.
    theta: f64,
    window_theta: f64,
}

#[derive(Deserialize)]
struct Json {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "epsilon")]
    norm_eps: f64,
    #[serde(default = "three")]
    global_attn_every_n_layers: usize,
    #[serde(default)]
    layer_types: Option<Vec<String>>,
    #[serde(default = "window")]
    local_attention: usize,
    #[serde(default = "theta")]
    global_rope_theta: f64,
    #[serde(default = "window_theta")]
    local_rope_theta: f64,
    /// Where `transformers` from version 5 puts both.
    #[serde(default)]
    rope_parameters: Option<Ropes>,
}

#[derive(Deserialize)]
struct Ropes {
    full_attention: Rope,
    sliding_attention: Rope,
}

#[derive(Deserialize)]
struct Rope {
    rope_theta: f64,
    #[serde(default)]
    rope_type: Option<String>,
}

impl Config {
    /// Reads `config.json`. Fields that are missing have the values of the reference.
    pub(super) fn parse(all: &Value) -> Result<Self, Fault> {
        // What candle computes whatever stands there.
        only(
            all,
            [
                ("hidden_activation", Value::from("gelu")),
                ("attention_bias", false.into()),
                ("mlp_bias", false.into()),
                ("norm_bias", false.into()),
            ],
        )?;
        let json: Json = read(all)?;
        let (mut theta, mut window_theta) = (json.global_rope_theta, json.local_rope_theta);
        if let Some(ropes) = json.rope_parameters {
            for rope in [&ropes.full_attention, &ropes.sliding_attention] {
                let kind = rope.rope_type.as_deref().unwrap_or("default");
                if kind != "default" {
                    return Err(Fault::new("rope_type", "default", kind));
                }
            }
            theta = ropes.full_attention.rope_theta;
            window_theta = ropes.sliding_attention.rope_theta;
        }
        let config = Self {
            vocabulary: json.vocab_size,
            width: json.hidden_size,
            max_tokens: json.max_position_embeddings.min(LONGEST),
            layers: json.num_hidden_layers,
            heads: json.num_attention_heads,
            middle: json.intermediate_size,
            epsilon: json.norm_eps,
            full_every: json.global_attn_every_n_layers,
            window: json.local_attention,
            theta,
            window_theta,
        };
        config.check()?;
        if let Some(kinds) = json.layer_types {
            config.check_kinds(&kinds)?;
        }
        Ok(config)
    }

    fn check(&self) -> Result<(), Fault> {
        sizes([
            ("vocab_size", self.vocabulary, 1),
            ("hidden_size", self.width, 1),
            ("num_hidden_layers", self.layers, 0),
            ("num_attention_heads", self.heads, 1),
            ("intermediate_size", self.middle, 1),
            ("max_position_embeddings", self.max_tokens, 1),
            ("global_attn_every_n_layers", self.full_every, 1),
            ("local_attention", self.window, 0),
        ])?;
        if !self.width.is_multiple_of(2 * self.heads) {
            let expected = format!("a number whose double divides hidden_size, {}", self.width);
            return Err(Fault::new("num_attention_heads", expected, self.heads));
        }
        if !(self.epsilon >= 0.0 && self.epsilon < 1.0) {
            return Err(Fault::new("norm_eps", "0 to 1", self.epsilon));
        }
        for (what, theta) in [("global", self.theta), ("local", self.window_theta)] {
            if !(theta.is_finite() && theta >= 1.0) {
                return Err(Fault::new(format!("{what} rope_theta"), "1 or more", theta));
            }
        }
        Ok(())
    }

    /// Whether the layers that look at all of a text are those that candle takes for them.
    fn check_kinds(&self, kinds: &[String]) -> Result<(), Fault> {
        let wanted = |layer: usize| match layer.is_multiple_of(self.full_every) {
            true => "full_attention",
            false => "sliding_attention",
        };
        let other = (0..self.layers).find(|at| kinds.get(*at).is_none_or(|k| k != wanted(*at)));
        match other {
            None => Ok(()),
            Some(layer) => Err(Fault::new(
                format!("layer_types, {layer}"),
                wanted(layer),
                kinds.get(layer).map_or("none", |kind| kind),
            )),
        }
    }

    /// The names of the tensors, as candle calls them without its prefix, and their shapes.
    fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        let (width, middle) = (self.width, self.middle);
        let once = [
            (WORDS.to_owned(), vec![self.vocabulary, width]),
            ("embeddings.norm.weight".to_owned(), vec![width]),
            ("final_norm.weight".to_owned(), vec![width]),
        ];
        let layers = (0..self.layers).flat_map(move |layer| {
            let parts = [
                ("attn_norm", vec![width]),
                ("attn.Wqkv", vec![3 * width, width]),
                ("attn.Wo", vec![width, width]),
                ("mlp_norm", vec![width]),
                ("mlp.Wi", vec![2 * middle, width]),
                ("mlp.Wo", vec![width, middle]),
            ];
            // What the first layer gets has been normalised already.
            let parts = parts.into_iter().skip(usize::from(layer == 0));
            parts.map(move |(part, shape)| (format!("layers.{layer}.{part}.weight"), shape))
        });
        once.into_iter().chain(layers)
    }
}

/// A model that is ready.
pub(super) struct ModernBert {
    model: modernbert::ModernBert,
    /// BLAKE3 of the file.
    pub(super) hash: [u8; 32],
}

impl ModernBert {
    /// Takes the weights out of a file's tensors, for texts of up to `max_tokens` tokens.
    pub(super) fn new(
        config: &Config,
        max_tokens: usize,
        mut tensors: Tensors,
    ) -> Result<Self, Fault> {
        let prefix = tensors.prefix(&PREFIXES, WORDS);
        let broken = |error| Fault::new("tensors", "a model that candle can build", error);
        let mut weights = HashMap::new();
        for (name, shape) in config.tensors() {
            let data = tensors.take(&format!("{prefix}{name}"), &shape)?;
            let tensor = Tensor::from_vec(data, shape, &Device::Cpu).map_err(broken)?;
            weights.insert(format!("model.{name}"), tensor);
        }
        let weights = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let config = modernbert::Config {
            vocab_size: config.vocabulary,
            hidden_size: config.width,
            num_hidden_layers: config.layers,
            num_attention_heads: config.heads,
            intermediate_size: config.middle,
            // It makes tables of so many places.
            max_position_embeddings: max_tokens,
            layer_norm_eps: config.epsilon,
            // Nothing is padded.
            pad_token_id: 0,
            global_attn_every_n_layers: config.full_every,
            global_rope_theta: config.theta,
            local_attention: config.window,
            local_rope_theta: config.window_theta,
            classifier_config: None,
        };
        Ok(Self {
            model: modernbert::ModernBert::load(weights, &config).map_err(broken)?,
            hash: tensors.hash,
        })
    }

    /// Whether a file's tensor is one of those that [`new`](Self::new) takes: not a head for another task.
    pub(super) fn wants(tensor: &str) -> bool {
        let name = tensor.strip_prefix("model.").unwrap_or(tensor);
        ["embeddings.", "layers.", "final_norm."]
            .iter()
            .any(|part| name.starts_with(part))
    }

    /// The vectors of all tokens of a text, a row each.
    pub(super) fn run(&self, text: &[u32]) -> candle_core::Result<Vec<f32>> {
        let tokens = Tensor::new(text, &Device::Cpu)?.unsqueeze(0)?;
        let rows = self.model.forward(&tokens, &tokens.ones_like()?)?;
        rows.flatten_all()?.to_vec1()
    }
}

fn epsilon() -> f64 {
    1e-5
}

fn three() -> usize {
    3
}

fn window() -> usize {
    128
}

fn theta() -> f64 {
    160_000.0
}

fn window_theta() -> f64 {
    10_000.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As those that are published have it.
    fn published() -> Value {
        json!({
            "model_type": "modernbert", "vocab_size": 50368, "hidden_size": 768, "num_hidden_layers": 22,
            "num_attention_heads": 12, "intermediate_size": 1152, "max_position_embeddings": 8192, "norm_eps": 1e-5,
            "layer_norm_eps": 1e-5, "hidden_activation": "gelu", "attention_bias": false, "mlp_bias": false, "norm_bias": false,
            "global_attn_every_n_layers": 3, "local_attention": 128, "global_rope_theta": 160000.0, "local_rope_theta": 10000.0,
        })
    }

    #[test]
    fn old_and_new_words_mean_the_same() {
        let config = Config::parse(&published()).unwrap();
        assert_eq!(config.max_tokens, LONGEST);
        let mut new = published();
        for field in ["global_rope_theta", "local_rope_theta"] {
            new.as_object_mut().unwrap().remove(field);
        }
        let rope = |theta: f64| json!({"rope_theta": theta, "rope_type": "default"});
        new["rope_parameters"] =
            json!({"full_attention": rope(160000.0), "sliding_attention": rope(10000.0)});
        let kinds = (0..22).map(|layer| match layer % 3 {
            0 => "full_attention",
            _ => "sliding_attention",
        });
        new["layer_types"] = kinds.collect();
        assert_eq!(Config::parse(&new).unwrap(), config);
        new["rope_parameters"]["full_attention"] = rope(80000.0);
        assert_eq!(Config::parse(&new).unwrap().theta, 80000.0);
        assert_eq!(config.tensors().count(), 3 + 22 * 6 - 1);
    }

    #[test]
    fn what_candle_would_compute_differently_is_refused_by_name() {
        let rope = json!({"rope_theta": 1e4, "rope_type": "yarn"});
        let cases = [
            ("hidden_activation", json!("silu")),
            ("attention_bias", json!(true)),
            ("mlp_bias", json!(true)),
            ("norm_bias", json!(true)),
            ("layer_types", json!(["full_attention", "full_attention"])),
            ("layer_types", json!(["full_attention"])),
            ("num_attention_heads", json!(768)),
            ("num_attention_heads", json!(0)),
            ("global_attn_every_n_layers", json!(0)),
            ("vocab_size", json!(1_u64 << 40)),
            ("norm_eps", json!(-1)),
            ("local_rope_theta", json!(0)),
            ("local_rope_theta", Value::Null),
            (
                "rope_parameters",
                json!({"full_attention": rope, "sliding_attention": rope}),
            ),
        ];
        for (field, value) in cases {
            let mut config = published();
            let null = value.is_null();
            config[field] = value;
            let message = Config::parse(&config).unwrap_err().to_string();
            let named = match field {
                "local_rope_theta" if null => message.contains("null"),
                "local_rope_theta" => message.contains("local rope_theta"),
                "rope_parameters" => message.contains("yarn"),
                _ => message.contains(field),
            };
            assert!(named, "{field}: {message}");
        }
    }
}
