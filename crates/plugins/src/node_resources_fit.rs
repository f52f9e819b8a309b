//! NodeResourcesFit: what a pod asks for must be left on the node; nodes are preferred by what is left, or by what is used.
//!
//! Filter and score go over whole columns, a block of nodes at a time; nodes that a delta touches are judged once more, one
//! by one. Source: `pkg/scheduler/framework/plugins/noderesources`.

use crate::args::{NodeResourcesFitArgs, ShapePoint, StrategyType};
use crate::registry::Recipe;
use muster_framework::event::{ClusterEvent, EventKinds, Hint};
use muster_framework::lanes::{self, Lanes};
use muster_framework::node_set::{BLOCK_BITS, NodeSet};
use muster_framework::plugin::{Filter, MAX_NODE_SCORE, Plugin, PodToPlace, Reads, Score};
use muster_framework::ranges;
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::resource::{ResourceOrd, is_extended};
use muster_framework::table::{NodeOrd, NodeTable};
use muster_framework::utilization::{Counted, ScoredResource};
use muster_framework::view::View;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The plugin.
#[derive(Debug)]
pub struct NodeResourcesFit {
    args: NodeResourcesFitArgs,
    /// The score of each utilization from 0 to 100, for `RequestedToCapacityRatio`.
    by_utilization: Vec<i64>,
}

impl NodeResourcesFit {
    /// The plugin with the arguments of its profile.
    pub fn new(recipe: Recipe<'_>) -> NodeResourcesFit {
        let args = recipe.args.node_resources_fit.clone();
        NodeResourcesFit {
            by_utilization: (0..=MAX_UTILIZATION).map(|p| broken_linear(&args.shape, p)).collect(),
            args,
        }
    }

    /// Whether the filter leaves a resource out. Only extended ones can be left out.
    fn ignores(&self, name: &str) -> bool {
        let in_group = || {
            name.split('/')
                .next()
                .is_some_and(|group| listed(&self.args.ignored_resource_groups, group))
        };
        is_extended(name) && (listed(&self.args.ignored_resources, name) || in_group())
    }

    fn minds(&self, resource: ResourceOrd, table: &NodeTable) -> bool {
        resource.index() < ResourceOrd::FIXED || !self.ignores(table.resource_name(resource))
    }

    /// What the filter asks for.
    fn needs(&self, pod: &PodToPlace<'_>, table: &NodeTable) -> Needs {
        let (known, unknown) = (&pod.compiled.needs, &pod.compiled.unknown_needs);
        Needs {
            known: known
                .iter()
                .copied()
                .filter(|(resource, _)| self.minds(*resource, table))
                .collect(),
            unknown: unknown
                .iter()
                .filter(|name| !self.ignores(name))
                .cloned()
                .map(Reason::InsufficientUnknown)
                .collect(),
        }
    }
}

fn listed(names: &[muster_framework::Text], name: &str) -> bool {
    names.iter().any(|n| &**n == name)
}

/// What the filter asks for.
struct Needs {
    known: Vec<(ResourceOrd, i64)>,
    /// Amounts of resources that no node has.
    unknown: Vec<Reason>,
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

// ---- the filter --------------------------------------------------------------------------------------------------

impl Filter for NodeResourcesFit {
    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let needs = self.needs(pod, view.table());
        let touched = Touched::judge(&needs, view);
        nodes.retain_blocks(
            |first| {
                if needs.unknown.is_empty() {
                    let base = lanes::widely(
                        #[inline(always)]
                        || base_bits(&needs, view.table(), first),
                    );
                    touched.correct(first, base)
                } else {
                    0
                }
            },
            |node| reject(&needs, view, node, rejections),
        );
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD
            .and(EventKinds::NODE_ALLOCATABLE)
            .and(EventKinds::POD_DELETE)
            .and(EventKinds::POD_SCALE_DOWN)
    }

    fn hint(&self, _pod: &PodToPlace<'_>, event: &ClusterEvent, _view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_)
            | ClusterEvent::AssignedPodDelete { .. }
            | ClusterEvent::AssignedPodScaleDown(_) => Hint::OnEventNode,
            ClusterEvent::NodeUpdate { changes, .. } if changes.allocatable => Hint::OnEventNode,
            _ => Hint::Skip,
        }
    }

    fn reads(&self, _pod: &PodToPlace<'_>) -> Reads {
        Reads::NodeAndPods
    }

    fn fits(&self, pod: &PodToPlace<'_>, view: &View<'_>, node: NodeOrd) -> bool {
        let mut unknown = pod.compiled.unknown_needs.iter();
        let mut needs = pod.compiled.needs.iter();
        unknown.all(|name| self.ignores(name))
            && needs.all(|(resource, need)| view.free(node, *resource) >= *need || !self.minds(*resource, view.table()))
    }
}

