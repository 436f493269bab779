//! What a user can hand in wrongly, or do at a bad moment: each time a named error, and nothing lost.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use common::{Dir, assert_keys};
use serde_json::{Value, json};

/// A memory of twenty commits, so that there is something to vacuum.
fn memory() -> Dir {
    let dir = Dir::new();
    let lines: String = (0..400)
        .map(|n| {
            format!(
                "{{\"uri\":\"doc/{}\",\"text\":\"version {n} of a note\"}}\n",
                n % 40
            )
        })
        .collect();
    dir.write("in.jsonl", lines);
    dir.mv2(&[
        "put",
        "m.mv2",
        "--jsonl",
        "in.jsonl",
        "--commit-every",
        "20",
    ])
    .ok();
    dir
}

/// What readers see of a memory: the log, and every visible document.
fn seen(dir: &Dir, name: &str) -> [Value; 2] {
    [&["log", name, "--json"][..], &["timeline", name, "--json"]]
        .map(|args| dir.mv2(args).ok().json())
}

#[test]
fn each_kind_of_bad_line_has_its_name_and_the_others_are_put() {
    let deep = format!(
        r#"{{"text":"deep","metadata":{}1{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let good_depth = format!(
        r#"{{"text":"deep enough","metadata":{}1{}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    let cases: Vec<(&[u8], Option<&str>)> = vec![
        (b"\xef\xbb\xbf{\"text\":\"byte order mark\"}\r", None),
        (b"not json", Some("invalid_json")),
        (b"{\"text\":\"cut", Some("invalid_json")),
        (b"{\"text\":\"x\"} {\"text\":\"y\"}", Some("invalid_json")),
        (b"{'text':'x'}", Some("invalid_json")),
        (b"{\"text\":\"x\",}", Some("invalid_json")),
        (
            b"\xef\xbb\xbf{\"text\":\"a mark in the middle\"}",
            Some("invalid_json"),
        ),
        (b"[{\"text\":\"x\"}]", Some("invalid_line")),
        (b"\"text\"", Some("invalid_line")),
        (b"null", Some("invalid_line")),
        (b"42", Some("invalid_line")),
        (b"{}", Some("invalid_line")),
        (b"{\"text\":null}", Some("invalid_line")),
        (b"{\"text\":7}", Some("invalid_line")),
        (b"{\"text\":[\"x\"]}", Some("invalid_line")),
        (b"{\"text\":\"x\",\"uri\":1}", Some("invalid_line")),
        (b"{\"text\":\"x\",\"title\":{}}", Some("invalid_line")),
        (b"{\"text\":\"x\",\"tags\":[\"a\"]}", Some("invalid_line")),
        (
            b"{\"text\":\"x\",\"tags\":{\"a\":[]}}",
            Some("invalid_line"),
        ),
        (b"{\"text\":\"x\",\"labels\":\"a\"}", Some("invalid_line")),
        (b"{\"text\":\"x\",\"labels\":[null]}", Some("invalid_line")),
        (b"{\"text\":\"x\",\"timestamp\":true}", Some("invalid_line")),
        (
            b"{\"text\":\"x\",\"timestamp\":\"soon\"}",
            Some("invalid_time"),
        ),
        (
            b"{\"text\":\"x\",\"timestamp\":\"2026-02-30\"}",
            Some("invalid_time"),
        ),
        (
            b"{\"text\":\"x\",\"timestamp\":1e300}",
            Some("invalid_time"),
        ),
        (
            b"{\"text\":\"x\",\"timestamp\":99999999999999999999}",
            Some("invalid_time"),
        ),
        (b"{\"text\":\"x\",\"metadata\":NaN}", Some("invalid_json")),
        (b"{\"text\":\"x\",\"metadata\":1e999}", Some("invalid_json")),
        (
            b"{\"text\":\"x\",\"metadata\":-Infinity}",
            Some("invalid_json"),
        ),
        (
            b"{\"text\":\"x\",\"metadata\":[1e308,123456789012345678901234567890]}",
            None,
        ),
        (deep.as_bytes(), Some("invalid_json")),
        (good_depth.as_bytes(), None),
        (b"{\"text\":\"\xff\"}", Some("invalid_utf8")),
        (b"{\"text\":\"\xed\xa0\x80\"}", Some("invalid_utf8")),
        (
            b"{\"text\":\"lone surrogate \\ud800\"}",
            Some("invalid_json"),
        ),
        (b"{\"text\":\"a raw \x00\"}", Some("invalid_json")),
        (b"\x00", Some("invalid_json")),
        (b"{\"text\":\"an escaped \\u0000 is kept\"}", None),
        (b"", None),
        (b" \t\r", None),
        (b"{\"text\":\"carriage return\"}\r", None),
        (b"{\"text\":\"\",\"uri\":\"empty\"}", None),
        (b"{\"text\":\"first\",\"uri\":\"twice\"}", None),
        (b"{\"text\":\"second\",\"uri\":\"twice\"}", None),
        (b"{\"text\":\"x\",\"text\":\"the last one counts\"}", None),
        (
            b"{\"text\":\"no line break at the end\",\"unheard_of\":1}",
            None,
        ),
    ];
    let dir = Dir::new();
    let lines: Vec<&[u8]> = cases.iter().map(|(line, _)| *line).collect();
    dir.write("in.jsonl", lines.join(&b'\n'));

    let run = dir
        .mv2(&["put", "m.mv2", "--jsonl", "in.jsonl", "--json"])
        .code(2);
    let mut skipped = Vec::new();
    for line in run.stderr.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            let noticed = line.contains("unheard_of") || line.contains("1 document not text");
            assert!(noticed, "{line}");
            continue;
        };
        let Some(line) = line.get("skipped") else {
            continue;
        };
        assert_keys(line, &["source", "line", "kind", "message"]);
        let kind = line["kind"].as_str().unwrap().to_owned();
        skipped.push((line["line"].as_u64().unwrap(), kind));
    }
    let expected: Vec<(u64, String)> = (1..)
        .zip(&cases)
        .filter_map(|(number, (_, kind))| Some((number, (*kind)?.to_owned())))
        .collect();
    assert_eq!(skipped, expected);

    let text = |line: &[u8]| Some(serde_json::from_slice::<Value>(line).ok()?["text"].clone());
    let good: Vec<Value> = cases
        .iter()
        .filter(|(line, kind)| kind.is_none() && !line.trim_ascii().is_empty())
        .map(|(line, _)| text(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)).unwrap())
        .collect();
    let frames = run.json()["frames"].clone();
    assert_eq!(frames.as_array().unwrap().len(), good.len());
    for (frame, text) in frames.as_array().unwrap().iter().zip(&good) {
        if *text == "first" {
            continue; // Its place was taken in the same commit.
        }
        let id = frame["frame_id"].to_string();
        let raw = dir.mv2(&["get", "m.mv2", &id, "--raw"]).ok();
        assert_eq!(raw.stdout(), text.as_str().unwrap());
    }
    let twice = dir.mv2(&["get", "m.mv2", "twice", "--json"]).ok().json();
    assert_eq!(twice["text"], "second");
    dir.mv2(&["verify", "m.mv2", "--deep"]).ok();
}

