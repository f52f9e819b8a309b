//! What went wrong with binds lately: which nodes a pod, or the members of a group, had better not go to for a while, and
//! how often a pod may be tried again at once.
//!
//! It is a preference, not a filter: when nothing else fits, the node is taken.

use crate::engine::{Engine, Timer};
use crate::groups::GroupId;
use crate::pods::{PodId, Role};
use crate::time::Time;
use muster_framework::Text;
use muster_framework::table::NodeOrd;
use rustc_hash::FxHashMap;
use std::time::Duration;

/// How long a node is avoided.
const AVOID_FOR: Duration = Duration::from_secs(60);
/// So many nodes at most are avoided: of more, the one that failed first is forgotten.
const MOST_AVOIDED: usize = 8;
/// So many times a pod is tried again at once; then after a backoff.
const AT_ONCE: u32 = 2;

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Somewhere else, now.
    AtOnce,
    /// After a backoff.
    Later,
}

#[derive(Debug, Default)]
struct Retry {
    /// What was said of the last bind.
    message: Text,
    /// Times that it was tried again without a backoff.
    at_once: u32,
    avoided: Avoided,
}

/// Nodes to avoid, each until a time at which a timer looks.
#[derive(Debug, Default)]
struct Avoided(Vec<(Text, Time)>);

impl Avoided {
    fn add(&mut self, now: Time, node: &Text) {
        self.0.retain(|(other, until)| other != node && *until > now);
        if self.0.len() == MOST_AVOIDED {
            self.0.remove(0);
        }
        self.0.push((node.clone(), now + AVOID_FOR));
    }

    fn expire(&mut self, now: Time) {
        self.0.retain(|(_, until)| *until > now);
    }
}

/// What went wrong lately, by pod until it is bound, and by group.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    pods: FxHashMap<PodId, Retry>,
    groups: FxHashMap<GroupId, Avoided>,
}

impl Retries {
    /// A bind to the node has failed, or may have.
    pub(crate) fn bind_failed(&mut self, now: Time, id: PodId, node: &Text, message: &Text) {
        let retry = self.pods.entry(id).or_default();
        retry.message = message.clone();
        retry.avoided.add(now, node);
    }

    /// A kubelet has turned a member of the group away.
    pub(crate) fn turned_away(&mut self, now: Time, group: GroupId, node: &Text) {
        self.groups.entry(group).or_default().add(now, node);
    }

    /// What was said of the pod's last bind.
    pub(crate) fn message(&self, id: PodId) -> Text {
        self.pods
            .get(&id)
            .map_or_else(|| Text::from(""), |retry| retry.message.clone())
    }

    /// Decides, and counts, when a pod whose bind has failed is tried again.
    pub(crate) fn again(&mut self, id: PodId) -> Again {
        let retry = self.pods.entry(id).or_default();
        retry.at_once += 1;
        if retry.at_once > AT_ONCE {
            // After the backoff there is another chance or two.
            retry.at_once = 0;
            Again::Later
        } else {
            Again::AtOnce
        }
    }

    pub(crate) fn expire_of_pod(&mut self, now: Time, id: PodId) {
        if let Some(retry) = self.pods.get_mut(&id) {
            retry.avoided.expire(now);
        }
    }

    pub(crate) fn expire_of_group(&mut self, now: Time, id: GroupId) {
        if let Some(avoided) = self.groups.get_mut(&id) {
            avoided.expire(now);
        }
    }

    /// The pod is bound or gone.
    pub(crate) fn forget(&mut self, id: PodId) {
        self.pods.remove(&id);
    }

    /// The group has no members left.
    pub(crate) fn forget_group(&mut self, id: GroupId) {
        self.groups.remove(&id);
    }
}

impl Engine {
    /// A bind to the node has failed, or may have: the pod had better not go there for a while.
    pub(crate) fn avoid(&mut self, now: Time, id: PodId, node: &Text, message: &Text) {
        self.retries.bind_failed(now, id, node, message);
        self.timers.insert((now + AVOID_FOR, Timer::AvoidedByPod(id)));
    }

    /// A kubelet has turned a member of a group away: its replacement had better go elsewhere.
    pub(crate) fn avoid_who_turned_away(&mut self, now: Time, id: PodId) {
        let Some(pod) = self.cluster.pods.get(id) else { return };
        if let (Some((group, role)), Some(node), Some(_)) = (pod.group, &pod.record.node_name, pod.record.turned_away())
            && role != Role::Lost
        {
            self.retries.turned_away(now, group, node);
            self.timers.insert((now + AVOID_FOR, Timer::AvoidedByGroup(group)));
        }
    }

    /// The nodes that the pod had better not go to now.
    pub(crate) fn avoided_by(&self, id: PodId) -> Vec<NodeOrd> {
        if self.retries.pods.is_empty() && self.retries.groups.is_empty() {
            return Vec::new();
        }
        let group = self.cluster.pods.get(id).and_then(|pod| pod.group);
        let group = group.and_then(|(group, _)| self.retries.groups.get(&group));
        let own = self.retries.pods.get(&id).map(|retry| &retry.avoided);
        let both = own.into_iter().chain(group);
        both.flat_map(|avoided| &avoided.0)
            .filter_map(|(name, _)| self.cluster.table.by_name(name))
            .collect()
    }
}
