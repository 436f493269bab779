//! One commit's state of a file: the segments of a checkpoint and the tail of the log behind it.
//! Immutable once it is shared; readers hold it by `Arc`.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use mv2_format::commits::{CommitRow, CommitSegment};
use mv2_format::data::{DataSegment, uri_key};
use mv2_format::journal::{JournalEntry, JournalSegment};
use mv2_format::payload::LARGE_PAYLOAD_BYTES;
use mv2_format::root::Root;
use mv2_format::toc::{SegmentEntry, Toc};
use mv2_format::tombstones::{Tombstone, TombstoneSegment};
use mv2_format::wal::Batch;
use mv2_format::{
    Attachment, CommitId, Frame, FrameId, FrameMeta, FrameSet, IndexFactory, LineageId,
    PayloadReader, Property, SegmentBytes, SegmentKind, Timestamp, attachments, properties,
};

use crate::error::{Error, Result};
use crate::file::MemoryFile;
use crate::purge::Purge;

/// What a file holds at a commit.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) file: Arc<MemoryFile>,
    pub(crate) root: Root,
    /// Whether the root was taken from the footer, because no root page says so yet.
    pub(crate) adopted: bool,
    pub(crate) checkpoint: Arc<Checkpoint>,
    pub(crate) tail: Arc<Tail>,
    /// Damage in the log: its offset in the file, and a commit that lies behind it.
    pub(crate) damage: Option<(u64, CommitId)>,
}

/// The segments of a checkpoint.
#[derive(Clone)]
pub(crate) struct Checkpoint {
    pub(crate) toc: Toc,
    pub(crate) data: Vec<Arc<Slot<DataSegment>>>,
    pub(crate) commits: Vec<Arc<Slot<CommitSegment>>>,
    pub(crate) tombstones: Vec<Arc<Slot<TombstoneSegment>>>,
    pub(crate) journal: Vec<Arc<Slot<JournalSegment>>>,
    pub(crate) purged: Vec<Arc<Slot<Arc<FrameSet>>>>,
    /// What the file that is written anew from this leaves out.
    pub(crate) purging: Option<Arc<Purge>>,
    pub(crate) properties: Vec<Arc<Slot<Arc<Vec<Property>>>>>,
    pub(crate) attachments: Vec<Arc<Slot<Arc<Vec<Attachment>>>>>,
    /// All kinds of index.
    pub(crate) indexes: Vec<Arc<Slot<SegmentBytes>>>,
}

/// A live segment, opened when it is first needed.
pub(crate) struct Slot<T> {
    pub(crate) entry: SegmentEntry,
    opened: OnceLock<T>,
}

/// Commits that are in the log and in no segment yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    /// Where the next batch goes, from the start of the log.
    pub(crate) end: u64,
    /// What the next batch names as its predecessor.
    pub(crate) hash: [u8; 16],
    /// The newest commit that is none of bookkeeping, or the root's if there is none in the log, and the hash of its batch.
    pub(crate) seen: (CommitId, [u8; 16]),
    /// Where the newest batch is, from the start of the log, if there is one.
    pub(crate) last_batch: Option<Range<u64>>,
    pub(crate) frames: Vec<Arc<Frame>>,
    pub(crate) commits: Vec<CommitRow>,
    /// By frame, and by lineage where a frame died on several.
    pub(crate) dead: BTreeMap<(FrameId, LineageId), Tombstone>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) journal: Vec<JournalEntry>,
    pub(crate) properties: Vec<Property>,
    /// Frames of the tail by uri, oldest first.
    pub(crate) uris: HashMap<String, Vec<FrameId>>,
    /// Frames of the tail that carry a payload, by its hash.
    pub(crate) contents: HashMap<[u8; 16], FrameId>,
    pub(crate) payload_bytes: u64,
    /// One more than the highest lineage of a commit, bookkeeping apart.
    pub(crate) lineages: u32,
    /// How many of the commits are bookkeeping.
    pub(crate) bookkeeping: u64,
}

impl<T: Clone> Slot<T> {
    pub(crate) fn new(entry: SegmentEntry) -> Arc<Self> {
        Arc::new(Self {
            entry,
            opened: OnceLock::new(),
        })
    }

