//! The extension points that a plugin can have.
//!
//! A plugin is one type in one file of `muster-plugins`, named as upstream, and one line in its registry. It states
//! which points it has by overriding the accessor of [`Plugin`]. Filters narrow a set, scores fill a column: both read a
//! [`View`], so that plans, victims and what-if questions need no second implementation.

use crate::Text;
use crate::cells::{DomainFilter, DomainScore};
use crate::compiled::CompiledSpec;
use crate::event::{ClusterEvent, EventKinds, Hint};
use crate::labels::Labels;
use crate::lanes::{self, IN_RANGE};
use crate::node_set::{BLOCK_BITS, NodeSet};
use crate::ranges;
use crate::record::PodSpec;
use crate::rejection::{Code, Reason, Rejections};
use crate::selection::{PodIdentity, SelectionOrd};
use crate::table::{NodeOrd, NodeTable};
use crate::view::View;
use std::collections::BTreeSet;

/// The highest score that a plugin may give after normalising. Source: `k8s.io/kube-scheduler/framework.MaxNodeScore`.
pub const MAX_NODE_SCORE: i64 = 100;

/// A pod that wants to be queued.
#[derive(Debug, Clone, Copy)]
pub struct PodToEnqueue<'a> {
    /// Names of its scheduling gates, in their order.
    pub scheduling_gates: &'a [Text],
}

/// A pod that wants a node.
#[derive(Debug, Clone, Copy)]
pub struct PodToPlace<'a> {
    /// Its uid.
    pub uid: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The labels of its namespace, once that has been seen.
    pub namespace_labels: Option<&'a Labels>,
    /// Its labels.
    pub labels: &'a Labels,
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// Its spec.
    pub spec: &'a PodSpec,
    /// Its spec, compiled.
    pub compiled: &'a CompiledSpec,
    /// The pods that the same services and controller select, for spreading by default. None: nothing selects it, or it
    /// has spread constraints of its own.
    pub default_selection: Option<SelectionOrd>,
}

impl<'a> PodToPlace<'a> {
    /// What selectors see of it.
    pub fn identity(&self) -> PodIdentity<'a> {
        PodIdentity {
            namespace: self.namespace,
            namespace_labels: self.namespace_labels,
            labels: self.labels,
            terminating: self.terminating,
        }
    }
}

/// A scheduling plugin.
pub trait Plugin: Send + Sync {
    /// The name, as upstream.
    fn name(&self) -> &'static str;

    /// Takes the columns of `table` that it will read for every pod, whatever the pod asks. Called once, before anything
    /// else, for the one table that it will ever judge.
    fn attach(&mut self, _table: &mut NodeTable) {}

    /// Keeps pods out of the queue.
    fn pre_enqueue(&self) -> Option<&dyn PreEnqueue> {
        None
    }

    /// Narrows the set of nodes.
    fn filter(&self) -> Option<&dyn Filter> {
        None
    }

    /// Prefers some nodes to others.
    fn score(&self) -> Option<&dyn Score> {
        None
    }
}

/// Keeps a pod out of the queue until it changes.
pub trait PreEnqueue: Send + Sync {
    /// Why the pod may not be queued now; None lets it in.
    fn hold(&self, pod: &PodToEnqueue<'_>) -> Option<String>;
}

/// What a filter says of a pod before it looks at nodes (upstream's PreFilter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreFilter {
    /// There is nothing to judge for this pod.
    Skip,
    /// Judge every node.
    Judge,
    /// Only nodes of these names can be meant, whether they exist or not; judge them.
    Narrow(BTreeSet<Text>),
    /// No node will do.
    Reject(Code, Vec<Reason>),
}

/// What the answer of a plugin about a node depends on, for one pod. Verdicts on all nodes are kept as long as what they
/// depend on stays the same, so it must never be less than the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Nothing: the plugin has nothing to say of the pod, and never will have.
    Nothing,
    /// What the node says of itself.
    Node,
    /// What all nodes say of themselves, as far as [`NodeTable::image_changes`] counts their changes.
    AllNodes,
    /// That, and the pods on this node.
    NodeAndPods,
    /// Pods on other nodes, counted by domain, too: a [`DomainFilter`] or a [`DomainScore`] says more.
    Domains,
    /// Anything.
    Anything,
}

