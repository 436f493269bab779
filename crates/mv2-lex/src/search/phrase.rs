//! Quoted phrases: narrowed by positions, decided on the text.
//!
//! The index holds stems, so that positions alone cannot tell `run` from `running`; Japanese and
//! Chinese characters have no positions at all. Both only narrow the candidates.

use mv2_format::PayloadReader;
use tantivy::DocSet;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::IndexRecordOption;

use super::Document;
use crate::analyser::pieces::Pieces;
use crate::analyser::{Kind, Runs, Scanner, Unit};
use crate::bits::DocBits;
use crate::error::{Error, Result};
use crate::query::{Phrase, PhraseUnit, Scope};
use crate::schema::TextField;
use crate::view::SegmentView;

/// Fewer candidates than this are cheaper to verify than to narrow.
const NARROW_FROM: u64 = 16;
/// How far apart the positions of neighbours may lie: a compound spans up to eight.
const MAX_SPAN: u32 = 8;

/// Drops candidates in which the words of a phrase do not follow each other.
pub(super) fn narrow(view: &SegmentView, phrase: &Phrase, bits: &mut DocBits) -> Result<()> {
    let is_text = |scope| scope == Scope::Text;
    if phrase.terms.len() < 2
        || !phrase.terms.iter().all(|term| is_text(term.scope))
        || bits.count() < NARROW_FROM
        || !view.segment().has_positions()
    {
        return Ok(());
    }
    let inverted = view.segment().inverted(TextField::Body.field())?;
    let mut lists = Vec::with_capacity(phrase.terms.len());
    for term in &phrase.terms {
        let postings = inverted
            .read_postings(
                &TextField::Body.term(&term.text),
                IndexRecordOption::WithFreqsAndPositions,
            )
            .map_err(|error| Error::io("reading positions", &error))?;
        lists.push(postings.unwrap_or_else(SegmentPostings::empty));
    }
    let (mut ends, mut next, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    for doc in bits.clone().iter() {
        ends.clear();
        for (at, list) in lists.iter_mut().enumerate() {
            if list.doc() < doc {
                list.seek(doc);
            }
            positions.clear();
            if list.doc() == doc {
                list.positions(&mut positions);
            }
            if at == 0 {
                ends.extend_from_slice(&positions);
                continue;
            }
            next.clear();
            next.extend(positions.iter().copied().filter(|&position| {
                let first = ends.partition_point(|end| end.saturating_add(MAX_SPAN) < position);
                ends.get(first).is_some_and(|end| *end < position)
            }));
            std::mem::swap(&mut ends, &mut next);
        }
        if ends.is_empty() {
            bits.remove(doc);
        }
    }
    Ok(())
}

/// Whether a phrase occurs in a document, in its title or in its text.
///
/// # Errors
/// What keeps a large text from being read.
pub(super) fn occurs(phrase: &Phrase, document: &Document) -> Result<bool> {
    let title = match document {
        Document::Whole(doc) => &doc.title,
        Document::Large { title, .. } => title,
    };
    if title.as_ref().is_some_and(|title| occurs_in(phrase, title)) {
        return Ok(true);
    }
    match document {
        _ if phrase.title_only => Ok(false),
        Document::Whole(doc) => Ok(occurs_in(phrase, &doc.text)),
        Document::Large { payload, .. } => occurs_in_pieces(phrase, payload.clone()),
    }
}

fn occurs_in(phrase: &Phrase, text: &str) -> bool {
    let mut matcher = Matcher::new(&phrase.units);
    let mut scanner = Scanner::new(text);
    while let Some(unit) = scanner.next_unit() {
        if matcher.push(&unit) {
            return true;
        }
    }
    false
}

fn occurs_in_pieces(phrase: &Phrase, mut payload: PayloadReader) -> Result<bool> {
    payload.rewind();
    let mut matcher = Matcher::new(&phrase.units);
    let mut pieces = Pieces::new(payload);
    let mut piece = String::new();
    let mut runs = Runs::new(false);
    while pieces.read(&mut piece)? {
        while runs.prepare(&piece) {
            if matcher.push(&runs.take()) {
                return Ok(true);
            }
        }
        runs.next_piece();
    }
    Ok(false)
}

/// Follows a phrase through a text. A step is a word or a character; at some of them the wholes of compounds begin too,
/// which take several steps.
struct Matcher<'p> {
    units: &'p [PhraseUnit],
    step: usize,
    /// Beginnings of the phrase that were met: how many units, and at which step the next one has to stand.
    met: Vec<(usize, usize)>,
    /// The wholes that begin at the next step and that the phrase may mean, with the steps that they take.
    wholes: Vec<(String, usize)>,
}

