//! A snapshot's view of a segment: what is visible, and the statistics of that.

use std::fmt;
use std::sync::Arc;

use mv2_format::FrameId;
use tantivy::DocId;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::{Field, IndexRecordOption};

use crate::bits::DocBits;
use crate::error::{Error, Result};
use crate::schema::TextField;
use crate::segment::Segment;

/// A segment as one snapshot sees it: which of its frames are visible, and their statistics.
///
/// Making one costs O(dead frames in the segment), whatever the segment's size; cloning is cheap.
/// Keep the views of segments whose dead frames did not change from commit to commit.
#[derive(Clone)]
pub struct SegmentView {
    shared: Arc<ViewShared>,
}

struct ViewShared {
    segment: Arc<Segment>,
    /// Documents from here on are invisible.
    cutoff: DocId,
    /// Dead documents below the cut-off, sorted.
    dead: Vec<DocId>,
    /// The same as bits, if they are so many that a search in the list costs more.
    dead_bits: Option<DocBits>,
    /// The visible documents, sorted, where they were named; then none is said to be dead.
    only: Option<Vec<DocId>>,
    /// The same as bits, if they are so many that a search in the list costs more.
    only_bits: Option<DocBits>,
    /// Tokens of the visible documents: body, title, cjk.
    tokens: [u64; 3],
}

/// Of a segment of which at most one document in so many is visible, those are looked at one by one.
const FEW_ONE_IN: usize = if cfg!(test) { 3 } else { 50 };

impl SegmentView {
    /// A view of a segment without the frames from `cutoff` on and without `dead`, which is
    /// sorted. Dead frames outside of the segment are passed over.
    ///
    /// # Errors
    /// [`Error::Format`] if a page that holds counts or frame ids is damaged.
    pub fn new(segment: Arc<Segment>, cutoff: FrameId, dead: &[FrameId]) -> Result<Self> {
        let cutoff = segment.docs_before(cutoff)?;
        let first = dead.partition_point(|frame| *frame < segment.first_frame());
        let mut dead_docs = docs_of(&segment, &dead[first..])?;
        dead_docs.retain(|doc| *doc < cutoff);
        let mut tokens = [0; 3];
        for field in TextField::ALL {
            tokens[field.index()] = segment
                .tokens_before(field, cutoff)?
                .saturating_sub(tokens_of(&segment, field, &dead_docs)?);
        }
        let dead_bits = bits_of_many(&segment, &dead_docs);
        Ok(Self {
            shared: Arc::new(ViewShared {
                segment,
                cutoff,
                dead: dead_docs,
                dead_bits,
                only: None,
                only_bits: None,
                tokens,
            }),
        })
    }

