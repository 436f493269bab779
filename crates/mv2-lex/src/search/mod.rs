//! Searching the visible frames of a snapshot: statistics, ranking in two phases, filters.
//!
//! The ranking is defined without regard to segments (`FORMAT.md`, section "Ranking"). Two paths
//! lead to it: plain words go through tantivy's block-max pruning and are rescored exactly;
//! operators, phrases and narrow filters are evaluated as sets of documents first.

mod conditions;
mod phrase;
mod prune;
mod score;
#[cfg(test)]
mod tests;
mod walk;

use mv2_format::{BoxError, FrameId, FrameSet, PayloadReader};
use tantivy::{DocId, Term};

use crate::bits::DocBits;
use crate::error::{Error, Result, guard};
use crate::query::{Node, Query, RawFilter};
use crate::schema::{self, TextField};
use crate::view::SegmentView;
use conditions::Evaluation;
use score::Scorer;

/// Hits that the second phase orders at a time.
pub(crate) const BLOCK_HITS: usize = 100;
/// A filter that leaves at most one document in so many is answered by looking at each of them.
const NARROW_FILTER: u64 = 64;

/// The text of a frame, as the index saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocText {
    /// The frame's title.
    pub title: Option<String>,
    /// What [`Frame::text`](mv2_format::Frame::text) gives.
    pub text: String,
}

/// A frame's text: as a whole, or piece by piece.
#[derive(Clone, Debug)]
pub enum Document {
    /// As a whole.
    Whole(DocText),
    /// A payload that is large.
    Large {
        /// The frame's title.
        title: Option<String>,
        /// The payload, which is the text.
        payload: PayloadReader,
    },
}

/// Where the texts of frames come from, to verify quoted phrases: the index does not hold them.
pub trait TextSource {
    /// The text of a frame.
    ///
    /// # Errors
    /// Whatever keeps the text from being read; the search fails with [`Error::Text`].
    fn text(&self, frame: FrameId) -> Result<DocText, BoxError>;

    /// The same, where a large text need not be in memory as a whole.
    ///
    /// # Errors
    /// As for [`text`](Self::text).
    fn document(&self, frame: FrameId) -> Result<Document, BoxError> {
        self.text(frame).map(Document::Whole)
    }
}

/// Which uris a hit may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UriFilter {
    /// This one.
    Exact(String),
    /// All that begin so.
    Prefix(String),
}

/// What to search for besides the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchOptions {
    /// Most hits to return.
    pub top_k: usize,
    /// Tags that a hit must have, key and value. All of them.
    pub tags: Vec<(String, String)>,
    /// The uri, or how it must begin.
    pub uri: Option<UriFilter>,
    /// Labels that a hit must have. All of them.
    pub labels: Vec<String>,
    /// The kind that a hit must have.
    pub kind: Option<String>,
    /// The track that a hit must have.
    pub track: Option<String>,
    /// The frames that a hit must be one of.
    pub frames: Option<FrameSet>,
    /// The frames of each date range of the query, in the order of [`Query::dates`]. One that is missing
    /// here is taken for a range without frames.
    pub dates: Vec<FrameSet>,
    /// Whether to count all matches exactly, which costs a pass over all postings.
    pub count: bool,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            top_k: 10,
            tags: Vec::new(),
            uri: None,
            labels: Vec::new(),
            kind: None,
            track: None,
            frames: None,
            dates: Vec::new(),
            count: false,
        }
    }
}

/// A frame that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The frame.
    pub frame: FrameId,
    /// Its score: the BM25 sum over all words of the query. Not comparable between queries.
    pub score: f32,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Results {
    /// The best frames, best first.
    pub hits: Vec<Hit>,
    /// Number of frames that match, or a lower bound of it.
    pub total: u64,
    /// Whether `total` is exact.
    pub total_is_exact: bool,
}

