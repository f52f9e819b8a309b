//! VolumeZone.

use crate::registry::Recipe;
use muster_framework::plugin::Plugin;

/// The plugin. Source: `pkg/scheduler/framework/plugins/volumezone`.
#[derive(Debug)]
pub struct VolumeZone;

impl VolumeZone {
    /// The plugin with the arguments of its profile.
    pub fn new(_recipe: Recipe<'_>) -> VolumeZone {
        VolumeZone
    }
}

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }
}
