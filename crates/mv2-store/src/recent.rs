//! Frames of an import that are committed and in no index yet: kept in memory, so that they need not be read back and
//! unpacked. Whatever is not among them is read from the file.

use std::ops::Range;
use std::sync::Arc;

use mv2_format::{Frame, FrameId};

use crate::file::MemoryFile;

/// What a handle committed last, without a gap.
#[derive(Default)]
pub(crate) struct Recent {
    /// The file that they are in, which may be replaced.
    file: Option<Arc<MemoryFile>>,
    frames: Vec<Arc<Frame>>,
    payload_bytes: u64,
}

impl Recent {
    /// Keeps the frames of a commit, and those before it unless that makes more than so many bytes of payload.
    pub(crate) fn keep(
        &mut self,
        file: &Arc<MemoryFile>,
        frames: Vec<Arc<Frame>>,
        most_bytes: u64,
    ) {
        let is_same = self.file.as_ref().is_some_and(|of| Arc::ptr_eq(of, file));
        let next = self.frames.last().map(|frame| frame.meta.id.next());
        let first = frames.first().map(|frame| frame.meta.id);
        if !is_same || next != first {
            self.clear();
        }
        self.payload_bytes += payload_bytes(&frames);
        self.frames.extend(frames);
        if self.payload_bytes > most_bytes {
            return self.clear();
        }
        self.file = Some(Arc::clone(file));
    }

    /// Those of a range that are known, from one of them on to its end.
    pub(crate) fn of(&self, file: &Arc<MemoryFile>, range: &Range<FrameId>) -> &[Arc<Frame>] {
        let is_same = self.file.as_ref().is_some_and(|of| Arc::ptr_eq(of, file));
        let at = |id: FrameId| self.frames.partition_point(|frame| frame.meta.id < id);
        let known = &self.frames[at(range.start)..at(range.end)];
        let reaches_end = known.last().map(|frame| frame.meta.id.next()) == Some(range.end);
        if is_same && reaches_end { known } else { &[] }
    }

    /// Lets go of what every index has.
    pub(crate) fn forget_before(&mut self, covered: FrameId) {
        let end = self.frames.partition_point(|frame| frame.meta.id < covered);
        self.payload_bytes -= payload_bytes(&self.frames[..end]);
        self.frames.drain(..end);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn payload_bytes(frames: &[Arc<Frame>]) -> u64 {
    frames.iter().map(|frame| frame.meta.payload_len).sum()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mv2_format::FrameMeta;

    use super::*;
    use crate::storage::MemoryVolume;
    use crate::store::Store;
    use crate::types::{CreateOptions, OpenOptions};

    fn file() -> Arc<MemoryFile> {
        let volume = Arc::new(MemoryVolume::new());
        let create = CreateOptions::default();
        let store = Store::create_on(volume, Path::new("m"), &create, OpenOptions::default());
        Arc::clone(&store.unwrap().current().file)
    }

    fn frames(range: Range<u64>) -> Vec<Arc<Frame>> {
        let frame = |id| Frame {
            meta: FrameMeta {
                id: FrameId(id),
                payload_len: 10,
                ..FrameMeta::default()
            },
            payload: vec![0; 10],
        };
        range.map(|id| Arc::new(frame(id))).collect()
    }

    fn known(recent: &Recent, file: &Arc<MemoryFile>, range: Range<u64>) -> Vec<u64> {
        let range = FrameId(range.start)..FrameId(range.end);
        let known = recent.of(file, &range).iter();
        known.map(|frame| frame.meta.id.0).collect()
    }

    #[test]
    fn the_end_of_a_range_is_known_and_never_a_part_with_a_gap_behind_it() {
        let (file, other) = (file(), file());
        let mut recent = Recent::default();
        assert!(known(&recent, &file, 0..3).is_empty());
        recent.keep(&file, frames(2..5), 1_000);
        recent.keep(&file, frames(5..7), 1_000);
        assert_eq!(known(&recent, &file, 0..7), [2, 3, 4, 5, 6]);
        assert_eq!(known(&recent, &file, 3..6), [3, 4, 5]);
        assert!(known(&recent, &file, 0..8).is_empty());
        assert!(known(&recent, &file, 0..2).is_empty());
        assert!(
            known(&recent, &other, 0..7).is_empty(),
            "the same ids in another file"
        );
        // Somebody else committed in between.
        recent.keep(&file, frames(9..11), 1_000);
        assert_eq!(known(&recent, &file, 0..11), [9, 10]);
        recent.forget_before(FrameId(10));
        assert_eq!(known(&recent, &file, 0..11), [10]);
    }

    #[test]
    fn no_more_is_kept_than_was_allowed() {
        let file = file();
        let mut recent = Recent::default();
        recent.keep(&file, frames(0..10), 150);
        recent.forget_before(FrameId(5));
        recent.keep(&file, frames(10..20), 150);
        assert_eq!(known(&recent, &file, 0..20).len(), 15);
        recent.keep(&file, frames(20..21), 150);
        assert!(known(&recent, &file, 0..21).is_empty());
    }
}
