//! Branches, tags, merges and rewinds, against a model that knows nothing of lineages: a commit is the set of frames that
//! are visible at it.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use common::note;
use common::told::{seen_by_index, store, store_on, told};
use mv2_format::index::Effort;
use mv2_format::{CommitId, FrameId, LineageId};
use mv2_store::{
    Commit, CommitOptions, CreateOptions, Error, MemoryVolume, NewFrame, OpenOptions, Side,
    Snapshot, Store,
};

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn of<T: Clone>(&mut self, items: impl IntoIterator<Item = T>) -> T {
        let items: Vec<T> = items.into_iter().collect();
        items[self.below(items.len() as u64) as usize].clone()
    }
}

/// Frames that are visible at a commit, with their uris.
type Frames = BTreeMap<u64, Option<String>>;

#[derive(Default)]
struct Model {
    /// Frames, and what the store told, by commit.
    commits: BTreeMap<u64, (Frames, String)>,
    /// Parents, by commit.
    parents: HashMap<u64, Vec<u64>>,
    /// Frames that were taken away on the history of a commit, by commit.
    dead: HashMap<u64, BTreeSet<u64>>,
    branches: BTreeMap<String, u64>,
    tags: BTreeMap<String, u64>,
}

impl Model {
    fn record(&mut self, name: &str, commit: &Commit, frames: Frames, snapshot: &Snapshot) {
        let id = commit.id.0;
        let parents = [Some(commit.parent), commit.second_parent]
            .into_iter()
            .flatten();
        let parents: Vec<u64> = parents.map(|id| id.0).filter(|id| *id > 0).collect();
        let mut dead = BTreeSet::new();
        for parent in &parents {
            let before = &self.commits[parent].0;
            dead.extend(before.keys().filter(|id| !frames.contains_key(id)));
            dead.extend(&self.dead[parent]);
        }
        self.dead.insert(id, dead);
        self.parents.insert(id, parents);
        self.commits.insert(id, (frames, told(snapshot)));
        self.branches.insert(name.to_owned(), id);
    }

    fn has(&self, head: u64, commit: u64) -> bool {
        let older = self.parents.get(&head).into_iter().flatten();
        head == commit || older.into_iter().any(|parent| self.has(*parent, commit))
    }
}

fn frames_of(snapshot: &Snapshot) -> Frames {
    let metas = snapshot.metas(FrameId(0)..snapshot.end_frame());
    metas
        .map(|meta| meta.map(|meta| (meta.id.0, meta.uri)).unwrap())
        .collect()
}

fn check(store: &Store, model: &Model) {
    let newest = store.snapshot().unwrap();
    for (id, (frames, then)) in &model.commits {
        let at = newest.at(CommitId(*id)).unwrap();
        assert_eq!(&frames_of(&at), frames, "commit {id}");
        assert_eq!(&told(&at), then, "commit {id}");
        let visible: Vec<u64> = frames.keys().copied().collect();
        assert_eq!(seen_by_index(&at), visible, "commit {id}");
    }
    let branches = newest.branches().unwrap();
    let heads = branches
        .iter()
        .map(|branch| (branch.name.clone(), branch.head.0));
    assert_eq!(heads.collect::<BTreeMap<_, _>>(), model.branches);
    let tags = newest.tags().unwrap();
    let tags = tags.iter().map(|tag| (tag.name.clone(), tag.commit.0));
    assert_eq!(tags.collect::<BTreeMap<_, _>>(), model.tags);
    for (name, head) in &model.branches {
        let at = newest.at_branch(name).unwrap();
        assert_eq!((at.commit_id().0, at.branch()), (*head, Some(&**name)));
    }
}

