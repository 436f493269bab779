//! `mv2 search FILE QUERY`.

use mv2::{
    SearchCursor, SearchHit, SearchRequest, SearchResponse, SideRank, Syntax, TotalRelation,
};

use crate::cli::{Global, SearchArgs};
use crate::exit::Exit;
use crate::output::json::{Hit, HitObject, Search, date, round_ms};
use crate::output::{Output, human, json};

use super::{Target, filter, named, open_options, open_to_read, snapshot, with_embedder};

/// Columns that the rank takes at the left.
const INDENT: usize = 3;

pub(super) fn run(args: &SearchArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let cursor = args.cursor.as_deref().map(str::parse::<SearchCursor>);
    let first_page = cursor.transpose().map_err(mv2::Error::from)?;
    let first_page = first_page.map(|page| (page.since(), page.until()));
    let options = with_embedder(open_options(global), args.embedder.as_deref())?;
    let memory = open_to_read(options, &args.file, args.journal, &args.past.on)?;
    let snapshot = snapshot(&memory, &args.past, output)?;
    let like = match &args.like {
        Some(target) => Some(Target::parse(target).resolve(&snapshot)?),
        None => None,
    };
    let request = SearchRequest {
        query: args.query.join(" "),
        mode: args.mode.into(),
        vector: args.vector.as_ref().map(|vector| vector.0.clone()),
        like,
        exact: args.exact,
        syntax: match args.plain {
            true => Syntax::Words,
            false => Syntax::Query,
        },
        top_k: args.top_k,
        snippet_chars: args.snippet_chars,
        filter: filter(&args.filters, first_page)?,
        cursor: args.cursor.clone(),
        count: args.count,
        ..SearchRequest::default()
    };
    let response = match args.journal {
        true => memory.search(SearchRequest {
            at: named(&snapshot, &args.past),
            ..request
        })?,
        false => snapshot.search(request)?,
    };
    if output.is_json() {
        print_json(&response, args.ids_only, output)?;
    } else {
        print(&response, args, output)?;
    }
    Ok(if response.hits.is_empty() {
        Exit::Nothing
    } else {
        Exit::Done
    })
}

fn print_json(
    response: &SearchResponse,
    ids_only: bool,
    output: &mut Output,
) -> anyhow::Result<()> {
    let hits = response
        .hits
        .iter()
        .map(|hit| match ids_only {
            true => HitObject::Id {
                frame_id: hit.frame_id.get(),
            },
            false => HitObject::Whole(Box::new(Hit::from(hit))),
        })
        .collect();
    output.json(&Search {
        v: json::VERSION,
        query: &response.query,
        mode: response.mode.to_string(),
        as_of: response.commit.get(),
        branch: response.branch.as_deref(),
        took_ms: round_ms(response.took_ms),
        total: response.total_hits,
        total_relation: response.total_relation.to_string(),
        warning: response.warning.as_deref(),
        next_cursor: response.next_cursor.as_deref(),
        hits,
    })?;
    Ok(())
}

fn print(response: &SearchResponse, args: &SearchArgs, output: &mut Output) -> anyhow::Result<()> {
    if let Some(warning) = &response.warning {
        output.message(format_args!("note: {warning}"));
    }
    if args.ids_only {
        for hit in &response.hits {
            output.line(hit.frame_id)?;
        }
        return Ok(());
    }
    for hit in &response.hits {
        print_hit(hit, args.explain, output)?;
    }
    output.flush()?;
    if response.hits.is_empty() {
        output.message("nothing found");
    } else {
        output.message(summary(response));
    }
    Ok(())
}

/// ```text
/// 1  Title of the document                    12.34
///    its/uri.md · frame 7 · 2026-11-25
///    A snippet of the text ...
/// ```
fn print_hit(hit: &SearchHit, explain: bool, output: &mut Output) -> anyhow::Result<()> {
    let style = output.style;
    let columns = output.columns();
    let score = format!("{:.2}", hit.score);
    let name = hit.title.as_deref().or(hit.uri.as_deref());
    let name = name.map_or_else(|| format!("frame {}", hit.frame_id), human::clean_line);
    let rank = hit.rank.to_string();
    let room = columns.saturating_sub(rank.len().max(INDENT - 1) + 1 + 1 + score.len());
    let name = human::cut(&name, room.max(8));
    let gap = " ".repeat(room.saturating_sub(human::width(&name)) + 1);
    output.line(format_args!(
        "{rank:<2} {}{gap}{}",
        style.bold(&name),
        style.dim(&score)
    ))?;
    let date = date(hit.timestamp);
    let place = match (&hit.title, &hit.uri) {
        (None, None) => date,
        _ => format!("frame {} · {date}", hit.frame_id),
    };
    let room = columns.saturating_sub(INDENT + human::width(&place) + 3);
    let about = match (&hit.title, &hit.uri) {
        (Some(_), Some(uri)) => format!("{} · {place}", human::cut(&human::clean_line(uri), room)),
        _ => place,
    };
    output.line(format_args!("   {}", style.dim(&about)))?;
    if explain {
        let side = |name: &str, side: Option<SideRank>| match side {
            Some(side) => format!("{name}: {}. with {:.3}", side.rank, side.score),
            None => format!("{name}: not among its best"),
        };
        let sides = format!("{} · {}", side("words", hit.lex), side("vectors", hit.vec));
        output.line(format_args!("   {}", style.dim(&sides)))?;
    }
    for line in human::wrap(
        &hit.text,
        &hit.matches,
        columns.saturating_sub(INDENT),
        style,
    ) {
        output.line(format_args!("   {line}"))?;
    }
    output.line("")?;
    Ok(())
}

fn summary(response: &SearchResponse) -> String {
    let shown = response.hits.len() as u64;
    let took = round_ms(response.took_ms);
    let total = response.total_hits;
    match response.total_relation {
        TotalRelation::Eq if total == shown => {
            format!("{} in {took} ms", human::count(shown, "document"))
        }
        TotalRelation::Eq => format!(
            "{shown} of {} in {took} ms",
            human::count(total, "document")
        ),
        TotalRelation::Gte if total == shown => {
            format!("the best {} in {took} ms", human::count(shown, "document"))
        }
        TotalRelation::Gte => format!("{shown} of at least {total} documents in {took} ms"),
    }
}
