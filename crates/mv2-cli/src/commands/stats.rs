//! `mv2 stats FILE`.

use crate::cli::{Global, StatsArgs};
use crate::exit::Exit;
use crate::output::{Output, human, json};

use super::{open_options, snapshot};

pub(super) fn run(args: &StatsArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let memory = open_options(global).open_read_only(&args.file)?;
    let snapshot = snapshot(&memory, &args.past, output)?;
    let stats = snapshot.stats()?;
    if output.is_json() {
        output.json(&json::Stats {
            v: json::VERSION,
            as_of: snapshot.commit_id().get(),
            branch: snapshot.branch(),
            frames: stats.active_frame_count,
            frames_total: stats.frame_count,
            purged: stats.purged_frame_count,
            commits: stats.commit_count,
            payload_bytes: stats.payload_bytes,
            file_bytes: stats.size_bytes,
            live_bytes: stats.live_bytes,
            dead_bytes: stats.dead_bytes,
            wal_bytes: stats.wal_bytes,
            wal_used_bytes: stats.wal_used_bytes,
            tail_frames: stats.tail_frame_count,
            embedder: stats.embedder.as_deref(),
            segments: &stats.segments,
            sealed: stats.sealed,
            advice: stats.vacuum_pays().then_some("vacuum"),
        })?;
        return Ok(Exit::Done);
    }
    let segments: Vec<String> = stats
        .segments
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let rows = [
        ("documents", {
            let (alive, purged) = (stats.active_frame_count, stats.purged_frame_count);
            let mut text = alive.to_string();
            if let dead @ 1.. = stats.frame_count.saturating_sub(alive + purged) {
                text.push_str(&format!(", and {dead} in the history"));
            }
            if purged > 0 {
                text.push_str(&format!("; {purged} were purged"));
            }
            text
        }),
        ("commits", stats.commit_count.to_string()),
        ("text", human::bytes(stats.payload_bytes)),
        (
            "file",
            format!(
                "{} ({} in use, {} dead)",
                human::bytes(stats.size_bytes),
                human::bytes(stats.live_bytes),
                human::bytes(stats.dead_bytes)
            ),
        ),
        (
            "log",
            if stats.sealed {
                "none: the file is sealed".to_owned()
            } else {
                format!(
                    "{} of {}, {}",
                    human::bytes(stats.wal_used_bytes),
                    human::bytes(stats.wal_bytes),
                    human::count(stats.tail_frame_count, "frame")
                )
            },
        ),
        (
            "vectors",
            match &stats.embedder {
                Some(embedder) => format!("by {}", human::clean_line(embedder)),
                None => "none".to_owned(),
            },
        ),
        (
            "segments",
            if segments.is_empty() {
                "none yet".to_owned()
            } else {
                segments.join(", ")
            },
        ),
    ];
    for (name, value) in rows {
        output.line(format_args!("{name:<10} {value}"))?;
    }
    if stats.vacuum_pays() {
        // After the figures that it is about, where both streams go to one terminal.
        output.flush()?;
        output.message(format_args!(
            "note: vacuum would free {}: mv2 vacuum {}",
            human::bytes(stats.dead_bytes),
            args.file.display()
        ));
    }
    Ok(Exit::Done)
}
