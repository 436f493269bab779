//! The commit log: one row for each commit, with pointers to its ancestors, and two tables that give the reach of a commit
//! and the frames of a lineage without a walk through rows. `docs/format.md`, sections "Commit log" and "Lineages".

use std::ops::Range;

use crate::error::{Error, Result};
use crate::ids::{CommitId, FrameId, LineageId, Timestamp};
use crate::segment::SegmentBytes;
use crate::wire::Reader;

const MAGIC: &[u8; 4] = b"MV2C";
const HEAD_BYTES: usize = 48;
const EDGE_BYTES: usize = 32;
const RUN_BYTES: usize = 32;

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

/// What the commits of a lineage see of another one, from a commit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The lineage.
    pub lineage: LineageId,
    /// From this commit of it on.
    pub from: CommitId,
    /// The lineage that is seen.
    pub other: LineageId,
    /// Up to this commit of it.
    pub up_to: CommitId,
    /// Which has this watermark.
    pub watermark: FrameId,
}

/// Commits of a lineage that follow each other without one of another lineage, and their frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The lineage.
    pub lineage: LineageId,
    /// The first commit.
    pub first: CommitId,
    /// Number of commits.
    pub commits: u32,
    /// Frames of these commits.
    pub frames: Range<FrameId>,
}

impl Run {
    /// The last commit.
    pub fn last(&self) -> CommitId {
        CommitId(self.first.0 + u64::from(self.commits).saturating_sub(1))
    }

    /// The runs of consecutive commits, in order of the commits. `start` is the watermark before the first.
    pub fn of(rows: &[CommitRow], mut start: FrameId) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for row in rows {
            let end = row.watermark;
            match runs.last_mut() {
                Some(run) if run.lineage == row.lineage && run.commits < u32::MAX => {
                    run.commits += 1;
                    run.frames.end = end;
                }
                _ => runs.push(Self {
                    lineage: row.lineage,
                    first: row.id,
                    commits: 1,
                    frames: start..end,
                }),
            }
            start = end;
        }
        runs
    }
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

