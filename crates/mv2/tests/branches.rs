//! Branches, tags, merges and rewinds: each branch answers, bit for bit, as a memory of just its own documents would.
#![cfg(feature = "vec")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::*;
use mv2::{
    CommitId, ContextRequest, Memvid, MergeOptions, Mode, PutOptions, SearchRequest, Selector,
    Side, Snapshot, TimelineQuery, Timestamp,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Put {
        uri: Option<u8>,
        words: Vec<usize>,
        time: i64,
    },
    Update {
        pick: usize,
        words: Vec<usize>,
    },
    Delete {
        pick: usize,
    },
    Commit,
    Switch {
        pick: usize,
    },
    Create {
        pick: usize,
    },
    Merge {
        pick: usize,
        prefer: Option<bool>,
    },
    Rewind {
        pick: usize,
    },
    Checkpoint,
    Maintain,
    Optimize,
    Vacuum,
    Seal,
    Reopen,
    /// Reads another commit, so that what caches hold is of another branch than what comes next.
    Look {
        pick: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let words = || prop::collection::vec(0..WORDS.len(), 1..12);
    let pick = any::<usize>;
    prop_oneof![
        8 => (prop::option::of(0..8u8), words(), 0..50i64)
            .prop_map(|(uri, words, time)| Step::Put { uri, words, time }),
        2 => (pick(), words()).prop_map(|(pick, words)| Step::Update { pick, words }),
        2 => pick().prop_map(|pick| Step::Delete { pick }),
        4 => Just(Step::Commit),
        5 => pick().prop_map(|pick| Step::Switch { pick }),
        2 => pick().prop_map(|pick| Step::Create { pick }),
        2 => (pick(), prop::option::of(any::<bool>()))
            .prop_map(|(pick, prefer)| Step::Merge { pick, prefer }),
        1 => pick().prop_map(|pick| Step::Rewind { pick }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Maintain),
        1 => Just(Step::Optimize),
        1 => Just(Step::Vacuum),
        1 => Just(Step::Seal),
        1 => Just(Step::Reopen),
        1 => pick().prop_map(|pick| Step::Look { pick }),
    ]
}

/// A memory, what it answered at each commit, and what was visible at the head of each branch.
struct Branches {
    mem: Memvid,
    path: PathBuf,
    then: BTreeMap<CommitId, Vec<String>>,
    heads: BTreeMap<String, CommitId>,
    branch: String,
}

impl Branches {
    fn new(folder: &Path) -> Self {
        let path = folder.join("m.mv2");
        let mem = options(true).create(&path).unwrap();
        let then = [(CommitId(0), answers(&mem.snapshot().unwrap()))].into();
        Self {
            mem,
            path,
            then,
            heads: [("main".to_owned(), CommitId(0))].into(),
            branch: "main".to_owned(),
        }
    }

    fn record(&mut self, id: CommitId) {
        let snapshot = self.mem.snapshot().unwrap();
        assert_eq!(snapshot.commit_id(), id);
        assert_eq!(snapshot.branch(), Some(self.branch.as_str()));
        self.then.insert(id, answers(&snapshot));
        self.heads.insert(self.branch.clone(), id);
    }

    fn commit(&mut self) {
        if let Some(commit) = self.mem.commit().unwrap() {
            self.record(commit.id);
        }
    }

    fn frame(&self, pick: usize) -> Option<u64> {
        let snapshot = self.mem.snapshot().unwrap();
        let frames = snapshot.frames().map(|meta| meta.unwrap().id.get());
        let frames: Vec<u64> = frames.collect();
        (!frames.is_empty()).then(|| frames[pick % frames.len()])
    }

    fn any_commit(&self, pick: usize) -> CommitId {
        *self.then.keys().nth(pick % self.then.len()).unwrap()
    }

    fn any_branch(&self, pick: usize) -> String {
        let name = self.heads.keys().nth(pick % self.heads.len());
        name.unwrap().clone()
    }

    fn take(&mut self, step: &Step) {
        if !matches!(
            step,
            Step::Put { .. } | Step::Update { .. } | Step::Delete { .. }
        ) {
            self.commit();
        }
        match step {
            Step::Put { uri, words, time } => {
                let options = put_options(*uri, words, *time);
                let text = text(words);
                self.mem
                    .put_bytes_with_options(text.as_bytes(), options)
                    .unwrap();
            }
            Step::Update { pick, words } => {
                if let Some(id) = self.frame(*pick) {
                    let text = text(words).into_bytes();
                    // It may have died in this batch.
                    let _ = self.mem.update_frame(id, Some(text), PutOptions::default());
                }
            }
            Step::Delete { pick } => {
                if let Some(id) = self.frame(*pick) {
                    let _ = self.mem.delete_frame(id);
                }
            }
            Step::Commit => {}
            Step::Switch { pick } => {
                self.branch = self.any_branch(*pick);
                self.mem.use_branch(self.branch.as_str()).unwrap();
            }
            Step::Create { pick } => {
                let (name, at) = (format!("b{}", self.heads.len()), self.any_commit(*pick));
                self.mem.create_branch(&name, at).unwrap();
                self.heads.insert(name, at);
            }
            Step::Merge { pick, prefer } => self.merge(&self.any_branch(*pick), *prefer),
            Step::Rewind { pick } => {
                let to = self.any_commit(*pick);
                let commit = self.mem.rewind(to).unwrap();
                self.record(commit.id);
                let now = self.mem.snapshot().unwrap();
                let then = self.mem.at(to).unwrap();
                assert_eq!(all_found(&now, &|id| id), all_found(&then, &|id| id));
            }
            Step::Checkpoint => self.mem.checkpoint().unwrap(),
            Step::Maintain => while self.mem.maintain().unwrap() {},
            Step::Optimize => self.mem.optimize().unwrap(),
            Step::Vacuum => {
                self.mem.vacuum().unwrap();
            }
            Step::Seal => {
                self.mem.seal().unwrap();
                self.look(self.any_commit(7));
                self.mem.unseal().unwrap();
            }
            Step::Reopen => {
                let options = options(true).branch(&self.branch);
                self.mem = options.open(&self.path).unwrap();
            }
            Step::Look { pick } => self.look(self.any_commit(*pick)),
        }
    }

    /// What is visible on this branch and on another.
    fn sides(&self, name: &str) -> [BTreeSet<u64>; 2] {
        let theirs = self.mem.at(Selector::Branch(name.to_owned())).unwrap();
        [self.mem.snapshot().unwrap(), theirs].map(|side| {
            let frames = side.frames().map(|meta| meta.unwrap().id.get());
            frames.collect()
        })
    }

    fn merge(&mut self, name: &str, prefer: Option<bool>) {
        let [ours, theirs] = self.sides(name);
        let prefer = prefer.map(|ours| match ours {
            true => Side::Ours,
            false => Side::Theirs,
        });
        let options = MergeOptions {
            prefer,
            message: None,
        };
        match self.mem.merge(name, options) {
            Ok(Some(merged)) => {
                self.record(merged.commit.id);
                let [now, _] = self.sides(name);
                // Nothing comes from anywhere else, and what both had stays.
                assert!(
                    now.iter()
                        .all(|id| ours.contains(id) || theirs.contains(id))
                );
                assert!(ours.intersection(&theirs).all(|id| now.contains(id)));
                assert_eq!(now.difference(&ours).count() as u64, merged.frames);
            }
            Ok(None) => {}
            Err(error) => {
                let kind = error.kind();
                assert!(
                    kind == "unrelated" || kind == "merge_conflict" && prefer.is_none(),
                    "{error}"
                );
                let [now, _] = self.sides(name);
                assert_eq!(now, ours);
            }
        }
    }

    /// Compares a commit with what it was when it was the newest of its branch.
    fn look(&self, commit: CommitId) {
        let there = self.mem.at(commit).unwrap();
        assert_eq!(answers(&there), self.then[&commit], "commit {commit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn each_branch_answers_as_if_there_were_no_other(
        steps in prop::collection::vec(step(), 20..90),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut branches = Branches::new(folder.path());
        for step in &steps {
            branches.take(step);
        }
        branches.commit();
        for reopened in [false, true] {
            if reopened {
                branches.mem = options(false).open(&branches.path).unwrap();
            }
            branches.then.keys().for_each(|commit| branches.look(*commit));
            for (name, head) in &branches.heads {
                let snapshot = branches.mem.at(Selector::Branch(name.clone())).unwrap();
                assert_eq!((snapshot.commit_id(), snapshot.branch()), (*head, Some(name.as_str())));
                assert_eq!(answers(&snapshot), branches.then[head]);
                if !reopened {
                    compare_with_fresh(&snapshot, folder.path());
                }
            }
        }
        drop(branches.mem);
        let report = Memvid::verify(&branches.path, true).unwrap();
        assert!(report.ok, "{:?}", report.problems);
    }
}

fn new(folder: &tempfile::TempDir) -> Memvid {
    options(false).create(folder.path().join("m.mv2")).unwrap()
}

fn put(mem: &mut Memvid, uri: &str, text: &str) -> CommitId {
    let options = PutOptions::builder().uri(uri).build();
    mem.put_bytes_with_options(text.as_bytes(), options)
        .unwrap();
    mem.commit().unwrap().unwrap().id
}

fn texts(snapshot: &Snapshot) -> Vec<String> {
    let frames = snapshot.frames().map(|meta| meta.unwrap().id);
    let texts = frames.map(|id| snapshot.frame_text_by_id(id).unwrap());
    texts.collect()
}

fn named(name: &str) -> Selector {
    name.parse().unwrap()
}

#[test]
fn a_merge_is_searched_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut mem = new(&folder);
    put(&mut mem, "base", "a winter in the harbour");
    mem.create_branch("draft", Selector::Head).unwrap();
    mem.use_branch("draft").unwrap();
    put(&mut mem, "draft", "a mild winter");
    put(&mut mem, "base", "a winter by the sea");
    mem.use_branch("main").unwrap();
    put(&mut mem, "main", "the garden in winter");
    let found = |mem: &Memvid| {
        let response = mem.search("winter").unwrap();
        assert_eq!(response.branch.as_deref(), Some("main"));
        let uris = response.hits.iter().map(|hit| hit.uri.clone().unwrap());
        uris.collect::<BTreeSet<_>>()
    };
    assert_eq!(found(&mem), ["base", "main"].map(str::to_owned).into());
    let merged = mem.merge("draft", MergeOptions::new().message("both"));
    let merged = merged.unwrap().unwrap();
    assert_eq!(merged.frames, 2);
    assert_eq!(merged.commit.message.as_deref(), Some("both"));
    assert_eq!(
        found(&mem),
        ["base", "draft", "main"].map(str::to_owned).into()
    );
    compare_with_fresh(&mem.snapshot().unwrap(), folder.path());
    // Once more there is nothing to bring.
    assert_eq!(mem.merge("draft", MergeOptions::new()).unwrap(), None);
    let snapshot = mem.snapshot().unwrap();
    let ids = |commits: &mut dyn Iterator<Item = mv2::Result<mv2::Commit>>| {
        commits.map(|c| c.unwrap().id.get()).collect::<Vec<_>>()
    };
    // Commit 2 made the branch.
    assert_eq!(ids(&mut snapshot.log()), [6, 5, 1]);
    assert_eq!(
        ids(&mut snapshot.ancestry([snapshot.commit_id()])),
        [6, 5, 4, 3, 1]
    );
    assert_eq!(ids(&mut snapshot.all_commits()), [6, 5, 4, 3, 1]);
    let of = |id: u64| {
        let lineage = snapshot.commit(id).unwrap().lineage;
        snapshot.branch_of(lineage).unwrap()
    };
    assert_eq!(of(6).as_deref(), Some("main"));
    assert_eq!(of(4).as_deref(), Some("draft"));
    assert_eq!(of(2), None);
}

#[test]
fn a_conflict_names_the_documents_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut mem = new(&folder);
    for uri in ["a", "b", "c"] {
        put(&mut mem, uri, "first");
    }
    mem.create_branch("draft", Selector::Head).unwrap();
    for (branch, text) in [("draft", "theirs"), ("main", "ours")] {
        mem.use_branch(branch).unwrap();
        put(&mut mem, "a", text);
        put(&mut mem, "b", "the same");
        let c = mem.frame_by_uri("c").unwrap().id;
        match branch {
            "main" => mem.delete_frame(c).unwrap(),
            _ => drop(put(&mut mem, "c", text)),
        }
        mem.commit().unwrap();
    }
    let before = mem.snapshot().unwrap().commit_id();
    let error = mem.merge("draft", MergeOptions::new()).unwrap_err();
    assert_eq!(error.kind(), "merge_conflict");
    assert!(error.hint().unwrap().contains("--theirs"), "{error}");
    match &error {
        mv2::Error::Store(mv2::store::Error::MergeConflict { uris }) => {
            assert_eq!(uris[..], ["a", "c"]);
        }
        other => panic!("{other}"),
    }
    assert_eq!(mem.snapshot().unwrap().commit_id(), before);
    mem.create_branch("copy", Selector::Head).unwrap();
    let expected = [
        (Side::Ours, "main", ["ours", "the same"].as_slice()),
        (Side::Theirs, "copy", &["theirs", "the same", "theirs"]),
    ];
    for (side, branch, expected) in expected {
        mem.use_branch(branch).unwrap();
        let merged = mem.merge("draft", MergeOptions::new().prefer(side));
        let merged = merged.unwrap().unwrap();
        assert_eq!(merged.conflicts, ["a", "b", "c"]);
        let mut found = texts(&mem.snapshot().unwrap());
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{side:?}");
    }
}

