//! Vectors as a user meets them: brought along, found by, kept through checkpoints, deletions and other builds.
#![cfg(feature = "vec")]

use std::sync::Arc;

use mv2::embed::{EmbedSpec, Embedder, Pooling, Precision, Role};
use mv2::{Memvid, Mode, OpenOptions, PutOptions, SearchRequest};
use tempfile::TempDir;

/// Knows four words and which of them mean the same.
struct Toy {
    spec: EmbedSpec,
    fails: bool,
}

impl Toy {
    fn new(revision: &str) -> Arc<Self> {
        Arc::new(Self {
            spec: EmbedSpec {
                name: "toy".to_owned(),
                revision: revision.to_owned(),
                dims: 4,
                max_tokens: 100,
                weights: [0; 32],
                pooling: Pooling::Mean,
                query_prefix: String::new(),
                passage_prefix: String::new(),
                normalized: true,
                precision: Precision::Float,
            },
            fails: false,
        })
    }

    fn failing() -> Arc<Self> {
        let mut toy = Arc::into_inner(Self::new("1")).unwrap();
        toy.fails = true;
        Arc::new(toy)
    }
}

impl Embedder for Toy {
    fn spec(&self) -> &EmbedSpec {
        &self.spec
    }

    fn embed(&self, texts: &[&str], _: Role, out: &mut Vec<f32>) -> mv2::embed::Result<()> {
        if self.fails {
            return Err(mv2::embed::Error::Failed {
                model: "toy".to_owned(),
                source: "out of order".into(),
            });
        }
        for text in texts {
            let text = text.to_lowercase();
            let axes = [["car", "automobile"], ["ship", "vessel"], ["cat", "feline"]];
            out.extend(axes.map(|words| f32::from(words.iter().any(|w| text.contains(w)))));
            out.push(0.01);
        }
        Ok(())
    }

    fn coverage(&self, text: &str) -> f32 {
        mv2::embed::coverage::latin(text)
    }

    fn token_count(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }
}

fn toy() -> OpenOptions {
    OpenOptions::new().embedder(Toy::new("1"))
}

fn memory(dir: &TempDir, options: &OpenOptions, texts: &[&str]) -> Memvid {
    let mut mem = options.create(dir.path().join("m.mv2")).unwrap();
    for text in texts {
        mem.put_bytes(text.as_bytes()).unwrap();
    }
    mem.commit().unwrap();
    mem
}

fn found(mem: &Memvid, request: SearchRequest) -> (Mode, Vec<u64>) {
    let response = mem.search(request).unwrap();
    let hits = response.hits.iter().map(|hit| hit.frame_id.get());
    (response.mode, hits.collect())
}

const TEXTS: [&str; 4] = [
    "The automobile was parked in the yard.",
    "A vessel came into the harbour at noon.",
    "The feline slept on the sofa all day.",
    "東京で車を見ました。",
];

#[test]
fn a_text_is_found_by_what_it_means() {
    let dir = TempDir::new().unwrap();
    let mem = memory(&dir, &toy(), &TEXTS);
    assert_eq!(found(&mem, "car".into()), (Mode::Hybrid, vec![0, 1, 2]));
    let lex = SearchRequest::builder("car").mode(Mode::Lex).build();
    assert_eq!(found(&mem, lex), (Mode::Lex, vec![]));
    let vec = SearchRequest::builder("ship")
        .mode(Mode::Vec)
        .top_k(1)
        .build();
    assert_eq!(found(&mem, vec), (Mode::Vec, vec![1]));
    // Both sides are told.
    let response = mem.search("the automobile").unwrap();
    let hit = &response.hits[0];
    assert_eq!(hit.frame_id.get(), 0);
    assert_eq!((hit.lex.unwrap().rank, hit.vec.unwrap().rank), (1, 1));
    assert!(hit.vec.unwrap().score > 0.9);
}

#[test]
fn what_the_embedder_does_not_know_is_searched_by_words() {
    let dir = TempDir::new().unwrap();
    let mem = memory(&dir, &toy(), &TEXTS);
    assert_eq!(found(&mem, "東京".into()), (Mode::Lex, vec![3]));
    // As are queries with operators.
    assert_eq!(found(&mem, "+vessel -cat".into()), (Mode::Lex, vec![1]));
    let vec = SearchRequest::builder("東京").mode(Mode::Vec).build();
    let response = mem.search(vec).unwrap();
    assert!(response.hits.is_empty() && response.warning.is_some());
}

