//! Purged frames: those of which nothing is left but their numbers.
//! `docs/format.md`, section "Purged frames".

use crate::error::{Error, Result};
use crate::frame_set::FrameSet;
use crate::ids::FrameId;
use crate::segment::SegmentBytes;
use crate::wire::Reader;

const MAGIC: &[u8; 4] = b"MV2X";
const HEAD_BYTES: usize = 16;
const RUN_BYTES: usize = 16;

/// The property that the commit of a purge sets: how many frames it took, as 8 bytes.
pub const PURGE_KEY: &str = "mv2.purge";

/// The value of [`PURGE_KEY`].
pub fn encode_count(frames: u64) -> Vec<u8> {
    frames.to_le_bytes().to_vec()
}

/// The inverse of [`encode_count`].
///
/// # Errors
/// [`Error::Invalid`] for another length.
pub fn decode_count(value: &[u8]) -> Result<u64> {
    let bytes = value.try_into().map_err(|_| {
        let found = format!("{} bytes", value.len());
        Error::invalid("number of purged frames", "8 bytes", found)
    })?;
    Ok(u64::from_le_bytes(bytes))
}

/// Encodes a set of frames as the body of a segment.
///
/// ```
/// use mv2_format::{FrameId, FrameSet, SegmentBytes, purged};
///
/// let frames: FrameSet = [FrameId(7), FrameId(3), FrameId(4)].into_iter().collect();
/// let body = purged::encode(&frames);
/// assert_eq!(purged::decode(&SegmentBytes::from_vec(body))?, frames);
/// # Ok::<(), mv2_format::Error>(())
/// ```
pub fn encode(frames: &FrameSet) -> Vec<u8> {
    let runs = frames.runs();
    let mut out = Vec::with_capacity(HEAD_BYTES + runs.len() * RUN_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(runs.len() as u64).to_le_bytes());
    for run in runs {
        out.extend_from_slice(&run.start.0.to_le_bytes());
        out.extend_from_slice(&run.end.0.to_le_bytes());
    }
    out
}

/// Reads a segment's body.
///
/// # Errors
/// A damaged page, a wrong head, or runs that are empty, touch or do not ascend.
pub fn decode(bytes: &SegmentBytes) -> Result<FrameSet> {
    let mut reader = Reader::new(bytes.all()?, "purged frames");
    reader.magic(MAGIC)?;
    let version = reader.u16()?;
    if version != 1 {
        return Err(Error::invalid("version of purged frames", "1", version));
    }
    reader.reserved(2)?;
    let count = reader.u64()?;
    if count.checked_mul(RUN_BYTES as u64) != Some(reader.left() as u64) {
        let expected = format!("{} bytes of runs", reader.left());
        return Err(Error::invalid("runs of purged frames", expected, count));
    }
    let mut runs = Vec::with_capacity(reader.left() / RUN_BYTES);
    let mut end = None;
    while reader.left() > 0 {
        let run = FrameId(reader.u64()?)..FrameId(reader.u64()?);
        if run.is_empty() || end.is_some_and(|end| run.start <= end) {
            let found = format!("{}..{}", run.start, run.end);
            let expected = "runs that ascend with gaps between them";
            return Err(Error::invalid("run of purged frames", expected, found));
        }
        end = Some(run.end);
        runs.push(run);
    }
    Ok(runs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: Vec<u8>) -> Result<FrameSet> {
        decode(&SegmentBytes::from_vec(body))
    }

    proptest! {
        #[test]
        fn sets_come_back(frames in prop::collection::vec(0u64..200, 0..60)) {
            let frames: FrameSet = frames.into_iter().map(FrameId).collect();
            prop_assert_eq!(read(encode(&frames)).unwrap(), frames);
        }

        #[test]
        fn any_bytes_decode_without_panic(mut body in prop::collection::vec(any::<u8>(), 0..80), magic: bool) {
            if magic && body.len() >= 6 {
                body[..4].copy_from_slice(MAGIC);
                body[4..6].copy_from_slice(&1u16.to_le_bytes());
            }
            let _ = read(body);
        }
    }

    #[test]
    fn runs_that_touch_or_turn_back_are_refused() {
        let frames: FrameSet = [FrameId(2), FrameId(5)].into_iter().collect();
        let sound = encode(&frames);
        // The end of the first run, and the start of the second.
        for (at, number) in [(24, 2u64), (24, 5), (24, 6), (32, 1), (32, 3)] {
            let mut bad = sound.clone();
            bad[at..at + 8].copy_from_slice(&number.to_le_bytes());
            assert!(read(bad).is_err(), "{number} at {at}");
        }
        let mut cut = sound.clone();
        cut.pop();
        assert!(read(cut).is_err());
        assert!(decode_count(&[1; 7]).is_err());
        assert_eq!(decode_count(&encode_count(9)).unwrap(), 9);
    }
}
