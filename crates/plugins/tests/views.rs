//! Property: judging a pod on base ⊕ delta equals judging it on the base with the delta applied, and on a base built
//! anew from what is there then, for every plugin, with pods added and pods removed. And blame adds up: every node is
//! feasible or rejected once.

use muster_framework::Text;
use muster_framework::compiled::CompiledSpec;
use muster_framework::labels::Labels;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{PodToPlace, PreFilter};
use muster_framework::record::{
    HostPort, NamespaceScope, NodeImage, NodeRecord, PodAffinityTerm, PodSpec, Protocol, SpreadConstraint,
    WeightedPodAffinityTerm, WhenUnsatisfiable,
};
use muster_framework::rejection::{Code, NodeRejection, PodRejection, Reason, Rejections};
use muster_framework::resource::{Charge, DEFAULT_MEMORY_REQUEST, DEFAULT_MILLI_CPU_REQUEST, ResourceList};
use muster_framework::rules::KubeMinor;
use muster_framework::selection::{PodSelector, Selection, SelectionOrd};
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, Operator, PreferredTerm, Requirement};
use muster_framework::table::{Footprint, NodeOrd, NodeTable};
use muster_framework::taint::{Taint, TaintEffect, Toleration, TolerationOperator};
use muster_framework::view::{Delta, View};
use muster_plugins::args::{DefaultConstraint, ResourceWeight, ShapePoint, StrategyType};
use muster_plugins::{Profile, ProfileSpec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const GPU: &str = "example.com/gpu";
const FEATURES: [&str; 3] = ["FeatureA", "FeatureB", "FeatureC"];
const IMAGES: [&str; 4] = ["a:1", "b:1", "c:1", "d:1"];

// ---- generating --------------------------------------------------------------------------------------------------

/// A pod, placed or to be placed.
#[derive(Debug, Clone)]
struct Pod {
    namespace: &'static str,
    labels: Labels,
    terminating: bool,
    /// What the services and the controller that select it select, when it is judged.
    owners: Option<LabelSelector>,
    spec: PodSpec,
}

/// Labels of namespaces: one of the three has not been seen.
fn namespace_labels(namespace: &str) -> Option<Labels> {
    match namespace {
        "default" => Some([("team", "red")].into_iter().collect()),
        "a" => Some([("team", "blue")].into_iter().collect()),
        _ => None,
    }
}

fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement {
        key: key.into(),
        operator,
        values: values.iter().map(|v| (*v).into()).collect(),
    }
}

fn texts(from: &'static [&'static str], max: usize) -> impl Strategy<Value = Box<[Text]>> {
    subsequence(from, 0..=max).prop_map(|some| some.into_iter().map(Text::from).collect())
}

fn scalars(gpus: i64) -> Vec<(Text, i64)> {
    (gpus > 0).then(|| (GPU.into(), gpus)).into_iter().collect()
}

fn taint() -> impl Strategy<Value = Taint> {
    let effect = select(vec![
        TaintEffect::NoSchedule,
        TaintEffect::PreferNoSchedule,
        TaintEffect::PreferNoSchedule,
        TaintEffect::NoExecute,
    ]);
    (select(vec!["t", "u"]), select(vec!["", "v"]), effect).prop_map(|(key, value, effect)| Taint {
        key: key.into(),
        value: value.into(),
        effect,
    })
}

fn amounts() -> impl Strategy<Value = ResourceList> {
    let cpu = select(vec![0, 1000, 3000, 4000]);
    let memory = select(vec![0, 1 << 30, 3 << 30, 10 << 30]);
    (cpu, memory, 0..4i64, 0..3i64).prop_map(|(milli_cpu, memory, ephemeral_storage, gpus)| ResourceList {
        milli_cpu,
        memory,
        ephemeral_storage,
        scalars: scalars(gpus),
    })
}

