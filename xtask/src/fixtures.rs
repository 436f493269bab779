//! `cargo xtask fixtures`: makes the golden files in `fixtures/format/v3` and the list of damages in
//! `fixtures/corrupt`.
//!
//! A golden file is written once and read for ever: it is made again only when it is missing, or
//! when what it decodes to is no longer what the scripts below say. File uuid and salts are random,
//! so two runs give other bytes and the same content; `--check` makes all of them in a temporary
//! folder and compares contents.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, Result, bail};
use mv2_format::{Attachment, CommitId, FrameId, FrameSet, SegmentKind, Timestamp};
use mv2_store::{
    CheckpointPolicy, Clock, CommitOptions, CreateOptions, MIN_WAL_BYTES, NewFrame, OpenOptions,
    Store,
};
use serde_json::{Value, json};

use crate::damage::{self, Case};
use crate::describe::{describe, differences, hex, queries};
use crate::workspace::root;

/// What to do with the files that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Make those that are missing or outdated.
    Missing,
    /// Change nothing; fail if something would change.
    Check,
    /// Make all of them anew.
    Force,
}

/// A golden file.
struct Golden {
    name: &'static str,
    /// What makes it.
    script: fn(&mut Script) -> Result<()>,
    /// What is searched in it.
    queries: &'static [&'static str],
}

/// All golden files, one for each feature of the format.
const GOLDEN: &[Golden] = &[
    Golden {
        name: "empty",
        script: |_| Ok(()),
        queries: &["anything"],
    },
    Golden {
        name: "tail-only",
        script: notes,
        queries: NOTES_QUERIES,
    },
    Golden {
        name: "checkpointed",
        script: |script| {
            notes(script)?;
            script.checkpoint()
        },
        queries: NOTES_QUERIES,
    },
    Golden {
        name: "tombstones",
        script: tombstones,
        queries: &["document", "anew", "uri:doc/0"],
    },
    Golden {
        name: "history",
        script: |script| {
            tombstones(script)?;
            script.optimize()
        },
        queries: &["document", "anew", "uri:doc/0"],
    },
    Golden {
        name: "branches",
        script: branches,
        queries: &["plan", "uri:plan.md", "harbour"],
    },
    Golden {
        name: "merged",
        script: |script| {
            branches(script)?;
            script.checkpoint()?;
            script.merge("draft", mv2_store::Side::Theirs)?;
            script.optimize()
        },
        queries: &["plan", "uri:plan.md", "harbour"],
    },
    Golden {
        name: "rewound",
        script: |script| {
            branches(script)?;
            script.optimize()?;
            script.rewind(1)?;
            script.put(text_at("plan.md", "A third plan."))?;
            script.commit("after the rewind")
        },
        queries: &["plan", "uri:plan.md", "harbour"],
    },
    Golden {
        name: "journal",
        script: journal,
        queries: &["plan", "harbour"],
    },
    Golden {
        name: "purged",
        script: purged,
        queries: &["harbour", "secret", "tag:place=京都", "uri:doc/2"],
    },
    Golden {
        name: "big-batch",
        script: big_batch,
        queries: &["note before", "消えない", "what was committed"],
    },
    Golden {
        name: "many-segments",
        script: many_segments,
        queries: &["harbour", "灯台", "\"round 2\"", "closed -round"],
    },
    Golden {
        name: "rebuilt",
        script: rebuilt,
        queries: &["note", "rebuilding 2"],
    },
    Golden {
        name: "shared",
        script: shared,
        queries: &["shared once", "another payload"],
    },
    Golden {
        name: "carried",
        script: carried,
        queries: &["note"],
    },
    Golden {
        name: "dense",
        script: dense,
        queries: &["\"lamp 77\"", "chapter keeper", "霧"],
    },
    Golden {
        name: "two-writers",
        script: two_writers,
        queries: &["writer"],
    },
    Golden {
        name: "dictionary",
        script: |script| {
            lamps(script)?;
            script.checkpoint()
        },
        queries: &["title:37"],
    },
    Golden {
        name: "sealed",
        script: sealed,
        queries: &["title:37", "lamp out"],
    },
    Golden {
        name: "small",
        script: small,
        queries: &[
            "\"keeper of lamp 3\"",
            "\"lamp keeper\"",
            "lamp keeper",
            "灯台",
        ],
    },
];

