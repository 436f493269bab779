#![doc = include_str!("../README.md")]

#[cfg(feature = "candle")]
mod bert;
#[cfg(feature = "static")]
mod builtin;
pub mod chunk;
pub mod coverage;
mod embedder;
mod error;
#[cfg(feature = "candle")]
mod hub;
#[cfg(feature = "remote")]
mod remote;
mod spec;

#[cfg(feature = "candle")]
pub use bert::{BertEmbedder, KNOWN_MODELS, KnownModel};
#[cfg(feature = "static")]
pub use builtin::{MaxSim, StaticEmbedder};
pub use embedder::{Comparison, Embedder, Likeness, Role};
pub use error::{BoxError, Error, NoVector, Result};
#[cfg(feature = "candle")]
pub use hub::{HubCache, Snapshot, is_offline};
#[cfg(feature = "remote")]
pub use remote::{ApiKey, RemoteEmbedder, RemoteOptions, ServiceError};
pub use spec::{EmbedSpec, Pooling, Precision};
