//! The words for why a pod waits: upstream's sentence first, word for word, then ours.

use crate::groups::Hold;
use muster_framework::group::{GroupKey, GroupLink};
use muster_framework::record::Unsupported;
use muster_framework::rejection::Rejections;
use muster_framework::table::NodeTable;

/// `PodScheduled` reason: tried, and there is no place. Autoscalers act on it.
pub(crate) const UNSCHEDULABLE: &str = "Unschedulable";
/// `PodScheduled` reason: something went wrong; it is tried again.
pub(crate) const SCHEDULER_ERROR: &str = "SchedulerError";
/// `PodScheduled` reason: not tried at all, for something else has to happen first. Autoscalers leave it alone.
/// The word is that of KEP-5501.
pub(crate) const NOT_READY: &str = "NotReadyForScheduling";

/// Why no node can take a pod.
///
/// Upstream's sentence counts every reason of every node, so its numbers can exceed the number of nodes; ours counts each
/// node once, by the first plugin that rejected it. Source of the first: `pkg/scheduler/framework.FitError`.
pub(crate) fn no_node(table: &NodeTable, rejections: &Rejections) -> String {
    let n = table.len();
    if n == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    if let Some(rejection) = rejections.of_pod() {
        let reasons: Vec<String> = rejection.reasons.iter().map(|reason| reason.text(table)).collect();
        return format!(
            "0/{n} nodes are available: {}. The pod is rejected by {} whatever the node.",
            reasons.join(", "),
            rejection.plugin
        );
    }
    let mut reasons: Vec<String> = rejections
        .reasons()
        .iter()
        .map(|(reason, count)| format!("{count} {}", reason.text(table)))
        .collect();
    reasons.sort();
    let by_plugin: Vec<String> = rejections
        .by_plugin()
        .iter()
        .map(|(plugin, count)| format!("{count} {plugin}"))
        .collect();
    format!(
        "0/{n} nodes are available: {}. Nodes by the first plugin that rejects them: {}.",
        reasons.join(", "),
        by_plugin.join(", ")
    )
}

/// How far the plan of a gang came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortfall {
    /// Members that had a place already.
    pub(crate) satisfied: u32,
    /// Members that the plan found a place for.
    pub(crate) planned: u32,
    /// Members that it takes.
    pub(crate) min_count: u32,
}

/// Why a gang waits: what stands against its first member without a place, then how far the plan came.
pub(crate) fn gang_waits(key: &GroupKey, member: &str, no_node: &str, shortfall: Shortfall) -> String {
    let Shortfall {
        satisfied,
        planned,
        min_count,
    } = shortfall;
    let stop = if no_node.ends_with('.') { "" } else { "." };
    let counting = if planned == 0 {
        ""
    } else {
        ", counting the places of the others"
    };
    let counted = satisfied + planned;
    let already = if satisfied == 0 {
        String::new()
    } else {
        format!(" ({satisfied} have it already)")
    };
    format!(
        "{no_node}{stop} That is said of {member}{counting}. Pod group {key} goes as a whole: {counted} of the {min_count} members \
         that it needs would have a place{already}."
    )
}

/// Why a group is not tried.
pub(crate) fn held(key: &GroupKey, hold: &Hold) -> String {
    match hold {
        Hold::KindNotServed => match &key.link {
            GroupLink::Workload { workload, .. } => format!(
                "pod group {key}: this cluster does not serve Workload objects of scheduling.k8s.io/v1alpha1, so workload \
                 {workload:?} cannot be found"
            ),
            _ => format!("pod group {key}: this cluster does not serve the objects that it refers to"),
        },
        Hold::PolicyMissing => match &key.link {
            GroupLink::Workload { workload, .. } => {
                format!("waiting for pods's workload {workload:?} to appear in scheduling queue")
            }
            _ => format!("waiting for pod's pod group {key} to appear in scheduling queue"),
        },
        Hold::PodGroupMissing => match &key.link {
            GroupLink::Workload {
                workload, pod_group, ..
            } => format!("pod group {pod_group:?} doesn't exist for a workload {workload:?}"),
            _ => format!("pod group {key} doesn't exist"),
        },
        Hold::PolicyInvalid(problem) => match &key.link {
            GroupLink::Workload {
                workload, pod_group, ..
            } => format!("pod group {pod_group:?} of workload {workload:?}: {problem}"),
            _ => format!("pod group {key}: {problem}"),
        },
        Hold::Quorum {
            have,
            min_count,
            held,
            foreign,
        } => {
            let mut text = format!(
                "waiting for minCount pods from a gang to appear in scheduling queue: pod group {key} has {have} of \
                 {min_count} members"
            );
            if *held > 0 {
                text += &format!(", {held} more are gated or unsupported");
            }
            if *foreign > 0 {
                text += &format!(", {foreign} more name another scheduler");
            }
            text
        }
    }
}

/// Why a pod is not tried: all that Muster cannot honour.
pub(crate) fn unsupported(problems: &[Unsupported]) -> String {
    let problems: Vec<String> = problems.iter().map(|u| format!("{}: {}", u.field, u.problem)).collect();
    format!(
        "this pod is not placed, since a part of its spec could not be honoured: {}",
        problems.join("; ")
    )
}
