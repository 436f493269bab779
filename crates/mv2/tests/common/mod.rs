//! A toy embedder, questions of every sort, and what a snapshot answers to them, bit for bit.
#![cfg(feature = "vec")]
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use mv2::embed::{EmbedSpec, Embedder, Pooling, Precision, Role};
use mv2::{
    CheckpointPolicy, Memvid, Mode, OpenOptions, PutOptions, SearchRequest, Snapshot, TimelineQuery,
};

pub(crate) const DIMS: usize = 8;
pub(crate) const WORDS: [&str; 12] = [
    "harbour",
    "winter",
    "planning",
    "garden",
    "quarter",
    "the",
    "of",
    "東京の会議",
    "会議",
    "ships",
    "sea-42",
    "Gärten",
];

/// A vector of a text's words.
pub(crate) struct Toy(EmbedSpec);

impl Toy {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(EmbedSpec {
            name: "toy".to_owned(),
            revision: "1".to_owned(),
            dims: DIMS as u32,
            max_tokens: 1_000,
            weights: [0; 32],
            pooling: Pooling::Mean,
            query_prefix: String::new(),
            passage_prefix: String::new(),
            normalized: true,
            precision: Precision::Float,
        }))
    }
}

pub(crate) fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.1; DIMS];
    for word in text.split_whitespace() {
        let sum: usize = word.bytes().map(usize::from).sum();
        vector[sum % DIMS] += 1.0 + (sum % 7) as f32 / 10.0;
    }
    vector
}

impl Embedder for Toy {
    fn spec(&self) -> &EmbedSpec {
        &self.0
    }

    fn embed(&self, texts: &[&str], _: Role, out: &mut Vec<f32>) -> mv2::embed::Result<()> {
        texts.iter().for_each(|text| out.extend(vector(text)));
        Ok(())
    }

    fn coverage(&self, _: &str) -> f32 {
        1.0
    }

    fn token_count(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }
}

pub(crate) fn options(embeds: bool) -> OpenOptions {
    let options = Memvid::builder()
        .background(false)
        .wal_bytes(64 << 10)
        .checkpoint(CheckpointPolicy {
            tail_frames: 4,
            max_segments: 3,
            ..CheckpointPolicy::default()
        });
    match embeds {
        true => options.embedder(Toy::new()),
        false => options.no_embedder(),
    }
}

pub(crate) fn text(words: &[usize]) -> String {
    let words: Vec<&str> = words.iter().map(|word| WORDS[*word]).collect();
    words.join(" ")
}

pub(crate) fn put_options(uri: Option<u8>, words: &[usize], time: i64) -> PutOptions {
    let builder = PutOptions::builder()
        .tag("parity", ["even", "odd"][words.len() % 2])
        .title(WORDS[words[0]])
        .timestamp(time);
    match uri {
        Some(uri) => builder.uri(format!("note/{uri}")).build(),
        None => builder.build(),
    }
}

/// The searches that are compared: by words in every way, by exact vectors, and by both.
pub(crate) fn searches() -> Vec<SearchRequest> {
    let lex = |query: &str| {
        SearchRequest::builder(query)
            .mode(Mode::Lex)
            .top_k(50)
            .count(true)
    };
    let vec = |query: &str| SearchRequest {
        vector: Some(vector(query)),
        ..SearchRequest::default()
    };
    vec![
        lex("harbour in the winter").build(),
        lex("会議").build(),
        lex("東").build(),
        lex("+garden -winter").build(),
        lex("\"winter planning\" OR sea").build(),
        lex("of the").tag("parity", "odd").build(),
        lex("ships").since(10).until(30).top_k(3).build(),
        SearchRequest {
            mode: Mode::Vec,
            exact: true,
            top_k: 1_000,
            ..vec("winter garden")
        },
        SearchRequest {
            query: "quarter ships".to_owned(),
            top_k: 50,
            exact: true,
            ..vec("ships of")
        },
    ]
}

