//! The runs of comparisons as they are kept: a line of JSON each, in a file that belongs to one machine.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::case::Cell;
use super::contestant::Contestant;
use super::race::Outcome;
use crate::kube_minor::KubeMinor;
use crate::steps::{output, workspace_root};

/// A run, with all that one needs to judge it and to repeat it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// What the contestant was given.
    pub(super) cell: Cell,
    /// Which round it was; rounds begin with 1.
    pub(super) round: usize,
    /// Who ran.
    pub(super) scheduler: Contestant,
    /// When it began.
    pub(super) date: Timestamp,
    /// How many processes wanted a processor in the minute before.
    pub(super) load_before: f64,
    /// The command that gives such a row.
    pub(super) command: String,
    /// What ran.
    pub(super) versions: Versions,
    /// Where it ran.
    pub(super) machine: Machine,
    /// What came of it.
    pub(super) outcome: Outcome,
}

impl Row {
    /// Whether it is the run of this contestant in this round.
    pub(super) fn is_of(&self, cell: &Cell, round: usize, scheduler: Contestant) -> bool {
        self.cell == *cell && self.round == round && self.scheduler == scheduler
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Versions {
    /// The release of the API server and of kube-scheduler.
    pub(super) kubernetes: String,
    /// The last commit that changed Muster or the null scheduler; with a `+` when they had been changed since.
    pub(super) muster: String,
    /// The compiler of Muster and the null scheduler.
    pub(super) rustc: String,
}

impl Versions {
    /// Of what would be built now.
    pub(super) fn of(kube: KubeMinor) -> Result<Versions> {
        // What is built; not what measures it, and not the results.
        let sources = ["--", "crates", "Cargo.toml", "Cargo.lock", ":!crates/xtask"];
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            output(command.args(args).args(sources).current_dir(workspace_root()))
        };
        // Where this is no clone but an archive, nobody knows.
        let muster = git(&["log", "-1", "--format=%h"]).map_or("unknown".to_owned(), |commit| commit.trim().to_owned());
        let is_changed = git(&["status", "--porcelain"]).is_ok_and(|changes| !changes.is_empty());
        // In the workspace, whose toolchain file decides.
        let rustc = output(Command::new("rustc").arg("--version").current_dir(workspace_root()))?;
        Ok(Versions {
            kubernetes: kube.release().to_owned(),
            muster: if is_changed { muster + "+" } else { muster },
            rustc: rustc.split(' ').nth(1).unwrap_or("unknown").to_owned(),
        })
    }
}

/// A machine, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Machine {
    /// What the processor calls itself.
    pub(super) cpu: String,
    /// How many processors there are to run on.
    pub(super) cores: usize,
    /// Memory in GiB, rounded.
    pub(super) memory_gib: u64,
    /// The release of Linux.
    pub(super) linux: String,
}

impl Machine {
    /// This one.
    pub(super) fn this() -> Result<Machine> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("reading {path}"));
        let memory_kib = value(&read("/proc/meminfo")?, "MemTotal")
            .and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok())
            .context("/proc/meminfo does not say how much memory there is")?;
        Ok(Machine {
            cpu: value(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism()
                .context("asking for the number of processors")?
                .get(),
            memory_gib: (memory_kib + (1 << 19)) >> 20,
            linux: release(&read("/proc/sys/kernel/osrelease")?).to_owned(),
        })
    }
}

/// The numbers of a release: what distributors and hosts add to them says more of them than of Linux.
fn release(osrelease: &str) -> &str {
    let is_added = |c: char| !c.is_ascii_digit() && c != '.';
    osrelease.split(is_added).next().unwrap_or_default()
}

/// The value of the first line with a name, in the manner of /proc.
fn value(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The load of the machine in the last minute: a busy one measures something else.
pub(super) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("reading the load of the machine")?;
    let first = text.split(' ').next().and_then(|first| first.parse().ok());
    first.context("/proc/loadavg says no load")
}

/// The rows that there are, and the file for more, if they are kept.
#[derive(Debug, Default)]
pub(super) struct Results {
    path: Option<PathBuf>,
    /// In the order in which they were measured.
    pub(super) rows: Vec<Row>,
}

