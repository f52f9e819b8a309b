//! NodeDeclaredFeatures.

use muster_framework::plugin::Plugin;

/// The plugin. Source: `pkg/scheduler/framework/plugins/nodedeclaredfeatures`.
#[derive(Debug)]
pub struct NodeDeclaredFeatures;

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }
}
