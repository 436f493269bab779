//! `cargo xtask fuzz`: hostile bytes for what decodes a file, and hostile text for the query parser, on a stable compiler.
//!
//! Inputs are the golden files and their parts, changed at random. Checksums of what was changed are made right again in most of
//! them, since a decoder behind a wrong checksum is never reached. A panic, or an input that takes longer than [`SLOW`],
//! is a finding: the run stops and names the round, which with the same seed makes the same input. What was found becomes a test
//! of the crate that it was found in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mv2_format::checksum::{crc32, hash32};
use mv2_format::data::{DataSegment, uri_key};
use mv2_format::segment::build_tables;
use mv2_format::toc::Toc;
use mv2_format::wal::{BatchHeader, HEADER_BYTES, decode_records};
use mv2_format::{FrameId, SegmentBytes};
use mv2_store::{CommitOptions, MemoryVolume, NewFrame, Store};

use crate::fixtures::{golden_folder, options};
use crate::layout::{self, Layout, PAGE, PAGE_CRC};

/// One input may not take longer. Nothing here is large, and a debug build is slow.
const SLOW: Duration = Duration::from_secs(10);

/// Makes one input and feeds it.
type Feed = fn(&Seeds, &mut Random);

/// What is fed with hostile input. Each gets an input that is sound at first.
const TARGETS: &[(&str, Feed)] = &[
    ("open", open),
    ("log", log),
    ("toc", toc),
    ("data", data),
    ("query", query),
];

/// Runs one target, or all of them in turn, for so many seconds each.
pub(crate) fn run(target: Option<&str>, seconds: u64, seed: u64) -> Result<()> {
    let seeds = Seeds::read()?;
    let chosen = TARGETS
        .iter()
        .filter(|(name, _)| target.is_none_or(|target| target == *name));
    let mut ran = false;
    for (name, feed) in chosen {
        ran = true;
        let start = Instant::now();
        let mut round = 0;
        while start.elapsed() < Duration::from_secs(seconds) {
            let begun = Instant::now();
            let mut random = Random::new(seed, round);
            let fed = catch_unwind(AssertUnwindSafe(|| feed(&seeds, &mut random)));
            if fed.is_err() {
                bail!("{name}: a panic at seed {seed}, round {round}");
            }
            if begun.elapsed() > SLOW {
                bail!(
                    "{name}: {:?} at seed {seed}, round {round}",
                    begun.elapsed()
                );
            }
            round += 1;
        }
        println!("{name}: {round} inputs, nothing found");
    }
    if !ran {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        bail!("no such target; there are {}", names.join(", "));
    }
    Ok(())
}

/// A whole file: opened, checked, read to its end, written to.
fn open(seeds: &Seeds, random: &mut Random) {
    let (file, places) = random.pick(&seeds.files);
    let mut bytes = file.clone();
    match random.below(4) {
        0 => random.damage(&mut bytes),
        1 => {
            // A page of the header, a root or the footer, with its checksum made right.
            let page = *random.pick(&[0, PAGE, 2 * PAGE, places.footer]);
            random.damage(&mut bytes[page..page + 160]);
            seal_page(&mut bytes[page..page + PAGE]);
        }
        2 => reseal_toc(&mut bytes, places, |toc| random.damage(toc)),
        _ => reseal_segment(&mut bytes, places, random),
    }
    let path = Path::new("fuzz.mv2");
    let volume = std::sync::Arc::new(MemoryVolume::new());
    volume.insert(path, bytes);
    let _ = Store::verify_on(&*volume, path, true);
    let Ok(mut store) = Store::open_on(volume, path, options(), true) else {
        return;
    };
    if let Ok(snapshot) = store.snapshot() {
        // A damaged file may say that it has very many frames; each of them is an error.
        let end = snapshot.end_frame().0.min(2_000);
        for id in (0..end).map(FrameId) {
            let _ = snapshot.frame(id);
        }
        let _ = snapshot.log().take(2_000).count();
        let _ = snapshot.find_uri("note/1");
        let _ = snapshot.stats();
    }
    let new = NewFrame {
        payload: b"after the damage".to_vec(),
        ..NewFrame::default()
    };
    if store.put(new).is_ok() && store.commit(CommitOptions::default()).is_ok() {
        let _ = store.checkpoint();
    }
}

