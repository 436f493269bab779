//! The ranking against a naive oracle, over random segmentations, cut-offs and dead frames.
//!
//! The oracle knows no segment. It counts terms in the visible frames, adds BM25 up in the order
//! of the query, sorts everything, and rescores blocks of a hundred: the definition, line by line.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mv2_format::{BoxError, Frame, FrameId, FrameMeta, FrameSet, SegmentBytes};
use proptest::prelude::*;
use tantivy::fieldnorm::FieldNormReader;

use super::score::{K1, idf, norm};
use super::*;
use crate::analyser::analyse;
use crate::build::Builder;
use crate::container::{self, Section};
use crate::query::{Node, Query, Scope};
use crate::segment::Segment;

/// A small generator, so that each case is its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        // The square makes the first words frequent and the last ones rare.
        let at = self.below(words.len()) * self.below(words.len() + 1) / words.len();
        words[at.min(words.len() - 1)]
    }
}

const WORDS: [&str; 28] = [
    "sea",
    "the",
    "deep",
    "is",
    "fish",
    "running",
    "runs",
    "how",
    "lakes",
    "lake",
    "storm",
    "getUserName",
    "user_name",
    "東京",
    "東京都",
    "京都の庭",
    "カメラ",
    "harbour",
    "light",
    "house",
    "café",
    "version2",
    "of",
    "calm",
    "anchor",
    "mast",
    "keel",
    "水",
];

fn text(random: &mut Random, words: usize) -> String {
    (0..words)
        .map(|_| random.pick(&WORDS))
        .collect::<Vec<_>>()
        .join(" ")
}

struct World {
    frames: Vec<Frame>,
    visible: Vec<bool>,
    reader: Reader,
    /// The visible frames in one fresh segment.
    fresh: Option<Reader>,
}

impl TextSource for World {
    fn text(&self, frame: FrameId) -> Result<DocText, BoxError> {
        let at = self
            .frames
            .binary_search_by_key(&frame, |frame| frame.meta.id);
        let frame = &self.frames[at.map_err(|_| "no such frame")?];
        Ok(DocText {
            title: frame.meta.title.clone(),
            text: frame.text().to_owned(),
        })
    }
}

/// Many short documents with nearly the same words in all of them, so that most have equal scores.
fn uniform_world(random: &mut Random, docs: usize) -> World {
    let (odd, rare) = ([0, 1, 20][random.below(3)], 1 + random.below(40));
    let frames = (0..docs as u64)
        .map(|at| {
            let mut text = "deep sea storm of the lake".to_owned();
            if random.chance(odd) {
                text += [" anchor", " sea", " storm storm storm"][random.below(3)];
            }
            if random.below(docs) < rare {
                text += [" keel", " mast", " keel mast mast"][random.below(3)];
            }
            Frame {
                meta: FrameMeta {
                    id: FrameId(at * 2),
                    tags: vec![("n".to_owned(), random.below(3).to_string())],
                    is_text: true,
                    ..FrameMeta::default()
                },
                payload: text.into_bytes(),
            }
        })
        .collect();
    world_of(random, frames)
}

fn world(random: &mut Random, docs: usize) -> World {
    let mut id = random.below(1000) as u64;
    let gaps = random.chance(50);
    let long = 1 + random.below(40);
    let frames = (0..docs)
        .map(|at| {
            id += if gaps { 1 + random.below(5) as u64 } else { 1 };
            // Lengths drift, so that segments differ in their mean length.
            let words = random.below(long + at * 20 / docs);
            Frame {
                meta: FrameMeta {
                    id: FrameId(id),
                    uri: Some(format!("notes/{}/{}", random.below(4), random.below(50))),
                    title: random.chance(40).then(|| text(random, 3)),
                    tags: vec![("n".to_owned(), random.below(3).to_string())],
                    labels: vec![format!("l{}", random.below(200))],
                    is_text: true,
                    ..FrameMeta::default()
                },
                payload: text(random, words).into_bytes(),
            }
        })
        .collect();
    world_of(random, frames)
}

