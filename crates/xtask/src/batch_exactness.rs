//! `cargo xtask batch-exactness`: histories in which every answer of a verdict is held against a full pass, and Muster with
//! deliberate mistakes among them.
//!
//! The histories are in `muster-exactness`, whose program runs them. It is built as tests are: there the engine checks
//! itself most, and after `cargo test` little is left to compile.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use muster_oracle::mutations::Mutation;

use crate::mutants;
use crate::steps::{cargo, run as run_command, step, workspace_root};
use crate::test::build_binary;

/// The program that runs histories.
const RUNNER: &str = "muster-exactness";
/// Decisions by verdicts, within which a mistake has to be found: as many as the test in CI checks.
const DECISIONS_OF_TEST: u64 = 50_000;

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many decisions by verdicts.
    #[arg(long, default_value_t = DECISIONS_OF_TEST)]
    decisions: u64,
    /// The seed.
    #[arg(long, default_value_t = 3)]
    seed: u64,
    /// Only the history of this number.
    #[arg(long)]
    history: Option<u64>,
    /// Threads; one for each processor unless stated.
    #[arg(long)]
    threads: Option<usize>,
    /// Muster with deliberate mistakes, one at a time: each must be found.
    #[arg(long)]
    mutations: bool,
}

/// Runs histories, or looks for mistakes.
pub fn run(args: &Args) -> Result<()> {
    if args.mutations {
        return find_mistakes();
    }
    let runner = step("build of the histories", || build(workspace_root(), None))?;
    let mut command = Command::new(runner);
    command.args([
        "--decisions",
        &args.decisions.to_string(),
        "--seed",
        &args.seed.to_string(),
    ]);
    if let Some(history) = args.history {
        command.args(["--history", &history.to_string()]);
    }
    if let Some(threads) = args.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    run_command(&mut command)
}

fn build(workspace: &Path, target: Option<&Path>) -> Result<PathBuf> {
    let mut command = cargo(&[
        "build",
        "--quiet",
        "--profile",
        "test",
        "--package",
        RUNNER,
        "--bin",
        RUNNER,
    ]);
    command.current_dir(workspace);
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    build_binary(RUNNER, command)
}

fn find_mistakes() -> Result<()> {
    mutants::find_all(
        &workspace_root().join("tests/exactness/mutations"),
        &workspace_root().join("target/batching/mutants"),
        |scratch| build(&scratch.workspace(), Some(&scratch.target())),
        finds,
    )
}

/// What the histories say of a mistake; none if nothing.
fn finds(runner: &Path, mutation: &Mutation) -> Result<Option<String>> {
    let decisions = DECISIONS_OF_TEST.to_string();
    let output = Command::new(runner)
        .args(["--decisions", &decisions, "--no-shrink"])
        .output()
        .with_context(|| format!("running histories with the mistake {:?}", mutation.name))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let failure = said.lines().find(|line| line.starts_with("seed "));
    Ok(failure.filter(|_| !output.status.success()).map(str::to_owned))
}
