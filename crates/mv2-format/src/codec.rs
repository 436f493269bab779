//! Compression of payloads and metadata blocks.
//!
//! | id | codec | written for |
//! |---|---|---|
//! | 0 | as it is | what does not shrink |
//! | 1 | LZ4 block | the log, fresh small segments |
//! | 2 | zstd frame | metadata and payload of larger segments |
//! | 3 | zstd frame with the segment's dictionary | payload of segments that are worth a dictionary |
//!
//! zstd is written through the C library (feature `zstd`, on by default) and read by it too; without the feature
//! it is read in pure Rust and not written.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// How a block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As it is.
    Stored,
    /// An LZ4 block without frame or length.
    Lz4,
    /// A zstd frame.
    Zstd,
    /// A zstd frame that needs the segment's dictionary.
    ZstdDictionary,
}

impl Codec {
    /// The number in the file.
    pub const fn id(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
            Self::ZstdDictionary => 3,
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
            2 => Ok(Self::Zstd),
            3 => Ok(Self::ZstdDictionary),
            other => Err(Error::invalid("codec", "0 to 3", other)),
        }
    }
}

/// How dense a segment is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Density {
    /// LZ4 in blocks of 16 KiB: fast to write, for what is rewritten soon.
    Light,
    /// zstd: for what stays level 3. Without a dictionary level 1, which is half as much work for 4 % more bytes: such
    /// segments are small and joined later.
    Dense,
    /// zstd level 19: for what is read only. About twenty times slower to write.
    Densest,
}

impl Density {
    /// What this build can write: without the feature `zstd` everything is light.
    #[must_use]
    pub fn possible(self) -> Self {
        if cfg!(feature = "zstd") {
            self
        } else {
            Self::Light
        }
    }
}

/// Compresses blocks of a segment.
pub(crate) struct Compressor {
    #[cfg(feature = "zstd")]
    plain: Option<zstd::bulk::Compressor<'static>>,
    #[cfg(feature = "zstd")]
    with_dictionary: Option<zstd::bulk::Compressor<'static>>,
}

#[cfg(feature = "zstd")]
impl Compressor {
    pub(crate) fn new(density: Density, dictionary: &[u8]) -> Result<Self> {
        let level = match density {
            Density::Light => None,
            Density::Dense if dictionary.is_empty() => Some(1),
            Density::Dense => Some(3),
            Density::Densest => Some(19),
        };
        let failed = |error| Error::invalid("zstd", "a compressor", error);
        let plain = level
            .map(zstd::bulk::Compressor::new)
            .transpose()
            .map_err(failed)?;
        let with_dictionary = level
            .filter(|_| !dictionary.is_empty())
            .map(|level| zstd::bulk::Compressor::with_dictionary(level, dictionary))
            .transpose()
            .map_err(failed)?;
        Ok(Self {
            plain,
            with_dictionary,
        })
    }

    /// Compresses a block of payload, with the dictionary if there is one.
    pub(crate) fn payload(&mut self, raw: &[u8]) -> Result<(Codec, Vec<u8>)> {
        match &mut self.with_dictionary {
            Some(zstd) => pack(zstd, Codec::ZstdDictionary, raw),
            None => self.metadata(raw),
        }
    }

    /// Compresses a block without the dictionary.
    pub(crate) fn metadata(&mut self, raw: &[u8]) -> Result<(Codec, Vec<u8>)> {
        match &mut self.plain {
            Some(zstd) => pack(zstd, Codec::Zstd, raw),
            None => Ok(compress(raw)),
        }
    }
}

#[cfg(feature = "zstd")]
fn pack(
    zstd: &mut zstd::bulk::Compressor<'static>,
    codec: Codec,
    raw: &[u8],
) -> Result<(Codec, Vec<u8>)> {
    let packed = zstd
        .compress(raw)
        .map_err(|error| Error::invalid("zstd", "a block", error))?;
    // What a reader would refuse to allocate goes through LZ4, which cannot exceed that bound.
    if packed.len() < raw.len() && raw.len() as u64 <= most_raw_bytes(packed.len()) {
        Ok((codec, packed))
    } else {
        Ok(compress(raw))
    }
}

#[cfg(not(feature = "zstd"))]
impl Compressor {
    pub(crate) fn new(_: Density, _: &[u8]) -> Result<Self> {
        Ok(Self {})
    }

