//! One run of a bench: a control plane that nobody has used, all objects made, and then a scheduler that starts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::audit::Writes;
use super::case::{Cell, RUNNING};
use super::checker::{self, Bind, Judgement};
use super::contestant::{Contestant, Programs, SCHEDULER_NAME};
use crate::binaries::{self, Program};
use crate::control_plane::{ControlPlane, Options};
use crate::nest::{self, Process};

/// How often the audit log is looked at: seldom, the processors belong to those who are measured.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After the objects are made: time for the API server to settle down.
const REST: Duration = Duration::from_secs(2);
/// A scheduler has written all that it has to write when it was silent for so long.
const SILENCE: Duration = Duration::from_secs(1);
/// How long it may go on writing after the last bind.
const AFTERMATH: Duration = Duration::from_secs(60);
/// In so many equal steps the way to the last bind is kept.
const CURVE_STEPS: usize = 40;

/// The path of the pods of a bench.
const PODS: &str = "/api/v1/namespaces/default/pods";

/// What came of a run. Times are in seconds and begin with the scheduler's process; figures per bind are left to readers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Pods bound.
    pub(super) bound: usize,
    /// Pods that were to be bound.
    pub(super) of: usize,
    /// Until the first bind.
    pub(super) first_s: Option<f64>,
    /// Until the last bind.
    pub(super) last_s: Option<f64>,
    /// Until the first bind, and then until each fortieth of the binds was done.
    pub(super) curve_s: Vec<f64>,
    /// The processor time of the scheduler, until it has written all that it has to write.
    pub(super) cpu_s: f64,
    /// The most memory that the scheduler had, in KiB.
    pub(super) peak_kib: u64,
    /// Its requests that write, by what they do.
    pub(super) writes: BTreeMap<String, usize>,
    /// Binds that the API server refused.
    pub(super) refused_binds: usize,
    /// Whether the placements are right; none where nothing is decided.
    pub(super) judgement: Option<Judgement>,
}

impl Outcome {
    /// Binds a second, from the first to the last.
    pub(super) fn rate(&self) -> Option<f64> {
        let seconds = self.last_s? - self.first_s?;
        (self.bound > 1 && seconds > 0.0).then(|| (self.bound - 1) as f64 / seconds)
    }

    /// Binds a second, from the start of the scheduler to the last bind.
    pub(super) fn rate_from_start(&self) -> Option<f64> {
        Some(self.bound as f64 / self.last_s?)
    }

    /// Processor seconds for a thousand binds.
    pub(super) fn cpu_per_thousand(&self) -> Option<f64> {
        (self.bound > 0).then(|| self.cpu_s * 1000.0 / self.bound as f64)
    }

    /// Requests that write, for each pod that was bound.
    pub(super) fn writes_per_pod(&self) -> Option<f64> {
        (self.bound > 0).then(|| self.writes.values().sum::<usize>() as f64 / self.bound as f64)
    }

    /// What makes the figures worthless, if anything does: a wrong placement, or pods that were never bound.
    pub(super) fn failure(&self) -> Option<String> {
        let wrong = self.judgement.as_ref().and_then(|judgement| judgement.wrong.as_ref());
        let missing = || format!("only {} of {} pods were bound", self.bound, self.of);
        match wrong {
            Some(wrong) => Some(format!("wrong: {wrong}")),
            None => (self.bound < self.of).then(missing),
        }
    }
}

/// Runs one scheduler until all pods are bound, or none was for as long as `patience`.
pub(super) fn run(cell: &Cell, programs: &Programs, contestant: Contestant, patience: Duration) -> Result<Outcome> {
    let setting = cell.setting()?;
    let plane = ControlPlane::start(&Options {
        kube: setting.kube,
        // They would take the processors from those who are measured, and nothing here needs them.
        controller_manager: false,
        kwok: false,
        kube_scheduler_name: SCHEDULER_NAME.to_owned(),
        audit_writes: true,
        ..Options::default()
    })?;
    plane.create_nodes(&setting.nodes)?;
    for (path, objects) in &setting.objects {
        plane.api().post_all(path, objects)?;
    }
    plane.api().post_all(PODS, &setting.bound)?;
    plane.api().post_all(PODS, &setting.pods)?;
    let launch = programs.launch(contestant, cell.case, &plane)?;
    let mut writes = Writes::open(&plane.audit_log())?;
    // Machines that take memory back from what was idle would have the disk measured: it delayed starts by seconds.
    let api_server = binaries::ensure(Program::KubeApiserver, setting.kube)?;
    for program in [&launch.program, &api_server] {
        read_through(program)?;
    }
    sleep(REST);

    let started = Timestamp::now();
    let mut process = plane.launch(&launch)?;
    watch_binds(&mut writes, &mut process, setting.pods.len(), patience)
        .with_context(|| format!("{contestant}; the end of its log:\n{}", nest::tail(&process.log(), 30)))?;
    let (cpu, peak_kib) = used(process.pid())?;
    process.kill()?;
    let binds = binds(plane.api().get(PODS)?)?;
    let judgement = contestant.decides().then(|| checker::replay(&setting, &binds));

    let mut times: Vec<f64> = writes.bound_at.iter().map(|at| seconds_between(started, *at)).collect();
    times.sort_by(f64::total_cmp);
    Ok(Outcome {
        bound: binds.len(),
        of: setting.pods.len(),
        first_s: times.first().copied(),
        last_s: times.last().copied(),
        curve_s: curve(&times),
        cpu_s: cpu.as_secs_f64(),
        peak_kib,
        writes: writes.by_kind,
        refused_binds: writes.refused_binds,
        judgement: judgement.transpose()?,
    })
}

