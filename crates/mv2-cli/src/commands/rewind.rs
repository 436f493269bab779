//! `mv2 rewind FILE AT`.

use crate::cli::{Global, RewindArgs};
use crate::exit::Exit;
use crate::interrupt;
use crate::output::json::{CommitRef, Rewound};
use crate::output::{Output, json};

use super::{on_branch, open_options, selector, tidy_up};

pub(super) fn run(args: &RewindArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let mut memory = on_branch(open_options(global), &args.on).open(&args.file)?;
    let branch = memory.branch()?;
    let newest = memory.snapshot()?;
    let to = newest.at(selector(&args.at)?)?.commit_id();
    let gate = interrupt::gate();
    let commit = match &args.message {
        Some(message) => memory.rewind_with(to, message)?,
        None => memory.rewind(to)?,
    };
    let was = newest.commit_id();
    if output.is_json() {
        output.json(&Rewound {
            v: json::VERSION,
            commit: CommitRef::from(&commit),
            branch: &branch,
            to: to.get(),
            was: was.get(),
        })?;
    } else {
        output.line(format_args!(
            "{branch} is what it was at commit {to}, by commit {}",
            commit.id
        ))?;
    }
    output.flush()?;
    drop(gate);
    if !output.is_json() {
        output.message(format_args!(
            "note: nothing is lost; take it back with: mv2 rewind {} {was}",
            args.file.display()
        ));
    }
    tidy_up(&mut memory);
    Ok(Exit::Done)
}