    pub(crate) fn get(
        &self,
        file: &MemoryFile,
        open: impl FnOnce(SegmentBytes) -> mv2_format::Result<T>,
    ) -> Result<&T> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let entry = &self.entry;
        let owner = file
            .storage
            .map(entry.offset.0, entry.extent_len() as usize)
            .map_err(|source| file.io("map", source))?;
        let opened = SegmentBytes::open(owner, entry.body_len, entry.summary_crc, entry.offset)
            .and_then(open)
            .map_err(|source| file.format(source))?;
        // Another thread may have been faster; both opened the same bytes.
        Ok(self.opened.get_or_init(|| opened))
    }
}

/// Carries over what the state before has opened already.
fn slots<T: Clone>(
    toc: &Toc,
    kinds: impl Fn(SegmentKind) -> bool,
    before: &[Arc<Slot<T>>],
) -> Vec<Arc<Slot<T>>> {
    toc.segments
        .iter()
        .filter(|entry| kinds(entry.kind))
        .map(|entry| {
            let known = before.iter().find(|slot| slot.entry == *entry);
            known.map_or_else(|| Slot::new(entry.clone()), Arc::clone)
        })
        .collect()
}

impl Checkpoint {
    /// The segments of a TOC. Nothing is read; segments that were open in `before` stay open.
    pub(crate) fn new(toc: Toc, before: Option<&Self>) -> Self {
        macro_rules! slots_of {
            ($field:ident, $kinds:expr) => {
                slots(
                    &toc,
                    $kinds,
                    before.map_or(&[], |before| &before.$field[..]),
                )
            };
        }
        Self {
            data: slots_of!(data, |kind| kind == SegmentKind::DATA),
            commits: slots_of!(commits, |kind| kind == SegmentKind::COMMITS),
            tombstones: slots_of!(tombstones, |kind| kind == SegmentKind::TOMBSTONES),
            journal: slots_of!(journal, |kind| kind == SegmentKind::JOURNAL),
            purged: slots_of!(purged, |kind| kind == SegmentKind::PURGED),
            purging: None,
            properties: slots_of!(properties, |kind| kind == SegmentKind::PROPERTIES),
            attachments: slots_of!(attachments, |kind| kind == SegmentKind::ATTACHMENTS),
            indexes: slots_of!(indexes, |kind| kind >= SegmentKind::LEX),
            toc,
        }
    }
}

impl Tail {
    /// An empty tail of a root.
    pub(crate) fn new(root: &Root) -> Self {
        Self {
            hash: root.wal_seed(),
            seen: (root.last_commit, root.wal_seed()),
            ..Self::default()
        }
    }

    /// Takes in a batch that stands at `self.end`.
    pub(crate) fn push(&mut self, batch: Batch, hash: [u8; 16], slot_bytes: u64) {
        for frame in &batch.frames {
            if let Some(uri) = &frame.meta.uri {
                self.uris
                    .entry(uri.clone())
                    .or_default()
                    .push(frame.meta.id);
            }
            if frame.meta.payload_frame.is_none() {
                self.contents.insert(frame.meta.content_hash, frame.meta.id);
            }
        }
        if batch.commit.lineage != LineageId::BOOKKEEPING {
            self.seen = (batch.commit.id, hash);
        }
        self.push_to_fold(batch);
        self.last_batch = Some(self.end..self.end + slot_bytes);
        self.end += slot_bytes;
        self.hash = hash;
    }

    /// Takes in a batch that goes into segments at once, where nobody looks for a name or a content in it.
    pub(crate) fn push_to_fold(&mut self, batch: Batch) {
        for frame in batch.frames {
            self.payload_bytes += frame.meta.payload_len;
            self.frames.push(frame);
        }
        for tombstone in batch.tombstones {
            self.dead
                .insert((tombstone.frame, tombstone.lineage), tombstone);
        }
        self.attachments.extend(batch.attachments);
        self.journal.extend(batch.journal);
        self.properties.extend(batch.properties);
        match batch.commit.lineage {
            LineageId::BOOKKEEPING => self.bookkeeping += 1,
            lineage => self.lineages = self.lineages.max(lineage.0 + 1),
        }
        self.commits.push(batch.commit);
    }
}

