//! `mv2 generate markdown|man`: the reference and the manual page, made from the definitions in `cli`.
//!
//! Hidden, because it is for those who build or package the command. `cargo xtask codegen` writes the
//! reference to `docs/cli.md`. Only the JSON of each command stands here, in [`JSON`]; a test compares
//! it with what the commands print.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::cli::{Cli, EXAMPLES, EXIT_CODES, GenerateArgs, Page};
use crate::exit::Exit;
use crate::output::Output;

/// What each command prints with `--json`: command, fields, remark. `"..."` stands for keys of the user's.
const JSON: &[(&str, &str, &str)] = &[
    ("create", r#"{"v":1,"path","file_bytes","wal_bytes"}"#, ""),
    (
        "put",
        r#"{"v":1,"commit":{"id","time"},"frames":[{"frame_id","uri","status","deduplicated"}]}"#,
        "One line for each commit, printed when it is durable. `commit` is `null` if nothing had changed; \
         `status` is `added`, `superseded` or `unchanged`.",
    ),
    (
        "search",
        r#"{"v":1,"query","mode","as_of","branch","took_ms","total","total_relation","next_cursor","hits":[{"rank","frame_id","uri","title","text","score","lex":{"rank","score"},"vec","timestamp","commit","kind","tags":{"..."},"labels":[],"matches":[[start,end]]}]}"#,
        "`total` is exact if `total_relation` is `eq`, and a lower bound if it is `gte`. `matches` are byte \
         ranges of `text`. A query that could not be read as such adds `warning`. `lex` and `vec` are \
         `null` where that index does not have the hit among its best.",
    ),
    (
        "context",
        r#"{"v":1,"query","as_of","branch","max_tokens","tokens","text","passages":[{"rank","frame_id","uri","title","text","start","end","score","timestamp","commit"}]}"#,
        "`text` is what is printed without `--json`, and `rank` the number by which it cites a passage. `start` and \
         `end` are byte offsets into the document's text. `tokens` are estimated.",
    ),
    (
        "timeline",
        r#"{"v":1,"as_of","branch","since","until","frames":[{"frame_id","uri","title","preview","timestamp","commit","kind","tags":{"..."},"labels":[]}],"next_cursor"}"#,
        "`since` and `until` are what the flags meant. `next_cursor` is `null` at the end.",
    ),
    (
        "get",
        r#"{"v":1,"as_of","branch","frame_id","uri","title","text","bytes","timestamp","commit","kind","track","tags":{"..."},"labels":[],"metadata"}"#,
        "`text` is `null` if the document is not text.",
    ),
    (
        "update",
        r#"{"v":1,"commit":{"id","time"},"frames":[{"frame_id","uri","status","deduplicated"}]}"#,
        "",
    ),
    (
        "delete",
        r#"{"v":1,"commit":{"id","time"},"deleted":[{"frame_id","uri"}]}"#,
        "",
    ),
    (
        "log",
        r#"{"v":1,"as_of","branch","commits":[{"id","time","wall","branch","parents":[],"message","folder","added","superseded","deleted"}]}"#,
        "`parents` are the commit before and, of a merge, that of the other branch. The last three are numbers. With `--frames` they are lists: of frames, of \
         `{\"frame_id\",\"by\"}`, and of frames.",
    ),
    (
        "diff",
        r#"{"v":1,"from":{"id","time"},"to":{"id","time"},"added":[{"frame_id","uri","title"}],"superseded":[{"old","frame_id","uri","title","diff"}],"deleted":[{"frame_id","uri","title"}]}"#,
        "`old` is the frame whose place was taken. `diff` is a unified diff of the texts, empty if they are the same, `null` with `--stat` \
         and where one is no text.",
    ),
    (
        "history",
        r#"{"v":1,"as_of","branch","uri","versions":[{"frame_id","commit","time","title","bytes","end":{"commit","by"},"diff"}]}"#,
        "`commit` put the version, `end` says what ended it: `null` if nothing did, `by` is `null` if it was deleted. `diff` is to the version before, with `--diff`.",
    ),
    (
        "replay",
        r#"{"v":1,"commit":{"id","time","branch","message","folder","added","superseded","deleted"}}
{"v":1,"search":{"id","time","asked_at","request":{"..."},"as_of","mode","total","total_relation","hits":[{"frame_id","score"}],"again":{"as_of","mode","total","total_relation","hits":[{"rank","frame_id","uri","score"}]},"error":{"kind","message"},"same","approximate","differences":[{"change","frame_id","uri","by","rank_then","rank_now","then","now"}]}}
{"v":1,"summary":{"commits","searches","different","failed"}}"#,
        "A line for each step, and one at the end. `branch` is `null` for a commit that moved a branch or tag, or names a purge. `id` and `time` of a search are those of the commit that noted it down, `asked_at` is when it was asked; `request` has the names of the flags, without what is at its default. `again` is what it finds now, or `null`, and then `error` says why. `change` is `missing`, `new`, `version` (`by` is the frame that is found), `moved`, `score`, `mode` or `total`; `then` and `now` belong to the last three. `approximate` says that the search may go along a graph of vectors.",
    ),
    (
        "audit",
        r#"{"v":1,"query","mode","as_of","hits":[{"rank","frame_id","uri","title","text","score","timestamp","commit","known_since","versions":[{"frame_id","commit","time","end":{"commit","time","by"},"rank","text"}]}]}"#,
        "A query that could not be read as such adds `warning`. `known_since` is the time of `commit`, which put this version; `versions` are all under its uri, oldest first. `rank` of a version is where the query found it at its `commit`, `null` if not among the first 100. `end` says what ended it: `null` if nothing did, `by` is `null` if it was deleted.",
    ),
    (
        "branch",
        r#"{"v":1,"branches":[{"name","head","base","checked_out","time"}]}"#,
        "`head` is its newest commit, `time` that one's, `base` the commit that it began at. `create`, `delete` and `rename` print \
         `{\"v\":1,\"commit\":{\"id\",\"time\"},\"action\",\"name\",\"at\",\"was\"}`: `action` is `created`, `deleted` or `renamed`, `at` the \
         commit of what was created, `was` the name before.",
    ),
    (
        "tag",
        r#"{"v":1,"tags":[{"name","commit","time"}]}"#,
        "`time` is that of the commit. `create`, `delete` and `rename` print the same as those of `mv2 branch`.",
    ),
    (
        "checkout",
        r#"{"v":1,"commit":{"id","time"},"branch","head"}"#,
        "`commit` is `null` if the branch was checked out already.",
    ),
    (
        "merge",
        r#"{"v":1,"commit":{"id","time"},"branch","merged","frames","conflicts":[]}"#,
        "`frames` became visible on `branch`; `conflicts` are uris that both sides had changed. `commit` is `null` if there was nothing to \
         bring. A conflict is the error `merge_conflict`, with the list `uris` beside `hint`.",
    ),
    (
        "rewind",
        r#"{"v":1,"commit":{"id","time"},"branch","to","was"}"#,
        "`to` is the commit whose state it is now, `was` the newest one before.",
    ),
    (
        "stats",
        r#"{"v":1,"as_of","branch","frames","frames_total","purged","commits","payload_bytes","file_bytes","live_bytes","dead_bytes","wal_bytes","wal_used_bytes","tail_frames","embedder","segments":{"..."},"sealed","advice"}"#,
        "`frames` are the visible ones, of `purged` ones nothing is left. What is said of the file is of the file as it is now. `embedder` names what made the vectors, `null` if there are none. `segments` counts live segments by kind. `advice` is `vacuum` or `null`.",
    ),
    (
        "verify",
        r#"{"v":1,"ok","bytes_checked","problems":[{"offset","what","frames":[first,end]}]}"#,
        "`offset` and `frames` are `null` where the damage has no one place or touches no frame.",
    ),
    (
        "reembed",
        r#"{"v":1,"commit":{"id","time"},"embedder","frames"}"#,
        "`frames` documents got vectors; `commit` is `null` if all had theirs.",
    ),
    (
        "optimize",
        r#"{"v":1,"path","bytes_before","bytes_after","segments_before","segments_after"}"#,
        "",
    ),
    (
        "vacuum",
        r#"{"v":1,"path","bytes_before","bytes_after"}"#,
        "`path` is the file that was written.",
    ),
    (
        "purge",
        r#"{"v":1,"path","commit":{"id","time"},"frames":[{"frame_id","uri","title","commit","bytes","visible","same_content","other_versions"}],"bytes_before","bytes_after"}"#,
        "`commit` and the lengths are `null` if nothing was purged, as with `--dry-run`. `same_content` is a frame that stays and has the same document, \
         `other_versions` counts frames that stay and had the same uri.",
    ),
    ("seal", r#"{"v":1,"path","bytes_before","bytes_after"}"#, ""),
    (
        "unseal",
        r#"{"v":1,"path","bytes_before","bytes_after"}"#,
        "",
    ),
    (
        "backup",
        r#"{"v":1,"path","commit","bytes_before","bytes_after"}"#,
        "`path` is the copy, `commit` the newest commit in it.",
    ),
    (
        "models",
        r#"{"v":1,"models":[{"name","repo","about","dims","max_tokens","bytes","path","revision","usable"}]}"#,
        "All models of the list, or the one that was asked for. `path` and `revision` are `null` if it is not on this \
         machine, `usable` says whether this build can run it. What is not known of a model is `null`.",
    ),
];

const HEAD: &str = "\
# The command

<!-- Made by `cargo xtask codegen` from crates/mv2-cli/src/cli.rs. Change that, not this. -->

Every command and flag of `mv2`. The words are those of the [glossary](glossary.md); how the command behaves
as a whole is in [its README](../crates/mv2-cli/README.md). Flags may stand before or behind the arguments;
`--` ends them.
";

const JSON_HEAD: &str = "\
With `--json` a command prints one object, `put` one per line and commit, each with `\"v\":1`. Fields may be added
within a version; none is renamed, removed or given another meaning. Times are RFC 3339 in UTC. A field without a
value is `null`. `as_of` is the commit that was read, `branch` the branch that it was read on. Below, a name without a value stands for a field whose value is plain.

An error is `{\"error\":{\"kind\",\"message\",\"hint\"}}` on standard error, and a line or file of an import that was
skipped `{\"skipped\":{\"source\",\"line\",\"kind\",\"message\"}}`.
";

pub(super) fn run(args: &GenerateArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let mut command = Cli::command();
    command.build();
    match args.page {
        Page::Markdown => output.bytes(markdown(&command).as_bytes())?,
        Page::Man => output.bytes(&man(&command)?)?,
    }
    Ok(Exit::Done)
}

/// The commands that `--help` lists, in its order.
fn commands(root: &Command) -> impl Iterator<Item = &Command> {
    root.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn markdown(root: &Command) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n| command | what it does |\n|---|---|\n");
    for sub in commands(root) {
        let (name, about) = (sub.get_name(), about(sub));
        let _ = writeln!(
            page,
            "| [{name}](#mv2-{name}) | {} |",
            about.trim_end_matches('.')
        );
    }
    let _ = write!(page, "\n```text\n{}\n```\n", dedent(EXAMPLES));
    page.push_str("\n## Everywhere\n\n");
    for arg in root.get_arguments() {
        item(&mut page, arg);
    }
    let _ = write!(page, "\n{EXIT_CODES}\n\n## JSON\n\n{JSON_HEAD}");
    for sub in commands(root) {
        section(&mut page, sub);
    }
    page
}

/// The examples without their headline and indentation.
fn dedent(examples: &str) -> String {
    let lines = examples.lines().skip(1).map(str::trim_start);
    lines.collect::<Vec<_>>().join("\n")
}

fn section(page: &mut String, sub: &Command) {
    let name = sub.get_name();
    let usage = sub.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let _ = write!(
        page,
        "\n## mv2 {name}\n\n{}\n\n```text\n{usage}\n```\n",
        about(sub)
    );
    let own = |arg: &&Arg| !arg.is_global_set() && !arg.is_hide_set() && arg.get_id() != "help";
    let (arguments, options): (Vec<&Arg>, Vec<&Arg>) = sub
        .get_arguments()
        .filter(own)
        .partition(|arg| arg.is_positional());
    for (title, args) in [("Arguments", arguments), ("Options", options)] {
        if !args.is_empty() {
            let _ = write!(page, "\n{title}:\n\n");
        }
        for arg in args {
            item(page, arg);
        }
    }
    if let Some(more) = sub.get_after_long_help().or(sub.get_after_help()) {
        let _ = write!(page, "\n{}\n", escape(more.to_string().trim()));
    }
    if let Some((_, shape, remark)) = JSON.iter().find(|(command, ..)| *command == name) {
        let _ = write!(page, "\nWith `--json`:\n\n```text\n{}\n```\n", wrap(shape));
        if !remark.is_empty() {
            let _ = write!(page, "\n{remark}\n");
        }
    }
}

fn about(command: &Command) -> String {
    let about = command.get_long_about().or(command.get_about());
    sentence(&about.map(ToString::to_string).unwrap_or_default())
}

/// An argument or flag, as an item of a list.
fn item(page: &mut String, arg: &Arg) {
    let short = arg
        .get_short()
        .map(|c| format!("-{c}, "))
        .unwrap_or_default();
    let help = arg.get_long_help().or(arg.get_help());
    let help = sentence(&help.map(ToString::to_string).unwrap_or_default());
    let _ = write!(page, "* `{short}{arg}`: {}", help.replace("\n\n", "\n\n  "));
    if arg.get_action().takes_values() {
        if let [default] = arg.get_default_values() {
            let _ = write!(page, " Default: `{}`.", default.display());
        }
        let shown = arg.get_possible_values();
        let values = shown.iter().filter(|value| !value.is_hide_set());
        let values: Vec<String> = values
            .map(|value| match value.get_help() {
                Some(help) => format!("`{}` ({help})", value.get_name()),
                None => format!("`{}`", value.get_name()),
            })
            .collect();
        if !values.is_empty() && !arg.is_hide_possible_values_set() {
            let _ = write!(page, " Values: {}.", values.join(", "));
        }
    }
    page.push('\n');
}

/// Help as sentences of Markdown, each paragraph ended.
fn sentence(help: &str) -> String {
    let paragraphs = help.trim().split("\n\n").map(|paragraph| {
        let text = escape(paragraph.trim());
        match text.chars().next_back() {
            None | Some('.' | ':' | '!' | '?') => text,
            Some(_) => text + ".",
        }
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// Keeps what Markdown would take for marks, outside of code.
fn escape(text: &str) -> String {
    let pieces = text.split('`').enumerate().map(|(index, piece)| {
        if index % 2 == 0 {
            piece.replace('*', "\\*").replace('<', "\\<")
        } else {
            piece.to_owned()
        }
    });
    pieces.collect::<Vec<_>>().join("`")
}

/// Breaks a long line of JSON behind commas.
fn wrap(json: &str) -> String {
    const WIDTH: usize = 100;
    let mut lines = vec![String::new()];
    for piece in json.split_inclusive(',') {
        match lines.last_mut() {
            Some(line) if line.is_empty() || line.len() + piece.len() <= WIDTH => {
                line.push_str(piece)
            }
            _ => lines.push(format!(" {piece}")),
        }
    }
    lines.join("\n")
}

/// One page for the whole command, with a section for each of its commands.
fn man(root: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let whole = Man::new(root.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    for sub in commands(root) {
        let mut heading = Roff::new();
        heading.control("SH", [format!("mv2 {}", sub.get_name()).as_str()]);
        heading.text([roman(about_plain(sub))]);
        heading.to_writer(&mut page)?;
        let part = Man::new(sub.clone().mut_args(|arg| {
            let everywhere = arg.is_global_set() || arg.get_id() == "help";
            arg.hide(everywhere)
        }));
        let mut text = Vec::new();
        part.render_synopsis_section(&mut text)?;
        if sub
            .get_arguments()
            .any(|arg| !arg.is_global_set() && arg.get_id() != "help")
        {
            part.render_options_section(&mut text)?;
        }
        if sub.get_after_long_help().or(sub.get_after_help()).is_some() {
            part.render_extra_section(&mut text)?;
        }
        // Sections of a command's own page are parts of a section here.
        let text = String::from_utf8_lossy(&text);
        for line in text.lines() {
            let line = match line.strip_prefix(".SH ") {
                Some("EXTRA") => ".SS NOTES".to_owned(),
                Some(title) => format!(".SS {title}"),
                None => line.to_owned(),
            };
            page.extend_from_slice(line.as_bytes());
            page.push(b'\n');
        }
    }
    let mut end = Roff::new();
    end.control("SH", ["EXAMPLES"]);
    end.control("nf", []);
    for line in dedent(EXAMPLES).lines() {
        end.text([roman(line)]);
    }
    end.control("fi", []);
    end.control("SH", ["EXIT STATUS"]);
    end.text([roman(EXIT_CODES.trim_start_matches("Exit codes: "))]);
    end.to_writer(&mut page)?;
    whole.render_version_section(&mut page)?;
    Ok(page)
}

fn about_plain(command: &Command) -> String {
    let about = command.get_long_about().or(command.get_about());
    about.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stay_marks_in_code_only() {
        assert_eq!(escape("a* `b*` <c>"), "a\\* `b*` \\<c>");
        assert_eq!(sentence("Oldest first"), "Oldest first.");
        assert_eq!(sentence("One\n\nTwo."), "One.\n\nTwo.");
        assert_eq!(sentence(""), "");
    }

    #[test]
    fn json_is_broken_behind_commas() {
        let long = format!("{{{}}}", ["\"name\""; 40].join(","));
        let wrapped = wrap(&long);
        assert!(wrapped.lines().all(|line| line.len() <= 101), "{wrapped}");
        assert_eq!(wrapped.replace("\n ", ""), long);
    }

    #[test]
    fn each_command_says_what_its_json_is() {
        const WITHOUT: &[&str] = &["completions", "help"];
        let root = Cli::command();
        let names = commands(&root).map(Command::get_name);
        let expected: Vec<&str> = names.filter(|name| !WITHOUT.contains(name)).collect();
        let described: Vec<&str> = JSON.iter().map(|(name, ..)| *name).collect();
        assert_eq!(described, expected);
    }
}
