#![doc = include_str!("../README.md")]

mod analyser;
mod bits;
mod build;
mod container;
mod counts;
mod directory;
mod error;
mod postings;
mod query;
mod schema;
mod search;
mod segment;
mod snippet;
mod view;

pub use analyser::{ANALYSER_VERSION, Token, analyse};
pub use build::{LexIndex, tokenizers};
pub use error::{Error, Result};
pub use query::{MAX_QUERY_TERMS, Parsed, Query};
pub use search::{DocText, Document, Hit, Reader, Results, SearchOptions, TextSource, UriFilter};
pub use segment::Segment;
pub use snippet::{MAX_SNIPPET_SCAN_BYTES, Snippet, snippet};
pub use view::SegmentView;

/// How much a function or question word weighs in a query; all other words weigh 1.
pub const FUNCTION_WORD_WEIGHT: f32 = 0.3;
/// How much a match in the title adds, besides the match in the body, which holds the title too.
pub const TITLE_WEIGHT: f32 = 0.25;
