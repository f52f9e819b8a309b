//! NodeDeclaredFeatures: a pod whose spec needs features of the node runs where these are declared.
//!
//! What a spec needs is told by whoever reads it. Features are judged once per distinct set that nodes declare.

use crate::registry::Recipe;
use muster_framework::Text;
use muster_framework::event::{ClusterEvent, EventKinds, Hint};
use muster_framework::node_match::bits_by_code;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, PreFilter, Reads};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::rules::KubeMinor;
use muster_framework::view::View;

/// The plugin. Source: `pkg/scheduler/framework/plugins/nodedeclaredfeatures`.
#[derive(Debug)]
pub struct NodeDeclaredFeatures {
    /// In 1.35 it stands behind a gate that is off: who enables it gets a plugin that skips.
    enabled: bool,
}

const REASON: Reason = Reason::Sentence("node(s) didn't match Pod's required features");

impl NodeDeclaredFeatures {
    /// The plugin with the rules of its minor.
    pub fn new(recipe: Recipe<'_>) -> NodeDeclaredFeatures {
        NodeDeclaredFeatures {
            enabled: recipe.minor >= KubeMinor::V1_36,
        }
    }
}

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }
}

impl Filter for NodeDeclaredFeatures {
    fn pre_filter(&self, pod: &PodToPlace<'_>, _view: &View<'_>) -> PreFilter {
        if self.enabled && !pod.spec.required_features.is_empty() {
            PreFilter::Judge
        } else {
            PreFilter::Skip
        }
    }

    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let table = view.table();
        let required = &pod.spec.required_features;
        let declares_all = |declared: &[Text]| required.iter().all(|feature| declared.binary_search(feature).is_ok());
        let good: Vec<bool> = table.feature_sets().map(declares_all).collect();
        nodes.retain_blocks(
            |first| bits_by_code(table.feature_set_ids(), &good, first),
            |node| rejections.reject(node, Code::UnschedulableAndUnresolvable, REASON),
        );
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD.and(EventKinds::NODE_FEATURES)
    }

    fn hint(&self, _pod: &PodToPlace<'_>, event: &ClusterEvent, _view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            ClusterEvent::NodeUpdate { changes, .. } if changes.features => Hint::OnEventNode,
            _ => Hint::Skip,
        }
    }

    fn reads(&self, pod: &PodToPlace<'_>) -> Reads {
        if self.enabled && !pod.spec.required_features.is_empty() {
            Reads::Node
        } else {
            Reads::Nothing
        }
    }
}
