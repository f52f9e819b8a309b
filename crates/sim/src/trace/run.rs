//! A trace at play: what it becomes in the simulated cluster, and what is measured meanwhile.

use super::read::{Trace, TraceNode, TracePod};
use crate::Cluster;
use crate::report::State;
use crate::scenario::{Action, RUN_FOR, Scenario, Timed};
use crate::simulation::{Progress, Simulation};
use muster_engine::{Settings, Time};
use muster_framework::record::NodeRecord;
use muster_framework::resource::ResourceList;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Thousandths of GPUs. Devices are not told apart: a node with two of them has 2000.
const GPU: &str = "trace.muster.dev/gpu-milli";
const MODEL: &str = "trace.muster.dev/gpu-model";
/// How often is looked at the cluster between the first and the last event of the trace.
const SAMPLES: u64 = 300;
/// So many samples are kept at the most.
const SAMPLES_MAX: usize = 600;
/// So long pods that still wait after the last event may go on waiting.
const AFTERWARDS: Duration = Duration::from_secs(24 * 3600);
/// So many sorts of pods are asked whether they would fit, the most frequent ones.
const SORTS: usize = 64;

/// What came of a trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceReport {
    /// The version of this form.
    pub api_version: &'static str,
    /// What it is.
    pub kind: &'static str,
    /// The seed that broke ties.
    pub seed: u64,
    /// Nodes.
    pub nodes: usize,
    /// Pods that came.
    pub pods: usize,
    /// Those that got a node.
    pub bound: usize,
    /// Those that wait in the end.
    pub waiting: usize,
    /// Lines that were left out.
    pub skipped_lines: usize,
    /// How long it took in virtual time, in seconds.
    pub virtual_seconds: f64,
    /// What the share of fragmented resources is about: `gpu`, or `cpu` where there is no GPU.
    pub fragmentation_of: &'static str,
    /// The cluster in the course of time.
    pub samples: Vec<Sample>,
    /// How long pods waited, by the size of their gang.
    pub waits: Vec<Waits>,
    /// What the pods that wait in the end wait for, with how many do.
    pub reasons: Vec<(String, usize)>,
}

/// The cluster at one moment. Shares are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Seconds of virtual time.
    pub at: f64,
    /// Share of CPU that pods take.
    pub cpu: f64,
    /// Share of memory.
    pub memory: f64,
    /// Share of GPUs.
    pub gpu: f64,
    /// Pods that wait.
    pub queue: usize,
    /// Share of what is free that lies where the trace's pods, by their frequency, cannot use it.
    pub fragmentation: f64,
}

/// How long pods waited, in seconds of virtual time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waits {
    /// How many pods the gang has; 1: single pods, too.
    pub gang_size: usize,
    /// Pods.
    pub pods: usize,
    /// Those that wait still; they are not counted in what follows.
    pub waiting: usize,
    /// Half of them waited no longer.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// Ninety-nine of a hundred.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// A trace that is ready to be played.
pub struct TraceRun {
    simulation: Simulation,
    every: Duration,
    skipped: usize,
    sorts: Vec<Sort>,
    whole: Amounts,
}

impl TraceRun {
    /// Prepares a trace for an engine with these settings.
    pub fn new(trace: &Trace, settings: Settings, seed: Option<u64>) -> TraceRun {
        let end = |pod: &TracePod| pod.created + pod.runs_for.unwrap_or(0);
        let end = trace.pods.iter().map(end).max().unwrap_or(0).max(60);
        let nodes = trace.nodes.iter().map(|node| (0, node_object(node)));
        let gangs: BTreeSet<(String, u64)> = trace
            .pods
            .iter()
            .filter_map(|pod| pod.gang.as_ref())
            .map(|gang| (gang.name.clone(), gang.min_count))
            .collect();
        let gangs = gangs.iter().map(|(name, min_count)| (0, gang_object(name, *min_count)));
        let pods = trace.pods.iter().map(|pod| (pod.created, pod_object(pod)));
        let timed = |(at, object): (u64, Value)| Timed {
            at: Time::ZERO + Duration::from_secs(at),
            action: Action::Apply(object),
        };
        let scenario = Scenario {
            seed,
            until: Some(Time::ZERO + Duration::from_secs(end) + AFTERWARDS),
            actions: nodes.chain(gangs).chain(pods).map(timed).collect(),
        };
        let mut whole = Amounts::default();
        trace.nodes.iter().for_each(|node| whole.add(&Amounts::of_node(node)));
        TraceRun {
            simulation: Simulation::new(scenario, settings),
            every: Duration::from_secs(end) / u32::try_from(SAMPLES).unwrap_or(u32::MAX),
            skipped: trace.skipped.len(),
            sorts: Sort::of(trace, whole.gpu > 0),
            whole,
        }
    }

