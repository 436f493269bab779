//! Transformer models of the BERT family, from the files that they are published as.
//!
//! | module | what belongs there |
//! |---|---|
//! | `embedder` | [`BertEmbedder`]: from a folder to vectors |
//! | `recipe` | how a model is used: pooling, length, prefixes |
//! | `config`, `safetensors`, `tokens` | its three files |
//! | `model` | the weights, as a pass uses them |
//! | `forward` | a pass |
//! | `kernels`, `matmul` | what a pass is made of; `matmul` has the unsafe code |
//! | `fault` | what is wrong with a file |
//!
//! Single precision throughout: in half precision the mask of the usual code overflows, and on processors of today it is not
//! quicker. The kernels of the products are those of candle, the crate `gemm`.

mod config;
mod embedder;
mod fault;
mod forward;
mod kernels;
mod matmul;
mod model;
mod recipe;
mod safetensors;
mod tokens;

pub use embedder::BertEmbedder;
