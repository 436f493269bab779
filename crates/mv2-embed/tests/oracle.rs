//! The pass of our own against candle-transformers, on the small models of `fixtures/bert`: a second oracle, beside the vectors that
//! sentence-transformers made.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::{bert, distilbert, nomic_bert, xlm_roberta};
use mv2_embed::{BertEmbedder, Embedder, Pooling, Role};
use serde_json::Value;
use tokenizers::Tokenizer;

/// How far a number of a vector of length 1 may be from candle's.
const TOLERANCE: f32 = 1e-5;

/// The vectors of the tokens of one text.
type Run = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

/// A model as candle has it.
type Load = fn(&Value, VarBuilder<'static>) -> Result<Run>;

#[test]
fn candle_computes_what_our_pass_computes() {
    let models: [(&str, Load); 6] = [
        ("bert-mean", load_bert),
        ("bert-cls", load_bert),
        ("e5", load_bert),
        ("xlm-roberta", load_roberta),
        ("nomic", load_nomic),
        ("distilbert", load_distilbert),
    ];
    for (name, load) in models {
        let folder = fixture(name);
        let far = difference(folder.path(), load).unwrap();
        assert!(far < TOLERANCE, "{name}: {far}");
    }
}

/// A copy, with what candle knows under another name or computes differently replaced in `config.json`.
fn fixture(name: &str) -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/bert")
        .join(name);
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("1_Pooling")).unwrap();
    for file in [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "1_Pooling/config.json",
    ] {
        std::fs::copy(from.join(file), copy.path().join(file)).unwrap();
    }
    if name == "distilbert" {
        // For "gelu", candle's DistilBERT takes the formula with the hyperbolic tangent, the reference the error function.
        let path = copy.path().join("config.json");
        let config = std::fs::read_to_string(&path).unwrap();
        let relu = config.replace("\"activation\": \"gelu\"", "\"activation\": \"relu\"");
        assert_ne!(config, relu);
        std::fs::write(path, relu).unwrap();
    }
    copy
}

/// The largest difference between the numbers of our vectors and candle's.
fn difference(folder: &Path, load: Load) -> Result<f32> {
    let ours = BertEmbedder::from_folder(folder).unwrap();
    let config = std::fs::read(folder.join("config.json"))?;
    let config: Value = serde_json::from_slice(&config).unwrap();
    let weights: PathBuf = folder.join("model.safetensors");
    let weights = candle_core::safetensors::load(weights, &Device::Cpu)?;
    let theirs = load(
        &config,
        VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu),
    )?;
    let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
    let mut far = 0.0_f32;
    let mut compared = 0;
    for text in texts() {
        let encoding = tokenizer.encode(&text[..], true).unwrap();
        if encoding.len() > ours.spec().max_tokens as usize {
            continue;
        }
        let tokens = Tensor::new(encoding.get_ids(), &Device::Cpu)?.unsqueeze(0)?;
        let rows = theirs(&tokens)?.squeeze(0)?;
        let vector = match ours.spec().pooling {
            Pooling::Cls => rows.get(0)?,
            _ => rows.mean(0)?,
        };
        let length = vector.sqr()?.sum_all()?.to_scalar::<f32>()?.sqrt();
        let vector: Vec<f32> = (vector / f64::from(length))?.to_vec1()?;
        let mut found = Vec::new();
        ours.embed_all(&[&text], Role::Passage, &mut found).unwrap();
        assert_eq!(found.len(), vector.len());
        for (a, b) in found.iter().zip(&vector) {
            let apart = (a - b).abs();
            assert!(apart.is_finite());
            far = far.max(apart);
        }
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
    Ok(far)
}

fn texts() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/bert/texts.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn number(config: &Value, field: &str) -> usize {
    config[field].as_u64().unwrap() as usize
}

fn load_bert(json: &Value, weights: VarBuilder<'static>) -> Result<Run> {
    let config = bert::Config {
        vocab_size: number(json, "vocab_size"),
        hidden_size: number(json, "hidden_size"),
        num_hidden_layers: number(json, "num_hidden_layers"),
        num_attention_heads: number(json, "num_attention_heads"),
        intermediate_size: number(json, "intermediate_size"),
        max_position_embeddings: number(json, "max_position_embeddings"),
        hidden_act: match json["hidden_act"].as_str() {
            Some("gelu_new") => bert::HiddenAct::GeluApproximate,
            _ => bert::HiddenAct::Gelu,
        },
        ..bert::Config::default()
    };
    let model = bert::BertModel::load(weights, &config)?;
    Ok(Box::new(move |tokens| {
        model.forward(tokens, &tokens.zeros_like()?, None)
    }))
}

fn load_roberta(json: &Value, weights: VarBuilder<'static>) -> Result<Run> {
    let config = xlm_roberta::Config {
        hidden_size: number(json, "hidden_size"),
        layer_norm_eps: json["layer_norm_eps"].as_f64().unwrap(),
        attention_probs_dropout_prob: 0.0,
        hidden_dropout_prob: 0.0,
        num_attention_heads: number(json, "num_attention_heads"),
        position_embedding_type: "absolute".to_owned(),
        intermediate_size: number(json, "intermediate_size"),
        hidden_act: Activation::Gelu,
        num_hidden_layers: number(json, "num_hidden_layers"),
        vocab_size: number(json, "vocab_size"),
        max_position_embeddings: number(json, "max_position_embeddings"),
        type_vocab_size: number(json, "type_vocab_size"),
        pad_token_id: number(json, "pad_token_id") as u32,
    };
    let model = xlm_roberta::XLMRobertaModel::new(&config, weights)?;
    Ok(Box::new(move |tokens| {
        let (all, types) = (tokens.ones_like()?, tokens.zeros_like()?);
        model.forward(tokens, &all, &types, None, None, None)
    }))
}

fn load_nomic(json: &Value, weights: VarBuilder<'static>) -> Result<Run> {
    let config = nomic_bert::Config {
        vocab_size: number(json, "vocab_size"),
        n_embd: number(json, "hidden_size"),
        n_head: number(json, "num_attention_heads"),
        n_layer: number(json, "num_hidden_layers"),
        n_inner: number(json, "intermediate_size"),
        n_positions: number(json, "max_position_embeddings"),
        rotary_emb_base: json["rope_parameters"]["rope_theta"].as_f64().unwrap(),
        ..nomic_bert::Config::default()
    };
    let model = nomic_bert::NomicBertModel::load(weights, &config)?;
    Ok(Box::new(move |tokens| model.forward(tokens, None, None)))
}

fn load_distilbert(json: &Value, weights: VarBuilder<'static>) -> Result<Run> {
    let config: distilbert::Config = serde_json::from_value(json.clone()).unwrap();
    let model = distilbert::DistilBertModel::load(weights, &config)?;
    Ok(Box::new(move |tokens| {
        // 1 would be left out.
        let length = tokens.dim(1)?;
        let mask = Tensor::zeros((1, 1, length, length), DType::U8, &Device::Cpu)?;
        model.forward(tokens, &mask)
    }))
}
