//! `mv2 seal FILE`.

use crate::cli::{Global, SealArgs};
use crate::exit::Exit;
use crate::output::{Output, human};

use super::{open_options, say_rewritten, whole_file};

pub(super) fn run(args: &SealArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let mut memory = open_options(global).open(&args.file)?;
    let was_sealed = memory.is_sealed()?;
    let file = whole_file("sealing", output, || match args.small {
        true => memory.seal_small(),
        false => memory.seal(),
    })?;
    let (before, after) = (file.bytes_before, file.bytes_after);
    say_rewritten(&args.file, before, after, output, |path| {
        Ok(if was_sealed {
            let size = human::bytes(after);
            format!("{path} was sealed already ({size})")
        } else {
            format!("sealed {path}: {}", human::change(before, after))
        })
    })
}
