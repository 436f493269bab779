//! A payload that is read piece by piece, so that a large one is never in memory as a whole.

use std::sync::Arc;

use crate::data::StreamReader;
use crate::error::Result;
use crate::frame::Frame;

/// A payload of this many bytes is worth reading piece by piece.
pub const LARGE_PAYLOAD_BYTES: u64 = 1 << 20;

/// Most bytes of a piece of a payload in memory.
const PIECE_BYTES: usize = 64 << 10;

/// Reads the payload of a frame piece by piece. Cheap to clone; each clone goes on by itself.
///
/// ```
/// use std::sync::Arc;
/// use mv2_format::{Frame, PayloadReader};
///
/// let frame = Frame { payload: b"to be".to_vec(), ..Frame::default() };
/// let mut reader = PayloadReader::from(Arc::new(frame));
/// assert_eq!(reader.next_piece()?, Some(&b"to be"[..]));
/// assert_eq!(reader.next_piece()?, None);
/// reader.rewind();
/// assert!(reader.next_piece()?.is_some());
/// # Ok::<(), mv2_format::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PayloadReader(Source);

#[derive(Clone, Debug)]
enum Source {
    Frame(Arc<Frame>, usize),
    Segment(Box<StreamReader>),
}

impl PayloadReader {
    /// The next piece, of at least one byte; `None` at the end. Characters may be cut.
    ///
    /// # Errors
    /// What is wrong with the pages of the segment that holds it.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>> {
        match &mut self.0 {
            Source::Frame(frame, at) => {
                let rest = &frame.payload[*at..];
                let piece = &rest[..rest.len().min(PIECE_BYTES)];
                *at += piece.len();
                Ok((!piece.is_empty()).then_some(piece))
            }
            Source::Segment(reader) => reader.next_piece(),
        }
    }

    /// Goes back to the beginning.
    pub fn rewind(&mut self) {
        match &mut self.0 {
            Source::Frame(_, at) => *at = 0,
            Source::Segment(reader) => reader.rewind(),
        }
    }
}

impl From<Arc<Frame>> for PayloadReader {
    fn from(frame: Arc<Frame>) -> Self {
        Self(Source::Frame(frame, 0))
    }
}

impl From<StreamReader> for PayloadReader {
    fn from(reader: StreamReader) -> Self {
        Self(Source::Segment(Box::new(reader)))
    }
}
