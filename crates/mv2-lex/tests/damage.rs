//! Damage: every flipped byte is an error or changes nothing, and no bytes at all make a panic.

use std::sync::Arc;

use mv2_format::segment::build_tables;
use mv2_format::{
    BoxError, FileOffset, Frame, FrameId, FrameMeta, IndexFactory, SegmentBytes, SegmentKind,
};
use mv2_lex::{
    DocText, LexIndex, Query, Reader, Results, SearchOptions, Segment, SegmentView, TextSource,
    UriFilter,
};
use proptest::prelude::*;

struct Texts(Vec<Frame>);

impl TextSource for Texts {
    fn text(&self, frame: FrameId) -> Result<DocText, BoxError> {
        let found = self.0.iter().find(|known| known.meta.id == frame);
        let frame = found.ok_or("no such frame")?;
        Ok(DocText {
            title: frame.meta.title.clone(),
            text: frame.text().to_owned(),
        })
    }
}

/// Frames with gaps between their ids and some of everything that is indexed.
fn frames(count: u64) -> Vec<Frame> {
    let words = [
        "sea",
        "storm",
        "the",
        "deep",
        "東京都",
        "getUserName",
        "calm",
        "lakes",
    ];
    (0..count)
        .map(|id| {
            let word = |at: u64| words[(at % words.len() as u64) as usize];
            let text: Vec<&str> = (0..5 + id % 7).map(|at| word(id * at + at)).collect();
            Frame {
                meta: FrameMeta {
                    id: FrameId(id * 2 + id / 10),
                    uri: Some(format!("notes/{id}")),
                    title: (id % 3 == 0).then(|| word(id).to_owned()),
                    kind: Some("note".to_owned()),
                    track: (id % 2 == 0).then(|| "even".to_owned()),
                    tags: vec![("n".to_owned(), (id % 4).to_string())],
                    labels: vec!["x".to_owned()],
                    is_text: true,
                    ..FrameMeta::default()
                },
                payload: text.join(" ").into_bytes(),
            }
        })
        .collect()
}

fn build(frames: &[Frame]) -> Vec<u8> {
    let mut builder = LexIndex::new().builder();
    for frame in frames {
        builder.add(frame).unwrap();
    }
    builder.finish().unwrap()
}

/// Opens a segment and uses all of it.
fn exercise(bytes: SegmentBytes, texts: &Texts) -> mv2_lex::Result<Vec<Results>> {
    let segment = Arc::new(Segment::open(bytes)?);
    let view = SegmentView::new(segment, FrameId(150), &[FrameId(4), FrameId(10)])?;
    let reader = Reader::new(vec![view])?;
    let mut found = Vec::new();
    let counted = SearchOptions {
        count: true,
        ..SearchOptions::default()
    };
    for asked in [
        "deep sea",
        "東京",
        "\"deep storm\" tag:n=1",
        "user -calm",
        "京",
        "title:sea",
    ] {
        found.push(reader.search(&Query::parse(asked).query, &counted, texts)?);
    }
    let prefixed = SearchOptions {
        uri: Some(UriFilter::Prefix("notes/1".to_owned())),
        ..SearchOptions::default()
    };
    found.push(reader.search(&Query::words("sea the"), &prefixed, texts)?);
    Ok(found)
}

#[test]
fn a_flipped_byte_is_an_error_or_changes_nothing() {
    let texts = Texts(frames(90));
    let body = build(&texts.0);
    let (tables, crc) = build_tables(&body);
    let extent = [&body[..], &tables[..]].concat();
    let open = |bytes: Vec<u8>| {
        SegmentBytes::open(Arc::new(bytes), body.len() as u64, crc, FileOffset(0))
            .map_err(mv2_lex::Error::from)
            .and_then(|bytes| exercise(bytes, &texts))
    };
    let right = open(extent.clone()).unwrap();
    let mut errors = 0;
    for at in 0..extent.len() {
        let mut bad = extent.clone();
        bad[at] ^= 1 << (at % 8);
        match open(bad) {
            Ok(found) => assert_eq!(found, right, "byte {at}"),
            Err(_) => errors += 1,
        }
    }
    assert!(errors * 2 > extent.len(), "{errors} of {}", extent.len());
}

