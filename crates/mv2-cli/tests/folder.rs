//! `mv2 put FILE DIR --prune`, and pages among the files of a folder.

mod common;

use std::fs;

use serde_json::Value;

use common::{Dir, statuses};

/// Uris of the visible documents, in order.
fn documents(dir: &Dir) -> Vec<String> {
    let log = dir.mv2(&["timeline", "m.mv2", "--json", "--limit", "1000"]);
    let mut uris: Vec<String> = log.json()["frames"]
        .as_array()
        .unwrap()
        .iter()
        .map(|frame| frame["uri"].as_str().unwrap_or("-").to_owned())
        .collect();
    uris.sort();
    uris
}

fn put(dir: &Dir, args: &[&str]) -> Vec<Value> {
    dir.mv2(&[&["put", "m.mv2", "--json"], args].concat())
        .ok()
        .json_lines()
}

/// A file that no document can be. It has no bytes on the disk, and is refused before it is read.
fn too_large(dir: &Dir, name: &str) {
    let file = fs::File::create(dir.path(name)).unwrap();
    file.set_len(5 << 30).unwrap();
}

/// Two documents from a folder and one that was put by itself.
fn imported() -> Dir {
    let dir = Dir::new();
    dir.write("notes/a.md", "# A\n\nfirst");
    dir.write("notes/deep/b.md", "# B\n\nsecond");
    dir.write("alone.md", "# Alone");
    put(&dir, &["notes"]);
    put(&dir, &["alone.md"]);
    dir
}

#[test]
fn what_vanished_is_deleted_and_stays_in_the_history() {
    let dir = imported();
    fs::remove_file(dir.path("notes/deep/b.md")).unwrap();
    // Without the flag nothing is.
    put(&dir, &["notes"]);
    assert_eq!(documents(&dir), ["a.md", "alone.md", "deep/b.md"]);

    let lines = put(&dir, &["notes", "--prune", "--message", "tidy"]);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["commit"], Value::Null);
    assert_eq!(
        statuses(&lines[1]),
        [("deep/b.md".to_owned(), "deleted".to_owned())]
    );
    assert_eq!(lines[1]["commit"]["id"], 3);
    assert_eq!(documents(&dir), ["a.md", "alone.md"]);

    let log = dir.mv2(&["log", "m.mv2", "--json", "--frames"]).ok().json();
    let newest = &log["commits"][0];
    assert_eq!(newest["message"], "tidy");
    assert_eq!(newest["deleted"], serde_json::json!([1]));
    let folder = fs::canonicalize(dir.path("notes")).unwrap();
    assert_eq!(newest["folder"], folder.to_str().unwrap());
    assert_eq!(log["commits"][1]["folder"], Value::Null);
    // It is found again in what was.
    assert!(
        dir.mv2(&["log", "m.mv2"])
            .ok()
            .stdout()
            .contains("1 deleted from")
    );

    let again = dir.mv2(&["put", "m.mv2", "notes", "--prune"]).ok();
    assert_eq!(again.stdout(), "1 unchanged\n");
}

#[test]
fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let dir = imported();
    fs::remove_file(dir.path("notes/a.md")).unwrap();
    dir.write("notes/new.md", "new");
    let before = fs::read(dir.path("m.mv2")).unwrap();
    let args = ["put", "m.mv2", "notes", "--prune", "--dry-run"];
    assert_eq!(dir.mv2(&args).ok().stdout(), "would delete frame 0 a.md\n");
    let json = dir.mv2(&[&args[..], &["--json"]].concat()).ok().json();
    assert_eq!(json["commit"], Value::Null);
    assert_eq!(statuses(&json), [("a.md".to_owned(), "deleted".to_owned())]);
    assert_eq!(fs::read(dir.path("m.mv2")).unwrap(), before);
    dir.mv2(&["put", "none.mv2", "notes", "--prune", "--dry-run"])
        .code(2);
    assert!(!dir.path("none.mv2").exists());
}

#[test]
fn a_folder_is_the_same_however_it_is_named() {
    let dir = imported();
    let full = dir.path("notes");
    let names = [
        "./notes/",
        "notes/../notes",
        full.to_str().unwrap(),
        "notes/deep/..",
    ];
    for name in names {
        dir.write("notes/short.md", name);
        put(&dir, &["notes"]);
        fs::remove_file(dir.path("notes/short.md")).unwrap();
        put(&dir, &[name, "--prune"]);
        assert_eq!(documents(&dir), ["a.md", "alone.md", "deep/b.md"], "{name}");
    }
    // From inside, as `.`.
    fs::remove_file(dir.path("notes/a.md")).unwrap();
    let run = dir
        .command(&["put", "../m.mv2", ".", "--prune"])
        .current_dir(dir.path("notes"))
        .output()
        .unwrap();
    assert!(run.status.success());
    assert_eq!(documents(&dir), ["alone.md", "deep/b.md"]);
}

