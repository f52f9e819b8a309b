//! PodTopologySpread.

use crate::registry::Recipe;
use muster_framework::plugin::Plugin;

/// The plugin. Source: `pkg/scheduler/framework/plugins/podtopologyspread`.
#[derive(Debug)]
pub struct PodTopologySpread;

impl PodTopologySpread {
    /// The plugin with the arguments of its profile.
    pub fn new(_recipe: Recipe<'_>) -> PodTopologySpread {
        PodTopologySpread
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }
}