#[test]
fn the_checks_report_damage_as_what_it_is() {
    let texts = Texts(frames(400));
    let body = build(&texts.0);
    let (tables, crc) = build_tables(&body);
    let mut extent = [&body[..], &tables[..]].concat();
    extent[body.len() / 2] ^= 1;
    let bytes = SegmentBytes::open(Arc::new(extent), body.len() as u64, crc, FileOffset(0));
    let result = bytes
        .map_err(mv2_lex::Error::from)
        .and_then(Segment::open)
        .and_then(|segment| segment.verify());
    assert!(matches!(
        result,
        Err(mv2_lex::Error::Format(mv2_format::Error::Checksum { .. }))
    ));
}

/// Without page checks, as for a hostile file whose checksums are right.
fn survives(bytes: Vec<u8>, texts: &Texts) {
    let bytes = SegmentBytes::from_vec(bytes);
    if let Ok(segment) = Segment::open(bytes.clone()) {
        drop(segment.verify());
    }
    drop(exercise(bytes, texts));
}

#[test]
fn unchecked_damage_never_panics() {
    std::panic::set_hook(Box::new(|_| {}));
    let texts = Texts(frames(300));
    let body = build(&texts.0);
    for at in (0..body.len()).step_by(7) {
        for flip in [0x01, 0x80, 0xFF] {
            let mut bad = body.clone();
            bad[at] ^= flip;
            survives(bad, &texts);
        }
    }
    for len in (0..body.len()).step_by(101) {
        survives(body[..len].to_vec(), &texts);
    }
    drop(std::panic::take_hook());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_behind_a_sound_header_never_panics(
        start in 0usize..8000,
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let texts = Texts(frames(120));
        let mut body = build(&texts.0);
        let start = start % body.len();
        let end = (start + garbage.len()).min(body.len());
        body[start..end].copy_from_slice(&garbage[..end - start]);
        survives(body, &texts);
    }

    #[test]
    fn mere_garbage_never_panics(garbage in proptest::collection::vec(any::<u8>(), 0..600)) {
        let texts = Texts(Vec::new());
        survives([b"MV2L\x01\x00\x01\x00\x07\x00\x00\x00", &garbage[..]].concat(), &texts);
        survives(garbage, &texts);
    }
}

#[test]
fn a_segment_is_a_function_of_its_frames() {
    let frames = frames(50);
    assert_eq!(build(&frames), build(&frames));
    assert_eq!(LexIndex::new().kind(), SegmentKind::LEX);
}

#[test]
fn versions_of_other_builds_are_refused_by_name() {
    let body = build(&frames(3));
    for (at, what) in [(4, "container"), (6, "analyser"), (8, "tantivy")] {
        let mut other = body.clone();
        other[at] = 99;
        match Segment::open(SegmentBytes::from_vec(other)) {
            Err(mv2_lex::Error::Unsupported {
                what: named,
                found: 99,
                ..
            }) => {
                assert!(named.contains(what));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn frames_out_of_order_and_no_frames_are_errors() {
    let frames = frames(3);
    let mut builder = LexIndex::new().builder();
    builder.add(&frames[1]).unwrap();
    assert!(builder.add(&frames[0]).is_err());
    assert!(LexIndex::new().builder().finish().is_err());
    assert!(matches!(Segment::build(&[]), Err(mv2_lex::Error::NoFrames)));
}

#[test]
fn opened_segments_and_readers_cross_threads() {
    fn check<T: Send + Sync>() {}
    check::<Segment>();
    check::<SegmentView>();
    check::<Reader>();
    check::<Query>();
}