#[test]
fn a_renamed_file_is_one_that_vanished_and_one_that_came() {
    let dir = imported();
    fs::rename(dir.path("notes/a.md"), dir.path("notes/z.md")).unwrap();
    let lines = put(&dir, &["notes", "--prune"]);
    let told: Vec<_> = lines.iter().flat_map(statuses).collect();
    let pair = |uri: &str, status: &str| (uri.to_owned(), status.to_owned());
    assert_eq!(
        told,
        [
            pair("deep/b.md", "unchanged"),
            pair("z.md", "added"),
            pair("a.md", "deleted")
        ]
    );
    // The text is kept once.
    assert_eq!(lines[0]["frames"][1]["deduplicated"], true);
    assert_eq!(documents(&dir), ["alone.md", "deep/b.md", "z.md"]);
}

#[test]
fn only_what_an_import_of_the_folder_put_can_go() {
    let dir = imported();
    // Put by its name, by an update, from another folder, and by a line: none of them is of `notes`.
    dir.write("notes/own.md", "own");
    put(&dir, &["notes/own.md"]);
    put(&dir, &["notes"]);
    dir.write("fresh.md", "# B\n\nchanged by hand");
    dir.mv2(&["update", "m.mv2", "deep/b.md", "fresh.md"]).ok();
    dir.write("other/c.md", "third");
    put(&dir, &["other"]);
    dir.mv2_with_input(
        &["put", "m.mv2", "--jsonl"],
        "{\"uri\":\"line\",\"text\":\"x\"}\n",
    )
    .ok();
    fs::remove_dir_all(dir.path("notes")).unwrap();
    fs::create_dir(dir.path("notes")).unwrap();

    // An empty folder: all that is left of its import goes, and nothing else.
    let lines = put(&dir, &["notes", "--prune"]);
    assert_eq!(
        lines.iter().flat_map(statuses).collect::<Vec<_>>(),
        [("a.md".to_owned(), "deleted".to_owned())]
    );
    assert_eq!(
        documents(&dir),
        ["alone.md", "c.md", "deep/b.md", "line", "own.md"]
    );
}

#[test]
fn two_folders_share_a_memory() {
    let dir = Dir::new();
    dir.write("one/a.md", "a");
    dir.write("one/b.md", "b");
    dir.write("two/c.md", "c");
    dir.write("two/d.md", "d");
    let lines = put(&dir, &["one", "two"]);
    assert_eq!(lines.len(), 2, "a commit is of one folder");
    for name in ["one/a.md", "two/c.md"] {
        fs::remove_file(dir.path(name)).unwrap();
    }
    put(&dir, &["two", "--prune"]);
    assert_eq!(documents(&dir), ["a.md", "b.md", "d.md"]);
    put(&dir, &["one", "two", "--prune"]);
    assert_eq!(documents(&dir), ["b.md", "d.md"]);
    // A document of the same name goes over to the folder that put it last.
    dir.write("two/b.md", "another b");
    put(&dir, &["two"]);
    fs::remove_file(dir.path("one/b.md")).unwrap();
    put(&dir, &["one", "--prune"]);
    assert_eq!(documents(&dir), ["b.md", "d.md"]);
}

#[test]
fn what_is_excluded_now_goes_and_comes_back() {
    let dir = imported();
    dir.write("notes/.ignore", "deep/\n");
    put(&dir, &["notes", "--prune"]);
    assert_eq!(documents(&dir), ["a.md", "alone.md"]);
    fs::remove_file(dir.path("notes/.ignore")).unwrap();
    put(&dir, &["notes", "--prune"]);
    assert_eq!(documents(&dir), ["a.md", "alone.md", "deep/b.md"]);
}

#[test]
fn a_file_that_is_not_taken_has_not_vanished() {
    let dir = imported();
    fs::remove_file(dir.path("notes/a.md")).unwrap();
    too_large(&dir, "notes/deep/b.md");
    let run = dir.mv2(&["put", "m.mv2", "notes", "--prune"]).code(2);
    assert!(
        run.stderr.contains("larger than a document may be"),
        "{}",
        run.stderr
    );
    assert_eq!(documents(&dir), ["alone.md", "deep/b.md"]);
}

