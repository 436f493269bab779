//! `mv2 get FILE ID|URI`.

use mv2::{Frame, Snapshot, text};
use serde_json::Value;

use crate::cli::{GetArgs, Global};
use crate::exit::Exit;
use crate::output::{Output, human, json};

use super::{Target, open_options, snapshot};

pub(super) fn run(args: &GetArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let memory = open_options(global).open_read_only(&args.file)?;
    let snapshot = snapshot(&memory, &args.past, output)?;
    let id = Target::parse(&args.target).resolve(&snapshot)?;
    if args.raw {
        // Piece by piece: a large document is never in memory as a whole.
        let mut written = Ok(());
        snapshot.read_payload(id, &mut |piece| {
            if written.is_ok() {
                written = output.bytes(piece);
            }
        })?;
        written?;
        return Ok(Exit::Done);
    }
    let frame = snapshot.frame(id)?;
    if output.is_json() {
        print_json(&frame, &snapshot, output)?;
    } else {
        print(&frame, output)?;
    }
    Ok(Exit::Done)
}

fn print_json(frame: &Frame, snapshot: &Snapshot, output: &mut Output) -> anyhow::Result<()> {
    let meta = &frame.meta;
    let metadata = match &meta.metadata {
        // The library stores JSON only; what another writer left is shown as the text it is.
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())),
        None => Value::Null,
    };
    output.json(&json::Get {
        v: json::VERSION,
        as_of: snapshot.commit_id().get(),
        branch: snapshot.branch(),
        frame_id: meta.id.get(),
        uri: meta.uri.as_deref(),
        title: meta.title.as_deref(),
        text: document_text(frame),
        bytes: meta.payload_len,
        timestamp: meta.timestamp.to_string(),
        commit: meta.commit.get(),
        kind: meta.kind.as_deref(),
        track: meta.track.as_deref(),
        tags: json::tags(&meta.tags),
        labels: &meta.labels,
        metadata,
    })?;
    Ok(())
}

fn print(frame: &Frame, output: &mut Output) -> anyhow::Result<()> {
    let meta = &frame.meta;
    let style = output.style;
    if let Some(title) = &meta.title {
        output.line(style.bold(&human::clean_line(title)))?;
    }
    let mut about = Vec::new();
    about.extend(meta.uri.as_deref().map(human::clean_line));
    about.push(format!("frame {}", meta.id));
    about.push(format!("commit {}", meta.commit));
    about.push(meta.timestamp.to_string());
    output.line(style.dim(&about.join(" · ")))?;
    let mut marks: Vec<String> = Vec::new();
    marks.extend(meta.kind.iter().map(|kind| format!("kind {kind}")));
    marks.extend(meta.track.iter().map(|track| format!("track {track}")));
    marks.extend(
        meta.tags
            .iter()
            .map(|(key, value)| format!("{key}={value}")),
    );
    marks.extend(meta.labels.iter().map(|label| format!("#{label}")));
    if !marks.is_empty() {
        output.line(style.dim(&human::clean_line(&marks.join(" · "))))?;
    }
    if let Some(metadata) = &meta.metadata {
        output.line(style.dim(&human::clean_line(metadata)))?;
    }
    output.line("")?;
    match document_text(frame) {
        Some(text) if output.is_terminal() => output.line(human::clean(text.trim_end()))?,
        Some(text) => {
            output.bytes(text.as_bytes())?;
            if !text.ends_with('\n') {
                output.line("")?;
            }
        }
        None => {
            let size = human::bytes(meta.payload_len);
            output.line(format_args!(
                "{size} that are not text; --raw writes them out"
            ))?;
        }
    }
    Ok(())
}

/// The document if it is text. What was given to be searched instead is not the document.
fn document_text(frame: &Frame) -> Option<&str> {
    if !frame.meta.is_text {
        return None;
    }
    std::str::from_utf8(&frame.payload)
        .ok()
        .map(text::without_bom)
}
