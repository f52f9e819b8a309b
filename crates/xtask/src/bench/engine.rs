//! `cargo xtask bench engine`: the workloads in `benches/workloads`, in virtual time, and what the engine alone costs.

use anyhow::Result;

use crate::steps::{cargo, run as run_command};

/// What is passed on.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For example `--workload basic --nodes 1000 --json`; `--help` says more, and `--list` which workloads there are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Builds the bench, optimised, and runs it.
pub(super) fn run(args: &Args) -> Result<()> {
    let mut command = cargo(&[
        "bench",
        "--quiet",
        "--package",
        "muster-benches",
        "--bench",
        "engine",
        "--",
    ]);
    run_command(command.args(&args.args))
}
