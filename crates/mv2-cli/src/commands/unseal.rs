//! `mv2 unseal FILE`.

use crate::cli::{Global, UnsealArgs};
use crate::exit::Exit;
use crate::output::{Output, human};

use super::{open_options, say_rewritten, whole_file};

pub(super) fn run(args: &UnsealArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let mut options = open_options(global);
    if let Some(bytes) = args.wal_bytes {
        options = options.wal_bytes(bytes);
    }
    let mut memory = options.open(&args.file)?;
    let was_sealed = memory.is_sealed()?;
    let file = whole_file("unsealing", output, || memory.unseal())?;
    let (before, after) = (file.bytes_before, file.bytes_after);
    say_rewritten(&args.file, before, after, output, |path| {
        let size = human::bytes(after);
        Ok(if was_sealed {
            let before = human::bytes(before);
            let log = human::bytes(memory.stats()?.wal_bytes);
            format!("unsealed {path}: {before} to {size}, of which the log takes {log}")
        } else {
            format!("{path} was not sealed ({size})")
        })
    })
}
