//! InterPodAffinity: near which pods a pod has to be, may not be, or would rather be: by its own terms, and by those of
//! pods that are already placed, whoever placed them.

mod by_domain;

use self::by_domain::{PreferredTerms, RequiredTerms, Rule};
use crate::args::InterPodAffinityArgs;
use crate::registry::Recipe;
use muster_framework::cells::{DomainFilter, DomainScore};
use muster_framework::compiled::CompiledAffinity;
use muster_framework::domains::{Counted, DomainCounts};
use muster_framework::event::{ClusterEvent, EventKinds, EventPod, Hint};
use muster_framework::lanes::{self, EXACT};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, MAX_NODE_SCORE, Plugin, PodToPlace, PreFilter, Reads, Score, range_of};
use muster_framework::record::PodAffinityTerm;
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::rules::KubeMinor;
use muster_framework::selection::TermKind;
use muster_framework::table::{ColumnOrd, NodeTable};
use muster_framework::view::{PodCounts, View};

const AFFINITY: Reason = Reason::Sentence("node(s) didn't match pod affinity rules");
const ANTI_AFFINITY: Reason = Reason::Sentence("node(s) didn't match pod anti-affinity rules");
const ANTI_AFFINITY_OF_PLACED: Reason = Reason::Sentence("node(s) didn't satisfy existing pods anti-affinity rules");

/// The plugin. Source: `pkg/scheduler/framework/plugins/interpodaffinity`.
#[derive(Debug)]
pub struct InterPodAffinity {
    args: InterPodAffinityArgs,
    minor: KubeMinor,
}