    /// A view of some frames of a segment, sorted, and no others. Frames outside of the segment are passed over.
    ///
    /// Making one costs O(these frames), whatever else the segment holds, and so does a search if they are few.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn only(segment: Arc<Segment>, frames: &[FrameId]) -> Result<Self> {
        let first = frames.partition_point(|frame| *frame < segment.first_frame());
        let docs = docs_of(&segment, &frames[first..])?;
        let mut tokens = [0; 3];
        for field in TextField::ALL {
            tokens[field.index()] = tokens_of(&segment, field, &docs)?;
        }
        Ok(Self {
            shared: Arc::new(ViewShared {
                cutoff: segment.docs(),
                dead: Vec::new(),
                dead_bits: None,
                only_bits: bits_of_many(&segment, &docs),
                only: Some(docs),
                tokens,
                segment,
            }),
        })
    }

    /// The visible documents, sorted, if they are few for the size of the segment.
    pub(crate) fn few(&self) -> Option<&[DocId]> {
        let docs = self.shared.only.as_deref()?;
        (docs.len() <= self.shared.segment.docs() as usize / FEW_ONE_IN).then_some(docs)
    }

    /// The segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.shared.segment
    }

    /// Number of frames that are visible.
    pub fn visible(&self) -> u64 {
        match &self.shared.only {
            Some(docs) => docs.len() as u64,
            None => u64::from(self.shared.cutoff) - self.shared.dead.len() as u64,
        }
    }

    pub(crate) fn tokens(&self, field: TextField) -> u64 {
        self.shared.tokens[field.index()]
    }

    pub(crate) fn is_visible(&self, doc: DocId) -> bool {
        match (&self.shared.only, &self.shared.only_bits) {
            (_, Some(bits)) => bits.contains(doc),
            (Some(docs), None) => docs.binary_search(&doc).is_ok(),
            (None, None) => doc < self.shared.cutoff && !self.is_dead(doc),
        }
    }

    fn is_dead(&self, doc: DocId) -> bool {
        match &self.shared.dead_bits {
            Some(bits) => bits.contains(doc),
            None => !self.shared.dead.is_empty() && self.shared.dead.binary_search(&doc).is_ok(),
        }
    }

    /// All visible documents.
    pub(crate) fn visible_bits(&self) -> DocBits {
        if let Some(docs) = &self.shared.only {
            return DocBits::from_docs(self.shared.segment.docs(), docs);
        }
        let mut bits = DocBits::new(self.shared.segment.docs());
        bits.insert_range(0..self.shared.cutoff);
        for doc in &self.shared.dead {
            bits.remove(*doc);
        }
        bits
    }

    /// Number of visible documents that hold a term, from its entry in the dictionary.
    pub(crate) fn doc_freq(
        &self,
        field: Field,
        inverted: &InvertedIndexReader,
        info: &TermInfo,
    ) -> Result<u64> {
        let segment = &self.shared.segment;
        segment.check_postings(field, inverted, info)?;
        let io = |error: std::io::Error| Error::io("reading postings", &error);
        let mut count = u64::from(info.doc_freq);
        if let Some(docs) = &self.shared.only {
            let postings = inverted
                .read_block_postings_from_terminfo(info, IndexRecordOption::Basic)
                .map_err(io)?;
            return Ok(with_term(
                postings,
                docs,
                self.shared.only_bits.as_ref(),
                self.shared.cutoff,
            ));
        }
        if self.shared.cutoff < segment.docs() {
            let mut postings = inverted
                .read_block_postings_from_terminfo(info, IndexRecordOption::Basic)
                .map_err(io)?;
            count = u64::from(postings.rank(self.shared.cutoff));
        }
        if self.shared.dead.is_empty() || count == 0 {
            return Ok(count);
        }
        let postings = inverted
            .read_block_postings_from_terminfo(info, IndexRecordOption::Basic)
            .map_err(io)?;
        let dead_bits = self.shared.dead_bits.as_ref();
        let dead = with_term(postings, &self.shared.dead, dead_bits, self.shared.cutoff);
        Ok(count.saturating_sub(dead))
    }
}

/// The documents of frames, sorted; those that the segment does not hold are passed over.
fn docs_of(segment: &Segment, frames: &[FrameId]) -> Result<Vec<DocId>> {
    let mut docs = Vec::new();
    let inside = frames
        .iter()
        .take_while(|frame| **frame < segment.end_frame());
    for frame in inside {
        docs.extend(segment.doc(*frame)?);
    }
    docs.sort_unstable();
    docs.dedup();
    Ok(docs)
}

fn tokens_of(segment: &Segment, field: TextField, docs: &[DocId]) -> Result<u64> {
    let mut tokens = 0u64;
    for doc in docs {
        tokens = tokens.saturating_add(segment.tokens_of(field, *doc)?);
    }
    Ok(tokens)
}

/// A bit set costs O(documents of the segment / 64), which is O(`docs`) if at least that many are in it.
fn bits_of_many(segment: &Segment, docs: &[DocId]) -> Option<DocBits> {
    let many = docs.len() >= 16 && docs.len() >= segment.docs() as usize / 64;
    many.then(|| DocBits::from_docs(segment.docs(), docs))
}

/// How many of some documents are in a posting list, those from a cut-off on left out. A seek decodes at least one block, so
/// walking the whole list is cheaper as soon as there is a document for each block of it.
fn with_term(
    mut postings: BlockSegmentPostings,
    docs: &[DocId],
    bits: Option<&DocBits>,
    cutoff: DocId,
) -> u64 {
    let mut found = 0;
    let mut left = postings.doc_freq() as usize;
    if docs.len() < left / 128 {
        for &doc in docs {
            let at = postings.seek(doc);
            found += u64::from(at < postings.block_len() && postings.doc(at) == doc);
        }
        return found;
    }
    let mut docs = docs.iter().copied().peekable();
    while left > 0 && postings.block_len() > 0 {
        for &doc in postings.docs() {
            if doc >= cutoff {
                return found;
            }
            match bits {
                Some(bits) => found += u64::from(bits.contains(doc)),
                None => {
                    while docs.next_if(|next| *next < doc).is_some() {}
                    found += u64::from(docs.next_if_eq(&doc).is_some());
                }
            }
        }
        left = left.saturating_sub(postings.block_len());
        postings.advance();
    }
    found
}

impl fmt::Debug for SegmentView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SegmentView({:?}, {} visible)",
            self.shared.segment,
            self.visible()
        )
    }
}
