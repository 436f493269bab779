//! `mv2 history FILE URI`.

use crate::cli::{Global, HistoryArgs};
use crate::exit::Exit;
use crate::output::json::{HistoryEnd, HistoryVersion};
use crate::output::{Output, human, json};

use super::diff::{compare, print_diff};
use super::{open_options, snapshot};

pub(super) fn run(
    args: &HistoryArgs,
    global: &Global,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let memory = open_options(global).open_read_only(&args.file)?;
    let snapshot = snapshot(&memory, &args.past, output)?;
    let versions = snapshot.versions(&args.uri)?;
    let mut told = Vec::new();
    for (at, version) in versions.iter().enumerate().rev() {
        let commit = snapshot.commit(version.commit)?;
        let then = snapshot.at(version.commit)?;
        let before = at.checked_sub(1).map(|before| versions[before]);
        let diff = match before.filter(|_| args.diff) {
            // Each can be read where it was put.
            Some(old) => compare(&snapshot.at(old.commit)?, old.frame, &then, version.frame)?,
            None => None,
        };
        let meta = then.frame_by_id(version.frame)?;
        told.push(HistoryVersion {
            frame_id: version.frame.get(),
            commit: version.commit.get(),
            time: commit.time.to_string(),
            title: meta.title,
            bytes: meta.payload_len,
            end: version.end.map(|(commit, by)| HistoryEnd {
                commit: commit.get(),
                by: by.map(|id| id.get()),
            }),
            diff,
        });
    }
    if output.is_json() {
        output.json(&json::History {
            v: json::VERSION,
            as_of: snapshot.commit_id().get(),
            branch: snapshot.branch(),
            uri: &args.uri,
            versions: told,
        })?;
        return Ok(Exit::Done);
    }
    let style = output.style;
    let last = told.len() - 1;
    for (at, version) in told.iter().enumerate() {
        let end = match &version.end {
            None => String::new(),
            Some(HistoryEnd {
                commit,
                by: Some(_),
            }) => format!(", superseded in commit {commit}"),
            Some(HistoryEnd { commit, by: None }) => format!(", deleted in commit {commit}"),
        };
        output.line(format_args!(
            "{} {} frame {}, {}{end}",
            style.bold(&format!("commit {}", version.commit)),
            version.time,
            version.frame_id,
            human::bytes(version.bytes)
        ))?;
        if args.diff && at < last {
            print_diff(version.diff.as_deref(), output)?;
        }
    }
    Ok(Exit::Done)
}
