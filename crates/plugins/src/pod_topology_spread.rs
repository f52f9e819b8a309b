//! PodTopologySpread: how evenly the pods of a selection lie over the domains of node labels.

mod by_domain;

use self::by_domain::{HardSpread, SoftSpread};
use crate::args::{DefaultConstraint, PodTopologySpreadArgs};
use crate::registry::Recipe;
use muster_framework::Text;
use muster_framework::cells::{DomainFilter, DomainScore};
use muster_framework::event::{ClusterEvent, EventKinds, EventPod, Hint};
use muster_framework::labels::Labels;
use muster_framework::lanes::{self, IN_RANGE};
use muster_framework::node_match::RequiredAffinity;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, MAX_NODE_SCORE, Plugin, PodToPlace, PreFilter, Reads, Score, range_of};
use muster_framework::record::WhenUnsatisfiable;
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::selection::SelectionOrd;
use muster_framework::table::{ColumnOrd, LabelColumn, NodeOrd, NodeTable};
use muster_framework::taint::{Taint, tolerated};
use muster_framework::view::{PodCounts, View};

/// The label by which pods are counted on each node when nodes are scored, whatever else the constraint says.
const HOSTNAME: &str = "kubernetes.io/hostname";

const SKEWED: Reason = Reason::Sentence("node(s) didn't match pod topology spread constraints");
const UNLABELLED: Reason =
    Reason::Sentence("node(s) didn't match pod topology spread constraints (missing required label)");

/// The plugin. Source: `pkg/scheduler/framework/plugins/podtopologyspread`.
#[derive(Debug)]
pub struct PodTopologySpread {
    defaults: Vec<DefaultConstraint>,
    system_defaulted: bool,
    /// The columns of the keys of `defaults`.
    columns: Vec<ColumnOrd>,
}

impl PodTopologySpread {
    /// The plugin with the arguments of its profile.
    pub fn new(recipe: Recipe<'_>) -> PodTopologySpread {
        let PodTopologySpreadArgs {
            default_constraints,
            system_defaulted,
        } = recipe.args.pod_topology_spread.clone();
        PodTopologySpread {
            defaults: default_constraints,
            system_defaulted,
            columns: Vec::new(),
        }
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn attach(&mut self, table: &mut NodeTable) {
        let keys = self.defaults.iter().map(|constraint| &constraint.topology_key);
        self.columns = keys.map(|key| table.acquire_column(key)).collect();
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

// ---- constraints -------------------------------------------------------------------------------------------------

/// What a constraint that holds for the pod asks: its own, or a default one.
#[derive(Debug, Clone, Copy)]
struct Terms {
    selection: SelectionOrd,
    column: ColumnOrd,
    by_hostname: bool,
    /// Whether the pod is one of those that are counted.
    selects_itself: bool,
    max_skew: i32,
    min_domains: i32,
    honor_node_affinity: bool,
    honor_node_taints: bool,
}

/// A constraint, with what it counts.
struct Constraint<'a> {
    terms: Terms,
    labels: &'a LabelColumn,
    pods: PodCounts<'a>,
}

impl Terms {
    fn on<'a>(self, view: &View<'a>) -> Constraint<'a> {
        Constraint {
            terms: self,
            labels: view.table().column(self.column),
            pods: view.selected(self.selection),
        }
    }
}

impl PodTopologySpread {
    /// Whether constraints of a kind hold for the pod. Default ones do when it states none of any kind, and a service or
    /// a controller tells which pods to count.
    fn has(&self, pod: &PodToPlace<'_>, kind: WhenUnsatisfiable) -> bool {
        if pod.spec.spread.is_empty() {
            pod.default_selection.is_some() && self.defaults.iter().any(|c| c.when_unsatisfiable == kind)
        } else {
            pod.spec.spread.iter().any(|c| c.when_unsatisfiable == kind)
        }
    }

    fn constraints<'a>(&self, pod: &PodToPlace<'_>, view: &View<'a>, kind: WhenUnsatisfiable) -> Vec<Constraint<'a>> {
        let terms = self.terms(pod, view, kind).into_iter();
        terms.map(|terms| terms.on(view)).collect()
    }

