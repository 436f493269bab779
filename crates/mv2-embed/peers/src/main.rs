//! Runs one engine over texts and prints how fast it was: `mv2-embed-peers ENGINE MODEL_FOLDER TEXTS_JSON ROUNDS`.
//!
//! `compare.py` calls it for each engine in turn. Prints a JSON line for each round: wall and processor seconds.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use cpu_time::ProcessTime;
use mv2_embed::{BertEmbedder, Embedder, Role, StaticEmbedder};
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

/// Texts in a batch of stock candle.
const BATCH: usize = 32;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, engine, folder, texts, rounds] = &args[..] else {
        bail!("usage: mv2-embed-peers ENGINE MODEL_FOLDER TEXTS_JSON ROUNDS");
    };
    let folder = Path::new(folder);
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(texts)?)?;
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut run: Box<dyn FnMut(&[&str]) -> Result<()>> = match &engine[..] {
        "mv2" => ours(Box::new(BertEmbedder::from_folder(folder)?)),
        "static" => ours(Box::new(StaticEmbedder::new()?)),
        "candle" => {
            // What costs least with padding.
            texts.sort_by_key(|text| text.len());
            candle(folder)?
        }
        other => bail!("no engine {other}"),
    };
    run(&texts[..texts.len().min(8)])?;
    for _ in 0..rounds.parse()? {
        let (wall, processor) = (Instant::now(), ProcessTime::now());
        run(&texts)?;
        let (wall, processor) = (wall.elapsed(), processor.elapsed());
        let line =
            serde_json::json!({ "wall": wall.as_secs_f64(), "processor": processor.as_secs_f64() });
        println!("{line}");
    }
    Ok(())
}

fn ours(model: Box<dyn Embedder>) -> Box<dyn FnMut(&[&str]) -> Result<()>> {
    Box::new(move |texts| {
        let mut out = Vec::new();
        model.embed(texts, Role::Passage, &mut out)?;
        Ok(())
    })
}

/// candle-transformers' own model, padded batches, mean over tokens, length 1.
fn candle(folder: &Path) -> Result<Box<dyn FnMut(&[&str]) -> Result<()>>> {
    let device = Device::Cpu;
    let config: Config = serde_json::from_slice(&std::fs::read(folder.join("config.json"))?)?;
    let weights = std::fs::read(folder.join("model.safetensors"))?;
    let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &device)?;
    let model = BertModel::load(weights, &config)?;
    let mut tokenizer =
        Tokenizer::from_file(folder.join("tokenizer.json")).map_err(anyhow::Error::msg)?;
    let truncation = TruncationParams {
        max_length: 256,
        ..TruncationParams::default()
    };
    tokenizer
        .with_truncation(Some(truncation))
        .map_err(anyhow::Error::msg)?;
    tokenizer.with_padding(Some(PaddingParams::default()));
    Ok(Box::new(move |texts| {
        for batch in texts.chunks(BATCH) {
            let encodings = tokenizer
                .encode_batch(batch.to_vec(), true)
                .map_err(anyhow::Error::msg)?;
            let length = encodings.first().context("a batch")?.len();
            let of = |get: fn(&tokenizers::Encoding) -> &[u32]| -> Result<Tensor> {
                let all: Vec<u32> = encodings.iter().flat_map(get).copied().collect();
                Ok(Tensor::from_vec(all, (batch.len(), length), &device)?)
            };
            let (ids, types) = (of(|e| e.get_ids())?, of(|e| e.get_type_ids())?);
            let mask = of(|e| e.get_attention_mask())?;
            let rows = model.forward(&ids, &types, Some(&mask))?;
            let weights = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
            let sums = rows.broadcast_mul(&weights)?.sum(1)?;
            let lengths = sums.sqr()?.sum_keepdim(1)?.sqrt()?;
            sums.broadcast_div(&lengths)?.to_vec2::<f32>()?;
        }
        Ok(())
    }))
}
