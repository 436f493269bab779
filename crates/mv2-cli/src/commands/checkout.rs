//! `mv2 checkout FILE NAME`.

use mv2::Selector;

use crate::cli::{CheckoutArgs, Global};
use crate::exit::Exit;
use crate::interrupt;
use crate::output::json::{CheckedOut, CommitRef};
use crate::output::{Output, json};

use super::open_options;

pub(super) fn run(
    args: &CheckoutArgs,
    global: &Global,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let mut memory = open_options(global).open(&args.file)?;
    let _gate = interrupt::gate();
    let commit = memory.checkout(&args.name)?;
    let head = memory.at(Selector::Branch(args.name.clone()))?.commit_id();
    if output.is_json() {
        output.json(&CheckedOut {
            v: json::VERSION,
            commit: commit.as_ref().map(CommitRef::from),
            branch: &args.name,
            head: head.get(),
        })?;
    } else if commit.is_some() {
        output.line(format_args!("checked out {} at commit {head}", args.name))?;
    } else {
        output.line(format_args!("{} is checked out already", args.name))?;
    }
    output.flush()?;
    Ok(Exit::Done)
}
