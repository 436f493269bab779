//! A made-up set through the whole command, and figures that were computed by hand.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const DOCS: &str = r#"{"_id": "a1", "title": "", "text": "I painted a \"quiet\" lake", "speaker": "Ann", "group": "a", "timestamp": "2024-05-01T10:00:00Z"}
{"_id": "a2", "title": "", "text": "A lake, really?", "speaker": "Bob", "group": "a", "timestamp": "2024-05-01T10:01:00Z"}
{"_id": "a3", "title": "", "text": "", "speaker": "Ann", "group": "a"}
{"_id": "b1", "title": "", "text": "The lake is frozen", "speaker": "Cid", "group": "b"}
"#;
const QUERIES: &str = r#"{"_id": "q1", "text": "Who painted the \"frozen lake\"?", "group": "a"}
{"_id": "q2", "text": "Is the lake frozen?", "group": "b"}
{"_id": "q3", "text": "zebra", "group": "a"}
{"_id": "q4", "text": "lake", "group": "a"}
{"_id": "q5", "text": "lake", "group": "c"}
"#;
/// q4 is not judged, q6 was never asked; a grade below 1 does not count.
const QRELS: &str =
    "query\tdoc\tgrade\nq1\ta1\t2\nq1\ta2\t0\nq2\tb1\t1\nq3\ta1\t1\nq5\ta1\t1\nq6\ta1\t1\n";

fn made_up() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("made-up");
    fs::create_dir(&set).unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(DOCS.as_bytes()).unwrap();
    fs::write(set.join("docs.jsonl.gz"), packed.finish().unwrap()).unwrap();
    fs::write(set.join("queries.jsonl"), QUERIES).unwrap();
    fs::write(set.join("qrels.tsv"), QRELS).unwrap();
    folder
}

fn options(folder: &Path) -> Options {
    Options {
        folders: vec![folder.join("made-up")],
        pooled: true,
        json: false,
        parsed: false,
        runs: Some(folder.to_owned()),
        page: None,
    }
}

#[test]
fn conversations_are_searched_one_by_one_and_together() {
    let folder = made_up();
    let rows = measure(&folder.path().join("made-up"), &options(folder.path())).unwrap();
    let asked: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row.name, row.mode))
        .collect();
    let expected = ["lex", "vec", "hybrid"];
    assert_eq!(asked[..3], expected.map(|mode| format!("made-up {mode}")));
    let pooled = expected.map(|mode| format!("made-up:pooled {mode}"));
    assert_eq!(asked[3..], pooled);
    // q1 and q2 are right, q3, q5 and q6 find nothing.
    let scoped = rows[0].figures;
    assert_eq!(scoped.queries, 5);
    for figure in [scoped.ndcg10, scoped.recall5, scoped.recall10, scoped.mrr10] {
        assert!((figure - 0.4).abs() < 1e-12, "{figure}");
    }
    // Together, q5 finds its document as well, behind those with shorter texts.
    assert!(rows[3].figures.recall10 > 0.59);

    let run = fs::read_to_string(folder.path().join("made-up.lex.run")).unwrap();
    let q1: Vec<&str> = run.lines().filter(|line| line.starts_with("q1 ")).collect();
    assert_eq!(q1.len(), 2, "{run}");
    assert!(q1[0].starts_with("q1 a1 "), "{run}");
    assert!(!run.contains("q4") && !run.contains("q3"), "{run}");
    assert!(folder.path().join("made-up.pooled.lex.run").exists());
    assert!(folder.path().join("made-up.hybrid.run").exists());
}

#[test]
fn json_has_these_keys_and_no_others() {
    let folder = made_up();
    let mut options = options(folder.path());
    options.pooled = false;
    options.runs = None;
    let rows = measure(&folder.path().join("made-up"), &options).unwrap();
    let json = to_json(&rows);
    let set = json["sets"][0].as_object().unwrap();
    let mut keys: Vec<&str> = set.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "mode", "mrr10", "name", "ndcg10", "queries", "recall10", "recall5"
        ]
    );
    assert_eq!(set["name"], "made-up");
    assert_eq!(set["mode"], "lex");
    assert_eq!(json.as_object().unwrap().len(), 1);
    assert!(to_table(&rows).contains("| made-up | scoped | lex | 5 | 0.4000 |"));
}

#[test]
fn figures_are_those_of_trec_eval() {
    let judgements = [(
        "q".to_owned(),
        [("d1", 3), ("d2", 1), ("d9", 2)]
            .map(|(doc, grade)| (doc.to_owned(), grade))
            .into(),
    )]
    .into();
    // A tie goes to the greater id, so that the order is x, d2, d1.
    let hits = [("d1", 1.0), ("d2", 1.0), ("x", 2.0)].map(|(doc, score)| (doc.to_owned(), score));
    let answers = [Answer {
        query: "q".to_owned(),
        hits: hits.into(),
    }];
    let figures = Figures::of(&judgements, &answers);
    let got = 1.0 / 3f64.log2() + 3.0 / 2.0;
    let ideal = 3.0 + 2.0 / 3f64.log2() + 1.0 / 2.0;
    assert!((figures.ndcg10 - got / ideal).abs() < 1e-12);
    assert!((figures.recall5 - 2.0 / 3.0).abs() < 1e-12);
    assert!((figures.mrr10 - 0.5).abs() < 1e-12);
}

#[test]
fn bad_sets_are_refused_with_the_place() {
    let folder = made_up();
    let set = folder.path().join("made-up");
    let error = |name: &str, text: &str| {
        let path = set.join(name);
        let before = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        let error = format!("{:#}", Dataset::read(&set).unwrap_err());
        fs::write(&path, before).unwrap();
        error
    };
    assert!(error("qrels.tsv", "query\tdoc\tgrade\nq1 a1 1\n").contains("qrels.tsv, line 2"));
    assert!(error("qrels.tsv", "query\tdoc\tgrade\n").contains("judges nothing"));
    assert!(error("queries.jsonl", "{\"_id\": 1}\n").contains("queries.jsonl, line 1"));
    let twice = "{\"_id\": \"q1\", \"text\": \"x\"}\n".repeat(2);
    assert!(error("queries.jsonl", &twice).contains("twice"));
    fs::remove_file(set.join("docs.jsonl.gz")).unwrap();
    let missing = format!("{:#}", Dataset::read(&set).unwrap_err());
    assert!(
        missing.contains("docs.jsonl, with or without .gz"),
        "{missing}"
    );
}

#[test]
fn arguments_are_folders_and_flags() {
    let options = Options::parse(&["one", "--json", "--runs", "out", "two"]).unwrap();
    assert_eq!(options.folders, [Path::new("one"), Path::new("two")]);
    assert!(options.json && !options.pooled);
    assert_eq!(options.runs.as_deref(), Some(Path::new("out")));
    for bad in [&["one", "--runs"][..], &["--json"], &["one", "--fast"], &[]] {
        assert_eq!(Options::parse(bad), None, "{bad:?}");
    }
}
