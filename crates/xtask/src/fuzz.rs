//! `cargo xtask fuzz`: builds the programs of `fuzz/` with libFuzzer and lets each invent inputs for its target
//! (`tests/fuzzing`) for a while.
//!
//! libFuzzer goes by what code an input reaches. The compiler puts the counters in, by flags that need no nightly compiler;
//! no sanitizer is used, since next to nothing here is unsafe: what counts is panics, hangs, memory, and what the targets
//! assert. Everything is kept under `target/fuzz`: what one run has found interesting, the next one goes on from.

mod seeds;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::steps::{cargo, run as run_command, step, workspace_root};
use crate::test::{built, executable};
use seeds::{TARGETS, Target};

/// Counters at every edge of the control flow, which libFuzzer reads, and a table of where they are.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table --cfg fuzzing";
/// An input that takes longer than so many seconds is reported as a failure.
const SECONDS_MAX: u32 = 10;
/// A target that takes more memory than this is reported as a failure.
const MEBIBYTES_MAX: u32 = 2048;
/// So much of the log of a failure is shown, in lines.
const LINES_SHOWN: usize = 30;
/// So much of the input that fails is shown, in bytes.
const BYTES_SHOWN: usize = 2048;

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The targets; all unless stated.
    targets: Vec<String>,
    /// How long each runs, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only try this input, on one target.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// Builds the targets and runs them one after the other; fails if an input makes one fail.
pub fn run(args: &Args) -> Result<()> {
    let targets = chosen(&args.targets)?;
    let messages = step("build of the fuzz targets", build)?;
    if let Some(input) = &args.input {
        let [target] = targets[..] else {
            bail!("an input is tried on one target: name it");
        };
        return run_command(Command::new(executable(&messages, target.name)?).arg(input));
    }
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for target in targets {
        let run = Run::prepare(target)?;
        eprintln!("── {} for {} s …", target.name, args.seconds);
        let ended_well = run.fuzz(&executable(&messages, target.name)?, args.seconds)?;
        let log = run.log()?;
        rows.push(row(target.name, run.seeds, &log));
        if !ended_well {
            eprintln!("{}", failure(target.name, &log)?);
            failures.push(target.name);
        }
    }
    eprintln!(
        "{:<14}{:>7}{:>18}{:>18}{:>12}",
        "target", "seeds", "reached by seeds", "in the end", "runs"
    );
    rows.iter().for_each(|row| eprintln!("{row}"));
    ensure!(
        failures.is_empty(),
        "an input made these targets fail: {}",
        failures.join(", ")
    );
    Ok(())
}

/// The names of all targets, in order.
pub fn names() -> Vec<&'static str> {
    TARGETS.iter().map(|target| target.name).collect()
}

/// The inputs that a target begins with.
///
/// # Errors
/// There is no such target, or a file that they are made of cannot be read.
pub fn seeds(name: &str) -> Result<BTreeSet<String>> {
    known(name)?.seeds()
}

fn known(name: &str) -> Result<&'static Target> {
    let known = TARGETS.iter().find(|target| target.name == name);
    known.with_context(|| format!("there is no target {name:?}; there are {}", names().join(", ")))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    names.iter().map(|name| known(name)).collect()
}

/// Where everything is kept.
fn folder() -> PathBuf {
    workspace_root().join("target/fuzz")
}

/// Gives cargo's messages.
fn build() -> Result<String> {
    let package = workspace_root().join("fuzz");
    // The targets are to be built with the very versions that Muster is built with.
    fs::copy(workspace_root().join("Cargo.lock"), package.join("Cargo.lock")).context("copying Cargo.lock to fuzz/")?;
    // With a target stated, build scripts and macros are built without the counters: they would not link.
    let mut command = cargo(&["build", "--release", "--bins", "--target", "host-tuple"]);
    command
        .current_dir(package)
        .env("CARGO_TARGET_DIR", folder())
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    built(&mut command)
}