fn image() -> impl Strategy<Value = NodeImage> {
    let size = select(vec![0, 22 << 20, 23 << 20, 300 << 20, 1 << 30, 5 << 30]);
    (texts(&IMAGES, 2), size).prop_map(|(names, size)| NodeImage { names, size })
}

fn node() -> impl Strategy<Value = NodeRecord> {
    let labels = (
        prop::bool::weighted(0.9),
        prop::option::weighted(0.8, 0..3u8),
        prop::option::of(0..2u8),
    );
    let taints =
        prop::collection::vec(taint(), 0..3).prop_map(|taints| if taints.len() == 2 { taints } else { vec![] });
    let images = prop::collection::vec(image(), 0..3);
    (
        labels,
        taints,
        prop::bool::weighted(0.1),
        amounts(),
        0..6i64,
        images,
        texts(&FEATURES, 3),
    )
        .prop_map(
            |((hostname, zone, rack), taints, unschedulable, allocatable, pods, images, features)| {
                let zone = zone.map(|zone| (ZONE, zone.to_string()));
                let rack = rack.map(|rack| ("rack", rack.to_string()));
                let hostname = hostname.then(|| (HOSTNAME, String::new()));
                NodeRecord {
                    name: "".into(),
                    resource_version: 0,
                    labels: zone.into_iter().chain(rack).chain(hostname).collect(),
                    taints,
                    unschedulable,
                    allocatable,
                    allowed_pods: pods,
                    images: images.into(),
                    declared_features: features,
                }
            },
        )
}

/// Gives each node its name, and its hostname label where it has one.
fn named(nodes: Vec<NodeRecord>) -> Vec<NodeRecord> {
    let name = |(at, node): (usize, NodeRecord)| {
        let name: Text = format!("n{at}").into();
        let value = |key: &Text, value: &Text| {
            if &**key == HOSTNAME {
                name.clone()
            } else {
                value.clone()
            }
        };
        NodeRecord {
            labels: node.labels.iter().map(|(k, v)| (k.clone(), value(k, v))).collect(),
            name: name.clone(),
            ..node
        }
    };
    nodes.into_iter().enumerate().map(name).collect()
}

fn pod_selector() -> impl Strategy<Value = LabelSelector> {
    let requirement = select(vec![
        requirement("app", Operator::In, &["x"]),
        requirement("app", Operator::In, &["x", "y"]),
        requirement("app", Operator::NotIn, &["x"]),
        requirement("tier", Operator::Exists, &[]),
        requirement("tier", Operator::DoesNotExist, &[]),
    ]);
    prop::collection::vec(requirement, 0..3).prop_map(|requirements| LabelSelector {
        requirements: requirements.into(),
    })
}

fn topology_key() -> impl Strategy<Value = Text> {
    select(vec![HOSTNAME, ZONE, ZONE, "rack", "nowhere"]).prop_map(Text::from)
}

fn pod_term() -> impl Strategy<Value = PodAffinityTerm> {
    let team = select(vec![
        LabelSelector::default(),
        LabelSelector {
            requirements: Box::new([requirement("team", Operator::In, &["red"])]),
        },
        LabelSelector {
            requirements: Box::new([requirement("team", Operator::NotIn, &["red"])]),
        },
    ]);
    let names = texts(&["a", "b", "default"], 2);
    let selector = prop::option::weighted(0.9, pod_selector());
    (selector, names, prop::option::weighted(0.3, team), topology_key()).prop_map(
        |(selector, names, team, topology_key)| PodAffinityTerm {
            selector,
            namespaces: NamespaceScope {
                names: if names.is_empty() && team.is_none() {
                    Box::new(["default".into()])
                } else {
                    names
                },
                selector: team,
            },
            topology_key,
        },
    )
}

fn terms(max: usize) -> impl Strategy<Value = Box<[PodAffinityTerm]>> {
    let some = prop::collection::vec(pod_term(), 1..=max);
    prop::option::weighted(0.25, some).prop_map(|terms| terms.unwrap_or_default().into())
}

