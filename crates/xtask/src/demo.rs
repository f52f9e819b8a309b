//! `cargo xtask demo`: a gang of eight that waits while there is room for seven, and starts as a whole with the eighth.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

use crate::api::Api;
use crate::control_plane::{self, ControlPlane, Options};
use crate::manifest::text;
use crate::nest::{Launch, Process};
use crate::simulated_node::SimulatedNode;
use crate::test::build_muster;

/// How to show it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the control plane and the scheduler running, to look around.
    #[arg(long)]
    keep: bool,
    /// Who schedules: Muster, or upstream's scheduler for comparison.
    #[arg(long, value_enum, default_value_t = Scheduler::Muster)]
    scheduler: Scheduler,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scheduler {
    Muster,
    KubeScheduler,
}

/// The name of the control plane that `--keep` leaves behind.
const NAME: &str = "demo";
const COMMON_NODES: usize = 100;
/// Common nodes are too small for a worker; each of these has room for one.
const LARGE_NODES: usize = 7;
const WORKERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the gang is watched while it must not start.
const WATCH: Duration = Duration::from_secs(3);
const PODS: &str = "/api/v1/namespaces/demo/pods";

/// Shows the story from an empty machine to a running gang.
pub fn run(args: &Args) -> Result<()> {
    let binary = match args.scheduler {
        Scheduler::Muster => Some(build_muster()?),
        Scheduler::KubeScheduler => None,
    };
    let control_plane = start(args)?;
    // The process lives as long as the control plane; this is only the handle.
    let mut scheduler = binary.map(|binary| start_muster(&control_plane, binary)).transpose()?;
    let story = tell(&control_plane, scheduler.as_mut());
    if let Some(Err(error)) = scheduler.as_mut().map(Process::expect_running) {
        return Err(error.context("the scheduler did not live to the end of the story"));
    }
    story?;
    if args.keep {
        let kubeconfig = control_plane.kubeconfig().to_owned();
        control_plane.give_away()?;
        say(&format!(
            "It is all still there: export KUBECONFIG={}",
            kubeconfig.display()
        ))?;
        return say(&format!(
            "Take it down with: cargo xtask control-plane down --name {NAME}"
        ));
    }
    drop(control_plane);
    say("Everything is taken down again.")
}

fn start(args: &Args) -> Result<ControlPlane> {
    if args.keep && control_plane::exists(NAME)? {
        bail!("an earlier demo is still up: cargo xtask control-plane down --name {NAME}");
    }
    let options = Options {
        nodes: COMMON_NODES,
        name: args.keep.then(|| NAME.to_owned()),
        kube_scheduler: args.scheduler == Scheduler::KubeScheduler,
        kube_scheduler_name: "muster".to_owned(),
        ..Options::default()
    };
    let control_plane = ControlPlane::start(&options)?;
    let large: Vec<_> = (0..LARGE_NODES).map(large_node).collect();
    control_plane.create_nodes(&large)?;
    let release = options.kube.release();
    say(&format!(
        "Kubernetes {release} is up, with {COMMON_NODES} nodes of 4 CPU and {LARGE_NODES} of 8."
    ))?;
    Ok(control_plane)
}

fn large_node(i: usize) -> SimulatedNode {
    SimulatedNode::new(format!("large-{i}"))
        .cpu("8")
        .memory("64Gi")
        .zone("zone-0")
}

fn start_muster(control_plane: &ControlPlane, binary: PathBuf) -> Result<Process> {
    let kubeconfig = control_plane.muster_kubeconfig()?;
    let launch = Launch {
        name: "muster".to_owned(),
        program: binary,
        args: vec![
            "run".to_owned(),
            "--kubeconfig".to_owned(),
            kubeconfig.display().to_string(),
            // It is alone.
            "--leader-elect=false".to_owned(),
        ],
        ..Launch::default()
    };
    let process = control_plane.launch(&launch)?;
    say("Muster runs with the permissions of deploy/muster.yaml.")?;
    Ok(process)
}

