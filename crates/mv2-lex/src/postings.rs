//! A check of postings before tantivy walks them.
//!
//! tantivy trusts its postings. Documents out of order, or a skip list that lies, can make its
//! loops run for ever, which no `catch_unwind` ends. Page checks keep chance damage away; a hostile
//! file has the right checksums. So the postings of each term are gone through once, in order, when
//! the term is first used. A run of documents needs no more than its entry in the skip list; other
//! blocks are decoded.
//!
//! On the way the block maxima of frequent terms are put together, as a bound of what any document
//! can get from the term ([`Best`]). If they lie, the ranking is wrong, and nothing worse.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::directory::footer::Footer;
use tantivy::directory::{CompositeFile, FileSlice, OwnedBytes};
use tantivy::index::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Directory, DocId};

use crate::directory::SegmentDirectory;
use crate::error::{Error, Result};
use crate::schema::{TextField, schema};

/// Documents of a full block; the documents behind the last full block have no skip entry.
pub(crate) const BLOCK_DOCS: u32 = 128;
/// Documents from which on a term's [`Best`] are remembered, and searches look for an early end.
pub(crate) const FREQUENT_FROM: u32 = if cfg!(test) {
    BLOCK_DOCS
} else {
    512 * BLOCK_DOCS
};
/// Terms remembered as checked at most; further ones are checked each time.
const MAX_CHECKED: usize = 1 << 20;

/// Remembers which postings of a segment were checked.
pub(crate) struct PostingsGuard {
    max_doc: u32,
    /// Whether the body has positions.
    positions: bool,
    /// The postings of each field, in the order of the schema, behind the token count.
    fields: Vec<Option<FileSlice>>,
    /// By field and start of the postings; `None` for a segment that was built in this process.
    checked: Option<Mutex<Checked>>,
}

type Checked = HashMap<(u32, usize), Option<Arc<[Best]>>>;

/// How short a document with how many occurrences of a term is, at best: no document has a higher score by the term than the
/// highest of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Best {
    /// The id of a length, as tantivy rounds lengths.
    pub(crate) length: u8,
    pub(crate) freq: u32,
}

impl PostingsGuard {
    pub(crate) fn open(
        directory: &SegmentDirectory,
        max_doc: u32,
        positions: bool,
    ) -> Result<Self> {
        let doing = "opening postings";
        let io = |error: std::io::Error| Error::io(doing, &error);
        let file = directory
            .open_read(Path::new(SegmentDirectory::POSTINGS))
            .map_err(|error| Error::tantivy(doing, error.into()))?;
        let (_, body) = Footer::extract_footer(file).map_err(io)?;
        let composite = CompositeFile::open(&body).map_err(io)?;
        let fields = schema(true)
            .fields()
            .map(|(field, _)| composite.open_read(field).map(|file| file.slice_from(8)))
            .collect();
        Ok(Self {
            max_doc,
            positions,
            fields,
            checked: Some(Mutex::default()),
        })
    }

    /// Checks nothing from now on.
    pub(crate) fn trust(&mut self) {
        self.checked = None;
    }

    pub(crate) fn check(
        &self,
        field: Field,
        inverted: &InvertedIndexReader,
        info: &TermInfo,
        lengths: impl FnOnce(TextField, &[DocId]) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let Some(checked) = &self.checked else {
            return Ok(());
        };
        let key = (field.field_id(), info.postings_range.start);
        let lock = || checked.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().contains_key(&key) {
            return Ok(());
        }
        let skips = self.skips(field, info)?;
        let mut bests = Bests::new();
        let end = self.check_docs(inverted, info, &skips, &mut bests)?;
        let is_frequent = info.doc_freq >= FREQUENT_FROM;
        let best = match TextField::of(field) {
            Some(field) if is_frequent => {
                let lengths = |docs: &[DocId]| lengths(field, docs);
                bests.add_last(inverted, info, end, lengths)?;
                Some(bests.finish())
            }
            _ => None,
        };
        let mut checked = lock();
        if checked.len() < MAX_CHECKED {
            checked.insert(key, best);
        }
        Ok(())
    }

