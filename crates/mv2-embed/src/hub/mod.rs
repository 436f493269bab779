//! Models from the hub of Hugging Face: where they lie on this machine, and how they come here.
//!
//! `cache` only looks. All else stands behind the feature `hub` and runs when [`pull`] is called: `pull` brings the files of a
//! model, `fetch` one of them, `checksum` says whether it is the right one.

mod cache;
#[cfg(feature = "hub")]
mod checksum;
#[cfg(feature = "hub")]
mod error;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(feature = "hub")]
mod pull;

pub use cache::{HubCache, Snapshot, is_offline};
#[cfg(feature = "hub")]
pub use error::PullError;
#[cfg(feature = "hub")]
pub use pull::{PullOptions, PullProgress, pull};
