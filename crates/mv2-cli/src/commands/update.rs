//! `mv2 update FILE ID|URI [PATH|-]`.

use mv2::{PutOptions, PutStatus};

use crate::cli::{Global, UpdateArgs};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::json::{CommitRef, Put, PutFrame};
use crate::output::{Output, json};

use super::{
    Target, is_stdin, put_options, read_document, read_page, read_stdin, tidy_up, writing_options,
};

pub(super) fn run(args: &UpdateArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let mut options = put_options(&args.document, args.uri.as_deref());
    let payload = match &args.path {
        Some(path) if is_stdin(path) => Some(read_stdin()?),
        Some(path) => {
            let payload = read_document(path)?;
            let title = options.title.clone();
            read_page(path, &payload, &mut options);
            // The document keeps its title, unless the command names another.
            options.title = title;
            Some(payload)
        }
        None if options == PutOptions::default() => {
            return Err(Failure::usage("nothing to change")
                .hint("name a file with the new version, `-` for standard input, or a flag like --tag")
                .into());
        }
        None => None,
    };
    let mut memory = writing_options(global, &args.embedding, &args.on)?.open(&args.file)?;
    memory.begin()?;
    let snapshot = memory.snapshot()?;
    let id = Target::parse(&args.target).resolve(&snapshot)?;
    let uri = match &options.uri {
        Some(uri) => Some(uri.clone()),
        None => snapshot.frame_by_id(id)?.uri,
    };
    let outcome = memory.update_frame(id, payload, options)?;
    let gate = interrupt::gate();
    let commit = match &args.message {
        Some(message) => memory.commit_with(message)?,
        None => memory.commit()?,
    };
    interrupt::committed(1);
    if output.is_json() {
        output.json(&Put {
            v: json::VERSION,
            commit: commit.as_ref().map(CommitRef::from),
            frames: vec![PutFrame {
                frame_id: outcome.frame_id.get(),
                uri,
                status: json::status(outcome.status),
                deduplicated: outcome.deduplicated,
            }],
        })?;
    } else if outcome.status == PutStatus::Unchanged {
        output.line(format_args!("frame {id} is the same already"))?;
    } else {
        output.line(format_args!(
            "frame {} takes the place of frame {id}",
            outcome.frame_id
        ))?;
    }
    output.flush()?;
    drop(gate);
    tidy_up(&mut memory);
    Ok(Exit::Done)
}
