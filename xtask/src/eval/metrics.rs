//! The figures of a set, and the file on which other programs compute the same ones.
//!
//! They are trec_eval's: the order within an answer is by score, then by document id, both
//! descending, whatever order the answer had; a judged query without an answer counts 0.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::dataset::Judgements;

/// How far down an answer the figures look.
const DEPTH: usize = 10;

/// What was found for a query: documents and their scores.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) query: String,
    pub(super) hits: Vec<(String, f32)>,
}

/// Means over the judged queries, each between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Gain by grade, discounted by log2(rank + 1), over that of the ideal order.
    pub(super) ndcg10: f64,
    /// Share of the relevant documents among the first five.
    pub(super) recall5: f64,
    pub(super) recall10: f64,
    /// One over the rank of the first relevant document, 0 if it is not among the first ten.
    pub(super) mrr10: f64,
    /// Number of judged queries.
    pub(super) queries: usize,
}

impl Figures {
    pub(super) fn of(judgements: &Judgements, answers: &[Answer]) -> Self {
        let found: HashMap<&str, &Answer> = answers
            .iter()
            .map(|answer| (answer.query.as_str(), answer))
            .collect();
        let mut sums = Self::default();
        for (query, relevant) in judgements {
            if let Some(answer) = found.get(query.as_str()) {
                sums.add(relevant, &ranked(&answer.hits));
            }
        }
        let queries = judgements.len();
        let mean = |sum: f64| sum / queries.max(1) as f64;
        Self {
            ndcg10: mean(sums.ndcg10),
            recall5: mean(sums.recall5),
            recall10: mean(sums.recall10),
            mrr10: mean(sums.mrr10),
            queries,
        }
    }

    fn add(&mut self, relevant: &HashMap<String, u32>, ranked: &[&str]) {
        let grade = |doc: &&str| f64::from(relevant.get(*doc).copied().unwrap_or(0));
        let gain = |grades: &[f64]| -> f64 {
            let discounted = grades.iter().zip(2u32..);
            discounted
                .map(|(grade, rank)| grade / f64::from(rank).log2())
                .sum()
        };
        let got: Vec<f64> = ranked.iter().take(DEPTH).map(grade).collect();
        let mut ideal: Vec<f64> = relevant.values().map(|&grade| f64::from(grade)).collect();
        ideal.sort_by(|a, b| b.total_cmp(a));
        ideal.truncate(DEPTH);
        let share = |first: usize| {
            let hits = got.iter().take(first).filter(|&&grade| grade > 0.0);
            hits.count() as f64 / relevant.len() as f64
        };
        self.ndcg10 += gain(&got) / gain(&ideal);
        self.recall5 += share(5);
        self.recall10 += share(10);
        if let Some(at) = got.iter().position(|&grade| grade > 0.0) {
            self.mrr10 += 1.0 / (at + 1) as f64;
        }
    }
}

/// nDCG@10 of each judged query.
pub(super) fn gains(judgements: &Judgements, answers: &[Answer]) -> BTreeMap<String, f64> {
    let mut gains: BTreeMap<String, f64> = judgements
        .keys()
        .map(|query| (query.clone(), 0.0))
        .collect();
    for answer in answers {
        let Some(relevant) = judgements.get(&answer.query) else {
            continue;
        };
        let mut figures = Figures::default();
        figures.add(relevant, &ranked(&answer.hits));
        gains.insert(answer.query.clone(), figures.ndcg10);
    }
    gains
}

/// The documents of an answer in the order that a run file says.
fn ranked(hits: &[(String, f32)]) -> Vec<&str> {
    let mut order: Vec<&(String, f32)> = hits.iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
    order.into_iter().map(|(doc, _)| doc.as_str()).collect()
}

/// Writes `query document score` lines. A score is written so that reading it gives the same number:
/// ties stay ties, and what differs in the last bit stays apart.
pub(super) fn write_run(path: &Path, answers: &[Answer]) -> Result<()> {
    let place = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(place)?);
    for answer in answers {
        for (doc, score) in &answer.hits {
            for id in [&answer.query, doc] {
                let blank = id.is_empty() || id.contains(char::is_whitespace);
                ensure!(!blank, "the id {id:?} cannot stand in a run file");
            }
            writeln!(file, "{} {doc} {score}", answer.query).with_context(place)?;
        }
    }
    file.flush().with_context(place)
}
