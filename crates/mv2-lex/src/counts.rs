//! Columns of small numbers with cumulative look-up: token counts of documents, gaps between frames.
//!
//! ```text
//! block directory: 16 bytes for each block of 128 values
//!   0  u64  sum of all values before the block
//!   8  u32  offset of the block's bits from the start of the data, in bytes
//!   12 u8   bits of each value, 0 to 64      13 u8[3] zero
//! data: for each block its values, bit-packed from the lowest bit on, padded to whole bytes
//! ```
//!
//! A cumulative look-up reads one directory entry and at most one block, however long the column.

use mv2_format::SegmentBytes;

use crate::error::{Error, Result};

const BLOCK: usize = 128;
const ENTRY_BYTES: usize = 16;

/// Encodes a column.
pub(crate) fn encode(values: &[u64]) -> Result<Vec<u8>> {
    let mut directory = Vec::with_capacity(values.len().div_ceil(BLOCK) * ENTRY_BYTES);
    let mut data = Vec::new();
    let mut base = 0u64;
    for block in values.chunks(BLOCK) {
        let bits = 64
            - block
                .iter()
                .fold(0, |all, value| all | value)
                .leading_zeros();
        let offset = u32::try_from(data.len())
            .map_err(|_| Error::invalid("column", "below 4 GiB", data.len()))?;
        directory.extend_from_slice(&base.to_le_bytes());
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(&bits.to_le_bytes());
        pack(block, bits, &mut data);
        base = block
            .iter()
            .fold(base, |sum, value| sum.saturating_add(*value));
    }
    directory.extend_from_slice(&data);
    Ok(directory)
}

fn pack(values: &[u64], bits: u32, out: &mut Vec<u8>) {
    let mut pending = 0u128;
    let mut filled = 0;
    for &value in values {
        pending |= u128::from(value) << filled;
        filled += bits;
        while filled >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(pending as u8);
    }
}

/// A column at rest.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    bytes: SegmentBytes,
    len: usize,
}

/// One entry of the directory.
struct Block {
    base: u64,
    offset: usize,
    bits: u32,
}

/// Construct
impl Column {
    /// Opens a column of `len` values. Reads nothing but the length.
    pub(crate) fn open(bytes: SegmentBytes, len: usize) -> Result<Self> {
        let needed = len.div_ceil(BLOCK) * ENTRY_BYTES;
        if bytes.len() < needed {
            return Err(Error::Format(mv2_format::Error::Truncated {
                what: "column of a lexical segment",
                needed: needed as u64,
                available: bytes.len() as u64,
            }));
        }
        Ok(Self { bytes, len })
    }
}

/// Access
impl Column {
    /// The sum of the first `count` values.
    pub(crate) fn sum_before(&self, count: usize) -> Result<u64> {
        let count = count.min(self.len);
        if count == 0 {
            return Ok(0);
        }
        // The end of a full block is best read as the rest of that block, so that no entry behind
        // the last one is needed.
        let block = (count - 1) / BLOCK;
        let (entry, values) = self.block(block)?;
        Ok(values[..count - block * BLOCK]
            .iter()
            .fold(entry.base, |sum, value| sum.saturating_add(*value)))
    }

    /// One value.
    pub(crate) fn value(&self, index: usize) -> Result<u64> {
        let (_, values) = self.block(index / BLOCK)?;
        values
            .get(index % BLOCK)
            .copied()
            .ok_or_else(|| Error::invalid("index in a column", "inside", index))
    }

