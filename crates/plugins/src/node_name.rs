//! NodeName: a pod that names its node runs there and nowhere else.

use crate::registry::Recipe;
use muster_framework::event::{ClusterEvent, EventKinds, Hint};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, PreFilter, Reads};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::rules::KubeMinor;
use muster_framework::view::View;
use std::collections::BTreeSet;

/// The plugin. Source: `pkg/scheduler/framework/plugins/nodename`.
#[derive(Debug)]
pub struct NodeName {
    /// Since 1.37 other nodes are not even looked at.
    narrows: bool,
}

impl NodeName {
    /// The plugin with the rules of its minor.
    pub fn new(recipe: Recipe<'_>) -> NodeName {
        NodeName {
            narrows: recipe.minor >= KubeMinor::V1_37,
        }
    }
}

const REASON: Reason = Reason::Sentence("node(s) didn't match the requested node name");

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }
}

impl Filter for NodeName {
    fn pre_filter(&self, pod: &PodToPlace<'_>, _view: &View<'_>) -> PreFilter {
        match &pod.spec.node_name {
            None => PreFilter::Skip,
            Some(name) if self.narrows => PreFilter::Narrow(BTreeSet::from([name.clone()])),
            Some(_) => PreFilter::Judge,
        }
    }

    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let wanted = pod.spec.node_name.as_ref().and_then(|name| view.table().by_name(name));
        nodes.retain(
            |node| Some(node) == wanted,
            |node| rejections.reject(node, Code::UnschedulableAndUnresolvable, REASON),
        );
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD
    }

    fn hint(&self, _pod: &PodToPlace<'_>, event: &ClusterEvent, _view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            _ => Hint::Skip,
        }
    }

    fn reads(&self, pod: &PodToPlace<'_>) -> Reads {
        match pod.spec.node_name {
            None => Reads::Nothing,
            Some(_) => Reads::Anything,
        }
    }
}
