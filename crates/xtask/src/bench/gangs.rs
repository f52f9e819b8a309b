//! `cargo xtask bench gangs`: from the start of a scheduler to the last bind of gangs whose pods are all there.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::contestant::{Contestant, Programs, SCHEDULER_NAME};
use super::race::{self, Measured, Setting};
use crate::binaries;
use crate::control_plane::Options;
use crate::kube_minor::KubeMinor;
use crate::pod_group::gang;
use crate::simulated_node::SimulatedNode;
use crate::steps::step;

/// The zones that the nodes are dealt out to.
const N_ZONES: usize = 10;

/// How many of what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The Kubernetes minor: 1.35, 1.36 or 1.37.
    #[arg(long, default_value_t)]
    kube: KubeMinor,
    /// The number of simulated nodes, of 4 CPU each.
    #[arg(long, default_value_t = 1000)]
    nodes: usize,
    /// The number of gangs.
    #[arg(long, default_value_t = 3)]
    gangs: usize,
    /// The members of each gang, of 100m CPU each; all of them are needed.
    #[arg(long, default_value_t = 1000)]
    members: usize,
    /// How many runs of each scheduler, in turns.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
}

/// Runs the pairs and prints each run, the ratios, and their median.
pub(super) fn run(args: &Args) -> Result<()> {
    if [args.nodes, args.gangs, args.members, args.pairs].contains(&0) {
        bail!("there must be at least one node, one gang, one member and one pair");
    }
    // So that what is timed is the runs and not the builds.
    let programs = step("release build of the schedulers", Programs::build)?;
    for program in Options::default().programs() {
        binaries::ensure(program, args.kube)?;
    }
    let setting = setting(args)?;
    say(&format!(
        "Kubernetes {}, {} nodes, {} gangs of {}; release builds; load before: {}",
        args.kube.release(),
        args.nodes,
        args.gangs,
        args.members,
        load()
    ))?;
    say("pair  scheduler  first, s  last, s  binds/s  refused  CPU, s  peak, MB")?;
    let mut ratios = Vec::new();
    for pair in 1..=args.pairs {
        let measure = |contestant| -> Result<Measured> {
            let measured = race::run(&setting, &programs, contestant)?;
            say(&row(pair, contestant, &measured))?;
            Ok(measured)
        };
        // Whoever is second may profit or suffer from the first: by turns.
        let (muster, null) = if pair % 2 == 1 {
            let null = measure(Contestant::Null)?;
            (measure(Contestant::Muster)?, null)
        } else {
            let muster = measure(Contestant::Muster)?;
            (muster, measure(Contestant::Null)?)
        };
        ratios.push(muster.last.as_secs_f64() / null.last.as_secs_f64());
    }
    let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    say(&format!(
        "start to last bind, Muster by the null scheduler: {}; median {:.2}",
        each.join(", "),
        median(ratios)
    ))
}

fn setting(args: &Args) -> Result<Setting> {
    let nodes = (0..args.nodes).map(|n| SimulatedNode::new(format!("node-{n}")).zone(&format!("zone-{}", n % N_ZONES)));
    let min_count = i32::try_from(args.members).context("so many members cannot be asked for")?;
    let name = |n: usize| format!("gang-{n}");
    let policies = (0..args.gangs).map(|n| args.kube.group_policy(&name(n), &gang(min_count)));
    let pods = (0..args.gangs).flat_map(|n| (0..args.members).map(move |m| (n, m)));
    Ok(Setting {
        kube: args.kube,
        nodes: nodes.collect(),
        objects: vec![(args.kube.group_policies_path("default"), policies.collect())],
        pods: pods
            .map(|(n, m)| args.kube.member_of(pod(&format!("{}-{m}", name(n))), &name(n)))
            .collect(),
    })
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "schedulerName": SCHEDULER_NAME,
            "containers": [{
                "name": "main",
                "image": "registry.k8s.io/pause:3.10",
                "resources": { "requests": { "cpu": "100m" } },
            }],
        },
    })
}

fn row(pair: usize, contestant: Contestant, measured: &Measured) -> String {
    format!(
        "{pair:>4}  {contestant:<9}  {:>8.2}  {:>7.2}  {:>7.0}  {:>7}  {:>6.2}  {:>8}",
        measured.first.as_secs_f64(),
        measured.last.as_secs_f64(),
        measured.rate(),
        measured.n_refused,
        measured.cpu.as_secs_f64(),
        measured.peak_kib / 1024
    )
}

/// The middle one; of an even number the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The load of the machine in the last minute: a busy one measures something else.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to the standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn every_pod_is_a_member_of_a_gang_that_is_there() {
        let args = Args {
            kube: KubeMinor::V1_37,
            nodes: 2,
            gangs: 2,
            members: 3,
            pairs: 1,
        };
        let setting = setting(&args).unwrap();
        let names = |values: &[Value], at: &str| -> Vec<String> {
            let mut names: Vec<_> = values
                .iter()
                .map(|value| value.pointer(at).unwrap().to_string())
                .collect();
            names.dedup();
            names
        };
        let (_, policies) = &setting.objects[0];
        assert_eq!(
            names(policies, "/metadata/name"),
            names(&setting.pods, "/spec/schedulingGroup/podGroupName")
        );
        assert_eq!((setting.nodes.len(), setting.pods.len()), (2, 6));
    }
}
