//! The bytes of an `.mv2` memory file, version 3.0-draft: codecs, checks and the traits that index
//! crates implement. Normative text: `docs/format.md`.
//!
//! This crate is pure. It does no I/O, asks no clock, starts no thread and keeps no global state:
//! the same input gives the same bytes on each platform. Any byte sequence decodes to a value or to
//! an [`Error`], without a panic and without an allocation that a length in the bytes could blow up.
//!
//! | module | what belongs there |
//! |---|---|
//! | [`ids`] | numbers of frames, commits, lineages, segments; times; offsets |
//! | [`wire`] | reading and writing little-endian fields with bounds |
//! | [`checksum`] | CRC-32 and BLAKE3 as the format uses them |
//! | [`header`] | page 0 and the version |
//! | [`root`] | the two root pages and the footer |
//! | [`wal`] | batches and their records |
//! | [`toc`] | the table of contents |
//! | [`segment`] | what all segments share: page tables and checked bytes |
//! | [`frame`] | a frame and its metadata |
//! | [`frame_set`] | sets of frames, which filters pass to indexes |
//! | [`data`] | data segments: frames at rest |
//! | [`payload`] | reading a payload piece by piece |
//! | [`commits`] | the commit log |
//! | [`refs`] | branches and tags, as properties hold them |
//! | [`tombstones`] | which frames died when |
//! | [`purged`] | which frames were purged |
//! | [`properties`] | small named values with their history |
//! | [`journal`] | searches that were noted down |
//! | [`attachments`] | what frames carry for an index |
//! | [`codec`] | compression of payloads |
//! | [`index`] | the contract with index crates |

pub mod attachments;
pub mod checksum;
pub mod codec;
pub mod commits;
pub mod data;
pub mod error;
pub mod frame;
pub mod frame_set;
pub mod header;
pub mod ids;
pub mod index;
pub mod journal;
mod key_filter;
pub mod payload;
pub mod properties;
pub mod purged;
pub mod refs;
pub mod root;
pub mod segment;
pub mod toc;
pub mod tombstones;
pub mod wal;
pub mod wire;

pub use attachments::Attachment;
pub use error::{Error, Result};
pub use frame::{Frame, FrameMeta};
pub use frame_set::FrameSet;
pub use ids::{CommitId, FileOffset, FrameId, Generation, LineageId, SegmentId, Timestamp};
pub use index::{AttachmentIndex, BoxError, IndexBuilder, IndexFactory};
pub use payload::PayloadReader;
pub use properties::Property;
pub use segment::{ByteOwner, SegmentBytes, SegmentKind};

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
