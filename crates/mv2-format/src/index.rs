//! The contract between the store, which keeps segments, and the crates that know what is inside.
//!
//! The store hands each frame of a new segment to the builders that were registered with it and
//! keeps what they write as a segment of their kind. It never looks inside. A reader of an index
//! gets its bytes back as [`SegmentBytes`](crate::SegmentBytes), which checks each page at first touch.

use crate::frame::Frame;
use crate::segment::SegmentKind;

/// An error of an index builder, boxed: the store passes it on and does not look inside.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A kind of index that can be built from frames.
pub trait IndexFactory: Send + Sync {
    /// The kind of the segments that the builders write.
    fn kind(&self) -> SegmentKind;

    /// A builder for one segment.
    fn builder(&self) -> Box<dyn IndexBuilder>;

    /// Whether the store gives frames that are dead to a builder of their own, so that what is alive is searched
    /// without them. Their segment is needed for the past only.
    fn keeps_history_apart(&self) -> bool {
        false
    }

    /// Whether the builders look at a frame's payload. If not, they may get frames with an empty one.
    fn reads_payload(&self) -> bool {
        true
    }
}

/// Builds one index segment from a run of frames.
///
/// The same frames in the same order give the same bytes.
pub trait IndexBuilder: Send {
    /// Takes in a frame. Frames come in ascending order of their ids.
    ///
    /// # Errors
    /// Whatever the index cannot take. The store then leaves these frames out of the index, commits
    /// all the same and tries again at the next checkpoint.
    fn add(&mut self, frame: &Frame) -> Result<(), BoxError>;

    /// Returns the finished segment's bytes.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    fn finish(self: Box<Self>) -> Result<Vec<u8>, BoxError>;
}
