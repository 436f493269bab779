//! Answering a search: by words, by vectors, or by both in one list.
//!
//! ```text
//! request -> words, dates, filters -> lexical index: its best -\
//!         \-> a vector             -> vectors: their best     --> fusion -> a page of hits, with snippets
//! ```

#[cfg(feature = "vec")]
use std::collections::HashSet;
use std::ops::Range;
#[cfg(feature = "vec")]
use std::sync::Arc;
use std::time::Instant;

#[cfg(feature = "vec")]
use mv2_embed::Embedder;
use mv2_format::payload::LARGE_PAYLOAD_BYTES;
use mv2_format::{BoxError, Frame, FrameId, FrameSet, Timestamp};
use mv2_lex::{DocText, Document, Query, Reader, Results, SearchOptions, TextSource, UriFilter};
use mv2_store::Snapshot;
use mv2_time::When;

use crate::cursor::SearchCursor;
use crate::error::{Error, Result};
use crate::indexes::Indexes;
use crate::search::{
    Mode, SearchHit, SearchRequest, SearchResponse, SideRank, Syntax, TotalRelation,
};
use crate::text;
#[cfg(feature = "vec")]
use crate::{
    fusion::{self, Candidate, DEPTH},
    vectors::Space,
};

/// A list of hits, before it is cut into pages.
struct List {
    /// Which indexes it comes from.
    mode: Mode,
    hits: Vec<Ranked>,
    total: u64,
    total_is_exact: bool,
    /// What a person should know about it.
    warning: Option<String>,
}

/// A frame in a list.
struct Ranked {
    frame: FrameId,
    score: f32,
    lex: Option<SideRank>,
    vec: Option<SideRank>,
    /// The part of the text whose vector is nearest.
    range: Option<Range<u64>>,
}

/// Answers a request from a snapshot. `now` is what dates in the query are relative to, on the first page.
pub(crate) fn search(
    snapshot: &Snapshot,
    indexes: &Indexes,
    request: SearchRequest,
    now: Timestamp,
) -> Result<SearchResponse> {
    let start = Instant::now();
    // What is wrong with the question is said before the file is looked at.
    let times = request.filter.times()?;
    let commit = snapshot.commit_id();
    let cursor = SearchCursor::of(&request, commit)?;
    // "2h ago" has moved on since the first page; the same words mean the same page here.
    let now = cursor.map_or(now, |cursor| cursor.asked_at());
    let offset = cursor.map_or(0, |cursor| cursor.offset());
    let reader = indexes.lexical.reader(snapshot)?;
    let asked = Asked::read(&request, now);
    let frames = |range: &mv2_time::Query| indexes.temporal.frames(snapshot, range);
    let options = SearchOptions {
        top_k: offset.saturating_add(request.top_k),
        frames: times.as_ref().map(frames).transpose()?,
        dates: asked
            .dates
            .iter()
            .map(frames)
            .collect::<Result<Vec<FrameSet>>>()?,
        ..search_options(&request)
    };
    let asker = Asker {
        snapshot,
        indexes,
        request: &request,
        query: &asked.query,
        reader: &reader,
        options: &options,
    };
    let list = asker.list()?;
    let end = list.hits.len().min(options.top_k);
    let shown = list.hits.iter().enumerate().take(end).skip(offset);
    let hits = shown
        .map(|(at, ranked)| asker.hit(at + 1, ranked))
        .collect::<Result<Vec<_>>>()?;
    let at_end = list.total_is_exact && list.total <= end as u64;
    let full = request.top_k > 0 && hits.len() == request.top_k;
    let next_cursor =
        (full && !at_end).then(|| SearchCursor::behind(&request, commit, end, now).to_string());
    let warnings: Vec<String> = asked.warning.into_iter().chain(list.warning).collect();
    Ok(SearchResponse {
        query: request.query,
        mode: list.mode,
        commit,
        branch: snapshot.branch().map(str::to_owned),
        took_ms: start.elapsed().as_secs_f64() * 1e3,
        total_hits: list.total,
        total_relation: if list.total_is_exact {
            TotalRelation::Eq
        } else {
            TotalRelation::Gte
        },
        warning: (!warnings.is_empty()).then(|| warnings.join("; ")),
        next_cursor,
        hits,
    })
}

/// One search on its way.
struct Asker<'a> {
    snapshot: &'a Snapshot,
    indexes: &'a Indexes,
    request: &'a SearchRequest,
    query: &'a Query,
    reader: &'a Reader,
    options: &'a SearchOptions,
}