/// Some of the frames are invisible, and they are spread over segments somehow.
fn world_of(random: &mut Random, frames: Vec<Frame>) -> World {
    let docs = frames.len();
    let cutoff = match random.below(3) {
        0 => FrameId(u64::MAX),
        1 => frames[docs - 1].meta.id,
        _ => frames[random.below(docs)].meta.id,
    };
    let dead_percent = [0, 1, 10, 60, 98][random.below(5)];
    let dead: Vec<FrameId> = frames
        .iter()
        .filter(|_| random.chance(dead_percent))
        .map(|frame| frame.meta.id)
        .collect();
    let visible: Vec<bool> = frames
        .iter()
        .map(|frame| frame.meta.id < cutoff && dead.binary_search(&frame.meta.id).is_err())
        .collect();
    let reader = Reader::new(views(random, &frames, cutoff, &dead)).unwrap();
    let alive: Vec<&Frame> = frames
        .iter()
        .zip(&visible)
        .filter(|(_, visible)| **visible)
        .map(|(frame, _)| frame)
        .collect();
    let fresh = (!alive.is_empty()).then(|| {
        let segment = from_file(&Segment::build(alive).unwrap());
        let view = SegmentView::new(Arc::new(segment), FrameId(u64::MAX), &[]).unwrap();
        Reader::new(vec![view]).unwrap()
    });
    World {
        frames,
        visible,
        reader,
        fresh,
    }
}

/// The segment as it comes from a file: its postings are checked, and the best of them are known.
fn from_file(segment: &Segment) -> Segment {
    Segment::open(segment.bytes().clone()).unwrap()
}

/// Cuts frames into runs, and now and then deals them out so that segments interleave.
fn views(
    random: &mut Random,
    frames: &[Frame],
    cutoff: FrameId,
    dead: &[FrameId],
) -> Vec<SegmentView> {
    let count = 1 + random.below(5);
    let mut parts: Vec<Vec<&Frame>> = vec![Vec::new(); count];
    let interleave = random.chance(20);
    let cuts: Vec<usize> = (1..count).map(|_| random.below(frames.len())).collect();
    for (at, frame) in frames.iter().enumerate() {
        let part = match interleave {
            true => random.below(count),
            false => cuts.iter().filter(|cut| **cut <= at).count(),
        };
        parts[part].push(frame);
    }
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(|part| {
            // Positions are there or not; the answers are the same.
            let builder = Builder::new(random.chance(70));
            let ids: Vec<FrameId> = part.iter().map(|frame| frame.meta.id).collect();
            let mut segment = Segment::build_with(builder, part).unwrap();
            segment.verify().unwrap();
            if random.chance(70) {
                segment = from_file(&segment);
            }
            let visible = |id: &FrameId| *id < cutoff && dead.binary_search(id).is_err();
            let seen: Vec<FrameId> = ids.into_iter().filter(visible).collect();
            let segment = Arc::new(segment);
            match random.chance(50) {
                true => SegmentView::only(segment, &seen).unwrap(),
                false => SegmentView::new(segment, cutoff, dead).unwrap(),
            }
        })
        .collect()
}

/// What the oracle knows of a visible frame.
struct Doc<'a> {
    frame: &'a Frame,
    /// Term counts and length: body, title, cjk.
    fields: [(BTreeMap<String, u32>, u32); 3],
}

fn counted(terms: impl Iterator<Item = String>) -> (BTreeMap<String, u32>, u32) {
    let mut counts = BTreeMap::new();
    let mut length = 0;
    for term in terms {
        *counts.entry(term).or_default() += 1;
        length += 1;
    }
    (counts, length)
}

fn analysed(frame: &Frame) -> Doc<'_> {
    let title = frame.meta.title.as_deref().map(analyse).unwrap_or_default();
    let text = analyse(frame.text());
    let of = |cjk: bool, tokens: &[crate::Token]| {
        let tokens = tokens.iter().filter(move |token| token.cjk == cjk);
        tokens.map(|token| token.term.clone()).collect::<Vec<_>>()
    };
    let both = |cjk| of(cjk, &title).into_iter().chain(of(cjk, &text));
    Doc {
        frame,
        fields: [
            counted(both(false)),
            counted(of(false, &title).into_iter()),
            counted(both(true)),
        ],
    }
}

/// Occurrences of a term in a field of a document.
fn occurrences(doc: &Doc<'_>, field: TextField, scope: Scope, term: &str) -> u32 {
    let counts = &doc.fields[field.index()].0;
    match scope {
        Scope::CjkPrefix => counts
            .iter()
            .filter(|(text, _)| text.starts_with(term))
            .map(|(_, count)| count)
            .sum(),
        _ => counts.get(term).copied().unwrap_or(0),
    }
}

struct Oracle<'a> {
    docs: Vec<Doc<'a>>,
    /// Mean length of each field.
    means: [f32; 3],
}

