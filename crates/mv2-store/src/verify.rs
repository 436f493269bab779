//! Checking a file without trusting it.

mod history;
mod journal;

use std::path::Path;

use mv2_format::checksum::hash32;
use mv2_format::commits::CommitSegment;
use mv2_format::data::DataSegment;
use mv2_format::journal::JournalSegment;
use mv2_format::root::RootKind;
use mv2_format::segment::PAGE_BYTES;
use mv2_format::toc::SegmentEntry;
use mv2_format::tombstones::TombstoneSegment;
use mv2_format::{FrameId, SegmentBytes, SegmentKind, attachments, properties, purged};

use crate::error::{Error, Result};
use crate::recovery::{self, RootPage};
use crate::state::State;
use crate::storage::Volume;
use crate::types::{Problem, VerifyReport};

/// Checks a file.
pub(crate) fn verify(volume: &dyn Volume, path: &Path, deep: bool) -> Result<VerifyReport> {
    let state = recovery::open(volume, path, false)?;
    let mut check = Check {
        report: VerifyReport::default(),
        deep,
        state: &state,
    };
    check.roots()?;
    check.extents();
    check.log()?;
    for entry in &state.checkpoint.toc.segments {
        check.segment(entry);
    }
    if deep {
        check.history();
        check.journal();
    }
    let mut report = check.report;
    report.ok = report.problems.is_empty();
    Ok(report)
}

struct Check<'a> {
    report: VerifyReport,
    deep: bool,
    state: &'a State,
}

