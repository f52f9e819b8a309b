//! What a comparison is about: the objects that are there when a scheduler starts, by case and size.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::contestant::SCHEDULER_NAME;
use crate::kube_minor::KubeMinor;
use crate::pod_group::gang;
use crate::simulated_node::SimulatedNode;

/// The zones that the nodes are dealt out to.
const N_ZONES: usize = 10;
/// What a node has, and what a pod asks of it, in thousandths of a CPU.
const NODE_MILLI_CPU: usize = 4000;
const POD_MILLI_CPU: usize = 100;

/// How the names of those pods begin that run already.
pub(super) const RUNNING: &str = "bound-";

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// What the pods of a comparison ask for, beside 100m CPU each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Case {
    /// Nothing more.
    Plain,
    /// To be spread over ten zones, by one at most (`DoNotSchedule`).
    ZoneSpread,
    /// To be spread over the nodes, if possible (`ScheduleAnyway`).
    HostnameSpread,
    /// To be in the zone of their twins.
    ZoneAffinity,
    /// To be in the zone of their twins, if possible.
    ZoneAffinityPreferred,
    /// No twin on the same node.
    HostAntiAffinity,
    /// To be bound all or not at all, in gangs of equal size.
    Gang,
    /// Nothing more: a few pods in a cluster that is in use.
    Start,
}

impl Case {
    /// How many pods there are unless somebody says another number.
    fn usual_pods(self) -> usize {
        match self {
            Case::Plain => 5000,
            Case::HostAntiAffinity => 1000,
            Case::Start => 10,
            _ => 3000,
        }
    }

    /// How many pods run already, for each node.
    fn usual_bound_per_node(self) -> usize {
        if self == Case::Start { 10 } else { 0 }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.pad(name.as_ref().map_or("", |name| name.get_name()))
    }
}

/// A case in one size, on one Kubernetes minor: what a contestant is given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Cell {
    /// The Kubernetes minor.
    #[serde(with = "as_text")]
    pub(super) kube: KubeMinor,
    /// What the pods ask for.
    pub(super) case: Case,
    /// Nodes of 4 CPU each.
    pub(super) nodes: usize,
    /// Pods to be bound.
    pub(super) pods: usize,
    /// The gangs that the pods belong to, of equal size; none but in the case of gangs.
    pub(super) gangs: usize,
    /// Pods that run already.
    pub(super) bound: usize,
}

impl Cell {
    /// A case of the usual size.
    pub(super) fn usual(kube: KubeMinor, case: Case, nodes: usize) -> Cell {
        Cell {
            kube,
            case,
            nodes,
            pods: case.usual_pods(),
            gangs: if case == Case::Gang { 3 } else { 0 },
            bound: case.usual_bound_per_node() * nodes,
        }
    }

    /// Fails where not all pods can be bound, whatever anybody does.
    pub(super) fn check(&self) -> Result<()> {
        if self.nodes == 0 || self.pods == 0 {
            bail!("there must be at least one node and one pod");
        }
        let is_dealt_out = self.gangs > 0 && self.pods.is_multiple_of(self.gangs);
        if self.case == Case::Gang && !is_dealt_out {
            bail!("{} pods cannot be dealt out to {} gangs", self.pods, self.gangs);
        }
        if self.case != Case::Gang && self.gangs > 0 {
            bail!("gangs belong to the case of that name, not to {}", self.case);
        }
        let free_milli_cpu = (self.nodes * NODE_MILLI_CPU).saturating_sub(self.bound * POD_MILLI_CPU);
        let free = free_milli_cpu / POD_MILLI_CPU;
        let room = match self.case {
            Case::HostAntiAffinity => free.min(self.nodes),
            // The smallest zone: any may be chosen.
            Case::ZoneAffinity => self.nodes / N_ZONES * (free / self.nodes),
            _ => free,
        };
        if self.pods > room {
            bail!(
                "{} pods of the case {} do not fit: {} nodes have room for {room}",
                self.pods,
                self.case,
                self.nodes
            );
        }
        Ok(())
    }