impl State {
    /// The same with its segments closed. Whoever reads all of a large file once maps it for that, and gives the memory
    /// back with this.
    pub(crate) fn reopened(&self) -> Self {
        let toc = self.checkpoint.toc.clone();
        Self {
            checkpoint: Arc::new(Checkpoint::new(toc, None)),
            ..self.clone()
        }
    }
}

/// Commits
impl State {
    /// The newest commit; 0 for an empty memory.
    pub(crate) fn last_commit(&self) -> CommitId {
        self.tail
            .commits
            .last()
            .map_or(self.root.last_commit, |commit| commit.id)
    }

    /// Its time.
    pub(crate) fn last_time(&self) -> Option<Timestamp> {
        match self.tail.commits.last() {
            Some(commit) => Some(commit.time),
            None => (self.root.last_commit.0 > 0).then_some(self.checkpoint.toc.last_time),
        }
    }

    /// The id that the next frame gets.
    pub(crate) fn next_frame(&self) -> FrameId {
        self.tail
            .commits
            .last()
            .map_or(self.checkpoint.toc.next_frame, |commit| commit.watermark)
    }

    /// A commit by its id.
    pub(crate) fn commit(&self, id: CommitId) -> Result<CommitRow> {
        let newest = self.last_commit();
        if id.0 == 0 || id > newest {
            return Err(Error::NoSuchCommit { commit: id, newest });
        }
        if let Some(first) = self.tail.commits.first()
            && id >= first.id
        {
            return Ok(self.tail.commits[(id.0 - first.id.0) as usize].clone());
        }
        for slot in &self.checkpoint.commits {
            if (slot.entry.first_commit..=slot.entry.last_commit).contains(&id) {
                let segment = slot.get(&self.file, CommitSegment::open)?;
                let row = segment.get(id).map_err(|source| self.file.format(source))?;
                if let Some(row) = row {
                    return Ok(row);
                }
            }
        }
        Err(Error::NoSuchCommit { commit: id, newest })
    }
}

/// Frames
impl State {
    /// The tombstones of a range of frames from commits after one up to another, by frame.
    pub(crate) fn tombstones_between(
        &self,
        frames: Range<FrameId>,
        after: CommitId,
        up_to: CommitId,
    ) -> Result<Vec<Tombstone>> {
        if frames.is_empty() || after >= up_to {
            return Ok(Vec::new());
        }
        let wanted = |row: &Tombstone| after < row.commit && row.commit <= up_to;
        let first = LineageId(0);
        let tail = (self.tail.dead).range((frames.start, first)..(frames.end, first));
        let mut rows: Vec<_> = tail.map(|(_, row)| *row).filter(wanted).collect();
        for slot in &self.checkpoint.tombstones {
            let entry = &slot.entry;
            let overlaps = entry.first_frame < frames.end && frames.start < entry.end_frame;
            if !overlaps || entry.last_commit <= after || up_to < entry.first_commit {
                continue;
            }
            let segment = slot.get(&self.file, TombstoneSegment::open)?;
            for row in segment.range(frames.clone()) {
                let row = row.map_err(|source| self.file.format(source))?;
                if wanted(&row) {
                    rows.push(row);
                }
            }
        }
        rows.sort_unstable();
        Ok(rows)
    }

    /// Metadata of a frame, dead or alive.
    pub(crate) fn meta(&self, id: FrameId) -> Result<FrameMeta> {
        match self.locate(id)? {
            Location::Tail(frame) => Ok(frame.meta.clone()),
            Location::Segment(segment) => {
                segment.meta(id).map_err(|source| self.file.format(source))
            }
        }
    }

    /// Payload of a frame, dead or alive.
    pub(crate) fn payload(&self, id: FrameId) -> Result<Vec<u8>> {
        let mut payload = Vec::new();
        self.read_payload(id, &mut |piece| payload.extend_from_slice(piece))?;
        Ok(payload)
    }

    /// Calls `each` with the pieces of a frame's payload, dead or alive.
    pub(crate) fn read_payload(&self, id: FrameId, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.each_piece(self.payload_reader(id)?, each)
    }

    /// Calls `each` with what is left of a payload.
    pub(crate) fn each_piece(
        &self,
        mut reader: PayloadReader,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let format = |source| self.file.format(source);
        while let Some(piece) = reader.next_piece().map_err(format)? {
            each(piece);
        }
        Ok(())
    }