fn weighted_terms() -> impl Strategy<Value = Box<[WeightedPodAffinityTerm]>> {
    let some = prop::collection::vec((1..=100i32, pod_term()), 1..3);
    prop::option::weighted(0.25, some).prop_map(|terms| {
        let weigh = |(weight, term)| WeightedPodAffinityTerm { weight, term };
        terms.unwrap_or_default().into_iter().map(weigh).collect()
    })
}

fn spread(n: usize) -> impl Strategy<Value = Box<[SpreadConstraint]>> {
    let kind = select(vec![
        WhenUnsatisfiable::DoNotSchedule,
        WhenUnsatisfiable::ScheduleAnyway,
    ]);
    let selector = prop::option::weighted(0.9, pod_selector());
    let constraint = (
        (selector, topology_key(), 1..4i32, kind),
        (prop::option::of(1..4i32), any::<bool>(), any::<bool>()),
    );
    let constraint = constraint.prop_map(
        |((selector, topology_key, max_skew, when_unsatisfiable), (min_domains, affinity, taints))| SpreadConstraint {
            pods: PodAffinityTerm {
                selector,
                namespaces: NamespaceScope::default(),
                topology_key,
            },
            max_skew,
            when_unsatisfiable,
            min_domains: min_domains.filter(|_| when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule),
            honor_node_affinity: affinity,
            honor_node_taints: taints,
        },
    );
    prop::option::weighted(0.4, prop::collection::vec(constraint, 1..=n))
        .prop_map(|constraints| constraints.unwrap_or_default().into())
}

fn node_requirement() -> impl Strategy<Value = Requirement> {
    select(vec![
        requirement(ZONE, Operator::In, &["0", "1"]),
        requirement(ZONE, Operator::NotIn, &["0"]),
        requirement(ZONE, Operator::DoesNotExist, &[]),
        requirement("rack", Operator::Gt, &["0"]),
        requirement("rack", Operator::Exists, &[]),
    ])
}

fn field_requirement() -> impl Strategy<Value = Requirement> {
    select(vec![
        requirement("metadata.name", Operator::In, &["n0", "n2", "n9"]),
        requirement("metadata.name", Operator::In, &["n1"]),
        requirement("metadata.name", Operator::NotIn, &["n0"]),
    ])
}

fn node_term() -> impl Strategy<Value = NodeSelectorTerm> {
    let labels = prop::collection::vec(node_requirement(), 0..3);
    let fields = prop::option::weighted(0.2, prop::collection::vec(field_requirement(), 1..3));
    (labels, fields).prop_map(|(labels, fields)| NodeSelectorTerm {
        match_expressions: labels.into(),
        match_fields: fields.unwrap_or_default().into(),
    })
}

fn toleration() -> impl Strategy<Value = Toleration> {
    let effect = select(vec![
        None,
        Some(TaintEffect::NoSchedule),
        Some(TaintEffect::PreferNoSchedule),
    ]);
    let operator = select(vec![TolerationOperator::Exists, TolerationOperator::Equal]);
    (select(vec!["", "t", "u"]), operator, effect).prop_map(|(key, operator, effect)| Toleration {
        key: key.into(),
        operator,
        value: "".into(),
        effect,
    })
}

fn charge() -> impl Strategy<Value = Charge> {
    let cpu = select(vec![0, 500, 1000, 5000]);
    let memory = select(vec![0, 100 << 20, 1 << 30]);
    (cpu, memory, 0..2i64, 0..2i64).prop_map(|(milli_cpu, memory, ephemeral_storage, gpus)| Charge {
        requests: ResourceList {
            milli_cpu,
            memory,
            ephemeral_storage,
            scalars: scalars(gpus),
        },
        scoring_milli_cpu: if milli_cpu == 0 {
            DEFAULT_MILLI_CPU_REQUEST
        } else {
            milli_cpu
        },
        scoring_memory: if memory == 0 { DEFAULT_MEMORY_REQUEST } else { memory },
    })
}

