//! Building a segment from frames: one tantivy segment in memory, then the container around it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mv2_format::{
    BoxError, Frame, FrameId, FrameMeta, IndexBuilder, IndexFactory, PayloadReader, SegmentKind,
};
use tantivy::directory::{OwnedBytes, RamDirectory};
use tantivy::index::SegmentComponent;
use tantivy::tokenizer::{RawTokenizer, TokenizerManager};
use tantivy::{Directory, Index, IndexSettings, SingleSegmentIndexWriter, TantivyDocument};

use crate::analyser::pieces::Slot;
use crate::analyser::stream::{CjkTokenizer, WordTokenizer};
use crate::container::{self, Header, MAX_DOCS, Section};
use crate::counts;
use crate::directory::STORE_SETTINGS;
use crate::error::{Error, Result, guard};
use crate::schema::{self, TextField};

/// Sizes tantivy's first hash table and nothing else: a small one makes small segments cheap.
const MEMORY_BUDGET_BYTES: usize = 1 << 20;

/// The lexical index as the store knows it: a factory of segment builders.
///
/// ```
/// use mv2_format::{IndexFactory, SegmentKind};
///
/// let index = mv2_lex::LexIndex::new();
/// assert_eq!(index.kind(), SegmentKind::LEX);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LexIndex {
    positions: bool,
}

impl LexIndex {
    /// The index, version 1.
    pub fn new() -> Self {
        Self { positions: true }
    }

    /// The same without the positions of words, which takes 40 % less space. It gives the same answers; a search for a quoted
    /// phrase reads each document that has all of its words.
    pub fn without_positions() -> Self {
        Self { positions: false }
    }
}

impl Default for LexIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl IndexFactory for LexIndex {
    fn kind(&self) -> SegmentKind {
        SegmentKind::LEX
    }

    fn builder(&self) -> Box<dyn IndexBuilder> {
        Box::new(Builder::new(self.positions))
    }

    /// Positions of so many words would take more memory than the text, and narrow a phrase down to one document.
    fn builder_of_huge(&self) -> Option<Box<dyn IndexBuilder>> {
        Some(Box::new(Builder::new(false)))
    }

    /// Statistics are those of the visible frames, and dead ones among them have to be taken off at each query.
    fn keeps_history_apart(&self) -> bool {
        true
    }
}

/// Builds one segment. A failed `add` leaves it unusable.
pub(crate) struct Builder {
    positions: bool,
    writer: Option<Writer>,
    frames: Vec<FrameId>,
    counts: [Vec<u64>; 3],
}

struct Writer {
    tantivy: SingleSegmentIndexWriter,
    directory: RamDirectory,
    counters: [Arc<AtomicU64>; 3],
    /// Where the tokenizers find a large text.
    slot: Slot,
}

impl Builder {
    pub(crate) fn new(positions: bool) -> Self {
        Self {
            positions,
            writer: None,
            frames: Vec::new(),
            counts: Default::default(),
        }
    }

    /// Takes in a frame.
    pub(crate) fn add_frame(&mut self, frame: &Frame) -> Result<()> {
        self.add_document(&frame.meta, |_| document(&frame.meta, frame.text()))
    }

    /// Takes in a frame whose text is read piece by piece.
    pub(crate) fn add_large_frame(
        &mut self,
        meta: &FrameMeta,
        payload: PayloadReader,
    ) -> Result<()> {
        self.add_document(meta, |slot| {
            slot.fill(payload);
            large_document(meta)
        })
    }

    fn add_document(
        &mut self,
        meta: &FrameMeta,
        document: impl FnOnce(&Slot) -> TantivyDocument,
    ) -> Result<()> {
        if let Some(&previous) = self.frames.last()
            && previous >= meta.id
        {
            return Err(Error::Order {
                frame: meta.id,
                previous,
            });
        }
        if self.frames.len() >= MAX_DOCS as usize {
            return Err(Error::TooManyFrames { limit: MAX_DOCS });
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(Writer::new(self.positions)?),
        };
        if let Err(error) = writer.add(document) {
            self.writer = None;
            return Err(error);
        }
        for (counts, counter) in self.counts.iter_mut().zip(&writer.counters) {
            counts.push(counter.swap(0, Ordering::Relaxed));
        }
        self.frames.push(meta.id);
        Ok(())
    }

