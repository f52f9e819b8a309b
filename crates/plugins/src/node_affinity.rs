//! NodeAffinity: `nodeSelector`, required and preferred node affinity.
//!
//! A requirement is judged once per distinct value of its label, then looked up per node, a block at a time.

use crate::registry::Recipe;
use muster_framework::event::{ClusterEvent, Hint};
use muster_framework::node_match::{NodeMatcher, RequiredAffinity};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, PreFilter, Score, default_normalize};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::table::NodeOrd;
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
        let required = RequiredAffinity::of(view.table(), pod.compiled);
        nodes.retain_blocks(
            |first| required.bits(first),
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
            let term = NodeMatcher::of_term(view.table(), term);
            for node in nodes.iter().filter(|node| term.matches(*node)) {
                scores[node.index()] += weight;
            }
        }
    }

    fn normalize(&self, _pod: &PodToPlace<'_>, _view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        default_normalize(nodes, scores, false);
    }
}
