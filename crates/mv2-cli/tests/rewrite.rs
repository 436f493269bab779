//! `mv2 optimize`, `vacuum`, `seal`, `unseal` and `backup` as a user runs them: JSON names, exit codes, errors, and
//! a memory that holds afterwards what it held before.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

struct Dir(tempfile::TempDir);

impl Dir {
    /// A memory of 40 documents, put over a few commits and partly superseded and deleted.
    fn with_memory() -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        for round in 0..3 {
            let lines: String = (0..20)
                .map(|id| {
                    let uri = if id < 10 { format!("n{id}") } else { format!("r{round}/{id}") };
                    format!("{{\"uri\":\"{uri}\",\"text\":\"In round {round} the harbour of 東京 closed {id} times.\"}}\n")
                })
                .collect();
            fs::write(dir.path("in.jsonl"), lines).unwrap();
            dir.ok(&["put", "m.mv2", "--jsonl", "in.jsonl", "--commit-every", "3"]);
            fs::remove_file(dir.path("in.jsonl")).unwrap();
            dir.ok(&["optimize", "m.mv2"]);
        }
        dir.ok(&["delete", "m.mv2", "n3", "r1/12"]);
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn len(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().len()
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mv2"));
        for name in ["NO_COLOR", "COLUMNS", "TERM"] {
            command.env_remove(name);
        }
        command
            .current_dir(self.0.path())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What a run that has to succeed prints.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?} {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let args = [args, &["--json"]].concat();
        let output = self.run(&args);
        assert_eq!(output.status.code(), Some(0), "{args:?} {output:?}");
        assert!(output.stderr.is_empty(), "{args:?} {output:?}");
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["v"], 1);
        value
    }

    /// The kind of the error of a run that has to fail with exit code 2, and its hint.
    #[track_caller]
    fn error(&self, args: &[&str]) -> (String, String) {
        let args = [args, &["--json"]].concat();
        let output = self.run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?} {output:?}");
        assert!(output.stdout.is_empty());
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        let text = |name: &str| error["error"][name].as_str().unwrap_or("").to_owned();
        (text("kind"), text("hint"))
    }

    /// All that the commands show of a memory, without what differs from run to run.
    fn seen(&self, name: &str) -> Vec<Value> {
        let mut search = self.json(&["search", name, "harbour 東京 round", "-k", "50", "--count"]);
        search.as_object_mut().unwrap().remove("took_ms");
        assert!(search["hits"].as_array().unwrap().len() > 30, "{search}");
        vec![
            search,
            self.json(&["timeline", name, "--limit", "100"]),
            self.json(&["log", name, "--frames"]),
            self.json(&["get", name, "r2/19"]),
        ]
    }

    #[track_caller]
    fn sound(&self, name: &str) {
        self.ok(&["verify", name, "--deep"]);
    }
}

#[track_caller]
fn assert_keys(object: &Value, expected: &[&str]) {
    let found: BTreeSet<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(found, expected.iter().copied().collect());
}

const REWRITTEN: [&str; 4] = ["v", "path", "bytes_before", "bytes_after"];

#[test]
fn each_command_names_its_fields_and_changes_nothing_that_is_remembered() {
    let dir = Dir::with_memory();
    let before = dir.seen("m.mv2");

    let len = dir.len("m.mv2");
    let optimized = dir.json(&["optimize", "m.mv2"]);
    let counts = ["segments_before", "segments_after"];
    assert_keys(&optimized, &[&REWRITTEN[..], &counts[..]].concat());
    assert_eq!(optimized["bytes_before"], len);
    assert_eq!(optimized["bytes_after"], dir.len("m.mv2"));
    let segments = dir.json(&["stats", "m.mv2"])["segments"].clone();
    let sum: u64 = segments
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(optimized["segments_after"], sum);
    assert_eq!(segments["lex"], 1);
    assert_eq!(dir.seen("m.mv2"), before);
    dir.sound("m.mv2");

    for command in ["vacuum", "seal", "unseal"] {
        let len = dir.len("m.mv2");
        let rewritten = dir.json(&[command, "m.mv2"]);
        assert_keys(&rewritten, &REWRITTEN);
        assert_eq!(rewritten["path"], "m.mv2");
        assert_eq!(rewritten["bytes_before"], len, "{command}");
        assert_eq!(rewritten["bytes_after"], dir.len("m.mv2"), "{command}");
        assert_eq!(dir.len("m.mv2") > len, command == "unseal", "{command}");
        let sealed = dir.json(&["stats", "m.mv2"])["sealed"].clone();
        assert_eq!(sealed, command == "seal");
        assert_eq!(dir.seen("m.mv2"), before, "{command}");
        dir.sound("m.mv2");
    }

    let copied = dir.json(&["backup", "m.mv2", "copy.mv2"]);
    assert_keys(&copied, &[&REWRITTEN[..], &["commit"]].concat());
    assert_eq!(copied["path"], "copy.mv2");
    assert_eq!(copied["bytes_before"], dir.len("m.mv2"));
    assert_eq!(copied["bytes_after"], dir.len("copy.mv2"));
    assert_eq!(copied["commit"], before[2]["commits"][0]["id"]);
    assert_eq!(dir.seen("copy.mv2"), before);
    dir.sound("copy.mv2");
    assert_eq!(
        dir.names(),
        BTreeSet::from(["copy.mv2", "m.mv2"].map(str::to_owned))
    );
}