/// Searches the segments of one snapshot. Cheap to make: make one for each commit.
///
/// ```
/// # fn main() -> mv2_lex::Result<()> {
/// use std::sync::Arc;
///
/// use mv2_format::{BoxError, Frame, FrameId, FrameMeta};
/// use mv2_lex::{DocText, Query, Reader, SearchOptions, Segment, SegmentView, TextSource};
///
/// struct Texts(Vec<Frame>);
/// impl TextSource for Texts {
///     fn text(&self, frame: FrameId) -> Result<DocText, BoxError> {
///         let text = self.0[frame.get() as usize].text().to_owned();
///         Ok(DocText { title: None, text })
///     }
/// }
///
/// let frames: Vec<Frame> = ["the deep sea", "a calm lake"]
///     .into_iter()
///     .zip(0..)
///     .map(|(text, id)| Frame {
///         meta: FrameMeta { id: FrameId(id), is_text: true, ..FrameMeta::default() },
///         payload: text.into(),
///     })
///     .collect();
/// let segment = Arc::new(Segment::build(&frames)?);
/// let reader = Reader::new(vec![SegmentView::new(segment, FrameId(2), &[])?])?;
/// let query = Query::parse("lakes").query;
/// let found = reader.search(&query, &SearchOptions::default(), &Texts(frames))?;
/// assert_eq!(found.hits[0].frame, FrameId(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Reader {
    views: Vec<SegmentView>,
    /// Visible frames.
    docs: u64,
    /// Their tokens: body, title, cjk.
    tokens: [u64; 3],
}

/// A document of one of the views.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    doc: DocId,
    frame: FrameId,
    /// Score of the first phase.
    content: f32,
    /// Score over all words.
    all: f32,
}

impl Candidate {
    fn new(view: &SegmentView, doc: DocId, score: f32) -> Result<Self> {
        Ok(Self {
            doc,
            frame: view.segment().frame(doc)?,
            content: score,
            all: score,
        })
    }
}

impl Reader {
    /// A reader over the views of a snapshot, in any order. Each frame is in one of them only.
    ///
    /// # Errors
    /// None at present; views have been checked where they were made.
    pub fn new(views: Vec<SegmentView>) -> Result<Self> {
        let docs = views.iter().map(SegmentView::visible).sum();
        let tokens = TextField::ALL.map(|field| {
            views
                .iter()
                .fold(0u64, |sum, view| sum.saturating_add(view.tokens(field)))
        });
        Ok(Self {
            views,
            docs,
            tokens,
        })
    }

    /// Number of frames that are visible.
    pub fn visible(&self) -> u64 {
        self.docs
    }

    /// Finds the best frames for a query.
    ///
    /// The order does not depend on how frames are spread over segments, nor on frames that are
    /// not visible: it is the order of a fresh index that holds the visible frames alone.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Index`] or [`Error::Panicked`] if a segment is damaged,
    /// [`Error::Text`] if a phrase could not be verified.
    pub fn search(
        &self,
        query: &Query,
        options: &SearchOptions,
        source: &dyn TextSource,
    ) -> Result<Results> {
        if query.is_empty() || self.docs == 0 {
            return Ok(Results {
                total_is_exact: true,
                ..Results::default()
            });
        }
        guard("searching", || {
            self.search_unguarded(query, options, source)
        })
    }

    fn search_unguarded(
        &self,
        query: &Query,
        options: &SearchOptions,
        source: &dyn TextSource,
    ) -> Result<Results> {
        let scorer = Scorer::new(self, query)?;
        let filters = self.filters(options)?;
        let narrow = filters.as_ref().is_some_and(|filters| {
            let left: u64 = filters.iter().map(DocBits::count).sum();
            left <= self.docs / NARROW_FILTER
        });
        let prunable = query.root.is_none() && !scorer.has_prefixes();
        if !prunable || narrow {
            let evaluation = Evaluation::new(self, query, options, &scorer, source);
            return evaluation.run(filters.as_deref());
        }
        let wanted = wanted(query, options);
        let (candidates, seen_all) = prune::top(self, query, &scorer, filters.as_deref(), wanted)?;
        let found = candidates.len() as u64;
        let hits = ranked(query, candidates, options.top_k);
        let (total, total_is_exact) = if options.count {
            let evaluation = Evaluation::new(self, query, options, &scorer, source);
            (evaluation.count(filters.as_deref())?, true)
        } else {
            (found, seen_all)
        };
        Ok(Results {
            hits,
            total,
            total_is_exact,
        })
    }

    /// The visible frames that pass the filters of the options, for another index to search in; `None` if there are no
    /// filters. The query and its dates do not count.
    ///
    /// # Errors
    /// As for [`search`](Self::search).
    pub fn filtered(&self, options: &SearchOptions) -> Result<Option<FrameSet>> {
        guard("filtering", || {
            let Some(filters) = self.filters(options)? else {
                return Ok(None);
            };
            let mut frames = Vec::new();
            for (view, bits) in self.views.iter().zip(&filters) {
                for doc in bits.iter() {
                    frames.push(view.segment().frame(doc)?);
                }
            }
            Ok(Some(frames.into_iter().collect()))
        })
    }

