//! One module for each command, and what they share.

mod audit;
mod backup;
mod branch;
mod checkout;
mod completions;
mod context;
mod create;
mod delete;
mod diff;
mod generate;
mod get;
mod graph;
mod history;
mod log;
mod merge;
mod models;
mod optimize;
mod purge;
mod put;
mod reembed;
mod replay;
mod rewind;
mod seal;
mod search;
mod stats;
mod tag;
mod timeline;
mod unseal;
mod update;
mod vacuum;
mod verify;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context as _;
use mv2::format::frame::MAX_PAYLOAD_BYTES;
use mv2::{
    Clock as _, Filter, FrameId, Memvid, OpenOptions, PutOptions, Selector, Snapshot, SystemClock,
    Timestamp, When, text,
};

use crate::cli::{
    BranchArgs, Cli, Command, DocumentArgs, EmbeddingArgs, FilterArgs, Global, PastArgs,
};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::progress::Spinner;
use crate::output::{Output, human, json};

pub(crate) fn run(cli: &Cli, output: &mut Output) -> anyhow::Result<Exit> {
    let global = &cli.global;
    match &cli.command {
        Command::Create(args) => create::run(args, global, output),
        Command::Put(args) => put::run(args, global, output),
        Command::Search(args) => search::run(args, global, output),
        Command::Context(args) => context::run(args, global, output),
        Command::Timeline(args) => timeline::run(args, global, output),
        Command::Get(args) => get::run(args, global, output),
        Command::Update(args) => update::run(args, global, output),
        Command::Delete(args) => delete::run(args, global, output),
        Command::Log(args) => log::run(args, global, output),
        Command::Diff(args) => diff::run(args, global, output),
        Command::History(args) => history::run(args, global, output),
        Command::Replay(args) => replay::run(args, global, output),
        Command::Audit(args) => audit::run(args, global, output),
        Command::Branch(args) => branch::run(args, global, output),
        Command::Tag(args) => tag::run(args, global, output),
        Command::Checkout(args) => checkout::run(args, global, output),
        Command::Merge(args) => merge::run(args, global, output),
        Command::Rewind(args) => rewind::run(args, global, output),
        Command::Stats(args) => stats::run(args, global, output),
        Command::Verify(args) => verify::run(args, output),
        Command::Reembed(args) => reembed::run(args, global, output),
        Command::Optimize(args) => optimize::run(args, global, output),
        Command::Vacuum(args) => vacuum::run(args, global, output),
        Command::Purge(args) => purge::run(args, global, output),
        Command::Seal(args) => seal::run(args, global, output),
        Command::Unseal(args) => unseal::run(args, global, output),
        Command::Backup(args) => backup::run(args, global, output),
        Command::Models(args) => models::run(args, output),
        Command::Completions(args) => completions::run(args, output),
        Command::Generate(args) => generate::run(args, output),
    }
}

/// How each command opens a memory. A command ends soon: it does its housekeeping last and has no thread for it.
fn open_options(global: &Global) -> OpenOptions {
    OpenOptions::new()
        .lock_wait(global.lock_wait)
        .background(false)
}

/// The options with the embedder of a name, if one is named.
fn with_embedder(options: OpenOptions, name: Option<&str>) -> anyhow::Result<OpenOptions> {
    Ok(match name {
        Some(name) => options.embedder(mv2::embedder::resolve(name)?),
        None => options,
    })
}

/// The options with the branch that is named, if one is.
fn on_branch(options: OpenOptions, args: &BranchArgs) -> OpenOptions {
    match &args.branch {
        Some(name) => options.branch(name),
        None => options,
    }
}

/// How a memory is opened that documents are put into.
fn writing_options(
    global: &Global,
    args: &EmbeddingArgs,
    on: &BranchArgs,
) -> anyhow::Result<OpenOptions> {
    let options = on_branch(open_options(global), on);
    match args.no_embed {
        true => Ok(options.no_embedder()),
        false => with_embedder(options, args.embedder.as_deref()),
    }
}