#[test]
fn a_rewind_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut mem = new(&folder);
    put(&mut mem, "a", "one");
    let two = put(&mut mem, "a", "two");
    put(&mut mem, "b", "three");
    let before = mem.snapshot().unwrap();
    let then = before.commit(before.commit_id()).unwrap().time;
    let back = mem.rewind_with(two, "that was wrong").unwrap();
    assert_eq!(back.message.as_deref(), Some("that was wrong"));
    assert_eq!(texts(&mem.snapshot().unwrap()), ["two"]);
    assert_eq!(mem.at(Selector::Head.back(1)).unwrap().commit_id(), two);
    // What was head at a time is what was head then.
    assert_eq!(texts(&mem.at(then).unwrap()), ["two", "three"]);
    assert_eq!(mem.at(back.time).unwrap().commit_id(), back.id);
    // By the history that it has now, it was not.
    let now = mem.snapshot().unwrap();
    assert_eq!(now.commit_at(then).unwrap(), two);
    put(&mut mem, "c", "four");
    let again = mem.rewind(before.commit_id()).unwrap();
    assert_eq!(texts(&mem.snapshot().unwrap()), ["two", "three"]);
    assert_eq!(mem.snapshot().unwrap().commit_id(), again.id);
    assert_eq!(mem.branch().unwrap(), "main");
    assert_eq!(mem.at(0).unwrap().stats().unwrap().active_frame_count, 0);
    let lost = mem.snapshot().unwrap();
    assert_eq!(lost.all_commits().count(), 6);
    assert_eq!(lost.at(5).unwrap().branch(), Some("main"));
}

