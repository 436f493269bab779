//! Operators, phrases and narrow filters: sets of documents first, scores of their members then.

use mv2_format::{FrameId, FrameSet};

use super::score::{Scorer, prefix_bits};
use super::{
    Candidate, Reader, Results, SearchOptions, TextSource, document_of, is_negative, phrase,
    ranked, sort, wanted,
};
use crate::bits::DocBits;
use crate::error::Result;
use crate::query::{Group, MatchTerm, Node, Query, RawFilter, Scope};
use crate::schema;
use crate::view::SegmentView;

/// Evaluates one query on all views.
pub(super) struct Evaluation<'a> {
    reader: &'a Reader,
    query: &'a Query,
    options: &'a SearchOptions,
    scorer: &'a Scorer,
    source: &'a dyn TextSource,
    /// Phrases that every hit must have. They are verified on the best candidates only, in their
    /// order, until enough hits are found.
    deferred: Vec<usize>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(
        reader: &'a Reader,
        query: &'a Query,
        options: &'a SearchOptions,
        scorer: &'a Scorer,
        source: &'a dyn TextSource,
    ) -> Self {
        let mut deferred = Vec::new();
        if let Some(root) = &query.root {
            defer(root, &mut deferred);
        }
        Self {
            reader,
            query,
            options,
            scorer,
            source,
            deferred,
        }
    }

    /// The best hits.
    pub(super) fn run(&self, filters: Option<&[DocBits]>) -> Result<Results> {
        let options = self.options;
        let mut candidates = Vec::new();
        for (index, view) in self.reader.views.iter().enumerate() {
            let bits = self.matches(view, filters.map(|filters| &filters[index]))?;
            let docs: Vec<_> = bits.iter().collect();
            candidates.extend(self.scorer.score(view, index, &docs)?);
        }
        let matched = candidates.len() as u64;
        let mut total_is_exact = true;
        if !self.deferred.is_empty() {
            let enough = if options.count {
                usize::MAX
            } else {
                wanted(self.query, options)
            };
            total_is_exact = self.verify_in_order(&mut candidates, enough)?;
        }
        let total = if self.deferred.is_empty() {
            matched
        } else {
            candidates.len() as u64
        };
        Ok(Results {
            hits: ranked(self.query, candidates, options.top_k),
            total,
            total_is_exact,
        })
    }

    /// Number of documents that match.
    pub(super) fn count(&self, filters: Option<&[DocBits]>) -> Result<u64> {
        let mut total = 0;
        for (index, view) in self.reader.views.iter().enumerate() {
            let bits = self.matches(view, filters.map(|filters| &filters[index]))?;
            if self.deferred.is_empty() {
                total += bits.count();
                continue;
            }
            for doc in bits.iter() {
                let frame = view.segment().frame(doc)?;
                total += u64::from(self.has_deferred(frame)?);
            }
        }
        Ok(total)
    }

    /// Keeps the best `enough` candidates that have the deferred phrases. True if all were looked
    /// at.
    fn verify_in_order(&self, candidates: &mut Vec<Candidate>, enough: usize) -> Result<bool> {
        sort(candidates, |candidate| candidate.content);
        let mut kept = 0;
        for at in 0..candidates.len() {
            if kept == enough {
                candidates.truncate(kept);
                return Ok(false);
            }
            if self.has_deferred(candidates[at].frame)? {
                candidates[kept] = candidates[at];
                kept += 1;
            }
        }
        candidates.truncate(kept);
        Ok(true)
    }

    fn has_deferred(&self, frame: FrameId) -> Result<bool> {
        let document = document_of(self.source, frame)?;
        for &index in &self.deferred {
            if !phrase::occurs(&self.query.phrases[index], &document)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Visible documents that meet the conditions, deferred phrases aside.
    fn matches(&self, view: &SegmentView, filter: Option<&DocBits>) -> Result<DocBits> {
        let within = match filter {
            Some(filter) => filter.clone(),
            None => view.visible_bits(),
        };
        let mut bits = match &self.query.root {
            Some(root) => self.node(view, root, &within, false)?,
            None => self.any_term(view)?,
        };
        bits.and(&within);
        Ok(bits)
    }

    /// Documents with a term that ranks in the first phase.
    fn any_term(&self, view: &SegmentView) -> Result<DocBits> {
        let mut bits = DocBits::new(view.segment().docs());
        for addend in &self.scorer.addends {
            if self.scorer.first_boost(addend) == 0.0 {
                continue;
            }
            if addend.is_prefix {
                let prefix = addend.term.value().as_str().unwrap_or_default().to_owned();
                bits.or(&prefix_bits(view, addend.field.field(), &prefix)?);
            } else if let Some(postings) = view.segment().block_postings(&addend.term)? {
                bits.insert_postings(postings);
            }
        }
        Ok(bits)
    }

    /// `required` says whether all terms of a word are needed, or any.
    fn node(
        &self,
        view: &SegmentView,
        node: &Node,
        within: &DocBits,
        required: bool,
    ) -> Result<DocBits> {
        match node {
            Node::Word(terms) if required => all_terms(view, terms),
            Node::Word(terms) => self.any_of(view, terms),
            Node::Phrase(index) => self.phrase(view, *index, within),
            Node::Raw(filter) => raw_bits(view, filter, &self.options.dates),
            Node::Group(group) => self.group(view, group, within),
        }
    }

    fn any_of(&self, view: &SegmentView, terms: &[MatchTerm]) -> Result<DocBits> {
        let has_content = self.query.has_content();
        let mut bits = DocBits::new(view.segment().docs());
        for term in terms.iter().filter(|term| term.content || !has_content) {
            bits.or(&term_bits(view, term)?);
        }
        Ok(bits)
    }

    fn group(&self, view: &SegmentView, group: &Group, within: &DocBits) -> Result<DocBits> {
        let mut bits = within.clone();
        for node in &group.must {
            bits.and(&self.node(view, node, within, true)?);
        }
        if !group.ranks_alone() && !group.should.is_empty() {
            let mut any = DocBits::new(view.segment().docs());
            for node in &group.should {
                any.or(&self.node(view, node, within, false)?);
            }
            bits.and(&any);
        }
        for node in &group.not {
            bits.and_not(&self.node(view, node, within, true)?);
        }
        Ok(bits)
    }

    /// Candidates of a phrase; verified unless that is deferred.
    fn phrase(&self, view: &SegmentView, index: usize, within: &DocBits) -> Result<DocBits> {
        let phrase = &self.query.phrases[index];
        let mut bits = all_terms(view, &phrase.terms)?;
        bits.and(within);
        phrase::narrow(view, phrase, &mut bits)?;
        if self.deferred.contains(&index) {
            return Ok(bits);
        }
        let mut verified = DocBits::new(view.segment().docs());
        for doc in bits.iter() {
            let document = document_of(self.source, view.segment().frame(doc)?)?;
            if phrase::occurs(phrase, &document)? {
                verified.insert(doc);
            }
        }
        Ok(verified)
    }
}

/// Collects the phrases that every hit must have.
fn defer(node: &Node, deferred: &mut Vec<usize>) {
    match node {
        Node::Phrase(index) => deferred.push(*index),
        Node::Group(group) if !is_negative(node) => {
            for node in &group.must {
                defer(node, deferred);
            }
            if let ([only], true) = (&group.should[..], !group.ranks_alone()) {
                defer(only, deferred);
            }
        }
        _ => {}
    }
}

fn all_terms(view: &SegmentView, terms: &[MatchTerm]) -> Result<DocBits> {
    let mut all: Option<DocBits> = None;
    for term in terms.iter().filter(|term| term.needed) {
        let bits = term_bits(view, term)?;
        match &mut all {
            Some(all) => all.and(&bits),
            None => all = Some(bits),
        }
    }
    Ok(all.unwrap_or_else(|| DocBits::new(view.segment().docs())))
}

fn term_bits(view: &SegmentView, term: &MatchTerm) -> Result<DocBits> {
    let (field, _) = term.scope.fields()[0];
    if term.scope == Scope::CjkPrefix {
        return prefix_bits(view, field.field(), &term.text);
    }
    let mut bits = DocBits::new(view.segment().docs());
    if let Some(postings) = view.segment().block_postings(&field.term(&term.text))? {
        bits.insert_postings(postings);
    }
    Ok(bits)
}

/// Documents that meet a condition on a field that is not text, or on their time.
pub(super) fn raw_bits(
    view: &SegmentView,
    filter: &RawFilter,
    dates: &[FrameSet],
) -> Result<DocBits> {
    match filter {
        RawFilter::Term(term) => {
            let mut bits = DocBits::new(view.segment().docs());
            if let Some(postings) = view.segment().block_postings(term)? {
                bits.insert_postings(postings);
            }
            Ok(bits)
        }
        RawFilter::UriPrefix(prefix) => prefix_bits(view, schema::uri(), prefix),
        RawFilter::Date(index) => match dates.get(*index) {
            Some(frames) => frame_bits(view, frames),
            None => Ok(DocBits::new(view.segment().docs())),
        },
    }
}

/// The documents of a set of frames.
pub(super) fn frame_bits(view: &SegmentView, frames: &FrameSet) -> Result<DocBits> {
    let segment = view.segment();
    let mut bits = DocBits::new(segment.docs());
    for run in frames.runs_in(segment.first_frame()..segment.end_frame()) {
        bits.insert_range(segment.docs_before(run.start)?..segment.docs_before(run.end)?);
    }
    Ok(bits)
}