/// What a step may be read as.
struct Reading<'a> {
    text: &'a str,
    is_char: bool,
    glued: bool,
    /// The step behind it.
    end: usize,
}

impl<'p> Matcher<'p> {
    fn new(units: &'p [PhraseUnit]) -> Self {
        Self {
            units,
            step: 0,
            met: Vec::new(),
            wholes: Vec::new(),
        }
    }

    /// Takes in the next unit of the text. True if the phrase ends with it.
    fn push(&mut self, unit: &Unit<'_>) -> bool {
        if matches!(unit.kind, Kind::Compound | Kind::Identifier) {
            if self.units.iter().any(|wanted| wanted.text == unit.text) {
                self.wholes.push((unit.text.to_owned(), unit.span as usize));
            }
            return false;
        }
        let step = self.step;
        self.step += 1;
        let Some(first) = self.units.first() else {
            return false;
        };
        if self.met.is_empty() && self.wholes.is_empty() && unit.text != first.text {
            return false;
        }
        let wholes = std::mem::take(&mut self.wholes);
        let word = Reading {
            text: unit.text,
            is_char: unit.kind == Kind::Char,
            glued: unit.glued,
            end: step + 1,
        };
        let wholes = wholes.iter().map(|(text, span)| Reading {
            text,
            is_char: false,
            glued: false,
            end: step + span,
        });
        let readings: Vec<Reading<'_>> = std::iter::once(word).chain(wholes).collect();
        let mut next = Vec::new();
        for (count, at) in std::mem::take(&mut self.met) {
            if at > step {
                next.push((count, at));
                continue;
            }
            let wanted = &self.units[count];
            // A part and a whole never have the same text, so that there is one way at most.
            let found = readings.iter().find(|reading| {
                reading.text == wanted.text
                    && reading.is_char == wanted.is_char
                    && (!wanted.glued || reading.glued)
            });
            next.extend(found.map(|reading| (count + 1, reading.end)));
        }
        let starts = readings.iter().filter(|reading| reading.text == first.text);
        next.extend(starts.map(|reading| (1, reading.end)));
        // A word that repeats leads to the same place by many ways.
        next.sort_unstable();
        next.dedup();
        self.met = next;
        self.met
            .last()
            .is_some_and(|(count, _)| *count == self.units.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use mv2_format::Frame;
    use proptest::prelude::*;

    use super::*;
    use crate::query::Query;

    /// One word or character of a text.
    struct Place {
        text: String,
        is_char: bool,
        glued: bool,
        /// Index of the first place behind it.
        end: usize,
        range: std::ops::Range<usize>,
    }

    /// The byte ranges of the first `limit` occurrences of a phrase.
    fn find(phrase: &Phrase, text: &str, limit: usize) -> Vec<std::ops::Range<usize>> {
        let Some(first) = phrase.units.first() else {
            return Vec::new();
        };
        // Only a text that holds a candidate for the first unit needs its places laid out.
        let (places, starts) = lay_out(text, &phrase.units);
        let mut found = Vec::new();
        for &(step, alternative) in starts.get(&first.text).into_iter().flatten() {
            if let Some(end) = follow(&places, step, alternative, &phrase.units) {
                let start = places[step][alternative].range.start;
                found.push(start..end);
                if found.len() == limit {
                    break;
                }
            }
        }
        found
    }

    type Starts = HashMap<String, Vec<(usize, usize)>>;

    /// The units of a text step by step: a step is a word or a character, its alternatives are the
    /// wholes of compounds that begin there. Texts that no unit of the phrase equals are left empty.
    fn lay_out(text: &str, units: &[PhraseUnit]) -> (Vec<Vec<Place>>, Starts) {
        let wanted = |text: &str| units.iter().any(|unit| unit.text == text);
        let mut steps: Vec<Vec<Place>> = Vec::new();
        let mut starts = Starts::new();
        let mut scanner = Scanner::new(text);
        let mut wholes: Vec<(Place, u32)> = Vec::new();
        while let Some(unit) = scanner.next_unit() {
            let place = Place {
                text: if wanted(unit.text) {
                    unit.text.to_owned()
                } else {
                    String::new()
                },
                is_char: unit.kind == Kind::Char,
                glued: unit.glued,
                end: 0,
                range: unit.range.clone(),
            };
            if matches!(unit.kind, Kind::Compound | Kind::Identifier) {
                wholes.push((place, unit.span));
                continue;
            }
            let step = steps.len();
            let mut alternatives = vec![(place, 1)];
            alternatives.append(&mut wholes);
            let mut here = Vec::with_capacity(alternatives.len());
            for (mut place, span) in alternatives {
                place.end = step + span as usize;
                if !place.text.is_empty() {
                    let starts = starts.entry(place.text.clone()).or_default();
                    starts.push((step, here.len()));
                }
                here.push(place);
            }
            steps.push(here);
        }
        (steps, starts)
    }

    /// Follows a phrase from one place on; the end of the last unit in bytes if it goes through.
    fn follow(
        steps: &[Vec<Place>],
        mut step: usize,
        mut alternative: usize,
        units: &[PhraseUnit],
    ) -> Option<usize> {
        let mut units = units.iter().peekable();
        units.next();
        loop {
            let place = &steps[step][alternative];
            let Some(unit) = units.next() else {
                return Some(place.range.end);
            };
            step = place.end;
            // A part and a whole never have the same text, so that there is one way at most.
            alternative = steps.get(step)?.iter().position(|next| {
                next.text == unit.text
                    && next.is_char == unit.is_char
                    && (!unit.glued || next.glued)
            })?;
        }
    }

    proptest! {
        #[test]
        fn a_phrase_is_found_where_the_laid_out_text_has_it(
            text in prop::collection::vec("[ab]|aB|getName|get_name|GET|name|東|京|東京| |\\. ", 0..30),
            from: prop::sample::Index,
            len in 1..6usize,
        ) {
            let words = ["a", "b", "aB", "aB a", "getName", "get name", "get_name b", "東京", "東 京", "京東 a", "a a"];
            let first = from.index(words.len());
            let asked: Vec<&str> = words.iter().cycle().skip(first).take(len.min(3)).copied().collect();
            let query = Query::parse(&format!("\"{}\"", asked.join(" "))).query;
            let text = text.concat();
            for phrase in &query.phrases {
                let expected = !find(phrase, &text, 1).is_empty();
                prop_assert_eq!(occurs_in(phrase, &text), expected, "{:?} in {:?}", asked, text);
                let frame = Frame { payload: text.clone().into_bytes(), ..Frame::default() };
                let payload = PayloadReader::from(Arc::new(frame));
                prop_assert_eq!(occurs_in_pieces(phrase, payload).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_phrase_is_found_in_a_large_text_over_the_border_of_two_pieces() {
        let query = Query::parse("\"deep blue sea\"").query;
        for before in (64 << 10) - 20..(64 << 10) + 4 {
            let text = format!("{} deep blue sea and more", "x".repeat(before));
            let document = |text: &str| Document::Large {
                title: None,
                payload: Arc::new(Frame {
                    payload: text.into(),
                    ..Frame::default()
                })
                .into(),
            };
            assert!(occurs(&query.phrases[0], &document(&text)).unwrap());
            let other = text.replace("blue", "green");
            assert!(!occurs(&query.phrases[0], &document(&other)).unwrap());
        }
    }
}
