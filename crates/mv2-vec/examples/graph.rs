//! Measures graphs: how much they find and how fast, against exact scans and, on request, against
//! the search of the library that builds them.
//!
//! ```text
//! cargo run --release -p mv2-vec --example graph -- clustered ROWS [--dump FOLDER] [--library] [--f32]
//! cargo run --release -p mv2-vec --example graph -- folder FOLDER [ROWS] [--library | --beside] [--f32]
//! ```
//!
//! A folder holds `vectors.f32` and `queries.f32`: the number of dimensions as a u32, then the
//! components of one vector after the other as f32, all little-endian. The segment that is built of
//! them is kept there, for the next time. `--beside` is for `benches/hnswlib.py`. With `--f32` the exact
//! part is one of f32, so that what is found scores as it was given.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for developers, whose output is its purpose"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use instant_distance::{Builder, Heuristic, Hnsw, Point, Search};
use mv2_format::segment::build_tables;
use mv2_format::{FileOffset, FrameId, SegmentBytes};
use mv2_vec::kernel::{Code, Kernel};
use mv2_vec::{
    Exact, FrameSet, Graph, GraphOptions, Hit, Searcher, Segment, SegmentBuilder, Spec,
    VecSearchOptions, View, encode_rows,
};

/// Most queries that are asked.
const QUERIES: usize = 500;
/// Hits that are wanted.
const TOP_K: usize = 10;
/// How far walks go that are tried.
const SLACKS: [f32; 14] = [
    0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.24, 0.28, 0.32, 0.36, 0.4, 0.5,
];
/// Candidates of the library's search, which its graph has for good.
const LIBRARY_EF: usize = 100;
/// What finds no less than that.
const LIKE_LIBRARY: f32 = 0.2;

type Vectors = Vec<Vec<f32>>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let library = args.contains(&"--library");
    let (stored, queries, kept) = match args.as_slice() {
        ["clustered", rows, rest @ ..] => {
            let (stored, queries) = clustered(rows.parse().unwrap());
            let mut kept = None;
            if let ["--dump", folder, ..] = rest {
                fs::create_dir_all(folder).unwrap();
                write(&Path::new(folder).join("vectors.f32"), &stored);
                write(&Path::new(folder).join("queries.f32"), &queries);
                kept = Some(Path::new(folder).join(format!("segment-{}", stored.len())));
            }
            (stored, queries, kept)
        }
        ["folder", folder, rest @ ..] => {
            let mut stored = read(&Path::new(folder).join("vectors.f32"));
            let mut queries = read(&Path::new(folder).join("queries.f32"));
            if let Some(rows) = rest.first().and_then(|rows| rows.parse().ok()) {
                stored.truncate(rows);
            }
            queries.truncate(QUERIES);
            let kept = Path::new(folder).join(format!("segment-{}", stored.len()));
            (stored, queries, Some(kept))
        }
        _ => {
            println!(
                "clustered ROWS [--dump FOLDER] [--library] [--f32], or folder FOLDER [ROWS] [--library | --beside] [--f32]"
            );
            return;
        }
    };
    let beside = args.contains(&"--beside");
    let exact_part = if args.contains(&"--f32") {
        Exact::F32
    } else {
        Exact::F16
    };
    let kept = kept.map(|path| path.with_extension(format!("{exact_part:?}").to_lowercase()));
    let searcher = searcher(&stored, exact_part, kept.as_deref(), library || beside);
    let scores = exact(&stored, &queries);
    let truth: Vec<Truth<'_>> = scores
        .iter()
        .map(|scores| Truth::of(scores, |_| true))
        .collect();
    if beside {
        beside_others(&searcher, &queries, &truth);
    } else if library {
        compare(&searcher, &stored, &queries, &truth);
    } else {
        measure(&searcher, &stored, &queries, &truth);
    }
}

