//! `muster simulate --trace`: a public cluster trace in virtual time, with a report and a page of plots.

use super::{Args, Bar, Output, WRONG_INPUT, configuration, source};
use crate::text;
use anyhow::{Context as _, anyhow};
use muster_framework::rules::KubeMinor;
use muster_sim::{BadLines, Trace, TraceReport, TraceRun, aligned, page};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// The flags that are about traces.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "With a trace")]
pub(crate) struct TraceArgs {
    /// The pods of a trace, as CSV (docs/simulate.md lists the columns), in place of a scenario
    #[arg(long, value_name = "FILE", requires = "nodes", conflicts_with_all = ["files", "from_snapshot", "until", "strict"])]
    trace: Option<PathBuf>,

    /// The nodes of the trace, as CSV
    #[arg(long, value_name = "FILE", requires = "trace", conflicts_with = "files")]
    nodes: Option<PathBuf>,

    /// Count lines that make no sense, and leave them out
    #[arg(long, requires = "trace", conflicts_with = "files")]
    skip_bad_lines: bool,

    /// Write the report as one page with plots to this file
    #[arg(long, value_name = "FILE", requires = "trace", conflicts_with = "files")]
    html: Option<PathBuf>,
}

impl TraceArgs {
    pub(super) fn is_wanted(&self) -> bool {
        self.trace.is_some()
    }
}

/// Runs the command.
///
/// # Errors
/// The report or the page cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let run = match prepare(args) {
        Ok(run) => run,
        Err(error) => {
            text::tell(&format!("error: {error:#}\n"));
            return Ok(ExitCode::from(WRONG_INPUT));
        }
    };
    let bar = Bar::new(!args.quiet && !args.no_progress);
    let begun = Instant::now();
    let report = run.run(|progress| bar.show(progress));
    let took = begun.elapsed().as_secs_f64();
    bar.clear();
    if !args.quiet {
        let rate = report.pods as f64 / took.max(1e-9);
        text::tell(&format!(
            "{} pods in {took:.1} s: {rate:.0} pods a second\n",
            report.pods
        ));
    }
    if let Some(path) = &args.trace.html {
        let title = format!("muster simulate --trace {}", name(args.trace.trace.as_ref()));
        std::fs::write(path, page(&report, &title)).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    text::print(&match args.output {
        Output::Json => serde_json::to_string_pretty(&report)? + "\n",
        Output::Table | Output::Wide => table(&report),
    })?;
    Ok(if args.expect_all_bound && 0 < report.waiting {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn name(path: Option<&PathBuf>) -> String {
    let name = path.and_then(|path| path.file_name());
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn prepare(args: &Args) -> anyhow::Result<TraceRun> {
    let TraceArgs { trace, nodes, .. } = &args.trace;
    // Neither flag comes without the other.
    let (trace, nodes) = trace
        .as_ref()
        .zip(nodes.as_ref())
        .ok_or_else(|| anyhow!("--trace needs --nodes"))?;
    let bad_lines = if args.trace.skip_bad_lines {
        BadLines::Skip
    } else {
        BadLines::Refuse
    };
    let trace = Trace::load(&source(nodes)?, &source(trace)?, bad_lines)?;
    if !trace.skipped.is_empty() && !args.quiet {
        let count = trace.skipped.len();
        let lines = if count == 1 { "line is" } else { "lines are" };
        text::tell(&format!(
            "warning: {count} {lines} left out, the first: {}\n",
            trace.skipped[0]
        ));
    }
    let configuration = configuration(args, None)?;
    Ok(TraceRun::new(
        &trace,
        configuration.engine_settings(KubeMinor::default()),
        args.seed,
    ))
}

fn table(report: &TraceReport) -> String {
    let header = ["GANG SIZE", "PODS", "WAITING", "P50", "P90", "P99", "LONGEST"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(report.waits.iter().map(|waits| {
        let seconds = [waits.p50, waits.p90, waits.p99, waits.max].map(|value| format!("{value:.3}s"));
        let counts = [waits.gang_size, waits.pods, waits.waiting].map(|count| count.to_string());
        counts.into_iter().chain(seconds).collect()
    }));
    let mut text = aligned(&rows);
    text.push('\n');
    for (why, count) in &report.reasons {
        let _ = writeln!(text, "{count} wait: {why}");
    }
    let peak = |value: fn(&muster_sim::Sample) -> f64| report.samples.iter().map(value).fold(0.0, f64::max) * 100.0;
    let _ = writeln!(
        text,
        "At most in use when looked at: CPU {:.1}%, memory {:.1}%, GPU {:.1}%; fragmentation of {} at most {:.1}%.",
        peak(|sample| sample.cpu),
        peak(|sample| sample.memory),
        peak(|sample| sample.gpu),
        report.fragmentation_of,
        peak(|sample| sample.fragmentation),
    );
    let _ = writeln!(
        text,
        "{} pods on {} nodes in {:.0}s of virtual time: {} got a node, {} wait.",
        report.pods, report.nodes, report.virtual_seconds, report.bound, report.waiting
    );
    text
}
