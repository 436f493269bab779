//! What each command prints, text and JSON, as files under `snapshots/` that a reviewer reads.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test -p mv2-cli --test snapshots`, then read the difference.
//! Times of the clock, scores, sizes of files, durations and the test's folder are blotted out; what the documents say of
//! themselves stays, all of it in the year 2024.

mod common;

use std::fmt::Write as _;

use common::{Dir, Run};
use serde_json::Value;

const FILTERS: &[(&str, &str)] = &[
    // Commits happen after 2024.
    (
        r"20(2[5-9]|[3-9]\d)-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?",
        "[now]",
    ),
    (r#""took_ms": [\d.e-]+"#, r#""took_ms": "[ms]""#),
    (r#""score": [\d.e-]+"#, r#""score": "[score]""#),
    (
        r#""(file_bytes|live_bytes|dead_bytes|bytes_checked|bytes_before|bytes_after|wal_used_bytes)": \d+"#,
        r#""$1": "[bytes]""#,
    ),
    (r"\d+ documents? in [\d.]+ m?s", "[count] in [duration]"),
    (r"\d+\.\d+ (KiB|MiB)", "[size]"),
    (r"\d+ bytes dead", "[size] dead"),
    // Scores stand at the end of a line, flush right.
    (r"(?m) +\d+\.\d\d$", "  [score]"),
    (r"\. with \d\.\d+", ". with [score]"),
    (r"offset \d+", "offset [bytes]"),
    (r#""next_cursor": "[^"]+""#, r#""next_cursor": "[cursor]""#),
    (r"--cursor \S+", "--cursor [cursor]"),
];

/// A memory whose documents have times of their own.
fn memory() -> Dir {
    let dir = Dir::new();
    dir.write(
        "in.jsonl",
        concat!(
            r##"{"uri":"todo/heating.md","title":"Heating","text":"# Heating\n\nThe heating in the cellar was repaired. The plumber says that the pump has to be replaced before next winter, and that he will send an estimate.","timestamp":"2024-03-01T08:30:00Z","tags":{"house":"yes","cost":"120"},"labels":["home"],"metadata":{"by":"Ada"}}"##,
            "\n",
            r##"{"uri":"会議/東京.md","text":"東京で会議。来年度の予算と採用計画を決める。","timestamp":"2024-03-02","kind":"minutes","track":"work"}"##,
            "\n",
            r##"{"uri":"pump.txt","text":"Estimate for the pump of the heating: 480 euros.","timestamp":"2024-04-05T10:00:00Z"}"##,
            "\n",
        ),
    );
    dir.mv2(&[
        "put",
        "m.mv2",
        "--jsonl",
        "in.jsonl",
        "--message",
        "first notes",
    ])
    .ok();
    dir.write(
        "new.txt",
        "Estimate for the pump of the heating: 450 euros.",
    );
    dir.mv2(&[
        "update",
        "m.mv2",
        "pump.txt",
        "new.txt",
        "--timestamp",
        "2024-04-06",
    ])
    .ok();
    dir
}

/// What runs print, one after the other, each as it would stand in a terminal.
struct Transcript<'a> {
    dir: &'a Dir,
    text: String,
}

impl<'a> Transcript<'a> {
    fn new(dir: &'a Dir) -> Self {
        let text = String::new();
        Self { dir, text }
    }

    fn run(&mut self, args: &[&str]) -> &mut Self {
        self.run_at(None, args)
    }

    /// The same with 80 and with 40 columns.
    fn wide_and_narrow(&mut self, args: &[&str]) -> &mut Self {
        self.run_at(Some(80), args).run_at(Some(40), args)
    }

    fn json(&mut self, args: &[&str]) -> &mut Self {
        self.run(&[args, &["--json"]].concat())
    }

    fn run_at(&mut self, columns: Option<u32>, args: &[&str]) -> &mut Self {
        let mut command = self.dir.command(args);
        let mut at = String::new();
        if let Some(columns) = columns {
            command.env("COLUMNS", columns.to_string());
            at = format!("COLUMNS={columns} ");
        }
        let run = Run::new(args, command.output().unwrap());
        let quoted: Vec<String> = args
            .iter()
            .map(|arg| match arg.contains([' ', '"', '*']) {
                true => format!("'{arg}'"),
                false => (*arg).to_owned(),
            })
            .collect();
        let code = match run.code {
            Some(0) => String::new(),
            code => format!("   # exit code {}", code.unwrap()),
        };
        writeln!(self.text, "$ {at}mv2 {}{code}", quoted.join(" ")).unwrap();
        for (mark, stream) in [("", run.stdout()), ("! ", &run.stderr)] {
            for line in stream.lines() {
                for line in pretty(line).split('\n') {
                    let line = format!("{mark}{line}");
                    writeln!(self.text, "{}", line.trim_end()).unwrap();
                }
            }
        }
        self.text.push('\n');
        self
    }

    fn check(&self, name: &str) {
        let folder = self.dir.path(".").canonicalize().unwrap();
        let text = self.text.replace(folder.to_str().unwrap(), "[folder]");
        let mut settings = insta::Settings::clone_current();
        for (pattern, replacement) in FILTERS {
            settings.add_filter(pattern, *replacement);
        }
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name, text));
    }
}

