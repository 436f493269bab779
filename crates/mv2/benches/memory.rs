//! What a user waits for: opening a memory and searching it for the first time, searching it again, putting one
//! note, importing many.
//!
//! `cargo bench -p mv2`. Texts are made of words with Zipf's frequencies from a fixed seed. Everything is in the
//! page cache. The memories are as an import and `optimize` leave them, with an empty tail.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mv2::{Memvid, PutOptions, SearchRequest};

/// Words of a text.
const WORDS: usize = 60;

struct Texts(u64);

impl Texts {
    fn random(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The n-th of 50,000 words comes about 1/n as often as the first.
    fn word(&mut self) -> String {
        let rank = (50_000f64).powf(self.random()) as u64;
        let letters = |mut n: u64| {
            let mut word = String::new();
            loop {
                word.push(char::from(b'a' + (n % 20) as u8));
                word.push(['a', 'e', 'i', 'o', 'u'][(n / 20 % 5) as usize]);
                n /= 100;
                if n == 0 {
                    return word;
                }
            }
        };
        letters(rank * 7_919 % 1_000_003)
    }

    fn text(&mut self, words: usize) -> String {
        (0..words)
            .map(|_| self.word())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn memory(folder: &Path, frames: u64) -> PathBuf {
    let path = folder.join(format!("{frames}.mv2"));
    let mut memory = Memvid::create(&path).expect("a file");
    let mut texts = Texts(42);
    for id in 0..frames {
        let options = PutOptions::builder().uri(format!("doc/{id}")).build();
        memory
            .put_bytes_with_options(texts.text(WORDS).as_bytes(), options)
            .expect("a put");
        if id % 1_000 == 999 {
            memory.commit_bulk(None).expect("a commit");
        }
    }
    memory.commit().expect("a commit");
    memory.optimize().expect("an optimized file");
    path
}

fn request(texts: &mut Texts) -> SearchRequest {
    SearchRequest {
        query: texts.text(3),
        ..SearchRequest::default()
    }
}

fn open_and_search(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    for frames in [2_000, 100_000] {
        let path = memory(folder.path(), frames);
        let mut texts = Texts(7);
        let mut group = criterion.benchmark_group(format!("{frames} frames"));
        group.bench_function("open and first search", |bencher| {
            bencher.iter(|| {
                let memory = Memvid::open_read_only(&path).expect("opens");
                memory.search(request(&mut texts)).expect("an answer")
            });
        });
        let opened = Memvid::open(&path).expect("opens");
        group.bench_function("search", |bencher| {
            bencher.iter(|| opened.search(request(&mut texts)).expect("an answer"));
        });
        drop(opened);
        let mut opened = Memvid::open(&path).expect("opens");
        group.bench_function("put and commit", |bencher| {
            bencher.iter(|| {
                let text = texts.text(WORDS);
                opened.put_bytes(text.as_bytes()).expect("a put");
                opened.commit().expect("a commit")
            });
        });
        group.finish();
    }
}

fn import(criterion: &mut Criterion) {
    let mut texts = Texts(1);
    let paragraphs: Vec<_> = (0..20_000).map(|_| texts.text(WORDS)).collect();
    let bytes: usize = paragraphs.iter().map(String::len).sum();
    let mut group = criterion.benchmark_group("import");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("20,000 paragraphs in 20 commits", |bencher| {
        bencher.iter_batched(
            || tempfile::tempdir().expect("a folder"),
            |folder| {
                let mut memory = Memvid::create(folder.path().join("m.mv2")).expect("a file");
                for batch in paragraphs.chunks(1_000) {
                    for text in batch {
                        memory.put_bytes(text.as_bytes()).expect("a put");
                    }
                    memory.commit_bulk(None).expect("a commit");
                }
                memory.checkpoint().expect("a checkpoint");
                folder
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, open_and_search, import);
criterion_main!(benches);
