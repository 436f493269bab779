//! `mv2 unseal FILE`.

use crate::cli::{Global, UnsealArgs};
use crate::exit::Exit;
use crate::output::{Output, human, json};

use super::{open_options, whole_file};

pub(super) fn run(args: &UnsealArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let mut options = open_options(global);
    if let Some(bytes) = args.wal_bytes {
        options = options.wal_bytes(bytes);
    }
    let mut memory = options.open(&args.file)?;
    let was_sealed = memory.is_sealed()?;
    let file = whole_file("unsealing", output, || memory.unseal())?;
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
    let size = human::bytes(file.bytes_after);
    if was_sealed {
        let wal = human::bytes(memory.stats()?.wal_bytes);
        output.line(format_args!(
            "unsealed {path}: {} to {size}, of which the log takes {wal}",
            human::bytes(file.bytes_before)
        ))?;
    } else {
        output.line(format_args!("{path} was not sealed ({size})"))?;
    }
    Ok(Exit::Done)
}