/// A line of JSON on many lines, so that a difference is easy to see; another line as it is.
fn pretty(line: &str) -> String {
    match serde_json::from_str::<Value>(line) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => {
            serde_json::to_string_pretty(&value).unwrap()
        }
        _ => line.to_owned(),
    }
}

#[test]
fn create() {
    let dir = Dir::new();
    Transcript::new(&dir)
        .run(&["create", "m.mv2"])
        .run(&["create", "m.mv2"])
        .json(&["create", "m.mv2"])
        .json(&["create", "n.mv2", "--wal-bytes", "64K"])
        .check("create");
}

#[test]
fn put() {
    let dir = Dir::new();
    dir.write("notes/a.md", "# Winter\n\nThe heating was repaired.\n");
    dir.write("notes/b/page.html", "<title>Pump</title><p>480 euros</p>");
    dir.write("one.txt", "one");
    dir.write(
        "bad.jsonl",
        "{\"text\":\"good\",\"mood\":1}\nbad\n{\"text\":1}\n",
    );
    let mut transcript = Transcript::new(&dir);
    transcript
        .run(&["put", "m.mv2", "one.txt"])
        .run(&["put", "m.mv2", "one.txt"])
        .json(&["put", "m.mv2", "one.txt", "--title", "One", "--tag", "n=1"])
        .json(&["put", "m.mv2", "notes"])
        .run(&["put", "m.mv2", "missing.txt"])
        .run(&["put", "m.mv2", "--jsonl", "bad.jsonl"])
        .json(&["put", "m.mv2", "--jsonl", "bad.jsonl"])
        .run(&["put", "m.mv2", "--jsonl", "bad.jsonl", "--strict"]);
    std::fs::remove_file(dir.path("notes/a.md")).unwrap();
    transcript
        .run(&["put", "m.mv2", "notes", "--prune", "--dry-run"])
        .json(&["put", "m.mv2", "notes", "--prune", "--dry-run"])
        .run(&["put", "m.mv2", "notes", "--prune"])
        .check("put");
}

#[test]
fn purge() {
    let dir = memory();
    let copy = "Estimate for the pump of the heating: 450 euros.";
    dir.write("copy.txt", copy);
    dir.mv2(&["put", "m.mv2", "copy.txt", "--timestamp", "2024-05-01"])
        .ok();
    Transcript::new(&dir)
        .run(&["purge", "m.mv2"])
        .run(&["purge", "m.mv2", "--uri", "pump.txt"])
        .json(&["purge", "m.mv2", "--uri", "pump.txt"])
        .run(&["purge", "m.mv2", "--uri", "pump.txt", "--dry-run"])
        .json(&["purge", "m.mv2", "--id", "2", "--dry-run"])
        .run(&["purge", "m.mv2", "--uri", "nothing.md", "--yes"])
        .json(&["purge", "m.mv2", "--uri", "nothing.md", "--yes"])
        .run(&["purge", "m.mv2", "--id", "99", "--yes"])
        .run(&["purge", "m.mv2", "--before", "2", "--yes"])
        .run(&["purge", "m.mv2", "--uri", "pump.txt", "--yes"])
        .json(&[
            "purge",
            "m.mv2",
            "--tag",
            "house=yes",
            "--until",
            "2024-03-01",
            "--yes",
        ])
        .run(&["get", "m.mv2", "2"])
        .json(&["get", "m.mv2", "2"])
        .run(&["get", "m.mv2", "pump.txt", "--as-of", "1"])
        .run(&["search", "m.mv2", "pump"])
        .run(&["search", "m.mv2", "heating", "--as-of", "1"])
        .run(&["log", "m.mv2", "--frames"])
        .run(&["diff", "m.mv2", "1", "head"])
        .run(&["history", "m.mv2", "pump.txt"])
        .run(&["stats", "m.mv2"])
        .run(&["verify", "m.mv2", "--deep"])
        .check("purge");
}