/// English and Japanese, a phrase, a tag, bytes with a search text.
const NOTES_QUERIES: &[&str] = &[
    "quarter plans",
    "daemon",
    "全文検索",
    "\"two readers\"",
    "tag:place=京都",
    "picture",
];

/// 2026-01-02T03:04:05Z, when the first commit of each script happens, in microseconds.
const START: i64 = 1_767_323_045_000_000;

/// Makes or checks all of them.
pub(crate) fn run(mode: Mode) -> Result<()> {
    let folder = golden_folder();
    let temp = tempfile::tempdir()?;
    let mut outdated = Vec::new();
    for Golden {
        name,
        script,
        queries,
    } in GOLDEN
    {
        let fresh = temp.path().join(format!("{name}.mv2"));
        make(&fresh, *script).with_context(|| format!("cannot make {name}"))?;
        let content = describe(&fresh, queries).with_context(|| format!("cannot read {name}"))?;
        let golden = folder.join(format!("{name}.mv2"));
        let page = folder.join(format!("{name}.json"));
        let stale = staleness(&golden, &page, &content);
        match (mode, &stale) {
            (Mode::Check, Some(why)) => outdated.push(format!("{name}: {why}")),
            (Mode::Check | Mode::Missing, None) => {}
            (Mode::Missing, Some(_)) | (Mode::Force, _) => {
                std::fs::create_dir_all(&folder)?;
                std::fs::copy(&fresh, &golden)?;
                write_json(&page, &content)?;
                println!("wrote {name}: {}", stale.as_deref().unwrap_or("asked for"));
            }
        }
    }
    let damages = damage::cases()?;
    let list = damage_list();
    if read_cases(&list).ok().as_ref() != Some(&damages) {
        if mode == Mode::Check {
            outdated.push(format!("{}: differs", list.display()));
        } else {
            std::fs::create_dir_all(list.parent().unwrap_or(&list))?;
            write_json(&list, &serde_json::to_value(&damages)?)?;
            println!("wrote {} damages", damages.len());
        }
    }
    for line in &outdated {
        println!("{line}");
    }
    if !outdated.is_empty() {
        bail!(
            "{} fixtures are outdated. If the format changed on purpose (docs/format.md says so), \
             run `cargo xtask fixtures`",
            outdated.len()
        );
    }
    println!(
        "fixtures: {} golden files, {} damages",
        GOLDEN.len(),
        damages.len()
    );
    Ok(())
}

/// Where the golden files are.
pub(crate) fn golden_folder() -> PathBuf {
    root().join("fixtures/format/v3")
}

/// The list of damages, with what each must lead to.
pub(crate) fn damage_list() -> PathBuf {
    root().join("fixtures/corrupt/expected.json")
}

/// Reads the list of damages.
pub(crate) fn read_cases(list: &Path) -> Result<Vec<Case>> {
    let text =
        std::fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is malformed", list.display()))
}

/// Options that write files as the facade does: with a lexical index and one of times.
pub(crate) fn options() -> OpenOptions {
    OpenOptions {
        indexes: vec![
            Arc::new(mv2_lex::LexIndex::new()),
            Arc::new(mv2_time::TimeIndex::new()),
        ],
        ..OpenOptions::default()
    }
}

/// Why a golden file must be made again, if it must.
fn staleness(golden: &Path, page: &Path, content: &Value) -> Option<String> {
    if !golden.exists() || !page.exists() {
        return Some("missing".to_owned());
    }
    let said: Option<Value> = std::fs::read_to_string(page)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok());
    let Some(said) = said else {
        return Some("its JSON is malformed".to_owned());
    };
    if let Some(first) = differences(&said, content).first() {
        return Some(format!("the script makes another content: {first}"));
    }
    match describe(golden, &queries(&said)) {
        Err(error) => Some(format!("it cannot be read: {error:#}")),
        Ok(found) => differences(&said, &found)
            .first()
            .map(|first| format!("it holds another content: {first}")),
    }
}

