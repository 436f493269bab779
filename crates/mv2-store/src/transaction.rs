//! What a writer has changed and not committed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mv2_format::commits::{self, CommitRow, MAX_MESSAGE_BYTES};
use mv2_format::frame::content_hash;
use mv2_format::journal::JournalEntry;
use mv2_format::tombstones::Tombstone;
use mv2_format::wal::Batch;
use mv2_format::{Attachment, CommitId, Frame, FrameId, FrameMeta, LineageId, Property, Timestamp};

use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::types::{NewFrame, PutOutcome, PutStatus};

/// An open transaction.
pub(crate) struct Transaction {
    /// The head that it continues, as it was when it began.
    base: Snapshot,
    /// The lineage that it continues it on.
    lineage: LineageId,
    /// Whether it makes another state the head, so that it is a commit whatever else it does.
    rewinds: bool,
    /// The other head, if it is a merge.
    second_parent: CommitId,
    /// What becomes of branches and tags.
    refs: BTreeMap<String, Option<Vec<u8>>>,
    /// What the journal gets.
    journal: Option<Vec<u8>>,
    /// New frames; the ids continue those of the state.
    frames: Vec<Arc<Frame>>,
    /// Which of them get the commit's time.
    timeless: Vec<bool>,
    /// The position of a new frame with a payload, by its hash.
    contents: HashMap<[u8; 16], usize>,
    /// Deaths, with what took the frame's place.
    dead: BTreeMap<FrameId, Option<FrameId>>,
    /// The newest new frame under a uri.
    uris: HashMap<String, FrameId>,
    attachments: Vec<Attachment>,
    properties: BTreeMap<String, Option<Vec<u8>>>,
    payload_bytes: u64,
    added: u32,
    superseded: u32,
    deleted: u32,
}

struct Pending {
    meta: FrameMeta,
    payload: Vec<u8>,
    /// Event time is the commit's.
    timeless: bool,
}

