//! Damaged files: golden files with a few bytes changed, and what must come of each.
//!
//! A damage is kept as a list of patches in `fixtures/corrupt/expected.json`, so that people see
//! what is wrong with the file, and any other reader of the format can make and check the same files.
//! Patches hold plain offsets and bytes. They are found through [`crate::layout`] and change when the
//! golden file that they belong to is made again.

use std::path::Path;

use anyhow::{Context, Result, bail};
use mv2_format::FrameId;
use mv2_format::checksum::{crc32, hash32};
use mv2_store::{CommitOptions, Error, NewFrame, OpenOptions, Store};
use serde::{Deserialize, Serialize};

use crate::describe::hex;
use crate::fixtures::{golden_folder, options};
use crate::layout::{self, Layout, PAGE_CRC, ROOTS};

/// What a damaged part leads to: `ok`, or the kind of the error.
const OK: &str = "ok";

/// One damaged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    /// Its name.
    pub(crate) name: String,
    /// What is wrong with it.
    pub(crate) what: String,
    /// The golden file that it is made of.
    pub(crate) base: String,
    /// Length that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    truncate: Option<usize>,
    /// Bytes that are overwritten, before it is cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    patches: Vec<Patch>,
    /// What must come of it.
    expect: Expect,
}

/// Bytes at an offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Patch {
    at: usize,
    hex: String,
}

/// What must come of a damaged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Expect {
    /// Opening it.
    open: String,
    /// Commits that are there, if it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commits: Option<usize>,
    /// Reading every visible frame, if it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read: Option<String>,
    /// Whether `verify --deep` finds nothing.
    verify: bool,
    /// Putting a document, if it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    write: Option<String>,
}

impl Expect {
    fn refused(kind: &str) -> Self {
        Self {
            open: kind.to_owned(),
            commits: None,
            read: None,
            verify: false,
            write: None,
        }
    }

    fn opens(commits: usize, read: &str, verify: bool, write: &str) -> Self {
        Self {
            open: OK.to_owned(),
            commits: Some(commits),
            read: Some(read.to_owned()),
            verify,
            write: Some(write.to_owned()),
        }
    }
}

/// All damages of the golden files as they are now.
pub(crate) fn cases() -> Result<Vec<Case>> {
    let empty = Base::read("empty")?;
    let log = Base::read("tail-only")?;
    let segments = Base::read("checkpointed")?;
    let mut cases = headers(&empty);
    cases.extend(cuts(&empty, &segments)?);
    cases.extend(roots(&segments)?);
    cases.push(roots_under_an_anchor(&segments));
    cases.extend(roots_under_a_log(&Base::read("tombstones")?));
    cases.extend(bodies(&segments)?);
    cases.extend(kinds(&segments)?);
    cases.extend(purged(&Base::read("purged")?)?);
    cases.extend(batches(&log)?);
    cases.extend(rewrites(&Base::read("two-writers")?)?);
    Ok(cases)
}

/// Commits of the script `notes`, of which most damages are made.
const COMMITS: usize = 4;

fn headers(empty: &Base) -> Vec<Case> {
    let refused = Expect::refused;
    let sealed = |at: usize, bytes: &[u8]| empty.sealed(0, at, bytes);
    let version = "unsupported_version";
    vec![
        empty.case(
            "not-mv2",
            "another magic",
            vec![patch(0, b"SQLite f")],
            refused("not_mv2"),
        ),
        empty.case(
            "memvid2",
            "the magic of memvid 2.x",
            vec![patch(0, b"MV2\0")],
            refused("memvid2"),
        ),
        empty.case(
            "newer-major",
            "major version 4",
            sealed(8, &[4]),
            refused(version),
        ),
        empty.case(
            "newer-minor",
            "minor version 7, which may only add",
            sealed(10, &[7]),
            Expect::opens(0, OK, true, OK),
        ),
        empty.case(
            "other-draft",
            "draft revision 999",
            sealed(12, &[0xE7, 3]),
            refused(version),
        ),
        empty.case(
            "unknown-required-feature",
            "a feature that a reader must understand",
            sealed(16 + 5, &[1]),
            refused(version),
        ),
        empty.case(
            "unknown-optional-feature",
            "a feature that a reader may ignore",
            sealed(24 + 5, &[1]),
            Expect::opens(0, OK, true, OK),
        ),
        empty.case(
            "header-flipped",
            "a byte of the uuid",
            empty.flip(34),
            refused("corrupt"),
        ),
        empty.case(
            "header-reserved",
            "a reserved byte is set, the checksum is right",
            sealed(2_000, &[1]),
            refused("corrupt"),
        ),
        empty.case(
            "log-too-short",
            "a log of 4 KiB, the checksum is right",
            sealed(56, &4096_u64.to_le_bytes()),
            refused("corrupt"),
        ),
        empty.case(
            "log-without-end",
            "a log of 2^63 bytes, the checksum is right",
            sealed(56, &(1_u64 << 63).to_le_bytes()),
            refused("corrupt"),
        ),
    ]
}

