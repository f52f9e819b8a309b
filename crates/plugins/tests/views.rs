//! Property: judging a pod on base ⊕ delta equals judging it on the base with the delta applied, for every plugin, with
//! pods added and pods removed.

use muster_framework::compiled::CompiledSpec;
use muster_framework::labels::Labels;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::PodToPlace;
use muster_framework::record::{HostPort, NamespaceScope, NodeRecord, PodAffinityTerm, PodSpec, Protocol};
use muster_framework::rejection::{NodeRejection, Rejections};
use muster_framework::resource::{Charge, ResourceList};
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, Operator, PreferredTerm, Requirement};
use muster_framework::table::{Footprint, NodeOrd, NodeTable};
use muster_framework::taint::{Taint, TaintEffect, Toleration, TolerationOperator};
use muster_framework::view::{Delta, View};
use muster_plugins::Profile;
use proptest::prelude::*;

fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement {
        key: key.into(),
        operator,
        values: values.iter().map(|v| (*v).into()).collect(),
    }
}

fn node() -> impl Strategy<Value = NodeRecord> {
    let taint = (0..3usize).prop_map(|at| Taint {
        key: "t".into(),
        value: "".into(),
        effect: [
            TaintEffect::NoSchedule,
            TaintEffect::PreferNoSchedule,
            TaintEffect::NoExecute,
        ][at],
    });
    (
        prop::option::of(0..3u8),
        prop::option::of(taint),
        any::<bool>(),
        0..5i64,
        0..3i64,
        0..4i64,
    )
        .prop_map(|(zone, taint, unschedulable, cpu, gpus, pods)| NodeRecord {
            name: "".into(),
            resource_version: 0,
            labels: zone.map(|zone| ("zone", format!("{zone}"))).into_iter().collect(),
            taints: taint.into_iter().collect(),
            unschedulable,
            allocatable: ResourceList {
                milli_cpu: cpu,
                memory: 10,
                scalars: if gpus == 0 {
                    vec![]
                } else {
                    vec![("example.com/gpu".into(), gpus)]
                },
                ..ResourceList::default()
            },
            allowed_pods: pods,
        })
}

fn spec() -> impl Strategy<Value = PodSpec> {
    let port = (0..2u8, 0..2u16).prop_map(|(ip, port)| HostPort {
        ip: ["0.0.0.0", "10.0.0.1"][ip as usize].into(),
        protocol: Protocol::Tcp,
        port: 80 + port,
    });
    let term = Just(PodAffinityTerm {
        selector: Some(LabelSelector::default()),
        namespaces: NamespaceScope {
            names: Box::new(["default".into()]),
            selector: None,
        },
        topology_key: "zone".into(),
    });
    let affinity = prop::sample::select(vec![
        requirement("zone", Operator::In, &["0", "1"]),
        requirement("zone", Operator::NotIn, &["0"]),
        requirement("zone", Operator::DoesNotExist, &[]),
        requirement("zone", Operator::Gt, &["0"]),
    ]);
    let toleration = Toleration {
        key: "t".into(),
        operator: TolerationOperator::Exists,
        value: "".into(),
        effect: None,
    };
    (
        (0..3i64, 0..2i64),
        prop::collection::vec(port, 0..2),
        prop::collection::vec(term, 0..2),
        prop::option::of(affinity.clone()),
        prop::option::of(affinity),
        prop::option::weighted(0.3, Just(toleration)),
    )
        .prop_map(|((cpu, gpus), ports, terms, required, preferred, toleration)| {
            let term = |r: Requirement| NodeSelectorTerm {
                match_expressions: Box::new([r]),
                match_fields: Box::new([]),
            };
            PodSpec {
                node_affinity: required.map(|r| vec![term(r)].into()),
                preferred_node_affinity: preferred
                    .map(|r| PreferredTerm {
                        weight: 5,
                        term: term(r),
                    })
                    .into_iter()
                    .collect(),
                tolerations: toleration.into_iter().collect(),
                host_ports: ports.into(),
                anti_affinity: terms.into(),
                charge: Charge {
                    requests: ResourceList {
                        milli_cpu: cpu,
                        scalars: if gpus == 0 {
                            vec![]
                        } else {
                            vec![("example.com/gpu".into(), gpus)]
                        },
                        ..ResourceList::default()
                    },
                    scoring_milli_cpu: cpu,
                    scoring_memory: 1,
                },
                ..PodSpec::default()
            }
        })
}

fn footprint(spec: &PodSpec) -> Footprint<'_> {
    Footprint {
        charge: &spec.charge,
        ports: &spec.host_ports,
        anti_affinity: &spec.anti_affinity,
    }
}

