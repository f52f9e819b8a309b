//! NodeUnschedulable: keeps pods off cordoned nodes, unless they tolerate it.

use muster_framework::event::{ClusterEvent, EventKinds, Hint};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, Reads};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::taint::{Taint, TaintEffect, tolerated};
use muster_framework::view::View;
use std::sync::LazyLock;

/// The plugin. Source: `pkg/scheduler/framework/plugins/nodeunschedulable`.
#[derive(Debug)]
pub struct NodeUnschedulable;

/// The taint that stands for a cordon: a pod that tolerates it does not mind.
static CORDON: LazyLock<Taint> = LazyLock::new(|| Taint {
    key: "node.kubernetes.io/unschedulable".into(),
    value: "".into(),
    effect: TaintEffect::NoSchedule,
});

const REASON: Reason = Reason::Sentence("node(s) were unschedulable");

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }
}

impl Filter for NodeUnschedulable {
    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let cordoned = view.table().unschedulable();
        if cordoned.is_empty() {
            return;
        }
        if tolerated(&pod.spec.tolerations, &CORDON) {
            return;
        }
        for node in cordoned.iter() {
            if nodes.contains(node) {
                nodes.remove(node);
                rejections.reject(node, Code::UnschedulableAndUnresolvable, REASON);
            }
        }
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD.and(EventKinds::NODE_UNCORDONED)
    }

    fn hint(&self, _pod: &PodToPlace<'_>, event: &ClusterEvent, _view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            ClusterEvent::NodeUpdate { changes, .. } if changes.uncordoned => Hint::OnEventNode,
            _ => Hint::Skip,
        }
    }

    fn reads(&self, _pod: &PodToPlace<'_>) -> Reads {
        Reads::Node
    }
}
