//! VolumeRestrictions.

use crate::registry::Recipe;
use muster_framework::plugin::Plugin;

/// The plugin. Source: `pkg/scheduler/framework/plugins/volumerestrictions`.
#[derive(Debug)]
pub struct VolumeRestrictions;

impl VolumeRestrictions {
    /// The plugin with the arguments of its profile.
    pub fn new(_recipe: Recipe<'_>) -> VolumeRestrictions {
        VolumeRestrictions
    }
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }
}
