//! `mv2 optimize FILE`.

use crate::cli::{Global, OptimizeArgs};
use crate::exit::Exit;
use crate::output::{Output, human, json};

use super::{open_options, whole_file};

pub(super) fn run(
    args: &OptimizeArgs,
    global: &Global,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let mut memory = open_options(global).open(&args.file)?;
    let before = memory.stats()?;
    whole_file("rebuilding the indexes", output, || memory.optimize())?;
    let after = memory.stats()?;
    let path = args.file.display().to_string();
    let segments = |stats: &mv2::Stats| stats.segments.values().sum::<u64>();
    if output.is_json() {
        output.json(&json::Optimized {
            v: json::VERSION,
            path: &path,
            bytes_before: before.size_bytes,
            bytes_after: after.size_bytes,
            segments_before: segments(&before),
            segments_after: segments(&after),
        })?;
    } else {
        output.line(format_args!(
            "optimized {}: {} to {}, {}",
            human::clean_line(&path),
            human::count(segments(&before), "segment"),
            segments(&after),
            human::change(before.size_bytes, after.size_bytes)
        ))?;
    }
    Ok(Exit::Done)
}
