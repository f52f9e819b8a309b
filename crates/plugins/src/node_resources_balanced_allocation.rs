//! NodeResourcesBalancedAllocation: prefers nodes whose resources are used, or come to be used, in equal measure.
//!
//! The score is floating point upstream, so every operation here is upstream's, in upstream's order; with two resources,
//! several nodes go through it at once.

use crate::registry::Recipe;
use muster_framework::Text;
use muster_framework::lanes::{self, Lanes};
use muster_framework::node_set::{BLOCK_BITS, NodeSet};
use muster_framework::plugin::{MAX_NODE_SCORE, Plugin, PodToPlace, Reads, Score};
use muster_framework::ranges;
use muster_framework::rules::KubeMinor;
use muster_framework::table::NodeOrd;
use muster_framework::utilization::{Counted, ScoredBlock, ScoredResource, asks_for_none};
use muster_framework::view::View;
use smallvec::SmallVec;

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
    fn score_of(&self, amounts: impl Iterator<Item = (i64, i64, i64)> + Clone) -> i64 {
        let present = || amounts.clone().filter(|(allocatable, ..)| *allocatable != 0);
        let with = balance(present().map(|(allocatable, _, with)| fraction(with, allocatable)));
        if !self.by_improvement {
            return with;
        }
        let without = balance(present().map(|(allocatable, without, _)| fraction(without, allocatable)));
        MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + with - without) / 2
    }

    /// The scores of a block by two resources. False: they have to be computed one by one.
    #[inline(always)]
    fn score_block(&self, resources: [&ScoredResource<'_>; 2], first: usize, scores: &mut [i64; BLOCK_BITS]) -> bool {
        let blocks = resources.map(|resource| resource.block(first));
        let mut all = resources[0].wanted | resources[1].wanted;
        for at in 0..BLOCK_BITS {
            all |= blocks[0].allocatable[at] | blocks[0].used[at] | blocks[1].allocatable[at] | blocks[1].used[at];
        }
        let in_range = all as u64 >> (lanes::EXACT - 1) == 0;
        if !in_range
            || blocks
                .iter()
                .any(|block| lanes::lowest(block.hundred_by_allocatable) <= 0.0)
        {
            return false;
        }
        let wanted = resources.map(|resource| resource.wanted as f64);
        let mut doubtful = [0.0; BLOCK_BITS];
        if self.by_improvement {
            score_without_division::<true>(blocks, wanted, scores, &mut doubtful);
        } else {
            score_without_division::<false>(blocks, wanted, scores, &mut doubtful);
        }
        if lanes::highest(&doubtful) > SURE {
            self.divide_where_doubtful(resources, blocks, &doubtful, scores);
        }
        true
    }

    fn divide_where_doubtful(
        &self,
        resources: [&ScoredResource<'_>; 2],
        blocks: [ScoredBlock<'_>; 2],
        doubtful: &Lanes,
        scores: &mut [i64; BLOCK_BITS],
    ) {
        for at in (0..BLOCK_BITS).filter(|at| doubtful[*at] > SURE) {
            let amounts = resources.iter().zip(&blocks).map(|(resource, block)| {
                let used = block.used[at];
                (block.allocatable[at], used, used.wrapping_add(resource.wanted))
            });
            scores[at] = self.score_of(amounts);
        }
    }
}

/// Scores with products instead of quotients. What comes before the last rounding is off by less than 10⁻¹³, as it is
/// upstream: so where it is not that close to a whole number, the outcome is the same. How far it is from the middle
/// between two of them is left in `doubtful`.
#[inline(always)]
fn score_without_division<const BY_IMPROVEMENT: bool>(
    [a, b]: [ScoredBlock<'_>; 2],
    wanted: [f64; 2],
    scores: &mut [i64; BLOCK_BITS],
    doubtful: &mut Lanes,
) {
    const ALL: f64 = MAX_NODE_SCORE as f64;
    let balance = |a: f64, b: f64| {
        let parts = lanes::lowest_of(a, ALL) - lanes::lowest_of(b, ALL);
        let above_middle = ALL - 0.5 - parts.abs() / 2.0;
        let whole = lanes::nearest(above_middle);
        (whole, (above_middle - whole).abs())
    };
    for at in 0..BLOCK_BITS {
        let (percent_a, percent_b) = (a.hundred_by_allocatable[at], b.hundred_by_allocatable[at]);
        let (uses_a, uses_b) = (lanes::from_integer(a.used[at]), lanes::from_integer(b.used[at]));
        let (with, doubt_with) = balance((uses_a + wanted[0]) * percent_a, (uses_b + wanted[1]) * percent_b);
        if BY_IMPROVEMENT {
            let (without, doubt) = balance(uses_a * percent_a, uses_b * percent_b);
            // Where nothing is used, there is nothing to be off by: 99.5 is nearest to 100, which is even.
            let doubt = if uses_a + uses_b > 0.0 { doubt } else { 0.0 };
            doubtful[at] = lanes::highest_of(doubt_with, doubt);
            // Half of a whole number, rounded down: a quarter less is nearest to it.
            scores[at] = lanes::to_integer((ALL + ALL / 2.0 + with - without) / 2.0 - 0.25);
        } else {
            doubtful[at] = doubt_with;
            scores[at] = lanes::to_integer(with);
        }
    }
}

/// So close to the middle between two whole numbers, a number rounds down to the same one, even if it is a little off.
const SURE: f64 = 0.5 - 1e-12;

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
        ranges::score_blocks(nodes, scores, |first, bits, scores| {
            let is_scored = matches!(&resources[..], [a, b] if lanes::widely(
                #[inline(always)]
                || self.score_block([a, b], first, scores),
            ));
            if is_scored {
                return;
            }
            for node in NodeSet::nodes_of_block(first, bits) {
                let at = node.index() - first;
                let amounts = resources.iter().map(|resource| {
                    let block = resource.block(first);
                    let used = block.used[at];
                    (block.allocatable[at], used, used.wrapping_add(resource.wanted))
                });
                scores[at] = self.score_of(amounts);
            }
        });
        for node in view.touched().iter().filter(|node| nodes.contains(**node)) {
            let amounts = resources.iter().map(|resource| {
                let (allocatable, used) = resource.on_node(view, *node);
                (allocatable, used, used.wrapping_add(resource.wanted))
            });
            scores[node.index()] = self.score_of(amounts);
        }
    }

    fn reads(&self, pod: &PodToPlace<'_>, _view: &View<'_>) -> Reads {
        if asks_for_none(pod, self.resources.iter()) {
            Reads::Nothing
        } else {
            Reads::NodeAndPods
        }
    }

    fn score_node(&self, pod: &PodToPlace<'_>, view: &View<'_>, node: NodeOrd) -> i64 {
        let resources = self.resources.iter();
        let amounts = resources.filter_map(|name| {
            let resource = ScoredResource::new(name, 1, Counted::Requested, pod, view)?;
            let (allocatable, used) = resource.on_node(view, node);
            Some((allocatable, used, used.wrapping_add(resource.wanted)))
        });
        let amounts: SmallVec<[(i64, i64, i64); 4]> = amounts.collect();
        self.score_of(amounts.iter().copied())
    }
}
