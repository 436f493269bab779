//! An opened lexical segment: access by frame, term and document, and its deep check.

use std::fmt;
use std::sync::Arc;

use mv2_format::{Frame, FrameId, SegmentBytes};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, Index, ReloadPolicy, Searcher, SegmentReader, Term};

use crate::build::Builder;
use crate::container::{self, Header, Section};
use crate::counts::Column;
use crate::directory::SegmentDirectory;
use crate::error::{Error, Result, guard};
use crate::postings::{Best, PostingsGuard};
use crate::schema::TextField;

/// Up to so many documents are few.
pub(crate) const FEW_DOCS: usize = 16;
/// Documents of a segment from which on to look up the counts of a few costs less than to check the 64 pages with the lengths of all.
const LARGE_DOCS: u32 = if cfg!(test) { 128 } else { 1 << 18 };

/// An opened lexical segment.
///
/// Opening checks and reads the term dictionaries of the text fields and the header, tens of
/// microseconds for a hundred thousand documents; postings are checked page by page as queries
/// touch them. Keep an opened segment for as long as it is live: a new commit needs a new
/// [`SegmentView`](crate::SegmentView), not a new `Segment`.
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
        let directory = SegmentDirectory::new(header.max_doc, header.positions, files)?;
        let postings = guard("opening a lexical segment", || {
            PostingsGuard::open(&directory, header.max_doc, header.positions)
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
        Self::build_with(Builder::new(true), frames)
    }

    pub(crate) fn build_with<'a>(
        mut builder: Builder,
        frames: impl IntoIterator<Item = &'a Frame>,
    ) -> Result<Self> {
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

    /// Whether the words of the body have their positions. Without them a phrase is looked for in each document that has
    /// all of its words.
    pub fn has_positions(&self) -> bool {
        self.header.positions
    }

    /// Length of the segment in bytes, without its page tables.
    pub fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &SegmentBytes {
        &self.bytes
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
    /// Whether a frame is in it.
    ///
    /// # Errors
    /// [`Error::Format`] if a page that holds frame ids is damaged.
    pub fn holds(&self, frame: FrameId) -> Result<bool> {
        Ok(self.doc(frame)?.is_some())
    }

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
        self.postings.check(field, inverted, info, |field, docs| {
            self.length_ids(field, docs)
        })
    }

    /// The best documents of a frequent term of a text field; `None` if nothing is known.
    pub(crate) fn best(&self, field: Field, info: &TermInfo) -> Option<Arc<[Best]>> {
        self.postings.best(field, info)
    }

    /// The lengths of documents in a text field, rounded, as ids of tantivy. Its file of them is read whole, so that those of a
    /// few documents of a large segment come from the counts.
    pub(crate) fn length_ids(&self, field: TextField, docs: &[DocId]) -> Result<Vec<u8>> {
        if docs.len() <= FEW_DOCS && self.header.max_doc >= LARGE_DOCS {
            let length_id = |doc: &DocId| {
                let tokens = self.tokens_of(field, *doc)?.min(u64::from(u32::MAX));
                Ok(FieldNormReader::fieldnorm_to_id(tokens as u32))
            };
            return docs.iter().map(length_id).collect();
        }
        let lengths = self
            .reader()
            .get_fieldnorms_reader(field.field())
            .map_err(|error| Error::tantivy("reading field lengths", error))?;
        Ok(docs.iter().map(|doc| lengths.fieldnorm_id(*doc)).collect())
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
            for (field, _) in crate::schema::schema(true).fields() {
                self.verify_field(field)?;
            }
            Ok(())
        })
    }

    /// Calls `each` with every term of every field: what can be read out of the segment by whoever has the file.
    ///
    /// # Errors
    /// [`Error`] if a dictionary cannot be read.
    ///
    /// ```
    /// # use mv2_format::{Frame, FrameMeta};
    /// use mv2_lex::Segment;
    ///
    /// # let meta = FrameMeta { is_text: true, ..FrameMeta::default() };
    /// let frame = Frame { meta, payload: b"two words".to_vec() };
    /// let mut terms = Vec::new();
    /// Segment::build([&frame])?.each_term(&mut |field, term| terms.push((field.to_owned(), term.to_vec())))?;
    /// assert_eq!(terms, [("body".into(), b"two".to_vec()), ("body".into(), b"word".to_vec())]);
    /// # Ok::<(), mv2_lex::Error>(())
    /// ```
    pub fn each_term(&self, each: &mut dyn FnMut(&str, &[u8])) -> Result<()> {
        let io = |error: std::io::Error| Error::io("reading a term dictionary", &error);
        guard("reading a term dictionary", || {
            for (field, entry) in crate::schema::schema(true).fields() {
                let inverted = self.inverted(field)?;
                let mut terms = inverted.terms().stream().map_err(io)?;
                while terms.advance() {
                    each(entry.name(), terms.key());
                }
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
