//! Python environments in the target folder, each made anew when its requirements change.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::workspace::{output, read, root, target};

/// The Python of the environment `name`, which is made if it is missing or not of these requirements.
pub(crate) fn environment(name: &str, requirements: &str) -> Result<PathBuf> {
    let wanted = read(requirements)?;
    let folder = target()?.join(name);
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
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    quiet(
        Command::new(&python)
            .args(install)
            // The requirements are complete; what their packages would like beside them is not needed.
            .args(["--no-deps", "-r"])
            .arg(root().join(requirements)),
    )
    .context("pip installs no packages")?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

/// Runs a command whose output is of interest only if it fails.
fn quiet(command: &mut Command) -> Result<()> {
    output(command.stdin(Stdio::null())).map(drop)
}
