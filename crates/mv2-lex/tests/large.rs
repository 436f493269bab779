//! Texts that come piece by piece give the segment that they give as a whole.

use std::sync::Arc;

use mv2_format::{BoxError, Frame, FrameId, FrameMeta, IndexBuilder, IndexFactory, PayloadReader};
use mv2_lex::LexIndex;
use proptest::prelude::*;

/// Longer than what is read at once.
const LONG: usize = 150_000;

fn frame(id: u64, title: Option<&str>, text: &str) -> Frame {
    Frame {
        meta: FrameMeta {
            id: FrameId(id),
            title: title.map(str::to_owned),
            uri: Some(format!("doc/{id}")),
            tags: vec![("n".to_owned(), id.to_string())],
            is_text: true,
            payload_len: text.len() as u64,
            ..FrameMeta::default()
        },
        payload: text.into(),
    }
}

fn reader(frame: &Frame) -> PayloadReader {
    Arc::new(frame.clone()).into()
}

/// A segment of frames; those in `large` come piece by piece.
fn build(
    mut builder: Box<dyn IndexBuilder>,
    frames: &[Frame],
    large: impl Fn(usize) -> bool,
) -> Result<Vec<u8>, BoxError> {
    for (at, frame) in frames.iter().enumerate() {
        match large(at) {
            true => builder.add_large(&frame.meta, reader(frame))?,
            false => builder.add(frame)?,
        }
    }
    builder.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn pieces_and_wholes_give_the_same_bytes(
        texts in prop::collection::vec(
            (
                prop::option::of("[a-zé東]{1,9}"),
                prop::collection::vec(
                    prop_oneof![
                        "[a-zA-Z]{1,9}[ .\n]",
                        "snake_case_word|camelCase|naïve|½ ",
                        "[あ-ん東京都]{1,4}[、。 ]?",
                    ],
                    0..12,
                ),
                1..40_000usize,
            ),
            1..4,
        ),
        first_is_whole: bool,
    ) {
        let frames: Vec<Frame> = texts
            .iter()
            .enumerate()
            .map(|(id, (title, words, repeat))| {
                let words = words.concat();
                let text = words.repeat((*repeat).min(LONG / words.len().max(1)));
                frame(id as u64, title.as_deref(), &text)
            })
            .collect();
        for index in [LexIndex::new(), LexIndex::without_positions()] {
            let whole = build(index.builder(), &frames, |_| false).unwrap();
            let pieces = build(index.builder(), &frames, |at| at > 0 || !first_is_whole).unwrap();
            prop_assert!(whole == pieces);
        }
    }
}

#[test]
fn a_huge_text_has_a_segment_without_positions() {
    let frames = [frame(
        7,
        Some("title"),
        &"to be or not to be ".repeat(9_000),
    )];
    let builder = LexIndex::new().builder_of_huge().unwrap();
    let found = build(builder, &frames, |_| true).unwrap();
    let small = LexIndex::without_positions().builder();
    assert!(found == build(small, &frames, |_| false).unwrap());
    let normal = build(LexIndex::new().builder(), &frames, |_| false).unwrap();
    assert!(normal.len() > found.len() * 2);
}

#[test]
fn an_empty_title_does_not_take_the_place_of_the_text() {
    let text = "some words 東京都";
    let (none, empty) = (frame(0, None, text), frame(0, Some(""), text));
    let build = |frame| build(LexIndex::new().builder(), &[frame], |_| true).unwrap();
    assert!(build(none) == build(empty));
}

#[test]
fn a_text_that_is_not_utf8_is_refused() {
    let mut bad = frame(0, None, &"word ".repeat(40_000));
    bad.payload.extend_from_slice(b"caf\xe9.");
    let mut builder = LexIndex::new().builder();
    let error = builder.add_large(&bad.meta, reader(&bad)).unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
}
