//! `mv2 reembed FILE`.

use crate::cli::{Global, ReembedArgs};
use crate::exit::Exit;
use crate::interrupt;
use crate::output::json::CommitRef;
use crate::output::progress::Progress;
use crate::output::{Output, human, json};

use super::{on_branch, open_options, tidy_up, with_embedder};

pub(super) fn run(
    args: &ReembedArgs,
    global: &Global,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let options = on_branch(open_options(global), &args.on);
    let options = with_embedder(options, args.embedder.as_deref())?;
    let mut memory = options.open(&args.file)?;
    let progress = Progress::frames(output.draws_progress());
    let frames = memory.reembed(&mut |at, end| progress.at(at, end))?;
    let gate = interrupt::gate();
    let commit = memory.commit_with("reembed")?;
    progress.finish();
    interrupt::committed(0);
    let embedder = memory.stats()?.embedder;
    if output.is_json() {
        output.json(&json::Reembedded {
            v: json::VERSION,
            commit: commit.as_ref().map(CommitRef::from),
            embedder: embedder.as_deref(),
            frames,
        })?;
    } else if let (Some(commit), Some(embedder)) = (&commit, &embedder) {
        output.line(format_args!(
            "{} got vectors of {} in commit {}",
            human::count(frames, "document"),
            human::clean_line(embedder),
            commit.id
        ))?;
    } else {
        output.line("every document has its vectors")?;
    }
    output.flush()?;
    drop(gate);
    tidy_up(&mut memory);
    Ok(Exit::Done)
}
