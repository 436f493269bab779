//! A memory as JSON: what a golden file must decode to.
//!
//! Everything that a reader of the file can see and that does not depend on chance or on compression:
//! commits with their lineage and what they changed, frames that are alive, frames that are dead,
//! which segments cover what, and the results of a few searches. File uuid, salts, offsets and lengths
//! on disk are left out.

use std::path::Path;

use anyhow::{Context, Result};
use mv2::Memvid;
use mv2_format::frame::content_hash;
use mv2_format::{CommitId, Frame, FrameId, FrameSet, SegmentKind};
use mv2_store::{Commit, OpenOptions, Snapshot, Store};
use serde_json::{Map, Value, json};

/// Longest text that is written out; of longer ones, length and hash say enough.
const LONGEST_TEXT: usize = 400;

/// Describes the memory in a file, and what a few searches find in it.
pub(crate) fn describe(path: &Path, queries: &[&str]) -> Result<Value> {
    let store = Store::open_read_only(path, OpenOptions::default())?;
    let snapshot = store.snapshot()?;
    let mut frames = Vec::new();
    for meta in snapshot.metas(FrameId(0)..snapshot.end_frame()) {
        let meta = meta?;
        frames.push(frame(&snapshot.frame(meta.id)?));
    }
    let stats = snapshot.stats()?;
    let mut commits = Vec::new();
    let mut end = FrameId(0);
    for id in (1..).map(CommitId) {
        let row = match snapshot.commit(id) {
            Err(mv2_store::Error::NoSuchCommit { .. }) => break,
            row => row?,
        };
        end = row.watermark;
        commits.push(commit(&snapshot, &row)?);
    }
    let all = FrameSet::from(FrameId(0)..end);
    let dead: Vec<u64> = ids(&all.difference(&snapshot.visible()?));
    let mut branches = Vec::new();
    let there = snapshot.branches()?;
    for branch in &there {
        // What a memory without branches sees is said above.
        let visible = match there.len() {
            1 => None,
            _ => Some(ids(&snapshot.at_branch(&branch.name)?.visible()?)),
        };
        branches.push(json!({
            "name": branch.name,
            "lineage": branch.lineage.get(),
            "base": branch.base.get(),
            "head": branch.head.get(),
            "visible": visible,
        }));
    }
    let tags = snapshot.tags()?;
    let tags = tags
        .iter()
        .map(|tag| json!({"name": tag.name, "commit": tag.commit.get()}));
    let mut described = json!({
        "branches": branches,
        "tags": tags.collect::<Vec<_>>(),
        "checked_out": snapshot.checked_out()?,
        "commits": commits,
        "frames": frames,
        "dead": dead,
        "tail_frames": stats.tail_frames,
        "segments": stats.segments,
        "properties": properties(&snapshot)?,
        "attachments": attachments(&snapshot)?,
        "indexed": indexed(&snapshot)?,
        "next_frame": end.get(),
        "searches": searches(path, queries)?,
    });
    let purged = snapshot.purged()?;
    if !purged.is_empty() {
        described["purged"] = json!(ids(&purged));
    }
    let noted = journal(&snapshot)?;
    if !noted.is_empty() {
        described["journal"] = json!(noted);
    }
    Ok(described)
}

/// The searches that were noted down.
fn journal(snapshot: &Snapshot) -> Result<Vec<Value>> {
    let mut entries = Vec::new();
    for noted in snapshot.journal(CommitId(0)..=snapshot.last_commit()) {
        let noted = noted?;
        let entry: Value = serde_json::from_slice(&noted.entry).context("an entry is no JSON")?;
        entries.push(json!({"commit": noted.commit.id.get(), "entry": entry}));
    }
    Ok(entries)
}

fn ids(frames: &FrameSet) -> Vec<u64> {
    frames.frames().map(FrameId::get).collect()
}

/// The queries that a description holds answers to.
pub(crate) fn queries(description: &Value) -> Vec<&str> {
    let searches = description["searches"].as_array();
    searches
        .into_iter()
        .flatten()
        .filter_map(|search| search["query"].as_str())
        .collect()
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where two descriptions differ: path and both values, at most a few.
pub(crate) fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut out = Vec::new();
    compare("", expected, found, &mut out);
    out
}

fn compare(at: &str, expected: &Value, found: &Value, out: &mut Vec<String>) {
    const MOST: usize = 8;
    if out.len() >= MOST || expected == found {
        return;
    }
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let (a, b) = (a.get(key), b.get(key));
                compare(
                    &format!("{at}.{key}"),
                    a.unwrap_or(&Value::Null),
                    b.unwrap_or(&Value::Null),
                    out,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{at}[{index}]"), a, b, out);
            }
        }
        (Value::Array(a), Value::Array(b)) => out.push(format!(
            "{at}: expected {} entries, found {}",
            a.len(),
            b.len()
        )),
        _ => out.push(format!("{at}: expected {expected}, found {found}")),
    }
}

