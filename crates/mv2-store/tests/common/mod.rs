//! What the tests of the store share: notes, options, and an index that counts.
#![allow(dead_code, unreachable_pub)]

pub mod told;

use std::ops::Range;
use std::sync::Arc;

use mv2_format::{BoxError, Frame, IndexBuilder, IndexFactory, SegmentKind};
use mv2_store::{CommitOptions, NewFrame, OpenOptions, Store};

pub fn note(uri: &str, text: &str) -> NewFrame {
    NewFrame {
        uri: Some(uri.to_owned()),
        is_text: true,
        payload: text.into(),
        ..NewFrame::default()
    }
}

/// One commit for each note.
pub fn puts(store: &mut Store, ids: Range<u64>) {
    for id in ids {
        let text = format!("text of note {id}");
        store.put(note(&format!("note-{id}"), &text)).unwrap();
        store.commit(CommitOptions::default()).unwrap();
    }
}

pub fn options() -> OpenOptions {
    OpenOptions {
        indexes: vec![Arc::new(IdIndex)],
        ..OpenOptions::default()
    }
}

/// An index of the frames' ids, which wants dead frames apart.
pub struct IdIndex;

struct IdBuilder(Vec<u8>);

impl IndexFactory for IdIndex {
    fn kind(&self) -> SegmentKind {
        SegmentKind::LEX
    }

    fn builder(&self) -> Box<dyn IndexBuilder> {
        Box::new(IdBuilder(Vec::new()))
    }

    fn keeps_history_apart(&self) -> bool {
        true
    }
}

/// The ids in the index's segments, and the ids in those of history.
pub fn indexed(store: &Store) -> (Vec<u64>, Vec<u64>) {
    let (mut alive, mut history) = (Vec::new(), Vec::new());
    for segment in store
        .snapshot()
        .unwrap()
        .segments(SegmentKind::LEX)
        .unwrap()
    {
        let bytes = segment.bytes.get(0..segment.bytes.len()).unwrap();
        assert_eq!(bytes.len() as u64, segment.rows * 8);
        let ids = bytes
            .chunks_exact(8)
            .map(|id| u64::from_le_bytes(id.try_into().unwrap()));
        match segment.history {
            true => history.extend(ids),
            false => alive.extend(ids),
        }
    }
    (alive, history)
}

impl IndexBuilder for IdBuilder {
    fn add(&mut self, frame: &Frame) -> Result<(), BoxError> {
        self.0.extend_from_slice(&frame.meta.id.0.to_le_bytes());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, BoxError> {
        Ok(self.0)
    }
}