/// A target and what it begins with.
struct Run<'t> {
    target: &'t Target,
    seeds: usize,
}

impl Run<'_> {
    /// Writes the seeds and the dictionary anew; what former runs have found stays.
    fn prepare(target: &Target) -> Result<Run<'_>> {
        let seeds = target.seeds()?;
        let run = Run {
            target,
            seeds: seeds.len(),
        };
        let folder = run.place("seeds");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        for folder in [&folder, &run.place("corpus"), &run.place("failures")] {
            fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        }
        for (number, seed) in seeds.iter().enumerate() {
            write(&folder.join(format!("{number:04}")), seed)?;
        }
        write(&run.place("words"), &target.dictionary(&seeds)?)?;
        Ok(run)
    }

    fn place(&self, what: &str) -> PathBuf {
        folder().join(self.target.name).join(what)
    }

    fn log(&self) -> Result<String> {
        let path = self.place("log");
        let log = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// Says whether nothing was found.
    fn fuzz(&self, program: &Path, seconds: u32) -> Result<bool> {
        let path = self.place("log");
        let log = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        let status = Command::new(program)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={}", self.target.length_max))
            .arg(format!("-timeout={SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={MEBIBYTES_MAX}"))
            .arg(format!("-dict={}", self.place("words").display()))
            .arg(format!("-artifact_prefix={}/", self.place("failures").display()))
            .args([self.place("corpus"), self.place("seeds")])
            // The sentence of a panic says enough, and is not to be lost among frames.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stderr(log)
            .status()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(status.success())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// A line of the table. What is reached is told as libFuzzer does: edges of the control flow / edges by how often.
fn row(name: &str, seeds: usize, log: &str) -> String {
    let reached = |line: Option<&str>| {
        let number = |word| line.and_then(|line| after(line, word)).unwrap_or("?");
        format!("{} / {}", number("cov:"), number("ft:"))
    };
    let first = log.lines().find(|line| line.contains("INITED"));
    let last = log.lines().rev().find(|line| line.contains(" cov: "));
    let runs = last
        .and_then(|line| line.split_ascii_whitespace().next())
        .unwrap_or("?");
    format!(
        "{name:<14}{seeds:>7}{:>18}{:>18}{:>12}",
        reached(first),
        reached(last),
        runs.trim_start_matches('#')
    )
}

/// The word that follows another one.
fn after<'l>(line: &'l str, word: &str) -> Option<&'l str> {
    let mut words = line.split_ascii_whitespace();
    words.find(|found| *found == word)?;
    words.next()
}

/// What went wrong, with which input, and how to see it again.
fn failure(name: &str, log: &str) -> Result<String> {
    let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with('#')).collect();
    let mut text = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    let written = log.lines().find_map(|line| line.split_once("Test unit written to "));
    let Some((_, path)) = written else {
        return Ok(text);
    };
    let input = fs::read(path).with_context(|| format!("reading {path}"))?;
    let shown = &input[..input.len().min(BYTES_SHOWN)];
    text += &format!("\n\nThe input ({} bytes):\n{}\n", input.len(), shown.escape_ascii());
    text += &format!("\nTo see it again: cargo xtask fuzz {name} --input {path}");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_read_from_the_log() {
        let log = "INFO: seed corpus: files: 2\n#3\tINITED cov: 61 ft: 62 corp: 1/1b\n#9\tNEW    cov: 70 ft: 90 corp: 2/2b\n\
                   #4096\tDONE   cov: 88 ft: 120 corp: 3/9b lim: 4\nDone 4096 runs in 2 second(s)\n";
        let words: Vec<String> = row("words", 2, log)
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        assert_eq!(words.join(" "), "words 2 61 / 62 88 / 120 4096");
    }

    #[test]
    fn every_target_has_a_file_and_every_file_is_a_target() {
        let files = fs::read_dir(workspace_root().join("fuzz/fuzz_targets")).unwrap();
        let mut files: Vec<String> = files
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        assert_eq!(files, names());
    }
}
