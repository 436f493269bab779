//! `mv2 timeline` as a user runs it: order, ranges, cursors, exit codes, bad input.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

struct Dir(tempfile::TempDir);

impl Dir {
    /// A memory with a document on each day from 2024-05-01 to 2024-05-09, put in disorder.
    fn with_days() -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        let lines: String = (0..9)
            .map(|n| n * 4 % 9 + 1)
            .map(|day| {
                format!(
                    "{{\"text\":\"On day\\n{day} it rained.\",\"uri\":\"d{day}\",\"title\":\"Day {day}\",\
                     \"timestamp\":\"2024-05-0{day}T12:00:00Z\",\"tags\":{{\"day\":\"{day}\"}}}}\n"
                )
            })
            .collect();
        std::fs::write(dir.0.path().join("days.jsonl"), lines).unwrap();
        dir.ok(&["put", "m.mv2", "--jsonl", "days.jsonl"]);
        dir
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mv2"));
        for name in ["NO_COLOR", "COLUMNS", "TERM"] {
            command.env_remove(name);
        }
        command
            .current_dir(self.path())
            .args(args)
            .output()
            .unwrap()
    }

    fn ok(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?} {output:?}");
        output
    }

    fn timeline(&self, args: &[&str]) -> Value {
        let args = [&["timeline", "m.mv2", "--json"], args].concat();
        serde_json::from_slice(&self.ok(&args).stdout).unwrap()
    }

    /// The error of a call that has to fail with exit code 2.
    fn error(&self, args: &[&str]) -> Value {
        let args = [&["timeline", "m.mv2", "--json"], args].concat();
        let output = self.run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?} {output:?}");
        assert!(output.stdout.is_empty());
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        error["error"].clone()
    }
}

fn uris(timeline: &Value) -> Vec<&str> {
    let frames = timeline["frames"].as_array().unwrap();
    frames
        .iter()
        .map(|frame| frame["uri"].as_str().unwrap())
        .collect()
}

#[test]
fn the_newest_come_first_and_reverse_turns_that_round() {
    let dir = Dir::with_days();
    let newest = dir.timeline(&["--limit", "3"]);
    assert_eq!(newest["v"], 1);
    assert_eq!(uris(&newest), ["d9", "d8", "d7"]);
    let frame = &newest["frames"][0];
    assert_eq!(frame["timestamp"], "2024-05-09T12:00:00.000000Z");
    assert_eq!(frame["title"], "Day 9");
    assert_eq!(frame["preview"], "On day 9 it rained.");
    assert_eq!(frame["tags"]["day"], "9");
    assert_eq!(frame["commit"], 1);
    let oldest = dir.timeline(&["--limit", "3", "--reverse"]);
    assert_eq!(uris(&oldest), ["d1", "d2", "d3"]);
    let all = dir.timeline(&[]);
    assert_eq!(uris(&all).len(), 9);
    assert_eq!(all["next_cursor"], Value::Null);
}

#[test]
fn days_are_whole_and_both_ends_belong() {
    let dir = Dir::with_days();
    let days = dir.timeline(&["--since", "2024-05-03", "--until", "2024-05-04"]);
    assert_eq!(uris(&days), ["d4", "d3"]);
    assert_eq!(days["since"], "2024-05-03T00:00:00.000000Z");
    assert_eq!(days["until"], "2024-05-04T23:59:59.999999Z");
    let moment = "2024-05-03T14:00:00+02:00";
    let days = dir.timeline(&["--since", moment, "--until", "@1714737600"]);
    assert_eq!(uris(&days), ["d3"]);
    assert_eq!(
        uris(&dir.timeline(&["--since", "2024", "--until", "2024-05"])).len(),
        9
    );
}

#[test]
fn a_cursor_leads_through_everything_once_also_when_since_is_relative() {
    let dir = Dir::with_days();
    for range in [
        &[][..],
        &["--since", "999 weeks ago"],
        &["--until", "now", "--reverse"],
    ] {
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut args = [range, &["--limit", "4"]].concat();
            if let Some(cursor) = &cursor {
                args.extend(["--cursor", cursor]);
            }
            let page = dir.timeline(&args);
            seen.extend(uris(&page).into_iter().map(str::to_owned));
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 9, "{range:?}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 9, "{range:?}");
    }
}

