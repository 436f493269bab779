//! `mv2 context FILE QUERY`.

use mv2::ContextRequest;

use crate::cli::{ContextArgs, Global};
use crate::exit::Exit;
use crate::output::{Output, human, json};

use super::{filter, named, open_options, open_to_read, snapshot, with_embedder};

pub(super) fn run(
    args: &ContextArgs,
    global: &Global,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let options = with_embedder(open_options(global), args.embedder.as_deref())?;
    let memory = open_to_read(options, &args.file, args.journal, &args.past.on)?;
    let snapshot = snapshot(&memory, &args.past, output)?;
    let request = ContextRequest {
        query: args.query.join(" "),
        mode: args.mode.into(),
        max_tokens: args.max_tokens,
        top_k: args.top_k,
        filter: filter(&args.filters, None)?,
        ..ContextRequest::default()
    };
    let context = match args.journal {
        true => memory.context(ContextRequest {
            at: named(&snapshot, &args.past),
            ..request
        })?,
        false => snapshot.context(request)?,
    };
    if output.is_json() {
        output.json(&json::Context {
            v: json::VERSION,
            query: &context.query,
            as_of: context.commit.get(),
            branch: context.branch.as_deref(),
            max_tokens: args.max_tokens,
            tokens: context.tokens,
            text: &context.text,
            passages: context.passages.iter().map(json::Passage::from).collect(),
        })?;
    } else if output.is_terminal() {
        output.bytes(human::clean(&context.text).as_bytes())?;
    } else {
        output.bytes(context.text.as_bytes())?;
    }
    output.flush()?;
    if !context.passages.is_empty() {
        return Ok(Exit::Done);
    }
    if !output.is_json() {
        match context.candidates {
            0 => output.message("nothing found"),
            found => output.message(format_args!(
                "{} found, but no passage fits into {} tokens",
                human::count(found as u64, "document"),
                args.max_tokens
            )),
        }
    }
    Ok(Exit::Nothing)
}