fn spec() -> impl Strategy<Value = PodSpec> {
    let port = (0..2u8, 0..2u16).prop_map(|(ip, port)| HostPort {
        ip: ["0.0.0.0", "10.0.0.1"][ip as usize].into(),
        protocol: Protocol::Tcp,
        port: 80 + port,
    });
    let required = prop::option::weighted(0.2, prop::collection::vec(node_term(), 0..3));
    let preferred = prop::collection::vec((1..=100i32, node_term()), 0..2);
    let on_nodes = (required, preferred, prop::option::weighted(0.1, 0..3u8));
    let by_pods = (terms(2), terms(2), weighted_terms(), weighted_terms(), spread(2));
    let rest = (
        charge(),
        prop::collection::vec(port, 0..2),
        prop::collection::vec(toleration(), 0..2),
        texts(&IMAGES, 3),
        prop::option::weighted(0.2, texts(&FEATURES, 2)),
    );
    (on_nodes, by_pods, rest).prop_map(
        |(
            (required, preferred, zone),
            (affinity, anti_affinity, preferred_affinity, preferred_anti_affinity, spread),
            (charge, ports, tolerations, images, features),
        )| PodSpec {
            node_selector: zone.map(|zone| (ZONE, zone.to_string())).into_iter().collect(),
            node_affinity: required.map(Into::into),
            preferred_node_affinity: preferred
                .into_iter()
                .map(|(weight, term)| PreferredTerm { weight, term })
                .collect(),
            tolerations: tolerations.into(),
            host_ports: ports.into(),
            charge,
            affinity,
            anti_affinity,
            preferred_affinity,
            preferred_anti_affinity,
            spread,
            images,
            required_features: features.unwrap_or_default(),
            ..PodSpec::default()
        },
    )
}

fn pod() -> impl Strategy<Value = Pod> {
    let app = prop::option::of(select(vec!["x", "y"])).prop_map(|app| app.map(|app| ("app", app)));
    let tier = prop::option::of(Just(("tier", "1")));
    let namespace = select(vec!["default", "default", "a", "b"]);
    let owners = prop::option::of(pod_selector());
    (namespace, app, tier, prop::bool::weighted(0.1), owners, spec()).prop_map(
        |(namespace, app, tier, terminating, owners, mut spec)| {
            for constraint in &mut spec.spread {
                constraint.pods.namespaces.names = Box::new([namespace.into()]);
            }
            Pod {
                namespace,
                labels: app.into_iter().chain(tier).collect(),
                terminating,
                owners: owners.filter(|_| spec.spread.is_empty()),
                spec,
            }
        },
    )
}

