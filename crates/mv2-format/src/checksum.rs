//! The two checks of the format: CRC-32 against damage on the read path, BLAKE3 for identity.

/// CRC-32 (IEEE 802.3, as in zlib) of some bytes.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The BLAKE3 hash of some bytes.
pub fn hash32(bytes: &[u8]) -> [u8; 32] {
    blake3::hash(bytes).into()
}

/// The first 16 bytes of the BLAKE3 hash of some bytes.
pub fn hash16(bytes: &[u8]) -> [u8; 16] {
    first16(&hash32(bytes))
}

/// The first 16 bytes of the BLAKE3 hash of some parts, in order.
pub fn hash16_of(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    first16(hasher.finalize().as_bytes())
}

fn first16(hash: &[u8; 32]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}
