//! Runs many histories; `cargo xtask batch-exactness` builds and starts it.
#![allow(clippy::print_stdout)]

use clap::Parser;
use muster_exactness::{Failure, History, Tally};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Runs histories until verdicts have made so many decisions, and shrinks the first that goes wrong.
#[derive(Debug, Parser)]
struct Args {
    /// How many decisions by verdicts.
    #[arg(long, default_value_t = 50_000)]
    decisions: u64,
    /// The seed.
    #[arg(long, default_value_t = 3)]
    seed: u64,
    /// Only the history of this number.
    #[arg(long)]
    history: Option<u64>,
    /// Threads; each takes the next history.
    #[arg(long)]
    threads: Option<usize>,
    /// Leaves a failing history as it is.
    #[arg(long)]
    no_shrink: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (tally, failure) = match args.history {
        Some(index) => match History::new(args.seed, index).run() {
            Ok(tally) => (tally, None),
            Err(failure) => (Tally::default(), Some(failure)),
        },
        None => run_all(&args),
    };
    println!("{tally}");
    if let Some(failure) = failure {
        println!("{failure}");
        if !args.no_shrink {
            println!("shrunk: {}", History::shrunk(failure));
        }
        return ExitCode::FAILURE;
    }
    let missing = tally.missing();
    if args.history.is_none() && !missing.is_empty() {
        println!("verdicts found no node for: {missing:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Threads take histories in turn. Of several that go wrong the first one counts.
fn run_all(args: &Args) -> (Tally, Option<Failure>) {
    let threads = args.threads.unwrap_or_else(|| {
        let there_are = std::thread::available_parallelism();
        there_are.map_or(1, std::num::NonZero::get)
    });
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let found: Mutex<(Tally, Vec<(u64, Failure)>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let outcome = History::new(args.seed, index).run();
                    let Ok(mut found) = found.lock() else { return };
                    match outcome {
                        Ok(tally) => found.0.add(&tally),
                        Err(failure) => found.1.push((index, failure)),
                    }
                    if found.0.by_verdict() >= args.decisions || !found.1.is_empty() {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (tally, failures) = found.into_inner().unwrap_or_default();
    let first = failures.into_iter().min_by_key(|(index, _)| *index);
    (tally, first.map(|(_, failure)| failure))
}
