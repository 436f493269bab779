//! Data segments: frames at rest. `docs/format.md`, section "Data segment".
//!
//! ```text
//! blocks | block directory | metadata blocks | metadata directory | uri table | content table | dictionary | foot
//!
//! frame id --/128--> metadata block --prefix sum--> stream position --search--> block
//! ```
//!
//! What describes the rest stands at the end, so that a segment of any size is written in one pass.
//!
//! The payloads, metadata and search texts of all frames form one stream, which is cut into blocks
//! and compressed. Everything else that is known of 128 frames is one small compressed block of columns.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::checksum::hash32;
use crate::codec::{Codec, Compressor, Decompressor, Density};
use crate::error::{Error, Result};
use crate::frame::{Frame, FrameMeta};
use crate::ids::{CommitId, FrameId, LineageId, Timestamp};
use crate::key_filter::{self, KeyFilter};
use crate::segment::SegmentBytes;
use crate::wal::{decode_labels, decode_tags, encode_tags, frame_flags, has};
use crate::wire::{Reader, put_str, put_varint, put_zigzag};

const MAGIC: &[u8; 4] = b"MV2D";
const FOOT_BYTES: usize = 160;
const SECTIONS: usize = 7;
const BLOCK_ENTRY_BYTES: usize = 24;
const META_ENTRY_BYTES: usize = 32;
/// Bytes of an entry of the uri table and of the content table: a short hash and a position.
const KEY_ENTRY_BYTES: usize = 8;

/// Entries of a key table that are looked through together: a page of them.
const STRETCH_ENTRIES: usize = 512;

/// Frames whose columns form one metadata block.
pub const META_FRAMES: usize = 128;

/// A block is closed before it would grow beyond this. LZ4 reads 16 KiB in 6 us and
/// smaller blocks compress worse.
const BLOCK_BYTES: usize = 16 << 10;

/// The same where a dictionary makes up for it: at 4 KiB zstd reads a frame as fast as LZ4 at 16 KiB.
const DICTIONARY_BLOCK_BYTES: usize = 4 << 10;

/// A frame longer than a block is cut into pieces of this size, which compress a little better.
const LARGE_BLOCK_BYTES: usize = 64 << 10;

/// Largest block that a reader takes.
const MAX_BLOCK_BYTES: u64 = 1 << 20;

/// Largest dictionary.
pub const MAX_DICTIONARY_BYTES: usize = 1 << 20;

/// Builds the body of a data segment, piece by piece: what [`take`](Self::take) returns is appended to what it
/// returned before, and what [`finish`](Self::finish) returns at the end.
pub struct DataBuilder {
    first: FrameId,
    count: u64,
    stream_len: u64,
    /// Where the payload of the frame that was begun has to end.
    payload_end: u64,
    compressor: Compressor,
    dictionary: Vec<u8>,
    block_bytes: usize,
    /// The block that is being filled; it ends at `stream_len`.
    block: Vec<u8>,
    /// Blocks that nobody took yet, and how many bytes of blocks there are in all.
    ready: Vec<u8>,
    blocks_len: u64,
    block_dir: Vec<u8>,
    /// The metadata block that is being filled, and the stream position of its first frame.
    rows: Vec<FrameMeta>,
    rows_start: u64,
    meta_blocks: Vec<u8>,
    meta_dir: Vec<u8>,
    uris: Vec<(u32, u32)>,
    contents: Vec<(u32, u32)>,
}

impl DataBuilder {
    /// A builder for a segment that begins with this frame. An empty dictionary is none.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for the dictionary; [`Error::Invalid`] if the compressor refuses it.
    pub fn new(first: FrameId, density: Density, dictionary: Vec<u8>) -> Result<Self> {
        if dictionary.len() > MAX_DICTIONARY_BYTES {
            return Err(Error::TooLarge {
                what: "dictionary",
                len: dictionary.len() as u64,
                limit: MAX_DICTIONARY_BYTES as u64,
            });
        }
        Ok(Self {
            first,
            count: 0,
            stream_len: 0,
            payload_end: 0,
            compressor: Compressor::new(density, &dictionary)?,
            block_bytes: match (density, dictionary.is_empty()) {
                // What is read only is packed in larger blocks.
                (Density::Dense, false) => DICTIONARY_BLOCK_BYTES,
                _ => BLOCK_BYTES,
            },
            dictionary,
            block: Vec::new(),
            ready: Vec::new(),
            blocks_len: 0,
            block_dir: Vec::new(),
            rows: Vec::new(),
            rows_start: 0,
            meta_blocks: Vec::new(),
            meta_dir: Vec::new(),
            uris: Vec::new(),
            contents: Vec::new(),
        })
    }

    /// Takes in the next frame.
    ///
    /// # Errors
    /// [`Error::Invalid`] if its id does not follow that of the frame before, or the compressor fails.
    pub fn add(&mut self, frame: &Frame) -> Result<()> {
        self.begin(&frame.meta)?;
        // A payload that another frame carries is not stored again.
        if frame.meta.payload_frame.is_none() {
            self.payload(&frame.payload)?;
        }
        self.end(&frame.meta)
    }

