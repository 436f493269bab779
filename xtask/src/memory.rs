//! `cargo xtask memory`: the most memory that the command needs for a huge document and for a large import.
//!
//! The text is shuffled from retrieval sets that are given by path; the release binary runs as a process of its
//! own, and the system says how much of it was resident at the most (`VmHWM`): allocated memory and mapped pages
//! of the file together. Linux only.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::corpus::Corpus;
use crate::workspace::{release_binary, show};

const MIB: u64 = 1 << 20;
/// How often a process is looked at. Its peak never falls, so only what happens after the last look is missed.
/// A search takes milliseconds.
const LOOK_EVERY: Duration = Duration::from_micros(300);

/// What was asked for on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    folders: Vec<PathBuf>,
    /// Size of the one document, in MiB.
    document: u64,
    /// Size of the import, in MiB.
    import: u64,
}

impl Options {
    /// Reads the arguments; `None` if they make no sense.
    pub(crate) fn parse(args: &[&str]) -> Option<Self> {
        let mut options = Self {
            folders: Vec::new(),
            document: 300_000_000 / MIB,
            import: 1024,
        };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            match arg {
                "--document" => options.document = args.next()?.parse().ok()?,
                "--import" => options.import = args.next()?.parse().ok()?,
                flag if flag.starts_with('-') => return None,
                folder => options.folders.push(PathBuf::from(folder)),
            }
        }
        (!options.folders.is_empty()).then_some(options)
    }
}

/// The most that a process had in memory, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    /// All of it.
    resident: u64,
    /// What it allocated, at the most; not necessarily at the same moment.
    allocated: u64,
    /// Mapped pages of files, at the most.
    mapped: u64,
}

/// The most that a command may have.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// Of both.
    Resident(u64),
    /// Allocated, in bytes. What is mapped are clean pages of the file, which the system takes back when it needs them: a
    /// search reads each vector, where no graph was built yet.
    Allocated(u64),
}