/// Which nodes of the block that begins at `first` have room for the pod, going by the base alone.
#[inline(always)]
fn base_bits(needs: &Needs, table: &NodeTable, first: usize) -> usize {
    // Signs are gathered instead of comparing, which processors do for one pair of integers at a time.
    let (mut left, mut all) = ([0i64; BLOCK_BITS], 0);
    for (resource, need) in &needs.known {
        let columns = [table.allocatable(*resource), table.requested(*resource)];
        let [Some(allocatable), Some(requested)] = columns.map(|column| lanes::block(column, first)) else {
            return 0;
        };
        for at in 0..BLOCK_BITS {
            left[at] |= allocatable[at].wrapping_sub(requested[at]).wrapping_sub(*need);
            all |= allocatable[at] | requested[at];
        }
        all |= need;
    }
    if all as u64 >> 61 != 0 {
        return odd_base_bits(needs, table, first);
    }
    if left.iter().fold(0, |all, left| all | left) >= 0 {
        return usize::MAX;
    }
    left.iter()
        .enumerate()
        .fold(0, |bits, (at, left)| bits | usize::from(*left >= 0) << at)
}

/// The same for amounts that are negative or close to the limits of integers.
fn odd_base_bits(needs: &Needs, table: &NodeTable, first: usize) -> usize {
    let fits = |at: usize| {
        needs.known.iter().all(|(resource, need)| {
            let [allocatable, requested] = [table.allocatable(*resource)[at], table.requested(*resource)[at]];
            allocatable.wrapping_sub(requested) >= *need
        })
    };
    (0..BLOCK_BITS).fold(0, |bits, at| bits | usize::from(fits(first + at)) << at)
}

/// Verdicts on the nodes that the delta touches: by block, which nodes they are and which of them fit.
struct Touched(BTreeMap<usize, (usize, usize)>);

impl Touched {
    fn judge(needs: &Needs, view: &View<'_>) -> Touched {
        let mut blocks: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for node in view.touched() {
            let (mask, fits) = blocks.entry(node.index() / BLOCK_BITS * BLOCK_BITS).or_default();
            let bit = 1 << (node.index() % BLOCK_BITS);
            *mask |= bit;
            if needs
                .known
                .iter()
                .all(|(resource, need)| view.free(*node, *resource) >= *need)
            {
                *fits |= bit;
            }
        }
        Touched(blocks)
    }

    fn correct(&self, first: usize, base: usize) -> usize {
        match self.0.get(&first) {
            Some((mask, fits)) => base & !mask | fits,
            None => base,
        }
    }
}

/// All shortfalls of a node. More than the node has in all cannot be helped by taking pods off it.
///
/// Source: `fitsRequest`. It compares with allocatable for amounts, and not for the number of pods.
fn reject(needs: &Needs, view: &View<'_>, node: NodeOrd, rejections: &mut Rejections) {
    let short = || {
        needs
            .known
            .iter()
            .filter(|(resource, need)| view.free(node, *resource) < *need)
    };
    let hopeless = |(resource, need): &(ResourceOrd, i64)| {
        *resource != ResourceOrd::PODS && view.table().allocatable(*resource)[node.index()] < *need
    };
    let code = if needs.unknown.is_empty() && !short().any(hopeless) {
        Code::Unschedulable
    } else {
        Code::UnschedulableAndUnresolvable
    };
    let known = short().map(|(resource, _)| Reason::Insufficient(*resource));
    rejections.reject_all(node, code, known.chain(needs.unknown.iter().cloned()));
}

// ---- the score ---------------------------------------------------------------------------------------------------

/// `config.MaxCustomPriorityScore` of upstream: scores of a shape go up to this.
const MAX_SHAPE_SCORE: i64 = 10;
const MAX_UTILIZATION: i64 = 100;