#[cfg(unix)]
#[test]
#[allow(clippy::print_stderr)]
fn what_cannot_be_read_has_not_vanished() {
    use std::os::unix::fs::PermissionsExt;

    let dir = imported();
    fs::remove_file(dir.path("notes/a.md")).unwrap();
    dir.write("notes/file.md", "file");
    put(&dir, &["notes"]);
    let lock = |name: &str, mode| {
        fs::set_permissions(dir.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    lock("notes/file.md", 0);
    if fs::read(dir.path("notes/file.md")).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    lock("notes/deep", 0);
    let run = dir.mv2(&["put", "m.mv2", "notes", "--prune"]).code(2);
    assert!(run.stderr.contains("notes/deep"), "{}", run.stderr);
    assert!(run.stderr.contains("notes/file.md"), "{}", run.stderr);
    lock("notes/deep", 0o755);
    assert_eq!(documents(&dir), ["alone.md", "deep/b.md", "file.md"]);
}

#[test]
fn a_prune_without_a_folder_is_an_error_and_deletes_nothing() {
    let dir = imported();
    let before = fs::read(dir.path("m.mv2")).unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["gone", "--prune"], "not_found"),
        (&["notes", "gone", "--prune"], "not_found"),
        (&["alone.md", "--prune"], "usage"),
        (&["-", "--prune"], "usage"),
        (&["--prune"], "usage"),
        (&["--jsonl", "x", "--prune"], "usage"),
        (&["notes", "--dry-run"], "usage"),
    ];
    for (args, kind) in cases {
        let run = dir
            .mv2(&[&["put", "m.mv2", "--json"], *args].concat())
            .code(2);
        assert_eq!(run.error_kind(), *kind, "{args:?}");
    }
    assert_eq!(fs::read(dir.path("m.mv2")).unwrap(), before);
}

#[test]
fn a_stopped_import_prunes_nothing() {
    let dir = imported();
    fs::remove_file(dir.path("notes/a.md")).unwrap();
    too_large(&dir, "notes/large.bin");
    dir.mv2(&["put", "m.mv2", "notes", "--prune", "--strict"])
        .code(2);
    assert_eq!(documents(&dir), ["a.md", "alone.md", "deep/b.md"]);
}

#[test]
fn of_a_page_the_visible_text_is_searched_and_the_bytes_are_kept() {
    let dir = Dir::new();
    let page = "\u{feff}<!DOCTYPE html>\r\n<title>Tea &amp; milk</title><script>var hidden = 'teapot'</script>\
                <style>.kettle { }</style><p>Caf&eacute; <!-- comment --> <b>g</b>reen</p><p>second line</p>";
    dir.write("site/index.HTML", page);
    dir.write("site/untitled.htm", "<p>nothing but text");
    dir.write("site/not.txt", "<p>markup</p>");
    dir.write("site/latin1.html", b"<p>caf\xe9");
    put(&dir, &["site"]);

    let raw = dir.mv2(&["get", "m.mv2", "index.HTML", "--raw"]).ok();
    assert_eq!(raw.stdout, page.as_bytes());
    let find = |query: &str| -> Value {
        let args = [
            "search", "m.mv2", "--json", "--plain", "--mode", "lex", query,
        ];
        let run = dir.mv2(&args);
        run.json()["hits"].clone()
    };
    for word in [
        "hidden", "teapot", "kettle", "comment", "script", "eacute", "doctype",
    ] {
        assert_eq!(find(word).as_array().unwrap().len(), 0, "{word}");
    }
    let hit = &find("café green")[0];
    assert_eq!(hit["uri"], "index.HTML");
    assert_eq!(hit["title"], "Tea & milk");
    assert_eq!(hit["text"], "Café green\nsecond line");
    let titled = |uri: &str| dir.mv2(&["get", "m.mv2", uri, "--json"]).ok().json()["title"].clone();
    assert_eq!(titled("untitled.htm"), "untitled.htm");
    assert_eq!(find("markup")[0]["text"], "<p>markup</p>");
    assert_eq!(find("latin1").as_array().unwrap().len(), 1);

    // The same again is nothing new, and a title of the user's goes before the page's.
    let again = put(&dir, &["site"]);
    assert_eq!(again[0]["commit"], Value::Null);
    put(&dir, &["site/index.HTML", "--title", "Mine"]);
    assert_eq!(titled("index.HTML"), "Mine");
    dir.write(
        "new.html",
        "<title>Other</title><script>nonsense</script>oolong",
    );
    dir.mv2(&["update", "m.mv2", "index.HTML", "new.html"]).ok();
    assert_eq!(titled("index.HTML"), "Mine");
    assert_eq!(find("oolong")[0]["text"], "oolong");
    assert_eq!(find("nonsense").as_array().unwrap().len(), 0);
}
