//! An opened lexical segment, and a snapshot's view of it.

use std::fmt;
use std::sync::Arc;

use mv2_format::{Frame, FrameId, SegmentBytes};
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, Index, ReloadPolicy, Searcher, SegmentReader, TERMINATED, Term};

use crate::build::Builder;
use crate::container::{self, Header, Section};
use crate::counts::Column;
use crate::directory::SegmentDirectory;
use crate::error::{Error, Result, guard};
use crate::postings::PostingsGuard;
use crate::schema::TextField;

/// An opened lexical segment.
///
/// Opening checks and reads the term dictionaries of the text fields and the header, tens of
/// microseconds for a hundred thousand documents; postings are checked page by page as queries
/// touch them. Keep an opened segment for as long as it is live: a new commit needs a new
/// [`SegmentView`], not a new `Segment`.
pub struct Segment {
    header: Header,
    bytes: SegmentBytes,
    searcher: Searcher,
    counts: [Column; 3],
    gaps: Option<Column>,
    /// Guards against postings that tantivy could not read to an end.
    postings: PostingsGuard,
}

/// Construct
impl Segment {
    /// Opens a segment.
    ///
    /// # Errors
    /// [`Error::Format`] for damage, [`Error::Unsupported`] for versions of another build,
    /// [`Error::Index`] and [`Error::Panicked`] for contents that tantivy refuses.
    pub fn open(bytes: SegmentBytes) -> Result<Self> {
        let (header, sections) = container::decode(&bytes)?;
        let section = |wanted: Section| {
            sections
                .iter()
                .find(|(section, _)| *section == wanted)
                .map(|(_, bytes)| bytes.clone())
                .ok_or_else(|| Error::invalid("lexical segment", format!("{wanted:?}"), "nothing"))
        };
        let docs = header.max_doc as usize;
        let counts = [
            Column::open(section(Section::BodyCounts)?, docs)?,
            Column::open(section(Section::TitleCounts)?, docs)?,
            Column::open(section(Section::CjkCounts)?, docs)?,
        ];
        let gaps = match header.dense {
            true => None,
            false => Some(Column::open(section(Section::FrameGaps)?, docs)?),
        };
        let files = Section::FILES
            .into_iter()
            .map(|(kind, extension)| Ok((extension, section(kind)?)))
            .collect::<Result<Vec<_>>>()?;
        let directory = SegmentDirectory::new(header.max_doc, files)?;
        let postings = guard("opening a lexical segment", || {
            PostingsGuard::open(&directory, header.max_doc)
        })?;
        let searcher = guard("opening a lexical segment", || open_searcher(directory))?;
        let segment = Self {
            header,
            bytes,
            searcher,
            counts,
            gaps,
            postings,
        };
        guard("opening a lexical segment", || {
            TextField::ALL
                .into_iter()
                .try_for_each(|field| segment.inverted(field.field()).map(drop))
        })?;
        Ok(segment)
    }

    /// Builds a segment in memory, for frames that are not in a segment of the file yet.
    ///
    /// # Errors
    /// [`Error::NoFrames`], and [`Error::Order`] if ids do not ascend.
    pub fn build<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Result<Self> {
        let mut builder = Builder::default();
        for frame in frames {
            builder.add_frame(frame)?;
        }
        let mut segment = Self::open(SegmentBytes::from_vec(builder.finish_segment()?))?;
        segment.postings.trust();
        Ok(segment)
    }
}

fn open_searcher(directory: SegmentDirectory) -> Result<Searcher> {
    let doing = "opening a lexical segment";
    let failed = |error| Error::tantivy(doing, error);
    let index = Index::open(directory).map_err(failed)?;
    let reader = index
        .reader_builder()
        .reload_policy(ReloadPolicy::Manual)
        .try_into()
        .map_err(failed)?;
    let searcher = reader.searcher();
    if searcher.segment_readers().len() != 1 {
        return Err(Error::invalid(
            "tantivy segments",
            "1",
            searcher.segment_readers().len(),
        ));
    }
    Ok(searcher)
}

/// Access
impl Segment {
    /// The first frame in the segment.
    pub fn first_frame(&self) -> FrameId {
        self.header.first_frame
    }

