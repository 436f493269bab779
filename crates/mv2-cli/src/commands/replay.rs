//! `mv2 replay FILE [FROM..TO]`.

use anyhow::anyhow;
use mv2::{
    Clock as _, Commit, Difference, HitChange, RecordedSearch, ReplayOptions, ReplayStep,
    ReplayedSearch, Selector, SystemClock, Timestamp,
};

use crate::cli::{Global, ReplayArgs};
use crate::exit::{Exit, Failure, report};
use crate::output::json::{
    AgainHit, Replayed, ReplayedAgain, ReplayedCommit, ReplayedDifference, ReplayedHit,
    ReplayedSummary,
};
use crate::output::progress::Progress;
use crate::output::{Output, human, json};

use super::log::{message, summary};
use super::open_options;

/// Columns that lines about a search are indented by.
const INDENT: &str = "  ";

/// How many of each there were.
#[derive(Default)]
struct Counts {
    commits: u64,
    searches: u64,
    different: u64,
    failed: u64,
}

pub(super) fn run(args: &ReplayArgs, global: &Global, output: &mut Output) -> anyhow::Result<Exit> {
    let now = SystemClock.now();
    let (from, to) = match &args.range {
        Some(text) => range(text, now)?,
        None => (None, None),
    };
    let at = args.at.as_deref().map(|text| Selector::parse(text, now));
    let options = ReplayOptions {
        from,
        to,
        at: at.transpose()?,
    };
    let memory = open_options(global).open_read_only(&args.file)?;
    let replay = memory.replay(&options)?;
    let (first, last) = (replay.commits().start().get(), replay.commits().end().get());
    // On a terminal the steps themselves show how far it is.
    let progress = Progress::frames(output.draws_progress() && !output.is_terminal());
    let mut counts = Counts::default();
    for (at, step) in replay.enumerate() {
        progress.at(at as u64, (last + 1).saturating_sub(first));
        match step {
            Ok(ReplayStep::Commit { commit, branch }) => {
                counts.commits += 1;
                print_commit(&commit, branch.as_deref(), output)?;
            }
            Ok(ReplayStep::Search(search)) => {
                counts.searches += 1;
                counts.different += u64::from(!search.is_same());
                print_search(&search, output)?;
            }
            Ok(_) => {}
            // One that is damaged does not hide the others.
            Err(error) => {
                counts.failed += 1;
                output.flush()?;
                progress.suspend(|| report(&anyhow!(error), output));
            }
        }
    }
    progress.finish();
    print_end(&counts, output)?;
    Ok(match counts {
        Counts { failed: 1.., .. } => Exit::Error,
        Counts { different: 0, .. } => Exit::Done,
        _ => Exit::Nothing,
    })
}

/// Both ends, each of which may be left out.
fn range(text: &str, now: Timestamp) -> anyhow::Result<(Option<Selector>, Option<Selector>)> {
    let Some((from, to)) = text.split_once("..") else {
        let shown: String = text.chars().take(100).collect();
        let message = format!("{shown:?} is not a range of commits: write FROM..TO");
        let hint = "5..9 is from commit 5 to 9, 5..5 is commit 5 with the searches after it, and either end may be left out";
        return Err(Failure::usage(message).hint(hint).into());
    };
    let end = |text: &str| match text.trim() {
        "" => Ok(None),
        text => Selector::parse(text, now).map(Some),
    };
    Ok((end(from)?, end(to)?))
}

fn print_commit(commit: &Commit, branch: Option<&str>, output: &mut Output) -> anyhow::Result<()> {
    let (message, folder) = message(commit);
    if output.is_json() {
        output.json(&Replayed::Commit {
            v: json::VERSION,
            commit: ReplayedCommit {
                id: commit.id.get(),
                time: commit.time.to_string(),
                branch,
                message,
                folder,
                added: commit.added,
                superseded: commit.superseded,
                deleted: commit.deleted,
            },
        })?;
        return Ok(());
    }
    let style = output.style;
    let columns = output.columns();
    let id = format!("commit {}", commit.id);
    output.line(format_args!("{} {}", style.bold(&id), commit.time))?;
    let about = [
        summary(commit),
        message.map(human::clean_line).unwrap_or_default(),
    ];
    let mut about: Vec<String> = about.into_iter().filter(|part| !part.is_empty()).collect();
    if about.is_empty() && branch.is_none() {
        // All others that no document has a part in say what they did.
        about.push("a search that was purged from the journal".to_owned());
    }
    let about = match branch {
        Some("main") | None => about.join(" · "),
        Some(branch) => format!("{} · {}", human::clean_line(branch), about.join(" · ")),
    };
    if !about.is_empty() {
        let about = human::cut(&about, columns.saturating_sub(INDENT.len()));
        output.line(format_args!("{INDENT}{about}"))?;
    }
    Ok(())
}

