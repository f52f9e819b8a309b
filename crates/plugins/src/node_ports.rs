//! NodePorts: a host port serves one pod of a node.

use muster_framework::event::{ClusterEvent, EventKinds, Hint};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, PreFilter, Reads};
use muster_framework::record::HostPort;
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::table::NodeOrd;
use muster_framework::view::View;

/// The plugin. Source: `pkg/scheduler/framework/plugins/nodeports`.
#[derive(Debug)]
pub struct NodePorts;

const REASON: Reason = Reason::Sentence("node(s) didn't have free ports for the requested pod ports");

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }
}

impl Filter for NodePorts {
    fn pre_filter(&self, pod: &PodToPlace<'_>, _view: &View<'_>) -> PreFilter {
        if pod.spec.host_ports.is_empty() {
            PreFilter::Skip
        } else {
            PreFilter::Judge
        }
    }

    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        for port in &pod.spec.host_ports {
            for node in view.nodes_with_port(port) {
                if nodes.contains(node) && view.ports_conflict(node, std::slice::from_ref(port)) {
                    nodes.remove(node);
                    rejections.reject(node, Code::Unschedulable, REASON);
                }
            }
        }
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD.and(EventKinds::POD_DELETE)
    }

    fn hint(&self, pod: &PodToPlace<'_>, event: &ClusterEvent, _view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            ClusterEvent::AssignedPodDelete { pod: gone, .. } => {
                let wanted = |port: &HostPort| pod.spec.host_ports.iter().any(|other| other.conflicts(port));
                if gone.spec.host_ports.iter().any(wanted) {
                    Hint::OnEventNode
                } else {
                    Hint::Skip
                }
            }
            _ => Hint::Skip,
        }
    }

    fn reads(&self, pod: &PodToPlace<'_>) -> Reads {
        if pod.spec.host_ports.is_empty() {
            Reads::Nothing
        } else {
            Reads::NodeAndPods
        }
    }

    fn fits(&self, pod: &PodToPlace<'_>, view: &View<'_>, node: NodeOrd) -> bool {
        !view.ports_conflict(node, &pod.spec.host_ports)
    }
}
