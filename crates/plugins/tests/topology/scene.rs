//! A small cluster written as text, and what one plugin says of a pod in it.

use muster_framework::Text;
use muster_framework::compiled::CompiledSpec;
use muster_framework::labels::Labels;
use muster_framework::plugin::{PodToPlace, PreFilter};
use muster_framework::record::{NamespaceScope, NodeRecord, PodAffinityTerm, PodSpec, SpreadConstraint};
use muster_framework::record::{WeightedPodAffinityTerm, WhenUnsatisfiable};
use muster_framework::rejection::{Code, Rejections};
use muster_framework::resource::ResourceList;
use muster_framework::rules::KubeMinor;
use muster_framework::selection::{PodIdentity, PodSelector, Selection};
use muster_framework::selector::{LabelSelector, Operator, Requirement};
use muster_framework::table::{Footprint, NodeTable};
use muster_framework::taint::{Taint, TaintEffect};
use muster_framework::view::{Delta, View};
use muster_plugins::args::PluginArgs;
use muster_plugins::{Profile, ProfileSpec};
use std::collections::BTreeMap;

/// Labels such as `app=web tier=1`.
pub(crate) fn labels(text: &str) -> Labels {
    let pairs = text
        .split_whitespace()
        .map(|pair| pair.split_once('=').expect("key=value"));
    pairs.collect()
}

/// A selector such as `app=web|db tier!=1 old !new`. `*` states nothing, `-` is none.
pub(crate) fn selector(text: &str) -> Option<LabelSelector> {
    let requirement = |text: &str| {
        let (key, operator, values) = match (text.split_once("!="), text.split_once('=')) {
            (Some((key, values)), _) => (key, Operator::NotIn, values),
            (None, Some((key, values))) => (key, Operator::In, values),
            (None, None) => match text.strip_prefix('!') {
                Some(key) => (key, Operator::DoesNotExist, ""),
                None => (text, Operator::Exists, ""),
            },
        };
        Requirement {
            key: key.into(),
            operator,
            values: match operator {
                Operator::In | Operator::NotIn => values.split('|').map(Text::from).collect(),
                _ => Box::default(),
            },
        }
    };
    (text != "-").then(|| LabelSelector {
        requirements: text.split_whitespace().filter(|t| *t != "*").map(requirement).collect(),
    })
}

/// A term about pods in namespace `default`.
pub(crate) fn term(topology_key: &str, pods: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: selector(pods),
        namespaces: NamespaceScope {
            names: Box::new(["default".into()]),
            selector: None,
        },
        topology_key: topology_key.into(),
    }
}

/// A term about pods in namespaces with some labels.
pub(crate) fn term_across(topology_key: &str, pods: &str, namespaces: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        namespaces: NamespaceScope {
            names: Box::default(),
            selector: selector(namespaces),
        },
        ..term(topology_key, pods)
    }
}

pub(crate) fn weighted(weight: i32, term: PodAffinityTerm) -> WeightedPodAffinityTerm {
    WeightedPodAffinityTerm { weight, term }
}

/// A constraint with upstream's defaults.
pub(crate) fn constraint(topology_key: &str, pods: &str, max_skew: i32, kind: WhenUnsatisfiable) -> SpreadConstraint {
    SpreadConstraint {
        pods: term(topology_key, pods),
        max_skew,
        when_unsatisfiable: kind,
        min_domains: None,
        honor_node_affinity: true,
        honor_node_taints: false,
    }
}

pub(crate) fn hard(topology_key: &str, pods: &str, max_skew: i32) -> SpreadConstraint {
    constraint(topology_key, pods, max_skew, WhenUnsatisfiable::DoNotSchedule)
}

pub(crate) fn soft(topology_key: &str, pods: &str, max_skew: i32) -> SpreadConstraint {
    constraint(topology_key, pods, max_skew, WhenUnsatisfiable::ScheduleAnyway)
}

/// A pod, placed or to be placed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pod {
    pub(crate) namespace: Option<&'static str>,
    pub(crate) labels: Labels,
    pub(crate) terminating: bool,
    pub(crate) spec: PodSpec,
    /// What services and its controller select, when it is to be placed.
    pub(crate) owners: Option<LabelSelector>,
}

impl Pod {
    pub(crate) fn new(text: &str, spec: PodSpec) -> Pod {
        Pod {
            labels: labels(text),
            spec,
            ..Pod::default()
        }
    }

    fn namespace(&self) -> &'static str {
        self.namespace.unwrap_or("default")
    }
}

/// What a plugin says of a pod.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Nodes with `ok` or a short word for the reason; empty when the filter skips the pod.
    pub(crate) nodes: String,
    /// Nodes that fit with their raw and normalised scores; empty when scoring skips the pod.
    pub(crate) scores: String,
}

pub(crate) struct Scene {
    plugin: &'static str,
    minor: KubeMinor,
    args: PluginArgs,
    nodes: Vec<NodeRecord>,
    namespaces: BTreeMap<&'static str, Labels>,
    pods: Vec<(&'static str, Pod)>,
}

impl Scene {
    pub(crate) fn new(plugin: &'static str, args: PluginArgs) -> Scene {
        Scene {
            plugin,
            minor: KubeMinor::V1_37,
            args,
            nodes: vec![],
            namespaces: BTreeMap::new(),
            pods: vec![],
        }
    }

    pub(crate) fn minor(mut self, minor: KubeMinor) -> Scene {
        self.minor = minor;
        self
    }

