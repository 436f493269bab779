//! A question about what happened when, and its answer.

use mv2_format::{CommitId, FrameId, Timestamp};

use crate::selector::{Selector, past_steps};

/// Which documents to list in the order of their event times. Newest first, unless `reverse` is set.
///
/// Both ends of the range belong to it. memvid's `reverse` is the other way round: there it asks for
/// the newest first.
///
/// ```
/// use mv2::TimelineQuery;
///
/// let built = TimelineQuery::builder().since(1_795_569_003).limit(5).build();
/// let plain = TimelineQuery {
///     since: Some(1_795_569_003.into()),
///     limit: 5,
///     ..TimelineQuery::default()
/// };
/// assert_eq!(built, plain);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineQuery {
    /// The earliest event time, included.
    pub since: Option<Timestamp>,
    /// The latest event time, included.
    pub until: Option<Timestamp>,
    /// How many documents to list at the most; 100 by default.
    pub limit: usize,
    /// Oldest first.
    pub reverse: bool,
    /// The commit to read at; the newest by default.
    pub at: Option<Selector>,
    /// The time to read at: the newest commit that was there then, of the history of `at` if that is set too.
    pub at_timestamp: Option<Timestamp>,
    /// Where to go on: the [`next_cursor`](Timeline::next_cursor) of the page before. The rest of the
    /// query has to be that page's, except for the limit and the length of previews.
    pub cursor: Option<String>,
    /// How long a preview may be, in characters; 120 by default.
    pub preview_chars: usize,
}

impl TimelineQuery {
    /// Starts from the defaults.
    pub fn builder() -> TimelineQueryBuilder {
        TimelineQueryBuilder::default()
    }
}

impl Default for TimelineQuery {
    fn default() -> Self {
        Self {
            since: None,
            until: None,
            limit: 100,
            reverse: false,
            at: None,
            at_timestamp: None,
            cursor: None,
            preview_chars: 120,
        }
    }
}

/// Makes a [`TimelineQuery`] step by step.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TimelineQueryBuilder {
    query: TimelineQuery,
}

impl TimelineQueryBuilder {
    /// Sets [`TimelineQuery::since`]. A whole number is seconds since the Unix epoch.
    pub fn since(mut self, since: impl Into<Timestamp>) -> Self {
        self.query.since = Some(since.into());
        self
    }

    /// Sets [`TimelineQuery::until`]. A whole number is seconds since the Unix epoch.
    pub fn until(mut self, until: impl Into<Timestamp>) -> Self {
        self.query.until = Some(until.into());
        self
    }

    /// Sets [`TimelineQuery::limit`].
    pub fn limit(mut self, limit: usize) -> Self {
        self.query.limit = limit;
        self
    }

    /// Sets [`TimelineQuery::reverse`].
    pub fn reverse(mut self, reverse: bool) -> Self {
        self.query.reverse = reverse;
        self
    }

    past_steps!(TimelineQuery, query);

    /// Sets [`TimelineQuery::cursor`].
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.query.cursor = Some(cursor.into());
        self
    }

    /// Sets [`TimelineQuery::preview_chars`].
    pub fn preview_chars(mut self, chars: usize) -> Self {
        self.query.preview_chars = chars;
        self
    }

    /// The finished query.
    pub fn build(self) -> TimelineQuery {
        self.query
    }
}

/// A page of documents in the order of their event times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeline {
    /// The branch that was read; see [`Snapshot::branch`](crate::Snapshot::branch).
    pub branch: Option<String>,
    /// The documents.
    pub frames: Vec<TimelineEntry>,
    /// Where to go on; `None` if nothing follows.
    pub next_cursor: Option<String>,
}

/// One document of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimelineEntry {
    /// The frame.
    pub frame_id: FrameId,
    /// Its uri.
    pub uri: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// How its text begins, on one line. Empty if it has no text.
    pub preview: String,
    /// Event time.
    pub timestamp: Timestamp,
    /// The commit that added it.
    pub commit: CommitId,
    /// Its kind.
    pub kind: Option<String>,
    /// Its tags, sorted by key.
    pub tags: Vec<(String, String)>,
    /// Its labels.
    pub labels: Vec<String>,
}