    /// A reader of a frame's payload, dead or alive.
    pub(crate) fn payload_reader(&self, id: FrameId) -> Result<PayloadReader> {
        let segment = match self.locate(id)? {
            Location::Tail(frame) => return Ok(Arc::clone(frame).into()),
            Location::Segment(segment) => segment,
        };
        let format = |source| self.file.format(source);
        let place = segment.payload_place(id).map_err(format)?;
        match place.carrier {
            Some(carrier) => self.carried_reader(carrier, &place.content_hash, place.len),
            None => Ok(segment.payload_reader(&place).map_err(format)?.into()),
        }
    }

    /// A reader of a payload with this hash and length that a frame carries.
    fn carried_reader(&self, carrier: FrameId, hash: &[u8; 16], len: u64) -> Result<PayloadReader> {
        let format = |source| self.file.format(source);
        let check = |further: Option<FrameId>, found: &[u8; 16], found_len: u64| {
            if further.is_none() && found == hash && found_len == len {
                return Ok(());
            }
            Err(format(mv2_format::Error::invalid(
                "frame that carries a payload",
                "one with the same content",
                carrier,
            )))
        };
        match self.locate(carrier)? {
            Location::Tail(frame) => {
                let meta = &frame.meta;
                check(meta.payload_frame, &meta.content_hash, meta.payload_len)?;
                Ok(Arc::clone(frame).into())
            }
            Location::Segment(segment) => {
                let place = segment.payload_place(carrier).map_err(format)?;
                check(place.carrier, &place.content_hash, place.len)?;
                Ok(segment.payload_reader(&place).map_err(format)?.into())
            }
        }
    }

    /// Fills in the payload of a frame that refers to another one. `last` keeps what was filled in last: copies of
    /// one document tend to come together.
    pub(crate) fn complete(&self, mut frame: Frame, last: &mut Option<Shared>) -> Result<Frame> {
        let Some(carrier) = frame.meta.payload_frame else {
            return Ok(frame);
        };
        if let Some((known, payload)) = last
            && *known == carrier
        {
            frame.payload.clone_from(payload);
            return Ok(frame);
        }
        let mut payload = Vec::new();
        let (hash, len) = (&frame.meta.content_hash, frame.meta.payload_len);
        let reader = self.carried_reader(carrier, hash, len)?;
        self.each_piece(reader, &mut |piece| payload.extend_from_slice(piece))?;
        if payload.len() <= MAX_SHARED_BYTES {
            *last = Some((carrier, payload.clone()));
        }
        frame.payload = payload;
        Ok(frame)
    }

    /// A frame, dead or alive.
    pub(crate) fn frame(&self, id: FrameId) -> Result<Arc<Frame>> {
        match self.locate(id)? {
            Location::Tail(frame) => Ok(Arc::clone(frame)),
            Location::Segment(segment) => {
                let frame = segment.frame(id);
                let frame = frame.map_err(|source| self.file.format(source))?;
                self.complete(frame, &mut None).map(Arc::new)
            }
        }
    }

    /// A frame, dead or alive, with the first `max_bytes` of its payload.
    pub(crate) fn frame_head(&self, id: FrameId, max_bytes: u64) -> Result<Frame> {
        let format = |source| self.file.format(source);
        let len = |payload: &[u8]| {
            payload
                .len()
                .min(usize::try_from(max_bytes).unwrap_or(usize::MAX))
        };
        let mut frame = match self.locate(id)? {
            Location::Tail(frame) => {
                return Ok(Frame {
                    meta: frame.meta.clone(),
                    payload: frame.payload[..len(&frame.payload)].to_vec(),
                });
            }
            Location::Segment(segment) => segment.frame_head(id, max_bytes).map_err(format)?,
        };
        if let Some(carrier) = frame.meta.payload_frame {
            let (hash, payload_len) = (&frame.meta.content_hash, frame.meta.payload_len);
            let mut reader = self.carried_reader(carrier, hash, payload_len)?;
            while (frame.payload.len() as u64) < max_bytes
                && let Some(piece) = reader.next_piece().map_err(format)?
            {
                frame.payload.extend_from_slice(piece);
            }
            frame.payload.truncate(len(&frame.payload));
        }
        Ok(frame)
    }