    /// The scores of frames over all words of a query, whatever its operators; `None` for a frame without any of them, and for
    /// one that is not visible. The same numbers as in [`Hit::score`].
    ///
    /// # Errors
    /// As for [`search`](Self::search).
    pub fn score_frames(&self, query: &Query, frames: &[FrameId]) -> Result<Vec<Option<f32>>> {
        if query.is_empty() || self.docs == 0 || frames.is_empty() {
            return Ok(vec![None; frames.len()]);
        }
        guard("scoring", || {
            let scorer = Scorer::new(self, query)?;
            let mut order: Vec<usize> = (0..frames.len()).collect();
            order.sort_unstable_by_key(|at| frames[*at]);
            let mut scores = vec![None; frames.len()];
            for (index, view) in self.views.iter().enumerate() {
                let mut docs = Vec::new();
                let mut places = Vec::new();
                for &at in &order {
                    let doc = view.segment().doc(frames[at])?;
                    if let Some(doc) = doc.filter(|doc| view.is_visible(*doc))
                        && docs.last() != Some(&doc)
                    {
                        docs.push(doc);
                        places.push(at);
                    }
                }
                for (candidate, at) in scorer.score(view, index, &docs)?.iter().zip(places) {
                    scores[at] = (candidate.all > 0.0).then_some(candidate.all);
                }
            }
            Ok(scores)
        })
    }

    /// The documents that pass the filters, for each view; `None` without filters.
    fn filters(&self, options: &SearchOptions) -> Result<Option<Vec<DocBits>>> {
        let mut conditions = Vec::new();
        for (key, value) in &options.tags {
            let term = schema::tag_term(key, value);
            conditions.push(RawFilter::Term(Term::from_field_text(schema::tag(), &term)));
        }
        let mut raw = |field, value: &str| {
            let term = Term::from_field_text(field, &schema::raw_term(value));
            conditions.push(RawFilter::Term(term));
        };
        for label in &options.labels {
            raw(schema::label(), label);
        }
        if let Some(kind) = &options.kind {
            raw(schema::kind(), kind);
        }
        if let Some(track) = &options.track {
            raw(schema::track(), track);
        }
        match &options.uri {
            Some(UriFilter::Exact(uri)) => raw(schema::uri(), uri),
            Some(UriFilter::Prefix(prefix)) => {
                conditions.push(RawFilter::UriPrefix(prefix.clone()));
            }
            None => {}
        }
        if conditions.is_empty() && options.frames.is_none() {
            return Ok(None);
        }
        let bits = self.views.iter().map(|view| {
            let mut bits = view.visible_bits();
            for condition in &conditions {
                bits.and(&conditions::raw_bits(view, condition, &[])?);
            }
            if let Some(frames) = &options.frames {
                bits.and(&conditions::frame_bits(view, frames)?);
            }
            Ok(bits)
        });
        bits.collect::<Result<Vec<_>>>().map(Some)
    }
}

/// How many hits of the first phase the answer depends on.
fn wanted(query: &Query, options: &SearchOptions) -> usize {
    if query.has_second_phase() {
        options
            .top_k
            .div_ceil(BLOCK_HITS)
            .saturating_mul(BLOCK_HITS)
    } else {
        options.top_k
    }
}

/// Orders candidates of the first phase, then each block of them by the scores of all words.
fn ranked(query: &Query, mut candidates: Vec<Candidate>, top_k: usize) -> Vec<Hit> {
    sort(&mut candidates, |candidate| candidate.content);
    if query.has_second_phase() {
        candidates.truncate(top_k.div_ceil(BLOCK_HITS).saturating_mul(BLOCK_HITS));
        for block in candidates.chunks_mut(BLOCK_HITS) {
            sort(block, |candidate| candidate.all);
        }
    }
    candidates.truncate(top_k);
    candidates
        .into_iter()
        .map(|candidate| Hit {
            frame: candidate.frame,
            score: candidate.all,
        })
        .collect()
}

/// Best first, ties by frame.
fn sort(candidates: &mut [Candidate], score: impl Fn(&Candidate) -> f32) {
    candidates.sort_unstable_by(|a, b| score(b).total_cmp(&score(a)).then(a.frame.cmp(&b.frame)));
}

fn document_of(source: &dyn TextSource, frame: FrameId) -> Result<Document> {
    source
        .document(frame)
        .map_err(|source| Error::Text { frame, source })
}

/// Whether a node matches by being absent only.
fn is_negative(node: &Node) -> bool {
    matches!(node, Node::Group(group) if group.must.is_empty() && group.should.is_empty())
}