/// The head of the branch that is asked for, by default the one that is checked out.
fn head(memory: &Memvid, on: &BranchArgs) -> mv2::Result<Snapshot> {
    match &on.branch {
        Some(name) => memory.at(Selector::Branch(name.clone())),
        None => memory.snapshot(),
    }
}

/// The memory at the commit that is asked for, the newest by default.
fn snapshot(memory: &Memvid, past: &PastArgs, output: &mut Output) -> mv2::Result<Snapshot> {
    let head = head(memory, &past.on)?;
    let Some(text) = &past.as_of else {
        return Ok(head);
    };
    let then = head.at(selector(text)?)?;
    if then.commit_id().get() == 0 && !output.is_json() {
        output.message("note: that is before the first commit, where the memory is empty");
    }
    Ok(then)
}

/// The commit that a text names.
fn selector(text: &str) -> mv2::Result<Selector> {
    Selector::parse(text, SystemClock.now())
}

/// Opens a memory that is searched, for writing if the search is noted down.
fn open_to_read(
    options: OpenOptions,
    path: &Path,
    journal: bool,
    on: &BranchArgs,
) -> mv2::Result<Memvid> {
    match (journal, &on.branch) {
        (true, Some(branch)) => options.journal(true).branch(branch).open(path),
        (true, None) => options.journal(true).open(path),
        (false, _) => options.open_read_only(path),
    }
}

/// The commit of a snapshot that was asked for by name.
fn named(snapshot: &Snapshot, past: &PastArgs) -> Option<Selector> {
    let asked = past.as_of.is_some();
    asked.then(|| Selector::Commit(snapshot.commit_id()))
}

/// Housekeeping that is due after a small change, once its result is printed: one piece at the most, so that nobody waits
/// long.
fn tidy_up(memory: &mut Memvid) {
    interrupt::rewriting();
    // The command has done what it was asked for; the next one that writes tries again.
    let _ = memory.maintain();
}

/// Runs what may take long and is all or nothing: with a sign of life, and Ctrl-C may end it at any moment.
fn whole_file<T>(
    doing: &'static str,
    output: &Output,
    run: impl FnOnce() -> mv2::Result<T>,
) -> mv2::Result<T> {
    interrupt::rewriting();
    let _spinner = Spinner::new(output.draws_progress(), doing);
    run()
}

/// Says what a rewrite made of the file at a path: as JSON, or in a line about it.
fn say_rewritten(
    path: &Path,
    bytes_before: u64,
    bytes_after: u64,
    output: &mut Output,
    line: impl FnOnce(&str) -> mv2::Result<String>,
) -> anyhow::Result<Exit> {
    let path = path.display().to_string();
    if output.is_json() {
        output.json(&json::Rewritten {
            v: json::VERSION,
            path: &path,
            bytes_before,
            bytes_after,
        })?;
    } else {
        output.line(line(&human::clean_line(&path))?)?;
    }
    Ok(Exit::Done)
}

/// How a document is named on the command line.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    /// Digits alone.
    Id(FrameId),
    /// Anything else.
    Uri(&'a str),
}

impl<'a> Target<'a> {
    fn parse(text: &'a str) -> Self {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(id) if digits => Self::Id(FrameId(id)),
            _ => Self::Uri(text),
        }
    }

    /// The frame that is meant.
    fn resolve(&self, snapshot: &Snapshot) -> mv2::Result<FrameId> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::Uri(uri) => Ok(snapshot.frame_by_uri(uri)?.id),
        }
    }
}

/// Two ends of a range of times, each of which may be missing.
type Times = (Option<Timestamp>, Option<Timestamp>);

