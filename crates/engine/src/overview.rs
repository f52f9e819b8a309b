//! What waits, for how long, and what is held for whom, in a size that does not grow with the cluster: for whoever looks
//! every few seconds.
//!
//! Asking costs a pass over the queue, the groups and the places that are held, and a pass over the members of the groups
//! that are listed; what is kept of it is at most [`LISTED`] of each.

use crate::engine::Engine;
use crate::explain::name_in_namespace;
use crate::groups::{Group, GroupId};
use crate::observation::{Section, WaitReason};
use crate::pods::{Pod, PodId, Role};
use crate::queue::{Entity, Standing};
use crate::snapshot::Reservation;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::group::GroupKey;
use std::collections::BinaryHeap;
use std::time::Duration;

/// How many groups, pods and places are listed at most, each.
pub const LISTED: usize = 100;
/// Upper bound of what is told of a cause, in characters: the whole is in the explanation.
const CAUSE_MAX: usize = 300;

/// The first of some things, and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The first, in order.
    pub items: Vec<T>,
    /// With those that are not among them.
    pub total: usize,
}

impl<T> Default for Listed<T> {
    fn default() -> Listed<T> {
        Listed {
            items: Vec::new(),
            total: 0,
        }
    }
}

impl<T> Listed<T> {
    /// How many are not listed.
    pub fn left_out(&self) -> usize {
        self.total - self.items.len()
    }

    fn filter_map<U>(self, map: impl FnMut(T) -> Option<U>) -> Listed<U> {
        let total = self.total;
        let items = self.items.into_iter().filter_map(map).collect();
        Listed { items, total }
    }
}

/// A pod group at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupAtAGlance {
    /// The namespace of its pods.
    pub namespace: Text,
    /// As messages name it after the namespace.
    pub name: Text,
    /// How many must start together; None: no gang, or unknown.
    pub min_count: Option<u32>,
    /// Members in all, lost ones too.
    pub members: u32,
    /// Members that have a place or have succeeded.
    pub with_places: u32,
    /// Of these, members that the API shows on a node or that have succeeded.
    pub bound: u32,
    /// Members that are gated.
    pub gated: u32,
    /// Where it stands, in one word: [`Stage::name`](crate::Stage::name).
    pub stage: &'static str,
    /// How often it has been tried.
    pub attempts: u32,
    /// Since when it has been waiting; None: it does not wait.
    pub waiting: Option<Duration>,
    /// Why it waits, in one word; empty when it does not.
    pub reason: &'static str,
    /// Why it waits, for a person; empty likewise.
    pub cause: String,
}

/// A single pod that waits, at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodAtAGlance {
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Where in the queue.
    pub section: Section,
    /// Its priority.
    pub priority: i32,
    /// How often it has been tried.
    pub attempts: u32,
    /// Since when it has been waiting.
    pub waiting: Duration,
    /// How much of its backoff is left.
    pub backoff: Duration,
    /// Why it waits, in one word; empty when it has not been tried.
    pub reason: Text,
    /// Why it waits, for a person; empty likewise.
    pub cause: String,
}

/// A place that is held, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPlace {
    /// The place, its pod and its end.
    pub reservation: Reservation,
    /// The group that the pod belongs to, as messages name it after the namespace.
    pub group: Option<Text>,
}

/// What waits, and what is held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overview {
    /// Nodes known. None where the question is about one namespace.
    pub nodes: Option<usize>,
    /// Pods that wait, by section in the order of [`Section::ALL`]: members count one by one.
    pub pending: [usize; 4],
    /// Single pods, then pod groups that are tried as one, by section in the same order.
    pub queued: [[usize; 4]; 2],
    /// Pod groups that wait, in the order of [`WaitReason::ALL`].
    pub waiting_groups: [usize; WaitReason::ALL.len()],
    /// Pod groups with a member of ours: those that wait, the longest wait first; then those whose binds are under way; then the others by name.
    pub groups: Listed<GroupAtAGlance>,
    /// Pods that wait by themselves, the longest wait first.
    pub pods: Listed<PodAtAGlance>,
    /// Places that are held without being bound, the nearest deadline first.
    pub places: Listed<HeldPlace>,
}