    /// Begins the next frame, of a large payload: it is handed over piece by piece with [`payload`](Self::payload), and
    /// [`end`](Self::end) ends the frame. What is ready may be taken at any moment.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn begin(&mut self, meta: &FrameMeta) -> Result<()> {
        let expected = self.first.0 + self.count;
        if meta.id.0 != expected || self.count >= u64::from(u32::MAX) {
            return Err(Error::invalid("frame id", expected.to_string(), meta.id));
        }
        let carried = match meta.payload_frame {
            Some(_) => 0,
            None => meta.payload_len,
        };
        let text_len = |text: &Option<String>| text.as_ref().map_or(0, String::len) as u64;
        let texts = text_len(&meta.metadata) + text_len(&meta.search_text);
        let with_block = carried.saturating_add(texts + self.block.len() as u64);
        if with_block > self.block_bytes as u64 {
            self.close_block()?;
        }
        if self.rows.is_empty() {
            self.rows_start = self.stream_len;
        }
        self.payload_end = self.stream_len.saturating_add(carried);
        Ok(())
    }

    /// The next piece of the payload of the frame that was begun.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the compressor fails.
    pub fn payload(&mut self, piece: &[u8]) -> Result<()> {
        self.push_stream(piece)
    }

    /// Ends the frame that was begun. Its metadata is the same as there.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the pieces were not as long as it says, or the compressor fails.
    pub fn end(&mut self, meta: &FrameMeta) -> Result<()> {
        if self.stream_len != self.payload_end {
            return Err(Error::invalid(
                "payload of a frame",
                format!("{} bytes", meta.payload_len),
                "other pieces",
            ));
        }
        for text in [&meta.metadata, &meta.search_text] {
            self.push_stream(text.as_deref().unwrap_or_default().as_bytes())?;
        }
        let position = self.count as u32;
        if let Some(uri) = &meta.uri {
            self.uris.push((uri_key(uri), position));
        }
        if meta.payload_frame.is_none() && meta.payload_len > 0 {
            self.contents
                .push((content_key(&meta.content_hash), position));
        }
        self.rows.push(meta.clone());
        self.count += 1;
        if self.rows.len() == META_FRAMES {
            self.close_rows()?;
        }
        Ok(())
    }

    /// What is ready to be written.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ready)
    }

    /// The rest of the body.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the compressor fails.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.close_block()?;
        self.close_rows()?;
        let mut out = self.ready;
        let sections = [
            self.block_dir,
            self.meta_blocks,
            self.meta_dir,
            encode_keys(self.uris),
            encode_keys(self.contents),
            self.dictionary,
        ];
        let mut places = vec![(0, self.blocks_len)];
        let mut at = self.blocks_len;
        for section in sections {
            places.push((at, section.len() as u64));
            at += section.len() as u64;
            out.extend_from_slice(&section);
        }
        let foot = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        for number in [self.first.0, self.count, self.stream_len] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for (offset, len) in places {
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&len.to_le_bytes());
        }
        out.resize(foot + FOOT_BYTES, 0);
        Ok(out)
    }

    fn push_stream(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = LARGE_BLOCK_BYTES - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            self.stream_len += now.len() as u64;
            bytes = later;
            if self.block.len() == LARGE_BLOCK_BYTES {
                self.close_block()?;
            }
        }
        Ok(())
    }

    fn close_block(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let (codec, stored) = self.compressor.payload(&self.block)?;
        let start = self.stream_len - self.block.len() as u64;
        self.block_dir.extend_from_slice(&start.to_le_bytes());
        self.block_dir
            .extend_from_slice(&self.blocks_len.to_le_bytes());
        self.block_dir
            .extend_from_slice(&(stored.len() as u32).to_le_bytes());
        self.block_dir.extend_from_slice(&[codec.id(), 0, 0, 0]);
        self.ready.extend_from_slice(&stored);
        self.blocks_len += stored.len() as u64;
        self.block.clear();
        Ok(())
    }

    fn close_rows(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let raw = encode_rows(&self.rows);
        let (codec, stored) = self.compressor.metadata(&raw)?;
        self.meta_dir
            .extend_from_slice(&(self.meta_blocks.len() as u64).to_le_bytes());
        self.meta_dir
            .extend_from_slice(&(stored.len() as u32).to_le_bytes());
        self.meta_dir
            .extend_from_slice(&(raw.len() as u32).to_le_bytes());
        self.meta_dir
            .extend_from_slice(&self.rows_start.to_le_bytes());
        self.meta_dir
            .extend_from_slice(&[codec.id(), 0, 0, 0, 0, 0, 0, 0]);
        self.meta_blocks.extend_from_slice(&stored);
        self.rows.clear();
        Ok(())
    }
}

impl std::fmt::Debug for DataBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataBuilder({} frames from {})", self.count, self.first)
    }
}

/// The key of a uri in the uri table.
pub fn uri_key(uri: &str) -> u32 {
    first_u32(&hash32(uri.as_bytes()))
}

/// The key of a payload in the content table.
fn content_key(hash: &[u8; 16]) -> u32 {
    first_u32(hash)
}

fn first_u32(hash: &[u8]) -> u32 {
    let mut first = [0; 4];
    first.copy_from_slice(&hash[..4]);
    u32::from_le_bytes(first)
}

fn encode_keys(mut entries: Vec<(u32, u32)>) -> Vec<u8> {
    entries.sort_unstable();
    let mut out = Vec::with_capacity(entries.len() * KEY_ENTRY_BYTES);
    for (key, position) in entries {
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&position.to_le_bytes());
    }
    out
}

fn encode_rows(rows: &[FrameMeta]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut commit, mut lineage, mut time) = (0u64, 0i64, 0i64);
    for row in rows {
        put_varint(&mut out, row.commit.0.wrapping_sub(commit));
        commit = row.commit.0;
    }
    for row in rows {
        put_zigzag(&mut out, i64::from(row.lineage.0) - lineage);
        lineage = i64::from(row.lineage.0);
    }
    for row in rows {
        put_zigzag(&mut out, row.timestamp.0.wrapping_sub(time));
        time = row.timestamp.0;
    }
    out.extend(rows.iter().map(frame_flags));
    for row in rows {
        put_varint(&mut out, row.payload_len);
    }
    for row in rows {
        if let Some(frame) = row.payload_frame {
            put_varint(&mut out, row.id.0 - frame.0);
        }
    }
    for row in rows {
        if let Some(metadata) = &row.metadata {
            put_varint(&mut out, metadata.len() as u64);
        }
    }
    for row in rows {
        if let Some(text) = &row.search_text {
            put_varint(&mut out, text.len() as u64);
        }
    }
    for row in rows {
        out.extend_from_slice(&row.content_hash);
    }
    let mut column = |texts: &mut dyn Iterator<Item = &Option<String>>| {
        for text in texts.flatten() {
            put_str(&mut out, text);
        }
    };
    column(&mut rows.iter().map(|row| &row.uri));
    column(&mut rows.iter().map(|row| &row.title));
    column(&mut rows.iter().map(|row| &row.kind));
    column(&mut rows.iter().map(|row| &row.track));
    for row in rows {
        encode_tags(&mut out, row);
    }
    out
}

/// A frame's place in the stream, and its metadata but for the texts that lie there.
#[derive(Clone, Debug, Default)]
struct Row {
    meta: FrameMeta,
    /// Position of the payload; metadata and search text follow it.
    start: u64,
    metadata_len: u64,
    search_text_len: u64,
}

impl Row {
    /// Bytes of payload in this segment: none if another frame carries it.
    fn carried_len(&self) -> u64 {
        match self.meta.payload_frame {
            Some(_) => 0,
            None => self.meta.payload_len,
        }
    }

    /// Where the next frame begins. The sum was checked when the row was decoded.
    fn end(&self) -> u64 {
        self.start + self.carried_len() + self.metadata_len + self.search_text_len
    }
}

/// A text of a frame that is a column of its own.
type TextColumn = fn(&mut FrameMeta) -> &mut Option<String>;

/// These columns in their order, with the flag that says whether a frame has one.
const TEXT_COLUMNS: [(u8, TextColumn); 4] = [
    (1, |meta| &mut meta.uri),
    (2, |meta| &mut meta.title),
    (3, |meta| &mut meta.kind),
    (4, |meta| &mut meta.track),
];