    /// Plays it to its end.
    pub fn run(mut self, mut progress: impl FnMut(Progress)) -> TraceReport {
        let mut samples = Vec::new();
        let mut at = Time::ZERO;
        while !self.simulation.is_at_rest() && at <= self.simulation.until() {
            self.simulation.run_until(at);
            samples.push(self.sample(at));
            progress(self.simulation.progress());
            if samples.len() == SAMPLES_MAX {
                // It takes longer than the trace: pods wait. Every second sample will do.
                let mut keep = false;
                samples.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.every *= 2;
            }
            at = at + self.every;
        }
        self.report(samples)
    }

    fn sample(&self, at: Time) -> Sample {
        let cluster = self.simulation.cluster();
        let (mut used, mut stuck, mut open) = (Amounts::default(), 0.0, 0.0);
        for node in cluster.nodes() {
            let (taken, free) = free_on(cluster, node);
            used.add(&taken);
            let counted = if self.whole.gpu > 0 { free.gpu } else { free.milli_cpu };
            let counted = as_f64(counted);
            open += counted;
            let model = node.labels.get(MODEL).map_or("", |model| &**model);
            stuck += counted
                * self
                    .sorts
                    .iter()
                    .map(|sort| sort.share_not_fitting(&free, model))
                    .sum::<f64>();
        }
        let stats = self.simulation.engine().stats();
        Sample {
            at: seconds(at),
            cpu: share(used.milli_cpu, self.whole.milli_cpu),
            memory: share(used.memory, self.whole.memory),
            gpu: share(used.gpu, self.whole.gpu),
            queue: stats.pending.iter().sum(),
            fragmentation: if open > 0.0 { stuck / open } else { 0.0 },
        }
    }

    fn report(&self, samples: Vec<Sample>) -> TraceReport {
        let report = self.simulation.report();
        let waiting = report.totals.waiting;
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for group in report.pods.iter().filter_map(|pod| pod.group.as_deref()) {
            *sizes.entry(group).or_default() += 1;
        }
        let mut by_size: BTreeMap<usize, (Vec<Time>, usize)> = BTreeMap::new();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for pod in &report.pods {
            let size = pod
                .group
                .as_deref()
                .and_then(|group| sizes.get(group))
                .copied()
                .unwrap_or(1);
            let (waits, waiting) = by_size.entry(size).or_default();
            if pod.state == State::Waiting {
                *waiting += 1;
                *reasons.entry(&pod.message).or_default() += 1;
            } else {
                waits.push(pod.wait.0);
            }
        }
        let mut reasons: Vec<(String, usize)> = reasons
            .into_iter()
            .map(|(why, count)| (why.to_owned(), count))
            .collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        TraceReport {
            api_version: muster_api::snapshot::API_VERSION,
            kind: "TraceReport",
            seed: report.seed,
            nodes: report.totals.nodes,
            pods: report.pods.len(),
            bound: report.pods.iter().filter(|pod| pod.bound_at.is_some()).count(),
            waiting,
            skipped_lines: self.skipped,
            virtual_seconds: seconds(report.ended_at.0),
            fragmentation_of: if self.whole.gpu > 0 { "gpu" } else { "cpu" },
            samples,
            waits: by_size
                .into_iter()
                .map(|(size, (waits, waiting))| Waits::of(size, waits, waiting))
                .collect(),
            reasons,
        }
    }
}

impl Waits {
    fn of(gang_size: usize, mut waits: Vec<Time>, waiting: usize) -> Waits {
        waits.sort_unstable();
        // The smallest wait that so many of a hundred do not exceed.
        let percentile = |hundredths: usize| {
            let rank = (waits.len() * hundredths).div_ceil(100).max(1);
            waits.get(rank - 1).copied().map_or(0.0, seconds)
        };
        Waits {
            gang_size,
            pods: waits.len() + waiting,
            waiting,
            p50: percentile(50),
            p90: percentile(90),
            p99: percentile(99),
            max: percentile(100),
        }
    }
}

/// Amounts that a trace speaks of: thousandths of cores, bytes, thousandths of GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Amounts {
    milli_cpu: i64,
    memory: i64,
    gpu: i64,
}

impl Amounts {
    fn of(list: &ResourceList) -> Amounts {
        Amounts {
            milli_cpu: list.milli_cpu,
            memory: list.memory,
            gpu: list.scalar(GPU),
        }
    }

    fn of_node(node: &TraceNode) -> Amounts {
        Amounts {
            milli_cpu: whole(node.milli_cpu),
            memory: bytes(node.memory_mib.unwrap_or(0)),
            gpu: whole(node.gpus).saturating_mul(1000),
        }
    }

