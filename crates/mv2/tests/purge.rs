//! What a purge promises: nothing of a purged document is in the bytes of the file, and all else answers as if it had never
//! been there.
#![cfg(all(feature = "lex", feature = "vec"))]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mv2::format::checksum::hash32;
use mv2::format::codec::{Codec, Decompressor};
use mv2::format::frame::content_hash;
use mv2::format::header::Header;
use mv2::format::root::{Root, RootKind};
use mv2::format::toc::Toc;
use mv2::format::{SegmentBytes, SegmentKind};
use mv2::{
    CheckpointPolicy, CommitId, FrameId, Memvid, Mode, OpenOptions, PurgeRequest, PutOptions,
    SearchRequest, Selector, Snapshot, TimelineQuery,
};

const DOCUMENTS: u64 = 200;
const DIMS: usize = 24;

/// A document, and what is known of it.
struct Document {
    number: u64,
    text: String,
    options: PutOptions,
    vector: Vec<f32>,
}

/// Whether a document is to be purged.
fn is_secret(number: u64) -> bool {
    number % 3 == 1
}

/// A word that only one document has, in each of its fields.
fn marker(number: u64) -> String {
    format!("zmark{number:04}q")
}

/// Text that fills a document, and repeats in none.
fn filler(number: u64, words: usize) -> String {
    let mut state = number * 7_919 + 13;
    let mut text = String::new();
    for _ in 0..words {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(
            [
                "harbour ",
                "winter ",
                "planning ",
                "garden ",
                "quarter ",
                "ships ",
            ][(state >> 40) as usize % 6],
        );
        if (state >> 50).is_multiple_of(4) {
            text.push_str(&format!("w{:x} ", state >> 44));
        }
    }
    text
}

fn document(number: u64) -> Document {
    let marker = marker(number);
    let passage = match is_secret(number) {
        true => "the recurring swordfish passage that each secret document has word for word",
        false => "the ordinary passage that each other document has word for word",
    };
    // Some share their text with a document that stays, or with another secret.
    let text = match number % 20 {
        4 | 5 => format!("shared text {} {}", number / 20, filler(number / 20, 60)),
        13 | 16 if is_secret(number) => {
            format!("secret pair {} {}", self::marker(13), filler(13, 60))
        }
        _ => format!("{marker} {passage} {}", filler(number, 900)),
    };
    let secret = if is_secret(number) { "yes" } else { "no" };
    let mut options = PutOptions::builder()
        .uri(format!("doc/{}/{}", marker, number))
        .title(format!("title {marker}"))
        .tag("secret", secret)
        .tag(format!("key-{marker}"), format!("value-{marker}"))
        .label(format!("label-{marker}"))
        .kind(format!("kind-{marker}"))
        .track(format!("track-{marker}"))
        .timestamp(1_700_000_000 + number as i64 * 3_600)
        .metadata(serde_json::json!({ "note": format!("meta {marker}") }));
    if number % 7 == 1 {
        options = options.search_text(format!("instead of the text {marker}"));
    }
    let component = |at: usize| {
        let mixed = hash32(&[number as u8, (number >> 8) as u8, at as u8]);
        let mixed = u64::from_le_bytes(mixed[..8].try_into().unwrap());
        (mixed >> 44) as f32 / (1 << 19) as f32 - 1.0
    };
    let vector = (0..DIMS).map(component);
    Document {
        number,
        text,
        options: options.build(),
        vector: vector.collect(),
    }
}

fn open_options() -> OpenOptions {
    OpenOptions::new()
        .no_embedder()
        .background(false)
        .checkpoint(CheckpointPolicy {
            tail_frames: 40,
            max_segments: 3,
            ..CheckpointPolicy::default()
        })
}

