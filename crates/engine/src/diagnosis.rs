//! The words for why a pod waits: upstream's sentence first, word for word, then ours.

use crate::groups::Hold;
use crate::plan::Shortage;
use crate::search::Certainty;
use muster_framework::Text;
use muster_framework::group::{GroupKey, GroupLink};
use muster_framework::record::Unsupported;
use muster_framework::rejection::Rejections;
use muster_framework::resource::ResourceOrd;
use muster_framework::table::NodeTable;
use muster_framework::taint::{Taint, TaintEffect};

/// `PodScheduled` reason: tried, and there is no place. Autoscalers act on it.
pub(crate) const UNSCHEDULABLE: &str = "Unschedulable";
/// `PodScheduled` reason: something went wrong; it is tried again.
pub(crate) const SCHEDULER_ERROR: &str = "SchedulerError";
/// `PodScheduled` reason: not tried at all, for something else has to happen first. Autoscalers leave it alone.
/// The word is that of KEP-5501.
pub(crate) const NOT_READY: &str = "NotReadyForScheduling";
/// The reason of an event about what has no place: the word that dashboards look for.
pub(crate) const FAILED_SCHEDULING: &str = "FailedScheduling";

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
    /// What the first class without a place lacks.
    pub(crate) shortage: Option<Shortage>,
    /// Whether it is proved that there is no plan.
    pub(crate) certainty: Certainty,
}

/// Why a gang waits: what stands against its first member without a place, then how far the plan came.
pub(crate) fn gang_waits(
    table: &NodeTable,
    key: &GroupKey,
    member: &str,
    no_node: &str,
    shortfall: Shortfall,
) -> String {
    let Shortfall {
        satisfied,
        planned,
        min_count,
        shortage,
        certainty,
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
         that it needs would have a place{already}.{}{}",
        shortage.map_or_else(String::new, |shortage| lacks(table, shortage)),
        match certainty {
            Certainty::ProvedImpossible => "",
            Certainty::NotProved => " That there is no way to place them is not proved: not every way could be tried.",
        }
    )
}

/// What came of an attempt at a gang, in one line.
pub(crate) fn gang_attempt(no_node: &str, shortfall: &Shortfall) -> String {
    let places = shortfall.satisfied + shortfall.planned;
    format!(
        "{places} of the {} members that it needs would have a place: {no_node}",
        shortfall.min_count
    )
}

/// A taint as kubectl writes it.
pub(crate) fn taint(taint: &Taint) -> String {
    let effect = match taint.effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    };
    match taint.value.is_empty() {
        true => format!("{}:{effect}", taint.key),
        false => format!("{}={}:{effect}", taint.key, taint.value),
    }
}

/// An amount in the unit of its column: thousandths of a core, bytes, or a number.
pub(crate) fn amount_of(resource: ResourceOrd, amount: i64) -> String {
    if resource == ResourceOrd::CPU {
        format!("{amount}m")
    } else {
        amount.to_string()
    }
}

/// How much is short, and for how many.
fn lacks(table: &NodeTable, shortage: Shortage) -> String {
    let Shortage {
        without_place,
        short,
        nodes_with_room,
        ..
    } = shortage;
    let Some((resource, amount)) = short else {
        return String::new();
    };
    let name = table.resource_name(resource);
    let amount = amount_of(resource, amount);
    let members = if without_place == 1 {
        "member like it has"
    } else {
        "members like it have"
    };
    format!(
        " {without_place} {members} no place: the nearest node lacks {amount} {name}, and {nodes_with_room} node(s) could take \
         one if the rest of the group had none."
    )
}