impl<'a> Oracle<'a> {
    fn new(world: &'a World) -> Self {
        let visible = world.frames.iter().zip(&world.visible);
        let docs = visible
            .filter(|(_, visible)| **visible)
            .map(|(frame, _)| analysed(frame))
            .collect::<Vec<_>>();
        let means = [0, 1, 2].map(|field| {
            let lengths = docs
                .iter()
                .map(|doc: &Doc<'_>| u64::from(doc.fields[field].1));
            lengths.sum::<u64>() as f32 / docs.len() as f32
        });
        Self { docs, means }
    }

    /// Number of documents that hold each term of a query, in each field of its scope.
    fn doc_freqs(&self, query: &Query) -> Vec<[u64; 3]> {
        let count = |term: &crate::query::BagTerm, field| {
            let holds = |doc: &&Doc<'_>| occurrences(doc, field, term.scope, &term.text) > 0;
            self.docs.iter().filter(holds).count() as u64
        };
        query
            .terms
            .iter()
            .map(|term| TextField::ALL.map(|field| count(term, field)))
            .collect()
    }

    fn score(&self, query: &Query, doc: &Doc<'_>, freqs: &[[u64; 3]], content_only: bool) -> f32 {
        let total = self.docs.len() as u64;
        let mut score = 0.0f32;
        for (term, freqs) in query.terms.iter().zip(freqs) {
            for &(field, boost) in term.scope.fields() {
                let weight = if content_only { term.content } else { term.all };
                let count = occurrences(doc, field, term.scope, &term.text);
                if weight == 0.0 || count == 0 {
                    continue;
                }
                let id = FieldNormReader::fieldnorm_to_id(doc.fields[field.index()].1);
                let length = FieldNormReader::id_to_fieldnorm(id);
                let norm = norm(length, self.means[field.index()]);
                let idf = idf(freqs[field.index()], total);
                let count = count as f32;
                score += idf * (1.0 + K1) * (weight * boost) * (count / (count + norm));
            }
        }
        score
    }

    fn search(
        &self,
        query: &Query,
        top_k: usize,
        matches: impl Fn(&Doc<'_>) -> bool,
    ) -> (Vec<(FrameId, u32)>, u64) {
        let has_content = query.terms.iter().any(|term| term.content > 0.0);
        let freqs = self.doc_freqs(query);
        let mut found: Vec<(f32, f32, FrameId)> = self
            .docs
            .iter()
            .filter(|doc| matches(doc))
            .map(|doc| {
                let all = self.score(query, doc, &freqs, false);
                let first = if has_content {
                    self.score(query, doc, &freqs, true)
                } else {
                    all
                };
                (first, all, doc.frame.meta.id)
            })
            .collect();
        let total = found.len() as u64;
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
        if has_content {
            for block in found.chunks_mut(100) {
                block.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.2.cmp(&b.2)));
            }
        }
        let hits = found.iter().take(top_k).map(|hit| (hit.2, hit.1.to_bits()));
        (hits.collect(), total)
    }

    /// Plain words: any word that ranks.
    fn any(query: &Query, doc: &Doc<'_>) -> bool {
        let has_content = query.has_content();
        query.terms.iter().any(|term| {
            let ranks = term.content > 0.0 || !has_content;
            let (field, _) = term.scope.fields()[0];
            ranks && occurrences(doc, field, term.scope, &term.text) > 0
        })
    }

