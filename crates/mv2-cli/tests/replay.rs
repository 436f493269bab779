//! Searches that are noted down, replayed and audited.

mod common;

use common::{Dir, Run, assert_keys};
use serde_json::{Value, json};

/// Two notes, one of which is written anew, and a search before and after that.
fn memory() -> Dir {
    let dir = Dir::new();
    dir.write("launch.md", "The launch is on Friday.");
    dir.write("tea.md", "Ada drinks tea.");
    dir.mv2(&[
        "put",
        "m.mv2",
        "launch.md",
        "tea.md",
        "--message",
        "first notes",
    ])
    .ok();
    search(&dir, &["launch"]).ok();
    dir.write("launch.md", "The launch is off.");
    dir.mv2(&["put", "m.mv2", "launch.md"]).ok();
    search(&dir, &["what does Ada drink", "--mode", "lex", "-k", "3"]).ok();
    dir
}

fn search(dir: &Dir, args: &[&str]) -> Run {
    dir.mv2(&[&["search", "m.mv2", "--journal", "--json"], args].concat())
}

fn replay(dir: &Dir, args: &[&str]) -> Run {
    dir.mv2(&[&["replay", "m.mv2", "--json"], args].concat())
}

/// The searches among the lines of a replay.
fn searches(run: &Run) -> Vec<Value> {
    let lines = run.json_lines().into_iter();
    lines
        .filter_map(|mut line| line.get_mut("search").map(Value::take))
        .collect()
}

#[test]
fn a_replay_finds_the_same_and_one_at_head_what_is_known_now() {
    let dir = memory();
    let run = replay(&dir, &[]).ok();
    let lines = run.json_lines();
    let kinds: Vec<String> = lines
        .iter()
        .map(|line| {
            line.as_object()
                .unwrap()
                .keys()
                .find(|key| *key != "v")
                .unwrap()
                .clone()
        })
        .collect();
    assert_eq!(kinds, ["commit", "search", "commit", "search", "summary"]);
    assert!(lines.iter().all(|line| line["v"] == 1));
    assert_keys(
        &lines[0]["commit"],
        &[
            "id",
            "time",
            "branch",
            "message",
            "folder",
            "added",
            "superseded",
            "deleted",
        ],
    );
    assert_eq!(lines[0]["commit"]["message"], "first notes");
    assert_keys(
        &lines[1]["search"],
        &[
            "id",
            "time",
            "asked_at",
            "request",
            "as_of",
            "mode",
            "total",
            "total_relation",
            "hits",
            "again",
            "error",
            "same",
            "approximate",
            "differences",
        ],
    );
    assert_eq!(
        lines[3]["search"]["request"],
        json!({"query": "what does Ada drink", "mode": "lex", "top_k": 3})
    );
    assert_eq!(
        lines[4]["summary"],
        json!({"commits": 2, "searches": 2, "different": 0, "failed": 0})
    );
    let searches = searches(&replay(&dir, &["--at", "head"]).code(1));
    let differences = searches[0]["differences"].as_array().unwrap();
    let version = differences
        .iter()
        .find(|difference| difference["change"] == "version")
        .unwrap();
    assert_keys(
        version,
        &[
            "change",
            "frame_id",
            "uri",
            "by",
            "rank_then",
            "rank_now",
            "then",
            "now",
        ],
    );
    assert_eq!(
        (&version["uri"], &version["frame_id"], &version["by"]),
        (&json!("launch.md"), &json!(0), &json!(2))
    );
    assert_eq!(searches[1]["same"], true);
}

