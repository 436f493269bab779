//! `mv2 branch FILE [create NAME [AT] | delete NAME | rename NAME NEW]`, and what it shares with `mv2 tag`.

use mv2::{Commit, Memvid, Selector};

use crate::cli::{BranchCommand, Global, RefAction};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::json::{Branch, Branches, CommitRef, RefChanged};
use crate::output::{Output, human, json};

use super::timeline::second;
use super::{open_options, selector};

pub(super) fn run(
    args: &BranchCommand,
    global: &Global,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let change = Change::read(args.action, args.name.as_deref(), args.more.as_deref())?;
    let Some(change) = change else {
        return list(&open_options(global).open_read_only(&args.file)?, output);
    };
    let mut memory = open_options(global).open(&args.file)?;
    let gate = interrupt::gate();
    let (commit, at) = match &change {
        Change::Create(name, at) => {
            let at = memory.at(at.clone())?.commit_id();
            (memory.create_branch(name, at)?, Some(at.get()))
        }
        Change::Delete(name) => (memory.delete_branch(name)?, None),
        Change::Rename(name, new) => (memory.rename_branch(name, new)?, None),
    };
    change.say("branch", &commit, at, output)?;
    output.flush()?;
    drop(gate);
    if let (Change::Create(name, _), false) = (&change, output.is_json()) {
        let file = args.file.display();
        output.message(format_args!(
            "note: put and search there with --branch {name}, or always after: mv2 checkout {file} {name}"
        ));
    }
    Ok(Exit::Done)
}

fn list(memory: &Memvid, output: &mut Output) -> anyhow::Result<Exit> {
    let snapshot = memory.snapshot()?;
    let checked_out = snapshot.checked_out()?;
    let mut branches = Vec::new();
    for branch in snapshot.branches()? {
        let time = match branch.head.get() {
            0 => None,
            _ => Some(snapshot.commit(branch.head)?.time),
        };
        branches.push((branch, time));
    }
    if output.is_json() {
        let branches = branches.into_iter().map(|(branch, time)| Branch {
            checked_out: branch.name == checked_out,
            name: branch.name,
            head: branch.head.get(),
            base: branch.base.get(),
            time: time.map(|time| time.to_string()),
        });
        output.json(&Branches {
            v: json::VERSION,
            branches: branches.collect(),
        })?;
        return Ok(Exit::Done);
    }
    let style = output.style;
    let names = branches.iter().map(|(branch, _)| branch.name.as_str());
    let columns = name_columns(names, output);
    for (branch, time) in &branches {
        let mark = match branch.name == checked_out {
            true => '*',
            false => ' ',
        };
        let from = match branch.base.get() {
            0 => String::new(),
            base => format!("  from {base}"),
        };
        let place = match time {
            Some(time) => format!("commit {}  {}{from}", branch.head, second(*time)),
            None => "nothing yet".to_owned(),
        };
        output.line(format_args!(
            "{mark} {}  {}",
            style.bold(&padded(&branch.name, columns)),
            style.dim(&place)
        ))?;
    }
    Ok(Exit::Done)
}

/// What is to be done with a branch or a tag.
pub(super) enum Change<'a> {
    /// Make one at a commit.
    Create(&'a str, Selector),
    /// Take one away.
    Delete(&'a str),
    /// Give one another name.
    Rename(&'a str, &'a str),
}

impl<'a> Change<'a> {
    /// What the arguments ask for; nothing if it is the list.
    pub(super) fn read(
        action: RefAction,
        name: Option<&'a str>,
        more: Option<&'a str>,
    ) -> anyhow::Result<Option<Self>> {
        Ok(match (action, name, more) {
            (RefAction::Create, Some(name), None) => Some(Self::Create(name, Selector::Head)),
            (RefAction::Create, Some(name), Some(at)) => Some(Self::Create(name, selector(at)?)),
            (RefAction::Delete, Some(name), None) => Some(Self::Delete(name)),
            (RefAction::Rename, Some(name), Some(new)) => Some(Self::Rename(name, new)),
            (RefAction::List, None, None) => None,
            _ => {
                return Err(Failure::usage("there is one argument too many")
                    .hint("create NAME [AT], delete NAME or rename NAME NEW; nothing lists them")
                    .into());
            }
        })
    }

    /// Says that it was done.
    pub(super) fn say(
        &self,
        what: &str,
        commit: &Commit,
        at: Option<u64>,
        output: &mut Output,
    ) -> anyhow::Result<()> {
        let (action, name, was) = match self {
            Self::Create(name, _) => ("created", *name, None),
            Self::Delete(name) => ("deleted", *name, None),
            Self::Rename(name, new) => ("renamed", *new, Some(*name)),
        };
        if output.is_json() {
            output.json(&RefChanged {
                v: json::VERSION,
                commit: CommitRef::from(commit),
                action,
                name,
                at,
                was,
            })?;
            return Ok(());
        }
        let line = match (was, at) {
            (Some(was), _) => format!("renamed {what} {was} to {name}"),
            (None, Some(at)) => format!("created {what} {name} at commit {at}"),
            (None, None) => format!("deleted {what} {name}"),
        };
        Ok(output.line(line)?)
    }
}

/// How wide a column of names is, on a screen that has other things to show as well.
pub(super) fn name_columns<'a>(names: impl Iterator<Item = &'a str>, output: &Output) -> usize {
    let widest = names.map(human::width).max().unwrap_or(0);
    widest.min(output.columns() / 2)
}

/// A name that fills its column.
pub(super) fn padded(name: &str, columns: usize) -> String {
    let name = human::cut(&human::clean_line(name), columns);
    let gap = columns.saturating_sub(human::width(&name));
    format!("{name}{}", " ".repeat(gap))
}
