//! Batches of the write-ahead log: one batch is one commit. `docs/format.md`, section "Write-ahead log".

use std::sync::Arc;

use crate::attachments::{Attachment, decode_attachment, encode_attachment};
use crate::checksum::hash16_of;
use crate::codec::{self, Codec, Decompressor};
use crate::commits::{self, CommitRow};
use crate::error::{Error, Result};
use crate::frame::{Frame, FrameMeta};
use crate::header::{check_page, seal_page};
use crate::ids::{CommitId, FileOffset, FrameId, Generation, LineageId, Timestamp};
use crate::journal::{JournalEntry, check_len};
use crate::properties::{Property, decode_property, encode_property};
use crate::segment::PAGE_BYTES;
use crate::tombstones::{Tombstone, decode_by, encode_by};
use crate::wire::{Reader, pad_to, put_str, put_varint};

const MAGIC: &[u8; 4] = b"MVWB";
const HASH_RANGE: std::ops::Range<usize> = 88..104;
const FLAG_REWROTE: u32 = 1;

/// Bytes of a batch's header.
pub const HEADER_BYTES: usize = 128;

const ANCHOR_MAGIC: &[u8; 4] = b"MVWA";

const RECORD_FRAME: u8 = 1;
const RECORD_TOMBSTONE: u8 = 2;
const RECORD_COMMIT: u8 = 3;
const RECORD_ATTACHMENT: u8 = 4;
const RECORD_PROPERTY: u8 = 5;
const RECORD_JOURNAL: u8 = 6;

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Whether the batch before was rewritten in the same sync.
    pub rewrote_previous: bool,
    /// The file's uuid.
    pub uuid: [u8; 16],
    /// The generation whose state the log continues.
    pub generation: Generation,
    /// Where the batch begins, from the start of the log.
    pub offset: u64,
    /// Random.
    pub salt: u64,
    /// The commit.
    pub commit: CommitId,
    /// Hash of the batch before, or the root's seed.
    pub previous: [u8; 16],
    /// Bytes of records.
    pub body_len: u64,
    /// Number of records.
    pub records: u32,
    /// Hash of header and records.
    pub hash: [u8; 16],
}

/// What a commit writes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Batch {
    /// New frames, ids ascending by one. The payload of one that refers to another frame's is empty when decoded.
    pub frames: Vec<Arc<Frame>>,
    /// Deaths.
    pub tombstones: Vec<Tombstone>,
    /// What frames carry for indexes. The frames may be older than the batch.
    pub attachments: Vec<Attachment>,
    /// New values of properties, each key once.
    pub properties: Vec<Property>,
    /// A search that is noted down, in a commit of bookkeeping.
    pub journal: Option<JournalEntry>,
    /// The commit.
    pub commit: CommitRow,
}

/// Where a batch stands, which its bytes are tied to.
#[derive(Clone, Copy, Debug)]
pub struct BatchPlace {
    /// The file's uuid.
    pub uuid: [u8; 16],
    /// The root's generation.
    pub generation: Generation,
    /// Where the batch begins, from the start of the log.
    pub offset: u64,
    /// Hash of the batch before, or the root's seed.
    pub previous: [u8; 16],
    /// Whether the batch before is rewritten in the same sync.
    pub rewrote_previous: bool,
    /// Random.
    pub salt: u64,
}

/// Records of a batch, encoded once and placed later: the place is known only when the commit is written.
#[derive(Clone, Debug)]
pub struct EncodedRecords {
    commit: CommitId,
    records: u32,
    bytes: Vec<u8>,
}

impl EncodedRecords {
    /// Encodes the records of a batch. Payloads are compressed where that saves anything.
    pub fn new(batch: &Batch) -> Self {
        let mut bytes = Vec::new();
        for frame in &batch.frames {
            record(&mut bytes, RECORD_FRAME, |out| encode_frame(out, frame));
        }
        for tombstone in &batch.tombstones {
            record(&mut bytes, RECORD_TOMBSTONE, |out| {
                out.extend_from_slice(&tombstone.frame.0.to_le_bytes());
                out.extend_from_slice(&encode_by(tombstone.by).to_le_bytes());
            });
        }
        for attachment in &batch.attachments {
            record(&mut bytes, RECORD_ATTACHMENT, |out| {
                encode_attachment(out, attachment);
            });
        }
        for property in &batch.properties {
            record(&mut bytes, RECORD_PROPERTY, |out| {
                encode_property(out, property);
            });
        }
        if let Some(entry) = &batch.journal {
            record(&mut bytes, RECORD_JOURNAL, |out| {
                out.extend_from_slice(&entry.bytes);
            });
        }
        record(&mut bytes, RECORD_COMMIT, |out| {
            commits::encode_row(out, &batch.commit, 0);
            out.extend_from_slice(batch.commit.message.as_bytes());
        });
        Self {
            commit: batch.commit.id,
            records: (batch.frames.len()
                + batch.tombstones.len()
                + batch.attachments.len()
                + batch.properties.len()
                + batch.journal.iter().len()
                + 1) as u32,
            bytes,
        }
    }