/// Builds a segment, or takes the one that is kept; with a graph, also where a scan costs less, if
/// it is to be compared.
fn searcher(stored: &Vectors, exact: Exact, kept: Option<&Path>, compared: bool) -> Searcher {
    let dims = stored[0].len();
    println!(
        "{} vectors of {dims} dimensions, kernel {}",
        stored.len(),
        Kernel::best().name()
    );
    let spec = Spec {
        exact,
        ..Spec::new(dims as u32).unwrap()
    };
    // As out of a file: with pages that are checked once.
    let open = |bytes: Vec<u8>| {
        let (tables, crc) = build_tables(&bytes);
        let len = bytes.len() as u64;
        let extent = Arc::new([bytes, tables].concat());
        let bytes = SegmentBytes::open(extent, len, crc, FileOffset(0)).unwrap();
        Segment::open(bytes).unwrap()
    };
    let kept_segment = kept.and_then(|path| fs::read(path).ok()).map(open);
    let kept_segment = kept_segment.filter(|segment| !compared || segment.nodes().is_some());
    let segment = kept_segment.unwrap_or_else(|| {
        let start = processor_time(Of::Process);
        let bytes = build(&spec, stored, compared);
        let took = processor_time(Of::Process) - start;
        println!("built in {:.1} s", took.as_secs_f64());
        if let Some(path) = kept {
            fs::write(path, &bytes).unwrap();
        }
        open(bytes)
    });
    let each = segment.len_bytes() as f64 / stored.len() as f64;
    println!("{each:.1} bytes a vector");
    match segment.calibration() {
        Some(found) => println!("{found:?}"),
        None => println!("no graph: a scan costs less"),
    }
    Searcher::new(spec, vec![View::all(Arc::new(segment))]).unwrap()
}

fn measure(searcher: &Searcher, stored: &Vectors, queries: &Vectors, truth: &[Truth<'_>]) {
    println!("\n{:<28}{:>9}{:>12}", "search", "recall", "us");
    let default = VecSearchOptions::default();
    let searched = |name: &str, options: VecSearchOptions<'_>| {
        let (found, us) = timed(queries, |query| searcher.search(query, &options).unwrap());
        println!("{name:<28}{:>9.4}{us:>12.1}", recall(truth, &found));
    };
    searched(
        "exact",
        VecSearchOptions {
            exact: true,
            ..default
        },
    );
    searched("default", default);
    for slack in SLACKS {
        searched(&format!("slack {slack}"), reach(slack));
    }
    filters(searcher, stored, queries);
}

/// Prints recall and time for each slack, as JSON, for each line that comes in.
fn beside_others(searcher: &Searcher, queries: &Vectors, truth: &[Truth<'_>]) {
    println!("ready");
    for _ in std::io::stdin().lines() {
        let points = SLACKS.map(|slack| {
            let options = reach(slack);
            let (found, us) = timed(queries, |query| searcher.search(query, &options).unwrap());
            format!("[{}, {us}]", recall(truth, &found))
        });
        println!("[{}]", points.join(", "));
    }
}

/// A walk that ends by its slack, and in a crowd by its candidates.
fn reach(slack: f32) -> VecSearchOptions<'static> {
    VecSearchOptions {
        ef: Some(768),
        slack: Some(slack),
        ..VecSearchOptions::default()
    }
}

/// Searches among the part of the vectors that is nearest to a neighbour of the query, and among
/// the part that is farthest from the query.
fn filters(searcher: &Searcher, stored: &Vectors, queries: &Vectors) {
    println!(
        "\n{:<28}{:>9}{:>12}{:>12}",
        "filter", "recall", "us", "us exact"
    );
    let queries: Vectors = queries.iter().take(100).cloned().collect();
    let scores = exact(stored, &queries);
    let pivots: Vectors = scores
        .iter()
        .map(|scores| stored[nearest(scores, 50, |_| true)[49] as usize].clone())
        .collect();
    let around = exact(stored, &pivots);
    for (name, measure, sign) in [("near", &around, 1.0), ("far", &scores, -1.0)] {
        for percent in [50, 10, 1] {
            let count = stored.len() * percent / 100;
            let sets: Vec<FrameSet> = measure
                .iter()
                .map(|scores| {
                    let scores: Vec<f32> = scores.iter().map(|score| score * sign).collect();
                    let set = nearest(&scores, count, |_| true);
                    set.into_iter().map(FrameId).collect()
                })
                .collect();
            let run = |exact: bool| {
                let mut at = 0;
                timed(&queries, |query| {
                    let options = VecSearchOptions {
                        filter: Some(&sets[at % sets.len()]),
                        exact,
                        ..VecSearchOptions::default()
                    };
                    at += 1;
                    searcher.search(query, &options).unwrap()
                })
            };
            let (found, us) = run(false);
            let (best, us_exact) = run(true);
            println!(
                "{:<28}{:>9.4}{us:>12.1}{us_exact:>12.1}",
                format!("{percent} %, {name}"),
                recall_of_exact(&best, &found)
            );
        }
    }
}