#[test]
fn vectors_outlive_checkpoints_vacuum_and_seal_with_the_same_scores() {
    let dir = TempDir::new().unwrap();
    let mut mem = memory(&dir, &toy(), &TEXTS);
    let ask = || SearchRequest::builder("car and cat").build();
    let before = mem.search(ask()).unwrap();
    let scores = |response: &mv2::SearchResponse| -> Vec<_> {
        let hits = response.hits.iter();
        hits.map(|hit| {
            (
                hit.frame_id,
                hit.score.to_bits(),
                hit.vec.map(|v| v.score.to_bits()),
            )
        })
        .collect()
    };
    mem.checkpoint().unwrap();
    assert_eq!(scores(&mem.search(ask()).unwrap()), scores(&before));
    mem.vacuum().unwrap();
    assert_eq!(scores(&mem.search(ask()).unwrap()), scores(&before));
    mem.seal().unwrap();
    assert_eq!(scores(&mem.search(ask()).unwrap()), scores(&before));
    drop(mem);
    let mem = toy().open_read_only(dir.path().join("m.mv2")).unwrap();
    assert_eq!(scores(&mem.search(ask()).unwrap()), scores(&before));
    assert!(Memvid::verify(mem.path(), true).unwrap().ok);
}

#[test]
fn what_is_deleted_or_superseded_is_not_found_any_more() {
    let dir = TempDir::new().unwrap();
    let mut mem = memory(&dir, &toy(), &TEXTS);
    let vec = |query: &str| SearchRequest::builder(query).mode(Mode::Vec).build();
    mem.checkpoint().unwrap();
    let pinned = mem.snapshot().unwrap();
    mem.delete_frame(0u64).unwrap();
    let new = mem.update_frame(
        2u64,
        Some(b"A car, after all.".to_vec()),
        PutOptions::default(),
    );
    new.unwrap();
    mem.commit().unwrap();
    for _ in 0..2 {
        assert_eq!(found(&mem, vec("car")).1, [4, 1]);
        mem.checkpoint().unwrap();
    }
    let old = pinned.search(vec("car")).unwrap();
    assert_eq!(old.hits[0].frame_id.get(), 0);
}

#[test]
fn filters_and_likeness() {
    let dir = TempDir::new().unwrap();
    let mut mem = memory(&dir, &toy(), &TEXTS);
    let options = PutOptions::builder().tag("kind", "toy").build();
    mem.put_bytes_with_options(b"a toy car", options).unwrap();
    mem.commit().unwrap();
    let request = SearchRequest::builder("automobile").mode(Mode::Vec);
    assert_eq!(found(&mem, request.tag("kind", "toy").build()).1, [4]);
    let like = SearchRequest::builder("").like(0u64).top_k(1).build();
    assert_eq!(found(&mem, like), (Mode::Vec, vec![4]));
    let like = SearchRequest::builder("").like(3u64).build();
    assert_eq!(found(&mem, like), (Mode::Vec, vec![]));
}

#[test]
fn another_embedder_is_refused_until_the_memory_is_embedded_anew() {
    let dir = TempDir::new().unwrap();
    drop(memory(&dir, &toy(), &TEXTS));
    let path = dir.path().join("m.mv2");
    let other = OpenOptions::new().embedder(Toy::new("2"));
    let mut mem = other.open(&path).unwrap();
    assert_eq!(mem.put_bytes(b"x").unwrap_err().kind(), "embedder_mismatch");
    mem.rollback();
    // Words go on to be searched, and it is said.
    let response = mem.search("vessel").unwrap();
    assert_eq!((response.mode, response.hits.len()), (Mode::Lex, 1));
    assert!(response.warning.unwrap().contains("toy"));
    let vec = || {
        SearchRequest::builder("car")
            .mode(Mode::Vec)
            .top_k(1)
            .build()
    };
    assert_eq!(mem.search(vec()).unwrap_err().kind(), "embedder_mismatch");
    let before = toy().open_read_only(&path).unwrap().snapshot().unwrap();

    assert_eq!(mem.reembed(&mut |_, _| ()).unwrap(), 3);
    mem.commit_with("another model").unwrap();
    assert_eq!(found(&mem, vec()).1, [0]);
    assert_eq!(
        mem.reembed(&mut |_, _| ()).unwrap(),
        0,
        "nothing is missing"
    );
    mem.rollback();
    // The past has what it had.
    assert_eq!(before.search(vec()).unwrap().hits[0].frame_id.get(), 0);
}

