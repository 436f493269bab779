//! The table of contents: the live segments of a checkpoint. `docs/format.md`, section "Table of contents".

use crate::error::{Error, Result};
use crate::ids::{CommitId, FileOffset, FrameId, Generation, SegmentId, Timestamp};
use crate::segment::{SegmentKind, tables_len};
use crate::wire::Reader;

const MAGIC: &[u8; 8] = b"MV2TOC3\n";
const HEAD_BYTES: usize = 128;
const ENTRY_BYTES: usize = 112;

/// Most live segments of a file.
pub const MAX_SEGMENTS: usize = 65_536;

/// Longest TOC, in bytes.
pub const MAX_TOC_BYTES: u64 = (HEAD_BYTES + MAX_SEGMENTS * ENTRY_BYTES) as u64;

/// What a checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Toc {
    /// The file's uuid.
    pub uuid: [u8; 16],
    /// The checkpoint's number.
    pub generation: Generation,
    /// The id that the next segment gets.
    pub next_segment: SegmentId,
    /// The id that the next frame gets.
    pub next_frame: FrameId,
    /// The newest commit in the segments.
    pub last_commit: CommitId,
    /// Its time.
    pub last_time: Timestamp,
    /// Rows of all tombstone segments.
    pub tombstones: u64,
    /// Bytes of payload of all frames, uncompressed.
    pub payload_bytes: u64,
    /// One more than the highest lineage of a commit, bookkeeping apart; 0 without commits.
    pub lineages: u32,
    /// How many of the commits are bookkeeping.
    pub bookkeeping: u64,
    /// The live segments, ordered by kind, first frame, first commit.
    pub segments: Vec<SegmentEntry>,
}

/// A live segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    /// What it holds.
    pub kind: SegmentKind,
    /// Whether a reader that does not know the kind may ignore it.
    pub optional: bool,
    /// Whether it holds the frames that were dead when it was written. They are needed for the past only.
    pub history: bool,
    /// Which of several indexes of one kind it belongs to; 0 where there is one only.
    pub part: u32,
    /// CRC-32 of its summary.
    pub summary_crc: u32,
    /// Its number.
    pub id: SegmentId,
    /// Where its body begins.
    pub offset: FileOffset,
    /// Length of its body in bytes.
    pub body_len: u64,
    /// BLAKE3 of body, page table and summary.
    pub hash: [u8; 32],
    /// The first frame that it covers.
    pub first_frame: FrameId,
    /// One past the last frame that it covers.
    pub end_frame: FrameId,
    /// The first commit that it covers; 0 if it knows no commits.
    pub first_commit: CommitId,
    /// The last commit that it covers; 0 if it knows no commits. For an index the commit whose dead frames were set
    /// apart, 0 if that was not done.
    pub last_commit: CommitId,
    /// Frames, commits, tombstones or entries of the journal in it.
    pub rows: u64,
}

impl SegmentEntry {
    /// What entries are ordered by.
    fn key(&self) -> (SegmentKind, u32, FrameId, CommitId, bool) {
        let commit = match self.kind >= SegmentKind::LEX {
            true => CommitId(0),
            false => self.first_commit,
        };
        (self.kind, self.part, self.first_frame, commit, self.history)
    }

    /// Whether another segment of the same index may follow in the TOC: its frames come later, or are the dead ones
    /// among the same.
    fn may_precede(&self, next: &Self) -> bool {
        let frames = self.first_frame..self.end_frame;
        next.first_frame >= self.end_frame
            || (frames == (next.first_frame..next.end_frame) && !self.history && next.history)
    }

    /// Length of the whole extent: body, page table and summary.
    pub fn extent_len(&self) -> u64 {
        self.body_len + tables_len(self.body_len)
    }
}