    fn node(query: &Query, dates: &[FrameSet], node: &Node, doc: &Doc<'_>, required: bool) -> bool {
        let holds = |term: &crate::query::MatchTerm| {
            let (field, _) = term.scope.fields()[0];
            occurrences(doc, field, term.scope, &term.text) > 0
        };
        match node {
            Node::Word(terms) if required => terms.iter().filter(|term| term.needed).all(holds),
            Node::Word(terms) => terms
                .iter()
                .filter(|term| term.content || !query.has_content())
                .any(holds),
            Node::Phrase(index) => {
                let text = DocText {
                    title: doc.frame.meta.title.clone(),
                    text: doc.frame.text().to_owned(),
                };
                phrase::occurs(&query.phrases[*index], &Document::Whole(text)).unwrap()
            }
            Node::Raw(RawFilter::Date(index)) => dates
                .get(*index)
                .is_some_and(|frames| frames.contains(doc.frame.meta.id)),
            Node::Raw(RawFilter::UriPrefix(prefix)) => doc
                .frame
                .meta
                .uri
                .as_deref()
                .unwrap_or_default()
                .starts_with(prefix),
            Node::Raw(RawFilter::Term(term)) => {
                let meta = &doc.frame.meta;
                let mut terms: HashSet<Term> = HashSet::new();
                for (key, value) in &meta.tags {
                    terms.insert(Term::from_field_text(
                        schema::tag(),
                        &schema::tag_term(key, value),
                    ));
                    terms.insert(Term::from_field_text(
                        schema::tag(),
                        &schema::tag_key_term(key),
                    ));
                }
                for label in &meta.labels {
                    terms.insert(Term::from_field_text(schema::label(), label));
                }
                let uri = meta.uri.as_deref().unwrap_or_default();
                terms.insert(Term::from_field_text(schema::uri(), uri));
                terms.contains(term)
            }
            Node::Group(group) => {
                let node = |node: &Node, required| Self::node(query, dates, node, doc, required);
                group.must.iter().all(|inner| node(inner, true))
                    && !group.not.iter().any(|inner| node(inner, true))
                    && (group.ranks_alone()
                        || group.should.is_empty()
                        || group.should.iter().any(|inner| node(inner, false)))
            }
        }
    }
}

fn bits(results: &Results) -> Vec<(FrameId, u32)> {
    results
        .hits
        .iter()
        .map(|hit| (hit.frame, hit.score.to_bits()))
        .collect()
}

