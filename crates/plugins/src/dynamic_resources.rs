//! DynamicResources, as far as it concerns pods *without* resource claims: they score 0 everywhere, as upstream.
//!
//! Pods with claims are held back as unsupported before they come here.

use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Plugin, PodToPlace, Reads, Score};
use muster_framework::view::View;

/// The plugin. Source: `pkg/scheduler/framework/plugins/dynamicresources`.
#[derive(Debug)]
pub struct DynamicResources;

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

impl Score for DynamicResources {
    fn is_indifferent(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> bool {
        true
    }

    fn score(&self, _pod: &PodToPlace<'_>, _view: &View<'_>, _nodes: &NodeSet, scores: &mut [i64]) {
        scores.fill(0);
    }

    fn reads(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> Reads {
        Reads::Nothing
    }
}
