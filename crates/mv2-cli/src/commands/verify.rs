//! `mv2 verify FILE`.

use mv2::Memvid;

use crate::cli::VerifyArgs;
use crate::exit::Exit;
use crate::output::json::{Problem, Verify};
use crate::output::{Output, human, json};

pub(super) fn run(args: &VerifyArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let report = check(args)?;
    let exit = if report.ok { Exit::Done } else { Exit::Nothing };
    if output.is_json() {
        output.json(&report)?;
        return Ok(exit);
    }
    for problem in &report.problems {
        let place = problem
            .offset
            .map_or_else(String::new, |at| format!("offset {at}: "));
        let frames = problem
            .frames
            .map_or_else(String::new, |[first, end]| match end - first {
                1 => format!(" (frame {first})"),
                _ => format!(" (frames {first} to {})", end.saturating_sub(1)),
            });
        output.line(format_args!(
            "{place}{}{frames}",
            human::clean_line(&problem.what)
        ))?;
    }
    let checked = human::bytes(report.bytes_checked);
    if report.ok {
        output.line(format_args!("ok, {checked} checked"))?;
    } else {
        let count = human::count(report.problems.len() as u64, "problem");
        output.line(format_args!("{count}, {checked} checked"))?;
    }
    Ok(exit)
}

/// A file so damaged that it does not open fails the check like any other damage.
fn check(args: &VerifyArgs) -> anyhow::Result<Verify> {
    let report = match Memvid::verify(&args.file, args.deep) {
        Ok(report) => report,
        Err(error) if error.kind() == "corrupt" => {
            return Ok(Verify {
                v: json::VERSION,
                ok: false,
                bytes_checked: 0,
                problems: vec![Problem {
                    offset: offset(&error),
                    what: error.to_string(),
                    frames: None,
                }],
            });
        }
        Err(error) => return Err(error.into()),
    };
    let problems = report
        .problems
        .iter()
        .map(|problem| Problem {
            offset: Some(problem.offset),
            what: problem.what.clone(),
            frames: problem.frames.map(|(first, end)| [first.get(), end.get()]),
        })
        .collect();
    Ok(Verify {
        v: json::VERSION,
        ok: report.ok,
        bytes_checked: report.bytes_checked,
        problems,
    })
}

fn offset(error: &mv2::Error) -> Option<u64> {
    match error {
        mv2::Error::Store(mv2::store::Error::Format { error: source, .. }) => {
            source.offset().map(|offset| offset.get())
        }
        mv2::Error::Store(mv2::store::Error::WalCorrupt { offset, .. }) => Some(*offset),
        _ => None,
    }
}
