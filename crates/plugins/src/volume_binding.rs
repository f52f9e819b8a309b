//! VolumeBinding.

use crate::registry::Recipe;
use muster_framework::plugin::Plugin;

/// The plugin. Source: `pkg/scheduler/framework/plugins/volumebinding`.
#[derive(Debug)]
pub struct VolumeBinding;

impl VolumeBinding {
    /// The plugin with the arguments of its profile.
    pub fn new(_recipe: Recipe<'_>) -> VolumeBinding {
        VolumeBinding
    }
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }
}
