//! A retrieval set as it lies in a folder.
//!
//! | file | what |
//! |---|---|
//! | `docs.jsonl` | `{"_id", "text"}`, and if there are such `"title"`, `"speaker"`, `"group"`, `"timestamp"` |
//! | `queries.jsonl` | `{"_id", "text"}`, and `"group"` |
//! | `qrels.tsv` | a header line, then query, document and grade; a grade of 1 or more is relevant |
//!
//! Each of them may be compressed, with `.gz` behind its name.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;
use mv2::Timestamp;
use serde::Deserialize;

/// What is relevant for each query, and how much.
pub(super) type Judgements = BTreeMap<String, HashMap<String, u32>>;

/// A set: documents, the queries that are judged, the judgements.
#[derive(Debug)]
pub(super) struct Dataset {
    /// The name of its folder.
    pub(super) name: String,
    pub(super) docs: Vec<Doc>,
    pub(super) queries: Vec<Query>,
    pub(super) judgements: Judgements,
}

#[derive(Debug)]
pub(crate) struct Doc {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) speaker: String,
    pub(crate) text: String,
    /// The conversation that it belongs to; empty if there are none.
    pub(super) group: String,
    pub(super) timestamp: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Query {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) group: String,
    /// What sort of question it is; empty if the set has no sorts.
    kind: String,
}

/// A line of either file. What it does not name is empty.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: Option<String>,
    text: String,
    #[serde(default)]
    speaker: Option<String>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

impl Doc {
    /// What is stored: the text, behind who said it.
    pub(super) fn body(&self) -> Cow<'_, str> {
        match self.speaker.as_str() {
            "" => Cow::Borrowed(&self.text),
            speaker => Cow::Owned(format!("{speaker} {}", self.text)),
        }
    }
}

impl Dataset {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        // The path may be `.` or end in `..`, and the set has a name nevertheless.
        let whole = folder
            .canonicalize()
            .with_context(|| format!("cannot open the set {}", folder.display()))?;
        let name = whole.file_name().context("a set is a folder with a name")?;
        let judgements = judgements(folder)?;
        let mut queries = Vec::new();
        for (_, line) in lines(folder, "queries.jsonl")? {
            if judgements.contains_key(&line.id) {
                queries.push(Query {
                    id: line.id,
                    text: line.text,
                    group: line.group.unwrap_or_default(),
                    kind: line.kind.unwrap_or_default(),
                });
            }
        }
        unique(
            folder,
            "queries.jsonl",
            queries.iter().map(|query| &query.id),
        )?;
        let docs = documents(folder)?;
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            docs,
            queries,
            judgements,
        })
    }

    /// The type of each query that has one.
    pub(super) fn types(&self) -> BTreeMap<String, String> {
        let typed = self.queries.iter().filter(|query| !query.kind.is_empty());
        typed
            .map(|query| (query.id.clone(), query.kind.clone()))
            .collect()
    }

    /// Whether its documents belong to conversations.
    pub(super) fn has_groups(&self) -> bool {
        self.docs.iter().any(|doc| !doc.group.is_empty())
    }
}

/// The documents of a set alone.
pub(crate) fn documents(folder: &Path) -> Result<Vec<Doc>> {
    let mut docs = Vec::new();
    for (place, line) in lines(folder, "docs.jsonl")? {
        let timestamp = line.timestamp.as_deref().map(mv2::time::parse);
        docs.push(Doc {
            id: line.id,
            title: line.title.unwrap_or_default(),
            speaker: line.speaker.unwrap_or_default(),
            text: line.text,
            group: line.group.unwrap_or_default(),
            timestamp: timestamp.transpose().context(place)?,
        });
    }
    unique(folder, "docs.jsonl", docs.iter().map(|doc| &doc.id))?;
    Ok(docs)
}

/// The questions of a set alone, judged or not.
pub(crate) fn questions(folder: &Path) -> Result<Vec<String>> {
    let lines = lines(folder, "queries.jsonl")?;
    Ok(lines.into_iter().map(|(_, line)| line.text).collect())
}

/// A second document of an id would take the place of the first one, unnoticed.
fn unique<'a>(folder: &Path, name: &str, ids: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = HashSet::new();
    for id in ids {
        ensure!(
            seen.insert(id),
            "{} has the id {id:?} twice",
            folder.join(name).display()
        );
    }
    Ok(())
}

fn judgements(folder: &Path) -> Result<Judgements> {
    let (path, reader) = open(folder, "qrels.tsv")?;
    let mut judgements = Judgements::new();
    for (at, line) in reader.lines().enumerate().skip(1) {
        let place = || format!("{}, line {}", path.display(), at + 1);
        let line = line.with_context(place)?;
        if line.trim().is_empty() {
            continue;
        }
        let columns: Vec<&str> = line.split('\t').collect();
        let [query, doc, grade] = columns[..] else {
            return Err(anyhow::anyhow!("expected query, document and grade").context(place()));
        };
        let grade: i64 = grade.trim().parse().with_context(place)?;
        if let Ok(grade) = u32::try_from(grade)
            && grade > 0
        {
            let relevant = judgements.entry(query.to_owned()).or_default();
            relevant.insert(doc.to_owned(), grade);
        }
    }
    ensure!(!judgements.is_empty(), "{} judges nothing", path.display());
    Ok(judgements)
}

/// The lines of a file, each with its place for messages.
fn lines(folder: &Path, name: &str) -> Result<Vec<(String, Line)>> {
    let (path, reader) = open(folder, name)?;
    let mut lines = Vec::new();
    for (at, line) in reader.lines().enumerate() {
        let place = format!("{}, line {}", path.display(), at + 1);
        let line = line.with_context(|| place.clone())?;
        if !line.trim().is_empty() {
            let line = serde_json::from_str(&line).with_context(|| place.clone())?;
            lines.push((place, line));
        }
    }
    Ok(lines)
}

/// Opens a file of the set, compressed or not.
fn open(folder: &Path, name: &str) -> Result<(PathBuf, BufReader<Box<dyn Read>>)> {
    let plain = folder.join(name);
    let packed = folder.join(format!("{name}.gz"));
    let (path, reader): (PathBuf, Box<dyn Read>) = match File::open(&plain) {
        Ok(file) => (plain, Box::new(file)),
        Err(_) if packed.exists() => {
            let file =
                File::open(&packed).with_context(|| format!("cannot open {}", packed.display()))?;
            (packed, Box::new(MultiGzDecoder::new(BufReader::new(file))))
        }
        Err(error) => {
            let text = format!("cannot open {}, with or without .gz", plain.display());
            return Err(anyhow::Error::new(error).context(text));
        }
    };
    Ok((path, BufReader::new(reader)))
}