impl Score for NodeResourcesFit {
    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        let resources = self.args.resources.iter();
        let resources: Vec<ScoredResource<'_>> = resources
            .filter_map(|r| ScoredResource::new(&r.name, r.weight, Counted::WithDefaults, pod, view))
            .collect();
        ranges::score_blocks(nodes, scores, |first, bits, scores| {
            let is_scored = lanes::widely(
                #[inline(always)]
                || self.score_block(&resources, first, scores),
            );
            if is_scored {
                return;
            }
            for node in NodeSet::nodes_of_block(first, bits) {
                let at = node.index() - first;
                let of_node = |resource: &ScoredResource<'_>| {
                    let block = resource.block(first);
                    (block.allocatable[at], block.used[at])
                };
                scores[at] = self.mean(&resources, of_node);
            }
        });
        for node in view.touched().iter().filter(|node| nodes.contains(**node)) {
            scores[node.index()] = self.mean(&resources, |resource| resource.on_node(view, *node));
        }
    }

    fn reads(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> Reads {
        Reads::NodeAndPods
    }

    fn score_node(&self, pod: &PodToPlace<'_>, view: &View<'_>, node: NodeOrd) -> i64 {
        let resources = self.args.resources.iter();
        let resources: SmallVec<[ScoredResource<'_>; 4]> = resources
            .filter_map(|r| ScoredResource::new(&r.name, r.weight, Counted::WithDefaults, pod, view))
            .collect();
        self.mean(&resources, |resource| resource.on_node(view, node))
    }
}

impl NodeResourcesFit {
    /// The score of one node: the mean over its resources, which a resource that the node does not have is left out of.
    ///
    /// Source: `leastResourceScorer`, `mostResourceScorer`, `buildRequestedToCapacityRatioScorerFunction`.
    fn mean(&self, resources: &[ScoredResource<'_>], of_node: impl Fn(&ScoredResource<'_>) -> (i64, i64)) -> i64 {
        let (mut sum, mut weights) = (0i64, 0);
        for resource in resources {
            let (allocatable, used) = of_node(resource);
            if allocatable == 0 {
                continue;
            }
            let requested = used.wrapping_add(resource.wanted);
            let score = self.score_amount(requested, allocatable);
            if score > 0 || self.args.strategy != StrategyType::RequestedToCapacityRatio {
                sum = sum.wrapping_add(score.wrapping_mul(resource.weight));
                weights += resource.weight;
            }
        }
        match self.args.strategy {
            _ if weights == 0 => 0,
            StrategyType::RequestedToCapacityRatio => (sum as f64 / weights as f64).round() as i64,
            StrategyType::LeastAllocated | StrategyType::MostAllocated => sum / weights,
        }
    }

    fn score_amount(&self, requested: i64, allocatable: i64) -> i64 {
        let percent = |amount: i64| amount.wrapping_mul(MAX_NODE_SCORE).wrapping_div(allocatable);
        match self.args.strategy {
            StrategyType::LeastAllocated if requested > allocatable => 0,
            StrategyType::LeastAllocated => percent(allocatable.wrapping_sub(requested)),
            StrategyType::MostAllocated => percent(requested.min(allocatable)),
            StrategyType::RequestedToCapacityRatio if requested > allocatable => self.by_utilization[100],
            StrategyType::RequestedToCapacityRatio => {
                let utilization = percent(requested);
                let known = usize::try_from(utilization)
                    .ok()
                    .and_then(|at| self.by_utilization.get(at));
                known
                    .copied()
                    .unwrap_or_else(|| broken_linear(&self.args.shape, utilization))
            }
        }
    }

    /// The scores of a block. False: amounts out of the ordinary stand in the way.
    #[inline(always)]
    fn score_block(&self, resources: &[ScoredResource<'_>], first: usize, scores: &mut [i64]) -> bool {
        let mut sums = Sums::default();
        for resource in resources {
            match self.args.strategy {
                StrategyType::LeastAllocated => sums.add(resource, first, |left, _| lanes::highest_of(left, 0.0)),
                StrategyType::MostAllocated => {
                    sums.add(resource, first, |left, allocatable| {
                        allocatable - lanes::highest_of(left, 0.0)
                    });
                }
                StrategyType::RequestedToCapacityRatio => sums.add_shaped(resource, first, &self.by_utilization),
            }
        }
        if self.args.strategy == StrategyType::RequestedToCapacityRatio {
            sums.rounded_means(scores);
        } else {
            sums.means(scores);
        }
        sums.is_exact
    }
}

/// Weighted scores of the nodes of a block, summed over resources.
struct Sums {
    scores: Lanes,
    weights: Lanes,
    /// The weights of all nodes are the same.
    even_weights: bool,
    /// No amount was out of the range in which the sums are exact.
    is_exact: bool,
}

impl Default for Sums {
    fn default() -> Self {
        Sums {
            scores: [0.0; BLOCK_BITS],
            weights: [0.0; BLOCK_BITS],
            even_weights: true,
            is_exact: true,
        }
    }
}

impl Sums {
    /// Adds a resource whose score is `part` of what is allocatable, in percent; `part` is told what would be left, less
    /// than nothing where the pod asks for more, and what is allocatable.
    #[inline(always)]
    fn add(&mut self, resource: &ScoredResource<'_>, first: usize, part: impl Fn(f64, f64) -> f64) {
        let (block, wanted) = (resource.block(first), resource.wanted);
        let weight = resource.weight as f64;
        let (mut allocatable, mut requested) = (0, 0);
        for at in 0..BLOCK_BITS {
            let would_be_used = block.used[at].wrapping_add(wanted);
            allocatable |= block.allocatable[at];
            requested |= would_be_used;
            let left = lanes::from_integer(block.allocatable[at].wrapping_sub(would_be_used));
            let part = part(left, lanes::from_integer(block.allocatable[at]));
            self.scores[at] += weight * lanes::percent(part, block.hundred_by_allocatable[at]);
        }
        self.is_exact &= allocatable as u64 >> lanes::IN_RANGE == 0 && requested as u64 >> (lanes::EXACT - 1) == 0;
        self.add_weights(block.hundred_by_allocatable, weight);
    }

    #[inline(always)]
    fn add_weights(&mut self, hundred_by_allocatable: &Lanes, weight: f64) {
        if lanes::lowest(hundred_by_allocatable) > 0.0 {
            self.weights.iter_mut().for_each(|weights| *weights += weight);
            return;
        }
        self.even_weights = false;
        for (weights, by) in self.weights.iter_mut().zip(hundred_by_allocatable) {
            *weights += if *by > 0.0 { weight } else { 0.0 };
        }
    }

    /// Adds a resource whose utilization has a score of its own; where that is 0, the resource does not count.
    #[inline(always)]
    fn add_shaped(&mut self, resource: &ScoredResource<'_>, first: usize, by_utilization: &[i64]) {
        let mut utilization = Sums::default();
        let unweighted = resource.with_weight(1);
        utilization.add(&unweighted, first, |left, allocatable| {
            allocatable - lanes::highest_of(left, 0.0)
        });
        self.is_exact &= utilization.is_exact;
        self.even_weights = false;
        for at in 0..BLOCK_BITS {
            let score = by_utilization
                .get(utilization.scores[at] as usize)
                .copied()
                .unwrap_or(0);
            if utilization.weights[at] > 0.0 && score > 0 {
                self.scores[at] += (score * resource.weight) as f64;
                self.weights[at] += resource.weight as f64;
            }
        }
    }

    /// The whole parts of the means; 0 where nothing counts.
    #[inline(always)]
    fn means(&self, scores: &mut [i64]) {
        if self.even_weights && self.weights[0] > 0.0 {
            // Half a unit more keeps the sum away from whole means: less a half, it is nearest to the one below.
            let by_weights = 1.0 / self.weights[0];
            for (score, sum) in scores.iter_mut().zip(&self.scores) {
                *score = lanes::to_integer(sum * by_weights + (0.5 * by_weights - 0.5));
            }
        } else {
            for (score, (sum, weights)) in scores.iter_mut().zip(self.scores.iter().zip(&self.weights)) {
                *score = if *weights > 0.0 { (sum / weights) as i64 } else { 0 };
            }
        }
    }

    #[inline(always)]
    fn rounded_means(&self, scores: &mut [i64]) {
        let sums = self.scores.iter().zip(&self.weights);
        for (score, (sum, weights)) in scores.iter_mut().zip(sums) {
            *score = if *weights > 0.0 {
                (sum / weights).round() as i64
            } else {
                0
            };
        }
    }
}

/// The score of a utilization: linear between the points of the shape, and level outside them.
///
/// Source: `pkg/scheduler/framework/plugins/helper.BuildBrokenLinearFunction`.
fn broken_linear(shape: &[ShapePoint], utilization: i64) -> i64 {
    let scaled = |point: &ShapePoint| point.score * (MAX_NODE_SCORE / MAX_SHAPE_SCORE);
    let Some(last) = shape.last() else { return 0 };
    match shape.iter().position(|point| utilization <= point.utilization) {
        None => scaled(last),
        Some(0) => scaled(&shape[0]),
        Some(at) => {
            let (low, high) = (&shape[at - 1], &shape[at]);
            let rise = scaled(high) - scaled(low);
            scaled(low) + rise * (utilization - low.utilization) / (high.utilization - low.utilization)
        }
    }
}