/// The records of a batch.
fn log(seeds: &Seeds, random: &mut Random) {
    let (header, records) = random.pick(&seeds.batches);
    let mut records = records.clone();
    random.damage(&mut records);
    let mut header = *header;
    if random.below(8) == 0 {
        header.records = random.below(1 << 20) as u32;
    }
    let _ = decode_records(&header, &records);
    let mut head = seeds.headers[random.below(seeds.headers.len() as u64) as usize].clone();
    random.damage(&mut head);
    let _ = BatchHeader::decode(&head);
}

/// A table of contents.
fn toc(seeds: &Seeds, random: &mut Random) {
    let mut bytes = random.pick(&seeds.tocs).clone();
    random.damage(&mut bytes);
    if let Ok(toc) = Toc::decode(&bytes, random.next() >> random.below(64)) {
        assert_eq!(toc.encode(), bytes, "a table of contents has one form");
    }
}

/// A data segment: checked, and each frame read by its id.
fn data(seeds: &Seeds, random: &mut Random) {
    let mut body = random.pick(&seeds.data).clone();
    random.damage(&mut body);
    let Ok(segment) = DataSegment::open(&SegmentBytes::from_vec(body)) else {
        return;
    };
    if segment.end_frame().0 - segment.first_frame().0 > 10_000 {
        return; // Each of them is an error, and they are slow to count.
    }
    let _ = segment.verify();
    for id in (segment.first_frame().0..segment.end_frame().0).map(FrameId) {
        let _ = segment.frame(id);
    }
    let _ = segment.find_uri(uri_key("note/1"), "note/1").count();
    let _ = segment.find_content(&[7; 16], 3).count();
}

/// A query.
fn query(_: &Seeds, random: &mut Random) {
    const PARTS: &[&str] = &[
        "sea",
        "東京",
        "が",
        "\"",
        "(",
        ")",
        "+",
        "-",
        "AND",
        "OR",
        "NOT",
        ":",
        "tag:",
        "uri:",
        "date:",
        "[",
        " TO ",
        "]",
        "*",
        "\\",
        " ",
        " ",
        "\u{3000}",
        "e\u{301}",
        "ﬃ",
        "\u{200d}",
        "\0",
        "🏳️‍🌈",
        "k=v",
        "2024-05-01",
    ];
    let mut text = String::new();
    let most = [4, 40, 4_000][random.below(3) as usize];
    for _ in 0..random.below(most) {
        match random.below(12) {
            0 => text.extend(char::from_u32(random.below(0x11_0000) as u32)),
            // Nesting that a recursive parser would not survive.
            1 if most == 4_000 => {
                text.push_str(&random.pick::<&str>(&["(", "-", "NOT "]).repeat(500))
            }
            _ => text.push_str(random.pick::<&str>(PARTS)),
        }
    }
    let parsed = mv2_lex::Query::parse(&text);
    let _ = (
        parsed.query.is_empty(),
        parsed.query.is_plain(),
        parsed.query.dates().count(),
    );
    let _ = mv2_lex::Query::words(&text).is_empty();
}

/// The golden files, whole and taken apart.
struct Seeds {
    files: Vec<(Vec<u8>, Layout)>,
    tocs: Vec<Vec<u8>>,
    data: Vec<Vec<u8>>,
    batches: Vec<(BatchHeader, Vec<u8>)>,
    headers: Vec<Vec<u8>>,
}