/// Decodes the rows `wanted` of a metadata block of `count` frames, the first of which is `first`.
/// Nothing is allocated for the other rows.
fn decode_rows(
    raw: &[u8],
    first: FrameId,
    count: usize,
    stream_start: u64,
    wanted: Range<usize>,
) -> Result<Vec<Row>> {
    let mut reader = Reader::new(raw, "metadata block");
    let mut rows = vec![Row::default(); wanted.len()];
    let place = |index: usize| {
        index
            .checked_sub(wanted.start)
            .filter(|i| *i < wanted.len())
    };
    let (mut commit, mut lineage, mut time) = (0u64, 0i64, 0i64);
    for index in 0..count {
        commit = commit
            .checked_add(reader.varint()?)
            .ok_or_else(|| Error::invalid("commit of a frame", "a 64-bit id", "a larger one"))?;
        if let Some(row) = place(index).map(|at| &mut rows[at]) {
            row.meta.id = FrameId(first.0 + index as u64);
            row.meta.commit = CommitId(commit);
        }
    }
    for index in 0..count {
        lineage = lineage.wrapping_add(reader.zigzag()?);
        let id = u32::try_from(lineage)
            .map_err(|_| Error::invalid("lineage of a frame", "a 32-bit id", lineage))?;
        if let Some(row) = place(index).map(|at| &mut rows[at]) {
            row.meta.lineage = LineageId(id);
        }
    }
    for index in 0..count {
        time = time.wrapping_add(reader.zigzag()?);
        if let Some(row) = place(index).map(|at| &mut rows[at]) {
            row.meta.timestamp = Timestamp(time);
        }
    }
    let flags = reader.bytes(count)?;
    // Payload, distance to the frame that carries it, metadata and search text of each frame, by column.
    let mut lens = vec![[0u64; 4]; count];
    for (column, bit) in [None, Some(7), Some(5), Some(6)].into_iter().enumerate() {
        for (len, flags) in lens.iter_mut().zip(flags) {
            if bit.is_none_or(|bit| has(*flags, bit)) {
                len[column] = reader.varint()?;
            }
        }
    }
    let mut start = stream_start;
    for (index, [payload_len, back, metadata_len, search_text_len]) in lens.into_iter().enumerate()
    {
        let elsewhere = has(flags[index], 7);
        let id = first.0 + index as u64;
        if elsewhere && (back == 0 || back > id) {
            return Err(Error::invalid(
                "frame that carries a payload",
                "an earlier one",
                back,
            ));
        }
        if let Some(row) = place(index).map(|at| &mut rows[at]) {
            row.meta.is_text = has(flags[index], 0);
            row.meta.metadata = has(flags[index], 5).then(String::new);
            row.meta.search_text = has(flags[index], 6).then(String::new);
            row.meta.payload_len = payload_len;
            row.meta.payload_frame = elsewhere.then(|| FrameId(id - back));
            (row.start, row.metadata_len, row.search_text_len) =
                (start, metadata_len, search_text_len);
        }
        start = start
            .checked_add(if elsewhere { 0 } else { payload_len })
            .and_then(|end| end.checked_add(metadata_len))
            .and_then(|end| end.checked_add(search_text_len))
            .ok_or_else(|| {
                Error::invalid("lengths of a metadata block", "64-bit positions", "more")
            })?;
    }
    for index in 0..count {
        let hash = reader.array()?;
        if let Some(row) = place(index).map(|at| &mut rows[at]) {
            row.meta.content_hash = hash;
        }
    }
    for (bit, column) in TEXT_COLUMNS {
        for (index, _) in flags
            .iter()
            .enumerate()
            .filter(|(_, flags)| has(**flags, bit))
        {
            match place(index).map(|at| &mut rows[at]) {
                Some(row) => *column(&mut row.meta) = Some(reader.str()?.to_owned()),
                None => reader.skip_str()?,
            }
        }
    }
    for index in 0..count {
        match place(index).map(|at| &mut rows[at]) {
            Some(row) => {
                row.meta.tags = decode_tags(&mut reader)?;
                row.meta.labels = decode_labels(&mut reader)?;
            }
            None => {
                for strings_each in [2, 1] {
                    let strings = reader.length()?;
                    for _ in 0..strings * strings_each {
                        reader.skip_str()?;
                    }
                }
            }
        }
    }
    reader.finish()?;
    Ok(rows)
}

/// A block of the stream, uncompressed.
#[derive(Clone, Debug)]
struct Block {
    start: u64,
    bytes: Vec<u8>,
}

impl Block {
    fn range(&self) -> Range<u64> {
        self.start..self.start + self.bytes.len() as u64
    }
}

/// Reads frames of a segment in ascending order without decompressing a block twice.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    segment: &'a DataSegment,
    rows: Option<(u64, Vec<Row>)>,
    block: Option<Block>,
}

impl Cursor<'_> {
    /// A frame's metadata.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], or what is wrong with the pages that it reads.
    pub fn meta(&mut self, id: FrameId) -> Result<FrameMeta> {
        let row = self.row(id)?;
        self.segment.complete(row, &mut self.block)
    }

    /// A frame with its payload, which is empty if another frame carries it.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], or what is wrong with the pages that it reads.
    pub fn frame(&mut self, id: FrameId) -> Result<Frame> {
        let row = self.row(id)?;
        let payload = self
            .segment
            .stream(row.start, row.carried_len(), &mut self.block)?;
        Ok(Frame {
            meta: self.segment.complete(row, &mut self.block)?,
            payload,
        })
    }

    /// The length of a frame's payload, wherever it is.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], or what is wrong with the pages that it reads.
    pub fn payload_len(&mut self, id: FrameId) -> Result<u64> {
        self.row_ref(id).map(|row| row.meta.payload_len)
    }

    fn row(&mut self, id: FrameId) -> Result<Row> {
        self.row_ref(id).cloned()
    }

    fn row_ref(&mut self, id: FrameId) -> Result<&Row> {
        let (block, index) = self.segment.place(id)?;
        let known = self.rows.take().filter(|(loaded, _)| *loaded == block);
        let rows = match known {
            Some(rows) => rows,
            None => (block, self.segment.rows(block, 0..META_FRAMES)?),
        };
        let (_, rows) = self.rows.insert(rows);
        rows.get(index).ok_or(Error::NoSuchFrame { frame: id })
    }
}

/// A section of the body.
#[derive(Clone, Copy)]
enum Section {
    Blocks,
    BlockDirectory,
    Metas,
    MetaDirectory,
    Uris,
    Contents,
    Dictionary,
}

/// What has to be known of a frame to read its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadPlace {
    /// The older frame that carries it, if it is shared.
    pub carrier: Option<FrameId>,
    /// Its hash.
    pub content_hash: [u8; 16],
    /// Its length in bytes, uncompressed.
    pub len: u64,
    start: u64,
    carried_len: u64,
}

/// Reads a payload of a data segment piece by piece.
#[derive(Clone, Debug)]
pub struct StreamReader {
    segment: DataSegment,
    range: Range<u64>,
    at: u64,
    block: Option<Block>,
}

impl StreamReader {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// What is wrong with the pages that it reads.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>> {
        let piece = self
            .segment
            .piece(self.at, self.range.end, &mut self.block)?;
        self.at += piece.map_or(0, <[u8]>::len) as u64;
        Ok(piece)
    }

    /// Goes back to the beginning.
    pub fn rewind(&mut self) {
        self.at = self.range.start;
    }
}