impl Transaction {
    /// A transaction that continues a head on a lineage.
    pub(crate) fn new(base: Snapshot, lineage: LineageId) -> Self {
        Self {
            base,
            lineage,
            rewinds: false,
            second_parent: CommitId(0),
            refs: BTreeMap::new(),
            journal: None,
            frames: Vec::new(),
            timeless: Vec::new(),
            contents: HashMap::new(),
            dead: BTreeMap::new(),
            uris: HashMap::new(),
            attachments: Vec::new(),
            properties: BTreeMap::new(),
            payload_bytes: 0,
            added: 0,
            superseded: 0,
            deleted: 0,
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.base.state
    }

    /// The head that it continues.
    pub(crate) fn base(&self) -> &Snapshot {
        &self.base
    }

    /// Goes on from a state that holds the same commits in other segments.
    pub(crate) fn rebase(&mut self, state: &Arc<State>) -> Result<()> {
        self.base = self.base.with_state(state)?;
        Ok(())
    }

    /// Continues another commit, on a lineage of its own. Nothing was changed yet.
    pub(crate) fn continue_from(&mut self, base: Snapshot, lineage: LineageId) {
        self.base = base;
        self.lineage = lineage;
        self.rewinds = true;
    }

    /// Moves branches and tags.
    pub(crate) fn move_refs(&mut self, refs: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) {
        self.refs.extend(refs);
    }

    /// Notes something down in the journal.
    pub(crate) fn note(&mut self, entry: Vec<u8>) {
        self.journal = Some(entry);
    }

    /// Takes another head in. Its frames that are named in `hidden`, and ours, are not visible afterwards; some have another in their place.
    pub(crate) fn merge(&mut self, head: CommitId, hidden: BTreeMap<FrameId, Option<FrameId>>) {
        self.second_parent = head;
        for by in hidden.values() {
            match by {
                Some(_) => self.superseded += 1,
                None => self.deleted += 1,
            }
        }
        self.dead.extend(hidden);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.changes_memory() && self.refs.is_empty() && self.journal.is_none()
    }

    /// Whether anything changes that a search or a read could see.
    fn changes_memory(&self) -> bool {
        !(self.frames.is_empty()
            && self.dead.is_empty()
            && self.attachments.is_empty()
            && self.properties.is_empty()
            && self.second_parent.0 == 0)
            || self.rewinds
    }

    pub(crate) fn attach(&mut self, attachment: Attachment) -> Result<()> {
        let end = self.next_frame();
        if attachment.frame >= end {
            return Err(Error::NoSuchFrame {
                frame: attachment.frame,
                end,
            });
        }
        self.state().check_not_purged(attachment.frame)?;
        attachment.check_limits().map_err(Error::Limit)?;
        self.attachments.push(attachment);
        Ok(())
    }

    pub(crate) fn set_property(&mut self, key: String, value: Option<Vec<u8>>) -> Result<()> {
        let property = Property {
            key,
            commit: CommitId(0),
            value,
        };
        property.check_limits().map_err(Error::Limit)?;
        if self.base.property(&property.key)? == property.value {
            self.properties.remove(&property.key);
        } else {
            self.properties.insert(property.key, property.value);
        }
        Ok(())
    }

    /// Its frames, once they are committed.
    pub(crate) fn into_frames(self) -> Vec<Arc<Frame>> {
        self.frames
    }

    /// Sets a property in this commit, also to the value that it has.
    pub(crate) fn force_property(&mut self, key: String, value: Option<Vec<u8>>) {
        self.properties.insert(key, value);
    }

    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The id that the next frame gets.
    pub(crate) fn next_frame(&self) -> FrameId {
        FrameId(self.state().next_frame().0 + self.frames.len() as u64)
    }

    pub(crate) fn put(&mut self, frame: NewFrame) -> Result<PutOutcome> {
        let pending = Pending::new(frame)?;
        let older = match &pending.meta.uri {
            Some(uri) => self.find_uri(uri)?,
            None => None,
        };
        self.place(pending, older.into_iter().collect())
    }

    pub(crate) fn update(&mut self, id: FrameId, frame: NewFrame) -> Result<PutOutcome> {
        let mut pending = Pending::new(frame)?;
        self.check_alive(id)?;
        let old_uri = self.meta(id)?.uri;
        let mut older = vec![id];
        match &pending.meta.uri {
            None => pending.meta.uri = old_uri,
            // Under its new name there may be another frame, whose place it takes as well.
            Some(uri) if old_uri.as_ref() != Some(uri) => older.extend(self.find_uri(uri)?),
            Some(_) => {}
        }
        self.place(pending, older)
    }

    pub(crate) fn delete(&mut self, id: FrameId) -> Result<()> {
        self.check_alive(id)?;
        self.dead.insert(id, None);
        self.deleted += 1;
        Ok(())
    }

    pub(crate) fn find_uri(&self, uri: &str) -> Result<Option<FrameId>> {
        let found = match self.uris.get(uri) {
            Some(id) => Some(*id),
            None => self.base.find_uri(uri)?,
        };
        Ok(found.filter(|id| !self.dead.contains_key(id)))
    }

    /// Puts a frame in the place of others, unless the one that it replaces says the same.
    fn place(&mut self, mut pending: Pending, older: Vec<FrameId>) -> Result<PutOutcome> {
        if let [old] = older[..]
            && self.meta(old)?.same_content(&pending.meta)
        {
            return Ok(PutOutcome {
                frame: old,
                status: PutStatus::Unchanged,
                superseded: None,
                deduplicated: false,
            });
        }
        let id = self.next_frame();
        pending.meta.id = id;
        for old in &older {
            self.dead.insert(*old, Some(id));
        }
        if older.is_empty() {
            self.added += 1;
        } else {
            self.superseded += older.len() as u32;
        }
        if let Some(uri) = &pending.meta.uri {
            self.uris.insert(uri.clone(), id);
        }
        pending.meta.payload_frame = self.find_content(&pending)?;
        let deduplicated = pending.meta.payload_frame.is_some();
        self.contents
            .insert(pending.meta.content_hash, self.frames.len());
        self.payload_bytes += pending.meta.payload_len;
        self.timeless.push(pending.timeless);
        self.frames.push(Arc::new(Frame {
            meta: pending.meta,
            payload: pending.payload,
        }));
        Ok(PutOutcome {
            frame: id,
            status: if older.is_empty() {
                PutStatus::Added
            } else {
                PutStatus::Superseded
            },
            superseded: older.first().copied(),
            deduplicated,
        })
    }

    /// A frame that carries the same payload already.
    fn find_content(&self, pending: &Pending) -> Result<Option<FrameId>> {
        if pending.payload.is_empty() {
            return Ok(None);
        }
        let hash = &pending.meta.content_hash;
        if let Some(index) = self.contents.get(hash) {
            let same = &self.frames[*index];
            let carrier = same.meta.payload_frame.unwrap_or(same.meta.id);
            return Ok(Some(carrier).filter(|_| same.payload == pending.payload));
        }
        self.state().find_content(hash, &pending.payload)
    }

    fn check_alive(&self, id: FrameId) -> Result<()> {
        let end = self.next_frame();
        if id >= end {
            return Err(Error::NoSuchFrame { frame: id, end });
        }
        if let Some(by) = self.dead.get(&id) {
            return Err(Error::Dead {
                frame: id,
                by: *by,
                commit: CommitId(self.state().last_commit().0 + 1),
            });
        }
        match id < self.state().next_frame() {
            true => self.base.check_visible(id),
            false => Ok(()),
        }
    }

    fn meta(&self, id: FrameId) -> Result<FrameMeta> {
        match id.0.checked_sub(self.state().next_frame().0) {
            Some(index) => match self.frames.get(index as usize) {
                Some(frame) => Ok(frame.meta.clone()),
                None => Err(Error::NoSuchFrame {
                    frame: id,
                    end: self.next_frame(),
                }),
            },
            None => self.state().meta(id),
        }
    }

    /// What a commit at this moment writes. The frames are shared with the transaction, which another attempt may need.
    pub(crate) fn batch(&mut self, wall: Timestamp, message: Option<String>) -> Result<Batch> {
        let message = message.unwrap_or_default();
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(Error::Limit(mv2_format::Error::TooLarge {
                what: "commit message",
                len: message.len() as u64,
                limit: MAX_MESSAGE_BYTES as u64,
            }));
        }
        let id = CommitId(self.state().last_commit().0 + 1);
        let (parent, lineage) = match self.changes_memory() {
            true => (self.base.commit_id(), self.lineage),
            false => (CommitId(0), LineageId::BOOKKEEPING),
        };
        // Strictly increasing, also where the clock fell back.
        let time = match self.state().last_time() {
            Some(last) => wall.max(Timestamp(last.0.saturating_add(1))),
            None => wall,
        };
        let (jump, depth) = self.ancestry(parent)?;
        let commit = CommitRow {
            id,
            lineage,
            parent,
            second_parent: self.second_parent,
            jump,
            depth,
            time,
            wall,
            watermark: self.next_frame(),
            added: self.added,
            superseded: self.superseded,
            deleted: self.deleted,
            message,
        };
        for (frame, timeless) in self.frames.iter_mut().zip(&self.timeless) {
            let meta = &mut Arc::make_mut(frame).meta;
            meta.commit = id;
            meta.lineage = lineage;
            if *timeless {
                meta.timestamp = time;
            }
        }
        let tombstones = self.dead.iter().map(|(frame, by)| Tombstone {
            frame: *frame,
            commit: id,
            by: *by,
            lineage,
        });
        let mut properties: Vec<_> = self.properties.iter().chain(&self.refs).collect();
        properties.sort_unstable();
        let properties = properties.into_iter().map(|(key, value)| Property {
            key: key.clone(),
            commit: id,
            value: value.clone(),
        });
        Ok(Batch {
            frames: self.frames.clone(),
            tombstones: tombstones.collect(),
            attachments: self.attachments.clone(),
            properties: properties.collect(),
            journal: self.journal.clone().map(|bytes| JournalEntry {
                commit: id,
                bytes: bytes.into(),
            }),
            commit,
        })
    }

