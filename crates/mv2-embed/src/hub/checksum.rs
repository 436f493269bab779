//! The two checksums by which the hub names files.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What a file's bytes must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// SHA-256 of the bytes: large files.
    Sha256(String),
    /// The name that git gives them, SHA-1 of `blob <length>`, a zero byte, and the bytes: small files.
    Git(String),
}

/// A checksum of bytes that arrive one after the other.
pub(super) enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Checksum {
    /// Reads the value of an `ETag`.
    pub(super) fn parse(etag: &str) -> Option<Self> {
        let etag = etag.trim().trim_start_matches("W/").trim_matches('"');
        if !etag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let etag = etag.to_ascii_lowercase();
        match etag.len() {
            64 => Some(Self::Sha256(etag)),
            40 => Some(Self::Git(etag)),
            _ => None,
        }
    }

    /// The digits, which are also the name of the file in the cache.
    pub(super) fn digits(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::Git(digits) => digits,
        }
    }

    /// What computes it, for a file of so many bytes.
    pub(super) fn hasher(&self, length: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Self::Git(_) => Hasher::Git(Sha1::new().chain_update(format!("blob {length}\0"))),
        }
    }
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
        }
    }

    /// The digits of what was read so far.
    pub(super) fn digits(self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sha256(hasher) => hex(&hasher.finalize()),
            Self::Git(hasher) => hex(&hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_sha256sum_and_of_git() {
        let digits = |checksum: Checksum, bytes: &[u8]| {
            let mut hasher = checksum.hasher(bytes.len() as u64);
            hasher.update(&bytes[..1]);
            hasher.update(&bytes[1..]);
            hasher.digits()
        };
        // `printf 'hello\n' | sha256sum` and `printf 'hello\n' | git hash-object --stdin`.
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        for known in [sha256, git] {
            let checksum = Checksum::parse(&format!("W/\"{}\"", known.to_uppercase())).unwrap();
            assert_eq!(checksum.digits(), known);
            assert_eq!(digits(checksum, b"hello\n"), known);
        }
        for etag in [
            "",
            "\"abc\"",
            "../../etc",
            "\"5d41402abc4b2a76b9719d911017c592-4\"",
        ] {
            assert_eq!(Checksum::parse(etag), None, "{etag}");
        }
    }
}
