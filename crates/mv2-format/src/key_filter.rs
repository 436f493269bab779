//! A filter over the keys of a small table: most keys that are asked for are not there, and it says so from one word.

/// Bits for each key, of which it sets up to three in one word. One in a hundred keys that are not there passes.
const BITS_PER_KEY: usize = 16;

/// Larger tables have none: making it reads them whole.
pub(crate) const MAX_KEYS: usize = 16 << 10;

/// Which keys may be in a table. Keys are hashes, so they serve as their own.
#[derive(Clone, Debug)]
pub(crate) struct KeyFilter {
    bits: Box<[u64]>,
}

impl KeyFilter {
    /// A filter of so many keys.
    pub(crate) fn new(count: usize, keys: impl Iterator<Item = u32>) -> Self {
        let words = (count * BITS_PER_KEY).div_ceil(64).max(1);
        let mut filter = Self {
            bits: vec![0; words].into(),
        };
        for key in keys {
            let (word, mask) = filter.place(key);
            filter.bits[word] |= mask;
        }
        filter
    }

    /// Whether the key may be there.
    pub(crate) fn may_have(&self, key: u32) -> bool {
        let (word, mask) = self.place(key);
        self.bits[word] & mask == mask
    }

    fn place(&self, key: u32) -> (usize, u64) {
        // The upper part of the product is uniform over the words, and says little about the lower bits of the key.
        let word = (u64::from(key) * self.bits.len() as u64) >> 32;
        let bit = |shift: u32| 1u64 << ((key >> shift) & 63);
        (word as usize, bit(0) | bit(6) | bit(12))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_key_is_missed(keys: Vec<u32>) {
            let filter = KeyFilter::new(keys.len(), keys.iter().copied());
            for key in keys {
                prop_assert!(filter.may_have(key));
            }
        }
    }

    #[test]
    fn few_others_pass() {
        let hash = |n: u32| {
            let hash = crate::checksum::hash32(&n.to_le_bytes());
            u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
        };
        let filter = KeyFilter::new(1_000, (0..1_000).map(hash));
        let passed = (1_000..101_000)
            .filter(|n| filter.may_have(hash(*n)))
            .count();
        assert!(passed < 2_000, "{passed} of 100,000");
    }
}