#[test]
fn search() {
    let dir = memory();
    Transcript::new(&dir)
        .wide_and_narrow(&["search", "m.mv2", "heating pump"])
        .wide_and_narrow(&["search", "m.mv2", "会議"])
        .run(&["search", "m.mv2", "heating", "-k", "1", "--count"])
        .run(&["search", "m.mv2", "heating", "--ids-only"])
        .run(&["search", "m.mv2", "heating", "--explain"])
        .run(&["search", "m.mv2", "zeppelin"])
        .run(&["search", "m.mv2", "\"not closed"])
        .json(&["search", "m.mv2", "pump", "--explain"])
        .json(&["search", "m.mv2", "会議", "--kind", "minutes"])
        .json(&["search", "m.mv2", "zeppelin"])
        .json(&["search", "m.mv2", "pump", "--cursor", "abc"])
        .check("search");
}

#[test]
fn context() {
    let dir = memory();
    Transcript::new(&dir)
        .wide_and_narrow(&["context", "m.mv2", "what does the pump cost"])
        .run(&["context", "m.mv2", "pump", "--max-tokens", "20"])
        .run(&["context", "m.mv2", "zeppelin"])
        .json(&["context", "m.mv2", "会議"])
        .check("context");
}

#[test]
fn timeline() {
    let dir = memory();
    Transcript::new(&dir)
        .wide_and_narrow(&["timeline", "m.mv2"])
        .run(&["timeline", "m.mv2", "--limit", "1"])
        .run(&["timeline", "m.mv2", "--since", "2030"])
        .run(&[
            "timeline", "m.mv2", "--since", "2024-05", "--until", "2024-04",
        ])
        .run(&["timeline", "m.mv2", "--since", "yesteday"])
        .json(&["timeline", "m.mv2", "--since", "2024-03-02", "--reverse"])
        .check("timeline");
}

#[test]
fn get() {
    let dir = memory();
    Transcript::new(&dir)
        .wide_and_narrow(&["get", "m.mv2", "todo/heating.md"])
        .run(&["get", "m.mv2", "3", "--raw"])
        .run(&["get", "m.mv2", "2"])
        .run(&["get", "m.mv2", "99"])
        .json(&["get", "m.mv2", "todo/heating.md"])
        .json(&["get", "m.mv2", "nowhere"])
        .check("get");
}

#[test]
fn update() {
    let dir = memory();
    Transcript::new(&dir)
        .run(&["update", "m.mv2", "todo/heating.md", "--title", "Repair"])
        .run(&["update", "m.mv2", "nowhere", "new.txt"])
        .run(&["update", "m.mv2", "2", "new.txt"])
        .json(&["update", "m.mv2", "todo/heating.md", "new.txt"])
        .check("update");
}

#[test]
fn delete() {
    let dir = memory();
    Transcript::new(&dir)
        .run(&["delete", "m.mv2", "todo/heating.md"])
        .run(&["delete", "m.mv2", "todo/heating.md"])
        .json(&["delete", "m.mv2", "1", "pump.txt"])
        .json(&["delete", "m.mv2", "1"])
        .check("delete");
}

#[test]
fn log() {
    let dir = memory();
    dir.mv2(&["delete", "m.mv2", "0"]).ok();
    Transcript::new(&dir)
        .wide_and_narrow(&["log", "m.mv2"])
        .run(&["log", "m.mv2", "--limit", "1"])
        .run(&["log", "m.mv2", "--frames"])
        .json(&["log", "m.mv2"])
        .json(&["log", "m.mv2", "--frames", "--limit", "2"])
        .check("log");
}