#[test]
fn what_a_failing_embedder_leaves_out_is_said_and_made_up_for() {
    let dir = TempDir::new().unwrap();
    let failing = OpenOptions::new().embedder(Toy::failing());
    let mut mem = failing.create(dir.path().join("m.mv2")).unwrap();
    mem.put_bytes(b"an automobile").unwrap();
    for _ in 0..2 {
        assert_eq!(mem.commit().unwrap_err().kind(), "embedding_failed");
    }
    mem.rollback();
    assert_eq!(mem.stats().unwrap().frame_count, 0);
    drop(mem);
    let without = OpenOptions::new().no_embedder();
    let mut mem = without.open(dir.path().join("m.mv2")).unwrap();
    mem.put_bytes(b"an automobile").unwrap();
    mem.commit().unwrap();
    drop(mem);
    let mut mem = toy().open(dir.path().join("m.mv2")).unwrap();
    assert_eq!(mem.frame_text_by_id(0u64).unwrap(), "an automobile");
    assert_eq!(mem.reembed(&mut |_, _| ()).unwrap(), 1);
    mem.commit().unwrap();
    assert_eq!(found(&mem, "car".into()).1, [0]);
}

#[test]
fn vectors_of_the_callers_need_no_embedder_and_are_checked() {
    let dir = TempDir::new().unwrap();
    let mut mem = memory(
        &dir,
        &OpenOptions::new().no_embedder(),
        &["without a vector"],
    );
    let mut put = |vector: &[f32]| {
        let outcome = mem.put_with_embedding(b"with one", PutOptions::default(), vector);
        outcome.map(|outcome| outcome.frame_id.get())
    };
    for bad in [
        &[0.0, 0.0][..],
        &[f32::NAN, 1.0],
        &[f32::INFINITY, 1.0],
        &[],
        &[1.0; 4_097],
    ] {
        assert_eq!(
            put(bad).unwrap_err().kind(),
            "invalid_vector",
            "{} numbers",
            bad.len()
        );
    }
    assert_eq!(put(&[1.0, 0.0]).unwrap(), 1);
    assert_eq!(put(&[0.0, 1.0]).unwrap(), 2);
    assert_eq!(put(&[1.0, 0.0, 0.0]).unwrap_err().kind(), "invalid_vector");
    mem.commit().unwrap();
    let ask = |query: &str, vector: Vec<f32>| SearchRequest::builder(query).vector(vector);
    let request = ask("", vec![0.1, 1.0]).mode(Mode::Vec).build();
    assert_eq!(found(&mem, request).1, [2, 1]);
    // A vector alone is the same, and its scores are cosines.
    let response = mem.search(ask("", vec![0.0, 1.0]).build()).unwrap();
    assert_eq!((response.mode, response.hits[0].score), (Mode::Vec, 1.0));
    let request = ask("without", vec![0.1, 1.0]).build();
    assert_eq!(found(&mem, request), (Mode::Hybrid, vec![0, 2, 1]));
    let wrong = mem.search(ask("", vec![1.0; 3]).build()).unwrap_err();
    assert_eq!(wrong.kind(), "invalid_vector");
    // An embedder keeps out of it.
    drop(mem);
    let mut mem = toy().open(dir.path().join("m.mv2")).unwrap();
    mem.put_bytes(b"a car").unwrap();
    mem.commit().unwrap();
    assert_eq!(found(&mem, "car".into()), (Mode::Lex, vec![3]));
}