/// What `--since` and `--until` mean at the present time, or meant on the first page of several.
fn time_range(
    [since, until]: [Option<&str>; 2],
    first_page: Option<Times>,
    now: Timestamp,
) -> mv2::Result<Times> {
    let (first_since, first_until) = first_page.unwrap_or_default();
    let end = |text: Option<&str>, side: fn(&When) -> Timestamp, first: Option<Timestamp>| {
        let Some(text) = text else { return Ok(None) };
        // "2h ago" has moved on since the first page; the same words mean the same page here.
        match first.filter(|_| When::is_relative(text)) {
            Some(first) => Ok(Some(first)),
            None => When::parse(text, now).map(|when| Some(side(&when))),
        }
    };
    let since = end(since, When::start, first_since)?;
    Ok((since, end(until, When::end, first_until)?))
}

/// Which documents the flags leave.
fn filter(args: &FilterArgs, first_page: Option<Times>) -> mv2::Result<Filter> {
    let (since, until) = time_range(args.times.ends(), first_page, SystemClock.now())?;
    Ok(Filter {
        uri: args.uri.clone(),
        kind: args.kind.clone(),
        track: args.track.clone(),
        tags: args.tags.clone(),
        labels: args.labels.clone(),
        since,
        until,
    })
}

/// What the flags say about a document.
fn put_options(document: &DocumentArgs, uri: Option<&str>) -> PutOptions {
    PutOptions {
        uri: uri.map(str::to_owned),
        title: document.title.clone(),
        timestamp: document.timestamp,
        tags: document.tags.clone(),
        labels: document.labels.clone(),
        kind: document.kind.clone(),
        track: document.track.clone(),
        metadata: document.metadata.clone(),
        ..PutOptions::default()
    }
}

/// Reads a document as a whole; one that the format cannot hold fails before it fills the memory.
fn read_document(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let info = file
        .metadata()
        .with_context(|| format!("cannot read {}", path.display()))?;
    if info.is_dir() {
        return Err(Failure::new("not_a_file", format!("{} is a folder", path.display())).into());
    }
    let name = path.display().to_string();
    // Also a file whose length is not known, or not true, stops at the limit.
    if info.len() > MAX_PAYLOAD_BYTES as u64 {
        return Err(too_large(&name));
    }
    read_limited(file, info.len(), &name)
}

fn too_large(name: &str) -> anyhow::Error {
    let message = format!("{name} is larger than a document may be, {MAX_PAYLOAD_BYTES} bytes");
    Failure::new("too_large", message).hint("split it").into()
}

/// Of a page in HTML, by its file's name, what is visible is what is searched; its title is the document's if there is
/// no other.
fn read_page(path: &Path, payload: &[u8], options: &mut PutOptions) {
    let is_page = path.extension().is_some_and(|extension| {
        ["html", "htm"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    });
    if !is_page || !text::is_text(payload) {
        return;
    }
    if let Ok(page) = std::str::from_utf8(payload) {
        let html = text::html(page);
        options.search_text = Some(html.text);
        options.title = options.title.take().or(html.title);
    }
}

/// Reads standard input as one document.
fn read_stdin() -> anyhow::Result<Vec<u8>> {
    read_limited(io::stdin().lock(), 0, "standard input")
}

fn read_limited(reader: impl Read, len: u64, name: &str) -> anyhow::Result<Vec<u8>> {
    // Growing would take half as much again for a large document.
    let mut payload = Vec::with_capacity(len.min(MAX_PAYLOAD_BYTES as u64) as usize + 1);
    reader
        .take(MAX_PAYLOAD_BYTES as u64 + 1)
        .read_to_end(&mut payload)
        .with_context(|| format!("cannot read {name}"))?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(too_large(name));
    }
    Ok(payload)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_an_id_and_anything_else_a_uri() {
        assert_eq!(Target::parse("12"), Target::Id(FrameId(12)));
        for uri in ["a.md", "12a", "-1", "+1", "", "99999999999999999999999"] {
            assert_eq!(Target::parse(uri), Target::Uri(uri));
        }
    }
}