#[test]
fn a_line_of_fifty_megabytes_is_a_document() {
    let dir = Dir::new();
    let text = "fifty megabytes of words. ".repeat(2_000_000);
    let mut lines = serde_json::to_vec(&json!({"uri": "long", "text": text})).unwrap();
    lines.extend(b"\n{\"uri\":\"short\",\"text\":\"the next line\"}\n");
    dir.write("in.jsonl", &lines);
    dir.mv2(&["put", "m.mv2", "--jsonl", "in.jsonl"]).ok();
    let raw = dir.mv2(&["get", "m.mv2", "long", "--raw"]).ok();
    assert!(raw.stdout == text.as_bytes());
    dir.mv2(&["get", "m.mv2", "short"]).ok();
}

#[test]
fn a_vacuum_beside_readers_leaves_them_what_they_read() {
    let dir = memory();
    let before = seen(&dir, "m.mv2");
    let reader = mv2::Memvid::open_read_only(dir.path("m.mv2")).unwrap();
    let pinned = reader.snapshot().unwrap();
    let id = pinned.frame_by_uri("doc/7").unwrap().id;
    let len = fs::metadata(dir.path("m.mv2")).unwrap().len();
    dir.mv2(&["vacuum", "m.mv2"]).ok();
    assert!(fs::metadata(dir.path("m.mv2")).unwrap().len() < len);
    assert_eq!(seen(&dir, "m.mv2"), before);
    dir.mv2_with_input(&["put", "m.mv2", "-", "--uri", "later"], "after the vacuum")
        .ok();
    // The old snapshot reads the file that has no name any more, the handle follows to the new one.
    assert_eq!(
        pinned.frame_text_by_id(id).unwrap(),
        "version 367 of a note"
    );
    assert!(pinned.frame_by_uri("later").is_err());
    assert_eq!(
        reader.frame_text_by_id(id).unwrap(),
        "version 367 of a note"
    );
    reader.frame_by_uri("later").unwrap();
    assert_eq!(dir.names(), ["in.jsonl", "m.mv2"]);
}

