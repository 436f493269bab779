//! `mv2 vacuum FILE [--to NEW]`.

use std::path::Path;

use crate::cli::{Global, VacuumArgs};
use crate::exit::Exit;
use crate::output::{Output, human, json};

use super::{open_options, whole_file};

pub(super) fn run(args: &VacuumArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let (path, before, after) = match &args.to {
        Some(new) => vacuum_to(args, new, global, output)?,
        None => {
            let mut memory = open_options(global).open(&args.file)?;
            let file = whole_file("vacuuming", output, || memory.vacuum())?;
            (&*args.file, file.bytes_before, file.bytes_after)
        }
    };
    let path = path.display().to_string();
    if output.is_json() {
        output.json(&json::Rewritten {
            v: json::VERSION,
            path: &path,
            bytes_before: before,
            bytes_after: after,
        })?;
        return Ok(Exit::Done);
    }
    let file = args.file.display().to_string();
    let place = match args.to {
        Some(_) => format!(" into {}", human::clean_line(&path)),
        None => String::new(),
    };
    output.line(format_args!(
        "vacuumed {}{place}: {}",
        human::clean_line(&file),
        human::change(before, after)
    ))?;
    Ok(Exit::Done)
}

fn vacuum_to<'a>(
    args: &VacuumArgs,
    new: &'a Path,
    global: &Global,
    output: &Output,
) -> mv2::Result<(&'a Path, u64, u64)> {
    let options = open_options(global);
    let memory = options.open_read_only(&args.file)?;
    let before = memory.stats()?.size_bytes;
    whole_file("vacuuming", output, || memory.vacuum_to(new))?;
    let after = options.open_read_only(new)?.stats()?.size_bytes;
    Ok((new, before, after))
}
