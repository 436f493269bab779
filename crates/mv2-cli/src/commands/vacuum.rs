//! `mv2 vacuum FILE [--to NEW]`.

use std::path::Path;

use crate::cli::{Global, VacuumArgs};
use crate::exit::Exit;
use crate::output::{Output, human};

use super::{open_options, say_rewritten, whole_file};

pub(super) fn run(args: &VacuumArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let (path, before, after) = match &args.to {
        Some(new) => vacuum_to(args, new, global, output)?,
        None => {
            let mut memory = open_options(global).open(&args.file)?;
            let file = whole_file("vacuuming", output, || memory.vacuum())?;
            (&*args.file, file.bytes_before, file.bytes_after)
        }
    };
    say_rewritten(path, before, after, output, |path| {
        let change = human::change(before, after);
        Ok(match args.to {
            Some(_) => {
                let file = human::clean_line(&args.file.display().to_string());
                format!("vacuumed {file} into {path}: {change}")
            }
            None => format!("vacuumed {path}: {change}"),
        })
    })
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
