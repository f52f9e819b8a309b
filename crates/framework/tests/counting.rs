//! Property: whatever happens to pods, nodes, namespaces and to those who ask, the counts of selections and of the terms
//! of placed pods are those of a plain recount, on the base and on a delta over it.

use muster_framework::Text;
use muster_framework::compiled::CompiledSpec;
use muster_framework::labels::Labels;
use muster_framework::plugin::PodToPlace;
use muster_framework::record::{NamespaceScope, NodeRecord, PodAffinityTerm, PodSpec, WeightedPodAffinityTerm};
use muster_framework::resource::ResourceList;
use muster_framework::selection::{PodIdentity, PodSelector, Selection, SelectionOrd, TermKind, terms_of};
use muster_framework::selector::{LabelSelector, Operator, Requirement};
use muster_framework::table::{ColumnOrd, Footprint, NodeOrd, NodeTable};
use muster_framework::view::{Delta, PodCounts, View};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

const NAMESPACES: [&str; 2] = ["blue", "red"];
const KEYS: [&str; 2] = ["host", "zone"];
const N_NODES: usize = 5;
const N_TEMPLATES: usize = 4;

// ---- what can happen ---------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
struct Pod {
    node: usize,
    namespace: usize,
    labels: Labels,
    terminating: bool,
    template: usize,
}

#[derive(Debug, Clone)]
enum Step {
    Place(Pod),
    TakeOff(usize),
    /// Somebody asks for a selection of the catalogue, by some of the keys.
    Ask(usize, Vec<usize>),
    /// One who has asked stops.
    Forget(usize),
    /// Pods of this template are compiled, or are not any more.
    Compile(usize),
    Release(usize),
    /// A node gets other labels.
    Label(usize, Labels),
    /// A node goes with its pods, and comes again.
    Replace(usize, Labels),
    /// A namespace is seen, gets other labels, or is gone.
    Namespace(usize, Option<Labels>),
    Check,
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement {
        key: key.into(),
        operator,
        values: values.iter().map(|v| Text::from(*v)).collect(),
    }
}

fn selector(requirements: &[Requirement]) -> Option<LabelSelector> {
    Some(LabelSelector {
        requirements: requirements.into(),
    })
}

fn scope(names: &[&str], selector: Option<LabelSelector>) -> NamespaceScope {
    NamespaceScope {
        names: names.iter().map(|n| Text::from(*n)).collect(),
        selector,
    }
}

fn term(selector: Option<LabelSelector>, namespaces: NamespaceScope, topology_key: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        selector,
        namespaces,
        topology_key: topology_key.into(),
    }
}

/// What pods may say of others.
fn terms() -> Vec<PodAffinityTerm> {
    let app = |values: &[&str]| selector(&[requirement("app", Operator::In, values)]);
    let not_x = selector(&[requirement("app", Operator::NotIn, &["x"])]);
    let old = selector(&[requirement("era", Operator::In, &["old"])]);
    let not_old = selector(&[requirement("era", Operator::NotIn, &["old"])]);
    vec![
        term(app(&["x"]), scope(&["blue"], None), "zone"),
        term(app(&["x", "y"]), scope(&["blue", "red"], None), "host"),
        term(selector(&[]), scope(&[], selector(&[])), "zone"),
        term(app(&["y"]), scope(&[], old.clone()), "zone"),
        term(selector(&[]), scope(&["red"], not_old), "host"),
        term(None, scope(&["blue"], None), "zone"),
        term(not_x, scope(&["blue"], old), "zone"),
    ]
}

/// What may be asked about placed pods.
fn catalogue() -> Vec<Selection> {
    let terms = terms();
    let single = terms.iter().map(|term| Selection::of_terms([term]));
    let spread = terms.iter().map(|term| Selection::of_spread(PodSelector::from(term)));
    let several = [&terms[1..3], &terms[2..4], &terms[4..6], &terms[5..7]];
    let several = several.into_iter().map(Selection::of_terms);
    single.chain(spread).chain(several).collect()
}

/// Pods that bring terms along, of every kind; the first brings none.
fn templates() -> Vec<PodSpec> {
    let terms = terms();
    let weighted = |weight, at: usize| WeightedPodAffinityTerm {
        weight,
        term: terms[at].clone(),
    };
    vec![
        PodSpec::default(),
        PodSpec {
            anti_affinity: Box::new([terms[0].clone(), terms[1].clone()]),
            ..PodSpec::default()
        },
        PodSpec {
            affinity: Box::new([terms[1].clone()]),
            anti_affinity: Box::new([terms[3].clone(), terms[3].clone()]),
            preferred_affinity: Box::new([weighted(3, 2), weighted(4, 2)]),
            ..PodSpec::default()
        },
        PodSpec {
            preferred_affinity: Box::new([weighted(3, 2)]),
            preferred_anti_affinity: Box::new([weighted(3, 2), weighted(7, 4)]),
            ..PodSpec::default()
        },
    ]
}