    /// Calls `each` with the frames of a range, dead or alive, in order. Large payloads come as readers. Purged frames come only
    /// as they are [stored](Detail::Stored).
    pub(crate) fn visit_frames(
        &self,
        range: Range<FrameId>,
        detail: Detail,
        each: &mut dyn FnMut(Visited<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut last = None;
        let purged = self.purged()?;
        let is_left = |id| detail == Detail::Stored || !purged.contains(id);
        for slot in &self.checkpoint.data {
            let start = range.start.max(slot.entry.first_frame);
            let end = range.end.min(slot.entry.end_frame);
            if start >= end {
                continue;
            }
            let mut cursor = self.data(slot)?.cursor();
            for id in (start.0..end.0).map(FrameId).filter(|id| is_left(*id)) {
                if detail == Detail::Stored && self.visit_changed(&mut cursor, id, each)? {
                    continue;
                }
                let format = |source| self.file.format(source);
                let is_large = cursor.payload_len(id).map_err(format)? >= LARGE_PAYLOAD_BYTES;
                if detail == Detail::Meta || is_large {
                    let meta = cursor.meta(id).map_err(format)?;
                    if detail.has_payload(&meta) {
                        each(Visited::Large(&meta, self.payload_reader(id)?))?;
                    } else {
                        let payload = Vec::new();
                        each(Visited::Frame(&Frame { meta, payload }))?;
                    }
                    continue;
                }
                let frame = cursor.frame(id).map_err(format)?;
                each(Visited::Frame(&match detail {
                    Detail::Resolved => self.complete(frame, &mut last)?,
                    _ => frame,
                }))?;
            }
        }
        let tail = &self.tail.frames;
        let at = |id: FrameId| tail.partition_point(|frame| frame.meta.id < id);
        for frame in &tail[at(range.start)..at(range.end)] {
            if is_left(frame.meta.id) {
                visit_in_memory(std::slice::from_ref(frame), detail, each)?;
            }
        }
        Ok(())
    }

    /// A frame that carries this payload.
    pub(crate) fn find_content(&self, hash: &[u8; 16], payload: &[u8]) -> Result<Option<FrameId>> {
        if let Some(id) = self.tail.contents.get(hash)
            && self.carries(*id, payload)?
        {
            return Ok(Some(*id));
        }
        for slot in self.checkpoint.data.iter().rev() {
            for id in self.data(slot)?.find_content(hash, payload.len() as u64) {
                let id = id.map_err(|source| self.file.format(source))?;
                if self.carries(id, payload)? {
                    return Ok(Some(id));
                }
            }
        }
        Ok(None)
    }

    /// Whether a frame's payload is this one, byte for byte.
    fn carries(&self, id: FrameId, payload: &[u8]) -> Result<bool> {
        let mut rest = Some(payload);
        self.read_payload(id, &mut |piece| {
            rest = rest.take().and_then(|rest| rest.strip_prefix(piece));
        })?;
        Ok(rest == Some(&[]))
    }

    /// The newest frame under a uri, below an end, that is wanted.
    pub(crate) fn find_version(
        &self,
        uri: &str,
        end: FrameId,
        mut wanted: impl FnMut(FrameId) -> Result<bool>,
    ) -> Result<Option<FrameId>> {
        for id in self.tail.uris.get(uri).into_iter().flatten().rev() {
            if *id < end && wanted(*id)? {
                return Ok(Some(*id));
            }
        }
        let key = uri_key(uri);
        for slot in self.checkpoint.data.iter().rev() {
            if slot.entry.first_frame >= end {
                continue;
            }
            for id in self.data(slot)?.find_uri(key, uri) {
                let id = id.map_err(|source| self.file.format(source))?;
                if id < end && wanted(id)? {
                    return Ok(Some(id));
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn data<'a>(&self, slot: &'a Slot<DataSegment>) -> Result<&'a DataSegment> {
        let entry = &slot.entry;
        slot.get(&self.file, |bytes| {
            let segment = DataSegment::open(&bytes)?;
            if segment.first_frame() != entry.first_frame || segment.end_frame() != entry.end_frame
            {
                return Err(mv2_format::Error::invalid(
                    "data segment",
                    format!("frames {}..{}", entry.first_frame, entry.end_frame),
                    format!("{}..{}", segment.first_frame(), segment.end_frame()),
                ));
            }
            Ok(segment)
        })
    }

    fn locate(&self, id: FrameId) -> Result<Location<'_>> {
        let end = self.next_frame();
        if id >= end {
            return Err(Error::NoSuchFrame { frame: id, end });
        }
        if let Some(first) = self.tail.frames.first()
            && id >= first.meta.id
        {
            return Ok(Location::Tail(
                &self.tail.frames[(id.0 - first.meta.id.0) as usize],
            ));
        }
        let data = &self.checkpoint.data;
        let index = data.partition_point(|slot| slot.entry.end_frame <= id);
        match data.get(index) {
            Some(slot) => Ok(Location::Segment(self.data(slot)?)),
            None => Err(Error::NoSuchFrame { frame: id, end }),
        }
    }
}

/// Segments
impl State {
    /// The runs of an index that cover frames from 0 on without a gap, but for purged frames.
    pub(crate) fn index_runs(&self, kind: SegmentKind) -> Vec<IndexRun> {
        let mut runs: Vec<IndexRun> = Vec::new();
        for slot in &self.checkpoint.indexes {
            let entry = &slot.entry;
            if (entry.kind, entry.part) != (kind, 0) {
                continue;
            }
            let frames = entry.first_frame..entry.end_frame;
            match runs.last_mut() {
                Some(run) if run.frames == frames => run.slots.push(Arc::clone(slot)),
                last => {
                    let end = last.map_or(FrameId(0), |run| run.frames.end);
                    if frames.start < end || self.skip_purged(end) < frames.start {
                        break;
                    }
                    runs.push(IndexRun {
                        frames,
                        slots: vec![Arc::clone(slot)],
                    });
                }
            }
        }
        runs
    }

    /// Which of the runs are a huge text that the index keeps alone.
    pub(crate) fn runs_alone(&self, index: &dyn IndexFactory, runs: &[IndexRun]) -> Vec<bool> {
        let is_left = |id| !self.is_purged(id).unwrap_or(false);
        let is_huge = |id| is_left(id) && self.meta(id).is_ok_and(|meta| meta.is_huge_text());
        let is_alone = |run: &IndexRun| {
            run.len() == 1 && is_huge(run.frames.start) && index.builder_of_huge().is_some()
        };
        runs.iter().map(is_alone).collect()
    }

    /// Frames from 0 up to this one are covered by index segments of a kind.
    pub(crate) fn covered(&self, kind: SegmentKind) -> FrameId {
        let runs = self.index_runs(kind);
        self.skip_purged(runs.last().map_or(FrameId(0), |run| run.frames.end))
    }

    /// The segments of an index over attachments, all parts of it, by part and first frame.
    pub(crate) fn attached_slots(&self, kind: SegmentKind) -> Vec<Arc<Slot<SegmentBytes>>> {
        let slots = self.checkpoint.indexes.iter();
        slots
            .filter(|slot| slot.entry.kind == kind)
            .cloned()
            .collect()
    }

    /// Attachments that stand in a segment because no index took them.
    pub(crate) fn stored_attachments(&self) -> Result<Arc<Vec<Attachment>>> {
        match self.checkpoint.attachments.first() {
            Some(slot) => slot
                .get(&self.file, |bytes| {
                    attachments::decode(&bytes).map(Arc::new)
                })
                .cloned(),
            None => Ok(Arc::default()),
        }
    }

    /// The properties of segments, by key and commit.
    pub(crate) fn stored_properties(&self) -> Result<Arc<Vec<Property>>> {
        match self.checkpoint.properties.first() {
            Some(slot) => slot
                .get(&self.file, |bytes| properties::decode(&bytes).map(Arc::new))
                .cloned(),
            None => Ok(Arc::default()),
        }
    }

    /// The newest value of a property that wanted commits gave it.
    pub(crate) fn property(
        &self,
        key: &str,
        mut wanted: impl FnMut(CommitId) -> Result<bool>,
    ) -> Result<Option<Vec<u8>>> {
        for row in self.tail.properties.iter().rev() {
            if row.key == key && wanted(row.commit)? {
                return Ok(row.value.clone());
            }
        }
        let rows = self.stored_properties()?;
        let end = rows.partition_point(|row| &*row.key <= key);
        for row in rows[..end].iter().rev().take_while(|row| row.key == key) {
            if wanted(row.commit)? {
                return Ok(row.value.clone());
            }
        }
        Ok(None)
    }

    pub(crate) fn index_bytes<'a>(&self, slot: &'a Slot<SegmentBytes>) -> Result<&'a SegmentBytes> {
        slot.get(&self.file, Ok)
    }

