//! A check of postings before tantivy walks them.
//!
//! tantivy trusts its postings. Documents out of order, or a skip list that lies, can make its
//! loops run for ever, which no `catch_unwind` ends. Page checks keep chance damage away; a hostile
//! file has the right checksums. So the postings of each term are read once, in order, when the
//! term is first used: one pass over what the first query reads anyway for the most part.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tantivy::directory::footer::Footer;
use tantivy::directory::{CompositeFile, FileSlice};
use tantivy::index::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Directory, DocId};

use crate::directory::SegmentDirectory;
use crate::error::{Error, Result};
use crate::schema::{TextField, schema};

/// Documents of a full block; the documents behind the last full block have no skip entry.
const BLOCK_DOCS: u32 = 128;
/// Terms remembered as checked at most; further ones are checked each time.
const MAX_CHECKED: usize = 1 << 20;

/// Remembers which postings of a segment were checked.
pub(crate) struct PostingsGuard {
    max_doc: u32,
    /// Whether the body has positions.
    positions: bool,
    /// The postings of each field, in the order of the schema, behind the token count.
    fields: Vec<Option<FileSlice>>,
    /// Field and start of the postings; `None` for a segment that was built in this process.
    checked: Option<Mutex<HashSet<(u32, usize)>>>,
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
    ) -> Result<()> {
        let Some(checked) = &self.checked else {
            return Ok(());
        };
        let key = (field.field_id(), info.postings_range.start);
        let lock = || checked.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().contains(&key) {
            return Ok(());
        }
        let ends = self.block_ends(field, info)?;
        self.check_docs(inverted, info, &ends)?;
        let mut checked = lock();
        if checked.len() < MAX_CHECKED {
            checked.insert(key);
        }
        Ok(())
    }

    /// The last document of each full block, from the skip list.
    fn block_ends(&self, field: Field, info: &TermInfo) -> Result<Vec<DocId>> {
        let bad =
            |found: String| Error::invalid("skip list of postings", "one entry a block", found);
        if info.doc_freq == 0 || info.doc_freq > self.max_doc {
            return Err(bad(format!("{} documents", info.doc_freq)));
        }
        if info.doc_freq < BLOCK_DOCS {
            return Ok(Vec::new());
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
        let entry_bytes = match TextField::of(field) {
            Some(TextField::Body) if self.positions => 12,
            Some(_) => 8,
            None => 5,
        };
        let blocks = (info.doc_freq / BLOCK_DOCS) as usize;
        if len != blocks * entry_bytes || len > rest.len() {
            return Err(bad(format!("{len} bytes for {blocks} blocks")));
        }
        let ends = rest[..len].chunks_exact(entry_bytes);
        Ok(ends
            .map(|entry| DocId::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]))
            .collect())
    }

    /// Walks all blocks: documents ascend, stay inside of the segment and end where the skip list
    /// says.
    fn check_docs(
        &self,
        inverted: &InvertedIndexReader,
        info: &TermInfo,
        ends: &[DocId],
    ) -> Result<()> {
        let mut postings = inverted
            .read_block_postings_from_terminfo(info, IndexRecordOption::Basic)
            .map_err(|error| Error::io("reading postings", &error))?;
        let mut left = info.doc_freq as usize;
        let mut next = 0;
        let mut ends = ends.iter();
        while left > 0 {
            let docs = postings.docs();
            let sorted = docs.first().is_some_and(|first| *first >= next)
                && docs.is_sorted_by(|a, b| a < b)
                && docs.last().is_some_and(|last| *last < self.max_doc)
                && docs.len() <= left;
            let end = ends.next();
            if !sorted || end.is_some_and(|end| docs.last() != Some(end)) {
                return Err(Error::invalid(
                    "postings block",
                    format!("ascending documents below {}", self.max_doc),
                    format!("{} before document {next}", docs.len()),
                ));
            }
            next = docs.last().map_or(next, |last| last + 1);
            left -= docs.len();
            postings.advance();
        }
        Ok(())
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
