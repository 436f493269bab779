//! What can go wrong with times: damaged index bytes, a range or cursor that makes no sense, a text
//! that is not a time.

use mv2_format::{BoxError, FrameId, Timestamp};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a time segment could not be built or read, or a question about time not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes of the segment are damaged, cut short or not those of a time segment.
    #[error(transparent)]
    Format(#[from] mv2_format::Error),
    /// The segment was written with a version that this build does not read. Rebuilding the index
    /// from the frames makes it readable.
    #[error(
        "time segment has version {found}, this build reads {readable}; rebuild the index or use a newer mv2"
    )]
    Unsupported {
        /// The version in the segment.
        found: u16,
        /// What this build reads.
        readable: u16,
    },
    /// A segment was to be built from no frame at all.
    #[error("a time segment needs at least one frame")]
    NoFrames,
    /// Frames must come in ascending order of their ids.
    #[error(
        "frame {frame} came after frame {previous}: a time segment takes frames in ascending order"
    )]
    Order {
        /// The frame that came too late.
        frame: FrameId,
        /// The frame before it.
        previous: FrameId,
    },
    /// More frames than one segment holds.
    #[error("a time segment holds at most {limit} frames")]
    TooManyFrames {
        /// The limit.
        limit: u64,
    },
    /// The range ends before it begins, so that nothing could ever lie in it.
    #[error("since {since} is after until {until}: no time lies between them")]
    EmptyRange {
        /// Where the range begins.
        since: Timestamp,
        /// Where it ends.
        until: Timestamp,
    },
    /// A text was taken for a cursor and is not one.
    #[error("{text:?} is not a timeline cursor")]
    BadCursor {
        /// The text, or the start of a long one.
        text: String,
    },
    /// A cursor was given together with a query that it does not belong to.
    #[error("the cursor belongs to another timeline: its {what} differs")]
    OtherCursor {
        /// What differs: `since`, `until` or `order`.
        what: &'static str,
    },
    /// Whether a frame is dead could not be found out.
    #[error("whether frame {frame} is deleted could not be read")]
    Dead {
        /// The frame.
        frame: FrameId,
        /// What the caller's test said.
        #[source]
        source: BoxError,
    },
    /// A text was taken for a time and is not one.
    #[error("{text:?} is not a time: expected {}{}", crate::parse::ACCEPTED, did_you_mean(.suggestion))]
    NotATime {
        /// The text, or the start of a long one.
        text: String,
        /// What was probably meant, in a form that is accepted.
        suggestion: Option<String>,
    },
    /// A time that cannot be expressed in microseconds since 1970 in 64 bits, or in the calendar.
    #[error("{text:?} lies outside of the times that can be expressed")]
    OutOfRange {
        /// The text, or the start of a long one.
        text: String,
    },
}

impl Error {
    pub(crate) fn invalid(expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Format(mv2_format::Error::invalid("time segment", expected, found))
    }

    /// What was probably meant, where a text is not a time but nearly one.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::NotATime { suggestion, .. } => suggestion.as_deref(),
            _ => None,
        }
    }
}

/// A message shows the start of a long text, not all of it.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion
        .as_ref()
        .map_or_else(String::new, |text| format!("; did you mean {text:?}?"))
}