fn cuts(empty: &Base, segments: &Base) -> Result<Vec<Case>> {
    let body = segments.body(1)?;
    let corrupt = || Expect::refused("corrupt");
    Ok(vec![
        empty.cut(
            "cut-to-nothing",
            "a file of no bytes",
            0,
            Expect::refused("not_mv2"),
        ),
        empty.cut(
            "cut-in-magic",
            "5 bytes of magic",
            5,
            Expect::refused("not_mv2"),
        ),
        empty.cut(
            "cut-in-header",
            "the header page ends early",
            1_000,
            corrupt(),
        ),
        empty.cut(
            "cut-in-root",
            "the first root page ends early",
            6_000,
            corrupt(),
        ),
        empty.cut("cut-in-log", "the log ends early", 20_000, corrupt()),
        segments.cut(
            "cut-in-segment",
            "the file ends in the data segment",
            body.start + body.len() / 2,
            corrupt(),
        ),
        segments.cut(
            "cut-in-footer",
            "the footer page ends early: the file is shorter than its root page says",
            segments.layout.footer + 100,
            corrupt(),
        ),
    ])
}

fn roots(segments: &Base) -> Result<Vec<Case>> {
    let newest = segments.layout.root;
    let older = ROOTS
        .into_iter()
        .find(|root| *root != newest)
        .context("no older root page")?;
    let footer = segments.layout.footer;
    // The page of the TOC lies before the footer's.
    let toc = footer - layout::PAGE;
    let both = [segments.flip(newest + 50), segments.flip(older + 50)].concat();
    let all = [both.clone(), segments.flip(footer + 50)].concat();
    // All that was committed is there; `verify` says that a page is not what it should be.
    let whole = || Expect::opens(COMMITS, OK, false, OK);
    Ok(vec![
        segments.case(
            "newest-root-flipped",
            "the newest root page is damaged; the footer says the same",
            segments.flip(newest + 50),
            whole(),
        ),
        segments.case(
            "older-root-flipped",
            "the older root page is damaged",
            segments.flip(older + 50),
            whole(),
        ),
        segments.case(
            "both-roots-flipped",
            "both root pages are damaged; the footer says the same",
            both,
            whole(),
        ),
        segments.case(
            "roots-and-footer-flipped",
            "both root pages and the footer are damaged",
            all,
            Expect::refused("corrupt"),
        ),
        segments.case(
            "toc-flipped",
            "a byte of the table of contents",
            segments.flip(toc + 70),
            Expect::refused("corrupt"),
        ),
    ])
}

/// Behind the newest checkpoint there is nothing but the anchor, which says that the checkpoint was durable.
fn roots_under_an_anchor(segments: &Base) -> Case {
    let root = segments.flip(segments.layout.root + 50);
    let footer = segments.flip(segments.layout.footer + 50);
    segments.case(
        "root-and-footer-under-anchor-flipped",
        "the log has the anchor of a checkpoint whose root page and footer are damaged; the older root page is sound",
        [root, footer].concat(),
        Expect::refused("corrupt"),
    )
}

/// Behind the newest checkpoint there are commits in the log, so that an older root would lose some.
fn roots_under_a_log(both: &Base) -> Vec<Case> {
    let root = both.flip(both.layout.root + 50);
    let footer = both.flip(both.layout.footer + 50);
    vec![
        both.case(
            "root-under-log-flipped",
            "the root page that the log goes on from is damaged; the footer says the same",
            root.clone(),
            Expect::opens(4, OK, false, OK),
        ),
        both.case(
            "root-and-footer-under-log-flipped",
            "the log goes on from a checkpoint whose root page and footer are damaged",
            [root, footer].concat(),
            Expect::refused("corrupt"),
        ),
    ]
}

fn bodies(segments: &Base) -> Result<Vec<Case>> {
    let middle = |kind| segments.body(kind).map(|body| body.start + body.len() / 2);
    let (data, commits, tombstones, lex) = (middle(1)?, middle(2)?, middle(3)?, middle(16)?);
    Ok(vec![
        segments.case(
            "data-flipped",
            "a byte of the data segment",
            segments.flip(data),
            Expect {
                write: None,
                ..Expect::opens(COMMITS, "corrupt", false, "")
            },
        ),
        segments.case(
            "commits-flipped",
            "a byte of the commit log",
            segments.flip(commits),
            Expect {
                commits: None,
                write: None,
                ..Expect::opens(COMMITS, OK, false, "")
            },
        ),
        segments.case(
            "tombstones-flipped",
            "a byte of the tombstones",
            segments.flip(tombstones),
            Expect {
                read: None,
                write: None,
                ..Expect::opens(COMMITS, "", false, "")
            },
        ),
        segments.case(
            "lex-flipped",
            "a byte of the lexical index, which is no source of truth",
            segments.flip(lex),
            Expect::opens(COMMITS, OK, false, OK),
        ),
    ])
}

