//! Long-term memory for AI agents in one file: put documents, search them, see their history.
//!
//! A memory is one `.mv2` file. Each document that is put becomes a *frame*; a *commit* makes a
//! batch of frames durable; a *snapshot* is the memory as it was right after a commit. Nothing is
//! ever written beside the file, and what was committed survives a crash or a power loss.
//!
#![cfg_attr(feature = "lex", doc = "```standalone_crate")]
#![cfg_attr(not(feature = "lex"), doc = "```no_run")]
//! use mv2::{Memvid, PutOptions, SearchRequest};
//!
//! fn main() -> mv2::Result<()> {
//!     # let dir = tempfile::tempdir().unwrap();
//!     # std::env::set_current_dir(&dir).unwrap();
//!     let mut mem = Memvid::create("knowledge.mv2")?;
//!     let opts = PutOptions::builder().title("Meeting Notes").tag("project", "alpha").build();
//!     mem.put_bytes_with_options(b"Q4 planning discussion...", opts)?;
//!     mem.commit()?;
//!     let response = mem.search(SearchRequest { query: "planning".into(), top_k: 10, snippet_chars: 200, ..Default::default() })?;
//!     for hit in response.hits { println!("{}: {}", hit.title.unwrap_or_default(), hit.text); }
//!     Ok(())
//! }
//! ```
//!
//! | module | what belongs there |
//! |---|---|
//! | [`Memvid`] | the handle: puts, commits, searches |
//! | [`Snapshot`], [`Selector`] | the read side, pinned to one commit, and how a commit of the past is named |
//! | [`Branch`], [`Tag`], [`MergeOptions`] | several histories in one file, and names for commits |
//! | [`OpenOptions`] | how a file is made and opened |
//! | [`PutOptions`], [`PutOutcome`] | what is known of a document besides its bytes, and what a put did |
//! | [`SearchRequest`], [`SearchResponse`] | a question and its answer |
//! | [`ContextRequest`], [`Context`] | passages for a prompt, under a budget of tokens |
//! | [`Filter`] | which documents both consider |
//! | [`RecordedSearch`], [`Replay`] | searches that were noted down, and making them again |
//! | [`Audit`] | since when what is found was known |
//! | [`TimelineQuery`], [`Timeline`] | what happened when |
//! | [`Stats`], [`Rewritten`] | figures of the file, and what a vacuum or a seal made of it |
//! | [`PurgeRequest`], [`PurgePlan`], [`Purged`] | what is to be forgotten, and what was |
//! | [`text`], [`time`] | what counts as text; how a time is written |
//! | [`format`](mod@format), [`store`], `lex` | the crates below, under short names |
//!
//! # Writing
//!
//! The first put, update or delete takes the file's write lock; [`commit`](Memvid::commit),
//! [`rollback`](Memvid::rollback) and dropping the handle release it, and the latter two forget what
//! was not committed. A handle that is not in the middle of a batch holds no lock, so many processes
//! can share a file. Reads never see what is not committed and never wait.
//!
//! # Features
//!
//! `lex` (default): BM25 search. Without it a memory can be written and read, and the index is
//! caught up by the next build that has it.
//!
//! `vec` (default): vectors, the caller's or an embedder's, and search by meaning. Without it what a memory holds of vectors is kept.
//!
//! `static` (default): the built-in embedder, so that documents get vectors by default. It adds 7.6 MB to a program.

#[cfg(feature = "lex")]
mod ask;
mod audit;
mod branch;
mod context;
#[cfg(feature = "lex")]
mod cursor;
#[cfg(feature = "vec")]
pub mod embedder;
#[cfg(feature = "vec")]
mod embedding;
mod error;
mod filter;
#[cfg(feature = "vec")]
mod fusion;
mod housekeeping;
mod indexes;
mod journal;
#[cfg(feature = "lex")]
mod lexical;
mod memory;
mod options;
mod purge;
mod put;
mod replay;
mod rewrite;
mod search;
mod selector;
mod snapshot;
mod stats;
mod temporal;
pub mod text;
pub mod time;
mod timeline;
#[cfg(feature = "vec")]
mod vectors;

#[cfg(feature = "vec")]
pub use mv2_embed as embed;
pub use mv2_format as format;
#[cfg(feature = "lex")]
pub use mv2_lex as lex;
pub use mv2_store as store;
#[cfg(feature = "vec")]
pub use mv2_vec as vec;

pub use audit::{AUDIT_DEPTH, Audit, AuditedHit, AuditedVersion};
pub use branch::MergeOptions;
pub use context::{Context, ContextRequest, ContextRequestBuilder, Passage, estimate_tokens};
#[cfg(feature = "lex")]
pub use cursor::SearchCursor;
pub use error::{CursorError, Error, Result};
pub use filter::Filter;
pub use journal::{RecordedHit, RecordedSearch};
pub use memory::Memvid;
pub use mv2_format::{CommitId, Frame, FrameId, FrameMeta, LineageId, SegmentId, Timestamp};
pub use mv2_store::{
    Branch, Changes, CheckpointPolicy, Clock, Commit, Merged, Problem, PurgeRecord, Purged,
    PutStatus, Side, SystemClock, Tag, VerifyReport, Version,
};
pub use mv2_time::{Cursor as TimelineCursor, When};
pub use options::OpenOptions;
pub use purge::{PlannedFrame, PurgePlan, PurgeRequest, PurgeRequestBuilder};
pub use put::{PutOptions, PutOptionsBuilder, PutOutcome};
pub use replay::{Difference, HitChange, Replay, ReplayOptions, ReplayStep, ReplayedSearch};
pub use rewrite::Rewritten;
pub use search::{
    Mode, SearchHit, SearchRequest, SearchRequestBuilder, SearchResponse, SideRank, Syntax,
    TotalRelation,
};
pub use selector::Selector;
pub use snapshot::Snapshot;
pub use stats::Stats;
pub use timeline::{Timeline, TimelineEntry, TimelineQuery, TimelineQueryBuilder};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