impl Asker<'_> {
    fn list(&self) -> Result<List> {
        #[cfg(feature = "vec")]
        return self.list_with_vectors();
        #[cfg(not(feature = "vec"))]
        {
            if self.request.mode == Mode::Vec || self.request.vector.is_some() {
                return Err(Error::NoIndex { index: "vectors" });
            }
            self.by_words(None)
        }
    }

    fn words(&self, top_k: usize) -> Result<Results> {
        let options = SearchOptions {
            top_k,
            ..self.options.clone()
        };
        self.reader
            .search(self.query, &options, &SnapshotText(self.snapshot))
            .map_err(|error| self.indexes.lexical.failed(error))
    }

    fn by_words(&self, warning: Option<String>) -> Result<List> {
        let found = self.words(self.options.top_k)?;
        let hits = found.hits.iter().enumerate().map(|(at, hit)| Ranked {
            frame: hit.frame,
            score: hit.score,
            lex: Some(SideRank {
                rank: at + 1,
                score: hit.score,
            }),
            vec: None,
            range: None,
        });
        Ok(List {
            mode: Mode::Lex,
            hits: hits.collect(),
            total: found.total,
            total_is_exact: found.total_is_exact,
            warning,
        })
    }

    fn hit(&self, rank: usize, ranked: &Ranked) -> Result<SearchHit> {
        let range_end = ranked.range.as_ref().map_or(0, |range| range.end);
        let mut frame = read_head(self.snapshot, ranked.frame, range_end.max(SNIPPET_BYTES))?;
        let doc = take_doc(&mut frame);
        let chars = self.request.snippet_chars;
        let mut snippet = mv2_lex::snippet(self.query, &doc, chars);
        if snippet.matches.is_empty()
            && let Some(part) = ranked
                .range
                .as_ref()
                .and_then(|range| part(&doc.text, range))
        {
            // Found by its meaning: the part that means it.
            let doc = DocText {
                title: None,
                text: part.to_owned(),
            };
            snippet = mv2_lex::snippet(self.query, &doc, chars);
        }
        let meta = frame.meta;
        Ok(SearchHit {
            rank,
            frame_id: ranked.frame,
            uri: meta.uri,
            title: meta.title,
            text: snippet.text,
            matches: snippet.matches,
            score: ranked.score,
            lex: ranked.lex,
            vec: ranked.vec,
            part: ranked.range.clone(),
            timestamp: meta.timestamp,
            commit: meta.commit,
            kind: meta.kind,
            tags: meta.tags,
            labels: meta.labels,
        })
    }
}

