//! BM25 with the statistics of the visible frames, added up in the order of the query.
//!
//! This is the score as it is defined. tantivy computes the same numbers in another order of
//! addition, so that its sums may differ in the last bits; they only select candidates.

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{Postings, TermInfo};
use tantivy::query::Bm25StatisticsProvider;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet, TERMINATED, Term};

use super::prune::SLACK;
use super::{Candidate, Reader};
use crate::bits::DocBits;
use crate::error::{Error, Result};
use crate::query::{Query, Scope};
use crate::schema::TextField;
use crate::view::SegmentView;

/// tantivy's constants; its block maxima are chosen with them.
pub(crate) const K1: f32 = 1.2;
pub(crate) const B: f32 = 0.75;

/// Most terms that a one-character query expands to in a segment.
const MAX_EXPANSION: usize = 65_536;

/// One addend of the score: a term in one field.
pub(crate) struct Addend {
    pub(crate) term: Term,
    pub(crate) field: TextField,
    /// The term stands for all terms that begin with it.
    pub(crate) is_prefix: bool,
    /// The term's entry in the dictionary of each view.
    infos: Vec<Option<TermInfo>>,
    /// Inverse document frequency times (k1 + 1).
    weight: f32,
    /// Boosts of the two phases.
    pub(crate) content: f32,
    pub(crate) all: f32,
}

/// The addends of a query that occur in a visible frame, in the order of the query.
pub(crate) struct Scorer {
    pub(crate) addends: Vec<Addend>,
    pub(crate) statistics: Statistics,
    /// The dictionaries of the text fields, for each view.
    dictionaries: Vec<[Arc<InvertedIndexReader>; 3]>,
    norms: [Box<[f32; 256]>; 3],
    /// Whether the first phase counts content words alone.
    has_content: bool,
}

/// The statistics of the visible frames, as tantivy asks for them.
pub(crate) struct Statistics {
    docs: u64,
    tokens: [u64; 3],
    doc_freqs: HashMap<Term, u64>,
}

impl Statistics {
    /// Mean length of a field. At least one token in all is assumed, so that it is not 0.
    pub(crate) fn mean(&self, field: TextField) -> f32 {
        self.tokens[field.index()].max(1) as f32 / self.docs as f32
    }
}

impl Bm25StatisticsProvider for Statistics {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        Ok(TextField::of(field).map_or(1, |field| self.tokens[field.index()].max(1)))
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.docs)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        Ok(self.doc_freqs.get(term).copied().unwrap_or(0))
    }
}

/// Inverse document frequency. `doc_freq` is at most `docs`.
pub(crate) fn idf(doc_freq: u64, docs: u64) -> f32 {
    let ratio = ((docs - doc_freq) as f32 + 0.5) / (doc_freq as f32 + 0.5);
    (1.0 + ratio).ln()
}

/// The part of the term frequency's denominator that depends on the length.
pub(crate) fn norm(length: u32, mean: f32) -> f32 {
    K1 * (1.0 - B + B * length as f32 / mean)
}

impl Scorer {
    pub(crate) fn new(reader: &Reader, query: &Query) -> Result<Self> {
        let mut statistics = Statistics {
            docs: reader.docs,
            tokens: reader.tokens,
            doc_freqs: HashMap::new(),
        };
        let dictionaries = dictionaries(reader)?;
        let mut addends = Vec::new();
        for bag in &query.terms {
            for &(field, boost) in bag.scope.fields() {
                let term = field.term(&bag.text);
                let is_prefix = bag.scope == Scope::CjkPrefix;
                let mut doc_freq = 0u64;
                let mut infos = Vec::with_capacity(reader.views.len());
                for (view, dictionaries) in reader.views.iter().zip(&dictionaries) {
                    if is_prefix {
                        let mut bits = prefix_bits(view, field.field(), &bag.text)?;
                        bits.and(&view.visible_bits());
                        doc_freq += bits.count();
                        continue;
                    }
                    let dictionary = &dictionaries[field.index()];
                    let info = dictionary
                        .get_term_info(&term)
                        .map_err(|error| Error::io("reading a term dictionary", &error))?;
                    if let Some(info) = &info {
                        doc_freq += view.doc_freq(field.field(), dictionary, info)?;
                    }
                    infos.push(info);
                }
                // Only a damaged segment can exceed the number of frames; idf must not see it.
                let doc_freq = doc_freq.min(reader.docs);
                if doc_freq == 0 {
                    continue;
                }
                if !is_prefix {
                    statistics.doc_freqs.insert(term.clone(), doc_freq);
                }
                addends.push(Addend {
                    term,
                    field,
                    is_prefix,
                    infos,
                    weight: idf(doc_freq, reader.docs) * (1.0 + K1),
                    content: bag.content * boost,
                    all: bag.all * boost,
                });
            }
        }
        let norms = TextField::ALL.map(|field| {
            let mut norms = Box::new([0.0; 256]);
            if addends.iter().any(|addend| addend.field == field) {
                let mean = statistics.mean(field);
                for (id, norm_of_id) in norms.iter_mut().enumerate() {
                    *norm_of_id = norm(FieldNormReader::id_to_fieldnorm(id as u8), mean);
                }
            }
            norms
        });
        Ok(Self {
            addends,
            statistics,
            dictionaries,
            norms,
            has_content: query.has_content(),
        })
    }