impl Toc {
    /// The TOC's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.segments.len() * ENTRY_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.uuid);
        for number in [
            self.generation.0,
            self.next_segment.0,
            self.next_frame.0,
            self.last_commit.0,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.last_time.0.to_le_bytes());
        out.extend_from_slice(&self.tombstones.to_le_bytes());
        out.extend_from_slice(&self.payload_bytes.to_le_bytes());
        out.extend_from_slice(&(self.segments.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.lineages.to_le_bytes());
        out.extend_from_slice(&self.bookkeeping.to_le_bytes());
        out.resize(HEAD_BYTES, 0);
        for entry in &self.segments {
            entry.encode(&mut out);
        }
        out
    }

    /// Reads a TOC and checks that its entries fit each other and a file that is committed up to `committed_len`.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Invalid`]. The caller checks the hash.
    pub fn decode(bytes: &[u8], committed_len: u64) -> Result<Self> {
        let mut reader = Reader::new(bytes, "table of contents");
        reader.magic(MAGIC)?;
        let mut toc = Self {
            uuid: reader.array()?,
            generation: Generation(reader.u64()?),
            next_segment: SegmentId(reader.u64()?),
            next_frame: FrameId(reader.u64()?),
            last_commit: CommitId(reader.u64()?),
            last_time: Timestamp(reader.i64()?),
            tombstones: reader.u64()?,
            payload_bytes: reader.u64()?,
            ..Self::default()
        };
        let count = reader.u32()? as usize;
        toc.lineages = reader.u32()?;
        toc.bookkeeping = reader.u64()?;
        reader.reserved(HEAD_BYTES - reader.pos())?;
        if count > MAX_SEGMENTS || count * ENTRY_BYTES != reader.left() {
            return Err(Error::invalid(
                "number of segments",
                format!("{} bytes of entries", reader.left()),
                count,
            ));
        }
        for _ in 0..count {
            toc.segments
                .push(SegmentEntry::decode(&mut reader, committed_len)?);
        }
        toc.check()?;
        Ok(toc)
    }

    /// Sorts the entries as the format wants them.
    pub fn sort(&mut self) {
        self.segments.sort_by_key(SegmentEntry::key);
    }

    fn check(&self) -> Result<()> {
        if !self.segments.is_sorted_by_key(SegmentEntry::key) {
            return Err(Error::invalid(
                "table of contents",
                "entries in order",
                "others",
            ));
        }
        let (mut frame, mut commit) = (0, 0);
        for entry in &self.segments {
            if entry.id >= self.next_segment {
                return Err(Error::invalid(
                    "segment id",
                    "one below next_segment",
                    entry.id,
                ));
            }
            if entry.end_frame > self.next_frame {
                return Err(Error::invalid(
                    "segment coverage",
                    format!("frames below {}", self.next_frame),
                    format!("{} segment up to {}", entry.kind, entry.end_frame),
                ));
            }
            match entry.kind {
                SegmentKind::DATA => {
                    if entry.first_frame.0 != frame || entry.rows != entry.end_frame.0 - frame {
                        return Err(Error::invalid(
                            "data segment",
                            format!("frames from {frame}"),
                            format!("{} rows from {}", entry.rows, entry.first_frame),
                        ));
                    }
                    frame = entry.end_frame.0;
                }
                SegmentKind::COMMITS => {
                    let rows = entry.last_commit.0.checked_sub(commit);
                    if entry.first_commit.0 != commit + 1 || rows != Some(entry.rows) {
                        return Err(Error::invalid(
                            "commit segment",
                            format!("commits from {}", commit + 1),
                            format!("{} rows from {}", entry.rows, entry.first_commit),
                        ));
                    }
                    commit = entry.last_commit.0;
                }
                SegmentKind::PURGED => {
                    let count = self
                        .segments
                        .iter()
                        .filter(|other| other.kind == entry.kind);
                    if count.count() > 1 || entry.rows == 0 {
                        return Err(Error::invalid(
                            "segment of purged frames",
                            "only one, with rows",
                            format!("another, or one of {} rows", entry.rows),
                        ));
                    }
                }
                _ => {}
            }
        }
        if frame != self.next_frame.0 || commit != self.last_commit.0 {
            return Err(Error::invalid(
                "table of contents",
                format!(
                    "frames up to {} and commits up to {}",
                    self.next_frame, self.last_commit
                ),
                format!("{frame} and {commit}"),
            ));
        }
        for pair in self.segments.windows(2) {
            let [a, b] = pair else { continue };
            if (a.kind, b.kind) == (SegmentKind::JOURNAL, SegmentKind::JOURNAL)
                && a.last_commit >= b.first_commit
            {
                return Err(Error::invalid(
                    "journal segment",
                    format!("commits after {}", a.last_commit),
                    format!("{} to {}", b.first_commit, b.last_commit),
                ));
            }
            let same_index = (a.kind, a.part) == (b.kind, b.part)
                && a.kind >= SegmentKind::LEX
                && a.kind != SegmentKind::VECTORS;
            if same_index && !a.may_precede(b) {
                return Err(Error::invalid(
                    "index segment",
                    format!("frames from {}, or the dead ones of the same", a.end_frame),
                    format!("{} to {}", b.first_frame, b.end_frame),
                ));
            }
        }
        Ok(())
    }
}

