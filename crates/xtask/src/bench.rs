//! `cargo xtask bench`: schedulers against a real API server, timed by that server.
//!
//! * `gangs` is the one bench there is: what is measured, and what is printed.
//! * `contestant` knows who can be measured, and starts them.
//! * `race` does one run: a fresh control plane, the pods, the scheduler, the clock.
//! * `audit` reads the API server's audit log, which is the clock.

mod audit;
mod contestant;
mod gangs;
mod race;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Gangs whose pods are there before the scheduler starts: Muster and a scheduler that decides nothing, in turns.
    Gangs(gangs::Args),
}

/// Runs the bench.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Gangs(args) => gangs::run(args),
    }
}
