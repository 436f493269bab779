//! `cargo xtask reader`: holds the Python reader in `fixtures/reader` against golden files, damaged
//! ones and the `mv2` command.
//!
//! That reader was written from the format pages alone, so it proves that they suffice. It runs in an
//! environment of its own in the target folder, made anew when its requirements change.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::{cargo, must, output, read, root};

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

/// The Python of the environment, which is made if it is missing or outdated.
fn environment() -> Result<PathBuf> {
    let wanted = read(&format!("{FOLDER}/requirements.txt"))?;
    let folder = target()?.join("reader");
    let bin = if cfg!(windows) { "Scripts" } else { "bin" };
    let python = folder.join(bin).join("python");
    let stamp = folder.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    quiet(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )
    .context("python3 makes no environment")?;
    quiet(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(root().join(FOLDER).join("requirements.txt")),
    )
    .context("pip installs no packages")?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

/// Runs a command whose output is of interest only if it fails.
fn quiet(command: &mut Command) -> Result<()> {
    output(command.stdin(Stdio::null())).map(drop)
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

/// The target folder: two above this program.
fn target() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program does not know its path")?;
    let folder = program.parent().and_then(Path::parent);
    folder
        .map(Path::to_owned)
        .context("this program lies in no target folder")
}
