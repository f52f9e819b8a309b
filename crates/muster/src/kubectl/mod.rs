//! `kubectl muster`: what a user of the cluster asks, with kubectl's flags, tables and errors.
//!
//! The same binary under the name `kubectl-muster`, which kubectl finds in the PATH; `muster kubectl` is the same without it.
//! A command is a file: its arguments, a `run`, and the failures that it hands up. What they share: [`flags`], [`table`],
//! [`age`], [`ask`] and [`Failure`].

mod age;
mod ask;
mod complete;
mod explain;
pub(crate) mod flags;
mod gangs;
mod get;
mod selector;
pub(crate) mod snapshot;
pub(crate) mod table;
mod top;
mod version;

use crate::{command_line, text};
use clap::{CommandFactory as _, Parser};
use flags::ConnectArgs;
use muster_kube::ReadError;
use muster_telemetry::{Format, Verbosity, start_logging};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

pub(crate) use complete::EXECUTABLE as COMPLETION_EXECUTABLE;

/// The name under which kubectl finds this binary.
pub(crate) const PROGRAM: &str = "kubectl-muster";
/// The version of the JSON and YAML that commands print.
pub(crate) const API_VERSION: &str = "muster.dev/v1alpha1";

/// Look at what Muster schedules
///
/// Exit codes: 0 well; 1 the API server refused or cannot be reached; 2 wrong flags or kubeconfig.
#[derive(Parser, Debug)]
#[command(name = PROGRAM, bin_name = "kubectl muster", display_name = PROGRAM, version = crate::version::VERSION,
          propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,

    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    #[command(subcommand)]
    Get(get::Command),
    Explain(explain::Args),
    Top(top::Args),
    Snapshot(snapshot::Args),
    Version(version::Args),
    /// What could be typed next, for the shell
    #[command(
        name = "__complete",
        hide = true,
        disable_help_flag = true,
        disable_version_flag = true
    )]
    Complete {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The API server, or the way to it. Its text is kubectl's, and stands alone.
    Read(ReadError),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        Failure::Read(error)
    }
}

impl Failure {
    /// What the user reads.
    fn line(&self) -> String {
        match self {
            Failure::Read(error) => error.to_string(),
            Failure::Other(error) => format!("error: {error:#}"),
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Read(ReadError::Kubeconfig(_)) => ExitCode::from(crate::WRONG_USAGE),
            Failure::Other(error) if error.is::<crate::WrongUsage>() => ExitCode::from(crate::WRONG_USAGE),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Whether the first argument of the process is the name that kubectl calls it by.
pub(crate) fn is_meant(program: Option<&OsString>) -> bool {
    let name = program.and_then(|program| Path::new(program).file_stem());
    name.is_some_and(|name| name == PROGRAM || name == "kubectl_muster")
}

/// Runs with the arguments of the process; the first is the program's name.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match command_line::read(arguments) {
        Ok(Cli { connect, command }) => ended(carry_out(&connect, command)),
        Err(code) => code,
    }
}

/// Runs `muster snapshot`.
pub(crate) fn take_snapshot(connect: &ConnectArgs, args: snapshot::Args) -> ExitCode {
    ended(carry_out(connect, Command::Snapshot(args)))
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            text::tell(&format!("{}\n", failure.line()));
            failure.exit_code()
        }
    }
}

