//! Attachments: what frames carry for an index that cannot be built from their text, such as vectors.
//! `docs/format.md`, section "Attachments".

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ids::FrameId;
use crate::segment::{SegmentBytes, SegmentKind};
use crate::wire::Reader;

const MAGIC: &[u8; 4] = b"MV2A";
const HEAD_BYTES: usize = 16;
const ROW_HEAD_BYTES: usize = 24;

/// Longest attachment, in bytes.
pub const MAX_ATTACHMENT_BYTES: usize = 64 << 20;

/// Bytes that a frame carries for an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The frame.
    pub frame: FrameId,
    /// The kind of the index.
    pub kind: SegmentKind,
    /// Which of several indexes of the kind.
    pub part: u32,
    /// What the index made of it; the store does not look inside.
    pub bytes: Arc<[u8]>,
}

impl Attachment {
    /// Checks the limit of the format.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::Invalid`] for a kind that is no index.
    pub fn check_limits(&self) -> Result<()> {
        if self.bytes.len() > MAX_ATTACHMENT_BYTES {
            return Err(Error::TooLarge {
                what: "attachment",
                len: self.bytes.len() as u64,
                limit: MAX_ATTACHMENT_BYTES as u64,
            });
        }
        if self.kind < SegmentKind::LEX {
            return Err(Error::invalid(
                "kind of an attachment",
                "an index",
                self.kind,
            ));
        }
        Ok(())
    }
}

/// Appends an attachment.
pub(crate) fn encode_attachment(out: &mut Vec<u8>, attachment: &Attachment) {
    out.extend_from_slice(&attachment.frame.0.to_le_bytes());
    out.extend_from_slice(&attachment.kind.0.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&attachment.part.to_le_bytes());
    out.extend_from_slice(&(attachment.bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(&attachment.bytes);
}

/// Reads an attachment.
pub(crate) fn decode_attachment(reader: &mut Reader<'_>) -> Result<Attachment> {
    let frame = FrameId(reader.u64()?);
    let kind = SegmentKind(reader.u16()?);
    reader.reserved(2)?;
    let part = reader.u32()?;
    let len = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
    let attachment = Attachment {
        frame,
        kind,
        part,
        bytes: reader.bytes(len)?.into(),
    };
    attachment.check_limits()?;
    Ok(attachment)
}

/// Encodes attachments as the body of a segment, in the order in which they were made.
pub fn encode(rows: &[Attachment]) -> Vec<u8> {
    let bytes: usize = rows
        .iter()
        .map(|row| ROW_HEAD_BYTES + row.bytes.len())
        .sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + bytes);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    for row in rows {
        encode_attachment(&mut out, row);
    }
    out
}

/// Decodes the body of a segment.
///
/// # Errors
/// [`Error::Truncated`], [`Error::Invalid`], or damage of a page.
pub fn decode(bytes: &SegmentBytes) -> Result<Vec<Attachment>> {
    let mut reader = Reader::new(bytes.all()?, "attachment segment");
    reader.magic(MAGIC)?;
    let version = reader.u16()?;
    if version != 1 {
        return Err(Error::invalid("attachment segment version", "1", version));
    }
    reader.reserved(2)?;
    let count = reader.u64()?;
    debug_assert_eq!(reader.pos(), HEAD_BYTES);
    let mut rows = Vec::new();
    while reader.left() > 0 {
        rows.push(decode_attachment(&mut reader)?);
    }
    if count != rows.len() as u64 {
        return Err(Error::invalid("attachments", count.to_string(), rows.len()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows() -> Vec<Attachment> {
        let row = |frame, part, bytes: &[u8]| Attachment {
            frame: FrameId(frame),
            kind: SegmentKind::VECTORS,
            part,
            bytes: bytes.into(),
        };
        vec![row(3, 0, b"abc"), row(1, 2, b""), row(3, 1, b"de")]
    }

    #[test]
    fn attachments_come_back() {
        assert_eq!(
            decode(&SegmentBytes::from_vec(encode(&rows()))).unwrap(),
            rows()
        );
    }

    #[test]
    fn only_indexes_have_attachments() {
        let mut row = rows().remove(0);
        row.kind = SegmentKind::DATA;
        assert!(row.check_limits().is_err());
    }

    proptest! {
        #[test]
        fn damaged_bytes_decode_without_panic(at in 0usize..200, value: u8) {
            let mut bytes = encode(&rows());
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = decode(&SegmentBytes::from_vec(bytes));
        }
    }
}