    /// Bytes that the batch takes in the log, a multiple of 4,096.
    pub fn slot_bytes(&self) -> u64 {
        slot_bytes(self.bytes.len() as u64)
    }

    /// The batch at its place, padded to whole pages.
    pub fn place(&self, place: &BatchPlace) -> (BatchHeader, Vec<u8>) {
        let mut header = BatchHeader {
            rewrote_previous: place.rewrote_previous,
            uuid: place.uuid,
            generation: place.generation,
            offset: place.offset,
            salt: place.salt,
            commit: self.commit,
            previous: place.previous,
            body_len: self.bytes.len() as u64,
            records: self.records,
            hash: [0; 16],
        };
        let mut out = Vec::with_capacity(self.slot_bytes() as usize);
        header.encode(&mut out);
        header.hash = hash16_of(&[&out, &self.bytes]);
        out[HASH_RANGE].copy_from_slice(&header.hash);
        out.extend_from_slice(&self.bytes);
        pad_to(&mut out, PAGE_BYTES);
        (header, out)
    }
}

/// A page that stands in the first slot of the log until the first batch of a generation comes. It is written when the root page
/// of that generation is known to be durable, so who sees it need not make sure.
pub fn encode_anchor(uuid: &[u8; 16], generation: Generation) -> Vec<u8> {
    let mut page = Vec::with_capacity(PAGE_BYTES);
    page.extend_from_slice(ANCHOR_MAGIC);
    page.extend_from_slice(&[0; 4]);
    page.extend_from_slice(uuid);
    page.extend_from_slice(&generation.0.to_le_bytes());
    seal_page(page)
}

/// The generation of an anchor, if these bytes are a sound one of the file with this uuid.
pub fn decode_anchor(bytes: &[u8], uuid: &[u8; 16]) -> Option<Generation> {
    check_page(bytes, "anchor", FileOffset(0)).ok()?;
    let mut reader = Reader::new(bytes, "anchor");
    reader.magic(ANCHOR_MAGIC).ok()?;
    reader.reserved(4).ok()?;
    let named: [u8; 16] = reader.array().ok()?;
    let generation = Generation(reader.u64().ok()?);
    (named == *uuid).then_some(generation)
}

/// Bytes that a batch with so many bytes of records takes in the log.
pub const fn slot_bytes(body_len: u64) -> u64 {
    (HEADER_BYTES as u64 + body_len).next_multiple_of(PAGE_BYTES as u64)
}