/// A memory with a long past: of each ten documents one is put anew and one is deleted. Which frame holds which document.
fn memory(path: &Path) -> (Memvid, BTreeMap<u64, u64>) {
    let mut mem = open_options().create(path).unwrap();
    let mut frames = BTreeMap::new();
    for number in 0..DOCUMENTS {
        let Document {
            text,
            options,
            vector,
            ..
        } = document(number);
        let id = mem
            .put_with_embedding(text.as_bytes(), options, &vector)
            .unwrap()
            .frame_id;
        frames.insert(id.get(), number);
        if number % 10 == 7 {
            mem.delete_frame(id.get() - 5).unwrap();
        }
        if number % 10 == 8 {
            // A newer version, under the uri of an older document, and as secret as that.
            let Document {
                vector,
                options,
                number,
                ..
            } = document(number - 4);
            let text = format!(
                "newer version of {} {}",
                marker(number),
                filler(number + 5_000, 80)
            );
            let outcome = mem
                .put_with_embedding(text.as_bytes(), options, &vector)
                .unwrap();
            frames.insert(outcome.frame_id.get(), number);
        }
        if number == DOCUMENTS - 20 {
            mem.commit().unwrap();
            mem.vacuum().unwrap();
        }
        if number % 5 == 4 {
            mem.commit_with(format!("documents up to {}", marker(number)))
                .unwrap();
        }
    }
    mem.commit_with("the last ones").unwrap();
    (mem, frames)
}

/// The entries of a data segment's directories, unpacked: blocks of the stream, metadata, and the tables.
fn unpack(body: &[u8]) -> BTreeMap<&'static str, Vec<u8>> {
    let number = |bytes: &[u8], at: usize, len: usize| {
        let mut number = [0; 8];
        number[..len].copy_from_slice(&bytes[at..at + len]);
        u64::from_le_bytes(number) as usize
    };
    let foot = &body[body.len() - 160..];
    let section = |index: usize| {
        let at = 32 + index * 16;
        let start = number(foot, at, 8);
        &body[start..start + number(foot, at + 8, 8)]
    };
    let (blocks, directory, metas, meta_directory) =
        (section(0), section(1), section(2), section(3));
    let reader = Decompressor::new(section(6).to_vec());
    let mut stream = Vec::new();
    let entries: Vec<_> = directory.chunks(24).collect();
    for (index, entry) in entries.iter().enumerate() {
        let end = entries
            .get(index + 1)
            .map_or(number(foot, 24, 8), |next| number(next, 0, 8));
        let (at, len) = (number(entry, 8, 8), number(entry, 16, 4));
        let codec = Codec::from_id(entry[20]).unwrap();
        let raw = reader.decompress(codec, &blocks[at..at + len], end - number(entry, 0, 8));
        stream.extend(raw.unwrap());
    }
    let mut metadata = Vec::new();
    for entry in meta_directory.chunks(32) {
        let (at, len) = (number(entry, 0, 8), number(entry, 8, 4));
        let codec = Codec::from_id(entry[24]).unwrap();
        let raw = reader.decompress(codec, &metas[at..at + len], number(entry, 12, 4));
        metadata.extend(raw.unwrap());
    }
    [
        ("stream", stream),
        ("metadata", metadata),
        ("uri table", section(4).to_vec()),
        ("content table", section(5).to_vec()),
        ("dictionary", section(6).to_vec()),
    ]
    .into()
}