    /// The best documents of a frequent term that was checked; `None` if nothing is known.
    pub(crate) fn best(&self, field: Field, info: &TermInfo) -> Option<Arc<[Best]>> {
        let checked = self.checked.as_ref()?.lock();
        let checked = checked.unwrap_or_else(PoisonError::into_inner);
        let key = (field.field_id(), info.postings_range.start);
        checked.get(&key).cloned().flatten()
    }

    /// The skip list: an entry for each full block.
    fn skips(&self, field: Field, info: &TermInfo) -> Result<Skips> {
        let bad =
            |found: String| Error::invalid("skip list of postings", "one entry a block", found);
        if info.doc_freq == 0 || info.doc_freq > self.max_doc {
            return Err(bad(format!("{} documents", info.doc_freq)));
        }
        let entry_bytes = match TextField::of(field) {
            Some(TextField::Body) if self.positions => 12,
            Some(_) => 8,
            None => 5,
        };
        if info.doc_freq < BLOCK_DOCS {
            return Ok(Skips {
                bytes: OwnedBytes::empty(),
                entry_bytes,
            });
        }
        let file = self
            .fields
            .get(field.field_id() as usize)
            .and_then(Option::as_ref);
        let file = file.ok_or_else(|| bad("no postings".to_owned()))?;
        let range = info.postings_range.clone();
        if range.start > range.end || range.end > tantivy::HasLen::len(file) {
            return Err(bad(format!("{range:?}")));
        }
        let bytes = file
            .read_bytes_slice(range)
            .map_err(|error| Error::io("reading postings", &error))?;
        let (len, rest) = read_vint(&bytes).ok_or_else(|| bad("no length".to_owned()))?;
        let blocks = (info.doc_freq / BLOCK_DOCS) as usize;
        if len != blocks * entry_bytes || len > rest.len() {
            return Err(bad(format!("{len} bytes for {blocks} blocks")));
        }
        let start = bytes.len() - rest.len();
        Ok(Skips {
            bytes: bytes.slice(start..start + len),
            entry_bytes,
        })
    }

    /// Goes through all blocks: documents ascend, stay inside of the segment and end where the skip list says. Returns the
    /// document behind the last full block.
    fn check_docs(
        &self,
        inverted: &InvertedIndexReader,
        info: &TermInfo,
        skips: &Skips,
        bests: &mut Bests,
    ) -> Result<DocId> {
        let mut postings = inverted
            .read_block_postings_from_terminfo(info, IndexRecordOption::Basic)
            .map_err(|error| Error::io("reading postings", &error))?;
        let bad = |found: usize, next: DocId| {
            Error::invalid(
                "postings block",
                format!("ascending documents below {}", self.max_doc),
                format!("{found} before document {next}"),
            )
        };
        let mut next = 0;
        for block in skips.blocks() {
            if block.last >= self.max_doc || block.last - next.min(block.last) < BLOCK_DOCS - 1 {
                return Err(bad(BLOCK_DOCS as usize, next));
            }
            if !block.is_run_from(next) {
                // The last documents have ascended up to here, so this stops at the block.
                postings.seek(next);
                let docs = postings.docs();
                let sorted = block.is_sorted() || docs.is_sorted_by(|a, b| a < b);
                let first = docs.first().is_some_and(|first| *first >= next);
                if !sorted || !first || docs.last() != Some(&block.last) {
                    return Err(bad(docs.len(), next));
                }
            }
            bests.add(block.length, block.freq);
            next = block.last + 1;
        }
        let rest = (info.doc_freq % BLOCK_DOCS) as usize;
        if rest > 0 {
            postings.seek(next);
            let docs = postings.docs();
            let inside = docs.first().is_some_and(|first| *first >= next)
                && docs.last().is_some_and(|last| *last < self.max_doc);
            if docs.len() != rest || !inside || !docs.is_sorted_by(|a, b| a < b) {
                return Err(bad(docs.len(), next));
            }
        }
        Ok(next)
    }
}

