//! `cargo xtask ci`: everything that a change must pass, step by step, with the time of each.
//!
//! `.ci/run` installs the tools and calls this. The steps are ordered by how soon they fail.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::{cargo, lint_and_test, must};
use crate::{codegen, conformance, demo, fixtures, reader, tidy, transformers};

/// The README's own command for the tests. `tidy` checks that the README has it.
pub(crate) const TEST_COMMAND: &[&str] = &["test", "--workspace"];

/// How long the fetch of the advisory database may take.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// A step: its name and what it does.
type Step = (&'static str, fn() -> Result<()>);

/// Runs all steps; stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    let steps: &[Step] = &[
        ("lock file", || must(&mut cargo(&["fetch", "--locked"]))),
        ("fmt", || must(&mut cargo(&["fmt", "--all", "--check"]))),
        ("tidy", || tidy::run(false)),
        ("deny", deny),
        ("clippy", || {
            must(&mut cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]))
        }),
        ("codegen", || codegen::run(codegen::Mode::Check)),
        ("doc", || {
            must(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
        }),
        ("test", || must(&mut cargo(TEST_COMMAND))),
        ("remote", remote),
        ("transformers", transformers::run),
        ("conformance", || conformance::run(&[])),
        ("fixtures", || fixtures::run(fixtures::Mode::Check)),
        ("reader", reader::run_or_skip),
        ("demo", demo::run),
    ];
    let begin = Instant::now();
    let mut times = Vec::new();
    for &(name, step) in steps {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = step();
        times.push((name, start.elapsed()));
        if let Err(error) = outcome {
            summary(&times, begin.elapsed());
            return Err(error.context(format!("step {name} failed")));
        }
    }
    summary(&times, begin.elapsed());
    Ok(())
}

/// Licences, bans and sources always; advisories only where their database can be fetched.
fn deny() -> Result<()> {
    if !has_deny() {
        bail!("cargo-deny is missing; `bash .ci/run` installs it and runs all steps");
    }
    must(&mut cargo(&[
        "deny",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    if fetch_advisories() {
        must(&mut cargo(&["deny", "--offline", "check", "advisories"]))
    } else {
        println!("advisories: SKIPPED, their database cannot be fetched from here");
        Ok(())
    }
}

/// The embedder of a service, which is in no default build.
fn remote() -> Result<()> {
    lint_and_test(&["-p", "mv2-embed", "-p", "mv2", "--features", "mv2/remote"])
}

fn has_deny() -> bool {
    cargo(&["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn fetch_advisories() -> bool {
    let child = cargo(&["deny", "fetch", "db"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        return false;
    };
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < FETCH_LIMIT => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(None) | Err(_) => {
                // It is gone already or is ended here; either way there is no database.
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

fn summary(times: &[(&str, Duration)], total: Duration) {
    println!();
    for (name, time) in times {
        println!("{:>7.1} s  {name}", time.as_secs_f64());
    }
    println!("{:>7.1} s  in all", total.as_secs_f64());
}