/// Two branches that both change a document, commits of which alternate, and tags.
fn branches(script: &mut Script) -> Result<()> {
    script.put(text_at("plan.md", "The plan is a harbour."))?;
    script.put(text_at("note.md", "A note that stays."))?;
    script.commit("the plan")?;
    script.store.create_branch("draft", CommitId(1))?;
    script.store.create_tag("v1", CommitId(1))?;
    script.pass(60);
    script.on("draft")?;
    script.put(text_at("plan.md", "The plan is a lighthouse."))?;
    script.commit("another plan")?;
    script.on("main")?;
    let gone = script.put(text_at("gone.md", "Not for long."))?;
    script.commit("")?;
    script.on("draft")?;
    script.put(text_at("lamp.md", "What a lighthouse needs."))?;
    script.commit("")?;
    script.on("main")?;
    script.delete(gone)?;
    script.put(text_at("plan.md", "The plan is a larger harbour."))?;
    script.commit("the plan grows")?;
    script.store.create_branch("idle", CommitId(0))?;
    script.store.rename_tag("v1", "first")?;
    script.pass(60);
    Ok(())
}

/// Searches that were noted down, in a segment and in the log, between commits.
fn journal(script: &mut Script) -> Result<()> {
    script.put(text_at("plan.md", "The plan is a harbour."))?;
    script.put(text_at("note.md", "A note that stays."))?;
    script.commit("the plan")?;
    script.search("plan")?;
    script.search("a plan for +tag:place=京都")?;
    script.checkpoint()?;
    script.put(text_at("plan.md", "The plan is a lighthouse."))?;
    script.commit("another plan")?;
    script.search("plan")
}

/// Frames that were purged, twice: a version, one that carried a payload for another, neighbours, and one of the log. What comes
/// later stands beside the holes.
fn purged(script: &mut Script) -> Result<()> {
    for round in 0..4 {
        for number in 0..3 {
            let text = match (round, number) {
                (_, 1) => "What several say of the harbour.".to_owned(),
                (1, _) => format!("The secret {number} of the second round."),
                _ => format!("Of the harbour, in round {round}, number {number}."),
            };
            let mut frame = text_at(&format!("doc/{number}"), &text);
            frame.tags.push(("place".to_owned(), "京都".to_owned()));
            let frame = script.put(frame)?;
            // Put again, it is the same frame.
            if number != 1 || round == 0 {
                script.attach(frame, 0, &[round, number])?;
            }
        }
        script.put(text_at(
            &format!("log/{round}"),
            "What several say of the harbour.",
        ))?;
        script.commit(&format!("round {round}"))?;
        if round == 1 {
            script.optimize()?;
        }
    }
    script.purge(&[1, 4, 5, 6])?;
    script.put(text_at(
        "after.md",
        "Written after the purge, of the harbour.",
    ))?;
    script.commit("after the first purge")?;
    script.purge(&[3, 13])?;
    script.put(text_at("doc/2", "The newest of the harbour."))?;
    script.commit("after the second one")
}

