//! NodeAffinity: `nodeSelector`, required and preferred node affinity.
//!
//! A requirement is judged once per distinct value of its label, then looked up per node, a block at a time.

use crate::registry::Recipe;
use muster_framework::compiled::{CompiledRequirement, CompiledTerm};
use muster_framework::event::{ClusterEvent, Hint};
use muster_framework::node_set::{BLOCK_BITS, NodeSet};
use muster_framework::plugin::{Filter, Plugin, PodToPlace, PreFilter, Score, default_normalize};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::selector::Requirement;
use muster_framework::table::{NodeOrd, NodeTable};
use muster_framework::view::View;

/// The plugin. Source: `pkg/scheduler/framework/plugins/nodeaffinity`.
#[derive(Debug)]
pub struct NodeAffinity;

const REASON: Reason = Reason::Sentence("node(s) didn't match Pod's node affinity/selector");

impl NodeAffinity {
    /// The plugin with the arguments of its profile.
    pub fn new(_recipe: Recipe<'_>) -> NodeAffinity {
        NodeAffinity
    }
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
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
        if pod.compiled.node_selector.is_empty() && pod.compiled.node_affinity.is_none() {
            PreFilter::Skip
        } else {
            PreFilter::Judge
        }
    }

    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let table = view.table();
        let selector = Judged::new(table, &pod.compiled.node_selector, &[]);
        let terms = pod.compiled.node_affinity.as_ref();
        let terms: Option<Vec<Judged<'_>>> =
            terms.map(|terms| terms.iter().map(|term| Judged::term(table, term)).collect());
        nodes.retain_blocks(
            |first| {
                let required = match &terms {
                    Some(terms) => terms.iter().fold(0, |any, term| any | term.bits(first)),
                    None => usize::MAX,
                };
                required & selector.bits(first)
            },
            |node| rejections.reject(node, Code::UnschedulableAndUnresolvable, REASON),
        );
    }

    fn hint(&self, _pod: &PodToPlace<'_>, event: ClusterEvent) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            ClusterEvent::NodeUpdate(_, changes) if changes.labels => Hint::OnEventNode,
            _ => Hint::Skip,
        }
    }
}

impl Score for NodeAffinity {
    fn skips(&self, pod: &PodToPlace<'_>, _view: &View<'_>, _nodes: &NodeSet) -> bool {
        pod.compiled.preferred.is_empty()
    }

    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        for NodeOrd(at) in nodes.iter() {
            scores[at as usize] = 0;
        }
        for (weight, term) in &pod.compiled.preferred {
            let term = Judged::term(view.table(), term);
            for node in nodes.iter().filter(|node| term.matches(*node)) {
                scores[node.index()] += weight;
            }
        }
    }

    fn normalize(&self, _pod: &PodToPlace<'_>, _view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        default_normalize(nodes, scores, false);
    }
}

/// A conjunction of requirements, judged for every value that their labels have now.
struct Judged<'a> {
    labels: Vec<(&'a [u32], Vec<bool>)>,
    /// Nodes that the requirements on fields leave; None when there are none.
    named: Option<NodeSet>,
}

impl<'a> Judged<'a> {
    fn new(table: &'a NodeTable, labels: &[CompiledRequirement], fields: &[Requirement]) -> Judged<'a> {
        let labels = labels.iter().map(|r| {
            let column = table.column(r.column);
            (column.codes(), column.judge(&r.requirement))
        });
        let named = (!fields.is_empty()).then(|| {
            let matches = |node: &NodeOrd| {
                fields
                    .iter()
                    .all(|r| r.matches((&*r.key == "metadata.name").then_some(&**table.name(*node))))
            };
            table.live().iter().filter(matches).collect()
        });
        Judged {
            labels: labels.collect(),
            named,
        }
    }

    fn term(table: &'a NodeTable, term: &CompiledTerm) -> Judged<'a> {
        Judged::new(table, &term.labels, &term.fields)
    }

    fn matches(&self, node: NodeOrd) -> bool {
        self.named.as_ref().is_none_or(|named| named.contains(node))
            && self
                .labels
                .iter()
                .all(|(codes, good)| good[codes[node.index()] as usize])
    }

    /// The verdicts on the nodes of the block that begins at `first`, lowest bit first.
    fn bits(&self, first: usize) -> usize {
        let mut bits = usize::MAX;
        for (codes, good) in &self.labels {
            let mut column = 0;
            for (at, code) in codes[first..first + BLOCK_BITS].iter().enumerate() {
                column |= usize::from(good[*code as usize]) << at;
            }
            bits &= column;
        }
        if let Some(named) = &self.named {
            let in_block = |at: &usize| named.contains(NodeOrd((first + at) as u32));
            bits &= (0..BLOCK_BITS).filter(in_block).fold(0, |bits, at| bits | 1 << at);
        }
        bits
    }
}
