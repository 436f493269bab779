//! Speed of the built-in model: opening it, tokens, vectors, a second look at 30 passages.

#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mv2_embed::{Comparison, Embedder, MaxSim, Role, StaticEmbedder};

const PASSAGE: &str = "The lighthouse keeper climbed the spiral stairs each evening before dusk, \
    carrying a can of paraffin and a cloth for the lenses. In winter the wind came over the sea wall \
    with such force that the door had to be held by two men. He wrote everything into a logbook: ships \
    that passed, the height of the barometer, visitors from the village, repairs to the gallery rail. ";

fn embed(criterion: &mut Criterion) {
    let model = StaticEmbedder::new().unwrap();
    let passage = PASSAGE.repeat(2);
    let mut group = criterion.benchmark_group("embed");
    group.bench_function("open", |b| b.iter(|| StaticEmbedder::new().unwrap()));
    group.throughput(Throughput::Elements(model.token_count(&passage) as u64));
    group.bench_function("count tokens", |b| {
        b.iter(|| model.token_count(black_box(&passage)));
    });
    let mut out = Vec::new();
    group.bench_function("passage", |b| {
        b.iter(|| {
            out.clear();
            let texts = [black_box(&passage[..])];
            model.embed(&texts, Role::Passage, &mut out).unwrap();
        });
    });
    group.throughput(Throughput::Elements(30));
    let question = "Who wrote the visits of people from the village into a book?";
    group.bench_function("second look, 30 passages", |b| {
        b.iter(|| {
            let mut like = MaxSim::new(&model, question);
            let scores = (0..30).map(|_| like.compare(black_box(&passage)).similarity);
            scores.sum::<f32>()
        });
    });
    group.finish();
}

criterion_group!(benches, embed);
criterion_main!(benches);