    /// The frame behind the last one in the segment.
    pub fn end_frame(&self) -> FrameId {
        self.header.last_frame.next()
    }

    /// Number of frames in the segment, dead ones too.
    pub fn docs(&self) -> u32 {
        self.header.max_doc
    }

    /// Length of the segment in bytes, without its page tables.
    pub fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The frame of a document.
    pub(crate) fn frame(&self, doc: DocId) -> Result<FrameId> {
        let first = self.header.first_frame.get();
        let offset = match &self.gaps {
            None => u64::from(doc),
            Some(gaps) => gaps.sum_before(doc as usize + 1)?,
        };
        Ok(FrameId(first.saturating_add(offset)))
    }

    /// The document of a frame, if the segment has it.
    pub(crate) fn doc(&self, frame: FrameId) -> Result<Option<DocId>> {
        let below = self.docs_before(FrameId(frame.get().saturating_add(1)))?;
        match below.checked_sub(1) {
            Some(doc) if self.frame(doc)? == frame => Ok(Some(doc)),
            _ => Ok(None),
        }
    }

    /// Number of documents whose frame is below `end`.
    pub(crate) fn docs_before(&self, end: FrameId) -> Result<u32> {
        let first = self.header.first_frame.get();
        let Some(last_offset) = end.get().checked_sub(first).and_then(|n| n.checked_sub(1)) else {
            return Ok(0);
        };
        let count = match &self.gaps {
            None => last_offset.saturating_add(1),
            Some(gaps) => gaps.partition(last_offset)?.0 as u64,
        };
        Ok(count.min(u64::from(self.header.max_doc)) as u32)
    }

    pub(crate) fn reader(&self) -> &SegmentReader {
        self.searcher.segment_reader(0)
    }

    pub(crate) fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// Tokens of all documents in a field.
    pub(crate) fn tokens(&self, field: TextField) -> u64 {
        self.header.tokens[field.index()]
    }

    /// Tokens of the first `docs` documents in a field.
    pub(crate) fn tokens_before(&self, field: TextField, docs: u32) -> Result<u64> {
        if docs >= self.header.max_doc {
            return Ok(self.tokens(field));
        }
        self.counts[field.index()].sum_before(docs as usize)
    }

    /// Tokens of one document in a field.
    pub(crate) fn tokens_of(&self, field: TextField, doc: DocId) -> Result<u64> {
        if self.tokens(field) == 0 {
            return Ok(0);
        }
        self.counts[field.index()].value(doc as usize)
    }

    pub(crate) fn inverted(&self, field: Field) -> Result<Arc<InvertedIndexReader>> {
        self.reader()
            .inverted_index(field)
            .map_err(|error| Error::tantivy("opening a term dictionary", error))
    }

    /// Postings of a term, documents only.
    pub(crate) fn block_postings(&self, term: &Term) -> Result<Option<BlockSegmentPostings>> {
        let inverted = self.inverted(term.field())?;
        let io = |error: std::io::Error| Error::io("reading postings", &error);
        let Some(info) = inverted.get_term_info(term).map_err(io)? else {
            return Ok(None);
        };
        self.check_postings(term.field(), &inverted, &info)?;
        inverted
            .read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)
            .map_err(io)
            .map(Some)
    }

    /// Checks the postings of a term unless that was done before.
    pub(crate) fn check_postings(
        &self,
        field: Field,
        inverted: &InvertedIndexReader,
        info: &TermInfo,
    ) -> Result<()> {
        self.postings.check(field, inverted, info)
    }
}

/// Verify
impl Segment {
    /// Reads every byte and checks that the parts agree: columns, field lengths, dictionaries,
    /// postings in ascending order and inside of the segment, token totals.
    ///
    /// # Errors
    /// The first disagreement or damage that is found.
    pub fn verify(&self) -> Result<()> {
        self.bytes.all()?;
        for field in TextField::ALL {
            let sum = self.counts[field.index()].verify()?;
            self.agree("token total", self.tokens(field), sum)?;
        }
        if let Some(gaps) = &self.gaps {
            let span = gaps.verify()?;
            let expected = self.header.last_frame.get() - self.header.first_frame.get();
            self.agree("frame span", expected, span)?;
            for doc in 0..self.header.max_doc as usize {
                if (gaps.value(doc)? == 0) != (doc == 0) {
                    return Err(Error::invalid("frame gap", "0 at first, then above 0", doc));
                }
            }
        }
        guard("verifying a lexical segment", || {
            for (field, _) in crate::schema::schema().fields() {
                self.verify_field(field)?;
            }
            Ok(())
        })
    }

