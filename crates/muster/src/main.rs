//! `muster`: a Kubernetes scheduler for workloads whose pods only make sense together.
//!
//! One file for each subcommand. Exit codes: 0 well, 1 failed while running, 2 wrong usage or configuration. Under the name
//! `kubectl-muster` it is a plugin of kubectl.

mod command_line;
mod completion;
mod config;
mod evaluate;
mod explain;
mod forward;
mod kubectl;
mod man;
mod observe;
mod overview;
mod probes;
mod run;
mod serving;
mod simulate;
mod snapshot_file;
mod snapshot_route;
mod text;
mod unanswered;
mod upstream_flags;
mod version;

use clap::{Parser, Subcommand};
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
    #[command(subcommand)]
    Config(config::Command),
    Simulate(simulate::Args),
    Evaluate(evaluate::Args),
    /// The same as kubectl muster snapshot: what the scheduler knows, in one compressed file
    Snapshot {
        #[command(flatten)]
        args: kubectl::snapshot::Args,
        #[command(flatten)]
        connect: kubectl::flags::ConnectArgs,
    },
    /// The same as kubectl muster, for where kubectl is not at hand
    #[command(disable_help_flag = true)]
    Kubectl {
        /// What would follow kubectl muster
        #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    Completion(completion::Args),
    Man(man::Args),
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
    if kubectl::is_meant(std::env::args_os().next().as_ref()) {
        return kubectl::run(std::env::args_os());
    }
    let cli: Cli = match command_line::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let ended = match cli.command {
        Command::Run(args) => run::run(*args),
        Command::Config(command) => config::run(&command),
        Command::Simulate(args) => simulate::run(args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Snapshot { args, connect } => Ok(kubectl::take_snapshot(&connect, args)),
        Command::Kubectl { arguments } => {
            let program = std::ffi::OsString::from(kubectl::PROGRAM);
            Ok(kubectl::run(std::iter::once(program).chain(arguments)))
        }
        Command::Completion(args) => completion::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Version(args) => version::run(&args),
    };
    ended.unwrap_or_else(|error| {
        // One line, whatever went wrong.
        text::tell(&format!("error: {error:#}\n"));
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

    /// The help of a command as a terminal without colours and of 100 columns shows it.
    fn help(root: clap::Command, path: &[&str]) -> String {
        let mut root = root.term_width(100);
        root.build();
        let mut command = &mut root;
        for name in path {
            command = command.find_subcommand_mut(name).unwrap();
        }
        command.render_long_help().to_string()
    }

    /// The ways to all commands that are shown, the root first.
    fn paths(command: &clap::Command, path: &[String], out: &mut Vec<Vec<String>>) {
        out.push(path.to_vec());
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            paths(sub, &[path, &[sub.get_name().to_owned()]].concat(), out);
        }
    }

    #[test]
    fn the_command_lines_are_sound() {
        Cli::command().debug_assert();
        kubectl::Cli::command().debug_assert();
    }

    #[test]
    fn help_of_every_command() {
        for root in [Cli::command(), kubectl::Cli::command()] {
            let mut all = Vec::new();
            paths(&root, &[], &mut all);
            for path in all {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                let name = [&["help_of", root.get_name()], &path[..]]
                    .concat()
                    .join("_")
                    .replace('-', "_");
                insta::assert_snapshot!(name, help(root.clone(), &path));
            }
        }
    }
}