/// What a merge should leave visible, or the uris that it should refuse.
fn merged(
    model: &Model,
    ours: u64,
    theirs: u64,
    prefer: Option<Side>,
) -> Result<Frames, Vec<String>> {
    let (here, there) = (&model.commits[&ours].0, &model.commits[&theirs].0);
    let (dead_here, dead_there) = (&model.dead[&ours], &model.dead[&theirs]);
    let mut both = Frames::new();
    both.extend(here.clone());
    both.extend(there.clone());
    both.retain(|id, _| !dead_here.contains(id) && !dead_there.contains(id));
    let uris: BTreeSet<&String> = both.values().flatten().collect();
    let uris: Vec<String> = uris.into_iter().cloned().collect();
    let mut refused = Vec::new();
    for uri in uris {
        let of = |frames: &Frames| {
            frames
                .iter()
                .find(|(_, found)| found.as_ref() == Some(&uri))
                .map(|(id, _)| *id)
        };
        let (mine, yours) = (of(here), of(there));
        let mine = mine.filter(|id| both.contains_key(id));
        let yours = yours.filter(|id| both.contains_key(id));
        if mine == yours {
            continue;
        }
        let (gone, stays) = match (mine, yours, prefer) {
            (Some(mine), Some(yours), Some(Side::Theirs)) => (mine, yours),
            (Some(mine), Some(yours), Some(Side::Ours)) => (yours, mine),
            (Some(_), Some(_), None) => {
                refused.push(uri);
                continue;
            }
            _ => continue,
        };
        both.remove(&gone);
        assert!(both.contains_key(&stays));
    }
    match refused.is_empty() {
        true => Ok(both),
        false => Err(refused),
    }
}

#[test]
fn each_commit_of_each_branch_reads_as_it_did_when_it_was_a_head() {
    for seed in [1, 77, 4_242, 987_654_321] {
        history(seed);
    }
}

fn history(seed: u64) {
    let mut random = Random(seed);
    let volume = Arc::new(MemoryVolume::new());
    let mut store = store_on(Arc::clone(&volume));
    let mut model = Model::default();
    model.branches.insert("main".into(), 0);
    model
        .commits
        .insert(0, (Frames::new(), told(&store.snapshot().unwrap())));
    model.dead.insert(0, BTreeSet::new());
    for round in 0..120u64 {
        let name = random.of(model.branches.keys().cloned());
        store.use_branch(Some(&name)).unwrap();
        let head = model.branches[&name];
        match random.below(20) {
            0..=9 => {
                let mut frames = model.commits[&head].0.clone();
                for n in 0..=random.below(3) {
                    let uri = (random.below(4) > 0).then(|| format!("u{}", random.below(7)));
                    let frame = NewFrame {
                        uri: uri.clone(),
                        ..note("", &format!("{round}.{n}"))
                    };
                    let put = store.put(frame).unwrap();
                    if let Some(old) = put.superseded {
                        frames.remove(&old.0).unwrap();
                    }
                    frames.insert(put.frame.0, uri);
                }
                let old = frames
                    .keys()
                    .copied()
                    .find(|id| *id < store.snapshot().unwrap().end_frame().0);
                if let (Some(old), 0) = (old, random.below(3)) {
                    store.delete(FrameId(old)).unwrap();
                    frames.remove(&old);
                }
                let commit = store.commit(CommitOptions::default()).unwrap().unwrap();
                let snapshot = store.snapshot().unwrap();
                assert_eq!(snapshot.commit_id(), commit.id);
                model.record(&name, &commit, frames, &snapshot);
            }
            10 | 11 => {
                let at = random.of(model.commits.keys().copied());
                let new = format!("b{round}");
                store.create_branch(&new, CommitId(at)).unwrap();
                model.branches.insert(new, at);
            }
            12 => {
                let at = random.of(model.commits.keys().copied());
                store
                    .create_tag(&format!("t{round}"), CommitId(at))
                    .unwrap();
                model.tags.insert(format!("t{round}"), at);
            }
            13 => {
                let to = random.of(model.commits.keys().copied());
                let commit = store.rewind(CommitId(to), None).unwrap();
                let frames = model.commits[&to].0.clone();
                let snapshot = store.snapshot().unwrap();
                assert_eq!(snapshot.commit_id(), commit.id);
                model.record(&name, &commit, frames, &snapshot);
                if to == 0 {
                    model.parents.insert(commit.id.0, Vec::new());
                }
            }
            14..=16 => {
                let other = random.of(model.branches.keys().cloned());
                let theirs = model.branches[&other];
                let prefer = random.of([None, Some(Side::Ours), Some(Side::Theirs)]);
                let known = model.has(head, theirs) || theirs == 0;
                match store.merge(&other, prefer, None) {
                    Ok(None) => assert!(known, "{name} {head} {other} {theirs}"),
                    Ok(Some(done)) => {
                        assert!(!known);
                        let snapshot = store.snapshot().unwrap();
                        let frames = frames_of(&snapshot);
                        let expected = merged(&model, head, theirs, prefer);
                        // What the model cannot know: a document that one side deleted, and the other wrote anew.
                        let mut expected = expected.unwrap();
                        if prefer.is_some() {
                            for uri in &done.conflicts {
                                let found = |frames: &Frames| {
                                    frames.values().flatten().any(|found| found == uri)
                                };
                                let sides = [&model.commits[&head].0, &model.commits[&theirs].0];
                                if !sides.into_iter().all(found) {
                                    let keeps = prefer == Some(Side::Ours);
                                    if found(sides[usize::from(keeps)]) {
                                        expected.retain(|_, found| found.as_ref() != Some(uri));
                                    }
                                }
                            }
                        }
                        assert_eq!(
                            frames, expected,
                            "round {round}: {name} {head} and {other} {theirs}"
                        );
                        assert_eq!(done.commit.second_parent, Some(CommitId(theirs)));
                        model.record(&name, &done.commit, frames, &snapshot);
                    }
                    Err(Error::MergeConflict { uris }) => {
                        assert_eq!(prefer, None);
                        if let Err(expected) = merged(&model, head, theirs, prefer) {
                            assert!(
                                expected.iter().all(|uri| uris.contains(uri)),
                                "{expected:?} {uris:?}"
                            );
                        }
                    }
                    Err(Error::Unrelated { .. }) => assert!(!known),
                    Err(error) => panic!("{error}"),
                }
                assert!(!store.in_transaction());
            }
            17 => {
                let to = format!("r{round}");
                store.rename_branch(&name, &to).unwrap();
                model.branches.remove(&name);
                model.branches.insert(to, head);
            }
            18 => {
                store.check_out(&name).unwrap();
                assert_eq!(store.snapshot().unwrap().branch(), Some(&*name));
                let refused = store.delete_branch(&name);
                assert!(
                    matches!(refused, Err(Error::CheckedOut { .. })),
                    "{refused:?}"
                );
                let other = random.of(model.branches.keys().cloned());
                if other != name && model.branches.len() > 6 {
                    store.delete_branch(&other).unwrap();
                    model.branches.remove(&other);
                }
            }
            _ => match random.below(4) {
                0 => store.optimize().unwrap(),
                1 => drop(store.vacuum().unwrap()),
                2 => store.checkpoint().unwrap(),
                _ => while store.maintain(Effort::Thorough, &|| false).unwrap() {},
            },
        }
        if round % 23 == 22 || round == 119 {
            check(&store, &model);
            let report = Store::verify_on(&*volume, Path::new("m"), true).unwrap();
            assert_eq!(report.problems, [], "round {round}");
        }
    }
}