#[test]
fn branches_and_tags() {
    let dir = memory();
    Transcript::new(&dir)
        .run(&["branch", "m.mv2"])
        .run(&["branch", "m.mv2", "create", "draft"])
        .json(&["branch", "m.mv2", "create", "old", "1"])
        .run(&["branch", "m.mv2", "create", "draft"])
        .run(&["branch", "m.mv2", "create", "1st"])
        .run(&["branch", "m.mv2", "create", "new", "drfat"])
        .run(&["branch", "m.mv2", "create"])
        .run(&["branch", "m.mv2", "list", "draft"])
        .run(&["branch", "m.mv2", "rename", "old", "older"])
        .json(&["branch", "m.mv2", "delete", "older"])
        .run(&["branch", "m.mv2", "delete", "main"])
        .run(&["checkout", "m.mv2", "draft"])
        .run(&["checkout", "m.mv2", "draft"])
        .json(&["checkout", "m.mv2", "main"])
        .json(&["checkout", "m.mv2", "drafd"])
        .wide_and_narrow(&["branch", "m.mv2"])
        .json(&["branch", "m.mv2"])
        .run(&["tag", "m.mv2"])
        .run(&["tag", "m.mv2", "create", "v1", "~1"])
        .json(&["tag", "m.mv2", "create", "draft", "v1"])
        .run(&["tag", "m.mv2", "rename", "v1", "v1.0"])
        .run(&["tag", "m.mv2", "delete", "v1"])
        .run(&["tag", "m.mv2"])
        .json(&["tag", "m.mv2"])
        .run(&["get", "m.mv2", "pump.txt", "--as-of", "v1.0", "--raw"])
        .run(&["get", "m.mv2", "pump.txt", "--as-of", "draft"])
        .run(&["search", "m.mv2", "pump", "--as-of", "v2.0"])
        .run(&["search", "m.mv2", "pump", "--as-of", "1999"])
        .run(&["search", "m.mv2", "pump", "--as-of", "1999-12"])
        .run(&["search", "m.mv2", "pump", "--branch", "drafts"])
        .check("branches_and_tags");
}

#[test]
fn merge_rewind_and_graph() {
    let dir = memory();
    dir.write("kept.txt", "The boiler is older than the house.");
    dir.write("other.txt", "Estimate for the pump: 470 euros.");
    let on = |branch: &str, args: &[&str]| {
        dir.mv2(&[args, &["--branch", branch]].concat()).ok();
    };
    dir.mv2(&["branch", "m.mv2", "create", "draft"]).ok();
    on("draft", &["put", "m.mv2", "kept.txt"]);
    on("draft", &["update", "m.mv2", "pump.txt", "other.txt"]);
    on("main", &["delete", "m.mv2", "0", "--message", "sold"]);
    on("main", &["update", "m.mv2", "pump.txt", "kept.txt"]);
    Transcript::new(&dir)
        .run(&["search", "m.mv2", "boiler older", "--mode", "lex"])
        .json(&[
            "search",
            "m.mv2",
            "boiler older",
            "--mode",
            "lex",
            "--branch",
            "draft",
            "--ids-only",
        ])
        .run(&["diff", "m.mv2", "main", "draft"])
        .run(&["merge", "m.mv2", "draft"])
        .json(&["merge", "m.mv2", "draft"])
        .run(&[
            "merge",
            "m.mv2",
            "draft",
            "--theirs",
            "--message",
            "as drafted",
        ])
        .json(&["merge", "m.mv2", "draft"])
        .run(&["merge", "m.mv2", "main", "--branch", "draft", "--ours"])
        .run(&["merge", "m.mv2", "draf"])
        .run(&["rewind", "m.mv2", "1"])
        .json(&["rewind", "m.mv2", "~0"])
        .run(&["rewind", "m.mv2", "99"])
        .wide_and_narrow(&["log", "m.mv2", "--graph"])
        .run(&[
            "log", "m.mv2", "--graph", "--branch", "draft", "--limit", "3",
        ])
        .run(&["log", "m.mv2", "--branch", "draft"])
        .run(&["log", "m.mv2", "--all"])
        .json(&["log", "m.mv2", "--all", "--limit", "2"])
        .run(&["history", "m.mv2", "pump.txt", "--branch", "draft"])
        .check("merge_rewind_and_graph");
}

#[test]
fn diff_and_history() {
    let dir = memory();
    dir.mv2(&["delete", "m.mv2", "0"]).ok();
    Transcript::new(&dir)
        .run(&["diff", "m.mv2", "1"])
        .run(&["diff", "m.mv2", "1", "~1", "--stat"])
        .run(&["diff", "m.mv2", "0", "1"])
        .run(&["diff", "m.mv2", "3"])
        .json(&["diff", "m.mv2", "1"])
        .run(&["diff", "m.mv2", "4"])
        .run(&["diff", "m.mv2", "branch:x"])
        .run(&["history", "m.mv2", "pump.txt", "--diff"])
        .run(&["history", "m.mv2", "todo/heating.md"])
        .json(&["history", "m.mv2", "pump.txt", "--diff"])
        .run(&["history", "m.mv2", "nothing"])
        .run(&["search", "m.mv2", "pump", "--as-of", "2024-5-1"])
        .check("diff_and_history");
}