    /// Source: `filterTopologySpreadConstraints`, `buildDefaultConstraints`.
    fn terms(&self, pod: &PodToPlace<'_>, view: &View<'_>, kind: WhenUnsatisfiable) -> Vec<Terms> {
        if pod.spec.spread.is_empty() {
            return self.default_terms(pod, view, kind);
        }
        let own = pod.spec.spread.iter().zip(&pod.compiled.spread);
        let own = own.filter(|(constraint, _)| constraint.when_unsatisfiable == kind);
        own.map(|(constraint, compiled)| Terms {
            selection: compiled.selection,
            column: compiled.column,
            by_hostname: &*constraint.pods.topology_key == HOSTNAME,
            selects_itself: constraint.pods.selector.as_ref().is_some_and(|s| s.matches(pod.labels)),
            max_skew: constraint.max_skew,
            min_domains: constraint.min_domains.unwrap_or(1),
            honor_node_affinity: constraint.honor_node_affinity,
            honor_node_taints: constraint.honor_node_taints,
        })
        .collect()
    }

    fn default_terms(&self, pod: &PodToPlace<'_>, view: &View<'_>, kind: WhenUnsatisfiable) -> Vec<Terms> {
        let Some(selection) = pod.default_selection else {
            return Vec::new();
        };
        let parts = &view.selection(selection).all_of;
        let mut selectors = parts.iter().map(|part| part.selector.as_ref());
        let selects_itself = selectors.all(|selector| selector.is_some_and(|s| s.matches(pod.labels)));
        let defaults = self.defaults.iter().zip(&self.columns);
        let defaults = defaults.filter(|(constraint, _)| constraint.when_unsatisfiable == kind);
        defaults
            .map(|(constraint, column)| Terms {
                selection,
                column: *column,
                by_hostname: &*constraint.topology_key == HOSTNAME,
                selects_itself,
                max_skew: constraint.max_skew,
                min_domains: 1,
                honor_node_affinity: true,
                honor_node_taints: false,
            })
            .collect()
    }

    /// Whether nodes without all keys stand aside when nodes are scored. The constraints that upstream fills in are
    /// lenient: a node without a zone is still scored by its own pods.
    fn requires_all_keys(&self, pod: &PodToPlace<'_>) -> bool {
        !pod.spec.spread.is_empty() || !self.system_defaulted
    }
}

// ---- which nodes count -------------------------------------------------------------------------------------------

/// What narrows the nodes whose pods count, judged once for all constraints of a pod.
struct Inclusion<'a> {
    table: &'a NodeTable,
    /// Nodes that the pod requires. None: it may run on any.
    affinity: Option<RequiredAffinity<'a>>,
    /// By taint set, whether the pod tolerates it. None: it tolerates all.
    tolerated: Option<Vec<bool>>,
    /// Keys that a node needs to count at all, as far as there are nodes without them.
    keys: Vec<ColumnOrd>,
}

impl<'a> Inclusion<'a> {
    /// What `constraints` say of nodes, all of their keys being needed if `all_keys`.
    fn new(
        pod: &PodToPlace<'_>,
        table: &'a NodeTable,
        constraints: &[Constraint<'_>],
        all_keys: bool,
    ) -> Inclusion<'a> {
        let required = !pod.compiled.node_selector.is_empty() || pod.compiled.node_affinity.is_some();
        let affinity = required && constraints.iter().any(|c| c.terms.honor_node_affinity);
        let taints = constraints.iter().any(|c| c.terms.honor_node_taints);
        let tolerates = |taints: &[Taint]| {
            let mut off = taints.iter().filter(|taint| taint.effect.keeps_off());
            off.all(|taint| tolerated(&pod.spec.tolerations, taint))
        };
        let verdicts: Option<Vec<bool>> = taints.then(|| table.taint_sets().map(tolerates).collect());
        let scarce = |c: &&Constraint<'_>| all_keys && c.labels.n_labelled() < table.len();
        Inclusion {
            table,
            affinity: affinity.then(|| RequiredAffinity::of(table, pod.compiled)),
            tolerated: verdicts.filter(|verdicts| verdicts.contains(&false)),
            keys: constraints.iter().filter(scarce).map(|c| c.terms.column).collect(),
        }
    }

