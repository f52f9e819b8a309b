//! Node selectors judged over the table: once per distinct value of a label, then looked up per node, a block at a time.

use crate::compiled::{CompiledRequirement, CompiledSpec, CompiledTerm};
use crate::node_set::{BLOCK_BITS, NodeSet};
use crate::selector::Requirement;
use crate::table::{NodeOrd, NodeTable};

/// A pod's node selector and required node affinity, judged.
#[derive(Debug)]
pub struct RequiredAffinity<'a> {
    selector: NodeMatcher<'a>,
    terms: Option<Vec<NodeMatcher<'a>>>,
}

impl<'a> RequiredAffinity<'a> {
    /// Judges what the pod requires of nodes.
    pub fn of(table: &'a NodeTable, pod: &CompiledSpec) -> RequiredAffinity<'a> {
        let terms = pod.node_affinity.as_ref();
        RequiredAffinity {
            selector: NodeMatcher::new(table, &pod.node_selector, &[]),
            terms: terms.map(|terms| terms.iter().map(|term| NodeMatcher::of_term(table, term)).collect()),
        }
    }

    /// Whether the node is one that the pod may run on.
    pub fn matches(&self, node: NodeOrd) -> bool {
        self.selector.matches(node)
            && self
                .terms
                .as_ref()
                .is_none_or(|terms| terms.iter().any(|t| t.matches(node)))
    }

    /// The verdicts on the nodes of the block that begins at `first`, lowest bit first.
    pub fn bits(&self, first: usize) -> usize {
        let required = match &self.terms {
            Some(terms) => terms.iter().fold(0, |any, term| any | term.bits(first)),
            None => usize::MAX,
        };
        required & self.selector.bits(first)
    }
}

/// A conjunction of requirements, judged for every value that their labels have now.
#[derive(Debug)]
pub struct NodeMatcher<'a> {
    labels: Vec<(&'a [u32], Vec<bool>)>,
    /// Nodes that the requirements on fields leave; None when there are none.
    named: Option<NodeSet>,
}

impl<'a> NodeMatcher<'a> {
    /// Judges the conjunction of `labels` and `fields`.
    pub fn new(table: &'a NodeTable, labels: &[CompiledRequirement], fields: &[Requirement]) -> NodeMatcher<'a> {
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
        NodeMatcher {
            labels: labels.collect(),
            named,
        }
    }

    /// Judges one term.
    pub fn of_term(table: &'a NodeTable, term: &CompiledTerm) -> NodeMatcher<'a> {
        NodeMatcher::new(table, &term.labels, &term.fields)
    }

    /// Whether the node satisfies all requirements.
    pub fn matches(&self, node: NodeOrd) -> bool {
        self.named.as_ref().is_none_or(|named| named.contains(node))
            && self
                .labels
                .iter()
                .all(|(codes, good)| good[codes[node.index()] as usize])
    }

    /// The verdicts on the nodes of the block that begins at `first`, lowest bit first.
    pub fn bits(&self, first: usize) -> usize {
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
