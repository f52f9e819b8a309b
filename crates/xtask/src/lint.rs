//! `cargo xtask lint`: format, clippy, the directions between the crates, tidiness, and the dependencies' licences.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::purity::{FORBIDDEN, PURE_CRATES, forbidden_ways};
use crate::steps::{cargo, output, run as run_command, step, workspace_root};
use crate::tools;

/// What to check besides the usual.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Ask the RustSec database too, which is fetched from outside.
    #[arg(long)]
    pub advisories: bool,
}

/// The release of cargo-deny that is installed where there is none.
const CARGO_DENY: &str = "0.20.2";

/// Runs all checks, the quick ones first; the first that fails ends it.
pub fn run(args: &Args) -> Result<()> {
    step("format", || run_command(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("tidiness", check_tidiness)?;
    step("directions between the crates", check_purity)?;
    step("clippy", check_clippy)?;
    step("dependencies", || check_dependencies(args.advisories))
}

fn check_clippy() -> Result<()> {
    // The second one is a target that is left out unless it is named.
    for targets in [
        &["--workspace", "--all-targets"][..],
        &["--package", "muster-xtask", "--test", "control_plane"],
    ] {
        let mut command = cargo(&["clippy", "--quiet"]);
        run_command(command.args(targets).args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

fn check_purity() -> Result<()> {
    let mut complaints = Vec::new();
    for name in PURE_CRATES {
        let tree = output(&mut cargo(&[
            "tree",
            "--package",
            name,
            "--edges",
            "normal",
            "--prefix",
            "depth",
        ]))?;
        let ways = forbidden_ways(&tree).with_context(|| format!("reading the dependencies of {name}"))?;
        complaints.extend(ways.iter().map(|way| complaint(name, way)));
    }
    if !complaints.is_empty() {
        bail!(
            "{}\nNone of {} may be there: the engine is deterministic.",
            complaints.join("\n"),
            FORBIDDEN.join(", ")
        );
    }
    Ok(())
}

fn complaint(name: &str, way: &[String]) -> String {
    let dependency = way.last().map_or("", String::as_str);
    format!("{name} depends on {dependency}: {}", way.join(" → "))
}

fn check_tidiness() -> Result<()> {
    let mut silent = Vec::new();
    for folder in ["crates", "benches", "tests"] {
        for path in rust_files(&workspace_root().join(folder))? {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            if !says_what_it_is_for(&text) {
                silent.push(
                    path.strip_prefix(workspace_root())
                        .unwrap_or(&path)
                        .display()
                        .to_string(),
                );
            }
        }
    }
    if !silent.is_empty() {
        bail!(
            "these files don't begin with a `//!` comment that says what they are for:\n{}",
            silent.join("\n")
        );
    }
    Ok(())
}

fn says_what_it_is_for(text: &str) -> bool {
    text.lines()
        .next()
        .and_then(|line| line.strip_prefix("//!"))
        .is_some_and(|comment| !comment.trim().is_empty())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("reading the folder {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading the folder {}", folder.display()))?;
        let path = entry.path();
        if entry
            .file_type()
            .with_context(|| format!("asking what {} is", path.display()))?
            .is_dir()
        {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn check_dependencies(advisories: bool) -> Result<()> {
    let deny = tools::ensure("cargo-deny", CARGO_DENY)?;
    let mut checks = vec!["check", "bans", "licenses", "sources"];
    if advisories {
        checks.push("advisories");
    }
    run_command(
        Command::new(deny)
            .args(["--log-level", "error"])
            .args(checks)
            .current_dir(workspace_root()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_say_what_it_is_for_in_its_first_line() {
        assert!(says_what_it_is_for("//! The queue.\nuse x;\n"));
        for text in ["", "\n//! Late.", "//!\n", "//! \n", "// No.", "use x;"] {
            assert!(!says_what_it_is_for(text), "{text:?}");
        }
    }

    #[test]
    fn a_complaint_names_crate_dependency_and_way() {
        let way = ["muster-engine", "smallvec", "serde"].map(str::to_owned);
        assert_eq!(
            complaint("muster-engine", &way),
            "muster-engine depends on serde: muster-engine → smallvec → serde"
        );
    }
}