/// A data segment.
#[derive(Clone, Debug)]
pub struct DataSegment {
    first: FrameId,
    count: u64,
    stream_len: u64,
    sections: [SegmentBytes; SECTIONS],
    decompressor: Arc<Decompressor>,
    /// Of the uri table and the content table, made when they are first needed.
    filters: Arc<[OnceLock<KeyFilter>; 2]>,
}

/// Construct
impl DataSegment {
    /// Opens a segment's body: reads its foot and its dictionary.
    ///
    /// # Errors
    /// Whatever is wrong with them, or with the pages that hold them.
    pub fn open(bytes: &SegmentBytes) -> Result<Self> {
        let foot = bytes.len().saturating_sub(FOOT_BYTES);
        let mut reader = Reader::new(bytes.get(foot..bytes.len())?, "data segment");
        reader.magic(MAGIC)?;
        let version = reader.u16()?;
        if version != 1 {
            return Err(Error::invalid("data segment version", "1", version));
        }
        reader.reserved(2)?;
        let first = FrameId(reader.u64()?);
        let (count, stream_len) = (reader.u64()?, reader.u64()?);
        let mut sections = Vec::with_capacity(SECTIONS);
        let mut at = 0;
        for _ in 0..SECTIONS {
            let (offset, len) = (reader.u64()?, reader.u64()?);
            let range = offset
                .checked_add(len)
                .filter(|end| offset == at && *end <= foot as u64)
                .map(|end| offset as usize..end as usize)
                .ok_or_else(|| {
                    Error::invalid(
                        "section of a data segment",
                        format!("one from {at} on, before the foot at {foot}"),
                        format!("{len} bytes at {offset}"),
                    )
                })?;
            at = range.end as u64;
            sections.push(bytes.slice(range)?);
        }
        if at != foot as u64 {
            return Err(Error::invalid(
                "sections of a data segment",
                format!("an end at the foot, {foot}"),
                at,
            ));
        }
        reader.reserved(reader.left())?;
        let sections: [SegmentBytes; SECTIONS] = sections
            .try_into()
            .map_err(|_| Error::invalid("data segment", "seven sections", "others"))?;
        let dictionary = &sections[Section::Dictionary as usize];
        if dictionary.len() > MAX_DICTIONARY_BYTES {
            return Err(Error::TooLarge {
                what: "dictionary",
                len: dictionary.len() as u64,
                limit: MAX_DICTIONARY_BYTES as u64,
            });
        }
        let decompressor = Decompressor::new(dictionary.all()?.to_vec());
        let segment = Self {
            first,
            count,
            stream_len,
            sections,
            decompressor: Arc::new(decompressor),
            filters: Arc::default(),
        };
        let blocks = segment.section(Section::BlockDirectory).len();
        let metas = segment.section(Section::MetaDirectory).len() as u64;
        let keys = [Section::Uris, Section::Contents].map(|keys| segment.section(keys).len());
        if count > u64::from(u32::MAX)
            || first.0.checked_add(count).is_none()
            || !blocks.is_multiple_of(BLOCK_ENTRY_BYTES)
            || (blocks == 0) != (stream_len == 0)
            || metas != count.div_ceil(META_FRAMES as u64) * META_ENTRY_BYTES as u64
            || keys.iter().any(|len| !len.is_multiple_of(KEY_ENTRY_BYTES))
        {
            return Err(Error::invalid(
                "data segment",
                "directories that fit its counts",
                format!("{count} frames with directories of {blocks}, {metas} and {keys:?} bytes"),
            ));
        }
        Ok(segment)
    }
}

/// Access
impl DataSegment {
    /// The first frame.
    pub fn first_frame(&self) -> FrameId {
        self.first
    }

    /// One past the last frame.
    pub fn end_frame(&self) -> FrameId {
        FrameId(self.first.0 + self.count)
    }

    /// A frame's metadata. Reads one metadata block, and the stream only for metadata and search text.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], or what is wrong with the pages that it reads.
    pub fn meta(&self, id: FrameId) -> Result<FrameMeta> {
        self.complete(self.row(id)?, &mut None)
    }