    /// The nodes whose pods count for `constraint`. None: all do that have its key.
    ///
    /// Source: `matchNodeInclusionPolicies`, `nodeLabelsMatchSpreadConstraints`.
    fn nodes(&self, constraint: &Constraint<'_>) -> Option<NodeSet> {
        let affinity = self.affinity.as_ref().filter(|_| constraint.terms.honor_node_affinity);
        let tolerated = self.tolerated.as_ref().filter(|_| constraint.terms.honor_node_taints);
        let mut others = self.keys.iter().filter(|key| **key != constraint.terms.column);
        if affinity.is_none() && tolerated.is_none() && others.next().is_none() {
            return None;
        }
        let mut nodes = self.table.live().clone();
        nodes.split_blocks(|first| {
            let keys = self.keys.iter().map(|key| self.table.column(*key).labelled_bits(first));
            let bits = keys.fold(usize::MAX, |all, bits| all & bits);
            bits & affinity.map_or(usize::MAX, |affinity| affinity.bits(first))
        });
        if let Some(tolerated) = tolerated {
            nodes.retain(|node| tolerated[self.table.taint_set(node)], |_| {});
        }
        Some(nodes)
    }
}

impl Constraint<'_> {
    /// How many pods each domain holds, by code, on the nodes that count.
    fn pods_by_domain(&self, counting: Option<&NodeSet>) -> Vec<i64> {
        let Some(counting) = counting else {
            return self.pods.by_domain(self.terms.column);
        };
        let mut domains = vec![0; self.labels.n_codes()];
        self.pods.each_node(|node, pods| {
            if counting.contains(node) {
                domains[self.labels.code(node) as usize] += pods;
            }
        });
        domains
    }

    /// For every code, whether the pod may join a domain with that value: no domain may then hold more than `max_skew`
    /// pods more than the emptiest one; that is taken to be empty while there are too few domains.
    ///
    /// Source: `calPreFilterState`, `minMatchNum`, `Filter` of `filtering.go`.
    fn admits(&self, counting: Option<&NodeSet>) -> Vec<bool> {
        let pods = self.pods_by_domain(counting);
        let mut counts = vec![false; pods.len()];
        match counting {
            Some(nodes) => nodes
                .iter()
                .for_each(|node| counts[self.labels.code(node) as usize] = true),
            None => (1..)
                .zip(&mut counts[1..])
                .for_each(|(code, counts)| *counts = self.labels.value(code).is_some()),
        }
        let domains = pods.iter().zip(&counts).skip(1).filter(|(_, counts)| **counts);
        let (n_domains, fewest) = domains.fold((0, None), |(n, fewest): (usize, Option<i64>), (pods, _)| {
            (n + 1, Some(fewest.map_or(*pods, |fewest| fewest.min(*pods))))
        });
        let most = self.terms.most(n_domains, fewest);
        let mut admits: Vec<bool> = pods.iter().map(|pods| *pods <= most).collect();
        admits[0] = false;
        admits
    }
}

impl Terms {
    /// How many pods a domain may hold that the pod joins, where so many domains count, and the emptiest holds `fewest`.
    ///
    /// Source: `minMatchNum`, `Filter` of `filtering.go`.
    fn most(&self, n_domains: usize, fewest: Option<i64>) -> i64 {
        let enough = i64::try_from(n_domains).is_ok_and(|n| n >= i64::from(self.min_domains));
        let fewest = if enough {
            fewest.unwrap_or(i64::from(i32::MAX))
        } else {
            0
        };
        i64::from(self.max_skew) - i64::from(self.selects_itself) + fewest.min(i64::from(i32::MAX))
    }

    /// Source: `scoreForCount`.
    fn credit(&self, pods: i64, weight: f64) -> f64 {
        pods as f64 * weight + f64::from(self.max_skew - 1)
    }
}

// ---- hard constraints --------------------------------------------------------------------------------------------