impl Results {
    /// Reads a file, which need not be there yet.
    pub(super) fn open(path: &Path) -> Result<Results> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let rows = text.lines().enumerate().map(|(n, line)| {
            serde_json::from_str(line).with_context(|| format!("{}, line {}, is no run", path.display(), n + 1))
        });
        Ok(Results {
            path: Some(path.to_owned()),
            rows: rows.collect::<Result<_>>()?,
        })
    }

    /// Fails where rows were measured on another machine: they cannot be compared.
    pub(super) fn check_machine(&self, machine: &Machine) -> Result<()> {
        if let Some(row) = self.rows.iter().find(|row| row.machine != *machine) {
            bail!(
                "the results are of another machine ({:?}): take another file by --results",
                row.machine
            );
        }
        Ok(())
    }

    /// Adds a row, also to the file.
    pub(super) fn append(&mut self, row: Row) -> Result<()> {
        if let Some(path) = &self.path {
            append(path, &row).with_context(|| format!("writing {}", path.display()))?;
        }
        self.rows.push(row);
        Ok(())
    }
}

fn append(path: &Path, row: &Row) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{}", serde_json::to_string(row)?)?;
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::case::Case;
    use super::super::checker::Judgement;
    use super::*;
    use std::collections::BTreeMap;

    /// A run of 1,000 pods a second and a millisecond of processor time for each, or slower by a factor.
    pub(in super::super) fn row(cell: &Cell, round: usize, scheduler: Contestant, slower: f64) -> Row {
        let seconds = |of: f64| (of * slower * 1000.0).round() / 1000.0;
        let last = cell.pods as f64 / 1000.0;
        let steps = (0..=40).map(|step| seconds(0.2 + last * f64::from(step) / 40.0));
        Row {
            cell: cell.clone(),
            round,
            scheduler,
            date: "2026-11-21T10:00:00Z".parse().unwrap(),
            load_before: 0.25,
            command: format!("cargo xtask bench compare {}", cell.flags()),
            versions: Versions {
                kubernetes: cell.kube.release().to_owned(),
                muster: "0123abc".to_owned(),
                rustc: "1.95.0".to_owned(),
            },
            machine: Machine {
                cpu: "Abacus".to_owned(),
                cores: 2,
                memory_gib: 8,
                linux: "6.1".to_owned(),
            },
            outcome: Outcome {
                bound: cell.pods,
                of: cell.pods,
                first_s: Some(seconds(0.2)),
                last_s: Some(seconds(0.2 + last)),
                curve_s: steps.collect(),
                cpu_s: seconds(last),
                peak_kib: (20.0 * 1024.0 * slower) as u64,
                writes: BTreeMap::from([
                    ("create events".to_owned(), cell.pods),
                    ("create pods/binding".to_owned(), cell.pods),
                ]),
                refused_binds: 0,
                judgement: scheduler.decides().then(Judgement::default),
            },
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results/runs.jsonl");
        let mut results = Results::open(&path).unwrap();
        assert!(results.rows.is_empty());
        let cell = Cell::usual(KubeMinor::V1_35, Case::Gang, 1000);
        for round in 1..=2 {
            results.append(row(&cell, round, Contestant::Muster, 1.0)).unwrap();
        }
        let again = Results::open(&path).unwrap();
        assert_eq!(again.rows, results.rows);
        assert!(again.rows[1].is_of(&cell, 2, Contestant::Muster));
        assert!(!again.rows[1].is_of(&cell, 2, Contestant::Null));
    }

    #[test]
    fn rows_of_two_machines_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::open(&folder.path().join("runs.jsonl")).unwrap();
        let cell = Cell::usual(KubeMinor::V1_35, Case::Plain, 1000);
        let row = row(&cell, 1, Contestant::Muster, 1.0);
        let mut other = row.machine.clone();
        results.append(row.clone()).unwrap();
        results.check_machine(&row.machine).unwrap();
        other.cores = 64;
        assert!(results.check_machine(&other).is_err());
    }

    #[test]
    fn a_file_with_something_else_in_it_is_refused_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.jsonl");
        fs::write(&path, "{}\n").unwrap();
        let error = format!("{:#}", Results::open(&path).unwrap_err());
        assert!(error.contains("line 1"), "{error}");
    }

    #[test]
    fn this_machine_says_what_it_is() {
        let machine = Machine::this().unwrap();
        assert!(machine.cores > 0 && machine.memory_gib > 0, "{machine:?}");
        assert_eq!(value("a b\t: c d\n", "a b").as_deref(), Some("c d"));
        assert_eq!(release("6.1.0-13-amd64\n"), "6.1.0");
        assert!(load().unwrap() >= 0.0);
    }
}
