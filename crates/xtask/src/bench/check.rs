//! `cargo xtask bench check`: a guard against getting slower, by counts of instructions instead of times.
//!
//! The program `counted` of `muster-benches` does one sort of work a run, under callgrind, which counts the instructions of
//! that work alone. Such counts hardly differ from run to run, whatever else the machine does. They are compared with a
//! baseline in the repository, of one compiler and one target.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::compare::say;
use crate::debian::ensure_installed;
use crate::steps::{cargo, output, step, workspace_root};
use crate::test::build_binary;

/// More instructions than the baseline's by more than this, in percent, is a regression.
const TOLERANCE_PERCENT: f64 = 5.0;
/// The function of `counted` whose instructions count, as callgrind names it.
const MEASURED: &str = "counted::measured*";

/// What to do with the counts.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Make what is counted now the baseline.
    #[arg(long)]
    write: bool,
    /// Count so many times, and say how far the counts of each bench are apart.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
}

/// Instructions for each operation, by the name of the bench, and what they depend on beside the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    rustc: String,
    target: String,
    /// Whether the processor has the wide instructions that loops over columns take where they are there.
    wide_instructions: bool,
    instructions: BTreeMap<String, u64>,
}

/// How a bench stands beside the baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Same,
    /// By more than the tolerance.
    Slower,
    /// By more than the tolerance: the baseline hides that it can become worse again.
    Faster,
    /// The baseline does not know it.
    New,
    /// It is not there any more.
    Gone,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Standing::Same => "",
            Standing::Slower => "SLOWER",
            Standing::Faster => "faster",
            Standing::New => "not in the baseline",
            Standing::Gone => "not counted",
        })
    }
}

/// Counts, and compares with the baseline or renews it.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure_installed("valgrind", "valgrind")?;
    let program = step("build of what is counted", build)?;
    let (rustc, target) = compiler()?;
    let rounds = (0..args.repeat.max(1))
        .map(|_| count_all(&program))
        .collect::<Result<Vec<_>>>()?;
    let counts = Counts {
        rustc,
        target,
        wide_instructions: has_wide_instructions(),
        instructions: rounds[0].clone(),
    };
    if 1 < rounds.len() {
        say_spread(&rounds)?;
    }
    let path = workspace_root().join("benches/baseline.json");
    if args.write {
        let text = serde_json::to_string_pretty(&counts).context("writing the counts as JSON")?;
        std::fs::write(&path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
        return say(&format!("{} is renewed", path.display()));
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let baseline: Counts = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    judge(&baseline, &counts)
}

/// Prints all, and fails when a bench is slower, or cannot be compared.
fn judge(baseline: &Counts, counts: &Counts) -> Result<()> {
    let compiled = |counts: &Counts| format!("rustc {} for {}", counts.rustc, counts.target);
    if compiled(baseline) != compiled(counts) {
        bail!(
            "the baseline is of {}, and this is {}: it says nothing here. `cargo xtask bench check --write` renews it",
            compiled(baseline),
            compiled(counts)
        );
    }
    if baseline.wide_instructions != counts.wide_instructions {
        // Nobody can change the processor, and nobody has made anything slower.
        return say("NOT COMPARED: the baseline was counted on a processor with other vector instructions");
    }
    say("instructions an operation: baseline, now, difference")?;
    let standings = standings(&baseline.instructions, &counts.instructions);
    let mut complaints = Vec::new();
    for (name, standing) in standings {
        let [was, is] = [baseline, counts].map(|counts| counts.instructions.get(name).copied());
        let figures = match (was, is) {
            (Some(was), Some(is)) => format!("{was:>9} {is:>9} {:>+7.1} %", percent_more(was, is)),
            (was, is) => [was, is]
                .map(|count| format!("{:>9}", count.map_or("-".to_owned(), |count| count.to_string())))
                .join(" "),
        };
        say(format!("{figures:<29}  {name}  {standing}").trim_end())?;
        if matches!(standing, Standing::Slower | Standing::New | Standing::Gone) {
            complaints.push(format!("{name}: {} ({standing})", figures.trim()));
        }
    }
    if !complaints.is_empty() {
        bail!(
            "more than {TOLERANCE_PERCENT} % above the baseline, or not in both:\n{}\nif it is meant, \
             `cargo xtask bench check --write` renews the baseline",
            complaints.join("\n")
        );
    }
    Ok(())
}

/// How each bench of either stands, by name.
fn standings<'a>(
    baseline: &'a BTreeMap<String, u64>,
    counts: &'a BTreeMap<String, u64>,
) -> BTreeMap<&'a str, Standing> {
    let names = baseline.keys().chain(counts.keys());
    let standing = |name: &String| match (baseline.get(name), counts.get(name)) {
        (Some(was), Some(is)) if TOLERANCE_PERCENT < percent_more(*was, *is) => Standing::Slower,
        (Some(was), Some(is)) if percent_more(*was, *is) < -TOLERANCE_PERCENT => Standing::Faster,
        (Some(_), Some(_)) => Standing::Same,
        (None, _) => Standing::New,
        (_, None) => Standing::Gone,
    };
    names.map(|name| (name.as_str(), standing(name))).collect()
}

