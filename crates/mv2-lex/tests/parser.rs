//! The query language: nothing makes the parser fail, and what it did not take it says.

use std::fmt::Write;
use std::sync::Arc;

use mv2_format::{BoxError, Frame, FrameId, FrameMeta};
use mv2_lex::{
    DocText, MAX_QUERY_TERMS, Query, Reader, SearchOptions, Segment, SegmentView, TextSource,
};
use proptest::prelude::*;

struct Memory {
    frames: Vec<Frame>,
    reader: Reader,
}

impl TextSource for Memory {
    fn text(&self, frame: FrameId) -> Result<DocText, BoxError> {
        let frame = &self.frames[frame.get() as usize];
        Ok(DocText {
            title: frame.meta.title.clone(),
            text: frame.text().to_owned(),
        })
    }
}

impl Memory {
    fn new(texts: &[&str]) -> Self {
        let frames: Vec<Frame> = texts
            .iter()
            .zip(0..)
            .map(|(text, id)| {
                let (title, text) = text.split_once(" | ").unwrap_or(("", text));
                Frame {
                    meta: FrameMeta {
                        id: FrameId(id),
                        uri: Some(format!("doc/{id}.md")),
                        title: Some(title.to_owned()),
                        tags: vec![(
                            "parity".to_owned(),
                            ["even", "odd"][id as usize % 2].to_owned(),
                        )],
                        is_text: true,
                        ..FrameMeta::default()
                    },
                    payload: text.as_bytes().to_vec(),
                }
            })
            .collect();
        let segment = Arc::new(Segment::build(&frames).unwrap());
        let view = SegmentView::new(segment, FrameId(u64::MAX), &[]).unwrap();
        Self {
            frames,
            reader: Reader::new(vec![view]).unwrap(),
        }
    }

    /// The frames that a query finds, sorted.
    fn find(&self, asked: &str) -> Vec<u64> {
        let query = Query::parse(asked).query;
        let options = SearchOptions {
            count: true,
            top_k: 100,
            ..SearchOptions::default()
        };
        let found = self.reader.search(&query, &options, self).unwrap();
        assert_eq!(found.total, found.hits.len() as u64);
        let mut frames: Vec<u64> = found.hits.iter().map(|hit| hit.frame.get()).collect();
        frames.sort_unstable();
        frames
    }
}

#[test]
fn each_operator_selects_what_it_says() {
    let memory = Memory::new(&[
        "Deep sea | fish glow in the dark",
        "Lakes | a calm lake, running water",
        "Storm | the deep storm at sea",
        "Code | call getUserName() or user_name, see std::vec",
        "東京 | 東京都の庭。カメラ",
        "Notes | a run of bad luck",
    ]);
    let cases: &[(&str, &[u64])] = &[
        ("sea", &[0, 2]),
        ("+sea fish", &[0, 2]),
        ("sea -fish", &[2]),
        ("sea NOT fish", &[2]),
        ("sea AND storm", &[2]),
        ("(fish OR storm) AND deep", &[0, 2]),
        ("fish OR lake AND calm", &[0, 1]),
        ("\"deep sea\"", &[0]),
        ("\"sea fish\"", &[]),
        ("\"running water\"", &[1]),
        ("\"run water\"", &[]),
        ("\"deep storm\" OR lake", &[1, 2]),
        ("-\"deep storm\" sea", &[0]),
        ("title:sea", &[0]),
        ("title:\"deep sea\"", &[0]),
        ("title:東京", &[4]),
        ("title:カメラ", &[]),
        ("\"京都\"", &[4]),
        ("\"庭カメラ\"", &[]),
        ("庭", &[4]),
        ("getusername", &[3]),
        ("\"user name\"", &[3]),
        ("user_name", &[3]),
        ("std::vec", &[3]),
        ("tag:parity=odd", &[1, 3, 5]),
        ("tag:parity=odd sea", &[]),
        ("tag:parity sea", &[0, 2]),
        ("-tag:parity=odd sea", &[0, 2]),
        ("uri:doc/2.md", &[2]),
        ("uri:doc/* lake", &[1]),
        ("uri:\"doc/*\" lake", &[]),
        ("the", &[0, 2]),
        ("the of", &[0, 2, 5]),
        ("\"in the\"", &[0]),
        ("", &[]),
        ("?! …", &[]),
        ("\"\"", &[]),
        ("()", &[]),
        ("main()", &[]),
        ("getUserName()", &[3]),
        ("(sea", &[0, 2]),
        ("\"deep sea", &[0, 2]),
        ("sea AND", &[0, 2]),
        ("OR sea", &[0, 2]),
        ("sea)", &[0, 2]),
        ("sea - fish", &[0, 2]),
        ("c++ sea", &[0, 2]),
    ];
    for (asked, expected) in cases {
        assert_eq!(memory.find(asked), *expected, "{asked}");
    }
}