    pub(crate) fn payload(&mut self, raw: &[u8]) -> Result<(Codec, Vec<u8>)> {
        Ok(compress(raw))
    }

    pub(crate) fn metadata(&mut self, raw: &[u8]) -> Result<(Codec, Vec<u8>)> {
        Ok(compress(raw))
    }
}

/// Trains a dictionary of at most `max_bytes` on samples of what is to be compressed. Empty if this build does not write zstd
/// or the samples are too few.
pub fn train_dictionary(samples: &[Vec<u8>], max_bytes: usize) -> Vec<u8> {
    #[cfg(feature = "zstd")]
    {
        zstd::dict::from_samples(samples, max_bytes).unwrap_or_default()
    }
    #[cfg(not(feature = "zstd"))]
    {
        let _ = (samples, max_bytes);
        Vec::new()
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

/// Most uncompressed bytes that a reader believes of so many stored ones. LZ4 packs at most 255 to 1.
const fn most_raw_bytes(stored: usize) -> u64 {
    stored as u64 * 255 + 64
}

/// Decompresses blocks of a segment.
#[derive(Default)]
pub struct Decompressor {
    dictionary: Vec<u8>,
    /// Contexts that are not in use; making one costs more than a block.
    idle: Mutex<Vec<Context>>,
}

impl Decompressor {
    /// For blocks without dictionary, or with this one.
    pub fn new(dictionary: Vec<u8>) -> Self {
        Self {
            dictionary,
            idle: Mutex::default(),
        }
    }

    /// Decompresses a block to exactly `raw_len` bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `raw_len` is more than 255 times the stored bytes plus 64, so that what is allocated is
    /// bounded by what is in the file, or if they hold something else.
    pub fn decompress(&self, codec: Codec, stored: &[u8], raw_len: usize) -> Result<Vec<u8>> {
        if codec != Codec::Stored && raw_len as u64 > most_raw_bytes(stored.len()) {
            return Err(Error::invalid(
                "block",
                format!("at most 255 x {} + 64 bytes", stored.len()),
                raw_len,
            ));
        }
        let raw = match codec {
            Codec::Stored => stored.to_vec(),
            Codec::Lz4 => lz4_flex::block::decompress(stored, raw_len)
                .map_err(|error| Error::invalid("LZ4 block", "sound bytes", error))?,
            Codec::Zstd | Codec::ZstdDictionary => self.zstd(stored, raw_len)?,
        };
        if raw.len() != raw_len {
            return Err(Error::invalid(
                "block",
                format!("{raw_len} bytes"),
                raw.len(),
            ));
        }
        Ok(raw)
    }

    fn zstd(&self, stored: &[u8], raw_len: usize) -> Result<Vec<u8>> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut context = match taken {
            Some(context) => context,
            None => Context::new(&self.dictionary)?,
        };
        let raw = context.decompress(stored, raw_len)?;
        idle().push(context);
        Ok(raw)
    }
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Decompressor(dictionary of {} bytes)",
            self.dictionary.len()
        )
    }
}

