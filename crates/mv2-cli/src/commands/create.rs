//! `mv2 create FILE`.

use crate::cli::{CreateArgs, Global};
use crate::exit::Exit;
use crate::output::{Output, human, json};

use super::open_options;

pub(super) fn run(args: &CreateArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let mut options = open_options(global);
    if let Some(bytes) = args.wal_bytes {
        options = options.wal_bytes(bytes);
    }
    let stats = options.create(&args.file)?.stats()?;
    let path = args.file.display().to_string();
    if output.is_json() {
        output.json(&json::Created {
            v: json::VERSION,
            path: &path,
            file_bytes: stats.size_bytes,
            wal_bytes: stats.wal_bytes,
        })?;
    } else {
        let size = human::bytes(stats.size_bytes);
        output.line(format_args!(
            "created {} ({size})",
            human::clean_line(&path)
        ))?;
    }
    Ok(Exit::Done)
}
