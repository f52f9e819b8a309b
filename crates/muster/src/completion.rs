//! `muster completion`: scripts by which shells complete what is typed.

use crate::kubectl;
use crate::text;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::process::ExitCode;

/// Print a script by which a shell completes muster's commands and flags
///
/// For bash: source <(muster completion bash). For zsh: muster completion zsh > "${fpath[1]}/_muster". For fish:
/// muster completion fish > ~/.config/fish/completions/muster.fish.
///
/// For kubectl muster: muster completion --kubectl > kubectl_complete-muster, made executable, in a folder of the PATH; kubectl
/// runs it when its own completion is set up.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL", required_unless_present = "kubectl")]
    shell: Option<Shell>,

    /// Print the executable by which kubectl completes `kubectl muster`
    #[arg(long, conflicts_with = "shell")]
    kubectl: bool,
}

/// Prints it.
///
/// # Errors
/// The standard output cannot be written.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    text::print(
        &args
            .shell
            .map_or_else(|| kubectl::COMPLETION_EXECUTABLE.to_owned(), script),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell) -> String {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut crate::Cli::command(), "muster", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_shell_has_a_script_that_names_the_commands() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for word in ["simulate", "logging-format", "completion"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn bash_completes_by_its_script() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("muster.bash");
        std::fs::write(&path, script(Shell::Bash)).unwrap();
        // As bash does when the tabulator is hit behind `muster simu`.
        let hit = r#"source "$1"; COMP_WORDS=(muster simu); COMP_CWORD=1; _muster muster simu muster; echo "${COMPREPLY[@]}""#;
        let completed = std::process::Command::new("bash")
            .args(["--norc", "-c", hit, "bash"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&completed.stderr);
        assert_eq!(String::from_utf8_lossy(&completed.stdout), "simulate\n", "{said}");
    }

    #[test]
    fn the_executable_for_kubectl() {
        insta::assert_snapshot!(kubectl::COMPLETION_EXECUTABLE);
    }
}
