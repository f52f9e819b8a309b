//! NodeResourcesFit: what a pod asks for must be left on the node; emptier nodes are preferred (LeastAllocated).
//!
//! The filter compares whole columns, a block of nodes at a time; nodes that a delta touches are judged once more, one by
//! one. Source: `pkg/scheduler/framework/plugins/noderesources`.

use crate::registry::Recipe;
use muster_framework::event::{ClusterEvent, Hint};
use muster_framework::node_set::{BLOCK_BITS, NodeSet};
use muster_framework::plugin::{Filter, MAX_NODE_SCORE, Plugin, PodToPlace, Score};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::resource::ResourceOrd;
use muster_framework::table::NodeOrd;
use muster_framework::view::View;
use std::collections::BTreeMap;

/// The plugin with its default arguments: LeastAllocated over CPU and memory, weight 1 each.
#[derive(Debug)]
pub struct NodeResourcesFit;

impl NodeResourcesFit {
    /// The plugin with the arguments of its profile.
    pub fn new(_recipe: Recipe<'_>) -> NodeResourcesFit {
        NodeResourcesFit
    }
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

impl Filter for NodeResourcesFit {
    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let touched = Touched::judge(pod, view);
        let hopeless = !pod.compiled.unknown_needs.is_empty();
        nodes.retain_blocks(
            |first| {
                if hopeless {
                    0
                } else {
                    touched.correct(first, base_bits(pod, view, first))
                }
            },
            |node| reject(pod, view, node, rejections),
        );
    }

    fn hint(&self, _pod: &PodToPlace<'_>, event: ClusterEvent) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_)
            | ClusterEvent::AssignedPodDelete { .. }
            | ClusterEvent::AssignedPodScaleDown(_) => Hint::OnEventNode,
            ClusterEvent::NodeUpdate(_, changes) if changes.allocatable => Hint::OnEventNode,
            _ => Hint::Skip,
        }
    }
}

/// Which nodes of the block that begins at `first` have room for the pod, going by the base alone.
fn base_bits(pod: &PodToPlace<'_>, view: &View<'_>, first: usize) -> usize {
    let table = view.table();
    let mut bits = usize::MAX;
    for (resource, need) in &pod.compiled.needs {
        let allocatable = &table.allocatable(*resource)[first..first + BLOCK_BITS];
        let requested = &table.requested(*resource)[first..first + BLOCK_BITS];
        let mut fits = 0;
        for (at, (allocatable, requested)) in allocatable.iter().zip(requested).enumerate() {
            fits |= usize::from(allocatable.wrapping_sub(*requested) >= *need) << at;
        }
        bits &= fits;
    }
    bits
}

/// Verdicts on the nodes that the delta touches: by block, which nodes they are and which of them fit.
struct Touched(BTreeMap<usize, (usize, usize)>);

impl Touched {
    fn judge(pod: &PodToPlace<'_>, view: &View<'_>) -> Touched {
        let mut blocks: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for node in view.touched() {
            let (mask, fits) = blocks.entry(node.index() / BLOCK_BITS * BLOCK_BITS).or_default();
            let bit = 1 << (node.index() % BLOCK_BITS);
            *mask |= bit;
            if pod
                .compiled
                .needs
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
fn reject(pod: &PodToPlace<'_>, view: &View<'_>, node: NodeOrd, rejections: &mut Rejections) {
    let mut code = Code::Unschedulable;
    let mut reasons = Vec::new();
    for (resource, need) in &pod.compiled.needs {
        if view.free(node, *resource) < *need {
            reasons.push(Reason::Insufficient(*resource));
            // Upstream compares with allocatable for amounts, and not for the number of pods.
            if *resource != ResourceOrd::PODS && view.table().allocatable(*resource)[node.index()] < *need {
                code = Code::UnschedulableAndUnresolvable;
            }
        }
    }
    if !pod.compiled.unknown_needs.is_empty() {
        code = Code::UnschedulableAndUnresolvable;
        reasons.extend(
            pod.compiled
                .unknown_needs
                .iter()
                .cloned()
                .map(Reason::InsufficientUnknown),
        );
    }
    rejections.reject_all(node, code, reasons);
}

impl Score for NodeResourcesFit {
    /// LeastAllocated: the mean of `(allocatable − requested) · 100 / allocatable` over CPU and memory, in integers;
    /// a resource that the node does not have is left out.
    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        let wanted = [pod.spec.charge.scoring_milli_cpu, pod.spec.charge.scoring_memory];
        let allocatable = [ResourceOrd::CPU, ResourceOrd::MEMORY].map(|r| view.table().allocatable(r));
        for node in nodes.iter() {
            let used = view.scoring_requested(node);
            let (mut sum, mut weights) = (0, 0);
            for at in 0..2 {
                let allocatable = allocatable[at][node.index()];
                if allocatable == 0 {
                    continue;
                }
                sum += least_requested(used[at].wrapping_add(wanted[at]), allocatable);
                weights += 1;
            }
            scores[node.index()] = if weights == 0 { 0 } else { sum / weights };
        }
    }
}

fn least_requested(requested: i64, allocatable: i64) -> i64 {
    if requested > allocatable {
        return 0;
    }
    allocatable
        .wrapping_sub(requested)
        .wrapping_mul(MAX_NODE_SCORE)
        .wrapping_div(allocatable)
}
