//! `mv2 put FILE [PATH...|-]` and `mv2 put FILE --jsonl [PATH|-]`.
//!
//! ```text
//! files | stdin | lines  ->  Document  ->  Importer: batches of 1,000 or 8 MiB  ->  commit, then its line
//! ```
//!
//! A batch is read before the lock is taken and committed at once, so that other writers wait for
//! the writing only. Memory is bounded by a batch and the largest single document.

mod batch;
mod files;
mod folder;
mod jsonl;

use std::io::IsTerminal;

use mv2::PutOptions;

use crate::cli::{Global, PutArgs};
use crate::exit::{Exit, Failure};
use crate::output::progress::Progress;
use crate::output::{Output, human, json};

pub(super) use self::folder::split as split_message;

use self::batch::{Document, Importer, Source};
use super::{head, is_stdin, open_options, put_options, read_stdin, writing_options};

pub(super) fn run(args: &PutArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let is_piped = args.paths.is_empty() || args.paths.iter().any(|path| is_stdin(path));
    if args.prune && is_piped {
        return Err(Failure::usage("--prune needs a folder")
            .hint("name a folder that was put before")
            .into());
    }
    match &args.jsonl {
        Some(path) => put_lines(args, path, global, output),
        None if args.paths.is_empty() => put_piped(args, global, output),
        None if args.paths.iter().any(|path| is_stdin(path)) => put_stdin(args, global, output),
        None => put_files(args, global, output),
    }
}

fn put_lines(
    args: &PutArgs,
    path: &std::path::Path,
    global: &Global,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    if args.uri.is_some() || args.document.title.is_some() {
        return Err(
            Failure::usage("--uri and --title name one document, --jsonl reads many")
                .hint("give each line its own \"uri\" and \"title\"")
                .into(),
        );
    }
    let input = jsonl::Input::open(path)?;
    let memory = writing_options(global, &args.embedding, &args.on)?.open_or_create(&args.file)?;
    let progress = Progress::new(output.draws_progress(), input.bytes());
    let mut importer = Importer::new(memory, args, output, progress);
    jsonl::import(input, &put_options(&args.document, None), &mut importer)?;
    importer.finish()
}

fn put_files(args: &PutArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let plan = files::plan(&args.paths, &args.file)?;
    let many = args.paths.len() > 1 || args.paths.iter().any(|path| path.is_dir());
    if many && (args.uri.is_some() || args.document.title.is_some()) {
        return Err(
            Failure::usage("--uri and --title name one document, but there are several")
                .hint("put the documents one by one")
                .into(),
        );
    }
    let kept = if args.prune { plan.kept()? } else { Vec::new() };
    if args.dry_run {
        return say_vanished(&kept, args, global, output);
    }
    let memory = writing_options(global, &args.embedding, &args.on)?.open_or_create(&args.file)?;
    let progress = Progress::new(output.draws_progress() && many, Some(plan.bytes()));
    let mut importer = Importer::new(memory, args, output, progress);
    importer.prune(kept);
    let options = put_options(&args.document, args.uri.as_deref());
    files::import(plan, &options, &mut importer)?;
    importer.finish()
}

/// What a prune would delete.
fn say_vanished(
    kept: &[files::Kept],
    args: &PutArgs,
    global: &Global,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let memory = open_options(global).open_read_only(&args.file)?;
    let snapshot = head(&memory, &args.on)?;
    let mut frames = Vec::new();
    for kept in kept {
        for (id, uri) in kept.vanished(&snapshot)? {
            frames.push(batch::deleted(id, uri));
        }
    }
    if output.is_json() {
        output.json(&json::Put {
            v: json::VERSION,
            commit: None,
            frames,
        })?;
        return Ok(Exit::Done);
    }
    for frame in &frames {
        let uri = human::clean_line(frame.uri.as_deref().unwrap_or_default());
        output.line(format_args!("would delete frame {} {uri}", frame.frame_id))?;
    }
    if frames.is_empty() {
        output.line("nothing to delete")?;
    }
    Ok(Exit::Done)
}

/// Standard input by default. An empty one is more likely an oversight than an empty document, since
/// a program that starts another often leaves it nothing to read.
fn put_piped(args: &PutArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let nothing = || {
        Failure::usage("nothing to put")
            .hint("name files or folders, or pipe a document in; `-` takes an empty one too")
    };
    if std::io::stdin().is_terminal() {
        return Err(nothing().into());
    }
    let payload = read_stdin()?;
    if payload.is_empty() {
        return Err(nothing().into());
    }
    put_one(payload, args, global, output)
}

fn put_stdin(args: &PutArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    if args.paths.len() > 1 {
        return Err(
            Failure::usage("standard input cannot be put together with files")
                .hint("put it in a command of its own")
                .into(),
        );
    }
    put_one(read_stdin()?, args, global, output)
}

fn put_one(
    payload: Vec<u8>,
    args: &PutArgs,
    global: &Global,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let options: PutOptions = put_options(&args.document, args.uri.as_deref());
    let memory = writing_options(global, &args.embedding, &args.on)?.open_or_create(&args.file)?;
    let mut importer = Importer::new(memory, args, output, Progress::new(false, None));
    importer.add(Document {
        source: Source::Stdin,
        folder: None,
        read_bytes: payload.len() as u64,
        payload,
        options,
        vector: None,
    })?;
    importer.finish()
}