impl SegmentEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.kind.0.to_le_bytes());
        let flags = u16::from(self.optional) | u16::from(self.history) << 1;
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&self.summary_crc.to_le_bytes());
        for number in [self.id.0, self.offset.0, self.body_len] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.hash);
        for number in [
            self.first_frame.0,
            self.end_frame.0,
            self.first_commit.0,
            self.last_commit.0,
            self.rows,
            u64::from(self.part),
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn decode(reader: &mut Reader<'_>, committed_len: u64) -> Result<Self> {
        let kind = SegmentKind(reader.u16()?);
        let flags = reader.u16()?;
        if flags > 3 || (flags & 2 != 0 && kind < SegmentKind::LEX) {
            return Err(Error::invalid("segment flags", "known ones", flags));
        }
        let mut entry = Self {
            kind,
            optional: flags & 1 != 0,
            history: flags & 2 != 0,
            part: 0,
            summary_crc: reader.u32()?,
            id: SegmentId(reader.u64()?),
            offset: FileOffset(reader.u64()?),
            body_len: reader.u64()?,
            hash: reader.array()?,
            first_frame: FrameId(reader.u64()?),
            end_frame: FrameId(reader.u64()?),
            first_commit: CommitId(reader.u64()?),
            last_commit: CommitId(reader.u64()?),
            rows: reader.u64()?,
        };
        entry.part = reader.u32()?;
        reader.reserved(4)?;
        if entry.part != 0 && kind < SegmentKind::LEX {
            return Err(Error::invalid("part of a segment", "0", entry.part));
        }
        let known = [
            SegmentKind::DATA,
            SegmentKind::COMMITS,
            SegmentKind::TOMBSTONES,
            SegmentKind::PURGED,
            SegmentKind::JOURNAL,
            SegmentKind::PROPERTIES,
            SegmentKind::ATTACHMENTS,
            SegmentKind::LEX,
            SegmentKind::VECTORS,
            SegmentKind::TIME,
        ];
        if !entry.optional && !known.contains(&kind) {
            return Err(Error::UnsupportedSegment { kind: kind.0 });
        }
        let fits = entry.body_len <= committed_len
            && entry
                .offset
                .0
                .checked_add(entry.extent_len())
                .is_some_and(|end| end <= committed_len);
        if !fits || !entry.offset.0.is_multiple_of(64) || entry.offset.0 < crate::header::WAL_OFFSET
        {
            return Err(Error::invalid(
                "segment extent",
                format!("one inside of the {committed_len} committed bytes"),
                format!("{} bytes at {}", entry.body_len, entry.offset),
            ));
        }
        if entry.first_frame > entry.end_frame || entry.first_commit > entry.last_commit {
            return Err(Error::invalid(
                "segment coverage",
                "ascending ranges",
                format!(
                    "frames {}..{}, commits {}..={}",
                    entry.first_frame, entry.end_frame, entry.first_commit, entry.last_commit
                ),
            ));
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: SegmentKind, frames: (u64, u64), commits: (u64, u64)) -> SegmentEntry {
        SegmentEntry {
            kind,
            optional: kind >= SegmentKind::LEX,
            history: false,
            part: 0,
            summary_crc: 5,
            id: SegmentId(frames.0 + 1),
            offset: FileOffset(1 << 14),
            body_len: 100,
            hash: [9; 32],
            first_frame: FrameId(frames.0),
            end_frame: FrameId(frames.1),
            first_commit: CommitId(commits.0),
            last_commit: CommitId(commits.1),
            rows: if kind == SegmentKind::COMMITS {
                commits.1 - commits.0 + 1
            } else {
                frames.1 - frames.0
            },
        }
    }

    fn toc() -> Toc {
        Toc {
            next_segment: SegmentId(100),
            next_frame: FrameId(30),
            last_commit: CommitId(4),
            segments: vec![
                entry(SegmentKind::DATA, (0, 10), (1, 2)),
                entry(SegmentKind::DATA, (10, 30), (3, 4)),
                entry(SegmentKind::COMMITS, (0, 30), (1, 4)),
                entry(SegmentKind::LEX, (0, 20), (0, 0)),
            ],
            ..Toc::default()
        }
    }

    #[test]
    fn a_toc_comes_back() {
        assert_eq!(Toc::decode(&toc().encode(), 1 << 20).unwrap(), toc());
    }

    #[test]
    fn contradictions_are_refused() {
        let change = |f: &dyn Fn(&mut Toc)| {
            let mut bad = toc();
            f(&mut bad);
            Toc::decode(&bad.encode(), 1 << 20)
        };
        let remove = |index: usize| {
            change(&|t| {
                t.segments.remove(index);
            })
        };
        assert!(change(&|_| ()).is_ok());
        assert!(change(&|t| t.segments.swap(0, 1)).is_err(), "order");
        assert!(remove(1).is_err(), "gap at the end");
        assert!(remove(0).is_err(), "gap at the start");
        assert!(change(&|t| t.segments[1].rows = 5).is_err(), "rows");
        assert!(
            change(&|t| t.segments[0].offset.0 = 1 << 20).is_err(),
            "outside"
        );
        assert!(
            change(&|t| t.segments[0].body_len = u64::MAX).is_err(),
            "huge"
        );
        assert!(
            change(&|t| t.segments[3].kind = SegmentKind(99)).is_ok(),
            "optional kind"
        );
        assert!(change(&|t| t.segments[3].kind = SegmentKind(99)).is_ok());
        assert!(
            change(&|t| {
                t.segments[3].kind = SegmentKind(99);
                t.segments[3].optional = false;
            })
            .is_err(),
            "unknown kind"
        );
        assert!(
            change(&|t| t.segments.push(entry(SegmentKind::LEX, (19, 30), (0, 0)))).is_err(),
            "overlap"
        );
        let with_history = |first: u64, end: u64, live_too: bool| {
            change(&|t| {
                let mut dead = entry(SegmentKind::LEX, (first, end), (0, 3));
                (dead.history, dead.rows) = (true, 2);
                t.segments[3].last_commit = CommitId(3);
                if !live_too {
                    t.segments.remove(3);
                }
                t.segments.push(dead);
                t.sort();
            })
        };
        assert!(with_history(0, 20, true).is_ok());
        assert!(with_history(0, 20, false).is_ok(), "nothing is alive");
        assert!(with_history(20, 30, true).is_ok());
        let with_journal = |from: u64, to: u64| {
            change(&|t| {
                for (at, commits) in [(0, (1, 2)), (1, (from, to))] {
                    let mut entry = entry(SegmentKind::JOURNAL, (0, 0), commits);
                    (entry.optional, entry.id) = (true, SegmentId(40 + at));
                    t.segments.push(entry);
                }
                t.sort();
            })
        };
        assert!(with_journal(3, 4).is_ok());
        assert!(with_journal(2, 4).is_err(), "commits interleave");
        assert!(with_history(0, 10, true).is_err(), "another range");
        assert!(
            change(&|t| t.segments[0].history = true).is_err(),
            "history of data"
        );
        assert!(Toc::decode(&toc().encode(), 100).is_err(), "file too short");
    }
}