impl Filter for PodTopologySpread {
    fn pre_filter(&self, pod: &PodToPlace<'_>, _view: &View<'_>) -> PreFilter {
        if self.has(pod, WhenUnsatisfiable::DoNotSchedule) {
            PreFilter::Judge
        } else {
            PreFilter::Skip
        }
    }

    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let table = view.table();
        let constraints = self.constraints(pod, view, WhenUnsatisfiable::DoNotSchedule);
        let inclusion = Inclusion::new(pod, table, &constraints, true);
        for constraint in &constraints {
            let labels = constraint.labels;
            if labels.n_labelled() < table.len() {
                let unlabelled = nodes.split_blocks(|first| labels.labelled_bits(first));
                rejections.reject_nodes(&unlabelled, Code::UnschedulableAndUnresolvable, &UNLABELLED);
            }
            let admits = constraint.admits(inclusion.nodes(constraint).as_ref());
            if admits[1..].contains(&false) {
                let skewed = nodes.split_blocks(|first| labels.bits(first, &admits));
                rejections.reject_nodes(&skewed, Code::Unschedulable, &SKEWED);
            }
        }
    }

    fn moved_by(&self) -> EventKinds {
        let nodes = EventKinds::NODE_ADD
            .and(EventKinds::NODE_LABELS)
            .and(EventKinds::NODE_TAINTS);
        let pods = EventKinds::POD_ADD
            .and(EventKinds::POD_UPDATE)
            .and(EventKinds::POD_DELETE);
        nodes
            .and(EventKinds::NODE_DELETE)
            .and(pods)
            .and(EventKinds::SELECTOR_OWNER)
    }

    /// Source: `EventsToRegister`, `isSchedulableAfterNodeChange`, and upstream's hints on pods. Whatever changes the
    /// number of pods in one domain can help in all others. A node that lacks a key neither counts nor can be chosen.
    fn hint(&self, pod: &PodToPlace<'_>, event: &ClusterEvent, view: &View<'_>) -> Hint {
        let counted = |other: &EventPod| {
            let mut selections = self.hard(pod).map(|(_, selection)| view.selection(selection));
            selections.any(|selection| selection.selects(&other.identity()))
        };
        let labelled = |labels: &Labels| self.hard(pod).all(|(key, _)| labels.get(key).is_some());
        let helps = match event {
            ClusterEvent::NodeAdd(node) => labelled(view.table().labels(*node)),
            ClusterEvent::NodeDelete { labels, .. } => labelled(labels),
            ClusterEvent::NodeUpdate {
                node,
                changes,
                old_labels,
            } => {
                let by_taints = || pod.spec.spread.iter().any(|constraint| constraint.honor_node_taints);
                (changes.labels && self.reads_change(pod, old_labels, view.table().labels(*node)))
                    || (changes.taints && by_taints())
            }
            ClusterEvent::AssignedPodAdd { pod: other, .. } | ClusterEvent::AssignedPodDelete { pod: other, .. } => {
                counted(other)
            }
            // Each constraint by itself: one may count the pod no more while another begins to.
            ClusterEvent::AssignedPodUpdate { old, new, .. } => {
                let mut selections = self.hard(pod).map(|(_, selection)| view.selection(selection));
                selections.any(|selection| selection.selects(&old.identity()) != selection.selects(&new.identity()))
            }
            ClusterEvent::SelectorOwnerUpdate => pod.spec.spread.is_empty(),
            _ => false,
        };
        if helps { Hint::Queue } else { Hint::Skip }
    }

    fn reads_identity(&self) -> bool {
        true
    }

    fn waits_for_company(&self, pod: &PodToPlace<'_>, _view: &View<'_>) -> bool {
        self.has(pod, WhenUnsatisfiable::DoNotSchedule)
    }

    fn reads(&self, pod: &PodToPlace<'_>) -> Reads {
        if self.has(pod, WhenUnsatisfiable::DoNotSchedule) {
            Reads::Domains
        } else {
            Reads::Nothing
        }
    }

    fn by_domain(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> Option<Box<dyn DomainFilter>> {
        let terms = self.terms(pod, view, WhenUnsatisfiable::DoNotSchedule);
        Some(Box::new(HardSpread::new(terms, view.table())))
    }
}

