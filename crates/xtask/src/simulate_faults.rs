//! `cargo xtask simulate-faults`: worlds of faults in virtual time, and Muster with deliberate mistakes among them.
//!
//! The worlds are in `muster-sim`; its example `simulate-faults` runs them. It is built as tests are, so that after
//! `cargo test` little is left to compile.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use muster_oracle::mutations::Mutation;

use crate::mutants;
use crate::steps::{cargo, run as run_command, step, workspace_root};
use crate::test::build_binary;

/// The example that runs worlds.
const RUNNER: &str = "simulate-faults";
/// The seeds that `cargo xtask test` runs: some 90,000 faults.
const SEEDS_OF_TEST: u64 = 2000;
/// Within so many seeds a mistake has to be found.
const SEEDS_OF_MUTATION: u64 = 3000;

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = SEEDS_OF_TEST)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What goes wrong how often: default, calm, storm, crashes.
    #[arg(long, default_value = "default")]
    profile: String,
    /// Go on until so many faults have struck, whatever the number of seeds.
    #[arg(long)]
    faults: Option<u64>,
    /// Print what happens in the world of `--seed`.
    #[arg(long)]
    trace: bool,
    /// Threads; one for each processor unless stated.
    #[arg(long)]
    threads: Option<usize>,
    /// Muster with deliberate mistakes, one at a time: each must be found.
    #[arg(long)]
    mutations: bool,
}

/// Runs worlds, or looks for mistakes.
pub fn run(args: &Args) -> Result<()> {
    if args.mutations {
        return find_mistakes();
    }
    let runner = step("build of the simulation", || build(workspace_root(), None))?;
    let mut command = Command::new(runner);
    command.args(["--seed", &args.seed.to_string(), "--seeds", &args.seeds.to_string()]);
    command.args(["--profile", &args.profile]);
    if let Some(faults) = args.faults {
        command.args(["--faults", &faults.to_string()]);
    }
    if let Some(threads) = args.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    if args.trace {
        command.arg("--trace");
    }
    run_command(&mut command)
}

/// What `cargo xtask test` runs.
pub(crate) fn run_fixed_seeds() -> Result<()> {
    run(&Args {
        seeds: SEEDS_OF_TEST,
        seed: 1,
        profile: "default".to_owned(),
        faults: None,
        trace: false,
        threads: None,
        mutations: false,
    })
}

fn build(workspace: &Path, target: Option<&Path>) -> Result<PathBuf> {
    let mut command = cargo(&[
        "build",
        "--quiet",
        "--profile",
        "test",
        "--package",
        "muster-sim",
        "--example",
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
        &workspace_root().join("crates/sim/mutations"),
        &workspace_root().join("target/faults/mutants"),
        |scratch| build(&scratch.workspace(), Some(&scratch.target())),
        finds,
    )
}

/// What the worlds say of a mistake; none if nothing.
fn finds(runner: &Path, mutation: &Mutation) -> Result<Option<String>> {
    let seeds = SEEDS_OF_MUTATION.to_string();
    let output = Command::new(runner)
        .args(["--seeds", &seeds, "--no-shrink"])
        .output()
        .with_context(|| format!("running the worlds with the mistake {:?}", mutation.name))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let violation = said.lines().find(|line| line.starts_with("seed "));
    // A mistake that makes the engine panic is noticed as well.
    Ok(match (output.status.success(), violation) {
        (_, Some(line)) => Some(line.to_owned()),
        (false, None) => Some(format!("{}", output.status)),
        (true, None) => None,
    })
}