    /// The finished segment.
    pub(crate) fn finish_segment(self) -> Result<Vec<u8>> {
        let (Some(writer), Some(&first), Some(&last)) =
            (self.writer, self.frames.first(), self.frames.last())
        else {
            return Err(Error::NoFrames);
        };
        let files = writer.finish()?;
        let dense = last.get() - first.get() + 1 == self.frames.len() as u64;
        let header = Header {
            tantivy_format: tantivy::INDEX_FORMAT_VERSION,
            dense,
            positions: self.positions,
            first_frame: first,
            last_frame: last,
            max_doc: self.frames.len() as u32,
            tokens: TextField::ALL.map(|field| self.counts[field.index()].iter().sum()),
        };
        let mut columns: Vec<(Section, Vec<u8>)> = Vec::new();
        for (section, counts) in [
            (Section::BodyCounts, &self.counts[0]),
            (Section::TitleCounts, &self.counts[1]),
            (Section::CjkCounts, &self.counts[2]),
        ] {
            columns.push((section, counts::encode(counts)?));
        }
        if !dense {
            let mut gaps = vec![0];
            gaps.extend(
                self.frames
                    .windows(2)
                    .map(|pair| pair[1].get() - pair[0].get()),
            );
            columns.push((Section::FrameGaps, counts::encode(&gaps)?));
        }
        let files = files
            .iter()
            .map(|(section, bytes)| (*section, bytes.as_slice()));
        let columns = columns
            .iter()
            .map(|(section, bytes)| (*section, &bytes[..]));
        let sections: Vec<(Section, &[u8])> = files.chain(columns).collect();
        Ok(container::encode(&header, &sections))
    }
}

/// The analysis as tokenizers of tantivy, `mv2_body`, `mv2_title` and `mv2_cjk`, for an index of its own beside a memory.
pub fn tokenizers() -> TokenizerManager {
    counting_tokenizers(&std::array::from_fn(|_| Arc::default()), &Slot::default())
}

/// Tokenizers that count their tokens: body, title, cjk. The slot is where body and cjk find a large text.
fn counting_tokenizers(counters: &[Arc<AtomicU64>; 3], slot: &Slot) -> TokenizerManager {
    let tokenizers = TokenizerManager::new();
    let words = |field: TextField| {
        let slot = match field {
            TextField::Body => slot.clone(),
            _ => Slot::default(),
        };
        WordTokenizer::new(Arc::clone(&counters[field.index()]), slot)
    };
    tokenizers.register(schema::BODY_TOKENIZER, words(TextField::Body));
    tokenizers.register(schema::TITLE_TOKENIZER, words(TextField::Title));
    let cjk = Arc::clone(&counters[TextField::Cjk.index()]);
    tokenizers.register(schema::CJK_TOKENIZER, CjkTokenizer::new(cjk, slot.clone()));
    tokenizers.register("raw", RawTokenizer::default());
    tokenizers
}

impl Writer {
    fn new(positions: bool) -> Result<Self> {
        let doing = "starting a lexical segment";
        let counters: [Arc<AtomicU64>; 3] = std::array::from_fn(|_| Arc::default());
        let slot = Slot::default();
        let tokenizers = counting_tokenizers(&counters, &slot);
        let settings: IndexSettings = serde_json::from_str(STORE_SETTINGS)
            .map_err(|error| Error::invalid("index settings", "JSON", error))?;
        let directory = RamDirectory::create();
        let tantivy = Index::builder()
            .schema(schema::schema(positions).clone())
            .settings(settings)
            .tokenizers(tokenizers)
            .single_segment_index_writer(directory.clone(), MEMORY_BUDGET_BYTES)
            .map_err(|error| Error::tantivy(doing, error))?;
        Ok(Self {
            tantivy,
            directory,
            counters,
            slot,
        })
    }