    /// The flags of `cargo xtask bench compare` that mean this.
    pub(super) fn flags(&self) -> String {
        let mut flags = format!(
            "--kube {} --case {} --nodes {} --pods {}",
            self.kube, self.case, self.nodes, self.pods
        );
        if self.gangs > 0 {
            flags += &format!(" --gangs {}", self.gangs);
        }
        if self.bound > 0 {
            flags += &format!(" --bound {}", self.bound);
        }
        flags
    }

    /// All of it that is made before the scheduler starts.
    pub(super) fn setting(&self) -> Result<Setting> {
        self.check()?;
        let nodes = (0..self.nodes).map(|n| SimulatedNode::new(node_name(n)).zone(&format!("zone-{}", n % N_ZONES)));
        let bound = (0..self.bound).map(|n| {
            let mut pod = plain_pod(&format!("{RUNNING}{n}"));
            pod["spec"]["nodeName"] = node_name(n % self.nodes).into();
            pod
        });
        let mut setting = Setting {
            kube: self.kube,
            nodes: nodes.collect(),
            objects: Vec::new(),
            bound: bound.collect(),
            pods: (0..self.pods).map(|n| self.pod(n)).collect(),
            gangs: Vec::new(),
        };
        if self.case == Case::Gang {
            self.form_gangs(&mut setting)?;
        }
        Ok(setting)
    }

    fn pod(&self, n: usize) -> Value {
        let mut pod = plain_pod(&format!("pod-{n}"));
        if matches!(self.case, Case::Plain | Case::Gang | Case::Start) {
            return pod;
        }
        let twins = json!({ "matchLabels": { "app": "bench" } });
        pod["metadata"]["labels"] = twins["matchLabels"].clone();
        let spread = |key: &str, otherwise: &str| json!([{ "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": otherwise, "labelSelector": twins }]);
        let near = |key: &str| json!({ "topologyKey": key, "labelSelector": twins });
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        let (field, value) = match self.case {
            Case::Plain | Case::Gang | Case::Start => return pod,
            Case::ZoneSpread => ("topologySpreadConstraints", spread(ZONE, "DoNotSchedule")),
            Case::HostnameSpread => ("topologySpreadConstraints", spread(HOSTNAME, "ScheduleAnyway")),
            Case::ZoneAffinity => ("affinity", json!({ "podAffinity": { required: [near(ZONE)] } })),
            Case::ZoneAffinityPreferred => {
                let term = json!({ "weight": 100, "podAffinityTerm": near(ZONE) });
                ("affinity", json!({ "podAffinity": { preferred: [term] } }))
            }
            Case::HostAntiAffinity => ("affinity", json!({ "podAntiAffinity": { required: [near(HOSTNAME)] } })),
        };
        pod["spec"][field] = value;
        pod
    }

    /// Makes each so many pods in a row the members of a gang that needs all of them.
    fn form_gangs(&self, setting: &mut Setting) -> Result<()> {
        let size = self.pods / self.gangs;
        let policy = gang(i32::try_from(size).context("so many members cannot be asked for")?);
        let name = |n: usize| format!("gang-{n}");
        let policies = (0..self.gangs).map(|n| self.kube.group_policy(&name(n), &policy));
        let path = self.kube.group_policies_path("default");
        setting.objects.push((path, policies.collect()));
        for (n, pod) in setting.pods.iter_mut().enumerate() {
            *pod = self.kube.member_of(pod.take(), &name(n / size));
        }
        let members: Vec<usize> = (0..self.pods).collect();
        setting.gangs = members.chunks(size).map(<[usize]>::to_vec).collect();
        Ok(())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gangs {
            0 => write!(f, "{}", self.case)?,
            n => write!(f, "{n} × {} gang", self.pods / n)?,
        }
        write!(f, ", {} nodes, {} pods", thousands(self.nodes), thousands(self.pods))?;
        if self.bound > 0 {
            write!(f, " beside {}", thousands(self.bound))?;
        }
        write!(f, ", {}", self.kube)
    }
}

