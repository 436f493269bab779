//! The commit log: one row for each commit, with pointers to its ancestors.
//! `docs/format.md`, section "Commit log".

use crate::error::{Error, Result};
use crate::ids::{CommitId, FrameId, LineageId, Timestamp};
use crate::segment::SegmentBytes;
use crate::wire::Reader;

const MAGIC: &[u8; 4] = b"MV2C";
const HEAD_BYTES: usize = 32;

/// Bytes of a row, without its message.
pub const ROW_BYTES: usize = 88;

/// Longest message of a commit, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// A commit as the log holds it. Its id is its position in the log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CommitRow {
    /// The commit's number.
    pub id: CommitId,
    /// Its lineage.
    pub lineage: LineageId,
    /// The commit before it on the same history; 0 for the first.
    pub parent: CommitId,
    /// The other side of a merge; 0 if there is none.
    pub second_parent: CommitId,
    /// An ancestor further back, see [`jump`].
    pub jump: CommitId,
    /// Number of ancestors along parents.
    pub depth: u64,
    /// Transaction time, strictly increasing along the log.
    pub time: Timestamp,
    /// What the clock said.
    pub wall: Timestamp,
    /// The id that the next frame gets.
    pub watermark: FrameId,
    /// Frames put under no older uri.
    pub added: u32,
    /// Frames put in the place of others.
    pub superseded: u32,
    /// Frames deleted without successor.
    pub deleted: u32,
    /// The message, possibly empty.
    pub message: String,
}

/// The jump pointer of a commit whose parent is `parent`, so that each ancestor is reachable in
/// O(log n) steps (E. W. Myers, "An applicative random-access stack", 1983).
///
/// `parent_jump` is the commit that `parent` jumps to. Depths and jumps of commit 0 are 0.
pub fn jump(
    parent: (CommitId, u64),
    parent_jump: (CommitId, u64),
    its_jump: (CommitId, u64),
) -> CommitId {
    let first = parent.1.saturating_sub(parent_jump.1);
    let second = parent_jump.1.saturating_sub(its_jump.1);
    if first == second {
        its_jump.0
    } else {
        parent.0
    }
}

/// Appends the fixed part of a row.
pub(crate) fn encode_row(out: &mut Vec<u8>, row: &CommitRow, message_offset: u64) {
    out.extend_from_slice(&row.lineage.0.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for number in [row.parent.0, row.second_parent.0, row.jump.0, row.depth] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&row.time.0.to_le_bytes());
    out.extend_from_slice(&row.wall.0.to_le_bytes());
    out.extend_from_slice(&row.watermark.0.to_le_bytes());
    for number in [
        row.added,
        row.superseded,
        row.deleted,
        row.message.len() as u32,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&message_offset.to_le_bytes());
}

/// Reads the fixed part of a row; returns it without its message, and the message's length and offset.
pub(crate) fn decode_row(reader: &mut Reader<'_>, id: CommitId) -> Result<(CommitRow, usize, u64)> {
    let lineage = LineageId(reader.u32()?);
    reader.reserved(4)?;
    let row = CommitRow {
        id,
        lineage,
        parent: CommitId(reader.u64()?),
        second_parent: CommitId(reader.u64()?),
        jump: CommitId(reader.u64()?),
        depth: reader.u64()?,
        time: Timestamp(reader.i64()?),
        wall: Timestamp(reader.i64()?),
        watermark: FrameId(reader.u64()?),
        added: reader.u32()?,
        superseded: reader.u32()?,
        deleted: reader.u32()?,
        message: String::new(),
    };
    let message_len = reader.u32()? as usize;
    let message_offset = reader.u64()?;
    if message_len > MAX_MESSAGE_BYTES {
        return Err(Error::TooLarge {
            what: "commit message",
            len: message_len as u64,
            limit: MAX_MESSAGE_BYTES as u64,
        });
    }
    if row.parent >= id || row.second_parent >= id || row.jump >= id {
        return Err(Error::invalid(
            "commit",
            "ancestors older than itself",
            format!(
                "commit {id} with parents {}, {} and jump {}",
                row.parent, row.second_parent, row.jump
            ),
        ));
    }
    Ok((row, message_len, message_offset))
}

/// Encodes rows of consecutive commits as the body of a segment.
pub fn encode(rows: &[CommitRow]) -> Vec<u8> {
    let messages: usize = rows.iter().map(|row| row.message.len()).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + rows.len() * ROW_BYTES + messages);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    let first = rows.first().map_or(0, |row| row.id.0);
    for number in [first, rows.len() as u64, messages as u64] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let mut offset = 0;
    for row in rows {
        encode_row(&mut out, row, offset);
        offset += row.message.len() as u64;
    }
    for row in rows {
        out.extend_from_slice(row.message.as_bytes());
    }
    out
}

