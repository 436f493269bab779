//! `cargo xtask conformance`: reads the golden files and the damaged ones, or any files by path.
//!
//! * A golden file decodes to exactly what the JSON beside it says, and `verify --deep` finds nothing.
//! * A copy of it, unsealed if need be, takes a new document, a checkpoint and a rebuild of its indexes, and keeps
//!   all it had.
//! * A damaged file leads to what `fixtures/corrupt/expected.json` says.
//! * A golden file with any one byte flipped, or cut anywhere, is refused, or `verify --deep` complains, or it
//!   decodes to the same content. It never decodes to another one unnoticed. Every 61st byte is tried. The newest
//!   batch of the log is the exception that the format makes: damaged, it looks as if it was never finished.
//! * Of a file by path, every byte is checked and every frame, commit and segment read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mv2_store::{CommitOptions, CreateOptions, NewFrame, Store};
use serde_json::Value;

use crate::describe::{describe, differences, queries};
use crate::fixtures::{damage_list, golden_folder, options, read_cases};
use crate::layout;

/// Checks the files named, or all fixtures if none is.
pub(crate) fn run(files: &[&str]) -> Result<()> {
    let bad = if files.is_empty() {
        golden_files()? + damaged_files()? + swept_files()?
    } else {
        let checks = files
            .iter()
            .map(|file| report(file, &any_file(Path::new(file))));
        checks.filter(|sound| !sound).count()
    };
    if bad > 0 {
        bail!("{bad} files do not conform");
    }
    Ok(())
}

fn golden_files() -> Result<usize> {
    let folder = golden_folder();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "mv2"));
    files.sort();
    if files.is_empty() {
        bail!("no golden file in {}", folder.display());
    }
    let temp = tempfile::tempdir()?;
    let mut bad = 0;
    for file in &files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let found = golden_file(file, temp.path());
        bad += usize::from(!report(&format!("golden/{name}"), &found));
    }
    Ok(bad)
}

fn damaged_files() -> Result<usize> {
    let cases = read_cases(&damage_list())?;
    let temp = tempfile::tempdir()?;
    let mut bad = 0;
    for case in &cases {
        let found = case.check(temp.path());
        let name = format!("corrupt/{}: {}", case.name, case.what);
        bad += usize::from(!report(&name, &found));
    }
    Ok(bad)
}

/// Flips and cuts of the file that holds a bit of everything.
fn swept_files() -> Result<usize> {
    const NAME: &str = "tombstones";
    const STEP: usize = 61;
    let file = golden_folder().join(format!("{NAME}.mv2"));
    let sound = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let content = describe(&file, &[])?;
    let newest = layout::read(&sound)?
        .batches
        .pop()
        .with_context(|| format!("{NAME} has no commit in its log"))?;
    let temp = tempfile::tempdir()?;
    let path = temp.path().join("damaged.mv2");
    let mut noticed = 0;
    let mut wrong = Vec::new();
    let flips = (0..sound.len()).step_by(STEP).map(|at| (at, true));
    let cuts = (0..sound.len()).step_by(STEP * 31).map(|at| (at, false));
    for (at, flip) in flips.chain(cuts) {
        let mut bytes = sound.clone();
        if flip {
            bytes[at] = !bytes[at];
        } else {
            bytes.truncate(at);
        }
        std::fs::write(&path, &bytes)?;
        let found = describe(&path, &[]);
        let complains = !Store::verify(&path, true).is_ok_and(|report| report.ok);
        let same = found.is_ok_and(|found| {
            found == content || (newest.contains(&at) && is_before(&found, &content))
        });
        noticed += usize::from(complains);
        if !complains && !same {
            let what = if flip { "flipped" } else { "cut" };
            wrong.push(format!("{what} at {at}: another content, and no complaint"));
        }
    }
    let name = format!("swept/{NAME}: {noticed} damages noticed, the others do no harm");
    Ok(usize::from(!report(&name, &Ok(wrong))))
}

/// Whether a content is that of the commit before.
fn is_before(found: &Value, content: &Value) -> bool {
    let commits = |value: &Value| value["commits"].as_array().cloned().unwrap_or_default();
    let (found, content) = (commits(found), commits(content));
    found.len() + 1 == content.len() && content.starts_with(&found)
}

/// What is wrong with a golden file.
fn golden_file(file: &Path, temp: &Path) -> Result<Vec<String>> {
    let page = file.with_extension("json");
    let text = std::fs::read_to_string(&page)
        .with_context(|| format!("cannot read {}", page.display()))?;
    let expected: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is malformed", page.display()))?;
    let mut wrong = any_file(file)?;
    wrong.extend(differences(
        &expected,
        &describe(file, &queries(&expected))?,
    ));
    wrong.extend(round_trip(file, temp, &expected)?);
    Ok(wrong)
}

/// What a file by path has to say against itself.
fn any_file(file: &Path) -> Result<Vec<String>> {
    let report = Store::verify(file, true)?;
    let mut wrong: Vec<String> = report
        .problems
        .iter()
        .map(|problem| match problem.frames {
            Some((first, end)) => format!(
                "offset {}: {} (frames {first} to {end})",
                problem.offset, problem.what
            ),
            None => format!("offset {}: {}", problem.offset, problem.what),
        })
        .collect();
    if wrong.is_empty() && !report.ok {
        wrong.push("verify says that it is damaged, and not where".to_owned());
    }
    if wrong.is_empty() {
        describe(file, &[])?;
    }
    Ok(wrong)
}

/// A copy takes a document and a rebuild of its indexes; all that it had is still there.
fn round_trip(file: &Path, temp: &Path, before: &Value) -> Result<Vec<String>> {
    let copy = temp.join(file.file_name().context("a file without name")?);
    std::fs::copy(file, &copy)?;
    let mut store = Store::open(&copy, options())?;
    if store.is_sealed() {
        store.unseal(&CreateOptions::default())?;
    }
    store.put(NewFrame {
        is_text: true,
        payload: "one more, もう一つ".as_bytes().to_vec(),
        ..NewFrame::default()
    })?;
    store.commit(CommitOptions::default())?;
    store.checkpoint()?;
    store.optimize()?;
    drop(store);
    let mut wrong: Vec<String> = any_file(&copy)?
        .into_iter()
        .map(|problem| format!("after a write: {problem}"))
        .collect();
    let after = describe(&copy, &queries(before))?;
    for part in ["commits", "frames"] {
        let old = before[part].as_array().cloned().unwrap_or_default();
        let new = after[part].as_array().cloned().unwrap_or_default();
        if new.len() != old.len() + 1 || !new.starts_with(&old) {
            wrong.push(format!(
                "after a write: {part} are not those before and one more"
            ));
        }
    }
    for (part, what) in [
        ("dead", "frames are dead"),
        ("searches", "frames are found"),
    ] {
        if before[part] != after[part] {
            wrong.push(format!("after a write: other {what}"));
        }
    }
    Ok(wrong)
}

/// Prints what came of a file; whether it was sound.
fn report(name: &str, found: &Result<Vec<String>>) -> bool {
    match found {
        Ok(wrong) if wrong.is_empty() => {
            println!("ok       {name}");
            true
        }
        Ok(wrong) => {
            println!("PROBLEM  {name}");
            for line in wrong {
                println!("         {line}");
            }
            false
        }
        Err(error) => {
            println!("PROBLEM  {name}");
            println!("         {error:#}");
            false
        }
    }
}
