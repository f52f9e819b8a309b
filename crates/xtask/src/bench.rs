//! `cargo xtask bench`: schedulers against a real API server, timed by that server.
//!
//! * `compare` says what is measured, in which order, and prints what comes of it; `matrix` has the cells that the docs show.
//! * `case` makes the nodes and pods of a case; `contestant` knows who can be measured, and starts them.
//! * `race` does one run: a fresh control plane, the pods, the scheduler, the clock. `audit` reads the API server's audit
//!   log, which is the clock; `checker` replays the placements.
//! * `results` keeps runs as JSON, `figures` takes medians and ratios of them.
//! * `report` writes them into `docs/performance.md`, with the pictures of `chart`.
//!
//! Neither needs a control plane: `engine`, the bench of the engine alone, and `check`, which counts instructions and
//! compares them with a baseline.

mod audit;
mod case;
mod chart;
pub(crate) mod check;
mod checker;
mod compare;
mod contestant;
mod engine;
mod figures;
mod matrix;
mod race;
mod report;
mod results;

use anyhow::Result;
use clap::Subcommand;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Muster, kube-scheduler and a scheduler that decides nothing, in turns, each on a control plane of its own.
    Compare(compare::Args),
    /// Write the results of a matrix into docs/performance.md.
    Report(report::Args),
    /// What the engine alone decides a second: workloads in virtual time, without a control plane.
    Engine(engine::Args),
    /// Count instructions of a few things that Muster does, and fail when they have become more than 5 % more.
    Check(check::Args),
}

/// Measures, or reports.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Compare(args) => compare::run(args),
        Command::Report(args) => report::run(args),
        Command::Engine(args) => engine::run(args),
        Command::Check(args) => check::run(args),
    }
}