#[test]
fn a_seal_waits_for_a_writer_and_ends_an_import_between_its_commits() {
    let dir = memory();
    let bytes = fs::read(dir.path("m.mv2")).unwrap();
    let mut writer = mv2::Memvid::open(dir.path("m.mv2")).unwrap();
    writer.put_bytes(b"pending").unwrap();
    for command in ["seal", "vacuum", "optimize"] {
        let run = dir.mv2(&[command, "m.mv2", "--lock-wait", "0", "--json"]);
        assert_eq!(run.code(2).error_kind(), "locked", "{command}");
    }
    writer.rollback();
    drop(writer);
    assert_eq!(fs::read(dir.path("m.mv2")).unwrap(), bytes);

    let mut child = dir.spawn(&[
        "put",
        "m.mv2",
        "--jsonl",
        "-",
        "--commit-every",
        "1",
        "--json",
    ]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin
        .write_all(b"{\"text\":\"before the seal\"}\n")
        .unwrap();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let committed: Value = serde_json::from_str(&line).unwrap();
    dir.mv2(&["seal", "m.mv2"]).ok();
    // The import may be gone by the time that it is sent its next line.
    let _ = stdin.write_all(b"{\"text\":\"after the seal\"}\n");
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let error: Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["kind"], "sealed", "{stderr}");
    let log = dir.mv2(&["log", "m.mv2", "--json"]).ok().json();
    assert_eq!(log["commits"][0]["id"], committed["commit"]["id"]);
    dir.mv2(&["verify", "m.mv2", "--deep"]).ok();
}

/// A kill of the process at any moment leaves the memory as it was; the crash enumerator of mv2-store does the same
/// at every write and with a power failure.
#[cfg(unix)]
#[test]
fn maintenance_that_is_killed_changes_nothing_that_is_remembered() {
    let dir = memory();
    let before = seen(&dir, "m.mv2");
    for round in 0..12 {
        let command = ["optimize", "vacuum", "seal"][round % 3];
        let mut child = dir.spawn(&[command, "m.mv2"]);
        std::thread::sleep(std::time::Duration::from_micros(round as u64 * 1_500));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen(&dir, "m.mv2"), before, "{command}, round {round}");
        dir.mv2(&["verify", "m.mv2", "--deep"]).ok();
        dir.mv2(&["unseal", "m.mv2"]).ok();
    }
    // A writer removes what a kill between link and rename left.
    dir.mv2_with_input(&["put", "m.mv2", "-"], "text").ok();
    assert_eq!(dir.names(), ["in.jsonl", "m.mv2"]);
}

/// Runs a script as root of a mount namespace of its own, in the folder. `None` where that is not allowed.
#[cfg(target_os = "linux")]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn with_mounts(dir: &Dir, script: &str) -> Option<common::Run> {
    let allowed = Command::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs none /mnt"])
        .output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no mounts for tests on this machine (unshare -rm)");
        return None;
    }
    let args = ["-rm", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_mv2")];
    let output = Command::new("unshare")
        .args(args)
        .current_dir(dir.path("."))
        .output()
        .unwrap();
    Some(common::Run::new(&args, output))
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_a_mount_point_is_vacuumed_into_a_new_one() {
    let dir = memory();
    dir.write("bound/m.mv2", "");
    let before = seen(&dir, "m.mv2");
    let bytes = fs::read(dir.path("m.mv2")).unwrap();
    let script = r#"
        mount --bind m.mv2 bound/m.mv2 || exit 90
        "$1" vacuum bound/m.mv2 --json
        test $? = 2 || exit 91
        ls -A bound >&2
        "$1" vacuum bound/m.mv2 --to new.mv2 >&2 || exit 92
    "#;
    let Some(run) = with_mounts(&dir, script) else {
        return;
    };
    let run = run.ok();
    let mut lines = run.stderr.lines();
    let error: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(error["error"]["kind"], "cannot_replace", "{error}");
    assert!(error["error"]["hint"].as_str().unwrap().contains("--to"));
    assert_eq!(lines.next(), Some("m.mv2"), "nothing is left beside it");
    assert_eq!(fs::read(dir.path("m.mv2")).unwrap(), bytes);
    assert_eq!(seen(&dir, "new.mv2"), before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_vacuum_on_a_full_disk_is_an_error_and_leaves_the_file() {
    let dir = memory();
    let size = fs::metadata(dir.path("m.mv2")).unwrap().len();
    let script = format!(
        r#"
        mkdir disk && mount -t tmpfs -o size={} none disk && cp m.mv2 disk/m.mv2 || exit 90
        for command in vacuum seal; do
            "$1" $command disk/m.mv2 --json
            test $? = 2 || exit 91
        done
        cmp m.mv2 disk/m.mv2 || exit 92
        test "$(ls -A disk)" = m.mv2 || exit 93
        "$1" verify disk/m.mv2 --deep >&2 || exit 94
        rm disk/m.mv2 && umount disk
    "#,
        size + (16 << 10)
    );
    let Some(run) = with_mounts(&dir, &script) else {
        return;
    };
    let run = run.ok();
    for line in run.stderr.lines().take(2) {
        let error: Value = serde_json::from_str(line).unwrap();
        assert_eq!(error["error"]["kind"], "disk_full", "{error}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("No space left"), "{message}");
    }
}
