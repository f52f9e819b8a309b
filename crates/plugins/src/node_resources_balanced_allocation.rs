//! NodeResourcesBalancedAllocation.

use crate::registry::Recipe;
use muster_framework::plugin::Plugin;

/// The plugin. Source: `pkg/scheduler/framework/plugins/noderesourcesbalancedallocation`.
#[derive(Debug)]
pub struct NodeResourcesBalancedAllocation;

impl NodeResourcesBalancedAllocation {
    /// The plugin with the arguments of its profile.
    pub fn new(_recipe: Recipe<'_>) -> NodeResourcesBalancedAllocation {
        NodeResourcesBalancedAllocation
    }
}

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }
}
