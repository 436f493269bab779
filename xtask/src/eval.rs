//! `cargo xtask eval`: how well the memory ranks, on retrieval sets that are given by path.
//!
//! A set goes through the public facade into a memory of its own, in a temporary folder; each judged
//! query is a [`SearchRequest`] of plain words, since that is what a question in natural language is;
//! `--parsed` reads it with operators instead. Nothing depends on which set it is.
//!
//! Each set has rows for words, for vectors of the built-in embedder, and for both in one list.
//!
//! The documents of a conversation set have groups, one for each conversation. Such a set is *scoped*:
//! each group gets its memory, as each user of an agent would, and a query searches that of its group.
//! `--pooled` adds the figures with all groups in one memory.

pub(crate) mod dataset;
mod metrics;
mod page;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use mv2::embed::StaticEmbedder;
use mv2::{Memvid, Mode, OpenOptions, PutOptions, SearchRequest, Syntax};
use serde_json::{Value, json};

use dataset::{Dataset, Doc};
use metrics::{Answer, Figures};

/// The modes that are measured, each in rows of its own.
const MODES: [Mode; 3] = [Mode::Lex, Mode::Vec, Mode::Hybrid];
/// How many hits are asked for. Enough for every figure, and for a run file that others score.
const TOP_K: usize = 100;
/// Documents for each commit of an import, as `mv2 put --jsonl` does it.
const COMMIT_EVERY: usize = 1_000;

/// What was asked for on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    folders: Vec<PathBuf>,
    pooled: bool,
    json: bool,
    /// Whether queries are read with operators, as a search does by default.
    parsed: bool,
    runs: Option<PathBuf>,
    /// The page to write the tables into.
    page: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments; `None` if they make no sense.
    pub(crate) fn parse(args: &[&str]) -> Option<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            match arg {
                "--pooled" => options.pooled = true,
                "--json" => options.json = true,
                "--parsed" => options.parsed = true,
                "--runs" => options.runs = Some(PathBuf::from(args.next()?)),
                "--page" => options.page = Some(PathBuf::from(args.next()?)),
                flag if flag.starts_with('-') => return None,
                folder => options.folders.push(PathBuf::from(folder)),
            }
        }
        (!options.folders.is_empty()).then_some(options)
    }

    fn syntax(&self) -> Syntax {
        match self.parsed {
            true => Syntax::Query,
            false => Syntax::Words,
        }
    }
}

/// One line of the answer.
#[derive(Debug)]
struct Row {
    /// The name of the set's folder, with `:pooled` behind it where groups were thrown together.
    name: String,
    mode: Mode,
    scope: &'static str,
    figures: Figures,
    /// nDCG@10 of each judged query.
    gains: BTreeMap<String, f64>,
    /// The type of each query that has one.
    types: BTreeMap<String, String>,
}