/// What groups are listed by.
type GroupOrder<'a> = (GroupRank, Time, &'a GroupKey);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum GroupRank {
    Waits,
    Binds,
    Rests,
}

impl Engine {
    /// What waits and what is held, in all namespaces or in one.
    pub fn overview(&self, now: Time, namespace: Option<&str>) -> Overview {
        let mut overview = Overview {
            nodes: namespace.is_none().then(|| self.cluster.table.len()),
            ..Overview::default()
        };
        self.look_over_queue(now, namespace, &mut overview);
        self.look_over_groups(now, namespace, &mut overview);
        overview.places = self.places_held(now, namespace);
        overview
    }

    fn look_over_queue(&self, now: Time, namespace: Option<&str>, overview: &mut Overview) {
        let mut pods = First::default();
        for standing in self.queue.each_standing() {
            let is_meant = namespace.is_none_or(|namespace| self.namespace_of(standing.entity) == Some(namespace));
            if !is_meant {
                continue;
            }
            let section = standing.section as usize;
            overview.pending[section] += standing.pods as usize;
            overview.queued[usize::from(standing.entity.is_group())][section] += 1;
            if let Entity::Pod(id) = standing.entity {
                pods.take((standing.first_enqueued, id), standing);
            }
        }
        overview.pods = pods
            .in_order()
            .filter_map(|standing| self.pod_at_a_glance(now, &standing));
    }

    fn namespace_of(&self, entity: Entity) -> Option<&str> {
        match entity {
            Entity::Pod(id) => Some(&self.cluster.pods.get(id)?.record.namespace),
            Entity::Group(id) => Some(&self.groups.get(id)?.key.namespace),
        }
    }

    fn pod_at_a_glance(&self, now: Time, standing: &Standing) -> Option<PodAtAGlance> {
        let Entity::Pod(id) = standing.entity else { return None };
        let pod = self.cluster.pods.get(id)?;
        let wanted = pod.report.wanted.as_ref();
        Some(PodAtAGlance {
            namespace: pod.record.namespace.clone(),
            name: pod.record.name.clone(),
            section: standing.section,
            priority: standing.priority,
            attempts: standing.attempts,
            waiting: now.since(standing.first_enqueued),
            backoff: standing.backoff_until.since(now),
            reason: wanted.map_or_else(|| "".into(), |wanted| wanted.reason.clone()),
            cause: wanted.map_or_else(String::new, |wanted| shortened(&wanted.message)),
        })
    }

    fn look_over_groups(&self, now: Time, namespace: Option<&str>, overview: &mut Overview) {
        let mut first = First::default();
        for (id, group) in self.groups.iter() {
            if !is_in(namespace, &group.key.namespace) || !self.has_ours(group) {
                continue;
            }
            if let Some(reason) = group.report.reason {
                overview.waiting_groups[reason as usize] += 1;
            }
            first.take(self.group_order(id, group), id);
        }
        overview.groups = first.in_order().filter_map(|id| self.group_at_a_glance(now, id));
    }

    /// Whether a member names one of our schedulers. The first one tells, as a rule.
    fn has_ours(&self, group: &Group) -> bool {
        let mut members = group.members.values();
        members.any(|member| self.pipeline.profile_of(&member.scheduler).is_some())
    }

