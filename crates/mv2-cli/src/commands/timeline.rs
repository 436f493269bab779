//! `mv2 timeline FILE`.

use mv2::{
    Clock as _, SystemClock, Timeline, TimelineCursor, TimelineEntry, TimelineQuery, Timestamp,
};

use crate::cli::{Global, TimelineArgs};
use crate::exit::Exit;
use crate::output::{Output, human, json};

use super::{open_options, snapshot, time_range};

/// Columns that previews are indented by.
const INDENT: usize = 3;

pub(super) fn run(
    args: &TimelineArgs,
    global: &Global,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let query = query(args, SystemClock.now())?;
    let memory = open_options(global).open_read_only(&args.file)?;
    let (since, until) = (query.since, query.until);
    let snapshot = snapshot(&memory, &args.past, output)?;
    let timeline = snapshot.timeline(query)?;
    if output.is_json() {
        output.json(&json::Timeline {
            v: json::VERSION,
            as_of: snapshot.commit_id().get(),
            branch: snapshot.branch(),
            since: since.map(|time| time.to_string()),
            until: until.map(|time| time.to_string()),
            frames: timeline
                .frames
                .iter()
                .map(json::TimelineFrame::from)
                .collect(),
            next_cursor: timeline.next_cursor.as_deref(),
        })?;
    } else {
        print(&timeline, output)?;
    }
    Ok(if timeline.frames.is_empty() {
        Exit::Nothing
    } else {
        Exit::Done
    })
}

/// What the flags ask for at the present time.
fn query(args: &TimelineArgs, now: Timestamp) -> mv2::Result<TimelineQuery> {
    let first_page = match &args.cursor {
        Some(text) => Some(text.parse::<TimelineCursor>()?.query()),
        None => None,
    };
    let first_page = first_page.map(|page| (page.since, page.until));
    let (since, until) = time_range(args.times.ends(), first_page, now)?;
    Ok(TimelineQuery {
        since,
        until,
        limit: args.limit,
        reverse: args.reverse,
        cursor: args.cursor.clone(),
        ..TimelineQuery::default()
    })
}

fn print(timeline: &Timeline, output: &mut Output) -> anyhow::Result<()> {
    for entry in &timeline.frames {
        print_entry(entry, output)?;
    }
    output.flush()?;
    match &timeline.next_cursor {
        _ if timeline.frames.is_empty() => output.message("nothing in this time"),
        Some(cursor) => output.message(format_args!("more with --cursor {cursor}")),
        None => {}
    }
    Ok(())
}

/// ```text
/// 2026-11-25 01:10:03  Title of the document
///    its/uri.md · frame 7
///    How the text begins ...
/// ```
fn print_entry(entry: &TimelineEntry, output: &mut Output) -> anyhow::Result<()> {
    let style = output.style;
    let columns = output.columns();
    let time = second(entry.timestamp);
    let name = entry.title.as_deref().or(entry.uri.as_deref());
    let name = name.map_or_else(|| format!("frame {}", entry.frame_id), human::clean_line);
    let room = columns.saturating_sub(human::width(&time) + 2).max(8);
    output.line(format_args!(
        "{}  {}",
        style.dim(&time),
        style.bold(&human::cut(&name, room))
    ))?;
    let room = columns.saturating_sub(INDENT);
    let frame = format!("frame {}", entry.frame_id);
    let about = match (&entry.title, &entry.uri) {
        (Some(_), Some(uri)) => {
            let room = room.saturating_sub(frame.len() + 3);
            Some(format!(
                "{} · {frame}",
                human::cut(&human::clean_line(uri), room)
            ))
        }
        (None, None) => None,
        _ => Some(frame),
    };
    if let Some(about) = about {
        output.line(format_args!("   {}", style.dim(&about)))?;
    }
    if !entry.preview.is_empty() {
        let preview = human::cut(&human::clean_line(&entry.preview), room);
        output.line(format_args!("   {preview}"))?;
    }
    Ok(())
}

/// A time for a person, to the second.
pub(super) fn second(time: Timestamp) -> String {
    let text = time.to_string();
    let whole = text.split('.').next().unwrap_or(&text);
    whole.replacen('T', " ", 1)
}
