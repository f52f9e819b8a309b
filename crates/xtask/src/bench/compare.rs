//! `cargo xtask bench compare`: schedulers side by side, in turns, each on a control plane of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;

use super::case::{Case, Cell};
use super::contestant::{Contestant, Programs};
use super::figures::{Figure, over_rounds, placements, ratio, runs, short};
use super::matrix::{Matrix, expected};
use super::race;
use super::results::{Machine, Results, Row, Versions, load};
use crate::binaries::{self, Program};
use crate::control_plane::Options;
use crate::kube_minor::KubeMinor;
use crate::steps::{step, workspace_root};

/// Where the results are that `docs/performance.md` shows, from the root of the workspace.
pub(super) const RESULTS: &str = "benches/results/control-plane.jsonl";

/// What to compare, and how often.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The Kubernetes minor: 1.35, 1.36 or 1.37.
    #[arg(long, default_value_t, conflicts_with = "matrix")]
    kube: KubeMinor,
    /// What the pods ask for; several with commas in between.
    #[arg(long, value_delimiter = ',', default_value = "plain", conflicts_with = "matrix")]
    case: Vec<Case>,
    /// The number of simulated nodes, of 4 CPU each, in 10 zones.
    #[arg(long, default_value_t = 1000, conflicts_with = "matrix")]
    nodes: usize,
    /// The number of pods, of 100m CPU each [default: 5000 plain ones, 10 in the case start, 1000 with anti-affinity,
    /// 3000 otherwise]
    #[arg(long, conflicts_with = "matrix")]
    pods: Option<usize>,
    /// In the case of gangs: how many they are [default: 3]
    #[arg(long, conflicts_with = "matrix")]
    gangs: Option<usize>,
    /// The number of pods that run already [default: 10 a node in the case start, otherwise none]
    #[arg(long, conflicts_with = "matrix")]
    bound: Option<usize>,
    /// Measure this set of cases and sizes instead.
    #[arg(long)]
    matrix: Option<Matrix>,
    /// Who takes part; with commas in between.
    #[arg(long, value_delimiter = ',', default_values_t = Contestant::ALL)]
    schedulers: Vec<Contestant>,
    /// How many runs of each scheduler [default: 5 of a matrix, 3 otherwise]
    #[arg(long)]
    rounds: Option<usize>,
    /// For how many seconds no pod may be bound before a run is given up.
    #[arg(long, default_value_t = 300)]
    patience: u64,
    /// A file that each run is appended to. Runs that are in it already are not done again [default: the one that
    /// docs/performance.md is made from, if a matrix is measured, otherwise none]
    #[arg(long)]
    results: Option<PathBuf>,
    /// Say what would be done and how long it would take, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn cells(&self) -> Result<Vec<Cell>> {
        let cells = match self.matrix {
            Some(matrix) => matrix.cells(),
            None => self.case.iter().map(|case| self.cell(*case)).collect(),
        };
        cells.iter().try_for_each(Cell::check)?;
        Ok(cells)
    }

    fn cell(&self, case: Case) -> Cell {
        let usual = Cell::usual(self.kube, case, self.nodes);
        let gangs = self.gangs.filter(|_| case == Case::Gang);
        Cell {
            pods: self.pods.unwrap_or(usual.pods),
            gangs: gangs.unwrap_or(usual.gangs),
            bound: self.bound.unwrap_or(usual.bound),
            ..usual
        }
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.matrix.is_some() { 5 } else { 3 })
    }

    fn results(&self) -> Option<PathBuf> {
        let usual = || workspace_root().join(RESULTS);
        self.results.clone().or_else(|| self.matrix.map(|_| usual()))
    }

    /// The command that measures one cell.
    fn command(&self, cell: &Cell) -> String {
        let schedulers: Vec<String> = self.schedulers.iter().map(Contestant::to_string).collect();
        format!(
            "cargo xtask bench compare {} --schedulers {} --rounds {}",
            cell.flags(),
            schedulers.join(","),
            self.rounds()
        )
    }
}

/// One run that is to be done.
#[derive(Debug, Clone, PartialEq)]
struct Turn {
    cell: Cell,
    round: usize,
    scheduler: Contestant,
}

/// What is to be done that is not in the results, in its order.
fn turns(cells: &[Cell], rounds: usize, schedulers: &[Contestant], done: &[Row]) -> Vec<Turn> {
    let mut turns = Vec::new();
    for cell in cells {
        for round in 1..=rounds {
            let mut order = schedulers.to_vec();
            // Whoever is later may profit or suffer from those before.
            if round % 2 == 0 {
                order.reverse();
            }
            for scheduler in order {
                if !done.iter().any(|row| row.is_of(cell, round, scheduler)) {
                    let cell = cell.clone();
                    turns.push(Turn { cell, round, scheduler });
                }
            }
        }
    }
    turns
}

fn expected_in_all(turns: &[Turn]) -> Duration {
    turns.iter().map(|turn| expected(&turn.cell, turn.scheduler)).sum()
}