/// All that can be read out of a file: its bytes as they are, and all that is packed in them, by where it is.
fn everything(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = std::fs::read(path).unwrap();
    let header = Header::decode(&file[..4096]).unwrap();
    let roots = [4096u64, 8192].map(|at| {
        let page = &file[at as usize..at as usize + 4096];
        Root::decode(page, RootKind::Page, &header.uuid, at.into())
    });
    let root = roots
        .into_iter()
        .flatten()
        .max_by_key(|root| root.generation)
        .unwrap();
    let toc_at = root.toc_offset.0 as usize;
    let toc = &file[toc_at..toc_at + root.toc_len as usize];
    let toc = Toc::decode(toc, root.committed_len).unwrap();
    let mut all = BTreeMap::new();
    for entry in &toc.segments {
        let start = entry.offset.0 as usize;
        let body = &file[start..start + entry.body_len as usize];
        let name = |part: &str| format!("{} {part} #{}", entry.kind, entry.id);
        match entry.kind {
            SegmentKind::DATA => {
                for (part, bytes) in unpack(body) {
                    all.insert(name(part), bytes);
                }
            }
            SegmentKind::LEX => {
                let mut terms = Vec::new();
                let segment = mv2::lex::Segment::open(SegmentBytes::from_vec(body.to_vec()));
                let each = &mut |_: &str, term: &[u8]| {
                    terms.extend_from_slice(term);
                    terms.push(b'\n');
                };
                segment.unwrap().each_term(each).unwrap();
                all.insert(name("terms"), terms);
            }
            SegmentKind::VECTORS => {
                let segment = mv2::vec::Segment::open(SegmentBytes::from_vec(body.to_vec()));
                let frames = segment.unwrap().frames().unwrap();
                let ids = frames.iter().flat_map(|id| id.get().to_le_bytes());
                all.insert(name("frames"), ids.collect());
            }
            _ => {}
        }
    }
    all.insert("the file".into(), file);
    all
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    let first = wanted[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        if rest[at..].starts_with(wanted) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// What would tell that a document was there, and where it may not be.
fn traces(
    number: u64,
    text: &str,
    uri: &str,
    vector: &[f32],
    frame: u64,
) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let largest = vector.iter().fold(0f32, |most, x| most.max(x.abs()));
    let code = vector
        .iter()
        .map(|x| (x / largest * 127.0).round_ties_even() as i8 as u8);
    let hash = content_hash(text.as_bytes());
    let key = |hash: &[u8]| hash[..4].to_vec();
    vec![
        ("its word", "", marker(number).into_bytes()),
        ("its hash", "", hash.to_vec()),
        ("the code of its vector", "", code.collect()),
        ("its content's key", "content table", key(&hash)),
        ("its uri's key", "uri table", key(&hash32(uri.as_bytes()))),
        ("its row", "frames", frame.to_le_bytes().to_vec()),
    ]
}

/// Which traces of a document there are: what, and where.
fn found(
    all: &BTreeMap<String, Vec<u8>>,
    traces: &[(&'static str, &'static str, Vec<u8>)],
) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (what, place, bytes) in traces {
        for (name, blob) in all {
            let found_here = match *place {
                "" => has(blob, bytes),
                place if name.contains(place) => {
                    blob.chunks(8).any(|entry| entry.starts_with(bytes))
                }
                _ => false,
            };
            if found_here {
                found.push((*what, name.clone()));
            }
        }
    }
    found
}

fn request(query: &str, mode: Mode, vector: Option<Vec<f32>>) -> SearchRequest {
    SearchRequest {
        query: query.to_owned(),
        mode,
        vector,
        exact: true,
        top_k: 10_000,
        count: true,
        ..SearchRequest::default()
    }
}

const QUERIES: [&str; 4] = [
    "harbour winter",
    "passage word",
    "\"planning garden\"",
    "newer version",
];

/// The answers of a memory: of each question, the documents by what tells them apart, with the bits of their scores.
fn lexical(snapshot: &Snapshot, name: &dyn Fn(FrameId) -> String) -> Vec<Vec<(String, u32)>> {
    let answers = QUERIES.map(|query| {
        let hits = snapshot
            .search(request(query, Mode::Lex, None))
            .unwrap()
            .hits;
        hits.iter()
            .map(|hit| (name(hit.frame_id), hit.score.to_bits()))
            .collect()
    });
    answers.to_vec()
}

fn by_vector(snapshot: &Snapshot) -> Vec<(u64, u32)> {
    let vector = Some(document(77).vector);
    let hits = snapshot
        .search(request("", Mode::Vec, vector))
        .unwrap()
        .hits;
    hits.iter()
        .map(|hit| (hit.frame_id.get(), hit.score.to_bits()))
        .collect()
}

fn timeline(snapshot: &Snapshot) -> Vec<u64> {
    let query = TimelineQuery {
        limit: 10_000,
        ..TimelineQuery::default()
    };
    let frames = snapshot.timeline(query).unwrap().frames;
    frames.iter().map(|entry| entry.frame_id.get()).collect()
}

fn sound(path: &Path) {
    let report = Memvid::verify(path, true).unwrap();
    assert!(report.ok, "{report:?}");
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.mv2");
    (folder, path)
}

