//! `mv2 delete FILE ID|URI...`.

use crate::cli::{DeleteArgs, Global};
use crate::exit::Exit;
use crate::interrupt;
use crate::output::json::{CommitRef, Deleted, DeletedFrame};
use crate::output::{Output, human, json};

use super::{Target, on_branch, open_options, tidy_up};

pub(super) fn run(args: &DeleteArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let mut memory = on_branch(open_options(global), &args.on).open(&args.file)?;
    // Under the lock, so that what is looked up is what is deleted.
    memory.begin()?;
    let snapshot = memory.snapshot()?;
    let mut deleted: Vec<DeletedFrame> = Vec::with_capacity(args.targets.len());
    for target in &args.targets {
        let id = Target::parse(target).resolve(&snapshot)?;
        if deleted.iter().any(|frame| frame.frame_id == id.get()) {
            continue;
        }
        let meta = snapshot.frame_by_id(id)?;
        memory.delete_frame(id)?;
        deleted.push(DeletedFrame {
            frame_id: id.get(),
            uri: meta.uri,
        });
    }
    let gate = interrupt::gate();
    let commit = match &args.message {
        Some(message) => memory.commit_with(message)?,
        None => memory.commit()?,
    };
    interrupt::committed(deleted.len());
    if output.is_json() {
        output.json(&Deleted {
            v: json::VERSION,
            commit: commit.as_ref().map(CommitRef::from),
            deleted,
        })?;
    } else {
        for frame in &deleted {
            let name = frame
                .uri
                .as_deref()
                .map_or_else(String::new, |uri| format!(" {}", human::clean_line(uri)));
            output.line(format_args!("deleted frame {}{name}", frame.frame_id))?;
        }
    }
    output.flush()?;
    drop(gate);
    tidy_up(&mut memory);
    Ok(Exit::Done)
}