impl Seeds {
    fn read() -> Result<Self> {
        let mut seeds = Self {
            files: Vec::new(),
            tocs: Vec::new(),
            data: Vec::new(),
            batches: Vec::new(),
            headers: Vec::new(),
        };
        let mut paths: Vec<_> = std::fs::read_dir(golden_folder())?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "mv2"));
        paths.sort();
        for path in paths {
            let bytes = std::fs::read(&path)?;
            let places =
                layout::read(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
            seeds.tocs.push(bytes[toc_range(&bytes, &places)].to_vec());
            for (_, body) in places.segments.iter().filter(|(kind, _)| *kind == 1) {
                seeds.data.push(bytes[body.clone()].to_vec());
            }
            for batch in &places.batches {
                let batch = &bytes[batch.clone()];
                seeds.headers.push(batch[..HEADER_BYTES].to_vec());
                seeds
                    .batches
                    .push((BatchHeader::decode(batch)?, batch[HEADER_BYTES..].to_vec()));
            }
            seeds.files.push((bytes, places));
        }
        Ok(seeds)
    }
}

fn number(bytes: &[u8], at: usize) -> usize {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number) as usize
}

fn toc_range(bytes: &[u8], places: &Layout) -> std::ops::Range<usize> {
    let at = number(bytes, places.root + 40);
    at..at + number(bytes, places.root + 48)
}

fn seal_page(page: &mut [u8]) {
    let crc = crc32(&page[..PAGE_CRC]).to_le_bytes();
    page[PAGE_CRC..].copy_from_slice(&crc);
}

/// Changes the TOC and makes the hashes in root page and footer right.
fn reseal_toc(bytes: &mut [u8], places: &Layout, change: impl FnOnce(&mut [u8])) {
    let range = toc_range(bytes, places);
    change(&mut bytes[range.clone()]);
    let hash = hash32(&bytes[range]);
    for page in [places.root, places.footer] {
        bytes[page + 56..page + 88].copy_from_slice(&hash);
        seal_page(&mut bytes[page..page + PAGE]);
    }
}

/// Changes the body of a segment and makes its tables and all hashes right.
fn reseal_segment(bytes: &mut [u8], places: &Layout, random: &mut Random) {
    if places.segments.is_empty() {
        return;
    }
    let index = random.below(places.segments.len() as u64) as usize;
    let (_, body) = &places.segments[index];
    random.damage(&mut bytes[body.clone()]);
    let (tables, summary_crc) = build_tables(&bytes[body.clone()]);
    bytes[body.end..body.end + tables.len()].copy_from_slice(&tables);
    let hash = hash32(&bytes[body.start..body.end + tables.len()]);
    reseal_toc(bytes, places, |toc| {
        let entry = 128 + 112 * index;
        toc[entry + 4..entry + 8].copy_from_slice(&summary_crc.to_le_bytes());
        toc[entry + 32..entry + 64].copy_from_slice(&hash);
    });
}

/// Numbers that look random and are the same for the same seed and round (splitmix64).
struct Random(u64);

impl Random {
    fn new(seed: u64, round: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Changes one to four places: a byte, a bit, or a number that decoders find hard.
    fn damage(&mut self, bytes: &mut [u8]) {
        const HARD: [u64; 10] = [
            0,
            1,
            0x7f,
            0xff,
            0xffff,
            u32::MAX as u64,
            1 << 32,
            i64::MAX as u64,
            u64::MAX - 1,
            u64::MAX,
        ];
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            // Heads and feet are small, and what is most worth changing.
            let len = bytes.len() as u64;
            let at = match self.below(3) {
                0 => self.below(len.min(256)),
                1 => len - 1 - self.below(len.min(256)),
                _ => self.below(len),
            } as usize;
            match self.below(4) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => {
                    let width = 1 << self.below(4);
                    let end = (at + width).min(bytes.len());
                    let hard = self.pick(&HARD).to_le_bytes();
                    bytes[at..end].copy_from_slice(&hard[..end - at]);
                }
                _ => {
                    let from = self.below(len) as usize;
                    let count = (self.below(64) as usize).min(bytes.len() - from.max(at));
                    bytes.copy_within(from..from + count, at);
                }
            }
        }
    }
}