#[test]
fn names_select_commits() {
    let folder = tempfile::tempdir().unwrap();
    let mut mem = new(&folder);
    put(&mut mem, "a", "one");
    put(&mut mem, "a", "two");
    mem.create_tag("v1", 1).unwrap();
    mem.create_branch("draft", named("v1")).unwrap();
    mem.use_branch("draft").unwrap();
    let drafted = put(&mut mem, "b", "drafted");
    let at = |mem: &Memvid, name: &str| mem.at(named(name)).map(|found| found.commit_id().get());
    for (name, commit) in [
        ("v1", 1),
        ("tag:v1", 1),
        ("draft", drafted.get()),
        ("branch:draft", drafted.get()),
        ("draft~1", 1),
        ("tag:v1~1", 0),
        ("main", 2),
        ("head", drafted.get()),
        ("~1", 1),
    ] {
        assert_eq!(at(&mem, name).unwrap(), commit, "{name}");
    }
    let kind = |mem: &Memvid, name: &str| at(mem, name).unwrap_err().kind();
    mem.create_tag("draft", 1).unwrap();
    assert_eq!(kind(&mem, "draft"), "ambiguous_selector");
    assert_eq!(at(&mem, "tag:draft").unwrap(), 1);
    // A branch and a tag at the same commit are no question.
    mem.create_tag("main", 2).unwrap();
    assert_eq!(at(&mem, "main").unwrap(), 2);
    assert_eq!(kind(&mem, "nothing"), "unknown_selector");
    assert_eq!(kind(&mem, "branch:nothing"), "no_such_branch");
    assert_eq!(kind(&mem, "tag:nothing"), "no_such_tag");
    let hint = |name: &str| at(&mem, name).unwrap_err().hint().unwrap();
    for (name, meant) in [
        ("drfat", "draft"),
        ("branch:drafts", "draft"),
        ("tag:v2", "v1"),
    ] {
        assert!(
            hint(name).contains(&format!("did you mean {meant}?")),
            "{name}"
        );
    }
    assert!(hint("nothing").contains("mv2 branch FILE"));
    // A commit that moved a branch is no memory.
    assert_eq!(kind(&mem, "4"), "no_memory_at_commit");
    // The branch of a snapshot is the one that its commit was read on.
    let branch = |name: &str| mem.at(named(name)).unwrap().branch().map(str::to_owned);
    assert_eq!(branch("1").as_deref(), Some("draft"));
    assert_eq!(branch("2").as_deref(), Some("main"));
    assert_eq!(branch("main~1").as_deref(), Some("main"));
}

