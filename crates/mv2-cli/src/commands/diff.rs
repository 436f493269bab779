//! `mv2 diff FILE A B`, and how two versions of a text are compared.

use std::time::Duration;

use mv2::{CommitId, FrameId, Snapshot, text};
use similar::TextDiff;

use crate::cli::{DiffArgs, Global};
use crate::exit::Exit;
use crate::output::json::{CommitRef, DiffFrame, DiffPair};
use crate::output::{Output, human, json};

use super::{head, open_options, selector};

/// Texts that take longer to compare get a rougher diff, which is as right.
const PATIENCE: Duration = Duration::from_secs(2);

/// Larger texts are not compared line by line.
const MAX_BYTES: usize = 16 << 20;

pub(super) fn run(args: &DiffArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let memory = open_options(global).open_read_only(&args.file)?;
    let head = head(&memory, &args.on)?;
    let from = head.at(selector(&args.from)?)?;
    let to = head.at(selector(&args.to)?)?;
    let mut changes = to.changes_since(from.commit_id())?;
    changes.superseded.sort_unstable_by_key(|pair| pair.1);
    let exit = match (
        &changes.added[..],
        &changes.superseded[..],
        &changes.deleted[..],
    ) {
        ([], [], []) => Exit::Done,
        _ => Exit::Nothing,
    };
    if output.is_json() {
        let frames = |snapshot: &Snapshot, ids: &[FrameId]| -> anyhow::Result<Vec<DiffFrame>> {
            ids.iter().map(|id| named(snapshot, *id)).collect()
        };
        let pair = |(old, new): &(FrameId, FrameId)| -> anyhow::Result<DiffPair> {
            let diff = match args.stat {
                true => None,
                false => compare(&from, *old, &to, *new)?,
            };
            let frame = named(&to, *new)?;
            Ok(DiffPair {
                old: old.get(),
                frame,
                diff,
            })
        };
        let superseded: anyhow::Result<Vec<_>> = changes.superseded.iter().map(pair).collect();
        output.json(&json::Diff {
            v: json::VERSION,
            from: commit_ref(&from)?,
            to: commit_ref(&to)?,
            added: frames(&to, &changes.added)?,
            superseded: superseded?,
            deleted: frames(&from, &changes.deleted)?,
        })?;
        return Ok(exit);
    }
    for id in &changes.added {
        output.line(format_args!("+ {}", line(&to, *id)?))?;
    }
    for (old, new) in &changes.superseded {
        output.line(format_args!("~ {} (was {old})", line(&to, *new)?))?;
        if !args.stat {
            print_diff(compare(&from, *old, &to, *new)?.as_deref(), output)?;
        }
    }
    for id in &changes.deleted {
        output.line(format_args!("- {}", line(&from, *id)?))?;
    }
    output.flush()?;
    let (added, superseded, deleted) = (
        changes.added.len(),
        changes.superseded.len(),
        changes.deleted.len(),
    );
    output.message(format_args!(
        "from commit {} to commit {}: {added} added, {superseded} superseded, {deleted} deleted",
        from.commit_id(),
        to.commit_id()
    ));
    Ok(exit)
}

/// A snapshot's commit; the empty memory has number 0 and no time.
fn commit_ref(snapshot: &Snapshot) -> anyhow::Result<CommitRef> {
    match snapshot.commit_id() {
        CommitId(0) => Ok(CommitRef::EMPTY),
        id => Ok(CommitRef::from(&snapshot.commit(id)?)),
    }
}

fn named(snapshot: &Snapshot, id: FrameId) -> anyhow::Result<DiffFrame> {
    let meta = snapshot.frame_by_id(id)?;
    Ok(DiffFrame {
        frame_id: id.get(),
        uri: meta.uri,
        title: meta.title,
    })
}

fn line(snapshot: &Snapshot, id: FrameId) -> anyhow::Result<String> {
    let meta = snapshot.frame_by_id(id)?;
    Ok(match meta.uri.or(meta.title) {
        Some(name) => format!("{id} {}", human::clean_line(&name)),
        None => id.to_string(),
    })
}

/// What differs between the texts of two frames, as a unified diff; empty if the texts are the same, `None` if one is no
/// text, or too large.
pub(super) fn compare(
    old: &Snapshot,
    old_id: FrameId,
    new: &Snapshot,
    new_id: FrameId,
) -> anyhow::Result<Option<String>> {
    let (old, new) = (document(old, old_id)?, document(new, new_id)?);
    let (Some(old), Some(new)) = (old, new) else {
        return Ok(None);
    };
    let mut config = TextDiff::configure();
    let diff = config.timeout(PATIENCE).diff_lines(&old, &new);
    Ok(Some(
        diff.unified_diff().missing_newline_hint(false).to_string(),
    ))
}

fn document(snapshot: &Snapshot, id: FrameId) -> anyhow::Result<Option<String>> {
    let meta = snapshot.frame_by_id(id)?;
    if !meta.is_text || meta.payload_len > MAX_BYTES as u64 {
        return Ok(None);
    }
    let payload = snapshot.frame_canonical_payload(id)?;
    let text = String::from_utf8(payload).ok();
    Ok(text.map(|text| text::without_bom(&text).to_owned()))
}

/// Prints what [`compare`] found, below the line about the document.
pub(super) fn print_diff(diff: Option<&str>, output: &mut Output) -> anyhow::Result<()> {
    let style = output.style;
    let Some(diff) = diff else {
        return Ok(
            output.line(style.dim("    the documents are not texts, or too large to compare"))?
        );
    };
    if diff.is_empty() {
        return Ok(output.line(style.dim("    the text is the same"))?);
    }
    for line in diff.lines() {
        let text = format!("    {}", human::clean(line));
        match line.as_bytes().first() {
            Some(b'+' | b'-') => output.line(style.bold(&text))?,
            _ => output.line(style.dim(&text))?,
        }
    }
    Ok(())
}