fn print_search(search: &ReplayedSearch, output: &mut Output) -> anyhow::Result<()> {
    if output.is_json() {
        output.json(&Replayed::Search {
            v: json::VERSION,
            search: Box::new(json_search(search)),
        })?;
        return Ok(());
    }
    let style = output.style;
    let room = output.columns().saturating_sub(INDENT.len());
    let RecordedSearch {
        id,
        time,
        commit,
        hits,
        ..
    } = &search.recorded;
    let name = format!("search {id}");
    output.line(format_args!("{} {time}", style.bold(&name)))?;
    let asked = human::cut(&question(&search.recorded), room);
    output.line(format_args!("{INDENT}{}", style.cyan(&asked)))?;
    let same = match search.is_same() {
        true => ", the same",
        false => "",
    };
    let at = match search.commit == *commit {
        true => format!("at commit {commit}: {} found{same}", hits.len()),
        false => format!(
            "at commit {commit}: {} found; at commit {}: {}{same}",
            hits.len(),
            search.commit,
            match &search.found {
                Ok(found) => found.hits.len().to_string(),
                Err(_) => "no answer".to_owned(),
            }
        ),
    };
    for line in human::wrap(&at, &[], room, style) {
        output.line(format_args!("{INDENT}{line}"))?;
    }
    if let Err(error) = &search.found {
        for line in human::wrap(&format!("! {error}"), &[], room, style) {
            output.line(format_args!("{INDENT}{line}"))?;
        }
    }
    for difference in &search.differences {
        let line = human::cut(&describe(difference), room);
        output.line(format_args!("{INDENT}{line}"))?;
    }
    if search.approximate && !search.is_same() {
        let note = "there are so many vectors that a search may go along a graph, which finds nearly all; --exact looks at all";
        for line in human::wrap(note, &[], room, style) {
            output.line(format_args!("{INDENT}{}", style.dim(&line)))?;
        }
    }
    Ok(())
}

/// The query, or what stood in its place.
fn question(recorded: &RecordedSearch) -> String {
    let request = &recorded.request;
    match (&request.query[..], request.like, &request.vector) {
        ("", Some(frame), _) => format!("like frame {frame}"),
        ("", None, Some(vector)) => format!("a vector of {} numbers", vector.len()),
        (query, ..) => human::clean_line(query),
    }
}

/// One line about a difference, as in a diff. Behind the sign stands the rank, the new one if there is one.
fn describe(difference: &Difference) -> String {
    match difference {
        Difference::Hit {
            frame_id,
            uri,
            change,
        } => {
            let name = match uri {
                Some(uri) => format!("{} (frame {frame_id})", human::clean_line(uri)),
                None => format!("frame {frame_id}"),
            };
            match change {
                HitChange::Missing { rank } => format!("- {rank}. {name}"),
                HitChange::New { rank } => format!("+ {rank}. {name}"),
                HitChange::Version { rank, by, by_rank } => {
                    let uri = uri.as_deref().map(human::clean_line).unwrap_or_default();
                    format!("~ {by_rank}. {uri} (frame {by}), was {rank}. as frame {frame_id}")
                }
                HitChange::Moved { from, to } => format!("> {to}. {name}, was {from}."),
                HitChange::Score { then, now } => format!("! {name}: score {now}, was {then}"),
                _ => format!("! {name}"),
            }
        }
        Difference::Mode { then, now } => format!("! mode {now}, was {then}"),
        Difference::Total { then, now } => format!("! {now} match, {then} did"),
        _ => "! something else".to_owned(),
    }
}

