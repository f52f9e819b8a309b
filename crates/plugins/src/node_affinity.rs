//! NodeAffinity: `nodeSelector`, required and preferred node affinity, and what the profile adds to them for every pod.
//!
//! A requirement is judged once per distinct value of its label, then looked up per node, a block at a time.

use crate::args::NodeAffinityArgs;
use crate::registry::Recipe;
use muster_framework::Text;
use muster_framework::compiled::CompiledTerm;
use muster_framework::event::{ClusterEvent, EventKinds, Hint};
use muster_framework::node_match::{AnyOf, NodeMatcher, RequiredAffinity};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, PreFilter, Reads, Score, default_normalize};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::selector::{NodeSelectorTerm, Operator};
use muster_framework::table::NodeTable;
use muster_framework::view::View;

/// The plugin. Source: `pkg/scheduler/framework/plugins/nodeaffinity`.
#[derive(Debug)]
pub struct NodeAffinity {
    args: NodeAffinityArgs,
    /// What the profile requires for every pod, once attached.
    added_required: Option<Vec<CompiledTerm>>,
    /// What the profile prefers for every pod, once attached.
    added_preferred: Vec<(i64, CompiledTerm)>,
}

const REASON: Reason = Reason::Sentence("node(s) didn't match Pod's node affinity/selector");
const REASON_ENFORCED: Reason = Reason::Sentence("node(s) didn't match scheduler-enforced node affinity");
const REASON_CONFLICT: Reason = Reason::Sentence("pod affinity terms conflict");

impl NodeAffinity {
    /// The plugin with the arguments of its profile.
    pub fn new(recipe: Recipe<'_>) -> NodeAffinity {
        NodeAffinity {
            args: recipe.args.node_affinity.clone(),
            added_required: None,
            added_preferred: Vec::new(),
        }
    }
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn attach(&mut self, table: &mut NodeTable) {
        self.added_required = self.args.added_required.as_ref().map(|terms| {
            let stated = terms.iter().filter(|term| !term.is_empty());
            stated.map(|term| CompiledTerm::compile(term, table)).collect()
        });
        let preferred = self.args.added_preferred.iter().filter(|p| !p.term.is_empty());
        self.added_preferred = preferred
            .map(|p| (i64::from(p.weight), CompiledTerm::compile(&p.term, table)))
            .collect();
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

impl Filter for NodeAffinity {
    fn pre_filter(&self, pod: &PodToPlace<'_>, _view: &View<'_>) -> PreFilter {
        let required = pod.spec.node_affinity.as_deref();
        if required.is_none() && self.added_required.is_none() && pod.compiled.node_selector.is_empty() {
            return PreFilter::Skip;
        }
        match required.and_then(names_meant) {
            None => PreFilter::Judge,
            Some(names) if names.is_empty() => {
                PreFilter::Reject(Code::UnschedulableAndUnresolvable, vec![REASON_CONFLICT])
            }
            Some(names) => PreFilter::Narrow(names.into_iter().cloned().collect()),
        }
    }

    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let table = view.table();
        let mut reject = |node, reason| rejections.reject(node, Code::UnschedulableAndUnresolvable, reason);
        if let Some(added) = &self.added_required {
            let added = AnyOf::new(table, added);
            nodes.retain_blocks(|first| added.bits(first), |node| reject(node, REASON_ENFORCED));
        }
        if pod.compiled.node_affinity.is_some() || !pod.compiled.node_selector.is_empty() {
            let required = RequiredAffinity::of(table, pod.compiled);
            nodes.retain_blocks(|first| required.bits(first), |node| reject(node, REASON));
        }
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD.and(EventKinds::NODE_LABELS)
    }

    fn hint(&self, _pod: &PodToPlace<'_>, event: &ClusterEvent, _view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            ClusterEvent::NodeUpdate { changes, .. } if changes.labels => Hint::OnEventNode,
            _ => Hint::Skip,
        }
    }

    fn reads(&self, pod: &PodToPlace<'_>) -> Reads {
        match pod.spec.node_affinity.as_deref() {
            Some(required) if names_meant(required).is_some() => Reads::Anything,
            _ => Reads::Node,
        }
    }
}

/// The names of the only nodes that can be meant: those that every term picks by `metadata.name`. None: a term picks none,
/// or there is no term. Unlike the filter, this goes by all values of a requirement.
fn names_meant(terms: &[NodeSelectorTerm]) -> Option<Vec<&Text>> {
    let mut names = Vec::new();
    for term in terms {
        let picks = term.match_fields.iter();
        let picks = picks.filter(|r| &*r.key == "metadata.name" && r.operator == Operator::In);
        let of_term = picks.fold(None, |of_term: Option<Vec<&Text>>, pick| match of_term {
            None => Some(pick.values.iter().collect()),
            Some(names) => Some(names.into_iter().filter(|name| pick.values.contains(name)).collect()),
        });
        names.extend(of_term?);
    }
    (!terms.is_empty()).then_some(names)
}

impl Score for NodeAffinity {
    fn skips(&self, pod: &PodToPlace<'_>, _view: &View<'_>, _nodes: &NodeSet) -> bool {
        pod.spec.preferred_node_affinity.is_empty() && self.args.added_preferred.is_empty()
    }

    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        scores.fill(0);
        for (weight, term) in self.added_preferred.iter().chain(&pod.compiled.preferred) {
            let term = NodeMatcher::of_term(view.table(), term);
            for (first, bits) in nodes.blocks() {
                for node in NodeSet::nodes_of_block(first, bits & term.bits(first)) {
                    scores[node.index()] += weight;
                }
            }
        }
    }

    fn normalize(&self, _pod: &PodToPlace<'_>, _view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        default_normalize(nodes, scores, false);
    }

    fn reads(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> Reads {
        Reads::Node
    }

    fn normalizes(&self) -> bool {
        true
    }
}