    /// Jump pointer and depth of a commit whose parent this is.
    fn ancestry(&self, parent: CommitId) -> Result<(CommitId, u64)> {
        let place = |id: CommitId| -> Result<(CommitId, u64, CommitId)> {
            if id.0 == 0 {
                return Ok((id, 0, id));
            }
            let row = self.state().commit(id)?;
            Ok((id, row.depth, row.jump))
        };
        let (_, depth, jump) = place(parent)?;
        let (_, jump_depth, second) = place(jump)?;
        let (_, second_depth, _) = place(second)?;
        let jump = commits::jump((parent, depth), (jump, jump_depth), (second, second_depth));
        Ok((jump, depth + 1))
    }
}

impl Pending {
    /// Normalises a new frame and checks its limits.
    fn new(frame: NewFrame) -> Result<Self> {
        let tags: BTreeMap<String, String> = frame.tags.into_iter().collect();
        let mut labels: Vec<String> = Vec::with_capacity(frame.labels.len());
        for label in frame.labels {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        let meta = FrameMeta {
            timestamp: frame.timestamp.unwrap_or_default(),
            uri: frame.uri,
            title: frame.title,
            kind: frame.kind,
            track: frame.track,
            tags: tags.into_iter().collect(),
            labels,
            metadata: frame.metadata,
            search_text: frame.search_text,
            is_text: frame.is_text,
            content_hash: content_hash(&frame.payload),
            payload_len: frame.payload.len() as u64,
            ..FrameMeta::default()
        };
        meta.check_limits().map_err(Error::Limit)?;
        if meta.is_text && std::str::from_utf8(&frame.payload).is_err() {
            return Err(Error::Limit(mv2_format::Error::invalid(
                "text of a frame",
                "UTF-8",
                "other bytes",
            )));
        }
        Ok(Self {
            meta,
            payload: frame.payload,
            timeless: frame.timestamp.is_none(),
        })
    }
}
