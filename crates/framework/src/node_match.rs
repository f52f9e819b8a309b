//! Node selectors judged over the table: once per distinct value of a label, then looked up per node, a block at a time.

use crate::compiled::{CompiledRequirement, CompiledSpec, CompiledTerm};
use crate::node_set::{BLOCK_BITS, NodeSet};
use crate::selector::{Operator, Requirement};
use crate::table::{NodeOrd, NodeTable};

/// Of the block of nodes that begins at `first`, those whose code is good, lowest bit first. `codes` may end within it.
pub fn bits_by_code(codes: &[u32], good: &[bool], first: usize) -> usize {
    let end = codes.len().min(first + BLOCK_BITS);
    let block = codes.get(first..end).unwrap_or(&[]).iter().enumerate();
    block.fold(0, |bits, (at, code)| bits | usize::from(good[*code as usize]) << at)
}

/// A pod's node selector and required node affinity, judged.
#[derive(Debug)]
pub struct RequiredAffinity<'a> {
    selector: NodeMatcher<'a>,
    terms: Option<AnyOf<'a>>,
}

impl<'a> RequiredAffinity<'a> {
    /// Judges what the pod requires of nodes.
    pub fn of(table: &'a NodeTable, pod: &CompiledSpec) -> RequiredAffinity<'a> {
        RequiredAffinity {
            selector: NodeMatcher::new(table, &pod.node_selector, &[]),
            terms: pod.node_affinity.as_ref().map(|terms| AnyOf::new(table, terms)),
        }
    }

    /// Whether the node is one that the pod may run on.
    pub fn matches(&self, node: NodeOrd) -> bool {
        self.selector.matches(node) && self.terms.as_ref().is_none_or(|terms| terms.matches(node))
    }

    /// The verdicts on the nodes of the block that begins at `first`, lowest bit first.
    pub fn bits(&self, first: usize) -> usize {
        let terms = self.terms.as_ref();
        self.selector.bits(first) & terms.map_or(usize::MAX, |terms| terms.bits(first))
    }
}

/// Terms of which one must match; without any term nothing does.
#[derive(Debug)]
pub struct AnyOf<'a>(Vec<NodeMatcher<'a>>);

impl<'a> AnyOf<'a> {
    /// Judges the terms.
    pub fn new(table: &'a NodeTable, terms: &[CompiledTerm]) -> AnyOf<'a> {
        AnyOf(terms.iter().map(|term| NodeMatcher::of_term(table, term)).collect())
    }

    /// Whether the node satisfies a term.
    pub fn matches(&self, node: NodeOrd) -> bool {
        self.0.iter().any(|term| term.matches(node))
    }

    /// The verdicts on the nodes of the block that begins at `first`, lowest bit first.
    pub fn bits(&self, first: usize) -> usize {
        self.0.iter().fold(0, |any, term| any | term.bits(first))
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
        NodeMatcher {
            labels: labels.collect(),
            named: (!fields.is_empty()).then(|| nodes_by_fields(table, fields)),
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
        let named = self.named.as_ref().map_or(usize::MAX, |named| named.block(first));
        let labels = self.labels.iter();
        labels.fold(named, |bits, (codes, good)| bits & bits_by_code(codes, good, first))
    }
}

/// The nodes that requirements on fields leave; nodes are found by name, not gone through.
fn nodes_by_fields(table: &NodeTable, fields: &[Requirement]) -> NodeSet {
    let mut nodes = table.live().clone();
    for field in fields {
        let (Some(matches_empty), [value]) = (field.matches_field(""), &*field.values) else {
            return NodeSet::default();
        };
        if &*field.key != "metadata.name" {
            if matches_empty {
                continue;
            }
            return NodeSet::default();
        }
        let named = table.by_name(value);
        if field.operator == Operator::In {
            nodes = named.filter(|node| nodes.contains(*node)).into_iter().collect();
        } else if let Some(named) = named {
            nodes.remove(named);
        }
    }
    nodes
}
