#![doc = include_str!("../README.md")]

#[cfg(feature = "static")]
mod builtin;
pub mod chunk;
pub mod coverage;
mod embedder;
mod error;
mod spec;

#[cfg(feature = "static")]
pub use builtin::{MaxSim, StaticEmbedder};
pub use embedder::{Comparison, Embedder, Likeness, Role};
pub use error::{BoxError, Error, NoVector, Result};
pub use spec::{EmbedSpec, Pooling, Precision};
