//! What became of a file that was written anew.

/// The length of a file before and after it was written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewritten {
    /// Length of the file before, in bytes.
    pub bytes_before: u64,
    /// Length of the new file, in bytes. That of a file without dead bytes can be a little larger than before.
    pub bytes_after: u64,
}

impl From<(u64, u64)> for Rewritten {
    fn from((bytes_before, bytes_after): (u64, u64)) -> Self {
        Self {
            bytes_before,
            bytes_after,
        }
    }
}