impl Goal {
    fn is_missed(self, peak: Peak) -> bool {
        match self {
            Self::Resident(bytes) => peak.resident > bytes,
            Self::Allocated(bytes) => peak.allocated > bytes,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(
        cfg!(target_os = "linux"),
        "this asks /proc, which is on Linux"
    );
    let mv2 = release_binary()?;
    let mut corpus = Corpus::read(&options.folders)?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    println!("| step | peak | allocated | mapped | goal | time |");
    println!("|---|---|---|---|---|---|");
    let mut missed = 0;
    if options.document > 0 {
        missed += document(&mv2, folder.path(), &mut corpus, options.document)?;
    }
    if options.import > 0 {
        missed += import(&mv2, folder.path(), &mut corpus, options.import)?;
    }
    ensure!(missed == 0, "{missed} goals were missed");
    Ok(())
}

/// One document of so many MiB: put, and got back byte for byte. Half as much again is allowed.
fn document(mv2: &Path, folder: &Path, corpus: &mut Corpus, mib: u64) -> Result<u32> {
    let (path, memory) = (folder.join("huge.txt"), folder.join("huge.mv2"));
    let mut file = BufWriter::new(File::create(&path)?);
    for _ in 0..mib {
        let text = corpus.shuffled(MIB as usize);
        let mut end = MIB as usize - 1;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        file.write_all(&text.as_bytes()[..end])?;
        file.write_all(b"\n")?;
    }
    file.into_inner()?.sync_all()?;
    let goal = Goal::Resident(mib * MIB * 3 / 2);
    let mut put = Command::new(mv2);
    put.arg("put").arg(&memory).arg(&path);
    let mut missed = report(
        &format!("put a document of {mib} MiB"),
        &mut put,
        goal,
        None,
    )?;
    let mut get = Command::new(mv2);
    get.arg("get").arg("--raw").arg(&memory).arg("huge.txt");
    missed += report("get it back, --raw", &mut get, goal, Some(&path))?;
    let mut search = Command::new(mv2);
    search.arg("search").arg(&memory).arg("the results");
    missed += report("search it", &mut search, goal, None)?;
    fs::remove_file(path)?;
    fs::remove_file(memory)?;
    Ok(missed)
}

/// An import of so many MiB of documents of 1 to 4 KiB.
fn import(mv2: &Path, folder: &Path, corpus: &mut Corpus, mib: u64) -> Result<u32> {
    let (path, memory) = (folder.join("many.jsonl"), folder.join("many.mv2"));
    let mut file = BufWriter::new(File::create(&path)?);
    let (mut written, mut count) = (0, 0);
    while written < mib * MIB {
        let len = 1024 + corpus.below(3072);
        let text = corpus.shuffled(len as usize);
        written += text.len() as u64;
        count += 1;
        let line = json!({"text": text, "uri": format!("doc/{count}"), "title": format!("Document {count}")});
        serde_json::to_writer(&mut file, &line)?;
        file.write_all(b"\n")?;
    }
    file.into_inner()?.sync_all()?;
    let mut put = Command::new(mv2);
    put.arg("put").arg(&memory).arg("--jsonl").arg(&path);
    let name = format!("put --jsonl, {count} documents, {mib} MiB of text");
    let mut missed = report(&name, &mut put, Goal::Resident(400 * MIB), None)?;
    println!(
        "|  | file / text {:.3} | | | | |",
        fs::metadata(&memory)?.len() as f64 / written as f64
    );
    let mut search = Command::new(mv2);
    search.arg("search").arg(&memory).arg("the results");
    missed += report("search them", &mut search, Goal::Allocated(20 * MIB), None)?;
    Ok(missed)
}

/// Runs a command and prints a row about it. What it prints has to be the content of a file, if one is given.
/// 1 if it took more than the goal.
fn report(step: &str, command: &mut Command, goal: Goal, prints: Option<&Path>) -> Result<u32> {
    let start = Instant::now();
    command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", show(command)))?;
    let output = child.stdout.take().context("no output")?;
    let reader = {
        let prints = prints.map(Path::to_owned);
        std::thread::spawn(move || compare(output, prints))
    };
    let peak = watch(&mut child)?;
    let same = reader
        .join()
        .map_err(|_| anyhow::anyhow!("the reader failed"))??;
    let status = child.wait()?;
    if !status.success() {
        let mut message = String::new();
        child
            .stderr
            .take()
            .context("no messages")?
            .read_to_string(&mut message)?;
        bail!("{} ended with {status}: {message}", show(command));
    }
    ensure!(same, "{} did not print the file", show(command));
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / MIB as f64);
    println!(
        "| {step} | {} | {} | {} | {} | {:.1} s |",
        mib(peak.resident),
        mib(peak.allocated),
        mib(peak.mapped),
        match goal {
            Goal::Resident(bytes) => mib(bytes),
            Goal::Allocated(bytes) => format!("{} allocated", mib(bytes)),
        },
        start.elapsed().as_secs_f64()
    );
    Ok(u32::from(goal.is_missed(peak)))
}

/// Reads everything, and says whether it is what the file holds.
fn compare(mut output: impl Read, file: Option<PathBuf>) -> Result<bool> {
    let Some(path) = file else {
        std::io::copy(&mut output, &mut std::io::sink())?;
        return Ok(true);
    };
    let mut expected = File::open(path)?;
    let (mut found, mut wanted) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let len = output.read(&mut found)?;
        if len == 0 {
            return Ok(expected.read(&mut wanted)? == 0);
        }
        if expected.read_exact(&mut wanted[..len]).is_err() || found[..len] != wanted[..len] {
            std::io::copy(&mut output, &mut std::io::sink())?;
            return Ok(false);
        }
    }
}

/// Looks at a process until it ends.
fn watch(child: &mut Child) -> Result<Peak> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = Peak::default();
    while child.try_wait()?.is_none() {
        if let Ok(text) = fs::read_to_string(&status) {
            let field = |name: &str| -> u64 {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
                kib.unwrap_or(0) * 1024
            };
            peak.resident = peak.resident.max(field("VmHWM:"));
            peak.allocated = peak.allocated.max(field("RssAnon:"));
            peak.mapped = peak.mapped.max(field("RssFile:"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(peak)
}
