//! What can go wrong in a lexical index: damage, versions that are not readable, the caller's text.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mv2_format::{BoxError, FrameId};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a lexical segment could not be built, opened or searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes of the segment are damaged, cut short or not those of a lexical segment.
    #[error(transparent)]
    Format(#[from] mv2_format::Error),
    /// The segment was written with a version that this build does not read. Rebuilding the index
    /// from the frames makes it readable.
    #[error(
        "lexical segment has {what} {found}, this build reads {readable}; rebuild the index or use a newer mv2"
    )]
    Unsupported {
        /// Which version.
        what: &'static str,
        /// The version in the segment.
        found: u32,
        /// What this build reads.
        readable: &'static str,
    },
    /// A segment was to be built from no frame at all.
    #[error("a lexical segment needs at least one frame")]
    NoFrames,
    /// Frames must come in ascending order of their ids.
    #[error(
        "frame {frame} came after frame {previous}: a lexical segment takes frames in ascending order"
    )]
    Order {
        /// The frame that came too late.
        frame: FrameId,
        /// The frame before it.
        previous: FrameId,
    },
    /// More documents than one segment holds.
    #[error("a lexical segment holds at most {limit} frames")]
    TooManyFrames {
        /// The limit.
        limit: u32,
    },
    /// The text of a frame, needed to verify a phrase, could not be had.
    #[error("the text of frame {frame} could not be read")]
    Text {
        /// The frame.
        frame: FrameId,
        /// What the text source said.
        #[source]
        source: BoxError,
    },
    /// tantivy reported an error, as a rule because bytes are damaged.
    #[error("{doing}: {message}")]
    Index {
        /// What was being done.
        doing: &'static str,
        /// tantivy's message.
        message: String,
    },
    /// A panic inside of the index was caught, as a rule because bytes are damaged.
    #[error("{doing}: the index gave up ({message}); it is damaged, rebuild it")]
    Panicked {
        /// What was being done.
        doing: &'static str,
        /// The panic's message.
        message: String,
    },
}

impl Error {
    pub(crate) fn invalid(
        what: &'static str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self::Format(mv2_format::Error::invalid(what, expected, found))
    }

    /// An error of tantivy. A damaged page that our own file handle reported inside of it comes
    /// out as what it was.
    pub(crate) fn tantivy(doing: &'static str, error: tantivy::TantivyError) -> Self {
        use tantivy::directory::error::OpenReadError;
        let io = match &error {
            tantivy::TantivyError::IoError(io)
            | tantivy::TantivyError::OpenReadError(OpenReadError::IoError {
                io_error: io, ..
            }) => Some(io),
            _ => None,
        };
        match io.and_then(|io| format_error(io)) {
            Some(format) => Self::Format(format),
            None => Self::Index {
                doing,
                message: error.to_string(),
            },
        }
    }

    /// An I/O error that tantivy passed on from our file handle.
    pub(crate) fn io(doing: &'static str, error: &std::io::Error) -> Self {
        match format_error(error) {
            Some(format) => Self::Format(format),
            None => Self::Index {
                doing,
                message: error.to_string(),
            },
        }
    }
}

fn format_error(io: &std::io::Error) -> Option<mv2_format::Error> {
    io.get_ref()?.downcast_ref::<mv2_format::Error>().cloned()
}

/// Runs code that calls tantivy and turns a panic into [`Error::Panicked`].
///
/// tantivy trusts its files and panics on some damage. Nothing that the closures of this crate
/// change outlives a panic, except caches that hold whole values only.
pub(crate) fn guard<T>(doing: &'static str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(payload) => {
            let message = payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| {
                    payload
                        .downcast_ref::<&str>()
                        .map(|text| (*text).to_owned())
                })
                .unwrap_or_else(|| "no message".to_owned());
            Err(Error::Panicked { doing, message })
        }
    }
}
