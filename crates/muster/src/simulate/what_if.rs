//! `muster simulate --from-snapshot`: a snapshot, what if something were different, and how many more fit.

use super::{Args, Output, WRONG_INPUT, configuration, source};
use crate::{snapshot_file, text};
use anyhow::anyhow;
use muster_api::snapshot::Header;
use muster_engine::Settings;
use muster_sim::what_if::{Capacity, Comparison, Edit, NewNodes, Play, SnapshotNote, Unit, World};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The flags that are about snapshots. That each excludes scenarios has to be said: a requirement alone is waived where what is
/// required is excluded.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "With a snapshot")]
pub(crate) struct WhatIfArgs {
    /// A file of muster snapshot, in place of a scenario. Its configuration is taken unless --config names another
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "until", "strict"])]
    from_snapshot: Option<PathBuf>,

    /// What if there were this node too: NAME,cpu=16,memory=64Gi,label=KEY=VALUE, or like=NODE with what differs; count=N
    /// makes several. Edits are made in the order of these flags here
    #[arg(long, value_name = "NODE", requires = "from_snapshot", conflicts_with = "files")]
    add_node: Vec<NewNodes>,

    /// What if this node were gone: its pods that are the scheduler's wait anew, the others are gone with it
    #[arg(long, value_name = "NODE", requires = "from_snapshot", conflicts_with = "files")]
    remove_node: Vec<String>,

    /// What if this node took no new pods
    #[arg(long, value_name = "NODE", requires = "from_snapshot", conflicts_with = "files")]
    cordon: Vec<String>,

    /// What if a pod, or all pods of a group, were without a constraint: [NAMESPACE/]NAME:WHAT, where WHAT is spread, affinity,
    /// anti-affinity, node-affinity, host-ports, taints or gates
    #[arg(long, value_name = "CONSTRAINT", requires = "from_snapshot", conflicts_with = "files", value_parser = Edit::drop_constraint)]
    drop_constraint: Vec<Edit>,

    /// Say how many more of the pods of --file fit, all of them as a whole, and what stops the next
    #[arg(long, requires = "from_snapshot", requires = "file", conflicts_with = "files")]
    until_full: bool,

    /// A pod, or a whole gang with its PodGroup or Workload, for --until-full
    #[arg(short, long, value_name = "FILE", requires = "until_full", conflicts_with = "files")]
    file: Option<PathBuf>,

    /// Try no more than this many with --until-full
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 10_000,
        requires = "until_full",
        conflicts_with = "files"
    )]
    at_most: u32,
}

impl WhatIfArgs {
    pub(super) fn is_wanted(&self) -> bool {
        self.from_snapshot.is_some()
    }

    /// The edits, each with the flag that asks for it.
    fn edits(&self) -> impl Iterator<Item = (&'static str, Edit)> {
        let name = |name: &String| name.as_str().into();
        let added = self.add_node.iter().cloned().map(Edit::AddNodes);
        let removed = self.remove_node.iter().map(name).map(Edit::RemoveNode);
        let cordoned = self.cordon.iter().map(name).map(Edit::Cordon);
        let dropped = self.drop_constraint.iter().cloned();
        added
            .map(|edit| ("--add-node", edit))
            .chain(removed.map(|edit| ("--remove-node", edit)))
            .chain(cordoned.map(|edit| ("--cordon", edit)))
            .chain(dropped.map(|edit| ("--drop-constraint", edit)))
    }
}

/// Runs the command.
///
/// # Errors
/// The report cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let comparison = match compare(args) {
        Ok(comparison) => comparison,
        Err(error) => {
            text::tell(&format!("error: {error:#}\n"));
            return Ok(ExitCode::from(WRONG_INPUT));
        }
    };
    let printed = match args.output {
        Output::Table | Output::Wide => comparison.table(),
        Output::Json => serde_json::to_string_pretty(&comparison)? + "\n",
    };
    text::print(&printed)?;
    Ok(if args.expect_all_bound && 0 < comparison.after.waiting {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn compare(args: &Args) -> anyhow::Result<Comparison> {
    let flags = &args.what_if;
    let path = flags.from_snapshot.as_deref().unwrap_or(Path::new("-"));
    let snapshot = snapshot_file::read(path)?;
    let (note, header) = (SnapshotNote::of(&snapshot.header), snapshot.header.clone());
    let settings = settings(args, path, &header)?;
    let schedulers: Vec<_> = settings.scheduler_names().cloned().collect();
    let mut world = World::of(snapshot);
    let waited: Vec<String> = world
        .pods()
        .filter(|pod| pod.node_name.is_none() && schedulers.contains(&pod.scheduler_name))
        .map(|pod| format!("{}/{}", pod.namespace, pod.name))
        .collect();
    let before = settled(&world, &settings);
    let mut edits = Vec::new();
    for (flag, edit) in flags.edits() {
        edits.push(
            world
                .edit(&edit, &schedulers)
                .map_err(|wrong| anyhow!("{flag}: {wrong}"))?,
        );
    }
    let mut after = settled(&world, &settings);
    let mut comparison = Comparison::of(note, settings.seed, edits, &waited, &before, &after);
    if let Some(file) = &flags.file {
        let unit = Unit::load(&source(file)?, &schedulers)?;
        comparison.capacity = Some(Capacity::of(&mut after, &unit, flags.at_most, |_| {}));
    }
    Ok(comparison)
}

fn settled(world: &World, settings: &Settings) -> Play {
    let mut play = Play::new(world, settings);
    play.settle();
    play
}

fn settings(args: &Args, path: &Path, header: &Header) -> anyhow::Result<Settings> {
    let own = match &args.config {
        Some(_) => None,
        None => snapshot_file::configuration(path, header)?,
    };
    let configuration = configuration(args, own)?;
    for warning in configuration.warnings.iter().filter(|_| !args.quiet) {
        text::tell(&format!("warning: {warning}\n"));
    }
    if !configuration.extenders.is_empty() && !args.quiet {
        text::tell("warning: extenders are not asked\n");
    }
    let mut settings = configuration.engine_settings(header.kubernetes);
    settings.seed = args.seed.unwrap_or(settings.seed);
    Ok(settings)
}