    /// A frame's payload; empty if another frame carries it, see [`FrameMeta::payload_frame`].
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], or what is wrong with the pages that it reads.
    pub fn payload(&self, id: FrameId) -> Result<Vec<u8>> {
        let row = self.row(id)?;
        self.stream(row.start, row.carried_len(), &mut None)
    }

    /// Where a frame's payload is, which takes one metadata block to say.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], or what is wrong with the pages that it reads.
    pub fn payload_place(&self, id: FrameId) -> Result<PayloadPlace> {
        let row = self.row(id)?;
        Ok(PayloadPlace {
            carrier: row.meta.payload_frame,
            content_hash: row.meta.content_hash,
            len: row.meta.payload_len,
            start: row.start,
            carried_len: row.carried_len(),
        })
    }

    /// Reads a payload piece by piece. There are none if another frame carries it. The place is one of this segment.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the place is not inside of the segment.
    pub fn payload_reader(&self, place: &PayloadPlace) -> Result<StreamReader> {
        let end = self.stream_end(place.start, place.carried_len)?;
        Ok(StreamReader {
            segment: self.clone(),
            range: place.start..end,
            at: place.start,
            block: None,
        })
    }

    /// Bytes of payload, metadata and search text in the segment, uncompressed.
    pub fn stream_len(&self) -> u64 {
        self.stream_len
    }

    /// A frame with its payload, which is empty if another frame carries it.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], or what is wrong with the pages that it reads.
    pub fn frame(&self, id: FrameId) -> Result<Frame> {
        self.frame_head(id, u64::MAX)
    }

    /// A frame with the first `max_bytes` of its payload, which are none if another frame carries it.
    ///
    /// # Errors
    /// [`Error::NoSuchFrame`], or what is wrong with the pages that it reads.
    pub fn frame_head(&self, id: FrameId, max_bytes: u64) -> Result<Frame> {
        let row = self.row(id)?;
        let mut cache = None;
        let len = row.carried_len().min(max_bytes);
        let payload = self.stream(row.start, len, &mut cache)?;
        Ok(Frame {
            meta: self.complete(row, &mut cache)?,
            payload,
        })
    }

    /// Reads frames one after the other; each block is decompressed once.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor {
            segment: self,
            rows: None,
            block: None,
        }
    }

    /// The frames under a uri, newest first. `key` is its [`uri_key`], which is the same in each segment.
    pub fn find_uri<'a>(
        &'a self,
        key: u32,
        uri: &'a str,
    ) -> impl Iterator<Item = Result<FrameId>> + 'a {
        self.find(Section::Uris, key, move |meta| {
            meta.uri.as_deref() == Some(uri)
        })
    }

    /// The frames that carry a payload with this hash and length, newest first.
    pub fn find_content<'a>(
        &'a self,
        hash: &'a [u8; 16],
        len: u64,
    ) -> impl Iterator<Item = Result<FrameId>> + 'a {
        self.find(Section::Contents, content_key(hash), move |meta| {
            meta.content_hash == *hash && meta.payload_len == len && meta.payload_frame.is_none()
        })
    }

    /// The frames that a table lists under a key and that match, newest first.
    fn find<'a>(
        &'a self,
        section: Section,
        key: u32,
        matches: impl Fn(&FrameMeta) -> bool + 'a,
    ) -> impl Iterator<Item = Result<FrameId>> + 'a {
        let table = self.section(section);
        let range = match self.may_have(section, key) {
            true => equal_range(table, key),
            false => Ok(0..0),
        };
        let (range, error) = match range {
            Ok(range) => (range, None),
            Err(error) => (0..0, Some(Err(error))),
        };
        let rows = range.rev().filter_map(move |index| {
            let id = match key_entry(table, index) {
                Ok((_, position)) => FrameId(self.first.0 + u64::from(position)),
                Err(error) => return Some(Err(error)),
            };
            match self.row(id) {
                Ok(row) => matches(&row.meta).then_some(Ok(id)),
                Err(error) => Some(Err(error)),
            }
        });
        error.into_iter().chain(rows)
    }

    /// Whether a key may be in the uri table or the content table.
    fn may_have(&self, section: Section, key: u32) -> bool {
        let table = self.section(section);
        let count = table.len() / KEY_ENTRY_BYTES;
        if count > key_filter::MAX_KEYS {
            return true;
        }
        let filter = &self.filters[usize::from(matches!(section, Section::Contents))];
        if let Some(filter) = filter.get() {
            return filter.may_have(key);
        }
        // A damaged page is for whoever needs what is on it.
        let Ok(bytes) = table.all() else { return true };
        let (entries, _) = bytes.as_chunks::<KEY_ENTRY_BYTES>();
        let made = KeyFilter::new(count, entries.iter().map(entry_key));
        // Another thread may have been faster; both made the same.
        filter.get_or_init(|| made).may_have(key)
    }

    fn section(&self, section: Section) -> &SegmentBytes {
        &self.sections[section as usize]
    }

    /// The metadata block that holds a frame, and the frame's place in it.
    fn place(&self, id: FrameId) -> Result<(u64, usize)> {
        id.0.checked_sub(self.first.0)
            .filter(|index| *index < self.count)
            .map(|index| {
                (
                    index / META_FRAMES as u64,
                    (index % META_FRAMES as u64) as usize,
                )
            })
            .ok_or(Error::NoSuchFrame { frame: id })
    }

    fn row(&self, id: FrameId) -> Result<Row> {
        let (block, index) = self.place(id)?;
        let mut rows = self.rows(block, index..index + 1)?;
        rows.pop().ok_or(Error::NoSuchFrame { frame: id })
    }

    /// Those rows of a metadata block that are `wanted` and there.
    fn rows(&self, block: u64, wanted: Range<usize>) -> Result<Vec<Row>> {
        let at = block as usize * META_ENTRY_BYTES;
        let entry = self
            .section(Section::MetaDirectory)
            .get(at..at + META_ENTRY_BYTES)?;
        let mut reader = Reader::new(entry, "metadata directory");
        let (offset, stored_len, raw_len) = (reader.u64()?, reader.u32()?, reader.u32()?);
        let stream_start = reader.u64()?;
        let codec = Codec::from_id(reader.u8()?)?;
        reader.reserved(7)?;
        let stored = stored(self.section(Section::Metas), offset, stored_len)?;
        let raw = self
            .decompressor
            .decompress(codec, stored, raw_len as usize)?;
        let before = block * META_FRAMES as u64;
        let count = (self.count - before).min(META_FRAMES as u64) as usize;
        let first = FrameId(self.first.0 + before);
        let wanted = wanted.start..wanted.end.min(count);
        decode_rows(&raw, first, count, stream_start, wanted)
    }

    fn complete(&self, row: Row, cache: &mut Option<Block>) -> Result<FrameMeta> {
        let carried = row.carried_len();
        let mut meta = row.meta;
        let metadata_at = row.start + carried;
        for (slot, at, len) in [
            (&mut meta.metadata, metadata_at, row.metadata_len),
            (
                &mut meta.search_text,
                metadata_at + row.metadata_len,
                row.search_text_len,
            ),
        ] {
            if let Some(text) = slot.as_mut().filter(|_| len > 0) {
                *text = String::from_utf8(self.stream(at, len, cache)?)
                    .map_err(|error| Error::invalid("text of a frame", "UTF-8", error))?;
            }
        }
        Ok(meta)
    }

    /// A range of the stream. Leaves the last block that it read in the cache.
    fn stream(&self, start: u64, len: u64, cache: &mut Option<Block>) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.each_piece(start, len, cache, &mut |piece| out.extend_from_slice(piece))?;
        Ok(out)
    }

    /// Calls `each` with the pieces of a range of the stream, a block at a time.
    fn each_piece(
        &self,
        start: u64,
        len: u64,
        cache: &mut Option<Block>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let range = start..self.stream_end(start, len)?;
        let mut at = range.start;
        while let Some(piece) = self.piece(at, range.end, cache)? {
            each(piece);
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Where a range of the stream ends.
    fn stream_end(&self, start: u64, len: u64) -> Result<u64> {
        start
            .checked_add(len)
            .filter(|end| *end <= self.stream_len)
            .ok_or_else(|| {
                Error::invalid(
                    "frame's place in the stream",
                    format!("one inside of {} bytes", self.stream_len),
                    format!("{len} bytes at {start}"),
                )
            })
    }

    /// The stream from `at` on as far as one block holds it, before `end`. The block stays in the cache.
    fn piece<'a>(
        &self,
        at: u64,
        end: u64,
        cache: &'a mut Option<Block>,
    ) -> Result<Option<&'a [u8]>> {
        if at >= end {
            return Ok(None);
        }
        let block = match cache.take().filter(|block| block.range().contains(&at)) {
            Some(block) => block,
            None => self.block(self.block_of(at)?)?,
        };
        if !block.range().contains(&at) {
            return Err(Error::invalid(
                "block directory",
                "blocks without a gap",
                at,
            ));
        }
        let from = (at - block.start) as usize;
        let to = (end.min(block.range().end) - block.start) as usize;
        Ok(Some(&cache.insert(block).bytes[from..to]))
    }

    fn block_entry(&self, index: usize) -> Result<(u64, u64, u32, Codec)> {
        let at = index * BLOCK_ENTRY_BYTES;
        let entry = self
            .section(Section::BlockDirectory)
            .get(at..at + BLOCK_ENTRY_BYTES)?;
        let mut reader = Reader::new(entry, "block directory");
        let fields = (
            reader.u64()?,
            reader.u64()?,
            reader.u32()?,
            Codec::from_id(reader.u8()?)?,
        );
        reader.reserved(3)?;
        Ok(fields)
    }

    /// The block that holds a position of the stream.
    fn block_of(&self, position: u64) -> Result<usize> {
        let (mut low, mut high) = (
            0,
            self.section(Section::BlockDirectory).len() / BLOCK_ENTRY_BYTES,
        );
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if self.block_entry(middle)?.0 <= position {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn block(&self, index: usize) -> Result<Block> {
        let (start, offset, stored_len, codec) = self.block_entry(index)?;
        let blocks = self.section(Section::BlockDirectory).len() / BLOCK_ENTRY_BYTES;
        let end = if index + 1 < blocks {
            self.block_entry(index + 1)?.0
        } else {
            self.stream_len
        };
        let raw_len = end
            .checked_sub(start)
            .filter(|len| (1..=MAX_BLOCK_BYTES).contains(len))
            .ok_or_else(|| {
                Error::invalid(
                    "block",
                    "1 byte to 1 MiB",
                    format!("stream {start} to {end}"),
                )
            })?;
        let stored = stored(self.section(Section::Blocks), offset, stored_len)?;
        Ok(Block {
            start,
            bytes: self
                .decompressor
                .decompress(codec, stored, raw_len as usize)?,
        })
    }
}

/// Verify
impl DataSegment {
    /// Reads every frame and compares content hashes, limits, the places in the stream, both tables and both directories.
    ///
    /// Returns what is wrong, with the frame if it is one. What a frame shares with others is not looked at.
    pub fn verify(&self) -> Vec<(Option<FrameId>, Error)> {
        let mut problems = Vec::new();
        for check in [
            self.verify_blocks(),
            self.verify_keys(Section::Uris),
            self.verify_keys(Section::Contents),
        ] {
            problems.extend(check.err().map(|error| (None, error)));
        }
        let mut seen = Seen {
            end: Some(0),
            ..Seen::default()
        };
        let mut cursor = self.cursor();
        for id in (self.first.0..self.end_frame().0).map(FrameId) {
            if let Err(error) = self.verify_frame(&mut cursor, id, &mut seen) {
                problems.push((Some(id), error));
            }
        }
        if !problems.is_empty() {
            // What follows compares with all frames, and some could not be read.
            return problems;
        }
        for (what, section, expected) in [
            ("uri table", Section::Uris, seen.uris),
            ("content table", Section::Contents, seen.contents),
        ] {
            let listed = self.section(section).len() / KEY_ENTRY_BYTES;
            if listed != expected {
                let expected = format!("{expected} entries");
                problems.push((None, Error::invalid(what, expected, listed)));
            }
        }
        if seen.end != Some(self.stream_len) {
            let found = seen.end.unwrap_or_default();
            let expected = format!("{found} bytes, as the frames have");
            let error = Error::invalid("stream of a data segment", expected, self.stream_len);
            problems.push((None, error));
        }
        problems
    }

    fn verify_frame(&self, cursor: &mut Cursor<'_>, id: FrameId, seen: &mut Seen) -> Result<()> {
        let row = cursor.row(id)?;
        // After a frame that could not be read, the next one's place is believed.
        if let Some(end) = seen.end.replace(row.end())
            && end != row.start
        {
            return Err(Error::invalid(
                "place of a frame in the stream",
                end.to_string(),
                row.start,
            ));
        }
        if row.meta.commit < seen.commit {
            return Err(Error::invalid(
                "commit of a frame",
                format!("{} or a later one", seen.commit),
                row.meta.commit,
            ));
        }
        seen.commit = row.meta.commit;
        let frame = cursor.frame(id).inspect_err(|_| seen.end = None)?;
        frame.meta.check_limits()?;
        let carried = frame.meta.payload_frame.is_none() && !frame.meta.is_hole();
        if carried && crate::frame::content_hash(&frame.payload) != frame.meta.content_hash {
            return Err(Error::invalid(
                "content hash of a frame",
                "that of its payload",
                "another",
            ));
        }
        if frame.meta.is_text && std::str::from_utf8(&frame.payload).is_err() {
            return Err(Error::invalid("text of a frame", "UTF-8", "other bytes"));
        }
        let position = (id.0 - self.first.0) as u32;
        if let Some(uri) = &frame.meta.uri {
            seen.uris += 1;
            if !self.is_listed(Section::Uris, uri_key(uri), position)? {
                return Err(Error::invalid("uri table", "an entry for each uri", uri));
            }
        }
        if carried && frame.meta.payload_len > 0 {
            seen.contents += 1;
            let key = content_key(&frame.meta.content_hash);
            if !self.is_listed(Section::Contents, key, position)? {
                return Err(Error::invalid(
                    "content table",
                    "an entry for each payload",
                    format!("none for frame {id}"),
                ));
            }
        }
        Ok(())
    }

    /// Whether a table has an entry.
    fn is_listed(&self, section: Section, key: u32, position: u32) -> Result<bool> {
        let table = self.section(section);
        for index in equal_range(table, key)? {
            if key_entry(table, index)?.1 == position {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A table's entries ascend and belong to frames of the segment.
    fn verify_keys(&self, section: Section) -> Result<()> {
        let table = self.section(section);
        let mut last = None;
        for index in 0..table.len() / KEY_ENTRY_BYTES {
            let entry = key_entry(table, index)?;
            if last.is_some_and(|last| last >= entry) || u64::from(entry.1) >= self.count {
                return Err(Error::invalid(
                    "key table",
                    format!("ascending entries of {} frames", self.count),
                    format!("key {:#010x}, position {}", entry.0, entry.1),
                ));
            }
            last = Some(entry);
        }
        Ok(())
    }

    /// The blocks of the stream begin at 0 and ascend. That they have bytes is seen when they are read.
    fn verify_blocks(&self) -> Result<()> {
        let mut last = None;
        for index in 0..self.section(Section::BlockDirectory).len() / BLOCK_ENTRY_BYTES {
            let start = self.block_entry(index)?.0;
            if last.map_or(start != 0, |last| start <= last) {
                return Err(Error::invalid(
                    "block directory",
                    "ascending positions from 0 on",
                    start,
                ));
            }
            last = Some(start);
        }
        Ok(())
    }
}

/// What a check of all frames has met so far.
#[derive(Debug, Default)]
struct Seen {
    /// Frames with a uri.
    uris: usize,
    /// Frames that carry a payload of at least one byte.
    contents: usize,
    /// Where the next frame begins in the stream, if that is known.
    end: Option<u64>,
    /// The commit of the frame before.
    commit: CommitId,
}

/// The entries of a table that have a key.
fn equal_range(table: &SegmentBytes, key: u32) -> Result<Range<usize>> {
    let start = entries_before(table, |found| found < key)?;
    let is_there = start < table.len() / KEY_ENTRY_BYTES && key_entry(table, start)?.0 == key;
    // Most keys that are asked for are not there.
    let end = match is_there {
        true => entries_before(table, |found| found <= key)?,
        false => start,
    };
    Ok(start..end)
}

/// How many entries of a table come before a key. Bisects stretches by their first entries, then one stretch in memory: it
/// touches few pages of a large table, and asks for few ranges of a small one.
fn entries_before(table: &SegmentBytes, before: impl Fn(u32) -> bool) -> Result<usize> {
    let count = table.len() / KEY_ENTRY_BYTES;
    let (mut low, mut high) = (0, count.div_ceil(STRETCH_ENTRIES));
    while low < high {
        let middle = low + (high - low) / 2;
        if before(key_entry(table, middle * STRETCH_ENTRIES)?.0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let Some(stretch) = low.checked_sub(1) else {
        return Ok(0);
    };
    let start = stretch * STRETCH_ENTRIES;
    let end = count.min(start + STRETCH_ENTRIES);
    let bytes = table.get(start * KEY_ENTRY_BYTES..end * KEY_ENTRY_BYTES)?;
    let (entries, _) = bytes.as_chunks::<KEY_ENTRY_BYTES>();
    Ok(start + entries.partition_point(|entry| before(entry_key(entry))))
}

/// The key of an entry of a key table.
fn entry_key(entry: &[u8; KEY_ENTRY_BYTES]) -> u32 {
    u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]])
}

/// An entry of the uri table or the content table: its key and the frame's position in the segment.
fn key_entry(table: &SegmentBytes, index: usize) -> Result<(u32, u32)> {
    let at = index * KEY_ENTRY_BYTES;
    let mut reader = Reader::new(table.get(at..at + KEY_ENTRY_BYTES)?, "key table");
    Ok((reader.u32()?, reader.u32()?))
}

fn stored(section: &SegmentBytes, offset: u64, len: u32) -> Result<&[u8]> {
    let range = offset
        .checked_add(u64::from(len))
        .filter(|end| *end <= section.len() as u64)
        .map(|end| offset as usize..end as usize)
        .ok_or_else(|| {
            Error::invalid(
                "block",
                format!("one inside of {} bytes", section.len()),
                format!("{len} bytes at {offset}"),
            )
        })?;
    section.get(range)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::content_hash;

    fn frame(id: u64, payload: Vec<u8>, strings: [Option<String>; 6]) -> Frame {
        let [uri, title, kind, track, metadata, search_text] = strings;
        Frame {
            meta: FrameMeta {
                id: FrameId(id),
                commit: CommitId(1 + id / 10),
                lineage: LineageId((id % 3) as u32),
                timestamp: Timestamp(if id.is_multiple_of(5) {
                    i64::MIN
                } else {
                    i64::MAX - id as i64
                }),
                tags: (0..id % 4)
                    .map(|n| (format!("k{n}"), "v".repeat(n as usize)))
                    .collect(),
                labels: (0..id % 3).map(|n| format!("label {n}")).collect(),
                is_text: std::str::from_utf8(&payload).is_ok(),
                content_hash: content_hash(&payload),
                payload_len: payload.len() as u64,
                payload_frame: None,
                uri,
                title,
                kind,
                track,
                metadata,
                search_text,
            },
            payload,
        }
    }

    fn build(frames: &[Frame]) -> Vec<u8> {
        build_as(frames, Density::Light, Vec::new())
    }

    fn build_as(frames: &[Frame], density: Density, dictionary: Vec<u8>) -> Vec<u8> {
        let first = frames[0].meta.id;
        let mut builder = DataBuilder::new(first, density, dictionary).unwrap();
        let mut body = Vec::new();
        for frame in frames {
            builder.add(frame).unwrap();
            body.extend(builder.take());
        }
        body.extend(builder.finish().unwrap());
        body
    }

    fn open(body: Vec<u8>) -> DataSegment {
        DataSegment::open(&SegmentBytes::from_vec(body)).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn frames_come_back(
            first in 0u64..1_000,
            parts in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..300), 1usize..400, any::<[Option<String>; 6]>()),
                1..300,
            ),
        ) {
            let frames: Vec<_> = parts
                .into_iter()
                .zip(first..)
                .map(|((bytes, repeat, strings), id)| frame(id, bytes.repeat(repeat), strings))
                .collect();
            let density = [Density::Light, Density::Dense][first as usize % 2];
            let dictionary = match first % 3 {
                0 => crate::codec::train_dictionary(
                    &frames.iter().map(|frame| frame.payload.clone()).collect::<Vec<_>>(),
                    1 << 10,
                ),
                _ => Vec::new(),
            };
            let segment = open(build_as(&frames, density, dictionary));
            prop_assert_eq!(segment.verify(), vec![]);
            for frame in &frames {
                prop_assert_eq!(&segment.frame(frame.meta.id).unwrap(), frame);
                prop_assert_eq!(&segment.meta(frame.meta.id).unwrap(), &frame.meta);
            }
            let mut cursor = segment.cursor();
            for frame in &frames {
                prop_assert_eq!(&cursor.meta(frame.meta.id).unwrap(), &frame.meta);
                prop_assert_eq!(&cursor.frame(frame.meta.id).unwrap(), frame);
            }
            for frame in &frames {
                if let Some(uri) = &frame.meta.uri {
                    let found: Vec<_> = segment.find_uri(uri_key(uri), uri).map(|id| id.unwrap()).collect();
                    prop_assert!(found.contains(&frame.meta.id) && found.is_sorted_by(|a, b| a > b));
                }
            }
            prop_assert!(segment.frame(FrameId(first + frames.len() as u64)).is_err());
        }

        #[test]
        fn damaged_bodies_read_without_panic(at: prop::sample::Index, value: u8) {
            let none = [const { None }; 6];
            let frames: Vec<_> = (3..200)
                .map(|id| {
                    let mut strings = none.clone();
                    strings[(id % 6) as usize] = Some(format!("text {id}"));
                    frame(id, format!("payload {id}").into_bytes(), strings)
                })
                .collect();
            let mut body = build(&frames);
            let at = at.index(body.len());
            body[at] = value;
            if let Ok(segment) = DataSegment::open(&SegmentBytes::from_vec(body))
                && segment.count < 10_000 {
                    segment.verify();
                }
        }

        #[test]
        fn any_body_opens_without_panic(mut body: Vec<u8>) {
            let mut foot = [0; FOOT_BYTES];
            foot[..8].copy_from_slice(b"MV2D\x01\0\0\0");
            let from = body.len().min(152);
            foot[8..8 + from].copy_from_slice(&body[..from]);
            body.extend(foot);
            let _ = DataSegment::open(&SegmentBytes::from_vec(body));
        }
    }

    #[test]
    fn small_frames_share_blocks_and_large_ones_are_cut() {
        let none = [const { None }; 6];
        let mut frames: Vec<_> = (0..100)
            .map(|id| {
                frame(
                    id,
                    format!("a small payload, number {id}").into_bytes(),
                    none.clone(),
                )
            })
            .collect();
        frames.push(frame(100, b"0123456789abcdef".repeat(20_000), none.clone()));
        let segment = open(build(&frames));
        let blocks = segment.section(Section::BlockDirectory).len() / BLOCK_ENTRY_BYTES;
        assert_eq!(blocks, 1 + 320_000usize.div_ceil(LARGE_BLOCK_BYTES));
        assert_eq!(segment.payload(FrameId(100)).unwrap(), frames[100].payload);
    }

    #[test]
    fn a_payload_is_stored_once_and_found_by_its_content() {
        let none = [const { None }; 6];
        let mut frames: Vec<_> = (0..300)
            .map(|id| frame(id, format!("payload {id}").into_bytes(), none.clone()))
            .collect();
        frames[299].meta.payload_frame = Some(FrameId(7));
        frames[299].meta.metadata = Some("{}".into());
        let segment = open(build(&frames));
        let meta = segment.meta(FrameId(299)).unwrap();
        assert_eq!(meta, frames[299].meta);
        assert!(segment.payload(FrameId(299)).unwrap().is_empty());
        let found: Vec<_> = segment
            .find_content(&frames[7].meta.content_hash, frames[7].meta.payload_len)
            .collect();
        assert_eq!(found, [Ok(FrameId(7))]);
        assert_eq!(segment.find_content(&[1; 16], 4).count(), 0);
        assert_eq!(segment.verify(), vec![]);
    }

    /// A segment of three frames, two of them with a uri, changed by `damage`; what its check says.
    fn damaged(damage: impl FnOnce(&mut DataBuilder)) -> Vec<String> {
        let none = [const { None }; 6];
        let mut builder = DataBuilder::new(FrameId(0), Density::Light, Vec::new()).unwrap();
        for id in 0..200 {
            let mut frame = frame(id, format!("payload {id}").into_bytes(), none.clone());
            frame.meta.uri = (id < 2).then(|| format!("uri {id}"));
            builder.add(&frame).unwrap();
        }
        damage(&mut builder);
        let problems = open(builder.finish().unwrap()).verify();
        let texts = problems.iter().map(|(id, error)| format!("{id:?} {error}"));
        texts.collect()
    }

    #[test]
    fn each_table_and_directory_is_compared_with_the_frames() {
        assert_eq!(damaged(|_| {}), Vec::<String>::new());
        type Damage = fn(&mut DataBuilder);
        let damages: [(&str, Damage); 9] = [
            ("uri table", |builder| builder.uris[1].0 ^= 1),
            ("uri table", |builder| builder.uris.push((7, 3))),
            ("content table", |builder| builder.contents[5].0 ^= 1),
            ("content table", |builder| {
                builder.contents.pop();
            }),
            ("content table", |builder| builder.contents.push((7, 3))),
            ("key table", |builder| builder.contents.push((7, 200))),
            ("key table", |builder| {
                let twice = builder.contents[0];
                builder.contents.push(twice);
            }),
            ("place of a frame", |builder| builder.rows_start += 1),
            ("stream of a data segment", |builder| {
                builder.push_stream(b"nobody's").unwrap();
            }),
        ];
        for (index, (what, damage)) in damages.into_iter().enumerate() {
            let found = damaged(damage);
            assert!(
                found.first().is_some_and(|text| text.contains(what)),
                "{index}: {what} is not in {found:?}"
            );
        }
        let fallen = damaged(|builder| builder.rows[0].commit = CommitId(0));
        assert!(fallen[0].contains("commit of a frame"), "{fallen:?}");
    }

    #[test]
    fn sections_with_a_gap_or_in_another_order_are_refused() {
        let body = build(&[frame(0, b"payload".to_vec(), [const { None }; 6])]);
        let sections = body.len() - FOOT_BYTES + 32;
        for (section, by) in [(0, 1u8), (1, 1), (3, 8), (6, 1)] {
            for field in [0, 8] {
                let mut bad = body.clone();
                bad[sections + section * 16 + field] ^= by;
                let error = DataSegment::open(&SegmentBytes::from_vec(bad)).unwrap_err();
                assert!(error.to_string().contains("section"), "{error}");
            }
        }
    }

    #[test]
    fn a_payload_in_pieces_gives_the_same_segment_and_is_read_in_pieces() {
        let payload = b"0123456789abcdef".repeat(20_000);
        let strings = [const { None }; 6];
        let mut large = frame(1, payload.clone(), strings.clone());
        large.meta.metadata = Some("{}".into());
        let frames = [
            frame(0, vec![7; 9], strings.clone()),
            large,
            frame(2, vec![8; 9], strings),
        ];
        let whole = build(&frames);
        let mut builder = DataBuilder::new(FrameId(0), Density::Light, Vec::new()).unwrap();
        let mut pieces = Vec::new();
        builder.add(&frames[0]).unwrap();
        builder.begin(&frames[1].meta).unwrap();
        for piece in payload.chunks(70_001) {
            builder.payload(piece).unwrap();
            let ready = builder.take();
            assert!(ready.len() < payload.len() / 2);
            pieces.extend(ready);
        }
        builder.end(&frames[1].meta).unwrap();
        builder.add(&frames[2]).unwrap();
        pieces.extend(builder.take());
        pieces.extend(builder.finish().unwrap());
        assert!(whole == pieces);

        let segment = open(whole);
        let place = segment.payload_place(FrameId(1)).unwrap();
        let mut reader = segment.payload_reader(&place).unwrap();
        for _ in 0..2 {
            let mut read = Vec::new();
            while let Some(piece) = reader.next_piece().unwrap() {
                assert!(!piece.is_empty() && piece.len() <= LARGE_BLOCK_BYTES);
                read.extend_from_slice(piece);
            }
            assert!(read == payload);
            reader.rewind();
        }
    }

    #[test]
    fn pieces_that_are_not_as_long_as_the_payload_are_refused() {
        for piece in [&b"shor"[..], b"longer"] {
            let frame = frame(0, b"short".to_vec(), [const { None }; 6]);
            let mut builder = DataBuilder::new(FrameId(0), Density::Light, Vec::new()).unwrap();
            builder.begin(&frame.meta).unwrap();
            builder.payload(piece).unwrap();
            let error = builder.end(&frame.meta).unwrap_err();
            assert!(error.to_string().contains("5 bytes"), "{error}");
        }
    }

    #[test]
    fn a_hole_is_no_damage() {
        let hole = FrameMeta::hole(FrameId(1), CommitId(1), LineageId(0));
        let mut frames = vec![
            frame(0, b"before".to_vec(), Default::default()),
            Frame {
                meta: hole,
                payload: Vec::new(),
            },
            frame(2, b"behind".to_vec(), Default::default()),
        ];
        let segment = open(build(&frames));
        assert_eq!(segment.verify(), []);
        assert!(segment.meta(FrameId(1)).unwrap().is_hole());
        assert!(!segment.meta(FrameId(2)).unwrap().is_hole());
        assert_eq!(segment.payload(FrameId(1)).unwrap(), b"");
        assert_eq!(segment.payload(FrameId(2)).unwrap(), b"behind");
        // With anything else in it, it is a frame with the wrong hash.
        frames[1].meta.title = Some("left behind".into());
        assert_eq!(open(build(&frames)).verify().len(), 1);
    }

    #[test]
    fn a_gap_in_the_ids_is_refused() {
        let mut builder = DataBuilder::new(FrameId(3), Density::Light, Vec::new()).unwrap();
        assert!(
            builder
                .add(&frame(4, Vec::new(), [const { None }; 6]))
                .is_err()
        );
    }
}