impl PodTopologySpread {
    /// The keys of the hard constraints, with the pods that they count.
    fn hard<'a>(&'a self, pod: &'a PodToPlace<'_>) -> impl Iterator<Item = (&'a Text, SelectionOrd)> {
        let is_hard = |kind: WhenUnsatisfiable| kind == WhenUnsatisfiable::DoNotSchedule;
        let own = pod.spec.spread.iter().zip(&pod.compiled.spread);
        let own = own
            .filter(move |(constraint, _)| is_hard(constraint.when_unsatisfiable))
            .map(|(constraint, compiled)| (&constraint.pods.topology_key, compiled.selection));
        let by_default = pod.default_selection.filter(|_| pod.spec.spread.is_empty());
        let by_default = by_default.into_iter().flat_map(move |selection| {
            let hard = self.defaults.iter().filter(move |c| is_hard(c.when_unsatisfiable));
            hard.map(move |constraint| (&constraint.topology_key, selection))
        });
        own.chain(by_default)
    }

    /// Whether a change of a node's labels can change which nodes count, or in which domain: a topology key changed, or
    /// something that the pod asks of nodes.
    fn reads_change(&self, pod: &PodToPlace<'_>, old: &Labels, new: &Labels) -> bool {
        let changed = |key: &Text| old.get(key) != new.get(key);
        let selector = pod.spec.node_selector.iter().map(|(key, _)| key);
        let affinity = pod.spec.node_affinity.iter().flatten();
        let affinity = affinity.flat_map(|term| term.match_expressions.iter().map(|r| &r.key));
        self.hard(pod).any(|(key, _)| changed(key)) || selector.chain(affinity).any(changed)
    }
}

// ---- soft constraints --------------------------------------------------------------------------------------------

impl PodTopologySpread {
    /// Those of `nodes` that stand aside because they lack a key. Source: `initPreScoreState`.
    fn ignored(&self, pod: &PodToPlace<'_>, table: &NodeTable, keys: &[&LabelColumn], nodes: &NodeSet) -> NodeSet {
        let scarce = |key: &&&LabelColumn| key.n_labelled() < table.len();
        let keys: Vec<&&LabelColumn> = keys.iter().filter(scarce).collect();
        if keys.is_empty() || !self.requires_all_keys(pod) {
            return NodeSet::default();
        }
        let mut scored = nodes.clone();
        scored.split_blocks(|first| {
            keys.iter()
                .fold(usize::MAX, |bits, key| bits & key.labelled_bits(first))
        })
    }
}

impl Score for PodTopologySpread {
    fn skips(&self, pod: &PodToPlace<'_>, _view: &View<'_>, _nodes: &NodeSet) -> bool {
        !self.has(pod, WhenUnsatisfiable::ScheduleAnyway)
    }