fn frame(frame: &Frame) -> Value {
    let meta = &frame.meta;
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| {
        // What a frame does not have is not there, which keeps the files short.
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !empty {
            out.insert(key.to_owned(), value);
        }
    };
    set("id", json!(meta.id.get()));
    set("commit", json!(meta.commit.get()));
    set("lineage", json!(meta.lineage.get()));
    set("timestamp", json!(meta.timestamp.to_string()));
    set("uri", json!(meta.uri));
    set("title", json!(meta.title));
    set("kind", json!(meta.kind));
    set("track", json!(meta.track));
    set("tags", json!(meta.tags));
    set("labels", json!(meta.labels));
    set("metadata", json!(meta.metadata));
    set("search_text", json!(meta.search_text));
    set("is_text", json!(meta.is_text));
    set("content_hash", json!(hex(&meta.content_hash)));
    set("payload_len", json!(meta.payload_len));
    set("payload", payload(frame));
    Value::Object(out)
}

/// A short text as it is; of anything else the hash, taken of the bytes that were read.
fn payload(frame: &Frame) -> Value {
    match std::str::from_utf8(&frame.payload) {
        Ok(text) if frame.meta.is_text && text.len() <= LONGEST_TEXT => json!(text),
        _ => json!({
            "len": frame.payload.len(),
            "hash16": hex(&content_hash(&frame.payload)),
        }),
    }
}

fn commit(snapshot: &Snapshot, commit: &Commit) -> Result<Value> {
    let changes = snapshot
        .changes(commit.id)
        .with_context(|| format!("changes of commit {}", commit.id))?;
    let ids = |ids: &[FrameId]| ids.iter().map(|id| id.get()).collect::<Vec<_>>();
    let superseded: Vec<[u64; 2]> = changes
        .superseded
        .iter()
        .map(|(old, new)| [old.get(), new.get()])
        .collect();
    let mut described = json!({
        "id": commit.id.get(),
        "lineage": commit.lineage.get(),
        "parent": commit.parent.get(),
        "second_parent": commit.second_parent.map(|id| id.get()),
        "time": commit.time.to_string(),
        "wall": commit.wall.to_string(),
        "watermark": commit.watermark.get(),
        "message": commit.message,
        "counts": [commit.added, commit.superseded, commit.deleted],
        "added": ids(&changes.added),
        "superseded": superseded,
        "deleted": ids(&changes.deleted),
    });
    if !changes.purged.is_empty() {
        described["purged"] = json!(ids(&changes.purged));
    }
    Ok(described)
}

fn properties(snapshot: &Snapshot) -> Result<Vec<Value>> {
    let rows = snapshot.properties()?;
    let rows = rows.iter().map(|row| {
        let value = row.value.as_deref().map(hex);
        json!({"key": row.key, "commit": row.commit.get(), "value": value})
    });
    Ok(rows.collect())
}

/// What frames carry for an index of vectors that this build does not have.
fn attachments(snapshot: &Snapshot) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for part in 0..2 {
        rows.extend(snapshot.attached(SegmentKind::VECTORS, part)?.1);
    }
    rows.sort_by_key(|row| row.frame);
    let rows = rows.iter().map(|row| {
        json!({
            "frame": row.frame.get(),
            "kind": row.kind.0,
            "part": row.part,
            "bytes": hex(&row.bytes),
        })
    });
    Ok(rows.collect())
}

/// Which frames the segments of the lexical index cover, and which of these are of history.
fn indexed(snapshot: &Snapshot) -> Result<Vec<Value>> {
    let segments = snapshot.segments(SegmentKind::LEX)?;
    let ranges = segments.iter().map(|segment| {
        let range = [segment.first_frame.get(), segment.end_frame.get()];
        match segment.history {
            true => json!({"history": range, "frames": segment.rows}),
            false => json!(range),
        }
    });
    Ok(ranges.collect())
}

/// Which frames each query finds, best first.
fn searches(path: &Path, queries: &[&str]) -> Result<Value> {
    if queries.is_empty() {
        return Ok(json!([]));
    }
    let memory = Memvid::open_read_only(path)?;
    let answers = queries.iter().map(|query| {
        let response = memory.search(*query)?;
        let found = response.hits.iter().map(|hit| hit.frame_id.get());
        Ok(json!({"query": query, "frames": found.collect::<Vec<_>>()}))
    });
    answers.collect::<Result<Vec<_>>>().map(Value::Array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_the_place_and_both_values() {
        let expected = json!({"a": [1, {"b": "x"}], "c": 1});
        let found = json!({"a": [1, {"b": "y"}], "d": 2});
        assert_eq!(
            differences(&expected, &found),
            [
                ".a[1].b: expected \"x\", found \"y\"",
                ".c: expected 1, found null",
                ".d: expected null, found 2",
            ]
        );
        assert!(differences(&expected, &expected).is_empty());
        assert_eq!(
            differences(&json!([1]), &json!([])),
            [": expected 1 entries, found 0"]
        );
    }
}
