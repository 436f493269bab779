//! The contract between the store, which keeps segments, and the crates that know what is inside.
//!
//! The store hands each frame of a new segment to the builders that were registered with it and
//! keeps what they write as a segment of their kind. It never looks inside. A reader of an index
//! gets its bytes back as [`SegmentBytes`], which checks each page at first touch.

use std::ops::Range;

use crate::attachments::Attachment;
use crate::frame::{Frame, FrameMeta};
use crate::ids::FrameId;
use crate::payload::PayloadReader;
use crate::segment::{SegmentBytes, SegmentKind};

/// An error of an index builder, boxed: the store passes it on and does not look inside.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A kind of index that can be built from frames.
pub trait IndexFactory: Send + Sync {
    /// The kind of the segments that the builders write.
    fn kind(&self) -> SegmentKind;

    /// A builder for one segment.
    fn builder(&self) -> Box<dyn IndexBuilder>;

    /// A builder for a segment that holds one frame alone, whose text is huge (see [`FrameMeta::is_huge_text`]). `None` if
    /// such a frame goes into a segment with its neighbours.
    fn builder_of_huge(&self) -> Option<Box<dyn IndexBuilder>> {
        None
    }

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

    /// Takes in a frame with a large payload, which is its text. By default it is read as a whole.
    ///
    /// # Errors
    /// As for [`add`](Self::add), and what is wrong with the payload.
    fn add_large(&mut self, meta: &FrameMeta, mut payload: PayloadReader) -> Result<(), BoxError> {
        let mut frame = Frame {
            meta: meta.clone(),
            payload: Vec::new(),
        };
        while let Some(piece) = payload.next_piece()? {
            frame.payload.extend_from_slice(piece);
        }
        self.add(&frame)
    }

    /// Returns the finished segment's bytes.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    fn finish(self: Box<Self>) -> Result<Vec<u8>, BoxError>;
}

/// How much work a build may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Somebody waits: what takes as long as reading and writing it, no more.
    Quick,
    /// Nobody waits: what makes searches fast may be built, if it takes minutes.
    Thorough,
}

/// A live segment of an index over attachments, for its decision on what to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSize {
    /// Rows.
    pub rows: u64,
    /// Bytes of the body.
    pub bytes: u64,
    /// How many of its frames have died since the dead ones were set apart.
    pub dead: u64,
    /// Whether it was built with [`Effort::Thorough`], whatever that came to.
    pub thorough: bool,
}

/// What a new segment of an index over attachments is made of, and what is wanted of it.
pub struct AttachmentSource<'a> {
    /// Older segments of the same part, oldest first.
    pub segments: &'a [SegmentBytes],
    /// New rows, by frame.
    pub attachments: &'a [Attachment],
    /// Which frames are wanted.
    pub wanted: &'a dyn Fn(FrameId) -> bool,
    /// Whether somebody waits.
    pub effort: Effort,
    /// Asked now and then; `true` ends the build with an error.
    pub cancelled: &'a dyn Fn() -> bool,
}

/// An index over what frames carry for it, as vectors. The store keeps each attachment until a segment of the index has
/// it, and never makes one up.
pub trait AttachmentIndex: Send + Sync {
    /// The kind of the segments, and of the attachments.
    fn kind(&self) -> SegmentKind;

    /// Builds one segment: its body and the number of its rows. `None` if nothing is wanted.
    ///
    /// # Errors
    /// Whatever the index cannot take. The store then keeps segments and attachments as they are.
    fn build(&self, source: &AttachmentSource<'_>) -> Result<Option<(Vec<u8>, u64)>, BoxError>;

    /// Which neighbouring segments of one part are due to become one, and with how much effort; of a single one that is due to be
    /// built anew, a range of one. With [`Effort::Quick`] somebody waits: then only what takes no longer is due, which may be
    /// little enough for [`Effort::Thorough`].
    fn due(&self, segments: &[SegmentSize], patience: Effort) -> Option<(Range<usize>, Effort)>;
}