    /// Nodes such as `a1: zone=a host=a1`, one a line; `taint` for a label key is a taint.
    pub(crate) fn nodes(mut self, text: &str) -> Scene {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, text) = line.split_once(':').expect("name: labels");
            let all = labels(text);
            let taint = all.get("taint").map(|key| Taint {
                key: key.clone(),
                value: "".into(),
                effect: TaintEffect::NoSchedule,
            });
            self.nodes.push(NodeRecord {
                name: name.into(),
                resource_version: 0,
                labels: all
                    .iter()
                    .filter(|(key, _)| &***key != "taint")
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect(),
                taints: taint.into_iter().collect(),
                unschedulable: false,
                allocatable: ResourceList::default(),
                allowed_pods: 100,
                images: Box::default(),
                declared_features: Box::default(),
            });
        }
        self
    }

    pub(crate) fn namespace(mut self, name: &'static str, text: &str) -> Scene {
        self.namespaces.insert(name, labels(text));
        self
    }

    /// Places so many pods with these labels on a node.
    pub(crate) fn pods(self, node: &'static str, n: usize, text: &str) -> Scene {
        (0..n).fold(self, |scene, _| scene.pod(node, Pod::new(text, PodSpec::default())))
    }

    pub(crate) fn pod(mut self, node: &'static str, pod: Pod) -> Scene {
        self.pods.push((node, pod));
        self
    }

    fn identity<'a>(&'a self, pod: &'a Pod) -> PodIdentity<'a> {
        PodIdentity {
            namespace: pod.namespace(),
            namespace_labels: self.namespaces.get(pod.namespace()),
            labels: &pod.labels,
            terminating: pod.terminating,
        }
    }

    pub(crate) fn judge(&self, pod: &Pod) -> Outcome {
        let mut spec = ProfileSpec::default_for("muster", self.minor);
        spec.args = self.args.clone();
        spec.filters.retain(|name| &**name == self.plugin);
        spec.scores.retain(|(name, _)| &**name == self.plugin);
        let mut table = NodeTable::new();
        let profile = Profile::new(&spec, self.minor, &mut table);
        self.nodes.iter().for_each(|node| {
            table.apply(node);
        });
        for (node, pod) in &self.pods {
            let node = table.by_name(node).expect("a node of this name");
            let footprint = Footprint {
                identity: self.identity(pod),
                charge: &pod.spec.charge,
                spec: &pod.spec,
            };
            table.add_pod(node, footprint);
        }
        let compiled = CompiledSpec::compile(&pod.spec, &mut table);
        let default_selection = pod.owners.clone().map(|owners| {
            let namespaces = term("", "-").namespaces;
            let pods = PodSelector {
                selector: Some(owners),
                namespaces,
            };
            table.acquire_selection(Selection::of_spread(pods), &[])
        });
        let pod = PodToPlace {
            uid: "uid",
            namespace: pod.namespace(),
            name: "new",
            namespace_labels: self.namespaces.get(pod.namespace()),
            labels: &pod.labels,
            terminating: pod.terminating,
            spec: &pod.spec,
            compiled: &compiled,
            default_selection,
        };
        outcome(&profile, &table, &pod)
    }
}

fn outcome(profile: &Profile, table: &NodeTable, pod: &PodToPlace<'_>) -> Outcome {
    let delta = Delta::default();
    let view = View::new(table, &delta);
    let mut nodes = table.live().clone();
    let mut words: BTreeMap<&str, &str> = table.live().iter().map(|node| (&**table.name(node), "ok")).collect();
    let mut rejections = Rejections::detailed();
    let (_, filter) = profile.filters().next().expect("the filter");
    let filtered = filter.pre_filter(pod, &view) == PreFilter::Judge;
    if filtered {
        filter.filter(pod, &view, &mut nodes, &mut rejections);
    }
    for rejection in rejections.details() {
        let [reason] = &*rejection.reasons else {
            panic!("one reason")
        };
        words.insert(table.name(rejection.node), word(rejection.code, &reason.text(table)));
    }
    let told: Vec<String> = words.iter().map(|(node, word)| format!("{node}:{word}")).collect();
    let (_, _, score) = profile.scores().next().expect("the score");
    let mut scores = vec![];
    if !nodes.is_empty() && !score.skips(pod, &view, &nodes) {
        let mut column = vec![-7; table.padded_len()];
        score.score(pod, &view, &nodes, &mut column);
        let raw = column.clone();
        score.normalize(pod, &view, &nodes, &mut column);
        let told = |node| (table.name(node), raw[node.index()], column[node.index()]);
        scores = nodes.iter().map(told).collect();
        scores.sort();
    }
    let scores = scores
        .into_iter()
        .map(|(node, raw, score)| format!("{node}:{raw}→{score}"));
    Outcome {
        nodes: if filtered { told.join(" ") } else { String::new() },
        scores: scores.collect::<Vec<String>>().join(" "),
    }
}

fn word(code: Code, reason: &str) -> &'static str {
    use Code::{Unschedulable, UnschedulableAndUnresolvable as Unresolvable};
    match (code, reason) {
        (Unschedulable, "node(s) didn't match pod topology spread constraints") => "skewed",
        (Unresolvable, "node(s) didn't match pod topology spread constraints (missing required label)") => "unlabelled",
        (Unresolvable, "node(s) didn't match pod affinity rules") => "far",
        (Unschedulable, "node(s) didn't match pod anti-affinity rules") => "avoided",
        (Unschedulable, "node(s) didn't satisfy existing pods anti-affinity rules") => "barred",
        other => panic!("no such verdict: {other:?}"),
    }
}