/// Vectors around a few centres: the same for the same number.
fn clustered(at: u64) -> Vec<f32> {
    let mut state = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut noise = |seed: u64| {
        state ^= state << 13 ^ seed;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let centre = at % 61;
    let along = |axis: u64| ((centre * 31 + axis * 17) % 13) as f32 / 12.0 - 0.5;
    (0..12).map(|axis| along(axis) + noise(axis)).collect()
}

/// What the live vector segments of a file are: whether they have a graph, and their bytes' place and length.
fn segments(path: &std::path::Path) -> Vec<(bool, u64, usize)> {
    let store = mv2_store::Store::open_read_only(path, mv2_store::OpenOptions::default()).unwrap();
    let snapshot = store.snapshot().unwrap();
    let found = (0..2).flat_map(|part| {
        let attached = snapshot.attached(mv2_format::SegmentKind::VECTORS, part);
        attached.unwrap().0
    });
    let live = found.filter(|segment| !segment.history);
    live.map(|found| {
        let place = (found.bytes.file_offset().0, found.bytes.len());
        let opened = mv2_vec::Segment::open(found.bytes).unwrap();
        (opened.nodes().is_some(), place.0, place.1)
    })
    .collect()
}

#[test]
fn many_vectors_get_a_graph_by_housekeeping_which_commits_leave_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("many.mv2");
    let mut mem = OpenOptions::new()
        .no_embedder()
        .background(false)
        .create(&path)
        .unwrap();
    for at in 0..21_000 {
        mem.put_with_embedding(b"x", PutOptions::default(), &clustered(at))
            .unwrap();
        if at % 7_000 == 6_999 {
            mem.commit().unwrap();
        }
    }
    mem.checkpoint().unwrap();
    let flat = segments(&path);
    assert!(
        !flat.is_empty() && flat.iter().all(|(graph, ..)| !graph),
        "{flat:?} {:?}",
        mem.stats()
    );
    let asked: Vec<Vec<f32>> = (100_000..100_050).map(clustered).collect();
    let search = |mem: &Memvid, exact: bool| -> Vec<Vec<(u64, f32)>> {
        let hits = |vector: &Vec<f32>| {
            let request = SearchRequest::builder("")
                .vector(vector.clone())
                .mode(Mode::Vec)
                .exact(exact);
            let response = mem.search(request.build()).unwrap();
            let hits = response.hits.iter();
            hits.map(|hit| (hit.frame_id.get(), hit.score)).collect()
        };
        asked.iter().map(hits).collect()
    };
    let flat = search(&mem, false);
    // A process that would like to end builds none.
    while mem.maintain().unwrap() {}
    assert!(segments(&path).iter().all(|(graph, ..)| !graph));
    assert_eq!(flat, search(&mem, false));
    mem.optimize().unwrap();
    let built = segments(&path);
    assert!(matches!(built[..], [(true, ..)]), "{built:?}");
    assert_eq!(flat, search(&mem, true));
    let by_graph = search(&mem, false);
    let pairs = flat.iter().zip(&by_graph);
    let same = pairs.map(|(a, b)| a.iter().filter(|hit| b.contains(hit)).count());
    let same = same.sum::<usize>();
    assert!(same >= 490, "{same} of 500");
    // There is nothing more to do, and a commit with its checkpoint writes a segment of its own.
    assert!(!mem.maintain().unwrap());
    let new = vec![0.3; 12];
    mem.put_with_embedding(b"new", PutOptions::default(), &new)
        .unwrap();
    mem.commit().unwrap();
    mem.checkpoint().unwrap();
    while mem.maintain().unwrap() {}
    let after = segments(&path);
    assert_eq!((after.len(), after[0]), (2, built[0]));
    let request = SearchRequest::builder("").vector(new).mode(Mode::Vec);
    assert_eq!(found(&mem, request.build()).1[0], 21_000);
    drop(mem);
    let report = Memvid::verify(&path, true).unwrap();
    assert!(report.ok, "{report:?}");
}

/// A paragraph of many words that no question below has anything to do with.
fn filler(topic: &str) -> String {
    format!("The {topic} of the old town was described in a long report by the council. ")
        .repeat(20)
}

#[test]
fn a_long_document_is_found_by_its_best_part() {
    let dir = TempDir::new().unwrap();
    let parts = [
        filler("library"),
        "My automobile broke down.".into(),
        filler("garden"),
    ];
    let long = parts.join("\n\n");
    let other = filler("bridge");
    let mem = memory(&dir, &toy(), &[&other, &long]);
    let vec = SearchRequest::builder("car").mode(Mode::Vec).build();
    let response = mem.search(vec).unwrap();
    let best = &response.hits[0];
    assert_eq!(best.frame_id.get(), 1);
    assert!(best.text.contains("automobile"), "{:?}", best.text);
}

#[cfg(feature = "static")]
mod built_in {
    use mv2::embed::StaticEmbedder;

    use super::*;

    fn built_in() -> OpenOptions {
        OpenOptions::new().embedder(Arc::new(StaticEmbedder::new().unwrap()))
    }

