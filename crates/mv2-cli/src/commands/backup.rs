//! `mv2 backup FILE DST`.

use crate::cli::{BackupArgs, Global};
use crate::exit::Exit;
use crate::output::{Output, human, json};

use super::{open_options, whole_file};

pub(super) fn run(args: &BackupArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let options = open_options(global);
    // For reading only: a backup needs neither the lock nor the right to write.
    let memory = options.open_read_only(&args.file)?;
    let before = memory.stats()?.size_bytes;
    whole_file("copying", output, || memory.backup(&args.destination))?;
    // Others may have committed since: what the copy holds stands in the copy.
    let copy = options.open_read_only(&args.destination)?.snapshot()?;
    let (commit, after) = (copy.commit_id(), copy.stats()?.size_bytes);
    let path = args.destination.display().to_string();
    if output.is_json() {
        output.json(&json::Backup {
            v: json::VERSION,
            path: &path,
            commit: commit.get(),
            bytes_before: before,
            bytes_after: after,
        })?;
    } else {
        let file = args.file.display().to_string();
        output.line(format_args!(
            "copied {} at commit {commit} to {} ({})",
            human::clean_line(&file),
            human::clean_line(&path),
            human::bytes(after)
        ))?;
    }
    Ok(Exit::Done)
}