    pub(crate) fn has_prefixes(&self) -> bool {
        self.addends.iter().any(|addend| addend.is_prefix)
    }

    /// The boost of an addend in the first phase.
    pub(crate) fn first_boost(&self, addend: &Addend) -> f32 {
        if self.has_content {
            addend.content
        } else {
            addend.all
        }
    }

    /// Number of documents of a view that hold the addend's term, dead ones too.
    pub(crate) fn doc_freq(&self, addend: &Addend, index: usize) -> u64 {
        let info = addend.infos.get(index).and_then(Option::as_ref);
        info.map_or(0, |info| u64::from(info.doc_freq))
    }

    /// What a document of a view can get from the addend in the first phase at most. The best documents were chosen with the
    /// mean length of the segment; `factor` says by how much they may be too low for that of the snapshot.
    pub(crate) fn bound(
        &self,
        addend: &Addend,
        view: &SegmentView,
        index: usize,
        factor: f32,
    ) -> f32 {
        let weight = addend.weight * self.first_boost(addend);
        let info = addend.infos.get(index).and_then(Option::as_ref);
        let best = info.and_then(|info| view.segment().best(addend.field.field(), info));
        let Some(best) = best else {
            // The factor of a frequency is below one.
            return weight;
        };
        let norms = &self.norms[addend.field.index()];
        let scores = best.iter().map(|best| {
            let freq = best.freq as f32;
            weight * (freq / (freq + norms[usize::from(best.length)]))
        });
        let best = scores.fold(0.0, f32::max);
        match factor {
            1.0 => best,
            factor => best / factor * (1.0 + SLACK),
        }
    }

    /// Calls `visit` for each document of a view that holds the addend's term, ascending, dead ones too.
    pub(crate) fn each_doc(
        &self,
        addend: &Addend,
        index: usize,
        mut visit: impl FnMut(DocId),
    ) -> Result<()> {
        let Some(info) = addend.infos.get(index).and_then(Option::as_ref) else {
            return Ok(());
        };
        let mut postings = self.dictionaries[index][addend.field.index()]
            .read_postings_from_terminfo(info, IndexRecordOption::Basic)
            .map_err(|error| Error::io("reading postings", &error))?;
        while postings.doc() != TERMINATED {
            visit(postings.doc());
            postings.advance();
        }
        Ok(())
    }

    /// Scores documents of a view, which come in ascending order, in both phases.
    pub(crate) fn score(
        &self,
        view: &SegmentView,
        index: usize,
        docs: &[DocId],
    ) -> Result<Vec<Candidate>> {
        self.score_or_bound(view, index, docs, &[])
    }

