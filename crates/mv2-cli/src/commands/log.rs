//! `mv2 log FILE`.

use std::collections::HashMap;

use mv2::{Clock as _, Commit, CommitId, LineageId, Snapshot, SystemClock};

use crate::cli::{Global, LogArgs};
use crate::exit::Exit;
use crate::output::json::{LogChanges, LogCommit, Superseded};
use crate::output::{Output, human, json};

use super::graph::Graph;
use super::put::split_message;
use super::timeline::second;
use super::{open_options, snapshot, time_range};

/// From this difference between the clock and the commit's time on, the clock is worth a remark.
const CLOCK_JUMP_MICROS: i64 = 5 * 60 * 1_000_000;

pub(super) fn run(args: &LogArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let memory = open_options(global).open_read_only(&args.file)?;
    let snapshot = snapshot(&memory, &args.past, output)?;
    let ends = [args.since.as_deref(), args.until.as_deref()];
    let (since, until) = time_range(ends, None, SystemClock.now())?;
    let newest = match until {
        // Found without a walk through those that came later.
        Some(until) if !args.all && !args.graph => snapshot.at(snapshot.commit_at(until)?)?,
        _ => snapshot.clone(),
    };
    let early = |commit: &mv2::Result<Commit>| {
        let commit = commit.as_ref().ok();
        commit
            .zip(since)
            .is_some_and(|(commit, since)| commit.time < since)
    };
    let late = |commit: &mv2::Result<Commit>| {
        let commit = commit.as_ref().ok();
        commit
            .zip(until)
            .is_some_and(|(commit, until)| commit.time > until)
    };
    let commits: Box<dyn Iterator<Item = mv2::Result<Commit>> + '_> = match (args.all, args.graph) {
        (true, _) => Box::new(snapshot.all_commits()),
        (false, true) => Box::new(snapshot.ancestry(heads(&snapshot, args)?)),
        (false, false) => Box::new(newest.log()),
    };
    let commits = commits
        .skip_while(late)
        .take_while(|commit| !early(commit))
        .take(args.limit.unwrap_or(usize::MAX));
    let mut names = Names::new(&snapshot)?;
    if output.is_json() {
        // Written as it is read: a log can be longer than what one wants to hold in memory.
        let (v, as_of) = (json::VERSION, snapshot.commit_id());
        let branch = serde_json::to_string(&snapshot.branch())?;
        let head = format!("{{\"v\":{v},\"as_of\":{as_of},\"branch\":{branch},\"commits\":[");
        output.bytes(head.as_bytes())?;
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
                branch: names.branch(commit.lineage)?,
                parents: [Some(commit.parent), commit.second_parent]
                    .into_iter()
                    .flatten()
                    .map(CommitId::get)
                    .filter(|id| *id > 0)
                    .collect(),
                message,
                folder,
                changes,
            };
            output.bytes(serde_json::to_string(&object)?.as_bytes())?;
        }
        output.line("]}")?;
        return Ok(Exit::Done);
    }
    let mut graph = Graph::default();
    for commit in commits {
        let commit = commit?;
        match args.graph {
            true => print_drawn(&mut graph, &names, &commit, output)?,
            false => {
                let on = match args.all && names.several {
                    true => names.branch(commit.lineage)?,
                    false => None,
                };
                let on = on.map_or_else(String::new, |name| format!(" on {name}"));
                print(&snapshot, &names, &commit, &on, args.frames, output)?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Where a graph begins: at all branches, or at the commit that was asked for.
fn heads(snapshot: &Snapshot, args: &LogArgs) -> mv2::Result<Vec<CommitId>> {
    if args.past.as_of.is_some() || args.past.on.branch.is_some() {
        return Ok(vec![snapshot.commit_id()]);
    }
    let branches = snapshot.branches()?;
    Ok(branches.into_iter().map(|branch| branch.head).collect())
}

/// The names of commits.
struct Names<'a> {
    snapshot: &'a Snapshot,
    /// Whether there is more than one branch.
    several: bool,
    /// Branches whose heads they are, where there are several, and tags.
    at: HashMap<CommitId, Vec<String>>,
    /// The branches that commits were made on.
    branches: HashMap<LineageId, Option<String>>,
}

impl<'a> Names<'a> {
    fn new(snapshot: &'a Snapshot) -> mv2::Result<Self> {
        let (branches, tags) = (snapshot.branches()?, snapshot.tags()?);
        let several = branches.len() > 1;
        let mut at: HashMap<CommitId, Vec<String>> = HashMap::new();
        for branch in branches.into_iter().filter(|_| several) {
            at.entry(branch.head).or_default().push(branch.name);
        }
        for tag in tags {
            let names = at.entry(tag.commit).or_default();
            names.push(format!("tag:{}", tag.name));
        }
        Ok(Self {
            snapshot,
            several,
            at,
            branches: HashMap::new(),
        })
    }

    /// The branch that commits of a lineage were made on.
    fn branch(&mut self, lineage: LineageId) -> mv2::Result<Option<&str>> {
        let name = match self.branches.entry(lineage) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(self.snapshot.branch_of(lineage)?)
            }
        };
        Ok(name.as_deref())
    }

    /// What stands behind a commit's number.
    fn behind(&self, commit: CommitId) -> String {
        match self.at.get(&commit) {
            Some(names) => format!(" ({})", human::clean_line(&names.join(", "))),
            None => String::new(),
        }
    }
}

