//! The token table: 8-bit rows, a factor each, and the vocabulary as a hash table that is searched where it lies.

use crate::error::{Error, Result};

/// Numbers in a row.
pub(super) const DIMS: usize = 256;

const HEADER_BYTES: usize = 64;
const MAGIC: &[u8] = b"MV2STAT1";

/// A view of the table's bytes. Making one looks at the header alone.
#[derive(Clone, Copy)]
pub(super) struct Table {
    codes: &'static [[u8; DIMS]],
    factors: &'static [[u8; 2]],
    ends: &'static [[u8; 4]],
    slots: &'static [[u8; 2]],
    text: &'static [u8],
    longest: usize,
}

impl Table {
    /// # Errors
    /// [`Error::Model`] if the header is not that of a table, or the bytes are not as many as it says.
    pub(super) fn open(bytes: &'static [u8]) -> Result<Self> {
        let magic = bytes.get(..MAGIC.len()).unwrap_or_default();
        if magic != MAGIC || bytes.len() < HEADER_BYTES {
            return Err(wrong("magic", format!("{MAGIC:?}"), format!("{magic:?}")));
        }
        let field = |index: usize| {
            let at = MAGIC.len() + 4 * index;
            let mut field = [0; 4];
            field.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(field)
        };
        let [rows, dims, pieces, slots, text, longest] = std::array::from_fn(field);
        if dims as usize != DIMS {
            return Err(wrong("dimensions", DIMS.to_string(), dims.to_string()));
        }
        // Half empty, so that a search for what is not there ends soon.
        if !slots.is_power_of_two() || pieces > slots / 2 {
            let expected = format!("a power of two, at least twice the {pieces} pieces");
            return Err(wrong("slots", expected, slots.to_string()));
        }
        if rows > pieces {
            let expected = format!("at most {pieces}");
            return Err(wrong("rows", expected, rows.to_string()));
        }
        let sizes = [(rows, DIMS), (rows, 2), (pieces, 4), (slots, 2), (text, 1)];
        let sections: u64 = sizes
            .iter()
            .map(|(count, width)| u64::from(*count) * *width as u64)
            .sum();
        let expected = sections + HEADER_BYTES as u64;
        if expected != bytes.len() as u64 {
            let found = bytes.len().to_string();
            return Err(wrong("length", expected.to_string(), found));
        }
        let mut rest = &bytes[HEADER_BYTES..];
        let [codes, factors, ends, slots, text] = sizes.map(|(count, width)| {
            let (section, left) = rest.split_at(count as usize * width);
            rest = left;
            section
        });
        Ok(Self {
            codes: codes.as_chunks().0,
            factors: factors.as_chunks().0,
            ends: ends.as_chunks().0,
            slots: slots.as_chunks().0,
            text,
            longest: longest as usize,
        })
    }

    /// Bytes of the longest piece.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The number of the piece `head` + `tail`, whose hash is known.
    pub(super) fn find(&self, hash: Hash, head: &[u8], tail: &[u8]) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash.slot() & mask;
        // Each slot is looked at once at most, whatever the bytes are.
        for _ in 0..self.slots.len() {
            let number = u32::from(u16::from_le_bytes(*self.slots.get(at)?)).checked_sub(1)?;
            if self.piece(number).strip_prefix(head) == Some(tail) {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// The bytes of a piece.
    pub(super) fn piece(&self, number: u32) -> &'static [u8] {
        let end = |index: usize| {
            let end = self.ends.get(index);
            end.map_or(0, |end| u32::from_le_bytes(*end) as usize)
        };
        let index = number as usize;
        let start = index.checked_sub(1).map_or(0, end);
        self.text.get(start..end(index)).unwrap_or_default()
    }

    /// The row of a piece with its factor; `None` for pieces of scripts that the model does not know.
    pub(super) fn row(&self, number: u32) -> Option<(&'static [u8; DIMS], u16)> {
        let index = number as usize;
        let factor = self.factors.get(index)?;
        Some((self.codes.get(index)?, u16::from_le_bytes(*factor)))
    }

    /// The number of pieces.
    #[cfg(test)]
    pub(super) fn pieces(&self) -> u32 {
        self.ends.len() as u32
    }
}

/// FNV-1a of 32 bits, as far as it is read.
#[derive(Clone, Copy)]
pub(super) struct Hash(u32);

impl Hash {
    /// Of nothing.
    pub(super) const START: Self = Self(0x811c_9dc5);

    /// With one byte more.
    pub(super) fn push(self, byte: u8) -> Self {
        Self((self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    fn slot(self) -> usize {
        (self.0 ^ (self.0 >> 15)) as usize
    }
}

fn wrong(what: &str, expected: String, found: String) -> Error {
    Error::Model {
        model: super::embedder::NAME.to_owned(),
        what: format!("{what} of the token table"),
        expected,
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_whose_hash_stands_beside_it() {
        let hash = blake3::hash(mv2_embed_static::TABLE);
        assert_eq!(hash.to_hex().as_str(), mv2_embed_static::BLAKE3);
        assert!(mv2_embed_static::TABLE.len() <= 8_000_000);
    }

    #[test]
    fn every_piece_is_found_under_its_number() {
        let table = Table::open(mv2_embed_static::TABLE).unwrap();
        assert!(table.pieces() > 29_000);
        for number in 0..table.pieces() {
            let piece = table.piece(number);
            let hash = piece
                .iter()
                .fold(Hash::START, |hash, byte| hash.push(*byte));
            assert_eq!(table.find(hash, b"", piece), Some(number), "{piece:?}");
        }
    }

    #[test]
    fn what_is_not_a_table_is_an_error_that_says_where() {
        let open = |bytes: Vec<u8>| {
            let opened = Table::open(bytes.leak());
            opened.map(|_| ()).unwrap_err().to_string()
        };
        assert!(open(Vec::new()).contains("magic"));
        assert!(open(b"MV2STAT1".to_vec()).contains("magic"));
        let head = &mv2_embed_static::TABLE[..HEADER_BYTES];
        assert!(open(head.to_vec()).contains("length"));
        let with = |at: usize, value: u32| {
            let mut head = head.to_vec();
            head[at..at + 4].copy_from_slice(&value.to_le_bytes());
            open(head)
        };
        assert!(with(8, u32::MAX).contains("rows"));
        assert!(with(12, 255).contains("dimensions"));
        assert!(with(16, u32::MAX).contains("slots"));
        assert!(with(20, 0).contains("slots"));
        assert!(with(24, u32::MAX).contains("length"));
    }
}
