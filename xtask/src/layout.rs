//! Where things lie in a file, read from `docs/format.md` alone.
//!
//! The damages of `fixtures` need offsets: of the newest root page, of a segment's body, of a batch
//! in the log. They are found here with the numbers of the page and not with the project's decoders,
//! so that an encoder and a decoder that agree on a mistake are seen.

use std::ops::Range;

use anyhow::{Context, Result, bail};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Where the CRC of a header or root page stands.
pub(crate) const PAGE_CRC: usize = 4092;
/// The two root pages.
pub(crate) const ROOTS: [usize; 2] = [4096, 8192];

/// Offsets in one file.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The root page of the newest generation.
    pub(crate) root: usize,
    /// The footer page of that generation.
    pub(crate) footer: usize,
    /// Live segments: kind and body.
    pub(crate) segments: Vec<(u16, Range<usize>)>,
    /// Batches of that generation in the log, each from its header to the end of its records.
    pub(crate) batches: Vec<Range<usize>>,
}

/// Reads the offsets of a sound file.
pub(crate) fn read(file: &[u8]) -> Result<Layout> {
    let root = ROOTS
        .into_iter()
        .filter(|root| file.get(*root..root + 8) == Some(b"MV2ROOT\n"))
        .max_by_key(|root| u64_at(file, root + 24).unwrap_or(0))
        .context("no root page")?;
    let generation = u64_at(file, root + 24)?;
    if root != ROOTS[usize::from(generation % 2 == 1)] {
        bail!("generation {generation} has its root page at {root}");
    }
    let footer = usize_at(file, root + 32)?
        .checked_sub(PAGE)
        .context("committed_len is less than a page")?;
    if file.get(footer..footer + 8) != Some(b"MV2FOOT\n") {
        bail!("no footer at {footer}");
    }
    let toc = usize_at(file, root + 40)?;
    if file.get(toc..toc + 8) != Some(b"MV2TOC3\n") {
        bail!("no table of contents at {toc}");
    }
    let mut segments = Vec::new();
    for index in 0..u32_at(file, toc + 80)? as usize {
        let entry = toc + 128 + 112 * index;
        let kind = u16::from_le_bytes(bytes_at(file, entry)?);
        let offset = usize_at(file, entry + 16)?;
        let len = usize_at(file, entry + 24)?;
        segments.push((kind, offset..offset + len));
    }
    Ok(Layout {
        root,
        footer,
        segments,
        batches: batches(file, generation)?,
    })
}

/// Batches that follow each other from the start of the log, by their commit ids.
fn batches(file: &[u8], generation: u64) -> Result<Vec<Range<usize>>> {
    let log = usize_at(file, 48)?;
    let end = log + usize_at(file, 56)?;
    let mut batches = Vec::new();
    let mut at = log;
    let mut newest = 0;
    while at + 128 <= end && file.get(at..at + 4) == Some(b"MVWB") {
        let commit = u64_at(file, at + 48)?;
        let own = usize_at(file, at + 32)?;
        if u64_at(file, at + 24)? != generation || own != at - log || commit <= newest {
            break;
        }
        newest = commit;
        let len = 128 + usize_at(file, at + 72)?;
        batches.push(at..at + len);
        at += len.next_multiple_of(PAGE);
    }
    Ok(batches)
}

fn bytes_at<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N]> {
    file.get(at..at + N)
        .and_then(|bytes| bytes.try_into().ok())
        .with_context(|| format!("the file ends before {at}"))
}

fn u32_at(file: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(bytes_at(file, at)?))
}

fn u64_at(file: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_le_bytes(bytes_at(file, at)?))
}

fn usize_at(file: &[u8], at: usize) -> Result<usize> {
    usize::try_from(u64_at(file, at)?).context("an offset does not fit this machine")
}
