//! The built `mv2` binary, run as a user runs it: exit codes, both streams, JSON names, bad input.
//!
//! Each test has a folder of its own; `dir.mv2(..)` runs the command in it.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use common::{Dir, Run, assert_keys, assert_time, statuses, uris};

/// A memory with three documents.
fn notes() -> Dir {
    let dir = Dir::new();
    let lines = [
        json!({"uri": "work/q4.md", "title": "Meeting notes", "text": "Planning for the fourth quarter: hire two people.",
               "timestamp": "2026-01-02T03:04:05Z", "tags": {"project": "alpha"}, "labels": ["work"], "kind": "note"}),
        json!({"uri": "home/list.md", "text": "Groceries: milk, eggs and planning the garden.", "tags": {"project": "home"}}),
        json!({"uri": "work/会議.md", "title": "会議メモ", "text": "東京で来週の会議を開きます。", "metadata": {"room": 3}}),
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    dir.mv2_with_input(
        &["put", "m.mv2", "--jsonl", "--message", "first notes"],
        lines,
    )
    .ok();
    dir
}

#[test]
fn create_makes_one_file_and_does_not_overwrite_it() {
    let dir = Dir::new();
    let created = dir
        .mv2(&["create", "m.mv2", "--json", "--wal-bytes", "64K"])
        .ok()
        .json();
    assert_keys(&created, &["v", "path", "file_bytes", "wal_bytes"]);
    assert_eq!(created["v"], 1);
    assert_eq!(created["wal_bytes"], 65_536);
    let before = fs::read(dir.path("m.mv2")).unwrap();
    let again = dir.mv2(&["create", "m.mv2", "--json"]).code(2);
    assert_eq!(again.error_kind(), "already_exists");
    assert_eq!(fs::read(dir.path("m.mv2")).unwrap(), before);
    assert_eq!(dir.names(), ["m.mv2"]);
    assert!(
        dir.mv2(&["create", "n.mv2"])
            .ok()
            .stdout()
            .starts_with("created n.mv2")
    );
}

#[test]
fn a_document_from_standard_input_comes_back_byte_for_byte() {
    let dir = Dir::new();
    for (id, payload) in [
        "plain\n",
        "\u{feff}with a mark\r\n",
        "日本語 and no line break",
    ]
    .iter()
    .enumerate()
    {
        let put = dir
            .mv2_with_input(&["put", "m.mv2", "-", "--json"], payload)
            .ok()
            .json();
        assert_keys(&put, &["v", "commit", "frames"]);
        assert_keys(&put["commit"], &["id", "time"]);
        assert_eq!(put["commit"]["id"], id + 1);
        assert_time(&put["commit"]["time"]);
        assert_eq!(
            put["frames"],
            json!([{"frame_id": id, "uri": null, "status": "added", "deduplicated": false}])
        );
        let raw = dir.mv2(&["get", "m.mv2", &id.to_string(), "--raw"]).ok();
        assert_eq!(raw.stdout, payload.as_bytes());
    }
    let marked = dir.mv2(&["get", "m.mv2", "1", "--json"]).ok().json();
    assert_eq!(marked["text"], "with a mark\r\n");
    assert_eq!(dir.names(), ["m.mv2"]);
}

#[test]
fn a_put_with_nothing_to_read_is_an_oversight_and_a_dash_takes_it() {
    let dir = Dir::new();
    let run = dir.mv2(&["put", "m.mv2", "--json"]).code(2);
    assert_eq!(run.error_kind(), "usage");
    assert!(dir.names().is_empty());
    dir.mv2_with_input(&["put", "m.mv2"], "piped").ok();
    dir.mv2_with_input(&["put", "m.mv2", "-", "--uri", "empty"], "")
        .ok();
    let empty = dir.mv2(&["get", "m.mv2", "empty", "--json"]).ok().json();
    assert_eq!(empty["text"], "");
    assert_eq!(empty["bytes"], 0);
    assert_eq!(
        dir.mv2(&["get", "m.mv2", "empty", "--raw"]).ok().stdout,
        b""
    );
}

#[test]
fn a_folder_is_imported_as_its_ignore_files_say_and_again_only_where_it_changed() {
    let dir = Dir::new();
    dir.write("notes/a.md", "# First\n\ntext");
    dir.write("notes/deep/b.txt", "plain");
    dir.write("notes/deep/c.rs", "// code");
    dir.write("notes/skip.log", "noise");
    dir.write("notes/.gitignore", "*.log\n");
    dir.write("notes/.hidden", "secret");
    dir.write("notes/.git/config", "git");
    dir.write("notes/other.mv2", "another memory");
    let put = || {
        dir.mv2(&[
            "put",
            "notes/m.mv2",
            "notes",
            "--json",
            "--tag",
            "from=test",
        ])
        .ok()
    };
    let first = put();
    assert!(
        first.stderr.contains("left out 1 memory files"),
        "{}",
        first.stderr
    );
    let first = first.json();
    let pairs = |status: &str| {
        ["a.md", "deep/b.txt", "deep/c.rs"].map(|uri| (uri.to_owned(), status.to_owned()))
    };
    assert_eq!(statuses(&first), pairs("added"));

    let second = put().json();
    assert_eq!(second["commit"], Value::Null);
    assert_eq!(statuses(&second), pairs("unchanged"));

    dir.write("notes/deep/b.txt", "changed");
    let third = put().json();
    let mut expected = pairs("unchanged");
    expected[1].1 = "superseded".to_owned();
    assert_eq!(statuses(&third), expected);
    assert_eq!(third["commit"]["id"], 2);

    let document = dir
        .mv2(&["get", "notes/m.mv2", "a.md", "--json"])
        .ok()
        .json();
    assert_eq!(document["title"], "First");
    assert_eq!(document["tags"], json!({"from": "test"}));
    let document = dir
        .mv2(&["get", "notes/m.mv2", "deep/b.txt", "--json"])
        .ok()
        .json();
    assert_eq!(document["title"], "b.txt");
    assert_eq!(document["text"], "changed");
    assert_eq!(
        dir.mv2(&["log", "notes/m.mv2"])
            .ok()
            .stdout()
            .lines()
            .count(),
        2
    );
}

#[test]
fn a_large_folder_is_committed_in_batches() {
    let dir = Dir::new();
    for number in 0..25 {
        dir.write(&format!("in/{number:02}.txt"), format!("document {number}"));
    }
    let run = dir
        .mv2(&["put", "m.mv2", "in", "--json", "--commit-every", "10"])
        .ok();
    let sizes: Vec<usize> = run
        .json_lines()
        .iter()
        .map(|line| line["frames"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [10, 10, 5]);
}

#[test]
fn files_that_would_replace_each_other_are_refused() {
    let dir = Dir::new();
    dir.write("a/x.md", "one");
    dir.write("b/x.md", "two");
    let run = dir
        .mv2(&["put", "m.mv2", "a/x.md", "b/x.md", "--json"])
        .code(2);
    assert_eq!(run.error_kind(), "usage");
    assert!(dir.names().iter().all(|name| name != "m.mv2"));
    dir.mv2(&["put", "m.mv2", "."]).ok();
    dir.mv2(&["get", "m.mv2", "b/x.md"]).ok();
}

#[test]
fn options_of_a_single_file_are_kept() {
    let dir = Dir::new();
    dir.write("x.txt", "text");
    dir.mv2(&[
        "put",
        "m.mv2",
        "x.txt",
        "--uri",
        "doc:1",
        "--title",
        "T",
        "--tag",
        "a=1",
        "--tag",
        "b=x=y",
        "--label",
        "l",
        "--kind",
        "k",
        "--track",
        "t",
        "--timestamp",
        "1970-01-02",
        "--metadata",
        r#"{"m":[1]}"#,
        "--message",
        "why",
        "--no-embed",
    ])
    .ok();
    let document = dir.mv2(&["get", "m.mv2", "doc:1", "--json"]).ok().json();
    assert_eq!(
        document,
        json!({"v": 1, "as_of": 1, "branch": "main", "frame_id": 0, "uri": "doc:1", "title": "T", "text": "text", "bytes": 4,
               "timestamp": "1970-01-02T00:00:00.000000Z", "commit": 1, "kind": "k", "track": "t",
               "tags": {"a": "1", "b": "x=y"}, "labels": ["l"], "metadata": {"m": [1]}})
    );
    let log = dir.mv2(&["log", "m.mv2", "--json"]).ok().json();
    assert_eq!(log["commits"][0]["message"], "why");
}

#[test]
fn what_is_not_text_is_stored_and_found_by_its_name() {
    let dir = Dir::new();
    dir.write("in/holiday.png", b"\x89PNG\r\n\0\xff");
    dir.write("in/latin1.txt", b"caf\xe9");
    let run = dir.mv2(&["put", "m.mv2", "in"]).ok();
    assert!(
        run.stderr.contains("2 documents not text"),
        "{}",
        run.stderr
    );
    let document = dir
        .mv2(&["get", "m.mv2", "holiday.png", "--json"])
        .ok()
        .json();
    assert_eq!(document["text"], Value::Null);
    assert_eq!(document["bytes"], 8);
    assert_eq!(
        dir.mv2(&["get", "m.mv2", "holiday.png", "--raw"])
            .ok()
            .stdout,
        b"\x89PNG\r\n\0\xff"
    );
    assert!(
        dir.mv2(&["get", "m.mv2", "0"])
            .ok()
            .stdout()
            .contains("not text")
    );
    let found = dir
        .mv2(&["search", "m.mv2", "holiday", "--json"])
        .ok()
        .json();
    assert_eq!(uris(&found), ["holiday.png"]);
}

#[test]
fn lines_of_json_bring_their_own_facts() {
    let dir = notes();
    let document = dir
        .mv2(&["get", "m.mv2", "work/q4.md", "--json"])
        .ok()
        .json();
    assert_keys(
        &document,
        &[
            "v",
            "as_of",
            "branch",
            "frame_id",
            "uri",
            "title",
            "text",
            "bytes",
            "timestamp",
            "commit",
            "kind",
            "track",
            "tags",
            "labels",
            "metadata",
        ],
    );
    assert_eq!(document["timestamp"], "2026-01-02T03:04:05.000000Z");
    assert_eq!(document["labels"], json!(["work"]));
    let document = dir
        .mv2(&["get", "m.mv2", "work/会議.md", "--json"])
        .ok()
        .json();
    assert_eq!(document["metadata"], json!({"room": 3}));
    assert_time(&document["timestamp"]);
}

#[test]
fn bad_lines_are_reported_with_their_number_and_skipped() {
    let dir = Dir::new();
    let mut lines = b"{\"text\":\"one\"}\nnot json\n\n{\"title\":\"no text\"}\n".to_vec();
    lines.extend(b"{\"text\":\"\xff\"}\n{\"text\":\"x\",\"timestamp\":\"soon\"}\n");
    lines.extend(format!("{{\"text\":\"x\",\"title\":\"{}\"}}\n", "t".repeat(20_000)).bytes());
    lines.extend(b"{\"text\":\"last\",\"unheard_of\":[1]}");
    dir.write("in.jsonl", &lines);

    let run = dir
        .mv2(&["put", "m.mv2", "--jsonl", "in.jsonl", "--json"])
        .code(2);
    assert_eq!(run.json()["frames"].as_array().unwrap().len(), 2);
    let skipped: Vec<(u64, String)> = run
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|line| {
            assert_keys(&line["skipped"], &["source", "line", "kind", "message"]);
            let kind = line["skipped"]["kind"].as_str().unwrap().to_owned();
            (line["skipped"]["line"].as_u64().unwrap(), kind)
        })
        .collect();
    let expected = [
        (2, "invalid_json"),
        (4, "invalid_line"),
        (5, "invalid_utf8"),
        (6, "invalid_time"),
        (7, "too_large"),
    ];
    assert_eq!(
        skipped,
        expected.map(|(line, kind)| (line, kind.to_owned()))
    );
    assert!(
        run.stderr
            .contains("\"unheard_of\" is not known and not stored"),
        "{}",
        run.stderr
    );

    let run = dir.mv2(&["put", "n.mv2", "--jsonl", "in.jsonl"]).code(2);
    assert!(
        run.stderr
            .contains("skipped in.jsonl, line 2: not JSON at column 2"),
        "{}",
        run.stderr
    );
    assert!(
        run.stdout().contains("2 added, 5 skipped in commit 1"),
        "{}",
        run.stdout()
    );
}

#[test]
fn strict_stops_at_the_first_bad_line_and_drops_its_batch() {
    let dir = Dir::new();
    let lines = "{\"text\":\"1\"}\n{\"text\":\"2\"}\n{\"text\":\"3\"}\nbad\n{\"text\":\"5\"}\n";
    dir.write("in.jsonl", lines);
    let args = [
        "put",
        "m.mv2",
        "--jsonl",
        "in.jsonl",
        "--strict",
        "--commit-every",
        "2",
        "--json",
    ];
    let run = dir.mv2(&args).code(2);
    assert_eq!(run.error_kind(), "invalid_json");
    assert!(run.stderr.contains("line 4"), "{}", run.stderr);
    assert_eq!(run.json_lines().len(), 1);
    assert_eq!(
        dir.mv2(&["stats", "m.mv2", "--json"]).ok().json()["frames"],
        2
    );
}

#[test]
fn each_commit_of_an_import_is_told_as_soon_as_it_is_durable() {
    let dir = Dir::new();
    let mut child = dir.spawn(&[
        "put",
        "m.mv2",
        "--jsonl",
        "-",
        "--commit-every",
        "2",
        "--json",
    ]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for round in 0..3 {
        stdin
            .write_all(b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n")
            .unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["commit"]["id"], round * 2 + 1);
        let frames = dir.mv2(&["stats", "m.mv2", "--json"]).ok().json()["frames"].clone();
        assert_eq!(frames, round * 3 + 2);
        // While the import waits for its next line, it holds no lock.
        dir.mv2_with_input(&["put", "m.mv2", "-", "--lock-wait", "0"], "between")
            .ok();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn search_finds_english_and_japanese_and_names_its_fields() {
    let dir = notes();
    let found = dir
        .mv2(&["search", "m.mv2", "planning", "--json"])
        .ok()
        .json();
    assert_keys(
        &found,
        &[
            "v",
            "query",
            "mode",
            "as_of",
            "branch",
            "took_ms",
            "total",
            "total_relation",
            "next_cursor",
            "hits",
        ],
    );
    assert_eq!(found["v"], 1);
    assert_eq!(found["mode"], "hybrid");
    assert_eq!(found["as_of"], 1);
    assert_eq!(found["total"], 2);
    let hit = &found["hits"][0];
    assert_keys(
        hit,
        &[
            "rank",
            "frame_id",
            "uri",
            "title",
            "text",
            "score",
            "lex",
            "vec",
            "timestamp",
            "commit",
            "kind",
            "tags",
            "labels",
            "matches",
        ],
    );
    assert_eq!(hit["rank"], 1);
    assert_keys(&hit["lex"], &["rank", "score"]);
    assert_keys(&hit["vec"], &["rank", "score"]);
    assert_time(&hit["timestamp"]);
    let text = hit["text"].as_str().unwrap();
    let range = |at: usize| hit["matches"][0][at].as_u64().unwrap() as usize;
    assert!(
        text[range(0)..range(1)].eq_ignore_ascii_case("planning"),
        "{hit}"
    );

    let found = dir.mv2(&["search", "m.mv2", "会議", "--json"]).ok().json();
    assert_eq!(uris(&found), ["work/会議.md"]);
    let found = dir
        .mv2(&[
            "search", "m.mv2", "milk", "and", "eggs", "--json", "--mode", "lex",
        ])
        .ok()
        .json();
    assert_eq!(found["query"], "milk and eggs");
    assert_eq!(uris(&found)[0], "home/list.md");
}

#[test]
fn a_search_that_finds_nothing_exits_with_one() {
    let dir = notes();
    let run = dir.mv2(&["search", "m.mv2", "zebra"]).code(1);
    assert_eq!(run.stdout(), "");
    assert_eq!(run.stderr, "nothing found\n");
    let found = dir
        .mv2(&["search", "m.mv2", "zebra", "--json"])
        .code(1)
        .json();
    assert_eq!(found["hits"], json!([]));
    assert_eq!(found["total"], 0);
    let empty = Dir::new();
    empty.mv2(&["create", "m.mv2"]).ok();
    empty.mv2(&["search", "m.mv2", "anything"]).code(1);
}

#[test]
fn plain_words_have_no_operators() {
    let dir = notes();
    let phrase = "\"planning milk\"";
    dir.mv2(&["search", "m.mv2", phrase]).code(1);
    let found = dir
        .mv2(&["search", "m.mv2", "--plain", phrase, "--json"])
        .ok()
        .json();
    assert!(uris(&found).len() > 1);
    assert_eq!(found["warning"], Value::Null);
    let question = "who wrote \"planning milk\" and when?";
    let found = dir
        .mv2(&["search", "m.mv2", question, "--json"])
        .ok()
        .json();
    assert!(uris(&found).len() > 1);
    assert!(found["warning"].as_str().unwrap().contains("sentence"));
}

#[test]
fn a_search_goes_on_at_its_cursor() {
    let dir = notes();
    let search = |args: &[&str]| {
        let args = [&["search", "m.mv2", "planning", "--json", "-k", "1"], args].concat();
        dir.mv2(&args)
    };
    let first = search(&[]).ok().json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = search(&["--cursor", cursor, "--count"]).ok().json();
    assert_eq!(second["hits"][0]["rank"], 2);
    assert_ne!(uris(&first), uris(&second));
    assert_eq!(second["next_cursor"], Value::Null);
    for args in [&["--cursor", "zzz"][..], &["--cursor", cursor, "--plain"]] {
        let run = search(args).code(2);
        assert_eq!(run.error_kind(), "invalid_cursor");
    }
}

#[test]
fn filters_narrow_a_search() {
    let dir = notes();
    let search = |args: &[&str]| {
        let args = [&["search", "m.mv2", "planning", "--json"], args].concat();
        let run = dir.mv2(&args);
        uris(&run.json()).join(" ")
    };
    assert_eq!(search(&["--tag", "project=alpha"]), "work/q4.md");
    assert_eq!(search(&["--tag", "project=beta"]), "");
    assert_eq!(search(&["--uri", "home/*"]), "home/list.md");
    assert_eq!(search(&["--uri", "home/list.md"]), "home/list.md");
    assert_eq!(search(&["--uri", "home/"]), "");
    assert_eq!(search(&["--label", "work"]), "work/q4.md");
    assert_eq!(search(&["--kind", "note"]), "work/q4.md");
    let one = dir
        .mv2(&[
            "search", "m.mv2", "planning", "-k", "1", "--count", "--json",
        ])
        .ok()
        .json();
    assert_eq!(one["hits"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&one["total"], &one["total_relation"]),
        (&json!(2), &json!("eq"))
    );
    let most = usize::MAX.to_string();
    let all = dir
        .mv2(&["search", "m.mv2", "planning", "-k", &most, "--json"])
        .ok()
        .json();
    assert_eq!(all["hits"].as_array().unwrap().len(), 2);
    let not = dir
        .mv2(&["search", "m.mv2", "--json", "--", "-quarter planning"])
        .ok()
        .json();
    assert_eq!(uris(&not), ["home/list.md"]);
    let ids = dir.mv2(&["search", "m.mv2", "milk", "--ids-only"]).ok();
    assert_eq!(ids.stdout(), "1\n");
    let ids = dir
        .mv2(&["search", "m.mv2", "milk", "--ids-only", "--json"])
        .ok()
        .json();
    assert_eq!(ids["hits"], json!([{"frame_id": 1}]));
}

#[test]
fn hits_read_well_on_a_narrow_screen() {
    let dir = Dir::new();
    let text = "planning ".repeat(30) + "とても長い日本語の文章" + &"x".repeat(100);
    let uri = "a/very/long/path/".repeat(8);
    dir.mv2_with_input(
        &[
            "put",
            "m.mv2",
            "-",
            "--title",
            &"計画 planning ".repeat(10),
            "--uri",
            &uri,
        ],
        text,
    )
    .ok();
    let mut command = dir.command(&["search", "m.mv2", "planning", "--snippet-chars", "400"]);
    let run = Run::new(&[], command.env("COLUMNS", "60").output().unwrap()).ok();
    let columns = |line: &str| {
        line.chars()
            .map(|c| {
                if c.len_utf8() == 3 && c != '…' {
                    2
                } else {
                    1
                }
            })
            .sum::<usize>()
    };
    for line in run.stdout().lines() {
        assert!(columns(line) <= 60, "{} columns: {line}", columns(line));
    }
    assert!(run.stdout().contains("frame 0 · 20"), "{}", run.stdout());
    assert!(!run.stdout().contains('\x1b'));
    let colored = dir
        .mv2(&["search", "m.mv2", "planning", "--color", "always"])
        .ok();
    assert!(colored.stdout().contains("\x1b["));
}

#[test]
fn stored_control_characters_do_not_reach_the_listing() {
    let dir = Dir::new();
    dir.mv2_with_input(
        &["put", "m.mv2", "-", "--title", "red \x1b[31m"],
        "word \x1b]0;title\x07",
    )
    .ok();
    let run = dir.mv2(&["search", "m.mv2", "word"]).ok();
    assert!(
        !run.stdout().contains(['\x1b', '\x07']),
        "{:?}",
        run.stdout()
    );
}

#[test]
fn a_miss_exits_with_one_and_says_what_is_missing() {
    let dir = notes();
    let run = dir.mv2(&["get", "m.mv2", "no/such.md"]).code(1);
    assert!(run.stderr.contains("no/such.md"), "{}", run.stderr);
    assert_eq!(
        dir.mv2(&["get", "m.mv2", "no/such.md", "--json"])
            .code(1)
            .error_kind(),
        "no_such_uri"
    );
    assert_eq!(
        dir.mv2(&["get", "m.mv2", "77", "--json"])
            .code(1)
            .error_kind(),
        "no_such_frame"
    );
    dir.mv2(&["get", "m.mv2", "0", "--raw", "--json"]).code(2);
}

#[test]
fn an_update_takes_over_what_it_does_not_name() {
    let dir = notes();
    let update = |args: &[&str]| dir.mv2(&[&["update", "m.mv2"], args, &["--json"]].concat());
    dir.write("new.txt", "Planning is done.");
    let put = update(&["work/q4.md", "new.txt"]).ok().json();
    assert_eq!(
        put["frames"],
        json!([{"frame_id": 3, "uri": "work/q4.md", "status": "superseded", "deduplicated": false}])
    );
    let put = update(&["3", "--tag", "project=beta", "--message", "moved"])
        .ok()
        .json();
    assert_eq!(put["frames"][0]["frame_id"], 4);
    let document = dir
        .mv2(&["get", "m.mv2", "work/q4.md", "--json"])
        .ok()
        .json();
    assert_eq!(document["text"], "Planning is done.");
    assert_eq!(document["title"], "Meeting notes");
    assert_eq!(document["timestamp"], "2026-01-02T03:04:05.000000Z");
    assert_eq!(document["tags"], json!({"project": "beta"}));
    assert_eq!(document["labels"], json!(["work"]));

    let old = dir.mv2(&["get", "m.mv2", "0", "--json"]).code(1);
    assert_eq!(old.error_kind(), "frame_dead");
    assert_eq!(update(&["work/q4.md"]).code(2).error_kind(), "usage");
    assert_eq!(
        update(&["nope", "--tag", "a=b"]).code(1).error_kind(),
        "no_such_uri"
    );
    let same = update(&["4", "new.txt"]).ok().json();
    assert_eq!(
        (&same["commit"], &same["frames"][0]["status"]),
        (&Value::Null, &json!("unchanged"))
    );
    dir.mv2_with_input(&["update", "m.mv2", "4", "-"], "Planned.")
        .ok();
    assert_eq!(
        dir.mv2(&["get", "m.mv2", "work/q4.md", "--raw"])
            .ok()
            .stdout(),
        "Planned."
    );
    // What is superseded is not found any more.
    let found = dir
        .mv2(&["search", "m.mv2", "quarter", "--json"])
        .code(1)
        .json();
    assert_eq!(found["total"], 0);
}

#[test]
fn a_delete_takes_all_or_none() {
    let dir = notes();
    let run = dir.mv2(&["delete", "m.mv2", "0", "nope", "--json"]).code(1);
    assert_eq!(run.error_kind(), "no_such_uri");
    assert_eq!(
        dir.mv2(&["stats", "m.mv2", "--json"]).ok().json()["frames"],
        3
    );

    let deleted = dir
        .mv2(&[
            "delete",
            "m.mv2",
            "0",
            "work/q4.md",
            "home/list.md",
            "--json",
        ])
        .ok()
        .json();
    assert_keys(&deleted, &["v", "commit", "deleted"]);
    assert_eq!(
        deleted["deleted"],
        json!([{"frame_id": 0, "uri": "work/q4.md"}, {"frame_id": 1, "uri": "home/list.md"}])
    );
    dir.mv2(&["get", "m.mv2", "work/q4.md"]).code(1);
    assert_eq!(
        dir.mv2(&["delete", "m.mv2", "0", "--json"])
            .code(1)
            .error_kind(),
        "frame_dead"
    );
    dir.mv2(&["search", "m.mv2", "planning"]).code(1);
    dir.mv2(&["search", "m.mv2", "会議"]).ok();
    let stats = dir.mv2(&["stats", "m.mv2", "--json"]).ok().json();
    assert_eq!(
        (&stats["frames"], &stats["frames_total"]),
        (&json!(1), &json!(3))
    );
}

#[test]
fn every_reader_sees_the_past_as_it_was() {
    let dir = Dir::new();
    for (n, text) in ["tea is green", "tea is black", "tea is white"]
        .iter()
        .enumerate()
    {
        dir.write(&format!("{n}.md"), text.as_bytes());
        let path = format!("{n}.md");
        dir.mv2(&[
            "put",
            "m.mv2",
            &path,
            "--uri",
            "tea",
            "--timestamp",
            "2026-01-01",
        ])
        .ok();
    }
    dir.mv2(&["delete", "m.mv2", "tea"]).ok();
    let read = |command: &str, args: &[&str]| {
        let args = [&[command, "m.mv2", "--json"], args].concat();
        dir.mv2(&args)
    };
    for (as_of, frame) in [("1", 0), ("2", 1), ("3", 2), ("~1", 2), ("~3", 0)] {
        let past = ["--as-of", as_of];
        let asked = |args: &[&'static str]| [args, &past].concat();
        let found = read("search", &asked(&["tea"])).ok().json();
        assert_eq!(found["hits"][0]["frame_id"], frame, "{as_of}");
        assert_eq!(found["as_of"], frame + 1);
        let context = read("context", &asked(&["tea"])).ok().json();
        assert_eq!(context["passages"][0]["frame_id"], frame);
        assert_eq!(context["as_of"], frame + 1);
        let document = read("get", &asked(&["tea"])).ok().json();
        assert_eq!(
            (&document["frame_id"], &document["as_of"]),
            (&json!(frame), &json!(frame + 1))
        );
        let timeline = read("timeline", &past).ok().json();
        assert_eq!(timeline["frames"][0]["frame_id"], frame);
        let stats = read("stats", &past).ok().json();
        assert_eq!(
            (&stats["frames"], &stats["commits"]),
            (&json!(1), &json!(frame + 1))
        );
        let log = read("log", &past).ok().json();
        assert_eq!(log["commits"].as_array().unwrap().len(), frame + 1);
    }
    // At the time of a commit the memory is what that commit made of it.
    let log = read("log", &[]).ok().json();
    let time = log["commits"][2]["time"].as_str().unwrap();
    let found = read("search", &["tea", "--as-of", time]).ok().json();
    assert_eq!(found["as_of"], 2);
    let found = read("log", &["--since", time, "--until", time]).ok().json();
    assert_eq!(found["commits"].as_array().unwrap().len(), 1);
    assert_eq!(found["commits"][0]["id"], 2);
    // Before the first commit the memory was empty.
    for as_of in ["2000-01-01", "0", "~4"] {
        let found = read("search", &["tea", "--as-of", as_of]).code(1).json();
        assert_eq!((&found["as_of"], &found["total"]), (&json!(0), &json!(0)));
    }
    for (as_of, kind, code) in [
        ("5", "no_such_commit", 1),
        ("~5", "no_such_commit", 1),
        ("2026-1-1", "unknown_selector", 2),
        ("tag:v1", "no_such_tag", 2),
        ("v1", "unknown_selector", 2),
        ("-1", "unknown_selector", 2),
    ] {
        let run = read("search", &["tea", "--as-of", as_of]).code(code);
        assert_eq!(run.error_kind(), kind, "{as_of}");
    }
}

#[test]
fn two_commits_and_the_versions_of_a_document_are_compared() {
    let dir = Dir::new();
    let put = |uri: &str, text: &str| {
        dir.write("in.txt", text);
        dir.mv2(&["put", "m.mv2", "in.txt", "--uri", uri]).ok();
    };
    put("a", "one\ntwo\nthree\n");
    put("a", "one\n2\nthree\n");
    put("b", "new\n");
    put("a", "one\n2\nthree\nfour\n");
    dir.mv2(&["delete", "m.mv2", "b"]).ok();
    let diff = |args: &[&str], code| {
        let args = [&["diff", "m.mv2", "--json"], args].concat();
        dir.mv2(&args).code(code).json()
    };
    // What came and went in between is left out, and two updates are one difference.
    let all = diff(&["1"], 1);
    assert_eq!(
        (&all["from"]["id"], &all["to"]["id"]),
        (&json!(1), &json!(5))
    );
    assert_eq!((&all["added"], &all["deleted"]), (&json!([]), &json!([])));
    let pair = &all["superseded"][0];
    assert_eq!(
        (&pair["old"], &pair["frame_id"], &pair["uri"]),
        (&json!(0), &json!(3), &json!("a"))
    );
    let text = pair["diff"].as_str().unwrap();
    assert!(text.contains("-two\n+2\n three\n+four\n"), "{text}");
    // Backwards it is the other way round.
    let back = diff(&["head", "1"], 1);
    let pair = &back["superseded"][0];
    assert_eq!((&pair["old"], &pair["frame_id"]), (&json!(3), &json!(0)));
    let text = pair["diff"].as_str().unwrap();
    assert!(text.contains("-2\n+two\n three\n-four\n"), "{text}");
    assert_eq!(diff(&["2", "3"], 1)["added"][0]["uri"], "b");
    assert_eq!(diff(&["3", "5", "--stat"], 1)["deleted"][0]["uri"], "b");
    assert_eq!(diff(&["0", "1"], 1)["from"]["id"], 0);
    diff(&["~2", "3"], 0);
    let read = |args: &[&str]| dir.mv2(&[&["history", "m.mv2", "--json"], args].concat());
    let history = read(&["a", "--diff"]).ok().json();
    let versions = history["versions"].as_array().unwrap();
    let commits: Vec<_> = versions.iter().map(|version| &version["commit"]).collect();
    assert_eq!(commits, [4, 2, 1]);
    assert_eq!(versions[0]["end"], Value::Null);
    assert_eq!(versions[2]["end"], json!({"commit": 2, "by": 1}));
    assert!(versions[0]["diff"].as_str().unwrap().contains("+four"));
    assert_eq!(versions[2]["diff"], Value::Null);
    let deleted = read(&["b"]).ok().json();
    assert_eq!(
        deleted["versions"][0]["end"],
        json!({"commit": 5, "by": null})
    );
    let before = read(&["a", "--as-of", "1"]).ok().json();
    assert_eq!(before["versions"].as_array().unwrap().len(), 1);
    let run = read(&["nothing"]).code(1);
    assert_eq!(run.error_kind(), "no_such_uri");
}

#[test]
fn the_log_tells_what_each_commit_did() {
    let dir = notes();
    dir.mv2(&["update", "m.mv2", "0", "--tag", "a=b"]).ok();
    dir.mv2(&["delete", "m.mv2", "1"]).ok();
    let log = dir.mv2(&["log", "m.mv2", "--json"]).ok().json();
    assert_keys(&log, &["v", "as_of", "branch", "commits"]);
    let commits = log["commits"].as_array().unwrap();
    let ids: Vec<u64> = commits
        .iter()
        .map(|commit| commit["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [3, 2, 1]);
    assert_keys(
        &commits[0],
        &[
            "id",
            "time",
            "wall",
            "branch",
            "parents",
            "message",
            "folder",
            "added",
            "superseded",
            "deleted",
        ],
    );
    assert_eq!(commits[0]["branch"], "main");
    assert_time(&commits[0]["time"]);
    assert_time(&commits[0]["wall"]);
    assert_eq!(commits[2]["message"], "first notes");
    let counts = |commit: &Value| ["added", "superseded", "deleted"].map(|key| commit[key].clone());
    assert_eq!(counts(&commits[2]), [3, 0, 0].map(Value::from));
    assert_eq!(counts(&commits[1]), [0, 1, 0].map(Value::from));
    assert_eq!(counts(&commits[0]), [0, 0, 1].map(Value::from));

    let log = dir
        .mv2(&["log", "m.mv2", "--json", "--frames", "--limit", "2"])
        .ok()
        .json();
    assert_eq!(
        log["commits"]
            .as_array()
            .unwrap()
            .iter()
            .map(counts)
            .collect::<Vec<_>>(),
        [
            [json!([]), json!([]), json!([1])],
            [json!([]), json!([{"frame_id": 0, "by": 3}]), json!([])],
        ]
    );
    let text = dir.mv2(&["log", "m.mv2", "--limit", "1", "--frames"]).ok();
    assert!(
        text.stdout().starts_with("commit 3 20"),
        "{}",
        text.stdout()
    );
    let empty = Dir::new();
    empty.mv2(&["create", "m.mv2"]).ok();
    assert_eq!(
        empty.mv2(&["log", "m.mv2", "--json"]).ok().json()["commits"],
        json!([])
    );
}

#[test]
fn figures_have_names() {
    let dir = notes();
    let stats = dir.mv2(&["stats", "m.mv2", "--json"]).ok().json();
    for name in [
        "v",
        "frames",
        "commits",
        "file_bytes",
        "live_bytes",
        "dead_bytes",
        "wal_bytes",
    ] {
        assert!(stats[name].is_u64(), "{name}: {stats}");
    }
    assert!(stats["segments"].is_object());
    assert_eq!(
        stats["file_bytes"],
        fs::metadata(dir.path("m.mv2")).unwrap().len()
    );
    assert!(
        dir.mv2(&["stats", "m.mv2"])
            .ok()
            .stdout()
            .starts_with("documents  3\n")
    );
}

#[test]
fn a_sound_file_passes_and_a_damaged_one_fails_the_check() {
    let dir = notes();
    for args in [
        &["verify", "m.mv2", "--json"][..],
        &["verify", "m.mv2", "--json", "--deep"],
    ] {
        let report = dir.mv2(args).ok().json();
        assert_keys(&report, &["v", "ok", "bytes_checked", "problems"]);
        assert_eq!(
            (&report["ok"], &report["problems"]),
            (&json!(true), &json!([]))
        );
        assert!(report["bytes_checked"].as_u64().unwrap() > 0);
    }
    assert!(
        dir.mv2(&["verify", "m.mv2"])
            .ok()
            .stdout()
            .starts_with("ok, ")
    );

    // Enough for segments, of which one byte is then flipped.
    let lines: String = (0..600)
        .map(|n| format!("{{\"text\":\"document {n} of many\"}}\n"))
        .collect();
    dir.mv2_with_input(&["put", "m.mv2", "--jsonl", "-"], lines)
        .ok();
    let sound = fs::read(dir.path("m.mv2")).unwrap();
    // Behind what a new file has: its own first table of contents is not in use any more.
    dir.mv2(&["create", "new.mv2"]).ok();
    let first_segment = fs::read(dir.path("new.mv2")).unwrap().len();
    let mut bytes = sound.clone();
    bytes[first_segment + 100] ^= 0x20;
    dir.write("bad.mv2", &bytes);
    let report = dir
        .mv2(&["verify", "bad.mv2", "--deep", "--json"])
        .code(1)
        .json();
    assert_eq!(report["ok"], false);
    assert_keys(&report["problems"][0], &["offset", "what", "frames"]);
    let text = dir.mv2(&["verify", "bad.mv2", "--deep"]).code(1);
    assert!(text.stdout().contains("offset "), "{}", text.stdout());

    // Both roots gone, and the footer with them: nothing opens, and the check says so.
    let mut bytes = sound;
    bytes[4096..12_288].fill(0);
    bytes.truncate(first_segment);
    dir.write("worse.mv2", &bytes);
    let report = dir.mv2(&["verify", "worse.mv2", "--json"]).code(1).json();
    assert_eq!(report["ok"], false);
}

#[test]
fn damage_is_an_error_and_never_a_wrong_answer() {
    let dir = Dir::new();
    let lines: String = (0..400)
        .map(|n| {
            format!(
                "{{\"text\":\"document {n} of the garden, {}\"}}\n",
                "rose ".repeat(n % 9)
            )
        })
        .collect();
    dir.mv2_with_input(&["put", "m.mv2", "--jsonl"], lines).ok();
    let search = |name: &str| dir.mv2(&["search", name, "garden roses", "--json"]);
    let expected = search("m.mv2").ok().json()["hits"].clone();
    let sound = fs::read(dir.path("m.mv2")).unwrap();
    dir.mv2(&["create", "new.mv2"]).ok();
    let first_segment = fs::read(dir.path("new.mv2")).unwrap().len();
    let mut kinds = BTreeSet::new();
    for at in (first_segment..sound.len()).step_by(sound.len() / 997) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x04;
        dir.write("bad.mv2", &bytes);
        let run = search("bad.mv2");
        match run.code {
            Some(0) => assert_eq!(run.json()["hits"], expected, "a byte flipped at {at}"),
            Some(2) => {
                kinds.insert(run.error_kind());
                assert!(run.stderr.contains("bad.mv2"), "{}", run.stderr);
            }
            other => panic!("exit code {other:?} with a byte flipped at {at}"),
        }
    }
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    assert_eq!(kinds, ["corrupt", "index_unusable"]);
}

#[test]
fn what_is_not_a_memory_is_named() {
    let dir = notes();
    let sound = fs::read(dir.path("m.mv2")).unwrap();
    dir.write(
        "text.mv2",
        "just a text that is long enough to have a header",
    );
    dir.write("empty.mv2", "");
    dir.write("old.mv2", [b"MV2\0".as_slice(), &[0; 8188]].concat());
    let mut newer = sound.clone();
    newer[8] = 9;
    dir.write("newer.mv2", newer);
    dir.write("cut.mv2", &sound[..5000]);
    fs::create_dir(dir.path("folder.mv2")).unwrap();

    let cases = [
        ("text.mv2", "not_mv2"),
        ("empty.mv2", "not_mv2"),
        ("old.mv2", "memvid2"),
        ("newer.mv2", "unsupported_version"),
        ("cut.mv2", "corrupt"),
        ("folder.mv2", "not_a_file"),
        ("missing.mv2", "not_found"),
        ("m.mv2/below.mv2", "not_a_file"),
    ];
    for (name, kind) in cases {
        for command in [
            &["search", name, "x"][..],
            &["stats", name],
            &["get", name, "0"],
            &["log", name],
        ] {
            let run = dir.mv2(&[command, &["--json"]].concat()).code(2);
            if name != "m.mv2/below.mv2" {
                assert_eq!(run.error_kind(), kind, "{command:?}");
            }
            let text = dir.mv2(command).code(2);
            let lines: Vec<&str> = text.stderr.lines().collect();
            assert!(
                lines[0].starts_with("error: ") && lines[0].contains(name),
                "{}",
                text.stderr
            );
            if name != "m.mv2/below.mv2" {
                assert!(
                    lines.last().unwrap().starts_with("hint: "),
                    "{}",
                    text.stderr
                );
            }
        }
        if !["missing.mv2", "m.mv2/below.mv2"].contains(&name) {
            let before = fs::read(dir.path(name)).ok();
            let run = dir
                .mv2_with_input(&["put", name, "-", "--json"], "text")
                .code(2);
            assert_eq!(run.error_kind(), kind);
            assert_eq!(fs::read(dir.path(name)).ok(), before, "{name} was changed");
        }
    }
    dir.mv2(&["verify", "cut.mv2"]).code(1);
    dir.mv2(&["verify", "text.mv2"]).code(2);
}

#[test]
fn a_memory_that_somebody_writes_is_locked_for_writers_only() {
    let dir = notes();
    let mut other = mv2::Memvid::open(dir.path("m.mv2")).unwrap();
    other.put_bytes(b"pending").unwrap();
    let start = Instant::now();
    let args = ["put", "m.mv2", "-", "--json", "--lock-wait", "0.2"];
    let run = dir.mv2_with_input(&args, "text").code(2);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(run.error_kind(), "locked");
    assert!(run.stderr.contains("--lock-wait"), "{}", run.stderr);
    dir.mv2(&["search", "m.mv2", "planning"]).ok();
    assert_eq!(
        dir.mv2(&["stats", "m.mv2", "--json"]).ok().json()["frames"],
        3
    );
    drop(other);
    dir.mv2_with_input(&args, "text").ok();
}

#[test]
fn large_documents_and_queries_are_ordinary() {
    let dir = Dir::new();
    let text = "planning a garden 計画 ".repeat(420_000);
    assert!(text.len() > 10_000_000);
    let line = json!({"uri": "big", "text": &text}).to_string();
    dir.mv2_with_input(
        &["put", "m.mv2", "--jsonl"],
        line + "\n{\"text\":\"small\"}\n",
    )
    .ok();
    assert_eq!(
        dir.mv2(&["get", "m.mv2", "big", "--raw"]).ok().stdout.len(),
        text.len()
    );
    assert_eq!(
        uris(
            &dir.mv2(&["search", "m.mv2", "garden", "--json"])
                .ok()
                .json()
        ),
        ["big"]
    );
    for query in [
        "garden ".repeat(100_000 / 7),
        "(".repeat(100_000),
        "x".repeat(100_000),
        "\"".repeat(99_999),
    ] {
        let run = dir.mv2(&["search", "m.mv2", &query, "--json"]);
        assert!(matches!(run.code, Some(0 | 1)), "{}", run.stderr);
        assert_eq!(run.json()["query"].as_str().unwrap().len(), query.len());
    }
    dir.mv2(&["verify", "m.mv2", "--deep"]).ok();
}

#[test]
fn wrong_usage_is_told_in_the_form_that_was_asked_for() {
    let dir = Dir::new();
    let run = dir.mv2(&["search", "--json"]).code(2);
    assert_eq!(run.error_kind(), "usage");
    for args in [
        &["search", "m.mv2", "x", "--as-of"][..],
        &["search", "m.mv2", "x", "--mode", "nonsense"],
        &["search", "m.mv2", "x", "-k", "0"],
        &["put", "m.mv2", "--tag", "novalue"],
        &["put", "m.mv2", "--timestamp", "soon"],
        &["put", "m.mv2", "--metadata", "{"],
        &["create", "m.mv2", "--wal-bytes", "1"],
        &["create", "m.mv2", "--lock-wait", "-1"],
        &["nonsense"],
        &[],
    ] {
        let run = dir.mv2(args).code(2);
        assert!(!run.stderr.is_empty());
        assert_eq!(run.stdout(), "");
    }
    assert!(dir.names().is_empty());
    assert!(dir.mv2(&["--help"]).ok().stdout().contains("Examples:"));
    assert!(dir.mv2(&["--version"]).ok().stdout().starts_with("mv2 "));
    dir.mv2(&["put", "m.mv2", "no-such-file"]).code(2);
    assert!(
        dir.names().is_empty(),
        "a failed put leaves no memory behind"
    );
}

#[test]
fn completions_cover_every_command() {
    let dir = Dir::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = dir.mv2(&["completions", shell]).ok();
        for command in ["create", "put", "search", "verify"] {
            assert!(run.stdout().contains(command), "{shell}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_quietly() {
    let dir = Dir::new();
    let lines: String = (0..3_000)
        .map(|n| format!("{{\"text\":\"document {n}\"}}\n"))
        .collect();
    dir.write("in.jsonl", lines);
    let run_closed = |args: &[&str]| {
        let mut child = dir.spawn(args);
        drop(child.stdout.take());
        Run::new(args, child.wait_with_output().unwrap())
    };
    // The import goes on without a reader.
    let run = run_closed(&["put", "m.mv2", "--jsonl", "in.jsonl", "--json"]).ok();
    assert_eq!(run.stderr, "");
    assert_eq!(
        dir.mv2(&["stats", "m.mv2", "--json"]).ok().json()["frames"],
        3_000
    );
    let run = run_closed(&["log", "m.mv2"]).ok();
    assert_eq!(run.stderr, "");
    let run = run_closed(&["search", "m.mv2", "document", "--json", "-k", "1000"]).ok();
    assert_eq!(run.stderr, "");
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_is_committed_and_exits_with_130() {
    let dir = Dir::new();
    let mut child = dir.spawn(&[
        "put",
        "m.mv2",
        "--jsonl",
        "-",
        "--commit-every",
        "2",
        "--json",
    ]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin
        .write_all(b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n")
        .unwrap();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("2 documents committed"), "{stderr}");
    assert_eq!(
        dir.mv2(&["stats", "m.mv2", "--json"]).ok().json()["frames"],
        2
    );
    drop(stdin);
}

#[cfg(unix)]
#[test]
fn a_kill_during_an_import_loses_nothing_that_was_acknowledged() {
    let dir = Dir::new();
    let lines: String = (0..4_000)
        .map(|n| {
            format!(
                "{{\"uri\":\"doc/{n}\",\"text\":\"document number {n} {}\"}}\n",
                "padding ".repeat(20)
            )
        })
        .collect();
    dir.write("in.jsonl", &lines);
    for round in 0..8 {
        let name = format!("m{round}.mv2");
        let mut child = dir.spawn(&[
            "put",
            &name,
            "--jsonl",
            "in.jsonl",
            "--commit-every",
            "37",
            "--json",
        ]);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut acknowledged = Vec::new();
        // Each round dies after another number of commits, and at another moment within the next one.
        for _ in 0..1 + round * 7 {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                break;
            }
            acknowledged.push(line);
        }
        std::thread::sleep(Duration::from_micros(700 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(
            stdout
                .lines()
                .map_while(Result::ok)
                .filter(|line| line.ends_with('}')),
        );

        let memory = mv2::Memvid::open(dir.path(&name)).unwrap();
        let mut count = 0;
        for line in &acknowledged {
            let line: Value = serde_json::from_str(line).unwrap();
            for frame in line["frames"].as_array().unwrap() {
                let meta = memory.frame_by_uri(frame["uri"].as_str().unwrap()).unwrap();
                assert_eq!(frame["frame_id"], meta.id.get());
                let text = memory.frame_text_by_id(meta.id).unwrap();
                assert!(
                    text.starts_with(&format!("document number {} ", meta.id)),
                    "{text}"
                );
                count += 1;
            }
        }
        let found = memory.stats().unwrap().active_frame_count;
        assert!(
            found == count || found == count + 37,
            "round {round}: {found} of {count}"
        );
        dir.mv2(&["verify", &name, "--deep"]).ok();
        // The rest follows as if nothing had happened.
        dir.mv2(&["put", &name, "--jsonl", "in.jsonl"]).ok();
        assert_eq!(memory.stats().unwrap().active_frame_count, 4_000);
        assert_eq!(memory.stats().unwrap().frame_count, 4_000);
    }
    let expected: BTreeSet<String> = (0..8)
        .map(|round| format!("m{round}.mv2"))
        .chain(["in.jsonl".to_owned()])
        .collect();
    assert_eq!(dir.names().into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn many_processes_put_into_one_file_at_once() {
    const PROCESSES: usize = 12;
    const DOCUMENTS: usize = 5;
    let dir = Dir::new();
    // None of them finds the file: one makes it, and the others open it.
    let children: Vec<Child> = (0..PROCESSES)
        .map(|process| {
            let args = ["put", "m.mv2", "--jsonl", "-", "--commit-every", "1", "--json", "--lock-wait", "60"];
            let mut child = dir.spawn(&args);
            let mut stdin = child.stdin.take().unwrap();
            for document in 0..DOCUMENTS {
                let line = json!({"uri": format!("{process}/{document}"), "text": format!("from process {process}")});
                writeln!(stdin, "{line}").unwrap();
            }
            child
        })
        .collect();
    let mut frames = BTreeSet::new();
    let mut commits = BTreeSet::new();
    for child in children {
        let run = Run::new(&["put"], child.wait_with_output().unwrap()).ok();
        let lines = run.json_lines();
        assert_eq!(lines.len(), DOCUMENTS);
        for line in lines {
            assert!(
                commits.insert(line["commit"]["id"].as_u64().unwrap()),
                "a commit was told twice"
            );
            assert!(
                frames.insert(line["frames"][0]["frame_id"].as_u64().unwrap()),
                "a frame was told twice"
            );
        }
    }
    let all = (PROCESSES * DOCUMENTS) as u64;
    assert_eq!(frames, (0..all).collect());
    assert_eq!(commits, (1..=all).collect());
    let stats = dir.mv2(&["stats", "m.mv2", "--json"]).ok().json();
    assert_eq!(
        (&stats["frames"], &stats["commits"]),
        (&json!(all), &json!(all))
    );
    for process in 0..PROCESSES {
        for document in 0..DOCUMENTS {
            dir.mv2(&["get", "m.mv2", &format!("{process}/{document}")])
                .ok();
        }
    }
    dir.mv2(&["verify", "m.mv2", "--deep"]).ok();
    assert_eq!(dir.names(), ["m.mv2"]);
}

/// A document that fills a batch on its own was left out of the index, and each search indexed it anew.
#[test]
fn a_large_document_is_indexed_in_the_file() {
    let home = tempfile::tempdir().unwrap();
    let (file, text) = (home.path().join("m.mv2"), home.path().join("large.txt"));
    std::fs::write(&text, "a sentence about pelicans\n".repeat(400_000)).unwrap();
    let mv2 = |arguments: &[&std::ffi::OsStr]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mv2"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    mv2(&["put".as_ref(), file.as_ref(), text.as_ref()]);
    let stats = mv2(&["stats".as_ref(), file.as_ref(), "--json".as_ref()]);
    let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
    assert_eq!(stats["segments"]["lex"], 1, "{stats}");
}

/// Imports let the index lag until their end; puts of single documents must not, or each search would index
/// them anew.
#[test]
fn many_small_puts_are_indexed_in_the_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("m.mv2");
    for id in 0..300 {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mv2"))
            .arg("put")
            .arg(&file)
            .args(["--title", &format!("note {id}"), "-"])
            .stdin(std::process::Stdio::from(
                std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap(),
            ))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mv2"))
        .args(["stats", "--json"])
        .arg(&file)
        .output()
        .unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stats["segments"]["lex"], 1, "{stats}");
}

/// Vectors that come with the lines of an import are stored, checked, and searched with.
#[test]
fn vectors_of_an_import_are_searched() {
    let dir = Dir::new();
    dir.write(
        "in.jsonl",
        r#"{"text":"a red apple","uri":"apple","vector":[1,0.1,0]}
{"text":"a blue sky","uri":"sky","vector":[0,0.2,1]}
{"text":"too short","vector":[1,2]}
{"text":"nothing","vector":[0,0,0]}
{"text":"words","vector":["a",0,0]}
{"text":"an apple tree without a vector","uri":"tree"}
"#,
    );
    let run = dir
        .mv2(&["put", "m.mv2", "--jsonl", "in.jsonl", "--json"])
        .code(2);
    assert_eq!(run.json()["frames"].as_array().unwrap().len(), 3);
    assert_eq!(
        run.stderr.matches("\"kind\":\"invalid_vector\"").count(),
        2,
        "{}",
        run.stderr
    );
    assert_eq!(
        run.stderr.matches("\"kind\":\"invalid_line\"").count(),
        1,
        "{}",
        run.stderr
    );
    let uris = |args: &[&str]| -> Vec<String> {
        let all = [&["search", "m.mv2", "--json"], args].concat();
        let hits = dir.mv2(&all).code(0).json()["hits"]
            .as_array()
            .unwrap()
            .clone();
        hits.iter()
            .map(|hit| hit["uri"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(uris(&["--vector", "[-0.1,0,1]"]), ["sky", "apple"]);
    assert_eq!(uris(&["--like", "sky"]), ["apple"]);
    assert_eq!(uris(&["apple"]), ["apple", "tree"]);
    let run = dir
        .mv2(&["search", "m.mv2", "apple", "--vector", "[1,0,0]", "--json"])
        .code(0);
    let answer = run.json();
    assert_eq!(answer["mode"], "hybrid");
    assert_eq!(answer["hits"][0]["uri"], "apple");
    assert_eq!(answer["hits"][0]["vec"]["rank"], 1);
    assert_eq!(answer["hits"][0]["lex"]["rank"], 1);
    let run = dir
        .mv2(&["search", "m.mv2", "apple", "--mode", "vec", "--json"])
        .code(1);
    assert_eq!(run.json()["mode"], "vec");
    let run = dir
        .mv2(&["search", "m.mv2", "--vector", "[1,2]", "--json"])
        .code(2);
    assert!(run.stderr.contains("invalid_vector"), "{}", run.stderr);
    dir.mv2(&["search", "m.mv2", "--vector", "1,2"]).code(2);
    dir.mv2(&["verify", "m.mv2", "--deep"]).code(0);
}

#[test]
fn an_automobile_is_found_for_a_car_and_nothing_for_no_word() {
    let dir = Dir::new();
    let lines = concat!(
        "{\"uri\":\"trip\",\"text\":\"My automobile broke down near the lake.\"}\n",
        "{\"uri\":\"bread\",\"text\":\"Banana bread with walnuts, an hour in the oven.\"}\n",
        "{\"uri\":\"meeting\",\"text\":\"The meeting with Ada is on Tuesday at noon.\"}\n",
        "{\"uri\":\"tokyo\",\"text\":\"東京で会議。\"}\n",
    );
    dir.mv2_with_input(&["put", "m.mv2", "--jsonl"], lines).ok();
    let args = ["put", "words.mv2", "--jsonl", "--no-embed"];
    dir.mv2_with_input(&args, lines).ok();
    let search = |file: &str, query: &str| dir.mv2(&["search", file, query, "--json"]);
    let found = search("m.mv2", "car").ok().json();
    assert_eq!(
        (&found["mode"], uris(&found)),
        (&"hybrid".into(), vec!["trip"])
    );
    assert_eq!(found["total"], 1);
    assert_eq!(
        uris(&search("m.mv2", "appointment").ok().json()),
        ["meeting"]
    );
    // By words where the model knows none of them.
    assert_eq!(uris(&search("m.mv2", "会議").ok().json()), ["tokyo"]);
    for nothing in ["zxqv", "blorf gnarp", "Kowalczyk"] {
        search("m.mv2", nothing).code(1);
    }
    // The best passage for a prompt is one of them too.
    let context = dir.mv2(&["context", "m.mv2", "car"]).ok();
    let passages = String::from_utf8(context.stdout).unwrap();
    assert!(passages.contains("automobile"), "{passages}");
    search("words.mv2", "car").code(1);
    dir.mv2(&["context", "m.mv2", "car", "--mode", "lex"])
        .code(1);
    dir.mv2(&["reembed", "words.mv2"]).ok();
    let again = search("words.mv2", "car").ok().json();
    assert_eq!(again["hits"][0]["vec"], found["hits"][0]["vec"]);
    let args = ["put", "m.mv2", "-", "--embedder", "no-such", "--json"];
    let run = dir.mv2_with_input(&args, "x").code(2);
    assert_eq!(run.error_kind(), "unknown_embedder");
}