/// Like [`recall`], of what an exact search finds: among the vectors that are far from the query,
/// scores are so close that the rounding to f16 decides.
fn recall_of_exact(best: &[Vec<Hit>], found: &[Vec<Hit>]) -> f64 {
    let as_good = |(best, found): (&Vec<Hit>, &Vec<Hit>)| {
        let least = best.last().map_or(0.0, |hit| hit.score);
        found.iter().filter(|hit| hit.score >= least).count()
    };
    let hits: usize = best.iter().zip(found).map(as_good).sum();
    hits as f64 / best.iter().map(Vec::len).sum::<usize>() as f64
}

/// A vector as the library compares it.
#[derive(Clone)]
struct Floats<'a>(&'a [u8], &'a [f32]);

impl Point for Floats<'_> {
    fn distance(&self, other: &Self) -> f32 {
        1.0 - Kernel::best().dot_f32(self.1, other.0)
    }
}

/// The code of a vector, as the library compares it.
#[derive(Clone)]
struct Codes<'a>(Code<'a>, f32);

impl Point for Codes<'_> {
    fn distance(&self, other: &Self) -> f32 {
        1.0 - Kernel::best().dot(self.0, other.0.bytes()) as f32 * self.1 * other.1
    }
}

/// The library's own search, of its graphs of f32 and of codes, beside that of the segment.
fn compare(searcher: &Searcher, stored: &Vectors, queries: &Vectors, truth: &[Truth<'_>]) {
    println!(
        "\n{:<28}{:>9}{:>12}{:>9}{:>12}",
        "library, ef 100", "recall", "us", "here", "us"
    );
    let bytes =
        |vector: &Vec<f32>| -> Vec<u8> { vector.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let stored_bytes: Vec<Vec<u8>> = stored.iter().map(bytes).collect();
    let query_bytes: Vec<Vec<u8>> = queries.iter().map(bytes).collect();
    let floats = |(bytes, vector)| Floats(bytes, vector);
    let points: Vec<Floats<'_>> = stored_bytes
        .iter()
        .map(Vec::as_slice)
        .zip(stored.iter().map(Vec::as_slice))
        .map(floats)
        .collect();
    let asked: Vec<Floats<'_>> = query_bytes
        .iter()
        .map(Vec::as_slice)
        .zip(queries.iter().map(Vec::as_slice))
        .map(floats)
        .collect();
    beside(searcher, queries, truth, "f32", points, &asked);
    let coded: Vec<(Vec<u8>, f32)> = stored.iter().chain(queries).map(|v| code(v)).collect();
    let mut points: Vec<Codes<'_>> = coded
        .iter()
        .map(|(code, scale)| Codes(Code::new(code), *scale))
        .collect();
    let asked = points.split_off(stored.len());
    beside(searcher, queries, truth, "int8", points, &asked);
}

fn beside<P: Point + Send>(
    searcher: &Searcher,
    queries: &Vectors,
    truth: &[Truth<'_>],
    name: &str,
    points: Vec<P>,
    asked: &[P],
) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let (graph, ids): (Hnsw<P>, _) = pool.install(|| {
        Builder::default()
            .ef_search(LIBRARY_EF)
            .ef_construction(100)
            .ml(1.0 / 16.0)
            .seed(0)
            .select_heuristic(Some(Heuristic {
                extend_candidates: false,
                keep_pruned: true,
            }))
            .build_hnsw(points)
    });
    let mut frames = vec![0; ids.len()];
    for (frame, id) in (0..).zip(&ids) {
        frames[id.into_inner() as usize] = frame;
    }
    let mut search = Search::default();
    let options = reach(LIKE_LIBRARY);
    // In turn, so that what else the machine does slows both.
    let (mut theirs, mut ours) = (f64::MAX, f64::MAX);
    let (mut found, mut hits) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let start = processor_time(Of::Thread);
        found = asked
            .iter()
            .map(|query| {
                let near = graph.search(query, &mut search).take(TOP_K);
                near.map(|item| frames[item.pid.into_inner() as usize])
                    .collect::<Vec<u64>>()
            })
            .collect();
        theirs = theirs.min(micros(start, queries.len()));
        let start = processor_time(Of::Thread);
        hits = queries
            .iter()
            .map(|query| searcher.search(query, &options).unwrap())
            .collect();
        ours = ours.min(micros(start, queries.len()));
    }
    let ours_found = recall(truth, &hits);
    let hits: usize = truth
        .iter()
        .zip(&found)
        .map(|(truth, found)| truth.found(found.iter().copied()))
        .sum();
    let found = hits as f64 / (truth.len() * TOP_K) as f64;
    println!("{name:<28}{found:>9.4}{theirs:>12.1}{ours_found:>9.4}{ours:>12.1}");
}

fn build(spec: &Spec, stored: &Vectors, compared: bool) -> Vec<u8> {
    let mut builder = SegmentBuilder::new(*spec).unwrap();
    for (id, vector) in (0..).zip(stored) {
        let rows = encode_rows(spec, &[(0..1, vector)]).unwrap();
        builder.add(FrameId(id), &rows).unwrap();
    }
    let graph = Graph::Build(GraphOptions {
        ef: compared.then_some(64),
        ..GraphOptions::default()
    });
    builder.finish_with(&graph).unwrap()
}

/// The scores of all stored vectors for each query.
fn exact(stored: &Vectors, queries: &Vectors) -> Vec<Vec<f32>> {
    let kernel = Kernel::best();
    let mut scores = vec![Vec::with_capacity(stored.len()); queries.len()];
    let mut bytes = Vec::new();
    for vector in stored {
        bytes.clear();
        bytes.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        for (query, scores) in queries.iter().zip(&mut scores) {
            scores.push(kernel.dot_f32(query, &bytes));
        }
    }
    scores
}

fn nearest(scores: &[f32], count: usize, wanted: impl Fn(u64) -> bool) -> Vec<u64> {
    let mut order: Vec<u64> = (0..scores.len() as u64).filter(|id| wanted(*id)).collect();
    let by = |a: &u64, b: &u64| scores[*b as usize].total_cmp(&scores[*a as usize]);
    if order.len() > count {
        order.select_nth_unstable_by(count, by);
        order.truncate(count);
    }
    order.sort_by(by);
    order
}

/// The hits, and the microseconds of a search in the best of three rounds.
fn timed(queries: &Vectors, mut search: impl FnMut(&[f32]) -> Vec<Hit>) -> (Vec<Vec<Hit>>, f64) {
    let (mut best, mut found) = (f64::MAX, Vec::new());
    for _ in 0..3 {
        let start = processor_time(Of::Thread);
        found = queries.iter().map(|query| search(query)).collect();
        best = best.min(micros(start, queries.len()));
    }
    (found, best)
}

fn micros(start: Duration, count: usize) -> f64 {
    (processor_time(Of::Thread) - start).as_secs_f64() * 1e6 / count as f64
}

/// Whose time.
#[derive(Clone, Copy)]
enum Of {
    Thread,
    /// The graph is built by a thread of its own.
    Process,
}

/// The time that a processor was ours, so that what else the machine does matters less.
#[cfg(unix)]
fn processor_time(of: Of) -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let clock = match of {
        Of::Thread => ClockId::ThreadCPUTime,
        Of::Process => ClockId::ProcessCPUTime,
    };
    clock_gettime(clock).try_into().unwrap()
}