#[test]
fn nothing_of_what_was_purged_is_in_the_bytes_and_all_else_answers_as_without_it() {
    let (folder, path) = temporary();
    let (mut mem, frames) = memory(&path);
    // Beside the last checkpoint, so that the log is part of it.
    assert!(mem.stats().unwrap().tail_frame_count > 0);
    let secret: BTreeSet<u64> = frames
        .iter()
        .filter(|(_, number)| is_secret(**number))
        .map(|(id, _)| *id)
        .collect();
    let texts: BTreeMap<u64, String> = {
        let mut texts = BTreeMap::new();
        for commit in mem.log(10_000).unwrap() {
            let then = mem.at(commit.id).unwrap();
            for meta in then.frames() {
                let id = meta.unwrap().id;
                texts.entry(id.get()).or_insert_with(|| {
                    String::from_utf8(then.frame_canonical_payload(id).unwrap()).unwrap()
                });
            }
        }
        texts
    };
    let kept: BTreeSet<&String> = texts
        .iter()
        .filter(|(id, _)| !secret.contains(id))
        .map(|(_, text)| text)
        .collect();
    let traces_of = |id: u64| -> Vec<_> {
        let number = frames[&id];
        let Document {
            vector, options, ..
        } = document(number);
        let text = texts
            .get(&id)
            .cloned()
            .unwrap_or_else(|| document(number).text);
        let mut all = traces(number, &text, &options.uri.unwrap(), &vector, id);
        // What another document says as well stays in the file.
        all.retain(|(what, ..)| {
            !kept.contains(&text) || !what.contains("hash") && !what.contains("content")
        });
        all
    };

    // Each kind of trace is where it was expected, so that the search for it can find one.
    let all = everything(&path);
    let mut places: BTreeSet<(&str, String)> = BTreeSet::new();
    for id in &secret {
        for (what, place) in found(&all, &traces_of(*id)) {
            let kind = place.split(" #").next().unwrap_or_default();
            places.insert((what, kind.to_owned()));
        }
    }
    for (what, place) in [
        ("its word", "data stream"),
        ("its word", "data metadata"),
        ("its word", "lex terms"),
        ("its word", "the file"),
        ("its hash", "data metadata"),
        ("its hash", "the file"),
        ("the code of its vector", "the file"),
        ("its content's key", "data content table"),
        ("its uri's key", "data uri table"),
        ("its row", "vectors frames"),
    ] {
        let expected = (what, place.to_owned());
        assert!(places.contains(&expected), "{expected:?} in {places:?}");
    }
    let dictionaries = |all: &BTreeMap<String, Vec<u8>>| -> Vec<u8> {
        let dictionaries = all.iter().filter(|(name, _)| name.contains("dictionary"));
        dictionaries.flat_map(|(_, bytes)| bytes.clone()).collect()
    };
    assert!(has(&dictionaries(&all), b"swordfish"));

    let commits: Vec<_> = mem
        .log(10_000)
        .unwrap()
        .iter()
        .map(|commit| commit.id)
        .collect();
    let before: Vec<_> = commits
        .iter()
        .map(|commit| {
            let then = mem.at(*commit).unwrap();
            let visible: Vec<_> = then.frames().map(|meta| meta.unwrap()).collect();
            (visible, timeline(&then), by_vector(&then))
        })
        .collect();

    let request = PurgeRequest::builder().tag("secret", "yes").build();
    let plan = mem.plan_purge(&request).unwrap();
    let planned: BTreeSet<u64> = plan.frames.iter().map(|frame| frame.id.get()).collect();
    assert_eq!(planned, secret);
    for frame in &plan.frames {
        let text = texts.get(&frame.id.get());
        let stays = text.is_some_and(|text| kept.contains(text));
        assert_eq!(frame.same_content.is_some(), stays, "{frame:?}");
    }
    let purged = mem.purge(&request).unwrap().unwrap();
    assert_eq!(purged.frames, secret.len() as u64);
    sound(&path);

    let all = everything(&path);
    for id in &secret {
        assert_eq!(found(&all, &traces_of(*id)), [], "frame {id}");
    }
    assert!(!dictionaries(&all).is_empty());
    for (name, bytes) in &all {
        assert!(!has(bytes, b"swordfish"), "{name}");
    }
    let header = Header::decode(&all["the file"][..4096]).unwrap();
    let log = header.wal_offset.0 as usize..(header.wal_offset.0 + header.wal_len) as usize;
    let used = all["the file"][log]
        .iter()
        .filter(|byte| **byte != 0)
        .count();
    assert!(used < 64, "the log is its anchor and zeros: {used}");

    for (at, (commit, (visible, times, nearest))) in commits.iter().zip(&before).enumerate() {
        let then = mem.at(*commit).unwrap();
        let now: Vec<_> = then.frames().map(|meta| meta.unwrap()).collect();
        let mut expected = visible.clone();
        expected.retain(|meta| !secret.contains(&meta.id.get()));
        // Who carries a shared text has changed.
        let without_carrier = |metas: &[mv2::FrameMeta]| -> Vec<_> {
            let strip = |meta: &mv2::FrameMeta| mv2::FrameMeta {
                payload_frame: None,
                ..meta.clone()
            };
            metas.iter().map(strip).collect()
        };
        assert_eq!(without_carrier(&now), without_carrier(&expected));
        for meta in &now {
            let payload = then.frame_canonical_payload(meta.id).unwrap();
            assert_eq!(payload, texts[&meta.id.get()].as_bytes());
        }
        let mut expected = times.clone();
        expected.retain(|id| !secret.contains(id));
        assert_eq!(timeline(&then), expected);
        let mut expected = nearest.clone();
        expected.retain(|(id, _)| !secret.contains(id));
        assert_eq!(by_vector(&then), expected);
        if at % 9 != 0 {
            continue;
        }
        // Scores are those of a memory that never had the others.
        let fresh = folder.path().join(format!("fresh-{at}.mv2"));
        let mut fresh = open_options().create(fresh).unwrap();
        let mut ids = BTreeMap::new();
        for meta in &now {
            let options = PutOptions {
                title: meta.title.clone(),
                search_text: meta.search_text.clone(),
                ..PutOptions::default()
            };
            let id = fresh
                .put_bytes_with_options(texts[&meta.id.get()].as_bytes(), options)
                .unwrap()
                .frame_id;
            ids.insert(id, meta.id.get().to_string());
        }
        fresh.commit().unwrap();
        let fresh = fresh.snapshot().unwrap();
        assert_eq!(
            lexical(&then, &|id| id.get().to_string()),
            lexical(&fresh, &|id| ids[&id].clone())
        );
    }

    // Another purge adds to it, and what is written later is found.
    let (id, kept) = frames.iter().find(|(id, _)| !secret.contains(id)).unwrap();
    mem.purge(&PurgeRequest::frames([FrameId(*id)]))
        .unwrap()
        .unwrap();
    assert!(!has(
        &std::fs::read(&path).unwrap(),
        marker(*kept).as_bytes()
    ));
    let stats = mem.stats().unwrap();
    assert_eq!(stats.purged_frame_count, secret.len() as u64 + 1);
    assert_eq!(mem.frame_by_id(*id).unwrap_err().kind(), "frame_purged");
    let purges = mem.snapshot().unwrap().purges().unwrap();
    assert_eq!(
        purges.iter().map(|purge| purge.frames).collect::<Vec<_>>(),
        [secret.len() as u64, 1]
    );
    mem.put_bytes(b"a lighthouse").unwrap();
    mem.commit().unwrap();
    assert_eq!(mem.search("lighthouse").unwrap().hits.len(), 1);
    mem.seal_small().unwrap();
    let last = frames
        .iter()
        .rfind(|(id, _)| !secret.contains(id))
        .unwrap()
        .0;
    mem.purge(&PurgeRequest::frames([FrameId(*last)]))
        .unwrap()
        .unwrap();
    assert!(mem.is_sealed().unwrap());
    assert_eq!(mem.search("lighthouse").unwrap().hits.len(), 1);
    sound(&path);
}