    /// The largest `count` whose [`sum_before`](Self::sum_before) is at most `sum`, and that sum.
    ///
    /// With all values but the first at least one, this finds a number in an ascending list of
    /// which the column holds the gaps.
    pub(crate) fn partition(&self, sum: u64) -> Result<(usize, u64)> {
        let blocks = self.len.div_ceil(BLOCK);
        let (mut low, mut high) = (0, blocks);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.base <= sum {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(block) = low.checked_sub(1) else {
            return Ok((0, 0));
        };
        let (entry, values) = self.block(block)?;
        let mut total = entry.base;
        for (at, value) in values.iter().enumerate() {
            match total.checked_add(*value) {
                Some(next) if next <= sum => total = next,
                _ => return Ok((block * BLOCK + at, total)),
            }
        }
        Ok((block * BLOCK + values.len(), total))
    }

    fn entry(&self, block: usize) -> Result<Block> {
        let at = block * ENTRY_BYTES;
        let entry = self.bytes.get(at..at + ENTRY_BYTES)?;
        let mut base = [0; 8];
        base.copy_from_slice(&entry[..8]);
        let mut offset = [0; 4];
        offset.copy_from_slice(&entry[8..12]);
        if entry[12] > 64 || entry[13..] != [0; 3] {
            return Err(Error::invalid(
                "block of a column of a lexical segment",
                "at most 64 bits and zeros",
                format!("{:02x?}", &entry[12..]),
            ));
        }
        Ok(Block {
            base: u64::from_le_bytes(base),
            offset: u32::from_le_bytes(offset) as usize,
            bits: u32::from(entry[12]),
        })
    }

    fn block(&self, block: usize) -> Result<(Block, Vec<u64>)> {
        let entry = self.entry(block)?;
        let count = BLOCK.min(self.len.saturating_sub(block * BLOCK));
        let start = self.len.div_ceil(BLOCK) * ENTRY_BYTES + entry.offset;
        let bytes = self
            .bytes
            .get(start..start + (count * entry.bits as usize).div_ceil(8))?;
        let values = unpack(bytes, count, entry.bits);
        Ok((entry, values))
    }

    /// Checks that each block begins where the one before it ends, in sum and in bytes, and
    /// returns the sum of all values.
    pub(crate) fn verify(&self) -> Result<u64> {
        let mut sum = 0u64;
        let mut offset = 0;
        for block in 0..self.len.div_ceil(BLOCK) {
            let (entry, values) = self.block(block)?;
            if entry.base != sum || entry.offset != offset {
                return Err(Error::invalid(
                    "block of a column of a lexical segment",
                    format!("sum {sum} and offset {offset}"),
                    format!("{} and {}", entry.base, entry.offset),
                ));
            }
            offset += (values.len() * entry.bits as usize).div_ceil(8);
            sum = values
                .iter()
                .try_fold(sum, |sum, value| sum.checked_add(*value))
                .ok_or_else(|| {
                    Error::invalid("column of a lexical segment", "a sum in 64 bits", "more")
                })?;
        }
        Ok(sum)
    }
}

fn unpack(bytes: &[u8], count: usize, bits: u32) -> Vec<u64> {
    let mask = if bits == 64 {
        u64::MAX
    } else {
        (1 << bits) - 1
    };
    let mut pending = 0u128;
    let mut filled = 0;
    let mut bytes = bytes.iter();
    (0..count)
        .map(|_| {
            while filled < bits {
                pending |= u128::from(bytes.next().copied().unwrap_or(0)) << filled;
                filled += 8;
            }
            let value = pending as u64 & mask;
            pending >>= bits;
            filled -= bits;
            value
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[u64]) -> Column {
        Column::open(
            SegmentBytes::from_vec(encode(values).unwrap()),
            values.len(),
        )
        .unwrap()
    }

    #[test]
    fn sums_and_values_come_back_at_each_place() {
        for len in [0, 1, 127, 128, 129, 1000] {
            let values: Vec<u64> = (0..len as u64).map(|i| i * i % 97).collect();
            let column = column(&values);
            let mut sum = 0;
            for (at, value) in values.iter().enumerate() {
                assert_eq!(column.sum_before(at).unwrap(), sum);
                assert_eq!(column.value(at).unwrap(), *value);
                sum += value;
            }
            assert_eq!(column.sum_before(len).unwrap(), sum);
            assert_eq!(column.verify().unwrap(), sum);
        }
    }

    #[test]
    fn values_of_all_widths_come_back() {
        for bits in 0..=64u32 {
            let top = if bits == 0 {
                0
            } else {
                u64::MAX >> (64 - bits)
            };
            let values = [top, 0, top / 3];
            let column = column(&values);
            for (at, value) in values.iter().enumerate() {
                assert_eq!(column.value(at).unwrap(), *value);
            }
        }
    }

    #[test]
    fn a_number_is_found_among_the_gaps() {
        let frames: Vec<u64> = (0..500u64).map(|i| i * 3 + i / 7).collect();
        let mut gaps = vec![0];
        gaps.extend(frames.windows(2).map(|pair| pair[1] - pair[0]));
        let column = column(&gaps);
        for target in 0..1700 {
            let below = frames.partition_point(|frame| *frame <= target);
            assert_eq!(column.partition(target).unwrap().0, below, "{target}");
        }
    }

    #[test]
    fn a_count_costs_little() {
        let values: Vec<u64> = (0..20_000u64).map(|i| 40 + i * 31 % 60).collect();
        assert!(encode(&values).unwrap().len() < 20_000 * 11 / 10);
    }
}