#[test]
fn requests_name_a_branch() {
    let folder = tempfile::tempdir().unwrap();
    let mut mem = new(&folder);
    put(&mut mem, "a", "a cold winter");
    mem.create_branch("draft", Selector::Head).unwrap();
    mem.use_branch("draft").unwrap();
    put(&mut mem, "b", "a mild winter");
    mem.use_branch(None).unwrap();
    let draft = || Selector::Branch("draft".to_owned());
    let found = mem
        .search(SearchRequest::builder("winter").at(draft()).build())
        .unwrap();
    assert_eq!(
        (found.hits.len(), found.branch.as_deref()),
        (2, Some("draft"))
    );
    let context = mem
        .context(ContextRequest::builder("winter").at(draft()).build())
        .unwrap();
    assert_eq!(context.passages.len(), 2);
    assert_eq!(context.branch.as_deref(), Some("draft"));
    let timeline = mem
        .timeline(TimelineQuery::builder().at(draft()).build())
        .unwrap();
    assert_eq!(timeline.frames.len(), 2);
    assert_eq!(timeline.branch.as_deref(), Some("draft"));
    assert_eq!(mem.search("winter").unwrap().hits.len(), 1);
    // A branch at a time before it was made is what it was made of.
    let before = SearchRequest::builder("winter")
        .at(draft())
        .at_timestamp(Timestamp(i64::MIN))
        .build();
    assert_eq!(mem.search(before).unwrap().hits.len(), 0);
    // The page of one branch is not continued on another.
    put(&mut mem, "c", "a winter garden");
    let ask = || SearchRequest::builder("winter").top_k(1).mode(Mode::Lex);
    let page = mem.search(ask().at(draft()).build()).unwrap();
    let cursor = page.next_cursor.unwrap();
    let error = mem.search(ask().cursor(&cursor).build()).unwrap_err();
    assert_eq!(error.kind(), "invalid_cursor");
    let next = mem.search(ask().at(draft()).cursor(&cursor).build());
    assert_eq!(next.unwrap().hits.len(), 1);
}