/// Why a group is not tried, in full.
pub(crate) fn held(key: &GroupKey, hold: &Hold) -> String {
    match hold {
        Hold::KindNotServed => not_served(key),
        Hold::PolicyMissing => match &key.link {
            GroupLink::Workload { workload, .. } => {
                format!("waiting for pods's workload {workload:?} to appear in scheduling queue")
            }
            GroupLink::PodGroup { name } | GroupLink::Coscheduling { name } | GroupLink::Labels { name } => {
                format!("waiting for pods's pod group {name:?} to appear in scheduling queue")
            }
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
        Hold::Unsupported(unsupported) => format!(
            "pod group {key} is not scheduled, since a part of its spec could not be honoured: {}",
            problems(unsupported)
        ),
        Hold::MixedSchedulers(one, other) => format!(
            "all pods in a single pod group should have the same .spec.schedulerName set, got: {one:?} and {other:?} \
             (pod group {key})"
        ),
        Hold::MixedPriorities { member, group } => format!(
            "all pods in a single pod group should have the same priority as the pod group's priority, got {member} and \
             {group} (pod group {key})"
        ),
        Hold::MemberGated { gated, .. } => format!("pod group {key} waits for {gated} gated members"),
        Hold::Quorum {
            have,
            min_count,
            gated,
            unsupported,
        } => {
            let mut text = format!("{FEW_MEMBERS}: pod group {key} has {have} of {min_count} members");
            if *gated > 0 {
                let are = if *gated == 1 { "is" } else { "are" };
                text += &format!(", {gated} more {are} gated");
            }
            if *unsupported > 0 {
                text += &format!(", {unsupported} more cannot be honoured");
            }
            text
        }
    }
}

/// Upstream's words for a gang that lacks members.
const FEW_MEMBERS: &str = "waiting for minCount pods from a gang to appear in scheduling queue";

/// Why a member is not tried: short, and the same for all members however many there are. The group says more.
pub(crate) fn held_member(key: &GroupKey, hold: &Hold) -> String {
    match hold {
        Hold::Quorum { .. } => format!("{FEW_MEMBERS}: see pod group {key}"),
        Hold::MemberGated { .. } => format!("pod group {key} waits for its gated members"),
        Hold::MixedSchedulers(..) => format!("members of pod group {key} name different schedulers"),
        Hold::MixedPriorities { .. } => format!("members of pod group {key} have other priorities than the group"),
        _ => held(key, hold),
    }
}

fn not_served(key: &GroupKey) -> String {
    match &key.link {
        GroupLink::Workload { workload, .. } => format!(
            "pod group {key}: this cluster does not serve Workload objects of scheduling.k8s.io/v1alpha1, so workload \
             {workload:?} cannot be found"
        ),
        GroupLink::PodGroup { .. } => format!(
            "pod group {key}: this cluster does not serve PodGroup objects of scheduling.k8s.io/v1beta1 or v1alpha2, so it \
             cannot be found"
        ),
        GroupLink::Coscheduling { .. } => format!(
            "pod group {key}: this cluster does not serve PodGroup objects of scheduling.x-k8s.io/v1alpha1, so it cannot be \
             found"
        ),
        GroupLink::Labels { .. } => format!("pod group {key}: no member states its policy"),
    }
}

/// Members state different minima.
pub(crate) fn members_disagree(one: i32, other: i32) -> Text {
    format!("annotation muster.dev/min-count: all members must state the same, got {one} and {other}").into()
}

/// Why a group lacks members, some of which are gated: names the first of these.
pub(crate) fn of_whom_one_is_gated(held: String, first: &str, gates: &[Text]) -> String {
    format!("{held} ({first} is gated by {})", gates.join(", "))
}

/// Why a group waits that a gated member holds.
pub(crate) fn gated(key: &GroupKey, first: &str, gates: &[Text], gated: u32) -> String {
    let others = match gated {
        0 | 1 => String::new(),
        2 => " and for 1 more gated member".to_owned(),
        n => format!(" and for {} more gated members", n - 1),
    };
    let gates = gates.join(", ");
    format!("pod group {key} waits for {first}, gated by {gates}{others}")
}

/// Why a group waits whose members have places.
pub(crate) fn prepares(key: &str, members: usize) -> String {
    format!(
        "pod group {key} has places for its members, and waits for volumes before any is bound: {members} are not bound yet"
    )
}

/// Why a group waits for another attempt.
pub(crate) fn failed(key: &GroupKey, message: &str) -> String {
    format!("pod group {key}: {message}")
}

/// When it is tried again.
pub(crate) fn tried_again(text: String, rest: std::time::Duration) -> String {
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{text}{stop} Tried again in {} s.", rest.as_millis().div_ceil(1000))
}

/// Lost nodes that are named.
const NODES_NAMED: usize = 3;

/// Ahead of why a group waits that has fallen below its minimum; with the nodes that members were lost with, and what befell
/// these.
pub(crate) fn broken(key: &GroupKey, have: u32, min_count: u32, lost: &[(Text, &str)], text: &str) -> String {
    let named = lost.iter().take(NODES_NAMED);
    let mut since: Vec<String> = named.map(|(node, what)| format!("node {node} {what}")).collect();
    if let Some(more) = lost.len().checked_sub(NODES_NAMED).filter(|more| *more > 0) {
        since.push(format!("{more} more nodes are lost"));
    }
    let since = match since.is_empty() {
        true => String::new(),
        false => format!(", since {}", since.join(" and ")),
    };
    format!("pod group {key} is broken: {have} of {min_count} members have a node{since}; {text}")
}

/// A group that waits no more.
pub(crate) fn scheduled(key: &GroupKey, bound: u32, min_count: u32) -> String {
    format!("pod group {key} is scheduled: members bound {bound}, needed {min_count}")
}

/// A kubelet turned away a member.
pub(crate) fn turned_away(key: &GroupKey, member: &str, node: &str, reason: &str) -> String {
    format!("pod group {key}: the kubelet of {node} turned away {member}: {reason}")
}

/// All that Muster cannot honour of an object.
pub(crate) fn problems(unsupported: &[Unsupported]) -> String {
    let problems: Vec<String> = unsupported
        .iter()
        .map(|u| format!("{}: {}", u.field, u.problem))
        .collect();
    problems.join("; ")
}

/// Why a pod is not tried: all that Muster cannot honour.
pub(crate) fn unsupported(unsupported: &[Unsupported]) -> String {
    format!(
        "this pod is not placed, since a part of its spec could not be honoured: {}",
        problems(unsupported)
    )
}
