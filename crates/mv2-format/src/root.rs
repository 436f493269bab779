//! The root pages and the footer: three descriptions of a checkpoint, each in one page.
//! `docs/format.md`, section "Root pages and footer".

use crate::error::{Error, Result};
use crate::header::{check_page, seal_page};
use crate::ids::{CommitId, FileOffset, Generation};
use crate::segment::PAGE_BYTES;
use crate::wire::Reader;

/// Which of the descriptions a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// One of the two pages behind the header.
    Page,
    /// The last page of a checkpoint.
    Footer,
}

impl RootKind {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Page => b"MV2ROOT\n",
            Self::Footer => b"MV2FOOT\n",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Page => "root page",
            Self::Footer => "footer",
        }
    }
}

/// A checkpoint: where its table of contents is and how far the file is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The file's uuid.
    pub uuid: [u8; 16],
    /// The checkpoint's number, from 1.
    pub generation: Generation,
    /// End of the checkpoint's footer page.
    pub committed_len: u64,
    /// Where the TOC begins.
    pub toc_offset: FileOffset,
    /// Length of the TOC in bytes.
    pub toc_len: u64,
    /// BLAKE3 of the TOC.
    pub toc_hash: [u8; 32],
    /// The newest commit that the segments hold.
    pub last_commit: CommitId,
}

impl Root {
    /// Where the root page of a generation is: even ones at 4096, odd ones at 8192.
    pub const fn page_offset(generation: Generation) -> FileOffset {
        FileOffset(PAGE_BYTES as u64 * (1 + generation.0 % 2))
    }

    /// The description as a page.
    pub fn encode(&self, kind: RootKind) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE_BYTES);
        page.extend_from_slice(kind.magic());
        page.extend_from_slice(&self.uuid);
        for number in [
            self.generation.0,
            self.committed_len,
            self.toc_offset.0,
            self.toc_len,
        ] {
            page.extend_from_slice(&number.to_le_bytes());
        }
        page.extend_from_slice(&self.toc_hash);
        page.extend_from_slice(&self.last_commit.0.to_le_bytes());
        seal_page(page)
    }

    /// Reads a root page or footer of the file with this uuid.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Checksum`] or [`Error::Invalid`]; `offset` is for messages.
    pub fn decode(
        bytes: &[u8],
        kind: RootKind,
        uuid: &[u8; 16],
        offset: FileOffset,
    ) -> Result<Self> {
        let what = kind.what();
        check_page(bytes, what, offset)?;
        let mut reader = Reader::new(bytes, what);
        reader.magic(kind.magic())?;
        let root = Self {
            uuid: reader.array()?,
            generation: Generation(reader.u64()?),
            committed_len: reader.u64()?,
            toc_offset: FileOffset(reader.u64()?),
            toc_len: reader.u64()?,
            toc_hash: reader.array()?,
            last_commit: CommitId(reader.u64()?),
        };
        reader.reserved(PAGE_BYTES - 4 - reader.pos())?;
        let page = PAGE_BYTES as u64;
        if root.uuid != *uuid {
            return Err(Error::invalid(what, "the file's uuid", "another one"));
        }
        if root.generation.0 == 0 {
            return Err(Error::invalid(what, "a generation from 1", 0));
        }
        let toc_end = root
            .toc_len
            .checked_next_multiple_of(page)
            .and_then(|len| root.toc_offset.0.checked_add(len));
        if !root.toc_offset.0.is_multiple_of(page)
            || !root.committed_len.is_multiple_of(page)
            || toc_end.and_then(|end| end.checked_add(page)) != Some(root.committed_len)
        {
            return Err(Error::invalid(
                what,
                "TOC, its padding and one page up to committed_len",
                format!(
                    "TOC at {} of {} bytes, committed_len {}",
                    root.toc_offset, root.toc_len, root.committed_len
                ),
            ));
        }
        Ok(root)
    }

    /// What the first batch of this generation names as its predecessor.
    pub fn wal_seed(&self) -> [u8; 16] {
        crate::checksum::hash16_of(&[
            b"mv2-wal\n",
            &self.uuid,
            &self.generation.0.to_le_bytes(),
            &self.toc_hash,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Root {
        Root {
            uuid: [3; 16],
            generation: Generation(9),
            committed_len: 5 * 4096,
            toc_offset: FileOffset(3 * 4096),
            toc_len: 130,
            toc_hash: [1; 32],
            last_commit: CommitId(77),
        }
    }

    #[test]
    fn roots_come_back_and_kinds_do_not_mix() {
        for kind in [RootKind::Page, RootKind::Footer] {
            let page = root().encode(kind);
            assert_eq!(
                Root::decode(&page, kind, &[3; 16], FileOffset(0)).unwrap(),
                root()
            );
        }
        let footer = root().encode(RootKind::Footer);
        assert!(Root::decode(&footer, RootKind::Page, &[3; 16], FileOffset(0)).is_err());
        assert!(Root::decode(&footer, RootKind::Footer, &[4; 16], FileOffset(0)).is_err());
    }

    #[test]
    fn every_flipped_byte_is_an_error() {
        let page = root().encode(RootKind::Page);
        for at in 0..page.len() {
            let mut bad = page.clone();
            bad[at] ^= 1;
            assert!(Root::decode(&bad, RootKind::Page, &[3; 16], FileOffset(0)).is_err());
        }
    }

    #[test]
    fn seeds_differ_between_generations_and_contents() {
        let mut other = root();
        other.toc_hash[0] ^= 1;
        assert_ne!(root().wal_seed(), other.wal_seed());
        let mut other = root();
        other.generation = Generation(10);
        assert_ne!(root().wal_seed(), other.wal_seed());
    }
}