    /// Source: `PreScore`, `Score`. The sums are made in the order of the constraints, in doubles, and rounded at the
    /// end, as upstream's.
    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        let table = view.table();
        let constraints = self.constraints(pod, view, WhenUnsatisfiable::ScheduleAnyway);
        let all_keys = self.requires_all_keys(pod);
        let inclusion = Inclusion::new(pod, table, &constraints, all_keys);
        let keys: Vec<&LabelColumn> = constraints.iter().map(|c| c.labels).collect();
        let ignored = self.ignored(pod, table, &keys, nodes);
        let n_scored = nodes.len() - ignored.len();
        let mut sums = vec![0.0; table.padded_len()];
        for constraint in &constraints {
            if constraint.terms.by_hostname {
                constraint.add_by_node(n_scored, &mut sums);
            } else {
                let scored = nodes.iter().filter(|node| !ignored.contains(*node));
                let n_domains = constraint.n_domains(scored, table, all_keys);
                let counting = inclusion.nodes(constraint);
                let mut pods = constraint.pods_by_domain(counting.as_ref());
                if !all_keys {
                    constraint.join_unlabelled(counting.as_ref(), &mut pods);
                }
                constraint.add_by_domain(n_domains, &pods, &mut sums);
            }
        }
        for (score, sum) in scores.iter_mut().zip(sums) {
            *score = round(sum);
        }
        ignored.iter().for_each(|node| scores[node.index()] = 0);
    }

    /// Source: `NormalizeScore`: fewer pods are better, nodes that stand aside get nothing.
    fn normalize(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        let table = view.table();
        let constraints = self.constraints(pod, view, WhenUnsatisfiable::ScheduleAnyway);
        let keys: Vec<&LabelColumn> = constraints.iter().map(|c| c.labels).collect();
        let ignored = self.ignored(pod, table, &keys, nodes);
        let mut scored = nodes.clone();
        ignored.iter().for_each(|node| scored.remove(node));
        normalize(&scored, scores);
        ignored.iter().for_each(|node| scores[node.index()] = 0);
    }

    fn reads(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> Reads {
        if self.skips(pod, view, &NodeSet::default()) {
            Reads::Nothing
        } else {
            Reads::Domains
        }
    }

    fn by_domain(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> Option<Box<dyn DomainScore>> {
        let terms = self.terms(pod, view, WhenUnsatisfiable::ScheduleAnyway);
        let soft = SoftSpread::new(terms, self.requires_all_keys(pod), view.table())?;
        Some(Box::new(soft))
    }
}

impl Constraint<'_> {
    /// How many domains the nodes to be scored make. Unless all keys are needed, nodes without the label make one, too,
    /// together with those whose label is empty.
    fn n_domains(&self, nodes: impl Iterator<Item = NodeOrd>, table: &NodeTable, all_keys: bool) -> usize {
        let unlabelled = !all_keys && self.labels.n_labelled() < table.len();
        let empty = self.labels.code_of("");
        let most = self.labels.n_values() + usize::from(unlabelled && empty.is_none());
        let mut seen = vec![false; self.labels.n_codes()];
        let mut n = 0;
        for node in nodes {
            let code = match self.labels.code(node) {
                0 => empty.unwrap_or(0),
                code => code,
            };
            n += usize::from(!std::mem::replace(&mut seen[code as usize], true));
            if n == most {
                break;
            }
        }
        n
    }

    /// Where not all keys are needed, nodes without the label share a domain with those whose label is empty.
    fn join_unlabelled(&self, counting: Option<&NodeSet>, pods: &mut [i64]) {
        let Some(empty) = self.labels.code_of("") else {
            return;
        };
        self.pods.each_node(|node, n| {
            if self.labels.code(node) == 0 && counting.is_none_or(|counting| counting.contains(node)) {
                pods[empty as usize] += n;
            }
        });
    }

    /// Adds what each node gets for the pods in its domain.
    fn add_by_domain(&self, n_domains: usize, pods: &[i64], sums: &mut [f64]) {
        let weight = domain_weight(n_domains);
        let mut credits: Vec<f64> = pods.iter().map(|pods| self.terms.credit(*pods, weight)).collect();
        credits[0] = 0.0;
        for (sum, code) in sums.iter_mut().zip(self.labels.codes()) {
            *sum += credits[*code as usize];
        }
    }

    /// Adds what each node that has the label gets for its own pods, whether or not its pods count otherwise.
    fn add_by_node(&self, n_nodes: usize, sums: &mut [f64]) {
        let mut on_nodes = vec![0; sums.len()];
        self.pods.each_node(|node, pods| on_nodes[node.index()] = pods);
        let weight = domain_weight(n_nodes);
        for ((sum, code), pods) in sums.iter_mut().zip(self.labels.codes()).zip(on_nodes) {
            if *code != 0 {
                *sum += self.terms.credit(pods, weight);
            }
        }
    }
}

/// Fewer pods are better: brings the scores of nodes, or cells of nodes, that do not stand aside into 0..=100.
fn normalize(scored: &NodeSet, scores: &mut [i64]) {
    let [min, max] = range_of(scored, scores);
    if max == 0 {
        scores.fill(MAX_NODE_SCORE);
        return;
    }
    for score in scores {
        let share = lanes::from_integer((max + min - *score) & ((1 << IN_RANGE) - 1));
        *score = lanes::to_integer(lanes::floor(MAX_NODE_SCORE as f64 * share / max as f64));
    }
}