/// Measures the sets and prints a table, or JSON.
pub(crate) fn run(options: &Options) -> Result<()> {
    if let Some(folder) = &options.runs {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut rows = Vec::new();
    for folder in &options.folders {
        rows.extend(measure(folder, options)?);
    }
    if let Some(path) = &options.page {
        page::write(path, &rows)?;
    }
    if options.json {
        println!("{}", to_json(&rows));
    } else {
        print!("{}", to_table(&rows));
    }
    Ok(())
}

fn measure(folder: &Path, options: &Options) -> Result<Vec<Row>> {
    let set = Dataset::read(folder)?;
    let mut rows = Vec::new();
    for pooled in [false, true] {
        // Without groups there is one memory either way.
        if pooled && !(options.pooled && set.has_groups()) {
            continue;
        }
        let memories = Memories::import(&set, pooled)?;
        let name = match pooled {
            true => format!("{}:pooled", set.name),
            false => set.name.clone(),
        };
        for mode in MODES {
            let answers = memories.answer(&set, mode, options.syntax())?;
            if let Some(folder) = &options.runs {
                let file = format!("{}.{mode}.run", name.replace(':', "."));
                metrics::write_run(&folder.join(file), &answers)?;
            }
            rows.push(Row {
                name: name.clone(),
                mode,
                scope: match (set.has_groups(), pooled) {
                    (true, false) => "scoped",
                    (true, true) => "pooled",
                    (false, _) => "-",
                },
                figures: Figures::of(&set.judgements, &answers),
                gains: metrics::gains(&set.judgements, &answers),
                types: set.types(),
            });
        }
    }
    Ok(rows)
}

/// The documents of a set in memories: one for each group, or one for all.
struct Memories {
    by_group: HashMap<String, Memvid>,
    pooled: bool,
    /// Where the files are until this is dropped.
    _folder: tempfile::TempDir,
}

impl Memories {
    fn import(set: &Dataset, pooled: bool) -> Result<Self> {
        let start = Instant::now();
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let mut groups: Vec<(&str, Vec<&Doc>)> = Vec::new();
        for doc in &set.docs {
            let group = if pooled { "" } else { doc.group.as_str() };
            match groups.iter_mut().find(|(name, _)| *name == group) {
                Some((_, docs)) => docs.push(doc),
                None => groups.push((group, vec![doc])),
            }
        }
        let mut by_group = HashMap::new();
        for (at, (group, docs)) in groups.into_iter().enumerate() {
            let embedder = Arc::new(StaticEmbedder::new()?);
            let options = OpenOptions::new().embedder(embedder);
            let mut memory = options.create(folder.path().join(format!("{at}.mv2")))?;
            for batch in docs.chunks(COMMIT_EVERY) {
                for doc in batch {
                    memory.put_bytes_with_options(doc.body().as_bytes(), put_options(doc))?;
                }
                memory.commit()?;
            }
            by_group.insert(group.to_owned(), memory);
        }
        eprintln!(
            "{}: {} documents in {} in {:.1} s",
            set.name,
            set.docs.len(),
            match by_group.len() {
                1 => "one memory".to_owned(),
                count => format!("{count} memories"),
            },
            start.elapsed().as_secs_f64()
        );
        Ok(Self {
            by_group,
            pooled,
            _folder: folder,
        })
    }

    /// Asks every judged query. One that finds nothing has an empty answer.
    fn answer(&self, set: &Dataset, mode: Mode, syntax: Syntax) -> Result<Vec<Answer>> {
        let start = Instant::now();
        let mut answers = Vec::with_capacity(set.queries.len());
        for query in &set.queries {
            let group = if self.pooled { "" } else { &query.group };
            let hits = match self.by_group.get(group) {
                Some(memory) => ask(memory, &query.text, mode, syntax)?,
                None => Vec::new(),
            };
            answers.push(Answer {
                query: query.id.clone(),
                hits,
            });
        }
        let micros = start.elapsed().as_secs_f64() * 1e6 / answers.len().max(1) as f64;
        eprintln!("{}: {mode}, {micros:.0} us a query", set.name);
        Ok(answers)
    }
}

fn put_options(doc: &Doc) -> PutOptions {
    PutOptions {
        uri: Some(doc.id.clone()),
        title: Some(doc.title.clone()).filter(|title| !title.is_empty()),
        timestamp: doc.timestamp,
        ..PutOptions::default()
    }
}

/// The best hits for a text, with their scores.
fn ask(memory: &Memvid, text: &str, mode: Mode, syntax: Syntax) -> Result<Vec<(String, f32)>> {
    let request = SearchRequest {
        query: text.to_owned(),
        syntax,
        mode,
        top_k: TOP_K,
        // Nobody reads them here.
        snippet_chars: 0,
        ..SearchRequest::default()
    };
    let response = memory.search(request)?;
    // A question that the embedder does not know is answered by its words, or not at all.
    ensure!(
        response.mode == mode || (mode == Mode::Hybrid && response.mode == Mode::Lex),
        "asked for {mode}, searched {}",
        response.mode
    );
    let mut hits: Vec<(String, f32)> = Vec::with_capacity(response.hits.len());
    for hit in response.hits {
        // A run file says its order by scores alone, so they must tell the order of the answer.
        if hits.last().is_some_and(|(_, last)| hit.score > *last) {
            bail!("the scores rise in the answer to {text:?}");
        }
        let uri = hit.uri.context("a hit lost its uri")?;
        hits.push((uri, hit.score));
    }
    Ok(hits)
}

fn to_json(rows: &[Row]) -> Value {
    let sets: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "mode": row.mode.to_string(),
                "ndcg10": row.figures.ndcg10,
                "recall5": row.figures.recall5,
                "recall10": row.figures.recall10,
                "mrr10": row.figures.mrr10,
                "queries": row.figures.queries,
            })
        })
        .collect();
    json!({ "sets": sets })
}

fn to_table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| set | scope | mode | queries | nDCG@10 | Recall@5 | Recall@10 | MRR@10 |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let figures = &row.figures;
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {:.4} | {:.4} | {:.4} | {:.4} |",
            row.name,
            row.scope,
            row.mode,
            figures.queries,
            figures.ndcg10,
            figures.recall5,
            figures.recall10,
            figures.mrr10
        );
    }
    table
}