#[test]
fn people_read_one_line() {
    let dir = Dir::with_memory();
    for (args, start, end) in [
        (&["optimize", "m.mv2"][..], "optimized m.mv2: ", " more\n"),
        (&["vacuum", "m.mv2"], "vacuumed m.mv2: ", " saved\n"),
        (
            &["vacuum", "m.mv2", "--to", "new.mv2"],
            "vacuumed m.mv2 into new.mv2: ",
            " nothing saved\n",
        ),
        (&["seal", "m.mv2"], "sealed m.mv2: ", " saved\n"),
        (&["seal", "m.mv2"], "m.mv2 was sealed already (", ")\n"),
        (
            &["unseal", "m.mv2", "--wal-bytes", "64K"],
            "unsealed m.mv2: ",
            ", of which the log takes 64.0 KiB\n",
        ),
        (&["unseal", "m.mv2"], "m.mv2 was not sealed (", ")\n"),
        (
            &["backup", "m.mv2", "b.mv2"],
            "copied m.mv2 at commit ",
            ")\n",
        ),
    ] {
        let output = dir.run(args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(start) && text.ends_with(end), "{text:?}");
        assert_eq!(text.lines().count(), 1, "{text:?}");
    }
}

#[test]
fn a_sealed_file_is_searched_and_refuses_each_write() {
    let dir = Dir::with_memory();
    dir.ok(&["seal", "m.mv2"]);
    let bytes = fs::read(dir.path("m.mv2")).unwrap();
    fs::write(dir.path("in.txt"), "text").unwrap();
    for args in [
        &["put", "m.mv2", "in.txt"][..],
        &["update", "m.mv2", "n1", "--title", "t"],
        &["delete", "m.mv2", "n1"],
        &["optimize", "m.mv2"],
    ] {
        let (kind, hint) = dir.error(args);
        assert_eq!(kind, "sealed", "{args:?}");
        assert!(hint.contains("mv2 unseal"), "{hint}");
    }
    assert!(!dir.ok(&["search", "m.mv2", "harbour"]).is_empty());
    let stats = dir.ok(&["stats", "m.mv2"]);
    assert!(stats.contains("sealed"), "{stats}");
    assert_eq!(dir.json(&["stats", "m.mv2"])["wal_bytes"], 0);
    let again = dir.json(&["seal", "m.mv2"]);
    assert_eq!(again["bytes_before"], again["bytes_after"]);
    assert_eq!(fs::read(dir.path("m.mv2")).unwrap(), bytes, "not a byte");

    dir.ok(&["unseal", "m.mv2", "--wal-bytes", "128K"]);
    assert_eq!(dir.json(&["stats", "m.mv2"])["wal_bytes"], 128 << 10);
    dir.ok(&["put", "m.mv2", "in.txt"]);
    dir.sound("m.mv2");
    let usage = dir.run(&["unseal", "m.mv2", "--wal-bytes", "1K"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn a_file_with_two_names_is_vacuumed_into_a_new_one() {
    let dir = Dir::with_memory();
    let before = dir.seen("m.mv2");
    fs::hard_link(dir.path("m.mv2"), dir.path("second.mv2")).unwrap();
    for command in ["vacuum", "seal"] {
        let (kind, hint) = dir.error(&[command, "m.mv2"]);
        assert_eq!(kind, "cannot_replace");
        assert!(hint.contains("--to"), "{hint}");
    }
    let bytes = fs::read(dir.path("m.mv2")).unwrap();
    let args = ["vacuum", "m.mv2", "--to", "new.mv2"];
    let vacuumed = dir.json(&args);
    assert_keys(&vacuumed, &REWRITTEN);
    assert_eq!(vacuumed["path"], "new.mv2");
    assert_eq!(vacuumed["bytes_before"], bytes.len());
    assert_eq!(vacuumed["bytes_after"], dir.len("new.mv2"));
    assert!(dir.len("new.mv2") < bytes.len() as u64);
    assert_eq!(fs::read(dir.path("m.mv2")).unwrap(), bytes);
    assert_eq!(dir.seen("new.mv2"), before);
    dir.sound("new.mv2");
    assert_eq!(dir.error(&args).0, "already_exists");
    assert_eq!(
        dir.error(&["vacuum", "m.mv2", "--to", "m.mv2"]).0,
        "already_exists"
    );
}

#[cfg(unix)]
#[test]
fn a_symlink_stays_one() {
    let dir = Dir::with_memory();
    let before = dir.seen("m.mv2");
    fs::create_dir(dir.path("links")).unwrap();
    std::os::unix::fs::symlink("../m.mv2", dir.path("links/l.mv2")).unwrap();
    for command in ["vacuum", "seal", "unseal"] {
        dir.ok(&[command, "links/l.mv2"]);
        let link = fs::symlink_metadata(dir.path("links/l.mv2")).unwrap();
        assert!(link.is_symlink(), "{command}");
        assert_eq!(dir.seen("m.mv2"), before, "{command}");
        dir.sound("m.mv2");
    }
    assert_eq!(fs::read_dir(dir.path("links")).unwrap().count(), 1);
    // What a link names is there, even if it leads nowhere.
    std::os::unix::fs::symlink("nowhere.mv2", dir.path("dangling.mv2")).unwrap();
    let (kind, _) = dir.error(&["backup", "m.mv2", "dangling.mv2"]);
    assert_eq!(kind, "already_exists");
}

#[test]
fn a_backup_needs_no_lock_and_takes_no_name_that_is_taken() {
    let dir = Dir::with_memory();
    let before = dir.seen("m.mv2");
    let mut other = mv2::Memvid::open(dir.path("m.mv2")).unwrap();
    other.put_bytes(b"pending").unwrap();
    for command in ["vacuum", "seal", "optimize"] {
        let (kind, _) = dir.error(&[command, "m.mv2", "--lock-wait", "0"]);
        assert_eq!(kind, "locked");
    }
    dir.ok(&["backup", "m.mv2", "copy.mv2", "--lock-wait", "0"]);
    dir.ok(&["vacuum", "m.mv2", "--to", "dense.mv2", "--lock-wait", "0"]);
    other.commit().unwrap();
    for name in ["copy.mv2", "dense.mv2"] {
        assert_eq!(dir.seen(name), before);
        dir.sound(name);
    }
    fs::write(dir.path("text"), "mine").unwrap();
    for name in ["copy.mv2", "text", "."] {
        let (kind, hint) = dir.error(&["backup", "m.mv2", name]);
        assert_eq!(kind, "already_exists", "{name}");
        assert!(!hint.is_empty());
    }
    assert_eq!(fs::read(dir.path("text")).unwrap(), b"mine");
    assert_eq!(
        dir.error(&["backup", "m.mv2", "no/such/folder.mv2"]).0,
        "io"
    );
    for command in ["optimize", "vacuum", "seal", "unseal"] {
        assert_eq!(dir.error(&[command, "none.mv2"]).0, "not_found");
        assert_eq!(dir.error(&[command, "text"]).0, "not_mv2");
    }
    assert_eq!(dir.error(&["backup", "none.mv2", "b.mv2"]).0, "not_found");
    assert!(!dir.names().contains("b.mv2"));
}

/// Text that does not compress, so that a file of known size comes of it.
fn noise(seed: u64, len: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + (state >> 32) as u8 % 64)
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn a_memory_of_many_updates_is_told_of_the_vacuum_and_shrinks_by_it() {
    let dir = Dir(tempfile::tempdir().unwrap());
    let mut memory = mv2::Memvid::create(dir.path("m.mv2")).unwrap();
    for version in 0..60 {
        let options = mv2::PutOptions::builder()
            .uri(format!("doc{}", version % 4))
            .build();
        let text = format!("version {version} {}", noise(version, 8 << 10));
        memory
            .put_bytes_with_options(text.as_bytes(), options)
            .unwrap();
        memory.commit().unwrap();
        memory.checkpoint().unwrap();
    }
    drop(memory);
    let before = dir.json(&["stats", "m.mv2"]);
    let [dead, live, wal] =
        ["dead_bytes", "live_bytes", "wal_bytes"].map(|name| before[name].as_u64().unwrap());
    assert!(dead > 1 << 20 && dead > (live - wal) / 2, "{before}");
    assert_eq!(before["advice"], "vacuum");
    let told = dir.run(&["stats", "m.mv2"]);
    let note = String::from_utf8(told.stderr).unwrap();
    assert!(note.starts_with("note: vacuum would free "), "{note}");
    assert!(note.ends_with(": mv2 vacuum m.mv2\n"), "{note}");

    let vacuumed = dir.json(&["vacuum", "m.mv2"]);
    let saved = before["file_bytes"].as_u64().unwrap() - dir.len("m.mv2");
    assert!(saved >= dead / 10 * 9, "{saved} of {dead}: {vacuumed}");
    let after = dir.json(&["stats", "m.mv2"]);
    assert_eq!(after["advice"], Value::Null);
    for name in ["frames", "frames_total", "commits", "payload_bytes"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert!(dir.run(&["stats", "m.mv2"]).stderr.is_empty());
    dir.sound("m.mv2");
}
