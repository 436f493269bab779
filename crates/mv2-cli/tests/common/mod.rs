//! What the tests of the command share: a folder of their own, and what a run left.

// Each test crate uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A folder for one test.
pub(crate) struct Dir {
    temp: tempfile::TempDir,
}

impl Dir {
    pub(crate) fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mv2"));
        command.current_dir(self.temp.path()).args(args);
        for name in ["NO_COLOR", "COLUMNS", "TERM"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn mv2(&self, args: &[&str]) -> Run {
        Run::new(args, self.command(args).output().unwrap())
    }

    pub(crate) fn mv2_with_input(&self, args: &[&str], input: impl AsRef<[u8]>) -> Run {
        let mut child = self.spawn(args);
        let mut stdin = child.stdin.take().unwrap();
        // The command may stop reading early, which is then what the test is about.
        let _ = stdin.write_all(input.as_ref());
        drop(stdin);
        Run::new(args, child.wait_with_output().unwrap())
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.temp.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// What a run of the command left.
pub(crate) struct Run {
    pub(crate) args: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn new(args: &[&str], output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{args:?} panicked: {stderr}");
        let mut args = args.join(" ");
        args.truncate(args.floor_char_boundary(200));
        Self {
            args,
            code: output.status.code(),
            stdout: output.stdout,
            stderr,
        }
    }

    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        let (args, stdout, stderr) = (&self.args, self.stdout(), &self.stderr);
        assert_eq!(
            self.code,
            Some(code),
            "mv2 {args}\nstdout: {stdout}\nstderr: {stderr}"
        );
        self
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    pub(crate) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or("(not text)")
    }

    /// The only line of the output, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let mut lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{}", self.stdout());
        lines.remove(0)
    }

    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let lines = self.stdout().lines();
        lines
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }

    /// The kind of the error that stands on standard error as JSON.
    #[track_caller]
    pub(crate) fn error_kind(&self) -> String {
        let line = self.stderr.lines().last().unwrap_or_default();
        let error: Value = serde_json::from_str(line).expect(&self.stderr);
        assert_keys(&error, &["error"]);
        assert_keys(&error["error"], &["kind", "message", "hint"]);
        error["error"]["kind"].as_str().unwrap().to_owned()
    }
}

#[track_caller]
pub(crate) fn assert_keys(object: &Value, expected: &[&str]) {
    let found: BTreeSet<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(found, expected.iter().copied().collect());
}

#[track_caller]
pub(crate) fn assert_time(value: &Value) {
    let text = value.as_str().unwrap();
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
}

pub(crate) fn statuses(put: &Value) -> Vec<(String, String)> {
    let frames = put["frames"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    frames
        .iter()
        .map(|frame| (text(&frame["uri"]), text(&frame["status"])))
        .collect()
}

pub(crate) fn uris(search: &Value) -> Vec<&str> {
    let hits = search["hits"].as_array().unwrap();
    hits.iter()
        .map(|hit| hit["uri"].as_str().unwrap_or("-"))
        .collect()
}