    /// Like [`score`](Self::score), but takes the bound of an addend, where there is one, in place of what a document has of it.
    /// So the scores of the first phase are bounds too.
    pub(crate) fn score_or_bound(
        &self,
        view: &SegmentView,
        index: usize,
        docs: &[DocId],
        bounds: &[Option<f32>],
    ) -> Result<Vec<Candidate>> {
        let mut candidates = docs
            .iter()
            .map(|&doc| Candidate::new(view, doc, 0.0))
            .collect::<Result<Vec<_>>>()?;
        let mut lengths: [Option<Vec<u8>>; 3] = [None, None, None];
        for (at, addend) in self.addends.iter().enumerate() {
            if let Some(Some(bound)) = bounds.get(at) {
                for candidate in &mut candidates {
                    candidate.content += bound;
                }
                continue;
            }
            let lengths = match &mut lengths[addend.field.index()] {
                Some(lengths) => lengths,
                none => none.insert(view.segment().length_ids(addend.field, docs)?),
            };
            let add = self.adder(addend);
            let candidates = candidates.iter_mut().zip(&*lengths);
            if addend.is_prefix {
                let freqs = prefix_freqs(view, addend.field, &addend.term)?;
                for (candidate, length) in candidates {
                    if let Some(freq) = freqs.get(&candidate.doc) {
                        add(candidate, *length, *freq);
                    }
                }
                continue;
            }
            let Some(info) = &addend.infos[index] else {
                continue;
            };
            let mut postings = self.dictionaries[index][addend.field.index()]
                .read_postings_from_terminfo(info, IndexRecordOption::WithFreqs)
                .map_err(|error| Error::io("reading postings", &error))?;
            for (candidate, length) in candidates {
                if postings.doc() < candidate.doc {
                    postings.seek(candidate.doc);
                }
                if postings.doc() == candidate.doc {
                    add(candidate, *length, postings.term_freq());
                } else if postings.doc() == TERMINATED {
                    break;
                }
            }
        }
        Ok(candidates)
    }

    /// Adds a term's part to both scores of a candidate.
    fn adder<'a>(&'a self, addend: &Addend) -> impl Fn(&mut Candidate, u8, u32) + use<'a> {
        let first = self.first_boost(addend);
        let (content, all) = (addend.weight * first, addend.weight * addend.all);
        let norms = &self.norms[addend.field.index()];
        move |candidate, length, freq| {
            let freq = freq as f32;
            let factor = freq / (freq + norms[usize::from(length)]);
            if first > 0.0 {
                candidate.content += content * factor;
            }
            candidate.all += all * factor;
        }
    }
}

fn dictionaries(reader: &Reader) -> Result<Vec<[Arc<InvertedIndexReader>; 3]>> {
    reader
        .views
        .iter()
        .map(|view| {
            let of = |field: TextField| view.segment().inverted(field.field());
            Ok([
                of(TextField::Body)?,
                of(TextField::Title)?,
                of(TextField::Cjk)?,
            ])
        })
        .collect()
}

/// Documents with a term of a field that begins with `prefix`.
pub(crate) fn prefix_bits(view: &SegmentView, field: Field, prefix: &str) -> Result<DocBits> {
    let mut bits = DocBits::new(view.segment().docs());
    let inverted = view.segment().inverted(field)?;
    each_prefixed(view, field, &inverted, prefix, |info| {
        let postings = inverted
            .read_block_postings_from_terminfo(info, IndexRecordOption::Basic)
            .map_err(|error| Error::io("reading postings", &error))?;
        bits.insert_postings(postings);
        Ok(())
    })?;
    Ok(bits)
}

/// How often terms that begin with a term occur in each document.
fn prefix_freqs(view: &SegmentView, field: TextField, term: &Term) -> Result<HashMap<DocId, u32>> {
    let mut freqs = HashMap::new();
    let inverted = view.segment().inverted(field.field())?;
    let prefix = term.value().as_str().unwrap_or_default().to_owned();
    each_prefixed(view, field.field(), &inverted, &prefix, |info| {
        let mut postings = inverted
            .read_postings_from_terminfo(info, IndexRecordOption::WithFreqs)
            .map_err(|error| Error::io("reading postings", &error))?;
        while postings.doc() != TERMINATED {
            let freq: &mut u32 = freqs.entry(postings.doc()).or_default();
            *freq = freq.saturating_add(postings.term_freq());
            postings.advance();
        }
        Ok(())
    })?;
    Ok(freqs)
}

/// Calls `visit` for each term of a dictionary that begins with `prefix`.
pub(crate) fn each_prefixed(
    view: &SegmentView,
    field: Field,
    inverted: &InvertedIndexReader,
    prefix: &str,
    mut visit: impl FnMut(&TermInfo) -> Result<()>,
) -> Result<()> {
    let mut terms = inverted
        .terms()
        .range()
        .ge(prefix.as_bytes())
        .into_stream()
        .map_err(|error| Error::io("reading a term dictionary", &error))?;
    let mut count = 0;
    while let Some((term, info)) = terms.next() {
        if !term.starts_with(prefix.as_bytes()) {
            break;
        }
        count += 1;
        if count > MAX_EXPANSION && prefix.chars().count() == 1 {
            break;
        }
        view.segment().check_postings(field, inverted, info)?;
        visit(info)?;
    }
    Ok(())
}