#[test]
fn writers_of_two_branches_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let mut main = new(&folder);
    main.create_branch("draft", Selector::Head).unwrap();
    let options = options(false).lock_wait(Duration::from_millis(10));
    let mut draft = options.branch("draft").open(main.path()).unwrap();
    assert_eq!(draft.branch().unwrap(), "draft");
    for round in 0..3 {
        main.put_bytes(format!("main {round}").as_bytes()).unwrap();
        assert_eq!(draft.put_bytes(b"x").unwrap_err().kind(), "locked");
        main.commit().unwrap();
        draft
            .put_bytes(format!("draft {round}").as_bytes())
            .unwrap();
        draft.commit().unwrap();
    }
    let (here, there) = (main.snapshot().unwrap(), draft.snapshot().unwrap());
    assert_eq!(texts(&here), ["main 0", "main 1", "main 2"]);
    assert_eq!(texts(&there), ["draft 0", "draft 1", "draft 2"]);
    // A checkout reaches the handle that chose no branch with its next read.
    draft.checkout("draft").unwrap();
    assert_eq!(main.branch().unwrap(), "draft");
    assert_eq!(texts(&main.snapshot().unwrap()).len(), 3);
    // Of a frame of another branch it is said where it is.
    let error = draft.frame_by_id(0).unwrap_err();
    assert_eq!(error.kind(), "other_branch");
    assert!(error.hint().unwrap().contains("--as-of"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut mem = new(&folder);
    put(&mut mem, "a", "one");
    mem.create_branch("draft", Selector::Head).unwrap();
    mem.create_tag("v1", Selector::Head).unwrap();
    let kind = |result: mv2::Result<mv2::Commit>| result.unwrap_err().kind();
    assert_eq!(kind(mem.create_branch("draft", 1)), "branch_exists");
    assert_eq!(kind(mem.create_branch("new", 99)), "no_such_commit");
    assert_eq!(kind(mem.create_branch("new", 2)), "no_memory_at_commit");
    for name in ["", "1st", "HEAD", "a b", "a~1", "-x", &"x".repeat(256)] {
        assert!(["invalid", "too_large"].contains(&kind(mem.create_branch(name, 1))));
        assert!(["invalid", "too_large"].contains(&kind(mem.create_tag(name, 1))));
    }
    assert_eq!(kind(mem.create_tag("v1", 1)), "tag_exists");
    assert_eq!(kind(mem.delete_tag("v2")), "no_such_tag");
    assert_eq!(kind(mem.rename_tag("v2", "v3")), "no_such_tag");
    assert_eq!(kind(mem.delete_branch("main")), "checked_out");
    assert_eq!(kind(mem.delete_branch("darft")), "no_such_branch");
    assert_eq!(kind(mem.rename_branch("draft", "main")), "branch_exists");
    assert_eq!(kind(mem.rewind(99)), "no_such_commit");
    assert_eq!(mem.checkout("other").unwrap_err().kind(), "no_such_branch");
    assert_eq!(
        mem.use_branch("other").unwrap_err().kind(),
        "no_such_branch"
    );
    let merge = mem.merge("other", MergeOptions::new());
    assert_eq!(merge.unwrap_err().kind(), "no_such_branch");
    let open = |name: &str| options(false).branch(name).open(mem.path());
    let error = open("drafd").unwrap_err();
    assert_eq!(error.kind(), "no_such_branch");
    assert!(error.hint().unwrap().contains("did you mean draft?"));
    let path = folder.path().join("new.mv2");
    let error = options(false).branch("draft").open_or_create(&path);
    assert_eq!(error.unwrap_err().kind(), "no_such_branch");
    assert!(!path.exists());
    // Nothing of this can be part of a batch.
    mem.put_bytes(b"pending").unwrap();
    assert_eq!(kind(mem.create_branch("new", 1)), "in_transaction");
    assert_eq!(kind(mem.rewind(1)), "in_transaction");
    assert_eq!(
        mem.use_branch("draft").unwrap_err().kind(),
        "in_transaction"
    );
    mem.rollback();
    // Histories that never met cannot be merged.
    mem.create_branch("apart", 0).unwrap();
    mem.use_branch("apart").unwrap();
    put(&mut mem, "a", "two");
    let merge = mem.merge("main", MergeOptions::new());
    assert_eq!(merge.unwrap_err().kind(), "unrelated");
    // The branch that a handle writes stays, and so does the name that it goes by.
    assert_eq!(kind(mem.delete_branch("apart")), "checked_out");
    mem.rename_branch("apart", "beside").unwrap();
    assert_eq!(mem.branch().unwrap(), "beside");
    mem.use_branch(None).unwrap();
    let gone = mem.at(named("beside")).unwrap().commit_id();
    mem.delete_branch("beside").unwrap();
    assert_eq!(texts(&mem.at(gone).unwrap()), ["two"]);
    let mut read = options(false).open_read_only(mem.path()).unwrap();
    assert_eq!(kind(read.create_branch("x", 1)), "read_only");
    read.use_branch("draft").unwrap();
    assert_eq!(texts(&read.snapshot().unwrap()), ["one"]);
}

#[test]
fn differences_go_across_branches() {
    let folder = tempfile::tempdir().unwrap();
    let mut mem = new(&folder);
    put(&mut mem, "a", "one");
    put(&mut mem, "gone", "x");
    mem.create_branch("draft", Selector::Head).unwrap();
    mem.use_branch("draft").unwrap();
    put(&mut mem, "a", "two");
    put(&mut mem, "new", "y");
    mem.delete_frame(mem.frame_by_uri("gone").unwrap().id)
        .unwrap();
    mem.commit().unwrap();
    mem.use_branch("main").unwrap();
    put(&mut mem, "a", "three");
    let at = |name: &str| mem.at(named(name)).unwrap();
    let id = |name: &str, uri: &str| at(name).frame_by_uri(uri).unwrap().id;
    let changes = at("draft").changes_since(at("main").commit_id()).unwrap();
    assert_eq!(changes.superseded, [(id("main", "a"), id("draft", "a"))]);
    assert_eq!(changes.added, [id("draft", "new")]);
    assert_eq!(changes.deleted, [id("main", "gone")]);
    let back = at("main").changes_since(at("draft").commit_id()).unwrap();
    assert_eq!(back.superseded, [(id("draft", "a"), id("main", "a"))]);
    assert_eq!(back.added, changes.deleted);
    assert_eq!(back.deleted, changes.added);
    let versions = at("draft").versions("a").unwrap();
    let frames: Vec<_> = versions.iter().map(|version| version.frame).collect();
    assert_eq!(frames, [id("draft~3", "a"), id("draft", "a")]);
}
