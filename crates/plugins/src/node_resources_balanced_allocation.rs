//! NodeResourcesBalancedAllocation: prefers nodes whose resources are used, or come to be used, in equal measure.
//!
//! The score is floating point upstream, so every operation here is upstream's, in upstream's order; with two resources,
//! several nodes go through it at once.

use crate::registry::Recipe;
use muster_framework::Text;
use muster_framework::lanes;
use muster_framework::node_set::{BLOCK_BITS, NodeSet};
use muster_framework::plugin::{MAX_NODE_SCORE, Plugin, PodToPlace, Score};
use muster_framework::rules::KubeMinor;
use muster_framework::table::NodeOrd;
use muster_framework::utilization::{Counted, ScoredResource, asks_for_none};
use muster_framework::view::View;

/// The plugin. Source: `pkg/scheduler/framework/plugins/noderesources.BalancedAllocation`.
#[derive(Debug)]
pub struct NodeResourcesBalancedAllocation {
    resources: Vec<Text>,
    /// Since 1.36 the score says how much better or worse the balance gets, and not only how good it will be.
    by_improvement: bool,
}

impl NodeResourcesBalancedAllocation {
    /// The plugin with the arguments of its profile.
    pub fn new(recipe: Recipe<'_>) -> NodeResourcesBalancedAllocation {
        let resources = recipe.args.balanced_allocation.resources.iter();
        NodeResourcesBalancedAllocation {
            resources: resources.map(|resource| resource.name.clone()).collect(),
            by_improvement: recipe.minor >= KubeMinor::V1_36,
        }
    }

    /// The score of one node, given of each resource what it has, and what is used of it without the pod and with it.
    fn score_node(&self, amounts: impl Iterator<Item = (i64, i64, i64)> + Clone) -> i64 {
        let present = || amounts.clone().filter(|(allocatable, ..)| *allocatable != 0);
        let with = balance(present().map(|(allocatable, _, with)| fraction(with, allocatable)));
        if !self.by_improvement {
            return with;
        }
        let without = balance(present().map(|(allocatable, without, _)| fraction(without, allocatable)));
        MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + with - without) / 2
    }

    /// The scores of a block by two resources. False: amounts out of the ordinary stand in the way.
    fn score_block(&self, resources: [&ScoredResource<'_>; 2], first: usize, scores: &mut [i64]) -> bool {
        let [(has_a, uses_a), (has_b, uses_b)] = resources.map(|resource| resource.block(first));
        let [wanted_a, wanted_b] = resources.map(|resource| resource.wanted);
        let mut odd = 0;
        for at in 0..BLOCK_BITS {
            let with = [uses_a[at].wrapping_add(wanted_a), uses_b[at].wrapping_add(wanted_b)];
            let all = has_a[at] | has_b[at] | uses_a[at] | uses_b[at] | with[0] | with[1];
            odd |= all as u64 >> lanes::EXACT;
            let has = [has_a[at], has_b[at]].map(lanes::from_integer);
            let balance = |uses: [i64; 2]| {
                let fraction = |at: usize| {
                    let fraction = lanes::from_integer(uses[at]) / has[at];
                    if fraction > 1.0 { 1.0 } else { fraction }
                };
                let deviation = ((fraction(0) - fraction(1)) / 2.0).abs();
                let deviation = if (has[0] > 0.0) & (has[1] > 0.0) {
                    deviation
                } else {
                    0.0
                };
                lanes::floor((1.0 - deviation) * MAX_NODE_SCORE as f64)
            };
            let half = MAX_NODE_SCORE as f64 / 2.0;
            let score = if self.by_improvement {
                half + lanes::floor((half + balance(with) - balance([uses_a[at], uses_b[at]])) / 2.0)
            } else {
                balance(with)
            };
            scores[at] = lanes::to_integer(score);
        }
        odd == 0
    }
}

fn fraction(used: i64, allocatable: i64) -> f64 {
    let fraction = used as f64 / allocatable as f64;
    if fraction > 1.0 { 1.0 } else { fraction }
}

/// 100 less the standard deviation of the fractions in hundredths; two fractions take a short cut that rounds differently.
fn balance(fractions: impl Iterator<Item = f64> + Clone) -> i64 {
    let mut first_two = fractions.clone();
    let deviation = match (first_two.next(), first_two.next(), first_two.next()) {
        (Some(a), Some(b), None) => ((a - b) / 2.0).abs(),
        (Some(_), Some(_), Some(_)) => {
            let n = fractions.clone().count() as f64;
            let mean = fractions.clone().fold(0.0, |sum, fraction| sum + fraction) / n;
            let squares = fractions.fold(0.0, |sum, fraction| sum + (fraction - mean) * (fraction - mean));
            (squares / n).sqrt()
        }
        _ => 0.0,
    };
    ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
}

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

impl Score for NodeResourcesBalancedAllocation {
    fn skips(&self, pod: &PodToPlace<'_>, _view: &View<'_>, _nodes: &NodeSet) -> bool {
        asks_for_none(pod, self.resources.iter())
    }

    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        let resources = self.resources.iter();
        let resources: Vec<ScoredResource<'_>> = resources
            .filter_map(|name| ScoredResource::new(name, 1, Counted::Requested, pod, view))
            .collect();
        for (first, bits) in nodes.blocks() {
            if let [a, b] = &resources[..]
                && self.score_block([a, b], first, &mut scores[first..first + BLOCK_BITS])
            {
                continue;
            }
            for NodeOrd(node) in NodeSet::nodes_of_block(first, bits) {
                let at = node as usize - first;
                let amounts = resources.iter().map(|resource| {
                    let (allocatable, used) = resource.block(first);
                    (allocatable[at], used[at], used[at].wrapping_add(resource.wanted))
                });
                scores[node as usize] = self.score_node(amounts);
            }
        }
        for node in view.touched().iter().filter(|node| nodes.contains(**node)) {
            let amounts = resources.iter().map(|resource| {
                let (allocatable, used) = resource.on_node(view, *node);
                (allocatable, used, used.wrapping_add(resource.wanted))
            });
            scores[node.index()] = self.score_node(amounts);
        }
    }
}
