//! What is known of a document besides its bytes, and what a put did.

use mv2_format::{FrameId, FrameMeta, Timestamp};
use mv2_store::{NewFrame, PutStatus};
use serde_json::Value;

use crate::text;

/// What is known of a document besides its bytes. Everything is optional.
///
/// ```
/// use mv2::PutOptions;
///
/// let built = PutOptions::builder()
///     .uri("notes/q4.md")
///     .title("Meeting Notes")
///     .tag("project", "alpha")
///     .timestamp(1_795_569_003)
///     .build();
/// let plain = PutOptions {
///     uri: Some("notes/q4.md".into()),
///     title: Some("Meeting Notes".into()),
///     tags: vec![("project".into(), "alpha".into())],
///     timestamp: Some(1_795_569_003.into()),
///     ..PutOptions::default()
/// };
/// assert_eq!(built, plain);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PutOptions {
    /// The name under which the document is found again. A put under a uri that exists takes the
    /// place of the document there, or does nothing if both are the same.
    pub uri: Option<String>,
    /// A title. It is searched together with the text, and once more on its own.
    pub title: Option<String>,
    /// Event time: when what the document tells happened. By default the time of the commit.
    pub timestamp: Option<Timestamp>,
    /// Key and value pairs to filter by. Of a key that comes twice the last value counts.
    pub tags: Vec<(String, String)>,
    /// Labels to filter by.
    pub labels: Vec<String>,
    /// What sort of document it is, in your own words.
    pub kind: Option<String>,
    /// A stream of yours that the document belongs to.
    pub track: Option<String>,
    /// Anything else, kept with the document. Its strings are searched if the document is not text.
    pub metadata: Option<Value>,
    /// What is searched instead of the document. A document that is not text is by default searched
    /// by its uri and the strings of its metadata.
    pub search_text: Option<String>,
}

impl PutOptions {
    /// Starts from nothing.
    pub fn builder() -> PutOptionsBuilder {
        PutOptionsBuilder::default()
    }

    /// Fills what an update leaves open from the version that it replaces.
    pub(crate) fn over(mut self, old: FrameMeta, keeps_payload: bool) -> Self {
        let old_metadata = old
            .metadata
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        // A description that was derived is derived anew, so that it follows uri and metadata.
        let derived = text::describe(old.uri.as_deref(), old_metadata.as_ref());
        if keeps_payload && (old.is_text || old.search_text != derived) {
            self.search_text = self.search_text.or(old.search_text);
        }
        self.uri = self.uri.or(old.uri);
        self.title = self.title.or(old.title);
        self.kind = self.kind.or(old.kind);
        self.track = self.track.or(old.track);
        self.metadata = self.metadata.or(old_metadata);
        self.timestamp = self.timestamp.or(Some(old.timestamp));
        if self.tags.is_empty() {
            self.tags = old.tags;
        }
        if self.labels.is_empty() {
            self.labels = old.labels;
        }
        self
    }

    pub(crate) fn into_frame(self, payload: Vec<u8>) -> NewFrame {
        let is_text = text::is_text(&payload);
        let search_text = match self.search_text {
            None if !is_text => text::describe(self.uri.as_deref(), self.metadata.as_ref()),
            given => given,
        };
        NewFrame {
            uri: self.uri,
            title: self.title,
            kind: self.kind,
            track: self.track,
            tags: self.tags,
            labels: self.labels,
            metadata: self.metadata.map(|value| value.to_string()),
            search_text,
            timestamp: self.timestamp,
            is_text,
            payload,
        }
    }
}

/// Makes [`PutOptions`] step by step.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PutOptionsBuilder {
    options: PutOptions,
}

impl PutOptionsBuilder {
    /// Sets [`PutOptions::uri`].
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.options.uri = Some(uri.into());
        self
    }

    /// Sets [`PutOptions::title`].
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.options.title = Some(title.into());
        self
    }

    /// Sets [`PutOptions::timestamp`]: a [`Timestamp`] or seconds since the Unix epoch.
    pub fn timestamp(mut self, timestamp: impl Into<Timestamp>) -> Self {
        self.options.timestamp = Some(timestamp.into());
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.tags.push((key.into(), value.into()));
        self
    }

    /// Adds a label.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.options.labels.push(label.into());
        self
    }

    /// Sets [`PutOptions::kind`].
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.options.kind = Some(kind.into());
        self
    }

    /// Sets [`PutOptions::track`].
    pub fn track(mut self, track: impl Into<String>) -> Self {
        self.options.track = Some(track.into());
        self
    }

    /// Sets [`PutOptions::metadata`].
    pub fn metadata(mut self, metadata: impl Into<Value>) -> Self {
        self.options.metadata = Some(metadata.into());
        self
    }

    /// Sets [`PutOptions::search_text`].
    pub fn search_text(mut self, text: impl Into<String>) -> Self {
        self.options.search_text = Some(text.into());
        self
    }

    /// The finished options.
    pub fn build(self) -> PutOptions {
        self.options
    }
}

/// What came of a put. Converts into the frame's id wherever one is asked for.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("notes.mv2");
/// use mv2::{Memvid, PutStatus};
///
/// let mut mem = Memvid::create(&path)?;
/// let outcome = mem.put_bytes(b"remember the milk")?;
/// assert_eq!(outcome.status, PutStatus::Added);
/// mem.commit()?;
/// assert_eq!(mem.frame_text_by_id(outcome)?, "remember the milk");
/// # Ok::<(), mv2::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOutcome {
    /// The frame that holds the document. It can be read once it is committed, and one that is
    /// rolled back may give its id to another.
    pub frame_id: FrameId,
    /// What the put did.
    pub status: PutStatus,
    /// The frame whose place was taken.
    pub superseded: Option<FrameId>,
    /// Whether the payload is shared with an older frame.
    pub deduplicated: bool,
}

impl PutOutcome {
    pub(crate) fn new(outcome: mv2_store::PutOutcome) -> Self {
        Self {
            frame_id: outcome.frame,
            status: outcome.status,
            superseded: outcome.superseded,
            deduplicated: outcome.deduplicated,
        }
    }
}

impl From<PutOutcome> for FrameId {
    fn from(outcome: PutOutcome) -> Self {
        outcome.frame_id
    }
}