/// Narrows the set of nodes.
pub trait Filter: Send + Sync {
    /// What can be said before looking at nodes.
    fn pre_filter(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> PreFilter {
        PreFilter::Judge
    }

    /// Takes out of `nodes` those that the pod cannot run on, and says why.
    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections);

    /// The kinds of events that can let a pod go which this plugin rejected (upstream's `EventsToRegister`): of others
    /// [`Filter::hint`] is not asked.
    fn moved_by(&self) -> EventKinds;

    /// What an event can mean for a pod that this plugin rejected. `view` is the cluster after the event. It must never say
    /// less than the truth: what it misses waits for the flush.
    fn hint(&self, pod: &PodToPlace<'_>, event: &ClusterEvent, view: &View<'_>) -> Hint;

    /// Whether its verdict depends on more of a pod than its spec: on its labels, its namespace, or what selects it.
    fn reads_identity(&self) -> bool {
        false
    }

    /// Whether it could reject the pod alone and accept it when other pods of its group are placed before it.
    fn waits_for_company(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> bool {
        false
    }

    /// What its verdicts on this pod and its twins depend on. Anything less than [`Reads::Anything`] also says that
    /// [`Filter::pre_filter`] never rejects or narrows for them.
    fn reads(&self, _pod: &PodToPlace<'_>) -> Reads {
        Reads::Anything
    }

    /// Whether the pod can run on this one node. To be asked only if it reads the node and its pods.
    fn fits(&self, pod: &PodToPlace<'_>, view: &View<'_>, node: NodeOrd) -> bool {
        let mut nodes: NodeSet = [node].into_iter().collect();
        self.filter(pod, view, &mut nodes, &mut Rejections::counting());
        !nodes.is_empty()
    }

    /// Its verdicts by domain, where it reads [`Reads::Domains`]. None: these domains are too many to be told apart.
    fn by_domain(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> Option<Box<dyn DomainFilter>> {
        None
    }
}

/// Prefers some nodes to others.
pub trait Score: Send + Sync {
    /// Whether there is nothing to prefer for this pod among `nodes` (upstream's `Skip` of PreScore).
    fn skips(&self, _pod: &PodToPlace<'_>, _view: &View<'_>, _nodes: &NodeSet) -> bool {
        false
    }

    /// Whether it is plain at once that every node will have the same score: then it need not be asked, unless somebody
    /// wants to see the scores.
    fn is_indifferent(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> bool {
        false
    }

    /// Writes the raw score of each of `nodes` at its ordinal in `scores`.
    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]);

    /// What its raw scores for this pod and its twins depend on. It is asked again when [`NodeTable::image_changes`] has
    /// grown.
    fn reads(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> Reads {
        Reads::Anything
    }

    /// Whether raw scores are normalised, so that the score of a node depends on what others have. If so, and it reads less
    /// than domains, [`Score::normalize`] looks at nothing but the scores.
    fn normalizes(&self) -> bool {
        false
    }

    /// The raw score of this one node. To be asked only if it reads the node and its pods.
    fn score_node(&self, pod: &PodToPlace<'_>, view: &View<'_>, node: NodeOrd) -> i64 {
        let nodes: NodeSet = [node].into_iter().collect();
        let mut scores = vec![0; view.table().padded_len()];
        self.score(pod, view, &nodes, &mut scores);
        scores[node.index()]
    }

    /// Its scores by domain, where it reads [`Reads::Domains`]. None: these domains are too many to be told apart.
    fn by_domain(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> Option<Box<dyn DomainScore>> {
        None
    }

    /// Brings the scores of `nodes` into 0..=[`MAX_NODE_SCORE`].
    fn normalize(&self, _pod: &PodToPlace<'_>, _view: &View<'_>, _nodes: &NodeSet, _scores: &mut [i64]) {}
}

/// Upstream's default normaliser: 100·score/max, or 100 minus that when `reverse`; scores stay as they are (or all become
/// 100) when none is above 0. What stands at other nodes than `nodes` afterwards means nothing.
/// Source: `pkg/scheduler/framework/plugins/helper.DefaultNormalizeScore`.
pub fn default_normalize(nodes: &NodeSet, scores: &mut [i64], reverse: bool) {
    let [lowest, highest] = range_of(nodes, scores);
    if highest <= 0 {
        if reverse {
            scores.fill(MAX_NODE_SCORE);
        }
        return;
    }
    if lowest < 0 || highest >> IN_RANGE != 0 {
        let normalize = |score: i64| MAX_NODE_SCORE.wrapping_mul(score).wrapping_div(highest);
        for node in nodes.iter() {
            let normalized = normalize(scores[node.index()]);
            scores[node.index()] = if reverse {
                MAX_NODE_SCORE - normalized
            } else {
                normalized
            };
        }
        return;
    }
    let factor = MAX_NODE_SCORE as f64 / highest as f64;
    let (start, sign) = if reverse {
        (MAX_NODE_SCORE as f64, -1.0)
    } else {
        (0.0, 1.0)
    };
    ranges::change(scores, |range| {
        lanes::widely(
            #[inline(always)]
            || {
                for score in range {
                    *score = lanes::to_integer(start + sign * lanes::percent(lanes::from_integer(*score), factor));
                }
            },
        );
    });
}

/// The lowest and the highest score of `nodes`; zeros if there is no node.
pub fn range_of(nodes: &NodeSet, scores: &[i64]) -> [i64; 2] {
    lanes::widely(
        #[inline(always)]
        || range_of_blocks(nodes, scores),
    )
}

#[inline(always)]
fn range_of_blocks(nodes: &NodeSet, scores: &[i64]) -> [i64; 2] {
    let mut range: Option<[i64; 2]> = None;
    let mut widen = |[low, high]: [i64; 2]| {
        range = Some(range.map_or([low, high], |[lowest, highest]| [lowest.min(low), highest.max(high)]));
    };
    for (first, bits) in nodes.blocks() {
        let whole = lanes::block(scores, first).filter(|_| bits == usize::MAX);
        match whole.and_then(range_of_block) {
            Some(range) => widen(range),
            None => NodeSet::nodes_of_block(first, bits).for_each(|node| widen([scores[node.index()]; 2])),
        }
    }
    range.unwrap_or_default()
}

/// The lowest and the highest score of a block. None: one is out of the range of lanes.
#[inline(always)]
fn range_of_block(scores: &[i64; BLOCK_BITS]) -> Option<[i64; 2]> {
    const LIFT: i64 = 1 << (lanes::EXACT - 1);
    let (mut in_lanes, mut lifted) = ([0.0; BLOCK_BITS], 0);
    for (lane, score) in in_lanes.iter_mut().zip(scores) {
        lifted |= score.wrapping_add(LIFT);
        *lane = lanes::from_integer(*score);
    }
    let in_range = lifted as u64 >> lanes::EXACT == 0;
    in_range.then(|| [lanes::lowest(&in_lanes), lanes::highest(&in_lanes)].map(lanes::to_integer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn normalizing_is_integer_arithmetic(
            column in prop::collection::vec(prop_oneof![0..5i64, 0..1i64 << 45, -3..3i64, any::<i64>()], 128),
            nodes in prop_oneof![prop::collection::btree_set(0..128u32, 1..128), Just((0..128).collect())],
            reverse: bool,
        ) {
            let nodes: NodeSet = nodes.into_iter().map(NodeOrd).collect();
            let highest = nodes.iter().map(|node| column[node.index()]).max().unwrap_or(0).max(0);
            let mut scores = column.clone();
            default_normalize(&nodes, &mut scores, reverse);
            for node in nodes.iter() {
                let raw = column[node.index()];
                let expected = match (highest, reverse) {
                    (0, false) => raw,
                    (0, true) => 100,
                    (_, false) => 100i64.wrapping_mul(raw).wrapping_div(highest),
                    (_, true) => 100 - 100i64.wrapping_mul(raw).wrapping_div(highest),
                };
                prop_assert_eq!(scores[node.index()], expected, "{:?}", node);
            }
            let raw = || nodes.iter().map(|node| column[node.index()]);
            prop_assert_eq!(range_of(&nodes, &column), [raw().min().unwrap_or(0), raw().max().unwrap_or(0)]);
        }
    }
}