#[cfg(feature = "zstd")]
struct Context(zstd::bulk::Decompressor<'static>);

#[cfg(feature = "zstd")]
impl Context {
    fn new(dictionary: &[u8]) -> Result<Self> {
        zstd::bulk::Decompressor::with_dictionary(dictionary)
            .map(Self)
            .map_err(|error| Error::invalid("zstd dictionary", "a sound one", error))
    }

    fn decompress(&mut self, stored: &[u8], raw_len: usize) -> Result<Vec<u8>> {
        self.0
            .decompress(stored, raw_len)
            .map_err(|error| Error::invalid("zstd block", "sound bytes", error))
    }
}

#[cfg(not(feature = "zstd"))]
struct Context(pure::Context);

#[cfg(not(feature = "zstd"))]
impl Context {
    fn new(dictionary: &[u8]) -> Result<Self> {
        pure::Context::new(dictionary).map(Self)
    }

    fn decompress(&mut self, stored: &[u8], raw_len: usize) -> Result<Vec<u8>> {
        self.0.decompress(stored, raw_len)
    }
}

/// zstd in pure Rust, for builds without the C library.
#[cfg(any(not(feature = "zstd"), test))]
mod pure {
    use ruzstd::decoding::{Dictionary, FrameDecoder};

    use crate::error::{Error, Result};

    pub(super) struct Context(FrameDecoder);

    impl Context {
        pub(super) fn new(dictionary: &[u8]) -> Result<Self> {
            let mut decoder = FrameDecoder::new();
            if !dictionary.is_empty() {
                let failed = |error: &dyn std::fmt::Display| {
                    Error::invalid("zstd dictionary", "a sound one", error)
                };
                let dictionary =
                    Dictionary::decode_dict(dictionary).map_err(|error| failed(&error))?;
                decoder
                    .add_dict(dictionary)
                    .map_err(|error| failed(&error))?;
            }
            Ok(Self(decoder))
        }

        pub(super) fn decompress(&mut self, stored: &[u8], raw_len: usize) -> Result<Vec<u8>> {
            let mut raw = vec![0; raw_len];
            let written = self
                .0
                .decode_all(stored, &mut raw)
                .map_err(|error| Error::invalid("zstd block", "sound bytes", error))?;
            raw.truncate(written);
            Ok(raw)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(codec: Codec, stored: &[u8], raw_len: usize) -> Result<Vec<u8>> {
        Decompressor::default().decompress(codec, stored, raw_len)
    }

    proptest! {
        #[test]
        fn blocks_come_back(bytes: Vec<u8>, repeat in 1usize..50) {
            let raw = bytes.repeat(repeat);
            let (codec, stored) = compress(&raw);
            prop_assert!(stored.len() <= raw.len());
            prop_assert_eq!(plain(codec, &stored, raw.len()).unwrap(), raw.clone());
            for density in [Density::Light, Density::Dense] {
                let (codec, stored) = Compressor::new(density, &[]).unwrap().payload(&raw).unwrap();
                prop_assert_eq!(plain(codec, &stored, raw.len()).unwrap(), raw.clone());
            }
        }

        #[test]
        fn garbage_is_an_error_or_some_bytes(mut stored: Vec<u8>, len in 0usize..100_000) {
            for codec in [Codec::Lz4, Codec::Zstd] {
                if let Ok(raw) = plain(codec, &stored, len) {
                    prop_assert_eq!(raw.len(), len);
                }
                stored.splice(0..0, [0x28, 0xb5, 0x2f, 0xfd]);
            }
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn pure_rust_reads_what_the_c_library_writes() {
        let words = [
            "memory", "frame", "commit", "snapshot", "agent", "search", "写真", "記憶",
        ];
        let text = |seed: usize| -> Vec<u8> {
            let pick = |i: usize| words[(seed * 31 + i * i * 7 + i / 3) % words.len()];
            (0..60).map(pick).collect::<Vec<_>>().join(" ").into_bytes()
        };
        let samples: Vec<_> = (0..2_000).map(text).collect();
        let dictionary = train_dictionary(&samples, 4 << 10);
        assert!(!dictionary.is_empty());
        let mut compressor = Compressor::new(Density::Dense, &dictionary).unwrap();
        let reader = Decompressor::new(dictionary.clone());
        let mut pure = pure::Context::new(&dictionary).unwrap();
        for seed in 0..200 {
            let raw = text(seed).repeat(1 + seed % 9);
            let (codec, stored) = compressor.payload(&raw).unwrap();
            assert_eq!(codec, Codec::ZstdDictionary);
            assert_eq!(reader.decompress(codec, &stored, raw.len()).unwrap(), raw);
            assert_eq!(pure.decompress(&stored, raw.len()).unwrap(), raw);
        }
    }

    #[test]
    fn the_best_case_of_lz4_stays_below_the_bound() {
        let raw = vec![0; 64 << 20];
        let (codec, stored) = compress(&raw);
        assert_eq!(codec, Codec::Lz4);
        assert!(plain(codec, &stored, raw.len()).is_ok());
        let mut dense = Compressor::new(Density::Dense, &[]).unwrap();
        let (codec, stored) = dense.payload(&raw).unwrap();
        assert!(plain(codec, &stored, raw.len()).is_ok());
    }

    #[test]
    fn a_huge_length_is_refused_before_it_is_allocated() {
        for codec in [Codec::Lz4, Codec::Zstd, Codec::ZstdDictionary] {
            assert!(plain(codec, &[0; 10], usize::MAX).is_err());
        }
    }
}