/// The skip list of a term.
struct Skips {
    bytes: OwnedBytes,
    entry_bytes: usize,
}

impl Skips {
    fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        self.bytes.chunks_exact(self.entry_bytes).map(Block::read)
    }
}

/// What the skip list says of a full block.
struct Block {
    /// Its last document.
    last: DocId,
    /// Bits of each distance between documents.
    bits: u8,
    /// Whether distances are stored less one, so that none can be nothing.
    strict: bool,
    /// Length and occurrences of the best document, in codes of one byte; nothing of a field without frequencies.
    length: u8,
    freq: u8,
}

impl Block {
    fn read(entry: &[u8]) -> Self {
        Self {
            last: DocId::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]),
            bits: entry[4] & 0x1F,
            strict: entry[4] & 0x40 != 0,
            length: entry[entry.len() - 2],
            freq: entry[entry.len() - 1],
        }
    }

    /// Whether the block is `next` and the documents right behind it, up to where the skip list says. No bit of it is
    /// stored then, so that there is nothing to read: a word that is in every document is checked at the cost of its skip list.
    fn is_run_from(&self, next: DocId) -> bool {
        self.strict && self.bits == 0 && self.last == next + (BLOCK_DOCS - 1)
    }

    /// Whether the documents ascend whatever is stored: the distances are too short for a sum to pass the largest number.
    fn is_sorted(&self) -> bool {
        const BITS: u8 = (u32::BITS - 1 - BLOCK_DOCS.ilog2()) as u8;
        self.strict && self.bits <= BITS
    }
}

/// Collects the best documents of a term; of equally many occurrences the shortest.
struct Bests {
    /// By the code of the number of occurrences.
    shortest: [Option<u8>; 256],
    /// The latest pair: most blocks have that of the block before.
    latest: Option<(u8, u8)>,
}

impl Bests {
    fn new() -> Self {
        Self {
            shortest: [None; 256],
            latest: None,
        }
    }

    fn add(&mut self, length: u8, code: u8) {
        if self.latest != Some((length, code)) {
            self.latest = Some((length, code));
            let shortest = &mut self.shortest[usize::from(code)];
            *shortest = Some(shortest.map_or(length, |other| other.min(length)));
        }
    }

    /// Adds the documents behind the full blocks, of which the skip list says nothing.
    fn add_last(
        &mut self,
        inverted: &InvertedIndexReader,
        info: &TermInfo,
        end: DocId,
        lengths: impl FnOnce(&[DocId]) -> Result<Vec<u8>>,
    ) -> Result<()> {
        if info.doc_freq.is_multiple_of(BLOCK_DOCS) {
            return Ok(());
        }
        let mut postings = inverted
            .read_block_postings_from_terminfo(info, IndexRecordOption::WithFreqs)
            .map_err(|error| Error::io("reading postings", &error))?;
        postings.seek(end);
        for (length, freq) in lengths(postings.docs())?.iter().zip(postings.freqs()) {
            self.add(*length, u8::try_from(*freq).unwrap_or(u8::MAX));
        }
        Ok(())
    }

    fn finish(&self) -> Arc<[Best]> {
        let best = self.shortest.iter().zip(0..).filter_map(|(length, code)| {
            // The highest code stands for any number from there on.
            let freq = if code == 255 { u32::MAX } else { code };
            length.map(|length| Best { length, freq })
        });
        best.collect()
    }
}

/// A number in groups of seven bits, lowest first, the last one marked, and what follows it.
fn read_vint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (at, byte) in bytes.iter().enumerate().take(8) {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 != 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}