/// Does the runs, and prints each, and then what all come to. Fails if a placement was wrong.
pub(super) fn run(args: &Args) -> Result<()> {
    let cells = args.cells()?;
    if args.rounds() == 0 {
        bail!("there must be at least one round");
    }
    let once: BTreeSet<_> = args.schedulers.iter().collect();
    if once.len() < args.schedulers.len() {
        bail!("a scheduler is named twice");
    }
    let machine = Machine::this()?;
    let path = args.results();
    let mut results = match &path {
        Some(path) => Results::open(path)?,
        None => Results::default(),
    };
    results.check_machine(&machine)?;
    let turns = turns(&cells, args.rounds(), &args.schedulers, &results.rows);
    say(&format!(
        "{} runs to do, {} are done already; about {} on two idle cores, and builds before",
        turns.len(),
        cells.len() * args.rounds() * args.schedulers.len() - turns.len(),
        minutes(expected_in_all(&turns))
    ))?;
    if args.dry_run {
        return Ok(());
    }
    if !turns.is_empty() {
        measure(args, &turns, &machine, &mut results)?;
    }
    for cell in &cells {
        summarise(&results.rows, cell, &args.schedulers)?;
    }
    if let Some(path) = &path {
        say(&format!("the runs are in {}", shown(path)))?;
    }
    expect_right(&results.rows, &cells, &args.schedulers)
}

fn measure(args: &Args, turns: &[Turn], machine: &Machine, results: &mut Results) -> Result<()> {
    // So that what is timed is the runs and not the builds.
    let programs = step("release build of the schedulers", Programs::build)?;
    let kubes: BTreeSet<KubeMinor> = turns.iter().map(|turn| turn.cell.kube).collect();
    let mut versions = BTreeMap::new();
    for kube in kubes {
        versions.insert(kube, Versions::of(kube)?);
        for program in Options::default()
            .programs()
            .into_iter()
            .chain([Program::KubeScheduler])
        {
            binaries::ensure(program, kube)?;
        }
    }
    let mut announced = None;
    let mut pace = Pace::default();
    for (n, turn) in turns.iter().enumerate() {
        if announced != Some(&turn.cell) {
            announced = Some(&turn.cell);
            say(&format!("\n{}", turn.cell))?;
            say(
                "round  scheduler            first, s  last, s  binds/s  from start  CPU s/1000  peak, MiB  writes/pod  refused  load before",
            )?;
        }
        let (date, load_before) = (Timestamp::now(), load()?);
        let begun = Instant::now();
        let patience = Duration::from_secs(args.patience);
        let outcome = race::run(&turn.cell, &programs, turn.scheduler, patience)?;
        pace.add(begun.elapsed(), expected(&turn.cell, turn.scheduler));
        let row = Row {
            cell: turn.cell.clone(),
            round: turn.round,
            scheduler: turn.scheduler,
            date,
            load_before,
            command: args.command(&turn.cell),
            versions: versions[&turn.cell.kube].clone(),
            machine: machine.clone(),
            outcome,
        };
        say(&line(&row))?;
        results.append(row)?;
        let left = expected_in_all(&turns[n + 1..]);
        eprintln!(
            "   {} runs left, about {}",
            turns.len() - n - 1,
            minutes(pace.apply(left))
        );
    }
    Ok(())
}

/// How the time that runs took compares with the time that was expected.
#[derive(Debug, Default)]
struct Pace {
    took: Duration,
    expected: Duration,
}

impl Pace {
    fn add(&mut self, took: Duration, expected: Duration) {
        self.took += took;
        self.expected += expected;
    }

    fn apply(&self, expected: Duration) -> Duration {
        expected.mul_f64(self.took.as_secs_f64() / self.expected.as_secs_f64())
    }
}

fn line(row: &Row) -> String {
    let outcome = &row.outcome;
    let number = |value: Option<f64>| value.map_or("–".to_owned(), short);
    let mut line = format!(
        "{:>5}  {:<19}  {:>8}  {:>7}  {:>7}  {:>10}  {:>10}  {:>9}  {:>10}  {:>7}  {:>11}",
        row.round,
        row.scheduler,
        number(outcome.first_s),
        number(outcome.last_s),
        number(outcome.rate()),
        number(outcome.rate_from_start()),
        number(outcome.cpu_per_thousand()),
        outcome.peak_kib / 1024,
        number(outcome.writes_per_pod()),
        outcome.refused_binds,
        short(row.load_before)
    );
    if let Some(failure) = outcome.failure() {
        line += &format!("\n       {failure}");
    }
    line
}

