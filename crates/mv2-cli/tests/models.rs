//! `mv2 models`, on a cache that the test makes.

mod common;

use common::{Dir, Run};

const COMMIT: &str = "c0ffee";

/// A cache with one model, which is all that this command looks for.
fn cache() -> Dir {
    let dir = Dir::new();
    let repo = "hub/models--BAAI--bge-small-en-v1.5";
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        dir.write(&format!("{repo}/snapshots/{COMMIT}/{file}"), "");
    }
    dir.write(&format!("{repo}/refs/main"), COMMIT);
    dir
}

fn models(dir: &Dir, args: &[&str]) -> Run {
    let args = [&["models"], args].concat();
    let mut command = dir.command(&args);
    for name in ["HF_HUB_CACHE", "HF_ENDPOINT"] {
        command.env_remove(name);
    }
    command
        .env("HF_HOME", dir.path(""))
        .env("HF_HUB_OFFLINE", "1");
    Run::new(&args, command.output().unwrap())
}

#[test]
fn the_list_says_what_is_here() {
    let dir = cache();
    let list = models(&dir, &["--json"]).ok().json();
    let of = |name: &str| {
        let all = list["models"].as_array().unwrap();
        all.iter()
            .find(|model| model["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(of("mv2-static")["usable"], true);
    assert_eq!(of("bge-small-en-v1.5")["revision"], COMMIT);
    assert_eq!(of("gte-large")["path"], serde_json::Value::Null);
    assert_eq!(of("gte-large")["usable"], cfg!(feature = "full"));
    let text = models(&dir, &[]).ok();
    let mut columns = text.stdout().lines().map(|line| line.find(" dimensions"));
    let first = columns.next().unwrap();
    assert!(
        first.is_some() && columns.all(|column| column == first),
        "{}",
        text.stdout()
    );
    let line = |name: &str| {
        text.stdout()
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(
        line("bge-small-en-v1.5").contains("here"),
        "{}",
        text.stdout()
    );
    assert!(
        line("gte-large").contains("to download"),
        "{}",
        text.stdout()
    );
    assert_eq!(
        text.stderr.contains("--features full"),
        !cfg!(feature = "full")
    );
}

#[test]
fn path_prints_the_folder_or_how_to_get_one() {
    let dir = cache();
    let found = models(&dir, &["path", "baai/bge-small-en-v1.5"]).ok();
    let folder = dir
        .path("hub/models--BAAI--bge-small-en-v1.5/snapshots")
        .join(COMMIT);
    assert_eq!(found.stdout().trim(), folder.display().to_string());
    let json = models(&dir, &["path", "bge-small-en-v1.5", "--json"])
        .ok()
        .json();
    assert_eq!(json["models"][0]["revision"], COMMIT);
    let missing = models(&dir, &["path", "gte-large"]).code(1);
    assert!(
        missing.stderr.contains("mv2 models pull gte-large"),
        "{}",
        missing.stderr
    );
    let unknown = models(&dir, &["path", "gte-larg"]).code(2);
    assert!(
        unknown.stderr.contains("did you mean gte-large?"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn pull_says_why_it_does_not() {
    let dir = cache();
    let run = models(&dir, &["pull", "gte-large", "--json"]).code(2);
    let full = cfg!(feature = "full");
    assert_eq!(
        run.error_kind(),
        if full { "offline" } else { "unsupported" }
    );
    models(&dir, &["pull"]).code(2);
    models(&dir, &["list", "gte-large"]).code(2);
    if full {
        let run = models(&dir, &["pull", "nonsense"]).code(2);
        assert!(run.stderr.contains("mv2 models"), "{}", run.stderr);
    }
}
