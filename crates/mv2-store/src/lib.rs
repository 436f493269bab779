//! One-file storage engine of mv2: commits, recovery, checkpoints and snapshots.
pub mod error;
pub mod store;
pub mod types;
pub use error::{Error, Result};
pub use store::{Segment, Snapshot, Store};
pub use types::*;
