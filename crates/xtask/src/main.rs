//! The `xtask` binary: what a developer types after `cargo xtask`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use muster_xtask::{batch_exactness, bench, book, demo, deploy, fuzz, lint, oracle, simulate_faults, test, up_down};

/// Developer commands of Muster.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start, stop or list real control planes with simulated nodes.
    #[command(subcommand)]
    ControlPlane(up_down::Command),
    /// Check format, lints, the directions between the crates, and dependencies.
    Lint(lint::Args),
    /// Ask upstream's own scheduler plugins and Muster about random clusters, and compare what they say.
    Oracle(oracle::Args),
    /// Measure schedulers against a real control plane.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Run worlds of faults in virtual time: nothing may go wrong in any, and mistakes must be found.
    SimulateFaults(simulate_faults::Args),
    /// Hold every placement by a verdict on twins against a full pass, in random histories; mistakes must be found.
    BatchExactness(batch_exactness::Args),
    /// Let libFuzzer invent inputs for the parsers: none may make one fail.
    Fuzz(fuzz::Args),
    /// Run everything: lint, all tests, and the tests against a real control plane.
    Test(test::Args),
    /// Check what `deploy/` says, or write what is made of it.
    #[command(subcommand)]
    Deploy(deploy::Command),
    /// Build the pages of docs/ as a book.
    Book(book::Args),
    /// Show a gang that waits for room and then starts as a whole.
    Demo(demo::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::ControlPlane(command) => up_down::run(command),
        Command::Lint(args) => lint::run(&args),
        Command::Oracle(args) => oracle::run(&args),
        Command::Bench(command) => bench::run(&command),
        Command::SimulateFaults(args) => simulate_faults::run(&args),
        Command::BatchExactness(args) => batch_exactness::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Deploy(command) => deploy::run(command),
        Command::Book(args) => book::run(&args),
        Command::Demo(args) => demo::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In one piece and without a backtrace: it says what went wrong, not where in here.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