    fn verify_field(&self, field: Field) -> Result<()> {
        let io = |error: std::io::Error| Error::io("verifying postings", &error);
        let inverted = self.inverted(field)?;
        let mut occurrences = 0u64;
        let mut terms = inverted.terms().stream().map_err(io)?;
        while let Some((_, info)) = terms.next() {
            let mut postings = inverted
                .read_block_postings_from_terminfo(info, IndexRecordOption::WithFreqs)
                .map_err(io)?;
            let mut left = info.doc_freq as usize;
            let mut next = 0;
            while left > 0 {
                let block = postings.block_len();
                if block == 0 || block > left {
                    return Err(Error::invalid("postings block", left.to_string(), block));
                }
                for at in 0..block {
                    let doc = postings.doc(at);
                    if doc < next || doc >= self.header.max_doc {
                        return Err(Error::invalid("posting", format!("{next} and up"), doc));
                    }
                    next = doc + 1;
                    occurrences += u64::from(postings.freq(at));
                }
                left -= block;
                postings.advance();
            }
        }
        match TextField::of(field) {
            Some(text) => self.agree("token count of postings", self.tokens(text), occurrences),
            None => Ok(()),
        }
    }

    fn agree(&self, what: &'static str, expected: u64, found: u64) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        Err(Error::invalid(what, expected.to_string(), found))
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Segment({} documents, frames {} to {})",
            self.header.max_doc, self.header.first_frame, self.header.last_frame
        )
    }
}

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
        bits.fill(self.shared.cutoff);
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

/// A set of documents of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DocBits {
    words: Vec<u64>,
    docs: u32,
}

impl DocBits {
    pub(crate) fn new(docs: u32) -> Self {
        Self {
            words: vec![0; docs.div_ceil(64) as usize],
            docs,
        }
    }

    pub(crate) fn from_docs(docs: u32, members: &[DocId]) -> Self {
        let mut bits = Self::new(docs);
        for doc in members {
            bits.insert(*doc);
        }
        bits
    }

    /// Inserts all documents below `end`.
    pub(crate) fn fill(&mut self, end: DocId) {
        let end = end.min(self.docs);
        for (index, word) in self.words.iter_mut().enumerate() {
            let start = index as u32 * 64;
            if start + 64 <= end {
                *word = u64::MAX;
            } else if start < end {
                *word |= (1 << (end - start)) - 1;
            }
        }
    }

    /// Inserts a document; one that is not in the segment is passed over.
    pub(crate) fn insert(&mut self, doc: DocId) {
        if doc < self.docs {
            self.words[doc as usize / 64] |= 1 << (doc % 64);
        }
    }

    pub(crate) fn remove(&mut self, doc: DocId) {
        if doc < self.docs {
            self.words[doc as usize / 64] &= !(1 << (doc % 64));
        }
    }

    pub(crate) fn contains(&self, doc: DocId) -> bool {
        doc < self.docs && self.words[doc as usize / 64] & (1 << (doc % 64)) != 0
    }

    pub(crate) fn count(&self) -> u64 {
        self.words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    pub(crate) fn and(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    pub(crate) fn or(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    pub(crate) fn and_not(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// The members, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = DocId> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    index as u32 * 64 + bit
                })
            })
        })
    }

    /// Inserts all documents of a posting list.
    pub(crate) fn insert_postings(&mut self, mut postings: BlockSegmentPostings) {
        let mut left = postings.doc_freq() as usize;
        while left > 0 && postings.block_len() > 0 {
            for &doc in postings.docs() {
                if doc != TERMINATED {
                    self.insert(doc);
                }
            }
            left = left.saturating_sub(postings.block_len());
            postings.advance();
        }
    }
}
