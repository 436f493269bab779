//! Reads tensors from a safetensors file, once from front to back, as single precision, with the BLAKE3 of the whole file.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | length of the header, little-endian |
//! | length | JSON: name -> `dtype`, `shape`, `data_offsets`, counted from the end of the header |
//! | rest | the tensors |
//!
//! The file is not mapped: it is not ours, and one that gets shorter under a map ends the process.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use super::fault::Fault;

/// What the format allows a header to have. Those of the models here have some ten thousand bytes.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes that are read at once. A multiple of the size of every number.
const BLOCK: usize = 1 << 16;

/// The tensors of a file, by name.
pub(super) struct Tensors {
    tensors: HashMap<String, Tensor>,
    /// BLAKE3 of the file.
    pub(super) hash: [u8; 32],
}

struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// A tensor as the header describes it.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// Numbers that are read as single precision.
#[derive(Clone, Copy)]
enum Kind {
    F32,
    F16,
    BF16,
}

impl Tensors {
    /// Reads the tensors whose names `wanted` accepts; their shapes are looked at when they are taken.
    pub(super) fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self, Fault> {
        let file = File::open(path).map_err(Fault::io)?;
        let length = file.metadata().map_err(Fault::io)?.len();
        let mut source = Hashing {
            source: BufReader::with_capacity(BLOCK, file),
            hasher: blake3::Hasher::new(),
        };
        let header = read_header(&mut source, length)?;
        let mut at = 0;
        let mut tensors = HashMap::new();
        let mut entries: Vec<(String, Entry)> = header.into_iter().collect();
        entries.sort_by_key(|(_, entry)| entry.data_offsets);
        for (name, entry) in entries {
            let (begin, end) = entry.data_offsets;
            if begin < at {
                let expected = format!("data from byte {at} on, behind the tensor before");
                return Err(Fault::new(of(&name), expected, begin));
            }
            source.skip(begin - at)?;
            if wanted(&name) {
                let data = read_tensor(&mut source, &name, &entry)?;
                let shape = entry.shape;
                tensors.insert(name, Tensor { shape, data });
            } else {
                source.skip(end - begin)?;
            }
            at = end;
        }
        source.skip_rest()?;
        let hash = *source.hasher.finalize().as_bytes();
        Ok(Self { tensors, hash })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Which of some prefixes a tensor has in front of its name; none if there is no such tensor.
    pub(super) fn prefix(&self, prefixes: &[&'static str], name: &str) -> &'static str {
        let is_there = |prefix: &&&str| self.has(&format!("{prefix}{name}"));
        prefixes.iter().find(is_there).copied().unwrap_or("")
    }

    /// Takes a tensor out. A shape of 0 means any length.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Fault> {
        let Some(tensor) = self.tensors.remove(name) else {
            return Err(Fault::new(
                of(name),
                format!("a tensor of shape {shape:?}"),
                "none",
            ));
        };
        let fits = shape.len() == tensor.shape.len()
            && shape
                .iter()
                .zip(&tensor.shape)
                .all(|(want, have)| *want == 0 || want == have);
        if !fits {
            let found = format!("{:?}", tensor.shape);
            return Err(Fault::new(of(name), format!("shape {shape:?}"), found));
        }
        if let Some(at) = tensor.data.iter().position(|x| !x.is_finite()) {
            let found = format!("{} at {at}", tensor.data[at]);
            return Err(Fault::new(of(name), "finite numbers", found));
        }
        Ok(tensor.data)
    }
}

fn of(tensor: &str) -> String {
    format!("tensor {tensor}")
}

/// The header, once each of its tensors lies inside of the file.
fn read_header(source: &mut impl Read, length: u64) -> Result<BTreeMap<String, Entry>, Fault> {
    let mut size = [0; 8];
    if length < 8 {
        return Err(Fault::new("length", "8 bytes or more", length));
    }
    source.read_exact(&mut size).map_err(Fault::io)?;
    let size = u64::from_le_bytes(size);
    let room = (length - 8).min(MAX_HEADER);
    if size > room {
        let expected = format!("at most {room} bytes, as the file has {length}");
        return Err(Fault::new("length of the header", expected, size));
    }
    let mut json = Vec::new();
    source
        .take(size)
        .read_to_end(&mut json)
        .map_err(Fault::io)?;
    let broken = |error: &dyn ToString| Fault::new("header", "JSON of tensors", error.to_string());
    let mut header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&json).map_err(|error| broken(&error))?;
    header.remove("__metadata__");
    let data = length - 8 - size;
    let mut entries = BTreeMap::new();
    for (name, value) in header {
        let entry: Entry = serde_json::from_value(value)
            .map_err(|error| Fault::new(of(&name), "dtype, shape and data_offsets", error))?;
        let (begin, end) = entry.data_offsets;
        if begin > end || end > data {
            let expected =
                format!("inside of the {data} bytes behind the header (is the file whole?)");
            return Err(Fault::new(of(&name), expected, format!("{begin} to {end}")));
        }
        entries.insert(name, entry);
    }
    Ok(entries)
}

fn read_tensor(source: &mut impl Read, name: &str, entry: &Entry) -> Result<Vec<f32>, Fault> {
    let kind = match entry.dtype.as_str() {
        "F32" => Kind::F32,
        "F16" => Kind::F16,
        "BF16" => Kind::BF16,
        other => return Err(Fault::new(of(name), "F32, F16 or BF16", other)),
    };
    let (begin, end) = entry.data_offsets;
    let count = entry
        .shape
        .iter()
        .try_fold(1_usize, |all, n| all.checked_mul(*n));
    let bytes = count.and_then(|count| u64::try_from(count.checked_mul(kind.bytes())?).ok());
    let (Some(count), true) = (count, bytes == Some(end - begin)) else {
        let expected = format!("as many bytes as {:?} of {}", entry.shape, entry.dtype);
        return Err(Fault::new(of(name), expected, end - begin));
    };
    // The file has that many bytes: the header was held against its length.
    let mut data = Vec::with_capacity(count);
    let mut block = vec![0; BLOCK];
    while data.len() < count {
        let bytes = BLOCK.min((count - data.len()) * kind.bytes());
        let block = &mut block[..bytes];
        source.read_exact(block).map_err(Fault::io)?;
        kind.decode(block, &mut data);
    }
    Ok(data)
}

impl Kind {
    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    fn decode(self, bytes: &[u8], to: &mut Vec<f32>) {
        match self {
            Self::F32 => to.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
            Self::F16 => {
                let numbers = bytes.as_chunks().0.iter();
                to.extend(numbers.map(|b| half::f16::from_le_bytes(*b).to_f32()));
            }
            Self::BF16 => {
                let numbers = bytes.as_chunks().0.iter();
                to.extend(numbers.map(|b| half::bf16::from_le_bytes(*b).to_f32()));
            }
        }
    }
}

/// Reads, and hashes what is read.
struct Hashing<R> {
    source: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Hashing<R> {
    fn skip(&mut self, bytes: u64) -> Result<(), Fault> {
        let skipped = std::io::copy(&mut self.by_ref().take(bytes), &mut std::io::sink());
        match skipped.map_err(Fault::io)? {
            all if all == bytes => Ok(()),
            _ => Err(Fault::io(std::io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn skip_rest(&mut self) -> Result<(), Fault> {
        std::io::copy(self, &mut std::io::sink()).map_err(Fault::io)?;
        Ok(())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(header: &str, data: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let length = (header.len() as u64).to_le_bytes();
        std::fs::write(&file, [&length, header.as_bytes(), data].concat()).unwrap();
        file
    }

    fn fault(header: &str, data: &[u8]) -> String {
        let read = Tensors::read(write(header, data).path(), |_| true);
        read.err().unwrap().to_string()
    }

    #[test]
    fn three_kinds_of_numbers_are_read() {
        let header = r#"{"__metadata__":{"format":"pt"},
            "b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},
            "a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},
            "c":{"dtype":"BF16","shape":[],"data_offsets":[12,14]},
            "ids":{"dtype":"I64","shape":[1],"data_offsets":[14,22]}}"#;
        let mut data = [1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat();
        data.extend(half::f16::from_f32(0.25).to_le_bytes());
        data.extend(half::f16::from_f32(-8.0).to_le_bytes());
        data.extend(half::bf16::from_f32(3.0).to_le_bytes());
        data.extend([0; 8]);
        let file = write(header, &data);
        let mut tensors = Tensors::read(file.path(), |name| name != "ids").unwrap();
        assert_eq!(
            tensors.hash,
            *blake3::hash(&std::fs::read(&file).unwrap()).as_bytes()
        );
        assert_eq!(tensors.take("a", &[0, 2]).unwrap(), [1.5, -2.0]);
        assert_eq!(tensors.take("b", &[2]).unwrap(), [0.25, -8.0]);
        assert_eq!(tensors.take("c", &[]).unwrap(), [3.0]);
        assert!(!tensors.has("ids"));
        assert!(tensors.take("a", &[0, 2]).is_err(), "it was taken");
    }

    #[test]
    fn a_fault_names_the_tensor_and_what_is_wrong() {
        let entry = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let cases = [
            (entry("F32", "[2]", "[0,8]"), 7, "whole"),
            (entry("F32", "[2]", "[8,0]"), 8, "8 to 0"),
            (entry("F32", "[3]", "[0,8]"), 8, "bytes"),
            (
                entry("F32", "[4294967296,4294967296,2]", "[0,8]"),
                8,
                "bytes",
            ),
            (entry("F64", "[1]", "[0,8]"), 8, "F64"),
            (entry("F32", "[-1]", "[0,8]"), 8, "dtype, shape"),
            (r#"{"w":{"dtype":"F32"}}"#.to_owned(), 8, "shape"),
        ];
        for (header, bytes, says) in cases {
            let message = fault(&header, &vec![0; bytes]);
            assert!(
                message.contains("tensor w") && message.contains(says),
                "{message}"
            );
        }
        let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
            "w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
        assert!(fault(overlap, &[0; 8]).contains("tensor w"));
        assert!(fault("{", &[]).contains("header"));
        assert!(fault("", &[]).contains("header"));
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (bytes, says) in [
            (&[0xff; 8][..], "length of the header"),
            (&[1, 0, 0, 0], "8 bytes or more"),
            (&[], "8 bytes or more"),
            (&[2, 0, 0, 0, 0, 0, 0, 0, b'{'], "length of the header"),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let message = Tensors::read(file.path(), |_| true)
                .err()
                .unwrap()
                .to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn shapes_and_values_are_checked_when_a_tensor_is_taken() {
        let header = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let data = [1.0_f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat();
        let file = write(header, &data);
        let read = || Tensors::read(file.path(), |_| true).unwrap();
        for (name, shape, says) in [
            ("w", &[3][..], "[2]"),
            ("w", &[2, 1], "[2]"),
            ("w", &[2], "NaN at 1"),
            ("v", &[2], "none"),
        ] {
            let message = read().take(name, shape).unwrap_err().to_string();
            assert!(
                message.contains(says) && message.contains(name),
                "{message}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_file_or_a_fault(bytes in proptest::collection::vec(0_u8.., 0..200), size in 0_u8..200) {
            let file = tempfile::NamedTempFile::new().unwrap();
            let length = u64::from(size).to_le_bytes();
            std::fs::write(&file, [&length[..], &bytes].concat()).unwrap();
            let _ = Tensors::read(file.path(), |_| true);
        }
    }
}
