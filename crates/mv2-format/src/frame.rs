//! A Smart Frame: one immutable, timestamped document with what is known of it.

use crate::error::{Error, Result};
use crate::ids::{CommitId, FrameId, LineageId, Timestamp};

/// Longest uri, title, kind, track, label, tag key or tag value, in bytes.
///
/// A term of the lexical index cannot be longer, and a field that names something need not be.
pub const MAX_NAME_BYTES: usize = 16 << 10;

/// Longest metadata or search text, in bytes.
pub const MAX_TEXT_FIELD_BYTES: usize = 64 << 20;

/// Most tags, and most labels, of one frame.
pub const MAX_TAGS: usize = 1_024;

/// Longest payload, in bytes. A single read allocates this much at the most.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// From this many bytes on a document is huge: an index may want it in a segment of its own.
///
/// The positions of the words of 32 MiB of text take some 25 MiB while they are gathered, and as much again while they are
/// written.
pub const HUGE_TEXT_BYTES: u64 = 32 << 20;

/// What is known of a frame besides its payload: facts of its creation, which never change.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FrameMeta {
    /// The frame's number.
    pub id: FrameId,
    /// The commit that created it.
    pub commit: CommitId,
    /// The lineage of that commit.
    pub lineage: LineageId,
    /// Event time: when what the frame tells happened. By default the commit's time.
    pub timestamp: Timestamp,
    /// The name under which the document is updated and found again.
    pub uri: Option<String>,
    /// A title; searched together with the text, and once more on its own.
    pub title: Option<String>,
    /// What sort of document it is, in the caller's words.
    pub kind: Option<String>,
    /// A stream of the caller's that the frame belongs to.
    pub track: Option<String>,
    /// Key and value pairs, sorted by key, each key once.
    pub tags: Vec<(String, String)>,
    /// Labels in the caller's order, each once.
    pub labels: Vec<String>,
    /// A JSON text that is kept with the frame.
    pub metadata: Option<String>,
    /// What is indexed instead of the payload.
    pub search_text: Option<String>,
    /// Whether the payload is UTF-8 text, which is indexed, or bytes, which are not.
    pub is_text: bool,
    /// The first 16 bytes of the payload's BLAKE3.
    pub content_hash: [u8; 16],
    /// The payload's length in bytes.
    pub payload_len: u64,
    /// The older frame that carries the same payload, if this one only refers to it.
    pub payload_frame: Option<FrameId>,
}

impl FrameMeta {
    /// Checks the limits of the format.
    ///
    /// # Errors
    /// [`Error::TooLarge`] names the field that exceeds its limit.
    pub fn check_limits(&self) -> Result<()> {
        let names = [
            ("uri", self.uri.as_deref()),
            ("title", self.title.as_deref()),
            ("kind", self.kind.as_deref()),
            ("track", self.track.as_deref()),
        ];
        for (what, value) in names {
            limit(what, value.map_or(0, str::len), MAX_NAME_BYTES)?;
        }
        for (what, value) in [
            ("metadata", self.metadata.as_deref()),
            ("search_text", self.search_text.as_deref()),
        ] {
            limit(what, value.map_or(0, str::len), MAX_TEXT_FIELD_BYTES)?;
        }
        limit("number of tags", self.tags.len(), MAX_TAGS)?;
        limit("number of labels", self.labels.len(), MAX_TAGS)?;
        for (key, value) in &self.tags {
            limit("tag key", key.len(), MAX_NAME_BYTES)?;
            limit("tag value", value.len(), MAX_NAME_BYTES)?;
        }
        for label in &self.labels {
            limit("label", label.len(), MAX_NAME_BYTES)?;
        }
        limit(
            "payload",
            usize::try_from(self.payload_len).unwrap_or(usize::MAX),
            MAX_PAYLOAD_BYTES,
        )
    }

    /// What is left of a purged frame: its place in the order of commits.
    pub fn hole(id: FrameId, commit: CommitId, lineage: LineageId) -> Self {
        Self {
            id,
            commit,
            lineage,
            ..Self::default()
        }
    }

    /// Whether this is a [hole](Self::hole). No other frame is like it: the hash of no bytes is not zero.
    pub fn is_hole(&self) -> bool {
        *self == Self::hole(self.id, self.commit, self.lineage)
    }

    /// Whether the payload is the text that indexes see, as [`Frame::text`] says.
    pub fn payload_is_text(&self) -> bool {
        self.is_text && self.search_text.is_none()
    }

    /// Whether the text that indexes see is a payload of at least [`HUGE_TEXT_BYTES`].
    pub fn is_huge_text(&self) -> bool {
        self.payload_is_text() && self.payload_len >= HUGE_TEXT_BYTES
    }

    /// Whether two frames say the same: all but id, commit, lineage and time.
    pub fn same_content(&self, other: &Self) -> bool {
        let key = |meta: &Self| {
            let mut meta = meta.clone();
            meta.id = FrameId::default();
            meta.commit = CommitId::default();
            meta.lineage = LineageId::default();
            meta.timestamp = Timestamp::default();
            meta.payload_frame = None;
            meta
        };
        self.content_hash == other.content_hash && key(self) == key(other)
    }
}

fn limit(what: &'static str, len: usize, limit: usize) -> Result<()> {
    if len > limit {
        return Err(Error::TooLarge {
            what,
            len: len as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

/// A frame with its payload.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frame {
    /// What is known of it.
    pub meta: FrameMeta,
    /// The document, as it was put.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The text that indexes see: `search_text` if there is one, else the payload if it is text,
    /// else nothing.
    pub fn text(&self) -> &str {
        match &self.meta.search_text {
            Some(text) => text,
            None if self.meta.is_text => std::str::from_utf8(&self.payload).unwrap_or_default(),
            None => "",
        }
    }
}

/// The content hash of a payload: the first 16 bytes of its BLAKE3.
pub fn content_hash(payload: &[u8]) -> [u8; 16] {
    crate::checksum::hash16(payload)
}
