//! What the engine alone does a second: the workloads in `benches/workloads`, played in virtual time.
//! `cargo xtask bench engine`, or `cargo bench -p muster-benches --bench engine -- --list`.
//!
//! A workload is played once against the simulated API server, and the placements are checked. What the engine was asked
//! meanwhile is then asked of another engine, alone, and the processor time of its thread is taken: none of the
//! simulator's own. That one must want the same, effect by effect.
#![allow(clippy::print_stdout)]

use clap::Parser;
use muster_config::Configuration;
use muster_framework::rules::KubeMinor;
use muster_sim::{Counts, Diverged, Simulation, Size, Source, Wanted, Workload, aligned};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Plays workloads in virtual time and says how many pods the engine decides on in a second of its processor time.
#[derive(Debug, Parser)]
struct Args {
    /// Only this workload: the name of a file in benches/workloads, or a file. All of them, in their first size, without
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// In this size; the first one of the file without
    #[arg(long)]
    size: Option<String>,
    /// With so many nodes instead
    #[arg(long)]
    nodes: Option<u64>,
    /// Another number instead, for example measured=500
    #[arg(long, value_name = "PARAMETER=NUMBER", value_parser = parameter)]
    set: Vec<(String, u64)>,
    /// How often the engine is asked; the median of the times is taken
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Print JSON: an object for each workload
    #[arg(long)]
    json: bool,
    /// Print which workloads there are, and their sizes
    #[arg(long)]
    list: bool,
    /// What cargo tells every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// What came of one workload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    workload: String,
    size: Size,
    counts: Counts,
    /// Processor time of the engine for what is measured, in seconds: the median.
    engine_seconds: f64,
    /// Each of the times that it is the median of.
    engine_seconds_each: Vec<f64>,
    decisions_per_engine_second: f64,
    /// What the simulation took on top, reading the workload included, in seconds by the clock on the wall.
    simulator_seconds: f64,
}

/// A column of the table: its head, and what stands in it.
type Column = (&'static str, fn(&Measured) -> String);

/// To show another count, add a line.
const COLUMNS: [Column; 9] = [
    ("workload", |m| m.workload.clone()),
    ("size", |m| m.size.name.clone()),
    ("decisions", |m| m.counts.decisions.to_string()),
    ("unschedulable", |m| m.counts.unschedulable.to_string()),
    ("inputs", |m| m.counts.inputs.to_string()),
    ("engine, s", |m| format!("{:.3}", m.engine_seconds)),
    ("µs each", |m| format!("{:.1}", 1e6 / m.decisions_per_engine_second)),
    ("decisions/s", |m| format!("{:.0}", m.decisions_per_engine_second)),
    ("simulator, s", |m| format!("{:.1}", m.simulator_seconds)),
];

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let paths = match &args.workload {
        Some(name) => vec![path_of(name)],
        None => all_workloads()?,
    };
    let mut all = Vec::new();
    for path in paths {
        let source = read(&path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if args.list {
            let (about, sizes) = Workload::overview(&source).map_err(|error| error.to_string())?;
            println!("{name}: {about}");
            for Size { name, parameters } in sizes {
                let numbers: Vec<String> = parameters
                    .iter()
                    .map(|(name, number)| format!("{name}={number}"))
                    .collect();
                println!("    {name}: {}", numbers.join(" "));
            }
            continue;
        }
        let measured = measure(args, name, &source)?;
        if args.json {
            println!(
                "{}",
                serde_json::to_string(&measured).map_err(|error| error.to_string())?
            );
        } else {
            eprintln!(
                "{}: {:.0} decisions a second",
                measured.workload, measured.decisions_per_engine_second
            );
        }
        all.push(measured);
    }
    if !args.json && !args.list {
        let head = COLUMNS.map(|(head, _)| head.to_owned()).to_vec();
        let rows = all
            .iter()
            .map(|measured| COLUMNS.map(|(_, cell)| cell(measured)).to_vec());
        print!("{}", aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    }
    Ok(())
}

fn measure(args: &Args, name: String, source: &Source) -> Result<Measured, String> {
    let nodes = args.nodes.map(|number| ("nodes".to_owned(), number));
    let wanted = Wanted {
        size: args.size.clone(),
        instead: args.set.iter().cloned().chain(nodes).collect(),
    };
    let started = Instant::now();
    let workload = Workload::load(source, wanted).map_err(|error| error.to_string())?;
    let settings = Configuration::default().engine_settings(KubeMinor::default());
    let mut simulation = Simulation::with_journal(workload.scenario.clone(), settings);
    simulation.run_until(workload.until);
    workload
        .check(&simulation)
        .map_err(|wrong| format!("{name}: {wrong}"))?;
    let played = started.elapsed();
    let mut replays = (0..args.repeat.max(1))
        .map(|_| replay(&simulation, &workload))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|diverged| format!("{name}: {diverged}"))?;
    replays.sort_by_key(|replay| replay.measured);
    let median = replays[replays.len() / 2];
    let engine_seconds = median.measured.as_secs_f64();
    let engine_in_simulation = (median.before + median.measured).as_secs_f64();
    Ok(Measured {
        workload: name,
        size: workload.size,
        counts: median.counts,
        engine_seconds,
        engine_seconds_each: replays.iter().map(|replay| replay.measured.as_secs_f64()).collect(),
        decisions_per_engine_second: median.counts.decisions as f64 / engine_seconds,
        simulator_seconds: (played.as_secs_f64() - engine_in_simulation).max(0.0),
    })
}

fn replay(simulation: &Simulation, workload: &Workload) -> Result<muster_sim::Replayed, Diverged> {
    let journal = simulation.journal().expect("a simulation with a journal");
    journal.replay(simulation.settings(), workload.from, thread_time)
}

/// The processor time of this thread: what others do on the machine does not count, except for what they do to the caches.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn parameter(text: &str) -> Result<(String, u64), String> {
    let (name, number) = text.split_once('=').ok_or("wanted is PARAMETER=NUMBER")?;
    let number = number.parse().map_err(|error| format!("{number:?}: {error}"))?;
    Ok((name.to_owned(), number))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads")
}

fn path_of(name: &str) -> PathBuf {
    let own = folder().join(format!("{name}.yaml"));
    if own.exists() { own } else { PathBuf::from(name) }
}

fn all_workloads() -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder()).map_err(|error| format!("{}: {error}", folder().display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(|error| error.to_string()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Source, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    Ok(Source { name, text })
}