    pub(crate) fn commit_rows<'a>(
        &self,
        slot: &'a Slot<CommitSegment>,
    ) -> Result<&'a CommitSegment> {
        slot.get(&self.file, CommitSegment::open)
    }

    pub(crate) fn tombstone_rows<'a>(
        &self,
        slot: &'a Slot<TombstoneSegment>,
    ) -> Result<&'a TombstoneSegment> {
        slot.get(&self.file, TombstoneSegment::open)
    }

    pub(crate) fn journal_rows<'a>(
        &self,
        slot: &'a Slot<JournalSegment>,
    ) -> Result<&'a JournalSegment> {
        slot.get(&self.file, JournalSegment::open)
    }
}

/// Neighbouring frames in an index: those that were alive when it was written, those that were dead, or both.
#[derive(Clone)]
pub(crate) struct IndexRun {
    pub(crate) frames: Range<FrameId>,
    /// One or two; the history segment is the last.
    pub(crate) slots: Vec<Arc<Slot<SegmentBytes>>>,
}

impl IndexRun {
    /// The commit whose dead frames were set apart; 0 if none were.
    pub(crate) fn split_at(&self) -> CommitId {
        self.slots
            .first()
            .map_or(CommitId(0), |slot| slot.entry.last_commit)
    }

    pub(crate) fn len(&self) -> u64 {
        self.frames.end.0 - self.frames.start.0
    }

