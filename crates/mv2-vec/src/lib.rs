#![doc = include_str!("../README.md")]

mod build;
mod error;
mod graph;
pub mod kernel;
mod layout;
mod query;
mod rows;
mod search;
mod segment;
mod spec;
mod view;

pub use build::{Graph, GraphOptions, SegmentBuilder};
pub use error::{Error, Result, Which};
pub use rows::{RowRef, Rows, encode_rows, spec_of_rows};
pub use search::{Hit, Searcher, VecSearchOptions};
pub use segment::Segment;
pub use spec::{Exact, MAX_DIMS, Metric, Spec};
pub use view::{FrameSet, View};

pub use layout::Calibration;
