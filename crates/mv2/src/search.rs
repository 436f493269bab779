//! A question to a memory and its answer.

use std::fmt;
use std::ops::Range;

use mv2_format::{CommitId, FrameId, Timestamp};

use crate::filter::{Filter, filter_steps};
use crate::selector::{Selector, past_steps};

/// What to search for.
///
/// How the query is read is said by [`syntax`](Self::syntax): a language with operators by default,
/// mere words with [`Syntax::Words`].
///
/// ```
/// use mv2::{Filter, SearchRequest};
///
/// let built = SearchRequest::builder("planning").top_k(5).tag("project", "alpha").build();
/// let plain = SearchRequest {
///     query: "planning".into(),
///     top_k: 5,
///     filter: Filter { tags: vec![("project".into(), "alpha".into())], ..Filter::default() },
///     ..SearchRequest::default()
/// };
/// assert_eq!(built, plain);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SearchRequest {
    /// The query.
    pub query: String,
    /// How the query is read; with operators by default.
    pub syntax: Syntax,
    /// Which indexes are asked; both by default.
    pub mode: Mode,
    /// A vector to search with, instead of one made of the query. For memories whose vectors the caller makes.
    pub vector: Option<Vec<f32>>,
    /// Search for what is like this frame, by its vectors. The query is not needed then.
    pub like: Option<FrameId>,
    /// Whether every vector is looked at. Otherwise a search among more than 20,000 goes along a graph if the memory
    /// has one, which finds nearly all that it should; scores are exact in either case.
    pub exact: bool,
    /// How many hits to return at the most; 10 by default.
    pub top_k: usize,
    /// How long a snippet may be, in characters; 200 by default.
    pub snippet_chars: usize,
    /// Which documents are considered at all.
    pub filter: Filter,
    /// The commit to read at; the newest by default. What is visible there, and the statistics of the ranking, are what they
    /// were when it was the newest.
    pub at: Option<Selector>,
    /// The time to read at: the newest commit that was there then, of the history of `at` if that is set too. memvid's
    /// `as_of_ts`.
    pub at_timestamp: Option<Timestamp>,
    /// Where to go on: the [`next_cursor`](SearchResponse::next_cursor) of the page before. It serves
    /// the same query and filters, and brings the commit of that page; `top_k` and what is shown may change.
    pub cursor: Option<String>,
    /// Whether to count all hits. Otherwise `total_hits` may be a lower bound, which costs less.
    pub count: bool,
}

/// How the text of a query is read.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("notes.mv2");
/// use mv2::{Memvid, SearchRequest, Syntax};
///
/// let mut mem = Memvid::create(&path)?;
/// mem.put_bytes(b"Caroline read a novel on becoming oneself")?;
/// mem.commit()?;
/// let asked = r#"novel "Becoming Nicole""#;
/// let found = |syntax| {
///     let request = SearchRequest::builder(asked).syntax(syntax).build();
///     mem.search(request).map(|response| response.hits.len())
/// };
/// assert_eq!(found(Syntax::Query)?, 0);
/// assert_eq!(found(Syntax::Words)?, 1);
/// # Ok::<(), mv2::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Syntax {
    /// Words, `"phrases"`, `+must`, `-not`, `field:value`, `tag:k=v`, `date:[2024 TO *]`, `AND`/`OR`/`NOT`
    /// and parentheses: for queries that a person or a program writes as such.
    ///
    /// Dates are event times, written as [`When`](crate::When) reads them and relative to the clock of the
    /// [options](crate::OpenOptions::clock); on later pages, to the time of the first one.
    ///
    /// What cannot be understood as such, and a sentence whose quotes, signs or parentheses are
    /// punctuation, is searched as plain words; the response carries a warning then.
    #[default]
    Query,
    /// Plain words, ranked, whatever the text holds: for text as it comes, such as the question of
    /// an agent's user or a passage that similar ones are sought for. Nothing in it is required or
    /// excluded. Filters go into the fields of the request.
    Words,
}

impl SearchRequest {
    /// Starts from a query and the defaults.
    pub fn builder(query: impl Into<String>) -> SearchRequestBuilder {
        SearchRequestBuilder {
            request: Self {
                query: query.into(),
                ..Self::default()
            },
        }
    }
}

impl Default for SearchRequest {
    fn default() -> Self {
        Self {
            query: String::new(),
            syntax: Syntax::Query,
            mode: Mode::Hybrid,
            vector: None,
            like: None,
            exact: false,
            top_k: 10,
            snippet_chars: 200,
            filter: Filter::default(),
            at: None,
            at_timestamp: None,
            cursor: None,
            count: false,
        }
    }
}

