//! What the journal's entries say of each other and of the log. What they say of searches is checked by those who know searches.

use mv2_format::journal::JournalSegment;
use mv2_format::toc::SegmentEntry;
use mv2_format::{CommitId, Error, LineageId};

use super::Check;

/// A segment is not empty and covers what its entry in the TOC says.
pub(super) fn coverage(segment: &JournalSegment, entry: &SegmentEntry) -> mv2_format::Result<()> {
    if segment.is_empty() || segment.len() as u64 != entry.rows {
        let expected = entry.rows.to_string();
        return Err(Error::invalid(
            "entries of the journal",
            expected,
            segment.len(),
        ));
    }
    let found = (segment.commit(0)?, segment.commit(segment.len() - 1)?);
    let told = (entry.first_commit, entry.last_commit);
    let frames = (entry.first_frame.0, entry.end_frame.0);
    if found != told || frames != (0, 0) {
        let text = |(first, last), (start, end)| {
            format!("commits {first}..={last}, frames {start}..{end}")
        };
        let expected = text(told, (0, 0));
        return Err(Error::invalid(
            "coverage of the journal",
            expected,
            text(found, frames),
        ));
    }
    Ok(())
}

impl Check<'_> {
    /// Each entry can be read, follows the one before it, and is a commit of bookkeeping.
    pub(super) fn journal(&mut self) {
        let state = self.state;
        for slot in &state.checkpoint.journal {
            let offset = slot.entry.offset.0;
            let segment = match state.journal_rows(slot) {
                Ok(segment) => segment,
                // Said already, by the check of the segment.
                Err(_) => continue,
            };
            let mut last = CommitId(0);
            for index in 0..segment.len() {
                match segment.entry(index) {
                    Ok(entry) if entry.commit <= last => {
                        let what = format!(
                            "journal segment {}: commit {} follows commit {last}",
                            slot.entry.id, entry.commit
                        );
                        self.problem(offset, what, None);
                    }
                    Ok(entry) => {
                        last = entry.commit;
                        self.of_bookkeeping(offset, entry.commit);
                    }
                    Err(error) => {
                        let what = format!("journal segment {}: {error}", slot.entry.id);
                        self.problem(offset, what, None);
                    }
                }
            }
        }
    }

    fn of_bookkeeping(&mut self, offset: u64, commit: CommitId) {
        let what = match self.state.commit(commit) {
            Ok(row) if row.lineage == LineageId::BOOKKEEPING => return,
            Ok(_) => format!("journal: commit {commit} is not one of bookkeeping"),
            Err(error) => format!("journal: {error}"),
        };
        self.problem(offset, what, None);
    }
}