impl InterPodAffinity {
    /// The plugin with the arguments of its profile.
    pub fn new(recipe: Recipe<'_>) -> InterPodAffinity {
        InterPodAffinity {
            args: recipe.args.inter_pod_affinity.clone(),
            minor: recipe.minor,
        }
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn attach(&mut self, table: &mut NodeTable) {
        table.follow(self.minor);
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

/// The terms of placed pods that speak of this pod, as far as a bearer is on a node with the topology key.
fn terms_of_placed<'a>(
    pod: &PodToPlace<'_>,
    view: &View<'a>,
) -> impl Iterator<Item = (TermKind, ColumnOrd, PodCounts<'a>)> {
    let terms = view.terms_selecting(&pod.identity()).into_iter();
    let terms = terms.map(|term| (view.term(term), view.bearers(term)));
    let terms = terms.map(|((kind, column), bearers)| (kind, column, bearers));
    terms.filter(|(_, column, bearers)| bearers.total_in(*column) > 0)
}

// ---- required terms ----------------------------------------------------------------------------------------------

/// Domains by code, one list for each key that terms speak of.
#[derive(Default)]
struct Domains(Vec<(ColumnOrd, Vec<bool>)>);

impl Domains {
    /// The domains of a key; where the key is new, all say `otherwise`.
    fn of(&mut self, column: ColumnOrd, table: &NodeTable, otherwise: bool) -> &mut Vec<bool> {
        let at = self.0.iter().position(|(known, _)| *known == column);
        let at = at.unwrap_or_else(|| {
            let n_codes = table.column(column).n_codes();
            self.0.push((column, vec![otherwise; n_codes]));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// Takes out of `nodes` those that are in a domain which is not good for one of the keys.
    fn split(&self, table: &NodeTable, nodes: &mut NodeSet) -> NodeSet {
        let columns: Vec<_> = self.0.iter().map(|(c, good)| (table.column(*c), good)).collect();
        nodes.split_blocks(|first| {
            columns
                .iter()
                .fold(usize::MAX, |bits, (c, good)| bits & c.bits(first, good))
        })
    }

    /// Bars the domains that hold any of `pods`.
    fn bar(&mut self, column: ColumnOrd, pods: &PodCounts<'_>, table: &NodeTable) {
        let good = self.of(column, table, true);
        pods.each_inhabited(column, |code| good[code as usize] = false);
    }
}

/// The domains that required affinity leaves: those where a pod is that all terms speak of. While there is no such pod in
/// a domain of any of the keys, a pod that its own terms speak of may be the first of its kind, wherever the keys are.
///
/// Source: `satisfyPodAffinity`.
fn near(affinity: &CompiledAffinity, pod: &PodToPlace<'_>, view: &View<'_>) -> Domains {
    let table = view.table();
    let pods = view.selected(affinity.selection);
    let mut columns = affinity.columns.iter();
    let is_first = columns.all(|column| pods.total_in(*column) == 0)
        && view.selection(affinity.selection).selects(&pod.identity());
    let mut near = Domains::default();
    for column in &affinity.columns {
        let good = near.of(*column, table, is_first);
        good[0] = false;
        pods.each_inhabited(*column, |code| good[code as usize] = true);
    }
    near
}

impl Filter for InterPodAffinity {
    fn pre_filter(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> PreFilter {
        let has_terms = pod.compiled.affinity.is_some() || !pod.compiled.anti_affinity.is_empty();
        if has_terms || terms_of_placed(pod, view).any(|(kind, ..)| kind == TermKind::RequiredAntiAffinity) {
            PreFilter::Judge
        } else {
            PreFilter::Skip
        }
    }

    /// Source: `Filter`: what the pod needs, what it bars, and what bars it, in this order.
    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let table = view.table();
        if let Some(affinity) = &pod.compiled.affinity {
            let far = near(affinity, pod, view).split(table, nodes);
            rejections.reject_nodes(&far, Code::UnschedulableAndUnresolvable, &AFFINITY);
        }
        let mut avoided = Domains::default();
        for term in &pod.compiled.anti_affinity {
            avoided.bar(term.column, &view.selected(term.selection), table);
        }
        rejections.reject_nodes(&avoided.split(table, nodes), Code::Unschedulable, &ANTI_AFFINITY);
        let mut barred = Domains::default();
        for (kind, column, bearers) in terms_of_placed(pod, view) {
            if kind == TermKind::RequiredAntiAffinity {
                barred.bar(column, &bearers, table);
            }
        }
        let barred = barred.split(table, nodes);
        rejections.reject_nodes(&barred, Code::Unschedulable, &ANTI_AFFINITY_OF_PLACED);
    }

    fn moved_by(&self) -> EventKinds {
        let nodes = EventKinds::NODE_ADD
            .and(EventKinds::NODE_LABELS)
            .and(EventKinds::NODE_DELETE);
        let pods = EventKinds::POD_ADD
            .and(EventKinds::POD_UPDATE)
            .and(EventKinds::POD_DELETE);
        nodes.and(pods).and(EventKinds::NAMESPACE)
    }

    /// Source: `EventsToRegister` and upstream's hints. A domain is not one node: what happens on a node can help on all
    /// others of its domain.
    fn hint(&self, pod: &PodToPlace<'_>, event: &ClusterEvent, view: &View<'_>) -> Hint {
        let needs = pod.compiled.affinity.as_ref();
        let avoids = &pod.compiled.anti_affinity;
        let needed = |other: &EventPod| {
            needs.is_some_and(|affinity| view.selection(affinity.selection).selects(&other.identity()))
        };
        let avoided = |other: &EventPod| {
            let mut selections = avoids.iter().map(|term| view.selection(term.selection));
            selections.any(|selection| selection.selects(&other.identity()))
        };
        let when = |helps| if helps { Hint::Queue } else { Hint::Skip };
        match event {
            // Pods that were bound to the node before it was seen come with it.
            ClusterEvent::NodeAdd(_) => when(needs.is_some()).max(Hint::OnEventNode),
            // A node that leaves a domain takes its pods along.
            ClusterEvent::NodeUpdate { changes, .. } => when(changes.labels),
            // Where no pod is left that its terms speak of, it may be the first of its kind.
            ClusterEvent::NodeDelete { had_anti_affinity, .. } => {
                when(needs.is_some() || !avoids.is_empty() || *had_anti_affinity)
            }
            ClusterEvent::AssignedPodDelete { pod: gone, .. } => {
                when(needed(gone) || avoided(gone) || barred_by(pod, gone))
            }
            ClusterEvent::AssignedPodAdd { pod: new, .. } => when(needed(new)),
            ClusterEvent::AssignedPodUpdate { old, new, .. } => {
                when(needed(old) != needed(new) || (avoided(old) && !avoided(new)))
            }
            ClusterEvent::NamespaceUpdate => Hint::Queue,
            _ => Hint::Skip,
        }
    }

    fn reads_identity(&self) -> bool {
        true
    }

    fn waits_for_company(&self, pod: &PodToPlace<'_>, _view: &View<'_>) -> bool {
        pod.compiled.affinity.is_some()
    }

    fn reads(&self, _pod: &PodToPlace<'_>) -> Reads {
        Reads::Domains
    }

    fn by_domain(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> Option<Box<dyn DomainFilter>> {
        let table = view.table();
        let mut terms = Vec::new();
        let mut needs_itself = false;
        if let Some(affinity) = &pod.compiled.affinity {
            needs_itself = view.selection(affinity.selection).selects(&pod.identity());
            let counted = Counted::Selected(affinity.selection);
            let columns = affinity.columns.iter();
            terms.extend(columns.map(|column| (Rule::Near, DomainCounts::new(counted, *column, table))));
        }
        for term in &pod.compiled.anti_affinity {
            let counted = Counted::Selected(term.selection);
            terms.push((Rule::Apart, DomainCounts::new(counted, term.column, table)));
        }
        for term in view.terms_selecting(&pod.identity()) {
            if let (TermKind::RequiredAntiAffinity, column) = view.term(term) {
                terms.push((Rule::Barred, DomainCounts::new(Counted::Bearing(term), column, table)));
            }
        }
        Some(Box::new(RequiredTerms {
            terms,
            needs_itself,
            is_first: false,
        }))
    }
}

/// Whether required anti-affinity of `other` may speak of the pod. Namespaces that a term finds by label count in any case:
/// which ones it finds may have changed since the other was placed.
fn barred_by(pod: &PodToPlace<'_>, other: &EventPod) -> bool {
    let speaks = |term: &PodAffinityTerm| {
        let in_scope = term.namespaces.selector.is_some() || term.namespaces.contains(pod.namespace, None);
        in_scope
            && term
                .selector
                .as_ref()
                .is_some_and(|selector| selector.matches(pod.labels))
    };
    other.spec.anti_affinity.iter().any(speaks)
}

// ---- preferred terms ---------------------------------------------------------------------------------------------

impl InterPodAffinity {
    /// What a term of a placed pod is worth to a pod that it speaks of. None: it is not asked.
    fn worth(&self, kind: TermKind) -> Option<i64> {
        match kind {
            TermKind::RequiredAntiAffinity => None,
            TermKind::RequiredAffinity => Some(self.args.hard_pod_affinity_weight).filter(|weight| *weight > 0),
            TermKind::PreferredAffinity(weight) => Some(i64::from(weight)),
            TermKind::PreferredAntiAffinity(weight) => Some(-i64::from(weight)),
        }
    }

    /// What pods in a domain are worth: those that the pod's own preferences speak of, and those whose terms speak of it.
    /// Only what is on some node with the topology key, for upstream does not score when there is nothing else.
    ///
    /// Source: `processExistingPod`.
    fn preferences<'a>(
        &self,
        pod: &PodToPlace<'_>,
        view: &View<'a>,
    ) -> impl Iterator<Item = (i64, ColumnOrd, PodCounts<'a>)> {
        let own = pod.compiled.preferred_pods.iter();
        let own = own.map(|(weight, term)| (*weight, term.column, view.selected(term.selection)));
        let own = own.filter(|(_, column, pods)| pods.total_in(*column) > 0);
        let placed = terms_of_placed(pod, view);
        own.chain(placed.filter_map(|(kind, column, bearers)| Some((self.worth(kind)?, column, bearers))))
    }
}

impl Score for InterPodAffinity {
    /// Source: `PreScore`.
    fn skips(&self, pod: &PodToPlace<'_>, view: &View<'_>, _nodes: &NodeSet) -> bool {
        let ignores_placed = self.args.ignore_preferred_terms_of_existing_pods;
        (ignores_placed && pod.compiled.preferred_pods.is_empty()) || self.preferences(pod, view).next().is_none()
    }

    /// Source: `Score`.
    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, _nodes: &NodeSet, scores: &mut [i64]) {
        let table = view.table();
        let mut worth: Vec<(ColumnOrd, Vec<i64>)> = Vec::new();
        for (weight, column, pods) in self.preferences(pod, view) {
            let at = worth.iter().position(|(known, _)| *known == column);
            let at = at.unwrap_or_else(|| {
                worth.push((column, vec![0; table.column(column).n_codes()]));
                worth.len() - 1
            });
            let domains = &mut worth[at].1;
            pods.each_domain(column, |code, pods| domains[code as usize] += weight * pods);
        }
        scores.fill(0);
        for (column, worth) in &worth {
            let codes = table.column(*column).codes();
            for (score, code) in scores.iter_mut().zip(codes) {
                *score += worth[*code as usize];
            }
        }
    }

    /// Source: `NormalizeScore`: the best node gets all, the worst nothing, those between their share in doubles, cut off.
    fn normalize(&self, _pod: &PodToPlace<'_>, _view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        normalize(nodes, scores);
    }

    fn reads(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> Reads {
        let ignores_placed = self.args.ignore_preferred_terms_of_existing_pods;
        let has_own = !pod.compiled.preferred_pods.is_empty();
        if has_own || (!ignores_placed && self.worthy_terms(pod, view).next().is_some()) {
            Reads::Domains
        } else {
            Reads::Nothing
        }
    }

    fn by_domain(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> Option<Box<dyn DomainScore>> {
        let own = pod.compiled.preferred_pods.iter();
        let own = own.map(|(weight, term)| (*weight, Counted::Selected(term.selection), term.column));
        let terms = own.chain(self.worthy_terms(pod, view));
        let terms = terms.map(|(weight, counted, column)| (weight, DomainCounts::new(counted, column, view.table())));
        Some(Box::new(PreferredTerms { terms: terms.collect() }))
    }
}

impl InterPodAffinity {
    /// The terms that speak of the pod, whether or not anybody bears them now, with what a bearer is worth.
    fn worthy_terms<'a>(
        &'a self,
        pod: &PodToPlace<'_>,
        view: &'a View<'_>,
    ) -> impl Iterator<Item = (i64, Counted, ColumnOrd)> + use<'a> {
        let terms = view.terms_selecting(&pod.identity()).into_iter();
        terms.filter_map(|term| {
            let (kind, column) = view.term(term);
            Some((self.worth(kind)?, Counted::Bearing(term), column))
        })
    }
}

/// The best node, or cell of nodes, gets all, the worst nothing, those between their share.
fn normalize(nodes: &NodeSet, scores: &mut [i64]) {
    let [min, max] = range_of(nodes, scores);
    if max == min {
        return scores.fill(0);
    }
    let range = (max - min) as f64;
    for score in scores {
        let above = lanes::from_integer((*score - min) & ((1 << EXACT) - 1));
        *score = lanes::to_integer(lanes::floor(MAX_NODE_SCORE as f64 * (above / range)));
    }
}
