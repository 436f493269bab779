#![doc = include_str!("../README.md")]

#[cfg(feature = "candle")]
mod bert;
#[cfg(feature = "static")]
mod builtin;
pub mod chunk;
pub mod coverage;
mod embedder;
mod error;
mod hub;
mod known;
#[cfg(feature = "remote")]
mod remote;
mod resolve;
mod spec;

#[cfg(feature = "candle")]
pub use bert::BertEmbedder;
#[cfg(feature = "static")]
pub use builtin::{MaxSim, StaticEmbedder};
pub use embedder::{Comparison, Embedder, Likeness, Role};
pub use error::{BoxError, Error, NoVector, Result};
pub use hub::{HubCache, Snapshot, is_offline};
#[cfg(feature = "hub")]
pub use hub::{PullError, PullOptions, PullProgress, pull};
pub use known::{KNOWN_MODELS, KnownModel};
#[cfg(feature = "remote")]
pub use remote::{ApiKey, RemoteEmbedder, RemoteOptions, ServiceError};
pub use resolve::{BUILT_IN, find, open, open_by_name};
pub use spec::{EmbedSpec, Pooling, Precision};