/// What a search found, with the bits of its scores; frames as `id` names them.
pub(crate) fn found(
    snapshot: &Snapshot,
    request: SearchRequest,
    id: &dyn Fn(u64) -> u64,
) -> String {
    let response = snapshot.search(request).unwrap();
    let side = |side: Option<mv2::SideRank>| side.map(|side| (side.rank, side.score.to_bits()));
    let hits = response.hits.iter();
    let hits: Vec<_> = hits
        .map(|hit| {
            let (lex, vec) = (side(hit.lex), side(hit.vec));
            (
                id(hit.frame_id.get()),
                hit.score.to_bits(),
                lex,
                vec,
                &hit.text,
            )
        })
        .collect();
    let (total, relation) = (response.total_hits, response.total_relation);
    format!("{} {total} {relation:?} {hits:?}", response.mode)
}

pub(crate) fn all_found(snapshot: &Snapshot, id: &dyn Fn(u64) -> u64) -> Vec<String> {
    let requests = searches().into_iter();
    requests
        .map(|request| found(snapshot, request, id))
        .collect()
}

/// Everything that a snapshot says, of which nothing may change.
pub(crate) fn answers(snapshot: &Snapshot) -> Vec<String> {
    let mut answers = all_found(snapshot, &|id| id);
    for reverse in [false, true] {
        let query = TimelineQuery::builder().limit(1_000).reverse(reverse);
        let timeline = snapshot.timeline(query.build()).unwrap();
        answers.push(format!("{:?}", timeline.frames));
    }
    for uri in 0..8 {
        let found = snapshot.frame_by_uri(&format!("note/{uri}"));
        answers.push(format!("{:?}", found.ok()));
    }
    let stats = snapshot.stats().unwrap();
    answers.push(format!(
        "{} {} {} {} {:?}",
        stats.frame_count,
        stats.active_frame_count,
        stats.commit_count,
        stats.payload_bytes,
        stats.embedder
    ));
    let frames: Vec<_> = snapshot.frames().map(Result::unwrap).collect();
    let log: Vec<_> = snapshot.log().map(Result::unwrap).collect();
    answers.push(format!("{frames:?} {log:?}"));
    answers
}

/// A memory of just the frames that a snapshot sees answers the same; ids are counted anew, in the same order.
pub(crate) fn compare_with_fresh(snapshot: &Snapshot, folder: &Path) {
    let path = folder.join(format!("fresh-{}.mv2", snapshot.commit_id()));
    let mut fresh = options(false).create(&path).unwrap();
    let near = SearchRequest {
        mode: Mode::Vec,
        vector: Some(vector("x")),
        exact: true,
        top_k: 1_000,
        ..SearchRequest::default()
    };
    let near = snapshot.search(near).unwrap();
    let embedded: BTreeSet<u64> = near.hits.iter().map(|hit| hit.frame_id.get()).collect();
    let mut ids = BTreeMap::new();
    for meta in snapshot.frames() {
        let meta = meta.unwrap();
        let text = snapshot.frame_text_by_id(meta.id).unwrap();
        let mut options = PutOptions::builder().timestamp(meta.timestamp);
        for (key, value) in &meta.tags {
            options = options.tag(key, value);
        }
        if let Some(title) = &meta.title {
            options = options.title(title);
        }
        if let Some(uri) = &meta.uri {
            options = options.uri(uri);
        }
        let options = options.build();
        let outcome = match embedded.contains(&meta.id.get()) {
            true => {
                let title = meta.title.unwrap_or_default();
                let vector = vector(&format!("{title}\n{text}"));
                fresh.put_with_embedding(text.as_bytes(), options, &vector)
            }
            false => fresh.put_bytes_with_options(text.as_bytes(), options),
        };
        ids.insert(meta.id.get(), outcome.unwrap().frame_id.get());
    }
    fresh.commit().unwrap();
    let there = all_found(snapshot, &|id| ids[&id]);
    let fresh = all_found(&fresh.snapshot().unwrap(), &|id| id);
    assert_eq!(there, fresh, "commit {}", snapshot.commit_id());
    std::fs::remove_file(path).unwrap();
}
