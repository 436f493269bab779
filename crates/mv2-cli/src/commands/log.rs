//! `mv2 log FILE`.

use mv2::{Clock as _, Commit, Snapshot, SystemClock};

use crate::cli::{Global, LogArgs};
use crate::exit::Exit;
use crate::output::json::{LogChanges, LogCommit, Superseded};
use crate::output::{Output, human, json};

use super::put::split_message;
use super::{open_options, snapshot, time_range};

/// From this difference between the clock and the commit's time on, the clock is worth a remark.
const CLOCK_JUMP_MICROS: i64 = 5 * 60 * 1_000_000;

/// The branch of each commit, as long as there is one.
const BRANCH: &str = "main";

pub(super) fn run(args: &LogArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let memory = open_options(global).open_read_only(&args.file)?;
    let snapshot = snapshot(&memory, &args.past)?;
    let ends = [args.since.as_deref(), args.until.as_deref()];
    let (since, until) = time_range(ends, None, SystemClock.now())?;
    // The newest commit in time is found without a walk through those that came later.
    let newest = match until {
        Some(until) => snapshot.at(until)?,
        None => snapshot.clone(),
    };
    let early = |commit: &mv2::Result<Commit>| {
        let commit = commit.as_ref().ok();
        commit
            .zip(since)
            .is_some_and(|(commit, since)| commit.time < since)
    };
    let commits = newest
        .log()
        .take_while(|commit| !early(commit))
        .take(args.limit.unwrap_or(usize::MAX));
    if output.is_json() {
        // Written as it is read: a log can be longer than what one wants to hold in memory.
        let (v, as_of) = (json::VERSION, snapshot.commit_id());
        output.bytes(format!("{{\"v\":{v},\"as_of\":{as_of},\"commits\":[").as_bytes())?;
        for (at, commit) in commits.enumerate() {
            let commit = commit?;
            let changes = changes(&snapshot, &commit, args.frames)?;
            let (message, folder) = message(&commit);
            if at > 0 {
                output.bytes(b",")?;
            }
            let object = LogCommit {
                id: commit.id.get(),
                time: commit.time.to_string(),
                wall: commit.wall.to_string(),
                branch: BRANCH,
                message,
                folder,
                changes,
            };
            output.bytes(serde_json::to_string(&object)?.as_bytes())?;
        }
        output.line("]}")?;
        return Ok(Exit::Done);
    }
    for commit in commits {
        print(&snapshot, &commit?, args.frames, output)?;
    }
    Ok(Exit::Done)
}

/// The message, and the folder whose import the commit is part of.
fn message(commit: &Commit) -> (Option<&str>, Option<String>) {
    commit
        .message
        .as_deref()
        .map_or((None, None), split_message)
}

fn changes(snapshot: &Snapshot, commit: &Commit, frames: bool) -> anyhow::Result<LogChanges> {
    if !frames {
        return Ok(LogChanges::Counts {
            added: commit.added,
            superseded: commit.superseded,
            deleted: commit.deleted,
        });
    }
    let changes = snapshot.changes(commit.id)?;
    Ok(LogChanges::Frames {
        added: changes.added.iter().map(|id| id.get()).collect(),
        superseded: changes
            .superseded
            .iter()
            .map(|(old, new)| Superseded {
                frame_id: old.get(),
                by: new.get(),
            })
            .collect(),
        deleted: changes.deleted.iter().map(|id| id.get()).collect(),
    })
}

fn print(
    snapshot: &Snapshot,
    commit: &Commit,
    frames: bool,
    output: &mut Output,
) -> anyhow::Result<()> {
    let style = output.style;
    let (message, folder) = message(commit);
    let from = folder.map_or_else(String::new, |folder| {
        format!(" from {}", human::clean_line(&folder))
    });
    output.line(format_args!(
        "{} {} {}{}",
        style.bold(&format!("commit {}", commit.id)),
        commit.time,
        summary(commit),
        style.dim(&from)
    ))?;
    if let Some(message) = message {
        output.line(format_args!("  {}", human::clean_line(message)))?;
    }
    if commit.time.as_micros().abs_diff(commit.wall.as_micros()) > CLOCK_JUMP_MICROS as u64 {
        let remark = format!("  the clock said {}", commit.wall);
        output.line(style.dim(&remark))?;
    }
    if frames {
        let changes = snapshot.changes(commit.id)?;
        for id in &changes.added {
            output.line(format_args!("  + {}", describe(snapshot, *id)))?;
        }
        for (old, new) in &changes.superseded {
            output.line(format_args!("  ~ {} (was {old})", describe(snapshot, *new)))?;
        }
        for id in &changes.deleted {
            output.line(format_args!("  - {id}"))?;
        }
    }
    Ok(())
}

fn summary(commit: &Commit) -> String {
    let parts = [
        (commit.added, "added"),
        (commit.superseded, "superseded"),
        (commit.deleted, "deleted"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    parts.join(", ")
}

/// A frame's number, with its uri or title while it is alive.
fn describe(snapshot: &Snapshot, id: mv2::FrameId) -> String {
    let name = snapshot
        .frame_by_id(id)
        .ok()
        .and_then(|meta| meta.uri.or(meta.title));
    match name {
        Some(name) => format!("{id} {}", human::clean_line(&name)),
        None => id.to_string(),
    }
}