fn carry_out(connect: &ConnectArgs, command: Command) -> Result<(), Failure> {
    if 0 < connect.v {
        start_logging(Format::Text, &Verbosity::new(connect.v));
    }
    for (name, why) in &connect.upstream.without_effect {
        tracing::info!("--{name} has no effect: {why}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(error.into()))?;
    match command {
        Command::Get(command) => runtime.block_on(get::run(&command, connect)),
        Command::Explain(args) => runtime.block_on(explain::run(&args, connect)),
        Command::Top(args) => runtime.block_on(top::run(&args, connect)),
        Command::Snapshot(args) => runtime.block_on(snapshot::run(&args, connect)),
        Command::Version(args) => runtime.block_on(version::run(&args, connect)),
        Command::Complete { words } => {
            text::print(&complete::complete(&Cli::command(), &words)).map_err(Failure::Other)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_name_decides() {
        for (name, meant) in [
            ("kubectl-muster", true),
            ("/usr/local/bin/kubectl-muster", true),
            ("kubectl-muster.exe", true),
            ("kubectl_muster", true),
            ("muster", false),
            ("/kubectl-muster/muster", false),
        ] {
            assert_eq!(is_meant(Some(&name.into())), meant, "{name}");
        }
        assert!(!is_meant(None));
    }

    #[test]
    fn flags_stand_where_kubectl_lets_them() {
        for flags in [
            &["-n", "shop", "get", "gangs"][..],
            &["get", "gangs", "-n", "shop"],
            &["get", "-n=shop", "gang"],
            &[
                "get",
                "podgroups",
                "--namespace=shop",
                "-v=6",
                "--request-timeout",
                "5",
                "-ojson",
                "-l",
                "a=b",
                "-w",
            ],
            &[
                "--as=jo",
                "--as-group",
                "a",
                "get",
                "gangs",
                "-n",
                "shop",
                "--as-group=b",
                "--insecure-skip-tls-verify",
            ],
            &[
                "-n=shop",
                "--insecure-skip-tls-verify=false",
                "-s",
                "https://x",
                "version",
            ],
        ] {
            let cli = Cli::try_parse_from([&[PROGRAM], flags].concat()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(cli.connect.namespace("default"), "shop", "{flags:?}");
        }
    }

    #[test]
    fn wrong_flags_are_told_with_the_flag() {
        let said = |flags: &[&str]| {
            let words: Vec<OsString> = [&[PROGRAM], flags].concat().into_iter().map(Into::into).collect();
            let error = Cli::try_parse_from(&words).expect_err("wrong flags");
            assert_eq!(error.exit_code(), i32::from(crate::WRONG_USAGE));
            let said = command_line::sentence(&error, &Cli::command(), &words);
            said.unwrap_or_else(|| panic!("{flags:?} asks for help"))
        };
        let cases: [&[&str]; 12] = [
            &["get", "gangs", "--colour"],
            &["get", "gangs", "-o", "xml"],
            &["get", "gangs", "-l", "a=b=c"],
            &["get", "gangs", "--request-timeout=soon"],
            &["get", "pods"],
            &["-v", "many", "version"],
            &["get", "gangs", "-n"],
            &["get", "gangs", "--as-user-extra=scopes"],
            &["-n", "shop"],
            &["get", "-n", "shop"],
            &["top", "--once=yes"],
            &["explain", "pod", "web", "late"],
        ];
        insta::assert_snapshot!(cases.map(said).join("\n"));
    }

    #[test]
    fn failures_are_lines_with_exit_codes() {
        let kubeconfig = Failure::from(ReadError::Kubeconfig("context \"x\" does not exist".to_owned()));
        assert_eq!(kubeconfig.line(), "error: context \"x\" does not exist");
        assert_eq!(kubeconfig.exit_code(), ExitCode::from(2));
        let other = Failure::Other(anyhow::anyhow!("inner").context("outer"));
        assert_eq!(
            (other.line().as_str(), other.exit_code()),
            ("error: outer: inner", ExitCode::from(1))
        );
    }

    /// What krew installs is what kubectl looks for, and what it says about completion is what `muster completion` writes.
    #[test]
    fn the_plugin_of_krew_is_this_program() {
        let text = include_str!("../../../../deploy/krew/muster.yaml");
        let plugin: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(plugin["metadata"]["name"], "muster");
        for platform in plugin["spec"]["platforms"].as_array().unwrap() {
            assert_eq!(platform["bin"], PROGRAM);
        }
        let caveats = plugin["spec"]["caveats"].as_str().unwrap();
        let last = COMPLETION_EXECUTABLE.lines().last().unwrap();
        assert!(caveats.contains(last), "{caveats}");
    }

    proptest! {
        #[test]
        fn no_arguments_make_it_panic(
            words in prop::collection::vec("(get|gangs|version|-n|-A|-o|json|-l|a in \\(b\\)|-v|--[a-z-]{0,9}|.{0,6})", 0..8),
        ) {
            let _ = Cli::try_parse_from([PROGRAM.to_owned()].into_iter().chain(words));
        }
    }
}