    fn add(&mut self, document: impl FnOnce(&Slot) -> TantivyDocument) -> Result<()> {
        let doing = "indexing a frame";
        guard(doing, || {
            self.tantivy
                .add_document(document(&self.slot))
                .map_err(|error| Error::tantivy(doing, error))
        })?;
        match self.slot.clear() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The files of the finished segment. The document store is left out.
    fn finish(self) -> Result<Vec<(Section, OwnedBytes)>> {
        let doing = "finishing a lexical segment";
        guard(doing, || {
            let index = self
                .tantivy
                .finalize()
                .map_err(|error| Error::tantivy(doing, error))?;
            let metas = index
                .searchable_segment_metas()
                .map_err(|error| Error::tantivy(doing, error))?;
            let meta = metas.first().ok_or(Error::NoFrames)?;
            Section::FILES
                .into_iter()
                .map(|(section, _)| {
                    let path = meta.relative_path(component(section));
                    let file = self
                        .directory
                        .open_read(&path)
                        .map_err(|error| Error::tantivy(doing, error.into()))?;
                    let bytes = file
                        .read_bytes()
                        .map_err(|error| Error::io(doing, &error))?;
                    Ok((section, bytes))
                })
                .collect()
        })
    }
}

fn component(section: Section) -> SegmentComponent {
    match section {
        Section::Term => SegmentComponent::Terms,
        Section::FieldNorm => SegmentComponent::FieldNorms,
        Section::Fast => SegmentComponent::FastFields,
        Section::Positions => SegmentComponent::Positions,
        _ => SegmentComponent::Postings,
    }
}

/// The fields of a frame. Title and text are two values of one field: positions leave a gap
/// between them, so that no phrase spans both.
fn document(meta: &FrameMeta, text: &str) -> TantivyDocument {
    let mut document = TantivyDocument::new();
    if let Some(title) = &meta.title {
        add_title(&mut document, title);
    }
    document.add_text(schema::body(), text);
    if !text.is_ascii() {
        document.add_text(schema::cjk(), text);
    }
    add_names(&mut document, meta);
    document
}

/// The same with an empty value in the place of a large text, which the tokenizers find in their slot.
fn large_document(meta: &FrameMeta) -> TantivyDocument {
    let mut document = TantivyDocument::new();
    // An empty title has no words, and would take the place of the text.
    if let Some(title) = meta.title.as_ref().filter(|title| !title.is_empty()) {
        add_title(&mut document, title);
    }
    document.add_text(schema::body(), "");
    document.add_text(schema::cjk(), "");
    add_names(&mut document, meta);
    document
}

fn add_title(document: &mut TantivyDocument, title: &str) {
    document.add_text(schema::body(), title);
    document.add_text(schema::title(), title);
    if !title.is_ascii() {
        document.add_text(schema::cjk(), title);
    }
}

fn add_names(document: &mut TantivyDocument, meta: &FrameMeta) {
    for (field, value) in [
        (schema::uri(), &meta.uri),
        (schema::kind(), &meta.kind),
        (schema::track(), &meta.track),
    ] {
        if let Some(value) = value {
            document.add_text(field, schema::raw_term(value));
        }
    }
    for label in &meta.labels {
        document.add_text(schema::label(), schema::raw_term(label));
    }
    for (key, value) in &meta.tags {
        document.add_text(schema::tag(), schema::tag_term(key, value));
        document.add_text(schema::tag(), schema::tag_key_term(key));
    }
}

impl IndexBuilder for Builder {
    fn add(&mut self, frame: &Frame) -> Result<(), BoxError> {
        Ok(self.add_frame(frame)?)
    }

    fn add_large(&mut self, meta: &FrameMeta, payload: PayloadReader) -> Result<(), BoxError> {
        Ok(self.add_large_frame(meta, payload)?)
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, BoxError> {
        Ok(self.finish_segment()?)
    }
}