#[test]
fn a_search_and_a_context_keep_to_the_same_times() {
    let dir = Dir::with_days();
    let uris = |args: &[&str], list: &str| -> Vec<String> {
        let output = dir.ok(&[args, &["--json"]].concat());
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let items = answer[list].as_array().unwrap().iter();
        let mut uris: Vec<_> = items
            .map(|item| item["uri"].as_str().unwrap().to_owned())
            .collect();
        uris.sort();
        uris
    };
    let search = ["search", "m.mv2", "rained"];
    let range = ["--since", "2024-05-03", "--until", "2024-05-04"];
    assert_eq!(uris(&[&search[..], &range].concat(), "hits"), ["d3", "d4"]);
    assert_eq!(
        uris(
            &["search", "m.mv2", "rained date:[2024-05-03 TO 2024-05-04]"],
            "hits"
        ),
        ["d3", "d4"]
    );
    let context = ["context", "m.mv2", "rained"];
    assert_eq!(
        uris(&[&context[..], &range].concat(), "passages"),
        ["d3", "d4"]
    );
    let never = ["--since", "2024-05-04", "--until", "2024-05-03", "--json"];
    for (args, kind) in [
        ([&search[..], &never].concat(), "invalid_range"),
        ([&context[..], &never].concat(), "invalid_range"),
        (
            [&search[..], &["--since", "2024-5-4", "--json"]].concat(),
            "invalid_time",
        ),
    ] {
        let output = dir.run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["kind"], kind, "{args:?}");
    }
    // Pages of a search whose first day was "so long ago" then.
    let mut seen = Vec::new();
    let mut cursor = None::<String>;
    loop {
        let mut args = [
            &search[..],
            &["--since", "999 weeks ago", "-k", "4", "--json"],
        ]
        .concat();
        if let Some(cursor) = &cursor {
            args.extend(["--cursor", cursor]);
        }
        let page: Value = serde_json::from_slice(&dir.ok(&args).stdout).unwrap();
        seen.extend(
            page["hits"]
                .as_array()
                .unwrap()
                .iter()
                .map(|hit| hit["uri"].to_string()),
        );
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 9);
}

#[test]
fn nothing_found_is_exit_code_1() {
    let dir = Dir::with_days();
    let output = dir.run(&["timeline", "m.mv2", "--until", "2023", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let timeline: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(uris(&timeline).is_empty());
    let output = dir.run(&["timeline", "m.mv2", "--since", "2h ago"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("nothing")
    );
}

#[test]
fn a_person_sees_time_title_uri_and_the_start_of_the_text() {
    let dir = Dir::with_days();
    let output = dir.ok(&["timeline", "m.mv2", "--limit", "1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        "2024-05-09 12:00:00  Day 9\n   d9 · frame 2\n   On day 9 it rained.\n"
    );
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.starts_with("more with --cursor "), "{message}");
}

#[test]
fn what_makes_no_sense_is_an_error_that_says_what_to_do() {
    let dir = Dir::with_days();
    let error = dir.error(&["--since", "2024-05-04", "--until", "2024-05-03"]);
    assert_eq!(error["kind"], "invalid_range");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("2024-05-04T00:00:00") && message.contains("2024-05-03T23:59:59"));

    for (text, suggestion) in [
        ("2024-5-4", "\"2024-05-04\""),
        ("yesteday", "\"yesterday\""),
        ("2h", "\"2h ago\""),
        ("-2h", "\"2h ago\""),
        ("1714737600", "\"@1714737600\""),
        ("2024-13-01", "RFC 3339"),
        ("", "RFC 3339"),
    ] {
        let error = dir.error(&["--since", text]);
        assert_eq!(error["kind"], "invalid_time", "{text}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(suggestion), "{message}");
    }

    assert_eq!(dir.error(&["--cursor", "abc"])["kind"], "invalid_cursor");
    let page = dir.timeline(&["--limit", "2", "--since", "2024"]);
    let cursor = page["next_cursor"].as_str().unwrap();
    for args in [
        &["--since", "2023"][..],
        &[],
        &["--since", "2024", "--reverse"],
    ] {
        let error = dir.error(&[args, &["--cursor", cursor]].concat());
        assert_eq!(error["kind"], "invalid_cursor");
        assert!(error["hint"].as_str().unwrap().contains("repeat"));
    }
    assert_eq!(dir.error(&["--limit", "0"])["kind"], "usage");
}