/// Brings a file into the memory of the machine.
fn read_through(path: &Path) -> Result<()> {
    let copied = File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
    copied.with_context(|| format!("reading {}", path.display()))?;
    Ok(())
}

/// In thousandths: more would only look exact.
fn seconds_between(start: Timestamp, end: Timestamp) -> f64 {
    end.duration_since(start).as_millis() as f64 / 1000.0
}

/// The first, and then those at equal distances up to the last.
fn curve(times: &[f64]) -> Vec<f64> {
    let Some(last) = times.len().checked_sub(1) else {
        return Vec::new();
    };
    (0..=CURVE_STEPS).map(|step| times[last * step / CURVE_STEPS]).collect()
}

/// Waits for the last bind and for what follows it, or until there was no bind for too long.
fn watch_binds(writes: &mut Writes, process: &mut Process, n_pods: usize, patience: Duration) -> Result<()> {
    let mut progress = Instant::now();
    while writes.bound_at.len() < n_pods && progress.elapsed() < patience {
        sleep(LOOK_EVERY);
        process.expect_running()?;
        let before = writes.bound_at.len();
        writes.read_on()?;
        if writes.bound_at.len() > before {
            progress = Instant::now();
        }
    }
    while writes.last_seen.elapsed() < SILENCE && progress.elapsed() < AFTERMATH {
        sleep(LOOK_EVERY);
        process.expect_running()?;
        writes.read_on()?;
    }
    Ok(())
}

/// Where the pods of the scheduler are, in the order in which that was stored: the audit log counts answers, this is what
/// the API server has.
fn binds(mut pods: Value) -> Result<Vec<Bind>> {
    let pods = pods["items"].as_array_mut().context("a list has items")?;
    let mut binds = Vec::new();
    for pod in pods {
        let text = |path: &str| pod.pointer(path).and_then(Value::as_str);
        let Some(node) = text("/spec/nodeName") else { continue };
        let name = text("/metadata/name").context("a pod has a name")?;
        if name.starts_with(RUNNING) {
            continue;
        }
        // Nobody writes to a pod that is bound, so its version is that of its binding.
        let version = text("/metadata/resourceVersion").context("a pod has a version")?;
        let version: u64 = version.parse().context("reading the version of a pod")?;
        let bind = Bind {
            pod: name.to_owned(),
            node: node.to_owned(),
        };
        binds.push((version, bind));
    }
    binds.sort_by_key(|(version, _)| *version);
    Ok(binds.into_iter().map(|(_, bind)| bind).collect())
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

    #[test]
    fn binds_are_in_the_order_of_their_versions() {
        let pod = |name: &str, version: &str, node: Option<&str>| {
            serde_json::json!({
                "metadata": { "name": name, "resourceVersion": version },
                "spec": node.map_or(serde_json::json!({}), |node| serde_json::json!({ "nodeName": node })),
            })
        };
        let pods = [
            pod("pod-0", "100", Some("b")),
            pod("pod-1", "99", Some("a")),
            pod("pod-2", "1", None),
            pod("bound-0", "2", Some("a")),
        ];
        let binds = binds(serde_json::json!({ "items": pods })).unwrap();
        let binds: Vec<_> = binds
            .iter()
            .map(|bind| (bind.pod.as_str(), bind.node.as_str()))
            .collect();
        assert_eq!(binds, [("pod-1", "a"), ("pod-0", "b")]);
    }

    #[test]
    fn a_curve_goes_from_the_first_to_the_last() {
        assert_eq!(curve(&[]), [0.0; 0]);
        assert_eq!(curve(&[0.5]), [0.5; CURVE_STEPS + 1]);
        let times: Vec<f64> = (0..=80).map(f64::from).collect();
        let curve = curve(&times);
        assert_eq!((curve[0], curve[1], curve[CURVE_STEPS]), (0.0, 2.0, 80.0));
    }

    #[test]
    fn figures_are_per_bind() {
        let outcome = Outcome {
            bound: 101,
            of: 101,
            first_s: Some(1.0),
            last_s: Some(3.0),
            curve_s: Vec::new(),
            cpu_s: 0.202,
            peak_kib: 0,
            writes: BTreeMap::from([
                ("create pods/binding".to_owned(), 101),
                ("create events".to_owned(), 101),
            ]),
            refused_binds: 0,
            judgement: None,
        };
        assert_eq!(outcome.rate(), Some(50.0));
        assert_eq!(outcome.cpu_per_thousand(), Some(2.0));
        assert_eq!(outcome.writes_per_pod(), Some(2.0));
        assert_eq!(outcome.failure(), None);
        let missing = Outcome {
            of: 102,
            ..outcome.clone()
        };
        assert_eq!(missing.failure().as_deref(), Some("only 101 of 102 pods were bound"));
        let judgement = Judgement {
            wrong: Some("pod-1 on node-0: it does not fit".to_owned()),
            ..Judgement::default()
        };
        let wrong = Outcome {
            judgement: Some(judgement),
            ..outcome
        };
        assert_eq!(
            wrong.failure().as_deref(),
            Some("wrong: pod-1 on node-0: it does not fit")
        );
    }
}