/// Who cannot read which frames are purged must not take a hole for a frame.
fn purged(purged: &Base) -> Result<Vec<Case>> {
    let body = purged.body(4)?;
    Ok(vec![purged.case(
        "purged-flipped",
        "a byte of the list of purged frames",
        purged.flip(body.start + 16),
        Expect {
            commits: None,
            write: None,
            ..Expect::opens(0, "corrupt", false, "")
        },
    )])
}

/// The lexical segment gets a kind that nobody knows, with all hashes right.
fn kinds(segments: &Base) -> Result<Vec<Case>> {
    let named = |flags: u16| segments.renamed(99, flags);
    Ok(vec![
        segments.case(
            "unknown-kind-required",
            "a segment of an unknown kind that a reader must understand",
            named(0)?,
            Expect::refused("unsupported_version"),
        ),
        segments.case(
            "unknown-kind-optional",
            "a segment of an unknown kind that a reader may ignore",
            named(1)?,
            Expect::opens(COMMITS, OK, true, OK),
        ),
    ])
}

fn batches(log: &Base) -> Result<Vec<Case>> {
    let batches = &log.layout.batches;
    let (first, last) = batches
        .first()
        .zip(batches.last())
        .context("the log is empty")?;
    Ok(vec![
        log.case(
            "log-torn",
            "the last batch was written in part: it was never acknowledged",
            vec![patch(last.end - 60, &[0; 60])],
            Expect::opens(COMMITS - 1, OK, true, OK),
        ),
        log.case(
            "log-damaged",
            "the first batch is damaged, sound ones follow",
            log.flip(first.start + 140),
            Expect::opens(0, OK, false, "corrupt"),
        ),
    ])
}

/// The third batch was written again by the writer of the fourth, in the same sync.
fn rewrites(log: &Base) -> Result<Vec<Case>> {
    let [.., third, fourth] = &log.layout.batches[..] else {
        bail!("{} has fewer than two batches", log.name);
    };
    let second = &log.layout.batches[1];
    Ok(vec![
        log.case(
            "rewrite-torn",
            "a batch is damaged and the only one behind it wrote it again in the same sync, which never returned",
            log.flip(third.start + 140),
            Expect::opens(2, OK, true, OK),
        ),
        log.case(
            "rewrite-damaged",
            "the batch before the one that was written again is damaged: two sound ones behind it are no torn tail",
            log.flip(second.start + 140),
            Expect::opens(1, OK, false, "corrupt"),
        ),
        log.case(
            "rewrite-and-batch-torn",
            "a batch that was written again is damaged, and so is the one behind it",
            [log.flip(third.start + 140), log.flip(fourth.start + 140)].concat(),
            Expect::opens(2, OK, true, OK),
        ),
    ])
}

/// A golden file of which damaged ones are made.
struct Base {
    name: &'static str,
    bytes: Vec<u8>,
    layout: Layout,
}

impl Base {
    fn read(name: &'static str) -> Result<Self> {
        let path = golden_folder().join(format!("{name}.mv2"));
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let layout = layout::read(&bytes)
            .with_context(|| format!("{name} is not laid out as docs/format.md says"))?;
        Ok(Self {
            name,
            bytes,
            layout,
        })
    }

    fn case(&self, name: &str, what: &str, patches: Vec<Patch>, expect: Expect) -> Case {
        Case {
            name: name.to_owned(),
            what: what.to_owned(),
            base: self.name.to_owned(),
            truncate: None,
            patches,
            expect,
        }
    }

    fn cut(&self, name: &str, what: &str, len: usize, expect: Expect) -> Case {
        Case {
            truncate: Some(len),
            ..self.case(name, what, Vec::new(), expect)
        }
    }

    /// The body of the first segment of a kind.
    fn body(&self, kind: u16) -> Result<std::ops::Range<usize>> {
        let found = self.layout.segments.iter().find(|(k, _)| *k == kind);
        found
            .map(|(_, body)| body.clone())
            .with_context(|| format!("{} has no segment of kind {kind}", self.name))
    }

    /// All bits of one byte.
    fn flip(&self, at: usize) -> Vec<Patch> {
        vec![patch(at, &[!self.bytes[at]])]
    }

