//! `mv2 completions SHELL`.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs};
use crate::exit::Exit;
use crate::output::Output;

pub(super) fn run(args: &CompletionsArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mv2", &mut script);
    output.bytes(&script)?;
    Ok(Exit::Done)
}
