//! One-file storage engine of mv2: commits, recovery, checkpoints and snapshots.
//!
//! A store keeps frames and, beside them, index segments whose contents it does not know. Its protocols are those of
//! `docs/format.md`, sections 12 to 16.
//!
//! | module | what belongs there |
//! |---|---|
//! | [`store`] | opening, reading, transactions |
//! | `commit` | what a commit writes |
//! | `transaction` | what a writer has changed and not committed |
//! | [`snapshot`] | reading a commit |
//! | `journal` | searches that are noted down |
//! | `state` | a commit in memory: segments and the log's tail |
//! | `recovery` | from bytes to a state, and catching up |
//! | `checkpoint`, `compact`, `output` | folding the log into segments, which of them to rebuild, and writing them |
//! | `rewrite` | vacuum, seal, unseal and backup: a state as a whole new file |
//! | `verify` | checking a file |
//! | [`storage`] | input and output: real and in memory |
//! | [`testing`] | input and output that counts, or lies and crashes |
//! | `lock` | waiting for the write lock |

mod attached;
mod build;
mod checkpoint;
mod commit;
mod compact;
pub mod error;
mod file;
mod journal;
mod lock;
mod maintain;
mod merge;
mod output;
mod past;
mod purge;
mod recent;
mod recovery;
mod refs;
mod rewrite;
mod sight;
pub mod snapshot;
mod state;
pub mod storage;
pub mod store;
pub mod testing;
mod transaction;
pub mod types;
mod verify;

pub use error::{Error, RefKind, Result};
pub use journal::Noted;
pub use snapshot::{Seen, Segment, Snapshot};
pub use storage::{FileVolume, MemoryVolume, Storage, Volume};
pub use store::Store;
pub use types::*;

#[cfg(not(unix))]
compile_error!("mv2-store runs on Unix so far; docs/platforms.md says what other systems need");

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