impl BatchHeader {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&u32::from(self.rewrote_previous).to_le_bytes());
        out.extend_from_slice(&self.uuid);
        for number in [self.generation.0, self.offset, self.salt, self.commit.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.records.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.hash);
        out.extend_from_slice(&[0; 24]);
    }

    /// Reads a header. Says nothing about the records: see [`verify_hash`](Self::verify_hash).
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Invalid`], so too for a slot that was never written.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "log batch");
        reader.magic(MAGIC)?;
        let flags = reader.u32()?;
        if flags > FLAG_REWROTE {
            return Err(Error::invalid("log batch flags", "0 or 1", flags));
        }
        let header = Self {
            rewrote_previous: flags & FLAG_REWROTE != 0,
            uuid: reader.array()?,
            generation: Generation(reader.u64()?),
            offset: reader.u64()?,
            salt: reader.u64()?,
            commit: CommitId(reader.u64()?),
            previous: reader.array()?,
            body_len: reader.u64()?,
            records: reader.u32()?,
            hash: {
                reader.reserved(4)?;
                reader.array()?
            },
        };
        reader.reserved(HEADER_BYTES - reader.pos())?;
        Ok(header)
    }

    /// Whether the hash is that of the header and these records.
    pub fn verify_hash(&self, records: &[u8]) -> bool {
        let mut unhashed = Vec::with_capacity(HEADER_BYTES);
        Self {
            hash: [0; 16],
            ..*self
        }
        .encode(&mut unhashed);
        hash16_of(&[&unhashed, records]) == self.hash
    }

    /// Bytes that the batch takes in the log.
    pub fn slot_bytes(&self) -> u64 {
        slot_bytes(self.body_len)
    }
}

/// Decodes the records of a batch whose hash was checked.
///
/// # Errors
/// [`Error::Truncated`], [`Error::Invalid`] or [`Error::TooLarge`] if they are not what a writer writes.
pub fn decode_records(header: &BatchHeader, records: &[u8]) -> Result<Batch> {
    let mut reader = Reader::new(records, "log records");
    let mut batch = Batch::default();
    let mut frames = Vec::new();
    let mut committed = false;
    let mut count = 0u32;
    while reader.left() > 0 {
        if committed {
            return Err(Error::invalid(
                "log batch",
                "the commit as its last record",
                "more records",
            ));
        }
        let kind = reader.u8()?;
        reader.reserved(3)?;
        let len = reader.u32()? as usize;
        let bytes = reader.bytes(len)?;
        count += 1;
        match kind {
            RECORD_FRAME => frames.push(decode_frame(bytes)?),
            RECORD_TOMBSTONE => {
                let mut reader = Reader::new(bytes, "tombstone record");
                batch.tombstones.push(Tombstone {
                    frame: FrameId(reader.u64()?),
                    commit: header.commit,
                    by: decode_by(reader.u64()?),
                    lineage: Default::default(),
                });
                reader.finish()?;
            }
            RECORD_COMMIT => {
                let mut reader = Reader::new(bytes, "commit record");
                let (row, message_len, offset) = commits::decode_row(&mut reader, header.commit)?;
                if offset != 0 {
                    return Err(Error::invalid("message_offset of a log batch", "0", offset));
                }
                batch.commit = row;
                batch.commit.message = std::str::from_utf8(reader.bytes(message_len)?)
                    .map_err(|error| Error::invalid("commit message", "UTF-8", error))?
                    .to_owned();
                reader.finish()?;
                committed = true;
            }
            RECORD_ATTACHMENT => {
                let mut reader = Reader::new(bytes, "attachment record");
                batch.attachments.push(decode_attachment(&mut reader)?);
                reader.finish()?;
            }
            RECORD_PROPERTY => {
                let mut reader = Reader::new(bytes, "property record");
                batch
                    .properties
                    .push(decode_property(&mut reader, header.commit)?);
                reader.finish()?;
            }
            RECORD_JOURNAL => {
                check_len(len)?;
                let entry = JournalEntry {
                    commit: header.commit,
                    bytes: bytes.into(),
                };
                if batch.journal.replace(entry).is_some() {
                    return Err(Error::invalid("journal of a log batch", "one entry", "two"));
                }
            }
            other => return Err(Error::invalid("log record kind", "1 to 6", other)),
        }
    }
    if !committed || count != header.records {
        return Err(Error::invalid(
            "log batch",
            format!("{} records with a commit at their end", header.records),
            count,
        ));
    }
    let mut next = batch.commit.watermark.0.checked_sub(frames.len() as u64);
    for frame in &mut frames {
        if Some(frame.meta.id.0) != next {
            return Err(Error::invalid(
                "frame id",
                "ids up to the commit's watermark",
                frame.meta.id,
            ));
        }
        next = Some(frame.meta.id.0 + 1);
        frame.meta.commit = batch.commit.id;
        frame.meta.lineage = batch.commit.lineage;
    }
    batch.frames = frames.into_iter().map(Arc::new).collect();
    for tombstone in &mut batch.tombstones {
        tombstone.lineage = batch.commit.lineage;
        let end = batch.commit.watermark;
        if tombstone.frame >= end || tombstone.by.is_some_and(|by| by >= end) {
            return Err(Error::invalid(
                "tombstone",
                "frames below the watermark",
                tombstone.frame,
            ));
        }
    }
    for attachment in &batch.attachments {
        if attachment.frame >= batch.commit.watermark {
            return Err(Error::invalid(
                "attachment",
                "a frame below the watermark",
                attachment.frame,
            ));
        }
    }
    if batch.journal.is_some() && batch.commit.lineage != LineageId::BOOKKEEPING {
        return Err(Error::invalid(
            "journal of a log batch",
            "a commit of bookkeeping",
            format!("lineage {}", batch.commit.lineage),
        ));
    }
    let keys = batch.properties.iter().map(|property| &property.key);
    if !keys.is_sorted_by(|a, b| a < b) {
        return Err(Error::invalid("properties", "ascending keys", "others"));
    }
    Ok(batch)
}

fn record(out: &mut Vec<u8>, kind: u8, encode: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[kind, 0, 0, 0]);
    let len_at = out.len();
    out.extend_from_slice(&[0; 4]);
    encode(out);
    let len = (out.len() - len_at - 4) as u32;
    out[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
}

/// The flags of a frame: which of its optional fields are there.
pub(crate) fn frame_flags(meta: &FrameMeta) -> u8 {
    let bits = [
        meta.is_text,
        meta.uri.is_some(),
        meta.title.is_some(),
        meta.kind.is_some(),
        meta.track.is_some(),
        meta.metadata.is_some(),
        meta.search_text.is_some(),
        meta.payload_frame.is_some(),
    ];
    bits.iter()
        .enumerate()
        .fold(0, |flags, (bit, set)| flags | u8::from(*set) << bit)
}

pub(crate) fn has(flags: u8, bit: u8) -> bool {
    flags & (1 << bit) != 0
}

fn encode_frame(out: &mut Vec<u8>, frame: &Frame) {
    let meta = &frame.meta;
    let (codec, stored) = match meta.payload_frame {
        Some(_) => (Codec::Stored, Vec::new()),
        None => codec::compress(&frame.payload),
    };
    out.extend_from_slice(&meta.id.0.to_le_bytes());
    out.extend_from_slice(&meta.timestamp.0.to_le_bytes());
    out.extend_from_slice(&[frame_flags(meta), codec.id(), 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&meta.content_hash);
    out.extend_from_slice(&(frame.payload.len() as u64).to_le_bytes());
    out.extend_from_slice(&(stored.len() as u64).to_le_bytes());
    for text in [
        &meta.uri,
        &meta.title,
        &meta.kind,
        &meta.track,
        &meta.metadata,
        &meta.search_text,
    ]
    .into_iter()
    .flatten()
    {
        put_str(out, text);
    }
    encode_tags(out, meta);
    if let Some(carrier) = meta.payload_frame {
        out.extend_from_slice(&carrier.0.to_le_bytes());
    }
    out.extend_from_slice(&stored);
}

/// Appends tags and labels of a frame.
pub(crate) fn encode_tags(out: &mut Vec<u8>, meta: &FrameMeta) {
    put_varint(out, meta.tags.len() as u64);
    for (key, value) in &meta.tags {
        put_str(out, key);
        put_str(out, value);
    }
    put_varint(out, meta.labels.len() as u64);
    for label in &meta.labels {
        put_str(out, label);
    }
}

/// Reads the tags of a frame.
pub(crate) fn decode_tags(reader: &mut Reader<'_>) -> Result<Vec<(String, String)>> {
    let count = reader.length()?;
    let mut tags = Vec::new();
    for _ in 0..count {
        tags.push((reader.str()?.to_owned(), reader.str()?.to_owned()));
    }
    if !tags.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(Error::invalid("tags", "ascending keys", "others"));
    }
    Ok(tags)
}

/// Reads the labels of a frame.
pub(crate) fn decode_labels(reader: &mut Reader<'_>) -> Result<Vec<String>> {
    let count = reader.length()?;
    let mut labels = Vec::new();
    for _ in 0..count {
        labels.push(reader.str()?.to_owned());
    }
    Ok(labels)
}

fn decode_frame(bytes: &[u8]) -> Result<Frame> {
    let mut reader = Reader::new(bytes, "frame record");
    let id = FrameId(reader.u64()?);
    let timestamp = Timestamp(reader.i64()?);
    let flags = reader.u8()?;
    let codec = Codec::from_id(reader.u8()?)?;
    reader.reserved(6)?;
    let content_hash = reader.array()?;
    let payload_len = reader.u64()?;
    let stored_len = reader.u64()?;
    let mut text = |bit| -> Result<Option<String>> {
        Ok(if has(flags, bit) {
            Some(reader.str()?.to_owned())
        } else {
            None
        })
    };
    let mut meta = FrameMeta {
        id,
        timestamp,
        is_text: has(flags, 0),
        uri: text(1)?,
        title: text(2)?,
        kind: text(3)?,
        track: text(4)?,
        metadata: text(5)?,
        search_text: text(6)?,
        tags: decode_tags(&mut reader)?,
        labels: decode_labels(&mut reader)?,
        content_hash,
        payload_len,
        ..FrameMeta::default()
    };
    meta.check_limits()?;
    if has(flags, 7) {
        let carrier = FrameId(reader.u64()?);
        if codec != Codec::Stored {
            return Err(Error::invalid(
                "codec of a frame whose payload another carries",
                Codec::Stored.id().to_string(),
                codec.id(),
            ));
        }
        if carrier >= id || stored_len != 0 || reader.left() != 0 {
            return Err(Error::invalid(
                "frame that carries a payload",
                "an earlier one",
                carrier,
            ));
        }
        meta.payload_frame = Some(carrier);
        return Ok(Frame {
            meta,
            payload: Vec::new(),
        });
    }
    if stored_len != reader.left() as u64 {
        return Err(Error::invalid(
            "stored length of a frame",
            reader.left().to_string(),
            stored_len,
        ));
    }
    let stored = reader.bytes(reader.left())?;
    Ok(Frame {
        payload: Decompressor::default().decompress(codec, stored, payload_len as usize)?,
        meta,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::content_hash;
    use crate::segment::SegmentKind;

    pub(crate) fn frame(id: u64, text: &str) -> Frame {
        Frame {
            meta: FrameMeta {
                id: FrameId(id),
                commit: CommitId(9),
                timestamp: Timestamp(-5),
                uri: id.is_multiple_of(2).then(|| format!("notes/{id}.md")),
                title: Some("題".into()),
                tags: vec![("a".into(), "1".into()), ("b".into(), String::new())],
                labels: vec!["x".into()],
                search_text: id.is_multiple_of(3).then(|| "other words".into()),
                is_text: true,
                content_hash: content_hash(text.as_bytes()),
                payload_len: text.len() as u64,
                ..FrameMeta::default()
            },
            payload: text.into(),
        }
    }

    fn batch() -> Batch {
        Batch {
            frames: vec![
                Arc::new(frame(5, "hello")),
                Arc::new(frame(6, &"repeat ".repeat(1_000))),
            ],
            tombstones: vec![Tombstone {
                frame: FrameId(2),
                commit: CommitId(9),
                by: Some(FrameId(5)),
                lineage: Default::default(),
            }],
            attachments: vec![Attachment {
                frame: FrameId(6),
                kind: SegmentKind::VECTORS,
                part: 1,
                bytes: (*b"codes").into(),
            }],
            properties: vec![
                Property {
                    key: "embedder".into(),
                    commit: CommitId(9),
                    value: Some(b"{}".to_vec()),
                },
                Property {
                    key: "other".into(),
                    commit: CommitId(9),
                    value: None,
                },
            ],
            journal: None,
            commit: CommitRow {
                id: CommitId(9),
                parent: CommitId(8),
                watermark: FrameId(7),
                message: "two notes".into(),
                ..CommitRow::default()
            },
        }
    }

    fn place() -> BatchPlace {
        BatchPlace {
            uuid: [1; 16],
            generation: Generation(4),
            offset: 8192,
            previous: [2; 16],
            rewrote_previous: true,
            salt: 77,
        }
    }

    #[test]
    fn a_batch_comes_back() {
        let (header, bytes) = EncodedRecords::new(&batch()).place(&place());
        assert_eq!(bytes.len(), 4096);
        let read = BatchHeader::decode(&bytes).unwrap();
        assert_eq!(read, header);
        let records = &bytes[HEADER_BYTES..HEADER_BYTES + read.body_len as usize];
        assert!(read.verify_hash(records));
        assert_eq!(decode_records(&read, records).unwrap(), batch());
    }

    #[test]
    fn every_flipped_byte_breaks_the_hash_or_the_header() {
        let (_, bytes) = EncodedRecords::new(&batch()).place(&place());
        let len = BatchHeader::decode(&bytes).unwrap().body_len as usize;
        for at in 0..HEADER_BYTES + len {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            let sound = BatchHeader::decode(&bad).is_ok_and(|header| {
                header.body_len == len as u64
                    && header.verify_hash(&bad[HEADER_BYTES..HEADER_BYTES + len])
            });
            assert!(!sound, "byte {at}");
        }
    }

    #[test]
    fn anchors_are_told_from_batches_and_from_others() {
        let page = encode_anchor(&[1; 16], Generation(4));
        assert_eq!(decode_anchor(&page, &[1; 16]), Some(Generation(4)));
        assert_eq!(decode_anchor(&page, &[2; 16]), None);
        assert!(BatchHeader::decode(&page).is_err());
        for at in 0..PAGE_BYTES {
            let mut bad = page.clone();
            bad[at] ^= 1;
            assert_eq!(decode_anchor(&bad, &[1; 16]), None, "byte {at}");
        }
        let (_, batch) = EncodedRecords::new(&batch()).place(&place());
        assert_eq!(decode_anchor(&batch, &[1; 16]), None);
    }

    #[test]
    fn attachments_and_properties_keep_their_rules() {
        let refused = |change: &dyn Fn(&mut Batch)| {
            let mut bad = batch();
            change(&mut bad);
            let (header, bytes) = EncodedRecords::new(&bad).place(&place());
            let records = &bytes[HEADER_BYTES..HEADER_BYTES + header.body_len as usize];
            decode_records(&header, records).is_err()
        };
        assert!(!refused(&|_| ()));
        assert!(refused(&|batch| batch.attachments[0].frame = FrameId(7)));
        assert!(refused(&|batch| batch.properties.swap(0, 1)));
    }

    #[test]
    fn a_commit_of_bookkeeping_carries_an_entry_of_the_journal() {
        let noted = |lineage| Batch {
            journal: Some(JournalEntry {
                commit: CommitId(9),
                bytes: b"{}".as_slice().into(),
            }),
            commit: CommitRow {
                id: CommitId(9),
                lineage,
                watermark: FrameId(7),
                ..CommitRow::default()
            },
            ..Batch::default()
        };
        let decode = |header: &BatchHeader, bytes: &[u8]| {
            decode_records(
                header,
                &bytes[HEADER_BYTES..HEADER_BYTES + header.body_len as usize],
            )
        };
        let batch = noted(LineageId::BOOKKEEPING);
        let (mut header, bytes) = EncodedRecords::new(&batch).place(&place());
        assert_eq!(decode(&header, &bytes).unwrap(), batch);
        let (on_a_branch, other) = EncodedRecords::new(&noted(LineageId(0))).place(&place());
        assert!(decode(&on_a_branch, &other).is_err());
        // The record of two bytes once more in front.
        let mut twice = bytes[..HEADER_BYTES].to_vec();
        twice.extend_from_slice(&bytes[HEADER_BYTES..HEADER_BYTES + 10]);
        twice.extend_from_slice(&bytes[HEADER_BYTES..]);
        header.body_len += 10;
        header.records += 1;
        let error = decode(&header, &twice).unwrap_err().to_string();
        assert!(error.contains("one entry"), "{error}");
    }

    #[test]
    fn fields_that_must_be_zero_are_refused_otherwise() {
        let mut batch = batch();
        let shared = Arc::make_mut(&mut batch.frames[0]);
        shared.meta.payload_frame = Some(FrameId(1));
        let (header, bytes) = EncodedRecords::new(&batch).place(&place());
        let records = &bytes[HEADER_BYTES..HEADER_BYTES + header.body_len as usize];
        assert!(decode_records(&header, records).is_ok());
        // The codec of the first frame, and the offset of the message, which is the last record's end.
        let message_offset = records.len() - batch.commit.message.len() - 8;
        for (at, what) in [(8 + 17, "codec"), (message_offset, "message_offset")] {
            let mut bad = records.to_vec();
            assert_eq!(bad[at], 0);
            bad[at] = 1;
            let error = decode_records(&header, &bad).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn frames_that_do_not_end_at_the_watermark_are_refused() {
        let mut bad = batch();
        bad.commit.watermark = FrameId(8);
        let (header, bytes) = EncodedRecords::new(&bad).place(&place());
        let records = &bytes[HEADER_BYTES..HEADER_BYTES + header.body_len as usize];
        assert!(decode_records(&header, records).is_err());
    }

    proptest! {
        #[test]
        fn any_records_decode_without_panic(bytes: Vec<u8>, records: u32) {
            let (mut header, _) = EncodedRecords::new(&batch()).place(&place());
            header.records = records;
            let _ = decode_records(&header, &bytes);
        }

        #[test]
        fn damaged_records_decode_without_panic(at in 0usize..600, value: u8) {
            let (header, mut bytes) = EncodedRecords::new(&batch()).place(&place());
            let end = HEADER_BYTES + header.body_len as usize;
            let at = HEADER_BYTES + at % (end - HEADER_BYTES);
            bytes[at] = value;
            let _ = decode_records(&header, &bytes[HEADER_BYTES..end]);
        }
    }
}