/// With vectors
#[cfg(feature = "vec")]
impl Asker<'_> {
    fn list_with_vectors(&self) -> Result<List> {
        let (mode, like) = (self.request.mode, self.request.like);
        let no_words = self.request.vector.is_some() && self.query.is_empty();
        let only = mode == Mode::Vec || like.is_some() || (no_words && mode == Mode::Hybrid);
        if mode == Mode::Lex && !only {
            return self.by_words(None);
        }
        // Who writes operators asks for words.
        let plain = self.query.is_plain() && !self.query.is_empty();
        if !only && !plain && self.request.vector.is_none() {
            return self.by_words(None);
        }
        let without = || match only {
            true => Ok(self.nothing("the memory has no vectors")),
            false => self.by_words(None),
        };
        let Some(space) = Space::of(self.snapshot)? else {
            return without();
        };
        let searcher = self.indexes.vectors.searcher(self.snapshot, &space)?;
        // As in a memory that never had any: what is not visible must not matter.
        if searcher.visible_rows() == 0 {
            return without();
        }
        let question = match &like {
            Some(frame) => self.vector_like(&searcher, *frame)?,
            None => self.question(&space)?,
        };
        match question {
            Question::Vector { vector, .. } if only => self.by_vectors(&searcher, &vector),
            Question::Vector {
                vector,
                weight,
                reading,
            } => self.by_both(&searcher, &vector, weight, reading.as_ref()),
            Question::None(why) if only => Ok(self.nothing(&why.unwrap_or_default())),
            Question::None(why) => self.by_words(why),
        }
    }

    /// The vector of what is asked, and how much it counts beside the words.
    fn question(&self, space: &Space) -> Result<Question> {
        if let Some(vector) = &self.request.vector {
            return Ok(Question::Vector {
                vector: vector.clone(),
                weight: WEIGHT_OF_GIVEN,
                reading: None,
            });
        }
        if space.embedder.is_none() {
            let why = "the memory's vectors are the caller's, and so is the one to search with";
            return Ok(Question::None(
                (self.request.mode == Mode::Vec).then(|| why.to_owned()),
            ));
        }
        let Some(embedder) = self.indexes.embedders.of(Some(space)) else {
            return Ok(Question::None(None));
        };
        if embedder.spec().identity() != space.spec.model {
            let error = Error::EmbedderMismatch {
                stored: space.embedder_name(),
                given: embedder.spec().name.clone(),
            };
            return match self.request.mode {
                Mode::Vec => Err(error),
                _ => Ok(Question::None(Some(format!("{error}; searched by words")))),
            };
        }
        let text = &self.request.query;
        if let Err(why) = embedder.check(text) {
            let why = format!("the query has no vector: {why}");
            return Ok(Question::None(
                (self.request.mode == Mode::Vec).then_some(why),
            ));
        }
        // A query that the model knows in part is trusted in part.
        let trust = f64::from((2.0 * embedder.coverage(text) - 1.0).clamp(0.0, 1.0));
        let mut vector = Vec::new();
        embedder.embed(&[text], mv2_embed::Role::Query, &mut vector)?;
        Ok(Question::Vector {
            vector,
            weight: f64::from(embedder.fusion_weight()) * trust,
            reading: Some(Reading {
                floor: embedder.relevance_floor(text),
                embedder,
                trust,
            }),
        })
    }

    /// The mean of a frame's vectors.
    fn vector_like(&self, searcher: &mv2_vec::Searcher, frame: FrameId) -> Result<Question> {
        let rows = searcher.vectors_of(frame);
        let rows = rows.map_err(|error| self.indexes.vectors.failed(error))?;
        let Some((_, first)) = rows.first() else {
            let why = format!("frame {frame} has no vector");
            return Ok(Question::None(Some(why)));
        };
        let mut vector = vec![0.0; first.len()];
        for (_, row) in &rows {
            for (sum, value) in vector.iter_mut().zip(row) {
                *sum += value / rows.len() as f32;
            }
        }
        Ok(Question::Vector {
            vector,
            weight: 1.0,
            reading: None,
        })
    }

    fn nothing(&self, why: &str) -> List {
        List {
            mode: Mode::Vec,
            hits: Vec::new(),
            total: 0,
            total_is_exact: true,
            warning: (!why.is_empty()).then(|| why.to_owned()),
        }
    }

    /// The nearest frames that pass the filters.
    fn nearest(
        &self,
        searcher: &mv2_vec::Searcher,
        vector: &[f32],
        top_k: usize,
    ) -> Result<Vec<mv2_vec::Hit>> {
        let filter = self.reader.filtered(self.options);
        let filter = filter.map_err(|error| self.indexes.lexical.failed(error))?;
        let filter: Option<mv2_vec::FrameSet> = filter.map(|set| {
            let ids = set
                .runs()
                .iter()
                .flat_map(|run| run.start.get()..run.end.get());
            ids.map(FrameId).collect()
        });
        let options = mv2_vec::VecSearchOptions {
            top_k,
            filter: filter.as_ref(),
            exact: self.request.exact,
            ..mv2_vec::VecSearchOptions::default()
        };
        let found = searcher.search(vector, &options);
        found.map_err(|error| self.indexes.vectors.failed(error))
    }

    fn by_vectors(&self, searcher: &mv2_vec::Searcher, vector: &[f32]) -> Result<List> {
        let wanted = self.options.top_k + usize::from(self.request.like.is_some());
        let mut found = self.nearest(searcher, vector, wanted)?;
        let total_is_exact = found.len() < wanted;
        found.retain(|hit| Some(hit.frame) != self.request.like);
        let total = found.len() as u64;
        let hits = found.into_iter().enumerate().map(|(at, hit)| Ranked {
            frame: hit.frame,
            score: hit.score,
            lex: None,
            vec: Some(SideRank {
                rank: at + 1,
                score: hit.score,
            }),
            range: Some(hit.range),
        });
        Ok(List {
            mode: Mode::Vec,
            hits: hits.collect(),
            total,
            total_is_exact,
            warning: None,
        })
    }

    /// Compares the best of the fused list with the question more closely, if the embedder can.
    fn look_again(&self, fused: &mut [(Candidate, f32)], reading: &Reading) -> Result<()> {
        let Some(mut comparison) = reading.embedder.comparison(&self.request.query) else {
            return Ok(());
        };
        let mut likeness = Vec::with_capacity(fusion::SECOND_LOOK);
        for (candidate, _) in fused.iter().take(fusion::SECOND_LOOK) {
            let bytes = crate::embedding::MAX_TEXT_BYTES as u64;
            let doc = take_doc(&mut read_head(self.snapshot, candidate.frame, bytes)?);
            let text = match &doc.title {
                Some(title) => format!("{title}\n{}", doc.text),
                None => doc.text,
            };
            likeness.push(comparison.compare(&text));
        }
        fusion::look_again(fused, &likeness, reading.trust);
        Ok(())
    }

    /// Fuses the best of both sides; what the words find beyond them follows in its own order.
    fn by_both(
        &self,
        searcher: &mv2_vec::Searcher,
        vector: &[f32],
        weight: f64,
        reading: Option<&Reading>,
    ) -> Result<List> {
        let words = self.words(self.options.top_k.max(DEPTH))?;
        let near = self.nearest(searcher, vector, DEPTH)?;
        let best = &words.hits[..words.hits.len().min(DEPTH)];
        let mut seen: HashSet<FrameId> = HashSet::new();
        let frames: Vec<FrameId> = best
            .iter()
            .map(|hit| hit.frame)
            .chain(near.iter().map(|hit| hit.frame))
            .filter(|frame| seen.insert(*frame))
            .collect();
        let lex = self.reader.score_frames(self.query, &frames);
        let lex = lex.map_err(|error| self.indexes.lexical.failed(error))?;
        let vec = searcher.score_frames(vector, &frames);
        let vec = vec.map_err(|error| self.indexes.vectors.failed(error))?;
        let candidates: Vec<Candidate> = frames
            .iter()
            .zip(lex.into_iter().zip(vec))
            .map(|(frame, (lex, vec))| Candidate {
                frame: *frame,
                lex,
                vec,
            })
            // What has no word of the question has to mean the same.
            .filter(|found| {
                let near = |similarity| reading.is_none_or(|reading| reading.answers(similarity));
                found.lex.is_some() || found.vec.is_some_and(near)
            })
            .collect();
        // Where few documents have a word of the query, the rest of the best are some that have none: so the one document
        // with a rare name stands out as far as it should.
        let mut lex_scores: Vec<f32> = best.iter().map(|hit| hit.score).collect();
        let documents = usize::try_from(self.reader.visible()).unwrap_or(usize::MAX);
        lex_scores.resize(DEPTH.min(documents).max(best.len()), 0.0);
        let vec_scores: Vec<f32> = near.iter().map(|hit| hit.score).collect();
        let lex_rank = |frame| {
            let at = best.iter().position(|hit| hit.frame == frame)?;
            Some(SideRank {
                rank: at + 1,
                score: best[at].score,
            })
        };
        let by_meaning = candidates
            .iter()
            .filter(|found| found.lex.is_none())
            .count();
        let mut fused = fusion::fuse(&candidates, &lex_scores, &vec_scores, weight);
        // What the model does not know at all it cannot look at more closely.
        if let Some(reading) = reading.filter(|reading| reading.trust > 0.0) {
            self.look_again(&mut fused, reading)?;
        }
        let floor = fused.last().map_or(0.0, |(_, score)| *score);
        let mut hits: Vec<Ranked> = fused
            .iter()
            .map(|(candidate, score)| {
                let at = near.iter().position(|hit| hit.frame == candidate.frame);
                Ranked {
                    frame: candidate.frame,
                    score: *score,
                    lex: lex_rank(candidate.frame),
                    vec: at.map(|at| SideRank {
                        rank: at + 1,
                        score: near[at].score,
                    }),
                    range: at.map(|at| near[at].range.clone()),
                }
            })
            .collect();
        let rest = words.hits.iter().enumerate().skip(best.len());
        hits.extend(
            rest.filter(|(_, hit)| !seen.contains(&hit.frame))
                .map(|(at, hit)| Ranked {
                    frame: hit.frame,
                    score: floor,
                    lex: Some(SideRank {
                        rank: at + 1,
                        score: hit.score,
                    }),
                    vec: None,
                    range: None,
                }),
        );
        Ok(List {
            mode: Mode::Hybrid,
            total: words.total + by_meaning as u64,
            total_is_exact: words.total_is_exact,
            hits,
            warning: None,
        })
    }
}

