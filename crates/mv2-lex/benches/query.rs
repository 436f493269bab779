//! Query latency against tantivy as it comes: same terms, same two phases, one segment each.
//!
//! ```text
//! cargo bench -p mv2-lex --bench query
//! ```
//!
//! The peer reads a plain in-memory directory, scores the first phase with `TopDocs` and rescores
//! its hundred hits with all words. It checks no page, keeps no order beyond rounding, and knows
//! nothing of frames; the ratio is what exactness and checked bytes cost. Both must find the same
//! first hit in all but a few queries, so that a wrong fast answer fails. The ratio of medians over
//! single queries is printed last.

#![allow(missing_docs, clippy::print_stderr)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use mv2_format::segment::build_tables;
use mv2_format::{BoxError, FileOffset, Frame, FrameId, FrameMeta, IndexFactory, SegmentBytes};
use mv2_lex::{DocText, LexIndex, Query, Reader, SearchOptions, Segment, SegmentView, TextSource};
use tantivy::collector::TopDocs;
use tantivy::directory::RamDirectory;
use tantivy::postings::Postings;
use tantivy::query::{Bm25Weight, BooleanQuery, BoostQuery, Occur, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{
    DocId, DocSet, Index, IndexSettings, ReloadPolicy, Searcher, SingleSegmentIndexWriter,
    TantivyDocument, Term,
};

const DOCS: usize = 20_000;
const QUERIES: usize = 500;
const FUNCTION: [&str; 12] = [
    "the", "of", "and", "a", "to", "in", "is", "what", "how", "for", "with", "on",
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Four words in ten are function words, the others follow Zipf's law over 30,000.
    fn word(&mut self) -> String {
        if self.unit() < 0.4 {
            return FUNCTION[(self.unit() * self.unit() * FUNCTION.len() as f64) as usize].into();
        }
        let rank = (30_000f64.ln() * self.unit()).exp() as usize;
        format!("w{rank}q")
    }

    fn text(&mut self, words: usize) -> String {
        (0..words)
            .map(|_| self.word())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

struct NoTexts;

impl TextSource for NoTexts {
    fn text(&self, _frame: FrameId) -> Result<DocText, BoxError> {
        Err("plain words need no text".into())
    }
}

fn frames() -> Vec<Frame> {
    let mut random = Random(7);
    (0..DOCS as u64)
        .map(|id| {
            let words = 20 + (random.unit() * 80.0) as usize;
            Frame {
                meta: FrameMeta {
                    id: FrameId(id),
                    title: Some(random.text(5)),
                    is_text: true,
                    ..FrameMeta::default()
                },
                payload: random.text(words).into_bytes(),
            }
        })
        .collect()
}

fn ours(frames: &[Frame]) -> Reader {
    let mut builder = LexIndex::new().builder();
    for frame in frames {
        builder.add(frame).unwrap();
    }
    let mut body = builder.finish().unwrap();
    let len = body.len() as u64;
    let (tables, crc) = build_tables(&body);
    body.extend_from_slice(&tables);
    let bytes = SegmentBytes::open(Arc::new(body), len, crc, FileOffset(0)).unwrap();
    let segment = Arc::new(Segment::open(bytes).unwrap());
    let view = SegmentView::new(segment, FrameId(u64::MAX), &[]).unwrap();
    Reader::new(vec![view]).unwrap()
}

struct Peer {
    searcher: Searcher,
    body: Field,
    title: Field,
}

fn peer(frames: &[Frame]) -> Peer {
    let text = |record| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_index_option(record)
                .set_fieldnorms(true),
        )
    };
    let mut schema = Schema::builder();
    let body = schema.add_text_field("body", text(IndexRecordOption::WithFreqsAndPositions));
    let title = schema.add_text_field("title", text(IndexRecordOption::WithFreqs));
    let settings = IndexSettings {
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    };
    let mut writer: SingleSegmentIndexWriter = Index::builder()
        .schema(schema.build())
        .settings(settings)
        .single_segment_index_writer(RamDirectory::create(), 1 << 20)
        .unwrap();
    for frame in frames {
        let mut document = TantivyDocument::new();
        let of_title = tokens(frame.meta.title.as_deref().unwrap());
        document.add_pre_tokenized_text(body, of_title.clone());
        document.add_pre_tokenized_text(title, of_title);
        document.add_pre_tokenized_text(body, tokens(frame.text()));
        writer.add_document(document).unwrap();
    }
    let index = writer.finalize().unwrap();
    let reader = index
        .reader_builder()
        .reload_policy(ReloadPolicy::Manual)
        .try_into()
        .unwrap();
    Peer {
        searcher: reader.searcher(),
        body,
        title,
    }
}

fn tokens(text: &str) -> PreTokenizedString {
    let tokens = mv2_lex::analyse(text).into_iter().map(|token| Token {
        position: token.position as usize,
        text: token.term,
        ..Token::default()
    });
    PreTokenizedString {
        text: String::new(),
        tokens: tokens.collect(),
    }
}

impl Peer {
    /// Terms of a query with the weight of each: body and title of each distinct word.
    fn terms(&self, query: &str) -> Vec<(Term, f32, bool)> {
        let mut terms: Vec<(Term, f32, bool)> = Vec::new();
        for token in mv2_lex::analyse(query) {
            let function = FUNCTION.contains(&&query[token.range.clone()]);
            let weight = if function { 0.3 } else { 1.0 };
            for (field, boost) in [(self.body, 1.0), (self.title, 0.25)] {
                let term = Term::from_field_text(field, &token.term);
                match terms.iter_mut().find(|(known, _, _)| *known == term) {
                    Some((_, known, _)) => *known += weight * boost,
                    None => terms.push((term, weight * boost, !function)),
                }
            }
        }
        terms
    }

    /// The two-phase query.
    fn search(&self, query: &str, top_k: usize) -> Vec<(f32, DocId)> {
        let terms = self.terms(query);
        let has_content = terms.iter().any(|(_, _, content)| *content);
        let clauses: Vec<(Occur, Box<dyn tantivy::query::Query>)> = terms
            .iter()
            .filter(|(_, _, content)| *content || !has_content)
            .map(|(term, weight, _)| {
                let query = TermQuery::new(term.clone(), IndexRecordOption::WithFreqs);
                (
                    Occur::Should,
                    Box::new(BoostQuery::new(Box::new(query), *weight)) as Box<_>,
                )
            })
            .collect();
        let two_phases = has_content && terms.iter().any(|(_, _, content)| !content);
        let wanted = if two_phases { 100 } else { top_k };
        let first = BooleanQuery::from(clauses);
        let collector = TopDocs::with_limit(wanted).order_by_score();
        let found = self.searcher.search(&first, &collector).unwrap();
        let mut hits: Vec<(f32, DocId)> = found
            .into_iter()
            .map(|(score, address)| (score, address.doc_id))
            .collect();
        if two_phases {
            self.rescore(&terms, &mut hits);
        }
        hits.truncate(top_k);
        hits
    }

    fn rescore(&self, terms: &[(Term, f32, bool)], hits: &mut [(f32, DocId)]) {
        let reader = self.searcher.segment_reader(0);
        hits.sort_unstable_by_key(|hit| hit.1);
        hits.iter_mut().for_each(|hit| hit.0 = 0.0);
        for (term, weight, _) in terms {
            let inverted = reader.inverted_index(term.field()).unwrap();
            let Some(mut postings) = inverted
                .read_postings(term, IndexRecordOption::WithFreqs)
                .unwrap()
            else {
                continue;
            };
            let lengths = reader.get_fieldnorms_reader(term.field()).unwrap();
            let bm25 = Bm25Weight::for_terms(&self.searcher, std::slice::from_ref(term))
                .unwrap()
                .boost_by(*weight);
            for hit in hits.iter_mut() {
                if postings.doc() < hit.1 {
                    postings.seek(hit.1);
                }
                if postings.doc() == hit.1 {
                    hit.0 += bm25.score(lengths.fieldnorm_id(hit.1), postings.term_freq());
                }
            }
        }
        hits.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    }
}

fn queries(frames: &[Frame], random: &mut Random, with_function_words: bool) -> Vec<String> {
    (0..QUERIES)
        .map(|_| {
            let frame = &frames[(random.unit() * frames.len() as f64) as usize];
            let words: Vec<&str> = frame.text().split(' ').collect();
            let count = 2 + (random.unit() * if with_function_words { 8.0 } else { 3.0 }) as usize;
            let picked = (0..count).map(|_| words[(random.unit() * words.len() as f64) as usize]);
            picked
                .filter(|word| with_function_words || !FUNCTION.contains(word))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .filter(|query| !query.is_empty())
        .collect()
}

fn bench(criterion: &mut Criterion) {
    let frames = frames();
    let (reader, peer) = (ours(&frames), peer(&frames));
    let options = SearchOptions::default();
    for (name, with_function_words) in [("questions", true), ("keywords", false)] {
        let queries = queries(&frames, &mut Random(11), with_function_words);
        let mine = |query: &str| {
            reader
                .search(&Query::words(query), &options, &NoTexts)
                .unwrap()
                .hits
        };
        check(&queries, mine, &peer);
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20);
        group.bench_function("mv2", |bencher| {
            bencher.iter(|| {
                queries
                    .iter()
                    .for_each(|query| drop(black_box(mine(query))))
            });
        });
        group.bench_function("tantivy", |bencher| {
            bencher.iter(|| {
                queries
                    .iter()
                    .for_each(|query| drop(black_box(peer.search(query, 10))));
            });
        });
        group.finish();
        medians(name, &queries, mine, &peer);
    }
}

fn check(queries: &[String], mine: impl Fn(&str) -> Vec<mv2_lex::Hit>, peer: &Peer) {
    let same = queries.iter().filter(|query| {
        let mine = mine(query);
        let theirs = peer.search(query, 10);
        mine.first().map(|hit| hit.score) == theirs.first().map(|hit| hit.0)
            || mine.first().map(|hit| hit.frame.get()) == theirs.first().map(|hit| u64::from(hit.1))
    });
    let same = same.count();
    assert!(
        same * 100 >= queries.len() * 98,
        "{same} of {}",
        queries.len()
    );
}

fn medians(name: &str, queries: &[String], mine: impl Fn(&str) -> Vec<mv2_lex::Hit>, peer: &Peer) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for query in queries {
        // The fastest of a few runs in turn, so that neither gains by a warm cache.
        let (mut best_ours, mut best_theirs) = (f64::MAX, f64::MAX);
        for _ in 0..7 {
            let start = Instant::now();
            black_box(mine(query));
            best_ours = best_ours.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            black_box(peer.search(query, 10));
            best_theirs = best_theirs.min(start.elapsed().as_secs_f64());
        }
        ours.push(best_ours * 1e6);
        theirs.push(best_theirs * 1e6);
    }
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    let at = |values: &[f64], share: f64| values[(values.len() as f64 * share) as usize];
    eprintln!(
        "{name}: p50 {:.1} us against {:.1} ({:.2}x), p95 {:.1} against {:.1} ({:.2}x)",
        at(&ours, 0.5),
        at(&theirs, 0.5),
        at(&ours, 0.5) / at(&theirs, 0.5),
        at(&ours, 0.95),
        at(&theirs, 0.95),
        at(&ours, 0.95) / at(&theirs, 0.95),
    );
}

criterion_group!(benches, bench);
criterion_main!(benches);