fn percent_more(was: u64, is: u64) -> f64 {
    100.0 * (is as f64 - was as f64) / was as f64
}

fn say_spread(rounds: &[BTreeMap<String, u64>]) -> Result<()> {
    say(&format!("{} rounds: fewest, most, apart by", rounds.len()))?;
    for name in rounds[0].keys() {
        let counts: Vec<u64> = rounds.iter().filter_map(|round| round.get(name).copied()).collect();
        let (fewest, most) = (counts.iter().min().copied(), counts.iter().max().copied());
        let (Some(fewest), Some(most)) = (fewest, most) else {
            continue;
        };
        say(&format!(
            "{fewest:>9} {most:>9} {:>7.3} %  {name}",
            percent_more(fewest, most)
        ))?;
    }
    Ok(())
}

/// Optimised as a release is: debug assertions and little optimisation would count something else.
fn build() -> Result<PathBuf> {
    let command = cargo(&[
        "build",
        "--quiet",
        "--release",
        "--package",
        "muster-benches",
        "--bin",
        "counted",
    ]);
    build_binary("counted", command)
}

/// The version of the compiler, and its target.
fn compiler() -> Result<(String, String)> {
    let text = output(Command::new("rustc").arg("-vV").current_dir(workspace_root()))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|rest| rest.trim().to_owned())
            .with_context(|| format!("rustc -vV says no {name}"))
    };
    Ok((field("release:")?, field("host:")?))
}

fn has_wide_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn count_all(program: &Path) -> Result<BTreeMap<String, u64>> {
    let list = output(&mut Command::new(program))?;
    let benches = list.lines().map(|line| {
        let (name, n_operations) = line.split_once('\t').context("a name and a number of operations")?;
        let n_operations: u64 = n_operations.parse().context("a number of operations")?;
        Ok((name.to_owned(), count(program, name)? / n_operations))
    });
    benches.collect()
}

/// The instructions of one bench.
fn count(program: &Path, name: &str) -> Result<u64> {
    let folder = tempfile::tempdir().context("making a folder for what callgrind writes")?;
    let written = folder.path().join("counts");
    let mut callgrind = Command::new("valgrind");
    callgrind
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", written.display()))
        .arg(program)
        .arg(name)
        // The environment lies on the stack of the program and moves what comes after it.
        .env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        callgrind.env("PATH", path);
    }
    output(&mut callgrind)?;
    let text = std::fs::read_to_string(&written).context("reading what callgrind has written")?;
    let count = total(&text).with_context(|| format!("{name}: callgrind has written no total"))?;
    if count == 0 {
        bail!("{name}: callgrind has counted nothing: is there a function {MEASURED}?");
    }
    Ok(count)
}

/// The sum of a callgrind file.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(instructions: &[(&str, u64)]) -> Counts {
        Counts {
            rustc: "1.95.0".to_owned(),
            target: "x".to_owned(),
            wide_instructions: true,
            instructions: instructions
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
        }
    }

    #[test]
    fn five_percent_more_is_borne_and_more_is_not() {
        let baseline = counts(&[("a", 1000), ("b", 1000), ("c", 1000), ("gone", 1)]);
        let now = counts(&[("a", 1050), ("b", 1051), ("c", 949), ("new", 1)]);
        let standings = standings(&baseline.instructions, &now.instructions);
        let expected = [
            ("a", Standing::Same),
            ("b", Standing::Slower),
            ("c", Standing::Faster),
            ("gone", Standing::Gone),
            ("new", Standing::New),
        ];
        assert_eq!(standings.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_regression_is_told_with_its_bench_and_both_figures() {
        let baseline = counts(&[("a decision", 1000), ("b", 10)]);
        judge(&baseline, &counts(&[("a decision", 1049), ("b", 5)])).unwrap();
        let error = judge(&baseline, &counts(&[("a decision", 1100), ("b", 10)]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("a decision: 1000      1100   +10.0 % (SLOWER)"),
            "{error}"
        );
        assert!(!error.contains("\nb:"), "{error}");
        let error = judge(&baseline, &counts(&[("a decision", 1000)]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("b: 10         - (not counted)"), "{error}");
    }

    #[test]
    fn figures_of_another_compiler_are_not_compared() {
        let baseline = counts(&[("a", 1000)]);
        let other = Counts {
            rustc: "1.96.0".to_owned(),
            ..baseline.clone()
        };
        let error = judge(&baseline, &other).unwrap_err().to_string();
        assert!(
            error.contains("rustc 1.95.0 for x, and this is rustc 1.96.0 for x"),
            "{error}"
        );
    }

    #[test]
    fn figures_of_another_processor_are_not_compared() {
        let baseline = counts(&[("a", 1000)]);
        let other = Counts {
            wide_instructions: false,
            ..counts(&[("a", 2000)])
        };
        judge(&baseline, &other).unwrap();
    }

    #[test]
    fn the_total_is_read() {
        assert_eq!(
            total("version: 1\nevents: Ir\nfn=(1) main\n12 30\n\ntotals: 123456\n"),
            Some(123_456)
        );
        assert_eq!(total("version: 1\n"), None);
    }
}