fn print_end(counts: &Counts, output: &mut Output) -> anyhow::Result<()> {
    if output.is_json() {
        output.json(&Replayed::Summary {
            v: json::VERSION,
            summary: ReplayedSummary {
                commits: counts.commits,
                searches: counts.searches,
                different: counts.different,
                failed: counts.failed,
            },
        })?;
        return Ok(());
    }
    output.flush()?;
    let searches = match counts.searches {
        1 => "1 search".to_owned(),
        count => format!("{count} searches"),
    };
    let commits = human::count(counts.commits, "commit");
    output.message(match (counts.searches, counts.different) {
        (0, _) => {
            format!("{commits}, and no search was noted down; `mv2 search --journal` does so")
        }
        (_, 0) => format!("{commits}, {searches}: all find the same"),
        (_, 1) => format!("{commits}, {searches}: 1 finds something else"),
        (_, different) => format!("{commits}, {searches}: {different} find something else"),
    });
    Ok(())
}

fn json_search(search: &ReplayedSearch) -> json::ReplayedSearch<'_> {
    let recorded = &search.recorded;
    json::ReplayedSearch {
        id: recorded.id.get(),
        time: recorded.time.to_string(),
        asked_at: recorded.asked_at.to_string(),
        request: recorded.request_json(),
        as_of: recorded.commit.get(),
        mode: recorded.mode.to_string(),
        total: recorded.total_hits,
        total_relation: recorded.total_relation.to_string(),
        hits: recorded
            .hits
            .iter()
            .map(|hit| ReplayedHit {
                frame_id: hit.frame_id.get(),
                score: hit.score,
            })
            .collect(),
        again: search.found.as_ref().ok().map(|found| ReplayedAgain {
            as_of: search.commit.get(),
            mode: found.mode.to_string(),
            total: found.total_hits,
            total_relation: found.total_relation.to_string(),
            hits: found
                .hits
                .iter()
                .map(|hit| AgainHit {
                    rank: hit.rank,
                    frame_id: hit.frame_id.get(),
                    uri: hit.uri.as_deref(),
                    score: hit.score,
                })
                .collect(),
        }),
        error: search
            .found
            .as_ref()
            .err()
            .map(|error| json::ReplayedError {
                kind: error.kind(),
                message: error.to_string(),
            }),
        same: search.is_same(),
        approximate: search.approximate,
        differences: search.differences.iter().map(json_difference).collect(),
    }
}

fn json_difference(difference: &Difference) -> ReplayedDifference<'_> {
    let empty = ReplayedDifference::default();
    match difference {
        Difference::Hit {
            frame_id,
            uri,
            change,
        } => {
            let hit = ReplayedDifference {
                frame_id: Some(frame_id.get()),
                uri: uri.as_deref(),
                ..empty
            };
            match *change {
                HitChange::Missing { rank } => ReplayedDifference {
                    change: "missing",
                    rank_then: Some(rank),
                    ..hit
                },
                HitChange::New { rank } => ReplayedDifference {
                    change: "new",
                    rank_now: Some(rank),
                    ..hit
                },
                HitChange::Version { rank, by, by_rank } => ReplayedDifference {
                    change: "version",
                    by: Some(by.get()),
                    rank_then: Some(rank),
                    rank_now: Some(by_rank),
                    ..hit
                },
                HitChange::Moved { from, to } => ReplayedDifference {
                    change: "moved",
                    rank_then: Some(from),
                    rank_now: Some(to),
                    ..hit
                },
                HitChange::Score { then, now } => ReplayedDifference {
                    change: "score",
                    then: Some(then.into()),
                    now: Some(now.into()),
                    ..hit
                },
                _ => ReplayedDifference {
                    change: "other",
                    ..hit
                },
            }
        }
        Difference::Mode { then, now } => ReplayedDifference {
            change: "mode",
            then: Some(then.to_string().into()),
            now: Some(now.to_string().into()),
            ..empty
        },
        Difference::Total { then, now } => ReplayedDifference {
            change: "total",
            then: Some((*then).into()),
            now: Some((*now).into()),
            ..empty
        },
        _ => ReplayedDifference {
            change: "other",
            ..empty
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_ends_or_fewer() {
        let now = Timestamp(1_795_569_003_000_000);
        let read = |text| range(text, now).unwrap();
        let commit = |id: u64| Some(Selector::from(id));
        assert_eq!(read("5..9"), (commit(5), commit(9)));
        assert_eq!(read("5.."), (commit(5), None));
        assert_eq!(read("..~1"), (None, Some(Selector::Head.back(1))));
        assert_eq!(read(".."), (None, None));
        assert!(matches!(
            read("2h ago .. head"),
            (Some(Selector::Time(_)), Some(Selector::Head))
        ));
        for wrong in ["", "5", "5-9", "1...3"] {
            assert!(range(wrong, now).is_err(), "{wrong}");
        }
    }
}