impl Check<'_> {
    fn problem(&mut self, offset: u64, what: impl ToString, frames: Option<(FrameId, FrameId)>) {
        self.report.problems.push(Problem {
            offset,
            what: what.to_string(),
            frames,
        });
    }

    /// Header, root pages, TOC and footer. Opening has checked what it used; the rest is looked at here.
    fn roots(&mut self) -> Result<()> {
        let page = PAGE_BYTES as u64;
        let state = self.state;
        let mut sound = 0;
        for (index, root) in recovery::read_roots(&state.file)?.iter().enumerate() {
            match root {
                RootPage::Bad(error) => self.problem(page * (1 + index as u64), error, None),
                RootPage::Sound(_) => sound += 1,
                RootPage::Blank => {}
            }
        }
        if sound == 0 {
            self.problem(page, "both root pages are blank", None);
        }
        let root = &state.root;
        let mut footer = vec![0; PAGE_BYTES];
        let offset = root.committed_len - page;
        state.file.read(offset, &mut footer)?;
        let kind = RootKind::Footer;
        match mv2_format::root::Root::decode(&footer, kind, &root.uuid, offset.into()) {
            Ok(found) if found == *root => {}
            Ok(_) => self.problem(offset, "the footer differs from the root page", None),
            Err(error) => self.problem(offset, error, None),
        }
        self.report.bytes_checked += 4 * page + root.toc_len;
        Ok(())
    }

    fn log(&mut self) -> Result<()> {
        self.report.bytes_checked += self.state.tail.end;
        if let Some((offset, found)) = self.state.damage {
            let what = Error::WalCorrupt {
                path: self.state.file.path.clone(),
                offset,
                found,
            };
            let frames = (self.state.next_frame(), FrameId(u64::MAX));
            self.problem(offset, what, Some(frames));
        }
        for frame in &self.state.tail.frames {
            let meta = &frame.meta;
            let found = match mv2_format::frame::content_hash(&frame.payload) {
                hash if hash != meta.content_hash => "content hash",
                _ if frame.payload.len() as u64 != meta.payload_len => "length",
                _ => continue,
            };
            let id = meta.id;
            let offset = self.state.file.header.wal_offset.0;
            let what = format!("{found} of frame {id} is not that of its payload");
            self.problem(offset, what, Some((id, id.next())));
        }
        Ok(())
    }

    /// Segments have ids of their own, and extents that do not overlap each other, the log or the TOC.
    fn extents(&mut self) {
        let state = self.state;
        let mut segments: Vec<_> = state.checkpoint.toc.segments.iter().collect();
        segments.sort_by_key(|entry| entry.id);
        for pair in segments.windows(2) {
            if let [a, b] = pair
                && a.id == b.id
            {
                let what = format!(
                    "{} and {} segment have the same id {}",
                    a.kind, b.kind, a.id
                );
                self.problem(b.offset.0, what, None);
            }
        }
        segments.sort_by_key(|entry| entry.offset);
        let log = &state.file.header;
        let mut end = (log.wal_offset.0 + log.wal_len, "the log".to_owned());
        for entry in segments {
            let name = format!("{} segment {}", entry.kind, entry.id);
            if entry.offset.0 < end.0 {
                self.problem(entry.offset.0, format!("{name} overlaps {}", end.1), None);
            }
            end = end.max((entry.offset.0 + entry.extent_len(), name));
        }
        let toc = state.root.toc_offset.0;
        if toc < end.0 {
            self.problem(
                toc,
                format!("the table of contents overlaps {}", end.1),
                None,
            );
        }
    }

    fn segment(&mut self, entry: &SegmentEntry) {
        let offset = entry.offset.0;
        let frames =
            (entry.first_frame < entry.end_frame).then_some((entry.first_frame, entry.end_frame));
        let file = &self.state.file;
        let extent = match file.storage.map(offset, entry.extent_len() as usize) {
            Ok(extent) => extent,
            Err(source) => return self.problem(offset, file.io("map", source), frames),
        };
        if self.deep {
            self.report.bytes_checked += entry.extent_len();
            if hash32(extent.bytes()) != entry.hash {
                self.problem(
                    offset,
                    format!("{} segment {}: hash does not match", entry.kind, entry.id),
                    frames,
                );
            }
        } else {
            self.report.bytes_checked += entry.extent_len() - entry.body_len;
        }
        let bytes =
            match SegmentBytes::open(extent, entry.body_len, entry.summary_crc, entry.offset) {
                Ok(bytes) => bytes,
                Err(error) => return self.problem(offset, error, frames),
            };
        if let Err((error, at)) = self.contents(entry, bytes) {
            let offset = error.offset().map_or(offset, |offset| offset.0);
            self.problem(
                offset,
                format!("{} segment {}: {error}", entry.kind, entry.id),
                at.or(frames),
            );
        }
    }

    /// What a segment holds. Index segments are checked by those who know them.
    fn contents(
        &mut self,
        entry: &SegmentEntry,
        bytes: SegmentBytes,
    ) -> Result<(), (mv2_format::Error, Option<(FrameId, FrameId)>)> {
        let plain = |error| (error, None);
        match entry.kind {
            SegmentKind::DATA => {
                let segment = DataSegment::open(&bytes).map_err(plain)?;
                let frames = (segment.first_frame(), segment.end_frame());
                if frames != (entry.first_frame, entry.end_frame) {
                    let expected = format!("frames {}..{}", entry.first_frame, entry.end_frame);
                    let found = format!("{}..{}", frames.0, frames.1);
                    return Err((
                        mv2_format::Error::invalid("data segment", expected, found),
                        None,
                    ));
                }
                if self.deep {
                    for (frame, error) in segment.verify() {
                        let offset = error.offset().map_or(entry.offset.0, |offset| offset.0);
                        self.problem(offset, error, frame.map(|id| (id, id.next())));
                    }
                }
            }
            SegmentKind::COMMITS => {
                CommitSegment::open(bytes).map_err(plain)?;
            }
            SegmentKind::TOMBSTONES => {
                let segment = TombstoneSegment::open(bytes).map_err(plain)?;
                if segment.is_empty() || segment.len() as u64 != entry.rows {
                    let found = segment.len();
                    let error =
                        mv2_format::Error::invalid("tombstones", entry.rows.to_string(), found);
                    return Err((error, None));
                }
                if self.deep {
                    history::tombstone_rows(&segment, entry).map_err(plain)?;
                }
            }
            SegmentKind::JOURNAL => {
                let segment = JournalSegment::open(bytes).map_err(plain)?;
                journal::coverage(&segment, entry).map_err(plain)?;
            }
            SegmentKind::PURGED => {
                let purged = purged::decode(&bytes).map_err(plain)?;
                let runs = purged.runs();
                let start = runs.first().map_or(FrameId(0), |run| run.start);
                let found = (start, runs.last().map_or(start, |run| run.end));
                let told = (entry.first_frame, entry.end_frame);
                if found != told || runs.len() as u64 != entry.rows {
                    let text = |(start, end), runs| format!("{runs} runs in {start}..{end}");
                    let expected = text(told, entry.rows);
                    let found = text(found, runs.len() as u64);
                    let error = mv2_format::Error::invalid("purged frames", expected, found);
                    return Err((error, None));
                }
            }
            SegmentKind::PROPERTIES | SegmentKind::ATTACHMENTS => {
                let rows = match entry.kind {
                    SegmentKind::PROPERTIES => properties::decode(&bytes).map(|rows| rows.len()),
                    _ => attachments::decode(&bytes).map(|rows| rows.len()),
                };
                let rows = rows.map_err(plain)?;
                if rows as u64 != entry.rows {
                    let expected = entry.rows.to_string();
                    let error = mv2_format::Error::invalid("rows", expected, rows);
                    return Err((error, None));
                }
            }
            _ if self.deep => {
                bytes.all().map_err(plain)?;
            }
            _ => {}
        }
        Ok(())
    }
}