    /// Bytes in the page at `page`, with the page's checksum made right.
    fn sealed(&self, page: usize, at: usize, bytes: &[u8]) -> Vec<Patch> {
        let mut copy = self.bytes[page..page + PAGE_CRC].to_vec();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        vec![
            patch(page + at, bytes),
            patch(page + PAGE_CRC, &crc32(&copy).to_le_bytes()),
        ]
    }

    /// Kind and flags of the last entry of the TOC, with all that depends on it made right.
    fn renamed(&self, kind: u16, flags: u16) -> Result<Vec<Patch>> {
        let field = |at: usize| -> Result<usize> {
            let bytes = self.bytes[self.layout.root + at..][..8].try_into()?;
            Ok(usize::try_from(u64::from_le_bytes(bytes))?)
        };
        let (toc, len) = (field(40)?, field(48)?);
        let mut copy = self.bytes[toc..toc + len].to_vec();
        let entry = len - 112;
        let bytes = [kind.to_le_bytes(), flags.to_le_bytes()].concat();
        copy[entry..entry + 4].copy_from_slice(&bytes);
        let mut patches = vec![patch(toc + entry, &bytes)];
        for page in [self.layout.root, self.layout.footer] {
            patches.extend(self.sealed(page, 56, &hash32(&copy)));
        }
        Ok(patches)
    }
}

fn patch(at: usize, bytes: &[u8]) -> Patch {
    Patch {
        at,
        hex: hex(bytes),
    }
}

impl Case {
    /// Makes the damaged file and tells what came of it that should not have.
    pub(crate) fn check(&self, folder: &Path) -> Result<Vec<String>> {
        let path = folder.join(format!("{}.mv2", self.name));
        std::fs::write(&path, self.bytes()?)?;
        let mut wrong = Vec::new();
        let mut expect = |what: &str, expected: &str, found: &str| {
            if expected != found {
                wrong.push(format!("{what}: expected {expected}, found {found}"));
            }
        };
        match Store::open_read_only(&path, OpenOptions::default()).and_then(|s| s.snapshot()) {
            Err(error) => expect("open", &self.expect.open, &named(&error)),
            Ok(snapshot) => {
                expect("open", &self.expect.open, OK);
                if let Some(commits) = self.expect.commits {
                    let found = snapshot.log().collect::<Result<Vec<_>, _>>();
                    let found = found.map_or_else(|e| named(&e), |log| log.len().to_string());
                    expect("commits", &commits.to_string(), &found);
                }
                if let Some(read) = &self.expect.read {
                    let all = FrameId(0)..snapshot.end_frame();
                    let found = snapshot
                        .metas(all)
                        .try_for_each(|meta| snapshot.frame(meta?.id).map(drop));
                    expect("read", read, &outcome(&found));
                }
            }
        }
        let sound = Store::verify(&path, true).is_ok_and(|report| report.ok);
        let verify = |sound: bool| if sound { "no problem" } else { "problems" };
        expect("verify", verify(self.expect.verify), verify(sound));
        if let Some(write) = &self.expect.write {
            let found = put(&path);
            expect("write", write, &outcome(&found));
            if found.is_ok() && self.expect.verify {
                let sound = Store::verify(&path, true).is_ok_and(|report| report.ok);
                expect("verify after a write", verify(true), verify(sound));
            }
        }
        Ok(wrong)
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let path = golden_folder().join(format!("{}.mv2", self.base));
        let mut bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for patch in &self.patches {
            let new = patch.bytes()?;
            bytes
                .get_mut(patch.at..patch.at + new.len())
                .with_context(|| format!("{}: a patch lies behind the file's end", self.name))?
                .copy_from_slice(&new);
        }
        if let Some(len) = self.truncate {
            bytes.truncate(len);
        }
        Ok(bytes)
    }
}

impl Patch {
    fn bytes(&self) -> Result<Vec<u8>> {
        let digits = self.hex.as_bytes();
        digits
            .chunks(2)
            .map(|pair| {
                let pair = std::str::from_utf8(pair)?;
                u8::from_str_radix(pair, 16).with_context(|| format!("{pair} is not hexadecimal"))
            })
            .collect()
    }
}

fn put(path: &Path) -> Result<(), Error> {
    let mut store = Store::open(path, options())?;
    store.put(NewFrame {
        is_text: true,
        payload: b"written after the damage".to_vec(),
        ..NewFrame::default()
    })?;
    store.commit(CommitOptions::default())?;
    store.checkpoint()
}

fn outcome(result: &Result<(), Error>) -> String {
    result.as_ref().map_or_else(named, |()| OK.to_owned())
}

fn named(error: &Error) -> String {
    error.kind().to_owned()
}