    fn group_order<'a>(&self, id: GroupId, group: &'a Group) -> GroupOrder<'a> {
        let rank = self.group_rank(group);
        let since = self.group_waits_since(id, rank);
        // Whoever is not in the queue as a whole comes after those that are.
        (rank, since.unwrap_or(Time(u64::MAX)), &group.key)
    }

    fn group_rank(&self, group: &Group) -> GroupRank {
        let quorum = self.groups.quorum(group);
        let is_short = quorum.is_some_and(|quorum| group.satisfied_by() < quorum);
        if is_short || group.count(Role::Pending) > 0 || self.groups.ready(group).is_err() {
            GroupRank::Waits
        } else if group.bound_or_succeeded() < group.satisfied_by() {
            GroupRank::Binds
        } else {
            GroupRank::Rests
        }
    }

    fn group_waits_since(&self, id: GroupId, rank: GroupRank) -> Option<Time> {
        let since = self.queue.first_enqueued(Entity::Group(id));
        since.filter(|_| rank == GroupRank::Waits)
    }

    fn group_at_a_glance(&self, now: Time, id: GroupId) -> Option<GroupAtAGlance> {
        let group = self.groups.get(id)?;
        let stage = self.stage_of_group(now, id)?;
        let why = self.why_group_waits(now, id);
        Some(GroupAtAGlance {
            namespace: group.key.namespace.clone(),
            name: name_in_namespace(&group.key).into(),
            min_count: self.groups.quorum(group),
            members: group.members.len() as u32,
            with_places: group.satisfied_by(),
            bound: group.bound_or_succeeded(),
            gated: group.count(Role::Gated),
            stage: stage.name(),
            attempts: self.queue.attempts(Entity::Group(id)),
            waiting: self
                .group_waits_since(id, self.group_rank(group))
                .map(|since| now.since(since)),
            reason: why.as_ref().map_or("", |why| why.reason.name()),
            cause: why.map_or_else(String::new, |why| shortened(&why.text)),
        })
    }

    fn places_held(&self, now: Time, namespace: Option<&str>) -> Listed<HeldPlace> {
        let mut first = First::default();
        for (id, at) in self.each_deadline() {
            let pod = self.cluster.pods.get(id);
            if pod.is_some_and(|pod| is_in(namespace, &pod.record.namespace)) {
                first.take((at, id), id);
            }
        }
        first.in_order().filter_map(|id| self.held_place(now, id))
    }

    fn held_place(&self, now: Time, id: PodId) -> Option<HeldPlace> {
        let pod = self.cluster.pods.get(id)?;
        let group = |pod: &Pod| self.groups.get(pod.group?.0);
        Some(HeldPlace {
            reservation: self.reservation(now, id, pod)?,
            group: group(pod).map(|group| name_in_namespace(&group.key).into()),
        })
    }
}

fn is_in(namespace: Option<&str>, of: &str) -> bool {
    namespace.is_none_or(|namespace| namespace == of)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(CAUSE_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The first [`LISTED`] of things that come in any order, by a key that no two of them share.
struct First<K, V> {
    /// The last of those that are kept is on top.
    kept: BinaryHeap<Keyed<K, V>>,
    seen: usize,
}

/// Compared by its key alone.
struct Keyed<K, V>(K, V);

impl<K: Ord, V> Default for First<K, V> {
    fn default() -> First<K, V> {
        First {
            kept: BinaryHeap::new(),
            seen: 0,
        }
    }
}

impl<K: Ord, V> First<K, V> {
    fn take(&mut self, key: K, value: V) {
        self.seen += 1;
        if self.kept.len() == LISTED && self.kept.peek().is_some_and(|last| last.0 <= key) {
            return;
        }
        self.kept.push(Keyed(key, value));
        if self.kept.len() > LISTED {
            self.kept.pop();
        }
    }

    fn in_order(self) -> Listed<V> {
        let items = self.kept.into_sorted_vec();
        Listed {
            items: items.into_iter().map(|Keyed(_, value)| value).collect(),
            total: self.seen,
        }
    }
}

impl<K: Ord, V> Ord for Keyed<K, V> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<K: Ord, V> PartialOrd for Keyed<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, V> PartialEq for Keyed<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K: Ord, V> Eq for Keyed<K, V> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_kept_whatever_order_they_come_in() {
        let n = 3 * LISTED;
        let mut first = First::default();
        // 7 and 300 share no factor: every number once, out of order.
        for at in 0..n {
            let number = at * 7 % n;
            first.take(number, number);
        }
        let listed = first.in_order();
        assert_eq!(listed.items, (0..LISTED).collect::<Vec<_>>());
        assert_eq!((listed.total, listed.left_out()), (n, n - LISTED));
    }

    #[test]
    fn long_causes_are_cut_between_characters() {
        let long = "ü".repeat(CAUSE_MAX + 1);
        assert_eq!(shortened(&long), format!("{}…", "ü".repeat(CAUSE_MAX)));
        assert_eq!(shortened("short"), "short");
    }
}
