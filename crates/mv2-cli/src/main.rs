//! The `mv2` command: put, search and audit an agent's memory file.
//!
//! Everything it does is done by the library `mv2`; here are flags, files to import and printing.
//!
//! | module | what belongs there |
//! |---|---|
//! | `cli` | every command and flag, once; help and completions derive from it |
//! | `commands` | one module for each command |
//! | `output` | what is printed: for people, as JSON, and progress |
//! | `exit` | exit codes and how a failure is reported |
//! | `interrupt` | what Ctrl-C does |

mod cli;
mod commands;
mod exit;
mod interrupt;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error).into(),
    };
    let mut output = Output::new(&cli.global);
    interrupt::install();
    let result = commands::run(&cli, &mut output);
    exit::finish(result, &mut output).into()
}