/// Two documents, the first of which was written anew.
fn versions() -> (tempfile::TempDir, Memvid) {
    let (folder, path) = temporary();
    let mut mem = open_options().create(path).unwrap();
    for (uri, text, time) in [
        ("a/1", "first", 100),
        ("a/2", "second", 200),
        ("a/1", "third", 300),
    ] {
        let options = PutOptions::builder()
            .uri(uri)
            .timestamp(time)
            .tag("n", text)
            .build();
        mem.put_bytes_with_options(text.as_bytes(), options)
            .unwrap();
        mem.commit().unwrap();
    }
    (folder, mem)
}

fn planned(mem: &Memvid, request: &PurgeRequest) -> Vec<u64> {
    let plan = mem.plan_purge(request).unwrap();
    plan.frames.iter().map(|frame| frame.id.get()).collect()
}

#[test]
fn all_conditions_of_a_request_must_hold() {
    let (_folder, mut mem) = versions();
    let request = PurgeRequest::builder;
    assert_eq!(planned(&mem, &request().uri("a/1").build()), [0, 2]);
    assert_eq!(planned(&mem, &request().uri("a/*").build()), [0, 1, 2]);
    assert_eq!(
        planned(&mem, &request().uri("a/1").id(1).build()),
        [0, 1, 2]
    );
    assert_eq!(
        planned(&mem, &request().uri("a/1").tag("n", "third").build()),
        [2]
    );
    assert_eq!(planned(&mem, &request().since(200).build()), [1, 2]);
    assert_eq!(planned(&mem, &request().since(101).until(200).build()), [1]);
    // A commit's past: what it does not show any more.
    assert_eq!(
        planned(&mem, &request().before(Selector::Head).build()),
        [0]
    );
    assert_eq!(planned(&mem, &request().before(2).build()), [0; 0]);
    let plan = mem.plan_purge(&request().id(0).build()).unwrap();
    let frame = &plan.frames[0];
    assert_eq!(
        (frame.visible, frame.other_versions, plan.payload_bytes),
        (false, 1, 5)
    );

    let wrong = |request: PurgeRequest| mem.plan_purge(&request).unwrap_err().kind();
    assert_eq!(wrong(PurgeRequest::default()), "empty_purge");
    assert_eq!(wrong(request().id(3).build()), "no_such_frame");
    assert_eq!(wrong(request().since(2).until(1).build()), "invalid_range");
    assert_eq!(wrong(request().before(9).build()), "no_such_commit");
    assert_eq!(mem.purge(&request().uri("b").build()).unwrap(), None);
    assert_eq!(
        mem.purge(&PurgeRequest::default()).unwrap_err().kind(),
        "empty_purge"
    );
    mem.put_bytes(b"pending").unwrap();
    assert_eq!(
        mem.purge(&request().id(0).build()).unwrap_err().kind(),
        "in_transaction"
    );
}

