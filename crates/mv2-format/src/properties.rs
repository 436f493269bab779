//! Properties of a memory: small named values with their history, such as which embedder its vectors come from.
//! `docs/format.md`, section "Properties".

use crate::error::{Error, Result};
use crate::ids::CommitId;
use crate::segment::SegmentBytes;
use crate::wire::{Reader, put_str, put_varint};

const MAGIC: &[u8; 4] = b"MV2P";
const HEAD_BYTES: usize = 16;

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 10;

/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// A value that a commit gave to a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Property {
    /// Its name.
    pub key: String,
    /// The commit.
    pub commit: CommitId,
    /// The value; `None` where the commit took it away.
    pub value: Option<Vec<u8>>,
}

impl Property {
    /// Checks the limits of the format.
    ///
    /// # Errors
    /// [`Error::TooLarge`] names what exceeds its limit.
    pub fn check_limits(&self) -> Result<()> {
        let value = self.value.as_ref().map_or(0, Vec::len);
        for (what, len, limit) in [
            ("key of a property", self.key.len(), MAX_KEY_BYTES),
            ("value of a property", value, MAX_VALUE_BYTES),
        ] {
            if len > limit {
                return Err(Error::TooLarge {
                    what,
                    len: len as u64,
                    limit: limit as u64,
                });
            }
        }
        Ok(())
    }
}

/// Appends key and value.
pub(crate) fn encode_property(out: &mut Vec<u8>, property: &Property) {
    put_str(out, &property.key);
    match &property.value {
        Some(value) => {
            out.push(1);
            put_varint(out, value.len() as u64);
            out.extend_from_slice(value);
        }
        None => out.push(0),
    }
}

/// Reads key and value.
pub(crate) fn decode_property(reader: &mut Reader<'_>, commit: CommitId) -> Result<Property> {
    let key = reader.str()?.to_owned();
    let value = match reader.u8()? {
        0 => None,
        1 => {
            let len = reader.length()?;
            Some(reader.bytes(len)?.to_owned())
        }
        other => return Err(Error::invalid("presence of a value", "0 or 1", other)),
    };
    let property = Property { key, commit, value };
    property.check_limits()?;
    Ok(property)
}

/// Encodes properties as the body of a segment. Sorts them by key and commit.
pub fn encode(mut rows: Vec<Property>) -> Vec<u8> {
    rows.sort_unstable();
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    for row in &rows {
        out.extend_from_slice(&row.commit.0.to_le_bytes());
        encode_property(&mut out, row);
    }
    out
}

/// Decodes the body of a segment.
///
/// # Errors
/// [`Error::Truncated`], [`Error::Invalid`], or damage of a page.
pub fn decode(bytes: &SegmentBytes) -> Result<Vec<Property>> {
    let mut reader = Reader::new(bytes.all()?, "property segment");
    reader.magic(MAGIC)?;
    let version = reader.u16()?;
    if version != 1 {
        return Err(Error::invalid("property segment version", "1", version));
    }
    reader.reserved(2)?;
    let count = reader.u64()?;
    debug_assert_eq!(reader.pos(), HEAD_BYTES);
    // A row has ten bytes at least, so this is bounded by what is there.
    let mut rows: Vec<Property> = Vec::with_capacity((reader.left() / 10).min(count as usize));
    while reader.left() > 0 {
        let commit = CommitId(reader.u64()?);
        rows.push(decode_property(&mut reader, commit)?);
    }
    let ascend = |a: &Property, b: &Property| (&a.key, a.commit) < (&b.key, b.commit);
    if count != rows.len() as u64 || !rows.is_sorted_by(ascend) {
        return Err(Error::invalid(
            "property segment",
            format!("{count} rows in order"),
            rows.len(),
        ));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows() -> Vec<Property> {
        let row = |key: &str, commit, value: Option<&[u8]>| Property {
            key: key.into(),
            commit: CommitId(commit),
            value: value.map(<[u8]>::to_vec),
        };
        vec![
            row("a", 1, Some(b"x")),
            row("a", 4, None),
            row("b", 2, Some(b"")),
        ]
    }

    #[test]
    fn properties_come_back_in_order() {
        let mut shuffled = rows();
        shuffled.rotate_left(1);
        let bytes = SegmentBytes::from_vec(encode(shuffled));
        assert_eq!(decode(&bytes).unwrap(), rows());
    }

    #[test]
    fn a_key_has_one_value_at_each_commit() {
        let mut twice = rows();
        twice.push(twice[0].clone());
        assert!(decode(&SegmentBytes::from_vec(encode(twice))).is_err());
    }

    #[test]
    fn limits_hold() {
        let mut property = rows().remove(0);
        property.value = Some(vec![0; MAX_VALUE_BYTES + 1]);
        assert!(property.check_limits().is_err());
    }

    proptest! {
        #[test]
        fn damaged_bytes_decode_without_panic(at in 0usize..200, value: u8) {
            let mut bytes = encode(rows());
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = decode(&SegmentBytes::from_vec(bytes));
        }
    }
}