    /// Bytes of its segments.
    pub(crate) fn body_len(&self) -> u64 {
        self.slots.iter().map(|slot| slot.entry.body_len).sum()
    }

    /// Frames in its history segment.
    pub(crate) fn history_rows(&self) -> u64 {
        let history = self.slots.iter().filter(|slot| slot.entry.history);
        history.map(|slot| slot.entry.rows).sum()
    }
}

/// A payload that frames share, with the frame that carries it.
pub(crate) type Shared = (FrameId, Vec<u8>);

/// A shared payload is remembered up to this size.
const MAX_SHARED_BYTES: usize = 1 << 20;

/// How much of a frame is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Metadata. Frames of segments come with an empty payload.
    Meta,
    /// The payload too, unless another frame carries it.
    Stored,
    /// The payload in any case.
    Resolved,
}

impl Detail {
    /// Whether a frame comes with its payload.
    fn has_payload(self, meta: &FrameMeta) -> bool {
        match self {
            Self::Meta => false,
            Self::Stored => meta.payload_frame.is_none(),
            Self::Resolved => true,
        }
    }
}

/// Calls `each` with frames that are in memory, as [`State::visit_frames`] does.
pub(crate) fn visit_in_memory(
    frames: &[Arc<Frame>],
    detail: Detail,
    each: &mut dyn FnMut(Visited<'_>) -> Result<()>,
) -> Result<()> {
    for frame in frames {
        let meta = &frame.meta;
        let is_large = meta.payload_len >= LARGE_PAYLOAD_BYTES;
        if is_large && detail.has_payload(meta) {
            each(Visited::Large(meta, Arc::clone(frame).into()))?;
        } else {
            each(Visited::Frame(frame))?;
        }
    }
    Ok(())
}

/// A frame on a walk through a range of them.
pub(crate) enum Visited<'a> {
    Frame(&'a Frame),
    /// One with a large payload.
    Large(&'a FrameMeta, PayloadReader),
}

impl Visited<'_> {
    pub(crate) fn meta(&self) -> &FrameMeta {
        match self {
            Self::Frame(frame) => &frame.meta,
            Self::Large(meta, _) => meta,
        }
    }
}

enum Location<'a> {
    Tail(&'a Arc<Frame>),
    Segment(&'a DataSegment),
}