/// How much a vector that the caller gives counts beside the words of the query.
#[cfg(feature = "vec")]
const WEIGHT_OF_GIVEN: f64 = 0.4;

/// What is asked, as a vector.
#[cfg(feature = "vec")]
enum Question {
    Vector {
        vector: Vec<f32>,
        weight: f64,
        /// `None` where the question is no text.
        reading: Option<Reading>,
    },
    /// There is none, and why if a person should know.
    None(Option<String>),
}

/// What a model makes of a question.
#[cfg(feature = "vec")]
struct Reading {
    embedder: Arc<dyn Embedder>,
    /// How far it knows the question, 0 to 1.
    trust: f64,
    /// How near a frame without a word of the question has to be; `None` if no such frame will do.
    floor: Option<f32>,
}

#[cfg(feature = "vec")]
impl Reading {
    /// Whether a frame so near is a hit without a word of the question.
    fn answers(&self, similarity: f32) -> bool {
        self.floor.is_some_and(|floor| similarity >= floor)
    }
}

/// A range of a text, as far as it is one.
fn part<'a>(text: &'a str, range: &Range<u64>) -> Option<&'a str> {
    let at = |offset: u64| usize::try_from(offset).ok();
    text.get(at(range.start)?..at(range.end)?.min(text.len()))
        .filter(|part| part.len() < text.len())
}