fn pod() -> impl Strategy<Value = Pod> {
    let app = select(vec![
        labels(&[]),
        labels(&[("app", "x")]),
        labels(&[("app", "y"), ("tier", "1")]),
    ]);
    let terminating = prop::bool::weighted(0.2);
    (0..N_NODES, 0..NAMESPACES.len(), app, terminating, 0..N_TEMPLATES).prop_map(
        |(node, namespace, labels, terminating, template)| Pod {
            node,
            namespace,
            labels,
            terminating,
            template,
        },
    )
}

fn node_labels() -> impl Strategy<Value = Labels> {
    let zone = prop::option::weighted(0.8, select(vec!["", "a", "b"]));
    let host = prop::option::weighted(0.8, select(vec!["1", "2", "3", "4", "5"]));
    (zone, host).prop_map(|(zone, host)| {
        let zone = zone.map(|zone| ("zone", zone));
        let host = host.map(|host| ("host", host));
        zone.into_iter().chain(host).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let keys = prop::sample::subsequence((0..KEYS.len()).collect::<Vec<_>>(), 0..=KEYS.len());
    let era = select(vec![
        None,
        Some(labels(&[])),
        Some(labels(&[("era", "old")])),
        Some(labels(&[("era", "new")])),
    ]);
    prop_oneof![
        6 => pod().prop_map(Step::Place),
        3 => any::<usize>().prop_map(Step::TakeOff),
        4 => (0..catalogue().len(), keys).prop_map(|(at, keys)| Step::Ask(at, keys)),
        1 => any::<usize>().prop_map(Step::Forget),
        1 => (0..N_TEMPLATES).prop_map(Step::Compile),
        1 => any::<usize>().prop_map(Step::Release),
        2 => (0..N_NODES, node_labels()).prop_map(|(node, labels)| Step::Label(node, labels)),
        1 => (0..N_NODES, node_labels()).prop_map(|(node, labels)| Step::Replace(node, labels)),
        2 => (0..NAMESPACES.len(), era).prop_map(|(at, era)| Step::Namespace(at, era)),
        2 => Just(Step::Check),
    ]
}

// ---- what is, kept by the table and plainly ----------------------------------------------------------------------

struct World {
    table: NodeTable,
    templates: Vec<PodSpec>,
    columns: [ColumnOrd; 2],
    node_labels: Vec<Labels>,
    namespaces: [Option<Labels>; 2],
    pods: Vec<Pod>,
    asked: Vec<(Selection, SelectionOrd)>,
    compiled: Vec<CompiledSpec>,
}

fn record(node: usize, labels: &Labels) -> NodeRecord {
    NodeRecord {
        name: format!("n{node}").into(),
        resource_version: 0,
        labels: labels.clone(),
        taints: vec![],
        unschedulable: false,
        allocatable: ResourceList::default(),
        allowed_pods: 0,
        images: Box::default(),
        declared_features: Box::default(),
    }
}

fn identity<'a>(pod: &'a Pod, namespaces: &'a [Option<Labels>; 2]) -> PodIdentity<'a> {
    PodIdentity {
        namespace: NAMESPACES[pod.namespace],
        namespace_labels: namespaces[pod.namespace].as_ref(),
        labels: &pod.labels,
        terminating: pod.terminating,
    }
}

fn footprint<'a>(pod: &'a Pod, namespaces: &'a [Option<Labels>; 2], templates: &'a [PodSpec]) -> Footprint<'a> {
    let spec = &templates[pod.template];
    Footprint {
        identity: identity(pod, namespaces),
        charge: &spec.charge,
        spec,
    }
}

impl World {
    fn new() -> World {
        let mut table = NodeTable::new();
        let columns = KEYS.map(|key| table.acquire_column(&key.into()));
        (0..N_NODES).for_each(|node| {
            table.apply(&record(node, &Labels::default()));
        });
        World {
            table,
            templates: templates(),
            columns,
            node_labels: vec![Labels::default(); N_NODES],
            namespaces: [None, None],
            pods: vec![],
            asked: vec![],
            compiled: vec![],
        }
    }