    fn add(&mut self, other: &Amounts) {
        self.milli_cpu = self.milli_cpu.saturating_add(other.milli_cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.gpu = self.gpu.saturating_add(other.gpu);
    }
}

/// Pods of the trace that ask for the same, and how frequent they are.
#[derive(Debug, Clone, PartialEq)]
struct Sort {
    needs: Amounts,
    models: Vec<String>,
    share: f64,
}

impl Sort {
    /// The most frequent sorts; with `gpu`, of those that ask for any.
    ///
    /// Source of the measure: "Beware of Fragmentation", USENIX ATC 2023, without its view of single devices.
    fn of(trace: &Trace, gpu: bool) -> Vec<Sort> {
        let mut counts: BTreeMap<(Amounts, &[String]), usize> = BTreeMap::new();
        for pod in trace.pods.iter().filter(|pod| !gpu || pod.gpu_milli > 0) {
            let needs = Amounts {
                milli_cpu: whole(pod.milli_cpu),
                memory: bytes(pod.memory_mib),
                gpu: whole(pod.gpu_milli),
            };
            *counts.entry((needs, &pod.models)).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.truncate(SORTS);
        let all: usize = counts.iter().map(|(_, count)| count).sum();
        let sort = |((needs, models), count): ((Amounts, &[String]), usize)| Sort {
            needs,
            models: models.to_vec(),
            share: count as f64 / all.max(1) as f64,
        };
        counts.into_iter().map(sort).collect()
    }

    fn share_not_fitting(&self, free: &Amounts, model: &str) -> f64 {
        let fits = self.needs.milli_cpu <= free.milli_cpu
            && self.needs.memory <= free.memory
            && self.needs.gpu <= free.gpu
            && (self.models.is_empty() || self.models.iter().any(|allowed| allowed == model));
        if fits { 0.0 } else { self.share }
    }
}

fn free_on(cluster: &Cluster, node: &NodeRecord) -> (Amounts, Amounts) {
    let taken = Amounts::of(&cluster.usage_of(&node.name).0);
    let has = Amounts::of(&node.allocatable);
    let free = Amounts {
        milli_cpu: (has.milli_cpu - taken.milli_cpu).max(0),
        memory: (has.memory - taken.memory).max(0),
        gpu: (has.gpu - taken.gpu).max(0),
    };
    (taken, free)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn bytes(mebibytes: u64) -> i64 {
    whole(mebibytes).saturating_mul(1 << 20)
}

fn share(part: i64, of: i64) -> f64 {
    if of == 0 { 0.0 } else { as_f64(part) / as_f64(of) }
}

/// For plots: the last bits of large numbers do not matter.
fn as_f64(number: i64) -> f64 {
    number as f64
}

fn seconds(time: Time) -> f64 {
    time.micros() as f64 / 1e6
}

fn node_object(node: &TraceNode) -> Value {
    // Of memory that a trace says nothing of, there is enough.
    let memory = node
        .memory_mib
        .map_or("1Pi".to_owned(), |mebibytes| format!("{mebibytes}Mi"));
    let mut allocatable = json!({"cpu": format!("{}m", node.milli_cpu), "memory": memory, "pods": "1000"});
    if node.gpus > 0 {
        allocatable[GPU] = json!(node.gpus.saturating_mul(1000).to_string());
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": node.name, "labels": {MODEL: node.model}},
        "status": {"allocatable": allocatable},
    })
}

fn gang_object(name: &str, min_count: u64) -> Value {
    json!({
        "apiVersion": "scheduling.k8s.io/v1beta1", "kind": "PodGroup",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"schedulingPolicy": {"gang": {"minCount": min_count}}},
    })
}

fn pod_object(pod: &TracePod) -> Value {
    let mut requests = json!({"cpu": format!("{}m", pod.milli_cpu), "memory": format!("{}Mi", pod.memory_mib)});
    if pod.gpu_milli > 0 {
        requests[GPU] = json!(pod.gpu_milli.to_string());
    }
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod.name, "namespace": "default"},
        // An extended resource must be limited to what is asked for.
        "spec": {"containers": [{"name": "main", "resources": {"requests": requests}}]},
    });
    if pod.gpu_milli > 0 {
        object["spec"]["containers"][0]["resources"]["limits"] = json!({GPU: pod.gpu_milli.to_string()});
    }
    if let Some(seconds) = pod.runs_for {
        object["metadata"]["annotations"] = json!({RUN_FOR: format!("{seconds}s")});
    }
    if !pod.models.is_empty() {
        object["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": MODEL, "operator": "In", "values": pod.models}]}]}}});
    }
    if let Some(gang) = &pod.gang {
        object["spec"]["schedulingGroup"] = json!({"podGroupName": gang.name});
    }
    object
}
