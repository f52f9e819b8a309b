//! `cargo xtask bench`: schedulers against a real API server, timed by that server.
//!
//! * `compare` says what is measured, in which order, and prints what comes of it; `matrix` has the cells that the docs show.
//! * `case` makes the nodes and pods of a case; `contestant` knows who can be measured, and starts them.
//! * `race` does one run: a fresh control plane, the pods, the scheduler, the clock. `audit` reads the API server's audit
//!   log, which is the clock; `checker` replays the placements.
//! * `results` keeps runs as JSON, `figures` takes medians and ratios of them.
//! * `report` writes them into `docs/performance.md`, with the pictures of `chart`.

mod audit;
mod case;
mod chart;
mod checker;
mod compare;
mod contestant;
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
}

/// Measures, or reports.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Compare(args) => compare::run(args),
        Command::Report(args) => report::run(args),
    }
}
