//! Runs many worlds of faults; `cargo xtask simulate-faults` builds and starts it.
#![allow(clippy::print_stdout)]

use clap::Parser;
use muster_engine::Settings;
use muster_sim::faults::{Failure, FaultKind, Profile, Script, Tally, World, run_seed, shrink};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Runs many worlds of faults, each from a seed, and shrinks the first that goes wrong.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What goes wrong how often: default, calm, storm, crashes.
    #[arg(long, default_value = "default")]
    profile: String,
    /// Goes on until so many faults have struck, whatever the number of seeds.
    #[arg(long)]
    faults: Option<u64>,
    /// Prints what happens in the world of `--seed`.
    #[arg(long)]
    trace: bool,
    /// Threads; each takes the next seed.
    #[arg(long)]
    threads: Option<usize>,
    /// Goes on after a failure, and says at the end which seeds failed.
    #[arg(long)]
    keep_going: bool,
    /// Leaves a failing world as it is.
    #[arg(long)]
    no_shrink: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(profile) = Profile::named(&args.profile) else {
        eprintln!("error: there is no profile {:?}", args.profile);
        return ExitCode::FAILURE;
    };
    let settings =
        muster_config::Configuration::default().engine_settings(muster_framework::rules::KubeMinor::default());
    if args.trace {
        return trace(&args, &profile, &settings);
    }
    let started = Instant::now();
    let (tally, mut failures) = run_all(&args, &profile, &settings);
    failures.sort_by_key(|failure| failure.script.seed);
    report(&tally, started.elapsed().as_secs_f64());
    if let Some(failure) = failures.first() {
        tell(failure.clone(), &args, &profile, &settings);
        for failure in &failures {
            println!("seed {}: {}", failure.script.seed, failure.breach);
        }
        println!("{} violations", failures.len());
        return ExitCode::FAILURE;
    }
    println!("0 violations");
    let missing = tally.missing();
    if !missing.is_empty() && args.profile == "default" {
        println!("never struck: {missing:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn trace(args: &Args, profile: &Profile, settings: &Settings) -> ExitCode {
    let mut world = World::of(&Script::of(args.seed), profile, settings, true);
    let result = world.run();
    print!("{}", world.trace());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(breach) => {
            println!("seed {}: {breach}", args.seed);
            ExitCode::FAILURE
        }
    }
}

/// Threads take seeds in turn; what comes of them does not depend on how many there are.
fn run_all(args: &Args, profile: &Profile, settings: &Settings) -> (Tally, Vec<Failure>) {
    let threads = args.threads.unwrap_or_else(|| {
        let there_are = std::thread::available_parallelism();
        there_are.map_or(1, std::num::NonZero::get)
    });
    let next = AtomicU64::new(args.seed);
    let struck = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let found = Mutex::new((Tally::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_enough = match args.faults {
                        Some(faults) => faults <= struck.load(Ordering::Relaxed),
                        None => args.seed + args.seeds <= seed,
                    };
                    if is_enough {
                        return;
                    }
                    let outcome = run_seed(seed, profile, settings);
                    struck.fetch_add(outcome.tally.total(), Ordering::Relaxed);
                    if outcome.failure.is_some() && !args.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                    if let Ok(mut found) = found.lock() {
                        found.0.add(&outcome.tally);
                        found.1.extend(outcome.failure);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_default()
}

fn report(tally: &Tally, seconds: f64) {
    println!("{:<22}{:>10}", "fault", "injected");
    for kind in FaultKind::ALL {
        let count = tally.faults.get(&kind).copied().unwrap_or(0);
        println!("{:<22}{count:>10}", kind.name());
    }
    for (excuse, count) in &tally.excuses {
        println!("excused: {:<22}{count:>6}", excuse.to_string());
    }
    println!(
        "{} worlds, {} faults, {} binds in {seconds:.1} s: {:.0} faults/s",
        tally.worlds,
        tally.total(),
        tally.binds,
        tally.total() as f64 / seconds.max(0.001)
    );
}

fn tell(failure: Failure, args: &Args, profile: &Profile, settings: &Settings) {
    println!(
        "\nseed {} (profile {}): {}",
        failure.script.seed, profile.name, failure.breach
    );
    if args.no_shrink {
        return;
    }
    let shrunk = shrink(failure, profile, settings);
    let script = &shrunk.failure.script;
    println!(
        "shrunk by {} runs to {} acts and {} faults: {}\n{}",
        shrunk.runs,
        script.acts.as_ref().map_or(0, |acts| acts.len()),
        script.faults.as_ref().map_or(0, |faults| faults.len()),
        shrunk.failure.breach,
        shrunk.trace
    );
}