/// A number with commas, as in 5,000.
pub(super) fn thousands(n: usize) -> String {
    match n {
        0..1000 => n.to_string(),
        _ => format!("{},{:03}", thousands(n / 1000), n % 1000),
    }
}

/// What is there when the scheduler starts.
#[derive(Debug)]
pub(super) struct Setting {
    /// The Kubernetes minor.
    pub(super) kube: KubeMinor,
    /// The nodes.
    pub(super) nodes: Vec<SimulatedNode>,
    /// Objects to be made before the pods, by the path of their collection.
    pub(super) objects: Vec<(String, Vec<Value>)>,
    /// Pods that have a node already; in the namespace of the others.
    pub(super) bound: Vec<Value>,
    /// The pods, all in one namespace, and all to be bound.
    pub(super) pods: Vec<Value>,
    /// The members of each gang, by their number among the pods. All of them are needed.
    pub(super) gangs: Vec<Vec<usize>>,
}

fn node_name(n: usize) -> String {
    format!("node-{n}")
}

fn plain_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "schedulerName": SCHEDULER_NAME,
            "containers": [{
                "name": "main",
                "image": "registry.k8s.io/pause:3.10",
                "resources": { "requests": { "cpu": format!("{POD_MILLI_CPU}m") } },
            }],
        },
    })
}

/// A Kubernetes minor as people write it.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::kube_minor::KubeMinor;

    pub(super) fn serialize<S: Serializer>(kube: &KubeMinor, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(kube)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KubeMinor, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(case: Case, pods: usize) -> Cell {
        Cell {
            pods,
            ..Cell::usual(KubeMinor::V1_37, case, 20)
        }
    }

    #[test]
    fn every_member_is_of_a_gang_that_is_there() {
        let cell = Cell {
            gangs: 2,
            ..cell(Case::Gang, 6)
        };
        let setting = cell.setting().unwrap();
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
        assert_eq!((setting.nodes.len(), setting.pods.len()), (20, 6));
        assert_eq!(setting.gangs, [[0, 1, 2], [3, 4, 5]]);
    }

    #[test]
    fn what_cannot_be_bound_is_refused_at_once() {
        for (cell, refused) in [
            (cell(Case::Plain, 800), false),
            (cell(Case::Plain, 801), true),
            (cell(Case::Start, 600), false),
            (cell(Case::Start, 601), true),
            (cell(Case::HostAntiAffinity, 20), false),
            (cell(Case::HostAntiAffinity, 21), true),
            (cell(Case::ZoneAffinity, 80), false),
            (cell(Case::ZoneAffinity, 81), true),
            (cell(Case::Gang, 300), false),
            (cell(Case::Gang, 301), true),
            (cell(Case::Plain, 0), true),
        ] {
            assert_eq!(cell.check().is_err(), refused, "{cell}");
        }
    }

    #[test]
    fn a_cell_reads_as_it_was_written() {
        let start = Cell::usual(KubeMinor::V1_35, Case::Start, 5000);
        assert_eq!(start.to_string(), "start, 5,000 nodes, 10 pods beside 50,000, 1.35");
        assert_eq!(
            start.flags(),
            "--kube 1.35 --case start --nodes 5000 --pods 10 --bound 50000"
        );
        let gangs = Cell::usual(KubeMinor::V1_37, Case::Gang, 1000);
        assert_eq!(gangs.to_string(), "3 × 1000 gang, 1,000 nodes, 3,000 pods, 1.37");
        for cell in [start, gangs] {
            let text = serde_json::to_string(&cell).unwrap();
            assert_eq!(serde_json::from_str::<Cell>(&text).unwrap(), cell, "{text}");
        }
    }
}
