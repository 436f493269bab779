//! Appends segments to a file, one piece after the other: bodies, their tables, TOC and footer.

use std::ops::Range;

use mv2_format::checksum::hash32;
use mv2_format::root::{Root, RootKind};
use mv2_format::segment::{PAGE_BYTES, TableBuilder};
use mv2_format::toc::{SegmentEntry, Toc};
use mv2_format::{CommitId, FileOffset, FrameId, SegmentId, SegmentKind};

use crate::error::Result;
use crate::file::MemoryFile;
use crate::state::State;

/// A segment that is expected to have this size or more begins at a page, a smaller one at a cache line.
const LARGE_SEGMENT_BYTES: u64 = 64 << 10;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// What a new segment covers.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    pub(crate) kind: SegmentKind,
    /// Which of several indexes of the kind.
    pub(crate) part: u32,
    pub(crate) frames: Range<FrameId>,
    pub(crate) commits: (CommitId, CommitId),
    pub(crate) rows: u64,
    /// Whether it holds the dead frames of the range alone.
    pub(crate) history: bool,
}

/// A segment that is being written.
pub(crate) struct Open {
    offset: FileOffset,
    tables: TableBuilder,
    hasher: blake3::Hasher,
}

/// Appends segments behind the committed part of a file.
pub(crate) struct Output<'a> {
    file: &'a MemoryFile,
    /// Where the next byte goes.
    at: u64,
    /// Bytes before `at` that are not written yet.
    buffer: Vec<u8>,
    pub(crate) next_segment: SegmentId,
    pub(crate) segments: Vec<SegmentEntry>,
    /// Where live segments are copied from, if this is another file than theirs.
    source: Option<&'a MemoryFile>,
}

impl<'a> Output<'a> {
    pub(crate) fn new(file: &'a MemoryFile, at: u64, state: &'a State, copy: bool) -> Self {
        Self {
            file,
            at,
            buffer: Vec::new(),
            next_segment: state.checkpoint.toc.next_segment,
            segments: Vec::new(),
            source: copy.then_some(&*state.file),
        }
    }

    /// Takes a live segment over: as it is, or as a copy in another file.
    pub(crate) fn keep(&mut self, entry: &SegmentEntry) -> Result<()> {
        let mut entry = entry.clone();
        if let Some(source) = self.source {
            self.align(entry.body_len)?;
            let extent = source
                .storage
                .map(entry.offset.0, entry.extent_len() as usize)
                .map_err(|error| source.io("map", error))?;
            if hash32(extent.bytes()) != entry.hash {
                // A copy must not make damage look sound.
                return Err(source.format(mv2_format::Error::Checksum {
                    what: "segment",
                    offset: entry.offset,
                }));
            }
            entry.offset = FileOffset(self.at);
            for piece in extent.bytes().chunks(BUFFER_BYTES) {
                self.append(piece)?;
            }
        }
        self.segments.push(entry);
        Ok(())
    }

    /// Goes to where a segment with a body of about so many bytes may begin.
    fn align(&mut self, body_len: u64) -> Result<()> {
        self.pad(if body_len >= LARGE_SEGMENT_BYTES {
            PAGE_BYTES as u64
        } else {
            64
        })
    }

    /// Writes a segment whose body is at hand.
    pub(crate) fn write(&mut self, body: &[u8], coverage: Coverage) -> Result<()> {
        let mut segment = self.begin(body.len() as u64)?;
        self.append_body(&mut segment, body)?;
        self.end(segment, coverage)
    }

    /// Begins a segment whose body will have about so many bytes.
    pub(crate) fn begin(&mut self, expected: u64) -> Result<Open> {
        self.align(expected)?;
        Ok(Open {
            offset: FileOffset(self.at),
            tables: TableBuilder::default(),
            hasher: blake3::Hasher::new(),
        })
    }

    pub(crate) fn append_body(&mut self, segment: &mut Open, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        segment.tables.update(bytes);
        segment.hasher.update(bytes);
        self.append(bytes)
    }

    /// Ends a segment with its tables and lists it.
    pub(crate) fn end(&mut self, mut segment: Open, coverage: Coverage) -> Result<()> {
        let body_len = self.at - segment.offset.0;
        let (tables, summary_crc) = segment.tables.finish();
        segment.hasher.update(&tables);
        self.append(&tables)?;
        self.segments.push(SegmentEntry {
            kind: coverage.kind,
            optional: coverage.kind >= SegmentKind::JOURNAL,
            history: coverage.history,
            part: coverage.part,
            summary_crc,
            id: self.next_segment,
            offset: segment.offset,
            body_len,
            hash: segment.hasher.finalize().into(),
            first_frame: coverage.frames.start,
            end_frame: coverage.frames.end,
            first_commit: coverage.commits.0,
            last_commit: coverage.commits.1,
            rows: coverage.rows,
        });
        self.next_segment.0 += 1;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= BUFFER_BYTES {
            self.flush()?;
            self.file.write(self.at, bytes)?;
            self.at += bytes.len() as u64;
            return Ok(());
        }
        self.buffer.extend_from_slice(bytes);
        self.at += bytes.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let start = self.at - self.buffer.len() as u64;
        self.file.write(start, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn pad(&mut self, align: u64) -> Result<()> {
        let padding = self.at.next_multiple_of(align) - self.at;
        if padding > 0 {
            self.append(&vec![0; padding as usize])?;
        }
        Ok(())
    }

    /// Writes TOC and footer.
    pub(crate) fn finish(mut self, toc: &Toc) -> Result<Root> {
        self.pad(PAGE_BYTES as u64)?;
        let (root, bytes) = seal(toc, self.at);
        self.append(&bytes)?;
        self.flush()?;
        Ok(root)
    }
}

/// TOC, padding and footer for a page-aligned place in the file.
pub(crate) fn seal(toc: &Toc, offset: u64) -> (Root, Vec<u8>) {
    let mut bytes = toc.encode();
    let toc_len = bytes.len() as u64;
    let toc_hash = hash32(&bytes);
    mv2_format::wire::pad_to(&mut bytes, PAGE_BYTES);
    let root = Root {
        uuid: toc.uuid,
        generation: toc.generation,
        committed_len: offset + bytes.len() as u64 + PAGE_BYTES as u64,
        toc_offset: FileOffset(offset),
        toc_len,
        toc_hash,
        last_commit: toc.last_commit,
    };
    bytes.extend_from_slice(&root.encode(RootKind::Footer));
    (root, bytes)
}