/// The default profile of a minor, or one whose arguments all differ from the defaults.
fn profile_spec(minor: KubeMinor, variant: u8) -> ProfileSpec {
    let mut profile = ProfileSpec::default_for("muster", minor);
    if variant == 0 {
        return profile;
    }
    let args = &mut profile.args;
    let term = |requirement| NodeSelectorTerm {
        match_expressions: Box::new([requirement]),
        match_fields: Box::new([]),
    };
    let in_a_zone = requirement(ZONE, Operator::Exists, &[]);
    let in_a_rack = requirement("rack", Operator::In, &["1"]);
    args.node_affinity.added_required = Some(Box::new([term(in_a_zone)]));
    args.node_affinity.added_preferred = Box::new([PreferredTerm {
        weight: 30,
        term: term(in_a_rack),
    }]);
    let resources = ["cpu", "memory", "ephemeral-storage", GPU, "example.com/none"];
    let resources = resources.iter().enumerate().map(|(at, name)| ResourceWeight {
        name: (*name).into(),
        weight: at as i64 + 1,
    });
    args.node_resources_fit.resources = resources.clone().collect();
    args.balanced_allocation.resources = resources.collect();
    args.node_resources_fit.ignored_resources = vec!["example.com/none".into()];
    args.node_resources_fit.strategy = match variant {
        1 => StrategyType::MostAllocated,
        _ => StrategyType::RequestedToCapacityRatio,
    };
    args.node_resources_fit.shape = [(0, 0), (40, 10), (100, 3)]
        .map(|(utilization, score)| ShapePoint { utilization, score })
        .into();
    let constraint = |topology_key: &str, when_unsatisfiable| DefaultConstraint {
        max_skew: 1,
        topology_key: topology_key.into(),
        when_unsatisfiable,
    };
    args.pod_topology_spread.system_defaulted = false;
    args.pod_topology_spread.default_constraints = vec![
        constraint(ZONE, WhenUnsatisfiable::DoNotSchedule),
        constraint("rack", WhenUnsatisfiable::ScheduleAnyway),
    ];
    args.inter_pod_affinity.hard_pod_affinity_weight = 10;
    args.inter_pod_affinity.ignore_preferred_terms_of_existing_pods = variant == 1;
    profile
}

// ---- judging -----------------------------------------------------------------------------------------------------

fn footprint<'a>(pod: &'a Pod, namespace_labels: &'a Option<Labels>) -> Footprint<'a> {
    Footprint {
        identity: muster_framework::selection::PodIdentity {
            namespace: pod.namespace,
            namespace_labels: namespace_labels.as_ref(),
            labels: &pod.labels,
            terminating: pod.terminating,
        },
        charge: &pod.spec.charge,
        spec: &pod.spec,
    }
}

fn to_place<'a>(
    pod: &'a Pod,
    namespace_labels: &'a Option<Labels>,
    compiled: &'a CompiledSpec,
    default_selection: Option<SelectionOrd>,
) -> PodToPlace<'a> {
    PodToPlace {
        uid: "uid",
        namespace: pod.namespace,
        name: "pod",
        namespace_labels: namespace_labels.as_ref(),
        labels: &pod.labels,
        terminating: pod.terminating,
        spec: &pod.spec,
        compiled,
        default_selection,
    }
}

fn add(table: &mut NodeTable, node: NodeOrd, pod: &Pod) {
    table.add_pod(node, footprint(pod, &namespace_labels(pod.namespace)));
}

fn remove(table: &mut NodeTable, node: NodeOrd, pod: &Pod) {
    table.remove_pod(node, footprint(pod, &namespace_labels(pod.namespace)));
}

