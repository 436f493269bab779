//! `mv2 audit FILE QUERY`.

use mv2::{AuditedHit, AuditedVersion, SearchRequest, Syntax};

use crate::cli::{AuditArgs, Global};
use crate::exit::Exit;
use crate::output::json::{AuditEnd, AuditHit, AuditVersion};
use crate::output::progress::Progress;
use crate::output::{Output, human, json};

use super::{filter, open_options, snapshot, with_embedder};

/// Columns that the rank takes at the left.
const INDENT: usize = 3;

/// Columns that the texts of versions are indented by.
const DEEP: usize = 5;

pub(super) fn run(args: &AuditArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let options = with_embedder(open_options(global), args.embedder.as_deref())?;
    let memory = options.open_read_only(&args.file)?;
    let snapshot = snapshot(&memory, &args.past, output)?;
    let request = SearchRequest {
        query: args.query.join(" "),
        mode: args.mode.into(),
        syntax: match args.plain {
            true => Syntax::Words,
            false => Syntax::Query,
        },
        top_k: args.top_k,
        snippet_chars: args.snippet_chars,
        filter: filter(&args.filters, None)?,
        ..SearchRequest::default()
    };
    let progress = Progress::frames(output.draws_progress());
    let audit = snapshot.audit(request, &mut |at, of| progress.at(at, of));
    progress.finish();
    let audit = audit?;
    if output.is_json() {
        output.json(&json::Audit {
            v: json::VERSION,
            query: &audit.query,
            mode: audit.mode.to_string(),
            as_of: audit.commit.get(),
            warning: audit.warning.as_deref(),
            hits: audit.hits.iter().map(json_hit).collect(),
        })?;
    } else {
        if let Some(warning) = &audit.warning {
            output.message(format_args!("note: {warning}"));
        }
        for hit in &audit.hits {
            print_hit(hit, output)?;
        }
        output.flush()?;
        if audit.hits.is_empty() {
            output.message("nothing found");
        }
    }
    Ok(match audit.hits.is_empty() {
        true => Exit::Nothing,
        false => Exit::Done,
    })
}

/// ```text
/// 1  its/uri.md
///    frame 7, known since commit 9, 2026-11-25T10:00:00.000000Z
///    A snippet of the text ...
///    commit 2 to 9, found 1.: frame 1, 2026-11-24T10:00:00.000000Z
///      The text that it had then ...
/// ```
fn print_hit(audited: &AuditedHit, output: &mut Output) -> anyhow::Result<()> {
    let style = output.style;
    let hit = &audited.hit;
    let room = output.columns().saturating_sub(INDENT);
    let name = hit.uri.as_deref().or(hit.title.as_deref());
    let name = name.map_or_else(|| format!("frame {}", hit.frame_id), human::clean_line);
    let rank = hit.rank.to_string();
    output.line(format_args!(
        "{rank:<2} {}",
        style.bold(&human::cut(&name, room))
    ))?;
    let since = format!(
        "frame {}, known since commit {}, {}",
        hit.frame_id, hit.commit, audited.known_since
    );
    for line in human::wrap(&since, &[], room, style) {
        output.line(format_args!("   {}", style.dim(&line)))?;
    }
    for line in human::wrap(&hit.text, &hit.matches, room, style) {
        output.line(format_args!("   {line}"))?;
    }
    let older = audited.versions.iter();
    for version in older
        .rev()
        .filter(|version| version.frame_id != hit.frame_id)
    {
        print_version(version, room, output)?;
    }
    output.line("")?;
    Ok(())
}

fn print_version(version: &AuditedVersion, room: usize, output: &mut Output) -> anyhow::Result<()> {
    let style = output.style;
    let end = match (version.end, version.by) {
        (Some((commit, _)), Some(_)) => format!(" until commit {commit}"),
        (Some((commit, _)), None) => format!(" until commit {commit} deleted it"),
        (None, _) => " on".to_owned(),
    };
    let found = match version.rank {
        Some(rank) => format!("found {rank}."),
        None => "not found".to_owned(),
    };
    let about = format!(
        "from commit {}{end}: frame {}, {found}, {}",
        version.commit, version.frame_id, version.time
    );
    for line in human::wrap(&about, &[], room, style) {
        output.line(format_args!("   {}", style.dim(&line)))?;
    }
    let room = room.saturating_sub(DEEP - INDENT);
    for line in human::wrap(&version.text, &[], room, style) {
        output.line(format_args!("     {line}"))?;
    }
    Ok(())
}

fn json_hit(audited: &AuditedHit) -> AuditHit<'_> {
    let hit = &audited.hit;
    AuditHit {
        rank: hit.rank,
        frame_id: hit.frame_id.get(),
        uri: hit.uri.as_deref(),
        title: hit.title.as_deref(),
        text: &hit.text,
        score: hit.score,
        timestamp: hit.timestamp.to_string(),
        commit: hit.commit.get(),
        known_since: audited.known_since.to_string(),
        versions: audited.versions.iter().map(json_version).collect(),
    }
}

fn json_version(version: &AuditedVersion) -> AuditVersion<'_> {
    AuditVersion {
        frame_id: version.frame_id.get(),
        commit: version.commit.get(),
        time: version.time.to_string(),
        end: version.end.map(|(commit, time)| AuditEnd {
            commit: commit.get(),
            time: time.to_string(),
            by: version.by.map(|by| by.get()),
        }),
        rank: version.rank,
        text: &version.text,
    }
}