// ---- arithmetic --------------------------------------------------------------------------------------------------

/// Source: `topologyNormalizingWeight`.
fn domain_weight(n_domains: usize) -> f64 {
    ln((n_domains + 2) as f64)
}

/// Rounds half up, which is away from zero: scores are not negative.
fn round(score: f64) -> i64 {
    let whole = lanes::floor(score);
    lanes::to_integer(whole + if score - whole >= 0.5 { 1.0 } else { 0.0 })
}

/// The natural logarithm of a number from 1 upwards, to the last bit as Go computes it on amd64: the C library of the
/// platform may differ there, and a rounded score with it.
///
/// Source: the published algorithm of FreeBSD's `e_log.c`, which Go's `math.Log` follows. x = 2^k·(1+f) with 1+f between
/// √½ and √2; with s = f/(2+f), ln(1+f) is an odd series in s, of which a polynomial in s² approximates the tail.
fn ln(x: f64) -> f64 {
    const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    const TAIL: [f64; 7] = [
        f64::from_bits(0x3fe5_5555_5555_5593),
        f64::from_bits(0x3fd9_9999_9997_fa04),
        f64::from_bits(0x3fd2_4924_9422_9359),
        f64::from_bits(0x3fcc_71c5_1d8e_78af),
        f64::from_bits(0x3fc7_4664_96cb_03de),
        f64::from_bits(0x3fc3_9a09_d078_c69f),
        f64::from_bits(0x3fc2_f112_df3e_5244),
    ];
    const MANTISSA: u64 = (1 << 52) - 1;
    const EXPONENT_OF_HALF: u64 = 0x3fe;
    let mut exponent = (x.to_bits() >> 52) as i32 - EXPONENT_OF_HALF as i32;
    let mut fraction = f64::from_bits(x.to_bits() & MANTISSA | EXPONENT_OF_HALF << 52);
    if fraction < std::f64::consts::FRAC_1_SQRT_2 {
        fraction *= 2.0;
        exponent -= 1;
    }
    let (f, k) = (fraction - 1.0, f64::from(exponent));
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * (TAIL[0] + s4 * (TAIL[2] + s4 * (TAIL[4] + s4 * TAIL[6])));
    let even = s4 * (TAIL[1] + s4 * (TAIL[3] + s4 * TAIL[5]));
    let half_square = 0.5 * f * f;
    k * LN_2_HIGH - ((half_square - (s * (half_square + (odd + even)) + k * LN_2_LOW)) - f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits that Go 1.26 computes on amd64, and an FNV-1a hash over the bits for all numbers from 2 to 20,002.
    #[test]
    fn logarithms_are_those_of_go() {
        for (n, bits) in [
            (1, 0x0),
            (2, 0x3fe6_2e42_fefa_39ef),
            (3, 0x3ff1_93ea_7aad_030a),
            (5, 0x3ff9_c041_f7ed_8d33),
            (7, 0x3fff_2272_ae32_5a57),
            (10, 0x4002_6bb1_bbb5_5516),
            (1000, 0x401b_a18a_998f_ffa0),
            (5002, 0x4021_0901_f6dc_84b9),
            (15002, 0x4023_3b5c_54bb_9573),
        ] {
            assert_eq!(ln(f64::from(n)).to_bits(), bits, "ln {n}");
        }
        let bytes = (2..=20_002).flat_map(|n| ln(f64::from(n)).to_bits().to_le_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(hash, 0x2d0f_aa3c_dd01_273d);
    }

    #[test]
    fn halves_are_rounded_up() {
        for (score, rounded) in [
            (0.0, 0),
            (0.499_999_999_999_999_94, 0),
            (0.5, 1),
            (1.5, 2),
            (2.4, 2),
            (2.5, 3),
        ] {
            assert_eq!(round(score), rounded, "{score}");
        }
    }
}