/// Prints medians and extents of a cell, and the ratios.
fn summarise(rows: &[Row], cell: &Cell, schedulers: &[Contestant]) -> Result<()> {
    say(&format!("\n{cell}: medians (least–most)"))?;
    for scheduler in schedulers {
        let placements = match placements(rows, cell, *scheduler) {
            Ok(right) => right,
            Err(failure) => {
                say(&format!("{scheduler}: {failure}"))?;
                continue;
            }
        };
        let figure =
            |figure| over_rounds(rows, cell, *scheduler, figure).map_or("–".to_owned(), |spread| spread.to_string());
        say(&format!(
            "{scheduler}: first {} s, last {} s, {} binds/s, {} from the start, {} CPU s per 1,000, {} MiB, \
             {} writes a pod; placements: {placements}",
            figure(Figure::First),
            figure(Figure::Last),
            figure(Figure::Rate),
            figure(Figure::RateFromStart),
            figure(Figure::CpuPerThousand),
            figure(Figure::PeakMib),
            figure(Figure::WritesPerPod)
        ))?;
    }
    for to in [Contestant::Null, Contestant::KubeScheduler] {
        let of = |figure| ratio(rows, cell, figure, Contestant::Muster, to);
        let (Some(last), Some(cpu), Some(peak)) = (of(Figure::Last), of(Figure::CpuPerThousand), of(Figure::PeakMib))
        else {
            continue;
        };
        say(&format!(
            "muster ÷ {to}: start to last bind {last}, CPU {cpu}, peak memory {peak}"
        ))?;
    }
    Ok(())
}

/// Speed with a wrong answer is worth nothing. kube-scheduler may take longer than anybody wants to wait.
fn expect_right(rows: &[Row], cells: &[Cell], schedulers: &[Contestant]) -> Result<()> {
    let mut failures = Vec::new();
    for cell in cells {
        for scheduler in schedulers {
            for row in runs(rows, cell, *scheduler) {
                let is_wrong = row
                    .outcome
                    .judgement
                    .as_ref()
                    .is_some_and(|judgement| judgement.wrong.is_some());
                let is_excused = *scheduler == Contestant::KubeScheduler && !is_wrong;
                if let Some(failure) = row.outcome.failure().filter(|_| !is_excused) {
                    failures.push(format!("{cell}, round {}, {scheduler}: {failure}", row.round));
                }
            }
        }
    }
    if !failures.is_empty() {
        bail!("{} runs do not count:\n{}", failures.len(), failures.join("\n"));
    }
    Ok(())
}

fn minutes(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// A path as it is seen from the root of the workspace.
fn shown(path: &Path) -> String {
    path.strip_prefix(workspace_root())
        .unwrap_or(path)
        .display()
        .to_string()
}

pub(super) fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to the standard output")
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::row;
    use super::*;

    fn cell() -> Cell {
        Cell::usual(KubeMinor::V1_35, Case::Plain, 1000)
    }

    #[test]
    fn rounds_alternate_and_what_is_done_is_left_out() {
        let cells = [cell()];
        let schedulers = [Contestant::Muster, Contestant::Null];
        let order = |done: &[Row]| -> Vec<(usize, Contestant)> {
            let turns = turns(&cells, 2, &schedulers, done);
            turns.iter().map(|turn| (turn.round, turn.scheduler)).collect()
        };
        let all = [
            (1, Contestant::Muster),
            (1, Contestant::Null),
            (2, Contestant::Null),
            (2, Contestant::Muster),
        ];
        assert_eq!(order(&[]), all);
        let other = Cell { nodes: 2000, ..cell() };
        let done = [
            row(&cells[0], 1, Contestant::Null, 1.0),
            row(&other, 2, Contestant::Null, 1.0),
        ];
        assert_eq!(order(&done), [all[0], all[2], all[3]]);
    }

    #[test]
    fn a_wrong_placement_fails_the_command() {
        let cells = [cell()];
        let schedulers = [Contestant::Muster, Contestant::KubeScheduler];
        let fails = |row: &Row| expect_right(std::slice::from_ref(row), &cells, &schedulers).is_err();
        for (scheduler, may_give_up) in [(Contestant::Muster, false), (Contestant::KubeScheduler, true)] {
            let mut row = row(&cells[0], 1, scheduler, 1.0);
            assert!(!fails(&row));
            row.outcome.bound -= 1;
            assert_eq!(fails(&row), !may_give_up, "{scheduler}");
            row.outcome.judgement.as_mut().unwrap().wrong = Some("pod-1 on node-1: no".to_owned());
            assert!(fails(&row), "{scheduler}");
            assert!(line(&row).contains("wrong: pod-1 on node-1: no"), "{}", line(&row));
        }
    }

    #[test]
    fn the_command_of_a_row_measures_its_cell() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            args: Args,
        }
        let parsed = |line: &str| <Command as clap::Parser>::parse_from(line.split(' ')).args;
        let args = parsed("compare --case gang --gangs 100 --schedulers null,muster --rounds 7");
        let cells = args.cells().unwrap();
        let command = args.command(&cells[0]);
        assert_eq!(
            command,
            "cargo xtask bench compare --kube 1.35 --case gang --nodes 1000 --pods 3000 --gangs 100 \
             --schedulers null,muster --rounds 7"
        );
        let again = parsed(command.strip_prefix("cargo xtask bench ").unwrap());
        assert_eq!((again.cells().unwrap(), again.command(&cells[0])), (cells, command));
    }

    #[test]
    fn what_is_left_is_told_by_what_it_took_so_far() {
        let mut pace = Pace::default();
        pace.add(Duration::from_secs(30), Duration::from_secs(20));
        assert_eq!(minutes(pace.apply(Duration::from_secs(60))), "90 s");
        assert_eq!(minutes(Duration::from_secs(121)), "3 min");
    }
}
