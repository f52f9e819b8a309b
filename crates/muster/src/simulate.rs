//! `muster simulate`: the same scheduler over a simulated cluster in virtual time.

mod trace;
mod what_if;

use crate::text;
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use muster_config::Configuration;
use muster_framework::rules::KubeMinor;
use muster_sim::{Loaded, Progress, Report, Scenario, Simulation, Source, Span, table};
use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Play a scenario on a simulated cluster, and say where every pod goes and why the others wait.
///
/// FILEs hold ordinary Kubernetes YAML: nodes, pods, jobs, deployments, workloads, priority classes. The annotation
/// sim.muster.dev/at says when an object appears, sim.muster.dev/until when it is deleted, sim.muster.dev/run-for how
/// long a pod runs. Time is virtual: an hour takes no longer than its events. No cluster is needed.
///
/// With --from-snapshot, a file of muster snapshot stands in for the FILEs: where would the pods go that wait, what if
/// something were different, and how many more would fit? With --trace and --nodes, a public cluster trace does.
///
/// Exit codes: 0 it ran; 1 a pod waits and --expect-all-bound was given; 2 the input is wrong.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The scenario; several files are one scenario, `-` is the standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["from_snapshot", "trace"])]
    files: Vec<PathBuf>,

    /// How to print what came of it
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,

    /// End after this much virtual time, for example 5m, whatever is still going on
    #[arg(long, value_name = "SPAN")]
    until: Option<Span>,

    /// Break ties by this seed instead of the one in the scenario or the configuration
    #[arg(long)]
    seed: Option<u64>,

    /// A KubeSchedulerConfiguration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Answer to this scheduler name too: pods that name another scheduler are left waiting. Pods that name none are
    /// given to the first name that the configuration has
    #[arg(long, value_name = "NAME")]
    scheduler_name: Vec<String>,

    /// Take an object of a kind that is not simulated for an error
    #[arg(long)]
    strict: bool,

    /// Exit with 1 if any pod waits in the end, or an object was refused
    #[arg(long)]
    expect_all_bound: bool,

    /// Print no warnings and no progress
    #[arg(short, long)]
    quiet: bool,

    /// Show no progress bar
    #[arg(long)]
    no_progress: bool,

    #[command(flatten)]
    what_if: what_if::WhatIfArgs,

    #[command(flatten)]
    trace: trace::TraceArgs,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// Columns; long runs of twins are folded
    Table,
    /// Columns, with every row and every column
    Wide,
    /// JSON, with everything
    Json,
}

/// The exit code for input that cannot be read.
const WRONG_INPUT: u8 = 2;

/// Runs the command.
///
/// # Errors
/// The report cannot be written.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.what_if.is_wanted() {
        return what_if::run(&args);
    }
    if args.trace.is_wanted() {
        return trace::run(&args);
    }
    let mut stderr = std::io::stderr();
    let prepared = prepare(&args);
    let (mut simulation, warnings) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            writeln!(stderr, "error: {error:#}")?;
            return Ok(ExitCode::from(WRONG_INPUT));
        }
    };
    for warning in warnings.iter().filter(|_| !args.quiet) {
        writeln!(stderr, "warning: {warning}")?;
    }
    let bar = Bar::new(!args.quiet && !args.no_progress);
    let report = simulation.run(|progress| bar.show(progress));
    bar.clear();
    match write(&report, args.output) {
        // Whoever reads has seen enough: `muster simulate … | head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.context("the report cannot be written")?,
    }
    let waits = 0 < report.totals.waiting + report.totals.not_ours || !report.refused.is_empty();
    Ok(if args.expect_all_bound && waits {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Reads everything; what comes out can run.
fn prepare(args: &Args) -> anyhow::Result<(Simulation, Vec<String>)> {
    let configuration = configuration(args, None)?;
    let mut warnings: Vec<String> = configuration.warnings.iter().map(ToString::to_string).collect();
    let settings = configuration.engine_settings(KubeMinor::default());
    let sources = args
        .files
        .iter()
        .map(|path| source(path))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let Loaded {
        mut scenario,
        warnings: left_out,
    } = Scenario::load(&sources, args.strict)?;
    warnings.extend(left_out);
    scenario.seed = args.seed.or(scenario.seed);
    if let Some(until) = args.until {
        scenario.until = Some(muster_engine::Time::ZERO + until.0);
    }
    Ok((Simulation::new(scenario, settings), warnings))
}

/// The configuration that `--config` names, else `or_else`, else the default; with the names of `--scheduler-name`.
fn configuration(args: &Args, or_else: Option<Configuration>) -> anyhow::Result<Configuration> {
    let mut configuration = match &args.config {
        Some(path) => {
            let (name, text) = text::read(path)?;
            muster_config::load(&text).context(name)?
        }
        None => or_else.unwrap_or_default(),
    };
    for name in &args.scheduler_name {
        if !configuration.scheduler_names().any(|known| known == name) {
            configuration.profiles.push(muster_config::Profile::named(name));
        }
    }
    Ok(configuration)
}

fn source(path: &Path) -> anyhow::Result<Source> {
    let (name, text) = text::read(path)?;
    Ok(Source { name, text })
}

fn write(report: &Report, output: Output) -> std::io::Result<()> {
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    match output {
        Output::Table => write!(stdout, "{}", table(report, false))?,
        Output::Wide => write!(stdout, "{}", table(report, true))?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, report)?;
            writeln!(stdout)?;
        }
    }
    stdout.flush()
}

/// So much has to happen before it is said anew what time it is.
const SAID_EVERY: u64 = 256;

/// A progress bar, on the standard error of a terminal and nowhere else.
struct Bar {
    drawn: Option<ProgressBar>,
    /// How much had happened when it was last said what time it is.
    said: Cell<u64>,
}

impl Bar {
    fn new(wanted: bool) -> Bar {
        let is_drawn = wanted && std::io::stderr().is_terminal();
        Bar {
            drawn: is_drawn.then(progress_bar),
            said: Cell::new(0),
        }
    }

    fn show(&self, progress: Progress) {
        let Some(bar) = &self.drawn else { return };
        // What is drawn is drawn by the tick; here only numbers change, thousands of times a second.
        bar.set_length(u64::try_from(progress.pods).unwrap_or(u64::MAX));
        bar.set_position(u64::try_from(progress.placed).unwrap_or(u64::MAX));
        if SAID_EVERY <= progress.done.saturating_sub(self.said.get()) {
            bar.set_message(format!("{} of virtual time", progress.now));
            self.said.set(progress.done);
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.drawn {
            bar.finish_and_clear();
        }
    }
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{msg:28} {wide_bar} {pos}/{len} pods have a node");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
