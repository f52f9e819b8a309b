//! `muster`: a Kubernetes scheduler for workloads whose pods only make sense together.
//!
//! One file for each subcommand. Exit codes: 0 well, 1 failed while running, 2 wrong usage or configuration.

mod evaluate;
mod observe;
mod probes;
mod run;
mod serving;
mod simulate;
mod version;

use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

/// The exit code for a wrong flag or a wrong configuration; clap's own too.
const WRONG_USAGE: u8 = 2;

/// Muster: a Kubernetes scheduler that places a whole pod group, or none of it
///
/// Exit codes: 0 well; 1 failed while running; 2 wrong usage or configuration.
#[derive(Parser, Debug)]
#[command(name = "muster", version = version::VERSION, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(Box<run::Args>),
    Simulate(simulate::Args),
    Evaluate(evaluate::Args),
    Version(version::Args),
}

/// What the user has to put right before it makes sense to start again.
#[derive(Debug)]
struct WrongUsage(anyhow::Error);

impl std::fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for WrongUsage {}

fn main() -> ExitCode {
    // Two providers of cryptography in one build would make the first TLS connection panic. This settles it; that
    // somebody settled it before us cannot be.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ended = match Cli::parse().command {
        Command::Run(args) => run::run(*args),
        Command::Simulate(args) => simulate::run(args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Version(args) => version::run(&args),
    };
    ended.unwrap_or_else(|error| {
        // One line, whatever went wrong; nobody is left to tell if even that cannot be written.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        if error.is::<WrongUsage>() {
            ExitCode::from(WRONG_USAGE)
        } else {
            ExitCode::FAILURE
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The help of a subcommand as a terminal without colours and of 100 columns shows it.
    fn help(subcommand: &str) -> String {
        let mut command = Cli::command().term_width(100);
        command.build();
        command
            .find_subcommand_mut(subcommand)
            .unwrap()
            .render_long_help()
            .to_string()
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_of_run() {
        insta::assert_snapshot!(help("run"));
    }

    #[test]
    fn help_of_evaluate() {
        insta::assert_snapshot!(help("evaluate"));
    }
}