    #[test]
    fn synonyms_are_found_and_other_scripts_by_their_words() {
        let dir = TempDir::new().unwrap();
        let mem = memory(&dir, &built_in(), &TEXTS);
        let (mode, hits) = found(&mem, "car".into());
        assert_eq!((mode, hits[0]), (Mode::Hybrid, 0));
        let (mode, hits) = found(&mem, "kitten".into());
        assert_eq!((mode, hits[0]), (Mode::Hybrid, 2));
        assert_eq!(found(&mem, "車".into()), (Mode::Lex, vec![3]));
    }

    #[test]
    fn texts_without_a_vector_are_kept_and_the_rest_is_embedded() {
        let dir = TempDir::new().unwrap();
        let endless = "a".repeat(1_000_000);
        let texts = ["", "?!", "\u{301}", &endless, "A boat on the lake."];
        let mem = memory(&dir, &built_in(), &texts);
        let vec = SearchRequest::builder("ship").mode(Mode::Vec).build();
        assert_eq!(found(&mem, vec), (Mode::Vec, vec![4]));
        assert_eq!(mem.stats().unwrap().active_frame_count, 5);
    }
    /// A title takes of what the model reads; the end of the text behind it must not be lost.
    #[test]
    fn the_end_of_a_text_counts_behind_a_long_title() {
        let dir = TempDir::new().unwrap();
        let mut mem = built_in().create(dir.path().join("m.mv2")).unwrap();
        let title = "history of the old town ".repeat(8);
        for last in ["stone", "volcano"] {
            let text = "stone ".repeat(249) + last;
            let options = PutOptions::builder().title(&title).build();
            mem.put_bytes_with_options(text.as_bytes(), options)
                .unwrap();
        }
        mem.commit().unwrap();
        let vec = SearchRequest::builder("volcano").mode(Mode::Vec).build();
        assert_eq!(found(&mem, vec).1[0], 1);
    }
}

/// Opened without a word about embedders.
#[cfg(feature = "static")]
#[test]
fn vectors_are_made_by_default_and_those_of_another_model_are_left_alone() {
    let dir = TempDir::new().unwrap();
    let mut mem = memory(&dir, &OpenOptions::new(), &["an automobile", "a banana"]);
    assert_eq!(found(&mem, "car".into()), (Mode::Hybrid, vec![0]));
    assert_eq!(mem.stats().unwrap().embedder.as_deref(), Some("mv2-static"));
    assert_eq!(mem.reembed(&mut |_, _| ()).unwrap(), 0);
    mem.rollback();
    drop(mem);
    // A build that does not know the model of the memory's vectors asks for it by name, and takes none away.
    let mut mem = toy().open(dir.path().join("m.mv2")).unwrap();
    mem.reembed(&mut |_, _| ()).unwrap();
    mem.commit().unwrap();
    drop(mem);
    let mut mem = Memvid::open(dir.path().join("m.mv2")).unwrap();
    assert_eq!(mem.put_bytes(b"x").unwrap_err().kind(), "embedder_mismatch");
    mem.rollback();
    assert_eq!(
        mem.reembed(&mut |_, _| ()).unwrap_err().kind(),
        "embedder_mismatch"
    );
    mem.rollback();
    let response = mem.search("automobile").unwrap();
    assert_eq!((response.mode, response.hits.len()), (Mode::Lex, 1));
    assert!(response.warning.unwrap().contains("toy"));
}

/// Enough text for several flushes, on several threads, with documents of many sizes among them.
#[cfg(feature = "static")]
#[test]
fn a_large_batch_gives_each_document_the_vectors_of_its_own_text() {
    let dir = TempDir::new().unwrap();
    let mut mem = Memvid::create(dir.path().join("m.mv2")).unwrap();
    let topics = ["violin", "volcano", "bicycle", "dentist", "penguin"];
    for n in 0..600 {
        let text = filler(topics[n % 5]).repeat(n % 7);
        let options = PutOptions::builder()
            .title(format!("{} {n}", topics[n % 5]))
            .build();
        mem.put_bytes_with_options(text.as_bytes(), options)
            .unwrap();
    }
    mem.commit().unwrap();
    for (at, topic) in topics.iter().enumerate() {
        let request = SearchRequest::builder(*topic)
            .mode(Mode::Vec)
            .top_k(50)
            .build();
        let hits = mem.search(request).unwrap().hits;
        assert_eq!(hits.len(), 50);
        assert!(
            hits.iter().all(|hit| hit.frame_id.get() % 5 == at as u64),
            "{topic}"
        );
    }
}
