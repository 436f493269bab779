//! What can go wrong with vectors: numbers that are none, dimensions that differ, damaged segments.

use std::fmt;

use mv2_format::FrameId;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which vector of a call an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The vector at this position of the rows that were given, counted from 0.
    Row(usize),
    /// The vector that is searched for.
    Query,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(row) => write!(f, "vector {row}"),
            Self::Query => f.write_str("the query vector"),
        }
    }
}

/// Why vectors could not be stored, opened or searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes of a segment or of encoded rows are damaged, cut short or something else.
    #[error(transparent)]
    Format(#[from] mv2_format::Error),
    /// The bytes were written with a version that this build does not read.
    #[error("{what} has version {found}, this build reads {readable}; use a newer mv2")]
    Unsupported {
        /// `vector segment` or `vector rows`.
        what: &'static str,
        /// The version in the bytes.
        found: u16,
        /// What this build reads.
        readable: u16,
    },
    /// A specification asks for a number of dimensions that is not supported.
    #[error("vectors have 1 to {limit} dimensions, not {dims}", limit = crate::spec::MAX_DIMS)]
    UnsupportedDims {
        /// The number asked for.
        dims: u32,
    },
    /// A vector has another number of dimensions than the specification.
    #[error("{which} has {found} dimensions, this space has {expected}")]
    Dimensions {
        /// The vector.
        which: Which,
        /// Dimensions of the space.
        expected: u32,
        /// Dimensions of the vector.
        found: usize,
    },
    /// A component is infinite or not a number.
    #[error("{which} holds {value} at component {component}: vectors must be finite")]
    NotFinite {
        /// The vector.
        which: Which,
        /// The component, counted from 0.
        component: usize,
        /// What is there.
        value: f32,
    },
    /// A component is larger than can be stored, or scored without overflow.
    #[error(
        "{which} holds {value} at component {component}, beyond {limit}: scale the vectors, or store them as f32"
    )]
    Overflow {
        /// The vector.
        which: Which,
        /// The component, counted from 0.
        component: usize,
        /// What is there.
        value: f32,
        /// The largest magnitude that fits.
        limit: f32,
    },
    /// All components are zero, which has no direction and so no cosine.
    #[error("{which} is all zeros, which has no direction; leave it out or use another metric")]
    Zero {
        /// The vector.
        which: Which,
    },
    /// A byte range that ends before it begins, or beyond 4 GiB.
    #[error("vector {row} covers bytes {start} to {end}: ranges ascend and end below 4 GiB")]
    ByteRange {
        /// The position of the vector among those given.
        row: usize,
        /// Where the range begins.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// A segment was to be built from no row at all.
    #[error("a vector segment needs at least one row")]
    NoRows,
    /// A frame was added twice.
    #[error("frame {frame} was added twice to one vector segment")]
    FrameTwice {
        /// The frame.
        frame: FrameId,
    },
    /// More rows, or frames further apart, than one segment holds.
    #[error("{what}: {found}, a vector segment holds at most {limit}")]
    TooMany {
        /// What is too many.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The builder of graphs failed, or built one of another shape than its version does.
    #[error("the graph of the vectors could not be built: {0}; build the segment without one")]
    Graph(String),
    /// The caller wants the segment no more.
    #[error("building the vector segment was cancelled")]
    Cancelled,
    /// Vectors of two spaces were to be mixed.
    #[error("vectors do not mix: {what} is {found} here and {expected} there")]
    Mismatch {
        /// What differs: `dimensions`, `metric`, `exact part`, `space` or `model`.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
}

impl Error {
    pub(crate) fn invalid(expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Format(mv2_format::Error::invalid(
            "vector segment",
            expected,
            found,
        ))
    }

    pub(crate) fn invalid_rows(expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Format(mv2_format::Error::invalid("vector rows", expected, found))
    }
}