    fn node(&self, node: usize) -> NodeOrd {
        self.table.by_name(&format!("n{node}")).expect("the node is there")
    }

    fn place(&mut self, pod: &Pod) {
        let node = self.node(pod.node);
        let footprint = footprint(pod, &self.namespaces, &self.templates);
        self.table.add_pod(node, footprint);
    }

    fn take_off(&mut self, pod: &Pod) {
        let node = self.node(pod.node);
        let footprint = footprint(pod, &self.namespaces, &self.templates);
        self.table.remove_pod(node, footprint);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Place(pod) => {
                self.place(&pod);
                self.pods.push(pod);
            }
            Step::TakeOff(at) if !self.pods.is_empty() => {
                let pod = self.pods.swap_remove(at % self.pods.len());
                self.take_off(&pod);
            }
            Step::Ask(at, keys) => {
                let selection = catalogue().swap_remove(at);
                let columns: Vec<ColumnOrd> = keys.iter().map(|key| self.columns[*key]).collect();
                let ord = self.table.acquire_selection(selection.clone(), &columns);
                self.asked.push((selection, ord));
            }
            Step::Forget(at) if !self.asked.is_empty() => {
                let (_, ord) = self.asked.swap_remove(at % self.asked.len());
                self.table.release_selection(ord);
            }
            Step::Compile(template) => {
                let compiled = CompiledSpec::compile(&self.templates[template], &mut self.table);
                self.compiled.push(compiled);
            }
            Step::Release(at) if !self.compiled.is_empty() => {
                let compiled = self.compiled.swap_remove(at % self.compiled.len());
                compiled.release(&mut self.table);
            }
            Step::Label(node, labels) => {
                self.table.apply(&record(node, &labels));
                self.node_labels[node] = labels;
            }
            Step::Replace(node, labels) => self.replace(node, labels),
            Step::Namespace(at, labels) => {
                self.table.set_namespace_labels(NAMESPACES[at], labels.as_ref());
                self.namespaces[at] = labels;
            }
            Step::Check | Step::TakeOff(_) | Step::Forget(_) | Step::Release(_) => {}
        }
    }

    fn replace(&mut self, node: usize, labels: Labels) {
        let (gone, stay): (Vec<Pod>, Vec<Pod>) = self.pods.drain(..).partition(|pod| pod.node == node);
        self.pods = stay;
        gone.iter().for_each(|pod| self.take_off(pod));
        let ord = self.node(node);
        self.table.remove(ord);
        self.table.apply(&record(node, &labels));
        self.node_labels[node] = labels;
    }
}

// ---- counted twice -----------------------------------------------------------------------------------------------

/// Pods by node, by domain of each key, and in all.
#[derive(Debug, Default, PartialEq)]
struct Recount {
    total: i64,
    on_nodes: BTreeMap<usize, i64>,
    domains: BTreeMap<(&'static str, Text), i64>,
}

/// Pods that terms may speak of.
fn probes() -> impl Iterator<Item = Pod> {
    let labelled = [labels(&[]), labels(&[("app", "x")]), labels(&[("app", "y")])];
    let both = labelled
        .into_iter()
        .flat_map(|labels| [(0, labels.clone()), (1, labels)]);
    both.map(|(namespace, labels)| Pod {
        node: 0,
        namespace,
        labels,
        terminating: false,
        template: 0,
    })
}

impl World {
    /// What `counts` tells.
    fn told(&self, counts: &PodCounts<'_>) -> Recount {
        let mut told = Recount {
            total: counts.total(),
            ..Recount::default()
        };
        counts.each_node(|node, n| {
            let name = self.table.name(node).trim_start_matches('n').parse();
            *told.on_nodes.entry(name.expect("a number")).or_default() += n;
            assert_eq!(counts.on(node), n);
        });
        for (key, column) in KEYS.into_iter().zip(self.columns) {
            let by_code = counts.by_domain(column);
            let mut inhabited = vec![];
            counts.each_inhabited(column, |code| inhabited.push(code));
            inhabited.sort_unstable();
            inhabited.dedup();
            let counted = (0..).zip(&by_code).filter(|(_, n)| **n > 0).map(|(code, _)| code);
            assert_eq!(inhabited, counted.collect::<Vec<u32>>());
            assert_eq!(counts.total_in(column), by_code.iter().sum::<i64>());
            for (code, n) in (0..).zip(by_code).filter(|(_, n)| *n != 0) {
                let value = self.table.column(column).value(code).expect("a value that a node has");
                told.domains.insert((key, value.clone()), n);
            }
        }
        told
    }

