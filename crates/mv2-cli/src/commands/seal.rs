//! `mv2 seal FILE`.

use crate::cli::{Global, SealArgs};
use crate::exit::Exit;
use crate::output::{Output, human, json};

use super::{open_options, whole_file};

pub(super) fn run(args: &SealArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let mut memory = open_options(global).open(&args.file)?;
    let was_sealed = memory.is_sealed()?;
    let file = whole_file("sealing", output, || memory.seal())?;
    let path = args.file.display().to_string();
    if output.is_json() {
        output.json(&json::Rewritten {
            v: json::VERSION,
            path: &path,
            bytes_before: file.bytes_before,
            bytes_after: file.bytes_after,
        })?;
        return Ok(Exit::Done);
    }
    let path = human::clean_line(&path);
    if was_sealed {
        let size = human::bytes(file.bytes_after);
        output.line(format_args!("{path} was sealed already ({size})"))?;
    } else {
        output.line(format_args!(
            "sealed {path}: {}",
            human::change(file.bytes_before, file.bytes_after)
        ))?;
    }
    Ok(Exit::Done)
}