/// What a request asks for, read.
pub(crate) struct Asked {
    pub(crate) query: Query,
    /// What the query's date ranges mean, in their order.
    dates: Vec<mv2_time::Query>,
    /// What was odd about it.
    warning: Option<String>,
}

impl Asked {
    /// Reads a request. Dates are relative to `now`. What cannot be understood is taken as words.
    pub(crate) fn read(request: &SearchRequest, now: Timestamp) -> Self {
        let words = |warning| Self {
            query: Query::words(&request.query),
            dates: Vec::new(),
            warning,
        };
        if request.syntax == Syntax::Words {
            return words(None);
        }
        let parsed = Query::parse(&request.query);
        let dates = parsed.query.dates();
        let dates: mv2_time::Result<Vec<_>> =
            dates.map(|(from, to)| date_range(from, to, now)).collect();
        match dates {
            Ok(dates) => Self {
                query: parsed.query,
                dates,
                warning: parsed.warning,
            },
            Err(problem) => words(Some(format!(
                "{problem}; searched for the plain words instead"
            ))),
        }
    }
}

/// What the bounds of `date:[from TO to]` mean. A star is no bound.
fn date_range(from: &str, to: &str, now: Timestamp) -> mv2_time::Result<mv2_time::Query> {
    let bound = |text: &str, side: fn(&When) -> Timestamp| match text {
        "*" => Ok(None),
        text => When::parse(text, now).map(|when| Some(side(&when))),
    };
    let range = mv2_time::Query {
        since: bound(from, When::start)?,
        until: bound(to, When::end)?,
        ..mv2_time::Query::default()
    };
    range.check()?;
    Ok(range)
}

fn search_options(request: &SearchRequest) -> SearchOptions {
    let filter = &request.filter;
    SearchOptions {
        tags: filter.tags.clone(),
        labels: filter.labels.clone(),
        kind: filter.kind.clone(),
        track: filter.track.clone(),
        uri: filter.uri.as_deref().map(uri_filter),
        count: request.count,
        ..SearchOptions::default()
    }
}

fn uri_filter(uri: &str) -> UriFilter {
    match uri.strip_suffix('*') {
        Some(prefix) => UriFilter::Prefix(prefix.to_owned()),
        None => UriFilter::Exact(uri.to_owned()),
    }
}

/// Where the lexical index gets the texts that it does not store.
struct SnapshotText<'a>(&'a Snapshot);

impl TextSource for SnapshotText<'_> {
    fn text(&self, frame: FrameId) -> Result<DocText, BoxError> {
        Ok(take_doc(&mut self.0.frame(frame)?))
    }

    fn document(&self, frame: FrameId) -> Result<Document, BoxError> {
        let mut head = self.0.frame_head(frame, LARGE_PAYLOAD_BYTES)?;
        if head.meta.payload_is_text() && head.meta.payload_len > LARGE_PAYLOAD_BYTES {
            return Ok(Document::Large {
                title: head.meta.title,
                payload: self.0.payload_reader(frame)?,
            });
        }
        Ok(Document::Whole(take_doc(&mut head)))
    }
}

fn take_doc(frame: &mut Frame) -> DocText {
    DocText {
        title: frame.meta.title.clone(),
        text: text::take_text(frame),
    }
}

/// How much of a text a snippet is cut from.
const SNIPPET_BYTES: u64 = mv2_lex::MAX_SNIPPET_SCAN_BYTES as u64;

/// A frame with a little more than the first `bytes` of its text: large ones are not read as a whole to show a part.
fn read_head(snapshot: &Snapshot, id: FrameId, bytes: u64) -> Result<Frame> {
    // A byte order mark, and a character that is cut.
    let bytes = bytes.saturating_add(16);
    let frame = snapshot.frame_head(id, bytes);
    frame.map_err(|error| Error::Unreadable {
        frame: id,
        source: error.into(),
    })
}