#[test]
fn what_a_branch_or_a_tag_shows_is_no_past() {
    let (_folder, path) = temporary();
    let mut store =
        mv2::store::Store::create(&path, &Default::default(), Default::default()).unwrap();
    let put = |store: &mut mv2::store::Store, uri: &str, text: &str| {
        let frame = mv2::store::NewFrame {
            uri: Some(uri.into()),
            is_text: true,
            payload: text.into(),
            ..Default::default()
        };
        store.put(frame).unwrap();
        store.commit(Default::default()).unwrap().unwrap().id
    };
    put(&mut store, "a", "zero");
    let tagged = put(&mut store, "a", "one");
    let branched = put(&mut store, "a", "two");
    put(&mut store, "a", "three");
    put(&mut store, "a", "four");
    store.create_tag("release", tagged).unwrap();
    store.create_branch("draft", branched).unwrap();
    drop(store);
    let mut mem = open_options().open(&path).unwrap();
    let request = PurgeRequest::builder().before(Selector::Head).build();
    assert_eq!(planned(&mem, &request), [0, 3]);
    mem.purge(&request).unwrap().unwrap();
    assert_eq!(planned(&mem, &request), [0; 0]);
    sound(&path);
}

#[test]
fn searches_that_tell_of_what_was_purged_go_with_it() {
    let (_folder, path) = temporary();
    let options = || {
        OpenOptions::new()
            .background(false)
            .no_embedder()
            .journal(true)
    };
    let mut mem = options().create(&path).unwrap();
    mem.put_bytes(b"the pin of the vault is zebra").unwrap();
    mem.put_bytes(b"the harbour opens at nine").unwrap();
    mem.commit().unwrap();
    // One in a segment, one that stays, one in the log.
    mem.search("zebra vault").unwrap();
    mem.checkpoint().unwrap();
    mem.search("harbour hours").unwrap();
    mem.search("zebra pin").unwrap();
    let purged = mem.purge(&PurgeRequest::frames([FrameId(0)])).unwrap();
    assert_eq!(purged.unwrap().frames, 1);
    let snapshot = mem.snapshot().unwrap();
    let noted = snapshot.journal(CommitId(0)..=snapshot.last_commit());
    let queries: Vec<String> = noted.map(|noted| noted.unwrap().request.query).collect();
    assert_eq!(queries, ["harbour hours"]);
    let bytes = std::fs::read(&path).unwrap();
    assert!(!has(&bytes, b"zebra"));
    assert!(has(&bytes, b"harbour hours"));
    let steps = mem.replay(&mv2::ReplayOptions::default()).unwrap();
    let steps: Vec<_> = steps.map(|step| step.unwrap()).collect();
    assert!(!steps.is_empty());
    sound(&path);
}