#[cfg(not(unix))]
fn processor_time(_: Of) -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

/// What a search should find: ten vectors with scores of at least `least`.
struct Truth<'a> {
    scores: &'a [f32],
    least: f32,
    count: usize,
}

impl<'a> Truth<'a> {
    fn of(scores: &'a [f32], wanted: impl Fn(u64) -> bool) -> Self {
        let best = nearest(scores, TOP_K, wanted);
        let least = best.last().map_or(0.0, |id| scores[*id as usize]);
        Self {
            scores,
            least,
            count: best.len(),
        }
    }

    /// How many of these are as good as what should be found. Copies of a text have equal scores.
    fn found(&self, ids: impl Iterator<Item = u64>) -> usize {
        ids.filter(|id| self.scores[*id as usize] >= self.least)
            .count()
            .min(self.count)
    }
}

fn recall(truth: &[Truth<'_>], found: &[Vec<Hit>]) -> f64 {
    let pairs = truth.iter().zip(found);
    let hits: usize = pairs
        .map(|(truth, found)| truth.found(found.iter().map(|hit| hit.frame.get())))
        .sum();
    hits as f64 / truth.iter().map(|truth| truth.count).sum::<usize>() as f64
}

fn code(vector: &[f32]) -> (Vec<u8>, f32) {
    let largest = vector
        .iter()
        .fold(0.0f32, |largest, x| largest.max(x.abs()));
    let code = vector
        .iter()
        .map(|x| (x / largest * 127.0).round_ties_even() as i8 as u8);
    (code.collect(), largest / 127.0)
}

/// Vectors of 384 dimensions around 2,000 centres of which a few have most, each around its centre
/// in 96 directions of its own: hard, and somewhat as embeddings are. And as many queries.
fn clustered(rows: usize) -> (Vectors, Vectors) {
    const DIMS: usize = 384;
    const CENTRES: usize = 2_000;
    const DIRECTIONS: usize = 96;
    let chance = &mut Chance(88_172_645_463_325_252);
    let centres: Vectors = (0..CENTRES).map(|_| chance.normals(DIMS)).collect();
    let basis: Vectors = (0..DIRECTIONS).map(|_| chance.normals(DIMS)).collect();
    let weights: Vec<f64> = (1..=CENTRES).map(|rank| 1.0 / rank as f64).collect();
    let total: f64 = weights.iter().sum();
    let mut all: Vectors = (0..rows + QUERIES)
        .map(|_| {
            let mut at = chance.below(1 << 30) as f64 / (1u64 << 30) as f64 * total;
            let centre = weights.iter().position(|weight| {
                at -= weight;
                at < 0.0
            });
            let mut vector = centres[centre.unwrap_or(0)].clone();
            for direction in &basis {
                let far = chance.normal() * 0.12;
                vector
                    .iter_mut()
                    .zip(direction)
                    .for_each(|(x, d)| *x += far * d);
            }
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vector.iter().map(|x| x / norm).collect()
        })
        .collect();
    let queries = all.split_off(rows);
    (all, queries)
}

/// A small generator: the same numbers on each machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn normal(&mut self) -> f32 {
        let sum: u64 = (0..12).map(|_| self.below(1 << 20)).sum();
        sum as f32 / (1 << 20) as f32 - 6.0
    }

    fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }
}

fn write(path: &Path, vectors: &Vectors) {
    let mut bytes = (vectors[0].len() as u32).to_le_bytes().to_vec();
    bytes.extend(vectors.iter().flatten().flat_map(|x| x.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

fn read(path: &Path) -> Vectors {
    let bytes = fs::read(path).unwrap();
    let (dims, rest) = bytes.split_first_chunk().unwrap();
    let dims = u32::from_le_bytes(*dims) as usize;
    rest.chunks_exact(dims * 4)
        .map(|row| {
            let row = row.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x));
            let norm = row.clone().map(|x| x * x).sum::<f32>().sqrt();
            row.map(|x| x / norm).collect()
        })
        .collect()
}
