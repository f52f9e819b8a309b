//! SchedulingGates: a pod with gates stays out of the queue until they are taken off.

use muster_framework::plugin::{Plugin, PodToEnqueue, PreEnqueue};

/// The plugin. Source: `pkg/scheduler/framework/plugins/schedulinggates`.
#[derive(Debug)]
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn pre_enqueue(&self) -> Option<&dyn PreEnqueue> {
        Some(self)
    }
}

impl PreEnqueue for SchedulingGates {
    fn hold(&self, pod: &PodToEnqueue<'_>) -> Option<String> {
        if pod.scheduling_gates.is_empty() {
            return None;
        }
        Some(format!(
            "waiting for scheduling gates: [{}]",
            pod.scheduling_gates.join(" ")
        ))
    }
}
