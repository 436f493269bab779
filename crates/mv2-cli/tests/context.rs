//! `mv2 context` as a user runs it: text, JSON, budget, citations, exit codes.

use std::process::{Command, Output};

use serde_json::Value;

struct Dir(tempfile::TempDir);

impl Dir {
    fn with_notes() -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        let notes = [
            (
                "tea.md",
                "# Tea\n\nAda drinks green tea in the morning and black tea at work.",
            ),
            (
                "copy.md",
                "# Tea\n\nAda drinks green tea in the morning and black tea at work.",
            ),
            (
                "coffee.md",
                "Nobody here drinks coffee; tea is what they drink.",
            ),
            ("会議.md", "会議は京都で開かれる。"),
        ];
        std::fs::create_dir(dir.0.path().join("notes")).unwrap();
        for (name, text) in notes {
            std::fs::write(dir.0.path().join("notes").join(name), text).unwrap();
        }
        dir.run(
            0,
            &[
                "put",
                "m.mv2",
                "notes",
                "--timestamp",
                "2026-11-25",
                "--tag",
                "who=ada",
            ],
        );
        dir
    }

    fn run(&self, code: i32, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mv2"));
        for name in ["NO_COLOR", "COLUMNS", "TERM"] {
            command.env_remove(name);
        }
        let output = command.current_dir(self.0.path()).args(args).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?} {output:?}");
        output
    }

    fn text(&self, args: &[&str]) -> String {
        String::from_utf8(self.run(0, args).stdout).unwrap()
    }

    fn json(&self, code: i32, args: &[&str]) -> Value {
        serde_json::from_slice(&self.run(code, &[args, &["--json"]].concat()).stdout).unwrap()
    }
}

#[test]
fn text_is_ready_for_a_prompt() {
    let dir = Dir::with_notes();
    let text = dir.text(&["context", "m.mv2", "When", "does Ada drink", "green tea?"]);
    assert!(text.starts_with("[1] Tea (copy.md, frame "), "{text}");
    assert!(
        text.contains(", 2026-11-25)\n# Tea\n\nAda drinks green tea"),
        "{text}"
    );
    assert_eq!(text.matches("green tea").count(), 1, "{text}");
    assert!(text.contains("\n\n[2] coffee.md (frame "), "{text}");
    let text = dir.text(&["context", "m.mv2", "京都"]);
    assert!(text.ends_with("\n会議は京都で開かれる。\n"), "{text}");
}

#[test]
fn json_has_the_documented_names() {
    let dir = Dir::with_notes();
    let context = dir.json(
        0,
        &["context", "m.mv2", "tea", "--max-tokens", "200", "-k", "3"],
    );
    let names = |value: &Value| {
        let object = value.as_object().unwrap();
        object.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    let sorted = |text: &str| {
        let mut names: Vec<_> = text.split(' ').collect();
        names.sort_unstable();
        names.join(" ")
    };
    let mut found: Vec<String> = names(&context).split(' ').map(str::to_owned).collect();
    found.sort_unstable();
    assert_eq!(
        found.join(" "),
        sorted("v as_of branch query max_tokens tokens text passages")
    );
    assert_eq!(context["v"], 1);
    assert_eq!(context["query"], "tea");
    assert_eq!(context["max_tokens"], 200);
    assert!(context["tokens"].as_u64().unwrap() <= 200);
    let passages = context["passages"].as_array().unwrap();
    assert_eq!(passages.len(), 2);
    for (at, passage) in passages.iter().enumerate() {
        let mut found: Vec<String> = names(passage).split(' ').map(str::to_owned).collect();
        found.sort_unstable();
        let expected = "rank frame_id uri title text start end score timestamp commit";
        assert_eq!(found.join(" "), sorted(expected));
        assert_eq!(passage["rank"], at + 1);
        assert_eq!(passage["timestamp"], "2026-11-25T00:00:00.000000Z");
        // The citation leads to the document, by either name.
        let whole = dir.json(0, &["get", "m.mv2", passage["uri"].as_str().unwrap()]);
        assert_eq!(
            whole,
            dir.json(0, &["get", "m.mv2", &passage["frame_id"].to_string()])
        );
        let bytes = |name: &str| usize::try_from(passage[name].as_u64().unwrap()).unwrap();
        let text = &whole["text"].as_str().unwrap()[bytes("start")..bytes("end")];
        assert_eq!(passage["text"], text);
    }
    let printed = dir.text(&["context", "m.mv2", "tea", "--max-tokens", "200", "-k", "3"]);
    assert_eq!(context["text"], printed);
}

#[test]
fn nothing_found_is_exit_code_1() {
    let dir = Dir::with_notes();
    let output = dir.run(1, &["context", "m.mv2", "zeppelin"]);
    assert!(output.stdout.is_empty());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "nothing found\n");
    let context = dir.json(1, &["context", "m.mv2", "zeppelin"]);
    assert_eq!(context["text"], "");
    assert_eq!(context["tokens"], 0);
    assert_eq!(context["passages"], Value::Array(Vec::new()));
    let output = dir.run(1, &["context", "m.mv2", "tea", "--max-tokens", "3"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "3 documents found, but no passage fits into 3 tokens\n"
    );
}

#[test]
fn filters_hold() {
    let dir = Dir::with_notes();
    let text = dir.text(&[
        "context", "m.mv2", "tea", "--uri", "coff*", "--tag", "who=ada",
    ]);
    assert!(text.starts_with("[1] coffee.md (frame "), "{text}");
    assert!(!text.contains("[2]"), "{text}");
    dir.run(1, &["context", "m.mv2", "tea", "--tag", "who=bob"]);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let dir = Dir::with_notes();
    dir.run(2, &["context", "m.mv2"]);
    dir.run(2, &["context", "m.mv2", "tea", "--max-tokens", "0"]);
    dir.run(2, &["context", "m.mv2", "tea", "--max-tokens", "many"]);
    dir.run(2, &["context", "missing.mv2", "tea"]);
}
