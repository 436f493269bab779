//! Transformer models of the BERT family, from the files that they are published as.
//!
//! | module | what belongs there |
//! |---|---|
//! | `embedder` | [`BertEmbedder`]: from a folder to vectors |
//! | `recipe` | how a model is used: pooling, length, prefixes |
//! | `architecture` | which one it is, and what runs it |
//! | `safetensors`, `tokens` | two of its three files; the third, `config.json`, is read by `config` and `modern` |
//! | `modern` | ModernBERT, by candle-transformers |
//! | `config`, `model` | of all others the shape and the weights, as the pass of our own uses them |
//! | `forward` | that pass |
//! | `kernels`, `matmul` | what it is made of; `matmul` has the unsafe code |
//! | `fault` | what is wrong with a file |
//!
//! Single precision throughout: in half precision the mask of the usual code overflows, and on processors of today it is not
//! quicker. The kernels of the products are those of candle, the crate `gemm`. Why there are two ways stands in decision 0011.

mod architecture;
mod config;
mod embedder;
mod fault;
mod forward;
mod kernels;
mod matmul;
mod model;
mod modern;
mod recipe;
mod safetensors;
mod tokens;

pub use embedder::BertEmbedder;