impl From<&str> for SearchRequest {
    fn from(query: &str) -> Self {
        Self::builder(query).build()
    }
}

/// Makes a [`SearchRequest`] step by step.
#[derive(Clone, Debug)]
#[must_use]
pub struct SearchRequestBuilder {
    request: SearchRequest,
}

impl SearchRequestBuilder {
    /// Sets [`SearchRequest::syntax`].
    pub fn syntax(mut self, syntax: Syntax) -> Self {
        self.request.syntax = syntax;
        self
    }

    /// Sets [`SearchRequest::mode`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.request.mode = mode;
        self
    }

    /// Sets [`SearchRequest::vector`].
    pub fn vector(mut self, vector: Vec<f32>) -> Self {
        self.request.vector = Some(vector);
        self
    }

    /// Sets [`SearchRequest::like`].
    pub fn like(mut self, frame: impl Into<FrameId>) -> Self {
        self.request.like = Some(frame.into());
        self
    }

    /// Sets [`SearchRequest::exact`].
    pub fn exact(mut self, exact: bool) -> Self {
        self.request.exact = exact;
        self
    }

    /// Sets [`SearchRequest::top_k`].
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.request.top_k = top_k;
        self
    }

    /// Sets [`SearchRequest::snippet_chars`].
    pub fn snippet_chars(mut self, chars: usize) -> Self {
        self.request.snippet_chars = chars;
        self
    }

    filter_steps!();

    past_steps!(SearchRequest, request);

    /// Sets [`SearchRequest::cursor`].
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.request.cursor = Some(cursor.into());
        self
    }

    /// Sets [`SearchRequest::count`].
    pub fn count(mut self, count: bool) -> Self {
        self.request.count = count;
        self
    }

    /// The finished request.
    pub fn build(self) -> SearchRequest {
        self.request
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SearchResponse {
    /// The query as it was asked.
    pub query: String,
    /// Which indexes were asked.
    pub mode: Mode,
    /// The commit that was searched.
    pub commit: CommitId,
    /// The branch that it was read on; see [`Snapshot::branch`](crate::Snapshot::branch).
    pub branch: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// How many documents match, or at least do.
    pub total_hits: u64,
    /// Whether `total_hits` is exact.
    pub total_relation: TotalRelation,
    /// What was odd about the query, for a person to read.
    pub warning: Option<String>,
    /// Where to go on; `None` if nothing follows. The page there may be empty, if `total_relation` is
    /// not [`TotalRelation::Eq`].
    pub next_cursor: Option<String>,
    /// The best hits, best first.
    pub hits: Vec<SearchHit>,
}

/// Which indexes a search asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Words and vectors in one list. Where a memory has no vectors, the query has operators or the embedder does not know
    /// its script, it is the words alone, and the response says [`Mode::Lex`].
    #[default]
    Hybrid,
    /// The words of the documents.
    Lex,
    /// The vectors of the documents: what is near in meaning, whatever the words.
    Vec,
}

/// The mode's name in JSON.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hybrid => f.write_str("hybrid"),
            Self::Lex => f.write_str("lex"),
            Self::Vec => f.write_str("vec"),
        }
    }
}

/// How a count relates to the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotalRelation {
    /// It is exact.
    Eq,
    /// It is a lower bound.
    Gte,
}

/// The relation's name in JSON.
impl fmt::Display for TotalRelation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "eq",
            Self::Gte => "gte",
        })
    }
}

/// One document that was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SearchHit {
    /// Its place in the answer, from 1.
    pub rank: usize,
    /// The frame.
    pub frame_id: FrameId,
    /// Its uri.
    pub uri: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// The part of its text that answers the query best.
    pub text: String,
    /// Where the query's words are in `text`, in bytes, ascending.
    pub matches: Vec<Range<usize>>,
    /// How well it matches. Comparable within one response.
    pub score: f32,
    /// What the lexical index said, if it was asked and the document is among its best: the first 100 of a hybrid search, and
    /// what follows them in the list.
    pub lex: Option<SideRank>,
    /// What the vectors said, if they were asked and it is among the nearest.
    pub vec: Option<SideRank>,
    /// The part of its text whose vector is nearest, in bytes, if it is among the nearest.
    pub part: Option<Range<u64>>,
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

/// A document's place in the list of one index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SideRank {
    /// Its place, from 1.
    pub rank: usize,
    /// Its score there.
    pub score: f32,
}