/// What one plugin says of each feasible node: the raw score and the normalised one.
type Scores = (&'static str, Vec<(NodeOrd, i64, i64)>);

/// Everything that the pipeline says of a pod.
#[derive(Debug, PartialEq)]
struct Verdict {
    /// The verdict on the whole pod, if there is one: then no node is judged.
    pod: Option<PodRejection>,
    /// Filters with nothing to judge.
    skipped: Vec<&'static str>,
    feasible: Vec<NodeOrd>,
    rejected: Vec<NodeRejection>,
    scores: Vec<Scores>,
}

/// Judges as the pipeline does, one plugin after another, without any short cut.
fn judge(profile: &Profile, table: &NodeTable, delta: &Delta, pod: &PodToPlace<'_>) -> Verdict {
    let view = View::new(table, delta);
    let mut nodes = table.live().clone();
    nodes.grow(table.padded_len());
    let mut rejections = Rejections::detailed();
    let mut verdict = Verdict {
        pod: None,
        skipped: vec![],
        feasible: vec![],
        rejected: vec![],
        scores: vec![],
    };
    for (plugin, filter) in profile.filters() {
        match filter.pre_filter(pod, &view) {
            PreFilter::Skip => verdict.skipped.push(plugin),
            PreFilter::Judge => {}
            PreFilter::Narrow(meant) => {
                rejections.begin(plugin);
                let not_meant = Reason::Sentence("not meant");
                let code = Code::UnschedulableAndUnresolvable;
                nodes.retain(
                    |node| meant.contains(table.name(node)),
                    |node| rejections.reject(node, code, not_meant.clone()),
                );
            }
            PreFilter::Reject(code, reasons) => {
                verdict.pod = Some(PodRejection { plugin, code, reasons });
                return verdict;
            }
        }
    }
    for (plugin, filter) in profile
        .filters()
        .filter(|(plugin, _)| !verdict.skipped.contains(plugin))
    {
        rejections.begin(plugin);
        filter.filter(pod, &view, &mut nodes, &mut rejections);
    }
    verdict.rejected = rejections.details().to_vec();
    verdict.rejected.sort_by_key(|rejection| rejection.node);
    verdict.feasible = nodes.iter().collect();
    if !nodes.is_empty() {
        verdict.scores = score(profile, &view, pod, &nodes);
    }
    verdict
}

fn score(profile: &Profile, view: &View<'_>, pod: &PodToPlace<'_>, nodes: &NodeSet) -> Vec<Scores> {
    let plugins = profile.scores().filter(|(_, _, score)| !score.skips(pod, view, nodes));
    let scores = plugins.map(|(name, _, score)| {
        // What stands in the column before must not matter.
        let mut column = vec![-7; view.table().padded_len()];
        score.score(pod, view, nodes, &mut column);
        let raw = column.clone();
        score.normalize(pod, view, nodes, &mut column);
        let of_node = |node: NodeOrd| (node, raw[node.index()], column[node.index()]);
        (name, nodes.iter().map(of_node).collect())
    });
    scores.collect()
}

/// A table with nodes and pods, the profile that judges it, and pods compiled for it.
struct World {
    table: NodeTable,
    profile: Profile,
    compiled: Vec<CompiledSpec>,
    default_selection: Option<SelectionOrd>,
}

/// Builds a world where `placed` are on nodes, and `waiting` are compiled; the first of them is the one to be judged.
fn build(nodes: &[NodeRecord], spec: &(KubeMinor, u8), placed: &[(NodeOrd, &Pod)], waiting: &[&Pod]) -> World {
    let mut table = NodeTable::new();
    let profile = Profile::new(&profile_spec(spec.0, spec.1), spec.0, &mut table);
    nodes.iter().for_each(|node| {
        table.apply(node);
    });
    placed.iter().for_each(|(node, pod)| add(&mut table, *node, pod));
    let compiled = waiting
        .iter()
        .map(|pod| CompiledSpec::compile(&pod.spec, &mut table))
        .collect();
    let default_selection = waiting[0].owners.as_ref().map(|owners| {
        let pods = PodSelector {
            selector: Some(owners.clone()),
            namespaces: NamespaceScope {
                names: Box::new([waiting[0].namespace.into()]),
                selector: None,
            },
        };
        table.acquire_selection(Selection::of_spread(pods), &[])
    });
    World {
        table,
        profile,
        compiled,
        default_selection,
    }
}

impl World {
    fn judge(&self, delta: &Delta, pod: &Pod) -> Verdict {
        let labels = namespace_labels(pod.namespace);
        let pod = to_place(pod, &labels, &self.compiled[0], self.default_selection);
        judge(&self.profile, &self.table, delta, &pod)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_view_equals_the_table_with_the_delta_applied(
        nodes in prop::collection::vec(node(), 1..7),
        placed in prop::collection::vec((pod(), 0..7usize, any::<bool>()), 0..7),
        added in prop::collection::vec((pod(), 0..7usize), 0..4),
        incoming in pod(),
        minor in select(vec![KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37]),
        variant in 0..3u8,
    ) {
        let nodes = named(nodes);
        let at = |n: usize| NodeOrd((n % nodes.len()) as u32);
        let on_nodes: Vec<(NodeOrd, &Pod)> = placed.iter().map(|(pod, n, _)| (at(*n), pod)).collect();
        let removed: Vec<(NodeOrd, &Pod)> = placed.iter().filter(|(_, _, r)| *r).map(|(pod, n, _)| (at(*n), pod)).collect();
        let stay = placed.iter().filter(|(_, _, r)| !*r).map(|(pod, n, _)| (at(*n), pod));
        let added: Vec<(NodeOrd, &Pod)> = added.iter().map(|(pod, n)| (at(*n), pod)).collect();
        let waiting: Vec<&Pod> = std::iter::once(&incoming).chain(added.iter().map(|(_, pod)| *pod)).collect();
        let mut world = build(&nodes, &(minor, variant), &on_nodes, &waiting);

        let mut delta = Delta::default();
        for (node, pod) in &removed {
            delta.remove(&world.table, *node, footprint(pod, &namespace_labels(pod.namespace)));
        }
        for ((node, pod), compiled) in added.iter().zip(&world.compiled[1..]) {
            let labels = namespace_labels(pod.namespace);
            delta.add(&world.table, *node, &to_place(pod, &labels, compiled, None));
        }
        let on_view = world.judge(&delta, &incoming);
        let untouched = world.judge(&Delta::default(), &incoming);

        removed.iter().for_each(|(node, pod)| remove(&mut world.table, *node, pod));
        added.iter().for_each(|(node, pod)| add(&mut world.table, *node, pod));
        let applied = world.judge(&Delta::default(), &incoming);
        prop_assert_eq!(&on_view, &applied, "base ⊕ delta, and the delta applied");
        for verdict in [&on_view, &untouched] {
            let n_judged = verdict.feasible.len() + verdict.rejected.len();
            prop_assert!(verdict.pod.is_some() || n_judged == nodes.len(), "every node is feasible or blamed once");
        }
        let there: Vec<(NodeOrd, &Pod)> = stay.chain(added.iter().copied()).collect();
        let anew = build(&nodes, &(minor, variant), &there, &waiting);
        prop_assert_eq!(&applied, &anew.judge(&Delta::default(), &incoming), "counted on, and counted anew");

        // And back: taking off is the exact reverse of putting on.
        added.iter().for_each(|(node, pod)| remove(&mut world.table, *node, pod));
        removed.iter().for_each(|(node, pod)| add(&mut world.table, *node, pod));
        prop_assert_eq!(untouched, world.judge(&Delta::default(), &incoming), "there and back");
    }

    #[test]
    fn affinity_by_columns_equals_affinity_by_labels(
        nodes in prop::collection::vec(node(), 1..80),
        required in prop::option::of(prop::collection::vec(node_term(), 0..3)),
        zone in prop::option::of(0..3u8),
    ) {
        let nodes = named(nodes);
        let mut table = NodeTable::new();
        nodes.iter().for_each(|node| { table.apply(node); });
        let spec = PodSpec {
            node_selector: zone.map(|zone| (ZONE, zone.to_string())).into_iter().collect(),
            node_affinity: required.map(Into::into),
            ..PodSpec::default()
        };
        let compiled = CompiledSpec::compile(&spec, &mut table);
        let required = muster_framework::node_match::RequiredAffinity::of(&table, &compiled);
        for (at, node) in nodes.iter().enumerate() {
            let selected = spec.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
            let terms = spec.node_affinity.as_ref();
            let expected = selected && terms.is_none_or(|terms| terms.iter().any(|t| t.matches(&node.name, &node.labels)));
            prop_assert_eq!(required.matches(NodeOrd(at as u32)), expected, "node {}", at);
            let block = at / usize::BITS as usize * usize::BITS as usize;
            prop_assert_eq!(required.bits(block) >> (at - block) & 1 == 1, expected, "node {} in its block", at);
        }
        compiled.release(&mut table);
    }
}
