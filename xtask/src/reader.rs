//! `cargo xtask reader`: holds the Python reader in `fixtures/reader` against golden files, damaged
//! ones and the `mv2` command.
//!
//! That reader was written from the format pages alone, so it proves that they suffice. It runs in an
//! environment of its own in the target folder, made anew when its requirements change.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::python;
use crate::workspace::{cargo, must, root, target};

const FOLDER: &str = "fixtures/reader";

/// Runs all comparisons.
pub(crate) fn run() -> Result<()> {
    let python = environment()?;
    // Bytecode would lie among the fixtures.
    let mut check = Command::new(python);
    check.arg("-B").arg(root().join(FOLDER).join("check.py"));
    must(check.arg("--mv2").arg(mv2()?))
}

/// As [`run`]; where Python or its packages cannot be had, a message takes its place, except in CI.
pub(crate) fn run_or_skip() -> Result<()> {
    match environment() {
        Ok(_) => run(),
        Err(error) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => Err(error),
        Err(error) => {
            println!("reader: SKIPPED, {error:#}");
            Ok(())
        }
    }
}

/// The Python of the environment.
fn environment() -> Result<PathBuf> {
    python::environment("reader", &format!("{FOLDER}/requirements.txt"))
}

/// The built command.
fn mv2() -> Result<PathBuf> {
    must(&mut cargo(&["build", "--quiet", "-p", "mv2-cli"]))?;
    let name = format!("mv2{}", std::env::consts::EXE_SUFFIX);
    let path = target()?.join("debug").join(name);
    if !path.is_file() {
        bail!("cargo built no {}", path.display());
    }
    Ok(path)
}