/// The message, and the folder whose import the commit is part of.
pub(super) fn message(commit: &Commit) -> (Option<&str>, Option<String>) {
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

/// ```text
/// * 6 (main) 2026-11-25 01:10:03 merge draft · 1 added
/// |\
/// ```
fn print_drawn(
    graph: &mut Graph,
    names: &Names<'_>,
    commit: &Commit,
    output: &mut Output,
) -> anyhow::Result<()> {
    let (style, columns) = (output.style, output.columns());
    // What it says of the commits has to have room, however many branches there are.
    let lanes = columns / 2;
    let drawn = graph.draw(commit);
    for line in drawn.above {
        output.line(style.dim(&human::cut(&line, lanes)))?;
    }
    let beside = human::cut(&drawn.beside, lanes);
    let (id, behind) = (commit.id.to_string(), names.behind(commit.id));
    let (message, _) = message(commit);
    let about = [message.map(human::clean_line), Some(summary(commit))];
    let about: Vec<String> = about.into_iter().flatten().collect();
    let about: Vec<String> = about.into_iter().filter(|text| !text.is_empty()).collect();
    let time = second(commit.time);
    let used = human::width(&beside) + 1 + id.len();
    let room = columns.saturating_sub(used);
    let behind = human::cut(&behind, room);
    let room = room.saturating_sub(human::width(&behind) + 1);
    let rest = human::cut(&format!("{time} {}", about.join(" · ")), room);
    output.line(format_args!(
        "{beside} {}{} {}",
        style.bold(&id),
        style.cyan(&behind),
        rest.trim_end()
    ))?;
    for line in drawn.below {
        output.line(style.dim(&human::cut(&line, lanes)))?;
    }
    Ok(())
}

fn print(
    snapshot: &Snapshot,
    names: &Names<'_>,
    commit: &Commit,
    on: &str,
    frames: bool,
    output: &mut Output,
) -> anyhow::Result<()> {
    let style = output.style;
    let (message, folder) = message(commit);
    let from = folder.map_or_else(String::new, |folder| {
        format!(" from {}", human::clean_line(&folder))
    });
    output.line(format_args!(
        "{}{}{} {} {}{}",
        style.bold(&format!("commit {}", commit.id)),
        style.cyan(&names.behind(commit.id)),
        human::clean(on),
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

/// What a commit changed, in numbers.
pub(super) fn summary(commit: &Commit) -> String {
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
