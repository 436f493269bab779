//! `mv2 purge FILE [--id N]... [--uri URI]... [--tag K=V]... [--since TIME] [--until TIME] [--before COMMIT]`.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write as _};

use mv2::{
    Clock as _, CommitId, FrameId, PlannedFrame, PurgePlan, PurgeRequest, Purged, Selector,
    SystemClock,
};

use crate::cli::{Global, PurgeArgs};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::json::{CommitRef, PurgedFrame};
use crate::output::progress::Spinner;
use crate::output::{Output, human, json};

use super::{open_options, time_range};

/// Frames that are listed before the question.
const SHOWN: usize = 20;

pub(super) fn run(args: &PurgeArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let request = request(args)?;
    if args.dry_run {
        let plan = open_options(global)
            .open_read_only(&args.file)?
            .plan_purge(&request)?;
        return say(args, &plan, None, output);
    }
    let mut memory = open_options(global).open(&args.file)?;
    let plan = memory.plan_purge(&request)?;
    if plan.frames.is_empty() {
        return say(args, &plan, None, output);
    }
    if !args.yes && !ask(args, &plan, output)? {
        output.message("nothing was purged");
        return Ok(Exit::Nothing);
    }
    interrupt::purging();
    let purged = {
        let _spinner = Spinner::new(output.draws_progress(), "purging");
        // What was shown, and nothing that others put in the meantime.
        let shown = plan.frames.iter().map(|frame| frame.id);
        memory.purge(&PurgeRequest::frames(shown))?
    };
    match purged {
        Some(purged) => say(args, &plan, Some(&purged), output),
        // Another process was faster.
        None => say(args, &PurgePlan::default(), None, output),
    }
}

fn request(args: &PurgeArgs) -> mv2::Result<PurgeRequest> {
    let now = SystemClock.now();
    let (since, until) = time_range(args.times.ends(), None, now)?;
    let mut request = PurgeRequest::frames(args.ids.iter().copied().map(FrameId));
    request.uris.clone_from(&args.uris);
    request.tags.clone_from(&args.tags);
    (request.since, request.until) = (since, until);
    request.before = match &args.before {
        Some(text) => Some(Selector::parse(text, now)?),
        None => None,
    };
    Ok(request)
}

/// Shows what would go and asks whether it may.
fn ask(args: &PurgeArgs, plan: &PurgePlan, output: &Output) -> anyhow::Result<bool> {
    let can_answer = io::stdin().is_terminal() && io::stderr().is_terminal();
    if output.is_json() || !can_answer {
        let frames = human::count(plan.frames.len() as u64, "frame");
        let message = format!("purging {frames} cannot be undone, and there is nobody to ask");
        let hint = "see what would go with --dry-run, and say --yes";
        return Err(Failure::new("not_confirmed", message).hint(hint).into());
    }
    let mut text = String::new();
    for frame in plan.frames.iter().take(SHOWN) {
        writeln!(text, "{}", line(frame))?;
    }
    if let Some(more @ 1..) = plan.frames.len().checked_sub(SHOWN) {
        writeln!(text, "... and {more} more; --dry-run lists all")?;
    }
    text.push_str(&notes(plan));
    write!(
        text,
        "Purge {} of {}? This cannot be undone. [y/N] ",
        human::count(plan.frames.len() as u64, "frame"),
        human::clean_line(&args.file.display().to_string())
    )?;
    let mut stderr = io::stderr();
    stderr.write_all(text.as_bytes())?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let answer = answer.trim();
    Ok(answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
}

/// A frame in a line.
fn line(frame: &PlannedFrame) -> String {
    let name = frame.uri.as_ref().or(frame.title.as_ref());
    let name = name.map_or_else(String::new, |name| format!(" {}", human::clean_line(name)));
    let state = if frame.visible {
        ""
    } else {
        ", in the history"
    };
    let CommitId(commit) = frame.commit;
    let bytes = human::bytes(frame.payload_bytes);
    format!("frame {}{name} (commit {commit}, {bytes}{state})", frame.id)
}

/// What stays although somebody may think that it goes.
fn notes(plan: &PurgePlan) -> String {
    let mut notes = String::new();
    for frame in &plan.frames {
        if let Some(other) = frame.same_content {
            let id = frame.id;
            notes.push_str(&format!(
                "note: frame {other} has the same document as frame {id}, which so stays in the file\n"
            ));
        }
    }
    let mut uris: Vec<(&str, u64)> = plan
        .frames
        .iter()
        .filter(|frame| frame.other_versions > 0)
        .filter_map(|frame| Some((frame.uri.as_deref()?, frame.other_versions)))
        .collect();
    uris.sort_unstable();
    uris.dedup();
    for (uri, others) in uris {
        let uri = human::clean_line(uri);
        let versions = human::count(others, "other version");
        let verb = if others == 1 { "stays" } else { "stay" };
        notes.push_str(&format!("note: {versions} of {uri} {verb}\n"));
    }
    notes
}

fn say_notes(plan: &PurgePlan, output: &mut Output) -> anyhow::Result<()> {
    // Behind the lines that they are about, where both streams go to one terminal.
    output.flush()?;
    for line in notes(plan).lines() {
        output.message(line);
    }
    Ok(())
}

fn say(
    args: &PurgeArgs,
    plan: &PurgePlan,
    purged: Option<&Purged>,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let exit = match plan.frames.is_empty() {
        true => Exit::Nothing,
        false => Exit::Done,
    };
    let path = args.file.display().to_string();
    if output.is_json() {
        let frames = plan.frames.iter().map(|frame| PurgedFrame {
            frame_id: frame.id.get(),
            uri: frame.uri.as_deref(),
            title: frame.title.as_deref(),
            commit: frame.commit.get(),
            bytes: frame.payload_bytes,
            visible: frame.visible,
            same_content: frame.same_content.map(FrameId::get),
            other_versions: frame.other_versions,
        });
        output.json(&json::Purge {
            v: json::VERSION,
            path: &path,
            commit: purged.map(|purged| CommitRef::from(&purged.commit)),
            frames: frames.collect(),
            bytes_before: purged.map(|purged| purged.bytes_before),
            bytes_after: purged.map(|purged| purged.bytes_after),
        })?;
        return Ok(exit);
    }
    let path = human::clean_line(&path);
    match purged {
        _ if plan.frames.is_empty() => output.message("nothing to purge"),
        None => {
            for frame in &plan.frames {
                output.line(format_args!("would purge {}", line(frame)))?;
            }
            say_notes(plan, output)?;
        }
        Some(purged) => {
            let frames = human::count(purged.frames, "frame");
            let change = human::change(purged.bytes_before, purged.bytes_after);
            output.line(format_args!("purged {frames} of {path}: {change}"))?;
            if args.yes {
                say_notes(plan, output)?;
            }
        }
    }
    Ok(exit)
}