#[test]
fn a_broken_query_says_why_and_a_sound_one_says_nothing() {
    for (asked, word) in [
        ("(sea", "parenthesis"),
        ("\"sea", "quote"),
        ("sea AND", "AND"),
        ("OR sea", "OR"),
        ("sea date:[a TO b", "date"),
        ("sea date:\"2h ago", "quote"),
    ] {
        let warning = Query::parse(asked).warning.expect(asked);
        assert!(warning.contains(word), "{warning}");
    }
    for asked in [
        "sea",
        "c++ main() std::vec a-b -x +y",
        "",
        "https://example.org/a?b=(c)",
    ] {
        assert_eq!(Query::parse(asked).warning, None, "{asked}");
    }
}

#[test]
fn quotes_and_signs_in_a_sentence_are_punctuation() {
    let memory = Memory::new(&[
        "the deep sea",
        "sea fish",
        "fish of the deep",
        "a calm lake, alpha+ beta",
    ]);
    let long = format!("\"deep fish\" {}", "and so on ".repeat(11));
    let cases: &[(&str, &[u64], bool)] = &[
        ("who saw \"fish of the sea\"?", &[0, 1, 2], true),
        ("Who saw \"the fish of the sea?\"", &[0, 1, 2], true),
        ("It is (not) a -sea fish.", &[0, 1, 2], true),
        ("誰 が 「sea」 \"fish lake\" か？", &[0, 1, 2, 3], true),
        (&long, &[0, 1, 2], true),
        // A sentence without operators is words in the first place.
        ("Who saw the (deep) sea?", &[0, 1, 2], false),
        // Short, or without the mark of a sentence: the quotes mean what they say.
        ("\"deep sea\"?", &[0], false),
        ("who saw \"deep sea\"", &[0], false),
        ("who saw -deep sea", &[1], false),
        // Nobody writes these by chance.
        ("\"deep sea\" AND the great wide open?", &[0], false),
        ("what fish is there NOT \"deep sea\"?", &[1, 2], false),
        ("who saw the sea in tag:parity=odd ?", &[1], false),
        ("tag:parity=odd who saw the \"sea fish\" swim?", &[1], false),
    ];
    for (asked, expected, warned) in cases {
        assert_eq!(memory.find(asked), *expected, "{asked}");
        let warning = Query::parse(asked).warning;
        assert_eq!(warning.is_some(), *warned, "{asked}: {warning:?}");
    }
    let many = format!("NOT sea {}", "deep ".repeat(40));
    assert_eq!(memory.find(&many), [2], "a keyword keeps a long query one");
}