fn text_at(uri: &str, text: &str) -> NewFrame {
    NewFrame {
        uri: Some(uri.to_owned()),
        is_text: true,
        payload: text.into(),
        ..NewFrame::default()
    }
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    std::fs::write(path, format!("{text}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn make(path: &Path, script: fn(&mut Script) -> Result<()>) -> Result<()> {
    let mut run = Script::create(path)?;
    script(&mut run)
}

/// A store with a clock that stands still until the script moves it.
struct Script {
    store: Store,
    path: PathBuf,
    clock: Arc<ScriptClock>,
}

struct ScriptClock(AtomicI64);

impl Clock for ScriptClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

impl Script {
    fn create(path: &Path) -> Result<Self> {
        let clock = Arc::new(ScriptClock(AtomicI64::new(START)));
        let create = CreateOptions {
            wal_bytes: MIN_WAL_BYTES,
        };
        let store = Store::create(path, &create, script_options(&clock, 8))?;
        Ok(Self {
            store,
            path: path.to_owned(),
            clock,
        })
    }

    /// Opens the file again with another limit of live segments.
    fn reopen(&mut self, max_segments: usize) -> Result<()> {
        self.store = Store::open(&self.path, script_options(&self.clock, max_segments))?;
        Ok(())
    }

    fn put(&mut self, frame: NewFrame) -> Result<FrameId> {
        Ok(self.store.put(frame)?.frame)
    }

    fn update(&mut self, id: FrameId, frame: NewFrame) -> Result<FrameId> {
        Ok(self.store.update(id, frame)?.frame)
    }

    fn delete(&mut self, id: FrameId) -> Result<()> {
        Ok(self.store.delete(id)?)
    }

    /// Commits, and lets a minute pass.
    fn commit(&mut self, message: &str) -> Result<()> {
        let options = CommitOptions {
            message: (!message.is_empty()).then(|| message.to_owned()),
            ..CommitOptions::default()
        };
        self.store
            .commit(options)?
            .context("a commit of a script changed nothing")?;
        self.pass(60);
        Ok(())
    }

    /// Goes on on another branch.
    fn on(&mut self, branch: &str) -> Result<()> {
        Ok(self.store.use_branch(Some(branch))?)
    }

    fn merge(&mut self, branch: &str, prefer: mv2_store::Side) -> Result<()> {
        let merged = self.store.merge(branch, Some(prefer), None)?;
        merged.context("a merge of a script changed nothing")?;
        self.pass(60);
        Ok(())
    }

    fn rewind(&mut self, to: u64) -> Result<()> {
        self.store.rewind(CommitId(to), None)?;
        self.pass(60);
        Ok(())
    }

    /// Searches as the facade does, which notes it down, and lets a minute pass.
    fn search(&mut self, query: &str) -> Result<()> {
        let options = mv2::Memvid::builder()
            .background(false)
            .clock(Arc::clone(&self.clock) as Arc<dyn Clock>)
            .journal(true);
        options.open(&self.path)?.search(query)?;
        self.pass(60);
        Ok(())
    }

    fn purge(&mut self, frames: &[u64]) -> Result<()> {
        let frames: FrameSet = frames.iter().copied().map(FrameId).collect();
        let purged = self.store.purge(|_| Ok::<_, mv2_store::Error>(frames))?;
        purged.context("a purge of a script took nothing")?;
        self.pass(60);
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<()> {
        Ok(self.store.checkpoint()?)
    }

    fn attach(&mut self, frame: FrameId, part: u32, bytes: &[u8]) -> Result<()> {
        Ok(self.store.attach(Attachment {
            frame,
            kind: SegmentKind::VECTORS,
            part,
            bytes: bytes.into(),
        })?)
    }

    fn set(&mut self, key: &str, value: Option<&[u8]>) -> Result<()> {
        Ok(self.store.set_property(key, value.map(<[u8]>::to_vec))?)
    }

    fn optimize(&mut self) -> Result<()> {
        Ok(self.store.optimize()?)
    }

    /// Moves the clock, backwards too.
    fn pass(&mut self, seconds: i64) {
        self.clock
            .0
            .fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

fn script_options(clock: &Arc<ScriptClock>, max_segments: usize) -> OpenOptions {
    OpenOptions {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        checkpoint: CheckpointPolicy {
            max_segments,
            ..CheckpointPolicy::default()
        },
        ..options()
    }
}

fn text(uri: &str, title: &str, text: &str) -> NewFrame {
    NewFrame {
        uri: Some(uri.to_owned()),
        title: Some(title.to_owned()),
        is_text: true,
        payload: text.as_bytes().to_vec(),
        ..NewFrame::default()
    }
}

/// Each field of a frame, Japanese, bytes, an empty document, an update, a delete, a clock that
/// falls back and one that jumps.
fn notes(script: &mut Script) -> Result<()> {
    let plan = script.put(NewFrame {
        kind: Some("note".to_owned()),
        track: Some("meetings".to_owned()),
        tags: vec![
            ("project".to_owned(), "alpha".to_owned()),
            ("people".to_owned(), "Ada, 花子".to_owned()),
        ],
        labels: vec!["planning".to_owned(), "draft".to_owned()],
        metadata: Some(json!({"room": 4, "remote": true}).to_string()),
        timestamp: Some(Timestamp(START - 86_400_000_000)),
        ..text(
            "notes/plan.md",
            "Planning",
            "We plan the fourth quarter: one file, no server, no daemon.",
        )
    })?;
    script.put(NewFrame {
        tags: vec![("place".to_owned(), "京都".to_owned())],
        ..text(
            "notes/京都.md",
            "京都の打ち合わせ",
            "来週の火曜日に京都で打ち合わせをする。議題は全文検索の精度とファイルの壊れにくさ。",
        )
    })?;
    script.commit("first notes")?;

    script.put(NewFrame {
        uri: Some("images/dot.bin".to_owned()),
        search_text: Some("a picture of a dot".to_owned()),
        payload: (0..=255).chain([0; 64]).collect(),
        ..NewFrame::default()
    })?;
    let nothing = script.put(NewFrame {
        is_text: true,
        ..NewFrame::default()
    })?;
    script.commit("")?;

    // A caller's clock is set back by an hour: times of commits rise all the same.
    script.pass(-3_600);
    script.update(
        plan,
        text(
            "notes/plan.md",
            "Planning",
            "We plan the fourth quarter: one file, no server, two readers.",
        ),
    )?;
    script.commit("the plan again, 更新")?;

    // And jumps forward by a year.
    script.pass(365 * 86_400);
    script.delete(nothing)?;
    script.commit("an empty note goes")
}

/// Deaths in the log, in a segment of their own, and of frames on both sides of a checkpoint.
fn tombstones(script: &mut Script) -> Result<()> {
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(script.put(text(
            &format!("doc/{number}"),
            &format!("Document {number}"),
            &format!("The document of number {number} stays until it is deleted."),
        ))?);
    }
    script.commit("six documents")?;
    script.checkpoint()?;

    script.delete(ids[1])?;
    let fourth = script.update(ids[4], text("doc/4", "Document 4", "It was written anew."))?;
    script.commit("one goes, one changes")?;
    script.checkpoint()?;

    script.delete(fourth)?;
    script.commit("what was written anew goes as well")?;
    script.checkpoint()?;

    script.delete(ids[0])?;
    script.put(text(
        "doc/0",
        "Document 0",
        "A uri that was free is taken again.",
    ))?;
    script.commit("a uri comes back")
}

/// Properties and attachments, in segments and in the log.
fn carried(script: &mut Script) -> Result<()> {
    for round in 0..3u8 {
        let frame = script.put(text(
            &format!("note/{round}"),
            "A note",
            &format!("The note of round {round} carries bytes for an index."),
        ))?;
        script.attach(frame, u32::from(round % 2), &[round; 5])?;
        script.set("rounds", Some(&[round]))?;
        script.set("first", (round == 0).then_some(b"only once"))?;
        script.commit("a round")?;
        if round == 1 {
            script.checkpoint()?;
        }
    }
    Ok(())
}

/// A batch that the log cannot hold, so that a checkpoint takes it in: a document of 200 KB, and
/// bytes that no codec makes shorter.
fn big_batch(script: &mut Script) -> Result<()> {
    script.put(text("small/1", "Before", "A note before the long one."))?;
    script.commit("small")?;
    let mut long = String::new();
    let mut line = 0;
    while long.len() < 200_000 {
        long.push_str(&format!(
            "{:03}: what was committed is still there after the power fails, 消えない\n",
            line % 97
        ));
        line += 1;
    }
    script.put(text("long", "A long document", &long))?;
    script.put(NewFrame {
        uri: Some("noise".to_owned()),
        payload: noise(60_000),
        ..NewFrame::default()
    })?;
    script.put(text("small/2", "Beside", "A note beside the long one."))?;
    script.commit("more than the log can hold")?;
    script.put(text("small/3", "After", "A note after the long one."))?;
    script.commit("small again")
}

/// Bytes that do not compress, the same at every run (xorshift64).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect()
}

/// One segment of each kind for each of four checkpoints, and a commit in the log.
fn many_segments(script: &mut Script) -> Result<()> {
    for round in 0..4 {
        for number in 0..2 {
            script.put(text(
                &format!("round/{round}/{number}"),
                &format!("Round {round}"),
                &format!("Round {round} wrote document {number} about the harbour and the 灯台."),
            ))?;
        }
        script.commit(&format!("round {round}"))?;
        script.checkpoint()?;
    }
    script.put(text("last", "Last", "The harbour is closed."))?;
    script.commit("in the log")
}

/// More checkpoints than segments may live: small neighbours were rebuilt as one.
fn rebuilt(script: &mut Script) -> Result<()> {
    script.reopen(2)?;
    let mut first = None;
    for round in 0..4 {
        let id = script.put(text(
            &format!("note/{round}"),
            &format!("Note {round}"),
            &format!("Note {round} survives the rebuilding of its segment."),
        ))?;
        first.get_or_insert(id);
        script.commit("")?;
        script.checkpoint()?;
    }
    script.delete(first.context("no first note")?)?;
    script.commit("the first note goes")?;
    script.checkpoint()
}

/// Equal payloads: beside each other in a segment, of frames on both sides of a checkpoint, and
/// beside each other in the log.
fn shared(script: &mut Script) -> Result<()> {
    let payload = "A payload that several documents have is shared: it is stored once.";
    let other = "Another payload is stored once in the log, with a reference behind it.";
    script.put(text("shared/0", "First", payload))?;
    let second = script.put(text("shared/1", "Second", payload))?;
    script.commit("two documents, one payload")?;
    script.checkpoint()?;

    script.put(text("shared/2", "Third", payload))?;
    script.commit("a third one in the next segment")?;
    script.checkpoint()?;

    script.put(text("shared/3", "Fourth", payload))?;
    script.put(text("other/0", "First", other))?;
    script.put(NewFrame {
        search_text: Some("not what the payload says".to_owned()),
        metadata: Some(json!({"same": true}).to_string()),
        ..text("other/1", "Second", other)
    })?;
    script.delete(second)?;
    script.commit("in the log")
}

/// More text in one checkpoint than a dense segment needs, and more frames than a block of
/// metadata, of an index's column and of times has.
fn dense(script: &mut Script) -> Result<()> {
    for number in 0_i64..150 {
        script.put(NewFrame {
            labels: vec![format!("shore-{}", number % 7)],
            timestamp: Some(Timestamp(START + (number * 37 % 150) * 86_400_000_000)),
            ..text(
                &format!("lamp/{number}"),
                &format!("Lamp {number}"),
                &format!(
                    "Lamp {number} is lit at {:02}:{:02}, 霧の日は{}時に。",
                    number * 7 % 24,
                    number * 13 % 60,
                    number * 5 % 12
                ),
            )
        })?;
    }
    for chapter in 0..4 {
        let lines = (0..400).map(|line| {
            format!(
                "Chapter {chapter}, line {line}: the keeper counted {} ships.\n",
                (line * 7919 + chapter * 104_729) % 1_000
            )
        });
        let lines: String = lines.collect();
        script.put(text(&format!("chapter/{chapter}"), "A chapter", &lines))?;
    }
    script.commit("lamps and chapters")?;
    script.checkpoint()
}

/// Three commits by one writer and one more by another, which wrote the third again.
fn two_writers(script: &mut Script) -> Result<()> {
    for number in 0..4 {
        if number == 3 {
            script.reopen(8)?;
        }
        script.put(text(
            &format!("note/{number}"),
            "A note",
            &format!("Note {number} of a writer."),
        ))?;
        script.commit("")?;
    }
    Ok(())
}

/// So much text with so much in common that a dense segment gets a dictionary.
fn lamps(script: &mut Script) -> Result<()> {
    // What all documents have in common and none has twice is what a dictionary is for.
    let lines: Vec<String> = noise(128 * 40).chunks(40).map(hex).collect();
    for (number, choices) in noise(100 * 140).chunks(140).enumerate() {
        let lines: Vec<&str> = choices
            .iter()
            .map(|choice| lines[usize::from(*choice) % lines.len()].as_str())
            .collect();
        script.put(text(
            &format!("lamp/{number}"),
            &format!("Lamp {number}"),
            &lines.join("\n"),
        ))?;
    }
    script.commit("many lamps")
}

/// A file without a log and without the positions of words, and a dead frame, so that its lexical segments are of both kinds.
fn small(script: &mut Script) -> Result<()> {
    for number in 0..24 {
        let body = format!("The keeper of lamp {number} wrote to the harbour: 灯台{number}番");
        script.put(text(&format!("lamp/{number}"), "A lamp", &body))?;
    }
    script.commit("lamps")?;
    script.delete(FrameId(5))?;
    script.commit("one is gone")?;
    script.store.seal_as(vec![
        Arc::new(mv2_lex::LexIndex::without_positions()),
        Arc::new(mv2_time::TimeIndex::new()),
    ])?;
    Ok(())
}

/// A file without a log, with a dictionary, a frame that is dead and one whose carrier is dead.
fn sealed(script: &mut Script) -> Result<()> {
    lamps(script)?;
    script.put(text("out", "Out", "A lamp is out."))?;
    script.commit("one is out")?;
    script.update(
        FrameId(100),
        text("out/again", "Out again", "A lamp is out."),
    )?;
    script.commit("under another name")?;
    script.store.seal()?;
    Ok(())
}
