//! ImageLocality.

use muster_framework::plugin::Plugin;

/// The plugin. Source: `pkg/scheduler/framework/plugins/imagelocality`.
#[derive(Debug)]
pub struct ImageLocality;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }
}
