//! Completions, manual page and reference name all that `--help` names, and the reference's JSON is what is printed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn mv2(folder: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_mv2"))
        .current_dir(folder)
        .args(args)
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn here(args: &[&str]) -> String {
    mv2(Path::new("."), args)
}

/// Names of the commands in the help of the whole.
fn commands() -> Vec<String> {
    let help = here(&["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap();
    let list = list.split("\n\n").next().unwrap();
    let entries = list.lines().filter(|line| {
        let indent = line.len() - line.trim_start().len();
        indent == 2
    });
    let names: Vec<String> = entries
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    names
}

/// Long flags in a help text, without their dashes.
fn flags(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start);
    lines
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| line.split("--").nth(1))
        .map(|rest| {
            let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
            rest.chars().take_while(is_name).collect()
        })
        .collect()
}

/// The part of the reference that is about a command.
fn section<'a>(page: &'a str, command: &str) -> &'a str {
    let head = format!("\n## mv2 {command}\n");
    let rest = page.split(&head).nth(1);
    let rest = rest.unwrap_or_else(|| panic!("no section on {command}"));
    rest.split("\n## ").next().unwrap()
}

#[test]
fn reference_and_manual_name_what_help_names() {
    let page = here(&["generate", "markdown"]);
    let man = here(&["generate", "man"]).replace("\\-", "-");
    assert!(man.contains(".TH mv2 1"), "{man}");
    let everywhere = page.split("\n## mv2 ").next().unwrap();
    for command in commands() {
        let own = section(&page, &command);
        let heading = format!("mv2 {command}\"\n");
        assert!(man.contains(&heading), "the manual lacks {command}");
        if command == "help" {
            continue;
        }
        for flag in flags(&here(&[&command, "--help"])) {
            let name = format!("--{flag}");
            let known = own.contains(&name) || everywhere.contains(&name);
            assert!(known, "the reference of {command} lacks {name}");
            assert!(man.contains(&name), "the manual lacks {command} {name}");
        }
    }
}

#[test]
fn completions_name_what_help_names() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = here(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell} lacks {command}");
            if command == "help" {
                continue;
            }
            for flag in flags(&here(&[&command, "--help"])) {
                let name = match shell {
                    "fish" => format!("-l {flag}"),
                    _ => format!("--{flag}"),
                };
                assert!(script.contains(&name), "{shell} lacks {command} {name}");
            }
        }
    }
}

#[test]
fn what_is_for_packagers_is_in_no_help() {
    assert!(!commands().iter().any(|command| command == "generate"));
    let page = here(&["generate", "markdown"]);
    assert!(!page.contains("mv2 generate"), "{page}");
}

#[test]
fn the_json_of_the_reference_is_what_is_printed() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    std::fs::write(folder.join("doc.md"), "# Plan\n\nmilk and eggs\n").unwrap();
    std::fs::write(folder.join("other.md"), "bread\n").unwrap();
    let page = here(&["generate", "markdown"]);
    let runs: &[&[&str]] = &[
        &["create", "a.mv2"],
        &["put", "a.mv2", "doc.md", "other.md", "--tag", "user-key=1"],
        &["search", "a.mv2", "milk"],
        &["context", "a.mv2", "milk"],
        &["timeline", "a.mv2"],
        &["get", "a.mv2", "doc.md"],
        &["update", "a.mv2", "doc.md", "other.md"],
        &["delete", "a.mv2", "other.md"],
        &["log", "a.mv2"],
        &["stats", "a.mv2"],
        &["optimize", "a.mv2"],
        &["backup", "a.mv2", "b.mv2"],
        &["vacuum", "a.mv2"],
        &["purge", "a.mv2", "--id", "0", "--yes"],
        &["seal", "a.mv2"],
        &["unseal", "a.mv2"],
        &["models"],
    ];
    let compare = |args: &[&str]| {
        let printed = mv2(folder, &[args, &["--json"]].concat());
        let line = printed.lines().next().unwrap();
        let mut found = BTreeSet::new();
        keys(&serde_json::from_str(line).unwrap(), &mut found);
        let shape = section(&page, args[0]).split("With `--json`:").nth(1);
        let shape = shape.unwrap().split("```").nth(1).unwrap();
        let words = shape.split('"').skip(1).step_by(2);
        let named: BTreeSet<String> = words
            .filter(|word| *word != "...")
            .map(str::to_owned)
            .collect();
        assert_eq!(
            named, found,
            "{}: left the reference, right the command",
            args[0]
        );
    };
    runs.iter().for_each(|args| compare(args));
    let unseen: &[&[&str]] = &[
        &["branch", "a.mv2", "create", "draft"],
        &["tag", "a.mv2", "create", "v1"],
        &["put", "a.mv2", "doc.md", "--branch", "draft"],
    ];
    for args in unseen {
        mv2(folder, args);
    }
    let runs: &[&[&str]] = &[
        &["branch", "a.mv2"],
        &["tag", "a.mv2"],
        &["merge", "a.mv2", "draft"],
        &["rewind", "a.mv2", "v1"],
        &["checkout", "a.mv2", "draft"],
        &["history", "a.mv2", "doc.md"],
    ];
    runs.iter().for_each(|args| compare(args));
}

/// Names of all fields, at any depth. What users name themselves is left out.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                found.insert(name.clone());
                let own = ["tags", "segments", "metadata"].contains(&name.as_str());
                if !own || field.is_array() {
                    keys(field, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}
