//! The workspace as the commands see it: its root, its files, its child processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The root folder of the workspace.
pub(crate) fn root() -> PathBuf {
    // `cargo run` sets the variable, so that a moved checkout is found as well.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), Path::to_owned)
}

/// The target folder: two above this program.
pub(crate) fn target() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program does not know its path")?;
    let folder = program.parent().and_then(Path::parent);
    folder
        .map(Path::to_owned)
        .context("this program lies in no target folder")
}

/// A `cargo` of the toolchain that runs this program, in the root folder.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).current_dir(root());
    command
}

/// Builds the command `mv2` for release; returns its path.
pub(crate) fn release_binary() -> Result<PathBuf> {
    must(&mut cargo(&[
        "build",
        "--quiet",
        "--release",
        "-p",
        "mv2-cli",
    ]))?;
    Ok(target()?.join("release").join("mv2"))
}

/// Lints and tests a package with features that no default build has.
pub(crate) fn lint_and_test(package: &[&str]) -> Result<()> {
    must(
        cargo(&["clippy", "--all-targets"])
            .args(package)
            .args(["--", "-D", "warnings"]),
    )?;
    must(cargo(&["test"]).args(package))
}

/// Runs a command to its end; fails when it does.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{} ended with {status}", show(command));
    }
    Ok(())
}

/// What a command prints to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            show(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} did not print UTF-8", show(command)))
}

/// A command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Files that git tracks or would track, relative to the root, sorted.
pub(crate) fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ])
    .current_dir(root());
    let root = root();
    let mut files: Vec<String> = output(&mut git)?
        .split('\0')
        .filter(|file| !file.is_empty() && root.join(file).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Reads a text file of the workspace.
pub(crate) fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(root().join(file)).with_context(|| format!("cannot read {file}"))
}