#[test]
fn replay_and_audit() {
    let dir = memory();
    dir.write(
        "pump.txt",
        "The pump of the heating was replaced for 450 euros.",
    );
    Transcript::new(&dir)
        .run(&["replay", "m.mv2"])
        .run(&[
            "search",
            "m.mv2",
            "estimate for the pump",
            "--mode",
            "lex",
            "--journal",
            "--ids-only",
        ])
        .run(&[
            "search",
            "m.mv2",
            "tag:house=yes winter",
            "--as-of",
            "1",
            "--journal",
            "--ids-only",
        ])
        .run(&["delete", "m.mv2", "todo/heating.md"])
        .run(&["put", "m.mv2", "pump.txt", "--message", "the pump is new"])
        .wide_and_narrow(&["replay", "m.mv2"])
        .wide_and_narrow(&["replay", "m.mv2", "2..2", "--at", "head"])
        .json(&["replay", "m.mv2", "3..4", "--at", "head"])
        .run(&["replay", "m.mv2", "5"])
        .run(&["replay", "m.mv2", "6..1"])
        .run(&["replay", "m.mv2", "..yesterdya"])
        .run(&["seal", "m.mv2"])
        .run(&["search", "m.mv2", "pump", "--journal"])
        .wide_and_narrow(&["audit", "m.mv2", "pump of the heating", "-k", "1"])
        .json(&[
            "audit",
            "m.mv2",
            "pump of the heating",
            "-k",
            "1",
            "--mode",
            "lex",
        ])
        .check("replay_and_audit");
}

#[test]
fn stats() {
    let dir = memory();
    Transcript::new(&dir)
        .wide_and_narrow(&["stats", "m.mv2"])
        .json(&["stats", "m.mv2"])
        .run(&["seal", "m.mv2"])
        .run(&["stats", "m.mv2"])
        .run(&["stats", "missing.mv2"])
        .check("stats");
}

#[test]
fn verify() {
    let dir = memory();
    dir.mv2(&["optimize", "m.mv2"]).ok();
    let mut bytes = std::fs::read(dir.path("m.mv2")).unwrap();
    let footer = bytes.len() - 4_000;
    bytes[footer] ^= 1;
    dir.write("bad.mv2", &bytes);
    dir.write("text.mv2", "no memory");
    Transcript::new(&dir)
        .run(&["verify", "m.mv2", "--deep"])
        .json(&["verify", "m.mv2"])
        .wide_and_narrow(&["verify", "bad.mv2"])
        .run(&["verify", "text.mv2"])
        .json(&["verify", "text.mv2"])
        .check("verify");
}

#[test]
fn reembed() {
    let dir = memory();
    dir.write("more.txt", "The boiler is older than the house.");
    dir.mv2(&["put", "m.mv2", "more.txt", "--no-embed"]).ok();
    dir.mv2(&["put", "words.mv2", "more.txt", "--no-embed"])
        .ok();
    let mut transcript = Transcript::new(&dir);
    transcript
        .run(&["reembed", "m.mv2"])
        .run(&["reembed", "m.mv2"])
        .json(&["reembed", "m.mv2"])
        .json(&["reembed", "words.mv2"])
        .run(&["reembed", "m.mv2", "--embedder", "no-such-model"])
        .run(&["reembed", "missing.mv2"])
        .check("reembed");
}

#[test]
fn rewrites() {
    let dir = memory();
    let mut transcript = Transcript::new(&dir);
    for command in ["optimize", "vacuum", "seal", "seal", "unseal", "unseal"] {
        transcript.run(&[command, "m.mv2"]);
    }
    transcript
        .run(&["vacuum", "m.mv2", "--to", "new.mv2"])
        .run(&["backup", "m.mv2", "copy.mv2"])
        .run(&["backup", "m.mv2", "copy.mv2"]);
    for command in ["optimize", "vacuum", "seal", "unseal"] {
        transcript.json(&[command, "m.mv2"]);
    }
    transcript
        .json(&["backup", "m.mv2", "copy2.mv2"])
        .run(&["seal", "m.mv2"])
        .run(&["delete", "m.mv2", "0"])
        .json(&["delete", "m.mv2", "0"])
        .check("rewrites");
}

#[test]
fn wrong_usage() {
    let dir = Dir::new();
    Transcript::new(&dir)
        .run(&["serach", "m.mv2"])
        .run(&["search", "m.mv2", "x", "-k", "many"])
        .run(&["search"])
        .json(&["search"])
        .run(&["completions", "tcl"])
        .check("wrong_usage");
}

/// The help of every command is compared with the reference elsewhere; here is how it is laid out.
#[test]
fn help() {
    let dir = Dir::new();
    Transcript::new(&dir)
        .run(&["-h"])
        .run(&["delete", "-h"])
        .check("help");
}
