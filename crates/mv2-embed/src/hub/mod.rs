//! Models from the hub of Hugging Face: where they lie on this machine, and how they come here.
//!
//! `cache` only looks; `pull`, behind the feature `hub`, is the one thing that asks for a file.

mod cache;

pub use cache::{HubCache, Snapshot, is_offline};
