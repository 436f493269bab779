//! The analyser and the snippets, case by case: `fixtures/queries/analyser.json` is the test.

use std::ops::Range;

use mv2_lex::{DocText, Query, analyse, snippet};
use proptest::prelude::*;
use serde_json::Value;

fn cases() -> Value {
    let text = include_str!("../../../fixtures/queries/analyser.json");
    serde_json::from_str(text).unwrap()
}

#[test]
fn texts_give_the_terms_of_the_fixture() {
    for case in cases()["terms"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let list = |name: &str| {
            let terms = case[name].as_array().map(Vec::as_slice).unwrap_or_default();
            terms
                .iter()
                .map(|term| term.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let found = |cjk: bool| {
            let tokens = analyse(text)
                .into_iter()
                .filter(move |token| token.cjk == cjk);
            tokens.map(|token| token.term).collect::<Vec<_>>()
        };
        assert_eq!(
            found(false),
            list("body"),
            "body of {text:?}: {}",
            case["why"]
        );
        assert_eq!(found(true), list("cjk"), "cjk of {text:?}: {}", case["why"]);
    }
}

#[test]
fn snippets_show_what_the_fixture_says() {
    for case in cases()["snippets"].as_array().unwrap() {
        let (text, asked) = (
            case["text"].as_str().unwrap(),
            case["query"].as_str().unwrap(),
        );
        let max_chars = case["max_chars"].as_u64().unwrap() as usize;
        let doc = DocText {
            title: None,
            text: text.to_owned(),
        };
        let found = snippet(&Query::parse(asked).query, &doc, max_chars);
        assert_eq!(
            found.text,
            case["snippet"].as_str().unwrap(),
            "{asked:?} in {text:?}"
        );
        let matches: Vec<&str> = found
            .matches
            .iter()
            .map(|range| &found.text[range.clone()])
            .collect();
        let expected: Vec<&str> = case["matches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap())
            .collect();
        assert_eq!(matches, expected, "{asked:?} in {text:?}");
    }
}

#[test]
fn a_word_of_ten_megabytes_is_one_short_term() {
    for word in [
        "a".repeat(10 << 20),
        "é".repeat(5 << 20),
        "aB".repeat(5 << 20),
    ] {
        let tokens = analyse(&word);
        assert_eq!(tokens.len(), 1);
        assert!(tokens[0].term.len() <= 64 && tokens[0].term.contains('#'));
        assert_eq!(tokens[0].range, 0..word.len());
    }
    let long = |last: &str| {
        analyse(&format!("{}{last}", "x".repeat(100)))[0]
            .term
            .clone()
    };
    assert_ne!(
        long("a"),
        long("b"),
        "words that differ behind the limit stay apart"
    );
}

#[test]
fn stems_are_those_of_snowball_3() {
    let stem = |word: &str| analyse(word).remove(0).term;
    for (word, expected) in [
        ("running", "run"),
        ("memories", "memori"),
        ("generously", "generous"),
        ("added", "add"),
        ("biologists", "biolog"),
    ] {
        assert_eq!(stem(word), expected);
    }
    for (one, other) in [
        ("organization", "organ"),
        ("university", "universal"),
        ("international", "internal"),
        ("emergency", "emerge"),
        ("evening", "even"),
        ("paste", "past"),
        ("laterally", "later"),
    ] {
        assert_ne!(stem(one), stem(other), "{one} is no {other}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_terms_with_ranges_inside_of_it(text in "\\PC*") {
        for token in analyse(&text) {
            let Range { start, end } = token.range;
            prop_assert!(start < end && end <= text.len());
            prop_assert!(text.is_char_boundary(start) && text.is_char_boundary(end));
            prop_assert!(!token.term.is_empty() && token.term.len() <= 64);
        }
    }

    #[test]
    fn plain_words_are_found_whatever_stands_around_them(
        before in "[ .,;!?()\\[\\]{}'\"/\\\\-]{0,5}", word in "[a-z]{3,9}", after in "[ .,;!?()'\"-]{0,5}",
    ) {
        let alone = analyse(&word);
        let within = analyse(&format!("{before}{word}{after}"));
        prop_assert_eq!(&alone[0].term, &within[0].term);
    }

    #[test]
    fn snippets_of_any_text_keep_their_length_and_ranges(
        text in "(\\PC|[a-d ]|東|京){0,200}", asked in "([a-d]{1,2} ?|東京|京 ?){1,4}", max_chars in 0usize..60,
    ) {
        let doc = DocText { title: None, text: text.clone() };
        let found = snippet(&Query::parse(&asked).query, &doc, max_chars);
        prop_assert!(found.text.chars().count() <= max_chars);
        prop_assert_eq!(&text[found.start..found.start + found.text.len()], &found.text);
        let mut end = 0;
        for range in &found.matches {
            prop_assert!(range.start >= end && range.start < range.end);
            prop_assert!(found.text.get(range.clone()).is_some());
            end = range.end;
        }
    }
}