#[test]
fn a_range_names_commits_and_searches() {
    let dir = memory();
    let ids = |range: &str| -> Vec<u64> {
        let lines = replay(&dir, &[range]).ok().json_lines().into_iter();
        lines
            .filter_map(|line| {
                line["commit"]["id"]
                    .as_u64()
                    .or(line["search"]["id"].as_u64())
            })
            .collect()
    };
    assert_eq!(ids(".."), [1, 2, 3, 4]);
    assert_eq!(ids("1..1"), [1, 2]);
    assert_eq!(ids("2..3"), [2, 3, 4]);
    assert_eq!(ids("~1..~1"), [1, 2]);
    assert_eq!(ids("4.."), [4]);
    assert_eq!(ids("now..now"), [4]);
    for (range, kind, code) in [
        ("3", "usage", 2),
        ("3..1", "invalid_range", 2),
        ("1..x", "unknown_selector", 2),
        ("1..99", "no_such_commit", 1),
    ] {
        let run = replay(&dir, &[range]).code(code);
        assert_eq!(run.error_kind(), kind, "{range}");
    }
}

#[test]
fn what_is_printed_is_the_same_whether_it_is_noted_down_or_not() {
    let dir = memory();
    let args = ["search", "m.mv2", "launch", "--ids-only", "--as-of", "1"];
    let plain = dir.mv2(&args).ok();
    let noted = dir.mv2(&[&args[..], &["--journal"]].concat()).ok();
    assert_eq!(plain.stdout(), noted.stdout());
    let args = ["context", "m.mv2", "launch"];
    let plain = dir.mv2(&args).ok();
    let noted = dir.mv2(&[&args[..], &["--journal"]].concat()).ok();
    assert_eq!(plain.stdout(), noted.stdout());
    let searches = searches(&replay(&dir, &["5.."]).ok());
    let told: Vec<_> = searches
        .iter()
        .map(|search| (&search["as_of"], &search["request"]["plain"]))
        .collect();
    assert_eq!(told, [(&json!(1), &Value::Null), (&json!(3), &json!(true))]);
    // The log and the figures know nothing of it.
    let log = dir.mv2(&["log", "m.mv2", "--json"]).ok().json();
    assert_eq!(log["commits"].as_array().unwrap().len(), 2);
    assert!(
        dir.mv2(&["verify", "m.mv2", "--deep"])
            .ok()
            .stderr
            .is_empty()
    );
}

#[test]
fn a_search_that_cannot_be_noted_down_fails_and_says_what_to_do() {
    let dir = memory();
    dir.mv2(&["seal", "m.mv2"]).ok();
    let run = search(&dir, &["launch"]).code(2);
    assert_eq!(run.error_kind(), "sealed");
    assert!(run.stderr.contains("mv2 unseal FILE"), "{}", run.stderr);
    assert_eq!(run.stdout(), "");
    // Reading what was noted down still works.
    assert_eq!(searches(&replay(&dir, &[]).ok()).len(), 2);
}

#[test]
fn an_audit_shows_what_was_known_before() {
    let dir = memory();
    let audit = |args: &[&str]| dir.mv2(&[&["audit", "m.mv2", "--json"], args].concat());
    let found = audit(&["launch", "-k", "1"]).ok().json();
    assert_keys(&found, &["v", "query", "mode", "as_of", "hits"]);
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
            "timestamp",
            "commit",
            "known_since",
            "versions",
        ],
    );
    assert_eq!((&hit["frame_id"], &hit["commit"]), (&json!(2), &json!(3)));
    let versions = hit["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_keys(
        &versions[0],
        &["frame_id", "commit", "time", "end", "rank", "text"],
    );
    assert_eq!(versions[0]["text"], "The launch is on Friday.");
    assert_eq!(
        (&versions[0]["end"]["commit"], &versions[0]["end"]["by"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(
        (&versions[1]["end"], &versions[1]["rank"]),
        (&Value::Null, &json!(1))
    );
    let past = audit(&["launch", "-k", "1", "--as-of", "1"]).ok().json();
    assert_eq!(past["hits"][0]["versions"].as_array().unwrap().len(), 1);
    assert_eq!(audit(&["+zeppelin"]).code(1).json()["hits"], json!([]));
}
