//! One run of a bench: a control plane that nobody has used, all objects made, and then a scheduler that starts.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde_json::Value;

use super::audit::Bindings;
use super::contestant::{Contestant, Programs};
use crate::control_plane::{ControlPlane, Options};
use crate::kube_minor::KubeMinor;
use crate::nest::{self, Process};
use crate::simulated_node::SimulatedNode;

/// How long no pod may be bound before the run is given up.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the audit log is looked at: seldom, the processors belong to those who are measured.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After the objects are made: time for the API server to settle down.
const REST: Duration = Duration::from_secs(2);

/// What is there when the scheduler starts.
pub(super) struct Setting {
    /// The Kubernetes minor.
    pub(super) kube: KubeMinor,
    /// The nodes.
    pub(super) nodes: Vec<SimulatedNode>,
    /// Objects to be made before the pods, by the path of their collection.
    pub(super) objects: Vec<(String, Vec<Value>)>,
    /// The pods, all in one namespace, and all to be bound.
    pub(super) pods: Vec<Value>,
}

/// The path of the pods of a bench.
const PODS: &str = "/api/v1/namespaces/default/pods";

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    /// From the start of the scheduler's process to the first bind.
    pub(super) first: Duration,
    /// From the start of the scheduler's process to the last bind.
    pub(super) last: Duration,
    /// Pods bound.
    pub(super) n_bound: usize,
    /// Binds that the API server refused.
    pub(super) n_refused: usize,
    /// The processor time of the scheduler, up to the last bind or a little later.
    pub(super) cpu: Duration,
    /// The most memory that the scheduler had, in KiB.
    pub(super) peak_kib: u64,
}

impl Measured {
    /// Binds a second, counted from the start of the scheduler.
    pub(super) fn rate(&self) -> f64 {
        self.n_bound as f64 / self.last.as_secs_f64()
    }
}

/// Runs one scheduler to its last bind.
pub(super) fn run(setting: &Setting, programs: &Programs, contestant: Contestant) -> Result<Measured> {
    let plane = ControlPlane::start(&Options {
        kube: setting.kube,
        // They would take the processors from those who are measured, and nothing here needs them.
        controller_manager: false,
        kwok: false,
        audit_bindings: true,
        ..Options::default()
    })?;
    plane.create_nodes(&setting.nodes)?;
    for (path, objects) in &setting.objects {
        plane.api().post_all(path, objects)?;
    }
    plane.api().post_all(PODS, &setting.pods)?;
    let kubeconfig = plane.muster_kubeconfig()?;
    let mut bindings = Bindings::open(&plane.audit_log())?;
    sleep(REST);

    let started = Timestamp::now();
    let mut process = plane.launch(&programs.launch(contestant, &kubeconfig))?;
    wait_for_binds(&mut bindings, &mut process, setting.pods.len())
        .with_context(|| format!("{contestant}; the end of its log:\n{}", nest::tail(&process.log(), 30)))?;
    let (cpu, peak_kib) = used(process.pid())?;
    process.kill()?;
    check_that_all_are_bound(&plane)?;

    let since_start = |at: Option<&Timestamp>| -> Result<Duration> {
        let at = at.context("nothing was bound")?;
        Ok(Duration::try_from(at.duration_since(started))?)
    };
    Ok(Measured {
        first: since_start(bindings.bound_at.iter().min())?,
        last: since_start(bindings.bound_at.iter().max())?,
        n_bound: bindings.bound_at.len(),
        n_refused: bindings.n_refused,
        cpu,
        peak_kib,
    })
}

fn wait_for_binds(bindings: &mut Bindings, process: &mut Process, n_pods: usize) -> Result<()> {
    let mut progress = Instant::now();
    while bindings.bound_at.len() < n_pods {
        sleep(LOOK_EVERY);
        process.expect_running()?;
        let before = bindings.bound_at.len();
        bindings.read_on()?;
        if bindings.bound_at.len() > before {
            progress = Instant::now();
        } else if progress.elapsed() > PATIENCE {
            bail!(
                "{before} of {n_pods} pods were bound, and no further one for {} s",
                PATIENCE.as_secs()
            );
        }
    }
    Ok(())
}

/// The audit log counts answers. That each pod has its node is asked of the pods.
fn check_that_all_are_bound(plane: &ControlPlane) -> Result<()> {
    let pods = plane.api().get(PODS)?;
    let pods = pods["items"].as_array().context("a list has items")?;
    let waiting = pods.iter().filter(|pod| !pod["spec"]["nodeName"].is_string()).count();
    if waiting > 0 {
        bail!("{waiting} pods are not bound, though there were as many answers 201 as pods");
    }
    Ok(())
}

/// The processor time of a process, and its peak memory in KiB.
fn used(pid: u32) -> Result<(Duration, u64)> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    };
    Ok((
        cpu_time(&read("stat")?).context("reading the processor time")?,
        peak_kib(&read("status")?).context("reading the peak memory")?,
    ))
}

/// User and system time, by the `stat` of a process: in hundredths of a second on every Linux of today.
fn cpu_time(stat: &str) -> Option<Duration> {
    // The name of the process, in brackets, may hold anything. Counted from what follows it, utime is the 12th field.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

fn peak_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_used_is_read_from_proc() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 125 50 0 0 20 0 1 0 123456 5000 200";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(1750)));
        assert_eq!(peak_kib("Name:\tx\nVmHWM:\t   20480 kB\n"), Some(20_480));
        assert_eq!(peak_kib("Name:\tx\n"), None);
        let (cpu, peak) = used(std::process::id()).unwrap();
        assert!(cpu < Duration::from_secs(3600) && peak > 100);
    }
}