    /// The same, plainly.
    fn recount(&self, pods: &[(&Pod, i64)], counts: impl Fn(&Pod) -> bool) -> Recount {
        let mut recount = Recount::default();
        for (pod, sign) in pods.iter().filter(|(pod, _)| counts(pod)) {
            recount.total += sign;
            *recount.on_nodes.entry(pod.node).or_default() += sign;
            for key in KEYS {
                if let Some(value) = self.node_labels[pod.node].get(key) {
                    *recount.domains.entry((key, value.clone())).or_default() += sign;
                }
            }
        }
        recount.on_nodes.retain(|_, n| *n != 0);
        recount.domains.retain(|_, n| *n != 0);
        recount
    }

    fn check(&self, delta: &Delta, pods: &[(&Pod, i64)]) {
        let view = View::new(&self.table, delta);
        for (selection, ord) in &self.asked {
            let counts = |pod: &Pod| selection.selects(&identity(pod, &self.namespaces));
            let told = self.told(&view.selected(*ord));
            assert_eq!(told, self.recount(pods, counts), "{selection:?}");
            assert_eq!(view.selection(*ord), selection);
        }
        for probe in probes() {
            self.check_terms(&view, &identity(&probe, &self.namespaces), pods);
        }
    }

    /// The terms that speak of the probe: those of one kind and key are told together.
    fn check_terms(&self, view: &View<'_>, probe: &PodIdentity<'_>, pods: &[(&Pod, i64)]) {
        let mut told: BTreeMap<(TermKind, &str, Text), i64> = BTreeMap::new();
        for term in view.terms_selecting(probe) {
            let (kind, column) = view.term(term);
            let at = self.columns.iter().position(|known| *known == column);
            let key = KEYS[at.expect("a known column")];
            let domains = self.told(&view.bearers(term)).domains;
            for ((_, value), n) in domains.into_iter().filter(|((k, _), _)| *k == key) {
                *told.entry((kind, key, value)).or_default() += n;
            }
        }
        let mut expected: BTreeMap<(TermKind, &str, Text), i64> = BTreeMap::new();
        for (pod, sign) in pods {
            let terms = terms_of(&self.templates[pod.template]);
            let speaks = |term: &PodAffinityTerm| term.selects(probe.namespace, probe.namespace_labels, probe.labels);
            for (kind, term) in terms.filter(|(_, term)| speaks(term)) {
                if let Some(value) = self.node_labels[pod.node].get(&term.topology_key) {
                    *expected.entry((kind, &term.topology_key, value.clone())).or_default() += sign;
                }
            }
        }
        told.retain(|_, n| *n != 0);
        expected.retain(|_, n| *n != 0);
        assert_eq!(told, expected, "{probe:?}");
    }

    /// The world as a delta that puts pods on nodes and takes others off would have it.
    fn check_with_delta(&mut self, added: &[Pod], removed: &[bool]) {
        let specs: Vec<CompiledSpec> = (0..N_TEMPLATES)
            .map(|at| CompiledSpec::compile(&self.templates[at], &mut self.table))
            .collect();
        let mut delta = Delta::default();
        let mut pods: Vec<(&Pod, i64)> = self.pods.iter().map(|pod| (pod, 1)).collect();
        self.check(&delta, &pods);
        for (pod, _) in self.pods.iter().zip(removed).filter(|(_, removed)| **removed) {
            let footprint = footprint(pod, &self.namespaces, &self.templates);
            delta.remove(&self.table, self.node(pod.node), footprint);
            pods.push((pod, -1));
        }
        for pod in added {
            let to_place = PodToPlace {
                uid: "",
                name: "",
                namespace: NAMESPACES[pod.namespace],
                namespace_labels: self.namespaces[pod.namespace].as_ref(),
                labels: &pod.labels,
                terminating: pod.terminating,
                spec: &self.templates[pod.template],
                compiled: &specs[pod.template],
                default_selection: None,
            };
            delta.add(&self.table, self.node(pod.node), &to_place);
            pods.push((pod, 1));
        }
        self.check(&delta, &pods);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn counts_are_those_of_a_recount(
        steps in prop::collection::vec(step(), 1..50),
        added in prop::collection::vec(pod(), 0..4),
        removed in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut world = World::new();
        for step in steps {
            let check = matches!(step, Step::Check);
            world.take(step);
            if check {
                let pods: Vec<(&Pod, i64)> = world.pods.iter().map(|pod| (pod, 1)).collect();
                world.check(&Delta::default(), &pods);
            }
        }
        world.check_with_delta(&added, &removed);
    }
}