#[test]
fn what_only_looks_like_an_operator_is_a_word() {
    let memory = Memory::new(&["sea-fish at 10:30", "title: sea", "note:deep it's"]);
    for (asked, expected) in [
        ("sea-lake", &[0, 1][..]),
        ("title: lake", &[1]),
        ("tag: fish", &[0]),
        ("note:deep", &[2]),
        ("10:30", &[0]),
        ("it's", &[2]),
        ("sea — fish", &[0, 1]),
        ("(sea (fish", &[0, 1]),
        ("fish) sea(", &[0, 1]),
        ("sea \"fish", &[0, 1]),
        ("lake - fish", &[0]),
        ("lake + fish", &[0]),
        ("and or not deep", &[2]),
    ] {
        assert_eq!(memory.find(asked), expected, "{asked}");
    }
}

#[test]
fn dates_are_handed_on_as_written() {
    let asked = "sea date:[2024-01-01 TO *] date:yesterday -date:[ 2h ago TO now ] date:\"2h ago\" date:yesterday";
    let parsed = Query::parse(asked);
    assert!(parsed.warning.is_none());
    let dates: Vec<_> = parsed.query.dates().collect();
    let expected = [
        ("2024-01-01", "*"),
        ("yesterday", "yesterday"),
        ("2h ago", "now"),
        ("2h ago", "2h ago"),
    ];
    assert_eq!(dates, expected);
    let many: String = (0..17).map(|year| format!(" date:{year}")).collect();
    assert!(Query::parse(&many).warning.unwrap().contains("16 date"));
}

#[test]
fn huge_and_deep_queries_are_bounded() {
    let memory = Memory::new(&["deep sea", "calm lake"]);
    let many = (0..20_000).fold("sea ".to_owned(), |mut text, n| {
        let _ = write!(text, "w{n} ");
        text
    });
    let parsed = Query::parse(&many);
    assert!(
        parsed
            .warning
            .unwrap()
            .contains(&MAX_QUERY_TERMS.to_string())
    );
    assert_eq!(memory.find(&many), [0]);
    for deep in [
        "(".repeat(100_000),
        "(sea ".repeat(20_000),
        "-(".repeat(50_000),
        "\"".repeat(99_999),
    ] {
        assert!(Query::parse(&deep).warning.is_some());
        drop(memory.find(&deep));
    }
    let kanji = "東京都".repeat(30_000);
    drop(memory.find(&kanji));
    drop(memory.find(&format!("\"{kanji}\"")));
}

#[test]
fn every_substring_of_a_japanese_text_is_found() {
    let text = "東京都は日本の首都で、ｶﾒﾗとコーヒーが好きな人々がいます。吾輩は猫である。";
    let memory = Memory::new(&["calm lake", text, "東の京"]);
    let chars: Vec<char> = text.chars().collect();
    for start in 0..chars.len() {
        for len in 1..=6.min(chars.len() - start) {
            let part: String = chars[start..start + len].iter().collect();
            // Signs separate words and are not searched for; half-width kana are one character
            // with their voicing marks.
            if part.chars().any(|c| "、。".contains(c)) || "ﾞﾟ".contains(chars[start]) {
                continue;
            }
            assert!(memory.find(&part).contains(&1), "{part}");
            assert!(
                memory.find(&format!("\"{part}\"")).contains(&1),
                "\"{part}\""
            );
        }
    }
    assert_eq!(memory.find("カメラ"), [1], "half-width kana are the same");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_string_is_a_query(asked in "\\PC{0,60}") {
        drop(Query::parse(&asked));
    }

    #[test]
    fn any_soup_of_operators_is_a_query(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("("), Just(")"), Just("\""), Just("+"), Just("-"), Just(" "), Just("AND "),
                Just("OR "), Just("NOT "), Just("sea"), Just("lake "), Just("tag:"), Just("uri:"),
                Just("title:"), Just("date:["), Just("*"), Just("? "), Just("。"), Just("東京"), Just("the "), Just("a=b"),
            ],
            0..24,
        ),
    ) {
        let asked = parts.concat();
        let memory = Memory::new(&["deep sea", "calm lake 東京"]);
        drop(memory.find(&asked));
    }
}
