//! `mv2 tag FILE [create NAME [AT] | delete NAME | rename NAME NEW]`.

use mv2::Memvid;

use crate::cli::{Global, TagCommand};
use crate::exit::Exit;
use crate::interrupt;
use crate::output::json::{Tag, Tags};
use crate::output::{Output, json};

use super::branch::{Change, name_columns, padded};
use super::open_options;
use super::timeline::second;

pub(super) fn run(args: &TagCommand, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let change = Change::read(args.action, args.name.as_deref(), args.more.as_deref())?;
    let Some(change) = change else {
        return list(&open_options(global).open_read_only(&args.file)?, output);
    };
    let mut memory = open_options(global).open(&args.file)?;
    let _gate = interrupt::gate();
    let (commit, at) = match &change {
        Change::Create(name, at) => {
            let at = memory.at(at.clone())?.commit_id();
            (memory.create_tag(name, at)?, Some(at.get()))
        }
        Change::Delete(name) => (memory.delete_tag(name)?, None),
        Change::Rename(name, new) => (memory.rename_tag(name, new)?, None),
    };
    change.say("tag", &commit, at, output)?;
    output.flush()?;
    Ok(Exit::Done)
}

fn list(memory: &Memvid, output: &mut Output) -> anyhow::Result<Exit> {
    let snapshot = memory.snapshot()?;
    let mut tags = Vec::new();
    for tag in snapshot.tags()? {
        let time = match tag.commit.get() {
            0 => None,
            _ => Some(snapshot.commit(tag.commit)?.time),
        };
        tags.push((tag, time));
    }
    if output.is_json() {
        let tags = tags.into_iter().map(|(tag, time)| Tag {
            name: tag.name,
            commit: tag.commit.get(),
            time: time.map(|time| time.to_string()),
        });
        output.json(&Tags {
            v: json::VERSION,
            tags: tags.collect(),
        })?;
        return Ok(Exit::Done);
    }
    let style = output.style;
    let columns = name_columns(tags.iter().map(|(tag, _)| tag.name.as_str()), output);
    for (tag, time) in &tags {
        let time = time.map_or_else(String::new, |time| format!("  {}", second(time)));
        output.line(format_args!(
            "{}  {}",
            style.bold(&padded(&tag.name, columns)),
            style.dim(&format!("commit {}{time}", tag.commit))
        ))?;
    }
    if tags.is_empty() {
        output.message("there is no tag yet");
    }
    Ok(Exit::Done)
}