fn tell(control_plane: &ControlPlane, mut scheduler: Option<&mut Process>) -> Result<()> {
    let api = control_plane.api();
    say(&format!(
        "A Workload asks for {WORKERS} workers or none, 6 CPU each; a Job makes the pods."
    ))?;
    control_plane.apply(include_str!("../assets/demo.yaml"))?;
    let all_made = |api: &Api| Ok((api.get(PODS)?["items"].as_array().map(Vec::len) == Some(WORKERS)).then_some(()));
    api.wait_until("the job has made its pods", PATIENCE, all_made)?;
    watch_the_gang_wait(api)?;
    if let Some(process) = scheduler.as_mut() {
        process.expect_running()?;
    }
    let message = api.wait_until("the pods say why they wait", PATIENCE, |api| {
        Ok(reason(&api.get(PODS)?))
    })?;
    say(&format!("Bound: 0 of {WORKERS}. Why:\n    {message}"))?;
    say("One more large node joins.")?;
    control_plane.create_nodes(&[large_node(LARGE_NODES)])?;
    let joined = Instant::now();
    let all_bound = |api: &Api| Ok(Some(api.get(PODS)?).filter(|pods| bound(pods).len() == WORKERS));
    let pods = api.wait_until("the whole gang is bound", PATIENCE, all_bound)?;
    say(&format!(
        "Bound: {WORKERS} of {WORKERS}, {:.1} s after the node joined.",
        joined.elapsed().as_secs_f64()
    ))?;
    for (pod, node) in bound(&pods) {
        say(&format!("    {pod} → {node}"))?;
    }
    Ok(())
}

/// There is room for seven, and not one of them may be bound.
fn watch_the_gang_wait(api: &Api) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < WATCH {
        let bound = bound(&api.get(PODS)?).len();
        if bound != 0 {
            bail!("{bound} of {WORKERS} workers are bound while there is no room for all");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// The bound pods of a list: their names, and their nodes' names.
fn bound(pods: &Value) -> BTreeSet<(String, String)> {
    let items = pods["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|pod| {
            let node = text(pod, "/spec/nodeName").ok()?;
            Some((text(pod, "/metadata/name").ok()?.to_owned(), node.to_owned()))
        })
        .collect()
}

/// What the first pod that says anything says about not being scheduled.
fn reason(pods: &Value) -> Option<String> {
    let conditions = pods["items"]
        .as_array()?
        .iter()
        .filter_map(|pod| pod["status"]["conditions"].as_array())
        .flatten();
    let mut scheduled = conditions.filter(|condition| condition["type"] == "PodScheduled");
    scheduled.find_map(|condition| text(condition, "/message").ok().map(str::to_owned))
}

fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to the standard output")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bound_pods_and_the_reason_of_the_others_are_read() {
        let pods = json!({"items": [
            {"metadata": {"name": "a"}, "spec": {"nodeName": "n"}, "status": {"conditions": []}},
            {"metadata": {"name": "b"}, "spec": {}, "status": {"conditions": [
                {"type": "Ready", "message": "no"},
                {"type": "PodScheduled", "status": "False", "message": "no room"},
            ]}},
        ]});
        assert_eq!(bound(&pods), BTreeSet::from([("a".to_owned(), "n".to_owned())]));
        assert_eq!(reason(&pods), Some("no room".to_owned()));
        assert_eq!(reason(&json!({"items": []})), None);
    }

    #[test]
    fn the_manifest_of_the_demo_fits_its_story() {
        let objects = crate::manifest::parse(include_str!("../assets/demo.yaml")).unwrap();
        assert_eq!(
            objects[1]["spec"]["podGroups"][0]["policy"]["gang"]["minCount"],
            WORKERS
        );
        assert_eq!(objects[2]["spec"]["parallelism"], WORKERS);
    }
}
