//! NodeVolumeLimits.

use crate::registry::Recipe;
use muster_framework::plugin::Plugin;

/// The plugin. Source: `pkg/scheduler/framework/plugins/nodevolumelimits`.
#[derive(Debug)]
pub struct NodeVolumeLimits;

impl NodeVolumeLimits {
    /// The plugin with the arguments of its profile.
    pub fn new(_recipe: Recipe<'_>) -> NodeVolumeLimits {
        NodeVolumeLimits
    }
}

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }
}
