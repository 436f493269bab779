#![doc = include_str!("../README.md")]

pub mod coverage;
mod embedder;
mod error;
mod spec;

pub use embedder::{Embedder, Role};
pub use error::{BoxError, Error, NoVector, Result};
pub use spec::{EmbedSpec, Pooling, Precision};
