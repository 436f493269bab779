//! Quoted phrases: narrowed by positions, decided on the text.
//!
//! The index holds stems, so that positions alone cannot tell `run` from `running`; Japanese and
//! Chinese characters have no positions at all. Both only narrow the candidates.

use std::collections::HashMap;

use tantivy::DocSet;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::IndexRecordOption;

use super::DocText;
use crate::analyser::{Kind, Scanner};
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
pub(super) fn occurs(phrase: &Phrase, doc: &DocText) -> bool {
    doc.title
        .as_deref()
        .is_some_and(|title| !find(phrase, title, 1).is_empty())
        || (!phrase.title_only && !find(phrase, &doc.text, 1).is_empty())
}

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
pub(crate) fn find(phrase: &Phrase, text: &str, limit: usize) -> Vec<std::ops::Range<usize>> {
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
            next.text == unit.text && next.is_char == unit.is_char && (!unit.glued || next.glued)
        })?;
    }
}
