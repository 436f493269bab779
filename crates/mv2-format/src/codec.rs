//! Compression of payloads and metadata blocks.

use crate::error::{Error, Result};

/// How a block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As it is.
    Stored,
    /// An LZ4 block without frame or length.
    Lz4,
}

impl Codec {
    /// The number in the file.
    pub const fn id(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Lz4 => 1,
        }
    }

    /// The codec of a number in the file.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown one.
    pub fn from_id(id: u8) -> Result<Self> {
        match id {
            0 => Ok(Self::Stored),
            1 => Ok(Self::Lz4),
            other => Err(Error::invalid("codec", "0 or 1", other)),
        }
    }
}

/// Compresses with LZ4 if that saves anything.
pub fn compress(raw: &[u8]) -> (Codec, Vec<u8>) {
    let packed = lz4_flex::block::compress(raw);
    if packed.len() < raw.len() {
        (Codec::Lz4, packed)
    } else {
        (Codec::Stored, raw.to_vec())
    }
}

/// Decompresses a block to exactly `raw_len` bytes.
///
/// # Errors
/// [`Error::Invalid`] if `raw_len` is more than the stored bytes can hold (LZ4 packs at most 255 to 1,
/// so that what is allocated is bounded by what is in the file), or if they hold something else.
pub fn decompress(codec: Codec, stored: &[u8], raw_len: usize) -> Result<Vec<u8>> {
    match codec {
        Codec::Stored => {
            if stored.len() != raw_len {
                return Err(Error::invalid(
                    "stored block",
                    format!("{raw_len} bytes"),
                    stored.len(),
                ));
            }
            Ok(stored.to_vec())
        }
        Codec::Lz4 => {
            if raw_len as u64 > stored.len() as u64 * 255 + 64 {
                return Err(Error::invalid(
                    "LZ4 block",
                    format!("at most 255 x {} + 64 bytes", stored.len()),
                    raw_len,
                ));
            }
            let raw = lz4_flex::block::decompress(stored, raw_len)
                .map_err(|error| Error::invalid("LZ4 block", "sound bytes", error))?;
            if raw.len() != raw_len {
                return Err(Error::invalid(
                    "LZ4 block",
                    format!("{raw_len} bytes"),
                    raw.len(),
                ));
            }
            Ok(raw)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_come_back(bytes: Vec<u8>, repeat in 1usize..50) {
            let raw = bytes.repeat(repeat);
            let (codec, stored) = compress(&raw);
            prop_assert!(stored.len() <= raw.len());
            prop_assert_eq!(decompress(codec, &stored, raw.len()).unwrap(), raw);
        }

        #[test]
        fn garbage_is_an_error_or_some_bytes(stored: Vec<u8>, len in 0usize..100_000) {
            if let Ok(raw) = decompress(Codec::Lz4, &stored, len) {
                prop_assert_eq!(raw.len(), len);
            }
        }
    }

    #[test]
    fn the_best_case_of_lz4_stays_below_the_bound() {
        let raw = vec![0; 64 << 20];
        let (codec, stored) = compress(&raw);
        assert_eq!(codec, Codec::Lz4);
        assert!(decompress(codec, &stored, raw.len()).is_ok());
    }

    #[test]
    fn a_huge_length_is_refused_before_it_is_allocated() {
        assert!(decompress(Codec::Lz4, &[0; 10], usize::MAX).is_err());
    }
}