/// Compares a search with the oracle, and with a fresh memory of the visible frames.
fn compare(
    world: &World,
    oracle: &Oracle<'_>,
    query: &Query,
    options: &SearchOptions,
    matches: impl Fn(&Doc<'_>) -> bool,
) {
    let found = world.reader.search(query, options, world).unwrap();
    let (expected, total) = oracle.search(query, options.top_k, matches);
    assert_eq!(bits(&found), expected, "{query:?} {options:?}");
    if found.total_is_exact {
        assert_eq!(found.total, total, "{query:?} {options:?}");
    } else {
        assert!(!options.count && found.total <= total && found.total >= expected.len() as u64);
    }
    if let Some(fresh) = &world.fresh {
        let fresh = fresh.search(query, options, world).unwrap();
        assert_eq!(bits(&fresh), expected, "fresh: {query:?} {options:?}");
    }
}

fn options(random: &mut Random) -> SearchOptions {
    SearchOptions {
        top_k: [1, 2, 5, 10, 99, 100, 101, 250][random.below(8)],
        count: random.chance(30),
        ..SearchOptions::default()
    }
}

/// A few runs of frames, or many scattered ones, some of them not in the memory.
fn frame_set(random: &mut Random, world: &World) -> FrameSet {
    let first = world.frames[0].meta.id.get();
    let span = world.frames[world.frames.len() - 1].meta.id.get() + 1 - first;
    let mut id = || FrameId(first.saturating_sub(3) + random.below(span as usize + 10) as u64);
    let pairs = [(id(), id()), (id(), id()), (id(), id())];
    match random.below(3) {
        0 => pairs[..1]
            .iter()
            .map(|(a, b)| *a.min(b)..*a.max(b))
            .collect(),
        1 => pairs
            .iter()
            .map(|(a, b)| *a..FrameId(b.get().min(a.get() + 3)))
            .collect(),
        _ => world
            .frames
            .iter()
            .map(|frame| frame.meta.id)
            .filter(|_| random.chance(40))
            .collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_equal_scores_are_the_oracles(seed: u64, docs in 1usize..1000) {
        let mut random = Random(seed);
        let world = uniform_world(&mut random, docs);
        let oracle = Oracle::new(&world);
        let words = ["sea", "storm", "deep", "keel", "mast", "anchor", "the", "of"];
        for _ in 0..16 {
            let asked: Vec<&str> = (0..1 + random.below(4)).map(|_| words[random.below(8)]).collect();
            let query = Query::words(&asked.join(" "));
            let mut options = options(&mut random);
            let value = random.below(3).to_string();
            if random.chance(30) {
                options.tags.push(("n".to_owned(), value));
            }
            compare(&world, &oracle, &query, &options, |doc| {
                Oracle::any(&query, doc) && options.tags.iter().all(|tag| doc.frame.meta.tags.contains(tag))
            });
        }
    }

    #[test]
    fn plain_words_rank_as_defined_whatever_the_segments(seed in any::<u64>()) {
        let mut random = Random(seed);
        let docs = [3, 30, 300, 2500][random.below(4)];
        let world = world(&mut random, docs);
        let oracle = Oracle::new(&world);
        for _ in 0..4 {
            let words = 1 + random.below(6);
            let query = Query::words(&text(&mut random, words));
            let options = options(&mut random);
            compare(&world, &oracle, &query, &options, |doc| Oracle::any(&query, doc));
        }
    }

    #[test]
    fn frames_score_as_they_do_in_a_search(seed in any::<u64>()) {
        let mut random = Random(seed);
        let world = world(&mut random, 300);
        let query = Query::words(&text(&mut random, 4));
        let all = SearchOptions { top_k: 1_000, ..SearchOptions::default() };
        let hits = world.reader.search(&query, &all, &world).unwrap().hits;
        let frames: Vec<FrameId> = world.frames.iter().map(|frame| frame.meta.id).rev().collect();
        let scores = world.reader.score_frames(&query, &frames).unwrap();
        for ((frame, score), visible) in frames.iter().zip(&scores).zip(world.visible.iter().rev()) {
            prop_assert!(*visible || score.is_none(), "{}", frame);
        }
        for (frame, score) in frames.iter().zip(scores) {
            let hit = hits.iter().find(|hit| hit.frame == *frame);
            // Function words alone make no hit, but they count.
            if let Some(hit) = hit {
                prop_assert_eq!(Some(hit.score), score, "{}", frame);
            }
        }
    }

    #[test]
    fn the_frames_that_pass_a_filter_are_told(seed in any::<u64>()) {
        let mut random = Random(seed);
        let world = world(&mut random, 300);
        let mut options = SearchOptions::default();
        prop_assert_eq!(world.reader.filtered(&options).unwrap(), None);
        options.tags.push(("n".to_owned(), "1".to_owned()));
        let passing = world.frames.iter().zip(&world.visible).filter(|(frame, visible)| {
            **visible && frame.meta.tags.contains(&options.tags[0])
        });
        let expected: FrameSet = passing.map(|(frame, _)| frame.meta.id).collect();
        prop_assert_eq!(world.reader.filtered(&options).unwrap(), Some(expected));
    }

    #[test]
    fn filters_leave_the_order_of_the_others(seed in any::<u64>()) {
        let mut random = Random(seed);
        let docs = [30, 300, 1000][random.below(3)];
        let world = world(&mut random, docs);
        let oracle = Oracle::new(&world);
        for _ in 0..4 {
            let query = Query::words(&text(&mut random, 3));
            let mut options = options(&mut random);
            match random.below(6) {
                4 => options.frames = Some(frame_set(&mut random, &world)),
                5 => {
                    options.frames = Some(frame_set(&mut random, &world));
                    options.tags.push(("n".to_owned(), "2".to_owned()));
                }
                0 => options.tags.push(("n".to_owned(), "1".to_owned())),
                1 => options.uri = Some(UriFilter::Prefix("notes/1".to_owned())),
                2 => options.uri = Some(UriFilter::Exact("notes/1/7".to_owned())),
                _ => options.labels.push("l7".to_owned()),
            }
            let passes = |doc: &Doc<'_>| {
                let meta = &doc.frame.meta;
                let uri = meta.uri.as_deref().unwrap_or_default();
                options.tags.iter().all(|tag| meta.tags.contains(tag))
                    && options.labels.iter().all(|label| meta.labels.contains(label))
                    && options.frames.as_ref().is_none_or(|frames| frames.contains(meta.id))
                    && match &options.uri {
                        None => true,
                        Some(UriFilter::Exact(exact)) => uri == exact,
                        Some(UriFilter::Prefix(prefix)) => uri.starts_with(prefix),
                    }
            };
            compare(&world, &oracle, &query, &options, |doc| {
                passes(doc) && Oracle::any(&query, doc)
            });
        }
    }

    #[test]
    fn operators_and_phrases_select_as_defined(seed in any::<u64>()) {
        let mut random = Random(seed);
        let docs = [30, 300, 1000][random.below(3)];
        let world = world(&mut random, docs);
        let oracle = Oracle::new(&world);
        for _ in 0..6 {
            let mut word = || random.pick(&WORDS);
            let (a, b, c) = (word(), word(), word());
            let asked = match random.below(16) {
                0 => format!("+{a} {b}"),
                1 => format!("{a} -{b}"),
                2 => format!("\"{a} {b}\""),
                3 => format!("{a} AND ({b} OR {c})"),
                4 => format!("({a} \"{b} {c}\") OR {c}"),
                5 => format!("\"{a} {b}\" {c} -\"{b} {c}\""),
                6 => format!("{a} tag:n=1 {b}"),
                7 => format!("{a} uri:notes/2* -{b}"),
                8 => format!("title:{a} {b}"),
                9 => format!("title:\"{a} {b}\" OR \"{c} {a}\""),
                10 => format!("NOT {a}"),
                11 => format!("{a} date:[x TO y] {b}"),
                12 => format!("({a} OR date:x) -{b} -date:y"),
                13 => format!("{a} AND date:x OR {b} NOT date:y"),
                14 => "date:[x TO *]".to_owned(),
                _ => format!("{a} label:l3 OR tag:n"),
            };
            let parsed = Query::parse(&asked);
            prop_assert!(parsed.warning.is_none(), "{}: {:?}", asked, parsed.warning);
            let query = parsed.query;
            let mut options = options(&mut random);
            // The set of the second range is missing now and then.
            for _ in 0..query.dates().count().min(1 + random.below(2)) {
                options.dates.push(frame_set(&mut random, &world));
            }
            compare(&world, &oracle, &query, &options, |doc| match &query.root {
                Some(root) => Oracle::node(&query, &options.dates, root, doc, false),
                None => Oracle::any(&query, doc),
            });
        }
    }
}

/// Checksums say nothing against one who computes them. Whatever the postings of frequent words are, searches end.
#[test]
fn searches_of_hostile_postings_end() {
    let mut random = Random(11);
    let frames: Vec<Frame> = (0..700)
        .map(|id| {
            let mut text = "deep sea".to_owned();
            for (word, odd) in [(" storm", 50), (" lake", 10), (" keel", 1)] {
                text += if random.chance(odd) { word } else { "" };
            }
            Frame {
                meta: FrameMeta {
                    id: FrameId(id),
                    is_text: true,
                    ..FrameMeta::default()
                },
                payload: text.into_bytes(),
            }
        })
        .collect();
    let sound = Segment::build(&frames).unwrap();
    let body = sound.bytes().all().unwrap();
    let (_, sections) = container::decode(sound.bytes()).unwrap();
    let (_, postings) = sections
        .iter()
        .find(|(section, _)| *section == Section::Postings)
        .unwrap();
    let start = postings.file_offset().0 as usize;
    let options = SearchOptions {
        count: true,
        ..SearchOptions::default()
    };
    let mut errors = 0;
    for at in start..start + postings.len() {
        let mut bad = body.to_vec();
        bad[at] ^= [0x01, 0x40, 0x80, 0xFF][random.below(4)];
        let Ok(segment) = Segment::open(SegmentBytes::from_vec(bad)) else {
            continue;
        };
        let view = SegmentView::new(Arc::new(segment), FrameId(690), &[FrameId(5)]).unwrap();
        let reader = Reader::new(vec![view]).unwrap();
        for asked in [
            "sea",
            "storm",
            "deep sea storm",
            "sea keel",
            "lake storm keel",
        ] {
            errors += usize::from(
                reader
                    .search(&Query::words(asked), &options, &NoTexts)
                    .is_err(),
            );
        }
    }
    assert!(errors > postings.len() / 2, "{errors} errors");
}

struct NoTexts;

impl TextSource for NoTexts {
    fn text(&self, _frame: FrameId) -> Result<DocText, BoxError> {
        Err("not needed".into())
    }
}

#[test]
fn many_equal_documents_come_in_the_order_of_their_ids() {
    let frames: Vec<Frame> = (0..1000)
        .map(|id| Frame {
            meta: FrameMeta {
                id: FrameId(id),
                is_text: true,
                ..FrameMeta::default()
            },
            payload: b"deep sea".to_vec(),
        })
        .collect();
    let mut views = Vec::new();
    for run in frames.chunks(300).rev() {
        let segment = Arc::new(Segment::build(run).unwrap());
        views.push(SegmentView::new(segment, FrameId(1000), &[FrameId(0)]).unwrap());
    }
    let reader = Reader::new(views).unwrap();
    let options = SearchOptions {
        top_k: 5,
        ..SearchOptions::default()
    };
    for asked in ["sea", "deep sea", "the deep sea"] {
        let found = reader
            .search(&Query::words(asked), &options, &NoTexts)
            .unwrap();
        let frames: Vec<u64> = found.hits.iter().map(|hit| hit.frame.get()).collect();
        assert_eq!(frames, [1, 2, 3, 4, 5]);
    }
}
