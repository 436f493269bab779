//! `mv2 merge FILE NAME`.

use mv2::{MergeOptions, Side};

use crate::cli::{Global, MergeArgs};
use crate::exit::Exit;
use crate::interrupt;
use crate::output::json::{CommitRef, Merged};
use crate::output::{Output, human, json};

use super::{on_branch, open_options, tidy_up};

pub(super) fn run(args: &MergeArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let mut memory = on_branch(open_options(global), &args.on).open(&args.file)?;
    let prefer = match (args.ours, args.theirs) {
        (true, _) => Some(Side::Ours),
        (_, true) => Some(Side::Theirs),
        _ => None,
    };
    let options = MergeOptions {
        prefer,
        message: args.message.clone(),
    };
    let branch = memory.branch()?;
    let gate = interrupt::gate();
    let merged = memory.merge(&args.name, options)?;
    if output.is_json() {
        output.json(&Merged {
            v: json::VERSION,
            commit: merged
                .as_ref()
                .map(|merged| CommitRef::from(&merged.commit)),
            branch: &branch,
            merged: &args.name,
            frames: merged.as_ref().map_or(0, |merged| merged.frames),
            conflicts: merged.map(|merged| merged.conflicts).unwrap_or_default(),
        })?;
    } else if let Some(merged) = merged {
        output.line(format_args!(
            "merged {} into {branch} in commit {}: {} came",
            args.name,
            merged.commit.id,
            human::count(merged.frames, "document")
        ))?;
        let kept = match prefer {
            Some(Side::Ours) => format!("that of {branch} stays"),
            Some(Side::Theirs) => format!("that of {} stays", args.name),
            None => "both say the same".to_owned(),
        };
        for uri in &merged.conflicts {
            output.line(format_args!("~ {} ({kept})", human::clean_line(uri)))?;
        }
    } else {
        output.line(format_args!("{branch} has all of {} already", args.name))?;
    }
    output.flush()?;
    drop(gate);
    tidy_up(&mut memory);
    Ok(Exit::Done)
}