/// Everything that the pipeline says of a pod: the feasible nodes, each rejection in full, each plugin's scores.
type Verdict = (NodeSet, Vec<NodeRejection>, Vec<(&'static str, Vec<i64>)>);

fn judge(table: &NodeTable, delta: &Delta, spec: &PodSpec, compiled: &CompiledSpec) -> Verdict {
    let labels = Labels::default();
    let pod = PodToPlace {
        namespace: "default",
        namespace_labels: None,
        labels: &labels,
        spec,
        compiled,
    };
    let view = View::new(table, delta);
    let profile = Profile::default();
    let mut nodes = table.live().clone();
    nodes.grow(table.padded_len());
    let mut rejections = Rejections::detailed();
    for (name, filter) in profile.filters().filter(|(_, filter)| !filter.skips(&pod)) {
        rejections.begin(name);
        filter.filter(&pod, &view, &mut nodes, &mut rejections);
    }
    let scores = profile
        .scores()
        .filter(|(_, _, score)| !score.skips(&pod))
        .map(|(name, _, score)| {
            let mut scores = vec![0; table.padded_len()];
            score.score(&pod, &view, &nodes, &mut scores);
            score.normalize(&nodes, &mut scores);
            (name, scores)
        });
    let scores = scores.collect();
    let mut details = rejections.details().to_vec();
    details.sort_by_key(|rejection| rejection.node);
    (nodes, details, scores)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_view_equals_the_table_with_the_delta_applied(
        nodes in prop::collection::vec(node(), 1..6),
        placed in prop::collection::vec((spec(), 0..6usize), 0..6),
        added in prop::collection::vec((spec(), 0..6usize), 0..4),
        removals in prop::collection::vec(any::<bool>(), 6),
        incoming in spec(),
    ) {
        let mut table = NodeTable::new();
        for (at, node) in nodes.iter().enumerate() {
            table.apply(&NodeRecord { name: format!("n{at}").into(), ..node.clone() });
        }
        let at = |n: usize| NodeOrd((n % nodes.len()) as u32);
        placed.iter().for_each(|(spec, n)| table.add_pod(at(*n), footprint(spec)));
        let compiled = CompiledSpec::compile(&incoming, &mut table);

        let mut delta = Delta::default();
        for ((spec, n), _) in placed.iter().zip(&removals).filter(|(_, remove)| **remove) {
            delta.remove(&table, at(*n), footprint(spec));
        }
        added.iter().for_each(|(spec, n)| delta.add(&table, at(*n), footprint(spec)));
        let on_view = judge(&table, &delta, &incoming, &compiled);
        let untouched = judge(&table, &Delta::default(), &incoming, &compiled);

        for ((spec, n), _) in placed.iter().zip(&removals).filter(|(_, remove)| **remove) {
            table.remove_pod(at(*n), footprint(spec));
        }
        added.iter().for_each(|(spec, n)| table.add_pod(at(*n), footprint(spec)));
        prop_assert_eq!(&on_view, &judge(&table, &Delta::default(), &incoming, &compiled));
        prop_assert_eq!(on_view.0.len() + on_view.1.len(), nodes.len(), "every node is feasible or blamed once");

        // And back: taking off is the exact reverse of putting on.
        added.iter().for_each(|(spec, n)| table.remove_pod(at(*n), footprint(spec)));
        for ((spec, n), _) in placed.iter().zip(&removals).filter(|(_, remove)| **remove) {
            table.add_pod(at(*n), footprint(spec));
        }
        prop_assert_eq!(untouched, judge(&table, &Delta::default(), &incoming, &compiled));
    }

    #[test]
    fn affinity_by_columns_equals_affinity_by_labels(nodes in prop::collection::vec(node(), 1..80), incoming in spec()) {
        let mut table = NodeTable::new();
        for (at, node) in nodes.iter().enumerate() {
            table.apply(&NodeRecord {
                name: format!("n{at}").into(), unschedulable: false, taints: vec![], allowed_pods: 9,
                allocatable: ResourceList { milli_cpu: 9, memory: 9, scalars: vec![("example.com/gpu".into(), 9)], ..ResourceList::default() },
                ..node.clone()
            });
        }
        let compiled = CompiledSpec::compile(&incoming, &mut table);
        let (feasible, _, _) = judge(&table, &Delta::default(), &incoming, &compiled);
        for (at, node) in nodes.iter().enumerate() {
            let expected = incoming.node_affinity.as_ref().is_none_or(|terms| terms.iter().any(|t| t.matches("", &node.labels)));
            prop_assert_eq!(feasible.contains(NodeOrd(at as u32)), expected, "node {}", at);
        }
        compiled.release(&mut table);
    }
}