/// Encodes rows of consecutive commits as the body of a segment. `start` is the watermark before the first of them, and
/// `edges` are those of these commits, in any order but for those of one commit.
pub fn encode(rows: &[CommitRow], start: FrameId, edges: &[Edge]) -> Vec<u8> {
    let messages: usize = rows.iter().map(|row| row.message.len()).sum();
    let mut edges = edges.to_vec();
    edges.sort_by_key(|edge| (edge.lineage, edge.from));
    let mut runs = Run::of(rows, start);
    runs.sort_by_key(|run| (run.lineage, run.first));
    let tables = edges.len() * EDGE_BYTES + runs.len() * RUN_BYTES;
    let mut out = Vec::with_capacity(HEAD_BYTES + rows.len() * ROW_BYTES + tables + messages);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    let first = rows.first().map_or(0, |row| row.id.0);
    let counts = [rows.len(), messages, edges.len(), runs.len()].map(|len| len as u64);
    for number in [first].into_iter().chain(counts) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let mut offset = 0;
    for row in rows {
        encode_row(&mut out, row, offset);
        offset += row.message.len() as u64;
    }
    for edge in &edges {
        out.extend_from_slice(&edge.lineage.0.to_le_bytes());
        out.extend_from_slice(&edge.other.0.to_le_bytes());
        for number in [edge.from.0, edge.up_to.0, edge.watermark.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
    for run in &runs {
        out.extend_from_slice(&run.lineage.0.to_le_bytes());
        out.extend_from_slice(&run.commits.to_le_bytes());
        for number in [run.first.0, run.frames.start.0, run.frames.end.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
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
    edges: usize,
    runs: usize,
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
        let (edges, runs) = (reader.u64()?, reader.u64()?);
        let sum = |len: Option<u64>, (count, bytes): (u64, usize)| {
            count.checked_mul(bytes as u64)?.checked_add(len?)
        };
        let parts = [
            (count, ROW_BYTES),
            (edges, EDGE_BYTES),
            (runs, RUN_BYTES),
            (messages, 1),
        ];
        let expected = parts.into_iter().fold(Some(HEAD_BYTES as u64), sum);
        if expected != Some(bytes.len() as u64) || first.checked_add(count).is_none() {
            return Err(Error::invalid(
                "commit segment",
                format!("a body of {} bytes", bytes.len()),
                format!(
                    "{count} rows, {edges} edges, {runs} runs and {messages} bytes of messages"
                ),
            ));
        }
        Ok(Self {
            bytes,
            first: CommitId(first),
            count: count as usize,
            edges: edges as usize,
            runs: runs as usize,
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
            let messages = self.runs_at() + self.runs * RUN_BYTES;
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

    fn edges_at(&self) -> usize {
        HEAD_BYTES + self.count * ROW_BYTES
    }

    fn runs_at(&self) -> usize {
        self.edges_at() + self.edges * EDGE_BYTES
    }

    /// Number of edges.
    pub fn edges(&self) -> usize {
        self.edges
    }

    /// The edge at a position; they ascend by lineage and the commit that they begin at.
    ///
    /// # Errors
    /// A damaged page, an edge that leads to a commit that is no older, or a position behind the end.
    pub fn edge(&self, index: usize) -> Result<Edge> {
        let at = self.edges_at() + index.min(self.edges) * EDGE_BYTES;
        let mut reader = Reader::new(self.bytes.get(at..at + EDGE_BYTES)?, "edge");
        let (lineage, other) = (LineageId(reader.u32()?), LineageId(reader.u32()?));
        let edge = Edge {
            lineage,
            other,
            from: CommitId(reader.u64()?),
            up_to: CommitId(reader.u64()?),
            watermark: FrameId(reader.u64()?),
        };
        if index >= self.edges || edge.up_to >= edge.from {
            return Err(Error::invalid(
                "edge of a lineage",
                "one to an older commit",
                format!("from commit {} to {}", edge.from, edge.up_to),
            ));
        }
        Ok(edge)
    }

    /// The edges of a lineage that begin at a commit or before it.
    ///
    /// # Errors
    /// As for [`edge`](Self::edge).
    pub fn edges_of(&self, lineage: LineageId, up_to: CommitId) -> Result<Vec<Edge>> {
        let before = |edge: Edge| edge.lineage < lineage;
        let mut index = lower_bound(self.edges, |index| self.edge(index).map(before))?;
        let mut edges = Vec::new();
        while index < self.edges {
            let edge = self.edge(index)?;
            if edge.lineage != lineage || edge.from > up_to {
                break;
            }
            edges.push(edge);
            index += 1;
        }
        Ok(edges)
    }

    /// Number of runs.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// The run at a position; they ascend by lineage and first commit.
    ///
    /// # Errors
    /// A damaged page, a run that is not of this segment, or a position behind the end.
    pub fn run(&self, index: usize) -> Result<Run> {
        let at = self.runs_at() + index.min(self.runs) * RUN_BYTES;
        let mut reader = Reader::new(self.bytes.get(at..at + RUN_BYTES)?, "run of a lineage");
        let run = Run {
            lineage: LineageId(reader.u32()?),
            commits: reader.u32()?,
            first: CommitId(reader.u64()?),
            frames: FrameId(reader.u64()?)..FrameId(reader.u64()?),
        };
        let end = run.first.0.checked_add(u64::from(run.commits));
        let inside = run.first >= self.first
            && run.commits > 0
            && end.is_some_and(|end| end <= self.first.0 + self.count as u64);
        if index >= self.runs || !inside || run.frames.start > run.frames.end {
            return Err(Error::invalid(
                "run of a lineage",
                "commits of the segment and their frames",
                format!("{} commits from {}", run.commits, run.first),
            ));
        }
        Ok(run)
    }

    /// The runs of a lineage, oldest first. Finding them is a bisection.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn runs_of(
        &self,
        lineage: LineageId,
    ) -> Result<impl DoubleEndedIterator<Item = Result<Run>> + '_> {
        let bound = |lineage: u64| {
            let before = move |run: Run| u64::from(run.lineage.0) < lineage;
            lower_bound(self.runs, move |index| self.run(index).map(before))
        };
        let lineage = u64::from(lineage.0);
        Ok((bound(lineage)?..bound(lineage + 1)?).map(|index| self.run(index)))
    }

    /// Whether commits of a lineage put frames of a range. A bisection.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn has_frames(&self, lineage: LineageId, frames: Range<FrameId>) -> Result<bool> {
        // Within a lineage frames ascend as commits do.
        let before = |run: Run| (run.lineage, run.frames.end) <= (lineage, frames.start);
        let index = lower_bound(self.runs, |index| self.run(index).map(before))?;
        for index in index..self.runs {
            let run = self.run(index)?;
            if run.lineage != lineage || run.frames.start >= frames.end {
                break;
            }
            if !run.frames.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The first of `len` positions that is not before what is looked for.
fn lower_bound(len: usize, is_before: impl Fn(usize) -> Result<bool>) -> Result<usize> {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
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
        let segment =
            CommitSegment::open(SegmentBytes::from_vec(encode(&rows(), FrameId(12), &[]))).unwrap();
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
        let segment =
            CommitSegment::open(SegmentBytes::from_vec(encode(&bad, FrameId(12), &[]))).unwrap();
        assert!(segment.get(bad[3].id).is_err());
    }

    #[test]
    fn lineages_are_found_without_their_rows() {
        let lineages = [0, 0, 3, 0, 1, 1, 3, 3, 3, 0];
        let mut rows = Vec::new();
        for (index, lineage) in lineages.into_iter().enumerate() {
            rows.push(CommitRow {
                id: CommitId(10 + index as u64),
                lineage: LineageId(lineage),
                watermark: FrameId(7 + 2 * index as u64),
                ..CommitRow::default()
            });
        }
        let edge = |lineage, from, other, up_to| Edge {
            lineage: LineageId(lineage),
            from: CommitId(from),
            other: LineageId(other),
            up_to: CommitId(up_to),
            watermark: FrameId(up_to),
        };
        let edges = [edge(3, 12, 0, 11), edge(1, 14, 3, 12), edge(0, 19, 1, 15)];
        let bytes = encode(&rows, FrameId(5), &edges);
        let segment = CommitSegment::open(SegmentBytes::from_vec(bytes)).unwrap();
        let runs = |lineage| -> Vec<_> {
            let runs = segment.runs_of(LineageId(lineage)).unwrap();
            runs.map(|run| {
                run.map(|run| {
                    (
                        run.first.0,
                        run.last().0,
                        run.frames.start.0,
                        run.frames.end.0,
                    )
                })
                .unwrap()
            })
            .collect()
        };
        assert_eq!(
            runs(0),
            [(10, 11, 5, 9), (13, 13, 11, 13), (19, 19, 23, 25)]
        );
        assert_eq!(runs(1), [(14, 15, 13, 17)]);
        assert_eq!(runs(2), []);
        assert_eq!(runs(3), [(12, 12, 9, 11), (16, 18, 17, 23)]);
        assert_eq!(segment.edges_of(LineageId(0), CommitId(18)).unwrap(), []);
        assert_eq!(
            segment.edges_of(LineageId(0), CommitId(19)).unwrap(),
            [edges[2]]
        );
        assert_eq!(
            segment.edges_of(LineageId(3), CommitId(99)).unwrap(),
            [edges[0]]
        );
        assert_eq!(segment.edges_of(LineageId(2), CommitId(99)).unwrap(), []);
        for (lineage, frames, expected) in [
            (0, 0..6, true),
            (0, 9..11, false),
            (0, 9..12, true),
            (0, 13..23, false),
            (0, 25..99, false),
            (2, 0..99, false),
            (3, 0..9, false),
            (3, 10..11, true),
            (3, 23..24, false),
        ] {
            let range = FrameId(frames.start)..FrameId(frames.end);
            let found = segment.has_frames(LineageId(lineage), range).unwrap();
            assert_eq!(found, expected, "lineage {lineage}, frames {frames:?}");
        }
        for row in &rows {
            assert_eq!(segment.get(row.id).unwrap().as_ref(), Some(row));
        }
    }
}