fn put(store: &mut Store, branch: &str, uri: &str, text: &str) -> (FrameId, CommitId) {
    store.use_branch(Some(branch)).unwrap();
    let frame = store.put(note(uri, text)).unwrap().frame;
    let commit = store.commit(CommitOptions::default()).unwrap().unwrap();
    (frame, commit.id)
}

#[test]
fn a_file_without_branches_says_nothing_of_them() {
    let mut store = store();
    put(&mut store, "main", "a", "1");
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.properties().unwrap(), []);
    let branches = snapshot.branches().unwrap();
    assert_eq!((branches.len(), &*branches[0].name), (1, "main"));
    assert_eq!(snapshot.checked_out().unwrap(), "main");
}

#[test]
fn commits_that_move_branches_are_on_no_history() {
    let mut store = store();
    let (_, first) = put(&mut store, "main", "a", "1");
    let moved = store.create_branch("draft", first).unwrap();
    let tagged = store.create_tag("v1", first).unwrap();
    let (_, second) = put(&mut store, "main", "a", "2");
    assert_eq!((moved.id.0, tagged.id.0, second.0), (2, 3, 4));
    assert_eq!(
        (moved.lineage, tagged.lineage),
        (LineageId::BOOKKEEPING, LineageId::BOOKKEEPING)
    );
    let snapshot = store.snapshot().unwrap();
    let log: Vec<u64> = snapshot.log().map(|commit| commit.unwrap().id.0).collect();
    assert_eq!(log, [4, 1]);
    assert_eq!(snapshot.ancestor(1).unwrap(), Some(first));
    assert_eq!(snapshot.stats().unwrap().commits, 2);
    let refused = snapshot.at(moved.id);
    assert!(matches!(refused, Err(Error::Bookkeeping { commit }) if commit == moved.id));
    for at in [moved.id, tagged.id] {
        let refused = store.create_branch("more", at);
        assert!(
            matches!(refused, Err(Error::Bookkeeping { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_time_before_a_rewind_shows_what_was_head_then() {
    let mut store = store();
    let (_, first) = put(&mut store, "main", "a", "1");
    let (lost, second) = put(&mut store, "main", "a", "2");
    let rewound = store.rewind(first, None).unwrap();
    assert_eq!(rewound.message.as_deref(), Some("rewind to 1"));
    let (kept, third) = put(&mut store, "main", "a", "3");
    let now = store.snapshot().unwrap();
    assert_eq!(now.find_uri("a").unwrap(), Some(kept));
    assert!(matches!(now.meta(lost), Err(Error::OtherHistory { commit, .. }) if commit == second));
    let time = |commit| now.commit(commit).unwrap().time;
    let then = |commit| now.at_time(time(commit)).unwrap().commit_id();
    assert_eq!(
        [then(first), then(second), then(rewound.id), then(third)],
        [first, second, rewound.id, third]
    );
    // Back again, and nothing is lost.
    store.rewind(second, None).unwrap();
    let again = store.snapshot().unwrap();
    assert_eq!(again.find_uri("a").unwrap(), Some(lost));
    assert_eq!(again.at(third).unwrap().find_uri("a").unwrap(), Some(kept));
    assert_eq!(
        again
            .name_of(now.commit(second).unwrap().lineage)
            .unwrap()
            .as_deref(),
        Some("main")
    );
}

#[test]
fn both_sides_of_a_merge_keep_their_deletions() {
    let mut store = store();
    let (a, _) = put(&mut store, "main", "a", "1");
    let (b, base) = put(&mut store, "main", "b", "1");
    store.create_branch("draft", base).unwrap();
    store.use_branch(Some("draft")).unwrap();
    store.delete(a).unwrap();
    store.commit(CommitOptions::default()).unwrap();
    let (c, _) = put(&mut store, "draft", "c", "1");
    store.use_branch(Some("main")).unwrap();
    store.delete(b).unwrap();
    store.commit(CommitOptions::default()).unwrap();
    let merged = store.merge("draft", None, None).unwrap().unwrap();
    assert_eq!((merged.frames, merged.conflicts), (1, Vec::new()));
    let snapshot = store.snapshot().unwrap();
    assert_eq!(
        snapshot.visible().unwrap().frames().collect::<Vec<_>>(),
        [c]
    );
    assert_eq!(store.merge("draft", None, None).unwrap(), None);
}

#[test]
fn a_document_that_both_sides_changed_is_a_conflict() {
    let start = || {
        let mut store = store();
        let (old, base) = put(&mut store, "main", "a", "old");
        put(&mut store, "main", "b", "old");
        store.create_branch("draft", base).unwrap();
        (store, old)
    };
    let conflict = |store: &mut Store| match store.merge("draft", None, None) {
        Err(Error::MergeConflict { uris }) => uris,
        other => panic!("{other:?}"),
    };
    // Each wrote it anew.
    for (prefer, expected) in [(Side::Ours, 0), (Side::Theirs, 1)] {
        let (mut store, _) = start();
        let theirs = put(&mut store, "draft", "a", "theirs").0;
        let ours = put(&mut store, "main", "a", "ours").0;
        assert_eq!(conflict(&mut store), ["a"]);
        let merged = store.merge("draft", Some(prefer), None).unwrap().unwrap();
        assert_eq!(merged.conflicts, ["a"]);
        let found = store.snapshot().unwrap().find_uri("a").unwrap();
        assert_eq!(found, Some([ours, theirs][expected]));
        // It is settled: the same branch merges on.
        put(&mut store, "draft", "c", "more");
        store.use_branch(Some("main")).unwrap();
        assert!(store.merge("draft", None, None).unwrap().is_some());
        assert_eq!(store.snapshot().unwrap().find_uri("a").unwrap(), found);
    }
    // Both wrote the same.
    let (mut store, _) = start();
    put(&mut store, "draft", "a", "same");
    let ours = put(&mut store, "main", "a", "same").0;
    store.merge("draft", None, None).unwrap().unwrap();
    assert_eq!(store.snapshot().unwrap().find_uri("a").unwrap(), Some(ours));
    // One deleted what the other wrote anew.
    for (prefer, expected) in [(Side::Ours, false), (Side::Theirs, true)] {
        let (mut store, old) = start();
        let theirs = put(&mut store, "draft", "a", "theirs").0;
        store.use_branch(Some("main")).unwrap();
        store.delete(old).unwrap();
        store.commit(CommitOptions::default()).unwrap();
        assert_eq!(conflict(&mut store), ["a"]);
        store.merge("draft", Some(prefer), None).unwrap().unwrap();
        let found = store.snapshot().unwrap().find_uri("a").unwrap();
        assert_eq!(found, expected.then_some(theirs));
    }
    for (prefer, expected) in [(Side::Ours, true), (Side::Theirs, false)] {
        let (mut store, old) = start();
        store.use_branch(Some("draft")).unwrap();
        store.delete(old).unwrap();
        store.commit(CommitOptions::default()).unwrap();
        let ours = put(&mut store, "main", "a", "ours").0;
        assert_eq!(conflict(&mut store), ["a"]);
        store.merge("draft", Some(prefer), None).unwrap().unwrap();
        let found = store.snapshot().unwrap().find_uri("a").unwrap();
        assert_eq!(found, expected.then_some(ours));
    }
}

#[test]
fn branches_that_have_nothing_in_common_do_not_merge() {
    let mut store = store();
    put(&mut store, "main", "a", "1");
    store.create_branch("other", CommitId(0)).unwrap();
    assert_eq!(store.merge("other", None, None).unwrap(), None);
    put(&mut store, "other", "b", "1");
    store.use_branch(Some("main")).unwrap();
    let refused = store.merge("other", None, None);
    assert!(
        matches!(refused, Err(Error::Unrelated { .. })),
        "{refused:?}"
    );
}

#[test]
fn names_are_checked_and_looked_for() {
    let mut store = store();
    let (_, first) = put(&mut store, "main", "a", "1");
    store.create_branch("draft", first).unwrap();
    store.create_tag("v1", first).unwrap();
    let kinds = [
        store.create_branch("draft", first).unwrap_err(),
        store.create_branch("main", first).unwrap_err(),
        store.create_branch("1x", first).unwrap_err(),
        store.create_branch("x", CommitId(99)).unwrap_err(),
        store.create_tag("v1", first).unwrap_err(),
        store.create_tag("a b", first).unwrap_err(),
        store.delete_branch("draf").unwrap_err(),
        store.delete_branch("main").unwrap_err(),
        store.delete_tag("draft").unwrap_err(),
        store.rename_branch("draft", "main").unwrap_err(),
        store.rename_branch("none", "x").unwrap_err(),
        store.check_out("v1").unwrap_err(),
        store.use_branch(Some("v1")).unwrap_err(),
        store.merge("v1", None, None).unwrap_err(),
    ]
    .map(|error| error.kind());
    let expected = [
        "branch_exists",
        "branch_exists",
        "invalid",
        "no_such_commit",
        "tag_exists",
        "invalid",
        "no_such_branch",
        "checked_out",
        "no_such_tag",
        "branch_exists",
        "no_such_branch",
        "no_such_branch",
        "no_such_branch",
        "no_such_branch",
    ];
    assert_eq!(kinds, expected);
    store.put(note("b", "1")).unwrap();
    let refused = store.create_branch("more", first);
    assert!(
        matches!(refused, Err(Error::InTransaction { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_branch_that_is_deleted_elsewhere_is_gone_for_who_uses_it() {
    let volume = Arc::new(MemoryVolume::new());
    let (path, create) = (Path::new("m"), CreateOptions::default());
    let mut one = Store::create_on(volume.clone(), path, &create, OpenOptions::default()).unwrap();
    let mut two = Store::open_on(volume, path, OpenOptions::default(), true).unwrap();
    one.create_branch("draft", CommitId(0)).unwrap();
    two.use_branch(Some("draft")).unwrap();
    put(&mut one, "main", "a", "1");
    assert_eq!(two.snapshot().unwrap().commit_id(), CommitId(0));
    one.delete_branch("draft").unwrap();
    assert!(matches!(two.snapshot(), Err(Error::NoSuchRef { .. })));
    assert!(matches!(
        two.put(note("b", "1")),
        Err(Error::NoSuchRef { .. })
    ));
    one.put(note("c", "1")).unwrap();
    one.commit(CommitOptions::default()).unwrap().unwrap();
}