/// A segment of the commit log.
#[derive(Clone, Debug)]
pub struct CommitSegment {
    bytes: SegmentBytes,
    first: CommitId,
    count: usize,
}

impl CommitSegment {
    /// Opens a segment's body: reads its head.
    ///
    /// # Errors
    /// Whatever is wrong with the head, or with the page that holds it.
    pub fn open(bytes: SegmentBytes) -> Result<Self> {
        let head = bytes.get(0..HEAD_BYTES.min(bytes.len()))?;
        let mut reader = Reader::new(head, "commit segment");
        reader.magic(MAGIC)?;
        let version = reader.u16()?;
        if version != 1 {
            return Err(Error::invalid("commit segment version", "1", version));
        }
        reader.reserved(2)?;
        let (first, count, messages) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let expected = count
            .checked_mul(ROW_BYTES as u64)
            .and_then(|rows| rows.checked_add(messages))
            .and_then(|len| len.checked_add(HEAD_BYTES as u64));
        if expected != Some(bytes.len() as u64) || first.checked_add(count).is_none() {
            return Err(Error::invalid(
                "commit segment",
                format!("a body of {} bytes", bytes.len()),
                format!("{count} rows and {messages} bytes of messages"),
            ));
        }
        Ok(Self {
            bytes,
            first: CommitId(first),
            count: count as usize,
        })
    }

    /// The first commit.
    pub fn first(&self) -> CommitId {
        self.first
    }

    /// Number of commits.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A commit, if it is in this segment.
    ///
    /// # Errors
    /// A damaged page or an invalid row.
    pub fn get(&self, id: CommitId) -> Result<Option<CommitRow>> {
        let Some(index) =
            id.0.checked_sub(self.first.0)
                .filter(|i| *i < self.count as u64)
        else {
            return Ok(None);
        };
        let at = HEAD_BYTES + index as usize * ROW_BYTES;
        let mut reader = Reader::new(self.bytes.get(at..at + ROW_BYTES)?, "commit");
        let (mut row, len, offset) = decode_row(&mut reader, id)?;
        if len > 0 {
            let messages = HEAD_BYTES + self.count * ROW_BYTES;
            let start = usize::try_from(offset)
                .ok()
                .and_then(|offset| offset.checked_add(messages))
                .filter(|start| {
                    start
                        .checked_add(len)
                        .is_some_and(|end| end <= self.bytes.len())
                })
                .ok_or_else(|| {
                    Error::invalid("commit message", "an offset in the segment", offset)
                })?;
            let text = self.bytes.get(start..start + len)?;
            row.message = std::str::from_utf8(text)
                .map_err(|error| Error::invalid("commit message", "UTF-8", error))?
                .to_owned();
        }
        Ok(Some(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<CommitRow> {
        (5..40)
            .map(|id| CommitRow {
                id: CommitId(id),
                parent: CommitId(id - 1),
                depth: id,
                time: Timestamp(id as i64 * 10),
                watermark: FrameId(id * 3),
                added: 3,
                message: if id % 2 == 0 {
                    format!("commit {id} あ")
                } else {
                    String::new()
                },
                ..CommitRow::default()
            })
            .collect()
    }

    #[test]
    fn rows_come_back_by_id() {
        let segment = CommitSegment::open(SegmentBytes::from_vec(encode(&rows()))).unwrap();
        for row in rows() {
            assert_eq!(segment.get(row.id).unwrap(), Some(row));
        }
        assert_eq!(segment.get(CommitId(4)).unwrap(), None);
        assert_eq!(segment.get(CommitId(40)).unwrap(), None);
    }

    #[test]
    fn any_ancestor_is_few_jumps_away() {
        let mut log = vec![(CommitId(0), 0u64, CommitId(0))];
        for id in 1..5_000u64 {
            let (parent, depth, j) = log[id as usize - 1];
            let (_, jump_depth, jj) = log[j.0 as usize];
            let jumped = jump((parent, depth), (j, jump_depth), (jj, log[jj.0 as usize].1));
            log.push((CommitId(id), id, jumped));
        }
        for target in [0, 1, 17, 2_500, 4_998] {
            let (mut at, mut steps) = (4_999u64, 0);
            while at != target {
                let jumped = log[at as usize].2.0;
                at = if jumped >= target { jumped } else { at - 1 };
                steps += 1;
            }
            assert!(steps <= 3 * 13, "{steps} steps to {target}");
        }
    }

    #[test]
    fn an_ancestor_that_is_not_older_is_refused() {
        let mut bad = rows();
        bad[3].parent = bad[3].id;
        let segment = CommitSegment::open(SegmentBytes::from_vec(encode(&bad))).unwrap();
        assert!(segment.get(bad[3].id).is_err());
    }
}
