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
    /// Tokens of the visible documents: body, title, cjk.
    tokens: [u64; 3],
}

impl SegmentView {
    /// A view of a segment without the frames from `cutoff` on and without `dead`, which is
    /// sorted. Dead frames outside of the segment are passed over.
    ///
    /// # Errors
    /// [`Error::Format`] if a page that holds counts or frame ids is damaged.
    pub fn new(segment: Arc<Segment>, cutoff: FrameId, dead: &[FrameId]) -> Result<Self> {
        let cutoff = segment.docs_before(cutoff)?;
        let first = dead.partition_point(|frame| *frame < segment.first_frame());
        let mut dead_docs = Vec::new();
        for frame in dead[first..]
            .iter()
            .take_while(|frame| **frame < segment.end_frame())
        {
            if let Some(doc) = segment.doc(*frame)?
                && doc < cutoff
            {
                dead_docs.push(doc);
            }
        }
        dead_docs.sort_unstable();
        dead_docs.dedup();
        let mut tokens = [0; 3];
        for field in TextField::ALL {
            let mut dead_tokens = 0u64;
            for doc in &dead_docs {
                dead_tokens = dead_tokens.saturating_add(segment.tokens_of(field, *doc)?);
            }
            tokens[field.index()] = segment
                .tokens_before(field, cutoff)?
                .saturating_sub(dead_tokens);
        }
        // A bit set costs O(documents / 64), which is O(dead) if at least that many are dead.
        let dead_bits = (dead_docs.len() >= 16 && dead_docs.len() >= segment.docs() as usize / 64)
            .then(|| DocBits::from_docs(segment.docs(), &dead_docs));
        Ok(Self {
            shared: Arc::new(ViewShared {
                segment,
                cutoff,
                dead: dead_docs,
                dead_bits,
                tokens,
            }),
        })
    }

    /// The segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.shared.segment
    }

    /// Number of frames that are visible.
    pub fn visible(&self) -> u64 {
        u64::from(self.shared.cutoff) - self.shared.dead.len() as u64
    }

    pub(crate) fn tokens(&self, field: TextField) -> u64 {
        self.shared.tokens[field.index()]
    }

    pub(crate) fn is_visible(&self, doc: DocId) -> bool {
        doc < self.shared.cutoff && !self.is_dead(doc)
    }

    fn is_dead(&self, doc: DocId) -> bool {
        match &self.shared.dead_bits {
            Some(bits) => bits.contains(doc),
            None => !self.shared.dead.is_empty() && self.shared.dead.binary_search(&doc).is_ok(),
        }
    }

    /// All visible documents.
    pub(crate) fn visible_bits(&self) -> DocBits {
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
        Ok(count.saturating_sub(self.dead_with(postings, count)))
    }

    /// Number of dead documents in a posting list. A seek decodes at least one block, so walking
    /// the whole list is cheaper as soon as there is a dead document for each block of it.
    fn dead_with(&self, mut postings: BlockSegmentPostings, count: u64) -> u64 {
        let mut found = 0;
        if (self.shared.dead.len() as u64) < count / 128 {
            for &doc in &self.shared.dead {
                let at = postings.seek(doc);
                found += u64::from(at < postings.block_len() && postings.doc(at) == doc);
            }
            return found;
        }
        let mut left = postings.doc_freq() as usize;
        let mut dead = self.shared.dead.iter().copied().peekable();
        while left > 0 && postings.block_len() > 0 {
            for &doc in postings.docs() {
                if doc >= self.shared.cutoff {
                    return found;
                }
                match &self.shared.dead_bits {
                    Some(bits) => found += u64::from(bits.contains(doc)),
                    None => {
                        while dead.next_if(|next| *next < doc).is_some() {}
                        found += u64::from(dead.next_if_eq(&doc).is_some());
                    }
                }
            }
            left = left.saturating_sub(postings.block_len());
            postings.advance();
        }
        found
    }
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
