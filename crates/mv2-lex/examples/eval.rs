//! Ranking quality on a folder of retrieval sets: nDCG@10 for each, as one table row.
//!
//! ```text
//! cargo run --release -p mv2-lex --example eval -- FOLDER [SET…]
//! ```
//!
//! A set is a folder with `docs.jsonl` or `docs.jsonl.gz` (`_id`, `title`, `text`, and for
//! conversations `speaker` and `group`), `queries.jsonl` (`_id`, `text`, `group`) and `qrels.tsv`.
//! Where documents have a group, each query searches its own group with its own statistics.

#![allow(clippy::print_stdout, missing_docs)]

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use flate2::read::GzDecoder;
use mv2_format::{BoxError, Frame, FrameId, FrameMeta, SegmentBytes};
use mv2_lex::{DocText, LexIndex, Query, Reader, SearchOptions, Segment, SegmentView, TextSource};
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Texts<'a>(&'a [Frame]);

impl TextSource for Texts<'_> {
    fn text(&self, frame: FrameId) -> std::result::Result<DocText, BoxError> {
        let frame = &self.0[frame.get() as usize];
        Ok(DocText {
            title: frame.meta.title.clone(),
            text: frame.text().to_owned(),
        })
    }
}

struct Group {
    frames: Vec<Frame>,
    ids: Vec<String>,
    reader: Reader,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: eval FOLDER [SET…]")?;
    let mut sets: Vec<String> = arguments.collect();
    if sets.is_empty() {
        sets = [
            "cisi",
            "cosqa",
            "cranfield",
            "locomo-a",
            "scifact",
            "jsquad",
        ]
        .map(str::to_owned)
        .to_vec();
    }
    println!("| set | nDCG@10, words | nDCG@10, parsed | warnings | us a query | index, x text |");
    for set in sets {
        evaluate(&set, &Path::new(&folder).join(&set))?;
    }
    Ok(())
}

fn evaluate(name: &str, folder: &Path) -> Result<()> {
    let (groups, bytes, text) = index(&lines(folder, "docs")?)?;
    let qrels = qrels(&folder.join("qrels.tsv"))?;
    let queries = lines(folder, "queries")?;
    let (mut words, mut parsed, mut warnings) = (0.0, 0.0, 0);
    let start = Instant::now();
    for query in &queries {
        let Some(relevant) = qrels.get(field(query, "_id")) else {
            continue;
        };
        let group = &groups[field(query, "group")];
        let asked = field(query, "text");
        words += ndcg(&search(group, &Query::words(asked))?, relevant);
        let with_operators = Query::parse(asked);
        warnings += usize::from(with_operators.warning.is_some());
        parsed += ndcg(&search(group, &with_operators.query)?, relevant);
    }
    let judged = qrels.len() as f64;
    let micros = start.elapsed().as_secs_f64() * 1e6 / judged / 2.0;
    println!(
        "| {name} | {:.4} | {:.4} | {warnings} | {micros:.0} | {:.3} |",
        words / judged,
        parsed / judged,
        bytes as f64 / text as f64
    );
    Ok(())
}

fn index(docs: &[Value]) -> Result<(HashMap<String, Group>, usize, usize)> {
    let mut by_group: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for doc in docs {
        let group = field(doc, "group").to_owned();
        by_group.entry(group).or_default().push(doc);
    }
    let (mut groups, mut bytes, mut text) = (HashMap::new(), 0, 0);
    for (name, docs) in by_group {
        let frames: Vec<Frame> = docs
            .iter()
            .zip(0..)
            .map(|(doc, id)| frame(doc, id))
            .collect();
        let mut builder = mv2_format::IndexFactory::builder(&LexIndex::new());
        for frame in &frames {
            builder.add(frame).map_err(|error| error.to_string())?;
            text += frame.payload.len();
        }
        let segment = builder.finish().map_err(|error| error.to_string())?;
        bytes += segment.len();
        let segment = Arc::new(Segment::open(SegmentBytes::from_vec(segment))?);
        let end = segment.end_frame();
        let group = Group {
            reader: Reader::new(vec![SegmentView::new(segment, end, &[])?])?,
            ids: docs
                .iter()
                .map(|doc| field(doc, "_id").to_owned())
                .collect(),
            frames,
        };
        groups.insert(name, group);
    }
    Ok((groups, bytes, text))
}

fn frame(doc: &Value, id: u64) -> Frame {
    let text = match field(doc, "speaker") {
        "" => field(doc, "text").to_owned(),
        speaker => format!("{speaker} {}", field(doc, "text")),
    };
    Frame {
        meta: FrameMeta {
            id: FrameId(id),
            title: Some(field(doc, "title").to_owned()).filter(|title| !title.is_empty()),
            is_text: true,
            ..FrameMeta::default()
        },
        payload: text.into_bytes(),
    }
}

fn search(group: &Group, query: &Query) -> Result<Vec<String>> {
    let found = group
        .reader
        .search(query, &SearchOptions::default(), &Texts(&group.frames))?;
    let id = |hit: &mv2_lex::Hit| group.ids[hit.frame.get() as usize].clone();
    Ok(found.hits.iter().map(id).collect())
}

fn ndcg(found: &[String], relevant: &HashMap<String, f64>) -> f64 {
    let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
    let gain: f64 = found
        .iter()
        .enumerate()
        .map(|(rank, id)| relevant.get(id).copied().unwrap_or(0.0) * discount(rank))
        .sum();
    let mut ideal: Vec<f64> = relevant.values().copied().collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let best: f64 = ideal
        .iter()
        .take(10)
        .enumerate()
        .map(|(rank, grade)| grade * discount(rank))
        .sum();
    gain / best
}

fn lines(folder: &Path, name: &str) -> Result<Vec<Value>> {
    let plain = folder.join(format!("{name}.jsonl"));
    let reader: Box<dyn Read> = if plain.exists() {
        Box::new(File::open(plain)?)
    } else {
        Box::new(GzDecoder::new(File::open(
            folder.join(format!("{name}.jsonl.gz")),
        )?))
    };
    let mut values = Vec::new();
    for line in BufReader::new(reader).lines() {
        values.push(serde_json::from_str(&line?)?);
    }
    Ok(values)
}

fn qrels(path: &Path) -> Result<HashMap<String, HashMap<String, f64>>> {
    let mut qrels: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for line in fs::read_to_string(path)?.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        if let [query, doc, grade] = columns[..] {
            let grades = qrels.entry(query.to_owned()).or_default();
            grades.insert(doc.to_owned(), grade.parse()?);
        }
    }
    Ok(qrels)
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
