//! A few nodes, and what one plugin says of a pod on them.

use muster_framework::Text;
use muster_framework::compiled::CompiledSpec;
use muster_framework::labels::Labels;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{PodToPlace, PreFilter};
use muster_framework::record::{NodeRecord, PodSpec};
use muster_framework::rejection::{Code, Rejections};
use muster_framework::resource::{Charge, ResourceList};
use muster_framework::rules::KubeMinor;
use muster_framework::selection::PodIdentity;
use muster_framework::table::{Footprint, NodeTable};
use muster_framework::view::{Delta, View};
use muster_plugins::args::PluginArgs;
use muster_plugins::{Profile, ProfileSpec};

pub(crate) const MINORS: [KubeMinor; 3] = [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37];

/// A node that has nothing but a name and room for pods.
pub(crate) fn node(name: &str) -> NodeRecord {
    NodeRecord {
        name: name.into(),
        resource_version: 0,
        labels: Labels::default(),
        taints: vec![],
        unschedulable: false,
        allocatable: ResourceList::default(),
        allowed_pods: 100,
        images: Box::default(),
        declared_features: Box::default(),
    }
}

/// CPU and memory, and other resources by name.
pub(crate) fn amounts(milli_cpu: i64, memory: i64, scalars: &[(&str, i64)]) -> ResourceList {
    ResourceList {
        milli_cpu,
        memory,
        ephemeral_storage: 0,
        scalars: scalars.iter().map(|(name, n)| (Text::from(*name), *n)).collect(),
    }
}

/// A pod that asks for this, and counts for as much when nodes are scored.
pub(crate) fn asking(requests: ResourceList) -> PodSpec {
    PodSpec {
        charge: Charge {
            scoring_milli_cpu: requests.milli_cpu,
            scoring_memory: requests.memory,
            requests,
        },
        ..PodSpec::default()
    }
}

/// One plugin, and the nodes that it judges.
pub(crate) struct Scene {
    plugin: &'static str,
    minor: KubeMinor,
    args: PluginArgs,
    nodes: Vec<(NodeRecord, Vec<PodSpec>)>,
}

impl Scene {
    pub(crate) fn new(plugin: &'static str, minor: KubeMinor) -> Scene {
        Scene {
            plugin,
            minor,
            args: PluginArgs::default(),
            nodes: vec![],
        }
    }

    pub(crate) fn args(mut self, args: PluginArgs) -> Scene {
        self.args = args;
        self
    }

    pub(crate) fn node(mut self, node: NodeRecord, pods: impl IntoIterator<Item = PodSpec>) -> Scene {
        self.nodes.push((node, pods.into_iter().collect()));
        self
    }

    /// What the filter says, by node: `ok`, or the code and the reasons. Before that, what PreFilter says, if it says
    /// more than that nodes have to be judged.
    pub(crate) fn filter(&self, spec: &PodSpec) -> String {
        self.judge(spec, |profile, pod, view| {
            let (name, filter) = profile.filters().next().expect("a filter");
            let mut nodes = all_nodes(view.table());
            let mut rejections = Rejections::detailed();
            rejections.begin(name);
            let mut said = match filter.pre_filter(pod, view) {
                PreFilter::Skip => return "skip".to_owned(),
                PreFilter::Judge => vec![],
                PreFilter::Narrow(names) => vec![format!("only {}", names.into_iter().collect::<Vec<_>>().join(" "))],
                PreFilter::Reject(code, reasons) => {
                    let reasons: Vec<String> = reasons.iter().map(|reason| reason.text(view.table())).collect();
                    return format!("{} {}", short(code), reasons.join(", "));
                }
            };
            filter.filter(pod, view, &mut nodes, &mut rejections);
            for node in view.table().live().iter() {
                let rejection = rejections.details().iter().find(|rejection| rejection.node == node);
                said.push(match rejection {
                    None => "ok".to_owned(),
                    Some(rejection) => {
                        let reasons = rejection.reasons.iter().map(|reason| reason.text(view.table()));
                        let mut reasons: Vec<String> = reasons.collect();
                        reasons.sort_unstable();
                        format!("{} {}", short(rejection.code), reasons.join(", "))
                    }
                });
            }
            said.join("; ")
        })
    }

    /// The scores of the nodes before and after normalising; None when the plugin skips the pod.
    pub(crate) fn scores(&self, spec: &PodSpec) -> Option<(Vec<i64>, Vec<i64>)> {
        self.judge(spec, |profile, pod, view| {
            let (_, _, score) = profile.scores().next().expect("a score");
            let nodes = all_nodes(view.table());
            if score.skips(pod, view, &nodes) {
                return None;
            }
            let mut column = vec![-7; view.table().padded_len()];
            score.score(pod, view, &nodes, &mut column);
            let raw = column[..self.nodes.len()].to_vec();
            score.normalize(pod, view, &nodes, &mut column);
            Some((raw, column[..self.nodes.len()].to_vec()))
        })
    }

    /// The scores of the nodes before normalising.
    pub(crate) fn raw(&self, spec: &PodSpec) -> Option<Vec<i64>> {
        Some(self.scores(spec)?.0)
    }

    fn judge<T>(&self, spec: &PodSpec, judge: impl FnOnce(&Profile, &PodToPlace<'_>, &View<'_>) -> T) -> T {
        let mut table = NodeTable::new();
        let profile = Profile::new(
            &ProfileSpec {
                scheduler_name: "muster".into(),
                pre_enqueue: vec![],
                filters: vec![self.plugin.into()],
                scores: vec![(self.plugin.into(), 1)],
                args: self.args.clone(),
            },
            self.minor,
            &mut table,
        );
        let labels = Labels::default();
        for (node, pods) in &self.nodes {
            let node = table.apply(node).node;
            for spec in pods {
                let footprint = Footprint {
                    identity: PodIdentity {
                        namespace: "default",
                        namespace_labels: None,
                        labels: &labels,
                        terminating: false,
                    },
                    charge: &spec.charge,
                    spec,
                };
                table.add_pod(node, footprint);
            }
        }
        let compiled = CompiledSpec::compile(spec, &mut table);
        let pod = PodToPlace {
            uid: "uid",
            namespace: "default",
            name: "pod",
            namespace_labels: None,
            labels: &labels,
            terminating: false,
            spec,
            compiled: &compiled,
            default_selection: None,
        };
        judge(&profile, &pod, &View::new(&table, &Delta::default()))
    }
}

fn all_nodes(table: &NodeTable) -> NodeSet {
    let mut nodes = table.live().clone();
    nodes.grow(table.padded_len());
    nodes
}

fn short(code: Code) -> &'static str {
    match code {
        Code::Unschedulable => "U",
        Code::UnschedulableAndUnresolvable => "UAU",
        other => other.name(),
    }
}
